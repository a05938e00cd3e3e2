"""The jobs of one campaign in a file that Snakemake and the jobs read, so that later edits of the grid don't matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..configuration import Config
from ..errors import InputError
from ..files import read_json, runs_dir, write_json
from . import grid

if TYPE_CHECKING:
    from .needs import Need  # takes torch, and a job that only reads the file doesn't need it


def write(todo: Sequence[Need]) -> Path:
    """Write what a campaign has to do; returns the file."""
    content = [
        {"run": need.run, "block": need.planned.block, "rank": need.planned.rank, "needs": need.planned.needs}
        | {"dataset": need.planned.config.dataset, "config": asdict(need.planned.config)}
        | {"after": need.after, "stylised": need.stylised, "publish": bool(need.measure)}
        | {"measure": need.planned.measure}
        for need in todo
    ]
    path = (runs_dir() / ".campaign" / "jobs.json").resolve()  # Snakemake works in another folder
    write_json(path, {"jobs": content})
    return path


def read(path: Path) -> list[grid.Planned]:
    """The runs that `write` wrote; InputError for a file of other content."""
    content = read_json(path)
    try:
        return [
            grid.Planned(j["block"], j["rank"], Config(**j["config"]), j["needs"], measure=tuple(j["measure"]))
            for j in content["jobs"]
        ]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: not the jobs of a campaign ({type(error).__name__}: {error})") from None
