"""What the published rows say about each claim: its statistic within each seed, and the rule that decides.

python -m atlib.report.verdicts      prints the verdicts on all claims
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

from .. import rows
from ..errors import InputError, Missing, command_line, one_of
from ..rows import Archive, archive
from . import claims
from .claims import Claim, Ledger, Setting, Statistic
from .statistics import conditional, paired, spearman, t_interval

VERDICTS = ("holds", "does not hold", "mixed", "pending")


@dataclass(frozen=True)
class _Lookup:
    """Quantities of the networks of one setting and one seed; Missing for what isn't there."""

    runs: Mapping[tuple, list[tuple[str, float]]]  # (dataset, width, recipe, model, seed): (run, share)
    values: Mapping[tuple[str, str, str], float]  # (run, under, metric)
    archive: Archive
    settings: Mapping[str, Setting]
    setting: str = ""
    seed: int = 0

    def run(self, name: str) -> str:
        """The one run of a model; InputError if there are two."""
        model, _, other = name.partition("@")
        setting = self.settings[other or self.setting]
        model = {"main": setting.main, "weak": setting.weak}.get(model, model)
        found = self.runs.get((setting.dataset, setting.width, setting.recipe, model, self.seed), [])
        found = [(run, share) for run, share in found if share == 0 or math.isclose(share, setting.share)]
        if not found:
            raise Missing(f"{self.setting}: no run of {model} with seed {self.seed}")
        if len(found) > 1:
            names = ", ".join(sorted(run for run, _ in found))
            raise InputError(f"results: two runs that one claim could mean ({names}): keep one of them")
        return found[0][0]

    def quantity(self, model: str, under: str, metric: str) -> float:
        """The value of a metric of a model."""
        run = self.run(model)
        if metric == "conditional":
            return conditional(self.archive(run), under).value
        if (run, under, metric) not in self.values:
            raise Missing(f"{run}: no row {under}/{metric}")
        return self.values[run, under, metric]

    def difference(self, model: str, reference: str | float, under: str, metric: str) -> float:
        """Model minus reference (another model, or a number)."""
        if not isinstance(reference, str):
            return self.quantity(model, under, metric) - float(reference)
        if metric == "common":
            return paired(self.archive(self.run(model)), self.archive(self.run(reference)), under).difference
        return self.quantity(model, under, metric) - self.quantity(reference, under, metric)


def _difference(look: _Lookup, s: Statistic) -> list[float]:
    return [look.difference(model, s.reference or 0.0, under, s.metric) for model in s.models for under in s.under]


def _difference_of_changes(look: _Lookup, s: Statistic) -> list[float]:
    def change(model: str, under: str) -> float:
        return look.quantity(model, under, s.metric) - look.quantity(model, "clean@", s.metric)

    return [change(model, under) - change(str(s.reference), under) for model in s.models for under in s.under]


def _spread(look: _Lookup, s: Statistic) -> list[float]:
    return [float(np.ptp([look.quantity(model, under, s.metric) for model in s.models])) for under in s.under]


def _rank_correlation(look: _Lookup, s: Statistic) -> list[float]:
    x: list[float] = list(range(len(s.models)))
    if s.against and s.against != "order":
        under, _, metric = s.against.rpartition("/")
        x = [look.quantity(model, under, metric) for model in s.models]
    return [spearman(x, [look.quantity(model, under, s.metric) for model in s.models]) for under in s.under]


STATISTICS: dict[str, Callable[[_Lookup, Statistic], list[float]]] = {
    "difference": _difference,
    "difference_of_changes": _difference_of_changes,
    "spread": _spread,
    "rank_correlation": _rank_correlation,
}


def _combine(values: list[float], how: str, direction: str) -> float:
    """The mean, or the value that speaks least for the claim."""
    if how == "mean" or np.isnan(values).any():
        return float(np.mean(values))
    weakest: Callable[[list[float]], float] = {"greater": min, "less": max}.get(direction, lambda v: max(v, key=abs))
    return weakest(values)


def decide(
    values: Sequence[float],
    direction: str,
    smallest_effect: float,
    minimum_seeds: int = 3,
    confidence: float = 0.95,
) -> str:
    """One of VERDICTS for the per-seed values of a statistic: the rule at the head of book/claims.yaml."""
    one_of("direction", direction, claims.DIRECTIONS)
    if len(values) < minimum_seeds:
        return "pending"
    signed = [-v if direction == "less" else v for v in values]
    low, high = t_interval(signed, confidence)
    least, most = min(low, *signed), max(high, *signed)  # every seed and the whole interval at once
    if direction == "equal":
        if -smallest_effect < least and most < smallest_effect:
            return "holds"
        return "does not hold" if least > smallest_effect or most < -smallest_effect else "mixed"
    if min(signed) > 0 and low > smallest_effect:
        return "holds"
    return "does not hold" if most < smallest_effect else "mixed"


@dataclass(frozen=True)
class Decision:
    """A claim on one data set: per-seed values of its statistic, their mean and t-interval, the verdict."""

    dataset: str
    verdict: str
    counts: bool  # whether it enters the overall verdict
    seeds: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """A claim with its decision on each data set and over all of them."""

    claim: Claim
    verdict: str
    decisions: tuple[Decision, ...] = field(default=())


def overall(verdicts: Mapping[str, str], needed: Iterable[str]) -> str:
    """Over data sets: pending until each needed one is decided, then what all decided ones share, or mixed."""
    decided = {verdict for verdict in verdicts.values() if verdict != "pending"}
    if any(verdicts.get(dataset, "pending") == "pending" for dataset in needed):
        return "pending"
    return decided.pop() if len(decided) == 1 else "mixed"


def _lookup(frame: pd.DataFrame, predictions: Archive | None, ledger: Ledger) -> _Lookup:
    runs: dict[tuple, list[tuple[str, float]]] = {}
    columns = ["run", "dataset", "width", "recipe", "model", "seed", "share"]
    for run, *key, share in frame[columns].drop_duplicates().itertuples(index=False):
        runs.setdefault(tuple(key), []).append((run, share))
    cells = frame[["run", "distortion", "level", "metric", "value"]].itertuples(index=False)
    values = {(run, f"{name}@{level}", metric): float(value) for run, name, level, metric, value in cells}
    return _Lookup(runs, values, predictions or archive(), ledger.settings)


def _decision(claim: Claim, dataset: str, look: _Lookup, ledger: Ledger) -> Decision:
    found = {}
    for seed in sorted({key[-1] for key in look.runs}):
        here = _Lookup(look.runs, look.values, look.archive, look.settings, dataset, seed)
        try:
            values = STATISTICS[claim.statistic.name](here, claim.statistic)
        except Missing:
            continue
        found[int(seed)] = _combine(values, claim.statistic.combine, claim.direction)
    found = {seed: value for seed, value in found.items() if not math.isnan(value)}
    seeds, numbers = tuple(found), tuple(found.values())
    rule = (claim.direction, claim.smallest_effect, ledger.minimum_seeds, ledger.confidence)
    effect = float(np.mean(numbers)) if numbers else math.nan
    interval = t_interval(numbers, ledger.confidence)
    return Decision(dataset, decide(numbers, *rule), dataset in claim.datasets, seeds, numbers, effect, *interval)


def verdict(
    claim: Claim, frame: pd.DataFrame, ledger: Ledger | None = None, predictions: Archive | None = None
) -> Verdict:
    """What the rows say about a claim.

    frame: rows as `load` gives them. ledger: whose settings and rule apply (book/claims.yaml). predictions:
    per-image predictions by run (`archive()`), read only for the metrics `conditional` and `common`. InputError if
    two runs of one setting, model and seed are there: which one is meant can't be guessed.
    """
    ledger = ledger or claims.load()
    return _verdict(claim, _lookup(frame, predictions, ledger), ledger)


def _verdict(claim: Claim, look: _Lookup, ledger: Ledger) -> Verdict:
    decisions = tuple(_decision(claim, name, look, ledger) for name in (*claim.datasets, *claim.shown))
    counted = {decision.dataset: decision.verdict for decision in decisions if decision.counts}
    return Verdict(claim, overall(counted, claim.needed), decisions)


def table(frame: pd.DataFrame, ledger: Ledger | None = None, predictions: Archive | None = None) -> pd.DataFrame:
    """The ledger as a table: for each claim one line a data set, after one line whose data set is "overall".

    Columns: id, section, origin, dataset, verdict, counts, direction, smallest_effect, seeds, values, effect, low,
    high (mean and t-interval of the values).
    """
    ledger = ledger or claims.load()
    look = _lookup(frame, predictions, ledger)
    lines = []
    for found in (_verdict(claim, look, ledger) for claim in ledger.claims):
        for decision in (Decision("overall", found.verdict, True), *found.decisions):
            about = {name: getattr(found.claim, name) for name in ("id", "section", "origin")}
            rule = {name: getattr(found.claim, name) for name in ("direction", "smallest_effect")}
            lines.append(about | rule | asdict(decision))
    columns = ["id", "section", "origin", "dataset", "verdict", "counts", "direction", "smallest_effect"]
    return pd.DataFrame(lines, columns=[*columns, "seeds", "values", "effect", "low", "high"])


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.report.verdicts", description="Print what the published rows say about each claim."
    )
    parser.parse_args(arguments)
    print(table(rows.load()).drop(columns=["values", "origin"]).to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
