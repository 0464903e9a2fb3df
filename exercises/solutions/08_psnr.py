"""08.psnr: a solution."""

import numpy as np


def score(original, guess, hidden, protocol):
    error = (np.clip(guess, 0, 1) - original) ** 2
    if protocol == "masked":
        mse = error[hidden].mean()
    else:
        mse = (error * hidden[..., None]).mean()
    return -10 * np.log10(mse)
