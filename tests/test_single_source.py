"""Single source: what a chapter defines is what the package holds, and every public piece is taught once."""

import ast
import importlib
import importlib.util
import inspect
import textwrap
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
TAUGHT = ("patches", "positions", "masking", "transformer", "encoder", "decoder", "loss", "model")  # floors 0 to 2
MARK = "# maelib: "
NOT_TAUGHT = {
    "masking.seeded_integers": "a random generator that JavaScript can repeat; no idea of masked autoencoders",
    "masking.seeded_noise": "the strategies are shown by their pictures; their arithmetic serves repeatability",
    "masking.noise_from_mask": "validation of a mask given by hand",
    "masking.STRATEGIES": "a list of names",
    "model.MAEConfig": "fields and their validation; chapter 05 shows the fields by using them",
    "model.grid_of": "validation of sizes",
    "model.PRESETS": "a table of sizes",
    "model.create_model": "looks a name up in the table",
}


def marked_cells() -> list[tuple[str, str, str]]:
    """(notebook, name, source) of every cell that defines a piece of the package."""
    found = []
    for path in NOTEBOOKS:
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code" and cell.source.startswith(MARK):
                first, source = cell.source.split("\n", 1)
                found.append((path.stem, first.removeprefix(MARK).strip(), source))
    return found


def stripped(node: ast.AST) -> str:
    """A definition as a syntax tree in words, less docstrings and the annotations of arguments and of what is returned."""
    for inner in ast.walk(node):
        if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
            if ast.get_docstring(inner) is not None:
                inner.body = inner.body[1:] or [ast.Pass()]
            if isinstance(inner, ast.FunctionDef):
                inner.returns = None
        if isinstance(inner, ast.arg):
            inner.annotation = None
    return ast.dump(node)


def without_declarations(node: ast.AST) -> ast.AST:
    """Drop bare declarations such as `positions: Tensor` from modules; the fields of a NamedTuple or dataclass stay."""
    if isinstance(node, ast.ClassDef) and any(getattr(base, "attr", "") == "Module" for base in node.bases):
        node.body = [item for item in node.body if not (isinstance(item, ast.AnnAssign) and item.value is None)]
    return node


def definition(source: str, name: str) -> ast.AST:
    """The definition of a name in a source: a function, a class or an assignment."""
    body = ast.parse(source).body
    if name == "__init__":  # shown inside its class, which needs nothing else yet
        body = [item for node in body for item in (node.body if isinstance(node, ast.ClassDef) else [node])]
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name:
            return without_declarations(node)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == name:
            return node
    raise AssertionError(f"no definition of {name} in the cell")


def library(qualified: str) -> ast.AST:
    """The definition in the package of `module.name` or `module.Class.method`."""
    thing = importlib.import_module("maelib")
    for name in qualified.split("."):
        inside = importlib.util.find_spec(f"{thing.__name__}.{name}") if hasattr(thing, "__path__") else None
        thing = importlib.import_module(inside.name) if inside else getattr(thing, name)
    return definition(textwrap.dedent(inspect.getsource(thing)), name)


def check(qualified: str, source: str) -> None:
    """AssertionError where a cell differs from the package, or is more than a reader can take in."""
    name = qualified.split(".")[-1]
    found = definition(source, name)
    assert stripped(found) == stripped(library(qualified)), f"the cell '{MARK}{qualified}' has drifted from the package"
    assert len(ast.unparse(found).splitlines()) <= 40, f"{qualified} is too long for one cell"
    cls, method = qualified.split(".")[-2:]
    if cls[0].isupper():  # a method shown on its own is attached in one line
        assert method == "__init__" or f"{cls}.{method} = {method}" in source, (
            f"{qualified} is not attached to its class"
        )


def public_names() -> set[str]:
    """Every public function, class and constant of floors 0 to 2, by the module that defines it."""
    names = set()
    for module in TAUGHT:
        tree = ast.parse((ROOT / "maelib" / f"{module}.py").read_text())
        for node in tree.body:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            for name in [getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)]:
                if name and not name.startswith("_"):
                    names.add(f"{module}.{name}")
    return names


def uncovered(taught: list[str]) -> set[str]:
    """Public names that no cell defines; a class is covered by a cell of its own or by all of its methods."""
    covered = set(taught)
    for qualified in public_names() - covered:
        module, name = qualified.split(".")
        thing = getattr(importlib.import_module(f"maelib.{module}"), name)
        if inspect.isclass(thing):
            own = {f"{qualified}.{key}" for key, value in vars(thing).items() if inspect.isfunction(value)}
            if own and own <= covered:
                covered.add(qualified)
    return public_names() - covered - NOT_TAUGHT.keys()


@pytest.mark.parametrize(("notebook", "qualified", "source"), marked_cells(), ids=lambda value: str(value)[:60])
def test_a_cell_equals_the_package(notebook, qualified, source):
    check(qualified, source)


def test_every_public_piece_is_taught_once():
    taught = [qualified for _, qualified, _ in marked_cells()]
    assert len(taught) == len(set(taught)), "taught twice"
    assert not uncovered(taught)
    assert len(NOT_TAUGHT) <= 8
    assert NOT_TAUGHT.keys() <= public_names()
    assert not NOT_TAUGHT.keys() & set(taught)


def test_a_chapter_does_not_import_what_it_defines():
    for path in NOTEBOOKS:
        defined = {name.split(".")[1] for notebook, name, _ in marked_cells() if notebook == path.stem}
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                source = "\n".join(
                    line for line in cell.source.splitlines() if not line.lstrip().startswith(("!", "%"))
                )
                for node in ast.walk(ast.parse(source)):
                    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maelib"):
                        assert not defined & {alias.name for alias in node.names}, f"{path.stem}: {ast.unparse(node)}"


# -- the tests themselves can fail -------------------------------------------------------------------------------------


def test_one_changed_line_is_drift():
    from maelib import patches

    source = inspect.getsource(patches.patchify)
    check("patches.patchify", source)
    check("patches.patchify", source.replace('"""Cut', '"""Slice').replace("images: Tensor", "images"))
    with pytest.raises(AssertionError, match="has drifted"):
        check("patches.patchify", source.replace("permute(0, 2, 4, 3, 5, 1)", "permute(0, 2, 4, 5, 3, 1)"))
    with pytest.raises(AssertionError, match="has drifted"):
        check("patches.patchify", source.replace("(H // p) * (W // p)", "(W // p) * (H // p)"))


def test_a_field_is_part_of_a_definition():
    from maelib import masking

    source = inspect.getsource(masking.Masking)
    check("masking.Masking", source)
    with pytest.raises(AssertionError, match="has drifted"):
        check("masking.Masking", source.replace("    mask: Tensor", "    hidden_mask: Tensor"))


def test_a_missing_piece_is_noticed():
    taught = [qualified for _, qualified, _ in marked_cells()]
    assert "loss.reconstruction_loss" in uncovered([name for name in taught if name != "loss.reconstruction_loss"])
    methods = [f"model.MaskedAutoencoder.{name}" for name in ("__init__", "forward")]
    assert "model.MaskedAutoencoder" in uncovered(
        [name for name in taught if "MaskedAutoencoder" not in name] + methods
    )
