"""The networks that come with the repository: half-precision weights in models/, each with a model card.

python -m atlib.campaign.shipping RUN [RUN ...]    put a published run's weights and card there
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import data, models, rows
from ..configuration import find_run
from ..errors import InputError, command_line
from ..files import atomic, checkout_path, read_json, results_dir
from .audit import record_of

ON_CARDS = ("clean", "pgd-linf", "trained-attack", "conflict")  # a card says the main ones; results/ has them all
SIZE_LIMIT = 30 * 2**20  # of models/, in bytes


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
    """The command line; 2 with one line on stderr if a run can't be shipped."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.campaign.shipping", description="Put published networks into models/."
    )
    parser.add_argument("run", nargs="+", help="folder of a run, or its name under runs/")
    for name in parser.parse_args(arguments).run:
        print(f"wrote {ship(find_run(name))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
