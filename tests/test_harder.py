"""What is said of harder attacks, from made-up rows."""

import math
from dataclasses import replace

import pandas as pd
import pytest

import worlds
from atlib import stronger
from atlib.campaign.stronger import COLUMNS
from atlib.errors import Missing
from atlib.files import REPOSITORY
from atlib.report import claims, harder, ledger, statistics, strangers
from atlib.rows import frame_of, load


def rows(model, counts, run="", total=100, vanished=0, **more):
    """Rows of one network, the pictures left after each attack; more: other columns."""
    base = dict.fromkeys(COLUMNS, "") | {"model": model, "run": run, "total": total, "dataset": "cifar10"}
    base |= more
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


def test_the_table_has_a_line_for_each_network():
    table = harder.table(FRAME).set_index("network")
    assert list(table.index) == ["pgd-linf-8", "ehanw_pgd"]
    assert table.loc["ehanw_pgd", "no gradient"] == "2.0"
    assert table.loc["pgd-linf-8", "PGD-40"] == "40.0"
    assert harder.table(pd.DataFrame()).empty


def test_ours_and_those_of_others_are_told_apart():
    assert list(harder.table(harder.of(strangers=False, frame=FRAME))["network"]) == ["pgd-linf-8"]
    assert list(harder.table(harder.of(strangers=True, frame=FRAME))["network"]) == ["ehanw_pgd"]
    assert harder.of(strangers=False, frame=pd.DataFrame()).empty


def test_what_is_left_of_one_network_comes_with_its_interval():
    model = "notebooks.own_networks.others:ehanw_pgd"
    ((before, after),) = harder.before_and_after(model, FRAME)
    assert (before.value, after.value, after.pictures) == (0.1, 0.08, 100)
    assert (after.low, after.high) == statistics.wilson(8, 100)
    longer = pd.DataFrame(rows(model, (86, 11, 9, 8, 7, 7), settings="longer"))
    twice = harder.before_and_after(model, pd.concat([FRAME, longer]))  # each time within itself
    assert [(before.value, after.value) for before, after in twice] == [(0.1, 0.08), (0.11, 0.07)]
    with pytest.raises(Missing, match=r"^another: no rows of stronger attacks$"):
        harder.before_and_after("another", FRAME)


def test_networks_that_others_trained_are_said_to_have_been_attacked(monkeypatch):
    names = [name for pair in (*strangers.PAIRS, strangers.ANECDOTE) for name in (pair.normal, *pair.robust)]
    pgd = {name: 0.0 if name in ("woods_normal", "ehanw_normal", "idelbayev_20") else 0.4 for name in names}
    monkeypatch.setattr(strangers, "accuracy", lambda name, place, metric: pgd[name])
    some = [name for name in names if pgd[name]]
    lines = [line for name in some for line in rows(f"{harder.STRANGERS}{name}", (80, 40, 38, 36, 35, 34))]
    monkeypatch.setattr(harder, "read", lambda: pd.DataFrame(lines))
    said = strangers.attacked()
    assert "on every one of these networks that keeps more than 5 % accuracy under PGD-40; on the pictures" in said
    assert "they lower it by at most 6.0 further points." in said
    low, high = (f"{100 * end:.1f}" for end in statistics.wilson(34, 100))
    assert said.endswith(f"without an adversary, still recognises 34.0 % [{low}, {high}] of 100 pictures.")
    pgd["ehanw_normal"] = 0.06  # which was not attacked harder
    assert f"on {len(some)} of these networks; " in strangers.attacked()
    monkeypatch.setattr(harder, "read", lambda: pd.DataFrame())
    assert strangers.attacked() == "No stronger attacks have been run on these networks."


def test_a_run_is_called_by_its_model():
    found = harder.table(pd.DataFrame(rows("shapes/pgd-linf-2-w16-s1-0cb93a43", (9, 5, 5, 5, 5, 5))))
    assert list(found["network"]) == ["pgd-linf-2"]


def test_settings_are_shown_where_a_network_was_attacked_in_several_ways():
    """One line took the first ones' accuracy for both."""
    longer = rows("notebooks.own_networks.others:ehanw_pgd", (86, 10, 9, 8, 7, 6), settings="longer", seed=1)
    found = harder.table(pd.concat([FRAME, pd.DataFrame(longer)]))
    assert list(found["Square"].str.partition(" ")[0]) == ["35.0", "8.0", "6.0"]
    assert list(found["settings"])[2] == "longer; seed 1"
    assert "settings" not in harder.table(FRAME)


def test_the_table_of_the_published_rows_has_no_settings(monkeypatch):
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    assert list(harder.table()) == ["network", "on", "pictures", *harder.NAMES.values(), "no gradient"]


# --- Whether claims survive -------------------------------------------------------------------------------------------


def measured(model: str, seed: int, left: float) -> dict:
    """What PGD-40, every iterate, leaves of a network in CIFAR-10's main setting."""
    return worlds.row("cifar10", model, seed, "pgd-linf@8", "accuracy_any", left, 1000) | {"count": round(1000 * left)}


def said(
    claim: str,
    *attacked: tuple[str, int, int],
    weak: float = 0.2,
    normal: float = 0.0,
    on: str = "cifar10",
    verdict: str = "holds",
    spatial: float = 0.3,
) -> str:
    """What is said of a claim when PGD-40 leaves 40 % of the main network; attacked: model, seed and what is left of
    100 pictures; on: of which data set they were."""
    left = {"pgd-linf-8": 0.4, "pgd-linf-2": weak, "normal": normal, "underfit": 0.0, "spatial": spatial}
    frame = frame_of([measured(model, seed, value) for model, value in left.items() for seed in (1, 2)])
    found = [
        row
        for model, seed, count in attacked
        for row in rows(f"atlib:{model}", (90, 50, 50, 50, 50, count), run=measured(model, seed, 0)["run"], dataset=on)
    ]
    ledger = claims.load()
    return harder.survives(ledger[claim], ledger.settings["cifar10"], frame, pd.DataFrame(found), verdict)


def test_a_claim_survives_if_the_interval_of_what_is_left_lies_beyond_its_smallest_effect():
    text = said("robustness-gained", ("pgd-linf-8", 2, 35))
    # PGD leaves nothing of the normal network's 1,000 pictures, so at most .4 %: Newcombe from Wilson's intervals
    (low, high), most = statistics.wilson(35, 100), statistics.wilson(0, 1000)[1]
    low, high = 0.35 - math.hypot(0.35 - low, most), 0.35 + math.hypot(high - 0.35, 0)
    assert text == (
        f"Harder attacks leave a difference of 35.0 points [{100 * low:.1f}, {100 * high:.1f}] "
        "(seeds 1 and 2, at least 100 pictures of each): the claim survives them."
    )
    assert said("robustness-gained", ("pgd-linf-8", 1, 0)).endswith("the claim does not survive them.")
    assert said("robustness-gained", ("pgd-linf-8", 1, 9)).endswith("whether the claim survives them is open.")


def test_of_several_attacks_the_worst_counts_and_only_those_on_the_settings_data_set():
    best, worst = ("pgd-linf-8", 1, 35), ("pgd-linf-8", 1, 0)
    lost = said("robustness-gained", worst)
    assert lost.endswith("the claim does not survive them.")
    assert said("robustness-gained", best, worst) == said("robustness-gained", worst, best) == lost
    assert said("robustness-gained", best, on="shapes") == "Harder attacks have not been run on these networks."


def test_what_was_not_attacked_is_said_and_weak_references_count_with_their_own_rows():
    none = "Harder attacks have not been run on these networks."
    assert said("robustness-gained") == none
    assert said("robustness-gained", ("pgd-linf-8", 1, 35), normal=0.06) == none  # too much is left to guess
    assert said("robustness-grows-with-budget", ("pgd-linf-8", 1, 35)) == none
    both = said("robustness-grows-with-budget", ("pgd-linf-8", 1, 35), ("pgd-linf-2", 1, 5))
    assert "a difference of 30.0 points" in both and both.endswith("the claim survives them.")
    assert said("robustness-grows-with-budget", ("pgd-linf-8", 1, 35), ("pgd-linf-2", 1, 34)).endswith("open.")
    assert said("spatial-not-robust") == none


def test_a_refutation_survives_if_the_claim_would_still_be_refuted():
    def refuted(claim: str, *attacked: tuple[str, int, int]) -> str:
        return said(claim, *attacked, verdict="does not hold").partition("): ")[2]

    assert refuted("robustness-gained", ("pgd-linf-8", 1, 0)) == "its refutation survives them."
    assert refuted("robustness-gained", ("pgd-linf-8", 1, 35)) == "its refutation does not survive them."
    assert refuted("robustness-gained", ("pgd-linf-8", 1, 9)) == "whether its refutation survives them is open."
    # that two are alike within 5 points
    assert refuted("spatial-not-robust", ("spatial", 1, 30)) == "its refutation survives them."
    assert refuted("spatial-not-robust", ("spatial", 1, 0)) == "its refutation does not survive them."
    assert refuted("spatial-not-robust", ("spatial", 1, 6)) == "whether its refutation survives them is open."
    assert said("normal-not-robust", verdict="does not hold") == "Harder attacks have not been run on these networks."


def test_a_ranking_by_robustness_says_how_many_networks_were_attacked_harder():
    text = said("robustness-goes-with-shape", ("pgd-linf-8", 1, 35))
    assert "have been run on 1 of these 11 kinds" in text  # the normal one, of which PGD leaves nothing, was not


def test_that_little_is_left_can_only_become_truer_and_other_claims_are_not_about_robustness():
    assert said("normal-not-robust") == "Harder attacks can only leave less than PGD does, so this stands."
    assert said("stylised-common") == "" == said("shape-bias-grows-with-budget")


def test_the_ledger_says_it_below_a_claim_that_holds(monkeypatch):
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    frame, known = load(), claims.load()
    few = replace(known, claims=(known["robustness-gained"],), primary=())
    entry = ledger.ledger(frame, few).partition('id="claim-robustness-gained"')[2].partition("</section>")[0]
    text = harder.survives(known["robustness-gained"], known.settings["cifar10"], frame)
    assert text.endswith("the claim survives them.") and text in entry


def test_whether_an_attack_has_something_to_follow_at_its_start_is_counted_over_networks():
    base = {"dataset": "cifar10", "distortion": "gradient", "metric": "vanished", "total": 100}
    found = pd.DataFrame([base | {"count": 0}, base | {"count": 3}, base | {"count": 50, "dataset": "shapes"}])
    said = harder.at_the_start(found, "cifar10")
    assert said.endswith(" 3 of 200 pictures have none, counted over the 2 networks that were asked.")
    said = harder.at_the_start(found.iloc[:1], "cifar10")
    assert said.endswith(" every test picture has a gradient in the one network that was asked.")
    assert harder.at_the_start(found, "tiny-imagenet") == ""
