"""The official archives: downloaded where they are missing, verified, read."""

from __future__ import annotations

import logging
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np

from ..errors import InputError
from ..files import file_hash
from ..registry import CIFAR10, Archive
from .pictures import Content, Entry, is_picture, read_pictures, split_classes


def fetch(name: str, archive: Archive, root: Path, progress: bool) -> Path:
    """The official archive in the data directory, downloaded first if it is not there; its md5 verified."""
    path = root / archive.file
    if not path.is_file():
        download(name, archive, path, progress)
    elif (md5 := file_hash(path, "md5")) != archive.md5:
        raise InputError(
            f"{path}: its md5 is {md5}, the official file's is {archive.md5}: damaged or another file; "
            f"delete it, or replace it by {archive.url}"
        )
    return path


def download(name: str, archive: Archive, path: Path, progress: bool) -> None:
    """Download an archive; it gets its name once it is whole and its md5 is right."""
    import pooch  # imported here because it imports requests
    import requests

    # Some servers would compress the transfer; unpacked on arrival, the bytes would not match the md5.
    headers = {"Accept-Encoding": "identity", "User-Agent": "atlib"}
    downloader = pooch.HTTPDownloader(progressbar=progress, timeout=30, headers=headers)
    try:
        with quiet(pooch.get_logger()):
            pooch.retrieve(archive.url, f"md5:{archive.md5}", path.name, path.parent, downloader=downloader)
    except (requests.RequestException, ValueError) as error:  # pooch raises ValueError for a wrong md5
        raise InputError(
            f"dataset = {name!r}: no download ({reason(error)}): download {archive.url} by hand and put it at {path}"
        ) from None
    # pooch's temporary file can be read by its owner only; give it the permissions of other new files.
    path.chmod(path.parent.stat().st_mode & 0o666)


@contextmanager
def quiet(logger: logging.Logger) -> Iterator[None]:
    """Log nothing below a warning."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def reason(error: BaseException) -> str:
    """Why a download failed, in one line: the innermost of the errors that libraries have wrapped."""
    while error.__context__ is not None:
        error = error.__context__
    return one_line(error).partition(". Deleted download")[0]


def one_line(error: object) -> str:
    """An error's message without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def read_cifar10(path: Path, side: int) -> Content:
    """CIFAR-10's binary archive: records of a label and 3×32×32 bytes, in six files."""
    files = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
    batches = {}
    with tarfile.open(path) as tar:
        for member in tar:
            if (file := PurePosixPath(member.name).name) in files and (stream := tar.extractfile(member)):
                batches[file] = np.frombuffer(stream.read(), np.uint8).reshape(-1, 1 + 3 * side * side)
    records = np.concatenate([batches[file] for file in files])
    labels, train_count = records[:, 0].tolist(), len(records) - len(batches["test_batch.bin"])
    block = (list(range(len(records))), records[:, 1:].reshape(-1, 3, side, side))
    return Content(CIFAR10, labels[:train_count], labels[train_count:], [block])


def zip_entries(path: Path) -> Iterator[Entry]:
    """The files of a zip archive."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                yield info.filename, lambda info=info: archive.read(info)  # type: ignore[misc]


def tar_entries(path: Path) -> Iterator[Entry]:
    """The files of a tar archive, or of 101_ObjectCategories.tar.gz within Caltech-101's zip."""
    if path.suffix != ".zip":
        with open(path, "rb") as stream:
            yield from tar_stream(stream)
        return
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("caltech-101/101_ObjectCategories.tar.gz") as inner,
    ):
        yield from tar_stream(inner)


def tar_stream(stream: IO[bytes]) -> Iterator[Entry]:
    """The files of an open tar archive, to be read in their order."""
    with tarfile.open(fileobj=stream) as tar:
        for member in tar:
            if member.isfile():
                yield member.name, lambda member=member: tar.extractfile(member).read()  # type: ignore


def read_caltech(path: Path, side: int) -> Content:
    """Caltech-101 or -256: TOP/CLASS/PICTURE.jpg; all categories, split 80/20."""
    pictures: dict[str, list[str]] = {}
    for name, _ in tar_entries(path):
        parts = PurePosixPath(name).parts
        if len(parts) == 3 and is_picture(name):
            pictures.setdefault(parts[1], []).append(name)
    pictures = {folder: sorted(pictures[folder]) for folder in sorted(pictures)}
    classes = (re.sub(r"^\d+\.", "", folder) for folder in pictures)  # 001.ak47 is "ak47"
    return read_pictures(path, tar_entries(path), classes, *split_classes(pictures), side)


def read_tiny_imagenet(path: Path, side: int) -> Content:
    """Tiny ImageNet: train/WNID/images/*.JPEG; tested on val/images/*, labelled in val_annotations.txt."""
    with zipfile.ZipFile(path) as archive:
        top = "tiny-imagenet-200"
        names = sorted(name for name in archive.namelist() if is_picture(name))
        wnids = sorted(archive.read(f"{top}/wnids.txt").decode().split())
        words = dict(
            line.split("\t", 1) for line in archive.read(f"{top}/words.txt").decode().splitlines() if "\t" in line
        )
        notes = archive.read(f"{top}/val/val_annotations.txt").decode().splitlines()
    label = {wnid: i for i, wnid in enumerate(wnids)}
    train = [(name, label[name.split("/")[2]]) for name in names if name.startswith(f"{top}/train/")]
    test = [(f"{top}/val/images/{note.split()[0]}", label[note.split()[1]]) for note in notes if note]
    classes = (words.get(wnid, wnid).split(",")[0].strip() for wnid in wnids)
    return read_pictures(path, zip_entries(path), classes, train, test, side)


READERS: dict[str, Callable[[Path, int], Content]] = {
    "cifar10": read_cifar10,
    "tiny-imagenet": read_tiny_imagenet,
    "caltech256": read_caltech,
    "caltech101": read_caltech,
}
