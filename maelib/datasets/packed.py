"""Pictures decoded once into a file that processes share: uint8, mapped into memory, checked when opened."""

import json
import os
import shutil
import tempfile
import warnings
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image
from tqdm import tqdm

from .pictures import PictureError, fit_square, read_picture
from .sources import DatasetError, Source

VERSION = 1
CHUNK = 1 << 24  # bytes that are checked at a time


@dataclass(frozen=True)
class PackedImages:
    """Pictures of one size, ready to be cut into batches.

    `images` (n, size, size, 3) uint8, read-only, mapped into memory; `labels` (n,) int64 or None; `classes` their names.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    classes: list[str]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return self.images.shape[1]


def open_or_pack(source: Source, size: int, cache: Path, progress: bool = True) -> PackedImages:
    """The packed pictures of a source, from the cache where they are, packed now where not.

    Processes that ask at once wait for the one that packs. A damaged cache is reported and made again.

    Raises
    ------
    DatasetError : a picture does not decode, or the cache cannot be written; names the file.
    """
    target = cache / f"{source.name.replace('/', '-')}-{size}-{source.key()}"
    if target.is_dir() and (packed := _open_checked(target)):
        return packed
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):  # the system frees it when its holder dies
            if target.is_dir() and (packed := _open_checked(target)):
                return packed
            shutil.rmtree(target, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(dir=cache, prefix=f"{target.name}.part-"))
            try:
                _pack(source, size, temporary, progress)
                os.replace(temporary, target)
            finally:
                for leftover in cache.glob(f"{target.name}.part-*"):  # of this process, or of one that was killed
                    shutil.rmtree(leftover, ignore_errors=True)
    except OSError as error:
        raise DatasetError(f"cannot write the cache {cache} ({error}): set MAELIB_CACHE to a folder with room") from error
    return _open(target)


def _pack(source: Source, size: int, folder: Path, progress: bool) -> None:
    """Decode every picture into `images.npy`, on all cores: PIL decodes without holding Python's lock."""
    n = len(source.members)
    out = np.lib.format.open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=(n, size, size, 3))

    def decode(indices: Iterable[int]) -> int:
        for count, i in enumerate(indices, start=1):
            out[i] = decode_one(source, i, size)
        return count

    parts = [range(start, min(start + 256, n)) for start in range(0, n, 256)]
    bar = tqdm(total=n, desc=f"packing {source.name}", unit="picture", disable=None if progress else True)
    with bar, ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        try:
            for count in pool.map(decode, parts):
                bar.update(count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    out.flush()
    np.save(folder / "labels.npy", np.zeros(0, np.int64) if source.labels is None else source.labels)
    about = {
        "version": VERSION, "name": source.name, "classes": source.classes, "labelled": source.labels is not None,
        "shape": list(out.shape), "checksums": _checksums(folder),
    }  # fmt: skip
    with (folder / "about.json").open("w") as file:
        json.dump(about, file)
        file.flush()
        os.fsync(file.fileno())


def decode_one(source: Source, index: int, size: int) -> np.ndarray:
    """One picture as (size, size, 3) uint8; DatasetError names it where it does not decode."""
    try:
        picture = read_picture(source.read(index))
    except PictureError as error:
        reason = str(error).removeprefix("the given bytes ")
        raise DatasetError(f"{source.where(index)} {reason}") from error
    if picture.size != (size, size):
        picture = fit_square(picture, size)
    return np.asarray(picture)


def _open_checked(folder: Path) -> PackedImages | None:
    """The packed pictures if every byte is as it was written; else a warning and None."""
    try:
        about: dict[str, Any] = json.loads((folder / "about.json").read_text())
        if about["version"] == VERSION and about["checksums"] == _checksums(folder):
            return _open(folder)
        reason = "its content has changed"
    except (OSError, ValueError, KeyError) as error:
        reason = str(error)
    warnings.warn(f"the cache {folder} is damaged ({reason}) and is made again", stacklevel=3)
    return None


def _open(folder: Path) -> PackedImages:
    about = json.loads((folder / "about.json").read_text())
    images = np.load(folder / "images.npy", mmap_mode="r")
    labels = np.load(folder / "labels.npy") if about["labelled"] else None
    return PackedImages(about["name"], images, labels, about["classes"])


def _checksums(folder: Path) -> dict[str, list[int]]:
    """CRC-32 of every 16 MiB of the two files, on all cores."""

    def crc(part: tuple[Path, int]) -> int:
        path, start = part
        with path.open("rb") as file:
            file.seek(start)
            return zlib.crc32(file.read(CHUNK))

    with ThreadPoolExecutor() as pool:
        return {
            name: list(pool.map(crc, [(folder / name, start) for start in range(0, (folder / name).stat().st_size, CHUNK)]))
            for name in ("images.npy", "labels.npy")
        }
