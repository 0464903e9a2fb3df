"""LearningExplorer: a training run as a film (chapter 06)."""

import html
from functools import lru_cache
from typing import Any

import ipywidgets as W
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..config import MAEConfig
from ..drawing import tile, to_uint8
from ..evaluation import psnr
from .base import Explorer, Rendered, row, slider
from .frames import Frames, read_frames
from .state import unfilled

WIDTH, HEIGHT = 560, 240  # pixels of the curve
LEFT, BOTTOM, MARGIN = 56, 36, 12
INK, LINE, REST = (40, 40, 40), (0, 114, 178), (205, 205, 205)


class LearningExplorer(Explorer):
    """Move through a recorded run; reconstructions and the curve of the loss grow together."""

    name = "learning"

    def __init__(self, frames: Frames | None = None) -> None:
        self.frames = frames or shipped_frames()
        super().__init__()

    def build_controls(self) -> dict[str, Any]:
        last = len(self.frames.pictures) - 1
        self.play = W.Play(value=last, min=0, max=last, step=1, interval=700)
        self.play.add_class("maelib-role-play")
        made = slider("frame", last, 0, last, about="frame of the recorded run, the first is before training")
        self.link = W.jslink((self.play, "value"), (made, "value"))
        return {"frame": made}

    def build_images(self) -> dict[str, tuple[str, str]]:
        names = ", ".join(self.frames.about["samples"])
        return {
            "pictures": (
                f"one column for each of {names}: masked, reconstructed at this point of the run, original",
                "420px",
            ),
            "curve": ("the loss against the number of pictures seen, drawn up to this point of the run", f"{WIDTH}px"),
        }

    def arrange(self) -> list[W.Widget]:
        return [row([self.controls["frame"], self.play]), row(self.images.values()), self.text]

    def render(self, state: dict[str, Any]) -> Rendered:
        about, shown = self.frames.about, self.frames.pictures[state["frame"]]
        seen, last = about["images_seen"][state["frame"]], about["images_seen"][-1]
        originals, masks = _originals(self.frames)
        p = originals[0].shape[0] // masks[0].shape[0]
        hidden = [mask.repeat(p, 0).repeat(p, 1) for mask in masks]
        masked = [np.where(h[..., None], np.uint8(128), o) for h, o in zip(hidden, originals, strict=True)]
        by_picture = [psnr(o / 255, s / 255, h) for o, s, h in zip(originals, shown, hidden, strict=True)]
        mean = float(np.mean(by_picture))
        loss = next((point["loss"] for point in reversed(about["curve"]) if point["images_seen"] <= seen), None)
        told = "before training" if loss is None else f"loss {loss:.4f}"
        text = (
            f"<p>{seen:,} of {last:,} pictures seen, {told}. Hidden pixels of these {len(shown)} photographs: "
            f"{mean:.2f} dB (protocol masked, {about['mask_ratio']:.0%} hidden). "
            f"The run: {about['name']} on {html.escape(str(about['dataset']))}.</p>"
        )
        pictures = {
            "pictures": tile([*masked, *shown, *originals], columns=len(shown)),
            "curve": draw_curve(about["curve"], seen, last),
        }
        return Rendered(pictures, {"images_seen": seen, "loss": loss, "masked_psnr": mean}, text)


@lru_cache(maxsize=1)
def shipped_frames() -> Frames:
    """The frames that come with the project."""
    return read_frames()


def _originals(frames: Frames) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The photographs of the frames (H, W, 3) uint8 and their masks (rows, columns)."""
    config, about = MAEConfig(**frames.about["model"]), frames.about
    originals, masks = [], []
    for i, name in enumerate(about["samples"]):
        state = {"sample": name, "seed": about["seed"] + i, "ratio": 100 * about["mask_ratio"]}
        r = unfilled(state, config)
        originals.append(to_uint8(r.original))
        masks.append(r.mask)
    return originals, masks


def draw_curve(curve: list[dict[str, float]], seen: int, last: int) -> np.ndarray:
    """The loss against pictures seen, both logarithmic, up to `seen` in colour and the rest in gray: (HEIGHT, WIDTH, 3)
    uint8."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    losses = np.log([point["loss"] for point in curve])
    low, high = losses.min(), losses.max()
    first = curve[0]["images_seen"]

    def place(images: float, log_loss: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - MARGIN) * np.log(max(images, first) / first) / max(np.log(last / first), 1e-9)
        return x, MARGIN + (HEIGHT - BOTTOM - MARGIN) * (high - log_loss) / max(high - low, 1e-9)

    points = [place(point["images_seen"], value) for point, value in zip(curve, losses, strict=True)]
    done = [xy for xy, point in zip(points, curve, strict=True) if point["images_seen"] <= seen]
    draw.line([(LEFT, MARGIN), (LEFT, HEIGHT - BOTTOM), (WIDTH - MARGIN, HEIGHT - BOTTOM)], fill=INK)
    draw.line(points, fill=REST, width=2)
    if len(done) > 1:
        draw.line(done, fill=LINE, width=3)
    if done:
        x, y = done[-1]
        draw.ellipse([x - 4, y - 4, x + 4, y + 4], fill=LINE)
    for value in (low, high):
        draw.text((LEFT - 6, place(first, value)[1]), f"{np.exp(value):.3f}", fill=INK, font=font, anchor="rm")
    draw.text((LEFT + 40, MARGIN), "loss; both axes are logarithmic", fill=INK, font=font, anchor="lm")
    draw.text((WIDTH - MARGIN, HEIGHT - BOTTOM + 16), f"{last:,} pictures seen", fill=INK, font=font, anchor="rm")
    draw.text((LEFT, HEIGHT - BOTTOM + 16), f"{first:,}", fill=INK, font=font, anchor="lm")
    return np.asarray(sheet)
