"""Rows and predictions as they are read: types, and one clear line for what is wrong with a file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from atlib.errors import InputError
from atlib.rows import COLUMNS, load, read_rows
from helpers import GOOD, HEADER, LINE, RUN, write_csv


def test_rows_come_back_with_their_types(tmp_path: Path) -> None:
    cells = ("clean,,accuracy,0.5,5,10", "pgd-linf,8,accuracy_last,0.1,1,10", "clean,,p_true,0.25,,10")
    path = write_csv(tmp_path / "r.csv", *(LINE + c for c in (*cells, "conflict,,shape_bias,,0,0")))
    frame = read_rows(path)
    assert tuple(frame.columns) == COLUMNS
    assert list(frame["level"]) == ["", "8", "", ""]
    assert frame["count"].tolist()[:2] == [5, 1] and frame["count"].isna().tolist() == [False, False, True, False]
    assert frame["value"].tolist()[:3] == [0.5, 0.1, 0.25] and math.isnan(frame["value"].iloc[3])
    frame.to_csv(tmp_path / "again.csv", index=False)
    pd.testing.assert_frame_equal(read_rows(tmp_path / "again.csv"), frame)


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
    "nan is no empty cell": (LINE + "conflict,,shape_bias,nan,0,0", "line 2, value = 'nan': must be a finite number"),
    "infinite": (LINE + "clean,,gini,1e999,,5", "line 2, value = '1e999': must be a finite number"),
    "share is text": (
        LINE.replace(",1.0,", ",all,") + "clean,,accuracy,0.5,5,10",
        "line 2, share = 'all': must be a fin",
    ),
    "the third line": (
        f"{GOOD}\n{LINE}clean,,p_true,-0.1,,10",
        "line 3, value = -0.1: p_true must lie between 0 and 1",
    ),
    "other digits": (LINE + "clean,,accuracy,0.5,٥,10", "line 2, count = '٥': must be a whole number"),
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
        read_rows(path)
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
            read_rows(path)
        one_line(caught, path, expected)
    with pytest.raises(InputError, match="not a readable CSV"):
        read_rows(tmp_path / "absent.csv")


def test_characters_that_end_a_line_elsewhere_may_stand_in_a_cell(tmp_path: Path) -> None:
    """str.splitlines cuts at them, so that a cell with one was two lines."""
    for character in ("\x0b", "\x85", "\u2028"):
        path = write_csv(tmp_path / "r.csv", GOOD.replace(",shapes,", f",folder:a{character}b,"))
        assert list(read_rows(path)["dataset"]) == [f"folder:a{character}b"]


def test_what_no_csv_reader_takes_is_one_clear_line(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "r.csv", GOOD.replace(",shapes,", f",{'x' * 200_000},"))
    with pytest.raises(InputError) as caught:
        read_rows(path)
    one_line(caught, path, "not a readable CSV of rows (field larger than field limit (131072))")


def test_any_cut_of_a_file_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Wherever a file is cut, what is read is a prefix of its rows, never a changed number."""
    whole = write_csv(tmp_path / "r.csv", *(LINE + f"clean,,{m},0.25,25,100" for m in ("accuracy", "coverage")))
    data, frame = whole.read_bytes(), read_rows(whole)
    read = 0
    for end in range(len(data)):
        (tmp_path / "cut.csv").write_bytes(data[:end])
        try:
            part = read_rows(tmp_path / "cut.csv")
        except InputError:
            continue
        read += 1
        pd.testing.assert_frame_equal(part, frame.iloc[: len(part)])
    assert read == 1  # after the first row's end


def test_load_takes_every_published_run_and_nothing_else(tmp_path: Path) -> None:
    assert load(tmp_path).empty and tuple(load(tmp_path).columns) == COLUMNS
    other = RUN.replace("s1", "s2")
    write_csv(tmp_path / f"{RUN}.csv", GOOD)
    write_csv(tmp_path / f"{other}.csv", GOOD.replace("w16-s1", "w16-s2").replace(",1,clean", ",2,clean"))
    write_csv(tmp_path / "shapes" / "timings.csv", "1,2", header="a,b")
    frame = load(tmp_path)
    assert frame["run"].tolist() == [RUN, other] and frame["seed"].tolist() == [1, 2]
    write_csv(tmp_path / f"{RUN.replace('1a2b', 'ffff')}.csv", GOOD)
    with pytest.raises(InputError, match="holds the rows of another run"):
        load(tmp_path)


def test_load_adds_where_the_numbers_come_from(tmp_path: Path) -> None:
    write_csv(tmp_path / f"{RUN}.csv", GOOD, LINE + "pgd-linf,8,accuracy_last,0.1,1,10")
    record = {
        "training": {"commit": "aaa", "hardware": {"processor": "P"}, "seconds": 3},
        "evaluation": {"measurements": {"clean@": {"commit": "bbb"}, "pgd-linf@8": {"commit": "ccc"}}},
    }
    (tmp_path / f"{RUN}.json").write_text(json.dumps(record))
    frame = load(tmp_path, provenance=True)
    assert frame["evaluation_commit"].tolist() == ["bbb", "ccc"]
    assert frame[["training_commit", "processor", "gpu", "seconds"]].to_numpy()[0].tolist() == ["aaa", "P", "", 3.0]
    (tmp_path / f"{RUN}.json").write_text("{")
    with pytest.raises(InputError, match="not a readable JSON"):
        load(tmp_path, provenance=True)
