"""The record of a training run, as `data/results/NAME.json` holds it."""

import json
import subprocess
from pathlib import Path
from typing import Any

from ..hardware import describe_hardware, describe_software
from ..training.checkpoint import newest_checkpoint
from .protocols import Scores

CURVE_POINTS = 200


def run_record(folder: Path, metrics: Scores, baselines: dict[str, Scores]) -> dict[str, Any]:
    """What a run was, what it cost and what came out, beside the baselines on the same pictures and masks.

    `seconds` are those spent in training, `hardware` and `software` those of this call, so make the record where you
    trained.

    Raises
    ------
    ValueError
        The folder holds no run, or one without a checkpoint.
    """
    try:
        description = json.loads((folder / "config.json").read_text())
    except OSError as error:
        raise ValueError(
            f"{folder} holds no training run ({error}): give the folder that `maelib train --out` wrote"
        ) from error
    found = newest_checkpoint(folder / "checkpoints")
    if found is None:
        raise ValueError(f"{folder} holds no checkpoint yet: let the run reach the end of an epoch")
    state, train = found[1], description["train"]
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    thinned = lines[:: max(1, -(-len(lines) // CURVE_POINTS))]
    return {
        "kind": "run",
        "name": description.get("name", folder.name),
        "model": description["model"],
        "dataset": description.get("data"),
        "epochs": round(lines[-1]["epoch"], 2),
        "images_seen": state["step"] * train["batch_size"],
        "seed": train["seed"],
        "recipe": train,
        "commit": _commit(),
        "hardware": describe_hardware(),
        "software": describe_software(),
        "seconds": round(state["seconds"]),
        "curve": [{key: line[key] for key in ("step", "epoch", "loss", "lr")} for line in thinned],
        "metrics": metrics,
        "baselines": baselines,
    }


def _commit() -> str:
    """The commit of the code at work, where it runs from a checkout."""
    try:
        here = Path(__file__).parent
        return subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
