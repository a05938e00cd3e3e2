"""The rule of the ledger: each word and boundary, several cells, the control, many claims, choice of pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from atlib.errors import InputError
from atlib.report import rule, statistics
from atlib.report.rule import BEYOND, EXCLUDED, FAILS, HOLDS, NOT_RUN, UNDECIDED, Judged, Rule, judge, together

GREATER, LESS, EQUAL = Rule("greater"), Rule("less"), Rule("equal")
E = 0.05


def words(values: list[float], how: Rule = GREATER, smallest: float = E, **other: Any) -> tuple[str, str]:
    found = judge(values, smallest, how, **other)
    return found.verdict, found.kind


WORDS = [
    ([], NOT_RUN, ""),
    ([0.30, 0.31], NOT_RUN, ""),
    ([0.30, 0.31, 0.32], HOLDS, ""),
    ([0.30, 0.10, 0.20], UNDECIDED, ""),  # all above the smallest effect, but too few to be sure
    ([0.30, 0.31, -0.32], UNDECIDED, ""),
    ([0.06, 0.07, 0.05], UNDECIDED, ""),  # about as large as the smallest effect
    ([-0.30, -0.31, -0.32], FAILS, "reversed"),
    ([0.010, 0.012, 0.011], FAILS, "smaller"),
    ([0.00, 0.01, -0.01], FAILS, "no effect"),
    ([-0.04, 0.00, -0.05], FAILS, "not larger"),  # below the smallest effect, but perhaps far below
]


@pytest.mark.parametrize(("values", "verdict", "kind"), WORDS)
def test_every_word_of_a_claim_with_a_direction(values: list[float], verdict: str, kind: str) -> None:
    assert words(values) == (verdict, kind)
    assert words([-value for value in values], LESS) == (verdict, kind)


EQUALS = [
    ([0.01, 0.02], NOT_RUN, ""),
    ([0.010, -0.012, 0.001], HOLDS, "alike"),  # the sign doesn't matter
    ([0.01, 0.04, -0.04], UNDECIDED, ""),  # every seed alike, but not surely so
    ([0.20, 0.21, 0.22], FAILS, "different"),
    ([-0.20, -0.21, -0.22], FAILS, "different"),
    ([-0.20, 0.21, -0.22], UNDECIDED, ""),  # far, but on both sides
]


@pytest.mark.parametrize(("values", "verdict", "kind"), EQUALS)
def test_every_word_of_a_claim_of_equality(values: list[float], verdict: str, kind: str) -> None:
    assert words(values, EQUAL) == (verdict, kind)


def test_more_can_bear_out_equality_where_the_claim_says_so() -> None:
    how = replace(EQUAL, or_more=True)
    assert words([0.20, 0.21, 0.22], how) == (HOLDS, "more")
    assert words([-0.20, -0.21, -0.22], how) == (FAILS, "different")


def shifted(low: float | None = None, high: float | None = None) -> list[float]:
    """Three seeds whose interval begins, or ends, exactly there, but for rounding."""
    values = np.array([0.30, 0.31, 0.33])
    ends = statistics.t_interval(values)
    return list(values + (low - ends[0] if low is not None else (high or 0.0) - ends[1]))


TINY = 1e-6


def test_every_boundary() -> None:
    """Just on either side of each bound the word changes."""
    assert [words(shifted(low=E + d))[0] for d in (TINY, -TINY)] == [HOLDS, UNDECIDED]
    wide = 0.5  # so that the whole interval fits between 0 and the smallest effect
    assert [words(shifted(high=wide + d), smallest=wide)[0] for d in (-TINY, TINY)] == [FAILS, UNDECIDED]
    assert [words(shifted(high=-wide + d), smallest=wide)[1] for d in (-TINY, TINY)] == ["reversed", "not larger"]
    assert [words(shifted(low=d), smallest=wide)[1] for d in (TINY, -TINY)] == ["smaller", "no effect"]
    assert [words(shifted(low=-wide + d), smallest=wide)[1] for d in (TINY, -TINY)] == ["no effect", "not larger"]
    assert [words(shifted(high=wide + d), EQUAL, wide)[0] for d in (-TINY, TINY)] == [HOLDS, UNDECIDED]
    assert [words(shifted(low=-wide + d), EQUAL, wide)[0] for d in (TINY, -TINY)] == [HOLDS, UNDECIDED]
    assert [words(shifted(low=E + d), EQUAL)[0] for d in (TINY, -TINY)] == [FAILS, UNDECIDED]
    assert [words(shifted(high=-E + d), EQUAL)[0] for d in (-TINY, TINY)] == [FAILS, UNDECIDED]


def test_with_many_seeds_the_interval_decides_and_the_share_that_agrees_is_kept() -> None:
    found = judge([0.30] * 19 + [-0.01], E, GREATER)
    assert (found.verdict, found.agree) == (HOLDS, 0.95)
    assert judge([-0.30] * 19 + [0.01], E, LESS).agree == 0.95


three = st.lists(st.floats(-1, 1).map(lambda v: round(v, 3)), min_size=3, max_size=3)
values = st.lists(st.floats(-1, 1).map(lambda v: round(v, 3)), min_size=3, max_size=8)
variances = st.sampled_from([math.nan, 0.0, 1e-6, 1e-4, 1e-3, 1e-2])


@given(three, variances)
def test_with_three_seeds_the_interval_implies_that_all_agree(effects: list[float], pictures: float) -> None:
    found = judge(effects, E, GREATER, pictures)
    if found.verdict == HOLDS:
        assert found.agree == 1


@given(values, st.floats(0.001, 0.5), variances)
def test_properties_of_the_rule(effects: list[float], smallest: float, pictures: float) -> None:
    found = judge(effects, smallest, GREATER, pictures)
    turned = judge([-e for e in effects], smallest, LESS, pictures)
    assert (turned.verdict, turned.kind) == (found.verdict, found.kind)
    assert judge(effects[::-1], smallest, GREATER, pictures) == replace(found, values=found.values[::-1])
    assert judge(effects[:2], smallest, GREATER, pictures).verdict == NOT_RUN
    assert (found.verdict == HOLDS) == (found.low > smallest) or abs(found.low - smallest) < 1e-9
    assert (found.verdict == FAILS) == (found.high < smallest) or abs(found.high - smallest) < 1e-9
    if found.verdict == HOLDS:  # then the opposite fails as reversed, equality can't hold, and less can be asked
        assert (judge(effects, smallest, LESS, pictures).kind) == "reversed"
        assert judge(effects, smallest, EQUAL, pictures).verdict != HOLDS
        assert judge(effects, smallest / 2, GREATER, pictures).verdict == HOLDS


# --- The choice of pictures ------------------------------------------------------------------------------------------


@given(values, st.floats(0, 0.01))
def test_the_choice_of_pictures_never_makes_an_interval_narrower(effects: list[float], pictures: float) -> None:
    alone, both = (statistics.estimate(effects, variance).interval() for variance in (0.0, pictures))
    assert both[0] <= alone[0] + 1e-12 and both[1] >= alone[1] - 1e-12
    assert alone == pytest.approx(statistics.t_interval(effects))


def test_satterthwaite_by_hand() -> None:
    """Variances .0001 (of the mean over three seeds) and .0003: the sum, with 2 (4)² = 32 degrees of freedom."""
    spread = math.sqrt(3e-4)  # the variance of seeds
    found = statistics.estimate([0.2 - spread, 0.2, 0.2 + spread], 3e-4)
    assert found.errors[1] == pytest.approx((0.02, 32))
    half = max(stats.t.ppf(0.975, 32) * 0.02, stats.t.ppf(0.975, 2) * 0.01)
    assert found.interval() == pytest.approx((0.2 - half, 0.2 + half))
    still = statistics.estimate([0.2, 0.2, 0.2], 3e-4)  # no difference between seeds: the normal distribution
    assert still.interval()[1] == pytest.approx(0.2 + stats.norm.ppf(0.975) * math.sqrt(3e-4))


@given(values, st.floats(-0.5, 0.5), variances)
def test_p_values_and_intervals_say_the_same(effects: list[float], bound: float, pictures: float) -> None:
    found = statistics.estimate(effects, 0 if math.isnan(pictures) else pictures)
    low, high = found.interval()
    if abs(low - bound) > 1e-9 and abs(high - bound) > 1e-9:
        assert (found.above(bound) < 0.05) == (low > bound)
        assert (found.below(bound) < 0.05) == (high < bound)


# --- Several cells ---------------------------------------------------------------------------------------------------


def cell(values: list[float], how: Rule = GREATER) -> Judged:
    return judge(values, E, how)


YES, NO, OPEN = cell([0.30, 0.31, 0.32]), cell([0.0, 0.01, -0.01]), cell([0.3, 0.0, 0.1])
BACK, LITTLE = cell([-0.3, -0.31, -0.32]), cell([0.01, 0.012, 0.011])


def test_all_needs_every_cell_and_fails_with_one() -> None:
    assert together([YES, YES], "all", GREATER).verdict == HOLDS
    assert together([YES, OPEN], "all", GREATER).verdict == UNDECIDED
    found = together([YES, BACK], "all", GREATER)
    assert (found.verdict, found.kind, found.effect) == (FAILS, "reversed", BACK.effect)
    assert together([YES, cell([0.3, 0.31])], "all", GREATER).verdict == NOT_RUN


def test_all_fails_only_after_holm_over_the_cells() -> None:
    """A cell that fails at .03 on its own is one of four chances, and doesn't refute."""
    just = replace(NO, below=0.03)
    assert just.verdict == FAILS and together([YES, YES, YES, just], "all", GREATER).verdict == UNDECIDED
    assert together([YES, just], "all", GREATER).verdict == UNDECIDED
    assert together([just], "all", GREATER).verdict == FAILS
    assert together([YES, YES, YES, replace(NO, below=0.01)], "all", GREATER).verdict == FAILS


def test_each_corrects_for_holding_as_well() -> None:
    just = replace(YES, above=0.03)
    assert together([just, just], "all", GREATER).verdict == HOLDS
    assert together([just, just], "each", GREATER).verdict == UNDECIDED
    assert together([replace(YES, above=0.02), just], "each", GREATER).verdict == HOLDS


def test_most_goes_with_more_than_half() -> None:
    assert together([YES, YES, BACK], "most", GREATER).verdict == HOLDS
    assert together([YES, YES, BACK, NO], "most", GREATER).verdict == UNDECIDED
    assert together([YES, NO, BACK], "most", GREATER).verdict == FAILS
    assert together([YES, OPEN, BACK], "most", GREATER).verdict == UNDECIDED


def test_the_number_that_is_shown_is_of_the_cell_that_speaks_least() -> None:
    assert together([YES, OPEN, LITTLE], "all", replace(GREATER, confidence=0.9999999)).effect == LITTLE.effect
    down = [cell([-v for v in c.values], LESS) for c in (YES, OPEN)]
    assert together(down, "all", LESS).effect == down[1].effect
    near, far = cell([0.01, 0.0, 0.02], EQUAL), cell([-0.03, -0.02, -0.04], EQUAL)
    assert together([near, far], "all", EQUAL).effect == far.effect
    with pytest.raises(InputError, match="quantifier = 'some'"):
        together([YES], "some", GREATER)


# --- Many claims, many data sets -------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0] and statistics.holm([]) == []


def test_benjamini_hochberg_by_hand() -> None:
    assert statistics.benjamini_hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert statistics.benjamini_hochberg([]) == []


def test_a_correction_can_only_take_a_verdict_away_and_says_so() -> None:
    found = rule.corrected(YES, 0.2, 1.0, GREATER)
    assert (found.verdict, found.kind) == (UNDECIDED, "after Holm's correction")
    assert rule.corrected(YES, 0.04, 1.0, GREATER).verdict == HOLDS
    assert rule.corrected(OPEN, 1.0, 1.0, GREATER).kind == ""
    assert rule.corrected(Judged(NOT_RUN), 0.0, 0.0, GREATER).verdict == NOT_RUN


OVERALL: list[tuple[dict[str, str], str]] = [
    ({"a": HOLDS, "b": HOLDS}, HOLDS),
    ({"a": HOLDS, "b": BEYOND}, BEYOND),
    ({"a": FAILS, "b": FAILS}, FAILS),
    ({"a": HOLDS, "b": FAILS}, EXCLUDED),
    ({"a": FAILS, "b": UNDECIDED}, EXCLUDED),
    ({"a": HOLDS, "b": UNDECIDED}, UNDECIDED),
    ({"a": HOLDS, "b": NOT_RUN}, NOT_RUN),
    ({"a": FAILS, "b": NOT_RUN}, EXCLUDED),
    ({"a": UNDECIDED, "b": NOT_RUN}, NOT_RUN),
    ({}, NOT_RUN),
]


@pytest.mark.parametrize(("found", "expected"), OVERALL)
def test_overall(found: dict[str, str], expected: str) -> None:
    assert rule.overall(found, ["a", "b"]) == expected
    assert rule.overall(found | {"c": NOT_RUN}, ["a", "b"]) == expected  # what isn't needed needn't be there


def test_the_effect_that_can_be_detected() -> None:
    """Of a thousand made-up experiments with that true effect, four in five find it."""
    deviation, seeds = 0.02, 3
    effect = statistics.detectable(deviation, seeds, E)
    random = np.random.default_rng(0)
    found = [judge(list(random.normal(effect, deviation, seeds)), E, GREATER).verdict for _ in range(1000)]
    assert found.count(HOLDS) / 1000 == pytest.approx(0.8, abs=0.04)
    assert statistics.detectable(deviation, 20, E) < E + deviation
