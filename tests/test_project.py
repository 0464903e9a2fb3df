"""The project around the package: one list of requirements, the wheel, the notebooks, the pages."""

import json
import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile

import nbformat
import pytest
import yaml
from conftest import ROOT

import maelib
from maelib.datasets import samples
from maelib.weights import shipped_weights

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[; ]", requirement)[0].lower() for requirement in requirements}


def test_environment_yml_is_python_and_the_one_list():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, by_pip = environment["dependencies"]
    assert python.replace("python ", "") == PROJECT["requires-python"]
    assert pip == "pip"
    assert by_pip == {"pip": ["-e .[all]"]}
    assert environment["channels"] == ["conda-forge"]


def test_the_packages_of_the_project_are_required():
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    assert set(re.search(r"\[(.*)\]", everything).group(1).split(",")) == extras.keys() - {"all"}
    required = names(PROJECT["dependencies"]).union(*(names(extras[name]) for name in extras))
    wanted = {"torch", "torchvision", "jupyterlab", "jupyter-book", "matplotlib", "nbval", "scikit-image", "ipywidgets"}
    assert wanted <= required
    assert all("==" in requirement for requirement in extras["book"])


def test_citation_and_version_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == maelib.__version__


def test_the_readme_opens_with_a_picture_and_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 150
    picture = re.search(r"!\[(.{30,})\]\((.*)\)", "\n".join(lines[:5]))
    assert picture
    assert (ROOT / picture.group(2)).exists()


def test_readme_paths_and_make_targets_exist():
    text = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", text, re.M):
        assert f"\n{target}:" in makefile, target
    for folder in re.findall(r"^\| `(\w+)/` \|", text, re.M):
        assert (ROOT / folder).is_dir(), folder


def test_the_wheel_holds_the_shipped_files(wheel):
    inside = zipfile.ZipFile(wheel).namelist()
    assert "maelib/py.typed" in inside
    for name in shipped_weights():
        assert f"maelib/_data/weights/{name}.safetensors" in inside
    for name in samples():
        assert f"maelib/_data/samples/{name}.jpg" in inside
    assert wheel.stat().st_size < 20e6
    assert not [name for name in inside if name.startswith(("tests", "notebooks", "data/", "exercises"))]


OFFLINE = """
import socket

def refuse(*args, **kwargs):
    raise OSError("this test is offline")

socket.socket.connect = refuse
socket.create_connection = refuse
import maelib, maelib.datasets
assert "site-packages" in maelib.__file__ and "EMPTY" in maelib.__file__, maelib.__file__
model = maelib.load("mae_tiny_patch4_64")
result = maelib.reconstruct(model, maelib.datasets.sample_path("chelsea"))
import maelib.exercises, maelib.exercises.sheet
assert not maelib.exercises.judge("02.ratio", lambda noise, ratio: noise)[0]
assert "Question 8.3" in maelib.exercises.sheet.write_sheet(1, range(1, 9))
print(result.scores()["masked"]["psnr"])
"""


def test_the_wheel_works_in_an_empty_environment_offline(wheel, tmp_path):
    """A new environment with the wheel alone; torch and the other requirements are lent to it by path, the checkout is not."""
    home = tmp_path / "EMPTY"
    venv.create(home, with_pip=False, symlinks=True)
    python = home / "bin" / "python"
    site = next(home.glob("lib/python*/site-packages"))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", site, wheel], check=True
    )
    lent = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "lent.pth").write_text(lent + "\n")  # its own .pth files, the editable checkout among them, are not read
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAELIB", "PYTHON"))}
    done = subprocess.run([python, "-c", OFFLINE], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = maelib.reconstruct(maelib.load("mae_tiny_patch4_64"), maelib.datasets.sample_path("chelsea"))
    assert float(done.stdout) == pytest.approx(expected.scores()["masked"]["psnr"], abs=1e-3)


# -- notebooks ---------------------------------------------------------------------------------------------------------


def test_notebooks_run_and_reproduce_their_marked_outputs(tmp_path):
    """nbval runs every cell and compares those marked for it."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-p", "no:cacheprovider", *NOTEBOOKS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    cells = sum(cell.cell_type == "code" for path in NOTEBOOKS for cell in nbformat.read(path, 4).cells)
    assert f"{cells} passed" in done.stdout


def test_marks_are_tags_that_no_reader_sees():
    cells = [cell for path in NOTEBOOKS for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert not [cell.source for cell in cells if "NBVAL" in cell.source]
    assert sum("nbval-check-output" in cell.metadata.get("tags", []) for cell in cells) >= 30
    for path in NOTEBOOKS:  # what sets a notebook up is folded in the page
        first = next(cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code")
        assert "hide-input" in first.metadata.tags, path.stem


@pytest.mark.parametrize("tagged", [True, False])
def test_nbval_compares_the_cells_that_are_tagged(tagged, tmp_path):
    notebook = nbformat.v4.new_notebook()
    stored = nbformat.v4.new_output("stream", text="2\n")
    notebook.cells = [nbformat.v4.new_code_cell("print(1)", outputs=[stored], execution_count=1)]
    notebook.cells[0].metadata["tags"] = ["nbval-check-output"] if tagged else []
    nbformat.write(notebook, tmp_path / "wrong.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "-p", "no:cacheprovider", "wrong.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode != 0) == tagged, done.stdout


@pytest.mark.audit  # runs every notebook a second time
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_solutions_run_after_the_notebook(path, tmp_path):
    """The solutions folded under the exercises, in the state the notebook ends in."""
    notebook = nbformat.read(path, 4)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    solutions = re.findall(r"<details>.*?```python\n(.*?)```.*?</details>", text, re.S)
    assert len(solutions) == text.count("<details>") >= 3
    source = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    script = "import matplotlib\nmatplotlib.use('Agg')\n" + "\n\n".join([source, *solutions])
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_notebooks_are_clean(path):
    """Run from top to bottom, light, with alt texts, and free of this machine's paths."""
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 2_000_000
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        assert all(output.output_type != "error" for output in cell.outputs)
        if any("image/png" in output.get("data", {}) for output in cell.outputs):
            assert len(cell.metadata.mystnb.image.alt) > 30
    text = path.read_text()
    assert str(ROOT.parent) + "/" not in text
    assert "/tmp/" not in text
    assert not re.search(r"```\{|:::\{", text), "a directive would show as raw text on Kaggle"


COLUMNS = 74  # of code that a page of 1250 pixels shows


def wide_lines(notebook: nbformat.NotebookNode) -> list[str]:
    """Lines of code, of code in folded answers, and of printed outputs that the page would cut."""
    found = []
    for cell in notebook.cells:
        texts = [cell.source]
        if cell.cell_type == "markdown":
            texts = re.findall(r"^```\w+\n(.*?)^```", cell.source, re.S | re.M)
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts += [output.text] if output.output_type == "stream" else []
            texts += [data["text/plain"]] if data.keys() == {"text/plain"} else []
        found += [line for text in texts for line in text.splitlines() if len(line) > COLUMNS]
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_and_what_it_prints_fit_the_page(path):
    notebook = nbformat.read(path, 4)
    assert not wide_lines(notebook)
    notebook.cells += [
        nbformat.v4.new_code_cell("#" * 75),
        nbformat.v4.new_markdown_cell(f"```python\n{'#' * 76}\n```"),
    ]
    notebook.cells[-2].outputs = [nbformat.v4.new_output("stream", text="short\n" + 77 * "-")]
    assert [len(line) for line in wide_lines(notebook)] == [75, 77, 76]


@pytest.mark.parametrize("path", NOTEBOOKS[1:], ids=lambda path: path.stem)
def test_a_chapter_opens_with_the_map(path):
    """After the set-up, its own part lit; the page and JupyterLab show the drawing without its two lines of code."""
    _, second = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"][:2]
    assert re.search(r'^machine_map\("\w+"', second.source, re.M)
    assert "remove-input" in second.metadata.tags
    assert second.metadata.jupyter.source_hidden
    (output,) = second.outputs
    assert 'class="maelib-map"' in output.data["text/html"]


def test_results_have_what_a_record_needs():
    for path in (ROOT / "data/results").glob("*.json"):
        record = json.loads(path.read_text())
        assert record["kind"] in ("run", "benchmark", "probe", "latency", "torture", "claims", "published"), path
        if record["kind"] == "run":
            needed = {
                "name",
                "model",
                "dataset",
                "epochs",
                "images_seen",
                "seed",
                "commit",
                "hardware",
                "software",
                "seconds",
                "curve",
            }
            assert needed <= record.keys()
            for protocol, figures in record["metrics"].items():
                assert {"psnr", "n", "mask_ratio", "seed"} <= figures.keys()
                assert ("ssim" in figures) == (protocol != "masked")
                assert all(protocol in scores for scores in record["baselines"].values())


def test_the_shipped_model_scores_what_its_record_says(real_data):
    """The committed weights, on the first pictures of the validation set, stay near the mean over all of it."""
    from maelib.datasets import load_dataset
    from maelib.evaluation import evaluate

    record = json.loads((ROOT / "data/results/mae_tiny_patch4_64.json").read_text())
    model = maelib.load("mae_tiny_patch4_64")
    n = 500
    psnr = evaluate(model, load_dataset(real_data, "val"), ["masked"], n=n, progress=False)["masked"]["psnr"]
    assert psnr == pytest.approx(
        record["metrics"]["masked"]["psnr"], abs=0.5
    )  # three standard errors of a mean over 500


def test_the_bibliography_holds_every_paper_that_a_page_links():
    texts = [json.dumps([cell["source"] for cell in json.loads(path.read_text())["cells"]])
             for path in (ROOT / "notebooks").glob("*.ipynb")]  # fmt: skip
    texts += [path.read_text() for path in [ROOT / "README.md", *(ROOT / "book").glob("*.md")]]
    linked = {link for text in texts for link in re.findall(r"https://(?:arxiv\.org/abs|doi\.org)/[^)\s\"]+", text)}
    held = set(re.findall(r"url = \{([^}]+)\}", (ROOT / "book/references.bib").read_text()))
    assert len(linked) > 8
    assert not linked - held, f"add to book/references.bib: {sorted(linked - held)}"
