"""Read a data set from an .npz file of square pictures that was prepared beforehand."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..files import file_hash
from ..registry import CIFAR10, Spec, stored_side
from .datasets import Dataset, Split, hold_out


def find_npz(name: str, root: Path, stored: int) -> Path | None:
    """NAME-STORED.npz in the data directory, else NAME.npz, else None: there may be one for each stored side."""
    paths = (root / f"{name}-{stored}.npz", root / f"{name}.npz")
    return next((path for path in paths if path.is_file()), None)


def from_npz(name: str, path: Path, spec: Spec, side: int) -> Dataset:
    """The data set in an .npz of x_train, x_test (uint8, N×H×H×3), y_train, y_test (whole numbers, N or N×1).

    Class names are its `classes` (text or bytes), those of CIFAR-10, or numbers. H must be the side at which every
    source stores pictures for a network of side `side` (`stored_side`): squares of another side would have to be
    cropped, which shows the network less of each picture, or resized a second time, which gives other pixels than the
    official archive does.
    """
    arrays = read_npz(path)
    for part in ("train", "test"):
        check_arrays(path, part, arrays[f"x_{part}"], arrays[f"y_{part}"])
        found, stored = arrays[f"x_{part}"].shape[1], stored_side(spec, side)
        if found != stored:
            raise InputError(
                f"{path}: x_{part} = pictures of side {found}: must be {stored} for a network of side {side}; prepare "
                f"them at that side as {name}-{stored}.npz, or remove this file so that the official archive is used"
            )
    if "classes" in arrays:
        names = arrays["classes"].ravel().tolist()
        classes = tuple(c.decode("utf-8", "replace") if isinstance(c, bytes) else str(c) for c in names)
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
    """The arrays of an .npz that make up a data set; InputError if the file is damaged or lacks one of them."""
    needed = ("x_train", "y_train", "x_test", "y_test")
    try:
        with zipfile.ZipFile(path) as file:
            held = {member.removesuffix(".npy") for member in file.namelist()}
        if missing := [key for key in needed if key not in held]:
            raise InputError(f"{path}: must hold {', '.join(needed)}; {missing[0]} is missing")
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in (*needed, "classes") if key in held}
        return arrays | {key: column(arrays[key]) for key in ("y_train", "y_test")}
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: damaged, or no .npz of plain arrays ({type(error).__name__})") from None


def column(labels: np.ndarray) -> np.ndarray:
    """Labels as they are kept here, N; Keras and others keep them N×1."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def check_arrays(path: Path, part: str, images: np.ndarray, labels: np.ndarray) -> None:
    """InputError unless one part of an .npz has the types and shapes that a data set needs."""
    shape = images.shape
    if images.dtype != np.uint8 or images.ndim != 4 or shape[3] != 3 or shape[1] != shape[2]:
        raise InputError(f"{path}: x_{part} = {images.dtype} {shape}: must be uint8, N×H×H×3")
    if labels.dtype.kind not in "iu" or labels.shape != shape[:1] or len(labels) < 10:
        raise InputError(
            f"{path}: y_{part} = {labels.dtype} {labels.shape}: must be whole numbers, as many as x_{part} has "
            f"pictures ({shape[0]}) and at least 10"
        )
