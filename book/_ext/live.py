"""Explorers in the published pages, without a kernel.

A page gets an explorer by the directive ` ```{explorer} mask `, or because its notebook shows one. Either way its state is
made anew from the Python class when the book is built, so that it always fits the weights; a notebook's explorer keeps
the controls as the notebook left them. Pages without widgets load nothing of this.
"""

import html
import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes
from live_assets import EXPLORERS, FOLDER, ROOT, build, explorer_class, widget_state
from live_assets import VIEWS as VIEWS_OF_PAIR
from PIL import Image
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

STATE, VIEW = (f"application/vnd.jupyter.widget-{what}+json" for what in ("state", "view"))
VIEWS = re.compile(rf'<script type="{re.escape(VIEW)}">(.*?)</script>', re.DOTALL)
PLACE = re.compile(r'<div class="maelib-place" data-explorer="(\w+)"></div>')
CLASS = "maelib-explorer-"
NO_SCRIPT = "With JavaScript on, you could hide parts of this picture here and watch a small network paint them."
TITLES = {
    "patch": "What a patch holds",
    "position": "How alike positions are",
    "mask": "What a mask leaves",
    "attention": "Where a patch looks",
    "learning": "A training run as a film",
    "reconstruction": "Hide parts of a picture, and see them painted",
}


class ExplorerDirective(SphinxDirective):
    """An explorer in a Markdown page, by its short name."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in EXPLORERS:
            raise self.error(f"no explorer {name!r}; there are: {', '.join(EXPLORERS)}")
        place = f'<div class="maelib-place" data-explorer="{name}"></div>'
        return [nodes.raw("", place, format="html")]


def build_assets(app: Sphinx, config: Config) -> None:
    """Late, when Jupyter Book has looked through the static folders: it would put every script below them on all pages."""
    cache = Path(config.live_cache or ROOT / "_build" / "live")
    files = build(cache)
    for key, file in files.items():
        if key.startswith("plain-"):
            with Image.open(cache / "static" / FOLDER / file["name"]) as picture:
                file["pixels"] = picture.size
    app.live_files = files  # type: ignore[attr-defined]
    config.html_static_path.append(str(cache / "static"))


def outdated(app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]) -> list[str]:
    """New files have new names: pages that were written with the old ones are written again."""
    names = sorted(file["name"] for file in app.live_files.values())  # type: ignore[attr-defined]
    old, env.live_names = getattr(env, "live_names", names), names  # type: ignore[attr-defined]
    return [] if old == names else sorted(env.found_docs)


def fill_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Put explorers and their script into a page that has any."""
    stored = _take_stored_state(context)
    body = context.get("body", "")
    if doctree is None or not (PLACE.search(body) or VIEWS.search(body)):
        return
    files, counted = app.live_files, iter(range(1000))  # type: ignore[attr-defined]
    root = "../" * page.count("/") + "_static/"

    def from_notebook(match: re.Match[str]) -> str:
        view = json.loads(match[1])
        name, controls = _explorer_of(stored, view["model_id"])
        if name is None:
            return _place("", "widget", stored, view["model_id"], "")
        return _fresh(name, f"w{next(counted)}", controls, files, root)

    body = VIEWS.sub(from_notebook, body)
    body = PLACE.sub(lambda match: _fresh(match[1], f"w{next(counted)}", {}, files, root), body)
    later = {key: file for key, file in files.items() if key.endswith(".bin") or key.startswith(("worker", "strip"))}
    manifest = {"root": f"{root}{FOLDER}/", "files": {key.rpartition(".")[0]: file for key, file in later.items()}}
    context["body"] = body + f'<script type="application/json" id="maelib-live">{_json(manifest)}</script>'
    for script, mark in (("live", 'class="maelib-live"'), ("reconstruction", 'class="maelib-pair"')):
        if mark in body:
            app.add_css_file(f"{FOLDER}/{files[f'{script}.css']['name']}")
            app.add_js_file(f"{FOLDER}/{files[f'{script}.js']['name']}", loading_method="defer")


def _take_stored_state(context: dict[str, Any]) -> dict[str, Any]:
    """The notebook's widget state, which myst-nb hands over as a script; it leaves the page."""
    scripts = context.get("script_files", [])
    for script in scripts:
        if getattr(script, "attributes", {}).get("type") == STATE:
            scripts.remove(script)
            return json.loads(script.attributes["body"].replace("<\\/", "</"))
    return {"state": {}}


def _explorer_of(stored: dict[str, Any], model_id: str) -> tuple[str | None, dict[str, Any]]:
    """The short name of the explorer whose root has this id, and what its controls were at, by role."""
    root = stored["state"].get(model_id, {}).get("state", {})
    name = next((c.removeprefix(CLASS) for c in root.get("_dom_classes", []) if c.startswith(CLASS)), None)
    controls: dict[str, Any] = {}
    squares: list[bool] = []  # of the mask by hand

    def walk(state: dict[str, Any]) -> None:
        for css in state.get("_dom_classes", []):
            if css == "maelib-cell":
                squares.append(state.get("value", False))
            if css.startswith("maelib-role-"):
                controls[css.removeprefix("maelib-role-")] = state.get("index", state.get("value"))
        for child in state.get("children", []):
            walk(stored["state"][child.removeprefix("IPY_MODEL_")]["state"])

    if name in EXPLORERS:
        walk(root)
    return (name if name in EXPLORERS else None), controls | {"squares": squares}


def _fresh(name: str, prefix: str, controls: dict[str, Any], files: dict[str, Any], root: str) -> str:
    """An explorer made from its class, its controls as given; the plain picture stands there until the script has run."""
    explorer = explorer_class(name)()
    with explorer.waiting():
        for role, value in controls.items():
            control = explorer.controls.get(role)
            if control is None or value is None:
                continue
            setattr(control, "index" if hasattr(control, "index") else "value", value)
    title = TITLES[name]
    picture = files[f"plain-{name}.webp"]
    width, height = picture["pixels"]  # known before it is loaded, so that nothing below it jumps
    plain = (
        f'<img class="maelib-plain" src="{root}{FOLDER}/{picture["name"]}" loading="lazy" width="{width}" height="{height}" '
        f'alt="{title}: the first picture of an explorer that needs JavaScript">'
    )
    if name == "reconstruction":
        hand = "".join("01"[pressed] for pressed in controls.get("squares", []))
        return _pair(explorer.state() | {"hand": hand}, title, plain, root)
    state, model_id = widget_state(explorer, prefix)
    return _place(name, title, state, model_id, plain)


def _pair(state: dict[str, Any], title: str, plain: str, root: str) -> str:
    """The reconstruction explorer, which has a script of its own; what differs from its first state is handed to it."""
    from maelib.explorers.state import DEFAULT

    start = {key: value for key, value in state.items() if key != "own" and value != DEFAULT[key]}
    if "strategy" not in start or state["strategy"] != "hand":
        start.pop("hand", None)
    if start.get("view") not in VIEWS_OF_PAIR:
        start.pop("view", None)
    chapter = root.removesuffix("_static/") + "notebooks/02_masking.html"
    data = f' data-start="{html.escape(_json(start))}"' if start else ""
    return (
        f'<section class="maelib-pair" data-explorer="reconstruction" data-chapter="{chapter}"{data} aria-label="{title}">'
        f"<noscript><p>{NO_SCRIPT}</p></noscript>{plain}</section>"
    )


def _place(name: str, title: str, state: dict[str, Any], model_id: str, plain: str) -> str:
    data = f' data-explorer="{name}"' if name else ""
    view = {"version_major": 2, "version_minor": 0, "model_id": model_id}
    return (
        f'<div class="maelib-live"{data} role="group" aria-label="{title}">{plain}'
        f'<script type="{STATE}">{_json(state)}</script><script type="{VIEW}">{_json(view)}</script></div>'
    )


def _json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("</", "<\\/")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("live_cache", None, "env")
    app.add_directive("explorer", ExplorerDirective)
    app.connect("config-inited", build_assets, priority=900)
    app.connect("env-get-outdated", outdated)
    app.connect("html-page-context", fill_page, priority=800)  # after myst-nb, before `trim` makes new lists of scripts
    return {"parallel_read_safe": True, "parallel_write_safe": True}
