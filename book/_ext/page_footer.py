"""A line below each page: its source, its executed notebook, and the command that makes it again."""

import re
import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PAGE = re.compile(r"notebooks/([\w-]+)")


def add(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    found = PAGE.fullmatch(pagename)
    if not found or "body" not in context:
        return
    name, path = found[1], context["pathto"]
    links = [
        f'<a href="{path(f"_sources/book/{name}.md.txt", 1)}">source (book/{name}.md)</a>',
        f'<a href="{path(f"_sources/notebooks/{name}.ipynb", 1)}" download>executed notebook</a>',
        f"made by <code>make notebooks PAGE={name} ALL=1</code>",
    ]
    context["body"] += f'<p class="page-footer">This page: {", ".join(links)}.</p>'


def copy_sources(app: Sphinx, exception: Exception | None) -> None:
    """The pages' sources beside their notebooks, as text that any browser shows."""
    target = Path(app.outdir) / "_sources" / "book"
    if exception or app.builder.format != "html":
        return
    target.mkdir(parents=True, exist_ok=True)
    for name in (found[1] for page in app.env.found_docs if (found := PAGE.fullmatch(page))):
        source = Path(app.srcdir) / "book" / f"{name}.md"
        if source.is_file():
            shutil.copyfile(source, target / f"{name}.md.txt")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", add)
    app.connect("build-finished", copy_sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
