"""Three photographs, one distortion at a time, and what three networks make of them: a figure to explore.

It looks and works like the front page's (`hero`), with two choices before the slider. The page holds what is said at
each level; pictures and maps are the sprites of `explored`, which are loaded when the reader gets there, and those of
another photograph or distortion when it is chosen (book/live/explorer.js). Without a script it shows one frame.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from .. import rows
from ..files import checkout_path, results_dir
from . import explored, gallery, hero, live, photographs, webp
from .explored import UNCHANGED
from .frames import Frames
from .photographs import NETWORKS, TITLES

FOLDER = f"../results/frames/{explored.NAME}/"  # of the sprites, as seen from notebooks/ and from the built page
START = ("saturation", "64")
THUMB = 64  # pixels
NAMES = {
    "saturation": "Saturation",
    "patch-shuffle": "Shuffled squares",
    "low-pass": "Low-pass filter",
    "high-pass": "High-pass filter",
    "stylised": "Another style",
}
# Where a slider stands when its distortion is first chosen (of saturation as on the front page, else in the middle),
# and the levels that have a mark below it.
FIRST = {
    "saturation": "64",
    "patch-shuffle": "4",
    "low-pass": "0.3",
    "high-pass": "0.2",
    "stylised": photographs.STYLES[0],
}
MARKS: Mapping[str, Mapping[str, str]] = {
    "saturation": {"0": "0, grey", "2": "2, unchanged", "inf": "∞, eight colours"},
    "patch-shuffle": {UNCHANGED: "whole", "8": "64 squares"},
    "low-pass": {UNCHANGED: "unchanged", "0.1": "coarsest"},
    "high-pass": {UNCHANGED: "unchanged", "0.5": "finest"},
    "stylised": {
        UNCHANGED: "unchanged",
        explored.LEVELS["stylised"][-1]: f"style {len(explored.LEVELS['stylised']) - 1}",
    },
}
MEASURED = "generated-microast"  # the stylised test set whose styles and stylist are those of the sprites


def words(distortion: str, level: str) -> str:
    """A level, said so that a listener understands it."""
    if distortion == "saturation":
        return hero.words(level)
    if level == UNCHANGED:
        return "whole picture" if distortion == "patch-shuffle" else "unchanged"
    if distortion == "stylised":
        return f"style {style_number(level)} of {len(explored.LEVELS[distortion]) - 1}, a drawn texture"
    return {
        "patch-shuffle": f"{level} × {level} squares in another order",
        "low-pass": f"{level}: nothing above {level} of the Nyquist frequency is left",
        "high-pass": f"{level}: nothing below {level} of the Nyquist frequency is left but the mean",
    }[distortion]


def alternative(distortion: str, level: str) -> str:
    """What has been done to a picture, for its alternative text."""
    if distortion == "saturation":
        return f"saturation {words(distortion, level)}"
    if level == UNCHANGED:
        return "unchanged"
    if distortion == "stylised":
        return f"restyled, style {style_number(level)} of {len(explored.LEVELS[distortion]) - 1}"
    if distortion == "patch-shuffle":
        return f"cut into {level} × {level} squares and shuffled"
    return f"{NAMES[distortion].lower()}, cut-off {level}"


def style_number(level: str) -> int:
    """A style's place among those that are shown, from 1."""
    return photographs.STYLES.index(level) + 1


def slug(distortion: str, level: str) -> str:
    """A level as the page's address names it."""
    if level == UNCHANGED:
        return "unchanged"
    return str(style_number(level)) if distortion == "stylised" else level


def measured(distortion: str, level: str) -> tuple[str, str]:
    """The distortion and level under which the rows count all test pictures."""
    if level == UNCHANGED:
        return "clean", ""
    return distortion, MEASURED if distortion == "stylised" else level


def levels_of(distortion: str, frame: pd.DataFrame, archive: rows.Archive) -> list[dict[str, Any]]:
    """What the page says of all test pictures at each level of a distortion."""
    content = []
    for level in explored.LEVELS[distortion]:
        place = measured(distortion, level)
        shares = [hero.share(frame, name, place[1], distortion=place[0]) for name in NETWORKS]
        content.append(
            {
                "slug": slug(distortion, level),
                "words": words(distortion, level),
                "alt": alternative(distortion, level),
                "shares": [round(one, 4) for one in shares],
                "ways": hero.ways(place[1], place[0], archive),
            }
        )
    return content


def answers_of(about: Mapping[str, Any]) -> dict[str, list[list[list[Any]]]]:
    """What each network says of each picture at each level: words, whether it is right, and how sure it is."""
    found = Frames({}, dict(about))
    content = {}
    for one in about["pictures"]:
        for distortion in explored.LEVELS:
            name = f"{one['number']}-{distortion}"
            content[name] = [
                [_answer(found, one, int(best), chance) for best, chance, _ in line] for line in about["answers"][name]
            ]
    return content


def _answer(found: Frames, picture: Mapping[str, Any], best: int, chance: float) -> list[Any]:
    right = best == picture["label"]
    said = picture["class"] if right else gallery.class_words(found, best)
    return [said, right, hero.whole(chance)]


def thumbnail(number: int, folder: Path | None = None) -> str:
    """A small picture, unchanged, as a data: address."""
    sprite = (folder or results_dir() / "frames") / explored.NAME / f"{number}-patch-shuffle-shown.webp"
    with Image.open(sprite) as column:
        whole = column.convert("RGB").crop((0, 0, column.width, column.width))
    content = webp.smallest(np.asarray(whole.resize((THUMB, THUMB), Image.Resampling.LANCZOS)))
    return webp.address(content)


def html(frame: pd.DataFrame, folder: Path | None = None) -> str:
    """The explorer as HTML, whose pictures lie in FOLDER. frame: published rows; folder: of the frames.

    Missing if the frames, or a row of theirs, aren't there.
    """
    about, archive = explored.load(folder), rows.archive()
    content = {
        "folder": FOLDER,
        "networks": [TITLES[name] for name in NETWORKS],
        "pictures": [{"number": one["number"], "name": one["class"]} for one in about["pictures"]],
        "distortions": [
            {
                "name": name,
                "title": NAMES[name],
                "first": levels.index(FIRST[name]),
                "marks": [[levels.index(level), text] for level, text in MARKS[name].items()],
                "levels": levels_of(name, frame, archive),
            }
            for name, levels in explored.LEVELS.items()
        ],
        "answers": answers_of(about),
    }
    return page_html(content, about, folder)


def page_html(content: dict[str, Any], about: Mapping[str, Any], folder: Path | None = None) -> str:
    """The page's part around what it says (`html`)."""
    names = list(explored.LEVELS)
    start = content["distortions"][names.index(START[0])]
    at, picture = explored.LEVELS[START[0]].index(START[1]), content["pictures"][0]
    said = content["answers"][f"{picture['number']}-{START[0]}"][at]
    level, sprite = start["levels"][at], f"{FOLDER}{picture['number']}-{START[0]}"
    columns = "".join(
        _column(n, content["networks"][n], said[n], level, f"{sprite}-maps.webp") for n in range(len(NETWORKS))
    )
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    css = "".join(
        (checkout_path("book/live") / name).read_text(encoding="utf-8") for name in ("hero.css", "explorer.css")
    )
    shown = f"{picture['name']}, {level['alt']}"
    return f"""<style>{css}</style>
<div class="hero explorer" data-explorer="root" role="group"
aria-label="Three photographs, five distortions, three networks"
style="--levels:{len(start["levels"])};--networks:{len(NETWORKS)};--at:{at}">
<div class="hero-control">{_photographs(content, folder)}{_distortions(content)}
<div class="explorer-level"><label for="explorer-level" data-explorer="title">{start["title"]}</label>
<output for="explorer-level" aria-live="off" data-explorer="words">{escape(level["words"])}</output>
<button type="button" class="explorer-reset" data-explorer="reset">reset</button></div>
<div class="hero-track"><input type="range" id="explorer-level" data-explorer="slider" min="0"
max="{len(start["levels"]) - 1}" step="1" value="{at}" aria-valuetext="{escape(level["words"])}">
<div class="hero-marks" data-explorer="marks"></div></div></div>
<div class="hero-row">
<div class="hero-photo">
<h3><span data-explorer="name">{escape(picture["name"].capitalize())}</span><small>from Caltech-101</small></h3>
<div class="hero-tile"><img loading="lazy" data-explorer="shown" alt="{escape(shown)}" src="{sprite}-shown.webp"></div>
<p class="hero-text"><span data-explorer="title">{start["title"]}</span>
<span data-explorer="words">{escape(level["words"])}</span></p></div>
{columns}</div>
<p class="hero-ways" data-explorer="ways">{escape(level["ways"])}</p>
<p class="explorer-fault" data-explorer="fault" role="alert" hidden></p>
<p class="hero-spoken" data-explorer="spoken" role="status"></p>
<details><summary>How the pictures were chosen, and what this rests on</summary>
{rests_on(about)}</details>
<script type="application/json" data-explorer="data">{data}</script>
</div>
<script>{live.bundle("explorer.js")}</script>"""


def _photographs(content: Mapping[str, Any], folder: Path | None) -> str:
    """The photographs to choose from, by looking at them."""
    options = "".join(
        f'<label><input type="radio" name="explorer-photo" value="{n}"{" checked" if n == 0 else ""}>'
        f'<i aria-hidden="true" style="background-image:url({thumbnail(one["number"], folder)})"></i>'
        f"<span>{escape(one['name'])}</span></label>"
        for n, one in enumerate(content["pictures"])
    )
    return f'<fieldset class="explorer-photos"><legend>Photograph</legend>{options}</fieldset>'


def _distortions(content: Mapping[str, Any]) -> str:
    """The distortions to choose from."""
    options = "".join(
        f'<label><input type="radio" name="explorer-distortion" value="{n}"'
        f"{' checked' if one['name'] == START[0] else ''}><span>{escape(one['title'])}</span></label>"
        for n, one in enumerate(content["distortions"])
    )
    return f'<fieldset class="explorer-distortions"><legend>What is done to it</legend>{options}</fieldset>'


def _column(place: int, title: str, said: list[Any], level: Mapping[str, Any], maps: str) -> str:
    """One network: its map, its answer, and the share of all pictures that it recognises."""
    answer, right, chance = said
    share = level["shares"][place]
    return f"""<section class="hero-column{"" if right else " wrong"}" data-explorer="network" style="--n:{place}">
<h3>{title[0].upper()}{title[1:]}</h3>
<div class="hero-tile explorer-map">
<img loading="lazy" data-part="map" alt="SmoothGrad map ({title}), {escape(level["alt"])}" src="{maps}"></div>
<p class="hero-said" data-part="said">{"✓" if right else "✗"} <b>{escape(answer)}</b> {escape(chance)}</p>
<span class="hero-share"><i data-part="share" style="width:{100 * share:.2f}%"></i></span>
<p class="hero-text" data-part="text">recognises {hero.whole(share)} of all test pictures</p></section>"""


def rests_on(about: Mapping[str, Any]) -> str:
    """What the pictures and shares rest on, in sentences."""
    count = len(about["pictures"])
    texts = (
        f"The {count} photographs were chosen by a rule, not by eye: they are the most typical of the test pictures "
        "that all three networks recognise unchanged. Typical means that each network recognises or misses the picture "
        "at the levels of saturation at which it recognises or misses most others; ties are broken by how it does "
        "when it is cut into squares. Filters and styles played no part in the choice.",
        "Shares and counts are of all test pictures; for another style, of the test pictures restyled, each in a style "
        "of its own, by the same method (MicroAST). Each network comes from one training run (one seed), at 112 "
        "pixels, fine-tuned from the same ImageNet network; the budget of the attacks was 4/255. Maps are strong where "
        "a small change of the picture "
        f"would change the probability of its true class most (SmoothGrad, {about['samples']} noisy copies or more, "
        "each map scaled to its own range). “Clutter” is the data set's class for pictures of none of its objects.",
        f"Photographs: {escape(about['credit'])}.",
    )
    return "".join(f"<p>{text}</p>" for text in texts)
