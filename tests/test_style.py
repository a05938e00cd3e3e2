"""Style transfer: the two stylists, the pictures styles are taken from, and stylised test sets."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from atlib import data, evaluation, measurements, style, textures
from atlib.errors import InputError
from atlib.files import data_dir, read_json
from atlib.report import plots
from atlib.style import sets, stylists
from atlib.tensors import load_meta, load_tensors, save_tensors, tensor_digest

CPU = torch.device("cpu")


def refused(do: Callable[[], object], *parts: str) -> None:
    """It raises an InputError of one line that holds these parts."""
    with pytest.raises(InputError) as error:
        do()
    message = str(error.value)
    assert "\n" not in message and all(part in message for part in parts), message


# --- textures ---------------------------------------------------------------------------------------------------------


def test_generated_pictures_are_their_numbers_and_differ() -> None:
    some = textures.generate(12)
    assert some.shape == (12, 3, 256, 256) and some.dtype == torch.uint8
    assert torch.equal(some[7], textures.picture(7)) and not torch.equal(some[7], textures.picture(7, seed=1))
    flat = some.flatten(1).float()
    assert (flat.std(1) > 15).all()  # a texture each
    assert torch.pdist(flat).min() > 1e4
    refused(lambda: textures.generate(0), "count = 0: must be a whole number at least 1")
    wrong: tuple[Any, ...] = (-1, 2**32, 0.5, "x")
    for seed in wrong:
        for drawing in (textures.generate, textures.picture):
            refused(partial(drawing, 1, seed), f"seed = {seed!r}: must be a whole number at least 0")
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(some[:6], textures.generate(6)), "each kind is the same whatever torch's default type"
    finally:
        torch.set_default_dtype(torch.float32)


# --- MicroAST, with weights drawn at random ---------------------------------------------------------------------------


class Conv(nn.Module):
    """A convolution with mirrored borders, named as in the network's files."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv_layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_layer(x)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv(64, 64, 3), Conv(64, 64, 3)

    def forward(self, x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        if weight is None or bias is None:
            return x + self.conv2(F.relu(self.conv1(x)))
        first = F.relu(self.conv1(x) * weight + x * bias)
        return x + self.conv2(first) * weight + first * bias


def encoder() -> nn.ModuleDict:
    layers = [Conv(3, 16, 9), Conv(16, 32, 3, 2, 16), Conv(32, 32, 1), Conv(32, 64, 3, 2, 32), Conv(64, 64, 1)]
    enc1 = nn.Sequential(*(one for layer in layers for one in (layer, nn.ReLU())), Residual())
    return nn.ModuleDict({"enc1": enc1, "enc2": nn.Sequential(Residual())})


class Plain:
    """MicroAST after its paper's figure, from torch's own modules."""

    def __init__(self) -> None:
        layers = [Conv(64, 32, 3, 1, 32), Conv(32, 32, 1), Conv(32, 16, 3, 1, 16), Conv(16, 16, 1)]
        ups: list[nn.Module] = [
            nn.Upsample(scale_factor=2, mode="bilinear"),
            layers[0],
            nn.ReLU(),
            layers[1],
            nn.ReLU(),
        ]
        ups += [
            nn.Upsample(scale_factor=2, mode="bilinear"),
            layers[2],
            nn.ReLU(),
            layers[3],
            nn.ReLU(),
            Conv(16, 3, 9),
        ]
        self.parts = {
            "content_encoder": encoder(),
            "style_encoder": encoder(),
            "modulator": nn.ModuleDict(
                {f"{kind}{n}": nn.Sequential(Conv(64, 64, 3, 1, 64)) for kind in ("weight", "bias") for n in (1, 2)}
            ),
            "decoder": nn.ModuleDict({"dec1": Residual(), "dec2": Residual(), "dec3": nn.Sequential(*ups)}),
        }

    def __call__(self, content: Tensor, styles: Tensor) -> Tensor:
        """Every content picture in the style of the picture at its place."""
        deep = self.parts["style_encoder"]["enc1"](styles)
        features = [deep, self.parts["style_encoder"]["enc2"](deep)]
        x = self.parts["content_encoder"]["enc2"](self.parts["content_encoder"]["enc1"](content))
        for block, depth in (("dec1", 2), ("dec2", 1)):
            s = features[depth - 1]
            weight, bias = (
                self.parts["modulator"][f"{kind}{depth}"](s).mean((2, 3), True) for kind in ("weight", "bias")
            )
            normal = F.instance_norm(x) if x.shape[-1] > 1 else x
            std = (s.var((2, 3), keepdim=True) + 1e-5).sqrt()
            x = self.parts["decoder"][block](normal * std + s.mean((2, 3), keepdim=True), weight, bias)
        return self.parts["decoder"]["dec3"](x)

    def save(self, folder: Path, names: str = "microast_{}.pt") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in self.parts.items():
            torch.save(part.state_dict(), folder / names.format(name))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Plain:
    """A network of random weights in the data directory, taken for the true one."""
    network = Plain()
    network.save(data_dir() / "weights")
    tensors = {
        f"{name}.{key}": value for name, part in network.parts.items() for key, value in part.state_dict().items()
    }
    monkeypatch.setattr(stylists, "MICROAST_DIGEST", tensor_digest(tensors))
    return network


@torch.no_grad()
def test_microast_is_its_papers_network(plain: Plain, tmp_path: Path) -> None:
    content, styles = torch.rand(2, 3, 64, 64), torch.rand(2, 3, 80, 80)
    stylist = style.find_stylist("microast")
    expected = plain(content, styles)
    found = stylist.paint(content, stylist.encode(styles))
    # instance_norm divides by the biased deviation, which is 1.002 times smaller at 16×16
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * float(expected.std()))
    plain.save(tmp_path, "{}_iter_160000.pth.tar")  # the official names
    again = style.find_stylist("microast", str(tmp_path))
    assert again.weights == stylist.weights == stylists.MICROAST_DIGEST
    assert torch.equal(again.paint(content, again.encode(styles)), found)


def test_after_adain_the_channels_have_the_styles_moments() -> None:
    features, other = torch.rand(3, 5, 9, 9), torch.randn(3, 5, 12, 12) * 4 + 2
    found = style.moments(style.adain(features, *style.moments(other)))
    for mine, its in zip(found, style.moments(other), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-3, atol=1e-4)


def test_wrong_weights_get_one_line(plain: Plain, tmp_path: Path) -> None:
    find = style.find_stylist
    refused(lambda: find("adain"), "stylist = 'adain': must be one of ghiasi, microast")
    refused(lambda: find("microast", str(tmp_path / "no")), f"weights = '{tmp_path / 'no'}': no such folder")
    plain.save(tmp_path)
    (tmp_path / "microast_decoder.pt").unlink()
    refused(
        lambda: find("microast", str(tmp_path)), "neither microast_decoder.pt nor decoder_iter_160000.pth.tar there"
    )
    whole = (data_dir() / "weights" / "microast_decoder.pt").read_bytes()
    (tmp_path / "microast_decoder.pt").write_bytes(whole[:5000])  # truncated
    refused(lambda: find("microast", str(tmp_path)), "microast_decoder.pt: not a weights-only PyTorch file")
    Plain().save(tmp_path)
    refused(lambda: find("microast", str(tmp_path)), "not MicroAST's: the digest of its tensors is another")


# --- Ghiasi et al. ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ghiasi() -> style.Stylist:
    return style.find_stylist("ghiasi")


def test_ghiasi_takes_the_colours_of_the_style(ghiasi: style.Stylist) -> None:
    """The files of the package, run: a grey picture takes on the style's colours, two styles give two pictures."""
    ramp = torch.linspace(0, 255, 32).byte().expand(2, 3, 32, 32)
    pictures = torch.zeros(2, 3, 256, 256)
    pictures[0, 0, :, ::8], pictures[1, 2, ::8] = 1, 1  # red columns, blue rows
    codes = ghiasi.encode(pictures)
    assert codes.shape == (2, 100)
    red, blue = style.stylise(ramp, codes, ghiasi).float().mean((2, 3))
    assert red[0] > red[2] + 30 and blue[2] > blue[0] + 30


def test_ghiasi_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    refused(lambda: style.ghiasi(str(tmp_path)), f"weights = '{tmp_path}': no arbitrary_predict.onnx there")
    (tmp_path / "arbitrary_predict.onnx").write_bytes(b"damaged")
    refused(lambda: style.ghiasi(str(tmp_path)), "arbitrary_predict.onnx: its sha256 is not d832a92a6afc")
    monkeypatch.setattr(stylists, "PACKAGE", "no_such_package")
    refused(style.ghiasi, "stylist = 'ghiasi': needs no_such_package; pip install -r requirements-style.txt")


# --- stylising --------------------------------------------------------------------------------------------------------


def test_one_by_one_equals_batched_equals_with_codes_of_another_call(plain: Plain) -> None:
    stylist = style.find_stylist("microast")
    images = (torch.rand(5, 3, 24, 24) * 255).byte()
    before = images.clone()
    pictures = textures.generate(3).float() / 255
    codes, choice = stylist.encode(pictures), torch.tensor([2, 0, 1, 1, 0])
    batched = style.stylise(images, codes, stylist, choice)
    assert batched.shape == images.shape and batched.dtype == torch.uint8
    alone = torch.cat([style.stylise(images[i : i + 1], codes, stylist, choice[i : i + 1]) for i in range(5)])
    anew = torch.cat(
        [style.stylise(images[i : i + 1], stylist.encode(pictures[c : c + 1]), stylist) for i, c in enumerate(choice)]
    )
    for other in (alone, anew):
        assert (batched.int() - other.int()).abs().max() <= 1  # rounding
    floats = style.stylise(images.float() / 255, codes, stylist, choice)
    assert floats.dtype == torch.float32 and (floats * 255 - batched).abs().max() <= 0.51
    assert torch.equal(images, before)
    refused(
        lambda: style.stylise(images, codes, stylist), "images = 5 pictures: must be as many as the styles chosen, 3"
    )
    for wrong in (-1, 3):
        refused(
            lambda: style.stylise(images, codes, stylist, torch.tensor([0, 1, wrong, 2, 0])),  # noqa: B023 (called now)
            f"choice = {wrong}: must be at least 0 and below the number of codes, 3",
        )


def test_pictures_that_cannot_be_stylised(fake: list[int]) -> None:
    stylist, codes = style.find_stylist("fake"), torch.zeros(2, 3)
    for shape in ((2, 3, 32, 16), (2, 1, 16, 16), (3, 16, 16)):
        refused(lambda: style.stylise(torch.zeros(shape), codes, stylist), f"shape {shape}: must be N×3×H×")  # noqa: B023
    for kind in (torch.int64, torch.int8, torch.bool):
        images = torch.zeros(2, 3, 16, 16, dtype=kind)
        refused(lambda: style.stylise(images, codes, stylist), f"images = {kind}: must be uint8, or floating ")  # noqa: B023
    shown = torch.zeros(2, 3, 16, 16)
    refused(lambda: style.stylise(shown - 1, codes, stylist), "images = [-1, -1]: must lie in [0, 1]")
    refused(lambda: style.stylise(shown, codes[0], stylist), "codes = torch.float32 (3,): must be torch.float32, S×D")
    refused(
        lambda: style.stylise(shown, codes.double(), stylist), "codes = torch.float64 (2, 3): must be torch.float32"
    )
    refused(
        lambda: style.stylise(shown, codes, stylist, torch.tensor([0.0, 1.0])), "choice = torch.float32 (2,): must be"
    )
    refused(lambda: style.choose(range(2), 0), "styles = 0: must be a whole number at least 1")
    for none in (shown[:0], shown[:0].byte()):
        assert torch.equal(style.stylise(none, codes[:0], stylist), none)
    assert not fake
    watched = shown.clone().requires_grad_()
    assert not style.stylise(watched, codes, stylist).requires_grad
    half = torch.full((2, 3, 16, 16), 0.5, dtype=torch.float16)
    assert style.stylise(half, codes, stylist).dtype == torch.float16


def test_each_picture_draws_its_style_by_its_number() -> None:
    whole = style.choose(range(1000), 7, seed=3)
    assert torch.equal(style.choose(range(500, 510), 7, seed=3), whole[500:510])
    assert torch.bincount(whole, minlength=7).min() > 90 and not torch.equal(
        style.choose(range(1000), 7, seed=4), whole
    )


# --- where styles come from -------------------------------------------------------------------------------------------


def picture(mode: str, size: tuple[int, int], kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 4), dtype=np.uint8)
    Image.fromarray(noise[..., :3]).convert(mode).save(stream, kind)
    return stream.getvalue()


def test_styles_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "a.jpg": picture("L", (40, 30)),
        "b.jpg": picture("CMYK", (30, 50)),
        "c.png": picture("RGB", (300, 300), "PNG"),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "notes.txt").write_text("not a picture")
    found = style.Styles(str(tmp_path))
    assert found.names == list(files) and len(found) == 3
    grey, cmyk, _ = (found.picture(n) for n in range(3))
    assert grey.shape == (3, 256, 256) and torch.equal(grey[0], grey[2]) and cmyk.float().std() > 20
    monkeypatch.setenv("ATLIB_STYLES", str(tmp_path))
    assert style.Styles("paintings").names == found.names and style.Styles("paintings").source == "paintings"
    assert style.Styles("paintings").files_digest == found.files_digest
    generated = style.Styles()
    assert generated.source == "generated" and generated.files_digest == ""
    assert len(generated) == 60 and torch.equal(generated.picture(3), textures.picture(3))


def style_folder(folder: Path, *colours: str, names: str = "abcdef") -> Path:
    """A folder of plain pictures, one a colour."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, colour in zip(names, colours, strict=False):
        Image.new("RGB", (20, 20), colour).save(folder / f"{name}.png")
    return folder


def test_a_folders_name_in_a_level_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def source(folder: Path | str) -> str:
        return style.Styles(str(folder)).source

    red = style_folder(tmp_path / "one" / "paint", "red", "blue")
    assert re.fullmatch(r"paint-[0-9a-f]{8}", source(red))
    assert source(style_folder(tmp_path / "two" / "paint", "red", "blue")) == source(red)  # the same pictures
    others = [
        style_folder(tmp_path / "three" / "paint", "red", "green"),
        style_folder(tmp_path / "four" / "paint", "red", "blue", "blue"),
        style_folder(tmp_path / "five" / "paint", "red", "blue", names="xy"),  # other names draw other styles
    ]
    assert len({source(folder) for folder in (red, *others)}) == 4
    before = source(red)
    (red / "notes.txt").write_text("no picture")
    assert source(red) == before
    style_folder(red, "red", "yellow")
    assert source(red) != before
    for name in style.SOURCES:
        assert source(style_folder(tmp_path / name, "red")).startswith(f"{name}-")
    monkeypatch.chdir(red)
    assert source(".") == source("../paint") == source(red)
    assert re.fullmatch(r"a-b-[0-9a-f]{8}", source(style_folder(tmp_path / ".a b@", "red")))
    assert re.fullmatch(r"folder-[0-9a-f]{8}", source(style_folder(tmp_path / "é", "red")))
    assert len(source(style_folder(tmp_path / ("long" * 50), "red"))) < 80
    refused(lambda: style.Styles(""), "styles = '': must be generated, paintings or a folder")


def test_styles_that_cannot_be_used(tmp_path: Path) -> None:
    refused(lambda: style.Styles("paintings"), "styles = 'paintings': ", "set ATLIB_STYLES to one of pictures")
    refused(
        lambda: style.Styles(str(tmp_path / "no")), f"styles = '{tmp_path / 'no'}': no such folder; must be generat"
    )
    refused(lambda: style.Styles("painting"), "generated, paintings or a folder (did you mean 'paintings'?)")
    refused(lambda: style.Styles(str(tmp_path)), f"{tmp_path}: holds no picture (.jpg, ")
    (tmp_path / "one.png").write_bytes(picture("RGB", (1, 1), "PNG"))
    (tmp_path / "two.jpg").write_bytes(picture("RGB", (40, 40))[:200])
    styles = style.Styles(str(tmp_path))
    refused(lambda: styles.picture(0), "one.png: 1×1 pixels: must have at least 16 a side")
    refused(lambda: styles.picture(1), "two.jpg: not a readable picture")
    (tmp_path / "one.png").unlink()
    refused(lambda: styles.picture(0), "one.png: not readable")
    refused(lambda: styles.source, "one.png: not readable")


# --- stylised test sets -----------------------------------------------------------------------------------------------


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A stylist that adds the first number of its code, and counts its pictures; the quick data set in small chunks."""
    painted: list[int] = []

    def paint(images: Tensor, codes: Tensor) -> Tensor:
        painted.append(len(images))
        return images * 0.5 + codes[:, :1, None, None] * 0.5

    fake = style.Stylist("fake", "w", 32, lambda pictures: pictures.mean((2, 3)), paint)
    monkeypatch.setitem(style.STYLISTS, "fake", lambda weights: fake)
    monkeypatch.setattr(sets, "CHUNK", 4)
    monkeypatch.setattr(sets, "BATCH", 3)
    load = data.load
    monkeypatch.setattr(data, "load", lambda name, **given: load(name, test_count=10, train_count=10, **given))
    return painted


def test_a_stylised_test_set_and_its_manifest(fake: list[int]) -> None:
    path = style.make("shapes", stylist="fake", progress=False)
    assert path == data_dir() / "stylised" / "shapes-32" / "generated-fake.safetensors"
    assert fake == [3, 1, 3, 1, 2] and not path.with_suffix(".part").exists()
    images = data.load("shapes").test.images
    found, about = style.load("shapes", 32, images, "generated-fake")
    assert about == read_json(path.with_suffix(".json")) == load_tensors(path)[1]
    choice = style.choose(range(10), 60)
    assert about["style_of_each"] == [f"generated-{n:03d}" for n in choice.tolist()]
    assert set(about["style_hashes"]) == set(about["style_of_each"])
    known = {"stylist": "fake", "weights": "w", "seed": 0, "count": 10, "working_side": 32, "styles": "generated"}
    assert known.items() <= about.items()
    expected = (
        images.float() / 2
        + torch.stack([textures.picture(n)[0].float().mean() for n in choice.tolist()]).view(-1, 1, 1, 1) / 2
    )
    assert (found - expected).abs().max() <= 0.51
    assert set(style.summary(about)) == set(about) - {"style_of_each", "style_hashes", "versions"}
    style.make("shapes", stylist="fake", progress=False)
    assert len(fake) == 5  # it was there
    style.make("shapes", stylist="fake", seed=1, progress=False)
    assert len(fake) == 10
    assert plots.show_stylised(path).axes


def test_stopped_it_goes_on_and_equals_an_undisturbed_one(fake: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = style.make("shapes", stylist="fake", progress=False)
    first = load_tensors(whole)[0]["images"]
    whole.unlink()
    fake.clear()
    save = sets.save_tensors

    def stop(path: Path, *given: object) -> None:
        if path.name == "000004.safetensors":
            raise KeyboardInterrupt
        save(path, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(sets, "save_tensors", stop)
    with pytest.raises(KeyboardInterrupt):
        style.make("shapes", stylist="fake", progress=False)
    assert not whole.exists() and fake == [3, 1, 3, 1]
    monkeypatch.setattr(sets, "save_tensors", save)
    fake.clear()
    style.make("shapes", stylist="fake", progress=False)
    assert fake == [3, 1, 2] and torch.equal(load_tensors(whole)[0]["images"], first)


@pytest.mark.parametrize("last", ["write_json", "shutil.rmtree"])
@pytest.mark.parametrize("again", [False, True])
def test_a_stop_in_the_last_lines_is_made_up_for_by_the_next_call(
    last: str, again: bool, fake: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set was there, so that its JSON file was never written, and its chunks stayed."""

    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    seed = 0
    if again:  # in the place of a set of other inputs, whose JSON file is there
        style.make("shapes", stylist="fake", progress=False)
        seed = 1
    with monkeypatch.context() as patch:
        patch.setattr(f"atlib.style.sets.{last}", stop)
        with pytest.raises(KeyboardInterrupt):
            style.make("shapes", stylist="fake", seed=seed, progress=False)
    fake.clear()
    path = style.make("shapes", stylist="fake", seed=seed, progress=False)
    assert not fake and read_json(path.with_suffix(".json")) == load_meta(path)
    assert sorted(left.name for left in path.parent.iterdir()) == ["generated-fake.json", "generated-fake.safetensors"]


def test_a_set_that_another_process_has_made_meanwhile_is_not_painted_again(
    fake: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    look = sets.hashes_of

    def meanwhile(*given: object) -> object:  # after the first look for the set, and before its lock
        monkeypatch.setattr(sets, "hashes_of", look)
        style.make("shapes", stylist="fake", progress=False)
        return look(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(sets, "hashes_of", meanwhile)
    path = style.make("shapes", stylist="fake", progress=False)
    assert path.is_file() and sum(fake) == 10 and not path.with_suffix(".part").exists()


def test_what_a_set_is_not_taken_for(fake: list[int]) -> None:
    images = data.load("shapes").test.images
    refused(
        lambda: style.load("shapes", 32, images, "generated-fake"),
        "stylised@generated-fake: ",
        "notebooks/stylise.ipynb",
    )
    few = style.make("shapes", stylist="fake", count=2, progress=False)
    assert few.name == "generated-fake-first2.safetensors" and style.lacking("shapes", 32, "generated-fake")
    path = style.make("shapes", stylist="fake", progress=False)
    assert style.lacking("shapes", 32, "generated-fake") == ""
    refused(
        lambda: style.load("shapes", 32, images.flip(0), "generated-fake"),
        "made from other pictures than the test set has",
    )
    path.write_bytes(path.read_bytes()[:-100])
    refused(lambda: style.load("shapes", 32, images, "generated-fake"), "damaged")
    refused(lambda: style.make("shapes", stylist="fake", seed=-1), "seed = -1: must be")
    refused(lambda: style.make("shapes", stylist="fake", count=0), "count = 0: must be")


def test_sets_of_two_folders_of_one_name_do_not_mix(fake: list[int], tmp_path: Path) -> None:
    one, two = (style_folder(tmp_path / side / "paint", colour) for side, colour in (("A", "white"), ("B", "black")))
    light, dark = (style.make("shapes", stylist="fake", styles=str(folder), progress=False) for folder in (one, two))
    assert light != dark and style.make("shapes", stylist="fake", styles=str(one), progress=False) == light
    assert load_tensors(light)[0]["images"].float().mean() > load_tensors(dark)[0]["images"].float().mean() + 100
    style_folder(one, "white", "black")
    more = style.make("shapes", stylist="fake", styles=str(one), progress=False)
    assert more not in (light, dark) and light.is_file()
    imposter = style.make(
        "shapes", stylist="fake", styles=str(style_folder(tmp_path / "generated", "red")), progress=False
    )
    assert style.lacking("shapes", 32, "generated-fake")  # the folder's set is not the real source's
    for path in (light, dark, more, imposter):
        about = load_meta(path)
        assert f"{about['styles']}-fake" == path.stem and about["styles"].endswith(f"-{about['style_files'][:8]}")


def test_paintings_are_made_again_when_their_files_change(
    fake: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATLIB_STYLES", str(style_folder(tmp_path / "paint", "white")))

    def made() -> Path:
        return style.make("shapes", stylist="fake", styles="paintings", progress=False)

    path = made()
    assert path.stem == "paintings-fake" and made() == path and len(fake) == 5
    first = load_meta(path)["style_files"]
    assert first == style.Styles("paintings").files_digest
    monkeypatch.setenv("ATLIB_STYLES", str(style_folder(tmp_path / "others", "black")))
    capsys.readouterr()
    assert made() == path and len(fake) == 10 and load_meta(path)["style_files"] != first
    assert capsys.readouterr().out == f"{path}: differs from what is asked for in style_files: made again\n"
    assert load_tensors(path)[0]["images"].max() < 140


def test_a_set_of_other_inputs_is_made_again_with_a_line_and_stays_meanwhile(
    fake: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = style.make("shapes", stylist="fake", progress=False)
    assert "style_files" not in load_meta(path) and capsys.readouterr().out == ""
    before = path.read_bytes()
    stylist = style.find_stylist("fake")

    def stop(images: Tensor, codes: Tensor) -> Tensor:
        raise KeyboardInterrupt

    stopped = style.Stylist("fake", "other", 32, stylist.encode, stop)
    monkeypatch.setitem(style.STYLISTS, "fake", lambda weights: stopped)
    with pytest.raises(KeyboardInterrupt):
        style.make("shapes", stylist="fake", seed=1, progress=False)
    assert capsys.readouterr().out == f"{path}: differs from what is asked for in weights, seed: made again\n"
    assert path.read_bytes() == before
    path.write_bytes(before[:-100])
    refused(
        lambda: style.make("shapes", stylist="fake", progress=False),
        f"{path}: damaged",
        "; remove it and make it again",
    )


def test_unreadable_styles_leave_nothing_behind(fake: list[int], tmp_path: Path) -> None:
    folder = style_folder(tmp_path / "paint", "white")
    (folder / "b.jpg").write_bytes(picture("RGB", (40, 40))[:200])
    refused(
        lambda: style.make("shapes", stylist="fake", styles=str(folder), progress=False),
        "b.jpg: not a readable picture",
    )
    (folder / "b.jpg").unlink()
    (folder / "b.jpg").mkdir()
    refused(lambda: style.make("shapes", stylist="fake", styles=str(folder), progress=False), "b.jpg: not readable")
    assert not (data_dir() / "stylised").exists() and not fake
    data_dir().mkdir(exist_ok=True)
    (data_dir() / "stylised").write_text("in the way")
    refused(lambda: style.make("shapes", stylist="fake", progress=False), "shapes-32: can't be written")
    assert not fake


def test_the_manifest_is_read_without_the_pictures(fake: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    refused(lambda: style.manifest("shapes", 32, "generated-fake"), "stylised@generated-fake: ", "is not there")
    path = style.make("shapes", stylist="fake", progress=False)
    expected = load_tensors(path)[1]
    monkeypatch.setattr(sets, "load_tensors", None)
    assert style.manifest("shapes", 32, "generated-fake") == expected == load_meta(path)
    content = tensor_digest({"images": data.load("shapes").test.images})
    assert content == expected["content"] and style.lacking("shapes", 32, "generated-fake", content) == ""
    others = f"{path}: made from other pictures than the test set has; remove it and make it again"
    assert style.lacking("shapes", 32, "generated-fake", "0" * 64) == others
    path.write_bytes(path.read_bytes()[:-100])
    damaged = style.lacking("shapes", 32, "generated-fake", content)
    assert f"{path}: damaged" in damaged and damaged.endswith("; remove it and make it again")
    refused(lambda: style.manifest("shapes", 32, "generated-fake"), damaged)
    assert style.lacking("shapes", 32, "generated-fake") == ""  # without content nothing but its being there counts
    refused(lambda: load_meta(path), f"{path}: damaged")
    refused(lambda: load_meta(path.with_name("no")), "no: no such file")
    path.write_text("no tensors")
    refused(lambda: load_meta(path), f"{path}: damaged")


def test_levels_are_the_reports_and_every_set_that_is_there(fake: list[int], tmp_path: Path) -> None:
    assert style.levels("shapes", 32) == style.LEVELS
    folder = style_folder(tmp_path / "paint", "white")
    own = style.make("shapes", stylist="fake", styles=str(folder), progress=False)
    style.make("shapes", stylist="fake", progress=False)
    style.make("shapes", stylist="fake", styles=str(folder), count=3, progress=False)  # a trial
    aside = own.parent
    (aside / "stopped-fake.part").mkdir()
    for name in ("generated-ghiasi", "-fake", "notes", "more-unknown"):
        shutil.copy(own, aside / f"{name}.safetensors")
    assert style.levels("shapes", 32) == (*style.LEVELS, "generated-fake", own.stem)
    assert style.levels("shapes", 64) == style.LEVELS
    line = style.lacking("shapes", 64, own.stem)
    assert "side 64, styles the folder of pictures that was paint-" in line
    assert "of a folder of pictures" in style.obstacle(own.stem)


def test_a_measurement_of_another_set_is_told_by_its_summary() -> None:
    about = {"content": "c", "styles": "paintings", "style_files": "f", "seed": 0, "stylist": "ghiasi", "weights": "w"}
    about |= {"working_side": 384, "commit": "now", "style_of_each": ["a"]}
    same = style.summary(about)
    assert not style.differs(about, same) and not style.differs(about, same | {"commit": "before", "more": 1})
    for key in style.INPUTS:
        assert style.differs(about, same | {key: "another"}), key
        without = {name: value for name, value in same.items() if name != key}
        assert style.differs(about, without) == (key != "style_files"), key
    assert not style.differs(about, {})
    generated = {name: value for name, value in about.items() if name != "style_files"}
    assert not style.differs(generated, same)


class Mean(nn.Module):
    """Says class 1 of bright pictures, 0 of dark ones."""

    def forward(self, images: Tensor) -> Tensor:
        bright = images.mean((1, 2, 3))
        return torch.stack([0.5 - bright, bright - 0.5], 1) * 10


def test_a_stylised_set_is_measured_like_any_other_distortion(fake: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (style, sets):
        monkeypatch.setattr(module, "LEVELS", ("generated-fake", "paintings-fake"))
    monkeypatch.setattr(measurements, "MAP_STYLES", ("generated-fake",))
    test = data.load("shapes").test
    labels = torch.arange(10) % 2
    subject = measurements.Subject(Mean(), data.Split(test.images, labels), 32, CPU, dataset="elsewhere")
    pairs = [pair for pair in evaluation.wanted(subject) if "stylised" in pair[0] + pair[1]]
    assert pairs == [
        ("stylised", "generated-fake"),
        ("stylised", "paintings-fake"),
        ("maps", "stylised@generated-fake"),
    ]
    for name, level in pairs:
        assert "is not there" in measurements.MEASUREMENTS[name].lacks(subject, level)
    style.make("shapes", stylist="fake", progress=False)
    path = style.place("shapes", 32, "generated-fake")
    path.parent.rename(path.parent.with_name("elsewhere-32"))
    lacks = [bool(measurements.MEASUREMENTS[name].lacks(subject, level)) for name, level in pairs]
    assert lacks == [False, True, False]
    found = measurements.stylised(subject, "generated-fake")
    shown, about = style.load("elsewhere", 32, test.images, "generated-fake")
    said = (shown.float().mean((1, 2, 3)) / 255 > 0.5).long()
    assert found.arrays["class"].tolist() == said.tolist()
    assert found.rows[0].count == int((said == labels).sum()) and found.record["stylised"] == style.summary(about)
    json.dumps(found.record)
    chosen = torch.tensor([3, 1])
    assert torch.equal(
        measurements.shown_under(subject, "stylised@generated-fake", chosen), shown[chosen].float() / 255
    )
    maps = {row.metric: row.value for row in measurements.maps(subject, "stylised@generated-fake").rows}
    assert "edge_correlation" in maps and "grad_map_distance" in maps

    # made again of other styles: measured again; a user's own set is one more level
    records = {"stylised": found.record, "maps": measurements.maps(subject, "stylised@generated-fake").record}
    outdated = [
        partial(measurements.MEASUREMENTS[name].outdated, subject, level, records[name])
        for name, level in (pairs[0], pairs[2])
    ]
    assert not any(changed() for changed in outdated)
    tensors, about = load_tensors(style.place("elsewhere", 32, "generated-fake"))
    save_tensors(style.place("elsewhere", 32, "generated-fake"), tensors, about | {"seed": 5})
    assert all(changed() for changed in outdated)
    save_tensors(style.place("elsewhere", 32, "mine-0123abcd-fake"), tensors, about | {"styles": "mine-0123abcd"})
    assert ("stylised", "mine-0123abcd-fake") in evaluation.wanted(subject)
    nothing = data.Split(test.images[:0], labels[:0])  # what the campaign wants of a run, a user's own set is not
    assert measurements.stylised_levels(replace(subject, test=nothing)) == style.LEVELS
    style.place("elsewhere", 32, "generated-fake").unlink()  # not there any more: what was measured stays
    assert not any(changed() for changed in outdated)
    assert measurements.stylised_levels(measurements.Subject(Mean(), test, 32, CPU, dataset="shapes")) == ()
