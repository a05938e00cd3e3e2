"""The three networks that the argument compares, on every data set: what the pages of the argument draw and print.

They are the normal one, the main adversarially trained one of the data set, and one stopped early at about the latter's
clean accuracy. All other networks are in the supplement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import pandas as pd

from ..campaign import destroyed
from ..rows import Archive, archive, row_id
from . import beside_paper, claims, destroyed_tables, ledger, lens, statistics, tables, verdicts
from .rule import NOT_RUN
from .tables import Cell
from .verdicts import Decision

ROLES = {"normal": "normal", "underfit": "stopped early", "main": "trained against attacks"}
POINTS = ["role", "model", "level", "seed", "value", "rows"]


def roles(name: str) -> dict[str, str]:
    """The role of each of the three models on a data set, by the model's name, in the order of ROLES."""
    return dict(zip(lens.trio(name), ROLES, strict=True))


def points(
    frame: pd.DataFrame, name: str, distortion: str, measure: str = "accuracy", predictions: Archive | None = None
) -> pd.DataFrame:
    """One line per role, level and seed, with the columns POINTS. measure: as of `lens.points`."""
    known = roles(name)
    found = lens.points(frame, name, distortion, predictions or archive())
    found = found[found["model"].isin(known) & found[measure].notna()]
    found = found.assign(role=found["model"].map(known), value=found[measure])
    order = {role: number for number, role in enumerate(ROLES)}
    return found.sort_values(by="role", key=lambda column: column.map(order), kind="stable")[POINTS]


def panels(
    frame: pd.DataFrame,
    distortion: str,
    measure: str = "accuracy",
    sets: Iterable[str] = lens.SETS,
    predictions: Archive | None = None,
) -> dict[str, pd.DataFrame]:
    """`points` of each data set that has any, by the data set's name in the text."""
    found = {lens.SETS[name]: points(frame, name, distortion, measure, predictions) for name in sets}
    return {title: some for title, some in found.items() if len(some)}


def with_clean(
    frame: pd.DataFrame, distortion: str, sets: Iterable[str] = lens.SETS, predictions: Archive | None = None
) -> dict[str, pd.DataFrame]:
    """`panels` of the accuracy under a distortion, with the accuracy on clean pictures as one more level, "clean"."""
    found = panels(frame, distortion, sets=sets, predictions=predictions)
    names = {title: name for name, title in lens.SETS.items()}
    for title, some in found.items():
        known = roles(names[title])
        clean = tables.in_main_setting(frame, names[title])
        clean = clean[(clean["distortion"] == "clean") & (clean["metric"] == "accuracy") & clean["model"].isin(known)]
        ids = pd.Series([(row_id(row),) for row in clean.to_dict("records")], index=clean.index, dtype=object)
        clean = clean.assign(role=clean["model"].map(known), level="clean", rows=ids)
        found[title] = pd.concat([clean[POINTS], some], ignore_index=True)
    return found


def clean_and_robust(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Clean accuracy and accuracy under Table 1's attack of every network of a main setting, and of the paper's.

    Columns: model, whose ("ours", "paper"), clean, robust (means over seeds), seeds, rows.
    """
    mine = tables.in_main_setting(frame, name)
    under = {"clean": CLEAN, "robust": ATTACKED}
    paper = beside_paper.paper()
    paper = paper[paper["dataset"] == beside_paper.in_paper(name)]
    paper = paper.pivot(index="model", columns="metric", values="value")
    lines: list[dict[str, object]] = []
    for model in tables.MODELS:
        cells = {
            key: mine[(mine["model"] == model) & (mine["distortion"] == place[0]) & (mine["metric"] == place[2])]
            for key, place in under.items()
        }
        if all(len(some) for some in cells.values()):
            ids = tuple(row_id(row) for some in cells.values() for row in some.to_dict("records"))
            means = {key: float(some["value"].mean()) for key, some in cells.items()}
            lines.append({"model": model, "whose": "ours", **means, "seeds": len(cells["clean"]), "rows": ids})
        if model in paper.index:
            printed = paper.loc[model]
            ends = {"clean": printed["clean"], "robust": printed["robust"]}
            lines.append({"model": model, "whose": "paper", **ends, "seeds": 0, "rows": ()})
    return pd.DataFrame(lines, columns=["model", "whose", "clean", "robust", "seeds", "rows"])


CLEAN = ("clean", "", "accuracy")
ATTACKED = ("pgd-linf", "8", "accuracy_last")


def networks(frame: pd.DataFrame, sets: Iterable[str] = lens.SETS) -> pd.DataFrame:
    """Clean accuracy of the three networks and accuracy under Table 1's attack, in per cent."""
    return accuracies(frame, {"clean": CLEAN, "under PGD-40, 8/255": ATTACKED}, sets)


def table(
    frame: pd.DataFrame, distortion: str, levels: Mapping[str, str], sets: Iterable[str] = lens.SETS
) -> pd.DataFrame:
    """Accuracy of the three networks, clean and at some levels of a distortion (shown as named), in per cent."""
    places = {shown: (distortion, level, "accuracy") for level, shown in levels.items()}
    return accuracies(frame, {"clean": CLEAN} | places, sets)


def accuracies(
    frame: pd.DataFrame, columns: Mapping[str, tuple[str, str, str]], sets: Iterable[str] = lens.SETS
) -> pd.DataFrame:
    """One line per data set and network: what was measured at (distortion, level, metric), by column, and the seeds."""
    lines = []
    for name in sets:
        mine = tables.in_main_setting(frame, name)
        for model, role in roles(name).items():
            some = mine[mine["model"] == model]
            if some.empty:
                continue
            line: dict[str, object] = {"data set": lens.SETS[name], "network": ROLES[role]}
            line |= {shown: _cell(some, *place) for shown, place in columns.items()}
            lines.append(line | {"seeds": str(some["seed"].nunique())})
    return tables.frame_of(lines)


def html(table: pd.DataFrame, caption: str) -> str:
    """A table of `accuracies` as HTML: a row of its own names each data set above its networks."""
    columns = [name for name in table.columns if name != "data set"]
    bodies = []
    for name, some in table.groupby("data set", sort=False):
        first = f'<tr class="group"><th colspan="{len(columns)}" scope="rowgroup">{escape(str(name))}</th></tr>'
        lines = [
            "".join(f"<td>{tables.cell_html(line[key])}</td>" for key in columns) for line in some.to_dict("records")
        ]
        bodies.append(f"<tbody>{first}{''.join(f'<tr>{line}</tr>' for line in lines)}</tbody>")
    return tables.framed(table, bodies, columns, caption, "core")


def key(frame: pd.DataFrame, sets: Iterable[str] = lens.SETS) -> str:
    """What the caption of a table of `accuracies` says last: what ± means, the test pictures, and the training."""
    sets = list(sets)
    seeds = set(accuracies(frame, {}, sets).get("seeds", []))
    of = "over seeds or, for one seed, over pictures" if "1" in seeds else "over seeds"
    none = "; two seeds have none" if "2" in seeds else ""
    said = [f"±: half a 95 % interval {of}{none}. Trained against attacks: by PGD in the maximum norm."]
    for name in sets:
        at, mine = tables.setting(name), tables.in_main_setting(frame, name)
        if mine.empty or at.recipe is None:
            continue
        pictures = int(mine.loc[mine["distortion"] == "clean", "total"].max())
        epochs = re.findall(r"-e(\d+)", at.recipe)[0]
        start = " from ImageNet weights" if "weights=" in at.recipe else ""
        title = "<code>shapes</code>" if name == "shapes" else lens.SETS[name]
        said.append(
            f"{title}: {pictures:,} test pictures; width {at.width}, {epochs} epochs{start}, budget "
            f"{at.main.rpartition('-')[2]}/255."
        )
    return " ".join(said)


def _cell(rows: pd.DataFrame, distortion: str, level: str, metric: str) -> Cell:
    """One network's accuracy at one place; a dash where it has no rows."""
    here = rows[(rows["distortion"] == distortion) & (rows["level"] == level) & (rows["metric"] == metric)]
    if here.empty:
        return Cell("–")
    here = here.sort_values("seed")
    return mean_cell(list(here["value"]), map(row_id, here.to_dict("records")), int(here["total"].iloc[0]))


def data_of(found: Mapping[str, pd.DataFrame], name: str) -> str:
    """What is shown below a figure of `panels`: its points and their rows. name: of the file."""
    frames = [some.drop(columns="role").assign(on=title) for title, some in found.items()]
    every = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*POINTS[1:], "on"])
    return tables.data_of(every[["on", *POINTS[1:]]], name)


def mean_cell(values: Sequence[float], rows: Iterable[str], total: int) -> Cell:
    """A mean in per cent with half the width of its 95 % interval, over three seeds or more or one seed's pictures.

    Of two seeds there is the mean alone: their t-interval is about thirteen times as wide as the seeds are apart. One
    seed's interval that "±" would take below zero is given by its ends.
    """
    mean = 100 * sum(values) / len(values)
    low, high = statistics.t_interval(values)
    if len(values) == 1:
        low, high = statistics.wilson(round(values[0] * total), total)
    if low != low:
        return Cell(f"{mean:.1f}", rows)
    if len(values) == 1 and 50 * (high - low) > mean:
        return Cell(f"{mean:.1f} [{100 * low:.1f},\u00a0{100 * high:.1f}]", rows)
    return Cell(f"{mean:.1f}\u00a0±\u00a0{50 * (high - low):.1f}", rows)


def map_points(
    frame: pd.DataFrame, metrics: Sequence[str], place: str = "clean@", predictions: Archive | None = None
) -> pd.DataFrame:
    """Statistics of the three networks' saliency maps on each data set, and of two yardsticks, under one distortion.

    Columns: on (the data set in the text), metric, role, mean, low, high, seeds, rows. The yardsticks, for clean
    pictures only, have the roles "edges" (the picture's own edges, taken for a map) and "untrained" (a network with
    random weights); their intervals are over pictures.
    """
    lines = []
    for name, shown in lens.SETS.items():
        found = lens.map_points(frame, name, metrics, [place], predictions)
        for model, role in roles(name).items():
            for row in found[found["model"] == model].to_dict("records"):
                lines.append({"on": shown, "role": role} | {key: row[key] for key in MAP_COLUMNS})
        if len(found) and place == "clean@":
            lines += [{"on": shown} | one for one in yardsticks(name, metrics)]
    return pd.DataFrame(lines, columns=["on", "role", *MAP_COLUMNS])


MAP_COLUMNS = ("metric", "mean", "low", "high", "seeds", "rows")


def yardsticks(name: str, metrics: Sequence[str]) -> list[dict[str, object]]:
    """What the statistics of maps are for the picture's own edges, and for a network with random weights."""
    known = destroyed_tables.of_setting(tables.setting(name))
    known = known[known["distortion"] == "clean"]
    lines: list[dict[str, object]] = []
    for role in ("edges", "untrained"):
        for metric in metrics:
            for row in known[known["metric"] == f"{role}_{metric}"].to_dict("records"):
                ends = {"mean": row["value"], "low": row["low"], "high": row["high"]}
                lines.append({"role": role, "metric": metric, **ends, "seeds": 0, "rows": (destroyed.row_id(row),)})
    return lines


def random_weights_sentence(found: pd.DataFrame, metric: str = "edge_correlation") -> str:
    """Where the maps of a network with random weights lie on edges as much as those of trained ones.

    found: `map_points`. As much: no less than the trained network whose maps do so least. Empty without rows.
    """
    parts = []
    mine = found[found["metric"] == metric]
    for name, group in mine.groupby("on", sort=False):
        random = group.loc[group["role"] == "untrained", "mean"]
        trained = group.loc[group["role"].isin(list(ROLES)), "mean"]
        if random.empty or trained.empty:
            continue
        value, low, high = float(random.iloc[0]), trained.min(), trained.max()
        numbers = f"({value:.2f}, trained {low:.2f} to {high:.2f})"
        if value >= low:
            parts.append(
                f"On {name} the maps of a network with random weights lie on edges as much as those of trained "
                f"networks {numbers}, so there a value of this size is no sign of learning."
            )
        else:
            parts.append(f"On {name} they lie on edges less than those of every trained network {numbers}.")
    return " ".join(parts)


def verdict_grid(ids: Sequence[str], frame: pd.DataFrame, caption: str) -> str:
    """How some claims stand, one line each, one column per data set, as HTML; a claim leads to its entry in the ledger.

    A cell is empty where a data set has no verdict on a claim, and in brackets where the data set doesn't count; the
    caption ends by saying so.
    """
    caption = (
        f"{caption} In brackets: data sets that are extras for this claim and don't count towards its overall verdict. "
        "Each claim is a link to its numbers."
    )
    found, whole = verdicts.verdicts(frame), claims.load()
    judged = {name: {one.dataset: one for one in found[name].decisions if one.verdict != NOT_RUN} for name in ids}
    every = dict.fromkeys(dataset for name in found if name in judged for dataset in judged[name])
    sets = [name for name in lens.SETS if name in every]
    others = [name for name in every if name not in sets]
    lines, plain = [], []
    for name, cells in judged.items():
        shown = [_verdict(cells.get(one)) for one in [*sets, *others]] if cells else [_NOT_RUN] * len([*sets, *others])
        claim = tables.claim_cell(whole[name])
        lines.append(
            f'<tr><th scope="row">{tables.cell_html(claim)}</th>{"".join(f"<td>{one}</td>" for one in shown)}</tr>'
        )
        plain.append({"claim": str(claim)} | {one: _plain(cells.get(one)) for one in [*sets, *others]})
    names = ["claim", *(lens.SETS.get(one, tables.named(one)) for one in [*sets, *others])]
    return tables.framed(tables.frame_of(plain), [f"<tbody>{''.join(lines)}</tbody>"], names, caption, "verdict-grid")


_NOT_RUN = f'<span class="not-run">{NOT_RUN}</span>'


def _plain(decision: Decision | None) -> str:
    if decision is None:
        return ""
    said = ledger.verdict_words(decision.verdict, decision.kind)
    return said if decision.counts else f"({said})"


def _verdict(decision: Decision | None) -> str:
    """A verdict's badge; in brackets where the data set doesn't count."""
    if decision is None:
        return ""
    badge = ledger.badge(decision.verdict)
    kind = f"<br><small>{escape(decision.kind)}</small>" if decision.kind else ""
    return f"{badge}{kind}" if decision.counts else f'<span class="shown-only">({badge})</span>{kind}'
