"""The ONNX file does what the model does, whatever is hidden, in every precision and for every configuration."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import SMALL

from maelib import MAEConfig, MaskedAutoencoder, load
from maelib.cli import main
from maelib.evaluation import reconstruct
from maelib.interop.onnx import PRECISIONS, export_onnx, onnx_bytes
from maelib.masking import num_visible, seeded_noise, split_by_noise
from maelib.patches import patchify

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CONFIGS = {
    "small": SMALL,
    "normalised": MAEConfig(
        image_size=32, patch_size=8, width=32, depth=2, heads=2, decoder_width=16, decoder_heads=2,
        normalize_targets=True, pixel_mean=(0.48, 0.45, 0.4), pixel_std=(0.2, 0.21, 0.22),
    ),
    "cross-attention": replace(SMALL, decoder_cross=True),
    "gray, not square": MAEConfig(
        image_size=(24, 32), patch_size=8, channels=1, width=32, depth=1, heads=4, decoder_width=16, decoder_depth=1
    ),
}  # fmt: skip


def run(content: bytes, picture: np.ndarray, mask_ratio: float, config: MAEConfig, seed: int = 0) -> np.ndarray:
    """Patches (N, P) of a picture (H, W, C) as onnxruntime predicts them."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    patches = patchify(torch.from_numpy(picture).permute(2, 0, 1)[None], config.patch_size)
    masking = split_by_noise(seeded_noise(config.grid, seed), num_visible(patches.shape[1], mask_ratio))
    inputs = {"patches": patches, "visible": masking.visible, "hidden": masking.hidden}
    return session.run(None, {key: value.numpy() for key, value in inputs.items()})[0][0]


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("mask_ratio", [0.0, 0.5, 0.75, 0.99])
def test_parity_with_pytorch(name: str, mask_ratio: float):
    config = CONFIGS[name]
    torch.manual_seed(1)
    model = MaskedAutoencoder(config).eval()
    picture = torch.rand(*config.hw, config.channels).numpy()
    wanted = reconstruct(model, picture[..., 0] if config.channels == 1 else picture, mask_ratio).raw
    original = reconstruct(model, picture[..., 0] if config.channels == 1 else picture, mask_ratio).original
    found = run(onnx_bytes(model), original, mask_ratio, config)
    assert (
        np.abs(found - patchify(torch.from_numpy(wanted).permute(2, 0, 1)[None], config.patch_size)[0].numpy()).max()
        < 2e-6
    )


@pytest.mark.parametrize(
    ("precision", "limit", "share"), [("fp32", 1e-3, 1.0), ("fp16", 0.5, 0.53), ("int8", 2.0, 0.31)]
)
def test_the_shipped_model_in_fewer_bits(precision: str, limit: float, share: float):
    """Distance from PyTorch in 1/255, size against four bytes a weight."""
    model = load("mae_tiny_patch4_64")
    content = onnx_bytes(model, precision)
    numbers = sum(t.numel() for t in model.state_dict().values())
    assert len(content) < 4.2 * numbers * share
    for sample, mask_ratio in (("chelsea", 0.75), ("rocket", 0.5)):
        from maelib.datasets import sample_path

        r = reconstruct(model, sample_path(sample), mask_ratio)
        found = run(content, r.original, mask_ratio, model.config)
        wanted = patchify(torch.from_numpy(r.raw).permute(2, 0, 1)[None], model.config.patch_size)[0].numpy()
        assert np.abs(found - wanted).max() * 255 < limit


def test_the_file_says_what_it_is(tmp_path, small_model):
    path = export_onnx(small_model, tmp_path / "m.onnx", "fp16")
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert MAEConfig(**json.loads(metadata["maelib"])) == small_model.config
    assert metadata["precision"] == "fp16"
    assert onnx_bytes(small_model, "int8") == onnx_bytes(small_model, "int8")  # the same model gives the same bytes


def test_unknown_precision(small_model):
    with pytest.raises(ValueError, match=r"fp32, fp16, int8, got 'int4'"):
        onnx_bytes(small_model, "int4")
    assert PRECISIONS == ("fp32", "fp16", "int8")


def test_the_command(tmp_path, capsys):
    out = tmp_path / "tiny.onnx"
    assert main(["export", "onnx", "--precision", "int8", "--out", str(out)]) == 0
    assert "int8" in capsys.readouterr().out
    assert out.stat().st_size < 8_000_000
    assert main(["export", "onnx", "--out", str(tmp_path / "tiny.bin")]) == 2
    assert "--out must end in .onnx" in capsys.readouterr().err
