"""The pages of the book in a real browser: what they ask for, how they lie on a telephone, who can read them, how they print."""

import io
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from book_site import ROOT, pages
from pypdf import PdfReader

REPORT = ROOT / "_build" / "reports"
TWO = ("book/intro.html", "notebooks/03_encoder.html")
PAPER = 718  # pixels: A4 less the printer's margins


class Visit:
    """A page and everything that its loading asked for or complained about."""

    def __init__(self, browser, address: str, **context):
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", lambda request: self.complaints.append(f"{request.url}: {request.failure}"))
        self.page.on("response", self.refused)
        self.page.on("console", self.said)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address, wait_until="networkidle")

    def refused(self, response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.url}: {response.status}")

    def said(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


@pytest.fixture(scope="module")
def record(book: Path, book_url: str, browser) -> dict[str, Visit]:
    """Every page opened once on a telephone's width, with its requests; the record is left in _build/reports."""
    visits, widths = {}, {}
    for name in pages(book):
        with Visit(browser, book_url + name, viewport={"width": 400, "height": 800}) as visit:
            widths[name] = visit.page.evaluate(WIDER)
            visits[name] = visit
    REPORT.mkdir(parents=True, exist_ok=True)
    lines = [f"{name}\t{re.sub('^http://127[^/]*', '', url)}" for name, v in visits.items() for url in v.requests]
    (REPORT / "requests.tsv").write_text("\n".join(["page\taddress", *lines]) + "\n")
    for name, visit in visits.items():
        visit.wider = widths[name]
    return visits


# What stands out of the window: the page itself, and the elements to blame.
WIDER = """() => {
  const limit = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth <= limit) return []
  return [...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > limit + 1)
    .map(e => e.tagName + '.' + e.className).slice(0, 5).concat(document.documentElement.scrollWidth)
}"""


def test_pages_ask_nothing_of_another_host(record, book_url):
    host = urlsplit(book_url).netloc
    asked = {urlsplit(url).netloc for visit in record.values() for url in visit.requests if not url.startswith("data:")}
    assert asked - {""} == {host}  # "": blobs, which a page makes itself
    assert all(len(visit.requests) > 5 for visit in record.values()), "the record holds more than the page alone"


def test_pages_load_without_complaint(record):
    """No failed request, no error or warning in the console."""
    assert not {name: visit.complaints for name, visit in record.items() if visit.complaints}


def test_pages_fit_a_telephone(record):
    assert not {name: visit.wider for name, visit in record.items() if visit.wider}


# Code and what it printed, wider than its block: at 1250 pixels nobody should have to scroll to a line's end.
WIDE_CODE = """() => {
  document.querySelectorAll('article details').forEach(e => { e.open = true })
  return [...document.querySelectorAll('article pre')].filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.textContent.split('\\n').sort((a, b) => b.length - a.length)[0])
}"""
# Blocks that neither fit nor scroll within themselves.
STUCK_CODE = """() => [...document.querySelectorAll('article pre')]
  .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'auto')
  .map(e => e.textContent.slice(0, 60))"""


@pytest.mark.parametrize("width", [1250, 1500])
def test_code_and_what_it_prints_fits_a_wide_window(width, browser, book, book_url):
    with Visit(browser, book_url + TWO[0], viewport={"width": width, "height": 900}) as visit:
        cut = {}
        for name in pages(book):
            visit.page.goto(book_url + name, wait_until="load")
            cut[name] = visit.page.evaluate(WIDE_CODE)
        assert not {name: lines for name, lines in cut.items() if lines}
        visit.page.goto(book_url + TWO[0], wait_until="load")
        wide = f"<pre>{'x' * 200}</pre>"
        visit.page.evaluate("html => document.querySelector('article').insertAdjacentHTML('beforeend', html)", wide)
        assert visit.page.evaluate(WIDE_CODE) == ["x" * 200]


@pytest.mark.parametrize("name", ["notebooks/02_masking.html", "book/setup.html"])
def test_code_scrolls_within_itself_on_a_telephone(name, browser, book_url):
    with Visit(browser, book_url + name, viewport={"width": 400, "height": 800}) as visit:
        assert visit.page.evaluate(WIDE_CODE), "none is wider than the telephone"
        assert not visit.page.evaluate(STUCK_CODE)


def test_the_record_notices(browser, book_url):
    """A request to another host, a missing file and an error in a script are each seen."""
    with Visit(browser, book_url + TWO[0]) as visit:
        visit.page.evaluate(
            "() => { new Image().src = 'http://elsewhere.invalid/x.png'; new Image().src = 'nothing.png';"
            " setTimeout(() => { throw new Error('broken') }) }"
        )
        visit.page.wait_for_timeout(500)
        assert any("elsewhere.invalid" in url for url in visit.requests)
        assert {"elsewhere", "404", "broken"} <= {
            w for w in ("elsewhere", "404", "broken") if w in str(visit.complaints)
        }


def test_search_finds_a_function(browser, book_url):
    with Visit(browser, f"{book_url}search.html?q=patchify") as visit:
        links = visit.page.locator("#search-results li a")
        links.first.wait_for()
        assert any("01_patches" in link.get_attribute("href") for link in links.all())
        assert not visit.complaints


def test_the_dark_mode_button_turns_the_page_dark(browser, book_url):
    with Visit(browser, book_url + TWO[1], color_scheme="light") as visit:
        background = "() => getComputedStyle(document.body).backgroundColor"
        light = visit.page.evaluate(background)
        for _ in range(3):  # light, dark, or as the system has it
            visit.page.locator(".theme-switch-button:visible").first.click()
            if visit.page.evaluate("document.documentElement.dataset.theme") == "dark":
                break
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert visit.page.evaluate(background) != light
        visit.page.reload(wait_until="networkidle")
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark", "the choice is kept"


# -- accessibility -----------------------------------------------------------------------------------------------------


def violations(browser, address: str, scheme: str) -> list[str]:
    """Serious and critical violations of a page that axe finds, with the first elements concerned."""
    with Visit(browser, address, color_scheme=scheme, viewport={"width": 1300, "height": 900}) as visit:
        assert visit.page.evaluate("document.documentElement.dataset.theme") == scheme
        found = Axe().run(visit.page).response["violations"]
    return [
        f"{v['impact']} {v['id']}: {[node['html'][:120] for node in v['nodes'][:4]]} ({len(v['nodes'])})"
        for v in found
        if v["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", TWO)
def test_two_pages_are_accessible(name, scheme, browser, book_url):
    assert not violations(browser, book_url + name, scheme)


@pytest.mark.audit
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(scheme, browser, book, book_url):
    found = {name: violations(browser, book_url + name, scheme) for name in pages(book)}
    assert not {name: problems for name, problems in found.items() if problems}


# -- print -------------------------------------------------------------------------------------------------------------

# Code and tables whose content is wider than they are; on paper nobody can scroll.
CUT = """() => [...document.querySelectorAll('article pre, article .pst-scrollable-table-container, article div.math')]
  .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
  .map(e => e.tagName + ' ' + e.scrollWidth + ' > ' + e.clientWidth + ': ' + e.textContent.trim().slice(0, 60))"""


def printed(browser, address: str, scheme: str = "light") -> tuple[str, list[str], list[str]]:
    """A page's text on paper, what is cut there, and which parts of the navigation are left."""
    with Visit(browser, address, color_scheme=scheme, viewport={"width": PAPER, "height": 1000}) as visit:
        visit.page.emulate_media(media="print")
        visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        cut = visit.page.evaluate(CUT)
        parts = (
            ".bd-sidebar-primary, .bd-sidebar-secondary, .bd-header-article, .prev-next-footer, .copybtn, .bd-footer"
        )
        left = [part.get_attribute("class") for part in visit.page.locator(parts).all() if part.is_visible()]
        colours = visit.page.evaluate(
            "() => [getComputedStyle(document.body).color, document.documentElement.dataset.theme]"
        )
        visit.page.evaluate("dispatchEvent(new Event('afterprint'))")
        paper = visit.page.pdf(format="A4", margin=dict.fromkeys(("top", "right", "bottom", "left"), "1cm"))
        assert colours[1] == "light", "paper is white"
        assert visit.page.evaluate("document.documentElement.dataset.theme") == scheme, "the window is as it was"
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(paper)).pages), cut, left


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_chapter_prints_cleanly(scheme, browser, book_url):
    """No navigation, no cut code, the solutions open, dark ink."""
    text, cut, left = printed(browser, book_url + "notebooks/01_patches.html", scheme)
    assert not cut
    assert not left
    squeezed = re.sub(r"\s", "", text)
    assert "SCALE=" in squeezed
    assert "Troubleshooting" not in squeezed, "the table of contents is not printed"
    assert squeezed.count("Solution") >= 2
    assert "unfold" in squeezed or "def" in squeezed


@pytest.mark.audit
def test_every_page_prints_cleanly(browser, book, book_url):
    found = {name: printed(browser, book_url + name)[1:] for name in pages(book) if name != "search.html"}
    assert not {name: problems for name, problems in found.items() if any(problems)}
