"""How often an attacked picture becomes another class in the eyes of a network that took no part."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from atlib.campaign import judges
from atlib.errors import Missing
from atlib.files import REPOSITORY
from atlib.report import frames, judge_tables


class Brightness(nn.Module):
    """Class 0 for dark pictures, 1 for bright ones, by the mean of some channels."""

    def __init__(self, channels: list[int], border: float) -> None:
        super().__init__()
        self.channels, self.border = channels, border

    def forward(self, images: Tensor) -> Tensor:
        level = images[:, self.channels].mean((1, 2, 3)) - self.border
        return torch.stack([-level, level], 1)


class OneValue(nn.Module):
    """Class 1 if the first value of a picture is above .6."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([0.6 - images[:, 0, 0, 0], images[:, 0, 0, 0] - 0.6], 1)


def test_pictures_are_counted_by_what_both_networks_see() -> None:
    images = torch.full((4, 3, 2, 2), 0.4)
    images[1] = 0.1  # the attack reaches 0.35: nobody is fooled
    labels = torch.tensor([0, 0, 0, 1])  # nobody knows the last one
    networks = {"attacked": Brightness([0, 1, 2], 0.5), "near": Brightness([0], 0.6), "far": Brightness([0], 0.7)}
    found = judges.judged(networks, "attacked", images, labels, torch.Generator().manual_seed(1))
    attacked = {judge: counts for (change, judge), counts in found.items() if change == "attack"}
    assert attacked == {
        "near": {"known": 3, "fooled": 2, "another": 2, "same": 2},
        "far": {"known": 3, "fooled": 2, "another": 0, "same": 0},  # the attack stops at 0.4 + 64/255 = 0.65
    }


def test_random_signs_change_as_much_and_have_no_direction() -> None:
    images = torch.full((200, 3, 16, 16), 0.45)
    networks = {"attacked": Brightness([0, 1, 2], 0.5), "judge": Brightness([0], 0.6), "one": OneValue()}
    found = judges.judged(
        networks, "attacked", images, torch.zeros(200, dtype=torch.long), torch.Generator().manual_seed(1)
    )
    assert found["attack", "judge"] == {"known": 200, "fooled": 200, "another": 200, "same": 200}
    assert found["random signs", "judge"] == {"known": 200, "fooled": 0, "another": 0, "same": 0}
    by_one_value = found["random signs", "one"]  # which is up in half of the pictures
    assert 70 < by_one_value["another"] < 130 and by_one_value["same"] == 0


def test_published_counts_and_their_sentence() -> None:
    found = judges.load(REPOSITORY / "results")
    pairs = [
        (one, change, two)
        for one in judges.ATTACKED
        for change in judges.CHANGES
        for two in judges.NETWORKS
        if one != two
    ]
    told = zip(found["attacked"], found["change"], found["judge"], strict=True)
    assert list(told) == pairs and set(found["eps"]) == {64}
    assert (found["same"] <= found["another"]).all() and (found["another"] <= found["known"]).all()
    assert (found["known"] <= found["pictures"]).all() and (found["pictures"] >= 200).all()
    signs = found[(found["attacked"] == "pgd-linf-8") & (found["change"] == "random signs")]
    assert (signs["another"] > signs["known"] / 2).all()  # "size does part of this"
    assert (signs["same"] < signs["known"] / 3).all()
    assert found["commit"].str.fullmatch("[0-9a-f]{40}").all()
    known = f"Of {found['pictures'][0]} test pictures all three networks recognise {found['known'][0]} when"
    assert known in judge_tables.sentence(REPOSITORY / "results")


def test_the_sentence_takes_its_numbers_from_the_file(tmp_path: Path) -> None:
    counts = {
        ("pgd-linf-8", "attack", "pgd-linf-2"): (150, 100), ("pgd-linf-8", "attack", "normal"): (120, 60),
        ("pgd-linf-8", "random signs", "pgd-linf-2"): (30, 20), ("pgd-linf-8", "random signs", "normal"): (160, 10),
        ("normal", "attack", "pgd-linf-2"): (90, 80), ("normal", "attack", "pgd-linf-8"): (50, 4),
    }  # fmt: skip
    line = {"eps": 64, "pictures": 500, "known": 200, "fooled": 80}
    lines = [
        line | {"attacked": one, "change": change, "judge": two, "another": another, "same": same}
        for (one, change, two), (another, same) in counts.items()
    ]
    pd.DataFrame(lines).to_csv(tmp_path / "judges.csv", index=False)
    said = judge_tables.sentence(tmp_path)
    assert "sees another class in 75 % of them, and in 50 % the very class" in said
    assert "For the normal network it is 60 % and 30 %" in said
    assert "sees another class in 15 % of the pictures and the normal network in 80 %" in said
    assert "then gives in 10 % and 5 %" in said
    assert "pgd-linf-2 sees another class in 45 %, pgd-linf-8 in 25 %" in said
    with pytest.raises(Missing, match=r"python -m atlib\.campaign\.judges writes it"):
        judges.load(tmp_path / "none")


def test_the_attack_is_the_sliders_last() -> None:
    assert (max(frames.EPS), frames.STEPS[-1]) == (judges.EPS, judges.STEPS)
