"""What the published rows say about each claim.

python -m atlib.report.verdicts      prints the verdicts on all claims
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from .. import rows
from ..choices import ATTACKS, NUMBERED
from ..errors import InputError, Missing, command_line
from ..files import checkout_path, results_dir
from ..rows import Archive, archive
from . import claims, quantities, rule
from .claims import Claim, Ledger, Statistic
from .quantities import Lookup, Rows, Vector
from .rule import BEYOND, EXCLUDED, HOLDS, NOT_RUN, Judged, Rule
from .statistics import benjamini_hochberg, holm

EARLIER = "book/verdicts-before-2026-11-27.csv"  # by the rules until then, on the rows of that day

# what the API page lists
__all__ = ["Decision", "Verdict", "Verdicts", "changed", "earlier", "table", "verdict", "verdicts"]


@dataclass(frozen=True)
class Decision:
    """A claim on one data set.

    judged: the number that decides, with its verdict. cells: every cell by its name, with its own. control: the same
    judgement against the network stopped early instead of the normal one (None: no such comparison). control_in: the
    cell that decides that comparison. beside: that comparison's result in the cell that decides `judged`, so that the
    two can be printed side by side.
    """

    dataset: str
    verdict: str
    counts: bool  # whether it enters the overall verdict
    judged: Judged = field(default_factory=lambda: Judged(NOT_RUN))
    seeds: tuple[int, ...] = ()
    cells: tuple[tuple[str, Judged], ...] = ()
    control: Judged | None = None
    control_in: str = ""
    beside: Judged | None = None

    @property
    def kind(self) -> str:
        """The verdict's qualifier, such as "reversed"."""
        unknown = self.verdict == HOLDS and self.control is not None and self.control.verdict == NOT_RUN
        return "control not run" if unknown else self.judged.kind

    @property
    def deciding(self) -> str:
        """The name of the cell whose number is shown; empty where there is one cell, or their mean decides."""
        return next((name for name, cell in self.cells if cell.values == self.judged.values), "")


@dataclass(frozen=True)
class Verdict:
    """A claim with its decision on each data set and over all of them."""

    claim: Claim
    verdict: str
    decisions: tuple[Decision, ...] = field(default=())


# --- One claim on one data set ---------------------------------------------------------------------------------------


def with_control(s: Statistic) -> Statistic | None:
    """The statistic with the network stopped early in the normal one's place; None where that says nothing."""
    if s.reference == "normal" and all(map(_adversarial, s.models)):
        return replace(s, reference="underfit")
    if s.models == ("normal",) and _adversarial(str(s.reference)):
        return replace(s, models=("underfit",))
    return None


def _adversarial(model: str) -> bool:
    kind = NUMBERED.get(model.partition("@")[0].rpartition("-")[0])
    return model in ("main", "weak", claims.EVERY) or bool(kind and ATTACKS[kind.given["attack"]].projected)


def _measure(s: Statistic, dataset: str, known: Rows, ledger: Ledger) -> dict[int, list[Vector]]:
    """Each cell's vector by seed, of the seeds that have every row which the statistic needs."""
    if not _may_judge(ledger.settings[dataset], known):
        return {}
    found = {}
    for seed in known.seeds(ledger.settings[dataset]):
        try:
            vectors = quantities.measured(Lookup(known, ledger, dataset, seed), s)
        except Missing:
            continue
        if not any(math.isnan(vector[0]) for vector in vectors):
            found[seed] = vectors
    return found


def _may_judge(at: claims.Setting, known: Rows) -> bool:
    """Whether a setting may be looked at: where its registration allows no looks in between, only when it is whole."""
    return not at.no_looks or all(place in known.runs for place in _places(at.no_looks))


@functools.cache
def _places(block: str) -> tuple[tuple, ...]:
    """Where `Rows.runs` has the networks of a block of the grid; InputError if the grid has no such block."""
    configs = [planned.config for planned in quantities.planned() if planned.block == block]
    if not configs:
        raise InputError(f"{claims.CLAIMS}: no_looks = {block!r}: workflow/grid.yaml has no such block")
    return tuple((c.dataset, c.width, c.recipe, c.model, c.seed) for c in configs)


def _judge(vectors: Sequence[Vector], smallest: float, how: Rule) -> Judged:
    """One cell: its values by seed, and how far their mean moves when the pictures are drawn again."""
    values = [float(vector[0]) for vector in vectors]
    moved = np.mean([vector[1:] for vector in vectors], axis=0) if vectors else np.array([math.nan])
    return rule.judge(values, smallest, how, float(np.var(moved, ddof=1)) if len(moved) > 1 else math.nan)


def decide(s: Statistic, dataset: str, claim: Claim, known: Rows, ledger: Ledger) -> Decision:
    """A statistic on one data set against a claim's direction and smallest effects, before any correction."""
    found, at = _measure(s, dataset, known, ledger), ledger.settings[dataset]
    how = Rule(claim.direction, ledger.minimum_seeds, ledger.confidence, claim.or_more)
    places = quantities.cells(s, at)
    columns = [[vectors[place] for vectors in found.values()] for place in range(len(places))]
    smallest = [claim.smallest_effect[place.metric] for place in places]
    judged = [_judge(column, e, how) for column, e in zip(columns, smallest, strict=True)]
    if len(places) == 1 or s.quantifier == "mean":
        means = [np.mean(vectors, axis=0) for vectors in found.values()]
        whole = judged[0] if len(places) == 1 else _judge(means, max(smallest), how)
    else:
        whole = rule.together(judged, s.quantifier, how)
    if s.quantifier == "each":  # questions of their own, so that each cell's word is corrected for their number, too
        adjusted = zip(judged, holm([one.above for one in judged]), holm([one.below for one in judged]), strict=True)
        judged = [rule.corrected(one, above, below, how) for one, above, below in adjusted]
    names = [cell_name(place, places) for place in places]
    cells = tuple(zip(names, judged, strict=True)) if len(places) > 1 else ()
    return Decision(dataset, whole.verdict, dataset in claim.datasets, whole, tuple(found), cells)


def cell_name(cell: quantities.Cell, among: Sequence[quantities.Cell]) -> str:
    """What tells a cell from the others: its model, its level, its metric."""
    parts = []
    if len({other.model for other in among}) > 1:
        parts.append(cell.model)
    if len({other.under for other in among}) > 1:
        parts.append(", ".join(cell.under))
    if len({other.metric for other in among}) > 1:
        parts.append(cell.metric)
    return " ".join(parts)


def _decision(claim: Claim, dataset: str, known: Rows, ledger: Ledger) -> Decision:
    found = decide(claim.statistic, dataset, claim, known, ledger)
    against = with_control(claim.statistic) if claim.control and claim.direction != "equal" else None
    if against is None or ledger.settings[dataset].no_control:
        return found
    control = decide(against, dataset, claim, known, ledger)
    beside = dict(control.cells).get(found.deciding, control.judged)
    return _beyond(replace(found, control=control.judged, control_in=control.deciding, beside=beside))


def _beyond(decision: Decision) -> Decision:
    """A claim that holds, but not against the control, is said to hold not beyond it."""
    if decision.judged.verdict != HOLDS:
        return replace(decision, verdict=decision.judged.verdict)
    short = decision.control is not None and decision.control.verdict not in (HOLDS, NOT_RUN)
    return replace(decision, verdict=BEYOND if short else HOLDS)


# --- All of them -----------------------------------------------------------------------------------------------------


class Verdicts(Mapping[str, Verdict]):
    """The verdict on each claim of a ledger, by the claim's id and in the ledger's order.

    The arguments are those of `verdicts`. A claim is judged when it is first asked for, since a page's sentences rest
    on only a few. The primary claims are judged together, because Holm's correction depends on all of them. InputError
    for an id that the ledger doesn't have.
    """

    def __init__(self, frame: pd.DataFrame, ledger: Ledger, predictions: Archive) -> None:
        self.known, self.ledger = Rows.of(frame, predictions), ledger
        self.claims = {claim.id: claim for claim in ledger.claims}
        self.judged: dict[str, Verdict] = {}

    def __getitem__(self, id: str) -> Verdict:
        if id not in self.judged:
            claim = self.ledger[id]
            primary = [self.claims[one.id] for one in self.ledger.primary]
            self.judged |= self._judged_together(primary if self.ledger.is_primary(id) else [claim])
        return self.judged[id]

    def __contains__(self, id: object) -> bool:
        return id in self.claims  # without judging it, as Mapping does

    def __iter__(self) -> Iterator[str]:
        return iter(self.claims)

    def __len__(self) -> int:
        return len(self.claims)

    @functools.cached_property
    def q(self) -> dict[tuple[str, str], float]:
        """Benjamini and Hochberg's q of every decision on a claim that isn't primary, by claim and data set.

        All claims are judged for it, since each q depends on all of them. Claims about every cell have none: they are
        already corrected for the number of their cells.
        """
        p = {
            (id, decision.dataset): min(decision.judged.above, decision.judged.below)
            for id, found in self.items()
            for decision in found.decisions
            if not self.ledger.is_primary(id)
            and decision.judged.verdict != NOT_RUN
            and found.claim.statistic.quantifier != "each"
        }
        return dict(zip(p, benjamini_hochberg(list(p.values())), strict=True))

    def _judged_together(self, some: Iterable[Claim]) -> dict[str, Verdict]:
        """Verdicts on some claims, among them either all the primary ones or none."""
        found = {
            claim.id: {
                name: _decision(claim, name, self.known, self.ledger) for name in (*claim.datasets, *claim.shown)
            }
            for claim in some
        }
        if any(map(self.ledger.is_primary, found)):
            _correct_primary(found, self.ledger)
        return {id: _overall(self.claims[id], tuple(decisions.values())) for id, decisions in found.items()}


def verdicts(frame: pd.DataFrame, ledger: Ledger | None = None, predictions: Archive | None = None) -> Verdicts:
    """What the rows say about every claim.

    frame: rows as `rows.load` gives them. ledger: whose claims, settings and rule apply (book/claims.yaml).
    predictions: answers per picture by run (`rows.archive()`). InputError, when a claim is judged, if two runs of one
    setting, model and seed are there: which one is meant can't be guessed. Without the last two arguments each verdict
    on a set of rows is computed once and kept.
    """
    if ledger is None and predictions is None:
        return _kept(_Question(frame, claims.load()))
    return Verdicts(frame, ledger or claims.load(), predictions or archive())


class _Question:
    """A frame of rows and the claims to judge by it, known by the content of the rows, the folder that the answers per
    picture are read from, and the ledger, of which `claims.load` gives another one once its file has changed."""

    def __init__(self, frame: pd.DataFrame, ledger: Ledger) -> None:
        self.frame, self.ledger = frame, ledger
        content = pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes()
        self.digest = (hashlib.sha256(content).hexdigest(), str(results_dir()), id(ledger))

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Question) and self.digest == other.digest


@functools.lru_cache(maxsize=4)
def _kept(asked: _Question) -> Verdicts:
    return Verdicts(asked.frame, asked.ledger, archive())


def _overall(claim: Claim, decisions: tuple[Decision, ...]) -> Verdict:
    counted = {decision.dataset: decision.verdict for decision in decisions if decision.counts}
    return Verdict(claim, rule.overall(counted, claim.needed), decisions)


def _correct_primary(found: dict[str, dict[str, Decision]], ledger: Ledger) -> None:
    """Holm's correction over the primary claims, on each data set; one that isn't judged there counts as p = 1."""
    for dataset in ledger.settings:
        mine = [primary.id for primary in ledger.primary]
        judged = [found[id][dataset].judged if dataset in found[id] else Judged(NOT_RUN) for id in mine]
        adjusted = zip(
            mine, judged, holm([one.above for one in judged]), holm([one.below for one in judged]), strict=True
        )
        for id, one, above, below in adjusted:
            if dataset in found[id]:
                how = Rule(ledger[id].direction, ledger.minimum_seeds, ledger.confidence, ledger[id].or_more)
                corrected = rule.corrected(one, above, below, how)
                found[id][dataset] = _beyond(replace(found[id][dataset], judged=corrected))


def verdict(
    claim: Claim, frame: pd.DataFrame, ledger: Ledger | None = None, predictions: Archive | None = None
) -> Verdict:
    """What the rows say about one claim, corrected for nothing; see `verdicts` for the arguments.

    The claim need not be one of the ledger's. Without the last two arguments, quantities that `verdicts` has computed
    of the same rows are used again.
    """
    every = verdicts(frame, ledger, predictions)
    known, ledger = every.known, every.ledger
    return _overall(claim, tuple(_decision(claim, name, known, ledger) for name in (*claim.datasets, *claim.shown)))


COLUMNS = (
    "id", "section", "origin", "dataset", "verdict", "kind", "counts", "direction", "smallest_effect", "seeds",
    "values", "effect", "low", "high", "pictures", "agree", "q", "cells", "control", "control_effect", "control_low",
    "control_high", "units",
)  # fmt: skip


def table(frame: pd.DataFrame, ledger: Ledger | None = None, predictions: Archive | None = None) -> pd.DataFrame:
    """The ledger as a table: for each claim one line per data set, after one line whose data set is "overall".

    Columns: COLUMNS. values, effect, low, high: one number per seed, their mean and its interval; of a claim about
    every cell, those of the cell that decides. cells: (name, Judged) of each; control: the verdict with
    the network stopped early in the normal one's place ("" where that can't be asked); units: effect, low and high in
    units of the smallest effect.
    """
    lines, every = [], verdicts(frame, ledger, predictions)
    for found in every.values():
        claim = found.claim
        about = {name: getattr(claim, name) for name in ("id", "section", "origin", "direction")}
        about["smallest_effect"] = claim.e
        for decision in (Decision("overall", found.verdict, True), *found.decisions):
            lines.append(about | _line(decision) | {"q": every.q.get((claim.id, decision.dataset), math.nan)})
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _line(decision: Decision) -> dict[str, object]:
    line: dict[str, object] = {name: getattr(decision, name) for name in ("dataset", "verdict", "counts", "seeds")}
    line |= {
        name: getattr(decision.judged, name)
        for name in ("kind", "values", "effect", "low", "high", "pictures", "agree")
    }
    control, beside = decision.control or Judged(""), decision.beside or Judged("")
    line |= {"kind": decision.kind, "cells": decision.cells, "control": control.verdict, "units": decision.judged.units}
    return line | {f"control_{name}": getattr(beside, name) for name in ("effect", "low", "high")}


def earlier(path: Path | None = None) -> dict[tuple[str, str], str]:
    """(claim, data set): the word that the rules before 27 November 2026 gave, on the rows of that day."""
    found = pd.read_csv(path or checkout_path(EARLIER), keep_default_na=False)
    return {(line["id"], line["dataset"]): line["verdict"] for line in found.to_dict("records")}


def changed(frame: pd.DataFrame) -> pd.DataFrame:
    """Verdicts whose word isn't the earlier rules': claim, on, before, now, why.

    A verdict that waited for rows then counts as changed only if the claim can no longer hold.
    """
    same = {("mixed", rule.UNDECIDED), ("pending", NOT_RUN)}
    before, lines = earlier(), []
    for found in verdicts(frame).values():
        overall = Decision("overall", found.verdict, True)
        for decision in (overall, *found.decisions):
            was = before.get((found.claim.id, decision.dataset))
            if was == "pending" and decision.verdict != EXCLUDED:
                continue
            if was not in (None, decision.verdict) and (was, decision.verdict) not in same:
                now = f"{decision.verdict} ({decision.kind})" if decision.kind else decision.verdict
                line = {"claim": found.claim.id, "on": decision.dataset, "before": was, "now": now}
                others = [one.dataset for one in found.decisions if _changed(before, found.claim, one)]
                lines.append(line | {"why": _why(found.claim, decision, others)})
    return pd.DataFrame(lines, columns=["claim", "on", "before", "now", "why"])


def _changed(before: Mapping[tuple[str, str], str], claim: Claim, decision: Decision) -> bool:
    """Whether a data set that counts has another word than it had."""
    return decision.counts and before.get((claim.id, decision.dataset)) not in (None, "pending", decision.verdict)


def _why(claim: Claim, decision: Decision, others: Sequence[str]) -> str:
    """Which change of the rules or the rows gives a verdict another word. others: data sets whose verdict changed."""
    if decision.verdict == EXCLUDED:
        return "a claim that one data set has refuted is now called so at once"
    if decision.dataset == "overall":
        return f"the verdict on {' and '.join(others)} has changed"
    found = []
    if decision.verdict == BEYOND:
        found.append("the control")
    if decision.kind == rule.HOLM:
        of_three = "common" in claim.statistic.metrics and decision.dataset != "shapes"
        more = ", and the common set of three networks instead of two" if of_three else ""
        found.append(f"Holm's correction over the primary claims{more}")
    if decision.dataset == "shapes":
        early = "common" in claim.statistic.metrics or with_control(claim.statistic) is not None  # is it asked at all?
        more = ", and the one stopped early has five seeds, not three" if early else ""
        found.append(f"networks were trained and measured again{more}")
    if not found and claim.statistic.quantifier == "all":
        found.append("each distortion or network now has its own interval; before, the worst within each seed decided")
    return "; ".join(found) or "the interval counts the choice of pictures, and the common set is of three networks"


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.report.verdicts", description="Print what the published rows say about each claim."
    )
    parser.parse_args(arguments)
    shown = ["id", "section", "dataset", "verdict", "kind", "counts", "seeds", "effect", "low", "high", "control", "q"]
    print(table(rows.load())[shown].to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
