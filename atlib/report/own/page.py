"""The page itself: a summary, suspicions, charts, pictures and a table of all numbers, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from ... import own
from ...files import atomic, read_json
from ...progress import Line, duration, say
from ...rows import MAP_METRICS
from .. import tables
from .beside import APART, Measured, outside, standing
from .pictures import curves, examples
from .sentences import of_references, summary

METRICS = {
    "accuracy_last": "robust accuracy",
    "conditional": "keeps, of what it knows",
    "vanished": "pictures without a gradient",
}
STYLE = """
.own-report{--mine:#d55e00;--normal:#333;--underfit:#8a8a8a;--main:#0072b2;--soft:#ddd;--warn:#fff4e5;max-width:60rem}
@media(prefers-color-scheme:dark){.own-report{--normal:#eee;--main:#56b4e9;--mine:#ff8c42;--soft:#444;--warn:#3a2a12}}
html[data-theme=light] .own-report{--normal:#333;--main:#0072b2;--mine:#d55e00;--soft:#ddd;--warn:#fff4e5}
html[data-theme=dark] .own-report{--normal:#eee;--main:#56b4e9;--mine:#ff8c42;--soft:#444;--warn:#3a2a12}
.own-report .suspicion{background:var(--warn);border-left:4px solid var(--mine);padding:.5em .8em;margin:.5em 0}
.own-report .charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(17rem,100%),1fr));gap:.5rem}
.own-report svg{width:100%;height:auto;font:11px system-ui,sans-serif}
.own-report svg text{fill:currentColor}.own-report svg .title{font-size:13px;font-weight:600}
.own-report svg line,.own-report svg polyline{stroke:currentColor;stroke-width:1.3;fill:none}
.own-report svg circle{fill:currentColor;stroke:none}.own-report svg .grid{stroke:var(--soft);stroke-width:1}
.own-report .own{color:var(--mine)}.own-report .normal{color:var(--normal)}
.own-report .underfit{color:var(--underfit)}.own-report .main{color:var(--main)}
.own-report svg .own polyline{stroke-width:2.2}
.own-report .legend{list-style:none;display:flex;flex-wrap:wrap;gap:.2em 1.2em;padding:0;margin:.3em 0}
.own-report .legend i{display:inline-block;width:1.4em;height:.2em;background:currentColor;margin-right:.4em;
vertical-align:middle}
.own-report .strip{display:grid;grid-template-columns:repeat(6,1fr);gap:4px;max-width:34rem;margin:.1em 0 .6em}
.own-report .strip figure{margin:0;text-align:center;font-size:.8em}
.own-report .strip img{width:100%;image-rendering:pixelated;display:block}
.own-report table{border-collapse:collapse;font-size:.9em}
.own-report th,.own-report td{padding:.2em .7em;text-align:left;border-bottom:1px solid var(--soft);white-space:nowrap}
.own-report caption{text-align:left;padding:.5em 0;white-space:normal}.own-report .rows-scroll{overflow-x:auto}
"""
PAGE = (
    ":root{color-scheme:light dark}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere;"
    "background:Canvas;color:CanvasText}"
)


def numbers(folder: Path) -> str:
    """The table of all that was measured."""
    table = standing(folder)
    names = zip(table["under"], table["metric"], strict=True)
    shown = pd.DataFrame(
        {
            "measurement": [_measurement(under, metric) for under, metric in names],
            "measured": [METRICS.get(metric, metric.replace("_", " ")) for metric in table["metric"]],
            "value": [f"{value:.3f}" for value in table["value"]],
            "95 % interval": ["" if one is None else f"[{one[0]:.3f}, {one[1]:.3f}]" for one in table["interval"]],
            "normal": [tables.dash(value, "{:.3f}") for value in table["normal"]],
            "underfit": [tables.dash(value, "{:.3f}") for value in table["underfit"]],
            "adversarially trained": [tables.dash(value, "{:.3f}") for value in table["main"]],
            "stands at": [_stands(*at) for at in zip(table["stands"], table["low"], table["high"], strict=True)],
        }
    )  # fmt: skip
    option = own.INTERFACES[Measured(folder).about.get("interface", "command line")]["names"]
    caption = f"A measurement's name is what <code>{option}</code> takes. "
    if (table["metric"] == "conditional").any():
        caption += "Accuracies under a distortion are conditional: of what the network knows when it is clean. "
    if (table["metric"] == "accuracy_last").any():
        caption += "Robust accuracy is of all pictures. "
    if table["normal"].notna().any():
        caption += (
            "For comparison: this report's networks on the same pictures, averaged over seeds. “Stands at” is 0 where "
            "your network is like the normal ones and 1 where it is like the adversarially trained ones; &lt; 0 or "
            "&gt; 1 means outside that range by an amount that can't be told; – means that our two kinds differ by "
            f"less than {APART:g}, or that their seeds vary too much to give a position."
        )
    else:
        caption += (
            "This report has published no networks of its own on these pictures, so there is nothing to compare with."
        )
    return tables.html(shown, caption)


def _measurement(under: str, metric: str) -> str:
    """The name by which a number of the table is measured again."""
    maps = metric.removeprefix("grad_") in MAP_METRICS
    return f"maps@{under}" if maps else under.removesuffix("@")


def _stands(value: float, low: float, high: float) -> str:
    return outside(low, high) if value != value else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def warned(folder: Path) -> list[str]:
    """The doubts that its measurements came with: attacks that had no gradient to follow."""
    found = read_json(folder / "evaluation.json")["measurements"]
    return [f"{place.removesuffix('@')}: {record['warning']}" for place, record in found.items() if "warning" in record]


def body(folder: Path) -> str:
    """The report without its head, as HTML that needs nothing else."""
    measured = Measured(folder)
    about = measured.about
    doubts = [*str(about.get("suspicion", "")).splitlines(), *warned(folder)]
    top = "".join(f'<p class="suspicion">{escape(line)}</p>' for line in doubts)
    left = "".join(f"<p>{escape(f'left out: {line}')}</p>" for line in about.get("left_out", []))
    sentences = [*summary(measured), *([of_references(measured)] if measured.references else [])]
    paragraphs = "".join(f"<p>{escape(sentence, quote=False)}</p>" for sentence in sentences).replace(" %", "\u00a0%")
    parts = [
        top,
        paragraphs,
        left,
        curves(measured),
        examples(measured),
        "<h2>All that was measured</h2>",
        numbers(folder),
    ]
    return f'<style>{STYLE}</style><div class="own-report">{"".join(parts)}{_origin(measured)}</div>'


def _origin(measured: Measured) -> str:
    """Where the numbers come from: how many measurements, how long, which code, versions and weights."""
    found = measured.record["measurements"]
    seconds = sum(one.get("seconds", 0) for one in found.values())
    commits = sorted({str(one.get("commit", "unknown"))[:12] for one in found.values()})
    # older records name the versions with each measurement
    kept = [measured.record.get("versions", {}), *(one.get("versions", {}) for one in found.values())]
    versions = sorted({f"{name} {version}" for some in kept for name, version in some.items()})
    weights = str(measured.record.get("weights_digest", ""))[:12]
    parts = [
        f"{len(found)} measurement{'s' * (len(found) != 1)} in {duration(seconds)}",
        f"atlib at commit {', '.join(commits)}",
        ", ".join(versions),
        ", ".join(
            sorted({_hardware(one["hardware"]) for one in (measured.record, *found.values()) if "hardware" in one})
        ),
        f"weights {weights}" if weights else "",
    ]
    return f"<p><small>{escape('; '.join(filter(None, parts)))}.</small></p>"


def _hardware(about: Mapping[str, Any]) -> str:
    """The processor or GPU that measured, with its threads, as a record has it."""
    threads = int(about.get("threads", 1))
    return str(about.get("gpu") or f"{about['processor']}, {threads} thread{'s' * (threads != 1)}")


def said_body(folder: Path) -> str:
    """`body`, with a line on the terminal while it is made: drawing our networks' maps beside yours takes a while."""
    line = Line()
    try:
        line.show("writing the report, with the maps of this report's networks")
        return body(folder)
    finally:
        line.close()


def html(folder: Path, inside: str = "") -> str:
    """The one-page report of what was measured so far, as HTML that needs nothing else. inside: `body`, if made."""
    about = read_json(folder / "own.json")
    title = escape(f"{about['source']} on {about['dataset']}")
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    return (
        f'<!doctype html><html lang="en">{head}<title>{title}</title><style>{PAGE}</style>'
        f"<h1>{title}</h1>{inside or body(folder)}</html>\n"
    )


def write(folder: Path, inside: str = "") -> Path:
    """Write the page into the folder of the measurements; its path. inside: `body`, if that has been made already."""
    path, inside = folder / "report.html", inside or said_body(folder)
    with atomic(path) as temporary:
        temporary.write_text(html(folder, inside), encoding="utf-8")
    return path


def closing(folder: Path) -> None:
    """Say what came out and where the page lies: in the notebook, and on papermill's terminal."""
    measured = Measured(folder)
    doubts = str(measured.about.get("suspicion", "")).splitlines()
    lines = [*doubts, *summary(measured), f"The report: {folder / 'report.html'}"]
    say("\n".join(lines))
