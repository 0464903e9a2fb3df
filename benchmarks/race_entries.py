"""Who runs in the race of `speedrun.py`: shapes, recipes and codes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from peers import TimmMAE
from short_run import ChangingMask
from torch import Tensor, nn

from maelib import PRESETS, MAEConfig, MAEOutput, MaskedAutoencoder, Masking
from maelib.loss import normalize_patches
from maelib.masking import gather_tokens
from maelib.training import TrainConfig

SHAPE = PRESETS["mae_tiny_patch4_64"]
STANDARD = {"pixel_mean": 0.45, "pixel_std": 0.27}  # of Tiny ImageNet's training pictures, all channels together
PLAIN = STANDARD | {"depth": 12, "decoder_depth": 2, "decoder_cross": False}


class LogLoss(MaskedAutoencoder):
    """Scored by the mean over pictures of the logarithm of the error, which is what a mean PSNR scores."""

    def forward(self, images: Tensor, masking: float | Masking = 0.75) -> MAEOutput:
        patches = self.to_patches(images)
        masking = Masking.of(masking, patches)
        out = super().forward(images, masking)
        target = gather_tokens(patches, masking.hidden)
        if self.config.normalize_targets:
            target = normalize_patches(target)
        error = (out.pred.float() - target.float()).square().mean(dim=(1, 2))  # (B,)
        return out._replace(loss=(error + 1e-6).log().mean())


class Averaged(MaskedAutoencoder):
    """Scored with the exponential average of its weights over about the last 200 steps."""

    def __init__(self, config: MAEConfig):
        super().__init__(config)
        for name, p in list(self.named_parameters()):
            self.register_buffer(f"average of {name}".replace(".", "/"), p.detach().clone())

    def forward(self, images: Tensor, masking: float | Masking = 0.75) -> MAEOutput:
        if self.training:
            for name, p in self.named_parameters():
                self.get_buffer(f"average of {name}".replace(".", "/")).lerp_(p.detach(), 0.005)
        return super().forward(images, masking)

    def ours(self) -> MaskedAutoencoder:
        """A model with the averages for weights."""
        model = MaskedAutoencoder(self.config)
        for name, p in model.named_parameters():
            p.data.copy_(self.get_buffer(f"average of {name}".replace(".", "/")))
        return model.eval()


def half_precision_stream(config: MAEConfig) -> MaskedAutoencoder:
    """What the blocks add up is kept in bfloat16 between them; the LayerNorms read it as such."""
    model = MaskedAutoencoder(config)

    def rounded(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(x.bfloat16() if torch.is_autocast_enabled("cpu") else x for x in given)

    for blocks in (model.encoder.blocks, model.decoder.blocks):
        blocks[0].register_forward_pre_hook(rounded)
    return model


def timm(config: MAEConfig) -> TimmMAE:
    """The opponent on timm's blocks, at its best attention for short sequences on a CPU."""
    return TimmMAE(config, fused=False)


@dataclass(frozen=True)
class Entry:
    """A shape, a recipe and a code; `peak` is the learning rate of AdamW after the warm-up.

    `model` makes the network from its configuration, `changing` from this and the number of steps.
    """

    name: str
    shape: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    peak: float = 1.5e-3
    model: Callable[[MAEConfig], nn.Module] = MaskedAutoencoder
    changing: Callable[[MAEConfig, int], nn.Module] | None = None

    def recipe_for(self, pictures: int, seed: int = 0) -> TrainConfig:
        """The whole recipe: one pass over so many pictures, and as many passes as it takes where they are more."""
        batch, epochs = self.recipe.get("batch_size", 64), -(-pictures // 95_000)
        common: dict[str, Any] = {"epochs": epochs, "batch_size": batch, "warmup_epochs": 0.05 * epochs}
        common |= {"limit": pictures // epochs, "sample_epochs": 0, "checkpoint_minutes": 3.0, "precision": "bf16"}
        common |= {"base_lr": self.peak * 256 / batch, "seed": seed}
        return TrainConfig(**common | self.recipe)

    def build(self, recipe: TrainConfig) -> Any:  # a `MaskedAutoencoder` or a peer
        """The network with the weights of the recipe's seed."""
        torch.manual_seed(recipe.seed)
        config = replace(SHAPE, **self.shape)
        steps = recipe.epochs * ((recipe.limit or 0) // recipe.batch_size)
        return self.changing(config, steps) if self.changing else self.model(config)


def muon(batch: int, rate: float, **recipe: Any) -> dict[str, Any]:
    """The recipe of Muon at a rate and batch."""
    return {"batch_size": batch, "muon_lr": rate} | recipe


MUON = muon(32, 7e-3)
TRICKS = (
    Entry("AdamW, pixels in [0, 1]"),
    Entry("AdamW", STANDARD),
    Entry("AdamW, rate 3e-3", STANDARD, peak=3e-3),
    Entry("AdamW, batch 32", STANDARD, {"batch_size": 32}),
    Entry("Muon, batch 64", STANDARD, muon(64, 7e-3), 2e-3),
    Entry("Muon, batch 32", STANDARD, MUON, 2e-3),
    Entry("Muon, batch 32, rate 1.4e-2", STANDARD, muon(32, 1.4e-2), 2e-3),
    Entry("Muon, batch 32, rate 3.5e-3", STANDARD, muon(32, 3.5e-3), 2e-3),
    Entry("Muon, batch 16", STANDARD, muon(16, 7e-3), 2e-3),
    Entry("Muon, batch 32, logarithm of the error", STANDARD, MUON, 2e-3, LogLoss),
    Entry("Muon, batch 32, decoder of two blocks", STANDARD | {"decoder_depth": 2}, MUON, 2e-3),
    Entry("Muon, batch 32, 85 % hidden", STANDARD, muon(32, 7e-3, mask_ratio=0.85), 2e-3),
    Entry("Muon, batch 32, 65 % hidden", STANDARD, muon(32, 7e-3, mask_ratio=0.65), 2e-3),
    Entry("Muon, batch 32, 90 % hidden at first", STANDARD, MUON, 2e-3,
          changing=lambda config, steps: ChangingMask(config, steps, 0.9)),
    Entry("Muon, batch 32, no decay", STANDARD, muon(32, 7e-3, weight_decay=0.0), 2e-3),
    Entry("Muon, batch 32, averaged weights, rate down to a third", STANDARD, muon(32, 7e-3, final_lr=6e-4), 2e-3, Averaged),
    Entry("Muon, batch 32, bf16 residual stream", STANDARD, MUON, 2e-3, half_precision_stream),
    Entry("Muon, batch 32, plain shape", PLAIN, MUON, 2e-3),
)  # fmt: skip
OPPONENTS = (
    Entry("timm, AdamW, rate 1.5e-3, batch 64", PLAIN, model=timm),
    Entry("timm, AdamW, rate 3e-3, batch 64", PLAIN, peak=3e-3, model=timm),
    Entry("timm, AdamW, rate 1.5e-3, batch 32", PLAIN, {"batch_size": 32}, model=timm),
    Entry("timm, AdamW, rate 1e-3, batch 32, longer warm-up", PLAIN, {"batch_size": 32, "warmup_epochs": 0.1}, 1e-3, timm),
)  # fmt: skip
PUBLISHED = Entry("timm, He et al.", PLAIN, {"batch_size": 256, "augment": "crop", "warmup_epochs": 0.5}, 1.5e-4, timm)
OURS_ON_TIMM = Entry("timm, our recipe", PLAIN, MUON, 2e-3, timm)
ENTRIES = {entry.name: entry for entry in (*TRICKS, *OPPONENTS, PUBLISHED, OURS_ON_TIMM)}
