"""Weak scaling: as many pictures for each of two processes as for one, the trainer as it is.

    python benchmarks/scaling.py --json data/results/scaling.json     # three minutes on two cores

One process on one core or card, then two on two, in turns; the efficiency is the speed of one process among two over its
speed alone. What is left of one is the price of averaging gradients, and of whatever the two share, such as memory. Beside
it a projection for two T4s, which is arithmetic and no measurement: the bytes of the gradients over a PCIe 3.0 x16 bus at a
usual 10 GB/s, sent after the backward pass without any overlap, against the seconds of a step at the published speed.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from result_file import write_result

from maelib import create_model
from maelib.training.recipes import ARTICLE_MODEL, ARTICLE_RECIPE

BUS = 10e9  # bytes a second
PUBLISHED = 235  # images a second of two T4s, by a public notebook of the same model


def images_per_second(processes: int, each: int, steps: int, model: str, data: str, device: str) -> float:
    """Speed of a short run of `maelib train`, by the line of its second epoch."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
        command += ["maelib", "train", f"--model={model}", f"--data={data}", f"--out={folder}/run"]
        command += [f"--device={device}"]
        command += [f"--batch-size={processes * each}", f"--limit={processes * each * steps}", "--epochs=2"]
        command += ["--warmup-epochs=1", "--sample-epochs=0", "--no-final-evaluation"]
        done = subprocess.run(
            command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mae_tiny_patch4_64")
    parser.add_argument("--data", default="tiny-imagenet", help="as in `maelib train`")
    parser.add_argument("--device", default="cuda" if torch.cuda.device_count() > 1 else "cpu")
    parser.add_argument("--each", type=int, default=32, help="pictures of a process in a step")
    parser.add_argument("--steps", type=int, default=40, help="of an epoch; there are two, the second counts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="write the table there too")
    args = parser.parse_args()
    speeds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(args.rounds):
        for processes, found in speeds.items():
            found.append(images_per_second(processes, args.each, args.steps, args.model, args.data, args.device))
            print(f"{processes} process{'es' * (processes > 1)}: {found[-1]:.0f} images/s", flush=True)
    one, two = (statistics.median(speeds[processes]) for processes in (1, 2))
    table = [
        {"case": f"{args.device}, {args.model}, {args.each} pictures each", "one": one, "two": two,
         "efficiency": round(two / 2 / one, 3)},
        projection(),
    ]  # fmt: skip
    for row in table:
        print(row)
    if args.json:
        write_result(args.json, table, about="Weak scaling from one process to two; images/s.", rounds=args.rounds)


if __name__ == "__main__":
    main()
