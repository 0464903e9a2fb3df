import torch

from maelib.exercises import check


def loss(pred, target, mask):
    """The loss on normalised targets, on hidden patches alone.

    pred, target: (B, N, P); mask: (B, N) bool, True = hidden. The target
    of each patch is normalised by its own mean and its own variance
    (torch's, of a sample) + 1e-6; pred is not. Returns the mean squared
    error over the values of all hidden patches.
    """
    raise NotImplementedError


check("05.loss", loss)
