"""What the sections on distortions and maps print is what the rows say: intervals, pending cells, links, sentences."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from atlib import style
from atlib.files import REPOSITORY
from atlib.report import claims, lens, plots, statistics, tables, verdicts
from atlib.rows import Archive, archive, frame_of, load, row_id

SHAPES, CIFAR = tables.setting("shapes"), tables.setting("cifar10")


def row(name: str, model: str, seed: int, under: str, metric: str, value: float, total: int = 10) -> dict:
    """A row of a main setting of a run that never was."""
    at = tables.setting(name)
    distortion, _, level = under.partition("@")
    size = "64" if name.endswith("-64") else "00"  # of two settings of one data set
    counted = metric in ("accuracy", "accuracy_last")
    return {
        "run": f"{at.dataset}/{model}-w{at.width}-s{seed}-{size}00000{seed}",
        "dataset": at.dataset,
        "model": model,
        "width": at.width,
        "share": 0.0 if model in ("normal", "underfit") else at.share,
        "recipe": at.recipe,
        "seed": seed,
        "distortion": distortion,
        "level": level,
        "metric": metric,
        "value": value,
        "count": round(value * total) if counted else None,
        "total": total,
    }


def network(name: str, model: str, seed: int, clean: str, under: dict[str, str]) -> tuple[list[dict], dict]:
    """Rows and predictions of a network, from strings of what it gets right (1) and wrong (0), ten pictures each."""
    right = {"clean@": clean, **under}
    said = {f"{place}/class": np.array([int(one) for one in text]) for place, text in right.items()}
    rows = [row(name, model, seed, place, "accuracy", text.count("1") / 10) for place, text in right.items()]
    return rows, said | {"labels": np.ones(10, int)}


def world(*networks: tuple[list[dict], dict]) -> tuple[pd.DataFrame, Archive]:
    """All their rows, and an archive of their predictions."""
    rows = [one for found, _ in networks for one in found]
    stored = {found[0]["run"]: said for found, said in networks}
    return frame_of(rows), lambda run: stored[run]


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


@pytest.fixture
def published(monkeypatch) -> pd.DataFrame:
    """The rows of this repository, whose predictions are found too."""
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    return load()


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


def test_level_table_is_in_the_paper_s_order_and_says_pending(two):
    found = lens.points(two[0], "cifar10", "saturation", two[1])
    table = lens.level_table(found, "conditional", ("8", "1024")).set_index("network")
    assert list(table.index) == list(tables.MODELS)
    low, high = statistics.wilson(6, 8)
    assert table.loc["pgd-linf-8", "1024"] == f"75.0 [{100 * low:.1f},\u00a0{100 * high:.1f}]"
    assert (table["8"] == "pending").all() and table.loc["fgsm-8", "1024"] == "pending"
    assert (table.loc["normal", "seeds"], table.loc["normal", "width"]) == ("one seed", "16")
    assert (table.loc["fgsm-8", "seeds"], table.loc["fgsm-8", "width"]) == ("–", "–")


def test_one_seed_s_difference_is_marked_and_has_no_interval(two):
    one = lens.level_table(lens.points(two[0], "cifar10", "saturation", two[1]), "difference", ("1024",))
    assert "normal" not in list(one["network"])
    assert one.set_index("network").loc["pgd-linf-8", "1024"] == "+66.7 (one\u00a0seed)"
    three = lens.level_table(lens.points(two[0], "shapes", "saturation", two[1]), "difference", ("1024",))
    values = [5 / 6, 3 / 6, 2 / 6]  # normal keeps one of the six
    low, high = (100 * x for x in statistics.t_interval(values))
    assert three["1024"].iloc[0] == f"{100 * np.mean(values):+.1f} [{low:+.1f},\u00a0{high:+.1f}]"


def test_opening_has_exactly_the_numbers_of_the_rows(two):
    text = lens.opening(two[0], "saturation", "1024", two[1])
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    mean = np.mean([6, 4, 3]) / 6
    low, high = statistics.t_interval([5 / 6, 3 / 6, 2 / 6])
    assert lines == [
        "- CIFAR-10 (width 16): pgd-linf-8 keeps **83.3 %**, the normal network **16.7 %** (+66.7 points, one seed); "
        "a network that was merely stopped early keeps **0.0 %**.",
        f"- shapes (width 16): pgd-linf-8 keeps **{100 * mean:.1f} %**, the normal network **16.7 %** "
        f"({100 * (mean - 1 / 6):+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], 3 seeds).",
        "- Caltech-101 at 112 pixels, Tiny ImageNet: **pending**.",
    ]


def test_openings_of_the_published_rows_agree_with_a_count_by_hand(published):
    """Independently of `lens`: numpy over the stored predictions."""
    frame, predictions_of = published, archive()
    for distortion, level in (("saturation", "1024"), ("patch-shuffle", "2"), ("low-pass", "0.2")):
        text = lens.opening(frame, distortion, level, predictions_of)
        main = frame[(frame["dataset"] == "shapes") & (frame["recipe"] == SHAPES.recipe)]
        for column, value in (("distortion", distortion), ("level", level), ("metric", "accuracy")):
            main = main[main[column] == value]
        kept, reference = [], []
        for seed in sorted(main.loc[main["model"] == "underfit", "seed"]):
            right = []
            for model in ("pgd-linf-8", "normal", "underfit"):
                run = main[(main["model"] == model) & (main["seed"] == seed)]["run"].iloc[0]
                stored = predictions_of(run)
                right.append([stored[f"{at}/class"] == stored["labels"] for at in ("clean@", f"{distortion}@{level}")])
            all_three = right[0][0] & right[1][0] & right[2][0]
            kept.append((right[0][1] & all_three).sum() / all_three.sum())
            reference.append((right[1][1] & all_three).sum() / all_three.sum())
        assert len(kept) == 3
        expected = f"keeps **{100 * np.mean(kept):.1f} %**, the normal network **{100 * np.mean(reference):.1f} %**"
        assert expected in next(line for line in text.splitlines() if line.startswith("- shapes"))


def test_without_rows_everything_is_pending():
    nothing = frame_of([])
    for distortion in ("saturation", "patch-shuffle", "stylised"):
        text = lens.opening(nothing, distortion, lens.levels_of(distortion)[0])
        assert text.splitlines()[-1].endswith(": **pending**.") and not re.search(r"\d %", text)
    for table in (lens.table_2(nothing, "caltech101"), lens.table_2(nothing, "tiny-imagenet")):
        ours = table[[name for name in table.columns if name.endswith(": ours")]]
        assert (ours == "pending").all(axis=None)
    assert (lens.shuffle_table(nothing)["ours"] == "pending").all()
    assert lens.panels(nothing, "saturation", "conditional") == {}
    assert len(plots.curves({}, ("x", "y"), ["1"]).axes) == 0
    assert tables.data_of(lens.drawn({}), "nothing").count("<li>") == 0
    assert (lens.correlations(lens.per_run(nothing, "shapes"))["ours"] == "pending").all()
    assert (lens.spatial_table(nothing, "cifar10").iloc[:, 1:-1] == "pending").all(axis=None)


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
    assert table["clean"].iloc[1] == "pending"


def test_maps_over_seeds_and_baselines_come_from_their_rows():
    rows = [row("shapes", "normal", seed, "clean@", "gini", value) for seed, value in ((1, 0.3), (2, 0.4), (3, 0.5))]
    found = lens.map_points(frame_of(rows), "shapes", ["gini"], ["clean@"], lambda run: {})
    assert (found["low"].iloc[0], found["high"].iloc[0]) == statistics.t_interval([0.3, 0.4, 0.5])
    line = {"dataset": "shapes", "side": 32, "distortion": "clean", "level": "", "metric": "edges_gini"}
    fixed = pd.DataFrame([line | {"value": 0.54, "low": 0.53, "high": 0.55, "total": 200}])
    table = lens.map_table(found, "shapes", ["normal"], ["gini"], fixed).set_index("network")
    assert table.loc["edges of the picture", "clean"] == "0.54\u00a0±\u00a00.01"
    assert table.loc["random network", "clean"] == "pending"


def test_correlations_need_ten_networks_and_leave_out_the_underfit():
    models = [model for model in tables.MODELS if model != "underfit"]
    rows = []
    for seed in (1, 2):
        for number, model in enumerate([*models, "underfit"]):
            rows.append(row("shapes", model, seed, "pgd-linf@8", "accuracy_last", 0.01 * number, 100))
            rising = number if seed == 1 else -number
            rows.append(row("shapes", model, seed, "conflict@", "shape_bias", 0.5 + 0.01 * rising))
    frame = frame_of(rows)
    table = lens.correlations(lens.per_run(frame, "shapes", lambda run: {})).set_index("with robustness")
    line = table.loc["shape bias, cue conflict"]
    assert line["ours"].startswith("+0.00 [") and (line["networks"], line["seeds"]) == ("11", "2 seeds")
    few = frame[frame["model"].isin(models[:9])]
    few_table = lens.correlations(lens.per_run(few, "shapes", lambda run: {}))
    assert (few_table["ours"] == "pending").all()


def test_the_paper_s_own_correlations():
    table = lens.paper_correlations().set_index("data set")
    assert list(table.loc["Caltech-256"]) == ["-0.85 (of 9)", "-0.01 (of 11)"]
    assert list(table.loc["Tiny ImageNet"]) == ["+0.35 (of 9)", "+0.63 (of 11)"]
    least = lens.paper_absolute().set_index("network")["Caltech-256: at least"]
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


def test_the_csv_of_a_figure_has_every_point_and_its_rows(two):
    frame, predictions = two
    drawn = lens.drawn(lens.panels(frame, "saturation", "conditional", predictions))
    page = tables.data_of(drawn, "saturation")
    name, found = csv_of(page)
    assert name == "saturation.csv" and len(found) == len(drawn) == page.count("<li>") == 6
    assert [float(x) for x in found["mean"]] == pytest.approx(list(drawn["mean"]))
    ids = {row_id(one) for one in frame.to_dict("records")}
    named = {one for text in found["rows"] for one in text.split()}
    assert named == set(re.findall(r"<code>([^<]*/accuracy)</code>", page)) <= ids
    assert len(named) == 12


def test_curves_draw_each_network_at_its_values(two):
    panels = lens.panels(*(two[0], "saturation", "conditional", two[1]))
    assert list(panels) == ["CIFAR-10 (width 16)", "shapes (width 16)"]
    figure = plots.curves(panels, ("level", "accuracy"), lens.levels_of("saturation"))
    for axis, frame in zip(figure.axes, panels.values(), strict=True):
        drawn = {line.get_label(): float(np.asarray(line.get_ydata())[0]) for line in axis.lines}
        assert drawn == pytest.approx(dict(zip(frame["model"], frame["mean"], strict=True)))
        bars = [one for one in axis.collections if isinstance(one, LineCollection)]
        spans = sorted(tuple(np.asarray(segment)[:, 1]) for lines in bars for segment in lines.get_segments())
        assert np.array(spans) == pytest.approx(np.array(sorted(zip(frame["low"], frame["high"], strict=True))))
    colours = {line.get_label(): line.get_color() for line in figure.axes[0].lines}
    families = {"pgd-linf-8": "pgd-linf", "normal": "normal", "underfit": "underfit"}
    assert colours == {model: plots.FAMILIES[family] for model, family in families.items()}


def test_networks_of_a_family_share_a_colour_and_differ_in_stroke():
    drawn = plots.strokes(["pgd-linf-8", "pgd-linf-4", "normal"])
    assert drawn["pgd-linf-8"][0] == drawn["pgd-linf-4"][0] != drawn["normal"][0]
    assert drawn["pgd-linf-8"][1] != drawn["pgd-linf-4"][1] and drawn["normal"][1] == ("-", "o")


def test_the_claims_of_a_section_are_told_with_their_verdicts(published):
    ids = ["saturation-conditional", "robustness-costs-accuracy"]
    found, page = verdicts.table(published), tables.judged_html(ids, published, "Two claims")
    bodies = re.findall(r"<tbody>(.*?)</tbody>", page)
    assert len(bodies) == 2
    for id, body in zip(ids, bodies, strict=True):
        first, *others = found[found["id"] == id].to_dict("records")
        assert f'href="claims.html#claim-{id}"' in body and f"overall <strong>{first['verdict']}</strong>" in body
        lines = [re.findall(r"<td>(.*?)</td>", line) for line in re.findall(r"<tr>(<td>.*?)</tr>", body)]
        others = [o for o in others if len(o["values"])]
        expected = [[str(len(o["values"])), tables.effect(pd.Series(o)), lens.said(pd.Series(o))] for o in others]
        assert [[line[1], line[2], line[4]] for line in lines] == expected
        assert [line[3] for line in lines] == [tables.against(pd.Series(o)) for o in others]
        assert [line[0].removesuffix(" (shown only)") for line in lines] == [o["dataset"] for o in others]
    name, told = csv_of(page)
    mine = found[found["id"].isin(ids) & ((found["dataset"] == "overall") | found["values"].map(len).astype(bool))]
    assert name == "two-claims.csv" and sorted(told["verdict"]) == sorted(
        lens.said(line) for _, line in mine.iterrows()
    )


# --- What did not reproduce -----------------------------------------------------------------------------------------


def test_what_did_not_reproduce_is_said():
    rows = []
    for seed in (1, 2, 3):  # the trained network is the more accurate when clean: no price is paid
        rows.append(row("shapes", "normal", seed, "clean@", "accuracy", 0.9, 1000))
        rows.append(row("shapes", "pgd-linf-8", seed, "clean@", "accuracy", 0.95 + 0.001 * seed, 1000))
    text = lens.not_reproduced(["robustness-costs-accuracy"], frame_of(rows))
    assert "**does not hold (reversed)** on shapes: +0.052 [" in text
    assert "No claim" in lens.not_reproduced(["robustness-costs-accuracy"], frame_of(rows[:4]))


# --- The pages --------------------------------------------------------------------------------------------------------

PAGES = ("saliency", "stylising", "saturation", "patches", "discussion", "supplement", "claims")


@pytest.mark.parametrize("name", PAGES)
def test_claims_that_a_page_names_exist(name):
    text = (REPOSITORY / "book" / f"{name}.md").read_text()
    named = {
        one for group in re.findall(r"ids = \[(.*?)\]", text, re.DOTALL) for one in re.findall(r'"([^"]+)"', group)
    }
    assert named <= {claim.id for claim in claims.load().claims}


def test_every_claim_of_a_section_is_on_its_page():
    """Sections 4.1 to 5, and those about frequencies."""
    pages = {"4.1": "saliency", "4.2.1": "stylising", "4.2.2": "saturation", "4.2.3": "patches", "5": "discussion"}
    for claim in claims.load().claims:
        page = pages.get(claim.section, "supplement" if claim.origin == "later" else "")
        if page and claim.id != "stylised-stronger-better":  # of section 5, but about Table 2
            assert f'"{claim.id}"' in (REPOSITORY / "book" / f"{page}.md").read_text(), claim.id
    assert '"stylised-stronger-better"' in (REPOSITORY / "book" / "stylising.md").read_text()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_types_no_measured_number(name):
    """Prose between the cells: percentages and decimals come from rows, except those that define or bound something."""
    text = (REPOSITORY / "book" / f"{name}.md").read_text()
    prose = re.sub(r"```.*?```|\A---.*?---|`[^`]*`", "", text, flags=re.DOTALL)
    numbers = set(re.findall(r"(?<![\w.])[-+]?\d*\.\d+(?![\w.])|\d+(?:\.\d+)? ?%", prose))
    defined = {"4.1", "4.2", "1.41", ".02", "95 %"}
    assert numbers <= defined, numbers - defined


def test_panels_of_styles_are_in_order():
    assert lens.levels_of("stylised") == style.LEVELS
    assert lens.levels_of("patch-shuffle") == ("1", "2", "4", "8")


Opening = Callable[[pd.DataFrame], str]


def test_the_first_sentence_says_how_the_claim_stands():
    nothing = lens.answer("saturation-less-sensitive", frame_of([]))
    assert nothing == (
        "*As saturation rises towards a binary picture, adversarially trained networks lose much less accuracy.* "
        "Overall **not decided yet**."
    )
    rows = []
    for seed in (1, 2, 3):
        for model, value in (("normal", 0.1), ("pgd-linf-8", 0.9 + 0.01 * seed)):
            rows.append(row("shapes", model, seed, "pgd-linf@8", "accuracy_last", value, 100))
    text = lens.answer("robustness-gained", frame_of(rows))
    assert text.endswith("Overall **not decided yet**; **holds** on shapes.")


@pytest.mark.parametrize("say", [lens.maps_opening, lens.discussion_opening])
def test_other_openings_quote_the_verdicts(say: Opening, published):
    frame = published
    found = verdicts.table(frame)
    quoted: dict[Opening, list[str]] = {lens.maps_opening: list(lens.MAPS_OPENING)}
    claims = quoted.get(say, ["robustness-goes-with-shape", "spatial-not-robust"])
    text = say(frame)
    for claim in claims:
        line = found[(found["id"] == claim) & (found["dataset"] == "shapes")].iloc[0]
        assert f"{line['effect']:+.2f} [{line['low']:+.2f}, {line['high']:+.2f}]" in text
    assert re.search("pending|not run", say(frame_of([])))
