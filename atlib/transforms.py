"""What is done to pictures apart from attacks: pure functions of images, N×3×H×W, on any device.

Images are uint8, or of any floating-point type with values in [0, 1]. Every function raises InputError for other types
and shapes, `distort` also for values outside [0, 1]. All functions return float images, of the input's type if that is
float; only patch_shuffle, which moves pixels without changing them, returns the type it was given. `numbers` holds each
image's index in its test set.

DISTORTIONS lists the distortions that every network is shown, with their levels, under the names that rows have.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .data.batches import sent
from .draws import rand, randn
from .errors import InputError, in_range, one_of

SIDE = 32  # the side at which the strength of a blur is given
SEEDS = 2**32  # the number of seeds: torch's generators use only the lower 32 bits
ROUNDING = 1e-5  # how far a value may lie outside [0, 1]: an antialiased resize in single precision gives 1.0000002


def check_images(images: Tensor) -> None:
    """InputError unless images are N×C×H×W, uint8 or floating point: other whole numbers have no known range."""
    if not isinstance(images, Tensor):
        raise InputError(f"images = a {type(images).__name__}: must be a tensor, N×3×H×W")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise InputError(f"images = {images.dtype}: must be uint8, or floating point in [0, 1]")
    if images.dim() != 4:
        raise InputError(f"images = a tensor of shape {tuple(images.shape)}: must be N×3×H×W")


def check_range(images: Tensor) -> None:
    """InputError unless the values of float images lie in [0, 1], up to ROUNDING; NaN does not."""
    if not images.is_floating_point() or not images.numel():
        return
    low, high = images.detach().aminmax()
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):
        raise InputError(f"images = [{low:.7g}, {high:.7g}]: must lie in [0, 1]")


def pixels(images: Tensor) -> Tensor:
    """Images converted to float in [0, 1]; InputError as for `check_images`."""
    check_images(images)
    return images / 255 if images.dtype == torch.uint8 else images


def numbered(images: Tensor, numbers: Sequence[int] | None) -> Sequence[int]:
    """The images' numbers, by default 0, 1, …; InputError unless there is a whole one for each image."""
    if numbers is None:
        return range(len(images))
    try:
        found = [operator.index(number) for number in numbers]
    except TypeError:
        raise InputError(f"numbers = {numbers!r:.60}: must be whole numbers, one for each image") from None
    if found:
        in_range("numbers", min(found), 0, whole=True)
        in_range("numbers", max(found), 0, SEEDS - 1, whole=True)
    if len(found) != len(images):
        raise InputError(f"numbers = {len(found)} of them: must be one for each image, {len(images)}")
    return found


def each(numbers: Sequence[int], seed: int, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
    """What `draw` gives for each image, stacked: it depends on the seed and the image's number, not on its batch.

    InputError for a seed of more than 32 bits, which would give the same draws as a smaller one.
    """
    in_range("seed", seed, 0, SEEDS - 1, whole=True)
    # the golden ratio keeps the seeds far from each other
    seeds = [(int(seed) * 0x9E3779B1 + int(number)) % SEEDS for number in numbers]
    return torch.stack([draw(torch.Generator().manual_seed(one)) for one in seeds])


def noise(
    images: Tensor,
    sigma: float,
    generator: torch.Generator | None = None,
    *,
    seed: int = 0,
    numbers: Sequence[int] | None = None,
) -> Tensor:
    """Add Gaussian noise of standard deviation `sigma` (as a fraction of [0, 1]) to every value, then clamp to [0, 1].

    Drawn for the whole batch from `generator`, on its device, if there is one; else on the CPU, so that a seed gives
    the same noise on every device, for each image from `seed` and its number (0, 1, … unless `numbers` are given).
    InputError if sigma is negative, for a seed of more than 32 bits, or if there is not one number per image.
    """
    in_range("sigma", sigma, 0)
    shown = pixels(images)
    if generator is not None or not len(images):
        draws = randn(*images.shape, generator=generator)
    else:
        draws = each(numbered(images, numbers), seed, lambda own: randn(*images.shape[1:], generator=own))
    return (shown + sigma * sent(draws, shown.device).to(shown)).clamp(0, 1)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur whose standard deviation is `sigma` pixels at side 32, scaled by the side; borders are mirrored.

    InputError if sigma is negative, or so large that the kernel (six standard deviations) exceeds the picture.
    """
    in_range("sigma", sigma, 0)
    images = pixels(images)
    with torch.autocast(images.device.type, enabled=False):  # in half precision it would round the pictures
        return _blurred(images, sigma)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    if sigma == 0:
        return images.clone()
    kind = images.dtype  # in half precision the kernel's sum is not one, so that the blur would change the brightness
    images = images.to(torch.promote_types(kind, torch.float32))
    side = min(images.shape[-2:])
    scaled = sigma * side / SIDE  # in pixels
    reach = math.ceil(3 * scaled)
    if reach >= side:
        most = math.floor((side - 1) * SIDE / (3 * side) * 100) / 100  # rounded down, as it is a bound
        raise InputError(f"sigma = {sigma:g}: must be at most {most:g}, its kernel has to fit into the picture")
    # torchvision's gaussian_blur, operation by operation and so bit for bit, for machines that have none
    offsets = torch.linspace(-float(reach), float(reach), 2 * reach + 1, dtype=images.dtype, device=images.device)
    density = torch.exp(-0.5 * (offsets / scaled).pow(2))
    line = density / density.sum()
    kernel = torch.mm(line[:, None], line[None, :]).expand(images.shape[-3], 1, -1, -1)
    padded = F.pad(images, [reach] * 4, mode="reflect")
    return F.conv2d(padded, kernel, groups=images.shape[-3]).clamp(0, 1).to(kind)


# --- The paper's distortions -----------------------------------------------------------------------------------------


def saturation(images: Tensor, level: float) -> Tensor:
    """v → sign(2v − 1)·|2v − 1|^(2/level)/2 + 1/2 (the paper's 4.2.2); uint8 or float images to float ones.

    level: 2 changes nothing, smaller ones move every value towards grey, larger ones towards 0 or 1; at 0 all is grey
    and at infinity (math.inf) all is 0 or 1, except the values that the formula leaves alone at every level: 0, 1/2, 1.
    uint8 images go through a table of 256 entries. InputError for a level that is negative or not a number.
    """
    known: Any = level  # a bool is a number to Python
    if isinstance(known, bool) or not isinstance(known, Real) or not level >= 0:
        raise InputError(f"level = {level!r}: must be a number at least 0, or infinite")
    check_images(images)
    if images.dtype == torch.uint8:
        table = _saturated(torch.arange(256, device=images.device) / 255, float(level))
        return table.index_select(0, images.flatten().int()).view(images.shape)  # four times as fast as table[…]
    return _saturated(images, float(level))


def _saturated(values: Tensor, level: float) -> Tensor:
    if level == 2:
        return values.clone()
    # At level 0 the exponent is infinite, and so would be 1.0000002 raised to it. At level infinity the exponent is 0,
    # and 0**0 is 1; the sign of grey, 0, keeps it at 1/2.
    centred = (2 * values - 1).clamp(-1, 1)
    exponent = 2 / level if level else math.inf
    strength = centred.abs() ** exponent
    return (centred.sign() * strength + 1) / 2


def patch_shuffle(images: Tensor, count: int, *, seed: int = 0, numbers: Sequence[int] | None = None) -> Tensor:
    """Cut each image into count×count patches and reassemble them in a random order (the paper's 4.2.3).

    The order is drawn for each image from `seed` and its number (`numbers`, default 0, 1, …); for count > 1 it is never
    the original order. uint8 or float. InputError unless `count` divides both sides and there is one number per image.
    """
    check_images(images)
    numbers = numbered(images, numbers)
    in_range("count", count, 1, min(images.shape[-2:]), whole=True)
    for side in images.shape[-2:]:
        if side % count:
            raise InputError(f"count = {count}: must divide the side, {side}")
    if count == 1 or not len(images):
        return images.clone()
    n, channels, height, width = images.shape
    count = int(count)
    h, w = height // count, width // count

    def draw(generator: torch.Generator) -> Tensor:
        same = torch.arange(count * count)
        while torch.equal(order := torch.randperm(count * count, generator=generator), same):
            pass
        return order

    order = each(numbers, seed, draw).view(n, count, 1, count)
    # a patch is h runs of w pixels; every run of the result is copied once, from where it was
    down, across = order // count * h + torch.arange(h).view(1, 1, h, 1), (order % count).expand(n, count, h, count)
    pieces = (down * count + across).reshape(n, 1, -1) + torch.arange(n * channels).view(
        n, channels, 1
    ) * height * count
    taken = images.reshape(-1, w).index_select(0, pieces.flatten().to(images.device))
    return taken.view(n, channels, height, width)


def frequencies(height: int, width: int) -> Tensor:
    """Distance from zero frequency of every coefficient of `torch.fft.rfft2`, in units of the Nyquist frequency."""
    y, x = torch.fft.fftfreq(height) / 0.5, torch.fft.rfftfreq(width) / 0.5
    return (y[:, None] ** 2 + x[None] ** 2).sqrt()


def keep(images: Tensor, kept: Tensor) -> Tensor:
    """The images with only the coefficients of `torch.fft.rfft2` where `kept` is true, clamped to [0, 1].

    The mean of each channel is always kept. (The official code drops it in its high-pass filter, which makes pictures
    dark and so confounds brightness with frequency, and it doesn't clamp.) Half-precision images are transformed in
    float32, since CPUs can't transform them and GPUs only at some sizes, and returned in their own type.
    """
    shown, kept = pixels(images), kept.to(images.device).clone()
    kept[..., 0, 0] = True
    if not len(shown):  # which no Fourier transform takes
        return shown.clone()
    wide = shown.to(torch.promote_types(shown.dtype, torch.float32))
    filtered = torch.fft.irfft2(torch.fft.rfft2(wide) * kept, s=images.shape[-2:])
    return filtered.clamp(0, 1).to(shown.dtype)


def low_pass(images: Tensor, cutoff: float) -> Tensor:
    """Keep the frequencies up to `cutoff`, in units of the Nyquist frequency; InputError if negative.

    The released code's filters are the complement of a disc: at side 224 its radius of 120 keeps frequencies up to .58
    along the axes and .33 along the diagonals, 144 (its loaders') up to .17 and .12, 148 up to .12 and .08.
    """
    in_range("cutoff", cutoff, 0)
    check_images(images)
    return keep(images, frequencies(*images.shape[-2:]) <= cutoff)


def high_pass(images: Tensor, cutoff: float) -> Tensor:
    """Keep the mean and the frequencies above `cutoff`, in units of the Nyquist frequency. InputError if negative.

    The released code's radii of 142 to 148 drop frequencies below .20 to .12 along the axes, .13 to .08 diagonally.
    """
    in_range("cutoff", cutoff, 0)
    check_images(images)
    return keep(images, frequencies(*images.shape[-2:]) > cutoff)


def random_drop(images: Tensor, share: float, *, seed: int = 0, numbers: Sequence[int] | None = None) -> Tensor:
    """Drop each frequency of each channel, with its conjugate, with probability `share`; the image stays real.

    Drawn for each image from `seed` and its number. InputError unless share is in [0, 1] and there is one
    number per image.
    """
    in_range("share", share, 0, 1)
    check_images(images)
    numbers = numbered(images, numbers)
    if not len(images):
        return pixels(images).clone()
    n, channels, height, width = images.shape
    y, x = torch.arange(height)[:, None], torch.arange(width)
    own, conjugate = y * width + x, (-y % height) * width + (-x % width)
    # one draw for both frequencies of a conjugate pair
    canonical = torch.minimum(own, conjugate)[:, : width // 2 + 1].reshape(-1)

    def draw(generator: torch.Generator) -> Tensor:
        return rand(channels, height * width, generator=generator)[:, canonical] >= share

    kept = each(numbers, seed, draw)
    return keep(images, kept.reshape(n, channels, height, width // 2 + 1))


# --- What every network is shown -------------------------------------------------------------------------------------


class Distortion(NamedTuple):
    """levels: as rows name them; change: (images, level, numbers of the images in their test set, seed) to images."""

    levels: tuple[str, ...]
    change: Callable[[Tensor, float, Sequence[int], int], Tensor]


DISTORTIONS: dict[str, Distortion] = {
    "saturation": Distortion(
        ("0", "0.25", "0.5", "1", "2", "4", "8", "16", "64", "1024", "inf"),
        lambda images, level, numbers, seed: saturation(images, level),
    ),
    "patch-shuffle": Distortion(
        ("1", "2", "4", "8"),
        lambda images, level, numbers, seed: patch_shuffle(images, int(level), seed=seed, numbers=numbers),
    ),
    "low-pass": Distortion(("0.1", "0.2", "0.3", "0.5"), lambda images, level, numbers, seed: low_pass(images, level)),
    "high-pass": Distortion(
        ("0.1", "0.2", "0.3", "0.5"), lambda images, level, numbers, seed: high_pass(images, level)
    ),
    "random-drop": Distortion(
        ("0.1", "0.3", "0.5"),
        lambda images, level, numbers, seed: random_drop(images, level, seed=seed, numbers=numbers),
    ),
    "noise": Distortion(
        ("0.05", "0.1", "0.2"),
        lambda images, level, numbers, seed: noise(images, level, seed=seed, numbers=numbers),
    ),
    "blur": Distortion(("0.5", "1", "2"), lambda images, level, numbers, seed: blur(images, level)),
}


def levels(name: str, side: int) -> tuple[str, ...]:
    """The levels of a distortion that pictures of this side can be shown at: patches have to divide it.

    InputError for a name that is not among DISTORTIONS.
    """
    one_of("distortion", name, DISTORTIONS)
    every = DISTORTIONS[name].levels
    return tuple(level for level in every if side % int(level) == 0) if name == "patch-shuffle" else every


def distort(images: Tensor, name: str, level: str, numbers: Sequence[int], seed: int = 0) -> Tensor:
    """One of DISTORTIONS by its name and level, of images N×3×H×W.

    numbers: the images' indices in their test set; with the seed they determine all random draws, so that every network
    is shown the same images. InputError for an unknown name, a level that is not a number (for patches: not a
    whole number), values outside [0, 1], or a count of numbers other than that of the images.
    """
    one_of("distortion", name, DISTORTIONS)
    check_images(images)
    check_range(images)
    try:
        strength = float(level)
    except (TypeError, ValueError):
        raise InputError(f"level = {level!r}: must be a number, for instance {DISTORTIONS[name].levels[0]}") from None
    if name == "patch-shuffle" and not strength.is_integer():
        raise InputError(f"level = {level!r}: must be a whole number, for instance {DISTORTIONS[name].levels[0]}")
    shown = images.clamp(0, 1) if images.is_floating_point() else images  # `check_range` lets rounding errors pass
    return DISTORTIONS[name].change(shown, strength, numbered(images, numbers), seed)
