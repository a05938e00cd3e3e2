"""Folded code is a small mark, "code", at the right margin, instead of the theme's box above every number."""

from html import escape

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

MARKS = {"source": "code", "content": "code and result"}  # else what myst-nb calls it: output, outputs


def visit(self: HTML5Translator, node: nodes.Element) -> None:
    """Open the fold; `nb_code_prompt_show` is "{type}" alone, so that the prompt says what is folded."""
    kind = node["prompt_show"]
    self.body.append(f'<details class="code-mark"><summary>{escape(MARKS.get(kind, kind))}</summary>\n')


def depart(self: HTML5Translator, node: nodes.Element) -> None:
    self.body.append("</details>\n")


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("myst_nb")
    app.add_node(HideCodeCellNode, override=True, html=(visit, depart))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
