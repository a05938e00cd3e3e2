"""What a claim that isn't decided waits for: which runs of the grid, and about how many core hours they cost."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from ..campaign import grid
from ..files import results_dir
from . import statistics
from .claims import UNMEASURED, Claim, Ledger
from .quantities import Lookup, Rows, cells, reference_of
from .rule import NOT_RUN
from .verdicts import Decision


@dataclass(frozen=True)
class Waiting:
    """runs: of the grid, not published yet. hours: about what they cost, in core hours (NaN: no plan). measurement:
    what no job measures yet. unplanned: models of which the grid has too few seeds."""

    runs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    hours: float = 0.0
    measurement: str = ""
    unplanned: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.runs or self.measurement or self.unplanned)


@functools.cache
def _planned() -> tuple[grid.Planned, ...]:
    return tuple(grid.load())


@functools.cache
def _hours(folder: str) -> dict[str, float]:
    """Core hours of one run of each block, by the plan; empty where there is none."""
    path = results_dir() / "plan.csv"
    if not path.is_file():
        return {}
    plan = pd.read_csv(path)
    return dict(zip(plan["block"], plan["core_hours"] / plan["runs"], strict=True))


def models_of(claim: Claim, dataset: str, ledger: Ledger) -> list[tuple[str, str]]:
    """The networks that a claim needs on a data set: their own names, and their settings."""
    s, look = claim.statistic, Lookup(Rows({}, {}, lambda run: {}), ledger, dataset, 0)
    compared = {cell.model for cell in cells(s, ledger.settings[dataset])} - {""}
    names: Iterable[str] = [*(compared or s.models)]
    if isinstance(s.reference, str):
        names = [*names, *(reference_of(model, s.reference) for model in compared)]
    if "common" in s.metrics:
        names = [*names, *s.common]
    return list(dict.fromkeys(look.model(name) for name in names))


def waiting(claim: Claim, dataset: str, frame: pd.DataFrame, ledger: Ledger) -> Waiting:
    """What is missing before a claim can be decided on a data set. frame: the published rows."""
    metrics = {*claim.statistic.metrics, claim.statistic.reference_metric or ""}
    measurement = "; ".join(text for name, text in UNMEASURED.items() if name in metrics)
    published = set(frame["run"])
    missing: dict[str, tuple[str, float]] = {}
    unplanned = []
    for model, setting in models_of(claim, dataset, ledger):
        at = ledger.settings[setting]
        mine = [
            planned
            for planned in _planned()
            if (planned.config.dataset, planned.config.width, planned.config.recipe, planned.config.model)
            == (at.dataset, at.width, at.recipe, model)
            and at.counts(planned.config.seed)
            and (not planned.config.share or math.isclose(planned.config.share, at.share))
        ]
        if len(mine) < ledger.minimum_seeds:
            unplanned.append(model if setting == dataset else f"{model} ({setting})")
        wanted = mine if at.seeds and at.seeds[0] > 1 else mine[: ledger.minimum_seeds]
        for planned in sorted(wanted, key=lambda one: one.config.seed):
            if planned.run not in published:
                missing[planned.run] = (f"{model}, seed {planned.config.seed}", _cost(planned))
    hours = sum(cost for _, cost in missing.values())
    names = tuple(name for name, _ in missing.values())
    return Waiting(tuple(missing), names, hours, measurement, tuple(unplanned))


def _cost(planned: grid.Planned) -> float:
    return _hours(str(results_dir())).get(planned.block, math.nan)


def sentence(found: Waiting) -> str:
    """What is missing, in a sentence; empty if nothing is."""
    parts = []
    if found.runs:
        few = len(found.models) <= 6
        which = "; ".join(found.models) if few else f"{found.models[0]} to {found.models[-1]}"
        cost = "" if math.isnan(found.hours) else f", about {found.hours:.1f} core hours by the plan"
        parts.append(f"{len(found.runs)} run{'s' * (len(found.runs) > 1)} ({which}){cost}")
    if found.measurement:
        parts.append(f"a measurement that no job makes yet ({found.measurement})")
    if found.unplanned:
        parts.append(f"runs that the grid doesn't have ({', '.join(found.unplanned)})")
    return f"Waits for {', and for '.join(parts)}." if parts else ""


def detectable(claim: Claim, decisions: Iterable[Decision], ledger: Ledger) -> str:
    """Which effect the planned seeds could find, from the scatter between seeds on another data set; empty if unknown.

    Of a claim that is judged by one number. The scatter is that of the data set with the most seeds.
    """
    known = [d for d in decisions if d.judged.verdict != NOT_RUN and len(d.judged.values) >= 2]
    if claim.direction == "equal" or not known:
        return ""
    best = max(known, key=lambda d: len(d.judged.values))
    deviation = float(pd.Series(best.judged.values).std())
    effect = statistics.detectable(deviation, ledger.minimum_seeds, best.judged.unit, ledger.confidence)
    return (
        f"If seeds scatter as on {best.dataset} (standard deviation {deviation:.3f}), {ledger.minimum_seeds} seeds "
        f"find an effect of {effect:.2f} in four cases of five."
    )
