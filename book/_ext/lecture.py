"""The lecture's questions, from `book/slides/slides.toml`: directive `{lecture} CLASS`, a table with the answers expected."""

import tomllib
from pathlib import Path
from typing import Any

from results import FromData, markdown_table
from sphinx.application import Sphinx

LIST = Path(__file__).resolve().parents[1] / "slides" / "slides.toml"


def slides(of: str) -> list[dict[str, Any]]:
    """The slides of a class, each with its place in the deck; the title has place 1."""
    listed = tomllib.loads(LIST.read_text())["slide"]
    return [slide | {"place": place} for place, slide in enumerate((s for s in listed if of in s["classes"]), 2)]


class Lecture(FromData):
    """Slide, chapter, question, answer."""

    def markdown(self) -> str:
        self.env.note_dependency(str(LIST))
        rows = []
        for slide in slides(self.arguments[0]):
            notebook = slide["figure"].partition(" ")[0]
            chapter = f"[{notebook[:2]}](../notebooks/{notebook}.ipynb)"
            rows.append([f"{slide['place']} {slide['title']}", chapter, slide["ask"], slide["expect"]])
        return markdown_table(["slide", "from", "ask", "expect"], rows).replace("--:", ":--")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("lecture", Lecture)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
