"""Import torchvision, even next to a torch without CUDA: `from atlib._torchvision import torchvision`.

The torchvision on PyPI is built against CUDA. With a CPU-only torch its compiled part cannot be loaded, so its
operators are unknown, and `import torchvision` stops at the first Python line that registers something for them
("operator torchvision::nms does not exist"). Declaring the two by name is enough for models, transforms and data
sets; `torchvision.ops.nms` and `torchvision.io` stay unusable. Where the compiled part loads, nothing is declared.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

OPERATORS = tuple(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor" for name in ("nms", "qnms"))


def compiled_part_loads() -> bool:
    """Whether torchvision's compiled operators can be loaded beside this torch (True, too, if it brings none)."""
    spec = importlib.util.find_spec("torchvision")
    folders = spec.submodule_search_locations if spec else None
    try:
        for library in [so for folder in folders or [] for so in Path(folder).glob("_C*.so")]:
            torch.ops.load_library(library)
    except OSError:
        return False
    return True


def declare_operators() -> torch.library.Library:
    """Declare torchvision's operators without code; they vanish with the library that is returned."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for signature in OPERATORS:
        library.define(signature)
    return library


# An import that fails half-way cannot be repaired, so this is decided beforehand.
_declared = None if compiled_part_loads() else declare_operators()

import torchvision  # noqa: E402

__all__ = ["torchvision"]
