"""A small training run in a process of its own, or in several, which may kill itself with SIGKILL at a chosen place.
Used by test_resume.py and benchmarks/kills.py.

    python training_driver.py FOLDER [PLACE [COUNT [RECIPE]]]

PLACE is `step` (before step COUNT), or a place in the COUNT-th checkpoint of this process: `before-write`,
`during-write`, `after-write` (before the rename), `after-rename`; or `metrics` (half a line of metrics written, at line
COUNT). RECIPE is JSON of fields that differ.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch

from maelib import MAEConfig, MaskedAutoencoder, files
from maelib.datasets import read_image, resize_crop_square, sample_path, samples
from maelib.training import Stopped, TrainConfig, Trainer, checkpoint
from maelib.training.distributed import init_distributed, shutdown_distributed

given = sys.argv[1:] + ["", "0", "{}"][len(sys.argv) - 2 :]
folder, place, count, recipe = Path(given[0]), *given[1:3], json.loads(given[3])
world, device = init_distributed("cpu")
remaining = int(count)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def last_time() -> bool:
    """Counts down; True at the COUNT-th call."""
    global remaining
    remaining -= 1
    return remaining == 0


torch.set_num_threads(1)
torch.manual_seed(0)
model = MaskedAutoencoder(
    MAEConfig(
        image_size=32, patch_size=8, width=32, depth=2, heads=2, decoder_width=16, decoder_depth=1, decoder_heads=2
    )
)
shipped = [np.asarray(resize_crop_square(read_image(sample_path(name)), 32)) for name in samples()]
images = np.tile(shipped, (3, 1, 1, 1))[:24]
usual = {"epochs": 16, "batch_size": 6, "accumulate": 2, "base_lr": 0.05, "log_every": 3, "augment": "crop"}
config = TrainConfig(**{**usual, "checkpoint_minutes": 0, "precision": "auto", **recipe})
trainer = Trainer(model, images, config, folder, resume=True, world=world, device=device)

if place == "step":
    step = trainer.train_step
    trainer.train_step = lambda: die() if trainer.step == int(count) else step()
elif place == "metrics":
    write = trainer.run.write

    def write_half(line):
        if last_time():
            trainer.run._metrics.write('{"step": 99, "ep')
            trainer.run._metrics.flush()
            die()
        write(line)

    trainer.run.write = write_half
elif place:
    real_write, real_replace = checkpoint.write_atomically, os.replace

    class HalfFile:
        """A file that dies in the middle of a write."""

        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, content):
            self.file.write(content[: len(content) // 2])
            self.file.flush()
            die()

    def write_and_die(path, content):
        if not last_time():
            return real_write(path, content)
        if place == "before-write":
            die()
        if place == "during-write":
            real_open = os.fdopen
            files.os.fdopen = lambda *a: HalfFile(real_open(*a))
        if place == "after-write":
            files.os.replace = lambda *a: die()
        if place == "after-rename":
            files.os.replace = lambda *a: (real_replace(*a), die())
        return real_write(path, content)

    checkpoint.write_atomically = write_and_die

try:
    trainer.train()
except Stopped:
    sys.exit(1)
shutdown_distributed()
