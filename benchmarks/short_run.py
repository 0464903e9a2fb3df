"""Short trainings that are compared with each other: one recipe, resumed where they were cut."""

from pathlib import Path

import torch
from torch import Tensor

from maelib import MAEConfig, MAEOutput, MaskedAutoencoder, Masking
from maelib.datasets import PackedImages
from maelib.training import TrainConfig, Trainer

RECIPE = TrainConfig(epochs=1, batch_size=64, base_lr=0.004, warmup_epochs=0.1, checkpoint_minutes=3)  # peak 0.001


def train(
    model: MaskedAutoencoder, name: str, data: PackedImages, folder: Path, recipe: TrainConfig
) -> MaskedAutoencoder:
    """A trained model; a run that was cut goes on, one that is complete is read."""
    about = {"name": name, "data": "tiny-imagenet"}
    torch.manual_seed(recipe.seed)  # for models that draw something of their own; checkpoints keep where that stands
    trainer = Trainer(model, data.images, recipe, folder, resume=True, about=about)
    trainer.train()
    return trainer.model.eval()


def shuffled(ids: Tensor) -> Tensor:
    """Each row of indices (B, K) in an order of its own."""
    return ids.gather(1, torch.rand(ids.shape, device=ids.device).argsort(dim=1))


def first_visible(order: Tensor, keep: int) -> Masking:
    """The masking that shows the first patches of an order (B, N) and hides the rest."""
    return Masking(order[:, :keep].sort(dim=1).values, order[:, keep:].sort(dim=1).values)


class ChangingMask(MaskedAutoencoder):
    """Hides the share `start` of the patches at first and the ratio asked for from the middle of the training on, in a straight
    line. Where less is visible than asked for, these patches are drawn among those; where more, they are added to them."""

    step: Tensor

    def __init__(self, config: MAEConfig, steps: int, start: float):
        super().__init__(config)
        self.steps, self.start = steps, start
        self.register_buffer("step", torch.zeros((), dtype=torch.long))  # kept in checkpoints

    def ratio(self, step: int, end: float) -> float:
        """The share hidden in a step."""
        return self.start + (end - self.start) * min(1.0, 2 * step / self.steps)

    def forward(self, images: Tensor, masking: float | Masking = 0.75) -> MAEOutput:
        masking = Masking.of(masking, self.to_patches(images))
        if self.training:
            N = masking.num_patches
            hidden = self.ratio(int(self.step), masking.hidden.shape[1] / N)
            order = torch.cat([shuffled(masking.visible), shuffled(masking.hidden)], dim=1)
            masking = first_visible(order, round(N * (1 - hidden)))
            self.step.add_(1)
        return super().forward(images, masking)
