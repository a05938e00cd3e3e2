"""The worked example of the book: two networks that are not ResNets, from results/own/."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ...files import results_dir
from .. import tables
from .beside import standing

SHOWN = (
    ("clean@", "accuracy"), ("pgd-linf@8", "conditional"), ("conflict@", "shape_bias"), ("conflict@", "coverage"),
    ("saturation@8", "conditional"), ("saturation@1024", "conditional"), ("patch-shuffle@2", "conditional"),
    ("patch-shuffle@4", "conditional"), ("low-pass@0.2", "conditional"), ("high-pass@0.2", "conditional"),
    ("clean@", "gini"), ("clean@", "edge_correlation"), ("clean@", "high_frequency"),
)  # fmt: skip


def published(name: str) -> Path:
    """The folder of a worked example's measurements, results/own/NAME."""
    return results_dir() / "own" / name


def side_by_side(names: Sequence[str]) -> pd.DataFrame:
    """SHOWN of the worked examples, and where each stands, beside this report's networks."""
    found = {name: standing(published(name)).set_index(["under", "metric"]).to_dict("index") for name in names}
    lines = []
    for place, metric in SHOWN:
        line = {"under": place.removesuffix("@").replace("@", " "), "measured": metric.replace("_", " ")}
        cells = {name: table[place, metric] for name, table in found.items()}
        first = next(iter(cells.values()))
        line |= {"normal": tables.dash(first["normal"], "{:.2f}")}
        line |= {"adversarially trained": tables.dash(first["main"], "{:.2f}")}
        for name, cell in cells.items():
            line |= {
                name: f"{cell['value']:.2f}",
                f"{name} stands at": tables.dash(round(cell["stands"], 1) + 0.0, "{:.1f}"),
            }
        lines.append(line)
    return pd.DataFrame(lines)


def sentence(names: Sequence[str]) -> str:
    """What the worked examples rely on, in words with their numbers."""
    parts, normal = [], ""
    for name in names:
        table = standing(published(name)).set_index(["under", "metric"]).to_dict("index")
        bias, shuffled = table["conflict@", "shape_bias"], table["patch-shuffle@4", "conditional"]
        parts.append(f"{name} has a shape bias of {bias['value']:.2f} and keeps {100 * shuffled['value']:.0f} %")
        normal = f"{tables.dash(bias['normal'], '{:.2f}')} and {tables.dash(100 * shuffled['normal'], '{:.0f} %')}"
    return (
        f"On the cue conflict and under patch-shuffling 4×4: {'; '.join(parts)} of what it knows. This report's normal "
        f"networks: {normal}. What a normally trained network relies on thus also depends on architecture or "
        "recipe (another optimiser, another length; one seed each), on this data set at least."
    )
