"""Load a data set by its name from the first source that is available.

The sources are tried in this order: the generator (for `shapes`), NAME-STORED.npz or NAME.npz in the data directory,
the prepared cache there, the official archive there, and the official archive downloaded from its address.
`folder:PATH` means a user's own pictures, with one folder per class.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..files import data_dir
from ..registry import Spec, check, folder_path, slug, stored_side
from ..tensors import tensor_digest
from .archives import READERS, fetch, one_line
from .datasets import Conflict, Dataset, Split, hold_out
from .folders import list_folder, read_folder
from .npz import find_npz, from_npz
from .prepared import read_cache, write_cache


def load(
    name: str,
    *,
    side: int | None = None,
    root: Path | None = None,
    progress: bool = True,
    **parameters: object,
) -> Dataset:
    """The data set `name`: shapes, cifar10, tiny-imagenet, caltech256, caltech101 or folder:PATH.

    side: height and width that the network sees (None: 32, 32, 64, 224, 224, 224). Pictures are stored at
    side 32, 32 and 64 for the first three, at 256/224 of `side` for the others, whatever they come from. root: the data
    directory (ATLIB_DATA). parameters: of `shapes`. Each class of Caltech is split 80/20 by a fixed seed,
    including the clutter and background categories, as in the paper's code. folder:PATH is split likewise, unless PATH
    holds train/ and test/ (or val/), or only the latter: then there is nothing to train on (see `list_folder`).
    InputError says in one line what is wrong or, without a network connection, which file to put where.
    """
    spec, side = check(name, side, **parameters)
    if name == "shapes":
        return generated(spec, parameters)
    root = root or data_dir()
    try:
        npz = find_npz(name, root, stored_side(spec, side)) if spec.archive else None
        return from_npz(name, npz, spec, side) if npz else from_cache(name, root, spec, side, progress)
    except OSError as error:  # a full disk, a folder that may not be written
        raise InputError(f"dataset = {name!r}: {one_line(error)} (data directory {root})") from None


def at_hand(name: str, root: Path | None = None, *, side: int | None = None) -> bool:
    """Whether `load` finds the data set without a download. InputError for a name or side that it would refuse."""
    spec, side = check(name, side)
    root = root or data_dir()
    if name == "shapes" or spec.archive is None:
        return True
    stored = stored_side(spec, side)
    places = (root / spec.archive.file, root / "prepared" / f"{slug(name)}-{stored}" / "about.json")
    return find_npz(name, root, stored) is not None or any(place.is_file() for place in places)


def generated(spec: Spec, parameters: dict) -> Dataset:
    """The data set `shapes`."""
    from .. import shapes

    train, test, conflict, classes = shapes.generate(**parameters)
    kept, held = hold_out(len(train[1]))
    return Dataset(
        "shapes",
        classes,
        spec.side,
        spec.augmentation,
        f"generated sha256 {tensor_digest({'train': train[0], 'test': test[0], 'conflict': conflict[0]})}",
        spec.deviations,
        Split(train[0][kept], train[1][kept]),
        Split(train[0][held], train[1][held]),
        Split(*test),
        Conflict(*conflict),
    )


def from_cache(name: str, root: Path, spec: Spec, side: int, progress: bool) -> Dataset:
    """The data set from its prepared cache, which is made first if it is missing, outdated or damaged."""
    stored, folder = stored_side(spec, side), root / "prepared"
    cache = folder / f"{slug(name)}-{stored}"
    if spec.archive is None:
        listing = list_folder(folder_path(name), folder / f"{slug(name)}-hashes.json", progress)
        source = f"{folder_path(name)} sha256 {listing.fingerprint}"
    else:
        source = f"{spec.archive.file} md5 {spec.archive.md5}"
    found = read_cache(cache, source, stored)
    if found is None:
        if spec.archive is None:
            content = read_folder(folder_path(name), listing, stored)
        else:
            content = READERS[name](fetch(name, spec.archive, root, progress), stored)
        write_cache(cache, content, stored, source, progress)
        # once more: another process may have put its own in this one's place while it was read
        found = read_cache(cache, source, stored) or read_cache(cache, source, stored)
    if found is None:
        raise InputError(f"{cache}: damaged as soon as it was written; is the disk in order?")
    pieces = zip(found.images.split(found.counts), found.labels.split(found.counts), strict=True)
    train, held, test = (Split(*piece) for piece in pieces)
    return Dataset(name, found.classes, side, spec.augmentation, source, spec.deviations, train, held, test)
