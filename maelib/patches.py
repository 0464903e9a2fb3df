"""Patches: a picture becomes a sequence of vectors, and back (chapter 01)."""

from torch import Tensor


def grid_of(hw: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Patches in a column and in a row of an image of H x W pixels; ValueError where the patch size does not divide it."""
    height, width = hw
    if height < patch_size or width < patch_size or height % patch_size or width % patch_size:
        raise ValueError(f"{height} x {width} pixels are not a multiple of the patch size {patch_size}: resize or crop")
    return height // patch_size, width // patch_size


def patchify(images: Tensor, patch_size: int) -> Tensor:
    """Cut images into patches, row by row: (B, C, H, W) -> (B, N, P).

    N = H/p * W/p patches in raster order; each holds P = p * p * C values, pixel by pixel, channels last
    (Dosovitskiy et al. 2021, section 3.1; the order of He et al. 2022).
    """
    B, C, H, W = images.shape
    p = patch_size
    patches = images.reshape(B, C, H // p, p, W // p, p)  # rows and columns of patches
    patches = patches.permute(0, 2, 4, 3, 5, 1)  # (B, H/p, W/p, p, p, C)
    return patches.reshape(B, (H // p) * (W // p), p * p * C)


def unpatchify(patches: Tensor, patch_size: int, grid: tuple[int, int]) -> Tensor:
    """Put patches back into images, the inverse of `patchify`: (B, N, P) -> (B, C, H, W).

    `grid` is the number of patches in a column and in a row, (H/p, W/p).
    """
    B, _, P = patches.shape
    p, (rows, columns) = patch_size, grid
    images = patches.reshape(B, rows, columns, p, p, P // (p * p))
    images = images.permute(0, 5, 1, 3, 2, 4)  # (B, C, H/p, p, W/p, p)
    return images.reshape(B, P // (p * p), rows * p, columns * p)
