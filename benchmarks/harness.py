"""What all benchmarks share: their options, timing in turns, what machine it was and how busy, result files."""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from maelib import PRESETS
from maelib.hardware import DTYPES, describe_hardware, describe_software

Step = Callable[[], None]
OPTIONS: dict[str, dict[str, Any]] = {
    "model": {"default": "mae_tiny_patch4_64", "choices": PRESETS, "help": "shape of the model"},
    "data": {"default": "tiny-imagenet", "help": "as in `maelib train`"},
    "images": {"type": int, "default": 50_000, "help": "pictures to train on, each seen once"},
    "n": {"type": int, "default": 2_000, "help": "pictures to score on"},
    "rounds": {"type": int, "default": 7, "help": "of the measurement of speed"},
    "out": {"type": Path, "help": "folder of what is kept; runs in it resume"},
    "json": {"type": Path, "default": None, "help": "write the table there too"},
}


def parser_of(doc: str | None, *names: str, **defaults: Any) -> argparse.ArgumentParser:
    """A parser with a benchmark's description and the common options of these names; `defaults` replaces some defaults."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in names:
        option = OPTIONS[name] | ({"default": defaults[name]} if name in defaults else {})
        default = "" if option.get("default") is None else " (default: %(default)s)"
        parser.add_argument(f"--{name}", **option | {"help": option["help"] + default})
    return parser


def synchronize(device: torch.device) -> None:
    """Until the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds_in_turns(steps: dict[str, Step], rounds: int, repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of a step by contender and round, after one round that does not count.

    In each round every contender runs, in another order each time: the same code in another place was once timed 20 %
    slower, and a disturbance of the machine shall hit all of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    order, shuffle = list(steps), random.Random(0).shuffle
    for count in range(rounds + 1):
        shuffle(order)
        for name in order:
            synchronize(device)
            start = time.perf_counter()
            for _ in range(repeats):
                steps[name]()
            synchronize(device)
            if count:
                seconds[name].append((time.perf_counter() - start) / repeats)
    return seconds


def times_as_fast(seconds: dict[str, list[float]], name: str, other: str) -> float:
    """How many times as fast as another one a contender is: the median over the rounds of the ratio within a round."""
    return statistics.median(b / a for a, b in zip(seconds[name], seconds[other], strict=True))


def images_per_second(steps: dict[str, Step], pictures: int, rounds: int) -> dict[str, float]:
    """Median speed of each training step on a CPU, in turns; a step takes as many pictures."""
    found = seconds_in_turns(steps, rounds, 2, torch.device("cpu"))
    return {name: round(pictures / statistics.median(seconds), 1) for name, seconds in found.items()}


def matrix_product(device: torch.device, precision: str) -> float:
    """Floating-point operations a second of a large matrix product: what the hardware gives at its best."""
    side = 8192 if device.type == "cuda" else 2048
    a = torch.randn(side, side, device=device, dtype=DTYPES[precision])

    def once() -> None:
        for _ in range(10):
            a @ a

    seconds = seconds_in_turns({"product": once}, 5, 1, device)["product"]
    return 10 * 2 * side**3 / min(seconds)


def machine() -> dict[str, Any]:
    """Where it was measured: hardware, software, threads, and the load of the last minute where the system tells it."""
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    about = {"hardware": describe_hardware(), "software": describe_software()}
    return about | {"threads": torch.get_num_threads(), "load": load}


def print_machine() -> None:
    """The machine in a line, with a warning where others are at work on it: call it before anything is timed."""
    found = machine()
    busy = found["load"] is not None and found["load"] > 0.5
    warning = f"; BUSY: load {found['load']} before the benchmark, its speeds mean little" if busy else ""
    print(f"{found['hardware']}; {found['software']}; {found['threads']} threads{warning}", flush=True)


def write_result(path: Path, table: list[dict[str, Any]], **fields: Any) -> None:
    """Write a benchmark's table with what a reader needs to judge it, and where it was measured: here, now.

    A field may replace one of these, such as `kind`, or None leaves it out.
    """
    measured = {key: value for key, value in machine().items() if key != "load"}
    record = {"kind": "benchmark", "name": path.stem, **measured, **fields, "table": table}
    record = {key: value for key, value in record.items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
