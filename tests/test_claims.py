"""The pre-registered claims: that they are complete, and that verdicts follow the rows."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from atlib.configuration import resolve
from atlib.errors import InputError
from atlib.files import checkout_path
from atlib.report import claims, statistics, verdicts
from atlib.report.claims import Claim, Ledger, Setting, Statistic
from atlib.report.verdicts import decide
from atlib.rows import Archive, Predictions, frame_of, load

SETTING = Setting("cifar10", 16, "r", 0.5, "pgd-linf-8", "pgd-linf-2")
LEDGER = Ledger((), {"cifar10": SETTING, "caltech101": replace(SETTING, dataset="caltech101"),
                     "small": replace(SETTING, recipe="small")})  # fmt: skip
PGD = Statistic("difference", ("main",), ("pgd-linf@8",), "accuracy_last", "normal")


def claim(statistic: Statistic = PGD, direction: str = "greater", effect: float = 0.05, **other: Any) -> Claim:
    entry = Claim("c", "c", "4", "paper", statistic, direction, effect, ("cifar10",), ("cifar10",), "k", ())
    return replace(entry, **other)


def row(model: str, seed: int, under: str, metric: str, value: float, **other: Any) -> dict[str, Any]:
    distortion, level = under.split("@")
    columns = {"dataset": "cifar10", "model": model, "width": 16, "recipe": "r", "seed": seed, "value": value}
    columns |= {"share": 0.0 if model in ("normal", "underfit") else 0.5, "count": None, "total": None}
    columns |= {"distortion": distortion, "level": level, "metric": metric} | other
    return {"run": f"{columns['dataset']}/{model}-w16-s{seed}-{columns['recipe']:0>8}"} | columns


def rows_of(effects: Sequence[float], **other: Any) -> list[dict[str, Any]]:
    """Robustness of a normal and an adversarially trained network whose per-seed differences are the effects."""
    under, metric = other.pop("under", "pgd-linf@8"), other.pop("metric", "accuracy_last")
    return [
        row(model, seed, under, metric, value, **other)
        for seed, effect in enumerate(effects, 1)
        for model, value in (("normal", 0.5 - 0.01 * seed), ("pgd-linf-8", 0.5 - 0.01 * seed + effect))
    ]


def no_predictions(run: str) -> Predictions:
    raise AssertionError(f"predictions of {run} are not needed")


def verdict_of(entry: Claim, rows: list[dict[str, Any]], predictions: Archive = no_predictions) -> verdicts.Verdict:
    return verdicts.verdict(entry, frame_of(rows), LEDGER, predictions)


# --- the rule -----------------------------------------------------------------------------------------------------

FLIPS = [
    ([], "pending"),
    ([0.3], "pending"),
    ([0.3, 0.31], "pending"),
    ([0.30, 0.31, 0.32], "holds"),
    ([0.30, 0.31, -0.32], "mixed"),
    ([0.30, 0.10, 0.20], "mixed"),  # all above the smallest effect, but too few to be sure
    ([0.06, 0.07, 0.05], "mixed"),  # about as large as the smallest effect
    ([0.00, 0.01, -0.01], "does not hold"),  # nothing there
    ([0.010, 0.012, 0.011], "does not hold"),  # the right sign, but too small to count
    ([-0.30, -0.31, -0.32], "does not hold"),  # the opposite
    ([-0.30, 0.01, -0.32], "mixed"),
]


@pytest.mark.parametrize("direction", ["greater", "less"])
@pytest.mark.parametrize(("effects", "expected"), FLIPS)
def test_verdict_flips_with_its_rows(effects: list[float], expected: str, direction: str) -> None:
    signed = effects if direction == "greater" else [-effect for effect in effects]
    found = verdict_of(claim(direction=direction), rows_of(signed))
    decision = found.decisions[0]
    assert (found.verdict, decision.verdict) == (expected, expected)
    assert decision.values == pytest.approx(signed) and decision.seeds == tuple(range(1, len(signed) + 1))
    assert (decision.low, decision.high) == pytest.approx(statistics.t_interval(signed), nan_ok=True)


EQUAL = [
    ([0.01, 0.02], "pending"),
    ([0.010, -0.012, 0.001], "holds"),  # the sign doesn't matter
    ([0.01, 0.04, -0.04], "mixed"),  # every seed alike, but not surely so
    ([0.01, 0.02, 0.2], "mixed"),
    ([0.20, 0.21, 0.22], "does not hold"),
    ([-0.20, -0.21, -0.22], "does not hold"),
    ([-0.20, 0.21, -0.22], "mixed"),  # far, but on both sides
]


@pytest.mark.parametrize(("effects", "expected"), EQUAL)
def test_equality_needs_an_interval_within_the_margin(effects: list[float], expected: str) -> None:
    assert verdict_of(claim(direction="equal"), rows_of(effects)).verdict == expected


def test_seeds_must_agree_where_the_interval_alone_would_decide() -> None:
    """From five seeds on one seed may disagree although the interval excludes the smallest effect."""
    many = [0.30] * 11 + [-0.01]
    assert statistics.t_interval(many)[0] > 0.05
    assert decide(many, "greater", 0.05) == "mixed" and decide([*many[:-1], 0.29], "greater", 0.05) == "holds"
    few = [0.0] * 11 + [0.06]
    assert statistics.t_interval(few)[1] < 0.05
    assert decide(few, "greater", 0.05) == "mixed" and decide(few[:-1], "greater", 0.05) == "does not hold"


values = st.lists(st.floats(-1, 1).map(lambda v: round(v, 3)), min_size=3, max_size=8)


@given(values, st.floats(0.001, 0.5))
def test_properties_of_the_rule(effects: list[float], smallest: float) -> None:
    found = decide(effects, "greater", smallest)
    assert decide([-e for e in effects], "less", smallest) == found
    assert decide(effects[::-1], "greater", smallest) == found  # not the order of the seeds
    assert decide(effects[:2], "greater", smallest) == "pending"
    if found == "holds":  # then the opposite claim doesn't, equality can't, and asking for less changes nothing
        assert decide(effects, "less", smallest) == "does not hold"
        assert decide(effects, "equal", smallest) != "holds"
        assert decide(effects, "greater", smallest / 2) == "holds"
    if found == "does not hold":
        assert decide(effects, "greater", smallest * 2) == "does not hold"


@given(values, st.floats(0.001, 0.5), st.floats(0, 0.1))
def test_equality_is_symmetric_and_keeps_with_wider_margins(effects: list[float], margin: float, shrink: float) -> None:
    effects = [effect * shrink for effect in effects]  # small ones, or equality would hardly ever be found
    found = decide(effects, "equal", margin)
    assert decide([-e for e in effects], "equal", margin) == found
    if found == "holds":
        assert decide(effects, "equal", 2 * margin) == "holds"
        assert decide(effects, "greater", margin) == decide(effects, "less", margin) == "does not hold"


def test_the_rule_of_the_file_applies() -> None:
    rows = rows_of([0.30, 0.31, 0.32])
    frame = frame_of(rows)
    assert verdicts.verdict(claim(), frame, replace(LEDGER, minimum_seeds=4)).verdict == "pending"
    wide = frame_of(rows_of([0.15, 0.25, 0.20]))
    assert verdicts.verdict(claim(), wide, LEDGER).verdict == "holds"
    assert verdicts.verdict(claim(), wide, replace(LEDGER, confidence=0.999)).verdict == "mixed"


# --- which rows count ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [{"width": 64}, {"recipe": "q"}, {"dataset": "shapes"}, {"metric": "accuracy_any"}, {"under": "pgd-linf@4"}],
)
def test_rows_of_another_setting_or_measure_do_not_count(other: dict[str, Any]) -> None:
    assert verdict_of(claim(), rows_of([0.30, 0.31, 0.32], **other)).verdict == "pending"


def test_another_share_does_not_count_nor_compete() -> None:
    rows = rows_of([0.30, 0.31, 0.32])
    full = [r | {"share": 1.0, "run": r["run"][:-1] + "f"} for r in rows if r["model"] != "normal"]
    assert verdict_of(claim(), rows + full).verdict == "holds"
    assert verdict_of(claim(), [r for r in rows if r["model"] == "normal"] + full).verdict == "pending"


def test_a_recipe_that_is_not_fixed_is_pending() -> None:
    ledger = replace(LEDGER, settings={"cifar10": replace(SETTING, recipe=None)})
    assert verdicts.verdict(claim(), frame_of(rows_of([0.3, 0.3, 0.3])), ledger).verdict == "pending"


def test_seeds_are_paired_not_pooled() -> None:
    """Three networks of each kind, but only two seeds that have both: pending."""
    rows = rows_of([0.30, 0.31, 0.32])
    shifted = [r | {"seed": 4, "run": r["run"] + "4"} if r["model"] != "normal" and r["seed"] == 3 else r for r in rows]
    decision = verdict_of(claim(), shifted).decisions[0]
    assert decision.verdict == "pending" and decision.seeds == (1, 2)


def test_two_runs_that_could_be_meant_are_refused() -> None:
    rows = rows_of([0.30, 0.31, 0.32])
    twin = rows[1] | {"run": rows[1]["run"][:-1] + "f"}
    with pytest.raises(InputError, match="two runs that one claim could mean"):
        verdict_of(claim(), [*rows, twin])


# --- over data sets -----------------------------------------------------------------------------------------------


def on_two(first: Sequence[float], second: Sequence[float], **other: Any) -> verdicts.Verdict:
    entry = claim(datasets=("cifar10", "caltech101"), needed=("cifar10",), **other)
    return verdict_of(entry, rows_of(first) + rows_of(second, dataset="caltech101"))


HOLDS, FAILS, UNCLEAR = [0.30, 0.31, 0.32], [0.0, 0.01, -0.01], [0.3, 0.0, 0.1]


def test_overall_verdict() -> None:
    assert on_two(HOLDS, []).verdict == "holds"  # what isn't needed needn't be there,
    assert on_two(HOLDS, [0.3]).verdict == "holds"
    assert on_two(HOLDS, FAILS).verdict == "mixed"  # but counts when it is
    assert on_two(HOLDS, UNCLEAR).verdict == "mixed"
    assert on_two(FAILS, FAILS).verdict == "does not hold"
    assert on_two([0.3], HOLDS).verdict == "pending"
    assert on_two([], HOLDS).verdict == "pending"


def test_what_is_only_shown_never_counts() -> None:
    entry = claim(shown=("caltech101",))
    found = verdict_of(entry, rows_of(HOLDS) + rows_of(FAILS, dataset="caltech101"))
    assert found.verdict == "holds"
    assert [(d.dataset, d.verdict, d.counts) for d in found.decisions] == [
        ("cifar10", "holds", True),
        ("caltech101", "does not hold", False),
    ]


# --- every statistic ----------------------------------------------------------------------------------------------


def rows_by(value: Callable[[str, int, str], float], models: Sequence[str], unders: Sequence[str], metric: str) -> list:
    return [row(m, s, u, metric, value(m, s, u)) for m in models for s in (1, 2, 3) for u in unders]


def test_mean_and_weakest_of_several_cells() -> None:
    """Ahead by .3 in one cell and .01 in the other: on the mean it holds, in every cell it doesn't."""
    under = ("saturation@8", "saturation@64")
    rows = rows_by(lambda m, s, u: 0.5 + (m != "normal") * (0.3 if u == under[0] else 0.01) + s / 1000,
                   ("normal", "pgd-linf-8"), under, "accuracy")  # fmt: skip
    mean = Statistic("difference", ("main",), under, "accuracy", "normal")
    assert verdict_of(claim(mean), rows).verdict == "holds"
    assert verdict_of(claim(replace(mean, combine="weakest")), rows).verdict == "does not hold"
    flipped = [r | {"value": 1 - r["value"]} for r in rows]
    assert verdict_of(claim(replace(mean, combine="weakest"), "less"), flipped).verdict == "does not hold"
    assert verdict_of(claim(mean, "less"), flipped).verdict == "holds"
    equal = claim(replace(mean, combine="weakest"), "equal", 0.2)
    assert verdict_of(equal, rows).verdict == verdict_of(equal, flipped).verdict == "does not hold"
    assert verdict_of(replace(equal, statistic=mean), rows).verdict == "holds"


def test_difference_from_a_number() -> None:
    near_zero = claim(Statistic("difference", ("normal",), ("pgd-linf@8",), "accuracy_last", 0.02), "less", 0.0)

    def verdict(robust: float) -> str:
        rows = rows_by(lambda m, s, u: robust + s / 1e4, ["normal"], ["pgd-linf@8"], "accuracy_last")
        return verdict_of(near_zero, rows).verdict

    assert [verdict(v) for v in (0.0, 0.0198, 0.3)] == ["holds", "mixed", "does not hold"]


def test_difference_of_changes_is_about_the_loss_not_the_level() -> None:
    """The normal network falls from .9 to .8, the other from .6 to .55: lower, but it loses less."""
    level = {("normal", "clean@"): 0.9, ("normal", "patch-shuffle@4"): 0.8}
    level |= {("pgd-linf-8", "clean@"): 0.6, ("pgd-linf-8", "patch-shuffle@4"): 0.55}
    entry = claim(Statistic("difference_of_changes", ("main",), ("patch-shuffle@4",), "p_true", "normal"), "less", 0.02)

    def rows() -> list[dict[str, Any]]:
        under = ["clean@", "patch-shuffle@4"]
        return rows_by(lambda m, s, u: level[m, u] + s / 1e4, ["normal", "pgd-linf-8"], under, "p_true")

    found = verdict_of(entry, rows())
    assert found.verdict == "does not hold" and found.decisions[0].effect == pytest.approx(0.05)
    level["pgd-linf-8", "patch-shuffle@4"] = 0.3
    assert verdict_of(entry, rows()).verdict == "holds"


def test_spread_is_the_largest_minus_the_smallest() -> None:
    models = {"normal": 0.50, "pgd-linf-2": 0.51, "pgd-linf-8": 0.52}
    entry = claim(Statistic("spread", ("normal", "weak", "main"), ("blur@1",), "accuracy"), "equal", 0.05)

    def rows() -> list[dict[str, Any]]:
        return rows_by(lambda m, s, u: models[m] + s / 1e3, list(models), ["blur@1"], "accuracy")

    found = verdict_of(entry, rows())
    assert found.verdict == "holds" and found.decisions[0].values == pytest.approx((0.02,) * 3)
    models["pgd-linf-2"] = 0.3
    assert verdict_of(entry, rows()).verdict == "does not hold"


def test_rank_correlation_against_order_and_against_a_quantity() -> None:
    models = ("normal", "pgd-linf-1", "pgd-linf-2", "pgd-linf-4", "pgd-linf-8")
    bias = rows_by(lambda m, s, u: models.index(m) / 10, models, ["conflict@"], "shape_bias")
    entry = claim(Statistic("rank_correlation", models, ("conflict@",), "shape_bias", against="order"), effect=0.5)
    assert verdict_of(entry, bias).verdict == "holds"
    assert verdict_of(entry, bias[:-1]).verdict == "pending"  # one model lacks one seed
    down = [r | {"value": 1 - r["value"]} for r in bias]
    found = verdict_of(entry, down)
    assert found.verdict == "does not hold" and found.decisions[0].values == pytest.approx((-1, -1, -1))
    flat = [r | {"value": 0.5} for r in bias]
    assert verdict_of(entry, flat).decisions[0].values == (0, 0, 0)
    robust = rows_by(lambda m, s, u: -models.index(m) / 10, models, ["pgd-linf@8"], "accuracy_last")
    against = replace(entry, statistic=replace(entry.statistic, against="pgd-linf@8/accuracy_last"))
    assert verdict_of(against, bias + robust).verdict == "does not hold"
    assert verdict_of(against, down + robust).verdict == "holds"
    assert verdict_of(against, bias).verdict == "pending"


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=12))
def test_spearman_is_scipys(pairs: list[tuple[int, int]]) -> None:
    from scipy import stats

    x, y = zip(*pairs, strict=True)
    found = statistics.spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found == 0
    else:
        assert found == pytest.approx(stats.spearmanr(x, y).statistic)
    assert math.isnan(statistics.spearman([*x, math.nan], [*y, 1]))


def test_a_network_of_another_setting() -> None:
    rows = rows_by(lambda m, s, u: 0.5 + s / 1e3, ["normal"], ["blur@1"], "accuracy")
    small = [r | {"recipe": "small", "run": r["run"] + "s", "value": r["value"] - 0.1} for r in rows]
    entry = claim(Statistic("difference", ("normal",), ("blur@1",), "accuracy", "normal@small"))
    assert verdict_of(entry, rows).verdict == "pending"
    assert verdict_of(entry, rows + small).verdict == "holds"
    swapped = replace(entry, statistic=replace(entry.statistic, models=("normal@small",), reference="normal"))
    assert verdict_of(swapped, rows + small).verdict == "does not hold"


def network(known: range, kept: range) -> Predictions:
    """A network that is right on the images `known` when clean and on `kept` when saturated, of 100."""
    images = np.arange(100)
    clean, saturated = (np.where(np.isin(images, list(some)), 0, 1) for some in (known, kept))
    return {"labels": np.zeros(100, int), "clean@/class": clean, "saturation@8/class": saturated}


def test_conditional_and_common_can_disagree_and_both_flip() -> None:
    """By the paper's count the second network wins as it knows only easy images; on the same ones both are equal."""
    rows = rows_of([0.1, 0.1, 0.1])  # so that the runs exist
    stored = {"normal": network(range(100), range(50)), "pgd-linf-8": network(range(50), range(50))}

    def verdict(metric: str) -> str:
        statistic = Statistic("difference", ("main",), ("saturation@8",), metric, "normal")
        return verdict_of(claim(statistic), rows, lambda run: stored[run.split("/")[1].split("-w16")[0]]).verdict

    assert verdict("conditional") == "holds" and verdict("common") == "does not hold"
    stored["normal"] = network(range(100), range(10))
    assert verdict("common") == "holds"
    stored["pgd-linf-8"] = network(range(50), range(5))
    assert verdict("conditional") == verdict("common") == "does not hold"
    stored["pgd-linf-8"] = network(range(0), range(0))  # nothing known when clean: no value, not a zero
    assert verdict("conditional") == verdict("common") == "pending"
    del stored["normal"]["saturation@8/class"]  # type: ignore[attr-defined]
    assert verdict("common") == "pending"


def test_the_table_has_a_line_for_each_claim_and_data_set() -> None:
    ledger = replace(LEDGER, claims=(claim(shown=("caltech101",)),))
    table = verdicts.table(frame_of(rows_of(HOLDS)), ledger, no_predictions)
    assert table["dataset"].tolist() == ["overall", "cifar10", "caltech101"]
    assert table["verdict"].tolist() == ["holds", "holds", "pending"]
    assert table.loc[1, "effect"] == pytest.approx(0.31) and table.loc[1, "seeds"] == (1, 2, 3)


# --- the file -----------------------------------------------------------------------------------------------------

CONTENT: dict[str, Any] = yaml.safe_load(checkout_path(claims.CLAIMS).read_text(encoding="utf-8"))


def test_the_file_is_complete() -> None:
    ledger = claims.load()
    assert len(ledger.claims) >= 15 and len({c.id for c in ledger.claims}) == len(ledger.claims)
    assert sum(c.origin == "paper" for c in ledger.claims) >= 15
    assert any(c.origin == "question" for c in ledger.claims)
    headings = {
        "abstract",
        "1",
        "2",
        "2.1",
        "2.2",
        "3",
        "3.1",
        "3.2",
        "4",
        "4.1",
        "4.2",
        "4.2.1",
        "4.2.2",
        "4.2.3",
        "5",
        "6",
    }
    for entry in ledger.claims:
        assert entry.section in headings
        assert entry.statistic.name in claims.STATISTICS and entry.statistic.metric in claims.METRICS
        assert len(entry.claim) > 20 and len(entry.known) > 10, entry.id
        assert set(entry.datasets) | set(entry.shown) <= set(ledger.settings)
    assert {c.section for c in ledger.claims} >= {"abstract", "4", "4.1", "4.2.1", "4.2.2", "4.2.3", "5"}
    used = {place.split("@")[0] for c in ledger.claims for place in c.statistic.under}
    assert used >= {"stylised", "saturation", "patch-shuffle", "low-pass", "high-pass", "conflict", "pgd-linf"}
    metrics = {c.statistic.metric for c in ledger.claims}
    assert metrics >= {"gini", "edge_correlation", "high_frequency", "map_distance", "common", "conditional"}
    assert ledger["shape-bias"].section == "abstract"
    with pytest.raises(InputError, match="did you mean 'shape-bias'"):
        ledger["shape-bais"]


@pytest.mark.parametrize("name", [c["id"] for c in CONTENT["claims"]])
def test_every_claim_can_hold_and_fail(name: str) -> None:
    """Each claim of the file, on made-up rows of networks that differ as it says, and as it doesn't."""
    ledger = claims.load()
    # recipes that are still open are given a name here, or two settings could not be told apart
    settings = {k: replace(s, recipe=s.recipe or k) for k, s in ledger.settings.items()}
    ledger, entry = replace(ledger, settings=settings), ledger[name]

    def verdict(right: bool) -> str:
        rows, stored = imagined(entry, ledger, right)
        return verdicts.verdict(entry, frame_of(rows), ledger, stored.__getitem__).verdict

    assert verdict(True) == "holds"
    assert verdict(False) == "does not hold"
    assert verdicts.verdict(entry, frame_of([]), ledger, no_predictions).verdict == "pending"


def imagined(entry: Claim, ledger: Ledger, right: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and predictions in which all that a claim is about lies where it says (or doesn't), by a wide margin."""
    s = entry.statistic
    up = (entry.direction != "less") == right
    rows: list[dict[str, Any]] = []
    stored: dict[str, dict[str, Any]] = {}
    for dataset in entry.datasets:
        operands = [*s.models, *([s.reference] if isinstance(s.reference, str) else [])]
        for place, operand in enumerate(operands):
            alias, _, other = operand.partition("@")
            setting = ledger.settings[other or dataset]
            model = {"main": setting.main, "weak": setting.weak}.get(alias, alias)
            height = place / len(operands) if s.name in ("rank_correlation", "spread") else float(place < len(s.models))
            apart = 0.0 if entry.direction == "equal" and right else height if up else 1 - height
            base = isinstance(s.reference, float)
            value = (0.9 if up else 0.0) if base else 0.1 + 0.8 * apart
            for seed in (1, 2, 3):
                about: dict[str, Any] = {"dataset": setting.dataset, "recipe": setting.recipe, "width": setting.width}
                share = 0.0 if model in ("normal", "underfit") else setting.share
                run = f"{setting.dataset}/{model}-w{setting.width}-s{seed}-{setting.recipe}"
                about |= {"share": share, "run": run}
                kept = round(100 * value)
                stored[run] = {"labels": np.zeros(100, int), "clean@/class": np.zeros(100, int)}
                for under in s.under:
                    stored[run][f"{under}/class"] = (np.arange(100) >= kept).astype(int)
                    rows.append(row(model, seed, under, s.metric, value, **about))
                rows.append(row(model, seed, "pgd-linf@8", "x", place / 20, **about))
                if s.against and s.against != "order":
                    under, metric = s.against.rsplit("/", 1)
                    rows.append(row(model, seed, under, metric, place / 20, **about))
                if s.name == "difference_of_changes":
                    rows.append(row(model, seed, "clean@", s.metric, 0.5, **about))
    return rows, stored


@pytest.mark.parametrize("name", ["shapes", "shapes-shape", "shapes-texture", "cifar10", "tiny-imagenet"])
def test_main_settings_are_what_training_does_by_default(name: str) -> None:
    """Else a claim would wait for ever for runs that nobody makes."""
    setting = claims.load().settings[name]
    cue = {"cue": name.split("-")[1]} if name.startswith("shapes-") else {}
    config = resolve(dataset=setting.dataset, width=setting.width, **cue)
    assert (config.recipe, config.share) == (setting.recipe, setting.share)
    assert config.model == setting.main


def edit(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A change to the content: the last key of a path in the first claim, or from the top; ... removes it."""

    def change(content: dict[str, Any]) -> None:
        *way, key = path.split(".")
        place: Any = content["claims"][0] if way[:1] == ["claim"] else content
        for name in way[1:] if way[:1] == ["claim"] else way:
            place = place[name]
        if value is ...:
            del place[key]
        else:
            place[key] = value

    return change


def statistic(**changed: Any) -> Callable[[dict[str, Any]], None]:
    """The first claim's statistic with some keys changed; None removes one."""

    def change(content: dict[str, Any]) -> None:
        entry = content["claims"][0]["statistic"] | changed
        content["claims"][0]["statistic"] = {key: value for key, value in entry.items() if value is not None}

    return change


def equality_without_margin(content: dict[str, Any]) -> None:
    content["claims"][0] |= {"direction": "equal", "smallest_effect": 0}


RANKS = {"name": "rank_correlation", "models": ["normal", "weak", "main"], "reference": None, "against": "order"}
MALFORMED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "unknown key": (edit("claim.directoin", "less"), "did you mean 'direction'?"),
    "key missing": (edit("claim.known", ...), "claim robustness-gained: key 'known' is missing"),
    "unknown statistic": (edit("claim.statistic.name", "diference"), "did you mean 'difference'?"),
    "unknown metric": (edit("claim.statistic.metric", "accuracy_lst"), "did you mean 'accuracy_last'?"),
    "unknown key of a statistic": (edit("claim.statistic.modles", []), "did you mean 'models'?"),
    "unknown direction": (edit("claim.direction", "grater"), "did you mean 'greater'?"),
    "unknown section": (edit("claim.section", "4.4"), "section = '4.4'"),
    "a number as section": (edit("claim.section", 4.1), "section = 4.1"),
    "unknown origin": (edit("claim.origin", "me"), "origin = 'me'"),
    "unknown data set": (edit("claim.datasets", ["cifar11"]), "did you mean 'cifar10'?"),
    "data set twice": (edit("claim.datasets", ["cifar10", "cifar10"]), "is there 2 times"),
    "no data set": (edit("claim.datasets", []), "must be a list"),
    "needed but not listed": (edit("claim.needed", ["caltech101-64"]), "needed = 'caltech101-64'"),
    "shown and counted": (edit("claim.shown", ["cifar10"]), "is among the datasets already"),
    "negative effect": (edit("claim.smallest_effect", -0.1), "smallest_effect = -0.1"),
    "text as effect": (edit("claim.smallest_effect", "small"), "smallest_effect = 'small'"),
    "equality without margin": (equality_without_margin, "above 0"),
    "undated change": (edit("claim.changes", ["because"]), "must begin with a date"),
    "unquoted change": (edit("claim.changes", [{"2026-12-01": "why"}]), "must be a list of names"),
    "empty claim": (edit("claim.claim", " "), "must be a sentence"),
    "bad id": (edit("claim.id", "Robust!"), "claim 'Robust!': needs an id"),
    "id twice": (edit("claim.id", "shape-bias"), "claim shape-bias: is there 2 times"),
    "unknown model": (edit("claim.statistic.models", ["pgd-8"]), "models = 'pgd-8': must be a model's name"),
    "unknown setting of a model": (edit("claim.statistic.models", ["normal@shape"]), "setting = 'shape'"),
    "no level": (edit("claim.statistic.under", ["pgd-linf"]), "must be DISTORTION@LEVEL"),
    "unknown distortion": (edit("claim.statistic.under", ["satur@8"]), "did you mean 'saturation'?"),
    "no reference": (edit("claim.statistic.reference", ...), "difference needs reference"),
    "reference of a spread": (edit("claim.statistic.name", "spread"), "spread takes no reference"),
    "number where a model is needed": (statistic(name="difference_of_changes", reference=0.1), "needs a model"),
    "common with a number": (statistic(metric="common", reference=0.1), "needs the difference of two models"),
    "common of the clean images": (statistic(metric="common", under=["clean@"]), "needs a distortion"),
    "rank correlation of two": (statistic(**RANKS | {"models": ["normal", "main"]}), "three or more"),
    "against nothing known": (statistic(**RANKS | {"against": "pgd-linf@8/acuracy"}), "did you mean 'accuracy'?"),
    "against of a difference": (edit("claim.statistic.against", "order"), "is for rank_correlation"),
    "spread of one": (statistic(name="spread", models=["normal"], reference=None), "two or more"),
    "unknown combination": (edit("claim.statistic.combine", "sum"), "combine = 'sum'"),
    "one seed decides": (edit("rule.minimum_seeds", 1), "rule.minimum_seeds = 1"),
    "no confidence": (edit("rule.confidence", 95), "rule.confidence = 95"),
    "unknown rule": (edit("rule.seeds", 3), "rule: key = 'seeds'"),
    "setting without recipe": (edit("settings.cifar10.recipe", ...), "settings.cifar10: key 'recipe' is missing"),
    "setting with a number as recipe": (edit("settings.cifar10.recipe", 3), "settings.cifar10.recipe = 3"),
    "setting with another model": (edit("settings.cifar10.main", "best"), "settings.cifar10.main = 'best'"),
    "no claims": (edit("claims", {}), "claims a list"),
    "a claim that is text": (edit("claims", ["robust"]), "claim robust = 'robust': must be a table"),
    "unknown top": (edit("notes", {}), "file: key = 'notes'"),
}  # fmt: skip


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_file_is_one_clear_line(case: str, tmp_path: Path) -> None:
    change, expected = MALFORMED[case]
    content = copy.deepcopy(CONTENT)
    change(content)
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError) as caught:
        claims.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message and expected in message


def test_what_is_not_yaml_or_not_there_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "claims.yaml"
    for text, expected in (("claims: [", "not YAML: .*line"), ("- 1", "must be a table"), ("", "must be a table")):
        path.write_text(text)
        with pytest.raises(InputError, match=expected) as caught:
            claims.load(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="not readable"):
        claims.load(tmp_path / "absent.yaml")


def test_all_claims_are_pending_without_rows_and_none_is_lost() -> None:
    table = verdicts.table(load())
    assert set(table["verdict"]) == {"pending"}
    assert table[table["dataset"] == "overall"]["id"].tolist() == [c["id"] for c in CONTENT["claims"]]
    assert isinstance(table, pd.DataFrame) and table["effect"].isna().all()
