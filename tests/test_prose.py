"""Numbers in the pages' text: those made from rows follow the rows, those typed by hand are in book/numbers.yaml."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pandas as pd
import pytest
import yaml

from atlib import attacks, configuration, style, transforms
from atlib.campaign import destroyed
from atlib.errors import InputError
from atlib.files import REPOSITORY, read_json
from atlib.report import (
    beside_paper,
    claims,
    destroyed_tables,
    harder,
    pages,
    photographs,
    statistics,
    strangers,
    tables,
    verdicts,
)
from atlib.rows import archive, correct, load, read_rows

SOURCES = {name: source for name, (source, _) in pages.pairs().items()}
KNOWN: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(
    (REPOSITORY / "book" / "numbers.yaml").read_text(encoding="utf-8")
)
# With a decimal point, or before a per-cent sign; 4.2.1 and v0.9 are none.
NUMBER = re.compile(r"(?<![\w.])(?:\d+(?:\.\d+)?\s?%|\d+\.\d+(?!\w|\.\d))")
# What is no prose, in the order in which it has to go: blocks of code and formulas (a directive's content stays), code,
# formulas, roles and citations, places that `bound` fills, targets of links, addresses, sections of the paper.
NO_PROSE = [
    r"(?ms)^\s*```(?!\{)[^\n]*\n.*?^\s*```",
    r"(?ms)^\s*```\{(?:math|bibliography|toctree|mermaid)\}.*?^\s*```",
    r"(?s)\$\$.*?\$\$",
    r"\{[a-z:]+\}`[^`]*`(?:, \d[\d.]*)?",
    r"\{\w+ [^}]*@[^}]*\}",
    r"(?<!`)`[^`]+`(?!`)",
    r"\$[^$]+\$",
    r"\]\([^)]*\)",
    r"https?://\S+",
    r"[Ss]ections? [\d., and]*\d|PyTorch [\d.]+",
]


def prose(text: str) -> str:
    """Markdown without what `NO_PROSE` lists."""
    for pattern in NO_PROSE:
        text = re.sub(pattern, " ", text)
    return text


def sentences(code: str) -> Iterator[str]:
    """Texts of at least four words in a cell's code: captions, mostly. What f-strings fill in is left out."""
    tree = ast.parse(re.sub(r"^\s*[%!].*$", "pass", code, flags=re.MULTILINE))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value.split()) >= 4:
            yield node.value


def strings(value: object) -> Iterator[str]:
    """Every text in nested metadata: captions and alternative texts of figures."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)


def listed(name: str) -> set[str]:
    """The numbers that a page may have."""
    return set(KNOWN.get(name, {})) | set(KNOWN["every page"])


def typed(source: str) -> list[str]:
    """The numbers typed by hand in a page, in its order."""
    found = []
    for cell in jupytext.reads(source, fmt="md:myst").cells:
        if cell.cell_type == "markdown":
            texts = map(prose, [cell.source])
        else:
            texts = map(prose, [*sentences(cell.source), *strings(dict(cell.metadata.get("mystnb", {})))])
        found += [" ".join(number.split()) for text in texts for number in NUMBER.findall(text)]
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("It is 12.5 % there, 7 % here, and 0.3.", ["12.5 %", "7 %", "0.3"]),
        ("- a list of 3 with 1.5\n\n  1. 2.5 more", ["1.5", "2.5"]),
        ("Section 3.2, sections 4.2 and 5.1, 4.2.1; version `0.9`; $0.5$; [0.1](/a-0.2) is 8/255.", ["0.1"]),
        ("```console\n$ a 0.5\n```\n\n```{glossary}\nterm\n  It is 0.7.\n```", ["0.7"]),
        ("It keeps {kept normal@cifar10 noise@0.1} % of 0.2.", ["0.2"]),
        ("$$\nx = 0.5\n$$ (eq)\n\n{cite:p}`a2000` 0.6", ["0.6"]),
        ('```{code-cell} ipython3\nx = 0.5\ny = f("at most {x} of 0.8 in all", "0.9")\n```', ["0.8"]),
        ("```{code-cell} ipython3\n---\nmystnb:\n  figure:\n    caption: At 40 %.\n---\nx = 1\n```", ["40 %"]),
    ],
)
def test_typed(source: str, expected: list[str]) -> None:
    header = "---\nkernelspec: {display_name: Python 3, language: python, name: python3}\n---\n\n"
    assert typed(header + source) == expected


@pytest.mark.parametrize("name", SOURCES)
def test_numbers_typed_by_hand_are_accounted_for(name: str) -> None:
    found = set(typed(SOURCES[name].read_text(encoding="utf-8")))
    assert found - listed(name) == set(), f"book/{name}.md: make them from rows, or enter them in book/numbers.yaml"
    assert set(KNOWN.get(name, {})) - found == set(), f"book/numbers.yaml, {name}: the page doesn't have them"


def test_entries_are_used() -> None:
    assert set(KNOWN) <= {*SOURCES, "every page"}
    found = {number for source in SOURCES.values() for number in typed(source.read_text(encoding="utf-8"))}
    assert set(KNOWN["every page"]) <= found


def agrees(number: str, value: float) -> bool:
    """Whether a value (a share, if the number is in per cent) is this number, as far as it has digits."""
    bare = number.rstrip(" %")
    digits = len(bare.partition(".")[2])
    return round(value * (100 if number.endswith("%") else 1), digits) == float(bare)


@pytest.mark.parametrize(("page", "number"), [(page, number) for page in KNOWN for number in KNOWN[page]])
def test_entry_has_its_reason_and_its_value(page: str, number: str) -> None:
    entry = KNOWN[page][number]
    assert set(entry) <= {"why", "paper", "code"} and entry["why"]
    places = entry.get("paper", [])
    paper = beside_paper.paper().set_index(["dataset", "model", "metric"])["value"]
    for place in [places] if isinstance(places, str) else places:
        assert agrees(number.rstrip(" %"), 100 * float(paper.loc[tuple(place.split())])), place
    if "code" in entry:
        known = {"attacks": attacks, "claims": claims, "configuration": configuration, "transforms": transforms}
        assert agrees(number, float(eval(entry["code"], known))), entry["code"]


# --- words ----------------------------------------------------------------------------------------------------------

THINGS = "class|data set|distortion|level|line|network|picture|row|run|seed|setting|statistic"
NOT_ENGLISH = {  # constructions taken over from another language, and what to write instead
    r"could(?:n't| not) be had": "could not be downloaded, we could not obtain",
    rf"\b(?:one|two|three|a) (?:{THINGS}|column|panel|value|number) a (?:{THINGS})\b": "per",
    r"\bbeside (?:it|them|each|which) stands?\b": "next to it is",
    r"«|»": "emphasis",
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_page_is_in_english(name: str) -> None:
    text = " ".join(SOURCES[name].read_text(encoding="utf-8").split())
    found = {match[0]: instead for words, instead in NOT_ENGLISH.items() for match in re.finditer(words, text)}
    assert found == {}, f"book/{name}.md: write instead"


@pytest.mark.parametrize(
    "text",
    ["could not be had here", "one network a data set", "one line a network", "beside it stands a map", "«Stands at»"],
)
def test_what_is_not_english_is_found(text: str) -> None:
    assert any(re.search(words, text) for words in NOT_ENGLISH)


# --- sentences from rows --------------------------------------------------------------------------------------------


def spoken(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Markdown that a page's cells end with, computed from the rows in a folder."""
    monkeypatch.setenv("ATLIB_RESULTS", str(folder))
    said, scope = [], {"__name__": "__page__"}
    for cell in pages.code(jupytext.read(SOURCES[name], fmt="md:myst")):
        tree = ast.parse(cell.source)
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), scope)
        if isinstance(last, ast.Expr) and ast.unparse(last).startswith("Markdown("):
            said.append(eval(compile(ast.Expression(last.value), name, "eval"), scope).data)
    return said


def three_seeds(frame: pd.DataFrame) -> bool:
    """Whether CIFAR-10 and Caltech-101 have three seeds of each of the three networks that the book compares."""
    seeds = []
    for name in ("cifar10", "caltech101"):
        mine = tables.in_main_setting(frame, name)
        for model in ("normal", tables.setting(name).main, "underfit"):
            seeds.append(mine.loc[mine["model"] == model, "seed"].nunique())
    return seeds == [3] * 6


def trained(frame: pd.DataFrame, dataset: str, model: str) -> list[tuple[str, float | None]]:
    """The precision and the share of changed batches with which a model's three networks were trained."""
    mine = tables.in_main_setting(frame, dataset)
    mine = mine[(mine["model"] == model) & (mine["seed"] <= 3)]
    records = [read_json(REPOSITORY / "results" / f"{run}.json") for run in sorted(set(mine["run"]))]
    assert len(records) == 3
    return [(record["training"]["precision"], record["config"].get("share")) for record in records]


# What captions and sentences say by hand of rows, some still to come, and whether it is (still) so.
TYPED: dict[str, Callable[[pd.DataFrame], bool]] = {
    "CIFAR-10 and Caltech-101 have three seeds each": three_seeds,
    "(mean over three seeds)": three_seeds,
    "they were trained in single precision, and the other two kinds in bfloat16": lambda frame: all(
        {"noise-0.1": ("fp32", 0.5)}.get(model, ("bf16", None if model == "normal" else 0.5)) == about
        for dataset, mine in {"cifar10": "pgd-linf-8 pgd-linf-2", "caltech101": "pgd-linf-4"}.items()
        for model in ("noise-0.1", "normal", *mine.split())
        for about in trained(frame, dataset, model)
    ),
    "wherever it was recorded, it is zero": lambda frame: bool(
        (frame.loc[frame["metric"] == "vanished", "value"] == 0).all()
        and {"shapes", "caltech101"} == set(frame.query("metric == 'vanished' and distortion != 'gradient'")["dataset"])
        and (harder.read().query("metric == 'vanished'")["value"] == 0).all()
    ),
    "Every picture has a gradient where the attack begins": lambda frame: (
        [(seed, 0) for seed in (1, 1, 2, 2, 3, 3)]
        == sorted(
            tables.in_main_setting(frame, "cifar10")
            .query("distortion == 'gradient' and model in ('normal', 'pgd-linf-8')")[["seed", "count"]]
            .itertuples(index=False, name=None)
        )
    ),
    "only one network, on CIFAR-10, has been trained on blur": lambda frame: (
        set(frame.loc[frame["model"].str.startswith("blur-"), "run"]) == {"cifar10/blur-1-w16-s1-8fcfbbf6"}
    ),
    "where the same noise is six times as strong as the attack of 4/255, it helps a little more": lambda frame: (
        0.02 < gained(frame, "low-pass@0.2") < 0.1
    ),
    "noise six times as strong brings them a quarter of the way": lambda frame: (
        0.2 < of_the_way(frame, "low-pass@0.2") < 0.3
    ),
    "part of the same gain on CIFAR-10. How much it brings on Caltech-101 three seeds leave open": lambda frame: (
        of_the_way(frame, "saturation@1024", "cifar10") > 0.4
        and contains_zero(gain_of_noise(frame, "saturation@1024", "caltech101"))
        and not contains_zero(gain_of_noise(frame, "saturation@1024", "cifar10"))
    ),
    "they recognise fewer on average in each set": lambda frame: all(
        judged.effect < 0 for _, judged in decision("beyond-noise-stylised@caltech101", frame).cells
    ),
    "networks trained on noise are also the more accurate ones on clean pictures": lambda frame: (
        kept(frame, "noise-0.1", "clean@", "caltech101") > kept(frame, "pgd-linf-4", "clean@", "caltech101")
    ),
    "But networks trained on noise are also the more accurate ones": lambda frame: all(
        kept(frame, "noise-0.1", "clean@", name) > kept(frame, tables.setting(name).main, "clean@", name)
        for name in ("cifar10", "caltech101")
    ),
    "at about the clean accuracy of those trained against attacks": lambda frame: all(
        abs(early_minus_main(frame, name)) < 0.02 for name in ("cifar10", "caltech101")
    ),
    "In the other three the difference could be zero": lambda frame: (
        zeros("stylised-conditional@caltech101", frame) == 3
    ),
    "at 0 all networks are close to guessing": lambda frame: all(
        lead(frame, name, "saturation@0")[0] < 0.14 for name in ("cifar10", "caltech101")
    ),
    "by that count ordinary networks lose more to 4 × 4 patches on both data sets": lambda frame: all(
        lead(frame, name, "patch-shuffle@4")[1] > 0.02 for name in ("cifar10", "caltech101")
    ),
    "On Caltech-101 its accuracy misses the other's by up to two points, in both directions": lambda frame: (
        misses(frame)[0] < -0.015 and 0.015 < misses(frame)[-1] < 0.025
    ),
    "on Caltech-101 their mean is the lowest in three of the four": lambda frame: (
        [between(frame, level, "caltech101") for level in style.LEVELS].count(-1) == 3
    ),
    "that all three recognise whole the normal one still recognises more than half": lambda _: known_in_four() > 0.5,
    "in three of the four sets and below both in the fourth (paintings, MicroAST)": lambda frame: (
        [between(frame, level) for level in style.LEVELS] == [0, 0, 0, -1]
    ),
    "networks trained on noise have not been shown CIFAR-10's restyled pictures.": lambda frame: (
        set(frame.loc[frame["model"].str.startswith("noise-") & (frame["distortion"] == "stylised"), "dataset"])
        == {"caltech101"}
    ),
    "better than any other network here, but strong blur hardly better than ordinary ones": (
        lambda frame: (
            best(frame, "noise@0.1") == "noise-0.1"
            and kept(frame, "noise-0.1", "low-pass@0.2") - kept(frame, "normal", "low-pass@0.2") < 0.02
        )
    ),
    "which are just as accurate on clean pictures": lambda frame: (
        abs(kept(frame, "noise-0.1", "clean@") - kept(frame, "pgd-linf-2", "clean@")) < 0.01
    ),
    "All of these are means of three seeds": lambda frame: all(
        frame.loc[(frame["model"] == "noise-0.1") & (frame["dataset"] == name), "seed"].nunique() == 3
        for name in ("cifar10", "caltech101")
    ),
    "The one network that was trained on pictures blurred by a Gaussian of one pixel": lambda frame: (
        frame.loc[(frame["model"] == "blur-1") & (frame["dataset"] == "cifar10"), "seed"].nunique() == 1
    ),
    "Under a milder one, of half a pixel, it does no better than ordinary networks": lambda frame: (
        kept(frame, "blur-1", "blur@0.5") <= kept(frame, "normal", "blur@0.5")
    ),
    "it withstands the blur that it was trained on, and none that is stronger": lambda frame: (
        abs(kept(frame, "blur-1", "blur@1") - kept(frame, "pgd-linf-8", "blur@1")) < 0.02
        and all(kept(frame, "blur-1", at) - kept(frame, "normal", at) < 0.01 for at in ("blur@2", "low-pass@0.2"))
    ),
    "neither noise three times as strong nor a blur of one pixel": lambda frame: all(
        kept(frame, model, "low-pass@0.2") - kept(frame, "normal", "low-pass@0.2") < 0.02
        for model in ("noise-0.1", "blur-1")
    ),
    "right on two thirds of clean pictures where its partner is right on nearly all": lambda _: (
        0.62 < strangers.accuracy("woods_lipschitz", "clean@") < 0.7
        and strangers.accuracy("woods_normal", "clean@") > 0.9
    ),
    "recognises only two thirds of clean pictures, where that network recognises nearly all": lambda _: (
        0.62 < strangers.accuracy("woods_lipschitz", "clean@") < 0.7
        and strangers.accuracy("woods_normal", "clean@") > 0.9
    ),
    "It is robust by its author's measurement, and by ours": lambda _: survives("woods_lipschitz"),
    "A further network, robust by its author's measurement and by ours": lambda _: survives("woods_lipschitz"),
    "and robust by its author's measurement and by ours": lambda _: survives("woods_lipschitz"),
    "ten of which have been measured": lambda _: (
        len(list((REPOSITORY / "results" / "own").glob("*/rows.csv"))) == 2 + 10
    ),
    "Networks on Caltech-101 have not been attacked in this way": lambda _: (
        "caltech101" not in set(harder.read()["dataset"])
    ),
    "Up to 20 Caltech-101 test pictures of each of 100 classes, 1,203 in all": lambda frame: (
        set(frame.loc[(frame["dataset"] == "caltech101") & (frame["metric"] == "coverage"), "total"]) == {1203}
    ),
    "lose half of their answers to 2 × 2 patches": lambda frame: 0.4 < texture_in_four(frame) < 0.6,
}


def by_seed(frame: pd.DataFrame, dataset: str, place: str) -> pd.DataFrame:
    """Accuracy in a data set's main setting under a DISTORTION@LEVEL: a line per seed, a column per network."""
    mine, (distortion, _, level) = tables.in_main_setting(frame, dataset), place.partition("@")
    mine = mine[(mine["distortion"] == distortion) & (mine["level"] == level) & (mine["metric"] == "accuracy")]
    return mine.pivot_table(index="seed", columns="model", values="value")


def early_minus_main(frame: pd.DataFrame, dataset: str) -> float:
    """The clean accuracy of the networks stopped early minus that of the networks which they are to match."""
    mean = by_seed(frame, dataset, "clean@").mean()
    return float(mean["underfit"] - mean[tables.setting(dataset).main])


def misses(frame: pd.DataFrame) -> list[float]:
    """The same on Caltech-101 seed by seed, smallest first."""
    found = by_seed(frame, "caltech101", "clean@")
    return sorted(found["underfit"] - found[tables.setting("caltech101").main])


def lead(frame: pd.DataFrame, dataset: str, place: str) -> tuple[float, float]:
    """The best of the three networks there, and how many more answers the normal one loses than the main one."""
    mean, clean = by_seed(frame, dataset, place).mean(), by_seed(frame, dataset, "clean@").mean()
    main = tables.setting(dataset).main
    lost = clean - mean
    return float(mean[["normal", "underfit", main]].max()), float(lost["normal"] - lost[main])


def survives(name: str) -> bool:
    """Whether a network that others trained keeps 30 % of the pictures at least under all attacks."""
    times = harder.before_and_after(f"{harder.STRANGERS}{name}", harder.read())
    return all(after.low > 0.3 for _, after in times)


def decision(where: str, frame: pd.DataFrame) -> verdicts.Decision:
    """What was decided of a CLAIM@DATASET."""
    claim, _, dataset = where.partition("@")
    (decided,) = [one for one in verdicts.verdicts(frame)[claim].decisions if one.dataset == dataset]
    return decided


def zeros(where: str, frame: pd.DataFrame) -> int:
    """In how many cells of a CLAIM@DATASET the interval includes zero."""
    return sum(cell.low < 0 < cell.high for _, cell in decision(where, frame).cells)


def texture_in_four(frame: pd.DataFrame) -> float:
    """Of what networks that know only texture recognise on `shapes`, the share that is lost in 2 × 2 patches."""
    mine = frame[(frame["recipe"] == tables.setting("shapes-texture").recipe) & (frame["model"] == "normal")]
    mine = mine[(mine["dataset"] == "shapes") & (mine["metric"] == "accuracy")]
    places = (mine["distortion"] + "@" + mine["level"]).map(str)
    clean, cut = (mine.loc[places == place, "value"].mean() for place in ("clean@", "patch-shuffle@2"))
    return float(1 - cut / clean)


def known_in_four() -> float:
    """Of the photographs that three networks know, the share that the normal one still recognises in 2 × 2 patches."""
    said = archive(REPOSITORY / "results")(photographs.NETWORKS["normal"])
    return float(correct(said, "patch-shuffle@2")[photographs.known()].mean())


def between(frame: pd.DataFrame, level: str, dataset: str = "cifar10") -> int:
    """Where the network stopped early is on restyled pictures: -1 below both others, 0 between them, 1 above both."""
    mean = by_seed(frame, dataset, f"stylised@{level}").mean()
    others = mean[["normal", tables.setting(dataset).main]]
    return int(mean["underfit"] > others.max()) - int(mean["underfit"] < others.min())


def edges_left(distortion: str) -> float:
    """The correlation of edges that a filter leaves on CIFAR-10 at the two cut-offs of the claims, mean."""
    mine = destroyed_tables.of_setting(tables.setting("cifar10"), destroyed.load())
    mine = mine[(mine["distortion"] == distortion) & mine["level"].isin(["0.1", "0.2"]) & (mine["metric"] == "shape")]
    assert len(mine) == 2
    return float(mine["value"].mean())


def kept(frame: pd.DataFrame, model: str, place: str, dataset: str = "cifar10") -> float:
    """A network's accuracy in a data set's main setting under a DISTORTION@LEVEL, mean over seeds."""
    return float(by_seed(frame, dataset, place)[model].mean())


def gain_of_noise(frame: pd.DataFrame, place: str, dataset: str) -> tuple[float, float]:
    """95 % interval, over seeds, of what networks trained on noise recognise more than ordinary ones."""
    found = by_seed(frame, dataset, place)
    return statistics.t_interval((found["noise-0.1"] - found["normal"]).dropna())


def contains_zero(interval: tuple[float, float]) -> bool:
    return interval[0] < 0 < interval[1]


def best(frame: pd.DataFrame, place: str) -> str:
    """The network that recognises most of CIFAR-10 there."""
    return str(by_seed(frame, "cifar10", place).mean().idxmax())


def gained(frame: pd.DataFrame, place: str, dataset: str = "caltech101") -> float:
    """How much more networks trained on noise recognise there than ordinary ones."""
    return kept(frame, "noise-0.1", place, dataset) - kept(frame, "normal", place, dataset)


def of_the_way(frame: pd.DataFrame, place: str, dataset: str = "caltech101") -> float:
    """`gained`, as a share of what networks trained against attacks gain there."""
    main = kept(frame, tables.setting(dataset).main, place, dataset)
    return gained(frame, place, dataset) / (main - kept(frame, "normal", place, dataset))


def test_the_conclusion_says_which_filter_keeps_more_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLIB_RESULTS", str(REPOSITORY / "results"))
    said = " ".join((REPOSITORY / "book" / "answer.yaml").read_text(encoding="utf-8").split())
    assert "the low-pass filter keeps fewer of a picture's edges than the high-pass filter" in said
    assert edges_left("low-pass") < edges_left("high-pass")


@pytest.mark.parametrize("text", TYPED)
def test_what_is_typed_of_rows_to_come_is_still_so(text: str, published: pd.DataFrame) -> None:
    said = [name for name, path in SOURCES.items() if text in " ".join(path.read_text(encoding="utf-8").split())]
    assert said, "no page says it any more: take it out of TYPED"
    assert TYPED[text](published), f"no longer so, on {', '.join(said)}"


# A page, and the rows of which one is changed: its sentences are about them.
CASES = [
    ("shapes", {"model": "normal", "metric": "shape_bias", "seed": 1}),
    ("saliency", {"dataset": "shapes", "model": "normal", "metric": "gini", "distortion": "clean", "seed": 1}),
]


def change(folder: Path, chosen: dict[str, Any]) -> None:
    """Halve one published row, in a copy of results/."""
    frame = load(folder)
    dataset = chosen.get("dataset", "shapes")
    for column, wanted in {"recipe": tables.setting(dataset).recipe, "dataset": dataset, **chosen}.items():
        frame = frame[frame[column] == wanted]
    run = frame["run"].iloc[0]
    rows = read_rows(folder / f"{run}.csv")
    where = (rows[["distortion", "level", "metric"]] == frame[["distortion", "level", "metric"]].iloc[0]).all(axis=1)
    assert where.sum() == 1
    rows.loc[where, "value"] /= 2
    if rows.loc[where, "count"].notna().all():  # a share: it has to agree with its count
        rows.loc[where, "count"] //= 2
        rows.loc[where, "value"] = rows["count"] / rows["total"]
    rows.to_csv(folder / f"{run}.csv", index=False)


@pytest.mark.parametrize(("name", "chosen"), CASES)
def test_sentences_follow_the_rows(
    name: str, chosen: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(REPOSITORY / "results", folder)
    before = spoken(name, folder, monkeypatch)
    committed = [
        output.data["text/markdown"]
        for cell in pages.code(nbformat.read(pages.pairs()[name][1], as_version=4))
        for output in cell.outputs
        if "text/markdown" in output.get("data", {})
    ]
    assert before and before == committed
    change(folder, chosen)
    refused = ""
    try:
        after = spoken(name, folder, monkeypatch)
    except (InputError, AssertionError) as error:  # a sentence bound to verdicts or rows isn't printed once they change
        after, refused = [], str(error)
    if refused:
        assert "read it again" in refused
        return
    changed = [old for old, new in zip(before, after, strict=True) if old != new]
    assert changed and all(re.search(r"\d", sentence) for sentence in changed)
