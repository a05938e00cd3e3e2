"""What a network answers when one class is barred: Caltech's class for pictures of none of its objects.

Under strong changes most answers that networks lose on Caltech-101 become this one. With it barred, a network has to
name an object. Measured only where it is asked for by name: `barred@saturation@1024`, or `barred` for all of PLACES.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from . import style
from .measurements import Findings, Subject, distorting, place_lacks, predict, ratio, register

NAME = "barred"
CLUTTER = {"caltech101": 0, "caltech256": 256}  # its place among the classes: BACKGROUND_Google, 257.clutter
PLACES = (
    "clean@",
    *(f"saturation@{level}" for level in ("8", "16", "64", "1024")),
    *(f"low-pass@{level}" for level in ("0.1", "0.2")),
    *(f"high-pass@{level}" for level in ("0.1", "0.2")),
    *(f"patch-shuffle@{level}" for level in ("2", "4")),
    *(f"stylised@{level}" for level in style.LEVELS),
)


class Barred(nn.Module):
    """A network that never gives one of its classes: that class's logit becomes lower than all others."""

    def __init__(self, model: nn.Module, label: int) -> None:
        super().__init__()
        self.model, self.label = model, label

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(images)
        out = torch.arange(logits.shape[1], device=logits.device) == self.label
        return torch.where(out, logits.amin(1, keepdim=True) - 1, logits)


def levels(subject: Subject) -> tuple[str, ...]:
    """PLACES, for the data sets that have such a class."""
    return PLACES if subject.dataset in CLUTTER else ()


@register(NAME, lambda subject: (), lacks=place_lacks, on_request=levels)
def barred(subject: Subject, level: str) -> Findings:
    """The test pictures under a DISTORTION@LEVEL, answered without clutter, whose own pictures all count as wrong."""
    name, _, at = level.partition("@")
    without = replace(subject, model=Barred(subject.model, CLUTTER[subject.dataset]))
    labels, images = subject.test.labels, subject.test.images
    if name == "stylised":
        styled, about = style.load(subject.dataset, subject.side, subject.pictures, at)
        predicted, _ = predict(without, styled[subject.places], labels)
        record = {"stylised": style.summary(about)}
    else:
        predicted, _ = predict(without, images, labels, None if name == "clean" else distorting(subject, name, at))
        record = {}
    return Findings([ratio("accuracy", predicted == labels.numpy())], {"class": predicted}, record)
