"""Large pictures by tiles: everything is predicted, at its own size, and no seam shows."""

import numpy as np
import pytest
import torch
from conftest import SMALL
from PIL import Image

import maelib
from maelib import MaskedAutoencoder
from maelib.cli import main
from maelib.datasets import ImageError, Values, sample_path
from maelib.datasets.tiles import starts
from maelib.evaluation import reconstruct, reconstruct_tiles
from maelib.strategies import seeded

RAMP = np.broadcast_to(np.linspace(0.1, 0.9, 140, dtype=np.float32)[None, :, None], (104, 140, 3)).copy()
FLAT = np.full_like(RAMP, 0.4)


class Echo(MaskedAutoencoder):
    """Predicts the picture itself, each tile a little brighter or darker than the next."""

    bias = 0.0

    def reconstruct(self, images, masking=0.75, oracle=False):
        self.seen = getattr(self, "seen", 0) + len(images)
        offsets = self.bias * (torch.arange(len(images)) % 2).reshape(-1, 1, 1, 1)
        return images + offsets, masking.mask


@pytest.fixture(scope="module")
def shipped():
    return maelib.load("mae_tiny_patch4_64")


@pytest.mark.parametrize("picture", [FLAT, RAMP], ids=["flat", "ramp"])
def test_blended_tiles_of_a_picture_are_the_picture(picture):
    model = Echo(SMALL)
    made = reconstruct_tiles(model, picture)
    np.testing.assert_allclose(made.raw, made.original, atol=1e-6)
    np.testing.assert_allclose(made.original, picture[:, 2:-2], atol=0.5 / 255 + 1e-6)  # such arrays become 8 bits
    assert made.mask.shape == (13, 17)  # 104 x 136 pixels: what is left when divided into patches is cut off
    assert made.original.shape == made.raw.shape == (104, 136, 3)
    assert model.seen == len(starts(13, 4, 2)) * len(starts(17, 4, 2))


@pytest.mark.parametrize("picture", [FLAT, RAMP], ids=["flat", "ramp"])
def test_tiles_that_disagree_leave_no_seam(picture):
    model = Echo(SMALL)
    model.bias = 0.2
    made = reconstruct_tiles(model, picture)
    error = made.raw - made.original
    assert np.ptp(error) > 0.1
    for axis in (0, 1):
        assert np.abs(np.diff(error, axis=axis)).max() < 0.2 / 6  # the weights fall over half a tile, 16 pixels


@pytest.mark.parametrize("picture", [FLAT, RAMP], ids=["flat", "ramp"])
def test_the_shipped_model_shows_no_seam_at_the_edges_of_tiles(picture, shipped):
    made = reconstruct_tiles(shipped, picture.repeat(2, 0).repeat(2, 1))
    error = made.raw - made.original
    steps = np.abs(np.diff(error, axis=1)).mean(axis=(0, 2))
    seams = {4 * x for x in starts(70, 16, 8)} - {0}
    others = [x for x in range(4, 276, 4) if x not in seams]
    assert np.mean([steps[x - 1] for x in seams]) < 1.3 * np.mean([steps[x - 1] for x in others])


def test_the_mask_is_made_of_those_of_the_seed_and_repeats(shipped):
    made = reconstruct_tiles(shipped, RAMP, 0.75, seed=5)
    masks = seeded((16, 16), 0.75, 5, batch=6).mask.reshape(6, 16, 16).numpy()
    np.testing.assert_array_equal(made.mask[:16, :16], masks[0])
    np.testing.assert_array_equal(made.mask[16:, 16:32], masks[4][:10])
    again = reconstruct_tiles(shipped, RAMP, 0.75, seed=5)
    np.testing.assert_array_equal(made.raw, again.raw)
    np.testing.assert_array_equal(made.pasted[~made.hidden], made.original[~made.hidden])


@pytest.mark.parametrize("hole", [0, 8, 16, 24], ids="a hole of {} pixels at the left".format)
def test_patches_are_hidden_evenly_over_a_picture_and_beside_its_holes(hole):
    where = np.zeros((4096, 128, 3), bool)
    where[:, :hole] = True
    picture = np.ma.masked_array(np.random.default_rng(0).random(where.shape, np.float32), where)
    made = reconstruct_tiles(Echo(SMALL), picture if hole else picture.data)
    columns, rows = (made.mask[:, hole // 8 :].mean(axis=axis) for axis in (0, 1))
    np.testing.assert_allclose(columns, 0.75, atol=0.06)  # of 512 patches each
    np.testing.assert_allclose(rows.reshape(8, -1).mean(axis=1), 0.75, atol=0.03)


def test_at_the_models_own_size_it_is_one_reconstruction(small_model):
    picture = RAMP[:32, :32]
    one, tiled = reconstruct(small_model, picture, seed=3), reconstruct_tiles(small_model, picture, seed=3)
    np.testing.assert_array_equal(one.mask, tiled.mask)
    np.testing.assert_allclose(one.raw, tiled.raw, atol=1e-5)
    assert one.scores()["masked"]["psnr"] == pytest.approx(tiled.scores()["masked"]["psnr"], abs=1e-3)


@pytest.mark.parametrize("strategy", ["block", "half", "grid"])
def test_every_pixel_is_predicted_under_every_strategy(strategy, small_model):
    made = reconstruct_tiles(small_model, RAMP, 0.9, strategy=strategy)
    assert np.isfinite(made.raw).all()
    assert made.scores()["pasted"]["psnr"] > 0


def test_bands_and_range_are_those_of_reconstruct():
    model = MaskedAutoencoder(maelib.MAEConfig(**{**SMALL.__dict__, "channels": 4})).eval()
    array = np.random.default_rng(0).integers(0, 4000, (50, 70, 4), dtype=np.uint16)
    made = reconstruct_tiles(model, array, values=Values(0, 4000))
    np.testing.assert_allclose(made.original, array[1:49, 3:67] / 4000, rtol=1e-6)


def test_a_picture_smaller_than_the_model_is_refused(small_model):
    with pytest.raises(
        ImageError, match="a picture of 24 x 104 pixels is smaller than the model's 32 x 32: leave out tiles"
    ):
        reconstruct_tiles(small_model, RAMP[:24, :104])


def test_the_command_says_what_it_does_with_a_large_picture(tmp_path, capsys):
    out = tmp_path / "out.png"
    assert main(["reconstruct", "chelsea", "--out", str(out)]) == 0
    assert (
        "chelsea.jpg: 300 x 451 pixels, scaled to cover 64 x 64, its middle cut out; --tiles" in capsys.readouterr().out
    )
    Image.open(sample_path("chelsea")).crop((0, 0, 100, 80)).save(tmp_path / "part.png")
    assert main(["reconstruct", str(tmp_path / "part.png"), "--tiles", "--out", str(out)]) == 0
    assert "--tiles" not in capsys.readouterr().out
    Image.new("RGB", (64, 64)).save(tmp_path / "own.png")
    assert main(["reconstruct", str(tmp_path / "own.png"), "--out", str(out)]) == 0
    assert "--tiles" not in capsys.readouterr().out
