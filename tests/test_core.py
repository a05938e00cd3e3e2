"""The three networks of the argument: what the pages' figures and tables say of them is what the rows say."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection

from atlib.report import claims, core, multiples, plots, statistics, tables, verdicts
from atlib.rows import archive, frame_of
from worlds import network, world

RIGHT = {"normal": "1111111100", "underfit": "1111110000", "pgd-linf-8": "1111110011"}


@pytest.fixture
def seeds():
    """Three networks of three seeds on CIFAR-10; saturated, the adversarially trained one keeps 5, 4 and 3 pictures."""
    saturated = {"normal": ["1000000000"] * 3, "underfit": ["0000000000"] * 3}
    saturated["pgd-linf-8"] = ["1111100000", "1111000000", "1110000000"]
    found = [
        network("cifar10", model, seed, clean, {"saturation@1024": saturated[model][seed - 1]})
        for model, clean in RIGHT.items()
        for seed in (1, 2, 3)
    ]
    return world(*found, network("cifar10", "pgd-linf-2", 1, "1111111111", {"saturation@1024": "1111111111"}))


def test_points_are_the_accuracies_of_three_networks_by_role(seeds):
    found = core.panels(seeds[0], "saturation", predictions=seeds[1])
    assert list(found) == ["CIFAR-10"]
    values = found["CIFAR-10"].groupby("role", sort=False)["value"].apply(list).to_dict()
    assert values == {"normal": [0.1] * 3, "underfit": [0.0] * 3, "main": [0.5, 0.4, 0.3]}
    common = core.panels(seeds[0], "saturation", "common", predictions=seeds[1])["CIFAR-10"]
    assert list(common[common["role"] == "main"]["value"]) == [5 / 6, 4 / 6, 3 / 6]


def test_clean_accuracy_is_one_more_level(seeds):
    found = core.with_clean(seeds[0], "saturation", predictions=seeds[1])["CIFAR-10"]
    clean = found[found["level"] == "clean"]
    assert clean.groupby("role", sort=False)["value"].first().to_dict() == {"main": 0.8, "normal": 0.8, "underfit": 0.6}
    assert all(len(ids) == 1 and ids[0].endswith("clean@/accuracy") for ids in clean["rows"])


def test_a_table_has_an_interval_of_three_seeds_and_of_one_but_not_of_two(seeds):
    frame = seeds[0]
    line = core.table(frame, "saturation", {"1024": "1024"}).set_index("network").loc["trained against attacks"]
    low, high = statistics.t_interval([0.5, 0.4, 0.3])
    assert line["1024"] == f"40.0\u00a0±\u00a0{50 * (high - low):.1f}" and line["seeds"] == "3"
    two = core.table(frame[frame["seed"] < 3], "saturation", {"1024": "1024"}).set_index("network")
    assert two.loc["trained against attacks", "1024"] == "45.0"
    one = core.table(frame[frame["seed"] == 1], "saturation", {"1024": "1024", "8": "8"}).set_index("network")
    low, high = statistics.wilson(5, 10)
    assert one.loc["trained against attacks", "1024"] == f"50.0\u00a0±\u00a0{50 * (high - low):.1f}"
    assert one.loc["normal", "8"] == "–"


def test_the_table_names_each_data_set_once_and_carries_its_rows(published):
    page = core.html(core.networks(published), "Three networks.")
    named = re.findall(r'<tr class="group"><th colspan="4" scope="rowgroup">([^<]*)</th>', page)
    assert named == ["Caltech-101 at 112 pixels", "CIFAR-10", "shapes"]
    assert page.count("trained against attacks") == len(named)
    assert "cifar10/normal-w16-s1-aa196894:clean@/accuracy" in page


def test_networks_agree_with_a_count_over_the_published_answers(published):
    """Independently of `lens`: numpy over the stored predictions."""
    mine = published[(published["dataset"] == "cifar10") & (published["model"] == "pgd-linf-8")]
    runs = sorted(set(tables.in_main_setting(mine, "cifar10")["run"]))
    found = [archive()(run) for run in runs]
    right = [float((one["saturation@inf/class"] == one["labels"]).mean()) for one in found]
    line = core.table(published, "saturation", {"inf": "inf"}, ["cifar10"]).set_index("network")
    assert len(runs) == 3
    assert str(line["inf"]["trained against attacks"]).startswith(f"{100 * np.mean(right):.1f}\u00a0±")


def test_lines_run_through_the_means_and_bands_span_the_intervals(seeds):
    found = core.with_clean(seeds[0], "saturation", predictions=seeds[1])
    figure = multiples.curves(found, ("level", "share"), ["clean", "1024"])
    (axis,) = figure.axes
    drawn = {line.get_color(): list(np.asarray(line.get_ydata())) for line in axis.lines}
    blue = multiples.COLOURS["main"]
    assert drawn[blue] == pytest.approx([0.8, 0.4]) and drawn[multiples.COLOURS["normal"]] == pytest.approx([0.8, 0.1])
    bands = [one for one in axis.collections if isinstance(one, FillBetweenPolyCollection)]
    low, high = statistics.t_interval([0.5, 0.4, 0.3])
    spans = [np.asarray(path.vertices)[:, 1] for one in bands for path in one.get_paths()]
    assert any(span.min() == pytest.approx(low) and span.max() == pytest.approx(0.8) for span in spans) and high < 0.8
    assert {text.get_text().replace("\n", " ") for text in axis.texts} == set(core.ROLES.values())


def test_two_seeds_have_dots_instead_of_a_band(seeds):
    frame = seeds[0]
    found = core.panels(frame[frame["seed"] < 3], "saturation", predictions=seeds[1])
    axis = multiples.curves(found, ("level", "share"), ["1024"]).axes[0]
    dots = [np.asarray(one.get_offsets()) for one in axis.collections if not isinstance(one, FillBetweenPolyCollection)]
    assert sorted(float(y) for some in dots for _, y in some) == pytest.approx([0, 0, 0.1, 0.1, 0.4, 0.5])


@pytest.mark.parametrize("tick", ["1024", "generated, MicroAST"])
def test_names_at_the_lines_do_not_cover_each_other(tick):
    """As drawn; tilted names of ticks make the panels lower, and the two names of two lines are next to each other."""
    ends = {"normal": 0.4, "underfit": 0.12, "main": 0.1}
    lines = [{"level": "1024", "role": role, "seed": 1, "value": value} for role, value in ends.items()]
    figure = multiples.curves({"CIFAR-10": pd.DataFrame(lines)}, ("", ""), ["1024"], {"1024": tick})
    figure.draw_without_rendering()
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 3 and all(low.y1 <= high.y0 for low, high in itertools.pairwise(boxes))


def test_maps_are_dots_beside_two_yardsticks(published):
    found = core.map_points(published, ["gini", "edge_correlation"])
    cifar = found[(found["on"] == "CIFAR-10") & (found["metric"] == "gini")].set_index("role")
    assert list(cifar.index) == ["normal", "underfit", "main", "edges", "untrained"]
    means = cifar["mean"].astype(float).to_dict()
    assert means["main"] > means["normal"] > means["untrained"]
    figure = multiples.map_dots(found, {"gini": "Gini", "edge_correlation": "edges"})
    first, second = figure.axes
    assert len(first.lines) == 5 and len(second.lines) == 4  # edges correlate with themselves at 1


def test_accuracies_of_the_paper_are_hollow(published):
    found = core.clean_and_robust(published, "cifar10")
    paper = found[(found["whose"] == "paper") & (found["model"] == "normal")].iloc[0]
    assert (paper["clean"], paper["robust"]) == (0.9452, 0.0)
    axis = multiples.accuracies({"CIFAR-10": found}).axes[0]
    hollow = [line for line in axis.lines if line.get_markerfacecolor() == "none"]
    assert len(hollow) == 11 and len(axis.lines) - len(hollow) == (found["whose"] == "ours").sum()


def test_the_key_says_what_the_intervals_are_over(published) -> None:
    assert core.key(published, ["cifar10"]).startswith("±: half a 95 % interval over seeds. Trained against attacks")
    some = published[(published["dataset"] == "cifar10") & (published["seed"] <= 2)]
    assert core.key(some, ["cifar10"]).startswith("±: half a 95 % interval over seeds; two seeds have none.")
    some = some[(some["seed"] == 1) | (some["model"] != "normal")]
    assert "over seeds or, for one seed, over pictures; two seeds have none." in core.key(some, ["cifar10"])
    assert "10,000 test pictures; width 16, 12 epochs, budget 8/255." in core.key(some, ["cifar10"])


def test_a_cell_has_an_interval_that_says_something() -> None:
    assert core.mean_cell([0.5, 0.52, 0.54], [], 1000) == "52.0\u00a0±\u00a05.0"
    assert core.mean_cell([0.5, 0.52], [], 1000) == "51.0"  # two seeds have none
    assert core.mean_cell([0.5], [], 1000) == "50.0\u00a0±\u00a03.1"
    low, high = statistics.wilson(1, 1000)
    assert (
        core.mean_cell([0.001], [], 1000) == f"0.1 [{100 * low:.1f},\u00a0{100 * high:.1f}]"
    )  # "±" would reach below 0


def test_verdicts_are_one_line_per_claim_with_a_badge_per_data_set(published):
    ids = ["saturation-conditional", "desaturation-alike", "beyond-noise-stylised"]
    published = published[~((published["dataset"] == "caltech101") & published["model"].str.startswith("noise-"))]
    page = core.verdict_grid(ids, published, "Three claims")  # of the last one, no data set has rows
    found = {(row["id"], row["dataset"]): row for row in verdicts.table(published).to_dict("records")}
    assert re.findall(r'<th scope="col">([^<]*)</th>', page) == [
        "claim",
        "Caltech-101 at 112 pixels",
        "CIFAR-10",
        "shapes",
    ]
    lines = re.findall(r'<tr><th scope="row">.*?</tr>', page)
    for id, line in zip(ids, lines, strict=True):
        assert f'href="claims.html#claim-{id}"' in line
        said = [re.sub(r"<[^>]*>", " ", cell).split() for cell in re.findall(r"<td>(.*?)</td>", line)]
        for dataset, words in zip(("caltech101", "cifar10", "shapes"), said, strict=True):
            one = found.get((id, dataset))
            if one and one["verdict"] != "not run":
                expected = f"{one['verdict']} {one['kind']}" if one["counts"] else f"({one['verdict']}) {one['kind']}"
                assert " ".join(words).replace("( ", "(").replace(" )", ")") == expected.strip()
    assert lines[2].count("not run") == 3


def test_without_rows_nothing_is_drawn():
    nothing = frame_of([])
    assert core.panels(nothing, "saturation") == {} and core.networks(nothing).empty
    assert not multiples.curves({}, ("", ""), ["1"]).axes and not multiples.accuracies({}).axes
    assert not multiples.map_dots(core.map_points(nothing, ["gini"]), {"gini": ""}).axes
    assert tables.data_of(pd.DataFrame(columns=["rows"]), "nothing").count("<li>") == 0
    assert plots.not_run().texts[0].get_text() == "not run"


def test_a_claim_s_sentence_stands_alone() -> None:
    """The registered words stay; where a claim stands without the one before it, nothing refers back."""
    known = claims.load()
    for claim in known.claims:
        said = tables.claim_words(claim)
        assert not re.search(
            r"^(The same|They|The maps are|In that)\b|\bsuch a network\b|\b(hurts|costs) them\b", said
        ), said
        assert said == claim.claim or claim.alone
    assert sum(bool(claim.alone) for claim in known.claims) >= 20


def test_what_random_weights_reach_is_said_of_each_data_set():
    def dots(name, random, **trained):
        values = {"untrained": random, "edges": 1.0} | trained
        return [{"on": name, "metric": "edge_correlation", "role": r, "mean": v} for r, v in values.items()]

    found = pd.DataFrame([*dots("A", 0.2512, normal=0.253, main=0.251), *dots("B", 0.08, normal=0.21, underfit=0.15)])
    said = core.random_weights_sentence(found)
    assert "On A the maps of a network with random weights lie on edges as much as" in said
    assert "(0.25, trained 0.25 to 0.25), so there a value of this size is no sign of" in said
    assert said.endswith(
        "On B they lie on edges less than those of every trained network (0.08, trained 0.15 to 0.21)."
    )
    assert core.random_weights_sentence(found[found["role"] != "untrained"]) == ""
