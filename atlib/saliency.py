"""Saliency maps: how the log-probability of a class changes with each pixel (the paper's section 2.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attacks import frozen, input_gradient
from .errors import in_range


def _log_probability(logits: Tensor, labels: Tensor) -> Tensor:
    return -F.cross_entropy(logits.float(), labels, reduction="none")


def grad(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Equation 2 with S_c = log p_c: signed gradients, N×C×H×W, for images in [0, 1] and labels c (int64, N)."""
    with frozen(model):
        return input_gradient(model, images, labels, _log_probability)[0]


def smoothgrad(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    samples: int = 100,
    sigma: float = 0.1,
    chunk: int = 64,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Equation 3 (Smilkov et al. 2017): the mean signed gradient over noisy copies, N×C×H×W.

    samples: n of the equation; sigma: standard deviation of the noise as a share of each image's own range; noisy
    copies are not clipped. chunk: gradients a pass. Equal generators give equal maps, whatever the chunk's size up to
    rounding. InputError for a parameter out of range.
    """
    in_range("samples", samples, 1, whole=True)
    in_range("sigma", sigma, 0)
    in_range("chunk", chunk, 1, whole=True)
    device = generator.device if generator is not None else images.device
    maps = torch.zeros_like(images)
    for index, image in enumerate(images):
        scale = sigma * (image.max() - image.min())
        noise = torch.randn((samples, *image.shape), generator=generator, device=device).to(images)
        target = labels[index].expand(samples)
        for part, some in zip(noise.split(chunk), target.split(chunk), strict=True):
            maps[index] += grad(model, image + scale * part, some).sum(0)
    return maps / samples


def picture(maps: Tensor, percentile: float = 0.99) -> Tensor:
    """Maps as the paper draws them: absolute value, summed over channels, clipped at a percentile; N×H×W in [0, 1].

    Each map is scaled by itself, so that differences in the gradients' size between networks do not show.
    """
    strength = maps.abs().sum(1)
    top = strength.flatten(1).quantile(percentile, dim=1).clamp_min(1e-12)
    return (strength / top.view(-1, 1, 1)).clamp(0, 1)
