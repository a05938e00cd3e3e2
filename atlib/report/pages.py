"""Run the book's pages: authors edit book/NAME.md; notebooks/NAME.ipynb is its twin with the outputs.

    python -m atlib.report.pages [NAME ...] [--all]

runs the pages whose code has changed, and copies changed text to the twin without running anything. A page with a cell
tagged `parameters` is a job for papermill: its twin is kept without outputs. Twins are written in one form (fixed cell
ids, no times, no versions), so that running a page again on the same machine changes no byte.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from ..errors import command_line, one_of
from ..files import atomic, checkout_path
from . import citations

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {"name": "python", "pygments_lexer": "ipython3"}
VIEW = "application/vnd.jupyter.widget-view+json"
# What a notebook shows instead of its sliders until it has been run.
NOT_RUN = (
    "Sliders: in JupyterLab, run this cell (Shift+Enter) and they compute what they show; a page needs JavaScript."
)
KEPT = ("tags", "mystnb")  # cell metadata that is part of the source; the rest comes from tools


def pairs(root: Path | None = None) -> dict[str, tuple[Path, Path]]:
    """Every page of a repository (None: the checkout) by its name: (book/NAME.md, notebooks/NAME.ipynb)."""
    root = root or checkout_path("book").parent
    return {p.stem: (p, root / "notebooks" / f"{p.stem}.ipynb") for p in sorted((root / "book").glob("*.md"))}


def source(notebook: NotebookNode) -> list[tuple[str, str, dict]]:
    """What a page and its twin have in common: kind, text and kept metadata of each cell."""
    return [
        (cell.cell_type, cell.source, {key: cell.metadata[key] for key in KEPT if cell.metadata.get(key)})
        for cell in notebook.cells
    ]


def code(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def is_job(notebook: NotebookNode) -> bool:
    """Whether papermill runs this page with parameters."""
    return any("parameters" in cell.metadata.get("tags", []) for cell in notebook.cells)


def was_run(notebook: NotebookNode) -> bool:
    """Whether its cells were run once, in order, from first to last, by a fresh kernel."""
    counts = [cell.execution_count for cell in code(notebook)]
    return counts == list(range(1, len(counts) + 1))


def settle(notebook: NotebookNode) -> NotebookNode:
    """A twin in its fixed form: cell ids from the content, and no metadata on tools, times or versions."""
    fixed = nbformat.v4.new_notebook(metadata={"kernelspec": KERNEL, "language_info": LANGUAGE})
    if "widgets" in notebook.metadata:
        fixed.metadata["widgets"] = notebook.metadata["widgets"]
    seen: dict[str, int] = {}
    for cell, (kind, text, metadata) in zip(notebook.cells, source(notebook), strict=True):
        name = hashlib.sha256(f"{kind}\n{text}".encode()).hexdigest()[:8]
        seen[name] = seen.get(name, 0) + 1
        extra = {key: cell[key] for key in ("attachments", "execution_count", "outputs") if key in cell}
        new = NotebookNode(id=f"{name}-{seen[name]}", cell_type=kind, source=text, metadata=metadata, **extra)
        fixed.cells.append(nbformat.from_dict(new))
    return fixed


def as_text(notebook: NotebookNode) -> str:
    """The bytes of a twin."""
    return nbformat.writes(settle(notebook), version=4) + "\n"


def run(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells in a fresh kernel whose working directory is `folder`, and keep the outputs in the notebook.

    ATLIB_BUILD makes widgets hold all their frames instead of computing them (atlib.report.widgets).
    """
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook, timeout=None, kernel_name="python3", resources=resources, record_timing=False, coalesce_streams=True
    )
    client.execute(env=os.environ | {"ATLIB_BUILD": "1"})
    for cell in code(notebook):
        for output in cell.get("outputs", []):
            if VIEW in output.get("data", {}):
                output["data"]["text/plain"] = NOT_RUN  # not a thousand names


def read(text: str) -> NotebookNode:
    """A page as a notebook that is yet to be run; citations are links, which JupyterLab shows too."""
    page = jupytext.reads(text, fmt="md:myst")
    for cell in page.cells:
        if cell.cell_type == "markdown":
            cell.source = citations.linked(cell.source)
    return page


def update(markdown: Path, twin: Path, again: bool = False) -> str:
    """Bring a twin up to date with its page; says what it took: "run", "text" or "nothing"."""
    page = read(markdown.read_text(encoding="utf-8"))
    old = nbformat.read(twin, as_version=4) if twin.exists() else nbformat.v4.new_notebook()
    unchanged = was_run(old) and [cell.source for cell in code(page)] == [cell.source for cell in code(old)]
    runs = not is_job(page) and (again or not unchanged)
    if runs:
        run(page, twin.parent)
    elif not is_job(page):
        take_outputs(page, old)
    text = as_text(page)
    if not twin.exists() or twin.read_text(encoding="utf-8") != text:
        with atomic(twin) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return "run" if runs else "text"
    return "run" if runs else "nothing"


def take_outputs(page: NotebookNode, old: NotebookNode) -> None:
    """Give a page with the same code the outputs of its twin."""
    if "widgets" in old.metadata:
        page.metadata["widgets"] = old.metadata["widgets"]
    for new, kept in zip(code(page), code(old), strict=True):
        new.outputs, new.execution_count = kept.outputs, kept.execution_count


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m atlib.report.pages", description="Run the book's changed pages.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="pages by name, such as index; default: every page")
    parser.add_argument("--all", action="store_true", help="run the pages even if their code is unchanged")
    options = parser.parse_args(arguments)
    pages, failed = pairs(), 0
    for name in options.names:
        one_of("NAME", name, pages)
    for name in options.names or pages:
        began = time.monotonic()
        try:
            took = update(*pages[name], again=options.all)
        except CellExecutionError as error:
            failed, took = 1, f"failed, its twin is left as it was\n{error}"
        print(f"notebooks/{name}.ipynb: {took} ({time.monotonic() - began:.1f} s)", flush=True)
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
