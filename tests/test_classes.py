"""Accuracy with every class counting alike."""

import math

import numpy as np
import pandas as pd
import pytest

from atlib.files import REPOSITORY
from atlib.report import classes

LABELS = np.array([0] * 6 + [1] * 2)


def test_each_class_counts_alike():
    right = np.array([1, 1, 1, 1, 1, 1, 0, 0], bool)
    assert right.mean() == 0.75 and classes.class_mean(right, LABELS) == 0.5
    among = np.array([1, 1, 1, 0, 0, 0, 1, 0], bool)
    assert classes.class_mean(right, LABELS, among) == 0.5
    assert classes.class_mean(right, LABELS, among, fewest=2) == 1.0
    assert math.isnan(classes.class_mean(right, LABELS, among, fewest=9))


def test_a_difference_counts_pictures_that_both_know(monkeypatch):
    labels = np.array([0] * 6 + [1] * 4)
    mine = {"labels": labels, "clean@/class": labels, "patch-shuffle@2/class": np.array([0] * 6 + [9] * 4)}
    other = {"labels": labels, "clean@/class": labels, "patch-shuffle@2/class": np.array([0, 0, 0, 9, 9, 9] + [9] * 4)}
    monkeypatch.setattr(classes, "LARGEST", 1)
    assert classes.difference(mine, other, "patch-shuffle@2") == pytest.approx((0.3, 0.25, 0))
    assert classes.difference(mine, other, "clean@") == (0, 0, 0)


def test_the_published_answers_of_caltech_are_counted_both_ways(monkeypatch):
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    found = classes.differences()
    first = found[(found["seed"] == 1) & (found["under"] == "patch-shuffle@4")].iloc[0]
    assert first["pictures"] == pytest.approx(-0.037, abs=1e-3) and first["classes"] == pytest.approx(-0.039, abs=1e-3)
    twice = found[(found["seed"] == 1) & (found["under"] == "patch-shuffle@2")].iloc[0]
    assert twice["rest"] == pytest.approx(-0.077, abs=1e-3)
    assert next(iter(classes.table(found)["under"])) == "clean"
    labels = np.load(next((REPOSITORY / "results" / "caltech101").glob("normal-*.npz")))["labels"]
    assert "hold 33 % of the test pictures" in classes.sentence(found, labels)
    assert classes.sentence(pd.DataFrame(columns=found.columns), labels) == "Not measured yet."
