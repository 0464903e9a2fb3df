"""A report on a data set before anybody trains on it: what is in it, what is wrong with it, where to begin."""

import math
import re
import shlex
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
FEWEST = 5  # groups for one to be proposed: of two or three, a split would hold out a half or a third
LONGEST = 4000  # characters of a command that is shown
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
    whole = [name for name in every.members if name not in damaged]
    n_val = sum(name in val for name in whole)
    keys = (
        None
        if group is None
        else dict(zip(every.members, group_keys(every.members, group, str(every.origin)), strict=True))
    )
    found: dict[str, Any] = {
        "data": str(data),
        "pictures": len(every.members),
        "split": {"train": len(whole) - n_val, "val": n_val, "note": note},
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
            [look for look in good if not look.constant and look.missing <= MOSTLY], val, keys, values, progress
        ),
        "groups": _groups(keys, group, val),
    }
    protocols = ("pasted", "masked")
    found["baselines"] = {}
    if usable:
        found["baselines"] = evaluate_baselines(
            _part(packed, usable), config.hw, config.patch_size, protocols, FILLS, mask_ratio=RATIO, progress=progress
        )
    share = 1 - n_val / len(whole)
    found["suggestion"] = suggestion(data, config, packed, round(len(source.members) * share), device)
    found["suggestion"]["first"] = _moving([*damaged, *others], every)
    words = options(group, tiles, overlap, value_range, stated)
    for recipe in [found["suggestion"], *filter(None, [found["suggestion"].get("smaller")])]:
        recipe["command"] += words
    found["findings"] = findings + _findings(found)
    across = found["duplicates"]["across"]
    if group is None and "held out" in note and (option := likely_group(every.members, across)):
        found["findings"].append(
            f"by their names pictures belong together, also near duplicates across the split: {option} keeps them on one side"
        )
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
    """Height and width, each on its own."""
    heights, widths = (sorted(sides) for sides in zip(*(look.hw for look in looks), strict=True))
    places = {"smallest": 0, "median": len(looks) // 2, "largest": -1}
    picked = {name: [heights[i], widths[i]] for name, i in places.items()}
    return picked | {"different": len({look.hw for look in looks})}


def _duplicates(
    looks: list[Look], val: set[str], keys: dict[str, str] | None, values: Values, progress: bool
) -> dict[str, Any]:
    """Pairs of names: exact copies, near duplicates, and those of both that are parted by the split or by groups."""
    pairs, complete = np.zeros((0, 2), int), True
    if len(looks) > 1:
        pairs, complete = near_duplicates(np.stack([look.small for look in looks]), values.high - values.low, progress)
    kinds: dict[str, Any] = {"copies": [], "near": []}
    for a, b in pairs.tolist():
        same = looks[a].digest == looks[b].digest
        kinds["copies" if same else "near"].append([looks[a].name, looks[b].name])
    every = kinds["copies"] + kinds["near"]
    return kinds | {
        "across": [[a, b] for a, b in every if (a in val) != (b in val)],
        "across_groups": [[a, b] for a, b in every if keys and keys[a] != keys[b]],
        "pictures": len(np.unique(pairs)),
        "complete": complete,
    }


def likely_group(names: list[str], pairs: list[list[str]]) -> str:
    """The option --group that keeps most of some pairs of names together, and of several such the one of the most groups; ""
    where folders and common numbers in the names say nothing of the kind."""
    words = {match[1] for name in names if (match := re.match(r"(\D*?)\d+\D", Path(name).stem))}
    tried = [r"^([^/]+)/", *(rf"{re.escape(word) or '(?:^|/)'}(\d+)" for word in words if len(words) == 1)]
    found = []
    for expression in tried:
        keys = {name: match[1] for name in names if (match := re.search(expression, name))}
        groups, kept = len(set(keys.values())), sum(keys.get(a) == keys.get(b) for a, b in pairs)
        if len(keys) == len(names) and FEWEST <= groups < len(names) and kept:
            found.append((kept, groups, expression))
    return f"--group {shlex.quote(max(found)[2])}" if found else ""


def _moving(names: list[str], source: Source) -> str:
    """How files at which training would stop are moved out of the way first: a command, or else a sentence."""
    place = source.origin
    if not names:
        return ""
    aside = f"{place.resolve()}-set-aside"
    files = shlex.join(str(place / name) for name in names)
    command = f"mkdir -p {shlex.quote(aside)} && mv -n {files} {shlex.quote(aside)}"
    one_name_each = len({Path(name).name for name in names}) == len(names)
    if place.is_dir() and one_name_each and len(command) < LONGEST:
        return command
    return f"take the {len(names):,} files that training cannot use, which the JSON file names, out of {place}"


def _groups(keys: dict[str, str] | None, group: str | None, val: set[str]) -> dict[str, Any] | None:
    if keys is None:
        return None
    sizes = sorted(Counter(keys.values()).values())
    sides = [{key for name, key in keys.items() if (name in val) == side} for side in (True, False)]
    return {
        "expression": group,
        "groups": len(sizes),
        "val": len(sides[0]),
        "both": len(sides[0] & sides[1]),
        "pictures": {"fewest": sizes[0], "median": sizes[len(sizes) // 2], "most": sizes[-1]},
    }


def _findings(found: dict[str, Any]) -> list[str]:
    """What should be seen to before training, each in a sentence."""

    lines, most = [], next(iter(found["kinds"]))
    for names, what, remedy in (
        (
            list(found["damaged"]),
            "cannot be read",
            "training stops at them, move them away (see where to begin) or get them again",
        ),
        (found["other_kind"], f"are of another kind than most ({most})", "training stops at them, move them away"),
        (found["constant"], "have one value everywhere", "they teach nothing"),
    ):
        if names:
            lines.append(f"{len(names):,} of {found['pictures']:,} pictures {what}, such as {names[0]}: {remedy}")
    if pairs := found["duplicates"]["across"]:
        lines.append(
            f"{len(pairs):,} pairs of copies or near duplicates stand on both sides of the split, such as {pairs[0][0]} and "
            f"{pairs[0][1]}: scores on val are too good; remove one of each"
        )
    if pairs := found["duplicates"]["across_groups"]:
        lines.append(
            f"{len(pairs):,} pairs of copies or near duplicates are of two groups each, such as {pairs[0][0]} and "
            f"{pairs[0][1]}: look whether these groups are one"
        )
    smallest, side = found["sizes"]["smallest"], found["suggestion"]["size"]
    if smallest[0] < side[0] or smallest[1] < side[1]:
        lines.append(
            f"pictures down to {smallest[0]} pixels high and {smallest[1]} wide are enlarged to {side[0]} x {side[1]}"
        )
    median = found["sizes"]["median"]
    if "--tiles" not in found["suggestion"]["command"] and min(median) >= 4 * max(side):
        lines.append(
            f"scaled to {side[0]} x {side[1]}, pictures of {median[0]} x {median[1]} pixels lose their detail: where that "
            f"matters, cut them with --tiles {max(side)}"
        )
    return lines
