"""A number and its %, the ends of an interval, and 4 × 4 stay in one line; in text and tables, not in code."""

import re
from typing import Any

from sphinx.application import Sphinx

# What is left as it is: code, scripts, formulas, and tags themselves.
KEPT = re.compile(
    r'(<(pre|code|script|style)\b.*?</\2>|<(span|div) class="math[^>]*>.*?</\3>|<!--.*?-->|<[^>]*>)', re.DOTALL
)
NUMBER = r"[+\-−]?\d*\.?\d+"
INTERVAL = re.compile(rf"\[({NUMBER}), ({NUMBER})\]")
SHARE = re.compile(r"(?<=\d) %")
TIMES = re.compile(r"(?<=\w) × (?=\w)")
SPACE = "\u00a0"


def unbroken(body: str) -> str:
    """A page's HTML with spaces that don't break."""
    parts, end = [], 0
    for kept in KEPT.finditer(body):
        parts += [joined(body[end : kept.start()]), kept[0]]
        end = kept.end()
    return "".join([*parts, joined(body[end:])])


def joined(text: str) -> str:
    """Text with spaces that don't break."""
    text = TIMES.sub(f"{SPACE}×{SPACE}", text)
    return SHARE.sub(f"{SPACE}%", INTERVAL.sub(rf"[\1,{SPACE}\2]", text))


def change(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    if "body" in context:
        context["body"] = unbroken(context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", change)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
