"""What is given away and found again: descriptions, sitemap, citation, PDF, zip, and the notebook for Colab."""

from __future__ import annotations

import ast
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from docutils.core import publish_doctree
from PIL import Image

from atlib.errors import InputError
from atlib.files import REPOSITORY
from atlib.report import giveaway
from test_extensions import extension

COLAB = REPOSITORY / "colab" / "shapes.ipynb"


def application(folder: Path, base: str = "", pages: tuple[str, ...] = ("notebooks/index", "notebooks/shapes")) -> Any:
    """As much of Sphinx as the extension sees."""
    title = SimpleNamespace(astext=lambda: "A title & more")
    return SimpleNamespace(
        srcdir=str(REPOSITORY),
        outdir=str(folder),
        builder=SimpleNamespace(format="html"),
        config=SimpleNamespace(html_baseurl=base, html_title="The book", root_doc="notebooks/index"),
        env=SimpleNamespace(found_docs=set(pages), titles=dict.fromkeys(pages, title)),
    )


# --- found ------------------------------------------------------------------------------------------------------------


def test_a_description_is_the_first_paragraph_cut_at_a_sentence(tmp_path: Path) -> None:
    found = extension("found_again")
    app = application(tmp_path)
    app.srcdir = str(tmp_path)
    first = "This sentence says what the page has found, on one data set, and what the control says. "
    doctree = publish_doctree(
        f"Title\n=====\n\n* a list item that is longer than forty characters\n\nShort.\n\n{first * 3}"
    )
    assert found.description(app, "notebooks/one", doctree) == first.strip()
    assert found.description(app, "notebooks/index", None) == "A title & more: The book"
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "one.md").write_text("---\ndescription: By hand.\n---\n# One\n")
    assert found.description(app, "notebooks/one", doctree) == "By hand."
    assert len(found.shortened("word " * 99)) <= found.LONGEST and found.shortened("word " * 99).endswith("word…")


@pytest.mark.parametrize("base", ["", "https://example.org/book/"])
def test_tags_name_other_places_only_where_the_address_is_known(tmp_path: Path, base: str) -> None:
    context: dict[str, Any] = {"title": "A <em>title</em>", "metatags": "<meta a>"}
    extension("found_again").describe(
        application(tmp_path, base, ("notebooks/nowhere",)), "notebooks/nowhere", "page.html", context, None
    )
    soup = BeautifulSoup(context["metatags"], "html.parser")
    tags = {str(tag.get("property") or tag.get("name")): str(tag["content"]) for tag in soup.find_all(content=True)}
    assert tags["description"] == tags["og:description"] == "A title & more: The book" and tags["og:title"] == "A title"
    expected = {"og:url": f"{base}notebooks/nowhere.html", "og:image": f"{base}_static/card.jpg"} if base else {}
    assert {name: tags[name] for name in ("og:url", "og:image") if name in tags} == expected


def test_sitemap_picture_and_the_page_for_lost_addresses(tmp_path: Path) -> None:
    (tmp_path / "_static").mkdir()
    found = extension("found_again")
    found.finish(application(tmp_path), None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["404.html", "_static"]
    soup = BeautifulSoup((tmp_path / "404.html").read_text(encoding="utf-8"), "html.parser")
    assert soup.base and soup.base["href"] == "./"
    assert [a["href"] for a in soup.select("li a")] == ["notebooks/index.html", "notebooks/shapes.html"]

    found.finish(application(tmp_path, "https://example.org/book/"), None)
    places = re.findall(r"<loc>(.*?)</loc>", (tmp_path / "sitemap.xml").read_text(encoding="utf-8"))
    assert places == [f"https://example.org/book/notebooks/{name}.html" for name in ("index", "shapes")]
    with Image.open(tmp_path / "_static" / "card.jpg") as card:
        assert card.size == (1200, 630)
    assert '<base href="https://example.org/book/">' in (tmp_path / "404.html").read_text(encoding="utf-8")


def test_the_address_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    found, config = extension("found_again"), SimpleNamespace(html_baseurl="https://a.b/c")
    found.address(SimpleNamespace(), config)
    assert config.html_baseurl == "https://a.b/c/"
    monkeypatch.setenv(found.SITE, "https://d.e")
    found.address(SimpleNamespace(), config)
    assert config.html_baseurl == "https://d.e/"


def test_every_page_of_the_book_has_a_description(book: Path) -> None:
    """And no two the same."""
    found = {}
    for page in (book / "notebooks").glob("*.html"):
        tag = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser").select_one('meta[name="description"]')
        found[page.name] = str(tag["content"]) if tag else ""
    assert all(20 <= len(text) <= 160 for text in found.values()), found
    assert len(set(found.values())) == len(found)
    assert (book / "404.html").is_file() and not (book / "sitemap.xml").exists()


def test_the_citation_is_that_of_the_file() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))
    entries = extension("found_again").bibtex(citation)
    assert f"title = {{{citation['title']}}}" in entries and "@inproceedings{zhang2019," in entries
    assert "author = {Zhang, Tianyuan and Zhu, Zhanxing}" in entries and "author = {{The atlib authors}}" in entries


# --- given away -------------------------------------------------------------------------------------------------------


def small(folder: Path) -> Path:
    """Two pages like those of a built book."""
    (folder / "notebooks").mkdir(parents=True)
    for name, text in (("index", "First"), ("shapes", "Second")):
        page = f"<title>{text} page &#8212; The book</title><p>{text} text</p>"
        (folder / "notebooks" / f"{name}.html").write_text(page)
    (folder / "index.html").write_text('<meta http-equiv="Refresh" content="0; url=notebooks/index.html">')
    (folder / ".buildinfo").write_text("")
    return folder


def test_the_pdf_has_the_pages_in_order(tmp_path: Path, lacks: Callable[[str, str], NoReturn]) -> None:
    if not any(map(shutil.which, giveaway.PROGRAMS)):
        lacks("chromium", "Chromium is not installed (apt install chromium)")
    from pypdf import PdfReader

    made = giveaway.pdf(small(tmp_path / "html"), tmp_path / "book.pdf", ["notebooks/shapes", "notebooks/index"])
    read = PdfReader(made)
    assert [page.extract_text().strip() for page in read.pages] == ["Second text", "First text"]
    assert [str(item["/Title"]) for item in read.outline if isinstance(item, dict)] == ["Second page", "First page"]


def test_the_argument_is_the_paper_s_sections_in_order() -> None:
    pages = giveaway.argument()
    assert pages[0] == "notebooks/index" and pages[-1] == "notebooks/conclusion"
    sections = [f"notebooks/{name}" for name in ("introduction", "methods", "saliency", "saturation", "discussion")]
    assert [page for page in pages if page in sections] == sections


def test_without_chromium_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(giveaway.shutil, "which", lambda name: None)
    monkeypatch.setattr(giveaway, "built", lambda: small(tmp_path / "html"))
    assert giveaway.main(["pdf"]) == 2
    assert re.fullmatch(r"error: chromium: not installed.*\n", capsys.readouterr().err)
    monkeypatch.setattr(giveaway, "chromium", lambda: "chromium")
    with pytest.raises(InputError, match="no notebooks/nothing in this book"):
        giveaway.pdf(tmp_path / "html", tmp_path / "book.pdf", ["notebooks/nothing"])


def test_the_zip_opens_at_its_index(tmp_path: Path) -> None:
    made = giveaway.packed(small(tmp_path / "html"), tmp_path / "book.zip")
    with zipfile.ZipFile(made) as archive:
        archive.extractall(tmp_path / "out")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert names == [
        f"{giveaway.NAME}/{name}" for name in ("index.html", "notebooks/index.html", "notebooks/shapes.html")
    ]


def test_the_workflow_publishes_and_attaches_the_zip() -> None:
    jobs = yaml.safe_load((REPOSITORY / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8"))["jobs"]
    assert set(jobs) == {"build", "attach", "deploy"}
    steps = jobs["build"]["steps"]
    order = [step.get("uses", step.get("run", "")).split("@")[0] for step in steps]
    assert order.index("actions/configure-pages") < order.index("make book zip"), "which needs the address"
    assert steps[order.index("make book zip")]["env"] == {"ATLIB_SITE": "${{ steps.pages.outputs.base_url }}"}
    path = f"_build/{giveaway.NAME}.zip"
    assert any(step.get("with", {}).get("path") == path for step in steps)
    assert f"{giveaway.NAME}.zip" in jobs["attach"]["steps"][-1]["run"]


# --- Colab ------------------------------------------------------------------------------------------------------------


def cells() -> list[str]:
    """The Colab notebook's cells of Python, without the one that installs."""
    notebook = nbformat.read(COLAB, as_version=4)
    nbformat.validate(notebook)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_the_colab_notebook_names_this_repository() -> None:
    address = yaml.safe_load((REPOSITORY / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    found = set(re.findall(r"https://github\.com/[\w.-]+/[\w.-]+", COLAB.read_text(encoding="utf-8")))
    assert found == {address}, "the repository's address is set in _config.yml; colab/shapes.ipynb has to follow"
    install = cells()[0]
    assert f'REPOSITORY = "{address}"' in install and "git clone" in install and "pip install" in install


def test_the_colab_notebook_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What it names exists: the cells after the installation, in order, in one namespace."""
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    space: dict[str, Any] = {}
    last: object = None
    for source in cells()[1:]:
        tree = ast.parse(source)
        end = tree.body[-1]
        if isinstance(end, ast.Expr):
            exec(compile(ast.Module(tree.body[:-1], []), "cell", "exec"), space)
            last = eval(compile(ast.Expression(end.value), "cell", "eval"), space)
        else:
            exec(compile(tree, "cell", "exec"), space)
    assert re.findall(r"^(\S+): shape bias 0\.\d\d", capsys.readouterr().out, re.MULTILINE) == ["normal", "pgd-linf-8"]
    assert "atlib-all" in last._dom_classes  # type: ignore[attr-defined]
