"""Accuracy under a distortion against clean accuracy: what ordinary training leads one to expect, and who is above it.

The table and the figure of the claims whose statistic is `effective_robustness` (Taori et al. 2020). Ordinary CIFAR-10
networks of other schedules and widths give a line, in logits, and other networks are judged by their distance from it.
The verdicts come from `quantities`; what is shown here uses the same line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, NullFormatter

from ..errors import Missing
from . import claims, plots, tables, traced
from .quantities import Lookup, expected
from .statistics import t_interval

SETTING = "cifar10"
CLAIMS = {
    "saturation-beyond-accuracy": "saturation",
    "low-pass-beyond-accuracy": "low-pass filters",
    "high-pass-beyond-accuracy": "high-pass filters",
}
PANELS = {"saturation@64": "saturation 64", "low-pass@0.2": "low-pass .2", "high-pass@0.2": "high-pass .2"}
JUDGED = ("main", "weak", "underfit")
NAMES = {"normal": "ordinary training", "underfit": "stopped early"}
TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)


def line_of() -> tuple[str, ...]:
    """The networks through which the claims draw their lines; the same for all three."""
    (line,) = {claims.load()[name].statistic.line for name in CLAIMS}
    return line


def _under() -> tuple[str, ...]:
    """Every distortion that one of the claims or a panel is about."""
    return tuple(dict.fromkeys([u for name in CLAIMS for u in claims.load()[name].statistic.under] + [*PANELS]))


def points(frame: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of the networks of the line and of those judged, a line per network, seed and distortion.

    Columns: name (in the claims' words), model (its own name), seed, under, clean, distorted, rows (ids of these two
    accuracies), expected (NaN unless every network of the seed's line is there), line (ids of the accuracies that the
    line is fitted to). Networks without rows are left out.
    """
    known, ledger, found = traced.without_answers(frame), claims.load(), []
    for seed in known.seeds(ledger.settings[SETTING]):
        look = Lookup(known, ledger, SETTING, seed)
        for under in _under():
            mine = []
            for name in dict.fromkeys([*line_of(), *JUDGED]):
                try:
                    run = look.run(name)
                    clean, distorted = (look.quantity(name, place, "accuracy")[0] for place in ("clean@", under))
                except Missing:
                    continue
                ids = (f"{run}:clean@/accuracy", f"{run}:{under}/accuracy")
                mine.append((name, look.model(name)[0], seed, under, clean, distorted, ids))
            found += _with_expected(mine)
    columns = ["name", "model", "seed", "under", "clean", "distorted", "rows", "expected", "line"]
    return pd.DataFrame(found, columns=columns)


def _with_expected(mine: Sequence[tuple]) -> list[tuple]:
    """Each network of a seed under a distortion, with what the line leads one to expect of it."""
    line = [one for one in mine if one[0] in line_of()]
    if len(line) < len(line_of()):
        return [(*one, np.nan, ()) for one in mine]
    clean, distorted = (np.array([one[place] for one in line]) for place in (4, 5))
    ids = tuple(id_ for one in line for id_ in one[6])
    return [(*one, float(expected(clean, distorted, np.asarray(one[4]))), ids) for one in mine]


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """For each claim's distortions, the networks judged: accuracy, what their clean accuracy leads one to expect, and
    the difference, in per cent, means over the claim's levels and over seeds. Empty where no seed's line is whole."""
    found = points(frame).dropna(subset=["expected"])
    lines = []
    for claim, title in CLAIMS.items():
        levels = claims.load()[claim].statistic.under
        here = found[found["under"].isin(levels)]
        for name in JUDGED:
            mine = here[here["name"] == name]
            mine = mine[mine.groupby("seed")["under"].transform("nunique") == len(levels)]  # as the verdict has it
            if mine.empty:
                continue
            seeds = mine.groupby("seed")[["clean", "distorted", "expected"]].mean()
            clean, distorted = (list(dict.fromkeys(pair[place] for pair in mine["rows"])) for place in (0, 1))
            line_ids = list(dict.fromkeys(one for ids in mine["line"] for one in ids))
            beyond = tables.Cell(
                _signed(100 * (seeds["distorted"] - seeds["expected"])), [*clean, *distorted, *line_ids]
            )
            model = str(mine["model"].iloc[0])
            lines.append(
                {
                    "data set": f"CIFAR-10 under {title}",
                    "network": NAMES.get(model, model),
                    "clean": _mean(seeds["clean"], clean),
                    "distorted": _mean(seeds["distorted"], distorted),
                    "expected": _mean(seeds["expected"], [*clean, *line_ids]),
                    "beyond": beyond,
                    "seeds": str(len(seeds)),
                }
            )
    return tables.frame_of(lines)


def _mean(values: pd.Series, ids: Sequence[str]) -> tables.Cell:
    return tables.Cell(f"{100 * values.mean():.1f}", ids)


def _signed(points: pd.Series) -> str:
    """A mean over seeds with its 95 % interval, of three seeds or more: "+4.2 [+1.0, +7.4]"."""
    low, high = t_interval(points)
    ends = "" if low != low else f" [{low:+z.1f},\u00a0{high:+z.1f}]"
    return f"{points.mean():+z.1f}{ends}".replace("-", "−")


def figure(found: pd.DataFrame) -> plots.Drawing:
    """Accuracy under each of PANELS against clean accuracy, on logit axes: a dot per network and seed, and a line for
    each seed whose ordinary networks are all there. found: of `points`."""
    found = found[found["under"].isin(PANELS)]
    if found.empty:
        return plots.not_run()
    with plots.sheet(1, len(PANELS), 3.0 * len(PANELS), 3.9, sharex=True) as (drawing, axes):
        for axis, (under, title) in zip(axes[0], PANELS.items(), strict=True):
            here = found[found["under"] == under]
            for _, mine in here[here["expected"].notna()].groupby("seed"):
                line = mine[mine["name"].isin(line_of())]
                at = np.linspace(found["clean"].min(), found["clean"].max(), 50)
                drawn = [float(expected(line["clean"].to_numpy(), line["distorted"].to_numpy(), x)) for x in at]
                axis.plot(at, drawn, color="#bbbbbb", linewidth=1)
            for model, (colour, (_, marker)) in plots.strokes(list(dict.fromkeys(here["model"]))).items():
                mine = here[here["model"] == model]
                look = {"color": colour, "markersize": 6, "alpha": 0.8, "label": NAMES.get(model, model)}
                axis.plot(mine["clean"], mine["distorted"], marker, **look)
            axis.set(xscale="logit", yscale="logit", xlabel="accuracy on clean pictures")
            for side, values in ((axis.xaxis, found["clean"]), (axis.yaxis, here["distorted"])):
                side.set_ticks([t for t in TICKS if values.min() - 0.05 <= t <= values.max() + 0.05])
                side.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.1f}".lstrip("0")))
                side.set_minor_formatter(NullFormatter())
                side.set_ticks([], minor=True)
            axis.set_title(title, fontsize=11)
        axes[0, 0].set_ylabel("accuracy on changed pictures")
        drawing.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=10)
    return drawing
