"""MaskExplorer: what a mask leaves, and how far its neighbours' average gets (chapter 02)."""

from typing import Any

from ..drawing import to_uint8
from ..evaluation.metrics import decibels
from ..strategies import STRATEGIES
from .base import Explorer, Rendered, buttons, slider
from .state import DEFAULT, RATIO_MAX, baseline_of, embedded_model, unfilled


class MaskExplorer(Explorer):
    """Choose a ratio, a strategy and a seed; see what stays visible, and the Gaussian average of it."""

    name = "mask"

    def build_controls(self) -> dict[str, Any]:
        return {
            "ratio": slider("hidden %", 75, 0, RATIO_MAX, 5, "per cent of the patches that is hidden"),
            "strategy": buttons("strategy", STRATEGIES, "random", "how the hidden patches are chosen"),
            "seed": slider("seed", 0, 0, 2, about="another mask of the same kind"),
        }

    def build_images(self) -> dict[str, tuple[str, str, str]]:
        return {
            "masked": ("the photograph with its hidden patches gray", "320px", "what stays visible"),
            "filled": (
                "the hidden patches filled by an average of the visible pixels around them",
                "320px",
                "the average of the neighbours",
            ),
        }

    def render(self, state: dict[str, Any]) -> Rendered:
        config = embedded_model().config
        picture = DEFAULT | state
        filled = baseline_of(unfilled(picture, config))
        measured = filled.scores()
        hidden, patches = int(filled.mask.sum()), filled.mask.size
        psnr = measured["masked"]["psnr"] if hidden else None
        scores = {"hidden": hidden, "patches": patches, "gaussian_masked_psnr": psnr}
        score = "nothing is hidden" if psnr is None else f"{decibels(psnr)} on the hidden pixels (protocol masked)"
        text = (
            f"<p>{hidden} of {patches} patches hidden, {patches - hidden} visible. "
            f"Average of the neighbours: {score}.</p>"
        )
        return Rendered({"masked": to_uint8(filled.masked), "filled": to_uint8(filled.pasted)}, scores, text)
