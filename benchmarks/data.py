"""How fast pictures come: from the zip into the cache, from the cache into batches.

    python benchmarks/data.py                          # Tiny ImageNet as `maelib` finds it (MAELIB_DATA, ...)
    python benchmarks/data.py --data tiny.zip          # a zip, or any folder of pictures
    python benchmarks/data.py --consumes 900 --json data/results/data.json

Every row of the table is one measurement on this machine:

cache building    both splits from the archive to their first batch, into a new cache that is removed afterwards
opening           both splits again, every byte checked
batches           random batches of 128 from the mapped training pictures: as uint8, and as the trainer takes them, in
                  float32 with each of its augmentations (on a GPU the augmentation runs there; here on the processor)

With --consumes, the images/s that a model trains on, the table says how many times that the input delivers. Other load
on the machine lowers the figures; the load average at the start is printed with them.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from harness import write_result

from maelib.datasets import DatasetError, PackedImages, load_dataset
from maelib.hardware import describe_hardware, describe_software
from maelib.training import TrainConfig
from maelib.training.batches import Batches
from maelib.training.distributed import World

BATCH = 128
SPLITS = ("train", "val")


def time_cache(source: str, size: int, cache: Path) -> tuple[list[dict], dict[str, PackedImages]]:
    """Rows for building the cache and for opening it, and the opened splits."""
    rows, splits = [], {}
    for what in ("cache building", "opening"):
        started = time.perf_counter()
        for split in SPLITS:
            splits[split] = load_dataset(source, split, size=size, cache=cache, download=False)
            next(random_batches(splits[split]))
        seconds = time.perf_counter() - started
        count = sum(len(data) for data in splits.values())
        rows.append({"what": what, "images": count, "seconds": seconds, "images_per_s": count / seconds})
    return rows, splits


def random_batches(data: PackedImages) -> Iterator[np.ndarray]:
    """Copies of random pictures without end: (128, H, W, 3) uint8."""
    random = np.random.default_rng(0)
    while True:
        yield data.images[random.integers(len(data), size=BATCH)]


def trainer_batches(data: PackedImages, augment: str) -> Iterator[torch.Tensor]:
    """What the trainer feeds a model with, without end: (128, 3, H, W) float32."""
    config = TrainConfig(batch_size=min(BATCH, len(data)), augment=augment)
    patches = (data.hw[0] // 4) ** 2  # each batch comes with its masks
    batches = Batches(data.images, config, data.hw, patches, World(), torch.device("cpu"))
    step = 0
    while True:
        for images, _ in batches.micro_batches(step):
            yield images
        step += 1


def time_batches(data: PackedImages, seconds: float) -> list[dict]:
    """A row for each way to draw batches. This is the place for further ones."""
    ways: dict[str, Iterator[np.ndarray | torch.Tensor]] = {"batches, uint8": random_batches(data)}
    for augment in ("none", "flip", "crop"):
        ways[f"batches, float32, augment {augment}"] = trainer_batches(data, augment)
    rows = []
    for what, batches in ways.items():
        next(batches)
        count = 0
        started = time.perf_counter()
        while (taken := time.perf_counter() - started) < seconds:
            count += len(next(batches))
        rows.append({"what": what, "images": count, "seconds": taken, "images_per_s": count / taken})
    return rows


def table(rows: list[dict], consumes: float | None) -> str:
    """The rows in Markdown, with the ratio to what a model consumes where that is known."""
    lines = ["| | images | seconds | images/s |", "|---|--:|--:|--:|"]
    lines += [f"| {r['what']} | {r['images']:,} | {r['seconds']:.2f} | {r['images_per_s']:,.0f} |" for r in rows]
    if consumes:
        lines = [lines[0] + f" times {consumes:,.0f}/s |", lines[1] + "--:|", *lines[2:]]
        for i, row in enumerate(rows, start=2):
            ratio = f"{row['images_per_s'] / consumes:,.1f}" if row["what"].startswith("batches") else ""
            lines[i] += f" {ratio} |"
    return "\n".join(lines)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default="tiny-imagenet", metavar="PATH", help="a zip or folder (default: tiny-imagenet)"
    )
    parser.add_argument("--size", type=int, default=64, help="height and width in pixels (default: 64)")
    parser.add_argument(
        "--cache", type=Path, help="folder for the cache of this run (default: the system's temporary one)"
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each kind of batches (default: 3)")
    parser.add_argument(
        "--consumes", type=float, metavar="IMAGES_PER_S", help="what the model trains on, for the ratio"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to a JSON file")
    args = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    try:
        with tempfile.TemporaryDirectory(dir=args.cache, prefix="maelib-benchmark-") as cache:
            rows, splits = time_cache(args.data, args.size, Path(cache))
            dataset = splits["train"].name.split("/")[0]
            rows += time_batches(splits["train"], args.seconds)
            del splits
    except (DatasetError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(table(rows, args.consumes))
    print(
        f"\n{describe_hardware()}; {describe_software()}" + (f"; load average {load:.1f}" if load is not None else "")
    )
    if args.json:
        about = {"dataset": dataset, "size": args.size, "batch": BATCH, "load_average": load}
        write_result(args.json, rows, **about, consumes_images_per_s=args.consumes)
    return 0


if __name__ == "__main__":
    sys.exit(main())
