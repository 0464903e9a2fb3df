"""A picture larger than the model, reconstructed tile by tile."""

import itertools
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..datasets import ImageError, Values
from ..datasets.missing import Nodata, missing_of, missing_patches, said_too_few, too_few_known
from ..datasets.tiles import starts
from ..masking import Masking, num_visible
from ..model import MaskedAutoencoder
from ..strategies import seeded, seeded_noise
from .reconstruction import Reconstruction, look_of, nodata_of, picture_for, values_of

BATCH = 32  # tiles


@torch.inference_mode()
def reconstruct_tiles(
    model: MaskedAutoencoder,
    image: Any,
    mask_ratio: float = 0.75,
    seed: int = 0,
    strategy: str = "random",
    values: Values | None = None,
    bands: Sequence[int] = (),
    nodata: Nodata | None = None,
) -> Reconstruction:
    """Hide patches of a large picture and predict them at its own size, by tiles of the model's size.

    Each tile covers half of the one before it, the last of a row or column is shifted inward, and predictions of the same
    pixel are averaged with weights that fall to the edges of the tile, so that no seam shows. The masks of a seed, one for
    each tile beside the others, are laid over the whole picture; a tile in between sees its part of them. What is left of
    height and width when divided into patches is cut off, half on either side.

    Patches with pixels that are not known are hidden and not scored; of the others beside them the same share is hidden as
    everywhere. A tile with too few known patches is not predicted, and
    a warning says so: its patches which no other tile reaches count as not known, too.

    Parameters
    ----------
    image, seed, strategy, values, bands, nodata
        As of `maelib.reconstruct`.
    mask_ratio
        Share of the patches that is hidden, in [0, 1).

    Raises
    ------
    ImageError
        As `maelib.reconstruct`; or the picture is smaller than the model.
    ValueError
        As `maelib.reconstruct`; or every tile has too few known patches.
    """
    c, values, device = model.config, values or values_of(model), model.pixel_mean.device
    picture = picture_for(image, c, values, nodata_of(model) if nodata is None else nodata, whole=True)
    pixels, holes = np.ma.getdata(picture), missing_of(picture)
    if pixels.shape[0] < c.hw[0] or pixels.shape[1] < c.hw[1]:
        size = f"{pixels.shape[0]} x {pixels.shape[1]}"
        raise ImageError(
            f"a picture of {size} pixels is smaller than the model's {c.hw[0]} x {c.hw[1]}: leave out tiles"
        )
    (tall, wide), p = c.grid, c.patch_size
    rows, columns = pixels.shape[0] // p, pixels.shape[1] // p
    down, across = -(-rows // tall), -(-columns // wide)
    lost = torch.zeros(down * tall, across * wide, dtype=torch.bool)
    if holes is not None:
        lost[:rows, :columns] = missing_patches(torch.from_numpy(holes)[None, None], p).reshape(rows, columns)
    apart = lost.reshape(down, tall, across, wide).transpose(1, 2).reshape(down * across, -1)
    masks = _masks(c.grid, mask_ratio, seed, strategy, apart)
    mask = masks.reshape(down, across, tall, wide).transpose(1, 2).reshape(down * tall, across * wide)
    mask, lost = (mask | lost)[:rows, :columns], lost[:rows, :columns]

    by_visible, reached, short = defaultdict(list), torch.zeros_like(lost), []
    for y, x in itertools.product(starts(rows, tall, tall // 2), starts(columns, wide, wide // 2)):
        tile = np.s_[y : y + tall, x : x + wide]
        if lost[tile].any() and too_few_known(lost[tile].reshape(1, -1), mask_ratio):
            short.append((y, x))
            continue
        reached[tile] = True
        by_visible[int((~mask[tile]).sum())].append((y, x))  # a batch hides as many patches of each of its tiles
    if short:
        count, (y, x) = len(short) + sum(map(len, by_visible.values())), short[0]
        first = f"at row {y * p}, column {x * p}"
        said = said_too_few(len(short), count, first, tall * wide, mask_ratio, "tiles")
        if len(short) == count:
            raise ValueError(f"{said}: hide more, or choose another picture")
        warnings.warn(f"{said}: what no other tile reaches is not predicted", stacklevel=1)
        lost = lost | ~reached
        mask = mask | lost
    weight = np.outer(*(np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2 for side in c.hw))[..., None].astype(
        np.float32
    )
    total, weights = np.zeros_like(pixels), np.zeros((*pixels.shape[:2], 1), np.float32)
    for visible, corners in by_visible.items():
        for start in range(0, len(corners), BATCH) if visible else ():
            some = corners[start : start + BATCH]
            boxes = [np.s_[y * p : (y + tall) * p, x * p : (x + wide) * p] for y, x in some]
            images = torch.from_numpy(np.stack([pixels[box] for box in boxes])).permute(0, 3, 1, 2)
            hidden, unknown = (
                torch.stack([of[y : y + tall, x : x + wide].flatten() for y, x in some]) for of in (mask, lost)
            )
            made, _ = model.reconstruct(images.to(device), Masking.from_mask(hidden, unknown if lost.any() else None))
            for box, tile in zip(boxes, made.permute(0, 2, 3, 1).cpu().numpy(), strict=True):
                total[box] += weight * tile
                weights[box] += weight
    mean = np.broadcast_to(np.asarray(c.pixel_mean, np.float32), pixels.shape[2:])  # where no tile sees anything
    raw = np.where(weights > 0, total / np.maximum(weights, 1e-12), mean)
    result = Reconstruction(pixels, raw, mask.numpy(), missing=lost.numpy() if lost.any() else None)
    return replace(result, look=look_of(pixels, values, bands, result.known))


def _masks(grid: tuple[int, int], ratio: float, seed: int, strategy: str, missing: torch.Tensor) -> torch.Tensor:
    """Masks (T, N) bool of tiles side by side, True = hidden, for their missing patches (T, N) bool.

    As many visible patches as ever would leave nothing hidden beside a large hole: each tile shows the same share of what is
    known of it. One tile alone is masked as by `reconstruct`.
    """
    if len(missing) == 1:
        return seeded(grid, ratio, seed, strategy, missing=missing).mask
    noise = seeded_noise(grid, seed, strategy, len(missing)).masked_fill(missing, torch.inf)
    keep = [num_visible(known, ratio) if known else 0 for known in (~missing).sum(dim=1).tolist()]
    return noise.argsort(dim=1, stable=True).argsort(dim=1) >= torch.tensor(keep)[:, None]
