"""The answer so far, on the front page and in the README.

    python -m atlib.report.front        writes it into README.md, between its marks

Both are the sentences of book/answer.yaml, bound to the verdicts that they rest on, so that neither can say what the
rows don't.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pandas as pd

from .. import rows
from ..errors import command_line
from ..files import atomic, checkout_path
from . import bound, ledger

README = "README.md"
MARKS = ("<!-- answer: written by `python -m atlib.report.front` -->", "<!-- end of the answer -->")


def answer(frame: pd.DataFrame) -> str:
    """The answer, its caution, and how many claims stand behind it; in Markdown."""
    return f"{bound.answer(frame)}\n\n{ledger.ledger_sentence(frame)}"


def with_answer(text: str, said: str) -> str:
    """A README with the answer between its marks; ValueError if it has none."""
    before, _, rest = text.partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise ValueError(f"no {MARKS[0]} … {MARKS[1]}")
    return f"{before}{MARKS[0]}\n{said}\n{mark}{after}"


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Write the answer into the README."""
    path = checkout_path(README)
    text = with_answer(path.read_text(encoding="utf-8"), answer(rows.load()))
    if text != path.read_text(encoding="utf-8"):
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
