"""The layers of the library: nothing imports upwards or in a circle; the lowest loads nothing of the others."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import atlib
from atlib import provenance
from atlib.files import REPOSITORY

ROOT = Path(atlib.__file__).parent
LAYERS = ("", "campaign", "report")  # from the lowest up
HEAVY = ("matplotlib", "IPython", "papermill", "ipywidgets", "jinja2", "seaborn")


def name_of(path: Path) -> str:
    """A module's name below atlib; of a package's __init__.py the package's."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix("__init__").rstrip(".")


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def layer(module: str) -> int:
    package = module.partition(".")[0]
    return LAYERS.index(package) if package in LAYERS else 0


def imported(module: str) -> Iterator[tuple[str, ast.stmt]]:
    """The modules of atlib that a module imports, wherever in its code, with the statement that does it."""
    path = MODULES[module]
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name.removeprefix("atlib.") for alias in node.names if alias.name.startswith("atlib.")]
        elif isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").partition(".")[0] == "atlib"):
            base = package[: len(package) + 1 - node.level] if node.level else []
            below = (node.module or "").split(".") if node.level else (node.module or "").split(".")[1:]
            parent = ".".join(filter(None, [*base, *below]))
            whole = [".".join(filter(None, (parent, alias.name))) for alias in node.names]
            found = [name if name in MODULES else parent for name in whole]
        else:
            continue
        for name in found:
            assert name in MODULES, f"{module} imports {name!r}"
            if name:  # atlib itself sets how threads wait, and imports nothing
                yield name, node


def test_nothing_imports_upwards() -> None:
    assert {layer(module) for module in MODULES} == {0, 1, 2}
    for module in MODULES:
        for name, node in imported(module):
            assert layer(name) <= layer(module), f"atlib.{module}, line {node.lineno}: imports atlib.{name}"


def test_there_is_no_circle() -> None:
    graph = {module: {name for name, _ in imported(module)} - {module} for module in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)  # CycleError names a circle


def test_the_lowest_layer_loads_nothing_of_pages_or_figures() -> None:
    lowest = [f"atlib.{module}" for module in MODULES if module and layer(module) == 0]
    code = f"""
import importlib, sys
for name in {lowest!r}:
    importlib.import_module(name)
    above = [other for other in sys.modules if other.startswith(("atlib.campaign", "atlib.report"))]
    found = [other for other in sys.modules if other in {HEAVY!r}]
    assert not above and not found, (name, above, found)
importlib.import_module("atlib.report.job")  # as notebooks that train or measure do
assert not {{"scipy.stats", "seaborn"}} & set(sys.modules), "loaded by what doesn't use it"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr


def test_what_marks_a_commit_is_the_ground_layer() -> None:
    """A number depends on every module of the lowest layer and not on a table: see provenance.SOURCES."""
    words = ("git", "-C", str(REPOSITORY), "ls-files", "--", *provenance.SOURCES)
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    marked = {path for path in map(Path, listed) if path.suffix == ".py"}
    lowest = {path.relative_to(REPOSITORY) for module, path in MODULES.items() if layer(module) == 0}
    recording = {
        path.relative_to(REPOSITORY)
        for module, path in MODULES.items()
        if layer(module) > 0 and "provenance.record(" in path.read_text(encoding="utf-8")
    }  # what they compute is published with the commit
    # one chooses the strength of cue conflict, the other makes runs of a notebook's parameters
    also = {Path("atlib/campaign/cues.py"), Path("atlib/campaign/jobs.py")}
    assert len(recording) > 5 and marked == lowest | recording | also
    assert {"notebooks/train.ipynb", "notebooks/evaluate.ipynb", "requirements.txt", "constraints.txt"} <= set(listed)


def test_readme_names_every_module_below_the_report() -> None:
    whole = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for place, package in (("`atlib/`", ""), ("`atlib/campaign/`", "campaign.")):
        text = whole.partition(f"Inside {place}:\n")[2].partition("\nInside ")[0]
        level = 0 if not package else LAYERS.index("campaign")
        below = {name.removeprefix(package).partition(".")[0] for name in MODULES if layer(name) == level}
        public = {name for name in below if name and not name.startswith("_") and name != "campaign"}
        assert public and public == {name for name in public if f"`{name}`" in text}


def test_readme_names_every_module_of_the_report() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("Inside `atlib/report/`:\n")[2]
    here = {name.split(".")[1] for name in MODULES if name.startswith("report.")}
    assert here == {name for name in here if f"`{name}`" in text}
