"""PSNR and SSIM of one picture, by scikit-image, which takes a second to import: whoever only trains does not wait for it."""

from typing import Any

import numpy as np

WINDOW = 7  # pixels, of SSIM
PERFECT_PSNR = 100.0  # dB, reported for a picture without any error, so that means and JSON stay finite


def psnr(original: np.ndarray, other: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB of pictures (H, W, C) in [0, 1]; `where` (H, W) bool scores those pixels only.

    At most 100 dB, which stands for no error at all.
    """
    from skimage.metrics import peak_signal_noise_ratio

    if where is not None:
        original, other = original[where], other[where]
    if original.size == 0 or np.square(original - other).mean(dtype=np.float64) < 10 ** (-PERFECT_PSNR / 10):
        return PERFECT_PSNR
    return float(peak_signal_noise_ratio(original, other, data_range=1.0))


def decibels(psnr: float) -> str:
    """A PSNR in words, with what 100 dB stand for."""
    return f"{psnr:.2f} dB" + (" (no error)" if psnr >= PERFECT_PSNR else "")


def ssim(original: np.ndarray, other: np.ndarray, known: np.ndarray | None = None) -> float:
    """Structural similarity (Wang et al. 2004) of pictures (H, W, C) in [0, 1]; 7 x 7 windows, mean over channels.

    With `known` (H, W) bool it is the mean over the windows in which every pixel is. NaN where there is no window: the picture
    is smaller, or has no such place.
    """
    from skimage.metrics import structural_similarity

    if min(original.shape[:2]) < WINDOW:
        return float("nan")
    options: Any = {"data_range": 1.0, "channel_axis": -1, "win_size": WINDOW}
    if known is None:
        return float(structural_similarity(original, other, **options))
    whole = np.lib.stride_tricks.sliding_window_view(known, (WINDOW, WINDOW)).all(axis=(2, 3))
    if not whole.any():
        return float("nan")
    similarity = structural_similarity(original, other, full=True, **options)[1]
    rim = WINDOW // 2
    return float(similarity[rim:-rim, rim:-rim][whole].mean(dtype=np.float64))
