"""Gradients in float64 against differences, for every block: by all inputs and all parameters."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from maelib import Masking
from maelib.cross_decoder import CrossAttention, CrossBlock, CrossDecoder
from maelib.decoder import Decoder
from maelib.encoder import Encoder
from maelib.transformer import MLP, Attention, Block

B, N, D, P = 2, 4, 4, 3  # images, patches, width, values of a patch
MASKING = Masking.from_mask(torch.tensor([[True, False, True, False], [False, True, True, False]]))
PARTS: dict[str, tuple[Callable[[], nn.Module], tuple[tuple[int, ...], ...], tuple[torch.Tensor, ...]]] = {
    "MLP": (lambda: MLP(D, 6), ((B, 3, D),), ()),
    "Attention": (lambda: Attention(D, 2), ((B, 3, D),), ()),
    "Block": (lambda: Block(D, 2, 1.5), ((B, 3, D),), ()),
    "CrossAttention": (lambda: CrossAttention(D, 2), ((B, 2, D), (B, 3, D)), ()),
    "CrossBlock": (lambda: CrossBlock(D, 2, 1.5), ((B, 2, D), (B, 3, D)), ()),
    "Encoder": (lambda: Encoder(P, (2, 2), D, 1, 2, 1.5), ((B, N, P),), (MASKING.visible,)),
    "Decoder": (lambda: Decoder(D, P, (2, 2), 4, 1, 2, 1.5), ((B, 3, D),), MASKING[:2]),
    "CrossDecoder": (lambda: CrossDecoder(D, P, (2, 2), 4, 1, 2, 1.5), ((B, 3, D),), MASKING[:2]),
}


@pytest.mark.parametrize("name", PARTS)
def test_gradients_are_those_of_differences(name):
    make, shapes, indices = PARTS[name]
    torch.manual_seed(0)
    module = make().double()
    names = [name for name, _ in module.named_parameters()]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    weights = [p.detach().clone().requires_grad_() for p in module.parameters()]

    def output(*given: torch.Tensor) -> torch.Tensor:
        images, parameters = given[: len(inputs)], dict(zip(names, given[len(inputs) :], strict=True))
        return torch.func.functional_call(module, parameters, (*images, *indices))

    assert torch.autograd.gradcheck(output, (*inputs, *weights))
