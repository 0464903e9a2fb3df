"""Mutants: faults put into a copy of the package, one at a time, which the tests named after the thing must notice.

The faults stand in mutants.toml. Each gets a copy of `maelib/` and one run of pytest on one file of tests against it.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT

TESTS = ROOT / "tests"
MUTANTS: list[dict[str, str]] = tomllib.loads((TESTS / "mutants.toml").read_text())["mutant"]
FILES = sorted({mutant["test"] for mutant in MUTANTS})
AT_ONCE = 2  # processes
NO_COPY = 90  # an exit status that pytest does not have
RUN = f"""
import sys, pathlib, maelib
if pathlib.Path.cwd() not in pathlib.Path(maelib.__file__).parents:
    print("the tests would run on", maelib.__file__)
    sys.exit({NO_COPY})
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""

each_mutant = pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant["fault"] for mutant in MUTANTS])


def changed(mutant: dict[str, str]) -> str:
    """The source of the file with the fault in it."""
    source = (ROOT / "maelib" / mutant["file"]).read_text()
    count = source.count(mutant["old"])
    assert count == 1, f"maelib/{mutant['file']} has {count} times, not once, what mutants.toml says: {mutant['old']!r}"
    return source.replace(mutant["old"], mutant["new"])


def pytest_on_a_copy(folder: Path, test: str, only: str, mutant: dict[str, str] | None = None) -> tuple[int, str]:
    """Run one file of tests on a copy of the package, with the fault or without; exit status and output."""
    shutil.copytree(ROOT / "maelib", folder / "maelib", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").symlink_to(ROOT / "data")
    if mutant:
        (folder / "maelib" / mutant["file"]).write_text(changed(mutant))
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        ROOT,
        "-c",
        ROOT / "pyproject.toml",
        "-m",
        "not audit",
    ]
    command = [sys.executable, "-c", RUN, *options, TESTS / test, *(["-k", only] if only else [])]
    environment = os.environ | {
        "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE",
    }  # fmt: skip
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    shutil.rmtree(folder)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future]]:
    """The runs that the chosen tests ask for, by fault or by file, under way in the background."""
    started: dict[str, Future] = {}
    chosen = defaultdict(set)
    for mutant in MUTANTS:
        chosen[mutant["test"]].add(mutant.get("only", ""))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for item in request.session.items:
            arguments = getattr(item, "callspec", None) and item.callspec.params
            if item.path != Path(__file__) or not item.get_closest_marker("audit"):
                continue
            folder = tmp_path_factory.mktemp("copy")
            if mutant := arguments.get("mutant"):
                only = mutant.get("only", "")
                started[mutant["fault"]] = pool.submit(pytest_on_a_copy, folder, mutant["test"], only, mutant)
            else:
                parts = chosen[arguments["test"]]
                only = "" if "" in parts else " or ".join(sorted(parts))
                started[arguments["test"]] = pool.submit(pytest_on_a_copy, folder, arguments["test"], only)
        yield started
        pool.shutdown(cancel_futures=True)


def test_each_fault_has_a_name_of_its_own():
    assert len({mutant["fault"] for mutant in MUTANTS}) == len(MUTANTS)


@each_mutant
def test_a_mutant_is_one_change_of_the_source_that_still_is_python(mutant):
    source = (ROOT / "maelib" / mutant["file"]).read_text()
    assert ast.dump(ast.parse(changed(mutant))) != ast.dump(ast.parse(source))
    tests = re.findall(r"^def (test_\w+)", (TESTS / mutant["test"]).read_text(), re.MULTILINE)
    for word in re.split(" or ", mutant.get("only", "")):
        assert any(word in name for name in tests), f"no test of {mutant['test']} has {word!r} in its name"


@pytest.mark.audit
@pytest.mark.parametrize("test", FILES)
def test_the_tests_pass_on_a_copy_without_a_fault(runs, test):
    status, output = runs[test].result()
    assert status == pytest.ExitCode.OK, output[-3000:]
    assert re.search(r"^\d+ passed", output, re.MULTILINE), output[-3000:]


@pytest.mark.audit
@each_mutant
def test_a_mutant_does_not_survive(runs, mutant):
    status, output = runs[mutant["fault"]].result()
    assert status != pytest.ExitCode.OK, f"{mutant['test']} does not notice: {mutant['fault']}"
    assert status == pytest.ExitCode.TESTS_FAILED, output[-3000:]
    assert re.search(r"^\d+ failed", output, re.MULTILINE), output[-3000:]
