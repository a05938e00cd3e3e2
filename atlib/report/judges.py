"""How often a picture that an attack has changed becomes another class in the eyes of a network that took no part.

    python -m atlib.report.judges [--pictures 200]

attacks shipped CIFAR-10 networks with the largest budget of the book's slider, asks networks that took no part what
they see, and writes results/judges.csv. A person would be the better judge; a network is the one that can be asked
many times.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .. import attacks, data, models, provenance
from ..errors import InputError, command_line, in_range
from ..files import atomic, results_dir
from . import frames

DATASET, NETWORKS = "cifar10", ("pgd-linf-8", "normal", "pgd-linf-2")
ATTACKED = ("pgd-linf-8", "normal")  # each is judged by the two others
EPS, STEPS, BATCH = max(frames.EPS), frames.STEPS[-1], 50


def answers(network: nn.Module, images: Tensor) -> Tensor:
    """The class that a network gives each picture."""
    with torch.no_grad():
        return network(images).argmax(1)


def judged(networks: Mapping[str, nn.Module], attacked: str, images: Tensor, labels: Tensor) -> dict[str, Counter[str]]:
    """Counts by judge, over pictures that all networks know unchanged, after an attack on one (PGD, from the picture).

    known: these pictures; fooled: the attacked network gives another class than the true one; another: the judge does;
    same: the judge gives the very class that the attacked network now gives, and it is another one than the true one.
    """
    all_know = torch.stack([answers(network, images) == labels for network in networks.values()]).all(0)
    images, labels = images[all_know], labels[all_know]
    size = attacks.default_step(EPS / 255, STEPS)
    changed = attacks.pgd(networks[attacked], images, labels, eps=EPS / 255, steps=STEPS, step_size=size)
    own, found = answers(networks[attacked], changed), {}
    for name in networks:
        if name != attacked:
            seen = answers(networks[name], changed)
            another = seen != labels
            counts = {"fooled": own != labels, "another": another, "same": another & (seen == own)}
            found[name] = Counter({key: int(value.sum()) for key, value in counts.items()} | {"known": len(labels)})
    return found


def measure(pictures: int) -> pd.DataFrame:
    """One line for each attacked network and judge: counts over the first test pictures, and where they come from."""
    began, test = provenance.record(torch.device("cpu")), data.load(DATASET, progress=False).test
    in_range("pictures", pictures, 1, len(test.labels), whole=True)
    networks = {name: models.fold(models.load(f"{DATASET}/{name}")[0]) for name in NETWORKS}
    lines = []
    for name in ATTACKED:
        total: dict[str, Counter[str]] = {judge: Counter() for judge in NETWORKS if judge != name}
        for begin in tqdm(range(0, pictures, BATCH), name):
            here = slice(begin, min(begin + BATCH, pictures))
            found = judged(networks, name, data.prepare(test.images[here], 32), test.labels[here])
            total = {judge: count + found[judge] for judge, count in total.items()}
        for judge, count in total.items():
            given = {"dataset": DATASET, "attacked": name, "judge": judge, "eps": EPS, "steps": STEPS}
            counts = {"pictures": pictures} | {key: count[key] for key in ("known", "fooled", "another", "same")}
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
    """For how many pictures the change is one that other networks see too, in Markdown."""
    lines = {(one["attacked"], one["judge"]): one for one in load(folder).to_dict("records")}

    def share(attacked: str, judge: str, what: str) -> str:
        line = lines[attacked, judge]
        return f"{100 * line[what] / line['known']:.0f} %"

    robust, plain, judge = NETWORKS
    first = lines[robust, judge]
    return (
        f"How common is that? Of {first['known']} test pictures that all networks here know unchanged, an attack of "
        f"{first['eps']}/255 on {robust} turns {share(robust, judge, 'another')} into another class in the eyes of "
        f"{judge}, which took no part, and {share(robust, judge, 'same')} into the very class that {robust} now sees; "
        f"in the eyes of the normal network, {share(robust, plain, 'another')} and {share(robust, plain, 'same')}. But "
        f"at so large a budget an attack on the normal network works on others as well: {judge} sees another class in "
        f"{share(plain, judge, 'another')}, {robust} in {share(plain, robust, 'another')}. Random changes of that size "
        "were not tried, so part of this may only show that they break any network. One attack on one network "
        "of each kind illustrates the claim, and doesn't decide it.\n\n**The horse shows what changes a network's "
        "answer. It doesn't show what the network uses to find it.**"
    )


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(prog="python -m atlib.report.judges", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", type=int, default=200)
    path = results_dir() / "judges.csv"
    found = measure(parser.parse_args(arguments).pictures)
    with atomic(path) as temporary:
        found.to_csv(temporary, index=False)
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
