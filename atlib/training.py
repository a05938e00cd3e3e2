"""One training run, from its configuration to its weights.

A run is named after its whole configuration, trains once, saves a checkpoint every 30 seconds (after the check on the
hold-out that ends an epoch, if it is in one) and, stopped at any moment, goes on where it was: every draw depends on
the seed and the step alone, so that on one machine an interrupted run ends with the same weights, bit for bit, as one
left alone.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.sgd import sgd  # the class around it, torch.optim.SGD, imports torch's compiler: that takes seconds

from . import attacks, data, gradients, models, progress, provenance, shapes, transforms, underfit
from .configuration import CORRUPTIONS, Config, dataset_arguments
from .errors import InputError, NetworkError
from .files import exclusive, runs_dir, writable, write_json
from .tensors import load_tensors, save_tensors, tensor_digest

CHECKPOINT_SECONDS = 30.0
LOOKS_PER_EPOCH = 4  # how often a network without an attack is looked at, for the underfit control
CHECK_EVERY = 50  # steps after which a GPU is asked whether the losses were finite: a question makes it wait
MOMENTUM = 0.9
QUICK_PGD = 256  # hold-out images for the PGD accuracy printed after each epoch


def device_of_choice() -> torch.device:
    """The GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def inputs_of(dataset: data.Dataset) -> dict[str, str]:
    """What a record says of a run's data: where it came from, and a digest of the pictures and labels to train on."""
    return {"data": dataset.source, "pictures_digest": tensor_digest(dataset.train._asdict())}


def other_pictures(config: Config, recorded: Mapping, found: Mapping) -> bool:
    """Whether a run's record or checkpoint speaks of other training pictures than `inputs_of` found now.

    Records of before 2026-11-27 have no digest; of them only a folder's are compared, by their source, since what lies
    in a folder can change under its name. For other data sets the test pictures, whose digest is in the record of the
    evaluation, are compared when more is measured of the network (`measured.Table`) and when a row is verified.
    """
    if "pictures_digest" in recorded:
        digests = recorded["pictures_digest"], found["pictures_digest"]
        return digests[0] != digests[1] and not (config.dataset == "shapes" and shapes.drawn_alike(*digests))
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
    """The learning rate after a share `progress`, in [0, 1], of the training.

    one-cycle: up over 30 %, then down a cosine. steps: the released code's 10, 6 and 4 epochs of 20, each at a tenth of
    the rate before.
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
    config: Config,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    generator: torch.Generator | None = None,
    checked: bool = True,
) -> Tensor:
    """The run's own attack on a batch, with batch norm folded: it runs in evaluation mode, and a quarter faster.

    For the controls, the run's noise or blur. checked: False skips the checks of PGD and FGSM, which would make a GPU
    wait; a gradient that isn't finite then shows in the loss.
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
    arguments = pgd_arguments(config, images.shape[-1])
    if not checked:
        return attacks.ascend(model, images, labels, **arguments, generator=generator)[0]
    return attacks.pgd(model, images, labels, **arguments, generator=generator)


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
    with gradients.frozen(model):
        for images, labels in zip(split.images.split(batch), split.labels.split(batch), strict=True):
            logits = model(data.prepare(images.to(device), side))
            right += int((logits.argmax(1).cpu() == labels.cpu()).sum())
    return right / len(split.labels)


class Run:
    """The state of one training: model, momentum, step, log; saved and restored as one file."""

    def __init__(self, config: Config, dataset: data.Dataset, device: torch.device) -> None:
        self.config, self.dataset, self.device = config, dataset, device
        model, self.architecture, weights = build(config, len(dataset.classes))
        self.inputs = inputs_of(dataset) | ({"initial": weights} if weights else {})
        self.model = model.to(device)
        self.momentum: dict[str, Tensor | None] = {}  # by parameter; empty before the first step
        self.images, self.labels = dataset.train.images.to(device), dataset.train.labels.to(device)
        self.batch_size = min(int(config.batch or 0), len(self.labels))
        self.steps_per_epoch = len(self.labels) // self.batch_size
        self.total = max(1, round(self.steps_per_epoch * (config.epochs or 0)))
        if config.share and math.floor(self.total * config.share) == 0:
            raise InputError(f"share = {config.share:g}: must be at least 1/{self.total}, or no batch is adversarial")
        self.step, self.seconds = 0, 0.0
        self.log: list[dict] = []
        self.begin_line()
        self.looks: list[dict] = []
        self.on_gpu = device.type == "cuda"
        self.unchecked: list[Tensor] = []  # losses of the last steps, on a GPU
        self.order: tuple[int, Tensor] = (-1, torch.empty(0))  # an epoch, and its order of the pictures
        self.path = config.folder / "checkpoint.safetensors"
        if self.path.exists():
            self.restore()
        else:
            self.precision = precision_on(device, config.precision)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The augmented images and labels of a step, drawn from the seed and the step alone."""
        epoch, place = divmod(step, self.steps_per_epoch)
        if self.order[0] != epoch:
            draws = torch.Generator().manual_seed(self.config.seed * 1_000_003 + epoch)
            self.order = epoch, torch.randperm(len(self.labels), generator=draws).to(self.device)
        chosen = self.order[1][place * self.batch_size :][: self.batch_size]
        draws = self.generator(step)  # a random start, or noise, begins with the same draws as the flips
        images = data.augment(self.images[chosen], self.dataset.augmentation, int(self.config.side or 0), draws)
        return images.contiguous(memory_format=torch.channels_last), self.labels[chosen]

    def generator(self, step: int) -> torch.Generator:
        # torch's generator takes the lower 32 bits of its seed alone, so that runs have to be set apart within them; by
        # a multiple of the golden ratio, which keeps them far from each other. (Seed 1 is as it was before that.)
        return torch.Generator().manual_seed(((self.config.seed - 1) * 0x9E3779B1 + step) % 2**32)

    def advance(self) -> float | Tensor:
        """Take one step; its loss, on a GPU as a tensor that is left there, so that nothing waits for it."""
        images, labels = self.batch(self.step)
        adversarial = is_adversarial(self.step, self.config.share or 0)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            if adversarial:
                try:
                    images = perturb(
                        self.config, self.model, images, labels, self.generator(self.step), not self.on_gpu
                    )
                except NetworkError as error:  # a network that diverges has no gradient either
                    raise self.diverged(self.step + 1, error) from None
            self.model.train()
            logits = self.model(images)
        loss = F.cross_entropy(logits.float(), labels)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        self.update(learning_rate(self.config, self.step / self.total))
        self.step += 1
        self.unchecked.append(loss.detach())
        if not self.on_gpu or len(self.unchecked) >= CHECK_EVERY:
            self.check_losses()
        self.losses[adversarial].append(loss.detach() if self.on_gpu else float(loss.detach()))
        return self.losses[adversarial][-1]

    @torch.no_grad()
    def update(self, rate: float) -> None:
        """Take one step of SGD with momentum and weight decay. rate: the learning rate."""
        moved = {name: weight for name, weight in self.model.named_parameters() if weight.grad is not None}
        slopes = [weight.grad for weight in moved.values() if weight.grad is not None]
        buffers = [self.momentum.get(name) for name in moved]  # `sgd` replaces None by a new one
        sgd(
            list(moved.values()), slopes, buffers, lr=rate, momentum=MOMENTUM, weight_decay=self.config.weight_decay,
            dampening=0, nesterov=False, maximize=False,
        )  # fmt: skip
        self.momentum |= zip(moved, buffers, strict=True)

    def diverged(self, step: int, error: NetworkError) -> NetworkError:
        """What to raise where the network has no outputs or gradients any more."""
        return NetworkError(f"lr = {self.config.lr:g}: training diverged at step {step} ({error}); use a smaller one")

    def check_losses(self) -> None:
        """NetworkError if one of the losses since the last check is NaN or infinite; also before anything is kept."""
        values = torch.stack(self.unchecked).tolist() if self.unchecked else []
        first = self.step - len(values) + 1
        self.unchecked = []
        for step, value in enumerate(values, first):
            if not math.isfinite(value):
                raise NetworkError(
                    f"lr = {self.config.lr:g}: the loss became {value} at step {step}; use a smaller one"
                )

    def save(self) -> None:
        self.check_losses()
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"momentum.{name}": kept for name, kept in self.momentum.items() if kept is not None}
        meta = {"step": self.step, "seconds": self.seconds, "log": self.log, "looks": self.looks}
        meta |= {"precision": self.precision, "run": self.config.run, "inputs": self.inputs}
        meta |= {"losses": [[float(loss) for loss in self.losses[kind]] for kind in (False, True)]}
        meta |= {"line_seconds": self.line_seconds}
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
        self.momentum = {k[9:]: v.to(self.device) for k, v in tensors.items() if k.startswith("momentum.")}
        self.step, self.seconds, self.log, self.looks = (meta[k] for k in ("step", "seconds", "log", "looks"))
        self.precision = meta["precision"]
        if "losses" in meta:  # checkpoints of before 2026-11-28 don't have it
            self.losses[False], self.losses[True] = meta["losses"]
            self.line_seconds = meta["line_seconds"]

    def begin_line(self) -> None:
        """Begin to gather what the log's next line says: losses (of adversarial batches or not) and time."""
        self.losses: dict[bool, list[float | Tensor]] = {False: [], True: []}
        self.line_seconds = 0.0

    def count_time(self, seconds: float) -> None:
        """Add what a step took; what checks on the hold-out and checkpoints take isn't training."""
        self.seconds += seconds
        self.line_seconds += seconds

    def images_per_second(self) -> float:
        """Since the log's last line."""
        return self.batch_size * sum(map(len, self.losses.values())) / max(self.line_seconds, 1e-9)

    def look(self) -> None:
        """Keep a half-precision snapshot with its hold-out accuracy: what an underfit control is chosen from."""
        self.check_losses()
        found = accuracy(self.model, self.dataset.holdout, int(self.config.side or 0), self.device)
        name = f"looks/{self.step:06d}.safetensors"
        self.looks.append({"epoch": self.step / self.steps_per_epoch, "accuracy": found, "weights": name})
        meta = {"architecture": self.architecture, "config": asdict(self.config)}
        models.save(self.config.folder / name, self.model, meta)

    def report(self) -> str:
        """Measure the network on the hold-out, add a line to the log, and return it as text."""
        self.check_losses()
        side = int(self.config.side or 0)
        clean = accuracy(self.model, self.dataset.holdout, side, self.device)
        linf = self.config.norm == "linf" and self.config.eps
        eps = float(linf or 8.0)
        images = data.prepare(self.dataset.holdout.images[:QUICK_PGD].to(self.device), side)
        labels = self.dataset.holdout.labels[:QUICK_PGD].to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            try:
                left = attacks.robustness(self.model, images, labels, eps=eps / 255, steps=10, drop_fooled=True).always
            except NetworkError as error:  # the losses were finite before the last step
                raise self.diverged(self.step, error) from None
        mean = {kind: float(sum(v)) / len(v) if v else None for kind, v in self.losses.items()}
        line = {
            "epoch": round(self.step / self.steps_per_epoch, 3),
            "loss_clean": mean[False],
            "loss_adversarial": mean[True],
            "accuracy": clean,
            "pgd_accuracy": float(left.float().mean()),
            "pgd_eps": eps,
            "images_per_second": round(self.images_per_second(), 1),
        }
        self.log.append(line)
        self.begin_line()
        return describe(line, self.config)

    def now(self, loss: float | Tensor) -> str:
        """How far the training has come, as a line of text between two lines of the log."""
        config, last = self.config, self.log[-1] if self.log else None
        reached = f"  hold-out {last['accuracy']:.3f}  {attacked(last)}" if last else ""
        left = (self.total - self.step) * self.seconds / max(1, self.step)
        return (
            f"{config.model}  epoch {self.step / self.steps_per_epoch:.1f}/{config.epochs:g}  "
            f"{progress.duration(left)} left  loss {loss:.3f}{reached}  {self.images_per_second():.0f} images/s"
        )


def describe(line: dict, config: Config) -> str:
    """A line of the log as text."""

    def shown(value: float | None) -> str:
        return "  –  " if value is None else f"{value:5.3f}"

    return (
        f"epoch {line['epoch']:5.2f}/{config.epochs:g}  loss clean {shown(line['loss_clean'])} adversarial "
        f"{shown(line['loss_adversarial'])}  hold-out {line['accuracy']:.3f}  {attacked(line)}  "
        f"{line['images_per_second']:.0f} images/s"
    )


def attacked(line: dict) -> str:
    """The accuracy under attack in a line of the log."""
    return f"PGD-10 {line['pgd_eps']:g}/255 {line['pgd_accuracy']:.3f}"


def collapsed(config: Config, log: list[dict]) -> bool:
    """Whether FGSM training has overfitted catastrophically: it has learnt, and is right about nothing under PGD."""
    if config.attack != "fgsm" or not log:
        return False
    return log[-1]["pgd_accuracy"] < 0.02 and max(line["accuracy"] for line in log) > 0.3


def train(config: Config, *, progress: bool = True) -> Path:
    """Train a run, or go on with it, or find it finished; returns its folder.

    Writes config.json at the start, checkpoint.safetensors on the way, weights.safetensors (half precision) and
    training.json (configuration, log, seconds, data, commit, versions, hardware) at the end. InputError if another
    process holds the run, a file of it is damaged or it was begun with other pictures; NetworkError if training
    diverges; Missing if the snapshots from which an underfit network is cut are gone.
    """
    provenance.commit()  # look the commit up now and keep it: files may change while this runs
    if not _finished(config):  # before locking: an evaluation may hold the lock of a finished run
        writable(runs_dir())
        with exclusive(config.folder):
            if not _finished(config):  # another process may have ended it in between
                write_json(config.folder / "config.json", asdict(config))
                (_train_underfit if config.match else _train)(config, progress)
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
    more = {"log": run.log, "holdout_accuracy": run.log[-1]["accuracy"], "looks": run.looks}
    more |= {"seconds": round(run.seconds, 1), "precision": run.precision}
    _finish(config, device, **run.inputs, **more)
    run.path.unlink(missing_ok=True)


def _train_underfit(config: Config, progress: bool) -> None:
    """The normal run is trained first, if need be."""
    source = train(replace(config, match=None), progress=progress)
    _finish(config, device_of_choice(), **underfit.choose(config, source))


def _loop(run: Run, shown: bool) -> None:
    config = run.config
    saved = time.monotonic()
    look_every = max(1, run.steps_per_epoch // LOOKS_PER_EPOCH)
    line = progress.Line(shown)
    try:
        while run.step < run.total:
            before = time.monotonic()
            loss = run.advance()
            looks = config.attack == "none" and (run.step % look_every == 0 or run.step == run.total)
            reports = run.step % run.steps_per_epoch == 0 or run.step == run.total
            if looks or reports:
                run.check_losses()  # waits for a GPU: the time it still takes is the training's
            run.count_time(time.monotonic() - before)
            line.show(functools.partial(run.now, loss))
            if looks:
                run.look()
            if reports:
                line.keep(run.report())
                if collapsed(config, run.log):
                    line.keep(f"warning: {config.model} has collapsed: PGD accuracy {run.log[-1]['pgd_accuracy']:.3f}")
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                run.save()
                saved = time.monotonic()
    finally:  # no checkpoint here: Ctrl-C may have come in the middle of a step, which would then be half taken twice
        line.close()


def _finish(config: Config, device: torch.device, **more: object) -> None:
    """Write training.json, the sign that the run is finished."""
    path = config.folder / "weights.safetensors"
    content = {
        "run": config.run,
        "model": config.model,
        "recipe": config.recipe,
        "config": asdict(config),
        "weights_digest": tensor_digest(load_tensors(path)[0]),
    }
    write_json(config.folder / "training.json", content | more | provenance.record(device))
