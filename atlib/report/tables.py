"""The report's tables and the numbers of its prose, made from published rows alone."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape, unescape
from pathlib import Path

import numpy as np
import pandas as pd

from ..files import RUN_NAME, read_json, results_dir
from ..rows import row_id
from . import claims, statistics
from .rule import NOT_RUN

# Table 1's order, then what the paper only mentions.
MODELS = (
    "pgd-linf-8", "pgd-linf-4", "pgd-linf-2", "pgd-linf-1", "pgd-l2-12", "pgd-l2-8", "pgd-l2-4",
    "fgsm-8", "fgsm-4", "normal", "underfit", "spatial",
)  # fmt: skip
SENTENCE = 40  # characters of a cell that is given room for several words a line


def seeds_of(number: int) -> str:
    """ "one seed", "2 seeds"; "–" for none."""
    return {0: "–", 1: "one seed"}.get(number, f"{number} seeds")


def seed_numbers(seeds: Iterable[int]) -> str:
    """Which seeds, in order: "1, 2", "1–5", "1–3, 7"; three or more in a row are named by the first and the last."""
    texts: list[str] = []
    kept = sorted(set(seeds))
    while kept:
        row = [seed for place, seed in enumerate(kept) if seed == kept[0] + place]
        texts += [f"{row[0]}–{row[-1]}"] if len(row) > 2 else map(str, row)
        kept = kept[len(row) :]
    return ", ".join(texts)


def with_interval(mean: str, low: str, high: str, seeds: int) -> str:
    """A mean over seeds and its interval, all written out already; how few seeds there are where it has none."""
    return f"{mean} [{low}, {high}]" if seeds > 2 else f"{mean} ({seeds_of(seeds)})"


def in_order(found: Iterable[str]) -> list[str]:
    """Models in the order of MODELS, then those that the paper doesn't have, such as noise-0.1."""
    there = set(found)
    return [model for model in MODELS if model in there] + sorted(there - set(MODELS))


def records(folder: Path | None = None) -> dict[str, dict]:
    """Configuration, training and evaluation of every published run, by its name."""
    folder = folder or results_dir()
    found = {}
    for path in sorted(folder.glob("*/*.json")):
        run = path.relative_to(folder).with_suffix("").as_posix()
        if RUN_NAME.fullmatch(run):
            found[run] = read_json(path)
    return found


# Settings of claims.yaml as readers know them; the other settings go by their own names.
SHOWN = {
    "cifar10": "CIFAR-10",
    "caltech101": "Caltech-101",
    "caltech101-cues": "Caltech-101, seeds 2–4",
    "tiny-imagenet": "Tiny ImageNet",
    "shapes": "shapes",
    "shapes-replication": "shapes, new seeds",
}


def named(setting: str) -> str:
    """A setting of claims.yaml, or "overall", as readers know it."""
    return SHOWN.get(setting, setting)


class Cell(str):
    """The text of a table's cell, with the ids (`rows.row_id`) of the published rows that it comes from."""

    rows: tuple[str, ...]
    href: str  # address that the cell links to; empty: none

    def __new__(cls, text: str, rows: Iterable[str] = (), href: str = "") -> Cell:
        cell = super().__new__(cls, text)
        cell.rows, cell.href = tuple(rows), href
        return cell


def frame_of(lines: Iterable[dict], columns: list[str] | None = None) -> pd.DataFrame:
    """Lines as a frame that keeps Cells (pandas would turn them into plain text)."""
    return pd.DataFrame(list(lines), columns=columns, dtype=object)


def short(commit: object) -> str:
    """A commit in its short form, with its mark if the code that ran differed from the commit."""
    digits, *mark = str(commit).split("-")
    return "-".join([digits[:12], *mark])


def percent(value: float, digits: int = 1) -> str:
    """A fraction as a percentage, without the sign."""
    return f"{100 * value:.{digits}f}"


def dash(value: float, form: str) -> str:
    """A number in a format, or a dash for NaN."""
    return "–" if value != value else form.format(value)


def one_cell(rows: pd.DataFrame) -> Cell:
    """A cell's percentage with its interval: Wilson's within one run, Student's over seeds, none for two of them."""
    if rows.empty:
        return Cell(NOT_RUN)
    if len(rows) == 1:
        low, high = statistics.wilson(int(rows["count"].iloc[0]), int(rows["total"].iloc[0]))
    else:
        low, high = statistics.t_interval(rows["value"])
    ids, mean = [row_id(row) for row in rows.to_dict("records")], percent(rows["value"].mean(), 2)
    return Cell(f"{mean} ({seeds_of(2)})" if len(rows) == 2 else f"{mean} [{percent(low)}, {percent(high)}]", ids)


def html(table: pd.DataFrame, caption: str) -> str:
    """A table as HTML with its caption; a wide table scrolls on its own, so that the page never does.

    Each cell that comes from published rows carries their ids (data-rows); a list below, which unfolds, names them.
    A link gives the table as CSV, as it is shown. The style sheet numbers the tables of a page (class "numbered").
    """
    names = "names" if table.columns[0] == "network" else ""  # these never break, sentences may
    text = {name: cell_html for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])}
    body = table.rename_axis(columns=None).to_html(
        index=False, border=0, classes=["rows", "numbered", names], na_rep="–", escape=False, formatters=text
    )
    body = body.replace("<thead>", f"<caption>{caption}</caption>\n<thead>", 1)
    return _behind(_scrolling(body), table, caption)


def framed(table: pd.DataFrame, bodies: Sequence[str], columns: Sequence[str], caption: str, kind: str) -> str:
    """`html` with table bodies and names of columns of one's own; kind: a class for the style sheet."""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    head = f"<caption>{caption}</caption>\n<thead><tr>{names}</tr></thead>"
    body = f'<table class="dataframe rows numbered {kind}">{head}\n{"".join(bodies)}</table>'
    return _behind(_scrolling(body), table, caption)


def _behind(scroll: str, table: pd.DataFrame, caption: str) -> str:
    """A table's HTML with its data and the ids of its rows below it."""
    ids = [one for cell in table.to_numpy().ravel() if isinstance(cell, Cell) for one in cell.rows]
    shown = pd.DataFrame({name: [_plain(v) for v in table[name]] for name in table.columns}, dtype=object)
    return scroll + _more(download(shown, caption), unfold(dict.fromkeys(ids)))


def _more(data: str, ids: str) -> str:
    """What lies behind a table or figure, in one line below it: its data, and the ids of its rows."""
    return f'\n<div class="rows-more">{data}{ids}</div>'


def _scrolling(body: str) -> str:
    """A table in a box that scrolls sideways, by the keyboard too."""
    return f'<div class="rows-scroll" tabindex="0" role="region" aria-label="table">\n{body}\n</div>'


def _text(value: object) -> str:
    """A cell's text."""
    return ("–" if value != value else f"{value:g}") if isinstance(value, float) else str(value)


def _plain(value: object) -> str:
    """A cell's text in a CSV, with non-breaking spaces replaced by ordinary ones."""
    return _text(value).replace("\u00a0", " ")


def cell_html(value: object) -> str:
    """A cell's HTML."""
    text = escape(_text(value))
    if not isinstance(value, Cell):
        return f'<div class="sentence">{text}</div>' if len(text) >= SENTENCE and " " in text else text
    if value.href:
        text = f'<a href="{escape(value.href)}">{text}</a>'
    return f'<span data-rows="{escape(" ".join(value.rows))}">{text}</span>' if value.rows else text


def download(table: pd.DataFrame, name: str, words: str = "data") -> str:
    """A link that gives a table as CSV, held in the page itself. name: of the file, or a caption to make it from."""
    content = base64.b64encode(table.to_csv(index=False).encode()).decode()
    link = f'<a download="{slug(name)}.csv" href="data:text/csv;charset=utf-8;base64,{content}">{words}</a>'
    return f'<p class="rows-data">{link}</p>'


SMALL_WORDS = re.compile(
    "a|an|and|any|are|as|at|be|beside|by|can|do|does|for|from|had|has|have|how|in|into|is|it|its|not|of|on|one|or|ours?"
    "|per|s|same|that|the|their|them|these|they|this|those|to|under|was|were|what|when|where|which|who|whose|with"
)


def slug(caption: str) -> str:
    """A file's name from what a table or figure says it shows: the words that matter of its first sentence."""
    plain = unescape(re.sub(r"<[^>]*>", "", caption))
    sentence = re.split(r"[.?!](?:\s|$)", plain, maxsplit=1)[0]
    found = [word for word in re.findall(r"[a-z0-9]+", sentence.lower()) if not SMALL_WORDS.fullmatch(word)][:7]
    while len("-".join(found)) > 60:
        found.pop()
    return "-".join(found) or "table"


def data_of(points: pd.DataFrame, name: str) -> str:
    """What is shown below a figure: its points as CSV, and a folded list of them with the rows that they come from.

    points: one line per point; the column "rows", if there is one, holds the ids of its rows (a tuple). name: of the
    file. Fractions have three digits, more than can be read off a figure; the rows hold the rest.
    """
    ids = points["rows"] if "rows" in points else pd.Series([()] * len(points), index=points.index)
    plain = points.drop(columns=["rows"], errors="ignore")
    shown = plain.map(lambda v: ("–" if v != v else f"{v:.3f}") if isinstance(v, float) else str(v))
    link = download(plain.assign(rows=[" ".join(one) for one in ids]), name)
    lines = [
        f"<li>{escape(', '.join(f'{key} {value}' for key, value in line.items() if value not in ('', '–')))}"
        f"{''.join(f' <code>{escape(one)}</code>' for one in rows)}</li>"
        for line, rows in zip(shown.to_dict("records"), ids, strict=True)
    ]
    return _more(link, _folded(f"{len(points)} points", lines))


def unfold(ids: Iterable[str]) -> str:
    """A folded list of row ids under a table; nothing if there are none."""
    lines = [f"<li><code>{escape(one)}</code></li>" for one in ids]
    return _folded(f"{len(lines)} rows", lines) if lines else ""


def _folded(summary: str, lines: Sequence[str]) -> str:
    """A list that unfolds, below a line on what its ids are good for."""
    how = (
        "<p><code>make verify ROW=…</code> measures a row again, if its network's weights are at hand: in "
        "<code>models/</code>, or in your own <code>runs/</code>.</p>"
    )
    return f'<details class="rows-ids"><summary>{summary}</summary>{how}<ul>{"".join(lines)}</ul></details>'


LEDGER = "claims.html"  # the page of the ledger, in the same folder as every page that mentions claims


def claim_words(claim: claims.Claim) -> str:
    """A claim's sentence as it reads where it stands alone."""
    return claim.alone or claim.claim


def claim_cell(claim: claims.Claim) -> Cell:
    """A claim's sentence, which leads to its entry in the ledger."""
    return Cell(claim_words(claim), href=f"{LEDGER}#claim-{claim.id}")


def effect(decision: pd.Series, digits: int = 3) -> str:
    """The effect in a line of `verdicts.table`, with its interval, or "not run"."""
    number = len(decision["values"])
    if number == 0:
        return NOT_RUN
    mean, low, high = (f"{decision[name]:+.{digits}f}" for name in ("effect", "low", "high"))
    return with_interval(mean, low, high, number)


def setting(name: str) -> claims.Setting:
    """The main setting of a data set, from claims.yaml."""
    return claims.load().settings[name]


def in_setting(frame: pd.DataFrame, at: claims.Setting) -> pd.DataFrame:
    """The rows of runs that a setting compares with each other; none until its recipe is fixed."""
    mine = (frame["dataset"] == at.dataset) & (frame["width"] == at.width) & (frame["recipe"] == at.recipe)
    return frame[mine & ((frame["share"] == 0) | np.isclose(frame["share"], at.share)) & frame["seed"].map(at.counts)]


def in_main_setting(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The rows of runs in a data set's main setting."""
    return in_setting(frame, setting(name))
