"""The rows of one network, what it said of every picture, and where each number comes from, as files in a folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from . import provenance
from .errors import InputError
from .files import atomic, read_json, save_arrays, write_json
from .measurements import Findings, Subject
from .rows import frame_of, measurement, read_predictions, read_rows


class Table:
    """Rows, arrays and their origins, as files in a folder.

    columns: what all rows have in common; digest: of the network's weights.
    """

    def __init__(self, folder: Path, subject: Subject, columns: dict[str, object], digest: str) -> None:
        self.folder, self.subject, self.columns = folder, subject, columns
        self.rows = frame_of([])
        self.arrays: dict[str, np.ndarray] = {"labels": subject.test.labels.numpy().astype(np.uint16)}
        self.origins: dict = {"weights_digest": digest, "pictures": subject.content, "measurements": {}}
        # whether the folder's record is of something else, which the first measurement replaces
        self.replaces = (folder / "evaluation.json").is_file() and not self.restore(digest)

    def restore(self, digest: str) -> bool:
        """Take over what an earlier evaluation of the same weights, on the same pictures, wrote, if there is one."""
        origins = read_json(self.folder / "evaluation.json")
        if origins.get("weights_digest") != digest:
            return False  # of other weights: measured anew
        try:
            rows = read_rows(self.folder / "rows.csv")
            arrays = read_predictions(self.folder / "predictions.npz")
        except InputError as error:
            raise InputError(f"{error}; to measure anew, delete evaluation.json beside it") from None
        pictures = origins.setdefault("pictures", self.subject.content)  # records of before 2026-11-25 don't have it
        if pictures != self.subject.content or not np.array_equal(arrays["labels"], self.arrays["labels"]):
            print(f"{self.folder}: the test pictures have changed; measuring everything again", flush=True)
            return False
        # only what is on record: rows of a measurement that was cut off while it replaced another's have no origin
        kept = origins["measurements"]
        self.rows = rows[np.array([measurement(row) in kept for row in rows.to_dict("records")], bool)]
        self.arrays |= {key: array for key, array in arrays.items() if any(key.startswith(f"{name}/") for name in kept)}
        self.origins = origins
        return True

    def __contains__(self, pair: tuple[str, str]) -> bool:
        return "@".join(pair) in self.origins["measurements"]

    def put(self, name: str, level: str, found: Findings, seconds: float) -> None:
        """Replace what is there of this measurement and level, and write all three files."""
        key = f"{name}@{level}"
        mine = [measurement(row) == key for row in self.rows.to_dict("records")]
        # rows of maps, and of several networks, are those of what is shown
        distortion, at = level.split("@") if name in ("maps", "between") else (name, level)
        place = self.columns | {"distortion": distortion, "level": at}
        new = frame_of([place | asdict(row) for row in found.rows])
        self.rows = pd.concat([self.rows[~np.array(mine, bool)], new], ignore_index=True)
        self.arrays = {k: v for k, v in self.arrays.items() if not k.startswith(f"{key}/")}
        self.arrays |= {f"{key}/{k}": v for k, v in found.arrays.items()}
        about = provenance.record(self.subject.device)
        if self.replaces or key in self.origins["measurements"]:  # until the new rows are whole, they count as missing
            self.origins["measurements"].pop(key, None)
            write_json(self.folder / "evaluation.json", self.origins)
            self.replaces = False
        # the record holds versions and hardware once; a measurement holds its own only where they differ
        for kind in ("versions", "hardware"):
            self.origins.setdefault(kind, about[kind])
        differing = {kind: about[kind] for kind in ("versions", "hardware") if self.origins[kind] != about[kind]}
        commit = {"commit": about["commit"]}
        self.origins["measurements"][key] = {"seconds": round(seconds, 2), **found.record, **commit, **differing}
        self.write()

    def write(self) -> None:
        """Write predictions, then rows, then origins: a measurement that is interrupted in between is repeated."""
        save_arrays(self.folder / "predictions.npz", self.arrays)
        order = ["distortion", "level", "metric"]
        with atomic(self.folder / "rows.csv") as temporary:
            self.rows.sort_values(order, kind="stable").to_csv(temporary, index=False)
        write_json(self.folder / "evaluation.json", self.origins)
