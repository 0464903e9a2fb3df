"""`maelib info`."""

import argparse
from dataclasses import fields
from typing import Any

from .. import __version__
from ..config import PRESETS, MAEConfig
from ..model import MaskedAutoencoder

HELP = "this installation and its models, or one model in detail"
EXAMPLES = """  maelib info                          versions, hardware, presets, shipped weights
  maelib info mae_base_patch16_224     configuration and parameters of a preset
  maelib info runs/mine                the same of a run of yours
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", nargs="?", help="a preset, a shipped name, a file of weights or a run folder")


def run(args: argparse.Namespace) -> None:
    import torch

    from ..hardware import describe_hardware, describe_software
    from ..loading import load_with_about
    from ..weights import shipped_weights

    if args.model is None:
        print(f"maelib {__version__}\n{describe_software()}\n{describe_hardware()}")
        print(f"presets: {', '.join(PRESETS)}\nshipped weights: {', '.join(shipped_weights()) or 'none'}")
        return
    if args.model in PRESETS and args.model not in shipped_weights():
        with torch.device("meta"):
            model = MaskedAutoencoder(PRESETS[args.model])
        about: dict[str, Any] = {}
    else:
        model, about = load_with_about(args.model)
    for field in fields(MAEConfig):
        print(f"{field.name:18} {getattr(model.config, field.name)}")
    for name, part in (("encoder", model.encoder), ("decoder", model.decoder), ("whole model", model)):
        trainable = sum(p.numel() for p in part.parameters())
        fixed = sum(b.numel() for key, b in part.named_buffers() if key.endswith("positions"))
        print(f"{name:18} {trainable + fixed:,} numbers, {trainable:,} of them trainable, {fixed:,} fixed positions")
    for key, value in about.items():
        if value:
            print(f"{key:18} {value}")
