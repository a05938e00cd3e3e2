"""Abstract pictures to take styles from, generated here so that nothing is downloaded and no one else holds rights.

Each is a field of values (waves, cells, strokes, blobs, dots or weave) bent by a slow random flow, and coloured with a
random palette, smoothly or in steps. Number i of a seed is the same whatever the count.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .draws import rand, randn
from .errors import in_range

SIDE = 256


def _uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return rand(*shape, generator=generator) * (high - low) + low


def _smooth(generator: torch.Generator, cells: int, channels: int = 1) -> Tensor:
    """Random values that change over about 1/cells of the side, of mean 0 and standard deviation 1; C×SIDE×SIDE."""
    coarse = randn(1, channels, cells + 3, cells + 3, generator=generator)
    field = F.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")[0]
    return (field - field.mean((1, 2), keepdim=True)) / field.std((1, 2), keepdim=True)


def _place(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Coordinates x, y in units of the side, turned and bent."""
    axis = torch.arange(SIDE, dtype=torch.float32) / SIDE
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    bend = float(_uniform(generator, 0, 0.05)) * _smooth(generator, 3, 2)
    turn = float(_uniform(generator, 0, math.pi))
    u, v = x + bend[0], y + bend[1]
    return u * math.cos(turn) + v * math.sin(turn), v * math.cos(turn) - u * math.sin(turn)


def _waves(generator: torch.Generator) -> Tensor:
    u, v = _place(generator)
    one, two = _uniform(generator, 6, 30, 2).tolist()
    return torch.sin(2 * math.pi * one * u) + 0.5 * torch.sin(2 * math.pi * two * v + 3 * u)


def _cells(generator: torch.Generator) -> Tensor:
    u, v = _place(generator)
    count = int(_uniform(generator, 200, 1500))
    seeds = _uniform(generator, -1.5, 1.5, count, 2) * 1.2
    near = torch.cdist(torch.stack([u, v], -1).reshape(-1, 2), seeds).topk(2, largest=False)
    own = rand(count, generator=generator)[near.indices[:, 0]].reshape(SIDE, SIDE)
    border = (near.values[:, 1] - near.values[:, 0]).reshape(SIDE, SIDE)
    # shaded within a cell, since equal values would be coloured by their place in the picture
    return own + 0.1 * _smooth(generator, 12)[0] - 1.5 * (border < 0.01).float()


def _strokes(generator: torch.Generator) -> Tensor:
    """Noise smeared along a slow flow: every point is a mean over a path of a few pixels to both sides."""
    noise = randn(1, 1, SIDE, SIDE, generator=generator)
    angle = float(_uniform(generator, 0.5, 1.5)) * _smooth(generator, 3)[0]
    step = torch.stack([angle.cos(), angle.sin()], -1)[None] * 2 / SIDE
    axis = (2 * torch.arange(SIDE, dtype=torch.float32) + 1) / SIDE - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    start, reach = torch.stack([x, y], -1)[None], int(_uniform(generator, 6, 14))
    noise = F.avg_pool2d(noise, 3, 1, 1)
    path = [F.grid_sample(noise, start + n * step, align_corners=False) for n in range(-reach, reach + 1)]
    return torch.stack(path).mean(0)[0, 0]


def _blobs(generator: torch.Generator) -> Tensor:
    cells = int(_uniform(generator, 8, 40))
    return _smooth(generator, cells)[0] + 0.4 * _smooth(generator, 2 * cells)[0]


def _dots(generator: torch.Generator) -> Tensor:
    u, v = _place(generator)
    count, radius = float(_uniform(generator, 8, 24)), float(_uniform(generator, 0.2, 0.45))
    across, down = (u * count) % 1 - 0.5, (v * count) % 1 - 0.5
    return (torch.hypot(across, down) < radius).float() + 0.3 * _smooth(generator, 12)[0]


def _weave(generator: torch.Generator) -> Tensor:
    u, v = _place(generator)
    count = float(_uniform(generator, 8, 28))
    over = ((u * count).floor() + (v * count).floor()) % 2
    thread = torch.where(over > 0, (u * count) % 1, (v * count) % 1)
    return over + torch.sin(math.pi * thread) + 0.1 * randn(SIDE, SIDE, generator=generator)


KINDS: tuple[Callable[[torch.Generator], Tensor], ...] = (_waves, _cells, _strokes, _blobs, _dots, _weave)


def _coloured(field: Tensor, generator: torch.Generator) -> Tensor:
    """A field in the colours of a random palette, in equal shares; of stepped ones the first and last have half one."""
    colours = rand(int(_uniform(generator, 3, 7)), 3, generator=generator)
    steps = float(rand(generator=generator)) < 0.5
    rank = field.flatten().argsort().argsort().reshape(SIDE, SIDE).float() / (SIDE * SIDE - 1) * (len(colours) - 1)
    below = (rank.round() if steps else rank.floor()).long().clamp(max=len(colours) - 1)
    share = (rank - below).clamp(0, 1) * (0.0 if steps else 1.0)
    mixed = torch.lerp(colours[below], colours[(below + 1).clamp(max=len(colours) - 1)], share[..., None])
    light = 1 + 0.12 * _smooth(generator, 6)[0] + 0.06 * randn(SIDE, SIDE, generator=generator)
    return (mixed * light[..., None]).clamp(0, 1).permute(2, 0, 1)


def picture(number: int, seed: int = 0) -> Tensor:
    """One picture, uint8, 3×256×256; the six kinds take turns. InputError unless the seed is one of 32 bits."""
    in_range("seed", seed, 0, 2**32 - 1, whole=True)
    generator = torch.Generator().manual_seed((seed * 0x9E3779B1 + number) % 2**32)
    field = KINDS[number % len(KINDS)](generator)
    return (_coloured(field, generator) * 255).round().byte()


def generate(count: int = 60, seed: int = 0) -> Tensor:
    """`count` pictures, uint8, N×3×256×256.

    InputError unless count is a whole number from 1 to 100,000, and seed one of 32 bits.
    """
    in_range("count", count, 1, 100_000, whole=True)
    in_range("seed", seed, 0, 2**32 - 1, whole=True)  # a larger one would give the pictures of a smaller one
    return torch.stack([picture(number, seed) for number in range(count)])
