"""Averages of snapshots on the sphere against their predicted loss, for docs/results/generalisation.md."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from plain_network import Network
from stored import EXPERIMENTS
from tables import directions, student, table

import empirics
from empirics import Experiment
from empirics.measure import autocorrelation, integrated_time, unbiased
from empirics.steering.averaging import ENOUGH, SphereAverage, averaged_loss, effective_samples

#: Numbers of snapshots that are averaged.
TINY = (1, 2, 4, 8, 16, 32, 64)
LARGE = (1, 4, 16, 64)

#: Splits of the digits for the best rate, judged first and by themselves afterwards; and the decimal logarithm of two
#: rates' ratio that counts as no difference.
FIRST, AGAIN = range(1, 7), range(7, 19)
SAME_RATE = 0.1

#: Steps of L-BFGS.
SEARCH = 150

#: Averages of so many that are taken of one run, at most: their mean is what counts.
GROUPS = 32


def bottom(network, steps):
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
    units = _units(weights)
    centred = units - units.mean(0)
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


@dataclass(frozen=True)
class Cloud:
    """What averages of N samples of one run lose, in units of R T, and where the samples lie.

    Attributes
    ----------
    sample : float
        Loss of one sample above the lowest.
    centre : float
        Loss of the centre, the average of very many, above the lowest: what 64 samples leave when a 64th of what one
        sample has over it is taken off.
    ratios : numpy.ndarray
        Loss of averages of N above the centre over what is predicted, (sample - centre)/N.
    offset_sq, spread_sq : float
        Squared distance of the centre from the lowest point, and mean squared distance of a sample from the centre
        (rad^2).
    """

    sample: float
    centre: float
    ratios: NDArray
    offset_sq: float
    spread_sq: float


def _units(weights):
    return weights / np.linalg.norm(weights, axis=-1, keepdims=True)


def tiny(runs):
    """What the page keeps: clouds of all runs, and the lowest loss that L-BFGS reaches from the average of any."""
    data, weights = runs.dataset, runs.tree["snapshots"]["weights"].values
    network, gas_constant = Network(runs.experiment), directions(data) / 2
    lowest, place = min(
        ((bottom(mean := mean_of(network, one), SEARCH), mean.flat().numpy()) for one in weights),
        key=lambda pair: pair[0],
    )
    found = []
    for i, one in enumerate(weights):
        losses, worth, _ = course(network, one, TINY)
        excess = losses[:, 0] - lowest
        unit = averaged_loss(float(data["temperature"][i]), gas_constant, 1.0)
        centre = (worth[-1] * excess[-1] - excess[0]) / (worth[-1] - 1)
        units = _units(one.astype(float))
        middle = _units(units.mean(0))
        apart = ((middle - _units(place)) ** 2).sum(), ((units - middle) ** 2).sum(1).mean()
        found.append(Cloud(excess[0] / unit, centre / unit, (excess - centre) * worth / (excess[0] - centre), *apart))
    return {"lowest": lowest, "clouds": [asdict(one) for one in found]}


def _cell(values):
    mean, half = student(values)
    return f"{mean:.2f} ± {half:.2f}"


def tiny_lines(data, kept):
    """Table of the tiny network, one row per temperature."""
    shown = range(1, TINY.index(16) + 1)
    head = ["lr·wd", "T", "loss of a sample / RT", "sample over centre / RT", "centre / RT", "offset², spread² (rad²)"]
    rows = []
    for rate in np.unique(data["lr"].values):
        here = np.flatnonzero(data["lr"].values == rate)
        some = [Cloud(**kept["clouds"][i]) for i in here]
        cells = [_cell([one.sample for one in some]), _cell([one.sample - one.centre for one in some])]
        cells += [_cell([one.centre for one in some])]
        cells += [f"{np.mean([one.offset_sq for one in some]):.2f}, {np.mean([one.spread_sq for one in some]):.3f}"]
        cells += [_cell([one.ratios[k] for one in some]) for k in shown]
        product, heat = rate * float(data["weight_decay"][here[0]]), data["temperature"].values[here].mean()
        rows.append([f"{product:.2g}", f"{heat:.3g}", *cells])
    return table([*head, *(f"N = {TINY[k]}" for k in shown)], rows)


def ranges(data, kept):
    """Means over the runs of a temperature, as the lowest and the highest: what a sample, a centre, an average lose."""
    some = [Cloud(**one) for one in kept["clouds"]]
    numbers = {
        "sample": [one.sample - one.centre for one in some],
        "centre": [one.centre for one in some],
        "offset": [one.offset_sq for one in some],
        "law": [np.asarray(one.ratios)[1 : TINY.index(16) + 1] for one in some],
    }
    rates = data["lr"].values
    means = {
        key: [np.mean(np.asarray(of)[rates == rate], axis=0) for rate in np.unique(rates)]
        for key, of in numbers.items()
    }
    return {key: f"{np.min(of):.2f} to {np.max(of):.2f}" for key, of in means.items()}


def large(runs, counts=LARGE):
    """Of every run that has weights: what one snapshot and averages of N lose, and how long it remembers."""
    data, network, found = runs.dataset, Network(runs.experiment), {}
    spacing = runs.experiment.measure.spacing
    for i in np.flatnonzero(data["diverged_at"].values < 0):
        weights = runs.tree["snapshots"]["weights"].values[i]
        results, worth, time = course(network, weights, counts)
        found[str(i)] = {"results": results, "worth": worth, "memory": time * spacing, "times": len(weights) / time}
    return found


def _arrays(one):
    return one | {name: np.array(one[name], dtype=float) for name in ("results", "worth")}


def large_lines(data, kept):
    """Table of a network whose directions do not mix: one row per effective learning rate, means over its runs."""
    rates, found = data["effective_lr"].values, {int(i): _arrays(one) for i, one in kept.items()}
    sizes, page = ", ".join(map(str, LARGE[1:])), []
    head = ["effective learning rate", "T", "memory (steps)", f"training loss: one, {sizes}", "predicted for the last"]
    head += [f"test loss: one, {sizes}", "test accuracy: one, last"]
    for rate in np.unique(rates):
        here = [int(i) for i in np.flatnonzero(rates == rate) if i in found]
        if not here:
            page.append([f"{rate:.3g}", "diverged", *[""] * 5])
            continue
        results = np.mean([found[i]["results"] for i in here], axis=0)
        # A run that jumps may have a noise that cannot be told from its mean gradient, and no temperature.
        hot = [i for i in here if data["temperature"].values[i] > 0]
        unit = [averaged_loss(float(data["temperature"][i]), directions(data) / 2, 1.0) for i in hot]
        left = [1 - 1 / found[i]["worth"][-1] for i in hot]
        guess = np.mean([found[i]["results"][0, 0] for i in hot]) - np.mean(np.multiply(unit, left))
        heat = data["temperature"].values[here].mean()
        steps = np.mean([found[i]["memory"] for i in here])
        pays = np.mean([found[i]["times"] >= ENOUGH for i in here])
        hinted = "pays" if pays > 0.5 else "does not pay"
        train, test = (", ".join(f"{x:.4f}" for x in results[:, k]) for k in (0, 1))
        if len(here) > 1:
            test += f" ± {student([found[i]['results'][-1, 1] for i in here])[1]:.4f}"
        cells = [f"{rate:.3g}", f"{heat:.3g}", f"{steps:,.0f} (hint: {hinted})", train, f"{guess:.4f}", test]
        page.append([*cells, f"{results[0, 2]:.4f}, {results[-1, 2]:.4f}"])
    return table(head, page)


def rate_experiment(split):
    """The experiment on the best rate with one of the splits."""
    base = Experiment.from_file(EXPERIMENTS / "averaging-rates.toml")
    return replace(base, name=f"{base.name}-{split}", data=replace(base.data, test_seed=split))


def best_rates(folder, splits):
    """Test losses of single snapshots and of averages of all of a run's, as the page keeps them: (split, 2, rate)."""
    rates, losses = None, []
    for split in splits:
        asked = rate_experiment(split)
        runs = empirics.run(asked, folder / asked.name, progress=False)
        found, of_run = large(runs, (LARGE[0], LARGE[-1])), runs.dataset["effective_lr"].values
        rates = np.unique(of_run)
        each = [[one["results"][:, 1] for i, one in found.items() if of_run[int(i)] == rate] for rate in rates]
        losses.append(np.transpose([np.mean(one, axis=0) for one in each]))
    return {"rates": rates, "losses": np.array(losses)}


def optimum(rates, losses):
    """Best rate and the loss there: the parabola in log rate through the lowest loss and its neighbours."""
    k = int(np.argmin(losses))
    if k in (0, len(losses) - 1):
        return float(rates[k]), float(losses[k])
    x, y = np.log(rates[k - 1 : k + 2]), losses[k - 1 : k + 2]
    a, b, c = np.polyfit(x - x[1], y, 2)
    return float(np.exp(x[1] - b / (2 * a))), float(c - b**2 / (4 * a))


def best_rate(kept):
    """Judge whether averages do best at a higher rate than single snapshots: numbers over the splits, and a verdict."""
    rates, losses = np.array(kept["rates"]), np.array(kept["losses"])
    single, averaged = (np.array([optimum(rates, one[k]) for one in losses]) for k in (0, 1))
    # What it would cost to average at the rate that is best for a single snapshot.
    there = [np.interp(np.log(rate), np.log(rates), one[1]) for rate, one in zip(single[:, 0], losses, strict=True)]
    ratio, half = student(np.log10(averaged[:, 0] / single[:, 0]))
    if abs(ratio) + half <= SAME_RATE:
        said = "the same"
    else:
        said = "higher" if ratio - half > SAME_RATE else "lower" if ratio + half < -SAME_RATE else "inconclusive"
    numbers = {"gain": single[:, 1] - averaged[:, 1], "cost": there - averaged[:, 1]}
    return {
        "best_single": _spread(single[:, 0]),
        "best_averaged": _spread(averaged[:, 0]),
        "best_ratio": f"{ratio:+.2f} ± {half:.2f}",
        "best_said": said,
        "best_hotter": "above 0" if ratio > half else "below 0" if ratio < -half else "an interval that contains 0",
        **{f"best_{key}": "{:.4f} ± {:.4f}".format(*student(of)) for key, of in numbers.items()},
    }


def _spread(rates):
    """Geometric mean and range of rates."""
    return f"{np.exp(np.log(rates).mean()):.4f} ({rates.min():.4f} to {rates.max():.4f})"


def best_rate_lines(kept):
    """Table of the best rate: one row per effective learning rate, means and intervals over the splits."""
    rows = []
    for k, rate in enumerate(kept["rates"]):
        single, averaged = np.array(kept["losses"])[:, :, k].T
        cells = [single, averaged, single - averaged]
        rows.append([f"{rate:.3g}", *("{:.4f} ± {:.4f}".format(*student(one)) for one in cells)])
    return table(
        ["effective learning rate", "test loss of a snapshot", f"of the average of {LARGE[-1]}", "difference"], rows
    )
