"""Anybody's network: where it comes from, what is refused in one line, and the report on it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from html import escape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

import atlib
from atlib import (
    data,
    evaluation,
    examples,
    measurements,
    models,
    networks,
    own,
    progress,
    saliency,
    suspicions,
    transforms,
)
from atlib.errors import AtlibError, InputError, NetworkError
from atlib.files import REPOSITORY, read_json, results_dir, write_json
from atlib.report import job, statistics, tables
from atlib.report import own as page
from atlib.report.own import beside, example, sentences
from atlib.report.own import page as page_module
from atlib.report.own.__main__ import main
from atlib.rows import frame_of, measurement, read_predictions, read_rows

FILE = """
import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self, outputs=10):
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, outputs)

    def forward(self, images):
        return self.layer(images.flatten(1))


def good():
    torch.manual_seed(0)
    return Linear().eval()


def training():
    return Linear()


def few():
    return Linear(7).eval()


def nan():
    model = good()
    with torch.no_grad():
        model.layer.weight[3] = float("nan")
    return model


def crashes():
    return nn.Linear(5, 10).eval()


def no_gradient():
    class Frozen(Linear):
        @torch.no_grad()
        def forward(self, images):
            return super().forward(images)
    return Frozen().eval()


def maps():
    return nn.Conv2d(3, 10, 3).eval()


def moves():
    import os
    os.chdir("/")
    return good()


class Power(Linear):  # NaN for noisy copies, which leave [0, 1]
    def forward(self, images):
        return super().forward(images ** 2.2)


def power():
    torch.manual_seed(0)
    return Power().eval()


def fails():
    raise RuntimeError("no weights\\nhere")


def text():
    return "a network"


def half_training():
    model = good()
    model.norm = nn.BatchNorm1d(3)
    return model


def leaves():
    import sys
    sys.exit(1)


class Draws(Linear):
    def forward(self, images):
        return super().forward(images) + torch.randn(len(images), 10)


class Softmax(Linear):
    def forward(self, images):
        return super().forward(images).softmax(1)


class InPlace(Linear):
    def forward(self, images):
        images.data.sub_(0.5)
        return super().forward(images)


class Squeezed(Linear):
    def forward(self, images):
        return super().forward(images).squeeze()


class Standardised(Linear):  # by each picture's own deviation, which a grey picture doesn't have
    def forward(self, images):
        return super().forward((images - images.mean((1, 2, 3), keepdim=True)) / images.std((1, 2, 3), keepdim=True))


class OfTheBatch(Linear):
    def forward(self, images):
        return super().forward(images - images.mean(0))


class Gamma(Linear):  # to linear light, which noisy copies with values below 0 don't have
    def forward(self, images):
        return super().forward(images**2.2)


class Extra(Linear):
    def get_extra_state(self):
        return {"version": 2}

    def set_extra_state(self, state):
        pass


def draws(): return Draws().eval()
def softmax(): return Softmax().eval()
def in_place(): return InPlace().eval()
def squeezed(): return Squeezed().eval()
def standardised(): return Standardised().eval()
def of_the_batch(): return OfTheBatch().eval()
def gamma(): return Gamma().eval()
def extra(): return Extra().eval()
def meta(): return good().to("meta")


value = 5
"""


def refused(do: Callable[[], object], *parts: str) -> None:
    """It raises an error of atlib, one line that holds these parts: a NetworkError if the network gives NaN."""
    with pytest.raises(AtlibError) as error:
        do()
    assert isinstance(error.value, NetworkError if any("NaN or inf" in part for part in parts) else InputError)
    message = str(error.value)
    assert "\n" not in message and all(part in message for part in parts), message


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A small generated data set, few maps, and a module of the reader's in the working directory."""
    load = data.load

    def few(name: str, **given: object) -> data.Dataset:
        counts = {"train_count": 10, "test_count": 60, "conflict_count": 90} if name == "shapes" else {}
        return load(name, **counts, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(data, "load", few)
    monkeypatch.setattr(measurements, "MAP_PICTURES_ELSEWHERE", 4)
    monkeypatch.setattr(saliency, "SAMPLES", 2)
    monkeypatch.setenv("ATLIB_COMMIT", "abc")
    (tmp_path / "mine.py").write_text(FILE)
    (tmp_path / "broken.py").write_text("import torch\n1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)


# --- where networks come from -----------------------------------------------------------------------------------------


def test_a_function_of_the_readers() -> None:
    about = own.subject("mine:good", "shapes")
    assert about.name == "mine-good" and about.source == "mine:good" and str(Path.cwd()) not in sys.path
    same = own.subject(about.subject.model, "shapes", name="by hand")
    assert same.digest == about.digest and same.name == "by-hand" and own.folder_of(same) != own.folder_of(about)


def test_a_network_that_has_changed_since_is_not_measured_as_the_old_one() -> None:
    """Rows of both lay in one folder."""
    about = own.subject("mine:good", "shapes", limit=20)
    own.evaluate(about, measure=("clean",), progress=False)
    with torch.no_grad():
        next(about.subject.model.parameters()).mul_(-1)
    with pytest.raises(
        InputError, match=r"^mine:good: its weights have changed since own\.subject saw them; call own\.subject"
    ):
        own.evaluate(about, measure=("noise@0.1",), progress=False)


def test_a_network_in_training_mode_is_measured_in_evaluation_mode_and_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(3 * 32 * 32, 10)).eval()
    about = own.subject(model, "shapes", name="mine", limit=40)
    expected = read_rows(own.evaluate(about, measure=("noise@0.1",), progress=False) / "rows.csv")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    found = read_rows(own.evaluate(about, measure=("noise@0.1",), again=True, progress=False) / "rows.csv")
    assert found.equals(expected) and model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_a_function_may_go_to_another_folder(tmp_path: Path) -> None:
    assert isinstance(networks.network("mine:moves").model, nn.Module) and str(tmp_path) not in sys.path


def test_a_map_that_is_not_finite_is_left_out_of_the_examples() -> None:
    """It was drawn as a black one."""
    with pytest.raises(NetworkError, match="SmoothGrad maps"):
        examples.explain(own.subject("mine:power", "shapes").subject, "clean@", torch.arange(2))


def test_a_shipped_network_is_the_one_of_models() -> None:
    about = own.subject("atlib:shapes/pgd-linf-8", "shapes")
    model, _ = models.load("shapes/pgd-linf-8")
    images = about.subject.test.images[:20].float() / 255
    with torch.no_grad():
        torch.testing.assert_close(about.subject.model(images), model(images), rtol=1e-3, atol=1e-3)


def test_a_network_of_torchvision_with_weights_from_a_file(tmp_path: Path) -> None:
    from atlib._torchvision import torchvision

    torch.manual_seed(0)
    plain = torchvision.models.squeezenet1_1(weights=None)
    torch.save(plain.state_dict(), "weights.pt")
    loaded = networks.network("torchvision:squeezenet1_1", "weights.pt")
    assert len(loaded.outputs) == 1000 and "tabby" in loaded.outputs and not loaded.model.training
    images = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (models.IMAGENET_MEAN, models.IMAGENET_STD))
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(images), plain.eval()((images - mean) / std))

    # on a folder of pictures, two of its thousand outputs taken for one class and one for another
    draws = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        place = tmp_path / "pictures" / "test" / name  # nothing to train on: all are tested
        place.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(draws.integers(0, 255, (70, 80, 3), dtype=np.uint8)).save(place / f"{number}.png")
    Path("map.csv").write_text("class,output\ncats,tabby\ncats,282\ndogs,207\n", encoding="utf-8")
    folder = f"folder:{tmp_path / 'pictures'}"
    given: dict[str, Any] = {"side": 64, "classes": "map.csv", "weights": "weights.pt"}
    about = own.subject("torchvision:squeezenet1_1", folder, **given)
    tabby = loaded.outputs.index("tabby")
    assert about.subject.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    shown = data.prepare(about.subject.test.images, 64)
    with torch.no_grad():
        said, raw = about.subject.model(shown).softmax(1), loaded.model(shown).softmax(1)
    expected = torch.stack([raw[:, tabby] + raw[:, 282], raw[:, 207]], 1)
    torch.testing.assert_close(said, expected / expected.sum(1, keepdim=True), rtol=1e-3, atol=1e-5)
    refused(
        lambda: own.subject("torchvision:squeezenet1_1", folder, side=64, weights="weights.pt"),
        "has 1000 outputs, the data set 2 classes; a file `classes`",
    )
    Path("map.csv").write_text("class,output\ncats,3\ndogs,1000\n", encoding="utf-8")
    refused(
        lambda: own.subject("torchvision:squeezenet1_1", folder, **given),
        "output 1000: the network has 1000, from 0 on",
    )


def test_a_network_of_timm_with_weights_from_a_file() -> None:
    from atlib._torchvision import torchvision  # noqa: F401

    import timm  # isort: skip

    torch.manual_seed(0)
    plain = timm.create_model("test_vit3", pretrained=False)  # takes 160 pixels, and normalises by .5
    torch.save(plain.state_dict(), "weights.pt")
    loaded = networks.network("timm:test_vit3", "weights.pt")
    assert len(loaded.outputs) == 1000 and loaded.outputs[1] == "n01443537" and not loaded.model.training
    images = torch.rand(2, 3, 160, 160)
    with torch.no_grad():
        torch.testing.assert_close(loaded.model(images), plain.eval()((images - 0.5) / 0.5))
    lines = [f"{name},{synset}" for name, synset in zip(data.load("shapes").classes, loaded.outputs, strict=False)]
    Path("map.csv").write_text("\n".join(["class,output", *lines]), encoding="utf-8")
    refused(
        lambda: own.subject("timm:test_vit3", "shapes", weights="weights.pt", classes="map.csv"),
        "model = 'timm:test_vit3': fails on float pictures of 2×3×32×32: AssertionError: ",
    )
    torch.save(timm.create_model("test_resnet", pretrained=False).state_dict(), "weights.pt")
    about = own.subject("timm:test_resnet", "shapes", weights="weights.pt", classes="map.csv")  # takes any size
    with torch.no_grad():
        assert about.subject.model(torch.rand(2, 3, 32, 32)).shape == (2, 10)


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(lambda: networks.network("timm:vit_tiny"), "model = 'timm:vit_tiny': needs timm; pip install timm")
    refused(lambda: networks.network(None), "model = None: must be one of atlib:DATASET/MODEL, ")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("resnet18", ["model = 'resnet18': must be one of atlib:DATASET/MODEL, torchvision:NAME, "]),
        ("torchvison:resnet18", ["torchvison can't be imported", "(did you mean 'torchvision'?)"]),
        (
            "atlib:shapes/pgd-linf-9",
            [
                "model = 'atlib:shapes/pgd-linf-9': ",
                "neither a file nor one of ",
                "(did you mean 'shapes/pgd-linf-8'?)",
            ],
        ),
        ("torchvision:resnet19", ["model = 'torchvision:resnet19': no such model (did you mean 'resnet18'?)"]),
        ("torchvision:resnet18", ["model = 'torchvision:resnet18': no download (", "; give weights, a file"]),
        ("timm:resnet188", ["model = 'timm:resnet188': no such model (did you mean 'resnet18'?)"]),
        (
            "timm:resnet18.a9",
            ["model = 'timm:resnet18.a9': no weights (Invalid pretrained tag (a9)", "; give weights, "],
        ),
        (
            "timm:coatnet_0_224",
            ["model = 'timm:coatnet_0_224': no weights (No pretrained weights exist", "; give weig"],
        ),
        ("timm:test_resnet", ["model = 'timm:test_resnet': no weights (", "; give weights, a file"]),  # no download
        ("nowhere:good", ["model = 'nowhere:good': nowhere can't be imported: ModuleNotFoundError: "]),
        ("broken:good", ["broken can't be imported: ZeroDivisionError: division by zero"]),
        ("mine:god", ["mine has no function god (did you mean 'good'?)"]),
        ("mine:value", ["value is a int, not a function"]),
        ("mine:fails", ["fails() failed: RuntimeError: here"]),
        ("mine:text", ["text() gave a str: must be a torch.nn.Module"]),
        ("mine:training", ["model = 'mine:training': is in training mode; call .eval()"]),
        ("mine:few", ["has 7 outputs, the data set 10 classes"]),
        ("mine:nan", ["gives NaN or infinite outputs"]),
        ("mine:crashes", ["fails on float pictures of 2×3×32×32: RuntimeError: "]),
        ("mine:half_training", ["model = 'mine:half_training': its norm is in training mode; call .eval()"]),
        ("mine:leaves", ["leaves() failed: SystemExit: 1"]),
        ("mine:draws", ["answers the same pictures differently each time"]),
        ("mine:of_the_batch", ["answers a picture differently alone than in a batch: must not depend on the batch"]),
        ("mine:softmax", ["gives probabilities: must give the logits"]),
        ("mine:in_place", ["changes its input in place"]),
        ("mine:squeezed", ["gives 10 for 1×3×32×32: must give 1×classes"]),
        ("mine:meta", ["can't be moved to the "]),
        ("mine.py:good", ["'mine.py' must be a module's name, as after Python's import, not a path"]),
        ("./mine:good", ["'./mine' must be a module's name"]),
        ("mine:no_gradient", ["its outputs have no gradient with respect to its input"]),
        ("mine:maps", ["gives 2×10×30×30 for 2×3×32×32: must give 2×classes, the logits"]),
    ],
)
def test_a_network_that_cannot_be_measured(source: str, parts: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(Path.cwd() / "torch"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # else timm tries for most of a minute
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(Path.cwd() / "hub"))
    refused(lambda: own.subject(source, "shapes"), *parts)


def test_weights_that_cannot_be_used() -> None:
    Path("text.pt").write_text("hello", encoding="utf-8")
    torch.save([1, 2], "list.pt")
    torch.save({"a": torch.zeros(1)}, "other.pt")
    name = "torchvision:squeezenet1_1"
    refused(lambda: networks.network(name, "no.pt"), "weights = 'no.pt': no.pt: no such file")
    refused(lambda: networks.network(name, "."), "weights = '.': .: a folder, not a file")
    refused(lambda: networks.network(name, "text.pt"), "text.pt: not a weights-only PyTorch file")
    refused(lambda: networks.network(name, "list.pt"), "list.pt: must hold a dictionary of tensors")
    refused(lambda: networks.network(name, "other.pt"), "weights = 'other.pt': not of this network: ")
    refused(lambda: networks.network("mine:good", "other.pt"), "weights = 'other.pt': not of this network: ")
    refused(
        lambda: own.subject("atlib:shapes/normal", "shapes", weights="other.pt"), "weights = 'other.pt': not with atl"
    )
    torch.save({"epoch": 3, "weights": {"a": torch.zeros(1)}}, "unknown.pt")
    refused(
        lambda: networks.network(name, "unknown.pt"), "must hold a dictionary of tensors", "it holds epoch, weights"
    )


def test_no_module_and_no_text() -> None:
    wrong: list[Any] = [nn.Identity, None, {"a": torch.zeros(1)}, lambda images: images]
    for model in wrong:
        refused(partial(own.subject, model, "shapes"), "must be a torch.nn.Module, or a text: atlib:")


def test_what_is_cheap_is_checked_before_a_network_is_fetched() -> None:
    """Each would be a download, or a module that does not exist."""
    refused(lambda: own.subject("torchvision:resnet18", "cifar1"), "dataset = 'cifar1': must be one of")
    refused(lambda: own.subject("nowhere:good", "folder:/nowhere"), "dataset = 'folder:/nowhere': must be")
    refused(lambda: own.subject("nowhere:good", "shapes", classes="no.csv"), "classes = 'no.csv': not readable")


class Holder(nn.Module):
    """As Lightning's modules hold the network, which torch.compile has wrapped."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "model._orig_mod.", "module.model."])
@pytest.mark.parametrize("inside", [None, "state_dict", "model_state_dict", "net"])
def test_checkpoints_as_people_have_them(prefix: str, inside: str | None) -> None:
    saved = networks.network("mine:good").model
    with torch.no_grad():
        saved.layer.bias.copy_(torch.arange(10.0))  # type: ignore[union-attr, operator]
    state = {prefix + name: value for name, value in saved.state_dict().items()}
    torch.save({inside: state, "epoch": 7} if inside else state, "checkpoint.pt")
    found = networks.network("mine:good", "checkpoint.pt").model.state_dict()
    assert found["layer.bias"].tolist() == [*range(10)]
    model = networks.network("mine:good").model
    own.subject(model, "shapes", weights="checkpoint.pt", name="mine")  # and a module in Python
    assert model.state_dict()["layer.bias"].tolist() == [*range(10)]


def test_a_network_that_holds_its_own_as_model_keeps_that_name() -> None:
    saved = Holder(networks.network("mine:good").model)
    torch.save(saved.state_dict(), "holder.pt")
    networks.fill(Holder(networks.network("mine:good").model), "holder.pt")
    save_file(saved.model.state_dict(), "plain.safetensors")
    networks.fill(networks.network("mine:good").model, "plain.safetensors")


@pytest.mark.filterwarnings("ignore:The default weight initialization")
def test_a_network_of_torchvision_that_normalises_inside() -> None:
    """Its own weights switch that on; weights from a file are used in the same way."""
    from atlib._torchvision import torchvision

    plain = torchvision.models.googlenet(weights=None, init_weights=False)
    torch.save(plain.state_dict(), "weights.pt")
    inner = networks.network("torchvision:googlenet", "weights.pt").model.model
    assert isinstance(inner, torchvision.models.GoogLeNet) and inner.transform_input
    assert torchvision.models.get_model("inception_v3", weights=None, **networks.INSIDE["inception_v3"]).transform_input


def test_names_that_a_table_can_hold() -> None:
    model = networks.network("mine:good").model
    named = {name: own.subject(model, "shapes", name=name).name for name in ("网络 3", "///", "x" * 300)}
    assert named == {"网络 3": "网络-3", "///": "network", "x" * 300: "x" * own.LONGEST_NAME}
    assert own.subject("mine:extra", "shapes").digest != own.subject("mine:good", "shapes").digest


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("cats,1\n", "line 1 must be class,output"),
        ("class,output\ncats,1,2\n", "line 2: must have two cells"),
        ("class,output\ncast,1\n", "line 2: 'cast' is no class of the data set (did you mean 'cats'?)"),
        ("class,output\ncats,tiger\n", "line 2: 'tiger' is neither a number nor the name of an output"),
        ("class,output\ncats,1\n", "says nothing of 'dogs'"),
        ("class,output\ncats,1\n\ndogs,beagle\n", "line 4: output beagle already means 'cats'"),
    ],
)
def test_a_file_of_classes_that_cannot_be_used(text: str, part: str) -> None:
    Path("map.csv").write_text(text, encoding="utf-8")
    refused(
        lambda: networks.read_classes("map.csv", ["cats", "dogs"], ["tabby", "beagle"]), "classes = 'map.csv': ", part
    )
    refused(
        lambda: networks.read_classes("no.csv", ["cats"], []), "classes = 'no.csv': not readable (FileNotFoundError)"
    )
    Path("map.csv").write_text(
        "\ufeffclass,output\ndogs, beagle\ncats,0\n\ncats,7\n\n", encoding="utf-8"
    )  # as Excel writes it
    assert networks.read_classes("map.csv", ["cats", "dogs"], ["tabby", "beagle"]) == [[0, 7], [1]]


class WantsNormalised(nn.Module):
    """The shipped network behind the inverse of ImageNet's normalisation: right only about normalised pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.model, _ = models.load("shapes/normal")

    def forward(self, images: Tensor) -> Tensor:
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (models.IMAGENET_MEAN, models.IMAGENET_STD))
        return self.model(images * std + mean)


def test_normalised_input_is_suspected(capsys: pytest.CaptureFixture) -> None:
    about = own.subject(WantsNormalised().eval(), "shapes")
    line = capsys.readouterr().out
    assert line.startswith("suspicion: WantsNormalised knows ") and line.count("\n") == 1
    assert "100 % of them once normalised by ImageNet's mean and deviation" in line and about.suspicion == line.strip()
    assert escape(about.suspicion) in page.html(own.evaluate(about, measure=("clean",), progress=False))
    capsys.readouterr()
    own.subject("atlib:shapes/normal", "shapes")
    # half a dozen pictures more are no reason: untrained networks win as many by chance
    few = data.Split(about.subject.test.images[:12], about.subject.test.labels[:12])
    model = Sometimes(about.subject.model, few.images, 6)
    assert suspicions.normalised_inside("it", replace(about.subject, model=model, test=few)) == ""
    assert capsys.readouterr().out == ""


class Sometimes(nn.Module):
    """Right about all normalised pictures, and about the first so many others."""

    def __init__(self, model: nn.Module, images: Tensor, right: int) -> None:
        super().__init__()
        self.model, self.known = model, data.prepare(images[:right], 32)

    def forward(self, images: Tensor) -> Tensor:
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (models.IMAGENET_MEAN, models.IMAGENET_STD))
        known = (images[:, None] - self.known[None]).flatten(2).abs().amax(2).amin(1) < 1e-6
        shown = torch.where(known.view(-1, 1, 1, 1), (images - mean) / std, images)
        return self.model(shown)


# --- what is measured -------------------------------------------------------------------------------------------------


def test_every_measurement_and_the_report_in_three_lines() -> None:
    about = own.subject("atlib:shapes/normal", "shapes")
    folder = own.evaluate(about, progress=False)
    html = page.html(folder)
    rows = read_rows(folder / "rows.csv")
    measured = {measurement(row) for row in rows.to_dict("records")}
    assert measured == set(evaluation.expected(atlib.configuration.resolve(attack="none")))
    assert set(rows["model"]) == {"atlib-shapes-normal"} and set(rows["dataset"]) == {"shapes"}
    assert read_json(folder / "evaluation.json")["weights_digest"] == about.digest
    assert page.write(folder).read_text(encoding="utf-8") == html and "atlib:shapes/normal on shapes" in html
    assert "has published no networks of its own on these pictures" in html and "http" not in html
    before = (folder / "rows.csv").stat().st_mtime_ns
    own.evaluate(about, progress=False)
    assert (folder / "rows.csv").stat().st_mtime_ns == before
    refused(lambda: own.evaluate(about, measure=("claen",)), "measure = 'claen': must be one of clean, ")
    refused(lambda: own.evaluate(about, measure="clean"), "measure = 'clean': must be names in a tuple, ")  # type: ignore[arg-type]
    refused(lambda: own.evaluate(about, measure=("stylised",)), "measure = 'stylised': does not apply")


def test_maps_that_are_nan_are_left_out_and_the_rest_is_measured(capsys: pytest.CaptureFixture) -> None:
    about = own.subject("mine:gamma", "shapes")
    refused(
        lambda: own.evaluate(about, measure=("maps",), progress=False),
        "maps@clean: model: its SmoothGrad maps, whose noisy copies leave [0, 1], are NaN or infinite for ",
    )
    folder = own.evaluate(about, measure=("clean", "maps"), progress=False)
    rows = read_rows(folder / "rows.csv")
    assert set(rows["metric"]) == {"accuracy", "p_true"} and rows["value"].notna().all()
    assert "left out: maps@clean: " in capsys.readouterr().out
    assert "left out: maps@pgd-linf@8: " in page.html(folder)
    broken = measurements.Findings([measurements.Row("p_true", float("nan"), None, 5)], {})
    with pytest.raises(NetworkError, match=r"^p_true = nan: must be finite$"):
        measurements.check_finite(broken)
    measurements.check_finite(measurements.Findings([measurements.Row("shape_bias", float("nan"), 0, 0)], {}))


def published(model: str, seed: int, share: float, labels: np.ndarray, right: dict[str, float], gini: float) -> None:
    """A published run of the main setting whose clean answers are all right, and which keeps shares of them."""
    at = tables.setting("shapes")
    run = f"shapes/{model}-w16-s{seed}-0000000{seed}"
    common = {"run": run, "dataset": "shapes", "model": model, "width": 16, "share": share, "recipe": at.recipe}
    arrays, lines = {"labels": labels}, []
    for place, part in right.items():
        distortion, level = place.split("@")
        said = np.where(np.arange(len(labels)) < part * len(labels), labels, (labels + 1) % 10)
        attacked = distortion == "pgd-linf"
        arrays[f"{place}/{'last' if attacked else 'class'}"] = said
        count = int((said == labels).sum())
        row = {"seed": seed, "distortion": distortion, "level": level}
        row["metric"] = "accuracy_last" if attacked else "accuracy"
        lines.append(common | row | {"value": count / len(labels), "count": count, "total": len(labels)})
    row = {"seed": seed, "distortion": "clean", "level": "", "metric": "gini"}
    lines.append(common | row | {"value": gini, "count": None, "total": 9})
    path = results_dir() / run
    path.parent.mkdir(parents=True, exist_ok=True)
    frame_of(lines).to_csv(path.with_name(f"{path.name}.csv"), index=False)
    np.savez_compressed(path.with_name(f"{path.name}.npz"), **arrays)  # type: ignore[arg-type]
    write_json(path.with_name(f"{path.name}.json"), {})


def test_where_it_stands() -> None:
    """Between networks made up by hand: halfway under saturation 8, not told where these two are alike."""
    about = own.subject("atlib:shapes/normal", "shapes")
    folder = own.evaluate(about, measure=("clean", "saturation", "maps"), progress=False)
    labels = about.subject.test.labels.numpy().astype(np.uint16)
    alone = page.standing(folder)
    assert alone["stands"].isna().all() and alone["normal"].isna().all()
    predictions = read_predictions(folder / "predictions.npz")
    mine = statistics.conditional(predictions, "saturation@8").value
    gini = alone.set_index(["under", "metric"])["value"]["clean@", "gini"]
    for seed in (1, 2):
        low, high = (mine - 0.3, mine + 0.1) if mine > 0.5 else (mine - 0.1, mine + 0.3)
        published("normal", seed, 0.0, labels, {"clean@": 1, "saturation@8": low, "saturation@4": 0.5}, gini + 0.1)
        published(
            "pgd-linf-8", seed, 1.0, labels, {"clean@": 1, "saturation@8": high, "saturation@4": 0.52}, gini - 0.1
        )
    table = page.standing(folder).set_index(["under", "metric"]).to_dict("index")
    line = table["saturation@8", "conditional"]
    assert line["value"] == mine and line["interval"] == statistics.conditional(predictions, "saturation@8").interval
    assert (
        line["stands"] == pytest.approx((mine - line["normal"]) / (line["main"] - line["normal"]))
        and 0 <= line["stands"] <= 1
    )
    assert np.isnan(table["saturation@4", "conditional"]["stands"])  # .50 and .52 are too close
    assert table["clean@", "gini"]["stands"] == pytest.approx(0.5) and table["clean@", "gini"]["interval"] is None
    assert ("saturation@8", "accuracy") not in table and ("clean@", "accuracy") in table
    assert line["low"] < line["stands"] < line["high"]
    html = page.html(folder)
    assert "<td>0.50 [" in html and "averaged over seeds" in html
    assert "For comparison, this report's own ResNet-18s" in html and "normal (2 seeds: 100\u00a0% clean)" in html

    assert set(page.reference_runs("shapes", "side32", labels)) == {"normal", "main"}
    assert page.reference_runs("shapes", "side64", labels) == {}  # the same pictures at another size
    other = labels.copy()
    other[0] = (other[0] + 1) % 10
    for path in results_dir().glob("*/pgd*.npz"):  # published on other pictures: not comparable
        with np.load(path) as stored:
            np.savez_compressed(path, **{**stored, "labels": other})
    assert page.standing(folder)["stands"].isna().all()
    assert isinstance(page.standing(folder), pd.DataFrame)


def test_the_page_of_a_part_speaks_of_what_was_measured_alone() -> None:
    """It had sections for what wasn't: accuracies under an attack, patch-shuffled maps, every distortion."""
    about = own.subject("atlib:shapes/normal", "shapes")
    labels = about.subject.test.labels.numpy().astype(np.uint16)
    for seed in (1, 2):
        for model, share, value in (("normal", 0.0, 0.2), ("pgd-linf-8", 1.0, 0.9)):
            published(model, seed, share, labels, {"clean@": 1, "saturation@1024": value, "pgd-linf@8": value}, 0.5)
    folder = own.evaluate(about, measure=("clean", "saturation@1024"), progress=False)
    html = page.html(folder)
    assert html.count("<svg") == 1 and "<h2>Under saturation</h2>" in html
    assert [part.partition("<")[0] for part in html.split("<h3>")[1:]] == ["clean", "saturation 1024"]
    for absent in ("under the same attack", "patch-shuffle", "every distortion", "obust accuracy", "normal (normal"):
        assert absent not in html, absent
    assert "normal (2 seeds: 100\u00a0% clean); adversarially trained (pgd-linf-8, 2 seeds: 100\u00a0% clean)" in html
    assert "by the one kind of test that was made and gives it a position (saturation)." in html
    with np.load(folder / "examples.npz") as stored:  # nor are maps drawn that aren't shown
        assert {key.partition("/")[0] for key in stored.files if "/" in key} == {"clean@", "saturation@1024"}
        before = stored["clean@/maps"]
    other = own.evaluate(about, measure=("pgd-linf", "noise@0.1", "patch-shuffle@4"), progress=False)  # added to these
    with np.load(folder / "examples.npz") as stored:
        assert "patch-shuffle@4/maps" in stored.files and (stored["clean@/maps"] == before).all()
    html = page.html(other)
    assert "normal (2 seeds: 100\u00a0% clean, 20\u00a0% under the same attack)" in html
    assert "<h2>Under saturation, patch-shuffle, noise</h2>" in html and "Robust accuracy is of all pictures." in html
    single = own.evaluate(own.subject("mine:good", "shapes"), measure=("noise@0.1",), progress=False)
    html = page.html(single)
    assert not any(part in html for part in ("<svg", "What it looks at", "conditional", "how the curves fall"))


def test_where_it_stands_is_not_told_unless_the_references_tell() -> None:
    """One level gave -1.58: the two were .11 apart there, and their seeds as far from each other."""
    value, low, high = page.stands(0.5, 0.01, [0.29, 0.30, 0.31], [0.69, 0.70, 0.71])
    assert value == pytest.approx(0.5) and 0.4 < low < 0.5 < high < 0.6
    # Fieller's limits are where the difference from the mixture is as large as its own error
    t = 2.7764451  # of 4 degrees of freedom
    for end in (low, high):
        spread = (1.96 * 0.01) ** 2 + t**2 * 0.0001 / 3 * ((1 - end) ** 2 + end**2)
        assert (0.5 - 0.3 - end * 0.4) ** 2 == pytest.approx(spread, rel=1e-6)
    # references that scatter differently leave fewer degrees of freedom (Satterthwaite), and so a wider interval
    uneven = page.stands(0.5, 0.01, [0.29, 0.30, 0.31], [0.6999, 0.70, 0.7001])
    t = 4.3009  # of 2.0002 degrees of freedom
    for end in uneven[1:]:
        spread = (1.96 * 0.01) ** 2 + t**2 / 3 * (0.0001 * (1 - end) ** 2 + 1e-8 * end**2)
        assert (0.5 - 0.3 - end * 0.4) ** 2 == pytest.approx(spread, rel=1e-3)
    for unresolved in (
        page.stands(0.1, 0.01, [0.2, 0.3, 0.25], [0.3, 0.42, 0.36]),  # .11 apart
        page.stands(0.5, 0.01, [0.5, 0.5], [0.52, 0.52]),  # too close
        page.stands(0.5, 0.2, [0.3, 0.3], [0.6, 0.6]),  # too few pictures
        page.stands(0.5, 0.01, [0.3], [0.7, 0.7]),  # one seed
    ):
        assert np.isnan(unresolved[0]) and beside.outside(*unresolved[1:]) == "–"


def test_of_a_network_far_outside_the_side_is_told() -> None:
    """A shape bias of .06 gave a dash: its limits, -9.1 and -3.0, are too far apart for a place."""
    normal, main = [0.75, 0.80, 0.85], [0.90, 0.93, 0.96]
    for value, side in ((0.06, "< 0"), (1.9, "> 1"), (0.95, "–")):
        place, low, high = page.stands(value, 0.01, normal, main)
        assert np.isnan(place) and high - low > 1 and beside.outside(low, high) == side


def test_levels_of_one_distortion_are_one_kind_of_test(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        ("saturation@16", -0.1), ("saturation@64", -0.2), ("saturation@1024", -0.3), ("pgd-linf@8", 0.8),
        ("conflict@", 0.6), ("low-pass@0.2", np.nan), ("patch-shuffle@2", np.nan), ("patch-shuffle@4", np.nan),
    ]  # fmt: skip
    table = pd.DataFrame([{"under": under, "stands": at, "metric": "conditional"} for under, at in lines])
    table = table.assign(low=[0.0] * 5 + [-4.0, -4.0, -4.0], high=[1.0] * 5 + [-2.0, -1.0, 0.5])
    monkeypatch.setattr(sentences, "standing", lambda folder: table)
    measured = SimpleNamespace(
        references={"normal": []}, folder=None, predictions={"labels": np.arange(10)}, quantities={}
    )
    said = sentences.overall(measured)  # type: ignore[arg-type]
    assert "stands at 0.60: the median over the 3 kinds of test that give it a position (saturation, pgd-linf" in said
    assert (
        "), 2 of which put it nearer to the adversarially trained ones. In the test low-pass it lies below 0, but"
        in said
    )
    assert "shuffle" not in said  # its levels don't agree
    table = table[table["under"] == "low-pass@0.2"]
    said = sentences.overall(measured)  # type: ignore[arg-type]
    assert said.startswith("Its place between") and said.endswith(
        "In the test low-pass it lies below 0, but we can't tell how far."
    )


def test_levels_are_in_the_order_of_numbers_and_robust_accuracy_is_stated() -> None:
    about = own.subject("atlib:shapes/normal", "shapes")
    folder = own.evaluate(about, measure=("clean", "pgd-linf", "saturation", "patch-shuffle"), progress=False)
    table = page.standing(folder)
    levels = table[table["under"].str.startswith("saturation@")]["under"].str.partition("@")[2].tolist()
    assert levels == ["0", "0.25", "0.5", "1", "2", "4", "8", "16", "64", "1024", "inf"]
    rows = read_rows(folder / "rows.csv")
    robust = rows[(rows["distortion"] == "pgd-linf") & (rows["metric"] == "accuracy_last")].iloc[0]
    html = page.html(folder)
    assert (
        f"Robust accuracy: {100 * robust['value']:.1f}\u00a0% [" in html
        and "of 60 pictures, wrong ones included" in html
    )
    assert "PGD with 40 steps of 2/255 within l_inf 8/255, from the picture itself, without restarts" in html
    assert html.count("<svg") == 2 and html.count("<polyline") == 2  # alone: nothing is published here
    (heard,) = re.findall('aria-label="saturation, accuracy; [^:"]+: ([^"]+)"', html)  # the line, for who hears it
    said = dict(part.split(" at ")[::-1] for part in heard.split(", "))
    mine = rows[(rows["distortion"] == "saturation") & (rows["metric"] == "accuracy")]
    assert said == {row["level"]: f"{row['value']:.2f}" for row in mine.to_dict("records")} and len(said) == 11
    assert "<td>saturation@1024</td>" in html and "http" not in html and "<script" not in html
    (result,) = table[(table["under"] == "pgd-linf@8") & (table["metric"] == "accuracy_last")].to_dict("records")
    assert result["value"] == robust["value"]
    # pictures with maps: this network's, and those of three that come with the repository
    assert html.count("<figure>") == 3 * 4 * 5 and "adversarially trained (pgd-linf-8)" in html


def test_the_command_line(capsys: pytest.CaptureFixture) -> None:
    assert main(["mine:good", "shapes", "--limit", "30", "--measure", "clean,saturation@8"]) == 0
    said = capsys.readouterr().out
    about = own.subject("mine:good", "shapes", limit=30)
    assert f"The report: {own.folder_of(about) / 'report.html'}" in said and "of 30 of 60 test pictures" in said
    html = (own.folder_of(about) / "report.html").read_text(encoding="utf-8")
    assert "A measurement's name is what <code>--measure</code> takes." in html
    assert main(["mine:god", "shapes"]) == 2
    assert capsys.readouterr().err == "error: model = 'mine:god': mine has no function god (did you mean 'good'?)\n"


def folder_of_pictures(place: Path, count: int, side: int = 40) -> str:
    """A data set of two classes with so many test pictures each."""
    draws = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (place / "test" / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = draws.integers(0, 255, (side, side, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "test" / name / f"{number}.png")
    return f"folder:{place}"


class TwoClasses(nn.Module):
    """Of any size. shift: what another version of its code subtracts."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.layer, self.shift = nn.Linear(3, 2), shift

    def forward(self, images: Tensor) -> Tensor:
        return self.layer((images - self.shift).mean((2, 3)))


def test_a_network_whose_code_has_changed_has_another_folder(tmp_path: Path) -> None:
    pictures, model = folder_of_pictures(tmp_path / "pictures", 4), TwoClasses().eval()
    about = own.subject(model, pictures, name="mine")
    folder = own.evaluate(about, measure=("clean",), progress=False)
    before = (folder / "rows.csv").read_text(encoding="utf-8")
    with torch.no_grad():
        model.layer.bias[0] = 0.5  # the same code with other weights has another folder
    assert own.folder_of(own.subject(model, pictures, name="mine")) != folder
    with torch.no_grad():
        model.layer.bias.copy_(torch.tensor([0.3, 0.0]))
    first = own.evaluate(own.subject(model, pictures, name="mine"), measure=("clean",), progress=False)
    kept = (first / "rows.csv").read_text(encoding="utf-8")
    assert own.folder_of(own.subject(model, pictures, name="mine")) == first
    model.shift = 3.0
    again = own.evaluate(own.subject(model, pictures, name="mine"), measure=("clean",), progress=False)
    assert again.name == f"{first.name}-2" and own.folder_of(own.subject(model, pictures, name="mine")) == again
    rows = read_rows(again / "rows.csv")
    expected = measurements.clean(own.subject(model, pictures).subject, "").rows
    assert [row["value"] for row in rows.to_dict("records")] == pytest.approx([row.value for row in expected])
    assert (folder / "rows.csv").read_text(encoding="utf-8") == before and (first / "rows.csv").read_text(
        encoding="utf-8"
    ) == kept


def test_other_pictures_have_another_folder(tmp_path: Path) -> None:
    """Measuring on other pictures of the same name threw the earlier rows away."""
    model, found = TwoClasses().eval(), {}
    for count in (4, 6):
        about = own.subject(model, folder_of_pictures(tmp_path / "pictures", count), name="mine")
        folder = own.evaluate(about, measure=("clean", "blur"), progress=False)
        found[folder] = (folder / "rows.csv").read_bytes()
        assert set(read_rows(folder / "rows.csv")["total"]) == {2 * count}
    Image.new("RGB", (40, 40)).save(tmp_path / "pictures" / "test" / "cats" / "5.png")  # as many, one of them another
    about = own.subject(model, f"folder:{tmp_path / 'pictures'}", name="mine")
    assert own.evaluate(about, measure=("clean",), progress=False) not in found
    assert len(found) == 2 and all((folder / "rows.csv").read_bytes() == rows for folder, rows in found.items())


# --- a part of the pictures, a part of the measurements ---------------------------------------------------------------


def test_a_sample_has_every_class_s_share() -> None:
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 20)[torch.randperm(100)]
    chosen = own.chosen_pictures(labels, 10)
    assert labels[chosen].bincount().tolist() == [5, 3, 2] and chosen.tolist() == sorted(set(chosen.tolist()))
    assert own.chosen_pictures(labels, 10).equal(chosen) and not own.chosen_pictures(labels, 10, seed=1).equal(chosen)
    assert len(own.chosen_pictures(labels, 33)) == 33
    assert own.chosen_pictures(labels, 7, "first").tolist() == [*range(7)]
    assert own.chosen_pictures(labels, 100).tolist() == own.chosen_pictures(labels, 1000).tolist() == [*range(100)]
    wrong: list[Any] = [0, -1, 2.5, True]
    for limit in wrong:
        refused(partial(own.chosen_pictures, labels, limit), f"limit = {limit!r}: must be a whole number at least 1")
    refused(lambda: own.subject("nowhere:good", "shapes", limit=3, sample="frist"), "sample = 'frist': must be one of")


def test_a_part_is_shown_what_it_is_shown_as_part_of_the_whole() -> None:
    """Patches are shuffled and noise is drawn by a picture's place, so that published answers can be cut to a part."""
    whole = own.subject("mine:good", "shapes")
    part = own.subject("mine:good", "shapes", limit=20)
    numbers = part.subject.numbers
    assert numbers is not None and len(part.subject.test.labels) == 20
    assert part.chosen == "20 of 60 test pictures (a sample, seed 0, with every class's share)"
    assert own.folder_of(part) != own.folder_of(whole) and part.subject.content == whole.subject.content
    measure = ("clean", "patch-shuffle@4", "noise@0.2", "maps@clean@")
    folders = [own.evaluate(about, measure=measure, progress=False) for about in (whole, part)]
    first, second = (read_predictions(folder / "predictions.npz") for folder in folders)
    assert read_json(folders[1] / "own.json")["numbers"] == numbers.tolist()
    found = page.cut(first, numbers.numpy())
    for key in second:
        if not key.startswith("maps@"):
            assert (second[key] == found[key]).all(), key
    maps = found["maps@clean@/gini"]  # of the four pictures with maps, those in the part: they come first
    assert (second["maps@clean@/gini"][: len(maps)] == maps).all()
    assert {row["level"] for row in read_rows(folders[1] / "rows.csv").to_dict("records")} == {"", "4", "0.2"}


def test_published_maps_are_cut_to_those_of_the_part() -> None:
    """A sample of 1,000 pictures holds more of the published maps than are drawn of it."""
    images, labels = torch.zeros(2000, 3, 2, 2, dtype=torch.uint8), torch.arange(2000) % 10
    numbers = own.chosen_pictures(labels, 1000)
    order = measurements.map_order(2000).numpy()
    part = data.Split(images[numbers], labels[numbers])
    subject = measurements.Subject(nn.Identity(), part, 2, torch.device("cpu"), dataset="cifar10")
    drawn = numbers[measurements.map_pictures(replace(subject, numbers=numbers, whole=images))].numpy()
    published = {"labels": labels.numpy(), "maps@clean@/gini": order[:500]}  # of each, its place instead of a value
    assert len(drawn) == 250 and (page.cut(published, numbers.numpy())["maps@clean@/gini"] == drawn).all()


def test_single_levels_can_be_measured() -> None:
    about = own.subject("mine:good", "shapes")
    folder = own.evaluate(about, measure=("saturation@1024",), progress=False)
    assert set(read_rows(folder / "rows.csv")["level"]) == {"1024"}
    refused(
        lambda: own.evaluate(about, measure=("saturation@3",)),
        "measure = 'saturation@3': must be one of saturation@0, ",
    )
    refused(
        lambda: own.evaluate(about, measure=("satuartion@8",)),
        "measure = 'satuartion': must be one of ",
        "(did you mean",
    )


def test_what_a_distortion_leaves_as_it_is_is_asked_for_once() -> None:
    about, asked = own.subject("mine:good", "shapes"), []
    about.subject.model.register_forward_hook(lambda *_: asked.append(1))
    for place in (("clean", ""), ("saturation", "2"), ("patch-shuffle", "1")):
        found = measurements.MEASUREMENTS[place[0]].measure(about.subject, place[1])
        assert found.rows == measurements.clean(about.subject, "").rows and len(asked) == 1
    measurements.MEASUREMENTS["patch-shuffle"].measure(about.subject, "2")
    assert len(asked) == 2


def test_how_long_it_takes_is_said_before_a_long_run(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = own.subject("mine:good", "shapes").subject
    now = [0.0]
    monkeypatch.setattr(evaluation.time, "monotonic", lambda: now[0])
    work = evaluation.Work(subject, [("clean", ""), ("pgd-linf", "8"), ("saturation", "8")], True)
    assert list(work.costs.values()) == [60, 60 * 40 * 3, 60]
    with work.on("clean", ""):
        now[0] = 10.0
    assert capsys.readouterr().out == (
        "3 measurements of 60 pictures: about 20 min, 98 % of it for the attack and the maps\n"
    )
    with work.on("pgd-linf", "8"):
        now[0] = 20.0
    assert capsys.readouterr().out == ""  # said once


# --- what makes one suspicious ----------------------------------------------------------------------------------------


class Behind(nn.Module):
    """The shipped network behind something wrong."""

    def __init__(self, before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.before, self.after = models.load("shapes/normal")[0], before, after

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.model(self.before(images)))


def same(values: Tensor) -> Tensor:
    return values


@pytest.mark.parametrize(
    ("before", "after", "parts"),
    [
        (lambda x: x / 255, same, ["with pixels from 0 to 255; it should take pixels in [0, 1] and multiply inside"]),
        (same, lambda y: y.roll(1, 1), ["knows 0 %", "taken in another order of classes; a file `classes` can say"]),
        (same, torch.sigmoid, ["lie between 0 and 1, as after a sigmoid; it should give the logits before it"]),
        (
            lambda x: x + (x * 0).sum() * 0,
            lambda y: (y * 1e4).round(),
            ["the gradient of", "is zero or not finite for 100 %"],
        ),
        (same, same, []),
    ],
    ids=["255", "order", "sigmoid", "zero", "sound"],
)
def test_what_seems_wrong_stands_at_the_top(
    before: Callable, after: Callable, parts: list[str], capsys: pytest.CaptureFixture
) -> None:
    about = own.subject(Behind(before, after).eval(), "shapes")
    lines = about.suspicion.splitlines()
    assert len(lines) == bool(parts) and all(part in lines[0] for part in parts), lines
    assert capsys.readouterr().out.splitlines() == lines
    if parts:
        html = page.html(own.evaluate(about, measure=("clean",), progress=False))
        assert html.index(escape(lines[0])) < html.index("It knows ") and 'class="suspicion"' in html


def test_a_measurement_that_fails_is_left_out(capsys: pytest.CaptureFixture) -> None:
    about = own.subject("mine:standardised", "shapes")
    for _ in range(2):  # and again when it is called again
        folder = own.evaluate(about, measure=("clean", "saturation"), progress=False)
        assert "left out: saturation@0: the network gives NaN or infinite outputs" in capsys.readouterr().out
        rows = read_rows(folder / "rows.csv")
        assert set(rows["level"]) == {"", *transforms.levels("saturation", 32)} - {"0"}
        assert "left out: saturation@0: the network gives NaN" in page.html(folder)


def test_pictures_that_do_not_fit_four_patches(tmp_path: Path) -> None:
    about = own.subject(TwoClasses().eval(), folder_of_pictures(tmp_path / "pictures", 2), side=30)
    places = {"@".join(pair) for pair in evaluation.wanted(about.subject)}
    assert "maps@clean@" in places and "maps@patch-shuffle@4" not in places and "patch-shuffle@2" in places
    folder = own.evaluate(about, measure=("patch-shuffle", "maps"), progress=False)  # stylised ones are left out
    rows = read_rows(folder / "rows.csv")
    assert set(rows["distortion"]) == {"clean", "saturation", "patch-shuffle", "pgd-linf"}
    assert set(rows[rows["distortion"] == "patch-shuffle"]["level"]) == {"1", "2"}


def test_nothing_is_left_behind_by_a_refusal(tmp_path: Path) -> None:
    about = own.subject(TwoClasses().eval(), folder_of_pictures(tmp_path / "pictures", 2))
    refused(lambda: own.evaluate(about, measure=("conflict",)), "measure = 'conflict': does not apply to ")
    refused(lambda: own.evaluate(about, measure=("stylised",)), "stylised@generated-ghiasi: ", " is not there; ")
    assert not own.folder_of(about).exists()


# --- the worked example -----------------------------------------------------------------------------------------------


def test_the_example_networks_know_their_pictures_and_rely_on_texture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    for name in ("plain", "vit"):
        about = own.subject(f"notebooks.own_networks:{name}", "shapes")
        assert about.digest == read_json(REPOSITORY / "results" / "own" / name / "evaluation.json")["weights_digest"]
        folder = own.evaluate(about, measure=("clean", "conflict"), progress=False)
        rows = read_rows(folder / "rows.csv").set_index("metric")["value"]
        assert rows["accuracy"] > 0.95 and rows["texture_accuracy"] > rows["shape_accuracy"] + 0.5


def test_the_examples_table_holds_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    table = page.side_by_side(["plain", "vit"])
    assert len(table) == len(example.SHOWN)
    rows = read_rows(page.published("vit") / "rows.csv")
    bias = rows[rows["metric"] == "shape_bias"]["value"].item()
    line = table[table["measured"] == "shape bias"].iloc[0]
    assert line["vit"] == f"{bias:.2f}"
    known = page.standing(page.published("vit")).set_index(["under", "metric"])
    resolved = known[known["stands"].notna()]
    assert (
        len(resolved) > 10 and ((resolved["low"] < resolved["stands"]) & (resolved["stands"] < resolved["high"])).all()
    )
    at = known.to_dict("index")["conflict@", "shape_bias"]
    assert np.isnan(at["stands"]) and at["high"] < 0
    assert line["vit stands at"] == line["plain stands at"] == "< 0"  # both answer by texture more than the normal one
    assert f"plain and vit have a shape bias of 0.06 and {bias:.2f}; this" in page.sentence(["plain", "vit"])
    html = page.body(page.published("vit"))
    assert html.count("<tr") > 70 and "<table" in html and "; ;" not in html


def test_how_long_one_s_own_network_takes_is_counted_from_records() -> None:
    """A reader asked the page for it: 10 and 25 minutes of the two runs, of which 28 of 35 for attack and maps."""
    at = tables.setting("shapes")
    for seed, (attack, clean) in {1: (480.0, 120.0), 2: (600.0, 300.0)}.items():
        published("normal", seed, 0.0, np.zeros(10, np.uint16), {"clean@": 1}, 0.5)
        seconds = {"clean@": clean, "pgd-linf@8": attack, "maps@clean@": 600.0 * (seed - 1)}
        seconds |= {"stylised@generated-ghiasi": 1e5, "maps@stylised@paintings-ghiasi": 1e5, "trained-attack@8": 1e5}
        seconds |= {"between@clean@": 1e5, "gradient@": 1e5}  # measured only where somebody asks for them
        measurements = {place: {"seconds": one} for place, one in seconds.items()}
        config = asdict(atlib.configuration.resolve(attack="none", width=at.width, seed=seed))
        run = results_dir() / "shapes" / f"normal-w16-s{seed}-0000000{seed}.json"
        write_json(run, {"config": config, "evaluation": {"measurements": measurements}})
    assert page.how_long("shapes") == (
        "All 3 measurements of the 1,000 test pictures took 10 to 25 minutes for each of this report's 2 ResNet-18s of "
        "width 16 on one processor thread, 80 % of it for the attack and the maps. The time grows with your network's "
        "forward pass: a ResNet-18 of the usual width 64 needs 16 times as many operations. It shrinks with `limit`, "
        "in proportion."
    )


@pytest.mark.parametrize(("interface", "option"), [("python", "measure"), ("papermill", "-p measure")])
def test_each_way_in_names_its_own_options(interface: str, option: str, capsys: pytest.CaptureFixture) -> None:
    """The command line's page spoke of papermill's -p measure, and its estimate of neither's."""
    about = own.subject("mine:good", "shapes")
    folder = own.evaluate(about, measure=("clean",), interface=interface)
    assert f"A measurement's name is what <code>{option}</code> takes." in page.html(folder)
    refused(
        lambda: own.evaluate(about, interface="window"),
        "interface = 'window': must be one of python, command line, papermill",
    )


@pytest.mark.parametrize(
    ("pictures", "numbers", "hint"),
    [(2001, None, "; less"), (2000, None, ""), (2001, torch.arange(2001), "")],
    ids=["many", "few", "a part"],
)
def test_a_sample_is_hinted_at_where_all_of_many_pictures_are_measured(
    pictures: int, numbers: Tensor | None, hint: str
) -> None:
    subject = own.subject("mine:good", "shapes").subject
    many = data.Split(torch.empty(pictures), torch.zeros(pictures))
    assert evaluation.Work(replace(subject, test=many, numbers=numbers), [], False, "less").hint == hint
    assert evaluation.Work(replace(subject, test=many, numbers=numbers), [], False).hint == ""


def test_the_foot_of_the_page_has_no_empty_field() -> None:
    """The worked examples' records name versions and hardware at each measurement: "commit …; ; weights"."""
    about = {"versions": {"torch": "2.13.0"}, "hardware": {"processor": "AMD EPYC", "threads": 1, "device": "cpu"}}
    one = {"commit": "c" * 40, "seconds": 30.0}
    old = {"measurements": {"clean@": one | about, "noise@0.1": one | about}, "weights_digest": "d" * 64}
    new = {"measurements": {"clean@": one, "noise@0.1": one}, "weights_digest": "d" * 64} | about
    foot = (
        "<p><small>2 measurements in 1 min; atlib at commit cccccccccccc; torch 2.13.0; AMD EPYC, 1 thread; "
        "weights dddddddddddd.</small></p>"
    )
    assert [page_module._origin(SimpleNamespace(record=record)) for record in (old, new)] == [foot, foot]  # type: ignore[arg-type]
    bare = {"measurements": {"clean@": one}}
    assert page_module._origin(SimpleNamespace(record=bare)) == (  # type: ignore[arg-type]
        "<p><small>1 measurement in 30 s; atlib at commit cccccccccccc.</small></p>"
    )


@pytest.mark.parametrize(("low", "placed"), [(0.09, False), (0.1, False), (0.2, True)])
def test_a_network_near_chance_is_not_placed(low: float, placed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained network whose answers hardly change would else stand near the adversarially trained ones."""
    lines = {"under": ["saturation@8"], "stands": [0.75], "low": [0.6], "high": [0.9], "metric": ["conditional"]}
    monkeypatch.setattr(sentences, "standing", lambda folder: pd.DataFrame(lines))
    measured = SimpleNamespace(
        references={"normal": []},
        folder=None,
        predictions={"labels": np.arange(10)},
        quantities={("clean@", "accuracy"): 0.3},
        interval=lambda *_: (low, 0.4),
    )
    said = sentences.overall(measured)  # type: ignore[arg-type]
    assert ("stands at 0.75" in said) == placed and ("the commonest class (10 %)" in said) != placed


def test_a_network_that_always_gives_one_answer_is_not_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Caltech-101's test pictures the largest class has nine per cent, far more than one in 102."""
    measured = SimpleNamespace(
        references={"normal": []},
        predictions={"labels": np.array([0] * 9 + list(range(1, 92)))},
        quantities={("clean@", "accuracy"): 0.09},
        interval=lambda *_: (0.06, 0.13),
    )
    said = sentences.overall(measured)  # type: ignore[arg-type]
    assert said.startswith("It isn't placed") and "always naming the commonest class (9 %)" in said


def test_nine_of_nine_pictures_are_no_certainty(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    measured = beside.Measured(tmp_path)
    monkeypatch.setattr(beside.Measured, "quantities", {("noise@0.05", "conditional"): 1.0})
    monkeypatch.setattr(beside.Measured, "interval", lambda self, place, metric: statistics.wilson(9, 9))
    low = statistics.wilson(9, 9)[0]
    assert 1 - 1.96 * measured.error("noise@0.05", "conditional") == pytest.approx(low, abs=1e-4) and 0.69 < low < 0.71


def test_one_answer_to_all_pictures_is_a_suspicion(few_pictures: None) -> None:
    class Always(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean((1, 2, 3))[:, None] * 0.1 + torch.eye(10)[6] * 100

    found = own.subject(Always().eval(), "cifar10").suspicion
    assert "gives the same answer, class 6, to all 10 test pictures" in found


def test_which_pictures_is_checked_also_without_a_limit() -> None:
    with pytest.raises(InputError, match=r"^sample = 'nope': must be one of "):
        own.subject(nn.Identity(), "cifar10", sample="nope")


class NoLight(nn.Module):
    """NaN where a picture is all white or black."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = images.mean((2, 3)) @ torch.linspace(-1, 1, 30).view(3, 10)
        extreme = ((images == 0) | (images == 1)).flatten(1).all(1)
        return torch.where(extreme[:, None], torch.nan, logits)


def test_what_failed_stays_in_the_report_until_it_is_measured(
    few_pictures: None, capsys: pytest.CaptureFixture
) -> None:
    """It vanished with the next call, and whether the failing one alone was an error depended on what was there."""
    about = own.subject(NoLight().eval(), "cifar10")
    folder = own.evaluate(about, measure=("clean", "saturation@inf", "conflict"), progress=False)
    assert "measure = 'conflict': does not apply to NoLight on cifar10" in capsys.readouterr().out
    for measure in (("clean",), ("blur@1",)):
        own.evaluate(about, measure=measure, progress=False)
        assert [line.partition(":")[0] for line in read_json(folder / "own.json")["left_out"]] == ["saturation@inf"]
    with pytest.raises(NetworkError, match=r"^model = 'NoLight': saturation@inf: "):
        own.evaluate(about, measure=("saturation@inf",), progress=False)


def test_a_damaged_file_of_pictures_is_one_line(few_pictures: None) -> None:
    about = own.subject(NoLight().eval(), "cifar10")
    folder = own.evaluate(about, measure=("clean",), progress=False)
    (folder / "examples.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"examples\.npz: can't be read .*; delete it, and it is made again$"):
        own.evaluate(about, measure=("blur@1",), progress=False)


def test_a_misspelt_measurement_is_told_before_the_network_is_read(capsys: pytest.CaptureFixture) -> None:
    assert main(["nowhere:nothing", "cifar10", "--measure", "cleen"]) == 2
    assert "did you mean 'clean'?" in capsys.readouterr().err


def test_the_example_in_the_readme_is_measured(
    few_pictures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """It lacked what most forget: evaluation mode, pixels in [0, 1], and how to measure less than everything."""
    blocks = (REPOSITORY / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    file, lines = (block.partition("```")[0] for block in blocks)
    (tmp_path / "my_file.py").write_text(file, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["my_file:my_function", "cifar10", "--limit", "5", "--measure", "clean,saturation@1024"]) == 0
    assert "The report: " in capsys.readouterr().out
    names: dict[str, Any] = {}
    exec(f"{file}\n{lines}", names)
    folder = own.folder_of(names["about"])
    assert (folder / "report.html").is_file() and set(read_rows(folder / "rows.csv")["level"]) == {"", "1024"}
    assert not names["about"].subject.model.training


def test_the_report_is_made_once_and_the_terminal_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """evaluate.ipynb made it twice, with the maps of four networks, and said nothing for a minute or two."""
    folder = own.evaluate(own.subject("mine:good", "shapes"), measure=("clean",), progress=False)
    made: list[Path] = []
    shown: list[str] = []

    def body(asked: Path) -> str:
        made.append(asked)
        return "<p>the body</p>"

    monkeypatch.setattr(page_module, "body", body)
    monkeypatch.setattr(page_module.Line, "show", lambda line, text: shown.append(text))
    found = job.report(folder)
    assert found.html == "<p>the body</p>" and made == [folder]
    assert found.html in (folder / "report.html").read_text(encoding="utf-8") and found.text.endswith("report.html")
    assert shown == ["writing the report, with the maps of this report's networks"]


def test_doubts_and_what_is_left_out_are_said_on_papermill_s_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """They were printed: seen in the notebook alone, after hours of measuring what had been doubted at once."""
    said: list[str] = []

    def display(content: dict[str, str], raw: bool, metadata: dict[str, str]) -> None:
        assert raw and metadata == {progress.MARK: progress.KEPT}
        said.append(content["text/plain"])

    monkeypatch.setattr(progress, "_notebook", lambda: display)
    about = own.subject(Behind(lambda x: x / 255, same).eval(), "shapes")
    assert said == about.suspicion.splitlines() and len(said) == 1
    said.clear()
    own.evaluate(own.subject("mine:gamma", "shapes"), measure=("clean", "maps"), progress=False)
    assert [line.partition("@")[0] for line in said] == ["left out: maps"] * len(said) and said
