"""The ledger: every claim with what decides it and what the rows say, in words and as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import NamedTuple

import pandas as pd

from .. import barred, rows
from ..rows import Archive
from . import claims, harder, tables, traced, verdicts, waiting
from .claims import Claim, Ledger
from .quantities import RESAMPLES, Rows
from .rule import BEYOND, EXCLUDED, FAILS, HOLDS, NOT_RUN, OVERALL, UNDECIDED, Judged
from .verdicts import Decision, Verdict

WORDS = {
    "accuracy": "accuracy",
    "accuracy_last": "accuracy under attack (last iterate)",
    "accuracy_any": "accuracy under attack (any iterate)",
    "p_true": "mean probability of the true class",
    "conditional": "accuracy on the pictures that each network itself knows when clean",
    "common": "accuracy on the pictures that the normal, the early-stopped and the main adversarially trained network "
    "(and any other that is compared) all know when clean",
    rows.TO_NORMAL: "distance of SmoothGrad maps from the normal network's",
    rows.TO_NEXT_SEED: "distance of SmoothGrad maps from those of the same network of the next seed",
    rows.ANOTHER_CLASS: "share of attacked pictures in which another robust network sees another class",
    "shape_bias": "shape bias",
    "coverage": "coverage",
    "vanished": "share of pictures that give an attack no gradient to follow",
    "gini": "Gini coefficient of SmoothGrad maps",
    "edge_correlation": "correlation of SmoothGrad maps with the picture's edges",
    "high_frequency": "share of high frequencies in SmoothGrad maps",
    "alignment": "alignment of SmoothGrad maps with the picture",
    "map_distance": "distance of SmoothGrad maps from those of the clean pictures",
}


def quantity_words(metric: str) -> str:
    """A metric in words."""
    if metric.startswith("grad_"):
        return WORDS[metric.removeprefix("grad_")].replace("SmoothGrad", "plain gradient")
    return WORDS.get(metric, metric.replace("_", " "))


def place_words(under: str) -> str:
    """A "DISTORTION@LEVEL" in words."""
    name, _, level = under.partition("@")
    if name == barred.NAME:
        return f"{place_words(level)}, with clutter barred"
    words = {"clean": "clean pictures", "conflict": "cue-conflict pictures", "pgd-linf": f"PGD {level}/255"}
    return words.get(name, f"{name} {level}".strip())


QUANTIFIED = {
    "mean": "the mean of these cells",
    "all": "each of these cells has to hold",
    "each": "each of these cells has to hold, with Holm's correction for their number",
    "most": "more than half of these cells have to hold",
}


def statistic_words(claim: Claim) -> str:
    """How a claim's number is computed within one seed, in a sentence; the registered formula where there is one."""
    s = claim.statistic
    what, models = ", ".join(map(quantity_words, s.metrics)), ", ".join(s.models)
    many = len(s.models) * len(s.under) * len(s.metrics) > 1
    under = ", ".join(map(place_words, s.under))
    where = f"{'on' if s.under[0] in ('clean@', 'conflict@') else 'under'} {under}"
    if claim.formula:
        text = claim.formula.strip().rstrip(".")
    elif s.name == "rank_correlation":
        place, _, metric = str(s.against).rpartition("/")
        other = "their order here" if s.against == "order" else f"{quantity_words(metric)} ({place_words(place)})"
        return f"Spearman's correlation, over {models}, of {what} ({under}) with {other}."
    elif s.name == "spread":
        text = f"Largest minus smallest {what} among {models}; {where}"
    else:
        change = "change from clean pictures in the " if s.name == "difference_of_changes" else ""
        less = s.reference if isinstance(s.reference, str) else f"{s.reference:g}"
        text = f"{change}{what}: {models} minus {less}; {where}"
        text = text[0].upper() + text[1:]
    return f"{text}{'; ' + QUANTIFIED[s.quantifier] if many else ''}."


# --- Words for what was found ----------------------------------------------------------------------------------------

SEEN = {
    "cifar10": "CIFAR-10’s rows",
    "shapes": "these rows",
    "caltech101": "seed 1’s rows of Caltech-101 at 112 pixels",
}
EXPECTED = {"greater": "above {}", "less": "below {}", "equal": "within ±{}"}
ORIGINS = {
    "paper": "asserted by the paper",
    "question": "asked by the paper",
    "later": "asserted by later work",
    "ours": "ours",
}


def verdict_words(verdict: str, kind: str = "") -> str:
    """A verdict with its second word: "does not hold (reversed)"."""
    return f"{verdict} ({kind})" if kind else verdict


def number_words(judged: Judged) -> str:
    """Mean and interval: "+0.123 [+0.100, +0.146]"; the mean of one or two seeds alone is marked."""
    if not judged.values:
        return ""
    mean, low, high = (f"{value:+.3f}".replace("-", "−") for value in (judged.effect, judged.low, judged.high))
    return tables.with_interval(mean, low, high, len(judged.values))


def bound_words(claim: Claim) -> str:
    """Where the interval has to lie, in words."""
    texts = []
    for metric, e in claim.smallest_effect.items():
        bound = -e if claim.direction == "less" else e
        name = f"{quantity_words(metric)}: " if len(set(claim.smallest_effect.values())) > 1 else ""
        texts.append(name + EXPECTED[claim.direction].format(f"{bound or 0:g}".replace("-", "−")))
    return "; ".join(dict.fromkeys(texts)) + (", or above" if claim.or_more else "")


# --- One entry -------------------------------------------------------------------------------------------------------


def ledger(frame: pd.DataFrame, known: Ledger | None = None, predictions: Archive | None = None) -> str:
    """Every claim of claims.yaml, what decides it and what the rows say, as HTML; one block per claim."""
    found, whole = verdicts.verdicts(frame, known, predictions), known or claims.load()
    before = verdicts.earlier() if known is None else {}
    evidence = Evidence(frame, traced.without_answers(frame), waiting.Published(frame), whole, before, found.q)
    return "\n".join(_entry(one, evidence) for one in found.values())


class Evidence(NamedTuple):
    """What the entries are written from: the published rows in three forms, the claims with their settings, and, by
    claim and data set, the verdicts before the rules changed and Benjamini and Hochberg's q."""

    frame: pd.DataFrame
    rows: Rows
    published: waiting.Published
    whole: Ledger
    before: dict[tuple[str, str], str]
    q: dict[tuple[str, str], float]


def _entry(found: Verdict, evidence: Evidence) -> str:
    claim, whole, before = found.claim, evidence.whole, evidence.before
    primary = " · <strong>primary</strong>" if whole.is_primary(claim.id) else ""
    lines = "".join(_decided(decision, found, evidence) for decision in found.decisions)
    terms = "".join(
        f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>"
        for term, text in _about(claim, found, whole.is_primary(claim.id)).items()
    )
    return (
        f'<section class="claim" id="claim-{claim.id}">\n<h3>{escape(tables.claim_words(claim))}</h3>\n'
        f"<p>Overall: {badge(found.verdict)}{_not_yet(found)}{_before(before, claim.id, 'overall', found.verdict)} "
        f"<code>{claim.id}</code>{primary}</p>\n<ul>{lines}</ul>\n"
        f"<details><summary>How it is decided, and what was known</summary><dl>{terms}</dl></details>\n</section>"
    )


def _not_yet(found: Verdict) -> str:
    """Which data sets an overall verdict waits for, where others have been judged."""
    open_ones = [d.dataset for d in found.decisions if d.dataset in found.claim.needed and d.verdict == NOT_RUN]
    judged = any(d.counts and d.verdict != NOT_RUN for d in found.decisions)
    return f" on {escape(' and '.join(open_ones))}, which it needs" if judged and found.verdict == NOT_RUN else ""


def badge(verdict: str, kind: str = "") -> str:
    """A verdict in its colour."""
    return f'<strong class="verdict {css_class(verdict)}">{escape(verdict_words(verdict, kind))}</strong>'


def css_class(verdict: str) -> str:
    """The style sheet's name for a verdict: verdict-holds, verdict-does-not-hold …"""
    return f"verdict-{verdict.replace(',', '').replace(' ', '-')}"


def _about(claim: Claim, found: Verdict, primary: bool) -> dict[str, str]:
    more = ", and p is small enough after Holm's correction over the primary claims" if primary else ""
    registered = f", registered on {claim.registered}" if claim.registered else ""
    about = {
        "Section": f"{claim.section}, {ORIGINS[claim.origin]}{registered}",
        "Statistic": statistic_words(claim),
        "Holds if": f"the whole interval lies {bound_words(claim)}{more}",
        "Decides": f"{', '.join(claim.needed)} must be decided; {', '.join(claim.datasets)} count"
        + (f"; {', '.join(claim.shown)} only shown" if claim.shown else ""),
        "Known before, and the paper's values": claim.known,
        "Changes": " ".join(claim.changes) or "none",
    }
    if claim.alone:
        about["As registered"] = claim.claim
    if claim.paper_says:
        about["Our wording is firmer than the paper's"] = f"The paper says {claim.paper_says}"
    known = [decision for decision in found.decisions if decision.judged.values]
    if known and not any(decision.judged.pictures for decision in known):
        about["Interval"] = "over seeds alone: no answer per picture is kept for this statistic"
    return about


def _before(before: dict[tuple[str, str], str], id: str, dataset: str, now: str) -> str:
    """The earlier rules' verdict, if it was a different one. One that waited for rows wasn't any."""
    was = before.get((id, dataset), "")
    if was in ("", now) or (was, now) == ("mixed", UNDECIDED) or (was == "pending" and now != EXCLUDED):
        return ""
    when = "by the rules and rows before the change of 27 November 2026"
    return f' <span class="claim-before">(<em>{escape(was)}</em> {when})</span>'


def _decided(decision: Decision, found: Verdict, evidence: Evidence) -> str:
    """One data set's line in a claim's block, with its cells, its control and what it waits for."""
    judged, claim, name = decision.judged, found.claim, decision.dataset
    frame, rows, published, whole, before, q = evidence
    only = "" if decision.counts else " (only shown)"
    parts = [f"{escape(tables.named(name))}{only}: {badge(decision.verdict, decision.kind)}"]
    if decision.seeds:
        of = f", {_cell_of(judged)} {escape(decision.deciding)}: " if decision.deciding else " "
        seeds = f"seed{'s' * (len(decision.seeds) > 1)} {', '.join(map(str, decision.seeds))}"
        parts.append(f"{of}{number_words(judged)}{_origin(claim)}, {seeds}")
        if len(decision.seeds) > 3 and claim.direction != "equal":
            parts.append(f", {100 * judged.agree:.0f} % of the seeds on the claim’s side of zero")
    if (claim.id, name) in q:
        parts.append(f", q {_small(q[claim.id, name])}")
    if whole.is_primary(claim.id) and judged.verdict != NOT_RUN:
        parts.append(f", p {_small(min(judged.above, judged.below))} after Holm’s correction (needed: below .05)")
    elif claim.statistic.quantifier == "each" and judged.verdict != NOT_RUN:
        parts.append(f", p {_small(min(judged.above, judged.below))} after Holm’s correction over what it names")
    parts.append(_before(before, claim.id, name, decision.verdict))
    if name in claim.seen and judged.verdict != NOT_RUN:
        parts.append(f". Registered after {escape(SEEN.get(name, 'these rows'))}")
    below = [_cell_line(cell, one) for cell, one in decision.cells] if decision.seeds else []
    if decision.control is not None and decision.control.values:
        said = badge(decision.control.verdict, decision.control.kind)
        of = f", {_cell_of(decision.control)} {escape(decision.control_in)}: " if decision.control_in else " "
        below.append(f"<li>against the network stopped early: {said}{of}{number_words(decision.control)}</li>")
    elif whole.settings[name].no_control and verdicts.with_control(claim.statistic) and claim.control:
        below.append(f"<li>no control: {escape(whole.settings[name].no_control)}</li>")
    if judged.verdict in (HOLDS, FAILS):
        text = harder.survives(claim, whole.settings[name], frame, verdict=judged.verdict)
        below += [f"<li>{escape(text)}</li>"] if text else []
    if judged.verdict == NOT_RUN:
        below += [f"<li>{escape(text)}</li>" for text in _open(claim, name, found, published, whole)]
    listed = f"<ul>{''.join(below)}</ul>" if below else ""
    return f"<li>{''.join(parts)}{listed}{traced.html(claim, decision, rows, whole)}</li>"


def _cell_of(judged: Judged) -> str:
    """What the named cell is (`rule.together`): the one that refutes the claim, else the one that supports it least."""
    return "refuted by" if judged.verdict == FAILS else "with the least support from"


def _origin(claim: Claim) -> str:
    """What a number is counted from if that is neither another network nor zero."""
    reference = claim.statistic.reference
    return f" ({reference:g} has been subtracted)" if isinstance(reference, float) and reference else ""


def _small(value: float) -> str:
    """A p or q value, as HTML."""
    if value < 0.0005:
        return "&lt; .001"
    return f"= {value:.4f}" if 0.0495 <= value < 0.0505 else f"= {value:.3f}"  # never rounded across .05


def _cell_line(name: str, judged: Judged) -> str:
    said = "" if judged.verdict == NOT_RUN else f": {escape(verdict_words(judged.verdict, judged.kind))}"
    return f"<li>{escape(name)}{said} {number_words(judged)}</li>"


def _open(claim: Claim, name: str, found: Verdict, published: waiting.Published, whole: Ledger) -> list[str]:
    texts = [
        waiting.sentence(waiting.waiting(claim, name, published, whole)),
        waiting.detectable(claim, found.decisions, whole),
    ]
    return [text for text in texts if text]


def _q_of(found: Verdict, q: Mapping[tuple[str, str], float]) -> str:
    """The largest q of the data sets that count, after a semicolon; nothing where there is none."""
    places = [(found.claim.id, decision.dataset) for decision in found.decisions if decision.counts]
    known = [q[place] for place in places if place in q]
    return f"; q {_small(max(known))}".replace("&lt;", "<") if known else ""


def holds_everywhere(frame: pd.DataFrame) -> str:
    """Which claims of the paper hold over all data sets that they need, in Markdown: a sentence, and a list of them."""
    found = verdicts.verdicts(frame)
    mine = [one for one in found.values() if one.verdict == HOLDS and one.claim.origin == "paper"]
    if not mine:
        return "No claim of the paper holds yet over all data sets that it needs."
    lines = [
        f"- {tables.claim_words(one.claim)} ({', '.join(map(tables.named, one.claim.needed))}{_q_of(one, found.q)})"
        for one in mine
    ]
    holds = "one holds over all data sets that it needs" if len(mine) == 1 else ""
    holds = holds or f"{in_words(len(mine))} hold over all data sets that they need"
    return f"Of the paper's claims, {holds} (in brackets, with q where the claim isn't primary):\n\n" + "\n".join(lines)


# --- Counts ----------------------------------------------------------------------------------------------------------


def claim_settings(known: Ledger) -> pd.DataFrame:
    """Which runs decide claims on each data set, and the networks that "main" and "weak" stand for."""
    return tables.frame_of(
        {"on": name, "main": at.main, "weak": at.weak, "width": str(at.width), "share": f"{at.share:g}"}
        | {"seeds": f"{at.seeds[0]} to {at.seeds[1]}" if at.seeds else "any", "recipe": at.recipe or "not fixed yet"}
        for name, at in known.settings.items()
    )


def counts(
    found: Sequence[Verdict], dataset: str, origin: Sequence[str] = ("paper",), counting: bool = True
) -> dict[str, int]:
    """How the claims of some origin stand on a data set on which they count ("overall": over all).

    counting: False for those that are shown there and don't count.
    """
    words = []
    for one in found:
        if one.claim.origin in origin:
            words += [one.verdict] if dataset == "overall" else []
            words += [d.verdict for d in one.decisions if d.dataset == dataset and d.counts == counting]
    return {verdict: words.count(verdict) for verdict in OVERALL if verdict in words}


TALLIED = {  # a verdict: how one claim is said to stand, and how several are
    HOLDS: ("holds", "hold"),
    BEYOND: (
        "holds against ordinary networks but not demonstrably against one stopped early",
        "hold against ordinary networks but not demonstrably against one stopped early",
    ),
    FAILS: ("does not", "do not"),
    UNDECIDED: ("is undecided", "are undecided"),
}


def tally(here: Mapping[str, int]) -> str:
    """How many claims hold, don't, or are undecided, in words, from their `counts`."""
    said = [f"{here[verdict]} {forms[here[verdict] > 1]}" for verdict, forms in TALLIED.items() if here.get(verdict)]
    return f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else "".join(said)


def judged(here: Mapping[str, int]) -> int:
    """How many claims have a verdict, from their `counts`."""
    return sum(number for verdict, number in here.items() if verdict != NOT_RUN)


def shown_only(found: Sequence[Verdict]) -> str:
    """How the paper's claims stand that are measured on CIFAR-10 and don't count there: a sentence, or nothing."""
    here = counts(found, "cifar10", counting=False)
    if not judged(here):
        return ""
    return (
        f" On CIFAR-10 a further {judged(here)} of the paper's claims are measured but don't count, because the "
        f"paper tested them on other data: {tally(here)}."
    )


def seen_before(found: Sequence[Verdict], dataset: str) -> int:
    """How many of the paper's claims that are judged on a data set were registered after its rows had been seen."""
    return sum(
        1
        for one in found
        for d in one.decisions
        if one.claim.origin == "paper" and d.dataset == dataset and d.counts and dataset in one.claim.seen
        if d.judged.verdict != NOT_RUN
    )


# the data sets on which most claims of the paper count, as the sentences below call them
PHOTOGRAPHS = {"cifar10": "CIFAR-10", "caltech101": "Caltech-101, which stands in for the paper's Caltech-256"}


def standing(found: Sequence[Verdict], mark: str = "") -> str:
    """How the paper's claims stand on PHOTOGRAPHS, and what to bear in mind: sentences, or nothing.

    mark: put before and after the numbers of claims, such as "**".
    """
    stand = {name: here for name in PHOTOGRAPHS if judged(here := counts(found, name))}
    whose = ["of the paper's claims"] + ["of them"] * len(stand)
    said = [
        f"On {PHOTOGRAPHS[name]}, {mark}{judged(here)}{mark} {these} have been judged: {tally(here)}."
        for (name, here), these in zip(stand.items(), whose, strict=False)
    ]
    return " ".join(said) + reservations(found, sum(map(judged, stand.values())))


def reservations(found: Sequence[Verdict], number: int) -> str:
    """What to bear in mind of that many verdicts on the paper's claims: a sentence after a space, or nothing."""
    firmer = sum(
        d.dataset in PHOTOGRAPHS and d.counts and d.judged.verdict != NOT_RUN
        for one in found
        if one.claim.paper_says
        for d in one.decisions
    )
    seen = {name: seen_before(found, name) for name in PHOTOGRAPHS}
    later, one = sum(seen.values()), " (on Caltech-101, those of one seed)" if seen["caltech101"] else ""
    said = [f"{later} {_concern(later)} claims that we registered after seeing results on that data set{one}"]
    said += [f"{firmer} {_concern(firmer)} claims that we word more firmly than the paper does"]
    said = [text for text, some in zip(said, (later, firmer), strict=True) if some]
    return f" Of these {number} verdicts, {' and '.join(said)}." if said else ""


def _concern(number: int) -> str:
    return "concerns" if number == 1 else "concern"


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def in_words(number: int) -> str:
    """A small number as a word, for the beginning of a sentence."""
    return NUMBERS[number] if number < len(NUMBERS) else str(number)


def ledger_sentence(frame: pd.DataFrame) -> str:
    """How many claims of the paper there are, and how they stand on the data sets that have judged most of them."""
    found = list(verdicts.verdicts(frame).values())
    paper = [one for one in found if one.claim.origin == "paper"]
    rest = {origin: sum(one.claim.origin == origin for one in found) for origin in ("ours", "later", "question")}
    excluded = counts(found, "overall").get(EXCLUDED, 0)
    more = f" {in_words(excluded).capitalize()} can no longer hold over all data sets." if excluded else ""
    return (
        f"We broke the paper down into **{len(paper)}** claims that numbers can test, and added "
        f"{len(found) - len(paper)}: {rest['ours']} of our own, {rest['later']} from later work and {rest['question']} "
        f"questions that the paper raises. {standing(found, '**')}{shown_only(found)}{more}"
    )


def many_claims(known: Ledger) -> str:
    """What is done about there being many claims, in words."""
    return (
        f"With {len(known.claims)} claims, some would come out in the wrong direction by chance. "
        f"{in_words(len(known.primary)).capitalize()} of them, one for each part of the paper's argument, are "
        "*primary*. We chose them on 27 November 2026, when the verdicts on CIFAR-10 were known; their wording and "
        "their smallest effects had been fixed before. They also have to pass Holm's correction over all of them, on "
        "each data set (those that are only shown there included), which is stricter than the 95 % interval that is "
        "printed. For the others the ledger prints a q value (Benjamini and Hochberg): "
        "among the verdicts with q below .05, on average at most one in twenty is expected to be a false finding, if "
        "the tests are independent or point the same way. "
        f"Intervals are at {100 * known.confidence:.0f} %. Where a network's answer to each picture is kept, "
        "the intervals allow for the choice of test pictures as well as of seeds "
        f"({RESAMPLES} draws of the pictures, the same for all networks)."
    )
