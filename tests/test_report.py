"""The report before training: what is wrong with a data set is found and named, and nothing in it stops the report."""

import html.parser
import io
import json
import re
import shlex
import shutil
import subprocess

import numpy as np
import pytest
import tifffile
from datasets_helpers import encoded, make_picture, write_picture
from PIL import Image

from maelib.cli import build_parser, main
from maelib.datasets import DatasetError, load_dataset
from maelib.datasets.duplicates import DISTANCE, difference_hash, near_duplicates
from maelib.evaluation import evaluate_baselines, first_recipe
from maelib.evaluation.report import likely_group, report
from maelib.evaluation.report_page import as_page, as_text, suggestions


def scan(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(200, 4000, (5, 5)).astype(np.float32)
    return (
        np.asarray(Image.fromarray(coarse).resize((90, 70), Image.Resampling.BICUBIC)).clip(0, 4095).astype(np.uint16)
    )


@pytest.fixture(scope="module", autouse=True)
def _short():
    """Few steps are measured, of few pictures: the reports of these tests need no exact minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first_recipe, "STEPS", 1)
        patch.setattr(first_recipe, "BATCH", 4)
        yield


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    """Gray pictures of 16 bits by patient, with each thing that is to be found."""
    folder = tmp_path_factory.mktemp("scans")
    pictures = {f"patient{k // 3:02}_{k % 3}": scan(k) for k in range(36)}
    pictures["patient05_1"] = pictures["patient02_0"]
    pictures["patient02_2"] = (pictures["patient02_0"].astype(int) + np.arange(90) % 7).clip(0, 4095).astype(np.uint16)
    pictures["patient07_0"] = np.full((70, 90), 77, np.uint16)
    for name, array in pictures.items():
        Image.fromarray(array).save(folder / f"{name}.png")
    whole = (folder / "patient09_1.png").read_bytes()
    (folder / "patient09_1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "patient10_0.png").write_bytes(b"no picture")
    (folder / "patient10_1.png").write_bytes(encoded(make_picture()))
    return folder


@pytest.fixture(scope="module")
def found(scans, tmp_path_factory):
    return report(scans, group=r"patient(\d+)", cache=tmp_path_factory.mktemp("cache"), progress=False)


def test_what_is_in_the_data(found):
    data = found.data
    assert (data["pictures"], data["split"]["train"], data["split"]["val"]) == (36, 31, 3)
    assert data["kinds"] == {"1 x uint16": 33, "3 x uint8": 1}
    assert data["sizes"] == {"smallest": [64, 64], "median": [70, 90], "largest": [70, 90], "different": 2}
    assert data["groups"]["groups"] == 12
    assert (data["groups"]["val"], data["groups"]["both"]) == (1, 0)
    (band,) = data["quantiles"]["bands"]
    assert band == sorted(band)
    assert 0 <= band[0] < band[-1] <= 4095


def test_what_is_wrong_is_named(found):
    data = found.data
    assert set(data["damaged"]) == {"patient09_1.png", "patient10_0.png"}
    assert data["other_kind"] == ["patient10_1.png"]
    assert data["constant"] == ["patient07_0.png"]
    twins = data["duplicates"]
    three = ["patient02_0.png", "patient02_2.png", "patient05_1.png"]
    assert twins["near"] == [["patient02_0.png", "patient02_2.png"]]
    assert twins["copies"] == twins["across_groups"] == [["patient02_0.png", "patient05_1.png"]]
    assert data["duplicates"]["pictures"] == 3
    text = as_text(data)
    for name in (*data["damaged"], "patient10_1.png", "patient07_0.png", *three):
        assert name in text
    assert text.count("\n! ") == len(data["findings"]) >= 3


def test_the_fills_score_as_they_do_elsewhere(tmp_path):
    made = report("samples", cache=tmp_path, progress=False)
    samples = load_dataset("samples", size=64, cache=tmp_path, progress=False)
    assert made.data["baselines"] == evaluate_baselines(samples, fills=tuple(made.data["baselines"]), progress=False)
    assert list(made.data["baselines"]) == ["visible_mean", "gaussian", "diffusion"]
    assert made.data["suggestion"]["begins_with_shipped_weights"]


def test_the_suggested_command_is_one(found):
    command = found.data["suggestion"]["command"]
    assert "--set channels=1" in command
    assert r"--group 'patient(\d+)'" in command
    assert found.data["suggestion"]["minutes"] > 0
    args = build_parser().parse_args(shlex.split(command)[1:])
    assert (args.group, args.overrides) == (r"patient(\d+)", ["channels=1"])


def test_what_is_suggested_works_as_it_stands(scans, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(first_recipe, "LONG", 0)
    monkeypatch.setattr(first_recipe, "SHORT", 0.002)  # minutes
    folder = shutil.copytree(scans, tmp_path / "my scans")
    data = report(folder, cache=tmp_path / "cache", progress=False).data
    moving, (_, first), (_, small) = suggestions(data)
    subprocess.run(moving[1], shell=True, check=True)
    assert sorted(path.name for path in (tmp_path / "my scans-set-aside").iterdir()) == sorted(
        [*data["damaged"], *data["other_kind"]]
    )
    again = report(folder, cache=tmp_path / "cache", progress=False).data
    assert again["damaged"] == {}
    assert again["suggestion"]["first"] == ""
    assert build_parser().parse_args(shlex.split(first)[1:]).overrides == ["channels=1"]
    assert (
        main([*shlex.split(small)[1:], f"--cache={tmp_path / 'cache'}", "--no-final-evaluation", "--device=cpu"]) == 0
    )
    made = json.loads((tmp_path / "runs/my scans-small/config.json").read_text())
    assert (made["model"]["patch_size"], made["model"]["width"], made["model"]["depth"]) == (8, 128, 4)
    assert data["suggestion"]["smaller"]["minutes"] < data["suggestion"]["minutes"]


def test_copies_and_groups_are_told_by_names_and_contents(tmp_path):
    """Of 20 patients with three nearly equal scans each, some lie on both sides of a split by pictures."""
    for k in range(60):
        array = scan(k // 3) + np.uint16(k % 3)
        Image.fromarray(array).save(tmp_path / f"patient{k // 3:02}_{k % 3}.png")
    shutil.copy(tmp_path / "patient03_0.png", tmp_path / "patient04_1.png")
    data = report(tmp_path, cache=tmp_path / "cache", progress=False).data
    twins = data["duplicates"]
    assert twins["copies"] == [["patient03_0.png", "patient04_1.png"]]
    assert len(twins["near"]) >= 40
    assert twins["across"]
    option = r"--group 'patient(\d+)'"
    assert sum(option in line for line in data["findings"]) == 1
    text = as_text(data)
    assert text.count("patient") < 4 * 20 + 12  # 20 pairs of a kind, not all
    grouped = report(tmp_path, group=r"patient(\d+)", cache=tmp_path / "cache", progress=False).data
    assert all(pair in grouped["duplicates"]["across_groups"] for pair in grouped["duplicates"]["across"])
    assert twins["copies"][0] in grouped["duplicates"]["across_groups"]
    assert option not in " ".join(grouped["findings"])
    copies = as_text(grouped).partition("Exact copies")[2].splitlines()
    assert copies[1].split()[-3:] == ["1", "across", "groups"]
    assert copies[2].split()[-3:] == ["groups", "patient03_0.png", "patient04_1.png"]


@pytest.mark.parametrize(
    ("names", "pairs", "option"),
    [
        ([f"p{k}/{i}.png" for k in range(6) for i in range(3)], [("p1/0.png", "p1/2.png")], "--group '^([^/]+)/'"),
        ([f"{k}_{i}.png" for k in range(6) for i in range(3)], [("1_0.png", "1_2.png")], r"--group '(?:^|/)(\d+)'"),
        ([f"p{k}/{i}.png" for k in range(2) for i in range(9)], [("p1/0.png", "p1/2.png")], ""),  # too few groups
        ([f"s{k}_{i}.png" for k in range(6) for i in range(3)], [("s1_0.png", "s2_2.png")], ""),  # would not help
        ([f"IMG_{k}.png" for k in range(20)], [("IMG_1.png", "IMG_2.png")], ""),  # numbers of pictures
    ],
)
def test_a_group_is_proposed_where_names_say_so_and_it_would_help(names, pairs, option):
    assert likely_group(names, pairs) == option


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text = [], [], ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def test_the_page_holds_all_of_it_and_needs_nothing_else(found):
    page = Page()
    page.feed(as_page(found))
    assert page.links
    assert all(link.startswith("data:image/jpeg;base64,") for link in page.links)
    assert "script" not in page.tags
    for line in found.data["findings"]:
        assert line in page.text
    for cell in re.findall(r"\S+", as_text(found.data).replace("! ", "")):
        assert cell in page.text or cell in ("nothing", "stands", "against")


def test_the_command_writes_page_and_json(scans, tmp_path, capsys):
    page, data = tmp_path / "r.html", tmp_path / "r.json"
    command = ["data", str(scans), f"--report={page}", f"--json={data}", f"--cache={tmp_path / 'c'}"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "Where to begin" in said
    assert json.loads(data.read_text())["groups"] is None
    assert page.read_text().startswith("<!doctype html>")
    assert not (tmp_path / "c").exists()  # nothing is packed
    assert main(["data", str(scans), "--json", str(data)]) == 2
    with pytest.raises(SystemExit, match="2"):
        main(["data", "--report", str(scans)])
    assert "must end in .html" in capsys.readouterr().err


def test_bands_missing_pixels_and_tiles(tmp_path):
    for k in range(4):
        array = np.random.default_rng(k).normal(0.3, 0.2, (150, 140, 4)).astype(np.float32)
        array[:15] = np.nan if k == 2 else array[:15]
        tifffile.imwrite(tmp_path / f"s{k}.tif", array, metadata=None, planarconfig="contig", photometric="minisblack")
    made = report(tmp_path, tiles=(64, 64), cache=tmp_path / "c", progress=False)
    assert made.data["missing"] == {"pictures": 1, "share": pytest.approx(0.025)}
    assert len(made.data["quantiles"]["bands"]) == 4
    assert all(abs(band[3] - 0.3) < 0.02 for band in made.data["quantiles"]["bands"])
    assert made.pictures.shape[1:] == (64, 64, 3)
    assert "--tiles 64x64" in made.data["suggestion"]["command"]


def test_splits_that_share_a_group_are_a_finding(tmp_path):
    for k in range(6):
        write_picture(tmp_path / "d" / ("train" if k % 2 else "val") / f"scene{k // 4}_{k}.png", seed=k)
    data = report(tmp_path / "d", group=r"scene(\d)", cache=tmp_path / "c", progress=False).data
    assert data["groups"]["both"] == 2
    assert any("share 2 of 2 groups" in line for line in data["findings"])


def test_a_folder_of_nothing_but_damage_is_one_sentence(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DatasetError, match=r"none of the 1 pictures can be read; a.png: .*is not a picture"):
        report(tmp_path, progress=False)


# -- near duplicates -------------------------------------------------------------------------------------------------------


def small(picture: Image.Image) -> np.ndarray:
    gray = np.asarray(picture).mean(axis=2, dtype=np.float32)
    return np.asarray(Image.fromarray(gray).resize((9, 9), Image.Resampling.BOX))


def test_copies_are_found_and_other_pictures_are_not():
    originals = [make_picture(seed=k) for k in range(200)]
    copies = [Image.open(io.BytesIO(encoded(picture, "JPEG", quality=80))) for picture in originals[:20]]
    copies += [picture.resize((128, 128), Image.Resampling.BICUBIC) for picture in originals[20:40]]
    pairs, complete = near_duplicates(np.stack([small(p) for p in [*originals, *copies]]), 255, progress=False)
    assert complete
    assert {tuple(pair) for pair in pairs.tolist()} == {(k, 200 + k) for k in range(40)}


def test_no_pair_is_missed_that_comparing_all_with_all_finds():
    random = np.random.default_rng(0)
    base = random.uniform(0, 255, (60, 9, 9)).astype(np.float32)
    every = np.concatenate([base, base + random.normal(0, 4, base.shape).astype(np.float32)])
    bits = np.unpackbits(difference_hash(every), axis=1).astype(int)
    apart = np.abs(bits[:, None] - bits[None]).sum(axis=2)
    alike = np.abs(every[:, None] - every[None]).mean(axis=(2, 3)) <= 0.03 * 255
    expected = {(a, b) for a, b in np.argwhere((apart <= 7) & alike).tolist() if a < b}
    allowed = {(a, b) for a, b in np.argwhere((apart <= DISTANCE) & alike).tolist() if a < b}
    pairs = {tuple(pair) for pair in near_duplicates(every, 255, progress=False)[0].tolist()}
    assert expected
    assert expected <= pairs <= allowed


def test_copies_are_paired_with_the_first_and_too_many_that_are_alike_are_said_to_be():
    pairs, complete = near_duplicates(np.zeros((2_000, 9, 9), np.float32), 1.0, progress=False)
    assert complete
    np.testing.assert_array_equal(pairs, [(0, k) for k in range(1, 2_000)])
    nearly = np.add(np.arange(600, dtype=np.float32)[:, None, None] / 1e6, np.arange(9, dtype=np.float32) / 9)
    assert not near_duplicates(np.repeat(nearly, 9, axis=1), 1.0, progress=False)[1]
