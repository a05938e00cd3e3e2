"""From rows to verdicts: published runs, statistics across seeds, paired comparisons, claims.

A run publishes a CSV of rows (COLUMNS), an NPZ of per-image predictions and a JSON of where they come from.
What compares runs is computed here, when it is read. Images of different seeds are never pooled: within a run an
interval is Wilson's over images, across runs it is the t-interval over one value a seed.

    python -m atlib.results publish RUN [RUN ...]
    python -m atlib.results verdicts
"""

from __future__ import annotations

import argparse
import csv
import functools
import math
import re
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from scipy import stats

from .errors import InputError, command_line, in_range, nearest, one_of
from .files import RUN_NAME, atomic, checkout_path, read_json, results_dir, write_json

COLUMNS = (
    "run", "dataset", "model", "width", "share", "recipe", "seed",
    "distortion", "level", "metric", "value", "count", "total",
)  # fmt: skip
CELL = ("dataset", "model", "width", "share", "recipe", "distortion", "level", "metric")
FRACTIONS = (
    "accuracy", "p_true", "accuracy_last", "accuracy_any",
    "shape_bias", "coverage", "shape_accuracy", "texture_accuracy",
)  # fmt: skip

Predictions = Mapping[str, NDArray[Any]]
Archive = Callable[[str], Predictions]


class Missing(InputError):
    """A run, row or prediction that isn't there (yet)."""


# --- Rows ----------------------------------------------------------------------------------------------------


def _text(cell: str) -> str:
    if not cell:
        raise ValueError("must not be empty")
    return cell


def _whole(cell: str) -> int:
    if not cell.isascii() or not cell.isdigit():
        raise ValueError("must be a whole number from 0 on")
    return int(cell)


def _number(cell: str) -> float:
    try:
        number = float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("must be a finite number")
    return number


def _optional(parse: Callable[[str], Any], absent: Any) -> Callable[[str], Any]:
    return lambda cell: parse(cell) if cell else absent


PARSERS: dict[str, Callable[[str], Any]] = {
    "width": _whole,
    "share": _number,
    "seed": _whole,
    "level": str,
    "value": _optional(_number, math.nan),
    "count": _optional(_whole, None),
    "total": _optional(_whole, None),
}
DTYPES = {
    "width": "int64",
    "share": "float64",
    "seed": "int64",
    "value": "float64",
    "count": "Int64",
    "total": "Int64",
}


def _parse(cells: list[str], where: str) -> dict[str, Any]:
    """One line of a CSV as a checked row."""
    if len(cells) != len(COLUMNS):
        raise InputError(f"{where}: {len(cells)} cells instead of {len(COLUMNS)}; publish the run again")
    row = {}
    for column, cell in zip(COLUMNS, cells, strict=True):
        try:
            row[column] = PARSERS.get(column, _text)(cell)
        except ValueError as error:
            raise InputError(f"{where}, {column} = {cell!r}: {error}") from None
    problem = _contradiction(row)
    if problem:
        raise InputError(f"{where}, {problem}")
    return row


def _contradiction(row: Mapping[str, Any]) -> str:
    """What is impossible about a row, or an empty string."""
    value, count, total = row["value"], row["count"], row["total"]
    if math.isnan(value):
        return "" if total == 0 else "value = '': only a fraction of 0 images may be empty"
    if row["metric"] in FRACTIONS and not 0 <= value <= 1:
        return f"value = {value:g}: {row['metric']} must lie between 0 and 1"
    if count is not None and (total is None or count > total):
        return f"count = {count}: must be at most the total ({'' if total is None else total})"
    if count is not None and total and not math.isclose(value, count / total, abs_tol=1e-6):
        return f"value = {value:g}: isn't count / total ({count} / {total})"
    return ""


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a frame with COLUMNS and their types; count and total are whole numbers with gaps (Int64)."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(DTYPES)


def read_rows(path: Path) -> pd.DataFrame:
    """The rows of one run: a frame with COLUMNS; count and total are nullable integers.

    InputError, in one line with file, line and column, if the file is missing, cut off or of another layout, has an
    impossible cell, a row twice, or rows of more than one run.
    """
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV of rows ({type(error).__name__})") from None
    lines = list(csv.reader(text.splitlines()))
    if not lines or tuple(lines[0]) != COLUMNS:
        raise InputError(f"{path}: line 1 must be {','.join(COLUMNS)}")
    if not text.endswith("\n"):
        raise InputError(f"{path}: line {len(lines)}: cut off; publish the run again")
    frame = frame_of([_parse(cells, f"{path}: line {n}") for n, cells in enumerate(lines[1:], 2)])
    runs = frame["run"].unique()
    if len(runs) != 1:
        raise InputError(f"{path}: must hold the rows of one run, found {len(runs)}")
    twice = frame.duplicated(["distortion", "level", "metric"])
    if twice.any():
        line = int(np.flatnonzero(twice)[0])
        name, level, metric = (frame[column].iloc[line] for column in ("distortion", "level", "metric"))
        raise InputError(f"{path}: line {line + 2}, {name}@{level}/{metric}: is there twice")
    return frame


def row_id(row: Mapping[Any, Any] | pd.Series) -> str:
    """The name by which a row is audited: RUN:DISTORTION@LEVEL/METRIC."""
    return f"{row['run']}:{row['distortion']}@{row['level']}/{row['metric']}"


def measurement(row: Mapping[Any, Any] | pd.Series) -> str:
    """The measurement, "NAME@LEVEL", that a row comes from: its distortion's, or that of the maps under it."""
    place = f"{row['distortion']}@{row['level']}"
    return f"maps@{place}" if str(row["metric"]).removeprefix("grad_") in MAP_METRICS else place


def find_row(name: str, frame: pd.DataFrame | None = None) -> dict[str, Any]:
    """The published row of that id; InputError, with the nearest there is, if there is none."""
    frame = load() if frame is None else frame
    rows = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    ids = [row_id(row) for row in rows]
    if name not in ids:
        raise InputError(f"row = {name!r}: not published; must be RUN:DISTORTION@LEVEL/METRIC{nearest(name, ids)}")
    return rows[ids.index(name)]


def load(folder: Path | None = None, *, provenance: bool = False) -> pd.DataFrame:
    """All published rows (of results/), sorted by run; an empty frame with the same columns if there are none.

    With `provenance` also training_commit, evaluation_commit; processor, gpu and seconds of the training.
    """
    folder = folder or results_dir()
    frames = []
    for path in sorted(folder.glob("*/*.csv")):
        run = path.relative_to(folder).with_suffix("").as_posix()
        if not RUN_NAME.fullmatch(run):
            continue  # a table of another kind
        frame = read_rows(path)
        if frame["run"].iloc[0] != run:
            raise InputError(f"{path}: holds the rows of another run, {frame['run'].iloc[0]}")
        frames.append(_with_provenance(frame, path.with_suffix(".json")) if provenance else frame)
    return pd.concat(frames, ignore_index=True) if frames else frame_of([])


def _with_provenance(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    record = read_json(path)
    training, measured = record.get("training", {}), record.get("evaluation", {}).get("measurements", {})
    hardware = training.get("hardware", {})
    places = pd.Series([measured.get(measurement(row), {}) for row in frame.to_dict("records")], frame.index)
    return frame.assign(
        training_commit=training.get("commit", "unknown"),
        evaluation_commit=places.map(lambda found: found.get("commit", "unknown")),
        processor=hardware.get("processor", "unknown"),
        gpu=hardware.get("gpu", ""),
        seconds=float(training.get("seconds", math.nan)),
    )


def read_predictions(path: Path) -> dict[str, NDArray[Any]]:
    """Per-image predictions of one run: "DISTORTION@LEVEL/class", ".../last" and so on, and "labels"."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {key: stored[key] for key in stored.files}
    except Exception as error:  # zipfile, zlib and numpy each raise their own
        raise InputError(f"{path}: not a readable file of predictions ({type(error).__name__})") from None
    if "labels" not in found:
        raise InputError(f"{path}: has no labels")
    return found


def archive(folder: Path | None = None) -> Archive:
    """A function that gives the published predictions of a run by its name, and reads each file once."""
    folder = folder or results_dir()

    @functools.cache
    def predictions(run: str) -> Predictions:
        path = folder / f"{run}.npz"
        if not path.is_file():
            raise Missing(f"{path}: no such file")
        return read_predictions(path)

    return predictions


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
    z2 = stats.norm.ppf((1 + confidence) / 2) ** 2
    p, n = count / total, int(total)
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # at the ends the bounds are exactly 0 and 1; rounding must not put them beside
    return 0.0 if count == 0 else max(0.0, middle - half), 1.0 if count == n else min(1.0, middle + half)


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


# --- Per image -----------------------------------------------------------------------------------------------


def correct(predictions: Predictions, under: str, attack: str = "last") -> NDArray[np.bool_]:
    """Which test images are classified correctly under "DISTORTION@LEVEL", N booleans.

    Of an attack, `attack` says which iterate counts: the last, or any (lost once it was ever fooled).
    """
    if under.startswith("conflict@"):
        raise InputError(f"under = {under!r}: cue-conflict pictures aren't the test images")
    for key, right in ((f"{under}/class", None), (f"{under}/{attack}", True)):
        if key in predictions:
            return np.asarray(predictions[key] == (predictions["labels"] if right is None else right))
    raise Missing(f"under = {under!r}: no predictions")


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


# --- Claims: reading them ------------------------------------------------------------------------------------

CLAIMS = "book/claims.yaml"
SECTIONS = (
    "abstract", "1", "2", "2.1", "2.2", "3", "3.1", "3.2",
    "4", "4.1", "4.2", "4.2.1", "4.2.2", "4.2.3", "5", "6",
)  # fmt: skip
ORIGINS = ("paper", "question", "later")
DIRECTIONS = ("greater", "less", "equal")
COMBINATIONS = ("mean", "weakest")
VERDICTS = ("holds", "does not hold", "mixed", "pending")
# What claims may speak of: also what no run has rows of yet.
DISTORTIONS = (
    "clean", "pgd-linf", "trained-attack", "conflict", "stylised", "saturation", "patch-shuffle",
    "low-pass", "high-pass", "random-drop", "noise", "blur",
)  # fmt: skip
MAP_METRICS = ("gini", "edge_correlation", "high_frequency", "alignment", "map_distance")
COMPUTED = ("conditional", "common")
METRICS = (*FRACTIONS, *COMPUTED, *MAP_METRICS, *(f"grad_{name}" for name in MAP_METRICS))
MODEL_NAME = re.compile(r"main|weak|normal|underfit|spatial|(underfit|fgsm|pgd-linf|pgd-l2|noise|blur)-\d+(\.\d+)?")


@dataclass(frozen=True)
class Setting:
    """Which runs of a data set are compared with each other: those of one width, recipe and share.

    recipe None: not fixed yet. main, weak: the models that these two words stand for in claims.
    """

    dataset: str
    width: int
    recipe: str | None
    share: float
    main: str
    weak: str


@dataclass(frozen=True)
class Statistic:
    """What is computed within each seed; see the head of book/claims.yaml."""

    name: str
    models: tuple[str, ...]
    under: tuple[str, ...]
    metric: str
    reference: str | float | None = None
    against: str | None = None
    combine: str = "mean"


@dataclass(frozen=True)
class Claim:
    """One entry of book/claims.yaml; see its head."""

    id: str
    claim: str
    section: str
    origin: str
    statistic: Statistic
    direction: str
    smallest_effect: float
    datasets: tuple[str, ...]
    needed: tuple[str, ...]
    known: str
    changes: tuple[str, ...]
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """All claims with the settings and the rule that decide them."""

    claims: tuple[Claim, ...]
    settings: Mapping[str, Setting]
    minimum_seeds: int = 3
    confidence: float = 0.95

    def __getitem__(self, id: str) -> Claim:
        """A claim by its id."""
        one_of("claim", id, [claim.id for claim in self.claims])
        return next(claim for claim in self.claims if claim.id == id)


def load_claims(path: Path | None = None) -> Ledger:
    """Read and check the claims (None: the checkout's).

    InputError names the file, the entry and what is wrong, in one line.
    """
    path = path or checkout_path(CLAIMS)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: not readable ({type(error).__name__})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    try:
        return _ledger(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _ledger(content: object) -> Ledger:
    top = _keys("file", content, ("rule", "settings", "claims"))
    rule = _keys("rule", top["rule"], ("minimum_seeds", "confidence"))
    in_range("rule.minimum_seeds", rule["minimum_seeds"], 2, whole=True)
    in_range("rule.confidence", rule["confidence"], 0.5, 0.9999)
    if not isinstance(top["settings"], dict) or not isinstance(top["claims"], list):
        raise InputError("settings must be a table and claims a list")
    settings = {name: _setting(f"settings.{name}", entry) for name, entry in top["settings"].items()}
    claims = tuple(_claim(entry, settings) for entry in top["claims"])
    ids = [claim.id for claim in claims]
    for id in ids:
        if ids.count(id) > 1:
            raise InputError(f"claim {id}: is there {ids.count(id)} times")
    return Ledger(claims, settings, rule["minimum_seeds"], rule["confidence"])


def _keys(where: str, entry: object, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """The entry, if it is a table that has all required keys and no unknown one."""
    if not isinstance(entry, dict):
        raise InputError(f"{where} = {entry!r}: must be a table")
    required = tuple(required)
    for key in entry:
        one_of(f"{where}: key", key, (*required, *optional))
    for key in required:
        if key not in entry:
            raise InputError(f"{where}: key {key!r} is missing")
    return entry


def _setting(where: str, entry: object) -> Setting:
    checked = _keys(where, entry, (f.name for f in fields(Setting)))
    in_range(f"{where}.width", checked["width"], 1, whole=True)
    in_range(f"{where}.share", checked["share"], 0, 1)
    for name in ("main", "weak"):
        _check_model(f"{where}.{name}", checked[name], {})
    for name in ("dataset", "recipe"):
        if not isinstance(checked[name], str) and (name == "dataset" or checked[name] is not None):
            raise InputError(f"{where}.{name} = {checked[name]!r}: must be text")
    return Setting(**checked)


def _claim(entry: object, settings: Mapping[str, Setting]) -> Claim:
    name = entry.get("id") if isinstance(entry, dict) else entry
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise InputError(f"claim {name!r}: needs an id of small letters, digits and hyphens")
    where = f"claim {name}"
    checked = dict(_keys(where, entry, (f.name for f in fields(Claim) if f.name != "shown"), ("shown",)))
    for key in ("claim", "known"):
        if not isinstance(checked[key], str) or not checked[key].strip():
            raise InputError(f"{where}: {key} = {checked[key]!r}: must be a sentence")
    for key, allowed in (("section", SECTIONS), ("origin", ORIGINS), ("direction", DIRECTIONS)):
        one_of(f"{where}: {key}", checked[key], allowed)
    in_range(f"{where}: smallest_effect", checked["smallest_effect"], 0, open_low=checked["direction"] == "equal")
    for key in ("datasets", "needed", "shown"):
        checked[key] = _list(f"{where}: {key}", checked.get(key, []), settings, empty=key == "shown")
    for dataset in checked["needed"]:
        one_of(f"{where}: needed", dataset, checked["datasets"])
    for dataset in checked["shown"]:
        if dataset in checked["datasets"]:
            raise InputError(f"{where}: shown = {dataset!r}: is among the datasets already")
    checked["changes"] = _changes(where, checked["changes"])
    checked["statistic"] = _statistic(f"{where}: statistic", checked["statistic"], settings)
    return Claim(**checked)


def _list(where: str, value: object, allowed: Iterable[str] | None = None, *, empty: bool = False) -> tuple[str, ...]:
    """A list of texts, each once, each allowed."""
    if not isinstance(value, list) or (not value and not empty) or not all(isinstance(v, str) for v in value):
        raise InputError(f"{where} = {value!r}: must be a list of names")
    for item in value:
        if allowed is not None:
            one_of(where, item, allowed)
        if value.count(item) > 1:
            raise InputError(f"{where} = {item!r}: is there {value.count(item)} times")
    return tuple(value)


def _changes(where: str, value: object) -> tuple[str, ...]:
    lines = _list(f"{where}: changes", value, empty=True)
    for line in lines:
        if not re.match(r"\d{4}-\d{2}-\d{2}: \S", line):
            raise InputError(f"{where}: changes = {line!r}: must begin with a date, as in '2026-12-01: why'")
    return lines


def _statistic(where: str, entry: object, settings: Mapping[str, Setting]) -> Statistic:
    checked = dict(_keys(where, entry, ("name", "models", "under", "metric"), ("reference", "against", "combine")))
    one_of(f"{where}: name", checked["name"], STATISTICS)
    one_of(f"{where}: metric", checked["metric"], METRICS)
    one_of(f"{where}: combine", checked.get("combine", "mean"), COMBINATIONS)
    for key in ("models", "under"):
        checked[key] = _list(f"{where}: {key}", checked[key])
    for model in checked["models"]:
        _check_model(f"{where}: models", model, settings)
    for under in checked["under"]:
        _check_under(f"{where}: under", under, checked["metric"])
    _check_reference(where, checked, settings)
    _check_against(where, checked)
    return Statistic(**checked)


def _check_model(where: str, model: object, settings: Mapping[str, Setting]) -> None:
    name, at, setting = str(model).partition("@")
    if not isinstance(model, str) or not MODEL_NAME.fullmatch(name):
        raise InputError(f"{where} = {model!r}: must be a model's name, as in pgd-linf-8, or main or weak")
    if at:
        one_of(f"{where} = {model!r}: setting", setting, settings)


def _check_under(where: str, under: str, metric: str) -> None:
    distortion, at, _ = under.partition("@")
    if not at:
        raise InputError(f"{where} = {under!r}: must be DISTORTION@LEVEL (the level may be empty)")
    one_of(f"{where} = {under!r}: distortion", distortion, DISTORTIONS)
    if metric in COMPUTED and distortion in ("clean", "conflict"):
        raise InputError(f"{where} = {under!r}: {metric} needs a distortion of the test images")


def _check_reference(where: str, checked: Mapping[str, Any], settings: Mapping[str, Setting]) -> None:
    """Differences need a reference, only a plain one may be a number, and `common` needs two networks."""
    reference, needs = checked.get("reference"), checked["name"].startswith("difference")
    if needs != (reference is not None):
        raise InputError(f"{where}: {checked['name']} {'needs' if needs else 'takes no'} reference")
    number = isinstance(reference, (int, float))
    if needs and not number:
        _check_model(f"{where}: reference", reference, settings)
    if number and checked["name"] != "difference":
        raise InputError(f"{where}: reference = {reference!r}: {checked['name']} needs a model")
    if checked["metric"] == "common" and (number or checked["name"] != "difference"):
        raise InputError(f"{where}: metric = 'common': needs the difference of two models")


def _check_against(where: str, checked: Mapping[str, Any]) -> None:
    against = checked.get("against")
    if (checked["name"] == "rank_correlation") != (against is not None):
        raise InputError(f"{where}: against: is for rank_correlation, and needed there")
    if checked["name"] == "rank_correlation" and len(checked["models"]) < 3:
        raise InputError(f"{where}: models: rank_correlation needs three or more")
    if checked["name"] == "spread" and len(checked["models"]) < 2:
        raise InputError(f"{where}: models: spread needs two or more")
    if against is not None and against != "order":
        under, _, metric = str(against).rpartition("/")
        one_of(f"{where}: against = {against!r}: metric", metric, [m for m in METRICS if m != "common"])
        _check_under(f"{where}: against", under, metric)


# --- Claims: deciding them -----------------------------------------------------------------------------------


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


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation; 0 where one side doesn't vary at all, NaN where a value is missing."""
    if np.isnan(x).any() or np.isnan(y).any():
        return math.nan
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(stats.rankdata(x), stats.rankdata(y))[0, 1])


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
    one_of("direction", direction, DIRECTIONS)
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
    ledger = ledger or load_claims()
    return _verdict(claim, _lookup(frame, predictions, ledger), ledger)


def _verdict(claim: Claim, look: _Lookup, ledger: Ledger) -> Verdict:
    decisions = tuple(_decision(claim, name, look, ledger) for name in (*claim.datasets, *claim.shown))
    counted = {decision.dataset: decision.verdict for decision in decisions if decision.counts}
    return Verdict(claim, overall(counted, claim.needed), decisions)


def verdicts(frame: pd.DataFrame, ledger: Ledger | None = None, predictions: Archive | None = None) -> pd.DataFrame:
    """The ledger as a table: for each claim one line a data set, after one line whose data set is "overall".

    Columns: id, section, origin, dataset, verdict, counts, direction, smallest_effect, seeds, values, effect, low,
    high (mean and t-interval of the values).
    """
    ledger = ledger or load_claims()
    look = _lookup(frame, predictions, ledger)
    table = []
    for found in (_verdict(claim, look, ledger) for claim in ledger.claims):
        for decision in (Decision("overall", found.verdict, True), *found.decisions):
            about = {name: getattr(found.claim, name) for name in ("id", "section", "origin")}
            rule = {name: getattr(found.claim, name) for name in ("direction", "smallest_effect")}
            table.append(about | rule | asdict(decision))
    columns = ["id", "section", "origin", "dataset", "verdict", "counts", "direction", "smallest_effect"]
    return pd.DataFrame(table, columns=[*columns, "seeds", "values", "effect", "low", "high"])


# --- Publishing ----------------------------------------------------------------------------------------------


def publish(run: Path, folder: Path | None = None) -> list[Path]:
    """Copy rows, predictions and record of a finished, evaluated run to results/; returns the files written.

    Publishing again replaces. InputError, and nothing written, for a quick run, for one that isn't trained to its
    end or not evaluated, where rows, predictions and run don't belong together, and where tables would average the run
    with published ones that were trained otherwise.
    """
    folder = folder or results_dir()
    record = _record(run)
    name = record["training"]["run"]
    rows, predictions = read_rows(run / "rows.csv"), read_predictions(run / "predictions.npz")
    if rows["run"].iloc[0] != name or not RUN_NAME.fullmatch(name):
        raise InputError(f"{run}: rows.csv holds the rows of {rows['run'].iloc[0]}, not of {name}; evaluate it again")
    _check_columns(run, rows, record)
    _check_agreement(run, rows, predictions)
    _check_alike(run, record, folder)
    target = folder / name
    # the record comes last: it is by its measurements that the campaign knows whether it has to publish (again)
    paths = [target.with_name(f"{target.name}.{kind}") for kind in ("npz", "csv", "json")]
    with atomic(paths[0]) as temporary:
        shutil.copyfile(run / "predictions.npz", temporary)
    with atomic(paths[1]) as temporary:
        rows.to_csv(temporary, index=False)
    write_json(paths[2], record)
    return paths


def _record(run: Path) -> dict[str, Any]:
    """Configuration, training and evaluation of a run that may be published."""
    for file, state in (("training.json", "trained to its end"), ("evaluation.json", "evaluated")):
        if not (run / file).is_file():
            raise InputError(f"{run}: not {state} ({file} is missing)")
    training, evaluation = read_json(run / "training.json"), read_json(run / "evaluation.json")
    config = read_json(run / "config.json") if (run / "config.json").is_file() else training.get("config")
    if not isinstance(config, dict) or "run" not in training or config != training.get("config"):
        raise InputError(f"{run}: training.json lacks the run's name or configuration, or has another than config.json")
    if config.get("quick"):
        raise InputError(f"{run}: a quick run, made to test the notebooks; its numbers mean nothing")
    digests = [record.get("weights_digest") for record in (training, evaluation)]
    if all(digests) and digests[0] != digests[1]:
        raise InputError(f"{run}: evaluated with other weights than it has now; evaluate it again")
    return {"config": config, "training": training, "evaluation": evaluation}


def _check_columns(run: Path, rows: pd.DataFrame, record: Mapping[str, Any]) -> None:
    """The rows must be of this configuration, and of every measurement that is recorded."""
    config, training = record["config"], record["training"]
    about = {name: config.get(name) for name in ("dataset", "width", "seed")}
    about |= {"share": config.get("share") or 0.0, "model": training.get("model"), "recipe": training.get("recipe")}
    for name, value in about.items():
        if (rows[name] != value).any():
            raise InputError(f"{run}: rows.csv has other values of {name} than the run's, {value}; evaluate it again")
    places = {measurement(row) for row in rows.to_dict("records")}
    for name in record["evaluation"].get("measurements", {}):
        if name not in places:
            raise InputError(f"{run}: rows.csv has no rows of {name}; evaluate it again")


PREDICTED = {
    "accuracy": "class",
    "accuracy_last": "last",
    "accuracy_any": "any",
}  # what a metric counts


def _check_agreement(run: Path, rows: pd.DataFrame, predictions: Predictions) -> None:
    """The counts in the rows must be those of the predictions beside them."""
    for row in rows[rows["metric"].isin(PREDICTED) | (rows["distortion"] == "conflict")].to_dict("records"):
        place = f"{row['distortion']}@{row['level']}/{row['metric']}"
        try:
            right = _right(predictions, row)
        except (Missing, KeyError):
            raise InputError(f"{run}: predictions.npz has none of {place}; evaluate it again") from None
        if (int(right.sum()), len(right)) != (row["count"], row["total"]):
            raise InputError(f"{run}: rows.csv and predictions.npz differ on {place}; evaluate it again")


def _right(predictions: Predictions, row: Mapping[Any, Any]) -> NDArray[np.bool_]:
    """Of each image that a counted row is about, whether it counts; KeyError or Missing without its predictions."""
    if row["distortion"] != "conflict":
        return correct(predictions, f"{row['distortion']}@{row['level']}", PREDICTED[row["metric"]])
    said, labels, textures = (predictions[f"conflict@/{name}"] for name in ("class", "labels", "textures"))
    shape, texture = said == labels, said == textures
    either = shape | texture
    found = {"coverage": either, "shape_accuracy": shape, "texture_accuracy": texture, "shape_bias": shape[either]}
    return np.asarray(found[row["metric"]])


def _check_alike(run: Path, record: Mapping[str, Any], folder: Path) -> None:
    """Published runs of the same cell must be the same but for the seed."""
    name, recipe = record["training"]["run"], record["training"].get("recipe")
    for path in sorted(folder.glob(f"{name.rpartition('-s')[0]}-s*.json")):
        other = read_json(path)
        same = other["training"].get("recipe") == recipe and other["config"].get("share") == record["config"].get(
            "share"
        )
        unlike = differences(record["config"], other["config"]) if same else []
        if unlike:
            raise InputError(
                f"{run}: differs from the published {other['training']['run']} in {', '.join(unlike)}, and tables "
                "would average the two; publish it elsewhere (ATLIB_RESULTS)"
            )


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Parameters in which two configurations of one model and recipe differ, with both values.

    Not counted: the seed (so that of a match only the model counts), and the precision, which is the machine's choice.
    """

    def applying(config: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in config.items() if value is not None and value is not False}
        return kept | {"seed": 0, "precision": "", "match": str(kept.get("match", "")).rpartition("-s")[0]}

    mine, others = applying(one), applying(other)
    names = [name for name in {**mine, **others} if mine.get(name) != others.get(name)]
    return [f"{name} ({mine.get(name)}, not {others.get(name)})" for name in names]


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    from .training import find_run

    parser = argparse.ArgumentParser(prog="python -m atlib.results", description="Publish runs, judge claims.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("publish", help="copy the rows of finished runs to results/")
    command.add_argument("run", nargs="+", help="folder of a run, or its name under runs/")
    commands.add_parser("verdicts", help="print what the published rows say about each claim")
    given = parser.parse_args(arguments)
    if given.command == "verdicts":
        print(verdicts(load()).drop(columns=["values", "origin"]).to_string(index=False))
    for name in getattr(given, "run", []):
        for path in publish(find_run(name)):
            print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
