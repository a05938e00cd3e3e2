"""Points, tables and sentences for the sections on distortions and saliency maps, made from published rows.

A *point* is one network under one distortion at one level. Its accuracy is counted in three ways:

- accuracy: over all test pictures;
- conditional: over those that the network itself knows when clean (the paper's measure, 4.2);
- common: over those that it, the normal, the underfit and the main adversarially trained network all know when clean
  (ours), and the difference from the normal network there.

Only runs in a data set's main setting (book/claims.yaml) are used. Values from several seeds have a 95 % t-interval
over seeds; those from a single seed have Wilson's interval over its pictures (a t-interval where they are means).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from .. import style, transforms
from ..errors import one_of
from ..rows import Archive, archive, row_id
from . import beside_paper, claims, destroyed_tables, statistics, tables, verdicts
from .rule import NOT_RUN, Judged
from .tables import Cell, seeds_of

SETS = {  # settings of claims.yaml in the report's order, with the names that the text uses
    "caltech101": "Caltech-101 at 112 pixels",
    "tiny-imagenet": "Tiny ImageNet",
    "cifar10": "CIFAR-10",
    "shapes": "shapes",
}
ALIKE = ("tiny-imagenet", "cifar10")  # the paper's own data sets: a difference from its numbers means something
# The column of `points` that holds the number of pictures behind each measure.
TOTALS = {"accuracy": "pictures", "conditional": "conditional_total", "common": "total"}
POINTS = [
    "dataset", "distortion", "level", "model", "seed", "width", "run", *TOTALS, *TOTALS.values(), "common_reference",
    "difference", "p", "rows",
]  # fmt: skip
SUMMARY = ["model", "level", "mean", "low", "high", "seeds", "width", "rows"]


def label(name: str) -> str:
    """A data set's name in the text, with the width of its networks."""
    return f"{SETS[name]} (width {tables.setting(name).width})"


def levels_of(distortion: str) -> tuple[str, ...]:
    """All levels of a distortion, in order."""
    return style.LEVELS if distortion == "stylised" else transforms.DISTORTIONS[distortion].levels


# --- Points ----------------------------------------------------------------------------------------------------------


def points(
    frame: pd.DataFrame,
    name: str,
    distortion: str,
    predictions: Archive | None = None,
) -> pd.DataFrame:
    """One line per network, level and seed of a main setting under a distortion: POINTS, in the report's order.

    rows: ids of the rows that it is computed from. The columns from `common` on are NaN where the normal network, with
    which the others are compared, has no predictions.
    """
    predictions = predictions or archive()
    rows = tables.in_main_setting(frame, name)
    rows = rows[(rows["distortion"] == distortion) & (rows["metric"] == "accuracy")]
    together = ("normal", "underfit", tables.setting(name).main)  # the ledger's common set, so that its numbers recur
    found = []
    for level in levels_of(distortion):  # a network not tested at this level can't be the reference
        here = rows[rows["level"] == level]
        beside = statistics.comparison(here, predictions, "normal", together)
        more = dict(zip(here["run"], here.to_dict("records"), strict=True))
        for line in beside.to_dict("records"):
            row = more[line["run"]]
            found.append(line | {"pictures": row["total"], "rows": (row_id(row),)})
    order = {model: number for number, model in enumerate(tables.MODELS)}
    found.sort(key=lambda line: (order.get(line["model"], len(order)), line["seed"]))  # stable: levels stay in order
    return pd.DataFrame(found, columns=POINTS)


def summary(found: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Points averaged over seeds, with the columns SUMMARY. measure: accuracy, conditional, common, or difference (of
    which a single seed has no interval). Two seeds never have one."""
    lines = []
    found = found[found[measure].notna()]
    for (model, level), some in found.groupby(["model", "level"], sort=False):
        values = list(some[measure])
        low, high = statistics.t_interval(values)
        if len(values) == 1 and measure in TOTALS:
            total = int(some[TOTALS[measure]].iloc[0])
            low, high = statistics.wilson(round(values[0] * total), total)
        ids = tuple(one for line in some["rows"] for one in line)
        width = some["width"].iloc[0]
        lines.append((model, level, float(np.mean(values)), low, high, len(values), width, ids))
    return pd.DataFrame(lines, columns=SUMMARY)


def map_points(
    frame: pd.DataFrame,
    name: str,
    metrics: Sequence[str],
    places: Sequence[str],
    predictions: Archive | None = None,
) -> pd.DataFrame:
    """Statistics of saliency maps over seeds, with the columns metric and SUMMARY; its level is "DISTORTION@LEVEL"."""
    predictions = predictions or archive()
    rows = tables.in_main_setting(frame, name)
    rows = rows[rows["metric"].isin(metrics)]
    lines = []
    for metric in metrics:
        for model in tables.in_order(rows["model"]):
            mine = rows[(rows["model"] == model) & (rows["metric"] == metric)]
            for place in places:
                distortion, _, level = place.partition("@")
                some = mine[(mine["distortion"] == distortion) & (mine["level"] == level)]
                if len(some):
                    lines.append((metric, model, place, *_mean_of_maps(some, place, metric, predictions)))
    return pd.DataFrame(lines, columns=["metric", *SUMMARY])


def _mean_of_maps(some: pd.DataFrame, place: str, metric: str, predictions: Archive) -> tuple:
    """Mean, interval, seeds, width and ids of one statistic of one network: over seeds, or over one seed's pictures.

    Two seeds have no interval.
    """
    values = list(some["value"])
    if len(values) == 1:
        key, stored = f"maps@{place}/{metric}", predictions(some["run"].iloc[0])
        values = list(stored[key].astype(float)) if key in stored else values
    low, high = statistics.t_interval(values)
    ids = tuple(row_id(row) for row in some.to_dict("records"))
    return float(some["value"].mean()), low, high, len(some), some["width"].iloc[0], ids


def baselines(name: str, metrics: Sequence[str]) -> dict[tuple[str, str], Cell]:
    """(baseline, metric): cell, of the picture's own edges and of an untrained network, on clean pictures."""
    mine = destroyed_tables.of_setting(tables.setting(name))
    mine = mine[mine["distortion"] == "clean"]
    cells = {}
    for prefix, shown in {"edges": "edges of the picture", "untrained": "random network"}.items():
        for metric in metrics:
            cells[shown, metric] = destroyed_tables.mean_cell(mine[mine["metric"] == f"{prefix}_{metric}"])
    return cells


# --- Tables ----------------------------------------------------------------------------------------------------------


def interval(line: Mapping, percent: bool = True, signed: bool = False) -> Cell:
    """A line of `summary` as a cell: percentage (or plain number) with its interval, or how few seeds there are."""
    scale, digits = (100, 1) if percent else (1, 2)
    sign = "+" if signed else ""
    mean, low, high = (f"{scale * line[key]:{sign}.{digits}f}" for key in ("mean", "low", "high"))
    # a line may break before the bracket, but not within it
    alone = f"({seeds_of(line['seeds'])})".replace(" ", "\u00a0")
    text = f"{mean} [{low},\u00a0{high}]" if line["low"] == line["low"] else f"{mean} {alone}"
    return Cell(text, line["rows"])


def level_table(found: pd.DataFrame, measure: str, levels: Iterable[str]) -> pd.DataFrame:
    """The networks in the paper's order by level: percentages with intervals, seeds, width.

    Networks without rows have no line.
    """
    return summary_table(summary(found, measure), levels, signed=measure == "difference")


def summary_table(summed: pd.DataFrame, levels: Iterable[str], signed: bool = False) -> pd.DataFrame:
    """As `level_table`, from a `summary`. signed: differences from the normal network, which then has no line."""
    cells = {(line["model"], line["level"]): line for line in summed.to_dict("records")}
    levels, lines = list(levels), []
    for model in tables.in_order(model for model, _ in cells):
        mine = [cells[model, level] for level in levels if (model, level) in cells]
        if not mine or (signed and model == "normal"):
            continue
        line: dict[str, object] = {"network": model}
        for level in levels:
            here = cells.get((model, level))
            line[level] = interval(here, signed=signed) if here else Cell("–")
        line["seeds"] = seeds_of(max(one["seeds"] for one in mine))
        line["width"] = str(mine[0]["width"])
        lines.append(line)
    return tables.frame_of(lines)


def table_2(frame: pd.DataFrame, name: str, predictions: Archive | None = None) -> pd.DataFrame:
    """The paper's Table 2 beside ours: clean accuracy, and the paper's measure on every stylised test set; per cent."""
    theirs = beside_paper.paper().set_index(["dataset", "model", "metric"])["value"]
    found = points(frame, name, "stylised", predictions)
    ours = {(one["model"], one["level"]): one for one in summary(found, "conditional").to_dict("records")}
    rows = tables.in_main_setting(frame, name)
    clean = rows[(rows["distortion"] == "clean") & (rows["metric"] == "accuracy")]
    lines = []
    for model in tables.MODELS[:-1]:  # the paper has no spatially trained network here
        mine = clean[clean["model"] == model]
        line: dict[str, object] = {"network": model}
        for metric, shown in {"clean2": "clean", "stylised_conditional": "stylised"}.items():
            value = float(theirs.get((beside_paper.in_paper(name), model, metric), math.nan))
            line[f"{shown}: paper"] = "–" if value != value else tables.percent(value, 2)
            if shown == "clean":
                line["clean: ours"] = tables.one_cell(mine) if len(mine) else Cell("–")
        for level in style.LEVELS:
            here = ours.get((model, level))
            line[f"{level}: ours"] = interval(here) if here else Cell("–")
        line["seeds"], line["width"] = seeds_of(len(mine)), str(mine["width"].iloc[0]) if len(mine) else "–"
        lines.append(line)
    return tables.frame_of(lines)


def shuffle_table(frame: pd.DataFrame, predictions: Archive | None = None) -> pd.DataFrame:
    """The only two numbers that the paper prints on shuffling, and ours: the normal network at k = 2, its measure."""
    lines = []
    for name, shown in SETS.items():
        found = points(frame, name, "patch-shuffle", predictions)
        here = summary(found[(found["model"] == "normal") & (found["level"] == "2")], "conditional").to_dict("records")
        paper = beside_paper.paper_value(beside_paper.in_paper(name), "normal", "shuffle_2_conditional")
        line: dict[str, object] = {"data set": shown, "paper": "–" if paper != paper else tables.percent(paper, 2)}
        line["ours"] = interval(here[0]) if here else Cell(NOT_RUN)
        known = here and paper == paper and name in ALIKE
        line["difference"] = f"{100 * (here[0]['mean'] - paper):+.1f}" if known else "–"
        line["seeds"], line["width"] = seeds_of(here[0]["seeds"] if here else 0), str(tables.setting(name).width)
        lines.append(line)
    return tables.frame_of(lines)


STATISTICS = {
    "gini": "Gini coefficient",
    "edge_correlation": "correlation with edges",
    "high_frequency": "high-frequency share",
    "alignment": "alignment",
    "map_distance": "distance from the clean map",
}
PLACES = {
    "clean@": "clean",
    "saturation@1024": "saturation 1024",
    "stylised@generated-ghiasi": "stylised, generated",
    "stylised@paintings-ghiasi": "stylised, paintings",
    "patch-shuffle@4": "shuffled 4 × 4",
    "pgd-linf@8": "attacked, 8/255",
}


def places_of(name: str) -> dict[str, str]:
    """The distortions under which a data set's maps are drawn; `shapes` has no stylised pictures."""
    return {place: shown for place, shown in PLACES.items() if name != "shapes" or not place.startswith("stylised")}


def trio(name: str) -> tuple[str, str, str]:
    """The networks of the paper's Figure 2 on a data set."""
    return "normal", "underfit", tables.setting(name).main


def map_table(found: pd.DataFrame, name: str, models: Iterable[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Statistics of maps by network (lines) and place (columns); baselines last. found: `map_points`."""
    cells = {(one["metric"], one["model"], one["level"]): one for one in found.to_dict("records")}
    fixed = baselines(name, metrics)
    lines = []
    for metric in metrics:
        shown = ("Grad: " if metric.startswith("grad_") else "") + STATISTICS[metric.removeprefix("grad_")]
        distance = metric.endswith("map_distance")
        for model in models:
            line: dict[str, object] = {"statistic": shown, "network": model}
            for place, column in places_of(name).items():
                here = cells.get((metric, model, place))
                absent = Cell("–" if distance and place == "clean@" else NOT_RUN)
                line[column] = interval(here, percent=False) if here else absent
            number = max((cells[k]["seeds"] for k in cells if k[:2] == (metric, model)), default=0)
            lines.append(line | {"seeds": seeds_of(number)})
        for baseline in () if distance else ("edges of the picture", "random network"):
            if baseline.startswith("edges") and metric.startswith("grad_"):
                continue  # edges are no gradient map
            cell = fixed[baseline, metric]
            line = {"statistic": shown, "network": baseline, "clean": cell}
            lines.append(line | dict.fromkeys(list(places_of(name).values())[1:], "–") | {"seeds": "–"})
    return tables.frame_of(lines)


def settings_table(about: Mapping[str, dict]) -> pd.DataFrame:
    """The hyper-parameters of every published run, one line per network and setting, from the runs' own records."""
    shared = {
        "side": "side", "width": "width", "stem": "stem", "epochs": "epochs", "batch": "batch", "lr": "rate",
        "schedule": "schedule", "weight_decay": "decay", "norm": "norm", "eps": "budget", "steps": "steps",
        "step_size": "step", "share": "share", "amplitude": "amplitude", "cue": "cue",
    }  # fmt: skip
    groups: dict[tuple, list[dict]] = {}
    for record in about.values():
        config = record["config"]
        key = (config["dataset"], record["training"]["model"], *(config.get(name) for name in shared))
        groups.setdefault(key, []).append(record)
    order = {model: number for number, model in enumerate(tables.MODELS)}
    lines = []
    for key in sorted(groups, key=lambda k: (k[0], k[3], order.get(k[1], len(order)), str(k))):
        some, values = groups[key], dict(zip(shared.values(), key[2:], strict=True))
        seeds = tables.seed_numbers(r["config"]["seed"] for r in some)
        line = {"network": key[1], "data set": key[0], "seeds": seeds}
        line |= {name: _setting(value) for name, value in values.items()}
        minutes = [r["training"]["seconds"] / 60 for r in some]
        lines.append(line | {"minutes": f"{np.mean(minutes):.0f}"})
    return tables.frame_of(lines)


def _setting(value: object) -> str:
    return "–" if value is None else f"{value:g}" if isinstance(value, (int, float)) else str(value)


def spatial_table(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Normal, main and spatially trained networks: accuracy, robustness, shape bias, and how far their maps move."""
    rows = tables.in_main_setting(frame, name)
    columns = {
        "clean, %": ("clean", "", "accuracy", 100),
        "under PGD 8/255, %": ("pgd-linf", "8", "accuracy_last", 100),
        "shape bias": ("conflict", "", "shape_bias", 1),
        "map distance, PGD": ("pgd-linf", "8", "map_distance", 1),
        "map distance, saturation 1024": ("saturation", "1024", "map_distance", 1),
    }
    if tables.setting(name).dataset != "shapes":
        del columns["shape bias"]  # there is no cue conflict
    lines = []
    for model in ("normal", tables.setting(name).main, "spatial"):
        line: dict[str, object] = {"network": model}
        for shown, (distortion, level, metric, scale) in columns.items():
            some = rows[(rows["model"] == model) & (rows["distortion"] == distortion) & (rows["level"] == level)]
            some = some[some["metric"] == metric]
            low, high = statistics.t_interval(some["value"])
            ids = [row_id(row) for row in some.to_dict("records")]
            cell = {"mean": some["value"].mean(), "low": low, "high": high, "rows": ids, "seeds": len(some)}
            line[shown] = interval(cell, percent=scale == 100) if len(some) else Cell(NOT_RUN)
        lines.append(line | {"seeds": seeds_of(rows.loc[rows["model"] == model, "seed"].nunique())})
    return tables.frame_of(lines)


# --- Sentences -------------------------------------------------------------------------------------------------------


def without(claim: str, model: str, name: str, frame: pd.DataFrame) -> str:
    """How a claim's effect and verdict on a data set change if one of its models is left out, in words.

    InputError if the claim's statistic doesn't have the model.
    """
    whole = claims.load()[claim]
    one_of("model", model, whole.statistic.models)
    models = tuple(other for other in whole.statistic.models if other != model)
    changed = replace(whole, statistic=replace(whole.statistic, models=models))
    decision = next(d for d in verdicts.verdict(changed, frame).decisions if d.dataset == name)
    if not decision.judged.values:
        return f"Without {model}: {NOT_RUN}."
    row = {field: getattr(decision.judged, field) for field in ("values", "effect", "low", "high")}
    return (
        f"Without {model} the value would be {tables.effect(pd.Series(row), 2)}; the verdict would be "
        f"*{decision.verdict}*."
    )


def of_two(claim: str, name: str, frame: pd.DataFrame) -> Judged:
    """A claim's number on a data set, on the pictures that the two compared networks know, whatever others know.

    So common pictures were counted until 27 November 2026. InputError for a claim that isn't about common pictures.
    """
    whole = claims.load()[claim]
    one_of("metric", "common", whole.statistic.metrics)
    changed = replace(whole, statistic=replace(whole.statistic, common=()))
    return next(d for d in verdicts.verdict(changed, frame).decisions if d.dataset == name).judged


FIRST = ("saturation", "stylised", "patch-shuffle")  # of the supplement: those that the paper is about
DETAILED = tuple(dict.fromkeys((*FIRST, *transforms.DISTORTIONS)))


def details(frame: pd.DataFrame, distortion: str, predictions: Archive | None = None) -> str:
    """A supplement's tables of one distortion as HTML: a heading, and for each data set that has rows a folded table.

    The tables show every network's conditional accuracy at every level; their CSV has each point with all its measures,
    to six decimals: more would make the page half as long again.
    """
    predictions = predictions or archive()
    parts = [f'<h3 id="{distortion}">{distortion.replace("-", " ").capitalize()}</h3>']
    for name in SETS:
        found = points(frame, name, distortion, predictions)
        if len(found):
            parts.append(folded(label(name), _detail(found, name, distortion) + beside_paper.not_run(frame, name)))
    return "\n".join(parts)


def _detail(found: pd.DataFrame, name: str, distortion: str) -> str:
    caption = (
        f"{label(name)}, {distortion}: conditional accuracy by level, in per cent, with 95 % intervals (over seeds "
        "where there are several, else Wilson's over pictures)."
    )
    plain = found.drop(columns=["dataset", "pictures", "rows"]).assign(row=[ids[0] for ids in found["rows"]])
    table = tables.html(level_table(found, "conditional", levels_of(distortion)), caption)
    return table + tables.download(plain.round(6), f"{name} {distortion} points", "every point")


def map_details(frame: pd.DataFrame, name: str, metrics: Sequence[str], predictions: Archive | None = None) -> str:
    """A supplement's table of map statistics of every network of a data set, folded, as HTML; empty without rows."""
    found = map_points(frame, name, metrics, list(places_of(name)), predictions)
    if found.empty:
        return ""
    models = tables.in_order(found["model"])
    kind = "plain gradient" if metrics[0].startswith("grad_") else "SmoothGrad"
    caption = (
        f"How sparse, how close to edges and how noisy the {kind} maps of each network are ({label(name)}). Brackets: "
        "95 % intervals, over pictures for one seed, over seeds for three or more; two seeds have none. For "
        "comparison, where measured: the picture's edges taken for a map, and a network with random weights (± half a "
        "95 % interval over pictures)."
    )
    return folded(label(name), tables.html(map_table(found, name, models, metrics), caption))


def folded(summary: str, body: str) -> str:
    """HTML behind a line that unfolds it."""
    return f'<details class="fold"><summary>{summary}</summary>\n{body}\n</details>'
