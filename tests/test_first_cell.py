"""The first cell of a chapter: the same in all of them, finds or installs maelib, and leaves torch alone."""

import builtins
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest

import maelib

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


def first_cell(path: Path) -> str:
    cell = next(cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
    assert "parameters" in cell.metadata.tags  # where papermill puts another scale
    return cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_code_is_the_same_in_all_chapters(path):
    scale, cost, *rest = first_cell(path).splitlines()
    assert scale.startswith('SCALE = "smoke"  # "full" is meant for ')
    assert cost.startswith('COST = {"smoke": "')
    assert ', "full": "' in cost
    common = first_cell(NOTEBOOKS[0]).splitlines()[2:]
    assert rest[: len(common)] == common
    trains = (path.parent / "kaggle" / path.stem).is_dir()  # these also make every card compute before they begin
    assert ("usable_accelerators()" in "\n".join(rest[len(common) :])) == trains
    assert trains or len(rest) == len(common)
    assert max(map(len, [scale, cost, *rest])) <= 74


def commands_without_maelib(monkeypatch, inputs: Path) -> list[list[str]]:
    """What the cell would run on a machine where maelib cannot be imported until pip has been called."""
    commands: list[list[str]] = []
    real = builtins.__import__

    def import_(name, *args, **kwargs):
        if name == "maelib" and not commands:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_)
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    source = first_cell(NOTEBOOKS[0])
    assert source.count('"/kaggle/input"') == 1
    exec(source.replace('"/kaggle/input"', repr(str(inputs))), {})
    return commands


@pytest.mark.parametrize("mount", ["wheel", "datasets/someone/wheel", "notebooks/someone/kernel/dist"])
def test_a_wheel_among_the_inputs_is_installed_alone(monkeypatch, tmp_path, mount):
    folder = tmp_path / mount
    folder.mkdir(parents=True)
    wheel = folder / "maelib-0.1.0-py3-none-any.whl"
    wheel.touch()
    (tmp_path / "a/b/c/d/e").mkdir(parents=True)
    (tmp_path / "a/b/c/d/e/maelib-9.9.9-py3-none-any.whl").touch()  # five folders down, where data sets keep pictures
    (command,) = commands_without_maelib(monkeypatch, tmp_path)
    assert command == [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)]


def test_without_a_wheel_the_repository_at_this_version_is_installed(monkeypatch, tmp_path):
    address = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]
    (command,) = commands_without_maelib(monkeypatch, tmp_path)
    assert command[3:] == ["install", "--quiet", "--no-deps", f"git+{address}@v{maelib.__version__}"]


def test_with_maelib_at_hand_nothing_is_installed(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: pytest.fail(f"ran {args}"))
    exec(first_cell(NOTEBOOKS[0]), {})
