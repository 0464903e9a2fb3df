"""The cache: the same pixels, whatever happens to it or to the processes that make it."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from datasets_helpers import listing, load, make_tiny_imagenet, packed_folder, write_photos, write_picture, zip_folder
from PIL import Image

from maelib.datasets import DatasetError, packed, resize_crop_square


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_photos(tmp_path / "photos")


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pixels_and_labels_are_those_of_the_files(tmp_path: Path, split: str, zipped: bool):
    root = make_tiny_imagenet(tmp_path / "tiny-imagenet-200")
    source = zip_folder(root, tmp_path / "t.zip", "tiny-imagenet-200/") if zipped else root
    data = load(source, tmp_path / "cache", split, size=64)
    assert data.name == f"tiny-imagenet/{split}"
    assert data.classes == ["n03", "goldfish", "cat, tom"]  # n03 has no word
    assert (data.images.shape, data.images.dtype) == ((15 if split == "train" else 3, 64, 64, 3), np.uint8)
    files = sorted(root.glob("train/*/images/*") if split == "train" else root.glob("val/images/*"))
    for image, path in zip(data.images, files, strict=True):
        np.testing.assert_array_equal(image, np.asarray(Image.open(path)))
    assert data.labels is not None
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == ([1] * 5 + [2] * 5 + [0] * 5 if split == "train" else [0, 1, 2])


def test_other_sizes_are_fitted(photos: Path, tmp_path: Path):
    data = load(photos, tmp_path / "cache", size=24)
    assert data.hw == (24, 24)
    assert len(data) == 38
    found = {image.tobytes() for image in data.images}
    made = {np.asarray(resize_crop_square(Image.open(path), 24)).tobytes() for path in photos.rglob("*.png")}
    assert found < made


def test_the_images_are_mapped_and_read_only(photos: Path, tmp_path: Path):
    data = load(photos, tmp_path / "cache")
    assert isinstance(data.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        data.images[0] = 0


def test_the_second_call_decodes_nothing(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = load(photos, tmp_path / "cache")
    monkeypatch.setattr(packed, "decode_one", None)
    second = load(photos, tmp_path / "cache")
    np.testing.assert_array_equal(first.images, second.images)
    with pytest.raises(TypeError):  # to see that the line above would have failed
        load(photos, tmp_path / "cache", size=17)


def test_a_changed_folder_is_packed_again(photos: Path, tmp_path: Path):
    before = load(photos, tmp_path / "cache")
    for path in photos.rglob("*.png"):
        write_picture(path, seed=99)
    changed = load(photos, tmp_path / "cache")
    assert not np.array_equal(before.images, changed.images)
    write_picture(photos / "a" / "new.png")
    assert len(load(photos, tmp_path / "cache")) == len(before) + 1


def test_a_zip_moved_elsewhere_finds_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archive = zip_folder(make_tiny_imagenet(tmp_path / "t"), tmp_path / "t.zip")
    first = load(archive, tmp_path / "cache")
    monkeypatch.setattr(packed, "decode_one", None)
    second = load(archive.rename(tmp_path / "other.zip"), tmp_path / "cache")
    np.testing.assert_array_equal(first.images, second.images)


DAMAGE = {
    "a pixel": ("images.npy", lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]),
    "the header": ("images.npy", lambda data: data.replace(b"'|u1'", b"'|i1'")),
    "cut off": ("images.npy", lambda data: data[:-1]),
    "one byte more": ("images.npy", lambda data: data + b"\0"),
    "a label": ("labels.npy", lambda data: data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]),
    "a name": ("about.json", lambda data: data.replace(b'"b"', b'"c"')),
    "no JSON": ("about.json", lambda data: b"{"),
    "the seal": ("seal.json", lambda data: b""),
    "labels gone": ("labels.npy", None),
    "images gone": ("images.npy", None),
    "the seal gone": ("seal.json", None),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_reported_once_and_made_again(damage: str, photos: Path, tmp_path: Path):
    before = load(photos, tmp_path / "cache")
    images, labels, classes = np.array(before.images), before.labels, before.classes
    assert labels is not None
    del before
    name, change = DAMAGE[damage]
    path = packed_folder(tmp_path / "cache") / name
    if change is None:
        path.unlink()
    else:
        content = path.read_bytes()
        assert change(content) != content
        path.write_bytes(change(content))
    with pytest.warns(UserWarning, match="damaged") as caught:
        again = load(photos, tmp_path / "cache")
    assert len(caught) == 1
    assert Path(caught[0].filename).name == "datasets_helpers.py"  # the caller, not a file of the package
    np.testing.assert_array_equal(again.images, images)
    np.testing.assert_array_equal(again.labels, labels)
    assert again.classes == classes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(photos, tmp_path / "cache")


def test_nothing_is_written_beside_the_data(photos: Path, tmp_path: Path):
    before = listing(photos)
    load(photos, tmp_path / "cache")
    assert listing(photos) == before


def test_a_cache_that_cannot_be_is_an_error(photos: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match=r"cannot write the cache.*MAELIB_CACHE"):
        load(photos, tmp_path / "file" / "cache")
