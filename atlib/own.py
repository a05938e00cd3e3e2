"""Anybody's network under everything that this report's networks are shown.

    about = own.subject("module:function", "cifar10")        # or a torch module in place of the text
    folder = own.evaluate(about)                             # rows.csv, predictions.npz, evaluation.json, own.json

`notebooks/evaluate.ipynb -p model …` does the same, and `atlib.report.own` makes a page of it.
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
from scipy import stats
from torch import Tensor, nn

from . import data, evaluation, models, training
from .errors import InputError, NetworkError
from .files import hold, read_json, runs_dir, tensor_digest, writable, write_json
from .networks import (
    ALIKE,
    SOURCES,
    Grouped,
    Loaded,
    Normalised,
    answer,
    check,
    class_lines,
    last_line,
    network,
    read_classes,
    without_weights,
)

PROBE = 200  # test pictures on which normalised input is looked for
SUSPICION = 0.1  # gain in accuracy from normalising that makes one suspect that the network wants it,
CHANCE = 0.001  # unless as many pictures would be won by chance (sign test)
ANSWERED = 8  # test pictures whose answers tell whether a network is still the one that was measured
LONGEST_NAME = 60  # characters of a network's name that are kept


@dataclass(frozen=True)
class Own:
    """A network from elsewhere, ready to be measured.

    name: as rows name it; source: what was asked for; subject: the network and its pictures; digest: of its weights;
    answers: its outputs for the first few test pictures; suspicion: a line if it seems to want normalised input.
    """

    name: str
    source: str
    subject: evaluation.Subject
    digest: str
    answers: np.ndarray
    suspicion: str = ""


def suspicion(source: str, subject: evaluation.Subject) -> str:
    """A line if the network seems to want normalised input: if it knows more pictures when they are; else empty."""
    order = torch.randperm(len(subject.test.labels), generator=torch.Generator().manual_seed(0))[:PROBE]
    some = data.Split(subject.test.images[order], subject.test.labels[order])
    plain = replace(subject, test=some)
    wrapped = replace(plain, model=Normalised(plain.model, models.IMAGENET_MEAN, models.IMAGENET_STD).to(plain.device))
    try:
        right = [evaluation.predict(s, *some)[0] == some.labels.numpy() for s in (plain, wrapped)]
    except NetworkError:  # no finite answers to some pictures: the measurements say so
        return ""
    won, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    chance = stats.binomtest(won, won + lost, alternative="greater").pvalue if won else 1.0
    if won - lost < SUSPICION * len(order) or chance > CHANCE:
        return ""
    return (
        f"suspicion: {source} knows {100 * right[0].mean():.0f} % of {len(order)} test pictures, and "
        f"{100 * right[1].mean():.0f} % of them once normalised by ImageNet's mean and deviation; it should take "
        "pixels in [0, 1] and normalise inside"
    )


def subject(
    model: nn.Module | str,
    dataset: str,
    *,
    side: int | None = None,
    classes: str = "",
    weights: str = "",
    name: str = "",
) -> Own:
    """A network and the test set it is to be measured on.

    model: a module in evaluation mode that takes float pictures in [0, 1], N×3×side×side, or a text (SOURCES). dataset,
    side: as for `data.load`; folder:PATH is anybody's pictures, one folder a class. classes: a CSV (`read_classes`),
    needed where the network's outputs aren't the data set's classes in their order. InputError in one line for what
    can't be used. Prints a suspicion if the network seems to want normalised input, and the order of classes if their
    names are numbers, since they are sorted as text.
    """
    source = _source(model, name, weights)
    data.check(dataset, side)
    if classes:
        class_lines(classes)  # before any download
    loaded = network(model, weights) if isinstance(model, str) else Loaded(model)
    found = data.load(dataset, side=side, progress=False)
    groups = read_classes(classes, found.classes, loaded.outputs) if classes else None
    if not groups and (line := data.class_order(found.classes)):
        print(line)
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
    state = raw.state_dict()
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    extra = "".join(str(value) for key, value in state.items() if key not in tensors)
    digest = tensor_digest(tensors, str(groups) + extra)
    shown = evaluation.Subject(raw, found.test, found.side, device, found.conflict, dataset=dataset)
    line = suspicion(source, shown)
    if line:
        print(line, flush=True)
    readable = re.sub(r"[^\w.]+", "-", name or source).strip("-_.")[:LONGEST_NAME] or "network"
    return Own(readable, source, shown, digest, answers, line)


def _source(model: nn.Module | str, name: str, weights: str) -> str:
    """What rows and lines call a network; InputError for what is none."""
    if isinstance(model, str):
        return model
    if not isinstance(model, nn.Module):
        raise InputError(f"model = {model!r:.60}: must be a torch.nn.Module, or a text: {', '.join(SOURCES)}")
    without_weights(weights)
    return name or type(model).__name__


def folder_of(about: Own) -> Path:
    """Where its measurements are kept: under runs/, by name and weights."""
    key = f"{about.source} {about.subject.side} {about.digest}"
    return (
        runs_dir()
        / data.slug(about.subject.dataset)
        / f"{about.name}-own-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    )


def same(recorded: Sequence[Sequence[float]] | None, answers: np.ndarray) -> bool:
    """Whether a network answers as recorded, but for rounding; True where nothing was recorded."""
    if recorded is None:
        return True
    before = np.asarray(recorded)
    return before.shape == answers.shape and np.allclose(before, answers, rtol=ALIKE, atol=ALIKE * abs(answers).max())


def forget_another(about: Own, folder: Path) -> None:
    """Have everything measured anew if what is in a network's folder is of another that has the same weights."""
    if not (folder / "own.json").is_file() or not (folder / "evaluation.json").is_file():
        return
    same_pictures = read_json(folder / "evaluation.json").get("pictures") == about.subject.content
    if same_pictures and not same(read_json(folder / "own.json").get("answers"), about.answers):
        print(f"{about.source} answers otherwise than when it was measured in {folder}: measured anew", flush=True)
        (folder / "evaluation.json").unlink()


def evaluate(about: Own, *, only: tuple[str, ...] = (), again: bool = False, progress: bool = True) -> Path:
    """Measure what is missing; returns the folder.

    As `evaluation.evaluate`, but a measurement that fails is left out, with a line; NetworkError if none is left. A
    network whose code has changed since, or whose pictures have, is measured anew.
    """
    evaluation.check_only(only)
    folder = folder_of(about)
    if not folder.is_dir():
        evaluation.measurable(about.subject, only, about.source)
    writable(runs_dir())
    run = f"{folder.parent.name}/{folder.name}"
    columns = {"run": run, "dataset": about.subject.dataset, "model": about.name, "width": 0, "share": 0.0}
    columns |= {"recipe": f"side{about.subject.side}", "seed": 0}
    with hold(folder / "lock", str(os.getpid()), f"{folder}: already in use by process"):
        forget_another(about, folder)
        record = {"source": about.source, "dataset": about.subject.dataset, "run": run, "suspicion": about.suspicion}
        record["answers"] = about.answers.round(5).tolist()
        write_json(folder / "own.json", record)
        table = evaluation.Table(folder, about.subject, columns, about.digest)
        failed = evaluation.complete(table, only=only, again=again, progress=progress)
        for error in failed:
            print(f"left out: {error}", flush=True)
        if not len(table.rows):
            raise type(failed[0])(f"model = {about.source!r}: {failed[0]}")
        write_json(folder / "own.json", record | {"left_out": [str(error) for error in failed]})
    return folder
