"""What a training run is made of."""

from dataclasses import dataclass

AUGMENTATIONS = ("none", "flip", "crop")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class TrainConfig:
    """A training recipe. The defaults are those of He et al. 2022, scaled to a small run.

    `batch_size` counts the pictures of one optimizer step, over all processes and accumulated micro-batches. The peak
    learning rate is `base_lr * batch_size / 256`. `augment` is "none", "flip", or "crop" (random resized crop of
    `crop_scale` of the area, and flip). `precision` "auto" asks the hardware. `limit` takes the first pictures of the
    data only.

    Raises
    ------
    ValueError
        A value that cannot work, with the remedy.
    """

    epochs: int = 25
    batch_size: int = 128
    accumulate: int = 1
    base_lr: float = 1.5e-4
    final_lr: float = 0.0
    warmup_epochs: float = 1.0
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = 1.0
    mask_ratio: float = 0.75
    augment: str = "flip"
    crop_scale: tuple[float, float] = (0.2, 1.0)
    precision: str = "auto"
    compile: bool = False
    seed: int = 0
    limit: int | None = None
    log_every: int = 20
    sample_epochs: int = 1
    checkpoint_minutes: float = 10.0
    keep_checkpoints: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))  # JSON has lists only
        object.__setattr__(self, "crop_scale", tuple(self.crop_scale))
        for name in ("epochs", "batch_size", "accumulate", "log_every", "keep_checkpoints"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("base_lr", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("final_lr", "warmup_epochs", "weight_decay", "sample_epochs", "checkpoint_minutes"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.mask_ratio < 1:
            raise ValueError(f"mask_ratio must be in (0, 1) for training, got {self.mask_ratio}")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs must not exceed epochs, got {self.warmup_epochs} of {self.epochs}")
        if self.batch_size % self.accumulate:
            raise ValueError(f"accumulate must divide batch_size, got {self.accumulate} for {self.batch_size}")
        if self.augment not in AUGMENTATIONS:
            raise ValueError(f"augment must be one of {', '.join(AUGMENTATIONS)}, got {self.augment!r}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale must be 0 < low <= high <= 1, got {self.crop_scale}")

    @property
    def peak_lr(self) -> float:
        """The learning rate at the end of the warm-up (Goyal et al. 2017: linear in the batch)."""
        return self.base_lr * self.batch_size / 256
