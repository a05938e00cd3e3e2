"""What several test files use: a network whose gradient is known, and files of rows."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from atlib.rows import COLUMNS

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
