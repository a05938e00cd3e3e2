"""For every test: no network, fixed seeds, and folders of its own instead of the user's."""

from __future__ import annotations

import os
import random
import runpy
import shutil
import tempfile
from pathlib import Path

import atlib  # noqa: F401  (before torch: it sets how OpenMP's threads wait)

# isort: split
import hypothesis
import numpy as np
import pytest
import torch

OFFLINE = Path(__file__).parent / "offline"
SCRATCH = Path(tempfile.mkdtemp(prefix="atlib-tests-"))

runpy.run_path(str(OFFLINE / "sitecustomize.py"))
# What follows is for the processes that tests start, above all the kernels of nbval.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
os.environ["ATLIB_QUICK"] = "1"
os.environ["ATLIB_RUNS"], os.environ["ATLIB_DATA"] = str(SCRATCH / "runs"), str(SCRATCH / "data")

hypothesis.settings.register_profile("atlib", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("atlib")


def pytest_unconfigure() -> None:
    shutil.rmtree(SCRATCH, ignore_errors=True)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs, data sets and published rows of this test alone; quick mode only for tests that ask for it."""
    monkeypatch.delenv("ATLIB_QUICK", raising=False)
    for name in ("runs", "data", "results"):
        monkeypatch.setenv(f"ATLIB_{name.upper()}", str(tmp_path / name))


@pytest.fixture(autouse=True)
def seeds() -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
