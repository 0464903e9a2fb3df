"""One picture from anything that a person has."""

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 100_000_000


class PictureError(ValueError):
    """Something that should be a picture is none, is damaged, or is too large."""


def read_picture(source: Any, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """An upright RGB picture.

    Parameters
    ----------
    source : a path, the bytes of a file, an open binary file, a PIL picture, an array (H, W) or (H, W, 1 | 3 | 4), or a tensor
        (H, W) or (C, H, W); arrays and tensors are uint8, uint16, or floating point in [0, 1].
    max_pixels : refuse larger pictures, by the size in the header, before anything is decoded.

    Transparency is laid on white, 16-bit gray is scaled to 8, the EXIF rotation is applied.

    Raises
    ------
    PictureError : no picture, damaged, truncated, too large, or an array of another kind; names the file and the remedy.
    FileNotFoundError : no such file.
    """
    if isinstance(source, Image.Image):
        return _to_rgb(source, "the given picture", max_pixels)
    if isinstance(source, (str, Path)):
        path = Path(source)
        if not path.exists():
            raise FileNotFoundError(f"no picture at {path}")
        if path.is_dir():
            raise PictureError(f"{path} is a folder, not a picture: give the path of one file")
        return _decode(io.BytesIO(path.read_bytes()), str(path), max_pixels)
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(io.BytesIO(bytes(source)), "the given bytes", max_pixels)
    if hasattr(source, "read"):
        return _decode(source, str(getattr(source, "name", "the given file")), max_pixels)
    if hasattr(source, "detach"):  # a tensor: channels first
        array = source.detach().cpu().numpy()
        return _from_array(array.transpose(1, 2, 0) if array.ndim == 3 else array, max_pixels)
    if isinstance(source, np.ndarray):
        return _from_array(source, max_pixels)
    raise PictureError(f"cannot make a picture of {type(source).__name__}: give a path, bytes, PIL picture, array or tensor")


def fit(picture: Image.Image, height: int, width: int) -> Image.Image:
    """The picture at exactly height x width pixels: resized until it covers them (bicubic), then cut about its centre."""
    return ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)


def fit_square(picture: Image.Image, size: int) -> Image.Image:
    """The picture at size x size pixels, as `fit`."""
    return fit(picture, size, size)


def _decode(file: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    """Read a picture file to its last byte: a truncated one raises, it does not come out half gray."""
    try:
        if file.read(1) == b"":
            raise PictureError(f"{name} is empty: choose another file")
        file.seek(0)
        return _to_rgb(Image.open(file), name, max_pixels)
    except PictureError:
        raise
    except UnidentifiedImageError:
        raise PictureError(f"{name} is not a picture that PIL can read: use JPEG, PNG, WebP, TIFF, BMP or GIF") from None
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise PictureError(f"{name} is damaged or truncated ({error}): get it again or choose another file") from error


def _to_rgb(picture: Image.Image, name: str, max_pixels: int) -> Image.Image:
    width, height = picture.size
    if width * height > max_pixels:
        raise PictureError(f"{name} has {width} x {height} pixels, more than {max_pixels:,}: make it smaller first")
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.asarray(picture, dtype=np.float64)
        scale = 255 / 65535 if picture.mode.startswith("I") else 1.0
        picture = Image.fromarray(np.clip(np.rint(values * scale), 0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture.convert("RGB")


def _from_array(array: np.ndarray, max_pixels: int) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise PictureError(f"an array must be (H, W) or (H, W, 1 | 3 | 4), a tensor (C, H, W); got {array.shape}")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise PictureError(
                f"floating-point pixels must lie in [0, 1], got {np.nanmin(array):.3g} to {np.nanmax(array):.3g}"
                f"{' and NaN' if np.isnan(array).any() else ''}: divide by 255, or clip"
            )
        array = np.rint(array * 255).astype(np.uint8)
    elif array.dtype == np.uint16:
        array = np.rint(array / 257).astype(np.uint8)
    elif array.dtype == bool:
        array = array.astype(np.uint8) * 255
    elif array.dtype != np.uint8:
        raise PictureError(f"pixels must be uint8, uint16 or floating point in [0, 1], got {array.dtype}")
    return _to_rgb(Image.fromarray(np.ascontiguousarray(array)), "the given array", max_pixels)
