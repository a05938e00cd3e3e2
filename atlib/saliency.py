"""Saliency maps: how the log-probability of a class changes with each pixel (the paper's section 2.2)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InputError, in_range
from .gradients import check_floats, class_labels, frozen, highest_of, input_gradient, log_odds
from .transforms import check_range

SAMPLES = 100  # n of equation 3, as in the paper


def _check(images: Tensor, labels: Tensor) -> Tensor:
    """The labels as int64; InputError for images outside [0, 1], or images or labels of another type or shape."""
    check_floats(images)
    check_range(images)
    return class_labels(labels, images)


def grad(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Equation 2 with S_c = log p_c: signed gradients, N×C×H×W, for images in [0, 1] and labels c (whole numbers, N).

    log p_c = −softplus(m) with the log-odds m against c (`gradients.log_odds`), so its gradient is −sigmoid(m)·∇m: no
    digits are lost where p_c rounds to 1. (Below 10⁻³⁸, beyond log-odds of −87, single precision can't represent such
    numbers.) InputError for images outside [0, 1] or not finite, images or labels of another type or shape, or a label
    that is none of the classes.
    """
    labels = _check(images, labels)
    return _grad(model, images, labels, highest_of(labels))


def _grad(model: nn.Module, images: Tensor, labels: Tensor, highest: int) -> Tensor:
    """`grad` without its checks: SmoothGrad's noisy copies leave [0, 1]. highest: the largest label."""
    with frozen(model):
        gradient, logits = input_gradient(model, images, labels, highest)
        weight = torch.sigmoid(log_odds(logits, labels, highest).double())
        return (-weight.view(-1, 1, 1, 1) * gradient).to(gradient)


def smoothgrad(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    samples: int = SAMPLES,
    sigma: float = 0.1,
    chunk: int = 64,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Equation 3 (Smilkov et al. 2017): the mean signed gradient over noisy copies, N×C×H×W.

    samples: n of the equation; sigma: standard deviation of the noise as a share of each image's own range; noisy
    copies are not clipped. chunk: gradients per pass. Equal generators give equal maps, whatever the chunk's size up to
    rounding. InputError for a parameter out of range, and as for `grad`.
    """
    labels = _check(images, labels)
    in_range("samples", samples, 1, whole=True)
    in_range("sigma", sigma, 0)
    in_range("chunk", chunk, 1, whole=True)
    highest = highest_of(labels)
    device = generator.device if generator is not None else images.device
    maps = torch.zeros_like(images)
    for index, image in enumerate(images):
        scale = sigma * (image.max() - image.min())
        # the type is named so that the draws are the same whatever torch's default type
        noise = torch.randn((samples, *image.shape), generator=generator, device=device, dtype=torch.float32).to(images)
        target = labels[index].expand(samples)
        for part, some in zip(noise.split(chunk), target.split(chunk), strict=True):
            maps[index] += _grad(model, image + scale * part, some, highest).sum(0)
    return maps / samples


def magnitude(maps: Tensor) -> Tensor:
    """How much each pixel matters: absolute values, summed over channels; N×C×H×W to N×H×W."""
    return maps.abs().sum(1)


def picture(maps: Tensor, percentile: float = 0.99) -> Tensor:
    """Maps as the paper draws them: absolute value, summed over channels, clipped at a percentile; N×H×W in [0, 1].

    percentile: as a fraction. Each map is scaled by itself, however small its values, so that differences in the
    gradients' size between networks do not show; a map of zeros is black. InputError for a percentile outside [0, 1].
    """
    in_range("percentile", percentile, 0, 1)
    if not maps.numel():
        return maps.new_zeros(len(maps), *maps.shape[2:])
    strength = magnitude(unit(maps))
    flat = strength.flatten(1)
    top, most = flat.quantile(percentile, dim=1), flat.amax(1)
    # if so few pixels are nonzero that the percentile itself is 0, they are drawn at full strength
    top = torch.where(top > 0, top, torch.where(most > 0, flat.where(flat > 0, math.inf).amin(1), 1.0))
    return (strength / top.view(-1, 1, 1)).clamp(0, 1).to(maps)


# --- What "sparser" and "smoother" mean in numbers --------------------------------------------------------------------


def unit(maps: Tensor) -> Tensor:
    """Each map in double precision, its largest absolute value 1; a map of zeros stays as it is.

    The gradients of a very confident network are as small as 1e-20, so that any threshold would decide the outcome.
    """
    maps = maps.double()
    top = maps.abs().flatten(1).amax(1).view(-1, *[1] * (maps.ndim - 1))
    return maps / torch.where(top > 0, top, torch.ones_like(top))


def gini(maps: Tensor) -> Tensor:
    """Gini coefficient of the magnitudes: 0 if all pixels matter equally, near 1 if few matter (Chalasani et al. 2020).

    Signed maps N×C×H×W to N float32 values: 0 for a map of zeros, NaN for one that holds NaN.
    """
    values = magnitude(unit(maps)).flatten(1).sort(1).values
    n = values.shape[1]
    rank = torch.arange(1, n + 1, device=values.device, dtype=values.dtype)
    total = values.sum(1)
    found = 2 * (rank * values).sum(1) / (n * total) - (n + 1) / n
    return torch.where(total == 0, torch.zeros_like(found), found).float()


def edges(images: Tensor) -> Tensor:
    """Strength of the Sobel edges of the grey picture (mean over channels, borders repeated), N×H×W."""
    grey = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=images.device, dtype=images.dtype)
    both = F.conv2d(grey, torch.stack([across, across.T])[:, None])
    return both.square().sum(1).sqrt()


def _check_alike(maps: Tensor, others: Tensor, name: str) -> None:
    """InputError unless maps have the shape of what they are compared with: it would be broadcast."""
    if maps.shape != others.shape:
        raise InputError(f"maps = {tuple(maps.shape)}: must have the shape of {name}, {tuple(others.shape)}")


def correlation(one: Tensor, two: Tensor) -> Tensor:
    """Pearson's correlation over the pixels of each pair, N×H×W; 0 where one of them is constant."""
    _check_alike(one, two, "the other maps")
    a, b = (x.flatten(1).double() - x.flatten(1).double().mean(1, keepdim=True) for x in (one, two))
    norms = a.norm(dim=1) * b.norm(dim=1)
    found = (a * b).sum(1) / norms.clamp_min(1e-12)
    return torch.where(norms <= 1e-12, torch.zeros_like(norms), found).float()


def edge_correlation(maps: Tensor, originals: Tensor) -> Tensor:
    """Correlation of the magnitudes with the edges of the clean originals, in [−1, 1].

    Pixels at the border count; the edges there are those of the picture with its border pixels repeated.

    Signed maps N×C×H×W and originals N×C×H×W in [0, 1] to N float32 values; NaN for a map that holds NaN. InputError
    for another number or size of originals.
    """
    strength, drawn = magnitude(unit(maps)), edges(originals)
    _check_alike(strength, drawn, "the originals' edges")  # they may have another number of channels
    return correlation(strength, drawn)


def high_frequency(maps: Tensor, cutoff: float = 0.25) -> Tensor:
    """Share of the magnitudes' power, their mean apart, at frequencies above `cutoff` of Nyquist; 0 for a flat map.

    Signed maps N×C×H×W to N float32 values in [0, 1]; NaN for a map that holds NaN. InputError for a negative cutoff.
    """
    in_range("cutoff", cutoff, 0)
    if not maps.numel():  # of which there is no transform
        return maps.new_zeros(len(maps), dtype=torch.float32)
    power = torch.fft.fft2(magnitude(unit(maps))).abs().square()
    power[:, 0, 0] = 0
    y, x = (torch.fft.fftfreq(side, device=maps.device) / 0.5 for side in power.shape[1:])
    above = (y[:, None].square() + x.square()).sqrt() > cutoff
    total = power.sum((1, 2))
    share = (power * above).sum((1, 2)) / total.clamp_min(1e-300)
    return torch.where(total <= 1e-18, torch.zeros_like(share), share).float()


def alignment(maps: Tensor, images: Tensor) -> Tensor:
    """|cosine| between the signed map and its image (Etmann et al. 2019, without the scale), in [0, 1].

    Signed maps N×C×H×W and images of the same shape to N float32 values; NaN for a map that holds NaN. InputError for
    images of another shape.
    """
    _check_alike(maps, images, "images")
    return F.cosine_similarity(unit(maps).flatten(1), images.flatten(1).double(), dim=1).abs().float()


def map_distance(one: Tensor, two: Tensor) -> Tensor:
    """Euclidean distance between the magnitudes, each scaled to length 1: 0 if equal, 1.41 if nothing is shared.

    A map of zeros has distance 1 from any other.
    Two batches of signed maps, N×C×H×W, to N float32 values; NaN where one holds NaN. InputError for unequal shapes.
    The paper's section 5 speaks of an average distance between maps and doesn't define it; this is ours.
    """
    _check_alike(one, two, "the other maps")
    a, b = (F.normalize(magnitude(unit(maps)).flatten(1), dim=1) for maps in (one, two))
    return (a - b).norm(dim=1).float()
