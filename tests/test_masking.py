"""Masking: exact counts, equivariance, the same mask everywhere, strategies that do what they are called."""

import shutil
import subprocess

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maelib.masking import STRATEGIES, noise_from_mask, num_visible, seeded_integers, seeded_noise, split_by_noise

MULBERRY32 = """
const out = []; let a = SEED | 0;
for (let i = 0; i < COUNT; i++) {
  a = (a + 0x6d2b79f5) | 0;
  let t = Math.imul(a ^ (a >>> 15), 1 | a);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  out.push((t ^ (t >>> 14)) >>> 8);
}
console.log(out.join(" "));
"""


def mulberry32(seed: int, count: int) -> list[int]:
    """The generator in plain Python integers, with its 32-bit wrap-around spelled out; the upper 24 bits."""
    low, a, out = 0xFFFFFFFF, seed, []
    for _ in range(count):
        a = (a + 0x6D2B79F5) & low
        t = ((a ^ (a >> 15)) * (1 | a)) & low
        t = ((t + ((t ^ (t >> 7)) * (61 | t) & low)) & low) ^ t
        out.append((t ^ (t >> 14)) >> 8)
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 300), st.floats(0, 0.999), st.integers(0, 2**31 - 1))
def test_the_mask_hides_exactly_the_stated_count(n, ratio, seed):
    keep = num_visible(n, ratio)
    assert keep == max(1, int(n * (1 - ratio)))
    masking = split_by_noise(seeded_noise((1, n), seed, batch=2), keep)
    assert (~masking.mask).sum(1).tolist() == [keep, keep]
    for row in range(2):
        assert masking.mask[row, masking.hidden[row]].all()
        assert not masking.mask[row, masking.visible[row]].any()
        both = torch.cat([masking.visible[row], masking.hidden[row]])
        assert torch.equal(both[masking.restore[row]], torch.arange(n))
        assert torch.equal(masking.visible[row], masking.visible[row].sort().values)


def test_the_lowest_noise_stays_visible_and_ties_go_to_the_first():
    noise = torch.tensor([[0.5, 0.1, 0.5, 0.5, 0.0]])
    assert split_by_noise(noise, 3).visible.tolist() == [[0, 1, 4]]


def test_masking_is_equivariant_to_a_permutation_of_the_noise():
    noise, permutation = torch.rand(4, 64), torch.randperm(64)
    assert torch.equal(split_by_noise(noise[:, permutation], 16).mask, split_by_noise(noise, 16).mask[:, permutation])


@pytest.mark.parametrize("ratio", [-0.1, 1.0, 1.2, float("nan")])
def test_a_ratio_outside_is_refused_with_its_value(small_model, ratio):
    images = torch.rand(1, 3, 32, 32)
    for call in (small_model, small_model.predict):
        with pytest.raises(ValueError, match=r"mask_ratio must be in \[0, 1\), got"):
            call(images, ratio)


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31 - 1])
def test_the_generator_is_mulberry32(seed):
    assert seeded_integers(seed, 1000).tolist() == mulberry32(seed, 1000)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node on this machine")
@pytest.mark.parametrize("seed", [0, 7, 2**31 - 1])
def test_javascript_draws_the_same_numbers(seed):
    script = MULBERRY32.replace("SEED", str(seed)).replace("COUNT", "500")
    answer = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True).stdout
    assert seeded_integers(seed, 500).tolist() == [int(number) for number in answer.split()]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_noise_is_exact_in_24_bits_and_free_of_the_batch(strategy):
    noise = seeded_noise((14, 10), 3, strategy, batch=6)
    assert noise.dtype == torch.float32
    assert torch.equal(noise * 2**24, (noise * 2**24).round())
    assert 0 <= noise.min() <= noise.max() < 1
    assert torch.equal(noise[4:], seeded_noise((14, 10), 3, strategy, batch=2, first=4))
    assert not torch.equal(noise[0], seeded_noise((14, 10), 4, strategy)[0])


def masks(strategy: str, ratio: float, grid=(16, 16), batch=50) -> torch.Tensor:
    keep = num_visible(grid[0] * grid[1], ratio)
    return split_by_noise(seeded_noise(grid, 0, strategy, batch), keep).mask.reshape(batch, *grid)


def test_random_hides_every_patch_equally_often():
    share = masks("random", 0.75, batch=2000).float().mean(0)
    assert (share - 0.75).abs().max() < 0.05  # five standard deviations of a binomial


def test_grid_keeps_one_of_every_four():
    kept = ~masks("grid", 0.75)
    assert (kept.reshape(50, 8, 2, 8, 2).sum((2, 4)) == 1).all()


def test_half_hides_whole_rows_or_columns_on_one_side():
    sides = set()
    for mask in masks("half", 0.5):
        flat = [mask[:8].all(), mask[8:].all(), mask[:, :8].all(), mask[:, 8:].all()]
        assert sum(map(bool, flat)) == 1
        sides.add(flat.index(True))
    assert sides == {0, 1, 2, 3}


def test_block_hides_one_piece():
    """Far fewer borders between hidden and visible than random masks have."""

    def borders(mask):
        return (mask[:, 1:] != mask[:, :-1]).sum((1, 2)) + (mask[:, :, 1:] != mask[:, :, :-1]).sum((1, 2))

    assert borders(masks("block", 0.5)).max() < borders(masks("random", 0.5)).min() / 2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.booleans(), min_size=2, max_size=200).filter(lambda row: not all(row)))
def test_a_mask_by_hand_is_hidden_exactly(row):
    mask = torch.tensor(row)
    noise, ratio = noise_from_mask(mask)
    masking = split_by_noise(noise, num_visible(len(row), ratio))
    assert torch.equal(masking.mask[0], mask)


def test_masks_by_hand_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="at least one must stay visible"):
        noise_from_mask(torch.ones(9, dtype=torch.bool))
    with pytest.raises(ValueError, match="as many patches"):
        noise_from_mask(torch.tensor([[True, False], [False, False]]))
    with pytest.raises(ValueError, match="boolean"):
        noise_from_mask(torch.rand(9))
    with pytest.raises(ValueError, match="strategy must be one of random, block, grid, half, got 'spiral'"):
        seeded_noise((4, 4), strategy="spiral")
    with pytest.raises(ValueError, match="seed must be"):
        seeded_noise((4, 4), seed=-1)
