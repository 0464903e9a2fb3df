"""07.epochs: a solution."""

import math


def epochs_that_fit(minutes, pictures, per_second, start, save):
    left = 60 * minutes - start
    return max(0, math.floor(left / (pictures / per_second + save)))
