"""The page about a network from elsewhere: what was measured, and where it stands between this report's networks.

page = report.own.write(own.evaluate(about))             # report.html in the folder of its measurements
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..files import atomic, read_json, results_dir
from ..rows import Predictions, archive, load, read_predictions, read_rows
from . import claims, tables
from .statistics import conditional, wilson

APART = 0.05  # what this report's two networks must differ by, for a third to stand between them
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:.9em}"
    "th,td{padding:.2em .7em;text-align:left;border-bottom:1px solid #ddd}"
    "caption{text-align:left;padding:.5em 0}.rows-scroll{overflow-x:auto}"
)


def _quantities(rows: pd.DataFrame, predictions: Predictions) -> dict[tuple[str, str], float]:
    """(place, metric) to value: of every row; and conditional accuracy under every distortion of the test images."""
    found = {(f"{row['distortion']}@{row['level']}", row["metric"]): row["value"] for row in rows.to_dict("records")}
    if not any(key.startswith("clean@/") for key in predictions):
        return found
    for place, metric in list(found):
        if metric in ("accuracy", "accuracy_last") and not place.startswith(("clean@", "conflict@")):
            found[place, "conditional"] = conditional(predictions, place).value
    return found


def references(dataset: str, side: str, labels: np.ndarray) -> dict[str, list[dict[tuple[str, str], float]]]:
    """What this report has published of its normal and its main adversarially trained networks on the same pictures.

    side: as own rows' recipe has it, "side112". "normal" and "main" to one table of quantities a seed; empty where
    nothing was published for this data set at this size.
    """
    settings = [s for s in claims.load().settings.values() if s.dataset == dataset and s.recipe]
    setting = next((s for s in settings if side in str(s.recipe).split("-")), None)
    if setting is None:
        return {}
    rows, predictions_of = load(), archive()
    rows = rows[(rows["dataset"] == dataset) & (rows["recipe"] == setting.recipe) & (rows["width"] == setting.width)]
    found: dict[str, list[dict[tuple[str, str], float]]] = {}
    for kind, model in (("normal", "normal"), ("main", setting.main)):
        mine = rows[(rows["model"] == model) & rows["share"].isin([0.0, setting.share])]
        for run, some in mine.groupby("run"):
            predictions = predictions_of(str(run))
            if np.array_equal(predictions["labels"], labels):
                found.setdefault(kind, []).append(_quantities(some, predictions))
    return found if len(found) == 2 else {}


def standing(folder: Path) -> pd.DataFrame:
    """The report's table: what was measured, with intervals, beside this report's networks on the same pictures.

    Columns: under, metric, value, interval (Wilson's over pictures; empty for means), normal, main (means over seeds),
    stands: 0 like the normal one, 1 like the main one; NaN where these differ by less than APART or aren't published.
    Accuracies under distortions are conditional: of the pictures that the network knows when they are clean.
    """
    rows, predictions = read_rows(folder / "rows.csv"), read_predictions(folder / "predictions.npz")
    found = _quantities(rows, predictions)
    beside = references(str(rows["dataset"].iloc[0]), str(rows["recipe"].iloc[0]), predictions["labels"])
    lines = []
    for (place, metric), value in found.items():
        distorted = (place, "conditional") in found
        if metric in ("p_true", "accuracy_any") or (distorted and metric in ("accuracy", "accuracy_last")):
            continue
        interval = _interval(rows, predictions, place, metric)
        line: dict[str, Any] = {"under": place, "metric": metric, "value": value, "interval": interval}
        for kind in ("normal", "main"):
            theirs = [one[place, metric] for one in beside.get(kind, []) if (place, metric) in one]
            line[kind] = float(np.mean(theirs)) if theirs else float("nan")
        apart = line["main"] - line["normal"]
        line["stands"] = (value - line["normal"]) / apart if abs(apart) >= APART else float("nan")
        lines.append(line)
    return pd.DataFrame(lines)


def _interval(rows: pd.DataFrame, predictions: Predictions, place: str, metric: str) -> tuple[float, float] | None:
    """Wilson's interval of a share of pictures; None for a mean."""
    if metric == "conditional":
        return conditional(predictions, place).interval
    row = rows[(rows["distortion"] + "@" + rows["level"] == place) & (rows["metric"] == metric)].iloc[0]
    return None if pd.isna(row["count"]) or not row["total"] else wilson(int(row["count"]), int(row["total"]))


def body(folder: Path) -> str:
    """The report's table and what to know about it, as HTML."""
    table = standing(folder)
    shown = pd.DataFrame(
        {
            "under": table["under"].str.removesuffix("@").str.replace("@", " "),
            "measured": table["metric"].str.replace("_", " "),
            "value": [f"{value:.3f}" for value in table["value"]],
            "95 % interval": ["" if one is None else f"[{one[0]:.3f}, {one[1]:.3f}]" for one in table["interval"]],
            "normal": [tables.dash(value, "{:.3f}") for value in table["normal"]],
            "adversarially trained": [tables.dash(value, "{:.3f}") for value in table["main"]],
            "stands at": [tables.dash(value, "{:.2f}") for value in table["stands"]],
        }
    )
    caption = (
        "Accuracies under a distortion are conditional: of the pictures that the network knows when they are clean. "
    )
    if table["stands"].notna().any():
        caption += (
            "Beside them this report's normal and main adversarially trained networks (book/claims.yaml says which) on "
            "the same pictures, means over their seeds. It stands at 0 where it is like the normal ones, at 1 where it "
            f"is like the adversarially trained; – where these two differ by less than {APART:g}."
        )
    else:
        caption += "This report has published no networks of its own on these pictures: nothing to stand between."
    return tables.html(shown, caption)


def warned(folder: Path) -> list[str]:
    """The doubts that its measurements came with: attacks that had no gradient to follow."""
    found = read_json(folder / "evaluation.json")["measurements"]
    return [f"{place.removesuffix('@')}: {record['warning']}" for place, record in found.items() if "warning" in record]


def html(folder: Path) -> str:
    """The one-page report of what was measured so far, as HTML that needs nothing else."""
    about = read_json(folder / "own.json")
    title = escape(f"{about['source']} on {about['dataset']}")
    notes = [about.get("suspicion", ""), *warned(folder), *(f"left out: {line}" for line in about.get("left_out", []))]
    remarks = "".join(f"<p>{escape(note)}</p>" for note in notes if note)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return (
        f'<!doctype html><html lang="en">{head}<title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1>{remarks}{body(folder)}</html>\n"
    )


def write(folder: Path) -> Path:
    """Write the page into the folder of the measurements; its path."""
    path = folder / "report.html"
    with atomic(path) as temporary:
        temporary.write_text(html(folder), encoding="utf-8")
    return path


# --- The worked example ----------------------------------------------------------------------------------------------

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
            line |= {name: f"{cell['value']:.2f}", f"{name} stands at": tables.dash(cell["stands"], "{:.1f}")}
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
