"""Trains four small networks with and without each advice of the probe, and writes docs/results/watched.md.

python docs/results/watched.py --runs runs --images FOLDER_OR_TAR     an hour of one core
python docs/results/watched.py --as-is                                from summaries/watched.json
"""

import json
from pathlib import Path

import numpy as np
import torch
from tables import HERE, asked
from torch.nn.utils import clip_grad_norm_
from watched_choices import CHOICES, applies, prepare
from watched_networks import DigitsPerceptron, DigitsResNet, Images, Text

import empirics

SUMMARY = HERE / "summaries" / "watched.json"
SEEDS = 8
#: Share of the run after which the probe is read.
READ = 1 / 3


def train(case, choice, seed, reading):
    """One run: scores, and what the probe said; the same seed has the same initialisation and minibatches."""
    settings = dict(CHOICES[choice])
    steps = case.steps * settings.pop("length", 1)
    torch.manual_seed(seed)
    model, batches = case.build().train(), case.batches(seed)
    optimizer, schedules, average = prepare(case, model, seed, steps, reading, **settings)
    batch = next(case.batches(seed))
    probe = empirics.watch(model, optimizer, every=case.every, loss=lambda m: case.loss(m, batch))
    for step in range(steps):
        optimizer.zero_grad()
        loss = case.loss(model, next(batches))
        loss.backward()
        if case.clip:
            clip_grad_norm_(model.parameters(), case.clip)
        probe.step(loss)
        optimizer.step()
        for schedule in schedules:
            schedule.step()
        if step == int(READ * steps):
            said = {"table": probe.frame().to_dict("records"), "warnings": probe.warnings()}
        if average is not None and step >= steps // 2 and step % 10 == 0:
            average.update(model)
    result = {}
    if average is not None:
        result["test loss, last point"] = case.judge(model)["test loss"]
        model = average.module
        case.settle(model, seed)
    return {"result": result | case.judge(model), "line": probe.line(), **said}


def trained(case, choice, seed, folder):
    """A run from the folder, or trained now."""
    kept = folder / f"{case.name.replace(' ', '-')}-{list(CHOICES).index(choice)}-{seed}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        reading = None if choice == "as found" else trained(case, "as found", seed, folder)["table"]
        kept.write_text(json.dumps(train(case, choice, seed, reading)))
        print(kept.name, json.loads(kept.read_text())["result"], flush=True)
    return json.loads(kept.read_text())


def cases(images, folder):
    """The four networks, of which the last needs images."""
    yield from (DigitsPerceptron(), DigitsResNet(), Text(), Images(images, folder / "images.npz"))


def main():
    """Train what is not there yet."""
    torch.set_num_threads(1)
    given = asked(
        images={"type": Path, "default": Path("cifar10"), "help": "folder or tar file of CIFAR-10 images"},
        only={"default": "", "help": "train one network alone, the one whose name contains this"},
    )
    folder = given.runs / "watched"
    for case in cases(given.images, folder):
        # All choices of a seed before the next one: what is cut short is a comparison of fewer seeds.
        for seed in range(SEEDS if given.only in case.name else 0):
            for choice in (one for one in CHOICES if applies(case, one)):
                trained(case, choice, seed, folder)


if __name__ == "__main__":
    main()
