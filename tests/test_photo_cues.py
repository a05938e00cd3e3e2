"""What networks answer to photographs in another class's style, as the page shows it."""

import pandas as pd

from atlib.report import photo_cues, statistics
from worlds import row


def answered(model: str, content: int, style: int, total: int = 20) -> list[dict]:
    """Rows of a network that answers so many pictures by content and by style."""
    either = content + style
    counts = {
        "coverage": (either, total),
        "shape_accuracy": (content, total),
        "texture_accuracy": (style, total),
        "shape_bias": (content, either),
    }
    return [
        row("caltech101", model, 2, "conflict@", metric, count / of, of) | {"count": count}
        for metric, (count, of) in counts.items()
    ]


def records(frame: pd.DataFrame, strength: float) -> dict[str, dict]:
    """What the runs behind some rows recorded of the strength of the style."""
    one = {"evaluation": {"measurements": {"conflict@": {"cues": {"strength": strength}}}}}
    return dict.fromkeys(frame["run"], one)


def test_answers_by_content_style_and_neither() -> None:
    frame = pd.DataFrame([*answered("pgd-linf-4", 9, 1), *answered("normal", 6, 6)])
    found = photo_cues.found(frame)
    assert list(found["role"]) == ["normal", "trained against attacks"]  # the order of the roles
    low, high = statistics.wilson(6, 12)
    assert (found["low"].iloc[0], found["high"].iloc[0]) == (low, high)
    assert all(len(rows) == 4 for rows in found["rows"])
    shown = photo_cues.table(frame).iloc[1]
    assert list(shown) == ["trained against attacks", "2", "45.0", "5.0", "50.0", "0.90 [0.60, 0.98]"]
    html = photo_cues.html(frame, records(frame, 0.75))
    assert "20 Caltech-101 test photographs" in html and "seed 2 alone" in html
    assert "Ghiasi et al. at strength .75 of 1," in html
    mixed = records(frame, 0.75) | records(frame.iloc[:4], 0.5)
    assert "at strength .5 or .75 of 1," in photo_cues.html(frame, mixed)


def test_whether_the_networks_can_be_told_apart_is_read_off_their_intervals() -> None:
    alike = pd.DataFrame([*answered("pgd-linf-4", 9, 1), *answered("normal", 6, 6)])
    said = photo_cues.sentence(alike)
    assert "for more than 30.0 % of the pictures" in said and "The test doesn't tell the networks apart" in said
    assert "hardly ever" not in said
    apart = pd.DataFrame([*answered("pgd-linf-4", 18, 0), *answered("normal", 2, 16)])
    assert "The test tells the networks apart" in photo_cues.sentence(apart)
    other = [row | {"run": row["run"].replace("s2", "s1"), "seed": 1} for row in answered("normal", 2, 16)]
    seeds = [*answered("normal", 18, 0), *other, *answered("pgd-linf-4", 18, 0)]  # two seeds of one network
    assert "The test doesn't tell" in photo_cues.sentence(pd.DataFrame(seeds))


def test_a_style_that_is_hardly_ever_named_carries_no_class() -> None:
    rare = pd.DataFrame([*answered("pgd-linf-4", 50, 1, 100), *answered("normal", 60, 2, 100)])
    assert "for more than 2.0 % of the pictures. They recognise" in photo_cues.sentence(rare)
    bound = pd.DataFrame([*answered("pgd-linf-4", 500, 4, 1203), *answered("normal", 600, 16, 1203)])  # 1.33 %
    assert "for more than 1.4 % of" in photo_cues.sentence(bound)


def test_what_was_not_run_is_said() -> None:
    rows = answered("normal", 6, 6)[:3]  # a network that names neither cue has no bias, and no line
    assert "not run" in photo_cues.html(pd.DataFrame(rows), {})
