"""Make the cue-conflict pictures of photographs: paint a sample, fix the strength by one network, paint the rest.

    python -m atlib.campaign.cues caltech101/normal-w64-s2-d4ccc123 --minutes 4

Called again, it goes on. Then `evaluate` of each run measures `conflict`. Only the network named here, a normal one, is
asked before the strength is fixed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import data, evaluation, models
from ..configuration import config_of, dataset_arguments, find_run
from ..errors import InputError, command_line
from ..files import read_json
from ..progress import say
from ..style import cues, find_stylist


@torch.no_grad()
def coverage(model: torch.nn.Module, images: Tensor, labels: Tensor, textures: Tensor, side: int) -> float:
    """The share of cue-conflict pictures that a network answers by either class."""
    said = torch.cat([model(data.prepare(some, side)).argmax(1).cpu() for some in images.split(50)])
    return float(((said == labels) | (said == textures)).float().mean())


def make(run: str, minutes: float = 1e9, stylist: str = "ghiasi") -> str:
    """Paint more pictures of a run's data set, for `minutes`; returns one line on what was done."""
    folder = find_run(run)
    config = config_of(read_json(folder / "training.json")["config"], folder)
    if config.model != "normal":
        raise InputError(f"run = {run!r}: the strength is fixed by a network that was trained normally")
    if config.dataset not in cues.DATASETS:
        raise InputError(f"run = {run!r}: its data set must be one of {', '.join(cues.DATASETS)}")
    began, painter = time.monotonic(), find_stylist(stylist)
    dataset = data.load(config.dataset, side=config.side, progress=False, **dataset_arguments(config))

    def left() -> float:
        return max(0.0, minutes - (time.monotonic() - began) / 60)

    if not (about := cues.manifest(dataset.name, dataset.side)):
        model = models.fold(models.load(folder / "weights.safetensors")[0])
        drawn = cues.draw(dataset.test.labels, dataset.classes, dataset.test.images.shape[-1])
        labels, textures = (dataset.test.labels[places[: cues.TRIED]] for places in (drawn.contents, drawn.styles))
        found = {}
        for strength in cues.STRENGTHS:
            images = cues.paint(dataset, strength, painter, until=cues.TRIED, minutes=left())
            if images is None:
                return f"strength {strength:g}: the sample is not whole yet"
            with evaluation.exact():
                found[strength] = coverage(model, images, labels, textures, dataset.side)
        cues.settle(dataset, found, painter, str(read_json(folder / "training.json")["run"]))
        about = cues.manifest(dataset.name, dataset.side)
        say(f"strength {about['strength']:g}, by coverages {about['coverage']}")
    path = cues.finish(dataset, painter, minutes=left())
    return f"strength {about['strength']:g}: not all pictures are painted yet" if path is None else str(path)


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m atlib.campaign.cues", description="Cue conflict on photographs.")
    parser.add_argument("run", help="a finished run of a normal network, whose coverage fixes the strength")
    parser.add_argument("--minutes", type=float, default=1e9, help="start nothing new after this many minutes")
    asked = parser.parse_args(arguments)
    print(make(asked.run, asked.minutes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
