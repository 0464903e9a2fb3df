"""One picture from anything that a person has, and those that ship with the project."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..files import data_path

MAX_PIXELS = 100_000_000
Made = TypeVar("Made")


class ImageError(ValueError):
    """Something that should be a picture is none, is damaged, or is too large."""


def read_image(source: Any, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An upright RGB picture.

    Transparency is laid on white, 16-bit gray is scaled to 8, the EXIF rotation applied; a film gives its first frame.

    Parameters
    ----------
    source
        A path, the bytes of a file, a binary file, a PIL picture, an array (H, W) or (H, W, 1 | 3 | 4), or a tensor (H,
        W) or (C, H, W); arrays and tensors are bool, uint8, uint16, or floating point in [0, 1].
    max_pixels
        Refuse larger pictures, by the size in the header, before anything is decoded. PIL's own limit of 179 million
        stays.

    Raises
    ------
    ImageError
        None, damaged, truncated, too large, or an array of another kind; names the file and the remedy.
    FileNotFoundError
        No such file.
    """
    if hasattr(source, "numpy"):  # a tensor: channels first
        tensor = source.detach().cpu()
        array = (tensor.float() if tensor.is_floating_point() else tensor).numpy()  # numpy knows no bfloat16
        return _from_array(array, "the given tensor", max_pixels, channels_first=True)
    if isinstance(source, np.ndarray):
        return _from_array(source, "the given array", max_pixels)
    content, name = opened(source)
    return decode(content, name, lambda picture: to_rgb(picture, name, max_pixels))


def opened(source: Any) -> tuple[Image.Image | io.BytesIO, str]:
    """A PIL picture as it is, a path, bytes or a binary file as a file in memory; and what errors call it."""
    if isinstance(source, Image.Image):
        return source, "the given picture"
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"no picture at {path}")
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not a picture: give the path of one file")
        return io.BytesIO(path.read_bytes()), str(path)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return io.BytesIO(source), "the upload"
    if hasattr(source, "read"):
        return _rewound(source), str(getattr(source, "name", "the upload"))
    raise ImageError(f"no picture but {type(source).__name__}: give a path, bytes, a PIL picture, an array or a tensor")


def resize_crop(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The picture at exactly height x width pixels: resized to cover them (bicubic), then cut about its centre."""
    return ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)


def resize_crop_square(picture: Image.Image, size: int) -> Image.Image:
    """The picture at size x size pixels, as `resize_crop`: the shorter side becomes `size`, the middle is kept."""
    return resize_crop(picture, size, size)


def samples() -> list[str]:
    """Names of the shipped pictures, in alphabetical order."""
    return sorted(path.stem for path in data_path("samples").iterdir() if path.suffix in (".jpg", ".png"))


def sample_path(name: str) -> Path:
    """File of a shipped picture; FileNotFoundError lists the names where there is none of that name."""
    for suffix in (".jpg", ".png"):
        path = data_path("samples") / f"{name}{suffix}"
        if path.exists():
            return path
    raise FileNotFoundError(f"no sample picture {name!r}; there are: {', '.join(samples())}")


def _rewound(file: Any) -> io.BytesIO:
    if file.seekable():
        file.seek(0)
    content = file.read()
    if isinstance(content, str):
        raise ImageError(f"{getattr(file, 'name', 'the upload')} is open as text: open it with mode 'rb'")
    return io.BytesIO(content)


def decode(source: Image.Image | io.BytesIO, name: str, convert: Callable[[Image.Image], Made]) -> Made:
    """Read a picture to its last byte: a truncated one raises, it does not come out half gray."""
    try:
        return convert(source if isinstance(source, Image.Image) else Image.open(source))
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        if not isinstance(source, Image.Image) and source.seek(0, io.SEEK_END) == 0:
            raise ImageError(f"{name} is empty: choose another file") from None
        raise ImageError(f"{name} is not a picture: use JPEG, PNG, WebP, TIFF, BMP or GIF") from None
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name} has too many pixels ({error}): make it smaller first") from None
    except Exception as error:  # on damaged data PIL raises nearly anything: struct.error, KeyError, ...
        raise ImageError(f"{name} is damaged or truncated ({error}): get it again or choose another file") from error


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """ImageError where a picture of (width, height) is too large, or empty."""
    width, height = size
    if width * height > max_pixels:
        raise ImageError(f"{name} has {width} x {height} pixels, more than {max_pixels:,}: make it smaller first")
    if width * height == 0:
        raise ImageError(f"{name} has {width} x {height} pixels: choose another one")


def to_rgb(picture: Image.Image, name: str, max_pixels: int) -> Image.Image:
    """Eight bits, upright, without transparency."""
    check_size(picture.size, name, max_pixels)
    picture = ImageOps.exif_transpose(picture)
    if picture.mode == "F":
        picture = Image.fromarray(_to_uint8(np.asarray(picture), name))
    elif picture.mode.startswith("I"):  # PIL's own conversion would clip 16 bits at 255
        values = np.asarray(picture)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(f"{name} has pixels from {values.min()} to {values.max()}: they must lie in 0 to 65535")
        picture = Image.fromarray(_to_uint8(values.astype(np.uint16), name))
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("RGB")


def _from_array(array: np.ndarray, name: str, max_pixels: int, channels_first: bool = False) -> Image.Image:
    shape, wanted = array.shape, "(C, H, W)" if channels_first else "(H, W, C)"
    if array.ndim == 3 and channels_first:
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise ImageError(f"{name} has the shape {shape}: one picture is (H, W), or {wanted} with C = 1, 3 or 4")
    return decode(Image.fromarray(_to_uint8(array, name)), name, lambda picture: to_rgb(picture, name, max_pixels))


def _to_uint8(array: np.ndarray, name: str) -> np.ndarray:
    """Pixels of any accepted kind on the scale 0 to 255."""
    if array.dtype.kind == "f":
        if np.isnan(array).any():
            raise ImageError(f"{name} has pixels that are NaN: replace them")
        if array.min() < 0 or array.max() > 1:
            extremes = f"{array.min():.4g} to {array.max():.4g}"
            raise ImageError(f"{name} has pixels from {extremes}: they must lie in [0, 1]; divide by 255, or clip")
        array = np.rint(array * 255)
    elif array.dtype == bool:
        array = array * np.uint8(255)
    elif (array.dtype.kind, array.dtype.itemsize) == ("u", 2):
        array = np.rint(array / 257)  # 65535 becomes 255
    elif array.dtype != np.uint8:
        raise ImageError(f"{name} has {array.dtype} pixels: they must be uint8, uint16 or floating point in [0, 1]")
    return np.ascontiguousarray(array.astype(np.uint8))
