"""The report's tables and the numbers of its prose, made from published rows alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from . import results
from .files import REPOSITORY, read_json, results_dir
from .plots import budget

PAPER = REPOSITORY / "book" / "paper.csv"
# Table 1's order, then what the paper only mentions.
MODELS = (
    "pgd-linf-8", "pgd-linf-4", "pgd-linf-2", "pgd-linf-1", "pgd-l2-12", "pgd-l2-8", "pgd-l2-4",
    "fgsm-8", "fgsm-4", "normal", "underfit", "spatial",
)  # fmt: skip
PENDING = "pending"
ONE_SEED = "one seed"


def records(folder: Path | None = None) -> dict[str, dict]:
    """Configuration, training and evaluation of every published run, by its name."""
    folder = folder or results_dir()
    found = {}
    for path in sorted(folder.glob("*/*.json")):
        run = path.relative_to(folder).with_suffix("").as_posix()
        if results.RUN_NAME.fullmatch(run):
            found[run] = read_json(path)
    return found


def cue_table(frame: pd.DataFrame, about: dict[str, dict]) -> pd.DataFrame:
    """One line a run on shapes: model, seed, amplitude, cue, budget, recipe, accuracy, robust, shape_bias, coverage."""
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
        values = {(row["distortion"], row["metric"]): row["value"] for row in group.to_dict("records")}
        config = about[str(run)]["config"]
        line = {"run": run, "model": group["model"].iloc[0], "seed": group["seed"].iloc[0]}
        line |= {name: config[name] for name in ("amplitude", "cue")}
        line |= {"budget": budget(config), "recipe": group["recipe"].iloc[0]}
        lines.append(line | {name: values.get(key, float("nan")) for key, name in wanted.items()})
    columns = ["run", "model", "seed", "amplitude", "cue", "budget", "recipe", *wanted.values()]
    return pd.DataFrame(lines, columns=columns)


def percent(value: float, digits: int = 1) -> str:
    """A fraction as a percentage, without the sign."""
    return f"{100 * value:.{digits}f}"


def over_seeds(values: Iterable[float], digits: int = 2) -> str:
    """Mean and 95 % t-interval of one value a seed; the value and "one seed" for a single one; "pending" for none."""
    values = [value for value in values if value == value]
    if not values:
        return PENDING
    if len(values) == 1:
        return f"{values[0]:.{digits}f} ({ONE_SEED})"
    low, high = results.t_interval(values)
    return f"{sum(values) / len(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def networks(table: pd.DataFrame) -> pd.DataFrame:
    """The twelve networks on one setting of shapes: means over seeds with t-intervals, in the paper's order."""
    lines = []
    for model in MODELS:
        mine = table[table["model"] == model]
        names = {"accuracy": "clean", "robust": "PGD-40", "shape_bias": "shape bias", "coverage": "coverage"}
        line = {"network": model, "seeds": len(mine)}
        lines.append(line | {shown: over_seeds(mine[column]) for column, shown in names.items()})
    return pd.DataFrame(lines)


def paper() -> pd.DataFrame:
    """Table 1 of the paper: dataset, model, metric (clean, robust), value as a fraction."""
    return pd.read_csv(PAPER)


def table_1(frame: pd.DataFrame, about: dict[str, dict], dataset: str) -> pd.DataFrame:
    """The paper's Table 1 on one data set beside this repository's rows, one line for each of our settings.

    Percentages. A single seed has Wilson's interval over its images, several the t-interval over seeds. l_2 networks of
    CIFAR-10 get no difference: the paper's unit there is unknown.
    """
    theirs = paper().set_index(["dataset", "model", "metric"])["value"]
    lines = []
    for model in MODELS:
        mine = frame[(frame["dataset"] == dataset) & (frame["model"] == model)]
        groups = [group for _, group in mine.groupby(["width", "recipe", "share"])] or [mine]
        for group in groups:
            line = {"network": model}
            for name, place in {"clean": ("clean", "accuracy"), "robust": ("pgd-linf", "accuracy_last")}.items():
                value = float(theirs.get((dataset, model, name), float("nan")))
                cell = group[(group["distortion"] == place[0]) & (group["metric"] == place[1])]
                difference = cell["value"].mean() - value
                unknown = difference != difference or (dataset == "cifar10" and "-l2-" in model)
                line[f"{name}: paper"] = "–" if value != value else percent(value, 2)
                line[f"{name}: ours"] = one_cell(cell)
                line[f"{name}: difference"] = "–" if unknown else f"{100 * difference:+.1f}"
            lines.append(line | setting_of(group, about))
    return pd.DataFrame(lines)


def one_cell(rows: pd.DataFrame) -> str:
    """A cell's percentage with its interval: Wilson's within one run, Student's over seeds."""
    if rows.empty:
        return PENDING
    if len(rows) == 1:
        low, high = results.wilson(int(rows["count"].iloc[0]), int(rows["total"].iloc[0]))
    else:
        low, high = results.t_interval(rows["value"])
    return f"{percent(rows['value'].mean(), 2)} [{percent(low)}, {percent(high)}]"


def setting_of(rows: pd.DataFrame, about: dict[str, dict]) -> dict[str, str]:
    """Width, epochs, attack steps, share, seeds, training time and hardware of one setting's runs, as text."""
    if rows.empty:
        return dict.fromkeys(("width", "epochs", "steps", "share", "seeds", "trained on", "run"), "–")
    runs = sorted(rows["run"].unique())
    first = about[runs[0]]
    config, training = first["config"], first["training"]
    hardware = training["hardware"]
    place = hardware.get("gpu") or f"{hardware['processor']}, {hardware['threads']} thread(s)"
    number = rows["seed"].nunique()
    return {
        "width": str(config["width"]),
        "epochs": f"{config['epochs']:g}",
        "steps": "–" if config["steps"] is None else str(config["steps"]),
        "share": "–" if not config["share"] else f"{config['share']:g}",
        "seeds": ONE_SEED if number == 1 else f"{number} seeds",
        "trained on": f"{place}, {training['precision']}, {training['seconds'] / 60:.0f} min",
        "run": ", ".join(runs),
    }


def html(table: pd.DataFrame, caption: str) -> str:
    """A table as HTML with its caption; wide ones scroll by themselves, so that a page never does."""
    names = "names" if table.columns[0] == "network" else ""  # a network's name never breaks, a sentence may
    body = table.to_html(index=False, border=0, classes=["rows", names], na_rep="–")
    body = body.replace("<thead>", f"<caption>{caption}</caption>\n<thead>", 1)
    return f'<div class="rows-scroll" tabindex="0" role="region" aria-label="table">\n{body}\n</div>'


def judged(ids: Iterable[str], frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """The verdicts on some claims on one data set: claim, seeds, effect with interval, smallest effect, verdict."""
    found = results.verdicts(frame)
    texts = {claim.id: claim.claim for claim in results.load_claims().claims}
    lines = []
    for name in ids:
        row = found[(found["id"] == name) & (found["dataset"] == dataset)].iloc[0]
        effect = PENDING
        if len(row["values"]) == 1:
            effect = f"{row['effect']:+.3f} ({ONE_SEED})"
        elif len(row["values"]):
            effect = f"{row['effect']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        lines.append(
            {
                "claim": texts[name],
                "seeds": len(row["values"]),
                "effect, 95 % interval": effect,
                "smallest that counts": f"{row['smallest_effect']:g}",
                "verdict": row["verdict"],
            }
        )
    return pd.DataFrame(lines)


def setting(name: str) -> results.Setting:
    """The main setting of a data set, from claims.yaml."""
    return results.load_claims().settings[name]


def single_cues(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of the networks that can use one cue alone, by amplitude, and whether both are learnt equally well."""
    alone = table[(table["cue"] != "both") & (table["model"] == "normal")]
    lines = []
    for amplitude, some in alone.groupby("amplitude"):
        found = {cue: some.loc[some["cue"] == cue, "accuracy"] for cue in ("shape", "texture")}
        line = {"amplitude": amplitude, "shape alone": over_seeds(found["shape"], 3)}
        line |= {"texture alone": over_seeds(found["texture"], 3)}
        shape, texture = found["shape"].mean(), found["texture"].mean()
        lines.append(line | {"equal": bool(min(shape, texture) >= 0.97 and abs(shape - texture) <= 0.01)})
    return pd.DataFrame(lines, columns=["amplitude", "shape alone", "texture alone", "equal"])


def amplitude_sentence(cues: pd.DataFrame, main: float) -> str:
    """Which amplitude the rule gives, in words, and what follows if it isn't the main one of claims.yaml."""
    equal = cues.loc[cues["equal"], "amplitude"]
    if equal.empty:
        return f"An amplitude at which both are learnt equally well is **{PENDING}**."
    if equal.min() == main:
        return f"The smallest amplitude at which both are learnt equally well is **{main:g}**: the main one below."
    return (
        f"By these rows the smallest amplitude at which both are learnt equally well is **{equal.min():g}**. The main "
        f"one below is {main:g} all the same: claims.yaml had fixed it before the first row, by pilots with other "
        "settings, and changing it now would be choosing after having looked. The map shows both."
    )


def difference_sentence(values: pd.DataFrame, metric: str) -> str:
    """pgd-linf-8 minus normal, seed by seed, in words."""
    wide = values.pivot_table(index="seed", columns="model", values=metric)
    if not {"normal", "pgd-linf-8"} <= set(wide.columns):
        return PENDING
    difference = (wide["pgd-linf-8"] - wide["normal"]).dropna()
    if len(difference) < 2:
        return f"{difference.mean():+.2f} ({ONE_SEED})"
    low, high = results.t_interval(difference)
    return f"{difference.mean():+.2f} [{low:+.2f}, {high:+.2f}] over {len(difference)} seeds"


def bias_sentence(main: pd.DataFrame) -> str:
    """The paired difference in shape bias between PGD 8/255 and normal training, in words."""
    means = main.groupby("model")["shape_bias"].mean()
    if not {"normal", "pgd-linf-8"} <= set(means.index):
        return f"Normal training against PGD 8/255: **{PENDING}**."
    return (
        f"Normal networks answer by shape in **{means['normal']:.2f}** of the decided cases, those trained against PGD "
        f"8/255 in **{means['pgd-linf-8']:.2f}**. Seed by seed the difference is "
        f"{difference_sentence(main, 'shape_bias')}."
    )


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
            coverage = f" ({cell['coverage'].mean():.2f})" if len(cell) else ""
            line["normal" if eps == 0 else f"{eps}/255"] = over_seeds(cell["shape_bias"]) + coverage
        lines.append(line)
    return pd.DataFrame(lines)


def map_sentence(table: pd.DataFrame) -> str:
    """What PGD 8/255 training does to the shape bias at each amplitude, in words."""
    rows = map_rows(table)
    found = [
        f"- amplitude {amplitude:g}: {difference_sentence(some, 'shape_bias')}"
        for amplitude, some in rows.groupby("amplitude")
    ]
    return "Shape bias of PGD 8/255 minus that of normal training:\n\n" + "\n".join(found or [PENDING])


def underfit_sentence(about: dict[str, dict], dataset: str) -> str:
    """How near each underfit control came to its target, in words."""
    found = [
        f"The underfit control of seed {record['config']['seed']} is the normal network's checkpoint at epoch "
        f"{record['training']['epoch']:.2f}: its accuracy on the hold-out is "
        f"{percent(record['training']['holdout_accuracy'])} % against the target's "
        f"{percent(record['training']['target'])} %, a gap of {100 * record['training']['gap']:+.2f} points."
        for record in about.values()
        if record["training"]["model"] == "underfit" and record["config"]["dataset"] == dataset
    ]
    return "\n\n".join(found or [f"The underfit control is {PENDING}."])


def answer_so_far(frame: pd.DataFrame, about: dict[str, dict], main: pd.DataFrame) -> str:
    """The front page's summary, in words."""
    seeds = results.verdicts(frame)
    decided = seeds[(seeds["dataset"] == "shapes") & (seeds["id"] == "shape-bias")]["verdict"].iloc[0]
    claim = f"That adversarial training moves a network towards shape: **{decided}** on generated pictures."
    at = setting("cifar10")
    rows = frame[(frame["width"] == at.width) & (frame["recipe"] == at.recipe)]
    table = table_1(rows, about, "cifar10").set_index("network")

    def cells(model: str, whose: str) -> str:
        clean, robust = (table.loc[[model], f"{name}: {whose}"].iloc[0] for name in ("clean", "robust"))
        return f"{clean} clean and {robust} under PGD"

    cifar = "On CIFAR-10, in per cent: " + "; ".join(
        f"{name} {cells(model, 'ours')} (width {at.width}; the paper: {cells(model, 'paper')})"
        for model, name in {"normal": "normal training", "pgd-linf-8": "PGD 8/255"}.items()
    )
    return "\n\n".join([f"{claim} {bias_sentence(main)}", cifar + "."])


def verdict_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """How many claims hold, don't hold, are mixed or pending, overall and on each data set where they were judged."""
    found = results.verdicts(frame)
    counts = pd.crosstab(found["dataset"], found["verdict"]).reindex(columns=list(results.VERDICTS), fill_value=0)
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
        return pd.DataFrame({"what": [PENDING]})
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
    """On what, how often and with what the benchmark was run, in words."""
    rows = bench(folder)
    if rows.empty:
        return f"The benchmark is **{PENDING}**."
    first = rows.iloc[0]
    return (
        f"Medians of {first['rounds']} rounds in CPU seconds of one thread on {first['processor']}, where bf16 is "
        f"{first['bf16']}; torch {first['torch']}, torchattacks {first['torchattacks']}, foolbox {first['foolbox']}, "
        f"commit `{first['commit'][:12]}`."
    )
