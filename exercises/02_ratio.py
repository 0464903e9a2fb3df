import torch

from maelib.exercises import check


def hide(noise, ratio):
    """Hide patches by their noise.

    noise: (B, N), a number for each patch; ratio: the share to hide.
    Returns visible (B, K), hidden (B, M), restore (B, N): indices, the
    first two each from low to high. The K = int(N (1 - ratio)) patches
    of lowest noise are visible, at least one. restore says where each
    patch stands in [visible, hidden].
    """
    raise NotImplementedError


check("02.ratio", hide)
