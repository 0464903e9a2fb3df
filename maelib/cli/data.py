"""`maelib data`."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from ..config import PRESETS
from .common import UsageError, add_data, given_range, load_as_run, pictures_of, say_mixed, say_range

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
        "mae_tiny_patch4_64, with the bands that there are, if left out, or what --report suggests",
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
    from ..evaluation.reconstruction import nodata_of, values_of
    from ..loading import load

    args.data = args.source or args.data
    if args.report is not None:
        _report(args)
        return
    if args.json:
        raise UsageError(f"--json {args.json} needs --report")
    name, described, values = args.model or "mae_tiny_patch4_64", {}, None
    if name in PRESETS:
        config = PRESETS[name] if args.model else replace(PRESETS[name], channels=_bands(args))
    else:
        model, described = load(name), pictures_of(Path(name))
        config, values = model.config, values_of(model)
        args.nodata = nodata_of(model) if args.nodata is None else args.nodata
    made = []
    for split in ("train", "val"):
        packed = load_as_run(args, split, described, config, values)
        classes = f", {len(packed.classes)} classes" if packed.classes else ""
        bands = "" if config.channels == 3 else f", {config.channels} {'band' if config.channels == 1 else 'bands'}"
        note = f"; {packed.note}" if packed.note else ""
        what = f"tiles of {packed.made_of['count']:,} pictures, each" if args.tiles else "pictures"
        print(f"{packed.name}: {len(packed):,} {what} of {packed.hw[0]} x {packed.hw[1]} pixels{bands}{classes}{note}")
        say_range(packed)
        made.append(packed.made_of)
    say_mixed(*made)


def _bands(args: argparse.Namespace) -> int:
    """The bands of the first picture as a model takes them without more being said: gray as colour."""
    from ..datasets import DatasetError, ImageError
    from ..datasets.loading import cache_folder, find_source
    from ..datasets.tiles import Windows

    if args.data in ("tiny-imagenet", "samples"):
        return 3
    source = find_source(args.data, "all", args.cache or cache_folder())
    try:
        with Windows(source.file(0), source.where(0)) as picture:
            bands = picture.read(0, 0, 1, 1).shape[2] - picture.alpha
    except (DatasetError, ImageError, OSError):  # packing says what is wrong with it
        return 3
    return 3 if bands == 1 else bands


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
