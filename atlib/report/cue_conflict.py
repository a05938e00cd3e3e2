"""Tables and sentences on `shapes`: what networks answer where silhouette and texture contradict each other."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from ..rows import row_id
from . import statistics
from .plots import budget
from .rule import NOT_RUN
from .tables import MODELS, Cell, data_of, frame_of, setting, with_interval


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


def over_seeds(lines: pd.DataFrame, metric: str, digits: int = 2) -> Cell:
    """Mean and 95 % t-interval of one value per seed, or how few seeds there are; "not run" for none.

    lines: of `cue_table`.
    """
    lines = lines[lines[metric].notna()]
    values, ids = list(lines[metric]), list(lines[f"{metric}_row"])
    if not values:
        return Cell(NOT_RUN)
    ends = statistics.t_interval(values)
    mean, low, high = (f"{value:z.{digits}f}".replace("-", "−") for value in (sum(values) / len(values), *ends))
    return Cell(with_interval(mean, low, high, len(values)), ids)


def networks(table: pd.DataFrame) -> pd.DataFrame:
    """The twelve networks on one setting of shapes: means over seeds with t-intervals, in the paper's order."""
    lines = []
    for model in MODELS:
        mine = table[table["model"] == model]
        names = {"accuracy": "clean", "robust": "PGD-40", "shape_bias": "shape bias", "coverage": "coverage"}
        line = {"network": model, "seeds": len(mine)}
        lines.append(line | {shown: over_seeds(mine, column) for column, shown in names.items()})
    return frame_of(lines)


def behind(lines: pd.DataFrame, metrics: Iterable[str], name: str = "figure") -> str:
    """`data_of` a figure whose points are these metrics of lines of `cue_table`."""
    points = [
        {name: line[name] for name in ("model", "amplitude", "seed")}
        | {"metric": metric, "value": float(line[metric]), "rows": (str(line[f"{metric}_row"]),)}
        for metric in metrics
        for line in lines[lines[metric].notna()].to_dict("records")
    ]
    return data_of(pd.DataFrame(points, columns=["model", "amplitude", "seed", "metric", "value", "rows"]), name)


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


def written(amplitude: float) -> str:
    """An amplitude as the page's text writes it: .12."""
    return f"{amplitude:.2f}".lstrip("0")


def amplitude_sentence(cues: pd.DataFrame, main: float) -> str:
    """Which amplitude the rule gives, in words, and what follows if it isn't the main one of claims.yaml."""
    equal = cues.loc[cues["equal"], "amplitude"]
    if equal.empty:
        return f"An amplitude at which shape alone and texture alone are learnt equally well is **{NOT_RUN}**."
    if equal.min() == main:
        return (
            "The smallest amplitude at which shape alone and texture alone are learnt equally well is "
            f"**{written(main)}**, the main one below."
        )
    return (
        "By these rows the smallest amplitude at which shape alone and texture alone are learnt equally well is "
        f"**{written(equal.min())}**. The main one below is {written(main)} all the same: claims.yaml had fixed it "
        "before the first row, by pilots with other settings, and changing it now would be choosing after having "
        "looked. The map shows both."
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
    mean, low, high = (f"{value:+.2f}" for value in (found.mean(), *statistics.t_interval(found)))
    over = f" over {len(found)} seeds" if len(found) > 2 else ""
    return with_interval(mean, low, high, len(found)) + over


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
        f"- amplitude {written(float(str(amplitude)))}: {difference_sentence(some, 'shape_bias')}"
        for amplitude, some in rows.groupby("amplitude")
    ]
    return "Shape bias of PGD 8/255 minus that of normal training:\n\n" + "\n".join(found or [NOT_RUN])


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
        text = f"**{model}** has not converged: its clean accuracy is {seeds}. So its shape bias says little."
        other = (table["recipe"] == main["recipe"].iloc[0]) & (table["model"] == model)
        for share, more in table[other & ~table["run"].isin(main["run"])].groupby("share"):
            text += (
                f" With a share of adversarial batches of {share:g} (otherwise as above) its clean accuracy is "
                f"{over_seeds(more, 'accuracy')}, its shape bias {over_seeds(more, 'shape_bias')} at a coverage of "
                f"{over_seeds(more, 'coverage')}."
            )
        found.append(text)
    return "\n\n".join(found)


def unconverged_sentence(rows: pd.DataFrame, least: float = 0.95) -> str:
    """Which runs of the map have a clean accuracy below `least`, in words. rows: of `map_rows`."""
    short = rows[rows["accuracy"] < least].sort_values(["amplitude", "model", "seed"])
    found = [
        f"{line['model']} of seed {line['seed']} at amplitude {written(line['amplitude'])} (clean accuracy "
        f"{line['accuracy']:.2f}, coverage {line['coverage']:.2f})"
        for line in short.to_dict("records")
    ]
    if not found:
        return f"Every one of these networks has a clean accuracy of at least {least:g}."
    one = len(found) == 1
    who, whose, what = ("One network", "its", "it") if one else (f"{len(found)} networks", "their", "them")
    return f"{who} did not learn {whose} task: {'; '.join(found)}. We kept {what} in the figure and in the means."
