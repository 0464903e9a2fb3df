"""Parity with transformers' ViTMAE: the same weights and the same noise give the same mask, loss and predictions."""

from dataclasses import replace

import pytest
import torch
from conftest import SMALL

from maelib import MaskedAutoencoder, Masking, create_model
from maelib.interop.huggingface import from_huggingface, to_huggingface

transformers = pytest.importorskip("transformers")

SMALL_THEIRS = {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 256, "image_size": 48,
    "patch_size": 8, "decoder_hidden_size": 48, "decoder_num_hidden_layers": 2, "decoder_num_attention_heads": 3,
    "decoder_intermediate_size": 192,
}  # fmt: skip
SIZES = {"small": SMALL_THEIRS, "base": {}}


def make_theirs(size: str, norm_pix: bool, seed: int = 0):
    """Their model with random numbers in every tensor: its own init leaves positions and biases at zero."""
    torch.manual_seed(seed)
    model = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**SIZES[size], norm_pix_loss=norm_pix)).eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.randn_like(tensor) * 0.03)
        for name, tensor in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                tensor.add_(1)
            if "position_embeddings" in name or "decoder_pos_embed" in name:
                tensor.copy_(torch.randn_like(tensor))
                tensor[:, 0] = 0
    return model


def images_and_noise(config, batch: int):
    random = torch.Generator().manual_seed(1)
    n = (config.image_size // config.patch_size) ** 2
    images = torch.rand(batch, 3, config.image_size, config.image_size, generator=random)
    return images, torch.rand(batch, n, generator=random)


@torch.no_grad()
def compare(theirs, ours: MaskedAutoencoder, batch: int) -> tuple[float, float]:
    """Asserts equality of masks; returns the differences of the losses and of the predictions."""
    images, noise = images_and_noise(theirs.config, batch)
    c = ours.config
    mean, std = (torch.tensor(value).reshape(-1, 1, 1) for value in (c.pixel_mean, c.pixel_std))
    expected = theirs((images - mean) / std, noise=noise)  # there the image processor standardises
    masking = Masking.from_noise(noise, theirs.config.mask_ratio)
    loss, hidden_only, mask = ours(images, masking)
    pred, mask_again = ours.predict(images, masking)
    assert torch.equal(mask, expected.mask.bool())
    assert torch.equal(mask_again, mask)
    assert expected.logits.std() > 0.1, "a comparison of zeros shows nothing"
    worst = max((pred - expected.logits).abs().max(), (hidden_only.flatten(0, 1) - expected.logits[mask]).abs().max())
    return abs(loss.item() - expected.loss.item()), worst.item()


@pytest.mark.parametrize("norm_pix", [False, True], ids=["raw", "normalised"])
@pytest.mark.parametrize("size", ["small", "base"])
def test_their_weights_here(size, norm_pix, record_property):
    theirs = make_theirs(size, norm_pix)
    statistics = {"pixel_mean": (0.485, 0.456, 0.406), "pixel_std": (0.229, 0.224, 0.225)} if size == "small" else {}
    ours = from_huggingface(theirs, **statistics)
    assert ours.config.normalize_targets == norm_pix
    assert not ours.training
    loss, pred = compare(theirs, ours, batch=2)
    record_property("parity", f"{size}, norm_pix {norm_pix}: loss {loss:.1e}, prediction {pred:.1e}")
    print(f"their weights here, {size}, norm_pix {norm_pix}: loss differs by {loss:.1e}, predictions by {pred:.1e}")
    assert loss <= 1e-5
    assert pred <= 1e-4


@pytest.mark.parametrize("norm_pix", [False, True], ids=["raw", "normalised"])
@pytest.mark.parametrize("size", ["small", "base"])
def test_our_weights_there(size, norm_pix):
    torch.manual_seed(0)
    changes = {"normalize_targets": norm_pix}
    ours = create_model("mae_base_patch16_224", **changes) if size == "base" else create_model(
        "mae_tiny_patch4_64_plain", patch_size=8, width=64, depth=2, heads=2, decoder_depth=1, **changes
    )  # fmt: skip
    theirs = to_huggingface(ours.eval())
    loss, pred = compare(theirs, ours, batch=2)
    print(f"our weights there, {size}, norm_pix {norm_pix}: loss differs by {loss:.1e}, predictions by {pred:.1e}")
    assert loss <= 1e-5
    assert pred <= 1e-4


def test_round_trip_keeps_every_bit(small_model):
    back = from_huggingface(to_huggingface(small_model))
    assert back.config == small_model.config
    for name, tensor in small_model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor), name


def test_gradients_agree_too():
    """One backward pass: a loss can be right while a weight is tied or left out."""
    theirs = make_theirs("small", True).train()
    ours = from_huggingface(theirs)
    images, noise = images_and_noise(theirs.config, 2)
    theirs(images, noise=noise).loss.backward()
    ours(images, Masking.from_noise(noise, theirs.config.mask_ratio)).loss.backward()
    assert torch.allclose(ours.decoder.mask_token.grad, theirs.decoder.mask_token.grad.flatten(), atol=1e-6)
    kernel = theirs.vit.embeddings.patch_embeddings.projection.weight.grad.permute(0, 2, 3, 1).flatten(1)
    assert torch.allclose(ours.encoder.embed.weight.grad, kernel, atol=1e-6)
    assert torch.allclose(ours.decoder.head.weight.grad, theirs.decoder.decoder_pred.weight.grad, atol=1e-6)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act 'relu': must be 'gelu'"),
        ({"qkv_bias": False}, "qkv_bias False: must be True"),
        ({"hidden_dropout_prob": 0.1}, "hidden_dropout_prob 0.1: must be 0"),
        ({"decoder_intermediate_size": 100}, "decoder_intermediate_size 100: must be 192"),
    ],
)
def test_what_maelib_lacks_is_refused_by_name(option, message):
    theirs = transformers.ViTMAEForPreTraining(transformers.ViTMAEConfig(**SMALL_THEIRS | option))
    with pytest.raises(ValueError, match=message):
        from_huggingface(theirs)


def test_other_objects_and_shapes_are_refused(small_model):
    with pytest.raises(TypeError, match="expected transformers' ViTMAEForPreTraining, got MaskedAutoencoder"):
        from_huggingface(small_model)
    wide = MaskedAutoencoder(type(SMALL)(**vars(SMALL) | {"image_size": (32, 64)}))
    with pytest.raises(ValueError, match="no decoder with cross-attention"):
        to_huggingface(MaskedAutoencoder(replace(SMALL, decoder_cross=True)))
    with pytest.raises(ValueError, match="square images only, this model has 32 x 64"):
        to_huggingface(wide)
