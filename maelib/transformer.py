"""The transformer block: attention, MLP, residual connections (chapter 03)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2): each query takes a weighted mean of the values.

    Queries come from `x` (B, Q, D), keys and values from `context` (B, L, D); returns (B, Q, D).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q = self.query(x).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, h, Q, d)
        kv = self.key_value(context).unflatten(2, (2, self.heads, -1))
        k, v = kv.permute(2, 0, 3, 1, 4)  # (B, h, L, d) each
        mixed = attend(q, k, v)  # (B, h, Q, d)
        return self.output(mixed.transpose(1, 2).flatten(2))


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v for each head: (B, h, Q, d), (B, h, L, d), (B, h, L, d) -> (B, h, Q, d)."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v)
    # Written out: on a CPU the fused kernel is the slower one for sequences as short as ours.
    with torch.autocast("cpu", enabled=False):  # softmax stays in bf16, which halves its passes over memory
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)  # (B, h, Q, L)
        return scores.softmax(dim=-1) @ v


class MLP(nn.Sequential):
    """Two linear layers with a GELU between them, on every token alone: (B, L, D) -> (B, L, D)."""

    def __init__(self, width: int, hidden: int):
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class Block(nn.Module):
    """A pre-norm transformer block (Dosovitskiy et al. 2021, equations 2 and 3): (B, L, D) -> (B, Q, D).

    `outputs` names the tokens whose result is wanted, `sources` those that serve as keys and values; nothing else is
    computed.
    """

    def __init__(self, width: int, heads: int, mlp_ratio: float, norm_eps: float = 1e-6):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, norm_eps)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, norm_eps)
        self.mlp = MLP(width, int(width * mlp_ratio))

    def forward(self, x: Tensor, outputs: slice = slice(None), sources: slice = slice(None)) -> Tensor:
        context = self.norm1(x)
        x = x[:, outputs] + self.attention(context[:, outputs], context[:, sources])
        return x + self.mlp(self.norm2(x))


def initialize(module: nn.Module) -> None:
    """Xavier-uniform matrices and zero biases, to be used as `model.apply(initialize)` (He et al. 2022, appendix A.1)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
