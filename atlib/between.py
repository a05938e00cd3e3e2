"""Measurements of two networks at once: how far apart their saliency maps lie, and whether the one takes a picture that
was attacked through the other for another class.

Each needs the weights of other networks of the same data set and recipe, under runs/ or in models/. So they are made
only where they are asked for by name: `between@clean@`, `between@pgd-linf@64`, or `between` for both.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import attacks, models, saliency
from .configuration import Config, config_of
from .data import slug
from .errors import InputError, Missing, NetworkError
from .files import read_json, runs_dir
from .measurements import Findings, Row, Subject, batches, ratio, register
from .rows import ANOTHER_CLASS, TO_NEXT_SEED, TO_NORMAL
from .tensors import load_meta, load_tensors, tensor_digest

NAME = "between"
SEEDS = 3  # a network's next seed is 2 for 1, 3 for 2 and 1 for 3; other seeds have none
JUDGE = "pgd-linf-8"  # the adversarially trained network that judges attacked pictures, and is attacked itself
LARGE: dict[str, Any] = {
    "eps": 64 / 255,
    "norm": "linf",
    "steps": 40,
}  # PGD from the picture, of the default step, 4/255


class Other(NamedTuple):
    """Another network of the same data set and recipe: its kind of training, and its seed."""

    model: str
    seed: int

    def __str__(self) -> str:
        return f"{self.model}, seed {self.seed}"


def next_seed(seed: int) -> int:
    """The seed of the network that stands for "the same one, trained again": 2 for 1, 3 for 2, 1 for 3."""
    return seed % SEEDS + 1


def others(config: Config, level: str) -> tuple[Other, ...]:
    """The networks that a measurement needs beside the one of `config`; the first of them is compared, or judges."""
    after = next_seed(config.seed)
    if level == "clean@":
        return (Other("normal", after if config.model == "normal" else config.seed),)
    return (Other(JUDGE, after), Other(JUDGE if config.model == "normal" else "normal", config.seed))


def _readable(record: Path) -> Config | None:
    """The configuration in a run's record; None if that is damaged, or another version's: no measurement needs it."""
    with contextlib.suppress(InputError, KeyError):
        return config_of(read_json(record)["config"], record)
    return None


def _weights(dataset: str) -> Iterator[tuple[Config, Path]]:
    """Every network of a data set whose weights are here: of finished runs, then those of models/.

    Runs whose record this version of atlib can't read are left out.
    """
    for record in sorted((runs_dir() / slug(dataset)).glob("*/training.json")):
        path = record.with_name("weights.safetensors")
        config = _readable(record)
        if path.is_file() and config is not None:
            yield config, path
    for name, path in models.shipped().items():
        if name.startswith(f"{slug(dataset)}/"):
            yield config_of(load_meta(path)["config"], path), path


def find(config: Config, other: Other) -> Path | None:
    """The weights of another network of the data set, width and recipe of `config`; None if they aren't here.

    InputError if two runs could be meant, which differ in the share of adversarial batches or in precision.
    """
    found: dict[str, Path] = {}
    for one, path in _weights(config.dataset):
        alike = (one.dataset, one.width, one.recipe) == (config.dataset, config.width, config.recipe)
        shares = not (one.share and config.share) or math.isclose(one.share, config.share)
        if alike and shares and (one.model, one.seed) == tuple(other):
            found.setdefault(one.run, path)
    if len(found) > 1:
        raise InputError(f"{other} could be {' or '.join(sorted(found))}: keep the weights of one of them")
    return next(iter(found.values()), None)


def levels(subject: Subject) -> tuple[str, ...]:
    """Levels measured on request: distances of maps for seeds 1 to 3; the attack for two networks of each seed."""
    config = subject.config
    if config is None or not 1 <= config.seed <= SEEDS:
        return ()
    return ("clean@", "pgd-linf@64") if config.model in ("normal", JUDGE) else ("clean@",)


def lacks(subject: Subject, level: str) -> str:
    """A line that names the networks whose weights are needed and aren't here; empty if none is."""
    assert subject.config is not None
    missing = [str(other) for other in others(subject.config, level) if find(subject.config, other) is None]
    where = f"under {runs_dir()} or in models/"
    return f"between@{level}: needs the weights of {' and '.join(missing)} ({where})" if missing else ""


def _paths(subject: Subject, level: str) -> list[Path]:
    """The weights of the other networks; Missing if some aren't here, InputError if two could be meant."""
    assert subject.config is not None
    found = [find(subject.config, other) for other in others(subject.config, level)]
    if None in found:
        raise Missing(lacks(subject, level))
    return [path for path in found if path is not None]


def _digests(paths: Sequence[Path]) -> dict[str, str]:
    """The digests of networks' weights, by run."""
    found = {}
    for path in paths:
        tensors, header = load_tensors(path)
        found[config_of(header["config"], path).run] = tensor_digest(tensors)
    return found


def _load(subject: Subject, level: str) -> tuple[list[nn.Module], dict[str, dict[str, str]]]:
    """The other networks, batch norm folded, on the subject's device; and the digests of their weights by run."""
    paths = _paths(subject, level)
    found = [models.fold(models.load(path)[0]).to(subject.device) for path in paths]
    return found, {"others": _digests(paths)}


def outdated(subject: Subject, level: str, record: dict) -> bool:
    """Whether one of the other networks is another one since, as it was trained again; not if it isn't here."""
    try:
        now = _digests(_paths(subject, level))
    except (InputError, Missing):
        return False
    return now != record.get("others")


@register(NAME, lambda subject: (), lacks=lacks, outdated=outdated, on_request=levels)
def between(subject: Subject, level: str) -> Findings:
    """What is measured of a network together with others (level: "clean@" or "pgd-linf@64")."""
    return maps_apart(subject, level) if level == "clean@" else another_class(subject, level)


def maps_apart(subject: Subject, level: str) -> Findings:
    """The mean `saliency.map_distance` of two networks' SmoothGrad maps of the same clean pictures and the same noise.

    The other network is the normal one of the same seed; for a normal network, the normal one of the next seed, which
    says how far apart two networks lie that differ in nothing but their draws.
    """
    assert subject.config is not None
    metric = TO_NEXT_SEED if subject.config.model == "normal" else TO_NORMAL
    (other,), record = _load(subject, level)
    theirs = replace(subject, model=other)
    distances = saliency.map_distance(subject.clean_maps[""], theirs.clean_maps[""]).cpu().numpy()
    arrays = {metric: distances.astype(np.float16)}
    return Findings([Row(metric, float(distances.mean()), None, len(distances))], arrays, record)


def another_class(subject: Subject, level: str) -> Findings:
    """How often a judge that took no part gives an attacked picture another class than the true one.

    The attack is PGD with a large budget. The judge is the adversarially trained network of the next seed. Of the test
    pictures those count that it and both attacked networks of this seed, the normal and the adversarially trained one,
    classify correctly when clean: the same pictures for both, whichever of the two is attacked here.
    """
    (judge, twin), record = _load(subject, level)
    known, another = [], []
    for images, labels in batches(subject, *subject.test):
        counts = torch.stack([_answers(model, images) == labels for model in (subject.model, judge, twin)]).all(0)
        seen = torch.zeros_like(counts)
        if counts.any():
            changed = attacks.pgd(subject.model, images[counts], labels[counts], **LARGE)
            seen[counts] = _answers(judge, changed) != labels[counts]
        known.append(counts.cpu())
        another.append(seen.cpu())
    arrays = {"known": torch.cat(known).numpy(), ANOTHER_CLASS: torch.cat(another).numpy()}
    if not arrays["known"].any():
        raise NetworkError("no test picture is classified correctly by both attacked networks and the judge")
    return Findings([ratio(ANOTHER_CLASS, arrays[ANOTHER_CLASS][arrays["known"]])], arrays, record)


@torch.no_grad()
def _answers(model: nn.Module, images: Tensor) -> Tensor:
    """The class that a network gives each image."""
    return model(images).argmax(1)
