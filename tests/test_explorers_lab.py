"""The reconstruction explorer in a real JupyterLab: a kernel, a front end, a reader at the keyboard."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from maelib.explorers import state

pytestmark = pytest.mark.audit
PICTURE = "img.maelib-role-picture"


@contextmanager
def jupyterlab(folder: Path, disabled: tuple[str, ...] = ()) -> Iterator[str]:
    """The address of a JupyterLab with one notebook in it, `explorer.ipynb`; `disabled` are extensions of its front end."""
    pytest.importorskip("jupyterlab")
    notebook = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell("from maelib.explorers import ReconstructionExplorer\nReconstructionExplorer()")
        ],
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    )
    nbformat.write(notebook, folder / "explorer.ipynb")
    settings = folder / "config" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps({"disabledExtensions": dict.fromkeys(disabled, True)}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += ["--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None"]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "s"),
    }
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def run_notebook(lab: str, browser):
    """The notebook in a browser, its one cell run."""
    page = browser.new_context(viewport={"width": 1400, "height": 1600}).new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{lab}/lab/tree/explorer.ipynb")
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    prompt = page.locator(".jp-Notebook .jp-InputPrompt").first
    for _ in range(60):  # the front end drops the command while the kernel is not there yet
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").first.click()
        page.keyboard.press("Control+Enter")
        page.wait_for_timeout(2000)
        if prompt.inner_text().strip() != "[ ]:":
            break
    return page


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """The notebook, run, with the explorer in sight."""
    with jupyterlab(tmp_path_factory.mktemp("lab")) as lab:
        page = run_notebook(lab, browser)
        page.locator(f"{PICTURE}, .jupyter-widgets-error-widget").first.wait_for()
        assert page.locator(".jupyter-widgets-error-widget").count() == 0
        yield page


def scores(page) -> str:
    return page.locator(".maelib-role-text").inner_text()


def wait_for(page, text: str) -> None:
    page.wait_for_function(
        "text => document.querySelector('.maelib-role-text')?.innerText.includes(text)", arg=text, timeout=60_000
    )


def test_a_slider_moves_the_picture_and_the_newest_state_wins(page):
    before, words = page.locator(PICTURE).get_attribute("src"), scores(page)
    assert "192 of 256" in words
    handle = page.locator(".maelib-role-ratio .noUi-handle")
    handle.focus()
    for _ in range(15):  # faster than anything can be computed
        page.keyboard.press("ArrowLeft")
    wait_for(page, f"{256 - int(256 * 0.4)} of 256 patches")
    assert page.locator(PICTURE).get_attribute("src") != before
    expected = state.reconstruction_of(state.embedded_model(), {"ratio": 60}).scores()["masked"]["psnr"]
    assert f"{expected:.2f} dB" in scores(page)


def test_a_square_pressed_hides_its_patches(page):
    page.locator(".maelib-cell").nth(9).click()
    wait_for(page, "4 of 256 patches")
    page.locator(".maelib-role-clear").click()
    wait_for(page, "154 of 256 patches")


def test_an_upload_that_is_no_picture_gives_a_sentence(page):
    with page.expect_file_chooser() as chosen:
        page.locator(".maelib-role-upload").click()
    chosen.value.set_files([{"name": "a.png", "mimeType": "image/png", "buffer": b"<b>no picture</b>"}])
    page.get_by_text(re.compile("is not a picture")).wait_for()
    page.locator(".maelib-role-sample button", has_text="rocket").click()
    page.wait_for_function("() => document.querySelector('.maelib-role-status').innerText.trim() === ''")


def test_it_looks_like_something(page):
    page.locator(".maelib-explorer").scroll_into_view_if_needed()
    box = page.locator(PICTURE).bounding_box()
    assert 300 < box["width"] < 420
    assert abs(box["width"] - box["height"]) < 2
    if folder := os.environ.get("MAELIB_SHOTS"):
        page.screenshot(path=f"{folder}/lab.png")


def test_without_the_widgets_front_end_the_plain_picture_is_shown(browser, tmp_path):
    with jupyterlab(tmp_path, disabled=("@jupyter-widgets/jupyterlab-manager",)) as lab:
        page = run_notebook(lab, browser)
        picture = page.locator(".jp-OutputArea-output img")
        picture.wait_for()
        assert picture.get_attribute("src").startswith("data:image/png")
        assert picture.bounding_box()["width"] > 300
        assert page.locator(".maelib-explorer").count() == 0
        if folder := os.environ.get("MAELIB_SHOTS"):
            page.screenshot(path=f"{folder}/lab-without-widgets.png")
