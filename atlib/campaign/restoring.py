"""The folder of a published run, made again from its rows and weights, so that more can be measured of it.

python -m atlib.campaign.restoring RUN [RUN ...]    RUN is DATASET/RUN, as in results/

The network isn't trained again: its very weights have to be in models/ (or given). Evaluation then measures what is
missing, and publishing adds it to the rows that were there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError, Missing, command_line
from ..files import RUN_NAME, checkout_path, results_dir, runs_dir, writable, write_json
from ..tensors import load_tensors, tensor_digest
from .audit import record_of, weights_of

FILES = {"rows.csv": "csv", "predictions.npz": "npz"}  # in a run's folder, and how results/ names them
RECORDS = ("config", "evaluation", "training")


def restore(run: str, weights: Path | None = None) -> Path:
    """Make the folder of a published run under runs/; returns it.

    run: DATASET/RUN. weights: a file with its weights (None: those in models/, by `audit.weights_of`). InputError if
    the folder is there already, for a name that isn't a run's, and for weights that aren't those whose rows are
    published; Missing if the run isn't published, or its weights aren't here.
    """
    if not RUN_NAME.fullmatch(run):
        raise InputError(f"run = {run!r}: must be DATASET/RUN, as in results/, such as cifar10/normal-w16-s1-aa196894")
    published = {name: results_dir() / f"{run}.{kind}" for name, kind in FILES.items()}
    if not all(path.is_file() for path in (*published.values(), results_dir() / f"{run}.json")):
        raise Missing(f"run = {run!r}: not published in {results_dir()}")
    folder, record = runs_dir() / run, record_of(run)
    if folder.exists():
        raise InputError(f"{folder}: is there already; evaluate it as it is, or remove it")
    source = weights or weights_of(run)
    if tensor_digest(load_tensors(source)[0]) != record["training"]["weights_digest"]:
        raise InputError(f"weights = {str(source)!r}: not those of {run} whose rows are published")
    writable(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".restoring.") as temporary:  # whole, or not there
        made = Path(temporary) / "run"
        made.mkdir()
        for name, path in {**published, "weights.safetensors": source}.items():
            shutil.copyfile(path, made / name)
        for name in RECORDS:
            write_json(made / f"{name}.json", record[name])
        made.rename(folder)
    return folder


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if a run can't be restored."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.campaign.restoring", description="Make the folders of published runs again."
    )
    parser.add_argument("run", nargs="+", help="DATASET/RUN, as in results/")
    names = parser.parse_args(arguments).run
    checkout_path("models")  # without a checkout there are no weights to restore from
    for name in names:
        print(f"wrote {restore(name)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
