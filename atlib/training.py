"""One training run: its configuration, its folder, its weights.

A run is named after its whole configuration, trains once, checkpoints at least every minute and, stopped at any
moment, goes on where it was: every draw depends on the seed and the step alone, so that on one machine an
interrupted run ends with the same weights, bit for bit, as one left alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from . import attacks, data, models, provenance, transforms
from .errors import InputError, in_range, nearest, one_of
from .files import (
    RUN_NAME,
    hold,
    load_tensors,
    read_json,
    results_dir,
    runs_dir,
    save_tensors,
    tensor_digest,
    writable,
    write_json,
)
from .shapes import CUES

ATTACKS = ("none", "fgsm", "pgd", "spatial", "noise", "blur")  # the last two are controls, not attacks
CORRUPTIONS = {"noise": 0.1, "blur": 1.0}  # and their usual sigma
SCHEDULES = ("one-cycle", "steps")
PRECISIONS = ("auto", "fp32", "bf16")
CHECKPOINT_SECONDS = 30.0
LOOKS_PER_EPOCH = 4  # how often a network without an attack is looked at, for the underfit control
QUICK_PGD = 256  # hold-out images for the PGD accuracy printed after each epoch
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
    """Everything that decides a run; `resolve` fills in and checks it. None: does not apply."""

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
        if self.attack == "none":
            number = self.match and "/" not in self.match
            return f"underfit-{self.match}" if number else "underfit" if self.match else "normal"
        if self.attack in CORRUPTIONS:
            return f"{self.attack}-{self.sigma:g}"
        if self.attack == "spatial":
            return "spatial"
        return f"fgsm-{self.eps:g}" if self.attack == "fgsm" else f"pgd-{self.norm}-{self.eps:g}"

    @property
    def recipe(self) -> str:
        """What a network has in common with those that it may be compared with, as a short string."""
        stem = {"3x3": "stride1", "3x3-stride2": "stride2", "7x7": "stem7"}[str(self.stem)]
        parts = [stem, f"side{self.side}", f"e{self.epochs:g}"]
        parts += [f"a{self.amplitude:g}"] if self.amplitude is not None else []
        common = ("cue", "weights", "batch", "lr", "schedule", "weight_decay", "quick")
        usual = {field.name: field.default for field in fields(self)} | DEFAULTS[self.dataset.split(":")[0]]
        parts += [f"{name}={getattr(self, name)}" for name in common if getattr(self, name) != usual[name]]
        return "-".join(parts).replace("/", "_")

    @property
    def run(self) -> str:
        """DATASET/MODEL-w16-s1-HASH, the hash over the whole configuration."""
        # Only what applies: a parameter that a later version adds does not rename the runs that lack it.
        applies = {name: value for name, value in asdict(self).items() if value is not None and value is not False}
        digest = hashlib.sha256(json.dumps(applies, sort_keys=True).encode()).hexdigest()[:8]
        return f"{data.slug(self.dataset)}/{self.model}-w{self.width}-s{self.seed}-{digest}"

    @property
    def folder(self) -> Path:
        """Where the run lives."""
        return runs_dir() / self.run


def of_model(name: str) -> dict[str, object]:
    """The parameters of `resolve` that a model's name stands for: "pgd-l2-12" is attack pgd, norm l2, eps 12.

    The inverse of `Config.model`, except that "underfit" alone doesn't say what it matches. InputError if there is no
    such model.
    """
    plain: dict[str, dict[str, object]] = {
        "normal": {"attack": "none"},
        "underfit": {"attack": "none"},
        "spatial": {"attack": "spatial"},
    }
    if name in plain:
        return plain[name]
    kind, _, number = name.rpartition("-")
    kinds: dict[str, tuple[dict[str, object], str]] = {
        "pgd-linf": ({"attack": "pgd", "norm": "linf"}, "eps"),
        "pgd-l2": ({"attack": "pgd", "norm": "l2"}, "eps"),
        "fgsm": ({"attack": "fgsm"}, "eps"),
        "noise": ({"attack": "noise"}, "sigma"),
        "blur": ({"attack": "blur"}, "sigma"),
        "underfit": ({"attack": "none"}, "match"),
    }
    with contextlib.suppress(KeyError, ValueError):
        fixed, parameter = kinds[kind]
        if name == f"{kind}-{float(number):g}":
            return fixed | {parameter: float(number)}
    allowed = ", ".join([*plain, *(f"{kind}-NUMBER" for kind in kinds)])
    known = [*plain, "pgd-linf-8", "pgd-l2-12", "fgsm-8", "noise-0.1", "blur-1"]
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
    _, side = data.check(config.dataset, config.side)
    kind = config.dataset.split(":")[0]
    usual = DEFAULTS[kind]
    chosen = {name: value if getattr(config, name) is None else getattr(config, name) for name, value in usual.items()}
    config = replace(config, **chosen)  # type: ignore[arg-type]
    config = replace(config, side=side, weights=config.weights or None)
    config = _resolve_cues(config, kind)
    one_of("attack", config.attack, ATTACKS)
    config = _resolve_attack(config)
    one_of("stem", config.stem, models.STEMS)
    one_of("schedule", config.schedule, SCHEDULES)
    one_of("precision", config.precision, PRECISIONS)
    in_range("epochs", config.epochs, 0, 10_000, open_low=True)
    in_range("lr", config.lr, 0, 10, open_low=True)
    in_range("weight_decay", config.weight_decay, 0, 1)
    in_range("width", config.width, 1, 1024, whole=True)
    in_range("batch", config.batch, 2, 65_536, whole=True)
    in_range("seed", config.seed, 0, 2**31 - 1, whole=True)
    if config.weights:
        models.check_imagenet(config.weights)
        if config.width != 64 or config.stem != "7x7":
            raise InputError(f"weights = {config.weights!r}: ImageNet weights need width 64 and stem 7x7")
    numbers = {name: float(getattr(config, name)) for name in ("epochs", "lr", "weight_decay")}
    return replace(config, **numbers, quick=bool(config.quick))  # type: ignore[arg-type]


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
    absent: dict[str, object] = dict.fromkeys(("norm", "eps", "step_size", "random_start", "tau", "max_flow", "sigma"))
    if config.attack == "none":
        return replace(config, **absent, steps=None, share=None, match=_resolve_match(config.match, config.dataset))  # type: ignore[arg-type]
    if config.match:
        raise InputError(f"match = {config.match!r}: only with attack none (the underfit control), not {config.attack}")
    in_range("share", config.share, 0, 1, open_low=True)
    config = replace(config, match=None, share=float(config.share or 0))
    if config.attack in CORRUPTIONS:
        sigma = CORRUPTIONS[config.attack] if config.sigma is None else config.sigma
        in_range("sigma", sigma, 0, 1 if config.attack == "noise" else 10, open_low=True)
        return replace(config, **(absent | {"sigma": float(sigma), "steps": None}))  # type: ignore[arg-type]
    if config.attack == "spatial":
        flow = {"tau": 0.05 if config.tau is None else config.tau}
        flow["max_flow"] = 2.0 if config.max_flow is None else config.max_flow
        in_range("tau", flow["tau"], 0)
        in_range("max_flow", flow["max_flow"], 0, open_low=True)
        in_range("steps", config.steps, 1, 1000, whole=True)
        return replace(config, **(absent | {name: float(value) for name, value in flow.items()}))  # type: ignore[arg-type]
    one_of("norm", config.norm, attacks.NORMS)
    if config.attack == "fgsm" and config.norm != "linf":
        raise InputError(f"norm = {config.norm!r}: fgsm steps along the sign and is linf only")
    in_range("eps", config.eps, 0, 255, open_low=True)
    config = replace(config, eps=float(config.eps or 0), tau=None, max_flow=None, sigma=None)
    if config.attack == "fgsm":
        return replace(config, steps=1, step_size=None, random_start=False)
    in_range("steps", config.steps, 1, 1000, whole=True)
    if config.step_size is not None:
        in_range("step_size", config.step_size, 0, 255, open_low=True)
        config = replace(config, step_size=float(config.step_size))
    one_of("random_start", config.random_start, (True, False))
    return replace(config, random_start=bool(config.random_start))


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
        folder = runs / str(match) if _published(str(match)) else find_run(str(match), "match")
        if runs not in folder.parents:
            raise InputError(f"match = {match!r}: must be a run under {runs_dir()}, or an accuracy") from None
        if folder.parent.name != data.slug(dataset):
            raise InputError(f"match = {match!r}: must be a run on {dataset}, not on {folder.parent.name}") from None
        return folder.relative_to(runs).as_posix()
    in_range("match", target, 0, 1, open_low=True)
    return f"{target:g}"


def config_of(record: dict, where: object) -> Config:
    """The configuration in a run's JSON, as it was resolved (a run that it names may be gone); `where` names the run.

    InputError if another version of atlib wrote it, with parameters that this one doesn't know.
    """
    unknown = sorted(set(record) - {field.name for field in fields(Config)})
    if unknown:
        raise InputError(
            f"{where}: made by another version of atlib ({', '.join(unknown)} unknown); use that, or train again"
        )
    return Config(**record)


def find_run(name: str, parameter: str = "run") -> Path:
    """The folder of a finished run, given as a path or as DATASET/RUN; an InputError names `parameter` if it is not."""
    for folder in (Path(name), runs_dir() / name):
        if (folder / "training.json").is_file():
            return folder.resolve()
    known = [p.parent.relative_to(runs_dir()).as_posix() for p in runs_dir().glob("*/*/training.json")]
    raise InputError(f"{parameter} = {name!r}: no finished run there or under {runs_dir()}{nearest(name, known)}")


def device_of_choice() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def inputs_of(dataset: data.Dataset) -> dict[str, str]:
    """What a record says of a run's data: where it came from, and a digest of the pictures and labels to train on."""
    return {"data": dataset.source, "pictures_digest": tensor_digest(dataset.train._asdict())}


def other_pictures(config: Config, recorded: Mapping, found: Mapping) -> bool:
    """Whether a run's record or checkpoint speaks of other training pictures than `inputs_of` found now.

    Records of before 2026-11-27 have no digest; of them only a folder's are compared, by their source: what lies in a
    folder can change under its name, while any other data set has one content in whatever file it came.
    """
    if config.dataset == "shapes":
        # Generated anew on every machine, and rounded as its processor rounds: of the 43 published runs with textures
        # of contrast .12, 42 saw the pictures of an AMD EPYC, one those of an Intel Xeon, whose digest is another.
        return False
    if "pictures_digest" in recorded:
        return recorded["pictures_digest"] != found["pictures_digest"]
    sources = [inputs["data"].rpartition(" sha256 ")[2] for inputs in (recorded, found)]
    return config.dataset.startswith("folder:") and sources[0] != sources[1]


def stated(inputs: Mapping) -> str:
    """A run's data and initial weights in words, for an error's line."""
    digest = inputs.get("pictures_digest")
    parts = [inputs["data"], f"training pictures {digest[:12]}" if digest else "", inputs.get("initial", "")]
    return ", ".join(filter(None, parts))


def build(config: Config, classes: int) -> tuple[models.ResNet18, dict, str]:
    """The run's network before training, the arguments that build it again, and where its weights came from, if any."""
    architecture: dict = {"classes": classes, "width": config.width, "stem": config.stem}
    model = models.resnet18(**architecture, seed=config.seed)
    return model, architecture, models.load_imagenet(model, config.weights) if config.weights else ""


def learning_rate(config: Config, progress: float) -> float:
    """At `progress` in [0, 1]. one-cycle: up over 30 %, then down a cosine.

    steps: the released code's 10, 6 and 4 epochs of 20, each at a tenth of the rate before.
    """
    lr = config.lr or 0
    if config.schedule == "one-cycle":
        if progress < 0.3:
            return lr * (0.04 + 0.96 * progress / 0.3)
        return lr * max(1e-4, 0.5 + 0.5 * math.cos(math.pi * (progress - 0.3) / 0.7))
    return lr * (1.0 if progress < 0.5 else 0.1 if progress < 0.8 else 0.01)


def is_adversarial(step: int, share: float) -> bool:
    """Whether the batch of this step is adversarial: whole batches, evenly spread (.5: every other)."""
    return math.floor((step + 1) * share) > math.floor(step * share)


def perturb(
    config: Config, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """The run's own attack on a batch, with batch norm folded: it runs in evaluation mode, and a quarter faster.

    For the controls, the run's noise or blur.
    """
    if config.attack in CORRUPTIONS:
        assert config.sigma is not None
        if config.attack == "noise":
            return transforms.noise(images, config.sigma, generator)
        return transforms.blur(images, config.sigma)
    model = models.fold(model)
    if config.attack == "spatial":
        assert config.steps
        assert config.tau is not None
        assert config.max_flow is not None
        return attacks.spatial(
            model, images, labels, tau=config.tau, max_flow=config.max_flow, steps=config.steps,
            step_size=2.5 * config.max_flow / config.steps,
        )  # fmt: skip
    return attacks.pgd(model, images, labels, **pgd_arguments(config, images.shape[-1]), generator=generator)


def pgd_arguments(config: Config, side: int) -> dict:
    """The run's FGSM or PGD as arguments of `attacks.pgd`, in [0, 1] pixels."""
    assert config.eps is not None
    assert config.steps is not None
    norm = config.norm or "linf"
    eps = attacks.budget(norm, config.eps, side)
    step = None if config.step_size is None else attacks.budget(norm, config.step_size, side)
    step = eps if config.attack == "fgsm" else step
    return {
        "eps": eps,
        "norm": norm,
        "steps": config.steps,
        "step_size": step,
        "random_start": config.random_start,
    }


def precision_on(device: torch.device, asked: str = "auto") -> str:
    """The precision that a run begins to train in: the one asked for; for "auto", bf16 on a GPU and fp32 on a CPU.

    A run that is resumed keeps the precision of its checkpoint. training.json records what was used: before
    2026-11-27, "auto" was whichever took less time on the machine, so published runs that a CPU trained have bf16.
    """
    if asked != "auto":
        return asked
    return "bf16" if device.type == "cuda" else "fp32"


@torch.no_grad()
def accuracy(model: nn.Module, split: data.Split, side: int, device: torch.device, batch: int = 500) -> float:
    """Share of a split that the network gets right, in evaluation mode."""
    right = 0
    with attacks.frozen(model):
        for images, labels in zip(split.images.split(batch), split.labels.split(batch), strict=True):
            logits = model(data.prepare(images.to(device), side))
            right += int((logits.argmax(1).cpu() == labels.cpu()).sum())
    return right / len(split.labels)


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the run's folder: a second process that wants it gets one line. The hold ends with the process, however."""
    with hold(folder / "lock", str(os.getpid()), f"{folder}: already in use by process"):
        yield


class Run:
    """The state of one training: model, momentum, step, log; saved and restored as one file."""

    def __init__(self, config: Config, dataset: data.Dataset, device: torch.device) -> None:
        self.config, self.dataset, self.device = config, dataset, device
        model, self.architecture, weights = build(config, len(dataset.classes))
        self.inputs = inputs_of(dataset) | ({"initial": weights} if weights else {})
        self.model = model.to(device)
        self.optimiser = torch.optim.SGD(
            self.model.parameters(), lr=config.lr or 0, momentum=0.9, weight_decay=config.weight_decay
        )
        self.images, self.labels = dataset.train.images.to(device), dataset.train.labels.to(device)
        self.batch_size = min(int(config.batch or 0), len(self.labels))
        self.steps_per_epoch = len(self.labels) // self.batch_size
        self.total = max(1, round(self.steps_per_epoch * (config.epochs or 0)))
        if config.share and math.floor(self.total * config.share) == 0:
            raise InputError(f"share = {config.share:g}: must be at least 1/{self.total}, or no batch is adversarial")
        self.step, self.seconds = 0, 0.0
        self.log: list[dict] = []
        self.looks: list[dict] = []
        self.path = config.folder / "checkpoint.safetensors"
        if self.path.exists():
            self.restore()
        else:
            self.precision = precision_on(device, config.precision)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The augmented images and labels of a step, drawn from the seed and the step alone."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
        chosen = torch.randperm(len(self.labels), generator=order)[place * self.batch_size :][: self.batch_size]
        chosen = chosen.to(self.device)
        draws = self.generator(step)
        images = data.augment(self.images[chosen], self.dataset.augmentation, int(self.config.side or 0), draws)
        return images.contiguous(memory_format=torch.channels_last), self.labels[chosen]

    def generator(self, step: int) -> torch.Generator:
        # torch's generator takes the lower 32 bits of its seed alone, so that runs have to be set apart within them; by
        # a multiple of the golden ratio, which keeps them far from each other. (Seed 1 is as it was before that.)
        return torch.Generator().manual_seed(((self.config.seed - 1) * 0x9E3779B1 + step) % 2**32)

    def advance(self) -> tuple[bool, float]:
        """One step; whether its batch was adversarial, and its loss."""
        images, labels = self.batch(self.step)
        adversarial = is_adversarial(self.step, self.config.share or 0)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            if adversarial:
                images = perturb(self.config, self.model, images, labels, self.generator(self.step))
            self.model.train()
            logits = self.model(images)
        loss = F.cross_entropy(logits.float(), labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.param_groups[0]["lr"] = learning_rate(self.config, self.step / self.total)
        self.optimiser.step()
        self.step += 1
        value = float(loss.detach())
        if not math.isfinite(value):
            raise InputError(f"lr = {self.config.lr:g}: the loss became {value} at step {self.step}; use a smaller one")
        return adversarial, value

    def save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            momentum = self.optimiser.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{name}"] = momentum
        meta = {"step": self.step, "seconds": self.seconds, "log": self.log, "looks": self.looks}
        meta |= {"precision": self.precision, "run": self.config.run, "inputs": self.inputs}
        save_tensors(self.path, tensors, meta)

    def restore(self) -> None:
        try:
            tensors, meta = load_tensors(self.path)
        except InputError as error:
            raise InputError(f"{error}; delete it to start again") from None
        if meta.get("run") != self.config.run:
            raise InputError(f"{self.path}: belongs to {meta.get('run')}, not here; delete it to start again")
        begun = meta.get("inputs", self.inputs)  # checkpoints of before 2026-11-26 don't have it
        other_weights = begun.get("initial") != self.inputs.get("initial")
        if other_weights or other_pictures(self.config, begun, self.inputs):
            raise InputError(
                f"{self.path}: begun with {stated(begun)}, not with {stated(self.inputs)}; "
                "put that back, or delete the checkpoint to start again"
            )
        self.model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
        for name, parameter in self.model.named_parameters():
            if f"momentum.{name}" in tensors:
                self.optimiser.state[parameter]["momentum_buffer"] = tensors[f"momentum.{name}"].to(self.device)
        self.step, self.seconds, self.log, self.looks = (meta[k] for k in ("step", "seconds", "log", "looks"))
        self.precision = meta["precision"]

    def look(self) -> None:
        """Keep a half-precision snapshot with its hold-out accuracy: what an underfit control is chosen from."""
        found = accuracy(self.model, self.dataset.holdout, int(self.config.side or 0), self.device)
        name = f"looks/{self.step:06d}.safetensors"
        self.looks.append({"epoch": self.step / self.steps_per_epoch, "accuracy": found, "weights": name})
        meta = {"architecture": self.architecture, "config": asdict(self.config)}
        models.save(self.config.folder / name, self.model, meta)

    def report(self, losses: dict[bool, list[float]], images_per_second: float) -> str:
        """Measure the network on the hold-out, add a line to the log, and return it as text."""
        side = int(self.config.side or 0)
        clean = accuracy(self.model, self.dataset.holdout, side, self.device)
        linf = self.config.norm == "linf" and self.config.eps
        eps = float(linf or 8.0)
        images = data.prepare(self.dataset.holdout.images[:QUICK_PGD].to(self.device), side)
        labels = self.dataset.holdout.labels[:QUICK_PGD].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            left = attacks.robustness(self.model, images, labels, eps=eps / 255, steps=10, drop_fooled=True).always
        mean = {kind: sum(v) / len(v) if v else None for kind, v in losses.items()}
        line = {
            "epoch": round(self.step / self.steps_per_epoch, 3),
            "loss_clean": mean[False],
            "loss_adversarial": mean[True],
            "accuracy": clean,
            "pgd_accuracy": float(left.float().mean()),
            "pgd_eps": eps,
            "images_per_second": round(images_per_second, 1),
        }
        self.log.append(line)
        return describe(line, self.config, (self.total - self.step) * self.seconds / max(1, self.step))


def describe(line: dict, config: Config, seconds_left: float) -> str:
    """A line of the log as text."""

    def shown(value: float | None) -> str:
        return "  –  " if value is None else f"{value:5.3f}"

    return (
        f"epoch {line['epoch']:5.2f}/{config.epochs:g}  loss clean {shown(line['loss_clean'])} adversarial "
        f"{shown(line['loss_adversarial'])}  hold-out {line['accuracy']:.3f}  PGD-10 {line['pgd_eps']:g}/255 "
        f"{line['pgd_accuracy']:.3f}  {line['images_per_second']:.0f} images/s  {seconds_left:.0f} s left"
    )


def collapsed(config: Config, log: list[dict]) -> bool:
    """Whether FGSM training has overfitted catastrophically: it has learnt, and is right about nothing under PGD."""
    if config.attack != "fgsm" or not log:
        return False
    return log[-1]["pgd_accuracy"] < 0.02 and max(line["accuracy"] for line in log) > 0.3


def train(config: Config, *, progress: bool = True) -> Path:
    """Train a run, or go on with it, or find it finished; returns its folder.

    Writes config.json at the start, checkpoint.safetensors on the way, weights.safetensors (half precision) and
    training.json (configuration, log, seconds, data, commit, versions, hardware) at the end. InputError if another
    process holds the run, a file of it is damaged, or it was begun with other pictures.
    """
    provenance.commit()  # of the code that now runs
    if not _finished(config):  # asked before the hold: a finished run may be held by its evaluation
        writable(runs_dir())
        with exclusive(config.folder):
            if not _finished(config):  # another process may have ended it in between
                write_json(config.folder / "config.json", asdict(config))
                (_choose_underfit if config.match else _train)(config, progress)
    return config.folder


def _finished(config: Config) -> bool:
    if not (config.folder / "training.json").is_file():
        return False
    print(f"{config.run}: already trained, nothing to do")
    return True


def _train(config: Config, progress: bool) -> None:
    device = device_of_choice()
    dataset = data.load(config.dataset, side=config.side, **dataset_arguments(config))
    if not len(dataset.train.labels):
        raise InputError(f"dataset = {config.dataset!r}: has no pictures to train on; put them at PATH/train/CLASS")
    run = Run(config, dataset, device)
    if run.step:
        print(f"{config.run}: going on at step {run.step} of {run.total}")
    _loop(run, progress)
    meta = {"architecture": run.architecture, "config": asdict(config)}
    models.save(config.folder / "weights.safetensors", run.model, meta)
    more = {"looks": run.looks, "seconds": round(run.seconds, 1), "precision": run.precision}
    _finish(config, run.log, run.log[-1]["accuracy"], device, **run.inputs, **more)
    run.path.unlink(missing_ok=True)


def dataset_arguments(config: Config) -> dict:
    """The configuration's own arguments of `data.load`, other than name and side."""
    arguments: dict = {} if config.amplitude is None else {"amplitude": config.amplitude, "cue": config.cue}
    if config.quick and config.amplitude is not None:
        arguments |= {"train_count": 500, "test_count": 100, "conflict_count": 90}
    return arguments


def _loop(run: Run, progress: bool) -> None:
    config = run.config
    losses: dict[bool, list[float]] = {False: [], True: []}
    saved = began = time.monotonic()
    images = 0
    look_every = max(1, run.steps_per_epoch // LOOKS_PER_EPOCH)
    bar = tqdm(total=run.total, initial=run.step, unit="step", disable=not progress, desc=config.model, mininterval=1)
    try:
        while run.step < run.total:
            before = time.monotonic()
            adversarial, loss = run.advance()
            losses[adversarial].append(loss)
            images += run.batch_size
            run.seconds += time.monotonic() - before
            bar.update()
            if config.attack == "none" and (run.step % look_every == 0 or run.step == run.total):
                run.look()
            if run.step % run.steps_per_epoch == 0 or run.step == run.total:
                bar.write(run.report(losses, images / (time.monotonic() - began)))
                if collapsed(config, run.log):
                    bar.write(f"warning: {config.model} has collapsed: PGD accuracy {run.log[-1]['pgd_accuracy']:.3f}")
                losses, images, began = {False: [], True: []}, 0, time.monotonic()
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                run.save()
                saved = time.monotonic()
    finally:  # no checkpoint here: Ctrl-C may have come in the middle of a step, which would then be half taken twice
        bar.close()


def _finish(config: Config, log: list[dict], holdout_accuracy: float, device: torch.device, **more: object) -> None:
    """Write training.json, the sign that the run is finished."""
    path = config.folder / "weights.safetensors"
    content = {
        "run": config.run,
        "model": config.model,
        "recipe": config.recipe,
        "config": asdict(config),
        "log": log,
        "holdout_accuracy": holdout_accuracy,
        "weights_digest": tensor_digest(load_tensors(path)[0]),
    }
    write_json(config.folder / "training.json", content | more | provenance.record(device))


def _choose_underfit(config: Config, progress: bool) -> None:
    """The snapshot of the normal run (trained first if need be) whose hold-out accuracy is nearest to the target."""
    normal = replace(config, match=None)
    source = train(normal, progress=progress)
    record = read_json(source / "training.json")
    target = target_accuracy(str(config.match))
    chosen = min(record["looks"], key=lambda look: abs(look["accuracy"] - target))
    gap = chosen["accuracy"] - target
    print(f"underfit: {normal.run} at epoch {chosen['epoch']:.2f}")
    print(f"underfit: hold-out accuracy {chosen['accuracy']:.4f}, {gap:+.4f} from the target {target:.4f}")
    last = record["looks"][-1]["accuracy"]
    degenerate = target >= last - 0.01
    if degenerate:
        print(f"underfit: degenerate control, the target {target:.4f} is no lower than the normal network's {last:.4f}")
    model, header = models.load(source / chosen["weights"])
    models.save(config.folder / "weights.safetensors", model, header | {"config": asdict(config)})
    more = {"source": normal.run, "epoch": chosen["epoch"], "target": target, "gap": gap, "degenerate": degenerate}
    more |= {
        name: record[name] for name in ("data", "pictures_digest", "initial", "seconds", "precision") if name in record
    }
    _finish(config, record["log"], chosen["accuracy"], device_of_choice(), **more)


def _published(match: str) -> bool:
    """Whether that is the name of a published run that was trained elsewhere."""
    here = (runs_dir() / match / "training.json").is_file()
    return not here and bool(RUN_NAME.fullmatch(match)) and (results_dir() / f"{match}.json").is_file()


def target_accuracy(match: str) -> float:
    """The hold-out accuracy to match: a number, or a finished run's own, which may be published and not here."""
    try:
        return float(match)
    except ValueError:
        if _published(match):
            return read_json(results_dir() / f"{match}.json")["training"]["holdout_accuracy"]
        return read_json(find_run(match) / "training.json")["holdout_accuracy"]
