"""What is chosen by name: what a network is trained against, its first layer, which cue tells the class in `shapes`.

It imports nothing, so that parameters can be checked before torch is loaded, which takes seconds.
"""

from __future__ import annotations

from typing import NamedTuple

NORMS = ("linf", "l2")
CUES = ("both", "shape", "texture")  # what tells the class in pictures of the data set shapes


class Stem(NamedTuple):
    """A network's first layer: side and stride of its kernel, and whether a maximum over 3×3 with stride 2 follows.

    recipe: what `Config.recipe` calls it.
    """

    kernel: int
    stride: int
    recipe: str
    pooled: bool = False


STEMS = {
    "3x3": Stem(3, 1, "stride1"),
    "3x3-stride2": Stem(3, 2, "stride2"),
    "7x7": Stem(7, 2, "stem7", pooled=True),
}


class Attack(NamedTuple):
    """What training against an attack means for a run.

    model: a format string for the network's name, filled in from the run's parameters: a word, then "{norm}" or
    nothing, then one number or none, "-{PARAMETER:g}". parameters: those that can be chosen with this attack; a job
    refuses all other names in `BELONGS`, and a resolved configuration has None or a fixed value there. adversary: it
    looks for pictures that the network gets wrong (False: the normal network, and controls). projected: by gradient
    steps within a ball of radius eps, as PGD does and, with one step, FGSM.
    """

    model: str
    parameters: tuple[str, ...]
    adversary: bool = True
    projected: bool = False


ATTACKS = {
    "none": Attack("normal", ("match",), adversary=False),
    "fgsm": Attack("fgsm-{eps:g}", ("norm", "eps", "share"), projected=True),
    "pgd": Attack("pgd-{norm}-{eps:g}", ("norm", "eps", "steps", "step_size", "random_start", "share"), projected=True),
    "spatial": Attack("spatial", ("steps", "tau", "max_flow", "share")),
    "noise": Attack("noise-{sigma:g}", ("sigma", "share"), adversary=False),
    "blur": Attack("blur-{sigma:g}", ("sigma", "share"), adversary=False),
}
UNDERFIT = "underfit"  # a normal network that matches another's accuracy; with a number, that accuracy: underfit-0.8
# The attacks that each of these parameters belongs to.
BELONGS = {
    name: tuple(attack for attack, about in ATTACKS.items() if name in about.parameters)
    for name in dict.fromkeys(name for about in ATTACKS.values() for name in about.parameters)
}


class Numbered(NamedTuple):
    """A model's name before its number: the parameters of `configuration.resolve` that it gives, and the number's."""

    given: dict[str, str]
    number: str


def _names() -> tuple[dict[str, dict[str, str]], dict[str, Numbered]]:
    """What models' names mean: whole names, and what stands before a number in the others."""
    plain, numbered = {}, {}
    for attack, about in ATTACKS.items():
        for norm in NORMS if "{norm}" in about.model else ("",):
            name, _, number = about.model.replace("{norm}", norm).partition("-{")
            given = {"attack": attack} | ({"norm": norm} if norm else {})
            if number:
                numbered[name] = Numbered(given, number.removesuffix(":g}"))
            else:
                plain[name] = given
    return plain | {UNDERFIT: {"attack": "none"}}, numbered | {UNDERFIT: Numbered({"attack": "none"}, "match")}


PLAIN, NUMBERED = _names()
