"""Cue conflict on photographs: the draw, the strength, the pictures, and what is measured of them."""

import pytest
import torch
from torch import nn

from atlib import data, evaluation, measurements
from atlib.campaign import cues as making
from atlib.campaign import grid, needs
from atlib.errors import InputError
from atlib.style import Stylist, cues

CLASSES = ("BACKGROUND_Google", "a", "b", "c", "Faces_easy")


def photographs(counts=(9, 30, 5, 7, 4)):
    """A tiny data set: every picture is as bright as its class and its number say."""
    labels = torch.cat([torch.full((n,), kind) for kind, n in enumerate(counts)])
    images = torch.stack([torch.full((3, 8, 8), 40 * kind, dtype=torch.uint8) for kind in labels.tolist()])
    split = data.Split(images, labels)
    return data.Dataset("caltech101", CLASSES, 8, "none", "here", (), split, split, split)


# its code is the mean of a picture, and it paints pictures of a code
PAINTER = Stylist(
    "plain",
    "none",
    8,
    lambda pictures: pictures.mean((1, 2, 3))[:, None],
    lambda images, codes: codes[:, :, None, None].expand(-1, 3, 8, 8),
)


class Nearest(nn.Module):
    """Answers by the class whose brightness is nearest."""

    def forward(self, images):
        levels = torch.tensor([40 * kind / 255 for kind in range(5)])
        return -(images.mean((1, 2, 3))[:, None] - levels).abs()


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    monkeypatch.setenv("ATLIB_DATA", str(tmp_path))
    return photographs()


def test_the_draw_is_balanced_and_never_of_the_same_class():
    dataset = photographs()
    labels = dataset.test.labels
    one = cues.draw(labels, CLASSES, 8)
    contents, styles = labels[one.contents], labels[one.styles]
    assert torch.bincount(contents, minlength=5).tolist() == [0, 20, 5, 7, 0]
    assert not (contents == styles).any()
    assert len(one.contents.unique()) == 32
    assert set(one.tops.tolist()) | set(one.lefts.tolist()) == set(range(5))
    again = cues.draw(labels, CLASSES, 8)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.contents, cues.draw(labels, CLASSES, 8, seed=1).contents)
    with pytest.raises(
        InputError, match=r"^seed = 4294967296: must be a whole number at least 0 and at most 4294967295"
    ):
        cues.draw(labels, CLASSES, 8, seed=2**32)


def test_each_class_gives_its_style_equally_often_where_that_is_possible():
    labels = torch.arange(4).repeat_interleave(6)
    drawn = cues.draw(labels, ("a", "b", "c", "d"), 8)
    assert torch.bincount(labels[drawn.styles]).tolist() == [6, 6, 6, 6]


def test_one_class_alone_is_refused():
    with pytest.raises(InputError, match="at least 2"):
        cues.draw(torch.zeros(3, dtype=torch.int64), ("a", "b"), 8)
    with pytest.raises(InputError, match="more than half of the pictures"):
        cues.draw(torch.tensor([0] * 9 + [1]), ("a", "b"), 8)


@pytest.mark.parametrize(
    ("coverages", "strength"),
    [({0.25: 0.9, 0.5: 0.7, 0.75: 0.5, 1.0: 0.4}, 0.75), ({0.25: 0.4, 0.5: 0.45, 0.75: 0.3, 1.0: 0.2}, 0.5)],
)
def test_the_strength_is_the_largest_that_covers_half(coverages, strength):
    assert cues.chosen(coverages) == strength


def test_strength_moves_the_code_from_the_pictures_own_to_the_patchs(dataset):
    drawn = cues.draw(dataset.test.labels, CLASSES, 8)
    labels = dataset.test.labels
    own, style = (40 * labels[places].float() for places in (drawn.contents, drawn.styles))
    for strength in (0.0, 0.25, 1.0):
        found = cues.restyled(dataset.test.images, drawn, PAINTER, strength)
        assert found.dtype == torch.uint8 and found.shape == (32, 3, 8, 8)
        expected = own + strength * (style - own)
        assert torch.allclose(found.float().mean((1, 2, 3)), expected, atol=0.51)


def test_painting_goes_on_where_it_was(dataset, monkeypatch):
    monkeypatch.setattr(cues, "CHUNK", 10)
    painted = []
    plain = cues.restyled

    def counted(images, drawn, stylist, strength):
        painted.append(len(drawn.contents))
        return plain(images, drawn, stylist, strength)

    monkeypatch.setattr(cues, "restyled", counted)
    some = cues.paint(dataset, 0.5, PAINTER, until=15)
    assert some is not None and len(some) == 15
    assert painted == [10, 10]
    assert cues.paint(dataset, 0.5, PAINTER, minutes=0) is None
    whole = cues.paint(dataset, 0.5, PAINTER)
    assert painted == [10, 10, 10, 2] and whole is not None and len(whole) == 32


def test_the_strength_is_fixed_once(dataset):
    found = dict.fromkeys(cues.STRENGTHS, 0.6)
    assert cues.settle(dataset, found, PAINTER, "caltech101/x") == 1.0
    assert cues.settle(dataset, found, PAINTER, "caltech101/x") == 1.0
    with pytest.raises(InputError, match="fixed only once"):
        cues.settle(dataset, found | {1.0: 0.1}, PAINTER, "caltech101/x")


def test_answers_by_content_by_style_and_by_neither(dataset):
    subject = measurements.Subject(Nearest(), dataset.test, 8, torch.device("cpu"), dataset="caltech101")
    assert measurements.MEASUREMENTS["conflict"].levels(subject) == ()
    with pytest.raises(InputError, match="not been fixed"):
        cues.finish(dataset, PAINTER)
    cues.settle(dataset, {0.25: 0.9, 0.5: 0.1, 0.75: 0.1, 1.0: 0.1}, PAINTER, "caltech101/x")
    assert cues.finish(dataset, PAINTER, minutes=0) is None
    assert cues.finish(dataset, PAINTER) is not None
    assert measurements.MEASUREMENTS["conflict"].levels(subject) == ("",)
    found = measurements.MEASUREMENTS["conflict"].measure(subject, "")
    rows = {row.metric: row for row in found.rows}
    # a quarter of the way to another class is nearest to the content, or halfway to what lies between the two
    labels, textures = found.arrays["labels"], found.arrays["textures"]
    expected = abs(labels.astype(int) - textures.astype(int)) == 1
    assert rows["shape_accuracy"].count == int(expected.sum()) + int((found.arrays["class"] == labels)[~expected].sum())
    assert rows["shape_bias"].value == 1 and rows["texture_accuracy"].count == 0
    assert rows["coverage"].total == 32 and found.record["cues"]["strength"] == 0.25
    other = measurements.Subject(
        Nearest(), photographs((2, 9, 9, 9, 1)).test, 8, torch.device("cpu"), dataset="caltech101"
    )
    assert measurements.MEASUREMENTS["conflict"].levels(other) == ()


def test_a_block_that_asks_for_cue_conflict_waits_for_its_pictures(dataset):
    cells = [p for p in grid.load() if p.config.dataset == "caltech101"]
    asked = next(p for p in cells if p.measure == ("clean", "conflict"))
    assert asked.expected == ["clean@", "conflict@"]
    assert needs.missing(asked) == ("clean@",)
    assert "conflict@" in needs.out_of_reach(asked) and "atlib.campaign.cues" in needs.out_of_reach(asked)["conflict@"]
    silent = next(p for p in cells if not p.measure)
    assert "conflict@" not in silent.expected and "conflict@" not in evaluation.lacking(silent.config)
    cues.settle(dataset, {0.25: 0.9, 0.5: 0.1, 0.75: 0.1, 1.0: 0.1}, PAINTER, "caltech101/x")
    cues.finish(dataset, PAINTER)
    assert cues.lacking("caltech101", 8) == "" and "these test pictures" in cues.lacking("caltech101", 8, "others")


def test_cue_conflict_that_is_asked_for_by_name_says_what_is_missing(dataset):
    subject = measurements.Subject(Nearest(), dataset.test, 8, torch.device("cpu"), dataset="caltech101")
    assert evaluation.wanted(subject, ("conflict",)) == [("conflict", "")]
    assert evaluation.wanted(subject, ("clean", "conflict@")) == [("clean", ""), ("conflict", "")]
    with pytest.raises(InputError, match="'caltech101': no cue-conflict pictures of these test pictures; "):
        evaluation.measurable(subject, ("conflict",), "x")
    assert ("conflict", "") not in evaluation.wanted(subject)


def test_coverage_counts_answers_by_either_class():
    images = torch.stack([torch.full((3, 8, 8), grey, dtype=torch.uint8) for grey in (40, 80, 120)])
    found = making.coverage(Nearest(), images, torch.tensor([1, 3, 1]), torch.tensor([2, 2, 2]), 8)
    assert found == pytest.approx(2 / 3)
