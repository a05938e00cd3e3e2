"""What a network can be trained against, in one table; checks that must not wait for torch to be imported read it."""

from __future__ import annotations

from typing import NamedTuple

NORMS = ("linf", "l2")


class Attack(NamedTuple):
    """What training against an attack means for a run.

    model: what the network is called, filled in from the parameters. parameters: those that can be chosen with this
    attack; a job refuses all other names in `BELONGS`, and `configuration.resolve` sets them to None. adversary:
    whether it looks for pictures that the network gets wrong; the others are controls.
    """

    model: str
    parameters: tuple[str, ...]
    adversary: bool = True


ATTACKS = {
    "none": Attack("normal", ("match",), adversary=False),
    "fgsm": Attack("fgsm-{eps:g}", ("norm", "eps", "share")),
    "pgd": Attack("pgd-{norm}-{eps:g}", ("norm", "eps", "steps", "step_size", "random_start", "share")),
    "spatial": Attack("spatial", ("steps", "tau", "max_flow", "share")),
    "noise": Attack("noise-{sigma:g}", ("sigma", "share"), adversary=False),
    "blur": Attack("blur-{sigma:g}", ("sigma", "share"), adversary=False),
}
UNDERFIT = "underfit"  # a normal network that matches another's accuracy; with a number, that accuracy: underfit-0.8
# Each parameter that only some attacks have, and which.
BELONGS = {
    name: tuple(attack for attack, about in ATTACKS.items() if name in about.parameters)
    for name in dict.fromkeys(name for about in ATTACKS.values() for name in about.parameters)
}


class Kind(NamedTuple):
    """What a model's name means without its number: parameters of `configuration.resolve`, and which the number is."""

    given: dict[str, str]
    number: str


def _kinds() -> tuple[dict[str, Kind], dict[str, Kind]]:
    """The names of models without a number, and those that a number follows."""
    plain = {UNDERFIT: Kind({"attack": "none"}, "")}
    numbered = {UNDERFIT: Kind({"attack": "none"}, "match")}
    for attack, about in ATTACKS.items():
        for norm in NORMS if "{norm}" in about.model else ("",):
            name, _, number = about.model.replace("{norm}", norm).partition("-{")
            given = {"attack": attack} | ({"norm": norm} if norm else {})
            (numbered if number else plain)[name] = Kind(given, number.removesuffix(":g}"))
    return plain, numbered


PLAIN, NUMBERED = _kinds()
