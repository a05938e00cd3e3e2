"""Statistics of rows and of predictions, computed when they are read; nothing of them is stored.

Images of different seeds are never pooled. Within a run an interval is Wilson's over images. Across runs it is
Student's over one value per seed. For verdicts, `estimate` adds the uncertainty from the choice of test images: they
are the same for every seed, so that more seeds can't average it away.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy  # not `from scipy import stats`: it is loaded on first use, and that takes a second

from ..errors import InputError, in_range
from ..rows import COLUMNS, Archive, Predictions, archive, correct

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
    in_range("confidence", confidence, 0, 1, open_low=True, open_high=True)
    if total == 0:
        return 0.0, 1.0
    low, high = scipy.stats.binomtest(int(count), int(total)).proportion_ci(confidence, method="wilson")
    return float(low), float(high)


def student_quantile(p: float, df: float) -> float:
    """The quantile at p, between 0 and 1, of Student's t with df > 0 degrees of freedom (infinity: the normal's).

    The value of `scipy.stats.t.ppf`, whose checks take ten times as long.
    """
    return float(scipy.special.stdtrit(df, p))


def t_interval(values: Iterable[float], confidence: float = 0.95) -> tuple[float, float]:
    """Student's t-interval of the mean of one value per seed; (NaN, NaN) for fewer than three or a missing one.

    Two values would give an interval about thirteen times as wide as they are apart, which says nothing.
    """
    in_range("confidence", confidence, 0, 1, open_low=True, open_high=True)
    x = [float(value) for value in values]
    if len(x) < 3 or not all(map(math.isfinite, x)):
        return math.nan, math.nan
    # statistics is exact, so that neither the order of the seeds nor a change of sign can tip a verdict
    mean, error = statistics.fmean(x), statistics.stdev(x) / math.sqrt(len(x))
    half = student_quantile((1 + confidence) / 2, len(x) - 1) * error
    return mean - half, mean + half


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its standard errors, each with its degrees of freedom; the wider one counts."""

    mean: float
    errors: tuple[tuple[float, float], ...] = ()

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """The confidence interval; (NaN, NaN) of fewer than three seeds."""
        in_range("confidence", confidence, 0, 1, open_low=True, open_high=True)
        if not self.errors:
            return math.nan, math.nan
        half = max(student_quantile((1 + confidence) / 2, df) * error for error, df in self.errors)
        return self.mean - half, self.mean + half

    def above(self, bound: float) -> float:
        """Two-sided p of lying above `bound`: below 1 − confidence exactly where the interval lies above it."""
        if not self.errors:
            return math.nan
        return max(_twice_tail(self.mean - bound, error, df) for error, df in self.errors)

    def below(self, bound: float) -> float:
        """Two-sided p of lying below `bound`."""
        return Estimate(-self.mean, self.errors).above(-bound)


def _twice_tail(distance: float, error: float, df: float) -> float:
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return min(1.0, 2 * float(scipy.special.stdtr(df, -distance / error)))


def estimate(values: Iterable[float], pictures: float = 0.0) -> Estimate:
    """The mean of one value per seed, as an estimate for other seeds *and* other test images of the same kind.

    pictures: the variance of that mean when the images, the same ones for every seed, are drawn again (0: unknown).
    It is added to the variance of the mean over seeds; the sum's degrees of freedom are Satterthwaite's (1946).
    With few seeds that interval can come out narrower than the one over seeds alone, whose own variance is badly
    known; an added source of chance can't make us surer, so that the wider of the two counts. What a network's
    answers owe to the choice of images is in the scatter over seeds as well, and so counts twice: intervals are
    rather too wide. Training images that all networks share are a source of chance that is in neither.
    """
    x = [float(value) for value in values]
    mean = statistics.fmean(x) if x else math.nan
    if len(x) < 3 or not all(map(math.isfinite, x)):
        return Estimate(mean)
    # statistics is exact, so that neither the order of the seeds nor a change of sign can tip a verdict
    seeds, df = statistics.variance(x) / len(x), len(x) - 1
    alone = (math.sqrt(seeds), float(df))
    if not pictures > 0:
        return Estimate(mean, (alone,))
    both = seeds + pictures
    # pictures are many, so that their variance counts as known
    return Estimate(mean, (alone, (math.sqrt(both), df * (both / seeds) ** 2 if seeds > 0 else math.inf)))


def holm(p: Sequence[float]) -> list[float]:
    """p values of several tests, adjusted: at .05 at most one family in 20 has a false finding (Holm 1979)."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    found, largest = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[place]))
        found[place] = largest
    return found


def benjamini_hochberg(p: Sequence[float]) -> list[float]:
    """q values: at most this share of the findings with at most this q is expected to be false.

    So it is for tests that are independent or positively dependent (Benjamini and Hochberg 1995).
    """
    return list(map(float, scipy.stats.false_discovery_control(p, method="bh"))) if len(p) else []


def detectable(deviation: float, seeds: int, smallest: float, confidence: float = 0.95, power: float = 0.8) -> float:
    """The true effect that would be found to lie above `smallest` in a share `power` of repetitions.

    deviation: standard deviation of the statistic over seeds. Of Student's t-test over that many seeds (noncentral t).
    """
    in_range("seeds", seeds, 2, whole=True)
    df, critical = seeds - 1, student_quantile((1 + confidence) / 2, seeds - 1)
    distance = scipy.optimize.brentq(lambda nc: float(scipy.stats.nct.sf(critical, df, nc)) - power, 0, 50 * critical)
    return smallest + float(distance) * deviation / math.sqrt(seeds)


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation; 0 where one side doesn't vary at all, NaN where a value is missing."""
    if np.isnan(x).any() or np.isnan(y).any():
        return math.nan
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(scipy.stats.spearmanr(x, y).statistic)


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
    """Two networks on a set of images that both classify correctly when clean."""

    total: int  # images in the set
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
        return float(scipy.stats.binomtest(self.only_model, differing).pvalue) if differing else 1.0


def paired(model: Predictions, reference: Predictions, under: str, others: Iterable[Predictions] = ()) -> Paired:
    """This report's main measure: two networks on the images that both, and `others`, classify correctly when clean.

    With the same others, differences between networks add up. InputError if the networks were evaluated on different
    test images.
    """
    common = correct(model, "clean@")
    for other in (reference, *others):
        if not np.array_equal(model["labels"], other["labels"]):
            raise InputError("predictions: the two networks were evaluated on different test images")
        common = common & correct(other, "clean@")
    first, second = correct(model, under)[common], correct(reference, under)[common]
    counts = (common, first & second, first & ~second, second & ~first)
    return Paired(*(int(c.sum()) for c in counts))


def comparison(
    frame: pd.DataFrame,
    predictions: Archive | None = None,
    reference: str = "normal",
    together: Iterable[str] = (),
) -> pd.DataFrame:
    """Three ways to count one thing: each run under each distortion of the test images, beside its reference.

    The reference is the run of that model with the same data set, width, recipe and seed; together: models whose runs
    of the same kind have to know a common image as well. Columns: run to seed, distortion, level; accuracy (absolute;
    last iterate of an attack), conditional, conditional_total; and on the images that all of these classify correctly
    when clean: total, common, common_reference, difference, p (exact McNemar). The last five are NaN, and total 0,
    where one of them is missing. InputError if there are two of one.
    """
    predictions = predictions or archive()
    pairing = ["dataset", "width", "recipe", "seed"]
    runs = frame.groupby([*pairing, "model"])["run"].unique().to_dict()
    rows = frame[frame["metric"].isin(["accuracy", "accuracy_last"]) & (frame["distortion"] != "clean")]
    table = []
    for row in rows.to_dict("records"):
        mine, under = predictions(row["run"]), f"{row['distortion']}@{row['level']}"
        beside = [_one_run(runs, (*(row[name] for name in pairing), model)) for model in (reference, *together)]
        part, pair = conditional(mine, under), Paired(0, 0, 0, 0)
        if all(beside):
            pair = paired(mine, predictions(beside[0]), under, map(predictions, beside[1:]))
        line = {name: row[name] for name in (*COLUMNS[:7], "distortion", "level")}
        line |= {"accuracy": row["value"], "conditional": part.value, "conditional_total": part.total}
        line |= {"total": pair.total, "common": pair.model.value, "common_reference": pair.reference.value}
        table.append(line | {"difference": pair.difference, "p": pair.p if pair.total else math.nan})
    last = ["accuracy", "conditional", "conditional_total", "total", "common", "common_reference", "difference", "p"]
    return pd.DataFrame(table, columns=[*COLUMNS[:7], "distortion", "level", *last])


def _one_run(runs: dict, key: tuple) -> str:
    """The one run of a model, or "" if there is none; InputError if there are two."""
    found = list(runs.get(key, []))
    if len(found) > 1:
        raise InputError(f"results: two runs of {key[-1]} to compare with ({', '.join(found)}): keep one")
    return str(found[0]) if found else ""
