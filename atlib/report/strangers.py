"""Networks that others trained, in pairs: what adversarial training changed there, beside what it changes here.

A pair is a normal and an adversarially trained network of one architecture, and of one author unless a table says
otherwise. Each of the ledger's statistics is computed within a pair, on the pictures that both know when they are
clean, with an interval over the pictures. Pairs are few and differ in all else, so that nothing is averaged over them,
and they are no seeds of ours.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import InputError, Missing
from ..files import results_dir
from ..rows import Archive, Predictions, Stored, archive, correct, load, read_rows
from . import claims, harder
from .palette import FAMILIES
from .plots import Drawing, sheet
from .quantities import Vector, mean_over, per_picture
from .statistics import t_interval
from .tables import in_setting, percent


class Measure(NamedTuple):
    """One of the ledger's statistics: its name, the means of which places and metric it compares, and its unit."""

    name: str
    under: tuple[str, ...]
    metric: str
    unit: str = "points"


MEASURES = (
    Measure("saturation 8 to 1024", ("saturation@8", "saturation@16", "saturation@64", "saturation@1024"), "common"),
    Measure("low-pass .1 and .2", ("low-pass@0.1", "low-pass@0.2"), "common"),
    Measure("high-pass .1 and .2", ("high-pass@0.1", "high-pass@0.2"), "common"),
    Measure("patch shuffle 2", ("patch-shuffle@2",), "common"),
    Measure("patch shuffle 4", ("patch-shuffle@4",), "common"),
    Measure("noise .1", ("noise@0.1",), "common"),
    Measure("Gini of maps", ("clean@",), "gini", ""),
    Measure("maps on edges", ("clean@",), "edge_correlation", ""),
    Measure("high frequencies of maps", ("clean@",), "high_frequency", ""),
)


class Pair(NamedTuple):
    """A normal network and those trained adversarially, by their names in results/own; what tells the pair apart.

    own: whether both are of one author. Several adversarially trained ones are runs of one recipe, and averaged.
    """

    title: str
    normal: str
    robust: tuple[str, ...]
    own: bool
    how: str


PAIRS = (
    Pair(
        "Woods, ResNet-44",
        "woods_normal",
        ("woods_l2",),
        True,
        "7-step ℓ₂ attack, about .55",
    ),
    Pair("EhanW, ResNet-20", "ehanw_normal", ("ehanw_pgd",), True, "PGD-20, ℓ∞ about 1.8/255"),
    Pair(
        "Dziedzic against Idelbayev, ResNet-20",
        "idelbayev_20",
        ("dziedzic_1", "dziedzic_2", "dziedzic_3", "dziedzic_4"),
        False,
        "ℓ∞ 8/255, half of the loss; four runs",
    ),
)
ANECDOTE = Pair(
    "Woods, a Lipschitz penalty alone",
    "woods_normal",
    ("woods_lipschitz",),
    True,
    "no adversarial training; another activation",
)


class Effect(NamedTuple):
    """The adversarially trained network's value minus the normal one's, its 95 % interval, and on how many pictures."""

    value: float
    low: float
    high: float
    pictures: int

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def difference(mine: Predictions, reference: Predictions, measure: Measure) -> tuple[Vector, int]:
    """The difference on the pictures as they are, then in each draw; and how many pictures it is of.

    Accuracies are of the pictures that both networks know when they are clean. Missing for what wasn't measured.
    """
    if not np.array_equal(mine["labels"], reference["labels"]):
        raise InputError("predictions: the two networks were evaluated on different test images")
    if measure.metric == "common":
        known = correct(mine, "clean@") & correct(reference, "clean@")
        of_each = [
            mean_over(correct(mine, place), known) - mean_over(correct(reference, place), known)
            for place in measure.under
        ]
        return np.mean(of_each, axis=0), int(known.sum())
    found = []
    for place in measure.under:
        one, two = (per_picture(said, place, measure.metric) for said in (mine, reference))
        if one is None or two is None:
            raise Missing(f"under = {place!r}: no {measure.metric} of each picture")
        found.append(mean_over(*one) - mean_over(*two))
        pictures = len(one[0])
    return np.mean(found, axis=0), pictures


def effect(mine: Sequence[Predictions], reference: Predictions, measure: Measure) -> Effect:
    """The mean difference of runs of one recipe and a normal network, with its interval over the pictures alone."""
    found = [difference(one, reference, measure) for one in mine]
    vector = np.mean([values for values, _ in found], axis=0)
    half = 1.96 * float(np.std(vector[1:], ddof=1))
    value = float(vector[0])
    return Effect(value, value - half, value + half, min(count for _, count in found))


@functools.lru_cache(maxsize=32)
def _stored(path: Path) -> Stored:
    return Stored(path)


def answers(name: str) -> Predictions:
    """An outside network's answers to each picture; Missing if unmeasured."""
    path = results_dir() / "own" / name / "predictions.npz"
    if not path.is_file():
        raise Missing(f"{path}: no such file")
    return _stored(path)


def accuracy(name: str, place: str, metric: str = "accuracy") -> float:
    """A row's value; NaN if it was not measured."""
    path = results_dir() / "own" / name / "rows.csv"
    if not path.is_file():
        return math.nan
    rows = read_rows(path)
    found = rows[(rows["distortion"] + "@" + rows["level"] == place) & (rows["metric"] == metric)]["value"]
    return float(found.iloc[0]) if len(found) else math.nan


def effects(pair: Pair) -> dict[str, Effect]:
    """Every statistic of a pair that was measured, by its name: of several runs the mean of those that were."""
    found = {}
    for measure in MEASURES:
        runs = []
        for name in pair.robust:
            try:
                difference(answers(name), answers(pair.normal), measure)
            except Missing:
                continue
            runs.append(answers(name))
        if runs:
            found[measure.name] = effect(runs, answers(pair.normal), measure)
    return found


def ours(predictions: Archive | None = None, frame: pd.DataFrame | None = None) -> dict[str, Effect]:
    """The same of this report's networks on CIFAR-10: the mean over seeds, with Student's interval over them."""
    predictions, frame = predictions or archive(), load() if frame is None else frame
    at = claims.load().settings["cifar10"]
    here = in_setting(frame, at)[["run", "model", "seed"]].drop_duplicates()
    runs: Mapping[tuple[str, int], str] = {
        (str(model), int(seed)): str(run) for run, model, seed in here.itertuples(index=False)
    }
    seeds = sorted(seed for model, seed in runs if model == at.main and ("normal", seed) in runs)
    found = {}
    for measure in MEASURES:
        try:
            of_each = [
                difference(predictions(runs[at.main, seed]), predictions(runs["normal", seed]), measure)
                for seed in seeds
            ]
        except Missing:
            continue
        if of_each:
            values = [float(vector[0]) for vector, _ in of_each]
            found[measure.name] = Effect(
                float(np.mean(values)), *t_interval(values), min(count for _, count in of_each)
            )
    return found


def shown(found: Effect | None, unit: str) -> str:
    """An effect as a table has it: signed, in points or as it is, with its interval."""
    if found is None:
        return "–"
    by, digits = (100, 1) if unit else (1, 3)
    value, low, high = (f"{by * x:+.{digits}f}".replace("-", "−") for x in found[:3])
    return f"{value} [{low}, {high}]" if math.isfinite(found.low) else value


def table() -> pd.DataFrame:
    """A line for each statistic: here, in each pair, and in the anecdote; what was not measured is a dash."""
    columns = {"this report": ours()} | {pair.title: effects(pair) for pair in (*PAIRS, ANECDOTE)}
    lines = []
    for measure in MEASURES:
        line = {"difference from the normal network": f"{measure.name}{', points' if measure.unit else ''}"}
        lines.append(line | {title: shown(found.get(measure.name), measure.unit) for title, found in columns.items()})
    return pd.DataFrame(lines)


def networks() -> pd.DataFrame:
    """A line for each network: whose it is, what it knows, and what PGD-40 leaves of it (rows of results/own)."""
    lines = []
    for pair in (*PAIRS, ANECDOTE):
        names = [(pair.normal, "normally trained")] if pair is not ANECDOTE else []
        for name, how in names + [(other, pair.how) for other in pair.robust]:
            values = (accuracy(name, "clean@"), accuracy(name, "pgd-linf@8", "accuracy_last"))
            clean, robust = ("–" if math.isnan(value) else percent(value) for value in values)
            lines.append({"network": name, "trained": how, "clean": clean, "PGD-40 at 8/255": robust})
    table = pd.DataFrame(lines)
    return table.drop(columns="PGD-40 at 8/255") if (table["PGD-40 at 8/255"] == "–").all() else table


def attacked() -> str:
    """On which of these networks stronger attacks than PGD-40 were run, and what they took, in words.

    Of ANECDOTE's network it also says what they leave.
    """
    rows = harder.of(strangers=True)
    if rows.empty:
        return "No stronger attacks have been run on these networks."
    left = {name: harder.before_and_after(name, rows) for name in rows["model"].unique()}
    names = [name.rpartition(":")[2] for name in left]
    every = [name for pair in (*PAIRS, ANECDOTE) for name in (pair.normal, *pair.robust)]
    weak = all(accuracy(name, "pgd-linf@8", "accuracy_last") <= harder.FEW for name in set(every) - set(names))
    keeps = f"every one of these networks that keeps more than {100 * harder.FEW:.0f} % accuracy under PGD-40"
    most = max(before.value - after.value for times in left.values() for before, after in times)
    said = (
        'PGD gives only an upper bound on robust accuracy. We ran <a href="experiments.html">stronger attacks</a> on '
        f"{keeps if weak else f'{len(names)} of these networks'}; on the pictures attacked, they lower it by at most "
        f"{percent(most)} further points."
    )
    (anecdote,) = ANECDOTE.robust
    if anecdote in names:
        after = min((after for _, after in left[harder.STRANGERS + anecdote]), key=lambda after: after.value)
        said += (
            " Under all of them together, the network with the Lipschitz penalty, which was trained without an "
            f"adversary, still recognises {percent(after.value)} % [{percent(after.low)}, {percent(after.high)}] "
            f"of {after.pictures:,} pictures."
        )
    return said


def figure() -> Drawing:
    """The effects of the table as points with their intervals, one panel for accuracies and one for maps."""
    columns = {"this report (over seeds)": ours()} | {pair.title: effects(pair) for pair in PAIRS}
    colours = dict(zip(columns, (FAMILIES["pgd-linf"], "#D55E00", "#E69F00", "#009E73"), strict=False))
    panels = ([m for m in MEASURES if m.unit], [m for m in MEASURES if not m.unit])
    with sheet(1, 2, 10, 3.6) as (drawing, axes):
        for axis, measures in zip(axes[0], panels, strict=True):
            by = 100 if measures[0].unit else 1
            for number, (title, found) in enumerate(columns.items()):
                for row, measure in enumerate(measures):
                    if (one := found.get(measure.name)) is None:
                        continue
                    y = row + 0.17 * (number - (len(columns) - 1) / 2)
                    axis.plot([by * one.low, by * one.high], [y, y], color=colours[title], lw=1.6)
                    axis.plot([by * one.value], [y], "o", color=colours[title], ms=5, label=title if row == 0 else None)
            axis.axvline(0, color="black", lw=0.8)
            axis.set_yticks(range(len(measures)), [m.name for m in measures])
            axis.invert_yaxis()
            axis.set_xlabel("points of accuracy" if measures[0].unit else "difference of the statistic")
        handles, labels = axes[0][0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return drawing


def sentence() -> str:
    """In how many pairs each statistic goes the way it goes here, and in how many its interval leaves out zero."""
    mine, theirs = ours(), [effects(pair) for pair in PAIRS]
    groups: dict[str, list[str]] = {}
    alike, compared = 0, 0
    for measure in MEASURES:
        here, found = mine.get(measure.name), [one[measure.name] for one in theirs if measure.name in one]
        if here is None or not found:
            continue
        if not here.clear:  # then there is no sign to agree with
            up, down = sum(one.low > 0 for one in found), sum(one.high < 0 for one in found)
            text = "our CIFAR-10 networks show no clear effect; it is clearly positive in "
            text += f"{up} of the {len(found)} pairs and clearly negative in {down}"
            groups.setdefault(text, []).append(measure.name)
            continue
        agree = [one for one in found if one.value * here.value > 0]
        against = [one for one in found if one.value * here.value < 0 and one.clear]
        sure = sum(one.clear for one in agree)
        alike, compared = alike + len(agree), compared + len(found)
        text = (
            f"{len(agree)} of {len(found)} pairs have the same sign as our CIFAR-10 networks, and in {sure} of these "
        )
        text += "the interval excludes zero"
        text += f"; in {len(against)} the effect is clearly the other way" if against else ""
        groups.setdefault(text, []).append(measure.name)
    parts = [f"- **{', '.join(names)}**: {text}." for text, names in groups.items()]
    if not parts:
        return "Not measured yet."
    same = "mostly makes the same differences as in ours"
    what = same if 2 * alike > compared else "often makes other differences than ours"
    return f"In networks that others trained, adversarial training {what}:\n\n" + "\n".join(parts)
