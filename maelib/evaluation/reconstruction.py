"""A picture, most of it hidden, and what the model makes of the rest."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..datasets import fit, read_picture
from ..loss import patch_statistics
from ..masking import noise_from_mask, seeded_noise
from ..model import MAEConfig, MaskedAutoencoder
from ..patches import patchify, unpatchify
from .metrics import psnr, ssim

GRAY = 0.5  # what hidden patches are shown as


def pixel_mask(mask: Tensor, grid: tuple[int, int], patch_size: int) -> Tensor:
    """Masks of patches (B, N), True = hidden, as masks of pixels (B, 1, H, W), 1 = visible."""
    tiles = mask.reshape(-1, 1, *grid)
    return (~tiles).float().repeat_interleave(patch_size, 2).repeat_interleave(patch_size, 3)


@torch.inference_mode()
def reconstruct_batch(
    model: MaskedAutoencoder, images: Tensor, mask_ratio: float, noise: Tensor, oracle: bool = False
) -> tuple[Tensor, Tensor]:
    """Predicted pixels of every patch, visible ones too, for images (B, C, H, W) in [0, 1]: (B, C, H, W) in [0, 1],
    mask (B, N).

    A model with normalised targets predicts patches without their mean and scale. These are put back from the average
    over the picture's visible patches; with `oracle` from each patch's truth, which leaks a part of the answer
    (protocol `article`).
    """
    c = model.config
    mean, std = (torch.as_tensor(x, device=images.device, dtype=images.dtype).reshape(-1, 1, 1)
                 for x in (c.pixel_mean, c.pixel_std))  # fmt: skip
    standard = (images - mean) / std
    pred, mask = model.predict(standard, mask_ratio, noise)
    if c.normalize_targets:
        centre, scale = patch_statistics(patchify(standard, c.patch_size))  # (B, N, 1) each
        if not oracle:
            visible = (~mask).float()[..., None]
            count = visible.sum(1, keepdim=True)
            centre = (centre * visible).sum(1, keepdim=True) / count
            scale = ((scale.square() * visible).sum(1, keepdim=True) / count).sqrt()
        pred = pred.float() * scale + centre
    grid = (images.shape[2] // c.patch_size, images.shape[3] // c.patch_size)
    raw = unpatchify(pred.float(), c.patch_size, grid) * std + mean
    return raw.clamp(0, 1), mask


@dataclass(frozen=True)
class Reconstruction:
    """One picture and what became of it.

    `original`, `masked`, `raw` (what the model predicts for every patch) and `pasted` (predicted only where it was
    hidden) are (H, W, C) float32 in [0, 1]; `mask` is (rows, columns) bool, True = hidden. `oracle`, for models that
    have the protocol `article`, is pasted with the true statistics of each patch.
    """

    original: np.ndarray
    raw: np.ndarray
    mask: np.ndarray
    oracle: np.ndarray | None = None

    @cached_property
    def hidden(self) -> np.ndarray:
        """(H, W) bool: the hidden pixels."""
        p = self.original.shape[0] // self.mask.shape[0]
        return self.mask.repeat(p, 0).repeat(p, 1)

    @cached_property
    def masked(self) -> np.ndarray:
        """The picture as the model sees it: hidden patches gray."""
        return np.where(self.hidden[..., None], np.float32(GRAY), self.original)

    @cached_property
    def pasted(self) -> np.ndarray:
        """Visible patches as they are, hidden ones as predicted."""
        return np.where(self.hidden[..., None], self.raw, self.original)

    def patch_error(self) -> np.ndarray:
        """Mean squared error of each patch as predicted: (rows, columns)."""
        rows, columns = self.mask.shape
        error = np.square(self.raw - self.original)
        return error.reshape(rows, len(error) // rows, columns, -1).mean(axis=(1, 3))

    def metrics(self) -> dict[str, dict[str, float]]:
        """PSNR (dB) and SSIM by protocol, with the share of patches that was hidden; a perfect picture has 100 dB.

        `masked`, which scores hidden pixels only, is missing where nothing was hidden.
        """
        share = {"mask_ratio": round(float(self.mask.mean()), 4)}
        found = {
            "pasted": {"psnr": psnr(self.original, self.pasted), "ssim": ssim(self.original, self.pasted), **share}
        }
        if self.mask.any():
            found["masked"] = {"psnr": psnr(self.original, self.raw, self.hidden), **share}
        if self.oracle is not None:
            found["article"] = {
                "psnr": psnr(self.original, self.oracle),
                "ssim": ssim(self.original, self.oracle),
                **share,
            }
        return found

    def panel(self) -> Image.Image:
        """Original, masked, raw and pasted beside each other, labelled, with the figures."""
        from .panel import four_panels  # a picture of a picture: needs this class

        return four_panels(self)


def reconstruct(
    model: MaskedAutoencoder,
    image: Any,
    mask_ratio: float = 0.75,
    seed: int = 0,
    mask: Any = None,
    strategy: str = "random",
) -> Reconstruction:
    """Hide patches of a picture and let the model predict them.

    Parameters
    ----------
    image
        A path, bytes, PIL picture, array or tensor (see `maelib.datasets.read_picture`); brought to the model's own
        size.
    mask_ratio, seed, strategy
        Which patches are hidden, see `maelib.masking.seeded_noise`.
    mask
        (rows, columns) or (N,) bool, True = hidden: hides exactly these patches instead.

    Raises
    ------
    PictureError
        Not a picture.
    ValueError
        A mask, ratio, seed or strategy that cannot be.
    """
    c = model.config
    pixels = torch.from_numpy(picture_for(image, c)).permute(2, 0, 1)[None]
    if mask is None:
        noise = seeded_noise(c.grid, seed, strategy)
    else:
        mask = torch.as_tensor(mask)
        if mask.numel() != c.grid[0] * c.grid[1]:
            raise ValueError(f"the mask must have {c.grid[0]} x {c.grid[1]} patches, got shape {tuple(mask.shape)}")
        noise, mask_ratio = noise_from_mask(mask.reshape(1, -1))
    device = next(model.parameters()).device
    pixels, noise = pixels.to(device), noise.to(device)
    raw, hidden = reconstruct_batch(model, pixels, mask_ratio, noise)
    result = Reconstruction(_array(pixels), _array(raw), hidden[0].reshape(c.grid).cpu().numpy())
    if has_article_protocol(c):
        with_oracle, _ = reconstruct_batch(model, pixels, mask_ratio, noise, oracle=True)
        pasted = np.where(result.hidden[..., None], _array(with_oracle), result.original)
        result = Reconstruction(result.original, result.raw, result.mask, pasted)
    return result


def has_article_protocol(config: MAEConfig) -> bool:
    """Whether the protocol `article` applies: a model at 224 pixels with normalised targets."""
    return config.normalize_targets and config.hw == (224, 224)


def picture_for(image: Any, config: MAEConfig) -> np.ndarray:
    """Any picture at the size and with the channels of a model: (H, W, C) float32 in [0, 1]."""
    if config.channels not in (1, 3):
        raise ValueError(
            f"pictures have 1 or 3 channels, this model takes {config.channels}: call model.predict with a tensor"
        )
    picture = fit(read_picture(image), *config.hw)
    array = np.asarray(picture.convert("L") if config.channels == 1 else picture, dtype=np.float32) / 255
    return array.reshape(*config.hw, config.channels)


def _array(images: Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).cpu().numpy()
