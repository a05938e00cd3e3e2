"""What attacks that try harder leave of each network: a column for the tables of robustness, and what it decides.

Rows of `results/stronger.csv`, which `python -m atlib.stronger` writes.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ..files import results_dir
from .statistics import wilson

LAST = "square"  # what the last of the attacks leaves is what all of them leave
NAMES = {
    "clean": "clean",
    "pgd-40": "PGD-40, every iterate",
    "apgd-ce": "and APGD, cross entropy",
    "apgd-dlr": "and APGD, logits ratio",
    "apgd-t": "and targeted APGD",
    "square": "and Square",
}


def read(path: Path | None = None) -> pd.DataFrame:
    """The rows; none before the first run."""
    path = path or results_dir() / "stronger.csv"
    text = {"model": str, "run": str, "attack": str, "metric": str, "settings": str}
    return pd.read_csv(path, dtype=text, keep_default_na=False) if path.is_file() else pd.DataFrame()


def _row(rows: pd.DataFrame, attack: str, metric: str = "accuracy") -> pd.Series | None:
    found = rows[(rows["attack"] == attack) & (rows["metric"] == metric)]
    return None if found.empty else found.iloc[0]


def shown(row: pd.Series | None) -> str:
    """A share of pictures in per cent, with Wilson's interval; a dash for none."""
    if row is None:
        return "–"
    low, high = wilson(int(row["count"]), int(row["total"]))
    return f"{100 * row['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def column(run: str, frame: pd.DataFrame | None = None) -> str:
    """For a table of runs: what all attacks leave of one, with its interval and the pictures; a dash if not tried."""
    frame = read() if frame is None else frame
    mine = frame[frame["run"] == run] if len(frame) else frame
    last = _row(mine, LAST) if len(mine) else None
    return "–" if last is None else f"{shown(last)}, {int(last['total']):,} pictures"


def table(frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """A line for each network: how many pictures, and what is left of its accuracy after each attack in turn."""
    frame = read() if frame is None else frame
    lines = []
    for name, mine in frame.groupby("model", sort=False) if len(frame) else ():
        first = mine.iloc[0]
        short = str(name).rpartition(":")[2].rpartition("/")[2]
        line: dict[str, object] = {"network": short, "pictures": int(first["total"])}
        line |= {title: shown(_row(mine, attack)) for attack, title in NAMES.items()}
        gone = _row(mine, "pgd-40", "vanished")
        lines.append(line | {"no gradient": "–" if gone is None else f"{100 * gone['value']:.1f}"})
    return pd.DataFrame(lines)


def sentence(robust: str, normal: str, frame: pd.DataFrame | None = None) -> str:
    """Whether two networks' order under PGD-40 survives the harder attacks, by intervals over pictures.

    robust, normal: as the rows name them (`model`). One that was not attacked harder, because PGD-40 leaves less than
    5 % of it, counts with what PGD-40 leaves, an upper bound.
    """
    frame = read() if frame is None else frame
    found = {name: frame[frame["model"] == name] if len(frame) else frame for name in (robust, normal)}
    if not len(found[robust]):
        return f"{robust} has not been attacked harder yet."
    last, before = _row(found[robust], LAST), _row(found[robust], "pgd-40")
    assert last is not None and before is not None
    low = wilson(int(last["count"]), int(last["total"]))[0]
    lost = 100 * (before["value"] - last["value"])
    text = f"The harder attacks take {lost:.1f} points more from {robust} and leave {shown(last)} per cent."
    if not len(found[normal]):
        return text + (" More than 5 % are left for certain." if low > 0.05 else " It may be less than 5 %.")
    other = _row(found[normal], LAST)
    assert other is not None
    high = wilson(int(other["count"]), int(other["total"]))[1]
    order = "stays the more robust" if low > high else "can't be told apart from it for certain"
    return f"{text} Of {normal} they leave {shown(other)}: {robust} {order}."
