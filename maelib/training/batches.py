"""Batches: which pictures, which crops, which masks, for every step of a run.

All of it follows from (seed, step) alone. A resumed run needs no random state to be put back, and several processes
draw the same numbers for the whole batch and take their share, so that two processes see what one would have seen.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..datasets import PackedImages
from ..masking import Masking
from .config import TrainConfig
from .distributed import World


def generator(seed: int, *counters: int) -> torch.Generator:
    """A CPU generator of its own for a seed and any counters, such as (epoch) or (epoch, step)."""
    entropy = np.random.SeedSequence([seed, *counters]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(entropy) & 0x7FFF_FFFF_FFFF_FFFF)


def draw_crops(count: int, scale: tuple[float, float], random: torch.Generator) -> Tensor:
    """Boxes of random resized crops as (centre x, centre y, half width, half height), in [-1, 1]: (count, 4).

    Area uniform in `scale`, aspect ratio log-uniform in [3/4, 4/3], as in torchvision's RandomResizedCrop.
    """
    area = torch.empty(count).uniform_(*scale, generator=random)
    ratio = torch.empty(count).uniform_(math.log(3 / 4), math.log(4 / 3), generator=random).exp()
    half = torch.stack([(area * ratio).sqrt(), (area / ratio).sqrt()], dim=1).clamp(max=1)
    centre = (1 - half) * (2 * torch.rand(count, 2, generator=random) - 1)
    return torch.cat([centre, half], dim=1)


def crop(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut a box of its own from each image and resize it to `size`, bicubic: (B, C, H, W), (B, 4) -> (B, C, *size)."""
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 2], theta[:, 1, 2], theta[:, 0, 0], theta[:, 1, 1] = boxes.unbind(1)
    grid = F.affine_grid(theta, [len(images), images.shape[1], *size], align_corners=False)
    return F.grid_sample(images, grid, mode="bicubic", padding_mode="reflection", align_corners=False).clamp(0, 1)


def middle(have: tuple[int, int], wanted: tuple[int, int]) -> tuple[float, float]:
    """Shares of (height, width) that stay where the middle of a picture is cut out in the wanted shape."""
    rows, columns = have[0] / wanted[0], have[1] / wanted[1]
    return min(1.0, columns / rows), min(1.0, rows / columns)


def fit(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, H, W) at another size, undistorted: resized to cover it (bilinear, antialiased), their middle cut out."""
    if images.shape[2:] == size:
        return images
    tall, wide = middle(images.shape[2:], size)  # type: ignore[arg-type]
    covering = round(size[0] / tall), round(size[1] / wide)
    images = F.interpolate(images, covering, mode="bilinear", antialias=True).clamp(0, 1)
    top, left = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
    return images[:, :, top : top + size[0], left : left + size[1]]


class Batches:
    """The batches of a run, by step.

    Parameters
    ----------
    images
        Packed pictures, or (n, H, W, C) uint8; ValueError where values of another dtype come without their range.
    size, num_patches
        What the model takes, in pixels and patches. Pictures of another shape are never distorted: they give their middle,
        and crops have their jitter about the model's shape.
    """

    def __init__(
        self,
        images: PackedImages | np.ndarray,
        config: TrainConfig,
        size: tuple[int, int],
        num_patches: int,
        world: World,
        device: torch.device,
    ):
        self.count = min(len(images), config.limit or len(images))
        if self.count < config.batch_size:
            raise ValueError(f"the data has {self.count} pictures, fewer than batch_size {config.batch_size}: lower it")
        shares = world.world_size * config.accumulate
        if config.batch_size % shares:
            raise ValueError(f"batch_size {config.batch_size} must be a multiple of processes x accumulate = {shares}")
        packed = PackedImages.of(images)
        self.images, self.values = packed.images, packed.values
        self.config, self.size, self.num_patches = config, size, num_patches
        self.world, self.device = world, device
        tall, wide = middle(packed.hw, size)
        self.middle = torch.tensor([wide, tall, wide, tall])  # as boxes are: x, y, half width, half height
        self.steps_per_epoch = self.count // config.batch_size
        self._epoch, self._order = -1, torch.empty(0)

    def micro_batches(self, step: int) -> Iterator[tuple[Tensor, Masking]]:
        """This process's share of a step: `accumulate` pairs of images (b, C, H, W) in [0, 1] and their masking."""
        c = self.config
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._order = epoch, torch.randperm(self.count, generator=generator(c.seed, epoch))
        ids = self._order[index * c.batch_size : (index + 1) * c.batch_size]
        random = generator(c.seed, epoch, index)
        noise = torch.rand(c.batch_size, self.num_patches, generator=random)
        flips = torch.rand(c.batch_size, generator=random) < 0.5
        boxes = draw_crops(c.batch_size, c.crop_scale, random) * self.middle
        share = c.batch_size // (self.world.world_size * c.accumulate)
        for micro in range(c.accumulate):
            start = (micro * self.world.world_size + self.world.rank) * share
            mine = slice(start, start + share)
            images = self.load(ids[mine])
            images = crop(images, self.send(boxes[mine]), self.size) if c.augment == "crop" else fit(images, self.size)
            if c.augment != "none":
                images = torch.where(self.send(flips[mine])[:, None, None, None], images.flip(3), images)
            yield images, Masking.from_noise(self.send(noise[mine]), c.mask_ratio)

    def load(self, ids: Tensor) -> Tensor:
        """Pictures by index, on the training device: (b, C, H, W) float32 in [0, 1]."""
        pixels = self.send(torch.from_numpy(self.images[ids.numpy()]))
        return self.values.unit(pixels.permute(0, 3, 1, 2))

    def send(self, tensor: Tensor) -> Tensor:
        """To the training device without waiting for it."""
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)
