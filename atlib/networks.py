"""Find a network from anywhere by a text such as "torchvision:resnet50", and check that it can be measured."""

from __future__ import annotations

import contextlib
import csv
import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from . import models
from .errors import InputError, NetworkError, last_line, nearest
from .tensors import load_state

SOURCES = ("atlib:DATASET/MODEL", "torchvision:NAME", "timm:NAME", "module:function")
ALIKE = 0.01  # how far the same answers may differ between processors, as a share of the largest


class Normalised(nn.Module):
    """Wraps a network that expects normalised pixels so that it takes pixels in [0, 1]."""

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
    """A network whose outputs are merged into the classes of a data set.

    groups: the outputs that stand for each class; a class's logit is the log of the sum of their exponentials.
    """

    def __init__(self, model: nn.Module, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model, self.count = model, len(groups)
        for number, group in enumerate(groups):  # buffers move with the network; a list as an index would be sent anew
            self.register_buffer(f"group{number}", torch.tensor(list(group)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(images)
        return torch.stack([logits[:, self.get_buffer(f"group{n}")].logsumexp(1) for n in range(self.count)], 1)


@dataclass(frozen=True)
class Loaded:
    """A network, and the names of its outputs where they are known."""

    model: nn.Module
    outputs: tuple[str, ...] = ()


INSIDE_OF = ("state_dict", "model_state_dict", "model_state", "model", "net", "network")  # what checkpoints call them
PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile, and a module that holds the network


def fill(model: nn.Module, path: str) -> None:
    """Load the weights of a checkpoint as people have them into a network, in place.

    A state dict, or a dictionary that holds one under a usual name (INSIDE_OF), as .pt or .safetensors. What wrappers
    put in front of all names (PREFIXES) is taken off where the network doesn't want it. InputError in one line.
    """
    try:
        state = load_state(Path(path), INSIDE_OF)
    except InputError as error:
        raise InputError(f"weights = {path!r}: {error}") from None
    wanted = model.state_dict().keys()
    while not state.keys() & wanted:
        prefix = next((p for p in PREFIXES if state and all(name.startswith(p) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"weights = {path!r}: not of this network: {last_line(error)}") from None


def _atlib(name: str) -> Loaded:
    try:
        model, _ = models.load(name)
    except InputError as error:
        raise InputError(f"model = 'atlib:{name}': {error}") from None
    return Loaded(models.fold(model))


# These networks of torchvision normalise a second time, inside; loading torchvision's own weights switches that on.
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
    except OSError as error:  # no connection, and not in torch's cache
        raise InputError(
            f"model = 'torchvision:{name}': no download ({last_line(error)}); give weights, a file"
        ) from None
    if weights:
        fill(model, weights)
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
        raise InputError(f"model = 'timm:{name}': no weights ({last_line(error)}){hint}") from None
    if weights:
        fill(model, weights)
    subset = infer_imagenet_subset(model)
    synsets = tuple(ImageNetInfo(subset).label_names()) if subset else ()
    preset: Any = model.default_cfg
    return Loaded(Normalised(model, preset["mean"], preset["std"]).eval(), synsets)


LIBRARIES: dict[str, Callable[[str, str], Loaded]] = {"torchvision": _torchvision, "timm": _timm}


@contextlib.contextmanager
def _here() -> Iterator[None]:
    """Let modules be imported from the working directory, as with `python -m`."""
    here = os.getcwd()  # the module may go elsewhere
    sys.path.insert(0, here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def _function(module: str, function: str) -> Loaded:
    spec = f"model = '{module}:{function}'"
    if module.endswith(".py") or not all(part.isidentifier() for part in module.split(".")):
        raise InputError(f"{spec}: {module!r} must be a module's name, as after Python's import, not a path")
    with _here():
        try:
            imported = importlib.import_module(module)
        except (Exception, SystemExit) as error:  # the user's file may raise anything
            hint = nearest(module, ("atlib", *LIBRARIES))
            line = f"{spec}: {module} can't be imported: {type(error).__name__}: {last_line(error)}{hint}"
            raise InputError(line) from None
        if not hasattr(imported, function):
            raise InputError(f"{spec}: {module} has no function {function}{nearest(function, dir(imported))}")
        make = getattr(imported, function)
        if not callable(make):
            raise InputError(f"{spec}: {function} is a {type(make).__name__}, not a function")
        try:
            model = make()
        except (Exception, SystemExit) as error:
            raise InputError(f"{spec}: {function}() failed: {type(error).__name__}: {last_line(error)}") from None
    if not isinstance(model, nn.Module):
        raise InputError(f"{spec}: {function}() gave a {type(model).__name__}: must be a torch.nn.Module")
    return Loaded(model)


def network(source: str, weights: str = "") -> Loaded:
    """The network that a text means (SOURCES). weights: a checkpoint that it is filled with, see `fill`.

    Networks of torchvision and timm get the normalisation that their weights were trained with. InputError says what is
    wrong.
    """
    kind, colon, name = source.partition(":") if isinstance(source, str) else ("", "", "")
    if not colon or not name:
        raise InputError(f"model = {source!r}: must be one of {', '.join(SOURCES)}")
    if kind in LIBRARIES:
        return LIBRARIES[kind](name, weights)
    if kind == "atlib":
        if weights:
            raise InputError(f"weights = {weights!r}: not with atlib:, whose networks bring their own")
        return _atlib(name)
    loaded = _function(kind, name)
    if weights:
        fill(loaded.model, weights)
    return loaded


def class_lines(path: str) -> list[tuple[str, str, str]]:
    """(place in the file, class, output) of each line of a CSV with the header class,output; InputError names it."""
    try:
        lines = list(
            csv.reader(Path(path).read_text(encoding="utf-8-sig").splitlines())
        )  # Excel begins the file with a byte-order mark
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
    """The outputs that stand for each class of the data set, from a CSV with the header class,output.

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
    """A network's outputs for a few float pictures, N×outputs; InputError if it fails or its outputs aren't logits."""
    name, shape = f"model = {source!r}", "×".join(map(str, pixels.shape))
    if training := [part for part, module in model.named_modules() if module.training]:
        which = f"its {training[0]} is" if training[0] else "is"
        raise InputError(f"{name}: {which} in training mode; call .eval() before you return it")
    before = pixels.detach().clone()
    try:
        logits = model(pixels)
    except Exception as error:  # the user's network may raise anything
        raise InputError(
            f"{name}: fails on float pictures of {shape}: {type(error).__name__}: {last_line(error)}"
        ) from None
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(pixels):
        got = "×".join(map(str, logits.shape)) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(f"{name}: gives {got} for {shape}: must give {len(pixels)}×classes, the logits")
    if not torch.equal(pixels.detach(), before):
        raise InputError(f"{name}: changes its input in place: must leave it as it is")
    return logits


def check(model: nn.Module, source: str, classes: int, images: Tensor) -> None:
    """InputError for a network that can't be measured; NetworkError if outputs, or all gradients, are NaN or infinite.

    images: a few float pictures as it will see them, N×3×side×side in [0, 1].
    """
    name, pixels = f"model = {source!r}", images.clone().requires_grad_()
    logits = answer(model, source, pixels)
    if logits.shape[1] != classes:
        hint = "; a file `classes` can say which output means which class"
        raise InputError(f"{name}: has {logits.shape[1]} outputs, the data set {classes} classes{hint}")
    if not torch.isfinite(logits).all():
        raise NetworkError(f"{name}: gives NaN or infinite outputs")
    alone = answer(model, source, images[:1])  # the last pass over a test set may hold a single picture
    again = answer(model, source, images)
    near = functools.partial(torch.allclose, rtol=ALIKE, atol=ALIKE * float(logits.detach().abs().max()))
    if not near(again, logits):
        raise InputError(f"{name}: answers the same pictures differently each time: must not draw at random")
    if not near(alone, logits[:1]):
        raise InputError(f"{name}: answers a picture differently alone than in a batch: must not depend on the batch")
    if (logits >= 0).all() and torch.allclose(logits.sum(1), logits.new_ones(())):
        raise InputError(f"{name}: gives probabilities: must give the logits, before the softmax")
    if not logits.requires_grad:
        raise InputError(f"{name}: its outputs have no gradient with respect to its input (no_grad inside?)")
    gradient = torch.autograd.grad(logits.logsumexp(1).sum(), pixels, allow_unused=True)[0]
    if gradient is None or not torch.isfinite(gradient).flatten(1).all(1).any():
        raise NetworkError(f"{name}: its input gradient is missing, or NaN or infinite for each picture that was tried")
