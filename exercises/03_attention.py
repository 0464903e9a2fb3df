import torch

from maelib.exercises import check


def attention(q, k, v, known):
    """Attention of one head, in which some keys are unknown.

    q: (Q, d); k: (L, d); v: (L, D); known: (L,) bool, at least one True.
    Returns (Q, D): for each query the mean of the known values, weighted
    by the softmax of q k^T / sqrt(d) over the known keys. Scores may be
    as large as 1000.
    """
    raise NotImplementedError


check("03.attention", attention)
