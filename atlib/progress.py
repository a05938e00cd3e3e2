"""How far a long job has come: one line, redrawn in place, and what it says when it has ended.

On a terminal the line is redrawn. In a notebook it is one output, replaced by the next; `atlib.campaign.engine` draws
it on the terminal that papermill was started from. Where nobody looks (a log file) it is a line every half minute at
most.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

OFTEN, SELDOM = 0.5, 30.0  # seconds between two lines where they are redrawn, and where each stays
MARK = "atlib"  # key in a notebook output's metadata: REDRAWN or KEPT
REDRAWN, KEPT = "progress", "said"
_numbers = itertools.count()


class Line:
    """A line that is drawn again and again. shown: False draws nothing; stream: None is the process's stderr.

    Call `show` as often as you like, and `close` at the end, which leaves the last text where it stands.
    """

    def __init__(self, shown: bool = True, stream: TextIO | None = None) -> None:
        self.shown = shown
        self.display = _notebook() if shown and stream is None else None
        self.stream = (stream or sys.stderr) if shown and self.display is None else None
        self.redrawn = self.display is not None or (self.stream is not None and self.stream.isatty())
        self.name = f"atlib-{next(_numbers)}-{time.time_ns()}"
        self.last, self.width, self.text, self.begun = time.monotonic(), 0, "", False

    def show(self, text: str | Callable[[], str]) -> None:
        """Draw the text, or what the function gives, unless the last one was drawn just now."""
        wait = OFTEN if self.redrawn else SELDOM
        first = self.redrawn and not self.begun  # at once: something is being done
        if (self.display is None and self.stream is None) or (time.monotonic() - self.last < wait and not first):
            return
        self._draw(text if isinstance(text, str) else text())

    def _draw(self, text: str) -> None:
        self.last, self.text = time.monotonic(), text
        if self.display is not None:
            self.display({"text/plain": text}, raw=True, metadata={MARK: REDRAWN}, display_id=self.name,
                         update=self.begun)  # fmt: skip
        elif self.stream is not None:
            if self.redrawn:
                text = text[: _columns(self.stream) - 1]  # a line that wraps can't be redrawn
                self.stream.write(f"\r{text:<{self.width}}")
            else:
                self.stream.write(f"{text}\n")
            self.stream.flush()
            self.width = len(text)
        self.begun = True

    def keep(self, text: str, file: TextIO | None = None) -> None:
        """Print a text that stays, above the line, into a file (None: stdout)."""
        if self.stream is not None and self.redrawn and self.begun:
            self.stream.write(f"\r{'':<{self.width}}\r")
            self.stream.flush()
        print(text, file=file, flush=True)

    def close(self) -> None:
        """Let later output start on a new line."""
        if self.stream is not None and self.redrawn and self.begun:
            self.stream.write("\n")
            self.stream.flush()
        self.display = self.stream = None


def _columns(stream: TextIO) -> int:
    """The width of the terminal that a stream writes to; 80 where that can't be asked."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _notebook() -> Callable[..., Any] | None:
    """IPython's `display` if this is a notebook's kernel. IPython is asked for only where it runs already."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    return display


def say(text: str, line: Line | None = None) -> None:
    """Print lines that stay, above the line that is being drawn; from papermill's notebook on its terminal, too."""
    display = _notebook()
    if display is None:
        line.keep(text) if line else print(text, flush=True)
    else:
        display({"text/plain": text}, raw=True, metadata={MARK: KEPT})


def duration(seconds: float) -> str:
    """A time in words: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


# --- Within one measurement ------------------------------------------------------------------------------------------

_listener: contextvars.ContextVar[Callable[[float], None] | None] = contextvars.ContextVar("listener", default=None)


@contextlib.contextmanager
def reporting(listener: Callable[[float], None]) -> Iterator[None]:
    """While this lasts, `report` calls `listener` with the share of the work that is done."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def report(share: float) -> None:
    """Say that this share (0 to 1) of what is being done is done; heard only within `reporting`."""
    listener = _listener.get()
    if listener is not None:
        listener(share)
