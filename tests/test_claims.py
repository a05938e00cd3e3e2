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

from atlib import measurements
from atlib.campaign import grid
from atlib.configuration import resolve
from atlib.errors import InputError, Missing
from atlib.files import checkout_path
from atlib.report import claims, quantities, statistics, verdicts
from atlib.report.claims import Claim, Ledger, Setting, Statistic
from atlib.rows import Archive, Predictions, frame_of, load

SETTING = Setting("cifar10", 16, "r", 0.5, "pgd-linf-8", "pgd-linf-2")
LEDGER = Ledger((), {"cifar10": SETTING, "caltech101": replace(SETTING, dataset="caltech101"),
                     "small": replace(SETTING, recipe="small")})  # fmt: skip
PGD = Statistic("difference", ("main",), ("pgd-linf@8",), ("accuracy_last",), "normal")


def claim(statistic: Statistic = PGD, direction: str = "greater", effect: float = 0.05, **other: Any) -> Claim:
    smallest = dict.fromkeys(statistic.metrics, effect)
    entry = Claim("c", "c", "4", "paper", statistic, direction, smallest, ("cifar10",), ("cifar10",), "k", ())
    return replace(entry, **other)


def row(model: str, seed: int, under: str, metric: str, value: float, **other: Any) -> dict[str, Any]:
    distortion, _, level = under.partition("@")
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
    raise Missing(f"no predictions of {run}")


def verdict_of(entry: Claim, rows: list[dict[str, Any]], predictions: Archive = no_predictions) -> verdicts.Verdict:
    return verdicts.verdict(entry, frame_of(rows), LEDGER, predictions)


# --- which rows count ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [{"width": 64}, {"recipe": "q"}, {"dataset": "shapes"}, {"metric": "accuracy_any"}, {"under": "pgd-linf@4"}],
)
def test_rows_of_another_setting_or_measure_do_not_count(other: dict[str, Any]) -> None:
    assert verdict_of(claim(), rows_of([0.30, 0.31, 0.32], **other)).verdict == "not run"


def test_another_share_does_not_count_nor_compete() -> None:
    rows = rows_of([0.30, 0.31, 0.32])
    full = [r | {"share": 1.0, "run": r["run"][:-1] + "f"} for r in rows if r["model"] != "normal"]
    assert verdict_of(claim(), rows + full).verdict == "holds"
    assert verdict_of(claim(), [r for r in rows if r["model"] == "normal"] + full).verdict == "not run"


def test_a_recipe_that_is_not_fixed_is_not_run() -> None:
    ledger = replace(LEDGER, settings={"cifar10": replace(SETTING, recipe=None)})
    assert verdicts.verdict(claim(), frame_of(rows_of([0.3, 0.3, 0.3])), ledger).verdict == "not run"


def test_seeds_are_paired_not_pooled() -> None:
    """Three networks of each kind, but only two seeds that have both: not run."""
    rows = rows_of([0.30, 0.31, 0.32])
    shifted = [r | {"seed": 4, "run": r["run"] + "4"} if r["model"] != "normal" and r["seed"] == 3 else r for r in rows]
    decision = verdict_of(claim(), shifted).decisions[0]
    assert decision.verdict == "not run" and decision.seeds == (1, 2)


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
    assert on_two(HOLDS, FAILS).verdict == "can no longer hold"  # but counts when it is
    assert on_two(HOLDS, UNCLEAR).verdict == "undecided"
    assert on_two(FAILS, FAILS).verdict == "does not hold"
    assert on_two([0.3], HOLDS).verdict == "not run"
    assert on_two([], HOLDS).verdict == "not run"


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


def test_the_mean_and_all_of_several_cells() -> None:
    """Ahead by .3 in one cell and .01 in the other: on the mean it holds, in every cell it doesn't."""
    under = ("saturation@8", "saturation@64")
    rows = rows_by(lambda m, s, u: 0.5 + (m != "normal") * (0.3 if u == under[0] else 0.01) + s / 1000,
                   ("normal", "pgd-linf-8"), under, "accuracy")  # fmt: skip
    mean = Statistic("difference", ("main",), under, ("accuracy",), "normal")
    assert verdict_of(claim(mean), rows).verdict == "holds"
    assert verdict_of(claim(replace(mean, quantifier="all")), rows).verdict == "does not hold"
    flipped = [r | {"value": 1 - r["value"]} for r in rows]
    assert verdict_of(claim(replace(mean, quantifier="all"), "less"), flipped).verdict == "does not hold"
    assert verdict_of(claim(mean, "less"), flipped).verdict == "holds"
    equal = claim(replace(mean, quantifier="all"), "equal", 0.2)
    assert verdict_of(equal, rows).verdict == verdict_of(equal, flipped).verdict == "does not hold"
    assert verdict_of(replace(equal, statistic=mean), rows).verdict == "holds"


def test_difference_from_a_number() -> None:
    near_zero = claim(Statistic("difference", ("normal",), ("pgd-linf@8",), ("accuracy_last",), 0.02), "less", 0.0)

    def verdict(robust: float) -> str:
        rows = rows_by(lambda m, s, u: robust + s / 1e4, ["normal"], ["pgd-linf@8"], "accuracy_last")
        return verdict_of(near_zero, rows).verdict

    assert [verdict(v) for v in (0.0, 0.0198, 0.3)] == ["holds", "undecided", "does not hold"]


def test_difference_of_changes_is_about_the_loss_not_the_level() -> None:
    """The normal network falls from .9 to .8, the other from .6 to .55: lower, but it loses less."""
    level = {("normal", "clean@"): 0.9, ("normal", "patch-shuffle@4"): 0.8}
    level |= {("pgd-linf-8", "clean@"): 0.6, ("pgd-linf-8", "patch-shuffle@4"): 0.55}
    entry = claim(
        Statistic("difference_of_changes", ("main",), ("patch-shuffle@4",), ("p_true",), "normal"), "less", 0.02
    )

    def rows() -> list[dict[str, Any]]:
        under = ["clean@", "patch-shuffle@4"]
        return rows_by(lambda m, s, u: level[m, u] + s / 1e4, ["normal", "pgd-linf-8"], under, "p_true")

    found = verdict_of(entry, rows())
    assert found.verdict == "does not hold" and found.decisions[0].judged.effect == pytest.approx(0.05)
    level["pgd-linf-8", "patch-shuffle@4"] = 0.3
    assert verdict_of(entry, rows()).verdict == "holds"


def test_spread_is_the_largest_minus_the_smallest() -> None:
    models = {"normal": 0.50, "pgd-linf-2": 0.51, "pgd-linf-8": 0.52}
    entry = claim(Statistic("spread", ("normal", "weak", "main"), ("blur@1",), ("accuracy",)), "equal", 0.05)

    def rows() -> list[dict[str, Any]]:
        return rows_by(lambda m, s, u: models[m] + s / 1e3, list(models), ["blur@1"], "accuracy")

    found = verdict_of(entry, rows())
    assert found.verdict == "holds" and found.decisions[0].judged.values == pytest.approx((0.02,) * 3)
    models["pgd-linf-2"] = 0.3
    assert verdict_of(entry, rows()).verdict == "does not hold"


def test_rank_correlation_against_order_and_against_a_quantity() -> None:
    models = ("normal", "pgd-linf-1", "pgd-linf-2", "pgd-linf-4", "pgd-linf-8")
    bias = rows_by(lambda m, s, u: models.index(m) / 10, models, ["conflict@"], "shape_bias")
    entry = claim(Statistic("rank_correlation", models, ("conflict@",), ("shape_bias",), against="order"), effect=0.5)
    assert verdict_of(entry, bias).verdict == "holds"
    assert verdict_of(entry, bias[:-1]).verdict == "not run"  # one model lacks one seed
    down = [r | {"value": 1 - r["value"]} for r in bias]
    found = verdict_of(entry, down)
    assert found.verdict == "does not hold" and found.decisions[0].judged.values == pytest.approx((-1, -1, -1))
    flat = [r | {"value": 0.5} for r in bias]
    assert verdict_of(entry, flat).decisions[0].judged.values == (0, 0, 0)
    robust = rows_by(lambda m, s, u: -models.index(m) / 10, models, ["pgd-linf@8"], "accuracy_last")
    against = replace(entry, statistic=replace(entry.statistic, against="pgd-linf@8/accuracy_last"))
    assert verdict_of(against, bias + robust).verdict == "does not hold"
    assert verdict_of(against, down + robust).verdict == "holds"
    assert verdict_of(against, bias).verdict == "not run"


def test_claims_may_speak_of_whatever_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "MEASUREMENTS", {**measurements.MEASUREMENTS})
    monkeypatch.setattr(claims, "MEASUREMENTS", measurements.MEASUREMENTS)
    assert {"clean", "pgd-linf", "conflict", "stylised", "barred", "saturation"} <= set(claims.measured_under())
    assert not {"maps", "between", "shift"} & set(claims.measured_under())
    measurements.register("shift", lambda subject: ("1",))(lambda subject, level: measurements.Findings([], {}))
    assert "shift" in claims.measured_under()


def test_effective_robustness_is_the_distance_from_a_line_through_logits() -> None:
    """Three networks whose logits lie on y = 2x − 1, so that the line is known; the fourth has .2 more than it says."""
    x = {"normal": 0.5, "underfit": -0.25, "pgd-linf-2": 1.5, "pgd-linf-8": 0.25}

    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    def value(model: str, seed: int, under: str) -> float:
        at = x[model] + seed / 10
        return sigmoid(at) if under == "clean@" else sigmoid(2 * at - 1) + (model == "pgd-linf-8") * 0.2

    line = ("normal", "underfit", "weak")
    s = Statistic("effective_robustness", ("main",), ("blur@1", "noise@0.1"), ("accuracy",), average=True, line=line)
    rows = rows_by(value, list(x), ("clean@", *s.under), "accuracy")
    assert verdict_of(claim(s), rows).decisions[0].judged.values == pytest.approx((0.2,) * 3)
    itself = verdict_of(claim(replace(s, models=("weak",))), rows)
    assert itself.decisions[0].judged.values == pytest.approx((0,) * 3, abs=1e-12)
    lacking = [one for one in rows if (one["model"], one["distortion"]) != ("underfit", "clean")]
    assert verdict_of(claim(s), lacking).verdict == "not run"


def test_a_line_through_networks_of_one_clean_accuracy_is_level() -> None:
    clean, distorted = np.full((3, 1), 0.5), np.array([[0.2], [0.2], [0.2]])
    assert quantities.expected(clean, distorted, np.array([0.9])) == pytest.approx([0.2])
    ends = quantities.expected(np.array([[0.0], [0.5], [1.0]]), np.array([[0.0], [0.5], [1.0]]), np.array([0.7]))
    assert ends == pytest.approx([0.7])  # accuracies of 0 and 1 have no logits, and count as .001 and .999


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
    entry = claim(Statistic("difference", ("normal",), ("blur@1",), ("accuracy",), "normal@small"))
    assert verdict_of(entry, rows).verdict == "not run"
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
        statistic = Statistic(
            "difference", ("main",), ("saturation@8",), (metric,), "normal", common=("normal", "main")
        )
        return verdict_of(claim(statistic), rows, lambda run: stored[run.split("/")[1].split("-w16")[0]]).verdict

    assert verdict("conditional") == "holds" and verdict("common") == "does not hold"
    stored["normal"] = network(range(100), range(10))
    assert verdict("common") == "holds"
    stored["pgd-linf-8"] = network(range(50), range(0))
    assert verdict("conditional") == verdict("common") == "does not hold"
    stored["pgd-linf-8"] = network(range(0), range(0))  # nothing known when clean: no value, not a zero
    assert verdict("conditional") == verdict("common") == "not run"
    del stored["normal"]["saturation@8/class"]  # type: ignore[attr-defined]
    assert verdict("common") == "not run"


def test_the_table_has_a_line_for_each_claim_and_data_set() -> None:
    ledger = replace(LEDGER, claims=(claim(shown=("caltech101",)),))
    table = verdicts.table(frame_of(rows_of(HOLDS)), ledger, no_predictions)
    assert table["dataset"].tolist() == ["overall", "cifar10", "caltech101"]
    assert table["verdict"].tolist() == ["holds", "holds", "not run"]
    assert table.loc[1, "effect"] == pytest.approx(0.31) and table.loc[1, "seeds"] == (1, 2, 3)


# --- the control, the primary claims, the choice of pictures -------------------------------------------------------

SATURATED = Statistic("difference", ("main",), ("saturation@8",), ("accuracy",), "normal")


def three_kinds(normal: float, stopped: float, trained: float) -> list[dict[str, Any]]:
    """Accuracy under saturation of the three kinds of network, nearly the same at each of three seeds."""
    values = {"normal": normal, "underfit": stopped, "pgd-linf-8": trained}
    return rows_by(lambda m, s, u: values[m] + s / 1e4 * (m == "normal"), [*values], ["saturation@8"], "accuracy")


def test_a_claim_that_holds_against_normal_alone_does_not_hold_beyond_the_control() -> None:
    entry = claim(SATURATED)
    assert verdict_of(entry, three_kinds(0.3, 0.3, 0.6)).verdict == "holds"
    found = verdict_of(entry, three_kinds(0.3, 0.6, 0.6))
    decision = found.decisions[0]
    assert (found.verdict, decision.judged.verdict) == ("holds, not beyond the control", "holds")
    assert decision.control is not None and decision.control.kind == "no effect"
    assert verdict_of(entry, three_kinds(0.6, 0.3, 0.6)).verdict == "does not hold"
    assert verdict_of(replace(entry, control=False), three_kinds(0.3, 0.6, 0.6)).verdict == "holds"
    without = [r for r in three_kinds(0.3, 0.6, 0.6) if r["model"] != "underfit"]
    alone = verdict_of(entry, without)
    assert (alone.verdict, alone.decisions[0].kind) == ("holds", "control not run")
    none_here = replace(LEDGER, settings={"cifar10": replace(SETTING, no_control="why")})
    assert verdicts.verdict(entry, frame_of(three_kinds(0.3, 0.6, 0.6)), none_here, no_predictions).verdict == "holds"


def test_where_the_control_can_be_asked() -> None:
    known = claims.load()
    against = {c.id: verdicts.with_control(c.statistic) for c in known.claims}
    shuffled, moved = against["shuffle-hurts-more"], against["normal-maps-move-further-under-attack"]
    assert shuffled is not None and (shuffled.models, shuffled.reference) == (("main",), "underfit")
    assert moved is not None and (moved.models, moved.reference) == (("underfit",), "main")
    for id in ("not-just-less-accurate", "stylised-stronger-better", "normal-not-robust", "spatial-maps-far"):
        assert against[id] is None, id
    assert against["every-attack-trains-robustness"] is not None
    assert not known["robustness-costs-accuracy"].control  # the control is matched to this very accuracy


def test_a_setting_with_seeds_takes_no_others() -> None:
    rows = rows_of([0.30, 0.31, 0.32])
    few = replace(LEDGER, settings={"cifar10": replace(SETTING, seeds=(1, 2))})
    found = verdicts.verdict(claim(), frame_of(rows), few, no_predictions)
    assert found.verdict == "not run" and found.decisions[0].seeds == (1, 2)


def test_the_primary_claims_are_corrected_for_their_number() -> None:
    """One that holds at p = .03 alone doesn't among five; the same one that isn't primary has a q instead."""
    values = [0.10, 0.13, 0.16]
    assert 0.02 < statistics.estimate(values).above(0.05) < 0.05
    entries = tuple(replace(claim(), id=name) for name in "abcdef")
    rows = frame_of(rows_of(values))
    primary = tuple(claims.Primary(name, "p", "r") for name in "abcde")
    ledger = replace(LEDGER, claims=entries, primary=primary)
    table = verdicts.table(rows, ledger, no_predictions)
    here = {line["id"]: line for line in table[table["dataset"] == "cifar10"].to_dict("records")}
    assert here["f"]["verdict"] == "holds" and here["f"]["q"] < 0.05
    for name in "abcde":
        assert (here[name]["verdict"], here[name]["kind"]) == ("undecided", "after Holm's correction")
        assert math.isnan(here[name]["q"])


def answers(seed: int, right: float, total: int = 400) -> Predictions:
    """A network that knows every picture when clean, and a share of them, drawn at random, when saturated."""
    wrong = (np.random.default_rng(seed).random(total) > right).astype(int)
    return {"labels": np.zeros(total, int), "clean@/class": np.zeros(total, int), "saturation@8/class": wrong}


def test_the_choice_of_pictures_is_counted_as_a_bootstrap_over_pictures_would() -> None:
    """Three pairs of networks on the same 400 pictures, against 4,000 draws by a plain loop."""
    stored = {f"normal{s}": answers(s, 0.4) for s in (1, 2, 3)} | {
        f"pgd-linf-8{s}": answers(9 + s, 0.7) for s in (1, 2, 3)
    }

    def said(run: str) -> Predictions:
        model, seed = run.split("/")[1].split("-w16-s")
        return stored[f"{model}{seed[0]}"]

    right = {name: some["saturation@8/class"] == 0 for name, some in stored.items()}
    rows = [row(name[:-1], int(name[-1]), "saturation@8", "accuracy", kept.mean()) for name, kept in right.items()]
    judged = verdict_of(claim(SATURATED), rows, said).decisions[0].judged
    gain = np.mean([right[f"pgd-linf-8{s}"] * 1.0 - right[f"normal{s}"] for s in (1, 2, 3)], axis=0)
    random = np.random.default_rng(0)
    spread = np.var([gain[random.integers(400, size=400)].mean() for _ in range(4000)])
    expected = statistics.estimate(judged.values, float(spread)).interval()
    assert judged.pictures and (judged.low, judged.high) == pytest.approx(expected, abs=0.006)
    assert judged.effect == pytest.approx(gain.mean())


def test_differences_on_the_common_set_add_up() -> None:
    stored = {"normal": network(range(90), range(60)), "pgd-linf-8": network(range(20, 80), range(10, 70))}
    stored["underfit"] = network(range(10, 95), range(30, 50))

    def effect(model: str, reference: str) -> float:
        statistic = Statistic("difference", (model,), ("saturation@8",), ("common",), reference)
        rows = rows_of([0.1] * 3) + three_kinds(0.1, 0.1, 0.1)
        said = verdict_of(claim(statistic), rows, lambda run: stored[run.split("/")[1].split("-w16")[0]])
        return said.decisions[0].judged.effect

    whole = effect("main", "normal")
    assert whole == pytest.approx(effect("main", "underfit") + effect("underfit", "normal"))
    known = set(range(20, 80))  # what all three know when clean
    assert whole == pytest.approx((len(known & set(range(10, 70))) - len(known & set(range(60)))) / 60)


def test_every_adversarial_takes_those_of_which_the_grid_has_three_seeds() -> None:
    at = claims.load().settings["cifar10"]
    found = quantities.expand([claims.EVERY], at)
    assert found[:2] == ["main", "weak"] and {"fgsm-8", "pgd-l2-12"} <= set(found)
    assert not {"normal", "underfit", "spatial", "pgd-l2-8", at.main, at.weak} & set(found)


def test_verdicts_are_kept_for_a_set_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = frame_of(rows_of([0.3, 0.31, 0.32]))
    first = verdicts.verdicts(frame)
    assert verdicts.verdicts(frame.copy()) is first
    assert verdicts.verdicts(frame_of(rows_of([0.3, 0.31, 0.33]))) is not first
    changed = replace(claims.load())  # as from a file that was edited
    monkeypatch.setattr(claims, "load", lambda: changed)
    assert verdicts.verdicts(frame) is not first


# --- the file -----------------------------------------------------------------------------------------------------

FIRST: dict[str, Any] = yaml.safe_load(checkout_path("book/claims-2026-11-24.yaml").read_text(encoding="utf-8"))
NOW: dict[str, Any] = yaml.safe_load(checkout_path("book/claims.yaml").read_text(encoding="utf-8"))
REGISTERED: list[dict[str, Any]] = [
    yaml.safe_load(checkout_path(f"book/claims-{day}.yaml").read_text(encoding="utf-8"))
    for day in ("2026-11-27", "2026-11-29")
]
CONTENT: dict[str, Any] = yaml.safe_load(checkout_path(claims.CLAIMS).read_text(encoding="utf-8"))


def test_the_file_is_complete() -> None:
    ledger = claims.load()
    assert len(ledger.claims) == 68 and len({c.id for c in ledger.claims}) == len(ledger.claims)
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
        assert entry.statistic.name in claims.STATISTICS and set(entry.statistic.metrics) <= set(claims.METRICS)
        assert len(entry.claim) > 20 and len(entry.known) > 8, entry.id
        assert set(entry.datasets) | set(entry.shown) <= set(ledger.settings)
    assert {c.section for c in ledger.claims} >= {"abstract", "4", "4.1", "4.2.1", "4.2.2", "4.2.3", "5"}
    used = {place.split("@")[0] for c in ledger.claims for place in c.statistic.under}
    assert used >= {"stylised", "saturation", "patch-shuffle", "low-pass", "high-pass", "conflict", "pgd-linf"}
    metrics = {metric for c in ledger.claims for metric in c.statistic.metrics}
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
    assert verdicts.verdict(entry, frame_of([]), ledger, no_predictions).verdict == "not run"


def imagined(entry: Claim, ledger: Ledger, right: bool) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and predictions in which all that a claim is about lies where it says (or doesn't), by a wide margin."""
    s = entry.statistic
    rows: dict[tuple, dict[str, Any]] = {}
    stored: dict[str, dict[str, Any]] = {}

    def network(operand: str, dataset: str, seed: int, values: dict[tuple[str, str], float]) -> None:
        alias, _, other = operand.partition("@")
        setting = ledger.settings[other or dataset]
        model = {"main": setting.main, "weak": setting.weak}.get(alias, alias)
        share = 0.0 if model in ("normal", "underfit") else setting.share
        run = f"{setting.dataset}/{model}-w{setting.width}-s{seed}-{setting.recipe}"
        about: dict[str, Any] = {"dataset": setting.dataset, "recipe": setting.recipe, "width": setting.width}
        about |= {"share": share, "run": run}
        kept = stored.setdefault(run, {"labels": np.ones(1000, int), "clean@/class": np.ones(1000, int)})
        rows.setdefault((run, "clean@", "x"), row(model, seed, "clean@", "x", 0, **about))
        for (under, metric), value in values.items():
            if metric in claims.COMPUTED:
                kept[f"{under}/class"] = (np.arange(1000) < round(1000 * value)).astype(int)
            rows[run, under, metric] = row(model, seed, under, metric, value, **about)

    for dataset in entry.datasets:
        at = ledger.settings[dataset]
        first, last = at.seeds or (1, 3)
        last = last if at.no_looks else first + 2  # otherwise three decide
        models = quantities.expand(s.models, at)
        reference = s.reference if isinstance(s.reference, str) else None
        for seed in range(first, last + 1):
            for place, model in enumerate(models):
                up = (entry.direction != "less") == right
                high, low = (0.9, 0.1) if up else (0.1, 0.9)
                if entry.direction == "equal" and right:
                    high = low = 0.5
                if s.name in ("rank_correlation", "spread"):
                    step = place / len(models)
                    high = low + (high - low) * step
                if isinstance(s.reference, float):
                    high = 0.9 if up else 0.0
                turned = {metric: (low, high) if metric in s.opposite else (high, low) for metric in s.metrics}
                mine = {(under, metric): turned[metric][0] for under in s.under for metric in s.metrics}
                theirs = {(under, s.reference_metric or metric): turned[metric][1] for under, metric in mine}
                if s.name in ("change", "difference_of_changes"):
                    clean = {("clean@", metric): low if s.name == "change" else 0.5 for metric in s.metrics}
                    mine, theirs = mine | clean, theirs | clean
                if s.against and s.against != "order":
                    under, metric = s.against.rsplit("/", 1)
                    mine, theirs = mine | {(under, metric): 0.3 + place / 20}, theirs | {(under, metric): 0.1}
                network(model, dataset, seed, mine)
                if reference:
                    network(quantities.reference_of(model, reference), dataset, seed, theirs)
            for model in s.common if "common" in s.metrics else ():
                network(model, dataset, seed, {})
            for place, model in enumerate(s.line):
                level = {("clean@", "accuracy"): 0.4 + place / 20}
                network(model, dataset, seed, level | {(under, "accuracy"): 0.3 + place / 20 for under in s.under})
            for model in models if s.line else ():
                network(model, dataset, seed, {("clean@", "accuracy"): 0.5})
        for planned in grid.load() if at.no_looks else ():  # nothing is judged before the whole block is there
            if planned.block == at.no_looks:
                c = planned.config
                same = {"dataset": c.dataset, "recipe": c.recipe, "width": c.width, "share": c.share or 0.0}
                run = f"{c.dataset}/{c.model}-w{c.width}-s{c.seed}-{c.recipe}"
                rows.setdefault((run, "clean@", "x"), row(c.model, c.seed, "clean@", "x", 0, **same, run=run))
    return list(rows.values()), stored


@pytest.mark.parametrize("name", [c["id"] for c in CONTENT["claims"] if "registered" in c])
def test_later_entries_are_word_for_word_as_they_were_registered(name: str) -> None:
    """A dated file was committed before the rows that it calls unseen; the ledger may only add to it."""
    ((day, dated),) = [(of["registered"], c) for of in REGISTERED for c in of["claims"] if c["id"] == name]
    entry = claims.load()[name]
    assert entry.registered == str(day)
    for key in ("claim", "section", "origin", "direction", "known", "formula"):
        assert getattr(entry, key) == dated[key], key
    on = {"caltech101-cues": "caltech101"}  # the same data set, other seeds: the entry's last change says why
    assert [on.get(one, one) for one in entry.datasets] == dated["datasets"] or name == "replication-shape-bias"
    assert [on.get(one, one) for one in entry.needed] == dated["needed"]
    assert [*entry.shown] == dated.get("shown", [])
    assert entry.smallest_effect == (
        dated["e"] if isinstance(dated["e"], dict) else dict.fromkeys(entry.statistic.metrics, dated["e"])
    )
    quantifier = entry.statistic.quantifier
    assert dated["quantifier"] == (
        "one cell" if quantifier == "mean" and dated["quantifier"] != "mean" else quantifier
    ) or (name == "replication-shape-bias" and quantifier == "each")


@pytest.mark.parametrize("dated", FIRST["claims"], ids=lambda entry: entry["id"])
def test_the_first_entries_are_word_for_word_as_they_were_before_the_first_row(dated: dict[str, Any]) -> None:
    (entry,) = [one for one in NOW["claims"] if one["id"] == dated["id"]]
    assert {key: entry[key] for key in dated if key != "changes"} == {k: v for k, v in dated.items() if k != "changes"}
    assert entry["changes"][: len(dated["changes"])] == dated["changes"]


def test_nothing_that_was_registered_is_missing() -> None:
    ledger = claims.load()
    assert {c["id"] for c in FIRST["claims"]} == {c.id for c in ledger.claims if not c.registered}
    assert {c["id"] for of in REGISTERED for c in of["claims"]} == {c.id for c in ledger.claims if c.registered}
    chosen = [one for of in REGISTERED for one in of["primary"]]
    assert [c["id"] for c in chosen] == [primary.id for primary in ledger.primary]
    for dated, primary in zip(chosen, ledger.primary, strict=True):
        assert primary.reason.startswith(dated["reason"])  # an unquoted comma cut two of the dated ones short


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
LINE = {"name": "effective_robustness", "line": ["normal", "underfit", "weak"], "reference": None, "metric": "accuracy",
        "under": ["blur@1"]}  # fmt: skip
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
    "unknown quantifier": (edit("claim.statistic.quantifier", "any"), "quantifier = 'any'"),
    "no such opposite": (edit("claim.statistic.opposite", ["gini"]), "opposite = 'gini'"),
    "average of no kind": (edit("claim.statistic.average", "yes"), "average = 'yes'"),
    "an effect short": (edit("claim.smallest_effect", {"gini": 0.1}), "must have one for each of accuracy_last"),
    "formula without a day": (edit("claim.formula", "a − b"), "registered and formula: go together"),
    "seen without a day": (edit("claim.seen", ["cifar10"]), "is for entries with a date"),
    "or_more of a direction": (edit("claim.or_more", True), "is for claims that two things are equal"),
    "the paper's words as a number": (edit("claim.paper_says", 3), "paper_says = 3: must be text"),
    "control of no kind": (edit("claim.control", "none"), "control = 'none'"),
    "primary that isn't there": (edit("primary", [{"id": "x", "part": "a", "reason": "b"}]), "primary: id = 'x'"),
    "seeds of a setting": (edit("settings.cifar10.seeds", 3), "the first and the last seed"),
    "a line of a difference": (statistic(line=["normal", "main", "weak"]), "line: is for effective_robustness"),
    "effective robustness without a line": (statistic(**LINE | {"line": []}), "needed there"),
    "a line through two": (statistic(**LINE | {"line": ["normal", "underfit"]}), "three networks or more"),
    "a line of another metric": (statistic(**LINE | {"metric": "p_true"}), "effective_robustness is of accuracy"),
    "a line of clean pictures": (statistic(**LINE | {"under": ["clean@"]}), "needs a distortion of the test images"),
    "an unknown network of a line": (statistic(**LINE | {"line": ["norml"]}), "must be a model's name"),
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


def test_all_claims_are_not_run_without_rows_and_none_is_lost() -> None:
    table = verdicts.table(load())
    assert set(table["verdict"]) == {"not run"}
    assert table[table["dataset"] == "overall"]["id"].tolist() == [c["id"] for c in CONTENT["claims"]]
    assert isinstance(table, pd.DataFrame) and table["effect"].isna().all()
