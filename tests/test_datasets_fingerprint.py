"""What a cache and a run were made of: the same pictures are the same wherever they lie, others are noticed and named."""

import json
import os
import shutil
from pathlib import Path

import pytest
from datasets_helpers import load, make_tiny_imagenet, write_picture, zip_folder

from maelib.cli import main
from maelib.datasets.fingerprint import changes, fingerprint

SHAPE = ("patch_size=8", "width=16", "heads=1", "depth=1", "decoder_width=16", "decoder_depth=1", "decoder_heads=1")
QUICK = ["train", "--size=16", "--batch-size=8", "--epochs=1", "--no-final-evaluation", "--device=cpu"]
QUICK += [f"--set={field}" for field in (*SHAPE, "image_size=16")]


def write_scenes(folder: Path) -> Path:
    for k in range(40):
        write_picture(folder / f"scene{k // 2:02}_{k % 2}.png", seed=k, width=32, height=32)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_scenes(tmp_path / "photos")


# -- fingerprints ----------------------------------------------------------------------------------------------------------


def test_a_zip_and_its_files_elsewhere_are_the_same_pictures(tmp_path):
    root = make_tiny_imagenet(tmp_path / "tiny-imagenet-200")
    zipped = zip_folder(root, tmp_path / "t.zip", "tiny-imagenet-200/")
    moved = Path(shutil.copytree(root, tmp_path / "elsewhere/deep"))
    for path in moved.rglob("*.JPEG"):
        os.utime(path, (1, 1))
    for split in ("train", "val"):
        made = [load(source, tmp_path / "cache", split).made_of for source in (root, zipped, moved)]
        assert made[0] == made[1] == made[2]


@pytest.mark.parametrize("count", [1, 2, 16, 17, 1000])
def test_each_change_of_names_or_contents_is_seen_near_where_it_is(count):
    names, crcs = [f"{i:04}.png" for i in range(count)], list(range(count))
    before = {"train": fingerprint(names, crcs)}
    assert len(json.dumps(before)) < 800
    assert changes(before, json.loads(json.dumps(before))) == []
    for i in {0, count // 2, count - 1}:
        altered = {
            "content": (names, [*crcs[:i], 10**6, *crcs[i + 1 :]]),
            "name": ([*names[:i], f"{i:04}x.png", *names[i + 1 :]], crcs),
            "added": ([*names[: i + 1], f"{i:04}y.png", *names[i + 1 :]], [*crcs[: i + 1], 7, *crcs[i + 1 :]]),
        }
        for kind, (new_names, new_crcs) in altered.items():
            (line,) = changes(before, {"train": fingerprint(new_names, new_crcs)})
            assert ("as before" in line) == (kind != "added")
            old, new = set(names), set(new_names)
            if len(new) <= 16:
                said = [f"removed: {name!r}" for name in old - new] + [f"added: {name!r}" for name in new - old]
                assert line.endswith(", ".join(said or [f"changed: {names[i]!r}"]))
            elif "from" in line:  # what is said holds: the first that differs lies between the two names
                first, *before_it = line.partition(" from ")[2].split("'")[1::2]
                differs = min((old - new) | (new - old) | {names[i]} if kind != "content" else {names[i]})
                assert first <= differs
                assert not before_it or differs < before_it[0]
            else:  # the first name of a block has changed, or all blocks have moved
                assert kind != "content"


def test_no_name_is_given_where_blocks_have_moved():
    names = [f"{i:02}.png" for i in range(33)]
    before, now = ({"train": fingerprint(some, range(len(some)))} for some in (names, names[1:]))
    assert changes(before, now) == ["train has other pictures: 33 pictures before, 32 now"]


def test_what_only_one_of_two_tells_counts_as_equal():
    made = fingerprint(["a"], [1])
    assert changes({}, {"train": made}) == changes({"train": made}, {}) == changes({"val": made}, {"train": made}) == []


# -- a run that goes on ----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(photos, tmp_path, capsys) -> list[str]:
    """A run by groups that has ended; the command without its group."""
    command = [*QUICK, f"--data={photos}", f"--out={tmp_path / 'run'}", f"--cache={tmp_path / 'cache'}"]
    assert main([*command, r"--group=scene(\d+)"]) == 0
    capsys.readouterr()
    return [*command, "--resume=auto"]


def test_the_run_keeps_its_group_and_what_its_pictures_were(run, photos, tmp_path, capsys):
    pictures = json.loads((tmp_path / "run/config.json").read_text())["pictures"]
    assert pictures["train"]["group"] == r"scene(\d+)"
    assert (pictures["train"]["count"], pictures["val"]["count"]) == (38, 2)
    assert main(run) == 0
    said = capsys.readouterr().out
    assert "1 of 20 groups of 'scene(\\d+)'" in said
    assert "resumes at epoch 1.00" in said


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "changed"])
def test_other_pictures_are_refused_by_name(change, run, photos, tmp_path, capsys):
    name = json.loads((tmp_path / "run/config.json").read_text())["pictures"]["train"]["blocks"][5][0]
    path = photos / name
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    if change == "added":
        shutil.copy(path, photos / name.replace("_", "_0"))
    elif change == "removed":
        path.unlink()
    elif change == "renamed":
        path.rename(photos / name.replace("_", "_0"))
    else:
        write_picture(path, seed=999, width=32, height=32)
    assert main(run) == 1
    said = capsys.readouterr().err
    counts = {"added": "38 pictures before, 39 now", "removed": "38 pictures before, 37 now"}
    assert counts.get(change, "38 pictures as before") in said
    assert f"the first difference from '{name}' on" in said or change in ("removed", "renamed")
    assert f"--init {tmp_path / 'run'} takes its weights" in said
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--size=24"], "--size was 16x16, now 24x24"),
        (["--group=scene"], "all are of one group"),
        ([r"--group=(scene\d)"], r"--group was 'scene(\d+)', now '(scene\d)'"),
        (["--tiles=16", "--overlap=4"], "--tiles was none, now 16x16; --overlap was none, now 4"),
        (["--range", "0", "100"], "range was None, now [0.0, 100.0, 'uint8']"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_other_options_are_refused_by_name(options, said, run, capsys):
    assert main([*run, *options]) == 1
    assert said in capsys.readouterr().err


def test_a_run_of_an_earlier_version_goes_on(run, tmp_path, capsys):
    path = tmp_path / "run/config.json"
    config = json.loads(path.read_text())
    del config["pictures"]
    path.write_text(json.dumps(config))
    assert main(run) == 0
    assert "resumes at epoch 1.00" in capsys.readouterr().out


def test_evaluate_takes_the_options_of_the_run_where_it_can(run, photos, tmp_path, capsys):
    place = [f"--cache={tmp_path / 'cache'}", "--protocols=masked"]
    evaluate = ["evaluate", str(tmp_path / "run"), *place, f"--data={photos}"]
    assert main(evaluate) == 0
    assert "1 of 20 groups of 'scene(\\d+)'" in capsys.readouterr().out
    write_picture(photos / "scene00_7.png", seed=999)
    assert main([*evaluate, "--split=train"]) == 0
    assert (
        "not the pictures of the run: train has other pictures: 38 pictures before, 39 now" in capsys.readouterr().out
    )
    write_picture(photos / "loose.png")
    assert main(evaluate) == 0
    said = capsys.readouterr().out
    assert "of the run cannot be applied here" in said
    assert "not found in 1 of 42 names, such as 'loose.png'" in said
    other = Path(shutil.copytree(photos, tmp_path / "other"))
    assert main(["evaluate", str(tmp_path / "run"), *place, f"--data={other}"]) == 0  # other data: its own split
    assert "groups" not in capsys.readouterr().out


@pytest.mark.parametrize("what", ["", "model.safetensors", "checkpoints/"])
def test_evaluate_finds_the_pictures_of_the_run_or_asks_for_them(what, run, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("MAELIB_DATA", raising=False)
    monkeypatch.setattr("maelib.datasets.loading.download_tiny_imagenet", lambda *_, **__: pytest.fail("downloads"))
    model = tmp_path / "run" / what
    model = next(model.glob("step-*")) if what == "checkpoints/" else model
    evaluate = ["evaluate", str(model), f"--cache={tmp_path / 'cache'}", "--protocols=masked"]
    assert main(evaluate) == 0
    assert "1 of 20 groups of 'scene(\\d+)'" in capsys.readouterr().out
    moved = photos.rename(tmp_path / "moved")
    assert main(evaluate) == 2
    assert f"{model} was trained on 'photos': say where it is with --data" in capsys.readouterr().err
    assert main([*evaluate, f"--data={moved}"]) == 0
    at_home = photos.parent / "home/photos"
    shutil.copytree(moved, at_home)
    assert main([word.replace(str(photos), str(at_home)) for word in run]) == 0  # moved: the same run
    assert "resumes at epoch 1.00" in capsys.readouterr().out


def test_a_run_on_the_shipped_pictures_is_measured_on_them(tmp_path, capsys):
    assert main([*QUICK, "--data=samples", f"--out={tmp_path / 'run'}"]) == 0
    assert "path" not in json.loads((tmp_path / "run/config.json").read_text())
    assert main(["evaluate", str(tmp_path / "run"), "--protocols=masked"]) == 0
    assert "10 pictures, 75% hidden" in capsys.readouterr().out
