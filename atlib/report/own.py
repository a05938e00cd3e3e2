"""The page about a network from elsewhere: what was measured, and where it stands between this report's networks.

    python -m atlib.report.own my_file:my_function cifar10 --limit 2000

or, in Python,

    page = report.own.write(own.evaluate(own.subject(model, "cifar10")))     # report.html beside the measurements

The page is one file that loads nothing: a summary in sentences, what makes one suspicious, curves of every distortion
beside this report's networks, pictures with their maps, and a table of all numbers.
"""

from __future__ import annotations

import argparse
import base64
import functools
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy import stats as distributions

from .. import data, models, own, saliency, transforms
from ..errors import command_line
from ..files import atomic, read_json, results_dir
from ..measurements import MEASUREMENTS, TABLE_1, map_order
from ..progress import duration, say
from ..rows import MAP_METRICS, Predictions, archive, correct, load, read_predictions, read_rows
from . import claims, tables
from .chart import Series, chart, legend
from .statistics import conditional, t_interval, wilson

APART = 0.05  # what this report's two networks must differ by, for a third to stand between them,
RESOLVED = 1.0  # and how wide the interval of where it stands may be
ATTACK = (
    f"PGD with {TABLE_1['steps']} steps of {255 * TABLE_1['step_size']:g}/255 within l_inf "
    f"{255 * TABLE_1['eps']:g}/255, from the picture itself, without restarts, along the gradient of the cross-entropy"
)
KINDS = {"own": "this network", "normal": "normal", "underfit": "underfit", "main": "adversarially trained"}
Quantities = dict[tuple[str, str], float]


class Published(NamedTuple):
    """One published run: its name, its quantities on the same pictures, and its configuration."""

    run: str
    quantities: dict[tuple[str, str], float]
    config: dict


def cut(predictions: Predictions, numbers: np.ndarray | None) -> Predictions:
    """The answers to a part of the test pictures; numbers: their places in the whole, None: all."""
    if numbers is None:
        return predictions
    whole = len(predictions["labels"])
    kept = np.zeros(whole, bool)
    kept[numbers] = True
    order = map_order(whole).numpy()
    found = {}
    for key, values in predictions.items():
        if key.startswith("conflict@"):
            found[key] = values
        else:
            found[key] = values[kept[order[: len(values)]]] if key.startswith("maps@") else values[numbers]
    return found


def _quantities(rows: pd.DataFrame, predictions: Predictions, part: bool = False) -> Quantities:
    """(place, metric) to value: of every row; and conditional accuracy under every distortion of the test images.

    part: the predictions are of a part of the pictures that the rows speak of, and are counted again.
    """
    found = {(f"{row['distortion']}@{row['level']}", row["metric"]): row["value"] for row in rows.to_dict("records")}
    if part:
        for place, metric in list(found):
            if (again := _counted(predictions, place, metric)) is not None:
                found[place, metric] = again
    if not any(key.startswith("clean@/") for key in predictions):
        return found
    for place, metric in list(found):
        if metric in ("accuracy", "accuracy_last") and not place.startswith(("clean@", "conflict@")):
            found[place, "conditional"] = conditional(predictions, place).value
    return found


def _counted(predictions: Predictions, place: str, metric: str) -> float | None:
    """A metric from the answers to each picture; None for one that they don't hold."""
    if place.startswith("conflict@"):
        return None
    if metric == "accuracy":
        return float(correct(predictions, place).mean())
    name = metric.removeprefix("accuracy_")
    for key in (f"{place}/{name}", f"maps@{place}/{name}"):
        if key in predictions and len(predictions[key]):
            return float(predictions[key].astype(np.float64).mean())
    return None


def reference_runs(
    dataset: str, side: str, labels: np.ndarray, numbers: np.ndarray | None = None, pictures: str = ""
) -> dict[str, list[Published]]:
    """This report's published normal, underfit and main adversarially trained networks on the same pictures.

    side: as own rows' recipe has it, "side112"; numbers: places of a part of the test pictures; pictures: digest of the
    whole. "normal", "underfit" and "main" to one entry a seed; empty where normal or main ones aren't published.
    """
    settings = [s for s in claims.load().settings.values() if s.dataset == dataset and s.recipe]
    setting = next((s for s in settings if side in str(s.recipe).split("-")), None)
    if setting is None:
        return {}
    rows, predictions_of = load(), archive()
    rows = rows[(rows["dataset"] == dataset) & (rows["recipe"] == setting.recipe) & (rows["width"] == setting.width)]
    found: dict[str, list[Published]] = {}
    for kind, model in (("normal", "normal"), ("underfit", "underfit"), ("main", setting.main)):
        mine = rows[(rows["model"] == model) & rows["share"].isin([0.0, setting.share])]
        for run, some in mine.groupby("run"):
            predictions, record = predictions_of(str(run)), read_json(results_dir() / f"{run}.json")
            of_others = record.get("evaluation", {}).get("pictures", pictures) != pictures
            if pictures and of_others and dataset != "shapes":  # which every processor rounds in its own way
                continue
            if numbers is not None and len(predictions["labels"]) <= int(numbers.max()):
                continue
            predictions = cut(predictions, numbers)
            if np.array_equal(predictions["labels"], labels):
                values = _quantities(some, predictions, numbers is not None)
                found.setdefault(kind, []).append(Published(str(run), values, record.get("config", {})))
    return found if {"normal", "main"} <= set(found) else {}


def references(
    dataset: str, side: str, labels: np.ndarray, numbers: np.ndarray | None = None, pictures: str = ""
) -> dict[str, list[Quantities]]:
    """The quantities of `reference_runs`."""
    found = reference_runs(dataset, side, labels, numbers, pictures)
    return {kind: [one.quantities for one in runs] for kind, runs in found.items()}


@dataclass(frozen=True)
class Measured:
    """What the page is about: a folder of measurements, read once."""

    folder: Path

    @functools.cached_property
    def rows(self) -> pd.DataFrame:
        return read_rows(self.folder / "rows.csv")

    @functools.cached_property
    def predictions(self) -> Predictions:
        return read_predictions(self.folder / "predictions.npz")

    @functools.cached_property
    def about(self) -> dict:
        return read_json(self.folder / "own.json") if (self.folder / "own.json").is_file() else {}

    @functools.cached_property
    def record(self) -> dict:
        return read_json(self.folder / "evaluation.json")

    @functools.cached_property
    def quantities(self) -> Quantities:
        return _quantities(self.rows, self.predictions)

    @functools.cached_property
    def references(self) -> dict[str, list[Published]]:
        numbers = np.asarray(self.about["numbers"]) if "numbers" in self.about else None
        first, pictures = self.rows.iloc[0], str(self.record.get("pictures", ""))
        labels = self.predictions["labels"]
        return reference_runs(str(first["dataset"]), str(first["recipe"]), labels, numbers, pictures)

    def theirs(self, kind: str, place: str, metric: str) -> list[float]:
        """A quantity of this report's networks of a kind, one value a seed."""
        of_each = (one.quantities.get((place, metric)) for one in self.references.get(kind, []))
        return [value for value in of_each if value is not None and value == value]

    def error(self, place: str, metric: str) -> float:
        """Standard error of one of its own quantities, over the pictures."""
        value = self.quantities[place, metric]
        if metric == "conditional":
            return math.sqrt(value * (1 - value) / max(1, conditional(self.predictions, place).total))
        key = f"maps@{place}/{metric}"
        if key in self.predictions:
            of_each = self.predictions[key].astype(np.float64)
            return float(of_each.std() / math.sqrt(len(of_each)))
        row = self.row(place, metric)
        return math.sqrt(max(0.0, value * (1 - value)) / max(1, int(row["total"])))

    def row(self, place: str, metric: str) -> pd.Series:
        under = self.rows["distortion"] + "@" + self.rows["level"]
        return self.rows[(under == place) & (self.rows["metric"] == metric)].iloc[0]

    def interval(self, place: str, metric: str) -> tuple[float, float] | None:
        """Wilson's interval of a share of pictures; None for a mean."""
        if metric == "conditional":
            return conditional(self.predictions, place).interval
        row = self.row(place, metric)
        return None if pd.isna(row["count"]) or not row["total"] else wilson(int(row["count"]), int(row["total"]))


def stands(value: float, error: float, normal: Sequence[float], main: Sequence[float]) -> tuple[float, float, float]:
    """Where a value stands between this report's networks, 0 like the normal and 1 like the main ones; with limits.

    The limits are Fieller's, at 95 %, of the ratio: the references vary over seeds (Student's t), the value over its
    pictures (error: its standard error). Three NaN where the references can't resolve it: fewer than two seeds of each,
    means less than APART apart or not apart for certain, or limits further apart than RESOLVED.
    """
    nothing = (math.nan, math.nan, math.nan)
    if len(normal) < 2 or len(main) < 2:
        return nothing
    zero, one = float(np.mean(normal)), float(np.mean(main))
    a, b = value - zero, one - zero
    if abs(b) < APART:
        return nothing
    t = float(distributions.t.ppf(0.975, len(normal) + len(main) - 2))
    of_normal, of_main = (t**2 * float(np.var(v, ddof=1)) / len(v) for v in (normal, main))
    square = b**2 - of_normal - of_main
    if square <= 0:
        return nothing
    mixed, rest = a * b - of_normal, a**2 - (1.96 * error) ** 2 - of_normal
    root = math.sqrt(max(0.0, mixed**2 - square * rest))
    low, high = (mixed - root) / square, (mixed + root) / square
    return (a / b, low, high) if high - low <= RESOLVED else nothing


def _order(place: str) -> tuple:
    """The order of places: as measurements are registered, levels as numbers."""
    name, _, level = place.partition("@")
    names = list(MEASUREMENTS)
    try:
        number = float(level)
    except ValueError:
        number = 0.0
    return (names.index(name) if name in names else len(names), number, level)


def standing(folder: Path) -> pd.DataFrame:
    """The report's table: what was measured, with intervals, beside this report's networks on the same pictures.

    Columns: under, metric, value, interval (Wilson's over pictures; empty for means), normal, underfit, main (means
    over seeds), stands, low, high: 0 like the normal one, 1 like the main one, as `stands` has it; NaN where that isn't
    resolved or these aren't published. Accuracies under distortions are conditional: of the pictures that the network
    knows when they are clean. Levels are in the order of numbers.
    """
    measured = Measured(folder)
    found = measured.quantities
    lines = []
    for (place, metric), value in sorted(found.items(), key=lambda item: _order(item[0][0])):
        distorted = (place, "conditional") in found
        robust = place.startswith(("pgd-linf@", "trained-attack@"))
        if metric in ("p_true", "accuracy_any") or (distorted and not robust and metric == "accuracy"):
            continue
        interval = measured.interval(place, metric)
        line: dict[str, Any] = {"under": place, "metric": metric, "value": value, "interval": interval}
        theirs = {kind: measured.theirs(kind, place, metric) for kind in ("normal", "underfit", "main")}
        line |= {kind: float(np.mean(values)) if values else math.nan for kind, values in theirs.items()}
        at = stands(value, measured.error(place, metric), theirs["normal"], theirs["main"])
        lines.append(line | dict(zip(("stands", "low", "high"), at, strict=True)))
    return pd.DataFrame(lines)


# --- The page --------------------------------------------------------------------------------------------------------

METRICS = {
    "accuracy_last": "robust accuracy",
    "conditional": "keeps, of what it knows",
    "vanished": "pictures without a gradient",
}
STYLE = """
.own-report{--mine:#d55e00;--normal:#333;--underfit:#8a8a8a;--main:#0072b2;--soft:#ddd;--warn:#fff4e5;max-width:60rem}
@media(prefers-color-scheme:dark){.own-report{--normal:#eee;--main:#56b4e9;--mine:#ff8c42;--soft:#444;--warn:#3a2a12}}
html[data-theme=light] .own-report{--normal:#333;--main:#0072b2;--mine:#d55e00;--soft:#ddd;--warn:#fff4e5}
html[data-theme=dark] .own-report{--normal:#eee;--main:#56b4e9;--mine:#ff8c42;--soft:#444;--warn:#3a2a12}
.own-report .suspicion{background:var(--warn);border-left:4px solid var(--mine);padding:.5em .8em;margin:.5em 0}
.own-report .charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(17rem,100%),1fr));gap:.5rem}
.own-report svg{width:100%;height:auto;font:11px system-ui,sans-serif}
.own-report svg text{fill:currentColor}.own-report svg .title{font-size:13px;font-weight:600}
.own-report svg line,.own-report svg polyline{stroke:currentColor;stroke-width:1.3;fill:none}
.own-report svg circle{fill:currentColor;stroke:none}.own-report svg .grid{stroke:var(--soft);stroke-width:1}
.own-report .own{color:var(--mine)}.own-report .normal{color:var(--normal)}
.own-report .underfit{color:var(--underfit)}.own-report .main{color:var(--main)}
.own-report svg .own polyline{stroke-width:2.2}
.own-report .legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2em 1.2em;padding:0;margin:.3em 0}
.own-report .legend i{display:inline-block;width:1.4em;height:.2em;background:currentColor;margin-right:.4em;
vertical-align:middle}
.own-report .strip{display:grid;grid-template-columns:repeat(6,1fr);gap:4px;max-width:34rem;margin:.1em 0 .6em}
.own-report .strip figure{margin:0;text-align:center;font-size:.8em}
.own-report .strip img{width:100%;image-rendering:pixelated;display:block}
.own-report table{border-collapse:collapse;font-size:.9em}
.own-report th,.own-report td{padding:.2em .7em;text-align:left;border-bottom:1px solid var(--soft);white-space:nowrap}
.own-report caption{text-align:left;padding:.5em 0;white-space:normal}.own-report .rows-scroll{overflow-x:auto}
"""
PAGE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere;"
    "background:Canvas;color:CanvasText}"
)


def _percent(value: float, interval: tuple[float, float] | None = None) -> str:
    text = f"{100 * value:.1f} %"
    return text + (f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else "")


def robustness(measured: Measured) -> str:
    """Robust accuracy, in a sentence that says how it was attacked; empty if that wasn't measured."""
    found, place = measured.quantities, "pgd-linf@8"
    if (place, "accuracy_last") not in found:
        return ""
    total = int(measured.row(place, "accuracy_last")["total"])
    said = (
        f"Robust accuracy: {_percent(found[place, 'accuracy_last'], measured.interval(place, 'accuracy_last'))} of "
        f"{total:,} pictures, wrong ones included, under {ATTACK}"
    )
    if (place, "accuracy_any") in found:
        said += f"; {_percent(found[place, 'accuracy_any'])} were right at every step"
    return f"{said}. It is an upper bound: another attack can only find more mistakes."


def summary(measured: Measured) -> list[str]:
    """The report in sentences: what the network knows, how robust it is, what it keeps, where it stands."""
    found, sentences = measured.quantities, []
    chosen = measured.about.get("chosen") or f"{len(measured.predictions['labels']):,} test pictures"
    if ("clean@", "accuracy") in found:
        known = _percent(found["clean@", "accuracy"], measured.interval("clean@", "accuracy"))
        sentences.append(f"It knows {known} of {chosen}.")
    else:
        sentences.append(f"Measured on {chosen}.")
    sentences += [robustness(measured)]
    places = {
        "saturation@1024": "at saturation 1024, where every colour is full or absent",
        "patch-shuffle@4": "cut into 4×4 patches and shuffled",
    }
    for place, words in places.items():
        if (place, "conditional") in found:
            theirs = {kind: measured.theirs(kind, place, "conditional") for kind in ("normal", "main")}
            beside = [f"the {KINDS[kind]} ones {100 * float(np.mean(v)):.0f} %" for kind, v in theirs.items() if v]
            mine = f"Of what it knows it keeps {100 * found[place, 'conditional']:.0f} % {words}"
            sentences.append(mine + (f"; {', '.join(beside)}." if beside else "."))
    if ("conflict@", "shape_bias") in found:
        bias = _percent(found["conflict@", "shape_bias"], measured.interval("conflict@", "shape_bias"))
        sentences.append(f"Where shape and texture disagree, {bias} of its answers by either go by shape.")
    sentences.append(_overall(measured))
    return [sentence for sentence in sentences if sentence]


def _overall(measured: Measured) -> str:
    """Where it stands, over all that is resolved."""
    if not measured.references:
        return "This report has published no networks of its own on these pictures: nothing to stand between."
    classes, clean = len(np.unique(measured.predictions["labels"])), ("clean@", "accuracy")
    known = measured.interval(*clean) if clean in measured.quantities else None
    if known and known[0] <= 1 / classes:  # one that always gives the same answer keeps it under any distortion
        return (
            f"It isn't placed between this report's networks: on clean pictures its accuracy can't be told from chance "
            f"(1 in {classes}), and an answer that was a guess says nothing when it changes or stays."
        )
    table = standing(measured.folder)
    told = table[table["stands"].notna() & table["metric"].isin(["conditional", "accuracy_last", "shape_bias"])]
    if told.empty:
        return "Nothing that was measured tells this report's normal and adversarially trained networks apart enough."
    median, nearer = float(told["stands"].median()), int((told["stands"] > 0.5).sum())
    return (
        f"From this report's normal networks (0) to its adversarially trained ones (1) it stands at {median:.2f}, the "
        f"median of the {len(told)} accuracies that tell these two apart; in {nearer} of them it is nearer to the "
        "latter."
    )


def of_references(measured: Measured) -> str:
    """What this report's networks are, in a sentence; empty where there are none on these pictures."""
    if not measured.references:
        return ""
    parts = []
    for kind, runs in measured.references.items():
        name = runs[0].run.rpartition("/")[2].rpartition("-w")[0]
        clean = [one.quantities["clean@", "accuracy"] for one in runs if ("clean@", "accuracy") in one.quantities]
        robust = [v for one in runs if (v := one.quantities.get(("pgd-linf@8", "accuracy_last"))) is not None]
        reached = f"{100 * float(np.mean(clean)):.0f} % clean" if clean else ""
        reached += f", {100 * float(np.mean(robust)):.0f} % under the same attack" if robust else ""
        parts.append(f"{KINDS[kind]} ({name}, {len(runs)} seed{'s' if len(runs) > 1 else ''}: {reached})")
    configs = [one.config for runs in measured.references.values() for one in runs if one.config]
    width = configs[0].get("width") if configs else None
    epochs = {f"{config['epochs']:g}" for config in configs if config.get("epochs")}
    how = f" of width {width} (a usual one has 64)" if width and width != 64 else f" of width {width}" if width else ""
    how += f", trained for {' or '.join(sorted(epochs))} epochs" if epochs else ""
    return (
        f"Beside it are this report's own ResNet-18s{how}, on the same pictures: {'; '.join(parts)}. Where they are "
        "smaller than yours or trained for less long, compare how the curves fall, not how high they begin."
    )


def curves(measured: Measured) -> str:
    """Every distortion that was measured as a chart, this report's networks beside it."""
    charts, kinds = [], ["own", *measured.references]
    for name in (*transforms.DISTORTIONS, "stylised"):
        places = [p for p, metric in measured.quantities if metric == "conditional" and p.partition("@")[0] == name]
        places = sorted(places, key=_order)
        if not places:
            continue
        lines = [Series(KINDS[kind], kind, [_point(measured, kind, place) for place in places]) for kind in kinds]
        labels = [place.partition("@")[2].replace("generated-", "g. ").replace("paintings-", "p. ") for place in places]
        charts.append(chart(name, labels, lines))
    if not charts:
        return ""
    return (
        "<h2>Under every distortion</h2><p>Accuracy on the pictures that a network knows when they are clean. Bars: "
        "95 % intervals, over pictures for this network, over seeds for the others.</p>"
        f"{legend([(KINDS[kind], kind) for kind in kinds])}<div class='charts'>{''.join(charts)}</div>"
    )


def _point(measured: Measured, kind: str, place: str) -> tuple[float, float, float] | None:
    if kind == "own":
        return (measured.quantities[place, "conditional"], *conditional(measured.predictions, place).interval)
    values = measured.theirs(kind, place, "conditional")
    return (float(np.mean(values)), *t_interval(values)) if values else None


def examples(measured: Measured) -> str:
    """A few pictures with this network's SmoothGrad maps, and those of the networks that come with the repository."""
    path = measured.folder / "examples.npz"
    if not path.is_file():
        return ""
    with np.load(path) as stored:
        kept = {key: stored[key] for key in stored.files}
    labels, dataset = kept["labels"], str(measured.about.get("dataset", ""))
    side = int(str(measured.rows["recipe"].iloc[0]).removeprefix("side"))
    networks = _shipped(dataset, side)
    parts = []
    for place in own.SHOWN:
        if f"{place}/pictures" not in kept:
            continue
        pictures = kept[f"{place}/pictures"]
        shown = place.removesuffix("@").replace("@", " ")
        parts.append(f"<h3>{escape(shown)}</h3>{_strip('pictures', pictures.transpose(0, 2, 3, 1))}")
        parts.append(_strip(KINDS["own"], kept[f"{place}/maps"], kept[f"{place}/answers"] == labels, "own"))
        for kind, (name, model) in networks.items():
            images, target = torch.from_numpy(pictures).float() / 255, torch.from_numpy(labels)
            draws = torch.Generator().manual_seed(0)
            maps = saliency.smoothgrad(model, images, target, samples=saliency.SAMPLES, generator=draws)
            with torch.no_grad():
                right = (model(images).argmax(1) == target).numpy()
            drawn = (255 * saliency.picture(maps)).round().byte().numpy()
            parts.append(_strip(f"{KINDS[kind]} ({name})", drawn, right, kind))
    return (
        "<h2>What it looks at</h2><p>SmoothGrad maps of the true class, each scaled by itself: light is where a change "
        f"of a pixel changes the answer most. ✓ the network is right, ✗ it is wrong.</p>{''.join(parts)}"
    )


def _shipped(dataset: str, side: int) -> dict[str, tuple[str, torch.nn.Module]]:
    """The networks of models/ for a data set and side, by kind: its name, and the network."""
    mains = [s.main for s in claims.load().settings.values() if s.dataset == dataset]
    wanted = {"normal": "normal", "underfit": "underfit", "main": mains[0] if mains else ""}
    found = {}
    for kind, name in wanted.items():
        if path := models.shipped().get(f"{dataset}/{name}"):
            model, about = models.load(path)
            if about.get("config", {}).get("side") == side:
                found[kind] = (name, models.fold(model))
    return found


def _strip(name: str, pictures: np.ndarray, right: np.ndarray | None = None, kind: str = "") -> str:
    """A row of small pictures with its name; right: whether the network is, for each."""
    figures = []
    for number, picture in enumerate(pictures):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        encoded = base64.b64encode(buffer.getvalue()).decode()
        mark = "" if right is None else "✓" if right[number] else "✗"
        caption = f"<figcaption>{mark}</figcaption>" if mark else ""
        alt = escape(f"{name}, picture {number + 1}", quote=True)
        figures.append(f'<figure><img alt="{alt}" src="data:image/png;base64,{encoded}">{caption}</figure>')
    return f'<div class="{kind}">{escape(name)}</div><div class="strip">{"".join(figures)}</div>'


def numbers(folder: Path) -> str:
    """The table of all that was measured."""
    table = standing(folder)
    names = zip(table["under"], table["metric"], strict=True)
    shown = pd.DataFrame(
        {
            "measurement": [_measurement(under, metric) for under, metric in names],
            "measured": [METRICS.get(metric, metric.replace("_", " ")) for metric in table["metric"]],
            "value": [f"{value:.3f}" for value in table["value"]],
            "95 % interval": ["" if one is None else f"[{one[0]:.3f}, {one[1]:.3f}]" for one in table["interval"]],
            "normal": [tables.dash(value, "{:.3f}") for value in table["normal"]],
            "underfit": [tables.dash(value, "{:.3f}") for value in table["underfit"]],
            "adversarially trained": [tables.dash(value, "{:.3f}") for value in table["main"]],
            "stands at": [_stands(*at) for at in zip(table["stands"], table["low"], table["high"], strict=True)],
        }
    )  # fmt: skip
    caption = (
        "A measurement's name is what <code>-p measure</code> takes. Accuracies under a distortion are conditional: of "
        "the pictures that the network knows when they are clean; robust accuracy is of all pictures. "
    )
    if table["normal"].notna().any():
        caption += (
            "Beside them this report's networks on the same pictures, means over their seeds. It stands at 0 where it "
            "is like the normal ones, at 1 where it is like the adversarially trained; – where these two are less than "
            f"{APART:g} apart, or their seeds don't tell where between them it stands."
        )
    else:
        caption += "This report has published no networks of its own on these pictures: nothing to stand between."
    return tables.html(shown, caption)


def _measurement(under: str, metric: str) -> str:
    """What `-p measure` takes to measure a number of the table again."""
    maps = metric.removeprefix("grad_") in MAP_METRICS
    return f"maps@{under}" if maps else under.removesuffix("@")


def _stands(value: float, low: float, high: float) -> str:
    return "–" if value != value else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def warned(folder: Path) -> list[str]:
    """The doubts that its measurements came with: attacks that had no gradient to follow."""
    found = read_json(folder / "evaluation.json")["measurements"]
    return [f"{place.removesuffix('@')}: {record['warning']}" for place, record in found.items() if "warning" in record]


def body(folder: Path) -> str:
    """The report without its head, as HTML that needs nothing else."""
    measured = Measured(folder)
    about = measured.about
    doubts = [*str(about.get("suspicion", "")).splitlines(), *warned(folder)]
    top = "".join(f'<p class="suspicion">{escape(line)}</p>' for line in doubts)
    left = "".join(f"<p>{escape(f'left out: {line}')}</p>" for line in about.get("left_out", []))
    sentences = [*summary(measured), *([of_references(measured)] if measured.references else [])]
    told = "".join(f"<p>{escape(sentence, quote=False)}</p>" for sentence in sentences).replace(" %", "\u00a0%")
    parts = [top, told, left, curves(measured), examples(measured), "<h2>All numbers</h2>", numbers(folder)]
    return f'<style>{STYLE}</style><div class="own-report">{"".join(parts)}{_origin(measured)}</div>'


def _origin(measured: Measured) -> str:
    """Where the numbers come from: how many pictures, how long, which code and versions."""
    found = measured.record["measurements"]
    seconds = sum(one.get("seconds", 0) for one in found.values())
    commits = sorted({str(one.get("commit", "unknown"))[:12] for one in found.values()})
    versions = ", ".join(f"{name} {version}" for name, version in measured.record.get("versions", {}).items())
    text = f"{len(found)} measurements in {duration(seconds)}; atlib at commit {', '.join(commits)}; {versions}"
    weights = str(measured.record.get("weights_digest", ""))[:12]
    return f"<p><small>{escape(text)}; weights {weights}.</small></p>"


def html(folder: Path) -> str:
    """The one-page report of what was measured so far, as HTML that needs nothing else."""
    about = read_json(folder / "own.json")
    title = escape(f"{about['source']} on {about['dataset']}")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    return (
        f'<!doctype html><html lang="en">{head}<title>{title}</title><style>{PAGE}</style>'
        f"<h1>{title}</h1>{body(folder)}</html>\n"
    )


def write(folder: Path) -> Path:
    """Write the page into the folder of the measurements; its path."""
    path = folder / "report.html"
    with atomic(path) as temporary:
        temporary.write_text(html(folder), encoding="utf-8")
    return path


def closing(folder: Path) -> None:
    """Say what came out and where the page lies: in the notebook, and on papermill's terminal."""
    measured = Measured(folder)
    doubts = str(measured.about.get("suspicion", "")).splitlines()
    lines = [*doubts, *summary(measured), f"The report: {folder / 'report.html'}"]
    say("\n".join(lines))


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.report.own", description="Measure your own network, and write a one-page report of it."
    )
    parser.add_argument("model", help=", ".join(own.SOURCES))
    parser.add_argument("dataset", help=f"{', '.join(data.DATASETS)} or folder:PATH")
    parser.add_argument("--side", type=int, help="pixels that the network sees")
    parser.add_argument("--classes", default="", help="a CSV that says which output means which class")
    parser.add_argument("--weights", default="", help="a checkpoint to fill the network with")
    parser.add_argument("--limit", type=int, help="measure on so many of the test pictures")
    parser.add_argument("--sample", default="stratified", choices=own.SAMPLES, help="which ones")
    parser.add_argument("--measure", default="", help="clean,saturation@1024: these alone, separated by commas")
    parser.add_argument("--again", action="store_true", help="measure also what is there already")
    asked = vars(parser.parse_args(arguments))
    only = tuple(name.strip() for name in asked.pop("measure").split(",") if name.strip())
    again, model, dataset = asked.pop("again"), asked.pop("model"), asked.pop("dataset")
    folder = own.evaluate(own.subject(model, dataset, **asked), only=only, again=again)
    write(folder)
    closing(folder)
    return 0


# --- The worked example ----------------------------------------------------------------------------------------------

SHOWN = (
    ("clean@", "accuracy"), ("pgd-linf@8", "conditional"), ("conflict@", "shape_bias"), ("conflict@", "coverage"),
    ("saturation@8", "conditional"), ("saturation@1024", "conditional"), ("patch-shuffle@2", "conditional"),
    ("patch-shuffle@4", "conditional"), ("low-pass@0.2", "conditional"), ("high-pass@0.2", "conditional"),
    ("clean@", "gini"), ("clean@", "edge_correlation"), ("clean@", "high_frequency"),
)  # fmt: skip


def published(name: str) -> Path:
    """The folder of a worked example's measurements, results/own/NAME."""
    return results_dir() / "own" / name


def side_by_side(names: Sequence[str]) -> pd.DataFrame:
    """SHOWN of the worked examples, and where each stands, beside this report's networks."""
    found = {name: standing(published(name)).set_index(["under", "metric"]).to_dict("index") for name in names}
    lines = []
    for place, metric in SHOWN:
        line = {"under": place.removesuffix("@").replace("@", " "), "measured": metric.replace("_", " ")}
        cells = {name: table[place, metric] for name, table in found.items()}
        first = next(iter(cells.values()))
        line |= {"normal": tables.dash(first["normal"], "{:.2f}")}
        line |= {"adversarially trained": tables.dash(first["main"], "{:.2f}")}
        for name, cell in cells.items():
            line |= {name: f"{cell['value']:.2f}", f"{name} stands at": tables.dash(cell["stands"], "{:.1f}")}
        lines.append(line)
    return pd.DataFrame(lines)


def sentence(names: Sequence[str]) -> str:
    """What the worked examples rely on, in words with their numbers."""
    parts, normal = [], ""
    for name in names:
        table = standing(published(name)).set_index(["under", "metric"]).to_dict("index")
        bias, shuffled = table["conflict@", "shape_bias"], table["patch-shuffle@4", "conditional"]
        parts.append(f"{name} has a shape bias of {bias['value']:.2f} and keeps {100 * shuffled['value']:.0f} %")
        normal = f"{tables.dash(bias['normal'], '{:.2f}')} and {tables.dash(100 * shuffled['normal'], '{:.0f} %')}"
    return (
        f"On the cue conflict and under patch-shuffling 4×4: {'; '.join(parts)} of what it knows. This report's normal "
        f"networks: {normal}. What a normally trained network relies on thus also depends on architecture or "
        "recipe (another optimiser, another length; one seed each), on this data set at least."
    )


if __name__ == "__main__":
    raise SystemExit(main())
