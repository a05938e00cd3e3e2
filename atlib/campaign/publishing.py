"""Publishing a run: its rows, predictions and record go to results/, once they are known to belong together.

python -m atlib.campaign.publishing RUN [RUN ...]
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..configuration import find_run
from ..errors import InputError, Missing, command_line
from ..files import RUN_NAME, atomic, exclusive, hold, read_json, results_dir, write_json
from ..rows import ANOTHER_CLASS, Predictions, correct, measurement, read_predictions, read_rows

LOCK = ".publishing.lock"  # in results/: of two processes that publish at once, the second sees what the first wrote
PATIENCE = 120.0  # seconds that it waits; a publication takes less than one


def publish(run: Path, folder: Path | None = None) -> list[Path]:
    """Copy rows, predictions and record of a finished, evaluated run to results/; returns the files written.

    Publishing again replaces the files. InputError, and nothing written, for a quick run; for one not fully trained or
    not evaluated, or that a process is still training or measuring; for uncommitted code; if rows, predictions and run
    don't belong together; and if tables would average the run with published ones that were trained differently.
    """
    _record(run)  # before a lock is written there
    with exclusive(run):  # what is copied is what was checked
        return _publish(run, folder or results_dir())


def _publish(run: Path, folder: Path) -> list[Path]:
    record = _record(run)
    name = record["training"]["run"]
    rows, predictions = read_rows(run / "rows.csv"), read_predictions(run / "predictions.npz")
    if rows["run"].iloc[0] != name or not RUN_NAME.fullmatch(name):
        raise InputError(f"{run}: rows.csv holds the rows of {rows['run'].iloc[0]}, not of {name}; evaluate it again")
    _check_columns(run, rows, record)
    _check_agreement(run, rows, predictions)
    refusal = f"{folder}: another run is being published there, by"
    with hold(folder / LOCK, f"process {os.getpid()}", refusal, PATIENCE):
        check_alike(record["config"], record["training"].get("recipe"), name, folder)
        return _copy(run, folder / name, rows, record)


def _copy(run: Path, target: Path, rows: pd.DataFrame, record: dict[str, Any]) -> list[Path]:
    """Write predictions, rows and record beside each other, as `target` with another ending each."""
    # the record comes last: it is by its measurements that the campaign knows whether it has to publish (again)
    paths = [target.with_name(f"{target.name}.{kind}") for kind in ("npz", "csv", "json")]
    old = read_json(paths[2])["training"] if paths[2].is_file() else {}
    if old.get("weights_digest") != record["training"].get("weights_digest"):
        paths[2].unlink(missing_ok=True)  # of another network: if this publication is cut off, it has to be repeated
    with atomic(paths[0]) as temporary:
        shutil.copyfile(run / "predictions.npz", temporary)
    with atomic(paths[1]) as temporary:
        rows.to_csv(temporary, index=False)
    write_json(paths[2], record)
    return paths


def _record(run: Path) -> dict[str, Any]:
    """Configuration, training and evaluation of a run that may be published."""
    for file, state in (("training.json", "trained to its end"), ("evaluation.json", "evaluated")):
        if not (run / file).is_file():
            raise InputError(f"{run}: not {state} ({file} is missing)")
    training, evaluation = read_json(run / "training.json"), read_json(run / "evaluation.json")
    config = read_json(run / "config.json") if (run / "config.json").is_file() else training.get("config")
    if not isinstance(config, dict) or "run" not in training or config != training.get("config"):
        raise InputError(f"{run}: training.json lacks the run's name or configuration, or has another than config.json")
    if config.get("quick"):
        raise InputError(f"{run}: a quick run, made to test the notebooks; its numbers mean nothing")
    digests = [record.get("weights_digest") for record in (training, evaluation)]
    if all(digests) and digests[0] != digests[1]:
        raise InputError(f"{run}: evaluated with other weights than it has now; evaluate it again")
    _check_commits(run, training, evaluation)
    return {"config": config, "training": training, "evaluation": evaluation}


def _check_commits(run: Path, training: Mapping[str, Any], evaluation: Mapping[str, Any]) -> None:
    """Training and every measurement must be of committed code: of any other, nobody can say what was run."""
    commits = {"trained": training.get("commit", "unknown")}
    measured = evaluation.get("measurements", {})
    commits |= {f"{place} measured": record.get("commit", "unknown") for place, record in measured.items()}
    for what, commit in commits.items():
        if commit == "unknown" or commit.endswith("-dirty"):
            raise InputError(
                f"{run}: {what} by code of commit {commit}, which can't be looked up; commit it and run that again"
            )


def _check_columns(run: Path, rows: pd.DataFrame, record: Mapping[str, Any]) -> None:
    """The rows must be of this configuration, and of every measurement that is recorded."""
    config, training = record["config"], record["training"]
    about = {name: config.get(name) for name in ("dataset", "width", "seed")}
    about |= {"share": config.get("share") or 0.0, "model": training.get("model"), "recipe": training.get("recipe")}
    for name, value in about.items():
        if (rows[name] != value).any():
            raise InputError(f"{run}: rows.csv has other values of {name} than the run's, {value}; evaluate it again")
    places = {measurement(row) for row in rows.to_dict("records")}
    for name in record["evaluation"].get("measurements", {}):
        if name not in places:
            raise InputError(f"{run}: rows.csv has no rows of {name}; evaluate it again")


PREDICTED = {
    "accuracy": "class",
    "accuracy_last": "last",
    "accuracy_any": "any",
    "vanished": "vanished",
}  # what a metric counts


def _check_agreement(run: Path, rows: pd.DataFrame, predictions: Predictions) -> None:
    """The counts in the rows must be those of the predictions beside them."""
    counted = rows["metric"].isin([*PREDICTED, ANOTHER_CLASS]) | (rows["distortion"] == "conflict")
    for row in rows[counted].to_dict("records"):
        place = f"{row['distortion']}@{row['level']}/{row['metric']}"
        try:
            right = _right(predictions, row)
        except (Missing, KeyError):
            raise InputError(f"{run}: predictions.npz has none of {place}; evaluate it again") from None
        if (int(right.sum()), len(right)) != (row["count"], row["total"]):
            raise InputError(f"{run}: rows.csv and predictions.npz differ on {place}; evaluate it again")


def _right(predictions: Predictions, row: Mapping[Any, Any]) -> NDArray[np.bool_]:
    """Of each image that a counted row is about, whether it counts; KeyError or Missing without its predictions."""
    if row["metric"] == ANOTHER_CLASS:
        known, another = (predictions[f"{measurement(row)}/{name}"] for name in ("known", ANOTHER_CLASS))
        return np.asarray(another[known])
    if row["distortion"] != "conflict":
        return correct(predictions, f"{row['distortion']}@{row['level']}", PREDICTED[row["metric"]])
    said, labels, textures = (predictions[f"conflict@/{name}"] for name in ("class", "labels", "textures"))
    shape, texture = said == labels, said == textures
    either = shape | texture
    found = {"coverage": either, "shape_accuracy": shape, "texture_accuracy": texture, "shape_bias": shape[either]}
    return np.asarray(found[row["metric"]])


def check_alike(config: Mapping[str, Any], recipe: str | None, name: str, folder: Path) -> None:
    """Published runs of the same cell must be the same but for the seed, and one for each seed.

    config, recipe: of the run called `name`. folder: results/. InputError otherwise.
    """
    for path in sorted(folder.glob(f"{name.rpartition('-s')[0]}-s*.json")):
        other = read_json(path)
        if other["training"].get("recipe") != recipe or other["config"].get("share") != config.get("share"):
            continue
        published = other["training"]["run"]
        if unlike := differences(config, other["config"]):
            raise InputError(
                f"{name}: differs from the published {published} in {', '.join(unlike)}, and tables would average the "
                "two; publish it elsewhere (ATLIB_RESULTS)"
            )
        if other["config"].get("seed") == config.get("seed") and published != name:
            raise InputError(
                f"{name}: {published} is published, the same network in another precision, and tables would count it "
                "twice; publish it elsewhere (ATLIB_RESULTS)"
            )


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Parameters in which two configurations of one model and recipe differ, with both values.

    Not counted: the seed (so that of a match only the model counts), and the precision, which is the machine's choice.
    """

    def applying(config: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in config.items() if value is not None and value is not False}
        return kept | {"seed": 0, "precision": "", "match": str(kept.get("match", "")).rpartition("-s")[0]}

    mine, others = applying(one), applying(other)
    names = [name for name in {**mine, **others} if mine.get(name) != others.get(name)]
    return [f"{name} ({mine.get(name)}, not {others.get(name)})" for name in names]


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.campaign.publishing", description="Copy the rows of finished runs to results/."
    )
    parser.add_argument("run", nargs="+", help="folder of a run, or its name under runs/")
    for name in parser.parse_args(arguments).run:
        for path in publish(find_run(name)):
            print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
