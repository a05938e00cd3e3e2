"""Rows and per-picture answers of networks that never were, for tests of what is made from rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from atlib.report import tables
from atlib.rows import Archive, frame_of


def row(name: str, model: str, seed: int, under: str, metric: str, value: float, total: int = 10) -> dict:
    """A row of a main setting of a run that never was."""
    at = tables.setting(name)
    distortion, _, level = under.partition("@")
    size = "64" if name.endswith("-64") else "00"  # of two settings of one data set
    counted = metric in ("accuracy", "accuracy_last")
    return {
        "run": f"{at.dataset}/{model}-w{at.width}-s{seed}-{size}00000{seed}",
        "dataset": at.dataset,
        "model": model,
        "width": at.width,
        "share": 0.0 if model in ("normal", "underfit") else at.share,
        "recipe": at.recipe,
        "seed": seed,
        "distortion": distortion,
        "level": level,
        "metric": metric,
        "value": value,
        "count": round(value * total) if counted else None,
        "total": total,
    }


def network(name: str, model: str, seed: int, clean: str, under: dict[str, str]) -> tuple[list[dict], dict]:
    """Rows and predictions of a network, from strings of what it gets right (1) and wrong (0), ten pictures each."""
    right = {"clean@": clean, **under}
    said = {f"{place}/class": np.array([int(one) for one in text]) for place, text in right.items()}
    rows = [row(name, model, seed, place, "accuracy", text.count("1") / 10) for place, text in right.items()]
    return rows, said | {"labels": np.ones(10, int)}


def world(*networks: tuple[list[dict], dict]) -> tuple[pd.DataFrame, Archive]:
    """All their rows, and an archive of their predictions."""
    rows = [one for found, _ in networks for one in found]
    stored = {found[0]["run"]: said for found, said in networks}
    return frame_of(rows), lambda run: stored[run]
