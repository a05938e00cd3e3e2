"""Anybody's network under everything that this report's networks are shown.

    subject = own.subject("module:function", "cifar10")        # or a torch module in place of the text
    folder = own.evaluate(subject)                             # rows.csv, predictions.npz, evaluation.json, report.html
    own.report(folder)                                         # the one page, as HTML

`notebooks/evaluate.ipynb -p model …` does the same.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from . import data, evaluation, models, results, tables, training
from .errors import InputError, nearest, one_of
from .files import atomic, hold, load_state, read_json, results_dir, runs_dir, tensor_digest, write_json

SOURCES = ("atlib:DATASET/MODEL", "torchvision:NAME", "timm:NAME", "module:function")
PROBE = 200  # test pictures on which normalised input is looked for
SUSPICION = 0.1  # gain in accuracy from normalising that makes one suspect that the network wants it


@dataclass(frozen=True)
class Own:
    """A network from elsewhere, ready to be measured.

    name: as rows name it; source: what was asked for; subject: the network and its pictures; digest: of its weights.
    """

    name: str
    source: str
    subject: evaluation.Subject
    digest: str


# --- Networks --------------------------------------------------------------------------------------------------------


class Normalised(nn.Module):
    """A network that wants normalised pixels, taking [0, 1] ones."""

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(list(std)).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return self.model((images - self.mean) / self.std)


class Grouped(nn.Module):
    """A network whose outputs are put together into the classes of a data set.

    groups: for each class the outputs that mean it; its logit is the log of the sum of their exponentials.
    """

    def __init__(self, model: nn.Module, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model, self.groups = model, [list(group) for group in groups]

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(images)
        return torch.stack([logits[:, group].logsumexp(1) for group in self.groups], 1)


@dataclass(frozen=True)
class Loaded:
    """A network, and the names of its outputs where they are known."""

    model: nn.Module
    outputs: tuple[str, ...] = ()


def _fill(model: nn.Module, path: str) -> None:
    state = load_state(Path(path))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"weights = {path!r}: not of this network: {_last(error)}") from None


def _last(error: BaseException) -> str:
    """An error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _atlib(name: str, weights: str) -> Loaded:
    model, _ = models.load(name)
    return Loaded(models.fold(model))


def _torchvision(name: str, weights: str) -> Loaded:
    from ._torchvision import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    one_of("model = torchvision", name, known)
    choices = torchvision.models.get_model_weights(name)
    about = choices.DEFAULT
    try:
        model = torchvision.models.get_model(name, weights=None if weights else about)
    except OSError as error:  # no network, and not in torch's cache
        raise InputError(f"model = 'torchvision:{name}': no download ({_last(error)}); give weights, a file") from None
    if weights:
        _fill(model, weights)
    preset = about.transforms()
    return Loaded(Normalised(model, preset.mean, preset.std).eval(), tuple(about.meta["categories"]))


def _timm(name: str, weights: str) -> Loaded:
    if importlib.util.find_spec("timm") is None:
        raise InputError(f"model = 'timm:{name}': needs timm; pip install timm")
    from ._torchvision import torchvision  # noqa: F401 (timm imports torchvision, which needs this first)

    import timm  # isort: skip
    from timm.data import ImageNetInfo, infer_imagenet_subset

    if not timm.is_model(name):
        raise InputError(f"model = 'timm:{name}': no such model{nearest(name, timm.list_models())}")
    try:
        model = timm.create_model(name, pretrained=not weights)
    except (OSError, RuntimeError) as error:
        raise InputError(f"model = 'timm:{name}': no weights ({_last(error)}); give weights, a file") from None
    if weights:
        _fill(model, weights)
    subset = infer_imagenet_subset(model)
    synsets = tuple(ImageNetInfo(subset).label_names()) if subset else ()
    preset: Any = model.default_cfg
    return Loaded(Normalised(model, preset["mean"], preset["std"]).eval(), synsets)


@contextlib.contextmanager
def _here() -> Iterator[None]:
    """The working directory can be imported from, as with `python -m`."""
    sys.path.insert(0, os.getcwd())
    try:
        yield
    finally:
        sys.path.remove(os.getcwd())


def _function(module: str, function: str) -> Loaded:
    spec = f"model = '{module}:{function}'"
    with _here():
        try:
            imported = importlib.import_module(module)
        except Exception as error:  # whatever the reader's file raises
            raise InputError(f"{spec}: {module} can't be imported: {type(error).__name__}: {_last(error)}") from None
        make = getattr(imported, function, None)
        if not callable(make):
            raise InputError(f"{spec}: {module} has no function {function}{nearest(function, dir(imported))}")
        try:
            model = make()
        except Exception as error:
            raise InputError(f"{spec}: {function}() failed: {type(error).__name__}: {_last(error)}") from None
    if not isinstance(model, nn.Module):
        raise InputError(f"{spec}: {function}() gave a {type(model).__name__}: must be a torch.nn.Module")
    return Loaded(model)


def network(source: str, weights: str = "") -> Loaded:
    """The network that a text means (SOURCES). weights: a state dict's file for a torchvision or timm network.

    Networks of torchvision and timm get the normalisation that their weights want. InputError says what is wrong.
    """
    kind, colon, name = source.partition(":")
    if not colon or not name:
        raise InputError(f"model = {source!r}: must be one of {', '.join(SOURCES)}")
    libraries: dict[str, Callable[[str, str], Loaded]] = {"atlib": _atlib, "torchvision": _torchvision, "timm": _timm}
    if kind in libraries:
        return libraries[kind](name, weights)
    if weights:
        raise InputError(f"weights = {weights!r}: only with torchvision: and timm:, a function loads its own")
    return _function(kind, name)


def read_classes(path: str, classes: Sequence[str], outputs: Sequence[str]) -> list[list[int]]:
    """For each class of the data set the outputs that mean it, from a CSV with the header class,output.

    A line names a class and an output, by number or, where the network's outputs have names, by name. A class may have
    several lines. InputError names the line.
    """
    try:
        lines = list(csv.reader(Path(path).read_text().splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"classes = {path!r}: not readable ({type(error).__name__})") from None
    if not lines or [cell.strip() for cell in lines[0]] != ["class", "output"]:
        raise InputError(f"classes = {path!r}: line 1 must be class,output")
    groups: dict[str, list[int]] = {name: [] for name in classes}
    for number, cells in enumerate(lines[1:], 2):
        where = f"classes = {path!r}: line {number}"
        if len(cells) != 2:
            raise InputError(f"{where}: must have two cells, a class and an output")
        name, output = (cell.strip() for cell in cells)
        if name not in groups:
            raise InputError(f"{where}: {name!r} is no class of the data set{nearest(name, classes)}")
        if output.isascii() and output.isdigit():
            groups[name].append(int(output))
        elif output in outputs:
            groups[name].append(list(outputs).index(output))
        else:
            raise InputError(
                f"{where}: {output!r} is neither a number nor the name of an output{nearest(output, outputs)}"
            )
    for name, group in groups.items():
        if not group:
            raise InputError(f"classes = {path!r}: says nothing of {name!r}")
    return list(groups.values())


# --- Is it usable? ---------------------------------------------------------------------------------------------------


def answer(model: nn.Module, source: str, pixels: Tensor) -> Tensor:
    """What a network says of a few float pictures, N×outputs; InputError, one line, if it fails or says no logits."""
    name, shape = f"model = {source!r}", "×".join(map(str, pixels.shape))
    if model.training:
        raise InputError(f"{name}: is in training mode; call .eval() before you return it")
    try:
        logits = model(pixels)
    except Exception as error:  # whatever the reader's network raises
        raise InputError(
            f"{name}: fails on float pictures of {shape}: {type(error).__name__}: {_last(error)}"
        ) from None
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(pixels):
        got = "×".join(map(str, logits.shape)) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"{name}: gives {got} for {shape}: must give {len(pixels)}×classes, the logits")
    return logits


def check(model: nn.Module, source: str, classes: int, images: Tensor) -> None:
    """InputError, one line, for a network that can't be measured. images: a few float pictures as it will see them."""
    name, pixels = f"model = {source!r}", images.clone().requires_grad_()
    logits = answer(model, source, pixels)
    if logits.shape[1] != classes:
        hint = "; a file `classes` can say which output means which class"
        raise InputError(f"{name}: has {logits.shape[1]} outputs, the data set {classes} classes{hint}")
    if not torch.isfinite(logits).all():
        raise InputError(f"{name}: gives NaN or infinite outputs")
    if not logits.requires_grad:
        raise InputError(f"{name}: its outputs have no gradient by its input (no_grad inside?)")
    gradient = torch.autograd.grad(logits.logsumexp(1).sum(), pixels, allow_unused=True)[0]
    if gradient is None or not torch.isfinite(gradient).all():
        raise InputError(f"{name}: its gradient by the input is NaN, infinite or not there")


def suspicion(about: Own) -> str:
    """A line if the network seems to want normalised input: if it knows more pictures when they are; else empty."""
    order = torch.randperm(len(about.subject.test.labels), generator=torch.Generator().manual_seed(0))[:PROBE]
    some = data.Split(about.subject.test.images[order], about.subject.test.labels[order])
    plain = replace(about.subject, test=some)
    wrapped = replace(plain, model=Normalised(plain.model, models.IMAGENET_MEAN, models.IMAGENET_STD).to(plain.device))
    right = [float((evaluation.predict(s, *some)[0] == some.labels.numpy()).mean()) for s in (plain, wrapped)]
    if right[1] < right[0] + SUSPICION:
        return ""
    return (
        f"suspicion: {about.source} knows {100 * right[0]:.0f} % of {len(order)} test pictures, and "
        f"{100 * right[1]:.0f} % of them once normalised by ImageNet's mean and deviation; it should take pixels in "
        "[0, 1] and normalise inside"
    )


# --- Measuring -------------------------------------------------------------------------------------------------------


def subject(
    model: nn.Module | str,
    dataset: str,
    *,
    side: int | None = None,
    classes: str = "",
    weights: str = "",
    name: str = "",
) -> Own:
    """A network and the test set it is to be measured on.

    model: a module in evaluation mode that takes float pictures in [0, 1], N×3×side×side, or a text (SOURCES). dataset,
    side: as for `data.load`; folder:PATH is anybody's pictures, one folder a class. classes: a CSV (`read_classes`),
    needed where the network's outputs aren't the data set's classes in their order. InputError in one line for what
    can't be used. Prints a suspicion if the network seems to want normalised input.
    """
    loaded = network(model, weights) if isinstance(model, str) else Loaded(model)
    source = model if isinstance(model, str) else name or type(model).__name__
    found = data.load(dataset, side=side, progress=False)
    groups = read_classes(classes, found.classes, loaded.outputs) if classes else None
    device = training.device_of_choice()
    raw = loaded.model.to(device)
    images = data.prepare(found.test.images[:2].to(device), found.side)
    if groups:
        most = max(max(group) for group in groups)
        outputs = answer(raw, source, images).shape[1]
        if most >= outputs:
            raise InputError(f"classes = {classes!r}: output {most}: the network has {outputs}, from 0 on")
        raw = Grouped(raw, groups).train(raw.training)
    check(raw, source, len(found.classes), images)
    digest = tensor_digest(raw.state_dict(), str(groups))
    readable = re.sub(r"[^A-Za-z0-9_.]+", "-", name or source).strip("-")
    about = Own(
        readable,
        source,
        evaluation.Subject(raw, found.test, found.side, device, found.conflict, dataset=dataset),
        digest,
    )
    if line := suspicion(about):
        print(line, flush=True)
    return about


def folder_of(about: Own) -> Path:
    """Where its measurements are kept: under runs/, by name and weights."""
    key = f"{about.source} {about.subject.side} {about.digest}"
    return (
        runs_dir()
        / data.slug(about.subject.dataset)
        / f"{about.name}-own-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    )


def evaluate(about: Own, *, only: tuple[str, ...] = (), again: bool = False, progress: bool = True) -> Path:
    """Measure what is missing and write the report; returns the folder. As `evaluation.evaluate`."""
    for name in only:
        one_of("measure", name, evaluation.MEASUREMENTS)
    folder = folder_of(about)
    run = f"{folder.parent.name}/{folder.name}"
    columns = {"run": run, "dataset": about.subject.dataset, "model": about.name, "width": 0, "share": 0.0}
    columns |= {"recipe": f"side{about.subject.side}", "seed": 0}
    with hold(folder / "lock", str(os.getpid()), f"{folder}: already in use by process"):
        write_json(folder / "own.json", {"source": about.source, "dataset": about.subject.dataset, "run": run})
        table = evaluation.Table(folder, about.subject, columns, about.digest)
        evaluation.complete(table, only=only, again=again, progress=progress)
        with atomic(folder / "report.html") as temporary:
            temporary.write_text(report(folder))
    return folder


# --- The report ------------------------------------------------------------------------------------------------------

APART = 0.05  # what this report's two networks must differ by, for a third to stand between them
STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:.9em}"
    "th,td{padding:.2em .7em;text-align:left;border-bottom:1px solid #ddd}"
    "caption{text-align:left;padding:.5em 0}.rows-scroll{overflow-x:auto}"
)


def _quantities(rows: pd.DataFrame, predictions: results.Predictions) -> dict[tuple[str, str], float]:
    """(place, metric) to value: of every row; and conditional accuracy under every distortion of the test images."""
    found = {(f"{row['distortion']}@{row['level']}", row["metric"]): row["value"] for row in rows.to_dict("records")}
    if not any(key.startswith("clean@/") for key in predictions):
        return found
    for place, metric in list(found):
        if metric in ("accuracy", "accuracy_last") and not place.startswith(("clean@", "conflict@")):
            found[place, "conditional"] = results.conditional(predictions, place).value
    return found


def references(dataset: str, side: str, labels: np.ndarray) -> dict[str, list[dict[tuple[str, str], float]]]:
    """What this report has published of its normal and its main adversarially trained networks on the same pictures.

    side: as own rows' recipe has it, "side112". "normal" and "main" to one table of quantities a seed; empty where
    nothing was published for this data set at this size.
    """
    settings = [s for s in results.load_claims().settings.values() if s.dataset == dataset and s.recipe]
    setting = next((s for s in settings if side in str(s.recipe).split("-")), None)
    if setting is None:
        return {}
    rows, archive = results.load(), results.archive()
    rows = rows[(rows["dataset"] == dataset) & (rows["recipe"] == setting.recipe) & (rows["width"] == setting.width)]
    found: dict[str, list[dict[tuple[str, str], float]]] = {}
    for kind, model in (("normal", "normal"), ("main", setting.main)):
        mine = rows[(rows["model"] == model) & rows["share"].isin([0.0, setting.share])]
        for run, some in mine.groupby("run"):
            predictions = archive(str(run))
            if np.array_equal(predictions["labels"], labels):
                found.setdefault(kind, []).append(_quantities(some, predictions))
    return found if len(found) == 2 else {}


def standing(folder: Path) -> pd.DataFrame:
    """The report's table: what was measured, with intervals, beside this report's networks on the same pictures.

    Columns: under, metric, value, interval (Wilson's over pictures; empty for means), normal, main (means over seeds),
    stands: 0 like the normal one, 1 like the main one; NaN where these differ by less than APART or aren't published.
    Accuracies under distortions are conditional: of the pictures that the network knows when they are clean.
    """
    rows, predictions = results.read_rows(folder / "rows.csv"), results.read_predictions(folder / "predictions.npz")
    found = _quantities(rows, predictions)
    beside = references(str(rows["dataset"].iloc[0]), str(rows["recipe"].iloc[0]), predictions["labels"])
    lines = []
    for (place, metric), value in found.items():
        distorted = (place, "conditional") in found
        if metric in ("p_true", "accuracy_any") or (distorted and metric in ("accuracy", "accuracy_last")):
            continue
        interval = _interval(rows, predictions, place, metric)
        line: dict[str, Any] = {"under": place, "metric": metric, "value": value, "interval": interval}
        for kind in ("normal", "main"):
            theirs = [one[place, metric] for one in beside.get(kind, []) if (place, metric) in one]
            line[kind] = float(np.mean(theirs)) if theirs else float("nan")
        apart = line["main"] - line["normal"]
        line["stands"] = (value - line["normal"]) / apart if abs(apart) >= APART else float("nan")
        lines.append(line)
    return pd.DataFrame(lines)


def _interval(
    rows: pd.DataFrame, predictions: results.Predictions, place: str, metric: str
) -> tuple[float, float] | None:
    """Wilson's interval of a share of pictures; None for a mean."""
    if metric == "conditional":
        return results.conditional(predictions, place).interval
    row = rows[(rows["distortion"] + "@" + rows["level"] == place) & (rows["metric"] == metric)].iloc[0]
    return None if pd.isna(row["count"]) or not row["total"] else results.wilson(int(row["count"]), int(row["total"]))


def body(folder: Path) -> str:
    """The report's table and what to know about it, as HTML."""
    table = standing(folder)
    shown = pd.DataFrame(
        {
            "under": table["under"].str.removesuffix("@").str.replace("@", " "),
            "measured": table["metric"].str.replace("_", " "),
            "value": [f"{value:.3f}" for value in table["value"]],
            "95 % interval": ["" if one is None else f"[{one[0]:.3f}, {one[1]:.3f}]" for one in table["interval"]],
            "normal": [tables.dash(value, "{:.3f}") for value in table["normal"]],
            "adversarially trained": [tables.dash(value, "{:.3f}") for value in table["main"]],
            "stands at": [tables.dash(value, "{:.2f}") for value in table["stands"]],
        }
    )
    caption = (
        "Accuracies under a distortion are conditional: of the pictures that the network knows when they are clean. "
    )
    if table["stands"].notna().any():
        caption += (
            "Beside them this report's normal and main adversarially trained networks (book/claims.yaml says which) on "
            "the same pictures, means over their seeds. It stands at 0 where it is like the normal ones, at 1 where it "
            f"is like the adversarially trained; – where these two differ by less than {APART:g}."
        )
    else:
        caption += "This report has published no networks of its own on these pictures: nothing to stand between."
    return tables.html(shown, caption)


def report(folder: Path) -> str:
    """The one-page report of what was measured so far, as HTML that needs nothing else."""
    about = read_json(folder / "own.json")
    title = escape(f"{about['source']} on {about['dataset']}")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return (
        f'<!doctype html><html lang="en">{head}<title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1>{body(folder)}</html>\n"
    )


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
