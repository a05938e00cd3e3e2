"""The grid: every run that the report wants (workflow/grid.yaml), resolved and checked, and how far each has come."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

import atlib  # atlib.evaluation, which takes torch, is loaded when it is first used

from .. import rows
from ..configuration import Config, check_start, of_model, resolve
from ..errors import InputError, one_of
from ..files import checkout_path, held_for, read_json, results_dir
from . import publishing

GRID = "workflow/grid.yaml"
BLOCK_KEYS = ("title", "on_request", "measure", "common", "runs")
NAMED = ("attack", "norm", "eps", "sigma", "tau", "max_flow", "quick")  # by the model's name, or never varied
RUN_KEYS = ("model", *(f.name for f in fields(Config) if f.name not in NAMED))
STATES = ("done", "running", "failed", "pending")
SHOWN_SEEDS = 5  # in columns of their own; of the seeds above, tables say how many are done


@dataclass(frozen=True)
class Planned:
    """One run of the grid.

    block: its block's name; rank: of its line, the smaller the earlier; needs: the run that an underfit one is matched
    to; on_request: only when its block is asked for; measure: which measurements the block asks for (none: all).
    """

    block: str
    rank: int
    config: Config
    needs: str | None = None
    on_request: bool = False
    measure: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """DATASET/MODEL-w16-s1-HASH."""
        return self.config.run

    @property
    def folder(self) -> Path:
        """Where it lives under runs/."""
        return self.config.folder

    @property
    def after(self) -> tuple[str, ...]:
        """The runs whose training comes first: of an underfit one its target, and the normal one it is cut from."""
        normal = (replace(self.config, match=None).run,) if self.config.match else ()
        return (*((self.needs,) if self.needs else ()), *normal)

    @property
    def expected(self) -> list[str]:
        """Every "NAME@LEVEL" that its block asks for and that applies to it."""
        return atlib.evaluation.expected(self.config, self.measure)


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses duplicate keys instead of keeping the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"{key!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


def load(path: Path | None = None) -> list[Planned]:
    """Every run of the grid (None: the checkout's), in its order.

    InputError in one line, with the file and the place in it, for what isn't YAML, an unknown key, model or value, a
    run that is named twice, and an underfit control without the run that it is to match.
    """
    path = path or checkout_path(GRID)
    found: list[Planned] = []
    for name, block in _blocks(path).items():
        for number, line in enumerate(block["runs"], 1):
            where = f"{path}: block {name}, run {number}"
            _check_keys(f"{where}: key", line, RUN_KEYS)
            rank = found[-1].rank + 1 if found else 0
            for one in _each(block.get("common", {}) | line):
                try:
                    config, needs = _resolve(one)
                except InputError as error:
                    raise InputError(f"{where}: {error}") from None
                asked = tuple(block.get("measure", ()))
                found.append(Planned(name, rank, config, needs, bool(block.get("on_request", False)), asked))
                if asked and not found[-1].expected:
                    raise InputError(f"{where}: measure = {', '.join(asked)!r}: does not apply to {config.run}")
        for measurement in block.get("measure", ()):
            if not any(atlib.evaluation.expected(p.config, (measurement,)) for p in found if p.block == name):
                raise InputError(f"{path}: block {name}: measure = {measurement!r}: applies to none of its runs")
    _check_once(path, found)
    return found


def titles(path: Path | None = None) -> dict[str, str]:
    """What each block of the grid (None: the checkout's) is about."""
    blocks = _blocks(path or checkout_path(GRID))
    return {name: str(block.get("title", name)) for name, block in blocks.items()}


def _blocks(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable ({type(error).__name__})") from None
    except yaml.reader.ReaderError:
        raise InputError(f"{path}: not text") from None
    except ValueError as error:  # a date that is none, for example
        raise InputError(f"{path}: {error}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputError(f"{path}: line {mark.line + 1 if mark else '?'}: {error.problem}") from None
    if not isinstance(content, dict) or not content:
        raise InputError(f"{path}: must hold blocks by their names")
    for name, block in content.items():
        if not isinstance(block, dict) or not isinstance(block.get("runs"), list):
            raise InputError(f"{path}: block {name}: must have a list of runs")
        _check_keys(f"{path}: block {name}: key", block, BLOCK_KEYS)
        if not isinstance(block.setdefault("common", {}), dict):
            raise InputError(f"{path}: block {name}: common = {block['common']!r}: must be {{parameter: value, …}}")
        if block.get("on_request", False) not in (True, False):
            raise InputError(f"{path}: block {name}: on_request = {block['on_request']!r}: must be true or false")
        _check_measure(f"{path}: block {name}", block.get("measure", []))
        _check_keys(f"{path}: block {name}, common: key", block["common"], RUN_KEYS)
        for number, line in enumerate(block["runs"], 1):
            if not isinstance(line, dict):
                raise InputError(f"{path}: block {name}, run {number}: must be {{model: …, seed: …}}, not {line!r}")
            for key, value in (block["common"] | line).items():
                if value == []:
                    raise InputError(f"{path}: block {name}, run {number}: {key} = []: must have at least one value")
    return {str(name): block for name, block in content.items()}


def _check_keys(where: str, content: dict, known: Iterable[str]) -> None:
    for key in content:
        one_of(where, key, list(known))


def _check_measure(where: str, asked: object) -> None:
    if not isinstance(asked, list) or not all(isinstance(name, str) for name in asked):
        raise InputError(f"{where}: measure = {asked!r}: must be a list of measurements, such as [clean, conflict]")
    try:
        atlib.evaluation.check_measure(asked)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _each(line: dict[str, Any]) -> Iterable[dict[str, Any]]:
    """A line stands for every combination of the values that are lists."""
    lists = {key: value if isinstance(value, list) else [value] for key, value in line.items()}
    for values in itertools.product(*lists.values()):
        yield dict(zip(lists, values, strict=True))


def _resolve(line: dict[str, Any]) -> tuple[Config, str | None]:
    """The configuration that a line means, and the name of the run that it has to wait for."""
    rest = {key: value for key, value in line.items() if key not in ("model", "match", "weights")}
    match, weights = line.get("match"), line.get("weights")
    if "model" not in line:
        raise InputError("model: is missing; a line names one, such as normal or pgd-linf-8")
    config = resolve(**rest, **of_model(str(line["model"])))
    if (line["model"] == "underfit") != (match is not None):
        raise InputError(f"match = {match!r}: an underfit run, and no other, names the model that it matches")
    if weights is not None and not isinstance(weights, str):
        raise InputError(f"weights = {weights!r}: must be a name or a path")
    if weights:
        check_start(weights, config)
    # not by `resolve`, which requires the run and the file: a plan can be made without them
    config = replace(config, weights=weights)
    if match is None:
        return config, None
    target, _ = _resolve(line | {"model": match, "match": None})
    return replace(config, match=target.run), target.run


def _check_once(path: Path, found: list[Planned]) -> None:
    seen: dict[str, Planned] = {}
    cells: dict[tuple, Planned] = {}
    for planned in found:
        if planned.run in seen:
            other = seen[planned.run].block
            raise InputError(f"{path}: block {planned.block}: {planned.run} is there twice (also in block {other})")
        seen[planned.run] = planned
        config = planned.config
        cell = (config.dataset, config.model, config.width, config.share, config.recipe)
        first, same = cells.setdefault(cell, planned), cells.setdefault((*cell, config.seed), planned)
        if same is not planned and not publishing.differences(vars(config), vars(same.config)):
            raise InputError(
                f"{path}: block {planned.block}: {planned.run} differs from {same.run} (block {same.block}) in "
                f"precision alone ({config.precision}, not {same.config.precision}), and tables would count it twice"
            )
        if unlike := publishing.differences(vars(config), vars(first.config)):
            raise InputError(
                f"{path}: block {planned.block}: {planned.run} differs from {first.run} (block {first.block}) in "
                f"{', '.join(unlike)}, and tables would average the two"
            )
    for planned in found:
        if planned.needs and planned.needs not in seen:
            raise InputError(f"{path}: block {planned.block}: {planned.run} matches {planned.needs}, not in the grid")
        for run in planned.after:  # of an underfit run also the normal one, which it is cut from
            if run not in seen:
                raise InputError(f"{path}: block {planned.block}: {planned.run} needs {run}, not in the grid")


def names(blocks: str) -> list[str]:
    """The names in "a,b"."""
    return [name.strip() for name in blocks.split(",") if name.strip()]


def select(planned: list[Planned], blocks: str = "") -> list[Planned]:
    """The runs of the named blocks ("a,b"); without a name, of every block that need not be asked for.

    With them the runs of other blocks that they wait for. InputError for a block that isn't there.
    """
    wanted, known = names(blocks), list(dict.fromkeys(p.block for p in planned))
    for name in wanted:
        one_of("BLOCKS", name, known)
    chosen = [p for p in planned if (p.block in wanted if wanted else not p.on_request)]
    needed = {run for p in chosen for run in p.after}
    return [p for p in planned if p in chosen or p.run in needed]


# --- How far a run has come ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class State:
    """name: of STATES. text: what a cell of the table says. missing: measurements that aren't published yet."""

    name: str
    text: str
    missing: tuple[str, ...] = ()


def trained(planned: Planned) -> bool:
    """Whether its training has ended, here."""
    return (planned.folder / "training.json").is_file()


def measured(record: Path) -> set[str]:
    """The measurements ("NAME@LEVEL") that a JSON of an evaluation, or of a published run, speaks of."""
    if not record.is_file():
        return set()
    content = read_json(record)
    return set(content.get("evaluation", content).get("measurements", {}))


def evaluated(planned: Planned, without: Collection[str] | None = None) -> bool:
    """Whether every measurement that is asked for is there, here.

    without: "NAME@LEVEL" of those that don't matter (None: those for which something is missing here).
    """
    found = planned.folder / "evaluation.json"
    if not (trained(planned) and found.is_file()):
        return False
    without = atlib.evaluation.lacking(planned.config, planned.measure) if without is None else without
    if not set(planned.expected) - set(without) <= measured(found):
        return False
    digests = [read_json(path).get("weights_digest") for path in (planned.folder / "training.json", found)]
    return not all(digests) or digests[0] == digests[1]  # trained again in the same folder


def published(planned: Planned) -> bool:
    """Whether results/ has every measurement that is asked for."""
    return not unpublished(planned)


def unpublished(planned: Planned) -> tuple[str, ...]:
    """The measurements that are asked for and that results/ lacks."""
    found = _in_results(planned)
    return tuple(place for place in planned.expected if place not in found)


def to_publish(planned: Planned) -> bool:
    """Whether results/ lacks something that has been measured here; also if nothing has, so that publishing says so."""
    found = measured(planned.folder / "evaluation.json")
    return not found or not found <= _in_results(planned)


def _in_results(planned: Planned) -> set[str]:
    """The measurements of a run that results/ has."""
    path = results_dir() / planned.run
    there = path.with_name(f"{path.name}.csv").is_file()
    return measured(path.with_name(f"{path.name}.json")) if there else set()


def held(folder: Path) -> float | None:
    """Seconds for which a process has held the run, or None if none does."""
    return held_for(folder / "lock")


def state(planned: Planned, rows: pd.DataFrame) -> State:
    """How far a run has come. rows: the published ones."""
    missing = unpublished(planned)
    if not missing:
        return State("done", accuracies(rows[rows["run"] == planned.run]))
    age = held(planned.folder)
    if age is not None:
        return State("running", f"running, {age / 60:.0f} min", missing)
    failure = planned.folder / "failed.json"
    if failure.is_file():
        return State("failed", f"failed: {read_json(failure).get('error', '?')}", missing)
    some = len(planned.expected) - len(missing)
    if some:
        return State("pending", f"pending, {len(missing)} of {some + len(missing)} measurements", missing)
    if trained(planned):
        return State("pending", "pending, trained", missing)
    begun = (planned.folder / "checkpoint.safetensors").is_file()
    return State("pending", "pending, begun" if begun else "pending", missing)


def accuracies(rows: pd.DataFrame) -> str:
    """Clean and robust accuracy of one run in per cent, as text that doesn't break: 70.95/33.30."""
    values = {(row["distortion"], row["metric"]): row["value"] for row in rows.to_dict("records")}
    clean, robust = values.get(("clean", "accuracy")), values.get(("pgd-linf", "accuracy_last"))
    return "/".join("–" if value is None else f"{100 * value:.2f}" for value in (clean, robust))


def status(planned: list[Planned]) -> pd.DataFrame:
    """One line per run: block, dataset, model, width, recipe, share, seed, state, text, run."""
    known = rows.load()
    lines = []
    for p in planned:
        now, config = state(p, known), p.config
        place = {"block": p.block, "dataset": config.dataset, "model": config.model, "width": config.width}
        place |= {"recipe": config.recipe, "share": config.share or 0.0, "seed": config.seed}
        lines.append(place | {"state": now.name, "text": now.text, "run": p.run})
    columns = ["block", "dataset", "model", "width", "recipe", "share", "seed", "state", "text", "run"]
    return pd.DataFrame(lines, columns=columns)


def seeds_above(seeds: Iterable[int]) -> str:
    """The column of all seeds that have none of their own: "seeds 6–25"."""
    return f"seeds {min(seeds)}–{max(seeds)}"


def done_of(states: pd.Series) -> str:
    """States as text: "3 of 20 done, 1 failed"."""
    counts = states.value_counts()
    others = [f", {counts[name]} {name}" for name in ("running", "failed") if name in counts]
    return f"{counts.get('done', 0)} of {len(states)} done{''.join(others)}"
