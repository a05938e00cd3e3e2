"""The report's tables and the numbers of its prose, made from published rows alone."""

from __future__ import annotations

import base64
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape, unescape
from pathlib import Path

import pandas as pd

from .. import models, style, transforms
from ..campaign import grid
from ..campaign.plan import digits
from ..configuration import config_of
from ..files import RUN_NAME, checkout_path, load_tensors, read_json, results_dir
from ..rows import row_id
from . import claims, destroyed, rule, statistics, verdicts
from .plots import budget
from .rule import NOT_RUN

PAPER = "book/paper.csv"
# Table 1's order, then what the paper only mentions.
MODELS = (
    "pgd-linf-8", "pgd-linf-4", "pgd-linf-2", "pgd-linf-1", "pgd-l2-12", "pgd-l2-8", "pgd-l2-4",
    "fgsm-8", "fgsm-4", "normal", "underfit", "spatial",
)  # fmt: skip
ONE_SEED = "one seed"
SENTENCE = 40  # characters of a cell that is given room for several words a line


def records(folder: Path | None = None) -> dict[str, dict]:
    """Configuration, training and evaluation of every published run, by its name."""
    folder = folder or results_dir()
    found = {}
    for path in sorted(folder.glob("*/*.json")):
        run = path.relative_to(folder).with_suffix("").as_posix()
        if RUN_NAME.fullmatch(run):
            found[run] = read_json(path)
    return found


class Cell(str):
    """The text of a table's cell, with the ids (`rows.row_id`) of the published rows that it comes from."""

    rows: tuple[str, ...]
    href: str  # address that the cell links to; empty: none

    def __new__(cls, text: str, rows: Iterable[str] = (), href: str = "") -> Cell:
        cell = super().__new__(cls, text)
        cell.rows, cell.href = tuple(rows), href
        return cell


def frame_of(lines: Iterable[dict], columns: list[str] | None = None) -> pd.DataFrame:
    """Lines as a frame that keeps Cells (pandas would turn them into plain text)."""
    return pd.DataFrame(list(lines), columns=columns, dtype=object)


def cue_table(frame: pd.DataFrame, about: dict[str, dict]) -> pd.DataFrame:
    """One line per run on shapes: model, seed, amplitude, cue, budget, recipe, share, and what was measured.

    That is accuracy, robust, robust_any, shape_bias, coverage; beside each the id of its row: accuracy_row and so on.
    """
    rows = frame[frame["dataset"] == "shapes"]
    wanted = {
        ("clean", "accuracy"): "accuracy",
        ("pgd-linf", "accuracy_last"): "robust",
        ("pgd-linf", "accuracy_any"): "robust_any",
        ("conflict", "shape_bias"): "shape_bias",
        ("conflict", "coverage"): "coverage",
    }
    lines = []
    for run, group in rows.groupby("run", sort=True):
        found = {(row["distortion"], row["metric"]): row for row in group.to_dict("records")}
        config = about[str(run)]["config"]
        line = {"run": run, "model": group["model"].iloc[0], "seed": group["seed"].iloc[0]}
        line |= {name: config[name] for name in ("amplitude", "cue")}
        line |= {"budget": budget(config), "recipe": group["recipe"].iloc[0]}
        line |= {"share": group["share"].iloc[0]}
        line |= {name: found[key]["value"] if key in found else float("nan") for key, name in wanted.items()}
        lines.append(line | {f"{name}_row": row_id(found[k]) if k in found else "" for k, name in wanted.items()})
    columns = ["run", "model", "seed", "amplitude", "cue", "budget", "recipe", "share", *wanted.values()]
    columns += [f"{name}_row" for name in wanted.values()]
    return pd.DataFrame(lines, columns=columns)


def main_lines(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of `cue_table` in the main setting: its recipe and, for adversarial training, its share."""
    at = setting("shapes")
    mine = (table["recipe"] == at.recipe) & table["share"].isin([0.0, at.share])
    return table[mine & table["seed"].map(at.counts)]


def short(commit: object) -> str:
    """A commit in its short form, with its mark if the code that ran differed from the commit."""
    digits, *mark = str(commit).split("-")
    return "-".join([digits[:12], *mark])


def percent(value: float, digits: int = 1) -> str:
    """A fraction as a percentage, without the sign."""
    return f"{100 * value:.{digits}f}"


def dash(value: float, form: str) -> str:
    """A number in a format, or a dash for NaN."""
    return "–" if value != value else form.format(value)


def over_seeds(lines: pd.DataFrame, metric: str, digits: int = 2) -> Cell:
    """Mean and 95 % t-interval of one value per seed; the value and "one seed" for a single one; "not run" for none.

    lines: of `cue_table`.
    """
    lines = lines[lines[metric].notna()]
    values, ids = list(lines[metric]), list(lines[f"{metric}_row"])
    if not values:
        return Cell(NOT_RUN)
    if len(values) == 1:
        return Cell(f"{values[0]:.{digits}f} ({ONE_SEED})", ids)
    low, high = statistics.t_interval(values)
    return Cell(f"{sum(values) / len(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]", ids)


def networks(table: pd.DataFrame) -> pd.DataFrame:
    """The twelve networks on one setting of shapes: means over seeds with t-intervals, in the paper's order."""
    lines = []
    for model in MODELS:
        mine = table[table["model"] == model]
        names = {"accuracy": "clean", "robust": "PGD-40", "shape_bias": "shape bias", "coverage": "coverage"}
        line = {"network": model, "seeds": len(mine)}
        lines.append(line | {shown: over_seeds(mine, column) for column, shown in names.items()})
    return frame_of(lines)


def paper() -> pd.DataFrame:
    """Every number that the paper's main text prints of its networks: dataset, model, metric, value as a fraction.

    clean, robust: Table 1; clean2, stylised_conditional: Table 2, whose clean accuracies differ in two cells from
    Table 1's; shuffle_2_conditional: 4.2.3, where the text says k = 1, where its measure is 100 % by definition.
    """
    return pd.read_csv(checkout_path(PAPER))


def in_paper(dataset: str) -> str:
    """The name that `paper` uses for a data set, or for the one that it stands in for."""
    return {"caltech101": "caltech256"}.get(dataset, dataset)


def paper_value(dataset: str, model: str, metric: str) -> float:
    """One number of `paper`; NaN where the paper prints none."""
    found = paper()
    cell = (found["dataset"] == dataset) & (found["model"] == model) & (found["metric"] == metric)
    return float(found.loc[cell, "value"].iloc[0]) if cell.any() else float("nan")


def table_1(frame: pd.DataFrame, about: dict[str, dict], dataset: str) -> pd.DataFrame:
    """The paper's Table 1 on one data set next to this repository's rows, one line for each of our settings.

    Percentages. A single seed has Wilson's interval over its images, several the t-interval over seeds. There is no
    difference for a stand-in, nor for l_2 networks on CIFAR-10, where the paper's unit is unknown. Where rows have it,
    "no gradient" is the share of pictures whose gradient was zero where the attack began.
    """
    theirs, name_there = paper().set_index(["dataset", "model", "metric"])["value"], in_paper(dataset)
    lines = []
    for model in MODELS:
        mine = frame[(frame["dataset"] == dataset) & (frame["model"] == model)]
        groups = [group for _, group in mine.groupby(["width", "recipe", "share"])] or [mine]
        for group in groups:
            line = {"network": model}
            for name, place in {"clean": ("clean", "accuracy"), "robust": ("pgd-linf", "accuracy_last")}.items():
                value = float(theirs.get((name_there, model, name), float("nan")))
                cell = group[(group["distortion"] == place[0]) & (group["metric"] == place[1])]
                difference = cell["value"].mean() - value
                incomparable = name_there != dataset or (dataset == "cifar10" and "-l2-" in model)
                no_difference = incomparable or difference != difference
                line[f"{name}: paper"] = "–" if value != value else percent(value, 2)
                line[f"{name}: ours"] = one_cell(cell) if len(cell) else Cell("–")
                line[f"{name}: difference"] = "–" if no_difference else f"{100 * difference:+.1f}"
            cell = group[(group["distortion"] == "pgd-linf") & (group["metric"] == "vanished")]
            line["no gradient"] = "–" if cell.empty else one_cell(cell)
            lines.append(line | setting_of(group, about))
    table = frame_of(lines)
    return table if (table["no gradient"] != "–").any() else table.drop(columns="no gradient")


def not_run(frame: pd.DataFrame, name: str) -> str:
    """One line below a table, as HTML: which of the paper's networks have no rows in a data set's main setting."""
    at = setting(name)
    mine = frame[(frame["dataset"] == at.dataset) & (frame["width"] == at.width) & (frame["recipe"] == at.recipe)]
    missing = [model for model in MODELS if model not in set(mine["model"])]
    return f'<p class="not-run">Not run: {", ".join(missing)}.</p>' if missing else ""


def one_cell(rows: pd.DataFrame) -> Cell:
    """A cell's percentage with its interval: Wilson's within one run, Student's over seeds."""
    if rows.empty:
        return Cell(NOT_RUN)
    if len(rows) == 1:
        low, high = statistics.wilson(int(rows["count"].iloc[0]), int(rows["total"].iloc[0]))
    else:
        low, high = statistics.t_interval(rows["value"])
    ids = [row_id(row) for row in rows.to_dict("records")]
    return Cell(f"{percent(rows['value'].mean(), 2)} [{percent(low)}, {percent(high)}]", ids)


def setting_of(rows: pd.DataFrame, about: dict[str, dict]) -> dict[str, str]:
    """Side, width, epochs, attack steps, share, seeds, training time and hardware of one setting's runs, as text."""
    if rows.empty:
        return dict.fromkeys(("side", "width", "epochs", "steps", "share", "seeds", "trained on", "run"), "–")
    runs = sorted(rows["run"].unique())
    first = about[runs[0]]
    config, training = first["config"], first["training"]
    hardware = training["hardware"]
    place = hardware.get("gpu") or f"{hardware['processor']}, {hardware['threads']} thread(s)"
    number = rows["seed"].nunique()
    return {
        "side": str(config["side"]),
        "width": str(config["width"]),
        "epochs": f"{config['epochs']:g}",
        "steps": "–" if config["steps"] is None else str(config["steps"]),
        "share": "–" if not config["share"] else f"{config['share']:g}",
        "seeds": ONE_SEED if number == 1 else f"{number} seeds",
        "trained on": f"{place}, {training['precision']}, {training['seconds'] / 60:.0f} min",
        "run": ", ".join(runs),
    }


def corrected(printed: Mapping[str, float], frame: pd.DataFrame) -> pd.DataFrame:
    """What was printed of some rows (by row id) before a fault was mended, next to what these rows say now."""
    now = {row_id(row): row for row in frame.to_dict("records")}
    lines = []
    for name, before in printed.items():
        row = now[name]
        under = f"{row['distortion']} {row['level']}".strip()
        line = {
            "network": row["model"],
            "seed": row["seed"],
            "under": under,
            "measured": row["metric"].replace("_", " "),
        }
        lines.append(line | {"printed": f"{before:.3f}", "right": Cell(f"{row['value']:.3f}", [name])})
    return frame_of(lines)


def html(table: pd.DataFrame, caption: str) -> str:
    """A table as HTML with its caption; a wide table scrolls on its own, so that the page never does.

    Each cell that comes from published rows carries their ids (data-rows); a list below, which unfolds, names them.
    A link gives the table as CSV, as it is shown. The style sheet numbers the tables of a page (class "numbered").
    """
    names = "names" if table.columns[0] == "network" else ""  # these never break, sentences may
    text = {name: cell_html for name in table.columns if not pd.api.types.is_numeric_dtype(table[name])}
    body = table.rename_axis(columns=None).to_html(
        index=False, border=0, classes=["rows", "numbered", names], na_rep="–", escape=False, formatters=text
    )
    body = body.replace("<thead>", f"<caption>{caption}</caption>\n<thead>", 1)
    return _behind(_scrolling(body), table, caption)


def framed(table: pd.DataFrame, bodies: Sequence[str], columns: Sequence[str], caption: str, kind: str) -> str:
    """`html` with table bodies and names of columns of one's own; kind: a class for the style sheet."""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    head = f"<caption>{caption}</caption>\n<thead><tr>{names}</tr></thead>"
    body = f'<table class="dataframe rows numbered {kind}">{head}\n{"".join(bodies)}</table>'
    return _behind(_scrolling(body), table, caption)


def _behind(scroll: str, table: pd.DataFrame, caption: str) -> str:
    """A table's HTML with its data and the ids of its rows below it."""
    ids = [one for cell in table.to_numpy().ravel() if isinstance(cell, Cell) for one in cell.rows]
    shown = pd.DataFrame({name: [_plain(v) for v in table[name]] for name in table.columns}, dtype=object)
    return scroll + _more(download(shown, caption), unfold(dict.fromkeys(ids)))


def _more(data: str, ids: str) -> str:
    """What lies behind a table or figure, in one line below it: its data, and the ids of its rows."""
    return f'\n<div class="rows-more">{data}{ids}</div>'


def _scrolling(body: str) -> str:
    """A table in a box that scrolls sideways, by the keyboard too."""
    return f'<div class="rows-scroll" tabindex="0" role="region" aria-label="table">\n{body}\n</div>'


def _text(value: object) -> str:
    """A cell's text."""
    return ("–" if value != value else f"{value:g}") if isinstance(value, float) else str(value)


def _plain(value: object) -> str:
    """A cell's text in a CSV, with non-breaking spaces replaced by ordinary ones."""
    return _text(value).replace("\u00a0", " ")


def cell_html(value: object) -> str:
    """A cell's HTML."""
    text = escape(_text(value))
    if not isinstance(value, Cell):
        return f'<div class="sentence">{text}</div>' if len(text) >= SENTENCE and " " in text else text
    if value.href:
        text = f'<a href="{escape(value.href)}">{text}</a>'
    return f'<span data-rows="{escape(" ".join(value.rows))}">{text}</span>' if value.rows else text


def download(table: pd.DataFrame, name: str, words: str = "data") -> str:
    """A link that gives a table as CSV, held in the page itself. name: of the file, or a caption to make it from."""
    content = base64.b64encode(table.to_csv(index=False).encode()).decode()
    link = f'<a download="{slug(name)}.csv" href="data:text/csv;charset=utf-8;base64,{content}">{words}</a>'
    return f'<p class="rows-data">{link}</p>'


SMALL_WORDS = re.compile(
    "a|an|and|any|are|as|at|be|beside|by|can|do|does|for|from|had|has|have|how|in|into|is|it|its|not|of|on|one|or|ours?"
    "|per|s|same|that|the|their|them|these|they|this|those|to|under|was|were|what|when|where|which|who|whose|with"
)


def slug(caption: str) -> str:
    """A file's name from what a table or figure says it shows: the words that matter of its first sentence."""
    plain = unescape(re.sub(r"<[^>]*>", "", caption))
    sentence = re.split(r"[.?!](?:\s|$)", plain, maxsplit=1)[0]
    found = [word for word in re.findall(r"[a-z0-9]+", sentence.lower()) if not SMALL_WORDS.fullmatch(word)][:7]
    while len("-".join(found)) > 60:
        found.pop()
    return "-".join(found) or "table"


def data_of(points: pd.DataFrame, name: str) -> str:
    """What is shown below a figure: its points as CSV, and a folded list of them with the rows that they come from.

    points: one line per point; the column "rows", if there is one, holds the ids of its rows (a tuple). name: of the
    file. Fractions have three digits, more than can be read off a figure; the rows hold the rest.
    """
    ids = points["rows"] if "rows" in points else pd.Series([()] * len(points), index=points.index)
    plain = points.drop(columns=["rows"], errors="ignore")
    shown = plain.map(lambda v: ("–" if v != v else f"{v:.3f}") if isinstance(v, float) else str(v))
    link = download(plain.assign(rows=[" ".join(one) for one in ids]), name)
    lines = [
        f"<li>{escape(', '.join(f'{key} {value}' for key, value in line.items() if value not in ('', '–')))}"
        f"{''.join(f' <code>{escape(one)}</code>' for one in rows)}</li>"
        for line, rows in zip(shown.to_dict("records"), ids, strict=True)
    ]
    return _more(link, _folded(f"{len(points)} points", lines))


def unfold(ids: Iterable[str]) -> str:
    """A folded list of row ids under a table; nothing if there are none."""
    lines = [f"<li><code>{escape(one)}</code></li>" for one in ids]
    return _folded(f"{len(lines)} rows", lines) if lines else ""


def _folded(summary: str, lines: Sequence[str]) -> str:
    """A list that unfolds, below a line on what its ids are good for."""
    how = "<p>Any of these rows is measured again by <code>make verify ROW=…</code></p>"
    return f'<details class="rows-ids"><summary>{summary}</summary>{how}<ul>{"".join(lines)}</ul></details>'


def behind(lines: pd.DataFrame, metrics: Iterable[str], name: str = "figure") -> str:
    """`data_of` a figure whose points are these metrics of lines of `cue_table`."""
    points = [
        {name: line[name] for name in ("model", "amplitude", "seed")}
        | {"metric": metric, "value": float(line[metric]), "rows": (str(line[f"{metric}_row"]),)}
        for metric in metrics
        for line in lines[lines[metric].notna()].to_dict("records")
    ]
    return data_of(pd.DataFrame(points, columns=["model", "amplitude", "seed", "metric", "value", "rows"]), name)


LEDGER = "claims.html"  # the page of the ledger, in the same folder as every page that mentions claims


# Registered sentences that lean on the one before them, as they read where they stand alone.
ALONE = {
    "maps-on-contours-distorted": "Maps of adversarially trained networks lie on contours on saturated and stylised "
    "pictures, too, where those of normal networks fail.",
    "saturation-conditional": "Saturation costs adversarially trained networks less accuracy by the paper's own count, "
    "over the pictures that each network itself knew when clean.",
    "not-just-less-accurate-stylised": "On stylised pictures, too, they are ahead of a network stopped early at the "
    "same clean accuracy.",
    "shuffle-not-just-less-accurate-conditional": "Shuffling hurts them more than a network stopped early by the "
    "paper's own count, too.",
}


def claim_words(claim: claims.Claim) -> str:
    """A claim's sentence as it reads alone."""
    return ALONE.get(claim.id, claim.claim)


def claim_cell(claim: claims.Claim) -> Cell:
    """A claim's sentence, which leads to its entry in the ledger."""
    return Cell(claim_words(claim), href=f"{LEDGER}#claim-{claim.id}")


def effect(decision: pd.Series, digits: int = 3) -> str:
    """The effect in a line of `verdicts.table`, with its interval, or "not run"."""
    number = len(decision["values"])
    if number == 0:
        return NOT_RUN
    mean, low, high = (f"{decision[name]:+.{digits}f}" for name in ("effect", "low", "high"))
    return f"{mean} ({ONE_SEED})" if number == 1 else f"{mean} [{low}, {high}]"


def setting(name: str) -> claims.Setting:
    """The main setting of a data set, from claims.yaml."""
    return claims.load().settings[name]


def single_cues(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of the networks that can use one cue alone, by amplitude, and whether both are learnt equally well."""
    alone = table[(table["cue"] != "both") & (table["model"] == "normal")]
    lines = []
    for amplitude, some in alone.groupby("amplitude"):
        found = {cue: some[some["cue"] == cue] for cue in ("shape", "texture")}
        line = {"amplitude": amplitude, "shape alone": over_seeds(found["shape"], "accuracy", 3)}
        line |= {"texture alone": over_seeds(found["texture"], "accuracy", 3)}
        shape, texture = found["shape"]["accuracy"].mean(), found["texture"]["accuracy"].mean()
        lines.append(line | {"equal": bool(min(shape, texture) >= 0.97 and abs(shape - texture) <= 0.01)})
    return frame_of(lines, ["amplitude", "shape alone", "texture alone", "equal"])


def amplitude_sentence(cues: pd.DataFrame, main: float) -> str:
    """Which amplitude the rule gives, in words, and what follows if it isn't the main one of claims.yaml."""
    equal = cues.loc[cues["equal"], "amplitude"]
    if equal.empty:
        return f"An amplitude at which both are learnt equally well is **{NOT_RUN}**."
    if equal.min() == main:
        return f"The smallest amplitude at which both are learnt equally well is **{main:g}**: the main one below."
    return (
        f"By these rows the smallest amplitude at which both are learnt equally well is **{equal.min():g}**. The main "
        f"one below is {main:g} all the same: claims.yaml had fixed it before the first row, by pilots with other "
        "settings, and changing it now would be choosing after having looked. The map shows both."
    )


def differences(values: pd.DataFrame, metric: str) -> pd.Series:
    """pgd-linf-8 minus normal, by seed; empty where one of them is missing."""
    wide = values.pivot_table(index="seed", columns="model", values=metric)
    return wide.reindex(columns=["pgd-linf-8", "normal"]).diff(axis=1, periods=-1)["pgd-linf-8"].dropna()


def difference_sentence(values: pd.DataFrame, metric: str) -> str:
    """pgd-linf-8 minus normal, seed by seed, in words."""
    found = differences(values, metric)
    if found.empty:
        return NOT_RUN
    if len(found) == 1:
        return f"{found.mean():+.2f} ({ONE_SEED})"
    low, high = statistics.t_interval(found)
    return f"{found.mean():+.2f} [{low:+.2f}, {high:+.2f}] over {len(found)} seeds"


def map_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of the map: normal and PGD l_inf 2, 4, 8 at every amplitude, three seeds."""
    models = ("normal", "pgd-linf-2", "pgd-linf-4", "pgd-linf-8")
    return table[(table["cue"] == "both") & table["model"].isin(models) & (table["seed"] <= 3)]


def map_table(table: pd.DataFrame) -> pd.DataFrame:
    """Shape bias over seeds by amplitude (lines) and budget (columns), with the mean coverage."""
    rows = map_rows(table)
    lines = []
    for amplitude in sorted(rows["amplitude"].unique()):
        line: dict[str, object] = {"amplitude": f"{amplitude:g}"}
        for eps in (0, 2, 4, 8):
            cell = rows[(rows["amplitude"] == amplitude) & (rows["budget"].round(6) == eps)]
            bias, coverage = over_seeds(cell, "shape_bias"), over_seeds(cell, "coverage")
            text = f"{bias} ({cell['coverage'].mean():.2f})" if len(cell) else bias
            line["normal" if eps == 0 else f"{eps}/255"] = Cell(text, bias.rows + coverage.rows)
        lines.append(line)
    return frame_of(lines)


def map_sentence(table: pd.DataFrame) -> str:
    """What PGD 8/255 training does to the shape bias at each amplitude, in words."""
    rows = map_rows(table)
    found = [
        f"- amplitude {amplitude:g}: {difference_sentence(some, 'shape_bias')}"
        for amplitude, some in rows.groupby("amplitude")
    ]
    return "Shape bias of PGD 8/255 minus that of normal training:\n\n" + "\n".join(found or [NOT_RUN])


def underfit_sentence(about: dict[str, dict], dataset: str) -> str:
    """How close each underfit control came to its target, in words."""
    found = [
        f"The underfit control of seed {record['config']['seed']} is the normal network's checkpoint at epoch "
        f"{record['training']['epoch']:.2f}: its accuracy on the hold-out is "
        f"{percent(record['training']['holdout_accuracy'])} % against the target's "
        f"{percent(record['training']['target'])} %, a gap of {100 * record['training']['gap']:+.2f} points."
        for record in about.values()
        if record["training"]["model"] == "underfit" and record["config"]["dataset"] == dataset
    ]
    return "\n\n".join(found or [f"The underfit control is {NOT_RUN}."])


def verdict_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """How many claims stand how, overall and on each data set where they count; claims that are only shown are not."""
    found = verdicts.table(frame)
    found = found[found["counts"]]
    counts = pd.crosstab(found["dataset"], found["verdict"]).reindex(columns=list(rule.OVERALL), fill_value=0)
    order = ["overall", *[name for name in counts.index if name != "overall"]]
    return counts.loc[order].rename_axis("on", axis=0).reset_index().rename_axis(None, axis=1)


def bench(folder: Path | None = None) -> pd.DataFrame:
    """What `make bench` wrote; empty if it has not been run."""
    path = (folder or results_dir()) / "bench.csv"
    return pd.read_csv(path, keep_default_na=False) if path.is_file() else pd.DataFrame()


def bench_table(folder: Path | None = None) -> pd.DataFrame:
    """The benchmark's rows as the page shows them."""
    rows = bench(folder)
    if rows.empty:
        return pd.DataFrame({"what": [NOT_RUN]})
    shown = {
        "what": "what",
        "against": "against",
        "ours_s": "ours, s",
        "theirs_s": "theirs, s",
        "ratio": "ratio",
        "reach": "reach",
        "met": "met",
        "detail": "detail",
    }
    return rows[list(shown)].rename(columns=shown)


def bench_sentence(folder: Path | None = None) -> str:
    """The benchmark's hardware, repetitions and versions, in words."""
    rows = bench(folder)
    if rows.empty:
        return f"The benchmark is **{NOT_RUN}**."
    first = rows.iloc[0]
    return (
        f"Medians of {first['rounds']} rounds in CPU seconds of one thread on {first['processor']}, where bf16 is "
        f"{first['bf16']}; torch {first['torch']}, torchattacks {first['torchattacks']}, foolbox {first['foolbox']}, "
        f"captum {first['captum']}, commit `{short(first['commit'])}`."
    )


def _done(planned: grid.Planned, frame: pd.DataFrame) -> pd.DataFrame:
    """The published rows of clean and robust accuracy of a planned run."""
    mine = frame[frame["run"] == planned.run]
    clean = mine[(mine["distortion"] == "clean") & (mine["metric"] == "accuracy")]
    return pd.concat([clean, mine[(mine["distortion"] == "pgd-linf") & (mine["metric"] == "accuracy_last")]])


def grid_sentence(planned: Sequence[grid.Planned], frame: pd.DataFrame) -> str:
    """How many of the grid's runs are published, in words."""
    published = set(frame["run"])
    done = [p for p in planned if p.run in published]
    asked = [p for p in planned if p.on_request and p.run not in published]
    blocks = ", ".join(dict.fromkeys(p.block for p in asked))
    more = f" {len(asked)} of the others are at the paper's own width, want a GPU, and are run only when asked for "
    return f"**{len(done)} of {len(planned)}** runs have published rows.{f'{more}(blocks {blocks}).' if asked else ''}"


def grid_table(planned: Sequence[grid.Planned], frame: pd.DataFrame) -> pd.DataFrame:
    """The grid, one line per network and setting: clean / robust accuracy in per cent for each seed, or "not run".

    Networks of which no seed is published are left out (`grid_not_run` counts them). Of the seeds above
    grid.SHOWN_SEEDS it says how many are published.
    """
    seeds = sorted({p.config.seed for p in planned if p.config.seed <= grid.SHOWN_SEEDS})
    above = {p.config.seed for p in planned} - set(seeds)
    others, published = grid.seeds_above(above) if above else "", set(frame["run"])
    states: dict[tuple, list[bool]] = {}
    lines: dict[tuple, dict] = {}
    for p in planned:
        first, last = _network(p)
        empty = {f"seed {seed}": "" for seed in seeds} | ({others: ""} if others else {})
        place = _place(p)
        line = lines.setdefault(place, first | empty | last)
        if p.config.seed in above:
            states.setdefault(place, []).append(p.run in published)
            line[others] = f"{sum(states[place])} of {len(states[place])} published"
            continue
        rows = _done(p, frame)
        cell = Cell(grid.accuracies(rows), map(row_id, rows.to_dict("records"))) if len(rows) else Cell(NOT_RUN)
        line[f"seed {p.config.seed}"] = cell
    begun = _begun(planned, published)
    return frame_of((line for place, line in lines.items() if place in begun), columns=list(next(iter(lines.values()))))


def grid_not_run(planned: Sequence[grid.Planned], frame: pd.DataFrame) -> str:
    """How many runs of each block `grid_table` leaves out, because no seed of their network has been run; as HTML."""
    begun = _begun(planned, set(frame["run"]))
    missing = Counter(p.block for p in planned if _place(p) not in begun)
    listed = ", ".join(f"{block} ({number})" for block, number in missing.items())
    said = f"Runs of networks of which no seed has been run, by block: {escape(listed)}."
    return f'<p class="not-run">{said}</p>' if missing else ""


def _network(planned: grid.Planned) -> tuple[dict[str, str], dict[str, str]]:
    """What the seeds of one network of the grid have in common: the first columns of its line, and the last."""
    config = planned.config
    last = {"width": str(config.width), "share": f"{config.share:g}" if config.share else "–"}
    last |= {"data set": config.dataset, "setting": config.recipe}
    return {"network": config.model, "block": planned.block}, last


def _place(planned: grid.Planned) -> tuple[str, ...]:
    return tuple(value for part in _network(planned) for value in part.values())


def _begun(planned: Sequence[grid.Planned], published: set[str]) -> set[tuple[str, ...]]:
    """The networks of which at least one seed is published."""
    return {_place(p) for p in planned if p.run in published}


def plan(folder: Path | None = None) -> pd.DataFrame:
    """What `make plan WRITE=1` wrote; empty if it has not been run."""
    path = (folder or results_dir()) / "plan.csv"
    return pd.read_csv(path, keep_default_na=False) if path.is_file() else pd.DataFrame()


def plan_table(planned: Sequence[grid.Planned], frame: pd.DataFrame, folder: Path | None = None) -> pd.DataFrame:
    """One line per block: title, runs, how many are published, core hours and GPU hours of the whole block."""
    costs = plan(folder)
    costs = costs.set_index("block") if len(costs) else costs
    counted = dict(zip(costs.index, costs["runs"], strict=True)) if "runs" in costs else {}
    published, titles = set(frame["run"]), grid.titles()
    lines = []
    for block in dict.fromkeys(p.block for p in planned):
        runs = [p for p in planned if p.block == block]
        line = {"block": block, "what": titles[block], "runs": len(runs)}
        line["published"] = sum(p.run in published for p in runs)
        if "precision" in costs:
            line["trained in"] = str(costs.at[block, "precision"]) if block in costs.index else NOT_RUN
        for name, shown in {"core_hours": "core hours", "gpu_hours": "GPU hours"}.items():
            cost = digits(float(costs.at[block, name])) if block in costs.index else NOT_RUN  # type: ignore[arg-type]
            grown = counted.get(block, len(runs)) != len(runs)  # blocks that the grid has gained since
            line[shown] = f"{cost} (counted for {counted[block]} runs)" if grown else cost
        lines.append(line)
    return frame_of(lines)


def plan_caption(folder: Path | None = None) -> str:
    """The hardware on which the costs were measured, and the speed that was stated."""
    costs = plan(folder)
    if costs.empty:
        return f"The cost of each block: {NOT_RUN}."
    first = costs.iloc[0]
    return (
        f"The cost of each block. Core hours: measured on one thread of {first['processor']}, training in the "
        f"precision that the table names, evaluation in fp32, commit {short(first['commit'])}. Blocks in bf16 are "
        "meant for a GPU: a processor without bf16 arithmetic emulates it, which is why their core hours are so many. "
        f"GPU hours: not measured, the operations divided by a stated {first['flops']:g} a second. Small networks "
        "don't come near such a speed, so that these hours are the least that a GPU needs."
    )


def shipped_table(frame: pd.DataFrame) -> pd.DataFrame:
    """The networks in models/, with the rows of their runs: clean and robust accuracy in per cent."""
    lines = []
    for name, path in models.shipped().items():
        run = config_of(load_tensors(path)[1]["config"], name).run
        rows = frame[(frame["run"] == run) & frame["metric"].isin(["accuracy", "accuracy_last"])]
        rows = rows[rows["distortion"].isin(["clean", "pgd-linf"])]
        cell = Cell(grid.accuracies(rows), map(row_id, rows.to_dict("records")))
        lines.append({"network": name, "run": run, "clean / under PGD": cell, "card": f"models/{name}.md"})
    return frame_of(lines)


def convergence_sentence(main: pd.DataFrame, table: pd.DataFrame, least: float = 0.95) -> str:
    """Which networks of a setting have not learnt their task (clean accuracy below `least`), and how they do otherwise.

    main: `cue_table`'s lines of the setting; table: all its lines, among them the same networks with another share.
    """
    if main.empty:
        return f"Convergence: **{NOT_RUN}**."
    short = main[main["accuracy"] < least]
    if short.empty:
        return f"All of these networks have learnt their task: every clean accuracy is at least {least:g}."
    found = []
    for model, some in short.groupby("model"):
        seeds = ", ".join(f"{line['accuracy']:.2f} at seed {line['seed']}" for line in some.to_dict("records"))
        text = f"**{model}** has not converged: its clean accuracy is {seeds}. Its shape bias says little there."
        other = (table["recipe"] == main["recipe"].iloc[0]) & (table["model"] == model)
        for share, more in table[other & ~table["run"].isin(main["run"])].groupby("share"):
            text += (
                f" With {share:g} of its batches adversarial (otherwise as above) its clean accuracy is "
                f"{over_seeds(more, 'accuracy')}, its shape bias {over_seeds(more, 'shape_bias')} at a coverage of "
                f"{over_seeds(more, 'coverage')}."
            )
        found.append(text)
    return "\n\n".join(found)


def unconverged_sentence(rows: pd.DataFrame, least: float = 0.95) -> str:
    """Which runs of the map have a clean accuracy below `least`, in words. rows: of `map_rows`."""
    short = rows[rows["accuracy"] < least].sort_values(["amplitude", "model", "seed"])
    found = [
        f"{line['model']} of seed {line['seed']} at amplitude {line['amplitude']:g} (clean accuracy "
        f"{line['accuracy']:.2f}, coverage {line['coverage']:.2f})"
        for line in short.to_dict("records")
    ]
    if not found:
        return f"Every one of these networks has a clean accuracy of at least {least:g}."
    return f"Not converged, and in the means all the same: {'; '.join(found)}."


# --- What each distortion destroys ------------------------------------------------------------------------------------

DESTROYED_ON = ("shapes", "cifar10", "caltech101")  # data sets of that page, in its order


def every_place() -> list[tuple[str, str]]:
    """(distortion, level) for everything that is done to pictures, in the order of the page's tables."""
    found = [(name, level) for name, distortion in transforms.DISTORTIONS.items() for level in distortion.levels]
    return found + [("stylised", level) for level in style.LEVELS]


def destroyed_table(frame: pd.DataFrame) -> pd.DataFrame:
    """What each distortion leaves of shape and of texture on each data set. frame: of `destroyed.load`."""
    lines = []
    for name, level in (("other", ""), *every_place()):
        line: dict[str, object] = {"distortion": "another picture" if name == "other" else f"{name} {level}"}
        for dataset in DESTROYED_ON:
            for metric in destroyed.METRICS:
                mine = frame[(frame["dataset"] == dataset) & (frame["metric"] == metric)]
                cell = mine[(mine["distortion"] == name) & (mine["level"] == level)]
                line[f"{dataset}: {metric}"] = mean_cell(cell) if name != "stylised" or dataset != "shapes" else "–"
        lines.append(line)
    return frame_of(lines)


def mean_cell(lines: pd.DataFrame) -> Cell:
    """The mean of a line of `destroyed.load` and half the width of its interval."""
    if lines.empty:
        return Cell(NOT_RUN)
    line = lines.iloc[0]
    half = (line["high"] - line["low"]) / 2
    return Cell(f"{line['value']:.2f}\u00a0±\u00a0{half:.2f}", [destroyed.row_id(line)])  # on one line


def destroyed_panels(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """For `plots.kept`: texture (x) and shape (y) that each distortion leaves, by data set."""
    panels = {}
    for dataset in DESTROYED_ON:
        mine = frame[frame["dataset"] == dataset]
        x, y = (
            mine.loc[mine["metric"] == metric, ["distortion", "level", "value"]].rename(columns={"value": axis})
            for metric, axis in (("texture", "x"), ("shape", "y"))
        )
        panels[dataset] = x.merge(y, on=["distortion", "level"])  # in the order of the levels
    return panels


def single_cue_accuracy(frame: pd.DataFrame) -> pd.DataFrame:
    """Accuracy under every distortion of networks that can use one cue alone, on `shapes` at the main amplitude.

    By distortion and level, "clean" first: distortion, level, and for each cue (shape, texture) the runs' rows.
    """
    lines = []
    rows = {}
    for cue in ("shape", "texture"):
        at = setting(f"shapes-{cue}")
        mine = frame[(frame["dataset"] == at.dataset) & (frame["recipe"] == at.recipe) & (frame["model"] == "normal")]
        rows[cue] = mine[mine["metric"] == "accuracy"]
    for name, level in (("clean", ""), *every_place()):
        cells = {cue: r[(r["distortion"] == name) & (r["level"] == level)] for cue, r in rows.items()}
        if name != "stylised":
            lines.append({"distortion": name, "level": level, **cells})
    return pd.DataFrame(lines, dtype=object)


def single_cue_table(found: pd.DataFrame) -> pd.DataFrame:
    """`single_cue_accuracy` for readers: means over seeds with 95 % t-intervals, in per cent."""
    return frame_of(
        {"distortion": f"{line['distortion']} {line['level']}".strip()}
        | {f"{cue} alone": one_cell(line[cue]) for cue in ("shape", "texture")}
        for line in found.to_dict("records")
    )


def single_cue_panel(found: pd.DataFrame) -> pd.DataFrame:
    """For `plots.kept`: mean accuracy of the texture-only (x) and the shape-only networks (y)."""
    points = [
        {"distortion": line["distortion"], "level": line["level"]}
        | {axis: line[cue]["value"].mean() for axis, cue in (("x", "texture"), ("y", "shape"))}
        for line in found.to_dict("records")
    ]
    return pd.DataFrame(points, columns=["distortion", "level", "x", "y"]).dropna()


def proxies_sentence(found: pd.DataFrame, frame: pd.DataFrame) -> str:
    """How well the two measures on pictures predict what single-cue networks can still do, where both are known."""
    guess = destroyed_panels(frame)["shapes"]
    both = single_cue_panel(found).merge(guess, on=["distortion", "level"], suffixes=("_truth", ""))
    if len(both) < 3:
        return f"Whether the two measures follow what single-cue networks can still do: {NOT_RUN}."
    shape, texture = (statistics.spearman(list(both[f"{axis}_truth"]), list(both[axis])) for axis in ("y", "x"))
    return (
        f"Over the {len(both)} distortions and levels, the rank correlation (Spearman) between what the pictures' "
        f"edges keep and the accuracy of the shape-only networks is {shape:.2f}, and between what the local spectra "
        f"keep and the accuracy of the texture-only networks {texture:.2f}."
    )
