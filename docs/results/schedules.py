"""Trains the digits network under each learning-rate schedule at equal steps, for docs/results/generalisation.md.

The schedules and what is compared were written down here before any was run.

A schedule by entropy that is not constant: the entropy falls as share^exponent of the steps. Exponent, total and
learning rate are chosen on seeds 1 to 12 (lowest mean test loss at the end), and judged on seeds 13 to 24 and another
split of the digits, which nothing was run on before, against cosine and the constant entropy rates, whose learning
rate (and total) is chosen alike. Paired by seed, 95 % by Student's t: "better" if the interval of the difference of
test losses lies below 0, "worse" if above, "as good" if within ± MARGIN, else inconclusive. Predicted: the constant
rate is worse than cosine because it is cold too early, an exponent of 3 or more puts that right, and then it is as
good as cosine, not better.
"""

import dataclasses

import numpy as np
from plain_network import Network
from stored import EXPERIMENTS
from tables import student, table

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

#: Exponents of the entropy's fall, beside 1, and its totals in R.
EXPONENTS = (2, 3, 4, 6, 8)
TOTALS = {"6.9": END, "4.6": 0.01}

#: The rivals: what their schedules' names begin with.
RIVALS = {
    "exponent chosen": "entropy as share^",
    "constant rate": "entropy rate",
    "cosine": REFERENCE,
}

#: Seeds and split that the choice is judged on, and the difference of test losses (nat) that does not matter.
FRESH = tuple(range(13, 25))
SPLIT = 1
MARGIN = 0.01


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
        **{
            f"entropy as share^{exponent}, {total} R in all": entropy_rate(
                rate=np.log(end) / steps, steps=steps, exponent=exponent
            )
            for total, end in TOTALS.items()
            for exponent in EXPONENTS
        },
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


def experiment(number, steps, fresh=False):
    """The experiment under one of the schedules; `fresh`: with the seeds and the split that choices are judged on."""
    base = Experiment.from_file(EXPERIMENTS / "schedules.toml")
    made = list(plans(steps).values())[number]
    changed = {"training": dataclasses.replace(base.training, burn_in=steps), "schedule": table_of(made, steps)}
    if fresh:
        changed |= {"seeds": FRESH, "data": dataclasses.replace(base.data, test_seed=SPLIT)}
    return dataclasses.replace(base, name=f"schedules-{steps}-{number}{'-fresh' if fresh else ''}", **changed)


def ends(number, steps, folder, fresh=False):
    """Training loss, test loss and test accuracy at the end, shape (lr, seed, 3)."""
    asked = experiment(number, steps, fresh)
    runs = empirics.run(asked, folder / asked.name, progress=False)
    weights = runs.tree["snapshots"]["weights"].values[:, -1]
    network = Network(asked)
    found = np.array([network.put(one).evaluate() for one in weights])
    seed, rate = runs.dataset["seed"].values, runs.dataset["lr"].values
    return np.array([[found[(rate == a) & (seed == b)][0] for b in np.unique(seed)] for a in np.unique(rate)])


def study(folder):
    """What the page keeps: ends of all schedules by number of steps and name, and of the rivals on fresh seeds."""
    found = {steps: {name: ends(k, steps, folder) for k, name in enumerate(plans(steps))} for steps in BUDGETS}
    return {"tuned": found, "judged": judge(found, folder)}


def chosen(by_name):
    """Of every rival the schedule and the number of the learning rate with the lowest mean test loss."""
    for rival, beginning in RIVALS.items():
        means = {name: values[:, :, 1].mean(1) for name, values in by_name.items() if name.startswith(beginning)}
        name = min(means, key=lambda one: means[one].min())
        yield rival, name, int(means[name].argmin())


def said(mean, half):
    """The verdict on a difference of test losses."""
    if abs(mean) + half <= MARGIN:
        return "as good"
    return "worse" if mean > half else "better" if mean < -half else "inconclusive"


def judge(found, folder):
    """Test losses of the rivals on fresh seeds and a fresh split, by number of steps: (schedule, lr, losses)."""
    rates, judged = Experiment.from_file(EXPERIMENTS / "schedules.toml").grid.lr, {}
    for steps, by_name in found.items():
        names = list(by_name)
        judged[steps] = {
            rival: (name, rates[k], ends(names.index(name), steps, folder, fresh=True)[k, :, 1])
            for rival, name, k in chosen(by_name)
        }
    return judged


def verdicts(kept):
    """Of the chosen exponent against each rival, by number of steps: (steps, rival, mean, half, what is said)."""
    for steps, rivals in kept["judged"].items():
        mine, *others = rivals
        for rival in others:
            mean, half = student(np.subtract(rivals[mine][2], rivals[rival][2]))
            yield int(steps), rival, mean, half, said(mean, half)


def apart(kept, steps, name):
    """Test loss of a schedule minus that of cosine on the seeds of the choice: mean and half, by learning rate."""
    tuned = {key: np.array(values) for key, values in kept["tuned"][str(steps)].items()}
    return np.transpose(student(tuned[name][:, :, 1] - tuned[REFERENCE][:, :, 1]))


def verdict_lines(kept):
    """Table of the rivals on fresh seeds: one row per number of steps and rival."""
    reached = {(steps, rival): (mean, half, word) for steps, rival, mean, half, word in verdicts(kept)}
    rows = []
    for steps, rivals in kept["judged"].items():
        for rival, (name, rate, losses) in rivals.items():
            cells = [f"{int(steps):,}", rival, name, f"{rate:g}", "{:.4f} ± {:.4f}".format(*student(losses))]
            mean, half, word = reached.get((int(steps), rival), (0, 0, ""))
            rows.append([*cells, f"{mean:+.4f} ± {half:.4f}" if word else "", word])
    head = ["steps", "rival", "schedule", "lr", "test loss, fresh seeds and split", "chosen exponent minus this"]
    return table([*head, "chosen exponent is"], rows)


def lines(kept):
    """Tables of the seeds that choices were made on, one per number of steps."""
    rates = Experiment.from_file(EXPERIMENTS / "schedules.toml").grid.lr
    page = []
    for steps, by_name in kept["tuned"].items():
        by_name = {name: np.array(values) for name, values in by_name.items()}
        rows = []
        for name, values in by_name.items():
            for i, rate in enumerate(rates):
                cells = [f"{m:.4f} ± {e:.4f}" for m, e in (student(values[i, :, k]) for k in range(3))]
                beside = "" if name == REFERENCE else "{:+.4f} ± {:.4f}".format(*apart(kept, steps, name)[i])
                rows.append([name, f"{rate:g}", *cells[:2], beside, cells[2]])
        head = ["schedule", "lr", "training loss", "test loss", "minus that of cosine", "test accuracy"]
        page += [f"{int(steps):,} steps:", "", *table(head, rows), ""]
    return page
