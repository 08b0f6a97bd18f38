"""One unit whose minibatch noise is that of a Gibbs law, and what raw inputs or a hidden layer make of it."""

import numpy as np
import stored
import unit_choice
from tables import INK, MUTED, SERIES, find, folded, matrix, panels, save, says, section, table, ticks

#: Experiments: what each is, and its looks in the figure.
SHOWN = {
    "unit-digits": ("even or odd digits, white", "o", SERIES[0]),
    "unit-cifar": ("animals or vehicles, white", "s", SERIES[0]),
    "unit-cifar-batch-64": ("the same, batch 64", "^", SERIES[0]),
    "unit-cifar-classes": ("three classes, white", "v", SERIES[0]),
    "unit-cifar-epochs": ("the same, by epochs", "x", SERIES[2]),
    "unit-digits-raw": ("digits, raw", "P", SERIES[1]),
    "unit-cifar-raw": ("animals or vehicles, raw", "X", SERIES[1]),
    "unit-cifar-hidden": ("white, a hidden layer", "D", SERIES[3]),
}
NAMES = (*SHOWN, "unit-choice")

#: Columns of the table: claim, a regular expression for the form's title, what it is called.
FORMS = (
    ("V1", "^Slope of log r", "slope of log r (V1), theory 0.5"),
    ("V3", "^Maxwell relation", "Maxwell relation (V3)"),
    ("V2", "U [-−] T ?S", "minimum of U − TS (V2), theory 0"),
    ("V4", "", "adiabat (V4), theory 0"),
    ("V5", "^First law", "first law (V5)"),
    ("V5", "^Fluctuations", "fluctuations (V5)"),
    ("V6", "gradient over T", "thermometer (V6)"),
)
COLUMNS = (
    *FORMS,
    ("V10", "^Variance of the loss", "fluctuations over V10"),
    ("V10", "^Mean squared gradient", "thermometer over V10"),
    ("V10", "^Covariance", "covariance off V10, mean square"),
)
#: Both moments that tell a Gibbs law from others: their forms under V10, the Gibbs form, and axes.
MOMENTS = {
    "^Variance of the loss": (("V5", "^Fluctuations"), "Var L/(R T²)"),
    "^Mean squared gradient": (("V6", "gradient over T"), "E|∇L|²/(T tr H)"),
}

#: Of an experiment with more runs every second, third, ... is drawn, so that the figure stays light.
MOST = 100
AXES = ("$\\mathrm{Var}\\,L/(R\\,T^2)$", "$E|\\nabla L|^2/(T\\,\\mathrm{tr}\\,H)$")


def study(folder):
    """Ask the data alone which scale and flips the unit needs."""
    stored.record_study("unit-choice", unit_choice.measured(), [unit_choice.__file__])


def sides(one, form):
    """What H and Sigma give and what was measured, in the runs that V10 judges; two empty arrays without a verdict."""
    details = getattr(find(one.verdicts, "V10", form), "details", {})
    return np.array(details.get("predicted", [])), np.array(details.get("measured", []))


def beside(found):
    """The harmonic prediction beside the measurement, and what it makes of a form that disagrees with a Gibbs law."""
    head = ["experiment"]
    for _, name in MOMENTS.values():
        head += [f"{name}: {what}".replace("|", "\\|") for what in ("V10", "measured", "Gibbs")]
    rows = []
    for name, one in found.items():
        cells = [f"`{name}`"]
        for form, (gibbs, _) in MOMENTS.items():
            numbers = [f"{np.mean(side):.3g}" if len(side) else "" for side in sides(one, form)]
            cells += [*numbers, _explained(find(one.verdicts, *gibbs), find(one.verdicts, "V10", form))]
        rows.append(cells)
    return table(head, rows)


def _explained(gibbs, own):
    """The verdict on a Gibbs form, and whether V10 explains that it disagrees."""
    if gibbs is None or gibbs.verdict != "disagrees":
        return gibbs.verdict if gibbs else ""
    if own is None or not np.isfinite(own.low):
        return "disagrees, V10 is not judged"
    left = {"agrees": "explained", "disagrees": "not all explained"}
    return f"disagrees, {left.get(own.verdict, 'explained within ' + format((own.high - own.low) / 2, '.0%'))}"


def draw(found):
    """Draw measured moments over those that H and Sigma predict, a point for each run."""
    every = {one: [sides(found[one], form) for form in MOMENTS] for one in SHOWN}
    means = {
        one: [f"{np.mean(side):.2f}" for pair in pairs for side in pair if len(side)] for one, pairs in every.items()
    }
    white, raw = means["unit-digits"], means["unit-cifar-raw"]
    title = "A Gibbs law (1) where inputs are white; raw inputs leave it as H and Σ predict\n"
    title += f"Var L/(R T²), predicted and measured: white digits {white[0]}, {white[1]}; raw images {raw[0]}, {raw[1]}"
    figure, axes = panels(title, height=4.1)
    for axis, label, which in zip(axes, AXES, (0, 1), strict=True):
        for one, (words, marker, ink) in SHOWN.items():
            predicted, measured = every[one][which]
            if len(predicted):
                some = slice(None, None, -(-len(predicted) // MOST))
                axis.plot(
                    predicted[some], measured[some], marker, color=ink, ms=3.5, mfc="none", alpha=0.7, label=words
                )
        ends = np.array(axis.get_xlim())
        axis.plot(ends, ends, color=INK, lw=1, zorder=0)
        axis.axhline(1, color=MUTED, lw=1, ls="--", zorder=0)
        axis.set(xscale="log", yscale="log", xlabel=f"{label} from $H$ and $\\Sigma$", ylabel=f"{label} measured")
        for scale in (axis.xaxis, axis.yaxis):
            ticks(scale, [0.5, 1, 2, 5, 10, 20])
        says(axis, "measured = predicted (V10)", (0.5, 0.95), INK, ha="center", xycoords="axes fraction")
        says(axis, "Gibbs law", (0.99, 1), MUTED, (0, -6), ha="right", xycoords=axis.get_yaxis_transform())
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=3, fontsize=8)
    listed = "; ".join(f"{SHOWN[one][0]}: {', '.join(numbers)}" for one, numbers in means.items() if numbers)
    alt = "Measured against predicted Var L/(R T²) and E|∇L|²/(T tr H), a point for each run. Means, "
    alt += "predicted and measured: "
    save(figure, "unit", f"{alt}{listed}.")


def scales(rows):
    """Scales and flips at which snapshots are two relaxation times apart, and what they predict."""
    head = ["flips", "snapshots apart", "scale", "basins", "fluctuations (V5), lowest lr·wd", "highest"]
    head += ["curvature missing over the cloud, highest", "within 2 % up to an lr·wd of"]
    lines = []
    for row in rows:
        cells = [f"{row['flips']:.1f}", f"{row['spacing']:.0f}/η_eff"]
        if "scale" in row:
            ends = [row[end]["fluctuations"] for end in ("cold", "hot")]
            cells += [f"{row['scale']:.2f}", str(row["basins"]), *(f"{one:.3f}" for one in ends)]
            cells += [f"{row['hot']['bend']:.3f}", f"{row['most']:.1g}".replace("e-0", "e-")]
        lines.append([*cells, *["none"] * (3 - len(cells)), *[""] * (len(head) - max(len(cells), 3))])
    return table(head, lines)


def runs_needed(verdict):
    """How many times as many runs would put a band within its margin, if it is as wide everywhere."""
    low, high = (verdict.details[f"{end} of the band over the runs"] for end in ("lowest", "highest"))
    return ((high - low) / 2 / (verdict.margin - abs(verdict.measured - verdict.theory))) ** 2


def parts(found):
    """What words/unit.md asks for."""
    choice, found = found["unit-choice"].more["unit-choice"], {name: found[name] for name in SHOWN}
    exact = choice["exact"]
    every = [line for name, one in found.items() for line in section(name, one)]
    words = {name: words for name, (words, *_) in SHOWN.items()}
    return {
        "matrix": folded("Every experiment on the unit: V1 to V6 and V10", matrix(found, words, COLUMNS)),
        "beside": beside(found),
        "every": every,
        "scales": scales(choice["rows"]),
        "scatter": f"{min(exact['scatter']):.3f} to {max(exact['scatter']):.3f}",
        "agree": f"{min(exact['agree']):.0%} to {max(exact['agree']):.0%}",
        "more": f"{runs_needed(find(found['unit-digits'].verdicts, 'V5', '^Fluctuations')):.0f}",
        "raw": f"{np.mean(sides(found['unit-cifar-raw'], '^Variance of the loss')[0]):.2f}",
    }
