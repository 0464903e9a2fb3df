"""A picture, most of it hidden, and what the model makes of the rest."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..datasets import fit, read_picture
from ..config import MAEConfig
from ..masking import Masking
from ..model import MaskedAutoencoder
from ..strategies import seeded
from .metrics import psnr, ssim

GRAY = 0.5  # what hidden patches are shown as


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


@torch.inference_mode()
def reconstruct(
    model: MaskedAutoencoder, image: Any, masking: float | Masking = 0.75, seed: int = 0, strategy: str = "random"
) -> Reconstruction:
    """Hide patches of a picture and let the model predict them.

    Parameters
    ----------
    image
        A path, bytes, PIL picture, array or tensor (see `maelib.datasets.read_picture`); brought to the model's own
        size.
    masking
        Who is hidden; a ratio takes the mask of a seed and strategy, see `maelib.strategies`.

    Raises
    ------
    PictureError
        Not a picture.
    ValueError
        A mask, ratio, seed or strategy that cannot be.
    """
    c = model.config
    pixels = torch.from_numpy(picture_for(image, c)).permute(2, 0, 1)[None]
    if not isinstance(masking, Masking):
        masking = seeded(c.grid, masking, seed, strategy)
    pixels = pixels.to(model.pixel_mean.device)
    raw, hidden = model.reconstruct(pixels, masking)
    result = Reconstruction(_array(pixels), _array(raw), hidden[0].reshape(c.grid).cpu().numpy())
    if has_article_protocol(c):
        with_oracle, _ = model.reconstruct(pixels, masking, oracle=True)
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
