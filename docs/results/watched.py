"""Three small networks trained with and without each piece of advice; half an hour of one core."""

import json

import numpy as np
import torch
from stored import HERE, plain, record_study
from tables import folded, mean_interval, student, table
from torch.nn.utils import clip_grad_norm_
from watched_choices import ADVICE, CHOICES, applies, helps, prepare
from watched_networks import DigitsPerceptron, DigitsResNet, Text

import empirics

NAMES = ("watched",)
#: Share of the run after which the probe is read.
READ = 1 / 3
#: What is shown of a training, and in how many digits.
SHOWN = {"test loss": 4, "accuracy": 4, "share of stationary": 3}


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


# ------------------------------------------------------------------------------------------------------ what is stored
def middle(rows):
    """Geometric mean of the shares of equilibrium in a probe's table; NaN if there is none."""
    found = [share for row in rows if (share := row["equilibrium_share"]) > 0]
    return float(np.exp(np.mean(np.log(found)))) if found else float("nan")


def summary(case, folder):
    """What the page needs of a network: scores by choice and seed, and what the probe said to seed 0."""
    choices = [one for one in CHOICES if applies(case, one)]
    seeds = [{choice: trained(case, choice, seed, folder) for choice in choices} for seed in range(case.seeds)]
    scores = {}
    for choice in choices:
        found = [runs[choice] for runs in seeds]
        columns = {name: [run["result"][name] for run in found] for name in found[0]["result"]}
        columns["share of stationary"] = [middle(run["table"]) for run in found]
        known = {name: values for name, values in columns.items() if np.isfinite(values).all()}
        scores[choice] = plain(known, 6)
    first = seeds[0]["as found"]
    weights = sum(row["parameters"] for row in first["table"])
    turned = sum(row["parameters"] for row in first["table"] if row["scale_invariant"])
    about = {"steps": case.steps, "weights": weights, "scale_invariant": turned}
    return about | {"warnings": first["warnings"], "line": first["line"], "scores": scores}


# ------------------------------------------------------------------------------------------------------------ the page
def effects(networks, choice, against):
    """By network that both were tried on: mean and half interval of the test loss of a choice less that of another."""
    both = {name: one["scores"] for name, one in networks.items() if {choice, against} <= one["scores"].keys()}
    return {
        name: student(np.subtract(scores[choice]["test loss"], scores[against]["test loss"]))
        for name, scores in both.items()
    }


def shown(effect):
    """An effect with its interval; nothing where there is none."""
    return f"{effect[0]:+.4f} ± {effect[1]:.4f}" if effect else ""


def verdicts(networks):
    """The rows of the table of advice."""
    rows = []
    for words, choice, against in ADVICE:
        found = effects(networks, choice, against)
        verdict = "kept" if helps(found.values()) else "withdrawn"
        rows.append([words, *(shown(found.get(name)) for name in networks), verdict])
    return rows


def scores(networks):
    """Lines of the tables of scores, one per network."""
    for name, one in networks.items():
        rows = [
            [choice, *(mean_interval(found[column], n) if column in found else "" for column, n in SHOWN.items())]
            for choice, found in one["scores"].items()
        ]
        yield f"\n{name[0].upper()}{name[1:]}, {one['steps']:,} steps:\n"
        yield from table(["trained", *SHOWN], rows)


def said(networks):
    """What the probe printed for the first seed of each network."""
    for name, one in networks.items():
        share = one["scale_invariant"] / one["weights"]
        yield f"\n**{name[0].upper()}{name[1:]}**: {share:.0%} of its {one['weights']:,} weights are scale-invariant.\n"
        yield from (f"    {words}" for words in one["warnings"])
        yield f"\nAt the end:\n\n    {one['line']}"


def study(folder):
    """Train what is not there yet, and store what the page needs."""
    torch.set_num_threads(1)
    networks = {case.name: summary(case, folder / "watched") for case in (DigitsPerceptron(), DigitsResNet(), Text())}
    record_study("watched", networks, [HERE / "watched_choices.py", HERE / "watched_networks.py"])


def parts(found):
    """What words/watched.md asks for."""
    networks = found["watched"].more["watched"]
    rows = verdicts(networks)
    kept = [row[0] for row in rows if row[-1] == "kept"]
    everywhere = effects(networks, "decay x 10 on all", "as found")
    seeds = {len(one["scores"]["as found"]["test loss"]) for one in networks.values()}
    compared = [
        (mean, half, f"{words} ({name})")
        for words, choice, against in ADVICE
        for name, (mean, half) in effects(networks, choice, against).items()
    ]
    gain, loss = min(compared), max(compared)
    return {
        "advice": table(["advice", *networks, "verdict"], rows),
        "said": folded("What the probe printed for the first seed of each network", said(networks)),
        "scores": folded("Scores of every training", scores(networks)),
        "tried": str(len(compared)),
        "below": str(sum(mean + half < 0 for mean, half, _ in compared)),
        "above": str(sum(mean - half > 0 for mean, half, _ in compared)),
        "kept": f"Kept: {'; '.join(kept)}" if kept else f"Of {len(rows)} pieces of advice none is kept",
        "everywhere": ", ".join(f"{shown(effect)} ({name})" for name, effect in everywhere.items()),
        "gain": f"{gain[2]}, {shown(gain)}",
        "loss": f"{loss[2]}, {shown(loss)}",
        "seeds": f"{min(seeds)} seeds each" if len(seeds) == 1 else f"{min(seeds)} to {max(seeds)} seeds",
    }
