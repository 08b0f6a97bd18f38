"""Trains two networks of somebody else's design, a probe on them, and writes docs/results/watched.md.

python docs/results/watched.py --runs runs --images FOLDER_OR_TAR     a quarter of an hour of one core
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student
from tables import write
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
    probe, losses, table = empirics.ThermoProbe(model, optimizer, every=case.every), [], None
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


def interval(values):
    """Mean and half of its 95 % interval."""
    values = np.asarray(values)
    return values.mean(), student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5


def middle(shares):
    """Median in two digits, of what is known."""
    known = np.array(shares, float)
    return f"{np.nanmedian(known):.2f}" if np.isfinite(known).any() else "not defined"


def scores(case, runs):
    """The table of what came out, with the differences from the first choice seed by seed."""
    names = [name for name in ("test loss", "accuracy", "train loss") if name in runs["as found"][0]["result"]]
    yield "| trained | " + " | ".join(f"{name} | against as found" for name in names) + " |"
    yield "|---|" + "---|---|" * len(names)
    for choice, found in runs.items():
        cells = []
        for name in names:
            values = [one["result"][name] for one in found]
            base = [one["result"][name] for one in runs["as found"]]
            mean, reach = interval(values)
            apart = interval(np.subtract(values, base)) if choice != "as found" else None
            cells += [f"{mean:.4f} ± {reach:.4f}", f"{apart[0]:+.4f} ± {apart[1]:.4f}" if apart else ""]
        yield f"| {choice} | " + " | ".join(cells) + " |"


def rows(table):
    """Lines of a probe's table, the scale-invariant tensors."""
    yield "| " + " | ".join(SHOWN) + " |"
    yield "|" + "---|" * len(SHOWN)
    for row in table:
        if row["scale_invariant"]:
            cells = (f"{row[name]:.3g}" if isinstance(row[name], float) else str(row[name]) for name in SHOWN)
            yield "| " + " | ".join(cells) + " |"


def report(case, runs):
    """Lines of a network's section."""
    first = runs["as found"][0]
    number = sum(count > 0 for count in first["blocks"].values())
    yield f"### What the probe said, seed 0, after {int(READ * case.steps)} of {case.steps} steps\n"
    yield f"{number} of {len(first['blocks'])} tensors are scale-invariant. Trained as found:\n"
    yield from rows(first["table"])
    yield from ("", *(f"    {words}" for words in first["warnings"]), f"    {first['line']}", "")
    yield f"### What came of it, {len(runs['as found'])} seeds\n"
    yield from scores(case, runs)
    yield ""
    for choice, found in runs.items():
        share, heat = (
            [[row[name] for row in one["end" if name == "equilibrium_share" else "table"] if row["scale_invariant"]]
             for one in found] for name in ("equilibrium_share", "temperature")
        )  # fmt: skip
        last = [one["result"].get("test loss, last point", np.nan) for one in found]
        base = [[row["temperature"] for row in one["table"] if row["scale_invariant"]] for one in runs["as found"]]
        ratio = np.exp(np.mean(np.log(np.divide(heat, base)), axis=1))
        yield (
            f"- {choice}: median share of equilibrium at the end {middle(share)}; T over "
            f"that of as found, geometric mean over tensors, {ratio.mean():.2f} ± {interval(ratio)[1]:.2f}"
            + (f"; the last point by itself has a test loss of {np.mean(last):.4f} ± {interval(last)[1]:.4f}"
               if np.isfinite(last).all() else "")
        )  # fmt: skip
    yield ""


def main():
    """Train what is not there yet and write the page."""
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--images", type=Path, default=Path("cifar10"), help="folder or tar file of CIFAR-10 images")
    parser.add_argument("--seeds", type=int, nargs=2, default=(SEEDS, SEEDS), help="of the transformer and the ResNet")
    asked = parser.parse_args()
    folder = asked.runs / "watched"
    here, lines = Path(__file__).parent, []
    cases = Text(), Images(asked.images, folder / "images.npz")
    for case, seeds in zip(cases, asked.seeds, strict=True):
        choices = CHOICES[case.name]
        # All choices of a seed before the next one: what is cut short is a comparison of fewer seeds.
        found = [{choice: trained(case, choice, seed, folder) for choice in choices} for seed in range(seeds)]
        runs = {choice: [one[choice] for one in found] for choice in choices}
        lines += [f"## The {case.name}, in numbers", "", *report(case, runs)]
    words = here / "watched-words.md"
    head = words.read_text(encoding="utf-8").splitlines() if words.exists() else []
    write(here / "watched.md", [*head, "", *lines])


if __name__ == "__main__":
    main()
