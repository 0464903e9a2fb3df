"""maelib: masked autoencoders from scratch, the package beside the book "Seeing the Unseen"."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .config import PRESETS, MAEConfig
from .masking import Masking
from .model import MAEOutput, MaskedAutoencoder, create_model
from .renamed import names_the_new

if TYPE_CHECKING:
    from .evaluation import Reconstruction, reconstruct
    from .loading import load
    from .weights import save

__version__ = "0.1.0"
__all__ = [
    "PRESETS", "MAEConfig", "MAEOutput", "MaskedAutoencoder", "Masking", "Reconstruction",
    "create_model", "load", "reconstruct", "save",
]  # fmt: skip

for _name in ("forward", "predict"):  # not in model.py, which the book teaches line by line
    setattr(MaskedAutoencoder, _name, names_the_new(getattr(MaskedAutoencoder, _name)))

# What needs more than torch is imported when it is first used.
_LAZY = {"load": "loading", "save": "weights", "reconstruct": "evaluation", "Reconstruction": "evaluation"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'maelib' has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
