"""Data sets as uint8 pictures, labels and class names, and the batches that training and tests make of them.

    pictures = data.load("shapes")
    images = data.prepare(pictures.test.images[:100], pictures.side)

Above `atlib.registry`, which lists what is known about each data set, its modules are, from the bottom up: `datasets`
defines what `load` returns; `pictures` turns files into squares; `npz`, `archives`, `folders` and `prepared` are the
sources of pictures, and `loading` chooses among them; `batches` prepares what a network sees.
"""

from ..files import data_dir
from ..registry import (
    AUGMENTATIONS,
    CIFAR10,
    DATASETS,
    Archive,
    Size,
    Spec,
    check,
    folder_path,
    generator_parameters,
    slug,
    stored_side,
)
from .batches import augment, crop, prepare, sent, to_float
from .datasets import Conflict, Dataset, Split, hold_out
from .folders import Listing, class_order, list_folder
from .loading import at_hand, load
from .pictures import SUFFIXES, is_picture, split_classes, square

__all__ = [
    "AUGMENTATIONS",
    "CIFAR10",
    "DATASETS",
    "SUFFIXES",
    "Archive",
    "Conflict",
    "Dataset",
    "Listing",
    "Size",
    "Spec",
    "Split",
    "at_hand",
    "augment",
    "check",
    "class_order",
    "crop",
    "data_dir",
    "folder_path",
    "generator_parameters",
    "hold_out",
    "is_picture",
    "list_folder",
    "load",
    "prepare",
    "sent",
    "slug",
    "split_classes",
    "square",
    "stored_side",
    "to_float",
]
