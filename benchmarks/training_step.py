"""One training step against other people's code: the same work, interleaved in one run, as a table of ratios.

    python benchmarks/training_step.py                      # both models, bf16, against every peer: ten minutes on two cores
    python benchmarks/training_step.py --ablate             # ours, with one saving switched off at a time
    python benchmarks/training_step.py --models tiny --precisions fp32 bf16 --rounds 9 --json table.json
    python benchmarks/training_step.py --compile            # everybody compiled (torch.compile)

The work: forward and backward pass of a random batch with 75 % of the patches hidden, gradients clipped to norm 1, an
AdamW step (fused), gradients set to none. Every contender gets the same pictures. In each round every contender runs, in an
order that changes from round to round; the figure is the median over the rounds. Peers are shown at
their default and at their best documented attention setting (`peers.py`); the last column is the ratio to the fastest
of them, round by round. On a CPU the tiny model's batch goes through in pieces of 32 (`maelib train --accumulate 4`),
which keeps activations in the cache; the row in brackets gives the fastest peer that trick too, which is no setting of
its own.

`of peak` is what the contender's own floating-point operations (counted by torch) make of the speed of a large matrix
product, measured in the same run; `saved` what the forward pass keeps for the backward pass, on a GPU `peak` memory.
"""

import argparse
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from ablation import CHANGES, attention, attentions
from harness import (
    Step,
    matrix_product,
    parser_of,
    print_machine,
    seconds_in_turns,
    times_as_fast,
    write_result,
)
from peers import peers
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from maelib import create_model
from maelib.hardware import DTYPES
from maelib.training.optimizer import make_optimizer, parameter_groups

MODELS = {"base": "mae_base_patch16_224", "tiny": "mae_tiny_patch4_64_plain"}
BATCH = {"cpu": {"base": 16, "tiny": 128}, "cuda": {"base": 256, "tiny": 1024}}
PIECES = 4  # for the tiny model on a CPU
Context = Callable[[], AbstractContextManager]


def make_step(
    model: nn.Module, images: Tensor, precision: str, pieces: int = 1, fused: bool = True, compiled: bool = False,
    context: Context = nullcontext, muon_lr: float = 0.0,
) -> Step:  # fmt: skip
    """A training step of any model that takes images and returns something with a `loss`; the batch passes through in
    `pieces` of equal size, their gradients accumulated: the same gradient from activations that stay in the cache."""
    model.to(images.device).train()
    if fused:
        optimizer = make_optimizer(model, lr=1e-4, weight_decay=0.05, betas=(0.9, 0.95), muon_lr=muon_lr)
    else:
        optimizer = torch.optim.AdamW(parameter_groups(model, 0.05), lr=1e-4, betas=(0.9, 0.95), foreach=False)
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        with context():
            for piece in images.chunk(pieces):
                with torch.autocast(images.device.type, DTYPES[precision], enabled=precision != "fp32"):
                    loss = forward(piece).loss / pieces
                loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def contenders(name: str, images: Tensor, precision: str, pieces: int, compiled: bool) -> dict[str, Step]:
    """Ours and the peers."""
    steps = {"maelib": make_step(create_model(name), images, precision, compiled=compiled)}
    if pieces > 1:
        steps["maelib, pieces"] = make_step(create_model(name), images, precision, pieces, compiled=compiled)
    for key, peer in peers(name).items():
        steps[key] = make_step(peer, images, precision, compiled=compiled)
    if pieces > 1:
        steps["(timm unfused, pieces)"] = make_step(
            peers(name)["timm unfused"], images, precision, pieces, compiled=compiled
        )
    return steps


def ablated(name: str, images: Tensor, precision: str, pieces: int) -> dict[str, Step]:
    """Ours whole, then without one saving at a time."""
    steps = {"maelib": make_step(create_model(name), images, precision, pieces)}
    for key, change in CHANGES.items():
        model = create_model(name)
        change(model)
        steps[key] = make_step(model, images, precision, pieces)
    for key, other in attentions(images.device).items():
        steps[key] = make_step(create_model(name), images, precision, pieces, context=partial(attention, other))
    steps["AdamW not fused"] = make_step(create_model(name), images, precision, pieces, fused=False)
    if pieces > 1:
        steps["in one piece"] = make_step(create_model(name), images, precision)
    if precision != "fp32":
        steps["float32"] = make_step(create_model(name), images, "fp32", pieces)
    return steps


def cost(step: Step, device: torch.device) -> tuple[float, float]:
    """Floating-point operations and megabytes of a step: peak memory on a GPU, what is saved for backward elsewhere."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        step()
    memory = torch.cuda.max_memory_allocated() if device.type == "cuda" else sum(storages.values())
    return float(counter.get_total_flops()), memory / 2**20


def table_of(
    name: str, batch: int, precision: str, steps: dict[str, Step], args: argparse.Namespace, device: torch.device
) -> list[dict[str, Any]]:
    """Measure, print and return the rows of one model at one precision."""
    seconds = seconds_in_turns(steps, args.rounds, args.repeats, device)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    others = [key for key in steps if key.startswith(("transformers", "timm", "lightly"))]
    best = "maelib" if args.ablate else min(others, key=lambda key: median[key])
    peak = matrix_product(device, precision)
    memory_name = "peak MB" if device.type == "cuda" else "saved MB"
    print(f"\n{name}, batch {batch}, {precision}; a large matrix product: {peak / 1e12:.2f} TFLOP/s")
    print(f"{'':24}{'images/s':>10}{'of peak':>9}{'GFLOP/image':>13}{memory_name:>10}   times as fast as {best}")
    rows = []
    for key in seconds:
        flops, memory = cost(steps[key], device) if not args.compile else (float("nan"), float("nan"))
        ratio = times_as_fast(seconds, key, best)
        share = flops / median[key] / peak
        print(
            f"{key:24}{batch / median[key]:10.1f}{share:9.0%}{flops / batch / 1e9:13.2f}{memory:10.0f}{ratio:11.2f}x",
            flush=True,
        )
        rows.append({
            "model": name, "batch": batch, "precision": precision, "compiled": args.compile, "contender": key,
            "images_per_second": round(batch / median[key], 2), "against": best, "ratio": round(ratio, 3),
            "share_of_peak": None if args.compile else round(share, 3), "peak_tflops": round(peak / 1e12, 3),
            "gflop_per_image": None if args.compile else round(flops / batch / 1e9, 3),
            memory_name.replace(" ", "_").lower(): None if args.compile else round(memory),
        })  # fmt: skip
    return rows


def main() -> None:
    parser = parser_of(__doc__, "rounds", "json", rounds=5)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--precisions", nargs="+", choices=list(DTYPES), default=["bf16"])
    parser.add_argument("--ablate", action="store_true", help="ours with one saving switched off at a time, no peers")
    parser.add_argument("--compile", action="store_true", help="torch.compile on every side")
    parser.add_argument("--repeats", type=int, default=1, help="steps of a contender in a round")
    parser.add_argument("--batch-size", type=int, default=None, help="16 and 128 on a CPU, 256 and 1024 on a GPU")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    device = torch.device(args.device)
    print_machine()
    table = []
    for short in args.models:
        name = MODELS[short]
        batch = args.batch_size or BATCH[device.type][short]
        pieces = PIECES if short == "tiny" and device.type == "cpu" else 1
        for precision in args.precisions:
            torch.manual_seed(0)
            images = torch.rand(batch, 3, *create_model(name).config.hw, device=device)
            if args.ablate:
                steps = ablated(name, images, precision, pieces)
            else:
                steps = contenders(name, images, precision, pieces, args.compile)
            table += table_of(name, batch, precision, steps, args, device)
    if args.json:
        write_result(args.json, table, rounds=args.rounds)


if __name__ == "__main__":
    main()
