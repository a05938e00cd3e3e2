"""What a campaign says: at its start what it will do and what that costs, at its end what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import torch

from .. import provenance, training
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
    """What it costs, in a line: measured here for a processor, by a stated speed for a GPU."""
    unknown = {need.planned.config.dataset for need in found.todo} - set(plan.PICTURES)
    if unknown:
        return f"cost: not known for {', '.join(sorted(unknown))}"
    styled = f"; the {len(found.stylised)} stylised test sets aren't in this" if found.stylised else ""
    if device is not None and device.type == "cuda":
        hours = sum(plan.gpu_hours_of(need) for need in found.todo)
        name = torch.cuda.get_device_name(device)
        return f"cost: about {60 * hours:.0f} minutes of {name} at a stated {plan.FLOPS:g} operations a second{styled}"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        hours = sum(plan.hours_of(need, rounds=0) for need in found.todo)
    finally:
        torch.set_num_threads(before)
    precisions = {training.precision_on(torch.device("cpu"), need.planned.config.precision) for need in found.todo}
    return (
        f"cost: roughly {plan.shown(hours)} of one core of {provenance.processor()}, measured just now for training in "
        f"{' and '.join(sorted(precisions))} and measuring in fp32{styled}"
    )


def omissions(found: needs.Needs) -> Iterable[str]:
    """What is left out, and why."""
    for line in found.blocked:
        yield f"left out, some stylised test sets: {line}"
    if found.left:
        some = ", ".join(p.run for p in found.left[:3]) + (", …" if len(found.left) > 3 else "")
        yield (
            f"left as they are, published runs that lack measurements and whose weights aren't under {runs_dir()}: "
            f"{len(found.left)} ({some})"
        )


def status(planned: Sequence[grid.Planned]) -> None:
    """Print how far each run has come."""
    table = grid.status(list(planned))
    print(grid.wide(table).to_string(index=False))
    print(counted(table["state"]), flush=True)


def summary(planned: Sequence[grid.Planned]) -> int:
    """Print what came of it; 1 if a run failed."""
    table = grid.status(list(planned))
    print(counted(table["state"]), flush=True)
    for line in table[table["state"] == "failed"].to_dict("records"):
        print(f"{line['run']}: {line['text']} (log and notebook in {runs_dir() / line['run']})", flush=True)
    return int((table["state"] == "failed").any())


def counted(states: Iterable[str]) -> str:
    """The states of runs as text: "1 done, 0 running, 0 failed, 5 pending"."""
    counts = Counter(states)
    return ", ".join(f"{counts[name]} {name}" for name in grid.STATES)
