"""`python -m atlib.report.own MODEL DATASET`: measure your own network, and write a one-page report of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ... import data, evaluation, own
from ...errors import command_line
from ...files import runs_dir, writable
from .page import closing, write


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.report.own", description="Measure your own network, and write a one-page report of it."
    )
    parser.add_argument("model", help=", ".join(own.SOURCES))
    parser.add_argument("dataset", help=f"{', '.join(data.DATASETS)} or folder:PATH")
    parser.add_argument("--side", type=int, help="pixels that the network sees")
    parser.add_argument("--classes", default="", help="a CSV that says which output means which class")
    parser.add_argument("--weights", default="", help="a checkpoint to fill the network with")
    parser.add_argument("--limit", type=int, help="number of test pictures to measure on (default: all)")
    parser.add_argument("--sample", default="stratified", choices=own.SAMPLES, help="which ones")
    parser.add_argument("--measure", default="", help="clean,saturation@1024: these alone, separated by commas")
    parser.add_argument("--again", action="store_true", help="also repeat measurements that exist already")
    asked = vars(parser.parse_args(arguments))
    names = tuple(name.strip() for name in asked.pop("measure").split(",") if name.strip())
    again, model, dataset = asked.pop("again"), asked.pop("model"), asked.pop("dataset")
    evaluation.check_measure(names)  # before weights and pictures are read
    writable(runs_dir())
    folder = own.evaluate(own.subject(model, dataset, **asked), measure=names, again=again, interface="command line")
    write(folder)
    closing(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
