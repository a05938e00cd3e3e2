"""folder:PATH, a user's own pictures: its parts and classes, and a hash of names and contents."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ..errors import InputError, one_of
from ..files import atomic, file_hash
from ..registry import is_utf8
from .pictures import SUFFIXES, Content, Picture, is_picture, read_pictures, split_classes

HELD_OUT = ("test", "val", "valid", "validation")  # names of the part to test on; the first one found is used
OTHER_PARTS = (
    "training", "testing", "eval", "evaluation", "dev", "holdout", "hold-out", "heldout", "held-out",
    *(f"{part}{between}{end}" for part in ("train", "test", "training", "testing", "val", "valid", "validation")
      for between in ("", "_", "-", " ") for end in ("set", "data", "images")),
)  # fmt: skip
LAYOUTS = (
    "PATH/CLASS/PICTURE, PATH/train/CLASS/PICTURE beside PATH/test/CLASS/PICTURE (or PATH/val, PATH/valid, "
    "PATH/validation), or the latter alone"
)
SYSTEM = ("__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "__pycache__")
HASHES = 1  # format of the file that keeps hashes between loads
# Hashes of files that changed fewer nanoseconds ago aren't kept: file times are too coarse to show a second change.
STABLE_AFTER = 2 * 10**9


class Listing(NamedTuple):
    """The pictures below a folder: class names, what to train and test on, a hash of their names and contents.

    Classes stand in the order of their folders' names as text: 0, 1, 10, 11, 2. train, test: each picture's name,
    relative to the folder, and its label.
    """

    classes: tuple[str, ...]
    train: list[tuple[str, int]]
    test: list[tuple[str, int]]
    fingerprint: str


# --- Folders and names -----------------------------------------------------------------------------------------------


def counts(name: str) -> bool:
    """Whether a file or folder belongs to the user: it is neither hidden nor one that an operating system leaves."""
    return not name.startswith(".") and name.casefold() not in SYSTEM


def shown(path: str | Path) -> str:
    """A path in a form that can be printed, whatever bytes it has."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def relative(file: str | Path, path: Path) -> str:
    """A file's name below `path` as UTF-8 text, the same in every locale; InputError if it isn't UTF-8."""
    name = os.fspath(file)[len(os.path.join(path, "")) :]
    if not is_utf8(name):
        raise InputError(f"{shown(file)}: the name must be UTF-8; rename it")
    return os.fsencode(name).decode("utf-8")


def file_of(path: Path, name: str) -> Path:
    """The file that a listing of `path` calls `name`."""
    return path / os.fsdecode(name.encode("utf-8"))


def lineage(path: str | Path) -> set[str]:
    """A folder's real path and those of all folders around it."""
    real = Path(os.path.realpath(path))
    return {str(real), *(str(parent) for parent in real.parents)}


def folders_in(path: Path) -> list[Path]:
    """The folders below a folder that count, sorted by name as text, without links back to it or to one above it."""
    folders = (p for p in path.iterdir() if counts(p.name) and p.is_dir())
    return sorted(p for p in folders if os.path.realpath(p) not in lineage(path))


def pictures_in(folder: Path, around: set[str]) -> list[str]:
    """Paths of the pictures at any depth. Each real folder is entered once, and those in `around` never."""
    found, entered, waiting = [], set(around), [os.fspath(folder)]
    while waiting:
        place = waiting.pop()
        real = os.path.realpath(place)
        if real in entered:
            continue
        entered.add(real)
        inside = [os.path.join(place, name) for name in sorted(os.listdir(place)) if counts(name)]
        folders = {path: None for path in inside if os.path.isdir(path)}
        found += [path for path in inside if is_picture(path) and path not in folders]
        waiting += reversed(folders)  # the first by name is entered first
    return found


def class_folders(path: Path) -> dict[str, list[str]]:
    """Each class's pictures at any depth, as sorted names relative to `path`; InputError if it has none."""
    classes = {}
    for folder in folders_in(path):
        around = lineage(path) | lineage(Path(os.path.realpath(folder)).parent)
        names = sorted(relative(file, path) for file in pictures_in(folder, around))
        if not names:
            raise InputError(f"{folder}: no pictures inside ({' '.join(SUFFIXES)})")
        classes[relative(folder, path)] = names
    return {name: classes[name] for name in sorted(classes)}


def class_order(classes: Sequence[str]) -> str:
    """One line on the order of numbered classes where that isn't the order of their numbers; otherwise empty.

    Folder names are sorted as text, so that output 2 of a network for classes 0 to 11 stands for class 10.
    """
    by_number = sorted(
        classes,
        key=lambda name: [
            (int(p), "") if p.isdecimal() and p.isascii() else (-1, p) for p in re.split(r"([0-9]+)", name)
        ],
    )
    if list(classes) != sorted(classes) or list(classes) == by_number:
        return ""
    first = next(i for i, name in enumerate(classes) if name != by_number[i])
    start = max(0, first - 2)
    listed = [*(["…"] if start else []), *classes[start : start + 5], *(["…"] if len(classes) > start + 5 else [])]
    return f"classes in the order of their folders' names as text: {', '.join(listed)}"


# --- Layouts ---------------------------------------------------------------------------------------------------------


def parts_of(path: Path) -> tuple[Path | None, Path | None]:
    """The folders with the pictures to train on and to test on; (None, None) if PATH itself holds the classes.

    Names of parts may be upper or lower case. The first of HELD_OUT that exists is tested on; the others are ignored.
    InputError where folders might be parts or classes: a part beside other folders but not PATH/train beside one of
    HELD_OUT; PATH/train alone; a part that usually goes by another name (OTHER_PARTS) and might be the one to test on.
    """
    folders = folders_in(path)
    named = {folder.name.casefold(): folder for folder in folders}
    train, held_out = named.get("train"), next((named[part] for part in HELD_OUT if part in named), None)
    others = [folder for folder in folders if folder.name.casefold() not in HELD_OUT]
    unusual = [name for name in named if name in OTHER_PARTS]
    if len(named) == len(folders):  # otherwise two names differ only in case
        if train and held_out and ("test" in named or not unusual):
            return train, held_out
        if held_out and not others:
            return None, held_out
    if train or held_out or len(unusual) > 1:
        first = [folder for folder in folders if folder not in others] + others
        names = [*(shown(folder.name) for folder in first[:10]), *(["…"] if len(first) > 10 else [])]
        raise InputError(
            f"{path}: folders {', '.join(names)}: must be {LAYOUTS}; no class may have the name of a part "
            f"({', '.join(('train', *HELD_OUT))})"
        )
    return None, None


def list_folder(path: Path, memory: Path | None = None, progress: bool = False) -> Listing:
    """PATH/train and PATH/test with one folder per class; or PATH with these folders, split 80/20; or PATH/test alone.

    PATH/val, PATH/valid and PATH/validation stand in for a missing PATH/test (`parts_of`). With PATH/test alone there
    is nothing to train on, and every picture is tested. Classes are numbered in the order of their
    folders' names as text: 0, 1, 10, 11, 2. Hidden folders and those of operating systems don't count, nor does a link
    that leads back to a folder around it. memory: a file that keeps the pictures' hashes between calls. InputError, in
    the order of the checks: folders that might be classes or parts; names that aren't UTF-8; a class of fewer than 5
    pictures where they are split, which would have no test picture; fewer than 2 classes, 10 training pictures (if any)
    or 1 test picture.
    """
    train_folder, held_out = parts_of(path)
    train: list[Picture] = []
    if held_out:
        tested = class_folders(held_out)
        pictures = class_folders(train_folder) if train_folder else tested
        label = {name: i for i, name in enumerate(pictures)}
        for name in tested:
            one_of(f"class in {held_out}", name, label)
        if train_folder:
            train = [(f"{train_folder.name}/{p}", label[name]) for name in pictures for p in pictures[name]]
        test = [(f"{held_out.name}/{p}", label[name]) for name in tested for p in tested[name]]
        if not train_folder and len(pictures) < 2:
            raise InputError(f"{held_out}: must hold at least 2 folders of pictures, one per class")
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
    hashes = picture_hashes(path, [name for name, _ in [*train, *test]], memory, progress)
    digest = hashlib.sha256()
    for name, index in [*train, *test]:
        digest.update(f"{name}:{index}:{hashes[name]}\n".encode())
    return Listing(tuple(pictures), train, test, digest.hexdigest())


def read_folder(path: Path, listing: Listing, side: int) -> Content:
    """The pictures of a listing."""
    entries = ((name, file_of(path, name).read_bytes) for name, _ in [*listing.train, *listing.test])
    return read_pictures(path, entries, listing.classes, listing.train, listing.test, side)


# --- Hashes ----------------------------------------------------------------------------------------------------------


def picture_hashes(path: Path, names: Sequence[str], memory: Path | None, progress: bool) -> dict[str, str]:
    """sha256 of every file. memory: a JSON file of known hashes; only files that have changed are hashed again."""
    known = recalled(memory) if memory else {}
    now, marks = time.time_ns(), {name: mark_of(file_of(path, name)) for name in names}
    hashes = {name: known[name][-1] for name in names if known.get(name, [])[:-1] == marks[name]}
    unknown = [name for name in names if name not in hashes]
    if unknown:
        from tqdm import tqdm

        with (
            ThreadPoolExecutor(os.cpu_count()) as pool,
            tqdm(total=len(unknown), desc=f"hashing {shown(path.name)}", unit="picture", disable=not progress) as bar,
        ):
            for name, value in zip(
                unknown, pool.map(lambda name: file_hash(file_of(path, name)), unknown), strict=True
            ):
                hashes[name] = value
                bar.update()
    stable = {name: [*marks[name], hashes[name]] for name in names if max(marks[name][1:3]) < now - STABLE_AFTER}
    if memory and stable != known:
        # the file only saves time, and the disk may be read-only
        with suppress(InputError), atomic(memory) as temporary:
            temporary.write_text(json.dumps({"format": HASHES, "files": stable}) + "\n", encoding="utf-8")
    return hashes


def mark_of(file: Path) -> list[int]:
    """What changes when a file's content does: size, times of the last change in nanoseconds, inode."""
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def recalled(memory: Path) -> dict[str, list]:
    """What `picture_hashes` kept, as name to mark and hash; empty if there is no such file or it can't be read."""
    try:
        kept = json.loads(memory.read_text(encoding="utf-8"))
        files = kept["files"] if kept["format"] == HASHES else {}
        return {name: [*map(int, mark), str(value)] for name, (*mark, value) in files.items()}
    except (FileNotFoundError, KeyError, TypeError, ValueError, AttributeError):
        return {}
