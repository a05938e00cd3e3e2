"""The rows behind a claim's number."""

from __future__ import annotations

import re

import pytest
from scipy.stats import spearmanr

from atlib import rows
from atlib.report import bound, claims, ledger, traced, verdicts

pytestmark = pytest.mark.usefixtures("published_folder")


def decided(claim: str, dataset: str) -> tuple[claims.Claim, verdicts.Decision]:
    found = verdicts.verdicts(rows.load())[claim]
    return found.claim, next(one for one in found.decisions if one.dataset == dataset)


def test_a_rank_correlation_is_that_of_the_rows_that_are_listed() -> None:
    claim, decision = decided("robustness-goes-with-shape", "shapes")
    known, whole = traced.without_answers(rows.load()), claims.load()
    found = traced.rows_of(claim, decision, known, whole)
    assert tuple(found) == decision.seeds
    for seed, value in zip(decision.seeds, decision.judged.values, strict=True):
        sides: dict[str, dict[str, float]] = {}
        for run, row in found[seed]:
            under, metric = row.split("/")
            sides.setdefault(row, {})[run] = known.values[run, under, metric]
        one, other = sides.values()
        assert list(one) == list(other) and len(one) == 11
        assert spearmanr(list(one.values()), list(other.values())).statistic == pytest.approx(value)


def test_a_difference_on_common_pictures_lists_the_clean_rows_and_those_of_the_control() -> None:
    claim, decision = decided("low-pass-better", "cifar10")
    found = traced.rows_of(claim, decision, traced.without_answers(rows.load()), claims.load())
    models = {(run.split("/")[1].split("-w16")[0], row) for run, row in found[1]}
    places = ("clean@/accuracy", "low-pass@0.1/accuracy", "low-pass@0.2/accuracy")
    assert models == {(model, row) for model in ("normal", "pgd-linf-8", "underfit") for row in places}


def test_every_listed_row_is_published_and_the_number_is_the_decision_s() -> None:
    frame, whole = rows.load(), claims.load()
    known = traced.without_answers(frame)
    listed = 0
    for found in verdicts.verdicts(frame).values():
        for decision in found.decisions:
            said = traced.lines(found.claim, decision, known, whole)
            assert bool(said) == bool(decision.judged.values)
            assert all(re.search(r"  -?\d\.\d{4}$", line) for line in said if line.startswith("  ")), said
            listed += len(said)
    assert listed > 1000


def test_a_number_of_a_sentence_leads_to_the_claim_and_its_rows() -> None:
    frame = rows.load()
    said = bound.say("{by low-pass-better@cifar10}", frame, {"low-pass-better@cifar10": "holds"})
    link = re.fullmatch(r'<a class="number" href="claims\.html#(claim-low-pass-better)">(\d+\.\d)</a>', said)
    assert link
    entry = ledger.ledger(frame).partition(f'id="{link[1]}"')[2].partition("</section>")[0]
    assert "The rows behind this number" in entry and "python -m atlib.report.traced low-pass-better" in entry
    row = re.search(r"make verify ROW=(\S+?)</code>", entry)
    assert row and rows.find_row(row[1], frame)["metric"] == "accuracy"
    assert "<a" not in bound.headline(frame)


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert traced.main(["shape-bias"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("shape-bias: ") and "shapes: undecided +" in said and ":conflict@/shape_bias  0." in said
    assert traced.main(["shape-bais"]) == 2
    assert "claim = 'shape-bais'" in capsys.readouterr().err
