"""What is said of harder attacks, from made-up rows."""

import pandas as pd
import pytest

from atlib import stronger
from atlib.report import harder


def rows(model, counts, run="", total=100, vanished=0):
    """Rows of one network, the pictures left after each attack."""
    base = dict.fromkeys(stronger.COLUMNS, "") | {"model": model, "run": run, "total": total}
    lines = [
        base | {"attack": attack, "metric": "accuracy", "count": count, "value": count / total}
        for attack, count in zip(stronger.ATTACKS, counts, strict=True)
    ]
    return [*lines, base | {"attack": "pgd-40", "metric": "vanished", "count": vanished, "value": vanished / total}]


FRAME = pd.DataFrame(
    [
        *rows("atlib:cifar10/pgd-linf-8", (80, 40, 38, 36, 35, 35), run="cifar10/x"),
        *rows("notebooks.own_networks.others:ehanw_pgd", (86, 10, 9, 8, 8, 8), vanished=2),
    ]
)


def test_every_attack_has_a_name():
    assert list(harder.NAMES) == list(stronger.ATTACKS) and stronger.ATTACKS[-1] == harder.LAST


def test_the_column_is_what_all_attacks_leave():
    assert harder.column("cifar10/x", FRAME) == "35.0 [26.4, 44.7], 100 pictures"
    assert harder.column("cifar10/y", FRAME) == "–" == harder.column("cifar10/x", pd.DataFrame())


def test_the_table_has_a_line_for_each_network():
    table = harder.table(FRAME).set_index("network")
    assert list(table.index) == ["pgd-linf-8", "ehanw_pgd"]
    assert table.loc["ehanw_pgd", "no gradient"] == "2.0"
    assert str(table.loc["pgd-linf-8", "PGD-40, every iterate"]).startswith("40.0 [")
    assert harder.table(pd.DataFrame()).empty


@pytest.mark.parametrize(
    ("normal", "said"),
    [
        ("atlib:cifar10/normal", "More than 5 % are left for certain."),
        ("notebooks.own_networks.others:ehanw_pgd", "stays the more robust."),
    ],
)
def test_the_sentence_says_whether_the_order_survives(normal, said):
    text = harder.sentence("atlib:cifar10/pgd-linf-8", normal, FRAME)
    assert "take 5.0 points more" in text and text.endswith(said)


def test_before_anything_was_run():
    assert harder.sentence("a", "b", pd.DataFrame()) == "a has not been attacked harder yet."
    assert "can't be told apart" in harder.sentence(
        "notebooks.own_networks.others:ehanw_pgd", "atlib:cifar10/pgd-linf-8", FRAME
    )
