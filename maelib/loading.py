"""One function that loads a model, whatever it is kept in."""

import json
import warnings
from pathlib import Path
from typing import Any

import torch

from .config import MAEConfig
from .files import data_path
from .model import MaskedAutoencoder
from .training.checkpoint import is_checkpoint, load_checkpoint, newest_checkpoint
from .weights import read, restored, shipped_weights


def load(source: str | Path, device: str | torch.device = "cpu") -> MaskedAutoencoder:
    """A trained model in float32 and evaluation mode, with the range of its data as the attribute `value_range`.

    Parameters
    ----------
    source
        The name of a model that ships with the project; a file of `maelib.save`; the folder of a training run, whose
        `model.safetensors` is taken or, where the run was stopped, its newest good checkpoint; or a checkpoint. A
        warning names the step of a checkpoint.

    Raises
    ------
    FileNotFoundError
        No such file or name, or a folder without weights; the message lists the names.
    ValueError
        The file is damaged or holds no model of maelib.
    """
    return load_with_about(source, device)[0]


def load_with_about(source: str | Path, device: str | torch.device = "cpu") -> tuple[MaskedAutoencoder, dict[str, Any]]:
    """The same, and what is known of the model: `step`, `classes`, `range`, None each where nobody wrote it down."""
    path = Path(source).expanduser()
    if path.is_dir() and (path / "model.safetensors").exists():
        path /= "model.safetensors"
    if path.is_dir():
        found = newest_checkpoint(path / "checkpoints", warnings.warn, _from_checkpoint)
        if found is None:
            raise FileNotFoundError(f"{path} holds neither model.safetensors nor a checkpoint: let it train first")
        model, about = found
    elif path.is_file() and is_checkpoint(path):
        model, about = _from_checkpoint(path, load_checkpoint(path))
    elif path.is_file():
        model, about = read(path)
    elif str(source) in shipped_weights():
        model, about = read(data_path(f"weights/{source}.safetensors"))
    else:
        names = ", ".join(shipped_weights()) or "none"
        raise FileNotFoundError(f"no weights {str(source)!r}: neither a file nor a folder nor shipped ({names})")
    model.value_range = about["range"]
    return model.to(device), about


def _range_of(run: Path) -> Any:
    """The range of a run's data, as its folder says it; None for 8-bit pictures."""
    try:
        return json.loads((run / "config.json").read_text()).get("range")
    except (OSError, ValueError):
        return None


def _from_checkpoint(path: Path, state: dict[str, Any]) -> tuple[MaskedAutoencoder, dict[str, Any]]:
    """The model of a run that was stopped, as it stood at the checkpoint's step."""
    try:
        shape = state.get("config")  # earlier formats kept it in the folder alone
        if shape is None:
            shape = json.loads((path.parent.parent / "config.json").read_text())["model"]
        model, step = restored(MAEConfig(**shape), state["model"], state.get("format", 1)), state["step"]
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise ValueError(f"{path} holds no model of maelib ({' '.join(str(error).split())})") from error
    warnings.warn(f"a checkpoint, not the end of a run: step {step}, {path}", stacklevel=4)
    return model, {"step": step, "classes": None, "range": _range_of(path.parent.parent)}
