"""What every network is shown: distortions and saliency maps as measurements, against plain loops over the pictures."""

from __future__ import annotations

import copy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from atlib import data, evaluation, measurements, saliency, training, transforms
from atlib.campaign import audit
from atlib.configuration import resolve
from atlib.errors import InputError
from atlib.files import REPOSITORY, read_json, runs_dir
from atlib.measurements import Subject
from atlib.rows import load, measurement, read_predictions, row_id
from helpers import rows_of

CONFIG = replace(resolve(eps=4, share=0.5, steps=2, width=4, epochs=3, batch=16, precision="fp32"), quick=True)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder of a finished run that was shown everything."""
    root = tmp_path_factory.mktemp("measured")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATLIB_RUNS", str(root))
        patch.setenv("ATLIB_COMMIT", "abc")
        patch.setattr(measurements, "BATCH", 40)  # the quick test set has 100 pictures
        patch.setattr(measurements, "MAP_PICTURES_ELSEWHERE", 12)
        patch.setattr(saliency, "SAMPLES", 3)
        training.train(CONFIG, progress=False)
        evaluation.evaluate(CONFIG.run, progress=False)
    return root


@pytest.fixture
def run(measured: Path, own_folders: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATLIB_COMMIT", "abc")
    shutil.copytree(measured, runs_dir())
    return CONFIG.folder


@pytest.fixture
def subject(run: Path) -> Subject:
    return evaluation.subject_of(run)


def cell(rows: pd.DataFrame, place: str, metric: str) -> pd.Series:
    chosen = rows[(rows["distortion"] + "@" + rows["level"] == place) & (rows["metric"] == metric)]
    assert len(chosen) == 1
    return chosen.iloc[0]


# --- distortions ------------------------------------------------------------------------------------------------------


def test_what_is_published_can_still_be_measured() -> None:
    """A distortion or a level that was renamed or left out would leave rows behind that nobody could measure again."""
    published = load(REPOSITORY / "results")
    published = published[published["distortion"].isin(list(transforms.DISTORTIONS))]
    found = published.groupby("distortion")["level"].unique()
    assert len(found) >= 7 and sum(map(len, found)) >= 32
    for name, levels in found.items():
        assert set(levels) <= set(transforms.DISTORTIONS[str(name)].levels)
    assert transforms.levels("patch-shuffle", 20) == ("1", "2", "4") and len(transforms.levels("saturation", 20)) == 11


@pytest.mark.parametrize("place", [f"{n}@{level}" for n, d in transforms.DISTORTIONS.items() for level in d.levels])
def test_a_picture_is_distorted_the_same_in_any_company(place: str) -> None:
    name, _, level = place.partition("@")
    images = torch.rand(5, 3, 16, 16)
    numbers = [3, 1, 4, 15, 9]
    whole = transforms.distort(images, name, level, numbers, seed=2)
    assert whole.shape == images.shape and whole.min() >= 0 and whole.max() <= 1
    alone = torch.cat(
        [transforms.distort(images[i : i + 1], name, level, [n], 2) for i, n in enumerate([3, 1, 4, 15, 9])]
    )
    torch.testing.assert_close(alone, whole, rtol=0, atol=1e-6)
    assert torch.equal(whole, images) == (place in ("saturation@2", "patch-shuffle@1"))
    again = transforms.distort(images, name, level, numbers, seed=3)
    assert torch.equal(again, whole) == (name not in ("patch-shuffle", "random-drop", "noise") or level == "1")


def test_a_distortion_that_is_not_there() -> None:
    for given, message in (
        (("saturate", "1"), "distortion = 'saturate': must be one of saturation, "),
        (("saturation", "much"), "level = 'much': must be a number, for instance 0"),
    ):
        with pytest.raises(InputError) as error:
            transforms.distort(torch.rand(1, 3, 8, 8), *given, [0])
        assert str(error.value).startswith(message)


def test_every_distortion_of_a_run_picture_by_picture(run: Path, subject: Subject) -> None:
    rows = rows_of(run)
    arrays = read_predictions(run / "predictions.npz")
    images, labels = subject.test.images.float() / 255, subject.test.labels
    for name, distortion in transforms.DISTORTIONS.items():
        for level in distortion.levels:
            changed = [transforms.distort(image[None], name, level, [n]) for n, image in enumerate(images)]
            with torch.no_grad():
                logits = subject.model(torch.cat(changed))
            said = arrays[f"{name}@{level}/class"]
            assert (said == logits.argmax(1).numpy()).mean() >= 0.99  # rounding may decide a tie
            found = cell(rows, f"{name}@{level}", "accuracy")
            assert (found["count"], found["total"]) == ((said == labels.numpy()).sum(), 100)
            p_true = logits.softmax(1)[range(100), labels].mean()
            assert cell(rows, f"{name}@{level}", "p_true")["value"] == pytest.approx(float(p_true), abs=1e-4)
            assert f"{name}@{level}/p_true" not in arrays
    # identities are measured like the rest, and give what the clean pictures give
    for place in ("saturation@2", "patch-shuffle@1"):
        assert (arrays[f"{place}/class"] == arrays["clean@/class"]).all()
    assert cell(rows, "saturation@0", "accuracy")["value"] < cell(rows, "clean@", "accuracy")["value"]


# --- saliency maps ----------------------------------------------------------------------------------------------------


def plain_maps(subject: Subject, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Grad and SmoothGrad of three samples, picture by picture, with the noise that an evaluation draws."""
    draws = torch.Generator().manual_seed(0)
    model = copy.deepcopy(subject.model).double()  # a softmax in single precision loses digits where p is near 1

    def gradient(image: Tensor, label: Tensor) -> Tensor:
        x = image[None].clone().requires_grad_()
        return torch.autograd.grad(F.log_softmax(model(x.double()), 1)[0, label], x)[0][0]

    smooth = []
    for image, label in zip(images, labels, strict=True):
        noise = 0.1 * (image.max() - image.min()) * torch.randn(3, *image.shape, generator=draws)
        smooth.append(sum(gradient(image + one, label) for one in noise) / 3)
    plain = [gradient(image, label) for image, label in zip(images, labels, strict=True)]
    return {"": torch.stack([torch.as_tensor(one) for one in smooth]), "grad_": torch.stack(plain)}


def test_statistics_of_maps_are_those_of_the_pictures_maps(
    run: Path, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measurements, "MAP_PICTURES_ELSEWHERE", 12)
    rows, arrays = rows_of(run), read_predictions(run / "predictions.npz")
    chosen = measurements.map_pictures(subject)
    assert len(set(chosen.tolist())) == 12
    images, labels = (subject.test.images.float() / 255)[chosen], subject.test.labels[chosen]
    clean = plain_maps(subject, images, labels)
    for place in ("clean@", "saturation@1024", "patch-shuffle@4"):
        name, _, level = place.partition("@")
        shown = images if name == "clean" else transforms.distort(images, name, level, chosen.tolist())
        for prefix, maps in plain_maps(subject, shown, labels).items():
            expected = {
                "gini": saliency.gini(maps),
                "edge_correlation": saliency.edge_correlation(maps, images),  # with the edges of the clean picture
                "high_frequency": saliency.high_frequency(maps),
                "alignment": saliency.alignment(maps, shown),
                "map_distance": saliency.map_distance(maps, clean[prefix]),
            }
            for metric, values in expected.items():
                key = f"maps@{place}/{prefix}{metric}"
                if metric == "map_distance" and place == "clean@":
                    assert key not in arrays
                    continue
                np.testing.assert_allclose(arrays[key], values.numpy(), rtol=0, atol=3e-3)
                found = cell(rows, place, prefix + metric)
                assert found["value"] == pytest.approx(float(values.mean()), abs=1e-3)
                assert pd.isna(found["count"]) and found["total"] == 12


def test_maps_under_attack_are_of_the_attacked_pictures(subject: Subject) -> None:
    chosen = torch.tensor([4, 8])
    shown = measurements.shown_under(subject, "pgd-linf@8", chosen)
    clean = measurements.shown_under(subject, "clean@", chosen)
    change = (shown - clean).abs().amax((1, 2, 3))
    assert change.max() <= 8 / 255 + 1e-6 and change.min() > 6 / 255
    with pytest.raises(
        InputError,
        match=r"^under = 'conflict@': must be clean@, pgd-linf@8, stylised@SET or a distortion with its level$",
    ):
        measurements.shown_under(subject, "conflict@", chosen)


def test_the_same_pictures_for_every_network_and_more_of_cifar10() -> None:
    labels = torch.zeros(700, dtype=torch.long)
    subject = Subject(torch.nn.Identity(), data.Split(torch.zeros(700), labels), 32, torch.device("cpu"))
    few = measurements.map_pictures(subject)
    many = measurements.map_pictures(replace(subject, dataset="cifar10"))
    assert len(few) == 200 and len(many) == 500 and torch.equal(many[:200], few)


def test_rows_of_maps_are_their_distortions_and_measured_again_by_themselves(run: Path) -> None:
    before, origins = rows_of(run), read_json(run / "evaluation.json")["measurements"]
    row = cell(before, "saturation@1024", "gini")
    assert measurement(row) == "maps@saturation@1024" and "maps@saturation@1024" in origins
    assert measurement(cell(before, "saturation@1024", "accuracy")) == "saturation@1024"
    assert measurement(cell(before, "clean@", "grad_gini")) == "maps@clean@"
    places = {measurement(one) for one in before.to_dict("records")}
    assert places == set(origins) == set(evaluation.expected(CONFIG))
    evaluation.evaluate(run, measure=("saturation",), again=True, progress=False)
    after = rows_of(run)
    pd.testing.assert_frame_equal(after, before)  # maps@ are still there, once


def test_a_map_statistic_can_be_audited(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurements, "MAP_PICTURES_ELSEWHERE", 12)
    monkeypatch.setattr(saliency, "SAMPLES", 3)
    training, measured = read_json(run / "training.json"), read_json(run / "evaluation.json")
    record = training | {"training": training, "evaluation": measured}
    monkeypatch.setattr(audit, "record_of", lambda name: record)
    row = cell(rows_of(run), "patch-shuffle@4", "map_distance")
    found = audit.audit(row_id(row), rows_of(run))
    assert found.agrees and found.published == row["value"] > 0.3 and found.tolerance == audit.TOLERANCE_MEAN
