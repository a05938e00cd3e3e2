"""Adversarial examples: FGSM, PGD in two norms, spatial transformation; and what is left of a network under them.

Every attack is a function `attack(model, images, labels, …)` of float images in [0, 1], N×C×H×W, and labels, int64 N,
and returns images in [0, 1], detached. Budgets are distances between pixels in [0, 1]: `budget` turns the paper's
units into them. The model is put in evaluation mode and its parameters are frozen while an attack runs; both are
left as found. Only the gradient of the images is computed. Attacks run in the precision of the autocast around them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InputError, in_range, one_of
from .transforms import check_range

NORMS = ("linf", "l2")
PAPER_STEPS = 20


def budget(norm: str, eps: float, side: int) -> float:
    """The paper's eps as a distance between pixels in [0, 1].

    linf: eps counts 1/255. l2: the paper's eps is a distance at 224×224 (its released code), scaled by side/224 for
    other sizes, so that the change of an average pixel stays the same: 12 means 1.71 at side 32.
    """
    one_of("norm", norm, NORMS)
    return eps / 255 if norm == "linf" else eps * side / 224


def default_step(eps: float, steps: int) -> float:
    """The paper's step, eps/2, at its 20 steps; 2.5·eps/steps at any other number (Madry et al. 2018)."""
    return eps / 2 if steps == PAPER_STEPS else 2.5 * eps / steps


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside; every module's mode and every flag as found afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval()
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def input_gradient(
    model: nn.Module, images: Tensor, labels: Tensor, loss: Callable[[Tensor, Tensor], Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """(gradient of the summed loss with respect to the images, logits); cross entropy unless a loss is given."""
    with torch.enable_grad():
        images = images.detach().requires_grad_(True)
        logits = model(images)
        value = F.cross_entropy(logits.float(), labels, reduction="sum") if loss is None else loss(logits, labels).sum()
        (gradient,) = torch.autograd.grad(value, images)
    return gradient, logits.detach()


def project(images: Tensor, centre: Tensor, eps: float, norm: str) -> Tensor:
    """The nearest point of the eps-ball around `centre`, then of [0, 1]: still in the ball, as `centre` is in it."""
    if norm == "linf":
        return torch.minimum(torch.maximum(images, centre - eps), centre + eps).clamp(0, 1)
    change = images - centre
    length = change.flatten(1).norm(dim=1).clamp_min(1e-12)
    return (centre + change * (eps / length).clamp_max(1).view(-1, 1, 1, 1)).clamp(0, 1)


def step(images: Tensor, gradient: Tensor, size: float, norm: str) -> Tensor:
    """Go uphill by `size`: along the sign (linf), or along the gradient scaled to length one (l2)."""
    if norm == "linf":
        return images + size * gradient.sign()
    length = gradient.flatten(1).norm(dim=1).clamp_min(1e-12)
    return images + gradient * (size / length).view(-1, 1, 1, 1)


def start(images: Tensor, eps: float, norm: str, random_start: bool, generator: torch.Generator | None) -> Tensor:
    """The first iterate: the images, or a uniform draw from the eps-ball around them, clipped to [0, 1]."""
    if not random_start:
        return images
    device = generator.device if generator is not None else images.device
    if norm == "linf":
        noise = torch.rand(images.shape, generator=generator, device=device).to(images) * 2 * eps - eps
    else:
        noise = torch.randn(images.shape, generator=generator, device=device).to(images)
        share = torch.rand(len(images), generator=generator, device=device).to(images)  # of the ball's volume
        radius = share ** (1 / images.shape[1:].numel())
        noise = noise * (eps * radius / noise.flatten(1).norm(dim=1)).view(-1, 1, 1, 1)
    return (images + noise).clamp(0, 1)


def check(images: Tensor, reach: float, norm: str, steps: int, step_size: float | None, name: str = "eps") -> None:
    """Raise InputError for images outside [0, 1] or a parameter out of range; name: what the caller calls `reach`."""
    one_of("norm", norm, NORMS)
    in_range(name, reach, 0)
    in_range("steps", steps, 1, whole=True)
    if step_size is not None:
        in_range("step_size", step_size, 0)
    if images.dim() != 4 or not images.is_floating_point():
        raise InputError(f"images = {images.dtype} {tuple(images.shape)}: must be float, N×C×H×W, in [0, 1]")
    check_range(images)


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = PAPER_STEPS,
    step_size: float | None = None,
    random_start: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Projected gradient ascent on the cross entropy (Madry et al. 2018; the paper's section 2.1); the last iterate.

    eps: radius of the ball in [0, 1] pixels (8/255; 12·side/224), 0 returns the images bit for bit. norm: "linf"
    (steps along the sign) or "l2" (along the normalised gradient). step_size: `default_step` unless given.
    random_start: begin at a uniform draw from the ball (`generator`), as the released code does not. steps forward and
    backward passes. InputError for a parameter out of range or images outside [0, 1].
    """
    check(images, eps, norm, steps, step_size)
    images = images.detach()
    if eps == 0:
        return images.clone()
    size = default_step(eps, steps) if step_size is None else step_size
    with frozen(model):
        x = start(images, eps, norm, random_start, generator)
        for _ in range(steps):
            gradient, _ = input_gradient(model, x, labels)
            x = project(step(x, gradient, size, norm), images, eps, norm)
    return x


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float) -> Tensor:
    """One step of length eps along the sign of the gradient (Goodfellow et al. 2014); parameters as for `pgd`."""
    return pgd(model, images, labels, eps=eps, steps=1, step_size=eps)


class Outcome(NamedTuple):
    """What an attack left: right after the last iterate, right after every one (bool N), last logits (N×classes)."""

    last: Tensor | None
    always: Tensor
    logits: Tensor | None


def robustness(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    steps: int = 40,
    step_size: float | None = None,
    random_start: bool = False,
    generator: torch.Generator | None = None,
    drop_fooled: bool = False,
) -> Outcome:
    """Which images a network still gets right under PGD, judged at the last iterate and at every iterate, in one pass.

    The start and the clean image count as iterates. With `drop_fooled` an image that was misclassified once leaves
    the batch: the same answer for "always" in a fraction of the time, and none for "last". Parameters as for `pgd`;
    steps + 1 forward passes (one more with a random start, for the clean images). InputError also for a network whose
    gradient is not finite, which no gradient attack can judge.
    """
    check(images, eps, norm, steps, step_size)
    images = images.detach()
    size = default_step(eps, steps) if step_size is None else step_size
    with frozen(model):
        x = start(images, eps, norm, random_start, generator)
        always = torch.ones(len(images), dtype=torch.bool, device=images.device)
        if random_start:
            with torch.no_grad():
                always &= model(images).argmax(1) == labels
        active = torch.arange(len(images), device=images.device)
        centre, target = images, labels
        for _ in range(steps if eps > 0 else 0):
            if drop_fooled:
                keep = always[active]
                if not keep.all():
                    active, x, centre, target = active[keep], x[keep], centre[keep], target[keep]
                if not len(active):
                    break
            gradient, logits = input_gradient(model, x, target)
            if wrong := int((~gradient.isfinite()).flatten(1).any(1).sum()):
                # a step along NaN is none: such a network would pass for a robust one
                raise InputError(f"model: its gradient by the input is NaN or infinite for {wrong} of {len(x)} images")
            right = logits.argmax(1) == target
            always[active] &= right
            x = project(step(x, gradient, size, norm), centre, eps, norm)
        if not len(active):
            return Outcome(None, always, None)
        with torch.no_grad():
            logits = model(x).float()
        last = logits.argmax(1) == target
        always[active] &= last
    return Outcome(None, always, None) if drop_fooled else Outcome(last, always, logits)


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Sample each image at its pixels' places plus `flow` (N×2×H×W, in pixels, x then y), bilinear, edges repeated.

    Zero flow gives the image back (up to rounding). The official code's grid swaps x and y and transposes the image.
    """
    height, width = images.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=images.device, dtype=flow.dtype),
        torch.arange(width, device=images.device, dtype=flow.dtype),
        indexing="ij",
    )
    place = torch.stack((x + flow[:, 0], y + flow[:, 1]), dim=-1)
    scale = place.new_tensor((max(width - 1, 1), max(height - 1, 1)))
    grid = place * 2 / scale - 1
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def roughness(flow: Tensor) -> Tensor:
    """Total variation of a flow field (Xiao et al. 2018, equation 4), one value an image, in pixels a pixel."""
    right = F.pad(flow.diff(dim=3), (0, 1))
    down = F.pad(flow.diff(dim=2), (0, 0, 0, 1))
    return (right.square().sum(1) + down.square().sum(1) + 1e-8).sqrt().mean((1, 2))


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Largest logit of another class minus the true one's (N): above 0 where the network is fooled."""
    true = logits.gather(1, labels[:, None])[:, 0]
    return logits.scatter(1, labels[:, None], -math.inf).amax(1) - true


def spatial(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    tau: float = 0.05,
    max_flow: float = 2.0,
    steps: int = 10,
    step_size: float = 0.5,
) -> Tensor:
    """Move the pixels of each image along a smooth flow until it is misclassified (Xiao et al. 2018).

    Goes uphill on min(margin, 0) − tau·roughness with sign steps of `step_size` pixels, each component of the flow
    held within `max_flow` pixels (0 returns the images bit for bit), and keeps for each image the smoothest flow that
    fooled the network, or the last one. steps + 1 forward passes. The paper's own code used L-BFGS with a line search
    shared by the batch; sign steps fool as many images for a fraction of the passes.
    """
    check(images, max_flow, "linf", steps, step_size, name="max_flow")
    in_range("tau", tau, 0)
    if max_flow == 0:
        return images.detach().clone()
    flow = images.new_zeros(len(images), 2, *images.shape[-2:])
    best, smoothest = flow.clone(), images.new_full((len(images),), math.inf)
    with frozen(model):
        for iterate in range(steps + 1):
            with torch.enable_grad():
                flow.requires_grad_(True)
                gap = margin(model(warp(images, flow)).float(), labels)
                rough = roughness(flow)
                # within the classes the gradient of a won margin is cut, so that only smoothness is left to improve
                gain = (gap.clamp_max(0) - tau * rough).sum()
                gradient = torch.autograd.grad(gain, flow)[0] if iterate < steps else None
            flow = flow.detach()
            score = torch.where(gap > 0, rough, math.inf if iterate < steps else 1e30).detach()
            better = score < smoothest
            best[better], smoothest[better] = flow[better], score[better]
            if gradient is not None:
                flow = (flow + step_size * gradient.sign()).clamp(-max_flow, max_flow)
        return warp(images, best).clamp(0, 1).detach()
