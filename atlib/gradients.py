"""A network's outputs and the gradient of its images, as attacks and saliency maps need them.

Both climb the log-odds of a class (`log_odds`), whose gradient keeps its digits on a confident network. The model is in
evaluation mode and its parameters are frozen meanwhile (`frozen`); only the gradient of the images is computed.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .errors import InputError, NetworkError

WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no parameter gradients inside the block; afterwards every mode and flag is as it was.

    Inference mode, which allows no gradients at all, is switched off inside. InputError for anything but a Module.
    """
    if not isinstance(model, nn.Module):
        raise InputError(f"model = a {type(model).__name__}: must be a torch.nn.Module")
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval()
    for parameter, _ in flags:
        parameter.requires_grad_(False)
    try:
        # leaving inference mode also switches gradients on, so leave it only if it is on
        with torch.inference_mode(False) if torch.is_inference_mode_enabled() else contextlib.nullcontext():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def check_floats(images: Tensor) -> None:
    """InputError unless images are a float tensor, N×C×H×W; their range is `check_range`'s."""
    if not isinstance(images, Tensor) or images.dim() != 4 or not images.is_floating_point():
        found = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else f"a {type(images).__name__}"
        raise InputError(f"images = {found}: must be a float tensor, N×C×H×W, in [0, 1]")


def class_labels(labels: Tensor, images: Tensor) -> Tensor:
    """Labels as int64; InputError unless they are whole numbers, at least 0, one for each image."""
    if not isinstance(labels, Tensor) or labels.dtype not in WHOLE or labels.shape != images.shape[:1]:
        found = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else f"a {type(labels).__name__}"
        raise InputError(f"labels = {found}: must be a tensor of whole numbers, one for each image, {len(images)}")
    if labels.numel() and labels.min() < 0:
        raise InputError(f"labels = {int(labels.min())}: must be at least 0")
    with torch.inference_mode(False):
        return labels.to(torch.int64, copy=labels.is_inference())


def check_logits(logits: Tensor, labels: Tensor, highest: int | None = None) -> None:
    """NetworkError unless the logits are N×classes; InputError unless every label is one of the classes.

    highest: the largest label (`highest_of`). Without it, labels on a GPU aren't checked: asking it for their largest
    at every step would make it wait.
    """
    if not isinstance(logits, Tensor):
        raise NetworkError(f"model: gives a {type(logits).__name__}: must be one tensor of logits, N×classes")
    if logits.dim() != 2 or len(logits) != len(labels) or logits.shape[1] < 2:
        raise NetworkError(
            f"model: gives outputs of shape {tuple(logits.shape)} for {len(labels)} images: must be N×classes, with at "
            "least two classes"
        )
    if highest is None and not labels.is_cuda:
        highest = highest_of(labels)
    if highest is not None and highest >= logits.shape[1]:
        raise InputError(f"labels = {highest}: must be below {logits.shape[1]}, the number of the model's outputs")


def highest_of(labels: Tensor) -> int:
    """The largest label, −1 if there is none: asked of the device once, before an attack's first step."""
    return int(labels.max()) if len(labels) else -1


def log_odds(logits: Tensor, labels: Tensor, highest: int | None = None) -> Tensor:
    """Log-odds against the label, m = logsumexp of the other logits − the label's logit; N×classes to float N.

    It determines the usual quantities: the cross entropy is softplus(m), log p of the label −softplus(m), and p itself
    the sigmoid of −m. Unlike the softmax's, its gradient keeps all its digits however confident the network is. It is
    computed in at least single precision. highest, and errors: as for `check_logits`.
    """
    check_logits(logits, labels, highest)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    own = labels[:, None]
    return logits.scatter(1, own, -math.inf).logsumexp(1) - logits.gather(1, own)[:, 0]


def require_gradient(gaps: Tensor) -> None:
    """NetworkError if what was computed from a network's outputs doesn't depend on its input as far as torch knows."""
    if not gaps.requires_grad:
        raise NetworkError("model: its outputs have no gradient with respect to its input (no_grad inside?)")


def input_gradient(
    model: nn.Module, images: Tensor, labels: Tensor, highest: int | None = None
) -> tuple[Tensor, Tensor]:
    """(gradient of the log-odds against each label with respect to its image, N×C×H×W; logits).

    It has the direction of the cross entropy's gradient, which is this one times 1 − p. labels: int64, N. highest, and
    errors: as for `check_logits`.
    """
    with torch.enable_grad():
        images = (images.clone() if images.is_inference() else images).detach().requires_grad_(True)
        logits = model(images)
        odds = log_odds(logits, labels, highest)
        require_gradient(odds)
        (gradient,) = torch.autograd.grad(odds.sum(), images)
    return gradient, logits.detach()


def is_zero(gradient: Tensor) -> Tensor:
    """Whether an image has no gradient to follow, because all of it is zero, N bools."""
    return (gradient == 0).flatten(1).all(1)


def broken(gradient: Tensor) -> Tensor:
    """Whether an image's gradient holds NaN or infinity, N bools."""
    return (~gradient.isfinite()).flatten(1).any(1)


def refuse_broken(failed: Tensor, what: str = "gradient with respect to the input is") -> None:
    """NetworkError, with their number, if the gradient (or `what`) of some images (bool N) was NaN or infinite."""
    if wrong := int(failed.sum()):
        raise NetworkError(f"model: its {what} NaN or infinite for {wrong} of {len(failed)} images")
