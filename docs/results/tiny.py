"""Networks small enough to mix: how the Gibbs claims fail, and that V10, which knows wells alone, has none there."""

import matplotlib.pyplot as plt
from tables import INKS, directions, folded, matrix, reached, save, section, svg_style, table, usable
from unit import FORMS

#: Experiments: what each is, and its looks in the figure.
SHOWN = {
    "tiny-rms": ("its own noise", "o", INKS[1]),
    "tiny-rms-tanh": ("tanh", "^", INKS[3]),
    "tiny-layer": ("LayerNorm", "v", "#000000"),
    "tiny-rms-added-90": ("isotropic noise added, 0.9 of all", "s", INKS[0]),
    "tiny-rms-added-99": ("isotropic noise added, 0.99 of all", "D", INKS[2]),
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
    svg_style("tiny")
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    for name, (words, marker, ink) in SHOWN.items():
        data = usable(found[name])
        heat, constant = data["temperature"].values, directions(data) / 2
        moments = (
            data["loss_variance"].values / (constant * heat**2),
            data["grad_mean_sq_unit"].values / (heat * data["laplacian"].values),
        )
        for axis, moment in zip(axes, moments, strict=True):
            axis.plot(heat, moment, marker, color=ink, ms=3.5, mfc="none", alpha=0.7, label=words)
    for axis, label in zip(axes, ("Var L/(R T²)", "E|∇L|²/(T E ΔL)"), strict=True):
        axis.axhline(1, color="0.6", lw=1, ls="--", zorder=0, label="Gibbs law, low temperature")
        axis.set(xscale="log", yscale="log", xlabel="temperature T (nat)", ylabel=label)
        axis.yaxis.set_major_locator(plt.FixedLocator([1, 2, 5, 10, 20]))
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(plt.NullLocator())
    axes[0].legend(frameon=False, fontsize=7)
    save(figure, "tiny")


def parts(found):
    """What words/tiny.md asks for."""
    every = [line for name, one in found.items() for line in folded(name, section(one, reached(one.verdicts)))]
    return {
        "matrix": folded(
            "Every experiment: V1 to V6", matrix(found, {name: words for name, (words, *_) in SHOWN.items()}, FORMS)
        ),
        "wells": wells(found),
        "every": every,
    }
