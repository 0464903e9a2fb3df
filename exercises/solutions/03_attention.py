"""03.attention: a solution."""

import torch


def attention(q, k, v, known):
    scores = q @ k.T / q.shape[1] ** 0.5
    scores = scores.masked_fill(~known, -torch.inf)
    return scores.softmax(dim=1) @ v
