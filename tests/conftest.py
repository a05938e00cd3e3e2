"""For every test: no network, fixed seeds, and folders of its own instead of the user's."""

from __future__ import annotations

import os
import random
import runpy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

if "PYTEST_XDIST_WORKER" in os.environ:  # workers, and what they start, share the processors
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ["OMP_NUM_THREADS"] = str(max(1, share))

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what the tests expect are a processor's values; kernels inherit this

import atlib  # noqa: F401  (before torch: it sets how OpenMP's threads wait)

# isort: split
import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock

from atlib.files import REPOSITORY, data_dir
from atlib.rows import load

OFFLINE = Path(__file__).parent / "offline"
SCRATCH = Path(tempfile.mkdtemp(prefix="atlib-tests-"))

runpy.run_path(str(OFFLINE / "sitecustomize.py"))
# What follows is for the processes that tests start, above all the kernels of nbval.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
for variable in ("STYLES", "SITE", "DEADLINE", "LACKS"):  # what a user may have set for the program
    os.environ.pop(f"ATLIB_{variable}", None)
os.environ["ATLIB_QUICK"] = "1"
os.environ["ATLIB_BUILD"] = "1"  # sliders over kept frames, as in the pages
os.environ["ATLIB_COMMIT"] = "0" * 40  # rows of code that is being edited would not be published
os.environ["ATLIB_RUNS"], os.environ["ATLIB_DATA"] = str(SCRATCH / "runs"), str(SCRATCH / "data")

# The examples are the same each time: a failure is one of the code, and not of a draw.
hypothesis.settings.register_profile("atlib", deadline=None, derandomize=True)
hypothesis.settings.load_profile("atlib")

# Files that take longest, in this order: one that is begun last is waited for by all other workers.
FIRST = (
    "test_slurm", "test_campaign", "test_browser", "test_training", "test_bare", "test_own", "test_live_browser",
    "test_widgets", "test_evaluation", "test_jobs", "test_audit",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files. pytest-xdist's workers take whole files (`--dist loadfile`), so notebooks too."""
    place = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(FIRST)))  # stable


def pytest_unconfigure() -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, data sets and published rows of this test alone; quick mode and kept frames only for tests that ask."""
    for name in ("QUICK", "BUILD"):
        monkeypatch.delenv(f"ATLIB_{name}", raising=False)
    for name in ("runs", "data", "results"):
        monkeypatch.setenv(f"ATLIB_{name.upper()}", str(tmp_path / name))


@pytest.fixture
def published_folder(own_folders: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows, predictions and frames that this repository publishes, in the place of the test's own folder."""
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))


@pytest.fixture(scope="session")
def read_once() -> pd.DataFrame:
    return load(REPOSITORY / "results")


@pytest.fixture
def published(published_folder: None, read_once: pd.DataFrame) -> pd.DataFrame:
    """The rows of this repository, whose predictions are found too; each test has a copy."""
    return read_once.copy()


@pytest.fixture
def commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows name a commit that no repository has, whatever is being edited here."""
    monkeypatch.setenv("ATLIB_COMMIT", "abc")


@pytest.fixture(autouse=True)
def seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def lacks() -> Callable[[str, str], NoReturn]:
    """lacks(name, why) skips the test: a program isn't on this machine. ATLIB_REQUIRE=slurm,chromium: it fails."""

    def end(name: str, why: str) -> NoReturn:
        (pytest.fail if name in os.environ.get("ATLIB_REQUIRE", "").split(",") else pytest.skip)(why)

    return end


@pytest.fixture
def few_pictures() -> None:
    """CIFAR-10 in the test's data directory, of 40 and 10 random pictures: a network is measured on it in seconds."""
    draws = np.random.default_rng(0)
    counts = {"train": 40, "test": 10}
    arrays = {f"x_{part}": draws.integers(0, 255, (n, 32, 32, 3), dtype=np.uint8) for part, n in counts.items()}
    labels = {f"y_{part}": np.arange(n) % 10 for part, n in counts.items()}
    data_dir().mkdir(parents=True)
    np.savez(data_dir() / "cifar10.npz", **arrays, **labels)  # type: ignore[arg-type]


def build_book(source: Path, output: Path) -> Path:
    """Build a book as `make book` does; the folder of its HTML."""
    program = Path(sys.executable).with_name("jupyter-book")
    command = [str(program), "build", str(source), "--path-output", str(output), "-W", "-n", "--keep-going", "--quiet"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=output)
    assert done.returncode == 0, done.stdout + done.stderr
    return output / "_build" / "html"


@pytest.fixture(scope="session")
def build() -> Callable[[Path, Path], Path]:
    """`build_book`, for tests that make a small book of their own."""
    return build_book


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This book, built once for all tests, by whichever worker comes first."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # each worker's is a folder in that of the whole run
    output = shared / "book"
    with FileLock(shared / "book.lock"):
        if not (output / "complete").exists():
            output.mkdir(exist_ok=True)
            build_book(REPOSITORY, output)
            (output / "complete").touch()
    return output / "_build" / "html"
