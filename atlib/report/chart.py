"""Small charts as SVG that need nothing else: their colours follow the page, light or dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 320, 200
LEFT, RIGHT, TOP, BOTTOM = 34, 8, 24, 30


@dataclass(frozen=True)
class Series:
    """One line of a chart: a name for its legend, a CSS class for its colour, and (value, low, high) at each level.

    None where there is no value; low and high may be NaN.
    """

    name: str
    kind: str
    points: Sequence[tuple[float, float, float] | None]


def chart(title: str, levels: Sequence[str], series: Sequence[Series]) -> str:
    """Fractions against levels at equal distances, each series a line with its intervals, as an <svg>."""
    step = (WIDTH - LEFT - RIGHT) / max(1, len(levels))
    parts = [f'<text class="title" x="{LEFT}" y="14">{escape(title)}</text>']
    for tick in (0.0, 0.5, 1.0):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(tick):.1f}" y2="{_y(tick):.1f}"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{_y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for place, level in enumerate(levels):
        x = LEFT + step * (place + 0.5)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="middle">{escape(level)}</text>')
    for number, one in enumerate(series):
        shift = 2.5 * (number - (len(series) - 1) / 2)
        parts.append(_line(one, levels, step, shift))
    descriptions = [f"{one.name}: {said}" for one in series if (said := _said(one, levels))]
    label = escape("; ".join([f"{title}, accuracy", *descriptions]), quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _said(one: Series, levels: Sequence[str]) -> str:
    """The values of a line in words, for readers who hear the page."""
    return ", ".join(f"{point[0]:.2f} at {level}" for level, point in zip(levels, one.points, strict=True) if point)


def _y(value: float) -> float:
    return TOP + (1 - value) * (HEIGHT - TOP - BOTTOM)


def _line(one: Series, levels: Sequence[str], step: float, shift: float) -> str:
    places = [LEFT + step * (number + 0.5) + shift for number in range(len(levels))]
    found = [(x, level, point) for x, level, point in zip(places, levels, one.points, strict=True) if point]
    path = " ".join(f"{x:.1f},{_y(point[0]):.1f}" for x, _, point in found)
    parts = [f'<polyline points="{path}"/>'] if len(found) > 1 else []
    for x, level, (value, low, high) in found:
        if low == low and high == high:
            ends = f'y1="{_y(max(0, low)):.1f}" y2="{_y(min(1, high)):.1f}"'
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" {ends}/>')
        label = escape(f"{one.name}, {level}: {value:.3f}")
        parts.append(f'<circle cx="{x:.1f}" cy="{_y(value):.1f}" r="3"><title>{label}</title></circle>')
    return f'<g class="{one.kind}">{"".join(parts)}</g>'


def legend(series: Sequence[tuple[str, str]]) -> str:
    """The names of the lines, (name, CSS class), each with its colour."""
    keys = "".join(f'<li class="{kind}"><i></i>{escape(name)}</li>' for name, kind in series)
    return f'<ul class="legend">{keys}</ul>'
