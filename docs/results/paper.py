"""Write docs/results/paper.md, the paper claim by claim, and the summary of our runs behind it: ``make results-paper``.

``--as-is`` runs nothing and writes the page from what is stored: ``summaries/paper.json``, the published figures and
where each stands; ``summaries/paper-ours.json``, our verdicts; and the tables of the pages on other systems.
"""

import json
import re
from functools import cache

import numpy as np
from scipy import stats
from tables import EXPERIMENTS, HERE, MARKS, asked, bracketed, cell, find, student, table, write

import empirics
from empirics.claims import tables_of
from empirics.claims.clusters import levels
from empirics.claims.fits import quadratic
from empirics.claims.protocol import effective_lr
from empirics.claims.verdict import Verdict
from empirics.isotropic import processes

SUMMARIES = HERE / "summaries"
LR, ELR, SPHERE = "fixed-lr", "fixed-elr", "fixed-sphere"
#: Our runs that the page rests on, each some minutes of one core.
GAS, NEIGHBOURS = "isotropic-paper", "isotropic-paper-neighbours"
NETWORK = {LR: "digits", ELR: "digits-elr", SPHERE: "digits-sphere"}
#: Our grid beside each published fit on CIFAR-10, and its name in the first table of that page.
CIFAR = {
    ("ConvNet", LR): ("cifar-convnet-long", "ConvNet, fixed LR"),
    ("ConvNet", ELR): ("cifar-convnet-elr-long", "ConvNet, fixed ELR"),
    ("ResNet-18", LR): ("cifar-resnet18-long", "ResNet-18, fixed LR"),
    ("ResNet-18", ELR): ("cifar-resnet18-elr", "ResNet-18, fixed ELR"),
}
#: The experiment with the network, grid and length of each published fit on CIFAR-10.
PAPERS = {
    (network, protocol): f"paper-{network.lower().replace('-', '')}{'-elr' if protocol == ELR else ''}"
    for network, protocol in CIFAR
}

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


# --------------------------------------------------------------------------------------------------------- our summary
#: What is stored of a verdict.
KEPT = ("claim", "title", "protocol", "kind", "theory", "measured", "low", "high", "verdict", "details", "other_forms")


def summary(runs):
    """What the page needs of an experiment: verdicts, and by protocol straight lines and R²."""
    rows = json.loads(empirics.compare(runs).to_json())["verdicts"]
    for row in rows:
        row["details"] = {name: value for name, value in row["details"].items() if "over the grid" in name}
    tables = {one.data.attrs["protocol"]: one for one, _ in tables_of(runs, ())}
    return {
        "verdicts": [{name: row[name] for name in KEPT} for row in rows if row["low"] is not None],
        "lines": {protocol: straight_lines(one, protocol) for protocol, one in tables.items()},
        "r_squared": {protocol: explained(one, protocol) for protocol, one in tables.items()},
    }


def store(folder):
    """Run what is missing, and write the summary of all, to six digits, a line for each verdict."""
    names = (GAS, NEIGHBOURS, *NETWORK.values())
    found = {name: summary(empirics.run(EXPERIMENTS / f"{name}.toml", folder / name)) for name in names}
    short = json.loads(json.dumps(found), parse_float=lambda text: float(f"{float(text):.6g}"))
    text = re.sub(r'(?=\{"(claim|verdicts)"|"lines")', "\n", json.dumps(short, ensure_ascii=False))
    (SUMMARIES / "paper-ours.json").write_text(text + "\n", encoding="utf-8")


class Ours(dict):
    """A summary of our runs, by experiment."""

    def verdict(self, name, protocol, claim, words):
        """The verdict on a form of a claim; None if there is no number."""
        return find([Verdict(**row) for row in self[name]["verdicts"] if row["protocol"] == protocol], claim, words)

    def lines(self, name):
        """Straight lines under all protocols, by name."""
        return {line: one for lines in self[name]["lines"].values() for line, one in lines.items()}


def kept():
    """The stored summary of our runs."""
    return Ours(json.loads((SUMMARIES / "paper-ours.json").read_text(encoding="utf-8")))


@cache
def page_rows(page):
    """Rows of all tables of a page by their heads, each with the heading above the table as its "section"."""
    head, section, found = None, "", []
    for line in (HERE / f"{page}.md").read_text(encoding="utf-8").splitlines():
        cells = [one.strip() for one in re.split(r"(?<!\\)\|", line)[1:-1]]
        if line.startswith("#"):
            section = line.strip("# ")
        if not cells or head is None:
            head = cells or None
        elif set("".join(cells)) - set("-:"):
            found.append(dict(zip(head, cells, strict=True), section=section))
    return found


def stored(page, column, cells):
    """The one cell of a column of a page's tables in whose row the cells of other columns match these patterns."""
    (found,) = (
        row[column]
        for row in page_rows(page)
        if column in row and all(re.fullmatch(words, row.get(name, "-")) for name, words in cells.items())
    )
    return found


# ----------------------------------------------------------------------------------------------------------- the page
ISOTROPIC = ["quantity, in R", "theory", "with finite steps", "published mean", "± (between rows)", "its 95 %", "ours"]
NETWORKS = [
    "network", "data", "protocol", "d", "runs", "at lr = wd = 1 (printed)", "at the centre", "over the grid",
    "largest error", "R²", "ours at the centre", "ours, largest error", "verdict",
    "ours from (other network and length)", "as published, not run here",
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


def network_rows(fits):
    """Rows of the table of published fits."""
    ten = {(fit["network"], fit["protocol"]): fit for fit in fits if fit["data"] == "CIFAR-10"}
    for fit in fits:
        found, (centre, worst) = ratios(fit), beside(fit)
        cells = [fit["network"], fit["data"], fit["protocol"], f"{fit['dimension']:,}", f"{fit['runs']}"]
        cells += [f"{fit['coefficients']['c0'] / fit['theory']:.3f}", centre, f"{found.min():.3f} to {found.max():.3f}"]
        cells += [worst, f"{fit['r_squared']:.3f}"]
        key = fit["network"], fit["protocol"]
        name, row = CIFAR[key]
        ours, whole = (f"`thermo-theory run experiments/{one}.toml`" for one in (name, PAPERS[key]))
        if fit["data"] == "CIFAR-10":
            columns = ("ours, quadratic fit", "ours", "verdict")
            yield [*cells, *(stored("cifar", column, {"": row}) for column in columns), ours, whole]
        else:
            yield [*cells, "not run", "", "", "–", f"{whole} with {', '.join(changes(fit, ten[key]))}"]


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
    for name, protocol in ((name, protocol) for name, one in ours.items() for protocol in one["lines"]):
        maxwell, (line, theory) = ours.verdict(name, protocol, *MAXWELL), RELATION[protocol]
        one = ours.lines(name)[line]
        found = [vars(maxwell), *maxwell.other_forms]
        chosen = [next(form for form in found if words in form["title"]) for words in FORMS]
        cells = [over(theory, one["value"], one["value"] - one["half"], one["value"] + one["half"])]
        cells += [over(maxwell.theory, form["measured"], form["low"], form["high"]) for form in chosen]
        (worst,) = maxwell.details.values()
        yield [name, protocol, *cells, f"{worst:.1%}", f"{ours[name]['r_squared'][protocol]:.4f}", maxwell.verdict]
    for (_, protocol), (name, row) in CIFAR.items():
        titles = [{"section": name, "form": f"Maxwell relation,.*{words}.*"} for words in FORMS]
        texts = [stored("cifar", "measured", title) for title in titles]
        cells = [over(RELATION[protocol][1], *map(float, re.findall(r"-?\d[\d.]*", text))) for text in texts]
        worst, verdict = (stored("cifar", column, {"": row}) for column in ("ours", "verdict"))
        yield [name, protocol, "not stored", *cells, worst, "not stored", verdict]


def statement_rows(ours):
    """Rows of the statements: what each tests, the derivation, our numbers on the gas and on a network."""
    words = {name: name for name in MARKS}
    for statement, where, derivation, (protocol, claim, form), remark in STATEMENTS:
        gas, network = (ours.verdict(name, protocol, claim, form) for name in (GAS, NETWORK[protocol]))
        numbers = [cell(gas, words), cell(network, words, gas.theory) or "not measured"]
        command = f"`thermo-theory derive {derivation}`"
        yield [statement, where, gas.kind, command, claim, f"{gas.theory:g}", *numbers, remark]


def page():
    """The parts of the page, from what is stored."""
    found, ours = published(), kept()
    model, fits = found["isotropic"], found["networks"]["fits"]
    gas, near = ours.lines(GAS), ours.lines(NEIGHBOURS)
    judged = [ours.verdict(GAS, *JUDGED_BY[row["quantity"]]) for row in model["table"]]
    rows = [[*row, one.kind, one.verdict] for row, one in zip(isotropic_rows(model, gas, near), judged, strict=True)]
    above_rate, above_decay = excess(model)
    off = {(fit["network"], fit["data"], fit["protocol"]): abs(ratios(fit) - 1) for fit in fits}
    centres = {key: abs(ratios(fit).mean() - 1) for key, fit in zip(off, fits, strict=True)}
    return {
        "isotropic": table([*ISOTROPIC, "ours, published estimator", "tests", "verdict"], rows),
        "networks": table(NETWORKS, network_rows(fits)),
        "forms": table(ONE_BESIDE, form_rows(ours)),
        "statements": table(STATED, statement_rows(ours)),
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
        "fluctuations": cell(ours.verdict(NETWORK[LR], LR, "V5", "Fluctuations"), dict.fromkeys(MARKS, "")),
        "start_lr": stored("isotropic", "ratio (theory 1)", {"protocol": LR}),
        "start_elr": stored("isotropic", "ratio (theory 1)", {"protocol": ELR}),
        "gamma": stored("isotropic", "measured over exact (mean of 12 temperatures)", {"d": "3"}),
        "wide": stored("width", "V3, spline", {"protocol": "fixed ELR", "width": "32", "regime": "interpolating"}),
    }


def main():
    """Write the page."""
    given = asked()
    if not given.as_is:
        store(given.runs)
    write("paper", **page())


if __name__ == "__main__":
    main()
