"""A campaign on a real SLURM, started on this machine for the test: Debian's slurm-wlm and munge, as root.

Skipped where they are not installed; with ATLIB_REQUIRE=slurm that is a failure.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from atlib.campaign import grid, needs, running
from atlib.files import REPOSITORY, read_json
from atlib.rows import load

CONF = Path("/etc/slurm/slurm.conf")  # SLURM_CONF is not enough: srun inside a job doesn't have it
PROGRAMS = ("slurmctld", "slurmd", "sinfo", "munged", "runuser")


def left_behind(conf: Path) -> bool:
    """Whether `conf` is this test's own link, left by a run of it that was killed: nothing of SLURM uses it now."""
    if not conf.is_symlink():
        return False
    home = conf.readlink().parent
    ours = home.name.startswith("test_a_job_that_fails") and home.parent.name.startswith("pytest-")
    return ours and not said("pgrep", "-x", "slurmctld|slurmd")


@pytest.mark.skipif(shutil.which("pgrep") is None, reason="pgrep is not installed (apt install procps)")
def test_only_its_own_leftover_is_taken_away(tmp_path: Path) -> None:
    conf = tmp_path / "slurm.conf"
    assert not left_behind(conf)
    conf.symlink_to("/tmp/pytest-of-root/pytest-7/test_a_job_that_fails_one_that0/slurm.conf")
    assert left_behind(conf) == (not said("pgrep", "-x", "slurmctld|slurmd"))
    conf.unlink()
    conf.symlink_to("/cm/shared/slurm/slurm.conf")
    assert not left_behind(conf)
    conf.unlink()
    conf.write_text("ClusterName=theirs\n")
    assert not left_behind(conf)


def lacking() -> str:
    """Why SLURM can't be started here, or nothing."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if absent:
        return f"{', '.join(absent)} not installed (apt install slurm-wlm munge)"
    if os.geteuid():
        return "SLURM's daemons need root"
    if (CONF.exists() or CONF.is_symlink()) and not left_behind(CONF):
        return f"{CONF} is there: this machine has a SLURM of its own, which the test leaves alone"
    return "" if running.SNAKEMAKE.is_file() else f"{running.SNAKEMAKE} not installed (make campaign)"


def wait_for(what: str, done: Callable[[], bool], seconds: float = 600) -> None:
    end = time.time() + seconds
    while not done():
        if time.time() > end:
            pytest.fail(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.3)


def said(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def slurm(tmp_path: Path, lacks: Callable[[str, str], NoReturn]) -> Iterator[None]:
    """One node with two processors and one partition, on loopback."""
    if why := lacking():
        lacks("slurm", why)
    host, path = os.uname().nodename, os.environ["PATH"]
    os.environ["PATH"] = f"{path}:/usr/sbin"
    for name in ("state", "spool"):
        (tmp_path / name).mkdir()
    (tmp_path / "slurm.conf").write_text(
        f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
StateSaveLocation={tmp_path}/state
SlurmdSpoolDir={tmp_path}/spool
SlurmctldPidFile={tmp_path}/slurmctld.pid
SlurmdPidFile={tmp_path}/slurmd.pid
SlurmctldLogFile={tmp_path}/slurmctld.log
SlurmdLogFile={tmp_path}/slurmd.log
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000
PartitionName=main Nodes={host} Default=YES State=UP
"""
    )
    CONF.parent.mkdir(parents=True, exist_ok=True)
    CONF.unlink(missing_ok=True)  # what a killed run of this test left
    CONF.symlink_to(tmp_path / "slurm.conf")
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    munge_was_there = bool(said("pgrep", "-x", "munged"))
    try:
        if not munge_was_there:
            subprocess.run(["runuser", "-u", "munge", "--", "/usr/sbin/munged"], check=True)
        subprocess.run(["slurmctld", "-c"], check=True)
        subprocess.run(["slurmd"], check=True)
        wait_for("an idle node", lambda: "idle" in said("sinfo", "-h", "-o", "%T"))
        yield
    finally:
        said("scancel", "--full", "--user", "root")
        with contextlib.suppress(BaseException):  # pytest.fail's is no Exception
            wait_for("an empty queue", lambda: not said("squeue", "-h"), 15)
        for name in ("slurmd", "slurmctld", "slurmstepd", *([] if munge_was_there else ["munged"])):
            said("pkill", "-x", name)
        said("pkill", "-KILL", "-f", str(tmp_path))  # a preempted job's Snakemake can outlive its job
        CONF.unlink()
        os.environ["PATH"] = path


PROFILE = """executor: slurm
default-resources: [slurm_partition=main, runtime=20, mem_mb=900]
slurm-status-command: squeue
slurm-no-account: true
slurm-init-seconds-before-status-checks: 2
seconds-between-status-checks: 2
restart-times: 1
scheduler: greedy
keep-going: true
rerun-incomplete: true
rerun-triggers: [mtime]
nolock: true
latency-wait: 5
"""
GRID = """t:
  title: two runs of three jobs each, the second of which fails in its first
  measure: [clean, saturation@1024]
  common: {dataset: cifar10, width: 4, batch: 16, epochs: 120, precision: fp32}
  runs:
    - {model: normal, seed: 1}
    - {model: normal, width: 64, stem: 7x7, weights: absent, seed: 1}
"""


def job_of(pid: int) -> str:
    """The SLURM job that a process belongs to; nothing if it has gone."""
    lines = [line.split() for line in said("scontrol", "listpids").splitlines()]
    return next((line[1] for line in lines if line[0] == str(pid)), "")


def holder(planned: grid.Planned) -> int:
    """The process that trains a run; 0 while it hasn't said so yet."""
    return int((planned.folder / "lock").read_text(encoding="utf-8") or 0)


def at_work(planned: grid.Planned) -> bool:
    """Whether a process of a SLURM job trains a run, and has said so."""
    return grid.held(planned.folder) is not None and job_of(holder(planned)) != ""


def test_a_job_that_fails_one_that_is_killed_and_one_that_is_preempted(
    slurm: None, few_pictures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("runs", "results"):
        monkeypatch.setenv(f"ATLIB_{name.upper()}", str(tmp_path / name))
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile" / "config.yaml").write_text(PROFILE)
    (tmp_path / "grid.yaml").write_text(GRID)
    planned = grid.load(tmp_path / "grid.yaml")
    words = [sys.executable, "-m", "atlib.campaign", "--grid", str(tmp_path / "grid.yaml"), "run"]
    words += ["--jobs", "8", "--threads", "1", "--minutes", "25", "--profile", str(tmp_path / "profile"), "--announced"]
    good, bad = planned  # the good one is long enough to be found at work: first it is killed, then preempted
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        child = subprocess.Popen(words, cwd=REPOSITORY, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for("the run to kill", lambda: at_work(good))
            os.kill(holder(good), signal.SIGKILL)  # its kernel
            wait_for("its failure", (good.folder / "failed.json").exists)
            first = read_json(good.folder / "failed.json")["error"]
            wait_for("its second attempt (restart-times)", lambda: at_work(good))
            job = job_of(holder(good))
            said("scontrol", "requeue", job)
            wait_for("its end", lambda: grid.held(good.folder) is None)
            assert f"JobId={job}" in (shown := said("scontrol", "show", "job", job)) and "Restarts=1" in shown
            wait_for("its place in the queue", lambda: job in said("squeue", "-h", "-t", "PENDING", "-o", "%i").split())
            said("scontrol", "update", f"JobId={job}", "StartTime=now")  # SLURM would wait two minutes
            child.wait(timeout=1800)
        finally:
            child.terminate()
            child.wait()
    text = (tmp_path / "log").read_text(encoding="utf-8")
    table = grid.status(planned).set_index("run")["state"].to_dict()
    assert first.startswith("the notebook's kernel died")
    assert table == {good.run: "done", bad.run: "failed"}, text
    assert not needs.missing(good), text
    why = "weights = 'absent': neither a file"
    assert child.returncode == 1 and why in read_json(bad.folder / "failed.json")["error"]
    rows = load()
    assert set(rows["run"]) == {good.run} and not rows.duplicated(["run", "distortion", "level", "metric"]).any()
    assert why in (bad.folder / "train.ipynb").read_text(encoding="utf-8")
