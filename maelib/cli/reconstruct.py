"""`maelib reconstruct`."""

import argparse
from pathlib import Path

from ..strategies import STRATEGIES
from .common import add_bands, add_nodata, add_range, given_bands, given_range, picture_file, ratio, seed

HELP = "hide patches of a picture, predict them, write a four-panel picture"
EXAMPLES = """  maelib reconstruct photo.jpg                              three quarters hidden, into reconstruction.png
  maelib reconstruct chelsea --mask-ratio 0.9 --out cat.png a shipped picture, nine tenths hidden
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
    add_range(parser, "the model's own if left out")
    add_nodata(parser)
    add_bands(parser)
    parser.add_argument("--out", type=picture_file, default=Path("reconstruction.png"), help="the picture to write")


def run(args: argparse.Namespace) -> None:
    from ..datasets import sample_path, samples
    from ..drawing import save_picture
    from ..evaluation import reconstruct
    from ..evaluation.metrics import decibels
    from ..loading import load

    named = not Path(args.picture).exists() and args.picture in samples()
    picture = sample_path(args.picture) if named else args.picture
    values, model = given_range(args), load(args.model)
    bands = given_bands(args, model.config)
    result = reconstruct(
        model, picture, args.mask_ratio, args.seed, args.strategy, values, bands=bands, nodata=args.nodata
    )
    save_picture(result.panel(), args.out)
    for name, measured in result.scores().items():
        similarity = f", SSIM {measured['ssim']:.4f}" if "ssim" in measured else ""
        print(f"{name}: PSNR {decibels(measured['psnr'])}{similarity} ({measured['mask_ratio']:.0%} hidden)")
    if result.missing is not None:
        print(f"not known: {result.missing.mean():.0%} of the patches, hatched and not scored")
    print(f"picture: {args.out}{f' ({result.look.words})' if result.look else ''}")
