"""Errors told in one line; for bad input the parameter, the value, and what is allowed."""

from __future__ import annotations

import difflib
import functools
import math
import numbers
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol


class AtlibError(Exception):
    """What stops atlib for a reason that can be told in one line; the kinds below say whose it is."""

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the one line, not the way to it."""
        return [f"{type(self).__name__}: {self}"]


class InputError(AtlibError, ValueError):
    """A parameter, file or folder that cannot be used; the message is one line meant for the user."""


class Missing(AtlibError):
    """A run, row, prediction or file of weights that isn't there (yet)."""


class NetworkError(AtlibError):
    """A network that gives outputs, gradients or maps that are NaN or infinite, or outputs that are no classes."""


class Main(Protocol):
    """A module's command line: its arguments (None: the process's) to its exit status."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int: ...


def command_line(main: Callable[[Sequence[str] | None], int]) -> Main:
    """Decorator of a module's `main`: one line on stderr and status 2 for what can't be used, read or written."""

    @functools.wraps(main)
    def told(arguments: Sequence[str] | None = None) -> int:
        try:
            return main(arguments)
        except (AtlibError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return told


def nearest(name: str, allowed: Iterable[str]) -> str:
    """ " (did you mean 'x'?)" for the closest of the allowed names, or an empty string."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def one_of(parameter: str, value: object, allowed: Iterable[object]) -> None:
    """Raise InputError unless the value is one of those allowed."""
    allowed = list(allowed)
    if value not in allowed:
        names = ", ".join(str(a) for a in allowed)
        hint = nearest(str(value), [str(a) for a in allowed])
        raise InputError(f"{parameter} = {value!r}: must be one of {names}{hint}")


def in_range(
    parameter: str,
    value: Any,
    low: float,
    high: float = math.inf,
    *,
    open_low: bool = False,
    whole: bool = False,
) -> None:
    """Raise InputError unless the value is a finite number in [low, high] (or ]low, high]), whole if asked."""
    lowest, highest = (str(bound) if isinstance(bound, int) else f"{bound:g}" for bound in (low, high))
    bounds = f"above {lowest}" if open_low else f"at least {lowest}"
    bounds += f" and at most {highest}" if math.isfinite(high) else ""
    allowed = lowest if low == high else f"{'a whole number' if whole else 'a number'} {bounds}"
    # numpy's scalars are numbers, too; its booleans, like Python's, aren't meant
    number = isinstance(value, numbers.Integral if whole else numbers.Real) and not isinstance(value, bool)
    # comparisons alone, which also hold for whole numbers too large for a float; nan fails them all
    inside = number and low <= value <= high and abs(value) != math.inf
    if not inside or (open_low and value == low):
        shown = value.item() if number and hasattr(value, "item") else value  # -1, not np.int64(-1)
        raise InputError(f"{parameter} = {shown!r}: must be {allowed}")
