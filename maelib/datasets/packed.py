"""Pictures decoded once into a file that processes share: mapped into memory, checked when opened."""

import json
import os
import re
import shutil
import tempfile
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

from .bands import EIGHT_BIT, OtherBands, Values, derive, read_bands, resize_bands
from .fingerprint import fingerprint
from .images import ImageError
from .missing import Nodata, count_named, fill_missing, masked, missing_of
from .sources import DatasetError, Source, Unreadable
from .tiles import named_nodata, read_tiles

VERSION = 4  # of the files below and of the pixels in them: another number is another cache
ENOUGH = 100  # pictures that cannot be read: no more are looked for
CHUNK = 1 << 24  # bytes that are checked at a time


def _numbered(index: int) -> str:
    """What a picture is called that has no name."""
    return f"no. {index}"


@dataclass(frozen=True)
class PackedImages:
    """Pictures of one size, ready to be cut into batches.

    `images` (n, H, W, C) uint8, uint16, int16 or float32, read-only, mapped into memory; `labels` (n,) int64 or None;
    `classes`: names; `values`: which values become 0 and 1. `note` says how many were held out, where the data does not say
    itself which pictures are for validation. `missing` (n, H, W) bool marks pixels that nobody knows, None where all are
    known; NaN in an array in memory is found. `where` gives a picture's name by its number. `made_of` says from what it was
    made, for a run to compare when it goes on: the options, a fingerprint of the files (see
    `maelib.datasets.fingerprint`), and which nodata values the files name (`named`), if any does.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray | None
    classes: list[str]
    values: Values = EIGHT_BIT
    note: str = ""
    missing: np.ndarray | None = None
    where: Callable[[int], str] = _numbered
    made_of: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise ValueError(f"pictures must be (n, H, W, C), got the shape {self.images.shape}")
        if self.values.dtype not in (None, str(self.images.dtype)):
            raise ValueError(
                f"pictures of {self.images.dtype} need a range of their own, not that of {self.values.dtype}: give "
                "PackedImages(..., values=Values(low, high)), on the command line --range LOW HIGH"
            )
        missing, shape = self.missing, self.images.shape[:3]
        if missing is not None and (missing.dtype != bool or missing.shape != shape):
            raise ValueError(f"missing must be {shape} bool, got {missing.shape} {missing.dtype}")
        if self.images.dtype.kind == "f" and not isinstance(self.images, np.memmap):
            nan = np.isnan(self.images).any(axis=3)
            if nan.any():
                object.__setattr__(self, "missing", nan if missing is None else nan | missing)

    @classmethod
    def of(cls, data: "PackedImages | np.ndarray") -> "PackedImages":
        """Packed pictures as they are, or an array (n, H, W, C) uint8; ValueError where values have another dtype."""
        return data if isinstance(data, PackedImages) else cls("an array", data, None, [])

    def __len__(self) -> int:
        return len(self.images)

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[1:3]

    @property
    def what(self) -> str:
        """What they are called: pictures, or tiles of pictures."""
        return "tiles" if self.made_of.get("tiles") else "pictures"

    def picture(self, index: int) -> np.ndarray:
        """One picture (H, W, C), a masked array where it has missing pixels."""
        return masked(self.images[index], None if self.missing is None else self.missing[index])

    def label(self, index: int) -> str:
        """A picture's name to stand before a number in a drawing: short, in lines of its own where it has one."""
        if self.where is _numbered:
            return f"{self.where(index)}: "
        name, _, tile = self.where(index).removesuffix(")").partition(" (tile at ")
        name = name.replace("\\", "/").rsplit("/", 1)[-1].rsplit(":", 1)[-1].rsplit(".", 1)[0]
        return "\n".join([name, *tile.split(", "), ""]) if tile else f"{name}\n"

    def holes(self, which: Any) -> Tensor | None:
        """The missing pixels of some pictures, (b, 1, H, W) bool; None where all pictures are known."""
        return None if self.missing is None else torch.from_numpy(np.array(self.missing[which]))[:, None]

    def unit(self, which: Any, pixel_mean: float | tuple[float, ...]) -> Tensor:
        """Some pictures as (b, C, H, W) float32 in [0, 1], a model's `pixel_mean` in their missing pixels."""
        pixels = torch.from_numpy(np.array(self.images[which])).permute(0, 3, 1, 2)
        return fill_missing(self.values.unit(pixels), self.holes(which), pixel_mean)


def open_or_pack(
    source: Source,
    size: tuple[int, int],
    cache: Path,
    progress: bool = True,
    channels: int = 3,
    nodata: Nodata | None = None,
) -> PackedImages:
    """The packed pictures of a source at (height, width) with so many bands, from the cache where they are, packed now where not.

    Processes that ask at once wait for the one that packs. A damaged cache is reported by a warning and made again.

    Raises
    ------
    DatasetError
        A picture does not decode, or the cache cannot be written; names the file.
    """
    name, shape = re.sub(r"[^A-Za-z0-9.]+", "-", source.name), size[0] if size[0] == size[1] else f"{size[0]}x{size[1]}"
    bands = "" if channels == 3 else f"-{channels}-bands"
    bands += f"-tiles-{source.tile[0]}x{source.tile[1]}" if source.tile else ""
    bands += "" if nodata is None else f"-nodata-{nodata}"
    target = cache / f"{name}-{shape}{bands}-v{VERSION}-{source.key()}"
    with suppress(DatasetError):  # absent or damaged: seen to below, by one process at a time
        return open_packed(target)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):  # the system frees it when its holder is killed
            if target.exists():
                try:
                    return open_packed(target)
                except DatasetError as error:
                    warnings.warn(f"{error}: packing it again", stacklevel=3)
                    shutil.rmtree(target)
            try:
                temporary = Path(tempfile.mkdtemp(dir=cache, prefix=f"{target.name}.part-"))
                _pack(source, size, temporary, progress, channels, nodata)
                temporary.chmod(0o755)
                temporary.rename(target)
            finally:
                for entry in cache.iterdir():  # of this process, or of one that was killed
                    if entry.name.startswith(f"{target.name}.part-"):
                        shutil.rmtree(entry, ignore_errors=True)
            return _map(target)
    except OSError as error:
        raise DatasetError(f"cannot write the cache {cache} ({error}): set MAELIB_CACHE to another folder") from error


def open_packed(folder: Path) -> PackedImages:
    """Packed pictures, every byte checked; DatasetError where one differs from what was written."""
    try:
        if _seal(folder) == (folder / "seal.json").read_text():
            return _map(folder)
        reason = "its content has changed"
    except (OSError, ValueError) as error:
        reason = str(error)
    raise DatasetError(f"the cache {folder} is damaged ({reason})")


def _map(folder: Path) -> PackedImages:
    about = json.loads((folder / "about.json").read_text())
    labels = np.load(folder / "labels.npy") if about["labelled"] else None
    images, (low, high) = np.load(folder / "images.npy", mmap_mode="r"), about["range"]
    missing = np.load(folder / "missing.npy", mmap_mode="r") if (folder / "missing.npy").exists() else None
    values = Values(low, high, str(images.dtype))
    return PackedImages(
        about["name"], images, labels, about["classes"], values, missing=missing, made_of=about["made_of"]
    )


class _Rows:
    """An array of n rows that is written into a file in any order; the file begins with the first row, zeros are the rest.

    It is written, not mapped: a full disk is then an error, in a map it would kill the process. What is never found half
    is the folder: it is renamed once all in it is on the disk. So nothing here goes through `files.write_atomically`, which
    takes a whole file from memory.
    """

    def __init__(self, path: Path, n: int):
        self.path, self.n, self.file, self.start = path, n, None, 0  # type: Path, int, Any, int

    def write(self, first: int, rows: np.ndarray) -> None:
        """Rows (m, ...) from number `first` on."""
        size = rows[0].nbytes
        if self.file is None:
            self.file = self.path.open("wb")
            shape = {"descr": rows.dtype.str, "fortran_order": False, "shape": (self.n, *rows.shape[1:])}
            np.lib.format.write_array_header_1_0(self.file, shape)
            self.start = self.file.tell()
            self.file.truncate(self.start + self.n * size)
        self.file.seek(self.start + first * size)
        self.file.write(rows.data)

    def __enter__(self) -> "_Rows":
        return self

    def __exit__(self, *_: object) -> None:
        if self.file is not None:
            self.file.close()


def _pack(
    source: Source, size: tuple[int, int], folder: Path, progress: bool, channels: int, nodata: Nodata | None
) -> None:
    """Decode every picture into `images.npy`, on all cores: PIL decodes without holding Python's lock. Where any has missing
    pixels, `missing.npy` says which."""
    n = len(source.members)
    reasons: dict[str, str] = {}
    begin, first = _first(source, size, channels, nodata, reasons)  # all others must have its dtype
    some = min(32, 1 + n // 100)  # pictures in a piece of work: a few large ones spread over the cores too
    pieces = source.pieces or [range(begin, min(begin + some, n)) for begin in range(0, n, some)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    unit = " tiles" if source.tile else " pictures"
    bar = tqdm(total=n, desc=f"packing {source.name}", unit=unit, disable=None if progress else True)
    lock = threading.Lock()
    images, holes = _Rows(folder / "images.npy", n), _Rows(folder / "missing.npy", n)
    with images, holes, bar, ThreadPoolExecutor(cores) as pool:

        def pack(indices: range) -> None:
            found = _decoded(source, indices, size, channels, nodata, {begin: first})
            for index, array in zip(indices, found, strict=False):  # of a damaged scene there are no more tiles
                if isinstance(array, DatasetError):
                    reasons[source.members[index]] = str(array)
                    if len(reasons) > ENOUGH:
                        raise Unreadable(source, reasons)
                    continue
                if array.dtype != first.dtype:
                    both = f"{source.where(index)} has {array.dtype} values, {source.where(begin)} has {first.dtype}"
                    raise DatasetError(f"{both}: give a folder of one kind")
                pixels, missing = np.ascontiguousarray(np.ma.getdata(array)), missing_of(array)
                with lock:
                    images.write(index, pixels[None])
                    if missing is not None:
                        holes.write(index, np.ascontiguousarray(missing)[None])
                    bar.update()

        try:
            list(pool.map(pack, pieces))
            if reasons:
                raise Unreadable(source, reasons)
            files = [i for i, name in enumerate(source.members) if i == 0 or name != source.members[i - 1]]
            crcs = list(pool.map(source.crc, files))
            tags = list(pool.map(lambda i: named_nodata(source, i), files)) if nodata is None else []
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if source.labels is not None:
        np.save(folder / "labels.npy", source.labels)
    missing = np.load(holes.path, mmap_mode="r") if holes.file else None
    values = derive(np.load(images.path, mmap_mode="r"), missing)
    asked: dict[str, Any] = {
        "size": size,
        "group": source.group,
        "tiles": source.tile,
        "overlap": source.overlap,
        "nodata": nodata,
    }
    named = count_named(zip((source.members[i] for i in files), tags, strict=False))
    asked |= {"named": named} if named else {}
    about = {
        "name": source.name,
        "classes": source.classes,
        "labelled": source.labels is not None,
        "range": values[:2],
        "made_of": asked | fingerprint([source.members[i] for i in files], crcs),
    }
    (folder / "about.json").write_text(json.dumps(about, allow_nan=False))
    (folder / "seal.json").write_text(_seal(folder))
    for path in folder.iterdir():
        with path.open("rb+") as written:
            os.fsync(written.fileno())


def decode_one(
    source: Source, index: int, size: tuple[int, int], channels: int = 3, nodata: Nodata | None = None
) -> np.ndarray:
    """One picture as (*size, channels) with its own values; DatasetError names it where it does not decode."""
    try:
        if source.tile:
            return resize_bands(next(read_tiles(source, [index], channels, nodata)), size)
        return resize_bands(read_bands(source.read(index), channels, source.where(index), nodata=nodata), size)
    except (ImageError, OSError) as error:
        raise DatasetError(str(error)) from error


def _first(
    source: Source, size: tuple[int, int], channels: int, nodata: Nodata | None, reasons: dict[str, str]
) -> tuple[int, np.ndarray]:
    """The first picture or tile that can be read, and its number; DatasetError where there is none.

    `reasons` gets what is wrong with those before it, by name.
    """
    for index, name in enumerate(source.members):
        if name not in reasons and len(reasons) <= ENOUGH:
            try:
                return index, decode_one(source, index, size, channels, nodata)
            except DatasetError as error:
                if isinstance(error.__cause__, OtherBands):
                    raise
                reasons[name] = str(error)
    raise Unreadable(source, reasons)


def _decoded(
    source: Source,
    indices: Sequence[int],
    size: tuple[int, int],
    channels: int,
    nodata: Nodata | None,
    known: dict[int, np.ndarray],
) -> Iterator[np.ndarray | DatasetError]:
    """Pictures of a piece of work, some known already, the error in place of one that cannot be read; it ends a piece of tiles."""
    tiles = read_tiles(source, indices, channels, nodata) if source.tile else None
    for index in indices:
        try:
            if tiles:
                yield resize_bands(next(tiles), size)
            else:
                yield known[index] if index in known else decode_one(source, index, size, channels, nodata)
        except (ImageError, OSError, DatasetError) as error:
            if isinstance(error, OtherBands) or isinstance(error.__cause__, OtherBands):
                raise DatasetError(str(error)) from error
            yield DatasetError(str(error))
            if tiles:
                return


def _seal(folder: Path) -> str:
    """CRC-32 of every 16 MiB of the files beside the seal, on all cores."""

    def crc(part: tuple[Path, int]) -> int:
        path, start = part
        with path.open("rb") as file:
            file.seek(start)
            return zlib.crc32(file.read(CHUNK))

    paths = sorted(path for path in folder.iterdir() if path.name != "seal.json")
    with ThreadPoolExecutor() as pool:
        parts = {path: [(path, start) for start in range(0, path.stat().st_size, CHUNK)] for path in paths}
        return json.dumps({path.name: list(pool.map(crc, parts[path])) for path in paths}, allow_nan=False)
