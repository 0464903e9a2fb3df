"""Positions: fixed 2-D sine-cosine vectors that say where a patch stands (chapter 01)."""

import torch
from torch import Tensor
from torch.nn import functional as F


def sincos_1d(coordinates: Tensor, width: int) -> Tensor:
    """Sines, then cosines, of coordinates at width/2 frequencies: (N,) -> (N, width).

    The wavelengths grow from 2 pi to 10,000 * 2 pi (Vaswani et al. 2017, section 3.5).
    """
    frequencies = 10_000 ** -(torch.arange(width // 2, dtype=torch.float64) / (width // 2))
    angles = coordinates.to(torch.float64)[:, None] * frequencies  # (N, width/2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def sincos_2d(grid: tuple[int, int], width: int) -> Tensor:
    """Positions of a grid of patches in raster order: (rows * columns, width), float32.

    The first half of the vector encodes the column, the second half the row, as in He et al. 2022.
    """
    rows, columns = torch.meshgrid(torch.arange(grid[0]), torch.arange(grid[1]), indexing="ij")
    halves = [sincos_1d(columns.flatten(), width // 2), sincos_1d(rows.flatten(), width // 2)]
    return torch.cat(halves, dim=1).float()


def resample_positions(positions: Tensor, old_grid: tuple[int, int], new_grid: tuple[int, int]) -> Tensor:
    """Positions for another grid, interpolated in 2-D: (1 + N, D) -> (1 + N', D).

    The first row belongs to the class token and stays. Along the flattened index the interpolation would mix the end of
    one row of patches with the start of the next.
    """
    if old_grid == new_grid:
        return positions
    plane = positions[1:].T.reshape(1, -1, *old_grid)  # (1, D, rows, columns)
    plane = F.interpolate(plane.float(), new_grid, mode="bicubic", align_corners=False)
    return torch.cat([positions[:1], plane.flatten(2)[0].T.to(positions)])
