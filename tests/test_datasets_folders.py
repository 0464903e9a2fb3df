"""Any folder of pictures: which files count, how they are split, what their classes are."""

import shutil
from pathlib import Path

import pytest
from datasets_helpers import write_picture, zip_folder

from maelib.datasets import DatasetError, load_dataset, loading
from maelib.datasets.sources import Source, is_picture


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def splits(path: Path) -> tuple[Source, Source]:
    train, val = (loading.find_source(path, split, Path("cache")) for split in ("train", "val"))
    return train, val


def test_five_percent_are_held_out_by_their_names_alone(alone: Path):
    for k in range(100):
        write_picture(alone / f"photos/{k}.png", width=4, height=4)
    train, val = splits(alone / "photos")
    assert (len(train.members), len(val.members)) == (95, 5)
    assert set(train.members) | set(val.members) == {f"{k}.png" for k in range(100)}
    assert (train.name, val.name) == ("photos/train", "photos/val")
    assert train.labels is None
    shutil.copytree(alone / "photos", alone / "moved")
    assert splits(alone / "moved")[1].members == val.members
    assert splits(zip_folder(alone / "photos", alone / "p.zip"))[1].members == val.members


@pytest.mark.parametrize("zipped", [True, False])
def test_train_and_val_folders_are_the_splits(alone: Path, zipped: bool):
    for name in ("train/b/1.png", "train/c/deep/2.JPG", "train/a/3.png", "val/c/4.bmp", "extra/5.png"):
        write_picture(alone / "photos" / name)
    path = zip_folder(alone / "photos", alone / "p.zip") if zipped else alone / "photos"
    train, val = splits(path)
    assert train.members == ["train/a/3.png", "train/b/1.png", "train/c/deep/2.JPG"]
    assert val.members == ["val/c/4.bmp"]
    assert train.classes == val.classes == ["a", "b", "c"]  # one numbering, though val has one class only
    assert train.labels is not None
    assert val.labels is not None
    assert (train.labels.tolist(), val.labels.tolist()) == ([0, 1, 2], [2])


def test_an_empty_val_folder_is_an_error_not_a_class(alone: Path):
    for k in range(3):
        write_picture(alone / f"photos/train/{k}.png")
    (alone / "photos/val").mkdir()
    with pytest.raises(DatasetError, match=r"photos holds no pictures for photos/val.*\.jpg"):
        load_dataset(alone / "photos", "val", cache=alone / "cache")


def test_the_first_folder_is_the_class_where_there_are_several(alone: Path):
    for k in range(30):
        write_picture(alone / f"photos/{'cats' if k % 3 else 'dogs/more'}/{k}.png", width=4, height=4)
    for source in splits(alone / "photos"):
        assert source.classes == ["cats", "dogs"]
        assert source.labels is not None
        assert [source.classes[label] for label in source.labels] == [m.split("/")[0] for m in source.members]
    shutil.rmtree(alone / "photos/cats")
    assert splits(alone / "photos")[0].labels is None
    write_picture(alone / "photos/loose.png")
    write_picture(alone / "photos/cats/1.png")
    assert splits(alone / "photos")[0].labels is None  # not every picture has a class


def test_only_pictures_count(alone: Path):
    for name in ("a.png", "b.JPEG", "deep/er/c.webp", "d.gif", "e.tiff"):
        write_picture(alone / "photos" / name)
    for name in (
        "notes.txt",
        "x.json",
        "Thumbs.db",
        ".DS_Store",
        ".hidden.png",
        ".cache/f.png",
        "__MACOSX/._a.png",
        "png",
    ):
        (alone / "photos" / name).parent.mkdir(exist_ok=True)
        (alone / "photos" / name).write_text("no picture")
    train, val = splits(alone / "photos")
    assert sorted(train.members + val.members) == ["a.png", "b.JPEG", "d.gif", "deep/er/c.webp", "e.tiff"]
    assert len(load_dataset(alone / "photos", cache=alone / "cache", size=8)) == 4
    assert not is_picture("archive.png.txt")


def test_linked_folders_are_followed_once(alone: Path):
    write_picture(alone / "elsewhere/a.png")
    write_picture(alone / "photos/b.png")
    (alone / "photos/linked").symlink_to(alone / "elsewhere")
    (alone / "photos/loop").symlink_to(alone / "photos")
    train, val = splits(alone / "photos")
    assert sorted(train.members + val.members) == ["b.png", "linked/a.png"]


def test_one_picture_can_be_trained_on_but_not_split(alone: Path):
    write_picture(alone / "photos/a.png")
    assert len(load_dataset(alone / "photos", "train", cache=alone / "cache")) == 1
    with pytest.raises(DatasetError, match="no pictures for photos/val"):
        load_dataset(alone / "photos", "val", cache=alone / "cache")
