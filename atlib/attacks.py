"""Adversarial examples: FGSM, PGD in two norms, spatial transformation; and how accurate a network remains under them.

Every attack is a function `attack(model, images, labels, …)`. It takes float images in [0, 1], N×C×H×W, and labels,
whole numbers, N, and returns detached images in [0, 1]. Budgets are distances between pixels in [0, 1]: `budget` turns
the paper's units into them. The model is put in evaluation mode and its parameters are frozen while an attack runs;
both are restored afterwards. Only the gradient of the images is computed. Attacks follow the precision of a surrounding
autocast, and also work inside `torch.no_grad` and `torch.inference_mode`.

Attacks climb the log-odds against the label (`gradients.log_odds`) instead of the cross entropy. The two gradients have
the same direction, and only the direction is used; but the cross entropy's carries the factor 1 − p, which single
precision rounds to zero on a confident network, which would then look robust.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .choices import NORMS
from .errors import InputError, in_range, one_of
from .gradients import (
    broken,
    check_floats,
    check_logits,
    class_labels,
    frozen,
    highest_of,
    input_gradient,
    is_zero,
    refuse_broken,
    require_gradient,
)  # fmt: skip
from .transforms import check_range

PAPER_STEPS = 20


def budget(norm: str, eps: float, side: int) -> float:
    """The paper's eps as a distance between pixels in [0, 1].

    linf: eps counts 1/255. l2: the paper's eps is a distance at 224×224 (its released code), scaled by side/224 for
    other sizes, so that the change of an average pixel stays the same: 12 means 1.71 at side 32. InputError for a
    parameter out of range.
    """
    one_of("norm", norm, NORMS)
    in_range("eps", eps, 0)
    in_range("side", side, 1, whole=True)
    return eps / 255 if norm == "linf" else eps * side / 224


def default_step(eps: float, steps: int) -> float:
    """The paper's step, eps/2, for its 20 steps; 2.5·eps/steps for any other number (Madry et al. 2018)."""
    return eps / 2 if steps == PAPER_STEPS else 2.5 * eps / steps


def project(images: Tensor, centre: Tensor, eps: float, norm: str) -> Tensor:
    """The nearest point of the eps-ball around `centre`, then of [0, 1]: still in the ball, as `centre` is in it.

    Up to the rounding of the images' type, which near 1 is about .5/255 in bfloat16.
    """
    if norm == "linf":
        return torch.minimum(torch.maximum(images, centre - eps), centre + eps).clamp(0, 1)
    change = images - centre
    length = change.flatten(1).to(torch.promote_types(change.dtype, torch.float32)).norm(dim=1)
    factor = torch.where(length > eps, eps / length, torch.ones_like(length)).to(change)
    return (centre + change * factor.view(-1, 1, 1, 1)).clamp(0, 1)


def normalised(change: Tensor) -> Tensor:
    """Each image of N×C×H×W scaled to Euclidean length one, however short it is; zeros stay zeros.

    The largest value is scaled to one first, so that no square underflows. Uses at least single precision.
    """
    flat = change.flatten(1).to(torch.promote_types(change.dtype, torch.float32))
    top = flat.abs().amax(1, keepdim=True) if flat.shape[1] else flat.new_ones(len(flat), 1)
    flat = flat / torch.where(top > 0, top, torch.ones_like(top))
    length = flat.norm(dim=1, keepdim=True)
    return (flat / torch.where(length > 0, length, torch.ones_like(length))).view_as(change)


def step(images: Tensor, gradient: Tensor, size: float, norm: str) -> Tensor:
    """A step of `size` uphill: along the gradient's sign (linf), or along the gradient scaled to length one (l2)."""
    direction = gradient.sign() if norm == "linf" else normalised(gradient)
    return images + size * direction.to(images)


def start(images: Tensor, eps: float, norm: str, random_start: bool, generator: torch.Generator | None) -> Tensor:
    """The first iterate: the images, or a uniform draw from the eps-ball around them, clipped to [0, 1]."""
    if not random_start:
        return images
    device = generator.device if generator is not None else images.device
    drawn: dict[str, Any] = {"generator": generator, "device": device, "dtype": torch.float32}
    if norm == "linf":
        noise = torch.rand(images.shape, **drawn).to(images) * 2 * eps - eps
    else:
        draws = torch.randn(images.shape, **drawn)
        share = torch.rand(len(images), **drawn)  # uniform in the ball's volume
        radius = share ** (1 / images.shape[1:].numel())
        noise = (eps * radius.view(-1, 1, 1, 1) * normalised(draws)).to(images)
    return (images + noise).clamp(0, 1)


def check(
    images: Tensor,
    reach: float,
    norm: str,
    steps: int,
    step_size: float | None,
    random_start: bool = False,
    *,
    name: str = "eps",
) -> None:
    """Raise InputError for images outside [0, 1] or a parameter out of range; name: the caller's name for `reach`."""
    one_of("norm", norm, NORMS)
    in_range(name, reach, 0)
    if name == "eps" and norm == "linf" and reach > 1:
        raise InputError(f"eps = {reach:g}: must be at most 1, since pixels lie in [0, 1]; write {reach:g}/255")
    in_range("steps", steps, 1, whole=True)
    if step_size is not None:
        in_range("step_size", step_size, 0)
    if not isinstance(random_start, bool | np.bool_):
        raise InputError(f"random_start = {random_start!r}: must be True or False")
    check_floats(images)
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
    """Projected gradient ascent on the loss (Madry et al. 2018; the paper's section 2.1); the last iterate.

    eps: radius of the ball in [0, 1] pixels (8/255; 12·side/224), 0 returns the images unchanged. norm: "linf" (steps
    along the sign) or "l2" (along the normalised gradient). step_size: `default_step` unless given. random_start: begin
    at a uniform draw from the ball (`generator`), which the released code does not do. Takes `steps` forward and
    backward passes. An image whose gradient is zero stays where it is (`robustness` counts them). InputError for a
    parameter out of range, images outside [0, 1] or labels that don't fit; NetworkError for a gradient that is NaN or
    infinite.
    """
    check(images, eps, norm, steps, step_size, random_start)
    labels = class_labels(labels, images)
    more: dict = {"norm": norm, "steps": steps, "step_size": step_size, "random_start": random_start}
    more |= {"generator": generator, "highest": highest_of(labels)}
    found, failed = ascend(model, images, labels, eps=eps, **more)
    refuse_broken(failed)  # once, at the end: asking a GPU at every step would make it wait
    return found


def ascend(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    norm: str,
    steps: int,
    step_size: float | None,
    random_start: bool,
    generator: torch.Generator | None = None,
    highest: int | None = None,
) -> tuple[Tensor, Tensor]:
    """`pgd` without its checks, for a loop on a GPU, in which every question to the device would make it wait.

    Returns the last iterate, and of which images a gradient was NaN or infinite (bool N). Parameters as for `pgd`,
    labels int64; highest: the largest of them, where it is known (`gradients.check_logits`).
    """
    images = images.detach()
    if eps == 0:
        return images.clone(), torch.zeros(len(images), dtype=torch.bool, device=images.device)
    size = default_step(eps, steps) if step_size is None else step_size
    with frozen(model):
        failed = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        x = start(images, eps, norm, random_start, generator)
        for _ in range(steps):
            gradient, _ = input_gradient(model, x, labels, highest)
            failed |= broken(gradient)
            x = project(step(x, gradient, size, norm), images, eps, norm)
    return x, failed


def fgsm(model: nn.Module, images: Tensor, labels: Tensor, *, eps: float) -> Tensor:
    """One step of length eps along the sign of the gradient (Goodfellow et al. 2015); parameters as for `pgd`."""
    return pgd(model, images, labels, eps=eps, steps=1, step_size=eps)


class Outcome(NamedTuple):
    """The outcome of an attack, one entry per image: whether the network is right at the last iterate, and at all of
    them (bool N); the last logits (N×classes); and whether the attack had no gradient to follow (bool N), because it
    was zero where the attack began, or NaN or infinite at an iterate where it was computed. A network with such
    gradients isn't robust, it only masks them (Athalye et al. 2018)."""

    last: Tensor | None
    always: Tensor
    logits: Tensor | None
    vanished: Tensor


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

    The start and the clean image count as iterates. With `drop_fooled` an image leaves the batch once it is
    misclassified, which gives the same "always" in a fraction of the time, but no "last"; its gradient is no longer
    computed, so that `vanished` says nothing about it. With a random start this includes images that are misclassified
    when clean. An image whose gradient is NaN or infinite stays where it is. Parameters as for `pgd`; steps + 1 forward
    passes (one more with a random start, for the clean images). InputError as for `pgd`; NetworkError for outputs that
    are NaN or infinite.
    """
    check(images, eps, norm, steps, step_size, random_start)
    labels, images = class_labels(labels, images), images.detach()
    highest = highest_of(labels)
    size = default_step(eps, steps) if step_size is None else step_size
    with frozen(model):
        x = start(images, eps, norm, random_start, generator)
        always = torch.ones(len(images), dtype=torch.bool, device=images.device)
        vanished, unanswered = torch.zeros_like(always), torch.zeros_like(always)
        if random_start:
            with torch.no_grad():
                logits = model(images)
            unanswered |= broken(logits)
            always &= logits.argmax(1) == labels
        active = torch.arange(len(images), device=images.device)
        centre, target = images, labels
        for turn in range(steps if eps > 0 else 0):
            if drop_fooled:
                keep = always[active]
                if not keep.all():
                    active, x, centre, target = active[keep], x[keep], centre[keep], target[keep]
                if not len(active):
                    break
            gradient, logits = input_gradient(model, x, target, highest)
            unanswered[active] |= broken(logits)  # the largest of several NaN is class 0, which may be the true one
            lost = broken(gradient)
            vanished[active] |= lost | is_zero(gradient) if turn == 0 else lost
            gradient = gradient.masked_fill(lost.view(-1, 1, 1, 1), 0)
            right = logits.argmax(1) == target
            always[active] &= right
            x = project(step(x, gradient, size, norm), centre, eps, norm)
        if drop_fooled and not len(active):
            refuse_broken(unanswered, "outputs are")
            return Outcome(None, always, None, vanished)
        with torch.no_grad():
            logits = model(x).float()
        unanswered[active] |= broken(logits)
        refuse_broken(unanswered, "outputs are")  # once, as in `pgd`
        last = logits.argmax(1) == target
        always[active] &= last
    return Outcome(None, always, None, vanished) if drop_fooled else Outcome(last, always, logits, vanished)


def warp(images: Tensor, flow: Tensor) -> Tensor:
    """Sample each image at its pixel positions plus `flow` (N×2×H×W, in pixels, x then y), bilinear, edges repeated.

    Zero flow gives the image back (up to rounding). The official code's grid swaps x and y and transposes the image.
    Positions are in single precision at least: half precision doesn't tell the pixels of a large image apart.
    """
    kind = torch.promote_types(images.dtype, torch.float32)
    flow = flow.to(kind)
    height, width = images.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=images.device, dtype=flow.dtype),
        torch.arange(width, device=images.device, dtype=flow.dtype),
        indexing="ij",
    )
    across, down = (x + flow[:, 0]) * 2 / max(width - 1, 1), (y + flow[:, 1]) * 2 / max(height - 1, 1)
    grid = torch.stack((across, down), dim=-1) - 1
    return F.grid_sample(images.to(kind), grid, mode="bilinear", padding_mode="border", align_corners=True).to(images)


def roughness(flow: Tensor) -> Tensor:
    """Total variation of a flow field (Xiao et al. 2018, equation 4), one value per image, in pixels per pixel."""
    right = F.pad(flow.diff(dim=3), (0, 1))
    down = F.pad(flow.diff(dim=2), (0, 0, 0, 1))
    return (right.square().sum(1) + down.square().sum(1) + 1e-8).sqrt().mean((1, 2))


def margin(logits: Tensor, labels: Tensor, highest: int | None = None) -> Tensor:
    """Largest logit of another class minus the true one's (N): above 0 where the network is fooled.

    highest, and errors: as for `gradients.check_logits`.
    """
    check_logits(logits, labels, highest)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
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

    Goes uphill on min(margin, 0) − tau·roughness with sign steps of `step_size` pixels, each component of the flow held
    within `max_flow` pixels (0 returns the images unchanged), and keeps for each image the smoothest flow that fooled
    the network, or else the last one. Takes steps + 1 forward passes. The paper's own code used L-BFGS with a line
    search shared by the batch; sign steps fool as many images for a fraction of the passes. Errors as for `pgd`.
    """
    check(images, max_flow, "linf", steps, step_size, name="max_flow")
    in_range("step_size", step_size, 0)  # there is no usual one, so None isn't taken
    in_range("tau", tau, 0)
    labels, images = class_labels(labels, images), images.detach()
    highest = highest_of(labels)
    if max_flow == 0:
        return images.clone()
    with frozen(model):
        images = images.clone() if images.is_inference() else images
        kind = torch.promote_types(images.dtype, torch.float32)
        flow = images.new_zeros(len(images), 2, *images.shape[-2:], dtype=kind)
        best, smoothest = flow.clone(), images.new_full((len(images),), math.inf, dtype=kind)
        failed = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        unanswered = failed.clone()
        for iterate in range(steps + 1):
            with torch.enable_grad():
                flow.requires_grad_(True)
                gap = margin(model(warp(images, flow)), labels, highest)
                require_gradient(gap)
                rough = roughness(flow)
                # once an image is misclassified its margin is clamped, so that only the smoothness improves
                gain = (gap.clamp_max(0) - tau * rough).sum()
                gradient = torch.autograd.grad(gain, flow)[0] if iterate < steps else None
            flow = flow.detach()
            score = torch.where(gap > 0, rough, math.inf if iterate < steps else 1e30).detach()
            better = score < smoothest
            # no indexing by `better`, for which a GPU would have to count it first
            best = torch.where(better.view(-1, 1, 1, 1), flow, best)
            smoothest = torch.where(better, score, smoothest)
            unanswered |= ~gap.detach().isfinite()
            if gradient is not None:
                failed |= broken(gradient)
                flow = (flow + step_size * gradient.sign()).clamp(-max_flow, max_flow)
        refuse_broken(unanswered, "outputs are")
        refuse_broken(failed)
        return warp(images, best).clamp(0, 1).detach()


def vanished(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Whether the gradient with respect to each image is zero, NaN or infinite: an attack has nothing to follow.

    N bools; errors as for `robustness`.
    """
    check(images, 0, "linf", 1, None)
    labels = class_labels(labels, images)
    with frozen(model):
        gradient, logits = input_gradient(model, images.detach(), labels, highest_of(labels))
    refuse_broken(broken(logits), "outputs are")
    return is_zero(gradient) | broken(gradient)


def vanished_flow(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Whether `spatial` has no gradient to follow where it begins, N bools; errors as for `robustness`.

    (`spatial` itself refuses images whose gradient is NaN or infinite, as `pgd` does.)

    This is the gradient of the margin with respect to the flow, at zero flow, also for images that are misclassified
    already. An image of a single colour has none, whatever its gradient with respect to the pixels: moving pixels of
    the same colour changes nothing.
    """
    check(images, 0, "linf", 1, None)
    labels, images = class_labels(labels, images), images.detach()
    with frozen(model):
        images = images.clone() if images.is_inference() else images
        kind = torch.promote_types(images.dtype, torch.float32)  # as in `spatial`: small gradients vanish in half
        flow = images.new_zeros(len(images), 2, *images.shape[-2:], dtype=kind)
        with torch.enable_grad():
            gap = margin(model(warp(images, flow.requires_grad_(True))), labels, highest_of(labels))
            require_gradient(gap)
            (gradient,) = torch.autograd.grad(gap.sum(), flow)
        refuse_broken(~gap.detach().isfinite(), "outputs are")
    return is_zero(gradient) | broken(gradient)
