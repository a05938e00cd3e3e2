"""Frames on photographs: Caltech-101 at 112 pixels, three networks of one seed, kept in results/frames/caltech101.*.

    python -m atlib.report.photographs      (make frames DATASET=caltech101)

The networks were fine-tuned from one that may not be redistributed, so no repository holds their weights. Whoever has
trained them (in ATLIB_RUNS) can make the frames again; others use the published ones. The maps of each picture are
kept among the runs until the file is written, so that a stopped call can resume.

Pictures and maps are WebP files, stored as arrays of their bytes: of picture NUMBER under a distortion with L levels,

    NUMBER/DISTORTION/shown                 one column, L pictures one below the other, without loss;
    NUMBER/DISTORTION/smoothgrad, …/grad    lines of N maps (`saliency.picture`), of the first M ≤ L levels;
    NUMBER/DISTORTION/probabilities         float16, L×N×classes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from tqdm.auto import tqdm

from .. import data, models, provenance, rows, saliency, style, transforms
from ..configuration import find_run
from ..errors import InputError, command_line, one_of
from ..files import atomic, read_json, results_dir, runs_dir
from ..tensors import load_tensors, tensor_digest
from . import frames, webp
from .frames import Frames

DATASET, SIDE = "caltech101", 112
NETWORKS = {  # of seed 2, the first for which all three had been measured
    "normal": "caltech101/normal-w64-s2-d4ccc123",
    "underfit": "caltech101/underfit-w64-s2-d73a4a8f",
    "pgd-linf-4": "caltech101/pgd-linf-4-w64-s2-c0542da6",
}
TITLES = {"normal": "normal", "underfit": "stopped early", "pgd-linf-4": "trained against attacks"}
SATURATION = transforms.DISTORTIONS["saturation"].levels
PATCHES = ("2", "4", "8")
STYLES = tuple(style.Styles("generated").names[number] for number in frames.STYLES)
# The levels of each picture under each distortion, and of how many of them there are maps, which take most of the time:
# of the first picture at every saturation, of the second where the paper's Figure 2 has them.
PLAN: tuple[dict[str, tuple[tuple[str, ...], int]], ...] = (
    {"saturation": (SATURATION, len(SATURATION)), "patch-shuffle": (PATCHES, 0), "stylised": (STYLES, 1)},
    {"saturation": (("2", "1024"), 2), "patch-shuffle": (PATCHES, 0), "stylised": (STYLES, 1)},
    {"saturation": (("2", "1024"), 0), "patch-shuffle": (PATCHES, 0), "stylised": (STYLES, 0)},
    {"saturation": (("2", "1024"), 0), "patch-shuffle": (PATCHES, 0), "stylised": (STYLES, 0)},
)
KINDS = ("smoothgrad", "grad")
CREDIT = "Caltech-101 test pictures (Li, Andreeto, Ranzato and Perona 2022), found on the web by its authors"
RULE = (
    "Of the test pictures that all three networks recognise unchanged, those whose right and wrong answers are the "
    "majority's at the most levels of saturation; among equals, at the most numbers of patches; then in the order of "
    "the test set"
)


# --- Which pictures --------------------------------------------------------------------------------------------------


def right(distortion: str, levels: Sequence[str], archive: rows.Archive | None = None) -> NDArray[np.bool_]:
    """Which test pictures each network recognises at each level, from the published answers: N×L×pictures."""
    found = [(archive or rows.archive())(run) for run in NETWORKS.values()]
    return np.stack([[one[f"{distortion}@{level}/class"] == one["labels"] for level in levels] for one in found])


def known(archive: rows.Archive | None = None) -> NDArray[np.bool_]:
    """The test pictures that all three networks recognise as they are."""
    return np.asarray(right("clean", ("",), archive).all((0, 1)))


def like_most(distortion: str, levels: Sequence[str], archive: rows.Archive | None = None) -> NDArray[np.int64]:
    """For each picture, at how many levels of all networks its answer is right or wrong as for most known pictures."""
    answers = right(distortion, levels, archive)
    majority = answers[:, :, known(archive)].mean(-1, keepdims=True) > 0.5
    return (answers == majority).sum((0, 1))


def typical(count: int = len(PLAN), archive: rows.Archive | None = None) -> list[int]:
    """The numbers of the most typical test pictures, by RULE: chosen by the published answers, not by eye."""
    saturated = like_most("saturation", SATURATION, archive)
    shuffled = like_most("patch-shuffle", PATCHES, archive)
    candidates = np.flatnonzero(known(archive))
    order = np.lexsort((candidates, -shuffled[candidates], -saturated[candidates]))
    return [int(number) for number in candidates[order[:count]]]


def ways(
    level: str, one: str, other: str, archive: rows.Archive | None = None, distortion: str = "saturation"
) -> tuple[float, float]:
    """The share of test pictures that one network recognises at a level of a distortion and another doesn't, and the
    reverse."""
    names = list(NETWORKS)
    answers = right(distortion, (level,), archive)[:, 0]
    a, b = answers[names.index(one)], answers[names.index(other)]
    return float((a & ~b).mean()), float((b & ~a).mean())


# --- Making them -----------------------------------------------------------------------------------------------------


class Look(NamedTuple):
    """The maps of N networks of a picture, N×H×W in [0, 1]."""

    smoothgrad: Tensor
    grad: Tensor


def networks() -> dict[str, nn.Module]:
    """The three networks, in evaluation mode, batch norm folded.

    InputError if a run isn't there, or if its weights aren't those that the published rows are of.
    """
    found = {}
    for name, run in NETWORKS.items():
        weights = find_run(run, "network") / "weights.safetensors"
        if tensor_digest(load_tensors(weights)[0]) != digest_of(run):
            raise InputError(f"{weights}: not the weights of which results/{run}.csv has the rows")
        found[name] = models.fold(models.load(weights)[0])
    return found


def digest_of(run: str) -> str:
    """The digest of a published run's weights."""
    return read_json(results_dir() / f"{run}.json")["training"]["weights_digest"]


def shown_at(test: data.Split, number: int, distortion: str, level: str) -> Tensor:
    """A test picture under a distortion as the evaluation shows it, 3×H×W; in a style: by MicroAST."""
    image = data.prepare(test.images[number : number + 1], SIDE)
    if distortion != "stylised":
        return transforms.distort(image, distortion, level, [number])[0]
    stylist, source = style.find_stylist(frames.STYLIST), style.Styles("generated")
    code = stylist.encode(source.picture(source.names.index(level))[None].float() / 255)
    return style.stylise(image, code, stylist)[0]


def look(found: Mapping[str, nn.Module], image: Tensor, label: int, samples: int) -> Look:
    """The maps of a picture's class; SmoothGrad's noise is the same for all networks, as in `frames.look`."""
    plain = [saliency.grad(network, image[None], torch.tensor([label])) for network in found.values()]
    return Look(frames.look(found, image, label, samples).maps, saliency.picture(torch.cat(plain)))


def looks_folder(name: str, commit: str, key: str) -> Path:
    """Where the maps of a call are kept until its file is written.

    It is emptied if the commit doesn't tell which code made them.
    """
    folder = runs_dir() / f"looks-{name}-{key}"
    if commit == "unknown" or commit.endswith("-dirty"):
        shutil.rmtree(folder, ignore_errors=True)
    return folder


def remembered(place: Path, find: Callable[[], Look]) -> Look:
    """A look from its file, or found and written there."""
    if not place.is_file():
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic(place) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **{key: value.numpy() for key, value in find()._asdict().items()})
    with np.load(place) as stored:
        return Look(*(torch.from_numpy(stored[name]) for name in Look._fields))


def make(samples: int = frames.SAMPLES, folder: Path | None = None) -> Path:
    """Compute and write the frames; returns the path of the .npz.

    InputError if the data set, the networks or the stylist's weights are not at hand.
    """
    results_dir()  # before all else: it names the checkout if there is none
    provenance.committed()  # what is published names the commit that made it
    began = provenance.record(torch.device("cpu"))
    dataset, found = data.load(DATASET, side=SIDE), networks()
    test, numbers = dataset.test, typical()
    if not np.array_equal(test.labels.numpy(), rows.archive()(NETWORKS["normal"])["labels"]):
        raise InputError(f"{DATASET}: not the test pictures of which the published rows speak")
    key = hashlib.sha256(repr((began["commit"], samples, *map(digest_of, NETWORKS.values()))).encode()).hexdigest()[:12]
    kept = looks_folder(DATASET, str(began["commit"]), key)
    arrays: dict[str, NDArray[Any]] = {}
    levels_of = {}
    for number, blocks in zip(numbers, PLAN, strict=True):
        label = int(test.labels[number])
        for distortion, (levels, looked) in blocks.items():
            name, images = f"{number}/{distortion}", [shown_at(test, number, distortion, level) for level in levels]
            levels_of[name] = list(levels)
            arrays[f"{name}/shown"] = encoded(column(torch.stack(images)))
            answers = torch.stack([frames.probabilities(found, image[None]) for image in images])
            arrays[f"{name}/probabilities"] = answers.numpy().astype(np.float16)
            pairs = zip(levels[:looked], tqdm(images[:looked], f"{dataset.classes[label]}, {distortion}"), strict=True)
            looks = [
                remembered(kept / f"{number}-{distortion}-{level}.npz", partial(look, found, image, label, samples))
                for level, image in pairs
            ]
            arrays |= packed(name, looks) if looks else {}
    about: dict[str, Any] = {
        "dataset": DATASET,
        "side": SIDE,
        "credit": CREDIT,
        "rule": RULE,
        "classes": list(dataset.classes),
        "networks": [{"name": name, "run": run, "digest": digest_of(run)} for name, run in NETWORKS.items()],
        "pictures": [
            {"number": n, "label": int(test.labels[n]), "class": in_words(dataset.classes[int(test.labels[n])])}
            for n in numbers
        ],
        "levels": levels_of,
        "styles": list(STYLES),
        "stylist": frames.STYLIST,
        "samples": samples,
    }
    path = frames.write(DATASET, Frames(arrays, about | began), folder)
    shutil.rmtree(kept, ignore_errors=True)
    return path


def in_words(name: str) -> str:
    """A folder of Caltech-101 as the name of what it shows: "airplane" for "airplanes"."""
    singular = {"airplanes": "airplane", "Motorbikes": "motorbike", "Leopards": "leopard", "Faces easy": "face"}
    return singular.get(name.replace("_", " "), name.replace("_", " "))


# --- Their bytes ------------------------------------------------------------------------------------------------------


def column(pictures: Tensor) -> NDArray[np.uint8]:
    """Pictures L×3×H×W one below the other, L·H×W×3."""
    return frames.bytes_of(pictures).transpose(0, 2, 3, 1).reshape(-1, pictures.shape[-1], 3)


def lines(maps: Tensor) -> NDArray[np.uint8]:
    """Maps M×N×H×W, a line of N for each M, as M·H×N·W."""
    many, networks, height, width = maps.shape
    return frames.bytes_of(maps).transpose(0, 2, 1, 3).reshape(many * height, networks * width)


def encoded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of a WebP file: without loss in colour, with little in grey."""
    return np.frombuffer(webp.lossless(image) if image.ndim == 3 else webp.lossy(image, 80), np.uint8)


def packed(name: str, looks: Sequence[Look]) -> dict[str, NDArray[Any]]:
    """The arrays of the maps of one picture under one distortion."""
    return {f"{name}/{kind}": encoded(lines(torch.stack([getattr(one, kind) for one in looks]))) for kind in KINDS}


# --- Reading them -----------------------------------------------------------------------------------------------------


def load(folder: Path | None = None) -> Frames:
    """The published frames; Missing if they aren't there, InputError if the two files weren't written together."""
    return frames.load(DATASET, folder)


def decoded(found: Frames, name: str) -> NDArray[np.uint8]:
    """A stored WebP file's pixels: H×W×3, of a map its grey values H×W."""
    image = Image.open(io.BytesIO(found.arrays[name].tobytes()))
    return np.asarray(image.convert("RGB" if name.endswith("/shown") else "L"))


def place(found: Frames, number: int, distortion: str, level: str) -> int:
    """Where a level is among those of a picture under a distortion. InputError for one that isn't kept."""
    levels = found.about["levels"]
    one_of("picture, distortion", f"{number}/{distortion}", list(levels))
    one_of("level", level, levels[f"{number}/{distortion}"])
    return levels[f"{number}/{distortion}"].index(level)


def picture(found: Frames, number: int, distortion: str = "saturation", level: str = "2") -> NDArray[np.uint8]:
    """A picture under a distortion, H×W×3. InputError for one that isn't kept."""
    at, side = place(found, number, distortion, level), found.about["side"]
    return decoded(found, f"{number}/{distortion}/shown")[at * side : (at + 1) * side]


def maps(
    found: Frames, number: int, distortion: str = "saturation", level: str = "2", kind: str = "smoothgrad"
) -> NDArray[np.uint8]:
    """Every network's map of a picture under a distortion, N×H×W; kind: one of KINDS. InputError as for `picture`."""
    at, side = place(found, number, distortion, level), found.about["side"]
    one_of("kind", kind, KINDS)
    whole = decoded(found, f"{number}/{distortion}/{kind}")[at * side : (at + 1) * side]
    return whole.reshape(side, -1, side).transpose(1, 0, 2)


def chances(found: Frames, number: int, distortion: str = "saturation", level: str = "2") -> NDArray[np.float32]:
    """Every network's probabilities of the classes, N×classes. InputError as for `picture`."""
    at = place(found, number, distortion, level)
    return found.arrays[f"{number}/{distortion}/probabilities"][at].astype(np.float32)


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.report.photographs", description="Make the frames on photographs again."
    )
    parser.parse_args(arguments)
    print(f"wrote {make()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
