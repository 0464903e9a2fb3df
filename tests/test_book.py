"""The pages of the book as files: links, pictures, headings, spelling, addresses, and what the frame promises."""

import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from urllib.parse import parse_qs, unquote, urljoin, urlsplit

import nbformat
import pytest
import yaml
from book_site import ROOT, URLS, pages
from bs4 import BeautifulSoup

sys.path.insert(0, str(ROOT / "book" / "_ext"))
from addresses import launch_links, report_link
from ladder import with_ladder
from results import by_model, sentence, table_of

from maelib import __version__

NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))
REPOSITORY, SITE = URLS["Repository"].rstrip("/"), URLS["Documentation"].rstrip("/")
SOURCES = {".ipynb", ".md", ".py", ".js", ".toml", ".yml", ".cff", ".json", ".sh", ".css"}
MADE = {"search.html"}  # by Sphinx on its own, in no table of contents


def contents() -> list[str]:
    """Pages in the order of the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    entries = [{"file": toc["root"]}, *(entry for part in toc["parts"] for entry in part["chapters"])]
    found = []
    while entries:
        entry = entries.pop(0)
        found.append(f"{entry['file']}.html")
        entries = entry.get("sections", []) + entries
    return found


@pytest.fixture(scope="module")
def soups(book: Path) -> dict[str, BeautifulSoup]:
    """Every page, parsed."""
    return {page: BeautifulSoup((book / page).read_text(), "html.parser") for page in pages(book)}


def article(soup: BeautifulSoup):
    """What the author of a page wrote; the search page has no article."""
    return soup.select_one("article.bd-article") or soup.select_one("main")


def test_every_page_of_the_contents_is_built_and_nothing_else(book):
    assert set(pages(book)) == set(contents()) | MADE
    assert {name.replace(".ipynb", ".html") for name in NOTEBOOKS} <= set(contents()), "a chapter is not in _toc.yml"


def test_links_lead_somewhere(book, soups):
    """Every address inside the book is a file, and every anchor is on its page."""
    names = {
        page: {tag[key] for key in ("id", "name") for tag in soup.select(f"[{key}]")} for page, soup in soups.items()
    }
    broken = []
    for page, soup in soups.items():
        for key in ("href", "src", "srcset", "data-src"):
            for tag in soup.select(f"[{key}]"):
                address = urlsplit(tag[key])
                if address.scheme or address.netloc or tag[key] in ("", "#"):
                    continue
                target = urlsplit(urljoin(f"http://book/{page}", tag[key])).path.lstrip("/")
                if not (book / unquote(target)).is_file() or tag[key].startswith("/"):
                    broken.append(f"{page}: {tag[key]} is no file")
                elif address.fragment and target in names and unquote(address.fragment) not in names[target]:
                    broken.append(f"{page}: {tag[key]} is no anchor")
    assert not broken


def test_links_to_the_outside_are_encrypted(soups):
    plain = [f"{page}: {tag['href']}" for page, soup in soups.items() for tag in soup.select("a[href^='http:']")]
    assert not plain


def test_every_picture_says_what_it_shows(soups):
    silent = []
    for page, soup in soups.items():
        for picture in soup.select("img"):
            inside = picture.find_parent("article") is not None
            alt = picture.get("alt", "").strip()
            if len(alt) < (30 if inside else 4) or re.search(r"\.(png|svg|jpg)$|^_images", alt):
                silent.append(f"{page}: {picture.get('src', '')[:60]} has the alt text {alt!r}")
    assert not silent


def test_headings_are_in_order(soups):
    """One first heading, and no level left out on the way down."""
    for page, soup in soups.items():
        levels = [int(tag.name[1]) for tag in article(soup).select("h1, h2, h3, h4, h5, h6")]
        assert levels.count(1) == 1, f"{page}: {levels.count(1)} first headings"
        assert levels[0] == 1, page
        steps = [f"{page}: h{a} then h{b}" for a, b in pairwise(levels) if b > a + 1]
        assert not steps


def test_no_raw_markup_shows(soups):
    """Neither a directive or role of MyST nor Markdown that was not understood is left in the text."""
    for page, soup in soups.items():
        text = BeautifulSoup(str(article(soup)), "html.parser")
        for code in text.select("pre, code, script, style, .math, dt.sig"):
            code.decompose()
        words = text.get_text()
        for pattern in (r"```", r":::", r"\{(\w|-)+\}`", r"\]\(\S+\)", r"(^|\s)\*\*\w", r"^\s*\|.*\|\s*$", r"<\w+>"):
            assert not re.search(pattern, words, re.M), f"{page}: {re.search(pattern, words, re.M).group()!r}"


def test_notebooks_hold_no_directive_or_role():
    """They would show as raw text on Kaggle and in JupyterLab."""
    for name in NOTEBOOKS:
        for cell in nbformat.read(ROOT / name, 4).cells:
            if cell.cell_type == "markdown":
                assert not re.search(r"(```|~~~|:::)\s*\{|\{[\w:-]+\}`", cell.source), f"{name}: {cell.source[:80]}"


def test_next_leads_through_the_whole_book(soups):
    pages_in_order, page = [], contents()[0]
    while page and len(pages_in_order) <= len(soups):
        pages_in_order.append(page)
        link = soups[page].select_one("a.right-next")
        following = urljoin(page, link["href"]).split("#")[0] if link else None
        if following:
            back = soups[following].select_one("a.left-prev")
            assert urljoin(following, back["href"]).split("#")[0] == page
        page = following
    assert pages_in_order == contents()


def test_the_map_of_the_chapters_is_complete():
    """The first page lists every chapter with its minutes and hardware."""
    rows = re.findall(
        r"^\| \[.*?\]\(\.\./(notebooks/\S+?)\) \| .+ \| \d+ \| .+ \|$", (ROOT / "book/intro.md").read_text(), re.M
    )
    assert rows == [page.replace(".html", ".ipynb") for page in contents() if page.startswith("notebooks/")]


def test_previews_icons_and_sitemap(book, soups):
    for page in contents():
        soup = soups[page]
        (card,) = [tag["content"] for tag in soup.select("meta[property='og:image']")]
        assert card.startswith(f"{SITE}/")
        assert (book / card.removeprefix(f"{SITE}/")).is_file()
        assert len(soup.select_one("meta[property='og:image:alt']")["content"]) > 30
        assert len(soup.select_one("meta[name='description']")["content"]) > 30, page
        assert soup.select_one("link[rel='canonical']")["href"] == f"{SITE}/{page}"
        icon = soup.select_one("link[rel~='icon']")["href"]
        assert (book / page).parent.joinpath(icon).resolve().is_file()
        assert soup.html["lang"] == "en"
    sitemap = re.findall(r"<loc>(.*?)</loc>", (book / "sitemap.xml").read_text())
    assert set(sitemap) >= {f"{SITE}/{page}" for page in contents()}
    assert all(address.startswith(f"{SITE}/") for address in sitemap)


def test_the_ladder_of_the_readme_comes_from_the_records():
    text = (ROOT / "README.md").read_text()
    assert with_ladder(text, ROOT) == text, "a record has changed: run python book/_ext/ladder.py"


# -- one place for the address -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("notebook", [page.replace(".html", ".ipynb") for page in contents() if "notebooks/" in page])
def test_launch_buttons_open_this_notebook(notebook, soups):
    """Kaggle and Colab are given the notebook at the address that pyproject.toml holds; a third entry downloads it."""
    soup = soups[notebook.replace(".ipynb", ".html")]
    links = {tag["href"] for tag in soup.select(".bd-header-article a[href]")}
    on_github = f"{REPOSITORY}/blob/v{__version__}/{notebook}"
    colab = f"https://colab.research.google.com/github/{REPOSITORY.removeprefix('https://github.com/')}/blob/v{__version__}/{notebook}"
    assert launch_links(REPOSITORY, notebook) == {
        "Kaggle": f"https://www.kaggle.com/kernels/welcome?src={on_github}",
        "Colab": colab,
    }
    assert set(launch_links(REPOSITORY, notebook).values()) <= links
    assert f"../_sources/{notebook}" in links
    assert (ROOT / notebook).is_file()


def test_every_page_asks_for_mistakes(soups):
    """Its last link opens the form for pages, with this page's name in the field that the form has for it."""
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/page.yml").read_text())
    for page in contents():
        (link,) = article(soups[page]).select("p.page-report a")
        assert link["href"] == report_link(REPOSITORY, page.removesuffix(".html"))
        assert link["href"].startswith(f"{REPOSITORY}/issues/new?")
        asked = parse_qs(urlsplit(link["href"]).query)
        assert asked == {"template": ["page.yml"], "page": [page.removesuffix(".html")]}
    assert "page" in {field.get("id") for field in form["body"]}


def test_copies_of_the_address_agree():
    """What is not made from pyproject.toml repeats its addresses letter by letter."""
    owner, name = REPOSITORY.removeprefix("https://github.com/").split("/")
    written = (
        rf"https?://(?:www\.)?github\.com/[\w.-]+/{re.escape(name)}|https?://{re.escape(owner)}\.github\.io[\w./-]*"
    )
    folders = ("notebooks", "book", "maelib", "data", "benchmarks", "tests", ".github")
    texts = [path for folder in folders for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts]
    texts = [path for path in [*texts, *ROOT.iterdir()] if path.suffix in SOURCES]
    copies = 0
    for path in texts:
        for found in re.findall(written, path.read_text()):
            address = found.removesuffix(".git").rstrip("/.")
            assert address == REPOSITORY or address.startswith(SITE), f"{path}: {found}"
            copies += 1
    assert copies > len(NOTEBOOKS), "every notebook installs from the repository"


def test_every_first_cell_names_the_repository():
    for name in NOTEBOOKS:
        first = next(cell for cell in nbformat.read(ROOT / name, 4).cells if cell.cell_type == "code")
        assert f'repository = "{REPOSITORY}"' in first.source, name
        assert "--no-deps" in first.source, name


# -- spelling ----------------------------------------------------------------------------------------------------------


def test_spelling(tmp_path):
    """codespell over prose, notebooks and docstrings; of a notebook the sources only, since pictures are noise."""
    for name in NOTEBOOKS:
        cells = nbformat.read(ROOT / name, 4).cells
        (tmp_path / f"{Path(name).stem}.txt").write_text("\n\n".join(cell.source for cell in cells))
    prose = [*(ROOT / "book").glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "data").rglob("*.md")]
    code = [ROOT / name for name in ("maelib", "benchmarks", "tests", "mae.py", ".github") if (ROOT / name).exists()]
    command = [Path(sys.executable).with_name("codespell"), "--ignore-words-list", ",".join(WORDS)]
    skip = ["--skip", "*.json,*.lock,*/__pycache__,*/node_modules,*.pyc"]
    done = subprocess.run([*command, *skip, tmp_path, *prose, *code], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (tmp_path / "mistake.txt").write_text("het"[::-1])  # backwards: this file is read too
    assert subprocess.run([*command, tmp_path], capture_output=True).returncode != 0


WORDS = ["mae", "nd", "ans", "acelerator"]  # of the field; the last is a mistake that a test makes on purpose


# -- workflows ---------------------------------------------------------------------------------------------------------

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_workflows_are_valid(tmp_path):
    """Against the schema that check-jsonschema brings along; and a broken one is noticed."""
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.github-workflows"]
    assert len(WORKFLOWS) >= 3
    done = subprocess.run([*command, *WORKFLOWS], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    broken = tmp_path / "broken.yml"
    broken.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:"))
    assert subprocess.run([*command, broken], capture_output=True).returncode != 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_what_exists_and_pin_what_they_use(path):
    """Actions carry a major version; make targets and scripts that are called exist."""
    text = path.read_text()
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+", action), action
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake (\w+)", text):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for script in re.findall(r"run: (\S+/\S+)", text):
        assert (ROOT / script).exists() or script.startswith(".venv/"), script
    assert all("timeout-minutes" in job for job in yaml.safe_load(text)["jobs"].values())


def test_the_oldest_versions_tried_are_the_oldest_admitted():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    jobs = yaml.safe_load((ROOT / ".github/workflows/scheduled.yml").read_text())["jobs"]
    oldest = jobs["test"]["strategy"]["matrix"]["include"][0]
    assert f">={oldest['python']}" == project["requires-python"]
    assert set(oldest["install"].split()) == {need.replace(">=", "==") + ".*" for need in project["dependencies"]}


def test_a_result_table_says_once_what_its_rows_share_and_loses_nothing():
    rows = [
        {"model": model, "batch": 8, "compiled": False, "contender": who, "saved_mb": 1.5 * place}
        for model in ("small", "large")
        for place, who in enumerate(("ours", "theirs", "others"), 1)
    ]
    first, second = (table_of(part) for part in by_model(rows))
    assert first.startswith("`small`, batch 8, not compiled:\n\n| contender | saved (MB) |")
    assert second.splitlines()[-1] == "| others | 4.50 |"
    assert table_of(rows[:1]).startswith("| model | batch |"), "one row shares with nobody"
    uneven = table_of([{"case": "a", "one": 1}, {"case": "b"}, {"case": "c", "one": 1}])
    assert uneven.splitlines()[-2:] == ["| b |  |", "| c | 1 |"]
    assert sentence("As it is.") == sentence("As it is") == "As it is."
