"""What the notebook of a training shows first, and what it says at its end: maps, numbers, what to do next.

top = job.place(config)        # the first output of train.ipynb, filled when the network is trained:
top.update(job.result(run))
job.closing(run)
"""

from __future__ import annotations

import base64
import shlex
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from .. import evaluation
from ..campaign import plan
from ..configuration import Config, config_of
from ..files import atomic, read_json, repository
from ..measurements import TABLE_1
from ..progress import KEPT, MARK, duration, say
from ..rows import read_rows
from . import own, plots
from .statistics import wilson

LOOK = "glance.html"  # in a run's folder: what train.ipynb shows first
HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width,'
    'initial-scale=1"><style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}'
    "img{max-width:100%}td,th{padding:.2em .7em;text-align:left}pre{white-space:pre-wrap}</style>"
)
ATTACK = (
    f"PGD-{TABLE_1['steps']}, l_inf {255 * TABLE_1['eps']:g}/255, step {255 * TABLE_1['step_size']:g}/255, no restart"
)
WORDS = {
    ("clean", "accuracy"): "accuracy on the test pictures",
    ("pgd-linf", "accuracy_last"): f"accuracy under attack ({ATTACK})",
    ("conflict", "shape_bias"): "shape bias: answers by shape among those by either cue",
    ("conflict", "coverage"): "answers by either cue, of all cue-conflict pictures",
}


@dataclass(frozen=True)
class Page:
    """Something that a notebook shows as HTML, and as text where it can't."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def records(run: Path) -> list[dict[str, Any]]:
    """A run's rows."""
    return [{str(name): cell for name, cell in row.items()} for row in read_rows(run / "rows.csv").to_dict("records")]


def place(config: Config) -> Any:
    """The notebook's first output, to be updated with `result`; papermill's terminal says what comes after training."""
    from IPython.display import display

    after = coming(config)
    waiting = f"{config.run}: what it learns to look at is shown here when it is trained"
    shown = {"text/html": f"<p>{escape(waiting)}</p><p>{escape(after)}</p>", "text/plain": after or waiting}
    return display(shown, raw=True, metadata={MARK: KEPT} if after else {}, display_id=True)


def coming(config: Config) -> str:
    """What train.ipynb will do, and how long it measures relative to training; empty if the run is trained.

    The ratio is of floating-point operations, so it is rough.
    """
    if (config.folder / "training.json").is_file():
        return ""
    wanted = [place for place in evaluation.expected(config) if place.partition("@")[0] in plots.at_a_glance(config)]
    text = f"first {config.model} is trained, then measured: accuracy, and PGD-{TABLE_1['steps']}"
    if config.quick or config.dataset not in plan.sizes():
        return f"{text}, on all test pictures"
    count = plan.sizes()[config.dataset].test
    text += f", on {count:,} test pictures"
    nothing = plan.Work(0, 0, 0)
    trained = plan.operations_of(plan.training_work(config), nothing, config)
    share = plan.operations_of(nothing, plan.evaluation_work(config, wanted), config) / trained if trained else 0.0
    return f"{text}, which takes about {share:.2g} times as long as the training" if share else text


def numbers(run: Path) -> pd.DataFrame:
    """What train.ipynb measures, a line a number: what it is, its value with Wilson's interval, and of how many."""
    found = {(row["distortion"], row["metric"]): row for row in records(run)}
    lines = []
    for place, name in WORDS.items():
        row = found.get(place)
        if row and row["total"]:
            low, high = wilson(int(row["count"]), int(row["total"]))
            value = f"{100 * row['value']:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
            lines.append({"measured": name, "value and 95 % interval": value, "pictures": int(row["total"])})
    return pd.DataFrame(lines)


def result(run: Path) -> Page:
    """The network at a glance: pictures with its maps beside the normal network's, its numbers, and what is next.

    Also written to LOOK in the run's folder, for readers who have only a browser.
    """
    config = config_of(read_json(run / "training.json")["config"], run)
    picture = base64.b64encode(plots.glance(run)._repr_png_()).decode()
    alt = "pictures, the network's gradient maps and the normal network's"
    body = numbers(run).to_html(index=False, border=0)
    ends = "".join(f"<p>{escape(line)}</p>" for line in ending(run, config)[:2])
    commands = escape("\n".join(following(run)))
    shown = f'<img alt="{alt}" src="data:image/png;base64,{picture}">{body}{ends}<pre>{commands}</pre>'
    with atomic(run / LOOK) as temporary:
        temporary.write_text(f"{HEAD}<title>{escape(config.run)}</title>{shown}</html>\n", encoding="utf-8")
    return Page(shown, "\n".join([*ending(run, config), *following(run)]))


def ending(run: Path, config: Config) -> list[str]:
    """What was reached, in how long; and where it lies."""
    values = {(row["distortion"], row["metric"]): row["value"] for row in records(run)}
    reached = f"{100 * values['clean', 'accuracy']:.1f} % of the test pictures right"
    reached += f", {100 * values['pgd-linf', 'accuracy_last']:.1f} % under {ATTACK}"
    if ("conflict", "shape_bias") in values:
        reached += f"; shape bias {values['conflict', 'shape_bias']:.2f}"
    trained = float(read_json(run / "training.json").get("seconds", 0))
    measured = sum(one["seconds"] for one in read_json(run / "evaluation.json")["measurements"].values())
    times = f"trained in {duration(trained)}, measured in {duration(measured)}"
    return [f"{config.model} on {config.dataset}: {reached} ({times})", f"It lies in {here(run)}"]


def following(run: Path) -> list[str]:
    """The commands that come next, from the checkout's root, each with what it does."""
    place = shlex.quote(here(run))
    pairs = [
        (f"papermill notebooks/evaluate.ipynb runs/evaluation.ipynb -p run {place}", "measure everything else"),
        (f"make publish RUN={place}", "then copy its rows to results/, which the book prints"),
    ]
    return [f"{command}   # {what}" for command, what in pairs]


def here(path: Path) -> str:
    """A path as it is typed in the checkout's root, if it lies below that."""
    root = repository()
    inside = root is not None and path.resolve().is_relative_to(root)
    return str(path.resolve().relative_to(root) if inside and root else path)


def closing(run: Path) -> None:
    """Say what was reached, where it lies and what to type next: in the notebook, and on papermill's terminal."""
    config = config_of(read_json(run / "training.json")["config"], run)
    look = [f"Its pictures and maps, for a browser: {here(run / LOOK)}"] if (run / LOOK).is_file() else []
    say("\n".join([*ending(run, config), *look, "Next:", *(f"  {line}" for line in following(run))]))


def report(folder: Path) -> Page:
    """What evaluate.ipynb shows: a run's numbers; of a network from elsewhere the report, which is written, too."""
    if (folder / "own.json").is_file():
        inside = own.said_body(folder)  # once: it draws the maps of four networks
        return Page(inside, f"The report: {own.write(folder, inside)}")
    shown = [
        {
            "measurement": f"{row['distortion']}@{row['level']}".removesuffix("@"),
            "metric": str(row["metric"]).replace("_", " "),
            "value": f"{row['value']:.4f}",
            "pictures": f"{row['total']:,}",
        }
        for row in records(folder)
    ]
    table = pd.DataFrame(shown)
    return Page(table.to_html(index=False, border=0), table.to_string(index=False))


def measured(folder: Path) -> None:
    """Say what was measured, where it lies and what to type next."""
    if (folder / "own.json").is_file():
        own.closing(folder)
        return
    found = read_json(folder / "evaluation.json")["measurements"]
    seconds = sum(one["seconds"] for one in found.values())
    lines = [f"{len(found)} measurements, in {duration(seconds)} altogether", f"They lie in {here(folder)}", "Next:"]
    say("\n".join([*lines, f"  {following(folder)[1]}"]))
