"""The generated data set: silhouettes and textures that agree on the class or contradict each other.

Every picture shows one of ten silhouettes filled with one of ten textures on a plain background. The silhouette is
lighter or darker than the background, so that its shape survives if the texture is lost. The texture is a
zero-mean pattern with the same contrast for all ten, so that `amplitude`, compared with the attack's budget, decides
what an adversary can erase. Colour, place, size, tilt, phase and lightness are random and tell nothing of the class.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .choices import CUES
from .draws import rand, randn
from .errors import InputError, in_range, one_of

SIDE = 32
SILHOUETTES = ("disc", "square", "triangle", "diamond", "cross", "ring", "star", "crescent", "heart", "arrow")
TEXTURES = (
    "rows", "columns", "rising", "falling", "checks", "fine-rows", "fine-columns", "lattice", "grain", "blobs",
)  # fmt: skip
# Pictures are rounded to whole grey levels, which two processors may do differently where a value lies between two.
# Each pair is of the same training pictures: how their digest begins on an AMD EPYC, and on an Intel Xeon.
DRAWN_ALIKE = (
    ("983fa7cb0120d1c7", "b9380abebefd4c9e"),  # both cues, amplitude .12
    ("624994e8a7ced281", "d70b2940bc594fec"),  # both, .2
    ("10b65ba306f89d6b", "cdc1d0691cd12acc"),  # both, .3
    ("8419e65216d59282", "71b867c8a759f1dc"),  # shape alone, .12
    ("b2defaf4fd4d3da9", "b5adfbdc8e7cfe7d"),  # shape alone, .2
    ("ca25481589bfbce8", "8491f4778f001540"),  # shape alone, .3
    ("3319ea763edc8a90", "f6a693de6bb38a98"),  # texture alone, .12
    ("a7f085b604998c2c", "8cfdcdab756f9a7a"),  # texture alone, .2
    ("07db1b94e500de0b", "6b8fde1f8318eddf"),  # texture alone, .3
)


class Cues(NamedTuple):
    """Pictures with what they show: images uint8 N×3×32×32, silhouette and texture index (int64, N)."""

    images: Tensor
    shapes: Tensor
    textures: Tensor


def drawn_alike(one: str, other: str) -> bool:
    """Whether two digests (`training.inputs_of`) are of training pictures that are the same up to rounding."""
    known = any({one[:16], other[:16]} == set(pair) for pair in DRAWN_ALIKE)
    return one == other or known


def _silhouette(shape: int, u: Tensor, v: Tensor) -> Tensor:
    """How far inside the silhouette a point lies, in units of its radius (below 0: outside). u points right, v down."""
    radius, angle = torch.hypot(u, v), torch.atan2(u, -v)  # angle from straight up, clockwise
    match SILHOUETTES[shape]:
        case "disc":
            return 0.9 - radius
        case "square":
            return 0.8 - torch.maximum(u.abs(), v.abs())
        case "triangle":
            return torch.minimum(0.65 - v, (0.95 + v - 1.75 * u.abs()) / 2)
        case "diamond":
            return (1.05 - u.abs() * 1.3 - v.abs()) / 1.5
        case "cross":
            arm = torch.minimum(0.32 - u.abs(), 0.95 - v.abs())
            return torch.maximum(arm, torch.minimum(0.32 - v.abs(), 0.95 - u.abs()))
        case "ring":
            return torch.minimum(0.95 - radius, radius - 0.5)
        case "star":
            return (0.68 + 0.32 * torch.cos(5 * angle) - radius) / 1.5
        case "crescent":
            return torch.minimum(0.95 - radius, torch.hypot(u - 0.45, v) - 0.7)
        case "heart":
            lobes = 0.56 - torch.hypot(u.abs() - 0.42, v + 0.28)
            point = torch.minimum((0.9 - v - 1.05 * u.abs()) / 1.45, v + 0.28)
            return torch.maximum(lobes, point)
        case _:  # arrow, to the right
            shaft = torch.minimum(0.26 - v.abs(), torch.minimum(u + 0.95, 0.2 - u))
            head = torch.minimum(u + 0.05, (0.95 - u - 1.2 * v.abs()) / 1.56)
            return torch.maximum(shaft, head)


def _texture(texture: int, count: int, generator: torch.Generator) -> Tensor:
    """`count` samples of a texture with random phases, N×32×32, each of mean 0 and RMS sqrt(1/2), like a unit sine."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    first, second = rand(2, count, 1, 1, generator=generator) * 2 * math.pi
    noise = randn(count, 1, SIDE, SIDE, generator=generator)

    def wave(across: float, down: float, phase: Tensor) -> Tensor:
        return torch.sin(2 * math.pi * (x / across + y / down) + phase)

    never = math.inf  # a wave that does not change in this direction
    match TEXTURES[texture]:
        case "rows":
            pattern = wave(never, 5.0, first)
        case "columns":
            pattern = wave(5.0, never, first)
        case "rising":
            pattern = wave(6.0, 6.0, first)
        case "falling":
            pattern = wave(6.0, -6.0, first)
        case "checks":
            pattern = wave(5.0, never, first) * wave(never, 5.0, second)
        case "fine-rows":
            pattern = wave(never, 2.7, first)
        case "fine-columns":
            pattern = wave(2.7, never, first)
        case "lattice":
            pattern = wave(4.0, never, first) + wave(never, 4.0, second)
        case "grain":
            pattern = noise[:, 0]
        case _:  # blobs
            pattern = F.avg_pool2d(F.pad(noise, (2, 2, 2, 2), mode="circular"), 5, stride=1)[:, 0]
    pattern = pattern - pattern.mean((1, 2), keepdim=True)
    return pattern * (0.5 / pattern.square().mean((1, 2), keepdim=True)).sqrt()


def draw(
    shapes: Tensor,
    textures: Tensor,
    *,
    amplitude: float = 0.12,
    contrast: float = 0.25,
    noise: float = 0.04,
    generator: torch.Generator,
) -> Cues:
    """Draw one picture for each pair of silhouette and texture index (int64, N).

    amplitude: peak of a sine texture, in units of the [0, 1] range; contrast: difference in lightness between
    silhouette and background; noise: standard deviation of pixel noise; all in [0, 1]. Returns uint8 images, N×3×32×32.
    InputError for a number out of range, an index that no silhouette or texture has, or another number of textures.
    """
    if shapes.shape != textures.shape:
        raise InputError(f"textures = {tuple(textures.shape)}: must be as many as shapes, {tuple(shapes.shape)}")
    for name, value in (("amplitude", amplitude), ("contrast", contrast), ("noise", noise)):
        in_range(name, value, 0, 1)
    for name, indices in (("shapes", shapes), ("textures", textures)):
        for index in indices.unique().tolist():
            in_range(name, index, 0, len(SILHOUETTES) - 1, whole=True)
    count = len(shapes)

    def uniform(low: float, high: float) -> Tensor:
        return rand(count, 1, 1, generator=generator) * (high - low) + low

    size, tilt = uniform(9.5, 13.0), uniform(-0.2, 0.2)
    centre = (SIDE - 1) / 2
    axis = torch.arange(SIDE, dtype=torch.float32) - centre
    x, y = axis[None, None, :] - uniform(-2.5, 2.5), axis[None, :, None] - uniform(-2.5, 2.5)
    u, v = (x * tilt.cos() + y * tilt.sin()) / size, (y * tilt.cos() - x * tilt.sin()) / size
    inside, pattern = torch.empty(2, count, SIDE, SIDE, dtype=torch.float32)
    for index in range(len(SILHOUETTES)):
        chosen = shapes == index
        inside[chosen] = _silhouette(index, u[chosen], v[chosen])
        pattern[textures == index] = _texture(index, int((textures == index).sum()), generator)
    cover = (inside * size + 0.5).clamp(0, 1)  # one pixel of soft edge
    sign = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    grey = uniform(0.4, 0.6) + cover * (sign * contrast / 2 + amplitude * pattern) - (1 - cover) * sign * contrast / 2
    tint = (rand(count, 3, 1, 1, generator=generator) - 0.5) * 0.1
    grain = randn(count, 3, SIDE, SIDE, generator=generator) * noise
    pictures = grey[:, None] + tint + grain
    return Cues((pictures * 255).round().clamp(0, 255).to(torch.uint8), shapes, textures)


def pairs(kind: str, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Silhouette and texture indices: "agree" (one class, both cues), "independent", or "conflict".

    "conflict" goes through all 90 pairs of a silhouette with every other texture in turn, so that a multiple of 90
    pictures holds each pair equally often. InputError for another kind or a negative count.
    """
    in_range("count", count, 0, whole=True)
    one_of("kind", kind, ("agree", "independent", "conflict"))
    classes = len(SILHOUETTES)
    shapes = torch.arange(count) % classes
    if kind == "agree":
        textures = shapes.clone()
    elif kind == "conflict":
        textures = (shapes + 1 + torch.arange(count) // classes % (classes - 1)) % classes
    else:
        textures = torch.randint(classes, (count,), generator=generator)
    return shapes, textures


def generate(
    *,
    amplitude: float = 0.12,
    contrast: float = 0.25,
    noise: float = 0.04,
    train_count: int = 5000,
    test_count: int = 1000,
    conflict_count: int = 1800,
    cue: str = "both",
    data_seed: int = 0,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Cues, tuple[str, ...]]:
    """The data set: (images, labels) to train on, (images, labels) to test on, the cue-conflict split, class names.

    cue: "both" pairs each silhouette with its own texture; "shape" and "texture" draw the pairs independently and
    take the label from that cue alone, to see what a network can do with it. Equal arguments give equal pictures, but
    for a handful of values, which another kind of processor may round to the next of 256 levels.
    InputError names an argument out of range.
    """
    for name, value, high in (
        ("amplitude", amplitude, 0.5),
        ("contrast", contrast, 0.5),
        ("noise", noise, 0.3),
    ):
        in_range(name, value, 0, high)
    for name, value in (
        ("train_count", train_count),
        ("test_count", test_count),
        ("conflict_count", conflict_count),
    ):
        in_range(name, value, 10, 1_000_000, whole=True)
    in_range("data_seed", data_seed, 0, (2**32 - 3) // 10, whole=True)
    one_of("cue", cue, CUES)

    def split(kind: str, count: int, number: int) -> Cues:
        generator = torch.Generator().manual_seed(data_seed * 10 + number)
        shapes, textures = pairs(kind, count, generator)
        return draw(shapes, textures, amplitude=amplitude, contrast=contrast, noise=noise, generator=generator)

    kind = "agree" if cue == "both" else "independent"
    train, test = split(kind, train_count, 0), split(kind, test_count, 1)
    conflict = split("conflict", conflict_count, 2)
    label = "textures" if cue == "texture" else "shapes"
    classes = tuple(f"{s}/{t}" for s, t in zip(SILHOUETTES, TEXTURES, strict=True))
    return (train.images, getattr(train, label)), (test.images, getattr(test, label)), conflict, classes
