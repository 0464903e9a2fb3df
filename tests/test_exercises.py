"""Build exercises: the checks accept the solutions, refuse what readers typically write, and never end in a traceback."""

import re
import runpy
from pathlib import Path

import nbformat
import pytest
import torch
from exercises_wrong import WRONG

import maelib.exercises
from maelib.exercises import check, judge, names

ROOT = Path(__file__).resolve().parent.parent
STUBS = {path.stem.replace("_", ".", 1): path for path in sorted((ROOT / "exercises").glob("*.py"))}
CALLS = {name: task.call for name, task in maelib.exercises.TASKS.items()}


def solution(name):
    """The function that solves an exercise."""
    module = runpy.run_path(str(ROOT / "exercises/solutions" / STUBS[name].name))
    return module[CALLS[name].partition("(")[0]]


def test_every_chapter_has_a_stub_a_solution_and_three_wrong_answers():
    solutions = [path.name for path in sorted((ROOT / "exercises/solutions").glob("*.py"))]
    assert list(STUBS) == names() == list(WRONG)
    assert solutions == [path.name for path in STUBS.values()]
    assert [name[:2] for name in names()] == [f"{chapter:02}" for chapter in range(12)]
    assert all(len(answers) == 3 for answers in WRONG.values())


@pytest.mark.parametrize("name", STUBS)
def test_the_solution_is_right(name):
    good, sentence = judge(name, solution(name))
    assert good, sentence
    assert sentence.startswith(f"{name} is right: ")


@pytest.mark.parametrize("name", STUBS)
def test_the_solution_takes_what_the_stub_says(name):
    heading = re.compile(r"^def \w+\((.*?)\):$", re.M | re.S)
    stub, solved = (
        " ".join(heading.search(path.read_text())[0].split())
        for path in (STUBS[name], ROOT / "exercises/solutions" / STUBS[name].name)
    )
    assert stub == solved
    assert re.sub(r"\( | \)", lambda match: match[0].strip(), stub) == f"def {CALLS[name]}:"


@pytest.mark.parametrize("name", STUBS)
def test_wrong_answers_are_told_apart(name):
    """Each is refused in one sentence, with input and values or the error, and no two alike."""
    sentences = []
    for answer in WRONG[name]:
        good, sentence = judge(name, answer)
        assert not good, answer.__name__
        assert re.match(rf"{re.escape(name)} is not right yet: .*\.$", sentence), sentence
        assert "for " in sentence
        assert re.search(r" is .*, not |should be .*, got | raised ", sentence), sentence
        assert "\n" not in sentence
        assert len(sentence) < 420, sentence
        sentences.append(sentence)
    assert len(set(sentences)) == 3


@pytest.mark.parametrize("name", STUBS)
def test_a_stub_says_what_to_do_and_that_it_is_not_written(name, capsys):
    module = runpy.run_path(str(STUBS[name]))
    assert re.fullmatch(rf"{re.escape(name)} is not written yet: .+\n", capsys.readouterr().out, re.S)
    doc = module[CALLS[name].partition("(")[0]].__doc__
    arguments = CALLS[name].partition("(")[2].rstrip(")").split(", ")
    assert [argument for argument in arguments if argument not in doc] == []
    assert max(map(len, STUBS[name].read_text().splitlines())) <= 74


@pytest.mark.parametrize("name", STUBS)
def test_the_notebook_holds_the_stub_and_what_it_prints(name, capsys):
    path = next((ROOT / "notebooks").glob(f"{name[:2]}_*.ipynb"))
    cell = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"][-1]  # no solution sees its names
    assert cell.source == STUBS[name].read_text().rstrip("\n")
    runpy.run_path(str(STUBS[name]))
    assert "".join(output.text for output in cell.outputs) == capsys.readouterr().out
    assert "nbval-check-output" in cell.metadata.tags


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_every_chapter_ends_with_the_three_grades(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")
    parts = re.split(r"^#+ (Exercises|Read off|Build|Open|Summary)$", text, flags=re.M)
    assert parts[1::2] == ["Exercises", "Read off", "Build", "Open", "Summary"]
    read, build, question = parts[4], parts[6], parts[8]
    assert 2 <= len(re.findall(r"^\*\*\d\.\*\* ", read, re.M)) == read.count("<details><summary>Solution") <= 3
    assert build.strip()
    assert "**Yardstick:**" in question


@pytest.mark.parametrize("name", STUBS)
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda *inputs: None, "returned None"),
        (lambda *inputs: "seven", "should "),
        (lambda *inputs: {}, "should "),
        (lambda *inputs: inputs[0].no_such_thing, "raised AttributeError in line 1 of your function"),
        (lambda: 1, "raised TypeError"),
        (lambda *inputs: 1 / 0, "raised ZeroDivisionError"),
        (lambda *inputs: exit(3), "raised SystemExit"),
        (lambda *inputs: float("nan"), "should "),
        (lambda *inputs: torch.full((2, 2), torch.nan), "should "),
        (lambda *inputs: object(), "should "),
        (lambda *inputs: iter([]), "should "),
        (5, "hand over your function itself"),
        (None, "hand over your function itself"),
    ],
)
def test_whatever_comes_back_becomes_a_sentence(name, answer, said):
    good, sentence = judge(name, answer)
    assert not good
    nan = "is nan, not " in sentence or "[nan" in sentence
    assert said in sentence or (said == "should " and nan), sentence
    assert "\n" not in sentence


def test_an_input_that_was_changed_is_named():
    def fills_in_place(picture, hidden, reach):
        picture[hidden] = 0.5
        return picture

    assert "it changes its own input picture: work on a copy" in judge("00.neighbours", fills_in_place)[1]


def test_check_prints_a_sentence_lists_and_refuses(capsys):
    check("06.schedule", lambda *inputs: 0.25)
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 74
    assert " ".join(said.split()) == (
        "06.schedule is not right yet: for step 1, steps 12, warmup 4, peak 1, final 0.1, the result is 0.25, not 0.5."
    )
    check("?")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == names()
    with pytest.raises(ValueError, match=r"no exercise '2\.ratio'; there are: 00\.neighbours, 01"):
        check("2.ratio", print)
