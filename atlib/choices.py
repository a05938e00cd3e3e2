"""What can be chosen about a training, for checks that must not wait for torch to be imported."""

from __future__ import annotations

ATTACKS = ("none", "fgsm", "pgd", "spatial", "noise", "blur")  # the last two are controls, not attacks
# Parameters that only some attacks have. A job refuses them for any other attack, which would ignore them; `resolve`
# sets them to None.
BELONGS = {
    "norm": ("pgd", "fgsm"),
    "eps": ("pgd", "fgsm"),
    "steps": ("pgd", "spatial"),
    "step_size": ("pgd",),
    "random_start": ("pgd",),
    "tau": ("spatial",),
    "max_flow": ("spatial",),
    "sigma": ("noise", "blur"),
    "share": ("pgd", "fgsm", "spatial", "noise", "blur"),
    "match": ("none",),
}
