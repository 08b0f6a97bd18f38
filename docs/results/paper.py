"""The paper, claim by claim: what it published, in ``summaries/paper.json``, beside our runs."""

import json

import numpy as np
from scipy import stats
from stored import SUMMARIES
from tables import MARKS, bracketed, cell, find, folded, student, table

from empirics.claims import tables_of
from empirics.claims.clusters import levels
from empirics.claims.fits import quadratic
from empirics.claims.protocol import effective_lr
from empirics.isotropic import processes

LR, ELR, SPHERE = "fixed-lr", "fixed-elr", "fixed-sphere"
#: Our runs that the page rests on, each some minutes of one core.
GAS, NEIGHBOURS = "isotropic-paper", "isotropic-paper-neighbours"
NETWORK = {LR: "digits", ELR: "digits-elr", SPHERE: "digits-sphere"}
#: Our grid beside each published fit on CIFAR-10, where there is one.
CIFAR = {
    ("ConvNet", LR): "cifar-convnet-orbits",
    ("ResNet-18", LR): "cifar-resnet18-orbits",
}
NAMES = (GAS, NEIGHBOURS, *NETWORK.values(), *CIFAR.values())

BY_DECAY, BY_RATE, DIFFERENCE = (
    "dS/dlog wd at equal lr",
    "dS/dlog lr at equal wd",
    "dS/dlog lr - dS/dlog wd, difference of the two means",
)
AT_ELR, ON_SPHERE = "dS/dlog wd at equal effective lr", "dS/dlog r at equal effective lr"
#: Straight lines of S by the name under which they are published: what is held along a line, and what is varied.
LINES = {
    ELR: {AT_ELR: ("effective_lr", "weight_decay")},
    LR: {BY_DECAY: ("lr", "weight_decay"), BY_RATE: ("weight_decay", "lr")},
    SPHERE: {ON_SPHERE: ("effective_lr", "radius")},
}
#: The Maxwell relation by straight lines, in units of R: its name, and its theory.
RELATION = {LR: (DIFFERENCE, 1), ELR: (AT_ELR, -1), SPHERE: (ON_SPHERE, 2)}
#: Fewest runs of a row through which a line is laid.
FEWEST = 3
#: Words in the titles of the other forms of the Maxwell relation.
FORMS = ("quadratic", "any function", "with equal")

#: Which form of which claim judges a published slope of the isotropic model.
MAXWELL, ADIABAT = ("V3", "Maxwell"), ("V4", "Slope of S")
JUDGED_BY = {AT_ELR: (ELR, *MAXWELL), BY_DECAY: (LR, *ADIABAT), BY_RATE: (LR, *ADIABAT), DIFFERENCE: (LR, *MAXWELL)}

#: Statement, where it stands, derivation, the form of the claim that tests it, remark.
STATEMENTS = [
    ("stationary norm, r⁴ = ησ²(d − 1)/(2λ)", "paper (V1)", "radius", (LR, "V1", "Radius formula"),
     "the norm balance without the squared mean gradient, which in networks is not small"),
    ("pV = RT, T read off the noise", "paper, post", "ideal-gas-law", (LR, "V8", "read off the noise, over"),
     "true of any stationary run: a gate, no evidence"),
    ("pV = RT, T by a thermometer that does not use the noise", "not there", "configurational-temperature",
     (LR, "V8", "^p V.*thermometer"), "what the equation of state says beyond the identity"),
    ("on the sphere F is minimal at the run's own T", "paper, figure in VMF.ipynb", "potential",
     (SPHERE, "V2", "free energy"), ""),
    ("at fixed ELR G is minimal, with respect to the directions", "paper", "potential", (ELR, "V2", "free energy"), ""),
    ("at fixed LR G is minimal, with respect to the directions", "paper", "potential", (LR, "V2", "free energy"), ""),
    ("at fixed LR G is minimal, with respect to the volume", "paper", "virial-theorem", (LR, "V2", "pV"),
     "the norm balance again"),
    ("Maxwell relation, fixed LR", "paper (V3), post", "maxwell", (LR, *MAXWELL),
     "follows from scale invariance, so it holds on a path entropy"),
    ("Maxwell relation, fixed ELR", "paper (V3), post", "maxwell", (ELR, *MAXWELL), ""),
    ("Maxwell relation, fixed sphere", "paper (V3)", "maxwell", (SPHERE, *MAXWELL), "the paper prints R² of fits to S"),
    ("weight decay alone leaves S as it is (γ = 2)", "paper", "adiabat", (LR, *ADIABAT),
     "judged against the measured heat capacity, (C_V − R)/2"),
    ("first law, dU = T dS at fixed V", "paper", "first-law", (LR, "V5", "First law"),
     "needs an entropy of states, not of a path"),
    ("the law of the directions is Gibbs', T = ½η_eff σ²", "paper", "stationary-distribution",
     (LR, "V5", "Fluctuations"), "exact for isotropic noise, which no network has"),
]  # fmt: skip


# ------------------------------------------------------------------------------------------------- what was published
def published():
    """The published figures, and where each stands."""
    return json.loads((SUMMARIES / "paper.json").read_text(encoding="utf-8"))


def ratios(fit):
    """The Maxwell relation of a published quadratic over theory, at each run of its grid: shape (rates, weight decays).

    At fixed LR ``c0 + c1 log lr - c2 log wd``, at fixed ELR ``c0 + c1 log wd + c2 log effective lr``.
    """
    rate, decay = (np.log(10) * np.linspace(*axis["log10"], axis["count"]) for axis in fit["grid"].values())
    c0, c1, c2 = fit["coefficients"].values()
    along = c1 * rate[:, None] - c2 * decay if fit["protocol"] == LR else c1 * decay + c2 * rate[:, None]
    return (c0 + along) / fit["theory"]


def beside(fit):
    """Ratio to theory at the centre of the grid, and largest relative error, of a published fit: as pages have them."""
    # The slope is linear in both logarithms, so that its mean over the grid is that at the centre.
    return f"{ratios(fit).mean():.3f}", f"{np.abs(ratios(fit) - 1).max():.1%}"


# ------------------------------------------------------------------------------------------------------ straight lines
def knob(judged, name):
    """Logarithm of what is set, shape (runs used,)."""
    return np.log(np.asarray(effective_lr(judged.data))[judged.used] if name == "effective_lr" else judged.values(name))


def straight_lines(judged, protocol):
    """The published form of the isotropic table, in units of R, by name.

    For each a line through the runs of every row of the grid with `FEWEST` or more: the mean of the slopes, half its
    95 % interval, the standard deviation between rows, and their number.
    """
    entropy, found = judged.values("entropy") / ((judged.dimension - 1) / 2), {}
    for name, (held, varied) in LINES[protocol].items():
        x, row = knob(judged, varied), levels(knob(judged, held))
        rows = [np.flatnonzero(row == one) for one in range(row.max() + 1)]
        slopes = np.array([np.polyfit(x[one], entropy[one], 1)[0] for one in rows if len(one) >= FEWEST])
        if len(slopes) < 2:  # orbits have no rows
            return {}
        mean, half = student(slopes)
        found[name] = {"value": mean, "half": half, "std": slopes.std(ddof=1), "rows": len(slopes)}
    if protocol == LR:
        rate, decay = found[BY_RATE], found[BY_DECAY]
        # On a whole grid the means over rows and over columns are orthogonal contrasts.
        half = float(np.hypot(rate["half"], decay["half"]))
        found[DIFFERENCE] = {"value": rate["value"] - decay["value"], "half": half}
    return found


def explained(judged, protocol):
    """R² of the quadratic in both logarithms, unweighted, as the notebooks fit it."""
    design, entropy = (
        quadratic(*(knob(judged, name) for name in next(iter(LINES[protocol].values())))),
        judged.values("entropy"),
    )
    rest = entropy - design @ np.linalg.lstsq(design, entropy, rcond=None)[0]
    return float(1 - rest.var() / entropy.var())


# ------------------------------------------------------------------------------------------------------------ our runs
def reduce(runs):
    """What the page needs of an experiment besides its verdicts: straight lines and R², by protocol."""
    tables = {one.data.attrs["protocol"]: one for one, _ in tables_of(runs, ())}
    return {
        "lines": {protocol: straight_lines(one, protocol) for protocol, one in tables.items()},
        "r_squared": {protocol: explained(one, protocol) for protocol, one in tables.items()},
    }


def verdict(stored, protocol, claim, words):
    """The verdict on a form of a claim; None if there is no number."""
    return find([one for one in stored.verdicts if one.protocol == protocol], claim, words)


def lines_of(stored):
    """Straight lines under all protocols, by name."""
    return {name: line for lines in stored.more["paper"]["lines"].values() for name, line in lines.items()}


# ----------------------------------------------------------------------------------------------------------- the page
ISOTROPIC = ["quantity, in R", "theory", "with finite steps", "published mean", "± (between rows)", "its 95 %", "ours"]
NETWORKS = [
    "network", "data", "protocol", "d", "runs", "at lr = wd = 1 (printed)", "at the centre", "over the grid",
    "largest error", "R²", "ours, along orbits", "verdict", "ours from (other network and length)",
    "as published, not run here",
]  # fmt: skip
ONE_BESIDE = ["runs", "protocol", "straight lines", "quadratic", "spline", "orbits", "largest error", "R²", "verdict"]
STATED = ["statement", "where", "tests", "derived by", "claim", "theory", "gas, d = 3", "digits network", "remark"]


def with_steps(grid):
    """Slopes of the stationary entropy in log lr and log weight decay over a grid at d = 3, finite steps included."""
    lr, decay = (np.logspace(*axis["log10"], axis["count"]) for axis in grid.values())
    rates = [axis.ravel() for axis in np.meshgrid(lr, decay, indexing="ij")]
    entropy = processes.stationary_entropy(processes.Path("grid", *rates), dimension=3).reshape(len(lr), len(decay))
    return np.polyfit(np.log(lr), entropy.mean(1), 1)[0], np.polyfit(np.log(decay), entropy.mean(0), 1)[0]


def isotropic_rows(model, *ours):
    """Rows of the isotropic table: theory, finite steps, what is published, and ours, from straight lines by name."""
    by_rate, by_decay = with_steps(model["model"]["grid"])
    finite = {AT_ELR: -1.0, BY_DECAY: by_decay, BY_RATE: by_rate, DIFFERENCE: by_rate - by_decay}
    for row in model["table"]:
        name, between, error = row["quantity"], "–", "–"
        if std := row["std_between_rows"]:
            between, error = f"{std:.4f}", f"± {stats.t(row['rows'] - 1).ppf(0.975) * std / np.sqrt(row['rows']):.4f}"
        cells = [name, f"{row['theory']}", f"{finite[name]:.4f}", f"{row['value']:.4f}", between, error]
        yield [*cells, *(interval(lines[name]) if name in lines else "–" for lines in ours)]


def excess(model):
    """How far the published slopes in log lr and log wd lie above those with finite steps, in errors of the mean."""
    rows = {row["quantity"]: row for row in model["table"]}
    for name, finite in zip((BY_RATE, BY_DECAY), with_steps(model["model"]["grid"]), strict=True):
        one = rows[name]
        yield f"{(one['value'] - finite) * np.sqrt(one['rows']) / one['std_between_rows']:.1f}"


def interval(line):
    """A mean over rows with half its interval."""
    return f"{line['value']:.4f} ± {line['half']:.4f}"


def network_rows(fits, ours):
    """Rows of the table of published fits, beside the Maxwell relation in our runs."""
    ten = {(fit["network"], fit["protocol"]): fit for fit in fits if fit["data"] == "CIFAR-10"}
    for fit in fits:
        found, (centre, worst) = ratios(fit), beside(fit)
        cells = [fit["network"], fit["data"], fit["protocol"], f"{fit['dimension']:,}", f"{fit['runs']}"]
        cells += [f"{fit['coefficients']['c0'] / fit['theory']:.3f}", centre, f"{found.min():.3f} to {found.max():.3f}"]
        cells += [worst, f"{fit['r_squared']:.3f}"]
        key = fit["network"], fit["protocol"]
        theirs = f"paper-{fit['network'].lower().replace('-', '')}{'-elr' if key[1] == ELR else ''}"
        whole = f"`thermo-theory run experiments/{theirs}.toml`"
        if fit["data"] != "CIFAR-10":
            whole += f" with {', '.join(changes(fit, ten[key]))}"
        if fit["data"] == "CIFAR-10" and key in CIFAR:
            one = verdict(ours[CIFAR[key]], key[1], *MAXWELL)
            cells += [over(one.theory, one.measured, one.low, one.high), one.verdict]
            yield [*cells, f"`thermo-theory run experiments/{CIFAR[key]}.toml`", whole]
        else:
            yield [*cells, "not run", "", "–", whole]


def changes(fit, ten):
    """What differs in the experiment of a published fit from that of the same network and protocol on CIFAR-10."""
    yield f"{fit['data']} as `[data]`"
    if fit["width"] != ten["width"]:
        yield f"`width = {fit['width']}`"
    for axis, rates in fit["grid"].items():
        if rates != ten["grid"][axis]:
            yield f"`{axis} = {{log10 = {rates['log10']}, count = {rates['count']}}}`"


def over(theory, measured, low, high):
    """A number and its interval over theory."""
    return bracketed(measured / theory, *sorted((low / theory, high / theory)), ".4f")


def form_rows(ours):
    """Rows of the four forms on the same runs, each over its theory."""
    for name, stored in ours.items():
        for protocol, lines in stored.more["paper"]["lines"].items():
            maxwell, (line, theory) = verdict(stored, protocol, *MAXWELL), RELATION[protocol]
            forms = [vars(maxwell), *maxwell.other_forms]
            cells = ["no rows"]
            if one := lines.get(line):
                cells = [over(theory, one["value"], one["value"] - one["half"], one["value"] + one["half"])]
            for words in FORMS:
                form = next(form for form in forms if words in form["title"])
                cells.append(over(maxwell.theory, form["measured"], form["low"], form["high"]))
            worst = maxwell.details["largest relative error over the grid"]
            r_squared = stored.more["paper"]["r_squared"][protocol]
            yield [name, protocol, *cells, f"{worst:.1%}", f"{r_squared:.4f}", maxwell.verdict]


def statement_rows(ours):
    """Rows of the statements: what each tests, the derivation, our numbers on the gas and on a network."""
    words = {name: name for name in MARKS}
    for statement, where, derivation, (protocol, claim, form), remark in STATEMENTS:
        gas, network = (verdict(ours[name], protocol, claim, form) for name in (GAS, NETWORK[protocol]))
        numbers = [cell(gas, words), cell(network, words, gas.theory) or "not measured"]
        command = f"`thermo-theory derive {derivation}`"
        yield [statement, where, gas.kind, command, claim, f"{gas.theory:g}", *numbers, remark]


def parts(ours):
    """What words/paper.md asks for."""
    found = published()
    model, fits = found["isotropic"], found["networks"]["fits"]
    gas, near = lines_of(ours[GAS]), lines_of(ours[NEIGHBOURS])
    judged = [verdict(ours[GAS], *JUDGED_BY[row["quantity"]]) for row in model["table"]]
    rows = [[*row, one.kind, one.verdict] for row, one in zip(isotropic_rows(model, gas, near), judged, strict=True)]
    above_rate, above_decay = excess(model)
    off = {(fit["network"], fit["data"], fit["protocol"]): abs(ratios(fit) - 1) for fit in fits}
    centres = {key: abs(ratios(fit).mean() - 1) for key, fit in zip(off, fits, strict=True)}
    return {
        "isotropic": table([*ISOTROPIC, "ours, published estimator", "tests", "verdict"], rows),
        "networks": folded("All published fits, and ours", table(NETWORKS, network_rows(fits, ours))),
        "forms": folded("Four forms of the Maxwell relation", table(ONE_BESIDE, form_rows(ours))),
        "statements": folded("Every statement, on the gas and on a network", table(STATED, statement_rows(ours))),
        "above_rate": above_rate,
        "above_decay": above_decay,
        "near_rate": interval(near[BY_RATE]),
        "near_decay": interval(near[BY_DECAY]),
        "far_rate": interval(gas[BY_RATE]),
        "far_decay": interval(gas[BY_DECAY]),
        "furthest_10": f"{max(one for key, one in centres.items() if 'CIFAR-10' in key):.1%}",
        "furthest_100": f"{max(one for key, one in centres.items() if 'CIFAR-100' in key):.1%}",
        "largest_elr": f"{off['ResNet-18', 'CIFAR-10', ELR].max():.1%}",
        "largest_lr": f"{off['ResNet-18', 'CIFAR-10', LR].max():.1%}",
    }
