"""Attacks that try harder than Table 1's: what is left of a network's accuracy when several go one after another.

PGD-40 from the picture itself (as Table 1, but every iterate counts), then, each on what is still right, APGD on the
cross entropy and on the difference of logits ratio, targeted APGD (Croce and Hein 2020; adv-lib), and Square, which
asks for no gradient (Andriushchenko et al. 2020; torchattacks). All within l_inf 8/255. The estimate is the accuracy
left after all of them. Pictures that an attack returns are checked again here.

`atlib.campaign.stronger` attacks a network with them and publishes the rows. Needs
`pip install --no-deps -r requirements-bench.txt`.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from . import attacks
from .errors import InputError
from .measurements import TABLE_1

EPS = float(TABLE_1["eps"])
STEPS = 100  # of each APGD, as in AutoAttack
TARGETS = 3  # classes that targeted APGD tries, the most likely first; AutoAttack tries 9
QUERIES = 500  # that Square asks; AutoAttack asks 5,000
NEEDED = "pip install --no-deps -r requirements-bench.txt"

Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]  # network, images, labels: to attacked images


class Settings(NamedTuple):
    """How long attacks run; each choice has rows of its own."""

    steps: int = STEPS
    targets: int = TARGETS
    queries: int = QUERIES

    def __str__(self) -> str:
        return f"eps 8/255; APGD {self.steps} steps, 1 start, {self.targets} targets; Square {self.queries} queries"


def adv_lib() -> Any:
    """adv-lib's APGD; InputError in one line where it is not installed.

    Its package imports visdom, a server for plots that none of this uses: where it isn't installed, an empty module
    does, for as long as the import takes.
    """
    from ._torchvision import torchvision  # noqa: F401 (adv-lib imports torchvision, which needs this first)

    stand_in = "visdom" not in sys.modules and importlib.util.find_spec("visdom") is None
    if stand_in:
        sys.modules["visdom"] = types.ModuleType("visdom")
    try:
        from adv_lib.attacks import auto_pgd
    except ImportError as error:
        raise InputError(f"adv-lib can't be imported ({error}): {NEEDED}") from None
    finally:
        if stand_in:
            del sys.modules["visdom"]
    return auto_pgd


def square_class() -> Any:
    """torchattacks' Square; InputError in one line where it is not installed."""
    try:
        from torchattacks import Square
    except ImportError as error:
        raise InputError(f"torchattacks can't be imported ({error}): {NEEDED}") from None
    return Square


def suite(settings: Settings, seed: int) -> dict[str, Attack]:
    """The attacks by name, in the order in which they are tried, after PGD-40."""
    auto_pgd, square = adv_lib(), square_class()
    infinity = float("inf")

    def apgd(loss: str) -> Attack:
        def attack(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
            return auto_pgd.apgd(
                model, images, labels, EPS, infinity, n_iter=settings.steps, loss_function=loss, n_restarts=1
            )

        return attack

    def targeted(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            classes = model(images[:1]).shape[1]
        targets = min(settings.targets, classes - 1)
        return auto_pgd.apgd_targeted(model, images, labels, EPS, infinity, n_iter=settings.steps, num_targets=targets)

    def searched(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return square(model, norm="Linf", eps=EPS, n_queries=settings.queries, n_restarts=1, seed=seed)(images, labels)

    return {"apgd-ce": apgd("ce"), "apgd-dlr": apgd("dlr"), "apgd-t": targeted, "square": searched}


ATTACKS = ("clean", "pgd-40", "apgd-ce", "apgd-dlr", "apgd-t", "square")


@contextmanager
def drawn(seed: int) -> Iterator[None]:
    """Let random draws be those of a seed, and leave the generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def resists(model: nn.Module, images: Tensor, labels: Tensor, attack: Attack) -> Tensor:
    """Which images a network still gets right after an attack, N bools; it must get all of them right before.

    Attacked images are projected back into the budget and [0, 1], then classified again here: what an attack reports
    doesn't count, nor does a step beyond the budget.
    """
    if not len(images):
        return torch.zeros(0, dtype=torch.bool)
    attacked = attack(model, images, labels).detach()
    inside = attacks.project(attacked, images, EPS, "linf")
    with torch.no_grad():
        return (model(inside).argmax(1) == labels).cpu()


def one_batch(
    model: nn.Module, images: Tensor, labels: Tensor, chain: dict[str, Attack], seed: int
) -> dict[str, np.ndarray]:
    """Which pictures are still right after each attack (bool N, by ATTACKS), and which gave PGD-40 no gradient."""
    with torch.no_grad():
        right = (model(images).argmax(1) == labels).cpu()
    found = {"clean": right.numpy().copy()}
    outcome = attacks.robustness(model, images, labels, **TABLE_1, drop_fooled=True)
    right = right & outcome.always.cpu()
    found |= {"pgd-40": right.numpy().copy(), "vanished": outcome.vanished.cpu().numpy()}
    for number, (name, attack) in enumerate(chain.items()):
        here = right.nonzero()[:, 0]
        with drawn(seed + number):
            right[here] = resists(model, images[here.to(images.device)], labels[here.to(labels.device)], attack)
        found[name] = right.numpy().copy()
    return found
