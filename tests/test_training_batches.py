"""Batches: every picture once, crops as torchvision's, and all of it the same for a seed, however the work is shared."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as TF

from maelib.training import TrainConfig
from maelib.training.batches import Batches, crop, draw_crops, generator
from maelib.training.distributed import World

CPU = torch.device("cpu")


def tagged(count: int) -> np.ndarray:
    """Pictures whose every pixel is the number of the picture."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 32, 32, 3))


def batches(config: TrainConfig, images: np.ndarray, world: World = World()) -> Batches:  # noqa: B008
    return Batches(images, config, (32, 32), 16, world, CPU)


def order(config: TrainConfig, epoch: int = 0) -> list[int]:
    """The numbers of the pictures that an epoch shows, in its order."""
    source = batches(config, tagged(40))
    steps = range(epoch * source.steps_per_epoch, (epoch + 1) * source.steps_per_epoch)
    seen = torch.cat([images[:, 0, 0, 0] for step in steps for images, _ in source.micro_batches(step)])
    return (seen * 255).round().int().tolist()


def test_an_epoch_sees_every_picture_once_in_another_order_each_time():
    config = TrainConfig(batch_size=8, augment="flip")
    first, second = order(config, 0), order(config, 1)
    assert sorted(first) == sorted(second) == list(range(40))
    assert first != second


def test_the_seed_decides_order_masks_and_crops():
    first, other = ({"batch_size": 8, "augment": "crop", "crop_scale": (0.5, 0.5), "seed": seed} for seed in (0, 1))
    assert order(TrainConfig(**first)) == order(TrainConfig(**first))
    assert order(TrainConfig(**first)) != order(TrainConfig(**other))
    # Every picture the same: what differs now is masks, and crops.
    images = np.broadcast_to(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8), (40, 32, 32, 3))
    (one, one_mask), (same, same_mask), (two, two_mask) = (
        next(batches(TrainConfig(**recipe), images).micro_batches(3)) for recipe in (first, first, other)
    )
    assert torch.equal(one, same)
    assert torch.equal(one_mask.visible, same_mask.visible)
    assert not torch.equal(one, two)
    assert not torch.equal(one_mask.visible, two_mask.visible)


def test_every_step_and_every_picture_has_a_mask_of_its_own():
    source = batches(TrainConfig(batch_size=8), tagged(40))
    drawn = torch.cat([next(source.micro_batches(step))[1].mask for step in range(10)])
    assert len(drawn.unique(dim=0)) > 75  # of 80, among 1,820 there are


@pytest.mark.parametrize(("ratio", "hidden"), [(0.25, 4), (0.5, 8), (0.75, 12)])
def test_the_recipes_mask_ratio_is_what_a_batch_hides(ratio, hidden):
    for _, masking in batches(TrainConfig(batch_size=8, accumulate=2, mask_ratio=ratio), tagged(40)).micro_batches(0):
        assert masking.mask.sum(1).tolist() == [hidden] * 4


@pytest.mark.parametrize("augment", ["none", "flip", "crop"])
def test_two_processes_and_two_micro_batches_share_what_one_would_see(augment):
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    alone, alone_masking = next(batches(TrainConfig(batch_size=16, augment=augment), images).micro_batches(1))
    config = TrainConfig(batch_size=16, augment=augment, accumulate=2)
    shares = [list(batches(config, images, World(rank, 2, rank)).micro_batches(1)) for rank in (0, 1)]
    parts = [shares[rank][micro] for micro in (0, 1) for rank in (0, 1)]
    torch.testing.assert_close(torch.cat([part for part, _ in parts]), alone)
    assert torch.equal(torch.cat([masking.visible for _, masking in parts]), alone_masking.visible)
    assert torch.equal(torch.cat([masking.hidden for _, masking in parts]), alone_masking.hidden)


def test_pictures_are_flipped_half_of_the_time():
    images = np.zeros((512, 32, 32, 3), np.uint8)
    images[:, :, :16] = 255
    batch, _ = next(batches(TrainConfig(batch_size=512), images).micro_batches(0))
    left = batch[:, 0, 0, 0]
    assert set(left.tolist()) == {0.0, 1.0}
    assert 180 < left.sum() < 332  # 256 give or take almost seven standard deviations


def test_crop_is_torchvisions_resized_crop():
    """An even enlargement of a box, away from the border that the two treat differently."""
    images = torch.rand(2, 3, 32, 32)
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.25, -0.25, 0.25, 0.5]])  # centre x, y, half width, height
    ours = crop(images, boxes, (32, 32))
    theirs = torch.stack([
        TF.resized_crop(images[0], 8, 8, 16, 16, [32, 32], TF.InterpolationMode.BICUBIC, antialias=False),
        TF.resized_crop(images[1], 4, 16, 16, 8, [32, 32], TF.InterpolationMode.BICUBIC, antialias=False),
    ])  # fmt: skip
    inner = slice(8, -8)
    torch.testing.assert_close(ours[..., inner, inner], theirs.clamp(0, 1)[..., inner, inner], atol=1e-4, rtol=1e-4)


def test_the_whole_picture_is_a_crop_of_itself():
    images = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(crop(images, torch.tensor([[0.0, 0.0, 1.0, 1.0]]), (16, 16)), images)


def test_crops_lie_inside_and_have_the_stated_area():
    boxes = draw_crops(2000, (0.2, 0.5), generator(0))
    centre, half = boxes[:, :2], boxes[:, 2:]
    assert (centre.abs() + half).max() <= 1 + 1e-6
    area = half.prod(1)
    assert area.min() >= 0.19
    assert area.max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("config", "count", "message"),
    [
        (TrainConfig(batch_size=64), 40, "the data has 40 pictures, fewer than batch_size 64"),
        (TrainConfig(batch_size=9, accumulate=3), 40, "must be a multiple of processes x accumulate = 6"),
    ],
)
def test_batches_that_cannot_be_are_refused(config, count, message):
    with pytest.raises(ValueError, match=message):
        batches(config, tagged(count), World(0, 2, 0))
