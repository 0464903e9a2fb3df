"""Every field of the recipe and of the configuration has an effect: ignored in turn, each fails its test.

`CASES` holds a function for each field, which shows what it does. A field is "ignored" by a descriptor in its place: the
package finds the default there, whatever was given, while the case itself still sees the truth, so that a case which only
reads its field back is found out.
"""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALL
from PIL import Image
from torch import Tensor, nn

from maelib import MAEConfig, MaskedAutoencoder, Masking
from maelib.hardware import choose_precision
from maelib.loss import normalize_patches
from maelib.masking import gather_tokens
from maelib.patches import patchify
from maelib.training import TrainConfig, Trainer, interrupts

CASES: dict[tuple[type, str], Callable[["Lab"], None]] = {}


def shows(owner: type, name: str) -> Callable:
    """Marks a case as the one that shows a field's effect."""

    def register(case: Callable[["Lab"], None]) -> Callable[["Lab"], None]:
        CASES[owner, name] = case
        return case

    return register


class Lab:
    """What the cases need: pictures, a folder, models and trainers made with a field of their own."""

    def __init__(self, pictures: np.ndarray, folder: Path, monkeypatch: pytest.MonkeyPatch):
        self.pictures, self.folder, self.monkeypatch, self.count = pictures, folder, monkeypatch, 0

    def model(self, **changes: Any) -> MaskedAutoencoder:
        """A small model, its weights always the same."""
        torch.manual_seed(0)
        return MaskedAutoencoder(replace(SMALL, **changes)).eval()

    def trainer(self, sample: Any = None, pictures: np.ndarray | None = None, **recipe: Any) -> Trainer:
        """A trainer in a folder of its own; three steps are an epoch."""
        self.count += 1
        given = {"epochs": 1, "batch_size": 16, "warmup_epochs": 0.0, "augment": "none", "precision": "fp32"} | recipe
        pictures = self.pictures if pictures is None else pictures
        folder = self.folder / str(self.count)
        return Trainer(self.model(), pictures, TrainConfig(**given), folder, sample=sample)

    def lines(self, trainer: Trainer) -> list[int]:
        """Steps of the lines of metrics."""
        return [json.loads(line)["step"] for line in (trainer.run.folder / "metrics.jsonl").read_text().splitlines()]


def checkpoints(trainer: Trainer) -> list[str]:
    return sorted(path.name for path in (trainer.run.folder / "checkpoints").iterdir())


def flat(trainer: Trainer) -> Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def at_the_optimizer(trainer: Trainer, look: Callable[[], Any]) -> list[Any]:
    """What `look` finds each time the optimizer is about to take a step."""
    found: list[Any] = []
    trainer.optimizer.register_step_pre_hook(lambda *_: found.append(look()))
    return found


# -- the recipe ----------------------------------------------------------------------------------------------------------


@shows(TrainConfig, "epochs")
def _(lab: Lab) -> None:
    trainer = lab.trainer(epochs=2)
    trainer.train()
    assert trainer.step == 6


@shows(TrainConfig, "batch_size")
def _(lab: Lab) -> None:
    trainer = lab.trainer(batch_size=12, pictures=lab.pictures.repeat(3, 0))
    assert sum(len(images) for images, _ in trainer.batches.micro_batches(0)) == 12


@shows(TrainConfig, "accumulate")
def _(lab: Lab) -> None:
    trainer, calls = lab.trainer(accumulate=4), []
    trainer.model.register_forward_hook(lambda module, given, output: calls.append(len(given[0])))
    trainer.train_step()
    assert calls == [4, 4, 4, 4]


@shows(TrainConfig, "base_lr")
def _(lab: Lab) -> None:
    trainer = lab.trainer(base_lr=0.032)
    rates = at_the_optimizer(trainer, lambda: trainer.optimizer.param_groups[0]["lr"])
    trainer.train_step()
    assert rates == pytest.approx([0.032 * 16 / 256])


@shows(TrainConfig, "final_lr")
def _(lab: Lab) -> None:
    trainer = lab.trainer(base_lr=0.032, final_lr=0.001)
    rates = at_the_optimizer(trainer, lambda: trainer.optimizer.param_groups[0]["lr"])
    for _ in range(3):
        trainer.train_step()
    assert rates[2] == pytest.approx(0.001 + 0.001 * (1 + math.cos(math.pi * 2 / 3)) / 2)


@shows(TrainConfig, "warmup_epochs")
def _(lab: Lab) -> None:
    trainer = lab.trainer(base_lr=0.032, epochs=3, warmup_epochs=2.0)
    rates = at_the_optimizer(trainer, lambda: trainer.optimizer.param_groups[0]["lr"])
    for _ in range(6):
        trainer.train_step()
    assert rates == pytest.approx([0.002 * step / 6 for step in range(1, 7)])


@shows(TrainConfig, "muon_lr")
def _(lab: Lab) -> None:
    trainer = lab.trainer(base_lr=0.032, muon_lr=0.01, warmup_epochs=0)
    trainer.train_step()
    rates = [group["lr"] for group in trainer.optimizer.param_groups]
    assert sorted(set(rates)) == pytest.approx([0.002, 0.01])


@shows(TrainConfig, "weight_decay")
def _(lab: Lab) -> None:
    start, ends = flat(lab.trainer()), []
    for decay in (0.0, 0.5):
        trainer = lab.trainer(base_lr=0.16, weight_decay=decay)
        trainer.train_step()
        ends.append(flat(trainer))
    matrix = torch.cat([torch.full((p.numel(),), p.dim() >= 2) for p in trainer.model.parameters()])
    torch.testing.assert_close(ends[0] - ends[1], torch.where(matrix, start * 0.01 * 0.5, 0.0), rtol=0, atol=1e-7)


@shows(TrainConfig, "betas")
def _(lab: Lab) -> None:
    trainer = lab.trainer(betas=(0.5, 0.25))
    weight = trainer.model.encoder.embed.weight
    gradients = at_the_optimizer(trainer, lambda: weight.grad.clone())
    trainer.train_step()
    averages = trainer.optimizer.state[weight]
    torch.testing.assert_close(averages["exp_avg"], 0.5 * gradients[0])
    torch.testing.assert_close(averages["exp_avg_sq"], 0.75 * gradients[0] ** 2)


@shows(TrainConfig, "clip")
def _(lab: Lab) -> None:
    trainer = lab.trainer(clip=0.01)
    parameters = list(trainer.model.parameters())
    norms = at_the_optimizer(trainer, lambda: torch.cat([p.grad.flatten() for p in parameters]).norm().item())
    trainer.train_step()
    assert norms == pytest.approx([0.01], rel=1e-3)


@shows(TrainConfig, "mask_ratio")
def _(lab: Lab) -> None:
    trainer, masks = lab.trainer(mask_ratio=0.25), []
    trainer.model.register_forward_hook(lambda module, given, output: masks.append(output.mask))
    trainer.train_step()
    assert masks[0].sum(1).tolist() == [4] * 16


@shows(TrainConfig, "augment")
def _(lab: Lab) -> None:
    def shown(augment: str) -> set[bytes]:
        images = torch.cat(
            [batch for step in range(3) for batch, _ in lab.trainer(augment=augment).batches.micro_batches(step)]
        )
        return {(image * 255).round().byte().numpy().tobytes() for image in images}

    originals = {picture.transpose(2, 0, 1).tobytes() for picture in lab.pictures}
    mirrored = {picture[:, ::-1].transpose(2, 0, 1).tobytes() for picture in lab.pictures}
    assert shown("none") == originals
    assert 0 < len(shown("flip") & mirrored) < 48
    assert not shown("crop") & (originals | mirrored)


@shows(TrainConfig, "crop_scale")
def _(lab: Lab) -> None:
    ramp = np.broadcast_to(np.arange(32, dtype=np.uint8) * 8, (48, 32, 32))
    pictures = np.stack([ramp, ramp.transpose(0, 2, 1), ramp], axis=-1)  # red rises to the right, green downwards
    trainer = lab.trainer(augment="crop", crop_scale=(0.5, 0.6), pictures=pictures)
    images = torch.cat([batch for step in range(3) for batch, _ in trainer.batches.micro_batches(step)])
    area = (images.amax((2, 3)) - images.amin((2, 3)))[:, :2].prod(1) / (31 * 8 / 255) ** 2  # of the crop, nearly
    assert 0.4 < area.min() < area.max() < 0.7


@shows(TrainConfig, "precision")
def _(lab: Lab) -> None:
    other = {"fp32": torch.float32, "bf16": torch.bfloat16}
    other.pop(choose_precision("auto", torch.device("cpu")))  # what this machine would choose shows nothing
    ((name, dtype),) = other.items()
    trainer, kinds = lab.trainer(precision=name), []
    trainer.model.encoder.blocks[0].mlp.register_forward_hook(lambda module, given, output: kinds.append(output.dtype))
    trainer.train_step()
    assert kinds == [dtype]


@shows(TrainConfig, "compile")
def _(lab: Lab) -> None:
    compiled, calls = [], []

    def fake(module: nn.Module) -> Callable:
        compiled.append(module)
        return lambda *given: calls.append(len(given)) or module(*given)

    lab.monkeypatch.setattr(torch, "compile", fake)
    trainer = lab.trainer(compile=True)
    trainer.train_step()
    assert compiled == [trainer.model]
    assert calls == [2]


@shows(TrainConfig, "seed")
def _(lab: Lab) -> None:
    (one, one_mask), (two, two_mask) = (next(lab.trainer(seed=seed).batches.micro_batches(0)) for seed in (1, 2))
    assert not torch.equal(one, two)
    assert not torch.equal(one_mask.visible, two_mask.visible)


@shows(TrainConfig, "limit")
def _(lab: Lab) -> None:
    numbered = np.broadcast_to(np.arange(48, dtype=np.uint8)[:, None, None, None], (48, 32, 32, 3))
    trainer = lab.trainer(limit=20, batch_size=4, pictures=numbered)
    seen = torch.cat([batch[:, 0, 0, 0] for step in range(5) for batch, _ in trainer.batches.micro_batches(step)])
    assert (seen.sort().values * 255).round().int().tolist() == list(range(20))


@shows(TrainConfig, "log_every")
def _(lab: Lab) -> None:
    trainer = lab.trainer(log_every=2)
    trainer.train()
    assert lab.lines(trainer) == [2, 3]  # the end of an epoch has one in any case


@shows(TrainConfig, "sample_epochs")
def _(lab: Lab) -> None:
    trainer = lab.trainer(epochs=4, sample_epochs=2, sample=lambda model: Image.new("RGB", (4, 4)))
    trainer.train()
    found = sorted(path.name for path in (trainer.run.folder / "samples").iterdir())
    assert found == ["epoch-0002.png", "epoch-0004.png"]


@shows(TrainConfig, "checkpoint_minutes")
def _(lab: Lab) -> None:
    clock = [0.0]
    lab.monkeypatch.setattr(interrupts.time, "monotonic", lambda: clock[0])
    trainer = lab.trainer(checkpoint_minutes=1.0)
    at_the_optimizer(trainer, lambda: clock.__setitem__(0, clock[0] + 61))
    trainer.train()
    assert checkpoints(trainer) == ["step-00000002.pt", "step-00000003.pt"]  # the first one is gone: two are kept


@shows(TrainConfig, "keep_checkpoints")
def _(lab: Lab) -> None:
    trainer = lab.trainer(epochs=4, keep_checkpoints=3)
    trainer.train()
    assert checkpoints(trainer) == ["step-00000006.pt", "step-00000009.pt", "step-00000012.pt"]


# -- the configuration ---------------------------------------------------------------------------------------------------


@shows(MAEConfig, "image_size")
def _(lab: Lab) -> None:
    model = lab.model(image_size=(16, 24))
    assert len(model.encoder.positions) == len(model.decoder.positions) == 1 + 2 * 3


@shows(MAEConfig, "patch_size")
def _(lab: Lab) -> None:
    model = lab.model(patch_size=16)
    assert model.encoder.embed.in_features == model.decoder.head.out_features == 16 * 16 * 3
    assert model.to_patches(torch.rand(1, 3, 32, 32)).shape == (1, 4, 768)


@shows(MAEConfig, "channels")
def _(lab: Lab) -> None:
    model = lab.model(channels=1)
    assert model.encoder.embed.in_features == model.decoder.head.out_features == 64


@shows(MAEConfig, "width")
def _(lab: Lab) -> None:
    encoder = lab.model(width=48).encoder
    assert encoder(torch.rand(1, 16, 192), torch.arange(16)[None]).shape == (1, 17, 48)


@shows(MAEConfig, "depth")
def _(lab: Lab) -> None:
    assert len(lab.model(depth=3).encoder.blocks) == 3


def heads_matter(lab: Lab, part: str, name: str, cross: bool = False) -> None:
    """The same weights, their channels shared out among one or two heads: the same shapes, other results."""
    changes = {"width": 48, "decoder_width": 48, "decoder_cross": cross}
    first, second = (getattr(lab.model(**changes, **{name: heads}), part).blocks[0] for heads in (1, 2))
    given = (torch.rand(2, 5, 48), torch.rand(2, 9, 48)) if cross else (torch.rand(2, 5, 48),)
    assert torch.equal(first.attention.output.weight, second.attention.output.weight)
    assert (first(*given) - second(*given)).abs().max() > 1e-4


@shows(MAEConfig, "heads")
def _(lab: Lab) -> None:
    heads_matter(lab, "encoder", "heads")


@shows(MAEConfig, "decoder_width")
def _(lab: Lab) -> None:
    decoder = lab.model(decoder_width=24).decoder
    assert decoder.embed.out_features == decoder.head.in_features == decoder.mask_token.numel() == 24


@shows(MAEConfig, "decoder_depth")
def _(lab: Lab) -> None:
    assert len(lab.model(decoder_depth=3).decoder.blocks) == 3


@shows(MAEConfig, "decoder_heads")
def _(lab: Lab) -> None:
    heads_matter(lab, "decoder", "decoder_heads")
    heads_matter(lab, "decoder", "decoder_heads", cross=True)


@shows(MAEConfig, "decoder_cross")
def _(lab: Lab) -> None:
    """Each patch is predicted alone: what else is wanted does not matter."""
    decoder, masking = lab.model(decoder_cross=True).decoder, Masking.random(2, 16)
    latents = torch.rand(2, 5, 32)
    together = decoder(latents, masking.visible, masking.hidden)
    alone = decoder(latents, masking.visible, masking.hidden[:, :1])
    assert alone.shape == (2, 1, 192)
    torch.testing.assert_close(alone, together[:, :1])


@shows(MAEConfig, "mlp_ratio")
def _(lab: Lab) -> None:
    model = lab.model(mlp_ratio=2.0)
    assert model.encoder.blocks[0].mlp[0].out_features == 64
    assert model.decoder.blocks[0].mlp[0].out_features == 32
    assert lab.model(mlp_ratio=2.0, decoder_cross=True).decoder.blocks[0].mlp[0].out_features == 32


@shows(MAEConfig, "norm_eps")
def _(lab: Lab) -> None:
    """A vector of tiny spread is blown up to spread 1, unless the epsilon is larger than its variance."""
    for cross in (False, True):
        norms = [m for m in lab.model(norm_eps=1.0, decoder_cross=cross).modules() if isinstance(m, nn.LayerNorm)]
        assert len(norms) == 2 * (2 * 2 + 1)
        assert all(norm(0.01 * torch.randn(64, *norm.normalized_shape)).std() < 0.02 for norm in norms)


@shows(MAEConfig, "normalize_targets")
def _(lab: Lab) -> None:
    images, masking = torch.rand(2, 3, 32, 32), Masking.random(2, 16)
    loss, pred, _ = lab.model(normalize_targets=True)(images, masking)
    target = normalize_patches(gather_tokens(patchify(images, 8), masking.hidden))
    torch.testing.assert_close(loss, nn.functional.mse_loss(pred, target))


@shows(MAEConfig, "pixel_mean")
def _(lab: Lab) -> None:
    images = torch.rand(2, 3, 32, 32)
    by_hand = patchify(images - torch.tensor([0.25, 0.5, 0.75])[:, None, None], 8)
    torch.testing.assert_close(lab.model(pixel_mean=(0.25, 0.5, 0.75)).to_patches(images), by_hand)


@shows(MAEConfig, "pixel_std")
def _(lab: Lab) -> None:
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(lab.model(pixel_std=0.25).to_patches(images), patchify(images / 0.25, 8))


# -- as a kind -----------------------------------------------------------------------------------------------------------

FIELDS = [(owner, field) for owner in (TrainConfig, MAEConfig) for field in fields(owner)]
EVERY = pytest.mark.parametrize(("owner", "field"), FIELDS, ids=[f"{o.__name__}.{f.name}" for o, f in FIELDS])


class Ignored:
    """In a field's place: whoever reads it inside the package finds the default, whatever was given."""

    def __init__(self, field: Field):
        self.name, self.default = field.name, field.default

    def __get__(self, instance: Any, owner: type) -> Any:
        reader = sys._getframe(1).f_globals.get("__name__", "")
        return self.default if instance is None or reader.startswith("maelib.") else vars(instance)[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        vars(instance)[self.name] = value


@pytest.fixture
def lab(pictures: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(pictures, tmp_path, monkeypatch)


@EVERY
def test_each_field_has_an_effect(lab, owner, field):
    assert (owner, field.name) in CASES, f"{owner.__name__}.{field.name} is new: show here what it does"
    CASES[owner, field.name](lab)


@EVERY
def test_a_field_that_is_ignored_fails_its_test(lab, monkeypatch, owner, field):
    monkeypatch.setattr(owner, field.name, Ignored(field), raising=False)
    with pytest.raises(AssertionError):
        CASES[owner, field.name](lab)


def test_no_case_is_left_of_a_field_that_went():
    assert CASES.keys() == {(owner, field.name) for owner, field in FIELDS}
