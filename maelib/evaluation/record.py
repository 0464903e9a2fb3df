"""The record of a training run, as `data/results/NAME.json` holds it."""

import json
import subprocess
from pathlib import Path
from typing import Any

from ..hardware import describe_hardware, describe_software
from ..training.checkpoint import newest_checkpoint
from .protocols import Scores

CURVE_POINTS = 200


def run_record(
    folder: Path, metrics: Scores, baselines: dict[str, Scores], before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What a run was, what it cost and what came out, beside the baselines on the same pictures and masks.

    `seconds` are those spent in training, `hardware` and `software` those of this call, so make the record where you
    trained. `before` is the record of the run whose weights this one began with: epochs, pictures, seconds and curve then
    go on from there, and `stages` tells each run apart.

    Raises
    ------
    ValueError
        The folder holds no run, or one without a checkpoint; or `before` belongs to another run.
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
    if not lines:
        raise ValueError(f"{folder} holds no line of metrics yet: let the run reach the end of an epoch")
    thinned = lines[:: max(1, -(-len(lines) // CURVE_POINTS))]
    record = {
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
    if "init" in description:
        record["init"] = description["init"]
    return record if before is None else _joined(before, record, folder)


def read_record(path: Path) -> dict[str, Any]:
    """A record that `run_record` made, from its file; ValueError where it is none."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is no record of a run ({error})") from error
    if not isinstance(record, dict) or record.get("kind") != "run":
        raise ValueError(f"{path} is no record of a run: give what `maelib evaluate RUN --json` wrote")
    return record


STAGE = ("images_seen", "seed", "recipe", "commit", "seconds")


def _joined(before: dict[str, Any], record: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The record of two runs, of which the second began with the weights of the first."""
    if record.get("init") is None:
        raise ValueError(f"the run in {folder} began from scratch (no --init): it has no run before it")
    for key in ("model", "dataset"):
        if before[key] != record[key]:
            raise ValueError(f"the record before has another {key} than {folder}: {before[key]}, not {record[key]}")
    steps = before["images_seen"] // record["recipe"]["batch_size"]
    curve = [
        point | {"step": point["step"] + steps, "epoch": round(point["epoch"] + before["epochs"], 4)}
        for point in record["curve"]
    ]
    stages = [*before.get("stages", [{key: before[key] for key in STAGE}]), {key: record[key] for key in STAGE}]
    return record | {
        "epochs": round(before["epochs"] + record["epochs"], 2),
        "images_seen": before["images_seen"] + record["images_seen"],
        "seconds": before["seconds"] + record["seconds"],
        "curve": before["curve"] + curve,
        "stages": stages,
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
