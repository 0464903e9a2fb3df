"""PSNR and SSIM of one picture, by scikit-image, which takes a second to import: whoever only trains does not wait for it."""

import numpy as np

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


def ssim(original: np.ndarray, other: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004) of pictures (H, W, C) in [0, 1]; 7 x 7 windows, mean over channels."""
    from skimage.metrics import structural_similarity

    return float(structural_similarity(original, other, data_range=1.0, channel_axis=-1, win_size=7))
