"""Runs that were stopped and runs of an earlier version, as the command line takes them."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import maelib
from maelib.app.settings import open_model, version_of, weights_file
from maelib.cli import main
from maelib.training import TrainConfig

SHAPE = ("patch_size=8", "width=32", "heads=2", "depth=1", "decoder_width=16")
QUICK = ["train", "--data", "samples", "--batch-size", "10", "--augment", "flip", "--no-final-evaluation"]
FORMAT_1 = Path(__file__).parent / "fixtures" / "format1"


@pytest.fixture
def stopped(tmp_path, capsys) -> Path:
    """The folder of a run that was stopped after one step."""
    shape = [f"--set={field}" for field in SHAPE]
    assert main([*QUICK, *shape, "--epochs", "2", "--max-minutes", "1e-9", "--out", str(tmp_path / "run")]) == 0
    assert "stopped after step 1 of 10" in capsys.readouterr().out
    assert not (tmp_path / "run/model.safetensors").exists()
    return tmp_path / "run"


def same_weights(a: maelib.MaskedAutoencoder, b: maelib.MaskedAutoencoder) -> bool:
    return all(torch.equal(tensor, b.state_dict()[name]) for name, tensor in a.state_dict().items())


@pytest.mark.parametrize("what", ["folder", "checkpoint"])
@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "MODEL", "--data", "samples", "--n", "2"],
        ["reconstruct", "chelsea", "--model", "MODEL", "--out", "OUT.png"],
        ["export", "onnx", "--model", "MODEL", "--out", "OUT.onnx"],
        ["info", "MODEL"],
        [*QUICK, "--epochs", "1", "--init", "MODEL", "--out", "OUT"],
        ["app", "--model", "MODEL", "--no-browser", "--port", "8731"],
    ],
    ids=lambda command: command[0],
)
def test_a_stopped_run_serves_every_command_with_a_word_about_its_step(
    stopped, tmp_path, capsys, monkeypatch, command, what
):
    began: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: began.append(arguments))
    checkpoint = stopped / "checkpoints" / "step-00000001.pt"
    names = {"MODEL": str(stopped if what == "folder" else checkpoint), "OUT": str(tmp_path / "made")}
    for name, value in names.items():
        command = [argument.replace(name, value) for argument in command]
    assert main(command) == 0
    said = capsys.readouterr()
    assert said.err == f"maelib: a checkpoint, not the end of a run: step 1, {checkpoint}\n"
    if command[0] == "info":
        assert "step               1" in said.out
    if command[0] == "app":
        assert "streamlit" in began[0]
        assert os.environ.pop("MAELIB_APP_MODELS") == names["MODEL"]
    if command[0] == "reconstruct":
        assert Image.open(tmp_path / "made.png").height > 100
    if command[0] == "train":
        assert "from the weights of" in said.out
        assert maelib.load(tmp_path / "made").config.patch_size == 8


def test_the_application_sees_when_a_stopped_run_has_gone_on(stopped):
    first = version_of(str(stopped))
    assert weights_file(str(stopped)) == stopped / "checkpoints/step-00000001.pt"
    with pytest.warns(UserWarning, match="step 1"):
        assert open_model(str(stopped)).config.patch_size == 8
    shutil.copyfile(stopped / "checkpoints/step-00000001.pt", stopped / "checkpoints/step-00000002.pt")
    assert version_of(str(stopped)) != first
    maelib.save(open_model("mae_tiny_patch4_64"), stopped / "model.safetensors")
    assert weights_file(str(stopped)) == stopped / "model.safetensors"


def test_a_stopped_run_has_a_record_once_it_has_metrics(stopped, tmp_path, capsys):
    record = tmp_path / "record.json"
    measure = ["evaluate", str(stopped), "--data", "samples", "--n", "2", "--json", str(record)]
    assert main(measure) == 1
    said = capsys.readouterr().err
    assert "holds no line of metrics yet: let the run reach the end of an epoch" in said
    assert said.count("\n") == 1
    shape = [f"--set={field}" for field in SHAPE]
    again = [*QUICK, *shape, "--epochs", "2", "--max-minutes", "1e-9", "--resume", "auto", "--out", str(stopped)]
    for _ in range(4):
        assert main(again) == 0
    assert main(measure) == 0
    assert json.loads(record.read_text())["images_seen"] == 50
    assert "step 5" in capsys.readouterr().err


# -- runs of format 1 ----------------------------------------------------------------------------------------------------


def old_run(folder: Path, name: str = "plain", finished: bool = False) -> Path:
    """A run as the version before wrote it: no format anywhere, tensors under their old names."""
    source = FORMAT_1 / f"{name}.safetensors"
    (folder / "checkpoints").mkdir(parents=True)
    state = {key: tensor.float() for key, tensor in load_file(source).items()}
    torch.save({"model": state, "step": 40, "seconds": 1.0}, folder / "checkpoints" / "step-00000040.pt")
    shape = asdict(maelib.load(source).config)
    described = {"model": shape, "train": asdict(TrainConfig()), "name": "mae_tiny_patch4_64", "data": "samples"}
    (folder / "config.json").write_text(json.dumps(described))
    (folder / "metrics.jsonl").write_text('{"step": 40, "epoch": 4.0, "loss": 1.0, "lr": 1e-4, "grad_norm": 1.0}\n')
    if finished:
        shutil.copyfile(source, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_of_an_earlier_version_is_not_resumed_and_the_sentence_says_what_to_do(tmp_path, capsys, finished):
    folder = old_run(tmp_path / "old", finished=finished)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main([*QUICK, "--epochs", "1", "--resume", "auto", "--out", str(folder)]) == 1
    said = capsys.readouterr().err
    assert said == (
        f"maelib: the run in {folder} was begun by another version of maelib and cannot be resumed: "
        f"begin a new one with its weights, --init {folder} and another --out\n"
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize("name", ["plain", "cross", "normalized"])
def test_init_begins_with_the_weights_of_an_earlier_version(tmp_path, capsys, name, finished):
    folder, out = old_run(tmp_path / "old", name, finished), tmp_path / "new"
    still = ["--base-lr", "1e-30", "--weight-decay", "0"]  # so small a rate moves no weight
    assert main([*QUICK, *still, "--epochs", "1", "--init", str(folder), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "from the weights of old" in said.out
    assert [line for line in said.err.splitlines() if "step 40" in line] == said.err.splitlines()
    assert len(said.err.splitlines()) == (0 if finished else 1)
    assert same_weights(maelib.load(out), maelib.load(FORMAT_1 / f"{name}.safetensors"))
    described = json.loads((out / "config.json").read_text())
    assert described["format"] == 2
    assert main([*QUICK, *still, "--epochs", "1", "--init", str(folder), "--out", str(out), "--resume", "auto"]) == 0
    assert "resumes at epoch 1.00 of 1" in capsys.readouterr().out


def test_an_earlier_version_below_resume_from_is_named_with_its_remedy(tmp_path, capsys):
    folder = old_run(tmp_path / "input/old")
    place = ["--resume", "auto", "--resume-from", str(tmp_path / "input"), "--out", str(tmp_path / "new")]
    assert main([*QUICK, "--epochs", "1", *place]) == 1
    said = capsys.readouterr().err
    assert f"only other runs below {tmp_path / 'input'}: {folder} (begun by another version of maelib: --init" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "new").exists()
