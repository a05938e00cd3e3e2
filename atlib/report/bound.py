"""Sentences that people wrote, bound to the verdicts that they rest on.

They stand in book/answer.yaml (headline, conclusion) and in the pages (`say`). Their numbers are filled in
from verdicts and rows; where the rows have changed a verdict, the sentence is refused until somebody reads it again.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..errors import InputError, Missing, one_of
from ..files import checkout_path
from . import claims, lens, one_answer, tables, verdicts
from .ledger import verdict_words
from .rule import VERDICTS
from .verdicts import Decision, Verdicts

ANSWER = "book/answer.yaml"
PLACE = re.compile(r"\{(\w+) ([\w.-]+)@([\w.-]+)(?: ([\w.-]+@[\w.-]*))?\}")


@dataclass(frozen=True, eq=False)
class Known:
    """What sentences are held against: rows as `rows.load` gives them, and what these say about each claim."""

    frame: pd.DataFrame

    @functools.cached_property
    def verdicts(self) -> Verdicts:
        """The verdict on each claim, by the claim's id."""
        return verdicts.verdicts(self.frame)


def load(path: Path | None = None) -> dict[str, Any]:
    """The sentences by part; InputError if the file isn't laid out as its head says."""
    path = path or checkout_path(ANSWER)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable as YAML ({type(error).__name__})") from None
    parts = {"headline", "conclusion"}
    if not isinstance(content, dict) or set(content) != parts:
        raise InputError(f"{path}: must have the parts {', '.join(sorted(parts))}")
    return content


def headline(frame: pd.DataFrame, path: Path | None = None) -> str:
    """The answer in one sentence, as the front page and the README open; without links."""
    return bound(load(path)["headline"], "headline", Known(frame), link=False)


def conclusion(frame: pd.DataFrame, path: Path | None = None) -> str:
    """The conclusion, in Markdown: a heading and its paragraphs for each part."""
    parts, known = load(path)["conclusion"], Known(frame)
    return "\n\n".join(f"## {part['heading']}\n\n{bound(part, part['heading'], known)}" for part in parts)


def say(text: str, frame: pd.DataFrame, rests_on: Mapping[str, str]) -> str:
    """A page's own sentences, in Markdown, with their numbers; paragraphs are kept.

    rests_on: verdict by "CLAIM@DATASET", with its second word, "undecided (after Holm's correction)", where the text
    hangs on that, too. Places in the text are those of book/answer.yaml. InputError if a verdict that
    the text rests on has changed, or a place can't be filled.
    """
    where = f'"{" ".join(text.split()[:6])} …"'
    known = Known(frame)
    _check(rests_on, where, known)
    return "\n\n".join(filled(part, where, known) for part in re.split(r"\n\s*\n", text.strip()))


def bound(entry: Mapping[str, Any], where: str, known: Known, link: bool = True) -> str:
    """The text of an entry with its numbers; InputError if a verdict that it rests on has changed.

    Paragraphs are kept: YAML folds lines, so that a blank line in the file is the one line break that is left.
    """
    where = f"{ANSWER}: {where}"
    _check(entry["rests_on"], where, known)
    return "\n\n".join(filled(part, where, known, link) for part in entry["text"].strip().split("\n"))


def _check(rests_on: Mapping[str, str], where: str, known: Known) -> None:
    """InputError if a verdict differs from the one that a sentence rests on."""
    for place, expected in rests_on.items():
        claim, _, dataset = str(place).partition("@")
        word = expected.partition(" (")[0]
        one_of(f"{where}: verdict", word, VERDICTS)
        found = _decision(claim, dataset, where, known)
        now = found.verdict if word == expected else verdict_words(found.verdict, found.kind)
        if now != expected:
            raise InputError(f"{where}: rests on {place} = {expected!r}, and the rows now say {now!r}: read it again")


def filled(text: str, where: str, known: Known, link: bool = True) -> str:
    """A text with the numbers in its places; InputError for a place that can't be filled, Missing for a number that
    the rows don't have.

    link: whether a claim's number leads to the claim in the ledger, where its rows are listed.
    """
    frame = known.frame

    def number(found: re.Match[str]) -> str:
        what, name, dataset, under = found.groups()
        if what == "accuracy":
            return f"{100 * _accuracy(name, dataset, 'clean@', where, frame):.1f}"
        if what == "kept":
            return f"{100 * _accuracy(name, dataset, under or 'clean@', where, frame):.0f}"
        if what == "one_answer":
            return f"{100 * _one_answer(name, dataset, under or 'clean@', where, frame):.0f}"
        if what == "conditional":
            return f"{100 * _conditional(name, dataset, under or 'clean@', where, frame):.0f}"
        one_of(
            f"{where}: place", what, ["accuracy", "kept", "conditional", "one_answer", "at", "of_two", "q", *NUMBERS]
        )
        decision = _decision(name, dataset, where, known)
        if what == "of_two":
            two = lens.of_two(name, dataset, frame)
            said = _points(two.effect, two.low, two.high)
        elif what == "q":
            said = f"{known.verdicts.q.get((name, dataset), math.nan):.2f}"  # NaN is refused below
        else:
            said = _at(decision, under or "", where) if what == "at" else NUMBERS[what](decision)
        if "nan" in said:
            raise Missing(f"{where}: {found[0]}: no such number in the rows")
        return f'<a class="number" href="{tables.LEDGER}#claim-{name}">{said}</a>' if link else said

    said = PLACE.sub(number, " ".join(text.split()))
    if "{" in said:
        raise InputError(f"{where}: {said[said.index('{') :][:40]!r} isn't a place that can be filled")
    return said


def _decision(claim: str, dataset: str, where: str, known: Known) -> Decision:
    one_of(f"{where}: claim", claim, list(known.verdicts))
    here = {decision.dataset: decision for decision in known.verdicts[claim].decisions}
    one_of(f"{where}: data set of {claim}", dataset, list(here))
    return here[dataset]


def _interval(effect: float, low: float, high: float, digits: int) -> str:
    mean, *ends = (f"{value:+.{digits}f}".replace("-", "−") for value in (effect, low, high))
    return f"{mean} [{', '.join(ends)}]"


def _points(effect: float, low: float, high: float) -> str:
    return _interval(100 * effect, 100 * low, 100 * high, 1)


def _cells(decision: Decision) -> str:
    sizes = sorted(100 * abs(judged.effect) for _, judged in decision.cells) or [math.nan]
    return f"{sizes[0]:.1f} to {sizes[-1]:.1f}"


def _at(decision: Decision, place: str, where: str) -> str:
    """The effect in the claim's cell at a DISTORTION@LEVEL, in percentage points."""
    effects = {str(key): judged.effect for key, judged in decision.cells}
    one_of(f"{where}: cell", place, list(effects))
    return f"{100 * effects[place]:+.1f}".replace("-", "−")


def _cell(decision: Decision, number: int) -> str:
    """The effect of one of the claim's cells, with its interval."""
    if number >= len(decision.cells):
        return "nan"
    _, judged = decision.cells[number]
    return _interval(judged.effect, judged.low, judged.high, 2)


NUMBERS: dict[str, Callable[[Decision], str]] = {
    "points": lambda d: _points(d.judged.effect, d.judged.low, d.judged.high),
    "by": lambda decision: f"{100 * abs(decision.judged.effect):.1f}",
    "cells": _cells,
    "control": lambda d: f"{100 * abs(d.control.effect if d.control else math.nan):.1f}",
    "control_points": lambda d: _points(d.control.effect, d.control.low, d.control.high) if d.control else "nan",
    "value": lambda d: _interval(d.judged.effect, d.judged.low, d.judged.high, 2),
    "first": lambda d: _cell(d, 0),
    "second": lambda d: _cell(d, 1),
}


def _conditional(model: str, dataset: str, under: str, where: str, frame: pd.DataFrame) -> float:
    """The paper's measure (4.2) of a model under a DISTORTION@LEVEL, mean over seeds."""
    one_of(f"{where}: data set", dataset, list(claims.load().settings))
    distortion, _, level = under.partition("@")
    found = lens.points(frame, dataset, distortion)
    found = found[(found["model"] == model) & (found["level"] == level)]
    if found.empty:
        raise InputError(f"{where}: no accuracy of {model} on {dataset} under {under}")
    return float(found["conditional"].mean())


def _one_answer(model: str, dataset: str, under: str, where: str, frame: pd.DataFrame) -> float:
    """The share of all test pictures that get a model's most frequent answer, mean over seeds."""
    one_of(f"{where}: data set", dataset, list(claims.load().settings))
    if not (found := one_answer.shares(frame, dataset, model, under)):
        raise InputError(f"{where}: no answers of {model} on {dataset} under {under}")
    return sum(found) / len(found)


def _accuracy(model: str, dataset: str, under: str, where: str, frame: pd.DataFrame) -> float:
    """Accuracy of a model under a DISTORTION@LEVEL in the main setting of a data set, mean over seeds."""
    one_of(f"{where}: data set", dataset, list(claims.load().settings))
    distortion, _, level = under.partition("@")
    mine = tables.in_main_setting(frame, dataset)
    mine = mine[(mine["model"] == model) & (mine["distortion"] == distortion) & (mine["level"] == level)]
    mine = mine[mine["metric"].isin(["accuracy", "accuracy_last"])]
    if mine.empty:
        raise InputError(f"{where}: no accuracy of {model} on {dataset} under {under}")
    return float(mine["value"].mean())
