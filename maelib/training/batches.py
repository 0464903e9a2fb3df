"""Batches: which pictures, which crops, which masks, for every step of a run.

All of it follows from (seed, step) alone. A resumed run needs no random state to be put back, and several processes
draw the same numbers for the whole batch and take their share, so that two processes see what one would have seen.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..datasets import PackedImages
from ..datasets.missing import fill_missing, missing_patches, said_too_few, too_few_known
from ..masking import Masking, num_visible
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


def crop(images: Tensor, boxes: Tensor, size: tuple[int, int], mode: str = "bicubic") -> Tensor:
    """Cut a box of its own from each image and resize it to `size`: (B, C, H, W), (B, 4) -> (B, C, *size)."""
    theta = torch.zeros(len(images), 2, 3, device=images.device)
    theta[:, 0, 2], theta[:, 1, 2], theta[:, 0, 0], theta[:, 1, 1] = boxes.unbind(1)
    grid = F.affine_grid(theta, [len(images), images.shape[1], *size], align_corners=False)
    return F.grid_sample(images, grid, mode=mode, padding_mode="reflection", align_corners=False).clamp(0, 1)


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


def crop_missing(missing: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 1, H, W) bool after `crop`: True where any of the pixels that a bicubic weight reaches is, and a little beyond."""
    near = F.max_pool2d(missing.float(), 5, stride=1, padding=2)  # the weights reach two pixels from the nearest one
    return crop(near, boxes, size, "nearest") > 0


def fit_missing(missing: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, 1, H, W) bool after `fit`: True where any of the pixels that have a weight is."""
    return fit(missing.float(), size) > 0


def lost_patches(data: PackedImages, which: Any, size: tuple[int, int], patch_size: int) -> Tensor | None:
    """Which patches (b, N) bool of some pictures, brought to a size by `fit`, have missing pixels; None where all are known."""
    holes = data.holes(which)
    return None if holes is None else missing_patches(fit_missing(holes, size), patch_size)


class Batches:
    """The batches of a run, by step.

    Where pictures have missing pixels, patches that have any are hidden and not scored. A crop with fewer than K + 1 known
    patches gives way to the whole picture; a picture that has fewer as a whole is left out, and `left_out` says so. All of it
    is found out on the host.

    Parameters
    ----------
    images
        Packed pictures, or (n, H, W, C) uint8; ValueError where values of another dtype come without their range.
    size, num_patches
        What the model takes, in pixels and patches. Pictures of another shape are never distorted: they give their middle,
        and crops have their jitter about the model's shape.
    pixel_mean
        What stands in for missing pixels: the model's.
    """

    def __init__(
        self,
        images: PackedImages | np.ndarray,
        config: TrainConfig,
        size: tuple[int, int],
        num_patches: int,
        world: World,
        device: torch.device,
        pixel_mean: float | tuple[float, ...] = 0.0,
    ):
        packed = PackedImages.of(images)
        self.packed, self.images, self.values = packed, packed.images, packed.values
        self.config, self.size, self.num_patches = config, size, num_patches
        self.patch_size = math.isqrt(size[0] * size[1] // num_patches)
        self.world, self.device = world, device
        self.mean = torch.tensor(pixel_mean).float().to(device)
        tall, wide = middle(packed.hw, size)
        self.middle = torch.tensor([wide, tall, wide, tall])  # as boxes are: x, y, half width, half height
        self.whole = torch.tensor([0.0, 0.0, wide, tall])
        self.usable = torch.arange(min(len(images), config.limit or len(images)))
        self.left_out = "" if packed.missing is None else self._leave_out()
        self.count = len(self.usable)
        if self.count < config.batch_size:
            raise ValueError(
                f"the data has {self.count} pictures, fewer than batch_size {config.batch_size}: lower it"
                + f" ({self.left_out})" * bool(self.left_out)
            )
        shares = world.world_size * config.accumulate
        if config.batch_size % shares:
            raise ValueError(f"batch_size {config.batch_size} must be a multiple of processes x accumulate = {shares}")
        self.steps_per_epoch = self.count // config.batch_size
        # Of the micro-batch last given in the mean over its step: its share of the known patches that are hidden.
        self.weight = 1.0
        self._epoch, self._order = -1, torch.empty(0)

    def _leave_out(self) -> str:
        """Keep the pictures that have enough known patches; returns the sentence on the others, empty where there are none."""
        parts = self.usable.split(1024)
        whole = [self._lost(self.packed.holes(ids.numpy()), self.whole.expand(len(ids), -1)) for ids in parts]
        short, count = too_few_known(torch.cat(whole), self.config.mask_ratio), len(self.usable)
        left_out, self.usable = self.usable[short], self.usable[~short]
        if not len(left_out):
            return ""
        first = self.packed.where(int(left_out[0]))
        said = said_too_few(len(left_out), count, first, self.num_patches, self.config.mask_ratio, self.packed.what)
        return f"{said}: left out of the training"

    def micro_batches(self, step: int) -> Iterator[tuple[Tensor, Masking]]:
        """This process's share of a step: `accumulate` pairs of images (b, C, H, W) in [0, 1] and their masking."""
        c = self.config
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = self.usable[torch.randperm(self.count, generator=generator(c.seed, epoch))]
        ids = self._order[index * c.batch_size : (index + 1) * c.batch_size]
        random = generator(c.seed, epoch, index)
        noise = torch.rand(c.batch_size, self.num_patches, generator=random)
        flips = torch.rand(c.batch_size, generator=random) < 0.5
        boxes = draw_crops(c.batch_size, c.crop_scale, random) * self.middle
        missing = None
        if self.packed.missing is not None:
            boxes, missing = self._missing(ids, boxes, flips)
        shares = self.world.world_size * c.accumulate
        share = c.batch_size // shares
        for micro in range(c.accumulate):
            start = (micro * self.world.world_size + self.world.rank) * share
            mine = slice(start, start + share)
            images = self.load(ids[mine])
            images = crop(images, self.send(boxes[mine]), self.size) if c.augment == "crop" else fit(images, self.size)
            if c.augment != "none":
                images = torch.where(self.send(flips[mine])[:, None, None, None], images.flip(3), images)
            lost = None
            if missing is not None:
                hidden = (~missing).numpy().sum(1) - num_visible(self.num_patches, c.mask_ratio)
                self.weight = float(hidden[mine].sum() * shares / hidden.sum())
                lost = self.send(missing[mine])
            yield images, Masking.from_noise(self.send(noise[mine]), c.mask_ratio, lost)

    def load(self, ids: Tensor) -> Tensor:
        """Pictures by index, on the training device: (b, C, H, W) float32 in [0, 1], missing pixels filled."""
        pixels = self.send(torch.from_numpy(self.images[ids.numpy()]))
        images = self.values.unit(pixels.permute(0, 3, 1, 2))
        holes = self.packed.holes(ids.numpy())
        return images if holes is None else fill_missing(images, self.send(holes), self.mean)

    def _lost(self, holes: Any, boxes: Tensor) -> Tensor:
        """Patches (b, N) bool that have missing pixels, of pictures (b, 1, H, W) seen through boxes (b, 4)."""
        crops = self.config.augment == "crop"
        fitted = crop_missing(holes, boxes, self.size) if crops else fit_missing(holes, self.size)
        return missing_patches(fitted, self.patch_size)

    def _missing(self, ids: Tensor, boxes: Tensor, flips: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (b, 4), those with too few known patches in them replaced, and the patches (b, N) bool that are missing then."""
        holes, c = self.packed.holes(ids.numpy()), self.config
        lost = self._lost(holes, boxes)
        if c.augment == "crop":
            whole, short = self.whole.expand(len(ids), -1), too_few_known(lost, c.mask_ratio)[:, None]
            boxes, lost = torch.where(short, whole, boxes), torch.where(short, self._lost(holes, whole), lost)
        if c.augment != "none":
            turned = lost.unflatten(1, (self.size[0] // self.patch_size, -1)).flip(2).flatten(1)
            lost = torch.where(flips[:, None], turned, lost)
        return boxes, lost

    def send(self, tensor: Tensor) -> Tensor:
        """To the training device without waiting for it."""
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)
