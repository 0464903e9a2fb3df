"""The race: seconds of training, from random weights, until 17.0 dB on Tiny ImageNet's validation pictures (chapter 11).

    python benchmarks/speedrun.py screen                     # every trick and every trial of the opponents: 40,000 pictures each
    python benchmarks/speedrun.py length --entries "Muon, batch 32"                  # the shortest training that suffices
    python benchmarks/speedrun.py final --entries "Muon, batch 32" --images 50000    # seeds 0, 1, 2, and validation
    python benchmarks/speedrun.py speed --entries "Muon, batch 32" "timm, our recipe"   # on a quiet machine

75 % hidden, 64 pixels, `masked`. Pictures 475 to 499 of each class of the training set, by the number in their names (5,000),
are never trained on, and these choose everything; the 10,000 validation pictures score final runs only. Warm-up over 5 %, cosine to
zero, flips, clip 1, bf16 where an entry says nothing else; every training has its own schedule. The length is the shortest of
the list whose seed 0 reaches 17.05 dB on the 5,000. Time is pictures times seconds a picture, which are measured for all in
turns in one run, so that trainings may be interrupted and may share the machine. Opponents are trained with timm's blocks;
transformers' ViTMAE computes the same (a test follows both, step by step), so that only its seconds are its own.

Runs resume, and scores that are in the file stay there.
"""

import argparse
import json
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import machine, parser_of, print_machine, seconds_in_turns, times_as_fast, write_result
from peers import TimmMAE, TransformersMAE
from race_entries import ENTRIES, OPPONENTS, TRICKS, Entry
from short_run import train
from training_step import make_step

from maelib import MaskedAutoencoder
from maelib.datasets import PackedImages, load_dataset
from maelib.datasets.loading import cache_folder, find_source
from maelib.evaluation import evaluate
from maelib.training import TrainConfig

FIRST_HELD_OUT = 475  # number in the name of a picture of its class, 0 to 499
LENGTHS = tuple(thousand * 1000 for thousand in (20, 25, 30, 40, 50, 75, 100, 150, 200, 300))
ENOUGH = 17.05  # dB on the 5,000


def parts(source: str) -> tuple[PackedImages, np.ndarray]:
    """The pictures to train on, in an order of their own that mixes the classes, and the 5,000 that choose."""
    names = find_source(source, "train", cache_folder()).members
    numbers = np.array([int(re.findall(r"_(\d+)\.", name)[-1]) for name in names])
    packed = load_dataset(source, "train")
    held_out, rest = (np.flatnonzero(where) for where in (numbers >= FIRST_HELD_OUT, numbers < FIRST_HELD_OUT))
    order = np.random.default_rng(0).permutation(rest)
    return replace(packed, images=packed.images[order], labels=None), packed.images[held_out]


class Race:
    """The table of runs in a file, and what makes a new row of it."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.data, self.held_out = parts(args.data)
        self.file = json.loads(args.json.read_text()) if args.json and args.json.exists() else {}
        self.rows: list[dict[str, Any]] = self.file.get("table", [])

    def run(self, entry: Entry, images: int, seed: int = 0, validate: bool = False) -> dict[str, Any]:
        """The row of an entry at a length and seed: from the file, or trained and scored now."""
        key = {"entry": entry.name, "images": images, "seed": seed}
        row = next((row for row in self.rows if key.items() <= row.items()), None)
        if row is not None and ("validation" in row or not validate):
            return row
        recipe = entry.recipe_for(images, seed)
        slug = re.sub(r"[^a-z0-9]+", "-", f"{entry.name}-{images}-{seed}".lower())
        trained: Any = train(entry.build(recipe), entry.name, self.data, self.args.runs / slug, recipe)
        model = trained.ours() if hasattr(trained, "ours") else trained
        psnr = evaluate(model, self.held_out, ("masked",))["masked"]["psnr"]
        if row is None:
            changed = {name: value for name, value in asdict(recipe).items() if value != getattr(TrainConfig(), name)}
            row = key | {"psnr": round(psnr, 3), "shape": entry.shape, "recipe": changed}
            row |= {"parameters": sum(p.numel() for p in model.parameters()), "hardware": machine()["hardware"]}
            self.rows.append(row)
        if validate:
            pictures = load_dataset(self.args.data, "val").images
            row["validation"] = round(evaluate(model, pictures, ("masked",))["masked"]["psnr"], 3)
        print(f"{entry.name:52} {images:7,} pictures, seed {seed}: {row['psnr']:.3f} dB", flush=True)
        self.write()
        return row

    def write(self, **fields: Any) -> None:
        """The table and what else is known, into the file."""
        self.file |= fields
        if self.args.json:
            about = " ".join((__doc__ or "").split("\n\n")[2].split())
            kept = {name: self.file[name] for name in ("speeds", "machine") if name in self.file}
            common = {"n": len(self.held_out), "mask_ratio": 0.75, "protocol": "masked", "hardware": None}
            write_result(self.args.json, self.rows, about=about, **common, **kept)


def step_of(entry: Entry, code: str, compiled: bool) -> tuple[Any, int]:
    """A training step of an entry in one of the codes, and how many pictures it takes."""
    recipe = entry.recipe_for(64_000)
    model = entry.build(recipe)
    if code == "transformers":
        model = TransformersMAE(model.config, "eager")
    elif code == "timm":
        model = TimmMAE(model.config, fused=False)
    elif code == "ours" and not isinstance(model, MaskedAutoencoder):
        model = MaskedAutoencoder(model.config)
    images = torch.rand(recipe.batch_size, model.config.channels, *model.config.hw)
    return make_step(model, images, "bf16", compiled=compiled, muon_lr=recipe.muon_lr), recipe.batch_size


def measure(race: Race, entries: list[Entry], rounds: int) -> None:
    """Seconds a picture of every entry in every code that can compute it, compiled and not, in turns."""
    print_machine()
    steps, pictures = {}, {}
    for entry in entries:
        joint = not entry.shape.get("decoder_cross", True)
        for code in ("ours", "timm", "transformers") if joint else ("ours",):
            for compiled in (False, True):
                name = f"{entry.name} | {code}{', compiled' if compiled else ''}"
                steps[name], pictures[name] = step_of(entry, code, compiled)
    found = seconds_in_turns(steps, rounds, 2, torch.device("cpu"))
    first = next(iter(steps))
    speeds = {}
    for name, seconds in found.items():
        each = [second / pictures[name] for second in seconds]
        found[name] = each
        speeds[name] = {"seconds_a_picture": round(sorted(each)[len(each) // 2], 6)}
        print(f"{name:70} {1000 * speeds[name]['seconds_a_picture']:.2f} ms a picture")
    for name in found:
        speeds[name]["times_as_fast_as_first"] = round(times_as_fast(found, name, first), 3)
    race.write(speeds=speeds, machine=machine())


def main() -> None:
    parser = parser_of(__doc__, "data", "json", "rounds")
    parser.add_argument("stage", choices=("screen", "length", "final", "speed"))
    parser.add_argument("--runs", type=Path, default=Path("runs/race"), help="folder of the runs")
    parser.add_argument("--entries", nargs="+", metavar="ENTRY", help="by their names in race_entries.py")
    parser.add_argument("--images", type=int, default=40_000, help="pictures of a training (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of final runs (default: 0 1 2)")
    args = parser.parse_args()
    if unknown := set(args.entries or ()) - ENTRIES.keys():
        parser.error(f"no entry {', '.join(sorted(unknown))}; there are: {'; '.join(ENTRIES)}")
    if args.entries is None and args.stage != "screen":
        parser.error(f"{args.stage} needs --entries")
    entries = [ENTRIES[name] for name in args.entries] if args.entries else [*TRICKS, *OPPONENTS]
    race = Race(args)
    if args.stage == "speed":
        measure(race, entries, args.rounds)
        return
    for entry in entries:
        if args.stage == "screen":
            race.run(entry, args.images)
        elif args.stage == "final":
            for seed in args.seeds:
                race.run(entry, args.images, seed, validate=True)
        else:
            next((n for n in LENGTHS if n >= args.images and race.run(entry, n)["psnr"] >= ENOUGH), None)


if __name__ == "__main__":
    main()
