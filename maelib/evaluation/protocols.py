"""Protocols: the same weights give very different scores, so every score names how it was obtained."""

import math
import os
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ..datasets import PackedImages
from ..datasets.missing import said_too_few, too_few_known
from ..masking import Masking, pixel_mask
from ..model import MaskedAutoencoder
from ..patches import grid_of
from ..strategies import seeded
from ..training.batches import fit, lost_patches
from .baselines import FILLS, ORACLES, SHIFTED, with_true_statistics
from .metrics import psnr, ssim
from .reconstruction import check_values, has_article_protocol

PROTOCOLS = {
    "article": "visible patches pasted, whole image; hidden patches take their true mean and variance (an oracle)",
    "pasted": "visible patches pasted, whole image; no oracle",
    "masked": "hidden pixels only; no oracle",
}
Scores = dict[str, dict[str, Any]]
PictureScores = dict[str, np.ndarray]  # by protocol: (n, 2), PSNR in dB and SSIM of each picture
Predictor = Callable[[Tensor, Masking, bool], Tensor]  # images, masking, oracle -> pixels of every patch


def protocols_of(model: MaskedAutoencoder) -> list[str]:
    """The protocols that apply to a model: `article` to 224-pixel models with normalised targets only."""
    return [name for name in PROTOCOLS if name != "article" or has_article_protocol(model.config)]


def score_pictures(
    model: MaskedAutoencoder, data: PackedImages | np.ndarray, protocols: Iterable[str] | None = None, *,
    mask_ratio: float = 0.75, seed: int = 0, n: int | None = None, batch_size: int = 64, progress: bool = True,
) -> PictureScores:  # fmt: skip
    """PSNR (dB) and SSIM of every picture, by protocol: `{protocol: (n, 2)}`; NaN where there is none: `masked` has no SSIM,
    nor has a picture smaller than SSIM's window of 7 x 7 pixels.

    Picture i is hidden by mask i of the seed, whatever the size of the batches. Pictures of another size than the
    model's are resized to cover it (bilinear, antialiased) and their middle is scored. One without error counts 100 dB.

    Patches with missing pixels are hidden and not scored, and SSIM counts only windows without any. Pictures with fewer than
    K + 1 known patches have no scores (NaN), and a warning names them.

    Parameters
    ----------
    data
        Packed pictures or (n, H, W, C) uint8.
    n
        The first n pictures only; all where None.

    Raises
    ------
    ValueError
        Unknown protocol, one that does not apply to the model, n out of range, a ratio that hides nothing, data of another
        range than the model's, or no picture with enough known patches.
    """
    packed = PackedImages.of(data)
    check_values(model, packed)
    names = list(protocols or protocols_of(model))
    if "article" in names and not has_article_protocol(model.config):
        raise ValueError("protocol 'article' applies to 224-pixel models with normalised targets only")

    @torch.inference_mode()
    def predict(images: Tensor, masking: Masking, oracle: bool) -> Tensor:
        return model.reconstruct(images.to(model.pixel_mean.device), masking, oracle)[0].cpu()

    c = model.config
    predictors: dict[str, Predictor] = {"model": predict}
    found = _score(
        predictors, packed, names, c.hw, c.patch_size, mask_ratio, seed, n, batch_size, progress, c.pixel_mean
    )
    return found["model"]


def mean_scores(scores: PictureScores, mask_ratio: float = 0.75, seed: int = 0) -> Scores:
    """What `score_pictures` found, averaged, with what it was found on: `{protocol: {psnr, ssim, n, mask_ratio, seed}}`.

    `n` counts the pictures that have scores, and SSIM is the mean of those that have one: without any there is no `ssim`.
    """
    found = {}
    for protocol, by_picture in scores.items():
        known = [column[~np.isnan(column)] for column in by_picture.T]
        means = {
            name: float(column.mean()) for name, column in zip(("psnr", "ssim"), known, strict=True) if len(column)
        }
        found[protocol] = means | {"n": len(known[0]), "mask_ratio": mask_ratio, "seed": seed}
    return found


def evaluate(
    model: MaskedAutoencoder, data: PackedImages | np.ndarray, protocols: Iterable[str] | None = None, *,
    mask_ratio: float = 0.75, seed: int = 0, n: int | None = None, batch_size: int = 64, progress: bool = True,
) -> Scores:  # fmt: skip
    """Mean PSNR (dB) and SSIM over pictures, by protocol: `{protocol: {psnr, ssim, n, mask_ratio, seed}}`; `masked` has
    no ssim. Scores are of each picture, then their mean; see `score_pictures` and `mean_scores`.
    """
    scores = score_pictures(
        model, data, protocols, mask_ratio=mask_ratio, seed=seed, n=n, batch_size=batch_size, progress=progress
    )
    return mean_scores(scores, mask_ratio, seed)


def evaluate_baselines(
    data: PackedImages | np.ndarray, image_size: int | tuple[int, int] = 64, patch_size: int = 4,
    protocols: Iterable[str] = ("pasted", "masked"), fills: Iterable[str] | None = None, *,
    mask_ratio: float = 0.75, seed: int = 0, n: int | None = None, batch_size: int = 64, progress: bool = True,
) -> dict[str, Scores]:  # fmt: skip
    """The same scores for the fills that learn nothing, on the same masks: `{fill: {protocol: {...}}}`; see `evaluate`.

    Under `article` a fill gets the oracle that the model gets: its patches take the true means and deviations. By default all
    of `FILLS`, and with `article` those of `SHIFTED`.
    """
    hw = (image_size, image_size) if isinstance(image_size, int) else image_size
    grid, protocols, known = grid_of(hw, patch_size), list(protocols), FILLS | SHIFTED
    if fills is None:
        fills = known if "article" in protocols else FILLS

    def predictor(fill: str) -> Predictor:
        if fill not in known:
            raise ValueError(f"fill must be one of {', '.join(known)}, got {fill!r}")

        def predict(images: Tensor, masking: Masking, oracle: bool) -> Tensor:
            filled = known[fill](images, (~pixel_mask(masking.mask, patch_size, grid)).float(), patch_size)
            return with_true_statistics(filled, images, patch_size) if oracle and fill not in ORACLES else filled

        return predict

    predictors = {fill: predictor(fill) for fill in fills}
    found = _score(predictors, data, protocols, hw, patch_size, mask_ratio, seed, n, batch_size, progress)
    return {fill: mean_scores(scores, mask_ratio, seed) for fill, scores in found.items()}


def _score(
    predictors: dict[str, Predictor], data: PackedImages | np.ndarray, protocols: list[str], hw: tuple[int, int],
    patch_size: int, mask_ratio: float, seed: int, n: int | None, batch_size: int, progress: bool,
    pixel_mean: float | tuple[float, ...] = 0.0,
) -> dict[str, PictureScores]:  # fmt: skip
    """One path for models and baselines: the same pictures, the same masks, the same metrics."""
    if unknown := set(protocols) - PROTOCOLS.keys():
        raise ValueError(f"protocol must be one of {', '.join(PROTOCOLS)}, got {', '.join(sorted(unknown))}")
    data = PackedImages.of(data)
    n = len(data) if n is None else n
    if not 0 < mask_ratio < 1:
        raise ValueError(f"mask_ratio must be in (0, 1) to measure what was hidden, got {mask_ratio}")
    if not 1 <= n <= len(data):
        raise ValueError(f"n must be from 1 to the {len(data)} pictures of the data, got {n}")
    grid = grid_of(hw, patch_size)
    if seeded(grid, mask_ratio).hidden.shape[1] == 0:
        raise ValueError(f"mask_ratio {mask_ratio} hides none of the patches: there is nothing to measure")
    scores: dict[str, PictureScores] = {name: {p: np.full((n, 2), np.nan) for p in protocols} for name in predictors}
    left_out: list[int] = []
    bar = tqdm(total=n, desc="evaluating", unit="image", disable=None if progress else True)
    with bar, ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, n, batch_size):
            ids = np.arange(start, min(start + batch_size, n))
            images, known = fit(data.unit(ids, pixel_mean), hw), None
            lost = lost_patches(data, ids, hw, patch_size)
            masking = seeded(grid, mask_ratio, seed, batch=len(ids), first=start, missing=lost)
            if lost is not None:
                short = too_few_known(lost, mask_ratio)
                left_out += ids[short.numpy()].tolist()
                ids, images, lost = ids[~short.numpy()], images[~short], lost[~short]
                masking = Masking(masking.visible[~short], masking.hidden[~short], lost)
                known = ~pixel_mask(lost, patch_size, grid)
            bar.update(min(batch_size, n - start))
            if not len(ids):
                continue
            hidden = pixel_mask(masking.mask, patch_size, grid)
            scored = hidden if known is None else hidden & known
            for name, predict in predictors.items():
                outputs = {
                    oracle: predict(images, masking, oracle).clamp(0, 1)
                    for oracle in {p == "article" for p in protocols}
                }
                for protocol in protocols:
                    raw = outputs[protocol == "article"]
                    pasted = torch.where(hidden, raw, images)
                    masked = protocol == "masked"
                    where = scored if masked else known
                    every = [None] * len(ids) if where is None else where[:, 0].numpy()
                    pairs = zip(_channels_last(images), _channels_last(pasted), every, strict=True)
                    scores[name][protocol][ids] = list(
                        pool.map(_psnr if masked else _psnr_and_ssim, *zip(*pairs, strict=True))
                    )
    if left_out:
        said = said_too_few(len(left_out), n, data.where(left_out[0]), math.prod(grid), mask_ratio, data.what)
        if len(left_out) == n:
            raise ValueError(f"{said}, so there is nothing to measure: check the nodata value, or raise mask_ratio")
        warnings.warn(f"{said}: left out of the scores", stacklevel=1)  # of one place: said once for model and fills
    return scores


def _psnr_and_ssim(original: np.ndarray, other: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """PSNR and SSIM of one picture."""
    return np.array([psnr(original, other, known), ssim(original, other, known)])


def _psnr(original: np.ndarray, other: np.ndarray, where: np.ndarray) -> np.ndarray:
    """PSNR alone: SSIM has no meaning on scattered pixels."""
    return np.array([psnr(original, other, where), np.nan])


def _channels_last(images: Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).contiguous().numpy()
