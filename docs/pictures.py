"""The figures of docs/pictures.md (`make pictures`): theory from thermo_theory, dots from the simulated gas."""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from empirics.isotropic import simulate
from empirics.isotropic.processes import follow, path
from thermo_theory import FixedLR, derive, vmf

FOLDER = Path(__file__).parent / "images"
COLOURS = ("#0b6b8a", "#b3470f", "#4b7f2b")
STYLE = {
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.prop_cycle": mpl.cycler(color=COLOURS),
    "font.size": 9,
    "legend.frameon": False,
    "svg.hashsalt": "thermo-theory",
}


def learning_rate():
    """Directions of a gas in three dimensions, seen from above its minimum, at three learning rates."""
    figure = Figure(figsize=(6.4, 2.5), layout="constrained")
    weight_decay, sigma, d = 0.01, 1.0, 3
    for axes, lr in zip(figure.subplots(1, 3), (0.001, 0.01, 0.1), strict=True):
        heat = FixedLR.temperature(eta=lr, lam=weight_decay, sigma=sigma, d=d)
        points = vmf.sample(size=250, d=d, T=heat, rng=np.random.default_rng(1))
        turn = np.linspace(0, 2 * np.pi, 100)
        axes.plot(np.cos(turn), np.sin(turn), color="#888888", linewidth=0.8)
        axes.plot(points[:, 1], points[:, 2], ".", markersize=2)
        axes.set(aspect="equal", xticks=[], yticks=[], xlabel=f"T = {heat:.3f}", title=f"lr = {lr:g}")
        axes.spines[:].set_visible(False)
    return figure


def weight_decay():
    """The norm from three starts, at two weight decays: simulated, and as derived."""
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    lr, d, sigma, steps = 0.05, 50, 1.0, 2_000
    for colour, decay in zip(COLOURS, (0.01, 0.05), strict=False):
        for start in (0.5, 4.0):
            runs = simulate(
                dimension=d, steps=steps, snapshots=20, initial_radius=start, lr=[lr], weight_decay=[decay],
                trace_points=41,
            )  # fmt: skip
            trace = runs.tree["trace"].dataset
            axes.plot(trace["step"].values.ravel(), np.exp(trace["log_radius"].values.ravel()), ".", color=colour)
            time = np.linspace(0, steps, 201)
            curve = derive("radius-trajectory", FixedLR).claim(eta=lr, lam=decay, sigma=sigma, d=d, r0=start, t=time)
            label = f"weight decay {decay:g}" if start < 1 else None
            axes.plot(time, curve, color=colour, linewidth=1, label=label)
    axes.set(xlabel="iterations", ylabel="norm r", ylim=(0, None))
    axes.legend()
    return figure


def cooldown():
    """Loss and gradient in a cooldown, with weight decay held and with weight decay falling too."""
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    lr, decay, d, sigma = 0.05, 0.05, 50, 1.0
    for name, colour in (("isobar", COLOURS[1]), ("isochore", COLOURS[0])):
        course = path(name, lr=lr, weight_decay=decay, factor=0.05, points=9, dimension=d, sigma=sigma)
        seen = follow(course, steps=2_000, copies=512, dimension=d, sigma=sigma, seed=1)
        share = np.linspace(0, 1, 101)
        rates = lr * 0.05**share
        decays = derive("isochore").claim(eta=rates, eta0=lr, lam0=decay) if name == "isochore" else np.full(101, decay)
        values = {"eta": rates, "lam": decays, "sigma": sigma, "d": float(d)}
        label = "weight decay held" if name == "isobar" else "weight decay falls with lr"
        left.plot(rates, vmf.energy(d=d, T=FixedLR.temperature(**values)), color=colour, linewidth=1, label=label)
        left.plot(seen["lr"], seen["loss"], ".", color=colour)
        size = sigma * np.sqrt(d - 1)
        right.plot(rates, size / FixedLR.radius(**values), color=colour, linewidth=1)
        right.plot(seen["lr"], size / np.sqrt(seen["radius_sq"]), ".", color=colour)
    for axes, words in ((left, "mean loss"), (right, "size of a gradient")):
        axes.set(xscale="log", xlabel="learning rate, falling", ylabel=words, ylim=(0, None))
        axes.set_xticks([0.05, 0.02, 0.01, 0.005, 0.0025], ["0.05", "0.02", "0.01", "0.005", "0.0025"])
        axes.set_xticks([], minor=True)
        axes.invert_xaxis()
    left.legend(fontsize=8)
    return figure


def averaging():
    """Loss of an average of N independent samples at two temperatures, and R T/N."""
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    d, rng = 50, np.random.default_rng(1)
    counts = 2 ** np.arange(9)
    for colour, heat in zip(COLOURS, (0.001, 0.01), strict=False):
        losses = []
        for count in counts:
            means = vmf.sample(size=100 * int(count), d=d, T=heat, rng=rng).reshape(100, count, d).mean(axis=1)
            losses.append(float((1 - means[:, 0] / np.linalg.norm(means, axis=1)).mean()))
        axes.plot(counts, losses, "o", markersize=4, color=colour, label=f"T = {heat:g}")
        axes.plot(counts, derive("weight-averaging").claim(N=counts, R=(d - 1) / 2, T=heat), color=colour, linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="samples averaged, N", ylabel="loss above the minimum")
    axes.legend()
    return figure


PICTURES = {
    "learning-rate": learning_rate,
    "weight-decay": weight_decay,
    "cooldown": cooldown,
    "averaging": averaging,
}


def main(folder: Path) -> None:
    """Draw all of them."""
    with mpl.rc_context(STYLE):
        for name, draw in PICTURES.items():
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
