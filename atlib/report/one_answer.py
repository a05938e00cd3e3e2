"""One answer for everything: how often a network gives its most frequent answer, and Caltech-101's "clutter".

Caltech-101 has a class for pictures of none of its objects. A network that calls every strange picture clutter loses
its answers for another reason than one that confuses the objects.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import barred
from ..errors import Missing
from ..rows import Archive, archive, correct, row_id
from . import claims, core, tables
from .claims import THREE
from .statistics import t_interval

CLUTTER = barred.CLUTTER["caltech101"]
PLACES = {
    "clean@": "clean",
    "saturation@64": "saturation 64",
    "saturation@1024": "saturation 1024",
    "low-pass@0.2": "low-pass .2",
    "high-pass@0.2": "high-pass .2",
    "patch-shuffle@4": "4 × 4 patches",
    "stylised@generated-ghiasi": "generated, Ghiasi",
}


def runs(frame: pd.DataFrame, dataset: str, model: str) -> dict[int, str]:
    """The runs of a model in the main setting of a data set, by seed."""
    mine = tables.in_main_setting(frame, dataset)
    mine = mine[mine["model"] == model][["seed", "run"]].drop_duplicates().sort_values("seed")
    return {int(seed): str(run) for seed, run in mine.itertuples(index=False)}


def shares(
    frame: pd.DataFrame,
    dataset: str,
    model: str,
    under: str,
    label: int | None = None,
    predictions: Archive | None = None,
) -> list[float]:
    """Of all test pictures under a DISTORTION@LEVEL, the share that gets one answer, seed by seed.

    label: that answer, a class's number; None: the one that the network gives most often.
    """
    predictions, found = predictions or archive(), []
    for run in runs(frame, dataset, model).values():
        try:
            counts = np.bincount(_answers(predictions, run, under).astype(np.int64), minlength=(label or 0) + 1)
        except Missing:
            continue
        found.append(float((counts.max() if label is None else counts[label]) / counts.sum()))
    return found


def _answers(predictions: Archive, run: str, under: str) -> NDArray[np.integer]:
    """The class that a network gave each test picture; Missing where it wasn't asked."""
    mine = predictions(run)
    if f"{under}/class" not in mine:
        raise Missing(f"{run}: no answers under {under}")
    return mine[f"{under}/class"]


def table(frame: pd.DataFrame, predictions: Archive | None = None) -> pd.DataFrame:
    """Caltech-101: the share of all test pictures that each kind of network calls clutter, in per cent, by PLACES."""
    names = core.roles("caltech101")
    kinds = {model: core.ROLES[role] for model, role in names.items()} | {"noise-0.1": "trained on noise"}
    mine, lines = tables.in_main_setting(frame, "caltech101"), []
    accuracy = mine[mine["metric"] == "accuracy"]
    for model, kind in kinds.items():
        line: dict[str, object] = {"data set": "Caltech-101 at 112 pixels", "network": kind}
        for under, title in PLACES.items():
            found = shares(frame, "caltech101", model, under, CLUTTER, predictions)
            here = accuracy[(accuracy["model"] == model) & (accuracy["distortion"] + "@" + accuracy["level"] == under)]
            ids, total = map(row_id, here.sort_values("seed").to_dict("records")), int(here["total"].max())
            line[title] = core.mean_cell(found, ids, total)
        lines.append(line)
    return tables.frame_of(lines)


def leads(
    frame: pd.DataFrame, under: str, predictions: Archive | None = None, reference: str = "normal"
) -> pd.DataFrame:
    """Caltech-101, seed by seed: by how much networks trained against attacks lead others under a distortion.

    reference: the model that they are compared with. Counted on the pictures of objects that the THREE (for any other
    reference: the normal network and the two compared, as in the claims about noise) know when clean. Columns: seed,
    lead (over all of them), free (the share of them that neither of the two calls clutter under the distortion),
    lead_free (over these), as fractions.
    """
    predictions, at = predictions or archive(), claims.load().settings["caltech101"]
    three = THREE if reference in THREE else ("normal", reference, "main")
    by = {name: runs(frame, "caltech101", at.main if name == "main" else name) for name in three}
    lines = []
    for seed in sorted(set.intersection(*(set(found) for found in by.values()))):
        mine, theirs = (_answers(predictions, by[name][seed], under) for name in ("main", reference))
        labels = np.asarray(predictions(by["normal"][seed])["labels"])
        known = np.logical_and.reduce([correct(predictions(found[seed]), "clean@") for found in by.values()])
        known &= labels != CLUTTER
        free = known & (mine != CLUTTER) & (theirs != CLUTTER)
        ahead = (mine == labels).astype(float) - (theirs == labels)
        lines.append((seed, ahead[known].mean(), free.sum() / known.sum(), ahead[free].mean()))
    return pd.DataFrame(lines, columns=["seed", "lead", "free", "lead_free"])


def averaged(frame: pd.DataFrame, reference: str = "normal", predictions: Archive | None = None) -> pd.DataFrame:
    """`leads` seed by seed, each column's mean over the levels of saturation that the verdict averages."""
    levels = claims.load()["saturation-less-sensitive"].statistic.under
    return pd.concat([leads(frame, under, predictions, reference) for under in levels]).groupby("seed").mean()


def averaged_sentence(frame: pd.DataFrame, predictions: Archive | None = None) -> str:
    """How much of the leads under saturation is left on pictures that neither of two networks calls clutter."""
    kinds = {"normal": "ordinary networks", "underfit": "networks stopped early", "noise-0.1": "those trained on noise"}
    parts = []
    for reference, kind in kinds.items():
        found = averaged(frame, reference, predictions)
        parts.append(f"over {kind} {_points(found['lead'])} and {_points(found['lead_free'])}")
    return (
        "Averaged over the four levels that the verdicts count, the lead of networks trained against attacks is, in "
        "points, on all those pictures and on those that neither of the two compared calls clutter: "
        f"{'; '.join(parts)}. (Brackets: 95 % intervals over three seeds.)"
    )


def _points(values: pd.Series) -> str:
    """A mean over seeds with its interval, in percentage points: "+4.2 [+1.0, +7.4]"."""
    low, high = t_interval(values)
    return f"{100 * values.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]".replace("-", "−")


def sentence(frame: pd.DataFrame, under: str, words: str, predictions: Archive | None = None) -> str:
    """How much of a difference on Caltech-101 goes with one answer, in words. words: the distortion in the text."""
    predictions = predictions or archive()
    names = {role: model for model, role in core.roles("caltech101").items()}
    share = {
        role: 100 * float(np.mean(shares(frame, "caltech101", names[role], under, CLUTTER, predictions)))
        for role in names
    }
    found = leads(frame, under, predictions)
    lead, rest = (_points(found[name]) for name in ("lead", "lead_free"))
    return (
        f"{words} ordinary networks call {share['normal']:.0f} % of all test pictures *clutter*, those stopped early "
        f"{share['underfit']:.0f} %, and networks trained against attacks {share['main']:.0f} %. Of the pictures of "
        f"objects that all three know when clean, the difference between the latter and ordinary networks is {lead} "
        f"points; on the {100 * found['free'].mean():.0f} % of these that neither of the two calls clutter it is "
        f"{rest}."
    )
