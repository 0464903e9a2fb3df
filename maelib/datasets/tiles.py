"""Large pictures by windows, and cut into tiles: what a tile needs is read, never the whole of a scene."""

import io
import itertools
import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from .bands import GDAL_NODATA, ORIENTATION, TIFF, UPRIGHT, has_alpha, of_file, plain_pages, tagged, taken
from .images import MAX_PIXELS, ImageError, decode
from .missing import Nodata
from .sources import DatasetError, Source, Unreadable

PIECE = 1 << 28  # bytes of a TIFF's strip or tile; in larger ones a window saves nothing
LARGE = 1 << 24  # bytes of a window; of larger ones there is one at a time
COMPRESSIONS = (1, 5, 8, 32773, 32946, 50000)  # none, LZW, deflate twice, PackBits, Zstandard: each strip on its own
_large = threading.Lock()


class Windows:
    """A picture whose windows can be read; a context manager, which closes its file.

    By windows are read TIFF in strips or tiles, uncompressed or compressed without loss, and `.npy` with a path; whatever
    else at once, up to the usual limit of 100 million pixels. `hw` is height and width of the upright picture, `by_windows`
    says which of the two holds, `alpha` whether the last band is alpha, `tag` what a TIFF's GDAL_NODATA says, or None.

    Parameters
    ----------
    source
        A path, or the content of a file.
    channels
        Of the model, which decides what becomes of transparency, see `read_bands`; 0 takes what there is.

    Raises
    ------
    ImageError
        Damaged, of no known kind, or too large to be read at once; names the file and the remedy.
    """

    def __init__(self, source: Path | bytes, name: str, channels: int = 0):
        self.source, self.name, self.channels = source, name, channels
        self.alpha, self.by_windows = False, True
        self._tiff: Any = None
        self._pages: list[Any] = []
        self.tag: str | None = None
        self._whole: np.ndarray | None = None
        try:
            with self._opened() as file:
                head = file.read(6)
            if head.startswith(TIFF) and self._open_tiff():
                self.hw = self._pages[0].imagelength, self._pages[0].imagewidth
            elif head.startswith(b"\x93NUMPY") and isinstance(source, Path):
                self.hw = self._mapped().shape[:2]
            else:
                self.by_windows = False
                numpy = head.startswith((b"\x93NUMPY", b"PK\3\4"))
                self.hw = self._all().shape[:2] if numpy else self._size_in_header()
        except (ImageError, MemoryError):
            raise
        except Exception as error:  # on damaged data tifffile and numpy raise nearly anything
            raise ImageError(f"{name} is damaged or truncated ({error}): get it again") from error

    def __enter__(self) -> "Windows":
        return self

    def __exit__(self, *error: object) -> None:
        if self._tiff is not None:
            self._tiff.close()

    @classmethod
    def size(cls, path: Path) -> tuple[int, int]:
        """Height and width of an upright picture, from its header."""
        with cls(path, str(path)) as picture:
            return picture.hw

    def nbytes(self, height: int) -> int:
        """Bytes that reading so many rows takes, about."""
        if not self._pages:
            return math.prod(self.hw) * 4 if not self.by_windows else self._mapped()[:height].nbytes
        page = self._pages[0]
        piece = 0 if page.is_final else math.prod(page.chunks) * page.dtype.itemsize
        return 2 * piece + len(self._pages) * height * page.imagewidth * page.samplesperpixel * page.dtype.itemsize

    def turn(self, height: int) -> AbstractContextManager[Any]:
        """Within it, as many may read so many rows as memory allows: of large ones there is one at a time."""
        return _large if self.nbytes(height) > LARGE else nullcontext()

    def read(self, top: int, left: int, height: int, width: int) -> np.ndarray:
        """A window (height, width, C) of the values that the file holds."""
        rows, columns = slice(top, top + height), slice(left, left + width)
        try:
            if self._pages:
                return np.concatenate([self._of_page(page, rows, columns) for page in self._pages], axis=2)
            array = self._mapped() if self.by_windows else self._all()
            return np.array(array[rows, columns].reshape(height, width, -1))
        except (ImageError, MemoryError):
            raise
        except Exception as error:
            reason = "install imagecodecs, or save it as deflate" if "imagecodecs" in str(error) else "get it again"
            raise ImageError(f"{self.name} cannot be read ({' '.join(str(error).split())}): {reason}") from error

    def _opened(self) -> Any:
        return self.source.open("rb") if isinstance(self.source, Path) else io.BytesIO(self.source)

    def _mapped(self) -> np.ndarray:
        """The array of a file, (H, W) or (H, W, C); a new map each time, as a map keeps all that was read through it."""
        array = np.load(self.source, mmap_mode="r", allow_pickle=False)
        if array.ndim not in (2, 3):
            raise ImageError(f"{self.name} has the shape {array.shape}: one picture is (H, W) or (H, W, C)")
        return array

    def _open_tiff(self) -> bool:
        """Whether this TIFF can be read by windows; its pages are known then."""
        import tifffile

        self._tiff = tifffile.TiffFile(self.source if isinstance(self.source, Path) else io.BytesIO(self.source))
        pages = plain_pages(self._tiff, self.name)
        self.tag = None if pages is None else pages[0].tags.valueof(GDAL_NODATA)
        if pages is None or int(pages[0].tags.valueof(ORIENTATION, 1)) in UPRIGHT:
            return False
        page = pages[0]
        small = math.prod(page.chunks) * page.dtype.itemsize <= PIECE
        if not page.is_final and not (small and int(page.compression) in COMPRESSIONS):
            return False
        self._pages, self.alpha = pages, has_alpha(pages)
        return True

    def _of_page(self, page: Any, rows: slice, columns: slice) -> np.ndarray:
        """A window (height, width, bands) of one page."""
        if page.is_final:
            array: np.ndarray
            kind, first = page.dtype.newbyteorder(self._tiff.byteorder), page.dataoffsets[0]
            if isinstance(self.source, Path):
                array = np.memmap(self.source, kind, "r", first, page.shape)
            else:
                array = np.frombuffer(self.source, kind, math.prod(page.shape), first).reshape(page.shape)
            array = array.transpose(1, 2, 0) if page.axes == "SYX" else array.reshape(*page.shape[:2], -1)
            return np.array(array[rows, columns])
        tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
        down, across = -(-page.imagelength // tall), -(-page.imagewidth // wide)
        shape = rows.stop - rows.start, columns.stop - columns.start, page.samplesperpixel
        made = np.full(shape, page.nodata, page.dtype)  # pieces that the file leaves out are such
        planes = range(page.samplesperpixel if page.axes == "SYX" else 1)
        touched = (
            range(rows.start // tall, -(-rows.stop // tall)),
            range(columns.start // wide, -(-columns.stop // wide)),
        )
        for plane, row, column in itertools.product(planes, *touched):
            index = (plane * down + row) * across + column
            self._tiff.filehandle.seek(page.dataoffsets[index])
            piece, _, size = page.decode(self._tiff.filehandle.read(page.databytecounts[index]) or None, index)
            if piece is None:
                continue
            piece, y, x = piece.reshape(size)[0], row * tall - rows.start, column * wide - columns.start
            to = np.s_[max(0, y) : y + size[1], max(0, x) : x + size[2], plane : plane + size[3]]
            made[to] = piece[max(0, -y) : shape[0] - y, max(0, -x) : shape[1] - x]
        return made

    def _size_in_header(self) -> tuple[int, int]:
        """Height and width of the upright picture, if it may be read at once."""

        def look(picture: Image.Image) -> tuple[int, int, int]:
            late = picture.format == "PNG" and "exif" not in picture.info  # to look for it would decode the picture
            return *picture.size, 1 if late else picture.getexif().get(ORIENTATION, 1)

        if self._tiff is not None:
            page = self._tiff.pages[0]
            width, height, turned = page.imagewidth, page.imagelength, int(page.tags.valueof(ORIENTATION, 1))
        else:
            with self._opened() as file:
                width, height, turned = decode(file, self.name, look)
        if height * width > MAX_PIXELS:
            raise ImageError(
                f"{self.name} has {width} x {height} pixels, and more than {MAX_PIXELS:,} are read by windows only: save it "
                "as TIFF in strips or tiles (uncompressed or deflate), or as .npy"
            )
        return (width, height) if turned >= 5 else (height, width)

    def _all(self) -> np.ndarray:
        """The whole picture, (H, W) or (H, W, C)."""
        if self._whole is None:
            with self._opened() as file:
                whole = of_file(io.BytesIO(file.read()), self.name, self.channels, MAX_PIXELS)
                self._whole, self.alpha, self.tag = whole
        return self._whole


def named_nodata(source: Source, index: int) -> Nodata | None:
    """The nodata value that a file itself names, from its header; only TIFF does."""
    if not source.members[index].lower().endswith((".tif", ".tiff")):
        return None
    with Windows(source.file(index), source.where(index)) as picture:
        return tagged(picture.tag, picture.name)


def starts(length: int, tile: int, overlap: int = 0) -> list[int]:
    """Where tiles begin that cover a length, each `overlap` into the one before; the last is shifted inward to end with it."""
    return [*range(0, length - tile, tile - overlap), length - tile]


def cut(source: Source, tile: tuple[int, int], overlap: int = 0, progress: bool = True) -> Source:
    """Every picture as tiles of (height, width), by rows; DatasetError where one is damaged or smaller than a tile."""

    def look(index: int) -> tuple[int, int, bool] | None:
        try:
            with Windows(source.file(index), source.where(index)) as picture:
                return *picture.hw, picture.by_windows
        except (ImageError, OSError) as error:
            reasons[source.members[index]] = str(error)
            return None

    n, reasons = len(source.members), {}  # type: int, dict[str, str]
    with ThreadPoolExecutor() as pool:
        sizes = list(
            tqdm(
                pool.map(look, range(n)), "sizes", n, unit=" pictures", disable=None if progress else True, leave=False
            )
        )
    if reasons:
        raise Unreadable(source, reasons)
    found = [one for one in sizes if one is not None]
    if small := [i for i, (height, width, _) in enumerate(found) if height < tile[0] or width < tile[1]]:
        height, width, _ = found[small[0]]
        raise DatasetError(
            f"{len(small)} of {n} pictures are smaller than a tile of {tile[0]} x {tile[1]} pixels, the first is "
            f"{source.where(small[0])} of {height} x {width}: give smaller --tiles, or take them out"
        )
    owners: list[int] = []
    corners: list[tuple[int, int]] = []
    pieces: list[range] = []
    for index, (height, width, by_windows) in enumerate(found):
        tops, lefts = starts(height, tile[0], overlap), starts(width, tile[1], overlap)
        first, at_once = len(owners), len(lefts) * (1 if by_windows else len(tops))
        corners += list(itertools.product(tops, lefts))
        owners += [index] * (len(tops) * len(lefts))
        pieces += [range(begin, begin + at_once) for begin in range(first, len(owners), at_once)]
    labels = None if source.labels is None else source.labels[owners]
    members = [source.members[owner] for owner in owners]
    return replace(
        source, members=members, labels=labels, tile=tile, overlap=overlap, corners=np.array(corners), pieces=pieces
    )


def read_tiles(
    source: Source, indices: Sequence[int], channels: int, nodata: Nodata | None = None
) -> Iterator[np.ndarray]:
    """Tiles of one picture by their indices, as a model of so many channels takes them; their window is read at once.

    As of `read_bands` they are masked arrays where pixels are not known.

    Raises
    ------
    ImageError
        As `read_bands`.
    """
    assert source.tile is not None
    assert source.corners is not None
    (height, width), corners = source.tile, source.corners[list(indices)]
    (top, left), (bottom, right) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    with Windows(source.file(indices[0]), source.where(indices[0]), channels) as picture:
        tall, wide = bottom + height - top, right + width - left
        with picture.turn(tall):
            window = picture.read(top, left, tall, wide)
            for index, (y, x) in zip(indices, (corners - (top, left)).tolist(), strict=True):
                tile = window[y : y + height, x : x + width]
                yield taken(tile, picture.alpha, picture.tag, channels, source.called(index), nodata)
