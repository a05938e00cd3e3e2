"""The colours and markers of the report's figures: Okabe and Ito's palette, safe for colour-blind readers."""

from __future__ import annotations

# One colour per family of networks on every page.
FAMILIES = {
    "normal": "#000000",
    "underfit": "#999999",
    "pgd-linf": "#0072B2",
    "pgd-l2": "#56B4E9",
    "fgsm": "#E69F00",
    "spatial": "#009E73",
    "noise": "#D55E00",
    "blur": "#CC79A7",
}
# For what has no colour of its own; when the colours are used up they begin again, with other markers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#999999", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "v", "^", "D", "X", "P", "<", ">", "h", "p")


def family(model: str) -> str:
    """The family of a model's name: pgd-linf-8 is of pgd-linf."""
    return next((name for name in sorted(FAMILIES, key=len, reverse=True) if model.startswith(name)), "normal")
