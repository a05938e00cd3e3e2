"""The book's sliders. Each function returns a widget for a cell to end with.

With ATLIB_BUILD=1, as `make notebooks` sets it, a widget holds every frame that atlib.report.frames has kept, and its
controls are linked to them in the browser (jslink): the page then works with no kernel and no network. Otherwise, in
JupyterLab, the same controls in the same order compute what they show, at more levels and for more pictures.

A frame is an HTML widget: the panels' pictures as WebP with alternative texts, each with its network's probabilities,
and data-frame, a hash of it all. Every control has a key, which no other on its page has, and words for its values. In
a page book/_static/sliders.js keeps them in the address (#saturation=inf) and tells them to screen readers.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comm.base_comm
import ipywidgets
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from .. import data, evaluation, models
from ..configuration import find_run
from ..errors import AtlibError, InputError
from . import frames

Picture = NDArray[np.uint8]  # 3×H×W, or H×W for a map

STYLE = """<style>
html[data-theme=dark] .bd-content div.cell_output .widget-subarea{background:none;padding:0;color:inherit}
.atlib-all,.atlib-all .jupyter-widgets,.atlib-all .widget-html-content{overflow:visible!important;min-width:0;
max-width:100%;background:none!important;color:var(--pst-color-text-base,var(--jp-content-font-color1,inherit))!important}
.atlib-all,.atlib-all .widget-html-content{width:100%}
.atlib-all{scroll-margin-top:4rem}
.atlib-controls{display:grid!important;height:auto!important;gap:.35rem;max-width:46rem!important;margin:0 0 .8rem;
--jp-widgets-slider-handle-size:20px}
.atlib-controls>*{display:grid!important;grid-template-columns:7.5rem minmax(240px,1fr) 13rem;column-gap:1.1rem;
align-items:center;width:auto!important;height:auto!important;min-height:2rem;margin:0!important;font-size:.85rem}
.atlib-controls .widget-label,.atlib-controls .widget-readout{width:auto!important;max-width:none!important;height:auto;
margin:0!important;padding:0;border:0;text-align:left!important;white-space:normal!important;overflow:visible!important;
line-height:1.3;color:inherit!important}
.atlib-controls .noUi-target{background:rgba(128,128,128,.45)!important;border:0!important;box-shadow:none!important}
.atlib-controls .noUi-handle{background:#0072B2!important;border:2px solid #fff!important;box-shadow:none!important;
cursor:grab}
.atlib-controls .noUi-handle:focus-visible{outline:2px solid currentcolor;outline-offset:2px}
.atlib-controls .widget-toggle-buttons>div{grid-column:2/4;display:flex;flex-wrap:wrap;gap:.3rem}
.atlib-controls button{height:auto!important;margin:0!important;line-height:1.3;color:inherit!important;
background-color:transparent!important;box-shadow:none!important;cursor:pointer}
.atlib-controls .widget-toggle-button{width:auto!important;min-width:4rem;max-width:8rem;
padding:3.9rem .2rem .1rem!important;
background:50% .2rem/3.6rem 3.6rem no-repeat;image-rendering:pixelated;border:2px solid transparent!important;
border-radius:4px;font-size:.75rem;white-space:normal;overflow-wrap:anywhere}
.atlib-controls .widget-toggle-button.mod-active{border-color:#0072B2!important;font-weight:600}
.atlib-all .atlib-fetch{width:auto!important;height:auto!important;margin:0 0 .8rem!important;
padding:.3rem .8rem!important;border:1px solid currentcolor!important;border-radius:4px;color:inherit!important;
line-height:1.3;cursor:pointer}
.atlib-controls .atlib-reset,.atlib-controls .atlib-more{display:block!important;justify-self:end;width:auto!important;
padding:0 .6rem!important;border:1px solid rgba(128,128,128,.6)!important;border-radius:4px;font-size:.8rem}
.atlib-controls .atlib-more{justify-self:start;margin-left:8.6rem!important}
@media (pointer:coarse),(max-width:40rem){.atlib-controls{--jp-widgets-slider-handle-size:32px}
.atlib-controls>*{min-height:2.6rem}}
@media (max-width:40rem){.atlib-controls>*{grid-template-columns:auto 1fr}
.atlib-controls .slider-container{grid-row:2;grid-column:1/3;min-height:2.2rem;display:grid;align-content:center}
.atlib-controls .widget-toggle-buttons>div{grid-column:1/3}.atlib-controls .atlib-more{margin-left:0!important}}
.atlib-frame{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.2rem,1fr));gap:.6rem;max-width:46rem;
line-height:1.3;font-size:.85rem}
.atlib-frame img{width:100%;max-width:11rem;image-rendering:pixelated;display:block;margin:0 0 .2rem!important;
padding:0!important;border-radius:2px!important;background:none!important;filter:none!important}
.atlib-frame i{display:block;height:.45rem;background:rgba(128,128,128,.3);margin:.1rem 0 .2rem;max-width:11rem}
.atlib-frame i b{display:block;height:100%;background:#0072B2}
.atlib-frame div.wrong i b{background:#D55E00}
@media print{.atlib-controls button{display:none!important}}
</style>"""

SATURATION_WORDS = {"0": "0 = grey", "2": "2 = unchanged", "inf": "∞ = every channel at 0 or 1"}
# What a notebook offers beyond the kept levels.
LIVE_LEVELS = ("0", "0.125", "0.25", "0.5", "1", "1.5", "2", "3", "4", "6", "8", "12", "16", "32", "64", "1024", "inf")
LIVE_BUDGETS = ("0", "0.5", "1", "2", "3", "4", "6", "8", "12", "16", "24", "32", "48", "64")
OFFERED = 12  # thumbnails of test pictures in a notebook


def building() -> bool:
    """Whether a page is being built, so that widgets hold frames instead of computing."""
    return os.environ.get("ATLIB_BUILD", "0") not in ("", "0")


class _Counter:
    """Stands in for the module uuid, from which comms draw their names, so that the widgets of a page are numbered."""

    def __init__(self) -> None:
        self.count = 0

    def uuid4(self) -> SimpleNamespace:
        self.count += 1
        return SimpleNamespace(hex=f"{self.count:032x}")


def number_widgets() -> None:
    """Give this process's widgets the same names in every run, so that running a page again gives the same file."""
    if not isinstance(comm.base_comm.uuid, _Counter):
        comm.base_comm.uuid = _Counter()  # type: ignore[assignment]


# --- One frame -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """A picture of a frame. alt: what it shows; title: the text below it; chances: class names with probabilities, the
    first of which is drawn as a bar; right: whether the answer is the true class (None: there is no answer)."""

    picture: Picture
    alt: str
    title: str
    chances: Mapping[str, float] = field(default_factory=dict)
    right: bool | None = None


def webp(picture: Picture) -> str:
    """A picture as a data: address. A map is grey."""
    image = Image.fromarray(picture if picture.ndim == 2 else np.ascontiguousarray(picture.transpose(1, 2, 0)))
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "webp", quality=60, method=6)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def percent(share: float) -> str:
    """A probability as a percentage for readers."""
    return "<1 %" if share < 0.005 else f"{100 * share:.0f} %"


def frame_html(panels: Sequence[Panel], columns: int | None = None) -> str:
    """A frame: its panels side by side, `columns` per row, or as many as fit.

    The pictures are decoded before the frame is painted, so that all of its panels change at once.
    """
    parts = []
    for panel in panels:
        first = next(iter(panel.chances.values()), None)
        bar = "" if first is None else f'<i><b style="width:{100 * first:.0f}%"></b></i>'
        text = "<br>".join(escape(f"{name} {percent(share)}") for name, share in panel.chances.items())
        kind = ' class="wrong"' if panel.right is False else ""
        parts.append(
            f'<div{kind}><img decoding="sync" alt="{escape(panel.alt)}" src="{webp(panel.picture)}">'
            f"<strong>{escape(panel.title)}"
            f"</strong>{bar}{text}</div>"
        )
    body = "".join(parts)
    digest = hashlib.sha256(body.encode()).hexdigest()[:12]
    fixed = f' style="grid-template-columns:repeat({columns},minmax(0,11rem))"' if columns else ""
    return f'<div class="atlib-frame" role="group" data-frame="{digest}"{fixed}>{body}</div>'


def answers(chances: NDArray[Any], classes: Sequence[str], label: int) -> tuple[dict[str, float], bool]:
    """For `Panel`: the true class's probability, then the answer's if it differs; and whether the answer is right."""
    best = int(chances.argmax())
    found = {classes[label]: float(chances[label])}
    return (found if best == label else found | {classes[best]: float(chances[best])}), best == label


def panels_of(
    seen: Sequence[NDArray[Any]], names: Sequence[str], classes: Sequence[str], label: int, what: str
) -> list[Panel]:
    """The picture, then each network's map with its answer.

    seen: picture, maps and probabilities, as frames hold them. what: how the picture was changed, for the alt texts.
    """
    shown, maps, chances = seen
    found = [Panel(shown, f"{classes[label]}, {what}", f"picture: {classes[label]}")]
    for name, own, chance in zip(names, maps, chances, strict=True):
        shares, right = answers(chance, classes, label)
        alt = f"SmoothGrad map of {name} for {classes[label]}, {what}; {classes[label]} {percent(float(chance[label]))}"
        found.append(Panel(own, alt, name, shares, right))
    return found


# --- Controls --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Control:
    """A slider, or pictures to choose from. key: its name in a page's address; style: CSS with the thumbnails."""

    widget: ipywidgets.SelectionSlider | ipywidgets.ToggleButtons
    key: str
    style: str = ""

    @property
    def value(self) -> Any:
        """The chosen option: a level as a string, a picture as its place or its number in the test set."""
        return self.widget.value

    def slugs(self) -> list[str]:
        """Each option as an address names it."""
        chosen = self.widget.options
        named = [text if isinstance(self.widget, ipywidgets.ToggleButtons) else str(value) for text, value in chosen]
        return [re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") for name in named]


def key_of(dataset: str, name: str) -> str:
    """A control's key: CIFAR-10, which the argument is about, goes without saying."""
    return name if dataset == "cifar10" else f"{dataset}-{name}"


def slider(
    key: str, name: str, levels: Sequence[str], value: str, words: Mapping[str, str] | None = None, live: bool = False
) -> Control:
    """A slider over named levels, with words for some of them. live: it moves on when it is let go."""
    options = [((words or {}).get(level, level), level) for level in levels]
    control = ipywidgets.SelectionSlider(
        options=options, value=value, description=name, continuous_update=not live, style={"description_width": "auto"}
    )
    control.add_class(f"atlib-key-{key}")
    return Control(control, key)


def choice(
    key: str, name: str, pictures: Sequence[Picture], texts: Sequence[str], values: Sequence[int] | None = None
) -> Control:
    """Pictures to choose from by looking at them. texts: of each; values: else their places."""
    seen: dict[str, int] = {}
    options = []
    for text, value in zip(texts, values or range(len(texts)), strict=True):
        seen[text] = seen.get(text, 0) + 1
        options.append((f"{text} {seen[text]}" if seen[text] > 1 else text, value))
    control = ipywidgets.ToggleButtons(options=options, description=name, style={"description_width": "auto"})
    control.add_class(f"atlib-key-{key}")
    return Control(control, key, thumbnails(key, pictures))


def thumbnails(key: str, pictures: Sequence[Picture]) -> str:
    """CSS that lays a picture above the text of each button of a control."""
    return "".join(
        f'.atlib-key-{key} button:nth-child({n}){{background-image:url("{webp(picture)}")!important}}'
        for n, picture in enumerate(pictures, 1)
    )


def linked(controls: Sequence[Control], html: Callable[..., str]) -> ipywidgets.VBox:
    """Controls over frames for every combination of their indices, linked in the browser.

    html: a frame from the indices of all controls, in their order. The first control turns the outermost stack.
    """
    layout = ipywidgets.Layout(width="100%", height="auto", overflow="visible")
    look = ipywidgets.HTML().style  # shared by all frames: thousands of models would make up most of a page

    def nest(depth: int, chosen: tuple[int, ...]) -> ipywidgets.Widget:
        if depth == len(controls):
            return ipywidgets.HTML(html(*chosen), layout=layout, style=look)
        control = controls[depth].widget
        children = [nest(depth + 1, (*chosen, i)) for i in range(len(control.options))]
        stack = ipywidgets.Stack(children, selected_index=control.index, layout=layout)
        ipywidgets.jslink((control, "index"), (stack, "selected_index"))
        return stack

    return assembled(controls, nest(0, ()))


def assembled(
    controls: Sequence[Control], shown: ipywidgets.Widget, more: Sequence[ipywidgets.Widget] = ()
) -> ipywidgets.VBox:
    """Controls one below the other in a grid, the way back to where they began, and what they show below.

    more: further buttons, before the reset. The first child tells the page of the controls' keys and names of options.
    """
    begin = [control.widget.index for control in controls]
    about = [[control.key, control.slugs(), start] for control, start in zip(controls, begin, strict=True)]
    told = f'<div class="atlib-about" hidden data-controls="{escape(json.dumps(about))}"></div>'
    css = "".join(f"<style>{control.style}</style>" for control in controls if control.style)
    reset = ipywidgets.Button(description="reset", tooltip="back to where the controls began")
    reset.add_class("atlib-reset")

    def back(_: object) -> None:
        for control, start in zip(controls, begin, strict=True):
            control.widget.index = start

    reset.on_click(back)
    row = ipywidgets.Box([*(control.widget for control in controls), *more, reset])
    row.add_class("atlib-controls")
    box = ipywidgets.VBox([ipywidgets.HTML(STYLE + css + told), row, shown])
    box.add_class("atlib-all")
    return box


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
    """The test pictures of the kept frames, which come first in a notebook too; none where there are no frames."""
    try:
        return [picture["number"] for picture in frames.load(dataset).about["pictures"]]
    except InputError:
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
    InputError if there are neither frames nor the data set.
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
    the stylist's weights are not in this repository. InputError if there are none."""
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
