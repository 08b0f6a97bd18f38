"""Where the ideal gas ends: a length scale makes a real gas, and a network that interpolates has no temperature."""

import numpy as np
from scipy import stats
from scipy.optimize import least_squares
from tables import INK, INKS, SERIES, directions, folded, panels, save, says, shown, table

from empirics.claims.clusters import Clusters, levels
from empirics.claims.fits import jackknife, mean_of
from empirics.measure import regime
from empirics.pages.blocks import decimals

#: What makes the length: the experiment that is fitted; those held out, with the square of their length over that of
#: the fit, by which volumes are divided since (w, lr, wd, eps) -> (c w, c² lr, wd/c², c² eps) is a symmetry; its name.
GASES = {
    "eps": (
        "control-eps",
        {"waals-eps": 1.0, "waals-eps-orbit": 0.1, "waals-eps-small": 0.1, "waals-eps-large": 10.0},
        "eps of BatchNorm",
    ),
    "affine": ("control-affine", {"waals-affine": 1.0}, "scales and shifts trained"),
    "head": ("remainder-head-1", {"waals-head": 1.0}, "last layer trained"),
}
WIDE = ("over-32", "over-32-noise")
NAMES = (*dict.fromkeys(name for fitted, held, _ in GASES.values() for name in (fitted, *held)), *WIDE)

#: Forms of p V/W as a function of V, W and constants; where the constants start; their names. W is R T with the mean
#: gradient in it, so that p V = W is an identity of any scale-invariant network.
FORMS = {
    "ideal gas": (lambda v, w: np.ones_like(v), (), ()),
    "virial": (lambda v, w, b: 1 + b / v, (0.1,), ("B",)),
    "van der Waals": (lambda v, w, a, b: v / (v - b) - a / (w * v), (-0.01, 0.0), ("a", "b")),
    "length scale": (lambda v, w, a, c: 1 - a / (w * (v + c)), (-0.01, 0.1), ("a", "c")),
    "power law": (lambda v, w, k, m: 1 + k / (w * v**m), (0.05, 0.7), ("k", "m")),
    "log-linear": (lambda v, w, k, n, m: np.exp(k + n * np.log(v) + m * np.log(w)), (0.0, 0.0, 0.0), ("k", "n", "m")),
}
WAALS, DERIVED, POWER = "van der Waals", "length scale", "power law"

#: Log residual of a form that is not positive, or not defined, at a run.
IMPOSSIBLE = 5.0

#: Smallest and largest volume in which the volume at a pressure and a temperature is sought.
WITHIN = (1e-4, 1e5)


# -------------------------------------------------------------------------------------------------- equation of state
def state(one):
    """Volume, W, p V/W, and what the measured remainder makes of the last, of every run."""
    data = one.dataset
    rate, decay, volume = data["lr"].values, data["weight_decay"].values, data["radius_sq"].values / 2
    work = rate * (data["grad_variance"] + data["grad_mean_sq"]).values / 4 / (1 - rate * decay / 2)
    remainder = 1 - data["radial_gradient"].values * (1 - rate * decay) / (2 - rate * decay) / work
    return volume, work, decay * volume / work, remainder


def grid(one):
    """Which runs share a row or a column."""
    return Clusters(*(levels(np.log(one.dataset[name].values)) for name in ("lr", "weight_decay")))


def log_of(values):
    """Logarithm, of what is possible."""
    return np.log(np.where(np.isfinite(values) & (values > 0), values, np.exp(-IMPOSSIBLE)))


def constants(form, one, chosen=slice(None), length=1.0):
    """Constants of a form that fit the runs best, by least squares of log(p V/W); volumes over a length squared."""
    function, start, _ = FORMS[form]
    volume, work, factor, _ = (values[chosen] for values in state(one))
    volume = volume / length
    if not start:
        return np.zeros(0)
    return least_squares(lambda given: log_of(function(volume, work, *given)) - np.log(factor), start).x


def missed(form, given, one, length=1.0):
    """Squared error of log(p V/W) of every run."""
    volume, work, factor, _ = state(one)
    return (log_of(FORMS[form][0](volume / length, work, *given)) - np.log(factor)) ** 2


def volume_at(form, given, pressure, work, length=1.0):
    """The volume at a pressure and a temperature, V(p, T), by halving intervals of log V."""
    pole = {WAALS: 1, DERIVED: -1}.get(form, 0) * (given[-1] if len(given) else 0)  # nothing is smaller
    low, high = (np.full_like(work, np.log(max(edge, pole * (1 + 1e-9)))) for edge in WITHIN)
    for _ in range(60):
        middle = (low + high) / 2
        volume = np.exp(middle)
        above = log_of(pressure * volume * length / work) > log_of(FORMS[form][0](volume, work, *given))
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.exp(low) * length


def volume_error(form, given, one, length=1.0):
    """Root mean square of the error of log V(p, T)."""
    volume, work, _, _ = state(one)
    found = volume_at(form, given, one.dataset["weight_decay"].values, work, length)
    return np.sqrt(np.mean(np.log(found / volume) ** 2))


def root(squares):
    """Root of a mean."""
    return f"{np.sqrt(np.mean(squares)):.3f}"


REMAINDER = "measured remainder, no fit"


def held_out(found):
    """Of every gas and held-out experiment: errors by form, also of V(p, T), and the verdict on van der Waals."""
    for fitted, held, words in GASES.values():
        fits = {form: constants(form, found[fitted]) for form in FORMS}
        for name, length in held.items():
            one, together = found[name], grid(found[name])
            errors = {form: missed(form, fits[form], one, length) for form in FORMS}
            errors[REMAINDER] = (np.log(state(one)[3]) - np.log(state(one)[2])) ** 2
            said = {form: better(errors[WAALS] - of, together) for form, of in errors.items() if form != WAALS}
            volumes = {form: f"{volume_error(form, fits[form], one, length):.3f}" for form in FORMS}
            fit = {form: root(missed(form, fits[form], found[fitted])) for form in FORMS}
            yield words, fitted, name, fit, {form: root(of) for form, of in errors.items()}, volumes, said


def comparison(found):
    """Table: every form fitted to one experiment and judged on others."""
    rows = [
        [words, f"`{fitted}`", f"`{name}`", form, *(of.get(form, "") for of in (fit, errors, volumes, said))]
        for words, fitted, name, fit, errors, volumes, said in held_out(found)
        for form in errors
    ]
    head = ["length from", "fitted to", "judged on", "form", "error of log(pV/W): fit", "held out"]
    return table([*head, "error of log V(p, T), held out", "van der Waals is"], rows)


def better(apart, together):
    """Whether van der Waals' squared errors are smaller, by the interval of the difference over rows and columns."""
    one = mean_of(apart, together)
    return "better" if one.high < 0 else "worse" if one.low > 0 else "not distinguishable"


def constant_table(found):
    """Table of the constants with their intervals."""
    rows = []
    for fitted, held, words in GASES.values():
        for name, length in ((fitted, 1.0), *held.items()):
            one = found[name]
            cells = [words, f"`{name}`"]
            for form in (WAALS, DERIVED, POWER):
                cells += [number(each) for each in estimates(form, one, length)]
            cells.insert(2, compressibility(one))
            rows.append(cells)
    head = ["length from", "experiment", "Z = pV/(RT)", "van der Waals a", "b", "length scale a", "c"]
    head += ["power law k", "m"]
    return table(head, rows)


def compressibility(one):
    """Range of p V/(R T), T read off the noise."""
    data = one.dataset
    factor = (2 * data["weight_decay"] * data["radius_sq"] / (data["lr"] * data["grad_variance"])).values
    return f"{factor.min():.2f} to {factor.max():.2f}"


def estimates(form, one, length=1.0):
    """Constants of a form with intervals from leaving out cells of the grid."""
    return jackknife(
        lambda chosen: constants(form, one, chosen, length), one.dataset.sizes["run"], len(FORMS[form][1]), grid(one)
    )


def number(one):
    """An estimate with half its interval, to two digits of that."""
    return shown(one, decimals((one.high - one.low) / 2))


# ------------------------------------------------------------------------------------------------------- interpolation
def reduce(runs):
    """Course of the noise and the regime of every run, where it is asked whether a network interpolates."""
    if runs.experiment.name not in WIDE:
        return {}
    trace, burn_in = runs.tree["trace"].to_dataset(), runs.experiment.training.burn_in
    step = trace["step"].values
    whole, late = step > 0.1 * step[-1], step > burn_in
    noise = (trace["grad_sq"] * trace["radius_sq"]).values
    rows = []
    for i, status in enumerate(runs.dataset["status"].values):
        loss, right = (trace[name].values[i, late] for name in ("loss", "accuracy"))
        found = regime(
            status=str(status), step=step[whole], loss=loss, noise=noise[i, whole], accuracy=right[np.isfinite(right)],
            classes=10,
        )  # fmt: skip
        quarters = [float(part.mean()) for part in np.array_split(noise[i], 4)]
        rows.append({"label": found.label, "exponent": found.exponent, "error": found.error, "noise": quarters})
    return {"course": rows}


def heat(one):
    """Temperature in the last quarter, at most: the mean gradient counted as noise."""
    noise = np.array([row["noise"][-1] for row in one.more["departures"]["course"]])
    return one.dataset["effective_lr"].values * noise / (2 * directions(one.dataset))


def power(one):
    """Power of the temperature in the rate, with half its 95 % interval."""
    values, rate = heat(one), one.dataset["effective_lr"].values
    good = np.isfinite(values)
    fit = stats.linregress(np.log(rate[good]), np.log(values[good]))
    return fit.slope, stats.t.ppf(0.975, good.sum() - 2) * fit.stderr


def wide(found):
    """Table of the runs of width 32, one row per rate and experiment."""
    rows = []
    for name in WIDE:
        data = found[name].dataset
        for i, row in enumerate(found[name].more["departures"]["course"]):
            values = {key: float(data[key].values[i]) for key in ("loss", "balance", "test_accuracy", "temperature")}
            cells = [f"`{name}`", f"{data['effective_lr'].values[i]:.2g}", row["label"]]
            cells += [f"{row['exponent']:.2f} ± {row['error']:.2f}", ", ".join(f"{x:.3g}" for x in row["noise"])]
            cells += [f"{heat(found[name])[i]:.2g}", f"{values['balance']:.3f}", f"{values['loss']:.2g}"]
            cells += [f"{values['test_accuracy']:.3f}", f"{float(data['effective_sample_size'].values[i]):.0f}"]
            rows.append(cells)
    head = [
        "experiment",
        "effective learning rate",
        "regime",
        "noise ~ step^-a: a ± error",
        "noise by quarters (nat²)",
        "T at the end",
    ]
    return table([*head, "norm balance", "training loss", "test accuracy", "independent samples"], rows)


# ---------------------------------------------------------------------------------------------------------------- page
def draw(found):
    """Left: p V/W over V/length at several W, with van der Waals and the derived form. Right: T over the rate."""
    fitted, held, _ = GASES["eps"]
    form = {one: constants(one, found[fitted]) for one in (WAALS, DERIVED, POWER)}
    errors = {
        one: np.sqrt(
            np.mean(np.concatenate([missed(one, given, found[name], length) for name, length in held.items()]))
        )
        for one, given in form.items()
    }
    volumes = np.concatenate([state(found[name])[0] / length for name, length in ((fitted, 1.0), *held.items())])
    said = ", ".join(f"{one} {error:.3f}" for one, error in errors.items())
    title = f"One power law carries the excess of pV/W over {np.log10(volumes.max() / volumes.min()):.1f} "
    title += "decades of volume\n"
    title += f"error of log(pV/W) on gases that were held out: {said}"
    figure, (left, right) = panels(title, height=4.1, width_ratios=(3, 2))
    for (name, length), marker, ink in zip(((fitted, 1.0), *held.items()), "ov^sD", INKS, strict=True):
        volume, work, factor, _ = state(found[name])
        label = name.replace("waals-", "") + (", fitted" if name == fitted else "")
        left.plot(volume / length, (factor - 1) * work, marker, ms=3.5, mfc="none", color=ink, label=label)
    over = np.geomspace(volumes.min() * 0.8, volumes.max() * 1.3, 100)
    for (one, given), style in zip(form.items(), ("--", ":", "-"), strict=True):
        values = FORMS[one][0](over, 1.0, *given) - 1
        left.plot(over, values, ls=style, color=INK, lw=1, label=f"{one} at W = 1 nat")
    left.set(xscale="log", yscale="log", xlabel="$V$ × 0.01/eps", ylabel="$(pV/W - 1)\\,W$ (nat)", ylim=(1e-3, 1))
    left.set_title("BatchNorm with a length scale eps; nothing below 0.001 is shown", fontsize=8)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=4)
    words = ("labels learnt by heart", "labels drawn afresh")
    for name, marker, label, ink in zip(WIDE, "os", words, SERIES, strict=False):
        rate, hot = found[name].dataset["effective_lr"].values, heat(found[name])
        right.plot(rate, hot, marker + "-", color=ink)
        says(right, label, (rate[0], hot[:3].max()), ink, (0, 12 if marker == "s" else 10))
    right.set(xscale="log", yscale="log", xlabel="effective learning rate", ylabel="$T$ at the end (nat), upper bound")
    right.set_title("a network of width 32 on few data", fontsize=8)
    right.margins(y=0.15)
    right.minorticks_off()
    alt = f"Left: excess of pV/W against volume; errors of log(pV/W) where held out: {said}. Right: "
    alt += "temperature at the end, "
    low, high = (float(np.max(heat(found[name]))) for name in WIDE)
    save(
        figure,
        "departures",
        f"{alt}at most {low:.1g} with labels learnt by heart, {high:.1g} with labels drawn afresh.",
    )


def parts(found):
    """What words/departures.md asks for."""
    named = {}
    for fitted, held, _ in GASES.values():
        for name, length in ((fitted, 1.0), *held.items()):
            named[f"Z_{name}"] = compressibility(found[name])
            for form, letters in ((WAALS, "ab"), (DERIVED, "dc"), (POWER, "km")):
                given = zip(letters, estimates(form, found[name], length), strict=True)
                named |= {f"{letter}_{name}": number(one) for letter, one in given}
    for _, _, name, _, errors, volumes, said in held_out(found):
        for form, error in errors.items():
            key = f"{form.split()[0]}_{name}"
            named |= {key: error, f"V_{key}": volumes.get(form, ""), f"than_{key}": said.get(form, "")}
    still, noisy = (found[name] for name in WIDE)
    ratio = heat(noisy) / heat(still)
    for key, one in (("still", still), ("noisy", noisy)):
        course = one.more["departures"]["course"]
        labels = [row["label"] for row in course]
        falls = [row["exponent"] for row in course if np.isfinite(row["exponent"])]
        balance = one.dataset["balance"].values
        named |= {
            f"regimes_{key}": ", ".join(f"{labels.count(one)} {one}" for one in dict.fromkeys(labels)),
            f"exponents_{key}": f"{min(falls):.2f} to {max(falls):.2f}",
            f"power_{key}": "{:.2f} ± {:.2f}".format(*power(one)),
            f"balance_{key}": f"{np.nanmin(balance):.2g} to {np.nanmax(balance):.2g}",
            f"heat_{key}": f"{np.nanmin(heat(one)):.1g} to {np.nanmax(heat(one)):.1g}",
        }
    return named | {
        "ratio": f"{np.nanmin(ratio):.3g} to {np.nanmax(ratio):.3g}",
        "comparison": folded("Every form, fitted to one seed and judged on another", comparison(found)),
        "constants": folded("Constants with intervals", constant_table(found)),
        "wide": folded("Width 32, every run", wide(found)),
    }
