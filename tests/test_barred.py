"""Answers with Caltech's clutter barred: what is asked, of which pictures, and how a claim counts them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atlib import barred, data, evaluation, style
from atlib.configuration import resolve
from atlib.errors import InputError
from atlib.measured import Table
from atlib.measurements import Subject, place_lacks
from atlib.report import claims, ledger, quantities
from atlib.rows import measurement

CONFIG = resolve(dataset="caltech101", side=112, attack="none")


class Brightness(nn.Module):
    """Three classes: clutter if the picture is dark, else the first or the second object by its left or right half."""

    def forward(self, images: Tensor) -> Tensor:
        left, right = (half.mean((1, 2, 3)) for half in images.chunk(2, dim=3))
        return torch.stack([0.6 - images.mean((1, 2, 3)), left, right], 1)


def subject(dataset: str = "caltech101") -> Subject:
    """A picture of clutter, and three objects: bright on the left, dark with a lighter right, dark and mislabelled."""
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    images[1, ..., :4] = 255
    images[2, ..., 4:] = 50
    images[3, ..., :4] = 50
    split = data.Split(images, torch.tensor([0, 1, 2, 2]))
    return Subject(Brightness(), split, 8, torch.device("cpu"), config=CONFIG, dataset=dataset)


def test_it_is_asked_by_name_of_data_sets_that_have_the_class() -> None:
    assert [level for name, level in evaluation.wanted(subject(), ("barred",)) if name == "barred"] == [*barred.PLACES]
    assert not [name for name, _ in evaluation.wanted(subject()) if name == "barred"]
    assert not [place for place in evaluation.expected(CONFIG) if place.startswith("barred")]
    assert evaluation.wanted(subject("cifar10"), ("barred",)) == []
    assert evaluation.wanted(subject(), ("barred@saturation@64",)) == [("barred", "saturation@64")]


def test_the_barred_class_is_never_given_and_others_keep_their_order() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0], [-5.0, -1.0, -4.0]])
    one = barred.Barred(nn.Identity(), 0)(logits)
    assert one.argmax(1).tolist() == [2, 1] and torch.equal(one[:, 1:], logits[:, 1:])
    assert one[:, 0].tolist() == [0.0, -6.0] and torch.isfinite(one).all()
    assert barred.Barred(nn.Identity(), 2)(logits).argmax(1).tolist() == [0, 1]


def test_a_network_that_would_say_clutter_has_to_name_an_object() -> None:
    some = subject()
    assert some.answers[0].tolist() == [0, 1, 0, 0]
    found = barred.barred(some, "clean@")
    assert found.arrays["class"].tolist() == [1, 1, 2, 1]
    (row,) = found.rows
    assert (row.metric, row.count, row.total) == ("accuracy", 2, 4)
    assert barred.barred(some, "saturation@1024").arrays["class"].shape == (4,)


def test_restyled_pictures_are_asked_about_too(monkeypatch: pytest.MonkeyPatch) -> None:
    some = subject()
    monkeypatch.setattr(style, "load", lambda *_: (some.test.images.flip(0), {"of": "these"}))
    monkeypatch.setattr(style, "summary", lambda about: about)
    found = barred.barred(some, "stylised@generated-ghiasi")
    assert found.arrays["class"].tolist() == [1, 2, 1, 1] and found.record == {"stylised": {"of": "these"}}
    monkeypatch.undo()
    assert "stylise" in place_lacks(some, "stylised@generated-ghiasi") and place_lacks(some, "clean@") == ""


def test_rows_have_a_place_of_their_own(tmp_path: Path) -> None:
    some = subject()
    table = Table(tmp_path, some, evaluation.columns_of(CONFIG, CONFIG.run), "digest")
    table.put("barred", "saturation@64", barred.barred(some, "saturation@64"), 1.0)
    again = Table(tmp_path, some, evaluation.columns_of(CONFIG, CONFIG.run), "digest")
    (row,) = again.rows.to_dict("records")
    assert measurement(row) == "barred@saturation@64" and ("barred", "saturation@64") in again
    assert "barred@saturation@64/class" in again.arrays


def test_a_claim_counts_objects_that_all_three_know_when_clean() -> None:
    """Clutter's own pictures are wrong for every network once it is barred, and don't count."""
    known = claims.load()
    at = known.settings["caltech101"]
    labels, under = np.array([0, 1, 2, 3, 4]), "barred@saturation@64"
    answers = {
        "normal": {"clean@/class": labels, f"{under}/class": np.array([1, 1, 9, 3, 9])},
        "underfit": {"clean@/class": np.array([0, 1, 2, 9, 4])},
        at.main: {"clean@/class": labels, f"{under}/class": np.array([1, 1, 2, 3, 9])},
    }
    archive = {f"run/{model}": found | {"labels": labels} for model, found in answers.items()}
    runs = {(at.dataset, at.width, at.recipe, model, 1): [(f"run/{model}", 0.0)] for model in answers}
    look = quantities.Lookup(quantities.Rows(runs, {}, archive.__getitem__), known, "caltech101", 1)
    common = {model: look.common(model, under, claims.THREE)[0] for model in ("normal", "main")}
    assert common == {"normal": pytest.approx(1 / 3), "main": pytest.approx(2 / 3)}  # of pictures 1, 2 and 4


def test_a_claim_may_speak_of_it() -> None:
    claims._check_under("here", "barred@saturation@64", ("common",))
    with pytest.raises(InputError, match="distortion"):
        claims._check_under("here", "bared@saturation@64", ("common",))
    assert ledger.place_words("barred@saturation@64") == "saturation 64, with clutter barred"
