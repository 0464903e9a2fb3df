"""Trials of the embedded model: its shape, learning rate, augmentation and mask schedule, on a fixed budget of pictures.

    python benchmarks/trials.py --json data/results/trials.json     # two hours on two cores
    python benchmarks/trials.py --only 4 5                          # two of them

Each sees 50,000 pictures once and is scored under `masked` with 75 % hidden. Runs resume; --json keeps the scores that are
in the file already, replaces those of the trials asked for, and measures the speed of all in turns, so keep the machine quiet.
"""

import json
import statistics
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from harness import images_per_second, parser_of, write_result
from short_run import RECIPE, ChangingMask, train
from training_step import make_step

from maelib import PRESETS, MAEConfig, MaskedAutoencoder
from maelib.datasets import load_dataset
from maelib.evaluation import evaluate


@dataclass(frozen=True)
class Trial:
    """What a trial changes in the shipped shape and in the common recipe."""

    name: str
    shape: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, Any] = field(default_factory=dict)
    rising_mask: bool = False


TRIALS = (
    Trial("192x12, joint decoder 128x2", {"depth": 12, "decoder_depth": 2, "decoder_cross": False}),
    Trial("192x12, cross decoder 128x2", {"depth": 12, "decoder_depth": 2}),
    Trial("192x8, cross decoder 128x1"),
    Trial("192x8, cross 128x1, rate 0.002", recipe={"base_lr": 2 * RECIPE.base_lr}),
    Trial("192x8, cross 128x1, crops", recipe={"augment": "crop", "crop_scale": (0.5, 1.0)}),
    Trial("192x8, cross 128x1, rising mask", rising_mask=True),
)


def build(trial: Trial, config: MAEConfig, steps: int) -> MaskedAutoencoder:
    """The model of a trial, with the weights of seed 0."""
    torch.manual_seed(RECIPE.seed)
    config = replace(config, **trial.shape)
    return ChangingMask(config, steps, start=0.5) if trial.rising_mask else MaskedAutoencoder(config)


def speeds(config: MAEConfig, rounds: int) -> dict[str, float]:
    """Images a second of a training step in bf16, each trial in turns; a rising mask at its average ratio."""
    steps = {}
    for trial in TRIALS:
        model = build(trial, config, steps=8)
        if isinstance(model, ChangingMask):
            average = statistics.mean(model.ratio(step, RECIPE.mask_ratio) for step in range(model.steps))
            model.start, model.steps = average, 10**9
        steps[trial.name] = make_step(model, torch.rand(RECIPE.batch_size, config.channels, *config.hw), "bf16")
    return images_per_second(steps, RECIPE.batch_size, rounds)


def main() -> None:
    parser = parser_of(__doc__, "images", "n", "rounds", "model", "data", "out", "json", out=Path("runs/trials"))
    numbered = "; ".join(f"{number} {trial.name}" for number, trial in enumerate(TRIALS))
    parser.add_argument("--only", type=int, nargs="+", default=range(len(TRIALS)), choices=range(len(TRIALS)),
                        help=f"trials by number: {numbered}")  # fmt: skip
    args = parser.parse_args()
    config = PRESETS[args.model]
    data, val = (load_dataset(args.data, split, size=config.hw[0]) for split in ("train", "val"))
    kept = json.loads(args.json.read_text()) if args.json and args.json.exists() else {"table": []}
    rows: dict[str, dict[str, Any]] = {row["trial"]: row for row in kept["table"]}
    steps = args.images // RECIPE.batch_size
    for number in args.only:
        trial = TRIALS[number]
        recipe = replace(RECIPE, limit=args.images, **trial.recipe)
        trained = train(build(trial, config, steps), trial.name, data, args.out / str(number), recipe)
        psnr = evaluate(trained, val, ("masked",), n=args.n)["masked"]["psnr"]
        parameters = sum(p.numel() for p in trained.parameters())
        rows[trial.name] = {"trial": trial.name, "parameters": parameters, "psnr": round(psnr, 3)}
        print(rows[trial.name], flush=True)
    if args.json:
        per_second = speeds(config, args.rounds)
        table = [rows[name] | {"images_per_second": speed} for name, speed in per_second.items() if name in rows]
        about = {
            "about": f"{args.images:,} pictures of Tiny ImageNet (the first ones), each seen once, batch {RECIPE.batch_size}, peak "
            f"learning rate {RECIPE.peak_lr:g} where nothing else is said, warm-up over a tenth, cosine to zero, flips, bf16, "
            "seed 0, one run each. In a cross decoder hidden patches look at the visible ones only. The rising mask hides half "
            "at first and three quarters from the middle of the training on. Speed of a training step measured apart, in turns",
            "model": args.model, "recipe": asdict(RECIPE), "images_seen": steps * RECIPE.batch_size, "n": args.n,
            "mask_ratio": RECIPE.mask_ratio, "seed": RECIPE.seed, "protocol": "masked",
        }  # fmt: skip
        write_result(args.json, table, **about)


if __name__ == "__main__":
    main()
