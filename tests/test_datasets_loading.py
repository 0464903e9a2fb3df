"""Finding a data set, choosing its splits and classes; the real one where it is at hand."""

import functools
import io
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from datasets_helpers import make_tiny_imagenet, write_picture, zip_folder
from PIL import Image

from maelib.datasets import DatasetError, load_dataset, loading, read_image, sample_path, samples


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder from which nothing of this machine is found, and no way to download."""
    monkeypatch.delenv("MAELIB_DATA", raising=False)
    monkeypatch.setattr(loading, "KAGGLE_INPUT", tmp_path / "kaggle" / "input")
    monkeypatch.setattr(loading, "download_tiny_imagenet", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


find = functools.partial(loading.find_source, "tiny-imagenet", "val", download=False)


# -- finding Tiny ImageNet ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        "kaggle/input/tiny-imagenet",
        "kaggle/input/datasets/someone/tiny-imagenet/tiny-imagenet-200",
        "kaggle/input/datasets/someone/tiny-imagenet/tiny-imagenet-200/tiny-imagenet-200",
        "kaggle/input/another-name/data",
        "data/tiny-imagenet-200",
        "data",
        "cache/tiny-imagenet-200",
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_it_is_found_by_content(alone: Path, place: str, zipped: bool):
    write_picture(alone / "kaggle/input/aaa/train/x.png")  # other data beside it, with a name that comes first
    (alone / "kaggle/input/aaa/wnids.txt").write_text("")
    if zipped:
        root = zip_folder(make_tiny_imagenet(alone / "t"), alone / place / "any.zip", "some/folder/")
    else:
        root = make_tiny_imagenet(alone / place)
    source = find(alone / "cache")
    assert source.origin.resolve() == root
    assert len(source.members) == 3
    assert read_image(source.read(2)).size == (64, 64)


def test_the_search_has_a_bound(alone: Path, monkeypatch: pytest.MonkeyPatch):
    make_tiny_imagenet(alone / "kaggle/input/1/2/3/4/5/6/7")
    with pytest.raises(DatasetError, match="no Tiny ImageNet in"):
        find(alone / "cache")
    monkeypatch.setattr(loading, "DEPTH", 7)
    assert loading._search(alone / "kaggle/input", 7)


def test_circular_links_end_the_search(alone: Path):
    (alone / "data").mkdir()
    (alone / "data" / "loop").symlink_to(alone / "data")
    with pytest.raises(DatasetError, match="no Tiny ImageNet in"):
        find(alone / "cache")


@pytest.mark.parametrize("zipped", [True, False])
def test_maelib_data_comes_first(alone: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool):
    make_tiny_imagenet(alone / "data")
    named = make_tiny_imagenet(alone / "named" / "tiny-imagenet-200", per_class=2)
    if zipped:
        named = zip_folder(named, alone / "zips" / "t.zip")
    monkeypatch.setenv("MAELIB_DATA", str(named.parent))
    assert find(alone / "cache").origin == named


@pytest.mark.parametrize("exists", [True, False])
def test_maelib_data_without_data_is_an_error_not_a_download(
    alone: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
):
    make_tiny_imagenet(alone / "data")
    if exists:
        (alone / "empty").mkdir()
    monkeypatch.setenv("MAELIB_DATA", str(alone / "empty"))
    reason = "holds no Tiny ImageNet" if exists else "does not exist"
    with pytest.raises(DatasetError, match=rf"MAELIB_DATA names .*empty, which {reason}: expected .*wnids\.txt"):
        load_dataset("tiny-imagenet", cache=alone / "cache")  # a download would be a TypeError


def test_it_is_downloaded_only_where_nothing_is_found(alone: Path, monkeypatch: pytest.MonkeyPatch):
    archive = zip_folder(make_tiny_imagenet(alone / "t"), alone / "away" / "t.zip")

    def download(folder: Path, progress: bool) -> Path:
        folder.mkdir()
        return Path(shutil.copy(archive, folder / "tiny-imagenet-200.zip"))

    monkeypatch.setattr(loading, "download_tiny_imagenet", download)
    data = load_dataset("tiny-imagenet", "val", cache=alone / "cache", progress=False)
    assert len(data) == 3
    monkeypatch.setattr(loading, "download_tiny_imagenet", None)
    assert len(load_dataset("tiny-imagenet", "train", cache=alone / "cache", progress=False)) == 15


def test_a_broken_zip_of_something_else_is_passed_over(alone: Path):
    make_tiny_imagenet(alone / "data" / "z")
    (alone / "data" / "other.zip").write_bytes(b"no zip")
    assert len(find(alone / "cache").members) == 3
    (alone / "data" / "tiny-imagenet-200.zip").write_bytes(b"cut off")
    with pytest.raises(DatasetError, match=r"tiny-imagenet-200\.zip is no zip, or is damaged or truncated"):
        find(alone / "cache")


@pytest.mark.parametrize("below", ["", "tiny-imagenet-200"])
def test_a_path_may_name_it_or_the_folder_around_it(alone: Path, below: str):
    make_tiny_imagenet(alone / "around" / below)
    source = loading.find_source(alone / "around", "val", alone / "cache")
    assert source.name == "tiny-imagenet/val"
    assert len(source.members) == 3


def test_lists_that_do_not_fit_are_errors(alone: Path):
    root = make_tiny_imagenet(alone / "t")
    val = root / "val/val_annotations.txt"
    (root / "val/images/val_1.JPEG").unlink()
    with pytest.raises(DatasetError, match=r"val_1\.JPEG is missing"):
        load_dataset(root, "val", cache=alone / "cache")
    val.write_text("val_0.JPEG\tn77\t0\n")
    with pytest.raises(DatasetError, match="'n77'"):
        load_dataset(root, "val", cache=alone / "cache")
    val.write_text("nothing of use\n")
    with pytest.raises(DatasetError, match="no pictures for tiny-imagenet/val"):
        load_dataset(root, "val", cache=alone / "cache")
    val.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DatasetError, match=r"val_annotations\.txt is missing or damaged"):
        load_dataset(root, "val", cache=alone / "cache")
    (root / "words.txt").unlink()
    with pytest.raises(DatasetError, match=r"words\.txt is missing or damaged"):
        load_dataset(root, "train", cache=alone / "cache")


def test_a_split_that_is_not_there_is_an_error(alone: Path):
    root = make_tiny_imagenet(alone / "t")
    shutil.rmtree(root / "train")
    assert len(load_dataset(root, "val", cache=alone / "cache")) == 3
    with pytest.raises(DatasetError, match="no pictures for tiny-imagenet/train"):
        load_dataset(root, "train", cache=alone / "cache")


@pytest.mark.parametrize("split", ["train", "val"])
def test_nothing_there_is_an_error(alone: Path, split: str):
    (alone / "empty").mkdir()
    (alone / "a.txt").write_text("hello")
    with zipfile.ZipFile(alone / "empty.zip", "w"):
        pass
    for path, message in (
        ("empty", "empty holds no pictures"),
        ("empty.zip", r"empty\.zip holds no pictures"),
        ("absent", "no data at absent: give a folder"),
        ("a.txt", r"a\.txt is neither a folder nor a zip"),
    ):
        with pytest.raises(DatasetError, match=message):
            load_dataset(path, split, cache=alone / "cache")


def test_bad_arguments_are_named(alone: Path):
    with pytest.raises(ValueError, match="'train', 'val' or 'all', got 'test'"):
        load_dataset("samples", "test")
    for size in (0, (64, 0), (64, 64, 3), (64,), 6.4, True):
        with pytest.raises(ValueError, match=f"at least 1 pixel, got {re.escape(repr(size))}"):
            load_dataset("samples", size=size)


def test_the_samples_are_a_data_set(alone: Path):
    data = load_dataset("samples", "val", size=96, cache=alone / "cache")
    assert (data.name, data.labels, data.classes) == ("samples", None, [])
    assert data.images.shape == (len(samples()), 96, 96, 3)
    square = read_image(sample_path("astronaut")).resize((96, 96), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(data.images[samples().index("astronaut")], np.asarray(square))


# -- where the cache goes ----------------------------------------------------------------------------------------------


def test_the_cache_folder_is_the_first_that_can_be_written(alone: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MAELIB_CACHE", str(alone / "chosen"))
    assert loading.cache_folder() == alone / "chosen"
    monkeypatch.delenv("MAELIB_CACHE")
    monkeypatch.setenv("HOME", str(alone / "home"))
    assert loading.cache_folder() == alone / "home/.cache/maelib"
    (alone / "home/.cache/maelib").rename(alone / "home/.cache/read-only")
    (alone / "home/.cache/maelib").symlink_to("/proc/self")  # a folder that exists and that nobody can write into
    monkeypatch.setattr(loading.tempfile, "gettempdir", lambda: str(alone / "first"))
    assert loading.cache_folder() == alone / "first/maelib"
    (alone / "file").write_text("in the way")
    monkeypatch.setenv("HOME", str(alone / "file"))
    monkeypatch.setattr(loading.tempfile, "gettempdir", lambda: str(alone / "temporary"))
    assert loading.cache_folder() == alone / "temporary/maelib"
    monkeypatch.setattr(loading.tempfile, "gettempdir", lambda: str(alone / "file"))
    with pytest.raises(DatasetError, match="MAELIB_CACHE"):
        loading.cache_folder()


# -- the real data -----------------------------------------------------------------------------------------------------


def test_the_real_validation_pictures(real_data: str, tmp_path: Path):
    data = load_dataset("tiny-imagenet", "val", cache=tmp_path, progress=False)
    source = loading.find_source("tiny-imagenet", "val", tmp_path)
    assert (len(data), data.hw[0], len(data.classes)) == (10_000, 64, 200)
    for index in [*range(0, 10_000, 97), 9_999]:
        with Image.open(io.BytesIO(source.read(index))) as picture:
            np.testing.assert_array_equal(data.images[index], np.asarray(picture.convert("RGB")))
    (tree, root) = loading._find_tiny_imagenet(tmp_path, download=False, progress=False)
    wnids = tree.text(f"{root}wnids.txt").split()
    annotated = dict(line.split("\t")[:2] for line in tree.text(f"{root}val/val_annotations.txt").splitlines())
    assert data.labels is not None
    assert [wnids[label] for label in data.labels] == [annotated[name.rsplit("/")[-1]] for name in source.members]
    assert np.bincount(data.labels).tolist() == [50] * 200
    assert data.classes[wnids.index("n01443537")] == "goldfish, Carassius auratus"


def test_the_real_training_pictures_are_listed(real_data: str, tmp_path: Path):
    source = loading.find_source("tiny-imagenet", "train", tmp_path)
    assert source.labels is not None
    counts = np.bincount(source.labels, minlength=200)
    assert len(set(counts)) == 1  # a part of the training pictures is class-balanced too
    assert len(source.members) == len(set(source.members)) == counts.sum() > 0
    wnids = {
        name.split("train/")[1].split("/")[0]: label for name, label in zip(source.members, source.labels, strict=True)
    }
    assert source.classes[wnids["n01443537"]] == "goldfish, Carassius auratus"
