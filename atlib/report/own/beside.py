"""A network's measurements beside those of this report's networks on the same pictures, and where it stands."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy

from ...files import read_json, repository, results_dir
from ...measurements import FEWEST_MAPS, MEASUREMENTS, map_order
from ...rows import Predictions, archive, correct, load, read_predictions, read_rows
from .. import claims
from ..statistics import conditional, wilson

APART = 0.05  # what this report's two networks must differ by, for a third to stand between them,
RESOLVED = 1.0  # and how wide the interval of where it stands may be
NORMAL = float(scipy.special.ndtri(0.975))
KINDS = {"own": "this network", "normal": "normal", "underfit": "underfit", "main": "adversarially trained"}
Quantities = dict[tuple[str, str], float]


def called(kind: str, name: str, more: str = "") -> str:
    """One of this report's networks as the page calls it, its name in brackets unless that is the kind's."""
    about = ", ".join(part for part in ("" if name == KINDS[kind] else name, more) if part)
    return f"{KINDS[kind]} ({about})" if about else KINDS[kind]


class Published(NamedTuple):
    """One published run: its name, its quantities on the same pictures, and its configuration."""

    run: str
    quantities: dict[tuple[str, str], float]
    config: dict


def cut(predictions: Predictions, numbers: np.ndarray | None) -> Predictions:
    """The answers to a part of the test pictures; numbers: their places in the whole, None: all.

    Of maps, those that `measurements.map_pictures` would have drawn of the part.
    """
    if numbers is None:
        return predictions
    whole = len(predictions["labels"])
    kept = np.zeros(whole, bool)
    kept[numbers] = True
    order = map_order(whole).numpy()
    found = {}
    for key, values in predictions.items():
        if key.startswith("conflict@"):
            found[key] = values
        else:
            drawn = max(FEWEST_MAPS, math.ceil(len(values) * len(numbers) / whole))
            maps = key.startswith("maps@")
            found[key] = values[kept[order[: len(values)]]][:drawn] if maps else values[numbers]
    return found


def _quantities(rows: pd.DataFrame, predictions: Predictions, part: bool = False) -> Quantities:
    """(place, metric) to value: of every row; and conditional accuracy under every distortion of the test images.

    part: the predictions are of a part of the pictures that the rows speak of, and are counted again.
    """
    found = {(f"{row['distortion']}@{row['level']}", row["metric"]): row["value"] for row in rows.to_dict("records")}
    if part:
        for place, metric in list(found):
            if (again := _counted(predictions, place, metric)) is not None:
                found[place, metric] = again
    if not any(key.startswith("clean@/") for key in predictions):
        return found
    for place, metric in list(found):
        if metric in ("accuracy", "accuracy_last") and not place.startswith(("clean@", "conflict@")):
            found[place, "conditional"] = conditional(predictions, place).value
    return found


def _counted(predictions: Predictions, place: str, metric: str) -> float | None:
    """A metric from the answers to each picture; None for one that they don't hold."""
    if place.startswith("conflict@"):
        return None
    if metric == "accuracy":
        return float(correct(predictions, place).mean())
    name = metric.removeprefix("accuracy_")
    for key in (f"{place}/{name}", f"maps@{place}/{name}"):
        if key in predictions and len(predictions[key]):
            return float(predictions[key].astype(np.float64).mean())
    return None


def reference_runs(
    dataset: str, side: str, labels: np.ndarray, numbers: np.ndarray | None = None, pictures: str = ""
) -> dict[str, list[Published]]:
    """This report's published normal, underfit and main adversarially trained networks on the same pictures.

    side: as own rows' recipe has it, "side112"; numbers: places of a part of the test pictures; pictures: digest of the
    whole. Maps "normal", "underfit", "main" to one entry per seed; empty if normal or main ones are unpublished, and
    where atlib was installed without the repository, whose rows these are.
    """
    if repository() is None:
        return {}
    settings = [s for s in claims.load().settings.values() if s.dataset == dataset and s.recipe]
    setting = next((s for s in settings if side in str(s.recipe).split("-")), None)
    if setting is None:
        return {}
    rows, predictions_of = load(), archive()
    rows = rows[(rows["dataset"] == dataset) & (rows["recipe"] == setting.recipe) & (rows["width"] == setting.width)]
    found: dict[str, list[Published]] = {}
    for kind, model in (("normal", "normal"), ("underfit", "underfit"), ("main", setting.main)):
        mine = rows[(rows["model"] == model) & rows["share"].isin([0.0, setting.share])]
        mine = mine[mine["seed"].map(setting.counts).astype(bool)]
        for run, some in mine.groupby("run"):
            predictions, record = predictions_of(str(run)), read_json(results_dir() / f"{run}.json")
            of_others = record.get("evaluation", {}).get("pictures", pictures) != pictures
            if pictures and of_others and dataset != "shapes":  # which every processor rounds in its own way
                continue
            if numbers is not None and len(predictions["labels"]) <= int(numbers.max()):
                continue
            predictions = cut(predictions, numbers)
            if np.array_equal(predictions["labels"], labels):
                values = _quantities(some, predictions, numbers is not None)
                found.setdefault(kind, []).append(Published(str(run), values, record.get("config", {})))
    return found if {"normal", "main"} <= set(found) else {}


@dataclass(frozen=True)
class Measured:
    """What the page is about: a folder of measurements, read once."""

    folder: Path

    @functools.cached_property
    def rows(self) -> pd.DataFrame:
        return read_rows(self.folder / "rows.csv")

    @functools.cached_property
    def predictions(self) -> Predictions:
        return read_predictions(self.folder / "predictions.npz")

    @functools.cached_property
    def about(self) -> dict:
        return read_json(self.folder / "own.json") if (self.folder / "own.json").is_file() else {}

    @functools.cached_property
    def record(self) -> dict:
        return read_json(self.folder / "evaluation.json")

    @functools.cached_property
    def quantities(self) -> Quantities:
        return _quantities(self.rows, self.predictions)

    @functools.cached_property
    def references(self) -> dict[str, list[Published]]:
        numbers = np.asarray(self.about["numbers"]) if "numbers" in self.about else None
        first, pictures = self.rows.iloc[0], str(self.record.get("pictures", ""))
        labels = self.predictions["labels"]
        return reference_runs(str(first["dataset"]), str(first["recipe"]), labels, numbers, pictures)

    def theirs(self, kind: str, place: str, metric: str) -> list[float]:
        """A quantity of this report's networks of a kind, one value per seed."""
        of_each = (one.quantities.get((place, metric)) for one in self.references.get(kind, []))
        return [value for value in of_each if value is not None and value == value]

    def error(self, place: str, metric: str) -> float:
        """Standard error of one of its own quantities, over the pictures."""
        value, limits = self.quantities[place, metric], self.interval(place, metric)
        if limits:  # a share: √(p(1−p)/n) would be 0 for 9 of 9 pictures, so the wider side of Wilson's interval
            return max(value - limits[0], limits[1] - value) / NORMAL
        key = f"maps@{place}/{metric}"
        if key in self.predictions:
            of_each = self.predictions[key].astype(np.float64)
            return float(of_each.std() / math.sqrt(len(of_each)))
        row = self.row(place, metric)  # a share of the answers, without a count
        low, high = wilson(round(min(max(value, 0.0), 1.0) * int(row["total"])), int(row["total"]))
        return max(value - low, high - value) / NORMAL

    def row(self, place: str, metric: str) -> pd.Series:
        under = self.rows["distortion"] + "@" + self.rows["level"]
        return self.rows[(under == place) & (self.rows["metric"] == metric)].iloc[0]

    def interval(self, place: str, metric: str) -> tuple[float, float] | None:
        """Wilson's interval of a share of pictures; None for a mean."""
        if metric == "conditional":
            return conditional(self.predictions, place).interval
        row = self.row(place, metric)
        return None if pd.isna(row["count"]) or not row["total"] else wilson(int(row["count"]), int(row["total"]))


def stands(value: float, error: float, normal: Sequence[float], main: Sequence[float]) -> tuple[float, float, float]:
    """Where a value stands between this report's networks, 0 like the normal and 1 like the main ones; with limits.

    The limits are Fieller's, at 95 %, of the ratio: the references vary over seeds (Student's t with
    Satterthwaite's degrees of freedom for their difference), the value over its pictures (error: its standard
    error). Three NaN where the references can't resolve it: fewer than two seeds of each, or means less than APART
    apart or not apart for certain. The place alone is NaN where its limits are further apart than RESOLVED, as they
    are for a network that lies far outside both.
    """
    nothing = (math.nan, math.nan, math.nan)
    if len(normal) < 2 or len(main) < 2:
        return nothing
    zero, one = float(np.mean(normal)), float(np.mean(main))
    a, b = value - zero, one - zero
    if abs(b) < APART:
        return nothing
    errors = [float(np.var(v, ddof=1)) / len(v) for v in (normal, main)]
    each = sum(error**2 / (len(v) - 1) for error, v in zip(errors, (normal, main), strict=True))
    t = float(scipy.stats.t.ppf(0.975, sum(errors) ** 2 / each if each else len(normal) + len(main) - 2))
    of_normal, of_main = (t**2 * error for error in errors)
    square = b**2 - of_normal - of_main
    if square <= 0:
        return nothing
    mixed, rest = a * b - of_normal, a**2 - (1.96 * error) ** 2 - of_normal
    root = math.sqrt(max(0.0, mixed**2 - square * rest))
    low, high = (mixed - root) / square, (mixed + root) / square
    return (a / b if high - low <= RESOLVED else math.nan), low, high


def outside(low: float, high: float) -> str:
    """Which side of both kinds of network something lies whose limits alone are known; a dash if that isn't clear."""
    return "< 0" if high < 0 else "> 1" if low > 1 else "–"


def order(place: str) -> tuple:
    """The order of places: as measurements are registered, levels as numbers."""
    name, _, level = place.partition("@")
    names = list(MEASUREMENTS)
    try:
        number = float(level)
    except ValueError:
        number = 0.0
    return (names.index(name) if name in names else len(names), number, level)


def standing(folder: Path) -> pd.DataFrame:
    """The report's table: what was measured, with intervals, beside this report's networks on the same pictures.

    Columns: under, metric, value, interval (Wilson's over pictures; empty for means), normal, underfit, main (means
    over seeds), stands, low, high: 0 like the normal one, 1 like the main one, as `stands` has it; NaN where that isn't
    resolved or these aren't published. Accuracies under distortions are conditional: of the pictures that the network
    knows when they are clean. Levels are in the order of numbers.
    """
    measured = Measured(folder)
    found = measured.quantities
    lines = []
    for (place, metric), value in sorted(found.items(), key=lambda item: order(item[0][0])):
        distorted = (place, "conditional") in found
        robust = place.startswith(("pgd-linf@", "trained-attack@"))
        if metric in ("p_true", "accuracy_any") or (distorted and not robust and metric == "accuracy"):
            continue
        interval = measured.interval(place, metric)
        line: dict[str, Any] = {"under": place, "metric": metric, "value": value, "interval": interval}
        theirs = {kind: measured.theirs(kind, place, metric) for kind in ("normal", "underfit", "main")}
        line |= {kind: float(np.mean(values)) if values else math.nan for kind, values in theirs.items()}
        at = stands(value, measured.error(place, metric), theirs["normal"], theirs["main"])
        lines.append(line | dict(zip(("stands", "low", "high"), at, strict=True)))
    return pd.DataFrame(lines)
