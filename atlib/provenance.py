"""Where a number comes from: commit, versions, hardware."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib import metadata

import torch

from .files import REPOSITORY

# What a number depends on, as git's pathspecs: the ground floor, what turns a notebook's parameters into a run, the two
# modules of the report that measure, and the versions. Changes elsewhere (tables, pages, tests) leave its commit clean.
SOURCES = (
    ":(glob)atlib/*.py",
    ":(glob)atlib/data/**/*.py",
    ":(glob)atlib/training/**/*.py",
    "atlib/campaign/jobs.py",
    "atlib/report/destroyed.py",
    "atlib/report/frames.py",
    "notebooks/train.ipynb",
    "notebooks/evaluate.ipynb",
    "requirements.txt",
    "constraints.txt",
)
PACKAGES = ("torch", "torchvision", "numpy", "safetensors", "papermill")


def commit() -> str:
    """The commit of this code: ATLIB_COMMIT, or git's answer with "-dirty" if one of SOURCES differs, or "unknown".

    git is asked once a process, by a long job at its start: what is committed or edited meanwhile didn't run.
    """
    return os.environ.get("ATLIB_COMMIT") or _from_git()


@functools.cache
def _from_git() -> str:
    def git(*words: str) -> str:
        return subprocess.run(
            ("git", "-C", str(REPOSITORY), *words), capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "-uno", "--", *SOURCES) else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def processor() -> str:
    """The CPU's name as the system gives it."""
    try:
        with open("/proc/cpuinfo") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Python's version and those of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def hardware(device: torch.device) -> dict[str, object]:
    """What a run was computed on."""
    found: dict[str, object] = {
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def record(device: torch.device) -> dict[str, object]:
    """Commit, versions and hardware, for the JSON beside every row."""
    return {"commit": commit(), "versions": versions(), "hardware": hardware(device)}
