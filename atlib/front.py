"""The answer so far: three sentences with numbers, on the front page and in the README.

    python -m atlib.front        writes them into README.md, between its marks

Both are made from the published rows by the same function, so that neither can say what the rows don't.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from . import lens, results, tables
from .files import REPOSITORY, atomic

README = REPOSITORY / "README.md"
MARKS = ("<!-- answer: written by `python -m atlib.front` -->", "<!-- end of the answer -->")


def verdict_on(claim: str, dataset: str, frame: pd.DataFrame) -> str:
    """The verdict on one claim on one data set."""
    found = results.verdicts(frame)
    return str(found[(found["dataset"] == dataset) & (found["id"] == claim)]["verdict"].iloc[0])


def on_shape_bias(frame: pd.DataFrame, about: Mapping[str, dict]) -> str:
    """Where shape and texture are both known."""
    main = tables.main_lines(tables.cue_table(frame, dict(about)))
    verdict = verdict_on("shape-bias", "shapes", frame)
    return f"Where shape and texture are both known (`shapes`), the claim's verdict is **{verdict}**: " + (
        tables.bias_sentence(main)
    )


def on_distortions(frame: pd.DataFrame, predictions: results.Archive | None = None) -> str:
    """Where texture is taken away, and where shape is, on CIFAR-10."""
    parts = []
    for distortion, level, where in (
        ("saturation", "1024", "binarised (saturation 1024)"),
        ("patch-shuffle", "4", "cut into 4×4 patches and shuffled"),
    ):
        found = lens.points(frame, "cifar10", distortion, predictions)
        said = lens.against_normal(found, "cifar10", level).partition(": ")[2]  # without the data set's name
        parts.append(f"{where}, {said or f'**{tables.PENDING}**'}")
    width = tables.setting("cifar10").width
    return (
        f"On CIFAR-10 (networks of width {width}, the paper's are wider), of the pictures that both networks know when "
        "clean, " + "; ".join(parts) + "."
    )


def answer(frame: pd.DataFrame, about: Mapping[str, dict], predictions: results.Archive | None = None) -> str:
    """Three sentences, as a Markdown list."""
    sentences = (
        on_shape_bias(frame, about),
        on_distortions(frame, predictions),
        lens.ledger_sentence(frame),
    )
    return "\n".join(f"- {sentence}" for sentence in sentences)


def with_answer(text: str, said: str) -> str:
    """A README with the answer between its marks; ValueError if it has none."""
    before, _, rest = text.partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise ValueError(f"no {MARKS[0]} … {MARKS[1]}")
    return f"{before}{MARKS[0]}\n{said}\n{mark}{after}"


def main(path: Path = README) -> int:
    """Write the answer into the README."""
    frame = results.load()
    text = with_answer(path.read_text(), answer(frame, tables.records(), results.archive()))
    if text != path.read_text():
        with atomic(path) as temporary:
            temporary.write_text(text)
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
