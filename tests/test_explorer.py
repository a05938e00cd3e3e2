"""The explorer of three photographs: its frames are the published networks', and every reader gets them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from atlib import rows
from atlib.errors import InputError, Missing
from atlib.files import REPOSITORY, write_json
from atlib.report import explored, explorer, photographs
from benchmarks.serving import served
from test_browser import DESK, PHONE, View, axe, browser, chromium, serious, sideways

__all__ = ("browser", "chromium")  # fixtures
FOLDER = REPOSITORY / "results" / "frames"


pytestmark = pytest.mark.usefixtures("published_folder")


@pytest.fixture(scope="module")
def about() -> dict[str, Any]:
    return explored.load(FOLDER)


@pytest.fixture(scope="module")
def html(read_once: pd.DataFrame) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
        yield explorer.html(read_once)


@pytest.fixture(scope="module")
def told(html: str) -> dict[str, Any]:
    given = re.search(r'<script type="application/json" data-explorer="data">(.*?)</script>', html)
    assert given
    return json.loads(given[1])


def sprite(name: str) -> np.ndarray:
    with Image.open(FOLDER / explored.NAME / f"{name}.webp") as image:
        return np.asarray(image.convert("RGB")).astype(float)


# --- frames -----------------------------------------------------------------------------------------------------------


def test_pictures_are_those_that_the_rule_chooses(about: dict[str, Any]) -> None:
    assert [one["number"] for one in about["pictures"]] == photographs.typical(3) == [697, 590, 896]
    assert [one["class"] for one in about["pictures"]] == ["bonsai", "airplane", "crab"]
    assert about["rule"] == photographs.RULE and len(about["commit"]) == 40


def test_answers_are_the_published_ones(about: dict[str, Any]) -> None:
    archive, compared = rows.archive(), 0
    for one in about["networks"]:
        assert one["digest"] == photographs.digest_of(one["run"])
    for name, lines in about["answers"].items():
        number, _, distortion = name.partition("-")
        for level, line in zip(about["levels"][distortion], lines, strict=True):
            if distortion == "stylised" and level:
                continue  # in the test set every picture has a style of its own
            place, strength = explored.at(distortion, level)
            said = [archive(run)[f"{place}@{strength}/class"][int(number)] for run in photographs.NETWORKS.values()]
            assert [best for best, _, _ in line] == said, f"{name}@{level}"
            assert all(0 <= true <= chance <= 1 for _, chance, true in line)
            compared += 1
    assert compared == 3 * (11 + 4 + 5 + 5 + 1)


def test_sprites_hold_every_level_and_are_small(about: dict[str, Any]) -> None:
    files = sorted((FOLDER / explored.NAME).glob("*"))
    assert {path.name for path in files} == set(about["sha256"]) and len(files) == 2 * 3 * 5
    assert sum(path.stat().st_size for path in files) < 1.5e6
    for name in about["answers"]:
        count = len(about["levels"][name.partition("-")[2]])
        assert sprite(f"{name}-shown").shape == (112 * count, 112, 3)
        assert sprite(f"{name}-maps").shape == (112 * count, 3 * 112, 3)


def test_filters_take_away_what_their_names_say() -> None:
    for number in (697, 590, 896):
        low, high = (sprite(f"{number}-{kind}-shown").reshape(5, 112, 112, 3) for kind in ("low-pass", "high-pass"))
        detail = np.abs(np.diff(low, axis=2)).mean((1, 2, 3))
        assert (np.diff(detail) < 0).all(), "from unchanged to the coarsest"
        coarse = high.reshape(5, 7, 16, 7, 16, 3).mean((2, 4)).std((1, 2)).mean(1)
        assert (np.diff(coarse) < 0).all() and coarse[0] > 5 * coarse[1], "coarse structure goes"


def test_whole_pictures_are_one_in_all_sliders(about: dict[str, Any]) -> None:
    for number in ("697", "590", "896"):
        first = about["answers"][f"{number}-saturation"][about["levels"]["saturation"].index("2")]
        assert all(about["answers"][f"{number}-{name}"][0] == first for name in explored.LEVELS if name != "saturation")
    assert explored.at("low-pass", "") == explored.at("stylised", "") == ("saturation", "2")
    assert explored.at("low-pass", "0.3") == ("low-pass", "0.3")


def test_published_maps_are_taken_where_there_are_enough_samples() -> None:
    maps = explored.published(697, "saturation", "1024", 100)
    assert maps is not None and maps.shape == (3, 112, 112) and 0.7 < float(maps.max()) <= 1
    expected = torch.from_numpy(photographs.maps(photographs.load(), 697, "saturation", "1024").copy())
    assert torch.equal((maps * 255).round().byte(), expected)
    assert explored.published(697, "saturation", "1024", 101) is None
    assert explored.published(896, "saturation", "1024", 50) is None  # it has no maps
    assert explored.published(590, "stylised", photographs.STYLES[1], 50) is None  # only of the first style
    assert explored.published(697, "low-pass", "0.3", 50) is None


def test_frames_that_were_not_written_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"explorer\.json: not there; make frames DATASET=caltech101 writes it"):
        explored.load(tmp_path)
    hashes = {"a.webp": explored.write_sprite(tmp_path / "explorer" / "a.webp", b"one")}
    write_json(tmp_path / "explorer.json", {"sha256": hashes})
    assert explored.load(tmp_path)["sha256"] == hashes
    (tmp_path / "explorer" / "a.webp").write_bytes(b"two")
    with pytest.raises(InputError, match=r"a\.webp: not what explorer\.json describes"):
        explored.load(tmp_path)


# --- what is said -----------------------------------------------------------------------------------------------------


def test_shares_and_counts_are_the_rows(told: dict[str, Any], published: pd.DataFrame) -> None:
    archive = rows.archive()
    for distortion in told["distortions"]:
        levels = explored.LEVELS[distortion["name"]]
        for level, one in zip(levels, distortion["levels"], strict=True):
            place, strength = explorer.measured(distortion["name"], level)
            for run, share in zip(photographs.NETWORKS.values(), one["shares"], strict=True):
                assert share == round(rows.find_row(f"{run}:{place}@{strength}/accuracy", published)["value"], 4)
    low = next(one for one in told["distortions"] if one["name"] == "low-pass")["levels"][3]
    robust, normal = (archive(photographs.NETWORKS[name]) for name in ("pgd-linf-4", "normal"))
    a, b = (one["low-pass@0.2/class"] == one["labels"] for one in (robust, normal))
    assert low["slug"] == "0.2"
    assert (
        f"recognises {100 * (a & ~b).mean():.0f} that the normal one misses; {100 * (b & ~a).mean():.0f} go"
        in low["ways"]
    )


def test_every_level_has_a_name_and_words_of_its_own(told: dict[str, Any]) -> None:
    for distortion in told["distortions"]:
        for part in ("slug", "words"):
            said = [level[part] for level in distortion["levels"]]
            assert len(set(said)) == len(said) and all(said)
        first = explorer.FIRST[distortion["name"]]
        assert explored.LEVELS[distortion["name"]][distortion["first"]] == first
    words = {one["name"]: [level["words"] for level in one["levels"]] for one in told["distortions"]}
    assert words["saturation"][-1] == "∞ = every channel at 0 or 1, eight colours"
    assert words["patch-shuffle"] == ["whole picture", *(f"{k} × {k} squares in another order" for k in (2, 4, 8))]
    assert words["low-pass"][2] == "0.3: nothing above 0.3 of the Nyquist frequency is left"
    assert words["stylised"][1:] == [f"style {n} of 3, a drawn texture" for n in (1, 2, 3)]


def test_the_page_holds_no_frames_and_names_no_host(html: str) -> None:
    assert len(html) < 60_000 and "http" not in html
    assert html.count("data:image") == 3, "thumbnails"
    assert set(re.findall(r'src="(\.\./[^"]*)"', html)) == {
        f"../results/frames/explorer/697-saturation-{kind}.webp" for kind in ("shown", "maps")
    }


# --- in a browser -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(html: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the explorer's page, one on which it lies far below, and one of whose sprites is missing."""
    root = tmp_path_factory.mktemp("explorer")
    head = '<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>Explorer</title>'
    head += '<link rel="icon" href="data:,">'
    head += '<meta name="viewport" content="width=device-width"><main><h1>Explorer</h1><h2>Of photographs</h2>'
    for place in (root, root / "broken"):
        (place / "notebooks").mkdir(parents=True)
        (place / "notebooks" / "page.html").write_text(f"{head}{html}</main>")
        target = place / "results" / "frames" / "explorer"
        target.mkdir(parents=True)
        for path in (FOLDER / "explorer").glob("*.webp"):
            if place == root or "low-pass" not in path.name:
                (target / path.name).symlink_to(path)
    (root / "notebooks" / "below.html").write_text(f'{head}<div style="height:9000px"></div>{html}</main>')
    return root


@pytest.fixture(scope="module", params=["disk", "http"])
def page(request: pytest.FixtureRequest, root: Path) -> Iterator[str]:
    if request.param == "disk":
        yield (root / "notebooks" / "page.html").as_uri()
    else:
        with served(root) as site:
            yield f"{site}/notebooks/page.html"


STAND = """() => ({
  shown: document.querySelector("[data-explorer=root]").dataset.shown,
  levels: [...document.querySelectorAll(".hero-tile img")].map(e => e.naturalHeight / 112),
  sprites: [...new Set([...document.querySelectorAll(".hero-tile img")].map(e => /[^/?]*\\.webp/.exec(e.src)[0]))],
})"""


def wait(tab: Any, shown: str) -> None:
    """Until this frame is drawn; its pictures are then there, all of one sprite's length."""
    tab.wait_for_function(f"() => document.querySelector('[data-explorer=root]').dataset.shown === {json.dumps(shown)}")
    found = tab.evaluate(STAND)
    count = len(explored.LEVELS[shown.partition("@")[0].partition("-")[2]])
    assert found["levels"] == [count] * 4
    assert found["sprites"] == [f"{shown.partition('@')[0]}-{kind}.webp" for kind in ("shown", "maps")]


def test_everything_is_reached_by_keyboard_and_stands_in_the_address(
    browser: Any, page: str, told: dict[str, Any]
) -> None:
    view = View(browser.new_page())
    view.page.goto(page)
    slider = view.page.get_by_role("slider", name="Saturation")
    assert slider.get_attribute("aria-valuetext") == "64: most channels near 0 or 1"
    view.page.get_by_role("radio", name="bonsai").press("ArrowRight")
    wait(view.page, "590-saturation@64")
    view.page.get_by_role("radio", name="Saturation").press("ArrowRight")
    wait(view.page, "590-patch-shuffle@4")
    view.page.get_by_role("radio", name="Shuffled squares").press("ArrowRight")
    wait(view.page, "590-low-pass@0.3")
    slider = view.page.get_by_role("slider", name="Low-pass filter")
    slider.press("Home")
    low = next(one for one in told["distortions"] if one["name"] == "low-pass")
    for level, line in zip(low["levels"], told["answers"]["590-low-pass"], strict=True):
        wait(view.page, f"590-low-pass@{level['slug']}")
        assert slider.get_attribute("aria-valuetext") == level["words"]
        assert view.page.url.endswith(f"#photo=airplane&distortion=low-pass&level={level['slug']}")
        assert view.page.locator("[data-explorer=ways]").inner_text() == level["ways"]
        marks = view.page.locator("[data-explorer=network]").evaluate_all("all => all.map(e => !e.matches('.wrong'))")
        assert marks == [right for _, right, _ in line]
        said = view.page.locator("[data-part=said]").all_inner_texts()
        assert said == [f"{'✓' if right else '✗'} {name} {chance}" for name, right, chance in line]
        slider.press("ArrowRight")
    spoken = view.page.locator("[role=status]").inner_text()
    assert spoken.startswith(f"normal: {line[0][0]}, ") and spoken.count(";") == 2
    view.page.get_by_role("button", name="unchanged").click()
    wait(view.page, "590-low-pass@unchanged")
    view.page.get_by_role("button", name="reset").click()
    wait(view.page, "697-saturation@64")
    assert view.complaints == [] and view.foreign() == []
    view.page.close()


def test_an_address_opens_its_frame(browser: Any, page: str) -> None:
    tab = browser.new_page()
    tab.goto(f"{page}#saturation=3&photo=crab&distortion=stylised&level=2")
    wait(tab, "896-stylised@2")
    assert tab.locator("[data-explorer=shown]").get_attribute("alt") == "crab, restyled, style 2 of 3"
    maps = [image.get_attribute("alt") for image in tab.locator("[data-part=map]").all()]
    assert maps[0] == "SmoothGrad map (normal), restyled, style 2 of 3"
    tab.get_by_role("radio", name="bonsai").check(force=True)
    wait(tab, "697-stylised@2")
    assert tab.url.endswith("#saturation=3&photo=bonsai&distortion=stylised&level=2"), "another script's key stays"
    tab.evaluate("location.hash = 'photo=crab&distortion=nonsense'")
    tab.evaluate("location.hash = 'distortion=high-pass&level=0.5'")
    wait(tab, "697-high-pass@0.5")
    tab.close()


def test_sprites_are_loaded_when_they_are_asked_for(browser: Any, root: Path) -> None:
    view = View(browser.new_page())
    view.page.goto((root / "notebooks" / "below.html").as_uri())
    view.page.wait_for_timeout(300)
    assert [url for url in view.requests if url.endswith(".webp")] == [], "the reader isn't there yet"
    view.page.locator(".hero-row").scroll_into_view_if_needed()
    view.page.wait_for_function("() => [...document.querySelectorAll('.hero-tile img')].every(e => e.naturalWidth)")
    loaded = {url.rpartition("/")[2] for url in view.requests if url.endswith(".webp")}
    assert loaded == {"697-saturation-shown.webp", "697-saturation-maps.webp"}
    view.page.get_by_role("radio", name="crab").check(force=True)
    wait(view.page, "896-saturation@64")
    loaded = {url.rpartition("/")[2] for url in view.requests if url.endswith(".webp")} - loaded
    assert loaded == {"896-saturation-shown.webp", "896-saturation-maps.webp"}
    view.page.close()


def test_a_missing_sprite_is_said_and_the_rest_works(browser: Any, root: Path) -> None:
    tab = browser.new_page()
    tab.goto((root / "broken" / "notebooks" / "page.html").as_uri())
    tab.get_by_role("radio", name="Low-pass filter").check(force=True)
    fault = tab.locator("[data-explorer=fault]")
    fault.wait_for(state="visible")
    assert "could not be loaded" in fault.inner_text() and "697-low-pass-shown.webp" in fault.inner_text()
    tab.get_by_role("radio", name="High-pass filter").check(force=True)
    wait(tab, "697-high-pass@0.2")
    assert not fault.is_visible()
    tab.close()


def test_sprites_are_found_where_a_notebook_s_viewer_puts_them(browser: Any, root: Path) -> None:
    """JupyterLab gives pictures another address soon after the script has begun."""
    (root / "files").mkdir()
    for path in (FOLDER / "explorer").glob("*.webp"):
        (root / "files" / path.name).symlink_to(path)
    tab = browser.new_page()
    tab.goto((root / "notebooks" / "page.html").as_uri())
    moved = "e => { e.src = e.src.replace('/results/frames/explorer/', '/files/') + '?token=1.2' }"
    tab.evaluate(f"() => document.querySelectorAll('.hero-tile img').forEach({moved})")
    tab.get_by_role("radio", name="crab").check(force=True)
    wait(tab, "896-saturation@64")
    ends = tab.locator(".hero-tile img").evaluate_all("all => all.map(e => e.src.split('/').slice(-2).join('/'))")
    maps = "files/896-saturation-maps.webp?token=1.2"
    assert ends == ["files/896-saturation-shown.webp?token=1.2", maps, maps, maps]
    tab.close()


def test_the_last_of_quick_choices_is_shown(browser: Any, page: str) -> None:
    tab = browser.new_page()
    tab.goto(page)
    tab.evaluate(
        """() => { for (const value of ["1", "3", "2"]) {
          const one = document.querySelector(`[name=explorer-distortion][value="${value}"]`);
          one.checked = true; one.dispatchEvent(new Event("change"));
        } }"""
    )
    wait(tab, "697-low-pass@0.3")
    tab.wait_for_timeout(200)
    wait(tab, "697-low-pass@0.3")
    tab.close()


@pytest.mark.parametrize("size", [DESK, PHONE])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_and_axe_finds_nothing(browser: Any, root: Path, size: Any, theme: str) -> None:
    context = browser.new_context(viewport=size, has_touch=size is PHONE, is_mobile=size is PHONE)
    view = View(context.new_page())
    view.page.goto((root / "notebooks" / "page.html").as_uri())
    ground = "color: #ddd; background: #121212" if theme == "dark" else "color: #222"
    view.page.evaluate(f"document.documentElement.dataset.theme = '{theme}'; document.body.style = '{ground}'")
    box = view.page.get_by_role("slider").bounding_box()
    assert box["width"] >= 240 and (size is DESK or box["height"] >= 32)
    assert sideways(view) == [] and serious(axe(view)) == []
    context.close()


def test_without_a_script_one_frame_is_shown(browser: Any, root: Path, told: dict[str, Any]) -> None:
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto((root / "notebooks" / "page.html").as_uri())
    text = tab.locator("[data-explorer=root]").inner_text()
    assert told["distortions"][0]["levels"][8]["ways"] in text and "Stopped early" in text
    assert not tab.locator(".hero-control").is_visible()
    context.close()
