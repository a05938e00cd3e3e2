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

import atlib  # noqa: F401  (before torch: it sets how OpenMP's threads wait)

# isort: split
import hypothesis
import numpy as np
import pytest
import torch

from atlib.files import REPOSITORY

OFFLINE = Path(__file__).parent / "offline"
SCRATCH = Path(tempfile.mkdtemp(prefix="atlib-tests-"))
GIVEN_DATA = os.environ.get("ATLIB_DATA")

runpy.run_path(str(OFFLINE / "sitecustomize.py"))
# What follows is for the processes that tests start, above all the kernels of nbval.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
os.environ["ATLIB_QUICK"] = "1"
os.environ["ATLIB_BUILD"] = "1"  # sliders over kept frames, as in the pages
os.environ["ATLIB_COMMIT"] = "0" * 40  # rows of code that is being edited would not be published
os.environ["ATLIB_RUNS"], os.environ["ATLIB_DATA"] = str(SCRATCH / "runs"), str(SCRATCH / "data")

hypothesis.settings.register_profile("atlib", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("atlib")


def pytest_unconfigure() -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, data sets and published rows of this test alone; quick mode and kept frames only for tests that ask."""
    for name in ("QUICK", "BUILD"):
        monkeypatch.delenv(f"ATLIB_{name}", raising=False)
    for name in ("runs", "data", "results"):
        monkeypatch.setenv(f"ATLIB_{name.upper()}", str(tmp_path / name))


@pytest.fixture(autouse=True)
def seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def given_data() -> Path | None:
    """The data directory that ATLIB_DATA named before the tests got their own; to be read only."""
    return Path(GIVEN_DATA) if GIVEN_DATA else None


@pytest.fixture(scope="session")
def lacks() -> Callable[[str, str], NoReturn]:
    """lacks(name, why) skips the test: a program isn't on this machine. ATLIB_REQUIRE=slurm,chromium: it fails."""

    def end(name: str, why: str) -> NoReturn:
        (pytest.fail if name in os.environ.get("ATLIB_REQUIRE", "").split(",") else pytest.skip)(why)

    return end


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
    """This book, built once for all tests."""
    return build_book(REPOSITORY, tmp_path_factory.mktemp("book"))
