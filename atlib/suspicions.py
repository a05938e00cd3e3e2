"""What seems wrong with a network from elsewhere, so that its numbers may mean nothing: wrong input, wrong classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import scipy
import torch
from torch import Tensor, nn

from . import attacks, data, measurements, models
from .errors import NetworkError
from .networks import Normalised

PROBE = 200  # test pictures on which `suspicions` checks a network
SUSPICION = 0.1  # gain in accuracy from another input scale or class order that is suspicious,
CHANCE = 0.001  # unless chance alone gives one as large with a higher probability (sign test)


class Scaled(nn.Module):
    """A network that wants pixels from 0 to 255, taking [0, 1] ones."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model(255 * images)


def probed(subject: measurements.Subject) -> data.Split:
    """The PROBE test pictures that `suspicions` looks at: the same for every network."""
    order = measurements.map_order(len(subject.test.labels))[:PROBE]
    return data.Split(subject.test.images[order], subject.test.labels[order])


def gained(subject: measurements.Subject, some: data.Split, wrap: Callable[[nn.Module], nn.Module]) -> tuple | None:
    """(accuracy as it is, accuracy of the wrapped network) if wrapping gains more than chance; else None."""
    plain = replace(subject, test=some, numbers=None, whole=None)
    wrapped = replace(plain, model=wrap(plain.model).to(plain.device))
    try:
        right = [measurements.predict(s, *some)[0] == some.labels.numpy() for s in (plain, wrapped)]
    except NetworkError:  # no finite answers to some pictures: the measurements say so
        return None
    won, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    chance = scipy.stats.binomtest(won, won + lost, alternative="greater").pvalue if won else 1.0
    if won - lost < SUSPICION * len(some.labels) or chance > CHANCE:
        return None
    return float(right[0].mean()), float(right[1].mean())


def normalised_inside(source: str, subject: measurements.Subject) -> str:
    """A line if the network seems to want normalised input: if it knows more pictures when they are; else empty."""
    some = probed(subject)
    found = gained(subject, some, lambda model: Normalised(model, models.IMAGENET_MEAN, models.IMAGENET_STD))
    if found is None:
        return ""
    return (
        f"suspicion: {source} knows {100 * found[0]:.0f} % of {len(some.labels)} test pictures, and "
        f"{100 * found[1]:.0f} % of them once normalised by ImageNet's mean and deviation; it should take "
        "pixels in [0, 1] and normalise inside"
    )


def suspicions(source: str, subject: measurements.Subject) -> Iterator[str]:
    """A line for each thing that seems wrong with a network that can be measured, so that its numbers may mean nothing.

    Normalised input; pixels from 0 to 255; another order of classes, or answers below chance; one answer to all;
    outputs after a sigmoid; gradients that are zero or not finite.
    """
    some = probed(subject)
    count = len(some.labels)
    line = normalised_inside(source, subject)
    if not line and (found := gained(subject, some, Scaled)):
        line = (
            f"suspicion: {source} knows {100 * found[0]:.0f} % of {count} test pictures, and {100 * found[1]:.0f} % of "
            "them with pixels from 0 to 255; it should take pixels in [0, 1] and multiply inside"
        )
    if line:
        yield line
    images, labels = data.prepare(some.images.to(subject.device), subject.side), some.labels
    try:
        with torch.no_grad():
            logits = torch.cat([subject.model(part).float().cpu() for part in images.split(50)])
        zero = torch.cat([attacks.vanished(subject.model, *part).cpu() for part in _parts(images, labels)])
    except NetworkError:
        return
    yield from _of_classes(source, logits, labels)
    if not line and len(logits) > 1 and len(logits.argmax(1).unique()) == 1:
        yield (
            f"suspicion: {source} gives the same answer, class {int(logits[0].argmax())}, to all {count} test pictures "
            "that were tried; such an answer is kept under any distortion"
        )
    if len(logits) and 0 <= float(logits.min()) < float(logits.max()) <= 1:
        yield (
            f"suspicion: all outputs of {source} lie between 0 and 1, as after a sigmoid; it should give the logits "
            "before it, or attacks and maps follow a gradient that fades where the network is sure"
        )
    if (share := float(zero.float().mean())) > measurements.FEW:
        yield (
            f"suspicion: the gradient of {source} is zero or not finite for {100 * share:.0f} % of {count} test "
            "pictures; an attack that follows it shows no robustness"
        )


def _parts(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(images.split(50), labels.to(images.device).split(50), strict=True)


def _of_classes(source: str, logits: Tensor, labels: Tensor) -> Iterator[str]:
    """Whether another order of classes fits, chosen on one half of the pictures and tried on the other."""
    said, true = logits.argmax(1).numpy(), labels.numpy()
    classes, half = logits.shape[1], len(true) // 2
    table = np.zeros((classes, classes), int)
    np.add.at(table, (said[:half], true[:half]), 1)
    meant = scipy.optimize.linear_sum_assignment(-table)[1]
    before, after = said[half:] == true[half:], meant[said[half:]] == true[half:]
    won, lost = int((after & ~before).sum()), int((before & ~after).sum())
    chance = scipy.stats.binomtest(won, won + lost, alternative="greater").pvalue if won else 1.0
    right = int((said == true).sum())
    below = scipy.stats.binomtest(right, len(true), 1 / classes, alternative="less").pvalue if len(true) else 1.0
    if half and won - lost >= SUSPICION * len(before) and chance <= CHANCE:
        yield (
            f"suspicion: {source} knows {100 * before.mean():.0f} % of {len(before)} test pictures, and "
            f"{100 * after.mean():.0f} % of them if its outputs are taken in another order of classes; a file "
            "`classes` can say which output means which class"
        )
    elif below <= CHANCE:
        yield (
            f"suspicion: {source} knows {right} of {len(true)} test pictures, fewer than by chance (1 in {classes}): "
            "its outputs may stand for the classes in another order, or the labels may be others"
        )
