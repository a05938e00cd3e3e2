"""Models: shapes, torchvision's own answer, folding, files that come back as they went or say why not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from atlib import models
from atlib._torchvision import torchvision
from atlib.errors import InputError
from atlib.files import REPOSITORY, data_dir, file_hash


def pictures(count: int = 2, side: int = 32) -> Tensor:
    return torch.rand(count, 3, side, side)


def lived(model: nn.Module) -> nn.Module:
    """As after training: batch norm with statistics, scales and shifts of its own, biases that are not zero."""
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features, generator=generator) * 0.3
            module.running_var = torch.rand(module.num_features, generator=generator) + 0.5
            module.weight.data = torch.rand(module.num_features, generator=generator) + 0.5
            module.bias.data = torch.randn(module.num_features, generator=generator) * 0.3
    return model.eval()


# --- layout -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stem", "side", "first"), [("3x3", 32, 32), ("3x3-stride2", 32, 16), ("7x7", 64, 16)])
@pytest.mark.parametrize("width", [1, 4, 6])
def test_stems_and_widths(stem: str, side: int, first: int, width: int) -> None:
    model = models.resnet18(7, width=width, stem=stem).eval()
    seen: dict[str, torch.Size] = {}
    for name in ("layer1", "layer4"):
        model.get_submodule(name).register_forward_hook(lambda _, __, out, name=name: seen.update({name: out.shape}))
    assert model(pictures(2, side)).shape == (2, 7)
    assert seen["layer1"] == (2, width, first, first)
    assert seen["layer4"] == (2, 8 * width, first // 8, first // 8)


@pytest.mark.parametrize(("stem", "classes", "parameters"), [("3x3", 10, 11_173_962), ("7x7", 1000, 11_689_512)])
def test_width_64_is_the_resnet_18_of_the_literature(stem: str, classes: int, parameters: int) -> None:
    assert sum(p.numel() for p in models.resnet18(classes, stem=stem).parameters()) == parameters


def test_weights_lie_channels_last() -> None:
    model = models.resnet18(width=16)
    assert model.conv1.weight.is_contiguous(memory_format=torch.channels_last)
    assert models.fold(model).get_submodule("conv1").weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[operator]


def test_normalisation_is_inside() -> None:
    mean, std = (0.1, 0.5, 0.7), (0.2, 0.3, 2.0)
    model = models.resnet18(width=4, mean=mean, std=std).eval()
    plain = models.resnet18(width=4, mean=(0, 0, 0), std=(1, 1, 1)).eval()
    images = pictures()
    normalised = (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert torch.allclose(model(images), plain(normalised), atol=1e-5)
    assert not torch.allclose(model(images), plain(images), atol=1e-2)


@given(st.integers(0, 2**31), st.sampled_from(list(models.STEMS)))
@settings(max_examples=10)
def test_a_seed_is_a_network(seed: int, stem: str) -> None:
    before = torch.get_rng_state()
    first, second, other = (models.resnet18(width=2, stem=stem, seed=s).state_dict() for s in (seed, seed, seed + 1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)  # the state of torch's own generator doesn't matter
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    weights = [name for name, value in first.items() if value.dim() > 1 and name not in ("mean", "std")]
    assert not any(torch.equal(first[name], other[name]) for name in weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes = 1: must be a whole number at least 2"),
        ({"width": 0}, "width = 0: must be a whole number at least 1 and at most 1024"),
        ({"width": 2.5}, "width = 2.5"),
        ({"stem": "3×3"}, f"stem = '3×3': must be one of {', '.join(models.STEMS)} .did you mean '3x3'"),
    ],
)
def test_bad_arguments(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        models.resnet18(**options)
    assert "\n" not in str(caught.value)


# --- folding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stem", list(models.STEMS))
def test_folded_is_the_same_function_without_batch_norm(stem: str) -> None:
    model = lived(models.resnet18(width=8, stem=stem))
    images = pictures(8, 64)
    folded = models.fold(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not any(module.training for module in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    with torch.no_grad():
        expected = model(images)
        assert expected.std() > 0.05
        assert torch.allclose(folded(images), expected, atol=1e-4)
        assert torch.allclose(models.fold(folded)(images), expected, atol=1e-4)  # nothing is folded twice


def test_folding_leaves_the_model_as_it_was() -> None:
    model = lived(models.resnet18(width=4)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = models.fold(model)
    folded.get_submodule("fc").weight.data.zero_()  # type: ignore[operator]
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    # in training mode batch norm uses the batch: a network in use is folded as it answers in evaluation mode
    folded = models.fold(model)
    images = pictures()
    with torch.no_grad():
        assert torch.allclose(folded(images), model.eval()(images), atol=1e-4)


def test_folding_other_networks() -> None:
    """Sequential pairs are folded; a batch norm after something else stays."""
    model = lived(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
    )
    folded = models.fold(model)
    assert [type(module) for module in folded.children()] == [
        nn.Conv2d, nn.Identity, nn.ReLU, nn.BatchNorm2d, nn.Conv2d,
    ]  # fmt: skip
    images = pictures()
    with torch.no_grad():
        assert torch.allclose(folded(images), model(images), atol=1e-5)


# --- our own files ----------------------------------------------------------------------------------------------------

ARCHITECTURE = {"classes": 5, "width": 3, "stem": "3x3-stride2"}


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, nn.Module]:
    return saved_with(ARCHITECTURE, tmp_path)


def saved_with(architecture: dict[str, Any], folder: Path) -> tuple[Path, nn.Module]:
    model = lived(models.resnet18(**architecture, seed=4))
    model(pictures())
    models.save(folder / "weights.safetensors", model.train(), {"architecture": architecture, "config": {"seed": 4}})
    return folder / "weights.safetensors", model


@pytest.mark.parametrize("stem", list(models.STEMS))
def test_every_first_layer_is_saved_and_read(stem: str, tmp_path: Path) -> None:
    path, model = saved_with(ARCHITECTURE | {"stem": stem}, tmp_path)
    images = pictures()
    with torch.no_grad():
        torch.testing.assert_close(models.load(path)[0](images), model.eval()(images), rtol=0, atol=0.02)


def test_saved_and_loaded_is_the_network_rounded_to_half_precision(saved: tuple[Path, nn.Module]) -> None:
    path, model = saved
    found, header = models.load(path)
    assert header == {"architecture": ARCHITECTURE, "config": {"seed": 4}}
    assert not any(module.training for module in found.modules())
    assert all(parameter.requires_grad and parameter.dtype == torch.float32 for parameter in found.parameters())
    learned = dict(model.named_parameters())
    rounded = 0
    for name, value in found.state_dict().items():
        original = model.state_dict()[name]
        assert torch.equal(value, original.half().float() if name in learned else original), name
        rounded += not torch.equal(value, original)
    assert rounded > 10  # or half precision was not put to the test
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    models.save(path, found, header)  # what is rounded already comes back bit for bit
    again, _ = models.load(path)
    assert all(torch.equal(value, found.state_dict()[name]) for name, value in again.state_dict().items())


def test_a_truncated_file_is_refused_in_one_line(saved: tuple[Path, nn.Module]) -> None:
    path, content = saved[0], saved[0].read_bytes()
    for length in (0, 5, 8, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(InputError, match="damaged") as caught:
            models.load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_bytes(content)
    models.load(path)


@given(data=st.data())
@settings(max_examples=40)
def test_a_flipped_bit_is_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    models.save(path, models.resnet18(**ARCHITECTURE), {"architecture": ARCHITECTURE})  # type: ignore[arg-type]
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1), "byte")] ^= 1 << data.draw(st.integers(0, 7), "bit")
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        models.load(path)
    assert "\n" not in str(caught.value)


def test_files_that_hold_no_network(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a file nor one of cifar10/normal, "):
        models.load(tmp_path / "absent.safetensors")
    models.save(tmp_path / "bare.safetensors", models.resnet18(width=2), {})
    with pytest.raises(InputError, match="holds no network"):
        models.load(tmp_path / "bare.safetensors")


# --- ImageNet weights -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """torchvision's ResNet-18 with weights that resemble trained ones, and its .pt file."""
    torch.manual_seed(0)
    model = lived(torchvision.models.resnet18(weights=None))
    path = tmp_path_factory.mktemp("weights") / "resnet18.pt"
    torch.save(model.state_dict(), path)
    return path, model


def test_torchvisions_network_gives_the_same_logits(theirs: tuple[Path, nn.Module]) -> None:
    path, peer = theirs
    model = models.resnet18(1000, stem="7x7")
    before = model.fc.weight.clone()
    origin = models.load_imagenet(model, str(path))
    assert origin == f"resnet18.pt sha256:{file_hash(path)}"
    assert torch.equal(model.fc.weight, before)  # the last layer is the new task's own
    model.fc.load_state_dict(peer.fc.state_dict())  # type: ignore[union-attr]
    images = pictures(2, 96)
    usual = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms()
    mean, std = torch.tensor(usual.mean).view(3, 1, 1), torch.tensor(usual.std).view(3, 1, 1)
    with torch.no_grad():
        expected = peer((images - mean) / std)
        assert torch.allclose(model.eval()(images), expected, atol=1e-4 * float(expected.abs().max()))


def test_another_number_of_classes_takes_the_weights_too(theirs: tuple[Path, nn.Module]) -> None:
    model = models.resnet18(3, stem="7x7")
    models.load_imagenet(model, str(theirs[0]))
    assert torch.equal(model.conv1.weight, theirs[1].conv1.weight)  # type: ignore[arg-type, union-attr]
    assert all(torch.equal(model.state_dict()[k], v) for k, v in theirs[1].state_dict().items() if "running" in k)


class Trap:
    """What a pickle can do: run code when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


def test_foreign_files_are_refused_in_one_line(theirs: tuple[Path, nn.Module], tmp_path: Path) -> None:
    model, state = models.resnet18(stem="7x7"), theirs[1].state_dict()
    content = theirs[0].read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.pt").write_text("weights")
    torch.save({"layer": Trap(tmp_path / "trapped")}, tmp_path / "pickle.pt")
    torch.save(torch.zeros(3), tmp_path / "tensor.pt")
    torch.save({"state_dict": state}, tmp_path / "nested.pt")
    torch.save({k: v for k, v in state.items() if k != "layer3.1.bn2.bias"}, tmp_path / "missing.pt")
    torch.save(state | {"conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "shape.pt")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name, message in {
        "cut.pt": "not a weights-only PyTorch file",
        "text.pt": "not a weights-only PyTorch file",
        "pickle.pt": "not a weights-only PyTorch file",
        "tensor.pt": "dictionary of tensors",
        "nested.pt": "dictionary of tensors",
        "missing.pt": "layer3.1.bn2.bias is missing or has another shape",
        "shape.pt": "conv1.weight is missing or has another shape",
        "absent.pt": f"neither a file, nor one in {data_dir() / 'weights'}, nor one of torchvision's IMAGENET1K_V1",
    }.items():
        with pytest.raises(InputError, match=message) as caught:
            models.load_imagenet(model, str(tmp_path / name))
        assert "\n" not in str(caught.value) and name in str(caught.value)
    assert not (tmp_path / "trapped").exists()  # and no code of the pickle ran
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_narrow_networks_take_no_imagenet_weights(theirs: tuple[Path, nn.Module]) -> None:
    for options in ({"width": 32, "stem": "7x7"}, {"width": 64, "stem": "3x3"}):
        with pytest.raises(InputError, match="needs width 64, stem 7x7"):
            models.load_imagenet(models.resnet18(**options), str(theirs[0]))  # type: ignore[arg-type]


STEP = """
import sys
from atlib import models
import torch
stem, side, batch, threads = sys.argv[1], *map(int, sys.argv[2:])
torch.set_num_threads(threads)
model = models.resnet18(classes=5, width=4, stem=stem).train()
images = torch.rand(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
for _ in range(3):
    model(images).sum().backward()
"""


@pytest.mark.parametrize("what", ["3x3 64 16 1", "3x3-stride2 32 15 2", "7x7 224 4 1"])
def test_narrow_networks_train_within_their_memory(what: str) -> None:
    """In channels last torch's weight gradient of narrow convolutions does not; glibc's check of the heap sees it."""
    checked = {"LD_PRELOAD": "libc_malloc_debug.so.0", "MALLOC_CHECK_": "3"} if sys.platform == "linux" else {}
    ended = subprocess.run(
        [sys.executable, "-c", STEP, *what.split()], env=os.environ | checked, cwd=REPOSITORY, check=False
    )
    assert ended.returncode == 0


def test_a_network_leaves_every_generator_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeding torch as a whole would seed a GPU's generators as well, which nothing sets back."""
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    models.resnet18(width=4, seed=7)
    assert seeded == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"mean": (0.5,)}, r"mean = \(0\.5,\): must be three numbers"),
        ({"mean": (0.5, 0.5, float("nan"))}, "mean = .*: must be three numbers, one for each channel, not nan"),
        ({"mean": (0.5, "0.5", 0.5)}, "mean = .*: must be three numbers, one for each channel, not '0.5'"),
        ({"mean": None}, "mean = None: must be three numbers"),
        ({"mean": "abc"}, "mean = 'abc': must be three numbers"),
        ({"std": 0.2}, r"std = 0\.2: must be three numbers"),
        ({"std": (0.2, None, 0.2)}, "std = .*: must be three numbers, one for each channel, not None"),
        ({"std": (0.2, 0, 0.2)}, "std = 0: must be a number above 0"),
        ({"seed": 1.5}, r"seed = 1\.5"),
        ({"seed": 2**32}, "seed = 4294967296: must be a whole number at least 0 and at most 4294967295"),
    ],
)
def test_what_a_network_cannot_be_made_of_is_one_line(given: dict, said: str) -> None:
    with pytest.raises(InputError, match=f"^{said}") as caught:
        models.resnet18(width=4, **given)
    assert "\n" not in str(caught.value)
