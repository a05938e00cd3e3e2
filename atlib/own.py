"""Anybody's network under everything that this report's networks are shown.

    subject = own.subject("module:function", "cifar10")        # or a torch module in place of the text
    folder = own.evaluate(subject)                             # rows.csv, predictions.npz, evaluation.json, report.html
    own.report(folder)                                         # the one page, as HTML

`notebooks/evaluate.ipynb -p model …` does the same.
"""

from __future__ import annotations

import contextlib
import csv
import functools
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
from scipy import stats
from torch import Tensor, nn

from . import data, evaluation, models, results, tables, training
from .errors import InputError, nearest
from .files import (
    atomic,
    hold,
    load_state,
    read_json,
    repository,
    results_dir,
    runs_dir,
    tensor_digest,
    writable,
    write_json,
)

SOURCES = ("atlib:DATASET/MODEL", "torchvision:NAME", "timm:NAME", "module:function")
PROBE = 200  # test pictures on which normalised input is looked for
SUSPICION = 0.1  # gain in accuracy from normalising that makes one suspect that the network wants it,
CHANCE = 0.001  # unless as many pictures would be won by chance (sign test)
ANSWERED = 8  # test pictures whose answers tell whether a network is still the one that was measured
ALIKE = 0.01  # what they may differ by on another processor, as a share of the largest
LONGEST_NAME = 60  # characters of a network's name that are kept


@dataclass(frozen=True)
class Own:
    """A network from elsewhere, ready to be measured.

    name: as rows name it; source: what was asked for; subject: the network and its pictures; digest: of its weights;
    answers: its outputs for the first few test pictures; suspicion: a line if it seems to want normalised input.
    """

    name: str
    source: str
    subject: evaluation.Subject
    digest: str
    answers: np.ndarray
    suspicion: str = ""


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
    try:
        state = load_state(Path(path))
    except InputError as error:
        raise InputError(f"weights = {path!r}: {error}") from None
    if all(name.startswith("module.") for name in state):  # saved from torch's DataParallel
        state = {name.removeprefix("module."): value for name, value in state.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"weights = {path!r}: not of this network: {_last(error)}") from None


def _last(error: BaseException) -> str:
    """An error in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _atlib(name: str) -> Loaded:
    try:
        model, _ = models.load(name)
    except InputError as error:
        raise InputError(f"model = 'atlib:{name}': {error}") from None
    return Loaded(models.fold(model))


# Of torchvision's networks these normalise once more, inside; its own weights switch that on.
INSIDE = {"googlenet": {"transform_input": True}, "inception_v3": {"transform_input": True}}


def _torchvision(name: str, weights: str) -> Loaded:
    from ._torchvision import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(f"model = 'torchvision:{name}': no such model{nearest(name, known)}")
    choices = torchvision.models.get_model_weights(name)
    about = choices.DEFAULT
    try:
        given = INSIDE.get(name, {}) if weights else {}
        model = torchvision.models.get_model(name, weights=None if weights else about, **given)
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
        hint = "" if weights else "; give weights, a file"
        raise InputError(f"model = 'timm:{name}': no weights ({_last(error)}){hint}") from None
    if weights:
        _fill(model, weights)
    subset = infer_imagenet_subset(model)
    synsets = tuple(ImageNetInfo(subset).label_names()) if subset else ()
    preset: Any = model.default_cfg
    return Loaded(Normalised(model, preset["mean"], preset["std"]).eval(), synsets)


LIBRARIES: dict[str, Callable[[str, str], Loaded]] = {"torchvision": _torchvision, "timm": _timm}


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
    if module.endswith(".py") or not all(part.isidentifier() for part in module.split(".")):
        raise InputError(f"{spec}: {module!r} must be a module's name, as after Python's import, not a path")
    with _here():
        try:
            imported = importlib.import_module(module)
        except (Exception, SystemExit) as error:  # whatever the reader's file raises
            hint = nearest(module, ("atlib", *LIBRARIES))
            line = f"{spec}: {module} can't be imported: {type(error).__name__}: {_last(error)}{hint}"
            raise InputError(line) from None
        if not hasattr(imported, function):
            raise InputError(f"{spec}: {module} has no function {function}{nearest(function, dir(imported))}")
        make = getattr(imported, function)
        if not callable(make):
            raise InputError(f"{spec}: {function} is a {type(make).__name__}, not a function")
        try:
            model = make()
        except (Exception, SystemExit) as error:
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
    if kind in LIBRARIES:
        return LIBRARIES[kind](name, weights)
    without_weights(weights)
    return _atlib(name) if kind == "atlib" else _function(kind, name)


def without_weights(weights: str) -> None:
    """InputError if a file of weights is given where none is read."""
    if weights:
        raise InputError(f"weights = {weights!r}: only with torchvision: and timm:, other networks bring their own")


def class_lines(path: str) -> list[tuple[str, str, str]]:
    """(place in the file, class, output) of each line of a CSV with the header class,output; InputError names it."""
    try:
        lines = list(csv.reader(Path(path).read_text(encoding="utf-8-sig").splitlines()))  # with a mark: Excel's
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"classes = {path!r}: not readable ({type(error).__name__})") from None
    if not lines or [cell.strip() for cell in lines[0]] != ["class", "output"]:
        raise InputError(f"classes = {path!r}: line 1 must be class,output")
    found = []
    for number, cells in enumerate(lines[1:], 2):
        where = f"classes = {path!r}: line {number}"
        if not cells:
            continue
        if len(cells) != 2:
            raise InputError(f"{where}: must have two cells, a class and an output")
        found.append((where, cells[0].strip(), cells[1].strip()))
    return found


def read_classes(path: str, classes: Sequence[str], outputs: Sequence[str]) -> list[list[int]]:
    """For each class of the data set the outputs that mean it, from a CSV with the header class,output.

    A line names a class and an output, by number or, where the network's outputs have names, by name. A class may have
    several lines, an output only one. InputError names the line.
    """
    groups: dict[str, list[int]] = {name: [] for name in classes}
    taken: dict[int, str] = {}
    for where, name, output in class_lines(path):
        if name not in groups:
            raise InputError(f"{where}: {name!r} is no class of the data set{nearest(name, classes)}")
        if output.isascii() and output.isdigit():
            place = int(output)
        elif output in outputs:
            place = list(outputs).index(output)
        else:
            raise InputError(
                f"{where}: {output!r} is neither a number nor the name of an output{nearest(output, outputs)}"
            )
        if place in taken:
            raise InputError(f"{where}: output {output} already means {taken[place]!r}")
        taken[place] = name
        groups[name].append(place)
    for name, group in groups.items():
        if not group:
            raise InputError(f"classes = {path!r}: says nothing of {name!r}")
    return list(groups.values())


# --- Is it usable? ---------------------------------------------------------------------------------------------------


def answer(model: nn.Module, source: str, pixels: Tensor) -> Tensor:
    """What a network says of a few float pictures, N×outputs; InputError, one line, if it fails or says no logits."""
    name, shape = f"model = {source!r}", "×".join(map(str, pixels.shape))
    if training := [part for part, module in model.named_modules() if module.training]:
        which = f"its {training[0]} is" if training[0] else "is"
        raise InputError(f"{name}: {which} in training mode; call .eval() before you return it")
    before = pixels.detach().clone()
    try:
        logits = model(pixels)
    except Exception as error:  # whatever the reader's network raises
        raise InputError(
            f"{name}: fails on float pictures of {shape}: {type(error).__name__}: {_last(error)}"
        ) from None
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(pixels):
        got = "×".join(map(str, logits.shape)) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"{name}: gives {got} for {shape}: must give {len(pixels)}×classes, the logits")
    if not torch.equal(pixels.detach(), before):
        raise InputError(f"{name}: changes its input in place: must leave it as it is")
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
    alone = answer(model, source, images[:1])  # the last pass over a test set may hold a single picture
    again = answer(model, source, images)
    near = functools.partial(torch.allclose, rtol=ALIKE, atol=ALIKE * float(logits.detach().abs().max()))
    if not near(again, logits):
        raise InputError(f"{name}: answers the same pictures differently each time: must not draw at random")
    if not near(alone, logits[:1]):
        raise InputError(f"{name}: answers a picture differently beside another one: must not depend on the batch")
    if (logits >= 0).all() and torch.allclose(logits.sum(1), logits.new_ones(())):
        raise InputError(f"{name}: gives probabilities: must give the logits, before the softmax")
    if not logits.requires_grad:
        raise InputError(f"{name}: its outputs have no gradient by its input (no_grad inside?)")
    gradient = torch.autograd.grad(logits.logsumexp(1).sum(), pixels, allow_unused=True)[0]
    if gradient is None or not torch.isfinite(gradient).all():
        raise InputError(f"{name}: its gradient by the input is NaN, infinite or not there")


def suspicion(source: str, subject: evaluation.Subject) -> str:
    """A line if the network seems to want normalised input: if it knows more pictures when they are; else empty."""
    order = torch.randperm(len(subject.test.labels), generator=torch.Generator().manual_seed(0))[:PROBE]
    some = data.Split(subject.test.images[order], subject.test.labels[order])
    plain = replace(subject, test=some)
    wrapped = replace(plain, model=Normalised(plain.model, models.IMAGENET_MEAN, models.IMAGENET_STD).to(plain.device))
    try:
        right = [evaluation.predict(s, *some)[0] == some.labels.numpy() for s in (plain, wrapped)]
    except InputError:  # no finite answers to some pictures: the measurements say so
        return ""
    won, lost = int((right[1] & ~right[0]).sum()), int((right[0] & ~right[1]).sum())
    chance = stats.binomtest(won, won + lost, alternative="greater").pvalue if won else 1.0
    if won - lost < SUSPICION * len(order) or chance > CHANCE:
        return ""
    return (
        f"suspicion: {source} knows {100 * right[0].mean():.0f} % of {len(order)} test pictures, and "
        f"{100 * right[1].mean():.0f} % of them once normalised by ImageNet's mean and deviation; it should take "
        "pixels in [0, 1] and normalise inside"
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
    source = _source(model, name, weights)
    data.check(dataset, side)
    if classes:
        class_lines(classes)  # before any download
    loaded = network(model, weights) if isinstance(model, str) else Loaded(model)
    found = data.load(dataset, side=side, progress=False)
    groups = read_classes(classes, found.classes, loaded.outputs) if classes else None
    device = training.device_of_choice()
    try:
        raw = loaded.model.to(device)
    except (NotImplementedError, RuntimeError) as error:
        raise InputError(f"model = {source!r}: can't be moved to the {device.type}: {_last(error)}") from None
    images = data.prepare(found.test.images[:ANSWERED].to(device), found.side)
    if groups:
        most = max(max(group) for group in groups)
        outputs = answer(raw, source, images[:2]).shape[1]
        if most >= outputs:
            raise InputError(f"classes = {classes!r}: output {most}: the network has {outputs}, from 0 on")
        raw = Grouped(raw, groups).eval()
    check(raw, source, len(found.classes), images[:2])
    with torch.no_grad(), evaluation.exact():
        answers = raw(images).float().cpu().numpy()
    state = raw.state_dict()
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    extra = "".join(str(value) for key, value in state.items() if key not in tensors)
    digest = tensor_digest(tensors, str(groups) + extra)
    shown = evaluation.Subject(raw, found.test, found.side, device, found.conflict, dataset=dataset)
    line = suspicion(source, shown)
    if line:
        print(line, flush=True)
    readable = re.sub(r"[^\w.]+", "-", name or source).strip("-_.")[:LONGEST_NAME] or "network"
    return Own(readable, source, shown, digest, answers, line)


def _source(model: nn.Module | str, name: str, weights: str) -> str:
    """What rows and lines call a network; InputError for what is none."""
    if isinstance(model, str):
        return model
    if not isinstance(model, nn.Module):
        raise InputError(f"model = {model!r:.60}: must be a torch.nn.Module, or a text: {', '.join(SOURCES)}")
    without_weights(weights)
    return name or type(model).__name__


def folder_of(about: Own) -> Path:
    """Where its measurements are kept: under runs/, by name and weights."""
    key = f"{about.source} {about.subject.side} {about.digest}"
    return (
        runs_dir()
        / data.slug(about.subject.dataset)
        / f"{about.name}-own-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    )


def same(recorded: Sequence[Sequence[float]] | None, answers: np.ndarray) -> bool:
    """Whether a network answers as recorded, but for rounding; True where nothing was recorded."""
    if recorded is None:
        return True
    before = np.asarray(recorded)
    return before.shape == answers.shape and np.allclose(before, answers, rtol=ALIKE, atol=ALIKE * abs(answers).max())


def forget_another(about: Own, folder: Path) -> None:
    """Have everything measured anew if what is in a network's folder is of another that has the same weights."""
    if not (folder / "own.json").is_file() or not (folder / "evaluation.json").is_file():
        return
    same_pictures = read_json(folder / "evaluation.json").get("pictures") == about.subject.content
    if same_pictures and not same(read_json(folder / "own.json").get("answers"), about.answers):
        print(f"{about.source} answers otherwise than when it was measured in {folder}: measured anew", flush=True)
        (folder / "evaluation.json").unlink()


def evaluate(about: Own, *, only: tuple[str, ...] = (), again: bool = False, progress: bool = True) -> Path:
    """Measure what is missing and write the report; returns the folder.

    As `evaluation.evaluate`, but a measurement that fails is left out, with a line; InputError if none is left. A
    network whose code has changed since, or whose pictures have, is measured anew.
    """
    evaluation.check_only(only)
    folder = folder_of(about)
    if not folder.is_dir():
        evaluation.measurable(about.subject, only, about.source)
    writable(runs_dir())
    run = f"{folder.parent.name}/{folder.name}"
    columns = {"run": run, "dataset": about.subject.dataset, "model": about.name, "width": 0, "share": 0.0}
    columns |= {"recipe": f"side{about.subject.side}", "seed": 0}
    with hold(folder / "lock", str(os.getpid()), f"{folder}: already in use by process"):
        forget_another(about, folder)
        record = {"source": about.source, "dataset": about.subject.dataset, "run": run, "suspicion": about.suspicion}
        record["answers"] = about.answers.round(5).tolist()
        write_json(folder / "own.json", record)
        table = evaluation.Table(folder, about.subject, columns, about.digest)
        failed = evaluation.complete(table, only=only, again=again, progress=progress)
        for line in failed:
            print(f"left out: {line}", flush=True)
        if not len(table.rows):
            raise InputError(f"model = {about.source!r}: {failed[0]}")
        write_json(folder / "own.json", record | {"left_out": failed})
        with atomic(folder / "report.html") as temporary:
            temporary.write_text(report(folder), encoding="utf-8")
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
    nothing was published for this data set at this size, or where atlib is installed without the published rows.
    """
    if repository() is None:
        return {}
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
    notes = [about.get("suspicion", ""), *(f"left out: {line}" for line in about.get("left_out", []))]
    remarks = "".join(f"<p>{escape(note)}</p>" for note in notes if note)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    return (
        f'<!doctype html><html lang="en">{head}<title>{title}</title><style>{STYLE}</style>'
        f"<h1>{title}</h1>{remarks}{body(folder)}</html>\n"
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
