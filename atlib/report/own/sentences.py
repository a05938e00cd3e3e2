"""What was measured, in sentences: what the network knows, how robust it is, what it keeps, where it stands."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ...measurements import TABLE_1
from .beside import KINDS, Measured, called, outside, standing

ATTACK = (
    f"PGD with {TABLE_1['steps']} steps of {255 * TABLE_1['step_size']:g}/255 within l_inf "
    f"{255 * TABLE_1['eps']:g}/255, from the picture itself, without restarts, along the gradient of the cross-entropy"
)
ROBUST = ("pgd-linf@8", "accuracy_last")
CLEAN = ("clean@", "accuracy")


def percent(value: float, interval: tuple[float, float] | None = None) -> str:
    text = f"{100 * value:.1f} %"
    return text + (f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else "")


def robustness(measured: Measured) -> str:
    """Robust accuracy, in a sentence that says how it was attacked; empty if that wasn't measured."""
    found, place = measured.quantities, ROBUST[0]
    if ROBUST not in found:
        return ""
    total = int(measured.row(*ROBUST)["total"])
    said = (
        f"Robust accuracy: {percent(found[ROBUST], measured.interval(*ROBUST))} of "
        f"{total:,} pictures, wrong ones included, under {ATTACK}"
    )
    if (place, "accuracy_any") in found:
        said += f"; {percent(found[place, 'accuracy_any'])} were right at every step"
    return f"{said}. It is an upper bound: another attack can only find more mistakes."


def summary(measured: Measured) -> list[str]:
    """The report in sentences: what the network knows, how robust it is, what it keeps, where it stands."""
    found, sentences = measured.quantities, []
    chosen = measured.about.get("chosen") or f"{len(measured.predictions['labels']):,} test pictures"
    if CLEAN in found:
        known = percent(found[CLEAN], measured.interval(*CLEAN))
        sentences.append(f"It knows {known} of {chosen}.")
    else:
        sentences.append(f"Measured on {chosen}.")
    sentences += [robustness(measured)]
    places = {
        "saturation@1024": "at saturation 1024, where nearly every colour channel is at 0 or 1",
        "patch-shuffle@4": "when they are cut into 4×4 patches and shuffled",
    }
    for place, words in places.items():
        if (place, "conditional") in found:
            theirs = {kind: measured.theirs(kind, place, "conditional") for kind in ("normal", "main")}
            beside = [f"the {KINDS[kind]} ones keep {100 * float(np.mean(v)):.0f} %" for kind, v in theirs.items() if v]
            mine = f"Of the pictures that it knows it keeps {100 * found[place, 'conditional']:.0f} % {words}"
            sentences.append(mine + (f"; {', '.join(beside)}." if beside else "."))
    if ("conflict@", "shape_bias") in found:
        bias = percent(found["conflict@", "shape_bias"], measured.interval("conflict@", "shape_bias"))
        sentences.append(
            f"Where shape and texture disagree, {bias} of the answers that name one of them name the shape."
        )
    sentences.append(overall(measured))
    return [sentence for sentence in sentences if sentence]


def overall(measured: Measured) -> str:
    """Where it stands, over all that is resolved."""
    if not measured.references:
        return (
            "This report has published no networks of its own on these pictures, so there is nothing to compare with."
        )
    labels = measured.predictions["labels"]
    constant = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    known = measured.interval(*CLEAN) if CLEAN in measured.quantities else None
    if known and known[0] <= constant:  # one that always gives the same answer keeps it under any distortion
        return (
            "It isn't placed between this report's networks: on clean pictures its accuracy can't be told from that of "
            f"always naming the commonest class ({100 * constant:.0f} %), and an answer that was a guess says nothing "
            "when it changes or stays."
        )
    table = standing(measured.folder)
    table = table[table["metric"].isin(["conditional", "accuracy_last", "shape_bias"])]
    placed, beyond = table[table["stands"].notna()], _beyond(table)
    if placed.empty:
        nothing = (
            "Nothing that was measured tells this report's normal and adversarially trained networks apart enough."
        )
        between = (
            "Its place between this report's normal networks (0) and its adversarially trained ones (1) can't be told."
        )
        return between + beyond if beyond else nothing
    # several levels of one distortion, or two ways to count robustness, are one kind of test
    kinds = placed.groupby(placed["under"].map(_kind), sort=False)["stands"].median()
    median, nearer = float(kinds.median()), int((kinds > 0.5).sum())
    at = f"{median:.2f}".replace("-", "−")
    where = f"On a scale from this report's normal networks (0) to its adversarially trained ones (1) it stands at {at}"
    if len(kinds) == 1:
        return f"{where}, by the one kind of test that was made and gives it a position ({kinds.index[0]}).{beyond}"
    return where + (
        f": the median over the {len(kinds)} kinds of test that give it a position ({', '.join(kinds.index)}), "
        f"{nearer or 'none'} of which {'puts' if nearer == 1 else 'put'} it nearer to the adversarially trained ones."
        f"{beyond}"
    )


def _kind(under: str) -> str:
    """The distortion of a DISTORTION@LEVEL."""
    return under.partition("@")[0]


def _beyond(table: pd.DataFrame) -> str:
    """By which kinds of test, that don't place it any closer, it lies outside this report's networks; or nothing."""
    sides: dict[str, list[str]] = {"below 0": [], "above 1": []}
    for under, some in table.groupby(table["under"].map(_kind), sort=False):
        found = {outside(low, high) for low, high in zip(some["low"], some["high"], strict=True)}
        if some["stands"].isna().all() and len(found) == 1 and found != {"–"}:
            sides["below 0" if found == {"< 0"} else "above 1"].append(str(under))
    return "".join(
        f" In the test {', '.join(names)} it lies {side}, but we can't tell how far."
        for side, names in sides.items()
        if names
    )


def of_references(measured: Measured) -> str:
    """What this report's networks are, in a sentence; empty where there are none on these pictures.

    Of what they reach it says what was measured of this network, too.
    """
    if not measured.references:
        return ""
    parts = []
    for kind, runs in measured.references.items():
        name = runs[0].run.rpartition("/")[2].rpartition("-w")[0]
        reached = []
        for quantity, words in ((CLEAN, "clean"), (ROBUST, "under the same attack")):
            theirs = measured.theirs(kind, *quantity) if quantity in measured.quantities else []
            reached += [f"{100 * float(np.mean(theirs)):.0f} % {words}"] if theirs else []
        seeds = f"{len(runs)} seed{'s' if len(runs) > 1 else ''}"
        parts.append(called(kind, name, f"{seeds}: {', '.join(reached)}" if reached else seeds))
    configs = [one.config for runs in measured.references.values() for one in runs if one.config]
    width = configs[0].get("width") if configs else None
    epochs = {f"{config['epochs']:g}" for config in configs if config.get("epochs")}
    how = f" of width {width} (a usual one has 64)" if width and width != 64 else f" of width {width}" if width else ""
    how += f", trained for {' or '.join(sorted(epochs))} epochs" if epochs else ""
    said = f"For comparison, this report's own ResNet-18s{how}, on the same pictures: {'; '.join(parts)}."
    if any(metric == "conditional" for _, metric in measured.quantities):
        said += (
            " Where they are smaller than yours or trained for less long, compare how the curves fall, not how high "
            "they begin."
        )
    return said
