"""Our docstrings are plain text: paragraphs, lists with hyphens, indented commands, `code` between single backticks.
Here autodoc gets them as reStructuredText that looks like that, instead of reading signs as markup."""

import re
from collections.abc import Iterator

from sphinx.application import Sphinx

SIGNS = re.compile(r"([\\*_|<>])")
NUMBER = re.compile(r"^(\(?\w+)([.)])(?=\s)")  # what would begin a numbered list


def inline(text: str) -> str:
    """A line of text with markup's signs escaped; what stands between backticks becomes a literal."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # a lone backtick
        return SIGNS.sub(r"\\\1", text.replace("`", "'"))
    escaped = [SIGNS.sub(r"\\\1", piece) if number % 2 == 0 else piece for number, piece in enumerate(pieces)]
    return "".join(
        piece if number % 2 == 0 else f"\\ ``{piece}``\\ " if piece else "" for number, piece in enumerate(escaped)
    )


def paragraph(lines: list[str]) -> Iterator[str]:
    """One block between blank lines: a list if a line begins with a hyphen, commands if all are indented, or text."""
    if all(line.startswith("    ") for line in lines):
        yield "::"
        yield ""
        yield from lines
        return
    items = [""]
    for line in (line.strip() for line in lines):
        if line.startswith("- "):
            items.append(line[2:])
        else:
            items[-1] = f"{items[-1]} {line}".strip()
    if items[0]:
        yield NUMBER.sub(r"\1\\\2", inline(items[0]))
        yield ""
    yield from (f"* {inline(item)}" for item in items[1:])


def as_rst(lines: list[str]) -> list[str]:
    """A plain docstring's lines as reStructuredText."""
    result: list[str] = []
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            block.append(line)
        elif block:
            result += [*paragraph(block), ""]
            block = []
    return result


def rewrite(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    lines[:] = as_rst(lines)


def skip(app: Sphinx, what: str, name: str, thing: object, skipped: bool, options: object) -> bool | None:
    """Fields of named tuples, whose docstrings say nothing ("Alias for field number 0")."""
    return True if type(thing).__name__ == "_tuplegetter" else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", rewrite)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
