"""The answer so far: the same on the front page and in the README, and made from the rows."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from atlib import rows
from atlib.files import REPOSITORY
from atlib.report import front, tables

RESULTS = REPOSITORY / "results"


@pytest.fixture(scope="module")
def said() -> str:
    return front.answer(rows.load(RESULTS), tables.records(RESULTS), rows.archive(RESULTS))


def test_readme_says_what_the_rows_say(said: str) -> None:
    text = (REPOSITORY / front.README).read_text(encoding="utf-8")
    assert front.with_answer(text, said) == text, "rows have changed: run `make notebooks`"


def test_front_page_says_the_same(said: str) -> None:
    page = nbformat.read(REPOSITORY / "notebooks" / "index.ipynb", 4)
    shown = [o["data"].get("text/markdown", "") for c in page.cells for o in c.get("outputs", []) if "data" in o]
    assert said in shown, "rows have changed: run `make notebooks PAGE=index ALL=1`"


def test_the_numbers_are_those_of_the_rows(said: str) -> None:
    frame = rows.load(RESULTS)
    main = tables.main_lines(tables.cue_table(frame, tables.records(RESULTS)))
    first = said.splitlines()[0]
    for model in ("normal", "pgd-linf-8"):
        assert f"**{main.loc[main['model'] == model, 'shape_bias'].mean():.2f}**" in first
    changed = frame.copy()
    mine = (changed["model"] == "normal") & (changed["metric"] == "shape_bias")
    changed.loc[mine, "value"] -= 0.2
    again = front.answer(changed, tables.records(RESULTS), rows.archive(RESULTS))
    assert re.findall(r"\d+\.\d+", again.splitlines()[0]) != re.findall(r"\d+\.\d+", first)


def test_without_rows_everything_is_pending(tmp_path: Path) -> None:
    said = front.answer(rows.load(tmp_path), {}, rows.archive(tmp_path))
    assert said.count("pending") >= 3 and not re.search(r"\d\.\d", said)


def test_marks_are_needed() -> None:
    with pytest.raises(ValueError, match="answer"):
        front.with_answer("no marks", "x")
    start, end = front.MARKS
    assert front.with_answer(f"a\n{start}\nold\n{end}\nb", "new") == f"a\n{start}\nnew\n{end}\nb"
