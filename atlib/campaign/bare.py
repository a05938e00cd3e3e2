"""The campaign on a machine that has torch and little else: a rented GPU, Colab, Kaggle.

    python -m atlib.campaign bare --blocks g,h --processes 4 --minutes 9

No papermill, Snakemake, Jupyter or network is needed: torch, numpy, scipy, pandas, safetensors, pillow, PyYAML
and tqdm are enough. Stylised test sets are made only where requirements-style.txt is installed as well.

This is a loop over the jobs that Snakemake calls (`doing`), in the grid's order, several at a time, each a process of
its own. Rows, records and half-precision weights are written as each run ends, under the same names as anywhere else;
what was begun goes on with the next call.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .. import data, provenance, training
from ..errors import InputError, in_range
from ..files import checkout_path, data_dir, results_dir, runs_dir, writable
from . import announcing, doing, grid, needs, running, snapshot

WORDS_EVERY = 30.0  # seconds between two lines on what is going on
LONGEST = 120  # characters of a job's last words: a whole line of a training's log


@dataclass
class Job:
    """A job in the loop. done: whether there is nothing to do; ready: whether what it waits for is there.

    measure: "NAME@LEVEL" of what it measures.
    """

    kind: str
    name: str
    done: Callable[[], bool]
    ready: Callable[[], bool]
    measure: tuple[str, ...] = ()
    process: subprocess.Popen | None = None
    status: int | None = None

    @property
    def folder(self) -> Path:
        """Where it leaves its log."""
        return doing.folder_of(self.kind, self.name)

    def progress(self) -> str:
        """How far it has come, in a few words: the last line that it printed, or how many measurements it has."""
        if (self.folder / "training.json").is_file():
            measured = grid.measured(self.folder / "evaluation.json") & set(self.measure)
            text = f"{len(measured)} of {len(self.measure)} measured"
        else:
            text = " ".join(last_words(self.folder / doing.LOG).split())[:LONGEST]
        return f"{self.name.rpartition('-')[0] or self.name}: {text}"


def run(blocks: str = "", *, processes: int = 1, minutes: float = 0, path: Path | None = None) -> int:
    """Train, measure and publish what the chosen blocks lack; 0 if nothing failed, 1 if something did.

    blocks: "a,b"; empty: every block that need not be asked for. processes: runs at a time. minutes: the jobs are
    stopped after these, to go on with the next call (0: no limit). A signal gives 128 and its number.
    InputError, before any work, for what can't be done, and for unknown or uncommitted code, whose rows can't be
    published.
    """
    end = time.time() + 60 * minutes if minutes else float("inf")
    in_range("--processes", processes, 1, 1000, whole=True)
    in_range("--minutes", minutes, 0)
    checkout_path("workflow")
    provenance.committed()
    planned = grid.select(grid.load(path), blocks)
    writable(results_dir())
    writable(runs_dir())
    with running.alone() as lock, running.told_to_stop() as signals:
        doing.stop_file().unlink(missing_ok=True)
        device = training.device_of_choice()
        found = needs.find(planned, grid.names(blocks))
        announcing.say(found, device)
        if not found.todo:
            return 0
        check_data(found)
        print(f"rows go to {results_dir()}, weights and records to {runs_dir()}", flush=True)
        loop = Loop(processes, end, lock, signals, snapshot.write(found.todo), found.todo)
        first, *rest = parts(found)
        ended = [loop.work(first)]
        if ended[0]:  # a run that fails stops no other; without the data none can begin
            ended += [loop.work(part) for part in rest]
        failed = announcing.summary([need.planned for need in found.todo])
    if signals:
        return 128 + signals[0]
    return int(failed or not (all(ended) or loop.stopped))


def check_data(found: needs.Needs) -> None:
    """InputError for a data set that isn't here and can't be downloaded."""
    for name, side in dict.fromkeys((need.planned.config.dataset, need.planned.config.side) for need in found.todo):
        if not data.at_hand(name, side=side) and importlib.util.find_spec("pooch") is None:
            raise InputError(
                f"dataset = {name!r}: not in {data_dir()}, and pooch, which would download it, isn't installed; put "
                f"{name}.npz there, or set ATLIB_DATA to where it is"
            )


def parts(found: needs.Needs) -> Iterator[list[Job]]:
    """The jobs in the order in which they are worth doing: the data; the runs; stylised test sets, which need no GPU;
    and then the measurements that waited for these."""

    def always() -> bool:
        return True

    def never() -> bool:
        return False

    yield [Job("data", name, never, always) for name in {need.planned.config.dataset for need in found.todo}]
    yield [job_of(need, found) for need in found.todo]
    if found.stylised:
        yield [Job("stylise", name, never, always) for name in found.stylised]
        yield [job_of(need, found) for need in found.todo]


def job_of(need: needs.Need, found: needs.Needs) -> Job:
    """The job that brings one run as far as it is wanted."""
    planned = need.planned
    source = {one.run: one.planned for one in found.todo}

    def done() -> bool:
        return not needs.missing(planned) if need.measure else grid.trained(planned)

    def ready() -> bool:
        return all(grid.trained(source[run]) for run in need.after)

    return Job("run" if need.measure else "train", need.run, done, ready, need.measure)


class Loop:
    """Some jobs at a time, in their order, until they are done, the time is over or a signal comes."""

    def __init__(
        self,
        processes: int,
        end: float,
        lock: int,
        signals: Sequence[int],
        jobs: Path,
        todo: Sequence[needs.Need] = (),
    ) -> None:
        self.processes, self.end, self.lock, self.signals, self.jobs = processes, end, lock, signals, jobs
        self.todo = todo
        self.began = self.last_line = time.time()
        self.stop_announced = False

    @property
    def stopped(self) -> bool:
        """Whether it is time to stop."""
        return bool(self.signals) or time.time() >= self.end

    def work(self, jobs: list[Job]) -> bool:
        """Do the jobs; whether all of them came to their end (False also if one failed)."""
        waiting, working = [job for job in jobs if not job.done()], list[Job]()
        while (waiting or working) and not self.stopped:
            for job in [job for job in working if job.process and job.process.poll() is not None]:
                working.remove(job)
                self.ended(job)
            for job in [job for job in waiting if job.ready()][: self.processes - len(working)]:
                waiting.remove(job)
                working.append(self.start(job))
            if waiting and not working:  # what they wait for has failed
                break
            if time.time() - self.last_line > WORDS_EVERY:
                self.say("; ".join(job.progress() for job in working))
            time.sleep(0.1)
        if self.stopped and (waiting or working) and not self.stop_announced:
            self.stop_announced = True
            announcing.stopped(self.signals, self.todo)
        if working:
            self.stop(working)
        return not waiting and not working and all(job.status == 0 for job in jobs if job.process)

    def start(self, job: Job) -> Job:
        """Begin one. Threads are shared out, unless OMP_NUM_THREADS says how many each has."""
        words = [sys.executable, "-m", "atlib.campaign", "job", job.kind, job.name, "--snapshot", str(self.jobs)]
        threads = str(max(1, (os.cpu_count() or 1) // self.processes))
        environment = {"OMP_NUM_THREADS": threads} | running.environment(self.end)
        # a group of its own: Ctrl-C is the loop's to handle
        job.process = subprocess.Popen(
            [*words, "--bare"], env=environment, cwd=checkout_path("."), process_group=0, pass_fds=(self.lock,)
        )
        return job

    def ended(self, job: Job) -> None:
        """Note how a job ended, and say so where it is unusual: jobs print their own results and failures."""
        assert job.process is not None
        job.status = job.process.returncode
        if job.status not in (0, 1, doing.STOPPED):
            how = f"signal {-job.status}" if job.status < 0 else f"status {job.status}"
            self.say(f"{job.name}: ended by {how}; last words: {last_words(job.folder / doing.LOG)}")

    def stop(self, working: Sequence[Job]) -> None:
        """End what is working: told by the stop file, by force if need be."""
        doing.stop_file().touch()
        doing.all_gone(doing.SECONDS_TO_STOP / 2)
        for job in working:
            assert job.process is not None
            if job.process.poll() is None:
                job.process.kill()
            job.process.wait()

    def say(self, line: str) -> None:
        """A line with the minutes since the beginning."""
        self.last_line = time.time()
        print(f"[{(self.last_line - self.began) / 60:5.1f} min] {line}", flush=True)


def last_words(log: Path) -> str:
    """The last line of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1].strip() if lines else "beginning"
