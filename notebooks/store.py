"""Run notebooks and store them so that running twice gives the same file: `python notebooks/store.py [FILES]`.

Outputs and the state of the widgets are kept, so that a page can show them without a kernel. What would differ between two runs or
two machines is not: the random ids of widgets become numbers hashed with the notebook's name, streams that arrived in pieces are
joined, times of execution are left out.
"""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert.preprocessors import CoalesceStreamsPreprocessor

HERE = Path(__file__).resolve().parent
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
LIMIT = 2_000_000  # bytes of a stored notebook


def run(path: Path) -> nbformat.NotebookNode:
    """Execute a notebook in its own folder; the first error stops it."""
    notebook = nbformat.read(path, 4)
    notebook.metadata.pop("widgets", None)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", record_timing=False, resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    CoalesceStreamsPreprocessor(enabled=True).preprocess(notebook, {})
    return notebook


def settle(notebook: nbformat.NotebookNode, name: str) -> None:
    """Give the widgets ids that depend on the notebook's name and their order alone, and drop those that no output shows."""
    stored = notebook.metadata.get("widgets", {}).get(STATE)
    if not stored:
        return
    reachable = _reachable(stored["state"], _shown(notebook))
    kept = {key: value for key, value in stored["state"].items() if key in reachable}
    # The kernel opened them in the order in which they were made.
    names = {old: hashlib.sha256(f"{name} {i}".encode()).hexdigest()[:32] for i, old in enumerate(kept)}
    notebook.metadata["widgets"][STATE] = _renamed({**stored, "state": kept}, names)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = _renamed(cell.outputs, names)


def _shown(notebook: nbformat.NotebookNode) -> list[str]:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["data"][VIEW]["model_id"] for output in outputs if VIEW in output.get("data", {})]


def _reachable(state: dict[str, Any], roots: list[str]) -> set[str]:
    """Models that a view shows, directly or through others; links between two such models are reached from their ends."""
    found: set[str] = set()
    waiting = list(roots)
    while True:
        while waiting:
            key = waiting.pop()
            if key in state and key not in found:
                found.add(key)
                waiting += _references(state[key])
        links = (key for key, model in state.items() if model["model_name"].endswith("LinkModel") and key not in found)
        waiting = [key for key in links if set(_references(state[key])) & found]
        if not waiting:
            return found


def _references(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value.removeprefix("IPY_MODEL_")] if value.startswith("IPY_MODEL_") else []
    if isinstance(value, dict):
        value = list(value.values())
    return [name for inner in value for name in _references(inner)] if isinstance(value, list) else []


def _renamed(value: Any, names: dict[str, str]) -> Any:
    """The same nest of dicts and lists with every id, as a key, a value or a reference, replaced."""
    if isinstance(value, dict):
        return type(value)({names.get(key, key): _renamed(inner, names) for key, inner in value.items()})
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    if isinstance(value, str):
        if value.startswith("IPY_MODEL_"):
            return "IPY_MODEL_" + names.get(value[10:], value[10:])
        return names.get(value, value)
    return value


def check(path: Path, text: str) -> None:
    """ValueError for what must not be published: a file too large, a path of this machine."""
    if len(text.encode()) > LIMIT:
        raise ValueError(f"{path.name} would have {len(text.encode()):,} bytes, at most {LIMIT:,}: smaller figures")
    for place in {str(HERE.parent.parent), str(Path.home()), "/tmp/"} - {"/"}:
        if place.rstrip("/") + "/" in text:
            raise ValueError(f"{path.name} shows the path {place} of this machine: print a file's name only")


def store(path: Path) -> None:
    """Execute one notebook and write it back."""
    notebook = run(path)
    settle(notebook, path.stem)
    nbformat.validate(notebook)
    text = nbformat.writes(notebook) + "\n"
    check(path, text)
    path.write_text(text)
    widgets = len(notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {}))
    print(f"{path.name}: {len(text.encode()):,} bytes, {widgets} models of widgets", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")  # the kernel inherits these
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin for work slow everybody on a busy machine
    for name in sys.argv[1:] or sorted(map(str, HERE.glob("[0-9]*.ipynb"))):
        store(Path(name).resolve())
