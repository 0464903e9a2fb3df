"""Trained weights: one safetensors file with the configuration in its metadata."""

import json
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .config import MAEConfig
from .model import MaskedAutoencoder
from .positions import resample_positions
from .resources import data_path

METADATA, FORMAT = "maelib", 2


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that at any moment, crash or kill, the old or the new content is there, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def shipped_weights() -> list[str]:
    """Names of the trained models that come with the project; `load` takes them."""
    return sorted(path.stem for path in data_path("weights").glob("*.safetensors"))


def save_model(model: MaskedAutoencoder, path: str | Path, dtype: torch.dtype | None = None) -> Path:
    """Write weights and configuration to a safetensors file, atomically.

    `dtype` stores floating-point tensors in another precision, such as torch.float16 at half the size.
    """
    tensors = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None)
        tensors[name] = tensor.contiguous()
    about = json.dumps({"format": FORMAT, "config": asdict(model.config)}, sort_keys=True)
    write_atomically(Path(path), save(tensors, {METADATA: about}))  # one entry: the same weights give the same bytes
    return Path(path)


def load_model(path_or_name: str | Path, device: str | torch.device = "cpu") -> MaskedAutoencoder:
    """A trained model in float32, from a file or by the name of one that ships with the project.

    Raises
    ------
    FileNotFoundError
        Neither a file nor a shipped name; the message lists the names.
    ValueError
        The file is damaged, is no safetensors file, or was not written by `maelib.save`.
    """
    path = Path(path_or_name)
    if not path.is_file():
        if str(path_or_name) not in shipped_weights():
            names = ", ".join(shipped_weights()) or "none"
            raise FileNotFoundError(f"no weights {str(path_or_name)!r}: neither a file nor shipped ({names})")
        path = data_path(f"weights/{path_or_name}.safetensors")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is damaged or is no safetensors file ({error}); save models with maelib.save"
        ) from error
    if METADATA not in metadata:
        raise ValueError(f"{path} holds no configuration of maelib; foreign checkpoints go through maelib.interop")
    try:
        about = json.loads(metadata[METADATA])
        if about["format"] not in (1, FORMAT):
            raise ValueError(f"format {about['format']}, this version of maelib reads {FORMAT}")
        model = MaskedAutoencoder(MAEConfig(**about["config"]))
        if about["format"] == 1:
            state = from_format_1(state, model.config)
        model.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: weights and configuration do not belong together ({reason})") from error
    return model.to(device).eval()


def from_format_1(state: dict[str, Tensor], config: MAEConfig) -> dict[str, Tensor]:
    """Join query and key_value of every self-attention; cross-attention keeps them apart."""
    new: dict[str, Tensor] = {}
    for name, tensor in state.items():
        name = name.replace("encoder.embed.projection.", "encoder.embed.")
        apart = config.decoder_cross and name.startswith("decoder.")
        if apart or ".attention." not in name or ".output." in name:
            new[name] = tensor
        elif ".query." in name:
            new[name.replace(".query.", ".qkv.")] = torch.cat([tensor, state[name.replace(".query.", ".key_value.")]])
    return new


def resized(model: MaskedAutoencoder, image_size: int | tuple[int, int]) -> MaskedAutoencoder:
    """The same weights for images of another size, their positions resampled."""
    made = MaskedAutoencoder(replace(model.config, image_size=image_size)).train(model.training)
    state = model.state_dict()
    for name in ("encoder.positions", "decoder.positions"):
        state[name] = resample_positions(state[name], model.config.grid, made.config.grid)
    made.load_state_dict(state)
    return made.to(model.pixel_mean.device)
