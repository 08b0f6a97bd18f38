"""A network that generalises long after it has memorised: its gas over the steps, and whether it ages like a glass."""

import numpy as np
from stored import plain
from tables import INK, MUTED, SERIES, bracketed, folded, panels, save, says, student, table, ticks

from empirics.claims import judge
from empirics.claims.fits import fit
from empirics.measure import ageing_exponent, forgetting_lag, two_time_correlation
from thermo_theory import FixedELR
from thermo_theory.palette import MARKERS
from thermo_theory.relations import coordinates
from thermo_theory.relations.paths import law

LAW = law("fixed-lr", "adamw")
MEMORISED, GENERALISED = 0.99, 0.9  # accuracy of training and of test samples from which on we say so
HOT = 1e-8  # T (nat) above which an interval between snapshots counts as part of a burst; chosen on seeing the curves

# Ageing, as it stood before the runs: ages in steps, levels of the correlation, and the margin of every exponent.
AGES = 100 * 2 ** np.arange(7)
LEVELS = (0.9, 0.8)
MARGIN = 0.25

TASKS = {"grokking": "addition modulo 23", "grokking-permutations": "permutations of four letters"}
BESIDE = {"grokking-noisy": "permutations, lasting noise", "grokking-undecayed": "permutations, no decay"}
CONTROLS = ("grokking-float64", "grokking-float64-eps")
FROZEN = ("frozen", "eps")  # what the text calls them
NAMES = (*TASKS, *BESIDE, *CONTROLS)

STAGES = {
    "temperature": "T (nat)",
    "work": "pV (nat)",
    "compression": "pV/(RT)",
    "loss": "loss (nat)",
    "loss_share": "loss/(RT)",
    "turn_share": "rotation per step / in equilibrium",
    "speed": "angle between snapshots (rad per step)",
    "curvature": "mean curvature (nat)",
}


# ------------------------------------------------------------------------------------------ what is kept of the runs
def reduce(runs):
    """Curves over the steps, shape (run, step), and correlations and lags of every run."""
    times, lr, decay = runs.experiment.times(runs.experiment.runs), *rates(runs.dataset)
    trace, series = runs.tree["trace"], runs.tree["snapshots"]
    step = times.spacing * np.arange(1, times.snapshots + 1)
    kept = {name: trace[name].values for name in ("accuracy", "test_accuracy")}
    kept |= thermodynamics(runs, lr, decay) | {"norm": np.sqrt(series["radius_sq"].values)}
    sizes = runs.tree["components"]["parameters"].values[0].astype(int).tolist()
    found = [two_time_correlation(one, sizes) for one in series["weights"].values]
    free = [free_correlation(step, *one) for one in zip(kept["norm"], (lr * decay)[:, 0], strict=True)]
    for level in LEVELS:
        for words, each in (("", found), ("free ", free)):
            kept[f"{words}lag to {level}"] = np.array([forgetting_lag(one, step, level) for one in each])
    kept["correlation"] = np.array([one[np.searchsorted(step, AGES)] for one in found])
    return {"step": step} | plain(kept, 4)  # pages need no more digits


def rates(data):
    """Learning rate and weight decay as columns."""
    return data["lr"].values[:, None], data["weight_decay"].values[:, None]


def thermodynamics(runs, lr, decay):
    """T of the noise in Adam's coordinates (p = wd sigma, V = |w|, R = d - 1: derivation "adamw-gas"), and the rest."""
    block, series = runs.tree["blocks"], runs.tree["snapshots"]
    tangents, spacing = runs.dataset.attrs["dimension"] - 1, runs.experiment.measure.spacing
    noise = (block["grad_sq"] - block["grad_mean_sq"]).values * block["radius_sq"].values
    sigma, norm = np.sqrt(np.where(noise > 0, noise, np.nan) / tangents), np.sqrt(block["radius_sq"].values)
    known = {"sigma": sigma, "r": norm, "eta": lr, "lam": decay, "d": tangents + 1}
    known["beta1"] = runs.experiment.training.momentum

    def of(formula):
        return formula(**{name: known[name] for name in formula.arguments}, invalid="nan")

    temperature = FixedELR.temperature(eta_eff=of(coordinates.effective_rate(LAW)), sigma=sigma, invalid="nan")
    pressure, volume, constant = (of(one) for one in coordinates.state(LAW))
    return {
        "temperature": temperature,
        "work": pressure * volume,
        "compression": pressure * volume / (constant * temperature),
        "loss": block["loss"].values,
        "loss_share": block["loss"].values / (temperature * tangents / 2),
        "turn_share": series["rotation"].values / of(LAW.angle),
        "speed": series["turn"].values / spacing,
    } | ({"curvature": series["laplacian"].values / tangents} if "laplacian" in series else {})


def free_correlation(step, norm, decay):
    """Correlation of free directions at these norms: a step is orthogonal to what was, so only the decay counts."""
    lag = np.maximum(step - step[:, None], 0)
    return (1 - decay) ** lag * norm[:, None] / norm


# ----------------------------------------------------------------------------------------------------------- one grid
class Story:
    """One experiment: curves as arrays (run, step), and when its runs memorise and generalise."""

    def __init__(self, stored):
        self.stored, self.data = stored, stored.dataset
        more = stored.more["grokking"]
        self.step = np.array(more["step"])
        self.curve = {name: np.array(rows, dtype=float) for name, rows in more.items() if name != "step"}
        self.decay, self.seed = self.data["weight_decay"].values, self.data["seed"].values.astype(int)
        self.rate = self.data["lr"].values * self.decay
        self.memorised = self._first("accuracy", MEMORISED)
        self.generalised = self._first("test_accuracy", GENERALISED)
        self.hot = self.curve["temperature"] > HOT

    def _first(self, name, level):
        """Step at which an accuracy first reaches a level, inf where it does not."""
        reached = self.curve[name] >= level
        return np.where(reached.any(1), self.step[reached.argmax(1)], np.inf)

    @property
    def order(self):
        """Runs by weight decay and seed."""
        return np.lexsort((self.seed, self.decay))

    def lags(self, level, words=""):
        """Lag at every age, shape (run, step)."""
        return self.curve[f"{words}lag to {level}"]

    def exponents(self, level, begin=AGES[0], end=AGES[-1], every=None):
        """Exponent of each run over its own range of ages, at doubling ages or at every so many snapshots."""
        found = []
        for i, lags in enumerate(self.lags(level)):
            low, high = (np.broadcast_to(one, len(self.decay))[i] for one in (begin, end))
            ages = self.step[::every] if every else AGES
            ages = ages[(ages >= low) & (ages <= high)]
            found.append(ageing_exponent(ages, lags[np.searchsorted(self.step, ages)]))
        return np.array(found)

    def turned_in_bursts(self):
        """Share of the squared angles between snapshots, and of the intervals, in bursts after the memorising."""
        late = self.step[None] > np.minimum(self.memorised, self.step[-1])[:, None]
        squared = np.where(late, np.nan_to_num(self.curve["speed"]) ** 2, 0)
        return (squared * self.hot).sum(1) / squared.sum(1), (late & self.hot).sum(1) / late.sum(1)

    def overlap(self):
        """Correlation of the memorising state (first age) with the generalising one: measured, and if free."""
        places = np.searchsorted(self.step, self.generalised[(known := np.isfinite(self.generalised))])
        norm, rate = self.curve["norm"][known], self.rate[known]
        free = [free_correlation(self.step, *one)[0, k] for *one, k in zip(norm, rate, places, strict=True)]
        return self.curve["correlation"][known][np.arange(len(places)), 0, places], np.array(free)


def interval(values):
    """Mean and the ends of its 95 % interval over runs that have one."""
    mean, half = student(np.asarray(values)[np.isfinite(values)])
    return float(mean), float(mean - half), float(mean + half)


def judged(values, theory):
    """Mean over runs with its interval, and the verdict."""
    mean, low, high = interval(values)
    return bracketed(mean, low, high, ".2f"), judge(theory, low, high, MARGIN)[0]


# -------------------------------------------------------------------------------------------------------------- tables
def ageing(stories):
    """Exponents, lags against those of free directions, and their slope in weight decay."""
    head = ["experiment", "lag to", "μ", "stationary, μ = 0?", "ages fully, μ = 1?", "lag at age 100", "at 800"]
    head += ["at 6,400", "lag / free, all ages", "slope of log lag in log weight decay", "free, -1?"]
    rows = []
    for name, story in stories.items():
        for level in LEVELS:
            lags, _ = paired(story, level)
            value, still = judged(story.exponents(level), 0)
            cells = [f"`{name}`", f"{level}", value, still, judged(story.exponents(level), 1)[1]]
            cells += [f"{np.nanmean(lags[:, k]):,.0f}" if np.isfinite(lags[:, k]).any() else "-" for k in (0, 3, 6)]
            cells.append(over_free(story, level))
            rows.append([*cells, *slope_in_decay(story, lags)])
    return table(head, rows)


def paired(story, level):
    """Lags at the ages, measured and of free directions."""
    return [story.lags(level, words)[:, np.searchsorted(story.step, AGES)] for words in ("", "free ")]


def over_free(story, level):
    """Geometric mean over ages and runs of the lags over those of free directions, with its interval over runs."""
    lags, free = paired(story, level)
    logs = np.where(np.isfinite(lags / free), np.log(lags / free), np.nan)
    each = [one[np.isfinite(one)].mean() for one in logs if np.isfinite(one).any()]
    return bracketed(*np.exp(interval(each)), ".2f") if len(each) > 1 else "-"


def slope_in_decay(story, lags):
    """Slope of the mean log lag of runs in log weight decay, and whether it is that of free directions."""
    if len(np.unique(story.decay)) < 3:
        return ["-", "-"]
    plane = np.c_[np.ones(len(lags)), np.log(story.decay)]
    one = fit(plane, np.nanmean(np.log(lags), 1), [0, 1])
    return [bracketed(one.value, one.low, one.high, ".2f"), judge(-1, one.low, one.high, MARGIN)[0]]


def times(stories):
    """When each run has memorised and generalised, in steps and in units of 1/(lr·wd), and what bursts do."""
    head = ["experiment", "weight decay", "seed", "memorised by", "generalised", "in 1/(lr·wd)", "last test accuracy"]
    head += ["bursts before", "share of steps in bursts", "test accuracy gained in bursts", "between them"]
    rows = []
    for name, story in stories.items():
        test = story.curve["test_accuracy"]
        for i in story.order:
            when, later = story.generalised[i], story.step > story.memorised[i]
            inside = later & (story.step <= when)
            begins = story.hot[i] & ~np.append(True, story.hot[i][:-1])
            gain = np.append(0, np.diff(test[i]))
            cells = [f"`{name}`", f"{story.decay[i]:g}", str(story.seed[i]), steps(story.memorised[i]), steps(when)]
            cells += [f"{when * story.rate[i]:.2f}" if np.isfinite(when) else "-", f"{test[i, -10:].mean():.3f}"]
            cells += [str((begins & inside).sum()), f"{story.hot[i][inside].mean():.2f}"]
            rows.append(
                [*cells, f"{gain[story.hot[i] & inside].sum():.2f}", f"{gain[~story.hot[i] & inside].sum():.2f}"]
            )
    return table(head, rows)


def steps(when):
    return f"{when:,.0f}" if np.isfinite(when) else "not"


def precise(stories):
    """The controls of precision: when they generalise, and what the coldest intervals are by then."""
    head = ["experiment", "seed", "generalised", "bursts", "lowest T (nat)", "lowest loss (nat)", "last test accuracy"]
    rows = []
    for name, story in stories.items():
        for i, when in enumerate(story.generalised):
            cells = [f"`{name}`", str(story.seed[i]), steps(when), str(late_bursts(story)[i])]
            cells += [f"{np.nanmin(story.curve['temperature'][i]):.2g}", f"{story.curve['loss'][i].min():.2g}"]
            rows.append([*cells, f"{story.curve['test_accuracy'][i, -10:].mean():.3f}"])
    return table(head, rows)


def late_bursts(story):
    """How many bursts begin once the first eight intervals, which are hot, are over."""
    return (story.hot[:, 8:] & ~story.hot[:, 7:-1]).sum(1)


def stages(story):
    """Where each run stands when it has memorised, half way (in log steps) to generalising, then, and at the end."""
    rows = []
    for i in story.order:
        memorised, generalised = story.memorised[i], story.generalised[i]
        marks = {"memorised": memorised, "half way": np.sqrt(memorised * generalised), "generalised": generalised}
        marks = {words: when for words, when in marks.items() if np.isfinite(when)} | {"end": story.step[-1]}
        for words, when in marks.items():
            k = int(np.argmin(abs(story.step - when)))
            cells = [f"{story.decay[i]:g}", str(story.seed[i]), words, f"{story.step[k]:,}"]
            cells += [f"{story.curve[name][i, k]:.3g}" for name in STAGES if name in story.curve]
            rows.append([*cells, f"{story.curve['test_accuracy'][i, k]:.2f}"])
    kept = [words for name, words in STAGES.items() if name in story.curve]
    return table(["weight decay", "seed", "stage", "step", *kept, "test accuracy"], rows)


# --------------------------------------------------------------------------------------------------------------- page
def parts(found):
    """What words/grokking.md asks for."""
    stories = {name: Story(one) for name, one in found.items()}
    first, second, noisy, bare = (stories[name] for name in (*TASKS, *BESIDE))
    early = noisy.exponents(0.9, end=0.5 / noisy.rate)
    late = noisy.exponents(0.9, 2 / noisy.rate, np.inf, every=1)
    given = {
        "ageing": folded("Exponents and lags", ageing(stories)),
        "times": folded("When every run generalises", times({name: stories[name] for name in TASKS})),
        "precise": folded("Precision", precise({name: stories[name] for name in CONTROLS})),
        "stages": folded("The gas at four stages, addition modulo 23", stages(first)),
        "noisy_early": judged(early, 0)[0],
        "noisy_late": ", ".join(judged(late, 0)),
        "noisy_heat": span_of(np.nanmedian(noisy.curve["temperature"], 1), ".1g"),
        "noisy_free": over_free(noisy, 0.9),
        "noisy_generalised": said_of(noisy),
        **{f"{key}_mu": judged(stories[name].exponents(0.8), 1)[0] for key, name in zip(FROZEN, CONTROLS, strict=True)},
        "frozen_word": judged(stories[CONTROLS[0]].exponents(0.8), 1)[1],
        "frozen_generalised": said_of(stories[CONTROLS[0]]),
        "eps_bursts": span_of(late_bursts(stories[CONTROLS[1]]).astype(float), ".0f"),
        "eps_test": span_of(stories[CONTROLS[1]].curve["test_accuracy"][:, -10:].mean(1)),
        "frozen_test": span_of(stories[CONTROLS[0]].curve["test_accuracy"][:, -10:].mean(1)),
        "bare_mu": judged(bare.exponents(0.8), 0)[0],
        "bare_generalised": said_of(bare),
    }
    return given | facts("first", first) | facts("second", second)


def facts(key, story):
    """Numbers on one task for the text, their names beginning with the key."""
    lags, _ = paired(story, 0.8)
    value, still = judged(story.exponents(0.8), 0)
    turned, share = story.turned_in_bursts()
    measured, predicted = story.overlap()
    slope, as_free = slope_in_decay(story, lags)
    found = {
        "mu": value,
        "still": still,
        "span": span_of(story.exponents(0.8)),
        "lag": f"{np.nanmean(lags):,.0f}",
        "free": over_free(story, 0.8),
        "slope": slope,
        "as_free": as_free,
        "turned": f"{turned.mean():.0%}",
        "share": f"{share.mean():.0%}",
        "overlap": span_of(measured),
        "overlap_free": span_of(predicted),
        "generalised": said_of(story),
        "when": span_of(story.generalised, ",.0f"),
        "units": span_of(story.generalised * story.rate),
        "coldest": f"{np.nanmin(story.curve['temperature']):.0e}",
    }
    return {f"{key}_{name}": text for name, text in found.items()}


def said_of(story):
    """How many runs generalise."""
    return f"{np.isfinite(story.generalised).sum()} of {len(story.generalised)}"


def span_of(values, form=".2f"):
    """Smallest and largest of those that are finite."""
    finite = np.asarray(values)[np.isfinite(values)]
    ends = [f"{one:{form}}" for one in (finite.min(), finite.max())] if len(finite) else ["none"]
    return " to ".join(dict.fromkeys(ends))


# ------------------------------------------------------------------------------------------------------------- figures
def draw(found):
    """Accuracies and the gas over the steps; lags over the age, against free directions and full ageing."""
    stories = {name: Story(one) for name, one in found.items()}
    _course(stories["grokking"])
    each = stories["grokking"].exponents(0.9)
    low, high, mean = np.nanmin(each), np.nanmax(each), np.nanmean(each)
    title = f"Directions do not age like a glass: lag against age with exponent {mean:.2f} on "
    title += f"{TASKS['grokking']} ({low:.2f} to "
    title += f"{high:.2f} over runs; full ageing 1)"
    figure, axes = panels(title, rows=2, columns=3, height=5.4, sharey=True, sharex=True)
    shown = TASKS | {CONTROLS[0]: "addition, float64: no bursts"} | BESIDE
    for axis, (name, words) in zip(axes, shown.items(), strict=False):
        _lags(axis, stories[name], words)
    for axis in axes[2:5]:
        axis.set_xlabel("age (steps)")
        axis.tick_params(labelbottom=True)
    for axis in (axes[0], axes[3]):
        axis.set_ylabel("lag until the correlation is 0.9 (steps)")
    key = axes[5]
    key.set_axis_off()
    key.plot([], [], "o-", color=INK, label="measured, mean over seeds")
    key.plot([], [], "--", color=INK, label="free directions, same norms")
    key.plot([], [], ":", color=MUTED, label="full ageing: lag = age")
    key.legend(loc="center left")
    alt = "Lag until the correlation of directions is 0.9 against their age, on five tasks and controls; "
    alt += f"on {TASKS['grokking']} "
    save(figure, "grokking-ageing", f"{alt}its exponent is {mean:.2f}, {low:.2f} to {high:.2f} over runs.")


def _lags(axis, story, title):
    """Geometric means over seeds, one colour per weight decay; dashed: free directions at the same norms."""
    places = np.searchsorted(story.step, AGES)
    for decay, ink, marker in zip(np.unique(story.decay), SERIES, MARKERS, strict=False):
        for words, style in (("", f"{marker}-"), ("free ", "--")):
            lags = np.log(story.lags(0.9, words)[story.decay == decay][:, places])
            known = np.isfinite(lags).any(0)
            label = f"weight decay {decay:g}" if words == "" else None
            axis.plot(AGES[known], np.exp(np.nanmean(lags[:, known], 0)), style, color=ink, ms=4, lw=1, label=label)
    axis.plot(AGES, AGES, ":", color=MUTED, lw=1)
    axis.set(xscale="log", yscale="log")
    axis.set_title(title, fontsize=8.5)
    axis.legend(fontsize=7.5)


def _course(story):
    """One seed of the middle weight decay in five panels, the others as a band; events and bursts are marked."""
    decay = np.unique(story.decay)[1]
    mine = np.flatnonzero(story.decay == decay)
    first, step = mine[0], story.step
    learnt, general, hot = story.memorised[first], story.generalised[first], story.hot[first]
    turned, lasted = (share[first] for share in story.turned_in_bursts())
    title = f"Learnt by heart at step {learnt:,.0f}, generalised at step {general:,.0f}, with bursts of heat between\n"
    title += f"they last {lasted:.0%} of the time after memorising and hold {turned:.0%} of the squared rotation"
    figure, axes = panels(title, rows=5, columns=1, height=7.2, sharex=True)
    drawn = {
        "test_accuracy": "accuracy", "temperature": "$T$ (nat)", "compression": "$pV/(RT)$",
        "speed": "angle between\nsnapshots\n(rad per step)", "norm": "norm $r$",
    }  # fmt: skip
    ends = [*np.flatnonzero(np.diff(hot.astype(int), prepend=0, append=0))]
    for axis, (name, words) in zip(axes, drawn.items(), strict=True):
        band = story.curve[name][mine]
        axis.fill_between(step, np.fmin.reduce(band), np.fmax.reduce(band), color=SERIES[0], alpha=0.25, lw=0)
        axis.plot(step, band[0], color=SERIES[0], lw=0.9)
        for when, marker in ((learnt, ":"), (general, "--")):
            axis.axvline(when, color=INK, lw=0.9, ls=marker)
        for begin, end in zip(ends[::2], ends[1::2], strict=True):
            if step[begin] > learnt:
                axis.axvspan(step[begin], step[min(end, len(step) - 1)], color=SERIES[1], alpha=0.18, lw=0)
        axis.set_ylabel(words)
        axis.set(xscale="log", yscale="linear" if name in ("test_accuracy", "norm") else "log")
    axes[0].plot(step, story.curve["accuracy"][first], color=MUTED, lw=0.9)
    top = axes[0].get_xaxis_transform()
    says(axes[0], "memorised", (learnt, 1.06), INK, (-3, 0), xycoords=top)
    says(axes[0], "generalised", (general, 1.06), INK, (-3, 0), ha="right", xycoords=top)
    says(axes[0], "training", (step[1], 0.85), MUTED, (0, 0))
    says(axes[0], "test", (step[1], 0.1), SERIES[0], (0, 0))
    ticks(axes[2].yaxis, [0.1, 0.2, 0.3])
    ticks(axes[3].yaxis, [3e-4, 1e-3, 3e-3])
    words = f"step (weight decay {decay:g}; line: seed {story.seed[first]}; band: {len(mine)} seeds; "
    axes[-1].set_xlabel(f"{words}shaded: T above {HOT:g} nat)")
    alt = f"Accuracy, T, pV/(RT), rotation and norm over the steps at weight decay {decay:g}: memorised at "
    alt += f"step {learnt:,.0f}, "
    save(figure, "grokking", f"{alt}generalised at {general:,.0f}; bursts hold {turned:.0%} of the squared rotation.")
