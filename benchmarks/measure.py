"""Seconds and passes: what a comparison is measured with."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode


@dataclass(frozen=True)
class Row:
    """One comparison. Seconds are None where passes are counted or nothing was timed."""

    what: str
    against: str
    reach: str
    met: str
    ours_s: float | None = None
    theirs_s: float | None = None
    ratio: float | None = None
    detail: str = ""


class Timed(NamedTuple):
    """Median seconds, and what the last call gave."""

    seconds: float
    result: Any


def alternate(contestants: dict[str, Callable[[], Any]], rounds: int, title: str) -> dict[str, Timed]:
    """Run all contestants in turn, `rounds` times, each round beginning with another one.

    Seconds are the processor's for this process, all threads together: a neighbour's load does not count as ours.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    results: dict[str, Any] = {}
    names = list(contestants)
    for number in range(rounds):
        print(f"{title}: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
        first = number % len(names)
        for name in names[first:] + names[:first]:
            before = time.process_time()
            results[name] = contestants[name]()
            seconds[name].append(time.process_time() - before)
    return {name: Timed(median(seconds[name]), results[name]) for name in names}


def compare(
    what: str, against: str, reach: float, ours: Timed | None, theirs: Timed | None, detail: str = "", fair: bool = True
) -> Row:
    """The row of two timed contestants. ours None: bf16 that is not fast here; fair: whether they found the same."""
    if ours is None or theirs is None:
        return Row(what, against, f"{reach:.2f}", "bf16 is not fast here", detail=detail)
    ratio = ours.seconds / theirs.seconds
    met = "yes" if ratio <= reach and fair else "no"
    return Row(what, against, f"{reach:.2f}", met, ours.seconds, theirs.seconds, ratio, detail)


class Passes(TorchDispatchMode):
    """Counts convolutions run forwards, gradients of their inputs and gradients of their weights.

    No clock: the same on every machine. types: what the convolutions were computed in.
    """

    def __init__(self) -> None:
        super().__init__()
        self.forwards = self.inputs = self.weights = 0
        self.types: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            self.forwards += 1
            self.types.add(args[0].dtype)
        elif func is torch.ops.aten.convolution_backward.default:
            inputs, weights, _ = args[-1]  # which gradients are asked for
            self.inputs += inputs
            self.weights += weights
        return func(*args, **(kwargs or {}))

    def of_a_network(self, convolutions: int) -> str:
        """forwards/input gradients/weight gradients of a network with so many convolutions."""
        return "/".join(f"{count / convolutions:g}" for count in (self.forwards, self.inputs, self.weights))
