"""The campaign: bring every run of the grid to its published rows, on one machine or on a cluster.

    python -m atlib.campaign status [--blocks a,b]
    python -m atlib.campaign run [--blocks a,b] [--jobs 1] [--threads 2] [--minutes 150] [--profile slurm]
    python -m atlib.campaign job data|stylise|train|evaluate|publish NAME        (what workflow/Snakefile calls)

Snakemake schedules. The jobs are the papermill notebooks and may be stopped or killed at any moment: what a run has
done lies in its folder, so that Snakemake's own outputs are mere stamps, made anew from the folders at each start.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from .. import data, evaluation, rows, style
from ..choices import ATTACKS, BELONGS
from ..configuration import Config
from ..errors import InputError, command_line, in_range, one_of
from ..files import (
    REPOSITORY,
    checkout_path,
    data_dir,
    hold_for_children,
    read_json,
    results_dir,
    runs_dir,
    writable,
    write_json,
)
from . import grid, jobs, publishing

SNAKEFILE = REPOSITORY / "workflow" / "Snakefile"
SNAKEMAKE = REPOSITORY / ".venv-campaign" / "bin" / "snakemake"
PROFILES = REPOSITORY / "workflow" / "profiles"
JOBS = ("data", "stylise", "train", "evaluate", "publish")
STOPPED = 75  # exit status of a job that was stopped and goes on next time (EX_TEMPFAIL)
SECONDS_TO_STOP = 30.0  # a job that has been told to stop is killed after these


# --- One job ---------------------------------------------------------------------------------------------------------


def parameters(config: Config) -> dict[str, object]:
    """The parameters of train.ipynb that give this configuration: all that apply to its attack."""
    applies = {name: value for name, value in asdict(config).items() if name in jobs.choices() and value is not None}
    return {name: v for name, v in applies.items() if config.attack in BELONGS.get(name, ATTACKS)}


def watch(parent: int, deadline: float, stopping: threading.Event) -> None:
    """End this job when the deadline has come, or the process that started it has gone (it was killed).

    The notebook's kernel is a process group of its own, which no signal to ours reaches: nbclient's handler ends it,
    or, if we have to go by force, it notices that by itself.
    """
    while time.time() < deadline and os.getppid() == parent:
        time.sleep(0.5)
    stopping.set()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(SECONDS_TO_STOP)
    os._exit(STOPPED)


def execute(notebook: str, folder: Path, given: dict[str, object]) -> None:
    """Run a job notebook into a folder; its output, with the traceback of a failure, is kept there."""
    import papermill

    folder.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(
        checkout_path("notebooks") / f"{notebook}.ipynb",
        folder / f"{notebook}.ipynb",
        parameters=given,
        progress_bar=False,
        cwd=REPOSITORY,
    )


def job(kind: str, name: str, planned: Sequence[grid.Planned]) -> int:
    """Do one job; the exit status. A failure leaves failed.json with its last line in the run's folder."""
    one_of("job", kind, JOBS)
    if kind == "data":
        for side in {p.config.side for p in planned if p.config.dataset == name}:
            data.load(name, side=side, progress=False)
        return 0
    wanted = {p.run: p for p in planned}
    if kind != "stylise":
        one_of("run", name, list(wanted))
    failure = runs_dir() / (f".campaign/{name}" if kind == "stylise" else name) / "failed.json"
    failure.unlink(missing_ok=True)
    stopping = threading.Event()
    deadline = float(os.environ.get("ATLIB_DEADLINE") or "inf")
    threading.Thread(target=watch, args=(os.getppid(), deadline, stopping), daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))  # until nbclient takes it over
    try:
        _stylise(name) if kind == "stylise" else _do(kind, wanted[name])
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:
        if stopping.is_set() or stop_file().exists():
            return STOPPED  # papermill has lost its kernel because we were told to stop
        line = last_line(error)
        write_json(failure, {"job": kind, "error": line, "time": time.strftime("%Y-%m-%d %H:%M:%S")})
        print(f"failed: {kind} {name}: {line}", file=sys.stderr, flush=True)
        return 1
    return 0


def _stylise(name: str) -> None:
    """Make a stylised test set. name: stylised/DATASET/SIDE/LEVEL, as `stylised_sets` has it."""
    _, dataset, side, level = name.split("/")
    styles, _, stylist = level.rpartition("-")
    given = {"dataset": dataset, "side": int(side), "styles": styles, "stylist": stylist}
    execute("stylise", runs_dir() / ".campaign" / name, given)


def _do(kind: str, planned: grid.Planned) -> None:
    folder = planned.folder
    end = time.time() + SECONDS_TO_STOP
    while grid.held(folder) is not None and time.time() < end:
        time.sleep(0.5)  # a job of a campaign that was killed ends by itself, soon
    if kind == "train" and not grid.trained(planned):
        execute("train", folder, parameters(planned.config))
        if not grid.trained(planned):
            raise InputError(f"{folder}: the notebook trained another run than the grid's; see train.ipynb there")
    if kind == "evaluate" and not grid.evaluated(planned):
        execute("evaluate", folder, {"run": str(folder)})
    if kind == "publish" and not grid.published(planned, evaluation.lacking(planned.config)):
        publishing.publish(folder)
        clean = grid.accuracies(rows.read_rows(folder / "rows.csv"))
        print(f"published {planned.run}: {clean} % clean/under PGD", flush=True)


def last_line(error: Exception) -> str:
    """What went wrong, in one line."""
    lines = str(error).strip().splitlines()
    if type(error).__name__ == "DeadKernelError":
        return "the notebook's kernel died: stopped or killed from outside, or out of memory"
    return lines[-1] if lines else type(error).__name__


def stop_file() -> Path:
    """There while a campaign has been told to stop: what then becomes of its jobs is no failure."""
    return runs_dir() / ".campaign" / "stop"


# --- The whole -------------------------------------------------------------------------------------------------------


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


def stylised_sets(config: Config) -> dict[str, str]:
    """The stylised test sets that a run still wants to be shown: stylised/DATASET/SIDE/LEVEL, and what stands in the
    way of making each here (empty: nothing)."""
    levels = sorted({place.rpartition("@")[2] for place in evaluation.lacking(config) if "stylised@" in place})
    if config.dataset.startswith("folder:"):  # its name is a path, which can't be part of another
        line = f"dataset = {config.dataset!r}: a campaign stylises named data sets; use notebooks/stylise.ipynb"
        return {f"stylised/{data.slug(config.dataset)}/{config.side}/{level}": line for level in levels}
    return {f"stylised/{config.dataset}/{config.side}/{level}": obstacle(level) for level in levels}


obstacle = functools.cache(style.obstacle)


def out_of_reach(planned: grid.Planned) -> set[str]:
    """Measurements of a run that this campaign can't take, since a stylised test set can't be made here."""
    blocked = {name.rpartition("/")[2] for name, line in stylised_sets(planned.config).items() if line}
    return {place for place in evaluation.lacking(planned.config) if place.rpartition("@")[2] in blocked}


def finished(planned: grid.Planned) -> bool:
    """Whether everything that can be measured here is published."""
    return grid.published(planned, out_of_reach(planned))


def stamps(planned: Sequence[grid.Planned]) -> Path:
    """Snakemake's outputs as they ought to be: a stamp for each thing that is done, and no other."""
    folder = runs_dir() / ".campaign" / "stamps"
    # an underfit run is cut from the normal one's snapshots, which are in its folder and not among what is published
    sources = {p.after[-1] for p in planned if p.after and not finished(p)}
    for p in planned:
        done = {"published": finished(p)}
        done["evaluated"] = done["published"] or grid.evaluated(p, out_of_reach(p))
        done["trained"] = grid.trained(p) or (done["evaluated"] and p.run not in sources)
        for name, is_done in done.items():
            stamp = folder / p.run / name
            if is_done:
                stamp.parent.mkdir(parents=True, exist_ok=True)
                stamp.touch()
            else:
                stamp.unlink(missing_ok=True)
    # whether a data set or a stylised test set is there is its job's to say, in no time if it is
    for stamp in (*folder.glob("*.data"), *folder.glob("stylised/*/*/*")):
        stamp.unlink()
    return folder


def snapshot(planned: Sequence[grid.Planned]) -> Path:
    """The jobs of this campaign as a file: what Snakemake reads, everywhere, though the grid be edited meanwhile."""
    known = {p.run for p in planned}
    content = [
        {"run": p.run, "dataset": p.config.dataset, "needs": p.needs, "rank": p.rank, "block": p.block}
        | {"config": asdict(p.config), "after": [run for run in p.after if run in known]}
        | {"stylised": [name for name, line in stylised_sets(p.config).items() if not line]}
        for p in planned
    ]
    path = (runs_dir() / ".campaign" / "jobs.json").resolve()  # Snakemake works in another folder
    write_json(path, {"jobs": content})
    return path


def from_snapshot(path: Path) -> list[grid.Planned]:
    """What `snapshot` wrote."""
    jobs = read_json(path)["jobs"]
    return [grid.Planned(j["block"], j["rank"], Config(**j["config"]), j["needs"]) for j in jobs]


def command(planned: Sequence[grid.Planned], profile: str, slots: int, threads: int) -> list[str]:
    """Snakemake's command line."""
    path = snapshot(planned)
    there = str(Path(profile).resolve() if os.sep in profile else PROFILES / profile)
    most = ["--cores", str(slots * threads)] if profile == "local" else ["--jobs", str(slots)]
    config = {"jobs": str(path), "python": sys.executable, "threads": str(threads)}
    return [
        str(SNAKEMAKE), "--snakefile", str(SNAKEFILE), "--directory", str(path.parent), "--profile", there, *most,
        "--config", *(f"{key}={value}" for key, value in config.items()),
    ]  # fmt: skip


def run(
    blocks: str = "",
    *,
    slots: int = 1,
    threads: int = 2,
    minutes: float = 0,
    profile: str = "local",
    path: Path | None = None,
) -> int:
    """Train, measure and publish what the chosen blocks lack; 0 if nothing failed, 1 otherwise.

    blocks: "a,b"; empty: every block that need not be asked for. slots: jobs at a time, of `threads` each. minutes: the
    jobs are stopped after these, to go on with the next call (0: no limit). profile: a folder in workflow/profiles, or
    a path. InputError, before any work, for what can't be done.
    """
    in_range("JOBS", slots, 1, 10_000, whole=True)
    in_range("THREADS", threads, 1, 1024, whole=True)
    in_range("MINUTES", minutes, 0)
    checkout_path("workflow")
    if os.sep not in profile:
        one_of("PROFILE", profile, sorted(p.name for p in PROFILES.iterdir()))
    elif not (Path(profile) / "config.yaml").is_file():
        raise InputError(f"PROFILE = {profile!r}: must be a folder with a config.yaml")
    if not SNAKEMAKE.is_file():
        raise InputError(f"{SNAKEMAKE}: not there; `make campaign` installs it")
    planned = grid.select(grid.load(path), blocks)
    writable(results_dir())
    writable(runs_dir())
    with alone() as lock:
        stop_file().unlink(missing_ok=True)
        stamps(planned)
        todo = [p for p in planned if not finished(p)]
        print(f"{len(planned) - len(todo)} of {len(planned)} runs are done, {len(todo)} to do", flush=True)
        blocked = {line for p in planned for line in stylised_sets(p.config).values() if line}
        for line in sorted(blocked):
            print(f"left out, some stylised test sets: {line}", flush=True)
        if not todo:
            return 0
        deadline = time.time() + 60 * minutes if minutes else float("inf")
        status = schedule(command(planned, profile, slots, threads), deadline, lock)
        failed = summary(planned)
    if status and not failed:
        print(f"error: Snakemake ended with status {status}; what it said is above", file=sys.stderr)
    return int(failed or status > 0)


def schedule(words: Sequence[str], deadline: float, lock: int) -> int:
    """Run Snakemake until it ends, the deadline comes, or this process is told to stop; its status, 0 if it was."""
    environment = os.environ | {"ATLIB_DEADLINE": str(deadline), "PYTHONUNBUFFERED": "1"}
    for name, folder in {"RUNS": runs_dir(), "RESULTS": results_dir(), "DATA": data_dir()}.items():
        environment[f"ATLIB_{name}"] = str(folder.resolve())  # jobs work in other folders
    children: list[subprocess.Popen] = []
    stopped = False

    def told(*_: object) -> None:
        nonlocal stopped
        stopped = True
        stop_file().touch()
        for child in children:
            os.killpg(child.pid, signal.SIGINT)  # Snakemake cancels what it has submitted; jobs on this machine stop

    # before the child is born: from a shell's background it would inherit that Ctrl-C is ignored
    before = {number: signal.signal(number, told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        child = subprocess.Popen(words, env=environment, pass_fds=(lock,), process_group=0)
        children.append(child)
        while child.poll() is None:
            time.sleep(0.2)
            if time.time() > deadline:
                stopped = True
                print("the time is over: the jobs are stopped, the next call goes on", flush=True)
                child.send_signal(signal.SIGTERM)  # no further job; the running ones stop themselves at the deadline
                try:
                    child.wait(SECONDS_TO_STOP + 30)
                except subprocess.TimeoutExpired:  # jobs that wait in a queue
                    told()
                child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if stopped else child.returncode


def summary(planned: Sequence[grid.Planned]) -> int:
    """Print what came of it; 1 if a run failed."""
    table = grid.status(list(planned))
    counts = table["state"].value_counts()
    print(", ".join(f"{counts.get(name, 0)} {name}" for name in grid.STATES), flush=True)
    for line in table[table["state"] == "failed"].to_dict("records"):
        print(f"{line['run']}: {line['text']} (notebook in {runs_dir() / line['run']})", flush=True)
    return int(counts.get("failed", 0) > 0)


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(prog="python -m atlib.campaign", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--grid", type=Path, help="another grid than workflow/grid.yaml")
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("status", help="how far each run of the grid has come")
    one.add_argument("--blocks", default="")
    one = commands.add_parser("run", help="train, measure and publish what is missing")
    one.add_argument("--blocks", default="")
    one.add_argument("--jobs", type=int, default=1, help="at a time")
    one.add_argument("--threads", type=int, default=2, help="of each job")
    one.add_argument("--minutes", type=float, default=0, help="stop after these")
    one.add_argument("--profile", default="local")
    one = commands.add_parser("job", help="one job of a campaign")
    one.add_argument("kind", choices=JOBS)
    one.add_argument("name")
    one.add_argument("--snapshot", type=Path, required=True)
    given = parser.parse_args(arguments)
    if given.command == "status":
        table = grid.status(grid.select(grid.load(given.grid), given.blocks))
        print(grid.wide(table).to_string(index=False))
        counts = table["state"].value_counts()
        print(", ".join(f"{counts.get(name, 0)} {name}" for name in grid.STATES))
    elif given.command == "run":
        limits = {"slots": given.jobs, "threads": given.threads, "minutes": given.minutes}
        return run(given.blocks, **limits, profile=given.profile, path=given.grid)
    else:
        return job(given.kind, given.name, from_snapshot(given.snapshot))
    return 0


if __name__ == "__main__":
    sys.exit(main())
