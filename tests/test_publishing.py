"""Publishing a run: what is copied, what is replaced, and what is refused."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from atlib.campaign import publishing
from atlib.errors import InputError, Missing
from atlib.files import REPOSITORY, RUN_NAME, exclusive, read_json
from atlib.report import statistics, verdicts
from atlib.rows import archive, load, read_predictions, read_rows
from helpers import GOOD, LINE, RUN, write_csv

COMMIT = "c" * 40


def one_line(caught: pytest.ExceptionInfo[InputError], path: Path, *words: str) -> None:
    message = str(caught.value)
    assert "\n" not in message and message.startswith(str(path))
    for word in words:
        assert word in message


def save(folder: Path, arrays: dict[str, Any]) -> None:
    np.savez_compressed(folder / "predictions.npz", **arrays)


def finished_run(folder: Path, right: int = 6, name: str = RUN, commit: str = COMMIT, **config: Any) -> Path:
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
    content["commit"] = commit
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
    written = publishing.publish(run)
    folder = tmp_path / "results"
    assert sorted(written) == [folder / f"{RUN}.{kind}" for kind in ("csv", "json", "npz")]
    before = load()
    pd.testing.assert_frame_equal(before, read_rows(run / "rows.csv"))
    assert statistics.conditional(archive()(RUN), "clean@").total == 6
    publishing.publish(run)
    assert len(load()) == 2
    publishing.publish(finished_run(run, right=3))
    assert load()["value"].tolist() == [0.3, 0.5]
    assert statistics.conditional(archive()(RUN), "clean@").total == 3
    record = json.loads((folder / f"{RUN}.json").read_text(encoding="utf-8"))
    assert set(record) == {"config", "training", "evaluation"}
    assert sorted(p.name for p in (folder / "shapes").iterdir()) == sorted(p.name for p in written)


def test_a_publication_of_another_network_that_is_cut_off_is_no_publication(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing.publish(run)
    for name in ("training", "evaluation"):
        path = run / f"{name}.json"
        path.write_text(path.read_text(encoding="utf-8").replace('"weights_digest": "d"', '"weights_digest": "e"'))
    monkeypatch.setattr(publishing, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        publishing.publish(run)
    assert not (tmp_path / "results" / f"{RUN}.json").exists()  # which is how the campaign knows


def test_a_run_that_is_being_measured_is_not_published(run: Path, tmp_path: Path) -> None:
    with exclusive(run), pytest.raises(InputError, match=f"^{run}: already in use by process {os.getpid()}$"):
        publishing.publish(run, tmp_path / "results")
    assert not (tmp_path / "results").exists()
    assert publishing.publish(run, tmp_path / "results")
    with pytest.raises(InputError, match="not trained to its end"):
        publishing.publish(tmp_path / "typo", tmp_path / "results")
    assert not (tmp_path / "typo").exists()


def test_what_tables_would_average_must_be_alike(run: Path, tmp_path: Path) -> None:
    config: dict[str, Any] = {"seed": 1, "steps": 7, "match": "shapes/pgd-linf-8-w16-s1-0000000a", "precision": "bf16"}
    publishing.publish(finished_run(run, **config))
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
            publishing.publish(folder)
        assert load()["seed"].unique().tolist() == [1]
    publishing.publish(finished_run(tmp_path / "runs" / second, name=second, **alike))
    twin = second.replace("1a2b3c4d", "2b3c4d5e")
    with pytest.raises(InputError, match=re.escape(f"{twin}: {second} is published, the same network in another pr")):
        publishing.publish(finished_run(tmp_path / "runs" / twin, name=twin, **alike | {"precision": "auto"}))
    publishing.publish(finished_run(tmp_path / "runs" / second, name=second, **alike | {"share": 0.5, "steps": 20}))
    assert load()["seed"].unique().tolist() == [1, 2]


def test_of_two_that_publish_at_once_the_second_sees_what_the_first_wrote(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = RUN.replace("1a2b3c4d", "2b3c4d5e")  # the same network in another precision: one of them may be published
    other = finished_run(tmp_path / "runs" / twin, name=twin)
    writing, go_on = threading.Event(), threading.Event()
    copyfile = shutil.copyfile

    def slow(*paths: Any) -> None:
        writing.set()
        assert go_on.wait(60)
        copyfile(*paths)

    monkeypatch.setattr(shutil, "copyfile", slow)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(publishing.publish, run)
        assert writing.wait(60)
        second = pool.submit(publishing.publish, other)
        go_on.set()
        assert first.result(60)
        with pytest.raises(InputError, match=f"{RUN} is published, the same network in another precision"):
            second.result(60)
    assert load()["run"].unique().tolist() == [RUN]


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
        lambda run: (run / "evaluation.json").write_text('{"measurements": {"noise@0.1": {"commit": "c"}}}'),
        "rows.csv has no rows of noise@0.1",
    ),
    "trained by edited code": (
        lambda run: finished_run(run, commit=f"{COMMIT}-dirty"),
        f"trained by code of commit {COMMIT}-dirty, which can't be looked up; commit it and run that again",
    ),
    "trained by code of no commit": (lambda run: finished_run(run, commit="unknown"), "code of commit unknown, which"),
    "measured by edited code": (
        lambda run: (run / "evaluation.json").write_text('{"measurements": {"clean@": {"commit": "abc-dirty"}}}'),
        "clean@ measured by code of commit abc-dirty, which can't be looked up",
    ),
    "measured, nobody knows by what": (
        lambda run: (run / "evaluation.json").write_text('{"measurements": {"clean@": {}}}'),
        "clean@ measured by code of commit unknown",
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
    publishing.publish(run)
    folder = tmp_path / "results" / "shapes"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    spoil(run)
    with pytest.raises(InputError) as caught:
        publishing.publish(run)
    one_line(caught, run, expected)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_command_line(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert publishing.main([RUN]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out == [f"wrote {tmp_path / 'results' / RUN}.{kind}" for kind in ("npz", "csv", "json")]
    assert publishing.main([str(run)]) == 0
    assert len(load()) == 2
    capsys.readouterr()
    assert publishing.main([RUN.replace("1a2b", "1a2c")]) == 2
    error = capsys.readouterr().err
    assert verdicts.main([]) == 0
    assert capsys.readouterr().out.count("not run") > 100
    assert error.startswith("error: run = ") and f"did you mean '{RUN}'?" in error and error.count("\n") == 1


def test_absent_predictions_are_missing_and_damaged_ones_an_error(run: Path, tmp_path: Path) -> None:
    publishing.publish(run)
    assert archive()(RUN)["labels"].tolist() == list(range(10))
    with pytest.raises(Missing):
        archive()("shapes/normal-w16-s1-00000000")
    np.savez(tmp_path / "x.npz", a=np.zeros(1))
    with pytest.raises(InputError, match="has no labels"):
        read_predictions(tmp_path / "x.npz")


def test_published_records_say_versions_and_hardware_once() -> None:
    """A measurement has its own only where they differ from the record's."""
    records = [path for path in (REPOSITORY / "results").glob("*/*.json") if RUN_NAME.fullmatch(_run_of(path))]
    assert len(records) > 100
    for path in records:
        about = read_json(path)["evaluation"]
        for measurement in about["measurements"].values():
            for kind in ("versions", "hardware"):
                assert about[kind] and measurement.get(kind) != about[kind], path


def _run_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"
