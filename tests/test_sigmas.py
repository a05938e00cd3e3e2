"""Maps at several σ: what is measured, and that a stopped call goes on."""

import pandas as pd
import pytest
import torch
from torch import nn

from atlib import data, files, models, saliency
from atlib.campaign import sigmas
from atlib.data import Dataset, Split
from atlib.errors import InputError
from atlib.report import sigma_tables


class Sum(nn.Module):
    """Class 0 if the red channel is bright, class 1 otherwise."""

    def forward(self, images):
        red = 50 * (images[:, 0].mean((1, 2)) - 0.5)
        return torch.stack([red, -red], 1)


def test_noise_is_a_share_of_each_pictures_range():
    images = torch.stack([torch.full((3, 8, 8), 0.6), torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))])
    labels = torch.tensor([0, 1])
    draws = torch.Generator().manual_seed(0)
    share = sigmas.recognised(Sum(), images, labels, 10.0, draws)
    assert share[0] == 1  # a flat picture has no range, so that no noise is added
    assert 0 < share[1] < 1


def test_the_sentence_takes_its_numbers_from_rows_and_needs_them_all():
    values = {("n", 0.02): 0.04, ("n", 0.1): 0.2, ("r", 0.02): 0.21, ("r", 0.1): 0.22}
    frame = pd.DataFrame(
        {
            "model": m,
            "sigma": s,
            "metric": "edge_correlation",
            "value": v,
            "low": v - 0.01,
            "high": v + 0.01,
            "total": 9,
        }
        for (m, s), v in values.items()
    )
    shares = frame.assign(metric="recognised", value=0.5, low=0.4, high=0.6)
    frame = pd.concat([frame, shares], ignore_index=True)
    said = sigma_tables.sentence("n", "r", frame)
    assert said.startswith("Of SmoothGrad's own noisy copies one ordinary network recognises 50 % [40, 60] and one ")
    assert "is 0.04 [0.03, 0.05] for the ordinary network's maps and 0.21 [0.20, 0.22]" in said
    assert "with the paper's, 0.20 [0.19, 0.21] and 0.22 [0.21, 0.23]" in said and "on 9 CIFAR-10 pictures" in said
    caused = "much of the agreement with edges appears only once noise is added"
    assert caused in said
    reversed_ = frame.assign(model=frame["model"].map({"n": "r", "r": "n"}))
    assert caused not in sigma_tables.sentence("n", "r", reversed_)
    assert sigma_tables.sentence("n", "r", frame.iloc[1:]) == ""
    assert sigma_tables.sentence("n", "r", frame[frame["metric"] == "edge_correlation"]) == ""


def test_the_statistics_are_those_of_smoothgrads_maps():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1])
    found = sigmas.measured(Sum(), images, labels, 0.05, samples=4)
    maps = saliency.smoothgrad(Sum(), images, labels, samples=4, sigma=0.05, generator=torch.Generator().manual_seed(0))
    assert set(found) == set(sigmas.METRICS)
    assert found["gini"].tolist() == pytest.approx(saliency.gini(maps).tolist())
    assert found["edge_correlation"].tolist() == pytest.approx(saliency.edge_correlation(maps, images).tolist())


def test_what_another_process_writes_meanwhile_stays(tmp_path):
    """Rows were read before some minutes of work, and written with what had been there then."""
    path = tmp_path / "sigmas.csv"
    base = dict.fromkeys(sigmas.COLUMNS, 1) | {"metric": "gini", "model": "a", "sigma": 0.1}
    for name, sigma, value in (("b", 0.1, 1), ("a", 0.1, 1), ("a", 0.02, 1), ("a", 0.1, 2)):
        sigmas.put(path, name, sigma, pd.DataFrame([base | {"model": name, "sigma": sigma, "value": value}]))
    found = sigmas.read(path)[["model", "sigma", "value"]]
    assert [*found.itertuples(index=False, name=None)] == [("a", 0.02, 1), ("a", 0.1, 2), ("b", 0.1, 1)]


def test_only_one_process_writes_at_a_time(tmp_path, monkeypatch):
    path = tmp_path / "sigmas.csv"
    monkeypatch.setattr(sigmas, "PATIENCE", 0)
    with (
        files.hold(tmp_path / ".sigmas.csv.lock", "7", ""),
        pytest.raises(InputError, match="being written by process 7"),
    ):
        sigmas.put(path, "a", 0.1, pd.DataFrame())
    assert not path.exists()


def test_a_stopped_call_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ATLIB_RESULTS", str(tmp_path))
    split = Split((255 * torch.rand(5, 3, 8, 8)).byte(), torch.tensor([0, 1, 0, 1, 0]))
    asked = []

    def load(name):
        asked.append(name)
        return Sum(), {}

    monkeypatch.setattr(
        data, "load", lambda name, **_: Dataset(name, ("a", "b"), 8, "none", "here", (), split, split, split)
    )
    monkeypatch.setattr(models, "shipped", lambda: {"cifar10/one": "x", "cifar10/one-s2": "z", "shapes/two": "y"})
    monkeypatch.setattr(models, "load", load)
    monkeypatch.setattr(models, "fold", lambda model: model)
    for given, line in (
        ({"pictures": 6}, "pictures = 6: must be a whole number at least 2 and at most 5"),
        ({"pictures": 1}, "pictures = 1: must be a whole number at least 2"),
        ({"minutes": -1}, "minutes = -1: must be a number at least 0"),
        ({"minutes": float("nan")}, "minutes = nan: must be a number at least 0"),
    ):
        with pytest.raises(InputError, match=f"^{line}$"):
            sigmas.write("cifar10", **({"minutes": 9, "pictures": 3, "samples": 2} | given))
    sigmas.write("cifar10", minutes=0, pictures=3, samples=2)
    assert sigmas.read().empty and asked == []
    path = sigmas.write("cifar10", minutes=9, pictures=3, samples=2)
    first = path.read_text(encoding="utf-8")
    frame = pd.read_csv(path)
    assert list(frame["sigma"].unique()) == [0.02, 0.05, 0.1] and set(frame["total"]) == {3}
    sigmas.write("cifar10", minutes=9, pictures=3, samples=2)
    assert path.read_text(encoding="utf-8") == first and asked == ["cifar10/one"]
    assert list(sigma_tables.table()["sigma"]) == ["0.02", "0.05", "0.1"]
    with pytest.raises(InputError, match="no shipped network"):
        sigmas.write("caltech101", minutes=1)
    capsys.readouterr()
