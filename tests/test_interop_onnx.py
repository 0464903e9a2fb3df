"""The ONNX file does what the model does, whatever is hidden, in every precision and for every configuration."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from conftest import SMALL
from torch import Tensor, nn
from torch.export import Dim

from maelib import MAEConfig, MaskedAutoencoder, Masking, load
from maelib.cli import main
from maelib.datasets import sample_path
from maelib.evaluation import reconstruct
from maelib.interop.onnx import PRECISIONS, PixelsToPixels, export_onnx, onnx_bytes
from maelib.strategies import seeded

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

GRAY = replace(SMALL, image_size=(24, 32), channels=1, pixel_mean=0.45, pixel_std=0.25)
CONFIGS = {
    "small": SMALL,
    "cross-attention": replace(SMALL, decoder_cross=True),
    "normalised": replace(SMALL, normalize_targets=True, pixel_mean=(0.48, 0.45, 0.4), pixel_std=(0.2, 0.21, 0.22)),
    "gray, not square": GRAY,
    "cross-attention, gray, not square, normalised": replace(GRAY, decoder_cross=True, normalize_targets=True),
}
SOME_K = {"one visible": 0.99, "a quarter": 0.75, "half": 0.5, "nothing hidden": 0.0}


def random_model(config: MAEConfig) -> MaskedAutoencoder:
    """Its predictions are about mid-gray, so that few of its pixels end at 0 or 1, where all models agree."""
    torch.manual_seed(1)
    model = MaskedAutoencoder(config).eval().requires_grad_(False)
    if config.pixel_mean == 0:
        model.decoder.head.bias.fill_(0.5)
    return model


def session_of(content: bytes) -> "onnxruntime.InferenceSession":
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def run(session: "onnxruntime.InferenceSession", images: Tensor, masking: Masking) -> np.ndarray:
    """Pixels (B, C, H, W) as onnxruntime predicts them; all three inputs are fed, as the published page does."""
    inputs = {"images": images, "visible": masking.visible, "hidden": masking.hidden}
    (pixels,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    return pixels


@cache
def exported(name: str) -> tuple[MaskedAutoencoder, "onnxruntime.InferenceSession"]:
    model = random_model(CONFIGS[name])
    return model, session_of(onnx_bytes(model))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("share", SOME_K)
def test_parity_with_pytorch(name: str, batch: int, share: str):
    """Every image has its own mask; the graph was traced at a batch of 2, half of the patches hidden."""
    model, session = exported(name)
    c = model.config
    images, masking = torch.rand(batch, c.channels, *c.hw), Masking.random(batch, c.grid[0] * c.grid[1], SOME_K[share])
    wanted = model.reconstruct(images, masking)[0].numpy()
    assert ((wanted > 0) & (wanted < 1)).mean() > 0.6
    found = run(session, images, masking)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 2e-6


@pytest.mark.parametrize("name", CONFIGS)
def test_inputs_and_output_are_those_of_the_contract(name: str):
    """All three inputs, also where the decoder asks for every patch and so has no use for the hidden ones."""
    model, session = exported(name)
    c = model.config
    inputs = {each.name: (each.type, each.shape) for each in session.get_inputs()}
    assert inputs == {
        "images": ("tensor(float)", ["B", c.channels, *c.hw]),
        "visible": ("tensor(int64)", ["B", "K"]),
        "hidden": ("tensor(int64)", ["B", "M"]),
    }
    (output,) = session.get_outputs()
    assert (output.name, output.shape) == ("pixels", ["B", c.channels, *c.hw])


class Loss(nn.Module):
    """A training step's forward pass, with the indices as inputs."""

    def __init__(self, model: MaskedAutoencoder):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        return self.model(images, Masking(visible, hidden)).loss


class Features(nn.Module):
    """What the encoder knows of whole pictures."""

    def __init__(self, model: MaskedAutoencoder):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode(images, pool=None)


@pytest.mark.parametrize(
    ("wrapper", "name"),
    [
        *((PixelsToPixels, name) for name in CONFIGS),
        (Loss, "normalised"),
        (Loss, "cross-attention"),
        (Features, "small"),
    ],
)
def test_torch_export_keeps_batch_and_mask_free(wrapper: type[nn.Module], name: str):
    """A size that the model fixes, as `len(tensor)` does, is refused by Dim.DYNAMIC; K, M >= 2."""
    model = random_model(CONFIGS[name])
    c = model.config
    whole, patches = wrapper(model), c.grid[0] * c.grid[1]
    both = {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    shapes: tuple = ({0: Dim.DYNAMIC}, both, both)

    def inputs(batch: int, visible: int) -> tuple[Tensor, ...]:
        masking = Masking.from_mask(torch.rand(batch, patches).argsort(dim=1) >= visible)
        every = (torch.rand(batch, c.channels, *c.hw), masking.visible, masking.hidden)
        return every[:1] if wrapper is Features else every

    example = inputs(3, patches // 2)
    program = torch.export.export(whole, example, dynamic_shapes=shapes[: len(example)]).module()
    for batch, visible in ((2, 2), (5, patches // 4), (7, patches - 2)):
        given = inputs(batch, visible)
        torch.testing.assert_close(program(*given), whole(*given), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("precision", "limit", "share"), [("fp32", 1e-3, 1.0), ("fp16", 0.5, 0.53), ("int8", 8.0, 0.28)]
)
def test_the_shipped_model_in_fewer_bits(precision: str, limit: float, share: float):
    """Distance from PyTorch in 1/255, size against four bytes a weight."""
    model = load("mae_tiny_patch4_64")
    content = onnx_bytes(model, precision)
    numbers = sum(t.numel() for t in model.state_dict().values())
    assert len(content) < 4.2 * numbers * share
    session = session_of(content)
    for sample, mask_ratio in (("chelsea", 0.75), ("rocket", 0.5)):
        r = reconstruct(model, sample_path(sample), mask_ratio)
        images = torch.from_numpy(r.original).permute(2, 0, 1)[None].contiguous()
        (found,) = run(session, images, seeded(model.config.grid, mask_ratio))
        assert np.abs(found.transpose(1, 2, 0) - r.raw).max() * 255 < limit


@pytest.mark.parametrize("name", ["small", "cross-attention"])
def test_int8_holds_every_matrix_of_all_blocks(name: str):
    """Of encoder and decoder: what is stored in 8 bits is found by the names of nodes, which code may change."""
    model = random_model(replace(CONFIGS[name], width=64, decoder_width=32))  # matrices large enough to be worth it
    graph = onnx.load_model_from_string(onnx_bytes(model, "int8")).graph
    found = sorted(tuple(t.dims) for t in graph.initializer if t.data_type == onnx.TensorProto.INT8)
    layers = [m for name, m in model.named_modules() if isinstance(m, nn.Linear) and ".blocks." in name]
    assert len(layers) > 4 * model.config.depth
    assert found == sorted((layer.in_features, layer.out_features) for layer in layers)


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


def test_the_exported_model_stays_as_it_is(small_model):
    model = small_model.double().train()
    onnx_bytes(model)
    assert model.training
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float64}
