"""The campaign on this machine: killed and resumed, equal to one left alone; two at once; folders that refuse."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from atlib import evaluation, provenance, style
from atlib.campaign import announcing, doing, grid, jobs, needs, plan, running, snapshot
from atlib.campaign.__main__ import main
from atlib.configuration import Config, config_of, resolve
from atlib.errors import InputError, NetworkError
from atlib.files import REPOSITORY, read_json, results_dir, runs_dir, write_json
from atlib.rows import load
from atlib.underfit import target_accuracy
from helpers import PATIENCE

GRID = """
t:
  title: tiny
  common: {dataset: shapes, width: 4, precision: fp32}
  runs:
    - {model: pgd-linf-8, epochs: 2, seed: 1}
    - {model: normal, epochs: 0.5, seed: 1}
    - {model: normal, width: 64, stem: 7x7, weights: absent, seed: 1}
"""
FEW = """
t:
  title: few pictures
  measure: [clean, trained-attack, pgd-linf, saturation, patch-shuffle, stylised,
    maps@clean@, maps@stylised@generated-ghiasi]
  common: {dataset: cifar10, width: 4, precision: fp32, batch: 16}
  runs:
    - {model: pgd-linf-8, epochs: 20, seed: 1}
"""
FAILS_FIRST = FEW.replace("runs:", "runs:\n    - {model: normal, width: 64, stem: 7x7, weights: absent, seed: 1}")
installed = pytest.mark.skipif(
    not running.SNAKEMAKE.is_file() and "snakemake" not in os.environ.get("ATLIB_REQUIRE", ""),
    reason=f"{running.SNAKEMAKE} not installed (make campaign)",
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A grid in a folder with the runs beside it, whose name a shell would take apart."""
    folder = tmp_path / "a folder (1)"
    folder.mkdir()
    monkeypatch.setenv("ATLIB_RUNS", str(folder / "runs"))
    (folder / "grid.yaml").write_text(GRID)
    return folder / "grid.yaml"


def start(path: Path, *words: str) -> subprocess.Popen:
    """A campaign in the background, its output in `log` beside the grid."""
    command = [sys.executable, "-m", "atlib.campaign", "--grid", str(path), "run", "--threads", "1", *words]
    environment = os.environ | {"ATLIB_COMMIT": "test"}
    with open(path.parent / "log", "a", encoding="utf-8") as log:
        return subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=subprocess.STDOUT)


def until(done: Callable[[], bool], child: subprocess.Popen, seconds: float = PATIENCE) -> None:
    end = time.time() + seconds
    while not done():
        assert child.poll() is None and time.time() < end, "the campaign ended, or took too long"
        time.sleep(0.05)


def processes(path: Path) -> list[int]:
    """Every process of this test's campaigns: their environment names its folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                mine = f"ATLIB_RUNS={path.parent / 'runs'}\0".encode() in (entry / "environ").read_bytes()
                running = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
                found += [int(entry.name)] if mine and running else []
    return found


def gone(path: Path, seconds: float = PATIENCE) -> None:
    end = time.time() + seconds
    while left := processes(path):
        assert time.time() < end, (
            f"still there: {[Path(f'/proc/{pid}/cmdline').read_text(encoding='utf-8') for pid in left]}"
        )
        time.sleep(0.2)


@installed
def test_killed_twice_and_resumed_it_ends_as_if_left_alone(
    path: Path, few_pictures: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """It stylises before it measures, and says which stylised sets it can't make here."""
    path.write_text(FEW, encoding="utf-8")
    needs.obstacle.cache_clear()
    (robust,) = grid.load(path)

    # in training: everything at once, as when a machine loses power
    child = start(path, "--announced")
    until(lambda: grid.held(robust.folder) is not None, child)
    for pid in processes(path):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    child.wait()
    gone(path)
    assert not grid.trained(robust)

    # in evaluation: the campaign alone; what it had started notices
    child = start(path, "--announced")
    until(lambda: grid.trained(robust) and grid.held(robust.folder) is not None, child)
    child.kill()
    child.wait()
    for pid in processes(path):
        if Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1].endswith(b"snakemake"):
            os.kill(pid, signal.SIGKILL)
    gone(path)
    assert not grid.published(robust)

    path.write_text(FAILS_FIRST, encoding="utf-8")
    failing, _ = grid.load(path)
    child = start(path)
    assert child.wait(timeout=PATIENCE) == 1  # the run that fails has stopped no other
    log = (path.parent / "log").read_text(encoding="utf-8")
    state = grid.status([failing, robust]).set_index("run")
    assert state["state"].to_dict() == {failing.run: "failed", robust.run: "pending"}, log
    assert state.loc[robust.run, "text"] == "pending, 3 of 24 measurements" and not needs.missing(robust), log
    assert "not measured here: styles = 'paintings': " in log
    record = read_json(results_dir() / f"{robust.run}.json")["evaluation"]["measurements"]
    assert record["stylised@generated-ghiasi"]["stylised"]["count"] == 10 and "maps@stylised@generated-ghiasi" in record
    error = read_json(failing.folder / "failed.json")["error"]
    why = "weights = 'absent': neither a file"
    assert why in error and why in (failing.folder / "train.ipynb").read_text(encoding="utf-8")
    assert f"{failing.run}: failed: {error}" in log
    resumed = load()
    assert not resumed.duplicated(["run", "distortion", "level", "metric"]).any()
    assert set(resumed.loc[resumed["distortion"] == "stylised", "level"]) == {"generated-ghiasi"}
    path.write_text(FEW, encoding="utf-8")
    assert running.run(path=path) == 0 and "1 run is done, 0 to do\n" in capsys.readouterr().out

    # the same, undisturbed, and without notebooks
    monkeypatch.setenv("ATLIB_RUNS", str(path.parent / "undisturbed"))
    monkeypatch.setenv("ATLIB_RESULTS", str(path.parent / "undisturbed-results"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as in the campaign
    code = (
        "import sys; from pathlib import Path; from atlib.campaign import doing, grid; "
        "sys.exit(doing.job('run', sys.argv[2], grid.load(Path(sys.argv[1])), bare=True))"
    )
    words = [sys.executable, "-c", code, str(path), robust.run]
    subprocess.run(words, check=True, cwd=REPOSITORY, env=os.environ | {"ATLIB_COMMIT": "test"})
    undisturbed = load()
    assert len(undisturbed) and undisturbed.equals(resumed)


@installed
def test_its_time_over_it_stops_everything_and_nothing_has_failed(path: Path) -> None:
    path.write_text(GRID.replace("epochs: 2", "epochs: 500"), encoding="utf-8")
    child = start(path, "--minutes", "0.25", "--jobs", "1", "--announced")
    assert child.wait(timeout=PATIENCE) == 0  # 500 epochs would take longer
    assert "time limit reached" in (path.parent / "log").read_text(encoding="utf-8")
    gone(path)
    assert set(grid.status(grid.load(path))["state"]) == {"pending"}


@installed
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_campaign_says_so_and_a_signal_ends_the_first_quietly(number: signal.Signals, path: Path) -> None:
    """Also in the background of a script, where SIGINT is ignored."""
    path.write_text(GRID.replace("epochs: 2", "epochs: 500"), encoding="utf-8")
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited
    try:
        child = start(path, "--announced")
    finally:
        signal.signal(signal.SIGINT, before)
    robust = grid.load(path)[0]
    until(lambda: grid.held(robust.folder) is not None, child)
    with pytest.raises(InputError, match=f"a campaign is already running there, process {child.pid} since "):
        running.run(path=path)
    path.write_text("edited half-way: [", encoding="utf-8")  # which the running campaign doesn't read
    child.send_signal(number)
    assert child.wait(timeout=PATIENCE) == 128 + number  # as a shell has it: it wasn't done
    gone(path)
    assert not (robust.folder / "failed.json").exists() and not list(robust.folder.glob(".*.tmp"))
    log = (path.parent / "log").read_text(encoding="utf-8")
    assert f"stopped by {number.name}: stopping the jobs; run the same command to continue" in log
    # the jobs in a reader's words, and nothing of Snakemake's own
    (named,) = [line for line in log.splitlines() if "  training " in line]
    assert named[5:] == f"  training pgd-linf-8 on shapes, seed 1 ({robust.run})"
    assert not any(word in log for word in ("rule ", "Select jobs", "Execute ", "stamps/")), log
    for noise in ("Traceback", "zmq", "Kernel", "Error", "failed:"):
        assert noise not in log, log
    path.write_text(GRID.replace("epochs: 2", "epochs: 500"), encoding="utf-8")
    with running.alone():
        pass  # nothing to unlock


def test_a_profile_says_where_its_jobs_run(tmp_path: Path) -> None:
    assert running.is_local(running.profile_folder("local")) and not running.is_local(running.profile_folder("slurm"))
    (tmp_path / "config.yaml").write_text("jobs: 2", encoding="utf-8")
    assert running.is_local(running.profile_folder(str(tmp_path)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"executor: [slurm", "line 1: "),
        (b"- slurm", "must hold Snakemake's options by their names"),
        (b"\xff\xfe\xfa", "not a readable YAML file (UnicodeDecodeError)"),
        (b"\0", "not a readable YAML file (ReaderError)"),
        (b"since: 2024-13-45", "not a readable YAML file (ValueError)"),
    ],
)
def test_a_broken_profile_is_one_line_before_anything_starts(
    content: bytes, message: str, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    profile = tmp_path / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_bytes(content)
    with pytest.raises(InputError) as error:
        running.run(path=path, profile=str(profile))
    text = str(error.value)
    assert text.startswith(f"{profile / 'config.yaml'}: {message}") and "\n" not in text
    assert capsys.readouterr().out == "" and not (runs_dir() / ".campaign").exists()


@pytest.mark.parametrize("content", [{}, {"jobs": 1}, {"jobs": [{}]}, {"jobs": [{"block": "t"}]}])
def test_a_snapshot_of_other_content_is_one_line(content: dict, tmp_path: Path) -> None:
    write_json(tmp_path / "jobs.json", content)
    with pytest.raises(InputError, match=rf"^{tmp_path}/jobs\.json: not the jobs of a campaign \(.*\)$"):
        snapshot.read(tmp_path / "jobs.json")


def make_campaign(place: Path, needed: str, pip: str) -> subprocess.Popen:
    """`make campaign` in a checkout whose programs are scripts. needed: what is to be installed; pip: what it does."""
    for name in ("Makefile", "pyproject.toml", *(path.name for path in REPOSITORY.glob("*.txt"))):
        (place / name).write_bytes((REPOSITORY / name).read_bytes())
    programs = {
        ".venv/bin/python": f'case "$*" in *--announce\\ *) echo will do; printf "%s" "{needed}" > .venv/.campaign;'
        ' echo "$*" > .venv/announced;;'
        " -m\\ venv\\ .venv-campaign) mkdir -p .venv-campaign/bin; cp .venv/bin/pip .venv-campaign/bin/;;"
        ' *) echo "works: $*";; esac',
        ".venv/bin/pip": pip,
    }
    for name, text in programs.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        path.chmod(0o755)
    (place / ".venv" / ".book").touch()
    words = ["make", "campaign", "BLOCKS=b", "JOBS=2"]
    alone = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.Popen(words, cwd=place, stdout=subprocess.PIPE, encoding="utf-8", env=alone)


@pytest.mark.parametrize("needed", ["", ".venv-campaign/.complete", ".venv-campaign/.complete .venv/.style"])
def test_make_campaign_says_what_it_will_do_and_then_installs_what_that_needs(needed: str, tmp_path: Path) -> None:
    """It installed first, and whatever was to be done."""
    made = make_campaign(tmp_path, needed, 'echo "pip $*"')
    said = made.communicate(timeout=PATIENCE)[0].splitlines()
    assert made.returncode == 0
    expected = ["will do"]
    if ".venv-campaign" in needed:
        expected += ["== installing requirements-campaign.txt into .venv-campaign (once, 0.3 GB)"]
        expected += ["pip install --quiet -r requirements-campaign.txt"]
    if ".style" in needed:
        expected += ["== installing requirements-style.txt into .venv (once)"]
        expected += ["pip install --quiet -r requirements-style.txt"]
    expected += ["works: -m atlib.campaign run --blocks b --jobs 2 --announced"] if needed else []
    assert said == expected
    announced = (tmp_path / ".venv" / "announced").read_text(encoding="utf-8")
    assert announced == "-m atlib.campaign run --blocks b --jobs 2 --announce .venv/.campaign\n"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--minutes=-1", "MINUTES = -1.0: must be a number at least 0"),
        ("--jobs=0", "JOBS = 0: must be a whole number at least 1 and at most 10000"),
        ("--threads=0", "THREADS = 0: must be a whole number at least 1 and at most 1024"),
    ],
)
def test_a_limit_out_of_range_is_refused_before_anything_is_announced(
    option: str, message: str, path: Path, capsys: pytest.CaptureFixture
) -> None:
    """It was refused after the announcement and the installation."""
    into = path.parent / "needed"
    assert main(["--grid", str(path), "run", option, "--announce", str(into)]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n") and not into.exists()


def test_a_signal_to_make_ends_what_it_installs(tmp_path: Path) -> None:
    """pip went on for half a minute after make had ended."""
    note = tmp_path / "pid"
    made = make_campaign(
        tmp_path, ".venv-campaign/.complete", f"echo $$ > {note}.part; mv {note}.part {note}; exec sleep 600"
    )
    until(note.is_file, made)
    made.terminate()
    assert made.wait(PATIENCE) != 0
    pid, end = int(note.read_text(encoding="utf-8")), time.time() + 5
    while left := Path(f"/proc/{pid}").exists():
        if time.time() > end:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.05)
    assert not left and not (tmp_path / ".venv-campaign" / ".complete").exists()


def test_what_a_campaign_needs_is_named_before_it_is_installed(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """On a fresh machine it left out half of the styles, since requirements-style.txt wasn't installed."""
    into = path.parent / "needed"
    monkeypatch.setattr(style.stylists, "PACKAGE", "not_there")
    needs.obstacle.cache_clear()
    path.write_text("t: {common: {dataset: cifar10, width: 4}, runs: [{model: normal}]}", encoding="utf-8")
    assert running.announce("", into, path=path) == 0
    said = capsys.readouterr().out
    assert (
        "  and the test set of cifar10 at 32 pixels to stylise: generated-ghiasi\n" in said and "needs not_" not in said
    )
    assert into.read_text(encoding="utf-8") == ".venv-campaign/.complete .venv/.style"
    assert "stylised/cifar10/32/generated-ghiasi" not in needs.find(grid.load(path)).stylised  # nobody installs it
    monkeypatch.undo()
    needs.obstacle.cache_clear()


def test_nothing_is_needed_where_nothing_is_to_do(path: Path, capsys: pytest.CaptureFixture) -> None:
    path.write_text("t: {common: {dataset: shapes, width: 4}, runs: [{model: normal}]}", encoding="utf-8")
    published(grid.load(path)[0])
    assert running.announce("", path.parent / "needed", path=path) == 0
    assert (path.parent / "needed").read_text(encoding="utf-8") == ""
    assert capsys.readouterr().out == "1 run is done, 0 to do\n"


def test_what_is_measured_again_after_a_stop_is_named_with_the_work_that_is_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGD begins again at its first step; everything that was written stays."""
    robust, normal, _ = planned = grid.load(path)
    todo = needs.find(planned).todo
    write_json(robust.folder / "training.json", {})
    record = robust.folder / "evaluation.json"
    write_json(record, {"measurements": {"clean@": {}}})
    os.utime(record, (time.time() - 200, time.time() - 200))
    monkeypatch.setattr(grid, "held", lambda folder: 4000.0 if folder in (robust.folder, normal.folder) else None)
    (line,) = announcing.lost(todo)  # a training keeps its checkpoint
    assert line == f"  {robust.run}: pgd-linf@8 is measured again from its beginning (3 min 20 s of work)"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"slots": 0}, "JOBS = 0: must be a whole number at least 1 and at most 10000"),
        ({"threads": 0}, "THREADS = 0: must be a whole number at least 1 and at most 1024"),
        ({"minutes": -1}, "MINUTES = -1: must be a number at least 0"),
        ({"profile": "slrum"}, "PROFILE = 'slrum': must be one of local, slurm (did you mean 'slurm'?)"),
        ({"blocks": "x"}, "BLOCKS = 'x': must be one of t"),
    ],
)
def test_bad_arguments(given: dict, message: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SNAKEMAKE", path)  # a file that is there
    with pytest.raises(InputError) as error:
        running.run(**given, path=path)
    assert str(error.value) == message


def test_without_snakemake_it_says_how_to_get_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SNAKEMAKE", path.parent / "absent")
    with pytest.raises(InputError, match="absent: not there; `make campaign` installs it"):
        running.run(path=path)


@pytest.mark.parametrize("name", ["RESULTS", "RUNS"])
def test_a_folder_that_may_not_be_written_is_named_before_any_work(
    name: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SNAKEMAKE", path)
    (path.parent / "file").touch()
    monkeypatch.setenv(f"ATLIB_{name}", str(path.parent / "file" / "folder"))  # root may write anywhere but there
    with pytest.raises(InputError, match=r"file/folder: can't be written \(Not a directory\)$"):
        running.run(path=path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full")
def test_a_full_disk_leaves_one_line_and_loses_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    normal = grid.load(path)[1]
    write_json(normal.folder / "config.json", {"there": "before"})

    def full(*_: object, **__: object) -> None:
        with open("/dev/full", "wb", buffering=0) as device:
            device.write(b"0")

    monkeypatch.setattr(doing, "execute", full)
    assert doing.job("train", normal.run, [normal]) == 1
    assert "No space left on device" in read_json(normal.folder / "failed.json")["error"]
    assert read_json(normal.folder / "config.json") == {"there": "before"}


@pytest.mark.parametrize("commit", ["unknown", "0123abc-dirty"])
def test_uncommitted_code_is_refused_before_anything_is_computed(
    commit: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else hours later publishing refuses the rows, and they stay in the run's folder for good."""
    monkeypatch.setattr(running, "SNAKEMAKE", path)
    monkeypatch.setenv("ATLIB_COMMIT", commit)
    said = f"code of commit {commit!r}: rows are published only from committed code"
    with pytest.raises(InputError, match=said):
        running.run(path=path)
    normal = grid.load(path)[1]
    monkeypatch.setattr(doing, "execute", lambda *_: pytest.fail("it has begun"))
    assert doing.job("run", normal.run, [normal]) == 1
    assert read_json(normal.folder / "failed.json")["error"].startswith(said)


def test_a_measurement_that_fails_keeps_no_other_from_being_published(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    normal = grid.load(path)[1]
    steps = []

    def advance(step: str, *_: object) -> None:
        steps.append(step)
        if step == "evaluate":
            raise NetworkError("run = 'r': maps@clean@: the network answers NaN")

    monkeypatch.setattr(doing, "advance", advance)
    assert doing.job("run", normal.run, [normal]) == 1
    assert steps == ["train", "evaluate", "publish"]
    found = read_json(normal.folder / "failed.json")
    assert found["job"] == "evaluate" and found["error"].endswith("the network answers NaN")


def test_a_training_that_fails_is_not_taken_for_a_measurement(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    normal = grid.load(path)[1]
    steps = []

    def advance(step: str, *_: object) -> None:
        steps.append(step)
        raise NetworkError("model: its outputs are NaN")

    monkeypatch.setattr(doing, "advance", advance)
    assert doing.job("run", normal.run, [normal]) == 1
    assert steps == ["train"]
    assert read_json(normal.folder / "failed.json")["job"] == "train"


def test_a_run_that_results_could_not_take_is_refused_before_it_is_trained(path: Path) -> None:
    normal = grid.load(path)[1]
    other = replace(normal.config, batch=normal.config.batch or 64, steps=9, seed=2)
    name = other.run
    record = {"config": asdict(other), "training": {"run": name, "recipe": other.recipe}}
    write_json(results_dir() / f"{name}.json", record)
    with pytest.raises(InputError, match=rf"^{normal.run}: differs from the published {name} in steps \(None, not 9\)"):
        needs.find([normal])


def test_a_run_folder_of_another_version_gets_one_line(path: Path) -> None:
    with pytest.raises(
        InputError, match=r"^r: made by another version of atlib \(momentum unknown\); use that, or train again$"
    ):
        config_of({"dataset": "shapes", "momentum": 0.9}, "r")
    with pytest.raises(InputError, match=r"^r: made by another version of atlib \(attack shift unknown\)"):
        config_of({"dataset": "shapes", "attack": "shift"}, "r")


def test_the_parameters_of_every_planned_run_give_that_run() -> None:
    for planned in grid.load():
        if planned.needs or planned.config.weights:
            continue  # they ask for a run or a file that is not here
        given = doing.parameters(planned.config)
        history = [
            " = ".join((*jobs.choices(), "0")),
            "# Parameters\n" + "\n".join(f"{name} = {value!r}" for name, value in given.items()),
        ]
        defaults = {name: getattr(Config(), name) for name in jobs.choices()}
        assert jobs.train_config(defaults | given, history) == planned.config


def test_stamps_say_what_is_done_and_nothing_else(path: Path) -> None:
    robust, normal, _ = planned = grid.load(path)
    write_json(robust.folder / "training.json", {})
    folder = running.stamps(needs.find(planned).todo)
    assert [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()] == [f"{robust.run}/trained"]
    (robust.folder / "training.json").unlink()
    write_json(normal.folder / "training.json", {})
    running.stamps(needs.find(planned).todo)
    assert [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()] == [f"{normal.run}/trained"]


def test_a_scheduler_that_fails_is_said_and_is_no_success(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(running, "SNAKEMAKE", Path("/bin/false"))
    assert running.run(path=path) == 1
    assert "error: Snakemake ended with status 1; what it said is above" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"^PROFILE = 'no/such': must be a folder with a config.yaml$"):
        running.run(path=path, profile="no/such")


def test_a_scheduler_that_is_killed_is_no_success(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """The machine may run out of memory: its status is then a signal's number, below zero."""
    program = tmp_path / "snakemake"
    program.write_text("#!/bin/sh\nkill -KILL $$\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(running, "SNAKEMAKE", program)
    assert running.run(path=path) == 1
    assert "error: Snakemake ended with status -9; what it said is above" in capsys.readouterr().err


UNDERFIT = "t: {common: {width: 4}, runs: [{model: [normal, pgd-linf-8]}, {model: underfit, match: pgd-linf-8}]}"


def published(planned: grid.Planned, *, without: str = "") -> None:
    """Put rows of a run that was trained elsewhere into results/, all or without a measurement."""
    places: dict[str, dict] = {place: {} for place in evaluation.expected(planned.config) if place != without}
    record = {"config": asdict(planned.config), "training": {"run": planned.run, "recipe": planned.config.recipe}}
    write_json(results_dir() / f"{planned.run}.json", record | {"evaluation": {"measurements": places}})
    (results_dir() / f"{planned.run}.csv").touch()


def test_of_published_runs_only_the_snapshots_of_the_normal_one_are_needed(path: Path) -> None:
    """An underfit control is matched to an accuracy that is in the published record, and cut from snapshots."""
    path.write_text(UNDERFIT, encoding="utf-8")
    normal, target, underfit = planned = grid.load(path)
    assert underfit.after == (target.run, normal.run) and normal.after == ()
    first = needs.find(planned)
    assert [(need.run, need.train, need.after) for need in first.todo] == [
        (normal.run, True, ()), (target.run, True, ()), (underfit.run, True, (target.run, normal.run)),
    ]  # fmt: skip
    published(normal)
    published(target, without="conflict@")  # nor is it trained again for what was added later
    found = needs.find(planned)
    assert [(need.run, need.train, bool(need.measure), need.after) for need in found.todo] == [
        (normal.run, True, False, ()), (underfit.run, True, True, (normal.run,)),
    ]  # fmt: skip
    assert found.done == (normal,) and found.left == (target,)
    folder = running.stamps(found.todo)
    assert (folder / normal.run / "published").exists() and not (folder / normal.run / "trained").exists()
    (one, two) = read_json(snapshot.write(found.todo))["jobs"]
    assert (one["publish"], two["publish"], two["after"]) == (False, True, [normal.run])
    said = "\n".join([*announcing.actions(found), *announcing.omissions(found)])
    assert said.startswith("1 run is done, 1 to do\n  block t: 1 to train and measure: underfit\n")
    assert f"  and {normal.run} to train: underfit controls are cut from its snapshots, which aren't here\n" in said
    left = f"published runs that lack measurements and whose weights aren't under {runs_dir()} (1: {target.run})"
    assert f"left as they are: {left}" in said
    write_json(normal.folder / "training.json", {})  # its snapshots are here
    assert [need.run for need in needs.find(planned).todo] == [underfit.run]
    write_json(target.folder / "training.json", {})  # and so are the target's weights
    assert [(need.run, need.train, need.measure) for need in needs.find(planned).todo][:1] == [
        (target.run, False, ("conflict@",))
    ]


def test_runs_of_other_blocks_are_trained_and_not_measured(path: Path) -> None:
    path.write_text(
        "t: {common: {width: 4}, runs: [{model: [normal, pgd-linf-8]}]}\n"
        "u: {common: {width: 4}, runs: [{model: underfit, match: pgd-linf-8}]}",
        encoding="utf-8",
    )
    found = needs.find(grid.select(grid.load(path), "u"), ["u"])
    assert [(need.planned.config.model, need.train, bool(need.measure)) for need in found.todo] == [
        ("normal", True, False), ("pgd-linf-8", True, False), ("underfit", True, True),
    ]  # fmt: skip


def test_the_cost_is_of_what_is_missing_and_says_on_what_it_was_measured(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(UNDERFIT, encoding="utf-8")
    normal, target, _ = planned = grid.load(path)
    each = plan.Work(1.0, 10.0, 100.0)
    monkeypatch.setattr(plan, "seconds", lambda what, precision, rounds: each)
    published(normal)
    published(target, without="conflict@")
    write_json(normal.folder / "training.json", {})
    write_json(target.folder / "training.json", {})
    again, underfit = needs.find(planned).todo
    assert plan.hours_of(again) == 1000 / 3600  # a forward of each test picture
    assert plan.hours_of(underfit) == plan.product(plan.evaluation_work(underfit.planned.config), each) / 3600
    line = announcing.cost(needs.find(planned))
    here = f"one core of {provenance.processor()} (measured just now: training in fp32, measuring in fp32)"
    assert line.startswith("cost: roughly ") and here in line


def test_a_block_costs_what_the_plan_says_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a campaign said and what results/plan.csv holds differed twofold."""
    runs = sum(p.block == "noise" for p in grid.load())
    columns = "block,runs,core_hours,precision,processor\n"
    results_dir().mkdir(parents=True)
    (results_dir() / "plan.csv").write_text(f"{columns}noise,{runs},24.9,fp32,an abacus\n", encoding="utf-8")
    planned = grid.select(grid.load(), "noise")
    monkeypatch.setattr(needs, "out_of_reach", lambda p, installing=False: {})  # styles among them
    found = needs.find(planned, ["noise"])
    cost = plan.estimate(found.todo)
    assert cost[1:] == ("an abacus", "fp32", "results/plan.csv") and cost.hours == pytest.approx(24.9)
    here = f"`make plan` measures this one, {provenance.processor()}"
    source = f"results/plan.csv: training in fp32, measuring in fp32; {here}"
    assert announcing.cost(found).startswith(f"cost: roughly 24.9 hours of one core of an abacus ({source})")
    for need in found.todo[1:]:
        published(need.planned)
    (one,) = needs.find(planned, ["noise"]).todo
    part = plan.operations_of(*plan.work_of(one), one.planned.config)
    every = [plan.operations_of(*plan.work_of(need), need.planned.config) for need in found.todo]
    assert plan.estimate([one]).hours == pytest.approx(24.9 * part / sum(every))
    monkeypatch.setattr(plan, "seconds", lambda what, precision, rounds: plan.Work(1.0, 10.0, 100.0))
    (results_dir() / "plan.csv").write_text(f"{columns}noise,3,24.9,fp32,an abacus\n", encoding="utf-8")
    assert plan.estimate([one]).source == "measured just now"  # the grid has grown since


def test_a_published_run_may_be_matched_where_it_was_not_trained() -> None:
    name = "shapes/pgd-linf-8-w4-s1-00000000"
    write_json(results_dir() / f"{name}.json", {"training": {"holdout_accuracy": 0.7}})
    assert resolve(attack="none", match=name).match == name and target_accuracy(name) == 0.7


STYLED = """
t:
  title: pictures
  common: {dataset: cifar10, width: 4, precision: fp32, epochs: 1, batch: 16}
  runs:
    - {model: normal, seed: 1}
"""


@pytest.fixture
def pictures(path: Path, few_pictures: None) -> grid.Planned:
    """A run on a data set of a few pictures that has stylised test sets."""
    path.write_text(STYLED, encoding="utf-8")
    needs.obstacle.cache_clear()
    (planned,) = grid.load(path)
    return planned


def test_what_stands_in_the_way_of_stylised_sets(pictures: grid.Planned, path: Path) -> None:
    ways = needs.stylised_sets(pictures.config)
    assert [name.removeprefix("stylised/cifar10/32/") for name in ways] == sorted(style.LEVELS)
    assert [bool(line) for line in ways.values()] == [False, True, True, True]  # of generated-ghiasi: nothing
    assert set(needs.out_of_reach(pictures)) == {
        "stylised@generated-microast", "stylised@paintings-ghiasi", "stylised@paintings-microast",
        "maps@stylised@paintings-ghiasi",
    }  # fmt: skip
    (job,) = json.loads(snapshot.write(needs.find([pictures]).todo).read_text(encoding="utf-8"))["jobs"]
    assert job["stylised"] == ["stylised/cifar10/32/generated-ghiasi"]
    # not for a run whose measurements on them are published: a set that no pending run needs isn't made
    published(pictures, without="clean@")
    write_json(pictures.folder / "training.json", {})
    (need,) = needs.find([pictures]).todo
    assert (need.measure, need.stylised) == (("clean@",), ())
    published(pictures)
    assert needs.find([pictures]).todo == () and needs.find([pictures]).stylised == ()
    shapes = resolve()
    assert needs.stylised_sets(shapes) == {} and evaluation.lacking(shapes) == {}


@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_job_that_runs_a_notebook_takes_no_torch(kind: str, path: Path) -> None:
    """Beside the notebook's kernel, which has it, a job would need twice the memory for as long as a network trains."""
    path.write_text("t: {common: {dataset: shapes, width: 4}, runs: [{model: normal}]}", encoding="utf-8")
    (planned,) = grid.load(path)
    file = snapshot.write(needs.find([planned]).todo)
    code = (
        "import sys\n"
        "from atlib.campaign import __main__, doing\n"
        "doing.execute = lambda notebook, folder, given: print(notebook, 'torch' in sys.modules)\n"
        "status = __main__.main(['job', *sys.argv[1:]])\n"
        "print(status, 'torch' in sys.modules)\n"
    )
    if kind == "evaluate":
        write_json(planned.folder / "training.json", {})
    words = [sys.executable, "-c", code, kind, planned.run, "--snapshot", str(file)]
    done = subprocess.run(words, capture_output=True, encoding="utf-8", env=os.environ | {"ATLIB_COMMIT": "test"})
    assert done.stdout == f"{int(kind == 'train')} False\n", done.stderr  # 1: it failed, since nothing was trained
    assert (planned.folder / doing.LOG).read_text(encoding="utf-8") == f"{kind} False\n"
