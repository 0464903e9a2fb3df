"""Train the model that the pages embed: `mae_tiny_patch4_64` by a recipe that leads the race's first trials, on Tiny ImageNet.

    python benchmarks/embedded.py --out ~/runs/embedded                # two hours of one core with bf16, estimated
    python -m maelib evaluate ~/runs/embedded --n 2000                 # at any time, also while it trains

It never sees pictures 475 to 499 of each class (`speedrun.parts`), on which recipes are chosen, nor the validation set. The run
resumes where it was cut.
"""

from typing import Any

import torch
from harness import parser_of, print_machine
from race_entries import STANDARD, muon
from short_run import train
from speedrun import parts

from maelib import create_model
from maelib.training import TrainConfig

MODEL = "mae_tiny_patch4_64"


def recipe(epochs: int) -> TrainConfig:
    """Muon for the blocks' matrices, warm-up over the first fiftieth, small batches: cheap on a CPU."""
    batch, peak = 64, 2e-3
    rates: dict[str, Any] = {"base_lr": peak * 256 / batch, "warmup_epochs": epochs / 50}
    return TrainConfig(epochs=epochs, **rates, **muon(batch, 7e-3), precision="bf16", sample_epochs=0)


def main() -> None:
    parser = parser_of(__doc__, "data", "out")
    parser.add_argument("--epochs", type=int, default=9, help="passes over 95,000 pictures (default: %(default)s)")
    args = parser.parse_args()
    if args.out is None:
        parser.error("--out FOLDER says where the run lives")
    print_machine()
    data, _ = parts(args.data)
    chosen = recipe(args.epochs)
    torch.manual_seed(chosen.seed)
    train(create_model(MODEL, **STANDARD), MODEL, data, args.out, chosen)


if __name__ == "__main__":
    main()
