"""Shipped networks as ONNX files, for the page on which they run in the browser.

    python -m atlib.report.export          (make live)

writes models/cifar10/NAME.onnx for NAMES and models/cifar10/live.json, which says from which weights. Forward pass and
input gradient are one graph of plain operators:

    images N×3×32×32 in [0, 1], target N×classes (1 for one class, else 0) -> logits N×classes, gradient N×3×32×32

where the gradient is that of the log-odds against the target class (`gradients.log_odds`), which keeps its digits where
the network is certain. Weights are the halves of the safetensors, cast to single precision in the graph; each batch
norm's scale is multiplied into the weights there too, so that the runtime folds it once when it loads the file and
nothing is rounded twice.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .. import models
from ..errors import InputError, Missing, command_line, one_of
from ..files import atomic, checkout_path, file_hash, read_json, write_json
from ..tensors import load_tensors

if TYPE_CHECKING:
    import onnx

DATASET = "cifar10"
NAMES = ("normal", "pgd-linf-8")  # the pair on the page
RECORD = "live.json"
FORMAT = 1  # of the graph; another number makes every file of before stale
OPSET = 18
EPSILON = 1e-5  # of torch's batch norm

Array = NDArray[Any]


class Graph:
    """An ONNX graph that is being written: each method adds an operator and gives the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One operator with one result."""
        from onnx import helper

        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Array) -> str:
        """A constant, in its own type."""
        from onnx import numpy_helper

        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def name(self, result: str, name: str) -> None:
        """Give a result of the whole graph its name."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [result], [name]))

    def single(self, values: Array) -> str:
        """A constant that is stored as it is, in halves for instance, and used in single precision."""
        from onnx import TensorProto

        stored = self.constant(values)
        return stored if values.dtype == np.float32 else self.add("Cast", stored, to=TensorProto.FLOAT)


class Convolution:
    """A convolution with the batch norm behind it: forwards, and from the gradient of its result to its input's."""

    def __init__(self, graph: Graph, weight: Array, norm: Mapping[str, Array], stride: int) -> None:
        wide = {name: values.astype(np.float64) for name, values in norm.items()}
        scale = wide["weight"] / np.sqrt(wide["running_var"] + EPSILON)
        shift = wide["bias"] - wide["running_mean"] * scale
        self.graph, kernel = graph, weight.shape[2]
        scaled = graph.constant(scale.astype(np.float32).reshape(-1, 1, 1, 1))
        self.weight = graph.add("Mul", graph.single(weight), scaled)
        self.shift = graph.constant(shift.astype(np.float32))
        self.sizes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
        self.rest = [stride - 1] * 2  # at stride 2 an odd and an even side give the same: ours are even

    def forward(self, x: str) -> str:
        return self.graph.add("Conv", x, self.weight, self.shift, **self.sizes)

    def backward(self, gradient: str) -> str:
        return self.graph.add("ConvTranspose", gradient, self.weight, output_padding=self.rest, **self.sizes)


def convolutions(graph: Graph, state: Mapping[str, Array], prefix: str, stride: int) -> Iterator[Convolution]:
    """conv1, conv2 and, if there is one, the shortcut's convolution of a block."""
    yield Convolution(graph, state[f"{prefix}.conv1.weight"], under(state, f"{prefix}.bn1."), stride)
    yield Convolution(graph, state[f"{prefix}.conv2.weight"], under(state, f"{prefix}.bn2."), 1)
    if f"{prefix}.downsample.0.weight" in state:
        weight = state[f"{prefix}.downsample.0.weight"]
        yield Convolution(graph, weight, under(state, f"{prefix}.downsample.1."), stride)


def under(state: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """The entries below a prefix, by the rest of their names."""
    return {name.removeprefix(prefix): values for name, values in state.items() if name.startswith(prefix)}


def network(state: Mapping[str, Array], side: int) -> Graph:
    """The graph of a `models.ResNet18` with stem "3x3", from its weights, with the results `logits` and `gradient`."""
    graph = Graph()
    zero = graph.constant(np.zeros((), np.float32))

    def passed(activation: str, gradient: str) -> str:
        """The gradient in front of a ReLU, from the one behind it."""
        return graph.add("Where", graph.add("Greater", activation, zero), gradient, zero)

    mean, std = (graph.constant(state[name].astype(np.float32)) for name in ("mean", "std"))
    stem = Convolution(graph, state["conv1.weight"], under(state, "bn1."), 1)
    x = graph.add("Relu", stem.forward(graph.add("Div", graph.add("Sub", "images", mean), std)))
    first, blocks = x, []
    for stage in range(1, 5):
        for place in range(2):
            own = [*convolutions(graph, state, f"layer{stage}.{place}", 2 if stage > 1 and place == 0 else 1)]
            entered = x
            middle = graph.add("Relu", own[0].forward(entered))
            shortcut = own[2].forward(entered) if len(own) > 2 else entered
            x = graph.add("Relu", graph.add("Add", own[1].forward(middle), shortcut))
            blocks.append((own, middle, x))
    weight, bias = graph.single(state["fc.weight"]), graph.single(state["fc.bias"])
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", x))
    logits = graph.add("Gemm", pooled, weight, bias, transB=1)

    # Backwards. The log-odds against the target are logsumexp of the other logits less its own.
    far = graph.add("Mul", "target", graph.constant(np.full((), 1e30, np.float32)))
    top = graph.add("Sub", graph.add("Softmax", graph.add("Sub", logits, far), axis=1), "target")
    pixels = (side // 8) ** 2  # that pooling averages
    gradient = graph.add("Mul", graph.add("MatMul", top, weight), graph.constant(np.full((), 1 / pixels, np.float32)))
    gradient = graph.add("Unsqueeze", gradient, graph.constant(np.array([2, 3])))
    for own, middle, left in reversed(blocks):
        gradient = passed(left, gradient)
        inner = own[0].backward(passed(middle, own[1].backward(gradient)))
        outer = own[2].backward(gradient) if len(own) > 2 else gradient
        gradient = graph.add("Add", inner, outer)
    gradient = graph.add("Div", stem.backward(passed(first, gradient)), std)
    graph.name(logits, "logits")
    graph.name(gradient, "gradient")
    return graph


def as_arrays(state: Mapping[str, Tensor]) -> dict[str, Array]:
    """Tensors as arrays, in their own precision; batch counters left out."""
    return {name: values.numpy() for name, values in state.items() if not name.endswith("num_batches_tracked")}


def onnx_bytes(name: str) -> bytes:
    """The ONNX file of a shipped network, the same bytes at every call. InputError if there is no such network, if it
    has another stem, or if the package onnx isn't installed."""
    known = models.shipped()
    one_of("name", name, known)
    tensors, header = load_tensors(known[name])
    stem = header["architecture"]["stem"]
    if stem != "3x3":
        raise InputError(f"name = {name!r}: stem {stem}: only networks with stem 3x3 are exported")
    return serialised(name, as_arrays(tensors), int(header["config"]["side"]))


def serialised(name: str, state: Mapping[str, Array], side: int) -> bytes:
    """The ONNX file of a `models.ResNet18` with stem "3x3" and these weights."""
    try:
        from onnx import TensorProto, helper
    except ImportError:
        raise InputError("onnx: not installed; pip install -r requirements-dev.txt") from None
    graph, classes = network(state, side), len(state["fc.bias"])

    def value(named: str, *shape: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(named, TensorProto.FLOAT, ["N", *shape])

    inputs = [value("images", 3, side, side), value("target", classes)]
    results = [value("logits", classes), value("gradient", 3, side, side)]
    whole = helper.make_graph(graph.nodes, name, inputs, results, graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="atlib")
    model.ir_version = 10  # which runtimes of 2024 and later read
    return model.SerializeToString(deterministic=True)


def folder() -> Path:
    """Where the exported networks lie."""
    return checkout_path(f"models/{DATASET}")


def export(target: Path | None = None) -> list[Path]:
    """Write the ONNX files and the record of what they were made from; their paths."""
    target = target or folder()
    record: dict[str, Any] = {"format": FORMAT, "networks": {}}
    written = []
    for name in NAMES:
        content, path = onnx_bytes(f"{DATASET}/{name}"), target / f"{name}.onnx"
        with atomic(path) as temporary:
            temporary.write_bytes(content)
        weights = file_hash(models.shipped()[f"{DATASET}/{name}"])
        record["networks"][name] = {"weights": weights, "onnx": hashlib.sha256(content).hexdigest()}
        written.append(path)
    write_json(target / RECORD, record)
    return written


def check_fresh(target: Path | None = None, names: Sequence[str] = NAMES) -> None:
    """Missing if an exported network isn't there; InputError if it is damaged, if its weights are no longer those that
    are shipped, or if another version of this module wrote it."""
    target = target or folder()
    record = read_json(target / RECORD)
    if record.get("format") != FORMAT:
        raise InputError(f"{target / RECORD}: written by another version of the export; run `make live`")
    for name in names:
        weights, exported = target / f"{name}.safetensors", target / f"{name}.onnx"
        found = record["networks"].get(name, {})
        if not exported.is_file():
            raise Missing(f"{exported}: not there; run `make live`")
        if file_hash(exported) != found.get("onnx"):
            raise InputError(f"{exported}: damaged; run `make live`")
        if file_hash(weights) != found.get("weights"):
            raise InputError(f"{exported}: stale, {weights.name} has changed; run `make live`")


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m atlib.report.export", description=(__doc__ or "").split("\n")[0])
    parser.parse_args(arguments)
    for path in export():
        print(f"{path} ({path.stat().st_size / 1e6:.2f} MB)")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
