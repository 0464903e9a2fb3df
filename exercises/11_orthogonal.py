import torch

from maelib.exercises import check


def orthogonalise(matrix):
    """The step that Muon takes, by products of matrices alone.

    matrix: (m, n), any scale. Returns U V^T of its singular value
    decomposition U S V^T, to within 0.02. Divide by the norm of all
    numbers, so that no singular value is above 1. Then repeat
    X = 1.5 X - 0.5 X X^T X: it keeps U and V, and takes each singular
    value s to 1.5 s - 0.5 s^3, nearer to 1.
    """
    raise NotImplementedError


check("11.orthogonal", orthogonalise)
