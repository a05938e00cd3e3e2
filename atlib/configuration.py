"""What a run is: its parameters, their defaults and checks, and its name, which holds a hash of all of them.

Nothing here imports torch, except where ImageNet weights are named.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from . import registry
from .choices import ATTACKS, BELONGS, CUES, NORMS, NUMBERED, PLAIN, STEMS, UNDERFIT
from .errors import InputError, budget_in_255ths, in_range, nearest, one_of
from .files import RUN_NAME, results_dir, runs_dir

CORRUPTIONS = {"noise": 0.1, "blur": 1.0}  # and their usual sigma
SCHEDULES = ("one-cycle", "steps")
PRECISIONS = ("auto", "fp32", "bf16")
# What a data set is trained with unless the user says otherwise.
DEFAULTS: dict[str, dict[str, object]] = {
    "shapes": {
        "share": 1.0,
        "epochs": 8,
        "batch": 64,
        "lr": 0.1,
        "stem": "3x3-stride2",
        "amplitude": 0.12,
        "cue": "both",
    },
    "cifar10": {"share": 0.5, "epochs": 12, "batch": 128, "lr": 0.1, "stem": "3x3"},
    "tiny-imagenet": {"share": 0.5, "epochs": 10, "batch": 128, "lr": 0.1, "stem": "3x3-stride2"},
    "caltech101": {"share": 0.5, "epochs": 6, "batch": 64, "lr": 0.01, "stem": "7x7"},
    "caltech256": {"share": 0.5, "epochs": 6, "batch": 64, "lr": 0.01, "stem": "7x7"},
    "folder": {"share": 0.5, "epochs": 10, "batch": 64, "lr": 0.01, "stem": "7x7"},
}


@dataclass(frozen=True)
class Config:
    """Everything that decides a run; `resolve` fills it in and checks it.

    Before `resolve`, None means the data set's default, after it, that the parameter does not apply. train.ipynb has a
    comment on every field; what has a unit or a range:
    eps, step_size: in 1/255 for linf, a distance at 224×224 for l2. max_flow: pixels. sigma: the noise's standard
    deviation, in (0, 1]; for blur in pixels at side 32. share: of the batches, those that are adversarial, in (0, 1].
    match: an accuracy in (0, 1], or the run whose accuracy is to be matched. epochs: above 0, also fractions. lr: the
    peak of the learning rate. batch: never more than there are training pictures; an epoch leaves out its last,
    incomplete batch.
    """

    dataset: str = "shapes"
    side: int | None = None
    amplitude: float | None = None
    cue: str | None = None
    attack: str = "pgd"
    norm: str | None = "linf"
    eps: float | None = 8.0
    steps: int | None = 7
    step_size: float | None = None
    random_start: bool | None = False
    tau: float | None = None
    max_flow: float | None = None
    sigma: float | None = None
    share: float | None = None
    match: str | None = None
    width: int = 16
    stem: str | None = None
    weights: str | None = None
    epochs: float | None = None
    batch: int | None = None
    lr: float | None = None
    schedule: str = "one-cycle"
    weight_decay: float = 5e-4
    precision: str = "auto"
    seed: int = 1
    quick: bool = False

    @property
    def model(self) -> str:
        """The paper's name: normal, underfit, fgsm-8, pgd-linf-8, pgd-l2-12, spatial; and noise-0.1, blur-1.

        An underfit network that matches a number instead of a run carries it: underfit-0.8.
        """
        if self.match:
            return UNDERFIT if "/" in self.match else f"{UNDERFIT}-{self.match}"
        return ATTACKS[self.attack].model.format(**vars(self))

    @property
    def recipe(self) -> str:
        """What a network has in common with those that it may be compared with, as a short string."""
        parts = [STEMS[str(self.stem)].recipe, f"side{self.side}", f"e{self.epochs:g}"]
        parts += [f"a{self.amplitude:g}"] if self.amplitude is not None else []
        common = ("cue", "weights", "batch", "lr", "schedule", "weight_decay", "quick")
        usual = USUAL | DEFAULTS[self.dataset.split(":")[0]]
        parts += [f"{name}={getattr(self, name)}" for name in common if getattr(self, name) != usual[name]]
        return "-".join(parts).replace("/", "_")

    @property
    def run(self) -> str:
        """DATASET/MODEL-w16-s1-HASH, the hash over the whole configuration."""
        # Only what applies: a parameter that a later version adds does not rename the runs that lack it.
        applies = {name: value for name, value in vars(self).items() if value is not None and value is not False}
        digest = hashlib.sha256(json.dumps(applies, sort_keys=True).encode()).hexdigest()[:8]
        return f"{registry.slug(self.dataset)}/{self.model}-w{self.width}-s{self.seed}-{digest}"

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return runs_dir() / self.run


USUAL = {field.name: field.default for field in fields(Config)}  # before a data set's own defaults


def of_model(name: str) -> dict[str, object]:
    """The parameters of `resolve` that a model's name stands for: "pgd-l2-12" is attack pgd, norm l2, eps 12.

    The inverse of `Config.model`, except that "underfit" alone doesn't say what it matches. InputError if there is no
    such model.
    """
    if name in PLAIN:
        return dict(PLAIN[name])
    kind, _, number = name.rpartition("-")
    with contextlib.suppress(KeyError, ValueError):
        given, parameter = NUMBERED[kind]
        if name == f"{kind}-{float(number):g}":
            return {**given, parameter: float(number)}
    allowed = ", ".join([*PLAIN, *(f"{kind}-NUMBER" for kind in NUMBERED)])
    known = [*PLAIN, "pgd-l2-12", "noise-0.1", *(f"{kind}-8" for kind in NUMBERED)]
    raise InputError(f"model = {name!r}: must be one of {allowed}{nearest(name, known)}")


def resolve(**given: object) -> Config:
    """The configuration that the given parameters mean, defaults filled in, what does not apply set to None.

    Equal meanings give equal configurations (eps 8 and 8.0). InputError names the first parameter that is unknown or
    out of range, before any work.
    """
    names = [field.name for field in fields(Config)]
    for name in given:
        one_of("parameter", name, names)
    config = Config(**given)  # type: ignore[arg-type]
    _, side = registry.check(config.dataset, config.side)
    kind = config.dataset.split(":")[0]
    if kind == "folder":
        config = replace(config, dataset=f"folder:{registry.folder_path(config.dataset)}")
    usual = DEFAULTS[kind]
    chosen = {name: value if getattr(config, name) is None else getattr(config, name) for name, value in usual.items()}
    config = replace(config, **chosen)  # type: ignore[arg-type]
    config = replace(config, side=side, weights=config.weights or None)
    config = _resolve_cues(config, kind)
    one_of("attack", config.attack, ATTACKS)
    config = _resolve_attack(config)
    one_of("quick", config.quick, (True, False))
    one_of("stem", config.stem, STEMS)
    one_of("schedule", config.schedule, SCHEDULES)
    one_of("precision", config.precision, PRECISIONS)
    in_range("epochs", config.epochs, 0, 10_000, open_low=True)
    in_range("lr", config.lr, 0, 10, open_low=True)
    in_range("weight_decay", config.weight_decay, 0, 1)
    in_range("width", config.width, 1, 1024, whole=True)
    in_range("batch", config.batch, 2, 65_536, whole=True)
    in_range("seed", config.seed, 0, 2**31 - 1, whole=True)
    if config.weights:
        check_start(config.weights, config)
        from . import models  # imports torch, to ask torchvision for its names; all other checks do without it

        models.check_imagenet(config.weights)
    # plain numbers: numpy's can't be written as JSON, on which the run's name depends
    numbers: dict[str, Any] = {name: float(getattr(config, name)) for name in ("epochs", "lr", "weight_decay")}
    for name in ("width", "batch", "seed", "side", "steps"):
        numbers[name] = None if getattr(config, name) is None else int(getattr(config, name))
    return replace(config, **numbers, quick=bool(config.quick))


def _resolve_cues(config: Config, kind: str) -> Config:
    """`amplitude` and `cue` belong to shapes alone."""
    if kind != "shapes":
        for name in ("amplitude", "cue"):
            if getattr(config, name) is not None:
                raise InputError(f"{name} = {getattr(config, name)!r}: only the data set shapes has one")
        return config
    in_range("amplitude", config.amplitude, 0, 0.5)
    one_of("cue", config.cue, CUES)
    return replace(config, amplitude=float(config.amplitude or 0))


def _resolve_attack(config: Config) -> Config:
    """What can't be chosen with the attack is set to None, the rest filled in and checked."""
    mine = ATTACKS[config.attack].parameters
    if config.match and "match" not in mine:
        raise InputError(f"match = {config.match!r}: only with attack none (the underfit control), not {config.attack}")
    config = replace(config, **dict.fromkeys(name for name in BELONGS if name not in mine))  # type: ignore[arg-type]
    if "share" in mine:
        in_range("share", config.share, 0, 1, open_low=True)
        config = replace(config, share=float(config.share or 0))
    return RESOLVE[config.attack](config)


def _resolve_none(config: Config) -> Config:
    return replace(config, match=_resolve_match(config.match, config.dataset))


def _resolve_corruption(config: Config) -> Config:
    sigma = CORRUPTIONS[config.attack] if config.sigma is None else config.sigma
    in_range("sigma", sigma, 0, 1 if config.attack == "noise" else 10, open_low=True)
    return replace(config, sigma=float(sigma))


def _resolve_spatial(config: Config) -> Config:
    tau = 0.05 if config.tau is None else config.tau
    max_flow = 2.0 if config.max_flow is None else config.max_flow
    in_range("tau", tau, 0)
    in_range("max_flow", max_flow, 0, open_low=True)
    in_range("steps", config.steps, 1, 1000, whole=True)
    return replace(config, tau=float(tau), max_flow=float(max_flow))


def _resolve_fgsm(config: Config) -> Config:
    one_of("norm", config.norm, NORMS)
    if config.norm != "linf":
        raise InputError(f"norm = {config.norm!r}: must be linf with attack fgsm, which steps along the sign")
    budget_in_255ths("eps", config.eps, config.norm)
    return replace(config, eps=float(config.eps or 0), steps=1, random_start=False)


def _resolve_pgd(config: Config) -> Config:
    one_of("norm", config.norm, NORMS)
    budget_in_255ths("eps", config.eps, str(config.norm))
    in_range("steps", config.steps, 1, 1000, whole=True)
    if config.step_size is not None:
        budget_in_255ths("step_size", config.step_size, str(config.norm), least=0)
        config = replace(config, step_size=float(config.step_size))
    one_of("random_start", config.random_start, (True, False))
    return replace(config, eps=float(config.eps or 0), random_start=bool(config.random_start))


RESOLVE: dict[str, Callable[[Config], Config]] = {
    "none": _resolve_none,
    "fgsm": _resolve_fgsm,
    "pgd": _resolve_pgd,
    "spatial": _resolve_spatial,
    "noise": _resolve_corruption,
    "blur": _resolve_corruption,
}


def check_start(weights: str, config: Config) -> None:
    """InputError unless a network of this configuration can start from ImageNet weights."""
    if config.width != 64 or config.stem != "7x7":
        raise InputError(f"weights = {weights!r}: ImageNet weights need width 64 and stem 7x7")


def _resolve_match(match: object, dataset: str) -> str | None:
    """A target accuracy as a canonical string, or the run of this data set to match; None for the normal network."""
    if match is None or match == "":
        return None
    if isinstance(match, bool):
        raise InputError(f"match = {match!r}: must be a run under {runs_dir()}, or an accuracy")
    try:
        target = float(match)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        runs = runs_dir().resolve()
        folder = runs / str(match) if trained_elsewhere(str(match)) else find_run(str(match), "match")
        if runs not in folder.parents:
            raise InputError(f"match = {match!r}: must be a run under {runs_dir()}, or an accuracy") from None
        if folder.parent.name != registry.slug(dataset):
            raise InputError(f"match = {match!r}: must be a run on {dataset}, not on {folder.parent.name}") from None
        return folder.relative_to(runs).as_posix()
    in_range("match", target, 0, 1, open_low=True)
    return f"{target:g}"


def config_of(record: dict, where: object) -> Config:
    """The configuration in a run's JSON, as it was resolved (a run that it names may be gone); `where` names the run.

    InputError if another version of atlib wrote it, with parameters that this one doesn't know.
    """
    unknown = sorted(set(record) - {field.name for field in fields(Config)})
    if (attack := record.get("attack", Config.attack)) not in ATTACKS:
        unknown.append(f"attack {attack}")
    if unknown:
        raise InputError(
            f"{where}: made by another version of atlib ({', '.join(unknown)} unknown); use that, or train again"
        )
    return Config(**record)


def find_run(name: str, parameter: str = "run") -> Path:
    """The folder of a finished run, given as a path or as DATASET/RUN; an InputError names `parameter` if it is not.

    A whole name is looked for among the runs first: the working folder may hold an older copy of them.
    """
    places = (Path(name), runs_dir() / name)
    for folder in places[::-1] if RUN_NAME.fullmatch(name) else places:
        if (folder / "training.json").is_file():
            return folder.resolve()
    known = [p.parent.relative_to(runs_dir()).as_posix() for p in runs_dir().glob("*/*/training.json")]
    raise InputError(f"{parameter} = {name!r}: no finished run there or under {runs_dir()}{nearest(name, known)}")


def trained_elsewhere(run: str) -> bool:
    """Whether that is the name of a published run that was trained on another machine, and is not here."""
    here = (runs_dir() / run / "training.json").is_file()
    if here or not RUN_NAME.fullmatch(run):
        return False
    try:
        return (results_dir() / f"{run}.json").is_file()
    except InputError:  # outside a checkout nothing is published
        return False


def dataset_arguments(config: Config) -> dict:
    """The configuration's own arguments of `data.load`, other than name and side."""
    arguments: dict = {} if config.amplitude is None else {"amplitude": config.amplitude, "cue": config.cue}
    if config.quick and config.amplitude is not None:
        arguments |= {"train_count": 500, "test_count": 100, "conflict_count": 90}
    return arguments
