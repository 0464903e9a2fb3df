"""Groups: all pictures of a scene or patient on one side of the split."""

import re
from pathlib import Path

import pytest
from datasets_helpers import write_picture, zip_folder

from maelib.cli import main
from maelib.datasets import DatasetError, load_dataset
from maelib.datasets.loading import find_source

GROUP = r"scene(\d+)"


def write_scenes(folder: Path, scenes: int = 40, each: int = 3, below: str = "") -> Path:
    for k in range(scenes * each):
        write_picture(folder / f"{below}scene{k // each:02}_{'abc'[k % each]}.png", seed=k, width=8, height=8)
    return folder


def sides(data: Path, group: str | None = GROUP) -> tuple[list[str], list[str]]:
    train, val = (find_source(data, split, Path("cache"), group=group).members for split in ("train", "val"))
    return train, val


def keys(names: list[str]) -> set[str]:
    return {re.search(GROUP, name)[1] for name in names}  # type: ignore[index]


def test_a_group_stands_on_one_side_and_five_percent_of_the_groups_are_held_out(tmp_path):
    photos = write_scenes(tmp_path / "photos")
    train, val = sides(photos)
    assert keys(train).isdisjoint(keys(val))
    assert (len(keys(val)), len(val), len(train)) == (2, 6, 114)
    assert keys(sides(photos, None)[0]) & keys(sides(photos, None)[1])  # without it the first line would have failed
    assert sides(zip_folder(photos, tmp_path / "p.zip")) == (train, val)
    note = find_source(photos, "val", Path("cache"), group=GROUP).note
    assert "2 of 40 groups of 'scene(\\d+)'" in note
    assert "6 of 120 pictures" in note


def test_all_of_the_match_is_the_key_where_the_expression_has_no_group(tmp_path):
    photos = write_scenes(tmp_path / "photos")
    assert sides(photos, r"scene\d\d") == sides(photos, r"(scene\d\d)")


def test_at_least_one_group_is_held_out_and_of_one_none_can_be(tmp_path):
    assert len(keys(sides(write_scenes(tmp_path / "two", 2))[1])) == 1
    one = write_scenes(tmp_path / "one", 1)
    assert len(find_source(one, "train", Path("cache"), group=GROUP).members) == 3
    with pytest.raises(
        DatasetError, match=r"no pictures for one/val, as all are of one group, '00': add others, or put"
    ):
        find_source(one, "val", Path("cache"), group=GROUP)


def test_a_name_without_a_group_is_named(tmp_path):
    photos = write_scenes(tmp_path / "photos", 3)
    write_picture(photos / "loose.png")
    with pytest.raises(DatasetError, match=r"'scene\(\\d\+\)' is not found in 1 of 10 names, such as 'loose.png'"):
        sides(photos)


def test_what_is_no_expression_is_refused(tmp_path, capsys):
    photos = write_scenes(tmp_path / "photos", 2)
    with pytest.raises(ValueError, match=r"group must be a regular expression, got 'scene\('"):
        load_dataset(photos, group="scene(")
    with pytest.raises(SystemExit, match="2"):
        main(["data", str(photos), "--group", "scene("])
    assert "argument --group: must be a regular expression, got 'scene('" in capsys.readouterr().err


def test_splits_of_the_data_are_checked_not_changed(tmp_path):
    apart = write_scenes(write_scenes(tmp_path / "apart", 4, below="train/"), 0)
    write_picture(apart / "val/scene09_a.png")
    train, val = sides(apart)
    assert (len(train), len(val)) == (12, 1)
    write_picture(apart / "val/scene02_z.png")
    with pytest.raises(
        DatasetError, match=r"train/ and val/ share 1 of 5 groups of .*such as '02': move each to one side"
    ):
        sides(apart)
    with pytest.raises(DatasetError, match=r"samples has splits of its own: leave out --group 'scene"):
        find_source("samples", "val", tmp_path, group=GROUP)


def test_other_groups_are_another_cache(tmp_path):
    photos = write_scenes(tmp_path / "photos", 4)
    first, second = (
        load_dataset(photos, "all", size=8, group=group, cache=tmp_path / "cache", progress=False)
        for group in (GROUP, "scene")
    )
    assert first.images.filename != second.images.filename  # type: ignore[attr-defined]
    assert first.made_of["group"] == GROUP
