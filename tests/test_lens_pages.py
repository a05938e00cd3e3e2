"""What the sections on distortions and maps print is what the rows say: intervals, empty cells, links."""

from __future__ import annotations

import base64
import io
import math
import re

import numpy as np
import pandas as pd
import pytest

from atlib import style
from atlib.campaign import destroyed
from atlib.files import REPOSITORY
from atlib.report import beside_paper, claims, correlations, lens, plots, statistics, tables
from atlib.rows import Archive, frame_of
from worlds import network, row, world

SHAPES, CIFAR = tables.setting("shapes"), tables.setting("cifar10")


# Normal knows the first 8 pictures, the trained network the last 8: both know 6 of them (places 2 to 7).
NORMAL, TRAINED, EVERYTHING = "1111111100", "0011111111", "1111111111"


@pytest.fixture
def two() -> tuple[pd.DataFrame, Archive]:
    """One seed on CIFAR-10, three on shapes, at saturation 1024."""
    found = [
        network("cifar10", "normal", 1, NORMAL, {"saturation@1024": "1110000001"}),
        network("cifar10", "pgd-linf-8", 1, TRAINED, {"saturation@1024": "0011111001"}),
        network("cifar10", "underfit", 1, EVERYTHING, {"saturation@1024": "0000000000"}),
    ]
    for seed, text in enumerate(("0011111101", "0011110001", "0011100001"), 1):
        found.append(network("shapes", "normal", seed, NORMAL, {"saturation@1024": "1110000001"}))
        found.append(network("shapes", "pgd-linf-8", seed, TRAINED, {"saturation@1024": text}))
        found.append(network("shapes", "underfit", seed, EVERYTHING, {"saturation@1024": "0000000000"}))
    return world(*found)


def test_points_count_in_three_ways(two):
    found = lens.points(two[0], "cifar10", "saturation", two[1])
    assert list(found["model"]) == ["pgd-linf-8", "normal", "underfit"]  # the report's order
    trained = found.iloc[0]
    assert (trained["accuracy"], trained["pictures"]) == (0.6, 10)
    assert (trained["conditional"], trained["conditional_total"]) == (6 / 8, 8)
    assert (trained["common"], trained["common_reference"], trained["total"]) == (5 / 6, 1 / 6, 6)
    assert trained["difference"] == pytest.approx(4 / 6)
    assert trained["rows"] == (f"{trained['run']}:saturation@1024/accuracy",)


def test_a_network_whose_reference_was_not_shown_a_level_has_no_common_accuracy(two):
    frame, predictions = two
    normal = (frame["dataset"] == "cifar10") & (frame["model"] == "normal") & (frame["distortion"] == "saturation")
    found = lens.points(frame[~normal], "cifar10", "saturation", predictions)
    assert "normal" not in list(found["model"]) and found["conditional"].iloc[0] == 6 / 8
    assert math.isnan(found["common"].iloc[0])
    assert lens.summary(found, "common").empty


def test_other_settings_are_left_out(two):
    frame, predictions = two
    wide = frame.assign(width=64, run=frame["run"].str.replace("w16", "w64"))
    rare = frame.assign(share=frame["share"] / 4, run=frame["run"] + "-rare")
    both = pd.concat([frame, wide, rare[rare["share"] > 0]])
    assert len(both) > 2 * len(frame)
    found = lens.points(both, "cifar10", "saturation", predictions)
    pd.testing.assert_frame_equal(found, lens.points(frame, "cifar10", "saturation", predictions))


@pytest.mark.parametrize(("measure", "count", "total"), [("accuracy", 6, 10), ("conditional", 6, 8), ("common", 5, 6)])
def test_one_seed_has_wilson_s_interval_over_its_own_pictures(two, measure, count, total):
    line = lens.summary(lens.points(two[0], "cifar10", "saturation", two[1]), measure).iloc[0]
    assert (line["low"], line["high"]) == statistics.wilson(count, total)
    assert (line["mean"], line["seeds"]) == (count / total, 1)


def test_several_seeds_have_the_t_interval(two):
    found = lens.points(two[0], "shapes", "saturation", two[1])
    line = lens.summary(found, "common").set_index("model").loc["pgd-linf-8"]
    values = [6 / 6, 4 / 6, 3 / 6]
    assert (line["low"], line["high"]) == statistics.t_interval(values)
    assert line["mean"] == pytest.approx(np.mean(values)) and line["seeds"] == 3 and len(line["rows"]) == 3


def test_level_table_is_in_the_paper_s_order_and_has_no_line_without_rows(two):
    found = lens.points(two[0], "cifar10", "saturation", two[1])
    table = lens.level_table(found, "conditional", ("8", "1024")).set_index("network")
    assert list(table.index) == ["pgd-linf-8", "normal", "underfit"]
    low, high = statistics.wilson(6, 8)
    assert table.loc["pgd-linf-8", "1024"] == f"75.0 [{100 * low:.1f},\u00a0{100 * high:.1f}]"
    assert (table["8"] == "–").all()
    assert (table.loc["normal", "seeds"], table.loc["normal", "width"]) == ("one seed", "16")


def test_one_seed_s_difference_is_marked_and_has_no_interval(two):
    one = lens.level_table(lens.points(two[0], "cifar10", "saturation", two[1]), "difference", ("1024",))
    assert "normal" not in list(one["network"])
    assert one.set_index("network").loc["pgd-linf-8", "1024"] == "+66.7 (one\u00a0seed)"
    both = lens.points(two[0], "shapes", "saturation", two[1]).query("seed < 3")
    for measure in ("difference", "conditional"):
        assert lens.level_table(both, measure, ("1024",)).iloc[0]["1024"].endswith("(2\u00a0seeds)")
    three = lens.level_table(lens.points(two[0], "shapes", "saturation", two[1]), "difference", ("1024",))
    values = [5 / 6, 3 / 6, 2 / 6]  # normal keeps one of the six
    low, high = (100 * x for x in statistics.t_interval(values))
    assert three["1024"].iloc[0] == f"{100 * np.mean(values):+.1f} [{low:+.1f},\u00a0{high:+.1f}]"


def test_without_rows_nothing_is_made_up():
    nothing = frame_of([])
    for table in (lens.table_2(nothing, "caltech101"), lens.table_2(nothing, "tiny-imagenet")):
        ours = table[[name for name in table.columns if name.endswith(": ours")]]
        assert (ours == "–").all(axis=None)
    assert (lens.shuffle_table(nothing)["ours"] == "not run").all()
    assert lens.details(nothing, "saturation") == '<h3 id="saturation">Saturation</h3>'
    assert lens.map_details(nothing, "cifar10", ["gini"]) == ""
    assert (correlations.with_robustness(correlations.per_run(nothing, "shapes"))["ours"] == "not run").all()
    assert (lens.spatial_table(nothing, "cifar10").iloc[:, 1:-1] == "not run").all(axis=None)


def test_the_supplement_folds_a_table_per_data_set_and_says_what_was_not_run(two):
    page = lens.details(two[0], "saturation", two[1])
    assert re.findall(r"<summary>([^<]*\(width[^<]*)</summary>", page) == ["CIFAR-10 (width 16)", "shapes (width 16)"]
    missing = ", ".join(model for model in tables.MODELS if model not in ("pgd-linf-8", "normal", "underfit"))
    assert page.count(f'<p class="not-run">Not run: {missing}.</p>') == 2


def test_table_2_has_the_paper_s_numbers_and_no_difference():
    table = lens.table_2(frame_of([]), "caltech101").set_index("network")
    assert list(table.index) == list(tables.MODELS[:-1])
    assert (table.loc["normal", "clean: paper"], table.loc["normal", "stylised: paper"]) == ("83.32", "16.83")
    assert (table.loc["pgd-l2-12", "clean: paper"], table.loc["pgd-l2-4", "stylised: paper"]) == ("65.24", "22.53")
    assert not [name for name in table.columns if "difference" in name]
    cifar = lens.table_2(frame_of([]), "cifar10")
    assert (cifar["stylised: paper"] == "–").all()


def test_a_difference_from_the_paper_is_only_given_on_its_own_data_set():
    found = []
    for name in ("tiny-imagenet", "caltech101", "cifar10"):
        if tables.setting(name).recipe is not None:
            found.append(network(name, "normal", 1, "1111111100", {"patch-shuffle@2": "1111110000"}))
    table = lens.shuffle_table(*world(*found)).set_index("data set")
    assert table.loc["Tiny ImageNet", "paper"] == "66.73"
    assert table.loc["Tiny ImageNet", "difference"] == f"{75 - 66.73:+.1f}"
    assert str(table.loc["Caltech-101 at 112 pixels", "ours"]).startswith("75.0")
    assert table.loc["Caltech-101 at 112 pixels", "difference"] == "–"
    assert (table.loc["CIFAR-10", "paper"], table.loc["CIFAR-10", "difference"]) == ("–", "–")


def test_maps_of_one_seed_have_an_interval_over_pictures():
    values = np.array([0.1, 0.2, 0.4, 0.5], np.float16)
    rows = [row("cifar10", "normal", 1, "clean@", "gini", 0.3)]
    frame = frame_of(rows)
    found = lens.map_points(frame, "cifar10", ["gini"], ["clean@"], lambda run: {"maps@clean@/gini": values})
    low, high = statistics.t_interval(values.astype(float))
    assert found[["mean", "low", "high", "seeds"]].iloc[0].tolist() == [0.3, low, high, 1]
    table = lens.map_table(found, "cifar10", lens.trio("cifar10"), ["gini"])
    assert table["clean"].iloc[0] == f"0.30 [{low:.2f},\u00a0{high:.2f}]"
    assert list(table["network"]) == [*lens.trio("cifar10"), "edges of the picture", "random network"]
    assert table["clean"].iloc[1] == "not run"


def test_maps_over_seeds_and_baselines_come_from_their_rows(monkeypatch):
    rows = [row("shapes", "normal", seed, "clean@", "gini", value) for seed, value in ((1, 0.3), (2, 0.4), (3, 0.5))]
    found = lens.map_points(frame_of(rows), "shapes", ["gini"], ["clean@"], lambda run: {})
    assert (found["low"].iloc[0], found["high"].iloc[0]) == statistics.t_interval([0.3, 0.4, 0.5])
    line = {"dataset": "shapes", "side": 32, "distortion": "clean", "level": "", "metric": "edges_gini"}
    fixed = pd.DataFrame([line | {"value": 0.54, "low": 0.53, "high": 0.55, "total": 200}])
    monkeypatch.setattr(destroyed, "load", lambda: fixed)
    table = lens.map_table(found, "shapes", ["normal"], ["gini"]).set_index("network")
    assert table.loc["edges of the picture", "clean"] == "0.54\u00a0±\u00a00.01"
    assert table.loc["random network", "clean"] == "not run"


def test_correlations_need_ten_networks_and_leave_out_the_underfit():
    models = [model for model in tables.MODELS if model != "underfit"]
    rows = []
    for seed in (1, 2):
        for number, model in enumerate([*models, "underfit"]):
            rows.append(row("shapes", model, seed, "pgd-linf@8", "accuracy_last", 0.01 * number, 100))
            rising = number if seed == 1 else -number
            rows.append(row("shapes", model, seed, "conflict@", "shape_bias", 0.5 + 0.01 * rising))
    frame = frame_of(rows)
    table = correlations.with_robustness(correlations.per_run(frame, "shapes", lambda run: {})).set_index(
        "with robustness"
    )
    line = table.loc["shape bias, cue conflict"]
    assert line["ours"] == "+0.00 (2\u00a0seeds)" and (line["networks"], line["seeds"]) == ("11", "2 seeds")
    few = frame[frame["model"].isin(models[:9])]
    few_table = correlations.with_robustness(correlations.per_run(few, "shapes", lambda run: {}))
    assert (few_table["ours"] == "not run").all()


def test_the_paper_s_own_correlations():
    table = correlations.of_paper().set_index("data set")
    assert list(table.loc["Caltech-256"]) == ["-0.85 (of 9)", "-0.01 (of 11)"]
    assert list(table.loc["Tiny ImageNet"]) == ["+0.35 (of 9)", "+0.63 (of 11)"]
    least = beside_paper.absolute().set_index("network")["Caltech-256: at least"]
    assert (least["normal"], least["pgd-linf-8"], least["pgd-linf-1"]) == ("14.02", "13.12", "17.46")


# --- What stands beside tables and figures ----------------------------------------------------------------------------


def csv_of(page: str) -> tuple[str, pd.DataFrame]:
    """Name and content of the one CSV that a page's link holds."""
    (name, content), *more = re.findall(r'download="([^"]+)" href="data:text/csv;charset=utf-8;base64,([^"]+)"', page)
    assert not more
    text = base64.b64decode(content).decode()
    return name, pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def test_the_csv_of_a_table_is_the_table(two):
    table = lens.level_table(lens.points(two[0], "shapes", "saturation", two[1]), "conditional", ("8", "1024"))
    page = tables.html(table, "Accuracy on <code>shapes</code>, &lt;8 levels")
    name, found = csv_of(page)
    assert name == "accuracy-shapes-8-levels.csv"
    assert list(found.columns) == list(table.columns)
    expected = [[str(cell).replace("\u00a0", " ") for cell in line] for line in table.to_numpy()]
    assert found.to_numpy().tolist() == expected
    assert 'class="dataframe rows numbered names"' in page


def test_networks_of_a_family_share_a_colour_and_differ_in_stroke():
    drawn = plots.strokes(["pgd-linf-8", "pgd-linf-4", "normal"])
    assert drawn["pgd-linf-8"][0] == drawn["pgd-linf-4"][0] != drawn["normal"][0]
    assert drawn["pgd-linf-8"][1] != drawn["pgd-linf-4"][1] and drawn["normal"][1] == ("-", "o")


# --- What did not reproduce -----------------------------------------------------------------------------------------


# --- The pages --------------------------------------------------------------------------------------------------------

PAGES = [path.stem for path in sorted((REPOSITORY / "book").glob("*.md")) if "ids = [" in path.read_text("utf-8")]


@pytest.mark.parametrize("name", PAGES)
def test_claims_that_a_page_names_exist(name):
    text = (REPOSITORY / "book" / f"{name}.md").read_text(encoding="utf-8")
    named = {
        one for group in re.findall(r"ids = \[(.*?)\]", text, re.DOTALL) for one in re.findall(r'"([^"]+)"', group)
    }
    assert named and named <= {claim.id for claim in claims.load().claims}


def test_every_claim_of_a_section_is_on_its_page():
    """Sections 4.1 to 5, and those about frequencies; what it says of accuracy is on Table 1's page."""
    pages = {"4.1": "saliency", "4.2.1": "stylising", "4.2.2": "saturation", "4.2.3": "patches", "5": "discussion"}
    elsewhere = {"stylised-stronger-better": "stylising"}  # of section 5, but about Table 2
    elsewhere |= dict.fromkeys(("robustness-costs-accuracy", "robust-less-accurate-within-at"), "experiments")
    for claim in claims.load().claims:
        page = pages.get(claim.section, "frequencies" if claim.origin == "later" else "")
        page = elsewhere.get(claim.id, page)
        if page:
            assert f'"{claim.id}"' in (REPOSITORY / "book" / f"{page}.md").read_text(encoding="utf-8"), claim.id


def test_panels_of_styles_are_in_order():
    assert lens.levels_of("stylised") == style.LEVELS
    assert lens.levels_of("patch-shuffle") == ("1", "2", "4", "8")
