"""The learning rate: linear warm-up, then half a cosine (Loshchilov & Hutter 2017)."""

import math


def learning_rate(step: int, total_steps: int, warmup_steps: int, peak: float, final: float = 0.0) -> float:
    """Learning rate of a step, counted from 0: rises linearly to `peak`, then falls along a cosine to `final`."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))
