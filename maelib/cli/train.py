"""`maelib train`."""

import argparse
import json
import math
from dataclasses import MISSING, asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..config import PRESETS, MAEConfig
from ..model import MaskedAutoencoder
from ..training import Stopped, TimeLimitReached, Trainer
from ..training.config import ARTICLE_MODEL, ARTICLE_RECIPE, AUGMENTATIONS, PRECISIONS, TrainConfig, recipe_help
from ..training.distributed import World, blaming_peers, init_distributed, shutdown_distributed
from ..training.interrupts import say
from .common import (
    NAMED,
    UsageError,
    add_bands,
    add_data,
    apply_options,
    data_name,
    data_path,
    device,
    given_bands,
    how_shown,
    load_data,
    pictures_of,
    print_scores,
    say_mixed,
    say_range,
)

HELP = "train a masked autoencoder; ends with a picture and its scores"
EXAMPLES = """  maelib train --preset-minute                   see the whole path work, on the shipped pictures
  maelib train --out runs/mine --epochs 5        Tiny ImageNet, five epochs
  maelib train --out runs/mine --resume auto     go on after an interruption
  maelib train --data ~/photos --out runs/ours --set decoder_depth=4
  maelib train --data ~/scans --set channels=1 --out runs/scans    gray of 8 or 16 bits, in its own range
  maelib train --data ~/scans --group 'patient(\\d+)' --out runs/scans      no patient on both sides of the split
  maelib train --data ~/scenes --tiles 64 --out runs/scenes               tiles of large pictures, not scaled
  maelib train --data ~/photos --out runs/mine --init mae_tiny_patch4_64    begin with the shipped weights
  torchrun --standalone --nproc_per_node=2 -m maelib train --preset-article --out runs/two    on two GPUs
  maelib train --preset-article --out runs/mine --resume auto --resume-from /kaggle/input --max-minutes 660
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data(parser)
    parser.add_argument("--out", type=Path, default=Path("runs/mae"), help="run folder")
    parser.add_argument(
        "--model", default=None, help=f"one of {', '.join(PRESETS)}; the preset's, else mae_tiny_patch4_64, if left out"
    )
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", dest="overrides",
                       help="change a field of the model, such as decoder_depth=4; may be repeated. "
                       f"Fields: {', '.join(field.name for field in fields(MAEConfig))}")  # fmt: skip
    parser.add_argument(
        "--init",
        default=None,
        metavar="WEIGHTS",
        help="begin with a trained model, a run folder, a file or a shipped name, instead of random weights; "
        "its shape comes with it",
    )
    parser.add_argument(
        "--resume",
        choices=["auto", "never"],
        default="never",
        help="auto: go on from the newest good checkpoint in --out; as many processes as before end with the same weights to "
        "the last bit, another number goes on too, equal but for rounding",
    )
    parser.add_argument(
        "--resume-from",
        type=Path,
        default=None,
        metavar="FOLDER",
        help="with --resume auto and no run in --out yet: copy the one found below this folder",
    )
    parser.add_argument(
        "--max-minutes",
        type=float,
        default=None,
        help="save and stop after so many minutes of training; no limit if left out",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="remove the run that is in --out, once the first step of this one is done",
    )
    parser.add_argument("--device", type=device, default=None, help="cpu, cuda; chosen by what is there")
    add_bands(parser)
    preset = parser.add_mutually_exclusive_group()
    preset.add_argument(
        "--preset-minute",
        action="store_true",
        help="a small model on the shipped pictures, about a minute on two cores",
    )
    preset.add_argument(
        "--preset-article",
        action="store_true",
        help="the article's model and recipe: 25 epochs of Tiny ImageNet, hours on two T4s",
    )
    parser.add_argument(
        "--no-final-evaluation", action="store_true", help="leave out the picture and the scores at the end"
    )
    _add_recipe(parser)


def run(args: argparse.Namespace) -> None:
    world, device = init_distributed(args.device)
    try:
        with blaming_peers():
            _train(args, world, device)
    finally:
        shutdown_distributed()


def _train(args: argparse.Namespace, world: World, device: torch.device) -> None:
    from ..datasets.bands import EIGHT_BIT, Values
    from ..drawing import contact_sheet
    from ..evaluation import reconstruct
    from ..evaluation.reconstruction import FOUND, first_usable, nodata_of, values_of
    from ..loading import load

    with world.together():
        recipe = ARTICLE_RECIPE if args.preset_article else TrainConfig()
        if args.preset_minute:
            recipe = replace(recipe, **MINUTE_RECIPE)
        if args.init is not None and (args.model or args.overrides or args.preset_minute):
            raise UsageError(f"--init {args.init} brings its own shape: leave out --model, --set and --preset-minute")
        args.model = args.model or (ARTICLE_MODEL if args.preset_article else "mae_tiny_patch4_64")
        chosen = {
            field.name: value for field in fields(TrainConfig) if (value := getattr(args, field.name)) is not None
        }
        overrides = (MINUTE_MODEL if args.preset_minute else {}) | _overrides(args.overrides)
        try:
            recipe = replace(recipe, **chosen)
            if args.model not in PRESETS:
                raise ValueError(f"no model {args.model!r}; there are: {', '.join(PRESETS)}")
            initial = None if args.init is None else load(args.init)
            shape = initial.config if initial else replace(PRESETS[args.model], **overrides)
            bands = given_bands(args, shape)
            if args.resume_from and args.resume != "auto":
                raise ValueError(f"--resume-from {args.resume_from} needs --resume auto")
            if args.overwrite and args.resume == "auto":
                raise ValueError("--overwrite removes the run that --resume auto goes on with: leave one of them out")
            if args.max_minutes is not None and not 0 < args.max_minutes < math.inf:
                raise ValueError(f"--max-minutes must be positive and finite, got {args.max_minutes}")
        except (ValueError, TypeError, FileNotFoundError) as error:
            raise UsageError(str(error)) from error
        if args.preset_minute and args.data == "tiny-imagenet":
            args.data = "samples"
        if initial and args.nodata is None:
            args.nodata = nodata_of(initial)

    values = (values_of(initial) or EIGHT_BIT) if initial else None
    if args.resume == "auto" and not args.init:
        earlier = pictures_of(args.out)
        apply_options(args, earlier)
        bands = given_bands(args, shape, earlier)
        values = Values(*earlier["range"][:3]) if "range" in earlier else None
    for turn in (True, False):  # the main process packs the data, the others open it
        with world.together():
            if world.is_main is turn:
                train = load_data(args, "train", shape, values)
                val = load_data(args, "val", shape, train.values)
    if world.is_main:
        say_range(train)
        say_mixed(train.made_of, val.made_of)
        if not initial and not (args.out / "config.json").exists() and _gray(train.images):
            say("the pictures are gray: --set channels=1 makes a model for them, with a third of the values to predict")
        if val.note:
            say(val.note)
        if shown := how_shown(val, bands):
            say(f"samples of the run are pictures for the eye{shown}")
    images = train.images
    if args.data == "samples":  # ten pictures are an epoch too short to be one
        images = np.tile(images, (MINUTE_REPEATS if args.preset_minute else max(1, recipe.batch_size // 2), 1, 1, 1))
    torch.manual_seed(recipe.seed)
    fixed = [val.picture(i) for i in first_usable(val, shape, recipe.mask_ratio, 8)]
    about: dict[str, Any] = {"name": _named(args.model, shape), "data": data_name(args)}
    if about["data"] not in NAMED:
        about["path"] = str(data_path(args))
    about["pictures"] = {"train": train.made_of, "val": val.made_of}
    if train.values != EIGHT_BIT or args.nodata is not None:
        about["range"] = [*train.values, *([] if args.nodata is None else [args.nodata])]
    about |= {"bands": bands} if bands else {}
    if initial:
        about["name"] = about["init"] = Path(args.init).stem
    model = initial or MaskedAutoencoder(shape)
    model.value_range = about.get("range")  # type: ignore[assignment]  # what its weights are saved with
    trainer = Trainer(
        model, replace(train, images=images), recipe, args.out,
        resume=args.resume == "auto", overwrite=args.overwrite, world=world, device=device,
        sample=(lambda model: contact_sheet([
            list(
                reconstruct(
                    model, image, recipe.mask_ratio, seed=i, values=val.values, bands=bands, nodata=FOUND
                ).shown.values()
            )
            for i, image in enumerate(fixed)
        ])) if fixed else None,
        about=about,
        resume_from=args.resume_from, max_minutes=args.max_minutes,
    )  # fmt: skip
    try:
        path = trainer.train()
    except TimeLimitReached:
        return  # as asked: the trainer has said how to go on
    except Stopped as stopped:
        raise Stopped(f"{stopped}; the same command with --resume auto goes on") from None
    if world.is_main:
        say(f"weights: {path}")
        if not initial and (where := _standing(args.out, shape, recipe, about["data"])):
            say(where)
        if not args.no_final_evaluation:
            _finish(trainer.model, val, args.out, recipe, bands)


def _gray(images: np.ndarray) -> bool:
    """Whether the three bands of all of some pictures (n, H, W, 3), evenly taken, are equal."""
    some = images[:: 1 + len(images) // 64]
    return images.shape[3] == 3 and bool((some == some[..., :1]).all())


def _named(preset: str, shape: MAEConfig) -> str:
    """A preset's name, with what of it was changed."""
    plain = asdict(PRESETS[preset])
    changed = [f"{field}={value}" for field, value in asdict(shape).items() if value != plain[field]]
    return preset + (f" with {', '.join(changed)}" if changed else "")


def _standing(out: Path, shape: MAEConfig, recipe: TrainConfig, data: str) -> str:
    """The last loss of a run that began from scratch beside recorded ones; empty where there is nothing to compare with."""
    from ..evaluation.standing import standing

    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    return standing(last["loss"], last["step"] * recipe.batch_size, shape, recipe.mask_ratio, data)


def _finish(model: MaskedAutoencoder, val: Any, out: Path, recipe: TrainConfig, bands: tuple[int, ...]) -> None:
    """A first look at a trained model: a picture and its scores on a few hundred pictures."""
    from ..drawing import save_picture
    from ..evaluation import evaluate, evaluate_baselines, reconstruct
    from ..evaluation.reconstruction import FOUND, first_usable

    model.eval()
    picture, n, c, ratio = out / "reconstruction.png", min(len(val), 256), model.config, recipe.mask_ratio
    usable = first_usable(val, c, ratio, 1)
    if not usable or usable[0] >= n:
        say(f"no scores: too few patches of the first {n} {val.what} of {val.name} are known")
        return
    first = reconstruct(model, val.picture(usable[0]), ratio, values=val.values, bands=bands, nodata=FOUND)
    save_picture(first.panel(), picture)
    scores = {"model": evaluate(model, val, ("pasted", "masked"), n=n, mask_ratio=ratio)}
    scores |= evaluate_baselines(val, c.hw, c.patch_size, fills=("visible_mean", "gaussian"), n=n, mask_ratio=ratio)
    print_scores(scores)
    print(f"picture: {picture}")


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    """One option for every field of the recipe; unset means the recipe's own default, which the help shows."""
    group = parser.add_argument_group("recipe")
    choices, about = {"augment": AUGMENTATIONS, "precision": PRECISIONS}, recipe_help()
    for field in fields(TrainConfig):
        default = field.default if field.default is not MISSING else None
        shown = " ".join(f"{value:g}" for value in default) if isinstance(default, tuple) else default
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{about.get(field.name, '').rstrip('.').replace('%', '%%')} (default: {shown})"
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
