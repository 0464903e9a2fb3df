"""Explorers: pure renders that agree with the package, controls that all count, uploads that cannot break them."""

import base64
import datetime
import io
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT
from PIL import Image

import maelib
from maelib import explorers
from maelib.datasets import sample_path
from maelib.drawing import COLOURS
from maelib.explorers import ReconstructionExplorer
from maelib.explorers import state as explorer_state
from maelib.explorers.attention import attention_maps

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
FRAMES = [name for name in explorers.__all__ if name != "ReconstructionExplorer"]


def same(a, b) -> bool:
    return (
        a.text == b.text
        and a.scores == b.scores
        and all(np.array_equal(a.pictures[role], b.pictures[role]) for role in a.pictures)
    )


def picture_file(size=(90, 60), kind="PNG") -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(file, kind)
    return file.getvalue()


def upload(explorer, content: bytes) -> None:
    """What the front end does when the reader chooses a file."""
    about = {"name": "<b>mine</b>.png", "type": "image/png", "size": len(content)}
    if isinstance(explorer.upload.value, dict):  # ipywidgets 7
        explorer.upload.metadata, explorer.upload.data = [about], [content]
        explorer.upload._counter += 1
    else:
        explorer.upload.value = ({**about, "content": memoryview(content), "last_modified": NOW},)


@pytest.mark.parametrize("name", explorers.__all__)
def test_render_is_pure_and_every_control_counts(name):
    explorer = getattr(explorers, name)()
    start = explorer.state()
    assert json.loads(json.dumps(start)) == start
    first = explorer.render(start)
    assert first.pictures.keys() == explorer.images.keys()
    states = explorer.published_states()
    assert start in states
    for role, control in explorer.controls.items():
        values = [option[1] if isinstance(option, tuple) else option for option in getattr(control, "options", ())]
        values = values or [control.min, control.max]
        results = [explorer.render(start | {role: value}) for value in values]
        assert any(not same(first, other) for other in results), f"{role} changes nothing"
    assert same(first, explorer.render(start)), "the same state gives the same result, whatever came between"


@pytest.mark.parametrize("name", FRAMES)
def test_the_published_states_are_all_that_the_controls_reach(name):
    explorer = getattr(explorers, name)()
    states = explorer.published_states()
    assert len({json.dumps(state) for state in states}) == len(states) < 1100
    for state in (states[0], states[len(states) // 3], states[-1]):
        explorer.choose(state)
        assert explorer.state() == state
        for role, picture in explorer.render(state).pictures.items():
            shown = np.asarray(Image.open(io.BytesIO(explorer.images[role].value)))
            assert np.array_equal(shown, picture)


@pytest.mark.parametrize("strategy", ["random", "block", "grid", "half"])
def test_the_state_is_what_the_package_reconstructs(strategy):
    model = explorer_state.embedded_model()
    r = explorer_state.reconstruction_of(model, {"sample": "coffee", "ratio": 60, "seed": 7, "strategy": strategy})
    expected = maelib.reconstruct(model, sample_path("coffee"), 0.6, 7, strategy=strategy)
    assert np.array_equal(r.mask, expected.mask)
    np.testing.assert_allclose(r.raw, expected.raw, atol=1e-6)
    found = explorer_state.scores(r)
    assert found["model"] == r.scores()
    views = explorer_state.views(r)
    assert views.keys() == set(explorer_state.VIEWS)
    visible = ~r.hidden
    assert np.array_equal(views["pasted"][visible], views["original"][visible])
    assert (views["error"][visible] == COLOURS[0]).all()


def test_attention_maps_are_what_the_encoder_mixes_its_values_by(small_model):
    """The maps, applied to the values by hand, give what the layer itself gives."""
    images, seen = torch.rand(3, 3, 32, 32), []
    blocks = small_model.encoder.blocks
    hooks = [
        b.attention.register_forward_hook(lambda _, inputs, output: seen.append((*inputs, output))) for b in blocks
    ]
    maps = attention_maps(small_model, images)
    assert maps.shape == (3, 2, 2, 17, 17)
    torch.testing.assert_close(maps.sum(dim=4), torch.ones(3, 2, 2, 17))
    for block, there, (x, output) in zip(blocks, maps.unbind(1), seen, strict=True):
        with torch.inference_mode():
            values = block.attention.qkv(x)[..., 64:].unflatten(2, (2, 16)).transpose(1, 2)  # (B, h, 1 + N, d)
            mixed = block.attention.output((there @ values).transpose(1, 2).flatten(2))
        torch.testing.assert_close(mixed, output)
    for hook in hooks:
        hook.remove()
    assert not any(block.attention._forward_pre_hooks for block in blocks), "the maps leave no hook behind"
    torch.testing.assert_close(attention_maps(small_model, images[1:2])[0], maps[1])


def test_a_mask_by_hand_hides_its_squares():
    explorer = ReconstructionExplorer()
    explorer.cells[9].value = True  # row 2, column 2
    assert explorer.controls["strategy"].value == "hand"
    assert explorer.controls["ratio"].disabled
    grid = explorer.model.config.grid
    mask = explorer_state.masking_of(explorer.state(), grid).mask.reshape(grid)
    under = explorer_state.square_of_patches(grid) == 9
    assert np.array_equal(mask, under)
    assert len(explorer.state()["hand"]) == grid[0] * grid[1]
    explorer.choose({"hand": "1" * 63 + "0"})
    before = explorer.images["picture"].value
    explorer.cells[63].value = True
    assert "at least one visible" in explorer.status.value
    assert explorer.images["picture"].value == before
    explorer.cells[63].value = False
    assert explorer.status.value == ""
    explorer.clear.click()
    assert "1" not in explorer.state()["hand"]
    assert explorer.controls["strategy"].value == "random"
    assert not explorer.controls["ratio"].disabled
    seed = explorer.controls["seed"].value
    explorer.renew.click()
    assert explorer.controls["seed"].value == seed + 1


def test_a_mask_patch_by_patch_survives_and_a_square_fills_its_patches():
    explorer = ReconstructionExplorer()
    grid = explorer.model.config.grid
    wanted = np.random.default_rng(0).random(grid) < 0.5
    explorer.choose({"strategy": "hand", "hand": explorer_state.hand_of(wanted)})
    assert np.array_equal(explorer_state.hidden_by_hand(explorer.state()["hand"], grid), wanted)
    square = next(i for i, cell in enumerate(explorer.cells) if not cell.value)
    explorer.cells[square].value = True
    wanted = wanted | (explorer_state.square_of_patches(grid) == square)
    assert np.array_equal(explorer_state.hidden_by_hand(explorer.state()["hand"], grid), wanted)
    assert explorer_state.hand_of(np.zeros(grid, bool)) == ""


@pytest.mark.parametrize("grid", [(16, 16), (8, 8), (14, 14), (6, 6), (5, 20)])
def test_a_state_of_64_characters_is_still_read(grid):
    """What earlier versions wrote: 8 x 8 squares over the patches."""
    squares = np.random.default_rng(1).integers(0, 2, (8, 8))
    hidden = explorer_state.hidden_by_hand("".join(map(str, squares.flatten())), grid)
    for r in range(grid[0]):
        for c in range(grid[1]):
            assert hidden[r, c] == squares[int(r * 8 / grid[0]), int(c * 8 / grid[1])]


def test_the_film_stops_when_the_mask_is_made_by_hand():
    explorer = ReconstructionExplorer()
    playing = "playing" if "playing" in explorer.play.traits() else "_playing"
    setattr(explorer.play, playing, True)
    explorer.cells[0].value = True
    assert not getattr(explorer.play, playing)


def test_the_film_opens_before_training_and_its_player_follows_the_slider():
    explorer = explorers.LearningExplorer()
    assert explorer.state() == {"frame": 0}
    assert "before training" in explorer.text.value
    assert "<svg" in explorer.text.value
    explorer.controls["frame"].value = 2
    assert explorer.play.value == 2
    assert "before training" not in explorer.text.value


def test_nothing_hidden_has_no_score_of_hidden_pixels():
    explorer = ReconstructionExplorer()
    explorer.choose({"ratio": 0})
    for state in (explorer.state(), explorer.state() | {"strategy": "hand"}):
        rendered = explorer.render(state)
        assert not [name for name, value in rendered.scores.items() if name.endswith("psnr") and value is not None]
        assert "Nothing is hidden" in rendered.text
        assert "100" not in rendered.text
    assert "0 of 256" in explorer.text.value


def huge() -> bytes:
    """A PNG that says it has 10,000 x 10,000 pixels."""
    file = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"<script>alert(1)</script>", "is not a picture"),
        (b"", "is empty"),
        (picture_file(kind="JPEG")[:900], "damaged or truncated"),
        (huge(), "more than 64,000,000"),
    ],
    ids=["text", "empty", "truncated", "100 megapixels"],
)
def test_a_bad_upload_gives_a_sentence_and_breaks_nothing(content, sentence):
    explorer = ReconstructionExplorer()
    state, picture = explorer.state(), explorer.images["picture"].value
    upload(explorer, content)
    assert sentence in explorer.status.value
    assert "<script" not in explorer.status.value
    assert explorer.state() == state
    assert explorer.images["picture"].value == picture
    upload(explorer, picture_file())
    assert explorer.status.value == ""
    assert explorer.state()["sample"] == "own"
    assert explorer.images["picture"].value != picture
    assert not explorer.upload.value, "the file must not travel with the notebook"
    explorer.controls["sample"].value = "chelsea"
    assert explorer.state() == state


def test_an_own_picture_is_the_one_that_the_package_reads():
    content = picture_file((300, 200))
    model = explorer_state.embedded_model()
    state = {"sample": "own", "own": explorer_state.own_picture(content, model.config)}
    np.testing.assert_allclose(
        explorer_state.reconstruction_of(model, state).original, maelib.reconstruct(model, content).original, atol=1e-6
    )
    with pytest.raises(ValueError, match="upload one first"):
        explorer_state.check({"sample": "own"}, (16, 16))


@pytest.mark.parametrize(
    "wrong", [{"ratio": 96}, {"strategy": "magic"}, {"view": "x"}, {"sample": "x"}, {"hand": "01"}, {"colour": 1}]
)
def test_a_state_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        explorer_state.check(wrong, (16, 16))


def test_the_saved_picture_is_the_shown_one_enlarged():
    explorer = ReconstructionExplorer()
    explorer.choose({"view": "pasted"})
    link = explorer.save.value.split("base64,")[1].split('"')[0]
    saved = np.asarray(Image.open(io.BytesIO(base64.b64decode(link))))
    assert np.array_equal(saved[::4, ::4], explorer.render(explorer.state()).pictures["picture"])


@pytest.mark.parametrize("name", explorers.__all__)
def test_a_plain_picture_stands_beside_the_widget(name):
    bundle = getattr(explorers, name)()._bundle()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))))
    assert picture.shape[0] >= 240
    assert picture.std() > 10


def test_importing_the_package_stays_light():
    code = "import sys, maelib, maelib.explorers; print({'ipywidgets', 'matplotlib', 'torchvision'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.audit
def test_ipywidgets_7(tmp_path):
    """These tests once more, with the version that Colab had."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        tmp_path,
        "ipywidgets==7.7.1",
        "ipython_genutils",
    ]
    if subprocess.run(pip, capture_output=True).returncode:
        pytest.skip("ipywidgets 7.7.1 cannot be installed: offline?")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport ipywidgets, pytest\n"
        "assert ipywidgets.__version__ == '7.7.1'\n"
        f"sys.exit(pytest.main(['-q', '-x', '-p', 'no:cacheprovider', '-m', 'not audit', {str(__file__)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
