"""Statistics of rows and of predictions, computed when they are read; nothing of them is stored.

Images of different seeds are never pooled: within a run an interval is Wilson's over images, across runs it is the
t-interval over one value a seed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ..errors import InputError, in_range
from ..rows import COLUMNS, Archive, Predictions, archive, correct

CELL = ("dataset", "model", "width", "share", "recipe", "distortion", "level", "metric")

# --- Within a run, and across seeds --------------------------------------------------------------------------


@dataclass(frozen=True)
class Fraction:
    """`count` of `total` images."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The fraction; NaN of no images."""
        return self.count / self.total if self.total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        return wilson(self.count, self.total)


def wilson(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson 1927), without continuity correction.

    Within one run, over its images. (0, 1) when there are none.
    """
    in_range("total", int(total), 0, whole=True)
    in_range("count", int(count), 0, total, whole=True)
    in_range("confidence", confidence, 0, 1 - 1e-9, open_low=True)
    if total == 0:
        return 0.0, 1.0
    low, high = stats.binomtest(int(count), int(total)).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


def t_interval(values: Iterable[float], confidence: float = 0.95) -> tuple[float, float]:
    """Student's t-interval of the mean of one value a seed; (NaN, NaN) for fewer than two or a missing one."""
    in_range("confidence", confidence, 0, 1 - 1e-9, open_low=True)
    x = [float(value) for value in values]
    if len(x) < 2 or not all(map(math.isfinite, x)):
        return math.nan, math.nan
    # statistics is exact, so that neither the order of the seeds nor a change of sign can tip a verdict
    mean, error = statistics.fmean(x), statistics.stdev(x) / math.sqrt(len(x))
    half = float(stats.t.ppf((1 + confidence) / 2, len(x) - 1)) * error
    return mean - half, mean + half


def across_seeds(frame: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """One line for each cell (CELL), its seeds side by side.

    Columns: CELL, seeds and values (tuples in the order of the seeds), mean, low, high (t-interval over seeds), note
    ("one seed", "3 seeds"). One seed alone has its value as mean and no interval. InputError if a cell has two runs
    of one seed.
    """
    table = []
    for key, group in frame.groupby(list(CELL), sort=True):
        group = group.sort_values("seed")
        if group["seed"].duplicated().any():
            runs = ", ".join(sorted(group.loc[group["seed"].duplicated(keep=False), "run"]))
            raise InputError(f"rows: two runs of one cell and seed ({runs}): keep one of them")
        values = tuple(float(v) for v in group["value"])
        low, high = t_interval(values, confidence)
        note = "one seed" if len(values) == 1 else f"{len(values)} seeds"
        table.append((*key, tuple(int(s) for s in group["seed"]), values, float(np.mean(values)), low, high, note))
    return pd.DataFrame(table, columns=[*CELL, "seeds", "values", "mean", "low", "high", "note"])


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation; 0 where one side doesn't vary at all, NaN where a value is missing."""
    if np.isnan(x).any() or np.isnan(y).any():
        return math.nan
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(stats.spearmanr(x, y).statistic)


# --- Per image -----------------------------------------------------------------------------------------------


def conditional(predictions: Predictions, under: str) -> Fraction:
    """The paper's "accuracy on correctly classified images" (4.2), as one ratio over all images.

    Of the images that this network classifies correctly when clean, those that it still does when distorted. (The
    official code averages the ratio over batches of 32 in class order, which weights images unequally.)
    """
    clean = correct(predictions, "clean@")
    return Fraction(int((clean & correct(predictions, under)).sum()), int(clean.sum()))


@dataclass(frozen=True)
class Paired:
    """Two networks on the images that both classify correctly when clean."""

    total: int  # images that both classify correctly when clean
    both: int  # of them, right under the distortion by both networks,
    only_model: int  # by the first alone,
    only_reference: int  # by the second alone

    @property
    def model(self) -> Fraction:
        """The first network's accuracy on the common set."""
        return Fraction(self.both + self.only_model, self.total)

    @property
    def reference(self) -> Fraction:
        """The second network's accuracy on the common set."""
        return Fraction(self.both + self.only_reference, self.total)

    @property
    def difference(self) -> float:
        """First minus second; NaN if the common set is empty."""
        return (self.only_model - self.only_reference) / self.total if self.total else math.nan

    @property
    def p(self) -> float:
        """Exact two-sided McNemar test over the images on which they differ (within one pair of runs)."""
        differing = self.only_model + self.only_reference
        return float(stats.binomtest(self.only_model, differing).pvalue) if differing else 1.0


def paired(model: Predictions, reference: Predictions, under: str) -> Paired:
    """This report's main measure: both networks on one set, the images that both classify correctly when clean.

    InputError if the two were evaluated on different test images.
    """
    if not np.array_equal(model["labels"], reference["labels"]):
        raise InputError("predictions: the two networks were evaluated on different test images")
    common = correct(model, "clean@") & correct(reference, "clean@")
    first, second = correct(model, under)[common], correct(reference, under)[common]
    counts = (common, first & second, first & ~second, second & ~first)
    return Paired(*(int(c.sum()) for c in counts))


def comparison(frame: pd.DataFrame, predictions: Archive | None = None, reference: str = "normal") -> pd.DataFrame:
    """Three ways to count one thing: each run under each distortion of the test images, beside its reference.

    The reference is the run of that model with the same data set, width, recipe and seed. Columns: run to seed,
    distortion, level; accuracy (absolute; last iterate of an attack), conditional, conditional_total; and on the
    images that both classify correctly when clean: total, common, common_reference, difference, p (exact McNemar).
    The last five are NaN, and total 0, where there is no reference. InputError if there are two.
    """
    predictions = predictions or archive()
    pairing = ["dataset", "width", "recipe", "seed"]
    runs = frame[frame["model"] == reference].groupby(pairing)["run"].unique().to_dict()
    rows = frame[frame["metric"].isin(["accuracy", "accuracy_last"]) & (frame["distortion"] != "clean")]
    table = []
    for row in rows.to_dict("records"):
        mine, under = predictions(row["run"]), f"{row['distortion']}@{row['level']}"
        others = runs.get(tuple(row[name] for name in pairing), [])
        if len(others) > 1:
            raise InputError(f"results: two runs of {reference} to compare with ({', '.join(others)}): keep one")
        part = conditional(mine, under)
        pair = Paired(0, 0, 0, 0) if not len(others) else paired(mine, predictions(others[0]), under)
        line = {name: row[name] for name in (*COLUMNS[:7], "distortion", "level")}
        line |= {"accuracy": row["value"], "conditional": part.value, "conditional_total": part.total}
        line |= {"total": pair.total, "common": pair.model.value, "common_reference": pair.reference.value}
        table.append(line | {"difference": pair.difference, "p": pair.p if pair.total else math.nan})
    beside = ["accuracy", "conditional", "conditional_total", "total", "common", "common_reference", "difference", "p"]
    return pd.DataFrame(table, columns=[*COLUMNS[:7], "distortion", "level", *beside])
