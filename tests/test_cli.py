"""The command line, as a person calls it: what it prints, what it leaves, its exit status."""

import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest
import torch
from PIL import Image

import maelib
from maelib.cli import main
from maelib.training import TrainConfig
from maelib.training.config import recipe_help

SHAPE = [f"--set={field}" for field in ("patch_size=8", "width=32", "heads=2", "depth=1", "decoder_width=16")]
QUICK = ["train", "--data", "samples", *SHAPE, "--epochs", "2", "--batch-size", "10", "--augment", "flip"]


@pytest.fixture
def run_folder(tmp_path, capsys):
    assert main([*QUICK, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    return tmp_path / "run"


def test_train_ends_with_a_picture_and_its_figures(tmp_path, capsys):
    out = tmp_path / "run"
    assert main([*QUICK, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    for expected in ("from scratch", "epoch 2/2: loss", "images/s", "min left", "dB", "gaussian", "reconstruction.png"):
        assert expected in text
    assert Image.open(out / "reconstruction.png").width > 1000
    assert sorted(p.name for p in (out / "samples").iterdir()) == ["epoch-0001.png", "epoch-0002.png"]
    assert main([*QUICK, "--out", str(out)]) == 1
    assert "--resume auto" in capsys.readouterr().err
    assert main([*QUICK, "--out", str(out), "--resume", "auto"]) == 0
    assert "resumes at epoch 2.00 of 2" in capsys.readouterr().out
    assert main([*QUICK, "--out", str(out), "--overwrite"]) == 0
    assert "from scratch" in capsys.readouterr().out


def test_a_run_may_begin_with_trained_weights(run_folder, tmp_path, capsys):
    weights, out = run_folder / "model.safetensors", tmp_path / "second"
    still = ["--init", str(weights), "--base-lr", "1e-30", "--weight-decay", "0"]  # so small a rate moves no weight
    recipe = ["train", "--data", "samples", "--epochs", "1", "--batch-size", "10", "--no-final-evaluation"]
    assert main([*recipe, *still, "--out", str(out)]) == 0
    assert "from the weights of model" in capsys.readouterr().out
    before, after = maelib.load(weights), maelib.load(out / "model.safetensors")
    assert after.config == before.config
    assert all(
        torch.equal(a, b) for a, b in zip(before.state_dict().values(), after.state_dict().values(), strict=True)
    )
    assert json.loads((out / "config.json").read_text())["init"] == "model"
    assert main([*recipe, *still, "--out", str(out), "--resume", "auto"]) == 0
    assert "resumes at epoch 1.00 of 1" in capsys.readouterr().out
    assert main([*recipe, "--model", "mae_tiny_patch4_64", *still, "--out", str(out), "--resume", "auto"]) == 2
    assert "brings its own shape" in capsys.readouterr().err
    assert main([*recipe, "--init", "", "--out", str(tmp_path / "third")]) == 2
    capsys.readouterr()
    assert main([*recipe, "--init", "nothing", "--out", str(tmp_path / "third")]) == 2
    assert "no weights 'nothing'" in capsys.readouterr().err
    assert not (tmp_path / "third").exists()


def test_evaluate_writes_the_record_of_a_run(run_folder, tmp_path, capsys):
    target = tmp_path / "record.json"
    assert (
        main(["evaluate", str(run_folder), "--data", "samples", "--baselines", "--n", "4", "--json", str(target)]) == 0
    )
    assert "4 pictures, 75% hidden, seed 0" in capsys.readouterr().out
    record = json.loads(target.read_text())
    for key in (
        "kind",
        "name",
        "model",
        "dataset",
        "epochs",
        "images_seen",
        "seed",
        "commit",
        "hardware",
        "software",
        "seconds",
        "curve",
    ):
        assert record[key] is not None, key
    assert record["epochs"] == 2
    assert record["images_seen"] == record["recipe"]["batch_size"] * record["curve"][-1]["step"]
    assert set(record["metrics"]) == {"pasted", "masked"}
    assert set(record["metrics"]["pasted"]) == {"psnr", "ssim", "n", "mask_ratio", "seed"}
    assert record["baselines"]["gaussian"]["masked"]["psnr"] > 0


def test_the_record_of_a_run_that_began_with_trained_weights_counts_both(run_folder, tmp_path, capsys):
    first, second, joined = (tmp_path / name for name in ("first.json", "second.json", "joined.json"))
    score = ["--data", "samples", "--n", "2", "--protocols", "masked", "--json"]
    assert main(["evaluate", str(run_folder), *score, str(first)]) == 0
    again = ["train", "--data", "samples", "--epochs", "3", "--batch-size", "10", "--no-final-evaluation"]
    out = str(tmp_path / "again")
    assert main([*again, "--init", str(run_folder / "model.safetensors"), "--out", out]) == 0
    assert main(["evaluate", out, *score, str(second)]) == 0
    assert main(["evaluate", out, *score, str(joined), "--before", str(first)]) == 0
    one, two, both = (json.loads(path.read_text()) for path in (first, second, joined))
    assert "stages" not in two
    for key in ("images_seen", "epochs"):
        assert both[key] == one[key] + two[key]
    steps = [point["step"] for point in both["curve"]]
    assert steps == sorted(set(steps))
    assert steps[-1] * 10 == both["images_seen"]
    assert [leg["images_seen"] for leg in both["stages"]] == [one["images_seen"], two["images_seen"]]
    assert both["metrics"] == two["metrics"]
    capsys.readouterr()
    assert main(["evaluate", str(run_folder), *score, str(joined), "--before", str(second)]) == 1
    assert "began from scratch" in capsys.readouterr().err
    for text in ("[1]", "{}", "not JSON"):
        (tmp_path / "odd.json").write_text(text)
        assert main(["evaluate", out, *score, str(joined), "--before", str(tmp_path / "odd.json")]) == 1
        said = capsys.readouterr()
        assert "odd.json is no record of a run" in said.err
        assert "dB" not in said.out  # said before anything was measured
    assert main(["evaluate", out, *score[:-1], "--before", str(first)]) == 2
    assert "needs a run folder and --json" in capsys.readouterr().err


def test_reconstruct_writes_a_picture_and_prints_the_figures(run_folder, tmp_path, capsys):
    out = tmp_path / "deep" / "cat.png"
    weights = str(run_folder / "model.safetensors")
    assert main(["reconstruct", "chelsea", "--model", weights, "--strategy", "block", "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "pasted: PSNR" in text
    assert "masked: PSNR" in text
    assert "75% hidden" in text
    assert Image.open(out).height > 300
    model = maelib.load(weights)
    expected = maelib.reconstruct(model, maelib.datasets.sample_path("chelsea"), strategy="block").scores()
    assert f"{expected['masked']['psnr']:.2f} dB" in text


def test_data_says_what_is_there(tmp_path, capsys):
    assert main(["data", "--data", "samples", "--cache", str(tmp_path)]) == 0
    assert "10 pictures of 64 x 64 pixels" in capsys.readouterr().out


def test_info_counts_parameters(capsys):
    assert main(["info"]) == 0
    assert "mae_huge_patch14_224_paper" in capsys.readouterr().out
    assert main(["info", "mae_base_patch16_224"]) == 0
    assert "107,760,000 numbers, 107,533,056 of them trainable" in capsys.readouterr().out


def test_evaluate_draws_typical_and_worst_pictures(run_folder, tmp_path, capsys):
    sheet = tmp_path / "new" / "sheet.png"
    score = ["evaluate", str(run_folder), "--data", "samples", "--sheet"]
    assert main([*score, str(sheet)]) == 0
    assert Image.open(sheet).size == (5 * 132 - 4 + 24, 1760 + 3 * 18)  # labels of two lines
    assert str(sheet) in capsys.readouterr().out
    assert main([*score, str(tmp_path / "p.png"), "--protocols", "pasted"]) == 2
    assert "add masked to --protocols pasted" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*score, str(tmp_path / "sheet.txt")])
    assert "must end in .png, .jpg or .webp, got" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize(
    "command", [[], ["data"], ["train"], ["evaluate"], ["reconstruct"], ["export"], ["app"], ["sheet"], ["info"]]
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert len(capsys.readouterr().out) > 200


def test_help_has_a_line_for_every_field_of_the_recipe_and_it_is_the_docstrings(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # nothing is wrapped
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = dict(re.findall(r"^  --(\S+).*?(?:  +|\n +)(\S.*)$", capsys.readouterr().out, re.MULTILINE))
    explained = recipe_help()
    for field in fields(TrainConfig):
        line = explained[field.name].rstrip(".")
        assert len(line) > 20, field.name
        assert shown[field.name.replace("_", "-")].startswith(f"{line} (default: "), field.name
        assert line in TrainConfig.__doc__


def test_every_option_of_the_recipe_arrives(tmp_path):
    given = {
        "epochs": 2, "batch_size": 8, "accumulate": 2, "base_lr": 1e-3, "final_lr": 1e-5, "warmup_epochs": 0.5,
        "weight_decay": 0.1, "betas": [0.8, 0.9], "muon_lr": 0.01, "clip": 2.0, "mask_ratio": 0.5, "augment": "crop",
        "crop_scale": [0.5, 0.75], "precision": "fp32", "compile": True, "seed": 3, "limit": 16, "log_every": 1,
        "sample_epochs": 2, "checkpoint_minutes": 0.5, "keep_checkpoints": 1,
    }  # fmt: skip
    assert list(given) == [field.name for field in fields(TrainConfig)]
    options: list[str] = []
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        options += [f"--{name.replace('_', '-')}", *([] if value is True else map(str, values))]
    command = ["train", "--data", "samples", *SHAPE, "--max-minutes", "1e-9", "--out", str(tmp_path / "run"), *options]
    code = f"import sys, torch; torch.compile = lambda module: module; from maelib.cli import main; main({command})"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    written = json.loads((tmp_path / "run/config.json").read_text())["train"]
    assert written == given
    defaults = {field.name: field.default for field in fields(TrainConfig)}
    assert all(written[name] != default for name, default in defaults.items())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "x", "--mask-ratio", "1.2"], "must be in [0, 1), got 1.2"),
        (["dance"], "invalid choice: 'dance'"),
        (["train", "--epochs", "many"], "invalid int value: 'many'"),
        (["train", "--augment", "colour"], "invalid choice: 'colour'"),
        (["evaluate", "x", "--mask-ratio", "nan"], "must be in [0, 1), got nan"),
        (["evaluate", "x", "--batch-size", "0"], "must be a whole number of at least 1, got 0"),
        (["evaluate", "x", "--size", "64x64x3"], "must be one size or HEIGHTxWIDTH, got 64x64x3"),
        (["evaluate", "x", "--seed", "-1"], "must be a whole number in [0, 2**31), got -1"),
        (["evaluate", "x", "--n", "0"], "must be a whole number of at least 1, got 0"),
        (["evaluate", "x", "--nodata", "black"], "must be a number or nan, got black"),
        (["reconstruct", "chelsea", "--seed", "-1"], "must be a whole number in [0, 2**31), got -1"),
        (["evaluate", "x", "--size", "0"], "must be a whole number of at least 1, got 0"),
        (["train", "--device", "tpu"], "must be cpu, cuda or cuda:1 and the like, got tpu"),
        (["app", "--port", "0"], "must be in 1 to 65535, got 0"),
    ],
)
def test_bad_usage_is_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert "--help" in error


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["train", "--batch-size", "0"], 2, "batch_size must be a whole number of at least 1, got 0"),
        (["train", "--set", "heads=5"], 2, "heads must divide width, got 5 heads for 192"),
        (["train", "--set", "colour=3"], 2, "--set takes FIELD=VALUE"),
        (["train", "--set", "width=wide"], 2, "'wide' is no number"),
        (["train", "--set", "pixel_std=0"], 2, "pixel_std must be finite and above 0.0, got 0"),
        (["train", "--init", "empty"], 2, "empty holds neither model.safetensors nor a checkpoint"),
        (["train", "--model", "mae_giant"], 2, "no model 'mae_giant'; there are: mae_tiny_patch4_64"),
        (["train", "--data", "samples", "--precision", "fp16", "--device", "cpu"], 1, "fp16 needs a GPU"),
        (["evaluate", "nowhere"], 1, "no weights 'nowhere'"),
        (["evaluate", "file.txt"], 1, "file.txt is damaged or is no safetensors file"),
        (["evaluate", "list.pt"], 1, "list.pt holds no model of maelib"),
        (["info", "nowhere"], 1, "no weights 'nowhere'"),
        (["info", "empty"], 1, "empty holds neither model.safetensors nor a checkpoint"),
        (["export", "onnx", "--model", "nowhere"], 1, "no weights 'nowhere'"),
        (["export", "onnx", "--out", "model.pt"], 2, "--out must end in .onnx, got model.pt"),
        (["reconstruct", "chelsea", "--model", "nowhere"], 1, "no weights 'nowhere'"),
        (["app", "--model", "nowhere"], 1, "no weights 'nowhere'"),
        (["data", "--data", "/nowhere/at/all"], 1, "no data at /nowhere/at/all"),
        (["reconstruct", "nobody.jpg"], 1, "no picture at nobody.jpg"),
        (["train", "--limit", "0"], 2, "limit must be a whole number of at least 1, got 0"),
        (["train", "--seed", "-1"], 2, "seed must be a whole number of at least 0, got -1"),
        (["train", "--mask-ratio", "nan"], 2, "mask_ratio must be in (0, 1) for training, got nan"),
        (["train", "--max-minutes", "nan"], 2, "--max-minutes must be positive and finite, got nan"),
        (["train", "--set", "image_size=[64,64,3]"], 2, "whole number of pixels or (height, width), got (64, 64, 3)"),
        (["train", "--set", "mlp_ratio=0.001"], 2, "mlp_ratio leaves the MLP of width 192 no unit, got 0.001"),
        (["reconstruct", "chelsea", "--out", "file.txt/x.png"], 1, "cannot use 'file.txt': it is a file"),
        (["reconstruct", "."], 1, "is a folder, not a picture"),
        (["app", "--host", "999.1.1.1"], 1, "cannot listen at 999.1.1.1, port 8501"),
        ([], 2, ""),
    ],
)
def test_errors_are_one_line_with_their_status(arguments, status, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    (tmp_path / "empty").mkdir()
    torch.save([1], tmp_path / "list.pt")
    assert main(arguments) == status
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == bool(arguments)
    assert "Traceback" not in captured.err


def test_debug_shows_the_traceback():
    with pytest.raises(FileNotFoundError):
        main(["evaluate", "nowhere", "--debug"])


@pytest.mark.parametrize("flags", [[], ["-OO"]])  # the help is in docstrings, which -OO leaves out
def test_python_m_maelib_is_the_command(flags):
    command = [sys.executable, *flags, "-m", "maelib", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"maelib {maelib.__version__}"


def test_reader_that_leaves_is_no_error_and_a_full_disk_is():
    command = f"{sys.executable} -m maelib info"
    left = subprocess.run(["bash", "-c", f"set -o pipefail; {command} | true"], capture_output=True, text=True)
    assert left.stderr == ""
    full = subprocess.run(["bash", "-c", f"{command} > /dev/full"], capture_output=True, text=True)
    assert full.returncode == 1
    assert full.stderr == "maelib: no space left on device\n"
    closed = subprocess.run(["bash", "-c", f"{command} >&-"], capture_output=True, text=True)
    assert closed.stderr == ""
