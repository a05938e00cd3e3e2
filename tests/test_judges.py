"""How often an attacked picture becomes another class in the eyes of a network that took no part."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from atlib.errors import InputError
from atlib.files import REPOSITORY
from atlib.report import judges


class Brightness(nn.Module):
    """Class 0 for dark pictures, 1 for bright ones, by the mean of some channels."""

    def __init__(self, channels: list[int], border: float) -> None:
        super().__init__()
        self.channels, self.border = channels, border

    def forward(self, images: Tensor) -> Tensor:
        level = images[:, self.channels].mean((1, 2, 3)) - self.border
        return torch.stack([-level, level], 1)


def test_pictures_are_counted_by_what_both_networks_see() -> None:
    images = torch.full((4, 3, 2, 2), 0.4)
    images[1] = 0.1  # the attack reaches 0.35: nobody is fooled
    labels = torch.tensor([0, 0, 0, 1])  # nobody knows the last one
    attacked = Brightness([0, 1, 2], 0.5)
    assert judges.judged(attacked, Brightness([0], 0.6), images, labels) == {
        "known": 3, "fooled": 2, "another": 2, "same": 2,
    }  # fmt: skip
    blind = Brightness([0], 0.7)  # the attack stops at 0.4 + 64/255 = 0.65
    assert judges.judged(attacked, blind, images, labels) == {"known": 3, "fooled": 2, "another": 0, "same": 0}


def test_published_counts_and_their_sentence() -> None:
    found = judges.load(REPOSITORY / "results")
    assert found["attacked"].tolist() == list(judges.ATTACKED) and set(found["eps"]) == {64}
    assert (found["same"] <= found["another"]).all() and (found["another"] <= found["known"]).all()
    assert (found["known"] <= found["pictures"]).all() and (found["pictures"] >= 500).all()
    assert found["commit"].str.fullmatch("[0-9a-f]{40}").all()
    said = judges.sentence(REPOSITORY / "results")
    robust = found.iloc[0]
    assert (
        f"Of {robust['known']} test pictures" in said and f"{100 * robust['another'] / robust['known']:.0f} %" in said
    )


def test_the_sentence_takes_its_numbers_from_the_file(tmp_path: Path) -> None:
    line = {"eps": 64, "pictures": 500, "known": 200, "fooled": 200, "another": 150, "same": 100}
    lines = [line | {"attacked": "pgd-linf-8"}, line | {"attacked": "normal", "another": 10, "same": 4}]
    pd.DataFrame(lines).to_csv(tmp_path / "judges.csv", index=False)
    said = judges.sentence(tmp_path)
    assert "150 (75 %)" in said and "100 (50 %)" in said and "fools that network on 100 %" in said
    assert "on 5 %, and on 2 % with the same class" in said
    with pytest.raises(InputError, match=r"python -m atlib\.report\.judges writes it"):
        judges.load(tmp_path / "none")
