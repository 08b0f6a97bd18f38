"""Trains two networks of somebody else's design, a probe on them, and writes docs/results/watched.md.

python docs/results/watched.py --runs runs --images FOLDER_OR_TAR     a quarter of an hour of one core
"""

import json
from pathlib import Path

import numpy as np
import torch
from tables import asked, student, table, write
from torch.nn.utils import clip_grad_norm_
from watched_choices import CHOICES
from watched_networks import Images, Text

import empirics
from empirics.models import scale_invariant_blocks

SEEDS = 5  # by default; --seeds for fewer
#: Share of the run after which the table of the probe is taken.
READ = 0.6
SHOWN = ("group", "blocks", "effective_lr", "temperature", "balance", "equilibrium_share", "relaxation_steps",
         "angular_update", "angular_equilibrium", "pv_over_rt")  # fmt: skip


def blocks_of(case):
    """Scale-invariant blocks by tensor, found once on a new network."""
    torch.manual_seed(0)
    model, batch = case.build().train(), next(case.batches(0))
    return {one.name: one.blocks for one in scale_invariant_blocks(model, lambda m: case.loss(m, batch))}


def train(case, choose, seed, blocks, reading, steps=None):
    """One run: scores, and what the probe said."""
    torch.manual_seed(seed)
    model, batches = case.build().train(), case.batches(seed)
    optimizer, schedule, average = choose(case, model, blocks, reading)
    probe, losses, table = empirics.watch(model, optimizer, every=case.every), [], None
    steps = steps or case.steps
    for step in range(steps):
        optimizer.zero_grad()
        loss = case.loss(model, next(batches))
        loss.backward()
        if getattr(case, "clip", None):
            clip_grad_norm_(model.parameters(), case.clip)
        probe.step(loss)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if step == int(READ * steps):
            table, warned = probe.frame(), probe.warnings()
        if average is not None and step >= steps // 2 and step % 10 == 0:
            average.update(model)
    result = {"train loss": float(np.mean(losses[-steps // 10 :]))}
    if average is not None:
        result |= {f"{name}, last point": value for name, value in case.judge(model).items()}
        model = average.module
        case.settle(model, seed)
    result |= case.judge(model)
    said = {"table": table.to_dict("records"), "warnings": warned, "end": probe.frame().to_dict("records")}
    said |= {"line": probe.line(), "last warnings": probe.warnings()}
    return {"result": result, "blocks": blocks, **said}


def trained(case, choice, seed, folder):
    """A run from the folder, or trained now."""
    kept = folder / f"{case.name}-{list(CHOICES[case.name]).index(choice)}-{seed}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        first = None if (choice, seed) == ("as found", 0) else trained(case, "as found", 0, folder)
        blocks = blocks_of(case) if first is None else first["blocks"]
        found = train(case, CHOICES[case.name][choice], seed, blocks, first and first["table"])
        kept.write_text(json.dumps(found))
        print(kept.name, found["result"], flush=True)
    return json.loads(kept.read_text())


def of_blocks(run, when, name):
    """A column of a probe's table, the tensors that the check found scale-invariant."""
    return [row[name] for row in run[when] if run["blocks"].get(row["group"])]


def brief(name):
    """A tensor's name without what all have in common."""
    return name.removeprefix("resnet.").removeprefix("model.").removesuffix(".weight")


def middle(shares):
    """Median in two digits, of what is known."""
    known = np.array(shares, float)
    return f"{np.nanmedian(known):.2f}" if np.isfinite(known).any() else "not defined"


def scores(case, runs):
    """The table of what came out, with the differences from the first choice seed by seed."""
    names = [name for name in ("test loss", "accuracy", "train loss") if name in runs["as found"][0]["result"]]
    rows = []
    for choice, found in runs.items():
        cells = []
        for name in names:
            values = [one["result"][name] for one in found]
            base = [one["result"][name] for one in runs["as found"]]
            mean, reach = student(values)
            apart = student(np.subtract(values, base)) if choice != "as found" else None
            cells += [f"{mean:.4f} ± {reach:.4f}", f"{apart[0]:+.4f} ± {apart[1]:.4f}" if apart else ""]
        rows.append([choice, *cells])
    return table(["trained", *(head for name in names for head in (name, "against as found"))], rows)


def rows(run):
    """Lines of a probe's table, the scale-invariant tensors."""
    lines = []
    for row in run["table"]:
        if run["blocks"].get(row["group"]):
            short = row | {"group": brief(row["group"])}
            lines.append([f"{short[n]:.3g}" if isinstance(short[n], float) else str(short[n]) for n in SHOWN])
    return table(SHOWN, lines)


def report(case, runs):
    """Lines of a network's section."""
    first = runs["as found"][0]
    number = sum(count > 0 for count in first["blocks"].values())
    yield f"### What the probe said, seed 0, after {int(READ * case.steps)} of {case.steps} steps\n"
    yield f"{number} of {len(first['blocks'])} tensors are scale-invariant. Trained as found:\n"
    yield from rows(first)
    yield from ("", *(f"    {words}" for words in first["warnings"]), "", "and at the end:", "")
    yield from (f"    {first['line']}", "")
    yield f"### What came of it, {len(runs['as found'])} seeds\n"
    yield from scores(case, runs)
    yield ""
    for choice, found in runs.items():
        share = [of_blocks(one, "end", "equilibrium_share") for one in found]
        heat, base = ([of_blocks(one, "table", "temperature") for one in some] for some in (found, runs["as found"]))
        last = [one["result"].get("test loss, last point", np.nan) for one in found]
        ratio = np.exp(np.mean(np.log(np.divide(heat, base)), axis=1))
        yield (
            f"- {choice}: median share of equilibrium at the end {middle(share)}; T over "
            f"that of as found, geometric mean over tensors, {ratio.mean():.2f} ± {student(ratio)[1]:.2f}"
            + (f"; the last point by itself has a test loss of {np.mean(last):.4f} ± {student(last)[1]:.4f}"
               if np.isfinite(last).all() else "")
        )  # fmt: skip
    yield ""


def main():
    """Train what is not there yet and write the page."""
    torch.set_num_threads(1)
    given = asked(
        images={"type": Path, "default": Path("cifar10"), "help": "folder or tar file of CIFAR-10 images"},
        seeds={"type": int, "nargs": 2, "default": (SEEDS, SEEDS), "help": "of the transformer and the ResNet"},
    )
    folder, lines = given.runs / "watched", []
    cases = Text(), Images(given.images, folder / "images.npz")
    for case, seeds in zip(cases, given.seeds, strict=True):
        choices = CHOICES[case.name]
        # All choices of a seed before the next one: what is cut short is a comparison of fewer seeds.
        found = [{choice: trained(case, choice, seed, folder) for choice in choices} for seed in range(seeds)]
        runs = {choice: [one[choice] for one in found] for choice in choices}
        lines += [f"## The {case.name}, in numbers", "", *report(case, runs)]
    write("watched", networks=lines)


if __name__ == "__main__":
    main()
