"""Lab sheets: the same everywhere, answers worked out once more by the package, marking that forgives forms only."""

import csv
import hashlib
import json
import re
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maelib import MAEConfig, MaskedAutoencoder, Masking
from maelib.cli import main
from maelib.evaluation import psnr
from maelib.exercises.draws import Draw, Question, decimal
from maelib.exercises.marking import judge_answer, mark, parse_chapters
from maelib.exercises.questions import CHAPTERS, questions
from maelib.exercises.sheet import in_short, write_key, write_sheet
from maelib.loss import normalize_patches, reconstruction_loss
from maelib.training.optimizer import learning_rate
from maelib.transformer import Block

SEEDS = (0, 1, 4711, 2**31 - 1)
ALL = list(CHAPTERS)


def integers(text):
    return [int(number) for number in re.findall(r"(?<![\w.])-?\d+(?!\w|\.\d)", text.replace(",000", "000"))]


def filled(path, seed, answers, chapters=ALL):
    """A sheet with answers, by question, or the right ones."""
    notebook = nbformat.reads(write_sheet(seed, chapters), 4)
    for cell in notebook.cells:
        if cell.id.startswith("answer-"):
            cell.source += answers.get(cell.id[7:].replace("-", "."), "")
    nbformat.write(notebook, path)
    return path


def right(seed, chapters=ALL):
    texts = {}
    for number, question in questions(seed, chapters).items():
        many = isinstance(question.answer, list)
        texts[number] = f"({', '.join(map(str, question.answer))})" if many else repr(question.answer)
    return texts


# -- the sheet -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "chapters", "expected"),
    [(4711, "1-8", "bb8d9c6aeec16e39"), (7, "2,5", "358ef6568f9b8b4c")],
)
def test_the_same_seed_gives_the_same_bytes(seed, chapters, expected):
    text = write_sheet(seed, parse_chapters(chapters))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == expected


def test_another_process_and_number_of_threads_give_the_same_bytes():
    code = "import sys; from maelib.exercises.sheet import *; sys.stdout.write(write_sheet(5, [1, 2, 8]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == write_sheet(5, [1, 2, 8])


def test_a_sheet_is_a_valid_notebook_with_a_place_for_each_answer():
    notebook = nbformat.reads(write_sheet(4711, ALL), 4)
    nbformat.validate(notebook)
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    asked = questions(4711, ALL)
    assert len(asked) == 3 * len(ALL) == 24
    assert [f"answer-{number.replace('.', '-')}" for number in asked] == [name for name in ids if "answer" in name]
    assert not [cell for cell in notebook.cells if cell.cell_type != "markdown"]
    assert "answer" not in notebook.metadata
    key = write_key(4711, ALL)
    assert [line.split()[0] for line in key.splitlines()[1:]] == list(asked)


def test_no_two_of_thirty_students_have_the_same_answers():
    keys = [tuple(map(str, (q.answer for q in questions(seed, ALL).values()))) for seed in range(1, 31)]
    assert len(set(keys)) == 30
    for place in range(24):  # and no question has one answer for all
        assert len({key[place] for key in keys}) >= 4, list(questions(1, ALL))[place]


def test_a_chapter_does_not_depend_on_which_others_are_asked():
    everything = questions(99, ALL)
    assert questions(99, [6]) == {number: q for number, q in everything.items() if number[0] == "6"}


def test_draws_stay_in_their_range_and_use_all_of_it():
    draw = Draw(3, 1)
    assert {draw.between(2, 5) for _ in range(200)} == {2, 3, 4, 5}
    assert sorted(draw.some(9, 9)) == list(range(9))
    assert [decimal(*pair) for pair in ((75, 2), (100, 2), (5, 4), (120, 1))] == ["0.75", "1", "0.0005", "12"]


# -- the answers, by the package -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_on_tokens_are_the_models(seed):
    asked = questions(seed, ALL)
    B, side, _, hidden, D = integers(asked["3.1"].text.replace("%", ""))[:5]
    assert asked["3.1"].answer == [B, 1 + Masking.random(B, side * side, hidden / 100).visible.shape[1], D]
    (D,) = integers(asked["3.3"].text)
    assert asked["3.3"].answer == sum(p.numel() for p in Block(D, 4, 4.0).parameters())
    side, _, hidden = integers(asked["4.1"].text)[:3]
    M = Masking.random(1, side * side, hidden / 100).hidden.shape[1]
    assert asked["4.1"].answer == [1 + side * side, M]
    assert asked["4.2"].answer == pytest.approx((1 + side**2) ** 2 / (M * (1 + side**2 - M)))
    p, _, B = integers(asked["4.3"].text)
    sizes = {f"{part}{name}": n for part in ("", "decoder_") for name, n in (("width", 16), ("depth", 1), ("heads", 1))}
    model = MaskedAutoencoder(MAEConfig(image_size=side * p, patch_size=p, **sizes))
    out = model(torch.rand(1, 3, side * p, side * p), hidden / 100)
    assert asked["4.3"].answer == [B, *out.pred.shape[1:]]
    height, width, p, _ = integers(asked["1.1"].text)
    assert asked["1.1"].answer == (height // p) * (width // p)
    rows, columns = asked["1.1"].grid
    assert (rows * p, columns * p) == (height, width)
    (index,) = integers(asked["1.2"].text.split("stands")[1])
    assert asked["1.2"].answer == [int(i) for i in np.unravel_index(index, asked["1.1"].grid)]
    (D,) = integers(asked["1.3"].text)
    assert asked["1.3"].answer == sum(t.numel() for t in torch.nn.Linear(3 * p * p, D).parameters())


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_on_masks_are_maskings(seed):
    asked = questions(seed, [2])
    numbers = integers(asked["2.1"].text)
    noise, ratio = torch.tensor([numbers[9:18]]), numbers[18] / 100
    masking = Masking.from_noise(noise, ratio)
    assert asked["2.1"].answer == masking.visible[0].tolist()
    patch = integers(asked["2.2"].text)[1]
    assert asked["2.2"].answer == masking.restore[0, patch]
    picture = asked["2.3"]
    assert picture.answer == len(set(picture.hidden)) / (picture.grid[0] * picture.grid[1])
    assert max(picture.hidden) < picture.grid[0] * picture.grid[1]
    cell = next(c for c in nbformat.reads(write_sheet(seed, [2]), 4).cells if c.id == "question-2-3")
    assert cell.source.count("#") == len(picture.hidden)  # what the drawing shows as text


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_on_losses_are_the_loss(seed):
    asked = questions(seed, [5])
    rows = re.findall(r"\| \d \| (\w+) \| (-?\d+) \| (-?\d+) \| (-?\d+) \| (-?\d+) \|", asked["5.1"].text)
    hidden = torch.tensor([row[0] == "hidden" for row in rows])
    target, pred = (torch.tensor([[float(x) for x in row[i : i + 2]] for row in rows]) for i in (1, 3))
    loss = reconstruction_loss(pred[hidden][None], target[hidden][None]).item()
    assert asked["5.1"].answer == pytest.approx(loss)
    assert asked["5.2"].answer == pytest.approx(loss * hidden.float().mean().item())
    assert asked["5.1"].answer - asked["5.2"].answer > asked["5.1"].tolerance
    patch = torch.tensor([[[float(x) for x in integers(asked["5.3"].text)[:4]]]])
    assert asked["5.3"].answer == pytest.approx(normalize_patches(patch)[0, 0, -1].item(), abs=1e-4)
    scores = torch.tensor([[float(x) for x in integers(questions(seed, [3])["3.2"].text)[:2]]])
    d = integers(questions(seed, [3])["3.2"].text)[2]
    assert questions(seed, [3])["3.2"].answer == pytest.approx((scores / d**0.5).softmax(1)[0, 0].item(), abs=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_on_training_are_the_trainers(seed):
    asked = questions(seed, [6, 7])
    peak = float(re.search(r"to (0\.\d+);", asked["6.1"].text)[1])
    warmup, _, step = (
        int(x) for x in re.findall(r"(?<![\d.])\d+(?![\d.]*\d)", asked["6.1"].text.replace("rate of 0", ""))[:3]
    )
    assert asked["6.1"].answer == pytest.approx(learning_rate(step, 10**6, warmup, peak))
    assert abs(learning_rate(step - 1, 10**6, warmup, peak) - asked["6.1"].answer) > 2 * asked["6.1"].tolerance
    start, end, later = (int(x) for x in re.findall(r"step (\d+)", asked["6.2"].text))
    assert asked["6.2"].answer == pytest.approx(learning_rate(later, end, start, peak))
    cards, piece, times = (
        int(x) for x in re.findall(r"(?<![\d.])\d+(?= card| pictures on| pieces to)", asked["6.3"].text)
    )
    base = float(re.search(r"of (0\.\d+) is", asked["6.3"].text)[1])
    assert asked["6.3"].answer == pytest.approx(base * cards * piece * times / 256)
    hours, pictures, speed = integers(asked["7.1"].text)
    seconds = 3600 * hours
    assert asked["7.1"].answer * pictures / speed < seconds < (asked["7.1"].answer + 1) * pictures / speed
    assert asked["7.2"].answer == integers(asked["7.2"].text)[0] * 12
    batch, pictures, epochs = integers(asked["7.3"].text)
    assert asked["7.3"].answer == epochs * (pictures // batch)


@pytest.mark.parametrize("seed", SEEDS)
def test_answers_on_measuring_are_scikit_images(seed):
    asked = questions(seed, [8])
    rows = np.array([integers(line) for line in asked["8.1"].text.splitlines()[-3:]]) / 255
    assert asked["8.1"].answer == pytest.approx(psnr(rows[:, :3], rows[:, 3:]), abs=1e-6)
    share = integers(asked["8.2"].text)[0] / 100
    masked = float(re.search(r"scores ([\d.]+) dB", asked["8.2"].text)[1])
    original, guess, where = np.zeros((100, 1)), np.zeros((100, 1)), np.zeros((100, 1), bool)
    where[: round(100 * share)] = True
    guess[where] = 10 ** (-masked / 20)
    assert psnr(original, guess, where) == pytest.approx(masked)
    assert asked["8.2"].answer == pytest.approx(psnr(original, guess))
    low, high = map(float, re.findall(r"([\d.]+) dB", asked["8.3"].text))
    assert asked["8.3"].answer == pytest.approx(10 ** ((high - low) / 10))


# -- marking -----------------------------------------------------------------------------------------------------------------

HALF = Question("", 0.75, "", tolerance=0.006)
RATE = Question("", 1.5e-4, "", tolerance=1e-6)
MANY = Question("", 85_647_360, "")
SHAPE = Question("", [2, 65, 192], "")
SET = Question("", [1, 4, 6], "", set_of=True)


@pytest.mark.parametrize(
    ("question", "texts"),
    [
        (HALF, ["0.75", "0,75", ".75", "75 %", "75%", "3/4", "192/256", " 0.750 ", "$\\frac{3}{4}$", "75\\,\\%"]),
        (HALF, ["M/N = 192 / 256 = 0.75", "about 0.75", "0.75 of all", "≈ 0.7512", "**0.75**", "M/N\n= 75 %"]),
        (RATE, ["1.5e-4", "0.00015", "1.5E-04", "1,5e-4", "1.5*10^-4", "1.5 x 10^-4", "1.5 · 10⁻⁴", "$1.5 \\cdot 10^{-4}$"]),
        (RATE, ["1.5*10**-4", "rate = 1.5e-4", "0.00015 (rounded)"]),
        (MANY, ["85647360", "85,647,360", "85.647.360", "85 647 360", "85_647_360", "85'647'360", "P = 85,647,360"]),
        (Question("", 13_824, ""), ["13824", "13,824", "13.824", "13 824", "D^2 = 13,824"]),
        (SHAPE, ["(2, 65, 192)", "2 x 65 x 192", "[2,65,192]", "torch.Size([2, 65, 192])", "2 65 192"]),
        (SHAPE, ["(B, 1+K, D) = (2, 65, 192)"]),
        (SET, ["1, 4, 6", "6 4 1", "{1, 4, 6}", "patches 1, 4 and 6"]),
    ],
)  # fmt: skip
def test_every_way_to_write_an_answer_is_right(question, texts):
    assert {text: judge_answer(question, text) for text in texts} == dict.fromkeys(texts, "1")


@pytest.mark.parametrize(
    ("question", "text", "said"),
    [
        (HALF, "0.25", "0"), (HALF, "75", "0"), (HALF, "7.5 %", "0"), (HALF, "-0.75", "0"), (HALF, "4/3", "0"),
        (HALF, "0.76", "0"), (HALF, "0.5 or 0.75", "?"), (HALF, "three quarters", "?"), (HALF, "", "-"),
        (HALF, "1/0", "0"), (HALF, "1e999999999", "?"), (HALF, "0.75; 0.25", "?"),
        (HALF, "9" * 5000, "0"), (SHAPE, "9" * 5000, "?"),
        (RATE, "1.5e-3", "0"), (RATE, "1.5", "0"), (MANY, "85.6 million", "0"), (MANY, "85647361", "0"),
        (SHAPE, "(2, 192, 65)", "0"), (SHAPE, "(65, 192)", "?"), (SHAPE, "none", "?"),
        (SET, "1, 4", "0"), (SET, "1, 4, 5", "0"), (SET, "0 1 2 3 4 5 6 7 8", "0"),
    ],
)  # fmt: skip
def test_what_is_wrong_or_unclear_earns_nothing(question, text, said):
    assert judge_answer(question, text) == said


@given(text=st.text(alphabet="0123456789.,-+/%*^eExX= ()[]{}\\\nfrac½٣", max_size=40))
@settings(deadline=None, max_examples=300)
def test_marking_never_fails(text):
    for question in (HALF, SHAPE, SET):
        assert judge_answer(question, text) in ("1", "0", "?", "-")


@pytest.mark.parametrize("seed", [3, 4711])
def test_the_key_is_marked_right_and_another_seeds_key_is_not(seed, tmp_path):
    own = mark(filled(tmp_path / "own.ipynb", seed, right(seed)))
    assert own.points == 24
    copied = mark(filled(tmp_path / "copied.ipynb", seed, right(seed + 1)))
    assert copied.points <= 5
    assert mark(filled(tmp_path / "empty.ipynb", seed, {})).points == 0


def test_rounded_as_the_question_asks_is_right():
    for seed in range(20):
        for number, question in questions(seed, ALL).items():
            if question.tolerance:
                digits = {"one decimal": 1, "two decimals": 2, "three decimals": 3}
                places = next((n for words, n in digits.items() if words in question.text), None)
                text = f"{question.answer:.{places}f}" if places else f"{question.answer:.3g}"
                text = f"{question.answer:.2g}" if "two digits" in question.text else text
                text = text if number != "7.2" else str(question.answer)
                assert judge_answer(question, text) == "1", (seed, number, text, question.answer)


def test_code_of_a_student_is_never_run(tmp_path):
    path = filled(tmp_path / "a.ipynb", 1, {"1.1": f"__import__('os').mkdir('{tmp_path}/made')"})
    notebook = nbformat.read(path, 4)
    notebook.cells.append(nbformat.v4.new_code_cell(f"import os; os.mkdir('{tmp_path}/made')"))
    nbformat.write(notebook, path)
    mark(path)
    assert [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]


def test_an_answer_is_found_wherever_an_editor_put_it(tmp_path):
    answers = right(9, [1])
    notebook = nbformat.read(filled(tmp_path / "a.ipynb", 9, {}, [1]), 4)
    cells = {cell.id: cell for cell in notebook.cells}
    cells["answer-1-1"].source = answers["1.1"]  # written over the label
    cells["answer-1-2"].source = f"Answer 1.2: {answers['1.2']}"  # without stars
    notebook.cells.append(nbformat.v4.new_code_cell(f"# Answer 1.3: {answers['1.3']}"))
    nbformat.write(notebook, tmp_path / "a.ipynb")
    assert mark(tmp_path / "a.ipynb").points == 3


def test_a_sheet_of_other_questions_is_not_marked(tmp_path):
    path = filled(tmp_path / "a.ipynb", 3, right(3))
    path.write_text(path.read_text().replace("edition 1", "edition 2"))
    one = mark(path)
    assert one.marks == {}
    assert one.note == "is of edition 2, and this maelib has the answers to 1: mark it with the version that wrote it"


# -- the command ---------------------------------------------------------------------------------------------------------------


def test_a_folder_of_thirty_becomes_one_table(tmp_path, capsys):
    folder = tmp_path / "filled"
    folder.mkdir()
    for seed in range(28):
        answers = right(seed)
        for number in list(answers)[: seed % 24]:
            answers[number] = "-1"
        filled(folder / f"student-{seed:02}.ipynb", seed, answers)
    (folder / "student-28.ipynb").write_text("{")
    nbformat.write(nbformat.v4.new_notebook(), folder / "student-29.ipynb")
    assert main(["sheet", "--mark", str(folder), "--out", str(tmp_path / "marks.csv")]) == 1
    assert "2 of 30 could not be marked: student-28.ipynb, student-29.ipynb" in capsys.readouterr().err
    rows = list(csv.DictReader((tmp_path / "marks.csv").open()))
    assert [int(row["points"]) for row in rows] == [24 - seed % 24 for seed in range(28)] + [0, 0]
    assert [row["seed"] for row in rows[:28]] == [str(seed) for seed in range(28)]
    assert rows[5]["2.2"] == "0"
    assert rows[5]["2.3"] == "1"
    assert rows[28]["note"].startswith("cannot be read as a notebook")
    assert rows[29]["note"].startswith("is no lab sheet")


def test_the_command_writes_a_sheet_its_key_and_its_marks(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sheet", "--seed", "4711", "--chapters", "2"]) == 0
    assert capsys.readouterr().out == "written: sheet-4711.ipynb\n"
    assert (tmp_path / "sheet-4711.ipynb").read_text() == write_sheet(4711, [2])
    assert main(["sheet", "--seed", "4711", "--chapters", "2"]) == 0  # the same again changes nothing
    assert main(["sheet", "--seed", "4711", "--chapters", "2", "--key"]) == 0
    assert "2.3  " in capsys.readouterr().out
    filled(tmp_path / "sheet-4711.ipynb", 4711, right(4711, [2]) | {"2.2": "42"}, [2])
    before = (tmp_path / "sheet-4711.ipynb").read_bytes()
    assert main(["sheet", "--seed", "4711", "--chapters", "2"]) == 1  # it holds answers now
    assert "choose another --out" in capsys.readouterr().err
    assert (tmp_path / "sheet-4711.ipynb").read_bytes() == before
    assert main(["sheet", "--mark", "sheet-4711.ipynb"]) == 0
    said = capsys.readouterr().out
    assert "sheet-4711.ipynb: sheet 4711, 2 of 3 points" in said
    assert f"2.2  0  '42', not {questions(4711, [2])['2.2'].answer}" in said


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "a sheet needs --seed"),
        (["--seed", "-1"], 2, "seed must be in [0, 2**31), got -1"),
        (["--seed", "1", "--chapters", "0-3"], 2, "chapters 1 to 8, got 0"),
        (["--seed", "1", "--chapters", "5-3"], 2, "such as 1-5 or 2,4,7, got '5-3'"),
        (["--seed", "1", "--chapters", "all"], 2, "such as 1-5 or 2,4,7, got 'all'"),
        (["--seed", "1", "--out", "sheet.pdf"], 2, "--out must end in .ipynb, got sheet.pdf"),
        (["--seed", "1", "--key", "--out", "key.ipynb"], 2, "--out must end in .txt, got key.ipynb"),
        (["--mark", "a.ipynb", "--seed", "1"], 2, "leave --seed and --key away"),
        (["--mark", "nowhere.ipynb"], 1, "no file nowhere.ipynb"),
        (["--mark", "."], 1, "no notebook in ."),
        (["--mark", "a.txt", "--out", "marks.txt"], 2, "--out must end in .csv, got marks.txt"),
        (["--mark", "a.txt"], 1, "1 of 1 could not be marked: a.txt"),
    ],
)
def test_bad_seeds_chapters_and_files_are_one_sentence(arguments, status, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(json.dumps([1]))
    assert main(["sheet", *arguments]) == status
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_chapters_are_written_as_they_are_read():
    for text in ("1-8", "2,4,7", "1-3,5", "6"):
        assert in_short(parse_chapters(text)) == text


def test_without_nbformat_one_sentence_says_how_to_get_it(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "nbformat", None)
    assert main(["sheet", "--seed", "1"]) == 1
    assert "pip install 'maelib[lab]'" in capsys.readouterr().err
    assert main(["sheet", "--seed", "1", "--key"]) == 0  # needs no notebook
