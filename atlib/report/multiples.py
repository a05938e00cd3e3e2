"""Figures of the three networks that the argument compares: small multiples with bands and labels at the lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from . import core, plots
from .palette import FAMILIES, family

COLOURS = {
    "normal": FAMILIES["normal"],
    "underfit": FAMILIES["underfit"],
    "main": FAMILIES["pgd-linf"],
}
YARDSTICKS = {"edges": ("|", "edges of the picture"), "untrained": ("x", "random weights")}


def curves(
    panels: Mapping[str, pd.DataFrame],
    labels: tuple[str, str],
    order: Sequence[str],
    ticks: Mapping[str, str] | None = None,
    unchanged: str = "",
) -> plots.Drawing:
    """Accuracy against level, one panel per data set, one line per network with its band.

    The band is the 95 % t-interval over three seeds or more; where there are fewer, faint dots show the single seeds.

    panels: of `core.panels`; labels: of the axes; order: all levels, equally spaced; ticks: those that are named, as
    shown (default: all); unchanged: the level that changes nothing, marked by a dotted line.
    """
    if not panels:
        return plots.not_run()
    shown = dict(ticks) if ticks else {level: level for level in order}
    long = max(map(len, shown.values())) > 5  # the ticks' names are then tilted, and the panels lower
    with plots.sheet(1, len(panels), 2.35 * len(panels) + 1.2, 3.0, sharey=True, sharex=True) as (figure, axes):
        for axis, (title, found) in zip(axes[0], panels.items(), strict=True):
            placed = found.assign(place=found["level"].map(order.index))
            if unchanged:
                axis.axvline(order.index(unchanged), color="#888888", linestyle=":", linewidth=1)
            given: dict[str, Any] = {"x": "place", "y": "value", "hue": "role", "palette": COLOURS, "legend": False}
            line: dict[str, Any] = {"errorbar": plots.interval, "linewidth": 1.8, "marker": "o", "markersize": 3.5}
            seaborn.lineplot(placed, ax=axis, **line, **given)
            few = placed[placed.groupby("role")["seed"].transform("nunique") == 2]
            if len(few):
                seaborn.scatterplot(few, ax=axis, s=14, alpha=0.45, linewidth=0, **given)
            axis.set(ylim=(-0.02, 1.02), xlabel=labels[0], ylabel=labels[1])
            axis.set_title(title, fontsize=11)
            axis.set_xticks([order.index(level) for level in shown], list(shown.values()), fontsize=9)
            if long:
                axis.tick_params(axis="x", rotation=35)
                for text in axis.get_xticklabels():
                    text.set(ha="right", rotation_mode="anchor")
        _name_lines(axes[0, -1], placed, apart=0.29 if long else 0.17)
    return figure


def _name_lines(axis: Axes, placed: pd.DataFrame, apart: float) -> None:
    """Write each network's name beside the end of its line, with room between the names."""
    last = placed[placed["place"] == placed["place"].max()].groupby("role")["value"].mean().sort_values()
    heights = list(last)
    for n in range(1, len(heights)):  # push a name up that would lie on the one below it
        heights[n] = max(heights[n], heights[n - 1] + apart)
    too_high = max(0.0, heights[-1] - 0.97)
    for (role, _), height in zip(last.items(), heights, strict=True):
        text = core.ROLES[str(role)].replace(" against", "\nagainst").replace("stopped ", "stopped\n")
        at = (1.04, (height - too_high + 0.02) / 1.04)
        axis.annotate(text, at, xycoords="axes fraction", color=COLOURS[str(role)], va="center", fontsize=10)


def map_dots(found: pd.DataFrame, titles: Mapping[str, str]) -> plots.Drawing:
    """Statistics of saliency maps: one panel per statistic, one line per data set, a dot with its interval per network.

    found: of `core.map_points`; titles: of the metrics, in order.
    """
    if found.empty:
        return plots.not_run()
    sets = list(dict.fromkeys(found["on"]))
    kinds = [role for role in (*core.ROLES, *YARDSTICKS) if role in set(found["role"])]
    with plots.sheet(1, len(titles), 2.7 * len(titles) + 0.9, 1.15 * len(sets) + 1.3, sharey=True) as (figure, axes):
        for axis, (metric, title) in zip(axes[0], titles.items(), strict=True):
            for number, role in enumerate(kinds):
                if (metric, role) == ("edge_correlation", "edges"):
                    continue  # it is 1 by definition
                mine = found[(found["metric"] == metric) & (found["role"] == role)]
                y = np.array([-sets.index(one) for one in mine["on"]]) + 0.14 * ((len(kinds) - 1) / 2 - number)
                if role in YARDSTICKS:
                    marker, name = YARDSTICKS[role]
                    axis.plot(mine["mean"], y, marker, color="#888888", markersize=8, label=name)
                    continue
                axis.hlines(y, mine["low"], mine["high"], color=COLOURS[role], linewidth=1.6)
                axis.plot(mine["mean"], y, "o", color=COLOURS[role], markersize=6, label=core.ROLES[role])
            axis.set_title(title, fontsize=11)
            axis.set_yticks([-n for n in range(len(sets))], sets)
            axis.grid(axis="y", visible=False)
            axis.margins(x=0.08)
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(kinds), fontsize=9)
    return figure


def accuracies(panels: Mapping[str, pd.DataFrame], titles: tuple[str, str] = ("ours", "the paper's")) -> plots.Drawing:
    """Clean accuracy against accuracy under attack of all networks, ours filled and the paper's hollow, by family.

    panels: by title, of `core.clean_and_robust`; titles: of the two kinds of mark.
    """
    if not panels:
        return plots.not_run()
    with plots.sheet(1, len(panels), 3.5 * len(panels) + 0.4, 3.9, sharex=True, sharey=True) as (figure, axes):
        for axis, (title, found) in zip(axes[0], panels.items(), strict=True):
            for line in found.to_dict("records"):
                colour = FAMILIES[family(line["model"])]
                fill = colour if line["whose"] == "ours" else "none"
                axis.plot(line["clean"], line["robust"], "o", color=colour, markerfacecolor=fill, markersize=7)
                if line["whose"] == "ours":
                    left = line["model"] == "underfit"  # its dot is close to the normal network's, at the right of it
                    where: dict[str, Any] = {"xytext": (-4 if left else 4, 6), "ha": "right" if left else "left"}
                    at = (line["clean"], line["robust"])
                    axis.annotate(line["model"], at, textcoords="offset points", fontsize=9, **where)
            axis.set_title(title, fontsize=11)
            axis.margins(x=0.15)
            axis.set_xlabel("accuracy on clean pictures")
        axes[0, 0].set_ylabel("accuracy under PGD, 8/255")
        marks = [
            Line2D([], [], marker="o", color="#666666", linestyle="", markerfacecolor=f) for f in ("#666666", "none")
        ]
        figure.legend(marks, titles, loc="outside lower center", ncols=2, fontsize=10)
    return figure
