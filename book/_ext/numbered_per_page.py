"""Figures are numbered page by page, as tables are in the style sheet; Sphinx numbers them through the whole book."""

import re
from typing import Any

from sphinx.application import Sphinx

CAPTION = re.compile(r'(<span class="caption-number">Fig\. )(\d+)')
MENTION = re.compile(r'(<span class="std std-numref">Fig\. )(\d+)')


def renumbered(body: str) -> str:
    """A page's HTML whose figures, and what refers to them, count from 1.

    Raises ValueError if the page refers to a figure of another page: "Fig. 2" would then say too little.
    """
    numbers = {found[2]: str(place) for place, found in enumerate(CAPTION.finditer(body), 1)}
    elsewhere = sorted({found[2] for found in MENTION.finditer(body)} - set(numbers))
    if elsewhere:
        raise ValueError(f"numref to a figure of another page (Fig. {elsewhere[0]} of the book): use its name")
    for kind in (CAPTION, MENTION):
        body = kind.sub(lambda found: found[1] + numbers[found[2]], body)
    return body


def change(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    if "body" in context:
        context["body"] = renumbered(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", change)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
