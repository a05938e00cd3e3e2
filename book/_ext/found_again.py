"""What makes the book found, shared and cited: a description of every page, a page for addresses that lead nowhere, and
`cite-this`, which shows CITATION.cff. Where the book's address is known (`html: baseurl` in _config.yml, or ATLIB_SITE
in the environment), also a sitemap and a picture for those who share a link. Nothing is fetched."""

import os
import re
from html import escape
from pathlib import Path
from typing import Any

import yaml
from docutils import nodes
from PIL import Image, ImageOps
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

LONGEST = 160  # characters of a description that search engines show
PICTURE, CARD, SIZE = "book/screenshot.webp", "_static/card.jpg", (1200, 630)
SITE = "ATLIB_SITE"
HIDDEN = {"genindex", "py-modindex", "search"}  # pages that no search engine needs

NOWHERE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Not here: {title}</title><meta name="description" content="This address leads to no page."><base href="{base}">
<style>:root{{color-scheme:light dark}}
body{{max-width:40rem;margin:4rem auto;padding:0 1rem;font:1.1rem/1.6 system-ui,sans-serif}}</style></head>
<body><main><h1>This address leads to no page</h1>
<p>The page may have another name now. <a href="index.html">The front page</a> leads to all of them, and
<a href="search.html">the search</a> looks through their text.</p><h2>{title}</h2><ul>{links}</ul></main></body></html>
"""


def address(app: Sphinx, config: Config) -> None:
    """The book's address from the environment; it ends with a slash."""
    base = os.environ.get(SITE) or config.html_baseurl
    config.html_baseurl = base.rstrip("/") + "/" if base else ""


def shortened(text: str) -> str:
    """A description's text, cut after a word where it is too long."""
    text = " ".join(text.split())
    if len(text) <= LONGEST:
        return text
    sentence = re.match(rf".{{60,{LONGEST - 1}}}?[.?!](?=\s)", text)
    return sentence[0] if sentence else text[: LONGEST - 1].rsplit(" ", 1)[0].rstrip(",;:") + "…"


def description(app: Sphinx, page: str, doctree: nodes.document | None) -> str:
    """A page's `description` in the front matter of its source, else its first paragraph, else its title."""
    source = Path(app.srcdir, "book", f"{page.rpartition('/')[2]}.md")
    header = re.match(r"---\n(.*?)\n---\n", source.read_text(encoding="utf-8"), re.DOTALL) if source.is_file() else None
    if header and (given := (yaml.safe_load(header[1]) or {}).get("description")):
        return shortened(str(given))
    for paragraph in doctree.findall(nodes.paragraph) if doctree else ():
        inside = (nodes.table, nodes.figure, nodes.footnote, nodes.list_item)
        text = " ".join(paragraph.astext().split())
        if len(text) >= 40 and not any(isinstance(outer, inside) for outer in ancestors(paragraph)):
            return shortened(text)
    title = app.env.titles.get(page)
    return f"{title.astext()}: {app.config.html_title}" if title else str(app.config.html_title)


def ancestors(node: nodes.Node) -> list[nodes.Node]:
    """What a node lies in, from the inside out."""
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def describe(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """The page's tags for search engines and for those who share it."""
    text = description(app, pagename, doctree)
    tags = {"og:type": "article", "og:site_name": app.config.html_title, "og:description": text}
    tags["og:title"] = re.sub(r"<[^>]*>", "", context.get("title") or app.config.html_title)
    base = app.config.html_baseurl
    if base:
        tags |= {"og:url": f"{base}{pagename}.html", "og:image": base + CARD}
        tags |= {"og:image:width": str(SIZE[0]), "og:image:height": str(SIZE[1])}
    lines = [f'<meta property="{name}" content="{escape(value)}" />' for name, value in tags.items()]
    if base:
        lines.append('<meta name="twitter:card" content="summary_large_image" />')
    if 'name="description"' not in context.get("metatags", ""):
        lines.append(f'<meta name="description" content="{escape(text)}" />')
    context["metatags"] = context.get("metatags", "") + "\n".join(["", *lines, ""])


def finish(app: Sphinx, exception: Exception | None) -> None:
    """The page for addresses that lead nowhere, and, where the address is known, the sitemap and the picture."""
    if exception or app.builder.format != "html":
        return
    out, base = Path(app.outdir), app.config.html_baseurl
    pages = [page for page in sorted(app.env.found_docs) if page not in HIDDEN]
    root = app.config.root_doc
    pages.sort(key=lambda page: page != root)
    titles = ((page, app.env.titles[page].astext()) for page in pages if page in app.env.titles)
    links = "".join(f'<li><a href="{page}.html">{escape(title)}</a></li>' for page, title in titles)
    nowhere = NOWHERE.format(title=escape(app.config.html_title), base=escape(base or "./"), links=links)
    (out / "404.html").write_text(nowhere, encoding="utf-8")
    if not base:
        return
    places = "".join(f"<url><loc>{escape(f'{base}{page}.html')}</loc></url>\n" for page in pages)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
    (out / "sitemap.xml").write_text(f"{head}{places}</urlset>\n", encoding="utf-8")
    picture = Path(app.srcdir, PICTURE)
    if picture.is_file():
        with Image.open(picture) as shot:
            ImageOps.pad(shot.convert("RGB"), SIZE, color="white").save(out / CARD, quality=85)


# --- Cite this --------------------------------------------------------------------------------------------------------


def bibtex(citation: dict[str, Any]) -> str:
    """CITATION.cff as BibTeX: this report, and the paper that it reproduces."""

    def people(authors: list[dict[str, str]]) -> str:
        given = (one.get("name") or f"{one['family-names']}, {one['given-names']}" for one in authors)
        return " and ".join(f"{{{name}}}" if "," not in name else name for name in given)

    def entry(kind: str, key: str, fields: dict[str, Any]) -> str:
        lines = [f"  {name} = {{{value}}}," for name, value in fields.items() if value]
        return "\n".join([f"@{kind}{{{key},", *lines, "}"])

    own = {"title": citation["title"], "author": people(citation["authors"]), "version": citation["version"]}
    own |= {"year": str(citation.get("date-released", ""))[:4], "url": citation.get("repository-code", "")}
    entries = [entry("software", "atlib", own)]
    for paper in citation.get("references", []):
        fields = {"title": paper["title"], "author": people(paper["authors"]), "year": paper["year"]}
        fields |= {"booktitle": paper["conference"]["name"], "pages": f"{paper['start']}--{paper['end']}"}
        fields |= {"series": paper["collection-title"], "volume": paper["volume"]}
        key = f"{paper['authors'][0]['family-names'].lower()}{paper['year']}"
        entries.append(entry("inproceedings", key, fields))
    return "\n\n".join(entries)


class CiteThis(SphinxDirective):
    """`cite-this`: the message of CITATION.cff, and both entries as BibTeX, to copy."""

    def run(self) -> list[nodes.Node]:
        path = Path(self.env.srcdir, "CITATION.cff")
        self.env.note_dependency(str(path))
        citation = yaml.safe_load(path.read_text(encoding="utf-8"))
        entries = bibtex(citation)
        block = nodes.literal_block(entries, entries, language="bibtex")
        return [nodes.paragraph("", citation["message"]), block]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("cite-this", CiteThis)
    app.connect("config-inited", address)
    app.connect("html-page-context", describe)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
