"""Runs a network that generalises long after it has memorised, and writes docs/results/grokking.md.

python docs/results/grokking.py --runs runs
"""

import io
from functools import cached_property

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from tables import EXPERIMENTS, FIGURES, asked, table, write

import empirics
from empirics.data.loading import load
from empirics.models.base import views
from empirics.training.ensemble import Ensemble
from thermo_theory import FixedELR
from thermo_theory.relations import coordinates
from thermo_theory.relations.paths import law

LAW = law("fixed-lr", "adamw")
MEMORISED, GENERALISED = 0.99, 0.9  # accuracy of training and of test samples from which on we say so
HOT = 1e-8  # T (nat) above which an interval between snapshots counts as part of a burst; chosen on seeing the curves
CONTROLS = ("grokking-float64", "grokking-float64-eps")
INK = ("#0b62ab", "#e08a5b", "#8fb8a8")


class Curves:
    """What was measured over the steps, arrays (run, step), for one of the two experiments."""

    def __init__(self, runs):
        self.runs, self.data = runs, runs.dataset
        times, training = runs.experiment.times(runs.experiment.runs), runs.experiment.training
        self.step = times.burn_in + times.spacing * np.arange(1, times.snapshots + 1)
        self.lr, self.decay = (self.data[name].values[:, None] for name in ("lr", "weight_decay"))
        self.tangents = self.data.attrs["dimension"] - 1
        self.beta = training.momentum

    def block(self, name):
        """Means over the steps since the snapshot before; there is a block for each."""
        return self.runs.tree["blocks"][name].values

    def snapshot(self, name):
        """What was measured at the snapshots."""
        return self.runs.tree["snapshots"][name].values

    @cached_property
    def noise(self):
        """Trace of the covariance of gradients at unit norm, nat^2."""
        return (self.block("grad_sq") - self.block("grad_mean_sq")) * self.block("radius_sq")

    @cached_property
    def norm(self):
        """Root mean square norm, Adam's volume."""
        return np.sqrt(self.block("radius_sq"))

    @cached_property
    def _settings(self):
        sigma = np.sqrt(np.where(self.noise > 0, self.noise, np.nan) / self.tangents)
        return {"sigma": sigma, "r": self.norm, "eta": self.lr, "lam": self.decay, "d": self.tangents + 1}

    def of(self, formula):
        """A derived formula at what was measured."""
        return formula(**{name: self._settings[name] for name in formula.arguments}, invalid="nan")

    @cached_property
    def temperature(self):
        """T of the noise, nat: half the effective rate times the variance of the noise along a tangent."""
        rate = self.of(coordinates.effective_rate(LAW))
        return FixedELR.temperature(eta_eff=rate, sigma=self._settings["sigma"], invalid="nan")

    @cached_property
    def compression(self):
        """pV/(RT), in Adam's coordinates."""
        pressure, volume, constant = (self.of(one) for one in coordinates.state(LAW))
        return pressure * volume / (constant * self.temperature)

    @cached_property
    def work(self):
        """pV, nat, in Adam's coordinates."""
        pressure, volume, _ = (self.of(one) for one in coordinates.state(LAW))
        return pressure * volume

    @cached_property
    def turn_share(self):
        """Angle of a step over that in equilibrium with weight decay."""
        formula = LAW.angle
        known = {"eta": self.lr, "lam": self.decay, "beta1": self.beta, "d": self.tangents + 1}
        return self.snapshot("rotation") / formula(**{name: known[name] for name in formula.arguments})

    @cached_property
    def speed(self):
        """Angle between snapshots over the steps between them, rad per step: e^(S/2R) of the path's entropy S."""
        return self.snapshot("turn") / self.runs.experiment.measure.spacing

    @cached_property
    def curvature(self):
        """Mean curvature on the sphere at unit norm, nat."""
        return self.snapshot("laplacian") / self.tangents

    @cached_property
    def loss(self):
        """Mean loss, nat."""
        return self.block("loss")

    @cached_property
    def loss_share(self):
        """Mean loss over R T, R = (d - 1)/2."""
        return self.loss / (self.temperature * self.tangents / 2)


def accuracies(runs):
    """Share of all training and of all test samples classified rightly at the snapshots, each (run, snapshot)."""
    experiment, data = runs.experiment, load(runs.experiment.data)
    ensemble = Ensemble(experiment, experiment.runs, data)
    weights = torch.as_tensor(runs.tree["snapshots"]["weights"].values)
    found = []
    for inputs, labels in ((data.inputs, data.labels), (data.test_inputs, data.test_labels)):
        samples = torch.as_tensor(inputs, dtype=weights.dtype).expand(len(weights), -1, -1)
        right = torch.as_tensor(labels).expand(len(weights), -1)
        scores = [
            ensemble.model.scores(views(flat.contiguous(), ensemble.model.blocks), ensemble.frozen, samples, right)[1]
            for flat in weights.unbind(1)
        ]
        found.append(torch.stack(scores, 1).numpy())
    return found


def events(step, training, test):
    """Steps at which each run has memorised and has generalised, inf where it has not; accuracies (run, step)."""

    def first(accuracy, level):
        reached = accuracy >= level
        return np.where(reached.any(1), step[reached.argmax(1)], np.inf)

    return first(training, MEMORISED), first(test, GENERALISED)


class Story:
    """Both experiments, the early steps from the one that looked at them often."""

    def __init__(self, folder):
        names = ("grokking-start", "grokking")
        self.start, self.whole = (Curves(empirics.run(EXPERIMENTS / f"{n}.toml", folder / n)) for n in names)
        self.late = self.whole.step > self.start.step[-1]
        self.step = np.concatenate([self.start.step, self.whole.step[self.late]])
        trace = self.whole.runs.tree["trace"]
        early = accuracies(self.start.runs)
        late = [trace[name].values[:, self.late] for name in ("accuracy", "test_accuracy")]
        self.training, self.test = (np.concatenate(pair, axis=1) for pair in zip(early, late, strict=True))
        self.memorised, self.generalised = events(self.step, self.training, self.test)
        self.decays = np.unique(self.whole.decay)

    def curve(self, name):
        """A quantity of `Curves` over all steps."""
        early, late = (getattr(one, name) for one in (self.start, self.whole))
        return np.concatenate([early, late[:, self.late]], axis=1)

    @property
    def same(self):
        """Whether both experiments are the same runs: the norm where the first ends, to the bit."""
        place = int(np.flatnonzero(self.whole.step == self.start.step[-1])[0])
        return np.array_equal(self.start.snapshot("radius_sq")[:, -1], self.whole.snapshot("radius_sq")[:, place])

    def members(self, decay):
        """Numbers of the runs with this weight decay."""
        return np.flatnonzero(self.whole.decay[:, 0] == decay)


PANELS = {
    "temperature": "T (nat)",
    "work": "pV (nat)",
    "speed": "angle between snapshots\n(rad per step)",
    "curvature": "mean curvature (nat)",
}
STAGES = {
    "temperature": "T (nat)",
    "work": "pV (nat)",
    "compression": "pV/(RT)",
    "loss": "loss (nat)",
    "loss_share": "loss/(RT)",
    "turn_share": "rotation per step over equilibrium's",
    "speed": "angle between snapshots (rad per step)",
    "curvature": "mean curvature (nat)",
}


def draw(story, path):
    """Accuracies and the gas over the steps: one column per weight decay, one shade per seed, a dot at generalising."""
    mpl.rcParams |= {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    figure, axes = plt.subplots(5, 3, figsize=(9, 9), sharex=True, sharey="row", constrained_layout=True)
    for column, decay in zip(axes.T, story.decays, strict=True):
        column[0].set_title(f"weight decay {decay:g}", fontsize=8)
        for i, ink in zip(story.members(decay), INK, strict=True):
            _lines(story, i, column, ink)
        column[-1].set_xlabel("step")
    axes[0, 0].set_xscale("log")
    axes[0, 0].set_ylabel("accuracy\n(dashed: training)")
    for axis, label in zip(axes[1:, 0], PANELS.values(), strict=True):
        axis.set_ylabel(label)
        axis.set_yscale("log")
    image = io.BytesIO()
    figure.savefig(image, dpi=100)
    plt.close(figure)
    Image.open(image).convert("RGB").quantize(32).save(path, optimize=True)


def _lines(story, run, axes, ink):
    """One run in all panels."""
    step, when = story.step, story.generalised[run]
    axes[0].plot(step, story.test[run], color=ink, lw=0.8)
    axes[0].plot(step, story.training[run], color=ink, lw=0.8, ls="--")
    for axis, name in zip(axes[1:], PANELS, strict=True):
        curve = np.where(story.curve(name)[run] > 0, story.curve(name)[run], np.nan)
        axis.plot(step, curve, color=ink, lw=0.7)
        if np.isfinite(when):
            axis.plot(when, curve[step == when], "o", color=ink, ms=3.5)


def stages(story):
    """Where each run stands when it has memorised, half way (in log steps) to generalising, then, and at the end."""
    head = ["weight decay", "seed", "stage", "step", *STAGES.values(), "test accuracy"]
    rows, curves = [], {name: story.curve(name) for name in STAGES}
    for decay in story.decays:
        for i in story.members(decay):
            for stage, k in _places(story, i):
                cells = [f"{decay:g}", str(story.whole.data["seed"].values[i]), stage, f"{story.step[k]:,}"]
                cells += [f"{curve[i, k]:.3g}" for curve in curves.values()]
                rows.append([*cells, f"{story.test[i, k]:.2f}"])
    return table(head, rows)


def _places(story, run):
    """Names of the stages and numbers of the points."""
    memorised, generalised = story.memorised[run], story.generalised[run]
    marks = {"memorised": memorised, "half way": np.sqrt(memorised * generalised), "generalised": generalised}
    found = [(name, int(np.argmin(abs(story.step - when)))) for name, when in marks.items() if np.isfinite(when)]
    return [*found, ("end", len(story.step) - 1)]


def times(story):
    """When each run has memorised and generalised, in steps and in units of 1/(lr wd)."""
    head = ["weight decay", "seed", "memorised", "generalised", "generalised, in 1/(lr·wd)", "test accuracy at the end"]
    rows = []
    for decay in story.decays:
        for i in story.members(decay):
            when, rate = story.generalised[i], float(story.whole.lr[i, 0] * decay)
            cells = [f"{decay:g}", str(story.whole.data["seed"].values[i]), f"{story.memorised[i]:,.0f}"]
            cells += [f"{when:,.0f}", f"{when * rate:.2f}"] if np.isfinite(when) else ["not", "-"]
            rows.append([*cells, f"{story.test[i, -10:].mean():.3f}"])
    return table(head, rows)


def bursts(story):
    """What the hot and the cold intervals between memorising and generalising do to the test accuracy."""
    head = ["weight decay", "seed", "bursts before it generalises", "share of steps in bursts"]
    head += ["test accuracy gained in bursts", "and between them", "largest loss in a burst (nat)"]
    rows, whole = [], story.whole
    test = whole.runs.tree["trace"]["test_accuracy"].values
    for decay in story.decays:
        for i in story.members(decay):
            inside = (whole.step > story.start.step[-1]) & (whole.step <= story.generalised[i])
            hot = whole.temperature[i] > HOT
            begins = hot & ~np.append(True, hot[:-1])
            gain = np.append(0, np.diff(test[i]))
            cells = [f"{decay:g}", str(whole.data["seed"].values[i]), str((begins & inside).sum())]
            cells += [
                f"{hot[inside].mean():.2f}",
                f"{gain[hot & inside].sum():.2f}",
                f"{gain[~hot & inside].sum():.2f}",
            ]
            rows.append([*cells, f"{whole.loss[i, inside].max():.2g}"])
    return table(head, rows)


def precise(folder):
    """The controls of precision: when they generalise, and what the coldest and hottest intervals are by then."""
    head = ["experiment", "seed", "generalised", "bursts", "lowest T (nat)", "lowest loss (nat)", "last test accuracy"]
    rows = []
    for name in CONTROLS:
        curves = Curves(empirics.run(EXPERIMENTS / f"{name}.toml", folder / name))
        trace = curves.runs.tree["trace"]
        _, generalised = events(trace["step"].values, trace["accuracy"].values, trace["test_accuracy"].values)
        for i, when in enumerate(generalised):
            hot = curves.temperature[i] > HOT
            cells = [name, str(curves.data["seed"].values[i]), f"{when:,.0f}" if np.isfinite(when) else "not"]
            cells += [str((hot[8:] & ~hot[7:-1]).sum()), f"{np.nanmin(curves.temperature[i]):.2g}"]
            cells += [f"{curves.loss[i].min():.2g}", f"{trace['test_accuracy'].values[i, -10:].mean():.3f}"]
            rows.append(cells)
    return table(head, rows)


def main():
    """Run what is not there yet, draw the figure and write the page."""
    folder = asked().runs
    story = Story(folder)
    draw(story, FIGURES / "grokking.png")
    write(
        "grokking",
        times=times(story),
        bursts=bursts(story),
        precise=precise(folder),
        stages=stages(story),
        same="to the bit" if story.same else "NOT",
        last=f"{story.start.step[-1]}",
    )


if __name__ == "__main__":
    main()
