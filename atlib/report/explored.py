"""Three photographs under one distortion at a time, as three networks see them: results/frames/explorer.json, and a
folder of sprites beside it, which a page loads when a reader asks for them (`explorer`).

    python -m atlib.report.explored      (make frames DATASET=caltech101, after `photographs`)

Pictures, networks and rule are those of `photographs`. For each picture and distortion with L levels there are two WebP
files, NUMBER-DISTORTION-shown.webp, L pictures one below the other, and NUMBER-DISTORTION-maps.webp, L lines of N
SmoothGrad maps. The JSON has the levels, each network's answers, and the hash of every file. The first level is always
the unchanged picture, except of saturation, where it stands among the others.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .. import data, provenance, rows
from ..errors import InputError, Missing, command_line
from ..files import atomic, file_hash, read_json, results_dir, write_json
from . import frames, photographs, webp

NAME = "explorer"
COUNT = 3
SAMPLES = 50  # of SmoothGrad, at least: maps that `photographs` has published have 100
UNCHANGED = ""  # a level
# Each from weak to strong, as its slider; of what is published, whatever levels are measured later.
LEVELS: dict[str, tuple[str, ...]] = {
    "saturation": photographs.SATURATION,
    "patch-shuffle": (UNCHANGED, *photographs.PATCHES),
    "low-pass": (UNCHANGED, "0.5", "0.3", "0.2", "0.1"),
    "high-pass": (UNCHANGED, "0.1", "0.2", "0.3", "0.5"),
    "stylised": (UNCHANGED, *photographs.STYLES[:3]),
}
MAP_QUALITY, PICTURE_QUALITY = 60, 85  # of WebP


def at(distortion: str, level: str) -> tuple[str, str]:
    """The distortion and level under which a frame is computed: whole pictures are alike in all sliders."""
    return ("saturation", "2") if level == UNCHANGED else (distortion, level)


def make(samples: int = SAMPLES, folder: Path | None = None) -> Path:
    """Compute and write the frames; returns the path of the JSON. A stopped call goes on where it was.

    InputError if the data set, the networks or the stylist's weights are not at hand.
    """
    results_dir()  # before all else: it names the checkout if there is none
    provenance.committed()  # what is published names the commit that made it
    began = provenance.record(torch.device("cpu"))
    dataset, found = data.load(photographs.DATASET, side=photographs.SIDE), photographs.networks()
    test, numbers = dataset.test, photographs.typical(COUNT)
    if not np.array_equal(test.labels.numpy(), rows.archive()(photographs.NETWORKS["normal"])["labels"]):
        raise InputError(f"{photographs.DATASET}: not the test pictures that the published rows are about")
    digests = [photographs.digest_of(run) for run in photographs.NETWORKS.values()]
    key = hashlib.sha256(repr((began["commit"], samples, *digests)).encode()).hexdigest()[:12]
    kept = photographs.looks_folder(NAME, str(began["commit"]), key)
    target = (folder or results_dir() / "frames") / f"{NAME}.json"
    answers: dict[str, list[list[list[float]]]] = {}
    sprites: dict[str, bytes] = {}
    for number in numbers:
        label = int(test.labels[number])
        for distortion, levels in LEVELS.items():
            shown, maps, said = [], [], []
            for level in tqdm(levels, f"{dataset.classes[label]}, {distortion}"):
                place = at(distortion, level)
                image = photographs.shown_at(test, number, *place)
                find = partial(photographs.look, found, image, label, samples)
                shown.append(image)
                known = published(number, *place, samples=samples)
                maps.append(
                    photographs.remembered(kept / f"{number}-{'-'.join(place)}.npz", find).smoothgrad
                    if known is None
                    else known
                )
                said.append([answer(one, label) for one in frames.probabilities(found, image[None])])
            name = f"{number}-{distortion}"
            answers[name] = said
            sprites[f"{name}-shown.webp"] = webp.smallest(photographs.column(torch.stack(shown)), PICTURE_QUALITY)
            sprites[f"{name}-maps.webp"] = webp.lossy(photographs.lines(torch.stack(maps)), MAP_QUALITY)
    # only now, when nothing is left to compute: a call that is stopped leaves the published ones as they are
    hashes = {name: write_sprite(target.with_suffix("") / name, content) for name, content in sprites.items()}
    about: dict[str, Any] = {
        "dataset": photographs.DATASET,
        "side": photographs.SIDE,
        "credit": photographs.CREDIT,
        "rule": photographs.RULE,
        "networks": [
            {"name": name, "run": run, "digest": digest}
            for (name, run), digest in zip(photographs.NETWORKS.items(), digests, strict=True)
        ],
        "classes": list(dataset.classes),
        "pictures": [
            {"number": n, "label": int(test.labels[n]), "class": photographs.in_words(dataset.classes[test.labels[n]])}
            for n in numbers
        ],
        "levels": {distortion: list(levels) for distortion, levels in LEVELS.items()},
        "answers": answers,
        "stylist": frames.STYLIST,
        "samples": samples,
        "sha256": hashes,
    }
    write_json(target, about | began)
    shutil.rmtree(kept, ignore_errors=True)
    return target


def published(number: int, distortion: str, level: str, samples: int) -> Tensor | None:
    """These networks' maps, N×H×W, of at least `samples` samples, from the frames of `photographs`, or None."""
    found = photographs.load()
    levels, name = found.about["levels"].get(f"{number}/{distortion}", []), f"{number}/{distortion}/smoothgrad"
    if level not in levels or name not in found.arrays or found.about["samples"] < samples:
        return None
    if levels.index(level) >= photographs.decoded(found, name).shape[0] // found.about["side"]:
        return None  # of the later levels there are no maps
    if {one["digest"] for one in found.about["networks"]} != set(
        map(photographs.digest_of, photographs.NETWORKS.values())
    ):
        return None
    return torch.from_numpy(photographs.maps(found, number, distortion, level).copy()) / 255


def answer(chances: Tensor, label: int) -> list[float]:
    """A network's answer: its class, that class's probability, and that of the true class."""
    best = int(chances.argmax())
    return [best, round(float(chances[best]), 4), round(float(chances[label]), 4)]


def write_sprite(path: Path, content: bytes) -> str:
    """Write a file to a temporary name first; returns its hash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as temporary:
        temporary.write_bytes(content)
    return file_hash(path)


def load(folder: Path | None = None) -> dict[str, Any]:
    """What describes the published frames; Missing if they aren't there, InputError if one isn't as it was written."""
    path = (folder or results_dir() / "frames") / f"{NAME}.json"
    if not path.is_file():
        raise Missing(f"{path}: not there; make frames DATASET={photographs.DATASET} writes it")
    about = read_json(path)
    for name, expected in about["sha256"].items():
        sprite = path.with_suffix("") / name
        if not sprite.is_file() or file_hash(sprite) != expected:
            raise InputError(f"{sprite}: not what {path.name} describes; make frames DATASET={photographs.DATASET}")
    return about


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.report.explored", description="Make the explorer's frames on photographs again."
    )
    parser.parse_args(arguments)
    print(f"wrote {make()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
