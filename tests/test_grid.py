"""The grid: what it says, what it refuses, and what state its runs are in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atlib import evaluation, style, training, transforms
from atlib.campaign import grid
from atlib.configuration import resolve
from atlib.errors import InputError
from atlib.files import REPOSITORY, results_dir, write_json
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
        ("title", "titel", "block t: key = 'titel': must be one of title, on_request, common, runs (did"),
        ("seed: [1, 2]}\n    - {model: u", "sead: 1}\n    - {model: u", "block t, run 1: key = 'sead': must be one"),
        ("width: 4", "with: 4", "block t, common: key = 'with': must be one of model, "),
        ("pgd-linf-8]", "pgd-linf]", "block t, run 1: model = 'pgd-linf': must be one of normal, "),
        ("[normal, pgd-linf-8]", "[normal, normal]", "/normal-w4-s1-"),
        ("model: underfit, match: pgd-linf-8", "model: underfit", "block t, run 2: match = None: an underfit run"),
        ("model: underfit, match", "model: pgd-linf-4, match", "block t, run 2: match = 'pgd-linf-8': an under"),
        ("match: pgd-linf-8", "match: pgd-linf-4", "not in the grid"),
        ("  runs:", "  runs:\n    - {model: pgd-linf-8, steps: 20, seed: 3}", "in steps (7, not 20), and tables would"),
        ("dataset: shapes", "dataset: shape", "block t, run 1: dataset = 'shape': must be one of "),
        ("width: 4", "width: 0", "block t, run 1: width = 0: must be a whole number"),
        ("width: 4", "width: 4, weights: IMAGENET1K_V1", "ImageNet weights need width 64 and stem 7x7"),
        ("width: 4", "width: 4, width: 8", "line 4: 'width' is there twice"),
        ("runs:", "run:", "block t: must have a list of runs"),
        ("common: {dataset: shapes, width: 4}", "common: 5", "block t: common = 5: must be {parameter: value, …}"),
        ("title: tiny", "on_request: maybe", "block t: on_request = 'maybe': must be true or false"),
        ("seed: [1, 2]", "seed: []", "block t, run 1: seed = []: must have at least one value"),
        ("title: tiny", "title: 2024-13-45", "month must be in 1..12"),
        ("{model: [normal", "[model: [normal", "line 6: "),
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
    assert {p.block for p in planned} == {"shapes", "map", *"abcdef"}
    assert {p.block for p in grid.select(planned)} == {"shapes", "map", *"abcde"}  # f only on request
    assert {p.block for p in grid.select(planned, "f, a")} == {"a", "f"}
    with pytest.raises(InputError, match=r"^BLOCKS = 'g': must be one of shapes, map, a, b, c, d, e, f$"):
        grid.select(planned, "g")
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
    with training.exclusive(normal.folder):
        os.utime(normal.folder / "lock", (0, os.stat(normal.folder / "lock").st_mtime - 600))
        assert now() == ("running", "running, 10 min")
    (normal.folder / "failed.json").unlink()
    write_json(normal.folder / "training.json", {})
    assert now() == ("pending", "pending, trained") and grid.trained(normal) and not grid.evaluated(normal)
    every = evaluation.expected(normal.config)
    write_json(normal.folder / "evaluation.json", {"measurements": {place: {} for place in every}})
    assert grid.evaluated(normal) and not grid.published(normal)
    publish(normal, every[:-1])
    assert now() == ("pending", f"pending, 1 of {len(every)} measurements")
    publish(normal, every)
    assert now() == ("done", "90.00/40.00")


def test_expected_is_what_an_evaluation_measures() -> None:
    def named(**given: Any) -> list[str]:
        places = evaluation.expected(resolve(**given))
        assert len(set(places)) == len(places)
        distorted = [place for place in places if place.split("@")[0] in transforms.DISTORTIONS]
        assert len(distorted) == sum(len(d.levels) for d in transforms.DISTORTIONS.values()) == 32
        styled = [f"stylised@{level}" for level in style.LEVELS] if given.get("dataset") == "cifar10" else []
        shown = [*evaluation.MAP_PLACES, *styled[:2]]
        assert [place for place in places if place.startswith(("stylised@", "maps@"))] == [
            *styled, *(f"maps@{at}" for at in shown),
        ]  # fmt: skip
        return [place for place in places if place not in distorted and not place.startswith(("stylised@", "maps@"))]

    assert named(attack="none") == ["clean@", "pgd-linf@8", "conflict@"]
    assert named(dataset="cifar10") == ["clean@", "pgd-linf@8", "trained-attack@"]
    assert named(dataset="cifar10", attack="noise") == ["clean@", "pgd-linf@8"]
    assert style.LEVELS[:2] == evaluation.MAP_STYLES


def test_status_prints_a_line_for_each_network_with_its_seeds_side_by_side(tmp_path: Path) -> None:
    path = written(tmp_path / "grid.yaml", TWO)
    planned = grid.load(path)
    publish(planned[1], evaluation.expected(planned[1].config))
    words = [sys.executable, "-m", "atlib.campaign", "--grid", str(path), "status"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, cwd=REPOSITORY).stdout.splitlines()
    assert said[0].split()[-4:] == ["seed", "1", "seed", "2"] and len(said) == 5
    assert said[1].split()[3:] == ["normal", "4", "0.0", "pending", "90.00/40.00"]
    assert said[-1] == "1 done, 0 running, 0 failed, 5 pending"


def test_a_lock_that_nobody_holds_is_no_running_run(tmp_path: Path) -> None:
    assert grid.held(tmp_path) is None
    (tmp_path / "lock").write_text(json.dumps(1))
    assert grid.held(tmp_path) is None
