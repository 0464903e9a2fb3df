"""The command line: `maelib data | train | evaluate | reconstruct | info`."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from . import __version__
from .masking import STRATEGIES
from .model import PRESETS, MAEConfig, MaskedAutoencoder
from .training.config import AUGMENTATIONS, PRECISIONS, TrainConfig

EPILOG = """examples:
  maelib data                                    find or download Tiny ImageNet and pack it
  maelib train --out runs/mine --epochs 5        train the small model on it
  maelib train --out runs/mine --resume auto     go on after an interruption
  maelib train --data ~/photos --out runs/ours   train on your own pictures
  maelib evaluate runs/mine --n 1000 --baselines measure it, beside fills that learn nothing
  maelib reconstruct photo.jpg --model runs/mine hide three quarters of a photograph and bring it back
"""
# A small model that learns in a minute on two cores from the ten shipped pictures, to see the whole path work.
MINUTE_MODEL: Any = {
    "image_size": 64,
    "patch_size": 8,
    "width": 128,
    "depth": 4,
    "heads": 4,
    "decoder_width": 64,
    "decoder_depth": 1,
}
MINUTE_RECIPE: Any = {
    "epochs": 1,
    "batch_size": 40,
    "base_lr": 1.2e-2,
    "warmup_epochs": 0.05,
    "augment": "crop",
    "crop_scale": (0.5, 1.0),
}
MINUTE_REPEATS = 3600  # each shipped picture, cropped anew each time


class UsageError(Exception):
    """The command was called in a way that cannot work."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns 0, 1 (failed) or 2 (bad usage)."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if "run" not in args:
        parser.print_help()
        return 2
    try:
        args.run(args)
    except KeyboardInterrupt:
        print("maelib: interrupted", file=sys.stderr)
        return 1
    except Exception as error:  # one line for people; --debug shows where it came from
        if args.debug:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"maelib: {'usage: ' if isinstance(error, UsageError) else ''}{text}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """The parser with all commands."""
    parser = argparse.ArgumentParser(
        prog="maelib", description="Masked autoencoders from scratch: train, measure, reconstruct.", epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"maelib {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.", parents=[common],
                                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)  # fmt: skip
        sub.set_defaults(run=run)
        return sub

    data = command("data", run_data, "find, download if needed, and pack a data set; prints what is in it")
    _add_data(data)

    train = command("train", run_train, "train a masked autoencoder; ends with a picture and its figures")
    _add_data(train)
    train.add_argument("--out", type=Path, default=Path("runs/mae"), help="run folder")
    train.add_argument("--model", default="mae_tiny_patch4_64", help=f"one of {', '.join(PRESETS)}")
    train.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", dest="overrides",
                       help="change a field of the model, such as decoder_depth=4; may be repeated")  # fmt: skip
    train.add_argument(
        "--resume", choices=["auto", "never"], default="never", help="auto: go on from the newest checkpoint in --out"
    )
    train.add_argument("--overwrite", action="store_true", help="remove the run that is in --out")
    train.add_argument("--device", default=None, help="cpu, cuda; chosen by what is there")
    train.add_argument("--preset-minute", action="store_true",
                       help="a small model on the shipped pictures, about a minute on two cores")  # fmt: skip
    train.add_argument(
        "--no-final-evaluation", action="store_true", help="leave out the picture and the figures at the end"
    )
    _add_recipe(train)

    evaluate = command("evaluate", run_evaluate, "PSNR and SSIM of a model, by protocol")
    evaluate.add_argument("model", help="a run folder, a file of weights, or the name of a shipped model")
    _add_data(evaluate)
    evaluate.add_argument("--split", choices=["train", "val"], default="val", help="which part of the data")
    evaluate.add_argument("--n", type=int, default=None, help="the first n pictures only; all if left out")
    evaluate.add_argument("--mask-ratio", type=_ratio, default=0.75, help="share of the patches that is hidden")
    evaluate.add_argument("--seed", type=int, default=0, help="of the masks")
    evaluate.add_argument("--batch-size", type=int, default=64, help="pictures at a time; does not change the figures")
    evaluate.add_argument("--protocols", nargs="+", default=None, metavar="NAME",
                          help="article, pasted, masked; all that apply if left out")  # fmt: skip
    evaluate.add_argument("--baselines", action="store_true", help="also measure the fills that learn nothing")
    evaluate.add_argument("--device", default=None, help="cpu, cuda; chosen by what is there")
    evaluate.add_argument(
        "--json", type=Path, default=None, help="write the figures there; for a run folder its whole record"
    )

    reconstruct = command(
        "reconstruct", run_reconstruct, "hide patches of a picture, predict them, write a four-panel picture"
    )
    reconstruct.add_argument("picture", help="a picture file, or the name of a shipped one, such as chelsea")
    reconstruct.add_argument(
        "--model", default="mae_tiny_patch4_64", help="a shipped name, a file of weights or a run folder"
    )
    reconstruct.add_argument("--mask-ratio", type=_ratio, default=0.75, help="share of the patches that is hidden")
    reconstruct.add_argument("--strategy", choices=STRATEGIES, default="random", help="which patches are hidden")
    reconstruct.add_argument("--seed", type=int, default=0, help="of the mask")
    reconstruct.add_argument("--out", type=Path, default=Path("reconstruction.png"), help="the picture to write")

    info = command("info", run_info, "this installation and its models, or one model in detail")
    info.add_argument("model", nargs="?", help="a preset, a shipped name, a file of weights or a run folder")
    return parser


# -- commands ----------------------------------------------------------------------------------------------------------


def run_data(args: argparse.Namespace) -> None:
    """`maelib data`."""
    for split in ("train", "val"):
        packed = _load_data(args, split, args.size or 64)
        classes = f", {len(packed.classes)} classes" if packed.classes else ""
        print(f"{packed.name}: {len(packed):,} pictures of {packed.size} x {packed.size} pixels{classes}")


def run_train(args: argparse.Namespace) -> None:
    """`maelib train`."""
    import numpy as np
    import torch

    from .evaluation import contact_sheet, reconstruct
    from .training import Stopped, Trainer
    from .training.distributed import join_world, leave_world

    recipe = replace(TrainConfig(), **MINUTE_RECIPE) if args.preset_minute else TrainConfig()
    chosen = {field.name: value for field in fields(TrainConfig) if (value := getattr(args, field.name)) is not None}
    overrides = (MINUTE_MODEL if args.preset_minute else {}) | _overrides(args.overrides)
    try:
        recipe = replace(recipe, **chosen)
        if args.model not in PRESETS:
            raise ValueError(f"no model {args.model!r}; there are: {', '.join(PRESETS)}")
        shape = replace(PRESETS[args.model], **overrides)
    except (ValueError, TypeError) as error:
        raise UsageError(str(error)) from error
    if args.preset_minute and args.data == "tiny-imagenet":
        args.data = "samples"

    world, device = join_world(args.device)
    try:
        size = args.size or min(
            max(shape.hw), 128 if args.data == "samples" else 64 if args.data == "tiny-imagenet" else 256
        )
        if not world.leads:
            world.wait()  # the leading process packs the data, the others open it
        train, val = (_load_data(args, split, size) for split in ("train", "val"))
        if world.leads:
            world.wait()
        images = train.images
        if args.data == "samples":  # ten pictures are an epoch too short to be one
            images = np.tile(
                images, (MINUTE_REPEATS if args.preset_minute else max(1, recipe.batch_size // 2), 1, 1, 1)
            )
        if args.overwrite and world.leads and (args.out / "config.json").exists():
            shutil.rmtree(args.out)
        world.wait()
        torch.manual_seed(recipe.seed)
        fixed = [val.images[i] for i in range(min(8, len(val)))]
        known = args.data in ("tiny-imagenet", "samples")
        trainer = Trainer(
            MaskedAutoencoder(shape), images, recipe, args.out, resume=args.resume == "auto", world=world, device=device,
            sample=lambda model: contact_sheet(
                [reconstruct(model, image, recipe.mask_ratio, seed=i) for i, image in enumerate(fixed)]
            ),
            about={"name": args.model, "data": args.data if known else Path(args.data).name},
        )  # fmt: skip
        try:
            path = trainer.train()
        except Stopped as stopped:
            raise RuntimeError(f"{stopped}; the same command with --resume auto goes on") from None
        if world.leads:
            print(f"weights: {path}")
            if not args.no_final_evaluation:
                _finish(trainer.model, val, args.out, recipe)
    finally:
        leave_world()


def _finish(model: MaskedAutoencoder, val: Any, out: Path, recipe: TrainConfig) -> None:
    """A first look at a trained model: a picture and its figures on a few hundred pictures."""
    from .evaluation import evaluate, evaluate_baselines, reconstruct

    model.eval()
    picture = out / "reconstruction.png"
    reconstruct(model, val.images[0], recipe.mask_ratio).panel().save(picture)
    n = min(len(val), 256)
    c = model.config
    ratio = recipe.mask_ratio
    scores = {"model": evaluate(model, val, ("pasted", "masked"), n=n, mask_ratio=ratio)}
    scores |= evaluate_baselines(val, c.hw, c.patch_size, fills=("visible_mean", "gaussian"), n=n, mask_ratio=ratio)
    _print_scores(scores)
    print(f"picture: {picture}")


def run_evaluate(args: argparse.Namespace) -> None:
    """`maelib evaluate`."""
    from .evaluation import evaluate, evaluate_baselines
    from .evaluation.record import run_record
    from .training.distributed import join_world
    from .weights import write_atomically

    model = load_any(args.model).to(join_world(args.device)[1])
    c = model.config
    packed = _load_data(args, args.split, args.size or 64)
    common = {"mask_ratio": args.mask_ratio, "seed": args.seed, "n": args.n, "batch_size": args.batch_size}
    metrics = evaluate(model, packed, args.protocols, **common)
    baselines = evaluate_baselines(packed, c.hw, c.patch_size, list(metrics), **common) if args.baselines else {}
    _print_scores({"model": metrics, **baselines})
    if args.json:
        folder = Path(args.model)
        record = {"model": args.model, "data": args.data, "metrics": metrics, "baselines": baselines}
        if folder.is_dir():
            record = run_record(folder, metrics, baselines)
        write_atomically(args.json, (json.dumps(record, indent=1) + "\n").encode())
        print(f"written: {args.json}")


def run_reconstruct(args: argparse.Namespace) -> None:
    """`maelib reconstruct`."""
    from .datasets import sample_path, samples
    from .evaluation import reconstruct

    named = not Path(args.picture).exists() and args.picture in samples()
    picture = sample_path(args.picture) if named else args.picture
    result = reconstruct(load_any(args.model), picture, args.mask_ratio, args.seed, strategy=args.strategy)
    if args.out.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
        raise UsageError(f"--out must end in .png, .jpg or .webp, got {args.out}")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result.panel().save(args.out)
    for name, figures in result.metrics().items():
        similarity = f", SSIM {figures['ssim']:.4f}" if "ssim" in figures else ""
        print(f"{name}: PSNR {figures['psnr']:.2f} dB{similarity} ({figures['mask_ratio']:.0%} hidden)")
    print(f"picture: {args.out}")


def run_info(args: argparse.Namespace) -> None:
    """`maelib info`."""
    import torch

    from .hardware import describe_hardware, describe_software
    from .weights import shipped_weights

    if args.model is None:
        print(f"maelib {__version__}\n{describe_software()}\n{describe_hardware()}")
        print(f"presets: {', '.join(PRESETS)}\nshipped weights: {', '.join(shipped_weights()) or 'none'}")
        return
    if args.model in PRESETS and args.model not in shipped_weights():
        with torch.device("meta"):
            model = MaskedAutoencoder(PRESETS[args.model])
    else:
        model = load_any(args.model)
    for field in fields(MAEConfig):
        print(f"{field.name:18} {getattr(model.config, field.name)}")
    for name, part in (("encoder", model.encoder), ("decoder", model.decoder), ("whole model", model)):
        trainable = sum(p.numel() for p in part.parameters())
        fixed = sum(b.numel() for b in part.buffers())
        print(f"{name:18} {trainable + fixed:,} numbers, {trainable:,} of them trainable, {fixed:,} fixed positions")


def load_any(name: str) -> MaskedAutoencoder:
    """A trained model from a run folder, a file of weights, or by a shipped name."""
    from .weights import load_model

    folder = Path(name)
    if folder.is_dir():
        if not (folder / "model.safetensors").exists():
            raise FileNotFoundError(f"{folder} holds no model.safetensors: let its training end (--resume auto)")
        return load_model(folder / "model.safetensors")
    return load_model(name)


# -- arguments ---------------------------------------------------------------------------------------------------------


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        default="tiny-imagenet",
        help="tiny-imagenet, samples, or a path: a Tiny ImageNet zip or folder, any folder of pictures",
    )
    parser.add_argument(
        "--size", type=int, default=None, help="pack pictures at this size in pixels; fits the model if left out"
    )
    parser.add_argument(
        "--cache", type=Path, default=None, help="folder of packed data; MAELIB_CACHE or ~/.cache/maelib if left out"
    )


def _load_data(args: argparse.Namespace, split: str, size: int) -> Any:
    from .datasets import load_dataset

    return load_dataset(args.data, split, size=size, cache=args.cache)


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    """One option for every field of the recipe; unset means the recipe's own default, which the help shows."""
    group = parser.add_argument_group("recipe")
    choices = {"augment": AUGMENTATIONS, "precision": PRECISIONS}
    for field in fields(TrainConfig):
        default = field.default if field.default is not MISSING else None
        flag, text = f"--{field.name.replace('_', '-')}", f"(default: {default})"
        if isinstance(default, bool):
            group.add_argument(flag, action="store_true", default=None, help=text)
        elif isinstance(default, tuple):
            group.add_argument(flag, type=float, nargs=2, default=None, metavar=("A", "B"), help=text)
        else:
            kind = type(default) if default is not None else int
            group.add_argument(flag, type=kind, choices=choices.get(field.name), default=None, help=text)


def _overrides(items: list[str]) -> dict[str, Any]:
    """`decoder_depth=4` as {"decoder_depth": 4}; values are JSON."""
    known, found = {field.name for field in fields(MAEConfig)}, {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or name not in known:
            raise UsageError(f"--set takes FIELD=VALUE with a field of {', '.join(sorted(known))}; got {item!r}")
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError as error:
            raise UsageError(f"--set {name}: {value!r} is no number, true, false or list") from error
    return found


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be in [0, 1), got {text}")
    return value


def _print_scores(scores: dict[str, dict[str, dict[str, Any]]]) -> None:
    """A table of PSNR and SSIM, a row for the model and for each fill."""
    protocols = list(next(iter(scores.values())))
    one = next(iter(scores.values()))[protocols[0]]
    print(f"{one['n']:,} pictures, {one['mask_ratio']:.0%} hidden, seed {one['seed']}")
    print(f"{'':20}" + "".join(f"{protocol:>22}" for protocol in protocols))
    for name, by_protocol in scores.items():
        cells = [f"{m['psnr']:.2f} dB" + (f" / {m['ssim']:.3f}" if "ssim" in m else "") for m in by_protocol.values()]
        print(f"{name:20}" + "".join(f"{cell:>22}" for cell in cells))
