"""The trainer: recipes, the run folder, divergence, two processes."""

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import finished, torchrun

from maelib.training import TrainConfig, Trainer, TrainingDiverged
from maelib.training.checkpoint import newest_checkpoint
from maelib.training.config import recipe_help

QUICK = TrainConfig(epochs=2, batch_size=16, base_lr=0.05, log_every=1, precision="fp32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": 8.0}, "batch_size must be a whole number of at least 1, got 8.0"),
        ({"limit": 0}, "limit must be a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"clip": 0.0}, "clip must be positive and finite, got 0.0"),
        ({"weight_decay": float("nan")}, "weight_decay must be finite and not negative, got nan"),
        ({"betas": (0.9, 1.0)}, r"betas must be two numbers in \[0, 1\), got"),
        ({"base_lr": 0.0}, "base_lr must be positive"),
        ({"mask_ratio": 1.0}, r"mask_ratio must be in \(0, 1\)"),
        ({"batch_size": 10, "accumulate": 3}, "accumulate must divide batch_size, got 3 for 10"),
        ({"augment": "colour"}, "augment must be one of none, flip, crop"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"warmup_epochs": 30.0}, "warmup_epochs must not exceed epochs"),
        ({"crop_scale": (0.0, 1.0)}, "crop_scale must be"),
    ],
)
def test_recipes_that_cannot_work_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**change)


def test_every_field_of_a_recipe_is_explained_in_one_line():
    found = recipe_help()
    assert list(found) == [field.name for field in fields(TrainConfig)]
    for name, line in found.items():
        assert len(line) > 20, name
        assert line.endswith("."), name


# -- the run -----------------------------------------------------------------------------------------------------------


def test_training_learns_and_leaves_a_run_folder(small_model, pictures, tmp_path):
    from PIL import Image

    config = TrainConfig(epochs=30, batch_size=16, base_lr=0.05, log_every=1, precision="fp32")
    trainer = Trainer(
        small_model, pictures, config, tmp_path / "run", sample=lambda m: Image.new("RGB", (4, 4)), about={"name": "x"}
    )
    path = trainer.train()
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 91))
    assert np.mean([line["loss"] for line in lines[-5:]]) < 0.3 * lines[0]["loss"]
    assert path.name == "model.safetensors"
    described = json.loads((tmp_path / "run/config.json").read_text())
    assert described["model"]["width"] == 32
    assert described["name"] == "x"
    assert len(list((tmp_path / "run/samples").iterdir())) == 30
    assert len(list((tmp_path / "run/checkpoints").iterdir())) == 2
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))


def test_a_second_run_does_not_overwrite_the_first(small_model, pictures, tmp_path):
    Trainer(small_model, pictures, QUICK, tmp_path / "run").train()
    with pytest.raises(FileExistsError, match="--resume auto"):
        Trainer(small_model, pictures, QUICK, tmp_path / "run")
    other = TrainConfig(epochs=3, batch_size=16, base_lr=0.05, log_every=1, precision="fp32")
    with pytest.raises(ValueError, match=r"another run \(train.epochs was 2, now 3\)"):
        Trainer(small_model, pictures, other, tmp_path / "run", resume=True)


def test_divergence_stops_and_leaves_the_last_good_state(small_model, pictures, tmp_path):
    trainer = Trainer(small_model, pictures, QUICK, tmp_path / "run")
    step = trainer.train_step

    def poisoned() -> float:
        if trainer.step == 4:
            with torch.no_grad():
                trainer.model.encoder.class_token.fill_(float("nan"))
        return step()

    trainer.train_step = poisoned
    with pytest.raises(TrainingDiverged, match=r"loss nan, .*near step 5; the last good state of step 3 is saved"):
        trainer.train()
    _, state = newest_checkpoint(tmp_path / "run/checkpoints")
    assert state["step"] == 3
    assert all(tensor.isfinite().all() for tensor in state["model"].values())


def test_a_real_divergence_is_noticed(small_model, pictures, tmp_path):
    config = TrainConfig(epochs=40, batch_size=16, base_lr=1e30, warmup_epochs=0, precision="fp32", log_every=1)
    with pytest.raises(TrainingDiverged, match="Lower base_lr"):
        Trainer(small_model, pictures, config, tmp_path / "run").train()


def test_two_processes_have_the_losses_of_one(tmp_path):
    """DDP over gloo on two CPU processes, the same global batch: every loss within 1e-4 of a single process's."""
    script = Path(__file__).with_name("ddp_driver.py")
    for folder, count in (("one", 1), ("two", 2)):
        done = finished(torchrun(count, script, tmp_path / folder))
        assert done.returncode == 0, done.stderr
    one, two = (
        [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").read_text().splitlines()]
        for folder in ("one", "two")
    )
    assert len(one) == 12
    for a, b in zip(one, two, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], abs=1e-4)
        assert b["lr"] == a["lr"]
