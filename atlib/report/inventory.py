"""What has been run and what hasn't: the grid, its costs, shipped networks, the benchmark, counts of verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from .. import models
from ..campaign import grid
from ..campaign.plan import digits
from ..configuration import config_of
from ..files import results_dir
from ..rows import row_id
from ..tensors import load_tensors
from . import rule, tables, verdicts
from .rule import NOT_RUN
from .tables import Cell, frame_of, percent, short


def _points(share: float) -> str:
    return f"{100 * share:+.2f}".replace("-", "−")


def underfit_sentence(about: dict[str, dict], dataset: str) -> str:
    """How close each underfit control came to its target, in words."""

    def again(training: Mapping[str, Any]) -> str:
        published = about.get(training.get("source", ""), {}).get("training", {}).get("weights_digest")
        if not published or training.get("source_digest", published) == published:
            return ""
        return " It was cut from a second training of that network, whose weights aren't the published one's."

    found = [
        f"The underfit control of seed {record['config']['seed']} is the normal network's checkpoint at epoch "
        f"{record['training']['epoch']:.2f}: its accuracy on the hold-out is "
        f"{percent(record['training']['holdout_accuracy'])} % against the target's "
        f"{percent(record['training']['target'])} %, a gap of {_points(record['training']['gap'])} points."
        f"{again(record['training'])}"
        for record in about.values()
        if record["training"]["model"] == "underfit" and record["config"]["dataset"] == dataset
    ]
    return "\n\n".join(found or [f"The underfit control is {NOT_RUN}."])


def verdict_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """How many claims stand how, overall and on each data set where they count; claims that are only shown are not."""
    found = verdicts.table(frame)
    found = found[found["counts"]]
    counts = pd.crosstab(found["dataset"], found["verdict"]).reindex(columns=list(rule.OVERALL), fill_value=0)
    order = ["overall", *[name for name in counts.index if name != "overall"]]
    counts = counts.loc[order].rename(index=tables.SHOWN)
    return counts.rename_axis("on", axis=0).reset_index().rename_axis(None, axis=1)


def bench(folder: Path | None = None) -> pd.DataFrame:
    """What `make bench` wrote; empty if it has not been run."""
    path = (folder or results_dir()) / "bench.csv"
    return pd.read_csv(path, keep_default_na=False) if path.is_file() else pd.DataFrame()


def bench_table(folder: Path | None = None) -> pd.DataFrame:
    """The benchmark's rows as the page shows them."""
    rows = bench(folder)
    if rows.empty:
        return pd.DataFrame({"what": [NOT_RUN]})
    shown = {
        "what": "what",
        "against": "against",
        "ours_s": "ours, s",
        "theirs_s": "theirs, s",
        "ratio": "ratio",
        "reach": "reach",
        "met": "met",
        "detail": "detail",
    }
    return rows[list(shown)].rename(columns=shown)


def bench_sentence(folder: Path | None = None) -> str:
    """The benchmark's hardware, repetitions and versions, in words."""
    rows = bench(folder)
    if rows.empty:
        return f"The benchmark is **{NOT_RUN}**."
    first = rows.iloc[0]
    return (
        f"Medians of {first['rounds']} rounds in CPU seconds of one thread on {first['processor']}, where bf16 is "
        f"{first['bf16']}; torch {first['torch']}, torchattacks {first['torchattacks']}, foolbox {first['foolbox']}, "
        f"captum {first['captum']}, commit `{short(first['commit'])}`."
    )


def _done(planned: grid.Planned, frame: pd.DataFrame) -> pd.DataFrame:
    """The published rows of clean and robust accuracy of a planned run."""
    mine = frame[frame["run"] == planned.run]
    clean = mine[(mine["distortion"] == "clean") & (mine["metric"] == "accuracy")]
    return pd.concat([clean, mine[(mine["distortion"] == "pgd-linf") & (mine["metric"] == "accuracy_last")]])


def grid_sentence(planned: Sequence[grid.Planned], frame: pd.DataFrame) -> str:
    """How many of the grid's runs are published, in words."""
    published = set(frame["run"])
    done = [p for p in planned if p.run in published]
    asked = [p for p in planned if p.on_request and p.run not in published]
    blocks = ", ".join(dict.fromkeys(p.block for p in asked))
    wide = ", ".join(dict.fromkeys(p.block for p in asked if p.config.width == 64 and p.config.dataset == "cifar10"))
    more = f" {len(asked)} of the others are run only when asked for (blocks {blocks})."
    more += f" Blocks {wide} are at the usual width and need a GPU." if wide else ""
    return f"**{len(done)} of {len(planned)}** runs have published rows.{more if asked else ''}"


def grid_table(planned: Sequence[grid.Planned], frame: pd.DataFrame) -> pd.DataFrame:
    """The grid, one line per network and setting: clean / robust accuracy in per cent for each seed, or "not run".

    Networks of which no seed is published are left out (`grid_not_run` counts them). Of the seeds above
    grid.SHOWN_SEEDS it says how many are published.
    """
    seeds = sorted({p.config.seed for p in planned if p.config.seed <= grid.SHOWN_SEEDS})
    above = {p.config.seed for p in planned} - set(seeds)
    others, published = grid.seeds_above(above) if above else "", set(frame["run"])
    states: dict[tuple, list[bool]] = {}
    lines: dict[tuple, dict] = {}
    for p in planned:
        first, last = _network(p)
        empty = {f"seed {seed}": "" for seed in seeds} | ({others: ""} if others else {})
        place = _place(p)
        line = lines.setdefault(place, first | empty | last)
        if p.config.seed in above:
            states.setdefault(place, []).append(p.run in published)
            line[others] = f"{sum(states[place])} of {len(states[place])} published"
            continue
        rows = _done(p, frame)
        cell = Cell(grid.accuracies(rows), map(row_id, rows.to_dict("records"))) if len(rows) else Cell(NOT_RUN)
        line[f"seed {p.config.seed}"] = cell
    begun = _begun(planned, published)
    return frame_of((line for place, line in lines.items() if place in begun), columns=list(next(iter(lines.values()))))


def grid_not_run(planned: Sequence[grid.Planned], frame: pd.DataFrame) -> str:
    """How many runs of each block `grid_table` leaves out, because no seed of their network has been run; as HTML."""
    begun = _begun(planned, set(frame["run"]))
    missing = Counter(p.block for p in planned if _place(p) not in begun)
    listed = ", ".join(f"{block} ({number})" for block, number in missing.items())
    said = f"Runs of networks of which no seed has been run, by block: {escape(listed)}."
    return f'<p class="not-run">{said}</p>' if missing else ""


def _network(planned: grid.Planned) -> tuple[dict[str, str], dict[str, str]]:
    """What the seeds of one network of the grid have in common: the first columns of its line, and the last."""
    config = planned.config
    last = {"width": str(config.width), "share": f"{config.share:g}" if config.share else "–"}
    last |= {"data set": config.dataset, "setting": config.recipe}
    return {"network": config.model, "block": planned.block}, last


def _place(planned: grid.Planned) -> tuple[str, ...]:
    return tuple(value for part in _network(planned) for value in part.values())


def _begun(planned: Sequence[grid.Planned], published: set[str]) -> set[tuple[str, ...]]:
    """The networks of which at least one seed is published."""
    return {_place(p) for p in planned if p.run in published}


def plan(folder: Path | None = None) -> pd.DataFrame:
    """What `make plan WRITE=1` wrote; empty if it has not been run."""
    path = (folder or results_dir()) / "plan.csv"
    return pd.read_csv(path, keep_default_na=False) if path.is_file() else pd.DataFrame()


def plan_table(planned: Sequence[grid.Planned], frame: pd.DataFrame, folder: Path | None = None) -> pd.DataFrame:
    """One line per block: title, runs, how many are published, core hours and GPU hours of the whole block."""
    costs = plan(folder)
    costs = costs.set_index("block") if len(costs) else costs
    counted = dict(zip(costs.index, costs["runs"], strict=True)) if "runs" in costs else {}
    published, titles = set(frame["run"]), grid.titles()
    lines = []
    for block in dict.fromkeys(p.block for p in planned):
        runs = [p for p in planned if p.block == block]
        line = {"block": block, "what": titles[block], "runs": len(runs)}
        line["published"] = sum(p.run in published for p in runs)
        if "precision" in costs:
            line["trained in"] = str(costs.at[block, "precision"]) if block in costs.index else NOT_RUN
        for name, shown in {"core_hours": "core hours", "gpu_hours": "GPU hours"}.items():
            cost = digits(float(costs.at[block, name])) if block in costs.index else NOT_RUN  # type: ignore[arg-type]
            grown = counted.get(block, len(runs)) != len(runs)  # blocks that the grid has gained since
            line[shown] = f"{cost} (counted for {counted[block]} runs)" if grown else cost
        lines.append(line | {"measured": ", ".join(map(_asked, runs[0].measure)) or "everything"})
    return frame_of(lines)


def _asked(measurement: str) -> str:
    """A measurement that a block asks for, as the table names it: "clean", "maps (clean)"."""
    name, _, level = measurement.partition("@")
    return f"{name} ({level.rstrip('@')})" if level else name


def plan_caption(folder: Path | None = None) -> str:
    """The hardware on which the costs were measured, and the speed that was stated."""
    costs = plan(folder)
    if costs.empty:
        return f"The cost of each block: {NOT_RUN}."
    first = costs.iloc[0]
    return (
        f"The cost of each block. Core hours: measured on one thread of {first['processor']}, training in the "
        f"precision that the table names, evaluation in fp32, commit {short(first['commit'])}. The published networks "
        "of blocks a and b were trained in bf16 and took less; what b and c still lack, and blocks weak and order, are "
        "to be trained in bf16 as well. Other blocks in bf16 are meant for a GPU: the processor measured here emulates "
        "that arithmetic, so their core hours are inflated. Block attacks-elsewhere was not "
        "measured: its cost is that of blocks e and b, in proportion to the operations. GPU hours: not measured, but "
        "the operations divided by an assumed "
        f"{first['flops']:g} a second; read them as an order of magnitude."
    )


def shipped_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The networks in models/, with the rows of their runs: clean and robust accuracy in per cent."""
    lines = []
    for name, path in models.shipped().items():
        run = config_of(load_tensors(path)[1]["config"], name).run
        rows = frame[(frame["run"] == run) & frame["metric"].isin(["accuracy", "accuracy_last"])]
        rows = rows[rows["distortion"].isin(["clean", "pgd-linf"])]
        cell = Cell(grid.accuracies(rows), map(row_id, rows.to_dict("records")))
        lines.append({"network": name, "run": run, "clean / under PGD": cell, "card": f"models/{name}.md"})
    return frame_of(lines)
