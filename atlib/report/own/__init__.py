"""The page about a network from elsewhere: what was measured, and where it stands between this report's networks.

    python -m atlib.report.own my_file:my_function cifar10 --limit 2000

or, in Python,

    page = report.own.write(own.evaluate(own.subject(model, "cifar10")))     # report.html beside the measurements

The page is one file that loads nothing: a summary in sentences, what makes one suspicious, curves of every distortion
beside this report's networks, pictures with their maps, and a table of all numbers.

Its modules, from the bottom up: `beside`, the numbers beside those of this report's networks; `sentences`, `pictures`
and `page`, what the page says, draws and is; `example`, the two networks that the book measures.
"""

from .beside import APART, KINDS, RESOLVED, Measured, Published, cut, reference_runs, standing, stands
from .example import how_long, published, sentence, side_by_side
from .page import body, closing, html, numbers, said_body, warned, write
from .pictures import curves, examples
from .sentences import ATTACK, of_references, robustness, summary

# the API page lists them in this order
__all__ = [  # noqa: RUF022
    "write", "html", "body", "said_body", "closing", "warned", "summary", "robustness", "of_references", "curves",
    "examples", "numbers", "standing", "stands", "Measured", "Published", "reference_runs", "cut",
    "published", "side_by_side", "sentence", "how_long",
    "APART", "RESOLVED", "KINDS", "ATTACK",
]  # fmt: skip
