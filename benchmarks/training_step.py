"""One training step against transformers' ViTMAE: the same work, interleaved in one run, as a table of ratios.

    python benchmarks/training_step.py                      # both models, fp32 and bf16, a few minutes on two cores
    python benchmarks/training_step.py --models tiny --precisions bf16 --rounds 9

The work: forward and backward pass of a random batch with 75 % of the patches hidden, an AdamW step (fused), gradients
set to none. Every contender gets the same pictures and its own weights. In each round every contender runs in turn, so
that a disturbance of the machine hits all of them; the figure is the median over the rounds, the ratio is to
transformers at its best attention setting, round by round. On a CPU the tiny model's batch goes through in pieces of 32
(`maelib train --accumulate 4`), which keeps activations in the cache; the row in brackets gives transformers that trick
too, which is no setting of its own.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch

from maelib import create_model
from maelib.hardware import describe_hardware, describe_software
from maelib.interop.huggingface import to_huggingface
from maelib.training.optimizer import make_optimizer

MODELS = {"base": ("mae_base_patch16_224", 16, 1), "tiny": ("mae_tiny_patch4_64", 128, 4)}  # batch, pieces on a CPU
ATTENTION = ("sdpa", "eager")  # transformers' default first
Step = Callable[[], None]


def make_step(model: torch.nn.Module, images: torch.Tensor, bf16: bool, pieces: int = 1) -> Step:
    """A training step of any model that takes images and returns something with a `loss`; the batch passes through in
    `pieces` of equal size, their gradients accumulated: the same gradient from activations that stay in the cache."""
    optimizer = make_optimizer(model.train(), lr=1e-4, weight_decay=0.05, betas=(0.9, 0.95))
    device = images.device.type

    def step() -> None:
        for piece in images.chunk(pieces):
            with torch.autocast(device, torch.bfloat16) if bf16 else nullcontext():
                loss = model(piece).loss / pieces
            loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def contenders(name: str, images: torch.Tensor, bf16: bool, pieces: int) -> dict[str, Step]:
    """Ours and theirs, from the same initial weights. With `pieces`, which is our way on a CPU, theirs is also shown in pieces."""
    ours = create_model(name).to(images.device)
    steps = {"maelib": make_step(ours, images, bf16)}
    if pieces > 1:
        steps["maelib, pieces"] = make_step(create_model(name).to(images.device), images, bf16, pieces)
    for attention in ATTENTION:
        theirs = to_huggingface(ours)
        theirs.set_attn_implementation(attention)
        steps[f"transformers {attention}"] = make_step(theirs, images, bf16)
    if pieces > 1:
        theirs = to_huggingface(ours)
        theirs.set_attn_implementation("eager")
        steps["(eager, pieces)"] = make_step(theirs, images, bf16, pieces)
    return steps


def measure(steps: dict[str, Step], rounds: int, repeats: int, device: str) -> dict[str, list[float]]:
    """Seconds of a step by contender and round, after one round that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for count in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(repeats):
                step()
            if device == "cuda":
                torch.cuda.synchronize()
            if count:
                seconds[name].append((time.perf_counter() - start) / repeats)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=["fp32", "bf16"], default=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1, help="steps of a contender in a round")
    parser.add_argument("--batch-size", type=int, default=None, help="16 for base, 128 for tiny if left out")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, default=None, help="write the table there too")
    args = parser.parse_args()
    print(f"{describe_hardware()}; {describe_software()}\n")
    print(f"{'model':8}{'batch':>6}{'precision':>11}  {'contender':20}{'images/s':>10}{'to best other':>16}")
    table = []
    for short in args.models:
        name, batch, pieces = MODELS[short]
        batch = args.batch_size or batch
        size = create_model(name).config.hw if short == "tiny" else (224, 224)
        for precision in args.precisions:
            torch.manual_seed(0)
            images = torch.rand(batch, 3, *size, device=args.device)
            steps = contenders(name, images, precision == "bf16", pieces if args.device == "cpu" else 1)
            seconds = measure(steps, args.rounds, args.repeats, args.device)
            others = {key: values for key, values in seconds.items() if key.startswith("transformers")}
            best = min(others, key=lambda key: statistics.median(others[key]))
            for key, values in seconds.items():
                speed = batch / statistics.median(values)
                ratio = statistics.median(b / a for a, b in zip(values, seconds[best], strict=True))
                print(f"{short:8}{batch:6}{precision:>11}  {key:20}{speed:10.1f}{ratio:15.2f}x", flush=True)
                row = {"model": name, "batch": batch, "precision": precision, "contender": key}
                table.append(row | {"images_per_second": round(speed, 2), "ratio_to_best_other": round(ratio, 3)})
    if args.json:
        about = {"kind": "benchmark", "hardware": describe_hardware(), "software": describe_software()}
        args.json.write_text(json.dumps(about | {"rounds": args.rounds, "table": table}, indent=1) + "\n")


if __name__ == "__main__":
    main()
