"""PositionExplorer: how alike the positions of two patches are (chapter 01)."""

from typing import Any

import numpy as np

from ..drawing import heat, highlight_patch, to_uint8
from ..positions import sincos_2d
from .base import Explorer, Rendered, buttons, slider
from .state import DEFAULT, embedded_model, pixels_of

PARTS = ("both", "row", "column")


class PositionExplorer(Explorer):
    """Choose a patch; see the cosine similarity of its position vector to those of all others, or of one half of it."""

    name = "position"

    def build_controls(self) -> dict[str, Any]:
        return {
            "part": buttons("half of the vector", PARTS, "both", "compare whole position vectors or one half of them"),
            **patch_sliders(embedded_model().config.grid),
        }

    def build_images(self) -> dict[str, tuple[str, str, str]]:
        return {
            "picture": ("the photograph, all dimmed but the chosen patch", "256px", "the chosen patch"),
            "similarity": (
                "a map of all patches: the brighter, the more alike its position is to the chosen one's",
                "256px",
                "how alike positions are",
            ),
        }

    def render(self, state: dict[str, Any]) -> Rendered:
        config = embedded_model().config
        rows, columns = config.grid
        vectors = sincos_2d(config.grid, config.width).numpy()
        half = config.width // 2  # the first half encodes the column, the second the row
        vectors = {"both": vectors, "column": vectors[:, :half], "row": vectors[:, half:]}[state["part"]]
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        r, c = state["row"], state["column"]
        similarity = (vectors @ vectors[r * columns + c]).reshape(rows, columns)
        far = tuple(int(i) for i in np.unravel_index(similarity.argmin(), similarity.shape))
        least = float(similarity.min())
        beside, below = similarity[r, (c + 1) % columns], similarity[(r + 1) % rows, c]
        scores: dict[str, float | None] = {
            "beside": float(beside),
            "below": float(below),
            "least": least,
            "far_row": far[0],
            "far_column": far[1],
        }
        text = (
            f"<p>Similarity to the patch on its right {beside:.3f}, below it {below:.3f}; the least alike is "
            f"{least:.3f}, at row {far[0]}, column {far[1]}. Black is the least, pale yellow 1.</p>"
        )
        photo = to_uint8(pixels_of(DEFAULT, config))
        pictures = {
            "picture": highlight_patch(photo, r, c, config.patch_size),
            "similarity": heat(similarity - least, 1 - least),
        }
        return Rendered(pictures, scores, text)


def patch_sliders(grid: tuple[int, int]) -> dict[str, Any]:
    """Sliders for the row and the column of a patch; about eight steps each, so that a page can hold every state."""
    sliders = {}
    for role, count in zip(("row", "column"), grid, strict=True):
        step = max(1, -(-count // 8))
        low = step // 2
        middle = low + (count - 1 - low) // (2 * step) * step
        sliders[role] = slider(f"patch {role}", middle, low, count - 1, step, f"{role} of the chosen patch")
    return sliders
