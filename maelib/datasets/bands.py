"""Pictures that keep their values: 1 to 16 bands of 8 or 16 bits or floating point, and the range of a data set."""

import io
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from .images import MAX_PIXELS, ImageError, check_size, decode, opened, read_image, resize_crop, to_rgb
from .missing import Nodata, find_missing, masked, missing_of, resize_missing, stated_nodata

MAX_BANDS = 16
QUANTILES = 0.001, 0.999  # of a data set's values: those beyond move nothing
# The dtypes that are kept, and what other real ones become.
KEPT = {"bool": "uint8", "uint8": "uint8", "int8": "int16", "uint16": "uint16", "int16": "int16"}
ORIENTATION, GDAL_NODATA = 274, 42113  # tags, the first in TIFF and EXIF
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # how such a file begins
UNCHANGED = ("L", "LA", "RGB", "RGBA", "RGBX", "I;16", "I;16B", "F")  # modes in which Pillow keeps a TIFF's values
REMEDY = "pip install 'maelib[data]' brings a reader for it"
UPRIGHT = {  # what the orientation tag of a TIFF says has been done to it, undone
    2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1], 5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: lambda a: np.rot90(a),
}  # fmt: skip


class Values(NamedTuple):
    """Which source values became 0 and 1, and their dtype; None stands for any."""

    low: float = 0.0
    high: float = 255.0
    dtype: str | None = None

    def unit(self, pixels: Tensor) -> Tensor:
        """Values in [0, 1], float32, what is outside clipped."""
        if self[:2] == (0, 255) and pixels.dtype.itemsize == 1:
            return pixels.float() / 255
        return ((pixels.float() - self.low) / (self.high - self.low)).clamp(0, 1)

    def check(self, dtype: Any, name: str, became_gray: bool = False) -> None:
        """ImageError where a picture or a data set holds values of another dtype."""
        if self.dtype in (None, str(dtype)):
            return
        if became_gray:
            raise ImageError(
                f"{name} is a colour picture of 8 bits, the model takes 1 band of {self.dtype}: give it pictures of that kind"
            )
        raise ImageError(
            f"{name} has {dtype} values, the model's data has {self.dtype}: say with --range LOW HIGH which of them are to be "
            "0 and 1"
        )


EIGHT_BIT = Values(0.0, 255.0, "uint8")


def stated(pair: Sequence[float], dtype: Any = None) -> Values:
    """A stated range; ValueError where it is none."""
    low, high = map(float, pair)
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"a range needs two finite values, the lower first, got {low:g} and {high:g}")
    return Values(low, high, None if dtype is None else str(dtype))


def derive(images: np.ndarray, missing: np.ndarray | None = None) -> Values:
    """The range of packed pictures (n, H, W, C): 0 to 255 for 8 bits, else 0.1 and 99.9 % quantiles over all bands.

    They are those of at most 16 million values, of pictures evenly taken, and of known pixels: `missing` (n, H, W) bool.
    0 to 0 where there are none.
    """
    if images.dtype == np.uint8:
        return EIGHT_BIT
    step = 1 + (images.size >> 24)
    some = images[::step] if missing is None else images[::step][~missing[::step]]
    low, high = map(float, np.quantile(some, QUANTILES)) if some.size else (0.0, 0.0)
    return Values(low, high, str(images.dtype))


def count_outside(images: np.ndarray, values: Values, missing: np.ndarray | None = None) -> int:
    """How many values of packed pictures lie outside a range, those of missing pixels left out."""
    step, found = max(1, (1 << 24) // max(1, images[0].size)), 0
    for start in range(0, len(images), step):
        part = images[start : start + step]
        outside = (part < values.low) | (part > values.high)
        if missing is not None:
            outside &= ~missing[start : start + step, ..., None]
        found += int(outside.sum())
    return found


class OtherBands(ImageError):
    """A picture of another number of bands than the model takes: whole, but for another model."""


def read_bands(
    source: Any,
    channels: int = 3,
    name: str = "",
    max_pixels: int = MAX_PIXELS,
    nodata: Nodata | None = None,
    values: Values | None = None,
) -> np.ndarray:
    """An upright picture (H, W, channels) with its own values, in uint8, uint16, int16 or float32.

    Where pixels are not known it is a masked array: they are NaN, `nodata` in any band, alpha 0 where the alpha of a TIFF is
    left out, or masked already.

    One band becomes three equal ones for a model of three, 8-bit colour becomes gray for a model of one, as in `read_image`;
    any other number of bands than `channels` is refused. The alpha of a TIFF is never blended in, but left out where there
    is no place for it.

    Parameters
    ----------
    source
        A path, the bytes of a file, a binary file, a PIL picture, an array (H, W) or (H, W, C), or a tensor (H, W) or (C, H,
        W). Files are what Pillow reads, TIFF of any bands (the pages of one file are bands), `.npy`, or `.npz` of one array.
    name
        What errors call the picture; found out if left out.
    nodata
        The value that means "not known"; by default the file's own (GDAL_NODATA, tag 42113 of a TIFF), if it has one.
    values
        Those of the model's data; pictures of another dtype are refused.

    Raises
    ------
    ImageError
        Damaged, too large, of another number of bands, another dtype or another kind; names the file and the remedy.
    """
    if hasattr(source, "numpy"):  # a tensor: channels first
        name, tensor = name or "the given tensor", source.detach().cpu()
        source = (tensor.float() if tensor.is_floating_point() else tensor).numpy()
        source = source.transpose(1, 2, 0) if source.ndim == 3 else source
    alpha, tag = False, None
    if isinstance(source, np.ndarray):
        name, array = name or "the given array", source
        if source.dtype == np.uint8 and source.shape[2:] == (4,) and channels in (1, 3):
            array = masked(np.asarray(read_image(np.ma.getdata(source), max_pixels)), missing_of(source))
    else:
        content, found = opened(source)
        name = name or found
        array, alpha, tag = of_file(content, name, channels, max_pixels)
    made = taken(array, alpha, tag, channels, name, nodata, max_pixels)
    if values is not None:
        values.check(made.dtype, name, became_gray=array.shape[2:] == (3,) and channels == 1)
    return made


def taken(
    array: np.ndarray,
    alpha: bool,
    tag: Any,
    channels: int,
    name: str,
    nodata: Nodata | None = None,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """What `of_file` returns, or a window of it, as a model of so many channels takes it; masked as in `read_bands`."""
    array, missing = known_bands(_shaped(array, name, max_pixels), alpha, tag, channels, name, nodata)
    return masked(_adapted(_kept(array, missing, name), channels, name), missing)


def known_bands(
    array: np.ndarray, alpha: bool, tag: Any, channels: int, name: str, nodata: Nodata | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """The bands (H, W, C) of what `of_file` returns, alpha left out if it is not one of `channels`, and the missing pixels.

    Those (H, W) bool are None where all are known. A stated nodata value wins over the file's tag.
    """
    nodata = tagged(tag, name) if nodata is None else stated_nodata(nodata)
    if alpha and array.shape[2] != channels:
        return array[:, :, :-1], find_missing(array[:, :, :-1], nodata, array[:, :, -1])
    return array, find_missing(array, nodata)


def resize_bands(array: np.ndarray, hw: tuple[int, int]) -> np.ndarray:
    """(H, W, C) at (height, width) by the rule of `resize_crop`, each band on its own, in the same dtype.

    Of a masked array every pixel to which a missing one has contributed is missing: see `resize_missing`.
    """
    if array.shape[:2] == hw:
        return array
    if (missing := missing_of(array)) is not None:
        clean = np.where(missing[..., None], array.dtype.type(0), np.ma.getdata(array))
        return masked(resize_bands(clean, hw), resize_missing(missing, hw))
    if array.dtype == np.uint8 and array.shape[2] == 3:
        return np.asarray(resize_crop(Image.fromarray(array), *hw))
    kind = np.uint8 if array.dtype == np.uint8 else np.float32
    bands = [Image.fromarray(band.astype(kind)) for band in array.transpose(2, 0, 1)]
    made = np.stack([np.asarray(resize_crop(band, *hw)) for band in bands], axis=2)
    if made.dtype == array.dtype:
        return made
    limits = np.iinfo(array.dtype)  # bicubic weights overshoot
    return np.rint(made).clip(limits.min, limits.max).astype(array.dtype)


def of_file(content: Any, name: str, channels: int, max_pixels: int) -> tuple[np.ndarray, bool, Any]:
    """What a file or a PIL picture holds, (H, W) or (H, W, C), whether its last band is alpha, and its tag GDAL_NODATA.

    0 channels take it as it is.
    """
    if isinstance(content, io.BytesIO):
        head = content.getvalue()[:32]
        if head.startswith((b"\x93NUMPY", b"PK\3\4")):
            return _of_numpy(content, name), False, None
        if head.startswith(TIFF) and (found := _of_tiff(content, name, max_pixels)) is not None:
            return found
        if head.startswith(b"\x89PNG") and head[24:26] in (b"\x10\2", b"\x10\4", b"\x10\6"):
            return *_of_deep_png(content, name, max_pixels), None
    return decode(content, name, lambda picture: _of_pillow(picture, name, channels, max_pixels)), False, None


def _of_pillow(picture: Image.Image, name: str, channels: int, max_pixels: int) -> np.ndarray:
    check_size(picture.size, name, max_pixels)
    mode, file_format = picture.mode, picture.format
    gray = mode in ("1", "L") and "transparency" not in picture.info
    if gray or mode == "F" or mode.startswith("I") or (mode, channels) in (("LA", 2), ("RGBA", 4)):
        array = np.asarray(ImageOps.exif_transpose(picture))
        older = mode == "I" and file_format in ("PNG", "PPM")  # how Pillow may hold 16 bits
        return array.astype(np.uint16) if older else array
    return np.asarray(to_rgb(picture, name, max_pixels))


def _of_deep_png(content: io.BytesIO, name: str, max_pixels: int) -> tuple[np.ndarray, bool]:
    """A PNG of more than one band of 16 bits, of which Pillow keeps eight."""
    try:
        import imagecodecs
    except ImportError:
        raise ImageError(f"{name} is a PNG of 16 bits in colour: {REMEDY}, or save it as TIFF") from None

    def convert(picture: Image.Image) -> tuple[np.ndarray, bool]:  # of which only the head is read
        check_size(picture.size, name, max_pixels)
        array = imagecodecs.png_decode(content.getvalue())
        return UPRIGHT.get(picture.getexif().get(ORIENTATION, 1), np.asarray)(array), array.shape[2] in (2, 4)

    return decode(content, name, convert)


def _of_numpy(content: io.BytesIO, name: str) -> np.ndarray:
    try:
        loaded = np.load(content, allow_pickle=False)
        arrays = [loaded] if isinstance(loaded, np.ndarray) else [np.asarray(loaded[key]) for key in loaded.files]
    except Exception as error:  # on damaged data numpy and zipfile raise nearly anything
        raise ImageError(f"{name} is damaged or holds no array of numbers ({error}): get it again") from error
    if len(arrays) != 1:
        raise ImageError(f"{name} holds {len(arrays)} arrays: give every picture a file of its own")
    return arrays[0]


def _of_tiff(content: io.BytesIO, name: str, max_pixels: int) -> tuple[np.ndarray, bool, Any] | None:
    """None where it is for Pillow: palettes, inverted gray, CMYK and the like, of up to 8 bits."""
    import tifffile

    try:
        with tifffile.TiffFile(content) as file:
            pages = plain_pages(file, name)
            if pages is None:
                return None
            first = pages[0]
            check_size((first.imagewidth, first.imagelength), name, max_pixels)
            try:
                arrays = [page.asarray(maxworkers=1) for page in pages]
                bands = [array.transpose(1, 2, 0) if first.axes == "SYX" else np.atleast_3d(array) for array in arrays]
            except (ValueError, NotImplementedError, ImportError) as error:
                if "imagecodecs" not in str(error) and not isinstance(error, ImportError):
                    raise
                bands = [_by_pillow(content, pages, name)]
            turn = UPRIGHT.get(int(first.tags.valueof(ORIENTATION, 1)), np.asarray)
            return turn(np.concatenate(bands, axis=2)), has_alpha(pages), first.tags.valueof(GDAL_NODATA)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # on damaged data tifffile raises nearly anything
        raise ImageError(f"{name} is damaged or truncated ({error}): get it again or choose another file") from error


def tagged(text: Any, name: str) -> Nodata | None:
    """The value of a GDAL_NODATA tag, None without one; ImageError where it is no number."""
    try:
        return stated_nodata(None if text is None else str(text).strip("\0 "))
    except ValueError as error:
        raise ImageError(
            f"{name} has a tag GDAL_NODATA of {text!r}: state the value with --nodata (nodata=)"
        ) from error


def plain_pages(file: Any, name: str) -> list[Any] | None:
    """The pages of a TIFF (a `tifffile.TiffFile`) that are its bands; None where it is for Pillow."""
    pages = [page for page in file.pages if not int(page.subfiletype) & 5]  # no thumbnails, no masks
    first = pages[0]
    plain = int(first.photometric) in (1, 2) and first.bitspersample >= 8
    if not plain and len(pages) == 1 and first.bitspersample <= 8 and not first.extrasamples:
        return None
    if len({(page.shape, page.dtype, page.axes) for page in pages}) > 1:
        raise ImageError(f"{name} has {len(pages)} pages of several kinds: save it as one page")
    if len(pages) * first.samplesperpixel > MAX_BANDS or first.axes not in ("YX", "YXS", "SYX"):
        raise ImageError(
            f"{name} has {len(pages)} pages of {first.samplesperpixel} bands: 1 to {MAX_BANDS} bands can be read"
        )
    return pages


def has_alpha(pages: list[Any]) -> bool:
    """Whether the last band of a TIFF is alpha."""
    first = pages[0]
    return len(pages) == 1 and bool(first.extrasamples) and int(first.extrasamples[-1]) in (1, 2)


def _by_pillow(content: io.BytesIO, pages: Any, name: str) -> np.ndarray:
    """A page (H, W, C) whose compression tifffile leaves to imagecodecs, where Pillow reads the same values."""
    page = pages[0]
    content.seek(0)
    if len(pages) == 1 and page.samplesperpixel <= 4 and 1 not in page.extrasamples:  # of more, Pillow complains aloud
        with suppress(Exception):  # whatever Pillow says: the remedy is the same
            picture = Image.open(content)
            array = np.atleast_3d(np.asarray(picture))
            same = array.dtype.newbyteorder("=") == page.dtype and array.shape[2] == page.samplesperpixel
            if same and picture.mode in UNCHANGED:
                return array
    predictor = f" with the predictor {page.predictor.name}" if page.predictor > 1 else ""
    kind = f"{page.compression.name} of {page.bitspersample} bits{predictor}"
    raise ImageError(f"{name} is stored as {kind}: {REMEDY}, or save it as plain deflate of 8, 16 or 32 bits")


def _shaped(array: np.ndarray, name: str, max_pixels: int) -> np.ndarray:
    """(H, W, C) of real numbers; ImageError where it is no picture."""
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.size == 0 or array.shape[2] > MAX_BANDS:
        raise ImageError(
            f"{name} has the shape {array.shape}: one picture is (H, W) or (H, W, C) of 1 to {MAX_BANDS} bands"
        )
    if array.shape[0] * array.shape[1] > max_pixels:
        raise ImageError(
            f"{name} has {array.shape[1]} x {array.shape[0]} pixels, more than {max_pixels:,}: make it smaller first"
        )
    if array.dtype.kind not in "biuf":
        raise ImageError(f"{name} has {array.dtype} values: they must be real numbers")
    return array


def _kept(array: np.ndarray, missing: np.ndarray | None, name: str) -> np.ndarray:
    """In one of the dtypes that are kept, 0 where it is missing; ImageError where known values are not finite."""
    array = np.ma.getdata(array)
    if missing is not None:
        array = np.where(missing[..., None], array.dtype.type(0), array)
    if array.dtype == bool:
        array = array * np.uint8(255)
    array = np.ascontiguousarray(array, KEPT.get(array.dtype.newbyteorder("=").name, "float32"))
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageError(f"{name} has infinite values: replace them, or state them with --nodata (nodata=)")
    return array


def _adapted(array: np.ndarray, channels: int, name: str) -> np.ndarray:
    """The bands that a model of so many channels takes."""
    bands = array.shape[2]
    if bands == 3 and channels == 1 and array.dtype == np.uint8:
        return np.asarray(Image.fromarray(array).convert("L"))[:, :, None]
    if bands == 1 and channels == 3:
        return array.repeat(3, axis=2)
    if bands != channels:
        raise OtherBands(f"{name} has {bands} bands, the model takes {channels}: train one with --set channels={bands}")
    return array
