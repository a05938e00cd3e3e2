"""How often a picture that an attack has changed becomes another class in the eyes of a network that took no part.

    python -m atlib.report.judges [--pictures 500]

attacks shipped CIFAR-10 networks with the largest budget of the book's slider, asks another robust network what it
sees, and writes results/judges.csv. A person would be the better judge; a network is the one that can be asked a
thousand times.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .. import attacks, data, models, provenance
from ..errors import InputError, command_line, in_range
from ..files import atomic, results_dir
from . import frames

DATASET, JUDGE = "cifar10", "pgd-linf-2"
ATTACKED = ("pgd-linf-8", "normal")
EPS, STEPS, BATCH = max(frames.EPS), frames.STEPS[-1], 100


def answers(network: nn.Module, images: Tensor) -> Tensor:
    """The class that a network gives each picture."""
    with torch.no_grad():
        return network(images).argmax(1)


def judged(attacked: nn.Module, judge: nn.Module, images: Tensor, labels: Tensor) -> dict[str, int]:
    """Counts over pictures that both networks know unchanged, after an attack on one of them (PGD, from the picture).

    known: these pictures; fooled: the attacked network gives another class than the true one; another: the judge does;
    same: the judge gives the very class that the attacked network now gives, and it is another one than the true one.
    """
    both = (answers(attacked, images) == labels) & (answers(judge, images) == labels)
    images, labels = images[both], labels[both]
    size = attacks.default_step(EPS / 255, STEPS)
    changed = attacks.pgd(attacked, images, labels, eps=EPS / 255, steps=STEPS, step_size=size)
    own, seen = answers(attacked, changed), answers(judge, changed)
    another = seen != labels
    counts = {"known": len(labels), "fooled": (own != labels).sum(), "another": another.sum()}
    return {name: int(count) for name, count in (counts | {"same": (another & (seen == own)).sum()}).items()}


def measure(pictures: int) -> pd.DataFrame:
    """One line for each of ATTACKED: counts over the first test pictures, and where they come from."""
    began, test = provenance.record(torch.device("cpu")), data.load(DATASET, progress=False).test
    in_range("pictures", pictures, 1, len(test.labels), whole=True)
    networks = {name: models.fold(models.load(f"{DATASET}/{name}")[0]) for name in (*ATTACKED, JUDGE)}
    lines = []
    for name in ATTACKED:
        counts = {"known": 0, "fooled": 0, "another": 0, "same": 0}
        for begin in tqdm(range(0, pictures, BATCH), name):
            here = slice(begin, min(begin + BATCH, pictures))
            images = data.prepare(test.images[here], 32)
            found = judged(networks[name], networks[JUDGE], images, test.labels[here])
            counts = {key: counts[key] + found[key] for key in counts}
        given = {"dataset": DATASET, "attacked": name, "judge": JUDGE, "eps": EPS, "steps": STEPS, "pictures": pictures}
        where = {"seed": 1, "processor": provenance.processor(), "commit": began["commit"]}
        lines.append(given | counts | where)
    return pd.DataFrame(lines)


def load(folder: Path | None = None) -> pd.DataFrame:
    """What `measure` found when it was last written; InputError if it never was."""
    path = (folder or results_dir()) / "judges.csv"
    if not path.is_file():
        raise InputError(f"{path}: not there; python -m atlib.report.judges writes it")
    return pd.read_csv(path)


def sentence(folder: Path | None = None) -> str:
    """For how many pictures the change is one that another robust network sees too, in Markdown."""
    found = load(folder).set_index("attacked")
    robust, plain = found.loc[ATTACKED[0]], found.loc[ATTACKED[1]]

    def share(line: pd.Series, what: str) -> str:
        return f"{100 * line[what] / line['known']:.0f} %"

    return (
        f"How common is that? Of {robust['known']} test pictures that both networks know unchanged, an attack of "
        f"{robust['eps']}/255 on {ATTACKED[0]} turns {robust['another']} ({share(robust, 'another')}) into another "
        f"class in the eyes of {JUDGE}, which took no part; for {robust['same']} ({share(robust, 'same')}) it is the "
        f"very class that {ATTACKED[0]} now sees. The same attack on the normal network fools that network on "
        f"{share(plain, 'fooled')} of its pictures, but {JUDGE} on {share(plain, 'another')}, and on "
        f"{share(plain, 'same')} with the same class. This shows what changes a robust network's answer, not what the "
        "network uses to find it."
    )


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(prog="python -m atlib.report.judges", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", type=int, default=500)
    path = results_dir() / "judges.csv"
    found = measure(parser.parse_args(arguments).pictures)
    with atomic(path) as temporary:
        found.to_csv(temporary, index=False)
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
