"""The house: a module imports from below only, the core needs torch alone, and all of it stays small enough to read."""

import ast
import graphlib
import re
import shutil
import subprocess
import sys
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "maelib"

# From the ground up, in the order in which the book meets them. A module imports from what stands before it.
FLOORS = (
    ("patches", "positions", "masking", "transformer", "config"),
    ("encoder", "decoder", "cross_decoder", "loss"),
    ("model",),
    ("files", "weights", "strategies", "drawing", "figures", "machine", "hardware", "claims", "renamed", "__init__"),
    ("datasets", "training", "evaluation"),
    ("interop", "loading", "explorers", "exercises", "app", "cli", "__main__"),
)
ORDER = [unit for floor in FLOORS for unit in floor]
CORE = [unit for floor in FLOORS[:3] for unit in floor]
LAZY = ("__init__", "explorers")  # hand on names of modules that they import at the first use: for readers, not for us


class Import(NamedTuple):
    """One name that a module imports, at its top or in a function."""

    module: str  # without the package's name: "model", "training.trainer", and "__init__" for the package itself
    name: str  # in full: "torch.nn", "maelib.training.config.TrainConfig"
    target: str | None  # the module of the package that it reaches: "training.config"; None outside
    typing: bool  # under TYPE_CHECKING

    def __str__(self) -> str:
        return f"{self.module} imports {self.name}"


def modules(package: Path) -> dict[str, Path]:
    """The modules of a package and their files; a folder goes by its own name."""
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)] = path
    return found


def imports(package: Path) -> Iterator[Import]:
    """All of them, relative ones resolved."""
    known = modules(package)
    for module, path in known.items():
        tree = ast.parse(path.read_text())
        typing = {
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for inner in ast.walk(node)
        }
        folder = [package.name, *path.relative_to(package).parts[:-1]]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = folder[: len(folder) - node.level + 1] if node.level else []
                names = [".".join([*above, *filter(None, [node.module]), alias.name]) for alias in node.names]
            else:
                continue
            yield from (Import(module, name, own(name, package.name, known), node in typing) for name in names)


def own(name: str, package: str, known: Container[str]) -> str | None:
    """The module of a package that holds what is imported by a name, None where that is elsewhere."""
    parts = name.split(".")
    if parts[0] != package:
        return None
    prefixes = (".".join(parts[1:end]) for end in range(len(parts), 1, -1))
    return next((name for name in prefixes if name in known), "__init__")


def unit(module: str) -> str:
    """The file or folder of the table that a module belongs to."""
    return module.split(".")[0]


def without_a_place(package: Path) -> list[str]:
    """Modules that the table of floors does not name."""
    return sorted({unit(module) for module in modules(package)} - set(ORDER))


def upward(package: Path) -> list[str]:
    """Imports of what stands later in the table, and ways around that rule."""
    found = []
    for one in imports(package):
        if one.target is None:
            if one.name in ("importlib", "importlib.import_module") and one.module not in LAZY:
                found.append(f"{one}, which hides what it imports")
        elif one.target == "__init__" and one.module != "__init__" and not one.name.endswith(".__version__"):
            found.append(f"{one} from the package: take it from the module that defines it")
        elif one.module == "__init__" and one.typing:
            continue  # what the package hands on lazily has its type here
        elif ORDER.index(unit(one.target)) > ORDER.index(unit(one.module)):
            found.append(f"{one}, which stands above it")
    return found


def circle(package: Path) -> list[str]:
    """A circle of modules, if there is one; those of a folder too."""
    graph: dict[str, set[str]] = {module: set() for module in modules(package)}
    for one in imports(package):
        if one.target is not None and not (one.module in LAZY and one.typing):
            graph[one.module].add(one.target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def beyond_torch(package: Path) -> list[str]:
    """What the core imports besides torch and Python's own library."""
    allowed = {"torch", package.name, *sys.stdlib_module_names}
    return [str(one) for one in imports(package) if one.module in CORE and one.name.split(".")[0] not in allowed]


def laid_out(package: Path, folder: Path) -> tuple[dict[str, int], int]:
    """Lines of each module as `ruff format` lays them out where nothing asks it not to, and how many lines did ask."""
    copy = folder / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    asked = 0
    for path in modules(copy).values():
        text, count = re.subn(r"\s*# ?(fmt|yapf): ?(skip|off|on|disable|enable).*", "", path.read_text())
        path.write_text(text)
        asked += count
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache", "--quiet"]
    subprocess.run([sys.executable, "-m", "ruff", "format", *config, str(copy)], check=True)
    return {module: len(path.read_text().splitlines()) for module, path in modules(copy).items()}, asked


def test_every_module_has_its_place():
    assert without_a_place(PACKAGE) == []
    assert set(ORDER) == {unit(module) for module in modules(PACKAGE)}, "the table names what is not there"


def test_imports_never_run_upwards():
    assert upward(PACKAGE) == []


def test_there_is_no_circle():
    assert circle(PACKAGE) == []


def test_the_core_needs_torch_alone():
    assert beyond_torch(PACKAGE) == []


def test_the_package_can_be_read(tmp_path):
    lines, asked = laid_out(PACKAGE, tmp_path)
    assert sum(lines[module] for module in CORE) <= 660
    apart = {module for module in lines if unit(module) == "exercises"}  # read by those who teach
    # 6,600 before bands, ranges, missing pixels, what shows them, tiles, the report, and what a run survives came
    assert sum(lines[module] for module in lines if module not in apart) <= 10770
    assert sum(lines[module] for module in apart) <= 1200
    assert len(lines) <= 92
    assert asked <= 15


# -- each rule on a package that breaks it -----------------------------------------------------------------------------

GOOD = {
    "__init__": "from .model import Model\nif TYPE_CHECKING:\n    from .loading import load\n__version__ = '1'\n",
    "model": "import math\nfrom torch import nn\nfrom .config import Config\n",
    "config": "",
    "training/__init__": "from .trainer import Trainer\n",
    "training/trainer": "from .. import __version__\nfrom ..model import Model\nfrom .batches import Batches\n",
    "training/batches": "import numpy\nfrom importlib.metadata import version\n",
    "loading": "from .training.trainer import Trainer\nfrom . import training\n",
}


@pytest.fixture
def house(tmp_path):
    """Builds a package of a few modules, some of them other than good."""

    def build(**changed: str) -> Path:
        for name, text in (GOOD | {name.replace("__of__", "/"): text for name, text in changed.items()}).items():
            path = tmp_path / "house" / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "house"

    return build


def test_a_good_package_breaks_no_rule(house):
    package = house()
    assert [rule(package) for rule in (without_a_place, upward, circle, beyond_torch)] == [[]] * 4


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("config", "from .model import Model\n"),  # of a higher floor
        ("training__of__batches", "def later():\n    from ..loading import load\n"),  # in a function
        ("model", "if TYPE_CHECKING:\n    from .training import trainer\n"),  # for its type alone
        ("training__of__batches", "import house.loading\n"),  # by its full name
        ("config", "from . import model\n"),  # as a module
        ("positions", "from .masking import Masking\n"),  # of its own floor, but later
        ("training__of__batches", "from .. import load\n"),  # by way of the package
        ("training__of__batches", "import house\n"),
        ("config", "from importlib import import_module\n"),  # by a name that is a string
        ("__init__", "from .loading import load\n"),  # not lazily
    ],
)
def test_an_import_from_above_is_seen(house, module, text):
    extra = {"masking": ""} if module == "positions" else {}
    assert len(upward(house(**{module: text}, **extra))) == 1


@pytest.mark.parametrize(
    "text", ["from .trainer import Trainer\n", "def later():\n    from . import trainer\n", "from . import Trainer\n"]
)
def test_a_circle_in_a_folder_is_seen(house, text):
    package = house(training__of__batches=text)
    assert {"training.batches", "training.trainer"} <= set(circle(package))
    assert upward(package) == []


def test_a_module_without_a_place_is_seen(house):
    assert without_a_place(house(attic="", cellar__of__wine="")) == ["attic", "cellar"]


@pytest.mark.parametrize("text", ["import numpy as np\n", "def later():\n    from PIL import Image\n"])
def test_another_requirement_of_the_core_is_seen(house, text):
    assert len(beyond_torch(house(config=text))) == 1


def test_what_asks_not_to_be_laid_out_is_laid_out(house, tmp_path):
    tight = "a = [\n    1, 2,\n    3,\n]  # fmt: skip\n# fmt: off\nx = 1; y = 2\n# fmt: on\n"
    lines, asked = laid_out(house(config=tight), tmp_path / "copy")
    assert asked == 3
    assert lines["config"] == 7  # a number on each line of the list, x and y on two
    assert lines["model"] == 3
