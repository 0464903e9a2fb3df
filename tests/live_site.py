"""A small book that holds every explorer on one page in a sub-folder, and what tests do with it in a browser."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from conftest import ROOT
from PIL import Image

sys.path.insert(0, str(ROOT / "book" / "_ext"))
CONF = """
import sys
sys.path.insert(0, {extensions!r})
project, extensions, html_theme = "live", ["myst_nb", "live"], "sphinx_book_theme"
myst_enable_extensions = ["colon_fence"]
nb_execution_mode, nb_ipywidgets_js = "off", {{}}
live_cache = {cache!r}
html_context, html_favicon = {{"default_mode": "auto"}}, {icon!r}
"""
BY_HAND = {"strategy": "hand", "hand": "01" * 8 + "0" * 48, "sample": "coffee"}  # of the stored notebook
VIEW = "application/vnd.jupyter.widget-view+json"
NAMES = ("patch", "position", "mask", "attention", "learning", "reconstruction")
ALL = ".maelib-live, .maelib-pair"
PIXELS = """async ([place, role]) => {
  const picture = document.querySelectorAll('.maelib-live, .maelib-pair')[place].querySelector(`.maelib-role-${role}`);
  await picture.decode();
  const canvas = new OffscreenCanvas(picture.naturalWidth, picture.naturalHeight);
  const context = canvas.getContext('2d');
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.height, canvas.width, Array.from(data).map((v) => String.fromCharCode(v)).join('')];
}"""

# What a canvas shows, one value a pixel of the model: the middle of each.
SHOWN = """([name, high, wide]) => {
  const canvas = document.querySelector(`.maelib-pair .${name} canvas`), out = [];
  const pen = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d', { willReadFrequently: true });
  pen.drawImage(canvas, 0, 0);
  const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
  for (let y = 0; y < high; y++) for (let x = 0; x < wide; x++) {
    const at = Math.floor((y + 0.5) * canvas.height / high) * canvas.width + Math.floor((x + 0.5) * canvas.width / wide);
    out.push(data[4 * at], data[4 * at + 1], data[4 * at + 2]);
  }
  return out;
}"""


def write_site(folder: Path, cache: Path | None = None) -> Path:
    """Sources of the small book: a page without explorers, and one in a sub-folder with all, one of them twice."""
    (folder / "deep").mkdir(parents=True)
    conf = CONF.format(
        extensions=str(ROOT / "book" / "_ext"),
        cache=cache and str(cache),
        icon=str(ROOT / "book" / "images" / "logo.svg"),
    )
    (folder / "conf.py").write_text(conf)
    (folder / "index.md").write_text("# Nothing to play with\n\n```{toctree}\ndeep/all\ndeep/stored\none\n```\n")
    write_notebook(folder / "deep" / "stored.ipynb")
    (folder / "one.md").write_text("# One of them\n\n```{explorer} reconstruction\n```\n")
    explorers = "\n\n".join(f"## {name}\n\n```{{explorer}} {name}\n```" for name in (*names(), "mask"))
    (folder / "deep" / "all.md").write_text(f"# All of them\n\n{explorers}\n")
    return folder


def write_notebook(path: Path) -> None:
    """A notebook as it is stored after a reader moved an explorer, with a widget of another kind beside it."""
    import nbformat
    from ipywidgets import IntSlider
    from ipywidgets.embed import dependency_state

    from maelib.explorers import MaskExplorer, ReconstructionExplorer

    explorer, by_hand, other = MaskExplorer(), ReconstructionExplorer(), IntSlider(3, 0, 9, description="other")
    explorer.controls["ratio"].value = 30
    by_hand.choose(BY_HAND)
    cells = [nbformat.v4.new_markdown_cell("# Stored", id="title")]
    for i, widget in enumerate((explorer, by_hand, other)):
        data = {VIEW: {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}, "text/plain": "widget"}
        output = nbformat.v4.new_output("execute_result", data, execution_count=1)
        cells.append(nbformat.v4.new_code_cell("show()", id=f"cell{i}", outputs=[output], execution_count=1))
    state = dependency_state([explorer, by_hand, other], drop_defaults=False)
    widgets = {VIEW.replace("view", "state"): {"version_major": 2, "version_minor": 0, "state": state}}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "widgets": widgets}), path)


def build_site(folder: Path, cache: Path | None = None, weights: Path | None = None) -> Path:
    """The pages of the small book, built strictly; `weights` stand in for those that are shipped."""
    write_site(folder / "source", cache)
    arguments = ["-q", "-W", "-n", str(folder / "source"), str(folder / "html")]
    call = f"from sphinx.cmd.build import main; sys.exit(main({arguments!r}))"
    embedded = f"from maelib.explorers import state; state.EMBEDDED = {str(weights)!r}; " if weights else ""
    done = subprocess.run([sys.executable, "-c", f"import sys; {embedded}{call}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "html"


def names() -> list[str]:
    """The explorers that can be built: learning needs a recorded run."""
    return [name for name in NAMES if name != "learning" or (ROOT / "data" / "frames").is_dir()]


class Watched:
    """A page and everything that it asked for or complained about."""

    def __init__(self, browser: Any, url: str, **options: Any):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        self.page.on("console", lambda m: m.type in ("error", "warning") and self.complaints.append(m.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.host = url.split("/")[2]
        self.page.goto(url)
        self.page.wait_for_function(
            "(all) => document.querySelectorAll(all).length &&"
            " [...document.querySelectorAll(all)].every((place) => place.dataset.state)",
            arg=ALL,
        )

    def place(self, i: int) -> Any:
        return self.page.locator(ALL).nth(i)

    def count(self, i: int) -> int:
        return int(self.place(i).get_attribute("data-count") or 0)

    def after(self, i: int, state: str, action: Any, timeout: float = 30_000) -> None:
        """Act, and wait until the explorer has reached a state since."""
        self.page.wait_for_function("([all, i]) => !document.querySelectorAll(all)[i].driver?.busy", arg=[ALL, i])
        before = self.count(i)
        action()
        self.page.wait_for_function(
            "([all, i, before, state]) => { const { dataset, driver } = document.querySelectorAll(all)[i];"
            " return Number(dataset.count ?? 0) > before && dataset.state === state && !driver?.busy; }",
            arg=[ALL, i, before, state],
            timeout=timeout,
        )

    def pixels(self, i: int, role: str = "picture") -> np.ndarray:
        """(H, W, 3) uint8 as the browser shows it."""
        height, width, text = self.page.evaluate(PIXELS, [i, role])
        return np.frombuffer(text.encode("latin-1"), np.uint8).reshape(height, width, 4)[..., :3]

    def text(self, i: int) -> str:
        return self.place(i).locator(".maelib-role-text").inner_text()

    def foreign(self) -> list[str]:
        return [
            url for url in self.requests if url.split("/")[2] != self.host and not url.startswith(("data:", "blob:"))
        ]

    def assert_clean(self) -> None:
        assert self.foreign() == []
        assert self.complaints == []


def shown(watched: Watched, which: str = "paints") -> np.ndarray:
    """(H, W, 3) uint8 as a canvas of the first pair shows it, when all has been drawn."""
    from maelib.explorers.state import embedded_model

    watched.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    high, wide = embedded_model().config.hw
    return np.array(watched.page.evaluate(SHOWN, [which, high, wide]), np.uint8).reshape(high, wide, 3)


def picture_file(path: Path, size: tuple[int, int] = (200, 140)) -> Path:
    """A photograph-like file to upload."""
    y, x = np.indices((size[1], size[0]))
    pixels = np.stack([x * 255 // size[0], y * 255 // size[1], (x + y) * 3 % 256], -1).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def wire_bytes(page: Any) -> int:
    """Bytes that the page has received, headers aside."""
    return page.evaluate(
        "() => [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
        ".reduce((sum, entry) => sum + entry.encodedBodySize, 0)"
    )


def painted_as_in_the_page(state: dict[str, Any]) -> Any:
    """The `Reconstruction` of a state from the very graph that the page loads, run by Python's onnxruntime."""
    from live_assets import PRECISION

    from maelib.evaluation import Reconstruction
    from maelib.explorers import state as explorer

    model = explorer.embedded_model()
    empty, masking = (
        explorer.unfilled(state, model.config),
        explorer.masking_of(explorer.DEFAULT | state, model.config.grid),
    )
    inputs = {"images": empty.original.transpose(2, 0, 1)[None].copy()}
    inputs |= {"visible": masking.visible.numpy(), "hidden": masking.hidden.numpy()}
    (pixels,) = _session(id(model), PRECISION).run(None, inputs)
    return Reconstruction(empty.original, pixels[0].transpose(1, 2, 0), empty.mask)


@cache
def _session(model: int, precision: str) -> Any:
    """A session for the embedded model; its id makes another one where a test puts another in its place."""
    import onnxruntime

    from maelib.explorers.state import embedded_model
    from maelib.interop.onnx import onnx_bytes

    return onnxruntime.InferenceSession(onnx_bytes(embedded_model(), precision), providers=["CPUExecutionProvider"])
