"""What a claim compares, computed within one seed from the published rows and the answers to each picture.

Every quantity is a vector: first its value on the test pictures as they are, then its value in each of RESAMPLES draws
of as many pictures, with replacement. A draw is the same for every network and seed, as the test pictures are, so that
the spread of a difference over the draws is the chance with which the pictures were picked, and nothing else.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import scipy
from numpy.typing import NDArray

from .. import barred
from ..campaign import grid
from ..choices import ATTACKS
from ..errors import InputError, Missing
from ..rows import ANOTHER_CLASS, Archive, Predictions, correct
from .claims import EVERY, SAME, Ledger, Setting, Statistic

RESAMPLES = 400
DRAW = 20261127  # the generator's seed
EXTREME = 1e-3  # accuracies nearer to 0 or 1 than this are moved away to it: logits of 0 and 1 are infinite

Vector = NDArray[np.float64]


@functools.lru_cache(maxsize=16)
def draws(total: int) -> NDArray[np.float32]:
    """How often each of `total` pictures is drawn, one line per draw; the first line has each picture once."""
    random = np.random.default_rng([DRAW, total])
    drawn = [np.bincount(random.integers(total, size=total), minlength=total) for _ in range(RESAMPLES)]
    return np.stack([np.ones(total, int), *drawn]).astype(np.float32)


def mean_over(values: NDArray, among: NDArray[np.bool_] | None = None) -> Vector:
    """The mean of one value per picture, over those in `among`: as they are, and in each draw; NaN over none."""
    among = np.ones(len(values), bool) if among is None else among
    # sums of counts are exact in single precision; those of other values would depend on the processor
    kind: type[np.floating] = np.float32 if np.asarray(values).dtype == bool else np.float64
    both: NDArray[np.floating] = np.stack([np.where(among, values, 0), among], axis=1).astype(kind)
    summed, total = (draws(len(values)) @ both).astype(np.float64).T
    return np.divide(summed, total, out=np.full_like(total, math.nan), where=total > 0)


def per_picture(said: Predictions, under: str, metric: str) -> tuple[NDArray, NDArray[np.bool_]] | None:
    """What a metric is the mean of: one value per picture, and the pictures that count; None where they aren't kept."""
    if under == "conflict@" and "conflict@/class" in said:
        shape, texture = (said["conflict@/class"] == said[f"conflict@/{cue}"] for cue in ("labels", "textures"))
        either = np.asarray(shape | texture)
        return {"shape_bias": (shape, either), "coverage": (either, np.ones_like(either))}.get(metric)
    if metric == "conditional":
        known = correct(said, "clean@")
        return known & correct(said, under), known
    if (among := f"between@{under}/known") in said and metric == ANOTHER_CLASS:
        return said[f"between@{under}/{metric}"], said[among]
    for key in (
        f"{under}/{metric}",
        f"{under}/{metric.removeprefix('accuracy_')}",
        f"maps@{under}/{metric}",
        f"between@{under}/{metric}",
    ):
        if key in said:
            return said[key], np.ones(len(said[key]), bool)
    if metric == "accuracy" and f"{under}/class" in said:
        return correct(said, under), np.ones(len(said["labels"]), bool)
    return None


@dataclass(frozen=True)
class Rows:
    """The published rows by what they say, and the answers behind them."""

    runs: Mapping[tuple, list[tuple[str, float]]]  # (dataset, width, recipe, model, seed): (run, share)
    values: Mapping[tuple[str, str, str], float]  # (run, under, metric)
    archive: Archive
    kept: dict[tuple, Vector] = field(default_factory=dict)  # what was computed once

    @classmethod
    def of(cls, frame: pd.DataFrame, answers: Archive) -> Rows:
        """Those of a frame, as `rows.load` gives it."""
        runs: dict[tuple, list[tuple[str, float]]] = {}
        columns = ["run", "dataset", "width", "recipe", "model", "seed", "share"]
        for run, *key, share in frame[columns].drop_duplicates().itertuples(index=False):
            runs.setdefault(tuple(key), []).append((run, share))
        cells = frame[["run", "distortion", "level", "metric", "value"]].itertuples(index=False)
        values = {(run, f"{name}@{level}", metric): float(value) for run, name, level, metric, value in cells}
        return cls(runs, values, answers)

    def seeds(self, setting: Setting) -> list[int]:
        """The seeds of a data set's runs that count in a setting."""
        found = {int(key[-1]) for key in self.runs if key[0] == setting.dataset}
        return sorted(seed for seed in found if setting.counts(seed))


@dataclass(frozen=True)
class Lookup:
    """Quantities of the networks of one setting and one seed; Missing for what isn't there."""

    rows: Rows
    ledger: Ledger
    setting: str
    seed: int

    def model(self, name: str) -> tuple[str, str]:
        """A model's own name, and its setting."""
        model, _, other = name.partition("@")
        setting = other or self.setting
        at = self.ledger.settings[setting]
        return {"main": at.main, "weak": at.weak}.get(model, model), setting

    def run(self, name: str) -> str:
        """The one run of a model; InputError if there are two."""
        model, setting = self.model(name)
        at = self.ledger.settings[setting]
        found = self.rows.runs.get((at.dataset, at.width, at.recipe, model, self.seed), [])
        found = [(run, share) for run, share in found if share == 0 or math.isclose(share, at.share)]
        if not found:
            raise Missing(f"{self.setting}: no run of {model} with seed {self.seed}")
        if len(found) > 1:
            names = ", ".join(sorted(run for run, _ in found))
            raise InputError(f"results: two runs that one claim could mean ({names}): keep one of them")
        return found[0][0]

    def quantity(self, model: str, under: str, metric: str) -> Vector:
        """The value of a metric of a model, and its values in the draws (NaN where no picture's value is kept)."""
        run = self.run(model)
        key = (run, under, metric)
        if key not in self.rows.kept:
            self.rows.kept[key] = self._quantity(*key)
        return self.rows.kept[key]

    def _quantity(self, run: str, under: str, metric: str) -> Vector:
        if metric == "conditional":
            found = per_picture(self.rows.archive(run), under, metric)
            assert found is not None
            return mean_over(*found)
        if (run, under, metric) not in self.rows.values:
            raise Missing(f"{run}: no row {under}/{metric}")
        value = self.rows.values[run, under, metric]
        try:
            found = per_picture(self.rows.archive(run), under, metric)
        except Missing:
            found = None
        if found is None:
            return np.array([value, *[math.nan] * RESAMPLES])
        drawn = mean_over(*found)
        return np.array([value, *(value + drawn[1:] - drawn[0])])  # what is kept per picture is rounded, the row isn't

    def common(self, model: str, under: str, together: Iterable[str]) -> Vector:
        """A model's accuracy on the pictures that all of `together`, and it, classify correctly when clean."""
        mine, others = self.run(model), sorted({self.run(name) for name in together})
        key = (mine, under, "common", *others)
        if key not in self.rows.kept:
            said = self.rows.archive(mine)
            known = correct(said, "clean@")
            for other in map(self.rows.archive, others):
                if not np.array_equal(other["labels"], said["labels"]):
                    raise InputError("predictions: the networks were evaluated on different test images")
                known = known & correct(other, "clean@")
            if under.startswith(f"{barred.NAME}@"):  # pictures of the barred class are wrong by construction
                known = known & (said["labels"] != barred.CLUTTER[self.ledger.settings[self.setting].dataset])
            self.rows.kept[key] = mean_over(correct(said, under), known)
        return self.rows.kept[key]


# --- Cells -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One number of a claim: of a model (or of all of them), under what is averaged, in one metric."""

    model: str
    under: tuple[str, ...]
    metric: str


def cells(s: Statistic, at: Setting) -> list[Cell]:
    """The cells of a statistic in a setting, in the order of its models, levels and metrics."""
    models = ("",) if s.name in ("spread", "rank_correlation") else expand(s.models, at)
    under = (s.under,) if s.average else [(one,) for one in s.under]
    return [Cell(model, levels, metric) for model in models for levels in under for metric in s.metrics]


def expand(models: Sequence[str], at: Setting) -> list[str]:
    """The models, with "every-adversarial" replaced by main, weak, and what `_adversarial` adds."""
    found: list[str] = []
    for model in models:
        found += [model] if model != EVERY else ["main", "weak", *_adversarial(at)]
    return list(dict.fromkeys(found))


@functools.cache
def _adversarial(at: Setting) -> list[str]:
    """Adversarially trained models of a setting, other than main and weak, of which the grid has three seeds.

    Runs of blocks that are done only on request don't count.
    """
    seeds: dict[str, int] = {}
    for config in (one.config for one in planned() if not one.on_request):
        here = (config.dataset, config.width, config.recipe) == (at.dataset, at.width, at.recipe)
        if here and ATTACKS[config.attack].projected and math.isclose(config.share or 0, at.share):
            seeds[config.model] = seeds.get(config.model, 0) + 1
    return [model for model, number in seeds.items() if number >= 3 and model not in (at.main, at.weak)]


@functools.cache
def planned() -> tuple[grid.Planned, ...]:
    """The checkout's grid, read once."""
    return tuple(grid.load())


@functools.cache
def _by_network() -> dict[tuple, list[grid.Planned]]:
    """The grid by data set, width, recipe and model."""
    found: dict[tuple, list[grid.Planned]] = {}
    for one in planned():
        key = (one.config.dataset, one.config.width, one.config.recipe, one.config.model)
        found.setdefault(key, []).append(one)
    return found


def planned_of(model: str, at: Setting) -> list[grid.Planned]:
    """The grid's runs of a model that count in a setting."""
    mine = _by_network().get((at.dataset, at.width, at.recipe, model), [])
    return [
        one
        for one in mine
        if at.counts(one.config.seed) and (not one.config.share or math.isclose(one.config.share, at.share))
    ]


def reference_of(model: str, reference: str) -> str:
    """The network that a model is compared with; `same` stands for its own name or its own setting."""
    name, _, setting = model.partition("@")
    other, _, where = reference.partition("@")
    other, where = name if other == SAME else other, setting if where == SAME else where
    return f"{other}@{where}" if where else other


def _difference(look: Lookup, s: Statistic, cell: Cell) -> Vector:
    def difference(under: str) -> Vector:
        if not isinstance(s.reference, str):
            return look.quantity(cell.model, under, cell.metric) - float(s.reference or 0)
        other = reference_of(cell.model, s.reference)
        if cell.metric == "common":
            together = (*s.common, cell.model, other)
            return look.common(cell.model, under, together) - look.common(other, under, together)
        mine = look.quantity(cell.model, under, cell.metric)
        return mine - look.quantity(other, under, s.reference_metric or cell.metric)

    return _average(difference, cell)


def _change(look: Lookup, s: Statistic, cell: Cell) -> Vector:
    return _average(
        lambda under: look.quantity(cell.model, under, cell.metric) - look.quantity(cell.model, "clean@", cell.metric),
        cell,
    )


def _difference_of_changes(look: Lookup, s: Statistic, cell: Cell) -> Vector:
    other = reference_of(cell.model, str(s.reference))
    return _change(look, s, cell) - _change(look, s, replace(cell, model=other))


def _ordered_difference(look: Lookup, s: Statistic, cell: Cell) -> Vector:
    under, _, metric = str(s.against).rpartition("/")
    other = reference_of(cell.model, str(s.reference))
    order = look.quantity(cell.model, under, metric) - look.quantity(other, under, metric)
    return _difference(look, s, cell) * np.sign(order)


def _spread(look: Lookup, s: Statistic, cell: Cell) -> Vector:
    return _average(
        lambda under: np.ptp([look.quantity(model, under, cell.metric) for model in s.models], axis=0), cell
    )


def _rank_correlation(look: Lookup, s: Statistic, cell: Cell) -> Vector:
    y = [
        _average(lambda under, model=model: look.quantity(model, under, cell.metric), cell)  # type: ignore[misc]
        for model in s.models
    ]
    if s.against == "order":
        x = [np.full_like(y[0], place) for place in range(len(y))]
    else:
        under, _, metric = str(s.against).rpartition("/")
        x = [look.quantity(model, under, metric) for model in s.models]
    return rank_correlations(np.array(x), np.array(y))


def rank_correlations(x: NDArray, y: NDArray) -> Vector:
    """Spearman's rank correlation along the first axis; 0 where one side doesn't vary, NaN where a value is missing."""
    ranks = [scipy.stats.rankdata(side, axis=0) for side in (x, y)]
    a, b = (side - side.mean(axis=0) for side in ranks)
    both = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    found = np.divide((a * b).sum(axis=0), both, out=np.zeros_like(both), where=both > 0)
    return np.where(np.isnan(x).any(axis=0) | np.isnan(y).any(axis=0), math.nan, found)


def _effective_robustness(look: Lookup, s: Statistic, cell: Cell) -> Vector:
    clean = np.array([look.quantity(model, "clean@", cell.metric) for model in (*s.line, cell.model)])

    def beyond(under: str) -> Vector:
        distorted = np.array([look.quantity(model, under, cell.metric) for model in (*s.line, cell.model)])
        return distorted[-1] - expected(clean[:-1], distorted[:-1], clean[-1])

    return _average(beyond, cell)


def logit(accuracy: NDArray) -> NDArray:
    """log(a / (1 − a)) of accuracies, which are first moved away from 0 and 1 by EXTREME."""
    return scipy.special.logit(np.clip(accuracy, EXTREME, 1 - EXTREME))


def expected(clean: NDArray, distorted: NDArray, at: NDArray) -> NDArray:
    """The accuracy on distorted pictures that some networks lead one to expect of one whose clean accuracy is `at`.

    clean, distorted: the networks' accuracies, along the first axis. A straight line is fitted to their logits by least
    squares (the baseline of effective robustness; Taori et al. 2020, section 3.2). Where all have the same clean
    accuracy there is no slope, and their mean is what one expects.
    """
    x, y = logit(clean), logit(distorted)
    a, b = x - x.mean(axis=0), y - y.mean(axis=0)
    square = (a**2).sum(axis=0)
    slope = np.divide((a * b).sum(axis=0), square, out=np.zeros_like(square), where=square > 0)
    return scipy.special.expit(y.mean(axis=0) + slope * (logit(at) - x.mean(axis=0)))


def _average(of: Callable[[str], Vector], cell: Cell) -> Vector:
    return np.mean([of(under) for under in cell.under], axis=0)


STATISTICS: dict[str, Callable[[Lookup, Statistic, Cell], Vector]] = {
    "difference": _difference,
    "difference_of_changes": _difference_of_changes,
    "ordered_difference": _ordered_difference,
    "change": _change,
    "spread": _spread,
    "rank_correlation": _rank_correlation,
    "effective_robustness": _effective_robustness,
}


def measured(look: Lookup, s: Statistic) -> list[Vector]:
    """A statistic in each of its cells (see `cells`), signed so that a metric in `opposite` counts the other way."""
    found = []
    for cell in cells(s, look.ledger.settings[look.setting]):
        vector = STATISTICS[s.name](look, s, cell)
        found.append(-vector if cell.metric in s.opposite else vector)
    return found
