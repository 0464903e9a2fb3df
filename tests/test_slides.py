"""The lecture's slides: every figure is there, fits, and needs no network; the page Teach this counts minutes and slides right."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from book_site import FLAGS, chromium

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "book/slides"))
sys.path.insert(0, str(ROOT / "book/_ext"))
import lecture  # noqa: E402
import slides  # noqa: E402

PAGE = (ROOT / "book/teach.md").read_text()
PLANS = {"first": "## The first lesson", "torch": "## The lesson with PyTorch"}


@pytest.mark.parametrize("of", slides.CLASSES)
def test_every_slide_has_a_figure_a_question_and_an_answer(of):
    cells = slides.deck(of).cells
    kinds = [cell.metadata.slideshow.slide_type for cell in cells]
    assert kinds == ["slide", *["slide", "-", "fragment", "notes"] * len(lecture.slides(of))]
    figures = [cell for cell in cells if cell.cell_type == "code"]
    assert all(len(output.metadata["image/png"]["alt"]) > 30 for cell in figures for output in cell.outputs)
    listed = tomllib.loads(lecture.LIST.read_text())["slide"]
    assert all(slide["ask"].endswith("?") and slide["classes"] for slide in listed)
    assert [slide["figure"] for slide in listed] == sorted([s["figure"] for s in listed], key=lambda name: name[:2])


def test_a_cell_without_a_picture_is_named():
    with pytest.raises(ValueError, match="02_masking c05 has no stored picture"):
        slides.figure("02_masking c05")


@pytest.mark.parametrize("of", slides.CLASSES)
def test_the_plan_fills_90_minutes_and_shows_every_slide(of):
    plan = PAGE.split(PLANS[of])[1].split("```{lecture}")[0]
    rows = re.findall(r"^\| (\d+) to (\d+) \| *([\d, to]*?) *\|", plan, re.M)
    assert [int(row[0]) for row in rows] == [0, *(int(row[1]) for row in rows[:-1])]
    assert rows[-1][1] == "90"
    shown = []
    for _, _, places in rows:
        for part in filter(None, places.strip().split(", ")):
            first, _, last = part.partition(" to ")
            shown += range(int(first), int(last or first) + 1)
    assert shown == list(range(1, 2 + len(lecture.slides(of))))


def test_what_the_page_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make (\w+)", PAGE, re.M):
        assert f"\n{target}:" in makefile, target
    from maelib.exercises import names

    assert set(re.findall(r"\d\d\.[a-z]+\b", PAGE)) <= set(names())
    alone = PAGE.split("## Alone")[1]
    assert sum(map(int, re.findall(r", (\d+) minutes:", alone))) == 90


@pytest.mark.audit  # needs a browser and, once, npm
def test_slides_show_without_a_network(tmp_path):
    from playwright.sync_api import sync_playwright

    path = chromium()
    pages = slides.build(tmp_path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        for file, of in zip(pages, slides.CLASSES, strict=True):
            page.goto(file.as_uri())
            page.wait_for_selector(".reveal.ready")
            assert page.evaluate("Reveal.getTotalSlides()") == 1 + len(lecture.slides(of))
            heights = page.evaluate("[...document.querySelectorAll('.slides > section')].map(s => s.scrollHeight)")
            assert max(heights) <= 760, f"slide {heights.index(max(heights)) + 1} of {of} is cut off"
            assert page.evaluate("[...document.images].every(i => i.naturalWidth > 100 && i.alt.length > 30)")
            page.evaluate("Reveal.slide(1)")
            answer = page.locator("section.present .fragment")
            assert "visible" not in (answer.get_attribute("class") or "")
            page.keyboard.press("ArrowRight")
            page.wait_for_selector("section.present .fragment.visible")
        browser.close()
    assert not errors
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
