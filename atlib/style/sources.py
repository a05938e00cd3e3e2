"""Where styles come from: generated textures, a folder of paintings or one of the user's own."""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import data, textures
from ..errors import InputError, in_range, nearest
from ..files import data_dir, expanded, file_hash
from ..transforms import each

STYLE_SIDE = 256  # of style pictures, as both stylists expect them
SOURCES = ("generated", "paintings")  # those with a name of their own; any other is a folder
GENERATED = 60  # textures that are drawn
SMALLEST = 16  # pixels: a smaller picture has no texture to speak of


class Styles:
    """Pictures to take styles from: the source's name, a name for each picture, and the pictures, read on demand."""

    def __init__(self, source: str = "generated") -> None:
        """source: "generated" (atlib.textures), "paintings" (the folder ATLIB_STYLES, or styles/paintings in the data
        directory), or a folder. InputError if it is not there or holds no picture."""
        self.given, self.folder = source, None
        if source == "generated":
            self.names: list[str] = [f"generated-{number:03d}" for number in range(GENERATED)]
            return
        if not source:
            raise InputError(f"styles = '': must be {', '.join(SOURCES)} or a folder")
        if source != "paintings":
            folder = expanded("styles", source)
        elif chosen := os.environ.get("ATLIB_STYLES"):
            folder = expanded("ATLIB_STYLES", chosen)
        else:
            folder = data_dir() / "styles" / "paintings"
        if not folder.is_dir():
            if source == "paintings":
                raise InputError(f"styles = {source!r}: {folder}: no such folder; set ATLIB_STYLES to one of pictures")
            allowed = f"must be {', '.join(SOURCES)} or a folder{nearest(source, SOURCES)}"
            raise InputError(f"styles = {source!r}: no such folder; {allowed}")
        self.names = sorted(path.name for path in folder.iterdir() if data.is_picture(path.name))
        if not self.names:
            raise InputError(f"styles = {source!r}: {folder}: holds no picture ({', '.join(data.SUFFIXES)})")
        self.folder = folder

    @functools.cached_property
    def files_digest(self) -> str:
        """sha256 over the names and contents of the folder's pictures; empty for generated ones, which are atlib's.

        InputError if a file can't be read.
        """
        if self.folder is None:
            return ""
        digest = hashlib.sha256()
        for name in self.names:
            try:
                content = file_hash(self.folder / name)
            except OSError as error:
                raise InputError(f"{self.folder / name}: not readable ({error.strerror})") from None
            digest.update(os.fsencode(name) + b"\0" + bytes.fromhex(content))
        return digest.hexdigest()

    @property
    def source(self) -> str:
        """The source's part of a stylised set's name. For a user's folder it is NAME-HASH, with a hash of the pictures,
        so that another folder of that name, or the same one after a change, is another source, and none is mistaken for
        one of SOURCES.

        InputError as for `files_digest`.
        """
        if self.folder is None or self.given in SOURCES:
            return self.given
        # without a leading dot, which would hide the file, and short enough for any file system
        readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", self.folder.resolve().name).strip("-.")[:60]
        return f"{readable or 'folder'}-{self.files_digest[:8]}"

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, number: int) -> Tensor:
        """One of them as uint8, 3×256×256: short side resized, centre cropped. InputError if it can't be read."""
        if self.folder is None:
            return textures.picture(number)
        path = self.folder / self.names[number]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: not readable ({error.strerror})") from None
        square = data.square(content, STYLE_SIDE, str(path), least=SMALLEST)
        return torch.from_numpy(square.copy())


def choose(numbers: Sequence[int], styles: int, seed: int = 0) -> Tensor:
    """Which of `styles` styles each picture gets, int64, N: drawn from the seed and the picture's number."""
    in_range("styles", styles, 1, whole=True)
    return each(numbers, seed, lambda own: torch.randint(styles, (), generator=own))
