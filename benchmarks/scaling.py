"""Weak scaling: as many pictures for each of two processes as for one, the trainer as it is.

    python benchmarks/scaling.py --json data/results/scaling.json     # three minutes on two cores

One process on one core or card, then two on two, in turns; the efficiency is the speed of one process among two over its
speed alone. What is left of one is the price of averaging gradients, and of whatever the two share, such as memory. Beside
it a projection for two T4s, which is arithmetic and no measurement: the bytes of the gradients over a PCIe 3.0 x16 bus at a
usual 10 GB/s, sent after the backward pass without any overlap, against the seconds of a step at the published speed.

On a CPU a third contender does the work of the two processes in one, with two threads.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import torch
from harness import parser_of, print_machine, write_result

from maelib import create_model
from maelib.training.config import ARTICLE_MODEL, ARTICLE_RECIPE

BUS = 10e9  # bytes a second
ABOUT = (
    "Weak scaling from one process of one thread to two; images/s. Threads: one process with two, on the batch of both"
)
PUBLISHED = 235  # images a second of two T4s, by a public notebook of the same model


def images_per_second(
    processes: int, each: int, steps: int, model: str, data: str, device: str, threads: int = 1
) -> float:
    """Speed of a short run of `maelib train`, by the line of its second epoch."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
        command += ["maelib", "train", f"--model={model}", f"--data={data}", f"--out={folder}/run"]
        command += [f"--device={device}"]
        command += [f"--batch-size={processes * each}", f"--limit={processes * each * steps}", "--epochs=2"]
        command += ["--warmup-epochs=1", "--sample-epochs=0", "--no-final-evaluation"]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} failed: {done.stderr[-500:]}")
    speeds = re.findall(r"([\d,]+) images/s", done.stdout)  # a line an epoch; the first holds the start
    return float(speeds[-1].replace(",", ""))


def projection() -> dict[str, Any]:
    """Two cards, from the volume of communication."""
    gradients = 4 * sum(p.numel() for p in create_model(ARTICLE_MODEL).parameters())
    step = ARTICLE_RECIPE.batch_size / PUBLISHED
    return {
        "case": "two T4s, the article's model: projected, not measured",
        "efficiency": round(step / (step + gradients / BUS), 3),
        "gradients_mb": round(gradients / 1e6),
    }


def main() -> None:
    parser = parser_of(__doc__, "model", "data", "rounds", "json", rounds=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.device_count() > 1 else "cpu")
    parser.add_argument("--each", type=int, default=32, help="pictures of a process in a step")
    parser.add_argument("--steps", type=int, default=40, help="of an epoch; there are two, the second counts")
    args = parser.parse_args()
    print_machine()
    contenders = {"one": (1, args.each, 1), "two": (2, args.each, 1)}  # processes, pictures of each, threads of each
    if args.device == "cpu":
        contenders["threads"] = (1, 2 * args.each, 2)
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(args.rounds):
        for name, (processes, each, threads) in contenders.items():
            found = images_per_second(processes, each, args.steps, args.model, args.data, args.device, threads)
            speeds[name].append(found)
            print(f"{name}: {found:.0f} images/s", flush=True)
    medians = {name: statistics.median(found) for name, found in speeds.items()}
    measured = {"case": f"{args.device}, {args.model}, {args.each} pictures each", **medians}
    table = [measured | {"efficiency": round(medians["two"] / 2 / medians["one"], 3)}, projection()]
    for row in table:
        print(row)
    if args.json:
        write_result(args.json, table, about=ABOUT, rounds=args.rounds)


if __name__ == "__main__":
    main()
