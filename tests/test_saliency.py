"""Saliency maps against their definitions, and the figure at the end of the job that trains."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import captum.attr
import matplotlib as mpl
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.axes import Axes
from torch import Tensor, nn

from atlib import data, evaluation, measurements, models, saliency, training
from atlib.configuration import resolve
from atlib.errors import InputError
from atlib.report import plots
from helpers import Halves

mpl.use("agg")


@pytest.fixture
def network() -> nn.Module:
    """A small network with batch norm whose running statistics are its own."""
    model = models.resnet18(classes=5, width=4, stem="3x3-stride2", seed=3)
    for _ in range(20):
        model(torch.rand(16, 3, 16, 16))
    return model


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 16, 16) * torch.tensor([0.8, 0.5, 0.1]).view(3, 1, 1, 1) + 0.2


LABELS = torch.tensor([4, 0, 2])


def one_by_one(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The gradient of log p of the class, picture by picture, as equation 2 says it."""
    maps = []
    for image, label in zip(images, labels, strict=True):
        x = image.clone().requires_grad_()
        p = torch.softmax(model(x[None])[0], 0)[label]
        maps.append(torch.autograd.grad(torch.log(p), x)[0])
    return torch.stack(maps)


def test_grad_is_the_gradient_of_the_log_probability(network: nn.Module, images: Tensor) -> None:
    found = saliency.grad(network, images, LABELS)
    expected = one_by_one(network.eval(), images, LABELS)
    assert found.shape == images.shape and not found.requires_grad
    assert (expected.amax((1, 2, 3)) > 1e-3).all() and (expected.amin((1, 2, 3)) < -1e-3).all()  # signed
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)


def test_grad_against_finite_differences() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    image, label = torch.rand(1, 3, 2, 2, dtype=torch.double), torch.tensor([1])
    # log-probabilities are computed in single precision: the step is large enough for it
    numeric = torch.zeros_like(image)
    for place in np.ndindex(*image.shape):
        change = torch.zeros_like(image)
        change[place] = 1e-3
        up, down = (model(image + sign * change).log_softmax(1)[0, 1] for sign in (1, -1))
        numeric[place] = (up - down).detach() / 2e-3
    torch.testing.assert_close(saliency.grad(model, image, label), numeric, rtol=1e-3, atol=1e-5)


def test_maps_leave_the_network_as_it_was(network: nn.Module, images: Tensor) -> None:
    network.train()
    network.get_submodule("layer1").eval()
    network.get_parameter("fc.weight").requires_grad_(False)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    saliency.grad(network, images, LABELS)
    saliency.smoothgrad(network, images, LABELS, samples=2)
    assert network.training and not network.get_submodule("layer1").training
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["fc.weight"]
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def test_smoothgrad_against_a_plain_loop(network: nn.Module, images: Tensor) -> None:
    found = saliency.smoothgrad(
        network, images, LABELS, samples=7, sigma=0.2, generator=torch.Generator().manual_seed(5)
    )
    network.eval()
    draws, maps = torch.Generator().manual_seed(5), []
    for image, label in zip(images, LABELS, strict=True):
        spread = 0.2 * float(image.max() - image.min())
        noise = torch.randn(7, 3, 16, 16, generator=draws)
        copies = [image + spread * one for one in noise]
        maps.append(sum(one_by_one(network, copy[None], label[None])[0] for copy in copies) / 7)
    torch.testing.assert_close(found, torch.stack(maps), rtol=1e-3, atol=1e-6)  # type: ignore[arg-type]


def test_smoothgrad_without_noise_is_grad(network: nn.Module, images: Tensor) -> None:
    found = saliency.smoothgrad(network, images, LABELS, samples=3, sigma=0)
    torch.testing.assert_close(found, saliency.grad(network, images, LABELS), rtol=1e-3, atol=1e-6)


def test_smoothgrad_is_seeded(network: nn.Module, images: Tensor) -> None:
    def seeded(seed: int) -> Tensor:
        return saliency.smoothgrad(network, images, LABELS, samples=3, generator=torch.Generator().manual_seed(seed))

    first, again, other = seeded(1), seeded(1), seeded(2)
    assert torch.equal(first, again) and not torch.allclose(first, other, rtol=1e-2)


@pytest.mark.parametrize("chunk", [1, 3, 5, 64])
def test_smoothgrad_does_not_depend_on_the_chunk(chunk: int, network: nn.Module, images: Tensor) -> None:
    def chunked(size: int) -> Tensor:
        draws = torch.Generator().manual_seed(1)
        return saliency.smoothgrad(network, images, LABELS, samples=5, chunk=size, generator=draws)

    torch.testing.assert_close(chunked(chunk), chunked(2), rtol=1e-3, atol=1e-6)


def test_chunk_is_the_number_of_gradients_a_pass(network: nn.Module, images: Tensor) -> None:
    sizes: list[int] = []
    network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    saliency.smoothgrad(network, images[:2], LABELS[:2], samples=5, chunk=2)
    assert sizes == [2, 2, 1, 2, 2, 1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"samples": 0}, "samples = 0: must be a whole number at least 1"),
        ({"samples": 2.5}, "samples = 2.5: must be a whole number at least 1"),
        ({"sigma": -0.1}, "sigma = -0.1: must be a number at least 0"),
        ({"chunk": 0}, "chunk = 0: must be a whole number at least 1"),
    ],
)
def test_bad_parameters_are_one_line(given: dict, message: str, network: nn.Module, images: Tensor) -> None:
    with pytest.raises(InputError) as error:
        saliency.smoothgrad(network, images, LABELS, **given)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            torch.tensor([0, 1, 2]),
            "labels = torch.int64 (3,): must be a tensor of whole numbers, one for each image, 2",
        ),
        (
            torch.tensor([0.0, 1.0]),
            "labels = torch.float32 (2,): must be a tensor of whole numbers, one for each image",
        ),
        (torch.tensor([0, -100]), "labels = -100: must be at least 0"),
        (torch.tensor([0, 5]), "labels = 5: must be below 5, the number of the model's outputs"),
    ],
)
def test_labels_that_fit_no_image_are_one_line(
    labels: Tensor, message: str, network: nn.Module, images: Tensor
) -> None:
    for maps in (saliency.grad, saliency.smoothgrad):
        with pytest.raises(InputError) as error:
            maps(network, images[:2], labels)
        assert str(error.value).startswith(message)
        with pytest.raises(
            InputError, match=r"^images = torch\.uint8 \(2, 3, .*\): must be a float tensor, N×C×H×W, in \[0, 1\]$"
        ):
            maps(network, (images[:2] * 255).byte(), LABELS[:2])


@pytest.mark.parametrize("maps", [saliency.grad, saliency.smoothgrad])
@pytest.mark.parametrize(("value", "said"), [(255.0, r"\[0.*, 255\]"), (float("nan"), r"\[nan, nan\]")])
def test_images_outside_0_to_1_are_one_line(
    maps: Callable, value: float, said: str, network: nn.Module, images: Tensor
) -> None:
    """A map of pixels from 0 to 255 looks like any other, and says nothing."""
    images[1, 0, 0, 0] = value
    with pytest.raises(InputError, match=rf"^images = {said}: must lie in \[0, 1\]$"):
        maps(network, images, LABELS)


def test_maps_are_compared_with_what_has_their_shape(images: Tensor) -> None:
    """One picture would be compared with every map."""
    for statistic in (saliency.edge_correlation, saliency.alignment, saliency.map_distance):
        with pytest.raises(InputError, match=r"^maps = \(3, .*\): must have the shape of .*, \(1, .*\)$"):
            statistic(images, images[:1])
    line = r"^maps = \(3, 16, 16\): must have the shape of the other maps, \(1, 16, 16\)$"
    with pytest.raises(InputError, match=line):
        saliency.correlation(images[:, 0], images[:1, 0])


def test_no_maps_have_no_statistics(images: Tensor) -> None:
    none = images[:0]
    for found in (
        saliency.gini(none),
        saliency.high_frequency(none),
        saliency.edge_correlation(none, none),
        saliency.alignment(none, none),
        saliency.map_distance(none, none),
    ):
        assert found.shape == (0,) and found.dtype == torch.float32


@pytest.mark.parametrize("gap", [0.0, 5.0, 18.0, 40.0, 80.0])
def test_maps_of_a_confident_network_are_right_to_the_last_digit(gap: float) -> None:
    images, labels = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    pull = 1 / (1 + np.exp(gap))  # 1 − p of the first class
    want = torch.tensor([[[[pull, -pull]] * 2]], dtype=torch.float32)
    torch.testing.assert_close(saliency.grad(Halves(gap), images, labels), want, rtol=1e-6, atol=0)
    torch.testing.assert_close(saliency.smoothgrad(Halves(gap), images, labels, samples=3), want, rtol=1e-5, atol=0)


@pytest.mark.parametrize("factor", [1.0, 5.0, 20.0])
def test_maps_equal_those_in_double_precision(factor: float, network: nn.Module, images: Tensor) -> None:
    """However large the logits: the softmax in single precision rounded 1 − p to 0 and lost the map."""

    class Louder(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, shown: Tensor) -> Tensor:
            return self.model(shown) * factor

    labels = network(images).argmax(1)
    exact = saliency.grad(Louder(copy.deepcopy(network).double()), images.double(), labels)
    found = saliency.grad(Louder(network), images, labels)
    cosine = F.cosine_similarity(saliency.unit(found).flatten(1), saliency.unit(exact).flatten(1))
    assert cosine.min() > 0.9999


# --- pictures of maps -------------------------------------------------------------------------------------------------

MAPS = arrays.arrays(np.float32, (2, 3, 5, 6), elements=st.floats(-100, 100, width=32))


@given(MAPS)
def test_pictures_lie_between_0_and_1(maps: np.ndarray) -> None:
    found = saliency.picture(torch.from_numpy(maps))
    assert found.shape == (2, 5, 6) and found.min() >= 0 and found.max() <= 1
    assert torch.equal(found, saliency.picture(-torch.from_numpy(maps)))


@pytest.mark.parametrize("percentile", [0.5, 0.9, 0.99, 1.0])
def test_picture_clips_at_the_percentile(percentile: float) -> None:
    maps = torch.randn(2, 3, 20, 20)
    found = saliency.picture(maps, percentile).numpy()
    for one, drawn in zip(maps.numpy(), found, strict=True):
        strength = np.abs(one).sum(0)
        top = np.quantile(strength, percentile)
        np.testing.assert_allclose(drawn, np.minimum(strength / top, 1), rtol=1e-5)
        assert (drawn == 1).mean() == pytest.approx(1 - percentile, abs=0.01) and drawn.max() == pytest.approx(1)


def test_a_percentile_is_a_fraction() -> None:
    with pytest.raises(InputError, match=r"^percentile = 99: must be a number at least 0 and at most 1$"):
        saliency.picture(torch.rand(1, 3, 4, 4), 99)


def test_each_picture_is_scaled_by_itself() -> None:
    maps = torch.randn(2, 3, 8, 8)
    scaled = maps * torch.tensor([1e-3, 50.0]).view(2, 1, 1, 1)
    torch.testing.assert_close(saliency.picture(scaled), saliency.picture(maps))
    assert saliency.picture(torch.zeros(1, 3, 8, 8)).max() == 0


def test_a_map_of_tiny_values_is_not_black() -> None:
    maps = torch.randn(2, 3, 8, 8)
    torch.testing.assert_close(saliency.picture(maps * 1e-30), saliency.picture(maps), rtol=1e-4, atol=1e-6)
    single = torch.zeros(1, 3, 20, 20)  # less than the percentile leaves out
    single[0, :, 4, 7] = 1e-20
    assert saliency.picture(single).sum() == 1 and saliency.picture(single)[0, 4, 7] == 1


# --- at a glance ------------------------------------------------------------------------------------------------------


def drawn(axis: Axes) -> np.ndarray:
    """The picture in a panel."""
    return np.asarray(axis.images[0].get_array())


@pytest.mark.parametrize("answer", ["shape", "texture", "neither"])
def test_glance_shows_what_the_network_saw_and_said(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures larger than the network's side are cropped as in every test, and answers named after their cue."""
    number = {"shape": 3, "texture": 5, "neither": 7}[answer]
    seen: list[Tensor] = []

    class Says(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(images.detach())
            return images.mean((1, 2, 3))[:, None] + 5 * torch.eye(10)[number]

    stored = torch.randint(256, (4, 3, 12, 12), dtype=torch.uint8)
    labels, textures = torch.full((4,), 3), torch.full((4,), 5)
    subject = measurements.Subject(
        Says(), data.Split(stored, labels), 8, torch.device("cpu"), data.Conflict(stored, labels, textures)
    )
    monkeypatch.setattr(evaluation, "subject_of", lambda run: subject)
    figure = plots.glance(Path("unused"), count=4)
    axes = figure.get_axes()
    assert len(axes) == 12 and [axis.get_title() for axis in axes[:4]] == [answer] * 4
    shown = stored[[0, 3, 2, 1]][:, :, 2:10, 2:10].float() / 255  # a stride of 11 among four
    assert all(images.shape[1:] == (3, 8, 8) for images in seen)
    for axis, image in zip(axes[:4], shown, strict=True):
        assert (drawn(axis) == image.permute(1, 2, 0).numpy()).all()
    assert [axis.get_ylabel() for axis in (axes[0], axes[4], axes[8])] == ["picture", "Grad", "SmoothGrad"]


def test_glance_of_a_run_shows_its_maps() -> None:
    config = replace(resolve(width=4, epochs=0.3, steps=2, precision="fp32"), quick=True)
    figure = plots.glance(training.train(config, progress=False), count=2)
    subject = evaluation.subject_of(config.folder)
    assert subject.conflict and figure.get_suptitle().startswith(config.run)
    images, labels = subject.conflict.images[[0, 11]].float() / 255, subject.conflict.labels[[0, 11]]
    maps = saliency.picture(one_by_one(subject.model, images, labels))
    for axis, expected in zip(figure.get_axes()[2:4], maps, strict=True):
        np.testing.assert_allclose(drawn(axis), expected, atol=1e-3)
    # below them, what the shipped normal network looks at in the same pictures
    normal = saliency.picture(one_by_one(models.load("shapes/normal")[0], images, labels))
    axes = figure.get_axes()
    assert len(axes) == 10 and axes[6].get_ylabel() == "normal network:\nGrad" and axes[6].get_title()
    for axis, expected in zip(axes[6:8], normal, strict=True):
        np.testing.assert_allclose(drawn(axis), expected, atol=1e-3)
    assert not np.allclose(drawn(figure.get_axes()[4]), maps[0], atol=0.05)  # SmoothGrad is another


# --- statistics of maps -----------------------------------------------------------------------------------------------


def random_maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_gini_equals_its_definition_by_pairs() -> None:
    maps = random_maps(3, 3, 6, 5)
    for one, found in zip(maps, saliency.gini(maps), strict=True):
        x = one.abs().sum(0).reshape(-1)
        pairs = (x[:, None] - x[None]).abs().sum() / (2 * len(x) ** 2 * x.mean())
        assert found == pytest.approx(float(pairs), abs=1e-5)


def test_gini_at_its_ends() -> None:
    flat, single = torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8)
    single[0, 1, 2, 3] = -5.0
    assert saliency.gini(torch.cat([flat, single])).tolist() == pytest.approx([0, 63 / 64], abs=1e-6)


def test_edges_are_sobels() -> None:
    ramp = torch.arange(6.0).expand(1, 3, 6, 6) / 10  # grows by .1 a pixel to the right
    found = saliency.edges(ramp)
    assert found.shape == (1, 6, 6)
    torch.testing.assert_close(found[0, :, 1:-1], torch.full((6, 4), 0.8))  # (1 + 2 + 1) · 2 · .1
    torch.testing.assert_close(saliency.edges(ramp.mT), found.mT)
    assert saliency.edges(torch.full((1, 3, 4, 4), 0.3)).abs().max() < 1e-6


def test_edge_correlation_is_pearsons() -> None:
    maps, images = random_maps(4, 3, 9, 9), torch.rand(4, 3, 9, 9)
    for i, found in enumerate(saliency.edge_correlation(maps, images)):
        pair = [maps[i].abs().sum(0).reshape(-1).numpy(), saliency.edges(images)[i].reshape(-1).numpy()]
        assert float(found) == pytest.approx(np.corrcoef(pair[0], pair[1])[0, 1], abs=1e-5)
    edges = saliency.edges(images)[:, None]
    assert saliency.edge_correlation(edges, images).tolist() == pytest.approx([1] * 4, abs=1e-5)
    assert saliency.edge_correlation(torch.ones(1, 3, 9, 9), images[:1]).item() == 0


def test_high_frequency_of_waves() -> None:
    place = torch.arange(16)
    slow = 2 + torch.cos(2 * torch.pi * 1 * place / 16).expand(16, 16)  # 1/8 of Nyquist
    fast = 2 + torch.cos(2 * torch.pi * 6 * place / 16).expand(16, 16)  # 3/4
    maps = torch.stack([slow, fast, slow + fast, torch.ones(16, 16)])[:, None]
    assert saliency.high_frequency(maps).tolist() == pytest.approx([0, 1, 0.5, 0], abs=1e-6)


def test_of_a_map_that_holds_nan_every_statistic_is_nan() -> None:
    maps, images = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    maps[1, 0, 3, 3] = float("nan")
    statistics = measurements.map_statistics(maps, images, images, torch.rand(2, 3, 8, 8))
    for values in statistics.values():
        assert values.isnan().tolist() == [False, True]


def test_alignment_and_distance() -> None:
    images = torch.rand(2, 3, 5, 5)
    assert saliency.alignment(-3 * images, images).tolist() == pytest.approx([1, 1], abs=1e-6)
    one, other = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    one[0, 0, 0, 0], other[0, 2, 1, 1] = 2.0, -7.0
    assert saliency.map_distance(one, other).item() == pytest.approx(2**0.5, abs=1e-6)
    maps = random_maps(3, 3, 4, 4)
    assert saliency.map_distance(maps, -2 * maps).abs().max() < 1e-6


@given(st.integers(0, 50), st.sampled_from([1e-20, 1e-12, 0.1, 10.0, 1e6]))
def test_statistics_do_not_depend_on_a_maps_scale_or_its_neighbours(seed: int, scale: float) -> None:
    maps, images = random_maps(3, 3, 8, 8, seed=seed), torch.rand(3, 3, 8, 8)
    for statistic in (
        saliency.gini,
        saliency.high_frequency,
        lambda m: saliency.edge_correlation(m, images[: len(m)]),
        lambda m: saliency.alignment(m, images[: len(m)]),
    ):
        found = statistic(maps)
        torch.testing.assert_close(statistic(scale * maps), found, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(statistic(maps[:1]), found[:1])
        assert statistic(torch.zeros_like(maps)).abs().max() == 0
    torch.testing.assert_close(saliency.map_distance(scale * maps, maps), torch.zeros(3), rtol=0, atol=1e-6)


# --- against captum ---------------------------------------------------------------------------------------------------


def test_grad_equals_captums_saliency(network: nn.Module, images: Tensor) -> None:
    model = network.eval()
    theirs = captum.attr.Saliency(lambda pixels: model(pixels).log_softmax(1)).attribute(
        images.requires_grad_(), LABELS, abs=False
    )
    torch.testing.assert_close(saliency.grad(model, images.detach(), LABELS), theirs, rtol=1e-3, atol=1e-6)


def test_smoothgrad_equals_captums_noise_tunnel_on_the_same_noise(
    network: nn.Module, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, samples = network.eval(), 48
    ours = saliency.smoothgrad(model, images, LABELS, samples=samples, generator=torch.Generator().manual_seed(1))
    draws = torch.Generator().manual_seed(1)
    tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(lambda pixels: model(pixels).log_softmax(1)))
    for image, label, mine in zip(images, LABELS, ours, strict=True):
        noise = iter(torch.randn((samples, *image.shape), generator=draws).split(16))
        monkeypatch.setattr(torch, "normal", lambda mean, std, noise=noise: mean + std * next(noise))
        options = {"nt_type": "smoothgrad", "nt_samples": samples, "nt_samples_batch_size": 16}
        sigma = 0.1 * float(image.max() - image.min())
        picture = image[None].requires_grad_()
        theirs = tunnel.attribute(picture, target=label[None], abs=False, stdevs=sigma, **options)[0]
        assert next(noise, None) is None  # all of it was used
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)
