"""atlib: adversarial training, attacks, distortions and saliency maps on image tensors.

Images are float tensors in [0, 1], N×3×H×W, unless a docstring says otherwise; normalisation is part of the
model, so that attacks, distortions and maps all speak of pixels.

`import atlib` is quick: the modules in `__all__`, which are the public interface, are imported on first use
(`atlib.attacks.pgd`). Everything documented in them is public, except names that begin with "_".
"""

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors, which don't run __getattr__
    from . import (
        attacks,
        barred,
        between,
        configuration,
        data,
        errors,
        evaluation,
        examples,
        files,
        gradients,
        measured,
        measurements,
        models,
        networks,
        own,
        progress,
        provenance,
        rows,
        saliency,
        shapes,
        stronger,
        style,
        suspicions,
        tensors,
        textures,
        training,
        transforms,
        underfit,
    )

# Idle OpenMP threads spin by default, and two of them next to any other load make torch ten times slower
# (measured: over 100 s for what takes 11). libgomp reads these once, when torch is loaded. Letting a
# thread spin a thousand times before it sleeps makes small networks a quarter faster on an idle machine, and as much
# slower next to a fully used core.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
__all__ = [
    "attacks", "barred", "between", "configuration", "data", "errors", "evaluation", "examples", "files", "gradients",
    "measured", "measurements", "models", "networks", "own", "progress", "provenance", "rows", "saliency", "shapes",
    "stronger", "style", "suspicions", "tensors", "textures", "training", "transforms", "underfit",
]  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    """Import a public module when it is first used."""
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
