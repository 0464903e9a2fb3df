"""One loader for everything that holds a model: a shipped name, a file, the folder of a run, a checkpoint."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SMALL

import maelib
from maelib import MaskedAutoencoder
from maelib.loading import load_with_about
from maelib.training import Stopped, TrainConfig, Trainer

RECIPE = TrainConfig(epochs=2, batch_size=16, warmup_epochs=0, sample_epochs=0, precision="fp32")


@pytest.fixture
def finished(pictures: np.ndarray, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    Trainer(MaskedAutoencoder(SMALL), pictures, RECIPE, tmp_path / "run").train()
    return tmp_path / "run"


def same(a: MaskedAutoencoder, b: MaskedAutoencoder) -> bool:
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


def test_a_shipped_name_a_file_and_a_finished_run(finished):
    assert maelib.load("mae_tiny_patch4_64").config == maelib.PRESETS["mae_tiny_patch4_64"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, about = load_with_about(finished)
        assert same(model, maelib.load(str(finished / "model.safetensors")))
    assert about["step"] == 6
    assert not model.training


def test_a_stopped_run_gives_the_model_of_its_newest_good_checkpoint(pictures, tmp_path):
    torch.manual_seed(0)
    trainer = Trainer(MaskedAutoencoder(SMALL), pictures, RECIPE, tmp_path / "run", max_minutes=1e-9)
    with pytest.raises(Stopped):
        trainer.train()
    folder = tmp_path / "run"
    assert not (folder / "model.safetensors").exists()
    for source in (folder, next((folder / "checkpoints").iterdir())):
        with pytest.warns(UserWarning, match=r"a checkpoint, not the end of a run: step 1, .*step-00000001.pt") as said:
            model, about = load_with_about(source)
        assert len(said) == 1
        assert about["step"] == 1
        assert same(model, trainer.model)
        assert not model.training
    damaged = folder / "checkpoints" / "step-00000002.pt"
    damaged.write_bytes(next((folder / "checkpoints").iterdir()).read_bytes()[:-50])
    with pytest.warns(UserWarning, match="step 1") as said:
        assert same(maelib.load(folder), trainer.model)
    assert any("step-00000002.pt cannot be read" in str(warning.message) for warning in said)


@pytest.mark.parametrize("name", ["plain", "cross"])
def test_a_stopped_run_of_format_1_is_read(name, tmp_path):
    """Its checkpoints hold the weights under their earlier names, and the configuration stands in the folder alone."""
    from safetensors.torch import load_file

    source = Path(__file__).parent / "fixtures" / "format1" / f"{name}.safetensors"
    expected = maelib.load(source)
    state = {key: tensor.float() for key, tensor in load_file(source).items()}
    (tmp_path / "checkpoints").mkdir()
    torch.save({"model": state, "step": 40}, tmp_path / "checkpoints" / "step-00000040.pt")
    (tmp_path / "config.json").write_text(json.dumps({"model": vars(expected.config)}))
    with pytest.warns(UserWarning, match="step 40"):
        assert same(maelib.load(tmp_path), expected)


def test_what_holds_no_model_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no weights 'mae_giant': neither a file nor a folder nor shipped \(mae_tiny"
    ):
        maelib.load("mae_giant")
    with pytest.raises(FileNotFoundError, match=r"holds neither model.safetensors nor a checkpoint"):
        maelib.load(tmp_path)
    torch.save({"weight": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"other.pt holds no model of maelib"):
        maelib.load(tmp_path / "other.pt")


def test_a_model_comes_to_the_device_that_is_asked_for():
    assert maelib.load("mae_tiny_patch4_64", "meta").pixel_mean.device.type == "meta"
