"""The provenance of a number: commit, versions, hardware."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError
from .files import REPOSITORY

if TYPE_CHECKING:
    import torch

# What a number depends on, as git's pathspecs: the library layer, what turns a notebook's parameters into a run, the
# modules of the campaign and the report that measure, and the versions. Changes elsewhere (tables, pages, tests) leave
# its commit clean.
SOURCES = (
    ":(glob)atlib/*.py",
    ":(glob)atlib/data/**/*.py",
    ":(glob)atlib/style/**/*.py",
    "atlib/campaign/cues.py",
    "atlib/campaign/destroyed.py",
    "atlib/campaign/jobs.py",
    "atlib/campaign/judges.py",
    "atlib/campaign/sigmas.py",
    "atlib/campaign/stronger.py",
    "atlib/report/explored.py",
    "atlib/report/frames.py",
    "atlib/report/photographs.py",
    "notebooks/train.ipynb",
    "notebooks/evaluate.ipynb",
    "requirements.txt",
    "constraints.txt",
)
PACKAGES = ("torch", "torchvision", "numpy", "safetensors", "papermill")
OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # set in git's hooks; they may name another repository


def commit() -> str:
    """The commit of this code: ATLIB_COMMIT if it is set, otherwise what git says.

    git's answer gets "-dirty" if one of SOURCES differs from the commit. It is "unknown" without git, and for a copy
    without a `.git` of its own, even inside another repository. git is asked once per process; a long job asks at its
    start, since code that is committed or edited later isn't the code that runs.

    ATLIB_COMMIT is for copies that git knows nothing of. In a checkout, a commit of this repository gets "-dirty"
    unless it is the one checked out, without edits. A name that git doesn't know is taken as it is.
    """
    said, found = os.environ.get("ATLIB_COMMIT"), _from_git()
    if not said:
        return found
    named = "" if found == "unknown" else _full_name(said)
    return said if named in ("", found) else f"{said}-dirty"


def committed(*more: str) -> str:
    """`commit`; InputError if it is unknown or dirty, since rows are published only from committed code.

    more: further files that a number depends on, as git's pathspecs; they have to be as committed, too.
    """
    found = commit()
    if more and found == _from_git() and _changed(*more):
        found += "" if found.endswith("-dirty") else "-dirty"
    if found == "unknown" or found.endswith("-dirty"):
        raise InputError(
            f"code of commit {found!r}: rows are published only from committed code; commit your changes or, without "
            "git, set ATLIB_COMMIT"
        )
    return found


@functools.cache
def _from_git() -> str:
    try:
        if Path(_git("rev-parse", "--show-toplevel")).resolve() != REPOSITORY.resolve():
            return "unknown"
        return _git("rev-parse", "HEAD") + ("-dirty" if _changed(*SOURCES) else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


@functools.cache
def _full_name(name: str) -> str:
    """The whole hash of a commit of the repository; empty if it has none of that name."""
    try:
        return _git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*words: str) -> str:
    """What git says about this repository."""
    environment = {name: value for name, value in os.environ.items() if name not in OTHERS}
    done = subprocess.run(
        ("git", "-C", str(REPOSITORY), *words), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
        timeout=20, env=environment, encoding="utf-8", errors="surrogateescape",
    )  # fmt: skip
    return done.stdout.removesuffix("\n")


def _changed(*paths: str) -> bool:
    """Whether a file that git knows differs from the commit. paths: git's pathspecs."""
    return bool(_git("status", "--porcelain", "-uno", "--", *paths))


def processor() -> str:
    """The CPU's name according to the system."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def hardware(device: torch.device) -> dict[str, object]:
    """The processor, threads and device (for CUDA also the GPU's name) that a run was computed on."""
    import torch

    found: dict[str, object] = {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def record(device: torch.device) -> dict[str, object]:
    """Commit, versions and hardware, for the JSON that goes with every run's rows."""
    return {"commit": commit(), "versions": versions(), "hardware": hardware(device)}
