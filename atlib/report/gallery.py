"""The book's figures on photographs, as HTML: the frames of `photographs` in a grid that fits its column.

Each function returns HTML for a cell to end with, `HTML(gallery.saturated())`; with `mystnb: figure:` above it the page
gives it a number and a caption as to any figure. Text takes the page's colours, and maps its ground: where a map is
strong it is black on white, in the dark white on black. Pictures carry alternative texts of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import frames, photographs, webp
from .controls import percent
from .frames import Frames
from .photographs import TITLES

STYLE = """<style>
.photos{--own:#0072B2;--other:#D55E00;display:grid;grid-template-columns:repeat(var(--columns),minmax(0,1fr));
gap:.6rem .5rem;margin:.3rem 0;line-height:1.25;font-size:.85rem;text-align:left}
html[data-theme=dark] .photos{--own:#56B4E9;--other:#E69F00}
.photos img{width:100%;height:auto;display:block;margin:0 0 .2rem!important;padding:0!important;
border-radius:2px!important;background:none!important;filter:none!important;
outline:1px solid var(--pst-color-border,#ccc);outline-offset:-1px}
.photos img.map{filter:invert(1)!important}
html[data-theme=dark] .photos img.map,[data-jp-theme-light=false] .photos img.map{filter:none!important}
.photos p{margin:0!important}
.photos b{font-weight:600}
.photos .right,.photos .wrong{border-left:.2rem solid var(--own);padding-left:.3rem;display:block;
overflow-wrap:anywhere}
.photos .wrong{border-color:var(--other)}
.photos .chances{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:.1rem .4rem;align-content:start}
.photos .chances span{overflow-wrap:anywhere}
.photos .chances i{grid-column:1/3;height:.45rem;background:var(--bar,#8c8c8c);min-width:1px;margin-bottom:.25rem}
.photos .chances .head{grid-column:1/3;font-weight:600;min-height:2.5em;display:flex;align-items:end}
@media (max-width:40rem){.photos{--columns:var(--few)!important}.photos.wide>.alone{grid-column:1/-1;max-width:60%}}
</style>"""
UNCHANGED = "2"
SATURATIONS = ("0.25", "0.5", "1", "2", "4", "8", "16", "64", "1024", "inf")  # the paper's Figure 4, and the end of it


class Tile(NamedTuple):
    """A picture, H×W×3, or map, H×W, uint8; its alternative text; and what stands below it, as HTML."""

    picture: NDArray[np.uint8]
    alt: str
    below: str = ""
    kind: str = ""


def tile(one: Tile) -> str:
    """A tile as HTML."""
    kind = ' class="map"' if one.picture.ndim == 2 else ""
    side = one.picture.shape[0]
    source = webp.address(webp.smallest(one.picture))
    image = f'<img{kind} width="{side}" height="{side}" alt="{escape(one.alt)}" src="{source}">'
    return f"<div{one.kind and f' class={one.kind!r}'}>{image}{one.below}</div>"


def grid(parts: Sequence[str | Tile], columns: int, few: int, kind: str = "") -> str:
    """Tiles and pieces of HTML, `columns` in a line, on a phone `few`."""
    body = "".join(tile(part) if isinstance(part, Tile) else part for part in parts)
    return f'{STYLE}<div class="photos{kind and " " + kind}" style="--columns:{columns};--few:{few}">{body}</div>'


def level_words(level: str) -> str:
    """A level of saturation for readers."""
    return {"inf": "∞", UNCHANGED: "2, unchanged"}.get(level, level)


def class_of(found: Frames, number: int) -> str:
    """What a kept picture shows, in words."""
    return next(one["class"] for one in found.about["pictures"] if one["number"] == number)


def numbers(found: Frames) -> list[int]:
    """The kept pictures, the most typical first."""
    return [one["number"] for one in found.about["pictures"]]


def answer(found: Frames, number: int, chances: NDArray[np.float32]) -> str:
    """A network's answer with its probability, marked as right or wrong."""
    best = int(chances.argmax())
    label = next(one["label"] for one in found.about["pictures"] if one["number"] == number)
    kind, said = ("right", class_of(found, number)) if best == label else ("wrong", class_words(found, best))
    mark, chance = "✓" if kind == "right" else "✗", escape(percent(float(chances[best])))
    return f'<span class="{kind}">{mark} {escape(said)}, {chance}</span>'


def class_words(found: Frames, label: int) -> str:
    """A class of the data set in words; "clutter" is its class of pictures of anything else."""
    name = found.about["classes"][label]
    return "clutter" if name == "BACKGROUND_Google" else photographs.in_words(name)


# --- The paper's Figures 1, 3 and 4 -----------------------------------------------------------------------------------


def cues(found: Frames | None = None, number: int | None = None) -> str:
    """The paper's Figure 1: a photograph as it is, stylised, saturated and shuffled, side by side."""
    found = found or photographs.load()
    number = numbers(found)[0] if number is None else number
    what = class_of(found, number)
    style = found.about["styles"][0]
    shown = {
        "unchanged": ("saturation", UNCHANGED, f"{what}, a photograph"),
        "stylised": ("stylised", style, f"{what} in the colours and marks of a drawn texture"),
        "saturated, p = ∞": ("saturation", "inf", f"{what} in eight flat colours"),
        "shuffled, 4 × 4": ("patch-shuffle", "4", f"{what} cut into 16 squares in another order"),
    }
    tiles = [
        Tile(photographs.picture(found, number, distortion, level), alt, f"<b>{escape(title)}</b>")
        for title, (distortion, level, alt) in shown.items()
    ]
    return grid(tiles, 4, 2)


def saturated(found: Frames | None = None, number: int | None = None) -> str:
    """The paper's Figure 4: a photograph at ten levels of saturation, two lines of five."""
    found = found or photographs.load()
    number = numbers(found)[0] if number is None else number
    tiles = [
        Tile(
            photographs.picture(found, number, "saturation", level),
            f"{class_of(found, number)}, saturation {level_words(level)}",
            f"<b>p = {escape(level_words(level))}</b>",
        )
        for level in SATURATIONS
    ]
    return grid(tiles, 5, 3)


def stylised(found: Frames | None = None, count: int = 3) -> str:
    """The paper's Figure 3: photographs as they are and in every kept style, a line each."""
    found = found or photographs.load()
    styles = found.about["styles"]
    tiles = []
    for number in numbers(found)[:count]:
        what = class_of(found, number)
        tiles.append(Tile(photographs.picture(found, number), f"{what}, a photograph", f"<b>{escape(what)}</b>"))
        tiles += [
            Tile(photographs.picture(found, number, "stylised", style), f"{what} in style {place}", f"style {place}")
            for place, style in enumerate(styles, 1)
        ]
    return grid(tiles, 1 + len(styles), 3)


# --- The paper's Figures 2 and 6 --------------------------------------------------------------------------------------


def maps(found: Frames | None = None, number: int | None = None, kind: str = "smoothgrad") -> str:
    """The paper's Figure 2: a photograph unchanged, saturated (p = 1024) and stylised, and the three networks' maps of
    its class, with what each of them answers. kind: "smoothgrad" or "grad"."""
    found = found or photographs.load()
    number = numbers(found)[0] if number is None else number
    what, method = class_of(found, number), {"smoothgrad": "SmoothGrad", "grad": "gradient"}[kind]
    lines: Mapping[str, tuple[str, str]] = {
        "unchanged": ("saturation", UNCHANGED),
        "saturated": ("saturation", "1024"),
        "stylised": ("stylised", found.about["styles"][0]),
    }
    parts: list[str | Tile] = ["<p></p>", *(f"<p><b>{escape(title)}</b></p>" for title in titles(found))]
    for name, at in lines.items():
        parts.append(Tile(photographs.picture(found, number, *at), f"{what}, {name}", f"<b>{name}</b>"))
        seen = zip(
            titles(found),
            photographs.maps(found, number, *at, kind=kind),
            photographs.chances(found, number, *at),
            strict=True,
        )
        parts += [
            Tile(one, f"{method} map of the network {title} for {what}, {name}", answer(found, number, chances))
            for title, one, chances in seen
        ]
    return grid(parts, 4, 4)


def titles(found: Frames) -> list[str]:
    """The networks in words, in the order of the frames."""
    return [TITLES[one["name"]] for one in found.about["networks"]]


def confidence(found: Frames | None = None, number: int | None = None, count: int = 3) -> str:
    """The paper's Figure 6: a photograph whole and in patches, and beside it each network's likeliest classes with
    their probabilities: a bar each, that of the true class in another colour."""
    found = found or photographs.load()
    number = numbers(found)[0] if number is None else number
    what = class_of(found, number)
    label = next(one["label"] for one in found.about["pictures"] if one["number"] == number)
    places = {"unchanged": ("saturation", UNCHANGED)} | {f"{k} × {k}": ("patch-shuffle", k) for k in ("2", "4")}
    parts: list[str | Tile] = []
    for name, at in places.items():
        parts.append(Tile(photographs.picture(found, number, *at), f"{what}, {name}", f"<b>{name}</b>", "alone"))
        for title, chances in zip(titles(found), photographs.chances(found, number, *at), strict=True):
            bars = _bars(found, chances, label, count)
            parts.append(f'<div class="chances"><span class="head">{escape(title)}</span>{bars}</div>')
    return grid(parts, 4, 3, "wide")


def _bars(found: Frames, chances: NDArray[Any], label: int, count: int) -> str:
    """The likeliest classes; the true one in the place of the last if it isn't among them."""
    best = [int(place) for place in np.argsort(-chances, kind="stable")[:count]]
    best = best if label in best else [*best[:-1], label]
    return "".join(
        f"<span>{escape(class_words(found, one))}</span><span>{escape(percent(float(chances[one])))}</span>"
        f'<i style="width:{100 * float(chances[one]):.0f}%;--bar:var(--{"own" if one == label else "other"})"></i>'
        for one in best
    )


# --- The budgets slider of `shapes` -----------------------------------------------------------------------------------

CUES = {"S": "shape", "T": "texture", "N": "neither"}


def turns(found: Frames | None = None) -> str:
    """How the pictures of `widgets.budgets` were chosen, and how common each way from the normal network's answer to
    that of the strongest budget is; in Markdown."""
    conflict = (found or frames.load("shapes")).about["conflict"]
    shares = {one["answers"][0] + one["answers"][-1]: one["share"] for one in conflict}
    changed = ", ".join(
        f"{percent(share)} from {CUES[way[0]]} to {CUES[way[1]]}" for way, share in shares.items() if way[0] != way[1]
    )
    same = ", ".join(f"{percent(share)} by {CUES[way[0]]}" for way, share in shares.items() if way[0] == way[1])
    together = sum(share for way, share in shares.items() if way[0] == way[1])
    return (
        "Each picture stands for one common pair of answers, the normal network's and that of the strongest budget. "
        f"Over all pictures whose cues conflict, the two networks agree in {percent(together)} of cases ({same}); in "
        f"the others the answer moves ({changed})."
    )
