"""The decoder: latents and mask tokens to patches (chapter 04)."""

import torch
from torch import Tensor, nn

from .masking import Masking, gather_tokens
from .positions import sincos_2d
from .transformer import Block


class Decoder(nn.Module):
    """Latents (B, 1 + K, D) to what every patch may be: (B, N, P) values, in the order [visible, hidden].

    Every hidden patch enters as the same mask token; its position alone tells it apart. Attention does not care about
    the order of its tokens, so none is restored: each token carries its position along.
    """

    positions: Tensor  # (1 + N, decoder width), fixed; row 0 belongs to the class token

    def __init__(
        self,
        latent: int,
        patch_dim: int,
        grid: tuple[int, int],
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float,
        norm_eps: float = 1e-6,
    ):
        super().__init__()
        self.embed = nn.Linear(latent, width)
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.register_buffer("positions", torch.cat([torch.zeros(1, width), sincos_2d(grid, width)]))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, norm_eps)
        self.head = nn.Linear(width, patch_dim)

    def forward(self, latents: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        x = self.embed(latents)  # (B, 1 + K, D')
        seen = x[:, 1:] + self.positions[1:][visible]  # (B, K, D')
        unseen = self.mask_token + self.positions[1:][hidden]  # (B, M, D')
        x = torch.cat([x[:, :1] + self.positions[0], seen, unseen], dim=1)  # (B, 1 + N, D')
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, 1:]))

    def hidden_patches(self, latents: Tensor, masking: Masking) -> Tensor:
        """The hidden patches as predicted, in raster order: (B, M, P)."""
        return self(latents, masking.visible, masking.hidden)[:, masking.visible.shape[1] :]

    def all_patches(self, latents: Tensor, masking: Masking) -> Tensor:
        """Every patch as predicted, visible ones too, in raster order: (B, N, P)."""
        return gather_tokens(self(latents, masking.visible, masking.hidden), masking.restore)
