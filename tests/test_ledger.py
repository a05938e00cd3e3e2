"""What the ledger prints is what the verdicts say: entries, counts, the forest plot, what is open, bound sentences."""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape, unescape
from pathlib import Path

import pandas as pd
import pytest
import yaml

from atlib.errors import AtlibError, InputError
from atlib.files import REPOSITORY, checkout_path
from atlib.report import bound, claims, core, forest, inventory, ledger, tables, verdicts, waiting
from atlib.report.claims import STATISTICS
from atlib.report.rule import BEYOND, EXCLUDED, FAILS, HOLDS, NOT_RUN, UNDECIDED, Judged
from atlib.report.verdicts import Decision, Verdict
from atlib.rows import archive, frame_of, load


@pytest.fixture(scope="module")
def entries() -> dict[str, str]:
    """The published ledger's entries by their claims' ids: seconds to make, so once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
        whole = ledger.ledger(load())
    found = re.findall(r'<section class="claim" id="claim-(.*?)">(.*?)</section>', whole, re.DOTALL)
    assert len(dict(found)) == len(found)
    return dict(found)


# --- Entries ----------------------------------------------------------------------------------------------------------


def test_each_claim_has_one_entry_with_its_verdicts_and_numbers(published, entries) -> None:
    found = verdicts.verdicts(published)
    assert [*entries] == [*found] == [claim.id for claim in claims.load().claims]
    for id, text in entries.items():
        one = found[id]
        assert f"<p>Overall: {ledger.badge(one.verdict)}" in text
        for decision in one.decisions:
            mark = "" if decision.counts else " (only shown)"
            assert (
                f"<li>{tables.named(decision.dataset)}{mark}: {ledger.badge(decision.verdict, decision.kind)}" in text
            )
            for name, judged in decision.cells if decision.seeds else ():
                assert f"<li>{escape(name)}" in text and ledger.number_words(judged) in text
            if decision.control is not None and decision.control.values:
                assert ledger.number_words(decision.control) in text


def test_an_entry_says_which_rows_had_been_seen_and_which_word_it_had(entries) -> None:
    assert "Registered after CIFAR-10’s rows" in entries["maps-align-with-picture"]
    assert "Registered after" not in entries["maps-sparser"]
    assert "<em>holds</em> by the rules and rows before" in entries["shuffle-hurts-more"]
    assert "by the rules and rows before" not in entries["robustness-gained"]
    assert "no control: adversarial training costs no clean accuracy" in entries["maps-sparser"]
    assert "<strong>primary</strong>" in entries["shape-bias"] and "q =" not in entries["shape-bias"]
    assert "q = 0.0" in entries["low-pass-better"] and "after Holm" not in entries["low-pass-better"]
    assert "Our wording is firmer than the paper's" in unescape(entries["shuffle-confidence"])


def test_a_primary_claim_prints_its_corrected_p(published, entries) -> None:
    found = verdicts.verdicts(published)["saturation-less-sensitive"]
    (cifar,) = [one for one in found.decisions if one.dataset == "cifar10"]
    p = min(cifar.judged.above, cifar.judged.below)
    assert cifar.verdict == UNDECIDED and 0.05 < p < 1
    assert f"p = {p:.3f} after Holm’s correction (needed: below .05)" in entries["saturation-less-sensitive"]
    assert cifar.judged.low > found.claim.e, "alone it would hold"


def test_a_tiny_value_is_not_called_zero() -> None:
    assert (ledger._small(0.0004), ledger._small(0.0312)) == ("&lt; .001", "= 0.031")


def test_the_ledger_says_all_that_the_file_says() -> None:
    text = re.sub(r"\s+", " ", ledger.ledger(frame_of([])))
    for claim in claims.load().claims:
        for part in (claim.claim, claim.known, *claim.changes, claim.formula, claim.paper_says):
            assert escape(" ".join(part.split()).rstrip(".")) in text
    assert "main minus normal" in text and "below −0.02" in text and "within ±0.05" in text


def test_every_statistic_can_be_put_in_words() -> None:
    for claim in claims.load().claims:
        text = ledger.statistic_words(claim)
        assert text.endswith(".") and claim.statistic.name in STATISTICS
        if not claim.registered:
            assert "_" not in text and all(model in text for model in claim.statistic.models)
    known = {*ledger.WORDS, *(f"grad_{word}" for word in ledger.WORDS)}
    assert set(claims.METRICS) - {"shape_accuracy", "texture_accuracy"} <= known


def test_a_claim_leads_to_its_entry_in_the_ledger() -> None:
    ids = [claim.id for claim in claims.load().claims]
    page = core.verdict_grid(ids, frame_of([]), "All")
    assert re.findall(r'href="claims\.html#([^"]+)"', page) == [f"claim-{id}" for id in ids]


# --- Counts -----------------------------------------------------------------------------------------------------------


def test_the_sentence_counts_claims_of_the_paper_where_they_count(published) -> None:
    found = verdicts.table(published)
    text = ledger.ledger_sentence(published)
    assert f"**{sum(claim.origin == 'paper' for claim in claims.load().claims)}** claims" in text
    for name, start in (("cifar10", "On CIFAR-10, "), ("caltech101", "On Caltech-101, ")):
        mine = found[(found["origin"] == "paper") & (found["dataset"] == name) & found["counts"]]
        counts = mine["verdict"].value_counts()
        said = text.partition(start)[2].partition(".")[0]
        assert f"**{counts.drop(NOT_RUN).sum()}** of " in said
        for verdict, words in ((HOLDS, "hold"), (FAILS, "do not"), (UNDECIDED, "are undecided")):
            assert f"{counts[verdict]} {words}" in said
    beside = found[(found["origin"] == "paper") & (found["dataset"] == "cifar10") & ~found["counts"].astype(bool)]
    others = beside["verdict"].value_counts().drop(NOT_RUN, errors="ignore")
    assert f"On CIFAR-10 a further {others.sum()} of the paper's claims are measured but don't count" in text
    assert f"{others[FAILS]} do not and {others[UNDECIDED]} are undecided." in text.partition("a further")[2]


def test_a_claim_that_is_asked_for_alone_is_judged_as_among_all(published) -> None:
    whole = claims.load()
    every = {(row["id"], row["dataset"]): row for row in verdicts.table(published).to_dict("records")}
    for id in ("shuffle-hurts-more", "low-pass-better"):
        alone = verdicts.Verdicts(published, whole, archive())
        assert id in alone and "low pass" not in alone and not alone.judged
        for one in alone[id].decisions:
            there = every[id, one.dataset]
            assert (one.verdict, one.kind) == (there["verdict"], there["kind"])
            assert one.judged.effect == pytest.approx(there["effect"], nan_ok=True)
        primary = {one.id for one in whole.primary}
        assert set(alone.judged) == (primary if id in primary else {id})
    with pytest.raises(InputError, match=r"^claim = 'low pass': "):
        core.verdict_grid(["low pass"], published, "One claim")


def test_claims_that_hold_everywhere_are_listed(published) -> None:
    every = verdicts.verdicts(published).values()
    held = [one for one in every if one.verdict == HOLDS and one.claim.origin == "paper"]
    first, _, rest = ledger.holds_everywhere(published).partition("\n\n")
    assert first.startswith(f"Of the paper's claims, {ledger.in_words(len(held))} hold over all data sets")
    for one, line in zip(held, rest.split("\n"), strict=True):
        assert line.startswith(f"- {tables.claim_words(one.claim)}") and re.search(r"; q [=<] \d?\.\d+\)$", line)
        needed = {d.dataset: d.verdict for d in one.decisions if d.dataset in one.claim.needed}
        assert set(needed) == set(one.claim.needed) and set(needed.values()) == {HOLDS}
    assert ledger.holds_everywhere(frame_of([])).startswith("No claim of the paper holds yet")


def test_claims_are_tallied_in_words() -> None:
    assert ledger.tally({HOLDS: 1, FAILS: 2, NOT_RUN: 3}) == "1 holds and 2 do not"
    assert ledger.tally({HOLDS: 2, BEYOND: 1, FAILS: 1, UNDECIDED: 1}) == (
        "2 hold, 1 holds against ordinary networks but not demonstrably against one stopped early, 1 does not and 1 is "
        "undecided"
    )
    assert ledger.judged({HOLDS: 1, FAILS: 2, NOT_RUN: 3}) == 3


def test_a_verdict_that_is_only_shown_isn_t_counted(published) -> None:
    counts = inventory.verdict_counts(published).set_index("on")
    found = verdicts.table(published)
    shown = found[(found["dataset"] == "cifar10") & (found["verdict"] == FAILS)]
    assert not shown["counts"].all() and counts.loc["CIFAR-10", FAILS] == shown["counts"].sum()


# --- The forest plot --------------------------------------------------------------------------------------------------


def test_a_primary_claim_shows_every_set_of_photographs_that_has_judged_it(published) -> None:
    found, known = verdicts.verdicts(published), claims.load()
    page = forest.primary_marks(found, known, "claims.html")
    lines = re.findall(r'<div class="forest-line">.*?</div>', page)
    for primary, line in zip(known.primary, lines, strict=True):
        judged = [d.dataset for d in found[primary.id].decisions if d.verdict != NOT_RUN]
        photographs = [tables.named(name) for name in judged if not name.startswith("shapes")]
        shown = [name.removesuffix(" (shown only)") for name in re.findall(r'class="forest-set">([^<]*)<', line)]
        assert shown == (photographs or ["shapes"])


def judged(effect: float, unit: float = 0.02, verdict: str = HOLDS) -> Judged:
    return Judged(verdict, "", (effect,) * 3, effect, effect - 0.01, effect + 0.01, unit=unit)


def test_positions_are_signed_so_that_the_claim_points_to_the_right() -> None:
    assert forest.signed(judged(-0.06), "less") == pytest.approx((3, 2.5, 3.5))
    assert forest.signed(judged(-0.06), "greater") == pytest.approx((-3, -3.5, -2.5))
    assert forest.place(0) == 50 and forest.place(1e9) == 100 and forest.place(-1e9) == 0
    assert forest.place(3) - 50 == pytest.approx(50 - forest.place(-3))


def test_the_band_of_the_style_sheet_is_the_smallest_effect() -> None:
    text = (REPOSITORY / "book/_static/atlib.css").read_text(encoding="utf-8")
    band = text[text.index(".forest-band {") :]
    left, width = (float(re.findall(rf"{name}: ([\d.]+)%", band)[0]) for name in ("left", "width"))
    assert left == pytest.approx(forest.place(-1), abs=0.01)
    assert left + width == pytest.approx(forest.place(1), abs=0.01)


def test_every_claim_stands_in_the_plot_once_and_every_mark_leads_to_its_entry(published) -> None:
    found, known = list(verdicts.verdicts(published).values()), claims.load()
    page = forest.forest(found, known)
    named = re.findall(r'(?:<p>|<li>)(?:<strong>[^<]*</strong> )?<a href="#claim-([^"]+)"', page)
    assert sorted(named) == sorted(claim.id for claim in known.claims)
    marks = re.findall(r'<a class="forest-strip[^"]*" href="#claim-([^"]+)"', page)
    drawn = [one.claim.id for one in found for d in one.decisions if d.judged.verdict != NOT_RUN]
    assert sorted(marks) == sorted(drawn)
    primary = [one.id for one in known.primary]
    assert [id for id in dict.fromkeys(named) if id in primary] == named[: len(primary)]


def test_a_mark_lies_where_its_number_says_and_is_read_aloud() -> None:
    claim = replace(claims.load()["shuffle-hurts-more"], statistic=claims.load()["shuffle-hurts-more"].statistic)
    decision = Decision("cifar10", HOLDS, False, judged(-0.06), (1, 2, 3), beside=judged(-0.01, verdict=UNDECIDED))
    page = forest.forest([Verdict(claim, NOT_RUN, (decision,))], claims.load())
    dots = [float(x) for x in re.findall(r'forest-dot [^"]*" style="left:([\d.]+)%', page)]
    assert dots == pytest.approx([forest.place(0.5), forest.place(3)], abs=0.01)  # the hollow one first
    label = unescape(re.findall(r'aria-label="([^"]+)"', page)[0])
    assert label.startswith("CIFAR-10 (shown only): holds, −0.060 [−0.070, −0.050]; against the network stopped early")


# --- What is open -----------------------------------------------------------------------------------------------------


def test_what_is_open_says_which_runs_it_waits_for(published) -> None:
    known = claims.load()
    late = (published["seed"] == 3) | (published["model"] == "underfit")
    some = published[~late | (published["dataset"] != "caltech101")]
    text = waiting.sentence(waiting.waiting(known["maps-sparser"], "caltech101", waiting.Published(some), known))
    assert "normal, seed 3" in text and "pgd-linf-4, seed 3" in text and "core hours" in text
    assert "underfit, seed 1" in text  # the control's
    done = waiting.waiting(known["maps-sparser"], "cifar10", waiting.Published(published), known)
    assert not done and waiting.sentence(done) == ""
    early = (published["dataset"] != "caltech101") | (published["seed"] < 4)
    early &= (published["dataset"] != "caltech101") | (published["distortion"] != "conflict") | (published["seed"] < 3)
    asked = waiting.waiting(
        known["cue-conflict-on-photographs"], "caltech101-cues", waiting.Published(published[early]), known
    )
    cues = waiting.sentence(asked)
    assert cues.startswith("Waits for 3 runs (pgd-linf-4, seed 4; normal, seed 4; underfit, seed 4)")
    assert "this measurement of published networks, which needs their weights (pgd-linf-4, seed 3; " in cues


def test_why_a_verdict_has_another_word_is_true_of_it(published, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = "robustness-goes-with-shape"
    before = dict(verdicts.earlier()) | {(claim, "shapes"): "does not hold", (claim, "overall"): "does not hold"}
    monkeypatch.setattr(verdicts, "earlier", lambda: before)
    found = verdicts.changed(published).set_index(["claim", "on"])
    since = set(found.loc[found["now"] != EXCLUDED, "before"])
    assert "pending" not in since  # rows that came since are no change
    why = found.loc[(claim, "overall"), "why"]
    assert why == "the verdict on shapes has changed"
    assert {"overall"} >= set(found[found["why"].str.contains("already excludes")].index.get_level_values("on"))


def test_two_seeds_have_no_interval() -> None:
    one = Judged("not run", effect=0.1, low=-0.9, high=1.1, values=(0.1, 0.1))
    assert ledger.number_words(one) == "+0.100 (2 seeds)"


def test_no_claim_waits_for_a_run_that_is_not_in_the_grid() -> None:
    known, empty = claims.load(), frame_of([])
    unplanned = {
        (claim.id, dataset): found.unplanned
        for claim in known.claims
        for dataset in claim.needed
        if (found := waiting.waiting(claim, dataset, waiting.Published(empty), known)).unplanned
    }
    assert not unplanned


def test_the_effect_that_could_be_found_is_said_where_the_scatter_is_known(published) -> None:
    known = claims.load()
    found = verdicts.verdicts(published)
    text = waiting.detectable(known["maps-sparser"], found["maps-sparser"].decisions, known)
    assert text.startswith("If seeds scatter as on cifar10") and "four cases of five" in text
    assert waiting.detectable(known["maps-sparser"], (), known) == ""  # of which nothing has been judged


# --- Sentences that people wrote --------------------------------------------------------------------------------------


def test_every_sentence_rests_on_verdicts_of_today_and_has_its_numbers(published) -> None:
    said = bound.conclusion(published)
    assert said.startswith("## ") and "{" not in said
    assert "\n\nThe SmoothGrad maps of" in said and "\n\n\n" not in said  # paragraphs are kept
    effect = next(
        d.judged.effect for d in verdicts.verdicts(published)["low-pass-better"].decisions if d.dataset == "cifar10"
    )
    assert f">{100 * effect:.1f}</a> points more" in said


WRONG = [
    ({"rests_on": {"maps-sparser@cifar10": FAILS}}, r"rests on maps-sparser@cifar10 = 'does not hold', and .* 'holds'"),
    ({"rests_on": {"maps-sparse@cifar10": HOLDS}}, "did you mean 'maps-sparser'"),
    ({"rests_on": {"maps-sparser@cifar100": HOLDS}}, "did you mean 'cifar10'"),
    ({"rests_on": {"maps-sparser@cifar10": "hold"}}, "did you mean 'holds'"),
    ({"text": "by {pints maps-sparser@cifar10}"}, "did you mean 'points'"),
    ({"text": "by {points maps-sparser}"}, "isn't a place that can be filled"),
    ({"text": "by {points maps-sparser@tiny-imagenet}"}, "no such number in the rows"),
    ({"text": "by {accuracy pgd-linf-9@cifar10} %"}, "no accuracy of pgd-linf-9"),
    (
        {"text": "by {at low-pass-better@cifar10 low-pass@0.3}"},
        "cell = 'low-pass@0.3': must be one of low-pass@0.1",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_sentence_that_the_rows_do_not_bear_out_is_refused(change, message, published, tmp_path: Path) -> None:
    content = yaml.safe_load(checkout_path(bound.ANSWER).read_text(encoding="utf-8"))
    content["conclusion"][1] |= change
    path = tmp_path / "answer.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(AtlibError, match=message) as caught:
        bound.conclusion(published, path)
    assert content["conclusion"][1]["heading"] in str(caught.value) and "\n" not in str(caught.value)


def test_a_page_s_sentence_is_bound_to_its_verdicts_and_takes_its_numbers_from_rows(published: pd.DataFrame) -> None:
    clean = tables.in_main_setting(published, "cifar10")
    clean = clean[clean["model"] == "normal"]
    clean = clean[(clean["distortion"] == "saturation") & (clean["level"] == "inf") & (clean["metric"] == "accuracy")]
    text = "Of all pictures {kept normal@cifar10 saturation@inf} %.\n\nAnd {points low-pass-better@cifar10}."
    said = bound.say(text, published, {"low-pass-better@cifar10": "holds"})
    number = '<a class="number" href="claims.html#claim-low-pass-better">+'
    assert said.startswith(f"Of all pictures {100 * clean['value'].mean():.0f} %.\n\nAnd {number}")
    assert said.endswith("]</a>.")
    with pytest.raises(InputError, match=r"Of all pictures.*rests on low-pass-better@cifar10 = 'undecided'.*'holds'"):
        bound.say(text, published, {"low-pass-better@cifar10": "undecided"})
    with pytest.raises(InputError, match="no accuracy of spatial on cifar10 under clean@"):
        bound.say("{kept spatial@cifar10}", published, {})
