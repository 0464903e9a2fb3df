"""A cheaper decoder: what is predicted looks at the visible patches only (Fu et al. 2024, CrossMAE)."""

import torch
from torch import Tensor, nn

from .masking import Masking
from .positions import sincos_2d
from .transformer import MLP, attend


class CrossAttention(nn.Module):
    """Attention whose queries come from `x` (B, Q, D), keys and values from `context` (B, L, D): (B, Q, D)."""

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
        return self.output(attend(q, k, v).transpose(1, 2).flatten(2))


class CrossBlock(nn.Module):
    """A pre-norm block with cross-attention; the context stays as it is: (B, Q, D) and (B, L, D) -> (B, Q, D)."""

    def __init__(self, width: int, heads: int, mlp_ratio: float, norm_eps: float = 1e-6):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, norm_eps)
        self.attention = CrossAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, norm_eps)
        self.mlp = MLP(width, int(width * mlp_ratio))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x), self.norm1(context))
        return x + self.mlp(self.norm2(x))


class CrossDecoder(nn.Module):
    """Latents (B, 1 + K, D) to the values of the patches that are wanted, hidden or not: (B, Q) -> (B, Q, P).

    Each is predicted from its position and the visible patches alone, whatever else is wanted.
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
        self.blocks = nn.ModuleList(CrossBlock(width, heads, mlp_ratio, norm_eps) for _ in range(depth))
        self.norm = nn.LayerNorm(width, norm_eps)
        self.head = nn.Linear(width, patch_dim)

    def forward(self, latents: Tensor, visible: Tensor, wanted: Tensor) -> Tensor:
        context = self.embed(latents)  # (B, 1 + K, D')
        seen = context[:, 1:] + self.positions[1:][visible]
        context = torch.cat([context[:, :1] + self.positions[0], seen], dim=1)
        x = self.mask_token + self.positions[1:][wanted]  # (B, Q, D')
        for block in self.blocks:
            x = block(x, context)
        return self.head(self.norm(x))

    def hidden_patches(self, latents: Tensor, masking: Masking) -> Tensor:
        """The hidden patches as predicted, in raster order: (B, M, P)."""
        return self(latents, masking.visible, masking.hidden)

    def all_patches(self, latents: Tensor, masking: Masking) -> Tensor:
        """Every patch as predicted, visible ones too, in raster order: (B, N, P)."""
        every = torch.arange(masking.num_patches, device=latents.device)
        return self(latents, masking.visible, every.expand(latents.shape[0], -1))
