"""The project's addresses, and what follows from them: launch buttons, reports, sitemap, previews in social media.

`pyproject.toml` is the one place that holds the repository's and the book's address.
"""

import html
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config

from maelib import __version__


def project_urls(root: Path) -> dict[str, str]:
    """Addresses of the project by name, without a slash at the end."""
    urls = tomllib.loads((root / "pyproject.toml").read_text())["project"]["urls"]
    return {name: url.rstrip("/") for name, url in urls.items()}


def launch_links(repository: str, notebook: str) -> dict[str, str]:
    """Where a click opens a notebook (its path in the repository), by platform.

    The pages of a version open the notebooks of that version: they install the package of the same tag.
    """
    on_github = f"{repository}/blob/v{__version__}/{notebook}"
    return {
        "Kaggle": f"https://www.kaggle.com/kernels/welcome?src={on_github}",
        "Colab": on_github.replace("https://github.com", "https://colab.research.google.com/github"),
    }


def report_link(repository: str, page: str) -> str:
    """Where a click opens a report about a page: the form `.github/ISSUE_TEMPLATE/page.yml`, with its name filled in."""
    return f"{repository}/issues/new?{urlencode({'template': 'page.yml', 'page': page})}"


def set_addresses(app: Sphinx, config: Config) -> None:
    """Give the book's address to the extensions that need it."""
    urls = project_urls(Path(app.srcdir))
    config.html_baseurl = config.ogp_site_url = urls["Documentation"] + "/"
    config.html_theme_options["repository_url"] = urls["Repository"]


def add_launch_buttons(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """A menu on every notebook's page: open it on Kaggle or Colab."""
    notebook = Path(app.srcdir) / f"{page}.ipynb"
    if doctree is None or not notebook.exists():
        return
    links = launch_links(project_urls(Path(app.srcdir))["Repository"], f"{page}.ipynb")
    buttons = [
        {"type": "link", "text": name, "tooltip": f"Open this notebook on {name}", "icon": "fas fa-play", "url": url}
        for name, url in links.items()
    ]
    context["header_buttons"].insert(
        0,
        {
            "type": "group",
            "tooltip": "Run this notebook",
            "icon": "fas fa-rocket",
            "buttons": buttons,
            "label": "launch-buttons",
        },
    )


def add_report(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """The last line of every page, where the repository is public."""
    repository = project_urls(Path(app.srcdir)).get("Repository")
    if doctree is not None and repository:
        link = html.escape(report_link(repository, page))
        context["body"] += f'<p class="page-report"><a href="{link}">Something wrong on this page?</a></p>'


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", set_addresses, priority=100)  # before the extensions that read the address
    app.connect("html-page-context", add_launch_buttons, priority=900)  # after the theme has made its own buttons
    app.connect("html-page-context", add_report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
