"""`maelib data`."""

import argparse

from .common import add_data, load_data

HELP = "find, download if needed, and pack a data set; prints what is in it"
EXAMPLES = """  maelib data                                 Tiny ImageNet, found (MAELIB_DATA) or downloaded
  maelib data --data ~/photos --size 128      a folder of your own pictures, at 128 pixels
  maelib data --data samples                  the pictures that ship with maelib
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser)


def run(args: argparse.Namespace) -> None:
    for split in ("train", "val"):
        packed = load_data(args, split, args.size or 64)
        classes = f", {len(packed.classes)} classes" if packed.classes else ""
        print(f"{packed.name}: {len(packed):,} pictures of {packed.size} x {packed.size} pixels{classes}")
