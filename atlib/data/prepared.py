"""The prepared cache: a data set's pictures, decoded once, in a folder that is either complete or absent.

DATA/prepared/NAME-STORED holds images.npy (uint8, N×3×STORED×STORED), which loading maps into memory, and about.json
with labels, class names, counts and source, and a digest of it all.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..files import held_for, hold
from .datasets import hold_out
from .pictures import Content

FORMAT = 2  # of the cache; caches in other formats are prepared again
# bytes up to which a cache's digest is verified at every load, which takes about a second per gigabyte
VERIFIED = 2**31


class Prepared(NamedTuple):
    """A whole data set: the pictures to train on, then the hold-out, then the test pictures; `counts` of each.

    images: uint8, N×3×H×H, mapped from the file; labels: int64, N.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    counts: list[int]


def write_cache(path: Path, content: Content, side: int, source: str, progress: bool) -> None:
    """Write a data set, picture by picture: Caltech-256 is larger than many memories.

    Each split is one piece of images.npy, mapped and not copied. A cache of the first format, one file named
    NAME-STORED.safetensors, is removed once this one has taken its place: nothing reads it any more.
    """
    train_count = len(content.train_labels)
    labels = np.array([*content.train_labels, *content.test_labels], dtype=np.int64)
    kept, held = hold_out(train_count)
    order = np.concatenate([kept.numpy(), held.numpy(), np.arange(train_count, len(labels))])
    row = np.empty_like(order)
    row[order] = np.arange(len(order))
    about = {
        "format": FORMAT,
        "source": source,
        "classes": list(content.classes),
        "counts": [len(kept), len(held), len(content.test_labels)],
        "labels": labels[order].tolist(),
    }
    size = len(labels) * 3 * side * side
    path.parent.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(path.parent).free) < size:
        raise InputError(f"{path.parent}: {free / 1e9:.1f} GB free, {size / 1e9:.1f} GB needed")
    with whole_folder(path) as temporary:
        write_images(temporary / "images.npy", content, row, side, source, f"preparing {path.name}" if progress else "")
        about["digest"] = cache_digest(about, temporary / "images.npy")
        (temporary / "about.json").write_text(json.dumps(about) + "\n", encoding="utf-8")
    path.with_name(f"{path.name}.safetensors").unlink(missing_ok=True)


def write_images(path: Path, content: Content, row: np.ndarray, side: int, source: str, title: str) -> None:
    """Write every picture of a source at its row (int64, one per position). title: of the progress bar; "": none."""
    from tqdm import tqdm

    images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(row), 3, side, side))
    # on a full disk, writing to a mapped file would kill the process instead of raising an error
    if hasattr(os, "posix_fallocate"):
        with open(path, "rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    done = np.zeros(len(row), dtype=bool)
    with tqdm(total=len(row), desc=title, unit="picture", disable=not title) as bar:
        for positions, pictures in content.blocks:
            images[row[positions]] = pictures
            done[positions] = True
            bar.update(len(positions))
    if not done.all():
        raise InputError(f"{source}: {int((~done).sum())} of {len(done)} pictures are missing")
    images.flush()


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`. It replaces `path` when the block ends, and is removed after an error.

    Folders that a killed process has left are removed first; a lock tells them from those in use.
    """
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        if (left / "lock").is_file() and held_for(left / "lock") is None:
            shutil.rmtree(left, ignore_errors=True)
    for left in path.parent.glob(f".{path.name}.*.old"):  # nobody reads one that has been replaced
        shutil.rmtree(left, ignore_errors=True)
    mark = secrets.token_hex(4)  # differs between any two processes, even in different containers
    temporary, old = (path.with_name(f".{path.name}.{mark}.{kind}") for kind in ("tmp", "old"))
    temporary.mkdir()
    try:
        with hold(temporary / "lock", str(os.getpid()), f"{temporary}: in use by process"):
            yield temporary
        (temporary / "lock").unlink()
        for file in temporary.iterdir():  # written to disk before the folder gets its name
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        with suppress(FileNotFoundError):
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():  # otherwise another process has put the same data there
                raise
    finally:
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


def cache_digest(about: dict, images: Path) -> str:
    """sha256 of what about.json says, but for the digest itself, and of the pictures' file."""
    note = json.dumps({key: value for key, value in about.items() if key != "digest"}, sort_keys=True)
    with open(images, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha256(note.encode())).hexdigest()


def read_cache(path: Path, source: str, side: int) -> Prepared | None:
    """The whole data set; None if there is no cache of it, or an outdated or a damaged one.

    A truncated file is noticed at any size, a changed byte in files of up to `VERIFIED` bytes; both give a warning.
    """
    if not path.is_dir():
        return None
    try:
        about = json.loads((path / "about.json").read_text(encoding="utf-8"))
        if about["format"] != FORMAT or about["source"] != source:
            return None
        found = Prepared(
            # "c": what a caller writes stays in memory. torch warns about read-only arrays.
            torch.from_numpy(check_images(path / "images.npy", (len(about["labels"]), 3, side, side))),
            torch.tensor(about["labels"], dtype=torch.int64),
            tuple(about["classes"]),
            about["counts"],
        )
        small = (path / "images.npy").stat().st_size <= VERIFIED
        if small and cache_digest(about, path / "images.npy") != about["digest"]:
            raise ValueError("digest")
        if sum(found.counts) != len(found.labels):
            raise ValueError("counts")
    except (FileNotFoundError, KeyError, TypeError, ValueError, EOFError) as error:
        warnings.warn(f"{path}: damaged ({type(error).__name__}), it is prepared again", stacklevel=4)
        return None
    return found


def check_images(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The mapped array of an .npy file; ValueError unless it has the shape and the file ends with it."""
    images = np.lib.format.open_memmap(path, mode="c")
    whole = path.stat().st_size == images.offset + images.nbytes
    if images.dtype != np.uint8 or images.shape != shape or not images.flags.c_contiguous or not whole:
        raise ValueError("shape")
    return images
