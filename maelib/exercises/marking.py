"""Marking lab sheets: the answers of a filled notebook are read as text, forgivingly, and never run."""

import csv
import io
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .draws import Question
from .questions import EDITION, questions
from .sheet import answer_in_words, import_nbformat

RIGHT, WRONG, UNCLEAR, EMPTY = "1", "0", "?", "-"
_TITLE = re.compile(r"Sheet (\d+), chapters (\d(?:[\d,-]*\d)?), edition (\d+)")
_ANSWER = re.compile(r"Answer\W{0,3}(\d+\.\d+)\W{0,3}:(.*?)(?=Answer\W{0,3}\d+\.\d+\W{0,3}:|\Z)", re.S)
_DIGITS = r"(?:\d{1,3}(?:[ ,.'_]\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,]\d+)?|[.,]\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[-+]?)\s*(?P<digits>{_DIGITS})(?:e(?P<e>[-+]?\d+)|\s*[*x]?\s*10\s*(?:\^|\*\*)\s*(?P<power>[-+]?\d+))?"
    rf"(?:\s*/\s*(?P<under>{_DIGITS}))?\s*(?P<percent>%?)",
    re.I,
)
_SAME = str.maketrans("−–×·⁰¹²³⁴⁵⁶⁷⁸⁹⁻\u00a0\u2009\u202f", "--**0123456789-   ")


class Marks(NamedTuple):
    """A marked notebook: the sheet it is, the mark of each question, and a sentence where something is odd."""

    file: str
    seed: int | None
    marks: dict[str, str]  # by question: "1" right, "0" wrong, "?" a person must read it, "-" no answer
    given: dict[str, str]
    note: str = ""

    @property
    def points(self) -> int:
        return list(self.marks.values()).count(RIGHT)


def mark(path: Path) -> Marks:
    """Mark a filled notebook; what cannot be read is a note, not an error."""
    try:
        notebook = import_nbformat().read(path, as_version=4)
        texts = [_labelled(cell.get("id", ""), str(cell.source)) for cell in notebook.cells]
    except ImportError:
        raise
    except Exception as error:  # damaged in whatever way
        return Marks(path.name, None, {}, {}, f"cannot be read as a notebook: {' '.join(str(error).split())[:100]}")
    title = next(filter(None, map(_TITLE.search, texts)), None)
    if title is None:
        return Marks(path.name, None, {}, {}, "is no lab sheet, or its title 'Sheet ..., edition ...' was changed")
    if int(title[3]) != EDITION:
        note = f"is of edition {title[3]}, and this maelib has the answers to {EDITION}: mark it with the version that wrote it"
        return Marks(path.name, int(title[1]), {}, {}, note)
    try:
        asked = questions(int(title[1]), parse_chapters(title[2]))
    except ValueError as error:
        return Marks(path.name, int(title[1]), {}, {}, str(error))
    given = dict.fromkeys(asked, "")
    for text in texts:
        for number, answer in _ANSWER.findall(text):
            if number in given and answer.strip(" *\n\t_"):
                given[number] = answer.strip(" *\n\t_")
    marks = {number: judge_answer(question, given[number]) for number, question in asked.items()}
    return Marks(path.name, int(title[1]), marks, given)


def _labelled(name: str, text: str) -> str:
    """The text of a cell; where somebody has written over an answer's label, with the label again."""
    number = re.fullmatch(r"answer-(\d+)-(\d+)", name)
    return f"Answer {number[1]}.{number[2]}: {text}" if number and "Answer" not in text else text


def judge_answer(question: Question, text: str) -> str:
    """The mark of an answer's text; "?" where it holds no number, or more of them than one can choose from."""
    try:
        return _judge(question, text) if text else EMPTY
    except (OverflowError, ValueError):  # numbers of thousands of digits
        return UNCLEAR


def _judge(question: Question, text: str) -> str:
    text = re.sub(r"\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", r"\1/\2", re.sub(r"\^\{?([-+]?\d+)\}?", r"^\1", text))
    text = (
        re.sub(r"\\(?:cdot|times)", "*", text.translate(_SAME)).replace("$", "").replace("\\%", "%").replace("\\,", " ")
    )
    text = re.sub(r"([\d*]\s*10)(-\d+)", r"\1^\2", text)  # an exponent that was raised
    pieces = [text, re.split(r"[=≈]", text)[-1]]
    if isinstance(question.answer, list):
        found = [[int(number) for number in re.findall(r"\d+", piece)] for piece in pieces]
        fitting = [numbers for numbers in found if len(numbers) == len(question.answer)]
        if not any(found):
            return UNCLEAR
        if not fitting:
            return WRONG if question.set_of else UNCLEAR
        same = sorted if question.set_of else list
        return RIGHT if any(same(numbers) == same(question.answer) for numbers in fitting) else WRONG
    readings = [list(map(values, _NUMBER.finditer(piece))) for piece in pieces]
    single = [numbers[0] for numbers in readings if len(numbers) == 1]
    if not single:
        return UNCLEAR
    near = question.tolerance + 1e-9 * abs(question.answer)
    return RIGHT if any(abs(value - question.answer) <= near for value in single[-1]) else WRONG


def values(number: re.Match) -> set[float]:
    """What a number may mean: 1,234 is one thousand or one and a bit, and both are tried."""
    factor = -1.0 if number["sign"] == "-" else 1.0
    factor *= 10.0 ** int(number["e"] or number["power"] or 0) / (100 if number["percent"] else 1)
    unders = plain(number["under"]) if number["under"] else {1.0}
    return {factor * over / under for over in plain(number["digits"]) for under in unders if under}


def plain(digits: str) -> set[float]:
    """The values of digits with decimal or thousands marks, of either habit."""
    digits = re.sub(r"[ '_]", "", digits)
    marks = re.findall(r"[.,]", digits)
    if not marks:
        return {float(digits)}
    whole, _, rest = digits.rpartition(marks[-1])
    decimal = float(re.sub(r"[.,]", "", whole) + "." + rest)
    thousands = float(re.sub(r"[.,]", "", digits))
    if len(set(marks)) == 2:
        return {decimal}
    if len(marks) > 1:
        return {thousands}
    return {decimal, thousands} if len(rest) == 3 and whole not in ("", "0") else {decimal}


def parse_chapters(text: str) -> list[int]:
    """Chapters from 1-3,5; ValueError where that cannot be."""
    found: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"\s*(\d{1,2})\s*(?:-\s*(\d{1,2}))?\s*", part)
        if not ends or int(ends[1]) > int(ends[2] or ends[1]):
            raise ValueError(f"chapters must be such as 1-5 or 2,4,7, got {text!r}")
        found += range(int(ends[1]), int(ends[2] or ends[1]) + 1)
    return sorted(set(found))


def as_csv(marked: Iterable[Marks]) -> str:
    """One table of many notebooks, a row to each."""
    marked = list(marked)
    numbers = sorted(
        {number for one in marked for number in one.marks}, key=lambda number: [*map(int, number.split("."))]
    )
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "seed", *numbers, "points", "of", "to read", "note"])
    for one in marked:
        unclear = [number for number, mark in one.marks.items() if mark == UNCLEAR]
        row = [one.marks.get(number, "") for number in numbers]
        writer.writerow([one.file, one.seed, *row, one.points, len(one.marks), " ".join(unclear), one.note])
    return text.getvalue()


def as_text(one: Marks) -> str:
    """One notebook for people: each question with its points, what was given, and what is right."""
    if not one.marks:
        return f"{one.file} {one.note}\n"
    assert one.seed is not None
    asked = questions(one.seed, sorted({int(number.partition(".")[0]) for number in one.marks}))
    lines = [f"{one.file}: sheet {one.seed}, {one.points} of {len(one.marks)} points"]
    for number, mark in one.marks.items():
        given = " ".join(one.given[number].split())[:60]
        answer = answer_in_words(asked[number])
        said = {RIGHT: given, EMPTY: f"no answer; {answer}", UNCLEAR: f"{given!r} is for you to read; {answer}"}
        lines.append(f"  {number}  {mark}  {said.get(mark, f'{given!r}, not {answer}')}")
    return "\n".join(lines) + "\n"
