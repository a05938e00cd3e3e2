"""Pictures as WebP files, and those as `data:` addresses, for pages that hold their pictures themselves."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]  # H×W (grey) or H×W×3
FEW_COLOURS = 16  # so few are kept as they are: a loss would show, as it does where saturation leaves only eight


def lossless(picture: Picture) -> bytes:
    """A file without loss."""
    return _file(picture, lossless=True, exact=True)


def lossy(picture: Picture, quality: int) -> bytes:
    """A file with a loss; quality: from 0 to 100, as Pillow has it."""
    return _file(picture, quality=quality)


def smallest(picture: Picture, quality: int = 85) -> bytes:
    """A file without loss where that is smaller or the picture has few colours, else a lossy one."""
    exact = lossless(picture)
    return exact if colours(picture) <= FEW_COLOURS else min(exact, lossy(picture, quality), key=len)


def colours(picture: Picture) -> int:
    """How many colours, or greys, a picture has."""
    pixels = picture.reshape(-1, picture.shape[2] if picture.ndim == 3 else 1)
    return len(np.unique(pixels, axis=0))


def address(content: bytes) -> str:
    """A file's content as a `data:` address."""
    return "data:image/webp;base64," + base64.b64encode(content).decode()


def _file(picture: Picture, **options: bool | int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).convert("RGB").save(buffer, "webp", method=6, **options)
    return buffer.getvalue()
