"""Draft: the sixteen experiments of docs/results/seeds.md."""

from dataclasses import replace

from tables import EXPERIMENTS

from empirics import Experiment

LEVELS = 4


def variants():
    """The Latin square made from digits-seeds.toml: name -> (head, split, initialisation), and the experiment."""
    base = Experiment.from_file(EXPERIMENTS / "digits-seeds.toml")
    for head in range(LEVELS):
        for split in range(LEVELS):
            start = (head + split) % LEVELS + 1
            name = f"digits-seeds-{head}-{split}"
            data, model = replace(base.data, test_seed=split), replace(base.model, head_seed=head)
            yield (head, split, start), replace(base, name=name, seeds=(start,), data=data, model=model)
