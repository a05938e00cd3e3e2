"""What a trained network can do: one registry of measurements, one table per run.

A measurement has a name and levels; for each level it gives rows (metric, value, count, total) and small arrays of
what the network said of every test image. `evaluate` computes those that a run lacks, in single precision, and writes
rows.csv, predictions.npz and evaluation.json into the run's folder. What compares runs is computed when the rows are
read (`atlib.report.statistics`).
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from . import attacks, data, models, provenance, saliency, style, training, transforms
from .configuration import Config, config_of, dataset_arguments, find_run
from .errors import AtlibError, InputError, NetworkError, one_of
from .files import atomic, load_tensors, read_json, tensor_digest, write_json
from .rows import frame_of, measurement, read_predictions, read_rows

BATCH = 250  # images per pass; chunks of this size fit a processor's cache at width 16
# Table 1's attack (the official code's gen_result.py): PGD-40, 8/255, step 2/255, zero start.
TABLE_1: dict[str, Any] = {"eps": 8 / 255, "norm": "linf", "steps": 40, "step_size": 2 / 255}


@dataclass(frozen=True)
class Subject:
    """A network to measure and the pictures to measure it on.

    model: float images in [0, 1] to logits; test: uint8 images and labels; config: of the run, None for a network
    from elsewhere; seed: of every random draw; dataset: name of what `test` belongs to, for its stylised pictures;
    source: where that came from, with its hash.
    """

    model: nn.Module
    test: data.Split
    side: int
    device: torch.device
    conflict: data.Conflict | None = None
    config: Config | None = None
    seed: int = 0
    dataset: str = ""
    source: str = ""

    @functools.cached_property
    def content(self) -> str:
        """Digest of the test pictures; empty if there are none."""
        return tensor_digest({"images": self.test.images}) if len(self.test.images) else ""

    @functools.cached_property
    def clean_maps(self) -> dict[str, Tensor]:
        """Maps of the undistorted `map_pictures`, with which those of every distortion are compared."""
        chosen = map_pictures(self)
        return both_maps(self, shown_under(self, "clean@", chosen), chosen)


@dataclass(frozen=True)
class Row:
    """A metric's value as a fraction, and the count and total that it comes from (count None for a mean)."""

    metric: str
    value: float
    count: int | None
    total: int


class Findings(NamedTuple):
    """What a measurement found at one level: rows, arrays with one entry per test image, and more for its record."""

    rows: list[Row]
    arrays: dict[str, np.ndarray]
    record: dict[str, Any] = {}  # noqa: RUF012 (never changed)


class Measurement(NamedTuple):
    """levels: those that apply to a subject (none: not measured on it); measure: the findings at one; lacks: what is
    missing to measure one here, in a line (empty: nothing); outdated: whether an earlier measurement, by its record,
    was of something else than what would be measured now."""

    levels: Callable[[Subject], tuple[str, ...]]
    measure: Callable[[Subject, str], Findings]
    lacks: Callable[[Subject, str], str] = lambda subject, level: ""
    outdated: Callable[[Subject, str, dict], bool] = lambda subject, level, record: False


MEASUREMENTS: dict[str, Measurement] = {}


def register(name: str, levels: Callable[[Subject], tuple[str, ...]], **more: Any) -> Callable:
    """Decorator: make a function (subject, level) → Findings a measurement of every run. more: as in Measurement."""

    def remember(measure: Callable[[Subject, str], Findings]) -> Callable[[Subject, str], Findings]:
        MEASUREMENTS[name] = Measurement(levels, measure, **more)
        return measure

    return remember


def check_finite(found: Findings) -> None:
    """NetworkError for a value that is NaN or infinite, unless it is a fraction of no images."""
    for row in found.rows:
        if not math.isfinite(row.value) and row.total:
            raise NetworkError(f"{row.metric} = {row.value}: must be finite")


FEW = 0.01  # share of pictures without a gradient up to which an attack is taken to have done its work


def warning(found: Findings) -> str:
    """What makes a measurement doubtful, in a line; empty if nothing does."""
    for row in found.rows:
        if row.metric == "vanished" and row.value > FEW:
            return (
                f"the gradient of {row.count} of {row.total} pictures is exactly zero, so the attack had nothing to "
                "follow: the network hides its gradient, and this accuracy doesn't show robustness"
            )
    return ""


def ratio(metric: str, right: np.ndarray) -> Row:
    """A row for the share of images for which `right` (bool) is true."""
    return Row(metric, float(right.mean()), int(right.sum()), len(right))


def batches(subject: Subject, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Float images as tests see them, and labels, on the subject's device."""
    for some, target in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        yield data.prepare(some.to(subject.device), subject.side), target.to(subject.device)


Change = Callable[[Tensor, range], Tensor]  # float images and their places in the test set, to images


@torch.no_grad()
def predict(
    subject: Subject, images: Tensor, labels: Tensor, change: Change | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(predicted class, probability of the label) of every image, after `change` if given.

    NetworkError for outputs that are not finite: they have no class.
    """
    classes, probabilities, done = [], [], 0
    for some, target in batches(subject, images, labels):
        shown = some if change is None else change(some, range(done, done + len(some)))
        done += len(some)
        logits = subject.model(shown).float()
        if not torch.isfinite(logits).all():
            raise NetworkError("the network gives NaN or infinite outputs")
        classes.append(logits.argmax(1).cpu())
        probabilities.append(logits.softmax(1).gather(1, target[:, None])[:, 0].cpu())
    # 256 classes fit a byte
    predicted = torch.cat(classes).numpy()
    return predicted.astype(np.uint8 if predicted.max() < 256 else np.uint16), torch.cat(probabilities).numpy()


def said(subject: Subject, images: Tensor | None = None, change: Change | None = None) -> Findings:
    """Accuracy and mean probability of the true class on the test set, or on others of the same labels; and the class
    that was said of every image."""
    labels = subject.test.labels
    predicted, p_true = predict(subject, subject.test.images if images is None else images, labels, change)
    rows = [ratio("accuracy", predicted == labels.numpy()), Row("p_true", float(p_true.mean()), None, len(p_true))]
    return Findings(rows, {"class": predicted, "p_true": p_true.astype(np.float16)})


@register("clean", lambda subject: ("",))
def clean(subject: Subject, level: str) -> Findings:
    """The test set as it is."""
    return said(subject)


def under_pgd(subject: Subject, arguments: dict) -> Findings:
    """Accuracy under a PGD attack, at its last iterate and at all of them, in one pass; and the share of pictures whose
    gradient was zero where the attack began (`vanished`), which says whether that accuracy can be believed.

    NetworkError, with the number of pictures, for a gradient that is NaN or infinite: such a network gets no row.
    """
    last, always, vanished = [], [], []
    generator = torch.Generator().manual_seed(subject.seed)
    for images, labels in batches(subject, *subject.test):
        outcome = attacks.robustness(subject.model, images, labels, **arguments, generator=generator)
        assert outcome.last is not None  # nothing was dropped
        last.append(outcome.last.cpu())
        always.append(outcome.always.cpu())
        vanished.append(outcome.vanished.cpu())
    arrays = {"last": torch.cat(last).numpy(), "any": torch.cat(always).numpy()}
    rows = [ratio(f"accuracy_{name}", right) for name, right in arrays.items()]
    return with_vanished(Findings(rows, arrays), torch.cat(vanished))


def with_vanished(found: Findings, vanished: Tensor) -> Findings:
    """What an attack found, with the share of pictures that gave it no gradient to follow (bool N) as one more row."""
    arrays = found.arrays | {"vanished": vanished.numpy()}
    return found._replace(rows=[*found.rows, ratio("vanished", arrays["vanished"])], arrays=arrays)


@register("pgd-linf", lambda subject: ("8",))
def table_1(subject: Subject, level: str) -> Findings:
    """The robustness column of the paper's Table 1."""
    return under_pgd(subject, TABLE_1)


@register("trained-attack", lambda s: ("",) if s.config and s.config.attack in ("fgsm", "pgd", "spatial") else ())
def trained_attack(subject: Subject, level: str) -> Findings:
    """Accuracy under the attack that the network was trained with."""
    config = subject.config
    assert config is not None
    if config.attack != "spatial":
        return under_pgd(subject, training.pgd_arguments(config, subject.side))
    right, vanished = [], []
    for images, labels in batches(subject, *subject.test):
        moved = training.perturb(config, subject.model, images, labels)
        vanished.append(attacks.vanished_flow(subject.model, images, labels).cpu())
        with torch.no_grad():
            right.append((subject.model(moved).argmax(1) == labels).cpu())
    arrays = {"last": torch.cat(right).numpy()}
    return with_vanished(Findings([ratio("accuracy_last", arrays["last"])], arrays), torch.cat(vanished))


@register("conflict", lambda subject: ("",) if subject.conflict else ())
def conflict(subject: Subject, level: str) -> Findings:
    """Shape bias: shape answers among those that name either cue (Geirhos et al. 2019), with its coverage."""
    assert subject.conflict is not None
    images, labels, textures = subject.conflict
    predicted, _ = predict(subject, images, labels)
    shape, texture = predicted == labels.numpy(), predicted == textures.numpy()
    either = shape | texture
    rows = [ratio("coverage", either), ratio("shape_accuracy", shape), ratio("texture_accuracy", texture)]
    if either.any():  # with no answer that names a cue there is no bias, and no row
        rows.append(ratio("shape_bias", shape[either]))
    arrays = {"class": predicted, "labels": labels.numpy(), "textures": textures.numpy()}
    return Findings(rows, arrays)


# --- Distortions -----------------------------------------------------------------------------------------------------


def distorted(name: str) -> Callable[[Subject, str], Findings]:
    """The measurement of what a network says of the test set under one of transforms.DISTORTIONS."""

    def measure(subject: Subject, level: str) -> Findings:
        """The test set, distorted."""
        found = said(subject, change=lambda some, at: transforms.distort(some, name, level, at, subject.seed))
        # what was said of each image is enough to compare networks; thirty probabilities an image would be megabytes
        return found._replace(arrays={"class": found.arrays["class"]})

    return measure


def levels_of(name: str) -> Callable[[Subject], tuple[str, ...]]:
    """Which levels of a distortion apply to a subject."""
    return lambda subject: transforms.levels(name, subject.side)


for _name in transforms.DISTORTIONS:
    register(_name, levels_of(_name))(distorted(_name))


def stylised_levels(subject: Subject) -> tuple[str, ...]:
    """Every data set but `shapes`, whose textures are known, has stylised test sets.

    Also those in a user's own styles; but not without pictures (`expected`): the campaign doesn't want these, and would
    train published networks again to show them to.
    """
    if subject.dataset in ("", "shapes"):
        return ()
    return style.levels(subject.dataset, subject.side) if subject.content else style.LEVELS


def stylised_lacks(subject: Subject, level: str) -> str:
    """What to do about a stylised test set that is not there, or is of other pictures."""
    return style.lacking(subject.dataset, subject.side, level, subject.content)


def stylised_outdated(subject: Subject, level: str, record: dict) -> bool:
    """Whether the stylised test set has been made again since, of other styles or pictures."""
    there = not style.lacking(subject.dataset, subject.side, level, subject.content)
    about = style.manifest(subject.dataset, subject.side, level) if there else {}
    return there and style.differs(about, record.get("stylised", {}))


@register("stylised", stylised_levels, lacks=stylised_lacks, outdated=stylised_outdated)
def stylised(subject: Subject, level: str) -> Findings:
    """The test set in other styles (level: STYLES-STYLIST), as notebooks/stylise.ipynb keeps it."""
    images, about = style.load(subject.dataset, subject.side, subject.test.images, level)
    found = said(subject, images)
    return Findings(found.rows, {"class": found.arrays["class"]}, {"stylised": style.summary(about)})


# --- Saliency maps ---------------------------------------------------------------------------------------------------

MAP_PLACES = ("clean@", "saturation@1024", "patch-shuffle@4", "pgd-linf@8")
MAP_STYLES = ("generated-ghiasi", "paintings-ghiasi")
MAP_PICTURES = {"cifar10": 500}  # of the test set, drawn once; of other data sets MAP_PICTURES_ELSEWHERE
MAP_PICTURES_ELSEWHERE = 200


def map_pictures(subject: Subject) -> Tensor:
    """Places in the test set of the pictures whose maps are drawn, the same for every network."""
    order = torch.randperm(len(subject.test.labels), generator=torch.Generator().manual_seed(0))
    return order[: MAP_PICTURES.get(subject.dataset, MAP_PICTURES_ELSEWHERE)]


def shown_under(subject: Subject, place: str, chosen: Tensor) -> Tensor:
    """Test pictures under "DISTORTION@LEVEL", float, on the subject's device. chosen: their places in the test set."""
    name, _, level = place.partition("@")
    if name == "stylised":
        styled, _ = style.load(subject.dataset, subject.side, subject.test.images, level)
        return data.prepare(styled[chosen].to(subject.device), subject.side)
    images = data.prepare(subject.test.images[chosen].to(subject.device), subject.side)
    if name == "clean":
        return images
    if name in transforms.DISTORTIONS:
        return transforms.distort(images, name, level, chosen.tolist(), subject.seed)
    if place == "pgd-linf@8":
        labels = subject.test.labels[chosen].to(subject.device)
        return in_batches(lambda some, target: attacks.pgd(subject.model, some, target, **TABLE_1), images, labels)
    raise InputError(f"under = {place!r}: not a way to show test pictures")


def in_batches(do: Callable[[Tensor, Tensor], Tensor], images: Tensor, labels: Tensor) -> Tensor:
    """What `do` makes of images and labels, BATCH at a time."""
    return torch.cat([do(*some) for some in zip(images.split(BATCH), labels.split(BATCH), strict=True)])


def map_statistics(maps: Tensor, shown: Tensor, clean: Tensor, clean_maps: Tensor) -> dict[str, Tensor]:
    """rows.MAP_METRICS of signed maps, one value per picture. shown: the pictures that the maps are of; clean,
    clean_maps: the undistorted ones and theirs."""
    return {
        "gini": saliency.gini(maps),
        "edge_correlation": saliency.edge_correlation(maps, clean),
        "high_frequency": saliency.high_frequency(maps),
        "alignment": saliency.alignment(maps, shown),
        "map_distance": saliency.map_distance(maps, clean_maps),
    }


def both_maps(subject: Subject, images: Tensor, chosen: Tensor) -> dict[str, Tensor]:
    """Maps of the true class, by what their metrics begin with: SmoothGrad's ("") and the plain gradient's.

    NetworkError if one of them is not finite.
    """
    labels = subject.test.labels[chosen].to(subject.device)
    draws = torch.Generator().manual_seed(subject.seed)
    found = {
        "": saliency.smoothgrad(subject.model, images, labels, samples=saliency.SAMPLES, generator=draws),
        "grad_": in_batches(lambda some, target: saliency.grad(subject.model, some, target), images, labels),
    }
    for prefix, drawn in found.items():
        if wrong := int((~drawn.isfinite()).flatten(1).any(1).sum()):
            kind = "gradients" if prefix else "SmoothGrad maps, whose noisy copies leave [0, 1],"
            raise NetworkError(f"model: its {kind} are NaN or infinite for {wrong} of {len(images)} pictures")
    return found


def map_places(subject: Subject) -> tuple[str, ...]:
    """What maps are drawn of: those of MAP_PLACES that the pictures' size allows, and two stylised test sets if any."""
    shuffles = [f"patch-shuffle@{level}" for level in transforms.levels("patch-shuffle", subject.side)]
    fitting = (place for place in MAP_PLACES if not place.startswith("patch-shuffle@") or place in shuffles)
    return (*fitting, *(f"stylised@{level}" for level in MAP_STYLES if stylised_levels(subject)))


def maps_lack(subject: Subject, level: str) -> str:
    """As `stylised_lacks`."""
    name, _, at = level.partition("@")
    return stylised_lacks(subject, at) if name == "stylised" else ""


def maps_outdated(subject: Subject, level: str, record: dict) -> bool:
    """As `stylised_outdated`."""
    name, _, at = level.partition("@")
    return name == "stylised" and stylised_outdated(subject, at, record)


@register("maps", map_places, lacks=maps_lack, outdated=maps_outdated)
def maps(subject: Subject, level: str) -> Findings:
    """Statistics of the saliency maps of the true class under one distortion (level: "DISTORTION@LEVEL").

    Their rows are that distortion's. All pictures count, also those that the network gets wrong.
    """
    chosen = map_pictures(subject)
    clean = shown_under(subject, "clean@", chosen)
    images = clean if level == "clean@" else shown_under(subject, level, chosen)
    found = subject.clean_maps if level == "clean@" else both_maps(subject, images, chosen)
    arrays: dict[str, np.ndarray] = {}
    for prefix, drawn in found.items():
        statistics = map_statistics(drawn, images, clean, subject.clean_maps[prefix])
        if level == "clean@":
            del statistics["map_distance"]  # to themselves
        arrays |= {prefix + name: values.cpu().numpy() for name, values in statistics.items()}
    rows = [Row(name, float(values.mean()), None, len(values)) for name, values in arrays.items()]
    name, _, at = level.partition("@")
    about = style.manifest(subject.dataset, subject.side, at) if name == "stylised" else {}
    record = {"stylised": style.summary(about)} if about else {}
    return Findings(rows, {name: values.astype(np.float16) for name, values in arrays.items()}, record)


@contextlib.contextmanager
def exact() -> Iterator[None]:
    """Single precision as it is written: no TF32, no autocast."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32, cudnn.allow_tf32 = False, False
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def subject_of(run: Path) -> Subject:
    """The subject that a finished run's folder describes: its rounded weights, batch norm folded, its data set."""
    record, path = read_json(run / "training.json"), run / "weights.safetensors"
    if not path.is_file() or tensor_digest(load_tensors(path)[0]) != record["weights_digest"]:
        raise InputError(f"{path}: not the weights that training.json speaks of; restore both, or train again")
    config = config_of(record["config"], run)
    dataset = data.load(config.dataset, side=config.side, **dataset_arguments(config))
    now = training.inputs_of(dataset)
    if training.other_pictures(config, record, now):
        raise InputError(
            f"{run}: trained on {training.stated(record)}, not {training.stated(now)}; put that back, or move the run"
        )
    return subject_from(config, path, training.device_of_choice(), dataset)


def subject_from(config: Config, weights: Path, device: torch.device, dataset: data.Dataset | None = None) -> Subject:
    """The network in a file of weights, batch norm folded, and the data set of its configuration (None: loaded)."""
    model, _ = models.load(weights)
    dataset = dataset or data.load(config.dataset, side=config.side, **dataset_arguments(config))
    folded = models.fold(model).to(device)
    side, name, source = int(config.side or 0), config.dataset, dataset.source
    return Subject(folded, dataset.test, side, device, dataset.conflict, config, dataset=name, source=source)


def wanted(subject: Subject, only: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """The (distortion, level) pairs that apply to a subject, all or those of the named measurements."""
    chosen = {name: m for name, m in MEASUREMENTS.items() if not only or name in only}
    return [(name, level) for name, measurement in chosen.items() for level in measurement.levels(subject)]


def _outline(config: Config) -> Subject:
    """A run's subject without its network and pictures."""
    nothing = torch.empty(0)
    conflict = data.Conflict(nothing, nothing, nothing) if config.dataset == "shapes" else None
    split, side = data.Split(nothing, nothing), int(config.side or 0)
    return Subject(nn.Identity(), split, side, torch.device("cpu"), conflict, config, dataset=config.dataset)


def expected(config: Config) -> list[str]:
    """Every "NAME@LEVEL" that applies to a run, from its configuration alone."""
    return ["@".join(pair) for pair in wanted(_outline(config))]


def lacking(config: Config) -> dict[str, str]:
    """Those of `expected` that can't be measured here yet, each with what is missing, in a line."""
    subject = _outline(config)
    lines = {f"{name}@{level}": MEASUREMENTS[name].lacks(subject, level) for name, level in wanted(subject)}
    return {place: line for place, line in lines.items() if line}


def evaluate(run: str | Path, *, only: tuple[str, ...] = (), again: bool = False, progress: bool = True) -> Path:
    """Compute what a finished run lacks; returns its folder.

    run: a folder or DATASET/RUN. only: names of measurements (none: all). again: compute also what is there. Each
    measurement is written as it ends, so that a stopped evaluation goes on with the next one. InputError for a run
    that is not there or not finished, a measurement that is unknown or does not apply, or damaged files; and, after all
    others are done, NetworkError for a measurement that failed.
    """
    check_only(only)
    folder = find_run(str(run))
    provenance.commit()  # of the code that now runs
    with training.exclusive(folder):
        subject, record = subject_of(folder), read_json(folder / "training.json")
        assert subject.config is not None
        columns = columns_of(subject.config, record["run"])
        table = Table(folder, subject, columns, record["weights_digest"])
        failed = complete(table, only=only, again=again, progress=progress)
    if failed:
        raise type(failed[0])(f"run = {record['run']!r}: {failed[0]}")
    return folder


def check_only(only: Sequence[str]) -> None:
    """InputError unless they are names of measurements."""
    if isinstance(only, str):
        raise InputError(f"only = {only!r}: must be names in a tuple, for instance ({only!r},)")
    for name in only:
        one_of("measure", name, MEASUREMENTS)


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


def applying(subject: Subject, only: tuple[str, ...], name: str) -> list[tuple[str, str]]:
    """`wanted`; InputError if nothing is. name: of what is measured."""
    if pairs := wanted(subject, only):
        return pairs
    raise InputError(f"measure = {', '.join(only)!r}: does not apply to {name}")


def measurable(subject: Subject, only: tuple[str, ...], name: str) -> list[tuple[str, str]]:
    """As `applying`; InputError also if all that is named lacks something."""
    pairs = applying(subject, only, name)
    lines = [MEASUREMENTS[measure].lacks(subject, level) for measure, level in pairs] if only else [""]
    if all(lines):
        raise InputError(lines[0])
    return pairs


def complete(
    table: Table, *, only: tuple[str, ...] = (), again: bool = False, progress: bool = True
) -> list[AtlibError]:
    """Measure what a table lacks, and say what is left out for want of a stylised test set.

    Returns the error of each measurement that failed, with its name; it doesn't stop the others.
    """
    subject, done = table.subject, table.origins["measurements"]
    pairs = (applying if done else measurable)(subject, only, table.folder.name)
    current = [pair for pair in pairs if pair in table and not again]
    current = [(name, at) for name, at in current if not MEASUREMENTS[name].outdated(subject, at, done[f"{name}@{at}"])]
    missing = [pair for pair in pairs if pair not in current]
    lacks = {pair: MEASUREMENTS[pair[0]].lacks(subject, pair[1]) for pair in missing}
    for line in dict.fromkeys(filter(None, lacks.values())):
        print(f"left out: {line}", flush=True)
    missing = [pair for pair in missing if not lacks[pair]]
    failed: list[AtlibError] = []
    for name, level in (bar := tqdm(missing, disable=not progress, desc=table.folder.name, unit="measurement")):
        bar.set_postfix_str(f"{name} {level}".strip())
        began = time.perf_counter()
        try:
            with exact():
                found = MEASUREMENTS[name].measure(subject, level)
                check_finite(found)
        except AtlibError as error:
            failed.append(type(error)(f"{name}@{level}".rstrip("@") + f": {error}"))
            continue
        if line := warning(found):
            print(f"warning: {name}@{level}: {line}", flush=True)
            found = found._replace(record=found.record | {"warning": line})
        table.put(name, level, found, time.perf_counter() - began)
    return failed


class Table:
    """Rows, arrays and their origins, as files in a folder.

    columns: what all rows have in common; digest: of the network's weights.
    """

    def __init__(self, folder: Path, subject: Subject, columns: dict[str, object], digest: str) -> None:
        self.folder, self.subject, self.columns = folder, subject, columns
        self.rows = frame_of([])
        self.arrays: dict[str, np.ndarray] = {"labels": subject.test.labels.numpy().astype(np.uint16)}
        self.origins: dict = {"weights_digest": digest, "pictures": subject.content, "measurements": {}}
        if (folder / "evaluation.json").is_file():
            self.restore(digest)

    def restore(self, digest: str) -> None:
        """Take over what an earlier evaluation of the same weights, on the same pictures, wrote."""
        origins = read_json(self.folder / "evaluation.json")
        if origins.get("weights_digest") != digest:
            return  # of other weights: measured anew
        try:
            rows = read_rows(self.folder / "rows.csv")
            arrays = read_predictions(self.folder / "predictions.npz")
        except InputError as error:
            raise InputError(f"{error}; to measure anew, delete evaluation.json beside it") from None
        pictures = origins.setdefault("pictures", self.subject.content)  # records of before 2026-11-25 don't have it
        if pictures != self.subject.content or not np.array_equal(arrays["labels"], self.arrays["labels"]):
            print(f"{self.folder}: the test pictures are others than those measured there: measured anew", flush=True)
            return
        self.rows, self.arrays, self.origins = rows, arrays, origins

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return "@".join(pair) in self.origins["measurements"]

    def put(self, name: str, level: str, found: Findings, seconds: float) -> None:
        """Replace what is there of this measurement and level, and write all three files."""
        key = f"{name}@{level}"
        mine = [measurement(row) == key for row in self.rows.to_dict("records")]
        distortion, at = level.split("@") if name == "maps" else (name, level)  # maps' rows are those of what they show
        place = self.columns | {"distortion": distortion, "level": at}
        new = frame_of([place | asdict(row) for row in found.rows])
        self.rows = pd.concat([self.rows[~np.array(mine, bool)], new], ignore_index=True)
        self.arrays = {k: v for k, v in self.arrays.items() if not k.startswith(f"{key}/")}
        self.arrays |= {f"{key}/{k}": v for k, v in found.arrays.items()}
        about = provenance.record(self.subject.device)
        # versions and hardware stand once in the record, and at a measurement only where it was made with others
        differing = {kind: about[kind] for kind in ("versions", "hardware") if self.differs(kind, about[kind])}
        commit = {"commit": about["commit"]}
        self.origins["measurements"][key] = {"seconds": round(seconds, 2), **found.record, **commit, **differing}
        self.write()

    def differs(self, kind: str, found: object) -> bool:
        """Whether versions or hardware differ from those that the record has, which get it if it has none yet."""
        return self.origins.setdefault(kind, found) != found

    def write(self) -> None:
        """The rows last but one and their origins last: a stop in between leaves the measurement to be done again."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **self.arrays)  # type: ignore[arg-type]
        with atomic(self.folder / "predictions.npz") as temporary:
            temporary.write_bytes(buffer.getvalue())
        order = ["distortion", "level", "metric"]
        with atomic(self.folder / "rows.csv") as temporary:
            self.rows.sort_values(order, kind="stable").to_csv(temporary, index=False)
        write_json(self.folder / "evaluation.json", self.origins)
