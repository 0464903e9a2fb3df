"""Training runs that are killed and resumed, again and again: do they end as one that never was? The table of the book.

    python benchmarks/kills.py --json data/results/kills.json

Each configuration trains once undisturbed and once with SIGKILL in each fifth of its steps: between two steps, before,
in and after the writing of a checkpoint, after its renaming, or in the middle of a line of metrics. After each kill the same
command goes on. Weights and metrics of both runs are compared byte by byte. Minutes for each on two cores; what the file
holds already is not done again.
"""

import json
import random
import re
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import parser_of, write_result

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from processes import finished, torchrun

from maelib.training.checkpoint import list_checkpoints, load_checkpoint

DRIVER = Path(__file__).resolve().parent.parent / "tests" / "training_driver.py"
PLAIN = {"precision": "fp32", "accumulate": 1, "augment": "none"}
TOGETHER = {"checkpoint_minutes": 1e-9}  # between two lines of metrics too, each process has sums of its own then
CONFIGURATIONS: dict[str, tuple[int, dict[str, Any]]] = {  # processes, and what the recipe says
    "fp32": (1, PLAIN),
    "bf16": (1, {**PLAIN, "precision": "bf16"}),
    "three micro-batches a step": (1, {**PLAIN, "accumulate": 3}),
    "random crops": (1, {**PLAIN, "augment": "crop"}),
    "two processes": (2, {**PLAIN, **TOGETHER}),
    "three processes": (3, {**PLAIN, **TOGETHER}),
}
PLACES = ("during-write", "step", "after-write", "metrics", "before-write", "after-rename")
KILLS, STEPS, EPOCH = 5, 64, 4  # in steps: a checkpoint stands at the end of each epoch, at least


def drive(processes: int, folder: Path, recipe: dict[str, Any], place: str = "", count: int = 0) -> bool:
    """One command, to its end or to its death; whether it was killed. RuntimeError where it ended in another way."""
    done = finished(
        torchrun(processes, DRIVER, folder, place, count, json.dumps(recipe, allow_nan=False)), timeout=3600
    )
    killed = (
        done.returncode == -signal.SIGKILL or re.search(rf"exitcode\s*: {-signal.SIGKILL}\b", done.stderr) is not None
    )
    if killed != bool(place) or not (killed or done.returncode == 0):
        raise RuntimeError(f"{place or 'no kill'}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return killed


def saved_at(folder: Path) -> int:
    """The step of the newest checkpoint, 0 where there is none."""
    found = list_checkpoints(folder / "checkpoints")
    return load_checkpoint(found[0])["step"] if found else 0


def survive(name: str, folder: Path) -> dict[str, Any]:
    """The row of a configuration, whose runs go to a folder."""
    processes, recipe = CONFIGURATIONS[name]
    order = list(CONFIGURATIONS).index(name)
    whole, run, chance = folder / "whole", folder / "run", random.Random(order)
    drive(processes, whole, recipe)
    places = [PLACES[0], *(PLACES[1 + (order + i) % (len(PLACES) - 1)] for i in range(KILLS - 1))]
    chance.shuffle(places)
    kills, after = 0, []
    for fifth, place in enumerate(places):
        target = chance.randrange(STEPS * fifth // KILLS + 2, STEPS * (fifth + 1) // KILLS)
        count = target if place == "step" else max(1, (target - saved_at(run)) // EPOCH)
        kills += drive(processes, run, recipe, place, count)
        after.append(f"{saved_at(run)} ({place})")
    drive(processes, run, recipe)
    same = [(run / file).read_bytes() == (whole / file).read_bytes() for file in ("model.safetensors", "metrics.jsonl")]
    return {
        "configuration": name, "kills": kills, "last_checkpoint_before_each": ", ".join(after),
        "weights_identical": same[0], "metrics_identical": same[1],
    }  # fmt: skip


def main() -> int:
    """Train, kill, resume, compare; status 1 where a run did not end as the one that was left alone."""
    args = parser_of(__doc__, "json").parse_args()
    rows = json.loads(args.json.read_text())["table"] if args.json and args.json.exists() else []
    about = (
        f"A small model on the shipped pictures, {STEPS} steps; SIGKILL in each fifth of them, resumed as often as killed. "
        "Numbers are steps; step: between two of them; write: that of a checkpoint; metrics: in the middle of a line"
    )
    for name in [name for name in CONFIGURATIONS if all(name != row["configuration"] for row in rows)]:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(survive(name, Path(folder)))
        print(*rows[-1].values(), sep="  ", flush=True)
        if args.json:
            rows.sort(key=lambda row: list(CONFIGURATIONS).index(row["configuration"]))
            write_result(args.json, rows, kind="torture", about=about)
    return 0 if all(row["weights_identical"] and row["metrics_identical"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
