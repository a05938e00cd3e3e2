"""Any number can be audited: measure a published row again from the network's weights, and compare.

python -m atlib.campaign.audit ROW [ROW ...]         ROW is RUN:DISTORTION@LEVEL/METRIC, as tables print it
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from .. import evaluation, measurements, models, rows, training
from ..configuration import config_of
from ..errors import InputError, Missing, command_line, one_of
from ..files import checkout_path, read_json, results_dir, runs_dir
from ..tensors import load_meta, load_tensors, tensor_digest

# Sums are rounded in another order on another processor, so that an image at a decision boundary may change sides:
# two in a thousand, and never fewer than two images. A mean moves far less.
TOLERANCE_IMAGES, TOLERANCE_MEAN = 0.002, 1e-3


@dataclass(frozen=True)
class Audit:
    """A published row measured again."""

    row: str
    published: float
    again: float
    tolerance: float
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether the two values are within the tolerance."""
        return abs(self.published - self.again) <= self.tolerance

    def __str__(self) -> str:
        verdict = "agrees" if self.agrees else "DIFFERS"
        return (
            f"{self.row}: published {self.published:.6g}, again {self.again:.6g}, "
            f"tolerance {self.tolerance:.2g}: {verdict} ({self.seconds:.1f} s)"
        )


def weights_of(run: str) -> Path:
    """The file of the very weights that a published run was evaluated with, in runs/ or models/.

    Missing if it is in neither place.
    """
    digest = record_of(run)["training"].get("weights_digest")
    # headers first: reading all the weights takes a second
    shipped = [path for path in models.shipped().values() if config_of(load_meta(path)["config"], path).run == run]
    for path in (runs_dir() / run / "weights.safetensors", *shipped):
        if path.is_file() and tensor_digest(load_tensors(path)[0]) == digest:
            return path
    raise Missing(
        f"{run}: its weights are neither under {runs_dir()} nor in {checkout_path('models')}; train it again (bit "
        "for bit the same weights come from a machine of the same kind only)"
    )


def record_of(run: str) -> dict[str, Any]:
    """Configuration, training and evaluation of a published run."""
    path = results_dir() / run
    return read_json(path.with_name(f"{path.name}.json"))


def _check_pictures(subject: measurements.Subject, measured: str | None) -> None:
    """InputError unless the test pictures are those of a digest (None: not recorded). Those of `shapes` are generated,
    and differ between processors by rounding."""
    if measured is not None and subject.dataset != "shapes" and subject.content != measured:
        here, then = subject.content[:12], measured[:12]
        raise InputError(
            f"{subject.dataset}: the test pictures here (digest {here}) aren't those measured then ({then})"
        )


def audit(row: str, frame: pd.DataFrame | None = None) -> Audit:
    """Measure one published row of a run again. Missing, in one line, if its weights or the row itself aren't there;
    InputError if the test pictures here are others than those that were measured.

    The tables of what distortions leave are measured again by `destroyed`.
    """
    if row.startswith("destroyed/"):
        raise InputError(f"row = {row!r}: no row of a run; python -m atlib.campaign.destroyed --verify ROW")
    published = rows.find_row(row, frame)
    run, began = str(published["run"]), time.perf_counter()
    name, _, level = rows.measurement(published).partition("@")
    one_of("measurement", name, measurements.MEASUREMENTS)
    if pd.isna(published["total"]) or not published["total"]:
        raise InputError(f"row = {row!r}: of no image, there is nothing to compare")
    record = record_of(run)
    config = config_of(record["config"], run)
    subject = evaluation.subject_from(config, weights_of(run), training.device_of_choice())
    _check_pictures(subject, record["evaluation"].get("pictures"))
    with evaluation.exact():
        found = measurements.MEASUREMENTS[name].measure(subject, level)
    values = {found_row.metric: found_row.value for found_row in found.rows}
    if published["metric"] not in values:
        raise InputError(f"row = {row!r}: measured again, it has no {published['metric']}, only {', '.join(values)}")
    counted = not pd.isna(published["count"])
    total = int(published["total"])
    tolerance = max(2 / total, TOLERANCE_IMAGES) if counted else TOLERANCE_MEAN
    seconds = time.perf_counter() - began
    return Audit(row, float(published["value"]), values[str(published["metric"])], tolerance, seconds)


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 if every row agrees, 1 if one differs, 2 with one line on stderr if one can't be audited."""
    parser = argparse.ArgumentParser(prog="python -m atlib.campaign.audit", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("row", nargs="+", help="RUN:DISTORTION@LEVEL/METRIC")
    given = parser.parse_args(arguments)
    audits = []
    for row in given.row:
        audits.append(audit(row))
        print(audits[-1], flush=True)
    return int(not all(one.agrees for one in audits))


if __name__ == "__main__":
    sys.exit(main())
