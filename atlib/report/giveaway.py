"""The built book to give away: as one PDF of the argument, or as a zip that opens by a double click.

    python -m atlib.report.giveaway pdf      (make pdf)
    python -m atlib.report.giveaway zip      (make zip)

Both begin with the book that `make book` has built, and write to _build/. The PDF needs Chromium, which prints it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from ..errors import InputError, command_line
from ..files import atomic, checkout_path

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
NAME = "atlib-book"
PART = "The argument"  # of _toc.yml: the pages of the paper's sections, in order
WAIT = 20_000  # milliseconds of a page's own clock for formulas and sliders to be drawn


def argument() -> list[str]:
    """The pages of the argument in order: the front page, then those of its part of _toc.yml."""
    toc = yaml.safe_load(checkout_path("_toc.yml").read_text(encoding="utf-8"))
    parts = {part["caption"]: part["chapters"] for part in toc["parts"]}
    if PART not in parts:
        raise InputError(f"_toc.yml: no part {PART!r} among {sorted(parts)}")
    return [toc["root"], *re.findall(r"notebooks/[\w-]+", yaml.safe_dump(parts[PART], sort_keys=False))]


def built() -> Path:
    """The folder of the built book; InputError if it isn't there."""
    folder = checkout_path("_toc.yml").parent / "_build" / "html"
    if not (folder / "index.html").is_file():
        raise InputError(f"{folder}: no book there; make book builds it")
    return folder


def chromium() -> str:
    """The program; InputError if it is not installed."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is None:
        raise InputError("chromium: not installed, and the PDF is printed by it (apt install chromium)")
    return found


def printed(program: str, page: Path, target: Path) -> None:
    """Print a page of the built book to a PDF; InputError with what Chromium said if it can't."""
    with tempfile.TemporaryDirectory() as profile:
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"]
        command += [
            "--no-pdf-header-footer",
            f"--virtual-time-budget={WAIT}",
            f"--print-to-pdf={target}",
            page.as_uri(),
        ]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode or not target.is_file():
        said = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise InputError(f"{page.name}: chromium did not print it: {said}")


def pdf(folder: Path, target: Path, pages: Sequence[str]) -> Path:
    """One PDF of pages of a built book (docnames), with an outline of their titles. Returns its path."""
    program = chromium()
    try:
        from pypdf import PdfReader, PdfWriter
    except ImportError:
        raise InputError("pypdf: not installed, and it puts the pages together (pip install pypdf)") from None
    missing = [page for page in pages if not (folder / f"{page}.html").is_file()]
    if missing:
        raise InputError(f"{folder}: no {', '.join(missing)} in this book; make book builds it again")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, PdfWriter() as writer:
        for number, page in enumerate(pages):
            print(f"printing {page} ({number + 1} of {len(pages)})", flush=True)
            one = Path(scratch, f"{number}.pdf")
            printed(program, folder / f"{page}.html", one)
            text = (folder / f"{page}.html").read_text(encoding="utf-8")
            title = re.search(r"<title>(.*?)( &#8212; .*)?</title>", text, re.DOTALL)
            writer.append(PdfReader(one), outline_item=title[1].strip() if title else page)
        with atomic(target) as temporary, open(temporary, "wb") as stream:
            writer.write(stream)
    return target


def packed(folder: Path, target: Path) -> Path:
    """A zip of a built book: one folder, in which index.html opens by a double click. Returns its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with atomic(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name not in (".buildinfo", "objects.inv"):
                archive.write(path, Path(NAME, path.relative_to(folder)))
    return target


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something is missing."""
    parser = argparse.ArgumentParser(prog="python -m atlib.report.giveaway", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("form", choices=("pdf", "zip"))
    form = parser.parse_args(arguments).form
    folder = built()
    target = folder.parent / f"{NAME}.{form}"
    made = pdf(folder, target, argument()) if form == "pdf" else packed(folder, target)
    print(f"wrote {made} ({made.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
