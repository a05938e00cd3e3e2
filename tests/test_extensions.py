"""The book's own Sphinx extensions: plain docstrings as reStructuredText, the footer, changed style sheets."""

from __future__ import annotations

import importlib.util
import inspect
import io
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import docutils.core
import numpy as np
import pytest
from PIL import Image
from sphinx.errors import ExtensionError

from atlib import attacks, saliency, style, transforms
from atlib.campaign import audit
from atlib.files import REPOSITORY
from atlib.report import export, plots


def extension(name: str) -> ModuleType:
    """An extension of book/_ext, which is no package."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "book" / "_ext" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(docstring: str) -> str:
    """A plain docstring, through the extension and docutils, as pseudo-XML; any warning raises."""
    lines = extension("plain_docstrings").as_rst(docstring.splitlines())
    return docutils.core.publish_string("\n".join(lines), settings_overrides={"halt_level": 2}).decode()


@pytest.mark.parametrize(
    ("plain", "expected"),
    [
        ("v → |2v − 1|^(2/p), a * b and x_ are no markup", "v → |2v − 1|^(2/p), a * b and x_ are no markup"),
        ("`code` is code, also within w`or`ds", "<literal>\n            code"),
        ("a lone ` stays", "a lone ' stays"),
        ("Says:\n- one\n  more\n- two", "<bullet_list"),
        ("    python -m this  # a command", "<literal_block"),
        ("first line\n  that is indented further", "first line that is indented further"),
        ("1. not a list, `a`", "1. not"),
    ],
)
def test_plain_docstring(plain: str, expected: str) -> None:
    assert expected in read(plain)


@pytest.mark.parametrize("module", [attacks, audit, saliency, style, transforms])
def test_our_docstrings_pass_without_a_warning(module: ModuleType) -> None:
    ours = [x for x in vars(module).values() if inspect.isroutine(x) or inspect.isclass(x)]
    ours = [x for x in ours if x.__module__.startswith(module.__name__) and x.__doc__]  # of a package, its modules
    assert ours
    for thing in [module, *ours]:
        if thing.__doc__:
            assert "system_message" not in read(inspect.cleandoc(thing.__doc__))


def test_figures_count_from_one_on_every_page() -> None:
    ours = extension("numbered_per_page")
    captions = "".join(f'<span class="caption-number">Fig. {n} </span>' for n in (9, 10))
    page = ours.renumbered(captions + 'see <span class="std std-numref">Fig. 10</span>, not the paper\'s Fig. 10')
    assert [found[2] for found in ours.CAPTION.finditer(page)] == ["1", "2"]
    assert page.endswith('see <span class="std std-numref">Fig. 2</span>, not the paper\'s Fig. 10')
    with pytest.raises(ValueError, match=r"Fig\. 11 of the book"):
        ours.renumbered(captions + '<span class="std std-numref">Fig. 11</span>')


def test_footer_leads_to_source_notebook_and_command() -> None:
    footer = extension("page_footer")
    context: dict[str, Any] = {"body": "<p>text</p>", "pathto": lambda path, resource: f"../{path}"}
    footer.add(SimpleNamespace(), "notebooks/shapes", "page.html", context, None)
    for part in ("../_sources/book/shapes.md.txt", "../_sources/notebooks/shapes.ipynb", "PAGE=shapes ALL=1"):
        assert part in context["body"]
    search: dict[str, Any] = {"body": "", "pathto": context["pathto"]}
    footer.add(SimpleNamespace(), "search", "search.html", search, None)
    assert search["body"] == ""


def test_a_chart_turns_dark_and_its_photograph_stays() -> None:
    with plots.sheet(1, 3, 6, 2) as (figure, axes):
        axes[0, 0].plot([0, 1], [0.5, 0.5], color="black", linewidth=20)
        axes[0, 0].plot([0, 1], [0.9, 0.9], color="#0072B2", linewidth=8)
        axes[0, 0].set_ylim(0, 1)
        for axis, picture, colours in zip(axes[0, 1:], ([[[0.2, 1.0, 1.0]]], [[1.0]]), (None, "gray_r"), strict=True):
            axis.imshow(picture, cmap=colours, vmin=0, vmax=1)
            axis.grid(False)
    chart = Image.open(io.BytesIO(figure._repr_png_()))
    dark = extension("dark_charts").turned(chart)
    assert len(chart.info["Pictures"].split(";")) == 1  # a map drawn on white is turned like a chart
    height = chart.height

    def centre(axis: Any, share: float = 0.5) -> tuple[int, ...]:
        box = axis.get_window_extent()
        place = int((box.x0 + box.x1) / 2) + 3, int(height - box.y0 - share * (box.y1 - box.y0))
        return dark.getpixel(place)

    assert dark.getpixel((1, 1))[3] == 0, "the page's own ground"
    assert centre(axes[0, 0]) == (235, 235, 235, 255), "black is light"
    assert centre(axes[0, 0], 0.9) == (36, 134, 189, 255), "a dark colour is lighter, in its own hue"
    assert centre(axes[0, 1]) == (51, 255, 255, 255), "a photograph stays, white as it may be"
    assert centre(axes[0, 2]) == (235, 235, 235, 255)


def test_colours_of_dark_charts_can_be_read() -> None:
    charts = extension("dark_charts")

    def contrast(colour: np.ndarray) -> float:
        return (charts.luminance(colour) + 0.05) / (charts.luminance(np.full(3, charts.GROUND)) + 0.05)

    assert charts.luminance(np.ones(3)) == pytest.approx(1) and contrast(np.ones(3)) == pytest.approx(18.7, abs=0.2)
    assert all(contrast(charts.readable(ink)) >= 4.5 for ink in charts.inks())
    kept = np.array([0.902, 0.624, 0.0])  # orange is light enough
    assert np.array_equal(charts.readable(kept), kept)


def test_numbers_are_not_torn_apart() -> None:
    unbroken = extension("unbroken").unbroken
    assert unbroken("<p>a share of 48 % here</p>") == "<p>a share of 48\u00a0% here</p>"
    assert unbroken("<td>+9.1 [+2.3, +15.8]</td>") == "<td>+9.1 [+2.3,\u00a0+15.8]</td>"
    assert unbroken("in 4 × 4 or k × k patches") == "in 4\u00a0×\u00a04 or k\u00a0×\u00a0k patches"
    assert unbroken("−.05 [−.06, −.04]") == "−.05 [−.06,\u00a0−.04]"
    for kept in (
        "<pre>x[1, 2] 5 % 3</pre>",
        '<p><code class="x">[0, 1]</code></p>',
        "<script>a = [1, 2]; b = 7 % 2</script>",
        '<span class="math notranslate">\\([0, 1]\\)</span>',
        '<a title="48 % [1, 2]">Zhu [2019]</a>',
        "<!-- 5 % -->",
    ):
        assert unbroken(kept) == kept


def test_downloads_are_named_after_page_and_content() -> None:
    link = '<a download="{}.csv" href="data:text/csv;base64,YQ==">data</a>'
    body = "".join(link.format(name) for name in ("cifar-10", "cifar-10", "saturation-levels"))
    found = extension("page_footer").name_downloads(body + '<a href="x.ipynb" download>', "saturation")
    expected = [link.format(f"saturation-{name}") for name in ("cifar-10", "cifar-10-2", "levels")]
    assert found == "".join(expected) + '<a href="x.ipynb" download>'


@pytest.mark.parametrize(
    ("kind", "mark"), [("source", "code"), ("content", "code and result"), ("outputs", "outputs"), ("<b>", "&lt;b&gt;")]
)
def test_folded_code_is_a_mark_with_a_name(kind: str, mark: str) -> None:
    body: list[str] = []
    quiet = extension("quiet_code")
    quiet.visit(SimpleNamespace(body=body), {"prompt_show": kind})
    quiet.depart(SimpleNamespace(body=body), {})
    assert "".join(body).split() == f'<details class="code-mark"><summary>{mark}</summary> </details>'.split()


def test_a_changed_style_sheet_changes_the_configuration(tmp_path: Path) -> None:
    digest = extension("fresh_assets").digest
    (tmp_path / "_static").mkdir()
    (tmp_path / "_static" / "a.css").write_text("p { color: red }")
    before = digest(tmp_path)
    assert digest(tmp_path) == before
    (tmp_path / "_static" / "a.css").write_text("p { color: blue }")
    assert digest(tmp_path) != before


def application(folder: Path, *pages: str) -> SimpleNamespace:
    """As much of Sphinx as an extension sees when a book has been built."""
    builder, env = SimpleNamespace(format="html"), SimpleNamespace(found_docs=set(pages))
    return SimpleNamespace(builder=builder, env=env, outdir=str(folder), srcdir=str(folder))


def test_a_stale_network_stops_the_build_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "FORMAT", export.FORMAT + 1)
    written = extension("live_page").write
    with pytest.raises(ExtensionError, match="run `make live`") as refusal:
        written(application(tmp_path, "notebooks/try"), None)
    assert "\n" not in str(refusal.value)
    written(application(tmp_path, "notebooks/index"), None)  # a book without the page needs none of it
    assert not (tmp_path / "_static").exists()
