"""Every class counting alike: accuracy as the mean over classes, from the published answers to each picture.

Caltech-101's classes are of very unequal size: five of them hold a third of the test pictures. What is true of the mean
over pictures may be true of these five alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..errors import Missing
from ..rows import Archive, Predictions, archive, correct, load
from . import claims
from .statistics import t_interval
from .tables import in_setting

UNDER = ("clean@", "saturation@1024", "low-pass@0.2", "high-pass@0.2", "patch-shuffle@2", "patch-shuffle@4")
LARGEST = 5  # classes of Caltech-101, which hold a third of its test pictures
FEWEST = 3  # pictures that both networks know of a class, for it to count under a distortion


def class_mean(right: np.ndarray, labels: np.ndarray, among: np.ndarray | None = None, fewest: int = 1) -> float:
    """The mean over classes of the share of pictures for which `right` (bool N) is true; NaN if no class counts.

    among: the pictures that count (bool N, None: all); fewest: of them that a class needs, to count itself.
    """
    among = np.ones(len(labels), bool) if among is None else among
    total = np.bincount(labels[among])
    hits = np.bincount(labels[among], weights=right[among])
    counts = total >= fewest
    return float((hits[counts] / total[counts]).mean()) if counts.any() else math.nan


def difference(mine: Predictions, reference: Predictions, under: str) -> tuple[float, float, float]:
    """First less second network under a distortion: the mean over pictures, over classes, and over the pictures of all
    but the LARGEST classes.

    Clean pictures all count; distorted ones if both know them clean (class mean: classes with FEWEST or more).
    """
    labels = np.asarray(mine["labels"])
    known, fewest = np.ones(len(labels), bool), 1
    if under != "clean@":
        known, fewest = correct(mine, "clean@") & correct(reference, "clean@"), FEWEST
    pair = [correct(said, under) for said in (mine, reference)]
    small = known & ~np.isin(labels, np.argsort(-np.bincount(labels), kind="stable")[:LARGEST])
    whole, rest = ([float(right[among].mean()) for right in pair] for among in (known, small))
    of_classes = [class_mean(right, labels, known, fewest) for right in pair]
    return whole[0] - whole[1], of_classes[0] - of_classes[1], rest[0] - rest[1]


def differences(
    dataset: str = "caltech101", predictions: Archive | None = None, frame: pd.DataFrame | None = None
) -> pd.DataFrame:
    """The main adversarially trained network less the normal one, seed by seed, counted in both ways.

    Columns: under, seed, pictures (mean over pictures), classes (mean over classes), rest (over the pictures of all but
    the LARGEST classes), as fractions. Empty without runs.
    """
    predictions, frame = predictions or archive(), load() if frame is None else frame
    at = claims.load().settings[dataset]
    here = in_setting(frame, at)[["run", "model", "seed"]].drop_duplicates()
    runs: Mapping[tuple[str, int], str] = {
        (str(model), int(seed)): str(run) for run, model, seed in here.itertuples(index=False)
    }
    lines = []
    for seed in sorted(seed for model, seed in runs if model == at.main and ("normal", seed) in runs):
        for under in UNDER:
            try:
                pair = difference(predictions(runs[at.main, seed]), predictions(runs["normal", seed]), under)
            except Missing:
                continue
            lines.append((under, seed, *pair))
    return pd.DataFrame(lines, columns=["under", "seed", "pictures", "classes", "rest"])


def _points(values: pd.Series) -> str:
    """A mean over seeds in points with Student's interval; the values themselves where they are too few for one."""
    low, high = t_interval(values)
    if math.isnan(low):
        return ", ".join(f"{100 * value:+.1f}" for value in values).replace("-", "−")
    return f"{100 * values.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]".replace("-", "−")


def table(found: pd.DataFrame) -> pd.DataFrame:
    """A line for each distortion: the effect in points, counted in each of the three ways."""
    ways = {
        "pictures": "over pictures",
        "classes": "every class equally",
        "rest": f"without the {LARGEST} largest classes",
    }
    lines = []
    for under in dict.fromkeys(found["under"]):
        mine = found[found["under"] == under]
        name, _, level = under.partition("@")
        line: dict[str, object] = {"under": f"{name} {level}".strip()}
        line |= {title: _points(mine[way]) for way, title in ways.items()}
        lines.append(line | {"seeds": len(mine)})
    return pd.DataFrame(lines, columns=["under", *ways.values(), "seeds"])


def largest(labels: np.ndarray, count: int = LARGEST) -> float:
    """The share of pictures that the largest classes hold."""
    return float(np.sort(np.bincount(labels))[::-1][:count].sum() / len(labels))


def sentence(found: pd.DataFrame, labels: np.ndarray) -> str:
    """What changes if every class counts alike: how much the five largest hold, and which effects change their sign."""
    if found.empty:
        return "Not measured yet."
    means = found.groupby("under", sort=False)[["pictures", "classes"]].mean()
    turned = [under for under, pair in means.iterrows() if pair["pictures"] * pair["classes"] < 0]
    place = int((means["classes"] - means["pictures"]).abs().to_numpy().argmax())
    furthest, line = means.index[place], means.iloc[place]
    one, two = (f"{100 * line[way]:+.1f}".replace("-", "−") for way in ("pictures", "classes"))

    def name(under: object) -> str:
        return str(under).replace("@", " ").strip()

    sign = f"The sign changes under {', '.join(map(name, turned))}." if turned else "No sign changes."
    return (
        f"The {LARGEST} largest classes hold {100 * largest(labels):.0f} % of the test pictures. If every class counts "
        f"equally, the effect moves furthest under {name(furthest)}, from {one} to {two} points. {sign}"
    )
