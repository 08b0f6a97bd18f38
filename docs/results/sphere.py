"""Runs a transformer on a sphere and at a free radius, compares the states, and writes docs/results/sphere.md.

python docs/results/sphere.py --runs runs
"""

import numpy as np
from tables import asked, bracketed, judged, section, table, write

from empirics.claims import judge
from empirics.claims.protocol import effective_lr
from empirics.measure import furthest_difference, mean_difference, pooled_difference, r_hat

# The comparison, as it stood before the runs. Differences are those of a free radius less the sphere.
MARGIN = 0.05  # of the mean over the five rates, in the unit of each quantity
MARGIN_OF_ONE = 0.10  # of the rate that is furthest off, its interval simultaneous over the five
RATES = 10.0 ** np.array([-2.375, -2.125, -1.875, -1.625, -1.375])
LARGER = 1.25  # the sphere against itself at a rate larger by this much must not pass

FREE = ("sphere-elr", "sphere-lr")
QUANTITIES = {
    "mean loss, in shares of its span over the rates": lambda runs, span: runs.dataset["loss"] / span,
    "entropy of the directions, in units of R": lambda runs, span: (
        runs.dataset["entropy_sphere"] / ((runs.dataset.attrs["dimension"] - 1) / 2)
    ),
    "log T": lambda runs, span: np.log(runs.dataset["temperature"]),
    "log tr Sigma at unit norm": lambda runs, span: np.log(runs.dataset["grad_variance_unit"]),
    "log of the squared mean gradient at unit norm": lambda runs, span: np.log(runs.dataset["grad_mean_sq_unit"]),
    "log rotation per step": lambda runs, span: np.log(runs.dataset["rotation"]),
    "log angle between snapshots": lambda runs, span: np.log(turn(runs)),
    "log of the loss's variance over time": lambda runs, span: np.log(runs.dataset["loss_variance"]),
}


def turn(runs):
    """Root mean square of the angle between consecutive snapshots, one number per run."""
    return np.sqrt((runs.tree["snapshots"]["turn"] ** 2).mean("snapshot"))


def at(runs, rate):
    """Which runs have this effective learning rate, as far as it was set; every run counts, whatever its status."""
    data = runs.dataset.assign_attrs(protocol=str(runs.dataset["protocol"].values[0]))
    if data.attrs["protocol"] == "fixed-lr":  # one weight decay a rate: the larger, the higher
        decays = np.unique(data["weight_decay"])
        return np.isclose(data["weight_decay"], decays[np.argmin(abs(RATES - rate))])
    return np.isclose(effective_lr(data), rate, rtol=1e-6)


def values(runs, rates, quantity, span):
    """Values of a quantity, an array a rate."""
    found = np.asarray(QUANTITIES[quantity](runs, span))
    return [found[at(runs, rate)] for rate in rates]


def span_of(sphere):
    """Mean loss at the highest of the rates less that at the lowest, nat."""
    mean = [float(sphere.dataset["loss"].values[at(sphere, rate)].mean()) for rate in RATES]
    return mean[-1] - mean[0]


def compared(first, second, rates, span, shift=1.0):
    """Rows of the table that compares two sets of runs; the second at `shift` times the rates."""
    for quantity in QUANTITIES:
        before = values(first, rates, quantity, span)
        after = values(second, shift * np.asarray(rates), quantity, span)
        yield verdict_row(quantity, before, after)


def verdict_row(name, before, after):
    """A line of a table: the mean over the rates and the furthest rate, with verdicts."""
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
    """How r^2 divides over the matrices: differences of log shares over the rates, one row per matrix."""
    names = first.tree["components"]["component_name"].values
    shares = [np.log(runs.tree["components"]["radius_sq"] / one(runs)) for runs in (first, second)]
    for k, name in enumerate(names):
        before, after = (
            [each.values[at(runs, rate), k] for rate in RATES]
            for each, runs in zip(shares, (first, second), strict=True)
        )
        yield verdict_row(f"log share of r^2 in {name}", before, after)


def one(runs):
    """Squared norm of all matrices together, one number per run."""
    return runs.tree["components"]["radius_sq"].sum("component")


def weight_decays(sphere, lr=0.1):
    """Weight decays whose norm balance, with the sphere's own gradients, gives its effective rates at this lr.

    ``lr wd (2 - lr wd) = eta_eff^2 E|g|^2`` with g at unit norm: the pressure that the sphere does not show.
    """
    squared = sphere.dataset["grad_variance_unit"] + sphere.dataset["grad_mean_sq_unit"]
    mean = np.array([float(squared.values[at(sphere, rate)].mean()) for rate in RATES])
    return (1 - np.sqrt(1 - RATES**2 * mean)) / lr


def achieved(runs, rate):
    """Effective learning rate that the runs came to over the one asked for, by the mean of log r: shape (runs,)."""
    here = runs.dataset.isel(run=np.flatnonzero(at(runs, rate)))
    return here["lr"].values * np.exp(-2 * here["log_radius"].values) / rate


def by_rate(sphere, free, span):
    """Differences at each rate, without correction for their number: where the means over the rates come from."""
    chosen = [name for name in QUANTITIES if name.startswith(("mean loss", "log tr", "log angle between"))]
    rows = []
    for rate in RATES:
        cells = [f"{rate:.4g}", f"{achieved(free, rate).mean():.3f}"]
        for name in chosen:
            one = mean_difference(*(values(runs, [rate], name, span)[0] for runs in (sphere, free)))
            cells.append(bracketed(one.value, *one.interval(), ".3f"))
        rows.append(cells)
    return [*table(["eta_eff", "came to, over asked", *chosen], rows), ""]


HEAD = ["quantity", "mean over the rates", "verdict", "rate with the largest deviation, simultaneous", "verdict"]


def states(runs):
    """What the runs are like at each rate."""
    head = ["eta_eff", "runs", "mean loss (nat)", "T", "tr Sigma", "accuracy", "independent samples per run"]
    rows = []
    data, loss = runs.dataset, runs.tree["blocks"]["loss"].values
    for rate in RATES:
        here = at(runs, rate)
        finite = here & (data["status"].values != "diverged")
        names = ("loss", "temperature", "grad_variance_unit", "accuracy", "effective_sample_size")
        cells = [f"{np.median(data[name].values[finite]):.4g}" for name in names]
        count = f"{here.sum()}" + (f", {(here & ~finite).sum()} diverged" if (here & ~finite).any() else "")
        rows.append([f"{rate:.4g}", count, *cells, f"{r_hat(loss[finite]):.3f}"])
    return [*table([*head, "R-hat of the loss"], rows), ""]


def main():
    """Run what is not there yet and write the page."""
    given = asked(weight_decays={"action": "store_true", "help": "print those for sphere-lr.toml"})
    sphere, *judgement = judged("sphere", given.runs)
    if given.weight_decays:
        print(", ".join(f"{one:.6g}" for one in weight_decays(sphere)))
        return
    span, body, sections = span_of(sphere), [], section("sphere", sphere, judgement[0])
    sections += [*(f"- {note}" for note in judgement[1]), ""]
    for name in FREE:
        free, verdicts, notes = judged(name, given.runs)
        rows = [*compared(sphere, free, RATES, span), *volumes(sphere, free)]
        body += [f"## sphere against {name}", "", *table(HEAD, rows), ""]
        sections += [*section(name, free, verdicts), *(f"- {note}" for note in notes), ""]
        sections += [*states(free)]
    body += ["## sphere-lr, rate by rate", "", *by_rate(sphere, free, span)]
    larger = compared(sphere, sphere, RATES[[0, 2]], span, LARGER)
    body += [f"## The sphere against itself at {LARGER} times two of the rates", "", *table(HEAD, larger), ""]
    write("sphere", compared=body, states=states(sphere), claims=sections)


if __name__ == "__main__":
    main()
