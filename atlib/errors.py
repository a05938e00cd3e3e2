"""Errors with messages of one line. For bad input the line names the parameter, its value and what is allowed."""

from __future__ import annotations

import difflib
import functools
import io
import math
import numbers
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol


class AtlibError(Exception):
    """An error whose reason fits in one line; its subclasses say where the fault lies."""

    def _render_traceback_(self) -> list[str]:
        """Show only the one line in a notebook, without the traceback."""
        return [f"{type(self).__name__}: {self}"]


class InputError(AtlibError, ValueError):
    """A parameter, file or folder that cannot be used; the message is one line meant for the user."""


class Missing(AtlibError):
    """A run, row, prediction or file of weights that isn't there (yet)."""


class NetworkError(AtlibError):
    """A network whose outputs, gradients or maps are NaN or infinite, or whose outputs are not classes."""


def last_line(error: BaseException) -> str:
    """An error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


class Main(Protocol):
    """A module's command line: takes its arguments (None: those of the process), returns the exit status."""

    def __call__(self, arguments: Sequence[str] | None = None) -> int: ...


def command_line(main: Callable[[Sequence[str] | None], int]) -> Main:
    """Decorator for a module's `main`: one line on stderr and status 2 for input, files or folders that can't be used.

    Characters that the terminal can't encode are printed as "?". If the reader closes the output early, as `head`
    does, the program ends silently with status 141, as it would in a shell. Ctrl-C ends it with a line and status 130.
    """

    @functools.wraps(main)
    def guarded(arguments: Sequence[str] | None = None) -> int:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        try:
            status = main(arguments)
            sys.stdout.flush()
            return status
        except BrokenPipeError:  # whoever read the output has had enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at its end
            return 128 + signal.SIGPIPE
        except KeyboardInterrupt:
            print("interrupted; what was finished is kept", file=sys.stderr)
            return 128 + signal.SIGINT
        except (AtlibError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return guarded


def nearest(name: str, allowed: Iterable[str]) -> str:
    """The text " (did you mean 'x'?)" with the closest of the allowed names, or "" if none is close."""
    close = difflib.get_close_matches(str(name), list(allowed), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""


def one_of(parameter: str, value: object, allowed: Iterable[object]) -> None:
    """Raise InputError unless the value is one of the allowed ones."""
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
    open_high: bool = False,
    whole: bool = False,
) -> None:
    """Raise InputError unless the value is a finite number from `low` to `high`.

    open_low, open_high: `low` or `high` itself is not allowed. whole: it must be a whole number.
    """
    lowest, highest = (str(bound) if isinstance(bound, int) else f"{bound:g}" for bound in (low, high))
    bounds = f"above {lowest}" if open_low else f"at least {lowest}"
    bounds += f" and {'below' if open_high else 'at most'} {highest}" if math.isfinite(high) else ""
    allowed = lowest if low == high else f"{'a whole number' if whole else 'a number'} {bounds}"
    # numpy's scalars count as numbers; booleans, numpy's or Python's, do not
    number = isinstance(value, numbers.Integral if whole else numbers.Real) and not isinstance(value, bool)
    # only comparisons: they also work for whole numbers too large for a float, and NaN fails all of them
    inside = number and low <= value <= high and abs(value) != math.inf
    if not inside or (open_low and value == low) or (open_high and value == high):
        shown = value.item() if number and hasattr(value, "item") else value  # -1, not np.int64(-1)
        raise InputError(f"{parameter} = {shown!r}: must be {allowed}")


LEAST_BUDGET = 0.1  # of 255: no attack within it changes a pixel by half a grey level


def budget_in_255ths(parameter: str, value: Any, norm: str = "linf", least: float = LEAST_BUDGET) -> None:
    """Raise InputError unless the value is an attack's budget in the unit of the parameters, 1/255 for l_inf.

    least: smaller positive values are refused (0: any size, as for a step). Values on the pixel scale from 0 to 1
    ("2/255", 0.03) get a hint.
    """
    unit = "in units of 1/255" if norm == "linf" else "in the paper's unit"
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    numerator, slash, denominator = str(value).partition("/")
    if isinstance(value, str) and slash and denominator.strip() == "255" and numerator.strip().isdecimal():
        raise InputError(f"{parameter} = {value!r}: {unit}: write {numerator.strip()}")
    if number and 0 < value < least:
        meant = f": write {255 * float(value):.3g} for {float(value):g} of a pixel's range" if norm == "linf" else ""
        raise InputError(f"{parameter} = {value!r}: must be at least {least:g}, {unit}{meant}")
    in_range(parameter, value, least, 255, open_low=not least)
