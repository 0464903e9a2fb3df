"""Masking: which patches stay visible (chapter 02).

Everything is a noise of one number for each patch; the patches with the lowest noise stay visible. A seed, a strategy
or a mask given by hand becomes such a noise, so that there is one path through the model.
"""

from typing import NamedTuple

import torch
from torch import Tensor

STRATEGIES = ("random", "block", "grid", "half")


class Masking(NamedTuple):
    """Who is visible and who is hidden; indices ascend, so both sets stand in raster order."""

    visible: Tensor  # (B, K) int64
    hidden: Tensor  # (B, M) int64
    restore: Tensor  # (B, N) int64: where each patch stands in [visible, hidden]
    mask: Tensor  # (B, N) bool, True = hidden


def num_visible(num_patches: int, mask_ratio: float) -> int:
    """K = max(1, int(N (1 - ratio))), the count of the reference code of He et al. 2022."""
    return max(1, int(num_patches * (1 - mask_ratio)))


def split_by_noise(noise: Tensor, keep: int) -> Masking:
    """Keep the `keep` patches with the lowest noise visible, hide the others; `noise` is (B, N)."""
    rank = noise.argsort(dim=1, stable=True).argsort(dim=1)  # (B, N): 0 for the lowest noise
    mask = rank >= keep
    order = mask.byte().argsort(dim=1, stable=True)  # visible first, each group in raster order
    return Masking(order[:, :keep], order[:, keep:], order.argsort(dim=1), mask)


def seeded_integers(seed: int, count: int) -> Tensor:
    """`count` integers of 24 bits from the generator mulberry32, the same on every platform and in JavaScript: (count,) int64."""
    low = 0xFFFFFFFF  # 32-bit arithmetic inside int64: products may wrap, their low 32 bits are right
    a = (seed + 0x6D2B79F5 * torch.arange(1, count + 1)) & low
    t = ((a ^ (a >> 15)) * (a | 1)) & low
    t = (t ^ (t + (t ^ (t >> 7)) * (t | 61))) & low
    return (t ^ (t >> 14)) >> 8


def seeded_noise(
    grid: tuple[int, int], seed: int = 0, strategy: str = "random", batch: int = 1, first: int = 0
) -> Tensor:
    """Noise of a strategy for a grid of patches: (batch, N) float32 in [0, 1), exact in 24 bits.

    Image i of the batch gets mask number `first + i` of the seed, whatever the size of the batch.

    - `random`: every patch alike (He et al. 2022).
    - `block`: a rectangle about a random centre is hidden first.
    - `grid`: regularly spaced patches stay, by the Bayer matrix of ordered dithering; at 75 % one in each 2 x 2.
    - `half`: one side is hidden, the seed chooses which.

    Raises
    ------
    ValueError
        Unknown strategy, or a seed outside [0, 2**31).
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must be in [0, 2**31), got {seed}")
    n = grid[0] * grid[1]
    stream = seeded_integers(seed, (first + batch) * n)[first * n :].reshape(batch, n)
    if strategy == "random":
        return stream / 2**24
    row = torch.arange(grid[0]).repeat_interleave(grid[1])  # (N,)
    column = torch.arange(grid[1]).repeat(grid[0])
    # Four numbers an image steer the strategy; they come from a stream of its own, apart from the ties below.
    a, b, c, d = seeded_integers(seed + 1, (first + batch) * 4)[first * 4 :].reshape(batch, 4, 1).unbind(1)
    if strategy == "block":
        tall, wide = 2 + c % 3, 2 + d % 3  # sides in the ratio 2:4 to 4:2
        distance = torch.maximum((row - a % grid[0]).abs() * wide, (column - b % grid[1]).abs() * tall)
        key = 4095 - distance.clamp(max=4095)
    elif strategy == "grid":
        key = _bayer(row + a % 16, column + b % 16)
    else:
        sides = torch.stack([row, grid[0] - 1 - row, column, grid[1] - 1 - column])
        key = sides[a[:, 0] % 4]
    return (key.clamp(max=4095) * 4096 + stream // 4096) / 2**24


def _bayer(row: Tensor, column: Tensor) -> Tensor:
    """Value of the 16 x 16 Bayer matrix, 0 to 255: bits of row ^ column and row, interleaved from the lowest up."""
    value = torch.zeros_like(row)
    for bit in range(4):
        x, y = (row ^ column) >> bit & 1, row >> bit & 1
        value = value | (x << (7 - 2 * bit)) | (y << (6 - 2 * bit))
    return value


def noise_from_mask(mask: Tensor) -> tuple[Tensor, float]:
    """Noise and ratio that hide exactly the True patches of a mask by hand: (N,) or (B, N) bool -> ((B, N), ratio).

    Raises
    ------
    ValueError
        Not boolean, rows that hide different numbers of patches, or no visible patch.
    """
    mask = torch.atleast_2d(torch.as_tensor(mask))
    if mask.dtype != torch.bool or mask.dim() != 2:
        raise ValueError(
            f"a mask is boolean of shape (N,) or (B, N), True = hidden; got {mask.dtype} {tuple(mask.shape)}"
        )
    visible = (~mask).sum(dim=1)
    if visible.min() != visible.max():
        raise ValueError(f"every mask of a batch must hide as many patches; visible: {visible.tolist()}")
    keep, n = int(visible[0]), mask.shape[1]
    if keep == 0:
        raise ValueError("the mask hides every patch; at least one must stay visible")
    return mask.float(), max(0.0, 1 - (keep + 0.5) / n)  # half a patch: K is exact whatever the rounding
