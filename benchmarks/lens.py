"""The comparisons of what pictures are looked at through: saliency maps, style transfer, distortions.

The plain loops do what the paper's released code does, one picture at a time; they are written for this comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from captum.attr import NoiseTunnel, Saliency
from torch import Tensor, nn

from atlib import models, saliency, style, transforms

from .contests import Plan, plain
from .measure import Row, alternate, compare

SAMPLES, PASS = 100, 16  # of SmoothGrad; noisy copies that captum takes at a time


def captum_smoothgrad(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """captum's NoiseTunnel over Saliency, signed, of the log-probability; a picture at a time, as sigma is its own."""
    tunnel = NoiseTunnel(Saliency(lambda pixels: model(pixels).log_softmax(1)))
    maps = []
    for image, label in zip(images, labels, strict=True):
        sigma = 0.1 * float(image.max() - image.min())
        options = {"nt_type": "smoothgrad", "nt_samples": SAMPLES, "nt_samples_batch_size": PASS, "stdevs": sigma}
        maps.append(tunnel.attribute(image[None], target=label[None], abs=False, **options)[0])
    return torch.stack(maps)


def smoothgrad(plan: Plan, bf16: bool) -> list[Row]:
    """SmoothGrad of two pictures on a freshly initialised CIFAR ResNet-18."""
    model = models.resnet18(width=plan.width).eval()
    theirs, ours = plain(model), models.fold(model)
    images, labels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([3, 5])

    def atlib(enabled: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            draws = torch.Generator().manual_seed(0)
            return saliency.smoothgrad(ours, images, labels, samples=SAMPLES, generator=draws)

    contestants: dict[str, Callable[[], Tensor]] = {
        "fp32": lambda: atlib(False),
        "captum": lambda: captum_smoothgrad(theirs, images, labels),
    }
    if bf16:
        contestants["bf16"] = lambda: atlib(True)
    found = alternate(contestants, plan.rounds, "SmoothGrad")

    def alike(name: str) -> str:
        pairs = zip(found[name].result.flatten(1), found["captum"].result.flatten(1), strict=True)
        cosine = min(float(torch.cosine_similarity(a, b, 0)) for a, b in pairs)
        return f"cosine of the maps, which draw other noise, at least {cosine:.2f}"

    what = "SmoothGrad n = 100, {}, batch norm folded"
    return [
        compare(what.format("fp32"), "captum", 0.90, found["fp32"], found["captum"], alike("fp32")),
        compare(what.format("bf16"), "captum", 0.47, found.get("bf16"), found["captum"], alike("bf16") if bf16 else ""),
    ]


def microast_tensors() -> dict[str, Tensor]:
    """Weights of MicroAST's shapes, drawn at random: their values don't matter for the time."""
    draws = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {}
    for part in ("content_encoder", "style_encoder"):
        convolutions = ((16, 3, 9, 9), (32, 1, 3, 3), (32, 32, 1, 1), (64, 1, 3, 3), (64, 64, 1, 1))
        shapes |= {f"{part}.{layer}": shape for (layer, _), shape in zip(style.ENCODER, convolutions, strict=True)}
        shapes |= {f"{part}.{block}.conv{n}": (64, 64, 3, 3) for block in ("enc1.10", "enc2.0") for n in (1, 2)}
    shapes |= {f"modulator.{kind}{n}.0": (64, 1, 3, 3) for kind in ("weight", "bias") for n in (1, 2)}
    shapes |= {f"decoder.{block}.conv{n}": (64, 64, 3, 3) for block in ("dec1", "dec2") for n in (1, 2)}
    last = {"1": (32, 2, 3, 3), "3": (32, 32, 1, 1), "6": (16, 2, 3, 3), "8": (16, 16, 1, 1), "10": (3, 16, 9, 9)}
    shapes |= {f"decoder.dec3.{layer}": shape for layer, shape in last.items()}
    tensors = {}
    for name, shape in shapes.items():
        scale = 1 / math.sqrt(math.prod(shape[1:]))
        tensors[f"{name}.conv_layer.weight"] = torch.randn(shape, generator=draws) * scale
        tensors[f"{name}.conv_layer.bias"] = torch.zeros(shape[0])
    return tensors


@torch.no_grad()
def kept_styles(plan: Plan, side: int = 224) -> list[Row]:
    """MicroAST on pictures of one style: its code kept, against encoding the style again for every picture."""
    network = style.MicroAST(microast_tensors())
    images, picture = torch.rand(plan.styled, 3, side, side), torch.rand(1, 3, side, side)
    images = images.contiguous(memory_format=torch.channels_last)
    code = network.encode(picture)
    contestants = {
        "kept": lambda: torch.cat([network.paint(one[None], code) for one in images]),
        "again": lambda: torch.cat([network.paint(one[None], network.encode(picture)) for one in images]),
    }
    found = alternate(contestants, plan.rounds, "MicroAST")
    same = bool((found["kept"].result - found["again"].result).abs().max() < 1e-4)
    row = compare(
        f"MicroAST at {side}, code of the style kept", "encoded for each picture", 1.0, found["kept"], found["again"],
        f"{plan.styled} pictures of one style; random weights of its shapes", same,
    )  # fmt: skip
    return [row]


def loop_saturation(images: Tensor, level: float) -> Tensor:
    """One picture at a time, the formula on every pixel."""
    saturated = []
    for image in images:
        centred = 2 * (image.float() / 255) - 1
        saturated.append(torch.sign(centred) * torch.abs(centred) ** (2 / level) / 2 + 0.5)
    return torch.stack(saturated)


def loop_shuffle(images: Tensor, count: int, seed: int) -> Tensor:
    """One picture at a time: cut into patches, put them together in a drawn order."""
    shuffled = []
    generator = torch.Generator().manual_seed(seed)
    for image in images:
        size = image.shape[-1] // count
        places = [(i * size, j * size) for i in range(count) for j in range(count)]
        patches = [image[:, top : top + size, left : left + size] for top, left in places]
        order = torch.randperm(len(patches), generator=generator).tolist()
        rows = [torch.cat([patches[order[i * count + j]] for j in range(count)], 2) for i in range(count)]
        shuffled.append(torch.cat(rows, 1))
    return torch.stack(shuffled)


def distortions(plan: Plan) -> list[Row]:
    """Saturation and patch-shuffle of uint8 batches against the loops."""
    rows = []
    for side, batch, reach in ((64, 256, 1 / 4), (224, 32, 1 / 2)):
        images = (torch.rand(batch, 3, side, side) * 255).byte()
        shuffles: dict[str, Callable[[], Tensor]] = {
            "ours": partial(transforms.patch_shuffle, images, 4, seed=1),
            "loop": partial(loop_shuffle, images, 4, 1),
        }
        found = alternate(shuffles, plan.rounds * 5, f"patch-shuffle {side}")
        sums = [result.result.long().sum((1, 2, 3)) for result in (found["ours"], found["loop"])]
        name = f"patch-shuffle 4×4, uint8, {batch} pictures of {side} pixels"
        rows.append(compare(name, "naive loop", reach, found["ours"], found["loop"], fair=torch.equal(*sums)))
        if side == 64:
            saturations: dict[str, Callable[[], Tensor]] = {
                "ours": partial(transforms.saturation, images, 8),
                "loop": partial(loop_saturation, images, 8),
            }
            found = alternate(saturations, plan.rounds * 5, "saturation")
            same = bool((found["ours"].result - found["loop"].result).abs().max() < 1e-5)
            name = f"saturation, uint8, {batch} pictures of {side} pixels"
            rows.append(compare(name, "naive loop", 1 / 6, found["ours"], found["loop"], fair=same))
    return rows
