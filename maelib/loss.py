"""The loss: mean squared error on the hidden patches, raw or normalised patch by patch (chapter 05)."""

import torch
from torch import Tensor


def patch_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each patch over all its values, in float32: (B, N, P) -> two of (B, N, 1)."""
    patches = patches.float()  # in fp16 the variance of a flat patch underflows
    variance, mean = torch.var_mean(patches, dim=-1, keepdim=True)
    return mean, (variance + 1e-6).sqrt()


def normalize_patches(patches: Tensor) -> Tensor:
    """Each patch less its mean, by its standard deviation: (B, N, P), float32 (He et al. 2022, section 3)."""
    mean, std = patch_statistics(patches)
    return (patches.float() - mean) / std


def reconstruction_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Mean squared error, in float32: (B, M, P) and (B, M, P) -> scalar."""
    return (pred.float() - target.float()).square().mean()
