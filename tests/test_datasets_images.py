"""One picture from anything: every mode, every rotation, every way to be damaged."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from datasets_helpers import encoded, make_picture
from PIL import Image, ImageOps

from maelib.datasets import ImageError, read_image

# What the EXIF orientation says has been done to the picture, undone with numpy.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


def pixels(source: object, **options: int) -> np.ndarray:
    picture = read_image(source, **options)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def test_gray_pictures_get_three_equal_channels():
    gray = make_picture().convert("L")
    for source in (
        encoded(gray),
        gray,
        np.asarray(gray),
        np.asarray(gray)[:, :, None],
        torch.from_numpy(np.array(gray)),
    ):
        np.testing.assert_array_equal(pixels(source), np.stack([np.asarray(gray)] * 3, axis=2))


def test_one_bit_pictures_are_black_and_white():
    bits = np.arange(64).reshape(8, 8) % 3 == 0
    expected = np.repeat(bits[:, :, None] * np.uint8(255), 3, axis=2)
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(bits))), expected)
    np.testing.assert_array_equal(pixels(bits), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_gray_is_scaled_and_not_clipped(kind: str):
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16)
    picture = Image.fromarray(ramp * 257)
    assert picture.mode.startswith("I;16")
    np.testing.assert_array_equal(pixels(encoded(picture, kind))[:, :, 0], ramp)
    np.testing.assert_array_equal(pixels(ramp * 257)[:, :, 1], ramp)
    np.testing.assert_array_equal(pixels((ramp * 257).astype(">u2"))[:, :, 1], ramp)


def test_a_pgm_with_sixteen_bits_is_scaled_too():
    ramp = np.arange(256, dtype=np.uint16).reshape(16, 16)
    data = b"P5 16 16 65535\n" + (ramp * 257).astype(">u2").tobytes()
    np.testing.assert_array_equal(pixels(data)[:, :, 2], ramp)


def test_transparency_is_laid_on_white():
    color = np.asarray(make_picture())
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, 32:] = 255
    alpha[0, 0] = 128
    rgba = np.dstack([color, alpha])
    for source in (rgba, encoded(Image.fromarray(rgba)), torch.from_numpy(rgba.transpose(2, 0, 1).copy())):
        got = pixels(source)
        np.testing.assert_array_equal(got[:, 32:], color[:, 32:])
        assert (got[1:, :32] == 255).all()
        half = color[0, 0] * (128 / 255) + 255 * (127 / 255)
        np.testing.assert_allclose(got[0, 0], half, atol=1)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_palette_colour_becomes_white(kind: str):
    picture = Image.new("P", (4, 2), 0)
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putpixel((3, 1), 1)
    got = pixels(encoded(picture, kind, transparency=0))
    assert got[1, 3].tolist() == [200, 100, 50]
    assert (got[0] == 255).all()


def test_a_transparent_key_colour_and_gray_with_alpha():
    picture = Image.new("RGB", (4, 2), (9, 9, 9))
    picture.putpixel((1, 1), (1, 2, 3))
    got = pixels(encoded(picture, transparency=(9, 9, 9)))
    assert got[1, 1].tolist() == [1, 2, 3]
    assert (got[0] == 255).all()
    assert (pixels(encoded(Image.new("LA", (2, 2), (7, 0)))) == 255).all()
    assert (pixels(encoded(Image.new("LA", (2, 2), (7, 255)))) == 7).all()


def test_cmyk_comes_out_in_its_colours():
    picture = make_picture()
    got = pixels(encoded(picture.convert("CMYK"), "JPEG", quality=95))
    assert np.abs(got.astype(int) - np.asarray(picture)).mean() < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(kind: str, orientation: int):
    stored = make_picture(48, 32)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, kind, exif=exif)
    without = np.asarray(Image.open(io.BytesIO(data)))
    got = pixels(data)
    np.testing.assert_array_equal(got, UPRIGHT[orientation](without))
    np.testing.assert_array_equal(got, np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data)))))
    assert got.shape[:2] == ((32, 48) if orientation < 5 else (48, 32))


def test_every_way_to_give_a_picture_gives_the_same_pixels(tmp_path):
    picture = make_picture(20, 30)
    array = np.array(picture)
    path = tmp_path / "a.png"
    picture.save(path)
    half_read = io.BytesIO(path.read_bytes())
    half_read.read(7)
    with path.open("rb") as file:
        for source in (
            path,
            str(path),
            path.read_bytes(),
            bytearray(path.read_bytes()),
            file,
            half_read,
            picture,
            array,
        ):
            np.testing.assert_array_equal(pixels(source), array)
    tensor = torch.from_numpy(array.transpose(2, 0, 1).copy())
    for source in (tensor, tensor.float() / 255, tensor.double() / 255, (tensor.float() / 255).requires_grad_()):
        np.testing.assert_array_equal(pixels(source), array)
    np.testing.assert_array_equal(pixels(array / 255), array)
    assert pixels(torch.full((3, 2, 2), 0.5, dtype=torch.bfloat16)).tolist() == np.full((2, 2, 3), 128).tolist()


def test_a_stream_that_cannot_seek():
    class Stream(io.RawIOBase):
        def __init__(self, data: bytes):
            self.data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            return self.data.readinto(buffer)

    picture = make_picture(20, 30)
    np.testing.assert_array_equal(pixels(Stream(encoded(picture))), np.asarray(picture))


NO_PICTURES = {
    "a NaN": (np.full((2, 2), np.nan), "NaN"),
    "too bright": (np.full((2, 2, 3), 1.5), r"0 to 1\b|\[0, 1\]"),
    "0 to 255 as floats": (torch.full((3, 2, 2), 255.0), "divide by 255"),
    "negative": (np.full((2, 2), -0.1), "-0.1"),
    "infinite": (np.full((2, 2), np.inf), "inf"),
    "integers": (np.zeros((2, 2), np.int64), "int64"),
    "two channels": (np.zeros((2, 2, 2), np.uint8), r"\(2, 2, 2\)"),
    "channels first": (np.zeros((3, 8, 8), np.uint8), r"\(3, 8, 8\).*\(H, W, C\)"),
    "a tensor, channels last": (torch.zeros(8, 9, 3), r"\(8, 9, 3\).*\(C, H, W\)"),
    "a batch": (torch.zeros(1, 3, 8, 8), r"\(1, 3, 8, 8\).*one picture"),
    "no pixels": (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
    "no pixels in PIL": (Image.new("RGB", (0, 4)), "0 x 4"),
    "no bytes": (b"", "empty"),
    "text": (b"hello, this is no picture", "not a picture"),
    "a list": ([1, 2], "list"),
    "text mode": (io.StringIO("hello"), "'rb'"),
    "float beyond [0, 1] in PIL": (make_picture().convert("F"), r"\[0, 1\]"),
    "32 bits in PIL": (Image.fromarray(np.full((2, 2), 70_000, np.int32)), "70000"),
}


@pytest.mark.parametrize("case", NO_PICTURES)
def test_what_is_no_picture_is_refused_with_a_reason(case: str):
    source, message = NO_PICTURES[case]
    with pytest.raises(ImageError, match=message):
        read_image(source)


def test_errors_name_the_file(tmp_path):
    for name, content in {"empty.png": b"", "text.png": b"hello", "cut.png": encoded(make_picture())[:200]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ImageError, match=name):
            read_image(tmp_path / name)
        with (tmp_path / name).open("rb") as file, pytest.raises(ImageError, match=name):
            read_image(file)
    with pytest.raises(ImageError, match="folder"):
        read_image(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"absent\.png"):
        read_image(tmp_path / "absent.png")


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and holds none."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    return data + struct.pack(">I", 1 << 20) + b"IDAT" + b"\0" * 64


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [10_001, 13_000, 60_000])
def test_huge_pictures_are_refused_by_their_header(side: int):
    with pytest.raises(ImageError, match=f"{side} x {side}|pixels"):
        read_image(png_header(side, side))


def test_the_limit_of_pixels_is_exact():
    data = encoded(make_picture(10, 20))
    assert read_image(data, max_pixels=200).size == (10, 20)
    for source in (data, make_picture(10, 20), np.zeros((20, 10), np.uint8)):
        with pytest.raises(ImageError, match="10 x 20 pixels, more than 199"):
            read_image(source, max_pixels=199)
