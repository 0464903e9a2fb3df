"""Other people's masked autoencoders at the size of ours, as models that take images and return something with a `loss`.

Each has a default setting and its best documented one for attention:

- transformers: `ViTMAEForPreTraining`; attention "sdpa" by default, or "eager".
- timm: has no MAE decoder, so this is the textbook MAE (embed every patch, keep a quarter, restore the order with mask
  tokens, decode and predict every token, score the hidden ones) on timm's transformer blocks; fused attention by
  default, or `timm.layers.set_fused_attn(False)`.
- lightly: its `MaskedVisionTransformerTIMM` and `MAEDecoderTIMM`, put together as its documentation does; attention as
  for timm.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from maelib import MAEConfig, MaskedAutoencoder, create_model
from maelib.interop.huggingface import to_huggingface
from maelib.loss import normalize_patches, reconstruction_loss
from maelib.masking import num_visible
from maelib.patches import patchify
from maelib.positions import sincos_2d

MASK_RATIO = 0.75


class Scored(NamedTuple):
    """What a peer returns: the loss is all that a training step needs."""

    loss: Tensor


def target_of(patches: Tensor, config: MAEConfig) -> Tensor:
    """What is to be predicted: raw or normalised patches."""
    return normalize_patches(patches) if config.normalize_targets else patches


class TimmMAE(nn.Module):
    """The textbook MAE on timm's blocks."""

    positions: Tensor  # (1, N, D)
    decoder_positions: Tensor  # (1, 1 + N, D')

    def __init__(self, config: MAEConfig, fused: bool):
        super().__init__()
        import timm.layers
        from timm.models.vision_transformer import Block

        timm.layers.set_fused_attn(fused)  # read when a block is built
        c = self.config = config

        def blocks(width: int, depth: int, heads: int) -> nn.Sequential:
            return nn.Sequential(*(Block(width, heads, c.mlp_ratio, qkv_bias=True) for _ in range(depth)))

        self.embed = nn.Conv2d(c.channels, c.width, c.patch_size, c.patch_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, c.width))
        self.register_buffer("positions", sincos_2d(c.grid, c.width)[None])
        self.encoder = blocks(c.width, c.depth, c.heads)
        self.norm = nn.LayerNorm(c.width, c.norm_eps)
        self.decoder_embed = nn.Linear(c.width, c.decoder_width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, c.decoder_width))
        class_position = torch.zeros(1, c.decoder_width)
        self.register_buffer("decoder_positions", torch.cat([class_position, sincos_2d(c.grid, c.decoder_width)])[None])
        self.decoder = blocks(c.decoder_width, c.decoder_depth, c.decoder_heads)
        self.decoder_norm = nn.LayerNorm(c.decoder_width, c.norm_eps)
        self.head = nn.Linear(c.decoder_width, c.patch_dim)

    def forward(self, images: Tensor) -> Scored:
        B, N = len(images), self.positions.shape[1]
        keep = num_visible(N, MASK_RATIO)
        shuffle = torch.rand(B, N, device=images.device).argsort(dim=1)
        restore = shuffle.argsort(dim=1)
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.positions  # (B, N, D)
        tokens = tokens.gather(1, shuffle[:, :keep, None].expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([self.class_token.expand(B, -1, -1), tokens], dim=1)
        x = self.decoder_embed(self.norm(self.encoder(tokens)))  # (B, 1 + K, D')
        full = torch.cat([x[:, 1:], self.mask_token.to(x).expand(B, N - keep, -1)], dim=1)
        full = full.gather(1, restore[..., None].expand(-1, -1, x.shape[2]))
        x = torch.cat([x[:, :1], full], dim=1) + self.decoder_positions
        pred = self.head(self.decoder_norm(self.decoder(x)))[:, 1:]  # (B, N, P)
        mask = (restore >= keep).float()
        target = target_of(patchify(images, self.config.patch_size), self.config)
        error = (pred.float() - target.float()).square().mean(dim=-1)
        return Scored((error * mask).sum() / mask.sum())


class LightlyMAE(nn.Module):
    """Lightly's modules, put together as its documentation does."""

    def __init__(self, config: MAEConfig, fused: bool):
        super().__init__()
        import timm.layers
        from lightly.models import utils
        from lightly.models.modules import MAEDecoderTIMM, MaskedVisionTransformerTIMM
        from timm.models.vision_transformer import VisionTransformer

        timm.layers.set_fused_attn(fused)
        c = self.config = config
        self.utils = utils
        vit = VisionTransformer(
            img_size=c.hw, patch_size=c.patch_size, in_chans=c.channels, num_classes=0, embed_dim=c.width, depth=c.depth,
            num_heads=c.heads, mlp_ratio=c.mlp_ratio,
        )  # fmt: skip
        self.backbone = MaskedVisionTransformerTIMM(vit=vit)
        self.decoder = MAEDecoderTIMM(
            num_patches=c.grid[0] * c.grid[1], patch_size=c.patch_size, in_chans=c.channels, embed_dim=c.width,
            decoder_embed_dim=c.decoder_width, decoder_depth=c.decoder_depth, decoder_num_heads=c.decoder_heads,
            mlp_ratio=c.mlp_ratio,
        )  # fmt: skip

    def forward(self, images: Tensor) -> Scored:
        size = (len(images), self.backbone.sequence_length)
        keep, hidden = self.utils.random_token_mask(size=size, mask_ratio=MASK_RATIO, device=images.device)
        encoded = self.decoder.embed(self.backbone.encode(images=images, idx_keep=keep))
        tokens = self.utils.repeat_token(self.decoder.mask_token, size)
        tokens = self.utils.set_at_index(tokens, keep, encoded.type_as(tokens))
        decoded = self.decoder.decode(tokens)
        pred = self.decoder.predict(self.utils.get_at_index(decoded, hidden))
        patches = self.utils.patchify(images, self.config.patch_size)
        target = target_of(self.utils.get_at_index(patches, hidden - 1), self.config)  # less the class token
        return Scored(reconstruction_loss(pred, target))


def transformers_mae(config: MAEConfig, attention: str) -> nn.Module:
    """The `ViTMAEForPreTraining` of transformers, with the weights of a new model of ours."""
    model = to_huggingface(MaskedAutoencoder(config))
    model.set_attn_implementation(attention)
    return model


def peers(name: str) -> dict[str, nn.Module]:
    """Every peer at both of its settings, at the size of a preset; the default setting of each comes first."""
    config = create_model(name).config
    return {
        "transformers sdpa": transformers_mae(config, "sdpa"),
        "transformers eager": transformers_mae(config, "eager"),
        "timm fused": TimmMAE(config, fused=True),
        "timm unfused": TimmMAE(config, fused=False),
        "lightly fused": LightlyMAE(config, fused=True),
        "lightly unfused": LightlyMAE(config, fused=False),
    }
