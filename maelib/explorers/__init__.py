"""Explorers: controls, and pictures that follow them, in every notebook and in the published pages (chapter 09)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attention import AttentionExplorer
    from .learning import LearningExplorer
    from .masks import MaskExplorer
    from .patches import PatchExplorer
    from .positions import PositionExplorer
    from .reconstruction import ReconstructionExplorer

__all__ = [
    "AttentionExplorer",
    "LearningExplorer",
    "MaskExplorer",
    "PatchExplorer",
    "PositionExplorer",
    "ReconstructionExplorer",
]

# `maelib.explorers.state` serves the web application too, which has no ipywidgets.
_MODULES = {
    "AttentionExplorer": "attention",
    "LearningExplorer": "learning",
    "MaskExplorer": "masks",
    "PatchExplorer": "patches",
    "PositionExplorer": "positions",
    "ReconstructionExplorer": "reconstruction",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'maelib.explorers' has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
