"""The trainer never makes the host wait for the device inside a step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL
from torch.utils._python_dispatch import TorchDispatchMode

from maelib import MaskedAutoencoder
from maelib.datasets import PackedImages
from maelib.training import TrainConfig, Trainer

RECIPE = TrainConfig(epochs=2, batch_size=16, warmup_epochs=0, log_every=1000, sample_epochs=0, checkpoint_minutes=0)
WAITS = {
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique_dim",
    "_unique2",
    "equal",
}  # need a value, or a shape


class Watch(TorchDispatchMode):
    """Notes every operator whose result the host has to see before it can go on, on whatever device."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").split(".")[0]
        by_mask = name.startswith("index") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool
            for index in (args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ())
        )
        if name in WAITS or by_mask:
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


def with_holes(pictures: np.ndarray, holes: bool) -> np.ndarray | PackedImages:
    """The pictures, or with missing pixels in every second."""
    missing = np.zeros(pictures.shape[:3], bool)
    missing[::2, 3:12, 5:9] = True
    return PackedImages("holes", pictures, None, [], missing=missing) if holes else pictures


@pytest.mark.parametrize("holes", [False, True], ids=["whole", "holes"])
@pytest.mark.parametrize("change", [{"precision": "fp32"}, {"precision": "bf16", "augment": "crop", "accumulate": 2}])
def test_a_step_asks_for_no_value(pictures, tmp_path, change, holes):
    recipe = replace(RECIPE, **change)
    trainer = Trainer(MaskedAutoencoder(SMALL), with_holes(pictures, holes), recipe, tmp_path / "run")
    trainer.train_step()
    with Watch() as watch:
        for _ in range(3):
            trainer.train_step()
    assert watch.waits == []


def test_the_watch_sees_what_it_looks_for():
    x = torch.rand(4)
    for wait in (x.sum().item, lambda: x[x > 0.5], x.nonzero, lambda: bool(x.max() > 0)):
        with Watch() as watch:
            wait()
        assert watch.waits, wait


def test_a_run_waits_for_lines_of_metrics_and_not_for_steps(pictures, tmp_path):
    found = {}
    for repeats in (1, 3):  # an epoch of three steps, and of nine; one line and one checkpoint each
        with Watch() as watch:
            Trainer(MaskedAutoencoder(SMALL), pictures.repeat(repeats, 0), RECIPE, tmp_path / str(repeats)).train()
        found[repeats] = len(watch.waits)
    assert found[1] == found[3]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("holes", [False, True], ids=["whole", "holes"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "auto"])
def test_cuda_itself_finds_no_synchronisation_inside_a_step(pictures, tmp_path, precision, holes):
    recipe = replace(RECIPE, precision=precision, accumulate=2, augment="crop")
    images = with_holes(pictures, holes)
    trainer = Trainer(MaskedAutoencoder(SMALL), images, recipe, tmp_path / "run", device="cuda")
    trainer.train_step()
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_step()
        with pytest.raises(RuntimeError, match="synchroniz"):
            trainer.sums.sum().item()
    finally:
        torch.cuda.set_sync_debug_mode("default")
