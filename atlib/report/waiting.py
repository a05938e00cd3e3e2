"""What a claim that isn't decided waits for: which runs of the grid, and about how many core hours they cost."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..campaign import grid
from ..files import results_dir
from ..rows import measurement
from . import quantities, statistics
from .claims import Claim, Ledger, Statistic
from .quantities import Lookup, Rows, cells, reference_of
from .rule import NOT_RUN
from .verdicts import Decision, with_control

KEY = ["run", "distortion", "level", "metric"]


@dataclass(frozen=True)
class Waiting:
    """runs: of the grid, not published yet. hours: about what they cost, in core hours (NaN: no plan). measurement:
    what no job measures yet. lacking: networks that are published without the measurement that the claim is about.
    unplanned: models of which the grid has too few seeds."""

    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    hours: float = 0.0
    measurement: str = ""
    lacking: tuple[str, ...] = ()
    unplanned: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.runs or self.measurement or self.lacking or self.unplanned)


class Published:
    """Which runs are published, and which measurements ("NAME@LEVEL") of each. frame: as `rows.load` gives it.

    measured: pairs of a run and a measurement of it; places: measurements that any run has; with_conflict: data sets
    of which some network was shown pictures whose cues contradict each other.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self.runs = set(frame["run"])
        self.measured = {(row["run"], measurement(row)) for row in frame[KEY].drop_duplicates().to_dict("records")}
        self.places = {place for _, place in self.measured}
        self.with_conflict = set(frame.loc[frame["distortion"] == "conflict", "dataset"])


@functools.cache
def _hours(folder: str) -> dict[str, float]:
    """Core hours of one run of each block, by the plan; empty where there is none."""
    path = Path(folder) / "plan.csv"
    if not path.is_file():
        return {}
    plan = pd.read_csv(path)
    return dict(zip(plan["block"], plan["core_hours"] / plan["runs"], strict=True))


def models_of(claim: Claim, dataset: str, ledger: Ledger) -> list[tuple[str, str]]:
    """The networks that a claim and its control need on a data set: their own names, and their settings."""
    statistics = [claim.statistic]
    control = with_control(claim.statistic)
    if control is not None and claim.control and claim.direction != "equal" and not ledger.settings[dataset].no_control:
        statistics.append(control)
    look = Lookup(Rows({}, {}, lambda run: {}), ledger, dataset, 0)
    return list(dict.fromkeys(look.model(name) for s in statistics for name in _named(s, dataset, ledger)))


def _named(s: Statistic, dataset: str, ledger: Ledger) -> list[str]:
    compared = list(dict.fromkeys(cell.model for cell in cells(s, ledger.settings[dataset]) if cell.model))
    names = compared or list(s.models)
    if isinstance(s.reference, str):
        names = [*names, *(reference_of(model, s.reference) for model in compared)]
    return [*names, *(s.common if "common" in s.metrics else ()), *s.line]


def waiting(claim: Claim, dataset: str, published: Published, ledger: Ledger) -> Waiting:
    """What is missing before a claim can be decided on a data set."""
    s, unmeasured = claim.statistic, []
    pictures = ledger.settings[dataset].dataset
    if "conflict@" in s.under and pictures != "shapes" and pictures not in published.with_conflict:
        unmeasured.append("cue-conflict pictures made of photographs")
    asked_of = [place for place in _measurements(s) if place in published.places or place.startswith("between@")]
    missing: dict[str, tuple[str, float]] = {}
    lacking, unplanned = [], []
    for model, setting in models_of(claim, dataset, ledger):
        at, name = ledger.settings[setting], model if setting == dataset else f"{model} ({setting})"
        mine = quantities.planned_of(model, at)
        if len(mine) < ledger.minimum_seeds:
            unplanned.append(name)
        mine = sorted(mine, key=lambda one: one.config.seed)
        wanted = mine if at.seeds and at.seeds[0] > 1 else mine[: ledger.minimum_seeds]
        for planned in wanted:
            called = f"{name}, seed {planned.config.seed}"
            if planned.run not in published.runs:
                missing[planned.run] = (called, _cost(planned))
            elif any((planned.run, place) not in published.measured for place in asked_of):
                lacking.append(called)
    hours = sum(cost for _, cost in missing.values())
    names = tuple(name for name, _ in missing.values())
    return Waiting(tuple(missing), names, hours, "; ".join(unmeasured), tuple(lacking), tuple(unplanned))


def _measurements(s: Statistic) -> list[str]:
    """The measurements, "NAME@LEVEL", from which a statistic is computed."""
    metrics = [*s.metrics, *([s.reference_metric] if s.reference_metric else [])]
    rows = [
        dict(zip(KEY, ["", *place.partition("@")[::2], metric], strict=True)) for place in s.under for metric in metrics
    ]
    return list(dict.fromkeys(map(measurement, rows)))


def _cost(planned: grid.Planned) -> float:
    return _hours(str(results_dir())).get(planned.block, math.nan)


def sentence(found: Waiting) -> str:
    """What is missing, in a sentence; empty if nothing is."""
    parts = []
    if found.runs:
        few = len(found.models) <= 6
        which = "; ".join(found.models) if few else f"from {found.models[0]}, to {found.models[-1]}"
        cost = (
            ""
            if math.isnan(found.hours)
            else f", about {found.hours:.1f} core hours if each costs the mean of its block"
        )
        parts.append(f"{len(found.runs)} run{'s' * (len(found.runs) > 1)} ({which}){cost}")
    if found.measurement:
        parts.append(f"a measurement that no job makes yet ({found.measurement})")
    if found.lacking:
        which = "; ".join(found.lacking)
        parts.append(f"this measurement of published networks, which needs their weights ({which})")
    if found.unplanned:
        parts.append(f"runs that the grid doesn't have ({', '.join(found.unplanned)})")
    return f"Waits for {', and for '.join(parts)}." if parts else ""


def detectable(claim: Claim, decisions: Iterable[Decision], ledger: Ledger) -> str:
    """Which effect the planned seeds could find, from the scatter between seeds on another data set; empty if unknown.

    Of the cell that scatters most, on a data set of photographs if there is one; a primary claim has to find it after
    the strictest step of Holm's correction.
    """
    known = [d for d in decisions if d.judged.verdict != NOT_RUN and len(d.judged.values) >= 2 and d.judged.unit > 0]
    if claim.direction == "equal" or not known:
        return ""
    best = max(known, key=lambda d: (not d.dataset.startswith("shapes"), len(d.judged.values)))
    every = claim.statistic.quantifier in ("all", "each")
    judged = [cell for _, cell in best.cells] if every and best.cells else [best.judged]
    tests = len(ledger.primary) if ledger.is_primary(claim.id) else 1
    confidence = 1 - (1 - ledger.confidence) / tests
    deviations = [float(pd.Series(one.values).std()) for one in judged]
    effects = [
        statistics.detectable(deviation, ledger.minimum_seeds, one.unit, confidence)
        for deviation, one in zip(deviations, judged, strict=True)
    ]
    effect, deviation = max(zip(effects, deviations, strict=True))
    where = ", where they scatter most" if len(judged) > 1 else ""
    return (
        f"If seeds scatter as on {best.dataset} (standard deviation {deviation:.3f}{where}), {ledger.minimum_seeds} "
        f"seeds find an effect of {effect:.2f} in four cases of five."
    )
