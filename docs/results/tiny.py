"""Networks small enough to mix: how the Gibbs claims fail, and that V10, which knows wells alone, has none there."""

import numpy as np
from tables import INK, MUTED, SERIES, directions, folded, matrix, panels, save, says, section, table, ticks, usable
from unit import FORMS

#: Experiments: what each is, and its looks in the figure.
SHOWN = {
    "tiny-rms": ("its own noise", "o", SERIES[1]),
    "tiny-rms-tanh": ("tanh", "^", SERIES[3]),
    "tiny-layer": ("LayerNorm", "v", INK),
    "tiny-rms-added-90": ("isotropic noise added, 0.9 of all", "s", SERIES[0]),
    "tiny-rms-added-99": ("isotropic noise added, 0.99 of all", "D", SERIES[2]),
}
NAMES = tuple(SHOWN)


def wells(found):
    """Curvatures at the mean direction, a line for each experiment."""
    rows = []
    for name, one in found.items():
        data = usable(one)
        mean = data["harmonic_laplacian"] / data["harmonic_directions"]
        cells = (f"{float(number.median()):.2g}" for number in (data["harmonic_lowest"], mean))
        rows.append([f"`{name}`", *cells, f"{float((data['harmonic_lowest'] > 0).mean()):.0%}"])
    return table(["experiment", "lowest curvature (nat)", "mean curvature (nat)", "runs in a well"], rows)


def draw(found):
    """Both moments that a Gibbs law fixes, over the temperature, a point for each run."""
    moments, medians = {name: _moments(usable(found[name])) for name in SHOWN}, {}
    for name, (_, *both) in moments.items():
        medians[name] = [f"{np.median(one):.2g}" for one in both]
    own, added = medians["tiny-rms"], medians["tiny-rms-added-99"]
    title = f"With its own noise no such network is a Gibbs ensemble: medians {own[0]} and {own[1]} where a "
    title += "Gibbs law has 1\n"
    title += f"isotropic noise, 0.99 of all, brings the thermometer to {added[1]}; Var L falls below 1 as T "
    title += f"rises ({added[0]})"
    figure, axes = panels(title, height=3.8)
    for name, (words, marker, ink) in SHOWN.items():
        heat, *both = moments[name]
        for axis, moment in zip(axes, both, strict=True):
            axis.plot(heat, moment, marker, color=ink, ms=3.5, mfc="none", alpha=0.8, label=words)
    for axis, label in zip(
        axes, ("$\\mathrm{Var}\\,L/(R\\,T^2)$", "$E|\\nabla L|^2/(T\\,E\\,\\Delta L)$"), strict=True
    ):
        axis.axhline(1, color=MUTED, lw=1, ls="--", zorder=0)
        says(axis, "Gibbs law", (0.01, 1), MUTED, (0, -6), xycoords=axis.get_yaxis_transform())
        axis.set(xscale="log", yscale="log", xlabel="temperature $T$ (nat)", ylabel=label)
        ticks(axis.yaxis, [0.3, 0.5, 1, 2, 5, 10, 20])
        ticks(axis.xaxis, [1e-3, 3e-3, 0.01, 0.03])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=8)
    listed = "; ".join(f"{words}: {' and '.join(medians[name])}" for name, (words, *_) in SHOWN.items())
    alt = "Var L/(R T²) and E|∇L|²/(T E ΔL) of every run against its temperature, 1 under a Gibbs law. Medians: "
    save(figure, "tiny", f"{alt}{listed}.")


def _moments(data):
    """Temperature, and both moments over those of a Gibbs law, of every run."""
    heat, constant = data["temperature"].values, directions(data) / 2
    return (
        heat,
        data["loss_variance"].values / (constant * heat**2),
        data["grad_mean_sq_unit"].values / (heat * data["laplacian"].values),
    )


def parts(found):
    """What words/tiny.md asks for."""
    every = [line for name, one in found.items() for line in section(name, one)]
    return {
        "matrix": folded(
            "Every experiment: V1 to V6", matrix(found, {name: words for name, (words, *_) in SHOWN.items()}, FORMS)
        ),
        "wells": wells(found),
        "every": every,
    }
