"""ResNet-18 for small and large pictures, with normalisation built in; saving and loading it.

He et al. 2016 (basic blocks 2-2-2-2). `stem` chooses the first layer: "3x3", usual for 32-pixel pictures (stride 1);
"3x3-stride2", four times cheaper; "7x7", torchvision's layout for 224 pixels. Parameter names are torchvision's.
"""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .choices import STEMS
from .errors import InputError, in_range, nearest, one_of
from .files import data_dir, file_hash, repository
from .tensors import load_state, load_tensors, save_tensors

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet18(nn.Module):
    """Images in [0, 1], N×3×H×W, to logits, N×classes."""

    def __init__(self, classes: int, width: int, stem: str, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        first = STEMS[stem]
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        self.conv1 = nn.Conv2d(3, width, first.kernel, first.stride, first.kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.MaxPool2d(3, 2, 1) if first.pooled else nn.Identity()
        for stage in range(4):
            outputs = width * 2**stage
            inputs = width if stage == 0 else outputs // 2
            blocks = nn.Sequential(Block(inputs, outputs, 1 if stage == 0 else 2), Block(outputs, outputs, 1))
            self.add_module(f"layer{stage + 1}", blocks)
        self.fc = nn.Linear(8 * width, classes)

    @property
    def layout(self) -> torch.memory_format:
        """Channels last, which is faster, except for narrow networks: with these, torch 2.13's weight gradient on the
        CPU writes outside its memory (found with glibc's heap checks).
        """
        return torch.contiguous_format if self.conv1.out_channels % 16 else torch.channels_last

    def forward(self, images: Tensor) -> Tensor:
        x = ((images - self.mean) / self.std).contiguous(memory_format=self.layout)
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def _check_channels(name: str, values: object) -> None:
    """InputError unless values are three finite numbers."""
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != 3:
        raise InputError(f"{name} = {values!r}: must be three numbers, one for each channel")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise InputError(f"{name} = {values!r}: must be three numbers, one for each channel, not {value!r}")


def resnet18(
    classes: int = 10,
    *,
    width: int = 64,
    stem: str = "3x3",
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    seed: int = 0,
) -> ResNet18:
    """A freshly initialised network, the same for the same seed; torch's global generator is left unchanged.

    width: channels of the first stage (usually 64); mean, std: what the network subtracts and divides by.
    InputError names an argument out of range.
    """
    in_range("classes", classes, 2, whole=True)
    in_range("width", width, 1, 1024, whole=True)
    in_range("seed", seed, 0, 2**32 - 1, whole=True)  # torch's generator uses only these bits
    _check_channels("mean", mean)
    _check_channels("std", std)
    for value in std:
        in_range("std", value, 0, open_low=True)
    one_of("stem", stem, STEMS)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = ResNet18(classes, width, stem, tuple(mean), tuple(std))
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model.to(memory_format=model.layout)  # type: ignore[call-overload]


def fold(model: nn.Module) -> nn.Module:
    """A copy in evaluation mode with each batch norm folded into the convolution before it: the same function, faster.

    For our networks, in which `bnN` follows `convN` and a batch norm in a Sequential the convolution before it: these
    pairs are folded, and other modules stay as they are.
    """
    folded = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in folded.modules():
        children = dict(parent.named_children())
        following = dict(zip(children, list(children)[1:], strict=False))
        for name, child in children.items():
            partner = name.replace("conv", "bn") if name.startswith("conv") else following.get(name, "")
            norm = children.get(partner)
            if isinstance(child, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(child, norm).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
                setattr(parent, partner, nn.Identity())
    return folded.eval().requires_grad_(False)  # including the new modules


def save(path: Path, model: nn.Module, header: dict) -> None:
    """Write weights in half precision (batch-norm statistics in single), with a header.

    `header["architecture"]` holds the arguments of `resnet18` that `load` needs to build the network again;
    `header["config"]`, of a run, its configuration.
    """
    trained = {name for name, _ in model.named_parameters()}
    state = {k: v.half() if k in trained else v for k, v in model.state_dict().items()}
    save_tensors(path, state, header)


def shipped() -> dict[str, Path]:
    """The networks that come with the repository, by name ("cifar10/pgd-linf-8"). Empty if a wheel is installed."""
    root = repository()
    if root is None:
        return {}
    folder = root / "models"
    named = {path.relative_to(folder).with_suffix("").as_posix(): path for path in folder.glob("*/*.safetensors")}
    return dict(sorted(named.items()))  # by name, so that "normal" comes before "normal-s2"


def load(path: str | Path) -> tuple[ResNet18, dict]:
    """(network in evaluation mode, header as `save` wrote it) from one of our own files, or by a shipped one's name.

    InputError if it doesn't exist or is damaged.
    """
    known = shipped()
    if str(path) in known:
        path = known[str(path)]
    elif not Path(path).is_file() and repository() is None:
        raise InputError(f"{path}: no such file; the repository's own networks, by name, need a checkout of it")
    elif not Path(path).is_file():
        raise InputError(f"{path}: neither a file nor one of {', '.join(known)}{nearest(str(path), known)}")
    tensors, header = load_tensors(Path(path))
    if "architecture" not in header:
        raise InputError(f"{path}: holds no network (no architecture in its header)")
    model = resnet18(**header["architecture"])
    model.load_state_dict(tensors)  # into single precision
    return model.eval(), header


def weights_file(source: str) -> Path | None:
    """The file that `source` means: a path, or NAME for weights/NAME.pt in the data directory; None if neither is."""
    for path in (Path(source), data_dir() / "weights" / f"{source}.pt"):
        if path.is_file():
            return path
    return None


def check_imagenet(source: object) -> None:
    """InputError unless `load_imagenet` could read weights from there: a file, or one of torchvision's names."""
    if isinstance(source, str) and weights_file(source):
        return
    from ._torchvision import torchvision

    names = [w.name for w in torchvision.models.ResNet18_Weights]
    if source not in names:
        hint = nearest(str(source), names)
        place = f"neither a file, nor one in {data_dir() / 'weights'}, nor one of torchvision's"
        raise InputError(f"weights = {source!r}: {place} {', '.join(names)}{hint}")


def load_imagenet(model: ResNet18, source: str) -> str:
    """Fill a width-64 "7x7" network, except its last layer, with ImageNet weights; returns where they came from.

    source: a name of torchvision's (`IMAGENET1K_V1`, downloaded by torchvision), or a `.pt` file in torchvision's
    layout, by its path or by its name in the data directory's weights/; it is read with `weights_only=True`, and its
    sha256 is part of the answer. InputError if there are no such weights, or if they don't fit.
    """
    check_imagenet(source)
    path = weights_file(source)
    if path:
        state = load_state(path)
        origin = f"{path.name} sha256:{file_hash(path)}"
    else:
        from ._torchvision import torchvision

        weights = torchvision.models.ResNet18_Weights[source]
        state, origin = weights.get_state_dict(check_hash=True), f"torchvision {weights}"
    wanted = {k: v for k, v in model.state_dict().items() if k not in ("mean", "std") and not k.startswith("fc.")}
    wrong = [k for k, v in wanted.items() if k not in state or state[k].shape != v.shape]
    wrong = [k for k in wrong if not k.endswith("num_batches_tracked")]
    if wrong:
        raise InputError(f"weights = {source!r}: {wrong[0]} is missing or has another shape (needs width 64, stem 7x7)")
    model.load_state_dict({k: state[k].float() for k in wanted if k in state}, strict=False)
    return origin
