"""Seeded masks: the same for the same seed on every machine, in Python and in JavaScript (chapter 02 shows them)."""

import torch
from torch import Tensor

from .masking import Masking

STRATEGIES = ("random", "block", "grid", "half")


def seeded_integers(seed: int, count: int, first: int = 0) -> Tensor:
    """Numbers `first` to `first + count` of the generator mulberry32, 24 bits each, the same in JavaScript: int64."""
    low = 0xFFFFFFFF  # 32-bit arithmetic inside int64: products may wrap, their low 32 bits are right
    a = (seed + 0x6D2B79F5 * torch.arange(first + 1, first + count + 1)) & low
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
    stream = seeded_integers(seed, batch * n, first * n).reshape(batch, n)
    if strategy == "random":
        return stream / 2**24
    row = torch.arange(grid[0]).repeat_interleave(grid[1])  # (N,)
    column = torch.arange(grid[1]).repeat(grid[0])
    # Four numbers an image steer the strategy; they come from a stream of its own, apart from the ties below.
    a, b, c, d = seeded_integers(seed + 1, batch * 4, first * 4).reshape(batch, 4, 1).unbind(1)
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


def seeded(
    grid: tuple[int, int],
    ratio: float = 0.75,
    seed: int = 0,
    strategy: str = "random",
    batch: int = 1,
    first: int = 0,
    missing: Tensor | None = None,
) -> Masking:
    """Masks number `first` to `first + batch - 1` of a seed and strategy; see `seeded_noise` and `Masking.from_noise`."""
    return Masking.from_noise(seeded_noise(grid, seed, strategy, batch, first), ratio, missing)
