"""All verdicts in one picture: a forest plot of the claims, as HTML that a style sheet lays out (book/_static).

Every claim is a line, every data set on which it has been judged a mark with its interval, in units of the claim's
smallest effect and signed so that the claim points to the right. A hollow mark is the same number against the network
stopped early. Positions are percentages, so that the picture is as wide as its column, on a phone too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from html import escape

from . import ledger, tables
from .claims import Claim, Ledger
from .rule import NOT_RUN, Judged
from .verdicts import Decision, Verdict

TICKS = (-10, -3, -1, 0, 1, 3, 10)
REACH = 40.0  # in units of the smallest effect; what lies beyond is drawn at the edge
RAW_TICKS = (-0.3, -0.1, 0, 0.1, 0.3)  # where the smallest effect is zero, in the statistic's own unit
RAW_REACH, RAW_UNIT = 1.0, 0.05


def place(value: float, unit: float = 1.0, reach: float = REACH) -> float:
    """Where a number lies from left (0) to right (100): linear within ±unit, logarithmic far outside (asinh)."""
    return 50 + 50 * max(-1.0, min(1.0, math.asinh(value / unit) / math.asinh(reach / unit)))


def signed(judged: Judged, direction: str) -> tuple[float, float, float]:
    """Effect, low and high in units of the smallest effect, positive where the claim expects them."""
    effect, low, high = judged.units
    return (-effect, -high, -low) if direction == "less" else (effect, low, high)


def forest(found: Sequence[Verdict], known: Ledger, href: str = "") -> str:
    """The whole plot: primary claims first, then by section of the paper; what hasn't been judged is listed below.

    href: the address of the ledger's page, before "#claim-…" (empty: this page).
    """
    judged = [one for one in found if any(_drawn(decision) for decision in one.decisions)]
    primary = [one for one in judged if known.is_primary(one.claim.id)]
    rest = [one for one in judged if not known.is_primary(one.claim.id)]
    groups = [("Primary claims", primary, False)]
    for section in sorted({one.claim.section for one in rest}, key=lambda name: (name != "abstract", name)):
        mine = [one for one in rest if one.claim.section == section and one.claim.e > 0]
        title = "Abstract" if section == "abstract" else f"Section {section}"
        groups.append((title, mine, False))
    groups.append(("Claims whose smallest effect is zero", [one for one in rest if one.claim.e == 0], True))
    body = "".join(_group(title, mine, href, raw) for title, mine, raw in groups if mine)
    return f'<div class="forest">{_legend()}{body}{_unjudged(found, judged, href)}</div>'


def primary_marks(found: Mapping[str, Verdict], known: Ledger, href: str) -> str:
    """The primary claims alone, by the part of the argument that they stand for."""
    parts = {primary.id: primary.part for primary in known.primary}
    lines = "".join(_line(_on_photographs(found[id]), href, False, parts[id]) for id in parts)
    return f'<div class="forest">{_legend()}<div class="forest-group">{_axis(False)}{lines}</div></div>'


def _on_photographs(one: Verdict) -> Verdict:
    """A claim on the data sets of photographs that have judged it, or else on `shapes`."""
    drawn = tuple(d for d in one.decisions if _drawn(d))
    photographs = tuple(d for d in drawn if not d.dataset.startswith("shapes"))
    return replace(one, decisions=photographs or drawn[:1])


def _drawn(decision: Decision) -> bool:
    return decision.judged.verdict != NOT_RUN


def _legend() -> str:
    words = (
        ("holds", "holds"),
        ("holds, not beyond the control", "holds, not beyond the control"),
        ("does not hold", "does not hold"),
        ("undecided", "undecided"),
    )
    marks = "".join(f'<span class="forest-key {ledger.css_class(v)}"><i></i>{escape(text)}</span>' for v, text in words)
    hollow = '<span class="forest-key forest-control"><i></i>against the network stopped early</span>'
    unit = '<span class="forest-unit">Axis: units of the smallest effect that counts.</span>'
    return f'<p class="forest-legend">{marks}{hollow}{unit}</p>'


def _group(title: str, mine: Sequence[Verdict], href: str, raw: bool) -> str:
    lines = "".join(_line(one, href, raw) for one in mine)
    unit = ' <span class="forest-unit">(in the statistic’s own unit)</span>' if raw else ""
    return f'<div class="forest-group"><p class="forest-title">{escape(title)}{unit}</p>{_axis(raw)}{lines}</div>'


def _axis(raw: bool) -> str:
    at = _raw if raw else place
    ticks = "".join(
        f'<span style="left:{at(tick):.2f}%">{f"{tick:g}".replace("-", "−")}</span>'
        for tick in (RAW_TICKS if raw else TICKS)
    )
    return f'<p class="forest-axis" aria-hidden="true">{ticks}</p>'


def _raw(value: float) -> float:
    return place(value, RAW_UNIT, RAW_REACH)


def _line(one: Verdict, href: str, raw: bool, title: str = "") -> str:
    claim = one.claim
    marks = "".join(_marks(claim, decision, href, raw) for decision in one.decisions if _drawn(decision))
    waiting = [tables.named(d.dataset) for d in one.decisions if d.counts and not _drawn(d)]
    open_ = f' <span class="forest-waiting">not run: {escape(", ".join(waiting))}</span>' if waiting else ""
    part = f"<strong>{escape(title)}.</strong> " if title else ""
    name = f'<a href="{href}#claim-{claim.id}">{escape(tables.claim_words(claim))}</a>'
    return f'<div class="forest-line"><p>{part}{name}{open_}</p>{marks}</div>'


def _marks(claim: Claim, decision: Decision, href: str, raw: bool) -> str:
    """One data set's strip: its mark with interval, and the hollow one of the control."""
    shown = tables.named(decision.dataset) + ("" if decision.counts else " (shown only)")
    verdict = ledger.verdict_words(decision.verdict, decision.kind)
    after = ", registered after these rows" if decision.dataset in claim.seen else ""
    label = f"{shown}: {verdict}{after}, {ledger.number_words(decision.judged)}"
    control, beside = "", decision.beside
    if beside is not None and len(beside.values) > 1:
        control = _mark(beside, claim.direction, raw, "forest-control")
        label += f"; against the network stopped early {ledger.number_words(beside)}"
    mark = _mark(decision.judged, claim.direction, raw, ledger.css_class(decision.verdict))
    zero = '<i class="forest-band"></i>' if not raw else ""
    equal = " forest-equal" if claim.direction == "equal" else ""
    return (
        f'<a class="forest-strip{equal}" href="{href}#claim-{claim.id}" title="{escape(label)}" '
        f'aria-label="{escape(label)}"><span class="forest-set">{escape(shown)}</span>'
        f'<span class="forest-field">{zero}<i class="forest-zero"></i>{control}{mark}</span></a>'
    )


def _mark(judged: Judged, direction: str, raw: bool, kind: str) -> str:
    at = _raw if raw else place
    effect, low, high = (at(value) for value in signed(judged, direction))
    return (
        f'<i class="forest-bar {kind}" style="left:{low:.2f}%;width:{max(high - low, 0.2):.2f}%"></i>'
        f'<i class="forest-dot {kind}" style="left:{effect:.2f}%"></i>'
    )


def _unjudged(found: Sequence[Verdict], judged: Sequence[Verdict], href: str) -> str:
    rest = [one for one in found if one not in judged]
    if not rest:
        return ""
    items = "".join(
        f'<li><a href="{href}#claim-{one.claim.id}">{escape(tables.claim_words(one.claim))}</a></li>' for one in rest
    )
    return f"<details><summary>{len(rest)} claims that no data set has decided yet</summary><ul>{items}</ul></details>"
