"""One function that finds, packs and opens a data set."""

import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

from ..files import data_path
from .bands import EIGHT_BIT, MAX_BANDS, stated
from .download import download_tiny_imagenet
from .images import samples
from .missing import Nodata, stated_nodata
from .packed import PackedImages, open_or_pack
from .sources import DatasetError, Source, Tree, Unreadable, any_folder, tiny_imagenet
from .survey import survey
from .tiles import cut

KAGGLE_INPUT = Path("/kaggle/input")
SPLITS = ("train", "val", "all")
DEPTH = 6  # levels of folders searched for a data set ...
FOLDERS = 10_000  # ... and folders looked into on each


def load_dataset(
    source: str | Path = "tiny-imagenet",
    split: str = "train",
    *,
    size: int | tuple[int, int] = 64,
    channels: int = 3,
    value_range: tuple[float, float] | None = None,
    group: str | None = None,
    tiles: int | tuple[int, int] | None = None,
    overlap: int = 0,
    nodata: Nodata | None = None,
    cache: str | Path | None = None,
    download: bool = True,
    progress: bool = True,
) -> PackedImages:
    r"""Pictures of a data set with their own values, packed into a cache at the first call.

    Parameters
    ----------
    source
        "tiny-imagenet": from the folder MAELIB_DATA; without it from ./data, the cache, Kaggle's inputs, or downloaded;
        "samples": the shipped pictures, the same for both splits; or a path: a zip or folder of Tiny ImageNet, or any
        zip or folder of pictures. Folders `train/` and `val/` in it are the splits, else 5 % of the pictures are "val";
        the first folder on the way to a picture is its class.
    split
        "train", "val", or "all" for both.
    size
        Pixels of a side, or (height, width). Pictures of another size are scaled to cover it and their middle is cut out,
        never distorted.
    channels
        Bands of a picture, 1 to 16; see `read_bands` for what becomes of pictures that have others.
    value_range
        The values that become 0 and 1. By default 0 and 255 for 8-bit pictures, for all others the 0.1 and 99.9 % quantiles of
        the known values of the training pictures over all bands.
    group
        A regular expression over the names inside the data set, such as r"scene(\d+)". Pictures for which its first group, or
        the whole match, is the same stay on one side of the split, where the data has no `train/` and `val/`; where it has
        them, it is an error if both hold pictures of one group.
    tiles
        Cut every picture into tiles of so many pixels, or (height, width), instead of scaling it; see
        `maelib.datasets.tiles`. Those of one picture stay on one side of the split; the last of a row or column is shifted
        inward, so that it overlaps. Tiles of another size than `size` are then scaled as pictures are.
    overlap
        Pixels that neighbouring tiles share.
    nodata
        The value that means "not known", beside NaN and the alpha 0 of a TIFF; by default each file's own (GDAL_NODATA). A
        pixel that has it in any band is missing.
    cache
        Where packed data is kept; by default MAELIB_CACHE, else `~/.cache/maelib`, else a temporary folder.
    download
        Whether Tiny ImageNet (248 MB) may be downloaded into the cache where it is not found.
    progress
        Show bars on a terminal.

    Returns
    -------
    `images` (n, height, width, channels) uint8, uint16, int16 or float32, `labels` (n,) int64 or None, `classes`, `values`,
    `missing` (n, height, width) bool or None; see `PackedImages`.

    Raises
    ------
    DatasetError
        Nothing found, damaged, or empty, smaller than a tile, or without a group; names the file and the remedy.
    ValueError
        Unknown split, size, channels, range, group, tiles, overlap or nodata.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 'train', 'val' or 'all', got {split!r}")
    hw, tile = _sides(size, "size"), None if tiles is None else _sides(tiles, "tiles")
    if overlap and tile is None:
        raise ValueError(f"overlap {overlap} is that of tiles: give their size too (--tiles)")
    if type(overlap) is not int or not 0 <= overlap < min(tile or (1,)):
        raise ValueError(f"overlap must be a whole number from 0 to the tile's shorter side less 1, got {overlap!r}")
    if not 1 <= channels <= MAX_BANDS:
        raise ValueError(f"channels must be from 1 to {MAX_BANDS}, got {channels}")
    folder = Path(cache).expanduser() if cache else cache_folder()
    found = find_source(source, split, folder, download, progress, group)
    if tile is not None:
        try:
            found = cut(found, tile, overlap, progress)
        except Unreadable as error:  # by their headers: others may be damaged further on
            raise Unreadable(found, survey(found, progress)[1] | error.reasons) from error
    packed = open_or_pack(found, hw, folder, progress, channels, stated_nodata(nodata))
    values = packed.values
    if value_range is not None:
        values = stated(value_range, packed.images.dtype)
    elif split != "train" and values != EIGHT_BIT:
        values = load_dataset(
            source,
            size=size,
            channels=channels,
            group=group,
            tiles=tiles,
            overlap=overlap,
            nodata=nodata,
            cache=cache,
            download=download,
            progress=progress,
        ).values
    if values.low == values.high:
        if packed.missing is not None and packed.missing.all():
            raise DatasetError(f"no pixel of {packed.name} is known: check the nodata value")
        only = f"nearly all values of {packed.name} are {values.low:g}"
        raise DatasetError(f"{only}: say with --range LOW HIGH which values are to be 0 and 1")
    return replace(packed, values=values, note=found.note, where=found.called)


def find_source(
    source: str | Path, split: str, cache: Path, download: bool = True, progress: bool = True, group: str | None = None
) -> Source:
    """The files of a data set, not decoded yet; see `load_dataset`."""
    if group is not None:
        try:
            re.compile(group)
        except re.error as error:
            raise ValueError(f"group must be a regular expression, got '{group}' ({error})") from error
    if source == "samples":
        tree = Tree(data_path("samples"))
        names = [name for name in tree.names() if Path(name).stem in samples()]
        return _ungrouped(tree.source("samples", names, None, []), group)
    if source == "tiny-imagenet":
        return _ungrouped(tiny_imagenet(*_find_tiny_imagenet(cache, download, progress), split), group)
    path = Path(source).expanduser()
    if not path.exists():
        raise DatasetError(f"no data at {path}: give a folder of pictures, a zip, 'tiny-imagenet' or 'samples'")
    if path.is_file() and path.suffix.lower() != ".zip":
        raise DatasetError(f"{path} is neither a folder nor a zip: give the folder of your pictures")
    if found := _search(path, depth=3):
        return _ungrouped(tiny_imagenet(*found, split), group)
    return any_folder(Tree(path), split, group)


def _ungrouped(source: Source, group: str | None) -> Source:
    if group is not None:
        raise DatasetError(f"{source.name} has splits of its own: leave out --group '{group}'")
    return source


def _sides(size: int | tuple[int, int], name: str) -> tuple[int, int]:
    """Height and width; ValueError where they are none."""
    hw = size if isinstance(size, tuple) else (size, size)
    if len(hw) != 2 or not all(type(side) is int and side > 0 for side in hw):
        raise ValueError(f"{name} must be one whole number or (height, width), each at least 1 pixel, got {size!r}")
    return hw


def cache_folder() -> Path:
    """Where packed data goes by default: MAELIB_CACHE, else the first place that can be written.

    On Kaggle that is `~/.cache`, not /kaggle/working, which is kept and would carry the cache into every version.
    """
    if wanted := os.environ.get("MAELIB_CACHE"):
        return Path(wanted).expanduser()
    for path in (Path.home() / ".cache" / "maelib", Path(tempfile.gettempdir()) / "maelib"):
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                return path
        except OSError:
            continue
    raise DatasetError("no folder for the cache can be written: set MAELIB_CACHE to one")


def _find_tiny_imagenet(cache: Path, download: bool, progress: bool) -> tuple[Tree, str]:
    if named := os.environ.get("MAELIB_DATA"):
        if found := _search(Path(named)):
            return found
        state = "holds no Tiny ImageNet" if Path(named).exists() else "does not exist"
        raise DatasetError(
            f"MAELIB_DATA names {named}, which {state}: expected tiny-imagenet-200.zip, or a folder with wnids.txt, "
            "train/ and val/; unset it to have the data downloaded"
        )
    places = [Path("data"), cache, KAGGLE_INPUT]
    for place in places:
        if found := _search(place):
            return found
    if not download:
        raise DatasetError(f"no Tiny ImageNet in {', '.join(map(str, places))}: set MAELIB_DATA, or allow the download")
    archive = download_tiny_imagenet(cache, progress=progress)
    if found := _in_zip(archive):
        return found
    raise DatasetError(f"{archive} holds no Tiny ImageNet: remove it")


def _search(place: Path, depth: int = DEPTH) -> tuple[Tree, str] | None:
    """Tiny ImageNet at a place, by its content: a zip, an unpacked folder, or the nearest of either below."""
    if place.is_file():
        return _in_zip(place)
    level = [place]
    for _ in range(depth + 1):
        below: list[Path] = []
        for folder in level[:FOLDERS]:
            if (folder / "wnids.txt").is_file() and (folder / "val" / "val_annotations.txt").is_file():
                return Tree(folder), ""
            try:
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
            except OSError:  # absent or not ours to read
                continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    below.append(Path(entry.path))
                elif entry.name.lower().endswith(".zip") and (found := _in_zip(Path(entry.path), strict=False)):
                    return found
        level = below
    return None


def _in_zip(path: Path, strict: bool = True) -> tuple[Tree, str] | None:
    """The zip and the folder in it that holds Tiny ImageNet; a damaged one raises if `strict` or so named."""
    try:
        tree = Tree(path)
    except DatasetError:
        if strict or "tiny-imagenet" in path.name:
            raise
        return None
    names = set(tree.zip.namelist()) if tree.zip else set()
    for name in sorted(names):
        root = name.removesuffix("wnids.txt")
        if root != name and f"{root}val/val_annotations.txt" in names:
            return tree, root
    return None
