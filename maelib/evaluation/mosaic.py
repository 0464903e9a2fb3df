"""A picture larger than the model, reconstructed tile by tile."""

import itertools
from collections import defaultdict
from typing import Any

import numpy as np
import torch

from ..datasets import ImageError, Values
from ..datasets.tiles import starts
from ..masking import Masking
from ..model import MaskedAutoencoder
from ..strategies import seeded
from .reconstruction import Reconstruction, picture_for, values_of

BATCH = 32  # tiles


@torch.inference_mode()
def reconstruct_tiles(
    model: MaskedAutoencoder,
    image: Any,
    mask_ratio: float = 0.75,
    seed: int = 0,
    strategy: str = "random",
    values: Values | None = None,
) -> Reconstruction:
    """Hide patches of a large picture and predict them at its own size, by tiles of the model's size.

    Each tile covers half of the one before it, the last of a row or column is shifted inward, and predictions of the same
    pixel are averaged with weights that fall to the edges of the tile, so that no seam shows. The masks of a seed, one for
    each tile beside the others, are laid over the whole picture; a tile in between sees its part of them. What is left of
    height and width when divided into patches is cut off, half on either side.

    Parameters
    ----------
    image, seed, strategy, values
        As of `maelib.reconstruct`.
    mask_ratio
        Share of the patches that is hidden, in [0, 1).

    Raises
    ------
    ImageError
        As `maelib.reconstruct`; or the picture is smaller than the model.
    """
    c, device = model.config, model.pixel_mean.device
    pixels = picture_for(image, c, values or values_of(model), whole=True)
    if pixels.shape[0] < c.hw[0] or pixels.shape[1] < c.hw[1]:
        size = f"{pixels.shape[0]} x {pixels.shape[1]}"
        raise ImageError(
            f"a picture of {size} pixels is smaller than the model's {c.hw[0]} x {c.hw[1]}: leave out tiles"
        )
    (tall, wide), p = c.grid, c.patch_size
    rows, columns = pixels.shape[0] // p, pixels.shape[1] // p
    down, across = -(-rows // tall), -(-columns // wide)
    masks = seeded(c.grid, mask_ratio, seed, strategy, batch=down * across).mask.reshape(down, across, tall, wide)
    mask = masks.transpose(1, 2).reshape(down * tall, across * wide)[:rows, :columns]

    by_visible = defaultdict(list)  # a batch hides as many patches of each of its tiles
    for y, x in itertools.product(starts(rows, tall, tall // 2), starts(columns, wide, wide // 2)):
        by_visible[int((~mask[y : y + tall, x : x + wide]).sum())].append((y, x))
    weight = np.outer(*(np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 for side in c.hw))[..., None].astype(
        np.float32
    )
    total, weights = np.zeros_like(pixels), np.zeros((*pixels.shape[:2], 1), np.float32)
    for visible, corners in by_visible.items():
        for start in range(0, len(corners), BATCH) if visible else ():
            some = corners[start : start + BATCH]
            boxes = [np.s_[y * p : (y + tall) * p, x * p : (x + wide) * p] for y, x in some]
            images = torch.from_numpy(np.stack([pixels[box] for box in boxes])).permute(0, 3, 1, 2)
            masking = Masking.from_mask(torch.stack([mask[y : y + tall, x : x + wide].flatten() for y, x in some]))
            made, _ = model.reconstruct(images.to(device), masking)
            for box, tile in zip(boxes, made.permute(0, 2, 3, 1).cpu().numpy(), strict=True):
                total[box] += weight * tile
                weights[box] += weight
    mean = np.broadcast_to(np.asarray(c.pixel_mean, np.float32), pixels.shape[2:])  # where no tile sees anything
    raw = np.where(weights > 0, total / np.maximum(weights, 1e-12), mean)
    return Reconstruction(pixels, raw, mask.numpy())
