"""Tiles of scenes with holes, the reconstruction of such scenes, and the report on them: what stands in holes moves nothing."""

import json
import re
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest
import tifffile
import torch
from conftest import SMALL
from datasets_helpers import tiff, zip_folder
from PIL import Image

from maelib import MaskedAutoencoder
from maelib.cli import main
from maelib.datasets import PackedImages, load_dataset, read_bands
from maelib.datasets.loading import find_source
from maelib.datasets.missing import missing_patches, spelled, stated_nodata
from maelib.datasets.survey import survey
from maelib.datasets.tiles import starts
from maelib.drawing import hatched, to_uint8
from maelib.evaluation import evaluate, first_recipe, reconstruct, reconstruct_tiles
from maelib.evaluation.report import report
from maelib.evaluation.report_page import as_page, as_text
from maelib.masking import num_visible
from maelib.training import TrainConfig, Trainer

HEIGHT, WIDTH = 90, 140
FOUR = replace(SMALL, channels=4)
RECIPE = TrainConfig(epochs=1, batch_size=8, warmup_epochs=0, sample_epochs=0, checkpoint_minutes=0, precision="fp32")


def border(lean: float = 0.4) -> np.ndarray:
    """(H, W) bool: True beside two slanted edges of a scene."""
    row, column = np.mgrid[:HEIGHT, :WIDTH]
    return (column + lean * row < 34) | (column + lean * row > 150)


def scene(seed: int, bands: int = 4) -> np.ndarray:
    coarse = np.random.default_rng(seed).uniform(200, 4000, (5, 7, bands)).astype(np.float32)
    smooth = [
        np.asarray(Image.fromarray(band).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))
        for band in coarse.transpose(2, 0, 1)
    ]
    return np.stack(smooth, axis=2).astype(np.uint16)


def write(folder, value, count=6, dtype="uint16", **options):
    """Scenes whose borders hold a value."""
    folder.mkdir(parents=True)
    for k in range(count):
        array = scene(k).astype(dtype)
        array[border(0.4 + 0.05 * k)] = value
        (folder / f"scene{k // 2}_{k % 2}.tif").write_bytes(tiff(array, **options))
    return folder


def tag(text: str) -> dict[str, list]:
    """The nodata tag of a TIFF."""
    return {"extratags": [(42113, "s", 0, text, True)]}


# -- tiles -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["tag", "stated", "wins", "nan", "alpha", "npy", "turned", "one strip"])
def test_tiles_have_the_values_and_the_missing_pixels_of_the_scene(way, tmp_path):
    array, where, options, nodata = scene(0), border(), {"tile": (32, 32), "compression": "zlib"}, None
    folder = tmp_path / "d"
    folder.mkdir()
    array[where] = 9
    if way in ("tag", "wins", "turned", "one strip"):
        options |= tag("9" if way != "wins" else "8")
    if way in ("stated", "wins", "npy"):
        nodata = 9
    if way in ("nan", "npy"):
        array = array.astype(np.float32)
        array[where & (np.arange(WIDTH) % 2 == 0)] = np.nan
        nodata = 9
    if way == "alpha":
        array = np.concatenate([array, np.where(where, 0, 7)[..., None].astype(np.uint16)], axis=2)
        options |= {"extrasamples": [0, 0, 0, "unassalpha"], "photometric": "minisblack"}
    if way == "turned":
        options["extratags"] = [*options["extratags"], (274, "H", 1, 3, True)]
    if way == "one strip":
        del options["tile"], options["compression"]
    if way == "npy":
        np.save(folder / "s.npy", array)
    else:
        (folder / "s.tif").write_bytes(tiff(array, **options))
    whole = read_bands(next(folder.iterdir()), 4, nodata=nodata)
    np.testing.assert_array_equal(np.ma.getmaskarray(whole)[..., 0], where[::-1, ::-1] if way == "turned" else where)
    cut = [whole[y : y + 32, x : x + 48] for y in starts(HEIGHT, 32, 4) for x in starts(WIDTH, 48, 4)]
    given = {"size": (32, 48), "channels": 4, "tiles": (32, 48), "overlap": 4, "nodata": nodata, "progress": False}
    for source in (folder, zip_folder(folder, tmp_path / "d.zip")):
        data = load_dataset(source, "all", cache=tmp_path / "cache", **given)
        np.testing.assert_array_equal(data.missing, [np.ma.getmaskarray(tile)[..., 0] for tile in cut])
        np.testing.assert_array_equal(data.images, [np.ma.getdata(tile) for tile in cut])
        assert data.made_of["nodata"] == nodata
        assert data.where(1).endswith("(tile at row 0, column 44)")


def test_training_on_tiles_and_scores_do_not_depend_on_what_stands_in_the_holes(tmp_path):
    found = []
    for value, nodata in ((0, 0), (60_000, 60_000), (4500, 4500)):
        folder = write(tmp_path / str(value) / "scenes", value)
        given = {"size": 32, "channels": 4, "tiles": 32, "nodata": nodata, "cache": tmp_path / "cache"}
        data = load_dataset(folder, "all", progress=False, **given)
        assert data.missing.any()
        torch.manual_seed(0)
        model = MaskedAutoencoder(replace(FOUR, pixel_mean=(0.1, 0.2, 0.3, 0.4)))
        trainer = Trainer(model, data, replace(RECIPE, augment="crop", crop_scale=(0.5, 1)), tmp_path / f"run{value}")
        trainer.train()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            scores = evaluate(model.eval(), data, progress=False)
        assert all("known patches" in str(one.message) for one in said)
        found.append((data.values, scores, model.state_dict(), (tmp_path / f"run{value}/metrics.jsonl").read_text()))
    for other in found[1:]:
        assert other[:2] == found[0][:2]
        assert other[3] == found[0][3]
        assert all(torch.equal(a, b) for a, b in zip(other[2].values(), found[0][2].values(), strict=True))


# -- all of a scene --------------------------------------------------------------------------------------------------------


@pytest.fixture
def four():
    torch.manual_seed(0)
    model = MaskedAutoencoder(replace(FOUR, normalize_targets=False)).eval()
    model.value_range = (0, 4000, "uint16")
    return model


def test_a_scene_by_tiles_hides_hatches_and_leaves_out_what_is_not_known(four):
    found = []
    for value in (0, 60_000):
        array, where = scene(3), border()
        array[where] = value
        found.append(reconstruct_tiles(four, array, nodata=value, bands=(4, 3, 2)))
        assert found[-1].look.bands == (4, 3, 2)
    one, other = found
    lost = missing_patches(torch.from_numpy(border()[1:-1, 2:-2])[None, None], 8).reshape(one.mask.shape).numpy()
    np.testing.assert_array_equal(one.missing, lost)  # every patch that is known is in a tile of which enough is
    assert (one.mask | ~lost).all()
    np.testing.assert_array_equal(one.raw, other.raw)
    assert one.scores() == other.scores()
    for name, picture in one.shown.items():
        np.testing.assert_array_equal(picture, hatched(picture, ~one.known))
        np.testing.assert_array_equal(picture, other.shown[name])
    plain = to_uint8(one.original, one.look)
    np.testing.assert_array_equal(one.shown["original"][one.known], plain[one.known])


def test_at_the_models_own_size_holes_are_as_in_reconstruct(four):
    array = scene(1)[:32, :32]
    array[:9, :20] = 0
    single, tiled = (make(four, array, 0.6, seed=4, nodata=0) for make in (reconstruct, reconstruct_tiles))
    np.testing.assert_array_equal(single.mask, tiled.mask)
    np.testing.assert_array_equal(single.missing, tiled.missing)
    np.testing.assert_allclose(single.raw, tiled.raw, atol=1e-5)
    assert single.scores()["masked"]["psnr"] == pytest.approx(tiled.scores()["masked"]["psnr"], abs=1e-3)


def test_a_tile_of_which_too_little_is_known_is_not_predicted_and_said_so(four):
    array = scene(2)[:64, :128]
    array[:, 32:] = 0
    array[:8, 112:120] = 700  # one patch that is known, far from the others
    with pytest.warns(UserWarning, match=r"^\d+ of 21 tiles have fewer than 5 known patches of 16, the first of them at row "
                      r"0, column 32: what no other tile reaches is not predicted$"):  # fmt: skip
        made = reconstruct_tiles(four, array, nodata=0)
    assert num_visible(16, 0.75) == 4
    expected = np.ones((8, 16), bool)
    expected[:, :4] = False
    np.testing.assert_array_equal(made.missing, expected)  # the far patch, too
    assert made.mask[0, 14]
    array[:, :32] = 0
    with pytest.raises(ValueError, match=r"21 of 21 tiles have fewer than 5 known patches of 16, .*: hide more"):
        reconstruct_tiles(four, array, nodata=0)


# -- from the command line -------------------------------------------------------------------------------------------------

SHAPE = ["--set=image_size=32", "--set=patch_size=8", "--set=width=32", "--set=heads=2", "--set=depth=1",
         "--set=decoder_width=16", "--set=channels=4", "--batch-size=8", "--epochs=2"]  # fmt: skip


@pytest.mark.parametrize("stated", [True, False], ids=["--nodata", "tag"])
def test_four_bands_go_from_training_to_a_whole_scene_by_tiles(stated, tmp_path, capsys):
    folder = write(tmp_path / "scenes", 0, 8, tile=(32, 32), compression="zlib", **({} if stated else tag("0")))
    run, out, options = tmp_path / "run", tmp_path / "r.png", ["--nodata", "0"] if stated else []
    train = ["train", "--data", str(folder), *SHAPE, "--out", str(run)]
    kept = ["--tiles", "32", "--group", r"scene(\d)"]
    assert main([*train, *kept, *options, "--max-minutes", "1e-9"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"of the pixels are missing, in \d+ of \d+ tiles", said)
    assert "1 of 4 groups" in said
    assert main([*train, "--resume", "auto", "--nodata", "7"]) == 1
    was = "0" if stated else "none"
    assert f"--nodata was {was}, now 7" in capsys.readouterr().err
    assert main([*train, "--resume", "auto", "--bands", "4", "3", "2"]) == 0  # tiles, groups and nodata are the run's
    description = json.loads((run / "config.json").read_text(), parse_constant=pytest.fail)
    assert description["pictures"]["train"]["tiles"] == [32, 32]
    assert description["pictures"]["train"]["nodata"] == (0 if stated else None)
    assert description["range"][3:] == ([0] if stated else [])
    capsys.readouterr()
    sheet = tmp_path / "s.png"
    assert main(["evaluate", str(run), "--data", str(folder), "--baselines", "--sheet", str(sheet)]) == 0
    said = capsys.readouterr()
    assert "not the pictures of the run" not in said.out + said.err
    assert re.search(r"scenes/val: \d+\.\d\d% of the pixels are missing", said.out)
    reconstruct_it = ["reconstruct", str(folder / "scene0_0.tif"), "--model", str(run), "--out", str(out)]
    assert main([*reconstruct_it, "--tiles", "--bands", "4", "3", "2"]) == 0
    said = capsys.readouterr()
    share = missing_patches(torch.from_numpy(border()[1:-1, 2:-2])[None, None], 8).float().mean()
    assert f"not known: {share:.0%} of the patches, hatched and not scored" in said.out
    assert re.search(r"not scored; \d\d% are hidden \(75% asked; patches that nobody knows are hidden, too\)", said.out)
    assert "bands 4, 3, 2 as red, green, blue" in said.out
    assert Image.open(out).width > 4 * 136
    assert main([*reconstruct_it, "--tiles", "--nodata", "5"]) == 0
    assert "not known" not in capsys.readouterr().out


def test_files_that_name_no_nodata_value_beside_files_that_do_are_said_each_time(tmp_path, capsys):
    folder = write(tmp_path / "scenes", 0, 6, **tag("0"))
    (folder / "scene2_1.tif").write_bytes(tiff(scene(5)))
    line = '5 of 6 files name a value that means "not known" (0), 1 does not, first scene2_1.tif: state it for all with --nodata=0'
    for name in ("scenes", "scenes.zip"):
        data = zip_folder(folder, tmp_path / name) if name.endswith("zip") else folder
        for _ in range(2):  # the second time from the cache
            assert main(["data", str(data), "--tiles", "64"]) == 0
            assert capsys.readouterr().out.count(line) == 1
    for run, options in (("a", []), ("b", ["--nodata", "0"])):
        train = ["train", "--data", str(folder), *SHAPE, "--out", str(tmp_path / run), "--tiles", "32", "--epochs=1"]
        assert main([*train, *options]) == 0
        assert capsys.readouterr().out.count(line) == (not options)
        assert (
            main(["evaluate", str(tmp_path / run), "--data", str(folder)]) == 0
        )  # one side of the split is not enough to see it
        assert capsys.readouterr().out.count(line) == (not options)
    (folder / "scene2_1.tif").write_bytes(tiff(scene(5), **tag("7")))
    assert main(["data", str(folder), "--tiles", "64"]) == 0
    assert "0 (5 of 6, first scene0_0.tif), 7 (1 of 6, first scene2_1.tif)" in capsys.readouterr().out


def test_the_smallest_number_that_names_a_nodata_value_is_exact():
    for value in (0.0, -9999.0, float(np.finfo(np.float32).min), 0.1 + 0.2, 1e-30):
        assert stated_nodata(spelled(value)) == value
    assert [spelled(value) for value in (0, -1e30, "nan")] == ["0", "-1e+30", "nan"]


def test_data_for_a_run_is_what_the_run_took_and_for_no_model_what_there_is(tmp_path, capsys):
    folder = write(tmp_path / "scenes", 0, 8)
    assert main(["data", str(folder)]) == 0
    assert "4 bands" in capsys.readouterr().out
    options = ["--tiles", "32", "--group", r"scene(\d)", "--nodata", "0", "--range", "50", "3000", "--epochs=1"]
    assert main(["train", "--data", str(folder), *SHAPE, *options, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    assert main(["data", str(folder), "--model", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert said.count("tiles of") == 2
    assert "1 of 4 groups" in said
    assert said.count("uint16 values 50 to 3000 become 0 to 1") == 2
    assert said.count("of the pixels are missing") == 2
    assert "not the pictures of the run" not in said


def test_what_is_held_out_is_named_and_what_was_trained_on_is_said(tmp_path, capsys):
    folder, run = write(tmp_path / "scenes", 0, 8), tmp_path / "run"
    options = ["--tiles", "32", "--nodata", "0", "--range", "50", "3000", "--bands", "4", "3", "2", "--epochs=1"]
    assert main(["train", "--data", str(folder), *SHAPE, *options, "--group", r"scene(\d)", "--out", str(run)]) == 0
    held_out = re.search(r"1 of 4 groups of 'scene\(\\d\)' \((\d)\)", capsys.readouterr().out)
    names = find_source(folder, "val", tmp_path, group=r"scene(\d)").members
    assert held_out
    assert {name[5] for name in names} == {held_out[1]}
    assert main(["evaluate", str(run), "--data", str(folder), "--group", r"scene\d_(\d)"]) == 0
    assert "3 of these 4 pictures were trained on" in capsys.readouterr().out
    assert main(["evaluate", str(run), "--data", str(folder), "--group", r"(scene\d)_"]) == 0
    other = find_source(folder, "val", tmp_path, group=r"(scene\d)_").members
    seen = "2 of these 2 pictures were trained on" in capsys.readouterr().out
    assert seen == (set(other) != set(names))


def test_a_run_keeps_the_bands_that_it_shows_and_another_range_is_said(tmp_path, capsys):
    folder, run, out = write(tmp_path / "scenes", 0, 8), tmp_path / "run", ["--out", str(tmp_path / "r.png")]
    options = ["--tiles", "32", "--nodata", "0", "--range", "50", "3000", "--bands", "4", "3", "2", "--epochs=1"]
    train = ["train", "--data", str(folder), *SHAPE, *options, "--out", str(run)]
    assert main(train) == 0
    assert (
        main([*train[:-2], "--out", str(run), "--resume", "auto", "--bands", "1"]) == 0
    )  # how they are shown may change
    capsys.readouterr()
    picture = ["reconstruct", str(folder / "scene0_0.tif"), "--model", str(run), *out]
    assert main(picture) == 0
    said = capsys.readouterr().out
    assert "bands 4, 3, 2 as red, green, blue" in said
    assert "not the range" not in said
    assert main([*picture, "--bands", "1"]) == 0
    assert "band 1 as gray" in capsys.readouterr().out
    sheet = ["evaluate", str(run), "--data", str(folder), "--sheet", str(tmp_path / "s.png")]
    assert main(sheet) == 0
    said = capsys.readouterr().out
    assert "bands 4, 3, 2 as red, green, blue" in said
    assert "not the range" not in said
    for command in (picture, sheet):  # all is clipped, as the help says
        assert main([*command, "--range", "0", "1"]) == 0
        assert "--range 0 1 is not the range of the model (50 to 3000)" in capsys.readouterr().out


@pytest.mark.parametrize("tiles", [[], ["--tiles", "64"]], ids=["whole", "tiles"])
@pytest.mark.parametrize("which", [[0, 3], [1, 2, 3, 4, 5, 6, 7]])
def test_all_pictures_that_cannot_be_read_are_named(which, tiles, tmp_path, capsys):
    folder = write(tmp_path / "scenes", 0, 8, compression="zlib")
    names = [path.name for path in sorted(folder.iterdir())]
    for i in which:
        content = (folder / names[i]).read_bytes()
        (folder / names[i]).write_bytes(content[: len(content) // 2] if i % 2 else b"II*\0")
    (folder / "train").mkdir()
    (folder / "val").mkdir()
    for name in names:
        (folder / name).rename(folder / "train" / name)
    (folder / "val/a.tif").write_bytes(tiff(scene(9)))
    assert main(["train", "--data", str(folder), *SHAPE, *tiles, "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    listed = ", ".join(f"train/{names[i]}" for i in which[:5]) + (" and 2 more" if len(which) > 5 else "")
    assert f"{len(which)} of 8 pictures cannot be read: {listed}. The first: " in said
    assert f"Move them away; maelib data {folder} --report" in said
    assert said.count("\n") == 1


def test_sheets_name_pictures_and_tiles(tmp_path):
    folder = write(tmp_path / "scenes", 0, 3)
    given = {"channels": 4, "cache": tmp_path / "cache", "progress": False, "nodata": 0}
    for source in (folder, zip_folder(folder, tmp_path / "scenes.zip")):
        assert load_dataset(source, "all", **given).label(2) == "scene1_0\n"
        assert load_dataset(source, "all", tiles=64, **given).label(1) == "scene0_0\nrow 0\ncolumn 64\n"
    data = load_dataset(folder, "all", **given)
    assert replace(data, where=PackedImages.of(data.images[..., :1].astype(np.uint8)).where).label(2) == "no. 2: "


# -- the report ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def _short(monkeypatch):
    monkeypatch.setattr(first_recipe, "STEPS", 1)
    monkeypatch.setattr(first_recipe, "BATCH", 4)


@pytest.mark.usefixtures("_short")
@pytest.mark.parametrize("way", ["nan", "stated"])
def test_the_report_leaves_holes_out_of_all_that_it_measures(way, tmp_path):
    found = []
    for value in (np.nan, -1e30) if way == "nan" else (0, 60_000):
        folder = write(tmp_path / str(value) / "scenes", value, 4, "float32" if way == "nan" else "uint16")
        made = report(folder, nodata=value, tiles=(64, 64), cache=tmp_path / "c", progress=False)
        data = json.loads(json.dumps(made.data, allow_nan=False))
        command = data["suggestion"].pop("command")
        for measured in ("seconds_a_step", "minutes"):
            data["suggestion"].pop(measured)
        found.append((made.pictures, str(data).replace(str(folder), "")))
        assert re.search(r"--nodata=(nan|-1e\+30|0|60000)$", command)
        share = np.mean([border(0.4 + 0.05 * k).mean() for k in range(4)])
        assert data["missing"] == {"pictures": 4, "share": pytest.approx(share)}
        assert 200 <= data["quantiles"]["bands"][0][0] < data["quantiles"]["bands"][0][-1] <= 4000
        assert all(10 < m["psnr"] < 60 for by in data["baselines"].values() for m in by.values())
        assert "hatched is what nobody knows" in as_page(made)
    assert found[0][1] == found[1][1]
    np.testing.assert_array_equal(found[0][0], found[1][0])


def test_small_copies_are_means_of_known_pixels(tmp_path):
    array = np.full((90, 90), 500, np.float32)
    array[:, 45:] = 100
    array[20:40, 33:70] = np.nan
    (tmp_path / "d").mkdir()
    tifffile.imwrite(tmp_path / "d/a.tif", array)
    (look,), damaged = survey(find_source(tmp_path / "d", "all", tmp_path), progress=False)
    assert not damaged
    near = np.isclose(look.small, 500, rtol=1e-3) | np.isclose(look.small, 100, rtol=1e-3)
    assert near[:, [0, 1, 2, 7, 8]].all()
    assert look.small.min() > 99
    assert look.small.max() < 501


@pytest.mark.usefixtures("_short")
def test_the_report_finds_a_border_of_one_value_and_the_files_that_name_none(tmp_path):
    folder = write(tmp_path / "scenes", 0, 4, **tag("0"))
    array = scene(7)
    array[border()] = 0
    (folder / "scene9_0.tif").write_bytes(tiff(array))
    (folder / "scene9_1.tif").write_bytes(tiff(scene(8)))
    data = report(folder, cache=tmp_path / "c", progress=False).data
    share = (array == 0).all(axis=2).mean()
    assert f"scene9_0.tif: {share:.0%} of its pixels are 0 in all bands" in str(data["findings"])
    assert "4 of 6 files name a value" in str(data["findings"])
    assert "2 do not, first scene9_0.tif" in str(data["findings"])
    assert data["suggestion"]["command"].endswith("--nodata=0")
    data = report(folder, nodata=0, cache=tmp_path / "c", progress=False).data
    assert "not known" not in str(data["findings"])


@pytest.mark.usefixtures("_short")
def test_the_report_names_pictures_of_which_too_little_is_known(tmp_path, capsys):
    folder = write(tmp_path / "scenes", 0, 4)
    (folder / "a_empty.tif").write_bytes(tiff(np.zeros((HEIGHT, WIDTH, 4), np.uint16)))
    assert main(["data", str(folder), "--report", "--nodata", "0"]) == 0
    said = capsys.readouterr()
    assert re.search(r"! 1 of 5 pictures has fewer than 65 known patches of 256, .*a_empty.tif: training and", said.out)
    assert "training and scores leave such ones out" in said.out
    holes = scene(9)
    holes[::12] = 0  # four of nine patches are known; to a crop, whose weights reach two pixels further, one
    holes[:, ::12] = 0
    holes[:64, :64] = scene(8)[:64, :64]
    (folder / "b_lattice.tif").write_bytes(tiff(holes))
    assert main(["data", str(folder), "--report", "--nodata", "0", "--tiles", "64"]) == 0
    capsys.readouterr()
    for path in folder.glob("[sb]*"):
        path.unlink()
    made = report(folder, nodata=0, cache=tmp_path / "c", progress=False)
    assert made.data["baselines"] == {}
    assert "1 of 1 pictures has fewer than" in as_text(made.data)
    assert asdict(made)["pictures"].shape == (1, 64, 64, 3)
