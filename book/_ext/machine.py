"""The map of the machine on a page: the directive `{machine-map}`, with the parts that are lit as its argument."""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class MachineMapDirective(SphinxDirective):
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        from maelib.machine import machine_map

        return [nodes.raw("", machine_map(*"".join(self.arguments).split())._repr_html_(), format="html")]


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("machine-map", MachineMapDirective)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
