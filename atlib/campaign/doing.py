"""One job of a campaign: a data set, a stylised test set, or what is next for a run.

Whoever schedules, Snakemake (`running`) or a plain loop (`bare`), calls these jobs. As a rule they are the papermill
notebooks; on a bare machine they are the functions that the notebooks call.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import atlib  # modules that take torch are loaded when they are first used: a job that runs a notebook needs no torch

from .. import provenance, rows
from ..configuration import Config
from ..errors import InputError, NetworkError, last_line, one_of
from ..files import REPOSITORY, checkout_path, runs_dir, write_json
from . import grid, jobs, publishing

STEPS = ("train", "evaluate", "publish")  # of a run, in this order
JOBS = ("data", "stylise", *STEPS, "run")  # run: all of STEPS
STOPPED = 75  # exit status of a job that was stopped and goes on next time (EX_TEMPFAIL)
DOES = {"train": "training", "evaluate": "measuring"}  # a step, as the campaign's lines say it
SECONDS_TO_STOP = 30.0  # a job that has been told to stop is killed after these
LOG = "job.log"  # in a run's folder: what its jobs printed


def folder_of(kind: str, name: str) -> Path:
    """Where a job leaves its notebook, its log and the record of its failure."""
    return runs_dir() / (f".campaign/{name}" if kind in ("data", "stylise") else name)


def stop_file() -> Path:
    """The file that exists while a campaign is stopping: jobs end when they see it, which is no failure."""
    return runs_dir() / ".campaign" / "stop"


def presence() -> Path:
    """The lock file on which every running job of this machine holds a shared lock."""
    return runs_dir() / ".campaign" / "jobs.lock"


def all_gone(seconds: float) -> bool:
    """Whether all jobs of this machine have ended, after at most so many seconds."""
    end = time.monotonic() + seconds
    presence().parent.mkdir(parents=True, exist_ok=True)
    with open(presence(), "a", encoding="utf-8") as lock:
        while True:
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.1)


@contextlib.contextmanager
def present() -> Iterator[None]:
    """Make `all_gone` wait for this job, if files can be locked."""
    presence().parent.mkdir(parents=True, exist_ok=True)
    with open(presence(), "a", encoding="utf-8") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield


@contextlib.contextmanager
def quietly(log: Path) -> Iterator[Callable[[str], None]]:
    """Append all output of this process and its children to a file; yields a function that prints a line to stderr.

    Otherwise stopped kernels and a scheduler's jobs would fill the terminal.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(2)
    before = os.dup(1)

    def say(line: str) -> None:
        os.write(kept, f"{line}\n".encode())

    with open(log, "ab", buffering=0) as into:
        os.dup2(into.fileno(), 1)
        os.dup2(into.fileno(), 2)
    try:
        yield say
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(before, 1)
        os.dup2(kept, 2)
        os.close(before)
        os.close(kept)


def watch(over: threading.Event, parent: int, deadline: float, folder: Path) -> None:
    """End this job at the deadline, when the campaign is told to stop, or when the process that started it is gone.

    over: set when the job has ended by itself.

    It ends at once, and so does its notebook's kernel, which is in a process group of its own that signals to ours
    don't reach. What the run had saved up to its last checkpoint is complete in its folder.
    """
    while time.time() < deadline and os.getppid() == parent and not stop_file().exists():
        if over.wait(0.25):
            return
    kill_children()
    for temporary in folder.rglob(".*.tmp"):  # half written
        temporary.unlink(missing_ok=True)
    os._exit(STOPPED)


def kill_children() -> None:
    """Kill all processes that this one has started, if papermill is what starts them."""
    with contextlib.suppress(ImportError):
        import psutil  # comes with ipykernel

        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                child.kill()


def parameters(config: Config) -> dict[str, object]:
    """The parameters of train.ipynb that give this configuration: all that apply to its attack."""
    applies = {name: value for name, value in asdict(config).items() if name in jobs.choices() and value is not None}
    return {name: v for name, v in applies.items() if config.attack in jobs.BELONGS.get(name, jobs.ATTACKS)}


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


def job(kind: str, name: str, planned: Sequence[grid.Planned], *, bare: bool = False) -> int:
    """Do one job; the exit status. A failure leaves failed.json with its last line in the run's folder.

    bare: without notebooks, by the functions that they call.
    """
    one_of("job", kind, JOBS)
    if bare:  # all of it now, since rows name the commit as it is at the start
        from .. import evaluation, style, training  # noqa: F401
    wanted = {p.run: p for p in planned}
    if kind not in ("data", "stylise"):
        one_of("run", name, list(wanted))
    folder = folder_of(kind, name)
    failure = folder / "failed.json"
    failure.unlink(missing_ok=True)
    over = threading.Event()
    deadline = float(os.environ.get("ATLIB_DEADLINE") or "inf")
    with present(), quietly(folder / LOG) as say:
        threading.Thread(target=watch, args=(over, os.getppid(), deadline, folder), daemon=True).start()
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(STOPPED))  # until nbclient takes it over
        step = kind
        try:
            if kind == "data":
                say(f"{clock()}  {obtaining(name)}")
                for side in {p.config.side for p in planned if p.config.dataset == name}:
                    atlib.data.load(name, side=side, progress=False)
            elif kind == "stylise":
                stylise(name, bare, say)
            else:
                failed: Exception | None = None
                for step in STEPS if kind == "run" else (kind,):
                    try:
                        advance(step, wanted[name], bare, say)
                    except Exception as error:
                        if step != "evaluate" or not of_one_measurement(error):
                            raise
                        failed = error  # the others were taken, and are published before it is reported
                if failed:
                    step = "evaluate"
                    raise failed
        except KeyboardInterrupt:
            return STOPPED
        except Exception as error:
            if time.time() > deadline or stop_file().exists():
                return STOPPED  # papermill has lost its kernel because we were told to stop
            line = reason(error)
            write_json(failure, {"job": step, "error": line, "time": time.strftime("%Y-%m-%d %H:%M:%S")})
            say(f"{clock()}  failed: {step} {name}: {line}")
            return 1
        finally:
            over.set()
            signal.signal(signal.SIGTERM, before)
    return 0


def stylise(name: str, bare: bool, say: Callable[[str], None]) -> None:
    """Make a stylised test set. name: stylised/DATASET/SIDE/LEVEL, as `needs.stylised_sets` has it."""
    _, dataset, side, level = name.split("/")
    styles, _, stylist = level.rpartition("-")
    say(f"{clock()}  stylising the test set of {dataset} at {side} pixels: {level}")
    if bare:
        atlib.style.make(dataset, side=int(side), styles=styles, stylist=stylist, progress=False)
    else:
        given: dict[str, object] = {"dataset": dataset, "side": int(side), "styles": styles, "stylist": stylist}
        execute("stylise", folder_of("stylise", name), given)


def advance(step: str, planned: grid.Planned, bare: bool, say: Callable[[str], None]) -> None:
    """One step of a run, unless it is done already.

    InputError for code that has been edited since the campaign began, before anything is trained or measured with it.
    """
    folder = planned.folder
    end = time.time() + SECONDS_TO_STOP
    while grid.held(folder) is not None and time.time() < end:
        time.sleep(0.5)  # a job of a campaign that was killed ends by itself, soon
    if step == "train" and not grid.trained(planned):
        provenance.committed()
        say(begun(step, planned))
        if bare:
            atlib.training.train(planned.config, progress=False)
        else:
            execute("train", folder, parameters(planned.config))
        if not grid.trained(planned):
            raise InputError(f"{folder}: the notebook trained another run than the grid's; see train.ipynb there")
    if step == "evaluate" and not grid.evaluated(planned):
        provenance.committed()
        say(begun(step, planned))
        if bare:
            atlib.evaluation.evaluate(folder, measure=planned.measure, progress=False)
        else:
            execute("evaluate", folder, {"run": str(folder), "measure": ",".join(planned.measure)})
    if step == "publish" and grid.to_publish(planned):
        publishing.publish(folder)
        clean = grid.accuracies(rows.read_rows(folder / "rows.csv"))
        say(f"{clock()}  published {planned.run}: {clean} % clean/under PGD")


def of_one_measurement(error: Exception) -> bool:
    """Whether an evaluation has ended with this after taking all other measurements (`evaluation.evaluate`)."""
    return isinstance(error, NetworkError) or getattr(error, "ename", "") == "NetworkError"  # papermill's


def begun(step: str, planned: grid.Planned) -> str:
    """What is being done now, in a line: "12:03  training pgd-linf-8 on shapes, seed 1 (shapes/pgd-linf-8-…)"."""
    config = planned.config
    on = (planned.folder / "checkpoint.safetensors").is_file() if step == "train" else False
    goes_on = on or (step == "evaluate" and (planned.folder / "evaluation.json").is_file())
    again = ", going on" if goes_on else ""
    return f"{clock()}  {DOES[step]} {config.model} on {config.dataset}, seed {config.seed} ({planned.run}){again}"


def obtaining(dataset: str) -> str:
    """What the job of a data set does, in words."""
    if dataset == "shapes":
        return "drawing the data set shapes"
    folder = dataset.startswith("folder:")
    return f"looking for the data set {dataset}" + ("" if folder else ", which is downloaded if it isn't there")


def clock() -> str:
    """The time of day, for a line."""
    return time.strftime("%H:%M")


def reason(error: Exception) -> str:
    """What went wrong, in one line."""
    if type(error).__name__ == "DeadKernelError":
        return "the notebook's kernel died: stopped or killed from outside, or out of memory"
    return last_line(error)
