"""How often a picture that an attack has changed becomes another class in the eyes of a network that took no part.

    python -m atlib.campaign.judges [--pictures 200]

attacks shipped CIFAR-10 networks with the largest budget of the book's slider, asks networks that took no part what
they see, and writes results/judges.csv. Each is also shown the same changes with random signs, which are about as
large (pixels stay in their range) and have no direction: what these do, size does. A person would be the better judge;
a network is the one that can be asked many times. `atlib.report.judge_tables` says what was found.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .. import attacks, data, models, provenance
from ..errors import Missing, command_line, in_range
from ..files import atomic, results_dir

DATASET, NETWORKS = "cifar10", ("pgd-linf-8", "normal", "pgd-linf-2")
ATTACKED = ("pgd-linf-8", "normal")  # each is judged by the two others
CHANGES = ("attack", "random signs")
EPS, STEPS = 64, 40  # the largest budget of the book's slider, in 1/255, and its attack's last step
BATCH, SEED = 50, 1


def answers(network: nn.Module, images: Tensor) -> Tensor:
    """The class that a network gives each picture."""
    with torch.no_grad():
        return network(images).argmax(1)


def judged(
    networks: Mapping[str, nn.Module], attacked: str, images: Tensor, labels: Tensor, generator: torch.Generator
) -> dict[tuple[str, str], Counter[str]]:
    """Counts by change and judge, over pictures that all networks know unchanged. The attack is PGD from the picture.

    known: these pictures; fooled: the attacked network gives another class than the true one; another: the judge does;
    same: the judge gives the very class that the attacked network now gives, and it is another one than the true one.
    generator: draws the signs of the changes that have the attack's size and no direction.
    """
    all_know = torch.stack([answers(network, images) == labels for network in networks.values()]).all(0)
    images, labels = images[all_know], labels[all_know]
    size = attacks.default_step(EPS / 255, STEPS)
    changed = attacks.pgd(networks[attacked], images, labels, eps=EPS / 255, steps=STEPS, step_size=size)
    signs = torch.randint(0, 2, images.shape, generator=generator) * 2 - 1
    shaken = (images + (changed - images).abs() * signs).clamp(0, 1)
    found = {}
    for change, shown in zip(CHANGES, (changed, shaken), strict=True):
        own = answers(networks[attacked], shown)
        for judge in networks:
            if judge != attacked:
                seen = answers(networks[judge], shown)
                another = seen != labels
                counts = {"fooled": own != labels, "another": another, "same": another & (seen == own)}
                whole = {key: int(value.sum()) for key, value in counts.items()}
                found[change, judge] = Counter(whole | {"known": len(labels)})
    return found


def measure(pictures: int) -> pd.DataFrame:
    """One line for each attacked network, change and judge: counts over the first test pictures, and their origin."""
    provenance.committed()  # published rows name the commit that measured them
    began, test = provenance.record(torch.device("cpu")), data.load(DATASET, progress=False).test
    in_range("pictures", pictures, 1, len(test.labels), whole=True)
    networks = {name: models.fold(models.load(f"{DATASET}/{name}")[0]) for name in NETWORKS}
    lines, generator = [], torch.Generator().manual_seed(SEED)
    for name in ATTACKED:
        total: Counter[tuple[str, str, str]] = Counter()
        for begin in tqdm(range(0, pictures, BATCH), name):
            here = slice(begin, min(begin + BATCH, pictures))
            found = judged(networks, name, data.prepare(test.images[here], 32), test.labels[here], generator)
            total.update({(*pair, key): n for pair, counts in found.items() for key, n in counts.items()})
        for change, judge in itertools.product(CHANGES, (judge for judge in NETWORKS if judge != name)):
            given = {"dataset": DATASET, "attacked": name, "change": change, "judge": judge, "eps": EPS, "steps": STEPS}
            kinds = ("known", "fooled", "another", "same")
            counts = {"pictures": pictures} | {key: total[change, judge, key] for key in kinds}
            where = {"seed": SEED, "processor": provenance.processor(), "commit": began["commit"]}
            lines.append(given | counts | where)
    return pd.DataFrame(lines)


def load(folder: Path | None = None) -> pd.DataFrame:
    """What `measure` found when it was last written; Missing if it never was."""
    path = (folder or results_dir()) / "judges.csv"
    if not path.is_file():
        raise Missing(f"{path}: not there; python -m atlib.campaign.judges writes it")
    return pd.read_csv(path)


@command_line
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 2 with one line on stderr if something can't be used."""
    parser = argparse.ArgumentParser(prog="python -m atlib.campaign.judges", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pictures", type=int, default=200)
    path = results_dir() / "judges.csv"
    found = measure(parser.parse_args(arguments).pictures)
    with atomic(path) as temporary:
        found.to_csv(temporary, index=False)
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
