"""Citations are links in the twins and Sphinx's in the book; nothing is lost between."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest

from atlib.errors import InputError
from atlib.files import REPOSITORY
from atlib.report import citations, pages
from test_extensions import extension

ZHANG = (
    '[Zhang and Zhu (2019)](https://arxiv.org/abs/1905.09797 "Interpreting Adversarially Trained Convolutional Neural '
    'Networks · zhang2019")'
)
MADRY = (
    '[Madry et al., 2018](https://arxiv.org/abs/1706.06083 "Towards Deep Learning Models Resistant to Adversarial '
    'Attacks · madry2018")'
)


def test_a_citation_is_a_link_that_needs_no_bibliography() -> None:
    assert citations.linked("As {cite:t}`zhang2019` say") == f"As {ZHANG} say"
    assert citations.linked("attacks {cite:p}`madry2018`.") == f"attacks ({MADRY})."
    both = citations.linked("{cite:p}`madry2018, goodfellow2015`")
    assert both.startswith(f"({MADRY}; [Goodfellow et al., 2015](https://arxiv.org/abs/1412.6572 ") and both[-1] == ")"
    assert "[Krizhevsky, 2009](/notebooks/reference.ipynb " in citations.linked("{cite:p}`krizhevsky2009`")
    assert "{\\" not in citations.linked("{cite:p}`islam2021`")


def test_a_term_is_a_link_to_the_glossary() -> None:
    link = '[edge correlation](/notebooks/reference.ipynb "in the glossary")'
    assert citations.linked("its {term}`edge correlation`") == f"its {link}"
    assert citations.roles(f"its {link}") == "its {term}`edge correlation`"
    assert "{term}`edge correlation`" in (REPOSITORY / "book" / "preliminaries.md").read_text(encoding="utf-8")


def test_a_key_without_an_entry_is_named() -> None:
    with pytest.raises(InputError, match=r"cite = 'nobody1999': not in book/references\.bib"):
        citations.linked("{cite:t}`nobody1999`")


def test_roles_come_back_whatever_stands_around_them() -> None:
    text = (
        "({cite:t}`zhang2019`, section 3.2) and ({cite:t}`madry2018`), {cite:p}`madry2018,goodfellow2015`; "
        "({cite:p}`krizhevsky2009`) {term}`twin` [twin](/notebooks/reference.ipynb) "
        '[a link](https://example.org "2019 · not") (see [page, 2018](x.ipynb)).'
    )
    assert citations.roles(citations.linked(text)) == text


@pytest.mark.parametrize("name", sorted(pages.pairs(REPOSITORY)))
def test_the_book_cites_what_its_sources_cite(name: str) -> None:
    source = pages.pairs(REPOSITORY)[name][0].read_text(encoding="utf-8")
    read = pages.read(source)
    text = "\n\n".join(cell.source for cell in read.cells if cell.cell_type == "markdown")
    assert not citations.ROLE.search(text) and not citations.TERM.search(text)
    wanted = citations.ROLE.findall(source)
    assert citations.ROLE.findall(citations.roles(text)) == [(kind, re.sub(r"\s", "", keys)) for kind, keys in wanted]
    assert citations.TERM.findall(citations.roles(text)) == citations.TERM.findall(source)


def test_the_build_reads_roles() -> None:
    markdown = {"cell_type": "markdown", "source": ["One.\n", f"As {ZHANG} say."]}
    code = {"cell_type": "code", "source": [f'"{ZHANG}"'], "outputs": []}
    app = SimpleNamespace(env=SimpleNamespace(doc2path=lambda name: f"{name}.ipynb"))
    source = [json.dumps({"cells": [markdown, code]})]
    extension("citations").restore(app, "notebooks/page", source)
    cells = json.loads(source[0])["cells"]
    assert cells[0]["source"] == "One.\nAs {cite:t}`zhang2019` say." and cells[1] == code
    app.env.doc2path = lambda name: f"{name}.md"
    plain = ["no notebook"]
    extension("citations").restore(app, "intro", plain)
    assert plain == ["no notebook"]
