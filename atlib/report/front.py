"""The answer so far: three sentences with numbers, on the front page and in the README.

    python -m atlib.report.front        writes them into README.md, between its marks

Both are made from the published rows by the same function, so that neither can say what the rows don't.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import pandas as pd

from .. import rows, style
from ..errors import command_line
from ..files import atomic, checkout_path
from . import claims, lens, tables, verdicts

README = "README.md"
MARKS = ("<!-- answer: written by `python -m atlib.report.front` -->", "<!-- end of the answer -->")


def verdict_on(claim: str, dataset: str, frame: pd.DataFrame) -> str:
    """The verdict on one claim on one data set."""
    found = verdicts.table(frame)
    return str(found[(found["dataset"] == dataset) & (found["id"] == claim)]["verdict"].iloc[0])


def on_shape_bias(frame: pd.DataFrame, about: Mapping[str, dict]) -> str:
    """Where shape and texture are both known."""
    main = tables.main_lines(tables.cue_table(frame, dict(about)))
    verdict = verdict_on("shape-bias", "shapes", frame)
    return f"Where shape and texture are both known (`shapes`), the claim's verdict is **{verdict}**: " + (
        tables.bias_sentence(main)
    )


PAPER_SETS = ("cifar10", "tiny-imagenet", "caltech101")
CLAIMS = {  # of the second sentence, and how their distortion is called there
    "saturation-less-sensitive": "saturated",
    "shuffle-hurts-more": "cut into patches and shuffled",
}
STYLES = {"generated": "in generated styles", "paintings": "in those of paintings"}


def on_distortions(frame: pd.DataFrame, predictions: rows.Archive) -> str:
    """Where texture is taken away, and where shape is, on CIFAR-10: the claims' own statistics."""
    found, parts = verdicts.table(frame), []
    for claim, where in CLAIMS.items():
        row = found[(found["id"] == claim) & (found["dataset"] == "cifar10")].iloc[0]
        levels = ", ".join(under.partition("@")[2] for under in claims.load()[claim].statistic.under)
        said = lens.points_text(list(row["values"])) if len(row["values"]) else f"**{tables.PENDING}**"
        parts.append(f"{where} (mean of the levels {levels}): {said}")
    parts += [f"{where}: {on_styles(frame, predictions, source)}" for source, where in STYLES.items()]
    width, main = tables.setting("cifar10").width, tables.setting("cifar10").main
    return (
        f"On CIFAR-10 (networks of width {width}; a usual ResNet-18 has 64), the accuracy of {main} less the normal "
        f"network's, on the pictures that both know when clean: {'; '.join(parts)}."
    )


def on_styles(frame: pd.DataFrame, predictions: rows.Archive, source: str) -> str:
    """The same on pictures in the styles of a source, by each stylist."""
    found, main = lens.points(frame, "cifar10", "stylised", predictions), tables.setting("cifar10").main
    said = []
    for level in (level for level in style.LEVELS if level.startswith(f"{source}-")):
        mine = found[(found["model"] == main) & (found["level"] == level) & found["common"].notna()]
        text = lens.points_text(list(mine["difference"])) if len(mine) else f"**{tables.PENDING}**"
        said.append(f"{text} ({level.rpartition('-')[2]})")
    return ", ".join(said)


def decided_on(frame: pd.DataFrame) -> str:
    """On how many data sets of the paper, or standing in for one, anything is decided."""
    found = verdicts.table(frame)
    mine = found[found["dataset"].isin(PAPER_SETS) & (found["verdict"] != tables.PENDING)]
    if mine.empty:
        return "None of these is on a data set of the paper yet, for want of seeds: they are on `shapes`."
    return f"{len(mine)} verdicts are on data sets of the paper or their stand-ins."


def answer(frame: pd.DataFrame, about: Mapping[str, dict], predictions: rows.Archive | None = None) -> str:
    """Three sentences, as a Markdown list. predictions: those of the published runs unless given."""
    ledger = f"{lens.ledger_sentence(frame)} {decided_on(frame)}"
    sentences = (on_shape_bias(frame, about), on_distortions(frame, predictions or rows.archive()), ledger)
    return "\n".join(f"- {sentence}" for sentence in sentences)


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
    frame = rows.load()
    text = with_answer(path.read_text(encoding="utf-8"), answer(frame, tables.records()))
    if text != path.read_text(encoding="utf-8"):
        with atomic(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
