"""Where a run stands: its loss beside those of recorded runs after as many pictures."""

import json
import math
from typing import Any, NamedTuple

import numpy as np

from ..config import MAEConfig
from ..files import data_path


class Curve(NamedTuple):
    """The training loss of a recorded run, and what it must share with another to be compared."""

    name: str
    seen: tuple[float, ...]  # pictures, growing
    loss: tuple[float, ...]
    kind: tuple[Any, ...]  # see `kind_of`
    data: str = "tiny-imagenet"  # what it was trained on

    def at(self, seen: float) -> float:
        """The loss after so many pictures, between two points along the logarithm of pictures; after the last, the last."""
        return float(np.interp(math.log(seen), np.log(self.seen), self.loss))


def kind_of(model: dict[str, Any], mask_ratio: float) -> tuple[Any, ...]:
    """Losses of one kind may be compared: the same share hidden, and targets normalised, or of one standardisation."""
    if model.get("normalize_targets"):
        return ("normalised targets", mask_ratio)
    statistics = (model.get(name, default) for name, default in (("pixel_mean", 0.0), ("pixel_std", 1.0)))
    return ("raw targets", mask_ratio, *(tuple(x) if isinstance(x, (list, tuple)) else x for x in statistics))


def recorded_curves() -> list[Curve]:
    """Those of the runs in `data/results`, and of published ones there."""
    found = []
    for path in sorted(data_path("results").glob("*.json")):
        record = json.loads(path.read_text())
        if record["kind"] == "run":
            an_epoch = record["images_seen"] / record["epochs"]
            seen = tuple(point["epoch"] * an_epoch for point in record["curve"])
            loss = tuple(point["loss"] for point in record["curve"])
            found.append(Curve(record["name"], seen, loss, kind_of(record["model"], record["recipe"]["mask_ratio"])))
        for curve in record.get("curves", []):
            kind = kind_of({"normalize_targets": curve["normalize_targets"]}, curve["mask_ratio"])
            found.append(Curve(curve["name"], tuple(curve["images_seen"]), tuple(curve["loss"]), kind))
    return found


def standing(loss: float, images_seen: int, config: MAEConfig, mask_ratio: float, data: str = "tiny-imagenet") -> str:
    """One line that sets a loss beside recorded runs of its kind on the same data; empty where there is none, or none so early."""
    model = {name: getattr(config, name) for name in ("normalize_targets", "pixel_mean", "pixel_std")}
    others = []
    for curve in recorded_curves():
        same = curve.data == data and curve.kind == kind_of(model, mask_ratio)
        if same and images_seen >= curve.seen[0]:
            ended = f" at its end, after {curve.seen[-1]:,.0f}" if images_seen > curve.seen[-1] else " there"
            others.append(f"{curve.name} had {curve.at(images_seen):.4f}{ended}")
    return f"loss {loss:.4f} after {images_seen:,} pictures; {', '.join(others)}" if others else ""
