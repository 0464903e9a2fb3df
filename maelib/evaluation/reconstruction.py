"""A picture, most of it hidden, and what the model makes of the rest."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config import MAEConfig
from ..datasets import ImageError, PackedImages, Values, read_bands, read_image
from ..datasets.bands import EIGHT_BIT, resize_bands
from ..drawing import labelled_row, labelled_sheets
from ..masking import Masking
from ..model import MaskedAutoencoder
from ..renamed import names_the_new
from ..strategies import seeded
from .metrics import psnr, ssim

GRAY = 0.5  # what hidden patches are shown as


@dataclass(frozen=True)
class Reconstruction:
    """One picture and what became of it.

    `original`, `masked`, `raw` (what the model predicts for every patch) and `pasted` (predicted only where it was
    hidden) are (H, W, C) float32 in [0, 1]; `mask` is (rows, columns) bool, True = hidden. `oracle`, for models that
    have the protocol `article`, is pasted with the true statistics of each patch. `missing`, (rows, columns) bool or
    None, marks patches that nobody knows: hidden, and not scored.
    """

    original: np.ndarray
    raw: np.ndarray
    mask: np.ndarray
    oracle: np.ndarray | None = None
    missing: np.ndarray | None = None

    def pixels(self, patches: np.ndarray) -> np.ndarray:
        """A map of patches (rows, columns) as one of pixels (H, W)."""
        p = self.original.shape[0] // self.mask.shape[0]
        return patches.repeat(p, 0).repeat(p, 1)

    @cached_property
    def hidden(self) -> np.ndarray:
        """(H, W) bool: the hidden pixels."""
        return self.pixels(self.mask)

    @cached_property
    def masked(self) -> np.ndarray:
        """The picture as the model sees it: hidden patches gray."""
        return np.where(self.hidden[..., None], np.float32(GRAY), self.original)

    @cached_property
    def pasted(self) -> np.ndarray:
        """Visible patches as they are, hidden ones as predicted."""
        return np.where(self.hidden[..., None], self.raw, self.original)

    @property
    def stages(self) -> list[np.ndarray]:
        """Original, masked, raw and pasted."""
        return [self.original, self.masked, self.raw, self.pasted]

    def patch_mse(self) -> np.ndarray:
        """Mean squared error of each patch as predicted: (rows, columns)."""
        rows, columns = self.mask.shape
        error = np.square(self.raw - self.original)
        return error.reshape(rows, len(error) // rows, columns, -1).mean(axis=(1, 3))

    def hidden_patch_rmse(self) -> np.ndarray:
        """Root mean square error of each hidden patch, pixels in [0, 1]: (rows, columns); 0 where visible or missing."""
        scored = self.mask if self.missing is None else self.mask & ~self.missing
        return np.where(scored, np.sqrt(self.patch_mse()), 0.0)

    def scores(self) -> dict[str, dict[str, float]]:
        """PSNR (dB) and SSIM by protocol, with the share of patches that was hidden; a perfect picture has 100 dB.

        `masked`, which scores hidden pixels only, is missing where nothing was hidden. Pixels that nobody knows count
        neither way.
        """
        share = {"mask_ratio": round(float(self.mask.mean()), 4)}
        known = None if self.missing is None else ~self.pixels(self.missing)
        pictures = {"pasted": self.pasted} | ({} if self.oracle is None else {"article": self.oracle})
        found = {}
        for protocol, picture in pictures.items():
            if known is not None:
                picture = np.where(known[..., None], picture, self.original)
            both = {"psnr": psnr(self.original, picture, known), "ssim": ssim(self.original, picture)}
            found[protocol] = both | share
        where = self.hidden if known is None else self.hidden & known
        if where.any():
            found["masked"] = {"psnr": psnr(self.original, self.raw, where), **share}
        return found

    def panel(self) -> Image.Image:
        """Original, masked, raw and pasted beside each other, labelled, with the scores."""
        scores = self.scores()
        pasted = scores["pasted"]
        captions = [f"pasted: {pasted['psnr']:.2f} dB, SSIM {pasted['ssim']:.3f}"]
        captions += [f"{name}: {m['psnr']:.2f} dB" for name, m in scores.items() if name != "pasted"]
        labels = ["original", f"masked, {self.mask.mean():.0%} hidden", "raw prediction", "pasted"]
        return labelled_row(self.stages, labels, "PSNR by protocol   " + "     ".join(captions))

    def __getattr__(self, name: str) -> Any:
        if name == "metrics":
            raise AttributeError("a Reconstruction has no metrics() any more: call scores()")
        raise AttributeError(f"a Reconstruction has no {name!r}")


@names_the_new
@torch.inference_mode()
def reconstruct(
    model: MaskedAutoencoder,
    image: Any,
    masking: float | Masking = 0.75,
    seed: int = 0,
    strategy: str = "random",
    values: Values | None = None,
) -> Reconstruction:
    """Hide patches of a picture and let the model predict them.

    Parameters
    ----------
    image
        A path, bytes, PIL picture, array or tensor (see `maelib.datasets.read_bands`); brought to the model's own size.
    masking
        Who is hidden; a ratio takes the mask of a seed and strategy, see `maelib.strategies`.

    values
        Which values become 0 and 1; by default those of the model's own data, where it was loaded. Of 8-bit pictures these are
        0 and 255; arrays of floating point then lie in [0, 1].

    Raises
    ------
    ImageError
        Not a picture, of another number of bands than the model takes, or of another dtype than its values.
    ValueError
        A masking, ratio, seed or strategy that cannot be.
    """
    c = model.config
    pixels = (
        torch.from_numpy(picture_for(image, c, values or values_of(model)))
        .permute(2, 0, 1)[None]
        .to(model.pixel_mean.device)
    )
    if not isinstance(masking, Masking):
        masking = seeded(c.grid, masking, seed, strategy)
    raw, mask = model.reconstruct(pixels, masking)
    hidden = mask[0].reshape(c.grid).cpu().numpy()
    missing = None if masking.missing is None else masking.missing[0].reshape(c.grid).cpu().numpy()
    result = Reconstruction(_array(pixels), _array(raw), hidden, missing=missing)
    if not has_article_protocol(c):
        return result
    with_oracle, _ = model.reconstruct(pixels, masking, oracle=True)
    pasted = np.where(result.hidden[..., None], _array(with_oracle), result.original)
    return Reconstruction(result.original, result.raw, result.mask, pasted, missing)


def has_article_protocol(config: MAEConfig) -> bool:
    """Whether the protocol `article` applies: a model at 224 pixels with normalised targets."""
    return config.normalize_targets and config.hw == (224, 224)


def values_of(model: MaskedAutoencoder) -> Values | None:
    """Which values became 0 and 1 in the data of a model that was loaded; None where nobody said so."""
    found: Any = getattr(model, "value_range", None)
    return Values(*found) if found else None


def picture_for(image: Any, config: MAEConfig, values: Values | None = None, whole: bool = False) -> np.ndarray:
    """Any picture at the size and with the channels of a model: (H, W, C) float32 in [0, 1]; see `reconstruct`.

    `whole` keeps its own size, but for what is left when it is divided into patches, of which half is cut off on either side.
    """
    if values is None and "float" in str(getattr(image, "dtype", "")):  # in memory, in [0, 1]
        if config.channels in (1, 3):
            image = read_image(image)
        else:
            values = Values(0, 1)
    values = values or EIGHT_BIT
    array = read_bands(image, config.channels)
    name = str(image) if isinstance(image, (str, Path)) else "the picture"
    values.check(array.dtype, name)
    if values == (0, 1, None) and not 0 <= array.min() <= array.max() <= 1:
        raise ImageError(f"{name} has values from {array.min():.4g} to {array.max():.4g}: they must lie in [0, 1]")
    p = config.patch_size
    own = array.shape[0] // p * p, array.shape[1] // p * p
    top, left = (array.shape[0] - own[0]) // 2, (array.shape[1] - own[1]) // 2
    array = array[top : top + own[0], left : left + own[1]] if whole else resize_bands(array, config.hw)
    pixels = torch.from_numpy(np.array(array))
    return values.unit(pixels).numpy()


def typical_and_worst(psnr: np.ndarray, typical: int = 10, worst: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the pictures nearest to the median, and of those with the lowest scores, lowest first; for psnr (n,)."""
    return np.abs(psnr - np.median(psnr)).argsort(kind="stable")[:typical], psnr.argsort(kind="stable")[:worst]


def example_sheet(
    model: MaskedAutoencoder,
    data: PackedImages | np.ndarray,
    psnr: np.ndarray,
    *,
    mask_ratio: float = 0.75,
    seed: int = 0,
    typical: int = 10,
    worst: int = 5,
) -> Image.Image:
    """Ten typical pictures and the five worst, each hidden as when it was scored.

    `psnr` (n,), in dB, is that of `score_pictures` under `masked`, with the same data, mask_ratio and seed.
    """
    packed = PackedImages.of(data)

    def stages(i: int) -> list[np.ndarray]:
        masking = seeded(model.config.grid, mask_ratio, seed, first=i)
        return reconstruct(model, np.array(packed.images[i]), masking, values=packed.values).stages

    chosen = typical_and_worst(psnr, typical, worst)
    titles = (f"typical: nearest to the median of {np.median(psnr):.1f} dB", f"the worst of {len(psnr):,}")
    groups = [
        (title, [(f"no. {i}: {psnr[i]:.1f} dB", stages(i)) for i in found.tolist()])
        for title, found in zip(titles, chosen, strict=True)
    ]
    return labelled_sheets(groups)


def _array(images: Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).cpu().numpy()
