"""maelib: masked autoencoders from scratch, the package beside the book "Seeing the Unseen"."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .config import PRESETS, MAEConfig
from .masking import Masking
from .model import MAEOutput, MaskedAutoencoder, create_model

if TYPE_CHECKING:
    from .evaluation import Reconstruction, reconstruct
    from .weights import load_model as load
    from .weights import save_model as save

__version__ = "0.1.0"
__all__ = [
    "PRESETS", "MAEConfig", "MAEOutput", "MaskedAutoencoder", "Masking", "Reconstruction",
    "create_model", "load", "reconstruct", "save",
]  # fmt: skip

# What needs more than torch is imported when it is first used.
_LAZY = {
    "load": ("weights", "load_model"),
    "save": ("weights", "save_model"),
    "reconstruct": ("evaluation", "reconstruct"),
    "Reconstruction": ("evaluation", "Reconstruction"),
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'maelib' has no attribute {name!r}")
    module, attribute = _LAZY[name]
    return getattr(import_module(f".{module}", __name__), attribute)
