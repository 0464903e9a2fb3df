"""Weights on disk: round trips, atomic writes, clear errors."""

from dataclasses import replace

import pytest
import torch
from conftest import SMALL
from safetensors.torch import save_file

import maelib
from maelib import MaskedAutoencoder, weights


def test_a_saved_model_comes_back_exactly(small_model, tmp_path):
    path = maelib.save(small_model, tmp_path / "a" / "model.safetensors")
    loaded = maelib.load(path)
    assert loaded.config == small_model.config
    assert not loaded.training
    images, noise = torch.rand(2, 3, 32, 32), torch.rand(2, 16)
    assert torch.equal(loaded(images, 0.5, noise).pred, small_model(images, 0.5, noise).pred)
    assert all(p.requires_grad for p in loaded.parameters())
    assert maelib.save(small_model, tmp_path / "b").read_bytes() == path.read_bytes()


def test_every_kind_of_configuration_survives(tmp_path):
    config = replace(
        SMALL, image_size=(16, 32), channels=2, pixel_mean=(0.1, 0.2), pixel_std=(0.5, 0.25), normalize_targets=True
    )
    assert maelib.load(maelib.save(MaskedAutoencoder(config), tmp_path / "m")).config == config


def test_half_precision_halves_the_file(small_model, tmp_path):
    whole = maelib.save(small_model, tmp_path / "whole")
    half = maelib.save(small_model, tmp_path / "half", torch.float16)
    tensors = sum(t.numel() for t in small_model.state_dict().values())
    assert whole.stat().st_size - half.stat().st_size == pytest.approx(2 * tensors, abs=200)
    loaded = maelib.load(half)
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, small_model.state_dict()[name].half().float())


def test_a_write_that_fails_leaves_the_old_file(small_model, tmp_path, monkeypatch):
    path = maelib.save(small_model, tmp_path / "model")
    before = path.read_bytes()

    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(weights.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        maelib.save(small_model, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_files_that_are_no_models_are_refused(small_model, tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a file nor shipped"):
        maelib.load("mae_enormous")
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"not a model at all")
    with pytest.raises(ValueError, match="garbage is damaged or is no safetensors file"):
        maelib.load(garbage)
    cut = tmp_path / "cut"
    cut.write_bytes(maelib.save(small_model, tmp_path / "m").read_bytes()[:-100])
    with pytest.raises(ValueError, match="cut is damaged"):
        maelib.load(cut)
    foreign = tmp_path / "foreign"
    save_file({"weight": torch.zeros(2)}, foreign)
    with pytest.raises(ValueError, match="holds no configuration of maelib"):
        maelib.load(foreign)
    mixed = tmp_path / "mixed"
    state = {name: t for name, t in small_model.state_dict().items() if "mask_token" not in name}
    from safetensors import safe_open

    with safe_open(tmp_path / "m", "pt") as file:
        save_file(state, mixed, file.metadata())
    with pytest.raises(ValueError, match=r"do not belong together .*mask_token"):
        maelib.load(mixed)
