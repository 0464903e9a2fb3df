"""Pixels that nobody knows (NaN, a nodata value, alpha 0), and the patches that have any of them.

In memory a picture with such pixels is a masked array of numpy, True = not known in all its bands. One band that is not
known makes the pixel so. The values under the mask mean nothing.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..masking import num_visible
from ..patches import patchify

Nodata = float | str  # "nan", "inf" and "-inf" are words, so that they go through JSON


def stated_nodata(value: Any) -> Nodata | None:
    """A value that stands for "not known"; ValueError where it is no number."""
    try:
        number = None if value is None else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"nodata must be a number or nan, got {value!r}") from None
    return number if number is None or math.isfinite(number) else str(number)


def spelled(nodata: Nodata) -> str:
    """A nodata value as --nodata takes it, as short as it can be."""
    short = f"{float(nodata):g}"
    return short if isinstance(nodata, str) or float(short) == nodata else repr(nodata)


def count_named(files: Iterable[tuple[str, Nodata | None]]) -> dict[str, list[Any]]:
    """By the nodata value that files name, or "none": how many do, and the first of them; {} where none names any."""
    found: dict[str, list[Any]] = {}
    for name, value in files:
        found.setdefault("none" if value is None else spelled(value), [0, name])[0] += 1
    return found if found.keys() - {"none"} else {}


def said_mixed(*made: Mapping[str, Any]) -> str:
    """The sentence on files of which some name another nodata value than others, or none; "" where all agree.

    `made` are the `made_of` of packed pictures, whose files are taken together.
    """
    counts: dict[str, list[Any]] = {}
    for one in made:
        if one.get("nodata") is not None:
            return ""
        named = one.get("named") or {"none": [one["count"], one["blocks"][0][0]]}
        for value, (count, first) in named.items():
            counts.setdefault(value, [0, first])[0] += count
    silent, first = counts.pop("none", (0, ""))
    of = silent + sum(count for count, _ in counts.values())
    if len(counts) > 1:
        each = ", ".join(f"{value} ({count:,} of {of:,}, first {name})" for value, (count, name) in counts.items())
        rest = f", {silent:,} name none, first {first}" if silent else ""
        return (
            f'files name different values that mean "not known": {each}{rest}: is that so? --nodata states one for all'
        )
    for value, (count, _) in counts.items() if silent else ():
        names, do = "name" if count > 1 else "names", "do" if silent > 1 else "does"
        said = f'{count:,} of {of:,} files {names} a value that means "not known" ({value}), {silent:,} {do} not'
        return f"{said}, first {first}: state it for all with --nodata={value}"
    return ""


def masked(array: np.ndarray, missing: np.ndarray | None) -> np.ndarray:
    """(H, W, C) as it is, or as a masked array where pixels (H, W) bool are missing."""
    if missing is None:
        return array
    return np.ma.array(array, mask=np.broadcast_to(missing[..., None], array.shape))


def missing_of(array: np.ndarray) -> np.ndarray | None:
    """The pixels (H, W) bool of (H, W, C) that a mask says nobody knows; None where there are none."""
    if not np.ma.is_masked(array):
        return None
    return np.asarray(np.ma.getmaskarray(array).any(axis=2))


def find_missing(array: np.ndarray, nodata: Nodata | None = None, alpha: np.ndarray | None = None) -> np.ndarray | None:
    """The pixels (H, W) bool of (H, W, C) that are masked, NaN, the nodata value, or of alpha (H, W) 0; None for none."""
    found, array = missing_of(array), np.ma.getdata(array)
    for band in np.moveaxis(array, 2, 0):  # one at a time: a scene is large
        value, kind = None if nodata is None else float(nodata), band.dtype.kind
        if kind == "f":
            found = _either(found, np.isnan(band))
        if value is None:
            continue
        if kind == "f":
            with np.errstate(over="ignore"):
                found = _either(found, band == band.dtype.type(value))
        elif kind in "iu" and value.is_integer() and np.iinfo(band.dtype).min <= value <= np.iinfo(band.dtype).max:
            found = _either(found, band == band.dtype.type(value))
    return found if alpha is None else _either(found, alpha == 0)


def _either(a: np.ndarray | None, b: np.ndarray) -> np.ndarray | None:
    if not b.any():
        return a
    return b if a is None else a | b


def resize_missing(missing: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """(H, W) bool after `resize_crop`: True where any of the pixels that a bicubic weight reaches is.

    A pixel that is left has all its weights on known pixels: whatever stands in the holes changes nothing in it.
    """
    scale = min(have / wanted for have, wanted in zip(missing.shape, hw, strict=True))
    for axis, wanted in enumerate(hw):
        have = missing.shape[axis]
        moved = scale != 1 or (have - wanted) % 2
        reach = 2 * max(scale, 1) if moved else 0.25
        centre = have / 2 + (np.arange(wanted) + 0.5 - wanted / 2) * scale - 0.5
        first = np.ceil(centre - reach - 1e-6).clip(0, have).astype(int)
        after = (np.floor(centre + reach + 1e-6) + 1).clip(0, have).astype(int)
        count = np.cumsum(missing, axis=axis, dtype=np.int64)
        count = np.concatenate([np.zeros_like(count.take([0], axis)), count], axis=axis)
        missing = count.take(after, axis) > count.take(first, axis)
    return missing


def missing_patches(missing: Tensor, patch_size: int) -> Tensor:
    """Patches (B, N) bool that have any missing pixel, of (B, 1, H, W) bool."""
    return patchify(missing, patch_size).any(dim=2)


def fill_missing(images: Tensor, missing: Tensor | None, pixel_mean: float | tuple[float, ...] | Tensor) -> Tensor:
    """Images (B, C, H, W) with `pixel_mean` in their missing pixels (B, 1, H, W): nothing that is not known goes on."""
    if missing is None:
        return images
    mean = torch.as_tensor(pixel_mean, dtype=images.dtype, device=images.device).reshape(-1, 1, 1)
    return torch.where(missing, mean, images)


def too_few_known(missing: Tensor, ratio: float) -> Tensor:
    """Which images (B,) bool have fewer than K + 1 known patches: one of them must be left to be hidden; (B, N) bool."""
    return (~missing).sum(dim=1) <= num_visible(missing.shape[1], ratio)


def said_too_few(count: int, of: int, first: str, patches: int, ratio: float, what: str = "pictures") -> str:
    """The sentence on pictures, or tiles, with too few known patches."""
    needed = num_visible(patches, ratio) + 1
    have = "has" if count == 1 else "have"
    return f"{count} of {of} {what} {have} fewer than {needed} known patches of {patches}, the first of them {first}"
