"""The page on which the shipped networks run in the reader's browser: its HTML, and the files that it loads.

The page is made when its notebook is run (`page_html`), its scripts when the book is built (`write`, called by
book/_ext/live_page.py). Scripts are the modules of book/live, bundled so that they also work from the disk, where a
browser imports no module and fetches nothing: there the runtime and the networks come as scripts of base64.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from .. import rows
from ..errors import InputError, Missing
from ..files import REPOSITORY, atomic, checkout_path, read_json, results_dir
from ..tensors import load_tensors, tensor_digest
from . import export, frames, tables
from .rule import NOT_RUN

TITLES = {"normal": "normal", "pgd-linf-8": "adversarially trained"}
RUNTIME = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PART = 750_000  # bytes of a part, which is a megabyte as base64: a browser reads that in a few milliseconds
BASE, VENDOR = "../_static/live/", "../_static/vendor/ort/"  # as seen from the page
SHARES = ("clean", "saturation", "patch-shuffle", "low-pass", "pgd-linf")
IMPORT = re.compile(r'^import (\{[^}]*\}) from "\./([\w-]+\.js)";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class|let) (\w+)|const \[)", re.MULTILINE)
COMMENT = re.compile(r"/\*\*(?:(?!\*/)[\s\S])*\*/ ?|^ *//.*$", re.MULTILINE)  # //: only where it has a line to itself


# --- scripts ---------------------------------------------------------------------------------------------------------


def modules(entry: str, folder: Path) -> list[str]:
    """The names of a module and of all that it imports, each after those that it needs. InputError for a circle."""
    found: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise InputError(f"{folder / name}: imports itself, by way of {' and '.join(above)}")
        if name not in found:
            for _, needed in IMPORT.findall((folder / name).read_text(encoding="utf-8")):
                visit(needed, (*above, name))
            found.append(name)

    visit(entry, ())
    return found


def bundle(entry: str, folder: Path | None = None) -> str:
    """A module and all that it imports as one script, which a page loads from the disk too.

    Each module stays a scope of its own. What is understood: imports of names, a line each, and exports in front of a
    function or a constant; InputError for another import or export. Comments and indentation are left out, so that a
    module may have no text of several lines.
    """
    folder = folder or checkout_path("book/live")
    parts = ["// Written by atlib.report.live from book/live.", '"use strict";', "(() => {", "const modules = {};"]
    for name in modules(entry, folder):
        text = COMMENT.sub("", (folder / name).read_text(encoding="utf-8"))
        text = "\n".join(line for line in map(str.strip, text.splitlines()) if line)
        text = IMPORT.sub(r'const \1 = modules["\2"];', text)
        names = [exported for exported in EXPORT.findall(text) if exported]
        text = EXPORT.sub("", text)
        if left := re.search(r"^(?:import|export)\b.*", text, re.MULTILINE):
            raise InputError(f"{folder / name}: {left[0]!r}: not understood by the bundle")
        parts += [f'modules["{name}"] = (() => {{', text.strip(), f"return {{ {', '.join(names)} }};", "})();"]
    return "\n".join([*parts, "})();", ""])


def write(target: Path, vendor: Path | None = None) -> None:
    """Write what the page loads into a folder: scripts, networks, and all of it again as scripts of base64.

    InputError if an exported network is stale, Missing if one or the runtime isn't there.
    """
    export.check_fresh()
    vendor = vendor or REPOSITORY / "book" / "_static" / "vendor" / "ort"
    for name in RUNTIME:
        if not (vendor / name).is_file():
            raise Missing(f"{vendor / name}: not there; `make vendor` fetches it")
    worker = bundle("worker.js").encode()
    networks = {f"{name}.onnx": (export.folder() / f"{name}.onnx").read_bytes() for name in export.NAMES}
    runtime = {name: (vendor / name).read_bytes() for name in RUNTIME}
    target.mkdir(parents=True, exist_ok=True)
    parts = parts_of({**runtime, "worker.js": worker, **networks})
    files = {name: len(content) for name, content in {RUNTIME[2]: runtime[RUNTIME[2]], **networks}.items()}
    about = json.dumps({"base": BASE, "vendor": VENDOR, "files": files, "parts": len(parts)})
    page = f"globalThis.atlibLive = {about};\n{bundle('page.js')}".encode()
    contents = {"page.js": page, "worker.js": worker, **networks}
    contents |= {f"part-{number}.js": part.encode() for number, part in enumerate(parts)}
    for old in set(target.glob("part-*.js")) - {target / name for name in contents}:
        old.unlink()
    for name, content in contents.items():
        with atomic(target / name) as temporary:
            temporary.write_bytes(content)


def parts_of(files: Mapping[str, bytes]) -> list[str]:
    """Files as scripts, each of which gives a piece of one file to the page."""
    return [
        f'atlibPart("{name}","{base64.b64encode(content[at : at + PART]).decode()}");\n'
        for name, content in files.items()
        for at in range(0, len(content), PART)
    ]


# --- the page --------------------------------------------------------------------------------------------------------


def shares_of(name: str) -> dict[str, dict[str, float]]:
    """The shares of test pictures that a shipped network recognises, by distortion and level, from the published rows.

    Of an attack, those right after its last step. InputError unless one run is of the weights that are shipped.
    """
    folder = results_dir() / export.DATASET
    digest = tensor_digest(load_tensors(export.folder() / f"{name}.safetensors")[0])
    records = {path: read_json(path) for path in sorted(folder.glob("*.json"))}
    mine = [path for path, record in records.items() if record.get("training", {}).get("weights_digest") == digest]
    if len(mine) != 1:
        raise InputError(f"{folder}: rows of the shipped network {name} = {len(mine)} runs: must be one")
    found = rows.read_rows(mine[0].with_suffix(".csv"))
    shares: dict[str, dict[str, float]] = {}
    for distortion in SHARES:
        metric = "accuracy_last" if distortion == "pgd-linf" else "accuracy"
        some = found[(found["distortion"] == distortion) & (found["metric"] == metric)]
        shares[distortion] = dict(zip(some["level"].fillna(""), some["value"].astype(float), strict=True))
    return shares


def known_pictures() -> list[dict[str, str]]:
    """The pictures that the sliders show too, as they are: name, class, and bytes as base64."""
    kept = frames.load(export.DATASET)
    about, shown = kept.about, kept.arrays["explorer/shown"]
    level, count = about["saturation"].index("2"), about["patches"].index("1")
    found = []
    for place, picture in enumerate(about["pictures"]):
        label = about["classes"][picture["label"]]
        pixels = base64.b64encode(shown[place, level, count].tobytes()).decode()
        found.append({"name": label, "label": label, "pixels": pixels})
    return found


def data_of() -> dict[str, Any]:
    """What the page's script is given."""
    about = frames.load(export.DATASET).about
    networks = [{"title": TITLES[name], "shares": shares_of(name)} for name in export.NAMES]
    return {
        "classes": about["classes"],
        "samples": frames.SAMPLES,
        "pictures": known_pictures(),
        "networks": networks,
    }


def page_html() -> str:
    """The page's part that runs, with everything that it needs before the networks are loaded."""
    given = data_of()
    style = (checkout_path("book/live") / "page.css").read_text(encoding="utf-8")
    data = json.dumps(given, separators=(",", ":")).replace("</", "<\\/")
    body = "\n".join(
        [
            '<p class="live-dead">This part needs JavaScript and the built book: <code>make book</code>.</p>',
            '<div class="live-top">',
            _pictures(),
            "<div>",
            _guess(given),
            _controls(given),
            "</div></div>",
            '<p class="live-trouble" data-live="trouble" role="alert"></p>',
            '<p class="live-trouble" data-live="no-simd" hidden>This browser has no WebAssembly with SIMD, which the '
            'networks need. <a href="methods.html">The sliders in Methods</a> show the same networks without it.</p>',
            _results(given),
            '<div class="live-status" data-live="status" role="status"></div>',
            f'<script type="application/json" data-live="data">{data}</script>',
        ]
    )
    return (
        f"<style>{style}</style>\n"
        '<div class="live" data-live="root" role="region" aria-label="Networks that run in this page">\n'
        f"{body}\n</div>\n"
        f'<script src="{BASE}page.js" defer></script>'
    )


def _canvas(name: str, label: str = "empty") -> str:
    return f'<canvas width="32" height="32" role="img" data-live="{name}" aria-label="{label}"></canvas>'


def _choice(kind: str, value: str, text: str) -> str:
    return f'<label><input type="radio" name="live-{kind}" value="{value}"> {text}</label>'


def _pictures() -> str:
    """The picture, and what has been made of it."""
    return f"""<div class="live-pair">
<div>{_canvas("original")}<small class="live-caption"><span data-live="subject"></span>, as it is</small></div>
<div data-live="changed-box">{_canvas("changed")}<small class="live-caption" data-live="changed-text"></small></div>
</div>"""


def _guess(given: Mapping[str, Any]) -> str:
    """The question before the first answer."""
    guesses = "\n".join(
        f'<fieldset><legend>The {escape(network["title"])} network says</legend><div class="live-row">'
        f'<label><input type="radio" name="live-guess-{n}" value="yes"> <span data-live="subject"></span></label>'
        f'<label><input type="radio" name="live-guess-{n}" value="no"> something else</label></div></fieldset>'
        for n, network in enumerate(given["networks"])
    )
    return f"""<form data-live="guess">
<p><strong data-live="question"></strong></p>
{guesses}
<p><button type="submit" data-live="go">Ask them</button>
<small>This downloads the networks and the program that runs them from this site, once:
<span data-live="size"></span> megabytes, less if they are sent compressed. No picture leaves this page.</small></p>
<progress data-live="progress" max="1" value="0" aria-label="loading the networks" hidden></progress>
</form>"""


def _slider(name: str, text: str, first: str, step: str) -> str:
    return (
        f'<p><label for="live-{name}">{text}</label> '
        f'<output for="live-{name}" aria-live="off" data-live="{name}-text"></output><br>'
        f'<input type="range" id="live-{name}" data-live="{name}" min="{first}" step="{step}"></p>'
    )


def _card(network: Mapping[str, Any], number: int) -> str:
    title = escape(network["title"])
    return f"""<section class="live-card" data-network="{number}" aria-labelledby="live-network-{number}">
<h3 id="live-network-{number}">{title[0].upper()}{title[1:]} <small data-live="answer"></small></h3>
<div class="live-attacked" data-live="attacked" hidden>
<div>{_canvas("attacked-picture")}<small class="live-caption">what it is shown</small></div>
<div>{_canvas("perturbation")}<small class="live-caption">the change</small></div>
</div>
<ol data-live="chances"></ol>
<div>{_canvas("map")}<small class="live-caption" data-live="map-text"></small></div>
<small data-live="share"></small>
</section>"""


def _controls(given: Mapping[str, Any]) -> str:
    """What appears with the first answer: which picture, and what is done to it."""
    pictures = "".join(_choice("picture", one["name"], escape(one["label"])) for one in given["pictures"])
    operations = "".join(
        _choice("operation", value, text)
        for value, text in (
            ("nothing", "nothing"),
            ("saturation", "saturate"),
            ("patches", "shuffle patches"),
            ("low-pass", "take away fine detail"),
            ("attack", "attack"),
        )
    )
    return f"""<div data-live="controls" hidden>
<fieldset><legend>Picture</legend><div class="live-row">{pictures}
<label data-live="own-choice" hidden><input type="radio" name="live-picture" value="own">
<span data-live="own-text">yours</span></label></div>
<p class="live-drop" data-live="drop"><label for="live-file">Your own:</label> <input type="file" id="live-file"
data-live="file" accept="image/*"> or drop one here. It stays in this page.</p></fieldset>
<fieldset><legend>What is done to it</legend><div class="live-row">{operations}</div></fieldset>
<div data-operation="saturation">{_slider("level", "Saturation level", "0", "1")}
<small>2 changes nothing, 0 turns every value grey except exact 0s and 1s, ∞ leaves only 0 and 1 in each
channel.</small></div>
<div data-operation="patches">{_slider("patches", "Patches", "0", "1")}
<p><button type="button" class="quiet" data-live="draw">Shuffle again</button></p></div>
<div data-operation="low-pass">{_slider("cutoff", "Highest frequency kept", "0", "0.01")}
<small>1 is the finest stripe that a row of pixels can show.</small></div>
<div data-operation="attack">{_slider("eps", "Most that a colour value may change", "0", "1")}
<p><label for="live-turn">Step</label> <output for="live-turn" aria-live="off" data-live="turn-text"></output><br>
<input type="range" id="live-turn" data-live="turn" min="0" max="10" step="1" value="0"></p>
<small>Each network gets an attack of its own, along the sign of its own gradient (PGD). In the picture of the change,
grey is no change, and black and white mark the largest change allowed.</small></div>
</div>"""


def _results(given: Mapping[str, Any]) -> str:
    """A card for each network."""
    cards = "\n".join(_card(network, n) for n, network in enumerate(given["networks"]))
    return f"""<div data-live="bench" hidden>
<p class="live-verdict" data-live="verdict"></p>
<p class="live-evidence" data-live="no-evidence" hidden>32×32 pixels and ten classes: whether right or wrong,
neither answer is evidence for a network or against it. A network that knows only ten words uses one of them for
anything, often with a high probability. What counts is the share of 10,000 test pictures, printed below each
answer.</p>
<div class="live-pair" data-live="results" tabindex="-1" role="group" aria-label="What the networks say">
{cards}
</div></div>"""


# --- how fast it is --------------------------------------------------------------------------------------------------


def speeds(folder: Path | None = None) -> str:
    """What `python -m benchmarks.live` wrote, as a table with a sentence; or that it has not been run."""
    path = (folder or results_dir()) / "live.csv"
    if not path.is_file():
        return f"<p>This has not been measured yet: <strong>{NOT_RUN}</strong>.</p>"
    found = pd.read_csv(path, keep_default_na=False)
    first = found.iloc[0]
    shown = found[["what", "over", "value", "unit", "reach", "met"]].rename(columns={"reach": "limit"})
    caption = (
        f"Medians of {first['rounds']} rounds in {escape(first['browser'])} with one core of "
        f"{escape(first['processor'])}, onnxruntime-web {escape(first['runtime'])}, commit "
        f"<code>{escape(str(first['commit'])[:8])}</code>. Limit: the most that we allow. "
        "Browsers report a page as blocked from 50 ms on, so 0 means that no task took that long."
    )
    return tables.html(shown, caption)
