"""The page "Extending atlib": its lines work as they are printed."""

from __future__ import annotations

import ast
import hashlib
import io
import re
import zipfile
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import jupytext
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from atlib import attacks, choices, configuration, data, measurements, models, registry, training, transforms
from atlib.campaign import jobs
from atlib.data import archives
from atlib.errors import InputError
from atlib.files import REPOSITORY
from atlib.measurements import Findings, Subject
from atlib.report import claims, tables

PAGE = (REPOSITORY / "book" / "extending.md").read_text(encoding="utf-8")


def lines(language: str, containing: str) -> str:
    """The page's block of code that contains a text."""
    (found,) = [block for block in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if containing in block]
    return found


def test_the_distortion(monkeypatch: pytest.MonkeyPatch) -> None:
    space = dict(vars(transforms))
    exec(lines("python", "def grey(images"), space)
    monkeypatch.setattr(transforms, "grey", space["grey"], raising=False)
    entry = eval("{" + lines("python", '"grey": ') + "}", space)
    monkeypatch.setattr(transforms, "DISTORTIONS", transforms.DISTORTIONS | entry)
    shown = {"transforms": transforms, "torch": torch}
    exec(lines("python", "def test_grey"), shown)
    shown["test_grey"]()  # type: ignore[operator]
    images = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    found = transforms.distort(images, "grey", "0.5", [0]).flatten()
    torch.testing.assert_close(found, torch.tensor([4, 1, 1]) / 6)


def test_the_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its lines, run as they stand on the page."""
    monkeypatch.setenv("ATLIB_DATA", str(tmp_path))
    space = dict(vars(archives)) | vars(registry)
    exec(lines("python", "def read_letters"), space)
    entries = [
        eval("{" + lines("python", text) + "}", space)
        for text in ('"letters": Spec(', "read_letters,", '"epochs": 12,')
    ]
    places: list[Any] = [registry.DATASETS, archives.READERS, configuration.DEFAULTS]
    for kept, entry in zip(places, entries, strict=True):
        assert list(entry) == ["letters"]
        monkeypatch.setitem(kept, "letters", entry["letters"])

    def official(name: str, content: bytes) -> None:  # as the fixture of test_data.py, without its web server
        spec = registry.DATASETS[name]
        assert spec.archive is not None
        (tmp_path / spec.archive.file).write_bytes(content)
        digest = hashlib.md5(content).hexdigest()
        monkeypatch.setitem(registry.DATASETS, name, spec._replace(archive=spec.archive._replace(md5=digest)))

    shown = {"io": io, "zipfile": zipfile, "Image": Image, "data": data}
    exec(lines("python", "def test_letters"), shown)
    shown["test_letters"](official)  # type: ignore[operator]
    assert configuration.resolve(dataset="letters").run.startswith("letters/pgd-linf-8-w16-s1-")


def test_the_attack_and_its_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    space = dict(vars(attacks))
    exec(lines("python", "def shift(model"), space)
    monkeypatch.setattr(attacks, "shift", space["shift"], raising=False)
    shown = {"nn": nn, "torch": torch, "Tensor": torch.Tensor, "attacks": attacks, "pytest": pytest}
    shown["InputError"] = InputError
    exec(lines("python", "def test_shift"), shown)
    shown["test_shift"]()  # type: ignore[operator]
    model, picture = shown["Corner"](), one_bright_pixel()  # type: ignore[operator]
    for wrong in (picture.byte(), picture[0]):  # as the tests of every attack have it
        with pytest.raises(InputError, match=r"^images = "):
            attacks.shift(model, wrong, torch.tensor([0]))  # type: ignore[attr-defined]
    monkeypatch.setattr(measurements, "MEASUREMENTS", {})
    exec(lines("python", '@register("shift"'), dict(vars(measurements)))
    test = data.Split((picture.repeat(2, 1, 1, 1) * 255).byte(), torch.tensor([0, 1]))
    subject = Subject(model, test, 4, torch.device("cpu"))
    found = measurements.MEASUREMENTS["shift"].measure(subject, "1")
    assert isinstance(found, Findings) and found.rows[0].metric == "accuracy_last"
    assert found.arrays["last"].tolist() == [False, False]  # the second was wrong before, and stays so


def one_bright_pixel() -> torch.Tensor:
    picture = torch.zeros(1, 3, 4, 4)
    picture[..., 0, 1] = 1
    return picture


def added(module: ModuleType, after: str, text: str) -> dict[str, Any]:
    """What a module would hold if a text were added to its source below another, indented as that is."""
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    assert source.count(after) == 1, after
    space: dict[str, Any] = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(source.replace(after, after + text), str(module.__file__), "exec"), space)
    return space


def test_training_against_the_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry, the function and the call are put where the page says; what it says that follows, follows."""
    entry = lines("python", '"shift": Attack(')
    last = '    "blur": Attack("blur-{sigma:g}", ("sigma", "share"), adversary=False),\n'
    space = added(choices, last, entry)
    for module, names in (
        (configuration, ("ATTACKS", "BELONGS", "PLAIN", "NUMBERED")),
        (jobs, ("ATTACKS", "BELONGS")),
        (measurements, ("ATTACKS",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, space[name])
    resolver = eval("{" + lines("python", '"shift": lambda config') + "}")
    monkeypatch.setattr(configuration, "RESOLVE", configuration.RESOLVE | resolver)
    config = configuration.resolve(attack="shift")
    assert (config.model, config.share) == ("shift", 1.0)
    assert {config.eps, config.norm, config.steps, config.max_flow, config.random_start} == {None}
    assert configuration.resolve(**configuration.of_model("shift")) == config
    values = {f.name: f.default for f in fields(configuration.Config)} | {"attack": "shift", "tau": 0.1}
    history = ['attack = ""\ntau = None', "# Parameters\ntau = 0.1"]
    with pytest.raises(InputError, match=r"^tau = 0.1: only with attack spatial, not with 'shift'"):
        jobs.train_config(values, history)

    attack = dict(vars(attacks))
    exec(lines("python", "def shift(model"), attack)
    monkeypatch.setattr(attacks, "shift", attack["shift"], raising=False)
    spatial = "            step_size=2.5 * config.max_flow / config.steps,\n        )  # fmt: skip\n"
    perturb = added(training, spatial, lines("python", 'if config.attack == "shift":'))["perturb"]
    monkeypatch.setattr(training, "perturb", perturb)
    monkeypatch.setattr(training.models, "fold", lambda model: model)  # which has no batch norm
    test = data.Split((one_bright_pixel().repeat(2, 1, 1, 1) * 255).byte(), torch.tensor([0, 1]))
    shown = {"nn": nn, "torch": torch, "Tensor": torch.Tensor}
    exec(lines("python", "def test_shift"), shown)
    subject = Subject(shown["Corner"](), test, 4, torch.device("cpu"), None, config)  # type: ignore[operator]
    measured = measurements.MEASUREMENTS["trained-attack"]
    assert measured.levels(subject) == ("",)
    (row,) = measured.measure(subject, "").rows  # and none of a gradient, which it doesn't follow
    assert (row.metric, row.count, row.total) == ("accuracy_last", 0, 2)


def test_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entry alone makes it known to what checks a configuration and to what builds a network."""
    space = added(choices, '    "7x7": Stem(7, 2, "stem7", pooled=True),\n', lines("python", '"5x5": Stem('))
    assert list(space["STEMS"]) == [*choices.STEMS, "5x5"]
    for module in (configuration, models):
        monkeypatch.setattr(module, "STEMS", space["STEMS"])
    shown = {"models": models, "torch": torch}
    exec(lines("python", "def test_a_first_layer_of_5x5"), shown)
    shown["test_a_first_layer_of_5x5"]()  # type: ignore[operator]
    config = configuration.resolve(stem="5x5", attack="none")
    assert config.recipe.startswith("stem5-side32-") and training.build(config, 10)[0].conv1.kernel_size == (5, 5)


def test_the_page(published: pd.DataFrame) -> None:
    """Its cells run as they stand, and what the first one prints has its number from a row."""
    text = re.findall(r"````markdown\n(.*?)````", PAGE, re.DOTALL)
    page = jupytext.reads(text[0], fmt="md:myst")
    assert len(text) == 1 and PAGE.startswith(text[0].partition("# Colours")[0])
    space: dict[str, Any] = {}
    said, grid = (run_cell(cell.source, space) for cell in page.cells if cell.cell_type == "code")
    clean = published[(published["metric"] == "accuracy") & (published["model"] == "pgd-linf-8")]
    clean = tables.in_main_setting(clean, "cifar10")
    kept = clean[(clean["distortion"] == "saturation") & (clean["level"] == "inf")]["value"].mean()
    assert said.data == f"Posterised, they keep {100 * kept:.0f} % of the pictures."
    assert "#claim-not-just-less-accurate" in grid.data and "The claim of this page and its verdicts." in grid.data


def run_cell(source: str, space: dict[str, Any]) -> Any:
    """What a cell's last expression gives."""
    *before, last = ast.parse(source).body
    assert isinstance(last, ast.Expr)
    exec(compile(ast.Module(before, []), "cell", "exec"), space)
    return eval(compile(ast.Expression(last.value), "cell", "eval"), space)


def test_the_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "claims.yaml"
    whole = (REPOSITORY / claims.CLAIMS).read_text(encoding="utf-8")
    entry = lines("yaml", "id: grey-harmless").replace("grey@1", "saturation@8")
    path.write_text(f"{whole.rstrip()}\n\n{entry}", encoding="utf-8")
    found = claims.load(path)["grey-harmless"]
    assert (found.direction, found.statistic.metrics, found.e) == ("greater", ("common",), 0.02)
    for key in ("origin", "smallest_effect", "datasets", "needed", "known", "changes"):
        assert re.search(rf"^#   {key} ", whole, re.MULTILINE) and f"    {key}: " in entry, key
    assert found.registered and found.formula
