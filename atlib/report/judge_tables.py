"""What networks that took no part see in an attacked picture, in a sentence: the rows of `atlib.campaign.judges`."""

from __future__ import annotations

from pathlib import Path

from ..campaign.judges import NETWORKS, load


def sentence(folder: Path | None = None) -> str:
    """For how many pictures the change is one that other networks see too, in Markdown."""
    lines = {(one["attacked"], one["change"], one["judge"]): one for one in load(folder).to_dict("records")}

    def share(attacked: str, judge: str, what: str, change: str = "attack") -> str:
        line = lines[attacked, change, judge]
        return f"{100 * line[what] / line['known']:.0f} %"

    robust, plain, judge = NETWORKS
    first, signs = lines[robust, "attack", judge], "random signs"
    other, same = ([share(robust, one, what, signs) for one in (judge, plain)] for what in ("another", "same"))
    return (
        f"How common is that? Of {first['pictures']} test pictures all three networks recognise {first['known']} when "
        f"nothing is changed. On these we attacked {robust} with a budget of {first['eps']}/255. {judge}, which took "
        f"no part, then sees another class in {share(robust, judge, 'another')} of them, and in "
        f"{share(robust, judge, 'same')} the very class that {robust} now sees. For the normal network it is "
        f"{share(robust, plain, 'another')} and {share(robust, plain, 'same')}.\n\n"
        "The size of the change is part of the reason. If the signs of the same changes are drawn at random, "
        f"{judge} sees another class in {other[0]} of the pictures and the normal network in {other[1]}; they see the "
        f"class that {robust} then gives in {same[0]} and {same[1]}. And at so large a budget an attack on the normal "
        "network works on others, too: "
        f"{judge} sees another class in {share(plain, judge, 'another')}, {robust} in "
        f"{share(plain, robust, 'another')}. One attack on one network of each kind illustrates the claim, and doesn't "
        "decide it.\n\n**The horse shows which change makes a network answer differently. It doesn't show which cue "
        "the network goes by on an unchanged picture.**"
    )
