"""LearningExplorer: a training run as a film (chapter 06)."""

import html
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import ipywidgets as W
import numpy as np

from ..config import MAEConfig
from ..drawing import png, side_by_side, tile, to_uint8
from ..evaluation import psnr
from .base import Explorer, Rendered, row, slider
from .frames import Frames, read_frames
from .state import unfilled

WIDTH, HEIGHT = 560, 240  # pixels of the curve
LEFT, BOTTOM, MARGIN = 56, 36, 12
LINE = "#0072b2"  # what the run has done; seen on light and on dark pages


class LearningExplorer(Explorer):
    """Move through a recorded run: reconstructions and the curve of the loss grow together."""

    name = "learning"

    def __init__(self, frames: Frames | None = None) -> None:
        self.frames = frames or shipped_frames()
        super().__init__()

    def build_controls(self) -> dict[str, Any]:
        last = len(self.frames.pictures) - 1
        self.play = W.Play(value=0, min=0, max=last, step=1, interval=700)
        self.play.add_class("maelib-role-play")
        made = slider("frame", 0, 0, last, about="frame of the recorded run")
        self.link = W.jslink((self.play, "value"), (made, "value"))
        made.observe(
            lambda change: setattr(self.play, "value", change["new"]), "value"
        )  # where no front end links them
        return {"frame": made}

    def build_images(self) -> dict[str, tuple[str, str, str]]:
        names = ", ".join(self.frames.about["samples"])
        return {
            "pictures": (
                f"one column for each of {names}: masked, reconstructed at this point of the run, original",
                "420px",
                "masked, painted, original",
            ),
        }

    def arrange(self) -> list[W.Widget]:
        return [row([self.controls["frame"], self.play]), row(self.figures()), self.text]

    def plain_picture(self) -> bytes:
        """What the run has come to, for whoever cannot play it."""
        last = self.render({"frame": self.controls["frame"].max})
        return png(side_by_side(list(last.pictures.values()), self.plain_height))

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
        told = "before training" if not seen else "its loss not written down" if loss is None else f"loss {loss:.4f}"
        text = (
            f"<p>{seen:,} of {last:,} pictures seen, {told}. Hidden pixels of these {len(shown)} photographs: "
            f"{mean:.2f} dB (protocol masked, {about['mask_ratio']:.0%} hidden). "
            f"The run: {about['name']} on {html.escape(str(about['dataset']))}.</p>"
        )
        text += draw_curve(about["curve"], seen, last)
        pictures = {"pictures": tile([*masked, *shown, *originals], columns=len(shown), gap=0)}
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


def draw_curve(curve: list[dict[str, float]], seen: int, last: int) -> str:
    """The loss against pictures seen as SVG, both logarithmic, up to `seen` in colour and the rest faint; text and axes have
    the colour of the page."""
    losses = np.log([point["loss"] for point in curve])
    low, high = losses.min(), losses.max()
    first = curve[0]["images_seen"]
    right, floor = WIDTH - MARGIN, HEIGHT - BOTTOM

    def place(images: float, log_loss: float) -> tuple[float, float]:
        x = LEFT + (right - LEFT) * np.log(max(images, first) / first) / max(np.log(last / first), 1e-9)
        return x, MARGIN + (floor - MARGIN) * (high - log_loss) / max(high - low, 1e-9)

    def line(points: Sequence[tuple[float, float]], style: str) -> str:
        return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" {style}/>'

    def text(x: float, y: float, words: str, anchor: str) -> str:
        return f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="{anchor}">{words}</text>'

    points = [place(point["images_seen"], value) for point, value in zip(curve, losses, strict=True)]
    done = [xy for xy, point in zip(points, curve, strict=True) if point["images_seen"] <= seen]
    axes = [(LEFT, MARGIN), (LEFT, floor), (right, floor)]
    parts = [
        line(axes, 'stroke="currentColor"'),
        line(points, 'stroke="currentColor" stroke-opacity="0.3" stroke-width="2"'),
    ]
    if done:
        x, y = done[-1]
        parts += [
            line(done, f'stroke="{LINE}" stroke-width="3"'),
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{LINE}"/>',
        ]
    parts += [text(LEFT - 6, place(first, value)[1], f"{np.exp(value):.3f}", "end") for value in (low, high)]
    parts.append(text(LEFT + 40, MARGIN, "loss; both axes are logarithmic", "start"))
    parts.append(text(right, floor + 16, f"{last:,} pictures seen", "end"))
    parts.append(text(LEFT, floor + 16, f"{first:,}", "start"))
    about = "the loss against the number of pictures seen, drawn up to this point of the run"
    return (
        f'<svg class="maelib-curve" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" aria-label="{about}" '
        f'font-size="12" fill="currentColor">{"".join(parts)}</svg>'
    )
