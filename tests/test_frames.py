"""What the sliders show: kept frames equal what the library computes from the networks and pictures that they name."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from atlib import data, models, saliency, transforms
from atlib.errors import InputError, Missing
from atlib.files import REPOSITORY
from atlib.report import frames
from atlib.tensors import load_tensors, tensor_digest

KEPT = REPOSITORY / "results" / "frames"
NAMES = ("cifar10", "shapes")
CONFUSED = 1  # a test picture of shapes that the attack gets the normal network to misread


@pytest.fixture(scope="module")
def shapes() -> frames.Frames:
    return frames.load("shapes", KEPT)


@pytest.fixture(scope="module")
def test_set() -> data.Split:
    return data.load("shapes").test


@pytest.mark.parametrize("name", NAMES)
def test_kept_frames_are_of_the_shipped_networks_and_say_how_they_came_about(name: str) -> None:
    found = frames.load(name, KEPT)
    for one in [*found.about["networks"], *found.about.get("budgets", [])]:
        path = models.shipped()[f"{name}/{one['name']}"]
        assert one["digest"] == tensor_digest(load_tensors(path)[0]), f"make frames DATASET={name}"
    assert [one["name"] for one in found.about["networks"]] == list(frames.NETWORKS)
    assert found.about["credit"] and len(found.about["commit"]) == 40  # of committed code
    assert len(found.about["pictures"]) <= 12
    assert tuple(found.about["saturation"]) == frames.SATURATION


@pytest.mark.parametrize("name", NAMES)
def test_unchanged_pictures_are_known_to_every_network(name: str) -> None:
    found = frames.load(name, KEPT)
    same = found.arrays["explorer/probabilities"][:, frames.SATURATION.index("2"), 0]
    labels = np.array([picture["label"] for picture in found.about["pictures"]])
    assert (same.argmax(-1) == labels[:, None]).all()
    assert len(set(labels)) == len(labels)
    start = found.arrays["attack/shown"][:, :, 0]
    assert (start == start[:, :1, :1]).all()  # before the first step it is the picture, for every budget and network


@pytest.mark.parametrize("name", NAMES)
def test_attacked_pictures_stay_within_their_budget(name: str) -> None:
    found = frames.load(name, KEPT)
    shown = found.arrays["attack/shown"].astype(int)
    change = np.abs(shown - shown[:, :, :1]).reshape(*shown.shape[:3], -1).max(-1)
    for b, eps in enumerate(found.about["eps"]):
        assert change[:, b].max() == eps  # bytes of both: the budget is whole


def test_kept_frames_equal_the_library(shapes: frames.Frames, test_set: data.Split) -> None:
    number, label = (shapes.about["pictures"][1][key] for key in ("number", "label"))
    s, k = frames.SATURATION.index("1024"), frames.PATCHES.index("2")
    image = test_set.images[number : number + 1]
    expected = transforms.distort(
        transforms.distort(image, "saturation", "1024", [number]), "patch-shuffle", "2", [number]
    )
    shown = torch.from_numpy(shapes.arrays["explorer/shown"][1, s, k]).float() / 255
    assert (shown - expected[0]).abs().max() <= 0.5 / 255 + 1e-6
    for n, name in enumerate(frames.NETWORKS):
        model, _ = models.load(f"shapes/{name}")
        chances = model(expected).softmax(1)[0].detach().numpy()
        assert np.abs(shapes.arrays["explorer/probabilities"][1, s, k, n] - chances).max() < 2e-3
        noise = torch.Generator().manual_seed(0)
        maps = saliency.smoothgrad(model, expected, torch.tensor([label]), samples=100, generator=noise)
        kept = shapes.arrays["explorer/maps"][1, s, k, n] / 255
        assert np.corrcoef(kept.ravel(), saliency.picture(maps)[0].numpy().ravel())[0, 1] > 0.99


def test_distorted_saturates_and_then_shuffles(test_set: data.Split) -> None:
    image = test_set.images[5]
    assert torch.equal(frames.distorted(image, 2, 1, 5), image / 255)
    binary = frames.distorted(image, math.inf, 4, 5)
    assert set(binary.unique().tolist()) <= {0.0, 1.0}
    assert not torch.equal(binary, frames.distorted(image, math.inf, 1, 5))
    assert torch.equal(
        binary.flatten(1).sort().values, frames.distorted(image, math.inf, 1, 5).flatten(1).sort().values
    )


def test_attacked_goes_further_with_each_step(test_set: data.Split) -> None:
    networks = frames.networks_of("shapes", ("normal",))
    image, label = test_set.images[CONFUSED] / 255, int(test_set.labels[CONFUSED])
    reached = [frames.attacked(networks, image, label, 8 / 255, steps) for steps in (0, 1, 5, 40)]
    assert torch.equal(reached[0][0], image)
    chances = [float(frames.probabilities(networks, pictures)[0, label]) for pictures in reached]
    assert chances[0] > 0.9 and chances[-1] < chances[0]
    assert all((pictures - image).abs().max() <= 8 / 255 + 1e-6 for pictures in reached)


def test_written_frames_are_read_back_and_nothing_is_left_behind(tmp_path: Path) -> None:
    arrays = {"explorer/shown": np.zeros((1, 3, 2, 2), np.uint8)}
    frames.write("shapes", frames.Frames(arrays, {"dataset": "shapes"}), tmp_path)
    found = frames.load("shapes", tmp_path)
    assert found.about["dataset"] == "shapes" and list(found.arrays) == list(arrays)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shapes.json", "shapes.npz"]
    (tmp_path / "shapes.npz").write_bytes(b"of another writing")
    with pytest.raises(InputError, match=r"not what shapes\.json describes"):
        frames.load("shapes", tmp_path)
    (tmp_path / "shapes.npz").unlink()
    with pytest.raises(Missing, match=r"^.*/shapes\.npz: not there; make frames DATASET=shapes writes it$"):
        frames.load("shapes", tmp_path)


def test_what_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="make frames DATASET=cifar10 writes it"):
        frames.load("cifar10", tmp_path)
    with pytest.raises(InputError, match=r"DATASET = 'cifar'.*'cifar10'"):
        frames.make("cifar", folder=tmp_path)


def test_conflict_pictures_show_the_most_common_ways_from_budget_to_budget() -> None:
    shapes_, textures = torch.zeros(6, dtype=torch.long), torch.ones(6, dtype=torch.long)
    answers = torch.tensor([[1, 0, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 5, 0]])
    found = frames.courses(answers, shapes_, textures)
    assert found == [(3, "TSS", 0.5), (1, "SSS", 2 / 6), (4, "SSN", 1 / 6)]  # of those from T to S most are TSS
    assert frames.courses(answers, shapes_, textures, count=1) == found[:1]


def test_a_kept_conflict_picture_changes_its_mind_with_the_budget(shapes: frames.Frames) -> None:
    courses = [one["answers"] for one in shapes.about["conflict"]]
    assert any(one[0] == "T" and one[-1] == "S" for one in courses) and len(courses) == frames.CONFLICTS
    for place, one in enumerate(shapes.about["conflict"]):
        said = shapes.arrays["budgets/probabilities"][place].argmax(-1).tolist()
        assert "".join({one["label"]: "S", one["texture"]: "T"}.get(best, "N") for best in said) == one["answers"]
