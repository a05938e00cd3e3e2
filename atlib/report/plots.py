"""The report's figures, in one style."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from .. import attacks, data, evaluation, measurements, models, saliency, shapes, transforms
from ..choices import ATTACKS
from ..configuration import Config
from ..tensors import load_tensors
from .palette import COLOURS, FAMILIES, MARKERS, family
from .statistics import t_interval

STYLE: dict[Any, Any] = {
    "figure.dpi": 110,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "figure.facecolor": "white",  # also in a dark JupyterLab; for a dark page book/_ext/dark_charts.py redraws it
}


class Drawing(Figure):
    """A figure that a notebook shows once, when it is a cell's value, with any backend; pyplot doesn't know of it."""

    def _repr_png_(self) -> bytes:
        self.draw_without_rendering()  # the layout, once: a second pass would move the pictures a little
        self.set_layout_engine("none")
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", metadata={"Pictures": ";".join(self.pictures())})
        return buffer.getvalue()

    def pictures(self) -> Iterator[str]:
        """Where photographs and maps on black lie, "left,top,right,bottom" in pixels: a dark page turns the rest."""
        height = self.bbox.height
        for axis in self.axes:
            if any(np.asarray(image.get_array()).ndim == 3 or sum(image.cmap(0.0)[:3]) < 2.7 for image in axis.images):
                box = axis.get_window_extent()
                edges = (box.x0, height - box.y1, box.x1, height - box.y0)
                yield ",".join(f"{edge:.0f}" for edge in edges)


@contextmanager
def sheet(rows: int, columns: int, width: float, height: float, **options: Any) -> Iterator[tuple[Drawing, Any]]:
    """A drawing in the report's style (width and height in inches) and its axes, rows×columns."""
    with matplotlib.rc_context(STYLE):
        figure = Drawing(figsize=(width, height), layout="constrained")
        yield figure, figure.subplots(rows, columns, squeeze=False, **options)


def at_a_glance(config: Config) -> tuple[str, ...]:
    """What train.ipynb measures: clean and PGD accuracy, and shape bias where there is a cue conflict."""
    return ("clean", "pgd-linf", "conflict") if config.dataset == "shapes" else ("clean", "pgd-linf")


def glance(run: Path, count: int = 8) -> Drawing:
    """Pictures, gradient maps (Grad and SmoothGrad of the first cue's class) and the network's answers, as a figure.

    On shapes the pictures are of the cue conflict, elsewhere of the test set. Below the network's own maps are those of
    the normal network that comes with this repository, where there is one of this data set and side.
    """
    subject = evaluation.subject_of(run)
    chosen = subject.conflict or subject.test
    # the conflict is in the order of silhouettes: a stride of 11 shows each with another texture
    index = torch.arange(count) * 11 % len(chosen.labels)
    images = data.prepare(chosen.images[index].to(subject.device), subject.side)
    labels = chosen.labels[index].to(subject.device)
    textures = subject.conflict.textures[index] if subject.conflict else None
    networks = {"": subject.model}
    if normal := shipped_normal(subject):
        networks["normal network:\n"] = normal
    with sheet(1 + 2 * len(networks), count, 1.3 * count, 0.5 + 1.4 * (1 + 2 * len(networks))) as (figure, axes):
        _pictures(axes[0], "picture", images.permute(0, 2, 3, 1))
        for number, (whose, network) in enumerate(networks.items()):
            grad, smooth = axes[1 + 2 * number], axes[2 + 2 * number]
            draws = torch.Generator().manual_seed(0)
            _pictures(grad, f"{whose}Grad", saliency.picture(saliency.grad(network, images, labels)))
            maps = saliency.smoothgrad(network, images, labels, generator=draws)
            _pictures(smooth, f"{whose}SmoothGrad", saliency.picture(maps))
            with torch.no_grad():
                answers = network(images).argmax(1).cpu()
            for axis, kind in zip(
                axes[0] if number == 0 else grad, _kinds(answers, labels.cpu(), textures), strict=True
            ):
                axis.set_title(kind, fontsize=10)
        config = subject.config
        heading = "answers by shape or texture" if subject.conflict else "answers"
        figure.suptitle(f"{config.run if config else ''}: {heading}", fontsize=10)
    return figure


def shipped_normal(subject: measurements.Subject) -> torch.nn.Module | None:
    """The normal network of models/ for a subject's data set and side; None if there is none."""
    path = models.shipped().get(f"{subject.dataset}/normal")
    if path is None:
        return None
    model, about = models.load(path)
    alike = about.get("config", {}).get("side") == subject.side
    return models.fold(model).to(subject.device) if alike else None


def _pictures(axes: Sequence[Axes], name: str, pictures: Tensor) -> None:
    """A row of pictures: N×H×W×3 in colour, N×H×W in grey."""
    for axis, picture in zip(axes, pictures.cpu().numpy(), strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    axes[0].set_ylabel(name)


def _kinds(answers: Tensor, labels: Tensor, textures: Tensor | None) -> list[str]:
    """What each answer went by: the label's cue or the texture's; without textures whether it is right."""
    if textures is None:
        return ["right" if right else "wrong" for right in (answers == labels).tolist()]
    pairs = zip(answers.tolist(), labels.tolist(), textures.tolist(), strict=True)
    return [{label: "shape", texture: "texture"}.get(said, "neither") for said, label, texture in pairs]


def show_cues(cues: shapes.Cues) -> Drawing:
    """Pictures of `shapes` in rows of ten, with what they show, as a figure."""
    rows = len(cues.images) // 10
    with sheet(rows, 10, 9, 1.1 * rows + 0.2) as (figure, axes):
        for axis, image, shape, texture in zip(axes.flat, cues.images, cues.shapes, cues.textures, strict=False):
            axis.imshow(image.permute(1, 2, 0).numpy())
            axis.set_title(f"{shapes.SILHOUETTES[shape]}\n{shapes.TEXTURES[texture]}", fontsize=9.5)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
    return figure


def show_stylised(path: Path) -> Drawing:
    """The first pictures of a stylised test set (`style.make`), each below what it was, as a figure."""
    tensors, about = load_tensors(path)
    painted = tensors["images"][:10]
    test = data.load(about["dataset"], side=about["side"], progress=False).test
    with sheet(2, len(painted), max(3.0, 1.1 * len(painted)), 2.4) as (figure, axes):
        for column, pair in enumerate(zip(test.images, painted, strict=False)):
            for axis, image in zip(axes[:, column], pair, strict=True):
                axis.imshow(image.permute(1, 2, 0).numpy())
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
    return figure


# One colour and marker for each distortion on every page, in the order of transforms.DISTORTIONS.
DISTORTIONS = {
    **dict(zip(transforms.DISTORTIONS, zip(cycle(COLOURS), cycle(MARKERS), strict=False), strict=False)),
    "stylised": ("#000000", "*"),
}


def show_distortions(image: Tensor, count: int = 5) -> Drawing:
    """One float picture, 3×H×W, under every distortion, `count` of its levels in a row, as a figure."""
    names = list(transforms.DISTORTIONS)
    with sheet(len(names), count, 1.25 * count + 1.2, 1.35 * len(names)) as (figure, axes):
        for row, name in enumerate(names):
            every = transforms.levels(name, image.shape[-1])
            picked = np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)
            levels = [every[i] for i in picked]
            for axis in axes[row]:
                axis.set_axis_off()
            for axis, level in zip(axes[row], levels, strict=False):
                shown = transforms.distort(image[None], name, level, [0])[0]
                axis.imshow(shown.permute(1, 2, 0).numpy(), vmin=0, vmax=1)
                axis.set_title(f"{name}\n{level}" if level == levels[0] else f"\n{level}", fontsize=9)
    return figure


def kept(panels: Mapping[str, pd.DataFrame], labels: tuple[str, str]) -> Drawing:
    """What distortions leave of pictures: one panel per key, in which every distortion is a path through its levels.

    panels: frames with the columns distortion, level, x, y; a line of distortion "other" is drawn as two dotted lines.
    labels: of the two axes.
    """
    panels = {name: frame for name, frame in panels.items() if not frame.empty}
    if not panels:
        return not_run()
    columns = min(2, len(panels))  # more panels side by side would be illegible on a phone
    rows = -(-len(panels) // columns)
    with sheet(rows, columns, 3.3 * columns + 0.6, 3.3 * rows + 0.9, sharex=True, sharey=True) as (figure, axes):
        for axis, (title, frame) in zip(axes.flat, panels.items(), strict=False):
            for name, (colour, marker) in DISTORTIONS.items():
                path = frame[frame["distortion"] == name]
                line = marker if name == "stylised" else f"-{marker}"  # its levels have no order
                axis.plot(path["x"], path["y"], line, color=colour, markersize=5, linewidth=1, label=name)
            for unrelated in frame[frame["distortion"] == "other"].to_dict("records"):
                axis.axvline(unrelated["x"], color="#666666", linestyle=":", linewidth=1)
                axis.axhline(unrelated["y"], color="#666666", linestyle=":", linewidth=1)
            axis.set(xlim=(-0.03, 1.03), ylim=(-0.05, 1.05))
            axis.set_title(title, fontsize=11)
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis in axes[:, 0]:
            axis.set_ylabel(labels[1])
        for column in range(columns):  # below the lowest panel of each column
            lowest = axes.flat[max(n for n in range(len(panels)) if n % columns == column)]
            lowest.set_xlabel(labels[0])
            lowest.tick_params(labelbottom=True)
        shown = {name for frame in panels.values() for name in frame["distortion"]}
        entries = [pair for pair in zip(*axes[0, 0].get_legend_handles_labels(), strict=True) if pair[1] in shown]
        figure.legend(*zip(*entries, strict=True), loc="outside lower center", ncols=2 * columns, fontsize=9)
    return figure


# The networks of a family, strongest first, so that one colour can show several.
STROKES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))


def strokes(names: Sequence[str]) -> dict[str, tuple[str, tuple[str, str]]]:
    """Colour, and line and marker, of each network, in the order given: by family, and by its place within it."""
    seen: dict[str, int] = {}
    drawn = {}
    for name in names:
        place = seen.setdefault(family(name), 0)
        seen[family(name)] += 1
        drawn[name] = (FAMILIES[family(name)], STROKES[place % len(STROKES)])
    return drawn


def maps_of(
    networks: Sequence[str],
    silhouettes: Sequence[int],
    rows: Mapping[str, Callable[[Tensor], Tensor]],
    smooth: bool = True,
) -> Drawing:
    """Pictures of `shapes` under some changes, beside their maps of the true class by shipped networks.

    networks: names of `models.load`; silhouettes: numbers of the pictures' shapes (texture and shape agree); rows: by
    name, functions that change the float pictures, N×3×H×W; smooth: SmoothGrad, else Grad. Computed here; each map
    is scaled by itself.
    """
    chosen = torch.tensor(silhouettes)
    cues = shapes.draw(chosen, chosen, generator=torch.Generator().manual_seed(5))
    clean = cues.images / 255
    shown = {name: change(clean) for name, change in rows.items()}
    columns = [images.permute(0, 2, 3, 1) for images in shown.values()]
    maps = [[_maps(network, images, chosen, smooth) for images in shown.values()] for network in networks]
    # all rows of a picture one below the other
    grid = [[part[n] for part in column] for n in range(len(chosen)) for column in zip(columns, *maps, strict=True)]
    titles = ["picture", *(network.rpartition("/")[2] for network in networks)]
    return gallery(grid, list(rows) * len(chosen), titles)


def _maps(network: str, images: Tensor, labels: Tensor, smooth: bool) -> Tensor:
    """Maps of a shipped network as the paper draws them, N×H×W."""
    model, draws = models.load(network)[0], torch.Generator().manual_seed(0)
    found = saliency.smoothgrad(model, images, labels, generator=draws) if smooth else None
    return saliency.picture(saliency.grad(model, images, labels) if found is None else found)


def gallery(grid: Sequence[Sequence[Any]], names: Sequence[str], titles: Sequence[str]) -> Drawing:
    """Pictures (H×W×3 in [0, 1]) and maps (H×W in [0, 1]) in rows with names at their left and titles above."""
    with sheet(len(grid), len(titles), 6.4, 1.55 * len(grid) + 0.5) as (figure, axes):
        for line, pictures, name in zip(axes, grid, names, strict=True):
            for axis, one in zip(line, pictures, strict=True):
                axis.imshow(np.asarray(one), cmap="gray", vmin=0, vmax=1)
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
            line[0].set_ylabel(name)
        for axis, title in zip(axes[0], titles, strict=True):
            axis.set_title(title, fontsize=11)
    return figure


def scatter(found: pd.DataFrame, labels: tuple[str, str]) -> Drawing:
    """One point per run in its family's colour. found: model, x, y; labels: of the axes."""
    found = found.dropna(subset=["x", "y"])
    if found.empty:
        return not_run()
    with sheet(1, 1, 5.6, 4.6) as (figure, axes):
        axis = axes[0, 0]
        for name, (colour, (_, marker)) in strokes(list(dict.fromkeys(found["model"]))).items():
            mine = found[found["model"] == name]
            axis.plot(mine["x"], mine["y"], marker, color=colour, markersize=6, alpha=0.8, label=name)
        axis.set(xlabel=labels[0], ylabel=labels[1])
        figure.legend(loc="outside lower center", ncols=3, fontsize=10)
    return figure


def budget(config: dict) -> float:
    """A run's budget on one scale for both norms: the largest root-mean-square change of a value, in 1/255."""
    if not ATTACKS[config["attack"]].projected:
        return 0.0
    eps = attacks.budget(config["norm"], config["eps"], config["side"])
    return 255 * eps / (1 if config["norm"] == "linf" else float(np.sqrt(3 * config["side"] ** 2)))


def not_run() -> Drawing:
    """An empty figure that says "not run": no published row has what it would draw."""
    figure = Drawing(figsize=(6, 1))
    figure.text(0.5, 0.5, "not run", ha="center", va="center", fontsize=14)
    return figure


def interval(values: pd.Series) -> tuple[float, float]:
    """The 95 % t-interval of the mean of shares, within [0, 1]; NaN for fewer than three."""
    low, high = t_interval(values)
    return max(low, 0), min(high, 1)  # max and min return a NaN given as the first argument


def bias_map(table: pd.DataFrame) -> Drawing:
    """Shape bias (above) and coverage (below) against budget, one panel for each texture amplitude, one line per seed.

    table: one line per run with the columns amplitude, budget, seed, shape_bias, coverage.
    """
    if table.empty:
        return not_run()
    amplitudes = sorted(table["amplitude"].unique())
    count = len(amplitudes)
    with sheet(2, count, 2 * count + 0.6, 4.4, sharex=True, sharey=True) as (figure, axes):
        for column, amplitude in enumerate(amplitudes):
            some = table[table["amplitude"] == amplitude]
            for row, metric in enumerate(("shape_bias", "coverage")):
                axis = axes[row, column]
                for _, one in some.sort_values("budget").groupby("seed"):
                    colour = FAMILIES["pgd-linf"]
                    axis.plot(one["budget"], one[metric], "o-", color=colour, alpha=0.5, markersize=4, linewidth=1)
                axis.set(xticks=[0, 2, 4, 8], ylim=(-0.03, 1.03))
            axes[0, column].set_title(f"amplitude {amplitude:g}", fontsize=10)
            axes[1, column].set_xlabel("PGD in ℓ∞, 1/255")
        axes[0, 0].set_ylabel("shape bias")
        axes[1, 0].set_ylabel("coverage")
    return figure


def by_seed(table: pd.DataFrame, names: Mapping[str, str]) -> Drawing:
    """Shape bias of each network, one panel for each texture amplitude: a thin line through the networks of each seed,
    and their means with 95 % t-intervals.

    table: one line per run with the columns amplitude, network, seed, shape_bias. names: of the networks, from left to
    right, as the axis shows them.
    """
    import seaborn  # importing it takes a second, and notebooks that train or measure draw nothing with it

    if table.empty:
        return not_run()
    amplitudes = sorted(table["amplitude"].unique())
    placed = table.assign(place=table["network"].map(list(names).index))
    given: dict[str, Any] = {"x": "place", "y": "shape_bias", "legend": False, "color": FAMILIES["pgd-linf"]}
    with sheet(1, len(amplitudes), 4.4 * len(amplitudes), 3.8, sharey=True) as (figure, axes):
        for axis, amplitude in zip(axes[0], amplitudes, strict=True):
            some = placed[placed["amplitude"] == amplitude]
            thin: dict[str, Any] = {"units": "seed", "estimator": None, "marker": "o", "markersize": 3}
            seaborn.lineplot(some, ax=axis, alpha=0.5, linewidth=0.8, **thin, **given)
            for place, values in some.groupby("place")["shape_bias"]:
                mean, ends = values.mean(), interval(values)
                axis.vlines(place, *ends, color="black")
                axis.plot(place, mean, "D", color="black", markersize=5)
            axis.set(xlabel="", ylabel="shape bias", ylim=(-0.03, 1.03), title=f"amplitude {amplitude:g}")
            axis.set_xticks(range(len(names)), list(names.values()), fontsize=10)
    return figure
