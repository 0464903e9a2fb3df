"""What a set of pictures was made of, short enough for a run's config.json, and in what another one differs."""

import hashlib
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

BLOCKS = 16  # runs of names that are told apart, so that one near the first difference can be named
OPTIONS = ("size", "group", "tiles", "overlap", "nodata")


def fingerprint(names: Sequence[str], crcs: Sequence[int]) -> dict[str, Any]:
    """`count`, a `digest` over all pictures, and `blocks`: the first name of each of at most 16 blocks, with its own digest.

    Neither paths nor times count, so that a zip, and its files unpacked on another machine, are the same pictures: names
    are taken below the folder that all share, and of contents the CRC-32, which a zip holds and which packing, where every
    file is read anyhow, costs next to nothing. Sizes alone would miss a changed TIFF or array, which keeps its size.
    """
    above = posixpath.commonpath([posixpath.dirname(name) for name in names])
    names = [name[len(above) :].lstrip("/") for name in names]
    lines = [f"{name} {crc:08x}\n".encode() for name, crc in zip(names, crcs, strict=True)]
    size = _size(len(lines))
    blocks = [
        [names[i], hashlib.sha256(b"".join(lines[i : i + size])).hexdigest()[:6]] for i in range(0, len(lines), size)
    ]
    return {"count": len(lines), "digest": hashlib.sha256(b"".join(lines)).hexdigest()[:16], "blocks": blocks}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """In what pictures by split differ from those of before, for people; what only one of the two tells counts as equal."""
    found = []
    for split in [split for split in old if split in new]:
        before, now = old[split], new[split]
        for option in OPTIONS:
            a, b = _said(before.get(option)), _said(now.get(option))
            text = f"--{option} was {a}, now {b}"
            if a != b and text not in found:
                found.append(text)
        if before["digest"] != now["digest"]:
            counts = f"{before['count']:,} pictures"
            counts += " as before" if before["count"] == now["count"] else f" before, {now['count']:,} now"
            found.append(f"{split} has other pictures: {counts}{_which(before, now)}")
    return found


def _which(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Names of the pictures that differ where blocks are of one picture, else those between which the first of them is; ""
    where blocks do not tell, as those of another size and those that have moved."""
    old, new = before["blocks"], now["blocks"]
    if len(old) == before["count"] and len(new) == now["count"]:
        was, made = dict(old), dict(new)
        kinds = {
            "removed": [name for name in was if name not in made],
            "added": [name for name in made if name not in was],
            "changed": [name for name in made if was.get(name, made[name]) != made[name]],
        }
        return "".join(f", {kind}: {named(names)}" for kind, names in kinds.items() if names)
    at = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))
    if _size(before["count"]) != _size(now["count"]) or at >= len(new) or old[at][0] != new[at][0]:
        return ""
    end = (
        f" and before {old[at + 1][0]!r}"
        if old[at + 1 : at + 2] and old[at + 1 : at + 2] == new[at + 1 : at + 2]
        else ""
    )
    return f", the first difference from {new[at][0]!r} on{end}"


def named(names: Sequence[str], most: int = 5) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(map(repr, names[:most]))}{more}"


def _size(count: int) -> int:
    """Pictures of a block; powers of two: one picture more seldom moves all blocks."""
    size = 1
    while size * BLOCKS < count:
        size *= 2
    return size


def _said(option: Any) -> str:
    """An option as a person gives it."""
    if isinstance(option, (list, tuple)):
        return "x".join(map(str, option))
    if isinstance(option, float):
        return f"{option:g}"
    return f"'{option}'" if isinstance(option, str) else str(option or "none")
