"""02.ratio: a solution."""

import torch


def hide(noise, ratio):
    keep = max(1, int(noise.shape[1] * (1 - ratio)))
    order = noise.argsort(dim=1)
    visible = order[:, :keep].sort(dim=1).values
    hidden = order[:, keep:].sort(dim=1).values
    restore = torch.cat([visible, hidden], dim=1).argsort(dim=1)
    return visible, hidden, restore
