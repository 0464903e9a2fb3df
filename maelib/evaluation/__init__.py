"""Evaluation: reconstructions, metrics with their protocols, baselines (chapter 08)."""

from .baselines import FILLS
from .examples import example_sheet, typical_and_worst
from .metrics import psnr, ssim
from .panel import contact_sheet
from .protocols import PROTOCOLS, evaluate, evaluate_baselines, mean_scores, protocols_of, score_pictures
from .reconstruction import Reconstruction, reconstruct

__all__ = [
    "FILLS", "PROTOCOLS", "Reconstruction", "contact_sheet", "evaluate", "evaluate_baselines", "example_sheet",
    "mean_scores", "protocols_of", "psnr", "reconstruct", "score_pictures", "ssim",
    "typical_and_worst",
]  # fmt: skip
