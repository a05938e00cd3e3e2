"""What each distortion leaves of shape and of texture, in tables and sentences: the lines of `campaign.destroyed`."""

from __future__ import annotations

import pandas as pd

from .. import style, transforms
from ..campaign import destroyed
from . import statistics
from .claims import Setting
from .rule import NOT_RUN
from .tables import Cell, frame_of, one_cell, setting

DESTROYED_ON = ("shapes", "cifar10", "caltech101")  # data sets of that page, in its order


def every_place() -> list[tuple[str, str]]:
    """(distortion, level) for everything that is done to pictures, in the order of the page's tables."""
    found = [(name, level) for name, distortion in transforms.DISTORTIONS.items() for level in distortion.levels]
    return found + [("stylised", level) for level in style.LEVELS]


def of_setting(at: Setting, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """The lines about a setting's pictures: of its data set, at its side.

    frame: of `destroyed.load` (None: the published).
    """
    found = destroyed.load() if frame is None else frame
    sides = found["side"].map(lambda side: at.recipe is None or f"side{side}" in at.recipe.split("-"))
    return found[(found["dataset"] == at.dataset) & sides.astype(bool)]


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """What each distortion leaves of shape and of texture on each data set. frame: of `destroyed.load`."""
    lines = []
    for name, level in (("other", ""), *every_place()):
        line: dict[str, object] = {"distortion": "another picture" if name == "other" else f"{name} {level}"}
        for dataset in DESTROYED_ON:
            for metric in destroyed.METRICS:
                mine = frame[(frame["dataset"] == dataset) & (frame["metric"] == metric)]
                cell = mine[(mine["distortion"] == name) & (mine["level"] == level)]
                line[f"{dataset}: {metric}"] = mean_cell(cell) if name != "stylised" or dataset != "shapes" else "–"
        lines.append(line)
    return frame_of(lines)


def mean_cell(lines: pd.DataFrame) -> Cell:
    """The mean of a line of `destroyed.load` and half the width of its interval."""
    if lines.empty:
        return Cell(NOT_RUN)
    line = lines.iloc[0]
    half = (line["high"] - line["low"]) / 2
    return Cell(f"{line['value']:.2f}\u00a0±\u00a0{half:.2f}", [destroyed.row_id(line)])  # on one line


def panels(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """For `plots.kept`: texture (x) and shape (y) that each distortion leaves, by data set."""
    found = {}
    for dataset in DESTROYED_ON:
        mine = frame[frame["dataset"] == dataset]
        x, y = (
            mine.loc[mine["metric"] == metric, ["distortion", "level", "value"]].rename(columns={"value": axis})
            for metric, axis in (("texture", "x"), ("shape", "y"))
        )
        found[dataset] = x.merge(y, on=["distortion", "level"])  # in the order of the levels
    return found


def filters_sentence(frame: pd.DataFrame, dataset: str = "cifar10") -> str:
    """What the filters of the claims on frequencies leave of a picture's edges, and what that means, in Markdown."""
    mine = panels(frame)[dataset].set_index(["distortion", "level"])["y"]
    left = {name: [mine[name, level] for level in ("0.1", "0.2")] for name in ("low-pass", "high-pass")}
    low, high = (f"{_plain(a)} and {_plain(b)}" for a, b in left.values())
    said = (
        "By the correlation of edges that [methods](methods.html) describes, the low-pass filter leaves "
        f"{low} of the outlines on CIFAR-10, and the high-pass filter {high} (cut-offs .1 and .2)."
    )
    if max(left["low-pass"]) >= min(left["high-pass"]):
        return said
    return (
        f"{said} So by this measure networks trained against attacks are ahead where most of the edges are gone and "
        "behind where most of them are left."
    )


def filters_on_shapes(frame: pd.DataFrame, level: str = "0.2") -> str:
    """The same on `shapes`, where the page goes on with what networks that know one cue alone recognise."""
    mine = panels(frame)["shapes"].set_index(["distortion", "level"])["y"]
    low, high = (mine[name, level] for name in ("low-pass", "high-pass"))
    milder = "high-pass" if high > low else "low-pass"
    return (
        f"This measure can mislead. On `shapes`, too, it makes the {milder} filter the milder one: at "
        f"{_plain(float(level), 1)} the edges that are left correlate with the original's at {_plain(low)} under the "
        f"low-pass filter and at {_plain(high)} under the high-pass filter."
    )


def _plain(value: float, digits: int = 2) -> str:
    """A share as the text writes it: .58."""
    return f"{value:.{digits}f}".replace("0.", ".", 1)


def single_cue_accuracy(frame: pd.DataFrame) -> pd.DataFrame:
    """Accuracy under every distortion of networks that can use one cue alone, on `shapes` at the main amplitude.

    By distortion and level, "clean" first: distortion, level, and for each cue (shape, texture) the runs' rows.
    """
    lines = []
    rows = {}
    for cue in ("shape", "texture"):
        at = setting(f"shapes-{cue}")
        mine = frame[(frame["dataset"] == at.dataset) & (frame["recipe"] == at.recipe) & (frame["model"] == "normal")]
        rows[cue] = mine[mine["metric"] == "accuracy"]
    for name, level in (("clean", ""), *every_place()):
        cells = {cue: r[(r["distortion"] == name) & (r["level"] == level)] for cue, r in rows.items()}
        if name != "stylised":
            lines.append({"distortion": name, "level": level, **cells})
    return pd.DataFrame(lines, dtype=object)


def single_cue_table(found: pd.DataFrame) -> pd.DataFrame:
    """`single_cue_accuracy` for readers: means over seeds with 95 % t-intervals, in per cent."""
    return frame_of(
        {"distortion": f"{line['distortion']} {line['level']}".strip()}
        | {f"{cue} alone": one_cell(line[cue]) for cue in ("shape", "texture")}
        for line in found.to_dict("records")
    )


def single_cue_panel(found: pd.DataFrame) -> pd.DataFrame:
    """For `plots.kept`: mean accuracy of the texture-only (x) and the shape-only networks (y)."""
    points = [
        {"distortion": line["distortion"], "level": line["level"]}
        | {axis: line[cue]["value"].mean() for axis, cue in (("x", "texture"), ("y", "shape"))}
        for line in found.to_dict("records")
    ]
    return pd.DataFrame(points, columns=["distortion", "level", "x", "y"]).dropna()


def proxies_sentence(found: pd.DataFrame, frame: pd.DataFrame) -> str:
    """How well the two measures on pictures predict what single-cue networks can still do, where both are known."""
    guess = panels(frame)["shapes"]
    both = single_cue_panel(found).merge(guess, on=["distortion", "level"], suffixes=("_truth", ""))
    if len(both) < 3:
        return f"Whether the two measures follow what single-cue networks can still do: {NOT_RUN}."
    shape, texture = (statistics.spearman(list(both[f"{axis}_truth"]), list(both[axis])) for axis in ("y", "x"))
    return (
        f"Over the {len(both)} distortions and levels, the rank correlation (Spearman) of our number for shape with "
        f"the accuracy of the shape-only networks is {shape:.2f}, and of our number for texture with the accuracy of "
        f"the texture-only networks {texture:.2f}."
    )
