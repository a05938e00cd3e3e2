"""Rank correlations over networks: ours between robustness and everything else, and what the paper's cells give."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from ..rows import Archive, archive, row_id
from . import beside_paper, lens, statistics
from .rule import NOT_RUN
from .tables import MODELS, Cell, frame_of, in_main_setting, seeds_of

QUANTITIES = {  # quantities that are ranked against robustness: a row, or a measure under distortions
    "shape bias, cue conflict": ("conflict@", "shape_bias"),
    "conditional accuracy, saturation 1024": ("saturation@1024", "conditional"),
    "conditional accuracy, shuffled 2 × 2": ("patch-shuffle@2", "conditional"),
    "conditional accuracy, low-pass 0.2": ("low-pass@0.2", "conditional"),
    "Gini coefficient of clean maps": ("clean@", "gini"),
    "edge correlation of clean maps": ("clean@", "edge_correlation"),
}


def per_run(frame: pd.DataFrame, name: str, predictions: Archive | None = None) -> pd.DataFrame:
    """One line per run of a main setting: model, seed, robust (Table 1's attack), and QUANTITIES; ids in "rows"."""
    predictions = predictions or archive()
    lines = []
    for run, some in in_main_setting(frame, name).groupby("run", sort=True):
        rows = {(f"{r['distortion']}@{r['level']}", r["metric"]): r for r in some.to_dict("records")}
        first = next(iter(rows.values()))
        line = {"model": first["model"], "seed": first["seed"], "rows": ()}
        for shown, (place, metric) in {"robust": ("pgd-linf@8", "accuracy_last"), **QUANTITIES}.items():
            row = rows.get((place, "accuracy" if metric == "conditional" else metric))
            line[shown] = math.nan
            if row is not None:
                known = metric == "conditional"
                line[shown] = statistics.conditional(predictions(str(run)), place).value if known else row["value"]
                line["rows"] += (row_id(row),)
        lines.append(line)
    order = {model: number for number, model in enumerate(MODELS)}
    lines.sort(key=lambda line: (order.get(line["model"], len(order)), line["seed"]))
    return pd.DataFrame(lines, columns=["model", "seed", "robust", *QUANTITIES, "rows"])


def with_robustness(found: pd.DataFrame) -> pd.DataFrame:
    """Spearman's correlation with robustness within each seed, over the networks that have both, at least ten.

    found: `per_run`. The underfit control is left out, as in the claims.
    """
    found = found[found["model"] != "underfit"]
    lines = []
    for shown in QUANTITIES:
        values, counts, ids = [], [], []
        for _, some in found.groupby("seed"):
            both = some[some[["robust", shown]].notna().all(axis=1)]
            if len(both) >= 10:
                values.append(statistics.spearman(list(both["robust"]), list(both[shown])))
                counts.append(len(both))
                ids += [one for line in both["rows"] for one in line]
        low, high = statistics.t_interval(values)
        line = {"mean": float(np.mean(values)) if values else math.nan, "low": low, "high": high, "rows": ids}
        line["seeds"] = len(values)
        text = lens.interval(line, percent=False, signed=True) if values else Cell(NOT_RUN)
        networks = "–" if not counts else f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)}–{max(counts)}"
        lines.append({"with robustness": shown, "ours": text, "networks": networks, "seeds": seeds_of(len(values))})
    return frame_of(lines)


def of_paper() -> pd.DataFrame:
    """Spearman's correlation of the paper's own robustness (Table 1) with its stylised accuracy (Table 2)."""
    wide = beside_paper.paper().pivot_table(index=["dataset", "model"], columns="metric", values="value").reset_index()
    lines = []
    for dataset, shown in {"caltech256": "Caltech-256", "tiny-imagenet": "Tiny ImageNet"}.items():
        mine = wide[(wide["dataset"] == dataset) & wide["stylised_conditional"].notna()]
        trained = mine[~mine["model"].isin(["normal", "underfit"])]
        line = {"data set": shown}
        for what, some in (("adversarially trained", trained), ("all", mine)):
            rho = statistics.spearman(list(some["robust"]), list(some["stylised_conditional"]))
            line[f"{what} networks"] = f"{rho:+.2f} (of {len(some)})"
        lines.append(line)
    return frame_of(lines)
