"""Our training step with one of its savings switched off at a time; each computes the same loss with more work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maelib import MaskedAutoencoder, transformer
from maelib.patches import gather_tokens
from maelib.positions import resample_positions
from maelib.transformer import Block

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def project_every_patch(model: MaskedAutoencoder) -> None:
    """Embed all patches, then gather the visible ones."""
    embed, model.encoder.embed = model.encoder.embed, nn.Identity()  # type: ignore[assignment]
    model.every_patch = embed

    def encode_visible(patches: Tensor, masking: Any, grid: tuple[int, int]) -> Tensor:
        positions = resample_positions(model.encoder.positions, model.config.grid, grid)
        return model.encoder(gather_tokens(embed(patches), masking.visible), masking.visible, positions)

    model.encode_visible = encode_visible  # type: ignore[method-assign]


def predict_every_patch(model: MaskedAutoencoder) -> None:
    """Run the head, and the last block's second half, on visible patches too, and leave their predictions unused."""
    decode = model.decode

    def everything(latents: Tensor, masking: Any, grid: tuple[int, int]) -> Tensor:
        return decode(latents, masking, grid, everything=True)[:, masking.visible.shape[1] :]

    model.decode = everything  # type: ignore[method-assign, assignment]


def whole_last_block(model: MaskedAutoencoder) -> None:
    """Compute the decoder's last block for every token, then pick the wanted ones."""
    last = model.decoder.blocks[-1]
    assert isinstance(last, Block)
    forward = last.forward
    last.forward = lambda x, outputs=slice(None), sources=slice(None): forward(x)[:, outputs]  # type: ignore


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's kernel, whatever the device."""
    return F.scaled_dot_product_attention(q, k, v)


def explicit_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Written out; autocast computes the softmax in float32."""
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1).to(v.dtype) @ v


@contextmanager
def attention(replacement: Attend) -> Iterator[None]:
    """Another attention in every block, for as long as the context lasts."""
    ours = transformer.attend
    transformer.attend = replacement  # type: ignore[assignment]
    try:
        yield
    finally:
        transformer.attend = ours


CHANGES: dict[str, Callable[[MaskedAutoencoder], None]] = {
    "project every patch": project_every_patch,
    "predict every patch": predict_every_patch,
    "whole last block": whole_last_block,
}


def attentions(device: torch.device) -> dict[str, Attend]:
    """The ways of attention that are not ours on a device."""
    if device.type == "cuda":
        return {"attention written out": explicit_attention}
    return {"fused attention": fused_attention, "softmax in float32": explicit_attention}
