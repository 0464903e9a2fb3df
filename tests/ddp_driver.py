"""A short run, alone or as one of torchrun's processes, for test_training.py and test_training_processes.py.

    python ddp_driver.py FOLDER                  12 steps, a line of metrics for each
    python ddp_driver.py FOLDER KILL [FAILS]     40 steps, a line for every fifth, checkpoints between them, resumed

All processes kill themselves before step KILL; before step FAILS the last one raises, the first one where it is negative.
"""

import os
import signal
import sys
from dataclasses import replace

import numpy as np
import torch

from maelib import MAEConfig, MaskedAutoencoder
from maelib.training import TrainConfig, Trainer
from maelib.training.distributed import init_distributed, shutdown_distributed

folder, kill, fails = sys.argv[1], *[*map(int, sys.argv[2:]), 0, 0][:2]
between = len(sys.argv) > 2
world, device = init_distributed("cpu")
torch.set_num_threads(1)
torch.manual_seed(0)
model = MaskedAutoencoder(
    MAEConfig(
        image_size=32, patch_size=8, width=32, depth=2, heads=2, decoder_width=16, decoder_depth=1, decoder_heads=2
    )
)
images = np.random.default_rng(0).integers(0, 256, (240 if between else 48, 32, 32, 3), dtype=np.uint8)
config = TrainConfig(epochs=4, batch_size=16, accumulate=2, base_lr=0.02, log_every=1, augment="crop", precision="fp32")
if between:  # lines at 5, 10, ..., checkpoints wherever processes compare notes: at 8, 16, 20, ...
    config = replace(config, epochs=2, batch_size=12, log_every=5, checkpoint_minutes=1e-9)
trainer = Trainer(model, images, config, folder, world=world, device=device, resume=between)
step = trainer.train_step


def train_step() -> float:
    if trainer.step == kill != 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if trainer.step == abs(fails) != 0 and world.rank == (0 if fails < 0 else world.world_size - 1):
        raise OSError("no room")
    return step()


trainer.train_step = train_step
trainer.train()
shutdown_distributed()
