"""The model: counts to the last digit, shapes of every kind, nothing leaks, nothing is computed in vain."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from maelib import PRESETS, MAEConfig, MaskedAutoencoder, Masking, create_model
from maelib.masking import pixel_mask
from maelib.patches import patchify
from maelib.strategies import seeded
from maelib.transformer import Attention, Block
from maelib.weights import read, resized

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
    parts = count(model.encoder), count(model.decoder)
    assert (*parts, sum(parts)) == PUBLISHED[name]


def test_trainable_parameters_of_the_articles_model():
    model = on_meta("mae_base_patch16_224")
    trainable = (count(model.encoder, False), count(model.decoder, False), count(model, False))
    assert trainable == (85_647_360, 21_885_696, 107_533_056)


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


def test_another_size_is_another_model_with_resampled_positions(small_model):
    wide = resized(small_model, (64, 24))
    pred, mask = wide.predict(torch.rand(2, 3, 64, 24))
    assert pred.shape == (2, 24, 192)
    assert mask.shape == (2, 24)
    assert torch.equal(wide.encoder.embed.weight, small_model.encoder.embed.weight)
    rows = wide.encoder.positions[1:].reshape(8, 3, 32)[:, :, 16:]  # the half that encodes the row
    torch.testing.assert_close(rows, rows[:, :1].expand(8, 3, 16))
    assert resized(small_model.train(), 32).training
    assert torch.equal(resized(small_model, 32).encoder.positions, small_model.encoder.positions)


# -- what the code before this one said, in float64 -----------------------------------------------------------------------

FIXTURES = Path(__file__).parent / "fixtures" / "format1"


@torch.inference_mode()
@pytest.mark.parametrize("name", sorted(path.stem for path in FIXTURES.glob("*.npz")))
def test_predictions_and_features_are_those_of_format_1(name):
    """Weights of format 1 and what they said: hidden patches under two masks, features; both decoders, normalised targets,
    gray and tall, statistics other than (0, 1). The images are an arithmetic pattern."""
    expected = np.load(FIXTURES / f"{name}.npz")
    model = read(FIXTURES / f"{name}.safetensors")[0].double()
    c = model.config
    values = torch.arange(2 * c.channels * c.hw[0] * c.hw[1]) * 40503 % 65536 // 256
    images = values.reshape(2, c.channels, *c.hw).double() / 255
    found = {"cls": model.encode(images), "mean": model.encode(images, "mean")}
    for strategy, ratio in (("random", 0.75), ("block", 0.4)):
        masking = seeded(c.grid, ratio, seed=3, strategy=strategy, batch=2)
        found[f"{strategy}.loss"], found[f"{strategy}.pred"], found[f"{strategy}.mask"] = model(images, masking)
        found[f"{strategy}.all"] = model.predict(images, masking)[0]
    assert len(expected.files) >= 8
    for key in expected.files:
        within = 1e-6 if key.endswith("loss") else 1e-9  # a loss is float32, and processors round it differently
        np.testing.assert_allclose(found[key].numpy(), expected[key], rtol=0, atol=within, err_msg=key)


# -- pixels ---------------------------------------------------------------------------------------------------------------

IMAGENET = {"pixel_mean": (0.485, 0.456, 0.406), "pixel_std": (0.229, 0.224, 0.225)}


def standardised(images: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(IMAGENET[name]).reshape(3, 1, 1) for name in ("pixel_mean", "pixel_std"))
    return (images - mean) / std


def test_the_model_standardises_pixels_and_is_scored_on_what_it_standardised():
    """The same weights with and without statistics: what the one does to pixels, the caller of the other does by hand."""
    torch.manual_seed(0)
    ours = MaskedAutoencoder(replace(SMALL, **IMAGENET))
    bare = MaskedAutoencoder(SMALL)
    bare.load_state_dict(ours.state_dict())
    images, masking = torch.rand(4, 3, 32, 32), Masking.random(4, 16)
    torch.testing.assert_close(ours.to_patches(images), patchify(standardised(images), 8))
    for a, b in zip(ours(images, masking), bare(standardised(images), masking), strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(ours.predict(images, masking)[0], bare.predict(standardised(images), masking)[0])
    torch.testing.assert_close(ours.encode(images), bare.encode(standardised(images)))
    assert (ours(images, masking).loss - bare(images, masking).loss).abs() > 1e-2


@pytest.mark.parametrize("normalize", [False, True])
def test_reconstruct_gives_pixels_back(normalize):
    """A model that predicts its targets exactly gives the picture; normalised targets need the oracle for that."""
    model = MaskedAutoencoder(replace(SMALL, normalize_targets=normalize, **IMAGENET))
    images, masking = torch.rand(4, 3, 32, 32), Masking.random(4, 16)
    patches = patchify(standardised(images), 8)
    mean, std = patches.mean(-1, keepdim=True), (patches.var(-1, keepdim=True) + 1e-6).sqrt()
    model.decoder.all_patches = lambda latents, masking: (patches - mean) / std if normalize else patches
    pixels, mask = model.reconstruct(images, masking, oracle=normalize)
    torch.testing.assert_close(pixels, images, atol=1e-5, rtol=0)
    assert torch.equal(mask, masking.mask)
    if normalize:  # without it every patch gets the mean and the deviation that the visible ones have on average
        honest, _ = model.reconstruct(images, masking)
        visible = [(mean[b][~mask[b]].mean(), std[b][~mask[b]].square().mean().sqrt()) for b in range(4)]
        put_back = torch.stack(
            [((patches - mean) / std)[b] * spread + centre for b, (centre, spread) in enumerate(visible)]
        )
        shown = put_back.reshape(4, 16, 64, 3) * torch.tensor(IMAGENET["pixel_std"]) + torch.tensor(
            IMAGENET["pixel_mean"]
        )
        torch.testing.assert_close(patchify(honest, 8), shown.clamp(0, 1).flatten(2), atol=1e-5, rtol=0)


def test_statistics_stand_in_the_configuration_alone():
    model = MaskedAutoencoder(replace(SMALL, **IMAGENET))
    assert model.pixel_mean.shape == model.pixel_std.shape == (3, 1, 1)
    assert model.pixel_mean.dtype == torch.float32
    assert not [name for name in model.state_dict() if "pixel" in name]
    assert MaskedAutoencoder(SMALL).pixel_std.shape == (1, 1, 1)


# -- loss -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalize", [False, True])
def test_loss_is_the_mean_squared_error_of_the_hidden_patches(normalize):
    torch.manual_seed(0)
    model = MaskedAutoencoder(replace(SMALL, normalize_targets=normalize))
    images = torch.rand(4, 3, 32, 32)
    loss, pred, mask = model(images)
    target = patchify(images, 8)
    if normalize:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    torch.testing.assert_close(loss, nn.functional.mse_loss(pred.flatten(0, 1), target[mask]))


@pytest.mark.parametrize("normalize", [False, True])
def test_missing_patches_are_neither_shown_nor_scored(normalize):
    torch.manual_seed(0)
    model = MaskedAutoencoder(replace(SMALL, normalize_targets=normalize, pixel_mean=0.5))
    images, missing = torch.rand(3, 3, 32, 32), torch.zeros(3, 16, dtype=torch.bool)
    missing[0, 2:7], missing[1, 9] = True, True
    masking = Masking.random(3, 16, missing=missing)
    filled = torch.where(pixel_mask(missing, 8, (4, 4)), 0.5, images)
    loss, pred, mask = model(filled, masking)
    target = patchify(filled - 0.5, 8)
    if normalize:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6).sqrt()
    counted = mask & ~missing
    assert counted.sum(1).tolist() == [7, 11, 12]
    errors = torch.zeros(3, 16, 192).masked_scatter(mask[..., None], pred) - target
    torch.testing.assert_close(loss, errors[counted].square().mean())
    changed = torch.where(pixel_mask(missing, 8, (4, 4)), torch.rand_like(images), images)
    assert torch.equal(model(changed, masking).loss, loss), "what nobody knows moves nothing"


def test_training_and_predicting_agree_on_the_hidden_patches(small_model):
    images, masking = torch.rand(4, 3, 32, 32), Masking.random(4, 16)
    _, pred, mask = small_model(images, masking)
    every, same_mask = small_model.predict(images, masking)
    assert torch.equal(mask, same_mask)
    torch.testing.assert_close(every[mask], pred.flatten(0, 1))


def test_a_masking_of_one_image_serves_the_batch(small_model):
    images, one = torch.rand(4, 3, 32, 32), Masking.random(1, 16)
    all_alike = Masking(one.visible.expand(4, -1), one.hidden.expand(4, -1))
    assert torch.equal(small_model(images, one).pred, small_model(images, all_alike).pred)


def test_a_ratio_draws_another_mask_for_each_image_and_each_call(small_model):
    images = torch.rand(64, 3, 32, 32)
    torch.manual_seed(0)
    first, second = small_model(images).mask, small_model(images).mask
    assert len(first.unique(dim=0)) > 32
    assert not torch.equal(first, second)
    torch.manual_seed(0)
    assert torch.equal(small_model(images).mask, first)


def test_hidden_pixels_do_not_reach_the_prediction(small_model):
    images, masking = torch.rand(2, 3, 32, 32), Masking.random(2, 16)
    pred = small_model(images, masking).pred
    hidden = pixel_mask(masking.mask, 8, (4, 4))
    changed = torch.where(hidden, torch.rand_like(images), images)
    assert torch.equal(small_model(changed, masking).pred, pred)
    seen = torch.where(hidden, images, torch.rand_like(images))
    assert not torch.equal(small_model(seen, masking).pred, pred)


def test_the_order_of_the_patches_is_in_the_positions_only(small_model):
    """Permute patches and positions together: the features of the picture stay."""
    images = torch.rand(2, 3, 32, 32)
    before = small_model.encode(images, "mean")
    permutation = torch.randperm(16)
    patches = patchify(images, 8)[:, permutation]
    small_model.encoder.positions[1:] = small_model.encoder.positions[1:][permutation]
    tokens = small_model.encoder(patches, torch.arange(16).expand(2, -1))
    torch.testing.assert_close(tokens[:, 1:].mean(1), before)


def test_encode_pools_what_it_says(small_model):
    images = torch.rand(2, 3, 32, 32)
    tokens = small_model.encode(images, None)
    assert tokens.shape == (2, 17, 32)
    torch.testing.assert_close(small_model.encode(images, "cls"), tokens[:, 0])
    torch.testing.assert_close(small_model.encode(images, "mean"), tokens[:, 1:].mean(1))


def test_only_visible_patches_are_encoded(small_model):
    """Operations counted by PyTorch equal those of the tokens that are needed, by the formula of each layer."""
    c, images, tokens = SMALL, torch.rand(1, 3, 32, 32), 1 + 4

    def encode(masking):
        patches = small_model.to_patches(images)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            small_model.encoder(patches, masking.visible)
        return counter.get_total_flops()

    block = 2 * 4 * c.width**2 * tokens + 2 * 2 * c.width * tokens**2 + 2 * 2 * c.width * 4 * c.width * tokens
    assert encode(Masking.random(1, 16)) == 2 * 4 * c.patch_dim * c.width + c.depth * block


def test_attention_is_pytorchs():
    torch.manual_seed(0)
    ours, theirs = Attention(32, 4), nn.MultiheadAttention(32, 4, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_bias.copy_(torch.randn(96))
        theirs.in_proj_weight.copy_(ours.qkv.weight)
        ours.qkv.bias.copy_(theirs.in_proj_bias)
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x = torch.randn(2, 9, 32)
    torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0], atol=1e-6, rtol=1e-5)


def test_a_block_is_pytorchs_pre_norm_layer():
    torch.manual_seed(0)
    ours = Block(32, 4, 4.0).eval()
    theirs = nn.TransformerEncoderLayer(32, 4, 128, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True).eval()
    with torch.no_grad():
        theirs.self_attn.in_proj_weight.copy_(ours.attention.qkv.weight)
        theirs.self_attn.in_proj_bias.copy_(ours.attention.qkv.bias)
    theirs.self_attn.out_proj.load_state_dict(ours.attention.output.state_dict())
    theirs.linear1.load_state_dict(ours.mlp[0].state_dict())
    theirs.linear2.load_state_dict(ours.mlp[2].state_dict())
    theirs.norm1.load_state_dict(ours.norm1.state_dict())
    theirs.norm2.load_state_dict(ours.norm2.state_dict())
    x = torch.randn(2, 7, 32)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


def test_every_parameter_gets_a_gradient(small_model):
    small_model(torch.rand(2, 3, 32, 32)).loss.backward()
    without = [name for name, p in small_model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias of the keys moves all scores of a query alike, and softmax does not see it: only its half of the values learns.
    assert without == []


def test_bad_inputs_are_refused(small_model):
    with pytest.raises(ValueError, match=r"images must be \(B, 3, 32, 32\), got \(2, 1, 32, 32\)"):
        small_model(torch.rand(2, 1, 32, 32))
    with pytest.raises(ValueError, match=r"got \(2, 3, 30, 32\): resize them, or the model \(maelib.weights.resized\)"):
        small_model.predict(torch.rand(2, 3, 30, 32))
    for call in (small_model, small_model.predict, small_model.reconstruct, small_model.encode):
        with pytest.raises(TypeError, match=r"torch.uint8: divide uint8 by 255"):
            call(torch.zeros(2, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="a masking of 2 x 9 patches does not fit 2 images of 16 patches"):
        small_model(torch.rand(2, 3, 32, 32), Masking.random(2, 9))
    with pytest.raises(ValueError, match=r"a mask ratio must be in \[0, 1\), got 1.0"):
        small_model(torch.rand(2, 3, 32, 32), 1.0)
    for nothing in (0.0, Masking.random(2, 16, 0)):
        with pytest.raises(ValueError, match="nothing is hidden, so there is no loss"):
            small_model(torch.rand(2, 3, 32, 32), nothing)
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
