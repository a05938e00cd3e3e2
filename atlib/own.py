"""Measure anyone's network on everything that our networks are shown.

    about = own.subject("module:function", "cifar10")        # or a torch module in place of the text
    folder = own.evaluate(about)                             # rows.csv, predictions.npz, evaluation.json, own.json

`notebooks/evaluate.ipynb -p model …` and `python -m atlib.report.own` do the same, and make a page of it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from . import data, evaluation, examples, measurements, provenance, training
from .errors import InputError, in_range, last_line, one_of
from .files import hold, read_json, runs_dir, writable, write_json
from .networks import (
    ALIKE,
    SOURCES,
    Grouped,
    Loaded,
    answer,
    check,
    class_lines,
    fill,
    network,
    read_classes,
)
from .progress import say
from .suspicions import suspicions
from .tensors import tensor_digest

ANSWERED = 8  # test pictures whose answers tell whether a network is still the one that was measured
LONGEST_NAME = 60  # characters of a network's name that are kept
SAMPLES = ("stratified", "first")  # how `limit` chooses pictures
# how each interface spells the options
INTERFACES = {
    "python": {"limit": "limit=2000", "measure": 'measure=("saturation@1024",)', "names": "measure"},
    "command line": {"limit": "--limit 2000", "measure": "--measure saturation@1024", "names": "--measure"},
    "papermill": {"limit": "-p limit 2000", "measure": "-p measure saturation@1024", "names": "-p measure"},
}


@dataclass(frozen=True)
class Own:
    """A network from elsewhere, ready to be measured.

    name: as rows name it; source: what was asked for; subject: the network and its pictures; digest: of its weights;
    answers: its outputs for the first few test pictures; suspicion: lines on what seems wrong with it, one below the
    other (normalised input and the like); chosen: how its pictures were chosen, if they are a part; groups: the outputs
    that stand for each class, if they were given.
    """

    name: str
    source: str
    subject: measurements.Subject
    digest: str
    answers: np.ndarray
    suspicion: str = ""
    chosen: str = ""
    groups: Sequence[Sequence[int]] | None = None


def chosen_pictures(labels: Tensor, limit: int, sample: str = "stratified", seed: int = 0) -> Tensor:
    """Places of `limit` pictures, in order: the first, or a seeded sample with every class's share in the whole.

    Each class gets its share rounded down; the classes with the largest remainders get one more.
    """
    one_of("sample", sample, SAMPLES)
    in_range("limit", limit, 1, whole=True)
    if limit >= len(labels):
        return torch.arange(len(labels))
    if sample == "first":
        return torch.arange(limit)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    kinds, counts = labels.unique(return_counts=True)
    exact = counts.double() * limit / len(labels)
    take = exact.floor().long()
    rest = (exact - take).argsort(descending=True, stable=True)[: limit - int(take.sum())]
    take[rest] += 1
    mine = [order[labels[order] == kind][:number] for kind, number in zip(kinds, take.tolist(), strict=True)]
    return torch.cat(mine).sort().values


def subject(
    model: nn.Module | str,
    dataset: str,
    *,
    side: int | None = None,
    classes: str = "",
    weights: str = "",
    name: str = "",
    limit: int | None = None,
    sample: str = "stratified",
) -> Own:
    """A network and the test set it is to be measured on.

    model: a module in evaluation mode that takes float pictures in [0, 1], N×3×side×side, or a text (SOURCES). dataset,
    side: as for `data.load`; folder:PATH is anybody's pictures, one folder a class. classes: a CSV (`read_classes`),
    needed where the network's outputs aren't the data set's classes in their order. weights: a checkpoint to fill the
    network with (`networks.fill`). limit: so many of the test pictures (None: all), as `chosen_pictures` takes them.
    InputError in one line for what can't be used, NetworkError if the network's outputs or gradients are NaN or
    infinite. Prints `suspicions`, and the order of classes if their names are
    numbers, since they are sorted as text.
    """
    source = _source(model, name)
    data.check(dataset, side)
    chosen_pictures(torch.zeros(1), 1 if limit is None else limit, sample)  # its errors come before any download
    if classes:
        class_lines(classes)  # before any download
    loaded = network(model, weights) if isinstance(model, str) else Loaded(model)
    if weights and not isinstance(model, str):
        fill(model, weights)
    found = data.load(dataset, side=side, progress=False)
    groups = read_classes(classes, found.classes, loaded.outputs) if classes else None
    if not groups and (line := data.class_order(found.classes)):
        say(line)
    device = training.device_of_choice()
    try:
        raw = loaded.model.to(device)
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(f"model = {source!r}: can't be moved to the {device.type}: {last_line(error)}") from None
    images = data.prepare(found.test.images[:ANSWERED].to(device), found.side)
    if groups:
        most = max(max(group) for group in groups)
        outputs = answer(raw, source, images[:2]).shape[1]
        if most >= outputs:
            raise InputError(f"classes = {classes!r}: output {most}: the network has {outputs}, from 0 on")
        raw = Grouped(raw, groups).eval()
    check(raw, source, len(found.classes), images[:2])
    with torch.no_grad(), evaluation.exact():
        answers = raw(images).float().cpu().numpy()
    digest = digest_of(raw, groups)
    shown = measurements.Subject(raw, found.test, found.side, device, found.conflict, dataset=dataset)
    lines = [*suspicions(source, shown)]
    for line in lines:
        say(line)
    chosen = ""
    if limit is not None and limit < len(found.test.labels):
        numbers = chosen_pictures(found.test.labels, limit, sample)
        part = data.Split(found.test.images[numbers], found.test.labels[numbers])
        shown = replace(shown, test=part, numbers=numbers, whole=found.test.images)
        how = "the first" if sample == "first" else "a sample, seed 0, with every class's share"
        chosen = f"{limit:,} of {len(found.test.labels):,} test pictures ({how})"
    readable = re.sub(r"[^\w.]+", "-", name or source).strip("-_.")[:LONGEST_NAME] or "network"
    return Own(readable, source, shown, digest, answers, "\n".join(lines), chosen, groups)


def digest_of(network: nn.Module, groups: Sequence[Sequence[int]] | None) -> str:
    """A digest of all that a network's state holds, and of the outputs that stand for each class."""
    state = network.state_dict()
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    extra = "".join(str(value) for key, value in state.items() if key not in tensors)
    return tensor_digest(tensors, str(groups) + extra)


def _source(model: nn.Module | str, name: str) -> str:
    """A network's name in rows and messages; InputError if it isn't one."""
    if isinstance(model, str):
        return model
    if not isinstance(model, nn.Module):
        raise InputError(f"model = {model!r:.60}: must be a torch.nn.Module, or a text: {', '.join(SOURCES)}")
    return name or type(model).__name__


def folder_of(about: Own) -> Path:
    """Where its measurements are kept: under runs/, by name, weights and pictures.

    A network that has the same weights as the one measured there but answers differently gets another folder, so that
    rows are never overwritten.
    """
    subject = about.subject
    key = f"{about.source} {subject.side} {about.digest} {subject.content}"
    if subject.numbers is not None:
        key += " " + tensor_digest({"numbers": subject.numbers})
    name = f"{about.name}-own-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    parent, number = runs_dir() / data.slug(subject.dataset), 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        recorded = folder / "own.json"
        if not recorded.is_file() or same(read_json(recorded).get("answers"), about.answers):
            return folder
        number += 1


def same(recorded: Sequence[Sequence[float]] | None, answers: np.ndarray) -> bool:
    """Whether a network answers as recorded, but for rounding; True where nothing was recorded."""
    if recorded is None:
        return True
    before = np.asarray(recorded)
    return before.shape == answers.shape and np.allclose(before, answers, rtol=ALIKE, atol=ALIKE * abs(answers).max())


def evaluate(
    about: Own, *, measure: tuple[str, ...] = (), again: bool = False, progress: bool = True, interface: str = "python"
) -> Path:
    """Measure what is missing; returns the folder.

    As `evaluation.evaluate`, but a measurement that fails is left out, with a line; NetworkError if none of those
    asked for is left. measure: names of measurements, or single ones such as "saturation@1024"; one that does not
    apply gets a line. A network whose code has changed since, or whose pictures have, is measured in another
    folder. interface: one of INTERFACES, whose options the terminal and the report name.
    """
    evaluation.check_measure(measure)
    one_of("interface", interface, INTERFACES)
    provenance.commit()  # look the commit up now and keep it: files may change while this runs
    if digest_of(about.subject.model, about.groups) != about.digest:
        raise InputError(f"{about.source}: its weights have changed since own.subject saw them; call own.subject again")
    folder = folder_of(about)
    if not folder.is_dir():
        evaluation.measurable(about.subject, measure, about.source)
    asked = evaluation.applying(about.subject, measure, about.source)
    for name in measure:
        if name.partition("@")[0] not in {measurement for measurement, _ in asked}:
            say(f"measure = {name!r}: does not apply to {about.source} on {about.subject.dataset}")
    writable(runs_dir())
    run = f"{folder.parent.name}/{folder.name}"
    columns = {"run": run, "dataset": about.subject.dataset, "model": about.name, "width": 0, "share": 0.0}
    columns |= {"recipe": f"side{about.subject.side}", "seed": 0}
    with hold(folder / "lock", str(os.getpid()), f"{folder}: already in use by process"):
        record: dict[str, object] = {
            "source": about.source,
            "dataset": about.subject.dataset,
            "run": run,
            "suspicion": about.suspicion,
        }
        record |= {"chosen": about.chosen, "answers": about.answers.round(5).tolist(), "interface": interface}
        if about.subject.numbers is not None:
            record["numbers"] = about.subject.numbers.tolist()
        before = read_json(folder / "own.json").get("left_out", []) if (folder / "own.json").is_file() else []
        write_json(folder / "own.json", record | {"left_out": before})
        table = evaluation.Table(folder, about.subject, columns, about.digest)
        hint = "{limit} measures on a sample, {measure} a single one".format(**INTERFACES[interface])
        failed = evaluation.complete(table, measure=measure, again=again, progress=progress, hint=hint)
        for error in failed:
            say(f"left out: {error}")
        if not len(table.rows):
            raise type(failed[0])(f"model = {about.source!r}: {failed[0]}")
        examples.keep(about.subject, folder)
        # what an earlier call had to leave out stays left out until a call measures it
        done = set(read_json(folder / "evaluation.json")["measurements"])
        lines = {line.partition(": ")[0]: line for line in [*before, *map(str, failed)]}
        left_out = [line for place, line in lines.items() if place not in done]
        write_json(folder / "own.json", record | {"left_out": left_out})
        if failed and not any(f"{measurement}@{level}" in done for measurement, level in asked):
            raise type(failed[0])(f"model = {about.source!r}: {failed[0]}")
    return folder
