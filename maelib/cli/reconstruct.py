"""`maelib reconstruct`."""

import argparse
from pathlib import Path

from ..strategies import STRATEGIES
from .common import (
    add_bands,
    add_nodata,
    add_range,
    given_bands,
    given_range,
    picture_file,
    pictures_of,
    ratio,
    say_other_range,
    seed,
)

HELP = "hide patches of a picture, predict them, write a four-panel picture"
EXAMPLES = """  maelib reconstruct photo.jpg                              three quarters hidden, into reconstruction.png
  maelib reconstruct chelsea --mask-ratio 0.9 --out cat.png a shipped picture, nine tenths hidden
  maelib reconstruct scene.tif --model runs/scenes --tiles  all of a large picture, at its own size
  maelib reconstruct photo.jpg --model runs/mine --strategy block --seed 7
  maelib reconstruct scene.tif --model runs/scenes --bands 4 3 2    three of many bands, as red, green and blue
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("picture", help="a picture file, or the name of a shipped one, such as chelsea")
    parser.add_argument(
        "--model", default="mae_tiny_patch4_64", help="a shipped name, a file of weights or a run folder"
    )
    parser.add_argument("--mask-ratio", type=ratio, default=0.75, help="share of the patches that is hidden")
    parser.add_argument("--strategy", choices=STRATEGIES, default="random", help="which patches are hidden")
    parser.add_argument("--seed", type=seed, default=0, help="of the mask")
    parser.add_argument(
        "--tiles",
        action="store_true",
        help="reconstruct all of a large picture, at its own size, by overlapping tiles of the model's size; without it the "
        "picture is scaled to cover the model's size and its middle cut out",
    )
    add_range(parser, "the model's own if left out")
    add_nodata(parser)
    add_bands(parser)
    parser.add_argument("--out", type=picture_file, default=Path("reconstruction.png"), help="the picture to write")


def run(args: argparse.Namespace) -> None:
    from ..datasets import sample_path, samples
    from ..datasets.tiles import Windows
    from ..drawing import save_picture
    from ..evaluation import reconstruct, reconstruct_tiles
    from ..evaluation.metrics import decibels
    from ..evaluation.reconstruction import values_of
    from ..loading import load

    named = not Path(args.picture).exists() and args.picture in samples()
    picture = sample_path(args.picture) if named else args.picture
    values, model = given_range(args), load(args.model)
    bands = given_bands(args, model.config, pictures_of(Path(args.model)))
    say_other_range(values, values_of(model))
    make = reconstruct_tiles if args.tiles else reconstruct
    result = make(model, picture, args.mask_ratio, args.seed, args.strategy, values, bands=bands, nodata=args.nodata)
    (height, width), hw = Windows.size(Path(picture)), model.config.hw
    if not args.tiles and (height > hw[0] or width > hw[1]):
        scaled = f"scaled to cover {hw[0]} x {hw[1]}, its middle cut out"
        print(f"{Path(picture).name}: {height} x {width} pixels, {scaled}; --tiles reconstructs all of it")
    save_picture(result.panel(), args.out)
    for name, measured in result.scores().items():
        similarity = f", SSIM {measured['ssim']:.4f}" if "ssim" in measured else ""
        print(f"{name}: PSNR {decibels(measured['psnr'])}{similarity} ({measured['mask_ratio']:.0%} hidden)")
    if result.missing is not None:
        more = ""
        if (hidden := f"{result.mask.mean():.0%}") != (asked := f"{args.mask_ratio:.0%}"):
            more = f"; {hidden} are hidden ({asked} asked; patches that nobody knows are hidden, too)"
        print(f"not known: {result.missing.mean():.0%} of the patches, hatched and not scored{more}")
    print(f"picture: {args.out}{f' ({result.look.words})' if result.look else ''}")
