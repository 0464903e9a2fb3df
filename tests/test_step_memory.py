"""The memory of a training step: what chapter 07 counts from shapes, against what PyTorch keeps."""

from typing import Any

import nbformat
import pytest
import torch
from conftest import ROOT
from torch.nn import functional as F

from maelib import create_model, cross_decoder, transformer


@pytest.fixture(scope="module")
def chapter() -> dict[str, Any]:
    """What the two cells of chapter 07 define."""
    cells = {cell.id: cell.source for cell in nbformat.read(ROOT / "notebooks/07_train_on_kaggle.ipynb", 4).cells}
    found: dict[str, Any] = {}
    exec(cells["picture-bytes"] + "\n\n\n" + cells["step-memory"], found)
    return found


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("mae_base_patch16_224", {"depth": 2, "decoder_depth": 3}),
        ("mae_tiny_patch4_64", {}),
        ("mae_tiny_patch4_64", {"decoder_depth": 3}),
        ("mae_tiny_patch4_64_plain", {}),
        ("mae_tiny_patch4_64_plain", {"depth": 3, "decoder_depth": 6, "mlp_ratio": 2.0}),
    ],
)
def test_activations_are_what_autograd_keeps(name, changes, chapter, monkeypatch):
    """Per picture, within two percent: the storages that autograd saves for 3 pictures less those for 1, fused attention."""
    monkeypatch.setattr(transformer, "attend", F.scaled_dot_product_attention)
    monkeypatch.setattr(cross_decoder, "attend", F.scaled_dot_product_attention)
    model = create_model(name, **changes).train()

    def saved(batch: int, ratio: float) -> int:
        storages, kept = {}, []

        def pack(tensor):
            storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            kept.append(tensor)  # a freed address would be used again
            return tensor

        hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", torch.bfloat16):
            model(torch.rand(batch, 3, *model.config.hw), ratio)
        return sum(storages.values())

    for ratio in (0.75, 0.5):
        measured = (saved(3, ratio) - saved(1, ratio)) / 2
        assert chapter["step_memory"](model, 1, ratio)["activations"] == pytest.approx(measured, rel=0.02)


def test_the_state_is_sixteen_bytes_a_parameter_whatever_the_batch(chapter):
    model = create_model("mae_tiny_patch4_64")
    one, four = (chapter["step_memory"](model, batch) for batch in (1, 4))
    assert one["state"] == four["state"] == 16 * sum(p.numel() for p in model.parameters())
    assert four["activations"] == 4 * one["activations"]


def test_a_block_keeps_what_the_chapter_derives(chapter):
    assert chapter["block_bytes"](384) == 36 * 384
