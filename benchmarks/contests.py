"""The comparisons: each function measures some and gives their rows.

The peers get networks and images as their users have them: evaluation mode, contiguous, batch norm as trained. atlib
gets what it does by itself: channels-last memory format, and batch norm folded where the trainer folds it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import foolbox
import torch
import torch.nn.functional as F
import torchattacks
from torch import Tensor, nn

from atlib import attacks, data, models, training
from atlib.configuration import resolve

from .measure import Passes, Row, Timed, alternate, compare

CPU = torch.device("cpu")
EPS, STEPS = 8 / 255, 10
TRAINING_STEPS = (3, 7)  # few, so that the update, which nobody can spare, weighs most; and the trainer's default


@dataclass(frozen=True)
class Plan:
    """How large everything is. rounds: of each comparison; pictures: attacked for the robustness rows; others: that
    decide which eps makes a network 40 % robust; styled: pictures that are stylised."""

    rounds: int = 3
    width: int = 64
    batch: int = 32
    pictures: int = 500
    others: int = 200
    train_count: int = 2500
    train_width: int = 16
    epochs: int = 6
    styled: int = 4


QUICK = Plan(rounds=1, width=4, batch=4, pictures=60, others=20, train_count=400, train_width=4, epochs=1, styled=1)


def torchattacks_pgd(model: nn.Module, images: Tensor, labels: Tensor, eps: float, steps: int, size: float) -> Tensor:
    """torchattacks' PGD from a zero start."""
    return torchattacks.PGD(model, eps=eps, alpha=size, steps=steps, random_start=False)(images, labels)


def foolbox_pgd(model: nn.Module, images: Tensor, labels: Tensor, eps: float, steps: int, size: float) -> Tensor:
    """foolbox's PGD from a zero start."""
    attack = foolbox.attacks.LinfPGD(abs_stepsize=size, steps=steps, random_start=False)
    return attack(foolbox.PyTorchModel(model, bounds=(0, 1)), images, labels, epsilons=eps)[1]


def plain(model: nn.Module) -> nn.Module:
    """A copy as a peer gets it."""
    return copy.deepcopy(model).to(memory_format=torch.contiguous_format).eval()  # type: ignore[call-overload]


def bf16_is_fast(plan: Plan) -> bool:
    """Whether a step of PGD takes at least a tenth less time in bf16 than in fp32, on the network that is timed."""
    images = torch.rand(8, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    model = models.fold(models.resnet18(width=plan.width).eval())

    def step(enabled: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            return attacks.pgd(model, images, torch.arange(8), eps=EPS, steps=1)

    found = alternate({"fp32": lambda: step(False), "bf16": lambda: step(True)}, 4, "is bf16 fast here?")
    return found["bf16"].seconds < 0.9 * found["fp32"].seconds


# --- passes ----------------------------------------------------------------------------------------------------------


def passes(plan: Plan) -> list[Row]:
    """What PGD-10 asks of a ResNet-18. Width 4: the graph, and so the counts, are those of width 64."""
    images, labels = torch.rand(plan.batch, 3, 32, 32), torch.arange(plan.batch) % 10
    size = attacks.default_step(EPS, STEPS)
    contestants: dict[str, Callable[[nn.Module], Tensor]] = {
        "atlib": lambda model: attacks.pgd(model, images, labels, eps=EPS, steps=STEPS),
        "torchattacks": lambda model: torchattacks_pgd(model, images, labels, EPS, STEPS, size),
        "foolbox": lambda model: foolbox_pgd(model, images, labels, EPS, STEPS, size),
    }
    found = {}
    for name, attack in contestants.items():
        model = models.resnet18(width=4).eval()
        with Passes() as counted:
            attack(model)
        convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
        found[name] = counted.of_a_network(convolutions)
    what = "PGD-10, forwards / input gradients / weight gradients"
    met = "yes" if found["atlib"] == "10/10/0" else "no"
    detail = ", ".join(f"{name} {count}" for name, count in found.items())
    return [Row(what, "counted", "10/10/0", met, detail=detail)]


# --- PGD -------------------------------------------------------------------------------------------------------------


def pgd(plan: Plan, bf16: bool) -> list[Row]:
    """PGD-10 on a freshly initialised CIFAR ResNet-18."""
    model = models.resnet18(width=plan.width).eval()
    theirs, ours = plain(model), models.fold(model)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(plan.batch, 3, 32, 32, generator=generator)
    labels = torch.arange(plan.batch) % 10
    last = images.contiguous(memory_format=torch.channels_last)
    size = attacks.default_step(EPS, STEPS)

    def atlib(enabled: bool) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            return attacks.pgd(ours, last, labels, eps=EPS, steps=STEPS)

    contestants: dict[str, Callable[[], Tensor]] = {
        "fp32": lambda: atlib(False),
        "torchattacks": lambda: torchattacks_pgd(theirs, images, labels, EPS, STEPS, size),
        "foolbox": lambda: foolbox_pgd(theirs, images, labels, EPS, STEPS, size),
    }
    if bf16:
        contestants["bf16"] = lambda: atlib(True)
    found = alternate(contestants, plan.rounds, "PGD-10")

    def same(ours: str, theirs: str) -> str:
        equal = (found[ours].result - found[theirs].result).abs() < 1e-5
        return f"{equal.float().mean():.1%} of the adversarial pixels equal"

    fp32, brain = "PGD-10, fp32, channels last, batch norm folded", "PGD-10, bf16, channels last, batch norm folded"
    peer = found["torchattacks"]
    return [
        compare(fp32, "torchattacks", 0.93, found["fp32"], peer, same("fp32", "torchattacks")),
        compare(fp32, "foolbox", 0.58, found["fp32"], found["foolbox"], same("fp32", "foolbox")),
        compare(brain, "torchattacks", 0.52, found.get("bf16"), peer, same("bf16", "torchattacks") if bf16 else ""),
    ]


# --- robustness ------------------------------------------------------------------------------------------------------

ROBUSTNESS_STEPS, CHUNK = 20, 250  # images a pass: what evaluation takes


def trained(plan: Plan, dataset: data.Dataset, **options: object) -> nn.Module:
    """A network trained on `shapes` by atlib's own steps."""
    config = resolve(
        dataset="shapes", width=plan.train_width, epochs=plan.epochs, batch=50, precision="fp32", **options
    )
    run = training.Run(config, dataset, CPU)  # its steps alone: nothing is written
    while run.step < run.total:
        run.advance()
    return run.model.eval()


def any_iterate(model: nn.Module, images: Tensor, labels: Tensor, eps: float, drop: bool) -> Tensor:
    """Right at every iterate (bool, N)."""
    options: dict[str, Any] = {"eps": eps, "steps": ROBUSTNESS_STEPS, "step_size": eps / 4, "drop_fooled": drop}
    chunks = zip(images.split(CHUNK), labels.split(CHUNK), strict=True)
    return torch.cat([attacks.robustness(model, *chunk, **options).always for chunk in chunks])


def torchattacks_robustness(model: nn.Module, images: Tensor, labels: Tensor, eps: float) -> Tensor:
    """Right at the last iterate of torchattacks' PGD (bool, N)."""
    right = []
    for some, target in zip(images.split(CHUNK), labels.split(CHUNK), strict=True):
        moved = torchattacks_pgd(model, some, target, eps, ROBUSTNESS_STEPS, eps / 4)
        with torch.no_grad():
            right.append(model(moved).argmax(1) == target)
    return torch.cat(right)


def eps_for(model: nn.Module, images: Tensor, labels: Tensor, accuracy: float) -> float:
    """The eps at which a network keeps about this any-iterate accuracy, by halving [0, 32/255] eight times."""
    low, high = 0.0, 32 / 255
    for _ in range(8):
        middle = (low + high) / 2
        kept = any_iterate(model, images, labels, middle, drop=True).float().mean()
        low, high = (middle, high) if kept > accuracy else (low, middle)
    return (low + high) / 2


def robustness(plan: Plan) -> list[Row]:
    """Any-iterate robustness under PGD-20 with fooled images dropped, against torchattacks on all images.

    Two networks of `shapes` (ResNet-18, width 16, stride-2 stem), trained here for some 20 s: a normal one at 8/255,
    and one trained with FGSM at the eps where it keeps 40 % of other test images. Step eps/4, zero start.
    """
    dataset = data.load(
        "shapes", train_count=plan.train_count, test_count=plan.pictures + plan.others, conflict_count=90
    )
    images, labels = data.prepare(dataset.test.images, 32), dataset.test.labels
    other, images = images[plan.pictures :], images[: plan.pictures]
    truth, labels = labels[plan.pictures :], labels[: plan.pictures]
    contiguous = images.contiguous()
    rows = []
    for name, reach, options in (
        ("normal network", 0.45, {"attack": "none"}),
        ("network about 40 % robust", 0.70, {"attack": "fgsm", "eps": 8, "share": 1.0}),
    ):
        model = trained(plan, dataset, **options)
        eps = EPS if name.startswith("normal") else eps_for(model, other, truth, 0.4)
        theirs = plain(model)
        rows.append(_dropping(plan, name, reach, model, theirs, Pictures(images, contiguous, labels), eps))
    return rows


class Pictures(NamedTuple):
    """The same images channels-last and contiguous, with labels."""

    ours: Tensor
    theirs: Tensor
    labels: Tensor


def _dropping(
    plan: Plan, name: str, reach: float, model: nn.Module, theirs: nn.Module, pictures: Pictures, eps: float
) -> Row:
    whole = any_iterate(model, pictures.ours, pictures.labels, eps, drop=False)
    found = alternate(
        {
            "ours": lambda: any_iterate(model, pictures.ours, pictures.labels, eps, drop=True),
            "torchattacks": lambda: torchattacks_robustness(theirs, pictures.theirs, pictures.labels, eps),
        },
        plan.rounds,
        f"robustness, {name}",
    )
    kept, last = found["ours"].result, found["torchattacks"].result
    equal, above = torch.equal(kept, whole), int(kept.sum()) > int(last.sum())
    detail = (
        f"eps {eps * 255:.3g}/255, {len(kept)} images: any-iterate accuracy {kept.float().mean():.4f}, "
        f"{'equal' if equal else 'NOT equal'} to the last image to not dropping; torchattacks {last.float().mean():.4f}"
    )
    what = f"any-iterate robustness (PGD-{ROBUSTNESS_STEPS}), fooled images dropped, {name}"
    return compare(what, "torchattacks", reach, found["ours"], found["torchattacks"], detail, equal and not above)


# --- training --------------------------------------------------------------------------------------------------------


def naive_step(model: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, labels: Tensor, steps: int) -> float:
    """Adversarial training as it is often written: every pass in training mode, every gradient of everything."""
    size = attacks.default_step(EPS, steps)
    moved = images.clone()
    for _ in range(steps):
        moved = moved.detach().requires_grad_(True)
        F.cross_entropy(model(moved), labels).backward()
        assert moved.grad is not None
        moved = images + (moved + size * moved.grad.sign() - images).clamp(-EPS, EPS)
        moved = moved.clamp(0, 1)
    optimiser.zero_grad()
    loss = F.cross_entropy(model(moved.detach()), labels)
    loss.backward()
    optimiser.step()
    return float(loss.detach())


def training_step(plan: Plan, steps: int, bf16: bool) -> list[Row]:
    """One step of adversarial training on a CIFAR ResNet-18: PGD and the update, drawing the batch included."""
    pictures = torch.randint(256, (4 * plan.batch, 3, 32, 32), dtype=torch.uint8)
    split = data.Split(pictures, torch.arange(4 * plan.batch) % 10)
    classes = tuple(str(label) for label in range(10))
    dataset = data.Dataset("cifar10", classes, 32, "pad-crop-flip", "random", (), split, split, split)

    def run(precision: str) -> training.Run:
        config = resolve(
            dataset="cifar10", attack="pgd", eps=8, steps=steps, share=1.0, width=plan.width,
            batch=plan.batch, precision=precision, seed=0,
        )  # fmt: skip
        return training.Run(config, dataset, CPU)

    naive = run("fp32")  # the batches and the network that ours has
    naive.model.to(memory_format=torch.contiguous_format).train()  # type: ignore[call-overload]
    about = naive.config
    optimiser = torch.optim.SGD(
        naive.model.parameters(), lr=about.lr or 0, momentum=training.MOMENTUM, weight_decay=about.weight_decay
    )

    def loop() -> float:
        images, labels = naive.batch(naive.step)
        naive.step += 1
        return naive_step(naive.model, optimiser, images.contiguous(), labels, steps)

    contestants: dict[str, Callable[[], Any]] = {"fp32": run("fp32").advance, "naive": loop}
    if bf16:
        contestants["bf16"] = run("bf16").advance
    found: dict[str, Timed] = alternate(contestants, plan.rounds, f"training step, PGD-{steps}")
    what, against = f"adversarial training step (PGD-{steps} and update)", "naive loop"
    return [
        compare(f"{what}, fp32", against, 0.70, found["fp32"], found["naive"]),
        compare(f"{what}, bf16", against, 0.38, found.get("bf16"), found["naive"]),
    ]
