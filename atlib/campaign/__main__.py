"""The command line of the campaign.

python -m atlib.campaign status [--blocks a,b]
python -m atlib.campaign run [--blocks a,b] [--jobs 1] [--threads 2] [--minutes 150] [--profile slurm]
python -m atlib.campaign bare [--blocks g,h] [--processes 4] [--minutes 9]      (a machine with torch and little else)
python -m atlib.campaign job data|stylise|train|evaluate|publish|run NAME --snapshot FILE   (called by run and bare)
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import command_line
from . import doing, grid, snapshot


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(prog="python -m atlib.campaign", description="Train, measure, publish.")
    parser.add_argument("--grid", type=Path, help="another grid than workflow/grid.yaml")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("status", help="how far each run of the grid has come")
    one.add_argument("--blocks", default="")
    one = commands.add_parser("run", help="train, measure and publish what is missing")
    one.add_argument("--blocks", default="")
    one.add_argument("--jobs", type=int, default=1, help="number of jobs at a time")
    one.add_argument("--threads", type=int, default=2, help="threads per job")
    one.add_argument("--minutes", type=float, default=0, help="stop after this many minutes; 0: never")
    one.add_argument("--profile", default="local")
    one.add_argument("--announce", type=Path, metavar="FILE", help="say what will be done, and write what it needs")
    one.add_argument("--announced", action="store_true", help="skip the announcement")
    one = commands.add_parser("bare", help="the same without Snakemake and notebooks, where these aren't installed")
    one.add_argument("--blocks", default="")
    one.add_argument("--processes", type=int, default=1, help="runs at a time")
    one.add_argument("--minutes", type=float, default=0, help="stop after this many minutes; 0: never")
    one = commands.add_parser("job", help="one job of a campaign")
    one.add_argument("kind", choices=doing.JOBS)
    one.add_argument("name")
    one.add_argument("--snapshot", type=Path, required=True)
    one.add_argument("--bare", action="store_true", help="without notebooks")
    given = parser.parse_args(arguments)
    if given.command == "job":
        return doing.job(given.kind, given.name, snapshot.read(given.snapshot), bare=given.bare)
    from . import announcing, bare, running  # these take torch, which a job that runs a notebook doesn't need

    if given.command == "status":
        announcing.status(grid.select(grid.load(given.grid), given.blocks), grid.titles(given.grid))
        return 0
    limits = {"slots": given.jobs, "threads": given.threads, "minutes": given.minutes} if given.command == "run" else {}
    if given.command == "run" and given.announce:
        return running.announce(given.blocks, given.announce, **limits, path=given.grid, profile=given.profile)
    if given.command == "run":
        return running.run(given.blocks, **limits, profile=given.profile, path=given.grid, announced=given.announced)
    return bare.run(given.blocks, processes=given.processes, minutes=given.minutes, path=given.grid)


if __name__ == "__main__":
    sys.exit(main())
