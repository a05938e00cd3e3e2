"""Any data set as uint8 pictures, labels and class names; and what training and tests see of it.

A data set comes from the first of these that there is: its generator (`shapes`), NAME.npz in the data
directory, the prepared cache there, the official archive there, the official archive from its address.
`folder:PATH` is anybody's pictures, one folder a class.
"""

from __future__ import annotations

import hashlib
import http.client
import inspect
import io
import itertools
import json
import os
import re
import shutil
import struct
import tarfile
import urllib.request
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from .errors import InputError, in_range, one_of
from .files import atomic, data_dir, file_hash, tensor_digest

AUGMENTATIONS = ("pad-crop-flip", "flip", "crop-flip", "none")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
PADDING = 4  # CIFAR-10's zero padding before the random crop
LONGEST = 16  # times its short side: how much of a strip's long side is resized
LAYOUTS = (  # of folder:PATH
    "PATH/CLASS/PICTURE, PATH/train/CLASS/PICTURE beside PATH/test/CLASS/PICTURE (or PATH/val), or the latter alone"
)
FORMAT = 1  # of the prepared cache: a cache of another format is prepared again
VERIFIED = 2**31  # bytes up to which a cache's digest is verified at every load, at about a second a gigabyte


class Archive(NamedTuple):
    """An official file: its name in the data directory, its address and md5."""

    file: str
    url: str
    md5: str


class Spec(NamedTuple):
    """What is fixed about a data set: its own side, the paper's augmentation, deviations from the paper."""

    side: int
    augmentation: str
    deviations: tuple[str, ...] = ()
    archive: Archive | None = None


SQUARES = (
    "pictures are stored as squares: short side resized to 256/224 of the network's, centre cropped; the paper "
    "crops at random from the whole resized picture"
)
SPLIT = "the 80/20 split a class is seeded; the paper's was not, so its test pictures are others"
# No address could be reached when this was written, so no md5 has been checked against its file's bytes. That
# of CIFAR-10 stands on the data set's page, those of Caltech are torchvision 0.28's; Tiny ImageNet publishes
# none, this is the one that public loaders agree on. A wrong one would stop the download with a line that
# says so.
DATASETS = {
    "shapes": Spec(32, "none", ("not in the paper: generated",)),
    "cifar10": Spec(
        32,
        "pad-crop-flip",
        archive=Archive(
            "cifar-10-binary.tar.gz",
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "c32a1d4ab5d03f1284b67883e8d87530",
        ),
    ),
    "tiny-imagenet": Spec(
        64,
        "flip",
        (
            'normalised per channel inside the model; the paper says "per-image standardization"',
            "tested on the validation split: the test labels are not public",
        ),
        Archive(
            "tiny-imagenet-200.zip",
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "90528d7ca1a48142e341f4ef8d21d0de",
        ),
    ),
    "caltech256": Spec(
        224,
        "crop-flip",
        (SQUARES, SPLIT),
        Archive(
            "256_ObjectCategories.tar",
            "https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",
            "67b4f42ca05d46448c6bb8ecd2220f6d",
        ),
    ),
    "caltech101": Spec(
        224,
        "crop-flip",
        ("not in the paper: stands in for Caltech-256", SQUARES, SPLIT),
        Archive(
            "caltech-101.zip",
            "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
            "3138e1922a9193bfa496528edbbc45d0",
        ),
    ),
}
FOLDER = Spec(224, "crop-flip", ("not in the paper: the reader's own pictures", SQUARES))


class Split(NamedTuple):
    """Pictures (uint8, N×3×H×W) and labels (int64, N)."""

    images: Tensor
    labels: Tensor


class Conflict(NamedTuple):
    """Pictures whose shape names one class and whose texture another.

    images: uint8, N×3×H×W; labels and textures: the class of the shape and that of the texture, int64, N.
    """

    images: Tensor
    labels: Tensor
    textures: Tensor


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set ready to train on.

    No run trains on `holdout`. `side` is the height and width that the network sees, `augmentation` the kind
    that `augment` applies in training, `source` what the pictures came from, with its hash. Only `shapes` has a
    `conflict`.
    """

    name: str
    classes: tuple[str, ...]
    side: int
    augmentation: str
    source: str
    deviations: tuple[str, ...]
    train: Split = field(repr=False)
    holdout: Split = field(repr=False)
    test: Split = field(repr=False)
    conflict: Conflict | None = field(default=None, repr=False)


# ---------------------------------------------------------------- loading


def check(name: str, side: int | None = None, **parameters: object) -> tuple[Spec, int]:
    """The data set's Spec and the side that the network sees; InputError for what `load` would refuse."""
    if isinstance(name, str) and name.startswith("folder:"):
        spec = FOLDER
        if name == "folder:" or not folder_path(name).is_dir():
            raise InputError(f"dataset = {name!r}: must be folder:PATH with the PATH of a folder")
    else:
        one_of("dataset", name, [*DATASETS, "folder:PATH"])
        spec = DATASETS[name]
    if side is not None:
        low, high = {"flip": (64, 512), "crop-flip": (16, 512)}.get(spec.augmentation, (spec.side, spec.side))
        in_range("side", side, low, high, whole=True)
    allowed = generator_parameters() if name == "shapes" else {}
    for parameter in parameters:
        if not allowed:
            raise InputError(f"{parameter} = {parameters[parameter]!r}: only the data set shapes has parameters")
        one_of("parameter of shapes", parameter, allowed)
    return spec, side or spec.side


def generator_parameters() -> dict[str, object]:
    """Name and default of every parameter of `shapes`."""
    from . import shapes

    return {name: p.default for name, p in inspect.signature(shapes.generate).parameters.items()}


def folder_path(name: str) -> Path:
    """The PATH of "folder:PATH", absolute."""
    return Path(name.removeprefix("folder:")).expanduser().resolve()


def slug(name: str) -> str:
    """The data set's name as part of a file's: "folder:/a/b" becomes "folder-b-" and a hash of the path."""
    if not name.startswith("folder:"):
        return name
    path = folder_path(name)
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", path.name)
    return f"folder-{readable}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


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
    side 32, 32 and 64 for the first three, at 256/224 of `side` for the others. root: the data directory
    (ATLIB_DATA). parameters: of `shapes`. Caltech is split 80/20 a class, seeded, over all its categories,
    the clutter and background ones included, as in the paper's code; folder:PATH likewise, unless PATH holds
    train/ and test/ (or val/), or the latter alone: then there is nothing to train on (see `list_folder`).
    InputError says in one line what is wrong, or which file to put where if there is no network.
    """
    spec, side = check(name, side, **parameters)
    if name == "shapes":
        return generated(spec, parameters)
    root = root or data_dir()
    npz = root / f"{name}.npz"
    try:
        if spec.archive and npz.is_file():
            return from_npz(name, npz, spec, side)
        return from_cache(name, root, spec, side, progress)
    except OSError as error:  # a full disk, a folder that may not be written
        raise InputError(f"dataset = {name!r}: {one_line(error)} (data directory {root})") from None


def at_hand(name: str, root: Path | None = None) -> bool:
    """Whether `load` finds the data set without a download. InputError for a name that it would refuse."""
    spec, _ = check(name)
    root = root or data_dir()
    archived = spec.archive is not None and (root / spec.archive.file).is_file()
    return name == "shapes" or spec.archive is None or archived or (root / f"{name}.npz").is_file()


def generated(spec: Spec, parameters: dict) -> Dataset:
    """The data set `shapes`."""
    from . import shapes

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


def hold_out(count: int) -> tuple[Tensor, Tensor]:
    """Sorted indexes of the training pictures to train on, and of those that no run ever trains on.

    The second are the first min(5000, count // 10) of a permutation that depends on nothing but `count`.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    size = min(5000, count // 10)
    return order[size:].sort().values, order[:size].sort().values


# ---------------------------------------------------------------- NAME.npz


def from_npz(name: str, path: Path, spec: Spec, side: int) -> Dataset:
    """The data set in an .npz of x_train, x_test (uint8, N×H×H×3), y_train, y_test (whole numbers, N).

    Class names are its `classes`, those of CIFAR-10, or numbers.
    """
    arrays = read_npz(path)
    for part in ("train", "test"):
        check_arrays(path, part, arrays[f"x_{part}"], arrays[f"y_{part}"], spec.augmentation, side)
    if "classes" in arrays:
        classes = tuple(str(c) for c in arrays["classes"].ravel().tolist())
    else:
        count = int(arrays["y_train"].max()) + 1
        classes = CIFAR10 if name == "cifar10" else tuple(str(i) for i in range(count))
    for part in ("train", "test"):
        low, high = arrays[f"y_{part}"].min(), arrays[f"y_{part}"].max()
        if low < 0 or high >= len(classes):
            raise InputError(f"{path}: y_{part} = {low} to {high}: must lie in 0 to {len(classes) - 1}")
    source = f"{path.name} sha256 {file_hash(path)}"
    images, labels = torch.from_numpy(arrays["x_train"]), torch.from_numpy(arrays["y_train"].astype(np.int64))
    train, held = (Split(channels_first(images[i]), labels[i]) for i in hold_out(len(labels)))
    test = Split(
        channels_first(torch.from_numpy(arrays["x_test"])),
        torch.from_numpy(arrays["y_test"].astype(np.int64)),
    )
    return Dataset(name, classes, side, spec.augmentation, source, spec.deviations, train, held, test)


def channels_first(images: Tensor) -> Tensor:
    """N×H×W×3 as contiguous N×3×H×W."""
    return images.permute(0, 3, 1, 2).contiguous()


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz that make a data set; InputError if it is damaged or lacks one."""
    needed = ("x_train", "y_train", "x_test", "y_test")
    try:
        with zipfile.ZipFile(path) as file:
            held = {member.removesuffix(".npy") for member in file.namelist()}
        if missing := [key for key in needed if key not in held]:
            raise InputError(f"{path}: must hold {', '.join(needed)}; {missing[0]} is missing")
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in (*needed, "classes") if key in held}
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged, or no .npz of plain arrays ({type(error).__name__})") from None


def check_arrays(path: Path, part: str, images: np.ndarray, labels: np.ndarray, augmentation: str, side: int) -> None:
    """InputError unless one part of an .npz has the types and shapes that the data set needs."""
    shape = images.shape
    if images.dtype != np.uint8 or images.ndim != 4 or shape[3] != 3 or shape[1] != shape[2]:
        raise InputError(f"{path}: x_{part} = {images.dtype} {shape}: must be uint8, N×H×H×3")
    low, high = {"pad-crop-flip": (side, side), "flip": (1, side), "crop-flip": (side, 4096)}[augmentation]
    if not low <= shape[1] <= high:
        raise InputError(f"{path}: x_{part} = pictures of side {shape[1]}: must be {low} to {high}")
    if labels.dtype.kind not in "iu" or labels.shape != shape[:1] or len(labels) < 10:
        raise InputError(
            f"{path}: y_{part} = {labels.dtype} {labels.shape}: must be whole numbers, as many as x_{part} has "
            f"pictures ({shape[0]}) and at least 10"
        )


# ---------------------------------------------------------------- prepared cache


class Content(NamedTuple):
    """What a source holds: class names, labels of its training and of its test pictures, and the pictures.

    `blocks` yields positions (training pictures first, then test) and as many pictures, uint8 k×3×side×side,
    until every position has come once.
    """

    classes: tuple[str, ...]
    train_labels: list[int]
    test_labels: list[int]
    blocks: Iterable[tuple[list[int], np.ndarray]]


def from_cache(name: str, root: Path, spec: Spec, side: int, progress: bool) -> Dataset:
    """The data set from its prepared cache, which is made first if it is missing, outdated or damaged."""
    stored = round(side * 256 / 224) if spec.augmentation == "crop-flip" else spec.side
    cache = root / "prepared" / f"{slug(name)}-{stored}.safetensors"
    if spec.archive is None:
        listing = list_folder(folder_path(name))
        source = f"{folder_path(name)} sha256 {listing.fingerprint}"
    else:
        source = f"{spec.archive.file} md5 {spec.archive.md5}"
    found = read_cache(cache, source)
    if found is None:
        if spec.archive is None:
            content = read_folder(folder_path(name), listing, stored)
        else:
            content = READERS[name](fetch(name, spec.archive, root, progress), stored)
        write_cache(cache, content, stored, source, progress)
        found = read_cache(cache, source)
    if found is None:
        raise InputError(f"{cache}: damaged as soon as it was written; is the disk in order?")
    images, labels, note = found
    pieces = zip(images.split(note["counts"]), labels.split(note["counts"]), strict=True)
    train, held, test = (Split(*piece) for piece in pieces)
    classes = tuple(note["classes"])
    return Dataset(name, classes, side, spec.augmentation, source, spec.deviations, train, held, test)


def write_cache(path: Path, content: Content, side: int, source: str, progress: bool) -> None:
    """Write a data set as one safetensors file, picture by picture: Caltech-256 is larger than many memories.

    The pictures to train on come first, then the hold-out, then the test pictures, so that each split is one
    piece of the file, mapped and not copied.
    """
    train_count = len(content.train_labels)
    labels = np.array([*content.train_labels, *content.test_labels], dtype=np.int64)
    kept, held = hold_out(train_count)
    order = np.concatenate([kept.numpy(), held.numpy(), np.arange(train_count, len(labels))])
    row = np.empty_like(order)
    row[order] = np.arange(len(order))
    counts = [len(kept), len(held), len(content.test_labels)]
    note = json.dumps({"format": FORMAT, "source": source, "classes": content.classes, "counts": counts})
    header, size = cache_header(len(labels), side, note, "0" * 64), 3 * side * side
    path.parent.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(path.parent).free) < len(labels) * size:
        raise InputError(f"{path.parent}: {free / 1e9:.1f} GB free, {len(labels) * size / 1e9:.1f} GB needed")
    with (
        atomic(path) as temporary,
        open(temporary, "wb+") as file,
        tqdm(total=len(labels), desc=f"preparing {path.stem}", unit="picture", disable=not progress) as bar,
    ):
        file.write(header + labels[order].tobytes())
        start, done = file.tell(), np.zeros(len(labels), dtype=bool)
        for positions, pictures in content.blocks:
            for position, picture in zip(positions, pictures, strict=True):
                file.seek(start + int(row[position]) * size)
                file.write(picture.tobytes())
            done[positions] = True
            bar.update(len(positions))
        if not done.all():
            raise InputError(f"{source}: {int((~done).sum())} of {len(done)} pictures are missing")
        digest = cache_digest(file, len(header), note)
        file.seek(0)
        file.write(cache_header(len(labels), side, note, digest))


def cache_header(count: int, side: int, note: str, digest: str) -> bytes:
    """The head of a safetensors file with labels (int64, count) and images (uint8, count×3×side×side)."""
    end = 8 * count + count * 3 * side * side
    head = {
        "__metadata__": {"meta": note, "digest": digest},
        "labels": {"dtype": "I64", "shape": [count], "data_offsets": [0, 8 * count]},
        "images": {"dtype": "U8", "shape": [count, 3, side, side], "data_offsets": [8 * count, end]},
    }
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def cache_digest(file: IO[bytes], offset: int, note: str) -> str:
    """sha256 of the note and of all bytes from `offset` on."""
    file.seek(offset)
    return hashlib.file_digest(file, lambda: hashlib.sha256(note.encode())).hexdigest()  # type: ignore[arg-type]


def read_cache(path: Path, source: str) -> tuple[Tensor, Tensor, dict] | None:
    """Images and labels of the whole data set, mapped from the file, and its note.

    None if the file is missing, outdated or damaged. One that was cut short is noticed at any size, a changed byte
    up to `VERIFIED` bytes; a warning says so.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as cache:
            head = cache.metadata()
            note = json.loads(head["meta"])
            labels, images = cache.get_tensor("labels"), cache.get_tensor("images")
        if note["format"] != FORMAT or note["source"] != source:
            return None
        if path.stat().st_size <= VERIFIED:
            with open(path, "rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                if cache_digest(file, 8 + length, head["meta"]) != head["digest"]:
                    raise ValueError("digest")
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        warnings.warn(f"{path}: damaged ({type(error).__name__}), it is prepared again", stacklevel=4)
        return None
    return images, labels, note


# ---------------------------------------------------------------- official archives


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
    """Download an archive, verify its md5, then give it its name."""
    by_hand = f"download {archive.url} by hand and put it at {path}"
    md5 = hashlib.md5(usedforsecurity=False)
    with (
        atomic(path) as temporary,
        open(temporary, "wb") as file,
        tqdm(desc=archive.file, unit="B", unit_scale=True, disable=not progress) as bar,
    ):
        try:
            for chunk, bar.total in received(archive.url):
                file.write(chunk)
                md5.update(chunk)
                bar.update(len(chunk))
        except ConnectionError as error:
            raise InputError(f"dataset = {name!r}: no download ({error}): {by_hand}") from None
        if md5.hexdigest() != archive.md5:
            raise InputError(f"dataset = {name!r}: md5 {md5.hexdigest()}, not {archive.md5}, came: {by_hand}")


def received(url: str) -> Iterator[tuple[bytes, int | None]]:
    """The bytes behind an address in pieces, each with the total if it is known; else ConnectionError."""
    request = urllib.request.Request(url, headers={"User-Agent": "atlib"})
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            total, count = int(reply.headers.get("Content-Length") or 0) or None, 0
            while chunk := reply.read(2**20):
                count += len(chunk)
                yield chunk, total
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(one_line(getattr(error, "reason", None) or error)) from None
    if total and count < total:
        raise ConnectionError(f"it broke off after {count} of {total} bytes")


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


Entry = tuple[str, Callable[[], bytes]]  # a file's name in its archive, and what reads it


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


Picture = tuple[str, int]  # a picture's name in its source, and its label


def read_pictures(
    source: Path,
    entries: Iterable[Entry],
    classes: Iterable[str],
    train: list[Picture],
    test: list[Picture],
    side: int,
) -> Content:
    """Content whose pictures are decoded from `entries`, whatever their order there."""
    positions = {name: position for position, (name, _) in enumerate([*train, *test])}
    blocks = decoded(source, entries, positions, side)
    return Content(tuple(classes), [label for _, label in train], [label for _, label in test], blocks)


def decoded(
    source: Path, entries: Iterable[Entry], positions: dict[str, int], side: int
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Blocks of positions and decoded squares, on all processors: Pillow works outside Python's lock."""
    wanted = ((name, read()) for name, read in entries if name in positions)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while block := list(itertools.islice(wanted, 256)):
            squares = pool.map(lambda picture: square(picture[1], side, f"{source}/{picture[0]}"), block)
            yield [positions[name] for name, _ in block], np.stack(list(squares))


def square(content: bytes, side: int, name: str, least: int = 1) -> np.ndarray:
    """A picture file as RGB, uint8 3×side×side: short side resized to `side` (bilinear), centre cropped.

    Grey, palette and CMYK become RGB; alpha and EXIF orientation are ignored, as by torchvision's ImageFolder. A strip
    is first cropped to the middle LONGEST short sides of its length. InputError names a file that is no picture of 8
    bits a channel, or whose short side has fewer than `least` pixels.
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
    """Whether a file's name looks like a picture's: Caltech's archives hold a few strays."""
    return name.lower().endswith(SUFFIXES) and not PurePosixPath(name).name.startswith(".")


def split_classes(pictures: dict[str, list[str]]) -> tuple[list[Picture], list[Picture]]:
    """A seeded 80/20 split of every class, int(0.2·n) to test as in the paper's code; each class on its own.

    Other classes coming or going leave a class's split as it is.
    """
    train, test = [], []
    for label, names in enumerate(pictures.values()):
        order = torch.randperm(len(names), generator=torch.Generator().manual_seed(0)).tolist()
        drawn = set(order[: int(0.2 * len(names))])
        train += [(name, label) for i, name in enumerate(names) if i not in drawn]
        test += [(name, label) for i, name in enumerate(names) if i in drawn]
    return train, test


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

# ---------------------------------------------------------------- folder:PATH


class Listing(NamedTuple):
    """The pictures below a folder: class names, what to train and test on, a hash that follows changes."""

    classes: tuple[str, ...]
    train: list[Picture]
    test: list[Picture]
    fingerprint: str


def folders_in(path: Path) -> list[Path]:
    """The folders directly below a folder, sorted, without hidden ones."""
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


def class_folders(path: Path) -> dict[str, list[str]]:
    """Each class's pictures at any depth, as sorted names relative to `path`; InputError if it has none."""
    pictures = {}
    for folder in folders_in(path):
        files = (Path(top, file) for top, _, names in os.walk(folder, followlinks=True) for file in names)
        pictures[folder.name] = sorted(f.relative_to(path).as_posix() for f in files if is_picture(f.name))
        if not pictures[folder.name]:
            raise InputError(f"{folder}: no pictures inside ({' '.join(SUFFIXES)})")
    return pictures


def list_folder(path: Path) -> Listing:
    """PATH/train and PATH/test (or PATH/val) with a folder a class each; or PATH with them, split 80/20.

    PATH/test or PATH/val without any other folder: nothing to train on, and every picture is tested. Where there are
    both, PATH/val is left aside. InputError, in the order of the checks: PATH/test or PATH/val beside other folders but
    not PATH/train, since they might be classes or parts; a class of fewer than 5 pictures where they are split, which
    would have no test picture; fewer than 2 classes, 10 training pictures (if any) or 1 test picture.
    """
    parts = [part for part in ("test", "val") if (path / part).is_dir()]
    held_out = parts[0] if parts else None
    others = [folder.name for folder in folders_in(path) if folder.name not in parts]
    if held_out and "train" in others:
        pictures = class_folders(path / "train")
        label = {name: i for i, name in enumerate(pictures)}
        tested = class_folders(path / held_out)
        for name in tested:
            one_of(f"class in {path / held_out}", name, label)
        train = [(f"train/{p}", label[name]) for name in pictures for p in pictures[name]]
        test = [(f"{held_out}/{p}", label[name]) for name in tested for p in tested[name]]
    elif held_out and others:
        shown = [*parts, *others[:8], *(["…"] if len(others) > 8 else [])]
        raise InputError(f"{path}: folders {', '.join(shown)}: must be {LAYOUTS}; no class may be called test or val")
    elif held_out:
        pictures = class_folders(path / held_out)
        train = []
        test = [(f"{held_out}/{p}", i) for i, name in enumerate(pictures) for p in pictures[name]]
        if len(pictures) < 2:
            raise InputError(f"{path / held_out}: must hold at least 2 folders of pictures, one a class")
    else:
        pictures = class_folders(path)
        train, test = split_classes(pictures)
        tested_labels = {label for _, label in test}
        for i, (name, files) in enumerate(pictures.items()):
            if i not in tested_labels:
                raise InputError(
                    f"{path / name}: pictures = {len(files)}: must be at least 5 for one of them to be a test picture, "
                    "or all in folders PATH/train and PATH/test of their own"
                )
    if len(pictures) < 2 or 0 < len(train) < 10 or not test:
        raise InputError(
            f"{path}: {len(pictures)} classes, {len(train)} training and {len(test)} test pictures: must be at "
            f"least 2, 10 and 1, as {LAYOUTS}"
        )
    digest = hashlib.sha256()
    for name, index in [*train, *test]:
        stat = (path / name).stat()
        digest.update(f"{name}:{index}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return Listing(tuple(pictures), train, test, digest.hexdigest())


def read_folder(path: Path, listing: Listing, side: int) -> Content:
    """The pictures of a listing."""
    entries = ((name, (path / name).read_bytes) for name, _ in [*listing.train, *listing.test])
    return read_pictures(path, entries, listing.classes, listing.train, listing.test, side)


# ---------------------------------------------------------------- what the network sees


def augment(images: Tensor, kind: str, side: int, generator: torch.Generator) -> Tensor:
    """A batch as training sees it: uint8, N×3×H×H, on any device, to float in [0, 1], N×3×side×side.

    kind: "pad-crop-flip" (CIFAR-10: 4 black pixels around, random crop), "crop-flip" (Caltech: random crop),
    "flip" (Tiny ImageNet: resized if smaller than `side`), "none" (`prepare`). A flip is left to right with
    probability 1/2. Each picture has its own draws from `generator`; one on the CPU draws the same crops and flips
    for every device. The result is in channels-last memory format.
    """
    one_of("augmentation", kind, AUGMENTATIONS)
    if kind == "none":
        return prepare(images, side)
    count, stored, device = len(images), images.shape[-1], generator.device
    if kind == "pad-crop-flip":
        images = F.pad(images, (PADDING,) * 4)
    fits = {"pad-crop-flip": stored == side, "crop-flip": stored >= side, "flip": stored <= side}
    if not fits[kind]:
        raise InputError(f"side = {side}: augmentation {kind} of pictures of side {stored} cannot give it")
    size = min(stored, side)
    room = images.shape[-1] - size
    corners = torch.randint(room + 1, (2, count), generator=generator, device=device).to(images.device)
    flips = (torch.rand(count, generator=generator, device=device) < 0.5).to(images.device)
    return to_float(crop(images, size, corners[0], corners[1], flips), side)


def crop(images: Tensor, side: int, top: Tensor, left: Tensor, flips: Tensor) -> Tensor:
    """Each picture's side×side window at its own (top, left) (int64, N), mirrored where `flips` (bool, N)."""
    count, channels, height, width = images.shape
    steps = torch.arange(side, device=images.device)
    rows = top[:, None] + steps
    columns = left[:, None] + torch.where(flips[:, None], side - 1 - steps, steps)
    places = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, side * side)
    windows = images.reshape(count, channels, height * width).gather(2, places.expand(-1, channels, -1))
    return windows.view(count, channels, side, side)


def prepare(images: Tensor, side: int) -> Tensor:
    """A batch as tests see it: uint8, N×3×H×H, to float in [0, 1], N×3×side×side.

    Larger pictures are cropped at their centre (256 to 224), smaller ones resized (Tiny ImageNet, 64 to 224). The
    result is in channels-last memory format.
    """
    margin = max(0, (images.shape[-1] - side) // 2)
    return to_float(images[..., margin : margin + side, margin : margin + side], side)


def to_float(images: Tensor, side: int) -> Tensor:
    """uint8 pictures as float in [0, 1], channels last, resized to `side` (bilinear) if they are smaller."""
    if images.dtype != torch.uint8 or images.dim() != 4:
        raise InputError(f"images = {images.dtype} {tuple(images.shape)}: must be uint8, N×3×H×W")
    pictures = images.to(torch.float32, memory_format=torch.channels_last).div_(255)
    if pictures.shape[-1] == side:
        return pictures
    return F.interpolate(pictures, size=(side, side), mode="bilinear").clamp_(0, 1)
