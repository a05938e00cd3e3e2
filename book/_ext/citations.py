"""The twins' citations, which are links there (atlib.report.citations), become Sphinx's again in the build."""

import json

from sphinx.application import Sphinx

from atlib.report.citations import roles


def restore(app: Sphinx, docname: str, source: list[str]) -> None:
    if not app.env.doc2path(docname).endswith(".ipynb"):
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = roles("".join(cell["source"]))
    source[0] = json.dumps(notebook)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", restore)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
