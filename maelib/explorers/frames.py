"""Frames of a training run: what the model made of a few pictures, again and again while it learned (chapter 06).

In a run folder they are `frames/IMAGES.png`, IMAGES being the number of pictures seen by then. What is shipped is a pair of
files: a PNG with one row for each picture and one column for each frame, and a JSON that says which run it was.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..datasets import sample_path
from ..drawing import save_picture, tile, to_uint8
from ..evaluation import Reconstruction, reconstruct
from ..files import data_path, write_atomically
from ..model import MaskedAutoencoder

SAMPLES = ("chelsea", "astronaut", "coffee", "rocket")
RATIO, SEED = 0.75, 0


def frame_of(model: MaskedAutoencoder) -> list[Reconstruction]:
    """What a model makes of the four shipped pictures, always under the same masks."""
    return [reconstruct(model, sample_path(name), RATIO, SEED + i) for i, name in enumerate(SAMPLES)]


class FrameRecorder:
    """Keeps a frame each time it is called with the model; made for `Trainer(sample=...)`, which calls it after an epoch.

    Call it once before training, so that the first frame shows what a model knows that has learned nothing.
    """

    def __init__(self, run: str | Path):
        self.run = Path(run)

    def __call__(self, model: MaskedAutoencoder) -> Image.Image:
        picture = Image.fromarray(tile([to_uint8(r.pasted) for r in frame_of(model)], columns=1, gap=0))
        path = self.run / "frames" / f"{_images_seen(self.run):09d}.png"
        save_picture(picture, path)
        return picture


def _images_seen(run: Path) -> int:
    """By the last line of a run's metrics, which the trainer writes before it samples; 0 before the first."""
    lines = (run / "metrics.jsonl").read_text().splitlines() if (run / "metrics.jsonl").exists() else []
    return json.loads(lines[-1])["step"] * _recipe(run)["batch_size"] if lines else 0


def _recipe(run: Path) -> dict[str, Any]:
    return json.loads((run / "config.json").read_text())["train"]


def collect(run: str | Path, name: str, out: str | Path) -> Path:
    """Make the pair of files `out/NAME.json` and `out/NAME.png` from the frames of a run folder; returns the first.

    Raises
    ------
    ValueError
        The run has no frames: train it with a `FrameRecorder`.
    """
    run, out = Path(run), Path(out)
    files = sorted((run / "frames").glob("*.png"))
    if not files:
        raise ValueError(f"{run} holds no frames: train it with Trainer(sample=FrameRecorder(...))")
    description = json.loads((run / "config.json").read_text())
    batch = _recipe(run)["batch_size"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    places = np.unique(np.geomspace(1, max(1, len(lines)), 100).round().astype(int)) - 1  # denser where more happens
    thinned = [lines[i] for i in places] if lines else []
    about = {
        "kind": "frames", "name": name, "dataset": description.get("data"), "recipe": description["train"],
        "model": description["model"], "samples": SAMPLES, "mask_ratio": RATIO, "seed": SEED,
        "images_seen": [int(file.stem) for file in files],
        "curve": [{"images_seen": line["step"] * batch, "loss": round(line["loss"], 6)} for line in thinned],
    }  # fmt: skip
    sheet = np.concatenate([np.asarray(Image.open(file).convert("RGB")) for file in files], axis=1)
    save_picture(Image.fromarray(sheet), out / f"{name}.png", optimize=True)
    path = out / f"{name}.json"
    write_atomically(path, (json.dumps(about, indent=1, allow_nan=False) + "\n").encode())
    return path


@dataclass(frozen=True)
class Frames:
    """Frames as read back: `pictures` is (frames, samples, H, W, 3) uint8, `about` the JSON beside them."""

    pictures: np.ndarray
    about: dict[str, Any]


def read_frames(path: str | Path | None = None) -> Frames:
    """Frames from the JSON of a pair; the shipped ones where None. ValueError where the two do not belong together."""
    path = Path(path) if path else data_path("frames/mae_tiny_patch4_64.json")
    about = json.loads(path.read_text())
    sheet = np.asarray(Image.open(path.with_suffix(".png")).convert("RGB"))
    rows, columns = len(about["samples"]), len(about["images_seen"])
    height, width = sheet.shape[0] // rows, sheet.shape[1] // columns
    if sheet.shape[:2] != (rows * height, columns * width) or not height or not width:
        raise ValueError(
            f"{path.with_suffix('.png')} has {sheet.shape} pixels: no {rows} x {columns} pictures; collect it again"
        )
    pictures = sheet.reshape(rows, height, columns, width, 3).transpose(2, 0, 1, 3, 4)
    return Frames(pictures, about)
