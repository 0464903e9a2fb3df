import numpy as np

from maelib.exercises import check


def lead(model, average):
    """The mean lead of the model, and its standard error.

    model, average: (n,) PSNR in dB; number i of both is measured on the
    same picture under the same mask. Returns two numbers in dB. The
    spread is that of a sample: its sum is divided by n - 1.
    """
    raise NotImplementedError


check("09.lead", lead)
