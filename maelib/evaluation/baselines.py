"""Fills that learn nothing, which any model must be shown beside.

Each takes images (B, C, H, W) in [0, 1] and a pixel mask (B, 1, H, W), 1 = visible, and returns a picture for every
pixel. Where a model is given the true statistics of what is hidden, the fills get them, too: `with_true_statistics`.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..loss import patch_statistics
from ..patches import patchify, unpatchify


def visible_mean(images: Tensor, visible: Tensor, patch_size: int) -> Tensor:
    """The mean colour of the visible pixels, everywhere."""
    mean = (images * visible).sum((2, 3), keepdim=True) / visible.sum((2, 3), keepdim=True)
    return mean.expand_as(images)


def gaussian(images: Tensor, visible: Tensor, patch_size: int) -> Tensor:
    """A Gaussian-weighted average of the visible pixels: sigma 3 pixels at 64, 10 at 224, in proportion elsewhere.

    Where no visible pixel is near enough to count, the mean colour.
    """
    size = max(images.shape[2:])
    sigma = 3.0 if size == 64 else 10.0 * size / 224
    total, weight = _blur(images * visible, sigma), _blur(visible, sigma)
    return torch.where(weight > 1e-6, total / weight.clamp(min=1e-12), visible_mean(images, visible, patch_size))


def diffusion(images: Tensor, visible: Tensor, patch_size: int) -> Tensor:
    """Colour that flows in from the rim of each hole until every hidden pixel is the mean of its four neighbours: the
    smoothest picture through the visible pixels (Laplace's equation), solved from coarse to fine."""
    known = visible.bool()
    height, width = images.shape[2:]
    if min(height, width) > 4:
        weight = F.avg_pool2d(visible, 2, ceil_mode=True, count_include_pad=False)
        coarse = F.avg_pool2d(images * visible, 2, ceil_mode=True, count_include_pad=False) / weight.clamp(min=1e-6)
        start = diffusion(coarse, (weight > 0).to(visible), patch_size)
        start = F.interpolate(start, (height, width), mode="bilinear")
    else:
        start = visible_mean(images, visible, patch_size)
    filled = torch.where(known, images, start)
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    odd = ((rows + columns) % 2 == 1).to(visible.device)
    for _ in range(SWEEPS):
        for colour in (odd, ~odd):  # the neighbours of the one kind are all of the other
            around = F.pad(filled, (1, 1, 1, 1), mode="replicate")
            mean = (around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]) / 4
            filled = torch.where(known | ~colour, filled, filled + RELAXATION * (mean - filled))
    return filled


def patch_mean(images: Tensor, visible: Tensor, patch_size: int) -> Tensor:
    """An oracle: each patch's true mean over all channels, which is what a prediction of 0 for normalised targets gives."""
    return patch_channel_mean(images.mean(1, keepdim=True), visible, patch_size).expand_as(images)


def patch_channel_mean(images: Tensor, visible: Tensor, patch_size: int) -> Tensor:
    """An oracle: each patch's true mean, channel by channel."""
    return F.interpolate(F.avg_pool2d(images, patch_size), scale_factor=float(patch_size), mode="nearest")


def gaussian_shifted(images: Tensor, visible: Tensor, patch_size: int) -> Tensor:
    """An oracle: the Gaussian-weighted average, each patch shifted to its true mean over all channels."""
    return with_true_statistics(gaussian(images, visible, patch_size), images, patch_size, scale=False)


def diffusion_shifted(images: Tensor, visible: Tensor, patch_size: int) -> Tensor:
    """An oracle: diffusion, each patch shifted to its true mean over all channels."""
    return with_true_statistics(diffusion(images, visible, patch_size), images, patch_size, scale=False)


def with_true_statistics(filled: Tensor, images: Tensor, patch_size: int, scale: bool = True) -> Tensor:
    """What a model of normalised targets gains from the oracle, for any fill: each patch less its own mean and by its own
    deviation, times the true deviation and plus the true mean, both over all values of the patch; without `scale` the means
    alone are exchanged. Pictures (B, C, H, W)."""
    grid = images.shape[2] // patch_size, images.shape[3] // patch_size
    patches, truth = patchify(filled, patch_size), patchify(images, patch_size)
    (own_mean, own_std), (mean, std) = patch_statistics(patches), patch_statistics(truth)
    restored = (patches - own_mean) * (std / own_std if scale else 1.0) + mean
    return unpatchify(restored, patch_size, grid)


FILLS = {f.__name__: f for f in (visible_mean, gaussian, diffusion, patch_mean, patch_channel_mean)}
SHIFTED = {f.__name__: f for f in (gaussian_shifted, diffusion_shifted)}  # beside a model with the oracle
ORACLES = {"patch_mean", "patch_channel_mean", *SHIFTED}  # these know the truth in any case
SWEEPS, RELAXATION = 20, 1.7  # over-relaxed Gauss-Seidel at each size


def _blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, cut at 4 sigma, nothing beyond the border."""
    radius = math.ceil(4 * sigma)
    kernel = torch.exp(-(torch.arange(-radius, radius + 1.0) ** 2) / (2 * sigma**2)).to(images)
    channels = images.shape[1]
    kernel = (kernel / kernel.sum()).repeat(channels, 1)
    images = F.conv2d(images, kernel[:, None, :, None], padding=(radius, 0), groups=channels)
    return F.conv2d(images, kernel[:, None, None, :], padding=(0, radius), groups=channels)
