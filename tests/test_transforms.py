"""Distortions: ranges, identities, scale with the side, against plain references, and what they refuse."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

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


@pytest.mark.parametrize(("side", "sigma"), [(32, 1.0), (32, 0.3), (20, 2.0), (64, 1.5)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_blur_is_torchvisions_to_the_bit(side: int, sigma: float, layout: torch.memory_format) -> None:
    """Published rows were computed with it; a machine without torchvision has to give the same."""
    from atlib._torchvision import torchvision

    images = torch.rand(3, 3, side, side).contiguous(memory_format=layout)
    scaled = sigma * side / 32
    size = [2 * math.ceil(3 * scaled) + 1] * 2
    theirs = torchvision.transforms.functional.gaussian_blur(images, size, [scaled, scaled]).clamp(0, 1)
    assert torch.equal(transforms.blur(images, sigma), theirs)


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
    for sigma in (10.4, 11):
        with pytest.raises(InputError) as error:
            transforms.blur(images, sigma)
        assert str(error.value) == f"sigma = {sigma}: must be at most 10.33, its kernel has to fit into the picture"
    assert transforms.blur(images, 10.33).shape == images.shape


# --- saturation -------------------------------------------------------------------------------------------------------

LEVELS = (0, 0.25, 0.5, 1, 2, 4, 8, 16, 64, 1024, math.inf)


def plain_saturation(value: float, level: float) -> float:
    """The paper's formula, one number at a time."""
    x = 2 * value - 1
    sign = (x > 0) - (x < 0)
    exponent = math.inf if level == 0 else 2 / level
    return sign * abs(x) ** exponent / 2 + 0.5


@pytest.mark.parametrize("level", LEVELS)
def test_saturation_is_the_papers_formula_and_the_table_is_exact(level: float) -> None:
    bytes_ = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    found = transforms.saturation(bytes_, level)
    assert torch.equal(found, transforms.saturation(bytes_ / 255, level))
    expected = torch.tensor([plain_saturation(value / 255, level) for value in range(256)])
    torch.testing.assert_close(found[0, 1].reshape(-1), expected, rtol=0, atol=2e-6)
    assert found.min() >= 0 and found.max() <= 1


def test_saturation_at_its_ends_and_in_the_middle() -> None:
    values = torch.tensor([0, 0.2, 0.5, 0.7, 1]).reshape(1, 1, 1, 5)
    assert transforms.saturation(values, math.inf).reshape(-1).tolist() == [0, 0, 0.5, 1, 1]
    assert transforms.saturation(values, 0).reshape(-1).tolist() == [0, 0.5, 0.5, 0.5, 1]
    assert torch.equal(transforms.saturation(values, 2), values)
    # facts: at 1024 every 8-bit value is at most .0054 or at least .9946
    far = transforms.saturation(torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16), 1024)
    assert ((far <= 0.0054) | (far >= 0.9946)).all()


@given(st.floats(0.01, 1000), st.floats(0.01, 1000), st.floats(0, 1))
def test_a_larger_level_moves_every_value_further_from_grey(one: float, two: float, value: float) -> None:
    low, high = sorted((one, two))
    image = torch.full((1, 1, 1, 1), value)
    away = [abs(float(transforms.saturation(image, level)) - 0.5) for level in (low, high)]
    assert away[0] <= away[1] + 1e-6


@pytest.mark.parametrize("level", [-1, math.nan, "2", None, True, [1]])
def test_saturation_refuses(level: Any) -> None:
    with pytest.raises(InputError) as error:
        transforms.saturation(torch.rand(1, 3, 4, 4), level)
    assert str(error.value) == f"level = {level!r}: must be a number at least 0, or infinite"


# --- patch shuffle ----------------------------------------------------------------------------------------------------


def numbered(n: int, side: int) -> torch.Tensor:
    """Images whose every pixel has a number of its own."""
    return torch.arange(n * 3 * side * side, dtype=torch.float32).reshape(n, 3, side, side)


@given(count=st.sampled_from([1, 2, 4, 8]), seed=st.integers(0, 99))
def test_a_shuffle_is_a_permutation_of_whole_patches_and_never_the_identity(count: int, seed: int) -> None:
    images = numbered(3, 16)
    shuffled = transforms.patch_shuffle(images, count, seed=seed)
    size = 16 // count
    places = range(0, 16, size)
    for before, after in zip(images, shuffled, strict=True):
        assert torch.equal(before.unique(), after.unique())
        cut = [
            {tuple(image[:, i : i + size, j : j + size].reshape(-1).tolist()) for i in places for j in places}
            for image in (before, after)
        ]
        assert cut[0] == cut[1]
        assert torch.equal(before, after) == (count == 1)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_a_shuffle_equals_a_plain_loop(count: int) -> None:
    """The patch that comes to place i is number order[i], by rows; the order is drawn as the docstring of `each` says,
    again where nothing would change."""
    images, seed, numbers = (torch.rand(3, 3, 16, 24) * 255).byte(), 5, [7, 0, 3]
    h, w = 16 // count, 24 // count
    expected = torch.zeros_like(images)
    for image, result, number in zip(images, expected, numbers, strict=True):
        draws = torch.Generator().manual_seed((seed * 0x9E3779B1 + number) % 2**32)
        order = list(range(count**2))
        while order == list(range(count**2)):
            order = torch.randperm(count**2, generator=draws).tolist()
        for place, taken in enumerate(order):
            top, left, y, x = place // count * h, place % count * w, taken // count * h, taken % count * w
            for i in range(h):
                for j in range(w):
                    result[:, top + i, left + j] = image[:, y + i, x + j]
    assert torch.equal(transforms.patch_shuffle(images, count, seed=seed, numbers=numbers), expected)


def test_two_by_two_is_never_the_identity_and_takes_every_other_order() -> None:
    images = numbered(1, 2).expand(1000, 3, 2, 2)
    found = transforms.patch_shuffle(images, 2, seed=1)[:, 0].reshape(1000, 4)
    orders = {tuple(order.tolist()) for order in found}
    assert len(orders) == 23 and (0.0, 1.0, 2.0, 3.0) not in orders


def test_a_shuffle_depends_on_the_images_number_and_not_on_its_batch() -> None:
    images = (torch.rand(6, 3, 8, 8) * 255).byte()
    whole = transforms.patch_shuffle(images, 4, seed=3)
    parts = [transforms.patch_shuffle(images[i : i + 2], 4, seed=3, numbers=range(i, i + 2)) for i in (0, 2, 4)]
    assert torch.equal(torch.cat(parts), whole) and whole.dtype == torch.uint8
    assert not torch.equal(whole, transforms.patch_shuffle(images, 4, seed=4))


@pytest.mark.parametrize(("count", "message"), [(3, "count = 3: must divide the side, 8"), (0, "count = 0: must be")])
def test_patches_that_do_not_fit(count: int, message: str) -> None:
    with pytest.raises(InputError) as error:
        transforms.patch_shuffle(torch.rand(1, 3, 8, 8), count)
    assert str(error.value).startswith(message)


# --- frequencies ------------------------------------------------------------------------------------------------------


def plain_filter(image: torch.Tensor, wanted: Callable[[float], bool]) -> torch.Tensor:
    """One channel by a direct Fourier transform: a sum over every frequency and pixel."""
    side = image.shape[0]
    place = torch.arange(side, dtype=torch.float64)
    wave = torch.exp(-2j * math.pi * place[:, None] * place[None] / side)
    spectrum = wave @ image.to(torch.complex128) @ wave.T
    for u in range(side):
        for v in range(side):
            radius = math.hypot(*(min(f, side - f) / (side / 2) for f in (u, v)))
            if (u or v) and not wanted(radius):
                spectrum[u, v] = 0
    result = wave.conj() @ spectrum @ wave.conj().T / side**2
    assert result.imag.abs().max() < 1e-9  # real output
    return result.real.clamp(0, 1).float()


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("cutoff", [0.1, 0.2, 0.3, 0.5, 1.0])
def test_filters_equal_a_direct_fourier_transform(side: int, cutoff: float) -> None:
    images = torch.rand(1, 3, side, side)
    low, high = transforms.low_pass(images, cutoff), transforms.high_pass(images, cutoff)
    torch.testing.assert_close(low[0, 2], plain_filter(images[0, 2], lambda r: r <= cutoff), rtol=0, atol=1e-5)
    torch.testing.assert_close(high[0, 2], plain_filter(images[0, 2], lambda r: r > cutoff), rtol=0, atol=1e-5)


def test_filters_keep_the_mean_and_nothing_is_lost_in_between() -> None:
    images = 0.4 + 0.2 * torch.rand(2, 3, 16, 16)  # far from 0 and 1, where clamping would tell
    mean = images.mean((2, 3), keepdim=True)
    for filtered in (transforms.low_pass(images, 0.2), transforms.high_pass(images, 0.2)):
        torch.testing.assert_close(filtered.mean((2, 3), keepdim=True), mean, rtol=0, atol=1e-5)
    both = transforms.low_pass(images, 0.2) + transforms.high_pass(images, 0.2) - mean
    torch.testing.assert_close(both, images, rtol=0, atol=1e-5)
    torch.testing.assert_close(transforms.low_pass(images, 2), images, rtol=0, atol=1e-6)
    torch.testing.assert_close(transforms.high_pass(images, 0), images, rtol=0, atol=1e-6)


def test_dropped_frequencies_come_in_conjugate_pairs_at_the_asked_for_rate() -> None:
    images = 0.45 + 0.1 * torch.rand(4, 3, 16, 16)
    dropped = transforms.random_drop(images, 0.3, seed=5)
    before, after = (torch.fft.fft2(some.double()) for some in (images, dropped))
    gone = after.abs() < 1e-4 * before.abs()
    assert torch.equal(gone, torch.roll(gone.flip(2, 3), (1, 1), (2, 3)))  # whose index is the negative one
    assert not gone[..., 0, 0].any() and gone.float().mean().item() == pytest.approx(0.3, abs=0.04)
    kept = ~gone
    torch.testing.assert_close(after[kept], before[kept], rtol=1e-3, atol=1e-4)
    parts = [transforms.random_drop(images[i : i + 2], 0.3, seed=5, numbers=range(i, i + 2)) for i in (0, 2)]
    assert torch.equal(torch.cat(parts), dropped)
    torch.testing.assert_close(transforms.random_drop(images, 0), images, rtol=0, atol=1e-6)
    flat = images.mean((2, 3), keepdim=True).expand_as(images)
    torch.testing.assert_close(transforms.random_drop(images, 1), flat, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "value", "message"),
    [
        (transforms.low_pass, -0.1, "cutoff = -0.1: must be a number at least 0"),
        (transforms.high_pass, math.nan, "cutoff = nan: must be a number at least 0"),
        (transforms.random_drop, 1.1, "share = 1.1: must be a number at least 0 and at most 1"),
    ],
)
def test_filters_refuse(change: Callable, value: float, message: str) -> None:
    with pytest.raises(InputError) as error:
        change(torch.rand(1, 3, 8, 8), value)
    assert str(error.value) == message


@pytest.mark.parametrize("name", transforms.DISTORTIONS)
def test_bytes_and_floats_give_the_same_picture(name: str) -> None:
    bytes_ = (torch.rand(3, 3, 16, 16) * 255).byte()
    for level in transforms.DISTORTIONS[name].levels:
        found, floats = (transforms.distort(x, name, level, range(3)) for x in (bytes_, bytes_ / 255))
        assert found.dtype == (torch.uint8 if name == "patch-shuffle" else torch.float32)
        torch.testing.assert_close(transforms.pixels(found), floats, rtol=0, atol=1e-6)


# --- types, numbers, levels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", transforms.DISTORTIONS)
def test_floats_of_every_width_keep_their_type(name: str, dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0)).to(dtype)
    level = transforms.levels(name, 12)[1]
    found, wide = (transforms.distort(x, name, level, range(2)) for x in (images, images.float()))
    assert found.dtype == dtype
    step = torch.finfo(dtype).eps  # of a number from 1 to 2
    torch.testing.assert_close(found.float(), wide, rtol=0, atol=1e-6 if dtype == torch.float64 else 2 * step)


@pytest.mark.parametrize("name", ["low-pass", "high-pass", "random-drop"])
def test_half_precision_is_filtered_in_float32(name: str) -> None:
    images = torch.rand(2, 3, 12, 12).half()
    found, wide = (transforms.distort(x, name, "0.3", range(2)) for x in (images, images.float()))
    assert torch.equal(found, wide.half())


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int8, torch.bool, torch.complex64])
@pytest.mark.parametrize("name", transforms.DISTORTIONS)
def test_other_types_are_refused(name: str, dtype: torch.dtype) -> None:
    for level in transforms.levels(name, 8):  # also where nothing would be changed
        with pytest.raises(InputError) as error:
            transforms.distort(torch.ones(2, 3, 8, 8).to(dtype), name, level, range(2))
        assert str(error.value) == f"images = {dtype}: must be uint8, or floating point in [0, 1]"
    with pytest.raises(InputError, match=f"^images = {dtype}: "):
        transforms.noise(torch.ones(2, 3, 8, 8).to(dtype), 0.1)  # from a generator


@pytest.mark.parametrize("numbers", [[], [0], range(4)])
def test_one_number_for_each_image(numbers: Sequence[int]) -> None:
    images, message = torch.rand(3, 3, 8, 8), f"numbers = {len(numbers)} of them: must be one for each image, 3"
    random: list[tuple[Callable, float]] = [
        (transforms.noise, 0.1),
        (transforms.patch_shuffle, 1),
        (transforms.patch_shuffle, 2),
        (transforms.random_drop, 0.1),
    ]
    for change, strength in random:
        with pytest.raises(InputError) as error:
            change(images, strength, numbers=numbers)
        assert str(error.value) == message
    for name in transforms.DISTORTIONS:
        with pytest.raises(InputError) as error:
            transforms.distort(images, name, "1", numbers)
        assert str(error.value) == message


@pytest.mark.parametrize("level", ["2.5", "inf", "-inf", "nan", "0", "-2", "3", "1e30"])
def test_patches_come_in_whole_numbers(level: str) -> None:
    images = torch.rand(1, 3, 8, 8)
    with pytest.raises(InputError) as error:
        transforms.distort(images, "patch-shuffle", level, [0])
    assert "\n" not in str(error.value)
    if level in ("2.5", "inf", "nan"):
        assert str(error.value) == f"level = {level!r}: must be a whole number, for instance 1"
    whole = transforms.distort(images, "patch-shuffle", "2", [0])
    assert torch.equal(transforms.distort(images, "patch-shuffle", "2.0", [0]), whole)


@pytest.mark.parametrize("name", transforms.DISTORTIONS)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_pictures_stay_none(name: str, dtype: torch.dtype) -> None:
    none = torch.zeros(0, 3, 8, 8, dtype=dtype)
    for level in transforms.levels(name, 8):
        assert transforms.distort(none, name, level, []).shape == none.shape


@pytest.mark.parametrize("name", transforms.DISTORTIONS)
def test_what_are_no_pictures_is_said_in_one_line(name: str) -> None:
    shown = torch.rand(2, 3, 8, 8)
    wrong: list[tuple[Any, str]] = [
        (shown.numpy(), "images = a ndarray: must be a tensor, N×3×H×W"),
        (shown[0], "images = a tensor of shape (3, 8, 8): must be N×3×H×W"),
        (shown * 255 + 1, "images = ["),
        (torch.full_like(shown, math.nan), "images = [nan, nan]: must lie in [0, 1]"),
    ]
    for images, message in wrong:
        with pytest.raises(InputError) as error:
            transforms.distort(images, name, "1", range(2))
        assert str(error.value).startswith(message)
    for level in (None, [1], "a lot"):
        with pytest.raises(InputError, match=r"^level = .*: must be a number, for instance "):
            transforms.distort(shown, name, level, range(2))  # type: ignore[arg-type]


def test_what_random_draws_refuse() -> None:
    images = torch.rand(2, 3, 8, 8)
    changes: tuple[Callable, ...] = (transforms.patch_shuffle, transforms.random_drop)
    for change in changes:
        for seed in (0.5, "a", -1):
            with pytest.raises(InputError, match=r"^seed = "):
                change(images, 1 if change is transforms.random_drop else 2, seed=seed)
        for numbers in ([0.5, 0.7], 3):
            with pytest.raises(InputError) as error:
                change(images, 1, numbers=numbers)
            assert str(error.value) == f"numbers = {numbers!r}: must be whole numbers, one for each image"
        given = torch.tensor([3, 4])
        assert torch.equal(change(images, 1, numbers=given), change(images, 1, numbers=[3, 4]))
    with pytest.raises(InputError, match=r"^distortion = 'satur': must be one of .* \(did you mean 'saturation'\?\)$"):
        transforms.levels("satur", 8)


# --- seeds, numbers and levels ----------------------------------------------------------------------------------------


def test_a_seed_of_more_than_32_bits_is_refused_not_folded() -> None:
    images = torch.rand(2, 3, 8, 8)
    last = transforms.patch_shuffle(images, 2, seed=2**32 - 1)
    assert last.shape == images.shape
    for name in ("patch-shuffle", "noise", "random-drop"):
        with pytest.raises(InputError, match=r"^seed = 4294967296: must be a whole number at least 0 and at most "):
            transforms.distort(images, name, transforms.DISTORTIONS[name].levels[1], [0, 1], 2**32)
    for number in (-1, 2**32):
        with pytest.raises(InputError, match=f"^numbers = {number}: must be a whole number at least 0"):
            transforms.patch_shuffle(images, 2, numbers=[0, number])


def test_numbers_of_numpy_are_levels_counts_and_seeds() -> None:
    images = torch.rand(2, 3, 8, 8)
    numbers: dict[str, Any] = {name: getattr(np, name)(8) for name in ("float32", "float64", "int32", "uint8")}
    for eight in numbers.values():
        assert torch.equal(transforms.saturation(images, eight), transforms.saturation(images, 8))
        assert torch.equal(transforms.blur(images, eight / 8), transforms.blur(images, 1))
    whole: Any = np.int64(4)
    mine = transforms.patch_shuffle(images, whole, seed=whole, numbers=np.arange(2).tolist())
    assert torch.equal(mine, transforms.patch_shuffle(images, 4, seed=4))
    with pytest.raises(InputError, match=r"^count = 3: must divide the side, 8$"):
        transforms.patch_shuffle(images, whole - 1)


def test_a_message_about_the_range_shows_what_lies_outside() -> None:
    above = torch.full((1, 3, 8, 8), 1.0000002)
    for name in transforms.DISTORTIONS:
        for level in transforms.levels(name, 8):
            shown = transforms.distort(above, name, level, [0])
            assert shown.min() >= 0 and shown.max() <= 1, (name, level)
    assert transforms.saturation(above, 0.25).max() <= 1
    with pytest.raises(InputError, match=r"^images = \[0\.99, 1\.00002\]: must lie in \[0, 1\]$"):
        transforms.check_range(torch.tensor([[[[0.99, 1.00002]]]]))


def test_noise_without_numbers_or_a_generator_is_that_of_its_seed() -> None:
    """It was drawn from torch's own generator, so that equal calls differed."""
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(transforms.noise(images, 0.1, seed=1), transforms.noise(images, 0.1, seed=1))
    assert torch.equal(transforms.noise(images, 0.1, seed=1), transforms.noise(images, 0.1, seed=1, numbers=range(2)))
    assert not torch.equal(transforms.noise(images, 0.1, seed=1), transforms.noise(images, 0.1, seed=2))


def test_blur_is_computed_in_the_pictures_own_precision() -> None:
    """Under autocast, in which networks are trained, it was computed in bfloat16."""
    images = torch.rand(2, 3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found = transforms.blur(images, 1.0)
    assert found.dtype == torch.float32 and torch.equal(found, transforms.blur(images, 1.0))


@pytest.mark.parametrize("change", [transforms.low_pass, transforms.high_pass])
@pytest.mark.parametrize("images", [torch.zeros(5), [0.1]])
def test_filters_refuse_what_is_no_batch_of_pictures(change: Callable, images: Any) -> None:
    with pytest.raises(InputError, match=r"^images = "):
        change(images, 0.1)


def test_neither_torchs_default_type_nor_half_precision_changes_what_is_drawn_or_blurred() -> None:
    images = torch.rand(2, 3, 16, 16)
    kinds: list[Callable[[], Tensor]] = [
        lambda: transforms.noise(images, 0.1, seed=1),
        lambda: transforms.noise(images, 0.1, torch.Generator().manual_seed(1)),
        lambda: transforms.random_drop(images, 0.5, seed=1),
    ]
    before = [draw() for draw in kinds]
    torch.set_default_dtype(torch.float64)
    try:
        after = [draw() for draw in kinds]
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(map(torch.equal, before, after))
    for kind in (torch.float16, torch.bfloat16):
        flat = torch.full((1, 3, 32, 32), 0.8, dtype=kind)
        blurred = transforms.blur(flat, 1.0)
        assert blurred.dtype == kind and torch.equal(blurred, flat), "brightness stays"


@pytest.mark.parametrize("side", [32, 64, 112, 224])
def test_the_largest_blur_that_is_named_can_be_asked_for(side: int) -> None:
    with pytest.raises(InputError, match="must be at most") as error:
        transforms.blur(torch.rand(1, 3, side, side), 1000)
    most = float(str(error.value).split("at most ")[1].split(",")[0])
    with pytest.raises(InputError, match="must be at most"):
        transforms.blur(torch.rand(1, 3, side, side), most + 0.02)
    if side < 224:  # where it takes 14 seconds
        assert transforms.blur(torch.rand(1, 3, side, side), most).shape == (1, 3, side, side)
