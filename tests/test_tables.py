"""Tables, sentences and figures say what the rows say, and "not run" where there are none."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from atlib import choices
from atlib.campaign import grid
from atlib.configuration import resolve
from atlib.files import REPOSITORY, write_json
from atlib.report import beside_paper, cue_conflict, inventory, palette, plots, statistics, tables
from atlib.rows import find_row, frame_of, load, row_id


def publish(folder, model: dict, seed: int, values: dict[tuple[str, str], float], total: int = 1000) -> str:
    """Write the rows and record of a run that never was."""
    config = resolve(**model, seed=seed)
    rows = []
    for (distortion, metric), value in values.items():
        level = "8" if distortion == "pgd-linf" else ""
        rows.append(
            {
                "run": config.run,
                "dataset": config.dataset,
                "model": config.model,
                "width": config.width,
                "share": config.share or 0.0,
                "recipe": config.recipe,
                "seed": seed,
                "distortion": distortion,
                "level": level,
                "metric": metric,
                "value": round(value * total) / total,
                "count": round(value * total),
                "total": total,
            }
        )
    path = folder / f"{config.run}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame_of(rows).to_csv(path, index=False)
    hardware = {"processor": "slide rule", "threads": 1, "device": "cpu"}
    record = {"run": config.run, "model": config.model, "hardware": hardware, "precision": "fp32", "seconds": 120.0}
    write_json(path.with_suffix(".json"), {"config": vars(config), "training": record, "evaluation": {}})
    return config.run


def cues(accuracy: float, robust: float, bias: float) -> dict[tuple[str, str], float]:
    return {
        ("clean", "accuracy"): accuracy,
        ("pgd-linf", "accuracy_last"): robust,
        ("conflict", "shape_bias"): bias,
        ("conflict", "coverage"): 0.9,
    }


@pytest.fixture
def published(tmp_path):
    for seed in (1, 2, 3):
        publish(tmp_path, {"attack": "none"}, seed, cues(1.0, 0.05, 0.5 + 0.01 * seed))
        publish(tmp_path, {"eps": 8}, seed, cues(0.99, 0.95, 0.8 + 0.01 * seed))
    publish(tmp_path, {"attack": "none", "cue": "shape"}, 1, cues(0.99, 0.0, 1.0))
    publish(tmp_path, {"attack": "none", "cue": "texture"}, 1, cues(0.985, 0.0, 0.0))
    publish(tmp_path, {"attack": "none", "cue": "shape", "amplitude": 0.05}, 1, cues(0.99, 0.0, 1.0))
    publish(tmp_path, {"attack": "none", "cue": "texture", "amplitude": 0.05}, 1, cues(0.7, 0.0, 0.0))
    return load(tmp_path), tables.records(tmp_path)


def test_cue_table_has_one_line_a_run(published):
    table = cue_conflict.cue_table(*published)
    assert len(table) == 10
    line = table[(table["model"] == "pgd-linf-8") & (table["seed"] == 2)].iloc[0]
    assert (line["accuracy"], line["robust"], line["shape_bias"], line["budget"]) == (0.99, 0.95, 0.82, 8.0)


def test_networks_gives_mean_and_interval_or_pending(published):
    table = cue_conflict.cue_table(*published)
    main = cue_conflict.main_lines(table)
    found = cue_conflict.networks(main).set_index("network")
    low, high = statistics.t_interval([0.81, 0.82, 0.83])
    assert found.loc["pgd-linf-8", "shape bias"] == f"0.82 [{low:.2f}, {high:.2f}]"
    assert found.loc["spatial", "shape bias"] == "not run"
    assert list(found.index) == list(tables.MODELS)


def test_amplitude_is_the_smallest_that_satisfies_the_rule(published):
    cues_found = cue_conflict.single_cues(cue_conflict.cue_table(*published))
    assert list(cues_found["equal"]) == [False, True]
    assert "**.12**, the main one" in cue_conflict.amplitude_sentence(cues_found, 0.12)
    assert "is .08 all the same" in cue_conflict.amplitude_sentence(cues_found, 0.08)
    assert "not run" in cue_conflict.amplitude_sentence(cues_found[:1], 0.12)


def test_map_leaves_out_single_cues_and_later_seeds(published):
    frame, about = published
    found = cue_conflict.map_table(cue_conflict.cue_table(frame, about))
    assert list(found["amplitude"]) == ["0.12"]
    assert found["2/255"].tolist() == ["not run"]
    assert found["8/255"].iloc[0].startswith("0.82")


def test_table_1_puts_the_setting_into_the_same_line(tmp_path):
    publish(tmp_path, {"dataset": "cifar10", "attack": "none"}, 1, {("clean", "accuracy"): 0.9})
    publish(tmp_path, {"dataset": "cifar10", "norm": "l2", "eps": 12}, 1, {("clean", "accuracy"): 0.8})
    table = beside_paper.table_1(load(tmp_path), tables.records(tmp_path), "cifar10").set_index("network")
    normal, l2 = table.loc["normal"], table.loc["pgd-l2-12"]
    low, high = statistics.wilson(900, 1000)
    assert normal["clean: ours"] == f"90.00 [{100 * low:.1f}, {100 * high:.1f}]"
    assert normal["clean: difference"] == f"{100 * (0.9 - 0.9452):+.1f}"
    assert (normal["width"], normal["epochs"], normal["seeds"]) == ("16", "12", "one seed")
    assert "slide rule" in normal["trained on"]
    publish(tmp_path, {"dataset": "cifar10", "attack": "none"}, 2, {("clean", "accuracy"): 0.8})
    again = beside_paper.table_1(load(tmp_path), tables.records(tmp_path), "cifar10").set_index("network")
    assert again.loc["normal", "clean: ours"] == "85.00 (2 seeds)"
    assert normal["robust: ours"] == "–"
    assert l2["clean: difference"] == "–"  # the paper's unit is unknown there
    assert table.loc["fgsm-8", "clean: ours"] == "–"


def test_table_1_says_where_an_attack_had_no_gradient_if_rows_do(tmp_path):
    robust, vanished = ("pgd-linf", "accuracy_last"), ("pgd-linf", "vanished")
    publish(tmp_path, {"dataset": "cifar10", "attack": "none"}, 1, {robust: 0.4})
    assert "no gradient" not in beside_paper.table_1(load(tmp_path), tables.records(tmp_path), "cifar10")
    publish(tmp_path, {"dataset": "cifar10"}, 1, {robust: 0.9, vanished: 0.25})
    table = beside_paper.table_1(load(tmp_path), tables.records(tmp_path), "cifar10").set_index("network")
    cells = table["no gradient"].to_dict()
    assert str(cells["pgd-linf-8"]).startswith("25.00 [") and cells["normal"] == "–"


def test_table_1_of_a_stand_in_stands_beside_the_paper_s_own_data_set_without_a_difference(tmp_path):
    publish(tmp_path, {"dataset": "caltech101", "side": 112, "attack": "none"}, 1, {("clean", "accuracy"): 0.9})
    table = beside_paper.table_1(load(tmp_path), tables.records(tmp_path), "caltech101").set_index("network")
    normal = table.loc["normal"]
    assert (normal["clean: paper"], normal["clean: difference"], normal["side"]) == ("83.32", "–", "112")
    assert normal["clean: ours"].startswith("90.00 [") and table.loc["pgd-linf-8", "clean: paper"] == "66.41"


def test_paper_has_all_cells_of_both_tables():
    paper = beside_paper.paper()
    expected = {"clean": 33, "robust": 33, "clean2": 22, "stylised_conditional": 22, "shuffle_2_conditional": 2}
    assert paper["metric"].value_counts().to_dict() == expected
    assert paper["value"].between(0, 1).all()
    assert not paper.duplicated(["dataset", "model", "metric"]).any()


def test_budget_puts_both_norms_on_one_scale():
    linf = plots.budget(vars(resolve(eps=8)))
    l2 = plots.budget(vars(resolve(norm="l2", eps=12)))
    assert linf == pytest.approx(8)
    assert l2 == pytest.approx(255 * 12 * 32 / 224 / (3 * 32 * 32) ** 0.5)
    assert plots.budget(vars(resolve(attack="none"))) == 0


def test_the_figure_of_the_map_draws_every_seed(published):
    table = cue_conflict.map_rows(cue_conflict.cue_table(*published))
    figure = plots.bias_map(table)
    drawn = [float(y) for axis in figure.axes for line in axis.lines for y in np.asarray(line.get_ydata()).ravel()]
    assert sorted(drawn) == pytest.approx(sorted([*table["shape_bias"], *table["coverage"]]))
    plots.bias_map(table[:0])
    assert figure._repr_png_()[:4] == b"\x89PNG"


def test_html_escapes_and_captions(published):
    table = cue_conflict.networks(cue_conflict.cue_table(*published))
    text = tables.html(table.assign(network="<b>"), "A caption")
    assert "<caption>A caption</caption>" in text
    assert "&lt;b&gt;" in text
    assert "tabindex" in text  # a wide table can be scrolled with the keyboard


@pytest.mark.parametrize(("model", "family"), [("pgd-l2-12", "pgd-l2"), ("pgd-linf-8", "pgd-linf"), ("fgsm-4", "fgsm")])
def test_family(model, family):
    assert palette.family(model) == family


def test_every_kind_of_network_has_a_colour_of_its_own() -> None:
    for name in (*choices.PLAIN, *choices.NUMBERED):
        assert palette.family(f"{name}-8" if name in choices.NUMBERED else name) == name


def test_setting_matches_what_train_does_by_default():
    """The claims judge the runs that train.ipynb makes by default."""
    assert tables.setting("shapes").recipe == resolve().recipe
    assert tables.setting("shapes").width == resolve().width
    assert tables.setting("cifar10").recipe == resolve(dataset="cifar10").recipe


def test_bench_table_is_pending_without_a_run(tmp_path):
    assert inventory.bench_table(tmp_path)["what"].tolist() == ["not run"]
    assert "not run" in inventory.bench_sentence(tmp_path)


def test_bench_sentence_names_the_processor(tmp_path):
    columns = "what,against,ours_s,theirs_s,ratio,reach,met,detail,rounds,processor,threads,bf16,commit,python,torch"
    line = "PGD,foolbox,1,2,0.5,0.58,yes,,3,slide rule,1,fast,abcdef,3.11,2.13"
    (tmp_path / "bench.csv").write_text(f"{columns},torchattacks,foolbox,captum\n{line},3.5.1,3.3.4,0.9.0\n")
    assert inventory.bench_table(tmp_path)["ratio"].tolist() == [0.5]
    sentence = inventory.bench_sentence(tmp_path)
    assert "slide rule, where bf16 is fast" in sentence and "foolbox 3.3.4, captum 0.9.0" in sentence


def test_every_number_of_a_table_carries_its_rows_ids(published):
    frame, about = published
    table = cue_conflict.cue_table(frame, about)
    main = cue_conflict.main_lines(table)
    ids = {row_id(row) for row in frame.to_dict("records")}
    for found in (cue_conflict.networks(main), cue_conflict.single_cues(table), cue_conflict.map_table(table)):
        numbers = [cell for cell in found.to_numpy().ravel() if isinstance(cell, tables.Cell) and cell != "not run"]
        assert numbers and all(cell.rows and set(cell.rows) <= ids for cell in numbers)
        page = tables.html(found, "caption")
        assert page.count("data-rows=") == len(numbers)
        assert all(f"<code>{one}</code>" in page for cell in numbers for one in cell.rows)
    cell = cue_conflict.networks(main).set_index("network").loc["pgd-linf-8", "shape bias"]
    assert isinstance(cell, tables.Cell)
    assert [find_row(one, frame)["value"] for one in cell.rows] == [0.81, 0.82, 0.83]


def test_every_point_of_a_figure_is_named_beside_it(published):
    table = cue_conflict.cue_table(*published)
    page = cue_conflict.behind(table, ["shape_bias", "coverage"])
    assert page.count("<li>") == 2 * len(table)
    assert (
        "model pgd-linf-8, amplitude 0.120, seed 2, metric shape_bias, value 0.820 <code>shapes/pgd-linf-8-w16-s2-"
        in page
    )


def test_text_from_elsewhere_is_escaped(tmp_path):
    page = tables.html(tables.frame_of([{"network": "<b>", "value": tables.Cell("1 < 2", ['"r"'])}]), "caption")
    assert "&lt;b&gt;" in page and "1 &lt; 2" in page and 'data-rows="&quot;r&quot;"' in page


def test_the_grid_shows_networks_that_have_been_run_and_counts_the_others(tmp_path):
    planned = [p for p in grid.load() if p.block == "a"]
    run = publish(tmp_path, {"dataset": "cifar10", "attack": "none"}, 2, cues(0.9, 0.01, 0.5))
    assert run in {p.run for p in planned}
    frame = load(tmp_path)
    table = inventory.grid_table(planned, frame).set_index("network")
    cell = table.loc["normal", "seed 2"]
    assert isinstance(cell, tables.Cell)
    assert cell == "90.00/1.00" and cell.rows == (f"{run}:clean@/accuracy", f"{run}:pgd-linf@8/accuracy_last")
    assert list(table.index) == ["normal"] and (table.to_numpy() == "not run").sum() == 2  # its other seeds
    said = inventory.grid_not_run(planned, frame)
    assert said.endswith("of which no seed has been run, by block: a (9).</p>")
    assert inventory.grid_not_run(planned[:0], frame) == ""
    assert "**1 of 12** runs" in inventory.grid_sentence(planned, frame)


@pytest.mark.parametrize(
    ("seeds", "text"),
    [
        ([], ""),
        ([2], "2"),
        ([2, 1], "1, 2"),
        ([10, 2, 1, 3], "1–3, 10"),
        (range(1, 26), "1–25"),
        ([1, 3, 5], "1, 3, 5"),
    ],
)
def test_seeds_are_named_in_order(seeds, text):
    assert tables.seed_numbers(seeds) == text


def test_the_grid_counts_many_seeds_instead_of_showing_each(tmp_path):
    planned = [p for p in grid.load() if p.block in ("shapes", "replication", "g")]
    run = publish(tmp_path, {"attack": "none", "precision": "fp32", "amplitude": 0.2}, 25, cues(0.9, 0.01, 0.5))
    assert run in {p.run for p in planned}
    frame = load(tmp_path)
    table = inventory.grid_table(planned, frame)
    seeds = [name for name in map(str, table) if name.startswith("seed")]
    assert seeds == [*(f"seed {n}" for n in range(1, 6)), "seeds 6–25"]
    counts = table.loc[table["block"] == "replication", "seeds 6–25"].tolist()
    assert counts == ["1 of 20 published"] and set(table["block"]) == {"replication"}
    assert "replication (140)" in inventory.grid_not_run(planned, frame)
    sentence = inventory.grid_sentence(planned, frame)
    assert "**1 of 217** runs" in sentence and "12 of the others" in sentence and "(blocks g)" in sentence


def test_a_commit_keeps_its_mark():
    assert tables.short("0123456789abcdef") == "0123456789ab"
    assert tables.short("0123456789abcdef-dirty") == "0123456789ab-dirty" and tables.short("unknown") == "unknown"


def test_a_control_that_was_cut_from_a_second_training_says_so():
    normal = {"config": {"dataset": "cifar10", "seed": 1}, "training": {"model": "normal", "weights_digest": "d"}}
    chosen = {"model": "underfit", "epoch": 2.5, "holdout_accuracy": 0.7, "target": 0.71, "gap": -0.01, "source": "n"}
    for digest, more in (("d", ""), ("e", " It was cut from a second training of that network, whose weights aren't")):
        under = {"config": normal["config"], "training": chosen | {"source_digest": digest}}
        said = inventory.underfit_sentence({"n": normal, "u": under}, "cifar10")
        assert f"a gap of −1.00 points.{more}" in said and ("second" in said) == (digest == "e")
    before = {"config": normal["config"], "training": chosen}  # a record that doesn't say which weights
    assert "second" not in inventory.underfit_sentence({"n": normal, "u": before}, "cifar10")


def test_the_plan_is_pending_until_it_was_made(tmp_path):
    planned = [p for p in grid.load() if p.block in "ab"]
    frame = frame_of([])
    assert set(inventory.plan_table(planned, frame, tmp_path)["core hours"]) == {"not run"}
    assert "not run" in inventory.plan_caption(tmp_path)
    costs = "block,core_hours,gpu_hours,processor,precision,flops,commit\na,7.04,0.02,abacus,bf16,2e13,abcdef0123456\n"
    (tmp_path / "plan.csv").write_text(costs)
    table = inventory.plan_table(planned, frame, tmp_path).set_index("block")
    assert [inventory._asked(name) for name in ("clean", "maps@clean@")] == ["clean", "maps (clean)"]
    assert (table["measured"] == "everything").all()
    assert list(table["core hours"]) == ["7.0", "not run"] and list(table["published"]) == [0, 0]
    assert list(table["trained in"]) == ["bf16", "not run"]
    assert list(table["GPU hours"]) == ["0.02", "not run"]  # 0.0 looked as if nothing had been measured
    (tmp_path / "plan.csv").write_text(costs.replace("block,", "block,runs,").replace("a,7.04", "a,3,7.04"))
    grown = inventory.plan_table(planned, frame, tmp_path).set_index("block")
    assert grown.at["a", "core hours"] == "7.0 (counted for 3 runs)"
    assert "abacus" in inventory.plan_caption(tmp_path) and "2e+13" in inventory.plan_caption(tmp_path)


def test_a_network_that_has_not_converged_is_named_with_its_longer_runs(published, tmp_path):
    main = cue_conflict.cue_table(*published)
    main = cue_conflict.main_lines(main)
    assert "every clean accuracy is at least 0.95" in cue_conflict.convergence_sentence(main, main)
    publish(tmp_path, {"norm": "l2", "eps": 12}, 1, cues(0.17, 0.1, 0.9))
    publish(tmp_path, {"norm": "l2", "eps": 12, "share": 0.5}, 1, cues(0.99, 0.8, 0.95))
    table = cue_conflict.cue_table(load(tmp_path), tables.records(tmp_path))
    main = cue_conflict.main_lines(table)
    said = cue_conflict.convergence_sentence(main, table)
    assert "**pgd-l2-12** has not converged: its clean accuracy is 0.17 at seed 1." in said
    assert (
        "With a share of adversarial batches of 0.5 (otherwise as above) its clean accuracy is 0.99 (one seed)" in said
    )
    assert "its shape bias 0.95 (one seed)" in said
    assert "normal" not in said and "not run" in cue_conflict.convergence_sentence(main[:0], table)


def test_what_was_printed_stands_beside_what_is_right() -> None:
    frame = load(REPOSITORY / "results")
    row = row_id(frame.iloc[0])
    (line,) = beside_paper.corrected({row: 0.5}, frame).to_dict("records")
    assert (
        line["printed"] == "0.500" and line["right"] == f"{frame['value'].iloc[0]:.3f}" and line["right"].rows == (row,)
    )
    assert (line["network"], line["seed"]) == (frame["model"].iloc[0], frame["seed"].iloc[0])


def test_a_sentence_in_a_cell_is_given_room_and_names_of_columns_are_all_there_is_above_them() -> None:
    said = "an overall verdict that a data set already excludes is said"
    found = pd.DataFrame({"network": ["normal", "stopped early"], "why": ["short", said]})
    turned = found.set_index("network").T.rename_axis("after").reset_index()
    assert f'<td><div class="sentence">{said}</div></td>' in tables.html(found, "A table")
    assert "<td>short</td>" in tables.html(found, "A table")
    assert re.findall(r"<th[^>]*>([^<]*)</th>", tables.html(turned, "A table")) == ["after", "normal", "stopped early"]


def test_networks_that_have_not_learnt_their_task_are_named():
    def trained(*accuracies):
        lines = [
            {"model": "pgd-linf-8", "seed": seed, "amplitude": 0.2, "accuracy": accuracy, "coverage": 0.5}
            for seed, accuracy in enumerate(accuracies, 1)
        ]
        return cue_conflict.unconverged_sentence(pd.DataFrame(lines))

    assert trained(1.0, 0.96) == "Every one of these networks has a clean accuracy of at least 0.95."
    assert trained(1.0, 0.61) == (
        "One network did not learn its task: pgd-linf-8 of seed 2 at amplitude .20 "
        "(clean accuracy 0.61, coverage 0.50). We kept it in the figure and in the means."
    )
    assert trained(0.3, 0.61).startswith("2 networks did not learn their task: pgd")
