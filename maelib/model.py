"""The masked autoencoder (chapter 05)."""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .config import PRESETS, MAEConfig
from .cross_decoder import CrossDecoder
from .decoder import Decoder
from .encoder import Encoder
from .loss import normalize_patches, patch_statistics, reconstruction_loss, shared_statistics
from .masking import Masking, gather_tokens
from .patches import patchify, unpatchify
from .transformer import initialize


class MAEOutput(NamedTuple):
    """What a forward pass in training returns."""

    loss: Tensor  # scalar, float32
    pred: Tensor  # (B, M, P): the hidden patches, in raster order
    mask: Tensor  # (B, N) bool, True = hidden


class MaskedAutoencoder(nn.Module):
    """Hide most patches of a picture, encode the rest, predict what was hidden (He et al. 2022).

    Images are (B, C, H, W) in [0, 1]; `to_patches` standardises them, here and nowhere else, and losses and predictions
    are in the standardised space. `masking` is a ratio, which draws a mask for each image, or a `Masking`.
    """

    pixel_mean: Tensor  # (C, 1, 1) or (1, 1, 1)
    pixel_std: Tensor

    def __init__(self, config: MAEConfig):
        super().__init__()
        self.config = c = config
        self.encoder = Encoder(c.patch_dim, c.grid, c.width, c.depth, c.heads, c.mlp_ratio, c.norm_eps)
        decoder = CrossDecoder if c.decoder_cross else Decoder
        self.decoder = decoder(
            c.width, c.patch_dim, c.grid, c.decoder_width, c.decoder_depth, c.decoder_heads, c.mlp_ratio, c.norm_eps
        )
        for name in ("pixel_mean", "pixel_std"):  # the configuration keeps them: they are not among the weights
            self.register_buffer(name, torch.tensor(getattr(c, name)).float().reshape(-1, 1, 1), persistent=False)
        self.apply(initialize)

    def forward(self, images: Tensor, masking: float | Masking = 0.75) -> MAEOutput:
        """Loss on the hidden patches."""
        patches = self.to_patches(images)
        masking = Masking.of(masking, patches)
        if masking.hidden.shape[1] == 0:
            raise ValueError("nothing is hidden, so there is no loss: use predict() or encode()")
        pred = self.decoder.hidden_patches(self.encoder(patches, masking.visible), masking)  # (B, M, P)
        target = gather_tokens(patches, masking.hidden)  # (B, M, P)
        if self.config.normalize_targets:
            target = normalize_patches(target)
        known = None if masking.missing is None else ~masking.missing.gather(1, masking.hidden)
        return MAEOutput(reconstruction_loss(pred, target, known), pred, masking.mask)

    def predict(self, images: Tensor, masking: float | Masking = 0.75) -> tuple[Tensor, Tensor]:
        """Every patch as the model predicts it, visible ones too: (B, N, P) in raster order, and the mask (B, N)."""
        patches = self.to_patches(images)
        masking = Masking.of(masking, patches)
        return self.decoder.all_patches(self.encoder(patches, masking.visible), masking), masking.mask

    def reconstruct(
        self, images: Tensor, masking: float | Masking = 0.75, oracle: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The same as pixels (B, C, H, W) in [0, 1], and the mask (B, N).

        A model with normalised targets predicts patches without their mean and scale: what the visible patches have on
        average is put back, or with `oracle` each patch's truth, which leaks a part of the answer.
        """
        patches = self.to_patches(images)
        masking = Masking.of(masking, patches)
        pred = self.decoder.all_patches(self.encoder(patches, masking.visible), masking).float()
        if self.config.normalize_targets:
            visible = gather_tokens(patches, masking.visible)
            mean, std = patch_statistics(patches) if oracle else shared_statistics(visible)
            pred = pred * std + mean
        pixels = unpatchify(pred, self.config.patch_size, self.config.grid) * self.pixel_std + self.pixel_mean
        return pixels.clamp(0, 1), masking.mask

    def encode(self, images: Tensor, pool: str | None = "cls") -> Tensor:
        """Features of whole pictures, nothing hidden.

        `pool` is "cls", the class token (B, D); "mean", the mean over patches (B, D); None, all tokens (B, 1 + N, D).
        """
        if pool not in ("cls", "mean", None):
            raise ValueError(f"pool must be 'cls', 'mean' or None, got {pool!r}")
        patches = self.to_patches(images)
        every = torch.arange(patches.shape[1], device=patches.device).expand(patches.shape[0], -1)
        tokens = self.encoder(patches, every)
        if pool is None:
            return tokens
        return tokens[:, 0] if pool == "cls" else tokens[:, 1:].mean(dim=1)

    def to_patches(self, images: Tensor) -> Tensor:
        """Standardised patches (B, N, P); ValueError for a wrong shape, TypeError for integer pixels."""
        c = self.config
        C, H, W = c.channels, *c.hw
        if images.dim() != 4 or images.shape[1:] != (C, H, W):
            raise ValueError(
                f"images must be (B, {C}, {H}, {W}), got {tuple(images.shape)}: resize them, or the model "
                "(maelib.weights.resized)"
            )
        if not images.is_floating_point():
            raise TypeError(f"images must be floating point, in [0, 1]; got {images.dtype}: divide uint8 by 255")
        return patchify((images - self.pixel_mean) / self.pixel_std, c.patch_size)


def create_model(name: str, **overrides: Any) -> MaskedAutoencoder:
    """A freshly initialised model by the name of its preset; keywords replace fields of its `MAEConfig`.

    ValueError for an unknown name or a size that cannot be built, TypeError for an unknown field.
    """
    if name not in PRESETS:
        raise ValueError(f"no model {name!r}; there are: {', '.join(PRESETS)}")
    return MaskedAutoencoder(replace(PRESETS[name], **overrides))
