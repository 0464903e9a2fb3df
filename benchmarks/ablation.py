"""Our training step with one of its savings switched off at a time; each computes the same loss with more work."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from maelib import MaskedAutoencoder, cross_decoder, transformer

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


def project_every_patch(model: MaskedAutoencoder) -> None:
    """Embed all patches, then gather the visible ones."""
    embed, model.encoder.embed = model.encoder.embed, nn.Identity()  # type: ignore[assignment]
    model.every_patch = embed  # still one of the model's layers, so that it is trained
    model.encoder.register_forward_pre_hook(lambda _, given: (embed(given[0]), *given[1:]))


def fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """PyTorch's kernel, whatever the device."""
    return F.scaled_dot_product_attention(q, k, v)


def explicit_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Written out; autocast computes the softmax in float32."""
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1).to(v.dtype) @ v


@contextmanager
def attention(replacement: Attend) -> Iterator[None]:
    """Another attention in every block, for as long as the context lasts."""
    with patch.object(transformer, "attend", replacement), patch.object(cross_decoder, "attend", replacement):
        yield


CHANGES: dict[str, Callable[[MaskedAutoencoder], None]] = {"project every patch": project_every_patch}


def attentions(device: torch.device) -> dict[str, Attend]:
    """The ways of attention that are not ours on a device."""
    if device.type == "cuda":
        return {"attention written out": explicit_attention}
    return {"fused attention": fused_attention, "softmax in float32": explicit_attention}
