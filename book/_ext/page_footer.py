"""A line below each page: its source, its executed notebook, and the command that makes it again. And the names of the
files that a page gives away: the page's, then what the table or figure is about, no two alike."""

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

PAGE = re.compile(r"notebooks/([\w-]+)")
CSV = re.compile(r'(<a [^>]*download=")([\w-]+)(\.csv")')


def name_downloads(body: str, page: str) -> str:
    """A page's HTML in which every CSV is called PAGE-WORDS.csv; the second of the same words is PAGE-WORDS-2.csv."""
    taken: Counter[str] = Counter()

    def named(found: re.Match[str]) -> str:
        words = found[2] if found[2].startswith(page) else f"{page}-{found[2]}"
        taken[words] += 1
        return f"{found[1]}{words}{f'-{taken[words]}' if taken[words] > 1 else ''}{found[3]}"

    return CSV.sub(named, body)


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
    context["body"] = name_downloads(context["body"], name)
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
