"""One function that finds, packs and opens a data set."""

import os
import tempfile
from pathlib import Path

from ..files import data_path
from .download import download_tiny_imagenet
from .images import samples
from .packed import PackedImages, open_or_pack
from .sources import DatasetError, Source, Tree, any_folder, tiny_imagenet

KAGGLE_INPUT = Path("/kaggle/input")
SPLITS = ("train", "val")
DEPTH = 6  # levels of folders searched for a data set ...
FOLDERS = 10_000  # ... and folders looked into on each


def load_dataset(
    source: str | Path = "tiny-imagenet",
    split: str = "train",
    *,
    size: int = 64,
    cache: str | Path | None = None,
    download: bool = True,
    progress: bool = True,
) -> PackedImages:
    """Pictures of a data set as uint8, packed into a cache at the first call.

    Parameters
    ----------
    source
        "tiny-imagenet": from the folder MAELIB_DATA; without it from ./data, the cache, Kaggle's inputs, or downloaded;
        "samples": the shipped pictures, the same for both splits; or a path: a zip or folder of Tiny ImageNet, or any
        zip or folder of pictures. Folders `train/` and `val/` in it are the splits, else 5 % of the pictures are "val";
        the first folder on the way to a picture is its class.
    split
        "train" or "val".
    size
        Height and width in pixels; pictures of another size are resized and cut about their centre.
    cache
        Where packed data is kept; by default MAELIB_CACHE, else `~/.cache/maelib`, else a temporary folder.
    download
        Whether Tiny ImageNet (248 MB) may be downloaded into the cache where it is not found.
    progress
        Show bars on a terminal.

    Returns
    -------
    `images` (n, size, size, 3) uint8, `labels` (n,) int64 or None, `classes`.

    Raises
    ------
    DatasetError
        Nothing found, damaged, or empty; names the file and the remedy.
    ValueError
        Unknown split or size.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be 'train' or 'val', got {split!r}")
    if size < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    folder = Path(cache).expanduser() if cache else cache_folder()
    return open_or_pack(find_source(source, split, folder, download, progress), size, folder, progress)


def find_source(source: str | Path, split: str, cache: Path, download: bool = True, progress: bool = True) -> Source:
    """The files of a data set, not decoded yet; see `load_dataset`."""
    if source == "samples":
        tree = Tree(data_path("samples"))
        return tree.source("samples", [name for name in tree.names() if Path(name).stem in samples()], None, [])
    if source == "tiny-imagenet":
        return tiny_imagenet(*_find_tiny_imagenet(cache, download, progress), split)
    path = Path(source).expanduser()
    if not path.exists():
        raise DatasetError(f"no data at {path}: give a folder of pictures, a zip, 'tiny-imagenet' or 'samples'")
    if path.is_file() and path.suffix.lower() != ".zip":
        raise DatasetError(f"{path} is neither a folder nor a zip: give the folder of your pictures")
    if found := _search(path, depth=3):
        return tiny_imagenet(*found, split)
    return any_folder(Tree(path), split)


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
