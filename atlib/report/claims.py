"""The claims of book/claims.yaml, read and checked: what each says, and which statistic is to decide it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from .. import transforms
from ..errors import InputError, in_range, one_of
from ..files import checkout_path
from ..rows import FRACTIONS, MAP_METRICS

CLAIMS = "book/claims.yaml"
SECTIONS = (
    "abstract", "1", "2", "2.1", "2.2", "3", "3.1", "3.2",
    "4", "4.1", "4.2", "4.2.1", "4.2.2", "4.2.3", "5", "6",
)  # fmt: skip
ORIGINS = ("paper", "question", "later")
DIRECTIONS = ("greater", "less", "equal")
COMBINATIONS = ("mean", "weakest")
STATISTICS = (
    "difference",
    "difference_of_changes",
    "spread",
    "rank_correlation",
)  # atlib.report.verdicts computes them
# What pictures are shown under: claims may also speak of what no run has rows of yet.
SHOWN_UNDER = ("clean", "pgd-linf", "trained-attack", "conflict", "stylised", *transforms.DISTORTIONS)
COMPUTED = ("conditional", "common")
METRICS = (*FRACTIONS, *COMPUTED, *MAP_METRICS, *(f"grad_{name}" for name in MAP_METRICS))
MODEL_NAME = re.compile(r"main|weak|normal|underfit|spatial|(underfit|fgsm|pgd-linf|pgd-l2|noise|blur)-\d+(\.\d+)?")


@dataclass(frozen=True)
class Setting:
    """Which runs of a data set are compared with each other: those of one width, recipe and share.

    recipe None: not fixed yet. main, weak: the models that these two words stand for in claims.
    """

    dataset: str
    width: int
    recipe: str | None
    share: float
    main: str
    weak: str


@dataclass(frozen=True)
class Statistic:
    """What is computed within each seed; see the head of book/claims.yaml."""

    name: str
    models: tuple[str, ...]
    under: tuple[str, ...]
    metric: str
    reference: str | float | None = None
    against: str | None = None
    combine: str = "mean"


@dataclass(frozen=True)
class Claim:
    """One entry of book/claims.yaml; see its head."""

    id: str
    claim: str
    section: str
    origin: str
    statistic: Statistic
    direction: str
    smallest_effect: float
    datasets: tuple[str, ...]
    needed: tuple[str, ...]
    known: str
    changes: tuple[str, ...]
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """All claims with the settings and the rule that decide them."""

    claims: tuple[Claim, ...]
    settings: Mapping[str, Setting]
    minimum_seeds: int = 3
    confidence: float = 0.95

    def __getitem__(self, id: str) -> Claim:
        """A claim by its id."""
        one_of("claim", id, [claim.id for claim in self.claims])
        return next(claim for claim in self.claims if claim.id == id)


def load(path: Path | None = None) -> Ledger:
    """Read and check the claims (None: the checkout's).

    InputError names the file, the entry and what is wrong, in one line.
    """
    path = path or checkout_path(CLAIMS)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: not readable ({type(error).__name__})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    try:
        return _ledger(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _ledger(content: object) -> Ledger:
    top = _keys("file", content, ("rule", "settings", "claims"))
    rule = _keys("rule", top["rule"], ("minimum_seeds", "confidence"))
    in_range("rule.minimum_seeds", rule["minimum_seeds"], 2, whole=True)
    in_range("rule.confidence", rule["confidence"], 0.5, 0.9999)
    if not isinstance(top["settings"], dict) or not isinstance(top["claims"], list):
        raise InputError("settings must be a table and claims a list")
    settings = {name: _setting(f"settings.{name}", entry) for name, entry in top["settings"].items()}
    claims = tuple(_claim(entry, settings) for entry in top["claims"])
    ids = [claim.id for claim in claims]
    for id in ids:
        if ids.count(id) > 1:
            raise InputError(f"claim {id}: is there {ids.count(id)} times")
    return Ledger(claims, settings, rule["minimum_seeds"], rule["confidence"])


def _keys(where: str, entry: object, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, Any]:
    """The entry, if it is a table that has all required keys and no unknown one."""
    if not isinstance(entry, dict):
        raise InputError(f"{where} = {entry!r}: must be a table")
    required = tuple(required)
    for key in entry:
        one_of(f"{where}: key", key, (*required, *optional))
    for key in required:
        if key not in entry:
            raise InputError(f"{where}: key {key!r} is missing")
    return entry


def _setting(where: str, entry: object) -> Setting:
    checked = _keys(where, entry, (f.name for f in fields(Setting)))
    in_range(f"{where}.width", checked["width"], 1, whole=True)
    in_range(f"{where}.share", checked["share"], 0, 1)
    for name in ("main", "weak"):
        _check_model(f"{where}.{name}", checked[name], {})
    for name in ("dataset", "recipe"):
        if not isinstance(checked[name], str) and (name == "dataset" or checked[name] is not None):
            raise InputError(f"{where}.{name} = {checked[name]!r}: must be text")
    return Setting(**checked)


def _claim(entry: object, settings: Mapping[str, Setting]) -> Claim:
    name = entry.get("id") if isinstance(entry, dict) else entry
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise InputError(f"claim {name!r}: needs an id of small letters, digits and hyphens")
    where = f"claim {name}"
    checked = dict(_keys(where, entry, (f.name for f in fields(Claim) if f.name != "shown"), ("shown",)))
    for key in ("claim", "known"):
        if not isinstance(checked[key], str) or not checked[key].strip():
            raise InputError(f"{where}: {key} = {checked[key]!r}: must be a sentence")
    for key, allowed in (("section", SECTIONS), ("origin", ORIGINS), ("direction", DIRECTIONS)):
        one_of(f"{where}: {key}", checked[key], allowed)
    in_range(f"{where}: smallest_effect", checked["smallest_effect"], 0, open_low=checked["direction"] == "equal")
    for key in ("datasets", "needed", "shown"):
        checked[key] = _list(f"{where}: {key}", checked.get(key, []), settings, empty=key == "shown")
    for dataset in checked["needed"]:
        one_of(f"{where}: needed", dataset, checked["datasets"])
    for dataset in checked["shown"]:
        if dataset in checked["datasets"]:
            raise InputError(f"{where}: shown = {dataset!r}: is among the datasets already")
    checked["changes"] = _changes(where, checked["changes"])
    checked["statistic"] = _statistic(f"{where}: statistic", checked["statistic"], settings)
    return Claim(**checked)


def _list(where: str, value: object, allowed: Iterable[str] | None = None, *, empty: bool = False) -> tuple[str, ...]:
    """A list of texts, each once, each allowed."""
    if not isinstance(value, list) or (not value and not empty) or not all(isinstance(v, str) for v in value):
        raise InputError(f"{where} = {value!r}: must be a list of names")
    for item in value:
        if allowed is not None:
            one_of(where, item, allowed)
        if value.count(item) > 1:
            raise InputError(f"{where} = {item!r}: is there {value.count(item)} times")
    return tuple(value)


def _changes(where: str, value: object) -> tuple[str, ...]:
    lines = _list(f"{where}: changes", value, empty=True)
    for line in lines:
        if not re.match(r"\d{4}-\d{2}-\d{2}: \S", line):
            raise InputError(f"{where}: changes = {line!r}: must begin with a date, as in '2026-12-01: why'")
    return lines


def _statistic(where: str, entry: object, settings: Mapping[str, Setting]) -> Statistic:
    checked = dict(_keys(where, entry, ("name", "models", "under", "metric"), ("reference", "against", "combine")))
    one_of(f"{where}: name", checked["name"], STATISTICS)
    one_of(f"{where}: metric", checked["metric"], METRICS)
    one_of(f"{where}: combine", checked.get("combine", "mean"), COMBINATIONS)
    for key in ("models", "under"):
        checked[key] = _list(f"{where}: {key}", checked[key])
    for model in checked["models"]:
        _check_model(f"{where}: models", model, settings)
    for under in checked["under"]:
        _check_under(f"{where}: under", under, checked["metric"])
    _check_reference(where, checked, settings)
    _check_against(where, checked)
    return Statistic(**checked)


def _check_model(where: str, model: object, settings: Mapping[str, Setting]) -> None:
    name, at, setting = str(model).partition("@")
    if not isinstance(model, str) or not MODEL_NAME.fullmatch(name):
        raise InputError(f"{where} = {model!r}: must be a model's name, as in pgd-linf-8, or main or weak")
    if at:
        one_of(f"{where} = {model!r}: setting", setting, settings)


def _check_under(where: str, under: str, metric: str) -> None:
    distortion, at, _ = under.partition("@")
    if not at:
        raise InputError(f"{where} = {under!r}: must be DISTORTION@LEVEL (the level may be empty)")
    one_of(f"{where} = {under!r}: distortion", distortion, SHOWN_UNDER)
    if metric in COMPUTED and distortion in ("clean", "conflict"):
        raise InputError(f"{where} = {under!r}: {metric} needs a distortion of the test images")


def _check_reference(where: str, checked: Mapping[str, Any], settings: Mapping[str, Setting]) -> None:
    """Differences need a reference, only a plain one may be a number, and `common` needs two networks."""
    reference, needs = checked.get("reference"), checked["name"].startswith("difference")
    if needs != (reference is not None):
        raise InputError(f"{where}: {checked['name']} {'needs' if needs else 'takes no'} reference")
    number = isinstance(reference, (int, float))
    if needs and not number:
        _check_model(f"{where}: reference", reference, settings)
    if number and checked["name"] != "difference":
        raise InputError(f"{where}: reference = {reference!r}: {checked['name']} needs a model")
    if checked["metric"] == "common" and (number or checked["name"] != "difference"):
        raise InputError(f"{where}: metric = 'common': needs the difference of two models")


def _check_against(where: str, checked: Mapping[str, Any]) -> None:
    against = checked.get("against")
    if (checked["name"] == "rank_correlation") != (against is not None):
        raise InputError(f"{where}: against: is for rank_correlation, and needed there")
    if checked["name"] == "rank_correlation" and len(checked["models"]) < 3:
        raise InputError(f"{where}: models: rank_correlation needs three or more")
    if checked["name"] == "spread" and len(checked["models"]) < 2:
        raise InputError(f"{where}: models: spread needs two or more")
    if against is not None and against != "order":
        under, _, metric = str(against).rpartition("/")
        one_of(f"{where}: against = {against!r}: metric", metric, [m for m in METRICS if m != "common"])
        _check_under(f"{where}: against", under, metric)
