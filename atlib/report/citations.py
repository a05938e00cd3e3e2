"""Citations and terms that a notebook shows by itself: links in the twins, in the book what Sphinx makes of its roles.

A page's source has {cite:t}`zhang2019`, {cite:p}`madry2018,goodfellow2015` and {term}`twin`, which neither JupyterLab
nor GitHub resolves. Its twin has "[Zhang and Zhu (2019)](address "title · zhang2019")" instead, and a link to the
glossary (`linked`). The build, which reads the twins, turns that back (`roles`, called by book/_ext/citations.py).
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from ..errors import InputError
from ..files import checkout_path

ROLE = re.compile(r"\{cite:([tp])\}`([\w,\s]+)`")
LINK = r'\[[^\[\]]+\]\(\S+ "[^"\n]* · (\w+)"\)'
TEXTUAL = re.compile(LINK.replace(r"[^\[\]]+", r"[^\[\]]+ \(\d{4}\)", 1))
BESIDE = LINK.replace(r"[^\[\]]+", r"[^\[\]()]+, \d{4}", 1)
PARENTHETICAL = re.compile(rf"\({BESIDE}(?:; {BESIDE})*\)")
KEY = re.compile(r' · (\w+)"\)')
OTHERWISE = "/notebooks/reference.ipynb"  # the page with the list of references and the glossary
TERM = re.compile(r"\{term\}`([^`<>]+)`")
IN_GLOSSARY = re.compile(rf'\[([^\[\]]+)\]\({re.escape(OTHERWISE)} "in the glossary"\)')


@functools.cache
def entries(path: Path | None = None) -> dict[str, tuple[str, str, str, str]]:
    """The bibliography, by key: authors in short, year, title, and where the work is found."""
    from pybtex.database import parse_file
    from pybtex.richtext import Text

    def plain(text: str) -> str:
        return str(Text.from_latex(text))

    def names(persons: list) -> str:
        last = [plain(" ".join([*one.prelast_names, *one.last_names])) for one in persons]
        return f"{last[0]} et al." if len(last) > 2 else " and ".join(last)

    found = {}
    for key, entry in parse_file(str(path or checkout_path("book") / "references.bib")).entries.items():
        fields = entry.fields
        address = (
            f"https://arxiv.org/abs/{fields['eprint']}"
            if "eprint" in fields
            else f"https://doi.org/{fields['doi']}"
            if "doi" in fields
            else fields.get("url", OTHERWISE)
        )
        title = plain(fields["title"]).replace('"', "”")
        found[key] = (names(entry.persons["author"]), fields["year"], title, address)
    return found


def linked(text: str, path: Path | None = None) -> str:
    """A page's text with links for citations and terms. InputError for a key that the bibliography doesn't have."""
    known = entries(path)

    def link(key: str, form: str) -> str:
        if key not in known:
            raise InputError(f"cite = {key!r}: not in book/references.bib")
        authors, year, title, address = known[key]
        return f'[{form.format(authors, year)}]({address} "{title} · {key}")'

    def cited(found: re.Match[str]) -> str:
        keys = [key.strip() for key in found[2].split(",")]
        if found[1] == "t":
            return ", ".join(link(key, "{} ({})") for key in keys)
        return f"({'; '.join(link(key, '{}, {}') for key in keys)})"

    return TERM.sub(rf'[\1]({OTHERWISE} "in the glossary")', ROLE.sub(cited, text))


def roles(text: str) -> str:
    """What `linked` was given."""
    text = PARENTHETICAL.sub(lambda found: f"{{cite:p}}`{','.join(KEY.findall(found[0]))}`", text)
    text = TEXTUAL.sub(lambda found: f"{{cite:t}}`{found[1]}`", text)
    return IN_GLOSSARY.sub(r"{term}`\1`", text)
