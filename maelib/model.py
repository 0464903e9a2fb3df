"""The masked autoencoder: configuration, presets, and the model itself (chapter 05)."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .decoder import Decoder
from .encoder import Encoder
from .loss import normalize_patches, reconstruction_loss
from .masking import Masking, num_visible, split_by_noise
from .patches import gather_tokens, patchify
from .positions import resample_positions
from .transformer import initialize


@dataclass(frozen=True)
class MAEConfig:
    """Shape of a masked autoencoder. The defaults make a plain small one.

    Sizes in pixels; `image_size` is one number or (height, width). Other image sizes work too, with resampled
    positions. `norm_eps` is the epsilon of every LayerNorm. `normalize_targets` scores each patch after removing its
    mean and scale. `pixel_mean` and `pixel_std` say how pictures in [0, 1] are standardised before they enter the
    model, one number or one a channel. `decoder_cross` lets the decoder look at visible patches only.

    Raises
    ------
    ValueError
        A size that cannot be built, with the value and the remedy.
    """

    image_size: int | tuple[int, int] = 64
    patch_size: int = 4
    channels: int = 3
    width: int = 192
    depth: int = 12
    heads: int = 3
    decoder_width: int = 128
    decoder_depth: int = 2
    decoder_heads: int = 4
    decoder_cross: bool = False
    mlp_ratio: float = 4.0
    norm_eps: float = 1e-6
    normalize_targets: bool = False
    pixel_mean: float | tuple[float, ...] = 0.0
    pixel_std: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        for name in (
            "patch_size",
            "channels",
            "width",
            "depth",
            "heads",
            "decoder_width",
            "decoder_depth",
            "decoder_heads",
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        for prefix in ("", "decoder_"):
            width, heads = getattr(self, f"{prefix}width"), getattr(self, f"{prefix}heads")
            if width % heads:
                raise ValueError(f"{prefix}heads must divide {prefix}width, got {heads} heads for {width}")
            if width % 4:
                raise ValueError(f"{prefix}width must be a multiple of 4 (2-D sine-cosine positions), got {width}")
        if not isinstance(self.decoder_cross, bool):
            raise ValueError(f"decoder_cross must be true or false, got {self.decoder_cross!r}")
        if self.mlp_ratio <= 0:
            raise ValueError(f"mlp_ratio must be positive, got {self.mlp_ratio}")
        if not 0 < self.norm_eps < 1:
            raise ValueError(f"norm_eps must be between 0 and 1, got {self.norm_eps}")
        for name in ("pixel_mean", "pixel_std"):  # JSON has lists only
            value = getattr(self, name)
            if not isinstance(value, (int, float)):
                object.__setattr__(self, name, tuple(value))
                if len(value) != self.channels:
                    raise ValueError(f"{name} needs one value or one for each of {self.channels} channels, got {value}")
        if not isinstance(self.image_size, int):
            object.__setattr__(self, "image_size", tuple(self.image_size))
        grid_of(self.hw, self.patch_size)

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else size

    @property
    def grid(self) -> tuple[int, int]:
        """Patches in a column and in a row."""
        return grid_of(self.hw, self.patch_size)

    @property
    def patch_dim(self) -> int:
        """Values in a patch, P = p * p * C."""
        return self.patch_size**2 * self.channels


def grid_of(hw: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Patches in a column and in a row of an image of H x W pixels; ValueError where the patch size does not divide it."""
    height, width = hw
    if height < patch_size or width < patch_size or height % patch_size or width % patch_size:
        raise ValueError(
            f"image of {height} x {width} pixels is not a multiple of the patch size {patch_size}: resize or crop it"
        )
    return height // patch_size, width // patch_size


class MAEOutput(NamedTuple):
    """What a forward pass in training returns."""

    loss: Tensor  # scalar, float32
    pred: Tensor  # (B, M, P): the hidden patches, in raster order
    mask: Tensor  # (B, N) bool, True = hidden


class MaskedAutoencoder(nn.Module):
    """Hide most patches of a picture, encode the rest, predict what was hidden (He et al. 2022)."""

    def __init__(self, config: MAEConfig):
        super().__init__()
        self.config = c = config
        self.encoder = Encoder(c.patch_dim, c.grid, c.width, c.depth, c.heads, c.mlp_ratio, c.norm_eps)
        self.decoder = Decoder(
            c.width, c.patch_dim, c.grid, c.decoder_width, c.decoder_depth, c.decoder_heads, c.mlp_ratio, c.norm_eps,
            c.decoder_cross,
        )  # fmt: skip
        self.apply(initialize)

    def forward(self, images: Tensor, mask_ratio: float = 0.75, noise: Tensor | None = None) -> MAEOutput:
        """Loss on the hidden patches of images (B, C, H, W); `noise` (B, N) chooses them, drawn afresh where None."""
        patches, grid = self.cut(images)
        masking = self.choose(patches, mask_ratio, noise)
        if masking.hidden.shape[1] == 0:
            raise ValueError(
                f"mask_ratio {mask_ratio} hides none of {patches.shape[1]} patches: no loss; use predict()"
            )
        pred = self.decode(self.encode_visible(patches, masking, grid), masking, grid)
        target = gather_tokens(patches, masking.hidden)  # (B, M, P)
        if self.config.normalize_targets:
            target = normalize_patches(target)
        return MAEOutput(reconstruction_loss(pred, target), pred, masking.mask)

    def predict(self, images: Tensor, mask_ratio: float = 0.75, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """All patches as the model sees them, visible ones too: (B, N, P) in raster order, and the mask (B, N)."""
        patches, grid = self.cut(images)
        masking = self.choose(patches, mask_ratio, noise)
        pred = self.decode(self.encode_visible(patches, masking, grid), masking, grid, everything=True)
        return gather_tokens(pred, masking.restore), masking.mask

    def encode(self, images: Tensor, pool: str | None = "cls") -> Tensor:
        """Features of whole pictures, nothing hidden, nothing shuffled.

        `pool` is "cls", the class token (B, D); "mean", the mean over patches (B, D); None, all tokens (B, 1 + N, D).
        """
        if pool not in ("cls", "mean", None):
            raise ValueError(f"pool must be 'cls', 'mean' or None, got {pool!r}")
        patches, grid = self.cut(images)
        everyone = torch.arange(patches.shape[1], device=images.device).expand(len(patches), -1)
        positions = resample_positions(self.encoder.positions, self.config.grid, grid)
        outputs = {"cls": slice(0, 1), "mean": slice(1, None), None: slice(None)}[pool]
        tokens = self.encoder(patches, everyone, positions, outputs)
        return tokens if pool is None else tokens.mean(dim=1)

    def cut(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Patches of a batch (B, N, P) and its grid; ValueError for a wrong shape, TypeError for integer pixels."""
        c = self.config
        if images.dim() != 4 or images.shape[1] != c.channels:
            raise ValueError(f"images must be (B, {c.channels}, H, W), got {tuple(images.shape)}")
        if not images.is_floating_point():
            raise TypeError(f"images must be floating point, in [0, 1]; got {images.dtype}: divide uint8 by 255")
        grid = grid_of((images.shape[2], images.shape[3]), c.patch_size)
        return patchify(images, c.patch_size), grid

    def choose(self, patches: Tensor, mask_ratio: float, noise: Tensor | None) -> Masking:
        """Draw the mask, or take it from the noise given."""
        B, N, _ = patches.shape
        if not 0 <= mask_ratio < 1:
            raise ValueError(f"mask_ratio must be in [0, 1), got {mask_ratio}")
        if noise is None:
            noise = torch.rand(B, N, device=patches.device)
        if noise.shape != (B, N):
            raise ValueError(f"noise must be (B, N) = ({B}, {N}), got {tuple(noise.shape)}")
        return split_by_noise(noise.to(patches.device), num_visible(N, mask_ratio))

    def encode_visible(self, patches: Tensor, masking: Masking, grid: tuple[int, int]) -> Tensor:
        """Latents of the visible patches: (B, N, P) -> (B, 1 + K, D). Only these are projected."""
        positions = resample_positions(self.encoder.positions, self.config.grid, grid)
        return self.encoder(gather_tokens(patches, masking.visible), masking.visible, positions)

    def decode(self, latents: Tensor, masking: Masking, grid: tuple[int, int], everything: bool = False) -> Tensor:
        """Predicted patches, the hidden ones (B, M, P) or all in the order [visible, hidden] (B, N, P)."""
        positions = resample_positions(self.decoder.positions, self.config.grid, grid)
        return self.decoder(latents, masking.visible, masking.hidden, positions, everything)


_BASE = MAEConfig(
    image_size=224, patch_size=16, width=768, depth=12, heads=12,
    decoder_width=384, decoder_depth=12, decoder_heads=6, normalize_targets=True,
)  # fmt: skip
_PAPER = replace(_BASE, decoder_width=512, decoder_depth=8, decoder_heads=16)

PRESETS: dict[str, MAEConfig] = {
    "mae_tiny_patch4_64": MAEConfig(depth=8, decoder_depth=1, decoder_cross=True),
    "mae_tiny_patch4_64_plain": MAEConfig(),
    "mae_base_patch16_224": _BASE,
    "mae_base_patch16_224_paper": _PAPER,
    "mae_large_patch16_224_paper": replace(_PAPER, width=1024, depth=24, heads=16),
    "mae_huge_patch14_224_paper": replace(_PAPER, patch_size=14, width=1280, depth=32, heads=16),
}


def create_model(name: str, **overrides: Any) -> MaskedAutoencoder:
    """A freshly initialised model by the name of its preset; keywords replace fields of its `MAEConfig`.

    Raises
    ------
    ValueError
        Unknown name or a size that cannot be built.
    TypeError
        Unknown field.
    """
    if name not in PRESETS:
        raise ValueError(f"no model {name!r}; there are: {', '.join(PRESETS)}")
    return MaskedAutoencoder(replace(PRESETS[name], **overrides))
