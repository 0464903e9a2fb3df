"""The encoder: a vision transformer that sees the visible patches only (chapter 03)."""

import torch
from torch import Tensor, nn

from .patches import PatchEmbed, gather_tokens
from .positions import sincos_2d
from .transformer import Block


class Encoder(nn.Module):
    """Patches and their indices to latents: (B, K, P) and (B, K) -> (B, 1 + K, D); token 0 is the class token."""

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
        self.embed = PatchEmbed(patch_dim, width)
        self.class_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.register_buffer("positions", torch.cat([torch.zeros(1, width), sincos_2d(grid, width)]))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, norm_eps)

    def forward(self, patches: Tensor, ids: Tensor, positions: Tensor, outputs: slice = slice(None)) -> Tensor:
        tokens = self.embed(patches) + gather_tokens(positions[1:], ids)  # (B, K, D)
        first = (self.class_token + positions[0]).expand(len(tokens), 1, -1)
        x = torch.cat([first, tokens], dim=1)  # (B, 1 + K, D)
        for block in self.blocks[:-1]:
            x = block(x)
        x = self.blocks[-1](x, outputs)
        return self.norm(x)
