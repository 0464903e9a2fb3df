"""The formats of pictures: all that the book's table names are read as they were written, with imagecodecs and without."""

import builtins
import hashlib
import io
import json
import subprocess
import sys
import tomllib
from contextlib import suppress

import numpy as np
import pytest
import tifffile
from conftest import ROOT
from datasets_helpers import encoded, make_picture, scene, tiff
from PIL import Image, ImageOps

from maelib.datasets import ImageError, read_bands, read_image

sys.path.insert(0, str(ROOT / "benchmarks"))
imagecodecs = pytest.importorskip("imagecodecs")
formats = pytest.importorskip("formats")

FILES = list(formats.files())
REMEDY = r"pip install 'maelib\[data\]'"


@pytest.fixture
def without(monkeypatch):
    """As where imagecodecs is not installed, for what is not tifffile's own affair."""
    real = builtins.__import__

    def refuse(name, *rest):
        if name == "imagecodecs":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)


@pytest.mark.parametrize("name", dict.fromkeys(file.format for file in FILES))
def test_values_read_are_values_written(name):
    chosen = [file for file in FILES if file.format == name]
    wrong = [(file.way, file.written.shape, str(file.written.dtype)) for file in chosen if formats.difference(file)]
    assert wrong == []
    for file in chosen:  # and the comparison sees a change of one value
        other = file.written.copy()
        other[3, 5, 0] = 7 if other[3, 5, 0] != 7 else 8
        assert formats.difference(file._replace(written=other)) > 0


def test_the_table_of_the_book_is_what_this_code_reads():
    record = json.loads((ROOT / "data/results/formats.json").read_text())
    assert record["table"] == json.loads(json.dumps(formats.table()))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["data"][0].startswith("imagecodecs")
    assert formats.EXTRA == "maelib[data]"


WITHOUT = """
import hashlib, json, pathlib, sys
sys.modules["imagecodecs"] = None  # as where it is not installed
from maelib.datasets import ImageError, read_bands
found = {}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        found[path.name] = hashlib.sha256(read_bands(path, int(path.stem.split("-")[1])).tobytes()).hexdigest()
    except ImageError as error:
        found[path.name] = str(error)
print(json.dumps(found))
"""


def test_without_imagecodecs_a_file_is_read_all_the_same_or_the_sentence_names_the_extra(tmp_path):
    small = {}
    for index, file in enumerate(FILES[::5] + [file for file in FILES if file.needs]):
        name = f"{index:04}-{file.written.shape[2]}.bin"
        (tmp_path / name).write_bytes(file.content)
        small[name] = file
    single = scene(1, "uint16") >> 4
    odd = {
        "predictor": tiff(scene(4, "float32"), compression="zlib", predictor=True),
        "12 bits": tiff(single, bitspersample=12),
        "JPEG": tiff(scene(4, "uint8"), compression="jpeg"),
    }
    for name, content in odd.items():
        (tmp_path / f"{name}-{1 if name == '12 bits' else 4}.tif").write_bytes(content)
    done = subprocess.run([sys.executable, "-c", WITHOUT, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "a library complains aloud"
    found = json.loads(done.stdout)
    refused = [name for name in found if len(found[name]) != 64]
    for name in refused:
        assert "pip install 'maelib[data]'" in found[name]
        assert found[name].startswith(str(tmp_path / name))
        assert "\n" not in found[name]
    for name, file in small.items():
        if name not in refused:
            assert found[name] == hashlib.sha256(file.written.tobytes()).hexdigest(), file.way
        assert file.needs or name not in refused, file
    assert len([name for name in refused if name in small]) > 60
    said = {name.split("-")[0]: found[name].split(" is stored as ")[1] for name in refused if name not in small}
    assert said["predictor"].startswith("ADOBE_DEFLATE of 32 bits with the predictor FLOATINGPOINT:")
    assert (
        found["12 bits-1.tif"] == hashlib.sha256(single.tobytes()).hexdigest()
    )  # numpy unpacks what is not compressed
    assert said["JPEG"].startswith("JPEG of 8 bits:")


def test_a_compression_nobody_knows_is_one_sentence(tmp_path):
    deflated = tiff(scene(2), compression="zlib")
    odd = deflated.replace(b"\x03\x01\x03\x00\x01\x00\x00\x00\x08\x00", b"\x03\x01\x03\x00\x01\x00\x00\x00\x0b\x00")
    assert odd != deflated
    with pytest.raises(ImageError, match=r"^s\.tif is "):
        read_bands(odd, 2, "s.tif")


# -- PNG of 16 bits in colour ------------------------------------------------------------------------------------------


def test_alpha_of_a_deep_png_is_a_band_or_left_out_and_never_blended_in():
    written = scene(4)
    data = imagecodecs.png_encode(written)
    np.testing.assert_array_equal(read_bands(data, 4), written)
    np.testing.assert_array_equal(read_bands(data, 3), written[..., :3])
    gray = imagecodecs.png_encode(np.ascontiguousarray(written[..., :2]))
    np.testing.assert_array_equal(read_bands(gray, 1), written[..., :1])
    with pytest.raises(ImageError, match="has 3 bands, the model takes 13"):
        read_bands(data, 13)


def test_a_deep_png_without_its_reader_names_the_extra(without):
    data = imagecodecs.png_encode(scene(3))
    with pytest.raises(ImageError, match=rf"^deep\.png is a PNG of 16 bits in colour: {REMEDY}"):
        read_bands(data, 3, "deep.png")
    single = scene(1)
    np.testing.assert_array_equal(read_bands(encoded(Image.fromarray(single[:, :, 0])), 1), single)  # gray needs none


def test_a_deep_png_is_refused_before_it_is_decoded_where_it_is_huge(monkeypatch):
    data = imagecodecs.png_encode(scene(3, height=50, width=60))
    assert read_bands(data, 3, max_pixels=3000).shape == (50, 60, 3)
    monkeypatch.setattr(imagecodecs, "png_decode", lambda content: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="60 x 50 pixels, more than 2,999"):
        read_bands(data, 3, max_pixels=2999)


def test_a_damaged_deep_png_is_an_image_error_and_nothing_else():
    random, whole = np.random.default_rng(0), imagecodecs.png_encode(scene(3))
    for index in range(200):
        content = bytearray(whole[: len(whole) if index % 2 else int(random.integers(26, len(whole) - 12))])
        for place in random.integers(26, len(content) if index % 3 else 200, 2):
            content[min(place, len(content) - 1)] = random.integers(256)
        with suppress(ImageError):
            assert read_bands(bytes(content), 3, max_pixels=10**6).shape == (40, 56, 3)


# -- TIFF --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_what_pillow_makes_of_it(orientation):
    written = scene(3, "uint8")
    data = tiff(written, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(read_bands(data), upright)
    many = tiff(scene(5), extratags=[(274, "H", 1, orientation, True)])
    assert read_bands(many, 5).shape[:2] == upright.shape[:2]


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_values_between_eight_and_sixteen_bits_are_unpacked(bits):
    written = scene(1) >> (16 - bits)
    np.testing.assert_array_equal(read_bands(tiff(written, bitspersample=bits), 1), written)


@pytest.mark.parametrize("compression", ["lzw", "packbits", "zstd", "zlib"])
def test_pages_of_any_compression_are_bands(compression):
    written, file = scene(5), io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for band in written.transpose(2, 0, 1):
            writer.write(band, photometric="minisblack", compression=compression, metadata=None)
    np.testing.assert_array_equal(read_bands(file.getvalue(), 5), written)


def test_a_photograph_in_a_tiff_of_jpeg_is_what_pillow_reads():
    data = encoded(make_picture(), "TIFF", compression="jpeg", quality=95)
    np.testing.assert_array_equal(read_bands(data), np.array(read_image(data)))
    plain = tiff(np.array(make_picture(seed=3).convert("L"))[:, :, None], compression="jpeg")
    difference = read_bands(plain, 1).astype(int) - np.array(make_picture(seed=3).convert("L"))[:, :, None]
    assert np.abs(difference).max() <= 16, "JPEG loses a little"
