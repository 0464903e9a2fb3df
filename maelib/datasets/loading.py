"""One function that finds, packs and opens a data set."""

import os
import tempfile
from pathlib import Path

from .download import download_tiny_imagenet
from .packed import PackedImages, open_or_pack
from .samples import samples
from .sources import DatasetError, Source, Tree, any_folder, tiny_imagenet

KAGGLE_INPUT = Path("/kaggle/input")
SPLITS = ("train", "val")
DEPTH = 6  # of folders searched for a data set


def load_dataset(
    source: str | Path = "tiny-imagenet", split: str = "train", *, size: int = 64, cache: str | Path | None = None,
    download: bool = True, progress: bool = True,
) -> PackedImages:  # fmt: skip
    """Pictures of a data set as uint8, packed into a cache at the first call.

    Parameters
    ----------
    source : "tiny-imagenet": from the folder MAELIB_DATA, from ./data, from the cache, from Kaggle's inputs, or downloaded;
        "samples": the shipped pictures, the same for both splits;
        or a path: a zip or folder of Tiny ImageNet, or any folder of pictures.
    split : "train" or "val".
    size : height and width in pixels; pictures of another size are resized and cut about their centre.
    cache : where packed data is kept; by default MAELIB_CACHE, else `~/.cache/maelib`, else a temporary folder.

    Raises
    ------
    DatasetError : nothing found, damaged, or empty; names the file and the remedy. ValueError : unknown split or size.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 'train' or 'val', got {split!r}")
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    folder = Path(cache) if cache else cache_folder()
    return open_or_pack(find_source(source, split, folder, download), size, folder, progress)


def find_source(source: str | Path, split: str, cache: Path, download: bool = True) -> Source:
    """The files of a data set, not decoded yet; see `load_dataset`."""
    if source == "samples":
        tree = Tree(_samples_folder())
        names = [name for name in tree.names() if Path(name).stem in samples()]
        return tree.source("samples", names, None, [])
    if source == "tiny-imagenet":
        return tiny_imagenet(*_find_tiny_imagenet(cache, download), split)
    path = Path(source).expanduser()
    if not path.exists():
        raise DatasetError(f"no data at {path}: give a folder of pictures, a Tiny ImageNet zip, 'tiny-imagenet' or 'samples'")
    if found := _tiny_imagenet_in(path, depth=3):
        return tiny_imagenet(*found, split)
    return any_folder(Tree(path), split)


def cache_folder() -> Path:
    """Where packed data goes by default: the first place that can be written."""
    wanted = os.environ.get("MAELIB_CACHE")
    if wanted:
        return Path(wanted)
    for path in (Path.home() / ".cache" / "maelib", Path(tempfile.gettempdir()) / "maelib"):
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                return path
        except OSError:
            continue
    raise DatasetError("no folder for the cache can be written: set MAELIB_CACHE to one")


def _find_tiny_imagenet(cache: Path, download: bool) -> tuple[Tree, str]:
    named = os.environ.get("MAELIB_DATA")
    places = [Path(named)] if named else [Path("data"), cache, KAGGLE_INPUT]
    for place in places:
        if found := _tiny_imagenet_in(place, DEPTH):
            return found
    if named:
        raise DatasetError(
            f"MAELIB_DATA names {named}, which holds no Tiny ImageNet: expected tiny-imagenet-200.zip, or a folder with wnids.txt, "
            "train/ and val/; unset it to have the data downloaded"
        )
    if not download:
        raise DatasetError(f"no Tiny ImageNet in {', '.join(map(str, places))}: set MAELIB_DATA, or allow the download")
    return _tiny_imagenet_in(download_tiny_imagenet(cache), 0) or (Tree(cache), "")


def _tiny_imagenet_in(place: Path, depth: int) -> tuple[Tree, str] | None:
    """Tiny ImageNet at a place, found by its content: a zip, an unpacked folder, or either some folders below."""
    if place.is_file():
        if place.suffix.lower() != ".zip":
            raise DatasetError(f"{place} is a file, not a folder or a zip: give the folder of your pictures")
        tree = Tree(place)
        names = set(tree.names())
        for name in names:
            root = name.removesuffix("wnids.txt")
            if name.endswith("wnids.txt") and f"{root}val/val_annotations.txt" in names:
                return tree, root
        return None
    if not place.is_dir():
        return None
    if (place / "wnids.txt").is_file() and (place / "train").is_dir() and (place / "val/val_annotations.txt").is_file():
        return Tree(place), ""
    try:
        entries = sorted(place.iterdir())
    except OSError:
        return None
    for entry in entries:
        if entry.is_file() and "tiny-imagenet" in entry.name and entry.suffix == ".zip" and (found := _tiny_imagenet_in(entry, 0)):
            return found
    if depth > 0:
        for entry in entries:
            if entry.is_dir() and not entry.name.startswith(".") and (found := _tiny_imagenet_in(entry, depth - 1)):
                return found
    return None


def _samples_folder() -> Path:
    from ..resources import data_path

    return data_path("samples")
