"""The campaign: bring every run of the grid to its published rows, on one machine or on a cluster.

Snakemake schedules the jobs of `doing`, which may be stopped or killed at any moment: what a run has done lies in its
folder, so that Snakemake's own outputs are mere stamps, made anew from the folders at each start.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from .. import provenance, style, training
from ..errors import InputError, in_range, one_of
from ..files import (
    REPOSITORY,
    checkout_path,
    data_dir,
    hold_for_children,
    results_dir,
    runs_dir,
    writable,
)
from . import announcing, doing, grid, needs, snapshot

SNAKEFILE = REPOSITORY / "workflow" / "Snakefile"
SNAKEMAKE = REPOSITORY / ".venv-campaign" / "bin" / "snakemake"
PROFILES = REPOSITORY / "workflow" / "profiles"


@contextlib.contextmanager
def alone() -> Iterator[int]:
    """Hold the campaign's lock, which ends with the last process that has it: nothing is ever left to unlock by hand.

    Yields its file descriptor, for Snakemake to inherit. A second campaign gets one line.
    """
    note = f"process {os.getpid()} since {time.strftime('%Y-%m-%d %H:%M')}"
    with hold_for_children(
        runs_dir() / ".campaign" / "lock", note, f"{runs_dir()}: a campaign is already running there,"
    ) as lock:
        yield lock


@contextlib.contextmanager
def told_to_stop() -> Iterator[list[int]]:
    """Record SIGINT (Ctrl-C) and SIGTERM in the yielded list instead of ending the process.

    Python's own handler isn't enough: a script's background job ignores SIGINT, so it has none.
    """
    signals: list[int] = []
    before = {n: signal.signal(n, lambda number, _: signals.append(number)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def stamps(todo: Sequence[needs.Need]) -> Path:
    """Snakemake's outputs as they ought to be: a stamp for each thing that is done, and no other."""
    folder = runs_dir() / ".campaign" / "stamps"
    for need in todo:
        done = {"trained": not need.train, "published": not need.measure}
        done["evaluated"] = done["published"] or grid.evaluated(need.planned, needs.out_of_reach(need.planned))
        for name, is_done in done.items():
            stamp = folder / need.run / name
            if is_done:
                stamp.parent.mkdir(parents=True, exist_ok=True)
                stamp.touch()
            else:
                stamp.unlink(missing_ok=True)
    # these jobs check for themselves whether their set is there, and end at once if it is
    for stamp in (*folder.glob("*.data"), *folder.glob("stylised/*/*/*")):
        stamp.unlink()
    return folder


def profile_folder(profile: str) -> Path:
    """The folder of a profile, given by its name in workflow/profiles or as a path. InputError if there is none."""
    if os.sep not in profile:
        one_of("PROFILE", profile, sorted(p.name for p in PROFILES.iterdir()))
        return PROFILES / profile
    if not (Path(profile) / "config.yaml").is_file():
        raise InputError(f"PROFILE = {profile!r}: must be a folder with a config.yaml")
    return Path(profile).resolve()


def is_local(profile: Path) -> bool:
    """Whether a profile's jobs run on this machine; InputError for a config.yaml that Snakemake couldn't read."""
    path = profile / "config.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise InputError(f"{path}: line {mark.line + 1 if mark else '?'}: {error.problem}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:  # UnicodeDecodeError, a date that is none
        raise InputError(f"{path}: not a readable YAML file ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: must hold Snakemake's options by their names")
    return content.get("executor", "local") == "local"


def command(todo: Sequence[needs.Need], profile: Path, slots: int, threads: int) -> list[str]:
    """Snakemake's command line."""
    path = snapshot.write(todo)
    most = ["--cores", str(slots * threads)] if is_local(profile) else ["--jobs", str(slots)]
    config = {"jobs": str(path), "python": sys.executable, "threads": str(threads)}
    return [
        str(SNAKEMAKE), "--snakefile", str(SNAKEFILE), "--directory", str(path.parent), "--profile", str(profile),
        *most, "--config", *(f"{key}={value}" for key, value in config.items()),
    ]  # fmt: skip


def run(
    blocks: str = "",
    *,
    slots: int = 1,
    threads: int = 2,
    minutes: float = 0,
    profile: str = "local",
    path: Path | None = None,
    announced: bool = False,
) -> int:
    """Train, measure and publish what the chosen blocks lack; 0 if nothing failed, 1 if something did.

    blocks: "a,b"; empty: every block that need not be asked for. slots: jobs at a time, of `threads` each. minutes: the
    jobs are stopped after these, to go on with the next call (0: no limit). profile: a folder in workflow/profiles, or
    a path. announced: what will be done has been said (`announce`). A signal that stops it gives 128 and its number, as
    a shell has it. InputError, before any work, for what can't be done, and for unknown or uncommitted code, whose rows
    can't be published.
    """
    check_limits(slots, threads, minutes)
    checkout_path("workflow")
    there = profile_folder(profile)
    local = is_local(there)
    if not SNAKEMAKE.is_file():
        raise InputError(f"{SNAKEMAKE}: not there; `make campaign` installs it")
    provenance.committed()
    planned = grid.select(grid.load(path), blocks)
    writable(results_dir())
    writable(runs_dir())
    with alone() as lock, told_to_stop() as signals:
        doing.stop_file().unlink(missing_ok=True)
        found = needs.find(planned, grid.names(blocks))
        if not announced:
            announcing.say(found, training.device_of_choice() if local else None)
        if not found.todo:
            return 0
        stamps(found.todo)
        deadline = time.time() + 60 * minutes if minutes else float("inf")
        words = command(found.todo, there, slots, threads)
        status = schedule(words, deadline, lock, signals, found.todo, local=local)
        failed = announcing.summary(planned)
    if signals:
        return 128 + signals[0]
    if status and not failed:
        print(f"error: Snakemake ended with status {status}; what it said is above", file=sys.stderr)
    return int(failed or status != 0)  # negative: a signal ended Snakemake


def check_limits(slots: int, threads: int, minutes: float) -> None:
    """InputError for a parameter of `run` that is out of range."""
    in_range("JOBS", slots, 1, 10_000, whole=True)
    in_range("THREADS", threads, 1, 1024, whole=True)
    in_range("MINUTES", minutes, 0)


def announce(
    blocks: str,
    into: Path,
    *,
    slots: int = 1,
    threads: int = 2,
    minutes: float = 0,
    path: Path | None = None,
    profile: str = "local",
) -> int:
    """Say what a campaign will do and what that costs, before anything is installed for it.

    into: a file that gets the Makefile's names of what has to be installed, on one line, empty if nothing is to do.
    The others as for `run`, which would otherwise refuse them only after the installation.
    """
    check_limits(slots, threads, minutes)
    planned = grid.select(grid.load(path), blocks)
    local = is_local(profile_folder(profile))
    found = needs.find(planned, grid.names(blocks), installing=True)
    announcing.say(found, training.device_of_choice() if local else None)
    wanted = [".venv-campaign/.complete"] if found.todo else []
    stylists = {name.rpartition("-")[2] for name in found.stylised}
    if any(style.uninstalled(stylist) for stylist in stylists):
        wanted.append(".venv/.style")
    into.write_text(" ".join(wanted), encoding="utf-8")
    return 0


def schedule(
    words: Sequence[str],
    deadline: float,
    lock: int,
    signals: Sequence[int],
    todo: Sequence[needs.Need] = (),
    *,
    local: bool,
) -> int:
    """Run Snakemake until it ends, the deadline comes, or this process is told to stop; its status, 0 if it was.

    signals: of `told_to_stop`. todo: what it works on. local: its jobs run on this machine.
    """
    if signals:  # before it began
        announcing.stopped(signals, todo)
        return 0
    child = subprocess.Popen(words, env=environment(deadline), pass_fds=(lock,), process_group=0)
    while child.poll() is None and not signals and time.time() < deadline:
        time.sleep(0.2)
    if child.poll() is not None:
        return child.returncode
    announcing.stopped(signals, todo)
    if local:
        stop_here(child)
        return 0
    if not signals:
        child.send_signal(signal.SIGTERM)  # no further job; the running ones stop themselves at the deadline
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(doing.SECONDS_TO_STOP + 30)
    if child.poll() is None:  # jobs run, or wait in a queue
        doing.stop_file().touch()
        os.killpg(child.pid, signal.SIGINT)  # Snakemake cancels what it has submitted
        child.wait()
    return 0


def stop_here(child: subprocess.Popen) -> None:
    """End a scheduler on this machine, and all its jobs.

    Snakemake is killed first: it has nothing to save, and would report at length that its jobs failed. The jobs
    see the stop file.
    """
    doing.stop_file().touch()
    child.kill()
    child.wait()
    doing.all_gone(doing.SECONDS_TO_STOP - 5)
    with contextlib.suppress(ProcessLookupError):  # a job that has just been started, and is in its imports
        os.killpg(child.pid, signal.SIGKILL)


def environment(deadline: float) -> dict[str, str]:
    """What jobs, which work in other folders, have to know."""
    folders = {"RUNS": runs_dir(), "RESULTS": results_dir(), "DATA": data_dir()}
    found = {f"ATLIB_{name}": str(folder.resolve()) for name, folder in folders.items()}
    return os.environ | found | {"ATLIB_DEADLINE": str(deadline), "PYTHONUNBUFFERED": "1"}
