"""Cue conflict on photographs: what the networks answer where the content is of one class and the style of another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..rows import row_id
from . import core, tables
from .rule import NOT_RUN
from .statistics import wilson

SETTING = "caltech101-cues"
RARE = 0.05  # share of answers by style below which the style can't be said to carry its class
METRICS = ("shape_accuracy", "texture_accuracy", "coverage", "shape_bias")


def found(frame: pd.DataFrame) -> pd.DataFrame:
    """One line per network and seed: model, role, seed, pictures, a column for each of METRICS with its value, and
    low and high, Wilson's 95 % interval of the shape bias over the pictures that are answered by either class; rows."""
    mine = tables.in_main_setting(frame, SETTING)
    mine = mine[(mine["distortion"] == "conflict") & mine["metric"].isin(METRICS)]
    roles = core.roles(SETTING)
    lines = []
    for (model, seed), group in mine.groupby(["model", "seed"], sort=True):
        rows = {row["metric"]: row for row in group.to_dict("records")}
        if model not in roles or set(rows) != set(METRICS):
            continue
        bias = rows["shape_bias"]
        low, high = wilson(int(bias["count"]), int(bias["total"]))
        line = {
            "model": model,
            "role": core.ROLES[roles[model]],
            "seed": seed,
            "pictures": int(rows["coverage"]["total"]),
        }
        line |= {name: rows[name]["value"] for name in METRICS}
        lines.append(line | {"low": low, "high": high, "rows": tuple(map(row_id, rows.values()))})
    columns = ["model", "role", "seed", "pictures", *METRICS, "low", "high", "rows"]
    order = list(roles)
    some = pd.DataFrame(lines, columns=columns)
    return some.sort_values(["seed", "model"], key=lambda c: c.map(order.index) if c.name == "model" else c)


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """`found` as a page shows it, in per cent; shape bias as a share with its interval."""
    lines = []
    for line in found(frame).to_dict("records"):
        neither = 1 - line["coverage"]
        shares = {
            "by content, %": line["shape_accuracy"],
            "by style, %": line["texture_accuracy"],
            "by neither, %": neither,
        }
        bias = f"{line['shape_bias']:.2f} [{line['low']:.2f}, {line['high']:.2f}]"
        lines.append(
            {"network": line["role"], "seed": str(line["seed"])}
            | {name: tables.percent(share) for name, share in shares.items()}
            | {"shape bias": tables.Cell(bias, line["rows"])}
        )
    return tables.frame_of(lines)


def sentence(frame: pd.DataFrame) -> str:
    """How often the networks name the class of the style at all, in Markdown; empty if nothing has been run."""
    some = found(frame)
    if some.empty:
        return ""
    most = some["texture_accuracy"].max()
    ends = some.groupby("model").agg(low=("low", "min"), high=("high", "max"))  # of all seeds of a network
    apart = ends["low"].max() > ends["high"].min()
    verdict = "tells the networks apart" if apart else "doesn't tell the networks apart"
    why = (
        "They recognise the content, or say something else. So at this strength the style of another photograph hardly "
        "ever carries its class, and the test can't say whether there is a bias towards texture to be weakened. "
        if most < RARE
        else ""
    )
    least = math.ceil(round(1000 * most, 6)) / 10  # rounded up, as it is a bound
    return (
        f"No network names the class of the style for more than {least:.1f} % of the pictures. {why}The test {verdict}."
    )


def strengths(some: pd.DataFrame, about: Mapping[str, Mapping[str, Any]]) -> str:
    """The strength of the style in the records of the runs behind `found`'s lines, as text: ".75"."""
    runs = dict.fromkeys(id.partition(":")[0] for rows in some["rows"] for id in rows)
    used = {about[run]["evaluation"]["measurements"]["conflict@"]["cues"]["strength"] for run in runs}
    return " or ".join(f"{strength:g}".lstrip("0") for strength in sorted(used))


def html(frame: pd.DataFrame, about: Mapping[str, Mapping[str, Any]]) -> str:
    """The table with its caption; one line that says so where nothing has been run. about: `tables.records()`."""
    some = found(frame)
    if some.empty:
        return f"<p>Cue conflict on photographs: <strong>{NOT_RUN}</strong>.</p>"
    seeds = sorted(set(some["seed"]))
    which = f"seed {seeds[0]} alone" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"
    return tables.html(
        table(frame),
        f"What networks answer to {some['pictures'].iloc[0]:,} Caltech-101 test photographs (112 pixels), each in the "
        f"style of a photograph of another class; {which}. (Seed 1's weights were not kept, and seed 4 was trained "
        "for this test when seed 2's answers were known.) Shape bias: answers by content among those by either class, "
        "with Wilson's 95 % interval over pictures. Style by the network of Ghiasi et al. at strength "
        f"{strengths(some, about)} of 1, which was fixed by the normal network's coverage before any other network saw "
        "a picture.",
    )
