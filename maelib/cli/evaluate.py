"""`maelib evaluate`."""

import argparse
import json
from pathlib import Path

from .common import (
    UsageError,
    add_bands,
    add_data,
    data_of,
    device,
    given_bands,
    given_range,
    how_shown,
    is_of_run,
    load_as_run,
    picture_file,
    pictures_of,
    positive,
    print_scores,
    ratio,
    run_of,
    say_mixed,
    say_other_range,
    say_range,
    seed,
)

HELP = "PSNR and SSIM of a model, by protocol"
EXAMPLES = """  maelib evaluate runs/mine --baselines                     your run, beside fills that learn nothing
  maelib evaluate mae_tiny_patch4_64 --n 1000               the shipped model on the first 1,000 pictures
  maelib evaluate runs/mine --mask-ratio 0.5 --json m.json  half hidden, the record of the run in a file
  maelib evaluate runs/mine --sheet sheet.png               a look at ten typical pictures and the five worst
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="a run folder, a file of weights, or the name of a shipped model")
    add_data(parser, of_run=True)
    parser.add_argument(
        "--split",
        choices=["train", "val", "all"],
        default="val",
        help="which part of the data; of a folder without train/ and val/, val is 5 %% held out from training",
    )
    parser.add_argument(
        "--n", type=positive, default=None, help="the first n pictures of the split only; all of it if left out"
    )
    parser.add_argument("--mask-ratio", type=ratio, default=0.75, help="share of the patches that is hidden")
    parser.add_argument("--seed", type=seed, default=0, help="of the masks")
    parser.add_argument(
        "--batch-size", type=positive, default=64, help="pictures at a time; does not change the scores"
    )
    parser.add_argument(
        "--protocols",
        nargs="+",
        default=None,
        metavar="NAME",
        help="article, pasted, masked; all that apply if left out",
    )
    parser.add_argument("--baselines", action="store_true", help="also measure the fills that learn nothing")
    parser.add_argument("--device", type=device, default=None, help="cpu, cuda; chosen by what is there")
    parser.add_argument(
        "--json", type=Path, default=None, help="write the scores there; for a run folder its whole record"
    )
    parser.add_argument(
        "--sheet",
        type=picture_file,
        default=None,
        metavar="PNG",
        help="draw ten typical pictures and the five worst there",
    )
    add_bands(parser)
    parser.add_argument(
        "--before",
        type=Path,
        default=None,
        metavar="RECORD",
        help="with --json: the record of the run whose weights this one began with (train --init); "
        "the new record counts both",
    )


def run(args: argparse.Namespace) -> None:
    from ..datasets.bands import EIGHT_BIT
    from ..drawing import save_picture
    from ..evaluation import evaluate_baselines, example_sheet, mean_scores, score_pictures
    from ..evaluation.reconstruction import nodata_of, values_of
    from ..evaluation.record import read_record, run_record
    from ..files import write_atomically
    from ..loading import load
    from ..training.distributed import init_distributed

    if args.sheet and args.protocols and "masked" not in args.protocols:
        raise UsageError(
            f"--sheet chooses pictures by their masked PSNR: add masked to --protocols {' '.join(args.protocols)}"
        )
    if args.bands and not args.sheet:
        raise UsageError("--bands says what --sheet shows: add --sheet PNG")
    folder = Path(args.model)
    of_run = pictures_of(run_of(folder))
    args.data = args.data or data_of(of_run, args.model)
    record = {"model": args.model, "data": args.data}
    if args.before and not (args.json and folder.is_dir()):
        raise UsageError(f"--before {args.before} needs a run folder and --json")
    if args.json and folder.is_dir():  # before the pictures are scored: what is wrong with it should be said at once
        record = run_record(folder, {}, {}, read_record(args.before) if args.before else None)
    model = load(args.model, init_distributed(args.device)[1])
    c = model.config
    args.nodata = nodata_of(model) if args.nodata is None else args.nodata
    bands = given_bands(args, c, of_run)
    say_other_range(given_range(args), values_of(model))
    packed = load_as_run(args, args.split, of_run, c, values_of(model) or EIGHT_BIT)
    if args.range:
        model.value_range = packed.values
    say_range(packed)
    of_train = of_run.get("pictures", {}).get("train", {}) if is_of_run(args, of_run) else {}
    say_mixed(packed.made_of, of_train if args.split == "val" else {})
    if packed.note:
        print(f"{packed.note}; --split all scores every one")
    common = {"mask_ratio": args.mask_ratio, "seed": args.seed, "n": args.n, "batch_size": args.batch_size}
    scores = score_pictures(model, packed, args.protocols, **common)
    metrics = mean_scores(scores, args.mask_ratio, args.seed)
    baselines = evaluate_baselines(packed, c.hw, c.patch_size, list(metrics), **common) if args.baselines else {}
    print_scores({"model": metrics, **baselines})
    if args.sheet:
        psnr = scores["masked"][:, 0]
        sheet = example_sheet(model, packed, psnr, mask_ratio=args.mask_ratio, seed=args.seed, bands=bands)
        save_picture(sheet, args.sheet)
        print(f"ten typical pictures and the five worst: {args.sheet}{how_shown(packed, bands)}")
    if args.json:
        record |= {"metrics": metrics, "baselines": baselines}
        write_atomically(args.json, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())
        print(f"written: {args.json}")
