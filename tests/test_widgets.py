"""The sliders: which frame each position of the controls leads to, in a page and live."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from html import escape
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
from atlib.report import frames, pages, widgets

STATE = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repository's own frames."""
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))


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
    """The controls of a widget, and what they show."""
    return list(box.children[1].children), box.children[2]


def test_explorer_has_a_frame_for_every_position(building: None) -> None:
    controls, stack = parts(widgets.explorer("shapes"))
    assert [len(c.options) for c in controls] == [frames.PICTURES, len(frames.PATCHES), len(frames.SATURATION)]
    assert (controls[1].value, controls[2].value) == ("1", "2")  # it begins with the picture as it is
    every = [shown(stack, p, k, s) for p in range(4) for k in range(4) for s in range(11)]
    digests = [re.search(r'data-frame="(\w{12})"', html)[1] for html in every]  # type: ignore[index]
    # at saturation 0 all is grey, shuffled or not
    assert len(set(digests)) >= len(every) - 4 * 3 and all(html.count("<img alt=") == 4 for html in every)
    html = shown(stack, 2, 1, 9)
    assert "saturation 1024, 2×2 patches" in html and "SmoothGrad map of underfit for triangle" in html


def test_frames_say_the_probabilities_of_their_own_network(building: None) -> None:
    found = frames.load("shapes")
    _, stack = parts(widgets.explorer("shapes"))
    html = shown(stack, 0, 3, 9)
    chances = found.arrays["explorer/probabilities"][0, 9, 3]
    label = found.about["pictures"][0]["label"]
    for name, own in zip(frames.NETWORKS, chances, strict=True):
        panel = re.search(rf"<strong>{name}</strong>(.*?)</div>", html)
        assert panel and escape(widgets.percent(float(own[label]))) in panel[1]
        assert (f'class="wrong"><img alt="SmoothGrad map of {name} ' in html) == (int(own.argmax()) != label)


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
    assert sorted(links, key=repr) == sorted(expected, key=repr) and len(links) == 1 + 4 + 16
    assert all(one.selected_index == control.index for (control, _), (one, _) in expected)


def test_the_attack_ends_at_the_budget_and_shows_the_change(building: None) -> None:
    controls, stack = parts(widgets.attack("cifar10"))
    assert [control.value for control in controls[1:]] == ["8/255", "40"]
    html = shown(stack, 0, frames.EPS.index(8), len(frames.STEPS) - 1)
    assert html.count("<img alt=") == 6 and html.count("times ten") == 3
    assert re.search(r'class="wrong"><img alt="cat, attacked against normal, budget 8/255, step 40 of 40"', html)


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
    panel = widgets.Panel(np.zeros((2, 2), np.uint8), 'a "b" <c>', "<d>", {"<e>": 0.001})
    html = widgets.frame_html([panel])
    assert 'alt="a &quot;b&quot; &lt;c&gt;"' in html and "<d>" not in html and "&lt;e&gt;" in html


# --- live -------------------------------------------------------------------------------------------------------------


def test_live_explorer_computes_what_its_controls_say() -> None:
    controls, output = parts(widgets.explorer("shapes", networks=["normal", "pgd-linf-8"]))
    number, level, patches = controls
    before = output.value
    number.value, level.value, patches.value = 7, 1024, "2"
    assert output.value != before
    dataset = data.load("shapes")
    label = int(dataset.test.labels[7])
    image = frames.distorted(dataset.test.images[7], 1024, 2, 7)
    chance = models.load("shapes/normal")[0](image[None]).softmax(1)[0, label].item()
    panel = re.search(r"<strong>normal</strong>(.*?)</div>", output.value)
    assert panel and escape(widgets.percent(chance)) in panel[1]
    assert "saturation 1024, 2×2 patches" in output.value


def test_live_attack_takes_any_budget() -> None:
    controls, output = parts(widgets.attack("shapes", networks=["normal"]))
    controls[1].value, controls[2].value = 0, "40"
    clean = output.value
    controls[1].value = 64
    assert output.value != clean and "attacked against normal" in output.value


def test_without_the_data_set_the_kept_frames_are_shown() -> None:
    box = widgets.explorer("cifar10")  # tests have an empty data directory
    assert "cifar10 is not in" in box.children[0].value
    assert "cat" in shown(box.children[3], 0, 0, 0)
    with pytest.raises(InputError, match="without the data set cifar10"):
        widgets.attack("cifar10", networks=["normal"])


def test_a_run_folder_is_a_network_too(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(resolve(dataset="shapes"), quick=True, width=4, epochs=1.0, precision="fp32")
    run = training.train(config, progress=False)
    _, output = parts(widgets.explorer("shapes", networks=["normal", str(run)]))
    own = evaluation.subject_of(run).model
    image = data.load("shapes").test.images[:1] / 255
    chance = own(image).softmax(1)[0, int(data.load("shapes").test.labels[0])].item()
    panel = re.search(rf"<strong>{re.escape(run.name)}</strong>(.*?)</div>", output.value)
    assert panel and escape(widgets.percent(chance)) in panel[1]


def test_live_sliders_answer_within_half_a_second() -> None:
    controls, _ = parts(widgets.explorer("shapes"))
    began = time.process_time()
    controls[1].value = 16
    assert time.process_time() - began < 1.0  # processor seconds, of at least two cores


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
        for cell in pages.code(nbformat.read(path, 4)):
            for output in cell.outputs:
                if pages.VIEW in output.get("data", {}):
                    assert output["data"]["text/plain"] == "sliders: they need JavaScript"
