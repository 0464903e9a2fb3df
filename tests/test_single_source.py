"""Single source: what a chapter defines is what the package holds, and every public piece is taught once."""

import ast
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
TAUGHT = (  # floors 0 to 2
    *("patches", "positions", "masking", "transformer", "config"),
    *("encoder", "decoder", "cross_decoder", "loss", "model"),
)
MARK = "# maelib: "
LONGEST = {ast.ClassDef: 80, ast.FunctionDef: 40}  # lines that a reader can take in
NOT_TAUGHT = {
    "patches.grid_of": "validation of sizes",
    "masking.Masking.from_mask": "validation of a mask given by hand",
    "masking.Masking.of": "validation of what a caller hands to the model",
    "config.MAEConfig": "fields and their validation; chapter 05 shows the fields by using them",
    "config.PRESETS": "a table of sizes",
    "model.create_model": "looks a name up in the table",
}


def marked_cells() -> list[tuple[str, str, str]]:
    """(notebook, name, source) of every cell that defines a piece of the package, in the order of reading."""
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


def names_of(node: ast.AST) -> set[str]:
    """What a statement defines: a function or a class, or the names that it assigns to."""
    targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
    return {getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)} - {None}


def definition(body: list[ast.stmt], name: str) -> ast.AST:
    """The statement that defines a name."""
    for node in body:
        if name in names_of(node):
            return without_declarations(node)
    raise AssertionError(f"no definition of {name}")


def package(module: str) -> list[ast.stmt]:
    return ast.parse((ROOT / "maelib" / f"{module.replace('.', '/')}.py").read_text()).body


def parts(qualified: str) -> tuple[str, list[str]]:
    """A module of the package, which may stand in a folder, and the names inside it."""
    module, *names = qualified.split(".")
    while (ROOT / "maelib" / module.replace(".", "/")).is_dir():
        module = f"{module}.{names.pop(0)}"
    return module, names


def library(qualified: str) -> ast.AST:
    """The definition in the package of `module.name` or `module.Class.method`, with its decorators."""
    module, names = parts(qualified)
    node: ast.AST = ast.Module(package(module), [])
    for name in names:
        node = definition(node.body, name)
    return node


def methods(node: ast.AST) -> set[str]:
    """Functions of a class, properties and classmethods among them; none for anything else."""
    body = node.body if isinstance(node, ast.ClassDef) else []
    return {item.name for item in body if isinstance(item, ast.FunctionDef)}


def attachment(owner: str, method: ast.FunctionDef) -> str:
    """The line that makes a function, shown on its own, the method of a class that it is in the package."""
    wrapped = method.name
    for decorator in reversed(method.decorator_list):
        wrapped = f"{ast.unparse(decorator)}({wrapped})"
    return f"{owner}.{method.name} = {wrapped}"


def pieces(cells: list[tuple[str, str, str]]) -> list[str]:
    """Every name that the cells define, in the order of reading; the methods that stand in the cell of their class too."""
    found = []
    for _, qualified, source in cells:
        shown = [node for node in ast.parse(source).body if qualified.split(".")[-1] in names_of(node)]
        found += [qualified, *sorted(f"{qualified}.{method}" for node in shown for method in methods(node))]
    return found


def check(qualified: str, source: str, taught: list[str]) -> None:
    """AssertionError where a cell differs from the package, or is more than a reader can take in."""
    *owner, name = parts(qualified)[1]
    found, expected = definition(ast.parse(source).body, name), library(qualified)
    lines = len(ast.unparse(found).splitlines())
    if owner:  # a method on its own is defined as a plain function, and attached in one line
        assert attachment(owner[0], expected) in source.splitlines(), f"{qualified} is not attached to its class"
        expected.decorator_list = []
        assert qualified.removesuffix(f".{name}") in taught[: taught.index(qualified)], (
            f"{qualified} comes before its class has been shown"
        )
    left_out = methods(expected) - methods(found)
    silent = {f"{qualified}.{method}" for method in left_out} - set(taught) - NOT_TAUGHT.keys()
    assert not silent, f"no cell shows {', '.join(sorted(silent))}"
    if left_out:
        expected.body = [item for item in expected.body if not names_of(item) & left_out]
    assert stripped(found) == stripped(expected), f"the cell '{MARK}{qualified}' has drifted from the package"
    assert lines <= LONGEST.get(type(found), 40), f"{qualified} is too long for one cell"


def public_names() -> set[str]:
    """Every public function, class and constant of floors 0 to 2, by the module that defines it."""
    names = {f"{module}.{name}" for module in TAUGHT for node in package(module) for name in names_of(node)}
    return {name for name in names if not name.split(".")[1].startswith("_")}


def uncovered(taught: list[str]) -> set[str]:
    """Public names that no cell defines; which methods a class may lack is up to `check`."""
    return public_names() - set(taught) - NOT_TAUGHT.keys()


CELLS = marked_cells()
SHOWN = pieces(CELLS)


@pytest.mark.parametrize(
    ("qualified", "source"),
    [pytest.param(qualified, source, id=f"{notebook}-{qualified}") for notebook, qualified, source in CELLS],
)
def test_a_cell_equals_the_package(qualified, source):
    check(qualified, source, SHOWN)


def test_every_public_piece_is_taught_once():
    assert sorted(SHOWN) == sorted(set(SHOWN)), "taught twice"
    assert not uncovered(SHOWN)


def test_what_is_not_taught_is_little_exists_and_has_a_reason():
    assert len(NOT_TAUGHT) <= 8
    assert all(NOT_TAUGHT.values())
    assert all(library(qualified) for qualified in NOT_TAUGHT)
    assert not NOT_TAUGHT.keys() & set(SHOWN)


def test_every_module_of_floors_0_to_2_is_looked_at():
    """What they import from the package is in the list; a module that they are divided into would be missed otherwise."""
    for module in TAUGHT:
        siblings = [node.module for node in package(module) if isinstance(node, ast.ImportFrom) and node.level]
        assert set(siblings) <= set(TAUGHT), module


def test_a_chapter_does_not_import_what_it_defines():
    for path in NOTEBOOKS:
        names = [parts(qualified)[1] for notebook, qualified, _ in CELLS if notebook == path.stem]
        defined = {inside[0] for inside in names if len(inside) == 1}
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "code":
                source = "\n".join(
                    line for line in cell.source.splitlines() if not line.lstrip().startswith(("!", "%"))
                )
                for node in ast.walk(ast.parse(source)):
                    if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("maelib"):
                        assert not defined & {alias.name for alias in node.names}, f"{path.stem}: {ast.unparse(node)}"


# -- the tests themselves can fail -------------------------------------------------------------------------------------


def cell_of(qualified: str, without: str = "") -> str:
    """A definition as a faithful cell shows it, a class without one of its methods, a method with its line to attach it."""
    node = library(qualified)
    if without:
        node.body = [item for item in node.body if without not in names_of(item)]
    if qualified.count(".") == 1:
        return ast.unparse(node)
    line = attachment(qualified.split(".")[1], node)
    node.decorator_list = []
    return f"{ast.unparse(node)}\n\n\n{line}"


@pytest.mark.parametrize(
    ("qualified", "old", "new"),
    [
        ("patches.patchify", "permute(0, 2, 4, 3, 5, 1)", "permute(0, 2, 4, 5, 3, 1)"),
        ("patches.patchify", "H // p * (W // p)", "W // p * (H // p)"),
        pytest.param("masking.Masking", "self.restore >=", "self.restore >", id="a property"),
        pytest.param(
            "masking.Masking",
            "stable=True)\n        return cls(order[:, :keep]",
            "stable=False)\n        return cls(order[:, :keep]",
            id="a classmethod",
        ),
        pytest.param(
            "masking.Masking", "@property\n    def restore", "@classmethod\n    def restore", id="a decorator"
        ),
        pytest.param("masking.Masking", "    hidden: Tensor", "    covered: Tensor", id="a field's name"),
        pytest.param(
            "masking.Masking", "missing: Tensor | None = None\n\n", "missing: Tensor\n\n", id="a field's default"
        ),
        pytest.param(
            "masking.Masking", "missing: Tensor | None = None\n\n", "missing: Tensor = None\n\n", id="a field's type"
        ),
        ("masking.Masking.mask", "self.restore >=", "self.restore >"),
        ("masking.Masking.from_noise", "torch.inf", "0.0"),
        ("model.MaskedAutoencoder.forward", "~masking.missing", "masking.missing"),
        ("encoder.Encoder", "self.class_token + self.positions[0]", "self.class_token"),
    ],
)
def test_one_changed_line_is_drift(qualified, old, new):
    source = cell_of(qualified)
    assert source.count(old) == 1
    taught = [qualified.rsplit(".", 1)[0], qualified]
    check(qualified, source, taught)
    with pytest.raises(AssertionError, match="has drifted"):
        check(qualified, source.replace(old, new), taught)


def test_docstrings_and_annotations_of_arguments_are_no_drift():
    source = cell_of("patches.patchify")
    assert source.count('"""Cut') == source.count("images: Tensor") == 1
    check("patches.patchify", source.replace('"""Cut', '"""Slice').replace("images: Tensor", "images"), [])


def test_a_method_may_be_left_out_only_where_it_is_shown_or_listed(monkeypatch):
    source = cell_of("masking.Masking", without="restore")
    with pytest.raises(AssertionError, match=r"no cell shows masking\.Masking\.restore"):
        check("masking.Masking", source, [])
    check("masking.Masking", source, ["masking.Masking.restore"])
    monkeypatch.setitem(NOT_TAUGHT, "masking.Masking.restore", "a reason")
    check("masking.Masking", source, [])
    with pytest.raises(AssertionError, match="has drifted"):
        check("masking.Masking", cell_of("masking.Masking", without="missing"), [])


@pytest.mark.parametrize(
    ("method", "attached", "wrong"),
    [
        ("mask", "Masking.mask = property(mask)", "Masking.mask = mask"),
        ("from_noise", "Masking.from_noise = classmethod(from_noise)", "Masking.from_noise = from_noise"),
    ],
)
def test_a_method_on_its_own_is_attached_as_what_it_is(method, attached, wrong):
    qualified = f"masking.Masking.{method}"
    source, taught = cell_of(qualified), ["masking.Masking", qualified]
    assert source.endswith(attached)
    check(qualified, source, taught)
    for other in (wrong, ""):
        with pytest.raises(AssertionError, match="is not attached"):
            check(qualified, source.replace(attached, other), taught)


def test_a_class_is_shown_before_it_is_taken_apart():
    qualified = "masking.Masking.mask"
    with pytest.raises(AssertionError, match="before its class"):
        check(qualified, cell_of(qualified), [qualified, "masking.Masking"])


@pytest.mark.parametrize(
    ("qualified", "kind"), [("masking.Masking", ast.ClassDef), ("patches.patchify", ast.FunctionDef)]
)
def test_a_definition_that_nobody_takes_in_is_noticed(qualified, kind, monkeypatch):
    source = cell_of(qualified)
    check(qualified, source, [])
    monkeypatch.setitem(LONGEST, kind, len(source.splitlines()) - 1)
    with pytest.raises(AssertionError, match="too long"):
        check(qualified, source, [])


def test_a_missing_piece_is_noticed():
    for qualified in ("loss.reconstruction_loss", "model.MaskedAutoencoder"):
        assert qualified in SHOWN
        assert uncovered([name for name in SHOWN if name != qualified]) == uncovered(SHOWN) | {qualified}


def test_a_method_in_the_cell_of_its_class_counts_as_shown():
    names = ("masking.Masking", "masking.Masking.mask")
    shown = pieces([("a chapter", name, cell_of(name)) for name in names])
    assert shown[:2] == ["masking.Masking", "masking.Masking.from_mask"]
    assert shown.count("masking.Masking.mask") == 2, "and a cell of its own shows it once more"
