"""What the campaign costs: every block of the grid in core hours of this machine and GPU hours of another.

    python -m atlib.campaign.plan [--flops 2e13] [--write]

A run's cost is counted in forwards, input gradients and training steps of its architecture. Their seconds are measured
here, on one thread, in the precision that the run would be trained in here (each line of the table names it); for a
machine that is not at hand, their floating-point operations are counted and divided by a stated speed. --write keeps
the table (results/plan.csv) for the book, and for what a campaign says at its start (`estimate`); it wants committed
code, since the table names the commit.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .. import between, data, evaluation, gradients, measurements, models, provenance, saliency, training
from ..configuration import Config
from ..errors import command_line, in_range, one_of
from ..files import atomic, results_dir, writable
from . import grid, needs

PATIENCE = 20.0  # seconds that measuring one batch of each kind may take
FLOPS = 2e13  # stated, not measured: what a data-centre GPU keeps up on such networks in bf16


class Work(NamedTuple):
    """Pictures that pass through: a forward alone, an input gradient, a training step."""

    forwards: float
    gradients: float
    steps: float


class Architecture(NamedTuple):
    """What decides the cost of a picture."""

    width: int
    stem: str
    side: int
    classes: int


def sizes() -> dict[str, data.Size]:
    """The sizes of the data sets that are known before they are read."""
    return {name: spec.size for name, spec in data.DATASETS.items() if spec.size}


def architecture(config: Config) -> Architecture:
    """A run's."""
    return Architecture(config.width, str(config.stem), int(config.side or 0), sizes()[config.dataset].classes)


def training_work(config: Config) -> Work:
    """Of one training run: its batches, its attack, and the hold-out after each epoch. Underfit: none of its own."""
    if config.match:
        return Work(0, 0, 0)
    count = sizes()[config.dataset].train
    seen = count * float(config.epochs or 0)
    attacked = seen * (config.share or 0) * (config.steps or 0)
    looks = (1 if config.attack != "none" else 1 + training.LOOKS_PER_EPOCH) * float(config.epochs or 0)
    holdout = min(5000, count / 9)  # data.hold_out: a tenth of all, 5,000 at most
    return Work(looks * holdout, attacked, seen)


def evaluation_work(config: Config, places: Collection[str] | None = None) -> Work:
    """Of one evaluation: PGD-40, the attack of its training, maps, what is measured of several networks, and a forward
    for every other measurement.

    places: what is measured, "NAME@LEVEL" (None: all that applies). Maps are compared with those of clean pictures.
    """
    count = sizes()[config.dataset].test
    places = evaluation.expected(config) if places is None else places
    pictures = min(count, measurements.MAP_PICTURES.get(config.dataset, measurements.MAP_PICTURES_ELSEWHERE))
    maps = {place for place in places if place.startswith("maps@")}
    several = {place for place in places if place.startswith(f"{between.NAME}@")}
    others = [place for place in places if place not in maps | several]
    pgd = measurements.TABLE_1["steps"]
    gradients = count * (pgd if "pgd-linf@8" in places else 0)
    gradients += count * (int(config.steps or 0) if "trained-attack@" in places else 0)
    gradients += pictures * (pgd if "maps@pgd-linf@8" in maps else 0)
    gradients += pictures * len(maps | {"maps@clean@"} if maps else maps) * (saliency.SAMPLES + 1)
    # as `evaluation.passes`: the maps of two networks, and an attack on all pictures
    gradients += pictures * 2 * (saliency.SAMPLES + 1) * (f"{between.NAME}@clean@" in several)
    gradients += count * between.LARGE["steps"] * len(several - {f"{between.NAME}@clean@"})
    return Work(count * len(others), gradients, 0)


def network(what: Architecture) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A network with a batch to measure on."""
    model = models.resnet18(what.classes, width=what.width, stem=what.stem)
    batch = max(8, min(128, 128 * 32**2 // what.side**2))
    images = torch.rand(batch, 3, what.side, what.side).contiguous(memory_format=torch.channels_last)
    return model, images, torch.zeros(batch, dtype=torch.long)


def kinds(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> dict[str, Callable[[], object]]:
    """The three things that a picture passes through, as functions of a batch."""
    folded = models.fold(model)

    def forward() -> None:
        with torch.no_grad():
            folded(images)

    def gradient() -> None:
        with gradients.frozen(folded):
            gradients.input_gradient(folded, images, labels)

    def step() -> None:
        model.train().zero_grad(set_to_none=True)
        F.cross_entropy(model(images).float(), labels).backward()

    return {"forwards": forward, "gradients": gradient, "steps": step}


@functools.cache
def operations(what: Architecture) -> Work:
    """Floating-point operations a picture of each kind (a multiply-add counts as two).

    Counted for the forward; the gradient by a layer's input costs as much again, and so does that by its weights.
    """
    model, images, _ = network(what)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(images[:1])
    forward = counter.get_total_flops()
    return Work(forward, 2 * forward, 3 * forward)


@functools.cache
def seconds(what: Architecture, precision: str, rounds: int = 3) -> Work:
    """CPU seconds per picture of each kind, on one thread of this machine: the best of some rounds.

    Measured on a batch of training size, or on a tenth of it if that would take longer than `PATIENCE`, as bf16 does
    on a processor without instructions for it. rounds: 0 for a rough answer in seconds, if need be from two pictures.
    """
    model, images, labels = network(what)
    few = max(2, len(images) // 10) if rounds else 2

    def timed(do: Callable[[], object]) -> float:
        began = time.process_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            do()
        return time.process_time() - began

    small = {name: timed(do) for name, do in kinds(model, images[:few], labels[:few]).items()}  # and warms up
    patience = PATIENCE if rounds else PATIENCE / 10
    if not rounds and sum(small.values()) > patience:
        return Work(**{name: found / few for name, found in small.items()})
    if sum(small.values()) * len(images) / few > patience:
        images, labels = images[:few], labels[:few]
    again = kinds(model, images, labels).items()
    return Work(**{name: min(timed(do) for _ in range(max(1, rounds))) / len(images) for name, do in again})


def product(work: Work, each: Work) -> float:
    """The sum over the kinds."""
    return sum(a * b for a, b in zip(work, each, strict=True))


def precision_here(planned: grid.Planned) -> str:
    """What a run trains in on a processor."""
    return training.precision_on(torch.device("cpu"), planned.config.precision)


def hours(planned: grid.Planned) -> float:
    """Core hours of one run on a processor like this one: training in the run's own precision, evaluation in single."""
    return _hours(planned, *all_work(planned))


def hours_of(need: needs.Need, rounds: int = 3) -> float:
    """As `hours`, of what is missing of a run. rounds: of the measurement of this machine's speed."""
    return _hours(need.planned, *work_of(need), rounds=rounds)


def _hours(planned: grid.Planned, trained: Work, evaluated: Work, rounds: int = 3) -> float:
    what, total = architecture(planned.config), 0.0
    for work, precision in ((trained, precision_here(planned)), (evaluated, "fp32")):
        total += product(work, seconds(what, precision, rounds)) if any(work) else 0
    return total / 3600


def all_work(planned: grid.Planned) -> tuple[Work, Work]:
    """(training, evaluation) of a whole run."""
    return training_work(planned.config), evaluation_work(planned.config, planned.expected)


def work_of(need: needs.Need) -> tuple[Work, Work]:
    """(training, evaluation) of what is missing of a run."""
    config, nothing = need.planned.config, Work(0, 0, 0)
    return training_work(config) if need.train else nothing, evaluation_work(config, need.measure)


def gpu_hours(planned: grid.Planned, flops: float) -> float:
    """GPU hours of one run on a machine that keeps up `flops` operations a second."""
    return _gpu_hours(planned.config, *all_work(planned), flops)


def gpu_hours_of(need: needs.Need, flops: float = FLOPS) -> float:
    """As `gpu_hours`, of what is missing of a run."""
    return _gpu_hours(need.planned.config, *work_of(need), flops)


def _gpu_hours(config: Config, trained: Work, evaluated: Work, flops: float) -> float:
    return operations_of(trained, evaluated, config) / flops / 3600


class Estimate(NamedTuple):
    """Core hours, and of what: a processor, the precision of training, and where the numbers come from."""

    hours: float
    processor: str
    precision: str
    source: str


def estimate(todo: Sequence[needs.Need]) -> Estimate:
    """What a campaign costs on a processor: by results/plan.csv, so that a block costs what the book's table says.

    A part of a block costs its part of the block's operations. Where a run isn't in that table (another grid), all is
    measured just now.
    """
    kept, every = tables_of_plan(), {p.run: p for p in grid.load()}
    precisions, hours = set[str](), 0.0
    for need in todo:
        block = every[need.run].block if need.run in every else ""
        if block not in kept:
            break
        line = kept[block]
        hours += operations_of(*work_of(need), need.planned.config) * line["core_hours"] / _operations_of_block(block)
        precisions.add(str(line["precision"]))
    else:
        processor = str(next(iter(kept.values()))["processor"]) if kept else provenance.processor()
        return Estimate(hours, processor, " and ".join(sorted(precisions)), "results/plan.csv")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        hours = sum(hours_of(need, rounds=0) for need in todo)
    finally:
        torch.set_num_threads(before)
    precisions = {precision_here(need.planned) for need in todo}
    return Estimate(hours, provenance.processor(), " and ".join(sorted(precisions)), "measured just now")


def tables_of_plan() -> dict[str, dict[str, Any]]:
    """The lines of results/plan.csv by block; none where there is no such file, or it is of another grid's blocks."""
    path = results_dir() / "plan.csv"
    if not path.is_file():
        return {}
    counts = Counter(p.block for p in grid.load())
    lines = pd.read_csv(path, keep_default_na=False).to_dict("records")
    return {str(line["block"]): line for line in lines if counts[line["block"]] == line["runs"]}  # type: ignore[misc]


@functools.cache
def _operations_of_block(block: str) -> float:
    every = [p for p in grid.load() if p.block == block]
    return sum(operations_of(*all_work(p), p.config) for p in every)


def operations_of(trained: Work, evaluated: Work, config: Config) -> float:
    """Floating-point operations of some work on a run's network."""
    work = Work(*(a + b for a, b in zip(trained, evaluated, strict=True)))
    return product(work, operations(architecture(config)))


def shown(hours: float) -> str:
    """Hours in words, or minutes."""
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes" if hours > 1 / 60 else "a minute"


def table(planned: Sequence[grid.Planned], flops: float = FLOPS, measured: bool = True) -> pd.DataFrame:
    """One line a block: runs, done, core hours here in all and still to go, GPU hours likewise, and the precision that
    the core hours are of: what its runs train in on a processor.

    Still to go is what a campaign of the block would do here: what is missing, and can be made.
    """
    lines = []
    for block in dict.fromkeys(p.block for p in planned):
        runs = [p for p in planned if p.block == block]
        todo = needs.find([*runs, *_waited_for(runs, planned)], [block], installing=True).todo
        line: dict[str, object] = {"block": block, "runs": len(runs), "done": sum(map(grid.published, runs))}
        if measured:
            line |= {"core_hours": sum(map(hours, runs)), "core_hours_left": sum(map(hours_of, todo))}
        line["gpu_hours"] = sum(gpu_hours(p, flops) for p in runs)
        line["gpu_hours_left"] = sum(gpu_hours_of(need, flops) for need in todo)
        if measured:
            line["precision"] = "/".join(sorted({precision_here(p) for p in runs}))
        lines.append(line)
    return pd.DataFrame(lines)


def _waited_for(runs: Sequence[grid.Planned], planned: Sequence[grid.Planned]) -> list[grid.Planned]:
    """Runs of other blocks that these wait for."""
    names = {run for p in runs for run in p.after}
    return [p for p in planned if p.run in names and p not in runs]


def digits(hours: float) -> str:
    """Hours as tables print them: below one with two digits, so that what takes a minute on a GPU is no 0.0."""
    return f"{hours:,.1f}" if hours >= 1 else f"{hours:.2g}"


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(prog="python -m atlib.campaign.plan", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--blocks", default="")
    parser.add_argument("--flops", type=float, default=FLOPS, help=f"the GPU's operations per second ({FLOPS:g})")
    parser.add_argument("--write", action="store_true", help="keep the table for the book (results/plan.csv)")
    given = parser.parse_args(arguments)
    in_range("FLOPS", given.flops, 0, open_low=True)
    planned = grid.load()
    planned = grid.select(planned, given.blocks) if given.blocks else planned
    for p in planned:
        one_of("dataset", p.config.dataset, sizes())
    if given.write:
        writable(results_dir())
        provenance.committed("atlib/campaign", "workflow")  # published numbers name the commit that measured them
    torch.set_num_threads(1)
    found = table(planned, given.flops)
    hours_in = {name: digits for name in found.columns if "hours" in name}
    print(found.to_string(index=False, formatters=hours_in))
    print(
        f"core hours: one thread of {provenance.processor()}, measured just now, training in the precision of the line "
        "and evaluation in fp32"
    )
    print(f"GPU hours: not measured, at a stated {given.flops:g} operations a second")
    print("left: what a campaign would do here; published runs aren't trained again for measurements added later")
    if given.write:
        stated = {"processor": provenance.processor(), "flops": given.flops}
        with atomic(results_dir() / "plan.csv") as temporary:
            found.assign(**stated, commit=provenance.commit()).to_csv(temporary, index=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
