"""What several test files use: a network whose gradient is known, tiny runs, files of rows and damaged ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from atlib.configuration import Config, resolve
from atlib.errors import InputError
from atlib.rows import COLUMNS, read_rows

# Seconds before it is a failure that something hasn't happened: far more than it takes, also on a busy machine.
PATIENCE = 900
RUN = "shapes/pgd-linf-8-w16-s1-1a2b3c4d"
LINE = f"{RUN},shapes,pgd-linf-8,16,1.0,stride2,1,"  # a row's beginning; distortion, level, metric, … follow
GOOD = LINE + "clean,,accuracy,0.5,5,10"
HEADER = ",".join(COLUMNS)


class Halves(nn.Module):
    """Logits (sum of the left half + gap, sum of the right half)."""

    def __init__(self, gap: float) -> None:
        super().__init__()
        self.gap = gap

    def forward(self, images: Tensor) -> Tensor:
        left, right = images.chunk(2, dim=3)
        return torch.stack([left.sum((1, 2, 3)) + self.gap, right.sum((1, 2, 3))], 1)


def write_csv(path: Path, *lines: str, header: str = HEADER, end: str = "\n") -> Path:
    """Write lines of a CSV below the header of rows; returns the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + end, encoding="utf-8")
    return path


def rows_of(run: Path) -> pd.DataFrame:
    """The rows that an evaluation wrote into a run's folder."""
    return read_rows(run / "rows.csv")


def tiny(**given: object) -> Config:
    """A run of seconds: width 4, the quick 450 pictures."""
    return replace(resolve(**{"width": 4, "epochs": 0.3, "steps": 2, "precision": "fp32", **given}), quick=True)


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    """An error's message, which must be one line."""
    message = str(error.value)
    assert "\n" not in message
    return message


def flipped(content: bytes, place: int) -> bytes:
    """A file's content with one bit of one byte changed."""
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]
