"""AttentionExplorer: where a patch looks, in the trained encoder (chapter 03)."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..drawing import heat, highlight_patch, to_uint8
from ..model import MaskedAutoencoder
from .base import Explorer, Rendered, buttons
from .positions import patch_sliders
from .state import DEFAULT, embedded_model, pixels_of

LAYERS, HEADS = 4, 4  # as many are offered at most


class AttentionExplorer(Explorer):
    """Choose a patch, a layer and a head; see how much attention the patch pays to every other, nothing hidden."""

    name = "attention"

    def build_controls(self) -> dict[str, Any]:
        config = embedded_model().config
        layers = spaced(config.depth, LAYERS)
        return {
            "layer": buttons("layer", layers, layers[len(layers) // 2], "block of the encoder, the first is 1"),
            "head": buttons("head", spaced(config.heads, HEADS), 1, "head of the attention, the first is 1"),
            **patch_sliders(config.grid),
        }

    def build_images(self) -> dict[str, tuple[str, str, str]]:
        return {
            "picture": ("the photograph, all dimmed but the chosen patch", "256px", "the patch that looks"),
            "attention": (
                "a map of all patches: the brighter, the more attention the chosen patch pays to it",
                "256px",
                "where it looks",
            ),
        }

    def render(self, state: dict[str, Any]) -> Rendered:
        model = embedded_model()
        config = model.config
        rows, columns = config.grid
        r, c = state["row"], state["column"]
        every = attention_of_example()[state["layer"] - 1, state["head"] - 1, 1 + r * columns + c]
        there = every[1:].reshape(rows, columns)  # the class token, which comes first, has no place on the map
        distance = np.hypot(*np.meshgrid(np.arange(rows) - r, np.arange(columns) - c, indexing="ij"))
        mean_distance = float((there * distance).sum() / there.sum())
        entropy = float(-(every * np.log2(every.clip(1e-12))).sum())
        scores: dict[str, float | None] = {
            "class_token": float(every[0]),
            "most": float(there.max()),
            "mean_distance": mean_distance,
            "entropy": entropy,
        }
        text = (
            f"<p>Most to one patch {there.max():.1%}, to the class token {every[0]:.1%}; mean distance "
            f"{mean_distance:.1f} patches; spread like {2**entropy:.0f} equal tokens of {every.size}. "
            f"Black is 0, pale yellow the most.</p>"
        )
        photo = to_uint8(pixels_of(DEFAULT, config))
        pictures = {
            "picture": highlight_patch(photo, r, c, config.patch_size),
            "attention": heat(there, float(there.max())),
        }
        return Rendered(pictures, scores, text)


def spaced(count: int, most: int) -> tuple[int, ...]:
    """At most `most` of the numbers 1 to `count`, first and last among them."""
    return tuple(sorted({round(1 + i * (count - 1) / max(1, min(most, count) - 1)) for i in range(min(most, count))}))


@torch.inference_mode()
def attention_maps(model: MaskedAutoencoder, images: Tensor) -> Tensor:
    """What every token pays to every token, nothing hidden: (B, C, H, W) -> (B, layers, heads, 1 + N, 1 + N), rows sum to 1."""
    maps: list[Tensor] = []

    def watch(attention: Any, inputs: tuple[Tensor]) -> None:
        q, k, _ = attention.qkv(*inputs).unflatten(2, (3, attention.heads, -1)).permute(2, 0, 3, 1, 4)
        maps.append((q @ k.transpose(2, 3) / q.shape[-1] ** 0.5).softmax(dim=-1))

    hooks = [block.attention.register_forward_pre_hook(watch) for block in model.encoder.blocks]  # type: ignore[union-attr]
    try:
        model.encode(images, pool=None)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.stack(maps, dim=1)


@lru_cache(maxsize=1)
def attention_of_example() -> np.ndarray:
    """The maps of the embedded model on the running example."""
    model = embedded_model()
    c = model.config
    pixels = torch.from_numpy(pixels_of(DEFAULT, c).transpose(2, 0, 1).copy())[None]
    return attention_maps(model, pixels)[0].numpy()
