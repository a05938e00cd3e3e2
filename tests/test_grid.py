"""The grid: what it says, what it refuses, and what state its runs are in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from atlib import evaluation, measurements, style, transforms
from atlib.campaign import announcing, grid, plan, publishing
from atlib.configuration import resolve
from atlib.errors import InputError
from atlib.files import REPOSITORY, exclusive, results_dir, write_json
from atlib.report import claims
from atlib.rows import frame_of, load

TWO = """
t:
  title: tiny
  common: {dataset: shapes, width: 4}
  runs:
    - {model: [normal, pgd-linf-8], seed: [1, 2]}
    - {model: underfit, match: pgd-linf-8, seed: [1, 2]}
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_line_stands_for_every_combination_and_an_underfit_run_waits_for_its_own(tmp_path: Path) -> None:
    planned = grid.load(written(tmp_path / "grid.yaml", TWO))
    assert [(p.config.model, p.config.seed) for p in planned] == [
        ("normal", 1), ("normal", 2), ("pgd-linf-8", 1), ("pgd-linf-8", 2), ("underfit", 1), ("underfit", 2),
    ]  # fmt: skip
    assert [p.needs for p in planned] == [None] * 4 + [planned[2].run, planned[3].run]
    assert [p.rank for p in planned] == [0] * 4 + [1] * 2
    assert planned[2].run == resolve(width=4, seed=1).run  # the run that train.ipynb would make
    assert all(p.config.match == p.needs for p in planned)


def test_an_underfit_run_is_the_one_that_training_names(tmp_path: Path) -> None:
    *_, target, _, underfit, _ = grid.load(written(tmp_path / "grid.yaml", TWO))
    write_json(target.folder / "training.json", {})
    assert resolve(width=4, seed=1, attack="none", match=target.run) == underfit.config


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("title", "titel", "block t: key = 'titel': must be one of title, on_request, measure, common, runs (did"),
        ("seed: [1, 2]}\n    - {model: u", "sead: 1}\n    - {model: u", "block t, run 1: key = 'sead': must be one"),
        ("width: 4", "with: 4", "block t, common: key = 'with': must be one of model, "),
        ("pgd-linf-8]", "pgd-linf]", "block t, run 1: model = 'pgd-linf': must be one of normal, spatial, "),
        ("[normal, pgd-linf-8]", "[normal, normal]", "/normal-w4-s1-"),
        ("model: underfit, match: pgd-linf-8", "model: underfit", "block t, run 2: match = None: an underfit run"),
        ("model: underfit, match", "model: pgd-linf-4, match", "block t, run 2: match = 'pgd-linf-8': an under"),
        ("match: pgd-linf-8", "match: pgd-linf-4", "not in the grid"),
        ("[normal, pgd-linf-8]", "pgd-linf-8", " needs shapes/normal-w4-s1-"),
        ("  runs:", "  runs:\n    - {model: pgd-linf-8, steps: 20, seed: 3}", "in steps (7, not 20), and tables would"),
        ("dataset: shapes", "dataset: shape", "block t, run 1: dataset = 'shape': must be one of "),
        ("width: 4", "width: 0", "block t, run 1: width = 0: must be a whole number"),
        ("width: 4", "width: 4, weights: IMAGENET1K_V1", "ImageNet weights need width 64 and stem 7x7"),
        ("width: 4", "width: 4, width: 8", "line 4: 'width' is there twice"),
        ("runs:", "run:", "block t: must have a list of runs"),
        ("common: {dataset: shapes, width: 4}", "common: 5", "block t: common = 5: must be {parameter: value, …}"),
        ("title: tiny", "on_request: maybe", "block t: on_request = 'maybe': must be true or false"),
        ("title: tiny", "measure: clean", "block t: measure = 'clean': must be a list of measurements, such as [clean"),
        ("title: tiny", "measure: [claen]", "block t: measure = 'claen': must be one of "),
        ("title: tiny", "measure: [clean, maps@clean]", "block t: measure = 'maps@clean': applies to none of its runs"),
        ("title: tiny", "measure: [stylised]", "block t, run 1: measure = 'stylised': does not apply to shapes/normal"),
        ("seed: [1, 2]", "seed: []", "block t, run 1: seed = []: must have at least one value"),
        ("title: tiny", "title: 2024-13-45", "month must be in 1..12"),
        ("{model: [normal", "[model: [normal", "line 6: "),
        ("- {model: underfit, match: pgd-linf-8, seed: [1, 2]}", "- {seed: 3}", "block t, run 2: model: is missing"),
        ("- {model: underfit, match: pgd-linf-8, seed: [1, 2]}", "- underfit", "run 2: must be {model: …, seed: …}"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_with_its_place(old: str, new: str, message: str, tmp_path: Path) -> None:
    assert TWO.count(old) >= 1
    path = written(tmp_path / "grid.yaml", TWO.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        grid.load(path)
    assert str(error.value).startswith(f"{path}: ") and message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "a", "[]", "a: 1", "a: {title: x}", "\x00"])
def test_what_is_no_grid(text: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        grid.load(written(tmp_path / "grid.yaml", text))


def test_the_reports_grid_loads_without_weights_or_data_and_knows_every_published_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = grid.load()
    assert {p.block for p in planned} == {
        "shapes",
        "map",
        "replication",
        "resolution",
        "noise",
        "noise-photographs",
        "cues",
        "accuracy",
        "weak",
        "order",
        "attacks-elsewhere",
        *"abcdefgh",
    }
    more = {"shapes", "map", "replication", "resolution", "noise", "noise-photographs", "cues", "accuracy"}
    more |= {"weak", "order"}
    assert {p.block for p in grid.select(planned)} == {*more, *"abcde"}
    assert {p.block for p in grid.select(planned, "f, a")} == {"a", "f"}
    blocks = "shapes, map, a, b, weak, resolution, replication, noise, noise-photographs, cues, c, order, accuracy"
    blocks += ", d, e, attacks-elsewhere, f, g, h"
    with pytest.raises(InputError, match=f"^BLOCKS = 'i': must be one of {blocks}$"):
        grid.select(planned, "i")
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    assert set(load()["run"]) <= {p.run for p in planned}


def test_the_claims_settings_are_in_the_grid() -> None:
    places = {(p.config.dataset, p.config.width, p.config.recipe) for p in grid.load()}
    for name, setting in claims.load().settings.items():
        if name in ("shapes", "cifar10", "caltech101", "tiny-imagenet"):
            assert (setting.dataset, setting.width, setting.recipe) in places


def publish(planned: grid.Planned, places: list[str]) -> None:
    """A published run with these measurements."""
    place = {"run": planned.run, "dataset": "shapes", "model": planned.config.model, "width": 4, "share": 0.0}
    place |= {"recipe": planned.config.recipe, "seed": planned.config.seed}
    values = {"clean@": ("accuracy", 9), "pgd-linf@8": ("accuracy_last", 4)}
    rows = []
    for name, (metric, count) in values.items():
        if name in places:
            distortion, level = name.split("@")
            new = {"distortion": distortion, "level": level, "metric": metric}
            rows.append(place | new | {"value": count / 10, "count": count, "total": 10})
    path = results_dir() / f"{planned.run}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame_of(rows).to_csv(path, index=False)
    write_json(path.with_suffix(".json"), {"evaluation": {"measurements": {place: {} for place in places}}})


def test_what_is_measured_and_not_in_the_results_is_to_be_published(tmp_path: Path) -> None:
    normal, *_ = grid.load(written(tmp_path / "grid.yaml", TWO))
    assert grid.to_publish(normal)  # nothing is measured: publishing says so
    write_json(normal.folder / "evaluation.json", {"measurements": {"clean@": {}}})
    assert grid.to_publish(normal)
    publish(normal, ["clean@"])
    assert not grid.to_publish(normal)
    write_json(normal.folder / "evaluation.json", {"measurements": {"clean@": {}, "pgd-linf@8": {}}})
    assert grid.to_publish(normal)
    publish(normal, ["clean@", "pgd-linf@8"])
    assert not grid.to_publish(normal)
    (results_dir() / f"{normal.run}.csv").unlink()
    assert grid.to_publish(normal)


def test_states_in_the_order_in_which_a_run_goes_through_them(tmp_path: Path) -> None:
    normal, *_ = grid.load(written(tmp_path / "grid.yaml", TWO))

    def now() -> tuple[str, str]:
        found = grid.state(normal, load())
        return found.name, found.text

    assert now() == ("pending", "pending")
    normal.folder.mkdir(parents=True)
    (normal.folder / "checkpoint.safetensors").touch()
    assert now() == ("pending", "pending, begun")
    write_json(normal.folder / "failed.json", {"error": "the loss became nan"})
    assert now() == ("failed", "failed: the loss became nan")
    with exclusive(normal.folder):
        os.utime(normal.folder / "lock", (0, os.stat(normal.folder / "lock").st_mtime - 600))
        assert now() == ("running", "running, 10 min")
    (normal.folder / "failed.json").unlink()
    write_json(normal.folder / "training.json", {})
    assert now() == ("pending", "pending, trained") and grid.trained(normal) and not grid.evaluated(normal)
    every = evaluation.expected(normal.config)
    write_json(normal.folder / "evaluation.json", {"measurements": {place: {} for place in every}})
    assert grid.evaluated(normal) and not grid.published(normal)
    write_json(normal.folder / "training.json", {"weights_digest": "of another training"})
    write_json(
        normal.folder / "evaluation.json", {"weights_digest": "d", "measurements": {place: {} for place in every}}
    )
    assert not grid.evaluated(normal)  # of the weights that were there before
    write_json(normal.folder / "training.json", {"weights_digest": "d"})
    assert grid.evaluated(normal)
    publish(normal, every[:-1])
    assert now() == ("pending", f"pending, 1 of {len(every)} measurements")
    publish(normal, every)
    assert now() == ("done", "90.00/40.00")


def test_what_a_block_asks_for_and_cannot_be_measured_here_does_not_keep_a_run_from_being_evaluated(
    tmp_path: Path,
) -> None:
    """Of a measurement that is made only where it is asked for, nobody asked what it lacks."""
    text = "t: {measure: [clean, between@clean@], common: {dataset: cifar10, width: 4}, runs: [{model: normal}]}"
    (normal,) = grid.load(written(tmp_path / "grid.yaml", text))
    write_json(normal.folder / "training.json", {})
    write_json(normal.folder / "evaluation.json", {"measurements": {"clean@": {}}})
    assert normal.expected == ["clean@", "between@clean@"] and grid.evaluated(normal)
    write_json(normal.folder / "evaluation.json", {"measurements": {}})
    assert not grid.evaluated(normal)


def test_expected_is_what_an_evaluation_measures() -> None:
    def named(**given: Any) -> list[str]:
        places = evaluation.expected(resolve(**given))
        assert len(set(places)) == len(places)
        distorted = [place for place in places if place.split("@")[0] in transforms.DISTORTIONS]
        assert len(distorted) == sum(len(d.levels) for d in transforms.DISTORTIONS.values())
        styled = [f"stylised@{level}" for level in style.LEVELS] if given.get("dataset") == "cifar10" else []
        shown = [*measurements.MAP_PLACES, *styled[:2]]
        assert [place for place in places if place.startswith(("stylised@", "maps@"))] == [
            *styled, *(f"maps@{at}" for at in shown),
        ]  # fmt: skip
        return [place for place in places if place not in distorted and not place.startswith(("stylised@", "maps@"))]

    assert named(attack="none") == ["clean@", "pgd-linf@8", "conflict@"]
    assert named(dataset="cifar10") == ["clean@", "pgd-linf@8", "trained-attack@"]
    assert named(dataset="cifar10", attack="noise") == ["clean@", "pgd-linf@8"]
    assert style.LEVELS[:2] == measurements.MAP_STYLES


def test_status_prints_a_line_for_each_network_with_its_seeds_side_by_side(tmp_path: Path) -> None:
    path = written(tmp_path / "grid.yaml", TWO)
    planned = grid.load(path)
    publish(planned[1], evaluation.expected(planned[1].config))
    words = [sys.executable, "-m", "atlib.campaign", "--grid", str(path), "status"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout.splitlines()
    assert said[0] == "t: tiny (1 of 6 done)" and said[1].startswith("  shapes stride2-side32")
    assert said[2].split() == ["seed", "1", "seed", "2"]
    assert said[3].split() == ["normal", "w4", "pending", "90.0/40.0"] and len(said[3]) == len(said[2])
    assert "71.0/33.3   done: % of test pictures right, clean/under PGD l_inf 8/255" in said
    assert said[-1] == "1 done, 0 running, 0 failed, 5 pending"


def test_status_fits_a_terminal_and_explains_every_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    planned = grid.load()
    states = [
        grid.State("done", "100.00/98.40"), grid.State("done", "70.96/–"), grid.State("running", "running, 123 min"),
        grid.State("pending", "pending, 12 of 39 measurements"), grid.State("pending", "pending, begun"),
        grid.State("failed", "failed: " + "why " * 40),
    ]  # fmt: skip
    of_each = {p.run: states[number % len(states)] for number, p in enumerate(planned)}
    monkeypatch.setattr(grid, "state", lambda p, rows: of_each[p.run])
    announcing.status(planned, grid.titles())
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) > 100
    shown = {cell for line in lines if line.startswith("  normal w") for cell in re.split("  +", line.strip())[1:]}
    assert {"100/98.4", "71.0/–", "12 of 39", "begun", "failed"} <= shown
    end = "\n".join(lines)
    for word in ("done:", "aren't published yet", "running for", "trained, not measured", "begun:", "not begun;"):
        assert word in end


def test_a_lock_that_nobody_holds_is_no_running_run(tmp_path: Path) -> None:
    assert grid.held(tmp_path) is None
    (tmp_path / "lock").write_text(json.dumps(1))
    assert grid.held(tmp_path) is None


MANY = """
t:
  title: tiny
  common: {dataset: shapes, width: 4, seed: [5, 6, 7, 8]}
  runs: [{model: normal}]
"""


def test_of_many_seeds_status_counts_the_states(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    planned = grid.load(written(tmp_path / "grid.yaml", MANY))
    publish(planned[1], evaluation.expected(planned[1].config))
    write_json(planned[2].folder / "failed.json", {"error": "x"})
    announcing.status(planned, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].split() == ["normal", "w4", "pending"] and lines[4].strip() == "seeds 6–8: 1 of 3 done, 1 failed"
    assert f"{planned[2].run}: failed: x" in lines


def test_a_run_that_differs_in_precision_alone_would_be_counted_twice(tmp_path: Path) -> None:
    text = TWO + "    - {model: normal, seed: 2, precision: fp32}\n"
    with pytest.raises(InputError, match=r"in precision alone \(fp32, not auto\), and tables would count it twice$"):
        grid.load(written(tmp_path / "grid.yaml", text))


def block(name: str) -> list[grid.Planned]:
    return [p for p in grid.load() if p.block == name]


def test_the_replication_is_what_was_registered() -> None:
    """claims-2026-11-27.yaml: seeds 6 to 25, amplitudes .12 and .20, four networks; noise of root mean square 8/255."""
    planned = block("replication")
    networks = {("normal", 8.0), ("pgd-linf-8", 8.0), ("noise-0.0313725", 8.0), ("normal", 24.0)}
    expected = {(*network, a, seed) for network in networks for a in (0.12, 0.2) for seed in range(6, 26)}
    found = [(p.config.model, p.config.epochs, p.config.amplitude, p.config.seed) for p in planned]
    assert len(found) == len(expected) == 160 and set(found) == expected
    (sigma,) = {p.config.sigma for p in planned if p.config.attack == "noise"}
    assert sigma == pytest.approx(8 / 255, rel=1e-5)  # six digits, as in the name
    # but for precision and seed, the networks of blocks shapes and map
    before = {
        (p.config.model, p.config.amplitude): p.config
        for p in [*block("shapes"), *block("map")]
        if p.config.cue == "both"
    }
    for p in planned:
        if p.config.epochs == 8 and p.config.attack != "noise":
            old = before[p.config.model, p.config.amplitude]
            assert publishing.differences(asdict(p.config), asdict(old)) == [] and p.config.recipe == old.recipe


def test_the_replication_measures_what_its_claims_and_the_printed_answers_need_and_no_more() -> None:
    planned = block("replication")
    assert {tuple(p.expected) for p in planned} == {("clean@", "conflict@")}
    asked = [c.statistic.under for c in claims.load().claims if "shapes-replication" in c.datasets]
    assert asked == [("conflict@",)] * 2
    whole = replace(planned[0], measure=())
    assert {"clean@", "conflict@", "pgd-linf@8", "maps@clean@"} < set(whole.expected)
    # a published run with these two rows is done, and costs less than one of which everything is measured
    publish(planned[0], planned[0].expected)
    assert grid.published(planned[0]) and not grid.published(whole)
    assert plan.operations_of(*plan.all_work(planned[0]), planned[0].config) < 0.5 * plan.operations_of(
        *plan.all_work(whole), whole.config
    )


def test_blocks_of_the_evidence_name_their_precision_and_their_runs() -> None:
    assert {
        p.config.precision
        for p in [*block("replication"), *block("noise"), *block("noise-photographs"), *block("accuracy")]
    } == {"fp32"}
    assert {(p.config.precision, p.config.width, p.on_request) for p in [*block("g"), *block("h")]} == {
        ("bf16", 64, True)
    }
    seeds: dict[tuple, list[int]] = {}
    for p in grid.load():
        name = p.config.model if p.config.epochs == 12 else f"{p.config.model} {p.config.epochs:g}"
        seeds.setdefault((p.block, p.config.dataset, name, p.config.width), []).append(p.config.seed)
    three = [
        *(("g", "cifar10", name, 64) for name in ("normal", "pgd-linf-8", "underfit", "noise-0.1")),
        *(("c", "cifar10", name, 16) for name in ("fgsm-8", "pgd-l2-12", "spatial")),
        *(("accuracy", "cifar10", f"normal {epochs}", 16) for epochs in (1, 2, 4)),
        *(("accuracy", "cifar10", "normal", width) for width in (4, 8)),
        ("noise", "cifar10", "noise-0.1", 16),
        ("noise-photographs", "caltech101", "noise-0.1 6", 64),
    ]
    for cell in three:
        assert seeds[cell] == [1, 2, 3], cell
    assert seeds["noise", "cifar10", "blur-1", 16] == [1]
    # compared with the published networks of the claims' settings, so of their recipe
    settings = claims.load().settings
    for p in block("noise"):
        assert p.config.recipe == settings[p.config.dataset].recipe
