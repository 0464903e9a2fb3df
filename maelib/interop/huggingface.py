"""To and from transformers' `ViTMAEForPreTraining`: same weights, same noise, same predictions (chapter 12)."""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..config import MAEConfig
from ..model import MaskedAutoencoder

if TYPE_CHECKING:
    from transformers import ViTMAEForPreTraining

# Left what transformers writes, right what maelib writes, in the order of replacement. Two things differ in more than
# name: maelib keeps query, key and value in one matrix, and its projection of patches is a matrix instead of a convolution.
RENAMED = (
    ("vit.embeddings.patch_embeddings.projection", "encoder.embed"),
    ("vit.embeddings.cls_token", "encoder.class_token"),
    ("vit.embeddings.position_embeddings", "encoder.positions"),
    ("vit.layernorm", "encoder.norm"),
    ("vit.layers.", "encoder.blocks."),
    ("decoder.decoder_embed", "decoder.embed"),
    ("decoder.decoder_pos_embed", "decoder.positions"),
    ("decoder.decoder_norm", "decoder.norm"),
    ("decoder.decoder_pred", "decoder.head"),
    ("decoder.decoder_layers.", "decoder.blocks."),
    (".layernorm_before.", ".norm1."),
    (".layernorm_after.", ".norm2."),
    (".attention.q_proj.", ".attention.query."),
    (".attention.k_proj.", ".attention.key."),
    (".attention.v_proj.", ".attention.value."),
    (".attention.o_proj.", ".attention.output."),
    (".mlp.fc1.", ".mlp.0."),
    (".mlp.fc2.", ".mlp.2."),
)
RENAMED_BEFORE_5 = (  # what transformers 4 wrote, and writes there
    ("vit.encoder.layer.", "vit.layers."),
    (".attention.attention.query.", ".attention.q_proj."),
    (".attention.attention.key.", ".attention.k_proj."),
    (".attention.attention.value.", ".attention.v_proj."),
    (".attention.output.dense.", ".attention.o_proj."),
    (".intermediate.dense.", ".mlp.fc1."),
    (".output.dense.", ".mlp.fc2."),
)


def from_huggingface(
    model: "ViTMAEForPreTraining",
    *,
    pixel_mean: float | Sequence[float] = 0.0,
    pixel_std: float | Sequence[float] = 1.0,
) -> MaskedAutoencoder:
    """The same model in maelib: configuration, weights and positions, in float32 whatever precision it was loaded in.

    It stands on the same device and in the same mode (training or evaluation). transformers keeps the standardisation
    of the pixels in the image processor, not in the model: give its `image_mean` and `image_std` where pictures went
    through one. The mask ratio is an argument of maelib's forward pass (0.75 unless given), not part of its
    configuration.

    Raises
    ------
    ValueError
        The model has an option that maelib lacks; the message names every one.
    ImportError
        No transformers.
    TypeError
        Not a `ViTMAEForPreTraining`; a `ViTMAEModel` has no decoder.
    """
    _require(model)
    config = _maelib_config(model.config, pixel_mean, pixel_std)
    tensors = {_renamed(name): tensor.detach().float() for name, tensor in model.state_dict().items()}
    kernel = tensors["encoder.embed.weight"]  # (D, C, p, p)
    tensors["encoder.embed.weight"] = kernel.permute(0, 2, 3, 1).flatten(1)  # (D, P): channels last
    ours = MaskedAutoencoder(config)
    state = {}
    for name, old in ours.state_dict().items():
        if ".qkv." in name:
            state[name] = torch.cat([tensors[name.replace("qkv", part)] for part in ("query", "key", "value")])
        else:
            state[name] = tensors[name].reshape(old.shape)
    ours.load_state_dict(state)
    return ours.to(kernel.device).train(model.training)


def to_huggingface(model: MaskedAutoencoder, *, mask_ratio: float = 0.75) -> "ViTMAEForPreTraining":
    """The same model in transformers, in float32, on the same device and in the same mode; `mask_ratio` goes into its
    configuration.

    `pixel_mean` and `pixel_std` have no place there: pass them to a `ViTImageProcessor` as `image_mean` and
    `image_std`.

    Raises
    ------
    ValueError
        What transformers does not have: an image that is not square, a decoder with cross-attention.
    ImportError
        No transformers.
    """
    transformers, c = _transformers(), model.config
    height, width = c.hw
    if height != width:
        raise ValueError(f"transformers' ViTMAE takes square images only, this model has {height} x {width} pixels")
    if c.decoder_cross:
        raise ValueError("transformers' ViTMAE has no decoder with cross-attention (decoder_cross=True of this model)")
    config = transformers.ViTMAEConfig(
        hidden_size=c.width,
        num_hidden_layers=c.depth,
        num_attention_heads=c.heads,
        intermediate_size=int(c.width * c.mlp_ratio),
        decoder_hidden_size=c.decoder_width,
        decoder_num_hidden_layers=c.decoder_depth,
        decoder_num_attention_heads=c.decoder_heads,
        decoder_intermediate_size=int(c.decoder_width * c.mlp_ratio),
        image_size=height,
        patch_size=c.patch_size,
        num_channels=c.channels,
        layer_norm_eps=c.norm_eps,
        norm_pix_loss=c.normalize_targets,
        mask_ratio=mask_ratio,
    )
    theirs = transformers.ViTMAEForPreTraining(config)
    tensors = {name: tensor.detach().float() for name, tensor in model.state_dict().items()}
    state = {}
    for name, old in theirs.state_dict().items():
        state[name] = _take(tensors, _renamed(name), old.shape)
    theirs.load_state_dict(state)
    return theirs.to(next(model.parameters()).device).train(model.training)


def _take(tensors: dict[str, Tensor], name: str, shape: torch.Size) -> Tensor:
    """One of our tensors in the shape that transformers wants; `name` may be a third of `qkv` here."""
    for i, part in enumerate(("query", "key", "value")):
        if f".attention.{part}." in name:
            return tensors[name.replace(f".{part}.", ".qkv.")].chunk(3)[i]
    if len(shape) == 4:
        width, channels, rows, columns = shape
        return tensors[name].reshape(width, rows, columns, channels).permute(0, 3, 1, 2)
    return tensors[name].reshape(shape)


def _renamed(name: str) -> str:
    for theirs, ours in RENAMED_BEFORE_5 + RENAMED:
        name = name.replace(theirs, ours)
    return name


def _maelib_config(c: Any, pixel_mean: float | Sequence[float], pixel_std: float | Sequence[float]) -> MAEConfig:
    """Configuration of a `ViTMAEConfig`; one ValueError names everything in it that maelib does not have."""
    image, patch = _sides(c.image_size), _sides(c.patch_size)
    ratio = c.intermediate_size / c.hidden_size
    if int(c.hidden_size * ratio) < c.intermediate_size:  # the division rounded down
        ratio = math.nextafter(ratio, math.inf)
    decoder_hidden = int(c.decoder_hidden_size * ratio)
    refused = {
        f"image_size {c.image_size}: must be square": image[0] != image[1],
        f"patch_size {c.patch_size}: must be square": patch[0] != patch[1],
        f"hidden_act {c.hidden_act!r}: must be 'gelu'": c.hidden_act != "gelu",
        f"qkv_bias {c.qkv_bias}: must be True": not c.qkv_bias,
        f"hidden_dropout_prob {c.hidden_dropout_prob}: must be 0": c.hidden_dropout_prob != 0,
        f"attention_probs_dropout_prob {c.attention_probs_dropout_prob}: must be 0": c.attention_probs_dropout_prob
        != 0,
        f"decoder_intermediate_size {c.decoder_intermediate_size}: must be {decoder_hidden}, the encoder's ratio of "
        f"{c.intermediate_size}/{c.hidden_size}": decoder_hidden != c.decoder_intermediate_size,
    }
    problems = [text for text, wrong in refused.items() if wrong]
    if problems:
        raise ValueError(f"maelib cannot take this ViTMAE: {'; '.join(problems)}")
    return MAEConfig(
        image_size=image[0],
        patch_size=patch[0],
        channels=c.num_channels,
        width=c.hidden_size,
        depth=c.num_hidden_layers,
        heads=c.num_attention_heads,
        decoder_width=c.decoder_hidden_size,
        decoder_depth=c.decoder_num_hidden_layers,
        decoder_heads=c.decoder_num_attention_heads,
        mlp_ratio=ratio,
        norm_eps=c.layer_norm_eps,
        normalize_targets=c.norm_pix_loss,
        pixel_mean=pixel_mean if isinstance(pixel_mean, (int, float)) else tuple(pixel_mean),
        pixel_std=pixel_std if isinstance(pixel_std, (int, float)) else tuple(pixel_std),
    )


def _sides(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width of a size, which transformers writes as one number or two."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def _require(model: Any) -> None:
    """TypeError for anything but a `ViTMAEForPreTraining`."""
    if not isinstance(model, _transformers().ViTMAEForPreTraining):
        raise TypeError(f"expected transformers' ViTMAEForPreTraining, got {type(model).__name__}")


def _transformers() -> ModuleType:
    try:
        import transformers
    except ImportError as error:
        raise ImportError("this conversion needs transformers: pip install transformers") from error
    return transformers
