"""06.schedule: a solution."""

import math


def rate(step, steps, warmup, peak, final):
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / (steps - warmup)
    return final + (peak - final) * (1 + math.cos(math.pi * progress)) / 2
