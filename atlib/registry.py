"""What is known about each data set: side, augmentation, official archive, deviations from the paper; and a check of
the name, side and parameters that a user asks for.

It doesn't import torch, which takes seconds, except to look up the parameters of `shapes`; a job's own are checked
before that.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import re
from pathlib import Path
from typing import NamedTuple

from .errors import InputError, in_range, one_of
from .files import expanded

AUGMENTATIONS = ("pad-crop-flip", "flip", "crop-flip", "none")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Archive(NamedTuple):
    """An official file: its name in the data directory, its address and md5."""

    file: str
    url: str
    md5: str


class Size(NamedTuple):
    """How many pictures there are to train on (after the hold-out) and to test on, and how many classes.

    The campaign estimates from these what a run costs.
    """

    train: int
    test: int
    classes: int


class Spec(NamedTuple):
    """What is known about a data set: its own side, the paper's augmentation, deviations from the paper, its official
    archive and its size (None: not known before it is read)."""

    side: int
    augmentation: str
    deviations: tuple[str, ...] = ()
    archive: Archive | None = None
    size: Size | None = None


SQUARES = (
    "pictures are stored as squares: short side resized to 256/224 of the network's, centre cropped; the paper "
    "crops at random from the whole resized picture"
)
SPLIT = "each class is split 80/20 with a fixed seed; the paper's split had none, so its test pictures differ"
# The md5 sums have not been checked against the files, since no address could be reached when this was written.
# CIFAR-10's is given on the data set's page, and Caltech's are those in torchvision 0.28. Tiny ImageNet publishes
# none; this is the one that public loaders agree on. If one were wrong, the download would stop with a line that
# says so.
DATASETS = {
    "shapes": Spec(32, "none", ("not in the paper: generated",), size=Size(4500, 1000, 10)),
    "cifar10": Spec(
        32,
        "pad-crop-flip",
        archive=Archive(
            "cifar-10-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
        ),
        size=Size(45_000, 10_000, 10),
    ),
    "tiny-imagenet": Spec(
        64,
        "flip",
        (
            'normalised per channel inside the model; the paper says "per-image standardization"',
            "tested on the validation split: the test labels are not public",
        ),
        Archive(
            "tiny-imagenet-200.zip",
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "90528d7ca1a48142e341f4ef8d21d0de",
        ),
        Size(95_000, 10_000, 200),
    ),
    # of each class of Caltech, 80 % of the pictures are to train on (a tenth of these is held out), 20 % to test on
    "caltech256": Spec(
        224,
        "crop-flip",
        (SQUARES, SPLIT),
        Archive(
            "256_ObjectCategories.tar",
            "https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",
            "67b4f42ca05d46448c6bb8ecd2220f6d",
        ),
        Size(22_100, 6000, 257),
    ),
    "caltech101": Spec(
        224,
        "crop-flip",
        ("not in the paper: stands in for Caltech-256", SQUARES, SPLIT),
        Archive(
            "caltech-101.zip",
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            "3138e1922a9193bfa496528edbbc45d0",
        ),
        Size(6622, 1788, 102),
    ),
}
FOLDER = Spec(224, "crop-flip", ("not in the paper: the reader's own pictures", SQUARES))


def stored_side(spec: Spec, side: int) -> int:
    """The height and width at which pictures are stored for a network of side `side`, the same for every source."""
    return round(side * 256 / 224) if spec.augmentation == "crop-flip" else spec.side


def check(name: str, side: int | None = None, **parameters: object) -> tuple[Spec, int]:
    """The data set's Spec and the side that the network sees; InputError for what `load` would refuse."""
    if isinstance(name, str) and name.startswith("folder:"):
        spec = FOLDER
        if name == "folder:" or not folder_path(name).is_dir():
            raise InputError(f"dataset = {name!r}: must be folder:PATH with the PATH of a folder")
        if not is_utf8(str(folder_path(name))):
            raise InputError(f"dataset = {name!r}: the folder's path must be UTF-8; rename it")
    else:
        one_of("dataset", name, [*DATASETS, "folder:PATH"])
        spec = DATASETS[name]
    if side is not None:
        low, high = {"flip": (64, 512), "crop-flip": (16, 512)}.get(spec.augmentation, (spec.side, spec.side))
        in_range("side", side, low, high, whole=True)
    for parameter in parameters:
        if name != "shapes":
            raise InputError(f"{parameter} = {parameters[parameter]!r}: only the data set shapes has parameters")
        one_of("parameter of shapes", parameter, generator_parameters())
    return spec, side or spec.side


def generator_parameters() -> dict[str, object]:
    """Name and default of every parameter of `shapes`."""
    from . import shapes

    return {name: p.default for name, p in inspect.signature(shapes.generate).parameters.items()}


def folder_path(name: str) -> Path:
    """The PATH of "folder:PATH", absolute."""
    return expanded("dataset", name.removeprefix("folder:")).resolve()


def is_utf8(name: str) -> bool:
    """Whether a file name or path is stored as UTF-8 on disk, whatever the locale."""
    try:
        os.fsencode(name).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def slug(name: str) -> str:
    """The data set's name as part of a file's: "folder:/a/b" becomes "folder-b-" and a hash of the path."""
    if not name.startswith("folder:"):
        return name
    path = folder_path(name)
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.name)
    return f"folder-{readable}-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
