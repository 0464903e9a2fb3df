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


def shared_statistics(patches: Tensor) -> tuple[Tensor, Tensor]:
    """One mean and one deviation (root mean square) for all patches of an image: (B, K, P) -> two of (B, 1, 1)."""
    mean, std = patch_statistics(patches)
    return mean.mean(dim=1, keepdim=True), std.square().mean(dim=1, keepdim=True).sqrt()


def reconstruction_loss(pred: Tensor, target: Tensor, known: Tensor | None = None) -> Tensor:
    """Mean squared error, in float32: (B, M, P) and (B, M, P) -> scalar; over the `known` (B, M) bool patches alone."""
    error = (pred.float() - target.float()).square()
    if known is None:
        return error.mean()
    return (error.mean(dim=2) * known).sum() / known.sum()
