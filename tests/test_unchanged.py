"""What must stay as it is while the code moves: names of published runs, the columns of rows, draws, and verdicts.

tests/data/unchanged.json holds the draws and the verdicts. The verdicts are of the published rows: when new rows are
published, `python -m tests.test_unchanged` writes them again, and the difference shows which of them changed.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from atlib import rows, transforms
from atlib.configuration import config_of
from atlib.files import REPOSITORY, read_json
from atlib.report import verdicts

KEPT = Path(__file__).parent / "data" / "unchanged.json"
PUBLISHED = sorted(REPOSITORY.glob("results/*/*-w*-s*-*.json"))
SEEDS = (0, 1, 2**31, 2**32 - 1)


def shuffles() -> dict[str, str]:
    """The hash of two pictures, each pixel another value, cut into patches and shuffled; by patches and seed."""
    images = torch.arange(2 * 3 * 16 * 16).view(2, 3, 16, 16) / (2 * 3 * 16 * 16)
    found = {}
    for patches in (2, 4, 8):
        for seed in SEEDS:
            shown = transforms.patch_shuffle(images, patches, seed=seed, numbers=[0, 7])
            found[f"{patches} {seed}"] = hashlib.sha256(shown.numpy().tobytes()).hexdigest()
    return found


def draws() -> dict[str, list[float]]:
    """A few pixels of two grey pictures after noise and after random_drop, by seed."""
    images = torch.full((2, 3, 16, 16), 0.5)
    images[:, :, 3:9, 5:12] = 0.25
    found = {}
    for name, level in (("noise", "0.1"), ("random-drop", "0.5")):
        for seed in SEEDS:
            shown = transforms.distort(images, name, level, [0, 7], seed)
            found[f"{name} {seed}"] = [round(value, 6) for value in shown.flatten()[::97].tolist()]
    return found


def every_verdict() -> list[dict[str, Any]]:
    """Every verdict on the published rows, with the seeds and the numbers that it rests on."""
    folder = REPOSITORY / "results"
    table = verdicts.table(rows.load(folder), predictions=rows.archive(folder))
    lines = []
    for line in table.to_dict("records"):
        if line["dataset"] == "overall" or line["seeds"]:
            numbers = {name: f"{line[name]:.12g}" for name in ("effect", "low", "high")}
            lines.append({name: line[name] for name in ("id", "dataset", "verdict")} | numbers)
            lines[-1]["seeds"] = list(line["seeds"])
    return lines


def kept(name: str) -> Any:
    return json.loads(KEPT.read_text(encoding="utf-8"))[name]


def test_columns() -> None:
    assert ",".join(rows.COLUMNS) == (
        "run,dataset,model,width,share,recipe,seed,distortion,level,metric,value,count,total"
    )


def test_every_published_configuration_gives_its_runs_name() -> None:
    assert len(PUBLISHED) > 100
    for path in PUBLISHED:
        record = read_json(path)
        name = f"{path.parent.name}/{path.stem}"
        assert record["training"]["run"] == config_of(record["config"], path).run == name


def test_shuffles_of_a_seed_are_the_same_to_the_byte() -> None:
    assert shuffles() == kept("shuffles")


def test_noise_and_dropped_frequencies_of_a_seed_are_the_same() -> None:
    found, before = draws(), kept("draws")
    assert found.keys() == before.keys()
    for name, values in found.items():
        assert values == pytest.approx(before[name], abs=2e-6), name


def test_verdicts_on_the_published_rows_are_the_same() -> None:
    found, before = every_verdict(), kept("verdicts")
    words = ("id", "dataset", "verdict", "seeds")
    assert [[line[word] for word in words] for line in found] == [[line[word] for word in words] for line in before]
    for one, two in zip(found, before, strict=True):
        for name in ("effect", "low", "high"):
            assert math.isclose(float(one[name]), float(two[name]), rel_tol=1e-11, abs_tol=1e-13) or (
                one[name] == two[name] == "nan"
            ), (one, two)


if __name__ == "__main__":
    content = {"shuffles": shuffles(), "draws": draws(), "verdicts": every_verdict()}
    KEPT.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
