"""The slides of the lecture, from the notebooks' own figures: `python book/slides/slides.py FOLDER [CLASS]`.

`slides.toml` lists figures, questions and answers; nbconvert makes reveal.js slides of them, and reveal.js comes along, so that
they need no network. CLASS is `first` or `torch`; both if left out, each on a page of its own.
"""

import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert.exporters import SlidesExporter

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "_ext"))
from lecture import slides  # noqa: E402
from live_assets import npm_ci  # noqa: E402

ROOT = HERE.parents[1]
CLASSES = {
    "first": "Seeing the unseen: a first lesson",
    "torch": "Seeing the unseen: a masked autoencoder in 90 minutes",
}


def figure(name: str) -> nbformat.NotebookNode:
    """The stored pictures of a cell, named `notebook cell`, with their text alternative; ValueError where there is none."""
    notebook, _, key = name.partition(" ")
    cells = nbformat.read(ROOT / "notebooks" / f"{notebook}.ipynb", 4).cells
    cell = next((cell for cell in cells if cell.id == key), None)
    pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})] if cell else []
    if not pictures:
        raise ValueError(f"{name} has no stored picture: name another cell in slides.toml, or run notebooks/store.py")
    for picture in pictures:
        picture.metadata["image/png"] = {"alt": cell.metadata.mystnb.image.alt}
    shown = nbformat.v4.new_code_cell("", outputs=pictures)
    shown.metadata["slideshow"] = {"slide_type": "-"}
    return shown


def text(source: str, kind: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}})


def deck(of: str) -> nbformat.NotebookNode:
    """The slides of a class as a notebook: title, question, figure; the answer on the next key press."""
    notebook = nbformat.v4.new_notebook(metadata={"title": CLASSES[of]})
    notebook.cells = [
        text(f"# {CLASSES[of]}\n\nS shows the speaker's notes, F the whole screen, Esc all slides.", "slide")
    ]
    for slide in slides(of):
        notebook.cells += [
            text(f"## {slide['title']}\n\n{slide['ask']}", "slide"),
            figure(slide["figure"]),
            text(f"*{slide['expect']}*", "fragment"),
            text(
                f"Slide {slide['place']}, from chapter {slide['figure'][:2]}. Ask, wait, collect two guesses; then press on.",
                "notes",
            ),
        ]
    return notebook


def build(folder: Path, classes: tuple[str, ...] = tuple(CLASSES)) -> list[Path]:
    """Write the pages of these classes and reveal.js below a folder."""
    npm_ci(HERE)
    for part in ("dist", "plugin/notes"):
        shutil.copytree(HERE / "node_modules/reveal.js" / part, folder / "reveal.js" / part, dirs_exist_ok=True)
    exporter = SlidesExporter(
        template_name="lecture",
        extra_template_basedirs=[str(HERE)],
        exclude_input=True,
        reveal_url_prefix="reveal.js",
        reveal_theme="white",  # its font lies beside it; others load theirs from another host
    )
    pages = []
    for of in classes:
        pages.append(folder / f"{of}.html")
        pages[-1].write_text(exporter.from_notebook_node(deck(of))[0])
    return pages


if __name__ == "__main__":
    for page in build(Path(sys.argv[1]), tuple(sys.argv[2:]) or tuple(CLASSES)):
        print(
            f"{page}: {page.stat().st_size / 1e6:.1f} MB; to show it: python -m http.server --directory {page.parent}"
        )
