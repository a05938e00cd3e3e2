"""Writes the scripts and networks of the page "Try it on a picture" into the built book; a stale network stops it."""

from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from atlib.errors import AtlibError
from atlib.report import live

PAGE = "notebooks/try"


def write(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html" or PAGE not in app.env.found_docs:
        return
    try:
        live.write(Path(app.outdir) / "_static" / "live")
    except AtlibError as error:
        raise ExtensionError(str(error)) from None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
