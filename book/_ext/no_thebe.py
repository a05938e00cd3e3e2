"""Takes sphinx-thebe out, which Jupyter Book always loads: it adds a script twice, an error on every page, and offers
to run code by a script from another host. Here a reader runs the notebooks in JupyterLab."""

from sphinx.application import Sphinx
from sphinx.config import Config


def drop(app: Sphinx, config: Config) -> None:
    """Forget everything that sphinx_thebe has registered: its event handlers and its style sheet."""
    for listeners in app.events.listeners.values():
        listeners[:] = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
    app.registry.css_files[:] = [file for file in app.registry.css_files if "thebe" not in file[0]]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", drop)  # by then every extension has been loaded
    return {"parallel_read_safe": True, "parallel_write_safe": True}
