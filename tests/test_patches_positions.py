"""Patches and positions: exact round trips, and agreement with PyTorch's own operations."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from maelib.patches import grid_of, patchify, unpatchify
from maelib.positions import resample_positions, sincos_2d

sizes = st.tuples(
    st.integers(1, 3), st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 2, 4, 7])
)


@settings(max_examples=40, deadline=None)
@given(sizes)
def test_unpatchify_inverts_patchify_exactly(size):
    batch, channels, rows, columns, p = size
    images = torch.rand(batch, channels, rows * p, columns * p)
    patches = patchify(images, p)
    assert patches.shape == (batch, rows * columns, p * p * channels)
    assert torch.equal(unpatchify(patches, p, (rows, columns)), images)


def test_patches_stand_in_raster_order_with_channels_last():
    images = torch.arange(3 * 4 * 6.0).reshape(1, 3, 4, 6)
    patches = patchify(images, 2)
    assert torch.equal(patches[0, 4].reshape(2, 2, 3), images[0, :, 2:4, 2:4].permute(1, 2, 0))


def test_patchify_holds_the_values_of_unfold():
    images = torch.rand(2, 3, 12, 8)
    unfolded = F.unfold(images, 4, stride=4).transpose(1, 2).reshape(2, 6, 3, 16)  # channels first
    assert torch.equal(patchify(images, 4).reshape(2, 6, 16, 3), unfolded.transpose(2, 3))


def test_a_linear_layer_on_patches_is_a_strided_convolution():
    embed, images = nn.Linear(4 * 4 * 3, 24), torch.rand(2, 3, 16, 8)
    convolution = nn.Conv2d(3, 24, kernel_size=4, stride=4)
    with torch.no_grad():
        convolution.weight.copy_(embed.weight.reshape(24, 4, 4, 3).permute(0, 3, 1, 2))
        convolution.bias.copy_(embed.bias)
    tokens = convolution(images).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embed(patchify(images, 4)), tokens, atol=1e-5, rtol=1e-5)


def test_a_grid_is_what_divides():
    assert grid_of((12, 20), 4) == (3, 5)
    for hw in ((12, 18), (10, 20), (2, 4), (0, 4), (-4, 4)):
        with pytest.raises(
            ValueError, match=rf"{hw[0]} x {hw[1]} pixels are not a multiple of the patch size 4: resize or"
        ):
            grid_of(hw, 4)


def test_positions_follow_the_formula():
    rows, columns, width = 3, 5, 16
    expected = np.zeros((rows * columns, width))
    for n in range(rows * columns):
        for half, coordinate in enumerate((n % columns, n // columns)):
            for i in range(width // 4):
                angle = coordinate / 10_000 ** (i / (width // 4))
                expected[n, half * width // 2 + i] = np.sin(angle)
                expected[n, half * width // 2 + width // 4 + i] = np.cos(angle)
    np.testing.assert_allclose(sincos_2d((rows, columns), width).numpy(), expected, atol=1e-6)


def test_positions_are_nonzero_and_all_different():
    positions = sincos_2d((14, 14), 64)
    distance = torch.cdist(positions, positions) + 1e9 * torch.eye(196)
    assert positions.abs().sum(1).min() > 1
    assert distance.min() > 0.5


def test_resampling_is_two_dimensional():
    """A plane that rises along the rows only still does after resampling; along the flattened index it would not."""
    plane = torch.arange(6.0)[:, None].expand(6, 4).reshape(24, 1).expand(24, 8)
    positions = torch.cat([torch.full((1, 8), 7.0), plane])
    resampled = resample_positions(positions, (6, 4), (12, 10))
    assert torch.equal(resampled[0], positions[0])
    grid = resampled[1:, 0].reshape(12, 10)
    torch.testing.assert_close(grid, grid[:, :1].expand(12, 10))
    assert (grid[1:, 0] > grid[:-1, 0]).all()
    assert resample_positions(positions, (6, 4), (6, 4)) is positions


@pytest.mark.parametrize("grid", [(3, 7), (5, 5)])
def test_a_row_of_positions_shares_the_row_half(grid):
    positions = sincos_2d(grid, 32).reshape(*grid, 32)
    assert torch.equal(positions[:, :, 16:], positions[:, :1, 16:].expand(*grid, 16))
    assert torch.equal(positions[:, :, :16], positions[:1, :, :16].expand(*grid, 16))
