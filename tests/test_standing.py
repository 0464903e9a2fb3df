"""Is my run normal: a run is set beside recorded ones of its kind and no others, and the page's pictures are what it says."""

import importlib.util
import json
import math
import re
from dataclasses import replace

import pytest
import torch
from conftest import ROOT

from maelib import PRESETS
from maelib.cli import main
from maelib.evaluation import standing as module
from maelib.evaluation.standing import Curve, kind_of, recorded_curves, standing
from maelib.loss import normalize_patches
from maelib.patches import patchify

RAW, NORMALISED = PRESETS["mae_tiny_patch4_64_plain"], PRESETS["mae_base_patch16_224"]
PICTURES = ROOT / "book" / "images" / "normal"


@pytest.fixture
def two_curves(monkeypatch):
    """One of each kind, with an easy middle."""
    curves = [
        Curve("a raw run", (100, 10_000), (1.0, 0.5), kind_of({"pixel_std": RAW.pixel_std}, 0.75)),
        Curve("a normalised run", (100, 10_000), (0.9, 0.3), kind_of({"normalize_targets": True}, 0.75)),
    ]
    monkeypatch.setattr(module, "recorded_curves", lambda: curves)
    return curves


def test_the_loss_there_lies_between_two_points_along_the_logarithm(two_curves):
    line = standing(0.8, 1_000, RAW, 0.75)
    assert line == "loss 0.8000 after 1,000 pictures; a raw run had 0.7500 there"
    assert "a normalised run had 0.6000 there" in standing(0.8, 1_000, NORMALISED, 0.75)


def test_after_the_end_it_says_so_and_before_the_beginning_nothing(two_curves):
    assert standing(0.1, 20_000, RAW, 0.75).endswith("a raw run had 0.5000 at its end, after 10,000")
    assert standing(0.1, 99, RAW, 0.75) == ""


@pytest.mark.parametrize(
    ("config", "ratio"),
    [
        (replace(RAW, pixel_std=0.25), 0.75),
        (replace(RAW, pixel_mean=(0.4, 0.5, 0.6)), 0.75),
        (RAW, 0.5),
        (NORMALISED, 0.5),
    ],
)
def test_another_kind_is_not_compared(two_curves, config, ratio):
    assert standing(0.5, 1_000, config, ratio) == ""


def test_statistics_of_the_pixels_do_not_matter_to_normalised_targets(two_curves):
    assert (
        standing(0.5, 1_000, replace(NORMALISED, pixel_mean=0.5), 0.75) == standing(0.5, 1_000, NORMALISED, 0.75) != ""
    )


def test_recorded_curves_are_those_of_the_records():
    curves = {curve.name: curve for curve in recorded_curves()}
    for path in (ROOT / "data/results").glob("*.json"):
        record = json.loads(path.read_text())
        if record["kind"] == "run":
            curve, last = curves.pop(record["name"]), record["curve"][-1]
            assert curve.at(1e12) == last["loss"]
            assert curve.seen[-1] == pytest.approx(record["images_seen"] * last["epoch"] / record["epochs"])
            assert list(curve.seen) == sorted(curve.seen)
    public = curves.pop("a public notebook")
    assert not curves
    assert public.at(1_000_000) == 0.389
    assert 0.389 < public.at(700_000) < 0.416
    assert all(map(math.isfinite, public.loss))


def test_other_data_is_not_compared(two_curves):
    assert standing(0.8, 1_000, RAW, 0.75, "scenes") == ""


def test_the_end_of_a_training_says_where_it_stands(two_curves, tmp_path, capsys):
    two_curves[:] = [curve._replace(data="samples") for curve in two_curves]
    shape = ["--set=patch_size=16", "--set=width=32", "--set=heads=2", "--set=depth=1", "--set=decoder_width=16"]
    recipe = ["train", "--data=samples", *shape, "--epochs=3", "--batch-size=10", "--no-final-evaluation"]
    assert main([*recipe, "--model=mae_tiny_patch4_64_plain", f"--out={tmp_path / 'a'}"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "a raw run had" in line]
    last = json.loads((tmp_path / "a/metrics.jsonl").read_text().splitlines()[-1])
    assert line.startswith(f"loss {last['loss']:.4f} after {10 * last['step']:,} pictures; ")
    weights = tmp_path / "a/model.safetensors"
    assert main(["train", "--data=samples", f"--init={weights}", *recipe[-3:], f"--out={tmp_path / 'b'}"]) == 0
    assert "a raw run" not in capsys.readouterr().out, "it has seen more pictures than its own"
    assert main([*recipe, "--mask-ratio=0.5", f"--out={tmp_path / 'c'}"]) == 0
    assert " had " not in capsys.readouterr().out


# -- the page's pictures -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("draw_failures", ROOT / "book/images/draw_failures.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.mark.parametrize("loss", [0.4, 0.65, 1.0])
def test_a_picture_of_a_loss_has_that_loss(script, loss):
    torch.manual_seed(0)
    image = torch.nn.functional.interpolate(torch.rand(1, 3, 12, 12), (48, 48), mode="bicubic").clamp(0.2, 0.8)
    drawn = script.of_loss(image, loss)
    target, patches = normalize_patches(patchify(image, 8)), patchify(image, 8)
    variance, mean = torch.var_mean(patches, dim=2, keepdim=True)
    found = ((patchify(drawn, 8) - mean) / (variance + 1e-6).sqrt() - target).square().mean()
    assert found.item() == pytest.approx(loss, abs=0.02)


def test_the_gallery_is_complete_and_light():
    page = (ROOT / "book/is_my_run_normal.md").read_text()
    shown = re.findall(r"images/normal/(\w+\.png)", page)
    assert sorted(shown) == sorted(path.name for path in PICTURES.iterdir())
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 300_000
    gallery = page.split("## The gallery of failures")[1].split("\n### ")[1:]
    assert all(text.count("*Cause.*") == text.count("*Remedy.*") == text.count("```{image}") == 1 for text in gallery)
    assert len(gallery) >= 7
