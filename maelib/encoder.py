"""The encoder: a vision transformer that sees the visible patches only (chapter 03)."""

import torch
from torch import Tensor, nn

from .masking import gather_tokens
from .positions import sincos_2d
from .transformer import Block


class Encoder(nn.Module):
    """Patches (B, N, P) and indices of the visible ones (B, K) to latents (B, 1 + K, D); token 0 is the class token."""

    positions: Tensor  # (1 + N, D), fixed; row 0 belongs to the class token

    def __init__(
        self,
        patch_dim: int,
        grid: tuple[int, int],
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        norm_eps: float = 1e-6,
    ):
        super().__init__()
        self.embed = nn.Linear(patch_dim, width)  # the same map as a convolution with stride p
        self.class_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.register_buffer("positions", torch.cat([torch.zeros(1, width), sincos_2d(grid, width)]))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, norm_eps)

    def forward(self, patches: Tensor, visible: Tensor) -> Tensor:
        tokens = self.embed(gather_tokens(patches, visible)) + self.positions[1:][visible]  # (B, K, D)
        first = (self.class_token + self.positions[0]).expand(tokens.shape[0], 1, -1)
        x = torch.cat([first, tokens], dim=1)  # (B, 1 + K, D)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)
