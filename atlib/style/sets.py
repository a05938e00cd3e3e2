"""Stylised test sets: made once, kept in the data directory, and read from there by evaluations."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .. import data, provenance
from ..errors import InputError, in_range, nearest
from ..files import data_dir, held_for, hold, read_json, writable, write_json
from ..tensors import load_meta, load_tensors, save_tensors, tensor_digest
from .sources import SOURCES, Styles, choose
from .stylists import STYLISTS, Stylist, find_stylist, stylise, uninstalled

CHUNK = 100  # pictures that are stylised between two writes
BATCH = 10  # pictures per pass, for a stylist that takes several
LEVELS = ("generated-ghiasi", "paintings-ghiasi", "generated-microast", "paintings-microast")  # STYLES-STYLIST
INPUTS = ("content", "styles", "style_files", "seed", "stylist", "weights", "working_side")  # that decide the pictures
REMEDY = "remove it and make it again"


def place(dataset: str, side: int, level: str) -> Path:
    """Where the stylised test set of a data set is kept. side: that the network sees; level: STYLES-STYLIST."""
    return data_dir() / "stylised" / f"{data.slug(dataset)}-{side}" / f"{level}.safetensors"


def make(
    dataset: str,
    *,
    side: int | None = None,
    styles: str = "generated",
    stylist: str = "ghiasi",
    weights: str = "",
    seed: int = 0,
    count: int | None = None,
    progress: bool = True,
) -> Path:
    """Stylise a test set, each picture in a style drawn for it, and store it; returns the file.

    dataset, side: as for `data.load`. styles: as for `Styles`. count: only the first `count` pictures (for a trial,
    which evaluations ignore). A JSON file of the same name records which picture got which style, and the hashes of
    styles and weights. Pictures are stored in chunks, so that a stopped call goes on where it was. A set made from
    other inputs is made again, and one printed line says so; the old set stays until the new one replaces it.
    InputError for what can't be done, also for a style picture that can't be read or an existing set that is damaged;
    it comes before anything is stylised, and leaves nothing behind.
    """
    in_range("seed", seed, 0, 2**31, whole=True)
    provenance.commit()  # look the commit up now and keep it: files may change while this runs
    if count is not None:
        in_range("count", count, 1, whole=True)
    source, network = Styles(styles), find_stylist(stylist, weights)
    _, side = data.check(dataset, side)
    name = source.source  # a folder's name depends on its files, all of which must be readable
    images = data.load(dataset, side=side, progress=progress).test.images[:count]
    level = f"{name}-{network.name}" + ("" if count is None else f"-first{len(images)}")
    path = place(dataset, side, level)
    choice = choose(range(len(images)), len(source), seed)
    about: dict[str, Any] = {
        "dataset": dataset, "side": side, "count": len(images),
        "content": tensor_digest({"images": images}),
        "stylist": network.name, "weights": network.weights, "working_side": network.side,
        "styles": name, "seed": seed,
    }  # fmt: skip
    if source.files_digest:  # not for generated styles, so that sets from before this was recorded stay valid
        about["style_files"] = source.files_digest
    others: list[str] = []
    if path.is_file():
        recorded = kept(load_tensors, path)[1]
        others = [key for key, value in about.items() if key not in recorded or recorded[key] != value]
        if not others:
            if held_for(path.with_suffix(".part") / "lock") is None:  # else a process is at its last lines
                _finish(path, recorded)
            return path
    hashes = hashes_of(source, choice, progress)
    writable(path.parent)
    folder = path.with_suffix(".part")
    with hold(folder / "lock", f"process {os.getpid()}", f"{path}: is being made by another process,"):
        if path.is_file() and not others:  # another process has made it meanwhile
            _finish(path, kept(load_tensors, path)[1])
            return path
        for left in folder.glob(".*.tmp"):  # half written by a call that was killed
            left.unlink()
        if others:
            print(f"{path}: differs from what is asked for in {', '.join(others)}: made again", flush=True)
        codes = coded(source, network, choice, progress)
        about |= {"style_of_each": [source.names[n] for n in choice.tolist()], "style_hashes": hashes}
        parts = [folder / f"{start:06d}.safetensors" for start in range(0, len(images), CHUNK)]
        digest = tensor_digest({}, json.dumps(about, sort_keys=True))
        for number, part in enumerate(tqdm(parts, disable=not progress, desc=path.stem, unit=f"{CHUNK} pictures")):
            if part.is_file() and load_tensors(part)[1] == {"of": digest}:
                continue
            some = slice(number * CHUNK, (number + 1) * CHUNK)
            pairs = zip(images[some].split(BATCH), choice[some].split(BATCH), strict=True)
            painted = torch.cat([stylise(shown, codes, network, which) for shown, which in pairs])
            save_tensors(part, {"images": painted}, {"of": digest})
        about |= provenance.record(torch.device("cpu"))
        save_tensors(path, {"images": torch.cat([load_tensors(part)[0]["images"] for part in parts])}, about)
        _finish(path, about)
    return path


def _finish(path: Path, about: dict[str, Any]) -> None:
    """Finish a complete set: write its JSON file and delete the chunks.

    If a call is stopped in between, the JSON file is missing or that of an earlier set, and the chunks are still there;
    the next call finishes the job.
    """
    beside, folder = path.with_suffix(".json"), path.with_suffix(".part")
    same = False
    with contextlib.suppress(InputError):
        same = read_json(beside) == about
    if not same:
        write_json(beside, about)
    if folder.is_dir():
        shutil.rmtree(folder)


def hashes_of(source: Styles, choice: Tensor, progress: bool) -> dict[str, str]:
    """Hash of the pixels of every chosen style, by its name; InputError if one of the pictures can't be read.

    They are read again when they are encoded, since thousands of decoded pictures would not fit into memory.
    """
    numbers = tqdm(choice.unique().tolist(), disable=not progress, desc=f"reading styles: {source.given}")
    return {source.names[number]: tensor_digest({"picture": source.picture(number)}) for number in numbers}


def coded(source: Styles, network: Stylist, choice: Tensor, progress: bool) -> Tensor:
    """Codes of all styles, S×D; those of styles that are not chosen stay 0. InputError as for `Styles.picture`."""
    numbers = choice.unique()
    shown = tqdm(numbers.tolist(), disable=not progress, desc=f"styles: {source.given}")
    found = torch.cat([network.encode(source.picture(number)[None].float() / 255) for number in shown])
    return found.new_zeros(len(source), found.shape[1]).index_copy(0, numbers, found)


def kept(read: Callable[[Path], Any], path: Path) -> Any:
    """What a function reads from a stylised test set; if damaged, the InputError says what to do."""
    try:
        return read(path)
    except InputError as error:
        raise InputError(f"{error}; {REMEDY}") from None


def levels(dataset: str, side: int) -> tuple[str, ...]:
    """The levels of a data set, STYLES-STYLIST: LEVELS, existing or not, then every other existing set, sorted.

    The others use styles from a user's own folder or another of STYLISTS. Trials don't count.
    """
    names = (path.stem for path in place(dataset, side, "").parent.glob("*.safetensors"))
    parts = {name: name.rpartition("-") for name in names}
    # a trial's name ends in -firstN, which isn't a stylist
    there = {name for name, (styles, _, stylist) in parts.items() if styles and stylist in STYLISTS}
    return (*LEVELS, *sorted(there - set(LEVELS)))


def manifest(dataset: str, side: int, level: str) -> dict:
    """What `make` wrote about a stylised test set, read without its pictures, whose digest is not checked.

    InputError if the set is not there or damaged.
    """
    if line := lacking(dataset, side, level):
        raise InputError(line)
    return kept(load_meta, place(dataset, side, level))


def lacking(dataset: str, side: int, level: str, content: str = "") -> str:
    """One line on what to do about a stylised test set that doesn't exist; empty if it does. side: as for `place`.

    content: `tensor_digest({"images": …})` of the test pictures; if given, there is also a line for a set of other
    pictures, or one whose header shows that its file is damaged.
    """
    path = place(dataset, side, level)
    if not path.is_file():
        styles, _, stylist = level.rpartition("-")
        if not styles or stylist not in STYLISTS:
            return f"stylised@{level}: must be STYLES-STYLIST, the stylist one of {', '.join(STYLISTS)}"
        folder = f"the folder of pictures that was {styles}{nearest(styles, SOURCES)}"
        source = styles if styles in SOURCES else folder
        how = f"notebooks/stylise.ipynb with dataset {dataset}, side {side}, styles {source}, stylist {stylist}"
        return f"stylised@{level}: {path} is not there; {how} makes it"
    if not content:
        return ""
    try:
        same = manifest(dataset, side, level).get("content") == content
    except InputError as error:
        return str(error)
    return "" if same else f"{path}: made from other pictures than the test set has; {REMEDY}"


def differs(about: dict, recorded: dict) -> bool:
    """Whether a set's manifest and the `summary` kept with an earlier measurement differ in one of INPUTS.

    An input that only the manifest has counts as a difference, with two exceptions: an empty summary says nothing, and
    many summaries are older than style_files. An input that only the summary has does not count.
    """
    return any(
        recorded[key] != about[key] if key in recorded else bool(recorded) and key != "style_files"
        for key in INPUTS
        if key in about
    )


def obstacle(level: str, installing: bool = False) -> str:
    """Why test sets can't be stylised at a level (STYLES-STYLIST) here, in one line; empty if they can.

    installing: requirements-style.txt will be installed before.
    """
    styles, _, stylist = level.rpartition("-")
    if styles not in SOURCES:
        return f"stylised@{level}: of a folder of pictures; notebooks/stylise.ipynb with that folder makes it"
    try:
        Styles(styles)
        if not (installing and uninstalled(stylist)):
            find_stylist(stylist)
    except InputError as error:
        return str(error)
    return ""


def load(dataset: str, side: int, images: Tensor, level: str) -> tuple[Tensor, dict]:
    """(pictures, manifest) of the stylised test set of these pictures, as they are stored: uint8, N×3×H×H.

    InputError if there is none, or if it is damaged or made from other pictures.
    """
    if line := lacking(dataset, side, level, tensor_digest({"images": images})):
        raise InputError(line)
    tensors, about = kept(load_tensors, place(dataset, side, level))
    return tensors["images"], about


def summary(about: dict) -> dict:
    """A manifest without its long lists, for the records of measurements on the set."""
    return {name: value for name, value in about.items() if name not in ("style_of_each", "style_hashes", "versions")}
