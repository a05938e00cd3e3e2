"""The answer so far: the same on the front page and in the README."""

from __future__ import annotations

import nbformat
import pytest

from atlib import rows
from atlib.files import REPOSITORY
from atlib.report import front


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    return front.answer(rows.load())


def test_readme_says_what_the_rows_say(said: str) -> None:
    text = (REPOSITORY / front.README).read_text(encoding="utf-8")
    assert front.with_answer(text, said) == text, "rows or sentences have changed: run `make notebooks`"


def test_front_page_says_the_same(said: str) -> None:
    page = nbformat.read(REPOSITORY / "notebooks" / "index.ipynb", 4)
    shown = [o["data"].get("text/markdown", "") for c in page.cells for o in c.get("outputs", []) if "data" in o]
    assert said in shown, "rows or sentences have changed: run `make notebooks PAGE=index ALL=1`"


def test_marks_are_needed() -> None:
    with pytest.raises(ValueError, match="answer"):
        front.with_answer("no marks", "x")
    start, end = front.MARKS
    assert front.with_answer(f"a\n{start}\nold\n{end}\nb", "new") == f"a\n{start}\nnew\n{end}\nb"
