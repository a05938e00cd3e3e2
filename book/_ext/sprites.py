"""Lays the sprites of the explorer (atlib.report.explorer), loaded on use, where its page looks for them."""

import shutil
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from atlib.files import REPOSITORY, file_hash
from atlib.report.explorer import FOLDER

SOURCE = REPOSITORY / FOLDER.removeprefix("../")


def copy(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object) -> None:
    if FOLDER not in context.get("body", ""):
        return
    target = Path(app.outdir) / FOLDER.removeprefix("../")
    target.mkdir(parents=True, exist_ok=True)
    for sprite in sorted(SOURCE.glob("*.webp")):
        copied = target / sprite.name
        if not copied.is_file() or file_hash(copied) != file_hash(sprite):
            shutil.copyfile(sprite, copied)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
