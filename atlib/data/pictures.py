"""Decode picture files, on all processors, into squares of one size; and split each class with a seed."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from ..errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
LONGEST = 16  # the most of a strip's long side that is resized, in multiples of its short side

Entry = tuple[str, Callable[[], bytes]]  # a file's name in its archive, and what reads it
Picture = tuple[str, int]  # a picture's name in its source, and its label


class Content(NamedTuple):
    """What a source holds: class names, labels of its training and of its test pictures, and the pictures.

    `blocks` yields positions (training pictures first, then test) and as many pictures, uint8 k×3×side×side,
    until every position has come once.
    """

    classes: tuple[str, ...]
    train_labels: list[int]
    test_labels: list[int]
    blocks: Iterable[tuple[list[int], np.ndarray]]


def read_pictures(
    source: Path,
    entries: Iterable[Entry],
    classes: Iterable[str],
    train: list[Picture],
    test: list[Picture],
    side: int,
) -> Content:
    """Content whose pictures are decoded from `entries`, in whatever order these come."""
    positions = {name: position for position, (name, _) in enumerate([*train, *test])}
    blocks = decoded(source, entries, positions, side)
    return Content(tuple(classes), [label for _, label in train], [label for _, label in test], blocks)


def decoded(
    source: Path, entries: Iterable[Entry], positions: dict[str, int], side: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Blocks of positions and decoded squares. All processors decode, since Pillow releases Python's lock."""
    wanted = ((name, read()) for name, read in entries if name in positions)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while block := list(itertools.islice(wanted, 256)):
            squares = pool.map(lambda picture: square(picture[1], side, f"{source}/{picture[0]}"), block)
            yield [positions[name] for name, _ in block], np.stack(list(squares))


def square(content: bytes, side: int, name: str, least: int = 1) -> np.ndarray:
    """A picture file as RGB, uint8 3×side×side: short side resized to `side` (bilinear), centre cropped.

    Grey, palette and CMYK become RGB; alpha and EXIF orientation are ignored, as by torchvision's ImageFolder. A strip
    is first cropped to the middle LONGEST short sides of its length. InputError names a file that is not a picture with
    8 bits per channel, or whose short side has fewer than `least` pixels.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = image.mode
            rgb = image.convert("RGB") if mode[0] not in "IF" else None
    except Exception as error:  # Pillow raises errors of many kinds on damaged files
        raise InputError(f"{name}: not a readable picture ({type(error).__name__}); remove it") from None
    if rgb is None:
        raise InputError(f"{name}: pixels of type {mode}: must be 8 bits a channel")
    short = min(rgb.size)
    if short < least:
        raise InputError(f"{name}: {rgb.width}×{rgb.height} pixels: must have at least {least} a side")
    limit = LONGEST * short
    if max(rgb.size) > limit:
        # 1×60000 would be resized to 224×13440000; the parity of a length is kept, so that its centre stays in place
        rgb = centre(rgb, *(min(length, limit + (length - limit) % 2) for length in rgb.size))
    if short != side:
        width, height = (max(side, int(side * length / short)) for length in rgb.size)
        rgb = rgb.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(centre(rgb, side, side)).transpose(2, 0, 1)


def centre(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The middle width×height pixels of a picture that is at least as large."""
    left, top = round((picture.width - width) / 2), round((picture.height - height) / 2)
    return picture.crop((left, top, left + width, top + height))


def is_picture(name: str) -> bool:
    """Whether a file's name looks like a picture's; Caltech's archives hold a few other files."""
    return name.lower().endswith(SUFFIXES) and not PurePosixPath(name).name.startswith(".")


def split_classes(pictures: dict[str, list[str]]) -> tuple[list[Picture], list[Picture]]:
    """A seeded 80/20 split of every class, int(0.2·n) to test as in the paper's code; each class on its own.

    Adding or removing other classes leaves a class's split unchanged.
    """
    train, test = [], []
    for label, names in enumerate(pictures.values()):
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
        drawn = set(order[: int(0.2 * len(names))])
        train += [(name, label) for i, name in enumerate(names) if i not in drawn]
        test += [(name, label) for i, name in enumerate(names) if i in drawn]
    return train, test
