"""Sentences that people wrote (book/answer.yaml), bound to the verdicts that they rest on.

Their numbers are filled in from the verdicts; where the rows have changed a verdict, the sentence is refused until
somebody has read it again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from ..errors import InputError, one_of
from ..files import checkout_path
from . import claims, verdicts
from .rule import VERDICTS
from .verdicts import Decision

ANSWER = "book/answer.yaml"
PLACE = re.compile(r"\{(\w+) ([\w.-]+)@([\w.-]+)\}")


def load(path: Path | None = None) -> dict[str, Any]:
    """The sentences by part; InputError if the file isn't laid out as its head says."""
    path = path or checkout_path(ANSWER)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{path}: not readable as YAML ({type(error).__name__})") from None
    parts = {"answer", "caution", "conclusion"}
    if not isinstance(content, dict) or set(content) != parts:
        raise InputError(f"{path}: must have the parts {', '.join(sorted(parts))}")
    return content


def answer(frame: pd.DataFrame, path: Path | None = None) -> str:
    """The answer so far, as a Markdown list, with the caution above it."""
    content = load(path)
    lines = [f"- {bound(entry, f'answer, sentence {n}', frame)}" for n, entry in enumerate(content["answer"], 1)]
    return f"{filled(content['caution'], 'caution', frame)}\n\n" + "\n".join(lines)


def conclusion(frame: pd.DataFrame, path: Path | None = None) -> str:
    """The conclusion, in Markdown: a heading and a paragraph for each part."""
    parts = load(path)["conclusion"]
    return "\n\n".join(f"## {part['heading']}\n\n{bound(part, part['heading'], frame)}" for part in parts)


def bound(entry: Mapping[str, Any], where: str, frame: pd.DataFrame) -> str:
    """The text of an entry with its numbers; InputError if a verdict that it rests on is another one."""
    for place, expected in entry["rests_on"].items():
        claim, _, dataset = str(place).partition("@")
        one_of(f"{ANSWER}: {where}: verdict", expected, VERDICTS)
        now = _decision(claim, dataset, where, frame).verdict
        if now != expected:
            raise InputError(
                f"{ANSWER}: {where}: rests on {place} = {expected!r}, and the rows now say {now!r}: read it again"
            )
    return filled(entry["text"], where, frame)


def filled(text: str, where: str, frame: pd.DataFrame) -> str:
    """A text with the numbers in its places; InputError for a place that can't be filled."""

    def number(found: re.Match[str]) -> str:
        what, name, dataset = found.groups()
        if what == "accuracy":
            return _accuracy(name, dataset, where, frame)
        one_of(f"{ANSWER}: {where}: place", what, ["accuracy", *NUMBERS])
        said = NUMBERS[what](_decision(name, dataset, where, frame))
        if "nan" in said:
            raise InputError(f"{ANSWER}: {where}: {found[0]}: no such number in the rows")
        return said

    said = PLACE.sub(number, " ".join(text.split()))
    if "{" in said:
        raise InputError(f"{ANSWER}: {where}: {said[said.index('{') :][:40]!r} isn't a place that can be filled")
    return said


def _decision(claim: str, dataset: str, where: str, frame: pd.DataFrame) -> Decision:
    found = {one.claim.id: one for one in verdicts.verdicts(frame)}
    one_of(f"{ANSWER}: {where}: claim", claim, list(found))
    here = {decision.dataset: decision for decision in found[claim].decisions}
    one_of(f"{ANSWER}: {where}: data set of {claim}", dataset, list(here))
    return here[dataset]


def _interval(effect: float, low: float, high: float, digits: int) -> str:
    mean, *ends = (f"{value:+.{digits}f}".replace("-", "−") for value in (effect, low, high))
    return f"{mean} [{', '.join(ends)}]"


def _points(decision: Decision) -> str:
    judged = decision.judged
    return _interval(100 * judged.effect, 100 * judged.low, 100 * judged.high, 1)


def _cells(decision: Decision) -> str:
    sizes = sorted(100 * abs(judged.effect) for _, judged in decision.cells) or [math.nan]
    return f"{sizes[0]:.1f} to {sizes[-1]:.1f}"


NUMBERS: dict[str, Callable[[Decision], str]] = {
    "points": _points,
    "by": lambda decision: f"{100 * abs(decision.judged.effect):.1f}",
    "cells": _cells,
    "control": lambda d: f"{100 * abs(d.control.effect if d.control else math.nan):.1f}",
    "value": lambda d: _interval(d.judged.effect, d.judged.low, d.judged.high, 2),
}


def _accuracy(model: str, dataset: str, where: str, frame: pd.DataFrame) -> str:
    """Clean accuracy of a model in the main setting of a data set, mean over seeds, in per cent."""
    settings = claims.load().settings
    one_of(f"{ANSWER}: {where}: data set", dataset, list(settings))
    at = settings[dataset]
    mine = frame[(frame["dataset"] == at.dataset) & (frame["model"] == model) & (frame["recipe"] == at.recipe)]
    mine = mine[(mine["width"] == at.width) & (mine["distortion"] == "clean") & (mine["metric"] == "accuracy")]
    if mine.empty:
        raise InputError(f"{ANSWER}: {where}: no clean accuracy of {model} on {dataset}")
    return f"{100 * mine['value'].mean():.1f}"
