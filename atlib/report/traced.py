"""Which published rows a claim's number is computed from.

    python -m atlib.report.traced low-pass-better       computes the claim's numbers, and lists their rows

To list the rows, the claim is computed with a `Lookup` that only notes what it is asked for, so that the list comes
from the very code that decides.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
import pandas as pd

from .. import rows
from ..errors import command_line, one_of
from . import claims, verdicts
from .claims import Claim, Ledger
from .quantities import Lookup, Rows, Vector, measured
from .rule import NOT_RUN
from .verdicts import Decision

COMMAND = "python -m atlib.report.traced"


@dataclass(frozen=True)
class Noted(Lookup):
    """A lookup that notes rows instead of reading them; every quantity is 0."""

    noted: dict[tuple[str, str], None] = field(default_factory=dict)  # (run, row of it), in the order asked for

    def quantity(self, model: str, under: str, metric: str) -> Vector:
        if metric == "conditional":
            self.common(model, under, ())
        else:
            self.noted[self.run(model), f"{under}/{metric}"] = None
        return np.zeros(2)

    def common(self, model: str, under: str, together: Iterable[str]) -> Vector:
        mine = self.run(model)
        for run in dict.fromkeys([mine, *map(self.run, together)]):
            self.noted[run, "clean@/accuracy"] = None
        self.noted[mine, f"{under}/accuracy"] = None
        return np.zeros(2)


def rows_of(claim: Claim, decision: Decision, known: Rows, ledger: Ledger) -> dict[int, list[tuple[str, str]]]:
    """(run, DISTORTION@LEVEL/METRIC) of every row that a decision's number is computed from, by seed.

    Those of the control with the network stopped early come last, where it has been judged.
    """
    statistics = [claim.statistic]
    control = verdicts.with_control(claim.statistic)
    if control is not None and decision.control is not None and decision.control.verdict != NOT_RUN:
        statistics.append(control)
    found = {}
    for seed in decision.seeds if decision.judged.values else ():
        look = Noted(known, ledger, decision.dataset, seed)
        for statistic in statistics:
            measured(look, statistic)
        found[seed] = list(look.noted)
    return found


def without_answers(frame: pd.DataFrame) -> Rows:
    """The rows alone: enough to name them."""
    return Rows.of(frame, lambda run: {})


def needs_answers(claim: Claim) -> bool:
    """Whether a claim's number is computed from the answers to single pictures, beyond the rows."""
    return bool({"common", "conditional"} & {*claim.statistic.metrics})


def lines(claim: Claim, decision: Decision, known: Rows, ledger: Ledger) -> list[str]:
    """One line for each seed with its number, and one for each of its rows: its value, and its id for `make verify`."""
    said = []
    found = rows_of(claim, decision, known, ledger)
    for (seed, named), value in zip(found.items(), decision.judged.values, strict=True):
        said.append(f"seed {seed}: {value:+.4f}")
        for run, row in named:
            under, metric = row.split("/")
            number = known.values.get((run, under, metric))
            said.append(f"  {run}:{row}" + ("" if number is None else f"  {number:.4f}"))
    return said


def html(claim: Claim, decision: Decision, known: Rows, ledger: Ledger) -> str:
    """The rows of a decision, folded, with the commands that compute its number again and measure a row again."""
    said = lines(claim, decision, known, ledger)
    if not said:
        return ""
    named = [line.split()[0] for line in said if line.startswith("  ")]
    first = next((name for name in named if ":clean@" not in name), named[0])
    answers = (
        ", with the answers to each picture in an <code>.npz</code> beside it. The number counts only pictures that "
        "are recognised when clean. It is computed from these answers, and isn't the difference of the rows below"
        if needs_answers(claim)
        else ""
    )
    return (
        f'<details class="claim-rows"><summary>The rows behind this number</summary>'
        f"<p>They lie in <code>results/</code>, a file for each run{answers}. Compute the number again: "
        f"<code>{COMMAND} {claim.id}</code>. Measure a row again: <code>make verify ROW={escape(first)}</code>.</p>"
        f'<pre tabindex="0">{escape(chr(10).join(said))}</pre></details>'
    )


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(
        prog=COMMAND, description="Compute a claim's numbers from the published rows, and list these rows."
    )
    parser.add_argument("claims", nargs="+", metavar="CLAIM", help="its id, as book/claims.yaml and the ledger have it")
    asked = parser.parse_args(arguments).claims
    ledger, frame = claims.load(), rows.load()
    for id in asked:
        one_of("claim", id, [claim.id for claim in ledger.claims])
    known, found = without_answers(frame), verdicts.verdicts(frame)
    for id in asked:
        claim = found[id].claim
        print(f"{id}: {claim.claim}")
        for decision in found[id].decisions:
            judged = decision.judged
            number = f" {judged.effect:+.4f} [{judged.low:+.4f}, {judged.high:+.4f}]" if len(judged.values) > 1 else ""
            print(f"{decision.dataset}: {decision.verdict}{number}")
            print("".join(f"  {line}\n" for line in lines(claim, decision, known, ledger)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
