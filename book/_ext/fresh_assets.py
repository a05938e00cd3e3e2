"""Sphinx compares pages, not style sheets, scripts or local extensions: a change of those alone would leave the old
ones in the HTML. Their hash is part of the configuration here; if it changes, every page is written again."""

import hashlib
from pathlib import Path

from sphinx.application import Sphinx


def digest(folder: Path) -> str:
    """Hash of the style sheets, scripts and extensions in book/."""
    files = [*folder.glob("_static/*.*"), *folder.glob("_ext/*.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(files))).hexdigest()


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("book_assets", digest(Path(__file__).parent.parent), "html", str)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
