"""The generated data set: what its pictures depend on, what names the class and what cannot."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from atlib import data, shapes, training
from atlib.errors import InputError

CLASSES = range(10)
MOST = (2**32 - 3) // 10  # the seeds of its parts, ten times as large, have to fit 32 bits
seeds = st.integers(0, MOST)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(shape: Tensor, texture: Tensor, seed: int = 0, **options: float) -> Tensor:
    return shapes.draw(shape, texture, **options, generator=generator(seed)).images


def small(**options: Any) -> Any:
    return shapes.generate(**({"train_count": 60, "test_count": 30, "conflict_count": 90} | options))


# --- determinism ------------------------------------------------------------------------------------------------------


@given(seeds)
@settings(max_examples=8)
def test_equal_arguments_give_equal_pictures(seed: int) -> None:
    before = torch.get_rng_state()
    first, second, other = small(data_seed=seed), small(data_seed=seed), small(data_seed=(seed + 1) % MOST)
    assert torch.equal(torch.get_rng_state(), before)
    for part in range(3):
        assert torch.equal(first[part][0], second[part][0]) and torch.equal(first[part][1], second[part][1])
        assert not torch.equal(first[part][0], other[part][0])


def test_no_picture_is_in_two_splits_or_two_data_sets() -> None:
    pictures = []
    for data_seed in range(3):
        train, test, conflict, _ = small(train_count=300, test_count=300, data_seed=data_seed)
        pictures += [*train[0], *test[0], *conflict.images]
    assert len({picture.numpy().tobytes() for picture in pictures}) == len(pictures) == 3 * 690


def test_layout() -> None:
    train, test, conflict, classes = small()
    for images, count in ((train[0], 60), (test[0], 30), (conflict.images, 90)):
        assert images.shape == (count, 3, 32, 32) and images.dtype == torch.uint8
    assert train[1].dtype == test[1].dtype == conflict.shapes.dtype == conflict.textures.dtype == torch.int64
    assert len(set(classes)) == 10 and classes[3] == "diamond/falling"
    assert Counter(train[1].tolist()) == dict.fromkeys(CLASSES, 6)  # balanced


# --- which cue says what ----------------------------------------------------------------------------------------------


@given(st.integers(1, 5))
def test_conflict_has_every_pair_equally_often_and_never_agrees(times: int) -> None:
    shape, texture = shapes.pairs("conflict", 90 * times, generator(0))
    found = Counter(zip(shape.tolist(), texture.tolist(), strict=True))
    assert found == {(s, t): times for s in CLASSES for t in CLASSES if s != t}


@given(st.integers(1, 400))
def test_pairs(count: int) -> None:
    shape, texture = shapes.pairs("agree", count, generator(0))
    assert torch.equal(shape, texture)
    shape, texture = shapes.pairs("conflict", count, generator(0))
    assert not (shape == texture).any()
    shape, texture = shapes.pairs("independent", count, generator(count))
    assert texture.min() >= 0 and texture.max() < 10 and len(texture) == len(shape) == count


def test_conflict_names_what_its_pictures_show() -> None:
    """Without noise a picture equals the one drawn anew from its two indices, and no other."""
    _, _, conflict, _ = small(noise=0.0)
    again = shapes.draw(conflict.shapes, conflict.textures, noise=0.0, generator=generator(2)).images
    assert torch.equal(conflict.images, again)
    swapped = shapes.draw(conflict.textures, conflict.shapes, noise=0.0, generator=generator(2)).images
    assert not (conflict.images == swapped).flatten(1).all(1).any()


@pytest.mark.parametrize("cue", shapes.CUES)
def test_labels_follow_the_cue(cue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[shapes.Cues] = []
    draw = shapes.draw

    def spy(*arguments: Tensor, **options: Any) -> shapes.Cues:
        seen.append(draw(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(shapes, "draw", spy)
    train, test, conflict, _ = small(cue=cue, train_count=500)
    for split, cues in ((train, seen[0]), (test, seen[1])):
        assert torch.equal(split[0], cues.images)
        assert torch.equal(split[1], cues.textures if cue == "texture" else cues.shapes)
    agree = (seen[0].shapes == seen[0].textures).double().mean()
    assert agree == 1 if cue == "both" else 0.05 < agree < 0.16  # one of ten, by chance
    assert not (conflict.shapes == conflict.textures).any()


@given(seeds, st.integers(1, 40))
@settings(max_examples=25)
def test_at_amplitude_0_no_pixel_depends_on_the_texture(seed: int, count: int) -> None:
    shape = torch.randint(10, (count,), generator=generator(seed))
    first, second = (torch.randint(10, (count,), generator=generator(seed + k)) for k in (1, 2))
    assert torch.equal(drawn(shape, first, seed, amplitude=0), drawn(shape, second, seed, amplitude=0))
    if (first != second).any():
        assert not torch.equal(drawn(shape, first, seed, amplitude=0.12), drawn(shape, second, seed, amplitude=0.12))


@given(seeds, st.integers(1, 40))
@settings(max_examples=25)
def test_colour_place_and_grain_name_no_shape(seed: int, count: int) -> None:
    """Without contrast and texture nothing is left that depends on the silhouette."""
    first, second = (torch.randint(10, (count,), generator=generator(seed + k)) for k in (1, 2))
    texture = torch.zeros(count, dtype=torch.long)
    blank = {"amplitude": 0.0, "contrast": 0.0}
    assert torch.equal(drawn(first, texture, seed, **blank), drawn(second, texture, seed, **blank))
    if (first != second).any():
        assert not torch.equal(drawn(first, texture, seed, amplitude=0), drawn(second, texture, seed, amplitude=0))


# --- textures and silhouettes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("texture", CLASSES)
def test_every_texture_has_the_same_contrast_and_changes_no_lightness(texture: int) -> None:
    pieces = shapes._texture(texture, 50, generator(3))
    assert torch.allclose(pieces.mean((1, 2)), torch.zeros(50), atol=1e-5)
    assert torch.allclose(pieces.square().mean((1, 2)).sqrt(), torch.full((50,), 0.5**0.5), atol=1e-4)
    assert not torch.allclose(pieces[0], pieces[1], atol=0.1)  # each with a phase of its own


def test_textures_differ() -> None:
    """Their mean power spectra, which no phase changes, are far from each other."""
    spectra = []
    for texture in CLASSES:
        power = torch.fft.rfft2(shapes._texture(texture, 100, generator(1))).abs().square().mean(0).flatten()
        spectra.append(power / power.norm())
    alike = torch.stack(spectra) @ torch.stack(spectra).T
    assert alike.fill_diagonal_(0).max() < 0.8


def outlines(count: int = 500, **options: float) -> tuple[Tensor, Tensor]:
    """Silhouettes on their background, without texture, noise and colour: grey N×32×32; and which shape."""
    shape = torch.arange(count) % 10
    images = drawn(shape, shape, 1, amplitude=0, noise=0, **options).float()
    return images.mean(1) / 255, shape


def test_silhouettes_are_lighter_or_darker_than_the_background_by_the_contrast() -> None:
    for contrast in (0.1, 0.2):
        grey, shape = outlines(contrast=contrast)
        background = grey[:, 0, 0]
        difference = grey - background[:, None, None]
        farthest = torch.where(
            difference.amax((1, 2)) > -difference.amin((1, 2)), difference.amax((1, 2)), difference.amin((1, 2))
        )
        assert torch.allclose(farthest.abs(), torch.tensor(contrast), atol=1.5 / 255)
        assert torch.minimum(difference.amax((1, 2)), -difference.amin((1, 2))).max() < 1.5 / 255  # one side only
        for index in CLASSES:  # and the side says nothing about the class
            assert 0.2 < (farthest[shape == index] > 0).double().mean() < 0.8


def test_silhouettes_fit_the_picture_and_differ() -> None:
    grey, shape = outlines()
    cover = ((grey - grey[:, :1, :1]).abs() > 0.1).float()
    assert ((cover.mean((1, 2)) > 0.08) & (cover.mean((1, 2)) < 0.7)).all()
    corners = cover[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert not corners.any()
    prototypes = torch.stack([cover[shape == index].mean(0) for index in CLASSES])
    apart = (prototypes[:, None] - prototypes).abs().mean((2, 3))
    assert apart.fill_diagonal_(1).min() > 0.03


def test_texture_lies_on_the_silhouette_alone() -> None:
    shape = torch.arange(100) % 10
    plain, textured = (drawn(shape, shape, 1, amplitude=a, noise=0).float() for a in (0.0, 0.12))
    cover = ((plain - plain[:, :, :1, :1]).abs() > 0).any(1, keepdim=True)
    changed = ((textured - plain).abs() > 2).any(1, keepdim=True)  # less is the soft edge's last level
    assert not (changed & ~cover).any()
    assert (changed.sum((1, 2, 3)) > 0.5 * cover.sum((1, 2, 3))).all()


def test_amplitude_is_the_peak_of_a_sine() -> None:
    shape = torch.full((60,), shapes.SILHOUETTES.index("square"))
    rows = torch.full((60,), shapes.TEXTURES.index("rows"))
    for amplitude in (0.05, 0.3):
        plain, textured = (drawn(shape, rows, 1, amplitude=a, noise=0, contrast=0.1).float() for a in (0, amplitude))
        assert float((textured - plain).abs().max()) / 255 == pytest.approx(amplitude, abs=0.1 * amplitude + 1 / 255)


def test_noise_is_the_standard_deviation_of_the_background() -> None:
    shape = torch.arange(50) % 10
    for noise in (0.02, 0.1):
        corner = drawn(shape, shape, 1, noise=noise).float()[:, :, :3, :3] / 255
        spread = (corner - corner.mean((2, 3), keepdim=True)).square().sum() / (50 * 3 * 8)
        assert float(spread.sqrt()) == pytest.approx(noise, rel=0.1)


# --- training ---------------------------------------------------------------------------------------------------------


def test_training_pictures_are_never_flipped_or_cropped() -> None:
    """An arrow to the right and rising stripes would change their class."""
    dataset = data.load("shapes", train_count=100, test_count=20, conflict_count=90)
    assert dataset.augmentation == "none"
    found = data.augment(dataset.train.images, dataset.augmentation, dataset.side, generator(0))
    assert torch.equal(found, dataset.train.images / 255)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("amplitude", -0.1, "at least 0 and at most 0.5"),
        ("amplitude", 0.6, "at least 0 and at most 0.5"),
        ("contrast", 1, "at most 0.5"),
        ("noise", 0.4, "at most 0.3"),
        ("noise", float("nan"), "a number"),
        ("train_count", 9, "a whole number at least 10"),
        ("test_count", 10.5, "a whole number"),
        ("conflict_count", 0, "a whole number"),
        ("data_seed", -1, "a whole number at least 0"),
        ("cue", "shapes", "must be one of both, shape, texture (did you mean 'shape'?)"),
    ],
)
def test_bad_arguments_name_themselves_before_any_work(
    name: str, value: object, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shapes, "draw", None)
    with pytest.raises(InputError) as caught:
        shapes.generate(**{name: value})  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"{name} = {value!r}: must be ") and allowed in message and "\n" not in message


def test_seeds_of_the_data_that_would_repeat_others_are_refused() -> None:
    """2³¹ gave the pictures of 0."""
    with pytest.raises(InputError, match=r"^data_seed = 2147483648: must be .* at most 429496729$"):
        shapes.generate(data_seed=2**31)


@pytest.mark.parametrize("shape", [-1, 10])
def test_an_index_without_a_silhouette_is_refused(shape: int) -> None:
    """It gave whatever was in memory."""
    with pytest.raises(InputError, match=rf"^shapes = {shape}: must be a whole number at least 0 and at most 9$"):
        shapes.draw(torch.tensor([shape]), torch.tensor([0]), generator=torch.Generator())
    with pytest.raises(InputError, match=r"^kind = 'conflic': must be one of agree, independent, conflict"):
        shapes.pairs("conflic", 9, torch.Generator())


def test_a_texture_for_each_silhouette_and_no_negative_number_of_them() -> None:
    with pytest.raises(InputError, match=r"^textures = \(1,\): must be as many as shapes, \(2,\)$"):
        shapes.draw(torch.tensor([0, 1]), torch.tensor([0]), generator=torch.Generator())
    with pytest.raises(InputError, match=r"^count = -1: must be a whole number at least 0$"):
        shapes.pairs("agree", -1, torch.Generator())


def test_training_pictures_are_those_of_the_published_runs() -> None:
    """By their mean, which no rounding moves this far; and by their digest, where their rounding is known."""
    dataset, published = data.load("shapes"), "b9380abebefd4c9e"  # of the main setting, drawn by an Intel Xeon
    assert dataset.train.images.double().mean() == pytest.approx(127.19979, abs=1e-4)
    assert shapes.drawn_alike(published, published) and not shapes.drawn_alike(published, "0" * 64)
    found = training.inputs_of(dataset)["pictures_digest"]
    if not shapes.drawn_alike(found, published):
        pytest.skip(f"a processor that rounds them as none before: {found}")
