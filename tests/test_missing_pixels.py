"""Pixels that nobody knows: found as they were written, kept by every resizing, and without influence on anything."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL
from PIL import Image
from test_datasets_bands import DTYPES, scene, tiff
from torch.nn import functional as F

import maelib
from maelib import MaskedAutoencoder, Masking
from maelib.cli import main
from maelib.datasets import DatasetError, ImageError, PackedImages, Values, load_dataset, read_bands
from maelib.datasets.bands import EIGHT_BIT, count_outside, resize_bands
from maelib.datasets.missing import missing_patches, resize_missing
from maelib.drawing import hatched
from maelib.evaluation import evaluate, evaluate_baselines, example_sheet, psnr, reconstruct, score_pictures, ssim
from maelib.evaluation.probes import layer_features
from maelib.loading import load_with_about
from maelib.strategies import seeded
from maelib.training import TrainConfig, Trainer
from maelib.training.batches import Batches, crop, crop_missing, draw_crops, fit, fit_missing, generator, lost_patches
from maelib.training.distributed import World

ODD = {"uint8": 7, "uint16": 60_000, "int16": -32_768, "float32": -3.4028234663852886e38}
RECIPE = TrainConfig(epochs=1, batch_size=16, warmup_epochs=0, sample_epochs=0, checkpoint_minutes=0, precision="fp32")


def tag(text: str) -> dict[str, list]:
    """The nodata tag of a TIFF."""
    return {"extratags": [(42113, "s", 0, text, True)]}


def with_holes(bands: int, dtype: str, value: float) -> tuple[np.ndarray, np.ndarray]:
    """A scene in which a tenth of the pixels has a value in one band or another, and where: (H, W, bands), (H, W)."""
    written, random = scene(bands, dtype), np.random.default_rng(1)
    written[written == value] = 0  # by chance
    where = random.random(written.shape[:2]) < 0.1
    written[(*np.nonzero(where), random.integers(0, bands, where.sum()))] = value
    return written, where


def check(read: np.ndarray, written: np.ndarray, where: np.ndarray) -> None:
    assert read.dtype == written.dtype
    np.testing.assert_array_equal(np.ma.getmaskarray(read), np.broadcast_to(where[..., None], read.shape))
    np.testing.assert_array_equal(np.ma.getdata(read)[~where], written[~where])
    assert np.isfinite(np.ma.getdata(read).astype(float)).all()


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bands", [1, 3, 5])
def test_nodata_is_found_and_known_values_are_as_written(bands, dtype, tmp_path):
    value = ODD[dtype]
    written, where = with_holes(bands, dtype, value)
    np.save(tmp_path / "a.npy", written)
    for source in (tiff(written), tiff(written, compression="zlib"), tmp_path / "a.npy", written):
        assert not np.ma.isMaskedArray(read_bands(source, bands))
        check(read_bands(source, bands, nodata=value), written, where)
    text = f"{value:.15g}" if dtype == "float32" else str(value)  # as GDAL writes it
    tagged = tiff(written, **tag(text))
    check(read_bands(tagged, bands), written, where)
    other = 12  # what is stated wins
    check(read_bands(tagged, bands, nodata=other), written, (written == other).any(axis=2))
    if bands == 1:
        check(read_bands(tagged, 3), written.repeat(3, axis=2), where)


def test_a_value_that_the_kind_cannot_hold_is_nowhere():
    for dtype in ("uint8", "uint16", "int16"):
        for value in (-99_999, 0.5, "nan", "inf"):
            assert not np.ma.isMaskedArray(read_bands(tiff(scene(2, dtype), **tag(str(value))), 2))
    with pytest.raises(ValueError, match="nodata must be a number or nan, got 'black'"):
        read_bands(scene(2), 2, nodata="black")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_is_not_known_in_files_and_in_memory(dtype, tmp_path):
    written, where = with_holes(3, "float32", np.nan)
    written = (written / 1000).astype(dtype)
    np.save(tmp_path / "a.npy", written)
    tensor = torch.from_numpy(written.transpose(2, 0, 1).copy())
    sources = [tmp_path / "a.npy", written, tensor, np.ma.masked_invalid(written), tiff(written, **tag("nan"))]
    for source in sources:
        for nodata in (None, 1e6, "nan"):  # whatever else is
            check(read_bands(source, 3, nodata=nodata), written.astype("float32"), where)
    infinite = np.where(np.isnan(written), -np.inf, written)
    check(read_bands(infinite, 3, nodata="-inf"), written.astype("float32"), where)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("kind", ["unassalpha", "assocalpha"])
def test_alpha_0_of_a_tiff_is_not_known_unless_alpha_is_a_band(kind, dtype):
    written = scene(4, dtype)
    where = np.random.default_rng(2).random(written.shape[:2]) < 0.3
    written[..., 3] = np.where(where, 0, np.maximum(written[..., 3], 1))
    data = tiff(written, photometric="rgb", extrasamples=[kind])
    check(read_bands(data, 3), written[..., :3], where)
    check(read_bands(data, 4), written, np.zeros_like(where))


def test_masked_arrays_say_what_is_not_known():
    written, where = with_holes(3, "uint8", 7)
    check(read_bands(np.ma.masked_equal(written, 7), 3), written, where)
    gray = read_bands(np.ma.masked_equal(written, 7), 1)
    np.testing.assert_array_equal(np.ma.getmaskarray(gray)[..., 0], where)


# -- resizing ----------------------------------------------------------------------------------------------------------

SIZES = [((40, 56), (40, 40)), ((41, 56), (40, 40)), ((64, 64), (32, 32)), ((90, 50), (32, 48)), ((20, 30), (48, 64))]


@pytest.mark.parametrize(("have", "wanted"), SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_resizing_takes_nothing_from_holes(have, wanted, dtype):
    clean = scene(3, dtype, height=have[0], width=have[1])
    where = np.zeros(have, bool)
    row, column = have[0] // 2, have[1] // 2
    where[row - 2 : row + 1, column - 9 : column], where[0, 0], where[-2:, column + 5] = True, True, True
    fills = [np.where(where[..., None], clean.dtype.type(fill), clean) for fill in (0, 100)]
    made = [resize_bands(np.ma.array(one, mask=where[..., None].repeat(3, axis=2)), wanted) for one in fills]
    missing = np.ma.getmaskarray(made[0])[..., 0]
    np.testing.assert_array_equal(made[0], made[1])
    assert 0 < missing.mean() < 0.5
    without = resize_bands(clean, wanted)
    np.testing.assert_array_equal(np.ma.getdata(made[0])[~missing], without[~missing])  # as if there were no holes


@pytest.mark.parametrize(("have", "wanted"), SIZES)
def test_what_a_missing_pixel_reaches_is_missing_and_little_else(have, wanted):
    for row, column in ((0, 0), (have[0] // 2, have[1] // 2), (have[0] - 1, have[1] // 3)):
        where = np.zeros(have, bool)
        where[row, column] = True
        reached = resize_bands(where[..., None].astype("float32"), wanted)[..., 0] != 0
        found = resize_missing(where, wanted)
        assert not (reached & ~found).any()
        near = F.max_pool2d(torch.from_numpy(reached).float()[None, None], 5, 1, 2)[0, 0] > 0  # zeros of the weights
        assert not (found & ~near.numpy()).any()


def test_crops_and_fits_take_nothing_from_holes():
    random = generator(0)
    images, holes = torch.rand(32, 3, 40, 48, generator=random), torch.rand(32, 1, 40, 48, generator=random) < 0.01
    other = torch.where(holes, torch.rand(32, 3, 40, 48, generator=random), images)
    boxes = draw_crops(32, (0.1, 1.0), random)
    for made, changed, missing in (
        (crop(images, boxes, (32, 32)), crop(other, boxes, (32, 32)), crop_missing(holes, boxes, (32, 32))),
        *((fit(images, s), fit(other, s), fit_missing(holes, s)) for s in ((40, 48), (32, 32), (64, 64), (16, 40))),
    ):
        differs = (made != changed).any(1, keepdim=True)
        assert differs.any()
        assert not (differs & ~missing).any()
        assert missing.float().mean() < 0.7
    assert torch.equal(fit_missing(holes, (40, 48)), holes)


# -- packed ------------------------------------------------------------------------------------------------------------


def write_scenes(folder, count=24, bands=2, nodata=60_000, **options):
    """Scenes of 12 bits and 32 x 48 pixels, with a square without values in every third; the second is nearly empty."""
    folder.mkdir()
    for k in range(count):
        coarse = np.random.default_rng(k).integers(200, 4000, (bands, 4, 6))
        smooth = F.interpolate(torch.from_numpy(coarse).float()[None], (32, 48), mode="bilinear")[0].permute(1, 2, 0)
        array = smooth.numpy().astype("uint16")
        if k % 3 == 0:
            array[4:14, 10 : 20 + k % 5] = nodata
        if k == 1:
            array[:, 8:] = nodata
        (folder / f"{k:02}.tif").write_bytes(tiff(array, **options))
    return folder


def test_the_cache_keeps_what_is_missing_and_the_range_is_of_known_values(tmp_path):
    folder = write_scenes(tmp_path / "scenes")
    given = {"size": (32, 48), "channels": 2, "cache": tmp_path / "cache", "progress": False}
    plain = load_dataset(folder, "all", **given)
    assert plain.missing is None
    assert plain.values.high == 60_000
    for _ in range(2):  # packed, and opened
        packed, train = (load_dataset(folder, split, nodata=60_000, **given) for split in ("all", "train"))
        np.testing.assert_array_equal(packed.missing, (plain.images == 60_000).any(axis=3))
        known = packed.images[~packed.missing]
        np.testing.assert_array_equal(known, plain.images[~packed.missing])
        low, high, _ = packed.values
        assert (low, high) == tuple(np.quantile(train.images[~train.missing], (0.001, 0.999)))
        assert count_outside(packed.images, packed.values, packed.missing) == ((known < low) | (known > high)).sum()
        np.testing.assert_array_equal(np.ma.getmaskarray(packed.picture(0))[..., 0], packed.missing[0])
        assert packed.where(5).endswith("05.tif")
    files = {path.parent.name: path for path in (tmp_path / "cache").rglob("missing.npy")}
    assert len(files) == 2  # of all and of train, with the nodata value in their names
    assert all("-nodata-60000" in name for name in files)
    assert len(list((tmp_path / "cache").rglob("images.npy"))) == 4
    before, path = packed.missing.copy(), next(file for name, file in files.items() if "-all-" in name)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"is damaged .*packing it again"):
        again = load_dataset(folder, "all", nodata=60_000, **given)
    np.testing.assert_array_equal(again.missing, before)
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.tif").write_bytes(tiff(np.full((32, 48, 2), 9, "uint16"), **tag("9")))
    with pytest.raises(DatasetError, match="no pixel of empty/train is known: check the nodata value"):
        load_dataset(tmp_path / "empty", **given)


def test_nan_in_an_array_is_found_and_a_map_must_fit():
    images = np.random.default_rng(0).random((4, 32, 32, 3), dtype=np.float32)
    assert PackedImages("x", images, None, [], Values(0, 1)).missing is None
    images[1, 3, 4, 2] = np.nan
    given = np.zeros((4, 32, 32), bool)
    given[0, 0, 0] = True
    found = PackedImages("x", images, None, [], Values(0, 1), missing=given).missing
    assert sorted(map(tuple, np.argwhere(found).tolist())) == [(0, 0, 0), (1, 3, 4)]
    for wrong in (given[:3], given.astype("uint8")):
        with pytest.raises(ValueError, match=r"missing must be \(4, 32, 32\) bool, got"):
            PackedImages("x", images, None, [], Values(0, 1), missing=wrong)


# -- training ----------------------------------------------------------------------------------------------------------


def holey(pictures: np.ndarray, fill: float, dtype: str = "uint8") -> PackedImages:
    """The pictures with a value in their holes: in each a square, at the left or at the right."""
    missing = np.zeros(pictures.shape[:3], bool)
    for k, one in enumerate(missing):
        left = k % 3 * 10
        one[5 : 8 + k % 7, left : left + 6] = True
    images = np.where(missing[..., None], fill, pictures.astype(float) / (255 if dtype == "float32" else 1))
    values = EIGHT_BIT if dtype == "uint8" else Values(0, 1, dtype)
    return PackedImages("holes", images.astype(dtype), None, [], values, missing=missing)


@pytest.mark.parametrize("augment", ["none", "flip", "crop"])
@pytest.mark.parametrize(("dtype", "fills"), [("uint8", (0, 255)), ("float32", (-1e30, np.nan))])
def test_training_does_not_depend_on_what_stands_in_the_holes(augment, dtype, fills, pictures, tmp_path):
    found = []
    for fill in fills:
        torch.manual_seed(0)
        model = MaskedAutoencoder(replace(SMALL, pixel_mean=(0.4, 0.5, 0.6), normalize_targets=dtype == "float32"))
        recipe = replace(RECIPE, augment=augment, crop_scale=(0.3, 1.0))
        trainer = Trainer(model, holey(pictures, fill, dtype), recipe, tmp_path / str(fill))
        trainer.train()
        found.append((trainer.model.state_dict(), (tmp_path / str(fill) / "metrics.jsonl").read_text()))
    assert found[0][1] == found[1][1]
    assert np.isfinite(json.loads(found[0][1].splitlines()[-1])["loss"])
    assert all(torch.equal(a, b) for a, b in zip(found[0][0].values(), found[1][0].values(), strict=True))


@pytest.mark.parametrize("augment", ["none", "flip", "crop"])
def test_patches_with_missing_pixels_are_hidden_and_as_many_are_shown(augment, pictures):
    packed = holey(pictures, 0)
    config = replace(RECIPE, augment=augment, crop_scale=(0.2, 0.6))
    batches = Batches(packed, config, (32, 32), 16, World(), torch.device("cpu"), 1.0)
    assert batches.left_out == ""
    seen = 0
    for step in range(6):
        for images, masking in batches.micro_batches(step):
            assert masking.visible.shape == (16, 4)
            assert not masking.missing.gather(1, masking.visible).any()
            assert (masking.missing.sum(1) <= 16 - 5).all()  # one that is known is hidden
            filled = missing_patches((images == 1.0).all(1, keepdim=True), 8)  # `pixel_mean`
            if augment != "crop":  # and no others: pictures here are never white
                assert torch.equal(masking.missing, filled)
            seen += int(masking.missing.sum())
            pixels = images.permute(0, 2, 3, 1)
            assert bool(torch.isfinite(pixels).all())
    assert seen > 100


def test_micro_batches_and_processes_share_the_loss_of_the_whole_step(small_model, pictures):
    packed = holey(pictures, 0)
    packed.missing[::2] = False  # some pictures have far more to score than others
    packed.missing[::3, 8:, :16] = True

    def losses(accumulate: int, world: World) -> list[float]:
        config = replace(RECIPE, accumulate=accumulate)
        batches = Batches(packed, config, (32, 32), 16, world, torch.device("cpu"))
        shares = accumulate * world.world_size
        return [
            small_model(images, masking).loss.item() * batches.weight / shares
            for images, masking in batches.micro_batches(0)
        ]

    (whole,) = losses(1, World())
    assert sum(losses(4, World())) == pytest.approx(whole, rel=1e-6)
    assert sum(losses(2, World(0, 2, 0)) + losses(2, World(1, 2, 1))) == pytest.approx(whole, rel=1e-6)
    images, masking = next(Batches(packed, RECIPE, (32, 32), 16, World(), torch.device("cpu")).micro_batches(0))
    pred, target = small_model(images, masking).pred, small_model.to_patches(images)
    target = target.gather(1, masking.hidden[..., None].expand(-1, -1, target.shape[2]))
    known = ~masking.missing.gather(1, masking.hidden)
    assert (pred - target)[known].square().mean().item() == pytest.approx(whole, rel=1e-6)


def test_pictures_with_too_few_known_patches_are_left_out_and_named(pictures, tmp_path, capsys):
    packed = holey(pictures, 0)
    packed.missing[[7, 20]] = True
    packed.missing[20, :8] = False  # 4 of 16 patches known: none would be left to be hidden
    packed.missing[30] = True
    packed.missing[30, :8], packed.missing[30, 8:16, :8] = False, False  # 5 known
    trainer = Trainer(MaskedAutoencoder(SMALL), packed, RECIPE, tmp_path / "run")
    said = "2 of 48 pictures have fewer than 5 known patches of 16, the first of them no. 7: left out of the training"
    assert said in capsys.readouterr().out
    seen = torch.cat([trainer.batches._order for step in (0,) for _ in trainer.batches.micro_batches(step)])
    assert sorted(seen.tolist()) == [k for k in range(48) if k not in (7, 20)]
    assert trainer.batches.steps_per_epoch == 46 // 16
    packed.missing[:] = True
    with pytest.raises(
        ValueError, match=r"has 0 pictures, fewer than batch_size 16: lower it \(48 of 48 pictures have"
    ):
        Trainer(MaskedAutoencoder(SMALL), packed, RECIPE, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_nothing_is_asked_of_pictures_that_are_whole(pictures, monkeypatch):
    for name in ("crop_missing", "fit_missing", "fill_missing", "too_few_known", "missing_patches"):
        monkeypatch.setattr(f"maelib.training.batches.{name}", None)
    batches = Batches(pictures, RECIPE, (32, 32), 16, World(), torch.device("cpu"))
    _, masking = next(batches.micro_batches(0))
    assert masking.missing is None
    assert batches.weight == 1


# -- measuring ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", [False, True])
def test_scores_do_not_depend_on_what_stands_in_the_holes(normalised, pictures):
    config = replace(SMALL, pixel_mean=0.3, normalize_targets=normalised)
    protocols = None
    if normalised:
        config, protocols = replace(config, image_size=224, patch_size=56), ["article", "pasted", "masked"]
    model = MaskedAutoencoder(config).eval()
    a, b = ([score_pictures(model, holey(pictures[:8], fill), protocols, progress=False, batch_size=3),
             evaluate_baselines(holey(pictures[:8], fill), config.image_size, config.patch_size, progress=False)]
            for fill in (0, 255))  # fmt: skip
    for protocol, scores in a[0].items():
        np.testing.assert_array_equal(scores, b[0][protocol])
        assert np.isfinite(scores[:, 0]).all()
    assert a[1] == b[1]
    assert np.isfinite([m["psnr"] for fill in a[1].values() for m in fill.values()]).all()


def test_scores_count_known_patches_and_agree_with_one_picture(small_model, pictures):
    packed = holey(pictures, 255)
    small_model.eval()
    scores = score_pictures(small_model, packed, progress=False, seed=3)
    for i in (0, 1, 5):
        lost = lost_patches(packed, [i], (32, 32), 8)
        masking = seeded((4, 4), seed=3, first=i, missing=lost)
        r = reconstruct(small_model, packed.picture(i), masking)
        np.testing.assert_array_equal(r.missing.ravel(), lost[0].numpy())
        one = r.scores()
        assert one["masked"]["psnr"] == pytest.approx(scores["masked"][i, 0], abs=1e-4)
        assert [one["pasted"]["psnr"], one["pasted"].get("ssim", np.nan)] == pytest.approx(
            scores["pasted"][i], abs=1e-4, nan_ok=True
        )
        known = r.pixels(~r.missing)
        assert one["masked"]["psnr"] == psnr(r.original, r.raw, r.hidden & known)
    assert (
        seeded((4, 4), seed=0, missing=lost).visible.shape[1]
        == reconstruct(small_model, packed.picture(i)).mask.size
        - reconstruct(small_model, packed.picture(i)).mask.sum()
    )  # as many are shown as ever


def test_ssim_is_the_mean_over_windows_without_a_missing_pixel():
    a, b = np.random.default_rng(0).random((2, 20, 24, 3))
    known = np.ones((20, 24), bool)
    assert ssim(a, b, known) == pytest.approx(ssim(a, b), abs=1e-12)
    known[:, 13:] = False  # what is left is a picture of its own
    assert ssim(a, b, known) == pytest.approx(ssim(a[:, :13], b[:, :13]), abs=1e-9)
    known[:, 5:] = False
    assert np.isnan(ssim(a, b, known))


def test_pictures_with_too_few_known_patches_have_no_scores(small_model, pictures):
    packed = holey(pictures[:12], 0)
    packed.missing[[3, 9], 8:] = True
    small_model.eval()
    with pytest.warns(
        UserWarning, match=r"^2 of 12 pictures have fewer than 5 known patches of 16, the first of them no. 3"
    ):
        scores = score_pictures(small_model, packed, progress=False, batch_size=1)
    assert np.flatnonzero(np.isnan(scores["masked"][:, 0])).tolist() == [3, 9]
    with pytest.warns(UserWarning, match="left out of the scores"):
        means = evaluate(small_model, packed, progress=False)
    assert means["masked"]["n"] == 10
    assert means["masked"]["psnr"] == pytest.approx(np.nanmean(scores["masked"][:, 0]))
    sheet = example_sheet(small_model, packed, scores["masked"][:, 0])  # shows the ten
    assert sheet.width > 300
    packed.missing[:] = True
    with pytest.raises(
        ValueError, match=r"12 of 12 pictures have .*nothing to measure: check the nodata value, or raise"
    ):
        evaluate(small_model, packed, progress=False)


def test_features_do_not_depend_on_what_stands_in_the_holes(small_model, pictures):
    a, b = (layer_features(small_model, holey(pictures[:4], fill), progress=False) for fill in (0, 255))
    assert torch.equal(a, b)
    assert not torch.equal(a, layer_features(small_model, pictures[:4], progress=False))


# -- one picture -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masking", [0.75, Masking.from_mask(torch.arange(16) % 2 == 0)])
def test_missing_patches_of_a_picture_are_hidden_hatched_and_not_scored(masking, pictures):
    model = MaskedAutoencoder(replace(SMALL, pixel_mean=0.3)).eval()
    results = []
    for fill in (np.nan, 7.0):
        picture = pictures[0].astype("float32") / 255
        picture[9:12, 17:30] = fill
        results.append(reconstruct(model, picture, masking, nodata=7.0))
    for r in results:
        assert np.argwhere(r.missing).tolist() == [[1, 2], [1, 3]]
        assert r.mask[r.missing].all()
        assert (r.original[9:12, 17:30] == np.float32(0.3)).all()
        np.testing.assert_array_equal(r.raw, results[0].raw)
        assert r.scores() == results[0].scores()
        holes = r.pixels(r.missing)
        for shown, plain in zip(r.shown.values(), r.stages, strict=True):
            np.testing.assert_allclose(shown[~holes], 255 * plain[~holes].clip(0, 1), atol=0.51)
            assert np.unique(shown[holes]).tolist() == [64, 217]
        assert r.panel().width > 500


def test_a_picture_of_which_too_little_is_known_is_refused(small_model, pictures):
    picture = np.ma.array(pictures[0], mask=False)
    picture[8:] = np.ma.masked
    with pytest.raises(
        ValueError, match=r"1 of 1 pictures has fewer than 5 known patches of 16, .*: hide more, or choose"
    ):
        reconstruct(small_model, picture)
    assert reconstruct(small_model, picture, 0.9).scores()["masked"]["psnr"] > 0
    picture[:] = np.ma.masked
    with pytest.raises(ImageError, match="no pixel that is known"):
        reconstruct(small_model, picture, 0.9)


def test_hatching_leaves_the_rest_alone():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    where = np.zeros((64, 64), bool)
    where[10:30, 20:44] = True
    drawn = hatched(picture, where)
    np.testing.assert_array_equal(drawn[~where], picture[~where])
    assert np.unique(drawn[where]).tolist() == [64, 217]
    for side in (64, 224, 4000):  # a hole of one patch shows both shades in thin stripes, also in a large scene
        patch = np.zeros((side, side), bool)
        patch[8:12, 8:12] = True
        shades, counts = np.unique(hatched(np.zeros((side, side, 3), np.uint8), patch)[patch], return_counts=True)
        assert shades.tolist() == [64, 217]
        assert counts.min() >= 4 * 4 * 3 / 4


# -- from the command line ---------------------------------------------------------------------------------------------

TRAIN = ["--set=image_size=[32, 48]", "--set=patch_size=8", "--set=width=32", "--set=heads=2", "--set=depth=1",
         "--set=decoder_width=16", "--set=channels=2", "--epochs=1", "--batch-size=8"]  # fmt: skip


@pytest.mark.parametrize("stated", [True, False], ids=["--nodata", "tag"])
def test_scenes_with_holes_go_all_the_way(stated, tmp_path, capsys):
    folder = write_scenes(tmp_path / "scenes", 60, **({} if stated else tag("60000")))
    run, out = str(tmp_path / "run"), tmp_path / "r.png"
    data = ["--data", str(folder)]
    assert main(["train", *data, *TRAIN, *(["--nodata", "60000"] if stated else []), "--out", run]) == 0
    said = capsys.readouterr()
    assert re.search(r"scenes/train: \d+\.\d\d% of the pixels are missing, in \d+ of 57 pictures", said.out)
    assert "1 of 57 pictures has fewer than 7 known patches of 24, the first of them" in said.out
    assert f"{folder}/01.tif: left out of the training" in said.out
    values = load_with_about(run)[1]["range"]
    assert values[3:] == ([60_000] if stated else [])
    assert values[1] < 4_100  # of known values
    # The model knows the value that was stated; a file says itself what its tag does.
    options = [
        *data,
        "--split",
        "all",
        "--baselines",
        "--json",
        str(tmp_path / "m.json"),
        "--sheet",
        str(tmp_path / "s.png"),
    ]
    assert main(["evaluate", run, *options]) == 0
    said = capsys.readouterr()
    assert "1 of 60 pictures has fewer than 7 known patches of 24" in said.err
    assert "59 pictures, 75% hidden" in said.out
    record = json.loads((tmp_path / "m.json").read_text(), parse_constant=pytest.fail)
    assert record["metrics"]["masked"]["n"] == 59
    assert main(["reconstruct", str(folder / "03.tif"), "--model", run, "--out", str(out)]) == 0
    assert "not known: " in capsys.readouterr().out
    assert Image.open(out).width > 500
    assert main(["reconstruct", str(folder / "01.tif"), "--model", run, "--out", str(out)]) == 1
    assert "fewer than 7 known patches of 24" in capsys.readouterr().err
    assert main(["reconstruct", str(folder / "01.tif"), "--model", run, "--out", str(out), "--nodata", "5"]) == 0
    again = ["train", *data, *TRAIN[6:], "--init", run, "--out", str(tmp_path / "second"), "--no-final-evaluation"]
    assert main([option for option in again if not option.startswith("--set")]) == 0
    assert json.loads((tmp_path / "second/config.json").read_text())["range"] == values
    assert maelib.load(tmp_path / "second").value_range == values


def test_data_of_which_nothing_can_be_scored_still_ends_in_weights(tmp_path, capsys):
    folder = write_scenes(tmp_path / "scenes", 20)
    val = tmp_path / "both/val"
    (tmp_path / "both").mkdir()
    folder.rename(tmp_path / "both/train")
    val.mkdir()
    (val / "empty.tif").write_bytes(tiff(np.full((32, 48, 2), 60_000, "uint16")))
    data = ["--data", str(tmp_path / "both"), "--nodata", "60000"]
    assert main(["train", *data, *TRAIN, "--out", str(tmp_path / "run")]) == 0
    assert "no scores: too few patches of the first 1 pictures of both/val are known" in capsys.readouterr().out
    assert (tmp_path / "run/model.safetensors").exists()
    assert main(["evaluate", str(tmp_path / "run"), *data]) == 1
    assert "1 of 1 pictures has fewer than 7 known patches" in capsys.readouterr().err
