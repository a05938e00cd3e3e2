"""The replication: no number of it before all of its networks are published, and then the registered ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from atlib.campaign import grid
from atlib.errors import InputError
from atlib.report import claims, replication, rule, verdicts
from atlib.rows import frame_of

CLAIMS = replication.CLAIMS


def answered(planned: grid.Planned, shape: float) -> list[dict]:
    """Rows of a network that answers 100 pictures by shape so often, by neither ten times, else by texture."""
    config = planned.config
    values = {"coverage": 0.9, "shape_accuracy": shape, "texture_accuracy": 0.9 - shape, "shape_bias": shape / 0.9}
    place = {"run": planned.run, "dataset": "shapes", "model": config.model, "width": config.width, "seed": config.seed}
    place |= {"share": config.share or 0.0, "recipe": config.recipe, "distortion": "conflict", "level": ""}
    rows = [place | {"metric": name, "value": value, "count": None, "total": 100} for name, value in values.items()]
    learnt = 0.6 if (config.model, config.amplitude, config.seed) == ("pgd-linf-8", 0.2, 7) else 1.0
    return [*rows, place | {"distortion": "clean", "metric": "accuracy", "value": learnt, "count": None, "total": 100}]


def frame(planned: Iterable[grid.Planned]) -> pd.DataFrame:
    """At .12 adversarial training adds .18 to the shape answers, noise .09; at .20 nothing does; seeds scatter."""
    rows = []
    for p in planned:
        more = {"pgd-linf-8": 0.18, "noise-0.0313725": 0.09}.get(p.config.model, 0.0) * (p.config.amplitude == 0.12)
        rows += answered(p, 0.45 + more + 0.002 * (p.config.seed % 5) * (p.config.model == "normal"))
    return frame_of(rows)


@pytest.fixture(scope="module")
def planned() -> list[grid.Planned]:
    """Its 160 networks."""
    return [p for p in grid.load() if p.block == "replication"]


@pytest.mark.parametrize("model", ["normal", "pgd-linf-8", "noise-0.0313725"])
def test_nothing_is_said_of_it_before_the_last_network(planned: list[grid.Planned], model: str) -> None:
    last = next(p for p in planned if p.config.model == model and p.config.amplitude == 0.12 and p.config.seed == 25)
    some = frame(p for p in planned if p is not last)
    assert replication.html(some) == "" and replication.table(some).empty
    said = replication.sentence(some)
    assert "Of its 160 networks **159 have been published**" in said and "[" not in said
    assert replication.differences(some, 0.12, "PGD ℓ∞ 8/255").empty
    assert replication.behind(some) == replication.unconverged(some) == ""
    assert not replication.figure(some).axes
    for id in CLAIMS:  # also of the one that doesn't need this network
        (decision,) = verdicts.verdict(claims.load()[id], some, predictions=lambda run: {}).decisions
        assert decision.verdict == rule.NOT_RUN and decision.judged.values == () and decision.seeds == ()


def test_then_it_is_judged_and_printed(planned: list[grid.Planned]) -> None:
    whole = frame(planned)
    found = {id: verdicts.verdict(claims.load()[id], whole, predictions=lambda run: {}) for id in CLAIMS}
    two = found["replication-shape-bias"].decisions[0]
    assert len(two.judged.values) == 20 and [cell.verdict for _, cell in two.cells] == [rule.HOLDS, rule.FAILS]
    assert two.verdict == rule.FAILS  # each of the two had to hold
    (one,) = found["beyond-noise-shape-bias"].decisions
    assert one.verdict == rule.HOLDS and one.judged.effect == pytest.approx(0.1)
    table = replication.table(whole)
    assert table["amplitude"].tolist() == ["0.12"] * 4 + ["0.2"] * 4
    robust = table[(table["amplitude"] == "0.12") & (table["trained"] == "PGD ℓ∞ 8/255")].iloc[0]
    assert [str(robust[name]) for name in ("by shape", "by texture", "by neither", "shape bias")] == [
        "0.63 [0.63, 0.63]", "0.27 [0.27, 0.27]", "0.10 [0.10, 0.10]", "0.70 [0.70, 0.70]",
    ]  # fmt: skip
    assert len(robust["shape bias"].rows) == 20
    listed = replication.verdicts_html(frame_of([]))
    assert listed.count("not run") == 2 and 'href="claims.html#claim-replication-shape-bias"' in listed
    assert str(robust["against normal"]) == "+0.20 [+0.19,\u00a0+0.20]" and len(robust["against normal"].rows) == 40
    assert "for PGD ℓ∞ 8/255 in 20 of 20 seeds at amplitude .12 and 0 of 20 at .20" in replication.sentence(whole)
    assert "over 20 new seeds" in replication.html(whole)
    assert replication.unconverged(whole) == (
        "One network did not learn its task: PGD ℓ∞ 8/255 of seed 7 at amplitude .20 (clean accuracy 0.60, coverage "
        "0.90). We kept it in the figure and in the means."
    )


def test_the_figure_shows_every_seed_and_the_means(planned: list[grid.Planned]) -> None:
    whole = frame(planned)
    figure, lines = replication.figure(whole), replication.lines(whole)
    for axis, (amplitude, some) in zip(figure.axes, lines.groupby("amplitude"), strict=True):
        assert axis.get_title() == f"amplitude {amplitude:g}"
        assert [text.get_text() for text in axis.get_xticklabels()] == [one.tick for one in replication.NETWORKS]
        points = [(float(x), float(y)) for line in axis.lines for x, y in np.asarray(line.get_xydata())]
        for place, network in enumerate(replication.NETWORKS):
            mine = some.loc[some["network"] == network.title, "shape_bias"]
            drawn = sorted(y for x, y in points if x == place)
            assert len(mine) == 20 and drawn == pytest.approx(sorted([*mine, mine.mean()]))
    assert figure._repr_png_()[:4] == b"\x89PNG"
    assert replication.behind(whole).count("shapes/pgd-linf-8-w16-s6-") == 2


def test_older_seeds_and_other_contrasts_take_no_part(planned: list[grid.Planned]) -> None:
    older = [p for p in grid.load() if p.block in ("shapes", "map")]
    assert replication.lines(frame(older)).empty
    assert len(replication.lines(frame([*older, *planned]))) == 160


def test_a_setting_without_looks_names_a_block_of_the_grid(tmp_path: claims.Path) -> None:
    path = tmp_path / "claims.yaml"
    old = claims.checkout_path(claims.CLAIMS).read_text(encoding="utf-8")
    assert old.count("no_looks: replication") == 2
    path.write_text(old.replace("no_looks: replication", "no_looks: true", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"shapes-replication\.no_looks = True: must be the name of a block"):
        claims.load(path)
    path.write_text(old.replace("no_looks: replication", "no_looks: repetition"), encoding="utf-8")
    ledger = claims.load(path)
    with pytest.raises(InputError, match=r"no_looks = 'repetition': workflow/grid\.yaml has no such block"):
        verdicts.verdict(ledger["replication-shape-bias"], frame_of([]), ledger, lambda run: {})


def test_its_two_questions_are_corrected_for_each_other_once(
    planned: list[grid.Planned], monkeypatch: pytest.MonkeyPatch
) -> None:
    """p of .03 and .02 are .04 and .04 after Holm's correction over two, so that both cells and the whole hold."""
    ps = iter([0.03, 0.02])
    judge = verdicts._judge
    monkeypatch.setattr(
        verdicts, "_judge", lambda *given: rule.worded(replace(judge(*given), above=next(ps), below=1.0), given[2])
    )
    (decision,) = verdicts.verdict(
        claims.load()["replication-shape-bias"], frame(planned), predictions=lambda run: {}
    ).decisions
    assert [cell.verdict for _, cell in decision.cells] == [rule.HOLDS, rule.HOLDS]
    assert decision.verdict == rule.HOLDS and decision.judged.above == pytest.approx(0.04)
