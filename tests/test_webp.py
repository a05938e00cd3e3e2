"""Pictures as WebP files: what is kept exactly, and which file is taken."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from atlib.report import webp


def noise(colours: int, side: int = 32) -> webp.Picture:
    """Pixels of so many colours without any order, which a lossy file would blur."""
    drawn = np.random.default_rng(0)
    return drawn.integers(0, 256, (colours, 3), np.uint8)[drawn.integers(0, colours, (side, side))]


def read(content: bytes) -> webp.Picture:
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "WEBP"
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("colours", [1, 2, 8, webp.FEW_COLOURS])
def test_few_colours_stay_what_they_are_even_where_a_loss_would_save(colours: int) -> None:
    picture = noise(colours)
    assert webp.colours(picture) == colours
    assert np.array_equal(read(webp.smallest(picture, quality=1)), picture)
    assert colours == 1 or len(webp.lossy(picture, 1)) < len(webp.lossless(picture))


def test_with_many_colours_the_smaller_file_is_taken() -> None:
    rough = noise(1000)
    assert webp.smallest(rough, 60) == webp.lossy(rough, 60) != webp.lossless(rough)
    flat = np.repeat(np.arange(40, dtype=np.uint8)[:, None], 40, 1)
    assert webp.colours(flat) == 40 and webp.smallest(flat, 100) == webp.lossless(flat)
    assert np.array_equal(read(webp.smallest(flat, 100)), np.stack([flat] * 3, 2)), (
        "grey is written as red = green = blue"
    )


def test_an_address_holds_the_file() -> None:
    content = webp.lossless(noise(3))
    kind, _, text = webp.address(content).partition(",")
    assert kind == "data:image/webp;base64" and base64.b64decode(text) == content
