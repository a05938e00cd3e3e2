"""A few test pictures with a network's maps of them, kept beside its rows for whoever draws them later: the network may
be gone by then."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from . import evaluation, saliency
from .errors import NetworkError
from .files import load_arrays, read_json, save_arrays
from .measurements import Subject, map_pictures, shown_under

COUNT = 6  # pictures that are kept, with their maps,
SHOWN = ("clean@", "saturation@1024", "patch-shuffle@4")  # as they are and under these


def choose(subject: Subject) -> Tensor:
    """Places in `test` of the pictures that are kept: of as many classes as there are, in their order."""
    order = map_pictures(subject).tolist()
    by_class: dict[int, int] = {}
    for place in order:
        by_class.setdefault(int(subject.test.labels[place]), place)
    picked = [by_class[kind] for kind in sorted(by_class)]
    picked += [place for place in order if place not in picked]
    return torch.tensor(picked[:COUNT])


def explain(subject: Subject, place: str, chosen: Tensor) -> dict[str, Tensor]:
    """Pictures under "DISTORTION@LEVEL" (uint8), a network's SmoothGrad maps of their classes (uint8), its answers."""
    images = shown_under(subject, place, chosen)
    labels = subject.test.labels[chosen].to(subject.device)
    draws = torch.Generator().manual_seed(subject.seed)
    maps = saliency.smoothgrad(subject.model, images, labels, samples=saliency.SAMPLES, generator=draws)
    if not maps.isfinite().all():
        raise NetworkError("model: its SmoothGrad maps are NaN or infinite")
    with torch.no_grad():
        answers = subject.model(images).argmax(1)
    found = {"pictures": (255 * images).round().byte(), "maps": (255 * saliency.picture(maps)).round().byte()}
    return {name: values.cpu() for name, values in (found | {"answers": answers}).items()}


def keep(subject: Subject, folder: Path) -> None:
    """Write examples.npz, a few pictures with the network's maps: as they are and under those of SHOWN that have been
    measured. What is there is not drawn again, and a map that isn't finite is left out."""
    path, measured = folder / "examples.npz", read_json(folder / "evaluation.json")["measurements"]
    places = [place for place in SHOWN if place in measured or f"maps@{place}" in measured]
    kept = load_arrays(path) if path.is_file() else {}
    if all(f"{place}/pictures" in kept for place in places):
        return
    chosen = choose(subject)
    arrays = {"places": subject.places[chosen].numpy(), "labels": subject.test.labels[chosen].numpy()}
    for place in (place for place in places if f"{place}/pictures" not in kept):
        try:
            with evaluation.exact():
                found = explain(subject, place, chosen)
        except NetworkError:
            continue  # the measurement of its maps says so
        arrays |= {f"{place}/{name}": values.numpy() for name, values in found.items()}
    save_arrays(path, kept | arrays)
