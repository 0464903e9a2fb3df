"""A report on a data set before anybody trains on it: what is in it, what is wrong with it, where to begin."""

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import MAEConfig
from ..datasets import DatasetError, PackedImages, Values
from ..datasets.bands import derive
from ..datasets.duplicates import near_duplicates
from ..datasets.loading import cache_folder, find_source
from ..datasets.missing import Nodata, count_named, missing_of, said_mixed, said_too_few, stated_nodata
from ..datasets.packed import decode_one
from ..datasets.sources import GroupsShared, Source, group_keys
from ..datasets.survey import QUANTILES, Look, fits, main_kind, quantiles, survey
from ..datasets.tiles import cut
from ..drawing import hatched, to_uint8
from .first_recipe import RATIO, model_for, options, suggestion
from .protocols import evaluate_baselines
from .reconstruction import first_usable, look_of

FILLS = ("visible_mean", "gaussian", "diffusion")
SCORED = 256  # pictures
SHOWN = 24  # of the contact sheet
MOSTLY = 0.5  # share of missing pixels; of pictures with more, near duplicates are not looked for
NAMED = 20  # names of a kind in text and page; JSON has them all


@dataclass(frozen=True)
class Report:
    """`data`, ready for JSON, and some of the `pictures` (n, H, W, 3) uint8 for the eye, `shown` in which way."""

    data: dict[str, Any]
    pictures: np.ndarray
    shown: str = ""


def report(
    data: str | Path,
    *,
    model: str | None = None,
    group: str | None = None,
    tiles: tuple[int, int] | None = None,
    overlap: int = 0,
    value_range: Sequence[float] | None = None,
    nodata: Nodata | None = None,
    cache: Path | None = None,
    progress: bool = True,
    device: torch.device | str = "cpu",
) -> Report:
    """Look at every picture of a data set (see `maelib.datasets.load_dataset`), damaged ones included, and measure.

    Parameters
    ----------
    model
        The preset that the pictures are for; chosen by their size and the device if left out.
    nodata
        The value that means "not known", see `maelib.datasets.load_dataset`.

    Raises
    ------
    DatasetError
        There is nothing that can be read; or `group` is not found in some of the names.
    """
    findings: list[str] = []
    place, nodata = cache or cache_folder(), stated_nodata(nodata)
    every = find_source(data, "all", place, progress=progress)
    val, note = _validation(data, group, place, findings)
    looks, damaged = survey(every, progress, nodata)
    if not looks:
        name, reason = next(iter(damaged.items()))
        raise DatasetError(f"none of the {len(damaged)} pictures can be read; {name}: {reason}")
    kind = main_kind(looks)
    others = [look.name for look in looks if not fits(look.kind, kind)]
    good = [look for look in looks if fits(look.kind, kind)]
    config = model_for(kind[0], statistics.median(min(look.hw) for look in good), model, device)
    source, packed = _some(every, good, config, tiles, overlap, value_range, nodata, findings, damaged)
    usable = first_usable(packed, config, RATIO, len(packed))
    if short := sorted(set(range(len(packed))) - set(usable)):
        first, what = packed.where(short[0]), "tiles" if source.tile else "pictures"
        said = said_too_few(len(short), len(packed), first, math.prod(config.grid), RATIO, what)
        findings.append(f"{said}: training and scores leave such ones out")
    named = count_named((look.name, look.named) for look in looks)
    if mixed := said_mixed({"nodata": nodata, "named": named, "count": len(looks), "blocks": [[looks[0].name]]}):
        findings.append(mixed)
    findings += _framed(looks)
    stated = nodata
    if mixed and len(one := named.keys() - {"none"}) == 1:
        stated = stated_nodata(*one)
    values = packed.values
    both = {name for name in every.members if name not in val} if val else set(every.members)
    found: dict[str, Any] = {
        "data": str(data),
        "pictures": len(every.members),
        "split": {"train": len(both), "val": len(every.members) - len(both), "note": note},
        "damaged": damaged,
        "kinds": _counts(f"{look.bands} x {look.dtype}" for look in looks),
        "other_kind": others,
        "sizes": _sizes(looks),
        "files": _counts(Path(look.name).suffix.lower() for look in looks),
        "quantiles": {"of": QUANTILES, "bands": quantiles(looks, kind[0])},
        "missing": {
            "pictures": sum(look.missing > 0 for look in looks),
            "share": statistics.fmean(look.missing for look in looks),
        },
        "constant": [look.name for look in looks if look.constant],
        "duplicates": _duplicates(
            [look for look in good if not look.constant and look.missing <= MOSTLY], val, values, progress
        ),
        "groups": _groups(every, group, val),
    }
    protocols = ("pasted", "masked")
    found["baselines"] = {}
    if usable:
        found["baselines"] = evaluate_baselines(
            _part(packed, usable), config.hw, config.patch_size, protocols, FILLS, mask_ratio=RATIO, progress=progress
        )
    share = len(both) / len(every.members)
    found["suggestion"] = suggestion(data, config, packed, round(len(source.members) * share), device)
    found["suggestion"]["command"] += options(group, tiles, overlap, value_range, stated)
    found["findings"] = findings + _findings(found)
    chosen = np.linspace(0, len(packed) - 1, min(SHOWN, len(packed))).astype(int)
    pixels = packed.unit(chosen, config.pixel_mean).permute(0, 2, 3, 1).numpy()
    pictures, look = [], look_of(pixels[0], values)
    for index, picture in zip(chosen, pixels, strict=True):
        holes = missing_of(packed.picture(index))
        shown = to_uint8(picture, look_of(picture, values, known=None if holes is None else ~holes))
        pictures.append(shown if holes is None else hatched(shown, holes))
    return Report(found, np.stack(pictures), look.words if look else "")


def _part(packed: PackedImages, which: list[int]) -> PackedImages:
    """Some of the pictures."""
    missing = None if packed.missing is None else packed.missing[which]
    return replace(packed, images=packed.images[which], missing=missing)


def _validation(data: Any, group: str | None, place: Path, findings: list[str]) -> tuple[set[str], str]:
    """Names of the pictures for validation, and how they were chosen; what stands against it becomes a finding."""
    if data == "samples":
        return set(), "train and val are the same ten pictures"
    try:
        found = find_source(data, "val", place, group=group)
        return set(found.members), found.note
    except GroupsShared as error:
        findings.append(str(error))
        return _validation(data, None, place, findings)
    except DatasetError as error:
        if "no pictures for" not in str(error):
            raise
        findings.append(str(error))
        return set(), ""


def _some(
    every: Source,
    good: list[Look],
    config: MAEConfig,
    tiles: Any,
    overlap: int,
    value_range: Any,
    nodata: Nodata | None,
    findings: list[str],
    damaged: dict[str, str],
) -> tuple[Source, PackedImages]:
    """The readable pictures as training would see them, and some of them, evenly taken, at the model's size; those that only
    now turn out to be damaged are added to the others."""
    names = {look.name for look in good}
    source = replace(every, members=[name for name in every.members if name in names], labels=None)
    if tiles:
        try:
            source = cut(source, tiles, overlap)
        except DatasetError as error:
            findings.append(str(error))
    chosen = np.linspace(0, len(source.members) - 1, min(SCORED, len(source.members))).astype(int).tolist()
    images, called = [], []
    for index in chosen:
        try:
            images.append(decode_one(source, index, config.hw, config.channels, nodata))
            called.append(source.called(index))
        except DatasetError as error:
            damaged[source.members[index]] = str(error)
    if not images:
        raise DatasetError(next(iter(damaged.values())))
    pixels, holes = np.stack([np.ma.getdata(image) for image in images]), [missing_of(image) for image in images]
    missing = None
    if any(hole is not None for hole in holes):
        missing = np.stack([np.zeros(config.hw, bool) if hole is None else hole for hole in holes])
    values = Values(value_range[0], value_range[1], str(pixels.dtype)) if value_range else derive(pixels, missing)
    if values.low == values.high:
        values = Values(values.low, values.low + 1, values.dtype)
    return source, PackedImages(every.name, pixels, None, [], values, missing=missing, where=called.__getitem__)


def _framed(looks: list[Look]) -> list[str]:
    """A finding on pictures with a border of one value, which may stand for "not known"."""
    framed = [(look.name, *look.frame) for look in looks if look.frame and look.named is None]
    if not framed:
        return []
    name, value, share = framed[0]
    others = f" (and {len(framed) - 1:,} more pictures have such a border)" if len(framed) > 1 else ""
    said = f"{name}: {share:.0%} of its pixels are {value:g} in all bands, along its border, too{others}"
    return [f'{said}; if that means "not known", give --nodata={value:g}']


def _counts(items: Any) -> dict[str, int]:
    return dict(Counter(items).most_common())


def _sizes(looks: list[Look]) -> dict[str, Any]:
    by_area = sorted((look.hw for look in looks), key=math.prod)
    picked = {"smallest": by_area[0], "median": by_area[len(by_area) // 2], "largest": by_area[-1]}
    return {name: list(hw) for name, hw in picked.items()} | {"different": len(set(by_area))}


def _duplicates(looks: list[Look], val: set[str], values: Values, progress: bool) -> dict[str, Any]:
    if len(looks) < 2:
        return {"pairs": [], "across": [], "pictures": 0, "complete": True}
    pairs, complete = near_duplicates(np.stack([look.small for look in looks]), values.high - values.low, progress)
    named = [[looks[a].name, looks[b].name] for a, b in pairs.tolist()]
    across = [pair for pair in named if (pair[0] in val) != (pair[1] in val)]
    return {"pairs": named, "across": across, "pictures": len(np.unique(pairs)), "complete": complete}


def _groups(every: Source, group: str | None, val: set[str]) -> dict[str, Any] | None:
    if group is None:
        return None
    keys = group_keys(every.members, group, str(every.origin))
    sizes = sorted(Counter(keys).values())
    of_val = {key for key, name in zip(keys, every.members, strict=True) if name in val}
    of_train = {key for key, name in zip(keys, every.members, strict=True) if name not in val}
    return {
        "expression": group,
        "groups": len(sizes),
        "val": len(of_val),
        "both": len(of_val & of_train),
        "pictures": {"fewest": sizes[0], "median": sizes[len(sizes) // 2], "most": sizes[-1]},
    }


def _findings(found: dict[str, Any]) -> list[str]:
    """What should be seen to before training, each in a sentence."""

    lines, most = [], next(iter(found["kinds"]))
    for names, what, remedy in (
        (list(found["damaged"]), "cannot be read", "training stops at them, take them out or get them again"),
        (found["other_kind"], f"are of another kind than most ({most})", "train on one kind"),
        (found["constant"], "have one value everywhere", "they teach nothing"),
    ):
        if names:
            lines.append(f"{len(names):,} of {found['pictures']:,} pictures {what}, such as {names[0]}: {remedy}")
    if pairs := found["duplicates"]["across"]:
        lines.append(
            f"{len(pairs):,} pairs of near duplicates stand on both sides of the split, such as {pairs[0][0]} and "
            f"{pairs[0][1]}: scores on val are too good; remove one of each"
        )
    smallest, side = found["sizes"]["smallest"], found["suggestion"]["size"]
    if smallest[0] < side[0] or smallest[1] < side[1]:
        lines.append(
            f"the smallest picture, {smallest[0]} x {smallest[1]} pixels, is enlarged to {side[0]} x {side[1]}"
        )
    median = found["sizes"]["median"]
    if "--tiles" not in found["suggestion"]["command"] and min(median) >= 4 * max(side):
        lines.append(
            f"scaled to {side[0]} x {side[1]}, pictures of {median[0]} x {median[1]} pixels lose their detail: where that "
            f"matters, cut them with --tiles {max(side)}"
        )
    return lines
