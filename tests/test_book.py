"""The pages and their twins, the tool that keeps them in step, and the HTML that comes out."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from atlib.files import REPOSITORY
from atlib.report import pages

PAIRS = pages.pairs()
TOC = yaml.safe_load((REPOSITORY / "_toc.yml").read_text(encoding="utf-8"))
SPOKEN = {"print", "display", "show"}


def in_toc() -> list[str]:
    """The names of the pages that the table of contents lists."""
    return [name.removeprefix("notebooks/") for name in re.findall(r"notebooks/\w[\w-]*", yaml.safe_dump(TOC))]


def twin(name: str) -> NotebookNode:
    return nbformat.read(PAIRS[name][1], as_version=4)


def speaks(code: str) -> bool:
    """Whether a cell should have an output: it ends with an expression, or prints or shows at its top level."""
    tree = ast.parse(re.sub(r"^\s*[%!].*$", "pass", code, flags=re.MULTILINE))
    if tree.body and isinstance(tree.body[-1], ast.Expr) and not code.rstrip().endswith(";"):
        return True
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            if name in SPOKEN:
                return True
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))
    return False


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = 1", False),
        ("x", True),
        ("x;", False),
        ("import os\nprint(os)", True),
        ("for x in y:\n    print(x)", True),
        ("def f():\n    print(1)", False),
        ("fig, ax = subplots()\nplt.show()", True),
        ("%matplotlib inline\nx = 1", False),
    ],
)
def test_speaks(code: str, expected: bool) -> None:
    assert speaks(code) is expected


def test_every_page_has_a_twin_and_every_twin_a_page() -> None:
    twins = {path.stem for path in (REPOSITORY / "notebooks").glob("*.ipynb")}
    assert twins == set(PAIRS), "run `make notebooks`, or remove the twin whose page is gone"


@pytest.mark.parametrize("name", PAIRS)
def test_twin_is_in_step(name: str) -> None:
    page = pages.read(PAIRS[name][0].read_text(encoding="utf-8"))
    assert pages.source(twin(name)) == pages.source(page), f"book/{name}.md has changed: run `make notebooks`"


@pytest.mark.parametrize("name", PAIRS)
def test_twin_is_byte_stable(name: str) -> None:
    assert PAIRS[name][1].read_text(encoding="utf-8") == pages.as_text(twin(name)), (
        "saved by another tool: run `make notebooks`"
    )


def test_toc_lists_all_pages_but_the_jobs() -> None:
    assert sorted(in_toc()) == sorted(name for name in PAIRS if not pages.is_job(twin(name)))


@pytest.mark.parametrize("name", in_toc())
def test_page_has_its_outputs(name: str) -> None:
    assert pages.was_run(twin(name)), "not run from first cell to last: run `make notebooks`"
    for cell in pages.code(twin(name)):
        assert not any(output.output_type == "error" for output in cell.outputs), cell.source
        if speaks(cell.source) and "silent" not in cell.metadata.get("tags", []):
            assert cell.outputs, f"should print something (or be tagged `silent`):\n{cell.source}"


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in in_toc()])
def test_job_is_kept_without_outputs(name: str) -> None:
    assert not any(cell.outputs or cell.execution_count for cell in pages.code(twin(name)))


@pytest.mark.parametrize("name", PAIRS)
def test_links_are_root_absolute(name: str) -> None:
    text = "\n".join(cell.source for cell in twin(name).cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\(([^)\s]+)", text)
    assert [t for t in targets if not t.startswith(("/", "#", "https://", "http://", "mailto:"))] == []


# --- the tool ---------------------------------------------------------------------------------------------------------

HEADER = "---\nkernelspec:\n  display_name: Python 3\n  language: python\n  name: python3\n---\n\n"
CODE = "```{{code-cell}} ipython3\n{}\n```\n"


def page_in(folder: Path, text: str) -> tuple[Path, Path]:
    """Write book/page.md in a folder; the paths of the page and its twin."""
    for name in ("book", "notebooks"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "book" / "page.md").write_text(HEADER + text)
    return pages.pairs(folder)["page"]


def test_update_runs_changed_code_only_and_writes_the_same_bytes(tmp_path: Path) -> None:
    code = CODE.format("import sys\nfor i in range(3):\n    print(i, flush=True)\nsys.flags.optimize")
    pair = page_in(tmp_path, "# One\n\n" + code)
    assert pages.update(*pair) == "run"
    first = pair[1].read_bytes()
    assert b'"0\\n",\n' in first and b"execution" not in first.replace(b"execution_count", b"")
    assert pages.update(*pair) == "nothing"
    assert pages.update(*pair, again=True) == "run"
    assert pair[1].read_bytes() == first

    page_in(tmp_path, "# Two\n\n" + code)  # only text: the output stays, without a kernel
    assert pages.update(*pair) == "text"
    now = nbformat.read(pair[1], as_version=4)
    assert (now.cells[0].source, now.cells[1].outputs[0].text) == ("# Two", "0\n1\n2\n")


def test_update_leaves_the_twin_when_a_cell_fails(tmp_path: Path) -> None:
    pair = page_in(tmp_path, "# One\n")
    assert pages.update(*pair) == "text"
    before = pair[1].read_bytes()
    page_in(tmp_path, "# One\n\n" + CODE.format("1 / 0"))
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        pages.update(*pair)
    assert pair[1].read_bytes() == before


def test_update_does_not_run_jobs(tmp_path: Path) -> None:
    pair = page_in(tmp_path, CODE.format(":tags: [parameters]\n\neps = 8") + "\n" + CODE.format("1 / 0"))
    assert pages.update(*pair) == "text"
    job = nbformat.read(pair[1], as_version=4)
    assert pages.is_job(job)
    assert [(c.outputs, c.execution_count) for c in job.cells] == [([], None)] * 2


def test_unknown_page_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert pages.main(["indexx"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: NAME = 'indexx': ") and "'index'?" in message and message.count("\n") == 1


# --- the HTML -----------------------------------------------------------------------------------------------------


class Requests(HTMLParser):
    """What a page makes a browser load, and its inline scripts and styles."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.inside = ""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attributes}
        kind = values.get("type", "")
        self.inside = tag if tag in ("script", "style") and "json" not in kind else ""
        loading = {"src", "srcset", "data", "poster"} if tag != "link" else {"href"}
        self.addresses += [values[key] for key in loading & set(values)]

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.inline.append(data)


@pytest.fixture(scope="module")
def specimen(tmp_path_factory: pytest.TempPathFactory, build: Callable[[Path, Path], Path]) -> Path:
    """A book of one page with a formula and a widget, built with this book's settings."""
    root = tmp_path_factory.mktemp("specimen")
    for name in ("_config.yml", "book"):
        (root / name).symlink_to(REPOSITORY / name)
    (root / "_toc.yml").write_text("format: jb-book\nroot: notebooks/index\n")
    slider = {"model_module": "@jupyter-widgets/controls", "model_module_version": "2.0.0", "state": {}}
    state = {"state": {"one": slider | {"model_name": "IntSliderModel"}}, "version_major": 2, "version_minor": 0}
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "one", "version_major": 2, "version_minor": 0}}
    v4 = nbformat.v4
    page = v4.new_notebook(metadata={"widgets": {"application/vnd.jupyter.widget-state+json": state}})
    page.cells = [
        v4.new_markdown_cell("# A specimen\n\n$$ e = m c^2 $$ (energy)\n\nEquation {eq}`energy`; {cite:t}`madry2018`."),
        v4.new_code_cell("slider", execution_count=1, outputs=[v4.new_output("display_data", data=view)]),
        v4.new_markdown_cell("```{bibliography}\n```"),
    ]
    (root / "notebooks").mkdir()
    nbformat.write(pages.settle(page), root / "notebooks" / "index.ipynb")
    return build(root, root)


@pytest.fixture(params=["book", "specimen"])
def html(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def test_book_has_all_pages(book: Path) -> None:
    assert (book / "index.html").exists()
    assert {path.stem for path in (book / "notebooks").glob("*.html")} == set(in_toc())


def test_pages_load_nothing_from_other_hosts(html: Path) -> None:
    for page in html.rglob("*.html"):
        if "_static" in page.parts:  # templates of the theme, which no page loads
            continue
        loads = Requests(page)
        for address in loads.addresses:
            parts = urlsplit(address)
            assert not parts.netloc and parts.scheme in ("", "data"), f"{page.name} loads {address}"
            if parts.path and not parts.scheme:
                local = page.parent / unquote(parts.path)
                assert local.exists(), f"{page.name} loads {address}, which is not there (JavaScript: `make vendor`)"
                if local.suffix == ".js" and "vendor" not in local.parts:
                    assert not re.search(
                        r"//(cdn|unpkg|[\w.]*jsdelivr|[\w.]*cloudflare)\b", local.read_text(encoding="utf-8")
                    ), address
        assert not re.search(r"https?://(?!www\.w3\.org)", "".join(loads.inline)), f"{page.name}: inline script"


def soups(book: Path) -> dict[Path, BeautifulSoup]:
    """Every page of the book, parsed."""
    found = [*(book / "notebooks").glob("*.html"), *book.glob("*.html")]
    return {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in sorted(found)}


@pytest.fixture(scope="module")
def parsed(book: Path) -> dict[Path, BeautifulSoup]:
    return soups(book)


def dead_links(parsed: dict[Path, BeautifulSoup]) -> list[str]:
    """Links within the book to a file or an anchor that isn't there, as "page: link"."""
    anchors = {path: {str(tag["id"]) for tag in soup.find_all(id=True)} for path, soup in parsed.items()}
    dead = []
    for path, soup in parsed.items():
        for link in soup.find_all("a", href=True):
            parts = urlsplit(str(link["href"]))
            if parts.scheme or parts.netloc:
                continue
            target = path.parent.joinpath(unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            if not target.exists() or (anchor and target in anchors and anchor not in anchors[target]):
                dead.append(f"{path.name}: {link['href']}")
    return dead


def unlabelled(soup: BeautifulSoup) -> list[str]:
    """Pictures without an alternative text, figures and tables without a numbered caption, of a page's article."""
    article = soup.select_one("article")
    assert article
    found = [tag for tag in article.find_all("img") if not str(tag.get("alt", "")).strip()]
    found += [tag for tag in article.find_all("figure") if not tag.select("figcaption .caption-number")]
    for table in article.find_all("table"):
        caption = table.find("caption")
        # numbers of tables made from rows are the style sheet's
        counted = "numbered" in (table.get("class") or []) or (caption and caption.select(".caption-number"))
        if not caption or not caption.get_text(strip=True) or not counted:
            found.append(table)
    return [str(tag)[:200] for tag in found]


def test_links_within_the_book_resolve(parsed: dict[Path, BeautifulSoup]) -> None:
    assert dead_links(parsed) == []


@pytest.mark.parametrize("name", in_toc())
def test_figures_and_tables_are_labelled(name: str, book: Path, parsed: dict[Path, BeautifulSoup]) -> None:
    assert unlabelled(parsed[book / "notebooks" / f"{name}.html"]) == []


def test_faults_of_a_page_are_noticed(tmp_path: Path) -> None:
    page = (
        '<article id="top"><img alt=" "><figure><figcaption>text</figcaption></figure><table></table>'
        '<table class="numbered"><caption>text</caption></table><table><caption>text</caption></table>'
        '<a href="#top"></a><a href="#bottom"></a><a href="a.html#top"></a><a href="b.html"></a><a href="https://b.c"></a>'
    )
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "a.html").write_text(page)
    found = soups(tmp_path)
    assert dead_links(found) == ["a.html: #bottom", "a.html: b.html"]
    assert [line[:7] for line in unlabelled(*found.values())] == ["<img al", "<figure", "<table>", "<table>"]


def test_styles_load_nothing_from_other_hosts(html: Path) -> None:
    for sheet in html.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name


def test_formulas_and_widgets_are_drawn_by_our_own_scripts(specimen: Path) -> None:
    addresses = [urlsplit(a).path for a in Requests(specimen / "notebooks" / "index.html").addresses]
    order = [a for a in addresses if a.endswith(("widgets-compat.js", "vendor/embed.js", "tex-mml-chtml.js"))]
    assert [Path(a).name for a in order if "mathjax" not in a] == ["widgets-compat.js", "embed.js"]
    assert any("vendor/mathjax" in a for a in order)
    assert "application/vnd.jupyter.widget-view+json" in (specimen / "notebooks" / "index.html").read_text(
        encoding="utf-8"
    )


def test_thebe_is_gone(html: Path) -> None:
    assert "thebe" not in (html / "notebooks" / "index.html").read_text(encoding="utf-8").lower()
