"""The book's sliders. Each function returns a widget for a cell to end with.

With ATLIB_BUILD=1, as `make notebooks` sets it, a widget holds every frame that atlib.report.frames has kept, and its
controls are linked to them in the browser (jslink): the page then works with no kernel and no network. Otherwise, in
JupyterLab, the same controls compute what they show, at any level and for any test picture.

A frame is an HTML widget: the panels' pictures as WebP with alternative texts, each with its network's probabilities,
and data-frame, a hash of it all.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
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
.atlib-controls{display:flex!important;flex-flow:row wrap!important;height:auto!important}
.atlib-all .widget-label,.atlib-all .widget-readout{color:inherit!important}
.atlib-frame{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.2rem,1fr));gap:.6rem;max-width:46rem;
line-height:1.3;font-size:.85rem}
.atlib-frame img{width:100%;max-width:11rem;image-rendering:pixelated;display:block;margin:0 0 .2rem!important;
padding:0!important;border-radius:2px!important;background:none!important;filter:none!important}
.atlib-frame i{display:block;height:.45rem;background:rgba(128,128,128,.3);margin:.1rem 0 .2rem;max-width:11rem}
.atlib-frame i b{display:block;height:100%;background:#0072B2}
.atlib-frame div.wrong i b{background:#D55E00}
</style>"""


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
    """A frame: its panels side by side, `columns` per row, or as many as fit."""
    parts = []
    for panel in panels:
        first = next(iter(panel.chances.values()), None)
        bar = "" if first is None else f'<i><b style="width:{100 * first:.0f}%"></b></i>'
        text = "<br>".join(escape(f"{name} {percent(share)}") for name, share in panel.chances.items())
        kind = ' class="wrong"' if panel.right is False else ""
        parts.append(
            f'<div{kind}><img alt="{escape(panel.alt)}" src="{webp(panel.picture)}"><strong>{escape(panel.title)}'
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


# --- Pre-rendered ----------------------------------------------------------------------------------------------------


def slider(name: str, options: Sequence[str], value: str) -> ipywidgets.SelectionSlider:
    """A slider over named levels, wide enough for a thumb, narrow enough for a phone."""
    return ipywidgets.SelectionSlider(
        options=list(options),
        value=value,
        description=name,
        layout=ipywidgets.Layout(width="21rem", max_width="100%"),
        style={"description_width": "7rem"},
    )


def choice(name: str, options: Sequence[str]) -> ipywidgets.Dropdown:
    """A drop-down list; equal options are numbered."""
    texts = [f"{i + 1}: {option}" for i, option in enumerate(options)]
    return ipywidgets.Dropdown(
        options=texts,
        description=name,
        layout=ipywidgets.Layout(width="15rem", max_width="100%"),
        style={"description_width": "4rem"},
    )


def linked(controls: Sequence[ipywidgets.Widget], html: Callable[..., str]) -> ipywidgets.VBox:
    """Controls (sliders, lists) over frames for every combination of their indices, linked in the browser.

    html: a frame from the indices of all controls, in their order. The first control turns the outermost stack.
    """
    layout = ipywidgets.Layout(width="100%", height="auto", overflow="visible")
    look = ipywidgets.HTML().style  # shared by all frames: thousands of models would make up most of a page

    def nest(depth: int, chosen: tuple[int, ...]) -> ipywidgets.Widget:
        if depth == len(controls):
            return ipywidgets.HTML(html(*chosen), layout=layout, style=look)
        control = controls[depth]
        children = [nest(depth + 1, (*chosen, i)) for i in range(len(control.options))]
        stack = ipywidgets.Stack(children, selected_index=control.index, layout=layout)
        ipywidgets.jslink((control, "index"), (stack, "selected_index"))
        return stack

    return assembled(controls, nest(0, ()))


def assembled(controls: Sequence[ipywidgets.Widget], shown: ipywidgets.Widget) -> ipywidgets.VBox:
    """Controls in rows that wrap, with what they show below."""
    row = ipywidgets.Box(list(controls))
    row.add_class("atlib-controls")
    box = ipywidgets.VBox([ipywidgets.HTML(STYLE), row, shown])
    box.add_class("atlib-all")
    return box


def kept(name: str) -> frames.Frames:
    """The frames of a data set, and numbered widgets if a page is being built."""
    if building():
        number_widgets()
    return frames.load(name)


# --- Live ------------------------------------------------------------------------------------------------------------


def live(controls: Sequence[ipywidgets.Widget], html: Callable[[], str]) -> ipywidgets.VBox:
    """Controls that compute what is shown below them whenever one of them changes."""
    shown = ipywidgets.HTML(layout=ipywidgets.Layout(width="100%"))

    def update(_: object = None) -> None:
        try:
            shown.value = html()
        except AtlibError as error:
            shown.value = f"<p>{escape(str(error))}</p>"

    for control in controls:
        control.observe(update, "value")
    update()
    return assembled(controls, shown)


def network(name: str, dataset: str) -> nn.Module:
    """A network, by a shipped one's name ("normal", "cifar10/normal") or a run's folder. InputError for neither."""
    for known in (name, f"{dataset}/{name}"):
        if known in models.shipped():
            return models.fold(models.load(known)[0])
    return models.fold(evaluation.subject_of(find_run(name, "networks")).model)


def number_of(count: int, value: int = 0) -> ipywidgets.BoundedIntText:
    """An input field for the number of a test picture."""
    return ipywidgets.BoundedIntText(
        value, min=0, max=count - 1, description="picture", layout=ipywidgets.Layout(width="12rem")
    )


def test_pictures(dataset: str) -> data.Dataset | None:
    """The data set if it is on this machine (nothing is downloaded for a slider), otherwise None."""
    try:
        return data.load(dataset, progress=False) if data.at_hand(dataset) else None
    except InputError:
        return None


def instead(kept_form: Callable[[str], ipywidgets.VBox], dataset: str, networks: Sequence[str]) -> ipywidgets.VBox:
    """The kept frames, for a data set that isn't at hand, with a line that says so unless a page is being built.

    InputError if the networks asked for aren't those of the frames.
    """
    if tuple(networks) != frames.NETWORKS:
        only = ", ".join(frames.NETWORKS)
        raise InputError(f"networks = {list(networks)}: without the data set {dataset} there are only frames of {only}")
    box = kept_form(dataset)
    if not building():
        note = (
            f"{dataset} is not in {data.data_dir()}: these are frames that were computed before, four pictures' worth."
        )
        box.children = (ipywidgets.HTML(f"<p>{escape(note)}</p>"), *box.children)
    return box


# --- The sliders -----------------------------------------------------------------------------------------------------


def explorer(dataset: str, networks: Sequence[str] = frames.NETWORKS) -> ipywidgets.VBox:
    """Saturation, then patch-shuffling, of a picture: what it becomes, SmoothGrad maps and answers of each network.

    networks: names of shipped networks, or run folders (live only). Live: any level up to 1024, any test picture,
    with all of the samples.
    InputError if there are neither frames nor the data set.
    """
    found = None if building() else test_pictures(dataset)
    if found is None:
        return instead(_explorer_kept, dataset, networks)
    here = {Path(name).name: network(name, dataset) for name in networks}
    number = number_of(len(found.test.labels))
    level = ipywidgets.FloatLogSlider(
        2, base=2, min=-4, max=10, step=0.25, description="saturation", continuous_update=False
    )
    patches = slider("patches, k × k", [k for k in frames.PATCHES if found.side % int(k) == 0], "1")

    def html() -> str:
        image, label = found.test.images[number.value], int(found.test.labels[number.value])
        if image.shape[-1] != found.side:
            image = (data.prepare(image[None], found.side)[0] * 255).round().byte()
        shown = frames.distorted(image, level.value, int(patches.value), number.value)
        what = f"saturation {level.value:g}, {patches.value}×{patches.value} patches"
        return look_html(here, shown, label, found.classes, what)

    return live([number, level, patches], html)


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

    def html(p: int, k: int, s: int) -> str:
        patches, level = about["patches"][k], about["saturation"][s]
        what = f"saturation {level}, {patches}×{patches} patches"
        parts = [arrays[f"explorer/{name}"][p, s, k] for name in ("shown", "maps", "probabilities")]
        return frame_html(panels_of(parts, names, classes, labels[p], what))

    controls = [
        choice("picture", [classes[label] for label in labels]),
        slider("patches, k × k", about["patches"], "1"),
        slider("saturation p", about["saturation"], "2"),
    ]
    return linked(controls, html)


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

    return linked([choice("picture", [classes[label] for label in labels]), slider("style", styles, "none")], html)


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

    networks as for `explorer`. Live: any test picture, any budget up to 64/255.
    """
    found = None if building() else test_pictures(dataset)
    if found is None:
        return instead(_attack_kept, dataset, networks)
    here = {Path(name).name: network(name, dataset) for name in networks}
    number = number_of(len(found.test.labels))
    eps = ipywidgets.FloatSlider(8, min=0, max=64, step=0.5, description="budget/255", continuous_update=False)
    steps = slider("step of 40", [str(s) for s in frames.STEPS], "40")

    def html() -> str:
        image, label = found.test.images[number.value], int(found.test.labels[number.value])
        clean = data.prepare(image[None], found.side)[0].contiguous()
        shown = frames.attacked(here, clean, label, eps.value / 255, int(steps.value))
        chances = frames.probabilities(here, shown).numpy()
        what = f"budget {eps.value:g}/255, step {steps.value} of {frames.STEPS[-1]}"
        seen = (frames.bytes_of(shown), chances)
        panels = attack_panels(frames.bytes_of(clean), seen, list(here), found.classes, label, what)
        return frame_html(panels, columns=len(here))

    return live([number, eps, steps], html)


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

    controls = [
        choice("picture", [classes[label] for label in labels]),
        slider("budget", [f"{eps}/255" for eps in about["eps"]], "8/255"),
        slider("step of 40", [str(step) for step in about["steps"]], str(about["steps"][-1])),
    ]
    return linked(controls, html)


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

    levels = ["0 (normal)", *(f"{name.rpartition('-')[2]}/255" for name in names[1:])]
    options = [cue(c["label"], 0) + ", " + cue(c["texture"], -1) for c in about["conflict"]]
    return linked([choice("picture", options), slider("training budget", levels, levels[0])], html)
