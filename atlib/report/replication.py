"""The replication on `shapes`: twenty new seeds at two contrasts of the texture, printed when all of them are in.

The registration (book/claims-2026-11-27.yaml) allows no look in between. So nothing here gives a number of a contrast
before every one of its networks is published, and the verdicts don't either (`no_looks` in book/claims.yaml). The
table was written before the first of these networks was measured (commit 9a0eec1), the figure while they were; the
column "against normal" and the sentence after the results were known.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

import pandas as pd

from ..rows import row_id
from . import claims, cue_conflict, ledger, plots, statistics, tables, verdicts
from .tables import Cell

CLAIMS = ("replication-shape-bias", "beyond-noise-shape-bias")
SETTINGS = ("shapes-replication", "shapes-replication-20")
NAME = "shape-bias-replication"  # of the file with the data behind the figure
ANSWERS = {"shape_accuracy": "by shape", "texture_accuracy": "by texture"}
METRICS = (*ANSWERS, "coverage", "shape_bias", "accuracy")  # accuracy: on pictures whose cues agree


class Network(NamedTuple):
    """One of the four, by its model and how long it was trained. tick: its name on an axis."""

    title: str
    tick: str
    model: str
    epochs: int


NETWORKS = (
    Network("normal", "normal", "normal", 8),
    Network("normal, three times as long", "normal,\n3 × as long", "normal", 24),
    Network("noise of the same strength", "noise,\nRMS 8/255", "noise-0.0313725", 8),
    Network("PGD ℓ∞ 8/255", "PGD,\n8/255", "pgd-linf-8", 8),
)


def lines(frame: pd.DataFrame) -> pd.DataFrame:
    """A line for each published network: amplitude, network, seed, METRICS, and for each of them NAME_row, its id."""
    found = []
    clean = (frame["distortion"] == "clean") & (frame["metric"] == "accuracy")
    frame = frame[(frame["distortion"] == "conflict") | clean]  # few of the rows, which are then searched
    for name in SETTINGS:
        at = claims.load().settings[name]
        assert at.recipe is not None
        amplitude = float(at.recipe.rpartition("-a")[2])
        for network in NETWORKS:
            recipe = at.recipe.replace("-e8-", f"-e{network.epochs}-")
            mine = frame[(frame["dataset"] == at.dataset) & (frame["recipe"] == recipe) & (frame["width"] == at.width)]
            mine = mine[mine["model"] == network.model]
            mine = mine[mine["seed"].map(at.counts) & (mine["share"].isin([0.0, at.share]))]
            for seed, rows in mine.groupby("seed", sort=True):
                line: dict[str, object] = {"amplitude": amplitude, "network": network.title, "seed": seed}
                for row in rows.to_dict("records"):
                    line |= {row["metric"]: row["value"], f"{row['metric']}_row": row_id(row)}
                found.append(line)
    columns = ["amplitude", "network", "seed", *METRICS, *(f"{name}_row" for name in METRICS)]
    return pd.DataFrame(found, columns=columns)


def wanted() -> int:
    """How many networks there are to be at each amplitude."""
    seeds = claims.load().settings[SETTINGS[0]].seeds
    assert seeds is not None
    return len(NETWORKS) * (seeds[1] - seeds[0] + 1)


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """`lines`, if every network of both amplitudes is published; else none of them."""
    found = lines(frame)
    return found if len(found) == _every() else found.iloc[:0]


def _every() -> int:
    """How many networks there are to be at all amplitudes."""
    return len(SETTINGS) * wanted()


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Answers by shape, by texture and by neither, shape bias, and its difference from the normal network of the same
    seed: means over seeds with t-intervals."""
    found = complete(frame)
    found = found.assign(neither=1 - found["coverage"].astype(float), neither_row=found["coverage_row"])
    shown = []
    for amplitude in sorted(found["amplitude"].unique()):
        for network in NETWORKS:
            mine = found[(found["amplitude"] == amplitude) & (found["network"] == network.title)]
            line: dict[str, object] = {"amplitude": f"{amplitude:g}", "trained": network.title}
            for metric, title in (ANSWERS | {"neither": "by neither", "shape_bias": "shape bias"}).items():
                line[title] = cue_conflict.over_seeds(mine, metric)
            shown.append(line | {"against normal": _against_normal(found, amplitude, network.title)})
    return tables.frame_of(shown)


def _against_normal(found: pd.DataFrame, amplitude: float, network: str) -> Cell:
    """The difference of shape bias from the normal network's, over seeds; found: `complete`."""
    normal = NETWORKS[0].title
    if network == normal:
        return Cell("–")
    values = _paired(found, amplitude, network, normal)
    mean, low, high = (f"{round(value, 2) + 0.0:+.2f}" for value in (values.mean(), *statistics.t_interval(values)))
    pair = found[(found["amplitude"] == amplitude) & found["network"].isin([network, normal])]
    return Cell(f"{mean} [{low},\u00a0{high}]".replace("-", "−"), tuple(pair["shape_bias_row"]))


def figure(frame: pd.DataFrame) -> plots.Drawing:
    """Shape bias of every network, seed by seed; "not run" before all of them are published."""
    return plots.by_seed(complete(frame), {network.title: network.tick for network in NETWORKS})


def behind(frame: pd.DataFrame) -> str:
    """The data behind the figure, as HTML; empty before all networks are published."""
    found = complete(frame)
    return "" if found.empty else cue_conflict.behind(found.rename(columns={"network": "model"}), ["shape_bias"], NAME)


def unconverged(frame: pd.DataFrame) -> str:
    """Which networks have not learnt their task, in words; empty before all networks are published."""
    found = complete(frame).rename(columns={"network": "model"})
    return "" if found.empty else cue_conflict.unconverged_sentence(found)


def differences(frame: pd.DataFrame, amplitude: float, network: str, reference: str = "normal") -> pd.Series:
    """Shape bias of a network less the reference's, by seed, at one amplitude; of seeds that have both."""
    return _paired(complete(frame), amplitude, network, reference)


def _paired(found: pd.DataFrame, amplitude: float, network: str, reference: str) -> pd.Series:
    here = found[(found["amplitude"] == amplitude) & found["network"].isin([network, reference])]
    wide = here.pivot_table(index="seed", columns="network", values="shape_bias")
    if not {network, reference} <= set(wide.columns):
        return pd.Series(dtype=float)
    return (wide[network] - wide[reference]).dropna()


def sentence(frame: pd.DataFrame) -> str:
    """What the twenty seeds say, in Markdown; before they are all in, how many are, and no number of theirs."""
    found = lines(frame)
    if len(found) != _every():
        return (
            f"Of its {_every()} networks **{len(found)} have been published**. The registration allows no look before "
            "the last one, so nothing of them is printed or judged until then."
        )
    parts = []
    for network in reversed(NETWORKS[1:]):
        higher: list[str] = []
        for amplitude in sorted(found["amplitude"].unique()):
            values = _paired(found, amplitude, network.title, NETWORKS[0].title)
            at = cue_conflict.written(amplitude)
            seeds = f"{int((values > 0).sum())} of {len(values)}"
            higher.append(f"{seeds} at {at}" if higher else f"{seeds} seeds at amplitude {at}")
        parts.append(f"for {network.title} in {' and '.join(higher)}")
    return f"Shape bias is higher than the normal network's {'; '.join(parts)}."


def verdicts_html(frame: pd.DataFrame) -> str:
    """The claims that it is to decide, each with a link to its entry in the ledger and its verdict, as HTML."""
    found = verdicts.verdicts(frame)
    items = [
        f'<li><a href="{tables.LEDGER}#claim-{id}">{escape(found[id].claim.claim)}</a> '
        f"{ledger.badge(found[id].verdict)}</li>"
        for id in CLAIMS
    ]
    return f"<p>Two claims are decided by it:</p>\n<ul>{''.join(items)}</ul>"


def html(frame: pd.DataFrame) -> str:
    """The table with its caption; empty before all networks are published."""
    if complete(frame).empty:
        return ""
    seeds = wanted() // len(NETWORKS)
    return tables.html(
        table(frame),
        "The replication: how often networks answer by shape, by texture or by neither, where the two contradict each "
        f"other. Means over {seeds} new seeds with 95 % t-intervals. Three times as long: 24 epochs instead of 8. "
        "Noise of the same strength: Gaussian, of root mean square 8/255, on every training picture. Against normal: "
        "the difference in shape bias from the normal network of the same seed.",
    )
