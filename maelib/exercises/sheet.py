"""Lab sheets: a notebook of questions whose pictures, masks and sizes a seed chooses, and the marker's answers to them.

A sheet is the same for the same seed and chapters on every machine, byte for byte: its photographs are the shipped files
themselves, cropped and covered by the page that shows them.
"""

import base64
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from ..files import data_path
from .draws import Question
from .questions import CHAPTERS, EDITION, questions

CELL = 40  # of a patch of the drawings
HELP = """Write each answer behind the colon of its cell, and nothing else there but the answer: `64`, `0.75`, `75 %`, `3/4`,
`1.5e-4`, `21.3 dB`; several numbers as `(2, 65, 192)`. Decimals take a point or a comma. Calculate wherever you like, in cells
of your own. The pictures need no kernel."""


def import_nbformat() -> Any:
    """The library that reads and writes notebooks, which training and the rest of the package do not need.

    Raises
    ------
    ImportError
        It is not installed; the message says how to get it.
    """
    try:
        import nbformat
    except ImportError as error:
        raise ImportError("lab sheets are notebooks, and nbformat is missing: pip install 'maelib[lab]'") from error
    return nbformat


def write_sheet(seed: int, chapters: Sequence[int]) -> str:
    """The notebook of a seed as text; ValueError as `questions`, ImportError without nbformat."""
    nbformat = import_nbformat()
    cells = [_markdown("sheet", f"# {title(seed, chapters)}\n\n{HELP}")]
    asked = questions(seed, chapters)
    for chapter, numbers in groupby(asked, key=lambda number: number.partition(".")[0]):
        cells.append(_markdown(f"chapter-{chapter}", f"## {int(chapter):02} {CHAPTERS[int(chapter)][0]}"))
        for number in numbers:
            key, question = number.replace(".", "-"), asked[number]
            picture = f"{_picture(question)}\n\n" if question.photograph else ""
            cells += [
                _markdown(f"question-{key}", f"**Question {number}.** {picture}{question.text}"),
                _markdown(f"answer-{key}", f"**Answer {number}:** "),
            ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return nbformat.writes(nbformat.from_dict(notebook)) + "\n"


def write_key(seed: int, chapters: Sequence[int]) -> str:
    """The answers of a seed with the way to each, a line to a question."""
    lines = [f"Key of {title(seed, chapters)}"]
    for number, question in questions(seed, chapters).items():
        near = f" +- {question.tolerance:.3g}" if question.tolerance else ""
        lines.append(f"{number}  {answer_in_words(question)}{near}   ({question.how})")
    return "\n".join(lines) + "\n"


def title(seed: int, chapters: Sequence[int]) -> str:
    """The line by which a sheet is known again."""
    return f"Sheet {seed}, chapters {in_short(chapters)}, edition {EDITION}"


def answer_in_words(question: Question) -> str:
    """The answer as a marker reads it."""
    if isinstance(question.answer, list):
        return ", ".join(map(str, question.answer))
    return f"{question.answer:.4g}" if question.tolerance else str(question.answer)


def in_short(chapters: Sequence[int]) -> str:
    """Chapters as the command line takes them: 1-3,5."""
    found = sorted(set(chapters))
    runs = [[number for _, number in run] for _, run in groupby(enumerate(found), key=lambda pair: pair[1] - pair[0])]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def _markdown(name: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def _picture(question: Question) -> str:
    """The photograph with its patches, as an address that holds all of it, and the patches once more as text."""
    rows, columns = question.grid
    width, height = CELL * columns, CELL * rows
    photograph = base64.b64encode(Path(data_path(f"samples/{question.photograph}.jpg")).read_bytes()).decode()
    gray = "".join(
        f'<rect x="{CELL * (i % columns)}" y="{CELL * (i // columns)}" width="{CELL}" height="{CELL}" fill="#888"/>'
        for i in question.hidden
    )
    lines = [f"M0 {CELL * row}H{width}" for row in range(rows + 1)]
    lines += [f"M{CELL * column} 0V{height}" for column in range(columns + 1)]
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f'<image href="data:image/jpeg;base64,{photograph}" width="{width}" height="{height}" '
        f'preserveAspectRatio="xMidYMid slice"/>{gray}<path d="{"".join(lines)}" stroke="#fff" fill="none"/></svg>'
    )
    address = f"data:image/svg+xml;base64,{base64.b64encode(drawing.encode()).decode()}"
    if not gray:
        return f"\n\n![A photograph ({question.photograph}) with the lines between its patches]({address})"
    signs = ("#" if i in question.hidden else "." for i in range(rows * columns))
    text = re.sub(rf"(.{{{columns}}})", r"\1\n", "".join(signs))
    alt = f"A photograph ({question.photograph}) with some patches gray; the text below it marks them"
    return f"\n\n![{alt}]({address})\n\n```text\n{text}```"
