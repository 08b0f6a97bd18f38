"""Averages of snapshots on the sphere against their predicted loss, for docs/results/generalisation.md."""

import numpy as np
import torch
from plain_network import Network
from scipy import stats

from empirics.averaging import ENOUGH, SphereAverage, averaged_loss, effective_samples
from empirics.measure import autocorrelation, integrated_time, unbiased

#: Numbers of snapshots that are averaged.
TINY = (1, 2, 4, 8, 16, 32, 64)
LARGE = (1, 4, 16, 64)

#: Steps of L-BFGS in a network whose loss goes on falling for long.
SEARCH = 60

#: Averages of so many that are taken of one run, at most: their mean is what counts.
GROUPS = 16


def bottom(network, steps=500):
    """Training loss at the bottom of the basin: L-BFGS on all samples from where the network is."""
    network.requires_grad_(True)
    search = torch.optim.LBFGS(
        network.parameters(), max_iter=steps, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure():
        search.zero_grad()
        loss = network.loss()
        loss.backward()
        return loss

    search.step(closure)
    return float(network.loss().detach())


def mean_of(network, snapshots):
    """The average of snapshots on the sphere, by the toolkit's own class."""
    average = SphereAverage(network, network.averaging)
    for flat in snapshots:
        average.update(network.put(flat))
    return average.module


def memory(weights):
    """Correlation of directions by lag, and their autocorrelation time in snapshots."""
    directions = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    centred = directions - directions.mean(0)
    found = autocorrelation(centred @ centred.T)
    time = integrated_time(found, rows=len(weights))
    return unbiased(found, time), time


def course(network, weights, counts):
    """Losses and accuracy of averages of N, evenly spaced, shape (N, 3), and what each N is worth."""
    correlation, time = memory(np.asarray(weights, dtype=float))
    rows, worth = [], []
    for count in counts:
        stride = len(weights) // count
        starts = np.unique(np.linspace(0, stride - 1, min(stride, GROUPS)).round().astype(int))
        groups = [weights[start::stride][:count] for start in starts]
        rows.append(np.mean([mean_of(network, group).evaluate() for group in groups], axis=0))
        worth.append(
            effective_samples(count, correlation=float(np.clip(correlation[stride % len(correlation)], 0, 0.999)))
        )
    return np.array(rows), np.array(worth), time


def tiny(runs):
    """Excess loss over R T by run and N: measured, predicted from R T, predicted from the loss of one sample."""
    data, weights = runs.dataset, runs.tree["snapshots"]["weights"].values
    network, found = Network(runs.experiment), []
    lowest = min(bottom(mean_of(network, one)) for one in weights)
    heat = (data.attrs["dimension"] - 1) / 2 * data["temperature"].values
    for i, one in enumerate(weights):
        losses, worth, _ = course(network, one, TINY)
        excess = losses[:, 0] - lowest
        predicted = [averaged_loss(float(data["temperature"][i]), (data.attrs["dimension"] - 1) / 2, n) for n in worth]
        found.append(np.array([excess, predicted, excess[0] / worth]) / heat[i])
    return np.array(found), lowest


def tiny_lines(runs):
    """Table of the tiny network: a row a temperature, ratios of measured to predicted."""
    found, lowest = tiny(runs)
    data = runs.dataset
    rates, wds = data["lr"].values, data["weight_decay"].values
    page = [f"Loss at the bottom of the basin (the lowest that L-BFGS reached from any average): {lowest:.5f}.", ""]
    page += ["| lr x wd | T | one sample, over R T | " + " | ".join(f"N = {n}" for n in TINY[1:]) + " |"]
    page += ["|---|---|---|" + "---|" * (len(TINY) - 1)]
    for rate in np.unique(rates):
        here = rates == rate
        of_sample = found[here, 0] / found[here, 2]
        cells = []
        for k in range(1, len(TINY)):
            mean, error = of_sample[:, k].mean(), of_sample[:, k].std(ddof=1) / np.sqrt(here.sum())
            cells.append(f"{mean:.2f} ± {stats.t(here.sum() - 1).ppf(0.975) * error:.2f}")
        one, product = found[here, 0, 0].mean(), rate * wds[0]
        heat = data["temperature"].values[here].mean()
        page.append(f"| {product:.2g} | {heat:.3g} | {one:.2f} | " + " | ".join(cells) + " |")
    return page


def large(runs, counts=LARGE):
    """Of every run that has weights: what one snapshot and averages of N lose, and how long it remembers."""
    data, network, found = runs.dataset, Network(runs.experiment), {}
    spacing = runs.experiment.measure.spacing
    for i in np.flatnonzero(data["diverged_at"].values < 0):
        weights = runs.tree["snapshots"]["weights"].values[i]
        results, worth, time = course(network, weights, counts)
        floor = bottom(mean_of(network, weights[:: len(weights) // counts[-1]][: counts[-1]]), SEARCH)
        stretch = len(weights) / time
        found[int(i)] = {"results": results, "worth": worth, "floor": floor, "memory": time * spacing, "times": stretch}
    return found


def large_lines(runs, found):
    """Table of a network whose directions do not mix: a row an effective learning rate, means over its runs."""
    data = runs.dataset
    rates = data["effective_lr"].values
    page = [
        "| effective lr | T | memory (steps) | training loss: one, "
        + ", ".join(map(str, LARGE[1:]))
        + " | predicted for the last | test loss: one, "
        + ", ".join(map(str, LARGE[1:]))
        + " | test accuracy: one, last |"
    ]
    page += ["|---|---|---|---|---|---|---|"]
    for rate in np.unique(rates):
        here = [i for i in np.flatnonzero(rates == rate) if int(i) in found]
        if not here:
            page.append(f"| {rate:.3g} | diverged | | | | | |")
            continue
        results = np.mean([found[i]["results"] for i in here], axis=0)
        guess = np.mean(
            [found[i]["floor"] + (found[i]["results"][0, 0] - found[i]["floor"]) / found[i]["worth"][-1] for i in here]
        )
        heat = data["temperature"].values[here].mean()
        steps = np.mean([found[i]["memory"] for i in here])
        pays = np.mean([found[i]["times"] >= ENOUGH for i in here])
        hinted = "pays" if pays > 0.5 else "does not pay"
        train, test = (", ".join(f"{x:.4f}" for x in results[:, k]) for k in (0, 1))
        page.append(
            f"| {rate:.3g} | {heat:.3g} | {steps:,.0f} (hint: {hinted}) | {train} | {guess:.4f} | {test} "
            f"| {results[0, 2]:.4f}, {results[-1, 2]:.4f} |"
        )
    return page
