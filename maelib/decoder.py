"""The decoder: latents and mask tokens to pixels (chapter 04)."""

import torch
from torch import Tensor, nn

from .patches import gather_tokens
from .positions import sincos_2d
from .transformer import Block


class Decoder(nn.Module):
    """Latents of the visible patches to the pixels of the hidden ones: (B, 1 + K, D) -> (B, M, P).

    Every hidden patch enters as the same mask token; its position alone tells it apart. Attention does not care about
    the order of its tokens, so none is restored: each token carries its position along. With `everything=True` the
    visible patches are predicted too, in the order [visible, hidden]: (B, K + M, P).

    With `cross=True` every predicted token looks at the visible ones only, which stay as the encoder left them
    (cross-attention, after Fu et al. 2024, CrossMAE): cheaper, and no prediction depends on what else is asked for.
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
        cross: bool = False,
    ):
        super().__init__()
        self.cross = cross
        self.embed = nn.Linear(latent, width)
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.register_buffer("positions", torch.cat([torch.zeros(1, width), sincos_2d(grid, width)]))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio, norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, norm_eps)
        self.head = nn.Linear(width, patch_dim)

    def forward(
        self, latents: Tensor, visible: Tensor, hidden: Tensor, positions: Tensor, everything: bool = False
    ) -> Tensor:
        x = self.embed(latents)  # (B, 1 + K, D')
        class_token = x[:, :1] + positions[0]
        seen = x[:, 1:] + gather_tokens(positions[1:], visible)  # (B, K, D')
        unseen = self.mask_token + gather_tokens(positions[1:], hidden)  # (B, M, D')
        x = torch.cat([class_token, seen, unseen], dim=1)  # (B, 1 + N, D')
        known = x.shape[1] - hidden.shape[1]  # 1 + K
        first = 1 if everything else known  # what nobody asks for is not computed
        if self.cross:
            context, x = x[:, :known], x[:, first:]
            for block in self.blocks:
                x = block(torch.cat([context, x], dim=1), slice(known, None), slice(known))
        else:
            for block in self.blocks[:-1]:
                x = block(x)
            x = self.blocks[-1](x, slice(first, None))
        return self.head(self.norm(x))
