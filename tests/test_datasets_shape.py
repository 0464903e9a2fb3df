"""One rule of shape: pictures are scaled to cover what a model takes, their middle is cut out, nothing is distorted."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL
from datasets_helpers import load, make_tiny_imagenet, packed_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from maelib import MaskedAutoencoder
from maelib.cli import main
from maelib.evaluation import protocols, reconstruct
from maelib.training import TrainConfig
from maelib.training.batches import Batches, fit
from maelib.training.distributed import World

CPU = torch.device("cpu")
WIDE = replace(SMALL, image_size=(120, 200))


def disc(width: int, height: int, share: float = 0.5) -> Image.Image:
    """A white disc in the middle of a black picture; its diameter is a share of the shorter side."""
    picture = Image.new("RGB", (4 * width, 4 * height))
    radius = 2 * share * min(width, height) - 0.5  # the pixel on the rim counts
    ImageDraw.Draw(picture).circle((2 * width - 0.5, 2 * height - 0.5), radius, "white")
    return picture.resize((width, height), Image.Resampling.BOX)


def extent(pixels: np.ndarray) -> tuple[float, float, float, float]:
    """Height and width of what is white in (H, W, C) in [0, 1], to a part of a pixel, and its centre, down and across."""
    down, across = (pixels[..., 0].sum(axis) for axis in (1, 0))
    height, width = across.max(), down.max()  # the longest column and the longest row
    centre = [float((line * (np.arange(len(line)) + 0.5)).sum() / line.sum()) for line in (down, across)]
    return height, width, *centre


def batch(images: np.ndarray, hw: tuple[int, int], **recipe) -> np.ndarray:
    """What the trainer would show, (n, H, W, C)."""
    config = TrainConfig(batch_size=len(images), **{"augment": "none", **recipe})
    source = Batches(images, config, hw, hw[0] * hw[1] // 64, World(), CPU)
    return next(source.micro_batches(0))[0].permute(0, 2, 3, 1).numpy()


@pytest.mark.parametrize(("width", "height"), [(300, 300), (240, 180), (90, 240), (200, 120)])
@pytest.mark.parametrize("hw", [(120, 200), (200, 120), (64, 64)])
def test_a_disc_stays_round_wherever_a_picture_enters(width, height, hw, tmp_path, monkeypatch):
    (tmp_path / "discs").mkdir()
    for name in "ab":
        disc(width, height).save(tmp_path / f"discs/{name}.png")
    model = MaskedAutoencoder(replace(SMALL, image_size=hw)).eval()
    packed = load(tmp_path / "discs", tmp_path / "cache", "all", hw)
    assert packed.images.shape == (2, *hw, 3)
    scored = []
    monkeypatch.setattr(protocols, "psnr", lambda original, *_: scored.append(original) or 0.0)
    protocols.evaluate(model, packed, progress=False)
    seen = {
        "packed": packed.images[0].astype(np.float32) / 255,
        "trained": batch(packed.images, hw)[0],
        "evaluated": scored[0],
        "reconstructed": reconstruct(model, tmp_path / "discs/a.png").original,
    }
    diameter = min(width, height) / 2 * max(hw[0] / height, hw[1] / width)
    for where, pixels in seen.items():
        assert pixels.shape == (*hw, 3), where
        np.testing.assert_array_equal(pixels, seen["packed"], err_msg=where)
        expected = [min(diameter, hw[0]), min(diameter, hw[1]), hw[0] / 2, hw[1] / 2]
        np.testing.assert_allclose(extent(pixels), expected, atol=1, err_msg=where)


@pytest.mark.parametrize("hw", [(120, 200), (200, 120), (96, 96)])
@pytest.mark.parametrize("packed", [(64, 64), (48, 80), (150, 60)])
def test_a_disc_stays_round_where_it_was_packed_at_another_shape(hw, packed):
    images = np.stack([np.array(disc(packed[1], packed[0], 0.25))] * 2)
    diameter = min(packed) / 4 * max(hw[0] / packed[0], hw[1] / packed[1])
    for pixels in (
        batch(images, hw)[0],
        fit(torch.from_numpy(images).movedim(3, 1) / 255, hw)[0].movedim(0, 2).numpy(),
    ):
        np.testing.assert_allclose(extent(pixels), [diameter, diameter, hw[0] / 2, hw[1] / 2], atol=1)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(8, 70)] * 2), st.tuples(*[st.integers(8, 70)] * 2))
def test_fit_covers_keeps_the_middle_and_is_symmetric(have, wanted):
    images = torch.rand(1, 1, *have, generator=torch.Generator().manual_seed(0))
    got = fit(images, wanted)
    assert got.shape[2:] == wanted
    rows, columns = torch.zeros(1, 1, *have), torch.zeros(1, 1, *have)
    rows[..., [0, -1], :] = columns[..., [0, -1]] = 1
    whole = [fit(rows, wanted)[..., [0, -1], :].amin(), fit(columns, wanted)[..., [0, -1]].amin()]
    assert max(whole) > 0, "along one side at least, the picture stays whole"
    turned = fit(images.mT, wanted[::-1]).mT
    torch.testing.assert_close(turned, got)


def test_a_crop_has_its_jitter_about_the_shape_of_the_model():
    """Squares, packed at 64, for a model of 40 x 80: only the middle half of the rows is ever seen, and boxes are wide."""
    images = np.full((256, 64, 64, 3), 255, np.uint8)
    images[:, 14:50] = 0  # the middle 32 rows, and two more for the reach of bicubic
    assert batch(images, (40, 80), augment="crop", crop_scale=(0.2, 1.0)).max() == 0
    images[:, 16:48:31] = 255
    assert batch(images, (40, 80), augment="crop", crop_scale=(1.0, 1.0)).max() > 0.9  # all of the middle is
    ramp = np.zeros((256, 64, 64, 3), np.uint8)
    ramp[..., 0], ramp[..., 1] = (np.arange(64) * 4)[:, None], np.arange(64) * 4
    seen = batch(ramp, (40, 80), augment="crop", crop_scale=(0.25, 0.25)) * 255 / 4
    tall = (seen[:, 30, 40, 0] - seen[:, 9, 40, 0]) / 21 * 40
    wide = np.abs(seen[:, 20, 60, 1] - seen[:, 20, 19, 1]) / 41 * 80
    ratio = wide / tall / 2  # against the model's shape, twice as wide as tall
    assert ratio.min() > 0.72
    assert ratio.max() < 1.37
    assert ratio.min() < 0.85
    assert ratio.max() > 1.2
    np.testing.assert_allclose(tall * wide, 0.25 * 32 * 64, rtol=0.1)


def test_shapes_have_caches_of_their_own(tmp_path):
    for name in "ab":
        (tmp_path / "discs").mkdir(exist_ok=True)
        disc(30, 20).save(tmp_path / f"discs/{name}.png")
    shapes = [
        load(tmp_path / "discs", tmp_path / "cache", "all", size).hw for size in (24, (24, 40), (40, 24), (24, 24))
    ]
    assert shapes == [(24, 24), (24, 40), (40, 24), (24, 24)]
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 3


# -- from the command line ---------------------------------------------------------------------------------------------

TRAIN = ["--set=image_size=[24, 40]", "--set=patch_size=8", "--set=width=32", "--set=heads=2", "--set=depth=1"]
TRAIN += ["--set=decoder_width=16", "--epochs=1", "--batch-size=8", "--augment=crop"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty wide pictures, which has no splits."""
    random = np.random.default_rng(0)
    for k in range(40):
        coarse = Image.fromarray(random.integers(0, 256, (3, 4, 3), dtype=np.uint8))
        (tmp_path / "photos").mkdir(exist_ok=True)
        coarse.resize((70, 42), Image.Resampling.BICUBIC).save(tmp_path / f"photos/{k:02}.png")
    return tmp_path / "photos"


def table(text: str) -> list[str]:
    """Heading and rows of the scores of the model and the Gaussian."""
    return [line for line in text.splitlines() if "% hidden, seed" in line or line.startswith(("model ", "gaussian "))]


def test_evaluate_repeats_the_closing_table_of_a_training(folder, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["train", "--data", str(folder), *TRAIN, "--out", run]) == 0
    closing = capsys.readouterr().out
    assert "5 % held out: 2 of 40 pictures" in closing
    assert len(table(closing)) == 3
    score = ["evaluate", run, "--data", str(folder), "--protocols", "pasted", "masked", "--baselines"]
    assert main([*score, "--n", "2"]) == 0
    again = capsys.readouterr().out
    assert table(again) == table(closing)
    assert "5 % held out: 2 of 40 pictures, as" in again
    assert "--split all" in again
    assert main([*score, "--split", "all"]) == 0
    every = capsys.readouterr().out
    assert "40 pictures, 75% hidden" in every
    assert "held out" not in every
    assert main(["data", "--data", str(folder), "--model", run]) == 0
    said = capsys.readouterr().out
    assert "photos/train: 38 pictures of 24 x 40 pixels\n" in said
    assert "photos/val: 2 pictures of 24 x 40 pixels; 5 % held out: 2 of 40 pictures" in said
    assert main(["data", "--data", str(folder), "--size", "16x8"]) == 0
    assert "38 pictures of 16 x 8 pixels" in capsys.readouterr().out


def test_all_is_both_splits(tmp_path):
    root = make_tiny_imagenet(tmp_path / "tiny-imagenet-200")
    parts = {split: load(root, tmp_path / split, split, 64) for split in ("train", "val", "all")}
    np.testing.assert_array_equal(parts["all"].images, np.concatenate([parts["train"].images, parts["val"].images]))
    np.testing.assert_array_equal(parts["all"].labels, np.concatenate([parts["train"].labels, parts["val"].labels]))
    assert {data.note for data in parts.values()} == {""}


def test_what_is_said_to_be_held_out_follows_the_folder_and_not_the_cache(folder, tmp_path):
    assert load(folder, tmp_path / "cache", "val").note.startswith("5 % held out: 2 of 40 pictures")
    shutil.copy(folder / "00.png", folder / "for-training.png")
    assert load(folder, tmp_path / "cache", "val").note.startswith("5 % held out: 2 of 41 pictures")
    packed_folder(tmp_path / "cache")  # one: the held-out pictures are the same
    assert load(folder, tmp_path / "cache", "train").note == ""
