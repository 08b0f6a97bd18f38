"""The loss along single steps of stationary runs: is it quadratic there?

Nothing is read from the folder of runs: a few runs of each experiment are trained again and looked at on the way. The
images must be where the experiments of docs/results/cifar.md want them.
"""

from dataclasses import asdict, dataclass

import numpy as np
import stored
import torch
from stored import EXPERIMENTS
from tables import INK, INKS, MUTED, panels, save, says, table

from empirics import Experiment
from empirics.data.loading import load
from empirics.models.base import views
from empirics.training.ensemble import Ensemble, Raw

#: What is looked at, its words, and how often during the measured part.
NETWORKS = {
    "digits": ("digits MLP", 2400),
    "cifar-convnet-orbits": ("ConvNet, CIFAR-10", 400),
}
NAMES = ("steps",)
#: Where along the step slopes are taken, in steps; the two around 0 give the curvature at its start.
NEAR = 1 / 16
PLACES = np.concatenate([[-NEAR], np.linspace(0, 1, 9), [NEAR]])
#: Parts of the looks that errors come from.
PARTS = 20


@dataclass(frozen=True)
class Line:
    """Mean slopes along the steps of the runs of one cell, over that at the start.

    Attributes
    ----------
    network, rate, decay
        Which.
    angle
        Mean rotation per step (rad).
    shape : array (part, place)
        f at `PLACES` over minus its mean at 0, for each part of the looks.
    """

    network: str
    rate: float
    decay: float
    angle: float
    shape: np.ndarray

    def of(self, number):
        """A number made of f, with twice its standard error by the parts."""
        whole, parts = number(self.shape.mean(0)), [number(part) for part in self.shape]
        return whole, 2 * np.std(parts, ddof=1) / np.sqrt(len(parts))


def integral(f):
    """Of f over the step, by Simpson's rule."""
    weights = np.array([1, 4, 2, 4, 2, 4, 2, 4, 1]) / 24
    return weights @ f[1:-1]


def slope(f):
    """Of f at the start of the step: 2 if the loss is quadratic."""
    return (f[-1] - f[0]) / (2 * NEAR)


def lowest(f):
    """How far along the step the loss is least on average."""
    inner = f[1:-1]
    after = int(np.argmax(inner > 0))
    return (after - inner[after] / (inner[after] - inner[after - 1])) / 8


def end(f):
    """The slope where the step ends."""
    return f[-2]


def burnt_in(experiment, runs):
    """These runs after their burn-in: the ensemble and its state."""
    ensemble = Ensemble(experiment, runs, load(experiment.data))
    state = ensemble.start()
    for _ in range(ensemble.times.burn_in):
        ensemble.advance(state)
    return ensemble, state


def step_gradient(ensemble, state, row, out):
    """Write the gradient that a step from here is taken with, all its noise added, shape (run, d)."""
    ensemble._step.take(state, state.step, row, out)
    if ensemble._noise is not None:
        ensemble._noise.add(state, state.step, out, torch.linalg.vecdot(state.flat, state.flat))


def along(ensemble, state, number, lr):
    """``-lr g.grad L`` at all places of the step that is taken next, shape (place, run)."""
    scratch = [torch.empty(len(lr), dtype=ensemble.dtype) for _ in Raw]
    step_gradient(ensemble, state, scratch, ensemble.gradient)
    inputs, labels = ensemble.feeds.probe.at(number)
    step, out, found = lr.unsqueeze(1) * ensemble.gradient, torch.empty_like(state.flat), []
    for place in PLACES:
        weights = views(state.flat - place * step, state.blocks)
        ensemble.model.loss_and_grad(weights, ensemble.frozen, inputs, labels, views(out, state.blocks))
        found.append(-torch.linalg.vecdot(step, out).double().numpy())
    angle = torch.linalg.vector_norm(step, dim=1) / torch.linalg.vector_norm(state.flat, dim=1)
    return np.array(found), angle.double().numpy()


def chosen_cells(grid):
    """Pairs of lr and weight decay with the lowest, middle and highest product: of a square grid its diagonal."""
    pairs = grid.pairs or tuple(zip(sorted(grid.lr), sorted(grid.weight_decay), strict=True))
    first = {round(lr * decay, 6): (lr, decay) for lr, decay in reversed(pairs)}
    ordered = [first[product] for product in sorted(first)]
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]


def look(name):
    """Lines of three cells; all seeds of a cell in one."""
    words, looks = NETWORKS[name]
    experiment = Experiment.from_file(EXPERIMENTS / f"{name}.toml")
    for rate, decay in chosen_cells(experiment.grid):
        chosen = [run for run in experiment.runs if (run.lr, run.weight_decay) == (rate, decay)]
        ensemble, state = burnt_in(experiment, chosen)
        spacing = ensemble.times.snapshots * ensemble.times.spacing // looks
        lr = torch.tensor([run.lr for run in chosen], dtype=state.flat.dtype)
        seen, angles = [], []
        for number in range(looks):
            for _ in range(spacing):
                ensemble.advance(state)
            f, angle = along(ensemble, state, number, lr)
            seen.append(f)
            angles.append(angle)
        parts = np.array(seen).mean(2).reshape(PARTS, -1, len(PLACES)).mean(1)
        yield Line(words, rate, decay, float(np.mean(angles)), parts / -parts[:, 1].mean())


def study(folder):
    """Train and look: five minutes on one core."""
    lines = [asdict(line) for name in NETWORKS for line in look(name)]
    stored.record_study("steps", {"lines": lines}, [__file__, *(EXPERIMENTS / f"{name}.toml" for name in NETWORKS)])


def lines_of(found):
    """What was looked at."""
    kept = found["steps"].more["steps"]["lines"]
    return [Line(**one | {"shape": np.array(one["shape"])}) for one in kept]


def shown(value, error):
    """A number with two standard errors."""
    return f"{value:z.3f} ± {error:.3f}"


def cells_of(line):
    """A row of the table."""
    numbers = [shown(*line.of(number)) for number in (integral, slope, lowest, end)]
    return [line.network, f"{line.rate:.3g}", f"{line.decay:.3g}", f"{line.angle:.3f}", *numbers]


def draw(found):
    """f along the step, one panel per network."""
    lines = lines_of(found)
    names = list(dict.fromkeys(line.network for line in lines))
    of = {name: [line for line in lines if line.network == name] for name in names}
    bent = [of[names[0]][k].of(slope) for k in (0, -1)]
    title = "The loss along a step is quadratic (slope of f 2 at its start) only at small rotation per step: "
    title += (
        f"{shown(*bent[0])} at {of[names[0]][0].angle:.2f} rad, {shown(*bent[1])} at {of[names[0]][-1].angle:.2f} rad"
    )
    figure, axes = panels(title, columns=len(names), height=3.3, sharey=True)
    for axis, name in zip(axes, names, strict=True):
        for line, ink, style in zip(of[name], INKS, ("-", (0, (5, 1.5)), (0, (2, 1))), strict=False):
            axis.plot(PLACES[1:-1], line.shape.mean(0)[1:-1], color=ink, ls=style, label=f"{line.angle:.2f} rad")
        axis.plot([0, 1], [-1, 1], color=INK, lw=0.8)
        says(axis, "quadratic", (0.86, 0.78), INK, (-3, 3), ha="right")
        axis.axhline(0, color=MUTED, lw=0.8)
        axis.set(xlabel="share of the step")
        axis.set_title(name)
        axis.legend(title="rotation per step", loc="lower right", alignment="left")
    axes[0].set_ylabel("slope of the loss $f$, −1 at the start")
    listed = "; ".join(f"{one.network}, {one.angle:.2f} rad: {shown(*one.of(slope))}" for one in lines)
    save(figure, "steps", f"Slope of the loss along single steps; 2 times its start if quadratic. Measured: {listed}.")


def parts(found):
    """What words/steps.md asks for."""
    lines = lines_of(found)
    head = ["network", "lr", "weight decay", "rotation per step (rad)", "integral (0)", "slope of f at its start (2)"]
    head += ["minimum of the loss at, in steps", "f at its end (1)"]
    integrals, starts, ends = ([line.of(one) for line in lines] for one in (integral, slope, end))
    digits, images = starts[:3], starts[3:]
    return {
        "lines": table(head, map(cells_of, lines)),
        "zero": f"{sum(abs(value) <= error for value, error in integrals)} of {len(integrals)}",
        "best": f"{min(error for _, error in integrals):.3f}",
        "coldest": shown(*digits[0]),
        "hottest": shown(*digits[2]),
        "balances": f"{2 / digits[0][0]:.2f} to {2 / digits[2][0]:.2f}",
        "images": f"{min(value for value, _ in images):.2f} to {max(value for value, _ in images):.2f}",
        "images_error": f"{max(error for _, error in images):.2f}",
        "images_end": shown(*ends[-1]),
        "quadratic": "disagrees" if digits[2][0] - digits[2][1] > 2 else "agrees",
    }
