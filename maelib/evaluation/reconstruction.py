"""A picture, most of it hidden, and what the model makes of the rest."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config import MAEConfig
from ..datasets import ImageError, PackedImages, Values, read_bands, read_image
from ..datasets.bands import EIGHT_BIT, resize_bands
from ..datasets.missing import Nodata, fill_missing, masked, missing_of, missing_patches, said_too_few, too_few_known
from ..drawing import Look, bands_shown, hatched, labelled_row, labelled_sheets, to_uint8
from ..masking import Masking
from ..model import MaskedAutoencoder
from ..renamed import names_the_new
from ..strategies import seeded
from ..training.batches import lost_patches
from .metrics import decibels, psnr, ssim

GRAY = 0.5  # what hidden patches are shown as
FOUND = "nan"  # as nodata: of packed pictures it is known what is missing, a value that equals it is a value


@dataclass(frozen=True)
class Reconstruction:
    """One picture and what became of it.

    `original`, `masked`, `raw` (what the model predicts for every patch) and `pasted` (predicted only where it was
    hidden) are (H, W, C) float32 in [0, 1]; `mask` is (rows, columns) bool, True = hidden. `oracle`, for models that
    have the protocol `article`, is pasted with the true statistics of each patch. `missing`, (rows, columns) bool or
    None, marks patches with pixels that nobody knows: hidden, and not scored. `look` says how it is shown; None is as a
    photograph.
    """

    original: np.ndarray
    raw: np.ndarray
    mask: np.ndarray
    oracle: np.ndarray | None = None
    missing: np.ndarray | None = None
    look: Look | None = None

    def pixels(self, patches: np.ndarray) -> np.ndarray:
        """A map of patches (rows, columns) as one of pixels (H, W)."""
        p = self.original.shape[0] // self.mask.shape[0]
        return patches.repeat(p, 0).repeat(p, 1)

    @cached_property
    def hidden(self) -> np.ndarray:
        """(H, W) bool: the hidden pixels."""
        return self.pixels(self.mask)

    @property
    def known(self) -> np.ndarray | None:
        """(H, W) bool: the pixels of patches that are known; None where all are."""
        return None if self.missing is None else ~self.pixels(self.missing)

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

    @property
    def shown(self) -> dict[str, np.ndarray]:
        """The four of `stages` by name as pictures for the eye, (H, W, 3) uint8, all by the look of the original, hatched where
        nobody knows what was there."""
        names = ("original", "masked", "raw", "pasted")
        pictures = {name: to_uint8(getattr(self, name), self.look) for name in names}
        pictures["masked"][self.hidden] = round(255 * GRAY)  # whatever the look
        if self.known is None:
            return pictures
        return {name: hatched(picture, ~self.known) for name, picture in pictures.items()}

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

        `masked`, which scores hidden pixels only, is left out where nothing was hidden, and SSIM where the picture has no
        window of 7 x 7 known pixels. Patches that nobody knows count neither way.
        """
        share = {"mask_ratio": round(float(self.mask.mean()), 4)}
        known = self.known
        pictures = {"pasted": self.pasted} | ({} if self.oracle is None else {"article": self.oracle})
        found = {}
        for protocol, picture in pictures.items():
            found[protocol] = {"psnr": psnr(self.original, picture, known)}
            if not np.isnan(similarity := ssim(self.original, picture, known)):
                found[protocol]["ssim"] = similarity
            found[protocol] |= share
        where = self.hidden if known is None else self.hidden & known
        if where.any():
            found["masked"] = {"psnr": psnr(self.original, self.raw, where), **share}
        return found

    def panel(self) -> Image.Image:
        """Original, masked, raw and pasted beside each other, labelled, with the scores."""
        scores = self.scores()
        pasted = scores["pasted"]
        captions = [
            f"pasted: {decibels(pasted['psnr'])}" + (f", SSIM {pasted['ssim']:.3f}" if "ssim" in pasted else "")
        ]
        captions += [f"{name}: {decibels(m['psnr'])}" for name, m in scores.items() if name != "pasted"]
        if self.missing is not None:
            captions.append(f"hatched: {self.missing.mean():.0%} not known")
        labels = ["original", f"masked, {self.mask.mean():.0%} hidden", "raw prediction", "pasted"]
        below = "PSNR by protocol   " + "     ".join(captions)
        if self.look:
            below += f"\nShown: {self.look.words}"
        return labelled_row(list(self.shown.values()), labels, below)

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
    bands: Sequence[int] = (),
    nodata: Nodata | None = None,
) -> Reconstruction:
    """Hide patches of a picture and let the model predict them.

    Pixels that are not known (NaN, `nodata`, alpha 0 of a TIFF, masked in a masked array) hide their patches and are not
    scored.

    Parameters
    ----------
    image
        A path, bytes, PIL picture, array or tensor (see `maelib.datasets.read_bands`); brought to the model's own size.
    masking
        Who is hidden; a ratio takes the mask of a seed and strategy, see `maelib.strategies`.
    values
        Which values become 0 and 1; by default those of the model's own data, where it was loaded. Of 8-bit pictures these are
        0 and 255; arrays of floating point then lie in [0, 1].
    bands
        Which bands are shown as red, green and blue, or one as gray, counted from 1. If left out, the first three, or the
        first of one or two.
    nodata
        The value that means "not known"; by default that of the model's own data, else the file's own (GDAL_NODATA).

    Raises
    ------
    ImageError
        Not a picture, of another number of bands than the model takes, or of another dtype than its values; or without a
        pixel that is known.
    ValueError
        A masking, ratio, seed, strategy or bands that cannot be, or a ratio for which too few patches are known.
    """
    c, values = model.config, values or values_of(model)
    picture = picture_for(image, c, values, nodata_of(model) if nodata is None else nodata)
    pixels = torch.from_numpy(np.ma.getdata(picture)).permute(2, 0, 1)[None].to(model.pixel_mean.device)
    lost = None
    if (holes := missing_of(picture)) is not None:
        lost = missing_patches(torch.from_numpy(holes)[None, None], c.patch_size)
    if isinstance(masking, Masking):
        if lost is not None:
            lost = lost if masking.missing is None else lost | masking.missing.cpu()
            masking = Masking.from_mask(masking.mask.cpu(), lost)
    else:
        masking = seeded(c.grid, masking_ratio := masking, seed, strategy, missing=lost)
        if lost is not None and too_few_known(lost, masking_ratio).any():
            said = said_too_few(1, 1, "the given one", lost.shape[1], masking_ratio)
            raise ValueError(f"{said}: hide more, or choose another")
    raw, mask = model.reconstruct(pixels, masking)
    hidden = mask[0].reshape(c.grid).cpu().numpy()
    missing = None if masking.missing is None else masking.missing[0].reshape(c.grid).cpu().numpy()
    result = Reconstruction(_array(pixels), _array(raw), hidden, missing=missing)
    known = None if missing is None else ~result.pixels(missing)
    result = replace(result, look=look_of(result.original, values, bands, known))
    if not has_article_protocol(c):
        return result
    with_oracle, _ = model.reconstruct(pixels, masking, oracle=True)
    pasted = np.where(result.hidden[..., None], _array(with_oracle), result.original)
    return replace(result, oracle=pasted)


def has_article_protocol(config: MAEConfig) -> bool:
    """Whether the protocol `article` applies: a model at 224 pixels with normalised targets."""
    return config.normalize_targets and config.hw == (224, 224)


def look_of(
    picture: np.ndarray, values: Values | None, bands: Sequence[int] = (), known: np.ndarray | None = None
) -> Look | None:
    """How a picture (H, W, C) is shown: a photograph, of 8 bits and of one or three bands, is not stretched."""
    if photographs(picture.shape[2], values):
        return Look(bands_shown(picture.shape[2], bands)) if bands else None
    return Look.of(picture, bands, known)


def photographs(channels: int, values: Values | None) -> bool:
    """Whether pictures are 8-bit gray or colour, which every screen shows as they are."""
    return channels in (1, 3) and (values is None or values in (EIGHT_BIT, EIGHT_BIT._replace(dtype=None)))


def values_of(model: MaskedAutoencoder) -> Values | None:
    """Which values became 0 and 1 in the data of a model that was loaded; None where nobody said so."""
    found: Any = getattr(model, "value_range", None)
    return Values(*found[:3]) if found else None


def nodata_of(model: MaskedAutoencoder) -> Nodata | None:
    """The value that meant "not known" in the data of a model that was loaded; None where none was stated."""
    found: Any = getattr(model, "value_range", None) or ()
    return found[3] if len(found) > 3 else None


def check_values(model: MaskedAutoencoder, data: PackedImages) -> None:
    """ValueError where data was opened with another range than that of a model which knows its own (`value_range`)."""
    if not hasattr(model, "value_range"):
        return
    own = values_of(model) or EIGHT_BIT
    own.check(data.images.dtype, data.name)
    if own[:2] != data.values[:2]:
        pairs = [f"{low:g} to {high:g}" for low, high, *_ in (data.values, own)]
        raise ValueError(
            f"{data.name} was opened with {pairs[0]} as 0 to 1, the model's data with {pairs[1]}: open it with value_range="
            f"({own.low!r}, {own.high!r}), or set model.value_range to what the model should take"
        )


def picture_for(
    image: Any, config: MAEConfig, values: Values | None = None, nodata: Nodata | None = None, whole: bool = False
) -> np.ndarray:
    """Any picture at the size and with the channels of a model: (H, W, C) float32 in [0, 1]; see `reconstruct`.

    Where pixels are not known it is a masked array, and under the mask lies the model's `pixel_mean`. `whole` keeps its own
    size, but for what is left when it is divided into patches, of which half is cut off on either side.
    """
    unit = False
    if values is None and "float" in str(getattr(image, "dtype", "")):  # in memory, in [0, 1]
        known = nodata is None and not np.ma.isMaskedArray(image) and not (image != image).any()
        if config.channels in (1, 3) and known:
            image = read_image(image)
        else:
            values, unit = Values(0, 1), True
    values = values or EIGHT_BIT
    name = str(image) if isinstance(image, (str, Path)) else "the picture"
    array = read_bands(image, config.channels, name, nodata=nodata, values=values)
    missing = missing_of(array)
    if missing is not None and missing.all():
        raise ImageError(f"{name} has no pixel that is known: check the nodata value, or choose another")
    if unit and not 0 <= array.min() <= array.max() <= 1:
        raise ImageError(f"{name} has values from {array.min():.4g} to {array.max():.4g}: they must lie in [0, 1]")
    p = config.patch_size
    own = array.shape[0] // p * p, array.shape[1] // p * p
    top, left = (array.shape[0] - own[0]) // 2, (array.shape[1] - own[1]) // 2
    array = array[top : top + own[0], left : left + own[1]] if whole else resize_bands(array, config.hw)
    pixels = values.unit(torch.from_numpy(np.array(np.ma.getdata(array))))
    if (missing := missing_of(array)) is None:
        return pixels.numpy()
    holes = torch.from_numpy(missing)[None, None]
    pixels = fill_missing(pixels.permute(2, 0, 1)[None], holes, config.pixel_mean)[0].permute(1, 2, 0)
    return masked(pixels.numpy(), missing)


def first_usable(data: PackedImages, config: MAEConfig, mask_ratio: float, count: int) -> list[int]:
    """Numbers of the first pictures that have enough known patches for a mask ratio."""
    if data.missing is None:
        return list(range(min(count, len(data))))
    lost: Iterator[Any] = (lost_patches(data, [i], config.hw, config.patch_size) for i in range(len(data)))
    return list(islice((i for i, one in enumerate(lost) if not too_few_known(one, mask_ratio).any()), count))


def typical_and_worst(psnr: np.ndarray, typical: int = 10, worst: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the pictures nearest to the median, and of those with the lowest scores, lowest first; for psnr (n,).

    Pictures without a score (NaN) are left out.
    """
    typically, lowest = (
        by.argsort(kind="stable") for by in (np.abs(psnr - np.nanmedian(psnr)), psnr)
    )  # NaN comes last
    count = int((~np.isnan(psnr)).sum())
    return typically[: min(typical, count)], lowest[: min(worst, count)]


def example_sheet(
    model: MaskedAutoencoder,
    data: PackedImages | np.ndarray,
    psnr: np.ndarray,
    *,
    mask_ratio: float = 0.75,
    seed: int = 0,
    typical: int = 10,
    worst: int = 5,
    bands: Sequence[int] = (),
) -> Image.Image:
    """Ten typical pictures and the five worst, each hidden as when it was scored; `bands` as in `reconstruct`.

    `psnr` (n,), in dB, is that of `score_pictures` under `masked`, with the same data, mask_ratio and seed.
    """
    packed, c = PackedImages.of(data), model.config

    def stages(i: int) -> list[np.ndarray]:
        masking = seeded(c.grid, mask_ratio, seed, first=i, missing=lost_patches(packed, [i], c.hw, c.patch_size))
        found = reconstruct(model, packed.picture(i), masking, values=packed.values, bands=bands, nodata=FOUND)
        return list(found.shown.values())

    chosen = typical_and_worst(psnr, typical, worst)
    titles = (
        f"typical: nearest to the median of {np.nanmedian(psnr):.1f} dB",
        f"the worst of {(~np.isnan(psnr)).sum():,}",
    )
    groups = [
        (title, [(f"{packed.label(i)}{psnr[i]:.1f} dB", stages(i)) for i in found.tolist()])
        for title, found in zip(titles, chosen, strict=True)
    ]
    return labelled_sheets(groups)


def _array(images: Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).cpu().numpy()
