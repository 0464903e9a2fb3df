"""Notebooks run as Kaggle would: papermill, no network, no GPU, a wheel among read-only inputs, a folder for the output."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pytest
from book_site import ROOT
from kaggle_offline import GUARD

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
LAYOUTS = ["maelib-wheel", "datasets/someone/maelib-wheel"]  # of older days, and of 2026
KEPT = 20_000_000  # bytes of output that a smoke run may leave


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """An environment that has everything but maelib, as Kaggle's image: the packages of this one, lent by links."""
    home = tmp_path_factory.mktemp("image")
    lent = home / "lent"
    lent.mkdir()
    for path in {Path(p) for p in sys.path if p.endswith("site-packages")}:
        for entry in path.iterdir():
            ours = (
                entry.name.startswith(("maelib", "_maelib", "__editable__", "_editable_impl")) or entry.suffix == ".pth"
            )
            if not ours and not (lent / entry.name).exists():
                (lent / entry.name).symlink_to(entry)
    return lent


def run_as_kaggle(notebook: Path, layout: str, image: Path, wheel: Path, tmp_path: Path) -> tuple[str, Path]:
    """Run a notebook in a new environment; what the run printed, and the folder of its output."""
    inputs, working, home = tmp_path / "input", tmp_path / "working", tmp_path / "env"
    (inputs / layout).mkdir(parents=True)
    (inputs / layout / wheel.name).write_bytes(wheel.read_bytes())
    working.mkdir()
    venv.create(home, with_pip=False, symlinks=True)
    site = next(home.glob("lib/python*/site-packages"))
    (site / "lent.pth").write_text(f"{image}\n")
    (site / "sitecustomize.py").write_text(GUARD)

    source = nbformat.read(notebook, 4)
    for cell in source.cells:  # the one thing that differs from Kaggle: where its folders are
        cell.source = cell.source.replace("/kaggle/input", str(inputs)).replace("/kaggle/working", str(working))
    nbformat.write(source, tmp_path / "source.ipynb")

    keep = {
        key: value for key, value in os.environ.items() if not key.startswith(("MAELIB", "PYTHON", "VIRTUAL", "KAGGLE"))
    }
    environment = {
        **keep, "HOME": str(tmp_path), "KAGGLE_KERNEL_RUN_TYPE": "Batch", "CUDA_VISIBLE_DEVICES": "",
        "PATH": f"{home / 'bin'}:{keep['PATH']}", "JUPYTER_PATH": str(tmp_path), "MAELIB_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    papermill = [home / "bin/python", "-m", "papermill", "--no-progress-bar", "--cwd", working, "--kernel", "python3"]
    command = [sys.executable, ROOT / "tests/kaggle_offline.py", inputs, *papermill]
    done = subprocess.run(
        [*command, tmp_path / "source.ipynb", working / "__notebook__.ipynb"],
        cwd=working, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert (site / "maelib" / "_data").is_dir(), "the wheel among the inputs was not what was installed"
    assert [path.name for path in inputs.rglob("*") if path.is_file()] == [wheel.name], "the inputs were written to"
    return done.stdout, working


def check(notebook: Path, layout: str, image: Path, wheel: Path, tmp_path: Path) -> None:
    printed, working = run_as_kaggle(notebook, layout, image, wheel, tmp_path)
    if os.environ.get("CI") and os.geteuid() == 0:
        assert "loopback only" in printed
        assert "read-only" in printed
    executed = nbformat.read(working / "__notebook__.ipynb", 4)
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code), "every cell ran"
    first = "".join(output.get("text", "") for output in code[0].outputs)
    assert "cores" in first, f"no GPU here: {first}"
    size = sum(path.stat().st_size for path in working.rglob("*") if path.is_file())
    print(f"{notebook.stem}: {size / 1e6:.1f} MB of output; {printed.strip().splitlines()[:2]}")
    assert size < KEPT, f"{size / 1e6:.0f} MB of output are kept with every version"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_notebook_runs_as_on_kaggle(layout, image, wheel, tmp_path):
    check(NOTEBOOKS[0], layout, image, wheel, tmp_path)


def test_without_a_wheel_and_without_internet_it_fails(image, wheel, tmp_path):
    """The run is offline indeed: with a wheel of another name the first cell cannot get the package."""
    other = tmp_path / "other-1.0-py3-none-any.whl"
    other.write_bytes(b"")
    with pytest.raises(AssertionError, match="CalledProcessError"):
        run_as_kaggle(NOTEBOOKS[0], LAYOUTS[0], image, other, tmp_path)


@pytest.mark.audit
@pytest.mark.parametrize("number", range(1, len(NOTEBOOKS)), ids=lambda number: NOTEBOOKS[number].stem)
def test_every_notebook_runs_as_on_kaggle(number, image, wheel, tmp_path):
    check(NOTEBOOKS[number], LAYOUTS[number % 2], image, wheel, tmp_path)
