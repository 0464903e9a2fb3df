"""Weights on disk: round trips, atomic writes, clear errors."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import SMALL
from safetensors import safe_open
from safetensors.torch import save_file

import maelib
from maelib import MaskedAutoencoder, Masking, files
from maelib.weights import checksum, read

FORMAT_1 = Path(__file__).parent / "fixtures" / "format1"


def metadata(path: Path) -> dict:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["maelib"])


def test_a_saved_model_comes_back_exactly(small_model, tmp_path):
    path = maelib.save(small_model, tmp_path / "a" / "model.safetensors")
    loaded = maelib.load(path)
    assert loaded.config == small_model.config
    assert not loaded.training
    images, masking = torch.rand(2, 3, 32, 32), Masking.random(2, 16)
    assert torch.equal(loaded(images, masking).pred, small_model(images, masking).pred)
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

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        maelib.save(small_model, path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_files_that_are_no_models_are_refused(small_model, tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a file nor a folder nor shipped"):
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


def test_what_belongs_to_a_model_is_kept(small_model, tmp_path):
    path = maelib.save(small_model, tmp_path / "m", step=70, classes=["cat", "dog"], value_range=(0, 4095))
    model, about = read(path)
    assert about == {"step": 70, "classes": ["cat", "dog"], "range": [0, 4095]}
    assert model.config == small_model.config
    assert read(maelib.save(small_model, tmp_path / "n"))[1] == {"step": None, "classes": [], "range": None}
    assert metadata(path)["format"] == 2


def test_every_tensor_is_under_the_checksum(small_model, tmp_path):
    path = maelib.save(small_model, tmp_path / "m", torch.float16)
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    generator = torch.Generator().manual_seed(0)
    for at in torch.randint(start, len(content), (40,), generator=generator).tolist():
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="the checksum differs: the file is damaged"):
            maelib.load(path)


def test_tensors_that_do_not_fit_the_configuration_are_refused(small_model, tmp_path):
    whole = maelib.save(small_model, tmp_path / "whole")
    about = metadata(whole)
    state = {name: t for name, t in small_model.state_dict().items() if "mask_token" not in name}
    about["sha256"] = checksum(state)
    save_file(state, tmp_path / "mixed", {"maelib": json.dumps(about)})
    with pytest.raises(ValueError, match=r"do not belong together .*mask_token"):
        maelib.load(tmp_path / "mixed")
    save_file(small_model.state_dict(), tmp_path / "new", {"maelib": json.dumps(about | {"format": 3})})
    with pytest.raises(ValueError, match="format 3, this version of maelib reads 1 and 2"):
        maelib.load(tmp_path / "new")


@pytest.mark.parametrize("name", ["plain", "cross"])
def test_format_1_is_read_and_written_as_format_2(name, tmp_path):
    old = FORMAT_1 / f"{name}.safetensors"
    assert metadata(old)["format"] == 1
    model = maelib.load(old)
    again = maelib.load(maelib.save(model, tmp_path / "new"))
    assert metadata(tmp_path / "new")["format"] == 2
    assert again.config == model.config
    for key, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], tensor), key
