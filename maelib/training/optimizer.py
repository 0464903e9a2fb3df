"""AdamW, with weight decay where it belongs, Muon for the matrices where asked for, and the learning rate."""

import math
import warnings
from itertools import chain
from typing import Any

import torch
from torch import nn


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Two groups: matrices decay; biases, norms and tokens, all of one dimension, do not (He et al. 2022, appendix A.1)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]


class Optimizers:
    """Several optimizers, each with parameters of its own, that look like one."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all of them."""
        return list(chain.from_iterable(optimizer.param_groups for optimizer in self.optimizers))

    def step(self) -> None:
        """A step of each."""
        for optimizer in self.optimizers:
            optimizer.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The states of all of them, in order."""
        return {"optimizers": [optimizer.state_dict() for optimizer in self.optimizers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put such states back."""
        for optimizer, own in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(own)


def make_optimizer(
    model: nn.Module, lr: float, weight_decay: float, betas: tuple[float, float], muon_lr: float = 0.0
) -> torch.optim.Optimizer:
    """AdamW over `parameter_groups`, its update fused into one pass over memory.

    With `muon_lr` the matrices of the blocks go to Muon (Jordan et al. 2024) at this rate, scaled so that its steps have
    the size of AdamW's; where torch is older than 2.9 and has no Muon, a warning says so and AdamW takes all. Each group
    has its rate relative to `lr` under `relative_lr`.
    """
    groups = [group | {"relative_lr": 1.0} for group in parameter_groups(model, weight_decay)]
    if muon_lr and not hasattr(torch.optim, "Muon"):
        warnings.warn(f"torch {torch.__version__} has no Muon, 2.9 has: AdamW takes all parameters", stacklevel=2)
    if not muon_lr or not hasattr(torch.optim, "Muon"):
        return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)
    named = (p for name, p in model.named_parameters() if ".blocks." in name and p.dim() == 2 and p.requires_grad)
    matrices = {id(p): p for p in named}
    rest = [group | {"params": [p for p in group["params"] if id(p) not in matrices]} for group in groups]
    own = [{"params": list(matrices.values()), "relative_lr": muon_lr / lr}]
    return Optimizers(  # type: ignore[return-value]  # looks like one
        torch.optim.Muon(own, lr=muon_lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=lr, betas=betas, fused=True),
    )


def check_state(optimizer: Any, may_be_empty: bool = False) -> None:
    """ValueError where what an optimizer has read has averages of another shape than their parameter, or none for one."""
    for one in getattr(optimizer, "optimizers", [optimizer]):
        for p in chain.from_iterable(group["params"] for group in one.param_groups):
            averages = [value for value in one.state[p].values() if value.dim()]
            if any(value.shape != p.shape for value in averages) or not (averages or may_be_empty):
                raise ValueError("the optimizer's state does not fit the model")


def learning_rate(step: int, total_steps: int, warmup_steps: int, peak: float, final: float = 0.0) -> float:
    """Learning rate of a step, counted from 0: rises linearly to `peak`, then falls along a cosine to `final`
    (Loshchilov & Hutter 2017)."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return final + (peak - final) * 0.5 * (1 + math.cos(math.pi * progress))
