"""Parameters of the job notebooks, checked before any work.

papermill writes the parameters that it was given into a cell of their own, which begins with "# Parameters". Of a name
that the notebook doesn't know it only warns, and runs with the default of what the user meant. Here that is an error.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from . import data, evaluation, own, style, training
from .errors import InputError, nearest, one_of

TRAIN = tuple(field.name for field in fields(training.Config) if field.name != "quick")
EVALUATE = ("run", "measure", "again", "model", "dataset", "side", "classes", "weights")
STYLISE = ("dataset", "side", "styles", "stylist", "weights", "seed", "count")
# Parameters of some attacks only. Given with another attack they would be ignored without a word, so that is refused.
BELONGS = {
    "norm": ("pgd", "fgsm"),
    "eps": ("pgd", "fgsm"),
    "steps": ("pgd", "spatial"),
    "step_size": ("pgd",),
    "random_start": ("pgd",),
    "tau": ("spatial",),
    "max_flow": ("spatial",),
    "sigma": ("noise", "blur"),
    "share": ("pgd", "fgsm", "spatial", "noise", "blur"),
    "match": ("none",),
}


def quick() -> bool:
    """Whether ATLIB_QUICK asks for a job of a few seconds, which tests the notebook rather than trains a network."""
    return os.environ.get("ATLIB_QUICK", "0") not in ("", "0")


def injected(history: Sequence[str]) -> tuple[str, ...]:
    """The names that papermill's own cell assigns. history: the notebook's inputs so far (IPython's `In`)."""
    cells = [cell for cell in history if cell.lstrip().startswith("# Parameters")]
    tree = ast.parse(cells[-1]) if cells else ast.Module(body=[], type_ignores=[])
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return tuple(target.id for target in targets if isinstance(target, ast.Name))


def check_names(given: Iterable[str], values: Mapping[str, object], known: Sequence[str]) -> None:
    """InputError if one of the given names is not a parameter of the notebook. known: those that are."""
    for name in given:
        if name not in known:
            hint = nearest(name, known)
            raise InputError(f"{name} = {values[name]!r}: no such parameter{hint}; must be one of {', '.join(known)}")


def train_config(values: Mapping[str, object], history: Sequence[str] = ()) -> training.Config:
    """The configuration that train.ipynb's parameters describe. values: the notebook's globals; history: its `In`.

    InputError for an unknown name, for names that contradict each other, and for a value out of range. With
    ATLIB_QUICK=1 it is a few steps of a tiny network, a run with a name of its own.
    """
    given = injected(history)
    check_names(given, values, TRAIN)
    attack = values["attack"]
    one_of("attack", attack, training.ATTACKS)
    for name in given:
        if name in BELONGS and attack not in BELONGS[name] and values[name] not in (None, ""):
            allowed = " or ".join(BELONGS[name])
            raise InputError(f"{name} = {values[name]!r}: only with attack {allowed}, not with {attack!r}")
    config = training.resolve(**{name: values[name] for name in TRAIN})
    return replace(config, quick=True, width=4, epochs=1.0, precision="fp32") if quick() else config


def evaluate_arguments(values: Mapping[str, object], history: Sequence[str] = ()) -> dict:
    """The arguments of the function that evaluate.ipynb's parameters ask for; InputError as for `train_config`.

    For a run they are those of `evaluation.evaluate`. For a network from elsewhere (`model`) they are those of
    `own.evaluate`, with the network already found and checked. With ATLIB_QUICK=1 and neither named, it is the quick
    run of `train_config`, which is trained first if necessary.
    """
    check_names(injected(history), values, EVALUATE)
    run, measure, again, model = (values[name] for name in EVALUATE[:4])
    for name in ("measure", "model", "classes", "weights"):
        if not isinstance(values[name], str):
            what = "names separated by commas, or empty for all" if name == "measure" else "text"
            raise InputError(f"{name} = {values[name]!r}: must be {what}")
    only = tuple(name.strip() for name in str(measure).split(",") if name.strip())
    evaluation.check_only(only)
    if again not in (True, False):
        raise InputError(f"again = {again!r}: must be True or False")
    if model:
        if run:
            raise InputError(f"run = {run!r}: only without model; a run is measured, or a network from elsewhere")
        if not values["dataset"]:
            raise InputError(
                "dataset = '': must name the pictures to measure the model on, e.g. -p dataset folder:PATH"
            )
        given: dict = {name: values[name] for name in ("side", "classes", "weights")}
        return {"about": own.subject(str(model), str(values["dataset"]), **given), "only": only, "again": again}
    for name in ("dataset", "side", "classes", "weights"):
        if values[name]:
            raise InputError(f"{name} = {values[name]!r}: only with model; a run has its own")
    if not run and quick():
        defaults = {field.name: field.default for field in fields(training.Config)}
        run = training.train(train_config(defaults), progress=False)
    if not run:
        raise InputError("run = '': must name a finished run, as a folder or as DATASET/RUN, e.g. -p run runs/shapes/…")
    return {"run": training.find_run(str(run)), "only": only, "again": again}


def evaluate(arguments: Mapping[str, Any]) -> Path:
    """Measure what `evaluate_arguments` describes; returns the folder."""
    return own.evaluate(**arguments) if "about" in arguments else evaluation.evaluate(**arguments)


def stylise_arguments(values: Mapping[str, object], history: Sequence[str] = ()) -> dict:
    """The arguments of `style.make` that stylise.ipynb's parameters describe; InputError as for `train_config`.

    With ATLIB_QUICK=1 they are three pictures of `shapes`.
    """
    check_names(injected(history), values, STYLISE)
    given = {name: values[name] for name in STYLISE}
    for name in ("styles", "stylist", "weights"):
        if not isinstance(given[name], str):
            raise InputError(f"{name} = {given[name]!r}: must be text")
    one_of("stylist", given["stylist"], style.STYLISTS)
    given |= {"dataset": "shapes", "side": None, "count": 3} if quick() else {}
    data.check(str(given["dataset"]), given["side"])  # type: ignore[arg-type]
    return given
