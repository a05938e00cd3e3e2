"""What the page draws: a chart of every distortion, and pictures with the maps of all networks."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
import torch
from PIL import Image

from ... import models, saliency, transforms
from ...examples import SHOWN
from ...files import load_arrays, repository
from .. import claims
from ..chart import Series, chart, legend
from ..statistics import conditional, t_interval
from .beside import KINDS, Measured, called, order


def curves(measured: Measured) -> str:
    """Every distortion that was measured as a chart, this report's networks beside it."""
    charts, names, kinds = [], list[str](), ["own", *measured.references]
    for name in (*transforms.DISTORTIONS, "stylised"):
        places = [p for p, metric in measured.quantities if metric == "conditional" and p.partition("@")[0] == name]
        places = sorted(places, key=order)
        if not places:
            continue
        lines = [Series(KINDS[kind], kind, [_point(measured, kind, place) for place in places]) for kind in kinds]
        labels = [place.partition("@")[2].replace("generated-", "g. ").replace("paintings-", "p. ") for place in places]
        charts.append(chart(name, labels, lines))
        names.append(name)
    if not charts:
        return ""
    what = "every distortion" if set(transforms.DISTORTIONS) <= set(names) else ", ".join(names)
    bars = "over pictures for this network, over seeds for the others" if len(kinds) > 1 else "over pictures"
    return (
        f"<h2>Under {what}</h2><p>Accuracy on the pictures that a network knows when they are clean. Bars: "
        f"95 % intervals, {bars}.</p>"
        f"{legend([(KINDS[kind], kind) for kind in kinds])}<div class='charts'>{''.join(charts)}</div>"
    )


def _point(measured: Measured, kind: str, place: str) -> tuple[float, float, float] | None:
    if kind == "own":
        return (measured.quantities[place, "conditional"], *conditional(measured.predictions, place).interval)
    values = measured.theirs(kind, place, "conditional")
    return (float(np.mean(values)), *t_interval(values)) if values else None


def examples(measured: Measured) -> str:
    """A few pictures with this network's SmoothGrad maps, and those of the networks that come with the repository.

    As they are and under those of `examples.SHOWN` that were measured; empty where none was.
    """
    path = measured.folder / "examples.npz"
    if not path.is_file():
        return ""
    kept = load_arrays(path)
    labels, dataset = kept["labels"], str(measured.about.get("dataset", ""))
    side = int(str(measured.rows["recipe"].iloc[0]).removeprefix("side"))
    measured_places = {place for place, _ in measured.quantities}
    places = [place for place in SHOWN if place in measured_places and f"{place}/pictures" in kept]
    networks = _shipped(dataset, side) if places else {}
    parts = []
    for place in places:
        pictures = kept[f"{place}/pictures"]
        shown = place.removesuffix("@").replace("@", " ")
        parts.append(f"<h3>{escape(shown)}</h3>{_strip('pictures', pictures.transpose(0, 2, 3, 1))}")
        parts.append(_strip(KINDS["own"], kept[f"{place}/maps"], kept[f"{place}/answers"] == labels, "own"))
        for kind, (name, model) in networks.items():
            images, target = torch.from_numpy(pictures).float() / 255, torch.from_numpy(labels)
            draws = torch.Generator().manual_seed(0)
            maps = saliency.smoothgrad(model, images, target, samples=saliency.SAMPLES, generator=draws)
            with torch.no_grad():
                right = (model(images).argmax(1) == target).numpy()
            drawn = (255 * saliency.picture(maps)).round().byte().numpy()
            parts.append(_strip(called(kind, name), drawn, right, kind))
    if not parts:
        return ""
    return (
        "<h2>What it looks at</h2><p>SmoothGrad maps of the true class, each scaled to its own range: light is where a "
        f"change of a pixel changes the answer most. ✓ the network is right, ✗ it is wrong.</p>{''.join(parts)}"
    )


def _shipped(dataset: str, side: int) -> dict[str, tuple[str, torch.nn.Module]]:
    """The networks of models/ for a data set and side, by kind: name and network; none without the repository."""
    if repository() is None:
        return {}
    mains = [s.main for s in claims.load().settings.values() if s.dataset == dataset]
    wanted = {"normal": "normal", "underfit": "underfit", "main": mains[0] if mains else ""}
    found = {}
    for kind, name in wanted.items():
        if path := models.shipped().get(f"{dataset}/{name}"):
            model, about = models.load(path)
            if about.get("config", {}).get("side") == side:
                found[kind] = (name, models.fold(model))
    return found


def _strip(name: str, pictures: np.ndarray, right: np.ndarray | None = None, kind: str = "") -> str:
    """A row of small pictures with its name; right: whether the network is, for each."""
    figures = []
    for number, picture in enumerate(pictures):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "PNG")
        encoded = base64.b64encode(buffer.getvalue()).decode()
        mark = "" if right is None else "✓" if right[number] else "✗"
        caption = f"<figcaption>{mark}</figcaption>" if mark else ""
        alt = escape(f"{name}, picture {number + 1}", quote=True)
        figures.append(f'<figure><img alt="{alt}" src="data:image/png;base64,{encoded}">{caption}</figure>')
    return f'<div class="{kind}">{escape(name)}</div><div class="strip">{"".join(figures)}</div>'
