"""Both decoders: positions tell hidden patches apart, the visible ones are looked at, and the order is the stated one."""

from dataclasses import replace

import pytest
import torch
from conftest import SMALL
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from maelib import MaskedAutoencoder, Masking
from maelib.cross_decoder import CrossAttention, CrossBlock
from maelib.masking import gather_tokens

KINDS = pytest.mark.parametrize("cross", [False, True], ids=["joint", "cross"])


def decoder_and_latents(cross: bool, depth: int = 2) -> tuple[nn.Module, torch.Tensor, Masking]:
    torch.manual_seed(0)
    model = MaskedAutoencoder(replace(SMALL, decoder_cross=cross, decoder_depth=depth)).eval()
    masking = Masking.random(2, 16)
    with torch.no_grad():
        return model.decoder, model.encoder(model.to_patches(torch.rand(2, 3, 32, 32)), masking.visible), masking


@KINDS
@torch.no_grad()
def test_the_two_calls_agree_on_the_hidden_patches(cross):
    decoder, latents, masking = decoder_and_latents(cross)
    hidden, every = decoder.hidden_patches(latents, masking), decoder.all_patches(latents, masking)
    assert hidden.shape == (2, 12, 192)
    assert every.shape == (2, 16, 192)
    torch.testing.assert_close(gather_tokens(every, masking.hidden), hidden)


@torch.no_grad()
def test_a_joint_decoder_answers_in_the_order_visible_hidden():
    decoder, latents, masking = decoder_and_latents(cross=False)
    pred = decoder(latents, masking.visible, masking.hidden)
    order = torch.cat([masking.visible, masking.hidden], dim=1)
    torch.testing.assert_close(pred, gather_tokens(decoder.all_patches(latents, masking), order))


@KINDS
@torch.no_grad()
def test_positions_are_nonzero_and_predictions_differ_between_hidden_places(cross):
    decoder, latents, masking = decoder_and_latents(cross)
    assert decoder.positions[1:].abs().sum(1).min() > 0
    pred = decoder.hidden_patches(latents, masking)[0]
    assert (torch.cdist(pred, pred) + 1e9 * torch.eye(len(pred))).min() > 1e-3
    decoder.positions.zero_()  # the converse: it is the positions that tell them apart
    pred = decoder.hidden_patches(latents, masking)[0]
    torch.testing.assert_close(pred, pred[:1].expand_as(pred))


@KINDS
@torch.no_grad()
def test_it_matters_where_a_visible_patch_stands_and_what_it_says(cross):
    """Two visible patches swap what they say; their set of latents stays."""
    decoder, latents, masking = decoder_and_latents(cross)
    pred = decoder.hidden_patches(latents, masking)
    swapped = latents[:, [0, 2, 1, 3, 4]]
    assert (decoder.hidden_patches(swapped, masking) - pred).abs().max() > 1e-4
    assert (decoder.hidden_patches(latents + 0.1 * torch.randn_like(latents), masking) - pred).abs().max() > 1e-4
    # Latents and positions swapped together are the same picture.
    moved = masking._replace(visible=masking.visible[:, [1, 0, 2, 3]])
    torch.testing.assert_close(decoder.hidden_patches(swapped, moved), pred)


@KINDS
@torch.no_grad()
def test_it_matters_where_a_hidden_patch_stands(cross):
    decoder, latents, masking = decoder_and_latents(cross)
    pred = decoder.hidden_patches(latents, masking)
    flipped = masking._replace(hidden=masking.hidden.flip(1))
    torch.testing.assert_close(decoder.hidden_patches(latents, flipped), pred.flip(1))
    assert (pred - pred.flip(1)).abs().max() > 1e-3


@pytest.mark.parametrize("depth", [1, 3])
@torch.no_grad()
def test_a_cross_decoder_predicts_each_patch_alone(depth):
    """What is predicted does not depend on what else is wanted, visible patches are asked like hidden ones, and the cost is
    that of the queries and keys there are."""
    decoder, latents, masking = decoder_and_latents(True, depth)
    wanted = decoder(latents, masking.visible, masking.hidden)
    torch.testing.assert_close(decoder(latents, masking.visible, masking.hidden[:, 3:5]), wanted[:, 3:5])
    visible = decoder(latents, masking.visible, masking.visible)
    torch.testing.assert_close(gather_tokens(decoder.all_patches(latents, masking), masking.visible), visible)
    with FlopCounterMode(display=False) as counter:
        decoder.hidden_patches(latents, masking)
    width, latent, k, m = SMALL.decoder_width, SMALL.width, 4, 12
    pairs = m * (1 + k)
    block = 2 * width**2 * (2 * m + 2 * (1 + k)) + 2 * 2 * width * pairs + 2 * 2 * width * 4 * width * m
    expected = 2 * (2 * (1 + k) * latent * width + depth * block + 2 * m * width * SMALL.patch_dim)  # of two pictures
    assert counter.get_total_flops() == expected


def test_cross_attention_is_pytorchs():
    torch.manual_seed(0)
    ours, theirs = CrossAttention(32, 4), nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_bias.copy_(torch.randn(96))
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        ours.query.bias.copy_(theirs.in_proj_bias[:32])
        ours.key_value.bias.copy_(theirs.in_proj_bias[32:])
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x, context = torch.randn(2, 5, 32), torch.randn(2, 9, 32)
    expected, _ = theirs(x, context, context, need_weights=False)
    torch.testing.assert_close(ours(x, context), expected, atol=1e-6, rtol=1e-5)


def test_a_cross_block_adds_attention_and_an_mlp_each_behind_a_norm():
    torch.manual_seed(0)
    block, x, context = CrossBlock(32, 4, 2.0), torch.randn(2, 5, 32), torch.randn(2, 9, 32)
    middle = x + block.attention(block.norm1(x), block.norm1(context))
    torch.testing.assert_close(block(x, context), middle + block.mlp(block.norm2(middle)))
