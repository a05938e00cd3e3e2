"""What each distortion leaves of shape and of texture, measured on the pictures themselves, without any network.

    python -m atlib.campaign.destroyed DATASET [--side N]       writes results/destroyed/DATASET-SIDE.csv
    python -m atlib.campaign.destroyed DATASET --baselines     measures only the yardsticks of maps again
    python -m atlib.campaign.destroyed --verify ROW            measures a published line again, and compares

It computes two numbers per picture; each is 1 for a picture that the distortion doesn't change:

- shape: `saliency.correlation` of the distorted picture's Sobel edges with those of the original;
- texture: `texture_similarity` of their local spectra, which don't depend on where in the picture a texture is.

For comparison, the same numbers are computed for two unrelated pictures (distortion "other"): the original and another
picture of the set. For the statistics of saliency maps the table holds two baselines: the picture's edges, treated as a
map (edges_gini, …), and the maps of an untrained network (untrained_gini, …).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import scipy
import torch
from torch import Tensor

from .. import data, evaluation, measurements, models, provenance, saliency, style, training, transforms
from ..configuration import dataset_arguments, resolve
from ..errors import Missing, command_line, nearest
from ..files import atomic, read_json, results_dir, writable, write_json
from . import grid
from .audit import TOLERANCE_MEAN, Audit

PICTURES = 500  # from the test set: the first in the permutation from which maps are drawn
WINDOWS = 4  # windows that would span a picture side by side; they overlap by half


@dataclass(frozen=True)
class Line:
    """The mean of a metric over `total` pictures with its 95 % t-interval.

    metric: shape, texture; edges_… and untrained_… for the baselines of the statistics of maps.
    """

    dataset: str
    side: int
    distortion: str
    level: str
    metric: str
    value: float
    low: float
    high: float
    total: int


def shape_similarity(one: Tensor, two: Tensor) -> Tensor:
    """Correlation of the Sobel edges of each pair of float pictures, N×3×H×W; N values, 1 if alike."""
    return saliency.correlation(saliency.edges(one), saliency.edges(two))


def local_spectrum(images: Tensor) -> Tensor:
    """Root mean square amplitude of every frequency over all windows of a picture, N×3×frequencies.

    Windows are a quarter of the side wide and overlap by half; each has its mean removed and a Hann window applied. The
    result depends neither on where a texture is nor on its phase.
    """
    size = images.shape[-1] // WINDOWS
    cut = images.unfold(2, size, size // 2).unfold(3, size, size // 2).flatten(2, 3)  # N×3×windows×size×size
    hann = torch.hann_window(size + 2, periodic=False, device=images.device)[1:-1]
    cut = (cut - cut.mean((3, 4), keepdim=True)) * hann[:, None] * hann
    return torch.fft.rfft2(cut).abs().square().mean(2).sqrt().flatten(2)


def texture_similarity(one: Tensor, two: Tensor) -> Tensor:
    """1 − Σ|a − b| / Σ(a + b) over the local spectra of each pair of float pictures (1 less Bray and Curtis'
    dissimilarity): 1 if alike, 0 if nothing is shared; N values. Two flat pictures are alike."""
    a, b = (local_spectrum(images.double()).flatten(1) for images in (one, two))
    total = (a + b).sum(1)
    return torch.where(total > 1e-9, 1 - (a - b).abs().sum(1) / total.clamp_min(1e-9), torch.ones_like(total)).float()


METRICS = {"shape": shape_similarity, "texture": texture_similarity}


def subject(dataset: str, side: int | None = None, width: int | None = None) -> measurements.Subject:
    """A data set's test pictures, and an untrained network for them. width: None: that of its first run in the grid."""
    if width is None:
        width = next((planned.config.width for planned in grid.load() if planned.config.dataset == dataset), 16)
    config = resolve(dataset=dataset, side=side, attack="none", width=width)
    loaded = data.load(dataset, side=config.side, progress=False, **dataset_arguments(config))
    model = models.resnet18(len(loaded.classes), width=width, stem=str(config.stem))
    device = training.device_of_choice()
    return measurements.Subject(
        models.fold(model).to(device), loaded.test, int(config.side or 0), device, dataset=dataset
    )


def places(about: measurements.Subject) -> list[str]:
    """Every "DISTORTION@LEVEL" that can be applied to a data set's pictures on this machine."""
    found = [f"{name}@{level}" for name in transforms.DISTORTIONS for level in transforms.levels(name, about.side)]
    styled = [level for level in measurements.stylised_levels(about) if not measurements.stylised_lacks(about, level)]
    return found + [f"stylised@{level}" for level in styled]


def chosen(about: measurements.Subject) -> Tensor:
    """Indices in the test set of the pictures that are measured."""
    return measurements.map_order(len(about.test.labels))[:PICTURES]


def measure(about: measurements.Subject) -> list[Line]:
    """Every line of the table of a data set."""
    lines = [line for place in ("other@", *places(about)) for line in left(about, place)]
    return lines + baselines(about)


def left(about: measurements.Subject, place: str) -> list[Line]:
    """What one "DISTORTION@LEVEL" leaves; for "other@", how similar unrelated pictures are."""
    at = chosen(about)
    clean = measurements.shown_under(about, "clean@", at)
    shown = clean.roll(1, 0) if place == "other@" else measurements.shown_under(about, place, at)
    return [_line(about, place, name, metric(shown, clean)) for name, metric in METRICS.items()]


def baselines(about: measurements.Subject) -> list[Line]:
    """Map statistics of the picture's own edges, and of a network with random weights, on undistorted pictures."""
    at = measurements.map_pictures(about)
    clean = measurements.shown_under(about, "clean@", at)
    edges = saliency.edges(clean)[:, None].expand_as(clean)
    lines = []
    for name, maps in {"edges": edges, **{f"untrained{k and '_grad'}": v for k, v in about.clean_maps.items()}}.items():
        statistics = measurements.map_statistics(maps, clean, clean, maps)
        del statistics["map_distance"]  # the maps' distance from themselves
        lines += [_line(about, "clean@", f"{name}_{metric}", values) for metric, values in statistics.items()]
    return lines


def _line(about: measurements.Subject, place: str, metric: str, values: Tensor) -> Line:
    x = values.double().cpu()
    mean, error = float(x.mean()), float(x.std()) / len(x) ** 0.5
    half = float(scipy.stats.t.ppf(0.975, len(x) - 1)) * error if len(x) > 1 else float("nan")
    name, _, level = place.partition("@")
    return Line(about.dataset, about.side, name, level, metric, mean, mean - half, mean + half, len(x))


def row_id(line: Mapping[Any, Any] | pd.Series) -> str:
    """The name by which a line is audited: destroyed/DATASET-SIDE:DISTORTION@LEVEL/METRIC."""
    place = f"{line['distortion']}@{line['level']}/{line['metric']}"
    return f"destroyed/{data.slug(str(line['dataset']))}-{line['side']}:{place}"


def audit(row: str) -> Audit:
    """Measure a published line again. row: its id. Missing if it is not published."""
    began = time.perf_counter()
    lines = {row_id(line): line for line in load().to_dict("records")}
    if row not in lines:
        raise Missing(f"row = {row!r}: not published{nearest(row, lines)}")
    line = lines[row]
    about = subject(str(line["dataset"]), int(line["side"]))
    place = f"{line['distortion']}@{line['level']}"
    with evaluation.exact():
        found = left(about, place) if line["metric"] in METRICS else baselines(about)
    again = next(one.value for one in found if one.metric == line["metric"])
    return Audit(row, float(line["value"]), again, TOLERANCE_MEAN, time.perf_counter() - began)


def table_path(dataset: str, side: int) -> Path:
    """Where the table of a data set is published."""
    return results_dir() / "destroyed" / f"{data.slug(dataset)}-{side}.csv"


def write_baselines(about: measurements.Subject) -> Path:
    """Measure `baselines` alone again and put them in the published table; the JSON says of them where and by what."""
    path = table_path(about.dataset, about.side)
    if not path.is_file():
        raise Missing(f"{path}: not there; measure the whole data set first")
    provenance.committed()
    began = provenance.record(about.device)
    with evaluation.exact():
        fresh = pd.DataFrame([asdict(line) for line in baselines(about)])
    old = pd.read_csv(path, dtype={"level": str}, keep_default_na=False)
    frame = pd.concat([old[~old["metric"].isin(fresh["metric"])], fresh], ignore_index=True)
    record = read_json(path.with_suffix(".json"))
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g")
    write_json(path.with_suffix(".json"), record | {"baselines": began})
    return path


def write(about: measurements.Subject) -> Path:
    """Measure a data set and publish the table, with a JSON beside it: commit, versions, pictures, stylised sets."""
    path = table_path(about.dataset, about.side)
    writable(path.parent)
    provenance.committed()
    began = provenance.record(about.device)
    with evaluation.exact():
        frame = pd.DataFrame([asdict(line) for line in measure(about)])
    levels = [place.partition("@")[2] for place in places(about) if place.startswith("stylised@")]
    styled = {
        level: style.summary(style.load(about.dataset, about.side, about.test.images, level)[1]) for level in levels
    }
    origin = {"pictures": about.content, "stylised": styled}
    with atomic(path) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.6g")
    write_json(path.with_suffix(".json"), began | origin)
    return path


def load() -> pd.DataFrame:
    """The published tables of every data set, concatenated; level is text."""
    paths = sorted((results_dir() / "destroyed").glob("*.csv"))
    frames = [pd.read_csv(path, dtype={"level": str}, keep_default_na=False) for path in paths]
    columns = list(Line.__dataclass_fields__)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=columns)


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 if a line measured again differs, 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m atlib.campaign.destroyed", description=(__doc__ or "").split("\n")[0]
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("dataset", nargs="?")
    what.add_argument("--verify", metavar="ROW", help="destroyed/DATASET-SIDE:DISTORTION@LEVEL/METRIC")
    parser.add_argument("--side", type=int)
    parser.add_argument("--baselines", action="store_true", help="measure the yardsticks of maps alone again")
    given = parser.parse_args(arguments)
    if given.verify:
        found = audit(given.verify)
        print(found)
        return int(not found.agrees)
    measured = write_baselines if given.baselines else write
    print(f"wrote {measured(subject(given.dataset, given.side))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
