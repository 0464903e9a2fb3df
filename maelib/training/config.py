"""What a training run is made of."""

import math
import re
from dataclasses import dataclass

AUGMENTATIONS = ("none", "flip", "crop")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class TrainConfig:
    """A training recipe. The defaults are those of He et al. 2022, scaled to a small run.

    Parameters
    ----------
    epochs
        Passes over the pictures, at least 1.
    batch_size
        Pictures of one optimizer step, at least 1, over all processes and accumulated micro-batches.
    accumulate
        Micro-batches of a step, at least 1, whose gradients are averaged; saves memory, changes no result.
    base_lr
        Learning rate for 256 pictures, above 0; the peak rate is base_lr * batch_size / 256.
    final_lr
        Learning rate at the end of the cosine, at least 0; 0 lets the last steps fade out.
    warmup_epochs
        Epochs in which the rate rises linearly to its peak, from 0, which means no warm-up, to epochs.
    weight_decay
        AdamW's decay of matrices, from 0, which means none; biases, norms and tokens never decay.
    betas
        AdamW's two averages, of gradients and of their squares, each in [0, 1).
    muon_lr
        Peak rate of Muon, which takes the blocks' matrices, from 0, which means AdamW for all; not scaled by the batch.
    clip
        Largest norm of all gradients together, above 0; longer ones are shortened to it.
    mask_ratio
        Share of the patches that is hidden, in (0, 1).
    augment
        none; flip, half of the pictures mirrored; or crop, a random crop resized, and flip.
    crop_scale
        Smallest and largest share of the picture's area in a crop, in (0, 1].
    precision
        fp32, bf16, fp16, or auto, which asks the hardware.
    compile
        Let torch.compile make the step faster; takes a minute at first.
    seed
        Of order, crops and masks, and in `maelib train` of the first weights; a whole number from 0.
    limit
        Train on this many first pictures only, at least 1; all where left out.
    log_every
        Steps between two lines of metrics, at least 1.
    sample_epochs
        Epochs between two sample pictures, from 0, which means none.
    checkpoint_minutes
        Minutes between two checkpoints, from 0, which means at the ends of epochs only, where one is written in any case.
    keep_checkpoints
        How many of the newest checkpoints stay, at least 1.

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
    muon_lr: float = 0.0
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
        for name in ("epochs", "batch_size", "accumulate", "log_every", "keep_checkpoints", "limit", "seed"):
            value, least = getattr(self, name), 0 if name == "seed" else 1
            if (name, value) != ("limit", None) and (type(value) is not int or value < least):
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name in ("base_lr", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        for name in ("final_lr", "warmup_epochs", "weight_decay", "muon_lr", "sample_epochs", "checkpoint_minutes"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and not negative, got {getattr(self, name)}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}")
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
        if len(self.crop_scale) != 2 or not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(f"crop_scale must be 0 < low <= high <= 1, got {self.crop_scale}")

    @property
    def peak_lr(self) -> float:
        """The learning rate at the end of the warm-up (Goyal et al. 2017: linear in the batch)."""
        return self.base_lr * self.batch_size / 256


def recipe_help() -> dict[str, str]:
    """What each field of `TrainConfig` is, in one line, as its docstring says."""
    return dict(re.findall(r"^    ([a-z]\w*)\n        (.+)$", TrainConfig.__doc__ or "", re.MULTILINE))


# The article: Tiny ImageNet at 224 pixels, 25 epochs, linear warm-up and cosine, mixed precision, clipping, targets
# normalised patch by patch, two T4s. It states neither batch nor learning rate nor augmentation: 256 pictures a card,
# the rate of He et al. 2022 for that batch, and flips only, because the figure is taken on whole pictures.
ARTICLE_MODEL = "mae_base_patch16_224"
ARTICLE_RECIPE = TrainConfig(
    epochs=25,
    batch_size=512,
    accumulate=4,  # 64 pictures at a time on each of two cards; 128 where there is one, which 16 GB hold too
    base_lr=1.5e-4,
    warmup_epochs=2.0,
    clip=1.0,
    augment="flip",
)
