"""Evaluation: reconstructions, scores with their protocols, baselines (chapter 08)."""

from .baselines import FILLS
from .metrics import psnr, ssim
from .mosaic import reconstruct_tiles
from .protocols import PROTOCOLS, evaluate, evaluate_baselines, mean_scores, protocols_of, score_pictures
from .reconstruction import Reconstruction, example_sheet, reconstruct, typical_and_worst

__all__ = [
    "FILLS", "PROTOCOLS", "Reconstruction", "evaluate", "evaluate_baselines", "example_sheet", "mean_scores",
    "protocols_of", "psnr", "reconstruct", "reconstruct_tiles", "score_pictures", "ssim", "typical_and_worst",
]  # fmt: skip
