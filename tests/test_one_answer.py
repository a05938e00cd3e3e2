"""How often a network gives one answer for everything, and what is left of a lead without Caltech-101's clutter."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from atlib import rows
from atlib.errors import InputError
from atlib.report import bound, one_answer, statistics, tables

UNDER = "saturation@1024"
NETWORKS = ("normal", "underfit", "pgd-linf-4", "noise-0.1")


def interval(values: pd.Series) -> str:
    """A mean over seeds with its interval, in points, as the sentences write it."""
    low, high = statistics.t_interval(values)
    return " ".join([f"{100 * values.mean():+.1f}", f"[{100 * low:+.1f}, {100 * high:+.1f}]"]).replace("-", "−")


@pytest.fixture
def frame(published: pd.DataFrame) -> pd.DataFrame:
    return published


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
    assert one_answer.shares(frame, "caltech101", "normal", UNDER, predictions=archive) == [0.75, 0.5, 0.25]
    assert one_answer.shares(frame, "caltech101", "normal", UNDER, one_answer.CLUTTER, archive) == [0.75, 0.25, 0.0]
    assert one_answer.shares(frame, "caltech101", "normal", UNDER, 7, archive) == [0.0, 0.0, 0.0]
    assert one_answer.shares(frame, "caltech101", "underfit", UNDER, predictions=archive) == []  # never asked


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
    text = bound.filled("{one_answer normal@cifar10 low-pass@0.2} %", "here", bound.Known(frame))
    assert text == f"{100 * np.mean(counted):.0f} %" and len(counted) == 3
    with pytest.raises(InputError, match=r"no answers of pgd-linf-7 on cifar10 under low-pass@0\.2"):
        bound.filled("{one_answer pgd-linf-7@cifar10 low-pass@0.2}", "here", bound.Known(frame))


def test_the_sentence_says_both_leads(frame: pd.DataFrame) -> None:
    found = one_answer.leads(frame, UNDER)
    text = one_answer.sentence(frame, UNDER, "At level 1024")
    assert text.startswith("At level 1024 ordinary networks call ")
    assert f"difference between the latter and ordinary networks is {interval(found['lead'])} points" in text
    assert text.endswith(f"it is {interval(found['lead_free'])}.")


def test_leads_are_averaged_over_the_levels_of_the_verdict_and_against_each_reference(frame: pd.DataFrame) -> None:
    for reference in ("normal", "underfit", "noise-0.1"):
        found = one_answer.averaged(frame, reference)
        each = [one_answer.leads(frame, f"saturation@{level}", reference=reference) for level in (8, 16, 64, 1024)]
        for column in ("lead", "free", "lead_free"):
            expected = np.mean([one[column] for one in each], axis=0)
            assert found[column].tolist() == pytest.approx(expected.tolist())
        text = one_answer.averaged_sentence(frame)
        assert f"{interval(found['lead'])} and {interval(found['lead_free'])}" in text


def test_another_reference_is_compared_on_its_own_common_pictures(frame: pd.DataFrame) -> None:
    labels = [0, 1, 2, 3, 4, 5]
    noise = {seed: [0, 1, 2, 9, 9, 0] for seed in (1, 2, 3)}
    main = {seed: [0, 1, 0, 3, 9, 5] for seed in (1, 2, 3)}
    found = one_answer.leads(frame, UNDER, said(frame, {"noise-0.1": noise, "pgd-linf-4": main}, labels), "noise-0.1")
    assert found["lead"].tolist() == pytest.approx([1 / 5] * 3)  # ahead on 3 and 5, behind on 2
    assert found["lead_free"].tolist() == pytest.approx([1 / 3] * 3)  # neither calls 1, 3 and 4 clutter
