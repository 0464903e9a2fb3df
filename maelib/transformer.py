"""The transformer block: attention, MLP, residual connections (chapter 03)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(d)) v for each head: (B, h, Q, d), (B, h, L, d), (B, h, L, d) -> (B, h, Q, d)."""
    if q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v)
    # Written out: on a CPU the fused kernel is the slower one for sequences as short as ours.
    with torch.autocast("cpu", enabled=False):  # softmax stays in bf16, which halves its passes over memory
        scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)  # (B, h, Q, L)
        return scores.softmax(dim=-1) @ v


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2): (B, L, D) -> (B, L, D)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x).unflatten(2, (3, self.heads, -1))  # (B, L, 3, h, d)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, h, L, d) each
        mixed = attend(q, k, v)
        return self.output(mixed.transpose(1, 2).flatten(2))


class MLP(nn.Sequential):
    """Two linear layers with a GELU between them, on every token alone: (B, L, D) -> (B, L, D)."""

    def __init__(self, width: int, hidden: int):
        super().__init__(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class Block(nn.Module):
    """A pre-norm transformer block (Dosovitskiy et al. 2021, equations 2 and 3): (B, L, D) -> (B, L, D)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, norm_eps: float = 1e-6):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, norm_eps)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, norm_eps)
        self.mlp = MLP(width, int(width * mlp_ratio))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def initialize(module: nn.Module) -> None:
    """Xavier-uniform matrices and zero biases, to be used as `model.apply(initialize)` (He et al. 2022, appendix A.1)."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
