"""A model and a recipe to begin with on given pictures, and how long they take on this machine."""

import math
import shlex
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import PRESETS, MAEConfig
from ..datasets import PackedImages
from ..datasets.missing import Nodata, spelled
from ..hardware import describe_hardware
from ..model import MaskedAutoencoder
from ..training import TrainConfig, Trainer
from ..training.batches import Batches
from ..training.distributed import World

BATCH = 128  # pictures, or fewer
RATIO = TrainConfig().mask_ratio
STEPS = 3  # that are measured
SEEN = 500_000  # pictures of a first training: some minutes of a GPU, an hour or two of two cores

LONG, SHORT = 30, 5  # minutes: a recipe that takes longer has a smaller one beside it, of about so many
SMALLER: Any = {"width": 128, "depth": 4, "heads": 4, "decoder_width": 64, "decoder_depth": 1}


def model_for(bands: int, side: float, name: str | None, device: torch.device | str) -> MAEConfig:
    """The preset of a name, else the large one where pictures have a shorter side to fill it and there is a GPU."""
    large = torch.device(device).type == "cuda" and side >= 160
    return replace(PRESETS[name or ("mae_base_patch16_224" if large else "mae_tiny_patch4_64")], channels=bands)


class _Quiet(Trainer):
    def announce(self, text: str) -> None:
        pass


def suggestion(data: Any, config: MAEConfig, packed: PackedImages, n: int, device: Any) -> dict[str, Any]:
    """A model and a recipe to begin with, and how long they take here, by a few real steps; where that is long, a `smaller`
    one of a few minutes."""
    n = max(1, n)
    name = next(name for name, preset in PRESETS.items() if replace(preset, channels=config.channels) == config)
    batch = min(BATCH, 2 ** int(math.log2(n)))
    repeats = max(1, batch // 2) if data == "samples" else 1  # as `maelib train` does
    recipe = TrainConfig(
        epochs=max(5, min(400, round(SEEN / n))), batch_size=batch, augment="crop" if n < 20_000 else "flip"
    )
    shipped = name == "mae_tiny_patch4_64" and config.channels == 3 and packed.images.dtype == np.uint8
    model = ["--init", name] if shipped else ["--model", name] if name != "mae_tiny_patch4_64" else []
    step = _seconds_a_step(config, recipe, packed, device)
    found = _found(data, config, recipe, n * repeats, step, model, "") | {
        "model": name,
        "channels": config.channels,
        "size": list(config.hw),
        "begins_with_shipped_weights": shipped,
        "hardware": describe_hardware(),
    }
    if found["minutes"] > LONG:
        shape = SMALLER | {"patch_size": max(8, config.patch_size)}
        small = replace(config, **shape)
        step = _seconds_a_step(small, recipe, packed, device)
        epochs = int(60 * SHORT / step / max(1, n * repeats // batch))
        limit = None
        if epochs < 5:
            epochs, limit = 5, min(n, batch * max(1, int(60 * SHORT / step / 5)))
        recipe = replace(recipe, epochs=min(epochs, recipe.epochs), limit=limit)
        model = [*model * (not shipped), *(word for of in shape.items() for word in ("--set", "{}={}".format(*of)))]
        found["smaller"] = _found(data, small, recipe, limit or n * repeats, step, model, "-small")
    return found


def _found(
    data: Any, config: MAEConfig, recipe: TrainConfig, n: int, step: float, model: list[str], ending: str
) -> dict[str, Any]:
    """A recipe on n pictures, its minutes and its command."""
    words = ["maelib", "train", "--data", str(data), "--epochs", str(recipe.epochs)]
    words += ["--batch-size", str(recipe.batch_size), "--augment", recipe.augment]
    words += ["--limit", str(recipe.limit)] if recipe.limit else []
    words += ["--out", f"runs/{Path(data).resolve().name}{ending}", *model]
    words += ["--set", f"channels={config.channels}"] if config.channels != 3 else []
    return {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "augment": recipe.augment,
        "seconds_a_step": step,
        "minutes": step * recipe.epochs * (n // recipe.batch_size) / 60,
        "command": shlex.join(words),
    }


def _seconds_a_step(config: MAEConfig, recipe: TrainConfig, packed: PackedImages, device: Any) -> float:
    """The median of a few real steps."""
    with tempfile.TemporaryDirectory() as folder:
        usable = _usable(packed, recipe, config)
        which = np.resize(usable if len(usable) else np.arange(len(packed)), recipe.batch_size)
        holes = None if packed.missing is None or not len(usable) else packed.missing[which]
        repeated = replace(packed, images=packed.images[which], missing=holes)
        torch.manual_seed(0)
        trainer = _Quiet(MaskedAutoencoder(config), repeated, recipe, Path(folder) / "run", device=device)
        seconds = []
        for _ in range(1 + STEPS):  # the first is slower
            start = time.perf_counter()
            trainer.train_step()
            float(trainer.sums[0])  # waits for the device
            seconds.append(time.perf_counter() - start)
        trainer.run.close()
    return statistics.median(seconds[1:])


def _usable(packed: PackedImages, recipe: TrainConfig, config: MAEConfig) -> np.ndarray:
    """Numbers of the pictures that a training does not leave out for their missing pixels."""
    if packed.missing is None:
        return np.arange(len(packed))
    one = replace(recipe, batch_size=1)
    try:
        return Batches(packed, one, config.hw, math.prod(config.grid), World(), torch.device("cpu")).usable.numpy()
    except ValueError:  # none is left
        return np.arange(0)


def options(group: str | None, tiles: Any, overlap: int, value_range: Any, nodata: Nodata | None) -> str:
    """The options of the pictures, as the command line takes them."""
    words = ["--group", group] if group else []
    words += ["--tiles", "x".join(map(str, tiles))] if tiles else []
    words += ["--overlap", str(overlap)] if overlap else []
    words += ["--range", *map("{:g}".format, value_range)] if value_range else []
    if nodata is not None:
        words.append(f"--nodata={spelled(nodata)}")
    return f" {shlex.join(words)}" if words else ""
