"""The web application in a real browser: upload, slider, download, many visitors at once, no other host."""

import io
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maelib.app.settings import VARIABLES
from maelib.drawing import GAP, png
from maelib.explorers.state import EMBEDDED

pytest.importorskip("streamlit")
pytestmark = pytest.mark.audit
ROOT = Path(__file__).parent.parent
FILE_LIMIT = 500_000  # bytes of any file the server may write: an upload that touched a disk would fail


def no_large_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of `maelib app` and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log.txt"
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES.values()}
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "maelib", "app", "--port", str(port), "--no-browser"], stdout=out, stderr=out,
            cwd=log.parent, env=environment, preexec_fn=no_large_files,
        )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2)
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                time.sleep(0.5)
        yield address, process
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def page(browser, server):
    """The application, open; at the end: no request to another host, no error in the console."""
    context = browser.new_context(viewport={"width": 1300, "height": 950})
    page = context.new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    visit(page, server[0])
    yield page
    context.close()
    foreign = [url for url in requests if not url.startswith((server[0], "data:", "blob:"))]
    assert not foreign
    assert not errors


def visit(page, address):
    page.goto(address)
    page.locator(".st-key-four img").nth(3).wait_for(timeout=60_000)
    page.get_by_text("192 of 256 patches hidden").wait_for(timeout=60_000)


def large_png():
    """Noise of 1200 x 1000 pixels: 3.6 MB."""
    pixels = np.random.default_rng(0).integers(0, 255, (1000, 1200, 3), dtype=np.uint8)
    return png(pixels)


def slider(page):
    return page.get_by_role("slider").first


def test_slider_moves_the_picture(page):
    before = page.locator(".st-key-four img").nth(1).get_attribute("src")
    slider(page).focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("195 of 256 patches hidden").wait_for()
    page.wait_for_function(f"document.querySelectorAll('.st-key-four img')[1].src != location.origin + {before!r}")
    assert slider(page).get_attribute("aria-label")
    for image in page.locator(".st-key-four img").all():
        assert "195 of 256" in image.get_attribute("alt")


def test_squares_by_hand(page):
    page.get_by_text("by hand", exact=True).click()
    page.get_by_text("0 of 256 patches hidden").wait_for()
    page.get_by_role("button", name="row 1, column 1", exact=True).click()
    page.get_by_text("4 of 256 patches hidden").wait_for()
    boxes = [
        page.get_by_role("button", name=f"row {r}, column {c}", exact=True).bounding_box()
        for r, c in ((1, 1), (1, 8), (8, 1))
    ]
    assert boxes[0]["y"] == pytest.approx(boxes[1]["y"], abs=1)  # eight by eight
    assert boxes[0]["x"] == pytest.approx(boxes[2]["x"], abs=1)


def test_upload_and_downloads(page, tmp_path):
    before = page.evaluate("document.querySelectorAll('.st-key-four img')[0].src")
    hostile = "<img src=x onerror=document.title='gotcha'>.png"
    page.locator("input[type=file]").set_input_files({"name": hostile, "mimeType": "image/png", "buffer": large_png()})
    page.wait_for_function(f"document.querySelectorAll('.st-key-four img')[0].src != {before!r}")
    page.wait_for_timeout(1000)
    with page.expect_download() as download:
        page.get_by_text("Scores (JSON)").click()
    record = json.loads(Path(download.value.path()).read_text())
    assert record["picture"] == "own"
    shown = page.locator(".maelib-scores").inner_text()
    assert f"{record['scores']['model']['masked']['psnr']:.2f} dB" in shown
    assert "SSIM" in shown
    with page.expect_download() as download:
        page.get_by_text("This view").click()
    assert download.value.suggested_filename == "reconstruction-192-of-256-side-by-side.png"
    side = 4 * (2 * 64 + GAP)
    assert Image.open(io.BytesIO(Path(download.value.path()).read_bytes())).size == (side, side)
    with page.expect_download() as download:
        page.get_by_text("All, with scores").click()
    assert Image.open(download.value.path()).width > 1000
    assert page.title() != "gotcha"
    assert page.locator("img[src=x]").count() == 0
    page.locator("input[type=file]").set_input_files(
        {"name": "b.png", "mimeType": "image/png", "buffer": b"no picture"}
    )
    page.get_by_text("The upload is not a picture").wait_for()


@pytest.mark.parametrize("width", [400, 1300])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_the_window_and_is_accessible(browser, server, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    visit(page, server[0])
    assert page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth") <= width
    page.wait_for_timeout(1000)
    found = Axe().run(page).response["violations"]
    serious = [v for v in found if v["impact"] in ("serious", "critical")]
    print(f"{width} px, {scheme}: " + ", ".join(f"{v['id']} ({v['impact']}, {len(v['nodes'])})" for v in found))
    page.close()
    assert not [v["id"] for v in serious]


def resident(process):
    """MB of memory in use."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def test_eight_visitors_share_one_model(browser, server):
    address, process = server
    pages = [browser.new_context().new_page() for _ in range(8)]
    visit(pages[0], address)
    before = resident(process)
    for page in pages[1:]:
        visit(page, address)
    for i, page in enumerate(pages):  # all at once
        slider(page).focus()
        for _ in range(i + 1):
            page.keyboard.press("ArrowLeft")
    for i, page in enumerate(pages):
        hidden = 256 - int(256 * (1 - (75 - i - 1) / 100))
        page.get_by_text(f"{hidden} of 256 patches hidden").wait_for(timeout=30_000)
    grown = resident(process) - before
    one = (ROOT / "data/weights" / f"{EMBEDDED}.safetensors").stat().st_size
    print(f"eight visitors: {grown:.0f} MB more than one; the weights have {one / 1e6:.0f} MB in their file")
    assert grown < 150
    for page in pages:
        page.context.close()


WATCH = """() => { window.moves = []; let start = 0, seen = '';
  document.addEventListener('keydown', () => { start = performance.now(); }, true);
  new MutationObserver(() => {
    const image = document.querySelectorAll('.st-key-four img')[3];
    if (image && image.src !== seen) { seen = image.src; if (start) {
      const from = start; start = 0; image.decode().finally(() => window.moves.push(performance.now() - from)); } }
  }).observe(document.body, {subtree: true, childList: true, attributes: true, attributeFilter: ['src']}); }"""


def test_time_of_a_slider_move(page):
    """From the key to the decoded picture. Printed; it fails nothing, since it depends on the machine."""
    page.evaluate(WATCH)
    slider(page).focus()
    for count in range(1, 21):
        page.keyboard.press("ArrowLeft")
        page.wait_for_function(f"window.moves.length >= {count}", timeout=30_000)
        page.wait_for_timeout(300)
    times = page.evaluate("window.moves")
    print(f"slider move to picture: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms")
    assert len(times) == 20
