"""Seeded masks: the same everywhere, whatever the batch, and strategies that do what they are called."""

import shutil
import subprocess

import pytest
import torch

from maelib import Masking
from maelib.strategies import STRATEGIES, seeded, seeded_integers, seeded_noise

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


@pytest.mark.parametrize("seed", [0, 1, 12345, 2**31 - 1])
def test_the_generator_is_mulberry32(seed):
    assert seeded_integers(seed, 1000).tolist() == mulberry32(seed, 1000)
    assert seeded_integers(seed, 10, first=300).tolist() == mulberry32(seed, 310)[300:]


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


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_seed_gives_the_masks_of_its_noise(strategy):
    masking = seeded((8, 8), 0.6, 3, strategy, batch=4, first=2)
    expected = Masking.from_noise(seeded_noise((8, 8), 3, strategy, batch=6), 0.6)
    assert torch.equal(masking.mask, expected.mask[2:])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_another_seed_is_another_mask_and_not_only_other_ties(strategy):
    """At 30 % hidden, ties between patches of equal rank decide little."""
    found = {tuple(seeded((8, 8), 0.3, seed, strategy).mask[0].tolist()) for seed in range(20)}
    assert len(found) >= 8


def test_missing_patches_are_passed_on():
    missing = torch.zeros(1, 64, dtype=torch.bool)
    missing[0, :20] = True
    masking = seeded((8, 8), 0.5, missing=missing)
    assert masking.mask[missing].all()
    assert masking.missing is missing
    assert masking.visible.shape == (1, 32)


def masks(strategy: str, ratio: float, grid=(16, 16), batch=50) -> torch.Tensor:
    return seeded(grid, ratio, 0, strategy, batch).mask.reshape(batch, *grid)


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


def test_block_hides_one_piece_whose_place_the_seed_chooses():
    """Far fewer borders between hidden and visible than random masks have, and a middle that moves."""

    def borders(mask):
        return (mask[:, 1:] != mask[:, :-1]).sum((1, 2)) + (mask[:, :, 1:] != mask[:, :, :-1]).sum((1, 2))

    assert borders(masks("block", 0.5)).max() < borders(masks("random", 0.5)).min() / 2
    middles = {tuple(seeded((16, 16), 0.3, seed, "block").mask[0].reshape(16, 16).nonzero().float().mean(0).round().tolist())
               for seed in range(12)}  # fmt: skip
    assert len(middles) >= 8


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="strategy must be one of random, block, grid, half, got 'spiral'"):
        seeded((4, 4), strategy="spiral")
    for seed in (-1, 2**31):
        with pytest.raises(ValueError, match=rf"seed must be in \[0, 2\*\*31\), got {seed}"):
            seeded((4, 4), seed=seed)
