"""The front page's picture: a photograph, a slider of saturation, and what three networks make of it.

The frames are those of `photographs`; everything is in the page itself, so that it works from the disk. Pictures and
maps are two columns of frames, which a script (book/live/hero.js) moves behind four windows; without it the page shows
one level.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any

import pandas as pd

from .. import rows
from ..errors import InputError
from ..files import checkout_path
from . import gallery, ledger, live, photographs, tables, webp
from .controls import percent
from .frames import Frames
from .photographs import NETWORKS, TITLES

START = "64"  # the strongest level at which the photograph still has more than eight colours
PLAIN, TRAINED, CONTROL = "normal", "pgd-linf-4", "underfit"
WORDS = {
    "0": "0 = grey, except where a channel is exactly 0 or 1",
    "2": "2 = unchanged",
    "64": "64: most channels near 0 or 1",
    "1024": "1024: nearly every channel at 0 or 1",
    "inf": "∞ = every channel at 0 or 1, eight colours",
}


def words(level: str) -> str:
    """A level of saturation, said so that a listener understands it."""
    value = float(level)
    return WORDS.get(level, f"{level}: {'paler' if value < 2 else 'stronger'} than the photograph")


def share(frame: pd.DataFrame, name: str, level: str, distortion: str = "saturation") -> float:
    """The share of all test pictures that a network recognises at a level of a distortion, from its published row."""
    row = rows.find_row(f"{NETWORKS[name]}:{distortion}@{level}/accuracy", frame)
    return float(row["value"])


def ways(level: str, distortion: str = "saturation", archive: rows.Archive | None = None) -> str:
    """Of 100 test pictures, how many speak for the network trained against attacks, and how many against it."""
    for_, against = photographs.ways(level, TRAINED, PLAIN, archive, distortion)
    more, less = photographs.ways(level, TRAINED, CONTROL, archive, distortion)
    return (
        f"Of 100 test pictures at this level, the network trained against attacks recognises {100 * for_:.0f} that the "
        f"normal one misses; {100 * against:.0f} go the other way. Against the one stopped early: {100 * more:.0f} and "
        f"{100 * less:.0f}."
    )


def whole(value: float) -> str:
    """A share in whole per cent that isn't torn apart at the end of a line."""
    return percent(value).replace(" ", "\u00a0")


def answer_html(said: str, right: bool, chance: float) -> str:
    """A network's answer with its probability."""
    return f"{'✓' if right else '✗'} <b>{escape(said)}</b> {escape(whole(chance))}"


def frames_of(found: Frames, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """What the page says at each level, in the order of the slider."""
    number = gallery.numbers(found)[0]
    what = gallery.class_of(found, number)
    label = found.about["pictures"][0]["label"]
    entries = []
    for level in photographs.SATURATION:
        seen = []
        for name, chances in zip(NETWORKS, photographs.chances(found, number, "saturation", level), strict=True):
            best = int(chances.argmax())
            said = what if best == label else gallery.class_words(found, best)
            recognised = share(frame, name, level)
            seen.append(
                {
                    "said": answer_html(said, best == label, float(chances[best])),
                    "right": best == label,
                    "share": round(recognised, 4),
                    "text": f"recognises {whole(recognised)} of all test pictures",
                    "map": f"SmoothGrad map ({TITLES[name]}), saturation {words(level)}",
                    "spoken": f"{TITLES[name]}: {said}, {'right' if best == label else 'wrong'}",
                }
            )
        entries.append(
            {
                "level": level,
                "words": words(level),
                "shown": f"{what}, saturation {words(level)}",
                "seen": seen,
                "ways": ways(level),
                "spoken": "; ".join(str(one.pop("spoken")) for one in seen),
            }
        )
    return entries


def other_seeds(frame: pd.DataFrame) -> str:
    """What the networks of the other seeds recognise where every channel is at 0 or 1; empty if none is published.

    The sentence says that they agree: InputError unless those trained against attacks lead at every seed.
    """
    mine = tables.in_main_setting(frame, "caltech101")
    mine = mine[(mine["distortion"] == "saturation") & (mine["level"] == "inf") & (mine["metric"] == "accuracy")]
    mine = mine[~mine["run"].isin(NETWORKS.values())].sort_values("seed")
    found = {name: mine.loc[mine["model"] == name, "value"].tolist() for name in TITLES}
    if not found[TRAINED] or not found[PLAIN]:
        return ""
    if any(max(of) >= min(found[TRAINED]) for name, of in found.items() if of and name != TRAINED):
        raise InputError("the front page says that the other seeds agree, and the rows no longer do: read it again")
    number = f"{ledger.in_words(len(found[TRAINED]))} seed{'s' if len(found[TRAINED]) > 1 else ''}"
    shares = (f"{TITLES[name]} {' and '.join(map(whole, of))}" for name, of in found.items() if of)
    return f" The other {number} agree at ∞: {'; '.join(shares)}."


def rests_on(found: Frames, frame: pd.DataFrame) -> str:
    """What the picture and the shares rest on, in sentences."""
    known, total = photographs.known(), rows.find_row(f"{NETWORKS[PLAIN]}:clean@/accuracy", frame)["total"]
    alike = photographs.like_most("saturation", photographs.SATURATION)
    exact = int((alike == len(NETWORKS) * len(photographs.SATURATION))[known].sum())
    what = gallery.class_of(found, gallery.numbers(found)[0])
    texts = (
        f"The picture was chosen by a rule, not by eye. Of the {total:,} test pictures of Caltech-101, all three "
        f"networks recognise {int(known.sum()):,} unchanged. For {exact} of these, each network is right or wrong at "
        "each level just as it is for most pictures; we show the one of them that is also the most typical when cut "
        "into patches. To send somebody the picture at full saturation, add <code>#saturation=inf</code> to this "
        "page's address.",
        "Each network comes from one training run (one seed), at 112 pixels, fine-tuned from the same ImageNet "
        "network; the budget of the attacks "
        f"was 4/255.{other_seeds(frame)} Maps are strong where a small change of the picture would change the "
        f"probability of “{escape(what)}” most (SmoothGrad, {found.about['samples']} noisy copies, each map scaled to "
        "its own range). "
        "“Clutter” is the data set's class for pictures of none of its objects.",
        f"Photograph: {escape(found.about['credit'])}.",
    )
    return "".join(f"<p>{text}</p>" for text in texts)


def html(frame: pd.DataFrame, found: Frames | None = None, start: str = START) -> str:
    """The hero as HTML that needs nothing else. frame: published rows; start: the level at first, and without a script.

    Missing if the frames, or a row of theirs, aren't there.
    """
    found = found or photographs.load()
    number, levels = gallery.numbers(found)[0], list(photographs.SATURATION)
    entries, at = frames_of(found, frame), levels.index(start)
    sprites = {
        name: webp.address(found.arrays[f"{number}/saturation/{kind}"].tobytes())
        for name, kind in (("shown", "shown"), ("maps", "smoothgrad"))
    }
    style = (checkout_path("book/live") / "hero.css").read_text(encoding="utf-8")
    data = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).replace("</", "<\\/")
    columns = "".join(
        _column(name, entries[at]["seen"][n], n, share(frame, name, "2")) for n, name in enumerate(NETWORKS)
    )
    variables = ";".join(
        [f"--levels:{len(levels)}", f"--networks:{len(NETWORKS)}", f"--at:{at}"]
        + [f"--{name}:url({address})" for name, address in sprites.items()]
    )
    return f"""<style>{style}</style>
<div class="hero" data-hero="root" role="group" aria-label="One photograph, three networks" style="{variables}">
{_control(entries[at]["words"], levels, at)}
<div class="hero-row">
<div class="hero-photo"><h3>{escape(gallery.class_of(found, number).capitalize())}<small>from Caltech-101</small></h3>
<div class="hero-tile hero-shown" role="img" data-hero="shown" aria-label="{escape(entries[at]["shown"])}"></div>
<p class="hero-text">Saturation <span data-hero="words">{escape(entries[at]["words"])}</span></p></div>
{columns}</div>
<p class="hero-ways" data-hero="ways">{escape(entries[at]["ways"])}</p>
<p class="hero-text">One network of each kind, on Caltech-101, and one picture: an example. The answer rests on
three training runs (seeds) or more of each kind, and on all test pictures.</p>
<p class="hero-spoken" data-hero="spoken" role="status"></p>
<details><summary>How the picture was chosen, and what this rests on</summary>
{rests_on(found, frame)}</details>
<script type="application/json" data-hero="data">{data}</script>
</div>
<script>{live.bundle("hero.js")}</script>"""


def _control(said: str, levels: list[str], at: int) -> str:
    """The slider with its three marks, each of which is a way back to it."""
    marks = {"0": "0, grey", "2": "2, unchanged", "inf": "∞, eight colours"}
    buttons = "".join(
        f'<button type="button" data-hero="mark" data-place="{levels.index(level)}" '
        f'style="--place:{levels.index(level) / (len(levels) - 1):.3f}">{text}</button>'
        for level, text in marks.items()
    )
    return f"""<div class="hero-control"><label for="hero-level">Saturation</label>
<output for="hero-level" aria-live="off" data-hero="words">{escape(said)}</output>
<div class="hero-track"><input type="range" id="hero-level" data-hero="slider" min="0" max="{len(levels) - 1}" step="1"
value="{at}" aria-valuetext="{escape(said)}"><div class="hero-marks">{buttons}</div></div></div>"""


def _column(name: str, seen: dict[str, Any], place: int, clean: float) -> str:
    """One network: its map, its answer, and the share of all pictures that it recognises."""
    title = TITLES[name]
    return f"""<section class="hero-column{"" if seen["right"] else " wrong"}" data-hero="network">
<h3>{title[0].upper()}{title[1:]}<small>unchanged: {whole(clean)}</small></h3>
<div class="hero-tile hero-map" role="img" data-part="map" style="--n:{place}" aria-label="{escape(seen["map"])}"></div>
<p class="hero-said" data-part="said">{seen["said"]}</p>
<span class="hero-share"><i data-part="share" style="width:{100 * seen["share"]:.2f}%"></i></span>
<p class="hero-text" data-part="text">{escape(seen["text"])}</p></section>"""
