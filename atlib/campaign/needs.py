"""What a campaign has to do here: only what is missing, and only what can be done on this machine."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from .. import data, evaluation, style
from ..configuration import Config
from ..files import results_dir
from . import grid, publishing


@dataclass(frozen=True)
class Need:
    """What is missing of one run.

    train: it has to be trained here, for itself or (if there is nothing to measure) for an underfit control, which is
    cut from its snapshots. measure: "NAME@LEVEL" of what has to be measured and published; where the run is trained,
    that is everything. stylised: the test sets that have to be made for it. after: the runs of this campaign that have
    to be trained before it is.
    """

    planned: grid.Planned
    train: bool
    measure: tuple[str, ...] = ()
    stylised: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def run(self) -> str:
        """The run's name."""
        return self.planned.run


@dataclass(frozen=True)
class Needs:
    """All that a campaign has to do, and what it leaves out.

    done: runs of the chosen blocks that are published; left: published ones that lack measurements, whose weights
    aren't here; blocked: why some measurements can't be taken here, a line each.
    """

    todo: tuple[Need, ...]
    done: tuple[grid.Planned, ...]
    left: tuple[grid.Planned, ...]
    blocked: tuple[str, ...]

    @property
    def stylised(self) -> tuple[str, ...]:
        """The stylised test sets to make, as `stylised_sets` names them."""
        return tuple(dict.fromkeys(name for need in self.todo for name in need.stylised))


def find(planned: Sequence[grid.Planned], blocks: Collection[str] = (), *, installing: bool = False) -> Needs:
    """What the runs of the named blocks (none: all that are given) lack.

    InputError for a run that results/ couldn't take beside what is published.

    installing: the stylists' packages will be installed first, as `make campaign` does for missing test sets.
    planned: as `grid.select` gives them. Those of other blocks, for which the chosen ones wait, are trained if need be,
    and not measured. A run whose rows are published isn't trained again to measure what was added later, since that
    would be another network: `make campaign` measures it where its weights are.
    """
    chosen = [p for p in planned if not blocks or p.block in blocks]
    wanted = {p.run: missing(p, installing) for p in chosen}
    left = tuple(p for p in chosen if wanted[p.run] and not grid.trained(p) and has_rows(p))
    for p in left:
        wanted[p.run] = ()
    # An underfit run waits for its target unless that is published: the record says the accuracy that it is to match.
    # It always waits for the normal run that it is cut from, since snapshots are not published.
    training = {p.run for p in chosen if wanted[p.run] and not grid.trained(p)}
    for p in planned:
        if p.run in training and p.config.match:
            training |= {run for run in p.after if not is_there(run, planned, rows_suffice=run == p.needs)}
    todo = []
    for p in planned:
        places = wanted.get(p.run, ())
        if places or p.run in training:
            sets = tuple(name for name, line in stylised_sets(p.config, places, installing).items() if not line)
            after = tuple(run for run in p.after if run in training) if p.run in training else ()
            todo.append(Need(p, p.run in training, places, sets, after))
    for need in todo:  # else it would be refused when it is published, after hours
        if need.train and need.measure:
            publishing.check_alike(asdict(need.planned.config), need.planned.config.recipe, need.run, results_dir())
    blocked = {line for need in todo for line in out_of_reach(need.planned, installing).values()}
    done = tuple(p for p in chosen if not wanted[p.run] and p not in left)
    return Needs(tuple(todo), done, left, tuple(sorted(blocked)))


def is_there(run: str, planned: Sequence[grid.Planned], *, rows_suffice: bool) -> bool:
    """Whether a run has been trained here, or (rows_suffice) is published."""
    one = next(p for p in planned if p.run == run)
    return grid.trained(one) or (rows_suffice and has_rows(one))


def has_rows(planned: grid.Planned) -> bool:
    """Whether rows of it are published, be they all or some."""
    path = results_dir() / planned.run
    return all(path.with_name(f"{path.name}.{kind}").is_file() for kind in ("csv", "json"))


def missing(planned: grid.Planned, installing: bool = False) -> tuple[str, ...]:
    """The measurements of a run that aren't published and can be taken here."""
    blocked = out_of_reach(planned, installing)
    return tuple(place for place in grid.unpublished(planned) if place not in blocked)


def stylised_sets(config: Config, places: Collection[str] | None = None, installing: bool = False) -> dict[str, str]:
    """The stylised test sets that measurements of a run need and that aren't here: stylised/DATASET/SIDE/LEVEL, and
    what stands in the way of making each (empty: nothing).

    places: those measurements, "NAME@LEVEL" (None: all that apply).
    """
    lacking = evaluation.lacking(config)
    levels = sorted(
        {place.rpartition("@")[2] for place in lacking if "stylised@" in place and (places is None or place in places)}
    )
    if config.dataset.startswith("folder:"):  # its name is a path, which can't be part of another
        line = f"dataset = {config.dataset!r}: a campaign stylises named data sets; use notebooks/stylise.ipynb"
        return {f"stylised/{data.slug(config.dataset)}/{config.side}/{level}": line for level in levels}
    return {f"stylised/{config.dataset}/{config.side}/{level}": obstacle(level, installing) for level in levels}


obstacle = functools.cache(style.obstacle)


def out_of_reach(planned: grid.Planned, installing: bool = False) -> dict[str, str]:
    """Measurements of a run that this campaign can't take, each with a line on why: a stylised test set can't be made
    here, or there are no cue-conflict pictures, which a campaign doesn't make."""
    lacking = evaluation.lacking(planned.config, planned.measure)
    sets = stylised_sets(planned.config, planned.expected, installing)
    lines = {name.rpartition("/")[2]: line for name, line in sets.items()}
    styled = {place: lines.get(place.rpartition("@")[2], "") for place in lacking if "stylised@" in place}
    return {place: line for place, line in (lacking | styled).items() if line}
