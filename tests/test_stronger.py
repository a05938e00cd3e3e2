"""Attacks one after another: what counts as fooled, that batches are resumed, and the rows."""

import csv
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from atlib import data, stronger
from atlib.campaign import stronger as campaign
from atlib.errors import InputError
from atlib.files import hold
from atlib.measurements import Subject


class Bright(nn.Module):
    """Class 1 if the mean of the pixels is above a half; the exact budget that fools it is |mean − .5|."""

    def __init__(self):
        super().__init__()
        self.on = nn.Parameter(torch.zeros(1))  # torchattacks asks the parameters for the device

    def forward(self, images):
        mean = images.mean((1, 2, 3))
        return torch.stack([0.5 - mean, mean - 0.5, torch.full_like(mean, -9.0), torch.full_like(mean, -9.0)], 1)


def pictures(*greys):
    """Flat pictures, 3×8×8, of these grey values."""
    return torch.tensor(greys).view(-1, 1, 1, 1).expand(-1, 3, 8, 8).clone()


def darker(by):
    """An attack that takes so much from every pixel."""
    return lambda model, images, labels: images - by


def test_an_attack_is_not_taken_at_its_word():
    near, far = 0.5 + 0.5 / 255, 0.5 + 20 / 255  # the second can't be reached within 8/255
    images, labels = pictures(near, far), torch.tensor([1, 1])
    assert stronger.resists(Bright(), images, labels, darker(1.0)).tolist() == [False, True]
    assert stronger.resists(Bright(), images, labels, darker(0.0)).tolist() == [True, True]
    assert stronger.resists(Bright(), images[:0], labels[:0], darker(1.0)).tolist() == []


def test_each_attack_sees_only_what_is_still_right():
    seen = {}

    def watched(name, attack):
        def watching(model, images, labels):
            seen[name] = len(images)
            return attack(model, images, labels)

        return watching

    images = pictures(0.4, 0.5 + 1 / 255, 0.5 + 12 / 255, 0.9)
    labels = torch.tensor([1, 1, 1, 1])  # the first is wrong as it is, the second falls to PGD
    chain = {"apgd-ce": watched("apgd-ce", darker(1 / 255)), "square": watched("square", darker(8 / 255))}
    found = stronger.one_batch(Bright(), images, labels, chain, 0)
    assert found["clean"].tolist() == [False, True, True, True]
    assert found["pgd-40"].tolist() == found["square"].tolist() == [False, False, True, True]
    assert seen == {"apgd-ce": 2, "square": 2} and not found["vanished"].any()


def test_a_network_without_gradient_is_counted():
    class Flat(Bright):
        def forward(self, images):
            return super().forward((images > 0.5).float() + 0 * images)

    found = stronger.one_batch(Flat(), pictures(0.9, 0.9), torch.tensor([1, 1]), {}, 0)
    assert found["vanished"].all() and found["pgd-40"].all()


@pytest.fixture
def about():
    torch.manual_seed(0)
    images = (255 * torch.rand(12, 3, 8, 8)).byte()
    test = data.Split(images, torch.zeros(12, dtype=torch.int64))
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).eval()
    return campaign.Target("mine:net", "", Subject(model, test, 8, torch.device("cpu"), dataset="cifar10"))


def test_batches_are_kept_and_the_next_call_goes_on(about, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ATLIB_RUNS", str(tmp_path))
    monkeypatch.setattr(campaign, "suite", lambda settings, seed: dict.fromkeys(stronger.ATTACKS[2:], darker(0.0)))
    settings = stronger.Settings()
    folder = campaign.attack(about, settings, pictures=8, batch=4)
    first = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    assert len(first) == 2
    assert campaign.attack(about, settings, pictures=12, batch=4) == folder
    assert all(path.stat().st_mtime_ns == written for path, written in first.items())
    assert campaign.attack(about, settings, pictures=12, batch=4, minutes=0) == folder
    capsys.readouterr()
    rows = campaign.rows_of(about, settings, folder)
    assert [row["attack"] for row in rows] == [*stronger.ATTACKS, "pgd-40"]
    counts = [int(str(row["count"])) for row in rows[:6]]
    assert counts == sorted(counts, reverse=True) and {row["total"] for row in rows} == {12}
    with torch.no_grad():
        pixels = data.prepare(about.subject.test.images, 8)
        assert rows[0]["count"] == int((about.subject.model(pixels).argmax(1) == 0).sum())
    kept = np.concatenate([np.load(path)["places"] for path in folder.glob("*.npz")])
    assert sorted(kept) == list(range(12))
    brighter = about.subject.test._replace(images=about.subject.test.images // 2)
    others = [
        campaign.folder_of(about, stronger.Settings(steps=7)),
        campaign.folder_of(about, settings, seed=5),
        campaign.folder_of(about._replace(subject=replace(about.subject, dataset="other")), settings),
        campaign.folder_of(about._replace(subject=replace(about.subject, test=brighter)), settings),
    ]
    assert len({folder, *others}) == 5


def test_a_batch_that_was_cut_short_is_done_again_whole(about, tmp_path, monkeypatch):
    """It was kept beside the whole one, and its pictures were counted twice."""
    monkeypatch.setenv("ATLIB_RUNS", str(tmp_path))
    monkeypatch.setattr(campaign, "suite", lambda settings, seed: dict.fromkeys(stronger.ATTACKS[2:], darker(0.0)))
    settings = stronger.Settings()
    for asked in (6, 12, 6):
        folder = campaign.attack(about, settings, pictures=asked, batch=4)
    places = np.concatenate([np.load(path)["places"] for path in folder.glob("*.npz")])
    assert sorted(places) == list(range(12))
    assert {row["total"] for row in campaign.rows_of(about, settings, folder)} == {12}


def test_rows_replace_those_of_the_same_network_alone(tmp_path):
    line = dict.fromkeys(campaign.COLUMNS, "x") | {"model": "b", "settings": "s", "count": 1}
    path = tmp_path / "stronger.csv"
    campaign.publish([line | {"dataset": "another"}], path)  # stays
    campaign.publish([line], path)
    campaign.publish([line | {"model": "a"}], path)
    campaign.publish([line | {"count": 2}], path)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["count"]) for row in rows] == [("a", "1"), ("b", "1"), ("b", "2")]
    assert tuple(rows[0]) == campaign.COLUMNS


@pytest.mark.parametrize("content", [b"", b"model,dataset\n", b"\xff\xfe", b",".join([b"x"] * 15) + b"\n"])
def test_a_file_of_other_columns_is_one_line_and_stays(content, tmp_path, monkeypatch, capsys):
    """Its rows were written below a header that wasn't theirs."""
    monkeypatch.setenv("ATLIB_RESULTS", str(tmp_path))
    monkeypatch.setattr(campaign, "suite", lambda settings, seed: {})
    path = tmp_path / "stronger.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{path}: (line 1 must be model,|not a readable CSV of rows \()"):
        campaign.publish([dict.fromkeys(campaign.COLUMNS, "x")])
    assert path.read_bytes() == content
    assert campaign.main(["absent:network", "cifar10"]) == 2  # before the network is looked for
    assert capsys.readouterr().err.startswith(f"error: {path}: ")


def test_only_one_process_publishes_at_a_time_whatever_its_runs(tmp_path, monkeypatch):
    path = tmp_path / "stronger.csv"
    monkeypatch.setattr(campaign, "PATIENCE", 0)
    with hold(tmp_path / ".stronger.csv.lock", "7", ""), pytest.raises(InputError, match="being written by process 7"):
        campaign.publish([dict.fromkeys(campaign.COLUMNS, "x")], path)
    assert not path.exists()


def test_a_missing_library_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "adv_lib", None)
    with pytest.raises(InputError, match="requirements-bench"):
        stronger.suite(stronger.Settings(), 0)
    assert campaign.main(["atlib:cifar10/normal", "cifar10"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "pip install --no-deps" in said


def test_a_shipped_network_is_attacked_on_what_it_was_trained_on():
    """Its rows would be published under its run's name."""
    line = r"^dataset = 'shapes': atlib:cifar10/normal was trained on cifar10, and is attacked on that$"
    with pytest.raises(InputError, match=line):
        campaign.target("atlib:cifar10/normal", "shapes")


@pytest.mark.parametrize("option", ["targets", "steps", "queries", "pictures"])
def test_a_number_out_of_range_is_told_before_the_network_is_looked_for(option, capsys):
    assert campaign.main(["absent:network", "cifar10", f"--{option}", "0"]) == 2
    assert capsys.readouterr().err == f"error: {option} = 0: must be a whole number at least 1\n"


@pytest.mark.parametrize("name", ["apgd-ce", "apgd-dlr", "apgd-t", "square"])
def test_the_libraries_find_what_is_there_and_nothing_else(name):
    pytest.importorskip("adv_lib")
    pytest.importorskip("torchattacks")
    attack = stronger.suite(stronger.Settings(steps=20, queries=600), 0)[name]
    images = pictures(0.5 + 3 / 255, 0.5 + 12 / 255)
    with stronger.drawn(0):
        assert stronger.resists(Bright(), images, torch.tensor([1, 1]), attack).tolist() == [False, True]


def test_batches_of_another_size_do_not_mix(about, tmp_path, monkeypatch):
    """Their pictures were counted twice."""
    monkeypatch.setenv("ATLIB_RUNS", str(tmp_path))
    monkeypatch.setattr(campaign, "suite", lambda settings, seed: dict.fromkeys(stronger.ATTACKS[2:], darker(0.0)))
    campaign.attack(about, stronger.Settings(), pictures=8, batch=4)
    with pytest.raises(InputError, match=r"^batch = 2: .* was begun with 4; use that, or delete it$"):
        campaign.attack(about, stronger.Settings(), pictures=8, batch=2)
    with pytest.raises(InputError, match=r"^batch = 0"):
        campaign.attack(about, stronger.Settings(), pictures=8, batch=0)


def test_a_damaged_batch_is_one_line(about, tmp_path, monkeypatch):
    monkeypatch.setenv("ATLIB_RUNS", str(tmp_path))
    monkeypatch.setattr(campaign, "suite", lambda settings, seed: dict.fromkeys(stronger.ATTACKS[2:], darker(0.0)))
    folder = campaign.attack(about, stronger.Settings(), pictures=4, batch=4)
    (path,) = folder.glob("*.npz")
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        first = archive.infolist()[0]
    start = (
        first.header_offset
        + 30
        + len(first.filename)
        + int.from_bytes(content[first.header_offset + 28 :][:2], "little")
    )
    for damaged in (b"nothing", content[:start] + b"\xff" * 4 + content[start + 4 :]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"00000\.npz: can't be read .*; delete it, and it is made again"):
            campaign.rows_of(about, stronger.Settings(), folder)


def test_rows_of_another_seed_stay(tmp_path):
    line = dict.fromkeys(campaign.COLUMNS, "x") | {"model": "a", "seed": 0}
    path = tmp_path / "stronger.csv"
    campaign.publish([line], path)
    campaign.publish([line | {"seed": 1}], path)
    campaign.publish([line | {"seed": 1, "count": 7}], path)
    with path.open() as file:
        assert [(row["seed"], row["count"]) for row in csv.DictReader(file)] == [("0", "x"), ("1", "7")]
