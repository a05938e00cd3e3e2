"""Noise and blur: ranges, identities, scale with the side, and against plain references."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atlib import transforms
from atlib.errors import InputError


@given(sigma=st.floats(0, 1), seed=st.integers(0, 9))
def test_noise_stays_in_range_and_is_its_seeds(sigma: float, seed: int) -> None:
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    one, two = (transforms.noise(images, sigma, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert torch.equal(one, two) and one.min() >= 0 and one.max() <= 1
    assert sigma or torch.equal(one, images)


def test_noise_has_the_standard_deviation_that_was_asked_for() -> None:
    images = torch.full((8, 3, 64, 64), 0.5)
    change = transforms.noise(images, 0.1, torch.Generator().manual_seed(0)) - images
    assert change.std().item() == pytest.approx(0.1, rel=0.01) and abs(change.mean().item()) < 0.001


def plain_blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Every pixel as the weighted mean of its mirrored neighbourhood, one by one."""
    height, width = image.shape
    reach = math.ceil(3 * sigma)
    near = range(-reach, reach + 1)
    weights = {(a, b): math.exp(-(a * a + b * b) / (2 * sigma**2)) for a in near for b in near}

    def mirrored(place: int, size: int) -> int:
        return -place if place < 0 else 2 * (size - 1) - place if place >= size else place

    blurred = torch.empty_like(image)
    for i in range(height):
        for j in range(width):
            found = sum(w * image[mirrored(i + a, height), mirrored(j + b, width)] for (a, b), w in weights.items())
            blurred[i, j] = found / sum(weights.values())
    return blurred


@pytest.mark.parametrize(("side", "sigma"), [(16, 1.0), (16, 2.0), (32, 0.5)])
def test_blur_equals_the_plain_one_at_pixels_scaled_by_the_side(side: int, sigma: float) -> None:
    images = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    blurred = transforms.blur(images, sigma)
    torch.testing.assert_close(blurred[0, 1], plain_blur(images[0, 1], sigma * side / 32), rtol=0, atol=1e-5)


def test_no_blur_changes_nothing_and_a_flat_picture_stays_flat() -> None:
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(transforms.blur(images, 0), images)
    flat = torch.full((1, 3, 32, 32), 0.3)
    torch.testing.assert_close(transforms.blur(flat, 2), flat)


def test_what_cannot_be_done_is_said_in_one_line() -> None:
    images = torch.rand(1, 3, 32, 32)
    for change in (transforms.noise, transforms.blur):
        with pytest.raises(InputError, match=r"^sigma = -1: must be a number at least 0$"):
            change(images, -1)
    with pytest.raises(InputError, match=r"^sigma = 11: must be below 11, its kernel has to fit into the picture$"):
        transforms.blur(images, 11)
