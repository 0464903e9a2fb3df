"""The web application without its page: settings, models that visitors may choose, the report to download."""

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..evaluation import PROTOCOLS, Reconstruction
from ..explorers.state import MAX_BYTES, MAX_PIXELS, scores
from ..loading import load
from ..model import MaskedAutoencoder
from ..training.checkpoint import list_checkpoints

MAX_MODEL_BYTES = 4_000_000_000
VARIABLES = {
    "models": "MAELIB_APP_MODELS",
    "max_mb": "MAELIB_APP_MAX_MB",
    "max_megapixels": "MAELIB_APP_MAX_MEGAPIXELS",
    "paths": "MAELIB_APP_PATHS",
}


@dataclass(frozen=True)
class Settings:
    """What the operator of the application decides, by `maelib app` or by environment variables.

    `models`: run folders or files of weights offered beside the embedded model. `max_mb`, `max_megapixels`: limits of an
    upload, in 10**6 bytes and 10**6 pixels. `paths`: whether a visitor may name a checkpoint on the server; None means
    only someone who sits at it.
    """

    models: tuple[str, ...] = ()
    max_mb: float = MAX_BYTES / 1e6
    max_megapixels: float = MAX_PIXELS / 1e6
    paths: bool | None = None

    def __post_init__(self) -> None:
        for name, most in (("max_mb", MAX_BYTES / 1e6), ("max_megapixels", MAX_PIXELS / 1e6)):
            if not 0 < getattr(self, name) <= most:
                raise ValueError(f"{name} must be above 0 and at most {most:.0f}, got {getattr(self, name)}")

    @classmethod
    def from_environment(cls) -> "Settings":
        """Settings from the variables named in `VARIABLES`; ValueError names the one that is wrong."""
        given = {field: os.environ.get(variable, "") for field, variable in VARIABLES.items()}
        found: dict[str, Any] = {"models": tuple(filter(None, given["models"].split(os.pathsep)))}
        for field in ("max_mb", "max_megapixels"):
            if given[field]:
                try:
                    found[field] = float(given[field])
                except ValueError:
                    raise ValueError(f"{VARIABLES[field]} must be a number, got {given[field]!r}") from None
        if given["paths"]:
            if given["paths"] not in ("on", "off"):
                raise ValueError(f"{VARIABLES['paths']} must be on or off, got {given['paths']!r}")
            found["paths"] = given["paths"] == "on"
        return cls(**found)

    def to_environment(self) -> dict[str, str]:
        """The variables that give these settings back."""
        paths = "" if self.paths is None else "on" if self.paths else "off"
        values = (os.pathsep.join(self.models), str(self.max_mb), str(self.max_megapixels), paths)
        return dict(zip(VARIABLES.values(), values, strict=True))


def weights_file(name: str) -> Path | None:
    """The file that holds the weights of a run folder or a path; None for a shipped name."""
    path = Path(name).expanduser()
    if path.is_dir():
        path = next(iter([*path.glob("model.safetensors"), *list_checkpoints(path / "checkpoints")]), path)
    return path if path.exists() else None


def version_of(name: str) -> tuple[int, int]:
    """Changes when the weights change, so that a model is loaded again after more training."""
    path = weights_file(name)
    return (path.stat().st_mtime_ns, path.stat().st_size) if path else (0, 0)


def open_model(name: str) -> MaskedAutoencoder:
    """A trained model that pictures can be given to; ValueError or OSError says in a sentence why not."""
    path = weights_file(name)
    if path and path.is_file() and path.stat().st_size > MAX_MODEL_BYTES:
        raise ValueError(f"{name} has {path.stat().st_size / 1e9:.1f} GB, more than {MAX_MODEL_BYTES / 1e9:.0f} GB")
    return load(name)


def panel_png(reconstruction: Reconstruction) -> bytes:
    """Original, masked, raw and pasted with their scores, as a PNG file."""
    file = io.BytesIO()
    reconstruction.panel().save(file, "PNG")
    return file.getvalue()


def report(reconstruction: Reconstruction, state: dict[str, Any], model: str) -> str:
    """Everything about what is shown, as JSON: choices, mask, scores with their protocols, the error of each patch."""
    by_hand = state["strategy"] == "hand"
    measured = scores(reconstruction)
    return json.dumps(
        {
            "maelib": __version__,
            "model": Path(model).name,
            "picture": state["sample"],
            "shown": reconstruction.look.words if reconstruction.look else "as it is",
            "strategy": state["strategy"],
            "seed": None if by_hand else state["seed"],
            "mask_ratio_chosen": None if by_hand else state["ratio"] / 100,
            "mask": ["".join("01"[hidden] for hidden in row) for row in reconstruction.mask.astype(int)],
            "protocols": {name: PROTOCOLS[name] for name in measured["model"]},
            "scores": measured,
            "hidden_patch_rmse": {
                "measure": "root mean square over the pixels and channels of a hidden patch, pixels in [0, 1]",
                "values": reconstruction.hidden_patch_rmse().round(4).tolist(),
            },
        },
        indent=1,
        allow_nan=False,
    )
