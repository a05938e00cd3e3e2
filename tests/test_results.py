"""Rows, statistics, comparisons and publishing, against plain loops and scipy."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from atlib import results
from atlib.errors import InputError

RUN = "shapes/pgd-linf-8-w16-s1-1a2b3c4d"
LINE = f"{RUN},shapes,pgd-linf-8,16,1.0,stride2,1,"
HEADER = ",".join(results.COLUMNS)


def write_csv(path: Path, *lines: str, header: str = HEADER, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + end, encoding="utf-8")
    return path


def rows_for(seed: int, value: float, model: str = "normal", run: str | None = None, **other: Any) -> dict[str, Any]:
    """One row, as short as a test wants to write it."""
    row = {"dataset": "cifar10", "model": model, "width": 16, "share": 0.0, "recipe": "r", "seed": seed}
    row |= {"distortion": "clean", "level": "", "metric": "accuracy", "value": value, "count": None, "total": None}
    return {"run": run or f"cifar10/{model}-w16-s{seed}-00000000"} | row | other


# --- reading ----------------------------------------------------------------------------------------------------


def test_rows_come_back_with_their_types(tmp_path: Path) -> None:
    cells = ("clean,,accuracy,0.5,5,10", "pgd-linf,8,accuracy_last,0.1,1,10", "clean,,p_true,0.25,,10")
    path = write_csv(tmp_path / "r.csv", *(LINE + c for c in (*cells, "conflict,,shape_bias,,0,0")))
    frame = results.read_rows(path)
    assert tuple(frame.columns) == results.COLUMNS
    assert list(frame["level"]) == ["", "8", "", ""]
    assert frame["count"].tolist()[:2] == [5, 1] and frame["count"].isna().tolist() == [False, False, True, False]
    assert frame["value"].tolist()[:3] == [0.5, 0.1, 0.25] and math.isnan(frame["value"].iloc[3])
    frame.to_csv(tmp_path / "again.csv", index=False)
    pd.testing.assert_frame_equal(results.read_rows(tmp_path / "again.csv"), frame)


GOOD = LINE + "clean,,accuracy,0.5,5,10"
MALFORMED = {
    "value is text": (LINE + "clean,,accuracy,high,5,10", "line 2, value = 'high': must be a finite number"),
    "value is nan": (LINE + "clean,,accuracy,nan,5,10", "line 2, value = 'nan': must be a finite number"),
    "value is empty": (LINE + "clean,,accuracy,,,10", "line 2, value = ''"),
    "value is a percentage": (LINE + "clean,,accuracy,50,,", "line 2, value = 50: accuracy must lie between 0 and 1"),
    "value isn't the fraction": (
        LINE + "clean,,accuracy,0.6,5,10",
        "line 2, value = 0.6: isn't count / total (5 / 10)",
    ),
    "count above total": (LINE + "clean,,accuracy,1,11,10", "line 2, count = 11: must be at most the total (10)"),
    "count without total": (LINE + "clean,,accuracy,1,11,", "line 2, count = 11: must be at most the total"),
    "negative count": (LINE + "clean,,accuracy,0.5,-5,10", "line 2, count = '-5': must be a whole number"),
    "half a seed": (LINE.replace(",1,", ",1.5,") + "clean,,accuracy,.5,5,10", "line 2, seed = '1.5': must be a whole"),
    "count with a fraction": (LINE + "clean,,accuracy,0.5,5.0,10", "line 2, count = '5.0': must be a whole number"),
    "no metric": (LINE + "clean,,,0.5,5,10", "line 2, metric = '': must not be empty"),
    "a cell too few": (LINE + "clean,,accuracy,0.5,5", "line 2: 12 cells instead of 13"),
    "a row twice": (f"{GOOD}\n{GOOD}", "line 3, clean@/accuracy: is there twice"),
    "two runs": (f"{GOOD}\n{GOOD.replace('1a2b3c4d', 'ffffffff')}", "must hold the rows of one run, found 2"),
    "nothing": ("", "must hold the rows of one run, found 0"),
}


def one_line(caught: pytest.ExceptionInfo[InputError], path: Path, *words: str) -> None:
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(path))
    for word in words:
        assert word in message


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_csv_is_one_clear_line(case: str, tmp_path: Path) -> None:
    line, expected = MALFORMED[case]
    path = write_csv(tmp_path / "r.csv", *filter(None, [line]))
    with pytest.raises(InputError) as caught:
        results.read_rows(path)
    one_line(caught, path, expected)


def test_a_cut_or_foreign_file_is_one_clear_line(tmp_path: Path) -> None:
    for name, content, expected in (
        ("cut.csv", f"{HEADER}\n{GOOD[:-1]}".encode(), "line 2: cut off"),
        ("foreign.csv", b"a,b\n1,2\n", "line 1 must be run,dataset"),
        ("empty.csv", b"", "line 1 must be"),
        ("binary.csv", b"\xff\xfe\x00", "not a readable CSV"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            results.read_rows(path)
        one_line(caught, path, expected)
    with pytest.raises(InputError, match="not a readable CSV"):
        results.read_rows(tmp_path / "absent.csv")


def test_any_cut_of_a_file_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Wherever a file is cut, what is read is a prefix of its rows, never a changed number."""
    whole = write_csv(tmp_path / "r.csv", *(LINE + f"clean,,{m},0.25,25,100" for m in ("accuracy", "coverage")))
    data, frame = whole.read_bytes(), results.read_rows(whole)
    read = 0
    for end in range(len(data)):
        (tmp_path / "cut.csv").write_bytes(data[:end])
        try:
            part = results.read_rows(tmp_path / "cut.csv")
        except InputError:
            continue
        read += 1
        pd.testing.assert_frame_equal(part, frame.iloc[: len(part)])
    assert read == 1  # after the first row's end


def test_load_takes_every_published_run_and_nothing_else(tmp_path: Path) -> None:
    assert results.load(tmp_path).empty and tuple(results.load(tmp_path).columns) == results.COLUMNS
    other = RUN.replace("s1", "s2")
    write_csv(tmp_path / f"{RUN}.csv", GOOD)
    write_csv(tmp_path / f"{other}.csv", GOOD.replace("w16-s1", "w16-s2").replace(",1,clean", ",2,clean"))
    write_csv(tmp_path / "shapes" / "timings.csv", "1,2", header="a,b")
    frame = results.load(tmp_path)
    assert frame["run"].tolist() == [RUN, other] and frame["seed"].tolist() == [1, 2]
    write_csv(tmp_path / f"{RUN.replace('1a2b', 'ffff')}.csv", GOOD)
    with pytest.raises(InputError, match="holds the rows of another run"):
        results.load(tmp_path)


def test_load_adds_where_the_numbers_come_from(tmp_path: Path) -> None:
    write_csv(tmp_path / f"{RUN}.csv", GOOD, LINE + "pgd-linf,8,accuracy_last,0.1,1,10")
    record = {
        "training": {"commit": "aaa", "hardware": {"processor": "P"}, "seconds": 3},
        "evaluation": {"measurements": {"clean@": {"commit": "bbb"}, "pgd-linf@8": {"commit": "ccc"}}},
    }
    (tmp_path / f"{RUN}.json").write_text(json.dumps(record))
    frame = results.load(tmp_path, provenance=True)
    assert frame["evaluation_commit"].tolist() == ["bbb", "ccc"]
    assert frame[["training_commit", "processor", "gpu", "seconds"]].to_numpy()[0].tolist() == ["aaa", "P", "", 3.0]
    (tmp_path / f"{RUN}.json").write_text("{")
    with pytest.raises(InputError, match="not a readable JSON"):
        results.load(tmp_path, provenance=True)


# --- intervals ---------------------------------------------------------------------------------------------------


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.999))
def test_wilson_is_scipys(counts: tuple[int, int], confidence: float) -> None:
    count, total = counts
    low, high = results.wilson(count, total, confidence)
    expected = stats.binomtest(count, total).proportion_ci(confidence, "wilson")
    assert low == pytest.approx(expected.low, abs=1e-9) and high == pytest.approx(expected.high, abs=1e-9)
    assert 0 <= low <= count / total <= high <= 1


def test_wilson_of_nothing_and_of_nonsense() -> None:
    assert results.wilson(0, 0) == (0.0, 1.0)
    assert results.Fraction(3, 10).interval == results.wilson(3, 10)
    for count, total in ((11, 10), (-1, 10), (0, -1)):
        with pytest.raises(InputError):
            results.wilson(count, total)
    with pytest.raises(InputError, match="confidence"):
        results.wilson(1, 2, 1.0)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=9), st.floats(-1, 1))
def test_t_interval_is_scipys_and_moves_with_the_values(values: list[float], shift: float) -> None:
    low, high = results.t_interval(values)
    se = np.std(values, ddof=1) / math.sqrt(len(values))
    if se > 1e-9:
        expected = stats.t.interval(0.95, len(values) - 1, np.mean(values), se)
        assert (low, high) == pytest.approx(expected)
    assert low <= np.mean(values) + 1e-12 and np.mean(values) <= high + 1e-12
    assert results.t_interval([v + shift for v in values]) == pytest.approx((low + shift, high + shift), abs=1e-9)


def test_t_interval_of_one_seed_is_none() -> None:
    assert all(map(math.isnan, results.t_interval([0.5]))) and all(map(math.isnan, results.t_interval([])))
    assert results.t_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert all(map(math.isnan, results.t_interval([0.5, math.nan, 0.4])))


# --- across seeds -------------------------------------------------------------------------------------------------


def test_seeds_stand_side_by_side_and_are_never_pooled() -> None:
    rows = [rows_for(2, 0.9, count=9, total=10), rows_for(1, 0.1, count=100, total=1000), rows_for(3, 0.5)]
    table = results.across_seeds(results.frame_of([*rows, rows_for(1, 0.7, model="spatial")]))
    line = table[table["model"] == "normal"].iloc[0]
    assert line["seeds"] == (1, 2, 3) and line["values"] == (0.1, 0.9, 0.5) and line["note"] == "3 seeds"
    assert line["mean"] == pytest.approx(0.5)  # not the pooled 109 / 1010
    assert (line["low"], line["high"]) == pytest.approx(results.t_interval([0.1, 0.9, 0.5]))
    alone = table[table["model"] == "spatial"].iloc[0]
    assert alone["note"] == "one seed" and alone["mean"] == 0.7 and math.isnan(alone["low"])


def test_settings_are_kept_apart_and_double_seeds_refused() -> None:
    rows = [rows_for(1, 0.1), rows_for(2, 0.2, width=64), rows_for(3, 0.3, recipe="q"), rows_for(4, 0.4, share=0.5)]
    assert len(results.across_seeds(results.frame_of(rows))) == 4
    twice = [rows_for(1, 0.1), rows_for(1, 0.2, run="cifar10/normal-w16-s1-ffffffff")]
    with pytest.raises(InputError, match=r"two runs of one cell and seed \(.*00000000, .*ffffffff\)"):
        results.across_seeds(results.frame_of(twice))


# --- per image ----------------------------------------------------------------------------------------------------


def made_up(seed: int, images: int = 200, accuracy: float = 0.7) -> dict[str, np.ndarray]:
    """Predictions of a network that is right at random, on test images that all such networks share."""
    rng = np.random.default_rng(seed)
    labels = np.random.default_rng(99).integers(0, 10, images)
    wrong = (labels + rng.integers(1, 10, (2, images))) % 10
    clean, distorted = np.where(rng.random((2, images)) < accuracy, labels, wrong)
    last = rng.random(images) < 0.5
    return {"labels": labels, "clean@/class": clean, "saturation@8/class": distorted,
            "pgd-linf@8/last": last, "pgd-linf@8/any": last & (rng.random(images) < 0.8)}  # fmt: skip


@given(st.integers(0, 1000), st.integers(1, 60), st.floats(0, 1))
def test_measures_equal_a_plain_loop(seed: int, images: int, accuracy: float) -> None:
    a, b = made_up(seed, images, accuracy), made_up(seed + 1, images, accuracy)
    known = a_right = b_right = own = kept = only_a = only_b = 0
    for i, label in enumerate(a["labels"]):
        if a["clean@/class"][i] == label:
            own += 1
            kept += a["saturation@8/class"][i] == label
        if a["clean@/class"][i] == label and b["clean@/class"][i] == label:
            known += 1
            x, y = a["saturation@8/class"][i] == label, b["saturation@8/class"][i] == label
            a_right, b_right, only_a, only_b = a_right + x, b_right + y, only_a + (x and not y), only_b + (y and not x)
    part, pair = results.conditional(a, "saturation@8"), results.paired(a, b, "saturation@8")
    assert (part.count, part.total) == (kept, own)
    assert (pair.model.count, pair.reference.count, pair.total) == (a_right, b_right, known)
    assert (pair.only_model, pair.only_reference) == (only_a, only_b)
    if known:
        assert pair.difference == pytest.approx(pair.model.value - pair.reference.value)
        tail = sum(math.comb(only_a + only_b, k) for k in range(min(only_a, only_b) + 1))
        assert pair.p == pytest.approx(min(1.0, 2 * tail / 2 ** (only_a + only_b)))
    else:
        assert math.isnan(pair.difference)


@given(st.integers(0, 1000))
def test_pairing_is_antisymmetric_and_zero_with_oneself(seed: int) -> None:
    a, b = made_up(seed), made_up(seed + 1)
    there, back = (results.paired(*pair, "saturation@8") for pair in ((a, b), (b, a)))
    assert there.difference == -back.difference and there.p == back.p and there.total == back.total
    assert results.paired(a, a, "saturation@8").difference == 0


def test_pairing_corrects_what_conditioning_distorts() -> None:
    """A network that knows only easy images looks better by the paper's count, and isn't on the same images."""
    labels = np.zeros(10, int)
    easy = np.arange(10) < 4
    weak = {"labels": labels, "clean@/class": np.where(easy, 0, 1), "blur@1/class": np.where(easy, 0, 1)}
    good = {"labels": labels, "clean@/class": labels, "blur@1/class": np.where(easy, 0, 1)}
    assert results.conditional(weak, "blur@1").value == 1.0 > results.conditional(good, "blur@1").value == 0.4
    assert results.paired(weak, good, "blur@1").difference == 0


def test_correct_knows_attacks_and_refuses_other_pictures() -> None:
    a = made_up(0) | {"conflict@/class": np.zeros(200)}
    assert np.array_equal(results.correct(a, "pgd-linf@8"), a["pgd-linf@8/last"])
    assert np.array_equal(results.correct(a, "pgd-linf@8", "any"), a["pgd-linf@8/any"])
    assert np.array_equal(results.correct(a, "clean@"), a["clean@/class"] == a["labels"])
    with pytest.raises(results.Missing, match=r"'blur@1': no predictions"):
        results.correct(a, "blur@1")
    with pytest.raises(InputError, match="cue-conflict"):
        results.correct(a, "conflict@")
    with pytest.raises(InputError, match="different test images"):
        results.paired(a, made_up(1, 199), "saturation@8")


def test_comparison_puts_each_run_beside_the_normal_one_of_its_seed() -> None:
    place = {"distortion": "saturation", "level": "8"}
    rows = [rows_for(seed, 0.5, model, **place) for model in ("normal", "pgd-linf-8") for seed in (1, 2)]
    rows += [rows_for(3, 0.5, "pgd-linf-8", **place), rows_for(1, 0.9)]
    stored = {row["run"]: made_up(i) for i, row in enumerate(rows[:5])}
    table = results.comparison(results.frame_of(rows), stored.__getitem__).set_index("run")
    assert len(table) == 5  # clean accuracy is no distortion
    assert results.comparison(results.frame_of([])).columns.tolist()[1:] == table.columns.tolist()
    for seed in (1, 2):
        mine, normal = (f"cifar10/{model}-w16-s{seed}-00000000" for model in ("pgd-linf-8", "normal"))
        pair, line = results.paired(stored[mine], stored[normal], "saturation@8"), table.loc[mine]
        assert (line["total"], line["difference"], line["p"]) == (pair.total, pair.difference, pair.p)
        assert (line["common"], line["common_reference"]) == (pair.model.value, pair.reference.value)
        assert line["conditional"] == results.conditional(stored[mine], "saturation@8").value
        assert table.loc[normal, "difference"] == 0
    lone = table[["total", "difference", "p"]].loc[["cifar10/pgd-linf-8-w16-s3-00000000"]].to_numpy()
    assert lone[0] == pytest.approx([0, math.nan, math.nan], nan_ok=True)
    rows.append(rows_for(1, 0.4, run="cifar10/normal-w16-s1-ffffffff"))
    with pytest.raises(InputError, match="two runs of normal"):
        results.comparison(results.frame_of(rows), stored.__getitem__)


# --- publishing ---------------------------------------------------------------------------------------------------


def save(folder: Path, arrays: dict[str, Any]) -> None:
    np.savez_compressed(folder / "predictions.npz", **arrays)


def finished_run(folder: Path, right: int = 6, name: str = RUN, **config: Any) -> Path:
    """A run's folder as training and evaluation leave it, 10 test images."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.arange(10, dtype=np.uint16)
    said = np.where(labels < right, labels, 0)
    said[0] = 0 if right else 1
    save(folder, {"labels": labels, "clean@/class": said})
    line = LINE.replace(RUN, name).replace(",1,", f",{config.get('seed', 1)},")
    line = line.replace(",1.0,", f",{config.get('share', 1.0)},")
    write_csv(folder / "rows.csv", line + f"clean,,accuracy,{right / 10},{right},10", line + "clean,,p_true,0.5,,10")
    usual = {"dataset": "shapes", "width": 16, "share": 1.0, "seed": 1, "quick": False}
    content = {"config": usual | config, "run": name, "model": "pgd-linf-8", "recipe": "stride2", "weights_digest": "d"}
    for name, record in {
        "config": content["config"],
        "training": content,
        "evaluation": {"weights_digest": "d"},
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return finished_run(tmp_path / "runs" / RUN)


def test_publishing_copies_and_publishing_again_replaces(run: Path, tmp_path: Path) -> None:
    written = results.publish(run)
    folder = tmp_path / "results"
    assert sorted(written) == [folder / f"{RUN}.{kind}" for kind in ("csv", "json", "npz")]
    before = results.load()
    pd.testing.assert_frame_equal(before, results.read_rows(run / "rows.csv"))
    assert results.conditional(results.archive()(RUN), "clean@").total == 6
    results.publish(run)
    assert len(results.load()) == 2
    results.publish(finished_run(run, right=3))
    assert results.load()["value"].tolist() == [0.3, 0.5]
    assert results.conditional(results.archive()(RUN), "clean@").total == 3
    record = json.loads((folder / f"{RUN}.json").read_text())
    assert set(record) == {"config", "training", "evaluation"}
    assert sorted(p.name for p in (folder / "shapes").iterdir()) == sorted(p.name for p in written)


def test_what_tables_would_average_must_be_alike(run: Path, tmp_path: Path) -> None:
    config: dict[str, Any] = {"seed": 1, "steps": 7, "match": "shapes/pgd-linf-8-w16-s1-0000000a", "precision": "bf16"}
    results.publish(finished_run(run, **config))
    alike: dict[str, Any] = {
        "seed": 2,
        "steps": 7,
        "match": "shapes/pgd-linf-8-w16-s2-0000000b",
        "precision": "fp32",
        "tau": None,
    }
    second = RUN.replace("s1", "s2")
    for unlike, (value, said) in {
        "steps": (20, "steps (20, not 7), and tables would average the two"),
        "match": ("shapes/pgd-linf-2-w16-s2-0000000c", "match (shapes/pgd-linf-2-w16, not shapes/pgd-linf-8-w16)"),
        "tau": (0.1, "tau (0.1, not None)"),
    }.items():
        folder = finished_run(tmp_path / "runs" / second, name=second, **alike | {unlike: value})
        with pytest.raises(InputError, match=re.escape(f"{RUN} in {said}")):
            results.publish(folder)
        assert results.load()["seed"].unique().tolist() == [1]
    results.publish(finished_run(tmp_path / "runs" / second, name=second, **alike))
    results.publish(finished_run(tmp_path / "runs" / second, name=second, **alike | {"share": 0.5, "steps": 20}))
    assert results.load()["seed"].unique().tolist() == [1, 2]


def break_predictions(run: Path) -> None:
    save(run, {"labels": np.arange(10), "clean@/class": np.zeros(10)})


def drop_predictions(run: Path) -> None:
    np.savez(run / "predictions.npz", labels=np.arange(10))


def conflicting(run: Path) -> None:
    """Of ten cue-conflict pictures five are called by their shape, and two by their texture; the row says six."""
    with np.load(run / "predictions.npz") as found:
        arrays = dict(found)
    said = np.array([0] * 5 + [1] * 2 + [2] * 3)
    answers = {"class": said, "labels": np.zeros(10), "textures": np.ones(10)}
    save(run, arrays | {f"conflict@/{name}": value for name, value in answers.items()})
    write_csv(run / "rows.csv", GOOD.replace("0.5,5,10", "0.6,6,10"), LINE + f"conflict,,shape_bias,{6 / 7},6,7")


def truncate(run: Path) -> None:
    data = (run / "predictions.npz").read_bytes()
    (run / "predictions.npz").write_bytes(data[: len(data) // 2])


REFUSED = {
    "a quick run": (lambda run: finished_run(run, quick=True), "a quick run"),
    "not trained": (lambda run: (run / "training.json").unlink(), "not trained to its end"),
    "not evaluated": (lambda run: (run / "evaluation.json").unlink(), "not evaluated"),
    "no rows": (lambda run: (run / "rows.csv").unlink(), "not a readable CSV"),
    "malformed rows": (lambda run: write_csv(run / "rows.csv", LINE + "clean,,accuracy,2,,"), "between 0 and 1"),
    "rows of another run": (
        lambda run: write_csv(run / "rows.csv", GOOD.replace("1a2b3c4d", "ffffffff")),
        "evaluate it again",
    ),
    "other predictions": (break_predictions, "rows.csv and predictions.npz differ on clean@/accuracy"),
    "predictions missing": (drop_predictions, "has none of clean@/accuracy"),
    "a column of another run": (
        lambda run: write_csv(run / "rows.csv", GOOD.replace("linf-8,16,", "linf-8,4,")),
        "other values of width than the run's, 16",
    ),
    "another configuration": (
        lambda run: (run / "config.json").write_text('{"dataset": "shapes", "width": 4}'),
        "or has another than config.json",
    ),
    "measured, but no rows": (
        lambda run: (run / "evaluation.json").write_text('{"measurements": {"noise@0.1": {}}}'),
        "rows.csv has no rows of noise@0.1",
    ),
    "another shape bias": (conflicting, "rows.csv and predictions.npz differ on conflict@/shape_bias"),
    "a record that is none": (lambda run: (run / "training.json").write_text("[]"), "must hold a JSON object, not []"),
    "predictions cut off": (truncate, "not a readable file of predictions"),
    "other weights": (
        lambda run: (run / "evaluation.json").write_text('{"weights_digest": "other"}'),
        "with other weights",
    ),
    "damaged record": (lambda run: (run / "training.json").write_text("{"), "not a readable JSON"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_published(case: str, run: Path, tmp_path: Path) -> None:
    spoil, expected = REFUSED[case]
    results.publish(run)
    folder = tmp_path / "results" / "shapes"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    spoil(run)
    with pytest.raises(InputError) as caught:
        results.publish(run)
    one_line(caught, run, expected)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_command_line(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert results.main(["publish", RUN]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [f"wrote {tmp_path / 'results' / RUN}.{kind}" for kind in ("npz", "csv", "json")]
    assert results.main(["publish", str(run)]) == 0
    assert len(results.load()) == 2
    capsys.readouterr()
    assert results.main(["publish", RUN.replace("1a2b", "1a2c")]) == 2
    error = capsys.readouterr().err
    assert results.main(["verdicts"]) == 0
    assert capsys.readouterr().out.count("pending") > 100
    assert error.startswith("error: run = ") and f"did you mean '{RUN}'?" in error and error.count("\n") == 1


def test_absent_predictions_are_missing_and_damaged_ones_an_error(run: Path, tmp_path: Path) -> None:
    results.publish(run)
    assert results.archive()(RUN)["labels"].tolist() == list(range(10))
    with pytest.raises(results.Missing):
        results.archive()("shapes/normal-w16-s1-00000000")
    np.savez(tmp_path / "x.npz", a=np.zeros(1))
    with pytest.raises(InputError, match="has no labels"):
        results.read_predictions(tmp_path / "x.npz")
