"""The loaded data set: pictures and labels for training, for the hold-out and for testing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


class Split(NamedTuple):
    """Pictures (uint8, N×3×H×W) and labels (int64, N)."""

    images: Tensor
    labels: Tensor


class Conflict(NamedTuple):
    """Pictures whose shape names one class and whose texture another.

    images: uint8, N×3×H×W; labels and textures: the class of the shape and that of the texture, int64, N.
    """

    images: Tensor
    labels: Tensor
    textures: Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set ready to train on.

    `classes`: output i of a network measured on the data set stands for classes[i]. They keep the order of their
    source; those of folder:PATH are sorted by folder name as text: 0, 1, 10, 11, 2 (`class_order` says so in one line
    where it matters). No run trains on `holdout`. `side` is the height and width that the network sees,
    `augmentation` the kind that `augment` applies in training, `source` what the pictures came from, with its hash.
    Only `shapes` has a `conflict`.
    """

    name: str
    classes: tuple[str, ...]
    side: int
    augmentation: str
    source: str
    deviations: tuple[str, ...]
    train: Split = field(repr=False)
    holdout: Split = field(repr=False)
    test: Split = field(repr=False)
    conflict: Conflict | None = field(default=None, repr=False)


def hold_out(count: int) -> tuple[Tensor, Tensor]:
    """Sorted indexes of the training pictures to train on, and of those that no run ever trains on.

    The latter are the first min(5000, count // 10) entries of a permutation that depends on `count` alone.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    size = min(5000, count // 10)
    return order[size:].sort().values, order[:size].sort().values
