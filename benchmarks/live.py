"""`python -m benchmarks.live [--rounds N] [--book FOLDER] [--out PATH]`: the networks that run in a page, timed.

Drives the page "Try it on a picture" of a built book in a headless Chromium that has one core, over http and from the
disk, and writes medians to results/live.csv, which the book prints. Times are what a reader waits, so the machine has
to be idle. Chromium and playwright are needed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pandas as pd

from atlib import provenance
from atlib.errors import InputError, command_line, in_range
from atlib.files import REPOSITORY, atomic, results_dir
from atlib.report import live

from .serving import served

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
ROOT = "document.querySelector('[data-live=root]')"
PATIENCE = 300_000.0  # milliseconds
WATCH = """window.longest = 0;
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
}).observe({ type: "longtask" });"""


class Measure(NamedTuple):
    """What is measured, in which unit, and the most that it may be; over: http, the disk, or either."""

    unit: str
    http: float | None
    disk: float | None


MEASURES = {
    "before the click: script and HTML": Measure("KB", 60, None),
    "after the click, as it is": Measure("MB", 18, None),
    "after the click, compressed": Measure("MB", 6.5, None),
    "both networks: probabilities": Measure("ms", 150, 150),
    "both networks: first map": Measure("ms", 500, 500),
    "both networks: SmoothGrad, 25 samples": Measure("ms", 1200, 1200),
    "both networks: SmoothGrad, 100 samples": Measure("ms", 4000, 4000),
    "both networks: PGD-10": Measure("ms", 1000, 1000),
    "longest time that the page is blocked, from the click on": Measure("ms", 100, 100),
    "memory of the page": Measure("MB", 400, 600),
}


def sizes(book: Path) -> dict[str, float]:
    """What the page weighs, from the files of the book."""
    live_files, runtime = book / "_static" / "live", book / "_static" / "vendor" / "ort"
    networks = sorted(live_files.glob("*.onnx"))
    loaded = [live_files / "worker.js", *networks, *(runtime / name for name in live.RUNTIME)]
    before = (live_files / "page.js").stat().st_size + len(live.page_html().encode())
    contents = [path.read_bytes() for path in loaded]
    names = list(MEASURES)
    return {
        names[0]: before / 1e3,
        names[1]: sum(map(len, contents)) / 1e6,
        names[2]: sum(len(gzip.compress(content, 6)) for content in contents) / 1e6,
    }


def settled(page: Any) -> dict[str, float]:
    """Wait until the last question is answered; when each part of the answer came, in milliseconds."""
    page.wait_for_function(f"(live => live.complete > 0 && live.complete === live.times.size)({ROOT}.live)")
    return page.evaluate(f"{ROOT}.live.times.get({ROOT}.live.times.size)")


def times(page: Any, rounds: int) -> Iterator[dict[str, float]]:
    """One round after the other: a move of the slider, then an attack."""
    names = list(MEASURES)
    for number in range(rounds):
        page.evaluate(f"location.hash = '#picture=ship&do=saturation&level={4 + number}'")
        page.wait_for_function(f"{ROOT}.live.state().level === {4 + number}")
        seen = settled(page)
        page.evaluate(f"location.hash = '#picture=ship&do=attack&eps={8 + number}'")
        page.wait_for_function(f"{ROOT}.live.state().eps === {8 + number} && {ROOT}.live.attack?.took > 0")
        attack = page.evaluate(f"{ROOT}.live.attack.took")
        settled(page)
        found = [seen["probabilities"], seen["first"], seen["quarter"], seen["all"], attack]
        yield dict(zip(names[3:8], found, strict=True))


def memory(browser: Any) -> float:
    """Megabytes of the largest page process, shared ones by their part."""
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    found = [0.0]
    for process in processes:
        if process["type"] == "renderer":
            lines = Path(f"/proc/{process['id']}/smaps_rollup").read_text(encoding="utf-8").splitlines()
            found.append(next(float(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3)
    return max(found)


def measure(browser: Any, address: str, rounds: int) -> dict[str, float]:
    """Everything but the sizes, at one address."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector(".live.ready")
    page.evaluate(WATCH)
    page.click("[data-live=go]")
    settled(page)
    every = list(times(page, rounds))
    found = {name: median(one[name] for one in every) for name in every[0]}
    names = list(MEASURES)
    found[names[8]], found[names[9]] = page.evaluate("window.longest"), memory(browser)
    page.close()
    return found


def rows_of(http_found: dict[str, float], disk_found: dict[str, float]) -> list[dict[str, Any]]:
    """One row a measure and way in, with whether it is within its reach."""
    found = []
    for name, (unit, most_http, most_disk) in MEASURES.items():
        for over, values, most in (("http", http_found, most_http), ("the disk", disk_found, most_disk)):
            if most is not None:
                met = "yes" if values[name] <= most else "no"
                found.append(
                    {
                        "what": name,
                        "over": over,
                        "value": round(values[name], 1),
                        "unit": unit,
                        "reach": most,
                        "met": met,
                    }
                )
    return found


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.live", description="Time the networks in the page.")
    parser.add_argument("--rounds", type=int, default=5, help="how often each time is taken (default 5)")
    parser.add_argument("--book", type=Path, default=REPOSITORY / "_build" / "html", help="a built book")
    parser.add_argument("--out", type=Path, help="the CSV (default results/live.csv)")
    given = parser.parse_args(arguments)
    in_range("rounds", given.rounds, 1, whole=True)
    out = given.out or results_dir() / "live.csv"
    if out.resolve() == (results_dir() / "live.csv").resolve():
        provenance.committed("benchmarks", "book")  # published numbers name the commit that measured them
    start = given.book.resolve() / "notebooks" / "try.html"
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if not start.is_file():
        raise InputError(f"book = {given.book}: no notebooks/try.html there; `make book` builds it")
    if program is None:
        raise InputError("Chromium is not installed (apt install chromium)")
    from playwright.sync_api import sync_playwright

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the browser inherits the one core
    found = {}
    with served(given.book.resolve()) as site, sync_playwright() as playwright:
        for over, address in (("http", f"{site}/notebooks/try.html"), ("disk", start.as_uri())):
            print(f"{over}: {given.rounds} rounds", file=sys.stderr, flush=True)
            browser = playwright.chromium.launch(executable_path=program)
            version = browser.version
            found[over] = measure(browser, address, given.rounds)
            browser.close()
    rows = pd.DataFrame(rows_of(sizes(given.book.resolve()) | found["http"], found["disk"]))
    load = round(os.getloadavg()[0], 1)
    rows = rows.assign(
        rounds=given.rounds, processor=provenance.processor(), browser=f"Chromium {version}",
        runtime=runtime_version(given.book), load=load, commit=provenance.commit(),
    )  # fmt: skip
    with atomic(out) as temporary:
        rows.to_csv(temporary, index=False)
    print(rows[["what", "over", "value", "unit", "reach", "met"]].to_string(index=False))
    print(f"{out} (load of the machine at the end: {load})")
    return 0


def runtime_version(book: Path) -> str:
    """The vendored runtime's version."""
    about = book / "_static" / "vendor" / "ort" / "package.json"
    return str(json.loads(about.read_text(encoding="utf-8"))["version"])


if __name__ == "__main__":
    raise SystemExit(main())
