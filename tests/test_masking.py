"""Masking: exact counts, both sets in raster order, nothing that cannot be, and what nobody knows is never shown."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maelib import Masking
from maelib.masking import gather_tokens, num_visible, pixel_mask
from maelib.patches import patchify


def check(masking: Masking, visible: int, total: int) -> None:
    """What holds for every masking: a partition in raster order, with its inverse permutation and its mask."""
    assert masking.visible.dtype == masking.hidden.dtype == torch.int64
    assert masking.num_patches == total
    assert masking.visible.shape[1] == visible
    for row in range(masking.visible.shape[0]):
        both = torch.cat([masking.visible[row], masking.hidden[row]])
        assert torch.equal(both[masking.restore[row]], torch.arange(total))
        assert torch.equal(masking.visible[row], masking.visible[row].sort().values)
        assert torch.equal(masking.hidden[row], masking.hidden[row].sort().values)
        assert masking.mask[row].nonzero().flatten().tolist() == masking.hidden[row].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(0, 0.999), st.integers(0, 2**31 - 1))
def test_the_mask_hides_exactly_the_stated_count(n, ratio, seed):
    keep = num_visible(n, ratio)
    assert keep == max(1, int(n * (1 - ratio)))
    noise = torch.rand(2, n, generator=torch.Generator().manual_seed(seed))
    check(Masking.from_noise(noise, ratio), keep, n)


@pytest.mark.parametrize(
    ("n", "ratio", "keep"), [(196, 0.75, 49), (256, 0.75, 64), (16, 0.9, 1), (10, 0.75, 2), (4, 0.99, 1)]
)
def test_the_count_is_that_of_the_reference_code(n, ratio, keep):
    assert num_visible(n, ratio) == keep
    assert Masking.random(3, n, ratio).visible.shape == (3, keep)


def test_the_lowest_noise_stays_visible_and_ties_go_to_the_first():
    noise = torch.tensor([[0.5, 0.1, 0.5, 0.5, 0.0]])
    assert Masking.from_noise(noise, 0.4).visible.tolist() == [[0, 1, 4]]


def test_masking_is_equivariant_to_a_permutation_of_the_noise():
    noise, permutation = torch.rand(4, 64), torch.randperm(64)
    moved = Masking.from_noise(noise[:, permutation]).mask
    assert torch.equal(moved, Masking.from_noise(noise).mask[:, permutation])


def test_each_image_gets_a_mask_of_its_own_and_no_patch_is_preferred():
    torch.manual_seed(0)
    mask = Masking.random(2000, 64).mask
    assert len(mask.unique(dim=0)) == 2000
    assert (mask.float().mean(0) - 0.75).abs().max() < 0.05  # five standard deviations of a binomial
    torch.manual_seed(0)
    assert torch.equal(Masking.random(2000, 64).mask, mask)


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.2, float("nan")])
def test_a_ratio_outside_is_refused_with_its_value(ratio):
    for call in (
        num_visible,
        lambda n, r: Masking.random(1, n, r),
        lambda n, r: Masking.from_noise(torch.rand(1, n), r),
    ):
        with pytest.raises(ValueError, match=rf"a mask ratio must be in \[0, 1\), got {ratio}"):
            call(16, ratio)


# -- a mask by hand ------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=200).filter(lambda row: not all(row)))
def test_a_mask_by_hand_is_hidden_exactly(row):
    for mask in (torch.tensor(row), np.array(row), torch.tensor([row, row[::-1]])):
        masking = Masking.from_mask(mask)
        assert torch.equal(masking.mask, torch.atleast_2d(torch.as_tensor(mask)))
        check(masking, row.count(False), len(row))


def test_masks_by_hand_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"as many visible patches, at least one; got \[0\]"):
        Masking.from_mask(torch.ones(9, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"as many visible patches, at least one; got \[1, 2\]"):
        Masking.from_mask(torch.tensor([[True, False], [False, False]]))
    with pytest.raises(ValueError, match=r"boolean, \(N,\) or \(B, N\), True = hidden; got torch.float32 \(1, 9\)"):
        Masking.from_mask(torch.rand(9))
    with pytest.raises(ValueError, match=r"boolean, .* \(2, 2, 2\)"):
        Masking.from_mask(torch.ones(2, 2, 2, dtype=torch.bool))


# -- for the patches at hand ---------------------------------------------------------------------------------------------


def test_a_ratio_draws_and_a_masking_of_one_image_serves_the_batch():
    patches = torch.rand(5, 16, 3)
    check(Masking.of(0.5, patches), 8, 16)
    check(Masking.of(0, patches), 16, 16)
    one = Masking.random(1, 16)
    served = Masking.of(one, patches)
    assert torch.equal(served.mask, one.mask.expand(5, -1))
    own = Masking.random(5, 16)
    assert all(torch.equal(a, b) for a, b in zip(Masking.of(own, patches)[:2], own[:2], strict=True))


def test_a_masking_of_another_shape_is_refused():
    patches = torch.rand(5, 16, 3)
    for wrong in (
        Masking.random(4, 16),
        Masking.random(5, 9),
        Masking(torch.arange(4)[None], torch.arange(4, 16).expand(5, -1)),
    ):
        with pytest.raises(ValueError, match=r"a masking of \d x \d+ patches does not fit 5 images of 16 patches"):
            Masking.of(wrong, patches)
    with pytest.raises(ValueError, match="does not fit 5 images"):
        Masking.of(Masking.random(5, 16)._replace(missing=torch.zeros(3, 16, dtype=torch.bool)), patches)
    for wrong in (torch.rand(5, 16), None, "random"):
        with pytest.raises(TypeError, match=r"masking is a ratio or a Masking, got .*: see Masking.from_mask"):
            Masking.of(wrong, patches)


def test_a_masking_moves_to_the_device_of_the_patches():
    served = Masking.of(
        Masking.random(1, 16, missing=torch.zeros(1, 16, dtype=torch.bool)), torch.empty(2, 16, 3, device="meta")
    )
    assert {ids.device.type for ids in served} == {"meta"}
    assert {ids.shape[0] for ids in served} == {2}


# -- pixels that nobody knows --------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31 - 1), st.integers(0, 12))
def test_missing_patches_are_hidden_and_the_count_stays(seed, lost):
    random = torch.Generator().manual_seed(seed)
    missing = torch.zeros(3, 16, dtype=torch.bool)
    for row in missing:
        row[torch.randperm(16, generator=random)[:lost]] = True  # 16 - 12 = K: at most so many
    noise = torch.rand(3, 16, generator=random)
    for masking in (Masking.from_noise(noise, 0.75, missing), Masking.random(3, 16, 0.75, missing=missing)):
        check(masking, 4, 16)
        assert masking.mask[missing].all()
        assert torch.equal(masking.missing, missing)
    # Whoever is known keeps its rank among the known.
    known_noise = noise.masked_fill(missing, 2.0)
    assert torch.equal(Masking.from_noise(noise, 0.75, missing).mask, Masking.from_noise(known_noise, 0.75).mask)


def test_missing_patches_are_hidden_by_hand_too():
    mask, missing = torch.zeros(2, 6, dtype=torch.bool), torch.zeros(2, 6, dtype=torch.bool)
    mask[:, 0] = True
    missing[:, 0], missing[0, 3], missing[1, 5] = True, True, True
    masking = Masking.from_mask(mask, missing)
    assert torch.equal(masking.mask, mask | missing)
    alone = Masking.from_mask(mask[0], missing[0])
    assert torch.equal(alone.missing, missing[:1])
    with pytest.raises(ValueError, match="as many visible patches"):
        Masking.from_mask(mask, missing & torch.tensor([[True], [False]]))


# -- tokens and pixels ---------------------------------------------------------------------------------------------------


def test_gather_tokens_picks_for_each_row_its_own():
    tokens, ids = torch.rand(3, 10, 4), torch.stack([torch.randperm(10)[:6] for _ in range(3)])
    expected = torch.stack([torch.stack([tokens[b, i] for i in ids[b]]) for b in range(3)])
    assert torch.equal(gather_tokens(tokens, ids), expected)


def test_a_mask_of_pixels_covers_whole_patches():
    masking = Masking.random(2, 3 * 5, 0.4)
    pixels = pixel_mask(masking.mask, 4, (3, 5))
    assert pixels.shape == (2, 1, 12, 20)
    assert pixels.dtype == torch.bool
    assert torch.equal(patchify(pixels, 4), masking.mask[..., None].expand(-1, -1, 16))
