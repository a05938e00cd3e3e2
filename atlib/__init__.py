"""atlib: adversarial training, attacks, distortions and saliency maps on image tensors.

Images are float tensors in [0, 1], N×3×H×W, unless a docstring says otherwise; normalisation is part of the
model, so that attacks, distortions and maps all speak of pixels.
"""

import os

# Idle OpenMP threads spin by default, and two of them beside any other load make torch ten times slower
# (measured: over 100 s for what takes 11). libgomp reads these once, when torch is loaded. A thousand turns before
# a thread sleeps make small networks a quarter faster on an idle machine and cost as much beside a full core.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"
