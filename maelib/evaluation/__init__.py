"""Evaluation: reconstructions, metrics with their protocols, baselines (chapter 08)."""

from .baselines import FILLS
from .metrics import psnr, ssim
from .panel import contact_sheet
from .protocols import PROTOCOLS, evaluate, evaluate_baselines, protocols_of
from .reconstruction import Reconstruction, reconstruct, reconstruct_batch

__all__ = [
    "FILLS", "PROTOCOLS", "Reconstruction", "contact_sheet", "evaluate", "evaluate_baselines", "protocols_of", "psnr",
    "reconstruct", "reconstruct_batch", "ssim",
]  # fmt: skip
