"""The page "Extending atlib": its lines work as they are printed."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from atlib import attacks, choices, configuration, data, measurements, transforms
from atlib.data import archives, registry
from atlib.errors import InputError
from atlib.files import REPOSITORY
from atlib.measurements import Findings, Subject
from atlib.report import claims

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
    picture = torch.zeros(1, 3, 4, 4)
    picture[..., 0, 1] = 1  # one bright pixel: the network says 1 where it sees it in the first column, 0 otherwise

    class Corner(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            left = images[:, 0, :, 0].amax(1)
            return torch.stack([1 - left, left], 1)

    model, labels = Corner(), torch.tensor([0])
    assert torch.equal(attacks.shift(model, picture, labels, pixels=0), picture)  # type: ignore[attr-defined]
    moved = attacks.shift(model, picture, labels, pixels=1)  # type: ignore[attr-defined]
    assert moved[0, 0].nonzero()[:, 1].tolist() == [0] and model(moved).argmax(1).item() == 1
    monkeypatch.setattr(measurements, "MEASUREMENTS", {})
    exec(lines("python", '@register("shift"'), dict(vars(measurements)))
    test = data.Split((picture.repeat(2, 1, 1, 1) * 255).byte(), torch.tensor([0, 1]))
    subject = Subject(model, test, 4, torch.device("cpu"))
    found = measurements.MEASUREMENTS["shift"].measure(subject, "1")
    assert isinstance(found, Findings) and found.rows[0].metric == "accuracy_last"
    assert found.arrays["last"].tolist() == [False, False]  # the second was wrong before, and stays so


def test_training_against_the_attack(monkeypatch: pytest.MonkeyPatch) -> None:
    space = dict(vars(choices))
    entry = eval("{" + lines("python", '"shift": Attack(') + "}", space)
    monkeypatch.setitem(choices.ATTACKS, "shift", entry["shift"])
    monkeypatch.setattr(configuration, "NUMBERED", choices._kinds()[1])
    space = dict(vars(configuration))
    exec(lines("python", "def _resolve_shift("), space)
    resolver = eval("{" + lines("python", '"shift": _resolve_shift') + "}", space)
    monkeypatch.setitem(configuration.RESOLVE, "shift", resolver["shift"])
    config = configuration.resolve(attack="shift", max_flow=2)
    assert (config.model, config.max_flow, config.eps, config.share) == ("shift-2", 2.0, None, 1.0)
    assert configuration.resolve(**configuration.of_model("shift-2")) == config
    with pytest.raises(InputError, match=r"^max_flow = 9: must be a number at least 1 and at most 8"):
        configuration.resolve(attack="shift", max_flow=9)
    monkeypatch.setattr(attacks, "shift", lambda *given, pixels: (given, pixels), raising=False)
    space = {"attacks": attacks}
    call = lines("python", 'if config.attack == "shift":')
    exec(f"def perturb(config, model, images, labels):\n{call}", space)
    assert space["perturb"](config, 1, 2, 3) == ((1, 2, 3), 2)
    subject = Subject(nn.Identity(), data.Split(torch.empty(0), torch.empty(0)), 32, torch.device("cpu"), None, config)
    assert measurements.MEASUREMENTS["trained-attack"].levels(subject) == ("",)


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
