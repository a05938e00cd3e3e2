"""How often a network gives one answer for everything, and what is left of a lead without Caltech-101's clutter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from atlib import rows
from atlib.errors import InputError
from atlib.files import REPOSITORY
from atlib.report import bound, one_answer, tables

UNDER = "saturation@1024"
NETWORKS = ("normal", "underfit", "pgd-linf-4", "noise-0.1")


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return rows.load(REPOSITORY / "results")


def said(frame: pd.DataFrame, answers: dict[str, dict[int, list[int]]], labels: list[int], place: str = UNDER):
    """An archive in which networks give these answers under `place`, by model and seed, and every label when clean."""
    mine = tables.in_main_setting(frame, "caltech101")[["run", "model", "seed"]].drop_duplicates()
    kept = {}
    for run, model, seed in mine.itertuples(index=False):
        found = {"labels": np.array(labels), "clean@/class": np.array(labels)}
        if model in answers:
            found[f"{place}/class"] = np.array(answers[model][seed])
        kept[run] = found
    return kept.__getitem__


def test_the_share_of_one_answer_is_counted_seed_by_seed(frame: pd.DataFrame) -> None:
    archive = said(frame, {"normal": {1: [0, 0, 0, 5], 2: [3, 3, 0, 5], 3: [1, 2, 3, 4]}}, [1, 2, 3, 4])
    assert one_answer.shares(frame, "caltech101", "normal", UNDER, said=archive) == [0.75, 0.5, 0.25]
    assert one_answer.shares(frame, "caltech101", "normal", UNDER, one_answer.CLUTTER, archive) == [0.75, 0.25, 0.0]
    assert one_answer.shares(frame, "caltech101", "normal", UNDER, 7, archive) == [0.0, 0.0, 0.0]
    assert one_answer.shares(frame, "caltech101", "underfit", UNDER, said=archive) == []  # never asked


def test_a_lead_is_counted_on_objects_with_and_without_clutter(frame: pd.DataFrame) -> None:
    labels = [0, 1, 2, 3, 4, 5]  # the first is clutter itself and doesn't count
    normal = {seed: [0, 0, 0, 3, 9, 9] for seed in (1, 2, 3)}
    main = {seed: [0, 1, 0, 3, 4, 9] for seed in (1, 2, 3)}
    archive = said(frame, {"normal": normal, "pgd-linf-4": main}, labels)
    found = one_answer.leads(frame, UNDER, archive)
    assert found["seed"].tolist() == [1, 2, 3]
    assert found["lead"].tolist() == pytest.approx([2 / 5] * 3)  # pictures 1 and 4
    assert found["free"].tolist() == pytest.approx([3 / 5] * 3)  # neither calls 3, 4 and 5 clutter
    assert found["lead_free"].tolist() == pytest.approx([1 / 3] * 3)


def test_the_class_called_clutter_is_the_data_sets_background(frame: pd.DataFrame) -> None:
    """Its place is that of 93 test pictures, a fifth of the background's 467 or so, and first by name."""
    run = one_answer.runs(frame, "caltech101", "normal")[1]
    labels = rows.archive()(run)["labels"]
    counts = np.bincount(labels)
    assert counts[one_answer.CLUTTER] == 93 and len(labels) == 1788


def test_the_table_holds_what_was_counted_and_its_rows(frame: pd.DataFrame) -> None:
    table = one_answer.table(frame).set_index("network")
    assert list(table.index) == ["normal", "stopped early", "trained against attacks", "trained on noise"]
    for model, line in zip(NETWORKS, table.to_dict("records"), strict=True):
        counted = one_answer.shares(frame, "caltech101", model, UNDER, one_answer.CLUTTER)
        assert line["saturation 1024"].startswith(f"{100 * np.mean(counted):.1f}")
        places = [row.partition(":")[2] for row in line["saturation 1024"].rows]
        assert places == ["saturation@1024/accuracy"] * 3


def test_sentences_fill_in_the_share_of_the_most_frequent_answer(frame: pd.DataFrame) -> None:
    counted = one_answer.shares(frame, "cifar10", "normal", "low-pass@0.2")
    text = bound.filled("{one_answer normal@cifar10 low-pass@0.2} %", "here", frame)
    assert text == f"{100 * np.mean(counted):.0f} %" and len(counted) == 3
    with pytest.raises(InputError, match=r"no answers of pgd-linf-7 on cifar10 under low-pass@0\.2"):
        bound.filled("{one_answer pgd-linf-7@cifar10 low-pass@0.2}", "here", frame)


def test_the_sentence_says_both_leads(frame: pd.DataFrame) -> None:
    found = one_answer.leads(frame, UNDER).mean()
    text = one_answer.sentence(frame, UNDER, "At level 1024")
    assert text.startswith("At level 1024 ordinary networks call ") and f"{100 * found['lead']:+.1f} points" in text
    assert text.endswith(f"it is {100 * found['lead_free']:+.1f}.")
