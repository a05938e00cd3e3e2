"""The sliders: which frame each position of the controls leads to, in a page and live."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html import escape, unescape
from pathlib import Path
from typing import Any

import ipywidgets
import nbformat
import numpy as np
import pytest

from atlib import data, evaluation, models, training
from atlib.configuration import resolve
from atlib.errors import InputError
from atlib.files import REPOSITORY
from atlib.report import frames, pages, webp, widgets
from atlib.report.controls import STYLE, Panel, address, frame_html, percent

STATE = "application/vnd.jupyter.widget-state+json"


pytestmark = pytest.mark.usefixtures("published_folder")
COMPRESSED: dict[tuple, bytes] = {}


@pytest.fixture(autouse=True)
def compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that several tests draw are compressed for the first of them: it takes most of their time."""
    smallest = webp.smallest

    def remembered(picture: webp.Picture, quality: int = 85) -> bytes:
        key = (picture.shape, picture.dtype.str, picture.tobytes(), quality)
        if key not in COMPRESSED:
            COMPRESSED[key] = smallest(picture, quality)
        return COMPRESSED[key]

    monkeypatch.setattr(webp, "smallest", remembered)


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a page is built; the names of widgets stay as they are, since other tests share this process."""
    monkeypatch.setenv("ATLIB_BUILD", "1")
    monkeypatch.setattr(widgets, "number_widgets", lambda: None)


def shown(stack: Any, *indices: int) -> str:
    """The HTML at the end of nested stacks."""
    for index in indices:
        stack = stack.children[index]
    return stack.value


def parts(box: ipywidgets.VBox) -> tuple[list[Any], Any]:
    """The controls of a widget (without its buttons), and what they show."""
    row, output = box.children[1:3]
    return [control for control in row.children if not isinstance(control, ipywidgets.Button)], output


def test_explorer_has_a_frame_for_every_position(building: None) -> None:
    controls, stack = parts(widgets.explorer("shapes"))
    assert [len(c.options) for c in controls] == [frames.PICTURES, len(frames.SATURATION), len(frames.PATCHES)]
    assert (controls[1].value, controls[2].value) == ("2", "1")  # it begins with the picture as it is
    every = [shown(stack, p, s, k) for p in range(4) for k in range(4) for s in range(11)]
    digests = [re.search(r'data-frame="(\w{12})"', html)[1] for html in every]  # type: ignore[index]
    # at saturation 0 all is grey, shuffled or not
    assert len(set(digests)) >= len(every) - 4 * 3 and all(html.count(" alt=") == 4 for html in every)
    assert all(html.count('<img decoding="sync" ') == 4 for html in every), "panels change at once"
    html = shown(stack, 2, 9, 1)
    assert "saturation 1024, 2×2 patches" in html and "SmoothGrad map of underfit for triangle" in html


def test_frames_say_the_probabilities_of_their_own_network(building: None) -> None:
    found = frames.load("shapes")
    _, stack = parts(widgets.explorer("shapes"))
    html = shown(stack, 0, 9, 3)
    chances = found.arrays["explorer/probabilities"][0, 9, 3]
    label = found.about["pictures"][0]["label"]
    for name, own in zip(frames.NETWORKS, chances, strict=True):
        panel = re.search(rf"<strong>{name}</strong>(.*?)</div>", html)
        assert panel and escape(percent(float(own[label]))) in panel[1]
        assert (f'class="wrong"><img decoding="sync" alt="SmoothGrad map of {name} ' in html) == (
            int(own.argmax()) != label
        )


def test_links_lead_from_every_control_to_all_stacks_of_its_level(
    building: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    links: list[tuple] = []
    monkeypatch.setattr(ipywidgets, "jslink", lambda source, target: links.append((source, target)))
    controls, stack = parts(widgets.explorer("shapes"))
    levels = [[stack], list(stack.children), [inner for outer in stack.children for inner in outer.children]]
    expected = [
        ((control, "index"), (one, "selected_index"))
        for control, stacks in zip(controls, levels, strict=True)
        for one in stacks
    ]
    assert sorted(links, key=repr) == sorted(expected, key=repr) and len(links) == 1 + 4 + 44
    assert all(one.selected_index == control.index for (control, _), (one, _) in expected)


def test_the_attack_ends_at_the_budget_and_shows_the_change(building: None) -> None:
    controls, stack = parts(widgets.attack("cifar10"))
    assert [control.value for control in controls[1:]] == ["8", "40"]
    html = shown(stack, 0, frames.EPS.index(8), len(frames.STEPS) - 1)
    assert html.count(" alt=") == 6 and html.count("times ten") == 3
    assert re.search(
        r'class="wrong"><img decoding="sync" alt="cat, attacked against normal, budget 8/255, step 40 of 40"', html
    )


def test_budgets_say_which_cue_decides(building: None) -> None:
    _, stack = parts(widgets.budgets())
    chances, conflict = frames.load("shapes").arrays["budgets/probabilities"], frames.load("shapes").about["conflict"]
    for r, cues in enumerate(conflict):
        for m in range(len(frames.BUDGETS)):
            best = int(chances[r, m].argmax())
            said = {cues["label"]: "by shape", cues["texture"]: "by texture"}.get(best, "neither")
            assert f"answers {said}</strong>" in shown(stack, r, m)


def test_stylised_begins_with_no_style(building: None) -> None:
    controls, stack = parts(widgets.stylised("cifar10"))
    assert controls[1].value == "none"
    assert "as it is" in shown(stack, 0, 0) and "in the style generated-" in shown(stack, 0, 1)


def test_text_is_escaped() -> None:
    panel = Panel(np.zeros((2, 2), np.uint8), 'a "b" <c>', "<d>", {"<e>": 0.001})
    html = frame_html([panel])
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in html and "<d>" not in html and "&lt;e&gt;" in html


def told(box: ipywidgets.VBox) -> list[tuple[str, list[str], int]]:
    """Keys, names of options and beginnings, as a page's script reads them."""
    found = re.search(r'data-controls="([^"]+)"', box.children[0].value)
    assert found
    return [(key, names, start) for key, names, start in json.loads(unescape(found[1]))]


def test_controls_have_words_and_names_for_the_address(building: None) -> None:
    box = widgets.explorer("cifar10")
    picture, saturation, patches = told(box)
    assert picture == ("picture", ["cat", "ship", "frog", "automobile"], 0)
    assert saturation[0] == "saturation" and saturation[1][saturation[2]] == "2" and saturation[1][-1] == "inf"
    assert patches == ("patches", ["1", "2", "4", "8"], 0)
    texts = [text for text, _ in parts(box)[0][1].options]
    assert "2 = unchanged" in texts and texts[-1] == "∞ = every channel at 0 or 1"


def test_no_two_controls_have_the_same_key(building: None) -> None:
    boxes = [
        make(name) for make in (widgets.explorer, widgets.attack, widgets.stylised) for name in ("cifar10", "shapes")
    ]
    keys = [key for box in (*boxes, widgets.budgets()) for key, _, _ in told(box)]
    assert len(set(keys)) == len(keys) == 2 * (3 + 3 + 2) + 2
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for box in boxes for _, names, _ in told(box) for name in names)


def test_pictures_are_chosen_by_looking(building: None) -> None:
    box = widgets.explorer("cifar10")
    css = box.children[0].value
    found = frames.load("cifar10")
    clean = found.arrays["explorer/shown"][1, found.about["saturation"].index("2"), 0]
    assert f'.atlib-key-picture button:nth-child(2){{background-image:url("{address(clean)}")' in css


# --- live -------------------------------------------------------------------------------------------------------------


def test_live_explorer_computes_what_its_controls_say() -> None:
    controls, output = parts(widgets.explorer("shapes", networks=["normal", "pgd-linf-8"]))
    pictures, level, patches = controls
    before = output.value
    pictures.index, level.value, patches.value = 7, "1024", "2"
    assert output.value != before
    dataset = data.load("shapes")
    first = [picture["number"] for picture in frames.load("shapes").about["pictures"]]
    number = [*first, *(n for n in range(100) if n not in first)][7]  # those of the page come first
    assert pictures.value == number
    label = int(dataset.test.labels[number])
    image = frames.distorted(dataset.test.images[number], 1024, 2, number)
    chance = models.load("shapes/normal")[0](image[None]).softmax(1)[0, label].item()
    panel = re.search(r"<strong>normal</strong>(.*?)</div>", output.value)
    assert panel and escape(percent(chance)) in panel[1]
    assert "saturation 1024, 2×2 patches" in output.value


def test_live_attack_takes_any_budget() -> None:
    controls, output = parts(widgets.attack("shapes", networks=["normal"]))
    controls[1].value, controls[2].value = "0", "40"
    clean = output.value
    controls[1].value = "64"
    assert output.value != clean and "attacked against normal" in output.value


def test_without_the_data_set_the_kept_frames_are_shown() -> None:
    box = widgets.explorer("cifar10")  # tests have an empty data directory
    note, fetch = box.children[:2]
    assert "cifar10 is not in" in note.value and fetch.description == "fetch cifar10"
    assert "atlib-fetch" in fetch._dom_classes and ".atlib-fetch{" in STYLE, "it looks like a button"
    assert "cat" in shown(box.children[4], 0, 0, 0)
    with pytest.raises(InputError, match="without the data set cifar10"):
        widgets.attack("cifar10", networks=["normal"])


def test_a_run_folder_is_a_network_too(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(resolve(dataset="shapes"), quick=True, width=4, epochs=1.0, precision="fp32")
    run = training.train(config, progress=False)
    _, output = parts(widgets.explorer("shapes", networks=["normal", str(run)]))
    own = evaluation.subject_of(run).model
    number = frames.load("shapes").about["pictures"][0]["number"]
    image = data.load("shapes").test.images[number : number + 1] / 255
    chance = own(image).softmax(1)[0, int(data.load("shapes").test.labels[number])].item()
    panel = re.search(rf"<strong>{re.escape(run.name)}</strong>(.*?)</div>", output.value)
    assert panel and escape(percent(chance)) in panel[1]


def test_a_slider_s_move_computes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    controls, _ = parts(widgets.explorer("shapes"))
    looks, look = [], frames.look

    def counted(*given: Any, **more: Any) -> frames.Look:
        looks.append(given)
        return look(*given, **more)

    monkeypatch.setattr(frames, "look", counted)
    controls[1].value = "16"
    assert len(looks) == 1


def test_reset_goes_back_to_the_beginning() -> None:
    box = widgets.explorer("shapes", networks=["normal"])
    controls, output = parts(box)
    before = output.value
    for control in controls:
        control.value = control.options[1][1]
    assert output.value != before
    box.children[1].children[-1].click()
    assert output.value == before and [controls[0].index, controls[1].value, controls[2].value] == [0, "2", "1"]


def test_a_notebook_has_the_page_s_controls_in_the_same_order(monkeypatch: pytest.MonkeyPatch) -> None:
    for make in (widgets.explorer, widgets.attack):
        here = told(make("shapes", networks=["normal"])), [c.description for c in parts(make("shapes"))[0]]
        with monkeypatch.context() as patch:
            patch.setenv("ATLIB_BUILD", "1")
            patch.setattr(widgets, "number_widgets", lambda: None)
            page = make("shapes")
        assert ([key for key, _, _ in here[0]], here[1]) == (
            [key for key, _, _ in told(page)],
            [control.description for control in parts(page)[0]],
        )
        kept = [set(names) for _, names, _ in told(page)]
        assert all(some <= set(names) for some, (_, names, _) in zip(kept, here[0], strict=True))


def test_other_pictures_can_be_looked_for() -> None:
    box = widgets.explorer("shapes", networks=["normal"])
    (pictures, *_), output = parts(box)
    before = output.value
    more = next(one for one in box.children[1].children if getattr(one, "description", "") == "other pictures")
    more.click()
    assert len(pictures.options) == widgets.OFFERED and output.value != before
    assert box.children[-1].value.count("background-image") == widgets.OFFERED


@pytest.mark.usefixtures("few_pictures")
def test_fetching_takes_the_place_of_kept_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(widgets, "test_pictures", lambda dataset: None)
        box = widgets.explorer("cifar10")
        box.children[1].click()  # what it fetches still isn't there
        assert "is not in" in box.children[0].value
    box = widgets.instead(
        widgets._explorer_kept, "cifar10", frames.NETWORKS, lambda: widgets.explorer("cifar10", ["normal"])
    )
    box.children[1].click()
    controls, output = parts(box)
    assert len(controls[0].options) == 10 and "SmoothGrad map of normal" in output.value


def test_a_failed_fetch_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    box = widgets.explorer("cifar10")
    box.children[1].click()  # tests have no network
    note, fetch = box.children[:2]
    assert re.fullmatch(r"<p>dataset = (.|\n)*</p>", note.value) and not fetch.disabled


def test_a_network_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="'nromal'"):
        widgets.explorer("shapes", networks=["nromal"])


# --- in a page --------------------------------------------------------------------------------------------------------

PROGRAM = """
import os
os.environ["ATLIB_BUILD"] = "1"
from atlib.report import widgets
box = widgets.budgets()
print(sorted(w.model_id for w in (box, *box.children))[0], widgets.explorer("shapes").model_id)
"""


def test_widgets_have_the_same_names_at_every_run() -> None:
    runs = [subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True).stdout for _ in range(2)]
    assert runs[0] == runs[1] and re.fullmatch(r"0+[0-9a-f]+ 0+[0-9a-f]+\n", runs[0])


def with_widgets() -> list[Path]:
    paths = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
    return [path for path in paths if STATE in nbformat.read(path, 4).metadata.get("widgets", {})]


def test_pages_keep_their_frames_and_stay_small() -> None:
    names = [path.stem for path in with_widgets()]
    assert {"preliminaries", "methods"} <= set(names)
    for path in with_widgets():
        state = nbformat.read(path, 4).metadata["widgets"][STATE]["state"]
        assert len(json.dumps(state)) < 1.7e6, path.name  # the page of HTML around it has to stay below 2 MB
        values = [model["state"].get("value", "") for model in state.values() if model["model_name"] == "HTMLModel"]
        assert sum("data-frame=" in value for value in values) >= 20, f"{path.name}: run it with `make notebooks`"
        told = [json.loads(unescape(one)) for value in values for one in re.findall(r'data-controls="([^"]+)"', value)]
        keys = [key for controls in told for key, _, _ in controls]
        assert keys and len(set(keys)) == len(keys), f"{path.name}: every control has a key of its own in the address"
        for cell in pages.code(nbformat.read(path, 4)):
            for output in cell.outputs:
                if pages.VIEW in output.get("data", {}):
                    assert output["data"]["text/plain"] == pages.NOT_RUN


def test_the_first_pictures_are_those_of_the_frames_if_there_are_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert widgets.first_numbers("shapes") == [one["number"] for one in frames.load("shapes").about["pictures"]]
    assert widgets.first_numbers("caltech256") == []
    monkeypatch.delenv("ATLIB_RESULTS")
    monkeypatch.setattr("atlib.files.repository", lambda: None)  # installed, without a checkout
    assert widgets.first_numbers("shapes") == []
