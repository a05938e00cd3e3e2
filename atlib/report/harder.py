"""What attacks that try harder leave of each network: a column for the tables of robustness, and what it decides.

Rows of `results/stronger.csv`, which `python -m atlib.campaign.stronger` writes.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from ..errors import Missing
from ..files import results_dir
from . import quantities
from .claims import Claim, Setting
from .rule import HOLDS
from .statistics import wilson
from .tables import in_setting

LAST = "square"  # what the last of the attacks leaves is what all of them leave
STRANGERS = "notebooks.own_networks.others:"  # how the rows name networks that others trained
FEW = 0.05  # where PGD-40 leaves less, nothing harder is tried
NAMES = {
    "clean": "clean",
    "pgd-40": "PGD-40",
    "apgd-ce": "APGD-CE",
    "apgd-dlr": "APGD-DLR",
    "apgd-t": "APGD-T",
    "square": "Square",
}


def read(path: Path | None = None) -> pd.DataFrame:
    """The rows; none before the first run."""
    path = path or results_dir() / "stronger.csv"
    text = {"model": str, "run": str, "attack": str, "metric": str, "settings": str}
    return pd.read_csv(path, dtype=text, keep_default_na=False) if path.is_file() else pd.DataFrame()


def of(*, strangers: bool, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """The rows of networks that others trained, or of our own."""
    frame = read() if frame is None else frame
    return frame[frame["model"].str.startswith(STRANGERS) == strangers] if len(frame) else frame


def at_the_start(frame: pd.DataFrame, dataset: str) -> str:
    """How many clean pictures have no gradient for an attack to begin with, in a sentence; empty if not measured.

    frame: the published rows, of which those of the measurement "gradient" count.
    """
    rows = frame[(frame["distortion"] == "gradient") & (frame["metric"] == "vanished") & (frame["dataset"] == dataset)]
    if rows.empty:
        return ""
    every, without = int(rows["total"].sum()), int(rows["count"].sum())
    networks = f"the {len(rows)} networks that were asked" if len(rows) > 1 else "the one network that was asked"
    begins = "On the unchanged picture, where PGD-40 begins,"
    if without:
        return f"{begins} {without:,} of {every:,} pictures have none, counted over {networks}."
    return f"{begins} every test picture has a gradient in {networks}."


def _name(model: str) -> str:
    """A network's name alone: of "atlib:cifar10/pgd-linf-8", a run or a module and its function."""
    last = model.rpartition(":")[2].rpartition("/")[2]
    return re.sub(r"-w\d+-s\d+-[0-9a-f]{8}$", "", last)


def _row(rows: pd.DataFrame, attack: str, metric: str = "accuracy") -> pd.Series | None:
    found = rows[(rows["attack"] == attack) & (rows["metric"] == metric)]
    return None if found.empty else found.iloc[0]


def shown(row: pd.Series | None, interval: bool = True) -> str:
    """A share of pictures in per cent, with Wilson's interval; a dash for none."""
    if row is None:
        return "–"
    if not interval:
        return f"{100 * row['value']:.1f}"
    low, high = wilson(int(row["count"]), int(row["total"]))
    return f"{100 * row['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def table(frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """A line for each network: how many pictures, and what is left of its accuracy after each attack in turn.

    A network that was attacked in several ways has a line for each; all lines then say with which settings.
    """
    frame = read() if frame is None else frame
    groups = [*frame.groupby(["model", "dataset", "settings", "seed"], sort=False)] if len(frame) else []
    several = len({(model, dataset) for (model, dataset, *_), _ in groups}) < len(groups)
    lines = []
    for (name, dataset, settings, seed), mine in groups:
        line: dict[str, object] = {"network": _name(str(name)), "on": dataset}
        line |= {"settings": f"{settings}; seed {seed}"} if several else {}
        line["pictures"] = f"{int(mine.iloc[0]['total']):,}"
        line |= {title: shown(_row(mine, attack), attack == LAST) for attack, title in NAMES.items()}
        gone = _row(mine, "pgd-40", "vanished")
        lines.append(line | {"no gradient": "–" if gone is None else f"{100 * gone['value']:.1f}"})
    return pd.DataFrame(lines)


# --- Whether a claim on robustness survives ---------------------------------------------------------------------------


class Left(NamedTuple):
    """What all attacks leave of a network's accuracy, with its 95 % interval over the pictures, and on how many.

    seed: which of our networks it is; 0 for one that others trained.
    """

    value: float
    low: float
    high: float
    pictures: int
    seed: int


def left(model: str, at: Setting, frame: pd.DataFrame, harder: pd.DataFrame) -> Left | None:
    """What is left of a model in a setting; None if it was not attacked harder.

    frame: the published rows; harder: those of `read`. Where PGD-40 leaves less than 5 % of every seed, no harder
    attack was tried, and the most that it leaves is an upper bound: the interval then reaches down to zero.
    """
    mine = in_setting(frame, at)
    mine = mine[mine["model"] == model].sort_values("seed", kind="stable")
    for run, seed in mine[["run", "seed"]].drop_duplicates().itertuples(index=False):
        here = harder[(harder["run"] == run) & (harder["dataset"] == at.dataset)] if len(harder) else harder
        # attacked in several ways: what the worst of them leaves
        row = _row(here.sort_values("value", kind="stable"), LAST) if len(here) else None
        if row is not None:
            count, total = int(row["count"]), int(row["total"])
            return Left(float(row["value"]), *wilson(count, total), total, int(seed))
    pgd = mine[(mine["distortion"] == "pgd-linf") & (mine["level"] == "8") & (mine["metric"] == "accuracy_any")]
    if pgd.empty or pgd["value"].max() >= FEW:
        return None
    most = pgd.sort_values("value", ascending=False, kind="stable").iloc[0]  # of equal ones the lowest seed's
    high = wilson(int(most["count"]), int(most["total"]))[1]
    return Left(float(most["value"]), 0.0, high, int(most["total"]), int(most["seed"]))


def before_and_after(model: str, rows: pd.DataFrame) -> list[tuple[Left, Left]]:
    """What PGD-40 leaves of a network that others trained, and what all attacks leave, each time it was attacked.

    model: its name in `rows`, which are those of `of`. Rows of one data set, one choice of settings and one seed belong
    together. Missing if there are no rows.
    """
    found = []
    for _, mine in rows[rows["model"] == model].groupby(["dataset", "settings", "seed"], sort=False):
        pair = []
        for row in (_row(mine, "pgd-40"), _row(mine, LAST)):
            assert row is not None
            count, total = int(row["count"]), int(row["total"])
            pair.append(Left(float(row["value"]), *wilson(count, total), total, 0))
        found.append((pair[0], pair[1]))
    if not found:
        raise Missing(f"{model}: no rows of stronger attacks")
    return found


def _difference(one: Left, two: Left) -> tuple[float, float, float]:
    """Newcombe's interval of a difference of two shares, from their own intervals."""
    value = one.value - two.value
    low = value - math.hypot(one.value - one.low, two.high - two.value)
    return value, low, value + math.hypot(one.high - one.value, two.value - two.low)


def survives(
    claim: Claim, at: Setting, frame: pd.DataFrame, harder: pd.DataFrame | None = None, verdict: str = HOLDS
) -> str:
    """Whether a claim on accuracy under PGD that holds in a setting survives the harder attacks, in a sentence.

    verdict: HOLDS, or FAILS: whether its refutation survives them. Of a claim that ranks networks by their accuracy
    under PGD it says how many of them were attacked harder. Empty for every other claim. One network of each kind was
    attacked, so the interval is over pictures alone.
    """
    s, harder = claim.statistic, read() if harder is None else harder
    if s.name == "rank_correlation" and s.against == "pgd-linf@8/accuracy_last":
        runs = set(harder["run"]) if len(harder) else set()
        mine = in_setting(frame, at)
        tried = mine[mine["run"].isin(runs) & mine["model"].isin(s.models)]["model"].nunique()
        return (
            f"The networks are ranked by their accuracy under PGD. Harder attacks have been run on {tried} of these "
            f"{len(s.models)} kinds, so what they would make of the order is open."
        )
    if s.name != "difference" or s.under != ("pgd-linf@8",) or s.metrics != ("accuracy_last",):
        return ""
    if claim.direction == "less" and not isinstance(s.reference, str) and verdict == HOLDS:
        return "Harder attacks can only leave less than PGD does, so this stands."
    models = quantities.expand(s.models, at)
    names = {"main": at.main, "weak": at.weak}
    pairs = [(names.get(m, m), names.get(str(s.reference), str(s.reference))) for m in models]
    found = [(left(one, at, frame, harder), left(two, at, frame, harder)) for one, two in pairs]
    if any(one is None or two is None for one, two in found):
        return "Harder attacks have not been run on these networks."
    if claim.direction == "less" or (claim.direction == "equal" and len(found) > 1):
        return "What harder attacks mean for this verdict has not been computed."
    differences = [_difference(one, two) for one, two in found if one and two]
    value, low, high = min(differences, key=lambda of: (of[2] >= claim.e, of[1]))  # one that has failed, if any
    known = [one for pair in found for one in pair if one]
    fewest, seeds = min(one.pictures for one in known), sorted({one.seed for one in known})
    if claim.direction == "equal":
        holds, fails = -claim.e < low <= high < claim.e, low > claim.e or high < -claim.e
    else:
        holds, fails = low > claim.e, high < claim.e
    what = "the claim" if verdict == HOLDS else "its refutation"
    if not holds and not fails:
        word = f"whether {what} survives them is open"
    else:
        word = f"{what} {'survives' if holds == (verdict == HOLDS) else 'does not survive'} them"
    numbers = f"{100 * value:.1f} points [{100 * low:.1f}, {100 * high:.1f}]"
    which = f"seed{'s' if len(seeds) > 1 else ''} {' and '.join(map(str, seeds))}, at least {fewest:,} pictures of each"
    return f"Harder attacks leave a difference of {numbers} ({which}): {word}."
