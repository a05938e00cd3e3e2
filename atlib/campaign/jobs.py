"""Check the parameters of the job notebooks before any work.

papermill writes the parameters that it was given into a cell of their own, which begins with "# Parameters". If the
notebook doesn't know one of the names, papermill only warns and runs with the default of the parameter that the user
meant. Here an unknown name is an error.

Parameters are checked before any work, and those of a run before torch is imported, which takes seconds. After that
come names of ImageNet weights, of measurements and of stylists, what else belongs to a network from elsewhere, and the
styles, seed and count of stylised pictures, which `style.make` checks.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from .. import registry
from ..choices import ATTACKS, BELONGS
from ..configuration import Config, find_run, resolve
from ..errors import InputError, nearest, one_of

QUICK = ("clean", "saturation", "conflict")  # what a quick job measures; slower measurements would test nothing more


def quick() -> bool:
    """Whether ATLIB_QUICK asks for a job of a few seconds, which tests the notebook rather than trains a network."""
    return os.environ.get("ATLIB_QUICK", "0") not in ("", "0")


def assigned(cells: Sequence[str]) -> tuple[str, ...]:
    """The names that the last of some cells assigns, in their order."""
    found: list[ast.expr] = []
    for node in ast.parse(cells[-1]).body if cells else ():
        found += (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
    return tuple(target.id for target in found if isinstance(target, ast.Name))


def declared(history: Sequence[str]) -> tuple[str, ...]:
    """The names that the notebook's parameters cell, its first one, assigns. history: IPython's `In`."""
    return assigned([cell for cell in history if cell.strip()][:1])


def injected(history: Sequence[str]) -> tuple[str, ...]:
    """The names that papermill's own cell assigns."""
    return assigned([cell for cell in history if cell.lstrip().startswith("# Parameters")])


def check_names(values: Mapping[str, object], history: Sequence[str]) -> None:
    """InputError for a name that papermill was given and the notebook does not know."""
    known = declared(history)
    for name in injected(history):
        if name not in known:
            hint = nearest(name, known)
            raise InputError(f"{name} = {values[name]!r}: no such parameter{hint}; must be one of {', '.join(known)}")


def choices() -> tuple[str, ...]:
    """Everything that can be chosen about a run: the parameters of train.ipynb."""
    return tuple(field.name for field in fields(Config) if field.name != "quick")


def train_config(values: Mapping[str, object], history: Sequence[str] = ()) -> Config:
    """The configuration that train.ipynb's parameters describe. values: the notebook's globals; history: its `In`.

    InputError for an unknown name, for names that contradict each other, and for a value out of range. With
    ATLIB_QUICK=1 it is a few steps of a tiny network, a run with a name of its own.
    """
    check_names(values, history)
    attack = values["attack"]
    one_of("attack", attack, ATTACKS)
    for name in injected(history):
        if name in BELONGS and attack not in BELONGS[name] and values[name] not in (None, ""):
            allowed = " or ".join(BELONGS[name])
            raise InputError(f"{name} = {values[name]!r}: only with attack {allowed}, not with {attack!r}")
    config = resolve(**{name: values[name] for name in choices()})
    return replace(config, quick=True, width=4, epochs=1.0, precision="fp32") if quick() else config


def evaluate_arguments(values: Mapping[str, object], history: Sequence[str] = ()) -> dict:
    """The arguments of the function that evaluate.ipynb's parameters ask for; InputError as for `train_config`.

    For a run they are those of `evaluation.evaluate`. For a network from elsewhere (`model`) they are those of
    `own.evaluate`, with the network already found and checked. With ATLIB_QUICK=1 and neither named, it is the quick
    run of `train_config`, which is trained first if necessary, and of its measurements QUICK ones.
    """
    check_names(values, history)
    run, measure, again, model = (values[name] for name in ("run", "measure", "again", "model"))
    for name in ("measure", "model", "classes", "weights", "sample"):
        if not isinstance(values[name], str):
            what = "names separated by commas, or empty for all" if name == "measure" else "text"
            raise InputError(f"{name} = {values[name]!r}: must be {what}")
    names = tuple(name.strip() for name in str(measure).split(",") if name.strip())
    if again not in (True, False):
        raise InputError(f"again = {again!r}: must be True or False")
    if model:
        if run:
            raise InputError(f"run = {run!r}: must be empty when model is given; name a run or a network, not both")
        if not values["dataset"]:
            raise InputError(
                "dataset = '': must name the pictures to measure the model on, e.g. -p dataset folder:PATH"
            )
    for name in ("dataset", "side", "classes", "weights", "limit"):
        if values[name] not in (None, "") and not model:
            raise InputError(f"{name} = {values[name]!r}: must be empty unless model is given; a run has its own")
    if not run and not model and not quick():
        raise InputError("run = '': must name a finished run, as a folder or as DATASET/RUN, e.g. -p run runs/shapes/…")
    found = find_run(str(run)) if run else None
    if model:
        registry.check(str(values["dataset"]), values["side"])  # type: ignore[arg-type]
    from .. import evaluation, own, training

    evaluation.check_measure(names)
    if model:
        given: dict = {name: values[name] for name in ("side", "classes", "weights", "limit", "sample")}
        return {"about": own.subject(str(model), str(values["dataset"]), **given), "measure": names, "again": again}
    if found is None:
        defaults = {field.name: field.default for field in fields(Config)}
        found, names = training.train(train_config(defaults), progress=False), names or QUICK
    return {"run": found, "measure": names, "again": again}


def evaluate(arguments: Mapping[str, Any]) -> Path:
    """Measure what `evaluate_arguments` describes; returns the folder."""
    from .. import evaluation, own

    return (
        own.evaluate(**arguments, interface="papermill") if "about" in arguments else evaluation.evaluate(**arguments)
    )


def stylise_arguments(values: Mapping[str, object], history: Sequence[str] = ()) -> dict:
    """The arguments of `style.make` that stylise.ipynb's parameters describe; InputError as for `train_config`.

    With ATLIB_QUICK=1 they are three pictures of `shapes`.
    """
    check_names(values, history)
    given = {name: values[name] for name in ("dataset", "side", "styles", "stylist", "weights", "seed", "count")}
    for name in ("styles", "stylist", "weights"):
        if not isinstance(given[name], str):
            raise InputError(f"{name} = {given[name]!r}: must be text")
    given |= {"dataset": "shapes", "side": None, "count": 3} if quick() else {}
    registry.check(str(given["dataset"]), given["side"])  # type: ignore[arg-type]
    from .. import style

    one_of("stylist", given["stylist"], style.STYLISTS)
    return given
