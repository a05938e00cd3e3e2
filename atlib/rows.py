"""The rows that evaluation writes and everything else reads: their format, those of a run, and all published ones.

A run publishes a CSV of rows (COLUMNS), an NPZ of per-image predictions and a JSON file with their provenance.
"""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .errors import InputError, Missing, nearest
from .files import RUN_NAME, read_json, results_dir

TYPES = {
    "run": "str", "dataset": "str", "model": "str", "width": "int64", "share": "float64", "recipe": "str",
    "seed": "int64", "distortion": "str", "level": "str", "metric": "str", "value": "float64",
    "count": "Int64", "total": "Int64",
}  # fmt: skip
COLUMNS = tuple(TYPES)
MAY_BE_EMPTY = ("level", "value", "count", "total")
TO_NORMAL, TO_NEXT_SEED = "distance_to_normal", "distance_to_next_seed"  # of a network's maps to another's
ANOTHER_CLASS = "another_class"  # what a network says of pictures attacked through another
BETWEEN = (TO_NORMAL, TO_NEXT_SEED, ANOTHER_CLASS)  # of a network together with others
FRACTIONS = (
    "accuracy", "p_true", "accuracy_last", "accuracy_any",
    "shape_bias", "coverage", "shape_accuracy", "texture_accuracy", "vanished", ANOTHER_CLASS,
)  # fmt: skip
# Of SmoothGrad maps; the same metrics of plain gradient maps begin with "grad_".
MAP_METRICS = ("gini", "edge_correlation", "high_frequency", "alignment", "map_distance")

Predictions = Mapping[str, NDArray[Any]]
Archive = Callable[[str], Predictions]


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a frame with COLUMNS and their types; count and total are nullable whole numbers (Int64)."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(TYPES)


# --- Reading them ----------------------------------------------------------------------------------------------------


def read_rows(path: Path) -> pd.DataFrame:
    """The rows of one run: a frame with COLUMNS; count and total are nullable integers.

    InputError, in one line with file, line and column, if the file is missing, truncated or in another format, or if it
    has an impossible cell, a duplicate row, or rows of more than one run.
    """
    return _checked({path: _cells(path)})


def load(folder: Path | None = None, *, provenance: bool = False) -> pd.DataFrame:
    """All published rows (of results/), sorted by run; an empty frame with the same columns if there are none.

    `provenance` adds training_commit and evaluation_commit, and the processor, gpu and seconds of the training.
    """
    folder = folder or results_dir()
    files = {}
    for path in sorted(folder.glob("*/*.csv")):
        run = path.relative_to(folder).with_suffix("").as_posix()
        if not RUN_NAME.fullmatch(run):
            continue  # a table of another kind
        files[path] = _cells(path)
        if files[path][0][0] != run:
            raise InputError(f"{path}: holds the rows of another run, {files[path][0][0]}")
    frame = _checked(files)
    if not provenance or frame.empty:
        return frame
    return pd.concat(_with_provenance(rows, folder / f"{run}.json") for run, rows in frame.groupby("run", sort=False))


def _cells(path: Path) -> list[list[str]]:
    """The cells of a CSV of rows, as text, below its header; InputError if the file isn't such a CSV."""
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable CSV of rows ({type(error).__name__})") from None
    try:  # newline="": a cell may hold characters at which str.splitlines would cut it
        header, *lines = [*csv.reader(io.StringIO(text, newline=""))] or [[]]
    except csv.Error as error:
        raise InputError(f"{path}: not a readable CSV of rows ({error})") from None
    if tuple(header) != COLUMNS:
        raise InputError(f"{path}: line 1 must be {','.join(COLUMNS)}")
    if not text.endswith("\n"):
        raise InputError(f"{path}: line {len(lines) + 1}: cut off; publish the run again")
    for number, line in enumerate(lines, 2):
        if len(line) != len(COLUMNS):
            raise InputError(
                f"{path}: line {number}: {len(line)} cells instead of {len(COLUMNS)}; publish the run again"
            )
    if (runs := len({line[0] for line in lines})) != 1:
        raise InputError(f"{path}: must hold the rows of one run, found {runs}")
    return lines


def _checked(files: Mapping[Path, list[list[str]]]) -> pd.DataFrame:
    """The rows of several files' cells, concatenated, with their types; InputError for the first impossible row."""
    places = [f"{path}: line {number}" for path, lines in files.items() for number in range(2, len(lines) + 2)]
    cells = pd.DataFrame(list(chain(*files.values())), index=places, columns=list(COLUMNS), dtype="str")
    frame = _typed(cells)
    _check_values(frame)
    twice = frame.duplicated(["run", "distortion", "level", "metric"])
    if twice.any():
        row = frame[twice].iloc[0]
        raise InputError(f"{row.name}, {row_id(row).removeprefix(row['run'] + ':')}: is there twice")
    return frame.reset_index(drop=True)


def _typed(cells: pd.DataFrame) -> pd.DataFrame:
    """A frame of text, indexed by places in the files, with rows' types; InputError for a cell of another type."""
    typed = cells.copy()
    for column, kind in TYPES.items():
        empty = cells[column] == ""
        if column not in MAY_BE_EMPTY:
            _refuse(cells, column, empty, "must not be empty")
        if kind in ("int64", "Int64"):
            digits = cells[column].str.fullmatch("[0-9]{1,18}")
            _refuse(cells, column, ~empty & ~digits, "must be a whole number from 0 on")
        if kind == "float64":
            finite = np.isfinite(pd.to_numeric(cells[column], errors="coerce"))
            _refuse(cells, column, ~empty & ~finite, "must be a finite number")
        if kind != "str":
            typed[column] = pd.to_numeric(cells[column].where(~empty))
    return typed.astype(TYPES)


def _check_values(frame: pd.DataFrame) -> None:
    """InputError for the first row whose value, count and total contradict each other."""
    value, count, total = (frame[name] for name in ("value", "count", "total"))
    of_none = (total == 0).fillna(False)
    _refuse(frame, "value", value.isna() & ~of_none, "only a fraction of 0 images may be empty")
    outside = value.notna() & ~value.between(0, 1) & frame["metric"].isin(FRACTIONS)
    _refuse(frame, "value", outside, "{metric} must lie between 0 and 1")
    too_many = count.notna() & ~(count <= total).fillna(False)
    _refuse(frame, "count", too_many, "must be at most the total ({total})")
    share = (count / total.where(~of_none)).astype("float64")
    unequal = share.notna() & ~np.isclose(value, share, rtol=0, atol=1e-6)
    _refuse(frame, "value", unequal, "isn't count / total ({count} / {total})")


def _refuse(frame: pd.DataFrame, column: str, refused: pd.Series, why: str) -> None:
    """InputError for the first refused row, with its place, its cell and the reason (which has columns in braces)."""
    if refused.any():
        row = {str(name): "" if pd.isna(cell) else cell for name, cell in frame[refused].iloc[0].items()}
        shown = repr(row[column]) if isinstance(row[column], str) else f"{row[column]:g}"
        raise InputError(f"{frame[refused].index[0]}, {column} = {shown}: {why.format(**row)}")


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


def row_id(row: Mapping[Any, Any] | pd.Series) -> str:
    """The name by which a row is audited: RUN:DISTORTION@LEVEL/METRIC."""
    return f"{row['run']}:{row['distortion']}@{row['level']}/{row['metric']}"


def measurement(row: Mapping[Any, Any] | pd.Series) -> str:
    """The measurement, "NAME@LEVEL", that a row comes from: of its distortion, or of the maps, or of several networks,
    under that."""
    place = f"{row['distortion']}@{row['level']}"
    if row["metric"] in BETWEEN:
        return f"between@{place}"
    return f"maps@{place}" if str(row["metric"]).removeprefix("grad_") in MAP_METRICS else place


def find_row(name: str, frame: pd.DataFrame | None = None) -> dict[str, Any]:
    """The published row with that id; if there is none, Missing, which names the closest one."""
    frame = load() if frame is None else frame
    for row in frame[frame["run"] == name.partition(":")[0]].to_dict("records"):
        if row_id(row) == name:
            return {str(key): value for key, value in row.items()}
    ids = [row_id(row) for row in frame.to_dict("records")]
    raise Missing(f"row = {name!r}: not published; must be RUN:DISTORTION@LEVEL/METRIC{nearest(name, ids)}")


# --- Predictions ----------------------------------------------------------------------------------------------------


def read_predictions(path: Path) -> dict[str, NDArray[Any]]:
    """Per-image predictions of one run: "DISTORTION@LEVEL/class", ".../last" and so on, and "labels"."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {key: stored[key] for key in stored.files}
    except Exception as error:  # zipfile, zlib and numpy each raise errors of their own
        raise InputError(f"{path}: not a readable file of predictions ({type(error).__name__})") from None
    if "labels" not in found:
        raise InputError(f"{path}: has no labels")
    return found


class Stored(Mapping[str, NDArray[Any]]):
    """The predictions in a file, each read when it is first asked for; InputError if that can't be done."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: dict[str, NDArray[Any]] = {}
        try:
            self.file = np.load(path, allow_pickle=False)  # stays open: its list of contents takes longer than an array
            self.names = dict.fromkeys(self.file.files)
        except Exception as error:  # zipfile, zlib and numpy each raise their own
            raise InputError(f"{path}: not a readable file of predictions ({type(error).__name__})") from None
        if "labels" not in self.names:
            raise InputError(f"{path}: has no labels")

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self.names:
            raise KeyError(name)
        if name not in self.read:
            try:
                self.read[name] = self.file[name]
            except Exception as error:
                raise InputError(f"{self.path}: not a readable file of predictions ({type(error).__name__})") from None
        return self.read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def archive(folder: Path | None = None) -> Archive:
    """A function that gives the published predictions of a run by its name; what was read is kept."""
    folder = folder or results_dir()

    @functools.cache
    def predictions(run: str) -> Predictions:
        path = folder / f"{run}.npz"
        if not path.is_file():
            raise Missing(f"{path}: no such file")
        return Stored(path)

    return predictions


def correct(predictions: Predictions, under: str, attack: str = "last") -> NDArray[np.bool_]:
    """Which test images are classified correctly under "DISTORTION@LEVEL", N booleans.

    For an attack, `attack` says which iterate counts: "last", or "any" (an image is lost once it is fooled).
    """
    if under.startswith("conflict@"):
        raise InputError(f"under = {under!r}: cue-conflict pictures aren't the test images")
    for key, right in ((f"{under}/class", None), (f"{under}/{attack}", True)):
        if key in predictions:
            return np.asarray(predictions[key] == (predictions["labels"] if right is None else right))
    raise Missing(f"under = {under!r}: no predictions")
