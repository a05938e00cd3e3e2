"""The worked example of the book: two networks that are not ResNets, from results/own/; and how long yours takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ... import evaluation
from ...campaign import plan
from ...configuration import Config
from ...files import read_json, results_dir
from ...rows import load
from .. import claims, tables
from .beside import outside, standing

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
                f"{name} stands at": _place(cell),
            }
        lines.append(line)
    return pd.DataFrame(lines)


def _place(cell: Mapping[Any, Any]) -> str:
    place = cell["stands"]
    return outside(cell["low"], cell["high"]) if place != place else f"{round(place, 1) + 0.0:.1f}".replace("-", "−")


def sentence(names: Sequence[str]) -> str:
    """What the worked examples rely on, in words with their numbers."""
    biases, kept, ours = [], [], ("", "")
    for name in names:
        table = standing(published(name)).set_index(["under", "metric"]).to_dict("index")
        bias, shuffled = table["conflict@", "shape_bias"], table["patch-shuffle@4", "conditional"]
        biases.append(f"{bias['value']:.2f}")
        kept.append(f"{100 * shuffled['value']:.0f} %")
        ours = tables.dash(bias["normal"], "{:.2f}"), tables.dash(100 * shuffled["normal"], "{:.0f} %")
    both = " and ".join(names)
    return (
        f"Where cues conflict, {both} have a shape bias of {' and '.join(biases)}; this report's normal networks have "
        f"{ours[0]}. Cut into 4 × 4 patches and shuffled, {both} keep {' and '.join(kept)} of what they know; our "
        f"normal networks keep {ours[1]}. What a normally trained network relies on thus also depends on architecture "
        "or recipe (another optimiser, another length; one seed each), on this data set at least."
    )


USUAL = 64  # channels of a usual ResNet-18's first stage
COSTLY = ("pgd-linf@", "maps@")  # what takes most of the time


def how_long(dataset: str) -> str:
    """How long everything that a network from elsewhere is shown took for this report's networks, in sentences.

    dataset: by name. From the records of the published networks of its setting: the seconds of each measurement, of
    those that nobody has to ask for by name and that need no stylised test set and no attack from training.
    """
    setting = claims.load().settings[dataset]
    rows = load()
    rows = rows[(rows["dataset"] == dataset) & (rows["recipe"] == setting.recipe) & (rows["width"] == setting.width)]
    about = [read_json(results_dir() / f"{run}.json") for run in sorted(rows["run"].unique())]
    seconds = [
        {place: float(measured[place]["seconds"]) for place in _usual(record["config"]) if place in measured}
        for record in about
        for measured in [record["evaluation"]["measurements"]]
    ]
    most = max(len(of_each) for of_each in seconds)
    seconds = [of_each for of_each in seconds if len(of_each) == most]  # some networks are measured in part
    minutes = sorted(sum(of_each.values()) / 60 for of_each in seconds)
    costly = sum(s for of_each in seconds for place, s in of_each.items() if place.startswith(COSTLY))
    share = 100 * costly / (60 * sum(minutes))
    places = {place for of_each in seconds for place in of_each}
    config = Config(**about[0]["config"])
    here, usual = (plan.operations(plan.architecture(config)._replace(width=w)).forwards for w in (config.width, USUAL))
    count = plan.sizes()[dataset].test
    return (
        f"All {len(places)} measurements of the {count:,} test pictures took {minutes[0]:.0f} to {minutes[-1]:.0f} "
        f"minutes for each of this report's {len(seconds)} ResNet-18s of width {config.width} on one processor thread, "
        f"{share:.0f} % of it for the attack and the maps. The time grows with your network's forward pass: a "
        f"ResNet-18 of the usual width {USUAL} needs {usual / here:.0f} times as many operations. It shrinks with "
        "`limit`, in proportion."
    )


def _usual(config: dict[str, Any]) -> list[str]:
    """What is measured of a network from elsewhere on the same pictures."""
    expected = evaluation.expected(Config(**config))
    return [place for place in expected if "stylised@" not in place and not place.startswith("trained-attack@")]
