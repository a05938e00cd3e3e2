"""What a campaign says: at its start what it will do and what that costs, at its end what came of it."""

from __future__ import annotations

import signal
import textwrap
import time
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import torch

from .. import evaluation, progress, provenance
from ..files import runs_dir
from . import grid, needs, plan


def say(found: needs.Needs, device: torch.device | None = None) -> None:
    """Print what will be done, what it costs on this device (None: the processor), and what is left out."""
    for line in (*actions(found), *([cost(found, device)] if found.todo else []), *omissions(found)):
        print(line, flush=True)


def actions(found: needs.Needs) -> Iterable[str]:
    """What will be done, a line for each kind of work."""
    measure = [need for need in found.todo if need.measure]
    yield f"{len(found.done)} {'run is' if len(found.done) == 1 else 'runs are'} done, {len(measure)} to do"
    for block, some in by_block(measure).items():
        fresh = sum(need.train for need in some)
        networks = Counter(need.planned.config.model for need in some)
        listed = ", ".join(f"{name} ×{count}" if count > 1 else name for name, count in networks.items())
        trained = f"{fresh} to train and measure" if fresh else ""
        rest = f"{len(some) - fresh} to measure" if fresh < len(some) else ""
        yield f"  block {block}: {', '.join(filter(None, (trained, rest)))}: {listed}"
    for need in found.todo:
        if not need.measure:
            yield f"  and {need.run} to train: underfit controls are cut from its snapshots, which aren't here"
    for name in found.stylised:
        _, dataset, side, level = name.split("/")
        yield f"  and the test set of {dataset} at {side} pixels to stylise: {level}"


def by_block(some: Sequence[needs.Need]) -> dict[str, list[needs.Need]]:
    """Needs by their run's block."""
    found: dict[str, list[needs.Need]] = {}
    for need in some:
        found.setdefault(need.planned.block, []).append(need)
    return found


def cost(found: needs.Needs, device: torch.device | None = None) -> str:
    """What it costs, in a line: `plan.estimate` for a processor, by a stated speed for a GPU."""
    unknown = {need.planned.config.dataset for need in found.todo} - set(plan.sizes())
    if unknown:
        return f"cost: not known for {', '.join(sorted(unknown))}"
    styled = ""
    if found.stylised:
        styled = "; without the stylised test set" + (f"s ({len(found.stylised)})" if len(found.stylised) > 1 else "")
    if device is not None and device.type == "cuda":
        hours = sum(plan.gpu_hours_of(need) for need in found.todo)
        name = torch.cuda.get_device_name(device)
        return f"cost: about {plan.shown(hours)} of {name} at a stated {plan.FLOPS:g} operations a second{styled}"
    cost = plan.estimate(found.todo)
    here, how = provenance.processor(), f"training in {cost.precision}, measuring in fp32"
    other = f"; `make plan` measures this one, {here}" if cost.processor != here else ""
    return (
        f"cost: roughly {plan.shown(cost.hours)} of one core of {cost.processor} ({cost.source}: {how}{other}){styled}"
    )


def omissions(found: needs.Needs) -> Iterable[str]:
    """What is left out, and why."""
    for line in found.blocked:
        yield f"not measured here: {line}"
    if found.left:
        some = ", ".join(p.run for p in found.left[:3]) + (", …" if len(found.left) > 3 else "")
        yield (
            f"left as they are: published runs that lack measurements and whose weights aren't under {runs_dir()} "
            f"({len(found.left)}: {some})"
        )


WIDE, LABEL, CELL = 80, 29, 10  # characters of a line of `status`, of a network's name and of a seed
LEGEND = """\
71.0/33.3   done: % of test pictures right, clean/under PGD l_inf 8/255
4 of 39     4 of its 39 measurements aren't published yet
run 12m     running for 12 minutes
trained     trained, not measured; begun: stopped in training, will resume
pending     not begun; failed: see below"""


def status(planned: Sequence[grid.Planned], titles: Mapping[str, str]) -> None:
    """Print how far each run has come: a line per network, a column per seed, a heading per block; then a legend."""
    table = grid.status(list(planned))
    for block, of_block in table.groupby("block", sort=False):
        heading = f"{block}: {titles.get(str(block), '')} ({grid.done_of(of_block['state'])})"
        print(textwrap.fill(heading, WIDE, subsequent_indent="  "))
        seeds = [seed for seed in sorted(set(of_block["seed"])) if seed <= grid.SHOWN_SEEDS]
        for (dataset, recipe), of_recipe in of_block.groupby(["dataset", "recipe"], sort=False):
            print(textwrap.fill(f"{dataset} {recipe}", WIDE, initial_indent="  ", subsequent_indent="    "))
            if seeds:
                print(" " * LABEL + "".join(f"{f'seed {seed}':>{CELL}}" for seed in seeds))
            for _, some in of_recipe.groupby(["model", "width", "share"], sort=False):
                print("\n".join(_lines(some, seeds)))
        print()
    print(f"{LEGEND}\n")
    for line in table[table["state"] == "failed"].to_dict("records"):
        print(textwrap.fill(f"{line['run']}: {line['text']}", WIDE, subsequent_indent="  "))
    print(tally(table["state"]), flush=True)


def _lines(some: pd.DataFrame, seeds: Sequence[int]) -> Iterable[str]:
    """One network: a cell per seed, and a line for seeds without a column."""
    model, width, share = some.iloc[0][["model", "width", "share"]]
    name = f"  {model} w{width}" + (f" share {share:g}" if 0 < share < 1 else "")
    texts = {line["seed"]: _cell(line) for line in some.to_dict("records")}
    shown = "".join(f"{texts.get(seed, ''):>{CELL}}" for seed in seeds)
    more = some[some["seed"] > grid.SHOWN_SEEDS]
    if shown.strip() or not len(more):
        yield f"{name:<{LABEL}}{shown}".rstrip()
    if len(more):
        name = f"{'':{LABEL}}" if shown.strip() else f"{name:<{LABEL}}"
        yield f"{name}{grid.seeds_above(more['seed'])}: {grid.done_of(more['state'])}"


def _cell(line: Mapping[Hashable, Any]) -> str:
    """A run's state in a few characters, as LEGEND explains them."""
    text = str(line["text"])
    if line["state"] == "done":
        tenths = (value if value == "–" else f"{float(value):.1f}" for value in text.split("/"))
        return "/".join("100" if value == "100.0" else value for value in tenths)
    if line["state"] == "running":
        return text.replace("running, ", "run ").replace(" min", "m")
    if line["state"] == "failed":
        return "failed"
    return text.removeprefix("pending, ").removesuffix(" measurements")


def stopped(signals: Sequence[int], todo: Sequence[needs.Need]) -> None:
    """Say why the jobs are stopped, how to go on, and what is done again then."""
    why = f"stopped by {signal.Signals(signals[0]).name}" if signals else "time limit reached"
    print(f"{why}: stopping the jobs; run the same command to continue", flush=True)
    for line in lost(todo):
        print(line, flush=True)


def lost(todo: Sequence[needs.Need]) -> Iterable[str]:
    """A line for each run being measured: the measurement under way, which will be repeated.

    Finished ones are saved. A training keeps checkpoints and loses about a minute.
    """
    for need in todo:
        held, planned = grid.held(need.planned.folder), need.planned
        if held is None or not grid.trained(planned):
            continue
        record = planned.folder / "evaluation.json"
        done = grid.measured(record)
        left = [place for place in planned.expected if place not in done]
        left = [place for place in left if place not in evaluation.lacking(planned.config)]
        since = min(held, time.time() - record.stat().st_mtime) if record.is_file() else held
        if left:
            place = left[0].removesuffix("@")
            yield f"  {need.run}: {place} is measured again from its beginning ({progress.duration(since)} of work)"


def summary(planned: Sequence[grid.Planned]) -> int:
    """Print what came of it; 1 if a run failed."""
    table = grid.status(list(planned))
    print(tally(table["state"]), flush=True)
    for line in table[table["state"] == "failed"].to_dict("records"):
        print(f"{line['run']}: {line['text']} (log and notebook in {runs_dir() / line['run']})", flush=True)
    return int((table["state"] == "failed").any())


def tally(states: Iterable[str]) -> str:
    """The states of runs as text: "1 done, 0 running, 0 failed, 5 pending"."""
    counts = Counter(states)
    return ", ".join(f"{counts[name]} {name}" for name in grid.STATES)
