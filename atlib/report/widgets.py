"""The book's sliders. Each function returns a widget for a cell to end with.

With ATLIB_BUILD=1, as `make notebooks` sets it, a widget holds every frame that atlib.report.frames has kept, and its
controls are linked to them in the browser (jslink): the page then works with no kernel and no network. Otherwise, in
JupyterLab, the same controls in the same order compute what they show, at more levels and for more pictures.

A frame is an HTML widget: the panels' pictures as WebP with alternative texts, each with its network's probabilities,
and data-frame, a hash of it all. Every control has a key, which no other on its page has, and words for its values. In
a page book/_static/sliders.js keeps them in the address (#saturation=inf) and tells them to screen readers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import data, evaluation, models
from ..configuration import find_run
from ..errors import AtlibError, InputError
from . import frames
from .controls import (
    Control,
    Panel,
    Picture,
    answers,
    assembled,
    choice,
    frame_html,
    key_of,
    linked,
    number_widgets,
    panels_of,
    slider,
)

SATURATION_WORDS = {"0": "0 = grey", "2": "2 = unchanged", "inf": "∞ = every channel at 0 or 1"}
# What a notebook offers beyond the kept levels.
LIVE_LEVELS = ("0", "0.125", "0.25", "0.5", "1", "1.5", "2", "3", "4", "6", "8", "12", "16", "32", "64", "1024", "inf")
LIVE_BUDGETS = ("0", "0.5", "1", "2", "3", "4", "6", "8", "12", "16", "24", "32", "48", "64")
OFFERED = 12  # thumbnails of test pictures in a notebook


def building() -> bool:
    """Whether a page is being built, so that widgets hold frames instead of computing."""
    return os.environ.get("ATLIB_BUILD", "0") not in ("", "0")


# --- Pre-rendered ----------------------------------------------------------------------------------------------------


def kept(name: str) -> frames.Frames:
    """The frames of a data set, and numbered widgets if a page is being built."""
    if building():
        number_widgets()
    return frames.load(name)


# --- Live ------------------------------------------------------------------------------------------------------------


def live(
    controls: Sequence[Control], html: Callable[[], str], more: Sequence[ipywidgets.Widget] = ()
) -> ipywidgets.VBox:
    """Controls that compute what is shown below them whenever one of them changes."""
    shown = ipywidgets.HTML(layout=ipywidgets.Layout(width="100%"))

    def update(_: object = None) -> None:
        try:
            shown.value = html()
        except AtlibError as error:
            shown.value = f"<p>{escape(str(error))}</p>"

    for control in controls:
        control.widget.observe(update, "value")
    update()
    return assembled(controls, shown, more)


class Picker:
    """Test pictures to choose from by looking at them, a dozen at a time; `number` is the chosen one's."""

    def __init__(self, key: str, found: data.Dataset, first: Sequence[int]) -> None:
        """first: numbers that come first, as in the page."""
        self.found, self.key = found, key
        others = (n for n in range(len(found.test.labels)) if n not in set(first))
        self.order, self.begin = [*first, *others], 0
        self.control = self.offered()
        self.style = ipywidgets.HTML()
        self.button = ipywidgets.Button(description="other pictures", tooltip="the next of the test set")
        self.button.add_class("atlib-more")
        self.button.on_click(self.turn)

    def offered(self) -> Control:
        """The pictures on offer."""
        numbers, test = self.order[self.begin : self.begin + OFFERED], self.found.test
        images = [test.images[n : n + 1] for n in numbers]
        small = [frames.bytes_of(data.prepare(one, min(one.shape[-1], 64))[0]) for one in images]
        return choice(self.key, "picture", small, [self.found.classes[int(test.labels[n])] for n in numbers], numbers)

    def turn(self, _: object = None) -> None:
        """Offer the next pictures; after the last, the first again."""
        self.begin = self.begin + OFFERED if self.begin + OFFERED < len(self.order) else 0
        fresh = self.offered()
        self.style.value = f"<style>{fresh.style}</style>"
        self.control.widget.options = fresh.widget.options  # the first of them is chosen

    @property
    def number(self) -> int:
        """The chosen picture's number in the test set."""
        return self.control.value


def picking(picker: Picker, controls: Sequence[Control], html: Callable[[], str]) -> ipywidgets.VBox:
    """`live` with a choice of pictures before its other controls."""
    box = live([picker.control, *controls], html, [picker.button])
    box.children = (*box.children, picker.style)
    return box


def first_numbers(dataset: str) -> list[int]:
    """The test pictures of the kept frames, which come first in a notebook too; none where no frames can be read."""
    try:
        return [picture["number"] for picture in frames.load(dataset).about["pictures"]]
    except AtlibError:
        return []


def network(name: str, dataset: str) -> nn.Module:
    """A network, by a shipped one's name ("normal", "cifar10/normal") or a run's folder. InputError for neither."""
    for known in (name, f"{dataset}/{name}"):
        if known in models.shipped():
            return models.fold(models.load(known)[0])
    return models.fold(evaluation.subject_of(find_run(name, "networks")).model)


def test_pictures(dataset: str) -> data.Dataset | None:
    """The data set if it is on this machine (nothing is downloaded for a slider), otherwise None."""
    try:
        return data.load(dataset, progress=False) if data.at_hand(dataset) else None
    except InputError:
        return None


def instead(
    kept_form: Callable[[str], ipywidgets.VBox],
    dataset: str,
    networks: Sequence[str],
    again: Callable[[], ipywidgets.VBox],
) -> ipywidgets.VBox:
    """The kept frames, for a data set that isn't at hand; unless a page is being built, with a button that fetches it.

    again: the live form, which takes the frames' place once the data set is there.
    InputError if the networks asked for aren't those of the frames.
    """
    if tuple(networks) != frames.NETWORKS:
        only = ", ".join(frames.NETWORKS)
        raise InputError(f"networks = {list(networks)}: without the data set {dataset} there are only frames of {only}")
    box = kept_form(dataset)
    if building():
        return box
    note = ipywidgets.HTML(
        f"<p>{escape(f'{dataset} is not in {data.data_dir()}')}: below are four of its pictures, computed before. With "
        "the data set, the same controls take any test picture and more levels.</p>"
    )
    fetch = ipywidgets.Button(description=f"fetch {dataset}", tooltip=f"download it into {data.data_dir()}")
    fetch.add_class("atlib-fetch")

    def begin(_: object) -> None:
        fetch.disabled, note.value = True, f"<p>Fetching {escape(dataset)} …</p>"
        try:
            data.load(dataset, progress=False)
            box.children = again().children
        except AtlibError as error:
            fetch.disabled, note.value = False, f"<p>{escape(str(error))}</p>"

    fetch.on_click(begin)
    box.children = (note, fetch, *box.children)
    return box


# --- The sliders -----------------------------------------------------------------------------------------------------


def explorer(dataset: str, networks: Sequence[str] = frames.NETWORKS) -> ipywidgets.VBox:
    """Saturation, then patch-shuffling, of a picture: what it becomes, SmoothGrad maps and answers of each network.

    networks: names of shipped networks, or run folders (live only). Live: more levels, any test picture, with all of
    the samples.
    Missing if there are neither frames nor the data set.
    """
    found = None if building() else test_pictures(dataset)
    if found is None:
        return instead(_explorer_kept, dataset, networks, lambda: explorer(dataset, networks))
    here = {Path(name).name: network(name, dataset) for name in networks}
    picker = Picker(key_of(dataset, "picture"), found, first_numbers(dataset))
    level, patches = distortion_controls(
        dataset, LIVE_LEVELS, [k for k in frames.PATCHES if found.side % int(k) == 0], live=True
    )

    def html() -> str:
        number = picker.number
        image, label = found.test.images[number], int(found.test.labels[number])
        if image.shape[-1] != found.side:
            image = (data.prepare(image[None], found.side)[0] * 255).round().byte()
        shown = frames.distorted(image, float(level.value), int(patches.value), number)
        what = f"saturation {level.value}, {patches.value}×{patches.value} patches"
        return look_html(here, shown, label, found.classes, what)

    return picking(picker, [level, patches], html)


def distortion_controls(
    dataset: str, levels: Sequence[str], patches: Sequence[str], live: bool = False
) -> tuple[Control, Control]:
    """The explorer's two sliders."""
    words = {k: f"{k} × {k} = whole" if k == "1" else f"{k} × {k}" for k in patches}
    return (
        slider(key_of(dataset, "saturation"), "saturation p", levels, "2", SATURATION_WORDS, live),
        slider(key_of(dataset, "patches"), "patches k × k", patches, "1", words, live),
    )


def look_html(
    networks: Mapping[str, nn.Module], image: torch.Tensor, label: int, classes: Sequence[str], what: str
) -> str:
    """A live frame: `frames.look` at one float picture."""
    seen = frames.look(networks, image, label)
    parts = (frames.bytes_of(image), frames.bytes_of(seen.maps), seen.probabilities.numpy())
    return frame_html(panels_of(parts, list(networks), classes, label, what))


def _explorer_kept(dataset: str) -> ipywidgets.VBox:
    found = kept(dataset)
    about, arrays = found.about, found.arrays
    classes, names = about["classes"], [one["name"] for one in about["networks"]]
    labels = [picture["label"] for picture in about["pictures"]]

    def html(p: int, s: int, k: int) -> str:
        patches, level = about["patches"][k], about["saturation"][s]
        what = f"saturation {level}, {patches}×{patches} patches"
        parts = [arrays[f"explorer/{name}"][p, s, k] for name in ("shown", "maps", "probabilities")]
        return frame_html(panels_of(parts, names, classes, labels[p], what))

    return linked(
        [
            kept_pictures(found, key_of(dataset, "picture")),
            *distortion_controls(dataset, about["saturation"], about["patches"]),
        ],
        html,
    )


def kept_pictures(found: frames.Frames, key: str, count: int | None = None) -> Control:
    """The pictures of kept frames, unchanged, to choose from; the first `count` of them."""
    about = found.about
    at = about["saturation"].index("2"), about["patches"].index("1")
    images = list(found.arrays["explorer/shown"][:count, at[0], at[1]])
    return choice(key, "picture", images, [about["classes"][one["label"]] for one in about["pictures"]][:count])


def stylised(dataset: str) -> ipywidgets.VBox:
    """A picture in other styles (the first is none): SmoothGrad maps and answers of each network. Kept frames only:
    the stylist's weights are not in this repository. Missing if there are none."""
    found = kept(dataset)
    about, arrays = found.about, found.arrays
    classes, names = about["classes"], [one["name"] for one in about["networks"]]
    labels = [picture["label"] for picture in about["pictures"]]
    styles = ["none", *about["styles"]]

    def html(p: int, t: int) -> str:
        what = "as it is" if t == 0 else f"in the style {styles[t]}"
        parts = [arrays[f"stylised/{name}"][p, t] for name in ("shown", "maps", "probabilities")]
        return frame_html(panels_of(parts, names, classes, labels[p], what))

    pictures = kept_pictures(found, key_of(dataset, "styled-picture"))
    return linked([pictures, slider(key_of(dataset, "style"), "style", styles, "none")], html)


def attack_panels(
    clean: Picture, seen: Sequence[NDArray[Any]], names: Sequence[str], classes: Sequence[str], label: int, what: str
) -> list[Panel]:
    """For each network its attacked picture and answer, and below it the change, amplified ten times around grey.

    seen: attacked pictures and probabilities; what: budget and step, for the alt texts.
    """
    above, below = [], []
    for name, own, chance in zip(names, *seen, strict=True):
        shares, right = answers(chance, classes, label)
        above.append(Panel(own, f"{classes[label]}, attacked against {name}, {what}", name, shares, right))
        change = (10 * (own.astype(int) - clean) + 128).clip(0, 255).astype(np.uint8)
        below.append(Panel(change, f"change of the picture against {name}, {what}, times ten", "change × 10"))
    return [*above, *below]


def attack(dataset: str, networks: Sequence[str] = frames.NETWORKS) -> ipywidgets.VBox:
    """PGD on each network, step by step: sliders of budget and step; attacked picture, its change and the answer.

    networks as for `explorer`. Live: any test picture, more budgets up to 64/255.
    """
    found = None if building() else test_pictures(dataset)
    if found is None:
        return instead(_attack_kept, dataset, networks, lambda: attack(dataset, networks))
    here = {Path(name).name: network(name, dataset) for name in networks}
    picker = Picker(key_of(dataset, "attacked-picture"), found, first_numbers(dataset))
    eps, steps = attack_controls(dataset, LIVE_BUDGETS, [str(s) for s in frames.STEPS], live=True)

    def html() -> str:
        image, label = found.test.images[picker.number], int(found.test.labels[picker.number])
        clean = data.prepare(image[None], found.side)[0].contiguous()
        shown = frames.attacked(here, clean, label, float(eps.value) / 255, int(steps.value))
        chances = frames.probabilities(here, shown).numpy()
        what = f"budget {eps.value}/255, step {steps.value} of {frames.STEPS[-1]}"
        seen = (frames.bytes_of(shown), chances)
        panels = attack_panels(frames.bytes_of(clean), seen, list(here), found.classes, label, what)
        return frame_html(panels, columns=len(here))

    return picking(picker, [eps, steps], html)


def attack_controls(
    dataset: str, budgets: Sequence[str], steps: Sequence[str], live: bool = False
) -> tuple[Control, Control]:
    """The attack's two sliders: its budget in 1/255, and how many of its steps have been taken."""
    last = steps[-1]
    words = {step: f"{step} of {last}" for step in steps} | {"0": "0 = not begun", last: f"{last} = finished"}
    return (
        slider(key_of(dataset, "budget"), "budget", budgets, "8", {b: f"{b}/255" for b in budgets}, live),
        slider(key_of(dataset, "step"), "step", steps, last, words, live),
    )


def _attack_kept(dataset: str) -> ipywidgets.VBox:
    found = kept(dataset)
    about, arrays = found.about, found.arrays
    classes, names = about["classes"], [one["name"] for one in about["networks"]]
    shown, chances = arrays["attack/shown"], arrays["attack/probabilities"]
    labels = [picture["label"] for picture in about["pictures"]][: len(shown)]

    def html(p: int, b: int, j: int) -> str:
        clean = shown[p, 0, 0, 0]  # before the first step
        what = f"budget {about['eps'][b]}/255, step {about['steps'][j]} of {about['steps'][-1]}"
        panels = attack_panels(clean, (shown[p, b, j], chances[p, b, j]), names, classes, labels[p], what)
        return frame_html(panels, columns=len(names))

    pictures = kept_pictures(found, key_of(dataset, "attacked-picture"), len(shown))
    numbers = [str(e) for e in about["eps"]], [str(step) for step in about["steps"]]
    return linked([pictures, *attack_controls(dataset, *numbers)], html)


def budgets() -> ipywidgets.VBox:
    """Pictures whose shape and texture contradict each other, and the network of each training budget (`shapes`).

    Kept frames in a notebook too: budgets are those of the networks that come with the repository.
    """
    found = kept("shapes")
    about, arrays = found.about, found.arrays
    classes, names = about["classes"], [one["name"] for one in about["budgets"]]

    def cue(label: int, part: int) -> str:
        return classes[label].split("/")[part] if "/" in classes[label] else classes[label]

    def html(r: int, m: int) -> str:
        conflict = about["conflict"][r]
        shape, texture = conflict["label"], conflict["texture"]
        chances = arrays["budgets/probabilities"][r, m]
        shares = {
            f"shape ({cue(shape, 0)})": float(chances[shape]),
            f"texture ({cue(texture, -1)})": float(chances[texture]),
        }
        best = int(chances.argmax())
        said = {shape: "answers by shape", texture: "answers by texture"}.get(best, "answers neither")
        what = f"silhouette {cue(shape, 0)}, texture {cue(texture, -1)}"
        return frame_html(
            [
                Panel(arrays["budgets/shown"][r], what, "picture"),
                Panel(
                    arrays["budgets/maps"][r, m],
                    f"SmoothGrad map of {names[m]} for the shape's class; {said}",
                    f"{names[m]}: {said}",
                    shares,
                    best == shape,
                ),
            ]
        )

    levels = ["0", *(name.rpartition("-")[2] for name in names[1:])]
    words = {level: f"{level}/255" for level in levels} | {"0": "0 = normal training"}
    options = [cue(c["label"], 0) + ", " + cue(c["texture"], -1) for c in about["conflict"]]
    pictures = choice("conflict", "picture", list(arrays["budgets/shown"]), options)
    return linked([pictures, slider("training-budget", "training budget", levels, "0", words)], html)
