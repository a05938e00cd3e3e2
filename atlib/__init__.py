"""atlib: adversarial training, attacks, distortions and saliency maps on image tensors.

Images are float tensors in [0, 1], N×3×H×W, unless a docstring says otherwise; normalisation is part of the
model, so that attacks, distortions and maps all speak of pixels.
"""

import os

# Idle OpenMP threads spin by default, and two of them beside any other load make torch ten times slower
# (measured: over 100 s for what takes 11). libgomp reads this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"
