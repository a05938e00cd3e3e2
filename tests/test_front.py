"""The opening of the front page and the README: the same sentence, bound to its verdicts, and the same count."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from atlib import rows
from atlib.errors import InputError, Missing
from atlib.files import REPOSITORY, checkout_path
from atlib.report import bound, front, ledger, tables, verdicts

pytestmark = pytest.mark.usefixtures("published_folder")


@pytest.fixture
def frame(published: pd.DataFrame) -> pd.DataFrame:
    return published


def gain_on_pictures_of_two(frame: pd.DataFrame) -> float:
    """CIFAR-10, points: pgd-linf-8 less normal over the four levels, on what both know clean; from the answers."""
    answers, gains = rows.archive(REPOSITORY / "results"), []
    mine = tables.in_main_setting(frame, "cifar10")[["run", "model", "seed"]].drop_duplicates()
    for _, seed in mine[mine["model"].isin(["normal", "pgd-linf-8"])].groupby("seed"):
        said = {model: answers(run) for run, model, _ in seed.itertuples(index=False)}
        known = rows.correct(said["normal"], "clean@") & rows.correct(said["pgd-linf-8"], "clean@")
        for level in ("8", "16", "64", "1024"):
            right = {model: rows.correct(one, f"saturation@{level}")[known].mean() for model, one in said.items()}
            gains.append(right["pgd-linf-8"] - right["normal"])
    return 100 * sum(gains) / len(gains)


def first_cells() -> tuple[str, str]:
    """The front page's title, and what its first cell shows."""
    page = nbformat.read(REPOSITORY / "notebooks" / "index.ipynb", 4)
    shown = [o["data"].get("text/html", "") for c in page.cells for o in c.get("outputs", []) if "data" in o]
    return page.cells[0].source, shown[0]


def test_readme_says_what_the_rows_say(frame: pd.DataFrame) -> None:
    text = (REPOSITORY / front.README).read_text(encoding="utf-8")
    assert front.with_answer(text, front.readme(frame)) == text, "rows or sentences have changed: run `make notebooks`"
    assert bound.headline(frame) in text.split("## ")[0]


def test_front_page_says_the_same(frame: pd.DataFrame) -> None:
    title, opening = first_cells()
    said = escape(bound.headline(frame))
    assert said in opening, "rows or sentences have changed: run `make notebooks PAGE=index ALL=1`"
    assert front.how_sure(frame, lambda text, page: f'<a href="{page}.html">{text}</a>') in opening
    assert opening == front.opening(frame)
    question = bound.load()["headline"]["question"]
    assert title.startswith(f"# {question}")
    assert (REPOSITORY / front.README).read_text(encoding="utf-8").startswith(f"# {question}\n")


def test_the_answer_is_one_sentence_of_at_most_35_words_with_its_scope_and_its_but(frame: pd.DataFrame) -> None:
    said = bound.headline(frame)
    assert len(said.split()) <= 35
    assert said.endswith(".") and not re.search(r"[.!?] ", said)
    assert "CIFAR-10" in said and " but " in said and "{" not in said
    assert "Caltech-101" in said and "restyling" in said and "shape" in said


def test_the_answer_is_refused_when_a_verdict_that_it_rests_on_has_changed(frame: pd.DataFrame, tmp_path: Path) -> None:
    content = yaml.safe_load(checkout_path(bound.ANSWER).read_text(encoding="utf-8"))
    assert len(content["headline"]["rests_on"]) >= 3
    content["headline"]["rests_on"]["low-pass-better@cifar10"] = "does not hold"
    path = tmp_path / "answer.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(InputError, match=r"headline: rests on low-pass-better@cifar10 = 'does not hold'.*'holds'"):
        bound.headline(frame, path)


def test_a_sentence_takes_the_effects_of_single_cells(frame: pd.DataFrame) -> None:
    one = verdicts.verdicts(frame)["stylised-common"]
    (_, first), (_, second), *_ = next(d for d in one.decisions if d.dataset == "cifar10").cells
    text = "{first stylised-common@cifar10} and {second stylised-common@cifar10}"
    said = bound.filled(text, "here", bound.Known(frame), link=False)
    expected = [f"{judged.effect:+.2f} [{judged.low:+.2f}, {judged.high:+.2f}]" for judged in (first, second)]
    assert said == " and ".join(expected).replace("-", "−") and expected[0] != expected[1]
    said = bound.filled(
        "{at stylised-common@cifar10 stylised@generated-ghiasi}", "here", bound.Known(frame), link=False
    )
    assert said == f"{100 * first.effect:+.1f}".replace("-", "−")
    said = bound.filled("{of_two saturation-less-sensitive@cifar10}", "here", bound.Known(frame), link=False)
    of_three = bound.filled("{points saturation-less-sensitive@cifar10}", "here", bound.Known(frame), link=False)
    assert said != of_three and float(said.split()[0]) == pytest.approx(gain_on_pictures_of_two(frame), abs=0.051)
    with pytest.raises(Missing, match="no such number in the rows"):  # a claim of one cell
        bound.filled("{second shape-bias@shapes}", "here", bound.Known(frame))


def test_how_sure_counts_the_verdicts(frame: pd.DataFrame) -> None:
    said = front.how_sure(frame, lambda text, page: text)
    found = list(verdicts.verdicts(frame).values())
    counted, _, beside = said.partition(" On CIFAR-10 a further 16 ")
    others = ledger.counts(found, "cifar10", counting=False)
    assert ledger.judged(others) == 16 and others["holds"] == 1
    assert beside.startswith(
        "of the paper's claims are measured but don't count, because the paper tested them on other data: "
        f"{ledger.tally(others)}. "
    )
    first, _, second = counted.partition(". On Caltech-101, which stands in for the paper's Caltech-256, ")
    second, _, third = second.partition(". Of these ")
    paper, *judged = (
        int(re.findall(r"(?<!-)\b\d+\b", text)[0]) for text in (first, first.partition("10, ")[2], second)
    )
    for name, number, text in zip(("cifar10", "caltech101"), judged, (first, second), strict=True):
        here = ledger.counts(found, name)
        assert paper > number == ledger.judged(here) > 10 and text.endswith(f"have been judged: {ledger.tally(here)}")
        assert number == sum(n for verdict, n in here.items() if verdict != "not run")
    assert "after seeing results on that data set (on Caltech-101, those of one seed) and " in third
    every, seen, firmer = map(int, re.findall(r"(?<!-)\b\d+\b", third))
    mine = [(one.claim, d) for one in found for d in one.decisions if d.dataset in ledger.PHOTOGRAPHS and d.counts]
    mine = [(claim, d) for claim, d in mine if claim.origin == "paper" and d.verdict != "not run"]
    assert every == sum(judged) == len(mine)
    assert seen == sum(d.dataset in claim.seen for claim, d in mine) > 0
    assert firmer == sum(bool(claim.paper_says) for claim, _ in mine) > 0


def test_marks_are_needed() -> None:
    with pytest.raises(SystemExit):
        front.main(["--help"])  # which wrote the README
    with pytest.raises(InputError, match=r"^README.md: has no <!-- answer"):
        front.with_answer("no marks", "x")
    start, end = front.MARKS
    assert front.with_answer(f"a\n{start}\nold\n{end}\nb", "new") == f"a\n{start}\nnew\n{end}\nb"
