"""The web application without a browser: every control, uploads good and bad, models good and bad."""

import ast
import html
import json
import os
import re
import tomllib
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import maelib
from maelib import drawing
from maelib.app import settings
from maelib.cli import build_parser, main
from maelib.evaluation import PROTOCOLS
from maelib.explorers import state as explorer
from maelib.training.checkpoint import save_checkpoint
from maelib.weights import FORMAT

pytest.importorskip("streamlit")
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "maelib" / "app" / "page.py"


def page(monkeypatch=None, **environment):
    for name in settings.VARIABLES.values():
        if monkeypatch:
            monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app = AppTest.from_file(str(SCRIPT), default_timeout=60).run()
    assert not app.exception
    return app


def scores(app):
    """The table of scores as it is shown."""
    return next(element.value for element in app.html if "patches hidden" in element.value)


def expected(**state):
    model = maelib.load(state.pop("model", explorer.EMBEDDED))
    look = state.pop("look", None)
    result = explorer.reconstruction_of(model, explorer.DEFAULT | state)
    return explorer.scores_html(explorer.scores(result), int(result.mask.sum()), result.mask.size, look)


def png(size=(90, 60), seed=0):
    picture = Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8))
    return drawing.png(np.asarray(picture))


def test_first_page_shows_the_explorers_own_result():
    app = page()
    assert scores(app) == expected()
    assert [image.captions[0].split(":")[0] for image in app.image[:4]] == ["original", "masked", "raw", "pasted"]
    assert all(len(image.proto.imgs[0].alt) > 5 for image in app.image)
    assert not app.error
    assert not app.warning
    text = " ".join(element.value for element in app.markdown)
    for chapter in ("01_patches", "02_masking", "03_encoder", "04_decoder", "05_loss"):
        assert f"notebooks/{chapter}.html" in text
        assert (ROOT / "notebooks" / f"{chapter}.ipynb").exists()


def test_links_go_to_the_book():
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Documentation"]
    from maelib.app.text import BOOK

    assert address == BOOK


def test_every_control_changes_what_the_page_says():
    app = page()
    app.slider(key="ratio").set_value(40).run()
    assert scores(app) == expected(ratio=40)
    app.segmented_control(key="strategy").set_value("block").run()
    assert scores(app) == expected(ratio=40, strategy="block")
    app.number_input(key="seed").set_value(7).run()
    assert scores(app) == expected(ratio=40, strategy="block", seed=7)
    next(b for b in app.button if b.label == "New mask").click().run()
    assert app.session_state["seed"] == 8
    assert scores(app) == expected(ratio=40, strategy="block", seed=8)
    app.pills(key="sample").set_value("rocket").run()
    assert scores(app) == expected(ratio=40, strategy="block", seed=8, sample="rocket")
    app.pills(key="sample").set_value(None).run()  # the chosen one pressed again
    assert scores(app) == expected(ratio=40, strategy="block", seed=8, sample="rocket")
    app.slider(key="ratio").set_value(0).run()
    assert "0 of 256" in scores(app)
    assert not app.exception


@pytest.mark.parametrize("view", explorer.VIEWS)
def test_every_view_shows_its_pictures(view):
    app = page()
    app.segmented_control(key="view").set_value(view).run()
    shown = [image.captions[0] for image in app.image if "Black" not in image.captions[0]]
    assert len(shown) == (4 if view == "side by side" else 1)
    if view != "side by side":
        assert shown[0].startswith(view)


def test_mask_by_hand():
    app = page()
    app.segmented_control(key="strategy").set_value("hand").run()
    assert app.slider(key="ratio").disabled
    assert "0 of 256" in scores(app)
    app.pills(key="hand").set_value([0, 9, 63]).run()
    hand = "".join("01"[cell in (0, 9, 63)] for cell in range(64))
    assert scores(app) == expected(strategy="hand", hand=hand)
    app.segmented_control(key="strategy").set_value("random").run()
    app.segmented_control(key="strategy").set_value("hand").run()
    assert scores(app) == expected(strategy="hand", hand=hand)  # the squares are kept
    app.pills(key="hand").set_value(list(range(64))).run()
    assert "leave at least one visible" in app.warning[0].value
    assert scores(app) == expected(strategy="hand", hand=hand)  # the picture before it stays
    next(b for b in app.button if b.label == "Show everything").click().run()
    assert not app.warning
    assert "0 of 256" in scores(app)


def test_own_picture_and_back():
    app = page()
    app.file_uploader(key="upload").set_value(("mine.png", png(), "image/png")).run()
    own = explorer.own_picture(png(), maelib.load(explorer.EMBEDDED).config)
    assert scores(app) == expected(sample="own", own=own)
    app.pills(key="sample").set_value("coffee").run()
    assert scores(app) == expected(sample="coffee")
    app.file_uploader(key="upload").set_value(None).run()
    assert scores(app) == expected(sample="coffee")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<html>", "is not a picture"),
        (png()[:3000], "damaged or truncated"),
        (drawing.png(np.zeros((900, 1200, 3), np.uint8)), "1200 x 900 pixels, more than 1,000,000"),
        (b"x" * 2_100_000, "2.1 MB, more than 2.0 MB"),
    ],
    ids=["empty", "text", "truncated", "pixels", "bytes"],
)  # fmt: skip
def test_bad_upload_is_a_sentence_and_changes_nothing(content, message, monkeypatch):
    app = page(monkeypatch, MAELIB_APP_MAX_MEGAPIXELS="1", MAELIB_APP_MAX_MB="2")
    app.pills(key="sample").set_value("rocket").run()
    app.file_uploader(key="upload").set_value(("x.png", content, "image/png")).run()
    assert not app.exception
    assert message in app.error[0].value
    assert len(app.error) == 1
    assert scores(app) == expected(sample="rocket")
    app.slider(key="ratio").set_value(50).run()  # still usable, and the message still there
    assert scores(app) == expected(sample="rocket", ratio=50)
    app.file_uploader(key="upload").set_value(("y.png", png(), "image/png")).run()
    assert not app.error
    assert scores(app) != expected(sample="rocket", ratio=50)


def test_a_refused_upload_keeps_the_picture_of_the_reader():
    app = page()
    own = explorer.own_picture(png(), maelib.load(explorer.EMBEDDED).config)
    app.file_uploader(key="upload").set_value(("mine.png", png(), "image/png")).run()
    app.file_uploader(key="upload").set_value(("bad.png", b"no picture", "image/png")).run()
    assert "is not a picture" in app.error[0].value
    assert scores(app) == expected(sample="own", own=own)
    app.slider(key="ratio").set_value(50).run()
    assert scores(app) == expected(sample="own", own=own, ratio=50)
    app.file_uploader(key="upload").set_value(None).run()  # the refused file is taken away
    assert not app.error
    assert scores(app) == expected(sample="own", own=own, ratio=50)


def test_the_page_shows_its_title_before_it_loads_anything():
    """torch takes seconds to import: a visitor must not look at an empty page meanwhile."""
    body = ast.parse(SCRIPT.read_text()).body
    title = next(i for i, node in enumerate(body) if "st.title" in ast.unparse(node))
    loading = next(i for i, node in enumerate(body) if i and "maelib" in ast.unparse(node))  # 0 is the docstring
    assert title < loading


def test_name_of_a_file_is_shown_nowhere():
    app = page()
    hostile = "<img src=x onerror=alert(1)>![x](http://evil.example/x.png).png"
    for content in (png(), b"no picture"):
        app.file_uploader(key="upload").set_value((hostile, content, "image/png")).run()
        everything = [e.value for e in (*app.markdown, *app.html, *app.error, *app.caption, *app.warning)]
        assert not [text for text in everything if "evil" in text or "onerror" in text]


def test_checkpoint_by_its_path(tmp_path, small_model):
    path = maelib.save(small_model, tmp_path / "run" / "model.safetensors")
    app = page()
    app.selectbox(key="model").set_value("another checkpoint").run()
    for name in (path, path.parent):
        app.text_input(key="path").set_value(str(name)).run()
        assert not app.error
        assert scores(app) == expected(model=path)


@pytest.mark.filterwarnings("ignore:a checkpoint, not the end")
def test_a_stopped_run_is_shown_by_its_newest_checkpoint(tmp_path, small_model):
    state = {"format": FORMAT, "config": asdict(small_model.config), "model": small_model.state_dict(), "step": 7}
    saved = save_checkpoint(tmp_path / "checkpoints", 7, state)
    app = page()
    app.selectbox(key="model").set_value("another checkpoint").run()
    app.text_input(key="path").set_value(str(tmp_path)).run()
    assert not app.error
    assert scores(app) == expected(model=saved)
    torch.nn.init.zeros_(small_model.decoder.head.weight)  # it trains on
    newer = save_checkpoint(tmp_path / "checkpoints", 8, state | {"step": 8})
    app.run()
    assert scores(app) == expected(model=newer) != expected(model=saved)


def test_bad_checkpoint_is_a_sentence_and_the_embedded_model_stays(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"not weights at all")
    (tmp_path / "empty").mkdir()
    app = page()
    app.selectbox(key="model").set_value("another checkpoint").run()
    for name in ("bad.safetensors", "empty", "none.safetensors", "![x](http://evil.example/x.png)", "\0"):
        app.text_input(key="path").set_value(str(tmp_path / name)).run()
        assert not app.exception
        assert len(app.error) == 1
        assert "The embedded model stays in use" in app.error[0].value
        assert "![" not in app.error[0].value
        assert "://" not in app.error[0].value
        assert scores(app) == expected()


def test_operator_decides_which_models_there_are(tmp_path, small_model, monkeypatch):
    path = maelib.save(small_model, tmp_path / "model.safetensors")
    app = page(monkeypatch, MAELIB_APP_PATHS="off", MAELIB_APP_MODELS=str(path))
    assert app.selectbox(key="model").options == [f"{explorer.EMBEDDED} (embedded)", str(path)]
    app.selectbox(key="model").set_value(str(path)).run()
    assert scores(app) == expected(model=path)
    app = page(monkeypatch, MAELIB_APP_MODELS="")
    assert "another checkpoint" in app.selectbox(key="model").options  # whoever sits at the machine


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [("MAELIB_APP_MAX_MB", "many", "must be a number"), ("MAELIB_APP_MAX_MB", "nan", "must be above 0"),
     ("MAELIB_APP_MAX_MEGAPIXELS", "0", "must be above 0"), ("MAELIB_APP_PATHS", "yes", "must be on or off")],
)  # fmt: skip
def test_wrong_settings_are_a_sentence(variable, value, message, monkeypatch):
    app = page(monkeypatch, **{variable: value})
    assert message in app.error[0].value


def test_settings_survive_the_environment(monkeypatch):
    chosen = settings.Settings(("a", "b"), 3.5, 12.0, False)
    for name, value in chosen.to_environment().items():
        monkeypatch.setenv(name, value)
    assert settings.Settings.from_environment() == chosen


def test_sessions_share_one_model_and_one_thread(monkeypatch):
    opened = []
    real = settings.open_model
    monkeypatch.setattr(settings, "open_model", lambda name: opened.append(name) or real(name))
    import streamlit

    streamlit.cache_resource.clear()
    for _ in range(3):
        page().slider(key="ratio").set_value(50).run()
    assert opened == [explorer.EMBEDDED]


def test_uploads_stay_in_memory():
    from starlette.formparsers import MultiPartParser

    page()
    assert MultiPartParser.spool_max_size > explorer.MAX_BYTES


def test_report_holds_what_is_shown():
    state = explorer.DEFAULT | {"ratio": 60, "seed": 3}
    result = explorer.reconstruction_of(maelib.load(explorer.EMBEDDED), state)
    record = json.loads(settings.report(result, state, "/secret/place/model.safetensors"))
    assert record["scores"] == json.loads(json.dumps(explorer.scores(result)))
    assert record["protocols"]["masked"] == PROTOCOLS["masked"]
    assert (np.array([[c == "1" for c in row] for row in record["mask"]]) == result.mask).all()
    errors = np.array(record["hidden_patch_rmse"]["values"])
    assert (errors[~result.mask] == 0).all()
    pooled = np.sqrt(np.square(errors[result.mask]).mean())  # the mean over patches is that over their pixels
    assert -20 * np.log10(pooled) == pytest.approx(record["scores"]["model"]["masked"]["psnr"], abs=0.02)
    assert "/secret" not in json.dumps(record)


def test_markdown_from_elsewhere_stands_for_itself():
    from maelib.app.text import plain

    text = plain("a *b* [c](http://x) <i> $x$ `d` :red[e] | ~f~ #g")
    assert not re.search(r"(?<!\\)[*\[\]<>$`|~#]", text)
    assert "://" not in text
    assert html.unescape(text.replace("\\", "")) == "a *b* [c](http://x) <i> $x$ `d` :red[e] | ~f~ #g"


def test_command_starts_streamlit_with_its_options(monkeypatch, tmp_path, small_model):
    path = maelib.save(small_model, tmp_path / "model.safetensors")
    called = []
    monkeypatch.setattr("os.execv", lambda program, command: called.append(command))
    for name in settings.VARIABLES.values():
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # the operator's own choice stays
    monkeypatch.setenv("OMP_WAIT_POLICY", "")
    monkeypatch.delenv("OMP_WAIT_POLICY")
    assert main(["app", "--host", "0.0.0.0", "--port", "8080", "--model", str(path), "--max-mb", "5"]) == 0
    for flag in ("--server.address=0.0.0.0", "--server.port=8080", "--server.maxUploadSize=5"):
        assert flag in called[0]
    assert "--browser.gatherUsageStats=false" in called[0]
    assert settings.Settings.from_environment() == settings.Settings((str(path),), 5.0, 64.0, False)
    assert (os.environ["OMP_NUM_THREADS"], os.environ["OMP_WAIT_POLICY"]) == ("7", "PASSIVE")
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert main(["app"]) == 0
    assert settings.Settings.from_environment().paths  # the visitor sits at this machine
    assert int(os.environ["OMP_NUM_THREADS"]) <= 2, "it leaves the other cores to others"
    assert Path(called[1][called[1].index("run") + 1]) == SCRIPT


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [(["--model", "nowhere"], 1, "no weights 'nowhere'"), (["--max-mb", "-1"], 2, "max_mb must be above 0"),
     (["--max-megapixels", "nan"], 2, "max_megapixels must be above 0")],
)  # fmt: skip
def test_command_refuses_what_cannot_be_served(arguments, status, message, monkeypatch, capsys):
    monkeypatch.setattr("os.execv", lambda *_: pytest.fail("started"))
    assert main(["app", *arguments]) == status
    assert message in capsys.readouterr().err


def test_deployment_page_fits_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "book/app-requirements.txt").read_text().replace("\\\n", "").splitlines()  # pip joins them too
    wanted = f"maelib[app] @ git+{project['urls']['Repository']}@v{maelib.__version__}"
    assert [line for line in lines if not line.startswith(("#", "--"))] == [wanted]
    assert "app" in project["optional-dependencies"]
    page = (ROOT / "book/app.md").read_text()
    for name in settings.VARIABLES.values():
        assert name in page
    parser = build_parser()
    for file in ("app.Dockerfile", "maelib-app.service"):
        text = (ROOT / "book" / file).read_text().replace("\\\n", "")  # a command over several lines
        assert file in page
        words = (
            re.search(r"maelib app .*|\"maelib\", \"app\".*(?=])", text)[0].replace('"', "").replace(",", "").split()
        )
        args = parser.parse_args(words[1:])  # SystemExit on an option that there is not
        assert args.no_browser
    assert re.search(r"client_max_body_size 21m", (ROOT / "book/maelib-app.nginx").read_text())
    assert "--max-mb 20" in (ROOT / "book/maelib-app.service").read_text()


def test_settings_of_streamlit_travel_with_the_page():
    config = tomllib.loads((SCRIPT.parent / ".streamlit/config.toml").read_text())
    assert config["browser"]["gatherUsageStats"] is False
    assert config["client"]["showErrorDetails"] == "none"
    assert config["server"]["maxUploadSize"] == explorer.MAX_BYTES // 10**6
