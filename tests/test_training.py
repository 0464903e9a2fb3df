"""The trainer: schedule, parameter groups, batches, run folder, divergence, two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL
from torch import nn
from torchvision.transforms.v2 import functional as TF

from maelib import MaskedAutoencoder
from maelib.training import TrainConfig, Trainer, TrainingDiverged
from maelib.training.batches import Batches, crop, draw_crops, generator
from maelib.training.checkpoint import newest_checkpoint
from maelib.training.distributed import World
from maelib.training.optimizer import make_optimizer, parameter_groups
from maelib.hardware import choose_precision
from maelib.training.optimizer import learning_rate

CPU = torch.device("cpu")
QUICK = TrainConfig(epochs=2, batch_size=16, base_lr=0.05, log_every=1, precision="fp32")


def test_the_schedule_is_pytorchs_warm_up_and_cosine():
    total, warmup, peak = 50, 10, 3e-3
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    schedule = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 1 / warmup, 1.0, warmup - 1),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, 1e-5),
        ],
        [warmup],
    )
    for step in range(total):
        assert learning_rate(step, total, warmup, peak, 1e-5) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-6
        )
        optimizer.step()
        schedule.step()


def test_the_peak_learning_rate_grows_with_the_batch():
    assert TrainConfig(base_lr=1e-3, batch_size=256).peak_lr == pytest.approx(1e-3)
    assert TrainConfig(base_lr=1e-3, batch_size=64).peak_lr == pytest.approx(2.5e-4)


def test_only_matrices_decay(small_model):
    decayed, others = parameter_groups(small_model, 0.05)
    names = {id(p): name for name, p in small_model.named_parameters()}
    assert all(names[id(p)].endswith("weight") and "norm" not in names[id(p)] for p in decayed["params"])
    assert all(names[id(p)].endswith(("bias", "token")) or "norm" in names[id(p)] for p in others["params"])
    assert len(decayed["params"]) + len(others["params"]) == len(names)
    optimizer = make_optimizer(small_model, 1e-3, 0.05, (0.9, 0.95))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0.0]
    assert optimizer.defaults["betas"] == (0.9, 0.95)


def test_precision_by_hardware():
    assert choose_precision("fp32", CPU) == "fp32"
    assert choose_precision("auto", CPU) in ("fp32", "bf16")
    with pytest.raises(ValueError, match="fp16 needs a GPU"):
        choose_precision("fp16", CPU)


# -- batches -----------------------------------------------------------------------------------------------------------


def tagged(count: int) -> np.ndarray:
    """Pictures whose every pixel is the number of the picture."""
    return np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 32, 32, 3))


def batches(config: TrainConfig, images: np.ndarray, world: World = World()) -> Batches:  # noqa: B008
    return Batches(images, config, (32, 32), 16, world, CPU)


def test_an_epoch_sees_every_picture_once_in_another_order_each_time():
    source = batches(TrainConfig(batch_size=8, augment="flip"), tagged(40))
    orders = []
    for epoch in range(2):
        steps = range(epoch * 5, epoch * 5 + 5)
        seen = torch.cat([images[:, 0, 0, 0] for step in steps for images, _ in source.micro_batches(step)])
        orders.append((seen * 255).round().int().tolist())
        assert sorted(orders[-1]) == list(range(40))
    assert orders[0] != orders[1]


@pytest.mark.parametrize("augment", ["none", "flip", "crop"])
def test_two_processes_and_two_micro_batches_share_what_one_would_see(augment):
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 32, 3), dtype=np.uint8)
    alone = next(batches(TrainConfig(batch_size=16, augment=augment), images).micro_batches(1))
    config = TrainConfig(batch_size=16, augment=augment, accumulate=2)
    shares = [list(batches(config, images, World(rank, 2, rank)).micro_batches(1)) for rank in (0, 1)]
    for part in (0, 1):  # images, noise
        together = torch.cat([shares[rank][micro][part] for micro in (0, 1) for rank in (0, 1)])
        torch.testing.assert_close(together, alone[part])


def test_pictures_are_flipped_half_of_the_time():
    images = np.zeros((512, 32, 32, 3), np.uint8)
    images[:, :, :16] = 255
    (batch, _), = batches(TrainConfig(batch_size=512), images).micro_batches(0)  # fmt: skip
    left = batch[:, 0, 0, 0]
    assert set(left.tolist()) == {0.0, 1.0}
    assert 180 < left.sum() < 332  # 256 give or take almost seven standard deviations


def test_crop_is_torchvisions_resized_crop():
    """An even enlargement of a box, away from the border that the two treat differently."""
    images = torch.rand(2, 3, 32, 32)
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.25, -0.25, 0.25, 0.5]])  # centre x, y, half width, height
    ours = crop(images, boxes, (32, 32))
    theirs = torch.stack([
        TF.resized_crop(images[0], 8, 8, 16, 16, [32, 32], TF.InterpolationMode.BICUBIC, antialias=False),
        TF.resized_crop(images[1], 4, 16, 16, 8, [32, 32], TF.InterpolationMode.BICUBIC, antialias=False),
    ])  # fmt: skip
    inner = slice(8, -8)
    torch.testing.assert_close(ours[..., inner, inner], theirs.clamp(0, 1)[..., inner, inner], atol=1e-4, rtol=1e-4)


def test_the_whole_picture_is_a_crop_of_itself():
    images = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(crop(images, torch.tensor([[0.0, 0.0, 1.0, 1.0]]), (16, 16)), images)


def test_crops_lie_inside_and_have_the_stated_area():
    boxes = draw_crops(2000, (0.2, 0.5), generator(0))
    centre, half = boxes[:, :2], boxes[:, 2:]
    assert (centre.abs() + half).max() <= 1 + 1e-6
    area = half.prod(1)
    assert area.min() >= 0.19
    assert area.max() <= 0.5 + 1e-6


@pytest.mark.parametrize(
    ("config", "count", "message"),
    [
        (TrainConfig(batch_size=64), 40, "the data has 40 pictures, fewer than batch_size 64"),
        (TrainConfig(batch_size=9, accumulate=3), 40, "must be a multiple of processes x accumulate = 6"),
    ],
)
def test_batches_that_cannot_be_are_refused(config, count, message):
    with pytest.raises(ValueError, match=message):
        batches(config, tagged(count), World(0, 2, 0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
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


def test_accumulated_micro_batches_take_the_step_of_the_whole_batch(pictures, tmp_path):
    weights = []
    for accumulate in (1, 4):
        torch.manual_seed(0)
        config = TrainConfig(epochs=1, batch_size=16, base_lr=0.05, accumulate=accumulate, precision="fp32")
        trainer = Trainer(MaskedAutoencoder(SMALL), pictures, config, tmp_path / str(accumulate))
        trainer.train_step()
        weights.append(torch.cat([p.detach().flatten() for p in trainer.model.parameters()]))
    # Adam divides by the size of the gradient: where a gradient is a rounding error, so is its direction. Hence the loose bound.
    assert ((weights[0] - weights[1]).abs() > 1e-4).float().mean() < 0.01


def test_a_second_run_does_not_overwrite_the_first(small_model, pictures, tmp_path):
    Trainer(small_model, pictures, QUICK, tmp_path / "run")
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
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for folder, launcher in (
        ("one", [sys.executable]),
        ("two", [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]),
    ):
        done = subprocess.run(
            [*launcher, script, tmp_path / folder], capture_output=True, text=True, timeout=180, env=environment
        )
        assert done.returncode == 0, done.stderr
    one, two = (
        [json.loads(line) for line in (tmp_path / folder / "metrics.jsonl").read_text().splitlines()]
        for folder in ("one", "two")
    )
    assert len(one) == 12
    for a, b in zip(one, two, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], abs=1e-4)
        assert b["lr"] == a["lr"]
