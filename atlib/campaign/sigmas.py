"""SmoothGrad with less noise: statistics of the shipped networks' maps at several σ, on clean test pictures.

    python -m atlib.campaign.sigmas cifar10 --minutes 4        writes results/sigmas.csv; called again, it goes on

The paper's σ is .1 of a picture's range. With that much noise a normal network recognises few of the noisy copies, so
that its maps may say more of noise than of the picture. "recognised" is the share of noisy copies that the network gets
right. Intervals are Student's, over pictures; a line is of one network, seed 1. `atlib.report.sigma_tables` shows them.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
import torch
from torch import Tensor, nn

from .. import data, evaluation, models, provenance, saliency
from ..errors import InputError, command_line, in_range
from ..files import atomic, hold, results_dir
from ..measurements import map_order
from ..progress import say

SIGMAS = (0.02, 0.05, 0.1)
PICTURES = 100  # the first of those whose maps are measured elsewhere
PATIENCE = 120.0  # seconds to wait for another process, which writes a small file
COPIES = 10  # noisy copies of each picture that the network is asked about
METRICS = ("gini", "edge_correlation", "high_frequency", "recognised")
COLUMNS = ("model", "sigma", "metric", "value", "low", "high", "total", "samples", "seed", "commit", "processor")


@torch.no_grad()
def recognised(model: nn.Module, images: Tensor, labels: Tensor, sigma: float, draws: torch.Generator) -> Tensor:
    """The share of COPIES noisy copies of each picture that a network gets right, N; noise as SmoothGrad's."""
    scale = sigma * (images.amax((1, 2, 3), keepdim=True) - images.amin((1, 2, 3), keepdim=True))
    found = torch.zeros(len(images))
    for _ in range(COPIES):
        noisy = images + scale * torch.randn(images.shape, generator=draws).to(images)
        found += (model(noisy).argmax(1) == labels).float().cpu()
    return found / COPIES


def measured(
    model: nn.Module, images: Tensor, labels: Tensor, sigma: float, samples: int = saliency.SAMPLES, seed: int = 0
) -> dict[str, np.ndarray]:
    """METRICS of a network's SmoothGrad maps at σ, one value for each picture. images: float, N×3×H×W, in [0, 1]."""
    draws = torch.Generator().manual_seed(seed)
    with evaluation.exact():
        maps = saliency.smoothgrad(model, images, labels, samples=samples, sigma=sigma, generator=draws)
        found = {
            "gini": saliency.gini(maps),
            "edge_correlation": saliency.edge_correlation(maps, images),
            "high_frequency": saliency.high_frequency(maps),
            "recognised": recognised(model, images, labels, sigma, draws),
        }
    return {name: values.cpu().numpy() for name, values in found.items()}


def lines_of(name: str, sigma: float, found: dict[str, np.ndarray], samples: int) -> list[dict[str, object]]:
    """Rows of what was measured of a network at σ."""
    about: dict[str, Any] = provenance.record(torch.device("cpu"))
    lines: list[dict[str, object]] = []
    for metric, values in found.items():
        half = float(scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values))
        low, high = float(values.mean()) - half, float(values.mean()) + half
        line: dict[str, object] = {
            "model": name,
            "sigma": sigma,
            "metric": metric,
            "value": round(float(values.mean()), 6),
        }
        line |= {"low": round(low, 6), "high": round(high, 6), "total": len(values), "samples": samples, "seed": 0}
        lines.append(line | {"commit": about["commit"], "processor": about["hardware"].get("processor", "")})
    return lines


def read(path: Path | None = None) -> pd.DataFrame:
    """The rows; none before the first call."""
    path = path or results_dir() / "sigmas.csv"
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(COLUMNS))


def write(dataset: str, minutes: float, pictures: int = PICTURES, samples: int = saliency.SAMPLES) -> Path:
    """Measure what is missing of a data set's shipped networks of seed 1, and write it; begins nothing after `minutes`.

    InputError for a parameter out of range (pictures: from 2 to those of the test set), or without shipped networks.
    """
    in_range("pictures", pictures, 2, whole=True)
    in_range("minutes", minutes, 0)
    provenance.committed()
    # those of other seeds have names such as cifar10/normal-s2
    known = [name for name in models.shipped() if name.startswith(f"{dataset}/") and not re.search(r"-s\d+$", name)]
    if not known:
        raise InputError(f"dataset = {dataset!r}: no shipped network is of it")
    path, began = results_dir() / "sigmas.csv", time.monotonic()
    test = data.load(dataset, progress=False)
    in_range("pictures", pictures, 2, len(test.test.labels), whole=True)  # fewer would be measured anew at each call
    chosen = map_order(len(test.test.labels))[:pictures]
    images, labels = data.prepare(test.test.images[chosen], test.side), test.test.labels[chosen]
    for name in known:
        model: nn.Module | None = None
        for sigma in SIGMAS:
            there = _those_of(read(path), name, sigma)
            if len(there) and int(there["total"].iloc[0]) >= pictures:
                continue
            if time.monotonic() - began > 60 * minutes:
                return path
            model = model or models.fold(models.load(name)[0])
            new = pd.DataFrame(lines_of(name, sigma, measured(model, images, labels, sigma, samples), samples))
            put(path, name, sigma, new)
            say(f"{path}: {name}, sigma {sigma:g}")
    return path


def _those_of(frame: pd.DataFrame, name: str, sigma: float) -> pd.DataFrame:
    """The rows of a network at σ."""
    return frame[(frame["model"] == name) & np.isclose(frame["sigma"].astype(float), sigma)]


def put(path: Path, name: str, sigma: float, new: pd.DataFrame) -> None:
    """Write rows in the place of those of the same network and σ; what another process has written meanwhile stays."""
    with hold(path.with_name(f".{path.name}.lock"), str(os.getpid()), f"{path}: being written by process", PATIENCE):
        frame = read(path)
        rows = pd.concat([frame.drop(_those_of(frame, name, sigma).index), new]) if len(frame) else new
        with atomic(path) as temporary:
            rows.sort_values(["model", "sigma"], kind="stable").to_csv(temporary, index=False, columns=list(COLUMNS))


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m atlib.campaign.sigmas", description="Maps with less noise.")
    parser.add_argument("dataset", help="of which there are shipped networks")
    parser.add_argument("--minutes", type=float, default=1e9, help="start nothing new after this many minutes")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    asked = parser.parse_args(arguments)
    print(write(asked.dataset, asked.minutes, asked.pictures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
