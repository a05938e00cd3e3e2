"""The paper's own numbers, and our rows next to them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ..files import checkout_path
from ..rows import row_id
from .tables import MODELS, Cell, frame_of, in_main_setting, in_order, one_cell, percent, seeds_of

PAPER = "book/paper.csv"


def paper() -> pd.DataFrame:
    """Every number that the paper's main text prints of its networks: dataset, model, metric, value as a fraction.

    clean, robust: Table 1; clean2, stylised_conditional: Table 2, whose clean accuracies differ in two cells from
    Table 1's; shuffle_2_conditional: 4.2.3, where the text says k = 1, where its measure is 100 % by definition.
    """
    return pd.read_csv(checkout_path(PAPER))


def in_paper(dataset: str) -> str:
    """The name that `paper` uses for a data set, or for the one that it stands in for."""
    return {"caltech101": "caltech256"}.get(dataset, dataset)


def paper_value(dataset: str, model: str, metric: str) -> float:
    """One number of `paper`; NaN where the paper prints none."""
    found = paper()
    cell = (found["dataset"] == dataset) & (found["model"] == model) & (found["metric"] == metric)
    return float(found.loc[cell, "value"].iloc[0]) if cell.any() else float("nan")


def table_1(frame: pd.DataFrame, about: dict[str, dict], dataset: str) -> pd.DataFrame:
    """The paper's Table 1 on one data set next to this repository's rows, one line for each of our settings.

    Percentages. A single seed has Wilson's interval over its images, several the t-interval over seeds. There is no
    difference for a stand-in, nor for l_2 networks on CIFAR-10, where the paper's unit is unknown. Where rows have it,
    "no gradient" is the share of pictures that gave the attack no gradient to follow (`attacks.Outcome`).
    """
    theirs, name_there = paper().set_index(["dataset", "model", "metric"])["value"], in_paper(dataset)
    lines = []
    here = frame[frame["dataset"] == dataset]
    for model in (*MODELS, *in_order(set(here["model"]) - set(MODELS))):
        mine = here[here["model"] == model]
        groups = [group for _, group in mine.groupby(["width", "recipe", "share"])] or [mine]
        for group in groups:
            line = {"network": model}
            for name, place in {"clean": ("clean", "accuracy"), "robust": ("pgd-linf", "accuracy_last")}.items():
                value = float(theirs.get((name_there, model, name), float("nan")))
                cell = group[(group["distortion"] == place[0]) & (group["metric"] == place[1])]
                difference = cell["value"].mean() - value
                incomparable = name_there != dataset or (dataset == "cifar10" and "-l2-" in model)
                no_difference = incomparable or difference != difference
                line[f"{name}: paper"] = "–" if value != value else percent(value, 2)
                line[f"{name}: ours"] = one_cell(cell) if len(cell) else Cell("–")
                line[f"{name}: difference"] = "–" if no_difference else f"{100 * difference:+.1f}"
            cell = group[(group["distortion"] == "pgd-linf") & (group["metric"] == "vanished")]
            line["no gradient"] = "–" if cell.empty else one_cell(cell)
            lines.append(line | setting_of(group, about))
    table = frame_of(lines)
    return table if (table["no gradient"] != "–").any() else table.drop(columns="no gradient")


def not_run(frame: pd.DataFrame, name: str) -> str:
    """One line below a table, as HTML: which of the paper's networks have no rows in a data set's main setting."""
    there = set(in_main_setting(frame, name)["model"])
    missing = [model for model in MODELS if model not in there]
    return f'<p class="not-run">Not run: {", ".join(missing)}.</p>' if missing else ""


def setting_of(rows: pd.DataFrame, about: dict[str, dict]) -> dict[str, str]:
    """Side, width, epochs, attack steps, share, seeds, training time and hardware of one setting's runs, as text.

    Times and hardware are those of all runs: the shortest and the longest, and every processor.
    """
    if rows.empty:
        return dict.fromkeys(("side", "width", "epochs", "steps", "share", "seeds", "trained on", "run"), "–")
    runs = sorted(rows["run"].unique())
    config = about[runs[0]]["config"]
    trained = [about[run]["training"] for run in runs]
    places = dict.fromkeys(
        one["hardware"].get("gpu") or f"{one['hardware']['processor']}, {one['hardware']['threads']} thread(s)"
        for one in trained
    )
    precisions = dict.fromkeys(one["precision"] for one in trained)
    minutes = dict.fromkeys(f"{one['seconds'] / 60:.0f}" for one in sorted(trained, key=lambda one: one["seconds"]))
    shortest, *_, longest = (*minutes, *minutes)
    number = rows["seed"].nunique()
    return {
        "side": str(config["side"]),
        "width": str(config["width"]),
        "epochs": f"{config['epochs']:g}",
        "steps": "–" if config["steps"] is None else str(config["steps"]),
        "share": "–" if not config["share"] else f"{config['share']:g}",
        "seeds": seeds_of(number),
        "trained on": f"{' or '.join(places)}, {' or '.join(precisions)}, "
        + (f"{shortest} min" if shortest == longest else f"{shortest} to {longest} min"),
        "run": ", ".join(runs),
    }


def corrected(printed: Mapping[str, float], frame: pd.DataFrame) -> pd.DataFrame:
    """What was printed of some rows (by row id) before a fault was mended, next to what these rows say now."""
    now = {row_id(row): row for row in frame.to_dict("records")}
    lines = []
    for name, before in printed.items():
        row = now[name]
        under = f"{row['distortion']} {row['level']}".strip()
        line = {
            "network": row["model"],
            "seed": row["seed"],
            "under": under,
            "measured": row["metric"].replace("_", " "),
        }
        lines.append(line | {"printed": f"{before:.3f}", "right": Cell(f"{row['value']:.3f}", [name])})
    return frame_of(lines)


def absolute() -> pd.DataFrame:
    """The paper's Table 2 as absolute accuracies: clean times conditional accuracy, which is a lower bound.

    The product leaves out pictures that a network gets right only when stylised. Per cent.
    """
    lines = []
    for model in MODELS[:-1]:
        line = {"network": model}
        for dataset, shown in {"caltech256": "Caltech-256", "tiny-imagenet": "Tiny ImageNet"}.items():
            clean, part = (paper_value(dataset, model, name) for name in ("clean2", "stylised_conditional"))
            line |= {f"{shown}: conditional": percent(part, 2)}
            line |= {f"{shown}: at least": percent(clean * part, 2)}
        lines.append(line)
    return frame_of(lines)
