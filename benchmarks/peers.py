"""Other people's masked autoencoders at the size of ours: models that take images, and a masking or draw one, and return
something with a `loss`; `ours` gives the same weights as a model of maelib.

Each has a default setting and its best documented one for attention:

- transformers: `ViTMAEForPreTraining`; attention "sdpa" by default, or "eager".
- timm: has no MAE decoder, so this is the textbook MAE (embed every patch, keep a quarter, restore the order with mask
  tokens, decode and predict every token, score the hidden ones) on timm's transformer blocks; fused attention by
  default, or `timm.layers.set_fused_attn(False)`.
- lightly: its `MaskedVisionTransformerTIMM` and `MAEDecoderTIMM`, put together as its documentation does; attention as
  for timm.
"""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from maelib import MAEConfig, MaskedAutoencoder, Masking, create_model
from maelib.interop.huggingface import from_huggingface, to_huggingface
from maelib.loss import normalize_patches, reconstruction_loss
from maelib.masking import num_visible
from maelib.patches import patchify
from maelib.positions import sincos_2d

MASK_RATIO = 0.75
TIMM_NAMES = (  # left ours, right those of `TimmMAE`
    ("encoder.class_token", "class_token"), ("encoder.embed.", "embed."), ("encoder.norm.", "norm."),
    ("decoder.mask_token", "mask_token"), ("decoder.embed.", "decoder_embed."), ("decoder.norm.", "decoder_norm."),
    ("decoder.head.", "head."), ("attention.qkv", "attn.qkv"), ("attention.output", "attn.proj"),
    ("mlp.0.", "mlp.fc1."), ("mlp.2.", "mlp.fc2."),
)  # fmt: skip


class Scored(NamedTuple):
    """What a peer returns: the loss is all that a training step needs."""

    loss: Tensor


def standardised(images: Tensor, config: MAEConfig) -> Tensor:
    """What an image processor hands to a model."""
    mean, std = (torch.as_tensor(value).view(-1, 1, 1) for value in (config.pixel_mean, config.pixel_std))
    return (images - mean.to(images)) / std.to(images)


def noise_of(masking: Masking | None, shape: tuple[int, int]) -> Tensor:
    """Noise (B, N) whose lowest stay visible: drawn, or the places of each patch in a masking's order."""
    return torch.rand(shape) if masking is None else masking.restore.float()


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

        def blocks(width: int, depth: int, heads: int) -> nn.ModuleDict:
            norm: Any = partial(nn.LayerNorm, eps=c.norm_eps)
            made = (Block(width, heads, c.mlp_ratio, qkv_bias=True, norm_layer=norm) for _ in range(depth))
            return nn.ModuleDict({"blocks": nn.Sequential(*made)})

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

        self.copy(MaskedAutoencoder(c), to_ours=False)

    def forward(self, images: Tensor, masking: Masking | None = None) -> Scored:
        B, N = len(images), self.positions.shape[1]
        keep = num_visible(N, MASK_RATIO)
        images = standardised(images, self.config)
        shuffle = noise_of(masking, (B, N)).to(images.device).argsort(dim=1)
        restore = shuffle.argsort(dim=1)
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.positions  # (B, N, D)
        tokens = tokens.gather(1, shuffle[:, :keep, None].expand(-1, -1, tokens.shape[2]))
        tokens = torch.cat([self.class_token.expand(B, -1, -1), tokens], dim=1)
        x = self.decoder_embed(self.norm(self.encoder["blocks"](tokens)))  # (B, 1 + K, D')
        full = torch.cat([x[:, 1:], self.mask_token.to(x).expand(B, N - keep, -1)], dim=1)
        full = full.gather(1, restore[..., None].expand(-1, -1, x.shape[2]))
        x = torch.cat([x[:, :1], full], dim=1) + self.decoder_positions
        pred = self.head(self.decoder_norm(self.decoder["blocks"](x)))[:, 1:]  # (B, N, P)
        mask = (restore >= keep).float()
        target = target_of(patchify(images, self.config.patch_size), self.config)
        error = (pred.float() - target.float()).square().mean(dim=-1)
        return Scored((error * mask).sum() / mask.sum())

    def copy(self, model: MaskedAutoencoder, to_ours: bool) -> None:
        """Copy all weights to a model of maelib, or from it."""
        own = self.state_dict()
        for name, ours in model.state_dict().items():
            for before, after in TIMM_NAMES:
                name = name.replace(before, after)
            if "positions" not in name:
                theirs = own[name].permute(0, 2, 3, 1) if own[name].dim() == 4 else own[name]  # channels last
                if to_ours:
                    ours.copy_(theirs.reshape(ours.shape))
                else:
                    theirs.copy_(ours.reshape(theirs.shape))

    def ours(self) -> MaskedAutoencoder:
        """The same weights in maelib."""
        model = MaskedAutoencoder(self.config).to(self.positions.device)
        self.copy(model, to_ours=True)
        return model.eval()


class TransformersMAE(nn.Module):
    """The `ViTMAEForPreTraining` of transformers, with the weights of a new model of ours, and its image processor's work."""

    def __init__(self, config: MAEConfig, attention: str):
        super().__init__()
        self.config = config
        self.model = to_huggingface(MaskedAutoencoder(config), mask_ratio=MASK_RATIO)
        self.model.set_attn_implementation(attention)

    def forward(self, images: Tensor, masking: Masking | None = None) -> Scored:
        noise = None if masking is None else noise_of(masking, (0, 0))
        return Scored(self.model(standardised(images, self.config), noise=noise).loss)

    def ours(self) -> MaskedAutoencoder:
        """The same weights in maelib."""
        c = self.config
        return from_huggingface(self.model, pixel_mean=c.pixel_mean, pixel_std=c.pixel_std).eval()


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


def peers(name: str) -> dict[str, nn.Module]:
    """Every peer at both of its settings, at the size of a preset; the default setting of each comes first."""
    config = create_model(name).config
    return {
        "transformers sdpa": TransformersMAE(config, "sdpa"),
        "transformers eager": TransformersMAE(config, "eager"),
        "timm fused": TimmMAE(config, fused=True),
        "timm unfused": TimmMAE(config, fused=False),
        "lightly fused": LightlyMAE(config, fused=True),
        "lightly unfused": LightlyMAE(config, fused=False),
    }
