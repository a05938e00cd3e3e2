"""The rule that turns numbers into verdicts: what it means that a claim holds in one cell, in several, and overall.

Nothing here knows a row or a data set; the head of book/claims.yaml says the same in words, with the dates of changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np

from ..errors import one_of
from .claims import DIRECTIONS, QUANTIFIERS
from .statistics import estimate, holm

HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run"
BEYOND = "holds, not beyond the control"
EXCLUDED = "can no longer hold"  # overall: a data set has refuted it, and not all have
HOLM = "after Holm's correction"
VERDICTS = (HOLDS, BEYOND, FAILS, UNDECIDED, NOT_RUN)
OVERALL = (HOLDS, BEYOND, FAILS, EXCLUDED, UNDECIDED, NOT_RUN)


@dataclass(frozen=True)
class Judged:
    """A number over seeds, and what it says to a claim.

    values: one per seed. effect, low, high: their mean and its interval. above, below: two-sided p that it lies on the
    claim's side of the smallest effect, and short of it. pictures: whether the interval counts the choice of pictures.
    """

    verdict: str
    kind: str = ""
    values: tuple[float, ...] = ()
    effect: float = math.nan
    low: float = math.nan
    high: float = math.nan
    above: float = 1.0
    below: float = 1.0
    pictures: bool = False
    unit: float = 1.0  # the smallest effect
    agree: float = math.nan  # the share of seeds on the claim's side of zero

    @property
    def units(self) -> tuple[float, float, float]:
        """Effect, low and high in units of the smallest effect; as they are where it is zero."""
        unit = self.unit or 1.0
        return self.effect / unit, self.low / unit, self.high / unit


@dataclass(frozen=True)
class Rule:
    """What decides. level: 1 − confidence; or_more: an "equal" claim that a positive difference bears out as well."""

    direction: str
    minimum_seeds: int = 3
    confidence: float = 0.95
    or_more: bool = False

    @property
    def level(self) -> float:
        """The two-sided level of every test."""
        return 1 - self.confidence


def judge(values: Sequence[float], smallest: float, rule: Rule, pictures: float = math.nan) -> Judged:
    """One number per seed against the smallest effect. pictures: see `statistics.estimate` (NaN: not known)."""
    one_of("direction", rule.direction, DIRECTIONS)
    found = estimate(values, 0.0 if math.isnan(pictures) else pictures)
    low, high = found.interval(rule.confidence)
    signed = replace(found, mean=-found.mean) if rule.direction == "less" else found
    numbers = tuple(float(value) for value in values)
    side = -1 if rule.direction == "less" else 1
    agree = float(np.mean([side * value > 0 for value in numbers])) if numbers else math.nan
    judged = Judged(
        NOT_RUN, "", numbers, found.mean, low, high, pictures=not math.isnan(pictures), unit=smallest, agree=agree
    )
    if len(numbers) < rule.minimum_seeds:
        return judged
    if rule.direction == "equal":
        above = max(signed.above(-smallest), signed.below(smallest))
        below = min(signed.above(smallest), signed.below(-smallest))
    else:
        above, below = signed.above(smallest), signed.below(smallest)
    return worded(replace(judged, above=above, below=below), rule)


def worded(judged: Judged, rule: Rule) -> Judged:
    """The verdict and its second word, from the p values."""
    if judged.above < rule.level:
        return replace(judged, verdict=HOLDS, kind="alike" if rule.direction == "equal" else "")
    if judged.below < rule.level:
        kind = _how_it_fails(judged, rule)
        return replace(judged, verdict=HOLDS if kind == "more" else FAILS, kind=kind)
    return replace(judged, verdict=UNDECIDED, kind="")


def _how_it_fails(judged: Judged, rule: Rule) -> str:
    e = judged.unit
    if rule.direction == "equal":
        return "more" if rule.or_more and judged.low > e else "different"
    low, high = (-judged.high, -judged.low) if rule.direction == "less" else (judged.low, judged.high)
    if high < -e:
        return "reversed"
    if low > 0:
        return "smaller"
    return "no effect" if low > -e else "not larger"


def together(cells: Sequence[Judged], quantifier: str, rule: Rule) -> Judged:
    """Several cells as one verdict; its number is that of the cell that decides.

    That is the cell with the smallest corrected p where the claim fails, else the one that speaks least for the claim.

    all: it holds if each cell's own interval does, and fails if any cell fails after Holm's correction over the cells.
    each: as all, with Holm's correction for holding as well. most: it holds, or fails, as more than half of the cells.
    """
    one_of("quantifier", quantifier, QUANTIFIERS)
    weakest = min(cells, key=lambda cell: _support(cell, rule))
    if any(cell.verdict == NOT_RUN for cell in cells):
        return weakest
    if quantifier == "most":
        half = len(cells) / 2
        for verdict in (HOLDS, FAILS):
            mine = [cell for cell in cells if cell.verdict == verdict]
            if len(mine) > half:
                return min(mine, key=lambda cell: _support(cell, rule))
        return replace(weakest, verdict=UNDECIDED, kind="")
    ups, downs = [cell.above for cell in cells], holm([cell.below for cell in cells])
    above = max(holm(ups)) if quantifier == "each" else max(ups)
    refuting = min(range(len(cells)), key=lambda place: (downs[place], _support(cells[place], rule)))
    if above < rule.level:
        return worded(replace(weakest, above=above, below=1.0), rule)
    if downs[refuting] < rule.level:
        return worded(replace(cells[refuting], above=above, below=downs[refuting]), rule)
    return replace(weakest, verdict=UNDECIDED, kind="", above=above, below=downs[refuting])


def _support(cell: Judged, rule: Rule) -> float:
    """How far a cell's mean lies on the claim's side, in units of its smallest effect."""
    effect = cell.units[0]
    if math.isnan(effect):
        return -math.inf
    return -abs(effect) if rule.direction == "equal" else -effect if rule.direction == "less" else effect


def corrected(judged: Judged, above: float, below: float, rule: Rule) -> Judged:
    """The verdict with p values adjusted for the number of primary claims or cells."""
    if judged.verdict == NOT_RUN:
        return judged
    found = worded(replace(judged, above=above, below=below), rule)
    if found.verdict == UNDECIDED and judged.verdict != UNDECIDED:
        return replace(found, kind=HOLM)
    return found


def overall(verdicts: Mapping[str, str], needed: AbstractSet[str] | Sequence[str]) -> str:
    """Over data sets: what all that have been judged share, once each needed one has been.

    Until then it is "not run". Where one of them has refuted the claim it can no longer hold, unless all have, and each
    needed one. A claim that holds everywhere, but somewhere not beyond the control, holds not beyond the control.
    """
    known = {name: verdict for name, verdict in verdicts.items() if verdict != NOT_RUN}
    found, complete = set(known.values()), all(name in known for name in needed)
    if FAILS in found:
        return FAILS if complete and found == {FAILS} else EXCLUDED
    if not complete or not found:
        return NOT_RUN
    if found <= {HOLDS, BEYOND}:
        return BEYOND if BEYOND in found else HOLDS
    return UNDECIDED
