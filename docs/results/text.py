"""A character model on the sphere and at a free radius, on the sources of Python's standard library."""

import platform

import numpy as np
from tables import bracketed, folded, number_of, section, table

from empirics.claims import judge
from empirics.claims.protocol import effective_lr
from empirics.data.loading import load
from empirics.measure import mean_difference, pooled_difference

NAMES = ("text", "text-elr", "text-lr")

# As it stood before the runs: mean over the shared rates of the difference of the mean losses, text-elr less text.
MARGIN = 0.05  # nat
SHARED = 10.0 ** np.array([-3.25, -3.0, -2.75])
WHAT = {"text": "on the sphere", "text-elr": "fixed ELR", "text-lr": "fixed LR"}


def reduce(runs):
    """What was read, and the loss of guessing by frequency, and by the frequency after the last character."""
    data = load(runs.experiment.data)
    last = data.inputs.reshape(len(data.inputs), *data.shape)[:, -1].argmax(1)
    pairs = np.zeros((data.classes, data.classes))
    np.add.at(pairs, (last, data.labels), 1)
    of_data = {"sha256": runs.provenance["data"]["sha256"], "python": platform.python_version()}
    return of_data | {"frequency": entropy(pairs.sum(0)), "pairs": entropy(pairs) - entropy(pairs.sum(1))}


def entropy(counts):
    """Entropy of the frequencies (nat)."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def rate_of(one):
    """Effective learning rate of every run, as it was set."""
    return effective_lr(one.dataset.assign_attrs(protocol=str(one.dataset["protocol"].values[0])))


def difference(sphere, free):
    """Mean over the shared rates of the difference of mean losses; every finite run counts."""
    each = []
    for rate in SHARED:
        sides = [one.dataset["loss"].values[np.isclose(rate_of(one), rate, rtol=1e-6)] for one in (sphere, free)]
        each.append(mean_difference(*(side[np.isfinite(side)] for side in sides)))
    return pooled_difference(each)


def states(found):
    """What the runs are like, by experiment and pair of settings."""
    head = ["experiment", "η_eff", "second axis", "runs", "status ok", "mean loss (nat)", "accuracy", "T (nat)", "tr Σ"]
    rows = []
    for name, one in found.items():
        data, axis = one.dataset, {"text": "radius"}.get(name, "weight_decay")
        for pair in dict.fromkeys(zip(data[first(name)].values, data[axis].values, strict=True)):
            here = (data[first(name)].values == pair[0]) & (data[axis].values == pair[1])
            cells = [f"`{name}`", f"{np.nanmedian(rate_of(one)[here]):.3g}", f"{axis.replace('_', ' ')} {pair[1]:.3g}"]
            cells += [str(here.sum()), str((data["status"].values[here] == "ok").sum())]
            each = ("loss", "accuracy", "temperature", "grad_variance_unit", "effective_sample_size")
            rows.append([*cells, *(f"{np.nanmedian(data[key].values[here]):.3g}" for key in each)])
    return table([*head, "independent samples"], rows)


def first(name):
    return "effective_lr" if name == "text-elr" else "lr"


def parts(found):
    """What words/text.md asks for."""
    one, more = difference(found["text"], found["text-elr"]), found["text"].more["text"]
    low, high = one.interval()
    body = folded("The states", states(found))
    for name, stored in found.items():
        body += section(f"{name} ({WHAT[name]}): every form", stored, stored.notes)
    losses = found["text"].dataset["loss"].values
    return {
        "tables": body,
        "difference": bracketed(one.value, low, high, ".3f"),
        "unsettled": f"{number_of(found['text-elr'], 'not stationary')} of {found['text-elr'].dataset.sizes['run']}",
        "diverged": str(number_of(found["text-elr"], "diverged")),
        "word": judge(0.0, low, high, MARGIN)[0],
        "frequency": f"{more['frequency']:.2f}",
        "pairs": f"{more['pairs']:.2f}",
        "losses": f"{np.nanmin(losses):.2f} to {np.nanmax(losses):.2f}",
        "accuracy": f"{np.nanmax(found['text'].dataset['accuracy'].values):.0%}",
        "sha256": more["sha256"][:12],
        "python": more["python"],
        "samples": f"{max(stored.dataset['effective_sample_size'].median().item() for stored in found.values()):.1f}",
    }
