"""Data sets from tiny archives of the official layouts, damaged files, the cache, and augmentation."""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from atlib import _torchvision, data, evaluation, training
from atlib.configuration import resolve
from atlib.data import archives, folders, loading, prepared
from atlib.data.pictures import Content
from atlib.errors import InputError
from atlib.files import REPOSITORY, file_hash, read_json
from atlib.tensors import tensor_digest

RNG = np.random.default_rng(0)
Files = dict[str, bytes]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The data directory of the test; conftest points ATLIB_DATA at it."""
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def load(name: str, **arguments: object) -> data.Dataset:
    return data.load(name, progress=False, **arguments)  # type: ignore[arg-type]


def refused(call: Callable[[], object]) -> str:
    """The message of the InputError that the call must raise: one line."""
    with pytest.raises(InputError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def noise(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """A picture file. Pillow goes by content, so that a PNG may be called .jpg and keep its pixels exactly."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def tarred(files: Files, mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(files: Files) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def cifar10_archive() -> tuple[bytes, np.ndarray]:
    """CIFAR-10's binary layout with 20 training and 10 test records, and the records."""
    records = RNG.integers(0, 256, (30, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(30) % 10
    files = {f"cifar-10-batches-bin/data_batch_{i + 1}.bin": records[4 * i : 4 * i + 4].tobytes() for i in range(5)}
    files["cifar-10-batches-bin/test_batch.bin"] = records[20:].tobytes()
    files["cifar-10-batches-bin/batches.meta.txt"] = b"airplane\n"
    backwards = dict(reversed(files.items()))  # the order within an archive must not matter
    return tarred(backwards, "w:gz"), records


def caltech_pictures(top: str, classes: dict[str, int]) -> dict[str, np.ndarray]:
    """Pictures 40 wide and 32 high by their name in the archive; the last one first."""
    names = [f"{top}/{c}/image_{i + 1:04d}.jpg" for c, count in classes.items() for i in range(count)]
    return {name: noise(32, 40) for name in reversed(names)}


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a web server on this machine."""
    with HTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_port}"
        finally:
            http.shutdown()
            thread.join()


class Quiet(SimpleHTTPRequestHandler):
    """A folder's files; and what was asked of it."""

    asked: ClassVar[list[tuple[str, dict[str, str]]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers)))
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and its address on the web."""
    folder = tmp_path / "official"
    folder.mkdir()
    Quiet.asked.clear()
    with serving(functools.partial(Quiet, directory=str(folder))) as address:
        yield folder, address


Shelve = Callable[[str, bytes], Path]


@pytest.fixture
def official(shelf: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> Shelve:
    """Put `content` on the shelf as the official archive of `name`, with its address and md5."""

    def put(name: str, content: bytes) -> Path:
        spec = data.DATASETS[name]
        assert spec.archive is not None
        path = shelf[0] / spec.archive.file
        path.write_bytes(content)
        archive = spec.archive._replace(url=f"{shelf[1]}/{path.name}", md5=hashlib.md5(content).hexdigest())
        monkeypatch.setitem(data.DATASETS, name, spec._replace(archive=archive))
        return path

    return put


def together(dataset: data.Dataset) -> tuple[Tensor, Tensor]:
    """All pictures and labels that are not test pictures, in the order of the source."""
    kept, held = data.hold_out(len(dataset.train.labels) + len(dataset.holdout.labels))
    order = torch.cat([kept, held]).argsort()
    images = torch.cat([dataset.train.images, dataset.holdout.images])
    return images[order], torch.cat([dataset.train.labels, dataset.holdout.labels])[order]


def check_form(dataset: data.Dataset, stored: int) -> None:
    for split in (dataset.train, dataset.holdout, dataset.test):
        assert split.images.dtype == torch.uint8
        assert split.images.shape == (len(split.labels), 3, stored, stored)
        assert split.images.is_contiguous()
        assert split.labels.dtype == torch.int64
        assert split.labels.max() < len(dataset.classes)


# ---------------------------------------------------------------- official layouts


def test_cifar10(root: Path, official: Shelve) -> None:
    content, records = cifar10_archive()
    shelf = official("cifar10", content)
    dataset = load("cifar10")
    check_form(dataset, 32)
    assert dataset.classes == data.CIFAR10
    images, labels = together(dataset)
    expected = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32))
    assert torch.equal(images, expected[:20])
    assert labels.tolist() == records[:20, 0].tolist()
    assert torch.equal(dataset.test.images, expected[20:])
    assert dataset.test.labels.tolist() == records[20:, 0].tolist()
    assert len(dataset.holdout.labels) == 2
    assert (root / "cifar-10-binary.tar.gz").read_bytes() == content
    # Once prepared, neither the archive nor its address is needed.
    (root / "cifar-10-binary.tar.gz").unlink()
    shelf.unlink()
    assert torch.equal(together(load("cifar10"))[0], images)


def test_tiny_imagenet(root: Path, official: Shelve) -> None:
    top, wnids = "tiny-imagenet-200", ["n02", "n01", "n03"]
    pictures = {f"{top}/train/{w}/images/{w}_{i}.JPEG": noise(64, 64) for w in wnids for i in range(6)}
    pictures[f"{top}/train/n01/images/n01_0.JPEG"] = grey = noise(64, 64)[..., 0]
    pictures |= {f"{top}/val/images/val_{i}.JPEG": noise(64, 64) for i in range(4)}
    pictures |= {f"{top}/test/images/test_{i}.JPEG": noise(64, 64) for i in range(2)}
    files = {name: encoded(pixels) for name, pixels in pictures.items()}
    files[f"{top}/wnids.txt"] = "\n".join(wnids).encode()
    files[f"{top}/words.txt"] = b"n00\tnothing\nn01\tgoldfish, Carassius auratus\nn02\tbullfrog\n"
    notes = "".join(f"val_{i}.JPEG\t{w}\t0\t0\t62\t62\n" for i, w in enumerate(["n03", "n01", "n02", "n01"]))
    files[f"{top}/val/val_annotations.txt"] = notes.encode()
    files[f"{top}/train/n01/n01_boxes.txt"] = b"n01_0.JPEG\t0\t10\t63\t58\n"
    official("tiny-imagenet", zipped(files))
    dataset = load("tiny-imagenet", side=128)
    check_form(dataset, 64)
    assert (dataset.side, dataset.augmentation) == (128, "flip")
    assert dataset.classes == ("goldfish", "bullfrog", "n03")
    images, labels = together(dataset)
    assert labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert torch.equal(images[0], torch.from_numpy(grey).expand(3, 64, 64))
    assert torch.equal(images[7].permute(1, 2, 0), torch.from_numpy(pictures[f"{top}/train/n02/images/n02_1.JPEG"]))
    assert dataset.test.labels.tolist() == [2, 0, 1, 0]
    last = torch.from_numpy(pictures[f"{top}/val/images/val_3.JPEG"])
    assert torch.equal(dataset.test.images[3].permute(1, 2, 0), last)


def caltech256_archive() -> tuple[bytes, dict[str, np.ndarray]]:
    top = "256_ObjectCategories"
    pictures = caltech_pictures(top, {"001.ak47": 7, "002.american-flag": 10, "257.clutter": 12})
    files = {name: encoded(pixels) for name, pixels in pictures.items()}
    files[f"{top}/001.ak47/RENAME2"] = b"a stray file, as in the official archive"
    files[f"{top}/001.ak47/greg/inner.jpg"] = b"a stray folder, as in the official archive"
    return tarred(files, "w"), pictures


def caltech101_archive() -> tuple[bytes, dict[str, np.ndarray]]:
    top = "101_ObjectCategories"
    pictures = caltech_pictures(top, {"BACKGROUND_Google": 7, "accordion": 10, "yin_yang": 12})
    files = {name: encoded(pixels) for name, pixels in pictures.items()}
    files[f"{top}/BACKGROUND_Google/tmp"] = b"a stray file, as in the official archive"
    files[f"{top}/accordion/._image_0001.jpg"] = b"a Macintosh's shadow of a file"
    outer = {
        "caltech-101/Annotations.tar": b"",
        "__MACOSX/caltech-101/._101_ObjectCategories.tar.gz": b"shadow",
        "caltech-101/101_ObjectCategories.tar.gz": tarred(files, "w:gz"),
    }
    return zipped(outer), pictures


@pytest.mark.parametrize(
    ("name", "build", "classes"),
    [
        ("caltech256", caltech256_archive, ("ak47", "american-flag", "clutter")),
        ("caltech101", caltech101_archive, ("BACKGROUND_Google", "accordion", "yin_yang")),
    ],
)
def test_caltech(root: Path, official: Shelve, name: str, build: Callable, classes: tuple[str, ...]) -> None:
    content, pictures = build()
    official(name, content)
    dataset = load(name, side=28)  # stored at 28·256/224 = 32: only cropped, so that pixels can be compared
    check_form(dataset, 32)
    assert dataset.classes == classes
    train_images, train_labels = together(dataset)
    assert train_labels.bincount().tolist() == [6, 8, 10]
    assert dataset.test.labels.bincount().tolist() == [1, 2, 2]  # int(0.2·n), as in the paper's code
    stored = {image.numpy().tobytes() for image in torch.cat([train_images, dataset.test.images])}
    assert stored == {p[:, 4:36].transpose(2, 0, 1).tobytes() for p in pictures.values()}
    assert any("square" in line for line in dataset.deviations)


def test_class_split_is_fixed_and_belongs_to_its_class() -> None:
    names = {c: [f"{c}{i}" for i in range(n)] for c, n in {"a": 12, "b": 30}.items()}
    train, test = data.split_classes(names)
    assert not set(train) & set(test)
    assert sorted(train + test) == sorted((n, label) for label, c in enumerate(names) for n in names[c])
    assert (train, test) == data.split_classes(names)
    alone = data.split_classes({"b": names["b"]})[1]
    assert [name for name, _ in alone] == [name for name, label in test if label == 1]


@pytest.mark.parametrize("size", [(300, 500), (500, 300), (257, 256), (64, 999), (100, 100), (960, 60)])
def test_square_is_torchvisions_resize_and_centre_crop(size: tuple[int, int]) -> None:
    pixels = noise(*size)
    transforms = _torchvision.torchvision.transforms
    transform = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(256)])
    expected = np.asarray(transform(Image.fromarray(pixels))).transpose(2, 0, 1)
    np.testing.assert_array_equal(data.square(encoded(pixels), 256, "x"), expected)


@pytest.mark.parametrize("size", [(1, 60_000), (60_001, 2)])
def test_a_strip_is_not_enlarged_as_a_whole(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]) -> None:
    resize = Image.Image.resize

    def checked(image: Image.Image, asked: tuple[int, int], *arguments: Any) -> Image.Image:
        assert max(asked) <= 18 * 224  # before any of it is allocated: as a whole it would be 12 GB
        return resize(image, asked, *arguments)

    monkeypatch.setattr(Image.Image, "resize", checked)
    bright = np.zeros((*size, 3), np.uint8)
    middle = tuple(slice((length - 1) // 2, length // 2 + 1) for length in size)  # of an even length both
    bright[middle] = 255
    found = data.square(encoded(bright), 224, "x").astype(float)
    assert found.shape == (3, 224, 224) and found.max() > 250
    for axis in (1, 2):  # what was in the middle still is
        np.testing.assert_allclose(found, np.flip(found, axis), rtol=0, atol=3)


@pytest.mark.parametrize("size", [(20, 333), (334, 20), (7, 400), (400, 7)])
def test_a_strips_middle_is_that_of_the_whole_strip_resized(size: tuple[int, int]) -> None:
    pixels = np.asarray(Image.fromarray(noise(*(max(1, n // 10) for n in size))).resize(size[::-1]))  # smooth
    transforms = _torchvision.torchvision.transforms
    transform = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64)])
    expected = np.asarray(transform(Image.fromarray(pixels))).transpose(2, 0, 1)
    found = data.square(encoded(pixels), 64, "x")
    assert np.abs(found.astype(int) - expected).mean() < 4  # at most a pixel apart, by rounding


def test_alpha_and_exif_orientation_are_ignored() -> None:
    pixels = noise(32, 32)
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    clear = Image.fromarray(np.concatenate([pixels, np.zeros((32, 32, 1), np.uint8)], 2))
    clear.save(stream, "PNG", exif=exif)
    np.testing.assert_array_equal(data.square(stream.getvalue(), 32, "x"), pixels.transpose(2, 0, 1))


# ---------------------------------------------------------------- checks, hold-out


def test_shapes_takes_its_parameters() -> None:
    dataset = load("shapes", train_count=40, test_count=20, conflict_count=90, amplitude=0.2)
    check_form(dataset, 32)
    assert (len(dataset.train.labels), len(dataset.holdout.labels), len(dataset.test.labels)) == (36, 4, 20)
    assert dataset.conflict is not None
    assert (dataset.conflict.labels != dataset.conflict.textures).all()
    assert (dataset.augmentation, dataset.side) == ("none", 32)


def test_generated_source_tells_pictures_apart() -> None:
    small = {"train_count": 20, "test_count": 10, "conflict_count": 10}
    once, again, other = (load("shapes", **small, data_seed=seed).source for seed in (0, 0, 1))
    assert once.startswith("generated sha256 ")
    assert once == again != other


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("cifar11", {}, "dataset = 'cifar11': must be one of shapes, cifar10,"),
        ("cifar11", {}, "did you mean 'cifar10'?"),
        (10, {}, "dataset = 10"),
        ("folder:", {}, "dataset = 'folder:'"),
        ("folder:/no/such", {}, "dataset = 'folder:/no/such'"),
        ("cifar10", {"side": 64}, "side = 64"),
        ("tiny-imagenet", {"side": 32}, "side = 32"),
        ("caltech256", {"side": 224.0}, "side = 224.0"),
        ("cifar10", {"amplitude": 0.1}, "amplitude = 0.1"),
        ("shapes", {"amplitud": 0.1}, "did you mean 'amplitude'?"),
        ("shapes", {"amplitude": -1}, "amplitude = -1"),
    ],
)
def test_bad_arguments(name: str, arguments: dict, told: str) -> None:
    assert told in refused(lambda: load(name, **arguments))


@given(st.integers(10, 3000))
def test_hold_out_is_disjoint_sorted_and_complete(count: int) -> None:
    kept, held = data.hold_out(count)
    assert len(held) == count // 10
    assert torch.equal(torch.cat([kept, held]).sort().values, torch.arange(count))
    assert torch.equal(kept, kept.sort().values)
    assert torch.equal(held, held.sort().values)


def test_hold_out_never_changes() -> None:
    """Results of one data set are compared across versions: the pictures left out must stay the same ones."""
    kept, held = data.hold_out(50_000)
    assert (len(kept), len(held)) == (45_000, 5000)
    assert data.hold_out(20)[1].tolist() == [4, 5]
    assert held[:5].tolist() == [1, 11, 23, 39, 44]


def test_slug_is_a_file_name(tmp_path: Path) -> None:
    assert data.slug("cifar10") == "cifar10"
    one, other = (data.slug(f"folder:{tmp_path}/{part}/my cats") for part in "ab")
    assert one.startswith("folder-my-cats-")
    assert one != other
    assert "/" not in one


# ---------------------------------------------------------------- NAME.npz


def arrays(**changed: object) -> dict[str, np.ndarray]:
    usual: dict = {
        "x_train": RNG.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8),
        "y_train": np.arange(20) % 10,
        "x_test": RNG.integers(0, 256, (10, 32, 32, 3), dtype=np.uint8),
        "y_test": np.arange(10, dtype=np.uint8),
    }
    return {key: value for key, value in (usual | changed).items() if value is not None}


def test_npz_is_a_source(root: Path) -> None:
    given_arrays = arrays(lossless_train=np.ones(20, dtype=bool))
    np.savez(root / "cifar10.npz", **given_arrays)  # type: ignore[arg-type]
    dataset = load("cifar10")
    check_form(dataset, 32)
    images, labels = together(dataset)
    np.testing.assert_array_equal(images.permute(0, 2, 3, 1), given_arrays["x_train"])
    assert labels.tolist() == given_arrays["y_train"].tolist()
    np.testing.assert_array_equal(dataset.test.images.permute(0, 2, 3, 1), given_arrays["x_test"])
    assert dataset.classes == data.CIFAR10
    assert dataset.source.startswith("cifar10.npz sha256 ")


def photographs() -> dict[str, bytes]:
    """JPEG files of Caltech-101's form, of many shapes, smaller and larger than what is stored."""
    files = {}
    for number, (name, count) in enumerate({"BACKGROUND_Google": 18, "accordion": 21, "yin_yang": 24}.items()):
        for i in range(count):
            pixels = Image.fromarray(noise(9, 12)).resize((60 + 15 * i, 190 - 5 * i - number), Image.Resampling.BICUBIC)
            pixels = pixels.convert("L") if i == 3 else pixels
            files[f"101_ObjectCategories/{name}/image_{i + 1:04d}.jpg"] = encoded(np.asarray(pixels), "JPEG")
    return files


def as_npz(files: dict[str, bytes], stored: int, path: Path) -> None:
    """What the published .npz was made by: every picture as a square of the stored side, split class by class."""
    pictures: dict[str, list[str]] = {}
    for name in sorted(files):
        pictures.setdefault(name.split("/")[1], []).append(name)
    split: dict[str, Any] = {}
    for part, chosen in zip(("train", "test"), data.split_classes(pictures), strict=True):
        squares = [data.square(files[name], stored, name).transpose(1, 2, 0) for name, _ in chosen]
        split |= {f"x_{part}": np.stack(squares), f"y_{part}": np.array([label for _, label in chosen])}
    np.savez(path, classes=np.array(list(pictures)), **split)


@pytest.mark.parametrize(("side", "stored"), [(112, 128), (64, 73)])
def test_archive_and_npz_give_a_network_the_same_pictures(
    root: Path, tmp_path: Path, official: Shelve, side: int, stored: int
) -> None:
    files = photographs()
    official("caltech101", zipped({"caltech-101/101_ObjectCategories.tar.gz": tarred(files, "w:gz")}))
    archived = load("caltech101", side=side)
    check_form(archived, stored)
    (tmp_path / "other").mkdir()
    as_npz(files, stored, tmp_path / "other" / "caltech101.npz")
    given = load("caltech101", side=side, root=tmp_path / "other")
    assert archived.classes == given.classes == ("BACKGROUND_Google", "accordion", "yin_yang")
    for one, other in zip(
        (archived.train, archived.holdout, archived.test), (given.train, given.holdout, given.test), strict=True
    ):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


def test_a_picture_is_shrunk_for_a_smaller_network_and_not_cropped(root: Path) -> None:
    """A bright frame 20 pixels wide around 128: of a network of 64 it fills the same part as of one of 112."""
    pixels = np.zeros((128, 128, 3), np.uint8)
    pixels[:20] = pixels[-20:] = pixels[:, :20] = pixels[:, -20:] = 255
    files = {f"101_ObjectCategories/{name}/{i:02d}.jpg": encoded(pixels) for name in "ab" for i in range(25)}
    shares = []
    for side, stored in ((112, 128), (64, 73)):
        as_npz(files, stored, root / f"caltech101-{stored}.npz")
        shares.append(data.prepare(load("caltech101", side=side).test.images, side).mean().item())
    assert shares[0] == pytest.approx(1 - 88**2 / 112**2, abs=1e-6)
    assert shares[1] == pytest.approx(shares[0], abs=0.02)


def test_squares_of_another_side_are_refused(root: Path) -> None:
    """An .npz of squares of 128 was cropped to its middle quarter for a network of 64."""
    as_npz(photographs(), 128, root / "caltech101.npz")
    assert refused(lambda: load("caltech101", side=64)) == (
        f"{root / 'caltech101.npz'}: x_train = pictures of side 128: must be 73 for a network of side 64; prepare them "
        "at that side as caltech101-73.npz, or remove this file so that the official archive is used"
    )
    assert "must be 256 for a network of side 224" in refused(lambda: load("caltech101"))
    assert load("caltech101", side=112).source.startswith("caltech101.npz sha256 ")
    as_npz(photographs(), 73, root / "caltech101-73.npz")
    assert load("caltech101", side=64).source.startswith("caltech101-73.npz sha256 ")
    assert load("caltech101", side=112).source.startswith("caltech101.npz sha256 ")
    as_npz(photographs(), 73, root / "caltech101-128.npz")
    assert "caltech101-128.npz: x_train = pictures of side 73: must be 128" in refused(
        lambda: load("caltech101", side=112)
    )


def test_small_pictures_are_refused_as_tiny_imagenet(root: Path) -> None:
    """They were enlarged, unlike those of the official archive, whose side is 64."""
    np.savez(root / "tiny-imagenet.npz", **arrays())  # type: ignore[arg-type]
    assert "pictures of side 32: must be 64 for a network of side 224" in refused(
        lambda: load("tiny-imagenet", side=224)
    )


def test_at_hand_looks_for_the_stored_side(root: Path) -> None:
    assert data.at_hand("shapes") and not data.at_hand("caltech101", side=64)
    (root / "caltech101-73.npz").write_bytes(b"")
    assert data.at_hand("caltech101", side=64)
    assert not data.at_hand("caltech101", side=112) and not data.at_hand("caltech101")
    about = root / "prepared" / "caltech101-128" / "about.json"
    about.parent.mkdir(parents=True)
    about.touch()
    assert data.at_hand("caltech101", side=112)  # prepared by an earlier call
    about.unlink()
    (root / "caltech101.npz").write_bytes(b"")
    assert data.at_hand("caltech101")
    assert "side = 8" in refused(lambda: data.at_hand("caltech101", side=8))


def test_npz_names_its_classes(root: Path) -> None:
    np.savez(root / "caltech101.npz", **arrays(classes=np.array([f"class {i}" for i in range(10)])))  # type: ignore[arg-type]
    assert load("caltech101", side=28).classes[3] == "class 3"
    np.savez(root / "caltech101.npz", **arrays())  # type: ignore[arg-type]
    assert load("caltech101", side=28).classes[3] == "3"
    np.savez(root / "caltech101.npz", **arrays(classes=np.array([f"é {i}".encode() for i in range(10)])))  # type: ignore[arg-type]
    assert load("caltech101", side=28).classes[3] == "é 3"  # not "b'\\xc3…'"


def test_labels_of_an_npz_may_be_a_column(root: Path) -> None:
    """As Keras keeps them."""
    np.savez(root / "cifar10.npz", **arrays(y_train=np.arange(20)[:, None] % 10, y_test=np.arange(10)[:, None]))  # type: ignore[arg-type]
    assert load("cifar10").test.labels.tolist() == [*range(10)]


def test_published_rows_of_caltech101_at_side_112_are_of_the_same_pictures() -> None:
    records = [read_json(path) for path in (REPOSITORY / "results" / "caltech101").glob("*.json")]
    digests = {one["evaluation"]["pictures"] for one in records if one["config"]["side"] == 112}
    assert digests == {"a68aeed557a8a4872944e7caa420da5dab02870f10083d6eb245217be70ba338"}


def test_squares_of_128_reach_a_network_of_112_uncut_but_for_their_margin(root: Path) -> None:
    numbers = np.arange(30 * 128 * 128 * 3, dtype=np.uint32)
    pixels = (numbers * 2654435761 >> 13).astype(np.uint8).reshape(30, 128, 128, 3)
    labels = np.arange(30) % 3
    split = {"x_train": pixels[:20], "y_train": labels[:20], "x_test": pixels[20:], "y_test": labels[20:]}
    np.savez(root / "caltech101.npz", **split)  # type: ignore[arg-type]
    dataset = load("caltech101", side=112)
    check_form(dataset, 128)
    np.testing.assert_array_equal(dataset.test.images.permute(0, 2, 3, 1), pixels[20:])
    shown = (data.prepare(dataset.test.images, 112) * 255).round().to(torch.uint8)
    np.testing.assert_array_equal(shown.permute(0, 2, 3, 1), pixels[20:, 8:120, 8:120])
    digest = tensor_digest({"images": dataset.test.images, "shown": shown.contiguous()})
    assert digest == "a37c384472f33cde3054fb1f8052e272f3450f6d956d12d010bd3a64b658d958"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"y_test": None}, "y_test is missing"),
        ({"x_train": np.zeros((20, 32, 32, 3))}, "x_train = float64 (20, 32, 32, 3)"),
        ({"x_train": np.zeros((20, 3, 32, 32), np.uint8)}, "x_train = uint8 (20, 3, 32, 32)"),
        ({"x_test": np.zeros((10, 64, 64, 3), np.uint8)}, "x_test = pictures of side 64"),
        ({"y_train": np.arange(20) / 10}, "y_train = float64"),
        ({"y_train": np.array(list("abcdefghijklmnopqrst"))}, "y_train = <U1"),
        ({"y_train": np.arange(19)}, "y_train = int64 (19,)"),
        ({"y_train": np.zeros((20, 2), int)}, "y_train = int64 (20, 2)"),
        ({"y_train": np.arange(20)}, "y_train = 0 to 19"),
        ({"y_test": np.arange(10) - 1}, "y_test = -1 to 8"),
        ({"y_test": np.arange(10).astype(object)}, "damaged, or no .npz"),
        ({"x_test": np.zeros((0, 32, 32, 3), np.uint8), "y_test": np.zeros(0, int)}, "at least 10"),
        ({"classes": np.array(["a", "b"])}, "must lie in 0 to 1"),
    ],
)
def test_bad_npz(root: Path, changed: dict, told: str) -> None:
    np.savez(root / "cifar10.npz", **arrays(**changed))  # type: ignore[arg-type]
    message = refused(lambda: load("cifar10"))
    assert told in message
    assert str(root / "cifar10.npz") in message


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_damaged_npz(root: Path, save: Callable) -> None:
    path = root / "cifar10.npz"
    save(path, **arrays())
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    for content in (whole[: len(whole) // 2], bytes(flipped), b"", b"nothing"):
        path.write_bytes(content)
        assert str(path) in refused(lambda: load("cifar10"))


# ---------------------------------------------------------------- downloads


@pytest.fixture
def archive(root: Path, official: Shelve) -> Path:
    """The official archive of a tiny CIFAR-10, on its shelf."""
    return official("cifar10", cifar10_archive()[0])


def test_no_network_says_which_file_to_put_where(root: Path) -> None:
    for name, spec in data.DATASETS.items():
        if spec.archive:
            message = refused(lambda name=name: load(name))  # type: ignore[misc]
            assert f"dataset = '{name}'" in message
            assert spec.archive.url in message
            assert str(root / spec.archive.file) in message
    assert list(root.iterdir()) == []


def test_truncated_archive_in_the_data_directory(root: Path, archive: Path) -> None:
    placed = root / "cifar-10-binary.tar.gz"
    placed.write_bytes(archive.read_bytes()[:-100])
    message = refused(lambda: load("cifar10"))
    assert str(placed) in message
    assert "md5" in message
    assert placed.stat().st_size == archive.stat().st_size - 100  # the user's file is left alone
    placed.write_bytes(archive.read_bytes())
    assert len(load("cifar10").test.labels) == 10


def test_wrong_checksum_of_a_download(root: Path, archive: Path) -> None:
    content = bytearray(archive.read_bytes())
    content[50] ^= 1
    archive.write_bytes(bytes(content))
    message = refused(lambda: load("cifar10"))
    assert "md5" in message
    assert str(root / "cifar-10-binary.tar.gz") in message
    assert list(root.iterdir()) == []


def test_a_download_says_nothing_and_asks_for_one_thing(
    root: Path, archive: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No log of pooch's, no address but the archive's, bytes as they are; and who may read the folder may read it."""
    root.chmod(0o755)
    load("cifar10")
    assert capfd.readouterr() == ("", "")
    ((path, headers),) = Quiet.asked
    assert path == f"/{archive.name}"
    assert (headers["Accept-Encoding"], headers["User-Agent"]) == ("identity", "atlib")
    assert (root / archive.name).stat().st_mode & 0o777 == 0o644
    assert sorted(p.name for p in root.iterdir()) == [archive.name, "prepared"]


def test_a_download_shows_its_progress(root: Path, archive: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data.load("cifar10")
    told = capfd.readouterr().err
    assert "100%" in told and "preparing cifar10-32" in told


def test_an_interrupted_download_leaves_nothing(root: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopping(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pooch.core.hash_matches", stopping)  # when all bytes have come
    with pytest.raises(KeyboardInterrupt):
        load("cifar10")
    assert list(root.iterdir()) == []


HEAVY = ("pooch", "requests", "matplotlib", "pandas", "scipy", "papermill", "IPython")


def test_importing_takes_nothing_heavy() -> None:
    code = f"import sys; from atlib import data; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr


class Breaking(BaseHTTPRequestHandler):
    """A server that promises more than it sends, or knows nothing."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/short" else 404)
        self.send_header("Content-Length", "1000" if self.path == "/short" else "0")
        self.end_headers()
        if self.path == "/short":
            self.wfile.write(b"x" * 400)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with serving(Breaking) as address:
        yield address


@pytest.mark.parametrize(("path", "told"), [("/short", "400 bytes read, 600 more expected"), ("/none", "Not Found")])
def test_broken_download(
    root: Path, monkeypatch: pytest.MonkeyPatch, archive: Path, server: str, path: str, told: str
) -> None:
    spec = data.DATASETS["cifar10"]
    assert spec.archive is not None
    moved = spec.archive._replace(url=server + path)
    monkeypatch.setitem(data.DATASETS, "cifar10", spec._replace(archive=moved))
    assert told in refused(lambda: load("cifar10"))
    assert list(root.iterdir()) == []


# ---------------------------------------------------------------- prepared cache


def cache_of(root: Path) -> Path:
    (cache,) = (root / "prepared").iterdir()
    return cache


def test_prepared_once(root: Path, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    images = together(load("cifar10"))[0].clone()
    monkeypatch.setattr(loading, "READERS", {})
    assert torch.equal(together(load("cifar10"))[0], images)


def test_a_cache_of_the_first_format_goes_when_its_successor_is_there(root: Path, archive: Path) -> None:
    (root / "prepared").mkdir()
    for name in ("cifar10-32", "caltech101-73"):
        (root / "prepared" / f"{name}.safetensors").write_bytes(b"")
    load("cifar10")
    assert {path.name for path in (root / "prepared").iterdir()} == {"cifar10-32", "caltech101-73.safetensors"}


def test_cache_survives_nothing_half_done(root: Path, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    """Stopped after the first pictures: no cache, no temporary file, and the next call does the whole work."""
    read = archives.READERS["cifar10"]

    def stopping(path: Path, side: int) -> Content:
        content = read(path, side)
        ((positions, pictures),) = content.blocks

        def blocks() -> Iterator[tuple[list[int], np.ndarray]]:
            yield positions[:7], pictures[:7]
            raise KeyboardInterrupt

        return content._replace(blocks=blocks())

    monkeypatch.setitem(archives.READERS, "cifar10", stopping)
    with pytest.raises(KeyboardInterrupt):
        load("cifar10")
    assert list((root / "prepared").iterdir()) == []
    monkeypatch.setitem(archives.READERS, "cifar10", read)
    assert len(load("cifar10").test.labels) == 10


def test_missing_pictures_are_noticed(root: Path, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    read = archives.READERS["cifar10"]

    def lacking(path: Path, side: int) -> Content:
        content = read(path, side)
        ((positions, pictures),) = content.blocks
        return content._replace(blocks=[(positions[:-1], pictures[:-1])])

    monkeypatch.setitem(archives.READERS, "cifar10", lacking)
    assert "1 of 30 pictures are missing" in refused(lambda: load("cifar10"))


def flip(content: bytes, place: int) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


def damaged(root: Path, file: str, damage: Callable[[bytes], bytes]) -> bytes:
    """Damage a file of the cache; its content before. Not written over: tensors may be mapped from it."""
    path = cache_of(root) / file
    whole = path.read_bytes()
    assert damage(whole) != whole
    path.unlink()
    path.write_bytes(damage(whole))
    return whole


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("images.npy", lambda whole: whole[:-1]),
        ("images.npy", lambda whole: whole[:100]),
        ("images.npy", lambda whole: b""),
        ("images.npy", lambda whole: whole + b"x"),
        ("images.npy", lambda whole: flip(whole, -1)),  # a picture
        ("images.npy", lambda whole: whole.replace(b"(30, 3, 32, 32)", b"(30, 3, 31, 32)")),
        ("images.npy", lambda whole: whole.replace(b"'|u1'", b"'|i1'")),
        ("about.json", lambda whole: whole[:-9]),
        ("about.json", lambda whole: b""),
        ("about.json", lambda whole: b"[]"),
        ("about.json", lambda whole: b"\xff" + whole),
        ("about.json", lambda whole: whole.replace(b'"labels": [', b'"labels": [7, ')),
        ("about.json", lambda whole: re.sub(rb'("labels": \[\d), \d', rb"\1, 9", whole)),  # another label
        ("about.json", lambda whole: whole.replace(b"airplane", b"airplans")),
    ],
)
def test_damaged_cache_is_prepared_again(
    root: Path, archive: Path, file: str, damage: Callable[[bytes], bytes]
) -> None:
    images = together(load("cifar10"))[0].clone()
    whole = damaged(root, file, damage)
    with pytest.warns(UserWarning, match="damaged"):
        dataset = load("cifar10")
    assert torch.equal(together(dataset)[0], images)
    assert dataset.classes == data.CIFAR10
    assert (cache_of(root) / file).read_bytes() == whole


@pytest.mark.parametrize("file", ["images.npy", "about.json"])
def test_half_a_cache_is_prepared_again(root: Path, archive: Path, file: str) -> None:
    load("cifar10")
    (cache_of(root) / file).unlink()
    with pytest.warns(UserWarning, match="damaged"):
        assert len(load("cifar10").test.labels) == 10


def test_what_is_written_to_loaded_pictures_stays_in_memory(root: Path, archive: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # torch's, of an array that can't be written
        dataset = load("cifar10")
    before = dataset.test.images.clone()
    dataset.test.images.zero_()
    assert torch.equal(load("cifar10").test.images, before)


def test_two_processes_that_prepare_at_once_both_get_a_whole_cache(tmp_path: Path) -> None:
    """The second to finish finds the first's cache in its place and either may stay; nothing else is left."""
    path = tmp_path / "cifar10-32"
    with prepared.whole_folder(path) as one, prepared.whole_folder(path) as other:
        assert one != other
        (one / "images.npy").write_bytes(b"one")
        (other / "images.npy").write_bytes(b"other")
    assert [p.name for p in tmp_path.iterdir()] == ["cifar10-32"]
    assert (path / "images.npy").read_bytes() == b"one"


def test_what_a_killed_process_left_is_removed_and_what_another_is_making_stays(tmp_path: Path) -> None:
    path, left = tmp_path / "cifar10-32", tmp_path / ".cifar10-32.0123abcd.tmp"
    left.mkdir()
    (left / "lock").touch()
    with prepared.whole_folder(path) as one:
        assert not left.exists()
        with prepared.whole_folder(path):
            assert one.is_dir()
    assert [p.name for p in tmp_path.iterdir()] == ["cifar10-32"] and not list(path.iterdir())


def test_a_cache_that_a_killed_process_was_replacing_is_removed(tmp_path: Path) -> None:
    """Of Caltech-256 it has 6 GB."""
    (tmp_path / ".cifar10-32.0123abcd.old").mkdir()
    with prepared.whole_folder(tmp_path / "cifar10-32"):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["cifar10-32"]


def test_a_cache_that_is_replaced_while_it_is_read_is_read_once_more(
    root: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []
    read = loading.read_cache

    def hasty(*given: Any) -> prepared.Prepared | None:
        found.append(read(*given) if len(found) in (0, 2) else None)  # missing; then another process's comes
        return found[-1]  # type: ignore[return-value]

    monkeypatch.setattr(loading, "read_cache", hasty)
    assert len(load("cifar10").test.labels) and len(found) == 3


def test_damaged_cache_without_a_source(root: Path, archive: Path) -> None:
    load("cifar10")
    damaged(root, "images.npy", lambda whole: whole[:-1])
    archive.unlink()
    (root / "cifar-10-binary.tar.gz").unlink()
    with pytest.warns(UserWarning, match="damaged"):
        assert "put it at" in refused(lambda: load("cifar10"))


def test_large_cache_cut_short(root: Path, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    """Beyond VERIFIED bytes nobody reads the whole file at every load, but its length is checked."""
    monkeypatch.setattr(prepared, "VERIFIED", 0)
    load("cifar10")
    damaged(root, "images.npy", lambda whole: whole[:-1])
    with pytest.warns(UserWarning, match="damaged"):
        assert len(load("cifar10").test.labels) == 10


def test_cache_of_another_source_or_format_is_outdated(
    root: Path, monkeypatch: pytest.MonkeyPatch, archive: Path, official: Shelve
) -> None:
    load("cifar10")
    content, records = cifar10_archive()
    official("cifar10", content)
    (root / "cifar-10-binary.tar.gz").unlink()
    images = together(load("cifar10"))[0]
    assert torch.equal(images, torch.from_numpy(records[:20, 1:].reshape(-1, 3, 32, 32)))
    before = (cache_of(root) / "about.json").read_bytes()
    monkeypatch.setattr(prepared, "FORMAT", prepared.FORMAT + 1)
    load("cifar10")
    assert (cache_of(root) / "about.json").read_bytes() != before


def test_no_space(root: Path, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    usage = prepared.shutil.disk_usage(root)
    monkeypatch.setattr(prepared.shutil, "disk_usage", lambda _: usage._replace(free=0))
    assert "0.0 GB free" in refused(lambda: load("cifar10"))


def test_data_directory_that_is_a_file(tmp_path: Path, archive: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused(lambda: load("cifar10", root=tmp_path / "file"))


# ---------------------------------------------------------------- folder:PATH


def fill(path: Path, names: list[str], count: int) -> None:
    for name in names:
        (path / name / "deeper").mkdir(parents=True)
        for i in range(count):
            place = path / name / ("deeper" if i == 0 else ".") / f"{i}.png"
            place.write_bytes(encoded(noise(24, 24 + i)))


def test_folder_with_a_split(tmp_path: Path) -> None:
    fill(tmp_path / "own" / "train", ["cat", "dog"], 10)
    fill(tmp_path / "own" / "val", ["dog"], 3)
    (tmp_path / "own" / "train" / "cat" / "notes.txt").write_text("no picture")
    dataset = load(f"folder:{tmp_path / 'own'}", side=21)
    check_form(dataset, 24)
    assert dataset.classes == ("cat", "dog")
    assert dataset.test.labels.tolist() == [1, 1, 1]
    assert together(dataset)[1].bincount().tolist() == [10, 10]


def test_folder_with_test_pictures_alone(tmp_path: Path) -> None:
    fill(tmp_path / "own" / "test", ["cat", "dog"], 3)
    dataset = load(f"folder:{tmp_path / 'own'}", side=21)
    assert dataset.classes == ("cat", "dog") and dataset.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(dataset.train.labels) == len(dataset.holdout.labels) == 0
    with pytest.raises(
        InputError, match=r"^dataset = 'folder:.*': has no pictures to train on; put them at PATH/train"
    ):
        training.train(resolve(dataset=f"folder:{tmp_path / 'own'}", side=21, width=4), progress=False)
    fill(tmp_path / "one" / "val", ["cat"], 3)
    with pytest.raises(InputError, match=r"one/val: must hold at least 2 folders of pictures, one per class$"):
        load(f"folder:{tmp_path / 'one'}", side=21)


def test_folder_with_test_and_val_but_no_train(tmp_path: Path) -> None:
    own = tmp_path / "own"
    fill(own / "test", ["cat", "dog"], 3)
    fill(own / "val", ["cat", "dog", "eel"], 5)
    (own / ".cache").mkdir()
    (own / "notes.txt").write_text("no folder")
    listing = data.list_folder(own)
    assert listing.classes == ("cat", "dog") and listing.train == []
    assert len(listing.test) == 6 and all(name.startswith("test/") for name, _ in listing.test)


@pytest.mark.parametrize("parts", [("test",), ("val",), ("test", "val")])
def test_folder_with_test_pictures_beside_others_but_no_train(tmp_path: Path, parts: tuple[str, ...]) -> None:
    own = tmp_path / "own"
    for name in (*parts, "styles", "dog"):
        fill(own / name, ["cat", "dog"], 10)
    assert refused(lambda: load(f"folder:{own}", side=21)) == (
        f"{own}: folders {', '.join(parts)}, dog, styles: must be PATH/CLASS/PICTURE, PATH/train/CLASS/PICTURE beside "
        "PATH/test/CLASS/PICTURE (or PATH/val, PATH/valid, PATH/validation), or the latter alone; no class may have "
        "the name of a part (train, test, val, valid, validation)"
    )
    for i in range(1000):
        (own / f"n{i}").mkdir()
    assert len(refused(lambda: load(f"folder:{own}", side=21))) < 450 + len(str(own))


def test_folder_without_a_split_follows_its_files(tmp_path: Path, root: Path) -> None:
    own = tmp_path / "own"
    fill(own, ["cat", "dog", "dev"], 10)  # a class may be called "dev"
    name = f"folder:{own}"
    dataset = load(name, side=21)
    assert dataset.classes == ("cat", "dev", "dog")
    assert dataset.test.labels.bincount().tolist() == [2, 2, 2]
    (own / "cat" / "new.png").write_bytes(encoded(noise(24, 24)))
    assert len(together(load(name, side=21))[1]) == 25
    assert len([path for path in (root / "prepared").iterdir() if path.is_dir()]) == 1
    content = encoded(np.full((24, 24, 3), 7, np.uint8))
    for file in own.rglob("*.png"):  # other content under old names
        file.write_bytes(content)
    assert (load(name, side=21).train.images == 7).all()


@pytest.mark.parametrize("held_out", ["val", "valid", "Validation", "Test", "TEST"])
def test_usual_names_of_the_parts(tmp_path: Path, held_out: str) -> None:
    own = tmp_path / "own"
    fill(own / "Train", ["cat", "dog"], 10)
    fill(own / held_out, ["cat", "dog"], 3)
    (own / "notes").mkdir()
    listing = data.list_folder(own)
    assert listing.classes == ("cat", "dog") and len(listing.train) == 20
    assert [label for _, label in listing.test] == [0, 0, 0, 1, 1, 1]
    assert listing.test[0][0] == f"{held_out}/cat/1.png"
    alone = tmp_path / "alone"
    fill(alone / held_out, ["cat", "dog"], 3)
    assert len(data.list_folder(alone).test) == 6


def test_tested_is_the_first_of_test_val_valid_validation(tmp_path: Path) -> None:
    own = tmp_path / "own"
    fill(own / "train", ["cat", "dog"], 10)
    for count, part in enumerate(["validation", "valid", "val", "test"], 3):
        fill(own / part, ["cat", "dog"], count)
        listing = data.list_folder(own)
        assert len(listing.test) == 2 * count and listing.test[0][0].startswith(f"{part}/")


@pytest.mark.parametrize(
    "parts",
    [
        ("train", "testing"),
        ("train", "eval"),
        ("train", "Dev"),
        ("train", "holdout"),
        ("train", "bus"),  # perhaps vehicles
        ("train",),
        ("training", "testing"),
        ("training", "test"),
        ("training", "valid"),
        ("train", "val", "testing"),  # which of the two is to be tested on?
        ("train", "test", "Test"),
    ],
)
def test_folders_that_might_be_parts_or_classes(tmp_path: Path, parts: tuple[str, ...]) -> None:
    for part in parts:
        fill(tmp_path / "own" / part, ["cat", "dog"], 10)
    found = refused(lambda: load(f"folder:{tmp_path / 'own'}", side=21))
    assert all(part in found.partition(": must be ")[0] for part in parts)
    assert "no class may have the name of a part (train, test, val, valid, validation)" in found


def test_hidden_and_system_folders_inside_a_class(tmp_path: Path) -> None:
    own = tmp_path / "own"
    fill(own, ["cat", "dog"], 10)
    before = data.list_folder(own)
    for folder in (".ipynb_checkpoints", "__MACOSX", "@eaDir", ".Trash", "lost+found", "$RECYCLE.BIN"):
        for place in (own, own / "cat", own / "cat" / "deeper"):
            (place / folder / "inside").mkdir(parents=True)
            (place / folder / "inside" / "x.png").write_bytes(encoded(noise(24, 24)))
    for file in ("Thumbs.db", "desktop.ini", ".DS_Store", "._1.png"):
        (own / "cat" / file).write_bytes(b"a system's")
    assert data.list_folder(own) == before


def test_links_that_lead_back_count_nothing_twice(tmp_path: Path) -> None:
    own = tmp_path / "own"
    fill(own, ["cat", "dog"], 10)
    before = data.list_folder(own)
    (own / "cat" / "self").symlink_to(own / "cat")
    (own / "cat" / "around").symlink_to(own)
    (own / "cat" / "above").symlink_to(tmp_path)
    (own / "cat" / "deeper" / "up").symlink_to("..")
    (own / "all").symlink_to(own)
    (own / "higher").symlink_to(tmp_path)
    (own / "cat" / "round").symlink_to("round")
    assert data.list_folder(own) == before


def test_links_that_lead_elsewhere_are_followed_once(tmp_path: Path) -> None:
    own = tmp_path / "own"
    fill(own, ["cat", "dog"], 10)
    fill(tmp_path / "elsewhere", ["more", "eel"], 5)
    (own / "cat" / "a").symlink_to(tmp_path / "elsewhere" / "more")
    (own / "cat" / "b").symlink_to(tmp_path / "elsewhere" / "more")
    (own / "eel").symlink_to(tmp_path / "elsewhere" / "eel")  # a class
    (tmp_path / "elsewhere" / "eel" / "back").symlink_to(own)
    listing = data.list_folder(own)
    assert listing.classes == ("cat", "dog", "eel")
    assert torch.tensor([label for _, label in listing.train + listing.test]).bincount().tolist() == [15, 10, 5]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    own = tmp_path / "own"
    fill(own, ["cat", "dog"], 10)
    (own / os.fsdecode(b"cat/notes\xff.txt")).write_text("no picture")
    assert len(data.list_folder(own).test) == 4
    odd = own / os.fsdecode(b"cat/b\xe4r.png")
    odd.write_bytes(encoded(noise(24, 24)))
    assert refused(lambda: load(f"folder:{own}")) == f"{own}/cat/b\\xe4r.png: the name must be UTF-8; rename it"
    odd.unlink()
    fill(own, [os.fsdecode(b"b\xe4r")], 10)
    assert f"{own}/b\\xe4r" in refused(lambda: load(f"folder:{own}"))
    found = refused(lambda: load(f"folder:{own / os.fsdecode(bytes([98, 228, 114]))}"))
    assert found.encode() and "the folder's path must be UTF-8; rename it" in found


def test_a_copy_is_the_same_pictures(tmp_path: Path) -> None:
    """Other times, other folder, same names and bytes; and a changed byte, name or class is noticed."""
    own, copy = tmp_path / "own", tmp_path / "copy"
    fill(own, ["cat", "dog"], 10)
    shutil.copytree(own, copy, copy_function=shutil.copyfile)
    os.utime(copy / "cat" / "1.png", (1, 1))
    before = data.list_folder(own).fingerprint
    assert data.list_folder(copy).fingerprint == before
    (copy / "cat" / "1.png").rename(copy / "cat" / "1b.png")
    assert data.list_folder(copy).fingerprint != before
    (copy / "cat" / "1b.png").rename(copy / "cat" / "1.png")
    content = (copy / "cat" / "1.png").read_bytes()
    (copy / "cat" / "1.png").write_bytes(content + b"x")
    assert data.list_folder(copy).fingerprint != before


def test_a_copys_run_goes_on(tmp_path: Path) -> None:
    own = tmp_path / "own"
    fill(own, ["cat", "dog"], 10)
    config = resolve(dataset=f"folder:{own}", side=21, width=4, attack="none", epochs=1, batch=4)
    run = training.train(config, progress=False)
    shutil.copytree(own, tmp_path / "copy", copy_function=shutil.copyfile)
    shutil.rmtree(own)
    (tmp_path / "copy").rename(own)
    evaluation.evaluate(run, measure=("clean",), progress=False)


def test_hashes_are_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, memory = tmp_path / "own", tmp_path / "hashes.json"
    fill(own, ["cat", "dog"], 10)
    hashed: list[str] = []

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return file_hash(path)

    monkeypatch.setattr(folders, "file_hash", counted)
    monkeypatch.setattr(folders, "STABLE_AFTER", 0)
    before = data.list_folder(own, memory)
    assert len(hashed) == 20
    hashed.clear()
    assert data.list_folder(own, memory) == before and hashed == []
    times = os.stat(own / "cat" / "1.png")
    content = bytearray((own / "cat" / "1.png").read_bytes())
    content[-1] ^= 1  # of the same size, and with the old time put back
    (own / "cat" / "1.png").write_bytes(bytes(content))
    os.utime(own / "cat" / "1.png", ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = data.list_folder(own, memory)
    assert hashed == ["1.png"] and changed.fingerprint != before.fingerprint
    for damage in (b"", b"[]", b"{}", b"\xff", b'{"format": 1, "files": {"cat/1.png": 3}}'):
        memory.write_bytes(damage)
        hashed.clear()
        assert data.list_folder(own, memory) == changed and len(hashed) == 20


def test_hashes_of_files_that_have_just_changed_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second change within a tick of the file system's clock would leave size and times as they are."""
    monkeypatch.setattr(folders, "STABLE_AFTER", 0)
    own, memory = tmp_path / "own", tmp_path / "hashes.json"
    fill(own, ["cat", "dog"], 10)
    ahead = time.time_ns() + 3600 * 10**9  # so that this doesn't depend on how fast the test is
    os.utime(own / "cat" / "1.png", ns=(ahead, ahead))
    data.list_folder(own, memory)
    kept = memory.read_text(encoding="utf-8")
    assert '"cat/2.png"' in kept and '"cat/1.png"' not in kept


def test_swapped_folders_of_equal_sizes_and_times_are_other_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "STABLE_AFTER", 0)
    own, memory = tmp_path / "own", tmp_path / "hashes.json"
    fill(own, ["cat", "dog"], 10)
    for file in own.rglob("*.png"):
        file.write_bytes(encoded(noise(24, 24), "PPM"))
        os.utime(file, (1, 1))
    before = data.list_folder(own, memory).fingerprint
    for old, new in (("cat", "was"), ("dog", "cat"), ("was", "dog")):
        (own / old).rename(own / new)
    assert data.list_folder(own, memory).fingerprint != before


LISTED = """
import sys
from pathlib import Path
from atlib import data
found = data.list_folder(Path(sys.argv[1]))
dataset = data.load(f"folder:{sys.argv[1]}", side=21, progress=False)
assert dataset.source.endswith(found.fingerprint)
print(sys.getfilesystemencoding(), ascii(found.classes), found.fingerprint, ascii(dataset.classes))
"""


def test_names_are_the_same_in_every_locale(tmp_path: Path) -> None:
    own = tmp_path / "own"
    fill(own, ["bär", "cat"], 10)
    (own / "bär" / "größe.png").write_bytes(encoded(noise(24, 24)))
    found = []
    for locale in ({"PYTHONUTF8": "1"}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}):
        done = subprocess.run(
            [sys.executable, "-c", LISTED, str(own)], capture_output=True, text=True, env=os.environ | locale
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.split(" ", 1))
    assert [encoding for encoding, _ in found] == ["utf-8", "ascii"]
    assert found[0][1] == found[1][1] and "'b\\xe4r', 'cat'" in found[0][1]


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ([str(i) for i in range(12)], "0, 1, 10, 11, 2, …"),
        ([str(i) for i in range(10)], ""),
        (["cat 1", "cat 10", "cat 2"], "cat 1, cat 10, cat 2"),
        (["a", "b", "c", "n9", "n10", "o", "p", "q"], "…, b, c, n10, n9, o, …"),
        ([f"{i:03d}" for i in range(120)], ""),
        (["²", "x10", "x2"], "x10, x2, ²"),
    ],
)
def test_the_order_of_numbered_classes_is_said(classes: list[str], said: str) -> None:
    line = data.class_order(sorted(classes))
    assert line == (f"classes in the order of their folders' names as text: {said}" if said else "")


def test_classes_in_another_order_are_not_said_to_be_in_that_of_their_names() -> None:
    assert data.class_order(["10", "2", "1"]) == data.class_order(data.CIFAR10) == ""


def test_numbered_classes_are_in_the_order_of_text(tmp_path: Path) -> None:
    fill(tmp_path / "own", [str(i) for i in range(12)], 5)
    listing = data.list_folder(tmp_path / "own")
    assert listing.classes[:5] == ("0", "1", "10", "11", "2")
    assert {label for name, label in listing.train if name.startswith("10/")} == {2}


def test_a_run_is_measured_on_the_pictures_that_it_was_trained_on(tmp_path: Path, root: Path) -> None:
    own = tmp_path / "own"
    fill(own, ["cat", "dog"], 10)
    config = resolve(dataset=f"folder:{own}", side=21, width=4, attack="none", epochs=1, batch=4)
    run = training.train(config, progress=False)
    evaluation.evaluate(run, measure=("clean",), progress=False)
    for old, new in (("cat", "was"), ("dog", "cat"), ("was", "dog")):
        (own / old).rename(own / new)
    found = refused(lambda: evaluation.evaluate(run, measure=("clean",), progress=False))
    assert found.startswith(f"{run}: trained on {own} sha256 ") and found.endswith("restore that, or move the run")


def test_pictures_of_every_mode(tmp_path: Path) -> None:
    colour = Image.fromarray(np.full((24, 24, 3), (200, 100, 50), np.uint8))
    for label in ("cat", "dog"):
        (tmp_path / "own" / label).mkdir(parents=True)
        for i, (mode, suffix) in enumerate(
            [("RGB", "png"), ("L", "png"), ("P", "gif"), ("RGBA", "png"), ("CMYK", "jpg"), ("1", "png"), ("LA", "png")]
        ):
            colour.convert(mode).save(tmp_path / "own" / label / f"{i}.{suffix}")
    dataset = load(f"folder:{tmp_path / 'own'}", side=21)
    images = torch.cat([dataset.train.images, dataset.holdout.images, dataset.test.images]).float().mean((2, 3))
    wanted = torch.tensor([200.0, 100, 50])
    coloured = ((images - wanted).abs().max(1).values < 6).sum()
    assert coloured == 2 * 4  # RGB, P, RGBA, CMYK; the others are grey
    assert ((images - images[:, :1]).abs().max(1).values < 1e-3).sum() == 2 * 3


@pytest.mark.parametrize(
    "content", [b"", b"no picture", encoded(noise(24, 24))[:200], encoded(noise(64, 64), "JPEG")[:900]]
)
def test_unreadable_picture_is_named(tmp_path: Path, root: Path, content: bytes) -> None:
    fill(tmp_path / "own", ["cat", "dog"], 10)
    broken = tmp_path / "own" / "dog" / "broken.png"
    broken.write_bytes(content)
    assert str(broken) in refused(lambda: load(f"folder:{tmp_path / 'own'}", side=21))
    assert not [path for path in (root / "prepared").iterdir() if path.suffix != ".json"]  # but for the hashes


def test_deep_pixels_are_refused(tmp_path: Path) -> None:
    fill(tmp_path / "own", ["cat", "dog"], 10)
    Image.fromarray(np.full((24, 24), 40_000, np.uint16)).save(tmp_path / "own" / "dog" / "deep.png")
    message = refused(lambda: load(f"folder:{tmp_path / 'own'}", side=21))
    assert "deep.png: pixels of type I;16" in message


def test_folders_that_are_no_data_set(tmp_path: Path) -> None:
    fill(tmp_path / "one", ["cat"], 10)
    assert "1 classes" in refused(lambda: load(f"folder:{tmp_path / 'one'}"))
    fill(tmp_path / "empty", ["cat", "dog"], 10)
    (tmp_path / "empty" / "eel").mkdir()
    assert "eel: no pictures" in refused(lambda: load(f"folder:{tmp_path / 'empty'}"))
    fill(tmp_path / "odd" / "train", ["cat", "dog"], 10)
    fill(tmp_path / "odd" / "test", ["cat", "dgo"], 2)
    assert "did you mean 'dog'?" in refused(lambda: load(f"folder:{tmp_path / 'odd'}"))
    fill(tmp_path / "few" / "train", ["cat", "dog"], 4)
    fill(tmp_path / "few" / "test", ["cat"], 2)
    assert "2 classes, 8 training and 2 test pictures" in refused(lambda: load(f"folder:{tmp_path / 'few'}"))


def test_a_class_without_a_test_picture_is_named(tmp_path: Path) -> None:
    own = tmp_path / "own"
    fill(own, ["cat", "eel"], 10)
    fill(own, ["dog"], 4)
    assert refused(lambda: load(f"folder:{own}", side=21)) == (
        f"{own / 'dog'}: pictures = 4: must be at least 5 for one of them to be a test picture, or all in folders "
        "PATH/train and PATH/test of their own"
    )
    (own / "dog" / "4.png").write_bytes(encoded(noise(24, 24)))
    assert load(f"folder:{own}", side=21).test.labels.tolist() == [0, 0, 1, 2, 2]


def test_link_to_nothing_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "own", ["cat", "dog"], 10)
    (tmp_path / "own" / "dog" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert "gone.png" in refused(lambda: load(f"folder:{tmp_path / 'own'}", side=21))


# ---------------------------------------------------------------- augmentation

BATCH = torch.randint(256, (6, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
KINDS = {"pad-crop-flip": 32, "flip": 48, "crop-flip": 28, "none": 32}
kinds = st.sampled_from(sorted(KINDS))
seeds = st.integers(0, 2**31)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(kinds, seeds)
def test_augmented_form(kind: str, seed: int) -> None:
    side = KINDS[kind]
    images = data.augment(BATCH, kind, side, seeded(seed))
    assert images.shape == (6, 3, side, side)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.equal(images, data.augment(BATCH, kind, side, seeded(seed)))


@given(st.sampled_from(["pad-crop-flip", "crop-flip"]), seeds)
def test_a_crop_is_a_slice_of_its_own_picture(kind: str, seed: int) -> None:
    side = KINDS[kind]
    result = (data.augment(BATCH, kind, side, seeded(seed)) * 255).round().to(torch.uint8)
    whole = torch.nn.functional.pad(BATCH, (4,) * 4) if kind == "pad-crop-flip" else BATCH
    room = whole.shape[-1] - side + 1
    for image, source in zip(result, whole, strict=True):
        slices = [source[:, y : y + side, x : x + side] for y in range(room) for x in range(room)]
        assert any(torch.equal(image, part) or torch.equal(image, part.flip(2)) for part in slices)


@given(seeds)
def test_a_flip_mirrors_or_leaves(seed: int) -> None:
    result = data.augment(BATCH, "flip", 32, seeded(seed))
    plain = data.prepare(BATCH, 32)
    for image, source in zip(result, plain, strict=True):
        assert torch.equal(image, source) or torch.equal(image, source.flip(2))


def test_draws_are_independent_and_uniform() -> None:
    """Every one of the 9×9 places and both directions come about equally often."""
    marked = torch.zeros(16_200, 3, 32, 32, dtype=torch.uint8)
    marked[:, :, 16, 15] = 255
    result = data.augment(marked, "pad-crop-flip", 32, seeded(0))
    rows, columns = (result[:, 0].amax(dim).argmax(1) for dim in (2, 1))
    # Pixel (16, 15) lands at (20 - top, 19 - left), or mirrored at (20 - top, 12 + left): 9×9 places, twice.
    counts = torch.zeros(32, 32).index_put((rows, columns), torch.tensor(1.0), accumulate=True)[12:21, 11:21]
    assert counts.sum() == 16_200
    expected = torch.full((9, 10), 200.0)
    expected[:, [0, -1]] = 100
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 140  # 89 degrees of freedom: p = 0.0005


@pytest.mark.parametrize("kind", KINDS)
def test_empty_batch(kind: str) -> None:
    assert data.augment(BATCH[:0], kind, KINDS[kind], seeded(0)).shape == (0, 3, KINDS[kind], KINDS[kind])


def test_none_draws_nothing() -> None:
    generator = seeded(0)
    before = generator.get_state()
    assert torch.equal(data.augment(BATCH, "none", 32, generator), data.prepare(BATCH, 32))
    assert torch.equal(generator.get_state(), before)


@pytest.mark.parametrize("side", [0, -32, 31.5, None])
def test_no_pictures_are_prepared_for_a_side_that_is_none(side: Any) -> None:
    with pytest.raises(InputError, match=rf"^side = {side}: must be a whole number at least 1$"):
        data.prepare(BATCH, side)


def test_prepare() -> None:
    assert torch.equal(data.prepare(BATCH, 32), BATCH.float() / 255)
    assert torch.equal(data.prepare(BATCH, 28), BATCH[..., 2:30, 2:30].float() / 255)
    white = torch.full((2, 3, 64, 64), 255, dtype=torch.uint8)
    assert data.prepare(white, 224).shape == (2, 3, 224, 224)
    assert data.prepare(white, 299).max() == 1  # not 1.0000001, as interpolation alone gives at this side
    assert data.prepare(white, 299).min() > 1 - 1e-6


@pytest.mark.parametrize(
    ("images", "kind", "side", "told"),
    [
        (BATCH, "crop", 28, "augmentation = 'crop'"),
        (BATCH, "pad-crop-flip", 28, "side = 28"),
        (BATCH, "crop-flip", 48, "side = 48"),
        (BATCH, "flip", 28, "side = 28"),
        (BATCH.float(), "none", 32, "images = torch.float32"),
        (BATCH[0], "none", 32, "images = torch.uint8 (3, 32, 32)"),
    ],
)
def test_augmentation_refuses(images: Tensor, kind: str, side: int, told: str) -> None:
    assert told in refused(lambda: data.augment(images, kind, side, seeded(0)))


def test_nothing_asks_the_network(root: Path, monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    """A prepared data set and the generated one open no address."""
    load("cifar10")
    monkeypatch.setattr(archives, "download", lambda *_, **__: pytest.fail("asked the network"))
    Quiet.asked.clear()
    load("cifar10")
    assert Quiet.asked == []
    load("shapes", train_count=20, test_count=10, conflict_count=10)
