"""Attack a network with the attacks of `atlib.stronger`, one after another, and publish what is left of its accuracy.

    python -m atlib.campaign.stronger atlib:cifar10/pgd-linf-8 cifar10 --pictures 1000 --minutes 4

A random sample of the test pictures is attacked in batches. Each is kept as it ends, so that the next call goes on. The
rows are in `results/stronger.csv`.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from .. import data, evaluation, gradients, models, networks, provenance, training
from ..configuration import config_of, find_run
from ..errors import InputError, command_line, in_range
from ..files import atomic, exclusive, hold, load_arrays, read_json, results_dir, runs_dir, save_arrays, writable
from ..measurements import Subject, map_order
from ..progress import say
from ..stronger import ATTACKS, QUERIES, STEPS, TARGETS, Settings, one_batch, suite
from ..tensors import tensor_digest

BATCH = 50  # pictures that are kept together: some minutes of work
PATIENCE = 120.0  # seconds to wait for another process, which writes a small file
COLUMNS: tuple[str, ...] = (
    "model", "dataset", "run", "attack", "metric", "value", "count", "total", "settings", "seed", "commit",
    "processor", "threads", "torch", "seconds",
)  # fmt: skip


class Target(NamedTuple):
    """A network to attack: what it was asked for by, its published run if it has one, and its pictures."""

    source: str
    run: str
    subject: Subject


def target(source: str, dataset: str) -> Target:
    """A network by DATASET/RUN (a finished run of this repository), or by any text that `networks.network` knows."""
    device = training.device_of_choice()
    if ":" not in source:
        folder = find_run(source, "model")
        trained = read_json(folder / "training.json")["config"]["dataset"]
        _check_trained_on(source, trained, dataset)
        return Target(source, str(read_json(folder / "training.json")["run"]), evaluation.subject_of(folder))
    run = ""
    if source.startswith("atlib:"):
        name = source.removeprefix("atlib:")
        config = config_of(models.load(name)[1]["config"], name)
        _check_trained_on(source, config.dataset, dataset)
        run = config.run
    model = networks.network(source).model.to(device)
    found = data.load(dataset, progress=False)
    subject = Subject(model, found.test, found.side, device, dataset=dataset)
    images = data.prepare(found.test.images[:8].to(device), found.side)
    networks.check(model, source, len(found.classes), images)
    return Target(source, run, subject)


def _check_trained_on(source: str, trained: str, dataset: str) -> None:
    """InputError unless a network of ours is attacked on what it was trained on: rows go by its run's name."""
    if dataset != trained:
        raise InputError(f"dataset = {dataset!r}: {source} was trained on {trained}, and is attacked on that")


def folder_of(about: Target, settings: Settings, seed: int = 0) -> Path:
    """Where the batches of a network are kept: by its name and weights, the pictures, the settings and the seed."""
    subject = about.subject
    note = f"{settings} {subject.dataset} {subject.side} {subject.content} {seed}"
    digest = tensor_digest(dict(subject.model.state_dict()), note)[:8]
    return runs_dir() / "stronger" / f"{re.sub(r'[^A-Za-z0-9.]+', '-', about.source)}-{digest}"


def check(settings: Settings, pictures: int, minutes: float, batch: int = BATCH) -> None:
    """InputError for a parameter of `attack` that is out of range."""
    for name, value in {**settings._asdict(), "pictures": pictures, "batch": batch}.items():
        in_range(name, value, 1, whole=True)
    in_range("minutes", minutes, 0)


def attack(
    about: Target, settings: Settings, *, pictures: int = 1000, minutes: float = 1e9, seed: int = 0, batch: int = BATCH
) -> Path:
    """Attack what is missing of the first `pictures` of a random order of the test pictures; returns the folder.

    minutes: begin no batch after so many. InputError for parameters out of range or a missing library.
    """
    check(settings, pictures, minutes, batch)
    chain, commit = suite(settings, seed), provenance.commit()
    folder, began = folder_of(about, settings, seed), time.monotonic()
    writable(runs_dir())
    subject = about.subject
    order = map_order(len(subject.test.labels))[:pictures]
    with exclusive(folder), evaluation.exact():
        for path in folder.glob("*.npz"):  # other batches would have other places, and pictures would count twice
            if (size := int(load_arrays(path).get("batch", BATCH))) != batch:
                raise InputError(f"batch = {batch}: {folder} was begun with {size}; use that, or delete it")
        for number, places in enumerate(order.split(batch)):
            path = folder / f"{number * batch:05d}.npz"
            if path.is_file() and len(load_arrays(path)["places"]) >= len(places):
                continue
            if time.monotonic() - began > 60 * minutes:
                break
            start = time.process_time()
            images = data.prepare(subject.test.images[places].to(subject.device), subject.side)
            labels = subject.test.labels[places].to(subject.device)
            with gradients.frozen(subject.model):
                found = one_batch(subject.model, images, labels, chain, seed + 100 * number)
            about_it: dict[str, Any] = provenance.record(subject.device)
            note = {"commit": commit, "seconds": str(round(time.process_time() - start, 1))}
            note |= {
                "processor": str(about_it["hardware"].get("processor", "")),
                "threads": str(torch.get_num_threads()),
                "torch": torch.__version__,
            }
            arrays = (
                found
                | {"places": places.numpy(), "batch": np.array(batch)}
                | {key: np.array(text) for key, text in note.items()}
            )
            save_arrays(path, arrays)
            left = {name: int(found[name].sum()) for name in ATTACKS}
            say(f"{about.source}: pictures {number * batch} to {number * batch + len(places)}: {left}")
    return folder


def rows_of(about: Target, settings: Settings, folder: Path, seed: int = 0) -> list[dict[str, object]]:
    """Rows of what is kept of a network: accuracy after each attack, cumulatively, and the share without a gradient."""
    batches = [load_arrays(path) for path in sorted(folder.glob("*.npz"))]
    if not batches:
        return []
    common = {
        "model": about.source,
        "dataset": about.subject.dataset,
        "run": about.run,
        "settings": str(settings),
        "seed": seed,
        "commit": "+".join(sorted({str(b["commit"])[:12] for b in batches})),
        "processor": "+".join(sorted({str(b["processor"]) for b in batches})),
        "threads": "+".join(sorted({str(b["threads"]) for b in batches})),
        "torch": "+".join(sorted({str(b.get("torch", "unknown")) for b in batches})),
        "seconds": round(sum(float(b["seconds"]) for b in batches), 1),
    }
    lines = []
    for metric, names in (("accuracy", ATTACKS), ("vanished", ("vanished",))):
        for name in names:
            right = np.concatenate([b[name] for b in batches])
            count, total = int(right.sum()), len(right)
            place = {"attack": "pgd-40" if metric == "vanished" else name, "metric": metric}
            lines.append(common | place | {"value": round(count / total, 6), "count": count, "total": total})
    return lines


def publish(lines: Sequence[dict[str, object]], path: Path | None = None) -> Path:
    """Put rows into results/stronger.csv, in the place of those of the same network, data set, settings and seed.

    InputError, with nothing written, for a file of other columns, or if another process has it for long.
    """
    path = path or results_dir() / "stronger.csv"
    # beside the file: processes with other folders of runs write it, too
    with hold(path.with_name(f".{path.name}.lock"), str(os.getpid()), f"{path}: being written by process", PATIENCE):
        _publish(lines, path)
    return path


def published(path: Path | None = None) -> list[dict[str, object]]:
    """The rows of results/stronger.csv, none where there is no such file; InputError for one of other columns."""
    path = path or results_dir() / "stronger.csv"
    if not path.is_file():
        return []
    try:
        reader = csv.DictReader(io.StringIO(path.read_bytes().decode(), newline=""))
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise InputError(f"{path}: line 1 must be {','.join(COLUMNS)}")
        return [dict(row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV of rows ({type(error).__name__})") from None


def _publish(lines: Sequence[dict[str, object]], path: Path) -> None:
    kept = published(path)
    key = ("model", "dataset", "settings", "seed")
    mine = {tuple(str(line[name]) for name in key) for line in lines}
    kept = [row for row in kept if tuple(str(row[name]) for name in key) not in mine]
    every = sorted([*kept, *lines], key=lambda row: str(row["model"]))  # stable: the order of the attacks stays
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(every)


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m atlib.campaign.stronger", description="Attack a network harder.")
    parser.add_argument("model", help=f"DATASET/RUN, {', '.join(networks.SOURCES)}")
    parser.add_argument("dataset", help=", ".join(data.DATASETS))
    parser.add_argument("--pictures", type=int, default=1000, help="number of test pictures, drawn in random order")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no batch after this many minutes")
    parser.add_argument("--targets", type=int, default=TARGETS, help="number of classes that targeted APGD tries")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of each APGD")
    parser.add_argument("--queries", type=int, default=QUERIES, help="number of queries that Square may make")
    asked = parser.parse_args(arguments)
    settings = Settings(asked.steps, asked.targets, asked.queries)
    check(settings, asked.pictures, asked.minutes)
    results_dir()  # before all else: it names the checkout if there is none
    provenance.committed()  # published rows name the commit that measured them
    suite(settings, 0)  # a missing library is reported before any work starts
    published()  # and so is a file that the rows couldn't be added to
    about = target(asked.model, asked.dataset)
    folder = attack(about, settings, pictures=asked.pictures, minutes=asked.minutes)
    lines = rows_of(about, settings, folder)
    if lines:
        say(f"{publish(lines)}: {len(lines)} rows of {about.source}, {lines[0]['total']} pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
