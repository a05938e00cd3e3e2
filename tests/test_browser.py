"""The book as readers see it: every page in a headless Chromium, over http and from the disk.

Skipped where Chromium is not installed; with ATLIB_REQUIRE=chromium that is a failure. Where a slider should lead is
read from the committed notebooks: their widgets' state says which control is linked to which stack of frames.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import nbformat
import pytest
from nbformat import NotebookNode
from PIL import Image

from atlib.files import REPOSITORY
from atlib.report import pages
from benchmarks.serving import served

PAGES = re.findall(r"notebooks/([\w-]+)", (REPOSITORY / "_toc.yml").read_text(encoding="utf-8"))
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
AXE = REPOSITORY / "tests" / "vendor" / "axe.min.js"
STATE = "application/vnd.jupyter.widget-state+json"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
WEIGHT = 2e6  # bytes of a page
# Milliseconds before it is a failure that a page doesn't load, or a slider doesn't lead where it should.
LOADING, MOVING = 300_000.0, 60_000.0

# Serious findings of axe that are not ours to mend: rule, what the element's HTML begins with, and whose it is.
TOLERATED = [
    ("label-content-name-mismatch", '<button class="btn search-button', "theme: its name leaves out the shortcut"),
    ("label-content-name-mismatch", '<button class="btn btn-sm nav-link pst-navbar-icon theme-switch', "theme"),
    ("summary-name", "<summary>", "theme: opens a section of the contents"),
    ("aria-required-children", '<div role="list" class="citation-list">', "docutils: a bibliography"),
    ("definition-list", "<dl>", "Sphinx: the parameters of a long signature"),
]


# --- a browser --------------------------------------------------------------------------------------------------------


class View:
    """One tab, which is used for all pages: what it asked for, and what it complained about."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.sent: list[str] = []  # requests that carry more than a file's version
        page.set_default_timeout(LOADING)
        page.on("console", self.hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self.miss)
        page.on("request", self.note)

    def note(self, request: Any) -> None:
        self.requests.append(request.url)
        query = urlsplit(request.url).query
        if request.method != "GET" or request.post_data or not re.fullmatch(r"((v|digest)=[0-9a-f.]+)?", query):
            self.sent.append(f"{request.method} {request.url}")

    def hear(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def miss(self, request: Any) -> None:
        # Chromium aborts requests itself, such as the one for the icon when the address changes its fragment meanwhile
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url}")

    def open(self, address: str, widgets: int = 0) -> None:
        """Load a page and wait until formulas and widgets are drawn."""
        self.complaints.clear()
        self.requests.clear()
        self.sent.clear()
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size(DESK)
        self.page.goto("about:blank")
        self.page.goto(address)
        self.page.add_style_tag(content="* { transition: none !important; animation: none !important }")
        self.page.evaluate("() => window.MathJax?.startup?.promise?.then(() => true)")
        self.page.wait_for_function(f"document.querySelectorAll('{BOXES}').length >= {widgets}")

    def foreign(self) -> list[str]:
        """Requests to anything but the disk and this machine."""
        return [url for url in self.requests if urlsplit(url).hostname not in (None, "127.0.0.1")]


@pytest.fixture(scope="session")
def chromium(lacks: Callable[[str, str], NoReturn]) -> str:
    """The program; looked for before a book is built."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    return found or lacks("chromium", "Chromium is not installed (apt install chromium)")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # no name is looked up: what a page asks of another host fails, and is seen
        closed = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        # without a GPU, one that is emulated costs more than to draw by software
        running = playwright.chromium.launch(executable_path=chromium, args=[closed, "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture(scope="module")
def view(browser: Any) -> View:
    return View(browser.new_page())


@pytest.fixture(scope="module")
def site(book: Path) -> Iterator[str]:
    """The book over http."""
    with served(book) as address:
        yield address


# --- where sliders lead -----------------------------------------------------------------------------------------------

BOXES = ".cell_output > .jupyter-widgets, .cell_output .widget-subarea > .jupyter-widgets"
CONTROLS = {
    "SelectionSliderModel": ".noUi-handle",
    "IntSliderModel": ".noUi-handle",
    "ToggleButtonsModel": ".widget-toggle-buttons",
}


class Move(NamedTuple):
    """A key pressed on a control (its place among the page's controls), and the frames that are then shown.

    button: of several that are one control, the one on which the key is pressed; None for a slider.
    """

    control: int
    name: str
    key: str
    button: int | None
    expected: list[str]


class Sliders:
    """The widgets of a notebook as their saved state describes them."""

    def __init__(self, notebook: NotebookNode) -> None:
        self.models = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
        self.roots = [
            output.data[pages.VIEW]["model_id"]
            for cell in pages.code(notebook)
            for output in cell.outputs
            if pages.VIEW in output.get("data", {})
        ]
        self.controls = [name for root in self.roots for name in self.walk(root) if self.kind(name) in CONTROLS]
        self.places = {name: self.start(name) for name in self.controls}
        self.links: dict[str, str] = {}  # from a stack to its control
        for model in self.models.values():
            if model["model_name"] in ("LinkModel", "DirectionalLinkModel"):
                (source, _), (target, trait) = model["state"]["source"], model["state"]["target"]
                assert trait == "selected_index"
                self.links[bare(target)] = bare(source)

    def kind(self, name: str) -> str:
        return self.models[name]["model_name"]

    def start(self, name: str) -> int:
        state = self.models[name]["state"]
        return state["index"] if "index" in state else state["value"]

    def count(self, name: str) -> int:
        state = self.models[name]["state"]
        return len(state["_options_labels"]) if "_options_labels" in state else state["max"] + 1

    def children(self, name: str) -> list[str]:
        """What of a widget's children is shown: all, or the chosen one of a stack."""
        all_of_them = [bare(child) for child in self.models[name]["state"].get("children", [])]
        if self.kind(name) != "StackModel":
            return all_of_them
        return [all_of_them[self.places[self.links[name]]]]

    def walk(self, name: str) -> Iterator[str]:
        """A widget and what it shows; controls never stand inside a stack."""
        yield name
        if self.kind(name) != "StackModel":
            for child in self.children(name):
                yield from self.walk(child)

    def shown(self) -> list[str]:
        """The HTML of the frames on show, in the page's order."""
        waiting, found = list(reversed(self.roots)), []
        while waiting:
            name = waiting.pop()
            value = self.models[name]["state"].get("value", "")
            if isinstance(value, str) and "data-frame=" in value:
                found.append(value)
            waiting.extend(reversed(self.children(name)))
        return found

    def moves(self) -> Iterator[Move]:
        """Every control to its first, second, last and last but one place, one after the other."""
        for number, name in enumerate(self.controls):
            buttons = self.kind(name) == "ToggleButtonsModel"
            last = self.count(name) - 1
            ends = []
            for key, place in (("Home", 0), ("ArrowRight", 1), ("End", last), ("ArrowLeft", last - 1)):
                self.places[name] = place
                ends.append(self.shown())
                said = self.models[name]["state"]["description"]
                yield Move(number, said, "Enter" if buttons else key, place if buttons else None, ends[-1])
            assert ends[0] != ends[1] and ends[2] != ends[3], f"{name}: moves nothing"


def bare(reference: str) -> str:
    return reference.removeprefix("IPY_MODEL_")


SHOWN = "[...document.querySelectorAll('[data-frame]')].filter(e => e.checkVisibility())"
HASHES = f"() => {SHOWN}.map(e => e.dataset.frame)"
# The frames on show are, element by element, those of the notebook, and their pictures have been decoded.
SAME = """async (expected) => {
  const shown = SHOWN;
  await Promise.all(shown.flatMap(e => [...e.querySelectorAll("img")]).map(image => image.decode()));
  const parsed = expected.map(html => new DOMParser().parseFromString(html, "text/html").querySelector("[data-frame]"));
  return shown.length === parsed.length && shown.every((e, i) => e.isEqualNode(parsed[i]));
}""".replace("SHOWN", SHOWN)


def hashes(frames: list[str]) -> list[str]:
    return [re.findall(r'data-frame="([^"]+)"', frame)[0] for frame in frames]


def check_frames(view: View, frames: list[str], what: str) -> None:
    """The frames on show are these, at once or soon."""
    from playwright.sync_api import TimeoutError

    expected = hashes(frames)
    with contextlib.suppress(TimeoutError):  # what is shown instead, the assertion says
        want = json.dumps(expected, separators=(",", ":"))
        view.page.wait_for_function(f"want => JSON.stringify(({HASHES})()) === want", arg=want, timeout=MOVING)
    assert view.page.evaluate(HASHES) == expected, what
    assert view.page.evaluate(SAME, frames), f"{what}: the frame has its hash, but isn't the notebook's"


def check_sliders(view: View, notebook: NotebookNode) -> int:
    """Move every control of an open page by keyboard, and compare what is shown; how many moves there were."""
    sliders = Sliders(notebook)
    selectors = ", ".join(f":is({BOXES}) {selector}" for selector in sorted(set(CONTROLS.values())))
    found = view.page.locator(selectors)
    assert found.count() == len(sliders.controls)
    check_frames(view, sliders.shown(), "as the page opens")
    moves = list(sliders.moves())
    for move in moves:
        control = found.nth(move.control)
        if move.button is not None:
            control = control.locator("button").nth(move.button)
        control.focus()
        control.press(move.key)
        check_frames(view, move.expected, f"{move.key} on {move.name!r}")
    return len(moves)


# --- a page made for these tests --------------------------------------------------------------------------------------

SPECIMEN = """---
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A specimen

```{code-cell} ipython3
import ipywidgets as w

def frame(name):
    return w.HTML(f'<div data-frame="{name}"><p>{name}</p></div>')

from atlib.report import widgets

one = w.SelectionSlider(options=["a", "b", "c"], description="one")
two = w.SelectionSlider(options=["x", "y", "z"], value="y", description="two")
inner = [w.Stack([frame(f"{a}{x}") for x in "xyz"], selected_index=1) for a in "abc"]
outer = w.Stack(inner, selected_index=0)
for stack in inner:
    w.jslink((two, "index"), (stack, "selected_index"))
w.jslink((one, "index"), (outer, "selected_index"))
w.VBox([one, two, outer])
```
"""


Specimen = tuple[str, NotebookNode]
SmallBook = tuple[Path, dict[str, NotebookNode]]


@pytest.fixture(scope="module")
def small_book(tmp_path_factory: pytest.TempPathFactory, build: Callable[[Path, Path], Path]) -> SmallBook:
    """A book of these tests' own pages with this book's settings: the folder of its pages, and their notebooks, run."""
    root = tmp_path_factory.mktemp("small")
    (root / "_config.yml").write_text((REPOSITORY / "_config.yml").read_text(encoding="utf-8"))
    made = {"specimen": SPECIMEN, "own": OWN, "marked": MARKED}
    first, *others = (f"notebooks/{name}" for name in made)
    chapters = "".join(f"  - file: {name}\n" for name in others)
    (root / "_toc.yml").write_text(f"format: jb-book\nroot: {first}\nchapters:\n{chapters}")
    for name in ("notebooks", "book"):
        (root / name).mkdir()
    for name in ("_ext", "_static", "references.bib"):
        (root / "book" / name).symlink_to(REPOSITORY / "book" / name)
    notebooks = {name: pages.read(text) for name, text in made.items()}
    for name, notebook in notebooks.items():
        pages.run(notebook, root)
        nbformat.write(pages.settle(notebook), root / "notebooks" / f"{name}.ipynb")
    return build(root, root) / "notebooks", notebooks


@pytest.fixture(scope="module")
def specimen(small_book: SmallBook) -> Specimen:
    """The address of a page with two sliders over nine frames, and the page's notebook."""
    folder, notebooks = small_book
    return (folder / "specimen.html").as_uri(), notebooks["specimen"]


def test_sliders_of_the_specimen_by_keyboard(specimen: Specimen, view: View) -> None:
    address, notebook = specimen
    view.open(address, widgets=1)
    assert hashes(Sliders(notebook).shown()) == ["ay"]
    keys = [(move.key, *hashes(move.expected)) for move in Sliders(notebook).moves()]
    assert keys[:4] == [("Home", "ay"), ("ArrowRight", "by"), ("End", "cy"), ("ArrowLeft", "by")]
    assert keys[4:] == [("Home", "bx"), ("ArrowRight", "by"), ("End", "bz"), ("ArrowLeft", "by")]
    assert check_sliders(view, notebook) == 8
    assert view.complaints == [] and view.foreign() == []


@pytest.mark.parametrize("fault", ["link", "frame", "picture"])
def test_a_faulty_slider_is_noticed(
    specimen: Specimen, view: View, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "MOVING", 10_000.0)
    address, notebook = specimen
    view.open(address, widgets=1)
    other = copy.deepcopy(notebook)
    models = other.metadata["widgets"][STATE]["state"]
    if fault == "link":  # the page follows its link, this notebook another
        links = [model["state"] for model in models.values() if model["model_name"] == "LinkModel"]
        links[0]["source"], links[-1]["source"] = links[-1]["source"], links[0]["source"]
    else:
        last = next(m["state"] for m in models.values() if "cy" in str(m["state"].get("value", "")))
        last["value"] = last["value"].replace("cy", "xx") if fault == "frame" else last["value"].replace(">cy<", ">xx<")
    with pytest.raises(AssertionError, match="as the page opens" if fault == "link" else "End on 'one'"):
        check_sliders(view, other)


def test_sliders_of_the_specimen_by_mouse_and_touch(specimen: Specimen, browser: Any) -> None:
    address, _ = specimen
    context = browser.new_context(has_touch=True, viewport=PHONE)
    touched = View(context.new_page())
    touched.open(address, widgets=1)
    tracks = touched.page.locator(".noUi-base")
    place = {"x": tracks.nth(0).bounding_box()["width"] - 1, "y": 1}
    tracks.nth(0).click(position=place)
    touched.page.wait_for_function(f"({HASHES})()[0] === 'cy'")
    tracks.nth(1).tap(position={"x": 1, "y": 1})
    touched.page.wait_for_function(f"({HASHES})()[0] === 'cx'")
    context.close()


def test_the_short_address_keeps_what_it_says_of_a_slider(tmp_path: Path, browser: Any) -> None:
    """A teacher may send the book's own address with #saturation=inf; Jupyter Book's redirect would lose it."""
    shutil.copyfile(REPOSITORY / "book" / "root.html", tmp_path / "index.html")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "index.html").write_text("<title>front</title>")
    page = browser.new_page()
    page.goto(f"{(tmp_path / 'index.html').as_uri()}#saturation=inf")
    page.wait_for_url("**/notebooks/index.html#saturation=inf")
    page.close()


def test_a_complaint_and_a_foreign_request_are_noticed(tmp_path: Path, view: View) -> None:
    text = "<script>console.error('said')</script><script>nothing.there</script><img src='http://example.org/a.png'>"
    (tmp_path / "bad.html").write_text(text)
    view.open((tmp_path / "bad.html").as_uri())
    assert view.foreign() == ["http://example.org/a.png"]
    found = "\n".join(view.complaints)
    assert "said" in found and "nothing is not defined" in found and "failed: http://example.org/a.png" in found


# --- the book's own sliders -------------------------------------------------------------------------------------------

OWN = """---
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# Sliders

```{code-cell} ipython3
:tags: [hide-input]

from atlib.report import widgets

widgets.stylised("cifar10")
```

```{code-cell} ipython3
:tags: [hide-input]

widgets.attack("cifar10")
```

## Another heading
"""
STATES = """() => [...document.querySelectorAll(".atlib-controls > :not(.atlib-reset)")].map(e => {
  const handle = e.querySelector(".noUi-handle");
  return (handle ?? e).getAttribute("aria-label") + ": "
    + (handle ? handle.getAttribute("aria-valuetext") : e.querySelector("[aria-pressed=true]").textContent);
})"""


@pytest.fixture(scope="module")
def own(small_book: SmallBook) -> Iterator[tuple[str, str]]:
    """The addresses of a page with two of the book's own widgets: on the disk, and over http."""
    folder, _ = small_book
    with served(folder.parent) as site:
        yield (folder / "own.html").as_uri(), f"{site}/notebooks/own.html"


def wait_for_states(view: View, *expected: str) -> None:
    """The controls stand like this, in words, and as a screen reader hears it."""
    want = json.dumps(list(expected), separators=(",", ":"), ensure_ascii=False)
    try:
        view.page.wait_for_function(f"want => JSON.stringify(({STATES})()) === want", arg=want, timeout=MOVING)
    except Exception:
        assert view.page.evaluate(STATES) == list(expected)
        raise


BEGIN = ("picture: cat", "style: none", "picture: cat", "budget: 8/255", "step: 40 = finished")


@pytest.mark.parametrize("place", [0, 1], ids=["disk", "http"])
def test_the_address_holds_the_sliders(own: tuple[str, str], view: View, place: int) -> None:
    view.open(own[place], widgets=2)
    wait_for_states(view, *BEGIN)
    assert "#" not in view.page.url
    view.page.locator(".atlib-key-budget .noUi-handle").press("End")
    view.page.get_by_role("button", name="ship").first.click()
    moved = ("picture: ship", "style: none", "picture: cat", "budget: 64/255", "step: 40 = finished")
    wait_for_states(view, *moved)
    view.page.wait_for_url("**#*")
    assert sorted(urlsplit(view.page.url).fragment.split("&")) == ["budget=64", "styled-picture=ship"]

    view.open(view.page.url, widgets=2)  # as somebody to whom it was sent
    wait_for_states(view, *moved)
    box = view.page.locator(".atlib-all").first
    view.page.wait_for_function(
        "() => scrollY > 0 || document.querySelector('.atlib-all').getBoundingClientRect().top < 300"
    )

    box.locator(".atlib-reset").click()
    wait_for_states(view, "picture: cat", *moved[1:])
    assert urlsplit(view.page.url).fragment == "budget=64"
    assert view.complaints == [] and view.foreign() == []


def test_back_and_forward_and_other_addresses_do_not_break(own: tuple[str, str], view: View) -> None:
    view.open(own[0], widgets=2)
    wait_for_states(view, *BEGIN)
    entries = view.page.evaluate("history.length")
    for key in ("Home", "End", "ArrowLeft"):
        view.page.locator(".atlib-key-budget .noUi-handle").press(key)
    view.page.wait_for_url("**#budget=32")
    assert view.page.evaluate("history.length") == entries, "a slider leaves no trail of entries to go back through"
    view.page.evaluate("location.hash = 'another-heading'")
    wait_for_states(view, *BEGIN[:3], "budget: 32/255", BEGIN[4])
    view.page.go_back()
    wait_for_states(view, *BEGIN[:3], "budget: 32/255", BEGIN[4])
    view.page.evaluate("location.hash = 'step=5&budget=nonsense&hero=3'")  # typed by hand; another script's key
    wait_for_states(view, *BEGIN[:3], "budget: 32/255", "step: 5 of 40")
    view.page.locator(".atlib-key-step .noUi-handle").press("ArrowLeft")
    view.page.wait_for_url("**step=2*")
    assert "hero=3" in view.page.url
    assert view.complaints == []


def test_sliders_are_large_enough_and_nothing_is_cut_off(own: tuple[str, str], view: View, browser: Any) -> None:
    cut = """() => [...document.querySelectorAll(".atlib-controls .widget-readout, .atlib-controls .widget-label")]
      .filter(e => e.scrollWidth > e.clientWidth + 1 || e.getBoundingClientRect().right > innerWidth).length"""
    sizes = "() => [...document.querySelectorAll('.noUi-target')].map(e => e.getBoundingClientRect().width)"
    for size in (DESK, PHONE):
        view.open(own[0] + "#step=0", widgets=2)
        view.page.set_viewport_size(size)
        wait_for_states(view, *BEGIN[:4], "step: 0 = not begun")
        assert view.page.evaluate(cut) == 0 and min(view.page.evaluate(sizes)) >= 240
        assert sideways(view) == []
        lefts = view.page.evaluate(
            "() => [...document.querySelectorAll('.noUi-target')].map(e => e.getBoundingClientRect().x)"
        )
        assert max(lefts) - min(lefts) < 1, "one grid"
    thumb = view.page.locator(".noUi-handle").first.bounding_box()
    assert thumb["width"] >= 32 and thumb["height"] >= 32
    assert serious(axe(view)) == []


# --- marks and tables -------------------------------------------------------------------------------------------------

MARKED = """---
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# Marks

A line of text.

```{code-cell} ipython3
:tags: [hide-input]

import pandas as pd
from IPython.display import HTML
from atlib.report import tables

cells = {f"column {i}": [tables.Cell(f"{i}.00 and more", [f"row-{i}"])] * 30 for i in range(20)}
HTML(tables.html(pd.DataFrame({"network": ["a network"] * 30} | cells), "Accuracy of <b>every</b> network. By level."))
```

```{code-cell} ipython3
:tags: [hide-input]

from matplotlib.patches import Rectangle
from atlib.report import plots

with plots.sheet(1, 2, 6, 2.5) as (figure, axes):
    axes[0, 0].plot([0, 1], [0, 1], color="black", linewidth=8)
    axes[0, 0].plot([0, 1], [1, 0], color="#0072B2", linewidth=8)
    axes[0, 1].imshow([[[1.0, 0, 0]]])
    axes[0, 1].grid(False)
figure
```
"""


@pytest.fixture(scope="module")
def marked(small_book: SmallBook) -> str:
    """The address of a page with folded code, a wide table and a chart."""
    folder, _ = small_book
    return (folder / "marked.html").as_uri()


def pixel(shot: Image.Image, place: tuple[int, int]) -> tuple[int, ...]:
    """The colour of a picture at a place."""
    found = shot.getpixel(place)
    assert isinstance(found, tuple)
    return found


def test_folded_code_is_a_quiet_mark(marked: str, view: View) -> None:
    """It takes no line at a desk, lies in the right margin, and opens by the keyboard."""
    view.open(marked)
    mark = view.page.locator(".code-mark > summary").first
    column, box = view.page.locator(".cell").first.bounding_box(), mark.bounding_box()
    assert box["x"] >= column["x"] + column["width"] and box["width"] < 60 and box["height"] >= 24
    assert view.page.locator(".code-mark").first.bounding_box()["height"] == 0
    mark.focus()
    view.page.keyboard.press("Enter")
    view.page.locator(".code-mark pre").first.wait_for(state="visible")
    assert [line for line in serious(axe(view)) if "code" in line or "rows" in line] == []
    view.page.set_viewport_size(PHONE)
    assert mark.bounding_box()["x"] + mark.bounding_box()["width"] <= PHONE["width"] and sideways(view) == []


def test_a_wide_table_keeps_its_first_column_and_says_that_there_is_more(marked: str, view: View) -> None:
    view.open(marked)
    box = view.page.locator(".rows-scroll").first
    first = box.locator("tbody td").first

    def edge() -> tuple[int, ...]:
        """The colour at the table's right edge, between two lines of text."""
        shot = Image.open(io.BytesIO(box.screenshot())).convert("RGB")
        row = box.locator("tbody tr").nth(1).bounding_box()["y"] - box.bounding_box()["y"]
        return pixel(shot, (shot.width - 2, int(row) + 2))

    left, dark = first.bounding_box()["x"], edge()
    box.evaluate("e => e.scrollBy({left: 400, behavior: 'instant'})")
    assert abs(first.bounding_box()["x"] - left) < 2
    box.evaluate("e => e.scrollTo({left: 1e5, behavior: 'instant'})")
    assert sum(edge()) > sum(dark) + 60
    data = view.page.locator(".rows-data a").first
    assert data.get_attribute("download") == "marked-accuracy-every-network.csv"


def test_a_chart_lies_on_the_dark_page_s_own_ground(marked: str, view: View) -> None:
    """And its dark version isn't loaded before it is shown."""
    view.open(marked)
    assert not [url for url in view.requests if url.endswith("-dark.png")]
    view.page.emulate_media(color_scheme="dark")
    chart = view.page.locator("img.chart-dark")
    chart.scroll_into_view_if_needed()
    chart.evaluate("image => image.decode()")
    assert not view.page.locator("img.chart-light").is_visible()
    shot = Image.open(io.BytesIO(chart.screenshot())).convert("RGB")
    ground = view.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert pixel(shot, (1, 1)) == tuple(int(part) for part in re.findall(r"\d+", ground))
    assert b"\xff\x00\x00" in shot.tobytes(), "the photograph stays"


def test_a_chart_on_a_phone_scrolls_in_its_box_at_a_readable_size(marked: str, view: View) -> None:
    view.open(marked)
    box, chart = view.page.locator(".chart"), view.page.locator(".chart-light")
    natural = chart.evaluate("image => image.naturalWidth")
    assert natural == 660 and not box.evaluate("e => e.scrollWidth > e.clientWidth"), "at a desk it fits"
    view.page.set_viewport_size(PHONE)
    points, dots = 9, 110  # the smallest common letters of a chart, and its dots per inch
    letters = points / 72 * dots * chart.bounding_box()["width"] / natural
    assert letters >= 10 and sideways(view) == [] and serious(axe(view)) == []

    def edge() -> int:
        """How light the right edge is, below the chart's axes."""
        shot = Image.open(io.BytesIO(box.screenshot())).convert("RGB")
        return sum(pixel(shot, (shot.width - 2, shot.height - 3)))

    more = edge()
    box.focus()
    view.page.keyboard.press("End")
    for _ in range(40):
        view.page.keyboard.press("ArrowRight")
    view.page.wait_for_function(
        "() => { const e = document.querySelector('.chart'); return e.scrollLeft + e.clientWidth >= e.scrollWidth - 1 }"
    )
    assert edge() > more + 60, "the shadow says that there is more"
    view.page.emulate_media(color_scheme="dark")
    dark = view.page.locator(".chart-dark").bounding_box()
    assert dark["width"] == chart.evaluate("image => 0.8 * image.naturalWidth")


# --- every page -------------------------------------------------------------------------------------------------------


def notebook_of(name: str) -> NotebookNode:
    return nbformat.read(pages.pairs()[name][1], as_version=4)


def sideways(view: View) -> list[str]:
    """What reaches beyond the page's right edge, if the page scrolls sideways."""
    return view.page.evaluate(
        """() => {
          const page = document.scrollingElement;
          if (page.scrollWidth <= innerWidth) return [];
          const all = [...document.querySelectorAll("main *")];
          const wide = all.filter(e => e.getBoundingClientRect().right > innerWidth).slice(0, 5);
          return [`${page.scrollWidth} pixels`, ...wide.map(e => e.outerHTML.slice(0, 120))];
        }"""
    )


def serious(found: dict[str, Any]) -> list[str]:
    """axe's serious and critical findings that are not tolerated, one line an element."""
    return [
        f"{finding['id']}: {node['target'][-1]} {node['html'][:160]} {node['failureSummary'].splitlines()[1].strip()}"
        for finding in found["violations"]
        if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"]
        if not is_tolerated(finding["id"], node["html"])
    ]


def is_tolerated(rule: str, html: str) -> bool:
    return any(rule == known and html.startswith(begin) for known, begin, _ in TOLERATED)


def axe(view: View, *rules: str) -> dict[str, Any]:
    """Run axe: every rule, or these alone."""
    view.page.evaluate(AXE.read_text(encoding="utf-8"))
    only = {"runOnly": {"type": "rule", "values": list(rules)}} if rules else {}
    return view.page.evaluate(
        "options => axe.run(document, options)", {"resultTypes": ["violations"], "preload": False, **only}
    )


@pytest.mark.parametrize("name", PAGES)
def test_page_over_http(name: str, book: Path, site: str, view: View) -> None:
    """Light and dark, desk and phone, and axe."""
    assert (book / "notebooks" / f"{name}.html").stat().st_size < WEIGHT
    view.open(f"{site}/notebooks/{name}.html", len(Sliders(notebook_of(name)).roots))
    problems: dict[str, Any] = {"light": serious(axe(view))}
    problems["wide at a desk"] = sideways(view)
    view.page.emulate_media(color_scheme="dark")
    view.page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    problems["dark"] = serious(axe(view, "color-contrast"))
    view.page.set_viewport_size(PHONE)
    problems["wide on a phone"] = sideways(view)
    problems["complaints"], problems["foreign"] = view.complaints, view.foreign()
    assert {what: found for what, found in problems.items() if found} == {}


@pytest.mark.parametrize("name", PAGES)
def test_page_from_the_disk(name: str, book: Path, view: View) -> None:
    """No request leaves the disk; every slider leads where its notebook says."""
    notebook = notebook_of(name)
    view.open((book / "notebooks" / f"{name}.html").as_uri(), len(Sliders(notebook).roots))
    if Sliders(notebook).roots:
        assert check_sliders(view, notebook) > 0
    assert view.complaints == [] and {urlsplit(url).scheme for url in view.requests} <= {"file", "data", "blob"}
