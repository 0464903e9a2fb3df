"""A look at every picture of a data set, damaged ones included: kinds, values, what is missing, a small copy of each."""

import hashlib
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image
from tqdm import tqdm

from .bands import KEPT, known_bands, tagged
from .images import ImageError
from .missing import Nodata
from .sources import DatasetError, Source
from .tiles import Windows

SCENES = (".tif", ".tiff", ".npy", ".npz")
SIDE = 9  # pixels of a small copy
ROWS = 256  # of a large picture that is read by windows, evenly taken
PIXELS = 1 << 22  # whose values are kept, of all pictures together
FRAME = 0.03  # share of a picture, and of its border: a value with more may stand for "not known"
QUANTILES = (0, 0.001, 0.01, 0.5, 0.99, 0.999, 1)


@dataclass(frozen=True)
class Look:
    """What is known of one picture: `missing` is a share, `values` (k, bands) are those of known pixels evenly taken, `small`
    (9, 9) the mean of its bands, without missing pixels; `constant` says that all its known values are equal, and `digest` is
    that of all values which were looked at. `named` is the nodata value that its file names; `frame`, of a TIFF or array
    without any missing pixel, a value that all bands have along its border, and the share of its pixels that have it, where
    this is large."""

    name: str
    hw: tuple[int, int]
    bands: int
    dtype: str
    missing: float
    constant: bool
    values: np.ndarray
    small: np.ndarray
    digest: str
    named: Nodata | None = None
    frame: tuple[float, float] | None = None

    @property
    def kind(self) -> tuple[int, str]:
        """Bands and dtype; a model takes pictures of one kind."""
        return self.bands, KEPT.get(self.dtype, "float32")


def survey(source: Source, progress: bool = True, nodata: Nodata | None = None) -> tuple[list[Look], dict[str, str]]:
    """A look at each picture that can be read, and by name what is wrong with the others."""
    n, looks, damaged = len(source.members), [], {}
    some = max(16, min(4096, PIXELS // n))

    def look(index: int) -> Look | str:
        try:
            return _look(source, index, some, nodata)
        except (DatasetError, ImageError, OSError, MemoryError) as error:
            return " ".join(str(error).split())

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = tqdm(pool.map(look, range(n)), "looking", n, unit=" pictures", disable=None if progress else True)
        for name, one in zip(source.members, found, strict=True):
            if isinstance(one, Look):
                looks.append(one)
            else:
                damaged[name] = one
    return looks, damaged


def main_kind(looks: list[Look]) -> tuple[int, str]:
    """The kind of most pictures."""
    return Counter(look.kind for look in looks).most_common(1)[0][0]


def fits(kind: tuple[int, str], main: tuple[int, str]) -> bool:
    """Whether pictures of a kind can be read beside those of another; see `read_bands`."""
    gray_beside_colour = (kind[0], main[0]) == (1, 3) or ((kind[0], main[0]) == (3, 1) and kind[1] == "uint8")
    return kind[1] == main[1] and (kind[0] == main[0] or gray_beside_colour)


def _look(source: Source, index: int, some: int, nodata: Nodata | None) -> Look:
    with Windows(source.file(index), source.where(index)) as picture:
        height, width = picture.hw
        large = picture.by_windows and height * width > PIXELS
        with picture.turn(1 if large else height):
            if large:
                rows = np.linspace(0, height - 1, ROWS).astype(int).tolist()
                step = max(1, width // ROWS)
                array = np.concatenate([picture.read(row, 0, 1, width)[:, ::step] for row in rows])
            else:
                array = picture.read(0, 0, height, width)
            if array.dtype.kind not in "biuf":
                raise ImageError(f"{source.where(index)} has {array.dtype} values: they must be real numbers")
            digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode() + array.tobytes()).hexdigest()
            array, found = known_bands(array, picture.alpha, picture.tag, 0, picture.name, nodata)
            missing = np.zeros(array.shape[:2], bool) if found is None else found
            known = array[~missing]
            if array.dtype.kind == "f" and np.isinf(known).any():
                raise ImageError(f"{source.where(index)} has infinite values: replace them")
            small = _small(
                np.where(missing[..., None], array.dtype.type(0), array).mean(axis=2, dtype=np.float32), ~missing
            )
            named = None if nodata is not None else tagged(picture.tag, picture.name)
            frame = _frame(array) if found is None and source.members[index].lower().endswith(SCENES) else None
            constant = known.size > 0 and bool((known == known[0]).all())
            values = known[:: max(1, len(known) // some)][:some].astype(np.float32)
    name, dtype = source.members[index], array.dtype.newbyteorder("=").name
    return Look(
        name,
        (height, width),
        array.shape[2],
        dtype,
        float(missing.mean()),
        constant,
        values,
        small,
        digest,
        named,
        frame,
    )


def _frame(array: np.ndarray) -> tuple[float, float] | None:
    """The commonest value of the border of (H, W, C) that all bands share, and its share of the pixels; None below `FRAME`."""
    border = np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
    same = border[(border == border[:, :1]).all(axis=1), 0]
    if not len(same):
        return None
    found, counts = np.unique(same, return_counts=True)
    value = found[counts.argmax()]
    share = float((array == value).all(axis=2).mean())
    return (float(value), share) if FRAME < share < 1 and counts.max() > FRAME * len(border) else None


def _small(gray: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(9, 9) means of the known pixels of (H, W), and their mean where none is known."""

    def shrunk(array: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(array.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BOX))

    if known.all():
        return shrunk(gray)
    share = shrunk(known)
    mean = gray.sum(where=known, dtype=np.float64) / max(1, known.sum())
    return np.where(share > 1e-3, shrunk(gray * known) / np.maximum(share, 1e-3), np.float32(mean))


def quantiles(looks: list[Look], bands: int) -> list[list[float]]:
    """For each band the quantiles `QUANTILES` over pictures of so many bands; [] where no pixel is known."""
    values = np.concatenate([look.values for look in looks if look.bands == bands])
    return np.quantile(values, QUANTILES, axis=0).T.tolist() if len(values) else []
