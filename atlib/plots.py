"""The report's figures, in one style."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from . import evaluation, saliency, training
from .results import t_interval

# One colour a family of networks on every page (Okabe and Ito's palette: safe for colour-blind readers).
FAMILIES = {
    "normal": "#000000",
    "underfit": "#999999",
    "pgd-linf": "#0072B2",
    "pgd-l2": "#56B4E9",
    "fgsm": "#E69F00",
    "spatial": "#009E73",
}
STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    # one background in light and dark mode
    "figure.facecolor": "white",
}


def family(model: str) -> str:
    """The family of a model's name: pgd-linf-8 is of pgd-linf."""
    return next((name for name in sorted(FAMILIES, key=len, reverse=True) if model.startswith(name)), "normal")


def at_a_glance(config: training.Config) -> tuple[str, ...]:
    """What train.ipynb measures: clean and PGD accuracy, and shape bias where there is a cue conflict."""
    return ("clean", "pgd-linf", "conflict") if config.dataset == "shapes" else ("clean", "pgd-linf")


def glance(run: Path, count: int = 8) -> Figure:
    """Pictures, gradient maps (Grad and SmoothGrad of the first cue's class) and the network's answers, as a figure.

    On shapes the pictures are of the cue conflict, elsewhere of the test set.
    """
    subject = evaluation.subject_of(run)
    chosen = subject.conflict or subject.test
    # the conflict is in the order of silhouettes: a stride of 11 shows each with another texture
    index = torch.arange(count) * 11 % len(chosen.labels)
    images = chosen.images[index].to(subject.device).float() / 255
    labels = chosen.labels[index].to(subject.device)
    maps = saliency.picture(saliency.grad(subject.model, images, labels))
    draws = torch.Generator().manual_seed(0)
    smooth = saliency.picture(saliency.smoothgrad(subject.model, images, labels, generator=draws))
    with torch.no_grad():
        answers = subject.model(images).argmax(1).cpu()
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(3, count, figsize=(1.3 * count, 4.4), layout="constrained")
        for column in range(count):
            axes[0, column].imshow(images[column].permute(1, 2, 0).cpu())
            axes[1, column].imshow(maps[column].cpu(), cmap="gray", vmin=0, vmax=1)
            axes[2, column].imshow(smooth[column].cpu(), cmap="gray", vmin=0, vmax=1)
            answer = int(answers[column])
            if subject.conflict:
                textures = subject.conflict.textures[index]
                kind = {int(labels[column]): "shape", int(textures[column]): "texture"}.get(answer, "neither")
            else:
                kind = "right" if answer == int(labels[column]) else "wrong"
            axes[0, column].set_title(kind, fontsize=10)
        for row, name in enumerate(("picture", "Grad", "SmoothGrad")):
            axes[row, 0].set_ylabel(name)
        for axis in axes.flat:
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
        config = subject.config
        heading = "answers by shape or texture" if subject.conflict else "answers"
        figure.suptitle(f"{config.run if config else ''}: {heading}", fontsize=10)
    return figure


def interval(values: np.ndarray) -> tuple[float, float]:
    """95 % t-interval of the mean over seeds; nan for a single one."""
    return t_interval(values) if len(values) > 1 else (float("nan"), float("nan"))
