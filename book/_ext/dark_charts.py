"""A second version of each chart for dark pages, on the page's own ground: black ink turns light, and so do colours
that are too dark to be read there; photographs, whose places the chart's PNG names (atlib.report.plots.Drawing), stay.
And a box around both versions, in which a chart scrolls sideways where it would be too small to read, on a phone."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sphinx.application import Sphinx

from atlib.report import palette

IMAGE = re.compile(r'<img ([^>]*src="[^"]*_images/([^"/]+)\.png"[^>]*?)\s*/?>')
LIGHT = 0.92  # what black becomes
READABLE = 0.8  # of a chart's own width: its smallest common letters, 9 points at 110 dpi, are then 11 pixels high
GROUND, CONTRAST = 18 / 255, 4.5  # of a dark page, and what its letters need (WCAG)
UNLIKE = 0.12  # a colour further than this from every mixture of an ink with white stays as it is


def inks() -> np.ndarray:
    """Black, and the colours of the report's charts, as n×3 values in [0, 1]."""
    used = dict.fromkeys([*palette.FAMILIES.values(), *palette.COLOURS])
    rgb = [[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in used]
    return np.array([[0.0, 0.0, 0.0], *(one for one in rgb if max(one) - min(one) > 0.1)])


def luminance(colour: np.ndarray) -> float:
    """WCAG's relative luminance of a colour in [0, 1]."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def readable(ink: np.ndarray) -> np.ndarray:
    """A colour as light as letters on a dark page have to be; most are as they are, black is LIGHT."""
    if not ink.any():
        return np.full(3, LIGHT)
    dark = luminance(np.full(3, GROUND)) + 0.05
    shares = (share for share in np.linspace(0, 1, 51) if luminance(ink + share * (1 - ink)) + 0.05 >= CONTRAST * dark)
    return ink + next(shares) * (1 - ink)


def turned(chart: Image.Image) -> Image.Image:
    """A chart drawn on white, for a dark ground: the white is transparent, and black and grey are light.

    Colours stay, or become as light as their letters have to be.
    """
    pixels = np.asarray(chart.convert("RGB"))
    each, places = np.unique(pixels @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True)  # a chart has few colours
    colour, cover = on_dark(np.stack([each >> 16, each >> 8 & 255, each & 255], 1) / 255)
    out = (255 * np.column_stack([colour, cover])).round().astype(np.uint8)[places.reshape(pixels.shape[:2])]
    for box in filter(None, chart.info["Pictures"].split(";")):
        left, top, right, bottom = (max(0, int(edge)) for edge in box.split(","))
        out[top:bottom, left:right, :3] = pixels[top:bottom, left:right]
        out[top:bottom, left:right, 3] = 255
    return Image.fromarray(out)


def on_dark(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours on white, n×3 in [0, 1], as they are on a dark ground: n×3, and how far each covers it, n."""
    away, span = 1 - rgb, 1 - inks()
    # of each ink as much as comes nearest to the colour, on white
    amounts = (away @ span.T / (span**2).sum(1)).clip(0, 1)
    misses = np.abs(away[:, None] - amounts[:, :, None] * span).max(2)
    best = misses.argmin(1)[:, None]
    amount, missed = (np.take_along_axis(values, best, 1)[:, 0] for values in (amounts, misses))
    grey = best[:, 0] == 0
    colour = np.array([readable(ink) for ink in inks()])[best[:, 0]]
    cover = np.where(grey, amount**0.7, amount)  # grey lines stay as clear as on white
    other = missed > UNLIKE
    colour[other], cover[other] = rgb[other], 1.0
    return colour, cover


def add(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    """Beside each chart of a page its dark version, which is loaded when it is first shown, in one box."""
    if "body" not in context:
        return
    sources = {Path(name).stem: Path(app.srcdir, path) for path, name in app.builder.images.items()}

    def boxed(found: re.Match[str]) -> str:
        attributes, name = found.groups()
        source = sources.get(name)
        if source is None or not source.is_file():
            return found[0]
        with Image.open(source) as chart:
            if "Pictures" not in chart.info:
                return found[0]
            dark = Path(app.outdir, "_images", f"{name}-dark.png")
            if not dark.is_file():  # the name is a hash of the chart
                dark.parent.mkdir(parents=True, exist_ok=True)
                turned(chart).save(dark, optimize=True)
            wide = round(READABLE * chart.width)
        second = attributes.replace(f"{name}.png", f"{name}-dark.png")
        both = f'<img class="chart-light" {attributes} /><img class="chart-dark" loading="lazy" {second} />'
        return f'<span class="chart" tabindex="0" role="group" aria-label="chart" style="--wide:{wide}px">{both}</span>'

    context["body"] = IMAGE.sub(boxed, context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
