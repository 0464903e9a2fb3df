"""Numbers at the edge: tiny pictures, identical pictures, constant patches, ranges that differ; and no NaN in any JSON."""

import ast
import io
import json
from contextlib import redirect_stdout
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ROOT, SMALL
from PIL import Image

import maelib
from maelib import MAEConfig, MaskedAutoencoder
from maelib.cli import main
from maelib.cli.common import print_scores
from maelib.datasets import ImageError, PackedImages, Values
from maelib.evaluation import evaluate, evaluate_baselines, mean_scores, reconstruct, score_pictures
from maelib.evaluation.metrics import decibels
from maelib.evaluation.probes import layer_features
from maelib.explorers import state as explorer
from maelib.training import TrainConfig, Trainer

RECIPE = TrainConfig(epochs=1, batch_size=16, warmup_epochs=0, sample_epochs=0, checkpoint_minutes=0, precision="fp32")


@pytest.mark.parametrize("size", [6, (6, 12), (12, 4)])
def test_pictures_smaller_than_the_window_have_scores_without_ssim(size, pictures, tmp_path, capsys):
    model = MaskedAutoencoder(replace(SMALL, image_size=size, patch_size=2)).eval()
    found = evaluate(model, pictures, progress=False)
    assert set(found["pasted"]) == {"psnr", "n", "mask_ratio", "seed"}
    fills = evaluate_baselines(pictures, model.config.hw, 2, fills=["gaussian"], progress=False)
    assert "ssim" not in fills["gaussian"]["pasted"]
    print_scores({"model": found, **fills})
    assert "nan" not in capsys.readouterr().out
    r = reconstruct(model, pictures[0])
    assert set(r.scores()["pasted"]) == {"psnr", "mask_ratio"}
    assert r.panel().width > 500
    measured = explorer.scores(r)
    assert "SSIM" not in explorer.scores_html(measured, 3, 9)
    assert explorer.flat_scores(measured, r.mask)["model_pasted_ssim"] is None
    weights, out = maelib.save(model, tmp_path / "tiny.safetensors"), str(tmp_path / "r.png")
    Image.fromarray(pictures[0]).save(tmp_path / "p.png")
    assert main(["reconstruct", str(tmp_path / "p.png"), "--model", str(weights), "--out", out]) == 0
    json_file = tmp_path / "m.json"
    assert main(["evaluate", str(weights), "--data", "samples", "--n", "3", "--json", str(json_file)]) == 0
    assert "SSIM" not in capsys.readouterr().out
    json.loads(json_file.read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("protocol", ["masked", "pasted"])
def test_a_model_below_a_fill_that_knows_no_answer_is_said_to_be(protocol, capsys):
    def row(psnr: float) -> dict:
        return {protocol: {"psnr": psnr, "n": 1, "mask_ratio": 0.75, "seed": 0}}

    fills = {"visible_mean": row(15), "diffusion": row(21.7), "patch_mean": row(30)}
    print_scores({"model": row(20.0), **fills})
    assert f"below diffusion by 1.7 dB {protocol}: it has learned less than smoothing knows" in capsys.readouterr().out
    print_scores({"model": row(14.0), "visible_mean": row(15)})
    assert "below visible_mean by 1.0 dB" in capsys.readouterr().out
    for table in ({"model": row(22.0), **fills}, {"model": row(22.0), "patch_mean": row(30)}, {"model": row(1.0)}):
        print_scores(table)
        assert "below" not in capsys.readouterr().out


@pytest.mark.parametrize("channels", [1, 3])
def test_fills_that_know_the_answer_stand_apart_and_once(channels, pictures, capsys):
    gray = pictures[:4, :32, :32, :channels]
    fills = evaluate_baselines(gray, 32, 8, ("article", "pasted"), progress=False)
    print_scores({"model": fills["diffusion"], **fills})
    table, _, knowing = capsys.readouterr().out.partition("these know the answer, the true means of what is hidden:\n")
    assert [line.split()[0] for line in table.splitlines()[2:]] == ["model", "visible_mean", "gaussian", "diffusion"]
    names = ["patch_mean", *["patch_channel_mean"] * (channels > 1), "gaussian_shifted", "diffusion_shifted"]
    assert [line.split()[0] for line in knowing.splitlines()] == names
    print_scores({"model": fills["gaussian"], "diffusion": fills["diffusion"]})
    assert "know the answer" not in capsys.readouterr().out


def test_what_100_decibels_stand_for_is_said_where_they_show(small_model, pictures, tmp_path, capsys):
    assert [decibels(value) for value in (99.994, 100.0)] == ["99.99 dB", "100.00 dB (no error)"]
    r = reconstruct(small_model, pictures[0], 0.0)  # nothing hidden, nothing wrong
    assert "100.00 dB (no error)" in explorer.scores_html(explorer.scores(r), 1, 16)
    assert "nothing is scored" in explorer.scores_html(explorer.scores(r), 0, 16)
    said = io.StringIO()
    for value in (100.0, 30.0):
        with redirect_stdout(said):
            print_scores({"model": {"pasted": {"psnr": value, "n": 1, "mask_ratio": 0.75, "seed": 0}}})
    assert said.getvalue().count("100 dB stand for no error at all") == 1
    arguments = ["--mask-ratio", "0", "--out", str(tmp_path / "r.png")]
    assert main(["reconstruct", "chelsea", *arguments]) == 0
    assert "pasted: PSNR 100.00 dB (no error), SSIM 1.0000" in capsys.readouterr().out


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_constant_patches_under_normalised_targets_have_a_loss(value, dtype, pictures):
    model = MaskedAutoencoder(replace(SMALL, normalize_targets=True))
    images = torch.full((2, 3, 32, 32), value)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        found = model(images)
    found.loss.backward()
    assert torch.isfinite(found.loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert torch.isfinite(model.reconstruct(images)[0]).all()
    flat = np.full((3, 32, 32, 3), round(255 * value), np.uint8)
    assert np.isfinite(evaluate(model.eval(), flat, ["pasted"], progress=False)["pasted"]["psnr"])


def test_an_mlp_without_units_is_refused():
    for change, named in ({"mlp_ratio": 0.001}, "width 192"), ({"mlp_ratio": 1 / 150}, "decoder_width 128"):
        with pytest.raises(ValueError, match=rf"^mlp_ratio leaves the MLP of {named} no unit, got 0\.00"):
            MAEConfig(**change)
    assert MaskedAutoencoder(replace(SMALL, mlp_ratio=1 / 16))(torch.rand(1, 3, 32, 32)).loss > 0


def test_data_of_another_range_than_the_models_is_refused_in_python_too(small_model, pictures, tmp_path):
    deep = pictures.astype(np.uint16) * 100
    own, other = (PackedImages("scans", deep, None, [], Values(0, high, "uint16")) for high in (25_500, 65_535))
    Trainer(small_model, own, RECIPE, tmp_path / "run").train()
    loaded = maelib.load(tmp_path / "run")
    assert loaded.value_range == [0, 25_500, "uint16"]
    for model in (loaded, small_model.eval()):
        calls = (
            lambda data, model=model: score_pictures(model, data, progress=False),
            lambda data, model=model: layer_features(model, data, progress=False),
        )
        for call in calls:
            call(own)
            with pytest.raises(
                ValueError, match=r"scans was opened with 0 to 65535 .* with 0 to 25500: .*\(0, 25500\), or"
            ):
                call(other)
            with pytest.raises(ImageError, match="an array has uint8 values, the model's data has uint16"):
                call(pictures)
        model.value_range = other.values  # as the refusal says
        evaluate(model, other, progress=False)
    Trainer(loaded, pictures, RECIPE, tmp_path / "again").train()  # whose data it is now
    assert maelib.load(tmp_path / "again").value_range == [0, 255, "uint8"]
    evaluate(maelib.load(tmp_path / "again"), pictures, progress=False)


def test_means_are_of_the_pictures_that_have_a_score():
    scores = {"pasted": np.array([[20.0, 0.5], [np.nan, np.nan], [30.0, np.nan]]), "masked": np.full((3, 2), np.nan)}
    found = mean_scores(scores, 0.5, 1)
    assert found["pasted"] == {"psnr": 25.0, "ssim": 0.5, "n": 2, "mask_ratio": 0.5, "seed": 1}
    assert found["masked"] == {"n": 0, "mask_ratio": 0.5, "seed": 1}


def test_a_run_is_named_by_what_it_is(tmp_path):
    quick = ["train", "--data", "samples", "--epochs=1", "--batch-size=10", "--no-final-evaluation"]
    shape = [f"--set={field}" for field in ("patch_size=8", "width=32", "heads=2", "depth=1", "decoder_width=16")]
    run = tmp_path / "run"
    assert main([*quick, *shape, "--set=decoder_depth=1", "--out", str(run)]) == 0
    description = json.loads((run / "config.json").read_text())
    changed = "patch_size=8, width=32, depth=1, heads=2, decoder_width=16"  # what is as in the preset is not named
    assert description["name"] == f"mae_tiny_patch4_64 with {changed}"
    description["name"] = "mae_tiny_patch4_64"  # as earlier versions wrote it: the same run
    (run / "config.json").write_text(json.dumps(description))
    assert main([*quick, *shape, "--out", str(run), "--resume", "auto"]) == 0


def nan_allowed(code: str) -> list[int]:
    """Lines of calls that would write NaN into JSON."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    writing = [call for call in calls if ast.unparse(call.func) in ("json.dumps", "json.dump")]
    return [call.lineno for call in writing if "allow_nan=False" not in map(ast.unparse, call.keywords)]


def test_json_is_written_without_nan():
    paths = [path for part in ("maelib", "benchmarks", "book/_ext") for path in (ROOT / part).rglob("*.py")]
    assert {str(path): found for path in paths if (found := nan_allowed(path.read_text()))} == {}
    assert nan_allowed("import json\njson.dumps([1], indent=1)\njson.dumps(x, allow_nan=False)") == [2]
