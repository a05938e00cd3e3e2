"""CIFAR-10 networks that others trained: each a function for `python -m atlib.report.own`.

    python -m atlib.report.own notebooks.own_networks.others:woods_l2 cifar10 --limit 2000

Nothing of theirs is in this repository. The first call downloads a file of weights from its author's repository, at the
commit named here, into `others/` among the data sets, and checks its sha256. The architectures are written anew from
the papers' definitions: ResNets for CIFAR-10 of 6n+2 layers in three stages of 16, 32 and 64 channels (He et al. 2016a,
section 4.2), pre-activation ones (He et al. 2016b), and the smoothed ReLU of two of them (Woods et al. 2019).

The files are read with `weights_only`: no code in them is run. Some also hold classes or numbers of their authors'; a
harmless stand-in answers to these names.
"""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.request
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from atlib.errors import InputError
from atlib.files import atomic, data_dir, file_hash
from atlib.models import IMAGENET_MEAN, IMAGENET_STD, fold


class Source(NamedTuple):
    """A file of weights: its repository, commit and path there, its sha256, and who may use it how."""

    repository: str
    commit: str
    path: str
    sha256: str
    licence: str

    @property
    def url(self) -> str:
        """Where it is downloaded from."""
        return f"https://raw.githubusercontent.com/{self.repository}/{self.commit}/{self.path}"


WOODS = ("wwoods/adversarial-explanations-cifar", "ce19735cb67a457c4e8581c31b7027a02b1bb18a", "prebuilt/")
WANG = ("EhanW/advrob-cifar10", "4f92f1357a8a19cc687f856410cfa558dc94fd12", "pretrained/")
DZIEDZIC = (
    "adam-dziedzic/bandlimited-cnns",
    "81aaa27f1dd9ea3d7d62b661dac40cac6c1ef77a",
    "cnns/nnlib/robustness/pni/code/save/",
)
IDELBAYEV = ("akamaster/pytorch_resnet_cifar10", "d5489e8995e81e91ce6b1d69dcc98ad579b0b153", "pretrained_models/")


def _of(place: tuple[str, str, str], file: str, sha256: str, licence: str) -> Source:
    repository, commit, folder = place
    return Source(repository, commit, folder + file, sha256, licence)


SOURCES = {
    "woods_normal": _of(
        WOODS, "resnet44-standard.pt", "cdf4b3ba2bb7495f957c8fe01ee3ac4e37ebb24532344ccf4413b19645fa7d21", "MIT"
    ),
    "woods_l2": _of(
        WOODS, "resnet44-adv-train.pt", "31f9b73ff60392c917fb61b591c1a75e0ea53c66859b3ced41eefce3b2512852", "MIT"
    ),
    "woods_both": _of(
        WOODS, "resnet44-all.pt", "ff8609712e0cfe96f75b7bac4483d2103b18b86d61c70d51b959bc680b52a55f", "MIT"
    ),
    "woods_lipschitz": _of(
        WOODS, "resnet44-robust.pt", "432592630184de6acb35765a2949f46cca8e0ed3f29b7e337e98c8671072ff43", "MIT"
    ),
    "ehanw_normal": _of(
        WANG, "resnet20.pth", "1a11083200835bf42ed0e415589c6c1d1c7e23f38ea186d8efd55bdaa9efccca", "MIT"
    ),
    "ehanw_pgd": _of(
        WANG, "resnet20_pgd.pth", "e82e8084fb081b846d669e84b10a58e49aaa8d8739d75f21e28ff5c2ed323ef2", "MIT"
    ),
    "dziedzic_1": _of(
        DZIEDZIC,
        "cifar10_vanilla_resnet20_3e-4decay-adv-train_only-acc-83-81.pth.tar",
        "169feadfcfad0039c8870d1f12e3d0fd830b3753c7b199598002988c6759604a",
        "Apache 2.0",
    ),
    "dziedzic_2": _of(
        DZIEDZIC, "adv_train.pth.tar", "9ecebaaa8649a3f8e541c7d1727d86915083e6fc3e22749be84c263df3ef018c", "Apache 2.0"
    ),
    "dziedzic_3": _of(
        DZIEDZIC,
        "cifar10_vanilla_resnet20_adv_train_100_iters_pgd_accuracy_83-690.pth.tar",
        "8ac2ef6cdee3d2a1a29f22e21dfde7d67ced2a6f1d86d74b1511ba473516f9c5",
        "Apache 2.0",
    ),
    "dziedzic_4": _of(
        DZIEDZIC,
        "cifar10_vanilla_resnet20_pgd_attack_40_iters_acc_83.960.pth.tar",
        "e886a0334abf6072f17490b1af52e445489ef6c04d6f47ae85ac2d8bd3d091fd",
        "Apache 2.0",
    ),
    "idelbayev_20": _of(
        IDELBAYEV,
        "resnet20-12fca82f.th",
        "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
        "BSD-2",
    ),
    "idelbayev_44": _of(
        IDELBAYEV,
        "resnet44-014dd654.th",
        "014dd6541728a1c700b1642ab640e211dc6eb8ed507d70697458dc8f8a0ae2e4",
        "BSD-2",
    ),
}

# What the files hold beside tensors, under the names that they call it by.
STRANGE = (
    "__main__.cifar10_preprocess",
    "cnns.nnlib.robustness.pni.code.utils_.utils.RecorderMeter",
    "numpy.core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    "_codecs.encode",
)


class StandIn:
    """Takes the place of any class or function that a file names, and does nothing."""

    def __init__(self, *arguments: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def weights_of(name: str) -> dict[str, Tensor]:
    """The tensors of one of SOURCES by their authors' names, downloaded where they are missing.

    InputError in one line, without a network or for a damaged file.
    """
    source = SOURCES[name]
    folder = data_dir() / "others" / source.repository.replace("/", "-")
    path = folder / source.path.rpartition("/")[2]
    if not path.is_file():
        try:
            with urllib.request.urlopen(source.url, timeout=30) as answer:
                content = answer.read()
        except (OSError, urllib.error.URLError) as error:
            why = getattr(error, "reason", None) or error
            raise InputError(f"{name}: no download ({why}): download {source.url} and put it at {path}") from None
        if (found := hashlib.sha256(content).hexdigest()) != source.sha256:
            raise InputError(f"{name}: {source.url} has the sha256 {found}, not {source.sha256}")
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(path) as temporary:
            temporary.write_bytes(content)
    elif (found := file_hash(path)) != source.sha256:
        raise InputError(f"{path}: its sha256 is {found}, not {source.sha256}: damaged or another file; delete it")
    # torch takes such pairs for classes by another name; its annotation knows only bare ones in some versions
    allowed: list[Any] = [(StandIn, strange) for strange in STRANGE]
    with torch.serialization.safe_globals(allowed):
        stored = torch.load(path, map_location="cpu", weights_only=True)
    tensors = next((stored[key] for key in ("state_dict", "model_params") if key in stored), stored)
    return {key.removeprefix("module."): value for key, value in tensors.items()}


class Smoothed(nn.Module):
    """A ReLU without its corner (a half Huber loss): x²/(2d) from 0 to d, x − d/2 above."""

    def __init__(self) -> None:
        super().__init__()
        self.d: Tensor
        self.register_buffer("d", torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        positive = x.clamp_min(0)
        return torch.where(positive < self.d, positive.square() / (2 * self.d), positive - self.d / 2)


class Strided(nn.Module):
    """The shortcut without parameters: every second pixel, and zeros for the new channels.

    before: whether half of these come first, or all last.
    """

    def __init__(self, inputs: int, outputs: int, before: bool) -> None:
        super().__init__()
        new = outputs - inputs
        self.new = (new // 2, new - new // 2) if before else (0, new)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, *self.new))


def conv(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Conv2d:
    """A convolution without bias that keeps the size, but for its stride."""
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)


class Block(nn.Module):
    """Two convolutions, each with batch norm; ReLU between them and after the shortcut is added.

    shortcut: where the width grows, "projected" (1×1), or `Strided` with zeros "around" or "after" the old channels.
    """

    def __init__(self, inputs: int, outputs: int, shortcut: str) -> None:
        super().__init__()
        grows = inputs != outputs
        self.conv1, self.bn1 = conv(inputs, outputs, 1 + grows), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = conv(outputs, outputs), nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if grows and shortcut == "projected":
            self.shortcut = nn.Sequential(conv(inputs, outputs, 2, 1), nn.BatchNorm2d(outputs))
        elif grows:
            self.shortcut = Strided(inputs, outputs, shortcut == "around")

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(inner + self.shortcut(x))


class ResNet(nn.Module):
    """A ResNet for CIFAR-10 with n blocks in each of its three stages; takes pixels in [0, 1]."""

    def __init__(self, n: int, mean: tuple[float, ...], std: tuple[float, ...], shortcut: str) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)
        self.conv1, self.bn1 = conv(3, 16), nn.BatchNorm2d(16)
        widths = (16, 16, 32, 64)
        for stage in (1, 2, 3):
            first = Block(widths[stage - 1], widths[stage], shortcut)
            rest = [Block(widths[stage], widths[stage], shortcut) for _ in range(n - 1)]
            self.add_module(f"stage{stage}", nn.Sequential(first, *rest))
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1((images - self.mean) / self.std)))
        for stage in (self.stage1, self.stage2, self.stage3):
            x = stage(x)
        return self.head(x.mean((2, 3)))


class PreBlock(nn.Module):
    """Batch norm and activation before each convolution; where the width grows, the shortcut is a convolution too."""

    def __init__(self, inputs: int, outputs: int, act: type[nn.Module]) -> None:
        super().__init__()
        grows = inputs != outputs
        self.pre = nn.Sequential(nn.BatchNorm2d(inputs), act())
        first, between = conv(inputs, outputs, 1 + grows), nn.BatchNorm2d(outputs)
        self.main = nn.Sequential(first, between, act(), conv(outputs, outputs))
        self.shortcut = conv(inputs, outputs, 2) if grows else None

    def forward(self, x: Tensor) -> Tensor:
        ready = self.pre(x)
        return self.main(ready) + (x if self.shortcut is None else self.shortcut(ready))


class PreResNet(nn.Module):
    """A pre-activation ResNet-44, whose mean and deviation of pixels come with its weights; takes [0, 1]."""

    def __init__(self, act: type[nn.Module]) -> None:
        super().__init__()
        self.input_offset: Tensor
        self.register_buffer("input_offset", torch.zeros(2, 3))
        widths = (16, 16, 32, 64)
        stages = [nn.Sequential(*(PreBlock(widths[s - (i == 0)], widths[s], act) for i in range(7))) for s in (1, 2, 3)]
        pool, last = nn.AdaptiveAvgPool2d(1), nn.Conv2d(64, 10, 1)
        self.pipe = nn.Sequential(conv(3, 16), *stages, nn.BatchNorm2d(64), act(), pool, last)

    def forward(self, images: Tensor) -> Tensor:
        mean, std = self.input_offset.view(2, 1, 3, 1, 1)
        return self.pipe((images - mean) / std).flatten(1)


# The names of parts in the three authors' files, and ours for them.
RENAMED = (
    (r"^conv_1_3x3", "conv1"),
    (r"(conv|bn)_(?:a|1)\.", r"\g<1>1."),
    (r"(conv|bn)_(?:b|2)\.", r"\g<1>2."),
    (r"^(layer|stage_)(\d)", r"stage\2"),
    (r"^(classifier|fc|linear)\.", "head."),
    (r"\.downsample\.", ".shortcut."),
)


def renamed(key: str) -> str:
    """A parameter's name as `ResNet` has it."""
    for pattern, ours in RENAMED:
        key = re.sub(pattern, ours, key)
    return key


def _resnet(name: str, model: ResNet) -> nn.Module:
    model.load_state_dict({renamed(key): value for key, value in weights_of(name).items()})
    return fold(model)


def _pre_resnet(name: str, act: type[nn.Module]) -> nn.Module:
    model = PreResNet(act)
    model.load_state_dict(weights_of(name))
    return fold(model)


RAW = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
IMAGENET = (tuple(IMAGENET_MEAN), tuple(IMAGENET_STD))


def woods_normal() -> nn.Module:
    """W. Woods: pre-activation ResNet-44, trained normally."""
    return _pre_resnet("woods_normal", nn.ReLU)


def woods_l2() -> nn.Module:
    """W. Woods: the same, trained against seven steps within an l_2 ball of about .55."""
    return _pre_resnet("woods_l2", nn.ReLU)


def woods_both() -> nn.Module:
    """W. Woods: smoothed ReLU, trained against an l_2 attack of RMSE .1 and with a Lipschitz penalty."""
    return _pre_resnet("woods_both", Smoothed)


def woods_lipschitz() -> nn.Module:
    """W. Woods: smoothed ReLU, a Lipschitz penalty and no adversarial training."""
    return _pre_resnet("woods_lipschitz", Smoothed)


def ehanw_normal() -> nn.Module:
    """EhanW: ResNet-20 with projected shortcuts, trained normally."""
    return _resnet("ehanw_normal", ResNet(3, *IMAGENET, "projected"))


def ehanw_pgd() -> nn.Module:
    """EhanW: the same, trained against PGD-20 within l_inf 8/255 of normalised input, about 1.8/255 of pixels."""
    return _resnet("ehanw_pgd", ResNet(3, *IMAGENET, "projected"))


def dziedzic_1() -> nn.Module:
    """A. Dziedzic: ResNet-20, half clean and half adversarial loss, l_inf .031, one of four runs."""
    return _resnet("dziedzic_1", ResNet(3, *RAW, "after"))


def dziedzic_2() -> nn.Module:
    """A. Dziedzic: the second run."""
    return _resnet("dziedzic_2", ResNet(3, *RAW, "after"))


def dziedzic_3() -> nn.Module:
    """A. Dziedzic: the third run."""
    return _resnet("dziedzic_3", ResNet(3, *RAW, "after"))


def dziedzic_4() -> nn.Module:
    """A. Dziedzic: the fourth run."""
    return _resnet("dziedzic_4", ResNet(3, *RAW, "after"))


def idelbayev_20() -> nn.Module:
    """Y. Idelbayev: ResNet-20, trained normally; the partner in architecture of Dziedzic's four."""
    return _resnet("idelbayev_20", ResNet(3, *IMAGENET, "around"))


def idelbayev_44() -> nn.Module:
    """Y. Idelbayev: ResNet-44, trained normally."""
    return _resnet("idelbayev_44", ResNet(7, *IMAGENET, "around"))
