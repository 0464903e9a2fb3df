"""Small pictures as arrays (H, W, 3) uint8, and what all explorers do with them."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

GAP = 2  # white pixels between pictures that stand side by side
DIM = 0.45  # what is not meant keeps this share of its brightness

# Black, purple, red, orange, pale yellow: brightness grows all the way, for colour-blind eyes and for print.
_STOPS = np.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=float)
COLOURS = np.stack(
    [np.interp(np.linspace(0, len(_STOPS) - 1, 256), range(len(_STOPS)), stop) for stop in _STOPS.T], axis=1
)
COLOURS = np.rint(COLOURS).astype(np.uint8)  # (256, 3)


def to_uint8(picture: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, 1 | 3) in [0, 1] as (H, W, 3) uint8, rounded."""
    pixels = np.rint(np.asarray(picture).clip(0, 1) * 255).astype(np.uint8)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return pixels.repeat(3, axis=2) if pixels.shape[2] == 1 else pixels


def heat(values: np.ndarray, limit: float) -> np.ndarray:
    """Values (H, W) from 0 to `limit` in colours from black to pale yellow; what is beyond is clipped."""
    return COLOURS[np.rint(np.clip(values / limit, 0, 1) * 255).astype(np.uint8)]


def mark(picture: np.ndarray, row: int, column: int, patch_size: int) -> np.ndarray:
    """A picture with everything dimmed but one patch."""
    dimmed = np.rint(picture * DIM).astype(np.uint8)
    box = np.s_[row * patch_size : (row + 1) * patch_size, column * patch_size : (column + 1) * patch_size]
    dimmed[box] = picture[box]
    return dimmed


def tile(pictures: Sequence[np.ndarray], columns: int, gap: int = GAP) -> np.ndarray:
    """Pictures of one size in a grid, row by row, white between them."""
    height, width, _ = pictures[0].shape
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + gap), i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = picture
    return sheet


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    """Every pixel as factor x factor pixels."""
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def png(picture: np.ndarray, enlarge: int = 1) -> bytes:
    """The bytes of a PNG file."""
    file = io.BytesIO()
    # The lightest compression: a slider waits for it, and a stronger one saves a tenth.
    Image.fromarray(enlarged(picture, enlarge)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def beside(pictures: Sequence[np.ndarray], height: int = 256) -> np.ndarray:
    """Pictures of any sizes in a row, each enlarged by whole pixels to at least `height`."""
    big = [enlarged(p, -(-height // len(p))) for p in pictures]
    tallest = max(len(p) for p in big)
    padded = [np.pad(p, ((0, tallest - len(p)), (0, 8), (0, 0)), constant_values=255) for p in big]
    return np.concatenate(padded, axis=1)[:, :-8]
