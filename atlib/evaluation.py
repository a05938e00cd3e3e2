"""Measure a trained network: take the measurements that are missing, and write them to its table.

`evaluate` takes, in single precision, what a run still needs of `atlib.measurements`, and writes rows.csv,
predictions.npz and evaluation.json into its folder. Runs are compared later, from their rows.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from . import barred, between, data, gradients, measurements, models, progress, provenance, saliency, training
from .configuration import Config, config_of, dataset_arguments, find_run
from .errors import AtlibError, InputError, NetworkError, one_of
from .files import exclusive, read_json
from .measured import Table
from .measurements import TABLE_1, Subject, check_finite, map_pictures, warning
from .progress import say
from .tensors import load_tensors, tensor_digest

REGISTERING = (barred, between)  # modules that register further measurements as they are imported


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Strict single precision: no TF32, no bfloat16, no autocast; afterwards every switch is as it was."""
    switch_back = _single_precision()
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        switch_back()


def _single_precision() -> Callable[[], None]:
    """Switch TF32 and bfloat16 off; returns what switches them on again.

    By torch's older switches, unless its newer ones are in use: then the older ones can't be read any more.
    """
    cudnn: Any = torch.backends.cudnn
    mkldnn: Any = torch.backends.mkldnn
    products = mkldnn.matmul.fp32_precision
    try:
        before, tf32, _ = torch.get_float32_matmul_precision(), cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    except RuntimeError:
        switches = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn]
        kept = [switch.fp32_precision for switch in switches]
        for switch in switches:
            switch.fp32_precision = "ieee"

        def newer() -> None:
            for switch, precision in zip(switches, kept, strict=True):
                switch.fp32_precision = precision

        return newer
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False

    def older() -> None:
        torch.set_float32_matmul_precision(before)
        mkldnn.matmul.fp32_precision = products  # the line above has set it, too
        cudnn.allow_tf32 = tf32

    return older


def subject_of(run: Path) -> Subject:
    """The subject that a finished run's folder describes: its rounded weights, batch norm folded, its data set."""
    record, path = read_json(run / "training.json"), run / "weights.safetensors"
    if not path.is_file() or tensor_digest(load_tensors(path)[0]) != record["weights_digest"]:
        raise InputError(f"{path}: not the weights recorded in training.json; restore both, or train again")
    config = config_of(record["config"], run)
    dataset = data.load(config.dataset, side=config.side, **dataset_arguments(config))
    now = training.inputs_of(dataset)
    if training.other_pictures(config, record, now):
        raise InputError(
            f"{run}: trained on {training.stated(record)}, not {training.stated(now)}; restore that, or move the run"
        )
    return subject_from(config, path, training.device_of_choice(), dataset)


def subject_from(config: Config, weights: Path, device: torch.device, dataset: data.Dataset | None = None) -> Subject:
    """The network in a file of weights, batch norm folded, and the data set of its configuration (None: loaded)."""
    model, _ = models.load(weights)
    dataset = dataset or data.load(config.dataset, side=config.side, **dataset_arguments(config))
    folded = models.fold(model).to(device)
    side, name, source = int(config.side or 0), config.dataset, dataset.source
    return Subject(folded, dataset.test, side, device, dataset.conflict, config, dataset=name, source=source)


def wanted(subject: Subject, measure: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """The (distortion, level) pairs that apply to a subject: all, or those that `measure` names.

    measure: names of measurements, with all their levels, or single ones as NAME@LEVEL.
    """
    named = {place.partition("@")[0] for place in measure}
    every = [
        (name, level)
        for name, m in measurements.MEASUREMENTS.items()
        for level in m.levels(subject) or (m.on_request(subject) if name in named else ())
    ]
    return [(name, level) for name, level in every if not measure or name in measure or f"{name}@{level}" in measure]


def _outline(config: Config) -> Subject:
    """A run's subject without its network and pictures."""
    nothing = torch.empty(0)
    cues = data.Conflict(nothing, nothing, nothing) if config.dataset == "shapes" else None
    split, side = data.Split(nothing, nothing), int(config.side or 0)
    return Subject(nn.Identity(), split, side, torch.device("cpu"), cues, config, dataset=config.dataset)


def expected(config: Config, measure: tuple[str, ...] = ()) -> list[str]:
    """Every "NAME@LEVEL" that applies to a run, from its configuration alone. measure: as for `wanted`."""
    return ["@".join(pair) for pair in wanted(_outline(config), measure)]


def lacking(config: Config, measure: tuple[str, ...] = ()) -> dict[str, str]:
    """The part of `expected` that can't be measured here yet, each with a line on what is missing."""
    subject = _outline(config)
    lines = {
        f"{name}@{level}": measurements.MEASUREMENTS[name].lacks(subject, level)
        for name, level in wanted(subject, measure)
    }
    return {place: line for place, line in lines.items() if line}


def evaluate(run: str | Path, *, measure: tuple[str, ...] = (), again: bool = False, progress: bool = True) -> Path:
    """Measure what a run still needs; returns its folder.

    run: a folder or DATASET/RUN. measure: names of measurements (none: all). again: compute also what is there. Each
    measurement is written as it ends, so that a stopped evaluation goes on with the next one. InputError for a run
    that is not there or not finished, a measurement that is unknown or does not apply, or damaged files; and, after all
    others are done, NetworkError for a measurement that failed.
    """
    check_measure(measure)
    folder = find_run(str(run))
    provenance.commit()  # look the commit up now and keep it: files may change while this runs
    with exclusive(folder):
        subject, record = subject_of(folder), read_json(folder / "training.json")
        assert subject.config is not None
        columns = columns_of(subject.config, record["run"])
        table = Table(folder, subject, columns, record["weights_digest"])
        failed = complete(table, measure=measure, again=again, progress=progress)
    if failed:
        raise NetworkError(f"run = {record['run']!r}: {'; '.join(map(str, failed))}")
    return folder


def check_measure(measure: Sequence[str]) -> None:
    """InputError unless they are names of measurements."""
    if isinstance(measure, str):
        raise InputError(f"measure = {measure!r}: must be names in a tuple, for instance ({measure!r},)")
    if not isinstance(measure, Sequence):
        raise InputError(f"measure = {measure!r}: must be names in a tuple, for instance ('clean',); () for all")
    for name in measure:
        if not isinstance(name, str):
            raise InputError(f"measure = {name!r}: must be the name of a measurement, such as 'clean'")
        one_of(
            "measure", name if name in measurements.MEASUREMENTS else name.partition("@")[0], measurements.MEASUREMENTS
        )


def columns_of(config: Config, run: str) -> dict[str, object]:
    """What all rows of a run have in common."""
    return {
        "run": run,
        "dataset": config.dataset,
        "model": config.model,
        "width": config.width,
        "share": config.share or 0.0,
        "recipe": config.recipe,
        "seed": config.seed,
    }


def applying(subject: Subject, measure: tuple[str, ...], name: str) -> list[tuple[str, str]]:
    """The pairs of `wanted`; InputError, naming the network, if there are none."""
    pairs = wanted(subject, measure)
    for asked in measure:
        kind, at, level = asked.partition("@")
        levels = [other for name, other in pairs if name == kind]
        if at and level not in levels:
            if every := [f"{kind}@{other}" for other in measurements.MEASUREMENTS[kind].levels(subject)]:
                one_of("measure", asked, every)
            raise InputError(f"measure = {asked!r}: does not apply to {name}")
    if pairs:
        return pairs
    raise InputError(f"measure = {', '.join(measure)!r}: does not apply to {name}")


def measurable(subject: Subject, measure: tuple[str, ...], name: str) -> list[tuple[str, str]]:
    """As `applying`; InputError also if none of `measure` can be measured yet."""
    pairs = applying(subject, measure, name)
    lines = [measurements.MEASUREMENTS[name].lacks(subject, level) for name, level in pairs] if measure else [""]
    if all(lines):
        raise InputError(lines[0])
    return pairs


def complete(
    table: Table, *, measure: tuple[str, ...] = (), again: bool = False, progress: bool = True, hint: str = ""
) -> list[AtlibError]:
    """Take the measurements missing from a table; print which of them need a missing stylised set.

    hint: how to measure less, printed with the estimate for a long run on all of many pictures. Returns the errors of
    failed measurements, with their names; they don't stop the others.
    """
    subject, done = table.subject, table.origins["measurements"]
    pairs = (applying if done else measurable)(subject, measure, table.folder.name)
    current = [pair for pair in pairs if pair in table and not again]
    current = [
        (name, at)
        for name, at in current
        if not measurements.MEASUREMENTS[name].outdated(subject, at, done[f"{name}@{at}"])
    ]
    missing = [pair for pair in pairs if pair not in current]
    lacks = {pair: measurements.MEASUREMENTS[pair[0]].lacks(subject, pair[1]) for pair in missing}
    for line in dict.fromkeys(filter(None, lacks.values())):
        say(f"left out: {line}")
    missing = [pair for pair in missing if not lacks[pair]]
    failed: list[AtlibError] = []
    with Work(subject, missing, progress, hint) as work:
        for name, level in missing:
            began = time.perf_counter()
            try:
                with exact(), gradients.frozen(subject.model), work.on(name, level):
                    found = measurements.MEASUREMENTS[name].measure(subject, level)
                    check_finite(found)
            except AtlibError as error:
                failed.append(type(error)(f"{name}@{level}".rstrip("@") + f": {error}"))
                continue
            if line := warning(found):
                say(f"warning: {name}@{level}: {line}", work.line)
                found = found._replace(record=found.record | {"warning": line})
            table.put(name, level, found, time.perf_counter() - began)
    return failed


GRADIENT = 3  # the cost of a gradient, in forward passes
LONG = 60.0  # seconds of work above which an estimate is printed
MANY = 2000  # pictures above which it suggests a sample


def passes(subject: Subject, name: str, level: str) -> int:
    """What a measurement costs, in forward passes of one picture: roughly, to tell how long it takes."""
    pictures, attack = len(subject.test.labels), TABLE_1["steps"] * GRADIENT
    if name == "gradient":
        return pictures * GRADIENT
    if name == "pgd-linf":
        return pictures * attack
    if name == "trained-attack":
        return pictures * int((subject.config and subject.config.steps) or 1) * GRADIENT
    if name == "maps":
        of_each = (saliency.SAMPLES + 1) * GRADIENT
        return len(map_pictures(subject)) * (of_each + (attack if level.startswith("pgd-linf") else 0))
    if name == between.NAME:
        maps = len(map_pictures(subject)) * 2 * (saliency.SAMPLES + 1) * GRADIENT
        return maps if level == "clean@" else pictures * attack
    return len(subject.conflict.labels) if name == "conflict" and subject.conflict else pictures


class Work:
    """How far a list of measurements has come, as one line; and, once its pace is known, how long it will take."""

    def __init__(self, subject: Subject, missing: Sequence[tuple[str, str]], shown: bool, hint: str = "") -> None:
        self.costs = {pair: passes(subject, *pair) for pair in missing}
        self.pictures = len(subject.test.labels)
        self.hint = f"; {hint}" if hint and subject.numbers is None and self.pictures > MANY else ""
        self.done, self.number, self.began, self.announced = 0.0, 0, time.monotonic(), not shown
        self.line = progress.Line(shown)

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *error: object) -> None:
        self.line.close()

    def left(self, done: float) -> float:
        """Seconds that the rest takes, if so many forward passes took the time since the beginning."""
        rest = sum(self.costs.values()) - done
        return (time.monotonic() - self.began) * rest / done if done else 0.0

    @contextlib.contextmanager
    def on(self, name: str, level: str) -> Iterator[None]:
        """While one of the measurements is being taken."""
        cost = self.costs[name, level]
        self.number += 1
        place = f"{self.number} of {len(self.costs)}: {name}@{level}".rstrip("@")

        def show(share: float) -> None:
            done = self.done + share * cost
            self.line.show(lambda: f"measuring {place}  {100 * share:.0f} %  {self.time_left(done)}")
            self.announce(done)

        self.line.show(f"measuring {place}")
        try:
            with progress.reporting(show):
                yield
        except BaseException:
            self.costs[name, level] = 0  # it failed: no longer part of what is left, nor of the pace
            raise
        self.done += cost
        self.announce(self.done)

    def time_left(self, done: float) -> str:
        """In words, for the line."""
        return f"about {progress.duration(self.left(done))} left"

    def announce(self, done: float) -> None:
        """Say once what a long run will take, as soon as a hundredth of it or one measurement is done."""
        enough = self.done or done >= 0.01 * sum(self.costs.values())
        if self.announced or not enough:
            return
        self.announced = True
        if (seconds := self.left(done)) > LONG:
            most = sum(cost for (name, _), cost in self.costs.items() if name in ("pgd-linf", "maps"))
            share = 100 * most / sum(self.costs.values())
            number = len(self.costs)
            text = f"{number} measurement{'s' * (number > 1)} of {self.pictures:,} pictures: "
            text += f"about {progress.duration(seconds)}"
            text += f", {share:.0f} % of it for the attack and the maps" if most else ""
            say(text + self.hint, self.line)
