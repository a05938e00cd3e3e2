"""The underfit control: a normal network, stopped early, when it was as accurate as the network to match."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import models
from .configuration import Config, find_run, trained_elsewhere
from .errors import Missing
from .files import read_json, results_dir


def choose(config: Config, source: Path) -> dict[str, Any]:
    """Make the network from the snapshot of a normal run whose hold-out accuracy is closest to the target.

    config: of the underfit run, into whose folder the weights are written; source: the folder of the finished normal
    run. Returns what training.json records about the choice. Missing if that run's snapshots are gone.
    """
    record = read_json(source / "training.json")
    target = target_accuracy(str(config.match))
    chosen = min(record["looks"], key=lambda look: abs(look["accuracy"] - target))
    gap = chosen["accuracy"] - target
    print(f"underfit: {record['run']} at epoch {chosen['epoch']:.2f}")
    print(f"underfit: hold-out accuracy {chosen['accuracy']:.4f}, {gap:+.4f} from the target {target:.4f}")
    last = record["looks"][-1]["accuracy"]
    degenerate = target >= last - 0.01
    if degenerate:
        short = f"the target {target:.4f} is less than .01 below the normal network's {last:.4f}"
        print(f"underfit: degenerate control, {short}")
    if not (source / chosen["weights"]).is_file():
        raise Missing(
            f"{source}: the snapshots from which the underfit network is cut are gone; remove the folder, and it is "
            "trained again"
        )
    model, header = models.load(source / chosen["weights"])
    models.save(config.folder / "weights.safetensors", model, header | {"config": asdict(config)})
    about = {"source": record["run"], "source_digest": record["weights_digest"]}
    about |= {"epoch": chosen["epoch"], "target": target, "gap": gap, "degenerate": degenerate}
    kept = ("log", "data", "pictures_digest", "initial", "seconds", "precision")
    about |= {name: record[name] for name in kept if name in record}
    return about | {"holdout_accuracy": chosen["accuracy"]}


def target_accuracy(match: str) -> float:
    """The hold-out accuracy to match: a given number, or that of a finished run, maybe a published one."""
    try:
        return float(match)
    except ValueError:
        if trained_elsewhere(match):
            return read_json(results_dir() / f"{match}.json")["training"]["holdout_accuracy"]
        return read_json(find_run(match) / "training.json")["holdout_accuracy"]
