"""What is done to pictures apart from attacks: pure functions of float images in [0, 1], N×3×H×W, on any device."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .errors import InputError, in_range

SIDE = 32  # the side at which the strength of a blur is given


def noise(images: Tensor, sigma: float, generator: torch.Generator | None = None) -> Tensor:
    """Gaussian noise of standard deviation `sigma` (in units of the range) on every value, clamped to [0, 1].

    Drawn on the CPU, so that one seed gives one noise on every device. InputError if sigma is negative.
    """
    in_range("sigma", sigma, 0)
    draws = torch.randn(images.shape, generator=generator).to(images)
    return (images + sigma * draws).clamp(0, 1)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur whose standard deviation is `sigma` pixels at side 32, scaled by the side; borders are mirrored.

    InputError if sigma is negative, or so large that the kernel (six standard deviations) exceeds the picture.
    """
    in_range("sigma", sigma, 0)
    if sigma == 0:
        return images.clone()
    from ._torchvision import torchvision

    side = min(images.shape[-2:])
    pixels = sigma * side / SIDE
    reach = math.ceil(3 * pixels)
    if reach >= side:
        raise InputError(f"sigma = {sigma:g}: must be below {SIDE / 3:.0f}, its kernel has to fit into the picture")
    size = [2 * reach + 1] * 2
    return torchvision.transforms.functional.gaussian_blur(images, size, [pixels, pixels]).clamp(0, 1)
