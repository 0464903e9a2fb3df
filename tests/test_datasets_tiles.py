"""Tiles of large pictures, and the windows that they are read by: the values of the file, wherever they are cut."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tifffile
from datasets_helpers import write_picture, zip_folder
from PIL import Image

from maelib.cli import main
from maelib.datasets import DatasetError, ImageError, load_dataset, read_bands, tiles
from maelib.datasets.loading import find_source
from maelib.datasets.tiles import Windows, cut, starts

WAYS = {
    "one strip": {}, "strips": {"rowsperstrip": 7}, "tiles": {"tile": (32, 48)}, "big endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True, "tile": (16, 16)}, "deflated strips": {"compression": "zlib", "rowsperstrip": 7},
    "deflated tiles": {"compression": "zlib", "tile": (32, 48)},
    "predictor": {"compression": "zlib", "predictor": True, "tile": (32, 48)},
}  # fmt: skip
WINDOWS = ((0, 0, 101, 133), (13, 20, 40, 50), (90, 100, 11, 33), (32, 48, 32, 48), (5, 7, 1, 1))


def scene(bands: int = 3, dtype: str = "uint16", height: int = 101, width: int = 133) -> np.ndarray:
    return (np.random.default_rng(0).random((height, width, bands)) * 250).astype(dtype)


def load(folder: Path, cache: Path, size: int | tuple[int, int] = 32, split: str = "all", **options):
    return load_dataset(folder, split, size=size, cache=cache, progress=False, **options)


# -- windows ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("planar", [False, True], ids=["contiguous", "planar"])
@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (3, "uint16"), (5, "float32")])
def test_windows_hold_the_values_of_the_file(bands, dtype, planar, way, tmp_path):
    array, path = scene(bands, dtype), tmp_path / "s.tif"
    options = {"photometric": "minisblack", "metadata": None, **WAYS[way]}
    options |= {"planarconfig": "separate" if planar else "contig"} if bands > 1 else {}
    written = array[:, :, 0] if bands == 1 else array.transpose(2, 0, 1) if planar else array
    tifffile.imwrite(path, written, **options)
    for source in (path, path.read_bytes()):
        with Windows(source, "s.tif") as picture:
            assert picture.hw == (101, 133)
            assert picture.by_windows
            for top, left, height, width in WINDOWS:
                read = picture.read(top, left, height, width)
                assert read.dtype == array.dtype
                np.testing.assert_array_equal(read, array[top : top + height, left : left + width])


@pytest.mark.parametrize(
    "name", ["s.npy", "gray.npy", "s.npz", "s.png", "s.jpg", "turned.jpg", "pages.tif", "turned.tif"]
)
def test_windows_of_other_files_are_those_of_read_bands(name, tmp_path):
    path, array = tmp_path / name, scene(3, "uint8")
    if name.endswith(".npy"):
        np.save(path, array[..., 0] if name == "gray.npy" else array)
    elif name == "s.npz":
        np.savez(path, array)
    elif name == "pages.tif":
        tifffile.imwrite(path, array.transpose(2, 0, 1), photometric="minisblack", metadata=None, rowsperstrip=9)
    elif name == "turned.tif":
        tifffile.imwrite(path, array, metadata=None, extratags=[(274, "H", 1, 6, True)])
    else:
        exif = Image.Exif()
        exif[274] = 6 if name == "turned.jpg" else 1
        Image.fromarray(array).save(path, exif=exif)
    whole = read_bands(path, 1 if name == "gray.npy" else 3)
    with Windows(path, name) as picture:
        assert picture.hw == whole.shape[:2]
        assert picture.by_windows == (name in ("s.npy", "gray.npy", "pages.tif"))
        np.testing.assert_array_equal(picture.read(11, 17, 40, 50), whole[11:51, 17:67])


def test_only_windows_may_exceed_the_limit_of_pixels(tmp_path, monkeypatch):
    monkeypatch.setattr(tiles, "MAX_PIXELS", 10_000)
    Image.fromarray(scene(3, "uint8")).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", scene(3, "uint8"), metadata=None)
    with Windows(tmp_path / "a.tif", "a.tif") as picture:
        assert picture.read(100, 132, 1, 1).shape == (1, 1, 3)
    with pytest.raises(
        ImageError, match=r"^a.png has 133 x 101 pixels, and more than 10,000 are read by windows only: save"
    ):
        Windows(tmp_path / "a.png", "a.png")


@pytest.mark.parametrize("name", ["a.tif", "a.npy", "a.png"])
def test_a_damaged_file_is_named(name, tmp_path):
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, scene())
    elif name == "a.tif":
        options = {"compression": "zlib", "rowsperstrip": 7, "photometric": "minisblack", "planarconfig": "contig"}
        tifffile.imwrite(path, scene(), metadata=None, **options)
    else:
        Image.fromarray(scene(3, "uint8")).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def read() -> None:
        with Windows(path, name) as picture:
            picture.read(0, 0, *picture.hw)

    with pytest.raises(ImageError, match=rf"^{name} (is damaged|cannot be read)"):
        read()


# -- tiles -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "tile", "overlap"), [(10, 10, 0), (11, 10, 0), (100, 10, 0), (100, 32, 8), (97, 32, 31)]
)
def test_tiles_cover_a_length_within_it(length, tile, overlap):
    at = starts(length, tile, overlap)
    assert at[0] == 0
    assert at[-1] == length - tile
    assert all(0 < b - a <= tile - overlap for a, b in pairwise(at))
    assert len(at) == 1 + -(-(length - tile) // (tile - overlap))


@pytest.mark.parametrize("name", ["s.tif", "s.npy", "s.png"])
@pytest.mark.parametrize("overlap", [0, 10])
def test_tiles_are_cut_not_scaled(name, overlap, tmp_path):
    array, path = scene(3, "uint8"), tmp_path / "d" / name
    path.parent.mkdir()
    if name == "s.tif":
        tifffile.imwrite(path, array, metadata=None, compression="zlib", tile=(16, 32))
    elif name == "s.npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    expected = [array[y : y + 32, x : x + 48] for y in starts(101, 32, overlap) for x in starts(133, 48, overlap)]
    for source in (path.parent, zip_folder(path.parent, tmp_path / "d.zip")):
        data = load(source, tmp_path / "cache", (32, 48), tiles=(32, 48), overlap=overlap)
        np.testing.assert_array_equal(data.images, expected)
        assert data.made_of["count"] == 1
    assert load(path.parent, tmp_path / "cache", (16, 24), tiles=(32, 48)).hw == (16, 24)  # scaled after they are cut


def test_tiles_of_a_picture_stay_together_with_its_label(tmp_path):
    for k in range(24):
        write_picture(tmp_path / "d" / f"{'ab'[k % 2]}/{k:02}.png", seed=k, width=40, height=40)
    parts = [cut(find_source(tmp_path / "d", split, tmp_path), (16, 16), 0, False) for split in ("train", "val")]
    assert set(parts[0].members).isdisjoint(parts[1].members)
    for part in parts:
        assert len(part.members) == 9 * len(set(part.members))
        assert [part.classes[i] for i in part.labels] == [name[0] for name in part.members]
        assert [index for piece in part.pieces for index in piece] == list(range(len(part.members)))


def test_pictures_smaller_than_a_tile_are_refused_by_name(tmp_path):
    write_picture(tmp_path / "d/a.png", width=64, height=64)
    write_picture(tmp_path / "d/b.png", width=64, height=20)
    with pytest.raises(
        DatasetError, match=r"1 of 2 pictures are smaller than a tile of 32 x 32 .*b.png of 20 x 64: give"
    ):
        load(tmp_path / "d", tmp_path / "cache", tiles=32)


def test_tiles_that_cannot_be_are_refused(tmp_path, capsys):
    write_picture(tmp_path / "d/a.png")
    for options in (
        {"tiles": (8, 8, 8)},
        {"tiles": 0},
        {"tiles": 8, "overlap": 8},
        {"overlap": 2},
        {"tiles": 8, "overlap": -1},
    ):
        with pytest.raises(ValueError, match=r"tiles|overlap"):
            load(tmp_path / "d", tmp_path / "cache", **options)
    assert main(["data", str(tmp_path / "d"), "--overlap", "8"]) == 2
    assert "--overlap 8 needs --tiles" in capsys.readouterr().err


def test_a_changed_overlap_is_another_cache_and_a_damaged_tile_names_its_file(tmp_path):
    path = write_picture(tmp_path / "d/a.png", width=60, height=60)
    data = {overlap: load(path.parent, tmp_path / "cache", 16, tiles=16, overlap=overlap) for overlap in (0, 4)}
    assert [len(part) for part in data.values()] == [16, 25]
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DatasetError, match=r"a\.png is damaged or truncated"):
        load(path.parent, tmp_path / "cache", 16, tiles=16)


MEASURE = """
import re, sys
import maelib.cli, tifffile, torch
from maelib.datasets import load_dataset
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
before = peak()
data = load_dataset(sys.argv[1], "all", size=224, tiles=224, cache=sys.argv[2], progress=False)
print(len(data), (peak() - before) // 1024)
"""


@pytest.mark.audit
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize("way", ["tiles", "deflated tiles", "one strip", "deflated strips", "npy"])
def test_a_scene_of_10_000_pixels_a_side_takes_less_than_a_gigabyte(way, tmp_path):
    options = {
        "tiles": {"tile": (512, 512)}, "deflated tiles": {"tile": (512, 512), "compression": "zlib"}, "one strip": {},
        "deflated strips": {"rowsperstrip": 64, "compression": "zlib"},
    }  # fmt: skip
    rows, columns = np.ogrid[:10_000, :10_000]
    array = np.stack([((rows + columns) % 4096).astype(np.uint16)] * 3, axis=2)
    (tmp_path / "d").mkdir()
    if way == "npy":
        np.save(tmp_path / "d/s.npy", array)
    else:
        tifffile.imwrite(
            tmp_path / "d/s.tif", array, photometric="minisblack", planarconfig="contig", metadata=None, **options[way]
        )
    command = [sys.executable, "-c", MEASURE, tmp_path / "d", tmp_path / "cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, mebibytes = map(int, re.findall(r"\d+", done.stdout))
    assert count == 45 * 45
    assert mebibytes < 1000
