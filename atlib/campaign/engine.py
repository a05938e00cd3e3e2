"""papermill's plugin: what a job of this repository shows on the terminal while it runs, and how it ends there.

papermill finds it as an entry point (pyproject.toml), under the name "atlib", and it takes the place of papermill's
own engine for notebooks that import `atlib.campaign.jobs`; all others run as they always do. On stderr it draws the
line of `atlib.progress`, prints what the job says at its end, and gives an error as its one line, last and alone.
Stdout stays papermill's: a notebook.
"""

from __future__ import annotations

import sys
import warnings
from types import TracebackType
from typing import Any

import nbformat
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.log import logger

from ..progress import KEPT, MARK, REDRAWN, Line

JOB = "from atlib.campaign import jobs"
ERRORS = ("InputError", "Missing", "NetworkError")  # of atlib.errors: told in one line
# ipykernel's own messages below this level mean nothing here: that the kernel listens on this machine's loopback, and
# that it was interrupted when papermill, which had all it wanted, told it to end.
KERNEL = ["--IPKernelApp.log_level=CRITICAL"]


class Client(PapermillNotebookClient):
    """Runs the cells, and passes on what the notebook shows for the terminal."""

    line: Line

    def papermill_execute_cells(self) -> None:
        self.line.show("the notebook's kernel has started; next, torch")
        super().papermill_execute_cells()

    def process_message(self, message: dict[str, Any], *place: Any) -> Any:
        content = message.get("content", {})
        mark = (content.get("metadata") or {}).get(MARK)
        text = (content.get("data") or {}).get("text/plain", "")
        if mark == REDRAWN:
            self.line.show(text)
        elif mark == KEPT and self.line.shown:
            self.line.keep(text, sys.stderr)
        return super().process_message(message, *place)


class JobEngine(NBClientEngine):
    """papermill's own engine, with a line on the terminal for the notebooks that are jobs."""

    @classmethod
    def execute_notebook(
        cls, nb: nbformat.NotebookNode, kernel_name: str, progress_bar: Any = True, **more: Any
    ) -> nbformat.NotebookNode:
        if not is_job(nb):
            return super().execute_notebook(nb, kernel_name, progress_bar=progress_bar, **more)
        sys.excepthook = in_one_line
        # papermill's bar counts cells, of which one takes all the time
        return super().execute_notebook(nb, kernel_name, progress_bar=False, drawn=progress_bar is not False, **more)

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **given: Any) -> None:
        if "drawn" not in given:
            super().execute_managed_notebook(nb_man, kernel_name, **given)
            return
        line = Line(shown=given.pop("drawn"), stream=sys.stderr)
        try:
            _run(nb_man, kernel_name, line, **given)
        finally:
            line.close()


def _run(
    nb_man: Any,
    kernel_name: str,
    line: Line,
    *,
    start_timeout: int = 60,
    execution_timeout: int | None = None,
    input_path: str = "",
    **more: Any,
) -> None:
    """As papermill's own engine, with this module's client."""
    more.setdefault("extra_arguments", KERNEL)
    timeouts = {"timeout": execution_timeout, "startup_timeout": start_timeout}
    client = Client(nb_man, kernel_name=kernel_name, log=logger, **timeouts, **more)
    client.line = line
    client.execute()


def is_job(nb: nbformat.NotebookNode) -> bool:
    """Whether a notebook is one of this repository's jobs."""
    return any(JOB in cell.source for cell in nb.cells if cell.cell_type == "code")


def in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What ends a job that failed, in place of papermill's own traceback: bad input in one line, the last and alone.

    Any other error comes with the notebook's traceback, which papermill's message holds.
    """
    if not isinstance(error, PapermillExecutionError):
        sys.__excepthook__(kind, error, trace)
    elif error.ename in ERRORS:
        print(f"error: {error.evalue}", file=sys.stderr)
    else:
        print(error, file=sys.stderr)


def register() -> type[Engine]:
    """Take the place of papermill's own engine; the class that the entry point "atlib" names."""
    warnings.filterwarnings("ignore", "the file is not specified with any extension : -$", UserWarning)
    papermill_engines.register(None, JobEngine)
    return JobEngine


ENGINE = register()
