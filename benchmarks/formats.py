"""Files of pictures: is what is read what was written, bit for bit? The table "What can be read" of the book.

    python benchmarks/formats.py --json data/results/formats.json

Random values over the whole range of their kind, written by another library (tifffile, Pillow, numpy, imagecodecs) and
read by `maelib.datasets.read_bands`. Needs imagecodecs (`pip install 'maelib[data]'`), which writes some of them.
"""

import io
import sys
from collections.abc import Iterator
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harness import parser_of, write_result
from PIL import Image

from maelib.datasets import read_bands

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from datasets_helpers import encoded, scene, tiff

BANDS, KINDS = (1, 2, 4, 8, 13), ("uint8", "uint16", "int16", "float32")
COMPRESSIONS = ("LZW", "PackBits", "zstd")
BUILT_IN, EXTRA = "", "maelib[data]"


class File(NamedTuple):
    """One file, and the values (H, W, C) that are in it; `needs` names the extra that reads it."""

    format: str
    way: str
    content: bytes
    written: np.ndarray
    needs: str = BUILT_IN


def files() -> Iterator[File]:
    """Every format in every way."""
    for bands, kind in product(BANDS, KINDS):
        yield from tiffs(scene(bands, kind))
        yield from arrays(scene(bands, kind))
    yield from pngs()


def tiffs(array: np.ndarray) -> Iterator[File]:
    """Contiguous and planar, classic and BigTIFF, plain and deflated, in strips and in tiles; and other compressions."""
    cuts: list[dict[str, Any]] = [{"rowsperstrip": 7}, {"tile": (16, 16)}]
    for planar, big, compression in product((False, True), (False, True), (None, "zlib")):
        for cut in cuts:
            layout = "planar" if planar else "contiguous", "BigTIFF" if big else "classic", compression or "plain", *cut
            content = tiff(array, planar, bigtiff=big, compression=compression, **cut)
            yield File("TIFF, plain or deflate", ", ".join(layout), content, array)
    for name, planar in product(COMPRESSIONS, (False, True)):
        content = tiff(array, planar, compression=name.lower(), predictor=name != "PackBits")
        needs = BUILT_IN if name == "PackBits" else EXTRA
        yield File(f"TIFF, {name}", "planar" if planar else "contiguous", content, array, needs)


def arrays(array: np.ndarray) -> Iterator[File]:
    """Files of numpy."""
    for name, save in (("npy", np.save), ("npz", np.savez_compressed)):
        file = io.BytesIO()
        writer: Any = save
        writer(file, array)
        yield File(f".{name}", "", file.getvalue(), array)


def pngs() -> Iterator[File]:
    """Gray and colour, with alpha and without, of 8 and of 16 bits."""
    import imagecodecs

    for bands, kind in product((1, 2, 3, 4), ("uint8", "uint16")):
        array = scene(bands, kind)
        plain = array[:, :, 0] if bands == 1 else array
        deep = kind == "uint16" and bands > 1
        content = bytes(imagecodecs.png_encode(plain)) if deep else encoded(Image.fromarray(plain))
        name = "8 bits" if kind == "uint8" else "16 bits, colour or alpha" if deep else "16 bits, gray"
        yield File(f"PNG of {name}", "", content, array, EXTRA if deep else BUILT_IN)


def difference(file: File) -> float:
    """The largest difference of a value read from the value written; infinite where the file is refused or changes its kind."""
    try:
        read = read_bands(file.content, file.written.shape[2])
    except ValueError:
        return float("inf")
    if (read.dtype, read.shape) != (file.written.dtype, file.written.shape):
        return float("inf")
    return float(np.abs(read.astype(np.float64) - file.written).max())


def table() -> list[dict[str, Any]]:
    """A row for each format."""
    found: dict[str, list[File]] = {}
    for file in files():
        found.setdefault(file.format, []).append(file)
    rows = []
    for name, members in found.items():
        differences = [difference(file) for file in members]
        rows.append({
            "format": name,
            "values": ", ".join(kind for kind in KINDS if any(kind == file.written.dtype for file in members)),
            "bands": ", ".join(map(str, sorted({file.written.shape[2] for file in members}))),
            "files": len(members),
            "read": sum(difference < float("inf") for difference in differences),
            "largest_difference": max((difference for difference in differences if difference < float("inf")), default=None),
            "needs": members[0].needs,
        })  # fmt: skip
    return rows


def main() -> None:
    """Write, read, compare, print."""
    args = parser_of(__doc__, "json").parse_args()
    rows = table()
    for row in rows:
        print("  ".join(str(value) for value in row.values()))
    if args.json:
        about = (
            "Random values over the whole range of their kind. TIFF, plain or deflate: contiguous and planar, classic and "
            "BigTIFF, in strips and in tiles, each with each; other TIFF: contiguous and planar, LZW and zstd with a predictor"
        )
        software = ", ".join(f"{name} {version(name)}" for name in ("tifffile", "imagecodecs", "pillow", "numpy"))
        write_result(args.json, rows, about=about, hardware=None, threads=None, software=software)


if __name__ == "__main__":
    main()
