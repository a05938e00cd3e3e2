"""SmoothGrad with less noise, as the book shows it: the rows of `atlib.campaign.sigmas` as a table and a sentence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..campaign.sigmas import METRICS, SIGMAS, read


def table(frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """A line for each network and σ, with each metric and its interval over pictures."""
    frame = read() if frame is None else frame
    lines = []
    for (name, sigma), mine in frame.groupby(["model", "sigma"], sort=False):
        line: dict[str, object] = {"network": name, "sigma": f"{sigma:g}"}
        for metric in METRICS:
            one = mine[mine["metric"] == metric]
            text = "–" if one.empty else "{value:.2f} [{low:.2f}, {high:.2f}]".format(**one.iloc[0])
            line[metric.replace("_", " ")] = text.replace("-", "−")
        lines.append(line)
    return pd.DataFrame(lines)


def sentence(ordinary: str, robust: str, frame: pd.DataFrame | None = None) -> str:
    """How many noisy copies two networks recognise, and how far their maps lie on edges with the least noise and with
    the paper's, in Markdown; "" without all these rows.

    ordinary, robust: shipped networks, as the rows name them.
    """
    frame = read() if frame is None else frame
    edges, asked = (frame[frame["metric"] == metric] for metric in ("edge_correlation", "recognised"))

    def at(name: str, sigma: float) -> pd.Series:
        return edges[(edges["model"] == name) & np.isclose(edges["sigma"].astype(float), sigma)].iloc[0]

    def shown(name: str, sigma: float) -> str:
        return "{value:.2f} [{low:.2f}, {high:.2f}]".format(**at(name, sigma))

    def recognised(name: str) -> str:
        mine = asked[asked["model"] == name]
        line = mine[np.isclose(mine["sigma"].astype(float), SIGMAS[-1])].iloc[0]
        return f"{100 * line['value']:.0f} % [{100 * line['low']:.0f}, {100 * line['high']:.0f}]"

    few, paper = SIGMAS[0], SIGMAS[-1]
    for rows, sigmas in ((edges, (few, paper)), (asked, (paper,))):
        here = {(line["model"], line["sigma"]) for line in rows.to_dict("records")}
        if not here >= {(name, sigma) for name in (ordinary, robust) for sigma in sigmas}:
            return ""
    apart = at(ordinary, few)["high"] < at(robust, few)["low"]
    alike = at(ordinary, paper)["high"] >= at(robust, paper)["low"]
    seen = "So for this ordinary network, much of the agreement with edges appears only once noise is added. "
    cause = seen if apart and alike else ""
    return (
        f"Of SmoothGrad's own noisy copies one ordinary network recognises {recognised(ordinary)} and one "
        f"adversarially trained network {recognised(robust)}. How closely their maps follow edges also depends on that "
        f"noise. With a fifth of it (σ = {few:g} of a picture's range instead of {paper:g}) the correlation with edges "
        f"is {shown(ordinary, few)} for the ordinary network's maps and {shown(robust, few)} for the "
        "adversarially trained one's; with the paper's, "
        f"{shown(ordinary, paper)} and {shown(robust, paper)}. {cause}These are one network of each kind on "
        f"{int(edges['total'].min())} CIFAR-10 pictures, looked at after the claims were judged."
    )
