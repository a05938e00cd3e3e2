"""Intervals, seeds side by side and paired comparisons, against plain loops and scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from atlib.errors import InputError, Missing
from atlib.report import statistics
from atlib.rows import correct, frame_of


def rows_for(seed: int, value: float, model: str = "normal", run: str | None = None, **other: Any) -> dict[str, Any]:
    """One row, as short as a test wants to write it."""
    row = {"dataset": "cifar10", "model": model, "width": 16, "share": 0.0, "recipe": "r", "seed": seed}
    row |= {"distortion": "clean", "level": "", "metric": "accuracy", "value": value, "count": None, "total": None}
    return {"run": run or f"cifar10/{model}-w16-s{seed}-00000000"} | row | other


# --- intervals ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_is_scipys(counts: tuple[int, int], confidence: float) -> None:
    count, total = counts
    low, high = statistics.wilson(count, total, confidence)
    expected = stats.binomtest(count, total).proportion_ci(confidence, "wilson")
    assert low == pytest.approx(expected.low, abs=1e-9) and high == pytest.approx(expected.high, abs=1e-9)
    assert 0 <= low <= count / total <= high <= 1


def test_wilson_is_exact_at_the_ends() -> None:
    for total in (1, 3, 7, 60, 1788, 10_000):
        assert statistics.wilson(0, total)[0] == 0.0 and statistics.wilson(total, total)[1] == 1.0


def test_spearman_is_scipys_and_0_of_what_does_not_vary() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (2, 20)).astype(float)  # with ties
    assert statistics.spearman(list(x), list(y)) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-15)
    assert statistics.spearman([1, 2, 3], [30, 20, 10]) == pytest.approx(-1.0)
    assert statistics.spearman([1, 2, 3], [5, 5, 5]) == statistics.spearman([5, 5], [1, 2]) == 0.0
    assert math.isnan(statistics.spearman([1, math.nan, 3], [1, 2, 3]))


def test_wilson_of_nothing_and_of_nonsense() -> None:
    assert statistics.wilson(0, 0) == (0.0, 1.0)
    assert statistics.Fraction(3, 10).interval == statistics.wilson(3, 10)
    for count, total in ((11, 10), (-1, 10), (0, -1)):
        with pytest.raises(InputError):
            statistics.wilson(count, total)
    with pytest.raises(InputError, match="confidence"):
        statistics.wilson(1, 2, 1.0)


@given(st.lists(st.floats(-1, 1), min_size=3, max_size=9), st.floats(-1, 1))
def test_t_interval_is_scipys_and_moves_with_the_values(values: list[float], shift: float) -> None:
    low, high = statistics.t_interval(values)
    se = np.std(values, ddof=1) / math.sqrt(len(values))
    if se > 1e-9:
        expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), se)
        assert (low, high) == pytest.approx(expected)
    assert low <= np.mean(values) + 1e-12 and np.mean(values) <= high + 1e-12
    assert statistics.t_interval([v + shift for v in values]) == pytest.approx((low + shift, high + shift), abs=1e-9)


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.6], [0.5, math.nan, 0.4]])
def test_fewer_than_three_seeds_have_no_t_interval(values: list[float]) -> None:
    assert all(map(math.isnan, statistics.t_interval(values)))


def test_seeds_that_agree_have_an_interval_of_no_width() -> None:
    assert statistics.t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)


# --- per image ----------------------------------------------------------------------------------------------------


def made_up(seed: int, images: int = 200, accuracy: float = 0.7) -> dict[str, np.ndarray]:
    """Predictions of a network that is right at random, on test images that all such networks share."""
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(99).integers(0, 10, images)
    wrong = (labels + rng.integers(1, 10, (2, images))) % 10
    clean, distorted = np.where(rng.random((2, images)) < accuracy, labels, wrong)
    last = rng.random(images) < 0.5
    return {"labels": labels, "clean@/class": clean, "saturation@8/class": distorted,
            "pgd-linf@8/last": last, "pgd-linf@8/any": last & (rng.random(images) < 0.8)}  # fmt: skip


@given(st.integers(0, 1000), st.integers(1, 60), st.floats(0, 1))
def test_measures_equal_a_plain_loop(seed: int, images: int, accuracy: float) -> None:
    a, b = made_up(seed, images, accuracy), made_up(seed + 1, images, accuracy)
    known = a_right = b_right = own = kept = only_a = only_b = 0
    for i, label in enumerate(a["labels"]):
        if a["clean@/class"][i] == label:
            own += 1
            kept += a["saturation@8/class"][i] == label
        if a["clean@/class"][i] == label and b["clean@/class"][i] == label:
            known += 1
            x, y = a["saturation@8/class"][i] == label, b["saturation@8/class"][i] == label
            a_right, b_right, only_a, only_b = a_right + x, b_right + y, only_a + (x and not y), only_b + (y and not x)
    part, pair = statistics.conditional(a, "saturation@8"), statistics.paired(a, b, "saturation@8")
    assert (part.count, part.total) == (kept, own)
    assert (pair.model.count, pair.reference.count, pair.total) == (a_right, b_right, known)
    assert (pair.only_model, pair.only_reference) == (only_a, only_b)
    if known:
        assert pair.difference == pytest.approx(pair.model.value - pair.reference.value)
        tail = sum(math.comb(only_a + only_b, k) for k in range(min(only_a, only_b) + 1))
        assert pair.p == pytest.approx(min(1.0, 2 * tail / 2 ** (only_a + only_b)))
    else:
        assert math.isnan(pair.difference)


@given(st.integers(0, 1000))
def test_pairing_is_antisymmetric_and_zero_with_oneself(seed: int) -> None:
    a, b = made_up(seed), made_up(seed + 1)
    there, back = (statistics.paired(*pair, "saturation@8") for pair in ((a, b), (b, a)))
    assert there.difference == -back.difference and there.p == back.p and there.total == back.total
    assert statistics.paired(a, a, "saturation@8").difference == 0


def test_pairing_corrects_what_conditioning_distorts() -> None:
    """A network that knows only easy images looks better by the paper's count, and isn't on the same images."""
    labels = np.zeros(10, int)
    easy = np.arange(10) < 4
    weak = {"labels": labels, "clean@/class": np.where(easy, 0, 1), "blur@1/class": np.where(easy, 0, 1)}
    good = {"labels": labels, "clean@/class": labels, "blur@1/class": np.where(easy, 0, 1)}
    assert statistics.conditional(weak, "blur@1").value == 1.0 > statistics.conditional(good, "blur@1").value == 0.4
    assert statistics.paired(weak, good, "blur@1").difference == 0


def test_correct_knows_attacks_and_refuses_other_pictures() -> None:
    a = made_up(0) | {"conflict@/class": np.zeros(200)}
    assert np.array_equal(correct(a, "pgd-linf@8"), a["pgd-linf@8/last"])
    assert np.array_equal(correct(a, "pgd-linf@8", "any"), a["pgd-linf@8/any"])
    assert np.array_equal(correct(a, "clean@"), a["clean@/class"] == a["labels"])
    with pytest.raises(Missing, match=r"'blur@1': no predictions"):
        correct(a, "blur@1")
    with pytest.raises(InputError, match="cue-conflict"):
        correct(a, "conflict@")
    with pytest.raises(InputError, match="different test images"):
        statistics.paired(a, made_up(1, 199), "saturation@8")


def test_comparison_puts_each_run_beside_the_normal_one_of_its_seed() -> None:
    place = {"distortion": "saturation", "level": "8"}
    rows = [rows_for(seed, 0.5, model, **place) for model in ("normal", "pgd-linf-8") for seed in (1, 2)]
    rows += [rows_for(3, 0.5, "pgd-linf-8", **place), rows_for(1, 0.9)]
    stored = {row["run"]: made_up(i) for i, row in enumerate(rows[:5])}
    table = statistics.comparison(frame_of(rows), stored.__getitem__).set_index("run")
    assert len(table) == 5  # clean accuracy is no distortion
    assert statistics.comparison(frame_of([])).columns.tolist()[1:] == table.columns.tolist()
    for seed in (1, 2):
        mine, normal = (f"cifar10/{model}-w16-s{seed}-00000000" for model in ("pgd-linf-8", "normal"))
        pair, line = statistics.paired(stored[mine], stored[normal], "saturation@8"), table.loc[mine]
        assert (line["total"], line["difference"], line["p"]) == (pair.total, pair.difference, pair.p)
        assert (line["common"], line["common_reference"]) == (pair.model.value, pair.reference.value)
        assert line["conditional"] == statistics.conditional(stored[mine], "saturation@8").value
        assert table.loc[normal, "difference"] == 0
    lone = table[["total", "difference", "p"]].loc[["cifar10/pgd-linf-8-w16-s3-00000000"]].to_numpy()
    assert lone[0] == pytest.approx([0, math.nan, math.nan], nan_ok=True)
    rows.append(rows_for(1, 0.4, run="cifar10/normal-w16-s1-ffffffff"))
    with pytest.raises(InputError, match="two runs of normal"):
        statistics.comparison(frame_of(rows), stored.__getitem__)
