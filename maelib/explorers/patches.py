"""PatchExplorer: what one token of a picture holds (chapter 01)."""

from typing import Any

import numpy as np

from ..config import MAEConfig
from ..drawing import highlight_patch, to_uint8
from .base import Explorer, Rendered, buttons, slider
from .state import DEFAULT, pixels_of

SIZES = (4, 8, 16, 32)
SIDE, STEP = (
    64,
    4,
)  # pixels of the picture, and of a move of the sliders: the smallest patch, so that each can be reached
SHADE = 0.8  # every other patch is this much darker, so that the grid shows


class PatchExplorer(Explorer):
    """Choose a patch size and a place; see the patch there, its values, and what is left if a patch were one colour."""

    name = "patch"

    def build_controls(self) -> dict[str, Any]:
        last = SIDE - STEP
        return {
            "size": buttons("patch size", SIZES, 8, "side of a patch in pixels"),
            "row": slider("pixel row", 24, 0, last, STEP, "row of a pixel; the patch around it is chosen"),
            "column": slider("pixel column", 16, 0, last, STEP, "column of a pixel; the patch around it is chosen"),
        }

    def build_images(self) -> dict[str, tuple[str, str, str]]:
        return {
            "picture": (
                "the photograph as a grid of patches, all dimmed but the chosen one",
                "256px",
                "a grid of patches",
            ),
            "patch": ("the chosen patch, enlarged", "256px", "the chosen patch"),
            "mean": ("the photograph with every patch in its mean colour", "256px", "one colour a patch"),
        }

    def render(self, state: dict[str, Any]) -> Rendered:
        size = state["size"]
        photo = photograph()
        n = SIDE // size
        r, c = state["row"] // size, state["column"] // size
        chosen = photo[r * size : (r + 1) * size, c * size : (c + 1) * size]
        rows, columns = np.indices((SIDE, SIDE)) // size
        shaded = np.where((rows + columns)[..., None] % 2, photo, np.rint(photo * SHADE).astype(np.uint8))
        grid = highlight_patch(shaded, r, c, size)
        grid[r * size : (r + 1) * size, c * size : (c + 1) * size] = chosen
        means = photo.reshape(n, size, n, size, 3).mean(axis=(1, 3), keepdims=True)
        flat = np.rint(means).astype(np.uint8).repeat(size, axis=1).repeat(size, axis=3).reshape(photo.shape)
        values = size * size * 3
        scores: dict[str, float | None] = {"tokens": n * n, "values": values, "pairs": n**4}
        first = " ".join(f"{v / 255:.2f}" for v in chosen.reshape(-1)[:12])
        text = (
            f"<p>{n} x {n} = {n * n} patches of {size} x {size} x 3 = {values:,} values. Token {r * n + c}, row {r}, column {c}: "
            f"{first} …<br>Attention compares every patch with every patch: {n**4:,} pairs.</p>"
        )
        return Rendered({"picture": grid, "patch": chosen, "mean": flat}, scores, text)


def photograph() -> np.ndarray:
    """The running example at 64 x 64 pixels: (64, 64, 3) uint8."""
    return to_uint8(pixels_of(DEFAULT, MAEConfig(image_size=SIDE)))
