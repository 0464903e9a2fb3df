"""The pictures behind a mean: the ones nearest to the median, and the worst."""

import numpy as np
from PIL import Image

from ..datasets import PackedImages
from ..model import MaskedAutoencoder
from ..strategies import seeded
from .panel import labelled_sheets
from .reconstruction import Reconstruction, reconstruct


def typical_and_worst(psnr: np.ndarray, typical: int = 10, worst: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the pictures nearest to the median, and of those with the lowest figures, lowest first; for psnr (n,)."""
    return np.abs(psnr - np.median(psnr)).argsort(kind="stable")[:typical], psnr.argsort(kind="stable")[:worst]


def example_sheet(
    model: MaskedAutoencoder, data: PackedImages | np.ndarray, psnr: np.ndarray, *, mask_ratio: float = 0.75,
    seed: int = 0, typical: int = 10, worst: int = 5,
) -> Image.Image:  # fmt: skip
    """Ten typical pictures and the five worst, each hidden as when it was scored.

    `psnr` (n,), in dB, is that of `score_pictures` under `masked`, with the same data, mask_ratio and seed.
    """
    pixels = data.images if isinstance(data, PackedImages) else data

    def again(i: int) -> Reconstruction:
        return reconstruct(model, np.array(pixels[i]), seeded(model.config.grid, mask_ratio, seed, first=i))

    chosen = typical_and_worst(psnr, typical, worst)
    titles = (f"typical: nearest to the median of {np.median(psnr):.1f} dB", f"the worst of {len(psnr):,}")
    groups = [
        (title, [(f"no. {i}: {psnr[i]:.1f} dB", again(i)) for i in found.tolist()])
        for title, found in zip(titles, chosen, strict=True)
    ]
    return labelled_sheets(groups)
