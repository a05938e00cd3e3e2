"""Evaluation: what is measured, what is written, what is left when it is stopped or files are damaged."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atlib import attacks, data, evaluation, files, measured, measurements, models, provenance, training
from atlib.configuration import Config, dataset_arguments
from atlib.errors import InputError, NetworkError
from atlib.files import REPOSITORY, read_json, runs_dir, write_json
from atlib.measurements import Findings, Row, Subject
from atlib.rows import COLUMNS
from atlib.tensors import load_tensors, save_tensors, tensor_digest
from helpers import flipped, one_line, rows_of, tiny

pytestmark = pytest.mark.usefixtures("commit")

CPU = torch.device("cpu")


PGD = tiny(eps=4, share=0.5, epochs=4, batch=16)  # long enough to be right about some images and robust on others
NORMAL, SPATIAL = tiny(attack="none"), tiny(attack="spatial")


BASIC = ("clean", "pgd-linf", "trained-attack", "conflict")  # distortions and maps: tests/test_lens.py


@pytest.fixture(scope="module", autouse=True)
def basic() -> Iterator[None]:
    """Only the basic measurements, of which these tests speak."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measurements, "MEASUREMENTS", {name: measurements.MEASUREMENTS[name] for name in BASIC})
        yield


@pytest.fixture(scope="module")
def trained(basic: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three finished runs, the first of them measured."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLIB_RUNS", str(root))
        patch.setenv("ATLIB_COMMIT", "abc")
        for config in (PGD, NORMAL, SPATIAL):
            training.train(config, progress=False)
        evaluation.evaluate(PGD.run, progress=False)
    return root


@pytest.fixture
def pgd(trained: Path, own_folders: None) -> Path:
    """The folder of the measured run, among copies of all three."""
    shutil.copytree(trained, runs_dir())
    return PGD.folder


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, measurements.Measurement]:
    """The measurements; what a test registers is gone after it."""
    monkeypatch.setattr(measurements, "MEASUREMENTS", dict(measurements.MEASUREMENTS))
    return measurements.MEASUREMENTS


@pytest.fixture
def calls(registry: dict[str, measurements.Measurement]) -> list[str]:
    """The measurements made in this test, as "name@level"."""
    made: list[str] = []

    def counting(name: str, measure: Callable[[Subject, str], Findings]) -> Callable[[Subject, str], Findings]:
        def counted(subject: Subject, level: str) -> Findings:
            made.append(f"{name}@{level}")
            return measure(subject, level)

        return counted

    for name, measurement in registry.items():
        registry[name] = measurement._replace(measure=counting(name, measurement.measure))
    return made


def value(rows: pd.DataFrame, distortion: str, metric: str, level: str = "") -> pd.Series:
    chosen = (rows["distortion"] == distortion) & (rows["metric"] == metric) & (rows["level"] == level)
    assert chosen.sum() == 1
    return rows[chosen].iloc[0]


def arrays_of(run: Path) -> dict[str, np.ndarray]:
    with np.load(run / "predictions.npz", allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


EVERY = [("clean", "", "accuracy"), ("clean", "", "p_true")]
EVERY += [("conflict", "", metric) for metric in ("coverage", "shape_accuracy", "shape_bias", "texture_accuracy")]
EVERY += [("pgd-linf", "8", metric) for metric in ("accuracy_any", "accuracy_last", "vanished")]
TRAINED = [("trained-attack", "", metric) for metric in ("accuracy_any", "accuracy_last", "vanished")]


# --- what is written --------------------------------------------------------------------------------------------------


def test_rows_of_a_run(pgd: Path) -> None:
    rows = rows_of(pgd)
    assert tuple(rows.columns) == COLUMNS
    assert list(rows[["distortion", "level", "metric"]].itertuples(index=False, name=None)) == EVERY + TRAINED
    same = {"run": PGD.run, "dataset": "shapes", "model": "pgd-linf-4", "width": 4, "share": 0.5, "seed": 1}
    same["recipe"] = PGD.recipe
    for column, expected in same.items():
        assert set(rows[column]) == {expected}
    # counts and totals are whole numbers, also where a count is missing
    assert not re.search(r",\d+\.0,\d*$|,\d+\.0$", (pgd / "rows.csv").read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize(("config", "more"), [(NORMAL, []), (SPATIAL, TRAINED[1:])])
def test_trained_attack_is_measured_where_there_was_one(config: Config, more: list, pgd: Path) -> None:
    evaluation.evaluate(config.run, progress=False)
    rows = rows_of(config.folder)
    found = list(rows[["distortion", "level", "metric"]].itertuples(index=False, name=None))
    assert [place for place in found if place[2] != "shape_bias"] == [
        place for place in EVERY + more if place[2] != "shape_bias"
    ]
    assert set(rows["share"]) == {0.0 if config is NORMAL else 1.0}


def test_counts_agree_with_predictions(pgd: Path) -> None:
    rows, arrays = rows_of(pgd), arrays_of(pgd)
    labels, said = arrays["labels"], arrays["clean@/class"]
    assert labels.dtype == np.uint16 and said.dtype == np.uint8 and len(labels) == len(said) == 100
    right = [int(a) == int(b) for a, b in zip(said, labels, strict=True)]
    found = value(rows, "clean", "accuracy")
    assert (found["count"], found["total"], found["value"]) == (sum(right), 100, sum(right) / 100)
    assert 10 < sum(right) < 90  # a network that knows something and errs

    found = value(rows, "clean", "p_true")
    assert arrays["clean@/p_true"].dtype == np.float16 and pd.isna(found["count"]) and found["total"] == 100
    assert found["value"] == pytest.approx(arrays["clean@/p_true"].astype(float).mean(), abs=1e-3)

    for name, level in (("pgd-linf", "8"), ("trained-attack", "")):
        for iterate in ("last", "any"):
            kept = arrays[f"{name}@{level}/{iterate}"]
            found = value(rows, name, f"accuracy_{iterate}", level)
            assert kept.dtype == bool and len(kept) == 100
            assert (found["count"], found["total"], found["value"]) == (kept.sum(), 100, kept.sum() / 100)
        assert not (arrays[f"{name}@{level}/any"] & ~arrays[f"{name}@{level}/last"]).any()
        assert not (arrays[f"{name}@{level}/any"] & (said != labels)).any()
    assert 0 < arrays["pgd-linf@8/any"].sum() < arrays["trained-attack@/any"].sum() < sum(right)


def test_predictions_are_the_network_s(pgd: Path) -> None:
    """Image by image, with the network as it was saved and not folded."""
    arrays, (model, _) = arrays_of(pgd), models.load(pgd / "weights.safetensors")
    dataset = data.load("shapes", **dataset_arguments(PGD))
    with torch.no_grad():
        logits = torch.cat([model(image[None].float() / 255) for image in dataset.test.images])
    # rounding in a folded network may decide a tie
    assert (logits.argmax(1).numpy() == arrays["clean@/class"]).mean() >= 0.99
    assert (dataset.test.labels.numpy() == arrays["labels"]).all()
    p_true = logits.softmax(1)[range(100), dataset.test.labels]
    assert np.abs(p_true.numpy() - arrays["clean@/p_true"]).max() < 1e-3


def test_origins_of_every_measurement(pgd: Path) -> None:
    origins, record = read_json(pgd / "evaluation.json"), read_json(pgd / "training.json")
    assert origins["weights_digest"] == record["weights_digest"]
    assert set(origins["measurements"]) == {"clean@", "conflict@", "pgd-linf@8", "trained-attack@"}
    for found in origins["measurements"].values():
        assert found["commit"] == "abc" and found["seconds"] >= 0 and not {"versions", "hardware"} & set(found)
    assert origins["versions"]["torch"] == torch.__version__ and origins["hardware"]["device"]


def test_a_measurement_made_with_other_versions_says_so(pgd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = provenance.versions() | {"torch": "9.9"}
    monkeypatch.setattr(provenance, "versions", lambda: other)
    evaluation.evaluate(pgd, measure=("clean",), again=True, progress=False)
    found = read_json(pgd / "evaluation.json")["measurements"]
    assert found["clean@"]["versions"] == other and "hardware" not in found["clean@"]
    assert "versions" not in found["conflict@"]


# --- robustness -------------------------------------------------------------------------------------------------------


def plain_pgd(
    model: nn.Module, images: Tensor, labels: Tensor, eps: float, steps: int, size: float
) -> tuple[list[bool], list[bool]]:
    """Right after the last iterate, and after every one; written out."""
    x, always = images, torch.ones(len(images), dtype=torch.bool)
    for _ in range(steps):
        x = x.detach().requires_grad_()
        logits = model(x)
        always &= logits.argmax(1) == labels
        F.cross_entropy(logits, labels, reduction="sum").backward()
        assert x.grad is not None
        x = torch.clamp(x.detach() + size * x.grad.sign(), images - eps, images + eps).clamp(0, 1)
    last = model(x).argmax(1) == labels
    return last.tolist(), (always & last).tolist()


def test_table_1_is_pgd_40(pgd: Path) -> None:
    subject, arrays = evaluation.subject_of(pgd), arrays_of(pgd)
    images, labels = subject.test.images.float() / 255, subject.test.labels
    last, always = plain_pgd(subject.model, images, labels, 8 / 255, 40, 2 / 255)
    assert arrays["pgd-linf@8/last"].tolist() == last and arrays["pgd-linf@8/any"].tolist() == always
    last, always = plain_pgd(subject.model, images, labels, 4 / 255, 2, 5 / 255)
    assert arrays["trained-attack@/last"].tolist() == last and arrays["trained-attack@/any"].tolist() == always

    passes: list[int] = []
    subject.model.register_forward_pre_hook(lambda module, inputs: passes.append(len(inputs[0])))
    measurements.table_1(subject, "8")
    assert passes == [100] * 41  # 40 steps, and a look at the last iterate


def test_any_is_counted_at_every_iterate(pgd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With steps that leap over the border and come back, the last iterate is not the worst."""
    monkeypatch.setattr(measurements, "TABLE_1", {"eps": 8 / 255, "steps": 4, "step_size": 14 / 255})
    subject = evaluation.subject_of(pgd)
    found = measurements.table_1(subject, "8")
    images, labels = subject.test.images.float() / 255, subject.test.labels
    last, always = plain_pgd(subject.model, images, labels, 8 / 255, 4, 14 / 255)
    assert [row.count for row in found.rows] == [sum(last), sum(always), 0] and sum(always) < sum(last)


def test_spatially_trained_network_is_measured_under_the_spatial_attack(pgd: Path) -> None:
    evaluation.evaluate(SPATIAL.run, measure=("trained-attack",), progress=False)
    subject = evaluation.subject_of(SPATIAL.folder)
    images, labels = subject.test.images.float() / 255, subject.test.labels
    moved = attacks.spatial(subject.model, images, labels, tau=0.05, max_flow=2.0, steps=2, step_size=2.5)
    right = (subject.model(moved).argmax(1) == labels).tolist()
    found = value(rows_of(SPATIAL.folder), "trained-attack", "accuracy_last")
    assert arrays_of(SPATIAL.folder)["trained-attack@/last"].tolist() == right
    assert (found["count"], found["total"]) == (sum(right), 100)


# --- shape bias -------------------------------------------------------------------------------------------------------


class Says(nn.Module):
    """Answers with the class that the first pixel of each image spells out."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, images: Tensor) -> Tensor:
        answers = (images[:, 0, 0, 0] * 255).round().long() + 256 * (images[:, 1, 0, 0] * 255).round().long()
        return F.one_hot(answers, self.classes).float()


def saying(answers: Tensor) -> Tensor:
    """Images that make `Says` give these answers."""
    images = torch.zeros(len(answers), 3, 4, 4, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = answers % 256, answers // 256
    return images


def subject_saying(
    answers: Tensor, labels: Tensor, textures: Tensor | None = None, classes: int = 10, **more: object
) -> Subject:
    images = saying(answers)
    conflict = None if textures is None else data.Conflict(images, labels, textures)
    return Subject(Says(classes), data.Split(images, labels), 4, CPU, conflict, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_shape_bias_against_a_plain_loop(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "BATCH", 16)
    draws = torch.Generator().manual_seed(seed)
    answers, shapes, textures = torch.randint(5 + seed, (3, 120), generator=draws)
    textures = torch.where(textures == shapes, (textures + 1) % 10, textures)
    found = measurements.conflict(subject_saying(answers, shapes, textures), "")

    by_shape = by_texture = neither = 0
    for answer, shape, texture in zip(answers.tolist(), shapes.tolist(), textures.tolist(), strict=True):
        if answer == shape:
            by_shape += 1
        elif answer == texture:
            by_texture += 1
        else:
            neither += 1
    assert min(by_shape, by_texture, neither) > 0
    expected = {
        "coverage": (by_shape + by_texture, 120),
        "shape_accuracy": (by_shape, 120),
        "texture_accuracy": (by_texture, 120),
        "shape_bias": (by_shape, by_shape + by_texture),
    }
    assert {row.metric: (row.count, row.total) for row in found.rows} == expected
    assert {row.metric: row.value for row in found.rows} == {m: pytest.approx(c / t) for m, (c, t) in expected.items()}
    for name, given in (("class", answers), ("labels", shapes), ("textures", textures)):
        assert found.arrays[name].tolist() == given.tolist()


def test_no_answer_by_a_cue_is_no_shape_bias() -> None:
    zeros = torch.zeros(20, dtype=torch.long)
    found = measurements.conflict(subject_saying(zeros, zeros + 1, zeros + 2), "")
    assert {row.metric: row.count for row in found.rows} == {
        "coverage": 0, "shape_accuracy": 0, "texture_accuracy": 0
    }  # fmt: skip


def test_conflict_of_a_run_is_that_of_its_data_set(pgd: Path) -> None:
    arrays, conflict = arrays_of(pgd), data.load("shapes", **dataset_arguments(PGD)).conflict
    assert conflict
    assert (arrays["conflict@/labels"] == conflict.labels.numpy()).all()
    assert (arrays["conflict@/textures"] == conflict.textures.numpy()).all()
    shape = int((arrays["conflict@/class"] == conflict.labels.numpy()).sum())
    texture = int((arrays["conflict@/class"] == conflict.textures.numpy()).sum())
    bias = value(rows_of(pgd), "conflict", "shape_bias")
    assert (bias["count"], bias["total"]) == (shape, shape + texture) and 0 < shape < shape + texture


def test_a_network_from_elsewhere_has_neither_conflict_nor_trained_attack() -> None:
    zeros = torch.zeros(20, dtype=torch.long)
    subject = subject_saying(zeros, zeros)
    assert {name for name, _ in evaluation.wanted(subject)} == {"clean", "pgd-linf"}
    assert measurements.clean(subject, "").rows[0].value == 1.0


# --- classes and precision --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "kind"), [(10, np.uint8), (256, np.uint8), (257, np.uint16), (300, np.uint16)])
def test_more_than_256_classes_take_two_bytes(classes: int, kind: type) -> None:
    answers = torch.tensor([0, 1, classes - 1])
    found = measurements.clean(subject_saying(answers, answers, classes=classes), "")
    assert found.arrays["class"].dtype == kind and found.arrays["class"].tolist() == answers.tolist()
    assert found.rows[0].count == 3


@pytest.fixture
def tf32() -> Iterator[None]:
    """The two switches are left as they were."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    yield
    matmul.allow_tf32, cudnn.allow_tf32 = before


@pytest.mark.parametrize("switches", [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("fails", [False, True])
def test_exact_turns_tf32_off_and_back(switches: tuple[bool, bool], fails: bool, tf32: None) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    matmul.allow_tf32, cudnn.allow_tf32 = switches
    with pytest.raises(RuntimeError, match="in between") if fails else contextlib.nullcontext(), evaluation.exact():
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (False, False)
        if fails:
            raise RuntimeError("in between")
    assert (matmul.allow_tf32, cudnn.allow_tf32) == switches


# In a process of its own each, as torch remembers which of its switches were ever used.
SWITCHES = """
import sys
import torch
from atlib import evaluation

def told():
    cudnn, mkldnn = torch.backends.cudnn, torch.backends.mkldnn
    reads = [lambda: cudnn.allow_tf32, lambda: torch.backends.cuda.matmul.allow_tf32]
    reads += [torch.get_float32_matmul_precision, lambda: cudnn.conv.fp32_precision]
    reads += [lambda: mkldnn.matmul.fp32_precision, lambda: mkldnn.conv.fp32_precision]
    for read in reads:
        try:
            yield read()
        except RuntimeError:
            yield "not to be read"

exec(sys.argv[1])
before = list(told())
with evaluation.exact():
    assert torch.backends.cuda.matmul.fp32_precision == torch.backends.mkldnn.matmul.fp32_precision == "ieee"
    assert torch.backends.cudnn.conv.fp32_precision in ("ieee", "none")
    assert "allow_tf32" not in sys.argv[1] or list(told())[:2] == [False, False]
assert list(told()) == before, (before, list(told()))
"""


@pytest.mark.parametrize(
    "used",
    [
        "torch.set_float32_matmul_precision('medium')",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "torch.backends.fp32_precision = 'tf32'",
    ],
)
def test_exact_leaves_no_bfloat16_and_torch_as_it_was(used: str) -> None:
    """With "medium", products of matrices stayed bfloat16, and torch could not be asked for its precision any more."""
    ended = subprocess.run([sys.executable, "-c", SWITCHES, used], cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.filterwarnings("error")
def test_measured_in_single_precision_even_under_autocast(pgd: Path, registry: dict, tf32: None) -> None:
    torch.backends.cudnn.allow_tf32 = True
    seen: list[object] = []

    @measurements.register("probe", lambda subject: ("",))
    def probe(subject: Subject, level: str) -> Findings:
        images = subject.test.images[:10].float() / 255
        seen.extend([subject.model(images).dtype, torch.backends.cudnn.allow_tf32])
        return Findings([Row("accuracy", 0.5, 1, 2)], {})

    before = rows_of(pgd)
    with torch.autocast("cpu", torch.bfloat16):
        assert subject_dtype(pgd) == torch.bfloat16
        evaluation.evaluate(pgd, measure=("probe", "clean", "conflict"), again=True, progress=False)
        assert torch.is_autocast_enabled("cpu") and torch.backends.cudnn.allow_tf32
    assert seen == [torch.float32, False]
    after = rows_of(pgd)
    pd.testing.assert_frame_equal(after[after["distortion"] != "probe"].reset_index(drop=True), before)


def subject_dtype(run: Path) -> torch.dtype:
    subject = evaluation.subject_of(run)
    return subject.model(subject.test.images[:2].float() / 255).dtype


# --- what is measured when --------------------------------------------------------------------------------------------


def test_nothing_is_measured_twice(pgd: Path, calls: list[str]) -> None:
    files = {path.name: path.read_bytes() for path in pgd.iterdir() if path.is_file()}
    evaluation.evaluate(PGD.run, progress=False)
    assert calls == []
    assert {path.name: path.read_bytes() for path in pgd.iterdir() if path.is_file()} | {"lock": b""} == files | {
        "lock": b""
    }


def test_again_replaces_and_never_doubles(pgd: Path, calls: list[str]) -> None:
    rows, arrays = (pgd / "rows.csv").read_bytes(), arrays_of(pgd)
    evaluation.evaluate(pgd, again=True, progress=False)
    assert sorted(calls) == ["clean@", "conflict@", "pgd-linf@8", "trained-attack@"]
    assert (pgd / "rows.csv").read_bytes() == rows
    again = arrays_of(pgd)
    assert again.keys() == arrays.keys() and all((again[name] == arrays[name]).all() for name in arrays)
    evaluation.evaluate(pgd, measure=("clean",), again=True, progress=False)
    assert calls[4:] == ["clean@"] and (pgd / "rows.csv").read_bytes() == rows


def test_a_measurement_taken_again_is_missing_until_it_is_whole(pgd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the new rows, the old record stood beside them."""

    def killed(self: measured.Table) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(measured.Table, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        evaluation.evaluate(pgd, measure=("clean",), again=True, progress=False)
    assert set(read_json(pgd / "evaluation.json")["measurements"]) == {"conflict@", "pgd-linf@8", "trained-attack@"}


def test_only_what_is_missing_is_measured(pgd: Path, calls: list[str]) -> None:
    whole = (pgd / "rows.csv").read_bytes()
    for name in ("rows.csv", "predictions.npz", "evaluation.json"):
        (pgd / name).unlink()
    for measure, expected in ((("conflict",), ["conflict@"]), (("clean", "conflict"), ["clean@"])):
        calls.clear()
        evaluation.evaluate(pgd, measure=measure, progress=False)
        assert calls == expected
    assert set(rows_of(pgd)["distortion"]) == {"clean", "conflict"}
    calls.clear()
    evaluation.evaluate(pgd, progress=False)
    assert sorted(calls) == ["pgd-linf@8", "trained-attack@"]
    assert (pgd / "rows.csv").read_bytes() == whole


def test_stopped_between_two_measurements_it_goes_on(pgd: Path, registry: dict, calls: list[str]) -> None:
    made: list[str] = []

    @measurements.register("first", lambda subject: ("1", "2"))
    def first(subject: Subject, level: str) -> Findings:
        made.append(f"first {level}")
        return Findings([Row("accuracy", 0.5, 1, 2)], {"class": np.zeros(100, np.uint8)})

    @measurements.register("second", lambda subject: ("",))
    def second(subject: Subject, level: str) -> Findings:
        made.append("second")
        if made.count("second") == 1:
            raise KeyboardInterrupt
        return Findings([Row("accuracy", 1.0, 2, 2)], {})

    with pytest.raises(KeyboardInterrupt):
        evaluation.evaluate(pgd, progress=False)
    rows = rows_of(pgd)
    assert list(rows[rows["distortion"] == "first"]["level"]) == ["1", "2"] and "second" not in set(rows["distortion"])
    assert "first@2/class" in arrays_of(pgd)
    evaluation.evaluate(pgd, progress=False)
    assert made == ["first 1", "first 2", "second", "second"] and calls == []
    assert value(rows_of(pgd), "second", "accuracy")["value"] == 1.0


@pytest.mark.parametrize("file", ["predictions.npz", "rows.csv", "evaluation.json"])
def test_stopped_while_writing_it_goes_on(file: str, pgd: Path, registry: dict) -> None:
    """Whichever of the three files comes last, no row is lost, wrong or doubled."""
    made: list[int] = []
    whole = (pgd / "rows.csv").read_bytes()

    @measurements.register("late", lambda subject: ("",))
    def late(subject: Subject, level: str) -> Findings:
        made.append(1)
        return Findings([Row("accuracy", 0.5, 1, 2)], {"class": np.zeros(100, np.uint8)})

    replace_file = measured.atomic

    def stop(path: Path) -> object:
        if path.name == file:
            raise KeyboardInterrupt
        return replace_file(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured, "atomic", stop)
        patch.setattr(files, "atomic", stop)
        patch.setattr(measured, "write_json", lambda path, content: stop(path))
        with pytest.raises(KeyboardInterrupt):
            evaluation.evaluate(pgd, progress=False)
    evaluation.evaluate(pgd, progress=False)
    assert len(made) == 2
    lines = (pgd / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if ",late,," not in line] == whole.decode().splitlines()
    assert sum(",late,," in line for line in lines) == 1


def test_changed_weights_are_measured_anew(pgd: Path, calls: list[str]) -> None:
    before = rows_of(pgd)
    _, meta = load_tensors(pgd / "weights.safetensors")
    models.save(pgd / "weights.safetensors", models.resnet18(**meta["architecture"], seed=9), meta)
    with pytest.raises(InputError, match=r"not the weights recorded in training\.json") as error:
        evaluation.evaluate(pgd, progress=False)
    assert str(pgd / "weights.safetensors") in one_line(error) and calls == []
    digest = tensor_digest(load_tensors(pgd / "weights.safetensors")[0])
    write_json(pgd / "training.json", read_json(pgd / "training.json") | {"weights_digest": digest})
    evaluation.evaluate(pgd, measure=("clean",), progress=False)
    rows = rows_of(pgd)
    assert calls == ["clean@"] and set(rows["distortion"]) == {"clean"}  # nothing of the old network is left
    assert {key.split("/")[0] for key in arrays_of(pgd)} == {"labels", "clean@"}
    assert value(rows, "clean", "p_true")["value"] != value(before, "clean", "p_true")["value"]


def test_weights_put_back_after_others_were_being_measured_are_measured_anew(
    pgd: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other weights' measurement is cut off before its record is written, and leaves its rows and arrays."""

    def cut_off(path: Path, content: dict) -> None:
        if content["measurements"]:
            raise KeyboardInterrupt
        write_json(path, content)

    before = rows_of(pgd)
    record, (tensors, meta) = read_json(pgd / "training.json"), load_tensors(pgd / "weights.safetensors")
    models.save(pgd / "weights.safetensors", models.resnet18(**meta["architecture"], seed=9), meta)
    digest = tensor_digest(load_tensors(pgd / "weights.safetensors")[0])
    write_json(pgd / "training.json", record | {"weights_digest": digest})
    with monkeypatch.context() as patch:
        patch.setattr(measured, "write_json", cut_off)
        with pytest.raises(KeyboardInterrupt):
            evaluation.evaluate(pgd, measure=("clean",), progress=False)
    assert set(rows_of(pgd)["distortion"]) == {"clean"}

    save_tensors(pgd / "weights.safetensors", tensors, meta)
    write_json(pgd / "training.json", record)
    calls.clear()
    evaluation.evaluate(pgd, progress=False)
    assert {call.split("@")[0] for call in calls} == set(BASIC)
    pd.testing.assert_frame_equal(rows_of(pgd), before)


def test_underfit_is_measured_even_if_the_run_that_it_matches_is_gone(pgd: Path) -> None:
    config = tiny(attack="none", match=PGD.run)
    training.train(config, progress=False)
    shutil.rmtree(pgd)
    evaluation.evaluate(config.run, measure=("clean",), progress=False)
    assert set(rows_of(config.folder)["model"]) == {"underfit"}


# --- what cannot be measured ------------------------------------------------------------------------------------------


def in_an_array(content: bytes) -> int:
    """A place in the compressed data of an array (zip headers have fields that nobody reads)."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        member = archive.getinfo("clean@/class.npy")
    name, extra = struct.unpack_from("<HH", content, member.header_offset + 26)
    return member.header_offset + 30 + name + extra + member.compress_size // 2


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("predictions.npz", lambda content: content[: len(content) // 2]),
        ("predictions.npz", lambda content: flipped(content, in_an_array(content))),
        ("predictions.npz", lambda content: flipped(content, in_an_array(content) + 20)),
        ("predictions.npz", lambda content: flipped(content, 0)),
        ("predictions.npz", lambda content: b""),
        ("predictions.npz", None),
        ("rows.csv", lambda content: content[:-20]),
        ("rows.csv", lambda content: content.replace(b",accuracy,0.", b",accuracy,7.")),
        ("rows.csv", lambda content: content + content.splitlines(keepends=True)[-1]),
        ("rows.csv", lambda content: b""),
        ("rows.csv", None),
        ("evaluation.json", lambda content: content[:-20]),
        ("training.json", lambda content: content[: len(content) // 2]),
        ("weights.safetensors", lambda content: content[:-1]),
        ("weights.safetensors", lambda content: flipped(content, len(content) // 2)),
        ("weights.safetensors", None),
    ],
)
def test_damaged_files_are_one_line_and_stay(
    file: str, damage: Callable[[bytes], bytes] | None, pgd: Path, calls: list[str]
) -> None:
    path = pgd / file
    before = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage(before))
    after = {p.name: p.read_bytes() for p in pgd.iterdir() if p.is_file() and p.name != "lock"}
    assert after.get(file) != before
    with pytest.raises(InputError) as error:
        evaluation.evaluate(pgd, progress=False)
    message = one_line(error)
    assert message.startswith(f"{path}: ") and calls == []
    assert {p.name: p.read_bytes() for p in pgd.iterdir() if p.is_file() and p.name != "lock"} == after
    if file in ("rows.csv", "predictions.npz", "evaluation.json"):  # the line says what to do, and it helps
        assert "delete" in message
        (pgd / "evaluation.json").unlink()
        evaluation.evaluate(pgd, measure=("clean",), progress=False)
        assert calls == ["clean@"] and set(rows_of(pgd)["distortion"]) == {"clean"}


def test_unknown_measurement_is_told_before_any_work(pgd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "subject_of", lambda run: pytest.fail("loaded"))
    wrong: tuple[tuple[Any, str], ...] = (
        (None, r"^measure = None: must be names in a tuple, for instance \('clean',\); \(\) for all$"),
        ((5,), "^measure = 5: must be the name of a measurement, such as 'clean'$"),
    )
    for measure, line in wrong:
        with pytest.raises(InputError, match=line):
            evaluation.evaluate("absent/run", measure=measure)
    with pytest.raises(InputError, match=r"^measure = 'pgd_linf': must be one of clean, .*did you mean 'pgd-linf'\?"):
        evaluation.evaluate(pgd, measure=("clean", "pgd_linf"), progress=False)


def test_a_measurement_that_does_not_apply_is_told(pgd: Path) -> None:
    with pytest.raises(InputError, match=f"^measure = 'trained-attack': does not apply to {NORMAL.folder.name}$"):
        evaluation.evaluate(NORMAL.run, measure=("trained-attack",), progress=False)
    assert not (NORMAL.folder / "rows.csv").exists()


def test_unknown_run_is_told_with_the_nearest(pgd: Path) -> None:
    for name in (PGD.run[:-1] + "x", PGD.run.replace("linf", "lnf")):
        with pytest.raises(InputError) as error:
            evaluation.evaluate(name, progress=False)
        assert one_line(error).startswith(f"run = {name!r}: no finished run there or under {runs_dir()}")
        assert str(error.value).endswith(f"(did you mean {PGD.run!r}?)")


def test_unfinished_run_is_not_measured(pgd: Path) -> None:
    (pgd / "training.json").unlink()
    with pytest.raises(InputError, match="no finished run there"):
        evaluation.evaluate(pgd, progress=False)


def test_a_run_in_use_is_told(pgd: Path) -> None:
    code = "import sys; from pathlib import Path; from atlib import files\n"
    code += "with files.exclusive(Path(sys.argv[1])):\n    print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", code, str(pgd)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"already in use by process {holder.pid}$") as error:
            evaluation.evaluate(pgd, progress=False)
        assert one_line(error).startswith(f"{pgd.resolve()}: ")
    finally:
        holder.communicate()
    evaluation.evaluate(pgd, progress=False)


def test_configuration_in_the_record_is_the_run_s(pgd: Path) -> None:
    subject = evaluation.subject_of(pgd)
    assert subject.config == PGD and subject.side == 32 and len(subject.test.labels) == 100
    assert json.loads((pgd / "config.json").read_text(encoding="utf-8")) == asdict(PGD)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in subject.model.modules())  # folded


# --- what fails, and what has changed since --------------------------------------------------------------------------


def test_one_that_fails_does_not_stop_the_others(pgd: Path, registry: dict) -> None:
    """The rest is measured and written; then the run fails, with one line, and does so again until it is mended."""

    def fails(subject: Subject, level: str) -> Findings:
        subject.model.register_forward_hook(lambda module, given, said: said / 0)
        return measurements.classify(subject)

    def works(subject: Subject, level: str) -> Findings:
        return Findings([Row("accuracy", 0.5, 1, 2)], {})

    registry["fails"] = measurements.Measurement(lambda subject: ("1",), fails)
    registry["works"] = measurements.Measurement(lambda subject: ("1",), works)
    registry["fails too"] = measurements.Measurement(lambda subject: ("1",), fails)
    nan = "the network gives NaN or infinite outputs"
    for _ in range(2):
        line = f"^run = '{PGD.run}': fails@1: {nan}; fails too@1: {nan}$"
        with pytest.raises(NetworkError, match=line):
            evaluation.evaluate(pgd, progress=False)
        assert set(rows_of(pgd)["distortion"]) == {"clean", "pgd-linf", "trained-attack", "conflict", "works"}
    del registry["fails"], registry["fails too"]
    evaluation.evaluate(pgd, progress=False)


def test_rows_that_no_record_speaks_of_are_not_taken_over(tmp_path: Path, pgd: Path) -> None:
    """A call that replaces another network's rows writes its record first. Killed there, it left the other's rows."""
    subject = evaluation.subject_of(pgd)
    found = Findings([Row("accuracy", 0.5, 1, 2)], {"right": np.array([1, 0])})
    table = evaluation.Table(tmp_path, subject, evaluation.columns_of(PGD, PGD.run), "digest")
    table.put("clean", "", found, 1.0)
    table.put("conflict", "", found, 1.0)
    record = read_json(tmp_path / "evaluation.json")
    del record["measurements"]["clean@"]
    write_json(tmp_path / "evaluation.json", record)
    again = evaluation.Table(tmp_path, subject, evaluation.columns_of(PGD, PGD.run), "digest")
    assert set(again.rows["distortion"]) == {"conflict"} and set(again.arrays) == {"labels", "conflict@/right"}


def test_answers_to_clean_pictures_are_those_of_evaluation_mode(pgd: Path) -> None:
    subject = evaluation.subject_of(pgd)
    norm = nn.BatchNorm2d(3)
    norm.running_mean = torch.tensor([0.5, 0.0, -0.5])
    subject = replace(subject, model=nn.Sequential(norm, subject.model))
    expected = measurements.predict(replace(subject, model=copy.deepcopy(subject.model).eval()), *subject.test)
    subject.model.train()
    answers = measurements.predict(subject, *subject.test)
    assert np.array_equal(answers[1], expected[1]) and int(norm.num_batches_tracked or 0) == 0


def test_a_network_that_hides_its_gradient_is_not_called_robust(pgd: Path, capsys: pytest.CaptureFixture) -> None:
    subject = evaluation.subject_of(pgd)
    subject.model.register_forward_pre_hook(lambda module, given: ((given[0] * 255).round() / 255,))
    found = measurements.table_1(subject, "8")
    accuracy = {row.metric: row.value for row in found.rows}
    clean = measurements.classify(subject).rows[0].value
    assert accuracy["accuracy_last"] == accuracy["accuracy_any"] == clean > 0 and accuracy["vanished"] == 1
    assert measurements.warning(found).startswith(
        "the gradient of 100 of 100 pictures is zero or not finite, so an attack"
    )
    assert measurements.warning(measurements.table_1(evaluation.subject_of(pgd), "8")) == ""
    # the same, where an attack begins, for rows of attacks that don't say it
    assert measurements.gradient(subject, "").rows == [Row("vanished", 1.0, 100, 100)]
    assert measurements.gradient(evaluation.subject_of(pgd), "").rows == [Row("vanished", 0.0, 0, 100)]
    table = evaluation.Table(pgd / "hidden", subject, evaluation.columns_of(PGD, PGD.run), "digest")
    table.folder.mkdir()
    assert evaluation.complete(table, measure=("pgd-linf",), progress=False) == []
    assert "warning: pgd-linf@8: the gradient of 100 of 100 pictures" in capsys.readouterr().out
    assert read_json(table.folder / "evaluation.json")["measurements"]["pgd-linf@8"]["warning"].startswith("the grad")


def test_what_has_changed_since_is_measured_again(pgd: Path, registry: dict, calls: list[str]) -> None:
    made = {"of": 1}

    def measure(subject: Subject, level: str) -> Findings:
        calls.append(f"made@{level}")
        return Findings([Row("accuracy", 0.5, 1, 2)], {}, {"made": dict(made)})

    def outdated(subject: Subject, level: str, record: dict) -> bool:
        return record["made"] != made

    registry["made"] = measurements.Measurement(lambda subject: ("1",), measure, outdated=outdated)
    for _ in range(2):
        evaluation.evaluate(pgd, progress=False)
    made["of"] = 2
    for _ in range(2):
        evaluation.evaluate(pgd, progress=False)
    assert calls == ["made@1", "made@1"]
    assert read_json(pgd / "evaluation.json")["measurements"]["made@1"]["made"] == {"of": 2}


def test_other_test_pictures_are_measured_anew(pgd: Path, calls: list[str], capsys: pytest.CaptureFixture) -> None:
    """A record of before the pictures' digest was kept is believed; one of other pictures is not."""
    origins = read_json(pgd / "evaluation.json")
    digest = origins.pop("pictures")
    write_json(pgd / "evaluation.json", origins)
    evaluation.evaluate(pgd, progress=False)
    assert not calls and digest == evaluation.subject_of(pgd).content
    write_json(pgd / "evaluation.json", origins | {"pictures": "others"})
    evaluation.evaluate(pgd, progress=False)
    assert (
        len(calls) == len(origins["measurements"])
        and "the test pictures have changed; measuring everything again" in capsys.readouterr().out
    )
    assert read_json(pgd / "evaluation.json")["pictures"] == digest
