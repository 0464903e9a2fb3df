"""The loss and the statistics of patches: the formula, in float32, with the unbiased variance."""

from dataclasses import replace

import pytest
import torch
from conftest import SMALL

from maelib import MaskedAutoencoder
from maelib.loss import normalize_patches, patch_statistics, reconstruction_loss, shared_statistics


def test_statistics_are_those_of_each_patch():
    patches = torch.rand(2, 5, 12)
    mean, std = patch_statistics(patches)
    torch.testing.assert_close(mean, patches.mean(-1, keepdim=True))
    torch.testing.assert_close(std, (patches.var(-1, keepdim=True, unbiased=True) + 1e-6).sqrt())
    torch.testing.assert_close(normalize_patches(patches) * std + mean, patches)
    assert (std / patches.std(-1, keepdim=True, unbiased=False)).min() > 1.04  # sqrt(12 / 11): not the biased one


def test_shared_statistics_are_one_mean_and_the_root_mean_square_of_the_deviations():
    patches = torch.rand(2, 5, 12)
    mean, std = patch_statistics(patches)
    shared_mean, shared_std = shared_statistics(patches)
    assert shared_mean.shape == shared_std.shape == (2, 1, 1)
    torch.testing.assert_close(shared_mean.flatten(), mean.mean((1, 2)))
    torch.testing.assert_close(shared_std.flatten(), std.square().mean((1, 2)).sqrt())


def test_the_loss_is_the_mean_of_the_squares_over_known_patches():
    pred, target = torch.rand(2, 5, 12), torch.rand(2, 5, 12)
    torch.testing.assert_close(reconstruction_loss(pred, target), torch.nn.functional.mse_loss(pred, target))
    known = torch.rand(2, 5) < 0.5
    expected = torch.nn.functional.mse_loss(pred[known], target[known])
    torch.testing.assert_close(reconstruction_loss(pred, target, known), expected)
    every = torch.ones(2, 5, dtype=torch.bool)
    torch.testing.assert_close(reconstruction_loss(pred, target, every), reconstruction_loss(pred, target))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    assert normalize_patches(torch.full((1, 2, 12), 0.5, dtype=dtype)).dtype == torch.float32
    assert reconstruction_loss(torch.full((1, 1, 4), 300.0, dtype=dtype), torch.zeros(1, 1, 4, dtype=dtype)) == 90_000


def test_a_flat_picture_has_a_finite_loss_under_autocast():
    model = MaskedAutoencoder(replace(SMALL, normalize_targets=True))
    with torch.autocast("cpu", torch.bfloat16):
        output = model(torch.full((2, 3, 32, 32), 0.5))
    assert output.loss.dtype == torch.float32
    assert output.loss.isfinite()
