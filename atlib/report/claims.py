"""The claims of book/claims.yaml, read and checked: what each says, and which statistic is to decide it.

The head of that file explains every key; the classes below hold the same things under the same names.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from .. import barred, between, choices
from ..errors import InputError, in_range, one_of
from ..files import checkout_path
from ..measurements import MEASUREMENTS
from ..rows import BETWEEN, FRACTIONS, MAP_METRICS

REGISTERING = (barred, between)  # their measurements are registered as they are imported
CLAIMS = "book/claims.yaml"
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML has it
SECTIONS = (
    "abstract", "1", "2", "2.1", "2.2", "3", "3.1", "3.2",
    "4", "4.1", "4.2", "4.2.1", "4.2.2", "4.2.3", "5", "6",
)  # fmt: skip
ORIGINS = ("paper", "question", "later", "ours")
DIRECTIONS = ("greater", "less", "equal")
QUANTIFIERS = ("mean", "all", "each", "most")
COMBINATIONS = {"mean": "mean", "weakest": "all"}  # the first registration's words for the first two quantifiers
# atlib.report.quantities computes them; True: takes a reference
STATISTICS = {
    "difference": True,
    "difference_of_changes": True,
    "ordered_difference": True,
    "change": False,
    "spread": False,
    "rank_correlation": False,
    "effective_robustness": False,
}
COMPUTED = ("conditional", "common")
METRICS = (*FRACTIONS, *COMPUTED, *MAP_METRICS, *(f"grad_{name}" for name in MAP_METRICS), *BETWEEN)
TRAINED = re.compile(rf"({'|'.join(choices.NUMBERED)})-\d+(\.\d+)?")
PLAIN = ("main", "weak", *choices.PLAIN)
EVERY = "every-adversarial"  # each adversarially trained network of which the grid has three seeds
SAME = "same"  # the model, or the setting, of the network that is compared
THREE = ("normal", "underfit", "main")  # whose common pictures `common` is about


@dataclass(frozen=True)
class Setting:
    """Which runs of a data set are compared with each other: those of one width, recipe and share.

    recipe None: not fixed yet. main, weak: the models that these two words stand for in claims. seeds: the first and
    last that count (None: any). no_looks: the block of the grid that has to be published to its last network before
    anything is judged (empty: none). no_control: why the network stopped early is no control here (empty: it is one).
    """

    dataset: str
    width: int
    recipe: str | None
    share: float
    main: str
    weak: str
    seeds: tuple[int, int] | None = None
    no_control: str = ""
    no_looks: str = ""

    def counts(self, seed: int) -> bool:
        """Whether networks of that seed belong to the setting."""
        return self.seeds is None or self.seeds[0] <= seed <= self.seeds[1]


@dataclass(frozen=True)
class Statistic:
    """What is computed within each seed; see the head of book/claims.yaml.

    metrics: usually one. opposite: those of them that the claim expects on the other side of zero. average: whether the
    levels in `under` are averaged before anything else. common: the models whose common pictures `common` counts.
    line: the models through which `effective_robustness` draws its line.
    """

    name: str
    models: tuple[str, ...]
    under: tuple[str, ...]
    metrics: tuple[str, ...]
    reference: str | float | None = None
    reference_metric: str | None = None
    against: str | None = None
    quantifier: str = "mean"
    average: bool = False
    common: tuple[str, ...] = THREE
    opposite: tuple[str, ...] = ()
    line: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """One entry of book/claims.yaml; see its head.

    smallest_effect: of each metric of the statistic. registered: the day of a later registration, or empty. seen: data
    sets whose deciding rows had been seen on that day. control: whether the network stopped early is to be compared
    with, where it can be. or_more: of an "equal" claim, whether a positive difference bears it out as well.
    paper_says: what the paper says, where it says less than the claim; it completes "The paper says". alone: how the
    claim reads where it stands without the one before it (empty: as it is).
    """

    id: str
    claim: str
    section: str
    origin: str
    statistic: Statistic
    direction: str
    smallest_effect: Mapping[str, float]
    datasets: tuple[str, ...]
    needed: tuple[str, ...]
    known: str
    changes: tuple[str, ...]
    shown: tuple[str, ...] = ()
    registered: str = ""
    formula: str = ""
    seen: tuple[str, ...] = ()
    control: bool = True
    or_more: bool = False
    paper_says: str = ""
    alone: str = ""

    @property
    def e(self) -> float:
        """The smallest effect, where all metrics have the same; else the largest of them."""
        return max(self.smallest_effect.values())


@dataclass(frozen=True)
class Primary:
    """One of the claims on which the answer rests. part: of the paper's argument."""

    id: str
    part: str
    reason: str


@dataclass(frozen=True)
class Ledger:
    """All claims with the settings and the rule that decide them."""

    claims: tuple[Claim, ...]
    settings: Mapping[str, Setting]
    minimum_seeds: int = 3
    confidence: float = 0.95
    primary: tuple[Primary, ...] = ()
    changes: tuple[str, ...] = ()

    def __getitem__(self, id: str) -> Claim:
        """A claim by its id."""
        one_of("claim", id, [claim.id for claim in self.claims])
        return next(claim for claim in self.claims if claim.id == id)

    def is_primary(self, id: str) -> bool:
        """Whether a claim is one of the primary ones."""
        return id in [primary.id for primary in self.primary]


def load(path: Path | None = None) -> Ledger:
    """Read and check the claims (None: the checkout's); a file that hasn't changed is read once.

    InputError names the file, the entry and what is wrong, in one line.
    """
    path = path or checkout_path(CLAIMS)
    try:
        changed = path.stat().st_mtime_ns
    except OSError as error:
        raise InputError(f"{path}: not readable ({type(error).__name__})") from None
    return _load(path, changed)


@functools.lru_cache(maxsize=4)
def _load(path: Path, _: int) -> Ledger:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader)
    except OSError as error:
        raise InputError(f"{path}: not readable ({type(error).__name__})") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    try:
        return _ledger(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _ledger(content: object) -> Ledger:
    top = _keys("file", content, ("rule", "settings", "claims"), ("primary",))
    rule = _keys("rule", top["rule"], ("minimum_seeds", "confidence"), ("changes",))
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
    primary = tuple(_primary(entry, ids) for entry in top.get("primary", []))
    changes = _changes("rule", rule.get("changes", []))
    return Ledger(claims, settings, rule["minimum_seeds"], rule["confidence"], primary, changes)


def _primary(entry: object, ids: Iterable[str]) -> Primary:
    checked = _keys("primary", entry, ("id", "part", "reason"))
    one_of("primary: id", checked["id"], list(ids))
    return Primary(**checked)


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
    required = ("dataset", "width", "recipe", "share", "main", "weak")
    checked = dict(_keys(where, entry, required, ("seeds", "no_control", "no_looks")))
    if not isinstance(checked.get("no_looks", ""), str):
        raise InputError(f"{where}.no_looks = {checked['no_looks']!r}: must be the name of a block of the grid")
    in_range(f"{where}.width", checked["width"], 1, whole=True)
    in_range(f"{where}.share", checked["share"], 0, 1)
    for name in ("main", "weak"):
        _check_model(f"{where}.{name}", checked[name], {})
    for name in ("dataset", "recipe"):
        if not isinstance(checked[name], str) and (name == "dataset" or checked[name] is not None):
            raise InputError(f"{where}.{name} = {checked[name]!r}: must be text")
    if (seeds := checked.get("seeds")) is not None:
        if not isinstance(seeds, list) or len(seeds) != 2 or not all(isinstance(seed, int) for seed in seeds):
            raise InputError(f"{where}.seeds = {seeds!r}: must be the first and the last seed, as in [1, 5]")
        checked["seeds"] = (seeds[0], seeds[1])
    return Setting(**checked)


REQUIRED = (
    "id", "claim", "section", "origin", "statistic", "direction", "smallest_effect", "datasets", "needed", "known",
    "changes",
)  # fmt: skip


def _claim(entry: object, settings: Mapping[str, Setting]) -> Claim:
    name = entry.get("id") if isinstance(entry, dict) else entry
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise InputError(f"claim {name!r}: needs an id of small letters, digits and hyphens")
    where = f"claim {name}"
    checked = dict(_keys(where, entry, REQUIRED, [f.name for f in fields(Claim) if f.name not in REQUIRED]))
    for key in ("claim", "known"):
        if not isinstance(checked[key], str) or not checked[key].strip():
            raise InputError(f"{where}: {key} = {checked[key]!r}: must be a sentence")
    for key, allowed in (("section", SECTIONS), ("origin", ORIGINS), ("direction", DIRECTIONS)):
        one_of(f"{where}: {key}", checked[key], allowed)
    for key in ("datasets", "needed", "shown", "seen"):
        checked[key] = _list(f"{where}: {key}", checked.get(key, []), settings, empty=key in ("shown", "seen"))
    for dataset in checked["needed"]:
        one_of(f"{where}: needed", dataset, checked["datasets"])
    for dataset in checked["shown"]:
        if dataset in checked["datasets"]:
            raise InputError(f"{where}: shown = {dataset!r}: is among the datasets already")
    for dataset in checked["seen"]:
        one_of(f"{where}: seen", dataset, (*checked["datasets"], *checked["shown"]))
    _check_later(where, checked)
    checked["changes"] = _changes(where, checked["changes"])
    checked["statistic"] = _statistic(f"{where}: statistic", checked["statistic"], settings)
    checked["smallest_effect"] = _smallest(where, checked)
    return Claim(**checked)


def _check_later(where: str, checked: Mapping[str, Any]) -> None:
    """What only some entries have: the day of a later registration, with its formula, and two switches."""
    registered = str(checked.get("registered", ""))
    if registered and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", registered):
        raise InputError(f"{where}: registered = {registered!r}: must be a date in quotes, as in '2026-11-27'")
    if bool(registered) != bool(checked.get("formula", "")):
        raise InputError(f"{where}: registered and formula: go together")
    if checked["seen"] and not registered:
        raise InputError(f"{where}: seen: is for entries with a date of registration")
    if not isinstance(said := checked.get("paper_says", ""), str) or (said and checked["origin"] != "paper"):
        raise InputError(f"{where}: paper_says = {said!r}: must be text, and is for claims with the origin paper")
    for key in ("control", "or_more"):
        if checked.get(key, True) not in (True, False):
            raise InputError(f"{where}: {key} = {checked[key]!r}: must be true or false")
    if checked.get("or_more") and checked["direction"] != "equal":
        raise InputError(f"{where}: or_more: is for claims that two things are equal")


def _smallest(where: str, checked: Mapping[str, Any]) -> dict[str, float]:
    """The smallest effect of each metric: one number for all, or a table."""
    given, metrics = checked["smallest_effect"], checked["statistic"].metrics
    found = given if isinstance(given, dict) else dict.fromkeys(metrics, given)
    if set(found) != set(metrics):
        raise InputError(f"{where}: smallest_effect: must have one for each of {', '.join(metrics)}")
    for value in found.values():
        in_range(f"{where}: smallest_effect", value, 0, open_low=checked["direction"] == "equal")
    return {metric: float(found[metric]) for metric in metrics}


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
    optional = (
        "combine", "quantifier", "reference", "reference_metric", "against", "average", "common", "opposite", "line",
    )  # fmt: skip
    checked = dict(_keys(where, entry, ("name", "models", "under", "metric"), optional))
    one_of(f"{where}: name", checked["name"], list(STATISTICS))
    metric = checked.pop("metric")
    checked["metrics"] = _list(f"{where}: metric", metric if isinstance(metric, list) else [metric], METRICS)
    checked["opposite"] = _list(f"{where}: opposite", checked.get("opposite", []), checked["metrics"], empty=True)
    combine = checked.pop("combine", "mean")
    one_of(f"{where}: combine", combine, list(COMBINATIONS))
    checked.setdefault("quantifier", COMBINATIONS[combine])
    one_of(f"{where}: quantifier", checked["quantifier"], QUANTIFIERS)
    if checked.setdefault("average", False) not in (True, False):
        raise InputError(f"{where}: average = {checked['average']!r}: must be true or false")
    for key in ("models", "under"):
        checked[key] = _list(f"{where}: {key}", checked[key])
    checked["common"] = _list(f"{where}: common", checked.get("common", list(THREE)))
    checked["line"] = _list(f"{where}: line", checked.get("line", []), empty=True)
    for model in (*checked["models"], *checked["common"], *checked["line"]):
        _check_model(f"{where}: models", model, settings)
    for under in checked["under"]:
        _check_under(f"{where}: under", under, checked["metrics"])
    _check_reference(where, checked, settings)
    _check_against(where, checked)
    _check_line(where, checked)
    return Statistic(**checked)


def _check_model(where: str, model: object, settings: Mapping[str, Setting]) -> None:
    name, at, setting = str(model).partition("@")
    known = name in (*PLAIN, EVERY, SAME) or TRAINED.fullmatch(name)
    if not isinstance(model, str) or not known:
        raise InputError(f"{where} = {model!r}: must be a model's name, as in pgd-linf-8, or main or weak")
    if at:
        one_of(f"{where} = {model!r}: setting", setting, [*settings, SAME])


def _check_under(where: str, under: str, metrics: Iterable[str]) -> None:
    distortion, at, _ = under.partition("@")
    if not at:
        raise InputError(f"{where} = {under!r}: must be DISTORTION@LEVEL (the level may be empty)")
    one_of(f"{where} = {under!r}: distortion", distortion, measured_under())
    for metric in metrics:
        if metric in COMPUTED and distortion in ("clean", "conflict"):
            raise InputError(f"{where} = {under!r}: {metric} needs a distortion of the test images")


def measured_under() -> list[str]:
    """What claims may speak of, whether or not a run has rows of it yet: whatever is measured. The rows of maps, and of
    networks measured together, belong to the distortion that they were measured under."""
    return [name for name in MEASUREMENTS if name not in ("maps", between.NAME)]


def _check_reference(where: str, checked: Mapping[str, Any], settings: Mapping[str, Setting]) -> None:
    """Differences need a reference, only a plain one may be a number, and `common` needs networks."""
    reference, needs = checked.get("reference"), STATISTICS[checked["name"]]
    if needs != (reference is not None):
        raise InputError(f"{where}: {checked['name']} {'needs' if needs else 'takes no'} reference")
    number = isinstance(reference, (int, float))
    if needs and not number:
        _check_model(f"{where}: reference", reference, settings)
    if number and checked["name"] != "difference":
        raise InputError(f"{where}: reference = {reference!r}: {checked['name']} needs a model")
    if "common" in checked["metrics"] and (number or checked["name"] != "difference"):
        raise InputError(f"{where}: metric = 'common': needs the difference of two models")
    if (other := checked.get("reference_metric")) is not None:
        one_of(f"{where}: reference_metric", other, METRICS)


def _check_against(where: str, checked: Mapping[str, Any]) -> None:
    against, needs = checked.get("against"), checked["name"] in ("rank_correlation", "ordered_difference")
    if needs != (against is not None):
        raise InputError(f"{where}: against: is for rank_correlation and ordered_difference, and needed there")
    if checked["name"] == "rank_correlation" and len(checked["models"]) < 3:
        raise InputError(f"{where}: models: rank_correlation needs three or more")
    if checked["name"] == "spread" and len(checked["models"]) < 2:
        raise InputError(f"{where}: models: spread needs two or more")
    if against is not None and against != "order":
        under, _, metric = str(against).rpartition("/")
        one_of(f"{where}: against = {against!r}: metric", metric, [m for m in METRICS if m != "common"])
        _check_under(f"{where}: against", under, (metric,))


def _check_line(where: str, checked: Mapping[str, Any]) -> None:
    """Effective robustness is of accuracies, under a distortion, and needs a line through three networks or more."""
    needs = checked["name"] == "effective_robustness"
    if needs != bool(checked["line"]):
        raise InputError(f"{where}: line: is for effective_robustness, and needed there")
    if not needs:
        return
    if len(checked["line"]) < 3:
        raise InputError(f"{where}: line: effective_robustness needs three networks or more")
    if checked["metrics"] != ("accuracy",):
        raise InputError(f"{where}: metric: effective_robustness is of accuracy")
    for under in checked["under"]:
        if under.partition("@")[0] in ("clean", "conflict"):
            raise InputError(f"{where}: under = {under!r}: effective_robustness needs a distortion of the test images")
