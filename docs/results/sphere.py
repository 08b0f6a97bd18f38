"""A transformer on a sphere and at a free radius: the states at equal effective learning rates."""

import numpy as np
from stored import plain
from tables import bracketed, folded, section, table

from empirics.claims import judge
from empirics.claims.protocol import effective_lr
from empirics.measure import furthest_difference, mean_difference, pooled_difference, r_hat

# The comparison, as it stood before the runs. Differences are those of a free radius less the sphere.
MARGIN = 0.05  # of the mean over the five rates, in the unit of each quantity
MARGIN_OF_ONE = 0.10  # of the rate with the largest deviation, its interval simultaneous over the five
RATES = 10.0 ** np.array([-2.375, -2.125, -1.875, -1.625, -1.375])
LARGER = 1.25  # the sphere against itself at a rate larger by this much must not pass

FREE = ("sphere-elr", "sphere-lr")
NAMES = ("sphere", *FREE)
QUANTITIES = {
    "mean loss, in shares of its span over the rates": lambda one, span: one.dataset["loss"] / span,
    "entropy of the directions, in units of R": lambda one, span: (
        one.dataset["entropy_sphere"] / ((one.dataset.attrs["dimension"] - 1) / 2)
    ),
    "log T": lambda one, span: np.log(one.dataset["temperature"]),
    "log tr Σ at unit norm": lambda one, span: np.log(one.dataset["grad_variance_unit"]),
    "log of the squared mean gradient at unit norm": lambda one, span: np.log(one.dataset["grad_mean_sq_unit"]),
    "log rotation per step": lambda one, span: np.log(one.dataset["rotation"]),
    "log angle between snapshots": lambda one, span: np.log(kept(one, "turn")),
    "log of the loss's variance over time": lambda one, span: np.log(one.dataset["loss_variance"]),
}
BY_RATE = tuple(name for name in QUANTITIES if name.startswith(("mean loss", "log tr", "log angle between")))


def reduce(runs):
    """Root mean square angle between snapshots, losses of blocks, and how r² divides over the matrices, per run."""
    parts, losses = runs.tree["components"], runs.tree["blocks"]["loss"].values
    shares = np.log(parts["radius_sq"] / parts["radius_sq"].sum("component")).values
    turn = np.sqrt((runs.tree["snapshots"]["turn"] ** 2).mean("snapshot")).values
    names = parts["component_name"].values.tolist()
    return {"turn": turn, "names": names} | plain({"losses": losses, "shares": shares}, 5)


def kept(one, name):
    """An array of what the summary keeps for this page."""
    return np.array(one.more["sphere"][name], dtype=float)


def at(one, rate):
    """Which runs have this effective learning rate, as far as it was set; every run counts, whatever its status."""
    data = one.dataset.assign_attrs(protocol=str(one.dataset["protocol"].values[0]))
    if data.attrs["protocol"] == "fixed-lr":  # one weight decay per rate: the larger, the higher
        decays = np.unique(data["weight_decay"])
        return np.isclose(data["weight_decay"], decays[np.argmin(abs(RATES - rate))])
    return np.isclose(effective_lr(data), rate, rtol=1e-6)


def values(one, rates, quantity, span):
    """Values of a quantity, an array per rate."""
    with np.errstate(invalid="ignore"):  # no logarithm: counted by `row_of`
        found = np.asarray(QUANTITIES[quantity](one, span), dtype=float)
    return [found[at(one, rate)] for rate in rates]


def span_of(sphere):
    """Mean loss at the highest of the rates minus that at the lowest, nat."""
    mean = [float(sphere.dataset["loss"].values[at(sphere, rate)].mean()) for rate in RATES]
    return mean[-1] - mean[0]


def compared(first, second, rates, span, shift=1.0):
    """Rows of the table that compares two sets of runs; the second at `shift` times the rates."""
    for quantity in QUANTITIES:
        before = values(first, rates, quantity, span)
        yield row_of(quantity, before, values(second, shift * np.asarray(rates), quantity, span))


def row_of(name, before, after):
    """A line of a table: the mean over the rates and the rate with the largest deviation, with verdicts."""
    without = sum(int((~np.isfinite(one)).sum()) for one in (*before, *after))
    if without:  # diverged, or no logarithm: an unbiased estimate may come out below 0
        name += f" ({without} runs without)"
        before, after = ([one[np.isfinite(one)] for one in side] for side in (before, after))
    each = [mean_difference(a, b) for a, b in zip(before, after, strict=True)]
    mean, (worst, worst_low, worst_high) = pooled_difference(each), furthest_difference(each)
    low, high = mean.interval()
    cells = [bracketed(mean.value, low, high, ".4f"), judge(0.0, low, high, MARGIN)[0]]
    cells += [bracketed(worst, worst_low, worst_high, ".4f"), judge(0.0, worst_low, worst_high, MARGIN_OF_ONE)[0]]
    return [name, *cells]


def volumes(first, second):
    """How r² divides over the matrices: differences of log shares over the rates, one row per matrix."""
    for k, name in enumerate(first.more["sphere"]["names"]):
        before, after = ([kept(one, "shares")[at(one, rate), k] for rate in RATES] for one in (first, second))
        yield row_of(f"log share of r² in {name}", before, after)


def achieved(one, rate):
    """Effective learning rate that the runs came to over the one asked for, by the mean of log r: shape (runs,)."""
    here = one.dataset.isel(run=np.flatnonzero(at(one, rate)))
    return here["lr"].values * np.exp(-2 * here["log_radius"].values) / rate


def by_rate(sphere, free, span):
    """Differences at each rate, without correction for their number: where the means over the rates come from."""
    rows = []
    for rate in RATES:
        cells = [f"{rate:.4g}", f"{achieved(free, rate).mean():.3f}"]
        for name in BY_RATE:
            both = (values(runs, [rate], name, span)[0] for runs in (sphere, free))
            one = mean_difference(*(found[np.isfinite(found)] for found in both))
            cells.append(bracketed(one.value, *one.interval(), ".3f"))
        rows.append(cells)
    return table(["η_eff", "reached / intended", *BY_RATE], rows)


HEAD = ["quantity", "mean over the rates", "verdict", "rate with the largest deviation, simultaneous", "verdict"]


def states(one):
    """What the runs are like at each rate."""
    head = ["η_eff", "runs", "mean loss (nat)", "T", "tr Σ", "accuracy", "independent samples per run"]
    rows, data = [], one.dataset
    for rate in RATES:
        here = at(one, rate)
        finite = here & (data["status"].values != "diverged")
        names = ("loss", "temperature", "grad_variance_unit", "accuracy", "effective_sample_size")
        cells = [f"{np.median(data[name].values[finite]):.4g}" for name in names]
        count = f"{here.sum()}" + (f", {(here & ~finite).sum()} diverged" if (here & ~finite).any() else "")
        rows.append([f"{rate:.4g}", count, *cells, f"{r_hat(kept(one, 'losses')[finite]):.3f}"])
    return table([*head, "R-hat of the loss"], rows)


def parts(found):
    """What words/sphere.md asks for."""
    sphere, (elr, lr) = found["sphere"], (found[name] for name in FREE)
    span, judged = span_of(sphere), {}
    for name in FREE:
        judged[name] = list(compared(sphere, found[name], RATES, span))
    larger = list(compared(sphere, sphere, RATES[[0, 2]], span, LARGER))
    body = []
    for name in FREE:
        rows = [*judged[name], *volumes(sphere, found[name])]
        body += folded(f"The sphere against {name}", table(HEAD, rows))
    body += folded("sphere-lr, rate by rate", by_rate(sphere, lr, span))
    body += folded(f"The sphere against itself at {LARGER} times two of the rates", table(HEAD, larger))
    for name, one in found.items():
        body += folded(f"{name}: states", states(one))
        body += section(f"{name}: every form", one, one.notes)
    top = [at(one, RATES[-1]) & (one.dataset["status"].values == "diverged") for one in (elr, sphere)]
    cells = {name: dict.fromkeys(QUANTITIES) | {row[0].split(" (")[0]: row for row in judged[name]} for name in FREE}
    heat = [np.nanmean(sphere.dataset["temperature"].values[at(sphere, rate)]) for rate in RATES]
    return {
        "tables": body,
        "elr_agrees": counted(judged["sphere-elr"], "agrees"),
        "elr_disagrees": counted(judged["sphere-elr"], "disagrees"),
        "lr_disagrees": counted(judged["sphere-lr"], "disagrees"),
        "larger_disagrees": counted(larger, "disagrees"),
        "loss": cells["sphere-elr"]["mean loss, in shares of its span over the rates"][1],
        "loss_word": cells["sphere-elr"]["mean loss, in shares of its span over the rates"][2],
        "heat": cells["sphere-elr"]["log T"][1],
        "heat_word": cells["sphere-elr"]["log T"][2],
        "diverged": f"{top[0].sum()} of {at(elr, RATES[-1]).sum()}",
        "diverged_sphere": f"{top[1].sum()} of {at(sphere, RATES[-1]).sum()}",
        "reached": ", ".join(f"{achieved(lr, rate).mean():.2f}" for rate in RATES),
        "hottest": f"{max(heat):.2g}",
        "hottest_at": f"{RATES[int(np.argmax(heat))]:.3g}",
        "end_heat": f"{heat[-1]:.2g}",
    }


def counted(rows, word):
    """How many quantities have this verdict in the mean over the rates."""
    return f"{sum(row[2] == word for row in rows)} of {len(rows)}"
