"""Random draws that depend on their generator alone: single precision, whatever torch's default type or device is."""

from __future__ import annotations

import torch
from torch import Tensor


def rand(*size: int, generator: torch.Generator | None = None) -> Tensor:
    """Uniform in [0, 1), float32, on the generator's device (without one: the CPU)."""
    return torch.rand(size, generator=generator, dtype=torch.float32, device=place(generator))


def randn(*size: int, generator: torch.Generator | None = None) -> Tensor:
    """Standard normal, float32, on the generator's device (without one: the CPU)."""
    return torch.randn(size, generator=generator, dtype=torch.float32, device=place(generator))


def place(generator: torch.Generator | None) -> torch.device:
    """Where a generator draws."""
    return torch.device("cpu") if generator is None else generator.device
