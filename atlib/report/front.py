"""The opening of the front page and of the README: one sentence, one picture, one line of how sure.

    python -m atlib.report.front        writes it into README.md, between its marks

The sentence is that of book/answer.yaml, bound to the verdicts that it rests on, so that neither can say what the rows
don't.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from html import escape

import pandas as pd

from .. import rows
from ..errors import InputError, command_line
from ..files import atomic, checkout_path
from . import bound, hero, ledger, verdicts

README = "README.md"
MARKS = ("<!-- answer: written by `python -m atlib.report.front` -->", "<!-- end of the answer -->")


STYLE = """<style>
.front-answer{font-size:1.25rem;line-height:1.35;margin:0 0 .8rem!important;max-width:44rem}
.front-sure{font-size:.95rem;margin:.7rem 0 .5rem!important}
.bd-article .doors p{display:flex;flex-wrap:wrap;gap:.5rem;margin:0}
.bd-article .doors a{padding:.35rem .9rem;border:1px solid var(--pst-color-primary);border-radius:.3rem;
text-decoration:none}
.bd-article .doors a:hover{background:var(--pst-color-primary);color:var(--pst-color-background)}
.bd-article section > h1:first-child{margin-top:0}
</style>"""


def how_sure(frame: pd.DataFrame, link: Callable[[str, str], str]) -> str:
    """How many claims there are, how they stand on photographs, and where it is said how to measure again.

    link: makes a link of a text and a page's name, "claims" or "reproduce".
    """
    found = list(verdicts.verdicts(frame).values())
    paper = sum(one.claim.origin == "paper" for one in found)
    return (
        f"We broke the paper down into {link(f'{paper} claims', 'claims')} that numbers can test. "
        f"{ledger.standing(found)}{ledger.shown_only(found)} {link('How to repeat a measurement', 'reproduce')}."
    )


def opening(frame: pd.DataFrame) -> str:
    """The front page's first screen, below the question: the answer, the picture, how sure we are; as HTML."""
    sure = how_sure(frame, lambda text, page: f'<a href="{escape(page)}.html">{escape(text)}</a>')
    return (
        f'{STYLE}<p class="front-answer">{escape(bound.headline(frame))}</p>\n{hero.html(frame)}\n'
        f'<p class="front-sure">{sure}</p>'
    )


def readme(frame: pd.DataFrame) -> str:
    """What the README says between its marks, in Markdown."""
    sure = how_sure(frame, lambda text, page: f"[{text}](notebooks/{page}.ipynb)")
    return f"**{bound.headline(frame)}**\n\n{sure}"


def with_answer(text: str, said: str) -> str:
    """A README with the answer between its marks; InputError if it has none."""
    before, _, rest = text.partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise InputError(f"{README}: has no {MARKS[0]} … {MARKS[1]}, between which the answer stands")
    return f"{before}{MARKS[0]}\n{said}\n{mark}{after}"


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    argparse.ArgumentParser(
        prog="python -m atlib.report.front", description="Write the headline and how sure it is into README.md."
    ).parse_args(arguments)
    path = checkout_path(README)
    text = with_answer(path.read_text(encoding="utf-8"), readme(rows.load()))
    if text != path.read_text(encoding="utf-8"):
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
