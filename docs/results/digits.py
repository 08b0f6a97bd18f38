"""The digits network under three protocols and five optimisers."""

import re

import any_optimiser
import numpy as np
from tables import cell, counts, find, folded, number_of, panels, reached, save, says, shown, span, table, usable

import empirics
from empirics.claims.coordinates import law, orbit_of
from empirics.claims.fits import fit, mean_of, ratio_of, within_orbits
from empirics.claims.maxwell import reference_slopes
from empirics.claims.thermometer import by_temperature
from thermo_theory.palette import INK, MUTED, PAPER, SERIES

#: Columns of the table of verdicts: experiment, what it is.
JUDGED = {
    "digits": "LR, SGD",
    "digits-spacing-400": "LR, SGD, 400 x 400 steps",
    "digits-momentum": "LR, momentum",
    "digits-nesterov": "LR, Nesterov",
    "digits-adamw": "LR, AdamW",
    "digits-adam-l2": "LR, Adam with L2",
    "digits-elr": "ELR, SGD",
    "digits-elr-warm": "ELR, SGD, gentle start",
    "digits-sphere": "sphere, SGD",
}

#: Pairs of protocol and optimiser of which nothing is derived: experiment, what it is.
NOT_DERIVED = {
    "digits-elr-momentum": "ELR, momentum",
    "digits-elr-nesterov": "ELR, Nesterov",
    "digits-elr-adamw": "ELR, AdamW",
    "digits-elr-adam-l2": "ELR, Adam with L2",
    "digits-sphere-momentum": "sphere, momentum",
    "digits-sphere-nesterov": "sphere, Nesterov",
    "digits-sphere-adamw": "sphere, both Adams",
}

#: Experiments by the steps between two snapshots.
SPACINGS = {12: "digits-spacing-12", 60: "digits", 400: "digits-spacing-400"}
NAMES = tuple(dict.fromkeys([*JUDGED, *NOT_DERIVED, *SPACINGS.values(), *any_optimiser.NAMES]))

#: Rows of the table of verdicts: claim, a regular expression for the form's title, what it is called.
FORMS = {
    ("V0", ""): "relaxation of the radius",
    ("V1", "^Norm balance"): "norm balance",
    ("V1", "^Slope of log r"): "slope of log r along the orbit",
    ("V1", "^Radius formula"): "radius formula, r² over it",
    ("V2", "U [-−] T ?S"): "minimum of U − TS, offset in log T",
    ("V2", "p ?V [-−] T"): "minimum of pV − T(d−1) log r, offset in log V",
    ("V3", "^Maxwell relation"): "Maxwell relation",
    ("V4", ""): "slope of S at fixed lr or wd, minus theory, in R",
    ("V5", "^First law"): "first law",
    ("V5", "^Fluctuations"): "fluctuations",
    ("V6", "gradient over T"): "configurational thermometer",
    ("V6", "gradient over half"): "the same for arbitrary noise",
    ("V7", "^p ?V_l"): "p V_l = R_l T_l, largest deviation",
    ("V7", "^Volumes add"): "volumes add",
    ("V7", "^Equal temp"): "equal temperatures, largest deviation",
    ("V8", r"^p ?V/\(R ?T\), T (read|from)"): "pV/(RT), T from the noise",
    ("V8", "^Slope.*, T (read|from)"): "its slope in log V",
    ("V8", r"^p ?V/\(R ?T\), T by"): "pV/(RT), T by the thermometer",
    ("V8", "^Slope.*, T by"): "its slope in log V",
    ("V9", "^Virial"): "virial theorem with remainder",
    ("V9", "^What is not|[Dd]efect E"): "scale-invariance defect",
    ("V9", r"^p ?V/\(R ?T\) [-−] "): "pV/(RT) beyond the remainder",
    ("V10", "^Covariance"): "covariance of the gas in its own potential",
    ("V11", ""): "edge of stochastic stability, batch sharpness over it",
}


# ------------------------------------------------------------------------------------------------------------ verdicts
def form_of(verdict):
    """Row of the table that a verdict belongs to."""
    (found,) = [one for one in FORMS if find([verdict], *one)]
    return found


def verdict_table(found, names=JUDGED):
    """One table of all: one row per form, one column per experiment."""
    columns = [{form_of(one): one for one in reached(stored.verdicts)} for stored in found.values()]
    head = ["claim", "form", "kind", "theory", *(names[name] for name in found)]
    rows = []
    for form, words in FORMS.items():
        there = [column[form] for column in columns if form in column]
        if there:
            common = there[0].theory
            cells = (cell(column.get(form), theory=common) for column in columns)
            rows.append([form[0], words, there[0].kind, f"{common:g}", *cells])
    return table(head, rows)


def reasons(found):
    """Why forms of symmetry and physics are inconclusive, or disagree, by experiment."""
    for name, stored in found.items():
        said = dict.fromkeys(
            f"{one.claim}: {one.reason}" for one in reached(stored.verdicts) if one.verdict != "agrees"
        )
        by_reason: dict = {}
        for line in said:
            claim, _, reason = line.partition(": ")
            by_reason.setdefault(reason, []).append(claim)
        listed = [f"{', '.join(dict.fromkeys(claims))}: {reason}" for reason, claims in by_reason.items()]
        listed += [note for note in stored.notes if "steps are too large" in note]
        yield f"- **{JUDGED[name]}**: {'; '.join(listed)}."


def states(found):
    """What the runs are like: one line per experiment."""
    head = ["experiment", "runs", "T", "mean loss (nat)", "\\|∇L\\|²/tr Σ", "independent samples, median"]
    head += ["path entropies", "E\\|∇L\\|²/(T E ΔL)"]
    rows = []
    for name, runs in found.items():
        data = usable(runs)
        share = data["grad_mean_sq_unit"] / data["grad_variance_unit"]
        cells = [f"`{name}`", counts(runs.dataset), span(data["temperature"]), span(data["loss"]), span(share)]
        cells += [f"{float(data['effective_sample_size'].median()):.0f}", f"{float(data['path_entropy'].mean()):.0%}"]
        rows.append([*cells, thermometer(data)])
    return table(head, rows)


def thermometer(data):
    """Configurational temperature over that of the noise, no correction for steps, no bound on them."""
    if "laplacian" not in data:
        return ""
    heat, slopes = data["temperature"].values, data["grad_mean_sq_unit"].values
    return shown(ratio_of(slopes / heat, by_temperature(heat, data["laplacian"].values) / heat), 2)


# ---------------------------------------------------------------------------------------- where nothing is derived
def relation(data, protocol, optimizer):
    """Slope of S/R where scale invariance alone says what it is: theory, and measured along the orbits.

    An optimiser's symmetry multiplies w by c, lr by c^a and weight decay by c^b. A fixed effective lr already follows
    the norm as lr does, so b is left: S gains (d-1) log c, and its slope in log weight decay is (d-1)/b. On the sphere
    it is d - 1 in log r, whatever a is.
    """
    orbit, gas = orbit_of(law("fixed-lr", optimizer)), (data.attrs["dimension"] - 1) / 2
    entropy = data["entropy"].values / gas
    if protocol == "fixed-elr":
        rate, scale, theory = np.log(data["effective_lr"].values), np.log(data["weight_decay"].values), 2 / orbit.decay
    else:
        scale, theory = np.log(data["radius"].values), 2.0
        rate = np.log(data["lr"].values) - orbit.rate * scale
    return theory, within_orbits(rate, scale, entropy)


def symmetries(found):
    """The symmetry of the pairs of which no claim is stated."""
    head, rows = ["", "runs", "norm balance", "S/R along the orbit", "theory", "verdict at 5 %"], []
    for name, runs in found.items():
        experiment, data = runs.experiment, usable(runs)
        theory, one = relation(data, experiment.training.protocol, experiment.training.optimizer)
        balance = "held" if experiment.training.protocol == "fixed-sphere" else shown(mean_of(data["balance"].values))
        verdict = empirics.claims.judge(theory, one.low, one.high, 0.05 * abs(theory))[0]
        rows.append([NOT_DERIVED[name], counts(runs.dataset), balance, shown(one), f"{theory:g}", verdict])
    return table(head, rows)


# ------------------------------------------------------------------------------------------------------- path entropies
def slopes(data, name):
    """Slopes of S/R in log lr, in log weight decay, and their difference."""
    rate, decay = np.log(data["lr"].values), np.log(data["weight_decay"].values)
    entropy = data[name].values / ((data.attrs["dimension"] - 1) / 2) + 2 * data["log_radius"].values
    plane = np.c_[np.ones_like(rate), rate, decay]
    return [fit(plane, entropy, weights) for weights in ([0, 1, 0], [0, 0, 1], [0, 1, -1])]


def spacing(found):
    """The table and the figure of what the spacing of snapshots does to the entropy."""
    head = ["steps between snapshots", "neighbours next in time", "path entropies", "independent samples, median"]
    head += [f"{words}: log lr, log wd" for words in ("all neighbours", "window")] + ["difference: all", "window"]
    rows = []
    for steps, name in SPACINGS.items():
        data, next_in_time = usable(found[name]), found[name].more["digits"]["next in time"]
        plain, apart = slopes(data, "entropy_sphere"), slopes(data, "entropy_sphere_theiler")
        cells = [f"{steps}", f"{next_in_time:.0%}", f"{float(data['path_entropy'].mean()):.0%}"]
        cells += [f"{float(data['effective_sample_size'].median()):.0f}"]
        cells += [f"{shown(one[0])}, {shown(one[1])}" for one in (plain, apart)]
        rows.append([*cells, shown(plain[2]), shown(apart[2])])
    return table(head, rows)


def draw(found):
    """Slopes and share of path neighbours over the spacing."""
    series = []
    for steps, name in SPACINGS.items():
        data, share = usable(found[name]), found[name].more["digits"]["next in time"]
        series.append((steps, slopes(data, "entropy_sphere"), slopes(data, "entropy_sphere_theiler"), share))
    steps, last = [one[0] for one in series], series[-1]
    differences = [(one[which][2].value, one[0]) for one in series for which in (1, 2)]
    lowest, highest = min(differences)[0], max(differences)[0]
    title = f"At any spacing the difference is that of scale invariance, 1 ({lowest:.2f} to {highest:.2f})\n"
    title += f"the slopes move from a path's towards a gas's as neighbours next in time fall to {last[3]:.0%}"
    figure, (left, right) = panels(title, height=3.9, width_ratios=(2, 1))
    names = ("slope in log lr", "slope in log wd", "their difference")
    for which, (name, ink) in enumerate(zip(names, (SERIES[0], SERIES[1], INK), strict=True)):
        for part, (marker, style) in enumerate((("o", "-"), ("s", "--"))):
            of = [one[1 + part][which] for one in series]
            half = [(one.high - one.low) / 2 for one in of]
            looks = {"fmt": marker + style, "color": ink, "mfc": PAPER if part else ink, "ms": 5}
            left.errorbar(steps, [one.value for one in of], half, **looks)
        says(left, name, (steps[-1], last[1][which].value), ink, (8, -8 if which == 2 else 0))
    gas, path = reference_slopes(law("fixed-lr"))
    for values, words in ((gas, "low-temperature gas"), (path, "path")):
        for value, ink in zip(values, SERIES, strict=False):
            left.axhline(value, color=ink, lw=0.8, ls=":", zorder=0)
            says(left, f"{words}: {value:g}", (1, value), ink, (-2, 6), xycoords=left.get_yaxis_transform(), ha="right")
    for part, words in enumerate(("full, solid: all neighbours", "empty, dashed: outside a Theiler window")):
        left.plot([], [], "s" if part else "o", color=MUTED, mfc=PAPER if part else MUTED, label=words)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=2)
    left.set(
        xscale="log", xlabel="steps between snapshots", ylabel="slope of $S/R$", xlim=(steps[0] * 0.8, steps[-1] * 4.5)
    )
    right.plot(steps, [100 * one[3] for one in series], "o-", color=INK)
    for step, *_, share in series:
        says(right, f"{share:.0%}", (step, 100 * share), INK, (0, -11), ha="center")
    right.set(xscale="log", ylim=(0, 105), xlabel="steps between snapshots", ylabel="neighbours next in time, %")
    right.margins(x=0.15)
    for axes in (left, right):
        axes.set_xticks(steps, [str(one) for one in steps])
        axes.minorticks_off()
    alt = f"Slopes of the entropy against the spacing of snapshots: their difference is {lowest:.2f} to {highest:.2f} "
    alt += f"everywhere; the share of neighbours next in time falls from {series[0][3]:.0%} to {last[3]:.0%}."
    save(figure, "digits-spacing", alt)


def reduce(runs):
    """How many of the nearest neighbours are next in time, in runs that count."""
    lags = runs.tree["snapshots"]["neighbour_lag"].values[runs.dataset["status"].values == "ok"]
    return {"next in time": float((np.abs(lags) == 1).mean())}


def parts(found):
    """What words/digits.md asks for."""
    judged = {name: found[name] for name in JUDGED}
    sgd, steps = found["digits"], usable(found["digits-spacing-400"])
    mixing = sgd.dataset["effective_sample_size"].values[sgd.dataset["status"].values == "ok"]
    blocks = next(one for one in sgd.notes if one.startswith("mixture of"))
    return {
        "verdicts": folded("Every claim under every protocol and optimiser", verdict_table(judged)),
        "any_optimiser": any_optimiser.judged(found),
        "symmetries": symmetries({name: found[name] for name in NOT_DERIVED}),
        "spacing": spacing(found),
        "states": folded("What the runs are like", states(found)),
        "reasons": folded("Reasons for what does not agree", reasons(judged)),
        "path": f"{float(usable(sgd)['path_entropy'].mean()):.0%}",
        "mixing": f"{(mixing < 50).mean():.0%}",
        "temperatures": re.search(r"ranges from ([\d.]+) .* to ([\d.]+) ", blocks).expand(r"\1 to \2"),
        "thermometer": thermometer(steps),
        "diverged": str(number_of(found["digits-elr"], "diverged")),
        "warm": str(number_of(found["digits-elr-warm"], "diverged")),
    }
