"""`make bench` runs, and its table has every row; what it measures with can tell fast from slow."""

from __future__ import annotations

import sys
import types
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import foolbox
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from atlib import files
from benchmarks import __main__ as bench
from benchmarks import live, measure

ROWS = [
    ("PGD-10, forwards", "counted", "10/10/0"),
    ("PGD-10, fp32", "torchattacks", "0.93"),
    ("PGD-10, fp32", "foolbox", "0.58"),
    ("PGD-10, bf16", "torchattacks", "0.52"),
    ("any-iterate robustness", "torchattacks", "0.45"),
    ("any-iterate robustness", "torchattacks", "0.70"),
    ("adversarial training step (PGD-3 and update), fp32", "naive loop", "0.70"),
    ("adversarial training step (PGD-3 and update), bf16", "naive loop", "0.38"),
    ("adversarial training step (PGD-7 and update), fp32", "naive loop", "0.70"),
    ("adversarial training step (PGD-7 and update), bf16", "naive loop", "0.38"),
    ("SmoothGrad n = 100, fp32", "captum", "0.90"),
    ("SmoothGrad n = 100, bf16", "captum", "0.47"),
    ("MicroAST at 224, code of the style kept", "encoded for each picture", "1.00"),
    ("patch-shuffle 4×4, uint8, 256 pictures of 64 pixels", "naive loop", "0.25"),
    ("saturation, uint8, 256 pictures of 64 pixels", "naive loop", "0.17"),
    ("patch-shuffle 4×4, uint8, 32 pictures of 224 pixels", "naive loop", "0.50"),
]


class StandIn:
    """torchattacks' PGD where it is not installed (its old pins keep it out of requirements-dev.txt), by foolbox."""

    def __init__(self, model: nn.Module, eps: float, alpha: float, steps: int, random_start: bool) -> None:
        self.model, self.eps = model, eps
        self.attack = foolbox.attacks.LinfPGD(abs_stepsize=alpha, steps=steps, random_start=random_start)

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.attack(foolbox.PyTorchModel(self.model, bounds=(0, 1)), images, labels, epsilons=self.eps)[1]


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> None:
    if bench.find_spec("torchattacks"):
        return
    module: Any = types.ModuleType("torchattacks")
    module.PGD = StandIn
    monkeypatch.setitem(sys.modules, "torchattacks", module)
    monkeypatch.setattr(bench, "find_spec", lambda name: True)
    monkeypatch.setattr(bench.metadata, "version", lambda name: "0")


@pytest.mark.usefixtures("peers")
def test_quick_benchmark_has_every_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from benchmarks import contests

    monkeypatch.setattr(contests, "bf16_is_fast", lambda plan: True)
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick"])
    before = torch.get_num_threads()
    assert bench.main() == 0
    assert torch.get_num_threads() == before
    assert not (files.results_dir() / "bench.csv").exists()  # toy numbers stay out of the book
    frame = pd.read_csv(files.runs_dir() / "bench-quick.csv", keep_default_na=False, dtype=str)
    for row, (what, against, reach) in zip(frame.to_dict("records"), ROWS, strict=True):
        assert row["what"].startswith(what) and row["against"] == against and row["reach"] == reach
        timed = against != "counted"
        assert (row["ours_s"] != "") == (row["theirs_s"] != "") == (row["ratio"] != "") == timed
        if timed:
            assert float(row["ours_s"]) > 0 and float(row["theirs_s"]) > 0
            assert row["met"] == "no" or float(row["ratio"]) <= float(reach) + 0.005  # two digits of reach
        if what == "any-iterate robustness":
            assert " equal to the last image to not dropping" in row["detail"]
        if what == "PGD-10, fp32":
            assert float(row["detail"].split("%")[0]) > 99  # both found the same images
    assert frame["met"][0] == "yes" and "atlib 10/10/0" in frame["detail"][0]
    assert set(frame["threads"]) == {"1"} and set(frame["bf16"]) == {"fast"}
    assert all(
        set(frame[name]) != {""}
        for name in ("processor", "commit", "python", "torch", "torchattacks", "foolbox", "captum")
    )
    printed = capsys.readouterr().out
    assert all(what in printed for what in frame["what"])


@pytest.mark.usefixtures("peers")
def test_published_times_are_of_committed_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(quick: bool, rounds: int | None) -> None:
        raise AssertionError("measures already")

    monkeypatch.setattr(bench, "measure_all", measured)
    monkeypatch.setattr(bench.provenance, "commit", lambda: "abc-dirty")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATLIB_RESULTS", str(tmp_path / "results"))
    for arguments in ([], ["--out", "results/bench.csv"]):
        assert bench.main(arguments) == 2
        assert "rows are published only from committed code" in capsys.readouterr().err
    with pytest.raises(AssertionError, match="measures already"):
        bench.main(["--out", "elsewhere.csv"])


@pytest.mark.usefixtures("peers")
def test_where_bf16_is_slow_its_rows_stay_and_say_so() -> None:
    from benchmarks import contests

    plan = replace(contests.QUICK, batch=2)
    for rows in (contests.pgd(plan, False), contests.training_step(plan, 3, False)):
        assert rows[-1].met == "bf16 is not fast here" and rows[-1].ours_s is None and "bf16" in rows[-1].what
        assert rows[0].ours_s is not None


@pytest.mark.usefixtures("peers")
@pytest.mark.parametrize(("bf16_seconds", "fast"), [(0.5, True), (0.95, False), (2.0, False)])
def test_bf16_is_fast_if_it_saves_a_tenth(bf16_seconds: float, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import contests

    def timed(contestants: dict, rounds: int, title: str) -> dict[str, measure.Timed]:
        return {
            name: measure.Timed({"fp32": 1.0, "bf16": bf16_seconds}[name], run()) for name, run in contestants.items()
        }

    monkeypatch.setattr(contests, "alternate", timed)
    assert contests.bf16_is_fast(contests.QUICK) == fast


def test_missing_peer_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks"])
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    assert bench.main() == 1
    captured = capsys.readouterr()
    assert captured.err == "torchattacks is not installed: `make bench` installs what it compares with\n"
    assert captured.out == "" and not files.results_dir().exists()


def test_bad_rounds_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--rounds", "0"])
    with pytest.raises(SystemExit):
        bench.main()
    assert capsys.readouterr().err.splitlines()[-1].endswith("--rounds 0: must be at least 1")


def test_contestants_alternate_and_medians_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    clock = [0.0]
    costs = {"fast": iter([1.0, 9.0, 2.0]), "slow": iter([4.0, 5.0, 0.5])}
    monkeypatch.setattr(measure.time, "process_time", lambda: clock[0])

    def contestant(name: str) -> int:
        order.append(name)
        clock[0] += next(costs[name])
        return len(order)

    found = measure.alternate({name: partial(contestant, name) for name in costs}, 3, "test")
    assert order == ["fast", "slow", "slow", "fast", "fast", "slow"]
    assert found == {"fast": (2.0, 5), "slow": (4.0, 6)}


@pytest.mark.parametrize(
    ("ours", "fair", "met"), [(0.49, True, "yes"), (0.5, True, "yes"), (0.51, True, "no"), (0.1, False, "no")]
)
def test_met_is_within_reach_and_fair(ours: float, fair: bool, met: str) -> None:
    row = measure.compare("a", "b", 0.5, measure.Timed(ours, None), measure.Timed(1.0, None), fair=fair)
    assert (row.met, row.ratio, row.reach) == (met, ours, "0.50")


def test_rows_of_the_networks_in_the_page_say_what_is_within_reach() -> None:
    quick = dict.fromkeys(live.MEASURES, 60.0) | {"after the click, as it is": 17.4, "after the click, compressed": 6.4}
    slow = quick | {"both networks: PGD-10": 1000.1}
    found = {(row["what"], row["over"]): row["met"] for row in live.rows_of(quick, slow)}
    assert found.pop(("both networks: PGD-10", "the disk")) == "no"
    assert set(found.values()) == {"yes"} and len(found) == 16
    assert ("after the click, as it is", "the disk") not in found


def test_timing_the_page_needs_a_built_book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert live.main(["--book", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: book = {tmp_path}: no notebooks/try.html there; `make book`")
