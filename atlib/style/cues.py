"""Cue conflict on photographs: test pictures restyled with a patch of a picture of another class.

    cues.paint(dataset, strength, stylist, until=200)      # the first 200 at one strength; called again, it goes on
    cues.settle(dataset, {0.25: .., 0.5: ..})              # the strength, by the normal network's coverage alone
    cues.load(dataset.name, dataset.side, dataset.test.images)     # a Conflict, which evaluations read

What is drawn and how the strength is fixed were registered before any picture was made (book/claims.yaml,
cue-conflict-on-photographs). The style moves the code of Ghiasi et al. (2017) from the picture's own to the patch's, by
`strength`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .. import data
from ..errors import InputError, in_range, one_of
from ..files import data_dir, read_json, write_json
from ..tensors import load_tensors, save_tensors, tensor_digest
from .sources import STYLE_SIDE
from .stylists import Stylist, resized, stylise

DATASETS = ("caltech101",)
LEFT_OUT = ("BACKGROUND_Google", "Faces_easy")  # no class of things; the same pictures as Faces
MOST = 20  # pictures of a class
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
TRIED = 200  # pictures on which the strength is fixed
COVERAGE = 0.5  # that the normal network must reach on them
CHUNK = 25  # pictures that are painted between two writes


class Draw(NamedTuple):
    """Which picture gets which patch, all int64, N: places of contents and of styles in the test set, and the patches'
    upper left corners."""

    contents: Tensor
    styles: Tensor
    tops: Tensor
    lefts: Tensor


def draw(labels: Tensor, classes: tuple[str, ...], side: int, seed: int = 0) -> Draw:
    """Up to MOST pictures of each class in random order, each with a patch of a picture of another class.

    labels: int64, of the test pictures; side: of the pictures; a patch is half as wide. All classes lend their style
    equally often, to within one. InputError if fewer than two classes are left, or for a seed of more than 32 bits.
    """
    in_range("seed", seed, 0, 2**32 - 1, whole=True)  # torch uses only these bits
    generator = torch.Generator().manual_seed(seed)
    kinds = [n for n, name in enumerate(classes) if name not in LEFT_OUT and bool((labels == n).any())]
    if len(kinds) < 2:
        raise InputError(f"classes = {len(kinds)} with pictures: must be at least 2")
    order = torch.randperm(len(labels), generator=generator)
    of_kind = {kind: order[labels[order] == kind] for kind in kinds}
    contents = torch.cat([places[:MOST] for places in of_kind.values()])
    contents = contents[torch.randperm(len(contents), generator=generator)]
    own = labels[contents].tolist()
    rounds = -(-len(own) // len(kinds))
    turns = [kinds[n] for _ in range(rounds) for n in torch.randperm(len(kinds), generator=generator).tolist()]
    given = turns[: len(own)]
    for place in range(len(own)):
        if given[place] == own[place]:  # swapped with the next picture that both may be given the other's
            others = [*range(place + 1, len(own)), *range(place)]
            fitting = (n for n in others if given[n] != own[place] and given[place] != own[n])
            if (other := next(fitting, None)) is None:
                raise InputError(
                    "classes: one has more than half of the pictures, so that some can't be given another class's style"
                )
            given[place], given[other] = given[other], given[place]
    picked = [torch.randint(len(of_kind[kind]), (), generator=generator) for kind in given]
    styles = torch.stack([of_kind[kind][one] for kind, one in zip(given, picked, strict=True)])
    reach = side - side // 2 + 1
    tops, lefts = (torch.randint(reach, (len(own),), generator=generator) for _ in range(2))
    return Draw(contents, styles, tops, lefts)


def restyled(images: Tensor, drawn: Draw, stylist: Stylist, strength: float) -> Tensor:
    """The drawn pictures in the styles of their patches, uint8, N×3×H×H.

    images: all test pictures; strength: how far the style's code is taken, 0 to 1.
    """
    in_range("strength", strength, 0, 1)
    width = images.shape[-1] // 2
    own = images[drawn.contents]
    boxes = zip(drawn.styles.tolist(), drawn.tops.tolist(), drawn.lefts.tolist(), strict=True)
    patches = torch.stack([images[n, :, top : top + width, left : left + width] for n, top, left in boxes])
    mine, theirs = (stylist.encode(resized(part.float() / 255, STYLE_SIDE).clamp(0, 1)) for part in (own, patches))
    return stylise(own, torch.lerp(mine, theirs, strength), stylist)


def folder_of(dataset: str, side: int) -> Path:
    """Where a data set's cue-conflict pictures are kept."""
    return data_dir() / "conflict" / f"{dataset}-{side}"


def identity(images: Tensor, stylist: Stylist, seed: int) -> dict[str, object]:
    """What decides the pictures, the strength apart."""
    about = {"content": tensor_digest({"images": images}), "stylist": stylist.name, "weights": stylist.weights}
    return about | {"seed": seed, "working_side": stylist.side}


def paint(
    dataset: data.Dataset,
    strength: float,
    stylist: Stylist,
    *,
    until: int | None = None,
    minutes: float = 1e9,
    seed: int = 0,
) -> Tensor | None:
    """The first `until` pictures (None: all) at a strength, painted where they are missing; None if time ran out.

    Chunks are kept as they end. minutes: begin none after so many.
    """
    one_of("strength", strength, STRENGTHS)
    images, began = dataset.test.images, time.monotonic()
    drawn = draw(dataset.test.labels, dataset.classes, images.shape[-1], seed)
    about = identity(images, stylist, seed) | {"strength": strength}
    parts = []
    for start in range(0, len(drawn.contents) if until is None else min(until, len(drawn.contents)), CHUNK):
        path = folder_of(dataset.name, dataset.side) / f"{strength:g}" / f"{start:05d}.safetensors"
        kept = load_tensors(path) if path.is_file() else ({}, {})
        if kept[1] != about:
            if time.monotonic() - began > 60 * minutes:
                return None
            some = Draw(*(column[start : start + CHUNK] for column in drawn))
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = {"images": restyled(images, some, stylist, strength)}, about
            save_tensors(path, *kept)
        parts.append(kept[0]["images"])
    return torch.cat(parts)[:until]


def chosen(coverages: dict[float, float]) -> float:
    """The largest strength whose coverage is at least COVERAGE; if there is none, that of the largest coverage."""
    enough = [strength for strength, share in coverages.items() if share >= COVERAGE]
    return max(enough) if enough else max(coverages, key=lambda strength: coverages[strength])


def settle(dataset: data.Dataset, coverages: dict[float, float], stylist: Stylist, by: str, seed: int = 0) -> float:
    """Record the strength, with the coverages that fixed it and the network that they are of (`by`); returns it.

    It can be recorded once: InputError if another one is there.
    """
    path = folder_of(dataset.name, dataset.side) / "strength.json"
    about = identity(dataset.test.images, stylist, seed) | {"by": by, "strength": chosen(coverages)}
    about["coverage"] = {f"{strength:g}": round(share, 6) for strength, share in coverages.items()}
    if path.is_file() and read_json(path) != about:
        raise InputError(f"{path}: the strength was fixed before, with other values; it is fixed only once")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, about)
    return chosen(coverages)


def manifest(dataset: str, side: int) -> dict:
    """What strength.json says; empty if there is none."""
    path = folder_of(dataset, side) / "strength.json"
    return read_json(path) if dataset in DATASETS and path.is_file() else {}


def finish(dataset: data.Dataset, stylist: Stylist, *, minutes: float = 1e9, seed: int = 0) -> Path | None:
    """Paint all pictures at the strength that was fixed, and store them; None if time ran out."""
    about = manifest(dataset.name, dataset.side)
    if not about:
        raise InputError(f"dataset = {dataset.name!r}: the strength has not been fixed yet")
    if {key: about[key] for key in identity(dataset.test.images, stylist, seed)} != identity(
        dataset.test.images, stylist, seed
    ):
        raise InputError(
            f"dataset = {dataset.name!r}: the strength was fixed on other pictures, or with another stylist"
        )
    pictures = paint(dataset, float(about["strength"]), stylist, minutes=minutes, seed=seed)
    if pictures is None:
        return None
    labels = dataset.test.labels
    drawn = draw(labels, dataset.classes, dataset.test.images.shape[-1], seed)
    path = folder_of(dataset.name, dataset.side) / "pictures.safetensors"
    tensors = {"images": pictures, "labels": labels[drawn.contents], "textures": labels[drawn.styles]}
    save_tensors(path, tensors, about)
    return path


def there(dataset: str, side: int, content: str) -> bool:
    """Whether the cue-conflict pictures of these test pictures (their digest) are at hand."""
    about = manifest(dataset, side) if content else {}
    return about.get("content") == content and (folder_of(dataset, side) / "pictures.safetensors").is_file()


def lacking(dataset: str, side: int, content: str = "") -> str:
    """A line on how to make the cue-conflict pictures if they aren't there; empty if they are.

    content: the digest of the test pictures (empty: not known, so that any that are there will do).
    """
    known = content or manifest(dataset, side).get("content", "")
    if there(dataset, side, known):
        return ""
    return (
        f"dataset = {dataset!r}: no cue-conflict pictures of these test pictures; "
        "`python -m atlib.campaign.cues RUN` makes them, where RUN is a finished normal network of this data set"
    )


def load(dataset: str, side: int, content: str) -> tuple[data.Conflict, dict]:
    """The cue-conflict pictures of these test pictures (their digest), and what strength.json says; InputError if not
    there or damaged."""
    if line := lacking(dataset, side, content):
        raise InputError(line)
    tensors, about = load_tensors(folder_of(dataset, side) / "pictures.safetensors")
    return data.Conflict(tensors["images"], tensors["labels"], tensors["textures"]), about
