"""`maelib data`."""

import argparse

from ..config import PRESETS
from .common import add_data, load_data, say_range

HELP = "find, download if needed, and pack a data set; prints what is in it"
EXAMPLES = """  maelib data                                 Tiny ImageNet, found (MAELIB_DATA) or downloaded
  maelib data --data ~/photos --size 120x200  a folder of your own pictures, 120 pixels high and 200 wide
  maelib data --model mae_base_patch16_224    Tiny ImageNet as that model takes it
  maelib data --data samples                  the pictures that ship with maelib
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    parser.add_argument(
        "--model",
        default="mae_tiny_patch4_64",
        help="a preset, a shipped name, a file of weights or a run folder: the model that the pictures are for",
    )


def run(args: argparse.Namespace) -> None:
    from ..loading import load

    config = PRESETS[args.model] if args.model in PRESETS else load(args.model).config
    for split in ("train", "val"):
        packed = load_data(args, split, config)
        classes = f", {len(packed.classes)} classes" if packed.classes else ""
        bands = "" if config.channels == 3 else f", {config.channels} {'band' if config.channels == 1 else 'bands'}"
        note = f"; {packed.note}" if packed.note else ""
        print(
            f"{packed.name}: {len(packed):,} pictures of {packed.hw[0]} x {packed.hw[1]} pixels{bands}{classes}{note}"
        )
        say_range(packed)
