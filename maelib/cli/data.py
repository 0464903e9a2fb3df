"""`maelib data`."""

import argparse
import json
from pathlib import Path

from ..config import PRESETS
from .common import UsageError, add_data, given_range, load_data, say_range

HELP = "find, download if needed, and pack a data set; prints what is in it"
EXAMPLES = """  maelib data                                 Tiny ImageNet, found (MAELIB_DATA) or downloaded
  maelib data ~/photos --report photos.html   what is in a folder, and what is wrong with it, before anybody trains
  maelib data ~/scans --report --group 'patient(\\d+)' --json scans.json
  maelib data ~/photos --size 120x200         a folder of your own pictures, 120 pixels high and 200 wide
  maelib data ~/scenes --tiles 224            tiles of large pictures
  maelib data --model mae_base_patch16_224    Tiny ImageNet as that model takes it
  maelib data samples                         the pictures that ship with maelib
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", nargs="?", default=None, metavar="DATA", help="the same as --data")
    add_data(parser)
    parser.add_argument(
        "--model",
        default=None,
        help="a preset, a shipped name, a file of weights or a run folder: the model that the pictures are for; "
        "mae_tiny_patch4_64 if left out, or what --report suggests",
    )
    parser.add_argument(
        "--report",
        nargs="?",
        type=page,
        const=Path(),
        default=None,
        metavar="HTML",
        help="instead of packing, report on every picture, damaged ones by name: sizes, bands, values, near duplicates, "
        "groups, what fills that learn nothing score, a model to begin with and its minutes here; into a page too, if named",
    )
    parser.add_argument("--json", type=Path, default=None, help="write the report there")


def page(text: str) -> Path:
    """A page to write, as an option's type."""
    if not text.lower().endswith((".html", ".htm")):
        raise argparse.ArgumentTypeError(f"must end in .html, got {text}: name the data before --report")
    return Path(text)


def run(args: argparse.Namespace) -> None:
    from ..loading import load

    args.data = args.source or args.data
    if args.report is not None:
        _report(args)
        return
    if args.json:
        raise UsageError(f"--json {args.json} needs --report")
    name = args.model or "mae_tiny_patch4_64"
    config = PRESETS[name] if name in PRESETS else load(name).config
    for split in ("train", "val"):
        packed = load_data(args, split, config)
        classes = f", {len(packed.classes)} classes" if packed.classes else ""
        bands = "" if config.channels == 3 else f", {config.channels} {'band' if config.channels == 1 else 'bands'}"
        note = f"; {packed.note}" if packed.note else ""
        what = f"tiles of {packed.made_of['count']:,} pictures, each" if args.tiles else "pictures"
        print(f"{packed.name}: {len(packed):,} {what} of {packed.hw[0]} x {packed.hw[1]} pixels{bands}{classes}{note}")
        say_range(packed)


def _report(args: argparse.Namespace) -> None:
    from ..evaluation.report import report
    from ..evaluation.report_page import as_page, as_text
    from ..files import write_atomically
    from ..training.distributed import init_distributed

    if args.model not in (None, *PRESETS):
        raise UsageError(f"--report takes a preset as --model ({', '.join(PRESETS)}), got {args.model}")
    values = given_range(args)
    made = report(
        args.data,
        model=args.model,
        group=args.group,
        tiles=args.tiles,
        overlap=args.overlap or 0,
        value_range=values[:2] if values else None,
        nodata=args.nodata,
        cache=args.cache,
        device=init_distributed()[1],
    )
    print(as_text(made.data))
    if args.report.name:
        write_atomically(args.report, as_page(made).encode())
        print(f"\npage: {args.report}")
    if args.json:
        write_atomically(args.json, (json.dumps(made.data, indent=1, allow_nan=False) + "\n").encode())
        print(f"written: {args.json}")
