"""What Jupyter Book puts into the pages and this book does not want.

Thebe, which runs code on another host, is left out. Entries of the bibliography become items of their list: the role that docutils
gives them is deprecated, and a screen reader finds an empty list.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx


def is_thebe(asset: Any) -> bool:
    """Whether a script, in its file's name or its text, or a style sheet belongs to Thebe."""
    text = f"{getattr(asset, 'filename', asset)} {getattr(asset, 'attributes', {}).get('body', '')}"
    return "thebe" in text.lower()


def mend_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Thebe's scripts and styles, off every page; entries of the bibliography mended."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
    for key in ("script_files", "css_files"):
        context[key] = [asset for asset in context[key] if not is_thebe(asset)]


def drop_configuration(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Thebe's configuration, written into every page as raw HTML."""
    for node in list(doctree.findall(nodes.raw)):
        text = node.astext()
        if "x-thebe-config" in text or text.startswith("<script>kernelName"):
            node.parent.remove(node)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-resolved", drop_configuration, priority=900)
    app.connect("html-page-context", mend_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
