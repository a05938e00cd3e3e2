"""The job notebooks: their parameters, what is wrong with them in one line, and papermill itself."""

from __future__ import annotations

import contextlib
import inspect
import math
import os
import pty
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import jupytext
import nbformat
import pytest

from atlib import own, style
from atlib.campaign import jobs
from atlib.choices import ATTACKS, BELONGS, NUMBERED, STEMS
from atlib.configuration import RESOLVE, Config, resolve
from atlib.errors import InputError
from atlib.files import REPOSITORY, data_dir, runs_dir, write_json
from atlib.report import job
from atlib.rows import read_rows

JOBS = ("train", "evaluate", "stylise")
FINISHED = "shapes/pgd-linf-8-w16-s1-01234567"


def parameters(name: str) -> str:
    """The code of a job's parameters cell."""
    page = jupytext.read(REPOSITORY / "book" / f"{name}.md", fmt="md:myst")
    (cell,) = [cell for cell in page.cells if "parameters" in cell.metadata.get("tags", [])]
    return cell.source


def notebook(name: str, given: dict[str, object]) -> tuple[dict[str, object], list[str]]:
    """The globals and the input history of a job after papermill has put `given` in."""
    values: dict[str, object] = {}
    cell = "# Parameters\n" + "".join(f"{key} = {value!r}\n" for key, value in given.items())
    history = ["", parameters(name), cell] if given else ["", parameters(name)]
    for code in history:
        exec(code, {"nan": math.nan, "inf": math.inf}, values)
    return values, history


def train_config(**given: object) -> Config:
    return jobs.train_config(*notebook("train", given))


def evaluate_arguments(**given: object) -> dict:
    return jobs.evaluate_arguments(*notebook("evaluate", given))


def stylise_arguments(**given: object) -> dict:
    return jobs.stylise_arguments(*notebook("stylise", given))


# --- parameters -------------------------------------------------------------------------------------------------------


def known(name: str) -> tuple[str, ...]:
    """The parameters that a notebook has."""
    return tuple(key for key in notebook(name, {})[0] if not key.startswith("__"))


@pytest.mark.parametrize("name", JOBS)
def test_the_known_parameters_are_those_of_the_notebook(name: str) -> None:
    assert jobs.declared(notebook(name, {})[1]) == jobs.declared(notebook(name, {"a": 1})[1]) == known(name)
    assert jobs.declared(()) == ()


def test_every_choice_of_a_run_is_a_parameter_and_every_attack_has_some() -> None:
    assert known("train") == jobs.choices()
    assert all(set(about.parameters) <= set(jobs.choices()) for about in ATTACKS.values())
    assert all(kind.number in ATTACKS[kind.given["attack"]].parameters for kind in NUMBERED.values())
    assert set(RESOLVE) == set(ATTACKS)
    assert set(BELONGS) < set(jobs.choices())


def test_defaults_of_the_notebook_are_those_of_the_library() -> None:
    assert train_config() == resolve()
    values, _ = notebook("train", {})
    assert {name: values[name] for name in jobs.choices()} == {f.name: f.default for f in fields(Config)[:-1]}


@pytest.mark.parametrize("name", JOBS)
def test_every_parameter_has_a_type_and_a_comment(name: str) -> None:
    for line in parameters(name).splitlines():
        before, hash_sign, comment = line.partition("  # ")
        assert ": " in before.split(" = ")[0] and hash_sign and comment.strip(), line


def test_injected_names_are_those_of_papermill_s_cell() -> None:
    cell = '# Parameters\neps = 4\ndataset = "a = b"\n'
    history = ["", parameters("train"), cell, "x = 1"]
    assert jobs.injected(history) == ("eps", "dataset")
    assert jobs.injected([*history, "# Parameters\nnorm = 'l2'"]) == ("norm",)  # executed again in one kernel
    assert jobs.injected(history[:2]) == jobs.injected([]) == ()


def test_parameters_reach_the_run() -> None:
    given = {"attack": "spatial", "tau": 0.1, "seed": 3, "share": 0.5, "epochs": 2, "cue": "shape"}
    assert train_config(**given) == resolve(**given)
    assert train_config(norm="l2", eps=12) == resolve(norm="l2", eps=12)
    assert train_config(attack="none", norm=None, match="") == resolve(attack="none")  # absent, said aloud


def test_quick_mode_is_a_tiny_run_of_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = train_config(seed=3)
    for value in ("", "0"):
        monkeypatch.setenv("ATLIB_QUICK", value)
        assert not jobs.quick() and train_config(seed=3) == usual
    monkeypatch.setenv("ATLIB_QUICK", "1")
    config = train_config(seed=3)
    assert jobs.quick() and config.quick and config.width == 4 and config.epochs == 1 and config.seed == 3
    assert config.run != resolve(seed=3, width=4, epochs=1, precision="fp32").run


# --- what is wrong with them ------------------------------------------------------------------------------------------

NONE = {"attack": "none"}
SPATIAL = {"attack": "spatial"}
IMAGENET = {"width": 64, "stem": "7x7"}
# parameter: [(its value, the others given, what the line says after "parameter = value: ")]
Cases = Sequence[tuple[object, Mapping[str, object], str]]
BAD_TRAIN: dict[str, Cases] = {
    "dataset": [
        ("cifar11", {}, "must be one of shapes, cifar10, "),
        ("cifar11", {}, "(did you mean 'cifar10'?)"),
        (5, {}, "must be one of shapes, cifar10, "),
        (None, {}, "must be one of shapes, cifar10, "),
        ("folder:/nowhere", {}, "must be folder:PATH with the PATH of a folder"),
    ],
    "side": [
        (64, {}, "must be 32"),
        ("big", {"dataset": "tiny-imagenet"}, "must be a whole number at least 64 and at most 512"),
        (32, {"dataset": "tiny-imagenet"}, "must be a whole number at least 64 and at most 512"),
        (128.5, {"dataset": "caltech256"}, "must be a whole number at least 16 and at most 512"),
    ],
    "amplitude": [
        (-0.1, {}, "must be a number at least 0 and at most 0.5"),
        ("high", {}, "must be a number at least 0 and at most 0.5"),
        (0.1, {"dataset": "cifar10"}, "only the data set shapes has one"),
    ],
    "cue": [
        ("textur", {}, "must be one of both, shape, texture (did you mean 'texture'?)"),
        ("both", {"dataset": "cifar10"}, "only the data set shapes has one"),
    ],
    "attack": [
        ("pdg", {}, "must be one of none, fgsm, pgd, spatial, noise, blur (did you mean 'pgd'?)"),
        (None, {}, "must be one of none, fgsm, pgd, spatial"),
        (8, {}, "must be one of none, fgsm, pgd, spatial"),
    ],
    "norm": [
        ("linff", {}, "must be one of linf, l2 (did you mean 'linf'?)"),
        (2, {}, "must be one of linf, l2"),
        ("l2", {"attack": "fgsm"}, "must be linf with attack fgsm, which steps along the sign"),
        ("l2", NONE, "only with attack fgsm or pgd, not with 'none'"),
    ],
    "eps": [
        *[(value, {}, "must be a number at least 0.1 and at most 255") for value in (-1, 0, "much", 256, None, True)],
        ("2/255", {}, "in units of 1/255: write 2"),
        ("12/255", {"norm": "l2"}, "in the paper's unit: write 12"),
        (0.03, {}, "must be at least 0.1, in units of 1/255: write 7.65 for 0.03 of a pixel's range"),
        (0.03, {"norm": "l2"}, "must be at least 0.1, in the paper's unit"),
        (math.nan, {}, "must be a number at least 0.1 and at most 255"),
        (math.inf, {}, "must be a number at least 0.1 and at most 255"),
        (0, {"attack": "fgsm"}, "must be a number at least 0.1 and at most 255"),
        (8, NONE, "only with attack fgsm or pgd, not with 'none'"),
        (8, SPATIAL, "only with attack fgsm or pgd, not with 'spatial'"),
    ],
    "steps": [
        *[(value, {}, "must be a whole number at least 1 and at most 1000") for value in (0, 2.5, "7", None, 1001)],
        (0, SPATIAL, "must be a whole number at least 1 and at most 1000"),
        (7, {"attack": "fgsm"}, "only with attack pgd or spatial, not with 'fgsm'"),
    ],
    "step_size": [
        *[(value, {}, "must be a number above 0 and at most 255") for value in (0, -1, "small")],
        ("2/255", {}, "in units of 1/255: write 2"),
        (1, {"attack": "fgsm"}, "only with attack pgd, not with 'fgsm'"),
    ],
    "random_start": [
        ("true", {}, "must be one of True, False (did you mean 'True'?)"),
        (2, {}, "must be one of True, False"),
        (None, {}, "must be one of True, False"),
        (True, {"attack": "fgsm"}, "only with attack pgd, not with 'fgsm'"),
    ],
    "tau": [
        (-0.1, SPATIAL, "must be a number at least 0"),
        (0.1, {}, "only with attack spatial, not with 'pgd'"),
    ],
    "max_flow": [
        (0, SPATIAL, "must be a number above 0"),
        ("far", SPATIAL, "must be a number above 0"),
        (2, {}, "only with attack spatial, not with 'pgd'"),
    ],
    "sigma": [
        *[(value, {"attack": "noise"}, "must be a number above 0 and at most 1") for value in (0, 1.5, "much")],
        (10.5, {"attack": "blur"}, "must be a number above 0 and at most 10"),
        (0.1, {}, "only with attack noise or blur, not with 'pgd'"),
    ],
    "share": [
        *[(value, {}, "must be a number above 0 and at most 1") for value in (0, 1.5, "half")],
        (0.5, NONE, "only with attack fgsm or pgd or spatial or noise or blur, not with 'none'"),
    ],
    "match": [
        *[(value, NONE, "must be a number above 0 and at most 1") for value in (0.0, 1.5, math.nan, math.inf)],
        (FINISHED[:-1], NONE, f"no finished run there or under RUNS (did you mean '{FINISHED}'?)"),
        (0.8, {}, "only with attack none, not with 'pgd'"),
    ],
    "width": [(value, {}, "must be a whole number at least 1 and at most 1024") for value in (0, 16.0, "wide", None)],
    "stem": [("3x3-stride", {}, f"must be one of {', '.join(STEMS)} (did you mean '3x3-stride2'?)")],
    "weights": [
        ("IMAGENET1K_V1", {}, "ImageNet weights need width 64 and stem 7x7"),
        ("IMAGENET1K_V1", {"width": 64, "stem": "3x3"}, "ImageNet weights need width 64 and stem 7x7"),
        ("IMAGENET1K_V3", IMAGENET, "neither a file, nor one in WEIGHTS, nor one of torchvision's IMAGENET1K_V1 (did"),
        ("nowhere.pt", IMAGENET, "neither a file, nor one in WEIGHTS, nor one of torchvision's IMAGENET1K_V1"),
        (1, IMAGENET, "neither a file, nor one in WEIGHTS, nor one of torchvision's IMAGENET1K_V1"),
    ],
    "epochs": [(value, {}, "must be a number above 0 and at most 10000") for value in (0, -1, "ten", 10_001)],
    "batch": [(value, {}, "must be a whole number at least 2 and at most 65536") for value in (1, 64.0, "all")],
    "lr": [(value, {}, "must be a number above 0 and at most 10") for value in (0, -0.1, "1e-1", 11)],
    "schedule": [("one-cicle", {}, "must be one of one-cycle, steps (did you mean 'one-cycle'?)")],
    "weight_decay": [(value, {}, "must be a number at least 0 and at most 1") for value in (-1, 2, None, "no")],
    "precision": [("fp16", {}, "must be one of auto, fp32, bf16 (did you mean 'bf16'?)")],
    "seed": [(value, {}, "must be a whole number at least 0 and at most 2147483647") for value in (-1, 1.5, 2**31)],
}  # fmt: skip
BAD_EVALUATE: dict[str, Cases] = {
    "run": [
        ("", {}, "must name a finished run, as a folder or as DATASET/RUN, e.g. -p run runs/shapes/"),
        (None, {}, "must name a finished run"),
        (FINISHED[:-1], {}, f"no finished run there or under RUNS (did you mean '{FINISHED}'?)"),
        ("5", {}, "no finished run there or under RUNS"),
        ("/nowhere", {}, "no finished run there or under RUNS"),
    ],
    "measure": [
        ("pgd_linf", {}, "must be one of clean, gradient, pgd-linf, "),
        ("pgd_linf", {}, "(did you mean 'pgd-linf'?)"),
        (None, {}, "must be names separated by commas, or empty for all"),
        (["clean"], {}, "must be names separated by commas, or empty for all"),
    ],
    "again": [(value, {}, "must be True or False") for value in ("yes", 2, None)],
    "model": [
        ("resnet18", {"run": "", "dataset": "shapes"}, "must be one of atlib:DATASET/MODEL, torchvision:NAME, "),
        (18, {}, "must be text"),
    ],
    "dataset": [
        ("", {"run": "", "model": "mine:good"}, "must name the pictures to measure the model on"),
        ("cifar11", {"run": "", "model": "atlib:shapes/normal"}, "must be one of shapes, cifar10, "),
        ("shapes", {}, "must be empty unless model is given; a run has its own"),
    ],
    "side": [
        (64, {}, "must be empty unless model is given"),
        (64, {"run": "", "model": "atlib:shapes/normal", "dataset": "shapes"}, "must be 32"),
    ],
    "classes": [("map.csv", {}, "must be empty unless model is given"), (3, {}, "must be text")],
    "weights": [("a.pt", {}, "must be empty unless model is given"), (None, {}, "must be text")],
    "limit": [
        (5, {}, "must be empty unless model is given"),
        (0, {}, "must be empty unless model is given"),
        (0, {"run": "", "model": "atlib:shapes/normal", "dataset": "shapes"}, "must be a whole number at least 1"),
    ],
    "sample": [
        (3, {}, "must be text"),
        (
            "fist",
            {"run": "", "model": "nowhere:good", "dataset": "shapes", "limit": 5},
            "must be one of stratified, first",
        ),
    ],
}


def test_the_tables_cover_every_parameter() -> None:
    assert set(BAD_TRAIN) == set(known("train")) and set(BAD_EVALUATE) == set(known("evaluate"))


def bad(table: Mapping[str, Cases]) -> list:
    return [
        pytest.param(name, *case, id=f"{name}-{case[0]}-{number}")
        for name, cases in table.items()
        for number, case in enumerate(cases)
    ]


@pytest.fixture
def finished() -> None:
    """A run that is there."""
    write_json(runs_dir() / FINISHED / "training.json", {"run": FINISHED})


def check(error: InputError, name: str, value: object, expected: str) -> None:
    """The message is one line that names the parameter, the value and what is allowed; nothing was written."""
    message = str(error)
    assert message.startswith(f"{name} = {value!r}: ") and "\n" not in message
    expected = expected.replace("RUNS", str(runs_dir())).replace("WEIGHTS", str(data_dir() / "weights"))
    assert expected in message
    files = [path for path in runs_dir().rglob("*") if path.is_file()]
    assert [path.relative_to(runs_dir()).as_posix() for path in files] == [f"{FINISHED}/training.json"]


@pytest.mark.parametrize(("name", "value", "others", "expected"), bad(BAD_TRAIN))
def test_bad_parameter_of_train(name: str, value: object, others: dict, expected: str, finished: None) -> None:
    with pytest.raises(InputError) as error:
        train_config(**others, **{name: value})
    check(error.value, name, value, expected)


@pytest.mark.parametrize(("name", "value", "others", "expected"), bad(BAD_EVALUATE))
def test_bad_parameter_of_evaluate(name: str, value: object, others: dict, expected: str, finished: None) -> None:
    run = {} if name == "run" else {"run": FINISHED}
    with pytest.raises(InputError) as error:
        evaluate_arguments(**(run | dict(others) | {name: value}))
    check(error.value, name, "" if name == "run" and not value else value, expected)


@pytest.mark.parametrize(
    ("job", "name", "meant"),
    [
        (train_config, "epz", "eps"),
        (train_config, "datset", "dataset"),
        (train_config, "learning_rate", None),
        (train_config, "quick", None),
        (evaluate_arguments, "rnu", "run"),
        (evaluate_arguments, "measures", "measure"),
    ],
)
def test_unknown_parameter(job: object, name: str, meant: str | None, finished: None) -> None:
    names = known("train" if job is train_config else "evaluate")
    with pytest.raises(InputError) as error:
        job(**{name: 8})  # type: ignore[operator]
    check(error.value, name, 8, "no such parameter")
    assert str(error.value).endswith(f"; must be one of {', '.join(names)}")
    assert meant is None or f"(did you mean {meant!r}?)" in str(error.value)


def test_parameters_are_checked_before_torch_is_imported() -> None:
    asked: dict[str, object] = dict.fromkeys(known("evaluate"), "")
    for_training: list[dict] = [
        {"eps": "2/255"}, {"dataset": "cifar11"}, {"dataset": "folder:/absent"}, {"side": 31}, {"steps": 0},
        {"stem": "9x9"}, {"cue": "colour"}, {"lr": -1}, {"epochs": 0},
        {"attack": "none", "match": "2"}, {"attack": "none", "match": "shapes/absent"},
    ]  # fmt: skip
    wrong: list[tuple[str, str, dict]] = [
        ("train_config", "# Parameters\nepz = 8", {"epz": 8, "attack": "pgd"}),
        ("train_config", "# Parameters\ntau = 1", {"tau": 1, "attack": "pgd"}),
        ("train_config", "", {"attack": "pdg"}),
        *(("train_config", "", vars(Config()) | given) for given in for_training),
        ("evaluate_arguments", "", asked | {"run": 3, "measure": 3}),
        ("evaluate_arguments", "", asked | {"run": "shapes/absent", "again": False}),
        ("evaluate_arguments", "", asked | {"model": "timm:x", "dataset": "cifar11", "again": False}),
        ("stylise_arguments", "", dict.fromkeys(known("stylise"), 3)),
        ("stylise_arguments", "", dict.fromkeys(known("stylise"), "x")),
    ]
    code = f"""
import sys
from atlib.campaign import jobs
from atlib.errors import InputError

for check, cell, given in {wrong!r}:
    try:
        getattr(jobs, check)(given, ["", {parameters("train")!r}, cell])
    except InputError:
        continue
    sys.exit(f"not refused: {{check}} {{given}}")
assert not {{"torch", "torchvision", "pandas", "scipy"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr


def test_unknown_name_is_told_before_a_bad_value() -> None:
    with pytest.raises(InputError, match=r"^epz = 8: "):
        train_config(epz=8, dataset="cifar11")


@pytest.mark.parametrize("value", [0.5, "0.5", FINISHED])
def test_match_is_an_accuracy_or_a_run(value: object, finished: None) -> None:
    config = train_config(attack="none", match=value)
    assert config.match == str(value) and config.model.startswith("underfit")


def test_match_outside_the_folder_of_runs_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    write_json(elsewhere / "training.json", {})
    with pytest.raises(InputError, match=f"^match = '{elsewhere}': must be a run under {runs_dir()}, or an accuracy$"):
        train_config(attack="none", match=str(elsewhere))


def test_arguments_of_evaluate(finished: None) -> None:
    folder = (runs_dir() / FINISHED).resolve()
    for run in (FINISHED, str(folder), str(folder) + "/"):
        assert evaluate_arguments(run=run) == {"run": folder, "measure": (), "again": False}
    found = evaluate_arguments(run=FINISHED, measure=" clean, pgd-linf ,", again=True)
    assert found == {"run": folder, "measure": ("clean", "pgd-linf"), "again": True}
    with pytest.raises(InputError, match=r"^run = '.*': must be empty when model is given; "):
        evaluate_arguments(run=FINISHED, model="atlib:shapes/normal", dataset="shapes")
    found = evaluate_arguments(model="atlib:shapes/normal", dataset="shapes", measure="clean")
    assert found["about"].source == "atlib:shapes/normal" and set(found) == {"about", "measure", "again"}
    assert jobs.evaluate(found | {"progress": False}) == own.folder_of(found["about"])
    assert (own.folder_of(found["about"]) / "own.json").is_file()


# --- papermill --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A path on which papermill finds the entry points of pyproject.toml, installed or not."""
    folder = tmp_path_factory.mktemp("plugin")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [f"{name} = {place}" for name, place in project["entry-points"]["papermill.engine"].items()]
    entries = folder / "atlib-0.1.0.dist-info" / "entry_points.txt"
    entries.parent.mkdir()
    entries.write_text("\n".join(["[papermill.engine]", *lines]), encoding="utf-8")
    return os.pathsep.join([str(folder), os.environ["PYTHONPATH"]])


def papermill(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run papermill as a user does, with no terminal."""
    program = Path(sys.executable).with_name("papermill")
    return subprocess.run(
        [str(program), *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=REPOSITORY,
        env=os.environ | environment, timeout=900,
    )  # fmt: skip


def on_a_terminal(*words: str, **environment: str) -> tuple[int, str, str]:
    """Run papermill with its stdout in a file and its stderr on a terminal: exit status, stdout, what that showed."""
    program, (ours, theirs) = Path(sys.executable).with_name("papermill"), pty.openpty()
    with tempfile.TemporaryFile() as stdout:
        process = subprocess.Popen(
            [str(program), *words], stdin=subprocess.DEVNULL, stdout=stdout, stderr=theirs, cwd=REPOSITORY,
            env=os.environ | environment,
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError), open(ours, "rb", buffering=0) as terminal:  # an error is its end
            while part := terminal.read(65536):
                shown += part
        process.wait(60)
        stdout.seek(0)
        return process.returncode, stdout.read().decode(), shown.decode().replace("\r\n", "\n")


MEANINGLESS = ("WARNING", "UserWarning", "KeyboardInterrupt", "Traceback", "TCP")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("epz", "8", "epz = 8: no such parameter (did you mean 'eps'?); must be one of dataset, "),
        ("eps", "2/255", "eps = '2/255': in units of 1/255: write 2"),
        ("dataset", "cifar11", "dataset = 'cifar11': must be one of shapes, cifar10, "),
    ],
)
def test_papermill_ends_with_the_one_line(name: str, value: str, expected: str, plugin: str) -> None:
    done = papermill("notebooks/train.ipynb", "-p", name, value, PYTHONPATH=plugin)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line != f"Passed unknown parameter: {name}"]
    assert len(lines) == 1 and lines[0].startswith(f"error: {expected}"), done.stderr
    assert nbformat.reads(done.stdout, as_version=4).cells and not runs_dir().exists()


def test_an_unexpected_error_keeps_the_notebook_s_traceback(capsys: pytest.CaptureFixture) -> None:
    from papermill.exceptions import PapermillExecutionError

    from atlib.campaign import engine

    found = [
        PapermillExecutionError(3, 2, "x", kind, "eps = 0: must be", ["the notebook's", f"{kind}: told"])
        for kind in ("InputError", "ZeroDivisionError")
    ]
    for error in found:
        engine.in_one_line(type(error), error, None)
    one, rest = capsys.readouterr().err.split("\n", 1)
    assert one == "error: eps = 0: must be" and "the notebook's\nZeroDivisionError: told" in rest
    assert "papermill/execute.py" not in rest


def test_other_notebooks_are_left_to_papermill() -> None:
    from atlib.campaign import engine

    for name, expected in {"train": True, "evaluate": True, "stylise": True, "index": False}.items():
        assert engine.is_job(nbformat.read(REPOSITORY / "notebooks" / f"{name}.ipynb", as_version=4)) is expected


@pytest.mark.parametrize("name", JOBS)
def test_help_lists_each_parameter_with_its_comment(name: str) -> None:
    done = papermill("--help-notebook", f"notebooks/{name}.ipynb")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    for line in parameters(name).splitlines():
        parameter, kind = line.split(" = ")[0].split(": ")
        default, comment = line.split(" = ", 1)[1].split("  # ")
        assert f"{parameter}: {kind} (default {default}) {comment}" in words
    assert "Unknown" not in words and words.count("(default ") == len(known(name))


def executed(text: str) -> nbformat.NotebookNode:
    """A notebook that papermill has run to its end."""
    done = nbformat.reads(text, as_version=4)
    nbformat.validate(done)
    counts = [cell.execution_count for cell in done.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert not any(output.output_type == "error" for cell in done.cells for output in cell.get("outputs", []))
    return done


def printed(notebook: nbformat.NotebookNode) -> str:
    return "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))


def test_a_network_from_one_command(tmp_path: Path, plugin: str) -> None:
    """Train to standard output, seen on a terminal; again with an output path and no terminal: it is not repeated."""
    usual: dict[str, str] = {"ATLIB_QUICK": "1", "PYTHONPATH": plugin}
    status, stdout, shown = on_a_terminal("notebooks/train.ipynb", "-p", "eps", "8", **usual)
    assert status == 0, shown
    notebook = executed(stdout)
    (folder,) = runs_dir().glob("shapes/*")
    assert folder.name.startswith("pgd-linf-8-w4-s1-")

    # on the terminal: one line, drawn again and again; then what was reached, where it lies, what to type
    assert not any(word in shown for word in MEANINGLESS), shown
    lines = [line.strip() for line in re.split("[\r\n]+", shown) if line.strip()]
    last = lines[next(number for number, line in enumerate(lines) if line.startswith("pgd-linf-8 on shapes: ")) :]
    assert len(last) == 6 and shown.count("\r") >= len(lines) - len(last) - 1  # what comes before is redrawn
    told = "first pgd-linf-8 is trained, then measured: accuracy, and PGD-40, on all test pictures"
    begun = next(n for n, line in enumerate(lines) if line.startswith("pgd-linf-8  epoch ") and " left  loss " in line)
    assert any(told in line for line in lines[:begun]), lines
    assert last[0].startswith("pgd-linf-8 on shapes: ") and "under PGD-40, l_inf 8/255, step 2/255" in last[0]
    assert last[1] == f"It lies in {folder}" and last[3] == "Next:"
    assert last[2] == f"Its pictures and maps, for a browser: {folder / 'glance.html'}"
    assert f"papermill notebooks/evaluate.ipynb runs/evaluation.ipynb -p run {folder} " in last[4]
    assert f"make publish RUN={folder} " in last[5]

    # in the notebook: the pictures first, with the numbers below them, in words
    first = next(cell for cell in notebook.cells if cell.cell_type == "code" and cell.outputs)
    (output,) = first.outputs
    html = output["data"]["text/html"]
    assert html.startswith("<img ") and html.count("<tr") == 5 and "shape bias: answers by shape" in html
    assert "Next" in printed(notebook) + str(notebook) and str(folder) in html and "trained in " in html
    assert not any(word in html for word in ("&lt;NA", "accuracy_any", "vanished"))
    look = (folder / "glance.html").read_text(encoding="utf-8")  # for those who have no notebook's viewer
    assert html in look and look.startswith("<!doctype html>") and "<title>shapes/pgd-linf-8-w4-s1-" in look
    rows = read_rows(folder / "rows.csv")
    assert set(rows["distortion"]) == {"clean", "pgd-linf", "conflict"}

    second = papermill("notebooks/train.ipynb", str(tmp_path / "out.ipynb"), "-p", "eps", "8.0", **usual)
    assert second.returncode == 0, second.stderr
    assert "\r" not in second.stderr and "epoch" not in second.stderr and "It lies in " in second.stderr
    assert "already trained, nothing to do" in printed(executed((tmp_path / "out.ipynb").read_text(encoding="utf-8")))
    assert [*runs_dir().glob("shapes/*")] == [folder]


@pytest.mark.parametrize(
    ("given", "share"),
    # forward, gradient and training step cost 1, 2 and 3; the shares are counted by hand
    [
        ({"dataset": "cifar10", "eps": 8, "share": 0.5, "steps": 7, "epochs": 12}, 82 / 546),
        ({"dataset": "cifar10", "attack": "none", "epochs": 12}, 82 / (3 * 54 + 30)),
    ],
)
def test_how_long_measuring_takes_is_said_before_training(given: dict, share: float) -> None:
    """CIFAR-10 was measured for minutes after training, and nothing had said so."""
    config = resolve(**given)
    line = job.coming(config)
    assert line.startswith(f"first {config.model} is trained, then measured: accuracy, and PGD-40, on 10,000 test pic")
    assert line.endswith(f"which takes about {share:.2g} times as long as the training")
    write_json(config.folder / "training.json", {})
    assert job.coming(config) == ""


def test_arguments_of_stylise(monkeypatch: pytest.MonkeyPatch) -> None:
    found = stylise_arguments(dataset="caltech101", side=112, styles="paintings", seed=4)
    assert found == {
        "dataset": "caltech101", "side": 112, "styles": "paintings", "stylist": "ghiasi", "weights": "", "seed": 4,
        "count": None,
    }  # fmt: skip
    assert set(found) <= set(inspect.signature(style.make).parameters)
    monkeypatch.setenv("ATLIB_QUICK", "1")
    assert stylise_arguments(stylist="microast") == {
        "dataset": "shapes", "side": None, "styles": "generated", "stylist": "microast", "weights": "", "seed": 0,
        "count": 3,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("dataset", "cifar11", "must be one of shapes, cifar10, "),
        ("side", 12, "must be 32"),
        ("styles", 3, "must be text"),
        ("stylist", "giasi", "must be one of ghiasi, microast (did you mean 'ghiasi'?)"),
        ("style", "x", "no such parameter (did you mean 'styles'?)"),
    ],
)
def test_bad_parameter_of_stylise(name: str, value: object, expected: str, finished: None) -> None:
    with pytest.raises(InputError) as error:
        stylise_arguments(**{name: value})
    check(error.value, name, value, expected)


def test_evaluate_finds_a_run_of_its_own_in_quick_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLIB_QUICK", "1")
    arguments = evaluate_arguments()
    assert arguments["run"] == train_config().folder and (arguments["run"] / "training.json").is_file()
    assert arguments["measure"] == ("clean", "saturation", "conflict")  # no attack and no maps: seconds
    assert evaluate_arguments(measure="blur")["measure"] == ("blur",)
    assert evaluate_arguments()["run"] == arguments["run"]
