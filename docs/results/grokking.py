"""A network that generalises long after it has memorised: its gas over the steps, and whether it ages like a glass."""

import matplotlib.pyplot as plt
import numpy as np
from tables import INKS, bracketed, folded, save, student, svg_style, table

from empirics.claims import judge
from empirics.claims.fits import fit
from empirics.measure import ageing_exponent, forgetting_lag, two_time_correlation
from thermo_theory import FixedELR
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
INK = INKS[:3]

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
    return {"step": step.tolist()} | {name: rounded(values) for name, values in kept.items()}


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


def rounded(values):
    """To four digits, which pages need no more of; what is not finite is missing."""
    if np.ndim(values) > 1:
        return [rounded(one) for one in values]
    return [float(f"{one:.4g}") if np.isfinite(one) else None for one in values]


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
    svg_style("grokking")
    stories = {name: Story(one) for name, one in found.items()}
    _course(stories["grokking"])
    figure, axes = plt.subplots(1, 5, figsize=(13, 3.1), sharey=True)
    shown = TASKS | {CONTROLS[0]: "addition, float64: no bursts"} | BESIDE
    for axis, (name, words) in zip(axes, shown.items(), strict=True):
        _lags(axis, stories[name], words)
    axes[0].set_ylabel("lag until the correlation is 0.9 (steps)")
    save(figure, "grokking-ageing")


def _lags(axis, story, title):
    """Geometric means over seeds, one colour per weight decay; dashed: free directions at the same norms."""
    places = np.searchsorted(story.step, AGES)
    for decay, ink in zip(np.unique(story.decay), INK, strict=False):
        for words, style in (("", "o-"), ("free ", "--")):
            lags = np.log(story.lags(0.9, words)[story.decay == decay][:, places])
            known = np.isfinite(lags).any(0)
            label = f"weight decay {decay:g}" if style == "o-" else None
            axis.plot(AGES[known], np.exp(np.nanmean(lags[:, known], 0)), style, color=ink, ms=3, lw=1, label=label)
    axis.plot(AGES, AGES, ":", color="0.5", lw=1)
    axis.set(xscale="log", yscale="log", title=title, xlabel="age (steps)")
    axis.title.set_fontsize(8)
    axis.legend(frameon=False, fontsize=6)


def _course(story):
    """One column per weight decay, one shade per seed, a dot at generalising."""
    panels = {"test_accuracy": "test accuracy", "temperature": "T (nat)", "speed": STAGES["speed"]}
    decays = np.unique(story.decay)
    figure, axes = plt.subplots(len(panels), len(decays), figsize=(9, 6), sharex=True, sharey="row")
    for column, decay in zip(axes.T, decays, strict=True):
        column[0].set_title(f"weight decay {decay:g}", fontsize=8)
        for i, ink in zip(np.flatnonzero(story.decay == decay), INK, strict=True):
            for axis, name in zip(column, panels, strict=True):
                axis.plot(story.step, story.curve[name][i], color=ink, lw=0.7)
                if np.isfinite(when := story.generalised[i]):
                    axis.plot(when, story.curve[name][i, story.step == when], "o", color=ink, ms=3.5)
        column[-1].set_xlabel("step")
    for axis, words in zip(axes[:, 0], panels.values(), strict=True):
        axis.set_ylabel(words.replace(" (rad", "\n(rad"), fontsize=7)
    for axis in axes[1:, 0]:
        axis.set_yscale("log")
    axes[0, 0].set_xscale("log")
    save(figure, "grokking", "png", dpi=100)
