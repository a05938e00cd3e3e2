"""What the sliders are made of: frames of pictures with probabilities, and controls linked to them in the browser."""

from __future__ import annotations

import hashlib
import json
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
from numpy.typing import NDArray

from . import webp

Picture = NDArray[np.uint8]  # 3×H×W, or H×W for a map
STYLE = f"<style>\n{(Path(__file__).parent / 'sliders.css').read_text(encoding='utf-8')}</style>"


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


def address(picture: Picture) -> str:
    """A picture as a data: address. A map is grey."""
    return webp.address(webp.smallest(picture if picture.ndim == 2 else picture.transpose(1, 2, 0), quality=60))


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
            f'<div{kind}><img decoding="sync" alt="{escape(panel.alt)}" src="{address(panel.picture)}">'
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
        f'.atlib-key-{key} button:nth-child({n}){{background-image:url("{address(picture)}")!important}}'
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
    description = f'<div class="atlib-about" hidden data-controls="{escape(json.dumps(about))}"></div>'
    css = "".join(f"<style>{control.style}</style>" for control in controls if control.style)
    reset = ipywidgets.Button(description="reset", tooltip="back to where the controls began")
    reset.add_class("atlib-reset")

    def back(_: object) -> None:
        for control, start in zip(controls, begin, strict=True):
            control.widget.index = start

    reset.on_click(back)
    row = ipywidgets.Box([*(control.widget for control in controls), *more, reset])
    row.add_class("atlib-controls")
    box = ipywidgets.VBox([ipywidgets.HTML(STYLE + css + description), row, shown])
    box.add_class("atlib-all")
    return box
