"""CIFAR-10 from its parts (500 pictures a file, stacked, lossless WebP) to one .npz: unpack.py FROM TO."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from atlib.files import atomic


def pictures(part: Path) -> np.ndarray:
    """uint8, N×32×32×3, in the official order."""
    return np.asarray(Image.open(part).convert("RGB")).reshape(-1, 32, 32, 3)


def main(source: Path, target: Path) -> None:
    """Nothing is written unless there is a picture for every label."""
    with ThreadPoolExecutor() as pool:  # Pillow decodes without Python's lock
        found = {
            split: np.concatenate(
                list(pool.map(pictures, sorted(source.rglob(f"{split}-*.webp"), key=lambda p: p.name)))
            )
            for split in ("train", "test")
        }
    with np.load(next(source.rglob("labels.npz"))) as labels:
        content = {f"x_{split}": images for split, images in found.items()} | dict(labels)
    for split, images in found.items():
        if len(images) != len(content[f"y_{split}"]):
            sys.exit(
                f"error: {len(images)} {split} pictures for {len(content[f'y_{split}'])} labels; is a part missing?"
            )
    with atomic(target) as temporary, open(temporary, "wb") as stream:
        np.savez(stream, **content)
    print(f"{target}: {len(found['train'])} + {len(found['test'])} pictures")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
