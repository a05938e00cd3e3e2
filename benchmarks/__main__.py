"""`python -m benchmarks [--quick] [--rounds N] [--out PATH]`: measure, print the table, write it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import atlib  # noqa: F401  (before torch: it sets how OpenMP's threads wait)

# isort: split
import pandas as pd
import torch

from atlib import provenance
from atlib.errors import InputError
from atlib.files import atomic, results_dir, runs_dir

from .measure import Row

PEERS = ("torchattacks", "foolbox", "captum")


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Time atlib against its peers.")
    parser.add_argument("--quick", action="store_true", help="tiny networks, one round: to see that it runs")
    parser.add_argument("--rounds", type=int, help="how often each comparison is run (default 3, quick 1)")
    parser.add_argument("--out", type=Path, help="the CSV (default results/bench.csv, quick runs/bench-quick.csv)")
    given = parser.parse_args(arguments)
    if given.rounds is not None and given.rounds < 1:
        parser.error(f"--rounds {given.rounds}: must be at least 1")
    return given


def measure_all(quick: bool, rounds: int | None) -> tuple[list[Row], int, bool]:
    """(rows, rounds, whether bf16 is fast here), measured on one thread."""
    from . import contests, lens  # need the peers

    plan = contests.QUICK if quick else contests.Plan()
    plan = plan if rounds is None else replace(plan, rounds=rounds)
    torch.manual_seed(0)
    fast = contests.bf16_is_fast(plan)
    rows = contests.passes(plan) + contests.pgd(plan, fast)
    rows += contests.robustness(plan)
    for steps in contests.TRAINING_STEPS:
        rows += contests.training_step(plan, steps, fast)
    rows += lens.smoothgrad(plan, fast) + lens.kept_styles(plan) + lens.distortions(plan)
    return rows, plan.rounds, fast


def table(rows: list[Row], rounds: int, fast: bool) -> pd.DataFrame:
    """The rows with where they come from."""
    hardware, versions = provenance.hardware(torch.device("cpu")), provenance.versions()
    common = {
        "rounds": rounds, "processor": hardware["processor"], "threads": hardware["threads"],
        "bf16": "fast" if fast else "not fast", "commit": provenance.commit(), "python": versions["python"],
        "torch": versions["torch"],
    }  # fmt: skip
    common |= {name: metadata.version(name) for name in PEERS}
    columns = ["what", "against", "ours_s", "theirs_s", "ratio", "reach", "met", "detail", *common]
    return pd.DataFrame([asdict(row) | common for row in rows])[columns]


def shown(frame: pd.DataFrame) -> str:
    """The table as text: what, ours and theirs in seconds, ratio, reach, met; details below."""

    seconds = frame[["ours_s", "theirs_s", "ratio"]].map(lambda value: "" if pd.isna(value) else f"{value:.3f}")
    cells = pd.concat([frame[["what", "against"]], seconds, frame[["reach", "met"]]], axis=1).to_numpy().tolist()
    lines = [["", "against", "ours s", "theirs s", "ratio", "reach", "met"], *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(7)]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    details = [f"  {what}: {detail}" for what, detail in zip(frame["what"], frame["detail"], strict=True) if detail]
    return "\n".join([*text, "", *details])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 or 2, with one line on stderr, if something is missing or can't be used."""
    given = parsed(arguments)
    missing = [name for name in PEERS if find_spec(name) is None]
    if missing:
        print(f"{missing[0]} is not installed: `make bench` installs what it compares with", file=sys.stderr)
        return 1
    out = given.out or (runs_dir() / "bench-quick.csv" if given.quick else results_dir() / "bench.csv")
    if out.resolve() == (results_dir() / "bench.csv").resolve():
        try:
            provenance.committed("benchmarks")  # published numbers name the commit that measured them
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
    began, threads = time.monotonic(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        frame = table(*measure_all(given.quick, given.rounds))
    finally:
        torch.set_num_threads(threads)
    with atomic(out) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.4f", lineterminator="\n")
    first = frame.iloc[0]
    print(shown(frame))
    print(f"\n{first.processor}, one thread, bf16 {first.bf16}, torch {first.torch}, commit {first.commit}")
    print(f"medians of {first['rounds']}, CPU seconds; {time.monotonic() - began:.0f} s in all; written to {out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
