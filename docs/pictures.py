"""The figures of the gallery (`make pictures`): theory from thermo_theory, dots from the simulated gas."""

import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "results"))

from tables import INK, MUTED, SERIES, panels, save, says, ticks  # noqa: E402 (of the result pages beside this file)

from empirics.isotropic import simulate  # noqa: E402
from empirics.isotropic.processes import follow, path  # noqa: E402
from thermo_theory import FixedLR, derive, vmf  # noqa: E402


def learning_rate(folder):
    """Directions of a gas in three dimensions, seen from above its minimum, at three learning rates."""
    weight_decay, sigma, d, rates = 0.01, 1.0, 3, (0.001, 0.01, 0.1)
    heat = [FixedLR.temperature(eta=lr, lam=weight_decay, sigma=sigma, d=d) for lr in rates]
    title = f"Ten times the learning rate is {heat[1] / heat[0]:.3g} = √10 times the temperature"
    figure, axes = panels(title, columns=3, height=2.9)
    turn, spread = np.linspace(0, 2 * np.pi, 100), []
    for axis, lr, one in zip(axes, rates, heat, strict=True):
        points = vmf.sample(size=250, d=d, T=one, rng=np.random.default_rng(1))
        spread.append(np.degrees(np.sqrt(np.mean(np.arccos(np.clip(points[:, 0], -1, 1)) ** 2))))
        for angle in (30, 90):
            rim = np.sin(np.radians(angle))
            axis.plot(rim * np.cos(turn), rim * np.sin(turn), color=MUTED, linewidth=0.8)
            says(axis, f"{angle}°", (rim * 0.707, rim * 0.707), MUTED, (2, 4))
        axis.plot(points[:, 1], points[:, 2], ".", markersize=3, color=SERIES[0])
        axis.set(aspect="equal", xticks=[], yticks=[], xlabel=f"T = {one:.3g} nat\nspread {spread[-1]:.3g}°")
        axis.set_title(f"lr = {lr:g}")
        axis.spines[:].set_visible(False)
    listed = "; ".join(f"lr {lr:g}: T = {one:.3g}, {of:.3g}°" for lr, one, of in zip(rates, heat, spread, strict=True))
    alt = "Directions of weights in three dimensions from above the minimum, with circles 30 and 90 degrees from it. "
    save(figure, "learning-rate", f"{alt}Temperature and root mean square angle: {listed}.", folder)


def weight_decay(folder):
    """The norm from two starts, at two weight decays: simulated, and as derived."""
    lr, d, sigma, steps, decays = 0.05, 50, 1.0, 2_000, (0.01, 0.05)
    ends = [FixedLR.radius(eta=lr, lam=decay, sigma=sigma, d=d) for decay in decays]
    title = "From either start the norm ends where growth and decay balance\n"
    title += "; ".join(f"r = {one:.3g} at weight decay {decay:g}" for decay, one in zip(decays, ends, strict=True))
    figure, (axis,) = panels(title, columns=1, height=3.4)
    for ink, marker, decay, last in zip(SERIES, "os", decays, ends, strict=False):
        for start in (0.5, 4.0):
            runs = simulate(
                dimension=d, steps=steps, snapshots=20, initial_radius=start, lr=[lr], weight_decay=[decay],
                trace_points=41,
            )  # fmt: skip
            trace = runs.tree["trace"].dataset
            norm = np.exp(trace["log_radius"].values.ravel())
            axis.plot(trace["step"].values.ravel(), norm, marker, markersize=3, color=ink)
            time = np.linspace(0, steps, 201)
            curve = derive("radius-trajectory", FixedLR).claim(eta=lr, lam=decay, sigma=sigma, d=d, r0=start, t=time)
            axis.plot(time, curve, color=ink, linewidth=1)
        says(axis, f"weight decay {decay:g}", (steps, last), ink, (0, 9 if decay == decays[0] else -9), ha="right")
    says(
        axis, "dots: one simulated run each; lines: derived", (0.98, 0.04), MUTED, ha="right", xycoords="axes fraction"
    )
    axis.set(xlabel="step", ylabel="norm of the weights $r$", ylim=(0, None))
    listed = ", ".join(f"{one:.3g} at weight decay {decay:g}" for decay, one in zip(decays, ends, strict=True))
    save(
        figure,
        "weight-decay",
        f"Norm of the weights over {steps:,} steps from 0.5 and from 4: it ends at {listed}.",
        folder,
    )


def cooldown(folder):
    """Loss and gradient in a cooldown, with weight decay held and with weight decay falling too."""
    lr, decay, d, sigma = 0.05, 0.05, 50, 1.0
    words = {"isobar": "weight decay held", "isochore": "weight decay falls with lr"}
    seen = {}
    for name in words:
        course = path(name, lr=lr, weight_decay=decay, factor=0.05, points=9, dimension=d, sigma=sigma)
        seen[name] = follow(course, steps=2_000, copies=512, dimension=d, sigma=sigma, seed=1)
    size = sigma * np.sqrt(d - 1)
    last = {name: float(one["loss"].values[-1]) for name, one in seen.items()}
    grown = {
        name: float(np.sqrt(one["radius_sq"].values[0] / one["radius_sq"].values[-1])) for name, one in seen.items()
    }
    title = f"With weight decay falling too, the loss ends {last['isobar'] / last['isochore']:.1f} times lower "
    title += f"and gradients stay; with it held they grow {grown['isobar']:.1f}-fold"
    figure, (left, right) = panels(title, height=3.4)
    for (name, one), ink, marker, place in zip(seen.items(), (SERIES[1], SERIES[0]), "so", (0, 3), strict=True):
        rates = lr * 0.05 ** np.linspace(0, 1, 101)
        decays = derive("isochore").claim(eta=rates, eta0=lr, lam0=decay) if name == "isochore" else np.full(101, decay)
        values = {"eta": rates, "lam": decays, "sigma": sigma, "d": float(d)}
        left.plot(rates, vmf.energy(d=d, T=FixedLR.temperature(**values)), color=ink, linewidth=1)
        left.plot(one["lr"], one["loss"], marker, markersize=4, color=ink)
        right.plot(rates, size / FixedLR.radius(**values), color=ink, linewidth=1)
        right.plot(one["lr"], size / np.sqrt(one["radius_sq"]), marker, markersize=4, color=ink)
        level, (at, above) = size / FixedLR.radius(**values), (50, 10) if name == "isobar" else (100, -10)
        says(right, words[name], (rates[at], float(level[at])), ink, (0, above), ha="right")
        says(left, words[name], (0.97, 0.94 - place / 40), ink, ha="right", xycoords="axes fraction")
    for axis, name in ((left, "mean loss above the minimum (nat)"), (right, "norm of a gradient $|g|$")):
        axis.set(xscale="log", xlabel="learning rate, falling →", ylabel=name, ylim=(0, None))
        ticks(axis.xaxis, [0.05, 0.02, 0.01, 0.005, 0.0025])
        axis.invert_xaxis()
    says(left, "dots: simulated; lines: derived", (0.03, 0.05), MUTED, xycoords="axes fraction")
    alt = f"Mean loss and norm of a gradient while the learning rate falls from {lr:g} to {lr * 0.05:g}. At the end: "
    alt += f"loss {last['isobar']:.3g} with weight decay held, {last['isochore']:.3g} with weight decay falling; "
    save(figure, "cooldown", f"{alt}gradients grow by {grown['isobar']:.2f} and {grown['isochore']:.2f}.", folder)


def averaging(folder):
    """Loss of an average of N independent samples at two temperatures, and R T/N."""
    d, rng, counts, heats = 50, np.random.default_rng(1), 2 ** np.arange(9), (0.001, 0.01)
    losses, lines = {}, {}
    for heat in heats:
        losses[heat] = []
        for count in counts:
            means = vmf.sample(size=100 * int(count), d=d, T=heat, rng=rng).reshape(100, count, d).mean(axis=1)
            losses[heat].append(float((1 - means[:, 0] / np.linalg.norm(means, axis=1)).mean()))
        lines[heat] = derive("weight-averaging").claim(N=counts, R=(d - 1) / 2, T=heat)
    ratio = {heat: np.array(losses[heat]) / lines[heat] for heat in heats}
    below, above = (f"{one.min():.2f} to {one.max():.2f} times" for one in ratio.values())
    title = f"An average of N samples is as cold as T/N: its loss is {below} RT/N at T = {heats[0]:g}, "
    title += f"{above} at {heats[1]:g}"
    figure, (axis,) = panels(title, columns=1, height=3.5)
    for ink, marker, heat in zip(SERIES, "os", heats, strict=False):
        axis.plot(counts, losses[heat], marker, markersize=4.5, color=ink, mfc="none")
        axis.plot(counts, lines[heat], color=ink, linewidth=1)
        says(axis, f"T = {heat:g}", (counts[-1], lines[heat][-1]), ink, (8, 0))
    # Where the dots of the higher temperature pass their line.
    k = int(np.argmax(ratio[heats[1]] > 1))
    place = (float(np.sqrt(counts[k - 1] * counts[k])), float(np.sqrt(losses[heats[1]][k - 1] * losses[heats[1]][k])))
    words = "dots cross their line: the sphere is curved,\na sample loses less than RT, an average more than RT/N"
    arrow = {"arrowstyle": "-", "color": INK, "lw": 0.7}
    says(axis, words, place, INK, (40, 26), arrowprops=arrow)
    says(axis, "dots: sampled; lines: RT/N", (0.02, 0.05), MUTED, xycoords="axes fraction")
    axis.set(xscale="log", yscale="log", xlabel="samples averaged, $N$", ylabel="loss above the minimum (nat)")
    axis.set_xlim(right=counts[-1] * 2.6)
    listed = "; ".join(f"T = {heat:g}: {losses[heat][0]:.3g} and {losses[heat][-1]:.2g} nat" for heat in heats)
    alt = (
        f"Loss of an average against the number of samples, 1 to {counts[-1]}, at two temperatures, on the line RT/N. "
    )
    save(figure, "averaging", f"{alt}First and last, {listed}.", folder)


def main(folder: Path) -> None:
    """Draw all of them."""
    for draw in (learning_rate, weight_decay, cooldown, averaging):
        draw(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "images")
