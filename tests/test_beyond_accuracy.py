"""What ordinary training of the same clean accuracy leads one to expect under distortions, as a table and a figure."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from atlib.report import beyond_accuracy, claims
from atlib.rows import frame_of

UNDER = [u for name in beyond_accuracy.CLAIMS for u in claims.load()[name].statistic.under]
ORDINARY = dict(zip(beyond_accuracy.line_of(), (0.86, 0.45, 0.6, 0.7, 0.75, 0.8), strict=True))  # clean accuracies
BEYOND = {"main": 0.1, "weak": -0.05, "underfit": 0.0}


def on_the_line(clean: float, seed: int) -> float:
    """One logit below the clean accuracy, and a tenth more for each seed after the first."""
    return 1 / (1 + math.exp(-(math.log(clean / (1 - clean)) - 1 - 0.1 * (seed - 1))))


def rows_of(name: str, seed: int, clean: float, distorted: float) -> list[dict]:
    model, _, setting = name.partition("@")
    at = claims.load().settings[setting or "cifar10"]
    model = {"main": at.main, "weak": at.weak}.get(model, model)
    run = f"cifar10/{model}-w{at.width}-s{seed}-{[*ORDINARY, *BEYOND].index(name):08x}"
    common = {"run": run, "dataset": "cifar10", "model": model, "width": at.width, "recipe": at.recipe, "seed": seed}
    common |= {"share": 0.0 if model in ("normal", "underfit") else at.share, "metric": "accuracy", "total": 10_000}
    places = [("clean@", clean), *((under, distorted) for under in UNDER)]
    split = [(place.partition("@"), value) for place, value in places]
    return [common | {"distortion": d, "level": level, "value": value, "count": None} for (d, _, level), value in split]


def published(seeds: tuple[int, ...] = (1, 2, 3), without: str = "") -> pd.DataFrame:
    rows = []
    for seed in seeds:
        for name, clean in ORDINARY.items():
            rows += rows_of(name, seed, clean, on_the_line(clean, seed)) if name != without else []
        for name, beyond in BEYOND.items():
            rows += rows_of(name, seed, 0.7, on_the_line(0.7, seed) + beyond)
    return frame_of(rows)


def test_networks_are_judged_by_their_distance_from_the_line() -> None:
    found = beyond_accuracy.points(published())
    assert len(found) == 3 * len(set(UNDER)) * (len(ORDINARY) + len(BEYOND))
    for one in found.to_dict("records"):
        assert one["expected"] == pytest.approx(on_the_line(one["clean"], one["seed"]), abs=1e-9)
        assert one["distorted"] - one["expected"] == pytest.approx(BEYOND.get(one["name"], 0), abs=1e-9)
        assert one["rows"] == tuple(
            f"{one['rows'][0].partition(':')[0]}:{p}/accuracy" for p in ("clean@", one["under"])
        )
    assert set(found.loc[found["name"] == "main", "model"]) == {"pgd-linf-8"}
    assert set(found.loc[found["name"].str.startswith("normal"), "model"]) == {"normal"}


def test_the_table_has_means_over_levels_and_seeds() -> None:
    table = beyond_accuracy.table(published())
    assert table["network"].tolist() == 3 * ["pgd-linf-8", "pgd-linf-2", "stopped early"]
    expected = sum(on_the_line(0.7, seed) for seed in (1, 2, 3)) / 3
    first = table.iloc[0]
    assert first["data set"] == "CIFAR-10 under saturation" and first["clean"] == "70.0" and first["seeds"] == "3"
    assert first["expected"] == f"{100 * expected:.1f}" and first["distorted"] == f"{100 * expected + 10:.1f}"
    assert table["beyond"].str.partition(" ")[0].tolist() == 3 * ["+10.0", "−5.0", "+0.0"]
    levels = len(claims.load()["saturation-beyond-accuracy"].statistic.under)
    own, line = 3 * (1 + levels), 3 * (1 + levels) * len(ORDINARY)
    counts = {column: len(first[column].rows) for column in ("clean", "distorted", "expected", "beyond")}
    assert counts == {"clean": 3, "distorted": 3 * levels, "expected": 3 + line, "beyond": own + line}
    assert all(len(set(first[column].rows)) == number for column, number in counts.items())


def test_a_seed_without_one_of_the_levels_is_left_out_as_in_the_verdict() -> None:
    frame = published()
    lost = (frame["seed"] == 2) & (frame["level"] == "16") & (frame["model"] == "pgd-linf-8")
    table = beyond_accuracy.table(frame[~lost])
    assert table["seeds"].tolist() == ["2", *8 * ["3"]]


def test_nothing_is_expected_before_a_line_is_whole() -> None:
    frame = published(without="normal@cifar10-width-8")
    assert beyond_accuracy.points(frame)["expected"].isna().all()
    assert beyond_accuracy.table(frame).empty
    drawn = beyond_accuracy.figure(beyond_accuracy.points(frame))
    assert {len(np.asarray(line.get_xydata())) for line in drawn.axes[0].lines} == {15, 3}  # dots, and no line
    nothing = beyond_accuracy.figure(beyond_accuracy.points(frame[frame["dataset"] == "shapes"]))
    assert "not run" in {text.get_text() for text in nothing.texts}


def test_two_seeds_have_no_interval() -> None:
    table = beyond_accuracy.table(published((1, 2)))
    assert set(table["seeds"]) == {"2"} and not table["beyond"].str.contains("[", regex=False).any()


def test_the_figure_draws_a_line_per_seed_and_every_network() -> None:
    drawn = beyond_accuracy.figure(beyond_accuracy.points(published()))
    assert [axis.get_title() for axis in drawn.axes] == list(beyond_accuracy.PANELS.values())
    axis = drawn.axes[0]
    assert (axis.get_xscale(), axis.get_yscale()) == ("logit", "logit")
    drawn_lines = [(line.get_label(), np.asarray(line.get_xydata())) for line in axis.lines]
    lines = [places for _, places in drawn_lines if len(places) == 50]
    assert len(lines) == 3
    for seed, places in enumerate(lines, 1):
        for x, y in places.tolist():
            assert y == pytest.approx(on_the_line(x, seed), abs=1e-9)
    dots = {label: len(places) for label, places in drawn_lines if len(places) != 50}
    assert dots == {"ordinary training": 18, "pgd-linf-8": 3, "pgd-linf-2": 3, "stopped early": 3}
    assert drawn._repr_png_()[:4] == b"\x89PNG"
