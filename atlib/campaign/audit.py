"""Any number can be audited: measure a published row again from the network's weights, and compare.

python -m atlib.campaign.audit ROW [ROW ...]         ROW is RUN:DISTORTION@LEVEL/METRIC, as tables print it
python -m atlib.campaign.audit ship RUN [RUN ...]    put a run's half-precision weights and model card into models/
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from .. import data, evaluation, measurements, models, rows, training
from ..configuration import config_of, find_run
from ..errors import InputError, Missing, command_line, one_of
from ..files import atomic, checkout_path, load_tensors, read_json, results_dir, runs_dir, tensor_digest

# Sums are rounded in another order on another processor, so that an image at a decision boundary may change sides:
# two in a thousand, and never fewer than two images. A mean moves far less.
TOLERANCE_IMAGES, TOLERANCE_MEAN = 0.002, 1e-3
ON_CARDS = ("clean", "pgd-linf", "trained-attack", "conflict")  # a card says the main ones; results/ has them all
SIZE_LIMIT = 30 * 2**20  # of models/, in bytes


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
    places = [runs_dir() / run / "weights.safetensors", *models.shipped().values()]
    for path in places:
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


def audit(row: str, frame: pd.DataFrame | None = None) -> Audit:
    """Measure one published row of a run again. Missing, in one line, if its weights or the row itself aren't there.

    The tables of what distortions leave are measured again by `atlib.report.destroyed`.
    """
    if row.startswith("destroyed/"):
        raise InputError(f"row = {row!r}: no row of a run; python -m atlib.report.destroyed --verify ROW")
    published = rows.find_row(row, frame)
    run, began = str(published["run"]), time.perf_counter()
    name, _, level = rows.measurement(published).partition("@")
    one_of("measurement", name, measurements.MEASUREMENTS)
    if pd.isna(published["total"]) or not published["total"]:
        raise InputError(f"row = {row!r}: of no image, there is nothing to compare")
    config = config_of(record_of(run)["config"], run)
    subject = evaluation.subject_from(config, weights_of(run), training.device_of_choice())
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


# --- Weights that come with the repository ----------------------------------------------------------------------------


def shipped_name(trained: dict[str, Any]) -> str:
    """What a trained run is called in models/: DATASET/MODEL for seed 1, DATASET/MODEL-s2 for another seed."""
    config = trained["config"]
    seed = "" if config["seed"] == 1 else f"-s{config['seed']}"
    return f"{data.slug(config['dataset'])}/{trained['model']}{seed}"


def card(run: str) -> str:
    """The model card of a published run, in Markdown: recipe, data, commit, accuracy, licence, all from its record."""
    record = record_of(run)
    config, trained = record["config"], record["training"]
    known = rows.load()
    alone = known["metric"].isin(set(rows.FRACTIONS) - set(rows.BETWEEN))
    known = known[(known["run"] == run) & known["distortion"].isin(ON_CARDS) & alone]
    applies = {k: v for k, v in config.items() if v is not None and v is not False and k not in ("dataset", "seed")}
    measured = "\n".join(
        f"| {row['distortion']}@{row['level']} | {row['metric']} | {row['value']:.4f} | {row['total']} |"
        for row in known.to_dict("records")
    )
    measurements = record["evaluation"]["measurements"].items()
    evaluated = sorted({m["commit"] for place, m in measurements if place.partition("@")[0] in ON_CARDS})
    hardware = trained["hardware"]
    name = shipped_name(trained)
    return f"""# {name}

A ResNet-18 of width {config["width"]}, run `{run}`. Load it with `atlib.models.load("{name}")`; it takes pixels in
[0, 1], N×3×{config["side"]}×{config["side"]}, and normalises them itself.

- Data: {config["dataset"]}; {trained["data"]}
- Recipe: {", ".join(f"{k} {v}" for k, v in applies.items())}; seed {config["seed"]}
- Trained at commit `{trained["commit"]}` on {hardware.get("gpu") or hardware["processor"]}, {trained["precision"]},
  {trained["seconds"] / 60:.1f} minutes; hold-out accuracy {trained["holdout_accuracy"]:.4f}
- Evaluated at commit {", ".join(f"`{commit}`" for commit in evaluated)}, in single precision, from these weights, which
  are rounded to half precision
- sha256 of the tensors: `{trained["weights_digest"]}`
- Licence: MIT, as the rest of this repository. Meant for research on robustness, not for decisions about people.

| measured | metric | value | images |
| --- | --- | --- | --- |
{measured}
"""


def ship(run: Path, folder: Path | None = None) -> Path:
    """Put a published run's weights and model card into models/, by its `shipped_name`; returns the weights' path.

    InputError for a run that isn't published, one that was fine-tuned from others' weights (their licence goes with
    it), and if models/ would exceed 30 MB.
    """
    folder = folder or checkout_path("models")
    trained = read_json(run / "training.json")
    name = shipped_name(trained)
    if trained["config"].get("weights"):
        raise InputError(f"{run}: fine-tuned from {trained['config']['weights']}; such weights are not shipped")
    if not (results_dir() / f"{trained['run']}.csv").is_file():
        raise InputError(f"{run}: not published; publish it first")
    if record_of(trained["run"])["training"].get("weights_digest") != trained["weights_digest"]:
        raise InputError(f"{run}: its weights are not those that were published; publish it again")
    target, source = folder / f"{name}.safetensors", run / "weights.safetensors"
    if target.is_file() and models.load(target)[1]["config"] != trained["config"]:
        raise InputError(f"{target}: is of another run; remove it to ship {trained['run']} instead")
    others = sum(path.stat().st_size for path in folder.glob("*/*.safetensors") if path != target)
    if others + source.stat().st_size > SIZE_LIMIT:
        raise InputError(f"{folder}: would exceed {SIZE_LIMIT >> 20} MB with {name}")
    with atomic(target) as temporary:
        shutil.copyfile(source, temporary)
    with atomic(target.with_suffix(".md")) as temporary:
        temporary.write_text(card(trained["run"]), encoding="utf-8")
    return target


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 if every row agrees, 1 if one differs, 2 with one line on stderr if one can't be audited."""
    parser = argparse.ArgumentParser(prog="python -m atlib.campaign.audit", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("row", nargs="+", help="RUN:DISTORTION@LEVEL/METRIC; or ship, and runs")
    given = parser.parse_args(arguments)
    if given.row[0] == "ship":
        if len(given.row) < 2:
            raise InputError("ship: needs at least one run, such as runs/cifar10/normal-w16-s1-…")
        for name in given.row[1:]:
            print(f"wrote {ship(find_run(name))}")
        return 0
    audits = []
    for row in given.row:
        audits.append(audit(row))
        print(audits[-1], flush=True)
    return int(not all(one.agrees for one in audits))


if __name__ == "__main__":
    sys.exit(main())
