"""The ONNX files that run in the browser: held against the safetensors in double precision, and never stale."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from atlib import gradients, models
from atlib.errors import InputError, Missing
from atlib.files import REPOSITORY
from atlib.report import export, frames


def pictures() -> Tensor:
    """Six pictures as float: the four known ones, one saturated to 0 and 1, and one of noise outside [0, 1]."""
    kept = frames.load("cifar10", REPOSITORY / "results" / "frames").arrays["explorer/shown"]
    plain = torch.from_numpy(kept[:, 4, 0]) / 255
    noisy = plain[:1] + 0.1 * torch.randn(plain[:1].shape, generator=torch.Generator().manual_seed(0))
    return torch.cat([plain, (plain[:1] > 0.5).float(), noisy])


def session(name: str) -> Any:
    return onnxruntime.InferenceSession(str(export.folder() / f"{name}.onnx"), providers=["CPUExecutionProvider"])


def double(name: str, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and gradients of the log-odds of the safetensors, in double precision."""
    network = models.load(f"cifar10/{name}")[0].double()
    with gradients.frozen(network):
        gradient, logits = gradients.input_gradient(network, images.double(), labels)
    return logits, gradient


@pytest.mark.parametrize("name", export.NAMES)
@pytest.mark.parametrize("other", [0, 5], ids=["answered", "another"])
def test_export_equals_the_safetensors_in_double_precision(name: str, other: int) -> None:
    """For the class that the network answers, where its probability may be all but 1, and for another."""
    images = pictures()
    answered = models.load(f"cifar10/{name}")[0](images).argmax(1)
    labels = (answered + other) % 10
    target = torch.nn.functional.one_hot(labels, 10).float().numpy()
    logits, gradient = session(name).run(None, {"images": images.numpy(), "target": target})
    expected, steep = double(name, images, labels)
    np.testing.assert_allclose(logits, expected.numpy(), rtol=0, atol=1e-5)
    largest = steep.abs().flatten(1).amax(1).view(-1, 1, 1, 1).numpy()
    assert (largest > 0).all()
    np.testing.assert_array_less(np.abs(gradient - steep.numpy()) / largest, 1e-4)


def test_gradient_keeps_its_digits_where_the_network_is_certain() -> None:
    """With 32 times the last weights 1 - p is zero in single precision, and so is the gradient of log p."""
    images = pictures()[3:4]
    network = models.load("cifar10/normal")[0]
    with torch.no_grad():
        network.fc.weight *= 32
    logits = network(images).detach()
    label = logits.argmax(1)
    assert float(1 - logits.softmax(1).amax()) == 0
    content = export.serialised("certain", export.as_arrays(network.state_dict()), 32)
    target = torch.nn.functional.one_hot(label, 10).float().numpy()
    ours = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    _, gradient = ours.run(None, {"images": images.numpy(), "target": target})
    with gradients.frozen(network.double()):
        steep, _ = gradients.input_gradient(network, images.double(), label)
    assert np.abs(gradient - steep.numpy()).max() < 1e-4 * float(steep.abs().max())


def test_exported_files_are_those_of_this_code() -> None:
    """The same bytes again, so that an edit of the export or of the weights is noticed."""
    for name in export.NAMES:
        found = (export.folder() / f"{name}.onnx").read_bytes()
        assert found == export.onnx_bytes(f"cifar10/{name}"), f"{name}.onnx is stale: run `make live`"
    export.check_fresh()


@pytest.mark.parametrize("fault", ["weights", "onnx", "missing", "format"])
def test_stale_export_is_refused_in_one_line(fault: str, tmp_path: Path) -> None:
    for name in export.NAMES:
        for suffix in ("onnx", "safetensors"):
            shutil.copy(export.folder() / f"{name}.{suffix}", tmp_path)
    shutil.copy(export.folder() / export.RECORD, tmp_path)
    export.check_fresh(tmp_path)
    weights, exported = tmp_path / "normal.safetensors", tmp_path / "normal.onnx"
    if fault == "missing":
        exported.unlink()
    elif fault == "format":
        record = json.loads((tmp_path / export.RECORD).read_text(encoding="utf-8"))
        (tmp_path / export.RECORD).write_text(json.dumps(record | {"format": 0}))
    else:
        changed = weights if fault == "weights" else exported
        changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    with pytest.raises(Missing if fault == "missing" else InputError, match="run `make live`") as refusal:
        export.check_fresh(tmp_path)
    assert "\n" not in str(refusal.value)


def test_networks_with_another_entrance_are_refused() -> None:
    with pytest.raises(InputError, match="stem 3x3-stride2: only networks with stem 3x3"):
        export.onnx_bytes("shapes/normal")
    with pytest.raises(InputError, match="must be one of"):
        export.onnx_bytes("cifar10/norml")
