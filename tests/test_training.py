"""Training: configurations and their names, schedules, and runs that are stopped, in use, damaged or finished."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from atlib import attacks, data, evaluation, models, training, transforms
from atlib.configuration import (
    ATTACKS,
    DEFAULTS,
    PRECISIONS,
    SCHEDULES,
    Config,
    config_of,
    dataset_arguments,
    find_run,
    of_model,
    resolve,
)
from atlib.errors import InputError, Missing, NetworkError
from atlib.files import REPOSITORY, exclusive, read_json, runs_dir, write_json
from atlib.tensors import load_tensors, tensor_digest
from helpers import flipped, one_line, tiny

pytestmark = pytest.mark.usefixtures("commit")

NAMES = {field.name for field in fields(Config)}


def finish(config: Config) -> str:
    """Train to the end; the digest of the final weights and statistics in single precision."""
    seen: list[str] = []
    save = models.save

    def told(path: Path, model: torch.nn.Module, meta: dict) -> None:
        seen.append(tensor_digest(model.state_dict()))
        save(path, model, meta)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "save", told)
        training.train(config, progress=False)
    return seen[-1]


def record(config: Config) -> dict:
    return read_json(config.folder / "training.json")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps that are taken in this test."""
    steps: list[int] = []
    advance = training.Run.advance

    def told(run: training.Run) -> float | Tensor:
        steps.append(run.step)
        return advance(run)

    monkeypatch.setattr(training.Run, "advance", told)
    return steps


# --- what a run is called ---------------------------------------------------------------------------------------------

SHARED = {"dataset", "side", "amplitude", "cue", "attack", "width", "stem", "weights", "epochs", "batch", "lr"}
SHARED |= {"schedule", "weight_decay", "precision", "seed", "quick"}
RELEVANT = {
    "none": SHARED | {"match"},
    "fgsm": SHARED | {"eps", "share"},
    "pgd": SHARED | {"norm", "eps", "steps", "step_size", "random_start", "share"},
    "spatial": SHARED | {"tau", "max_flow", "steps", "share"},
    "noise": SHARED | {"sigma", "share"},
    "blur": SHARED | {"sigma", "share"},
}
OTHER: dict[str, object] = {
    "dataset": "cifar10", "side": 128, "amplitude": 0.2, "cue": "shape", "attack": "other", "norm": "l2", "eps": 4,
    "steps": 3, "step_size": 2, "random_start": True, "tau": 0.1, "max_flow": 1, "sigma": 0.3, "share": 0.25,
    "match": 0.5, "width": 8, "stem": "3x3", "weights": "", "epochs": 3, "batch": 32, "lr": 0.05, "schedule": "steps",
    "weight_decay": 0, "precision": "fp32", "seed": 2, "quick": True,
}  # fmt: skip


@pytest.mark.parametrize("attack", RELEVANT)
@pytest.mark.parametrize("name", sorted(NAMES))
def test_name_depends_on_what_is_relevant_and_nothing_else(name: str, attack: str, tmp_path: Path) -> None:
    base: dict[str, object] = {"attack": attack}
    base |= {"dataset": "tiny-imagenet"} if name == "side" else {}
    base |= {"width": 64, "stem": "7x7"} if name == "weights" else {}
    value = OTHER[name]
    if name == "attack":
        value = "none" if attack != "none" else "pgd"
    if name == "weights":
        value = str(tmp_path / "weights.pt")
        Path(value).touch()
    if (name == "match" and attack != "none") or (name, attack) == ("norm", "fgsm"):
        with pytest.raises(InputError, match=f"^{name} = "):  # contradicts the attack
            resolve(**{**base, name: value})
        return
    before, after = resolve(**base), resolve(**{**base, name: value})
    assert (before.run != after.run) == (name in RELEVANT[attack])


def test_every_parameter_is_tried() -> None:
    assert set(OTHER) == NAMES


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ({"eps": 8}, {"eps": 8.0}),
        ({}, {"eps": 8}),
        ({"share": 1}, {}),
        ({"epochs": 2}, {"epochs": 2.0}),
        ({"lr": 1}, {"lr": 1.0}),
        ({"weight_decay": 0}, {"weight_decay": 0.0}),
        ({"step_size": 2}, {"step_size": 2.0}),
        ({"random_start": 1}, {"random_start": True}),
        ({"random_start": 0}, {}),
        ({"side": 32}, {}),
        ({"amplitude": DEFAULTS["shapes"]["amplitude"]}, {}),
        ({"amplitude": 0}, {"amplitude": 0.0}),
        ({"weights": ""}, {}),
        ({"attack": "spatial", "max_flow": 2}, {"attack": "spatial"}),
        ({"attack": "spatial", "tau": 0}, {"attack": "spatial", "tau": 0.0}),
        ({"attack": "none", "match": 0.5}, {"attack": "none", "match": "0.50"}),
        ({"attack": "none", "match": ""}, {"attack": "none"}),
    ],
)
def test_equal_meanings_have_one_name(given: dict, same: dict) -> None:
    assert resolve(**given) == resolve(**same)
    assert resolve(**given).run == resolve(**same).run


def test_hash_covers_the_whole_configuration_and_stays_as_it_is() -> None:
    """Written out: a change of this name would orphan every run there is."""
    content = {
        "dataset": "shapes", "side": 32, "amplitude": 0.12, "cue": "both", "attack": "pgd", "norm": "linf",
        "eps": 8.0, "steps": 7, "share": 1.0, "width": 16, "stem": "3x3-stride2", "epochs": 10.0, "batch": 64,
        "lr": 0.1, "schedule": "one-cycle", "weight_decay": 0.0005, "precision": "auto", "seed": 3,
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    assert resolve(seed=3, epochs=10).run == f"shapes/pgd-linf-8-w16-s3-{digest}" == "shapes/pgd-linf-8-w16-s3-1abd5e9b"


def test_every_published_configuration_gives_its_run_s_name_again() -> None:
    records = {path: read_json(path) for path in (REPOSITORY / "results").glob("*/*.json")}
    published = {path: found for path, found in records.items() if "config" in found}  # others are of pictures
    assert len(published) >= 100
    for path, found in published.items():
        run = config_of(found["config"], path).run
        assert run == found["training"]["run"] == f"{path.parent.name}/{path.stem}"


def test_a_parameter_that_a_later_version_adds_renames_no_run() -> None:
    @dataclass(frozen=True)
    class Later(Config):
        added: str | None = None

    config = resolve()
    assert Later(**asdict(config)).run == config.run != Later(**asdict(config), added="x").run


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"attack": "none"}, "normal"),
        ({"attack": "none", "match": 0.8}, "underfit-0.8"),
        ({"attack": "noise"}, "noise-0.1"),
        ({"attack": "noise", "sigma": 0.0313725}, "noise-0.0313725"),
        ({"attack": "blur", "sigma": 2}, "blur-2"),
        ({"attack": "fgsm", "eps": 8}, "fgsm-8"),
        ({"attack": "fgsm", "eps": 4.0}, "fgsm-4"),
        ({}, "pgd-linf-8"),
        ({"eps": 0.5}, "pgd-linf-0.5"),
        ({"norm": "l2", "eps": 12}, "pgd-l2-12"),
        ({"attack": "spatial"}, "spatial"),
    ],
)
def test_models_are_named_as_in_the_paper(given: dict, name: str) -> None:
    config = resolve(**given)
    assert config.model == name
    assert config.run.startswith(f"shapes/{name}-w16-s1-") and config.folder == runs_dir() / config.run
    assert resolve(**of_model(name)) == config  # and back


@pytest.mark.parametrize(
    "name", ["pgd-linf-8.0", "pgd-linf", "pgd-linf-x", "fgsm-l2-8", "underfit-", "normal-8", "", "noise"]
)
def test_no_such_model(name: str) -> None:
    with pytest.raises(
        InputError, match=f"^model = {name!r}: must be one of normal, spatial, underfit, fgsm-NUMBER, pgd-linf-NUMBER"
    ):
        of_model(name)


@pytest.mark.parametrize(
    ("given", "recipe"),
    [
        ({"epochs": 10}, "stride2-side32-e10-a0.12"),
        ({"epochs": 0.5, "amplitude": 0.3, "stem": "3x3"}, "stride1-side32-e0.5-a0.3"),
        ({"epochs": 10, "cue": "shape", "batch": 32}, "stride2-side32-e10-a0.12-cue=shape-batch=32"),
        ({"epochs": 10, "schedule": "steps", "weight_decay": 0}, "stride2-side32-e10-a0.12-schedule=steps-weight_de"),
        ({"dataset": "cifar10"}, "stride1-side32-e12"),
        ({"dataset": "caltech256", "epochs": 6}, "stem7-side224-e6"),
    ],
)
def test_recipe_is_what_networks_have_in_common(given: dict, recipe: str) -> None:
    assert resolve(**given).recipe.startswith(recipe)
    same = {resolve(**{**given, "attack": attack}).recipe for attack in ATTACKS}
    assert same == {resolve(**given, eps=4, norm="l2", share=0.3, seed=5, width=8, precision="fp32").recipe}


def test_quick_runs_are_a_recipe_of_their_own() -> None:
    assert resolve(quick=True).recipe == resolve().recipe + "-quick=True"


numbers = st.floats(0.001, 1)
VALID = st.fixed_dictionaries(
    {},
    optional={
        "dataset": st.sampled_from(["shapes", "cifar10", "tiny-imagenet", "caltech101"]),
        "attack": st.sampled_from([*ATTACKS]), "norm": st.just("linf"),
        "eps": st.floats(0.1, 255) | st.integers(1, 255), "steps": st.integers(1, 100), "step_size": numbers,
        "random_start": st.booleans(), "tau": numbers, "max_flow": numbers, "share": numbers,
        "width": st.integers(1, 64), "stem": st.sampled_from(list(models.STEMS)), "epochs": st.integers(1, 50),
        "batch": st.integers(2, 512), "lr": numbers, "schedule": st.sampled_from(SCHEDULES),
        "weight_decay": st.floats(0, 1), "precision": st.sampled_from(PRECISIONS),
        "seed": st.integers(0, 2**31 - 1), "quick": st.booleans(),
    },
)  # fmt: skip


@given(VALID)
def test_a_resolved_configuration_means_itself(given: dict) -> None:
    config = resolve(**given)
    assert resolve(**asdict(config)) == config
    assert resolve(**json.loads(json.dumps(asdict(config)))).run == config.run


# --- schedules --------------------------------------------------------------------------------------------------------


@given(share=st.floats(0.001, 1), steps=st.integers(1, 400))
def test_share_of_adversarial_batches(share: float, steps: int) -> None:
    chosen = [training.is_adversarial(step, share) for step in range(steps)]
    assert abs(sum(chosen) - share * steps) < 1
    places = [step for step, adversarial in enumerate(chosen) if adversarial]
    gaps = {b - a for a, b in itertools.pairwise(places)}
    assert not gaps or max(gaps) - min(gaps) <= 1  # evenly spread


@given(st.integers(1, 400))
def test_half_is_every_other_batch_and_one_is_all(steps: int) -> None:
    for share, every in ((0.5, 2), (0.25, 4), (1.0, 1)):
        places = [step for step in range(steps) if training.is_adversarial(step, share)]
        assert places == list(range(every - 1, steps, every))
    assert not any(training.is_adversarial(step, 0.0) for step in range(steps))


def test_training_perturbs_the_batches_of_the_schedule(monkeypatch: pytest.MonkeyPatch, counted: list[int]) -> None:
    perturbed = []
    perturb = training.perturb

    def told(*arguments: object, **more: object) -> Tensor:
        perturbed.append(counted[-1])
        return perturb(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(training, "perturb", told)
    config = tiny(share=0.5, epochs=1)
    training.train(config, progress=False)
    assert counted == list(range(7)) and perturbed == [1, 3, 5]
    line = record(config)["log"][-1]
    assert line["loss_clean"] and line["loss_adversarial"]


def test_learning_rate_of_one_cycle() -> None:
    config = resolve(lr=0.2)
    rates = [training.learning_rate(config, i / 1000) for i in range(1000)]
    assert rates[0] == pytest.approx(0.04 * 0.2) and rates.index(max(rates)) == 300
    assert max(rates) == pytest.approx(0.2) and 0 < rates[-1] < 0.001 * 0.2
    assert rates[:301] == sorted(rates[:301]) and rates[300:] == sorted(rates[300:], reverse=True)
    assert rates[150] == pytest.approx(0.52 * 0.2) and rates[650] == pytest.approx(0.5 * 0.2)


def test_learning_rate_in_the_paper_s_steps() -> None:
    config = resolve(lr=0.2, schedule="steps")
    rates = [training.learning_rate(config, epoch / 20) for epoch in range(20)]
    assert rates == pytest.approx([0.2] * 10 + [0.02] * 6 + [0.002] * 4)


def test_learning_rate_reaches_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(attack="none", epochs=1, batch=44)
    asked: list[float] = []
    used: list[float] = []
    sgd = training.sgd

    def rate(config: Config, progress: float) -> float:
        asked.append(progress)
        return 0.01 * len(asked)

    def told(*tensors: Any, lr: float, **given: Any) -> None:
        used.append(lr)
        sgd(*tensors, lr=lr, **given)

    monkeypatch.setattr(training, "learning_rate", rate)
    monkeypatch.setattr(training, "sgd", told)
    training.train(config, progress=False)
    assert asked == pytest.approx([i / 10 for i in range(10)])
    assert used == pytest.approx([0.01 * (i + 1) for i in range(10)])


def test_weights_move_as_by_torch_s_own_sgd() -> None:
    config = tiny(attack="none", epochs=1, batch=44)
    run = training.Run(config, data.load("shapes", **dataset_arguments(config)), torch.device("cpu"))
    twin = copy.deepcopy(run.model)
    optimiser = torch.optim.SGD(twin.parameters(), lr=1.0, momentum=0.9, weight_decay=config.weight_decay)
    for _ in range(3):
        images, labels = run.batch(run.step)
        optimiser.param_groups[0]["lr"] = training.learning_rate(config, run.step / run.total)
        optimiser.zero_grad()
        F.cross_entropy(twin.train()(images), labels).backward()
        optimiser.step()
        run.advance()
        assert all(map(torch.equal, run.model.state_dict().values(), twin.state_dict().values()))


# --- what is trained --------------------------------------------------------------------------------------------------


def test_every_picture_is_trained_on_but_none_of_the_hold_out(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(attack="none", epochs=2, batch=50)
    seen: list[list[int]] = []
    dataset = data.load("shapes", **dataset_arguments(config))
    numbers = {image.numpy().tobytes(): i for i, image in enumerate(dataset.train.images)}
    held = {image.numpy().tobytes() for image in dataset.holdout.images}
    assert (len(numbers), len(held), len(held & set(numbers))) == (450, 50, 0)
    augment = data.augment

    def told(images: Tensor, *more: object) -> Tensor:
        seen.append([numbers[image.numpy().tobytes()] for image in images])  # KeyError: one of the hold-out
        return augment(images, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(data, "augment", told)
    training.train(config, progress=False)
    epochs = [list(itertools.chain(*seen[i : i + 9])) for i in (0, 9)]  # 9 steps of 50
    assert [sorted(epoch) for epoch in epochs] == [list(range(450))] * 2
    assert epochs[0] != epochs[1]


def test_same_seed_same_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate((1, 1, 2)):
        monkeypatch.setenv("ATLIB_RUNS", str(tmp_path / str(number)))
        torch.manual_seed(number)  # the generator of all others has no part in it
        digests.append(finish(tiny(random_start=True, seed=seed)))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"eps": 4, "steps": 3}, lambda m, x, y: attacks.pgd(m, x, y, eps=4 / 255, steps=3)),
        ({"eps": 4, "step_size": 1}, lambda m, x, y: attacks.pgd(m, x, y, eps=4 / 255, steps=2, step_size=1 / 255)),
        ({"eps": 12, "norm": "l2"}, lambda m, x, y: attacks.pgd(m, x, y, eps=12 / 7, norm="l2", steps=2)),
        ({"eps": 4, "attack": "fgsm"}, lambda m, x, y: attacks.fgsm(m, x, y, eps=4 / 255)),
        (
            {"attack": "spatial", "tau": 0.1, "max_flow": 1},
            lambda m, x, y: attacks.spatial(m, x, y, tau=0.1, max_flow=1, steps=2, step_size=1.25),
        ),
    ],
)
def test_perturb_is_the_configured_attack(given: dict, expected: Callable[..., Tensor]) -> None:
    config = tiny(**given)
    model = training.build(config, 10)[0].eval()
    images, labels = torch.rand(16, 3, 32, 32), torch.arange(16) % 10
    found, wanted = training.perturb(config, model, images, labels), expected(model, images, labels)
    assert (found - images).abs().max() > 1e-3
    # the sign of a gradient close to 0 may differ once batch norm is folded
    assert ((found - wanted).abs() < 1e-4).float().mean() > 0.98


def test_random_start_draws_from_the_step_s_generator() -> None:
    config = tiny(random_start=True)
    model = training.build(config, 10)[0]
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4)
    draws = [training.perturb(config, model, images, labels, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_what_a_finished_run_leaves(capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny()
    folder = training.train(config, progress=False)
    assert {path.name for path in folder.iterdir()} == {"config.json", "lock", "training.json", "weights.safetensors"}

    tensors, meta = load_tensors(folder / "weights.safetensors")
    model = models.resnet18(classes=10, width=4, stem="3x3-stride2")
    trained = {name for name, _ in model.named_parameters()}
    assert set(tensors) == set(model.state_dict())
    assert {tensors[name].dtype for name in trained} == {torch.float16}
    assert {tensors[name].dtype for name in tensors if "running" in name} == {torch.float32}
    assert meta["config"] == read_json(folder / "config.json") == asdict(config)
    assert meta["architecture"] == {"classes": 10, "width": 4, "stem": "3x3-stride2"}

    found = record(config)
    assert (found["run"], found["model"], found["recipe"]) == (config.run, "pgd-linf-8", config.recipe)
    assert found["weights_digest"] == tensor_digest(tensors)
    assert found["commit"] == "abc" and found["precision"] == "fp32" and found["data"].startswith("generated")
    assert found["seconds"] > 0 and found["versions"]["torch"] == torch.__version__
    assert found["hardware"]["threads"] == torch.get_num_threads()
    assert found["holdout_accuracy"] == found["log"][-1]["accuracy"]

    trained_model, _ = models.load(folder / "weights.safetensors")  # rounded to half precision
    holdout = data.load("shapes", **dataset_arguments(config)).holdout
    right = [int(trained_model(image[None].float() / 255).argmax()) == label for image, label in zip(*holdout)]  # noqa: B905
    assert sum(right) / 50 == pytest.approx(found["holdout_accuracy"], abs=0.021)

    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch"))
    for words in ("loss clean", "adversarial", "hold-out", "PGD-10 8/255", "images/s"):
        assert words in line


def test_accuracy_is_of_the_whole_split_in_evaluation_mode() -> None:
    model = models.resnet18(width=4, stem="3x3-stride2")
    images, labels = torch.randint(0, 256, (25, 3, 32, 32), dtype=torch.uint8), torch.arange(25) % 10
    model(images[:10].float() / 255)  # moves the statistics
    model.eval()
    right = [int(model(image[None].float() / 255).argmax()) == label for image, label in zip(images, labels)]  # noqa: B905
    model.train()
    found = [training.accuracy(model, data.Split(images, labels), 32, torch.device("cpu"), n) for n in (4, 25)]
    assert found == [sum(right) / 25] * 2 and model.training


# --- precision --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "device", "used"),
    [
        ("auto", "cpu", "fp32"),
        ("auto", "cuda", "bf16"),
        ("fp32", "cuda", "fp32"),
        ("fp32", "cpu", "fp32"),
        ("bf16", "cpu", "bf16"),
    ],
)
def test_precision_is_the_one_asked_for_and_auto_follows_the_device(asked: str, device: str, used: str) -> None:
    assert training.precision_on(torch.device(device), asked) == used


@pytest.mark.parametrize(("asked", "used"), [("auto", "fp32"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_attack_and_step_run_in_the_precision_that_the_record_says(
    asked: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(precision=asked)
    assert autocast_in(config, monkeypatch) == {used == "bf16"}
    assert record(config)["precision"] == used


def autocast_in(config: Config, monkeypatch: pytest.MonkeyPatch) -> set[bool]:
    """Train; whether bf16 autocast was on in the attack and in the step."""
    seen = set()
    forward = models.ResNet18.forward

    def told(model: models.ResNet18, images: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            seen.add(torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16)
        return forward(model, images)

    monkeypatch.setattr(models.ResNet18, "forward", told)
    monkeypatch.setattr(
        training.Run, "report", lambda run, *_: run.log.append({"accuracy": 0.0, "pgd_accuracy": 0.5}) or ""
    )
    training.train(config, progress=False)
    return seen


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


# --- stopped and started again ----------------------------------------------------------------------------------------

DRIVER = """
import json, signal, sys, time
from atlib import training, transforms
from atlib.configuration import Config
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
training.CHECKPOINT_SECONDS = 0.0
advance = training.Run.advance
def told(run):
    assert "torch._dynamo" not in sys.modules, "torch's compiler takes as long to load as torch itself"
    print("step", run.step, flush=True)
    if run.step == 5:
        time.sleep(600)  # until the signal comes
    return advance(run)
training.Run.advance = told
training.train(Config(**json.loads(sys.argv[1])), progress=False)
"""
LONG = {"batch": 44, "epochs": 1, "random_start": True}  # 10 steps


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of the weights of a run that nobody stops."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLIB_RUNS", str(tmp_path_factory.mktemp("undisturbed")))
        return finish(tiny(**LONG))


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM", "SIGINT"])
def test_killed_run_goes_on_to_the_same_weights(
    name: str, undisturbed: str, counted: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(**LONG)
    child = subprocess.Popen(
        [sys.executable, "-c", DRIVER, json.dumps(asdict(config))],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ.copy(),
    )  # fmt: skip
    try:
        assert child.stdout
        assert any(line == "step 4\n" for line in child.stdout), child.communicate()[1]
        with pytest.raises(InputError, match=f"already in use by process {child.pid}$") as error:
            training.train(config, progress=False)
        assert str(config.folder) in one_line(error) and not counted
        child.send_signal(getattr(signal, name))
        rest, stderr = child.communicate(timeout=900)
    finally:
        child.kill()
    if name == "SIGINT":
        assert child.returncode != 0 and stderr.endswith("KeyboardInterrupt\n")
    else:
        assert child.returncode == -getattr(signal, name), stderr
    assert not (config.folder / "training.json").exists()

    begun = max([4, *(int(line.split()[1]) for line in rest.splitlines() if line.startswith("step"))])
    assert finish(config) == undisturbed
    assert counted[0] in (begun, begun + 1) and counted[-1] == 9  # a checkpoint a step: one step is lost at most
    assert f"{config.run}: going on at step {counted[0]} of 10" in capsys.readouterr().out


def interrupt(monkeypatch: pytest.MonkeyPatch, owner: object, name: str, call: int, after: bool = False) -> None:
    """Press Ctrl-C in the given call of a function (counted from 1), before or after what it does."""
    function, calls = getattr(owner, name), 0

    def interrupted(*arguments: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            signal.raise_signal(signal.SIGINT)
        found = function(*arguments, **more)
        if calls == call:
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(owner, name, interrupted)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


PLACES: dict[str, tuple[object, str, int, bool]] = {
    "in the forward pass": (models.Block, "forward", 36, False),
    "between gradient and step": (training, "learning_rate", 3, False),
    "after the step": (training.Run, "update", 3, True),
    "before a look": (training.Run, "look", 2, False),
    "in a look": (training, "accuracy", 2, True),
    "in the last look": (training, "accuracy", 5, False),
    "in the report": (training, "accuracy", 6, True),
    "after the report": (training.Run, "report", 1, True),
    "writing a checkpoint": (training, "save_tensors", 3, False),
    "writing the weights": (models, "save", 6, False),
    "writing the record": (training, "write_json", 2, False),
}


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict]:
    """Digest and record of a normal run that nobody stops: five steps, five looks, one report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLIB_RUNS", str(tmp_path_factory.mktemp("normal")))
        config = tiny(attack="none", batch=90, epochs=1)
        return finish(config), record(config)


@pytest.mark.parametrize("place", PLACES)
def test_ctrl_c_anywhere(
    place: str, normal: tuple[str, dict], monkeypatch: pytest.MonkeyPatch, ctrl_c: None, counted: list[int]
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
    config = tiny(attack="none", batch=90, epochs=1)
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, *PLACES[place])
        with pytest.raises(KeyboardInterrupt):
            training.train(config, progress=False)
    assert not (config.folder / "training.json").exists()
    digest, undisturbed = normal
    assert finish(config) == digest
    assert len(counted) <= 6  # a checkpoint a step: one step is lost at most
    found = record(config)
    assert found["weights_digest"] == undisturbed["weights_digest"] and found["looks"] == undisturbed["looks"]
    assert [line["accuracy"] for line in found["log"]] == [line["accuracy"] for line in undisturbed["log"]]
    assert not list(config.folder.glob(".*"))


def slowed(monkeypatch: pytest.MonkeyPatch, **seconds: int) -> Clock:
    """A clock by which alone time passes: so many seconds for each step and for each report."""
    clock = Clock()
    monkeypatch.setattr(training, "time", clock)

    def slow(whole: Callable[[training.Run], Any], takes: int) -> Callable[[training.Run], Any]:
        def taken(run: training.Run) -> Any:
            clock.now += takes
            return whole(run)

        return taken

    monkeypatch.setattr(training.Run, "advance", slow(training.Run.advance, seconds["step"]))
    monkeypatch.setattr(training.Run, "report", slow(training.Run.report, seconds["report"]))
    return clock


def test_checkpoints_are_at_most_a_minute_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, saves, save = slowed(monkeypatch, step=7, report=11), [0.0], training.Run.save

    def told(run: training.Run) -> None:
        saves.append(clock.now)
        save(run)

    monkeypatch.setattr(training.Run, "save", told)
    training.train(tiny(attack="none", batch=44, epochs=3), progress=False)
    assert len(saves) > 4
    assert max(b - a for a, b in zip(saves, [*saves[1:], clock.now], strict=True)) <= 60


def test_finished_run_is_not_repeated(counted: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny()
    training.train(config, progress=False)
    files = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in config.folder.iterdir()}
    taken = len(counted)
    capsys.readouterr()
    with exclusive(config.folder):  # nor does it wait for one who measures it
        assert training.train(config, progress=False) == config.folder
    assert len(counted) == taken == 2
    assert capsys.readouterr().out == f"{config.run}: already trained, nothing to do\n"
    del files[config.folder / "lock"]
    assert all((path.stat().st_mtime_ns, path.read_bytes()) == before for path, before in files.items())


# --- damaged ----------------------------------------------------------------------------------------------------------


def stopped(config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start a run and stop it after its first checkpoint; the checkpoint."""
    with monkeypatch.context() as patch:
        patch.setattr(training, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(training.Run, "report", lambda *_: pytest.fail("not stopped"))
        save = training.Run.save

        def told(run: training.Run) -> None:
            save(run)
            raise KeyboardInterrupt

        patch.setattr(training.Run, "save", told)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, progress=False)
    path = config.folder / "checkpoint.safetensors"
    assert path.is_file()
    return path


def test_a_resumed_run_logs_the_whole_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first line knew only the steps after the checkpoint: losses of others, and perhaps none of one kind."""
    config = tiny(share=0.5, epochs=1, steps=1, batch=64)
    undisturbed = replace(config, seed=1)
    training.train(undisturbed, progress=False)
    expected = record(undisturbed)["log"]
    monkeypatch.setenv("ATLIB_RUNS", str(config.folder.parent.parent / "resumed"))
    stopped(config, monkeypatch)
    training.train(config, progress=False)
    again = record(config)["log"]
    for name in ("epoch", "loss_clean", "loss_adversarial", "accuracy", "pgd_accuracy"):
        assert [line[name] for line in again] == [line[name] for line in expected], name


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "only a head": lambda content: content[:100],
    "cut in the middle": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "a bit in the first byte": lambda content: flipped(content, 0),
    "a bit in the step": lambda content: content.replace(b'"step\\": 1', b'"step\\": 3'),
    "a bit in the middle": lambda content: flipped(content, len(content) // 2),
    "a bit in the last byte": lambda content: flipped(content, len(content) - 1),
    "another file": lambda content: b"PK" + content,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoint_is_told_and_left(damage: str, monkeypatch: pytest.MonkeyPatch, counted: list[int]) -> None:
    config = tiny(attack="none")
    path = stopped(config, monkeypatch)
    before = path.read_bytes()
    path.write_bytes(DAMAGE[damage](before))
    content = path.read_bytes()
    assert content != before
    counted.clear()
    with pytest.raises(InputError, match="damaged") as error:
        training.train(config, progress=False)
    assert one_line(error).startswith(f"{path}: ")
    assert path.read_bytes() == content and not counted
    path.write_bytes(before)  # once restored, it goes on
    training.train(config, progress=False)
    assert counted == [1]


def test_checkpoint_of_another_run_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    other, config = tiny(attack="none", seed=2), tiny(attack="none")
    content = stopped(other, monkeypatch).read_bytes()
    config.folder.mkdir(parents=True)
    (config.folder / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=f"belongs to {other.run}, not here; delete it to start again") as error:
        training.train(config, progress=False)
    one_line(error)
    assert (config.folder / "checkpoint.safetensors").read_bytes() == content


def test_a_resumed_run_keeps_the_precision_of_its_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of a GPU, or of before 2026-11-27, goes on in bf16, though "auto" is fp32 here."""
    config = tiny(attack="none", precision="auto")
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(training, "precision_on", lambda *_: "bf16")
        stopped(config, elsewhere)
    assert autocast_in(config, monkeypatch) == {True}
    assert record(config)["precision"] == "bf16"


def test_a_loss_that_is_no_number_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(attack="none", lr=10, weight_decay=1, batch=16, epochs=4)
    with pytest.raises(NetworkError, match=r"^lr = 10: the loss became (nan|inf) at step \d+; use a smaller one$"):
        training.train(config, progress=False)
    assert not (config.folder / "training.json").exists()
    assert not (config.folder / "weights.safetensors").exists()


def test_an_adversarial_training_that_diverges_is_one_line() -> None:
    config = tiny(attack="pgd", steps=1, share=0.5, lr=10, weight_decay=1, batch=16, epochs=4)
    line = (
        r"^lr = 10: (the loss became (nan|inf) at step \d+; use a smaller one|training diverged at step \d+ \(model: )"
    )
    with pytest.raises(NetworkError, match=line):
        training.train(config, progress=False)


def test_a_network_that_the_last_step_of_an_epoch_broke_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its losses were finite, and the check on the hold-out is the first to see that its outputs no longer are."""

    def refused(*_: object, **__: object) -> None:
        raise NetworkError("model: its outputs are NaN or infinite for 9 of 9 images")

    monkeypatch.setattr(training.attacks, "robustness", refused)
    with pytest.raises(
        NetworkError, match=r"^lr = 0\.1: training diverged at step 2 \(model: .*\); use a smaller one$"
    ):
        training.train(tiny(attack="none", batch=225, epochs=1), progress=False)


def test_the_rate_of_training_leaves_out_looks_and_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    slowed(monkeypatch, step=2, report=1000)
    config = tiny(attack="none", batch=90, epochs=2)
    training.train(config, progress=False)
    assert [line["images_per_second"] for line in record(config)["log"]] == [45, 45]
    assert record(config)["seconds"] == 20


def test_numpys_numbers_name_the_same_run() -> None:
    given: dict[str, Any] = {"seed": np.int64(8), "width": np.int32(4), "batch": np.int16(16), "lr": np.float32(0.5)}
    plain = {name: value.item() for name, value in given.items()}
    assert resolve(**given).run == resolve(**plain).run


# --- collapse of FGSM -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attack", "robust", "clean", "warned"),
    [("fgsm", 0.0, 0.9, True), ("fgsm", 0.5, 0.9, False), ("fgsm", 0.0, 0.1, False), ("pgd", 0.0, 0.9, False)],
)
def test_collapse_of_fgsm_is_warned_of(
    attack: str, robust: float, clean: float, warned: bool, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def outcome(model: object, images: Tensor, labels: Tensor, **_: object) -> attacks.Outcome:
        right = torch.arange(len(images)) < robust * len(images)
        return attacks.Outcome(None, right, None, torch.zeros_like(right))

    monkeypatch.setattr(attacks, "robustness", outcome)
    monkeypatch.setattr(training, "accuracy", lambda *_: clean)
    config = tiny(attack=attack)
    training.train(config, progress=False)
    warning = f"warning: {config.model} has collapsed: PGD accuracy 0.000"
    assert (warning in capsys.readouterr().out.splitlines()) == warned


# --- the underfit control ---------------------------------------------------------------------------------------------


def with_looks(accuracies: list[float]) -> Config:
    """A finished normal run whose looks have the given hold-out accuracies."""
    config = tiny(attack="none", batch=90, epochs=len(accuracies) / 5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "accuracy", lambda *_: 0.0)
        training.train(config, progress=False)
    found = record(config)
    assert len(found["looks"]) == len(accuracies)  # five steps an epoch, a look each
    for look, accuracy in zip(found["looks"], accuracies, strict=True):
        look["accuracy"] = accuracy
    write_json(config.folder / "training.json", found)
    return config


@pytest.mark.parametrize(
    ("target", "chosen", "gap", "degenerate"),
    [(0.52, 2, -0.02, False), (0.2, 0, 0.1, False), (0.45, 2, 0.05, False), (0.79, 4, 0.01, True), (0.9, 3, 0.0, True)],
)
def test_underfit_is_the_nearest_look(
    target: float, chosen: int, gap: float, degenerate: bool, capsys: pytest.CaptureFixture[str], counted: list[int]
) -> None:
    normal = with_looks([0.3, 0.1, 0.5, 0.9, 0.8])
    counted.clear()
    config = replace(tiny(attack="none", match=target, batch=90), epochs=normal.epochs)
    training.train(config, progress=False)
    said = capsys.readouterr().out
    accuracy = [0.3, 0.1, 0.5, 0.9, 0.8][chosen]
    assert f"hold-out accuracy {accuracy:.4f}, {gap:+.4f} from the target {target:.4f}" in said
    assert ("degenerate" in said) == degenerate
    found, source = record(config), record(normal)
    assert found["gap"] == pytest.approx(gap) and found["degenerate"] == degenerate
    assert (found["source"], found["target"], found["holdout_accuracy"]) == (normal.run, target, accuracy)
    assert found["source_digest"] == source["weights_digest"]
    assert found["epoch"] == source["looks"][chosen]["epoch"] and found["model"] == f"underfit-{target:g}"
    look, _ = load_tensors(normal.folder / source["looks"][chosen]["weights"])
    weights, meta = load_tensors(config.folder / "weights.safetensors")
    assert tensor_digest(look) == tensor_digest(weights) == found["weights_digest"]
    assert meta["config"]["match"] == f"{target:g}" and not counted  # the normal run was there


def test_underfit_says_that_the_snapshots_are_gone() -> None:
    normal = with_looks([0.3, 0.1, 0.5, 0.9, 0.8])
    shutil.rmtree(normal.folder / "looks")
    config = replace(tiny(attack="none", match=0.5, batch=90), epochs=normal.epochs)
    with pytest.raises(Missing, match="the snapshots from which the underfit network is cut are gone"):
        training.train(config, progress=False)


def test_underfit_matches_a_named_run() -> None:
    robust, normal = tiny(), with_looks([0.3, 0.1, 0.5, 0.9, 0.8])
    training.train(robust, progress=False)
    write_json(robust.folder / "training.json", record(robust) | {"holdout_accuracy": 0.48})
    for name in (robust.run, str(robust.folder)):
        config = replace(tiny(attack="none", match=name, batch=90), epochs=normal.epochs)
        assert config.match == robust.run
        training.train(config, progress=False)
    assert record(config)["target"] == 0.48 and record(config)["holdout_accuracy"] == 0.5


@pytest.mark.parametrize("link", [False, True])
def test_runs_may_live_behind_a_link_or_a_relative_path(
    link: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elsewhere" / "shapes" / "pgd-linf-8-w4-s1-00000000"
    write_json(folder / "training.json", {})
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ATLIB_RUNS", str(tmp_path / "link") if link else "elsewhere")
    assert resolve(attack="none", match="shapes/pgd-linf-8-w4-s1-00000000").match == f"shapes/{folder.name}"
    assert resolve(attack="none", match=str(folder)).match == f"shapes/{folder.name}"


def test_a_run_of_another_data_set_is_no_match(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLIB_RUNS", str(tmp_path))
    write_json(tmp_path / "cifar10" / "pgd-linf-8-w16-s1-00000000" / "training.json", {})
    name = "cifar10/pgd-linf-8-w16-s1-00000000"
    with pytest.raises(InputError, match=f"^match = '{name}': must be a run on shapes, not on cifar10$"):
        resolve(attack="none", match=name)


def test_underfit_trains_the_normal_network_first_if_need_be(counted: list[int]) -> None:
    config = tiny(attack="none", match=0.1, epochs=1)
    training.train(config, progress=False)
    normal = replace(config, match=None)
    assert record(config)["source"] == normal.run and len(counted) == 7
    looks = record(normal)["looks"]
    steps = [1, 2, 3, 4, 5, 6, 7]  # 7 // 4 = 1: at least four looks an epoch
    assert [look["epoch"] for look in looks] == pytest.approx([step / 7 for step in steps])
    holdout = data.load("shapes", **dataset_arguments(config)).holdout
    for look in looks:
        model, _ = models.load(normal.folder / look["weights"])  # rounded to half precision
        again = training.accuracy(model, holdout, 32, torch.device("cpu"))
        assert look["accuracy"] == pytest.approx(again, abs=0.021)


def test_only_networks_without_an_attack_are_looked_at() -> None:
    config = tiny()
    training.train(config, progress=False)
    assert record(config)["looks"] == [] and not (config.folder / "looks").exists()


def test_find_run_names_the_nearest_run() -> None:
    write_json(runs_dir() / "shapes" / "normal-w4-s1-01234567" / "training.json", {})
    (runs_dir() / "shapes" / "normal-w4-s2-01234567").mkdir()  # not finished
    assert find_run("shapes/normal-w4-s1-01234567").name == "normal-w4-s1-01234567"
    with pytest.raises(InputError) as error:
        find_run("shapes/normal-w4-s2-01234567")
    message = one_line(error)
    assert message.startswith("run = 'shapes/normal-w4-s2-01234567': no finished run there or under ")
    assert message.endswith("(did you mean 'shapes/normal-w4-s1-01234567'?)")


def test_a_whole_name_is_a_run_of_the_runs_folder_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "shapes/normal-w4-s1-01234567"
    for folder in (tmp_path / "copy", runs_dir()):
        write_json(folder / name / "training.json", {})
    monkeypatch.chdir(tmp_path / "copy")
    assert find_run(name) == (runs_dir() / name).resolve()
    assert find_run(f"./{name}") == (tmp_path / "copy" / name).resolve()


def test_underfit_needs_no_hold_on_a_finished_normal_run(tmp_path):
    """While a finished normal run is being evaluated, its underfit control can be chosen."""
    config = resolve(attack="none", width=4, epochs=0.3, precision="fp32")
    normal = training.train(config, progress=False)
    with exclusive(normal):
        underfit = training.train(replace(config, match="0.5"), progress=False)
    assert (underfit / "training.json").is_file()


@pytest.mark.parametrize("given", [{"attack": "noise"}, {"attack": "blur", "sigma": 2}])
def test_controls_train_on_corrupted_batches_without_an_attack(given: dict) -> None:
    config = replace(
        resolve(**given, share=0.5), **{f: getattr(tiny(), f) for f in ("quick", "width", "epochs", "precision")}
    )
    images, labels = torch.rand(4, 3, 32, 32), torch.zeros(4, dtype=torch.long)
    changed = training.perturb(config, torch.nn.Identity(), images, labels, torch.Generator().manual_seed(0))
    sigma = config.sigma or 0
    again = torch.Generator().manual_seed(0)
    expected = transforms.noise(images, sigma, again) if config.attack == "noise" else transforms.blur(images, sigma)
    assert torch.equal(changed, expected)
    training.train(config, progress=False)
    losses = record(config)["log"][-1]
    assert losses["loss_clean"] and losses["loss_adversarial"]


def test_every_seed_and_step_has_draws_of_its_own() -> None:
    """torch's generator ignores all but the lower 32 bits of its seed."""
    first = set()
    for seed in (0, 1, 2, 3, 1000, 2**31 - 1):
        run = SimpleNamespace(config=resolve(seed=seed))
        for step in (0, 1, 2, 5000):
            first.add(float(torch.rand(1, generator=training.Run.generator(run, step))))  # type: ignore[arg-type]
    assert len(first) == 24


def test_a_share_that_makes_no_batch_adversarial_is_refused() -> None:
    config = resolve(width=4, epochs=0.1, share=0.01, precision="fp32")
    with pytest.raises(InputError, match=r"^share = 0\.01: must be at least 1/7, or no batch is adversarial$"):
        training.train(config, progress=False)


def test_a_run_goes_on_with_what_it_was_begun_with_only(monkeypatch: pytest.MonkeyPatch) -> None:
    config, dataset = resolve(width=4, attack="none", epochs=1, precision="fp32"), data.load("shapes")
    config = replace(config, dataset="cifar10", weights="some.pt")
    monkeypatch.setattr(training.models, "load_imagenet", lambda model, source: f"{source} sha256:1234")
    begun = training.Run(config, replace(dataset, source="here sha256 1"), torch.device("cpu"))
    begun.advance()
    begun.save()
    elsewhere = replace(dataset, source="there sha256 2")  # the same pictures in another file
    assert training.Run(config, elsewhere, torch.device("cpu")).step == 1
    labels = dataset.train.labels.clone()
    labels[7] = 9 - labels[7]
    others = replace(elsewhere, train=data.Split(dataset.train.images, labels))
    digest = r"training pictures (\w{12})"
    said = rf"begun with here sha256 1, {digest}, some.*, not with there sha256 2, training pictures (?!\1)"
    with pytest.raises(
        InputError, match=said + r"\w{12}, some.*; put that back, or delete the checkpoint to start"
    ) as error:
        training.Run(config, others, torch.device("cpu"))
    one_line(error)
    monkeypatch.setattr(training.models, "load_imagenet", lambda model, source: f"{source} sha256:5678")
    with pytest.raises(InputError, match=r"begun with .* some.pt sha256:1234, not with .* some.pt sha256:5678; put"):
        training.Run(config, elsewhere, torch.device("cpu"))
    begun.path.write_bytes(begun.path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"damaged, .*; delete it to start again$"):
        training.Run(config, dataset, torch.device("cpu"))


@pytest.mark.parametrize(
    ("dataset", "recorded", "found", "other"),
    [
        ("cifar10", ("a", "1"), ("b", "1"), False),  # as .npz here, as the official archive there
        ("cifar10", ("a", "1"), ("a", "2"), True),
        ("cifar10", ("a", None), ("b", "2"), False),  # of before the digest
        ("folder:x", ("x sha256 a", "1"), ("y sha256 b", "1"), False),  # a copy with other times
        ("folder:x", ("x sha256 a", "1"), ("x sha256 a", "2"), True),
        ("folder:x", ("x sha256 a", None), ("y sha256 a", "2"), False),
        ("folder:x", ("x sha256 a", None), ("x sha256 b", "2"), True),
        ("shapes", ("generated", "1"), ("generated", "2"), True),
        (
            "shapes",
            ("generated", "983fa7cb0120d1c7…"),
            ("generated", "b9380abebefd4c9e…"),
            False,
        ),  # as rounded
        ("shapes", ("generated", "983fa7cb0120d1c7…"), ("generated", "d70b2940bc594fec…"), True),  # of another contrast
        ("cifar10", ("a", "983fa7cb0120d1c7…"), ("a", "b9380abebefd4c9e…"), True),
        ("shapes", ("generated", None), ("generated", "2"), False),
    ],
)
def test_other_training_pictures_are_told_by_their_digest(
    dataset: str, recorded: tuple[str, str | None], found: tuple[str, str], other: bool
) -> None:
    inputs = [{"data": source} | ({"pictures_digest": d} if d else {}) for source, d in (recorded, found)]
    assert training.other_pictures(replace(resolve(), dataset=dataset), *inputs) == other


def test_a_run_is_measured_only_on_data_with_its_training_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(attack="none")
    dataset = data.load("shapes", **dataset_arguments(config))
    digest = tensor_digest({"images": dataset.train.images, "labels": dataset.train.labels})
    folder = training.train(config, progress=False)
    found = record(config)
    assert found["pictures_digest"] == digest
    training.train(replace(config, match="0.1"), progress=False)
    assert record(replace(config, match="0.1"))["pictures_digest"] == digest

    as_cifar = {"config": found["config"] | {"dataset": "cifar10", "amplitude": None, "cue": None}}
    monkeypatch.setattr(data, "load", lambda *_, **__: dataset)
    write_json(folder / "training.json", found | as_cifar)
    assert len(evaluation.subject_of(folder).test.labels) == 100
    write_json(folder / "training.json", found | as_cifar | {"pictures_digest": "f" * 64})
    with pytest.raises(
        InputError, match=f"trained on generated .*, training pictures f{{12}}, not .* {digest[:12]}; restore"
    ):
        evaluation.subject_of(folder)
    del found["pictures_digest"]  # published before 2026-11-27
    write_json(folder / "training.json", found | as_cifar)
    assert len(evaluation.subject_of(folder).test.labels) == 100


def test_where_weights_came_from_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(resolve(width=4, attack="none", epochs=0.05, precision="fp32"), weights="some.pt")
    monkeypatch.setattr(training.models, "load_imagenet", lambda model, source: f"{source} sha256:1234")
    training.train(config, progress=False)
    assert record(config)["initial"] == "some.pt sha256:1234"


def test_a_folder_that_cannot_hold_runs_is_said_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATLIB_RUNS", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"/file: can't be written \("):
        training.train(resolve(width=4, attack="none"), progress=False)


def test_a_folder_is_one_data_set_however_it_is_spelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each spelling was a run of its own, and one begun elsewhere could not be resumed."""
    (tmp_path / "pics" / "train" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    spelled = ["folder:pics", f"folder:{tmp_path}/pics", "folder:pics/", "folder:./pics"]
    (config,) = {resolve(dataset=name, side=32, epochs=1.0) for name in spelled}
    assert config.dataset == f"folder:{tmp_path}/pics"


@pytest.mark.parametrize("quick", ["no", 2, None])
def test_quick_is_true_or_false(quick: object) -> None:
    with pytest.raises(InputError, match=r"^quick = .*: must be one of True, False"):
        resolve(quick=quick)


def test_on_a_gpu_the_time_of_looks_and_reports_is_waited_for_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Work that a GPU still had to do was waited for inside looks and reports, whose time isn't the training's."""
    order: list[str] = []
    for name in ("check_losses", "look", "report"):
        whole = getattr(training.Run, name)

        def noted(self: training.Run, *given: Any, name: str = name, whole: Callable = whole) -> Any:
            order.append(name)
            return whole(self, *given)

        monkeypatch.setattr(training.Run, name, noted)
    begin = training.Run.__init__

    def as_on_a_gpu(self: training.Run, *given: Any) -> None:
        begin(self, *given)
        self.on_gpu = True  # so that a step asks nothing by itself

    monkeypatch.setattr(training.Run, "__init__", as_on_a_gpu)
    config = replace(resolve(attack="none", epochs=1.0, batch=64, width=4), quick=True)
    training.train(config, progress=False)
    places = [number for number, name in enumerate(order) if name == "look"]
    assert places and all(order[number - 1] == "check_losses" for number in places)
