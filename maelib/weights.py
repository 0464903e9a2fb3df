"""Trained weights: one safetensors file with the configuration, and what else belongs to a model, in its metadata."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from .config import MAEConfig
from .files import data_path, write_atomically
from .model import MaskedAutoencoder
from .positions import resample_positions

METADATA, FORMAT = "maelib", 2


def shipped_weights() -> list[str]:
    """Names of the trained models that come with the project; `maelib.load` takes them."""
    return sorted(path.stem for path in data_path("weights").glob("*.safetensors"))


def save(
    model: MaskedAutoencoder,
    path: str | Path,
    dtype: torch.dtype | None = None,
    *,
    step: int | None = None,
    classes: Sequence[str] = (),
    value_range: Sequence[float | str | None] | None = None,
) -> Path:
    """Write weights, configuration and a checksum to a safetensors file, atomically; returns its path.

    `dtype` stores floating-point tensors in another precision, such as torch.float16 at half the size. `step` says how
    long it was trained; `classes` and `value_range` are those of its data: names, and the source values that became 0
    and 1 with their dtype (`maelib.datasets.Values`), by default the model's attribute `value_range`, if it has one.
    """
    tensors = {}
    if value_range is None:
        value_range = getattr(model, "value_range", None)
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None)
        tensors[name] = tensor.contiguous()
    about = {"format": FORMAT, "config": asdict(model.config), "sha256": checksum(tensors)}
    about |= {"step": step, "classes": list(classes), "range": value_range}
    # One entry: the same weights give the same bytes.
    write_atomically(Path(path), to_bytes(tensors, {METADATA: json.dumps(about, sort_keys=True, allow_nan=False)}))
    return Path(path)


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, kinds, shapes and bytes of tensors on the CPU."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read(path: str | Path) -> tuple[MaskedAutoencoder, dict[str, Any]]:
    """A model in float32 from a file that `save` wrote, and what stands beside it: `step`, `classes`, `range`.

    Raises
    ------
    ValueError
        The file is damaged, is no safetensors file, or was not written by `save`.
    """
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
            raise ValueError(f"format {about['format']}, this version of maelib reads 1 and {FORMAT}")
        if about["format"] == FORMAT and about["sha256"] != checksum(state):
            raise ValueError("the checksum differs: the file is damaged")
        model = restored(MAEConfig(**about["config"]), state, about["format"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: weights and configuration do not belong together ({reason})") from error
    return model, {key: about.get(key) for key in ("step", "classes", "range")}


def restored(config: MAEConfig, state: Mapping[str, Tensor], file_format: int = FORMAT) -> MaskedAutoencoder:
    """A model in float32 and evaluation mode from its configuration and tensors, those of format 1 converted."""
    model = MaskedAutoencoder(config)
    model.load_state_dict(from_format_1(state, config) if file_format == 1 else state)
    return model.eval()


def from_format_1(state: Mapping[str, Tensor], config: MAEConfig) -> dict[str, Tensor]:
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
    """The same weights for images of another size (pixels, or height and width), their positions resampled in 2-D."""
    made = MaskedAutoencoder(replace(model.config, image_size=image_size)).train(model.training)
    state = model.state_dict()
    for name in ("encoder.positions", "decoder.positions"):
        state[name] = resample_positions(state[name], model.config.grid, made.config.grid)
    made.load_state_dict(state)
    made.value_range = getattr(model, "value_range", None)  # type: ignore[assignment]
    return made.to(model.pixel_mean.device)
