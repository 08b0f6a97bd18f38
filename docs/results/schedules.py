"""Trains the digits network under each learning-rate schedule at equal steps, for docs/results/generalisation.md.

The schedules and what is compared were written down here before any was run.
"""

import dataclasses

import numpy as np
from plain_network import Network
from tables import EXPERIMENTS, student, table

import empirics
from empirics import Experiment
from empirics.steering import cooldown, entropy_rate, plan
from empirics.training.tables import ScheduleTable

#: Steps of a schedule.
BUDGETS = (2_500, 10_000)

#: Where every schedule but the constant one, the steps and the gentler entropy rate ends, over where it began.
END = 1e-3

#: Knots from which the engine goes on in straight lines.
KNOTS = 128

#: That schedule which all are compared with.
REFERENCE = "cosine"


def plans(steps):
    """The schedules by name: plans of `empirics.steering`, or their factors at a few steps."""
    fall = np.log(END)
    # The slowest relaxation goes as 1/lr, so what lags is equally far behind where the speed of log lr goes as lr.
    knots = np.unique(np.geomspace(1, steps + 1, KNOTS + 1).round().astype(int) - 1)
    equal_lag = (tuple(knots.tolist()), tuple((1 / (1 + 99 * knots / steps)).tolist()), "log")
    return {
        "constant": (),
        "steps of 1/10 at 1/2 and 3/4": ((0, steps // 2, 3 * steps // 4), (1.0, 0.1, 0.01), "step"),
        "linear": plan("isobar", factor=END, steps=steps, shape="linear"),
        "cosine": plan("isobar", factor=END, steps=steps, shape="cosine"),
        "cooldown over the last half": cooldown(factor=END, steps=steps // 2, hold=steps // 2, correct=False),
        "the same, weight decay with it": cooldown(factor=END, steps=steps // 2, hold=steps // 2, correct=True),
        "entropy rate, 6.9 R in all, isobar": entropy_rate(rate=fall / steps, steps=steps, along="isobar"),
        "entropy rate, 6.9 R in all, isochore": entropy_rate(rate=fall / steps, steps=steps, along="isochore"),
        "entropy rate, 4.6 R in all, isobar": entropy_rate(rate=np.log(0.01) / steps, steps=steps, along="isobar"),
        "equal lag, 4.6 R in all: lr as 1/(1 + 99 t/steps)": equal_lag,
    }


#: Numbers of the schedules, as the experiments are called.
NUMBERS = range(len(plans(BUDGETS[0])))


def table_of(made, steps):
    """A plan as an experiment's ``[schedule]``."""
    if isinstance(made, tuple):
        return ScheduleTable(**dict(zip(("step", "lr", "between"), made, strict=False)))
    knots = np.unique(np.linspace(0, steps, KNOTS + 1).round().astype(int))
    rates, decays = zip(*(made.at(int(step)) for step in knots), strict=True)
    both = {"lr": tuple(map(float, rates)), "weight_decay": tuple(map(float, decays))}
    if len(set(both["weight_decay"])) == 1:
        del both["weight_decay"]
    return ScheduleTable(step=tuple(knots.tolist()), between="linear", **both)


def experiment(number, steps):
    """The experiment under one of the schedules."""
    base = Experiment.from_file(EXPERIMENTS / "schedules.toml")
    made = list(plans(steps).values())[number]
    training = dataclasses.replace(base.training, burn_in=steps)
    return dataclasses.replace(
        base, name=f"schedules-{steps}-{number}", training=training, schedule=table_of(made, steps)
    )


def ends(number, steps, folder):
    """Training loss, test loss and test accuracy at the end, shape (lr, seed, 3)."""
    asked = experiment(number, steps)
    runs = empirics.run(asked, folder / asked.name, progress=False)
    weights = runs.tree["snapshots"]["weights"].values[:, -1]
    network = Network(asked)
    found = np.array([network.put(one).evaluate() for one in weights])
    seed, rate = runs.dataset["seed"].values, runs.dataset["lr"].values
    return np.array([[found[(rate == a) & (seed == b)][0] for b in np.unique(seed)] for a in np.unique(rate)])


def study(folder):
    """Ends of all schedules by number of steps and name."""
    return {steps: {name: ends(number, steps, folder) for number, name in enumerate(plans(steps))} for steps in BUDGETS}


def lines(found):
    """Tables of the page, one a number of steps."""
    rates = Experiment.from_file(EXPERIMENTS / "schedules.toml").grid.lr
    page = []
    for steps, by_name in found.items():
        rows = []
        for name, values in by_name.items():
            for i, rate in enumerate(rates):
                cells = [f"{m:.4f} ± {e:.4f}" for m, e in (student(values[i, :, k]) for k in range(3))]
                mean, error = student(values[i, :, 1] - by_name[REFERENCE][i, :, 1])
                apart = "" if name == REFERENCE else f"{mean:+.4f} ± {error:.4f}"
                rows.append([name, f"{rate:g}", *cells[:2], apart, cells[2]])
        head = ["schedule", "lr", "training loss", "test loss", "minus that of cosine", "test accuracy"]
        page += [f"### {steps:,} steps", "", *table(head, rows), ""]
    return page
