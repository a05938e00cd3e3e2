"""Frames on photographs: chosen by the published answers, equal to them, and drawn as the captions promise."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from atlib import rows
from atlib.errors import InputError
from atlib.files import REPOSITORY
from atlib.report import frames, gallery, photographs
from atlib.report.frames import Frames

pytestmark = pytest.mark.usefixtures("published_folder")


@pytest.fixture(scope="module")
def found() -> Frames:
    return photographs.load(REPOSITORY / "results" / "frames")


def test_pictures_are_those_that_the_rule_chooses(found: Frames) -> None:
    assert gallery.numbers(found) == photographs.typical() == [697, 590, 896, 1199]
    assert [one["class"] for one in found.about["pictures"]] == ["bonsai", "airplane", "crab", "ibis"]
    assert len(found.about["pictures"]) <= 12 and found.about["credit"] and "Pietro" not in found.about["rule"]


def test_the_first_picture_is_answered_as_most_are_at_every_level() -> None:
    archive = rows.archive()
    answers = [archive(run) for run in photographs.NETWORKS.values()]
    known = np.all([one["clean@/class"] == one["labels"] for one in answers], axis=0)
    assert known.sum() == 1372 and known[697]
    for one in answers:
        for level in photographs.SATURATION:
            right = one[f"saturation@{level}/class"] == one["labels"]
            assert right[697] == (right[known].mean() > 0.5)


def test_ties_are_decided_by_patches_and_then_by_the_order_of_the_test_set() -> None:
    def archive(run: str) -> dict[str, np.ndarray]:
        labels = np.array([1, 1, 1, 1, 1])
        answers = {f"saturation@{level}/class": labels for level in photographs.SATURATION} | {"labels": labels}
        shuffled = {f"patch-shuffle@{k}/class": np.array([1, 2, 1, 1, 1]) for k in photographs.PATCHES}
        return answers | shuffled | {"clean@/class": np.array([1, 1, 1, 2, 1])}

    assert photographs.typical(3, archive) == [0, 2, 4]  # 3 isn't known; 1 is unlike the others when shuffled
    assert photographs.typical(4, archive) == [0, 2, 4, 1]


def test_ways_count_the_pictures_that_one_network_alone_recognises() -> None:
    archive = rows.archive()
    normal, robust = (archive(photographs.NETWORKS[name]) for name in ("normal", "pgd-linf-4"))
    a = robust["saturation@inf/class"] == robust["labels"]
    b = normal["saturation@inf/class"] == normal["labels"]
    assert photographs.ways("inf", "pgd-linf-4", "normal") == (452 / 1788, 48 / 1788)
    assert ((a & ~b).sum(), (b & ~a).sum()) == (452, 48)


def test_frames_are_of_the_networks_of_which_the_rows_are(found: Frames) -> None:
    for one in found.about["networks"]:
        assert one["run"] == photographs.NETWORKS[one["name"]] and one["digest"] == photographs.digest_of(one["run"])
    assert len(found.about["commit"]) == 40 and found.about["samples"] > 0


def test_their_answers_are_the_published_ones(found: Frames) -> None:
    archive, compared = rows.archive(), 0
    for name, levels in found.about["levels"].items():
        number, distortion = name.split("/")
        if distortion == "stylised":
            continue  # there every picture has a style of its own
        for level in levels:
            chances = photographs.chances(found, int(number), distortion, level)
            assert np.abs(chances.sum(1) - 1).max() < 5e-3
            said = [archive(run)[f"{distortion}@{level}/class"][int(number)] for run in photographs.NETWORKS.values()]
            assert chances.argmax(1).tolist() == said, f"{name}@{level}"
            compared += 1
    assert compared == 11 + 3 + 3 * (2 + 3)


def test_saturated_pictures_have_eight_colours_and_unchanged_ones_more(found: Frames) -> None:
    for number in gallery.numbers(found):
        assert set(np.unique(photographs.picture(found, number, "saturation", "1024"))) <= {*range(3), *range(253, 256)}
    last = photographs.picture(found, 697, "saturation", "inf")
    assert set(np.unique(last)) == {0, 255} and last.shape == (112, 112, 3)
    assert len(np.unique(photographs.picture(found, 697))) > 100
    grey = photographs.picture(found, 697, "saturation", "0")
    assert set(np.unique(grey)) <= {0, 128, 255} and (grey == 128).mean() > 0.8  # pure white stays white


def test_maps_are_one_a_network(found: Frames) -> None:
    for kind in photographs.KINDS:
        maps = photographs.maps(found, 697, "saturation", "1024", kind)
        assert maps.shape == (3, 112, 112) and all(one.max() > 200 for one in maps)
        assert not np.array_equal(maps[0], maps[2])


def test_what_is_not_kept_is_said_in_one_line(found: Frames) -> None:
    with pytest.raises(InputError, match="level = '3'"):
        photographs.picture(found, 697, "saturation", "3")
    with pytest.raises(InputError, match="picture, distortion = '5/saturation'"):
        photographs.maps(found, 5)
    with pytest.raises(InputError, match="kind = 'smooth'"):
        photographs.maps(found, 697, kind="smooth")


def test_without_the_weights_there_is_one_line() -> None:
    with pytest.raises(InputError, match="network = 'caltech101/normal-w64-s2-d4ccc123'"):
        photographs.networks()  # tests have an empty folder of runs


def test_stored_pictures_are_read_back_where_they_were() -> None:
    pictures = torch.zeros(2, 3, 4, 4)
    pictures[1, 0] = 1
    maps = torch.arange(2 * 3).view(2, 3, 1, 1).expand(2, 3, 4, 4) / 10
    about = {"levels": {"7/saturation": ["2", "inf"]}, "side": 4}
    stored = {
        "7/saturation/shown": photographs.encoded(photographs.column(pictures)),
        "7/saturation/grad": photographs.encoded(photographs.lines(maps)),
    }
    kept = Frames(stored, about)
    assert photographs.picture(kept, 7, "saturation", "inf")[2, 3].tolist() == [255, 0, 0]
    assert photographs.maps(kept, 7, "saturation", "inf", "grad").mean((1, 2)).round(-1).tolist() == [80, 100, 130]


def test_a_look_is_found_once(tmp_path: Path) -> None:
    calls = []

    def find() -> photographs.Look:
        calls.append(1)
        return photographs.Look(torch.ones(1, 2, 2), torch.zeros(1, 2, 2))

    for _ in range(2):
        assert photographs.remembered(tmp_path / "looks" / "a.npz", find).smoothgrad.sum() == 4
    assert calls == [1]


# --- figures ----------------------------------------------------------------------------------------------------------


def texts(html: str) -> list[str]:
    return re.findall(r'<img[^>]* alt="([^"]*)"', html)


@pytest.mark.parametrize(
    ("draw", "count", "last"),
    [
        (gallery.cues, 4, "bonsai cut into 16 squares in another order"),
        (gallery.saturated, 10, "bonsai, saturation ∞"),
        (gallery.stylised, 18, "crab in style 5"),
        (gallery.maps, 12, "SmoothGrad map of the network trained against attacks for bonsai, stylised"),
        (gallery.confidence, 3, "bonsai, 4 × 4"),
    ],
)
def test_every_picture_of_a_figure_says_what_it_shows(
    draw: Callable[[Frames], str], count: int, last: str, found: Frames
) -> None:
    html = draw(found)
    assert len(texts(html)) == count == len(set(texts(html))) and texts(html)[-1] == last
    assert "http" not in html and len(html) < 400_000


def test_maps_stand_above_their_networks_answers(found: Frames) -> None:
    html = gallery.maps(found)
    answers = re.findall(r'<span class="(right|wrong)">. ([^<]*)</span>', html)
    assert [kind for kind, _ in answers[:6]] == ["right"] * 3 + ["wrong", "wrong", "right"]
    chance = photographs.chances(found, 697, "saturation", "1024")[2].max()
    assert answers[5][1] == f"bonsai, {100 * chance:.0f} %"
    assert gallery.maps(found, kind="grad").count("gradient map of") == 9


def test_bars_hold_the_true_class_even_where_it_is_unlikely(found: Frames) -> None:
    chances = np.full((102,), 0.001, np.float32)
    chances[:4] = [0.5, 0.2, 0.15, 0.1]
    html = gallery._bars(found, chances, label=13, count=3)
    named = re.findall(r"<span>([^<]*)</span><span>([^<]*)</span>", html)
    assert named == [("clutter", "50 %"), ("Faces", "20 %"), ("bonsai", "&lt;1 %")]
    assert html.count("var(--own)") == 1 and html.endswith('--bar:var(--own)"></i>')


def test_turns_say_how_common_each_way_is() -> None:
    about = {"conflict": [{"answers": "SSS", "share": 0.6}, {"answers": "TNS", "share": 0.3}]}
    said = gallery.turns(Frames({}, about))
    assert "(60 % by shape)" in said and "(30 % from texture to shape)" in said
    published = frames.load("shapes").about["conflict"]
    share = sum(one["share"] for one in published if one["answers"][0] == "T" and one["answers"][-1] == "S")
    assert share > 0.05 and f"{100 * share:.0f} % from texture to shape" in gallery.turns()
