"""Attacks: balls and ranges, closed forms, what is left behind, what is counted, agreement with foolbox."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import foolbox
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from atlib import attacks, gradients, models, shapes
from atlib.errors import InputError, NetworkError
from benchmarks.measure import Passes
from helpers import Halves

Attack = Callable[..., Tensor]
# Every attack, with a budget that moves images; the tests of what all attacks promise go through this table.
ATTACKS: dict[str, Attack] = {
    "fgsm": partial(attacks.fgsm, eps=8 / 255),
    "pgd-linf": partial(attacks.pgd, eps=8 / 255, steps=3),
    "pgd-linf-random": partial(attacks.pgd, eps=8 / 255, steps=3, random_start=True),
    "pgd-l2": partial(attacks.pgd, eps=1.0, norm="l2", steps=3),
    "pgd-l2-random": partial(attacks.pgd, eps=1.0, norm="l2", steps=3, random_start=True),
    "spatial": partial(attacks.spatial, steps=3),
}
every_attack = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
seeds = st.integers(0, 2**31)
norms = st.sampled_from(attacks.NORMS)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(seed: int, count: int = 4, side: int = 8, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(count, 3, side, side, generator=generator(seed)) * (high - low) + low


def lengths(change: Tensor, norm: str) -> Tensor:
    return change.flatten(1).norm(dim=1, p=math.inf if norm == "linf" else 2)


class Small(nn.Module):
    """Convolution, batch norm, pooling, linear: what a network has, in microseconds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Linear(6, 5)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(F.gelu(self.bn(self.conv(images))).mean((2, 3))) * 30


class Linear(nn.Module):
    """logits (0, w·x + b): the distance to the other class is |w·x + b| / ‖w‖, in the norm dual to the budget's."""

    def __init__(self, seed: int, side: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(3 * side * side, generator=generator(seed), dtype=torch.float64))
        self.b = nn.Parameter(-0.5 * self.w.detach().sum())  # the boundary runs through the grey picture

    def forward(self, images: Tensor) -> Tensor:
        value = images.flatten(1) @ self.w + self.b
        return torch.stack((torch.zeros_like(value), value), 1)

    def distance(self, images: Tensor, norm: str) -> Tensor:
        with torch.no_grad():
            dual = self.w.abs().sum() if norm == "linf" else self.w.norm()
            return self(images)[:, 1].abs() / dual


class Scripted(nn.Module):
    """Right or wrong about image i at look k as a table says; images carry i in their pixels, gradients are 0."""

    def __init__(self, right: Tensor) -> None:
        super().__init__()
        self.right, self.looks = right, 0
        self.seen: list[list[int]] = []

    def forward(self, images: Tensor) -> Tensor:
        which = (images.detach()[:, 0, 0, 0] * 100).round().long()
        self.seen.append(which.tolist())
        value = torch.where(self.right[self.looks, which], 1.0, -1.0) + 0 * images.sum((1, 2, 3))
        self.looks += 1
        return torch.stack((value, -value), 1)


class Untouchable(nn.Module):
    """A network that must not be asked."""

    def forward(self, images: Tensor) -> Tensor:
        raise AssertionError("the network was asked")


class Fragile(nn.Module):
    """A network that fails at its second look."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.looks = Small(), 0

    def forward(self, images: Tensor) -> Tensor:
        self.looks += 1
        if self.looks == 2:
            raise RuntimeError("out of memory")
        return self.inner(images)


class Plain(nn.Module):
    """Three convolutions with batch norm: enough for most of `shapes` after a second of training."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 12, 5, 2, 2), nn.BatchNorm2d(12)
        self.conv2, self.bn2 = nn.Conv2d(12, 24, 3, 2, 1), nn.BatchNorm2d(24)
        self.conv3, self.bn3 = nn.Conv2d(24, 48, 3, 2, 1), nn.BatchNorm2d(48)
        self.fc = nn.Linear(48, 10)

    def forward(self, images: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1((images - 0.5) * 4)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return self.fc(torch.relu(self.bn3(self.conv3(x))).mean((2, 3)))


Trained = tuple[nn.Module, Tensor, Tensor]


@pytest.fixture(scope="module")
def trained() -> Trained:
    """A network that gets most of `shapes` right, in double precision, with test images and labels."""
    torch.manual_seed(0)
    (images, labels), (test, truth), _, _ = shapes.generate(train_count=1000, test_count=100, conflict_count=90)
    model = Plain()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=5e-4)
    for _ in range(5):
        for batch in torch.randperm(len(images)).split(50):
            optimiser.zero_grad()
            F.cross_entropy(model(images[batch] / 255), labels[batch]).backward()
            optimiser.step()
    model = model.eval().double()
    assert right(model, test.double() / 255, truth).double().mean() > 0.7
    return model, test.double() / 255, truth


def right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return model(images).argmax(1) == labels


# --- units ------------------------------------------------------------------------------------------------------------


def test_budget_is_in_the_papers_units() -> None:
    assert attacks.budget("l2", 12, 224) == 12
    assert attacks.budget("l2", 12, 32) == pytest.approx(1.7142857, abs=1e-7)
    assert attacks.budget("linf", 8, 32) == attacks.budget("linf", 8, 224) == 8 / 255


def test_default_step_is_the_papers_at_its_20_steps() -> None:
    assert attacks.default_step(0.4, 20) == 0.2
    assert attacks.default_step(0.4, 10) == pytest.approx(0.1)
    assert attacks.default_step(0.4, 40) == pytest.approx(0.025)


@pytest.mark.parametrize(("steps", "size"), [(20, 0.02), (5, 0.02), (40, 0.0025)])
def test_pgd_walks_with_the_default_step(steps: int, size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    taken, step = [], attacks.step

    def spy(images: Tensor, gradient: Tensor, size: float, norm: str) -> Tensor:
        taken.append(size)
        return step(images, gradient, size, norm)

    monkeypatch.setattr(attacks, "step", spy)
    labels = torch.zeros(4, dtype=torch.long)
    attacks.pgd(Small(), pictures(0), labels, eps=0.04, steps=steps)
    attacks.robustness(Small(), pictures(0), labels, eps=0.04, steps=steps)
    assert taken == [pytest.approx(size)] * (2 * steps)


# --- the ball, the range, zero ----------------------------------------------------------------------------------------


@given(
    seeds, norms, st.floats(1e-4, 1), st.booleans(), st.one_of(st.none(), st.floats(0, 5)), st.integers(1, 4)
)  # fmt: skip
def test_pgd_stays_in_ball_and_range(
    seed: int, norm: str, eps: float, random_start: bool, step_size: float | None, steps: int
) -> None:
    eps = eps if norm == "linf" else 3 * eps
    images = pictures(seed)
    before, labels = images.clone(), torch.arange(4)
    found = attacks.pgd(
        Small(), images, labels, eps=eps, norm=norm, steps=steps, step_size=step_size, random_start=random_start,
        generator=generator(seed),
    )  # fmt: skip
    assert found.min() >= 0 and found.max() <= 1
    assert (lengths(found - images, norm) <= eps * (1 + 1e-5) + 1e-6).all()
    assert found.shape == images.shape and found.dtype == images.dtype and not found.requires_grad
    assert torch.equal(images, before)


@given(seeds, norms, st.floats(1e-3, 2))
def test_projection_is_the_nearest_point(seed: int, norm: str, eps: float) -> None:
    centre = pictures(seed, low=0.4, high=0.6).double()
    far = centre + torch.randn(centre.shape, generator=generator(seed), dtype=torch.float64) * eps / 4
    ball = attacks.project(far, centre, eps, norm)
    assert torch.allclose(attacks.project(ball, centre, eps, norm), ball, atol=1e-12)
    inside = (lengths(far - centre, norm) <= eps) & ((far - 0.5).abs().flatten(1).amax(1) <= 0.5)
    assert torch.allclose(ball[inside], far[inside], atol=1e-12)
    # without the range: the l2 projection lies on the sphere, on the way to the centre; the linf one clips each pixel
    change, small = far - centre, eps < 0.2
    if small and norm == "l2":
        want = centre + change * (eps / lengths(change, "l2")).clamp_max(1).view(-1, 1, 1, 1)
        assert torch.allclose(ball, want.clamp(0, 1), atol=1e-12)
    if small and norm == "linf":
        assert torch.allclose(ball, (centre + change.clamp(-eps, eps)).clamp(0, 1), atol=1e-12)


@given(seeds, norms, st.booleans())
def test_zero_budget_returns_the_images_bit_for_bit(seed: int, norm: str, random_start: bool) -> None:
    images = pictures(seed)
    images[0, 0, 0, 0] = -0.0
    labels = torch.zeros(4, dtype=torch.long)
    for found in (
        attacks.pgd(Untouchable(), images, labels, eps=0, norm=norm, random_start=random_start),
        attacks.fgsm(Untouchable(), images, labels, eps=0),
        attacks.spatial(Untouchable(), images, labels, max_flow=0),
    ):
        assert torch.equal(found.view(torch.int32), images.view(torch.int32))
        assert found.data_ptr() != images.data_ptr()  # a copy: writing to it leaves the images alone


def test_robustness_at_zero_budget_takes_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attacks, "input_gradient", None)
    model = Scripted(torch.tensor([[True, False]]))
    found = attacks.robustness(model, torch.tensor([0.0, 0.01]).view(2, 1, 1, 1), torch.zeros(2).long(), eps=0)
    assert found.always.tolist() == [True, False] and len(model.seen) == 1


def test_robustness_at_zero_budget_is_accuracy(trained: Trained) -> None:
    model, images, labels = trained
    for options in ({}, {"random_start": True}, {"norm": "l2", "random_start": True}, {"drop_fooled": True}):
        found = attacks.robustness(model, images, labels, eps=0, **options)
        assert torch.equal(found.always, right(model, images, labels)), options


@every_attack
def test_images_that_require_gradients_come_back_detached(attack: Attack) -> None:
    images = pictures(0).requires_grad_(True)
    found = attack(Small(), images, torch.zeros(4, dtype=torch.long))
    assert not found.requires_grad
    assert images.grad is None


@every_attack
def test_no_images_give_no_images(attack: Attack) -> None:
    assert attack(Small(), pictures(0, count=0), torch.zeros(0, dtype=torch.long)).shape == (0, 3, 8, 8)


# --- starts and seeds -------------------------------------------------------------------------------------------------


@given(seeds, norms)
def test_start_without_randomness_is_the_images(seed: int, norm: str) -> None:
    images = pictures(seed)
    assert torch.equal(attacks.start(images, 0.1, norm, False, None), images)


@given(seeds, norms)
def test_random_starts_stay_in_range(seed: int, norm: str) -> None:
    found = attacks.start(pictures(seed), 2.0, norm, True, generator(seed))
    assert found.min() >= 0 and found.max() <= 1


def test_random_starts_fill_the_ball() -> None:
    """Uniform in the ball: (r/eps)^d is uniform in l2; a start on the sphere, or at the centre, is neither."""
    images = torch.full((4000, 3, 2, 2), 0.5)
    for norm, eps in (("linf", 0.3), ("l2", 0.4)):
        change = attacks.start(images, eps, norm, True, generator(1)) - images
        within = (lengths(change, "l2") / eps) ** 12 if norm == "l2" else (change.flatten() / eps + 1) / 2
        deciles = torch.histc(within, 10, 0, 1) / within.numel()
        assert deciles.sum() == pytest.approx(1)
        assert (deciles - 0.1).abs().max() < 0.02, norm
        assert change.mean().abs() < 0.01


@given(seeds, norms)
@settings(max_examples=20)
def test_equal_seeds_give_equal_images(seed: int, norm: str) -> None:
    model, images, labels = Small(), pictures(seed), torch.arange(4)
    run = partial(attacks.pgd, model, images, labels, eps=0.1, norm=norm, steps=2, random_start=True)
    before = torch.get_rng_state()
    first, second, other = (run(generator=generator(s)) for s in (seed, seed, seed + 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)  # only the generator given is used


@pytest.mark.parametrize("name", [name for name in ATTACKS if "random" not in name])
def test_attacks_from_zero_draw_nothing(name: str) -> None:
    model, before = Small(), torch.get_rng_state()
    first = ATTACKS[name](model, pictures(0), torch.arange(4))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    assert torch.equal(ATTACKS[name](model, pictures(0), torch.arange(4)), first)


# --- a linear network, where the answer is known ----------------------------------------------------------------------


@given(seeds, norms, st.floats(0.2, 3), st.sampled_from([3, 6]), st.sampled_from([1, 7, 20]), st.booleans())
def test_pgd_fools_a_linear_network_exactly_beyond_its_distance(
    seed: int, norm: str, factor: float, side: int, steps: int, drop_fooled: bool
) -> None:
    model = Linear(seed, side)
    images = pictures(seed + 1, 12, side, 0.4, 0.6).double()
    labels = model(images).argmax(1)
    labels[0] = 1 - labels[0]  # one image that is wrong from the start
    distance = model.distance(images, norm)
    eps = factor * float(distance.median())  # far from the edges of [0, 1], so the range doesn't matter
    expected = distance > eps
    expected[0] = False
    clear = (distance / eps - 1).abs() > 1e-6
    options: dict[str, Any] = {"eps": eps, "norm": norm, "steps": steps}
    found = attacks.robustness(model, images, labels, **options, drop_fooled=drop_fooled)
    assert torch.equal(found.always[clear], expected[clear])
    if found.last is not None:
        assert torch.equal(found.last[clear][1:], expected[clear][1:])
    moved = attacks.pgd(model, images, labels, **options)
    assert torch.equal(right(model, moved, labels)[clear][1:], expected[clear][1:])


@given(seeds, st.floats(0.01, 0.8), st.integers(1, 5))
def test_linf_steps_reach_the_corner_of_ball_and_range(seed: int, eps: float, steps: int) -> None:
    model, images = Linear(seed, 4), pictures(seed, side=4).double()
    labels = model(images).argmax(1)
    uphill = (1 - 2 * labels).view(-1, 1, 1, 1) * model.w.detach().sign().view(1, 3, 4, 4)
    corner = (images + eps * uphill).clamp(0, 1)
    assert torch.allclose(attacks.pgd(model, images, labels, eps=eps, steps=steps, step_size=eps), corner, atol=1e-12)
    assert torch.allclose(attacks.fgsm(model, images, labels, eps=eps), corner, atol=1e-12)


@given(seeds, st.floats(0.01, 0.3), st.integers(1, 5))
def test_l2_steps_go_straight_to_the_sphere(seed: int, eps: float, steps: int) -> None:
    model, images = Linear(seed, 4), pictures(seed, side=4, low=0.4, high=0.6).double()
    labels = model(images).argmax(1)
    uphill = (1 - 2 * labels).view(-1, 1, 1, 1) * (model.w.detach() / model.w.detach().norm()).view(1, 3, 4, 4)
    found = attacks.pgd(model, images, labels, eps=eps, norm="l2", steps=steps)
    assert torch.allclose(found, images + eps * uphill, atol=1e-9)


@given(seeds, norms, st.booleans())
def test_no_linear_network_of_many_classes_is_fooled_within_its_distance(seed: int, norm: str, random: bool) -> None:
    weights = torch.randn(5, 3 * 36, generator=generator(seed), dtype=torch.float64)
    layer = nn.Linear(108, 5).double()
    layer.weight.data.copy_(weights)
    model = nn.Sequential(nn.Flatten(), layer)
    images = pictures(seed, 10, 6).double()
    logits = model(images).detach()
    labels = logits.argmax(1)
    apart = (weights[labels][:, None] - weights).norm(dim=2, p=1 if norm == "linf" else 2)
    distance = ((logits.gather(1, labels[:, None]) - logits) / apart.clamp_min(1e-9)).scatter(
        1, labels[:, None], math.inf
    )
    eps = float(distance.amin(1).median())
    found = attacks.robustness(
        model, images, labels, eps=eps, norm=norm, steps=5, random_start=random, generator=generator(seed)
    )
    assert found.always[distance.amin(1) > eps * (1 + 1e-9)].all()


@given(seeds)
def test_input_gradient_of_a_linear_network(seed: int) -> None:
    model, images = Linear(seed, 4), pictures(seed, side=4).double()
    labels = torch.tensor([0, 1, 0, 1])
    gradient, logits = gradients.input_gradient(model, images, labels)
    by_hand = (1 - 2 * labels)[:, None] * model.w.detach()  # of the log-odds of two classes: ± the weights
    assert torch.allclose(gradient.flatten(1), by_hand, atol=1e-10)
    assert not gradient.requires_grad and not logits.requires_grad


@given(seeds, norms, st.floats(0.01, 2))
def test_steps_have_their_length(seed: int, norm: str, size: float) -> None:
    images, gradient = pictures(seed).double(), torch.randn(4, 3, 8, 8, generator=generator(seed)).double()
    gradient[0] = 0  # a dead gradient moves nothing and breaks nothing
    change = attacks.step(images, gradient, size, norm) - images
    assert torch.allclose(lengths(change, norm)[1:], torch.tensor(size, dtype=torch.float64), atol=1e-9)
    assert (change[0] == 0).all()
    assert ((change * gradient)[1:].flatten(1).sum(1) > 0).all()  # uphill


# --- what an attack leaves behind -------------------------------------------------------------------------------------


def state(model: nn.Module) -> list[object]:
    modes = [module.training for module in model.modules()]
    return [modes, [parameter.requires_grad for parameter in model.parameters()]]


def mixed(model: nn.Module) -> nn.Module:
    """Training mode with the batch norm in evaluation mode, and one parameter frozen: not to be levelled."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    next(model.parameters()).requires_grad_(False)
    return model


@every_attack
@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_flags_are_left_as_found(attack: Attack, fails: bool) -> None:
    model = mixed(Fragile() if fails else Small())
    before = state(model)
    if fails and attack is not ATTACKS["fgsm"]:
        with pytest.raises(RuntimeError, match="out of memory"):
            attack(model, pictures(0), torch.arange(4))
    elif fails:  # one look only: fails at the second attack
        attack(model, pictures(0), torch.arange(4))
        with pytest.raises(RuntimeError, match="out of memory"):
            attack(model, pictures(0), torch.arange(4))
    else:
        attack(model, pictures(0), torch.arange(4))
    assert state(model) == before


@every_attack
def test_attacks_judge_in_evaluation_mode_and_touch_no_statistics(attack: Attack) -> None:
    model, labels = Small(), torch.arange(4)
    model(pictures(1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(0)
    in_training = attack(model.train(), pictures(0), labels)
    torch.manual_seed(0)
    assert torch.equal(attack(model.eval(), pictures(0), labels), in_training)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@every_attack
def test_attacks_run_where_gradients_are_off(attack: Attack) -> None:
    model, images, labels = Small().eval(), pictures(0), torch.arange(4)
    torch.manual_seed(0)
    expected = attack(model, images, labels)
    torch.manual_seed(0)
    with torch.no_grad():
        assert torch.equal(attack(model, images, labels), expected)
    assert not torch.equal(expected, images)


@every_attack
def test_no_parameter_gradient_is_left(attack: Attack) -> None:
    model = Small()
    attack(model, pictures(0), torch.arange(4))
    assert all(parameter.grad is None for parameter in model.parameters())
    model(pictures(1)).sum().backward()
    before = [(parameter.grad, parameter.grad.clone()) for parameter in model.parameters()]  # type: ignore[union-attr]
    attack(model, pictures(0), torch.arange(4))
    for parameter, (gradient, value) in zip(model.parameters(), before, strict=True):
        assert parameter.grad is gradient and torch.equal(gradient, value)  # type: ignore[arg-type]


CONVOLUTIONS = 20  # of a ResNet-18: the stem, 16 in blocks, 3 in shortcuts


def test_pgd_10_takes_10_forwards_10_input_gradients_and_no_weight_gradient() -> None:
    """Width 4 instead of 64: the graph, and so the counts, are the same."""
    model, images, labels = models.resnet18(width=4).train(), pictures(0, 32, 32), torch.arange(32) % 10
    with Passes() as passes:
        attacks.pgd(model, images, labels, eps=8 / 255, steps=10)
    assert passes.of_a_network(CONVOLUTIONS) == "10/10/0"
    with Passes() as passes:
        attacks.robustness(model, images, labels, eps=8 / 255, steps=10)
    assert passes.of_a_network(CONVOLUTIONS) == "11/10/0"
    with Passes() as passes:
        attacks.spatial(model, images, labels, steps=10)
    assert passes.of_a_network(CONVOLUTIONS) == "11/10/0"


def test_an_input_gradient_alone_takes_no_weight_gradient() -> None:
    """Without `frozen` around it, as maps use it."""
    model = models.resnet18(width=4)
    with Passes() as passes:
        gradients.input_gradient(model, pictures(0, 4, 32), torch.arange(4))
    assert passes.of_a_network(CONVOLUTIONS) == "1/1/0"
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_the_count_sees_the_weight_gradients_of_a_naive_loop() -> None:
    model, images, labels = models.resnet18(width=4), pictures(0, 4, 32), torch.arange(4)
    with Passes() as passes:
        for _ in range(3):
            F.cross_entropy(model(images.requires_grad_(True)), labels).backward()
    assert passes.of_a_network(CONVOLUTIONS) == "3/3/3"


# --- precision and memory format --------------------------------------------------------------------------------------


@every_attack
def test_attacks_run_in_the_precision_around_them(attack: Attack) -> None:
    model, images, labels = models.resnet18(width=4), pictures(0, side=32), torch.arange(4)
    with torch.autocast("cpu", torch.bfloat16), Passes() as passes:
        found = attack(model, images, labels)
    assert passes.types == {torch.bfloat16}
    assert found.dtype == torch.float32 and found.min() >= 0 and found.max() <= 1


def test_bf16_moves_robust_accuracy_little(trained: Trained) -> None:
    model, images, labels = trained
    single = models.fold(model).float()
    options: dict[str, Any] = {"eps": 2 / 255, "steps": 10}
    exact = attacks.robustness(model, images, labels, **options).last
    with torch.autocast("cpu", torch.bfloat16):
        moved = attacks.pgd(single, images.float(), labels, **options)
    assert lengths(moved - images, "linf").max() <= 2 / 255 + 1e-6
    assert exact is not None and 0.1 < exact.double().mean() < 0.9  # or equality would mean little
    assert abs(float(right(model, moved.double(), labels).double().mean() - exact.double().mean())) <= 0.03


@every_attack
def test_channels_last_changes_nothing(attack: Attack) -> None:
    model, images, labels = Small().double().eval(), pictures(0).double(), torch.arange(4)
    torch.manual_seed(0)
    plain = attack(model, images, labels)
    torch.manual_seed(0)
    last = attack(
        model.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        images.contiguous(memory_format=torch.channels_last),
        labels,
    )
    assert torch.allclose(last, plain, atol=1e-12)


# --- one pass, two verdicts -------------------------------------------------------------------------------------------


sizes = st.tuples(st.integers(2, 7), st.integers(1, 7))  # looks, images
tables = sizes.flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n[1], max_size=n[1]), min_size=n[0], max_size=n[0])
)


@given(tables, st.booleans(), st.booleans())
def test_last_and_always_are_what_the_network_said(table: list[list[bool]], drop: bool, random_start: bool) -> None:
    said = torch.tensor(table)
    if random_start:  # the first look is then at the clean images
        said = torch.cat((said, said[:1].flip(1)))
    count = said.shape[1]
    images = (torch.arange(count) / 100).view(-1, 1, 1, 1).expand(-1, 3, 2, 2).clone()
    model, labels = Scripted(said), torch.zeros(count, dtype=torch.long)
    found = attacks.robustness(
        model, images, labels, eps=1e-4, steps=len(table) - 1, random_start=random_start, drop_fooled=drop
    )
    assert torch.equal(found.always, said.all(0))
    if drop:
        assert found.last is None and found.logits is None
        # nobody is looked at again after one mistake, and everybody else is
        for look, seen in enumerate(model.seen):
            # (the last look, alone without a gradient, still has those that fell at the one before)
            alive = said[: look - (look == len(said) - 1)].all(0)
            assert seen == alive.nonzero()[:, 0].tolist()
    else:
        assert found.last is not None and found.logits is not None
        assert torch.equal(found.last, said[-1])
        assert torch.equal(found.logits.argmax(1) == 0, said[-1])
        assert len(model.seen) == len(said)


# eps in 1/255, or distances in pixels: where the trained network is partly fooled
PARTLY = [("linf", 2 / 255), ("linf", 3 / 255), ("l2", 0.2)]


@pytest.mark.parametrize(("norm", "eps"), PARTLY)
@pytest.mark.parametrize("random_start", [False, True])
def test_dropping_fooled_images_changes_no_verdict(trained: Trained, norm: str, eps: float, random_start: bool) -> None:
    model, images, labels = trained
    options: dict[str, Any] = {"eps": eps, "norm": norm, "steps": 10, "random_start": random_start}
    whole = attacks.robustness(model, images, labels, **options, generator=generator(3))
    looks: list[int] = []
    handle = model.register_forward_pre_hook(lambda module, inputs: looks.append(len(inputs[0])))
    dropped = attacks.robustness(model, images, labels, **options, generator=generator(3), drop_fooled=True)
    handle.remove()
    assert torch.equal(dropped.always, whole.always)
    assert 0.05 < whole.always.double().mean() < 0.85
    assert sum(looks) < 0.9 * len(images) * (11 + random_start)


@pytest.mark.parametrize(("norm", "eps"), PARTLY)
def test_last_is_the_verdict_on_pgds_images(
    trained: Trained, norm: str, eps: float
) -> None:  # fmt: skip
    model, images, labels = trained
    options: dict[str, Any] = {"eps": eps, "norm": norm, "steps": 6, "random_start": True}
    found = attacks.robustness(model, images, labels, **options, generator=generator(5))
    moved = attacks.pgd(model, images, labels, **options, generator=generator(5))
    assert found.last is not None and found.logits is not None
    assert torch.equal(found.last, right(model, moved, labels))
    with torch.no_grad():
        assert torch.allclose(found.logits, model(moved).float(), atol=1e-5)
    assert not (found.always & ~found.last).any()
    assert not (found.always & ~right(model, images, labels)).any()


# --- foolbox ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("random_start", [False, True])
@pytest.mark.parametrize("eps", [1 / 255, 2 / 255, 3 / 255])
def test_linf_outcome_equals_foolboxs(trained: Trained, eps: float, random_start: bool) -> None:
    model, images, labels = copy.deepcopy(trained[0]).float(), trained[1].float(), trained[2]
    options: dict[str, Any] = {"steps": 10, "random_start": random_start}
    peer = foolbox.attacks.LinfPGD(abs_stepsize=eps / 4, **options)
    torch.manual_seed(7)
    _, theirs, fooled = peer(foolbox.PyTorchModel(model, bounds=(0, 1)), images, labels, epsilons=eps)
    options |= {"eps": eps, "step_size": eps / 4}
    torch.manual_seed(7)
    ours = attacks.pgd(model, images, labels, **options)
    torch.manual_seed(7)
    last = attacks.robustness(model, images, labels, **options).last
    assert last is not None
    assert torch.equal(~last, fooled)
    assert 0.1 < fooled.double().mean() < 0.95
    # pixels whose gradient is all rounding go either way
    assert ((ours - theirs).abs() < 1e-6).double().mean() > 0.99


# --- warps ------------------------------------------------------------------------------------------------------------


@given(seeds, st.integers(1, 9), st.integers(1, 9))
def test_warp_without_flow_is_the_identity(seed: int, height: int, width: int) -> None:
    images = torch.rand(2, 3, height, width, generator=generator(seed))
    assert torch.allclose(attacks.warp(images, torch.zeros(2, 2, height, width)), images, atol=1e-5)


@given(seeds, st.integers(-3, 3), st.integers(-3, 3))
def test_warp_by_whole_pixels_shifts_and_repeats_the_border(seed: int, right: int, down: int) -> None:
    images = torch.rand(2, 3, 6, 7, generator=generator(seed))
    flow = torch.tensor([right, down], dtype=torch.float32).view(1, 2, 1, 1).expand(2, 2, 6, 7)
    rows = (torch.arange(6) + down).clamp(0, 5)
    columns = (torch.arange(7) + right).clamp(0, 6)
    assert torch.allclose(attacks.warp(images, flow), images[:, :, rows][..., columns], atol=1e-5)


def test_warp_by_half_a_pixel_is_the_mean_of_neighbours() -> None:
    images = torch.rand(1, 3, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0] = 0.5
    assert torch.allclose(attacks.warp(images, flow)[..., :-1], (images[..., 1:] + images[..., :-1]) / 2, atol=1e-5)


@given(seeds, st.floats(-3, 3), st.floats(-3, 3))
def test_a_constant_flow_is_smooth(seed: int, right: float, down: float) -> None:
    flow = torch.tensor([right, down]).view(1, 2, 1, 1).expand(3, 2, 5, 6)
    assert torch.allclose(attacks.roughness(flow), torch.tensor(1e-4), atol=1e-6)  # the root of its 1e-8


def test_roughness_of_a_ramp() -> None:
    ramp = torch.zeros(2, 2, 4, 5)
    ramp[0, 0] = 0.3 * torch.arange(5)  # x component grows to the right: 4 of 5 columns have a neighbour
    ramp[1, 1] = 0.4 * torch.arange(4)[:, None]
    assert torch.allclose(attacks.roughness(ramp), torch.tensor([0.3 * 4 / 5, 0.4 * 3 / 4]), atol=1e-4)


# --- margin and spatial -----------------------------------------------------------------------------------------------


@given(seeds, st.integers(2, 12))
def test_margin_is_positive_where_the_network_is_fooled(seed: int, classes: int) -> None:
    logits = torch.randn(20, classes, generator=generator(seed))
    labels = torch.randint(classes, (20,), generator=generator(seed))
    found = attacks.margin(logits, labels)
    assert torch.equal(found > 0, logits.argmax(1) != labels)
    for value, row, label in zip(found, logits.tolist(), labels.tolist(), strict=True):
        assert value == pytest.approx(max(row[:label] + row[label + 1 :]) - row[label], abs=1e-6)


def recorded(model: nn.Module, monkeypatch: pytest.MonkeyPatch, *batch: Tensor, **options: Any) -> list[Tensor]:
    """The flows that `spatial` tries, and last the one that it chose."""
    flows, warp = [], attacks.warp

    def spy(images: Tensor, flow: Tensor) -> Tensor:
        flows.append(flow.detach().clone())
        return warp(images, flow)

    with monkeypatch.context() as patch:
        patch.setattr(attacks, "warp", spy)
        attacks.spatial(model, *batch, **options)
    return flows


@pytest.mark.parametrize(("max_flow", "step_size"), [(2.0, 0.5), (0.3, 0.5), (0.5, 3.0)])
def test_spatial_keeps_the_smoothest_flow_that_fools(
    trained: Trained, monkeypatch: pytest.MonkeyPatch, max_flow: float, step_size: float
) -> None:
    model, images, labels = trained
    images, labels = images[:60], labels[:60]
    *tried, chosen = recorded(model, monkeypatch, images, labels, max_flow=max_flow, step_size=step_size, steps=6)
    assert len(tried) == 7
    assert all(flow.abs().max() <= max_flow for flow in [*tried, chosen])
    assert not tried[0].any() and tried[1].abs().max() == min(step_size, max_flow)
    with torch.no_grad():
        fooled = torch.stack([~right(model, attacks.warp(images, flow), labels) for flow in tried])
    rough = torch.stack([attacks.roughness(flow) for flow in tried])
    best = torch.where(fooled, rough, math.inf).argmin(0)
    best[~fooled.any(0)] = len(tried) - 1  # nothing fooled: the last
    assert torch.equal(chosen, torch.stack(tried)[best, torch.arange(len(images))])
    assert fooled.any(0).any() and (best > 0).any()


def test_spatial_fools_and_leaves_mistakes_in_place(trained: Trained) -> None:
    model, images, labels = trained
    moved = attacks.spatial(model, images, labels)
    clean, after = right(model, images, labels), right(model, moved, labels)
    assert moved.min() >= 0 and moved.max() <= 1
    assert after.double().mean() < 0.2 * clean.double().mean()
    assert torch.allclose(moved[~clean], images[~clean], atol=1e-9)


def test_tau_makes_flows_smoother(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images, labels = trained
    rough = [
        attacks.roughness(recorded(model, monkeypatch, images[:60], labels[:60], tau=tau)[-1]).mean()
        for tau in (0.0, 0.5)
    ]
    assert rough[1] < 0.97 * rough[0]


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": "l1"}, "norm = 'l1': must be one of linf, l2"),
        ({"norm": "linff"}, "did you mean 'linf'"),
        ({"eps": -1}, "eps = -1: must be a number at least 0"),
        ({"eps": math.nan}, "eps = nan"),
        ({"eps": "8/255"}, "eps = '8/255'"),
        ({"steps": 0}, "steps = 0: must be a whole number at least 1"),
        ({"steps": 2.5}, "steps = 2.5"),
        ({"steps": True}, "steps = True"),
        ({"step_size": -0.1}, "step_size = -0.1"),
        ({"random_start": "no"}, "random_start = 'no': must be True or False"),
    ],
)
@pytest.mark.parametrize("attack", [attacks.pgd, attacks.robustness])
def test_bad_parameters_name_themselves_before_any_work(
    attack: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as caught:
        attack(Untouchable(), pictures(0), torch.arange(4), **({"eps": 0.1} | options))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"tau": -1}, "tau"),
        ({"steps": 0}, "steps"),
        ({"step_size": -1}, "step_size"),
        ({"step_size": None}, "step_size"),
        ({"max_flow": -1}, "max_flow"),
    ],
)
def test_bad_parameters_of_spatial(options: dict[str, Any], name: str) -> None:
    with pytest.raises(InputError, match=f"^{name} = {options[name]}"):
        attacks.spatial(Untouchable(), pictures(0), torch.arange(4), **options)


@pytest.mark.parametrize(
    "images",
    [
        torch.full((2, 3, 4, 4), 1.01),
        torch.full((2, 3, 4, 4), -0.01),
        torch.full((2, 3, 4, 4), math.nan),
        torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
        torch.zeros(3, 4, 4),
    ],
    ids=["above", "below", "nan", "uint8", "no batch"],
)
@every_attack
def test_images_outside_the_contract_are_refused(attack: Attack, images: Tensor) -> None:
    with pytest.raises(InputError, match=r"^images = ") as caught:
        attack(Untouchable(), images, torch.zeros(2, dtype=torch.long))
    assert "\n" not in str(caught.value)


@every_attack
def test_what_is_no_module_is_refused(attack: Attack) -> None:
    with pytest.raises(InputError, match=r"^model = a function: must be a torch.nn.Module$"):
        attack(lambda images: images.sum((2, 3)), pictures(0), torch.arange(4) % 3)


def test_bad_norm_of_a_budget() -> None:
    with pytest.raises(InputError, match="norm = 'l3'"):
        attacks.budget("l3", 8, 32)


@pytest.mark.parametrize(
    ("eps", "side", "message"),
    [("8", 32, "eps = '8'"), (math.nan, 32, "eps = nan"), (-1, 32, "eps = -1"), (8, 0, "side = 0")],
)
def test_a_budget_that_is_no_number_is_one_line(eps: Any, side: int, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}: must be "):
        attacks.budget("l2", eps, side)


class NoGradient(Small):
    """Its answers are numbers and its gradient is none where a pixel is 0."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + (images * 0).sqrt().sum() + images.clamp_min(0).sqrt().mean((1, 2, 3))[:, None]


def test_a_network_whose_gradient_is_nan_does_not_pass_for_a_robust_one() -> None:
    images, labels = torch.rand(3, 3, 8, 8), torch.tensor([0, 1, 2])
    for attack in ATTACKS.values():
        with pytest.raises(NetworkError) as error:
            attack(NoGradient(), images, labels)
        assert str(error.value) == "model: its gradient with respect to the input is NaN or infinite for 3 of 3 images"
    model = NoGradient().eval()
    labels = model(images).argmax(1)
    for drop in (False, True):
        outcome = attacks.robustness(model, images, labels, eps=8 / 255, steps=2, drop_fooled=drop)
        assert outcome.always.all() and outcome.vanished.all()
    assert attacks.vanished(model, images, labels).all()


class LateNoGradient(Small):
    """Its answers are always numbers; its gradient is NaN for pictures with a pixel of exactly 0."""

    def forward(self, images: Tensor) -> Tensor:
        lowest = images.amin((1, 2, 3))[:, None]
        return super().forward(images) + torch.where(lowest <= 0, lowest * lowest.sqrt(), 0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_gradient_that_is_nan_for_one_picture_is_counted_and_costs_the_others_nothing(norm: str) -> None:
    """One NaN refused the rows of all pictures; the attack on the others is the same with it and without."""
    torch.manual_seed(0)
    images, labels = 0.3 + 0.4 * torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])
    images[1, 0, 0, 0] = 0.0
    others = torch.tensor([0, 2, 3])
    model = LateNoGradient().eval()
    labels = model(images).argmax(1)
    arguments: dict[str, Any] = {"eps": 0.1, "norm": norm, "steps": 3}
    both = attacks.robustness(model, images, labels, **arguments)
    assert both.last is not None
    assert both.vanished.tolist() == [False, True, False, False] and both.last[1]
    alone = attacks.robustness(model, images[others], labels[others], **arguments)
    assert alone.last is not None and not alone.vanished.any()
    assert torch.equal(both.last[others], alone.last) and torch.equal(both.always[others], alone.always)


def test_a_gradient_that_becomes_nan_later_is_counted_too() -> None:
    """At the start it is followed; the step then ends where there is none."""
    images = torch.full((1, 3, 8, 8), 0.02)
    model = LateNoGradient().eval()
    labels = model(images).argmax(1)
    assert not attacks.vanished(model, images, labels).any()
    assert attacks.robustness(model, images, labels, eps=0.1, steps=3).vanished.all()


class LateNaN(Small):
    """Finite on the clean pictures, NaN wherever an attack has moved a pixel below .2."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.where(images.amin((1, 2, 3))[:, None] < 0.2, math.nan, super().forward(images))


def test_nan_at_the_last_iterate_is_no_answer() -> None:
    """The largest of several NaN is class 0, so that pictures of class 0 passed for robust ones."""
    images, labels = torch.full((2, 3, 8, 8), 0.21), torch.zeros(2, dtype=torch.long)
    model = LateNaN().eval()
    known = model(images).argmax(1)  # others leave the batch at once where the fooled are dropped
    for steps, drop in ((1, False), (2, False), (1, True), (2, True)):
        with pytest.raises(NetworkError, match=r"^model: its outputs are NaN or infinite for 2 of 2 images$"):
            attacks.robustness(model, images, known if drop else labels, eps=8 / 255, steps=steps, drop_fooled=drop)


# --- confident networks, small gradients, gradients that are not there ------------------------------------------------


@pytest.mark.parametrize("gap", [5.0, 18.0, 40.0, 80.0])
def test_the_gradient_of_a_confident_network_keeps_all_its_pixels(gap: float) -> None:
    images, labels = torch.full((1, 1, 2, 2), 0.5), torch.tensor([0])
    gradient, _ = gradients.input_gradient(Halves(gap), images, labels)
    assert gradient.flatten().tolist() == [-1, 1, -1, 1]
    moved = attacks.pgd(Halves(gap), images, labels, eps=0.1, steps=1, step_size=0.1)
    torch.testing.assert_close(moved.flatten(), torch.tensor([0.4, 0.6, 0.4, 0.6]))


@given(seeds, st.sampled_from([1.0, 5.0, 18.0, 40.0, 80.0]))
def test_log_odds_are_the_cross_entropys_in_double_precision(seed: int, gap: float) -> None:
    logits = torch.randn(6, 5, generator=generator(seed)) * gap
    labels = torch.arange(6) % 5
    exact = F.cross_entropy(logits.double(), labels, reduction="none")
    found = F.softplus(gradients.log_odds(logits, labels).double())
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-5)
    assert gradients.log_odds(logits.bfloat16(), labels).dtype == torch.float32


class Louder(nn.Module):
    """A network with its logits multiplied: the same answers, however large the factor."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor = model, factor

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images.float()).to(images.dtype) * self.factor


@pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("l2", 1.2)])
def test_a_louder_network_is_no_more_robust(trained: Trained, norm: str, eps: float) -> None:
    """With two classes the log-odds are the difference of the logits, so that a factor changes no direction at all."""
    model, images, labels = trained
    known, model = labels < 2, copy.deepcopy(model).float()
    images, labels = images[known].float(), labels[known]

    class Two(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.model, self.factor = model, factor

        def forward(self, shown: Tensor) -> Tensor:
            return self.model(shown)[:, :2] * self.factor

    always = [
        attacks.robustness(Two(factor), images, labels, eps=eps, norm=norm, steps=10).always
        for factor in (1.0, 8.0, 64.0)
    ]
    assert 0 < always[0].float().mean() < 1  # the attack neither fails everywhere nor succeeds everywhere
    assert torch.equal(always[0], always[1]) and torch.equal(always[0], always[2])


@pytest.mark.parametrize("scale", [1.0, 1e-13, 1e-30, 1e-40])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_an_l2_step_has_its_length_however_small_the_gradient(scale: float, dtype: torch.dtype) -> None:
    gradient = torch.randn(4, 3, 8, 8, generator=generator(1), dtype=torch.float64)
    gradient = (gradient * max(scale, 1e-6 if dtype == torch.float16 else 0)).to(dtype)
    gradient[0] = 0
    change = attacks.step(torch.full_like(gradient, 0.5), gradient, 0.25, "l2") - 0.5
    found = change.flatten(1).double().norm(dim=1)
    want = torch.tensor([0.0, 0.25, 0.25, 0.25], dtype=torch.float64)
    torch.testing.assert_close(found, want, rtol=0, atol=2e-2 if dtype == torch.float16 else 1e-5)


@pytest.mark.parametrize("norm", attacks.NORMS)
def test_half_precision_stays_in_the_ball(norm: str) -> None:
    images = pictures(1).half()
    found = attacks.pgd(
        Louder(Small(), 1.0), images, torch.arange(4), eps=0.1, norm=norm, steps=3, random_start=True,
        generator=generator(2),
    )  # fmt: skip
    assert found.dtype == torch.float16 and found.isfinite().all()
    assert (lengths((found - images).float(), norm) <= 0.1 * 1.01).all() and not torch.equal(found, images)
    assert torch.equal(attacks.project(images, images, 0.1, norm), images)


class Broken(Small):
    """A network whose outputs are NaN."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * math.nan


class Rounded(Small):
    """A network behind a rounding of its input: its gradient is zero everywhere."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward((images * 255).round() / 255)


def test_a_gradient_that_is_not_there_is_counted() -> None:
    images, model = pictures(3), Rounded()
    labels = model(images).argmax(1)
    outcome = attacks.robustness(model, images, labels, eps=8 / 255, steps=2)
    assert outcome.always.all() and outcome.vanished.all()  # "robust", and why it isn't
    assert not attacks.robustness(Small(), images, labels, eps=8 / 255, steps=2).vanished.any()


def test_the_gradient_that_the_spatial_attack_lacks_is_the_flows() -> None:
    model, images = Small().eval(), pictures(3)
    images[1] = 0.3  # of one colour: moving its pixels changes nothing
    labels = model(images).argmax(1)
    labels[2] = (labels[2] + 1) % 3  # one that is misclassified already has a gradient, too
    assert attacks.vanished_flow(model, images, labels).tolist() == [False, True, False, False]
    assert not attacks.robustness(model, images, labels, eps=8 / 255, steps=2).vanished.any()
    assert attacks.vanished_flow(Rounded(), images, labels).all()
    with pytest.raises(NetworkError, match=r"^model: its outputs are NaN or infinite for 4 of 4 images$"):
        attacks.vanished_flow(Broken(), images, labels)


# --- labels, numpy's numbers, inference mode --------------------------------------------------------------------------


@every_attack
def test_labels_of_any_whole_type_are_taken(attack: Attack) -> None:
    model, images = Small().eval(), pictures(1)
    want = attack(model, images, torch.arange(4), **seeded(attack))
    for dtype in (torch.int32, torch.uint8, torch.int16):
        assert torch.equal(attack(model, images, torch.arange(4, dtype=dtype), **seeded(attack)), want)


def seeded(attack: Attack) -> dict[str, Any]:
    random = isinstance(attack, partial) and attack.keywords.get("random_start")
    return {"generator": generator(0)} if random else {}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            F.one_hot(torch.arange(4), 5),
            r"labels = torch.int64 (4, 5): must be a tensor of whole numbers, one for each",
        ),
        (torch.arange(4.0), "labels = torch.float32 (4,): must be a tensor of whole numbers, one for each image, 4"),
        (torch.arange(3), "labels = torch.int64 (3,): must be a tensor of whole numbers, one for each image, 4"),
        ([0, 1, 2, 3], "labels = a list: must be a tensor of whole numbers, one for each image, 4"),
        (torch.tensor([0, 1, 2, -1]), "labels = -1: must be at least 0"),
    ],
)
@every_attack
def test_labels_that_fit_no_image_are_one_line(attack: Attack, labels: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        attack(Untouchable(), pictures(0), labels)
    assert str(error.value).startswith(message)


@every_attack
def test_a_label_beyond_the_networks_classes_is_one_line(attack: Attack) -> None:
    with pytest.raises(InputError, match=r"^labels = 5: must be below 5, the number of the model's outputs$"):
        attack(Small(), pictures(0), torch.tensor([0, 1, 2, 5]))


@every_attack
def test_the_largest_label_is_asked_for_once_also_of_a_gpu(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking a label up beyond the outputs would end all work on the GPU, with an error that names no label."""
    known: list[int | None] = []
    check = gradients.check_logits

    def watched(logits: Tensor, labels: Tensor, highest: int | None = None) -> None:
        known.append(highest)
        check(logits, labels, highest)

    for module in (attacks, gradients):
        monkeypatch.setattr(module, "check_logits", watched)
    attack(Small().eval(), pictures(0), torch.tensor([0, 1, 2, 3]), **seeded(attack))
    assert set(known) == {3}


def test_without_images_robustness_has_empty_results() -> None:
    found = attacks.robustness(Small().eval(), pictures(0)[:0], torch.arange(0), eps=0.1)
    assert found.last is not None and found.logits is not None
    assert found.last.shape == found.always.shape == found.vanished.shape == (0,) and found.logits.shape == (0, 5)


@every_attack
def test_attacks_run_inside_inference_mode(attack: Attack) -> None:
    model = Small().eval()
    want = attack(model, pictures(1), torch.arange(4), **seeded(attack))
    with torch.inference_mode():
        found = attack(model, pictures(1), torch.arange(4), **seeded(attack))
    assert torch.equal(found, want)


def test_numbers_of_numpy_are_numbers() -> None:
    model, images, labels = Small().eval(), pictures(1), torch.arange(4)
    want = attacks.pgd(model, images, labels, eps=0.125, steps=2)
    options: dict[str, Any] = {"eps": np.float32(0.125), "steps": np.int64(2)}
    assert torch.equal(attacks.pgd(model, images, labels, **options), want)
    with pytest.raises(InputError, match=r"^steps = 0: must be a whole number at least 1$"):
        attacks.pgd(model, images, labels, **(options | {"steps": np.int64(0)}))


def test_a_budget_in_grey_levels_is_refused_for_pixels_in_0_to_1() -> None:
    with pytest.raises(InputError, match=r"^eps = 8: must be at most 1, since pixels lie in \[0, 1\]; write 8/255$"):
        attacks.pgd(Untouchable(), pictures(0), torch.arange(4), eps=8)


def test_the_rounding_of_an_antialiased_resize_is_taken() -> None:
    images = torch.nn.functional.interpolate(torch.ones(4, 3, 21, 21), (8, 8), mode="bicubic", antialias=True)
    images[0, 0, 0, 0] = 1.0000002
    assert attacks.pgd(Small(), images, torch.arange(4), eps=0.1, steps=1).max() <= 1
    with pytest.raises(InputError, match=r"^images = \[1, 1\.0001\]: must lie in \[0, 1\]$"):
        attacks.pgd(
            Untouchable(), torch.ones(4, 3, 8, 8).index_fill(0, torch.tensor(0), 1.0001), torch.arange(4), eps=0.1
        )


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_in_half_precision_pixels_move_by_the_flow_alone(kind: torch.dtype) -> None:
    """Half precision doesn't tell the pixels of a large image apart: it was read elsewhere, or outside."""
    images = torch.rand(1, 3, 224, 224).to(kind)
    still = attacks.warp(images, torch.zeros(1, 2, 224, 224))
    assert still.dtype == kind and (still.float() - images.float()).abs().max() <= torch.finfo(kind).eps
    labels = torch.zeros(1, dtype=torch.long)
    moved = attacks.spatial(Halves(0), images, labels, max_flow=0.01, steps=2)
    assert moved.dtype == kind and (moved.float() - images.float()).abs().max() < 0.02


def test_outputs_that_are_no_logits_are_one_line() -> None:
    class Pair(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return images.flatten(1), images

    images, labels = torch.rand(2, 3, 4, 4), torch.zeros(2, dtype=torch.long)
    with pytest.raises(NetworkError, match="model: gives a tuple: must be one tensor of logits, N×classes"):
        attacks.pgd(Pair(), images, labels, eps=0.1)
    single = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    with pytest.raises(NetworkError, match="at least two classes"):
        attacks.pgd(single, images, labels, eps=0.1)


@pytest.mark.parametrize("norm", attacks.NORMS)
def test_torchs_default_type_does_not_change_a_random_start(norm: str) -> None:
    images = torch.rand(2, 3, 8, 8)

    def begin() -> Tensor:
        return attacks.start(images, 0.1, norm, True, torch.Generator().manual_seed(3))

    before = begin()
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(begin(), before)
    finally:
        torch.set_default_dtype(torch.float32)


class Detached(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.detach().mean((2, 3))


class Two(nn.Module):
    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return images.mean((2, 3)), images


@pytest.mark.parametrize("attack", [lambda *a: attacks.spatial(*a, steps=2), attacks.vanished_flow])
def test_a_flow_needs_a_gradient_and_logits_like_any_attack(attack) -> None:
    """`spatial` gave the pictures back, as if the network withstood it."""
    images, labels = torch.rand(2, 3, 8, 8), torch.tensor([0, 1])
    with pytest.raises(NetworkError, match=r"^model: its outputs have no gradient with respect to its input"):
        attack(Detached(), images, labels)
    with pytest.raises(NetworkError, match=r"^model: gives a tuple: must be one tensor of logits"):
        attack(Two(), images, labels)
