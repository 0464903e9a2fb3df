"""What a masked autoencoder is made of: its configuration, checked, and the sizes that have a name."""

import math
from dataclasses import dataclass, replace

from .patches import grid_of

_COUNTS = ("patch_size", "channels", "width", "depth", "heads", "decoder_width", "decoder_depth", "decoder_heads")


@dataclass(frozen=True)
class MAEConfig:
    """Shape of a masked autoencoder; ValueError names a value that cannot be. The defaults make a plain small one.

    `image_size` in pixels is one number or (height, width). `norm_eps` is the epsilon of every LayerNorm.
    `normalize_targets` scores each patch after removing its mean and scale. `decoder_cross` takes `CrossDecoder`.
    `pixel_mean` and `pixel_std`, one number or one a channel, standardise pixels in [0, 1], in `to_patches` alone.
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
        for name in ("image_size", "pixel_mean", "pixel_std"):
            if isinstance(getattr(self, name), list):  # JSON has lists only
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for name in _COUNTS:
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        for name in ("decoder_cross", "normalize_targets"):
            if type(getattr(self, name)) is not bool:
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}")
        for name, low in (("mlp_ratio", 0.0), ("norm_eps", 0.0), ("pixel_mean", -math.inf), ("pixel_std", 0.0)):
            value = getattr(self, name)
            values = value if isinstance(value, tuple) and name.startswith("pixel") else (value,)
            if not all(type(v) in (int, float) and low < v < math.inf for v in values):
                raise ValueError(f"{name} must be finite and above {low}, got {value!r}")
            if isinstance(value, tuple) and len(value) != self.channels:
                raise ValueError(f"{name} needs one value or one for each of {self.channels} channels, got {value!r}")
        for prefix in ("", "decoder_"):
            width, heads = getattr(self, f"{prefix}width"), getattr(self, f"{prefix}heads")
            if width % heads:
                raise ValueError(f"{prefix}heads must divide {prefix}width, got {heads} heads for {width}")
            if int(width * self.mlp_ratio) < 1:
                raise ValueError(f"mlp_ratio leaves the MLP of {prefix}width {width} no unit, got {self.mlp_ratio}")
            if width % 4:
                raise ValueError(f"{prefix}width must be a multiple of 4 (2-D sine-cosine positions), got {width}")
        size = self.image_size
        sides = size if isinstance(size, tuple) and len(size) == 2 else (size,)
        if not all(type(side) is int for side in sides):
            raise ValueError(f"image_size must be a whole number of pixels or (height, width), got {size!r}")
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


_BASE = MAEConfig(
    224, 16, width=768, depth=12, heads=12, decoder_width=384, decoder_depth=12, decoder_heads=6, normalize_targets=True
)
_PAPER = replace(_BASE, decoder_width=512, decoder_depth=8, decoder_heads=16)

PRESETS: dict[str, MAEConfig] = {
    "mae_tiny_patch4_64": MAEConfig(depth=8, decoder_depth=1, decoder_cross=True),
    "mae_tiny_patch4_64_plain": MAEConfig(),
    "mae_base_patch16_224": _BASE,
    "mae_base_patch16_224_paper": _PAPER,
    "mae_large_patch16_224_paper": replace(_PAPER, width=1024, depth=24, heads=16),
    "mae_huge_patch14_224_paper": replace(_PAPER, patch_size=14, width=1280, depth=32, heads=16),
}
