"""mae.py, the whole method in one file: small, alone, equal to the package, and it runs."""

import ast
import importlib.util
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image
from test_single_source import stripped

from maelib import MAEConfig, MaskedAutoencoder, Masking
from maelib.evaluation.metrics import psnr
from maelib.patches import patchify, unpatchify
from maelib.positions import sincos_2d

FILE = ROOT / "mae.py"
SAMPLES = ROOT / "data" / "samples"
A_MINUTE = 1200  # steps
NAMES = {
    "attention.": "",
    "class_token": "token",
    "mask_token": "token",
    "decoder.head": "head",
}  # the package's, its own


@pytest.fixture(scope="module")
def mae():
    spec = importlib.util.spec_from_file_location("mae", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def copied(model: MaskedAutoencoder) -> dict[str, torch.Tensor]:
    """The package's weights under the names of mae.py, whose positions have no row for the class token: it is zero."""
    state = {}
    for name, value in model.state_dict().items():
        for theirs, own in NAMES.items():
            name = name.replace(theirs, own)
        if name.endswith("positions"):
            assert not value[0].any()
            value = value[1:]
        state[name] = value
    return state


def run(*arguments, seconds: float = 300) -> subprocess.CompletedProcess:
    command = [sys.executable, FILE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds, cwd=ROOT.parent)


def scores(done: subprocess.CompletedProcess) -> tuple[float, float]:
    """Mean colour and model, in dB, as printed."""
    assert done.returncode == 0, done.stderr
    return tuple(
        float(re.search(rf"^{name}: ([\d.]+) dB$", done.stdout, re.M)[1]) for name in ("mean colour", "this model")
    )


@pytest.mark.parametrize("ratio", [0.75, 0.5])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_packages_weights_give_the_same_loss_and_predictions(mae, normalize, ratio):
    config = MAEConfig(
        image_size=32, patch_size=4, width=64, depth=4, heads=2, decoder_width=32, decoder_depth=1, decoder_heads=1,
        normalize_targets=normalize, pixel_mean=mae.MEAN, pixel_std=mae.STD,
    )  # fmt: skip
    torch.manual_seed(0)
    model = MaskedAutoencoder(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))  # biases, norms and tokens too
    own = mae.MaskedAutoencoder(8, 4, normalize, D=64, depth=4).to("cpu")
    own.load_state_dict(copied(model))
    images = torch.rand(3, 3, 32, 32)
    masking = Masking.random(3, 64, ratio)
    with torch.no_grad():
        loss, pred, pixels = own(images, masking.visible, masking.hidden)
        expected = model(images, masking)
        every, _ = model.predict(images, masking)
        picture, _ = model.reconstruct(images, masking)
    torch.testing.assert_close(loss, expected.loss, rtol=0, atol=1e-5)
    torch.testing.assert_close(pred, every, rtol=0, atol=1e-5)
    torch.testing.assert_close(mae.unpatchify(pixels, 4, 8), picture, rtol=0, atol=1e-5)
    with torch.no_grad():  # another mask is another prediction: the comparison sees who is hidden
        other = own(images, masking.visible.flip(0), masking.hidden.flip(0))[1]
    assert (other - every).abs().max() > 1e-2


def test_its_pieces_are_the_packages(mae):
    images = torch.rand(2, 3, 16, 24)
    assert torch.equal(mae.patchify(images, 4), patchify(images, 4))
    square = torch.rand(2, 16, 48)
    assert torch.equal(mae.unpatchify(square, 4, 4), unpatchify(square, 4, (4, 4)))
    torch.testing.assert_close(mae.sincos_2d(6, 32), sincos_2d((6, 6), 32))
    torch.manual_seed(3)
    visible, hidden = (ids.cpu() for ids in mae.random_masking(4, 64))
    torch.manual_seed(3)
    expected = Masking.random(4, 64)
    assert torch.equal(visible, expected.visible)
    assert torch.equal(hidden, expected.hidden)


def test_it_fits_on_a_few_pages_and_stands_alone():
    source = FILE.read_text()
    assert len(source.splitlines()) <= 150
    assert "fmt:" not in source
    subprocess.run([sys.executable, "-m", "ruff", "format", "--check", "--quiet", FILE], check=True)
    tree = ast.walk(ast.parse(source))
    names = [
        name
        for node in tree
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    ]
    assert {name.split(".")[0] for name in names} <= {"torch", "numpy", "PIL"} | sys.stdlib_module_names


def test_chapter_05_ends_with_its_model_in_one_cell():
    """From the first definition after the pictures to the last, less annotations; one changed line is noticed."""
    cells = nbformat.read(ROOT / "notebooks" / "05_loss.ipynb", 4).cells
    (cell,) = [cell.source for cell in cells if cell.source.startswith("# mae.py: ")]

    def pieces(source: str) -> dict[str, str]:
        return {
            node.name if hasattr(node, "name") else ast.unparse(node.targets[0]): stripped(node)
            for node in ast.parse(source).body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Assign))
        }

    whole, shown = pieces(FILE.read_text()), pieces(cell)
    names = list(whole)
    assert [name for name in shown if name in names[names.index("random_masking") :]] == names[
        names.index("random_masking") :
    ]
    own = {"DEVICE"}  # the chapter's is a processor
    assert {name: whole[name] for name in shown if name not in own} == {
        name: piece for name, piece in shown.items() if name not in own
    }
    changed = pieces(cell.replace("x + self.mlp", "self.mlp"))
    assert changed["Block"] != whole["Block"]


def test_it_trains_writes_a_picture_and_says_both_scores(tmp_path):
    out = tmp_path / "picture.png"
    begun = run(SAMPLES, "--steps", 1, "--out", out)
    later = run(SAMPLES, "--steps", 30, "--out", out)
    assert scores(begun)[0] == scores(later)[0]  # the same crops and masks
    assert scores(later)[1] > scores(begun)[1] + 2
    assert scores(run(SAMPLES, "--steps", 30, "--out", out)) == scores(later)  # by steps, the same every time
    sheet = np.array(Image.open(out)) / 255
    assert sheet.shape == (2 * 4 * 52, 2 * 10 * 52, 3)
    rows = np.split(sheet[::2, ::2], 4)
    original, masked, raw, pasted = (row.reshape(52, 10, 52, 3)[2:-2, :, 2:-2] for row in rows)
    shown = (masked == original).reshape(12, 4, 10, 12, 4, 3).all(axis=(1, 4, 5))  # by patch: (row, picture, column)
    assert shown.sum(axis=(0, 2)).tolist() == [36] * 10  # a quarter of 144
    shown = shown.repeat(4, axis=0).repeat(4, axis=2)
    assert np.allclose(masked[~shown], 0.5, atol=1 / 255)
    assert (pasted[shown] == original[shown]).all()
    assert (pasted[~shown] == raw[~shown]).all()
    assert not (raw[shown] == original[shown]).all()


def test_its_scores_are_the_packages(mae, tmp_path):
    """`masked` by the package's measure, on the crops and masks of the file."""
    torch.manual_seed(0)
    thirds = [mae.read_picture(path, 48) for path in sorted(SAMPLES.glob("*.jpg"))]
    thirds = [picture[:, :, picture.shape[2] * 2 // 3 :] for picture in thirds]
    images = torch.stack([mae.random_crop(thirds[i * len(thirds) // 60], 48) for i in range(60)])
    masking = Masking(*(ids.cpu() for ids in mae.random_masking(60, 144)))
    hidden = unpatchify(masking.mask[..., None].expand(-1, -1, 16), 4, (12, 12))[:, 0].numpy()
    found = []
    for image, where in zip(images.permute(0, 2, 3, 1).numpy(), hidden, strict=True):
        found.append(psnr(image, np.broadcast_to(image[~where].mean(axis=0), image.shape), where))
    assert scores(run(SAMPLES, "--steps", 1, "--out", tmp_path / "x.png"))[0] == pytest.approx(np.mean(found), abs=0.01)


def test_the_right_third_scores_and_does_not_train(tmp_path):
    """White left two thirds, black right thirds: who never saw black paints it bright, where the mean colour is right."""
    pixels = np.full((90, 270, 3), 255, np.uint8)
    pixels[:, 180:] = 0
    Image.fromarray(pixels).save(tmp_path / "white_and_black.png")
    colour, model = scores(run(tmp_path, "--steps", 60, "--out", tmp_path / "mae.png"))
    assert colour > 30
    assert model < 10


@pytest.mark.parametrize("options", [("--normalize-targets",), ("--size", 32, "--patch", 8)])
def test_a_tiny_budget_of_seconds_is_enough_for_a_picture(options, tmp_path):
    done = run(SAMPLES, "--seconds", 2, "--out", tmp_path / "mae.png", *options)
    assert all(5 < score < 40 for score in scores(done))
    size = 32 if "--size" in options else 48
    assert Image.open(tmp_path / "mae.png").size == (2 * 10 * (size + 4), 2 * 4 * (size + 4))


def test_pictures_of_all_kinds_and_sizes(tmp_path):
    """Small, tall, gray, transparent and rotated ones, nested; what is no picture is passed over."""
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    random = np.random.default_rng(0)
    for name, mode, size in (
        ("a.png", "L", (40, 30)),
        ("deeper/b.PNG", "RGBA", (20, 200)),
        ("c.jpg", "RGB", (300, 90)),
    ):
        pixels = random.integers(0, 256, (size[1], size[0], len(mode)), dtype=np.uint8).squeeze()
        Image.fromarray(pixels).save(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    scores(run(tmp_path / "in", "--steps", 2, "--out", tmp_path / "mae.png"))


@pytest.mark.parametrize("kind", ["empty folder", "file", "nothing"])
def test_a_folder_without_pictures_is_one_sentence(kind, tmp_path):
    where = {"empty folder": tmp_path, "file": SAMPLES / "chelsea.jpg", "nothing": tmp_path / "nowhere"}[kind]
    done = run(where)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert str(where) in done.stderr
    assert "pictures" in done.stderr


def test_help_teaches():
    text = run("--help").stdout
    for word in ("Hide three quarters", "PSNR", "--seconds", "--normalize-targets", "--seed"):
        assert word in text


@pytest.mark.audit  # a minute of training, more on a busy machine
def test_a_minute_beats_the_mean_colour_by_2_decibels(tmp_path):
    done = run(SAMPLES, "--out", tmp_path / "mae.png")
    steps = int(re.findall(r"step (\d+)", done.stdout)[-1])
    colour, model = scores(done)
    print(f"mean colour {colour:.2f} dB, the model {model:.2f} dB after {steps} steps in a minute")
    if steps < A_MINUTE:  # a busy machine: the work of a minute on two quiet cores, in place of the minute
        colour, model = scores(run(SAMPLES, "--steps", A_MINUTE, "--out", tmp_path / "mae.png", seconds=1200))
        print(f"mean colour {colour:.2f} dB, the model {model:.2f} dB after {A_MINUTE} steps")
    assert model >= colour + 2
