"""Measurements of several networks at once: which others are needed and found, and what is measured of them."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atlib import between, data, evaluation, measurements, models, saliency
from atlib.between import Other
from atlib.campaign import publishing
from atlib.configuration import Config, resolve
from atlib.errors import InputError, NetworkError
from atlib.files import REPOSITORY, write_json
from atlib.measured import Table
from atlib.measurements import Subject
from atlib.report import claims, quantities, waiting
from atlib.rows import load, measurement
from atlib.tensors import load_tensors, tensor_digest
from helpers import LINE, RUN, Halves, write_csv

CPU = torch.device("cpu")
NORMAL = resolve(dataset="cifar10", attack="none", width=4, precision="fp32")
ROBUST = resolve(dataset="cifar10", eps=8, share=0.5, width=4, precision="fp32")


def trained(config: Config, weights: int = 0, *, finished: bool = True) -> Path:
    """The folder of a run whose network was never trained; `weights` draws them."""
    architecture: dict[str, Any] = {"classes": 10, "width": config.width, "stem": config.stem}
    header = {"architecture": architecture, "config": asdict(config)}
    models.save(config.folder / "weights.safetensors", models.resnet18(**architecture, seed=weights), header)
    if finished:
        write_json(config.folder / "training.json", {"config": asdict(config)})
    return config.folder / "weights.safetensors"


def subject(config: Config, model: nn.Module, images: Tensor, labels: Tensor | None = None) -> Subject:
    """Test pictures (uint8) and a network, as `evaluate` would hand them over."""
    labels = torch.zeros(len(images), dtype=torch.long) if labels is None else labels
    return Subject(model, data.Split(images, labels), images.shape[-1], CPU, config=config, dataset=config.dataset)


def pictures(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


# --- Which others -----------------------------------------------------------------------------------------------------


def test_the_seeds_go_round() -> None:
    assert [between.next_seed(seed) for seed in (1, 2, 3)] == [2, 3, 1]


def test_which_networks_a_measurement_needs() -> None:
    third = replace(NORMAL, seed=3)
    assert between.others(NORMAL, "clean@") == (Other("normal", 2),)
    assert between.others(third, "clean@") == (Other("normal", 1),)
    assert between.others(replace(ROBUST, seed=3), "clean@") == (Other("normal", 3),)
    assert between.others(third, "pgd-linf@64") == (Other("pgd-linf-8", 1), Other("pgd-linf-8", 3))
    assert between.others(ROBUST, "pgd-linf@64") == (Other("pgd-linf-8", 2), Other("normal", 1))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (NORMAL, ["clean@", "pgd-linf@64"]),
        (ROBUST, ["clean@", "pgd-linf@64"]),
        (resolve(dataset="cifar10", attack="spatial", width=4), ["clean@"]),
        (replace(NORMAL, seed=4), []),
    ],
)
def test_they_are_measured_only_where_they_are_asked_for(config: Config, expected: list[str]) -> None:
    some = subject(config, nn.Identity(), pictures(1))
    assert not [name for name, _ in evaluation.wanted(some) if name == "between"]
    assert evaluation.wanted(some, ("between",)) == [("between", level) for level in expected]
    assert not [place for place in evaluation.expected(config) if place.startswith(("between", "gradient"))]
    assert evaluation.expected(config, ("gradient",)) == ["gradient@"]


def test_a_network_is_found_by_what_it_has_in_common() -> None:
    mine = trained(replace(NORMAL, seed=2))
    trained(replace(NORMAL, seed=3), finished=False)
    trained(replace(NORMAL, seed=2, width=8))
    trained(replace(NORMAL, seed=2, epochs=3.0))
    assert between.find(ROBUST, Other("normal", 2)) == mine
    assert between.find(NORMAL, Other("normal", 2)) == mine
    assert between.find(NORMAL, Other("normal", 3)) is None  # still in training
    assert between.find(replace(NORMAL, width=8), Other("normal", 1)) is None


def test_the_share_of_adversarial_batches_tells_networks_apart() -> None:
    half, whole = trained(replace(ROBUST, seed=2)), trained(replace(ROBUST, seed=2, share=1.0))
    assert between.find(ROBUST, Other("pgd-linf-8", 2)) == half
    assert between.find(replace(ROBUST, share=1.0), Other("pgd-linf-8", 2)) == whole
    with pytest.raises(InputError, match=r"^pgd-linf-8, seed 2 could be cifar10/.* or cifar10/.*: keep the weights"):
        between.find(NORMAL, Other("pgd-linf-8", 2))


def test_runs_of_another_version_and_damaged_ones_are_left_out() -> None:
    """One such folder kept every network of its data set from being measured."""
    mine = trained(replace(NORMAL, seed=2))
    other = trained(replace(NORMAL, seed=2, epochs=3.0)).with_name("training.json")
    for content in ({"config": asdict(NORMAL) | {"cutmix": 1}}, {"run": "x"}, None):
        if content is None:
            other.write_text("{", encoding="utf-8")
        else:
            write_json(other, content)
        assert between.find(NORMAL, Other("normal", 2)) == mine


def test_networks_of_the_repository_are_found() -> None:
    usual = resolve(dataset="shapes", attack="none", seed=2)
    assert between.find(usual, Other("normal", 1)) == models.shipped()["shapes/normal"]


def test_what_is_missing_is_named() -> None:
    some = subject(ROBUST, nn.Identity(), pictures(1))
    assert between.lacks(some, "pgd-linf@64").startswith(
        "between@pgd-linf@64: needs the weights of pgd-linf-8, seed 2 and normal, seed 1 (under "
    )
    trained(NORMAL)
    assert between.lacks(some, "clean@") == ""
    assert "pgd-linf-8, seed 2 (under" in between.lacks(some, "pgd-linf@64")
    with pytest.raises(InputError, match=r"^between@pgd-linf@64: needs the weights of pgd-linf-8, seed 2 \(under"):
        evaluation.measurable(some, ("between@pgd-linf@64",), "x")


def test_it_is_measured_again_once_another_network_has_been_trained_again() -> None:
    some, first = subject(ROBUST, nn.Identity(), pictures(1)), trained(NORMAL)
    _, record = between._load(some, "clean@")
    assert record == {"others": {NORMAL.run: tensor_digest(load_tensors(first)[0])}}
    changed = measurements.MEASUREMENTS["between"].outdated
    assert not changed(some, "clean@", record)
    trained(NORMAL, weights=1)
    assert changed(some, "clean@", record)
    first.unlink()
    assert not changed(some, "clean@", record)  # it isn't here any more


# --- How far apart maps lie -------------------------------------------------------------------------------------------


def test_the_distance_is_that_of_both_networks_smoothgrad_maps_with_the_same_noise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(saliency, "SAMPLES", 2)
    mine, other = (models.fold(models.load(trained(config, n))[0]) for n, config in enumerate((ROBUST, NORMAL)))
    some = subject(ROBUST, mine, pictures(3))
    found = between.between(some, "clean@")
    (row,) = found.rows
    chosen = measurements.map_pictures(some)
    images, labels = data.prepare(some.test.images[chosen], 32), some.test.labels[chosen]
    maps = [
        saliency.smoothgrad(model, images, labels, samples=2, generator=torch.Generator().manual_seed(0))
        for model in (mine, other)
    ]
    expected = saliency.map_distance(*maps)
    assert (row.metric, row.count, row.total) == ("distance_to_normal", None, 3)
    assert row.value == pytest.approx(float(expected.mean()), abs=1e-5) and row.value > 0.1
    np.testing.assert_allclose(found.arrays["distance_to_normal"], expected.numpy(), atol=1e-3)
    assert list(found.record["others"]) == [NORMAL.run] and len(found.record["others"][NORMAL.run]) == 64


def test_a_normal_network_is_compared_with_that_of_the_next_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saliency, "SAMPLES", 2)
    trained(replace(NORMAL, seed=2), 5)
    same = models.fold(models.load(trained(NORMAL, 5))[0])
    (row,) = between.between(subject(NORMAL, same, pictures(2)), "clean@").rows
    assert row.metric == "distance_to_next_seed" and row.value == pytest.approx(0, abs=1e-6)


# --- Another class ----------------------------------------------------------------------------------------------------


class Blind(nn.Module):
    """Gives every image the first of two classes."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([images.mean((1, 2, 3)) * 0 + 1, images.mean((1, 2, 3)) * 0], 1)


def halves() -> tuple[Tensor, Tensor]:
    """Four images of 4×4 in two classes: bright on the left (0) or the right (1); one in the wrong class; one whose
    halves differ by more than the attack can bridge."""
    images = torch.full((4, 3, 4, 4), 100, dtype=torch.uint8)
    images[0, ..., :2] = 110
    images[1, ..., 2:] = 110
    images[2, ..., :2] = 110
    images[3, ..., :2] = 255
    return images, torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize(
    ("judge", "twin", "known", "another"),
    [
        (Halves(0.0), Halves(0.0), [True, True, False, True], [True, True, False, False]),
        (Blind(), Halves(0.0), [True, False, False, True], [False] * 4),
        (Halves(0.0), Blind(), [True, False, False, True], [True, False, False, False]),
    ],
)
def test_a_judge_is_asked_about_what_all_three_know(
    judge: nn.Module, twin: nn.Module, known: list[bool], another: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(between, "_load", lambda subject, level: ([judge, twin], {"others": {}}))
    found = between.between(subject(ROBUST, Halves(0.0), *halves()), "pgd-linf@64")
    assert found.arrays["known"].tolist() == known
    assert found.arrays["another_class"].tolist() == another
    (row,) = found.rows
    assert (row.metric, row.count, row.total) == ("another_class", sum(another), sum(known))


def test_no_picture_that_all_know_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(between, "_load", lambda subject, level: ([Blind(), Blind()], {"others": {}}))
    images, _ = halves()
    with pytest.raises(NetworkError, match=r"^no test picture is classified correctly by both attacked networks"):
        between.between(subject(ROBUST, Blind(), images, torch.ones(4, dtype=torch.long)), "pgd-linf@64")


# --- Rows and claims --------------------------------------------------------------------------------------------------


def test_rows_are_those_of_what_is_shown_and_are_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(between, "_load", lambda subject, level: ([Halves(0.0), Halves(0.0)], {"others": {"x": "d"}}))
    some = subject(ROBUST, Halves(0.0), *halves())
    columns = evaluation.columns_of(ROBUST, ROBUST.run)
    table = Table(tmp_path, some, columns, "digest")
    table.put("between", "pgd-linf@64", between.between(some, "pgd-linf@64"), 1.0)
    again = Table(tmp_path, some, columns, "digest")
    (row,) = again.rows.to_dict("records")
    assert (row["distortion"], row["level"], row["metric"]) == ("pgd-linf", "64", "another_class")
    assert measurement(row) == "between@pgd-linf@64" and ("between", "pgd-linf@64") in again
    assert again.origins["measurements"]["between@pgd-linf@64"]["others"] == {"x": "d"}
    values, among = quantities.per_picture(again.arrays, "pgd-linf@64", "another_class") or (None, None)
    assert values[among].tolist() == [True, True, False]  # type: ignore[index]


def test_counts_that_differ_from_the_answers_are_not_published(tmp_path: Path) -> None:
    place = "between@pgd-linf@64"
    said = {
        "labels": np.zeros(4, np.uint16),
        f"{place}/known": np.array([True, True, True, False]),
        f"{place}/another_class": np.array([True, False, False, False]),
    }
    rows = write_csv(tmp_path / "results" / f"{RUN}.csv", LINE + "pgd-linf,64,another_class,0.3333333333,1,3")
    frame = load(tmp_path / "results")
    publishing._check_agreement(rows, frame, said)
    said[f"{place}/known"][3] = True
    with pytest.raises(InputError, match="differ on pgd-linf@64/another_class"):
        publishing._check_agreement(rows, frame, said)


def test_a_claim_about_two_networks_waits_for_their_measurement() -> None:
    known, published = claims.load(), load(REPOSITORY / "results")
    for name, dataset in (("two-kinds-of-map", "cifar10"), ("large-perturbations-look-like-another-class", "cifar10")):
        own = published["metric"].isin(["distance_to_normal", "distance_to_next_seed", "another_class"])
        text = waiting.sentence(waiting.waiting(known[name], dataset, waiting.Published(published[~own]), known))
        assert text.startswith("Waits for this measurement of published networks, which needs their weights (pgd-")
