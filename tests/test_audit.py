"""Rows measured again: a random handful of the published ones on shapes, and what an audit says when it can't."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch

from atlib import models
from atlib.campaign import audit, shipping
from atlib.configuration import Config
from atlib.data import Split
from atlib.errors import InputError, Missing
from atlib.files import REPOSITORY
from atlib.measurements import Subject
from atlib.report import tables
from atlib.rows import load, measurement, row_id
from atlib.tensors import load_tensors, save_tensors

RESULTS = REPOSITORY / "results"


def at_hand() -> pd.DataFrame:
    """The rows whose weights are here and whose data needs no download (the generated data set)."""
    rows = load()
    generated, runs = rows[rows["dataset"] == "shapes"], []
    for run in generated["run"].unique():
        with contextlib.suppress(Missing):
            audit.weights_of(run)
            runs.append(run)
    return generated[generated["run"].isin(runs)]


# Of these one row each is measured again, the one of a map in CI on clean pictures, which takes half as long as under a
# distortion. Not of the map under PGD-40 and of PGD-40 itself, which take minutes.
MAPS = "maps@clean" if "CI" in os.environ else "maps@(clean|patch-shuffle|saturation)"
KINDS = (MAPS, "trained-attack@", "(?!maps|trained|pgd)")


def test_a_handful_of_published_rows_is_found_again(published_folder: None) -> None:
    """In CI always the same rows; elsewhere others each time, by a seed that a failure names."""
    seed = 0 if "CI" in os.environ else random.SystemRandom().randrange(10_000)
    rows = at_hand()
    places = pd.Series([measurement(row) for row in rows.to_dict("records")], rows.index)
    chosen = [rows[places.str.match(kind)].sample(1, random_state=seed) for kind in KINDS]
    for row in pd.concat(chosen).to_dict("records"):
        found = audit.audit(row_id(row))
        assert found.agrees, f"seed {seed}: {found}"


def test_a_changed_number_is_noticed(published_folder: None) -> None:
    rows = at_hand()
    row = rows[rows["distortion"] == "clean"].iloc[[0]].assign(value=0.5)
    found = audit.audit(row_id(row.iloc[0]), row)
    assert not found.agrees and "DIFFERS" in str(found)


def test_other_test_pictures_are_refused(published_folder: None, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tables.in_main_setting(load(), "cifar10")
    row = rows[(rows["model"] == "normal") & (rows["distortion"] == "clean")].iloc[0]
    black = Split(torch.zeros(3, 3, 32, 32, dtype=torch.uint8), torch.zeros(3, dtype=torch.long))

    def subject(config: Config, weights: Path, device: torch.device) -> Subject:
        return Subject(models.load(weights)[0], black, 32, device, None, config, dataset="cifar10")

    monkeypatch.setattr(audit.evaluation, "subject_from", subject)
    with pytest.raises(InputError, match=r"^cifar10: the test pictures here \(digest .*\) aren't those measured then"):
        audit.audit(row_id(row))


@pytest.mark.parametrize(("again", "status", "said"), [(0.5, 0, "agrees"), (0.6, 1, "DIFFERS")])
def test_the_command_ends_with_whether_every_row_agrees(
    again: float, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """`make verify ROW=…`"""
    monkeypatch.setattr(audit, "audit", lambda row: audit.Audit(row, 0.5, again, 0.01, 0.0))
    assert audit.main(["a row"]) == status
    out = capsys.readouterr().out
    assert out.startswith(f"a row: published 0.5, again {again}") and said in out


def test_shipping_a_run_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture) -> None:
    assert shipping.main(["shapes/absent"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "shapes/absent" in said and said.count("\n") == 1


def test_every_shipped_network_is_a_published_one_with_a_card_that_says_its_numbers(published_folder: None) -> None:
    names = models.shipped()
    assert set(names) >= {
        "shapes/normal",
        "shapes/pgd-linf-8",
        "cifar10/normal",
        "cifar10/underfit",
        "cifar10/pgd-linf-8",
    }
    assert sum(path.stat().st_size for path in names.values()) <= shipping.SIZE_LIMIT
    runs = set(load()["run"])
    for name, path in names.items():
        card = path.with_suffix(".md").read_text(encoding="utf-8")
        run = card.split("run `")[1].split("`")[0]
        assert card.startswith(f"# {name}\n") and run in runs
        assert shipping.card(run) == card and audit.weights_of(run) == path
        _, header = models.load(name)
        assert header["config"]["width"] == 16 and not header["config"]["weights"]


def test_a_network_by_its_name(published_folder: None) -> None:
    model, _ = models.load("shapes/pgd-linf-8")
    assert not model.training
    with pytest.raises(
        InputError, match=r"^shapes/pgd-linf-9: neither a file nor one of .*\(did you mean 'shapes/pgd-linf-8'\?\)$"
    ):
        models.load("shapes/pgd-linf-9")


def test_what_is_missing_is_said(published_folder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Missing, match=r"^row = 'shapes/x:clean@/accuracy': not published; must be RUN:DISTORTION@"):
        audit.audit("shapes/x:clean@/accuracy")
    frame = load()
    other = frame[(frame["dataset"] == "shapes") & (frame["seed"] == 3)].iloc[0]
    with pytest.raises(Missing, match=f"^{other['run']}: its weights are neither under .* nor in .*; train it"):
        audit.audit(row_id(other))
    main = tables.in_main_setting(frame, "cifar10")
    cifar = main[(main["model"] == "normal") & (main["seed"] == 1)].iloc[0]
    with pytest.raises(InputError, match="cifar10"):  # no data here, and no network to get it
        audit.audit(row_id(cifar))


def test_shipping_wants_a_published_run_of_our_own_and_room(
    published_folder: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = (
        models.shipped()["shapes/normal"].with_suffix(".md").read_text(encoding="utf-8").split("run `")[1].split("`")[0]
    )
    record = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["training"]
    run = tmp_path / "run"
    run.mkdir()
    (run / "training.json").write_text(json.dumps(record))
    tensors, meta = load_tensors(models.shipped()["shapes/normal"])
    save_tensors(run / "weights.safetensors", tensors, meta)
    folder = tmp_path / "models"
    assert shipping.ship(run, folder) == folder / "shapes" / "normal.safetensors"
    assert (folder / "shapes" / "normal.md").read_text(encoding="utf-8").startswith("# shapes/normal\n")
    monkeypatch.setattr(shipping, "SIZE_LIMIT", 1000)
    with pytest.raises(InputError, match="would exceed 0 MB with shapes/normal"):
        shipping.ship(run, folder)
    (run / "training.json").write_text(json.dumps(record | {"weights_digest": "other"}))
    with pytest.raises(InputError, match="its weights are not those that were published; publish it again"):
        shipping.ship(run, folder)
    (run / "training.json").write_text(json.dumps(record | {"config": record["config"] | {"epochs": 9.0}}))
    with pytest.raises(InputError, match="is of another run; remove it to ship"):
        shipping.ship(run, folder)
    (run / "training.json").write_text(json.dumps(record | {"config": record["config"] | {"seed": 2}}))
    with pytest.raises(InputError, match="would exceed 0 MB with shapes/normal-s2"):  # beside that of seed 1
        shipping.ship(run, folder)
    (run / "training.json").write_text(json.dumps(record | {"run": "shapes/normal-w16-s1-00000000"}))
    with pytest.raises(InputError, match="not published; publish it first"):
        shipping.ship(run, folder)
    (run / "training.json").write_text(json.dumps(record | {"config": record["config"] | {"weights": "w"}}))
    with pytest.raises(InputError, match="fine-tuned from w; such weights are not shipped"):
        shipping.ship(run, folder)
    shutil.rmtree(folder)
