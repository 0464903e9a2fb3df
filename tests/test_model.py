"""The model: counts to the last digit, shapes of every kind, nothing leaks, nothing is computed in vain."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import SMALL
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from maelib import PRESETS, MAEConfig, MaskedAutoencoder, create_model
from maelib.loss import normalize_patches, reconstruction_loss
from maelib.masking import split_by_noise
from maelib.patches import patchify
from maelib.transformer import Attention, Block

PUBLISHED = {  # encoder, decoder, total; with the frozen positions, then trainable only where published
    "mae_base_patch16_224": (85_798_656, 21_961_344, 107_760_000),
    "mae_base_patch16_224_paper": (85_798_656, 26_109_184, 111_907_840),
    "mae_large_patch16_224_paper": (303_301_632, 26_240_256, 329_541_888),
    "mae_huge_patch14_224_paper": (630_764_800, 26_309_708, 657_074_508),
}


def on_meta(name: str) -> MaskedAutoencoder:
    with torch.device("meta"):
        return create_model(name)


def count(module: nn.Module, fixed: bool = True) -> int:
    numbers = sum(p.numel() for p in module.parameters())
    return numbers + (sum(b.numel() for b in module.buffers()) if fixed else 0)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_to_the_last_digit(name):
    model = on_meta(name)
    assert (count(model.encoder), count(model.decoder), count(model)) == PUBLISHED[name]


def test_trainable_parameters_of_the_articles_model():
    model = on_meta("mae_base_patch16_224")
    assert (count(model.encoder, False), count(model.decoder, False), count(model, False)) == (
        85_647_360, 21_885_696, 107_533_056,
    )  # fmt: skip


@pytest.mark.parametrize(("hw", "channels"), [((32, 32), 3), ((16, 40), 1), ((48, 8), 5)])
def test_any_size_and_any_number_of_channels(hw, channels):
    model = MaskedAutoencoder(replace(SMALL, image_size=hw, channels=channels))
    images, n = torch.rand(3, channels, *hw), hw[0] * hw[1] // 64
    output = model(images, 0.5)
    hidden = n - max(1, n // 2)
    assert output.pred.shape == (3, hidden, 64 * channels)
    assert output.mask.sum(1).tolist() == [hidden] * 3
    assert output.loss.dtype == torch.float32
    assert model.predict(images, 0.5)[0].shape == (3, n, 64 * channels)


def test_other_sizes_use_resampled_positions(small_model):
    pred, mask = small_model.predict(torch.rand(2, 3, 64, 24))
    assert pred.shape == (2, 24, 192)
    assert mask.shape == (2, 24)
    assert pred.isfinite().all()


@pytest.mark.parametrize("normalize", [False, True])
def test_loss_is_the_mean_squared_error_of_the_hidden_patches(normalize):
    torch.manual_seed(0)
    model = MaskedAutoencoder(replace(SMALL, normalize_targets=normalize))
    images, noise = torch.rand(4, 3, 32, 32), torch.rand(4, 16)
    loss, pred, mask = model(images, 0.75, noise)
    target = patchify(images, 8)
    if normalize:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(loss, nn.functional.mse_loss(pred.flatten(0, 1), target[mask]))


def test_training_and_predicting_agree_on_the_hidden_patches(small_model):
    images, noise = torch.rand(4, 3, 32, 32), torch.rand(4, 16)
    _, pred, mask = small_model(images, 0.75, noise)
    everything, same_mask = small_model.predict(images, 0.75, noise)
    assert torch.equal(mask, same_mask)
    torch.testing.assert_close(everything[mask], pred.flatten(0, 1))


def test_hidden_pixels_do_not_reach_the_prediction(small_model):
    images, noise = torch.rand(2, 3, 32, 32), torch.rand(2, 16)
    _, pred, mask = small_model(images, 0.75, noise)
    hidden = mask.reshape(2, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    changed = torch.where(hidden, torch.rand_like(images), images)
    assert torch.equal(small_model(changed, 0.75, noise).pred, pred)
    seen = torch.where(hidden, images, torch.rand_like(images))
    assert not torch.equal(small_model(seen, 0.75, noise).pred, pred)


def test_positions_are_nonzero_and_predictions_differ_between_hidden_places(small_model):
    assert small_model.encoder.positions[1:].abs().sum(1).min() > 0
    assert small_model.decoder.positions[1:].abs().sum(1).min() > 0
    pred = small_model(torch.rand(1, 3, 32, 32)).pred[0]
    distance = torch.cdist(pred, pred) + 1e9 * torch.eye(len(pred))
    assert distance.min() > 1e-3


def test_without_decoder_positions_all_hidden_places_are_predicted_alike(small_model):
    """The converse: it is the positions that tell them apart."""
    small_model.decoder.positions.zero_()
    pred = small_model(torch.rand(1, 3, 32, 32)).pred[0]
    torch.testing.assert_close(pred, pred[:1].expand_as(pred))


def test_the_order_of_the_patches_is_in_the_positions_only(small_model):
    """Permute patches and positions together: the features of the picture stay."""
    images = torch.rand(2, 3, 32, 32)
    before = small_model.encode(images, "mean")
    permutation = torch.randperm(16)
    patches = patchify(images, 8)[:, permutation]
    positions = small_model.encoder.positions
    moved = torch.cat([positions[:1], positions[1:][permutation]])
    tokens = small_model.encoder(patches, torch.arange(16).expand(2, -1), moved)
    torch.testing.assert_close(tokens[:, 1:].mean(1), before)


def test_encode_pools_what_it_says(small_model):
    images = torch.rand(2, 3, 32, 32)
    tokens = small_model.encode(images, None)
    assert tokens.shape == (2, 17, 32)
    torch.testing.assert_close(small_model.encode(images, "cls"), tokens[:, 0])
    torch.testing.assert_close(small_model.encode(images, "mean"), tokens[:, 1:].mean(1))


def flops(model: MaskedAutoencoder, call) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(model)
    return counter.get_total_flops()


def test_only_visible_patches_are_encoded_and_only_hidden_ones_predicted(small_model):
    """Operations counted by PyTorch equal those of the tokens that are needed, by the formula of each layer."""
    c, images = SMALL, torch.rand(1, 3, 32, 32)

    def block(width, queries, keys):
        projections = 2 * width * width * (2 * queries + 2 * keys)  # query and output; key and value
        return projections + 2 * 2 * width * queries * keys + 2 * 2 * width * int(4 * width) * queries

    k, m = 4, 12
    expected = 2 * k * c.patch_dim * c.width + c.depth * block(c.width, 1 + k, 1 + k)
    expected += 2 * (1 + k) * c.width * c.decoder_width + (c.decoder_depth - 1) * block(c.decoder_width, 17, 17)
    expected += block(c.decoder_width, m, 17) + 2 * m * c.decoder_width * c.patch_dim
    assert flops(small_model, lambda model: model(images, 0.75)) == expected


@pytest.mark.parametrize("depth", [1, 3])
def test_a_cross_attention_decoder_predicts_each_patch_alone(depth):
    """What is predicted does not depend on what else is asked for, and costs what its queries and keys cost."""
    torch.manual_seed(0)
    model = MaskedAutoencoder(replace(SMALL, decoder_cross=True, decoder_depth=depth)).eval()
    images = torch.rand(2, 3, 32, 32)
    patches, grid = model.cut(images)
    masking = split_by_noise(torch.rand(2, 16), 4)
    with torch.no_grad():
        latents = model.encode_visible(patches, masking, grid)
        wanted = model.decode(latents, masking, grid)
        everything = model.decode(latents, masking, grid, everything=True)
        few = model.decode(latents, masking._replace(hidden=masking.hidden[:, 3:5]), grid)
        other = model.decode(latents + 0.1, masking, grid)
    torch.testing.assert_close(everything[:, 4:], wanted)
    torch.testing.assert_close(few, wanted[:, 3:5])
    assert (wanted[:, 0] - wanted[:, 1]).abs().max() > 1e-3
    assert (wanted - other).abs().max() > 1e-3  # it does look at the visible ones
    c, k, m = model.config, 4, 12
    width, pairs = c.decoder_width, m * (1 + k)
    block = 2 * width**2 * (2 * m + 2 * (1 + k)) + 2 * 2 * width * pairs + 2 * 2 * width * int(4 * width) * m
    expected = 2 * 2 * (1 + k) * c.width * width + 2 * (depth * block + 2 * m * width * c.patch_dim)  # of two pictures
    assert flops(model, lambda model: model.decode(latents, masking, grid)) == expected


def test_attention_is_pytorchs():
    torch.manual_seed(0)
    ours, theirs = Attention(32, 4), nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.randn(96))
        ours.query.bias.copy_(theirs.in_proj_bias[:32])
        ours.key_value.bias.copy_(theirs.in_proj_bias[32:])
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x, context = torch.randn(2, 5, 32), torch.randn(2, 9, 32)
    expected, _ = theirs(x, context, context, need_weights=False)
    torch.testing.assert_close(ours(x, context), expected, atol=1e-6, rtol=1e-5)


def test_a_block_is_pytorchs_pre_norm_layer():
    torch.manual_seed(0)
    ours = Block(32, 4, 4.0).eval()
    theirs = nn.TransformerEncoderLayer(32, 4, 128, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True).eval()
    attention = ours.attention
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.key_value.weight]))
        theirs.self_attn.in_proj_bias.copy_(torch.cat([attention.query.bias, attention.key_value.bias]))
    theirs.self_attn.out_proj.load_state_dict(attention.output.state_dict())
    theirs.linear1.load_state_dict(ours.mlp[0].state_dict())
    theirs.linear2.load_state_dict(ours.mlp[2].state_dict())
    theirs.norm1.load_state_dict(ours.norm1.state_dict())
    theirs.norm2.load_state_dict(ours.norm2.state_dict())
    x = torch.randn(2, 7, 32)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours(x, slice(3, None)), theirs(x)[:, 3:], atol=1e-5, rtol=1e-5)
    mask = torch.zeros(7, 7, dtype=torch.bool)
    mask[:, 3:] = True  # only the first three may be looked at
    expected = theirs(x, src_mask=mask)[:, 3:]
    torch.testing.assert_close(ours(x, slice(3, None), slice(3)), expected, atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient(small_model):
    small_model(torch.rand(2, 3, 32, 32)).loss.backward()
    without = [name for name, p in small_model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias of the keys moves all scores of a query alike, and softmax does not see it: only its half of the values learns.
    assert without == []


def test_statistics_and_loss_are_float32_under_autocast():
    model = MaskedAutoencoder(replace(SMALL, normalize_targets=True))
    flat = torch.full((2, 3, 32, 32), 0.5)
    with torch.autocast("cpu", torch.bfloat16):
        output = model(flat)
    assert output.loss.dtype == torch.float32
    assert output.loss.isfinite()
    assert normalize_patches(flat.flatten(2).half()).dtype == torch.float32
    assert reconstruction_loss(torch.full((1, 1, 4), 300.0).half(), torch.zeros(1, 1, 4).half()) == 90_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 5}, "not a multiple of the patch size 5"),
        ({"heads": 5}, "heads must divide width, got 5 heads for 32"),
        ({"width": 0}, "width must be a whole number of at least 1, got 0"),
        ({"decoder_width": 18}, "decoder_width must be a multiple of 4"),
        ({"depth": 2.5}, "depth must be a whole number"),
        ({"pixel_mean": (0.1, 0.2)}, "pixel_mean needs one value or one for each of 3 channels"),
        ({"mlp_ratio": 0}, "mlp_ratio must be positive"),
        ({"image_size": 4}, "not a multiple of the patch size"),
    ],
)
def test_sizes_that_cannot_be_built_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **change)


def test_bad_inputs_are_refused(small_model):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, H, W\), got \(2, 1, 32, 32\)"):
        small_model(torch.rand(2, 1, 32, 32))
    with pytest.raises(ValueError, match="30 x 32 pixels is not a multiple of the patch size 8"):
        small_model(torch.rand(2, 3, 30, 32))
    with pytest.raises(TypeError, match=r"torch.uint8: divide uint8 by 255"):
        small_model(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"noise must be \(B, N\) = \(2, 16\)"):
        small_model(torch.rand(2, 3, 32, 32), 0.75, torch.rand(2, 9))
    with pytest.raises(ValueError, match="mask_ratio must be in"):
        small_model(torch.rand(2, 3, 32, 32), 1.0)
    with pytest.raises(ValueError, match="hides none of 16 patches"):
        small_model(torch.rand(2, 3, 32, 32), 0.0)
    with pytest.raises(ValueError, match="pool must be"):
        small_model.encode(torch.rand(2, 3, 32, 32), "max")
    with pytest.raises(ValueError, match="there are: mae_tiny_patch4_64"):
        create_model("mae_giant")


def test_ratio_zero_predicts_every_patch(small_model):
    pred, mask = small_model.predict(torch.rand(1, 3, 32, 32), 0.0)
    assert pred.shape == (1, 16, 192)
    assert not mask.any()


def test_presets_are_what_they_are_called():
    assert PRESETS["mae_tiny_patch4_64_plain"] == MAEConfig()
    for name, config in PRESETS.items():
        patch, size = name.split("_patch")[1].split("_")[:2]
        assert (config.patch_size, config.image_size) == (int(patch), int(size))


def test_importing_maelib_pulls_in_neither_pictures_nor_widgets():
    code = "import sys, maelib; print(sorted({'matplotlib','ipywidgets','torchvision','PIL','skimage'} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
