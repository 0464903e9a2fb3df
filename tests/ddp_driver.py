"""A short run for test_training.py, alone or as one of torchrun's processes: `python ddp_driver.py FOLDER`."""

import sys

import numpy as np
import torch

from maelib import MAEConfig, MaskedAutoencoder
from maelib.training import TrainConfig, Trainer
from maelib.training.distributed import init_distributed, shutdown_distributed

world, device = init_distributed("cpu")
torch.manual_seed(0)
model = MaskedAutoencoder(
    MAEConfig(
        image_size=32, patch_size=8, width=32, depth=2, heads=2, decoder_width=16, decoder_depth=1, decoder_heads=2
    )
)
images = np.random.default_rng(0).integers(0, 256, (48, 32, 32, 3), dtype=np.uint8)
config = TrainConfig(epochs=4, batch_size=16, accumulate=2, base_lr=0.02, log_every=1, augment="crop", precision="fp32")
Trainer(model, images, config, sys.argv[1], world=world, device=device).train()
shutdown_distributed()
