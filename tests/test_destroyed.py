"""What distortions leave of shape and texture: the two measures, the published table, and the page's tables."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from atlib import data, saliency, shapes, style, transforms
from atlib.campaign import audit, destroyed
from atlib.errors import InputError, Missing
from atlib.files import REPOSITORY, read_json
from atlib.measurements import Subject
from atlib.report import destroyed_tables, plots, tables
from atlib.rows import MAP_METRICS, frame_of, load


@pytest.fixture
def pictures() -> torch.Tensor:
    """Twelve pictures of the generated data set, float."""
    index = torch.arange(12) % 10
    return shapes.draw(index, (index + 3) % 10, generator=torch.Generator().manual_seed(1)).images / 255


@pytest.fixture
def about(pictures: torch.Tensor) -> Subject:
    images = (pictures * 255).round().byte()
    subject = destroyed.subject("shapes", width=4)
    return Subject(subject.model, data.Split(images, torch.arange(12) % 10), 32, subject.device, dataset="shapes")


def test_an_unchanged_picture_keeps_both(pictures: torch.Tensor) -> None:
    for metric in destroyed.METRICS.values():
        found = metric(pictures, pictures)
        assert found.shape == (12,) and torch.allclose(found, torch.ones(12), atol=1e-5)


def test_shape_is_pearsons_correlation_of_edges(pictures: torch.Tensor) -> None:
    other = pictures.roll(1, 0)
    found = destroyed.shape_similarity(other, pictures)
    a, b = (saliency.edges(one).flatten(1).numpy() for one in (other, pictures))
    assert found.numpy() == pytest.approx([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)], abs=1e-4)


def plain_spectrum(image: np.ndarray) -> np.ndarray:
    """The local spectrum by loops: every window, every frequency of a real transform."""
    side = image.shape[-1]
    size = side // 4
    hann = np.array([0.5 - 0.5 * math.cos(2 * math.pi * (i + 1) / (size + 1)) for i in range(size)])
    power: list[np.ndarray] = []
    for top in range(0, side - size + 1, size // 2):
        for left in range(0, side - size + 1, size // 2):
            window = image[:, top : top + size, left : left + size]
            window = (window - window.mean((1, 2), keepdims=True)) * hann[:, None] * hann
            power.append(np.abs(np.fft.rfft2(window)) ** 2)
    return np.sqrt(np.mean(power, 0)).reshape(3, -1)


def test_texture_is_what_the_local_spectra_share(pictures: torch.Tensor) -> None:
    one, two = pictures[:1].double(), pictures[1:2].double()
    a, b = plain_spectrum(one[0].numpy()), plain_spectrum(two[0].numpy())
    np.testing.assert_allclose(destroyed.local_spectrum(one)[0].numpy(), a, rtol=1e-6, atol=1e-9)
    expected = 1 - np.abs(a - b).sum() / (a + b).sum()
    assert destroyed.texture_similarity(one, two).item() == pytest.approx(expected, abs=1e-6)
    flat = torch.full((1, 3, 32, 32), 0.4)
    assert (
        destroyed.texture_similarity(flat, flat).item() == 1 and destroyed.texture_similarity(flat, one).item() < 0.01
    )


def test_moving_patches_keeps_texture_and_destroys_shape_and_flattening_does_the_opposite(
    pictures: torch.Tensor,
) -> None:
    shuffled = transforms.patch_shuffle(pictures, 4)
    silhouettes = transforms.blur(pictures, 1)
    shape, texture = destroyed.shape_similarity, destroyed.texture_similarity
    assert shape(shuffled, pictures).mean() < 0.2 and texture(shuffled, pictures).mean() > 0.8
    assert shape(silhouettes, pictures).mean() > 0.7 > texture(silhouettes, pictures).mean()


def test_every_place_once_with_its_interval_and_the_baselines(about: Subject, pictures: torch.Tensor) -> None:
    frame = pd.DataFrame(destroyed.measure(about))
    assert not frame.duplicated(["distortion", "level", "metric"]).any()
    pictured = frame[frame["metric"].isin(list(destroyed.METRICS))]
    assert len(pictured) == 2 * (1 + 32) and set(frame["total"]) == {12}
    line = frame[(frame["distortion"] == "blur") & (frame["level"] == "1") & (frame["metric"] == "texture")].iloc[0]
    # uint8 in between: the subject's pictures are stored
    stored = (pictures * 255).round() / 255
    values = destroyed.texture_similarity(transforms.blur(stored, 1), stored)
    assert line["value"] == pytest.approx(values.mean().item(), abs=1e-5)
    half = 2.201 * values.std().item() / math.sqrt(12)  # t of 11 degrees of freedom
    assert (line["low"], line["high"]) == pytest.approx((line["value"] - half, line["value"] + half), abs=1e-4)
    other = frame[(frame["distortion"] == "other") & (frame["metric"] == "shape")]["value"].item()
    assert abs(other) < 0.6
    maps = frame[~frame["metric"].isin(list(destroyed.METRICS))].set_index("metric")["value"]
    assert maps["edges_edge_correlation"] == pytest.approx(1) and maps["edges_gini"] > 0.3
    kinds = {f"{name}_{metric}" for name in ("edges", "untrained", "untrained_grad") for metric in MAP_METRICS}
    assert set(maps.index) == {kind for kind in kinds if not kind.endswith("map_distance")}


def test_baselines_can_be_measured_alone(
    about: Subject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(destroyed, "subject", lambda dataset, side=None: about)
    assert destroyed.main(["shapes", "--baselines"]) == 2
    assert "measure the whole data set first" in capsys.readouterr().err
    assert destroyed.main(["shapes"]) == 0
    path, before = destroyed.table_path("shapes", 32), destroyed.load()
    old = before.assign(value=before["value"].where(before["metric"].isin(list(destroyed.METRICS)), 0.5))
    old.to_csv(path, index=False)
    assert destroyed.main(["shapes", "--baselines"]) == 0
    pd.testing.assert_frame_equal(destroyed.load(), before)
    assert set(read_json(path.with_suffix(".json"))["baselines"]) >= {"commit", "hardware"}


def test_the_untrained_network_is_as_wide_as_the_main_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    widths: list[int] = []

    def resnet18(classes: int, width: int, stem: str) -> nn.Module:
        widths.append(width)
        return nn.Identity()

    monkeypatch.setattr(destroyed.models, "resnet18", resnet18)
    monkeypatch.setattr(destroyed.models, "fold", lambda model: model)
    monkeypatch.setattr(destroyed.data, "load", lambda *given, **more: SimpleNamespace(classes="ab", test=None))
    for name in ("shapes", "cifar10", "caltech101"):
        destroyed.subject(name)
    assert widths == [16, 16, 64]


def test_published_and_audited(about: Subject, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(destroyed, "subject", lambda dataset, side=None: about)
    assert destroyed.main(["shapes"]) == 0
    path = destroyed.table_path("shapes", 32)
    assert (
        capsys.readouterr().out == f"wrote {path}\n"
        and read_json(path.with_suffix(".json"))["pictures"] == about.content
    )
    frame = destroyed.load()
    assert all(isinstance(level, str) for level in frame["level"]) and len(frame) == len(destroyed.measure(about))
    assert load().empty  # it is no run's table
    ids = [destroyed.row_id(line) for line in frame.to_dict("records")]
    row = "destroyed/shapes-32:saturation@inf/texture"
    assert row in ids and len(set(ids)) == len(ids)
    for one in (row, "destroyed/shapes-32:other@/shape", "destroyed/shapes-32:clean@/untrained_gini"):
        found = destroyed.audit(one)
        assert found.agrees and found.published == frame["value"][ids.index(one)]
        assert destroyed.main(["--verify", one]) == 0 and capsys.readouterr().out.startswith(f"{one}: published ")
    with pytest.raises(InputError, match=r"no row of a run; python -m atlib.campaign.destroyed --verify"):
        audit.audit(row)
    with pytest.raises(Missing, match=r"^row = 'destroyed/shapes-32:saturation@3/shape': not published"):
        destroyed.audit("destroyed/shapes-32:saturation@3/shape")


def test_published_tables_are_of_the_pictures_that_the_networks_were_shown() -> None:
    """Of the same test set, as resized, and of the same styles: as far as the records of both say so."""
    tables_of = {path.stem: read_json(path) for path in (REPOSITORY / "results" / "destroyed").glob("*.json")}
    shown: set[str] = set()
    for path in (REPOSITORY / "results").glob("*/*-w*.json"):
        record = read_json(path)
        config, evaluated = record["config"], record["evaluation"]
        table = tables_of.get(f"{config['dataset']}-{config['side']}", {})
        pictures = [table["pictures"]] if "pictures" in table else []
        pictures += [about["content"] for about in table.get("stylised", {}).values()]
        if evaluated.get("pictures") and pictures:
            assert set(pictures) == {evaluated["pictures"]}, path
            shown.add(config["dataset"])
        for key, measured in evaluated["measurements"].items():
            about = table.get("stylised", {}).get(key.rpartition("@")[2], {})
            if "stylised" in measured and about:
                assert not style.differs(about, measured["stylised"]), (path, key)
    assert {"cifar10", "caltech101"} <= shown


def test_a_data_set_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture) -> None:
    assert destroyed.main(["cifar10"]) == 2
    assert capsys.readouterr().err.startswith("error: dataset = 'cifar10': no download")
    assert destroyed.load().empty


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_table_names_what_is_there_and_what_was_not_run(about: Subject) -> None:
    destroyed.write(about)
    found = destroyed_tables.table(destroyed.load())
    table = found.set_index("distortion").to_dict("index")
    assert len(table) == 1 + 32 + 4 and list(found.columns[1:3]) == ["shapes: shape", "shapes: texture"]
    assert table["saturation 2"]["shapes: shape"] == "1.00\u00a0±\u00a00.00"
    assert set(found["cifar10: shape"]) == {"not run"} and table["stylised generated-ghiasi"]["shapes: shape"] == "–"
    panel = destroyed_tables.panels(destroyed.load())["shapes"]
    for name, distortion in transforms.DISTORTIONS.items():  # a path goes through the levels in their order
        assert tuple(panel[panel["distortion"] == name]["level"]) == distortion.levels
    blurred = panel[(panel["distortion"] == "blur") & (panel["level"] == "1")].iloc[0]
    frame = destroyed.load().set_index(["distortion", "level", "metric"])["value"]
    assert (blurred["x"], blurred["y"]) == (frame["blur", "1", "texture"], frame["blur", "1", "shape"])
    html = tables.html(destroyed_tables.table(destroyed.load()), "caption")
    assert 'data-rows="destroyed/shapes-32:blur@1/shape"' in html


def rows_of(cue: str, seed: int, accuracies: dict[str, int]) -> list[dict]:
    at = tables.setting(f"shapes-{cue}")
    common = {"run": f"shapes/normal-w16-s{seed}-0000000{seed}", "dataset": "shapes", "model": "normal", "width": 16}
    common |= {"share": 0.0, "recipe": at.recipe, "seed": seed, "metric": "accuracy", "total": 100}
    return [
        common | dict(zip(("distortion", "level"), place.split("@"), strict=True)) | {"value": n / 100, "count": n}
        for place, n in accuracies.items()
    ]


def test_accuracies_of_single_cue_networks() -> None:
    shape = {"clean@": 90, "blur@1": 80, "patch-shuffle@2": 20, "saturation@0": 10}
    texture = {"clean@": 94, "blur@1": 30, "patch-shuffle@2": 92, "saturation@0": 10}
    lines = [row for seed in (1, 2) for row in rows_of("shape", seed, {k: v + seed for k, v in shape.items()})]
    lines += [row for seed in (1, 2) for row in rows_of("texture", seed, {k: v + seed for k, v in texture.items()})]
    found = destroyed_tables.single_cue_accuracy(frame_of(lines))
    table = destroyed_tables.single_cue_table(found).set_index("distortion").to_dict("index")
    assert len(table) == 33 and table["clean"]["shape alone"] == "91.50 (2 seeds)"
    assert table["patch-shuffle 2"]["texture alone"].rows == (
        "shapes/normal-w16-s1-00000001:patch-shuffle@2/accuracy",
        "shapes/normal-w16-s2-00000002:patch-shuffle@2/accuracy",
    )
    assert table["noise 0.1"]["shape alone"] == "not run"
    panel = destroyed_tables.single_cue_panel(found)
    assert len(panel) == 4 and panel.iloc[0].tolist() == ["clean", "", pytest.approx(0.955), pytest.approx(0.915)]

    places = {"blur@1": (0.9, 0.3), "patch-shuffle@2": (0.2, 0.9), "saturation@0": (0.0, 0.0)}
    guessed = pd.DataFrame(
        [
            {"dataset": "shapes", "distortion": p.split("@")[0], "level": p.split("@")[1], "metric": metric, "value": v}
            for p, pair in places.items()
            for metric, v in zip(("shape", "texture"), pair, strict=True)
        ]
    )
    sentence = destroyed_tables.proxies_sentence(found, guessed)
    assert "Over the 3 distortions" in sentence and "shape-only networks is 1.00" in sentence
    assert "texture-only networks 1.00" in sentence
    assert "not run" in destroyed_tables.proxies_sentence(found, destroyed.load())


def edges(low: float, high: float) -> pd.DataFrame:
    """Pictures of which the filters leave so much of the edges."""
    kept = {("low-pass", "0.1"): low, ("low-pass", "0.2"): low, ("high-pass", "0.1"): high, ("high-pass", "0.2"): high}
    return pd.DataFrame(
        {"dataset": "cifar10", "distortion": name, "level": level, "metric": metric, "value": value}
        for (name, level), value in kept.items()
        for metric in ("shape", "texture")
    )


def test_outlines_are_spoken_of_only_while_the_filters_leave_them_so() -> None:
    said = destroyed_tables.filters_sentence(edges(0.25, 0.875))
    assert (
        "the low-pass filter leaves .25 and .25 of the outlines on CIFAR-10, and the high-pass filter .88 and .88"
        in said
    )
    assert "ahead where most of the edges are gone" in said
    assert "ahead where" not in destroyed_tables.filters_sentence(edges(0.9, 0.875))


def test_on_shapes_the_measure_calls_the_filter_milder_that_leaves_more_edges() -> None:
    kept = edges(0.58, 0.854).assign(dataset="shapes", side=32)
    said = destroyed_tables.filters_on_shapes(kept)
    assert "makes the high-pass filter the milder one: at .2 the edges" in said
    assert "at .58 under the low-pass filter and at .85 under the high-pass" in said
    assert "makes the low-pass filter the milder" in destroyed_tables.filters_on_shapes(
        kept.assign(value=1 - kept["value"])
    )


def test_figures_show_every_path_and_say_when_there_is_nothing() -> None:
    frame = pd.DataFrame(
        [("blur", "1", 0.5, 0.9), ("blur", "2", 0.2, 0.6), ("other", "", 0.4, 0.1)],
        columns=["distortion", "level", "x", "y"],
    )
    figure = plots.kept({"one": frame, "two": frame.iloc[:0]}, ("texture", "shape"))
    (axis,) = figure.axes
    assert [entry.get_text() for entry in figure.legends[0].get_texts()] == ["blur"]  # only what is drawn
    drawn = {line.get_label(): line.get_xydata() for line in axis.lines}
    assert np.asarray(drawn["blur"]).tolist() == [[0.5, 0.9], [0.2, 0.6]] and np.size(drawn["noise"]) == 0
    assert {tuple(np.asarray(line.get_xdata())) for line in axis.lines if str(line.get_label()).startswith("_")} >= {
        (0.4, 0.4)
    }
    assert plots.kept({}, ("a", "b")).texts[0].get_text() == "not run"
    looks = list(plots.DISTORTIONS.values())
    assert list(plots.DISTORTIONS) == [*transforms.DISTORTIONS, "stylised"] and len(set(looks)) == len(looks)
    assert plots.DISTORTIONS["saturation"] == ("#0072B2", "o") and plots.DISTORTIONS["blur"] == ("#56B4E9", "P")
    shown = plots.show_distortions(torch.rand(3, 32, 32))
    titles = [axis.get_title() for axis in shown.axes if axis.get_title()]
    assert titles[:5] == ["saturation\n0", "\n0.5", "\n4", "\n64", "\ninf"] and len(titles) == 5 + 4 + 4 + 4 + 3 + 3 + 3
