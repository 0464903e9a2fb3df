"""A step of the trainer: what it computes, what the optimizer sees, what it does to the weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL
from torch import Tensor, nn

from maelib import MaskedAutoencoder
from maelib.masking import gather_tokens
from maelib.patches import patchify
from maelib.training import TrainConfig, Trainer

QUICK = TrainConfig(epochs=2, batch_size=16, base_lr=0.05, log_every=1, precision="fp32")


def new_trainer(pictures: np.ndarray, folder: Path, model: dict | None = None, **recipe) -> Trainer:
    """A new small model and its trainer, the weights always the same."""
    torch.manual_seed(0)
    return Trainer(MaskedAutoencoder(replace(SMALL, **(model or {}))), pictures, replace(QUICK, **recipe), folder)


def weights_of(trainer: Trainer) -> Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def record_gradients(trainer: Trainer) -> list[Tensor]:
    """What the optimizer sees: the gradients of every step, flattened, appended as they come."""
    seen: list[Tensor] = []

    def note(*_) -> None:
        seen.append(torch.cat([p.grad.flatten().clone() for p in trainer.model.parameters()]))

    trainer.optimizer.register_step_pre_hook(note)
    return seen


@pytest.mark.parametrize("cross", [False, True])
def test_the_loss_is_of_pixels_standardised_by_the_models_own_statistics(pictures, tmp_path, cross):
    losses = []
    for mean, std in ((0.0, 1.0), (0.485, 0.225)):
        shape = {"pixel_mean": mean, "pixel_std": std, "decoder_cross": cross}
        trainer = new_trainer(pictures, tmp_path / str(mean), shape)
        images, masking = next(trainer.batches.micro_batches(0))
        assert 0 <= images.min() < images.max() <= 1
        assert images.max() > 0.9, "pixels come as they are"
        patches = patchify((images - mean) / std, 8)
        with torch.no_grad():
            latents = trainer.model.encoder(patches, masking.visible)
            pred = trainer.model.decoder(latents, masking.visible, masking.hidden)[:, -12:]
        by_hand = nn.functional.mse_loss(pred, gather_tokens(patches, masking.hidden))
        trainer.train_step()
        losses.append(trainer.sums[0].item())
        assert losses[-1] == pytest.approx(by_hand.item(), rel=1e-5)
    assert losses[0] != pytest.approx(losses[1], rel=0.1)


def test_the_optimizer_sees_gradients_no_longer_than_clip(pictures, tmp_path):
    ends, norms = [], []
    for clip in (1e9, 1e-2):
        trainer = new_trainer(pictures, tmp_path / str(clip), clip=clip)
        seen = record_gradients(trainer)
        for _ in range(3):
            trainer.train_step()
        ends.append(weights_of(trainer))
        norms.append([gradients.norm().item() for gradients in seen])
    assert min(norms[0]) > 0.1, "unclipped they are longer"
    assert norms[1] == pytest.approx([1e-2] * 3, rel=1e-3), "clipped they have the length asked for"
    assert (ends[0] - ends[1]).abs().max() > 1e-4
    assert trainer.sums[1].item() / 3 > 0.1, "metrics.jsonl has the norm before clipping"


def test_short_gradients_are_left_as_they_are(pictures, tmp_path):
    seen = []
    for clip in (1e6, 1e9):
        trainer = new_trainer(pictures, tmp_path / str(clip), clip=clip)
        seen.append(record_gradients(trainer))
        trainer.train_step()
    assert torch.equal(seen[0][0], seen[1][0])


def test_accumulated_micro_batches_take_the_step_of_the_whole_batch(pictures, tmp_path):
    """4 x 32 pictures are 128: the same loss, the same gradients, the same weights after the step."""
    losses, gradients, weights = [], [], []
    for accumulate in (1, 4):
        trainer = new_trainer(
            pictures.repeat(3, 0), tmp_path / str(accumulate), batch_size=128, accumulate=accumulate, clip=1e9
        )
        seen = record_gradients(trainer)
        trainer.train_step()
        losses.append(trainer.sums[0].item())
        gradients.append(seen[0])
        weights.append(weights_of(trainer))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-6)
    # Adam divides by the size of the gradient: where that is a rounding error, so is the direction of the step.
    counts = gradients[0].abs() > 1e-4
    assert counts.float().mean() > 0.7
    torch.testing.assert_close(weights[1][counts], weights[0][counts], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("ratio", "hidden"), [(0.25, 4), (0.75, 12)])
def test_a_step_hides_what_the_recipe_says(pictures, tmp_path, ratio, hidden):
    trainer = new_trainer(pictures, tmp_path / "run", mask_ratio=ratio, accumulate=2)
    masks: list[Tensor] = []
    trainer.model.register_forward_hook(lambda module, given, output: masks.append(output.mask))
    trainer.train_step()
    assert torch.cat(masks).sum(1).tolist() == [hidden] * 16


def test_weight_decay_draws_the_matrices_to_zero(pictures, tmp_path):
    start, ends = weights_of(new_trainer(pictures, tmp_path / "start")), []
    for decay in (0.0, 0.5):
        trainer = new_trainer(pictures, tmp_path / str(decay), weight_decay=decay)
        lr = trainer.train_step()
        ends.append(weights_of(trainer))
    matrix = torch.cat([torch.full((p.numel(),), p.dim() >= 2) for p in trainer.model.parameters()])
    torch.testing.assert_close(ends[0] - ends[1], torch.where(matrix, start * lr * 0.5, 0.0), rtol=0, atol=1e-7)


def test_a_run_rises_to_the_peak_and_ends_near_the_final_rate(pictures, tmp_path):
    trainer = new_trainer(pictures, tmp_path / "run", epochs=4, warmup_epochs=1.0, final_lr=1e-3)
    used: list[float] = []
    trainer.optimizer.register_step_pre_hook(lambda *_: used.extend({g["lr"] for g in trainer.optimizer.param_groups}))
    returned = [trainer.train_step() for _ in range(12)]
    assert used == returned, "what the optimizer has is what is logged"
    peak = 0.05 * 16 / 256
    fall = [1e-3 + (peak - 1e-3) * (1 + np.cos(np.pi * step / 9)) / 2 for step in range(9)]
    assert returned == pytest.approx([peak / 3, peak * 2 / 3, peak, *fall])


def test_a_run_is_decided_by_its_seed(pictures, tmp_path):
    ends = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trainer = new_trainer(pictures, tmp_path / name, seed=seed)
        for _ in range(3):
            trainer.train_step()
        ends.append(weights_of(trainer))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


@pytest.fixture
def scaling(monkeypatch) -> Callable[..., None]:
    """Gives every new trainer a loss scaler that is at work, as only fp16 on a GPU does."""
    real = torch.amp.GradScaler

    def use(**options: float) -> None:
        monkeypatch.setattr(torch.amp, "GradScaler", lambda kind, enabled: real(kind, enabled=True, **options))

    return use


def test_a_resumed_run_goes_on_with_its_loss_scale(pictures, tmp_path, scaling):
    scaling(init_scale=256.0, growth_interval=3)
    trainer = new_trainer(pictures, tmp_path / "run")
    for _ in range(4):
        trainer.train_step()
    trainer.save()
    scaling()
    fresh = torch.amp.GradScaler("cpu", enabled=True).state_dict()
    torch.manual_seed(0)
    resumed = Trainer(MaskedAutoencoder(SMALL), pictures, QUICK, tmp_path / "run", resume=True)
    state = resumed.scaler.state_dict()
    assert (state["scale"], state["_growth_tracker"], state["growth_interval"]) == (512.0, 1, 3)
    assert state["scale"] != fresh["scale"]
    trainer.train_step()
    resumed.train_step()
    assert torch.equal(weights_of(trainer), weights_of(resumed))


def test_a_scaled_loss_takes_the_same_step_and_the_scale_is_undone_before_clipping(pictures, tmp_path, scaling):
    plain = new_trainer(pictures, tmp_path / "plain", clip=0.1)
    scaling(init_scale=1024.0)
    scaled = new_trainer(pictures, tmp_path / "scaled", clip=0.1)
    seen = [record_gradients(trainer) for trainer in (plain, scaled)]
    for trainer in (plain, scaled):
        trainer.train_step()
    torch.testing.assert_close(seen[1][0], seen[0][0])
    torch.testing.assert_close(scaled.sums, plain.sums)
