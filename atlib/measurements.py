"""What can be measured of a network: one registry of measurements, and what each of them does.

A measurement has a name and levels; for each level it gives rows (metric, value, count, total) and small arrays of
what the network said of every test image. `atlib.evaluation` runs those that a network lacks.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import attacks, data, gradients, progress, saliency, style, training, transforms
from .choices import ATTACKS
from .configuration import Config
from .errors import InputError, NetworkError
from .tensors import tensor_digest

BATCH = 250  # images per pass; chunks of this size fit a processor's cache at width 16
# Table 1's attack (the official code's gen_result.py): PGD-40, 8/255, step 2/255, zero start.
TABLE_1: dict[str, Any] = {"eps": 8 / 255, "norm": "linf", "steps": 40, "step_size": 2 / 255}


@dataclass(frozen=True)
class Subject:
    """A network to measure and the pictures to measure it on.

    model: float images in [0, 1] to logits; test: uint8 images and labels; config: of the run, None for a network
    from elsewhere; seed: of every random draw; dataset: name of what `test` belongs to, for its stylised pictures;
    source: where that came from, with its hash. If `test` is a part of a data set's test pictures, `numbers` are their
    places in the full set and `whole` is that set; each picture is distorted just as it is in the full set.
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
    numbers: Tensor | None = None
    whole: Tensor | None = None

    @functools.cached_property
    def content(self) -> str:
        """Digest of the test pictures, of all if these are a part; empty if there are none."""
        return tensor_digest({"images": self.pictures}) if len(self.test.images) else ""

    @property
    def pictures(self) -> Tensor:
        """All test pictures of the data set, of which `test` may be a part."""
        return self.test.images if self.whole is None else self.whole

    @functools.cached_property
    def places(self) -> Tensor:
        """The places of `test` in the data set's test pictures, which decide what is drawn at random for them."""
        return torch.arange(len(self.test.labels)) if self.numbers is None else self.numbers

    @functools.cached_property
    def answers(self) -> tuple[np.ndarray, np.ndarray]:
        """`predict` for the unchanged test pictures; computed once, reused where a change has no effect."""
        return _predict(self, self.test.images, self.test.labels, None)

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
    """levels: those that apply to a subject (none: not measured); measure: gives the findings at one; lacks: a line on
    what is missing to measure one here (empty: nothing); outdated: whether an earlier measurement, by its record,
    no longer matches what would be measured now; on_request: levels that apply where the measurement is asked for
    by its name, whatever `levels` gives."""

    levels: Callable[[Subject], tuple[str, ...]]
    measure: Callable[[Subject, str], Findings]
    lacks: Callable[[Subject, str], str] = lambda subject, level: ""
    outdated: Callable[[Subject, str, dict], bool] = lambda subject, level, record: False
    on_request: Callable[[Subject], tuple[str, ...]] = lambda subject: ()


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


FEW = 0.01  # an attack's result is doubted if a larger share of the pictures has no gradient


def warning(found: Findings) -> str:
    """What makes a measurement doubtful, in a line; empty if nothing does."""
    for row in found.rows:
        if row.metric == "vanished" and row.value > FEW:
            return (
                f"the gradient of {row.count} of {row.total} pictures is zero or not finite, so an attack has "
                "nothing to follow: the network hides its gradient, and accuracy under attack doesn't show robustness"
            )
    return ""


def ratio(metric: str, right: np.ndarray) -> Row:
    """A row for the share of images for which `right` (bool) is true."""
    return Row(metric, float(right.mean()), int(right.sum()), len(right))


def batches(subject: Subject, images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Float images as tests see them, and labels, on the subject's device."""
    done = 0
    for some, target in zip(images.split(BATCH), labels.split(BATCH), strict=True):
        yield data.prepare(some.to(subject.device), subject.side), target.to(subject.device)
        done += len(some)
        progress.report(done / len(images))


Change = Callable[[Tensor, range], Tensor]  # float images and their places in the test set, to images


def predict(
    subject: Subject, images: Tensor, labels: Tensor, change: Change | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(predicted class, probability of the label) of every image, after `change` if given.

    Batches that a change leaves identical, bit for bit, reuse the clean answers. NetworkError for outputs that are not
    finite: they have no class.
    """
    if change is None and images is subject.test.images:
        return subject.answers
    return _predict(subject, images, labels, change)


@torch.no_grad()
def _predict(subject: Subject, images: Tensor, labels: Tensor, change: Change | None) -> tuple[np.ndarray, np.ndarray]:
    classes, probabilities, done = [], [], 0
    with gradients.frozen(subject.model):  # whatever mode it is in
        for some, target in batches(subject, images, labels):
            place = slice(done, done + len(some))
            done += len(some)
            shown = some if change is None else change(some, range(place.start, done))
            if change is not None and images is subject.test.images and torch.equal(shown, some):
                said, sure = subject.answers
                classes.append(torch.from_numpy(said[place].astype(np.int64)))
                probabilities.append(torch.from_numpy(sure[place]))
                continue
            logits = subject.model(shown).float()
            if not torch.isfinite(logits).all():
                raise NetworkError("the network gives NaN or infinite outputs")
            classes.append(logits.argmax(1).cpu())
            probabilities.append(logits.softmax(1).gather(1, target[:, None])[:, 0].cpu())
    # 256 classes fit a byte
    predicted = torch.cat(classes).numpy()
    return predicted.astype(np.uint8 if predicted.max() < 256 else np.uint16), torch.cat(probabilities).numpy()


def classify(subject: Subject, images: Tensor | None = None, change: Change | None = None) -> Findings:
    """Accuracy and mean probability of the true class on the test set, or on others of the same labels; and the class
    that every image was given."""
    labels = subject.test.labels
    predicted, p_true = predict(subject, subject.test.images if images is None else images, labels, change)
    rows = [ratio("accuracy", predicted == labels.numpy()), Row("p_true", float(p_true.mean()), None, len(p_true))]
    return Findings(rows, {"class": predicted, "p_true": p_true.astype(np.float16)})


@register("clean", lambda subject: ("",))
def clean(subject: Subject, level: str) -> Findings:
    """The test set as it is."""
    return classify(subject)


def under_pgd(subject: Subject, arguments: dict) -> Findings:
    """Accuracy under a PGD attack, at its last iterate and at all of them, in one pass; and the share of pictures that
    gave the attack no gradient to follow (`vanished`), which says whether that accuracy can be believed.

    NetworkError, with the number of pictures, for outputs that are NaN or infinite: such a network gets no row.
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


@register("gradient", lambda subject: (), on_request=lambda subject: ("",))
def gradient(subject: Subject, level: str) -> Findings:
    """The share of clean pictures whose gradient is zero or not finite: an attack from there has nothing to follow.

    Rows of attacks that were measured before `vanished` was recorded lack it; this makes up for it at the cost of one
    gradient for each picture. (`under_pgd` also counts pictures that lose theirs in later steps.)
    """
    found = [attacks.vanished(subject.model, *some).cpu() for some in batches(subject, *subject.test)]
    return with_vanished(Findings([], {}), torch.cat(found))


@register("pgd-linf", lambda subject: ("8",))
def table_1(subject: Subject, level: str) -> Findings:
    """The robustness column of the paper's Table 1."""
    return under_pgd(subject, TABLE_1)


@register("trained-attack", lambda s: ("",) if s.config and ATTACKS[s.config.attack].adversary else ())
def trained_attack(subject: Subject, level: str) -> Findings:
    """Accuracy under the attack that the network was trained with."""
    config = subject.config
    assert config is not None
    if ATTACKS[config.attack].projected:
        return under_pgd(subject, training.pgd_arguments(config, subject.side))
    right, vanished = [], []
    for images, labels in batches(subject, *subject.test):
        moved = training.perturb(config, subject.model, images, labels)
        if config.attack == "spatial":
            vanished.append(attacks.vanished_flow(subject.model, images, labels).cpu())
        with torch.no_grad():
            right.append((subject.model(moved).argmax(1) == labels).cpu())
    arrays = {"last": torch.cat(right).numpy()}
    found = Findings([ratio("accuracy_last", arrays["last"])], arrays)
    return with_vanished(found, torch.cat(vanished)) if vanished else found


def conflict_levels(subject: Subject) -> tuple[str, ...]:
    """`shapes` includes cue-conflict pictures; for photographs, `style.cues` may have made some.

    Without them it is measured only where it is asked for by name: otherwise the campaign would train published
    networks again.
    """
    made = not subject.conflict and style.cues.there(subject.dataset, subject.side, subject.content)
    return ("",) if subject.conflict or made else ()


def conflict_on_request(subject: Subject) -> tuple[str, ...]:
    """Data sets of photographs of which cue-conflict pictures can be made."""
    return ("",) if subject.dataset in style.cues.DATASETS else ()


def conflict_lacks(subject: Subject, level: str) -> str:
    """How to make the cue-conflict pictures of photographs, if they are not there."""
    return "" if subject.conflict else style.cues.lacking(subject.dataset, subject.side, subject.content)


@register("conflict", conflict_levels, lacks=conflict_lacks, on_request=conflict_on_request)
def conflict(subject: Subject, level: str) -> Findings:
    """Shape bias: shape answers among those that name either cue (Geirhos et al. 2019), with its coverage.

    On photographs the shape's class is that of the content, the texture's that of the style.
    """
    shown = subject.conflict
    record: dict[str, Any] = {}
    if shown is None:
        shown, about = style.cues.load(subject.dataset, subject.side, subject.content)
        record = {"cues": about}
    images, labels, textures = shown
    predicted, _ = predict(subject, images, labels)
    shape, texture = predicted == labels.numpy(), predicted == textures.numpy()
    either = shape | texture
    rows = [ratio("coverage", either), ratio("shape_accuracy", shape), ratio("texture_accuracy", texture)]
    if either.any():  # with no answer that names a cue there is no bias, and no row
        rows.append(ratio("shape_bias", shape[either]))
    arrays = {"class": predicted, "labels": labels.numpy(), "textures": textures.numpy()}
    return Findings(rows, arrays, record)


# --- Distortions -----------------------------------------------------------------------------------------------------


def distorting(subject: Subject, name: str, level: str) -> Change:
    """One of transforms.DISTORTIONS, as it is applied to the test pictures."""

    def change(some: Tensor, at: range) -> Tensor:
        numbers = subject.places[at.start : at.stop].tolist()
        return transforms.distort(some, name, level, numbers, subject.seed)

    return change


def distorted(name: str) -> Callable[[Subject, str], Findings]:
    """The measurement of what a network says of the test set under one of transforms.DISTORTIONS."""

    def measure(subject: Subject, level: str) -> Findings:
        """The test set, distorted."""
        found = classify(subject, change=distorting(subject, name, level))
        # one predicted class per image is enough to compare networks; thirty probabilities per image take megabytes
        return found._replace(arrays={"class": found.arrays["class"]})

    return measure


def levels_of(name: str) -> Callable[[Subject], tuple[str, ...]]:
    """Which levels of a distortion apply to a subject."""
    return lambda subject: transforms.levels(name, subject.side)


for _name in transforms.DISTORTIONS:
    register(_name, levels_of(_name))(distorted(_name))


def stylised_levels(subject: Subject) -> tuple[str, ...]:
    """Every data set but `shapes`, whose textures are known, has stylised test sets.

    Sets in a user's own styles count too, but not for a subject without pictures (`expected`): otherwise the campaign
    would train published networks again to measure them.
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
    images, about = style.load(subject.dataset, subject.side, subject.pictures, level)
    found = classify(subject, images[subject.places])
    return Findings(found.rows, {"class": found.arrays["class"]}, {"stylised": style.summary(about)})


# --- Saliency maps ---------------------------------------------------------------------------------------------------

MAP_PLACES = ("clean@", "saturation@1024", "patch-shuffle@4", "pgd-linf@8")
MAP_STYLES = ("generated-ghiasi", "paintings-ghiasi")
MAP_PICTURES = {"cifar10": 500}  # of the test set, drawn once; of other data sets MAP_PICTURES_ELSEWHERE
MAP_PICTURES_ELSEWHERE = 200
FEWEST_MAPS = 50  # of a part of a data set


def map_order(count: int) -> Tensor:
    """All places among so many pictures, in the order in which maps are drawn of them."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(0))


def map_pictures(subject: Subject) -> Tensor:
    """Places in `test` of the pictures whose maps are drawn, the same for every network.

    For part of a data set: a proportional number, at least FEWEST_MAPS, in the whole set's order.
    """
    whole, part = len(subject.pictures), len(subject.test.labels)
    order = map_order(whole)
    count = MAP_PICTURES.get(subject.dataset, MAP_PICTURES_ELSEWHERE)
    if subject.numbers is None:
        return order[:count]
    here = torch.full((whole,), -1)
    here[subject.numbers] = torch.arange(part)
    return here[order[here[order] >= 0]][: max(FEWEST_MAPS, math.ceil(min(count, whole) * part / whole))]


def shown_under(subject: Subject, place: str, chosen: Tensor) -> Tensor:
    """Test pictures under "DISTORTION@LEVEL", float, on the subject's device. chosen: their places in the test set."""
    name, _, level = place.partition("@")
    if name == "stylised":
        styled, _ = style.load(subject.dataset, subject.side, subject.pictures, level)
        return data.prepare(styled[subject.places[chosen]].to(subject.device), subject.side)
    images = data.prepare(subject.test.images[chosen].to(subject.device), subject.side)
    if name == "clean":
        return images
    if name in transforms.DISTORTIONS:
        return transforms.distort(images, name, level, subject.places[chosen].tolist(), subject.seed)
    if place == "pgd-linf@8":
        labels = subject.test.labels[chosen].to(subject.device)
        return in_batches(lambda some, target: attacks.pgd(subject.model, some, target, **TABLE_1), images, labels)
    raise InputError(f"under = {place!r}: must be clean@, pgd-linf@8, stylised@SET or a distortion with its level")


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


def place_lacks(subject: Subject, level: str) -> str:
    """As `stylised_lacks`, for a DISTORTION@LEVEL; the other distortions need nothing."""
    name, _, at = level.partition("@")
    return stylised_lacks(subject, at) if name == "stylised" else ""


def maps_outdated(subject: Subject, level: str, record: dict) -> bool:
    """As `stylised_outdated`."""
    name, _, at = level.partition("@")
    return name == "stylised" and stylised_outdated(subject, at, record)


@register("maps", map_places, lacks=place_lacks, outdated=maps_outdated)
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
