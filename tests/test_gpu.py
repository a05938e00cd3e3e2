"""On a GPU nothing waits for the CPU in the inner loop; as far as that can be seen without one, by what is asked."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from atlib import attacks, data, gradients, training
from atlib.configuration import resolve
from atlib.errors import NetworkError


class Waits(TorchDispatchMode):
    """Notes what would make a GPU wait: a value that is read, and an index whose length has to be counted first."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name in ("index", "index_put_", "index_put") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if masked or name in ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero"):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def on_a_gpu(**given: object) -> training.Run:
    """A run as on a GPU, but for the device, which isn't here."""
    config = resolve(width=4, steps=2, precision="fp32", **given)
    run = training.Run(config, small_shapes(), torch.device("cpu"))
    run.on_gpu = True
    return run


def small_shapes() -> data.Dataset:
    return data.load("shapes", train_count=200, test_count=20, conflict_count=90)


@pytest.mark.parametrize(
    "given",
    [
        {"attack": "none"},
        {},
        {"norm": "l2", "eps": 12},
        {"attack": "fgsm"},
        {"attack": "noise"},
    ],
)
def test_no_step_on_a_gpu_waits_for_the_cpu(given: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    run = on_a_gpu(**given)
    monkeypatch.setattr(gradients, "check_logits", lambda *_: None)  # asks nothing of labels on a GPU
    waits = Waits()
    with waits:
        losses = [run.advance() for _ in range(3)]
    assert waits.found == []
    assert all(isinstance(loss, torch.Tensor) for loss in losses) and len(run.unchecked) == 3

    # and the weights are those of a run whose every step is checked
    checked = training.Run(run.config, small_shapes(), torch.device("cpu"))
    assert [checked.advance() for _ in range(3)] == [float(loss) for loss in losses]
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, checked.model.state_dict()[name]), name
    kind = "loss_adversarial" if run.losses[True] else "loss_clean"
    run.report()
    assert run.unchecked == [] and run.log[0][kind] == pytest.approx(float(sum(losses)) / 3)


def test_the_mode_that_notes_what_waits_does_note_it() -> None:
    values = torch.arange(3.0)
    waits = Waits()
    with waits:
        float(values.sum())
        values[values > 1]
    assert waits.found == ["_local_scalar_dense", "index"]


def test_on_a_gpu_a_loss_that_is_not_finite_is_told_with_its_step_before_anything_is_kept() -> None:
    run = on_a_gpu(attack="none")
    run.advance()
    with torch.no_grad():
        run.model.fc.bias.fill_(math.nan)
    run.advance()
    run.advance()
    with pytest.raises(NetworkError, match=r"^lr = 0.1: the loss became nan at step 2; use a smaller one$"):
        run.save()
    assert not run.path.exists()


def test_losses_on_a_gpu_are_checked_every_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECK_EVERY", 2)
    run = on_a_gpu(attack="none")
    run.advance()
    with torch.no_grad():
        run.model.fc.bias.fill_(math.inf)
    with pytest.raises(NetworkError, match="at step 2; use a smaller one"):
        run.advance()


def test_spatial_attacks_index_nothing_by_what_fooled_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks at their two ends are all that waits."""
    monkeypatch.setattr(attacks, "check_logits", lambda *_: None)  # asks nothing of a GPU
    draws = torch.Generator().manual_seed(0)
    images, labels = torch.rand(4, 3, 8, 8, generator=draws), torch.arange(4)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
    found = []
    for steps in (1, 5):
        waits = Waits()
        with waits:
            attacks.spatial(model, images, labels, steps=steps)
        assert "index_put_" not in waits.found and "index" not in waits.found
        found.append(len([name for name in waits.found if name == "_local_scalar_dense"]))
    assert found[0] == found[1]


def test_robustness_asks_no_more_for_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gradients, "check_logits", lambda *_: None)  # asks nothing of a GPU
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 10))
    images, labels = torch.rand(3, 3, 8, 8), torch.zeros(3, dtype=torch.long)
    asked = []
    for steps in (1, 5):
        waits = Waits()
        with waits:
            attacks.robustness(model, images, labels, eps=0.1, steps=steps)
        asked.append(waits.found)
    assert asked[0] == asked[1]


def test_a_broken_gradient_is_counted_as_one_that_is_not_there() -> None:
    class Broken(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            flat = images.flatten(1)
            return torch.stack([(flat - flat.detach()).sum(1).sqrt(), flat.sum(1)], 1)

    images, labels = torch.rand(3, 1, 2, 2), torch.ones(3, dtype=torch.long)
    for drop in (False, True):
        outcome = attacks.robustness(Broken(), images, labels, eps=0.1, steps=2, drop_fooled=drop)
        assert outcome.always.all() and outcome.vanished.all()
