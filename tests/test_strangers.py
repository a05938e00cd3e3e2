"""Pairs of networks that others trained: the statistics within a pair, with right values, on made-up answers."""

import numpy as np
import pandas as pd
import pytest

from atlib.errors import InputError, Missing
from atlib.files import REPOSITORY, write_json
from atlib.report import strangers
from atlib.report.strangers import MEASURES, Measure, difference, effect

LABELS = np.zeros(8, np.uint16)


def said(clean, **under):
    """Answers of a network: whether it is right about each picture, clean and under each distortion; maps as given."""
    found = {"labels": LABELS, "clean@/class": 1 - np.array(clean)}
    for place, right in under.items():
        place = place.replace("_at_", "@").replace("_", "-")
        found[f"{place}/class"] = 1 - np.array(right)
    return found


def test_accuracies_are_of_the_pictures_that_both_know():
    #            known to both: pictures 2 to 5
    robust = said([0, 0, 1, 1, 1, 1, 1, 1], noise_at_1=[1, 1, 1, 1, 1, 0, 0, 0])
    normal = said([1, 1, 1, 1, 1, 1, 0, 0], noise_at_1=[0, 0, 1, 0, 0, 0, 1, 1])
    vector, pictures = difference(robust, normal, Measure("noise", ("noise@1",), "common"))
    assert pictures == 4 and vector[0] == pytest.approx(3 / 4 - 1 / 4)
    twice = difference(robust, normal, Measure("both", ("noise@1", "clean@"), "common"))[0]
    assert twice[0] == pytest.approx((2 / 4 + 0) / 2)


def test_maps_are_compared_over_all_pictures_and_runs_of_one_recipe_are_averaged():
    base = said([1] * 8)
    gini = Measure("Gini", ("clean@",), "gini", "")
    normal, one, two = (base | {"maps@clean@/gini": np.full(4, value)} for value in (0.4, 0.5, 0.7))
    found = effect([one, two], normal, gini)
    assert found.value == pytest.approx(0.2, abs=1e-6) and found.pictures == 4
    assert found.low == pytest.approx(0.2, abs=1e-6) and found.clear  # no picture differs: no chance in their choice
    with pytest.raises(Missing, match="gini"):
        effect([base], normal, gini)


def test_the_interval_is_that_of_the_pictures():
    random = np.random.default_rng(0)
    labels = np.zeros(4000, np.uint16)
    right = random.random(4000) < 0.75
    base = {"labels": labels, "clean@/class": labels}
    found = effect(
        [base | {"noise@1/class": (~right).astype(int)}],
        base | {"noise@1/class": np.ones(4000, int)},
        Measure("noise", ("noise@1",), "common"),
    )
    half = 1.96 * np.sqrt(0.75 * 0.25 / 4000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.15)


def test_other_pictures_are_refused():
    with pytest.raises(InputError, match="different test images"):
        difference(said([1] * 8), said([1] * 8) | {"labels": LABELS[:4]}, MEASURES[0])


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Two strangers' measurements: the robust one keeps all under shuffling, the normal one nothing."""
    monkeypatch.setenv("ATLIB_RESULTS", str(tmp_path))
    for name, right in (("ehanw_normal", 0), ("ehanw_pgd", 1)):
        folder = tmp_path / "own" / name
        folder.mkdir(parents=True)
        write_json(folder / "own.json", {"chosen": "8 of 10,000 test pictures"})
        found = said([1] * 8) | {"patch-shuffle@2/class": np.full(8, 1 - right)}
        np.savez(folder / "predictions.npz", **found)
        row = {"run": f"x/{name}", "dataset": "cifar10", "model": name, "width": 0, "share": 0.0, "recipe": "side32"}
        row |= {
            "seed": 0,
            "distortion": "clean",
            "level": "",
            "metric": "accuracy",
            "value": 1.0,
            "count": 8,
            "total": 8,
        }
        pd.DataFrame([row]).to_csv(folder / "rows.csv", index=False)
    strangers._stored.cache_clear()
    yield tmp_path
    strangers._stored.cache_clear()


def test_the_table_shows_what_was_measured_and_dashes_for_the_rest(results, monkeypatch):
    monkeypatch.setattr(strangers, "ours", lambda: {"patch shuffle 2": strangers.Effect(-0.1, -0.15, -0.05, 100)})
    table = strangers.table().set_index("difference from the normal network")
    assert table.loc["patch shuffle 2, points", "EhanW, ResNet-20"] == "+100.0 [+100.0, +100.0]"
    assert table.loc["patch shuffle 2, points", "this report"] == "−10.0 [−15.0, −5.0]"
    assert set(table.loc["Gini of maps"]) == {"–"}
    networks = strangers.networks().set_index("network")
    assert networks.loc["ehanw_pgd", "clean"] == "100.0" and networks.loc["woods_l2", "clean"] == "–"
    assert strangers.sentence() == (
        "In networks that others trained, adversarial training often makes other differences than ours:\n\n"
        "- **patch shuffle 2**: 0 of 1 pairs have the same sign as our CIFAR-10 networks, and in 0 of these the "
        "interval excludes zero; in 1 the effect is clearly the other way."
    )
    monkeypatch.setattr(strangers, "ours", lambda: {"patch shuffle 2": strangers.Effect(0.1, 0.05, 0.15, 100)})
    assert "mostly makes the same differences as in ours:" in strangers.sentence()
    assert strangers.figure()._repr_png_()[:4] == b"\x89PNG"


def test_of_several_runs_those_that_were_measured_count(results):
    runs = strangers.PAIRS[1]._replace(robust=("ehanw_pgd", "not_measured"))
    assert strangers.effects(runs)["patch shuffle 2"].value == 1
    assert strangers.effects(runs._replace(robust=("not_measured",))) == {}


def test_ours_are_the_published_seeds_of_cifar10(monkeypatch):
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    found = strangers.ours()
    assert set(found) == {measure.name for measure in MEASURES}
    assert found["low-pass .1 and .2"].value > 0.2 and found["high-pass .1 and .2"].value < -0.2
    assert found["Gini of maps"].value > 0


def test_the_network_without_an_adversary_differs_as_the_pages_say(monkeypatch):
    """The pages on one's own network and the conclusion: in the same way as the pair of its author, and by more."""
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    strangers._stored.cache_clear()
    pair, alone = strangers.effects(strangers.PAIRS[0]), strangers.effects(strangers.ANECDOTE)
    strangers._stored.cache_clear()
    both = [(pair[name].value, alone[name].value) for name in alone if name in pair]
    assert len(both) >= 4 and all(one * other > 0 and abs(other) > abs(one) for one, other in both)


def test_every_adversarially_trained_stranger_is_less_accurate_than_its_partner(monkeypatch):
    """As the conclusion says of the pairs."""
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    for pair in strangers.PAIRS:
        known = [strangers.accuracy(name, "clean@") for name in pair.robust]
        assert max(value for value in known if value == value) < strangers.accuracy(pair.normal, "clean@")
