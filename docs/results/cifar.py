"""Networks on CIFAR-10 along symmetry orbits: the Maxwell relation where its interval can decide."""

import re
from collections import Counter

import numpy as np
from digits import reduce, verdict_table
from paper import beside, published
from stored import SUMMARIES
from tables import INKS, counts, directions, find, folded, number_of, panels, save, shown, span, table, usable

from empirics.claims.clusters import levels
from thermo_theory.palette import FAINT, MARKERS

__all__ = ["NAMES", "draw", "parts", "reduce"]

#: What each grid is.
GRIDS = {
    "cifar-resnet18-orbits": "ResNet-18, fixed LR",
    "cifar-resnet18-slow-orbits": "ResNet-18, fixed LR, lower lr·wd",
    "cifar-resnet18-long-orbits": "ResNet-18, fixed LR, 12,000 steps",
    "cifar-resnet18-fast-orbits": "ResNet-18, fixed LR, higher lr·wd",
    "cifar-resnet18-orbits-elr": "ResNet-18, fixed ELR",
    "cifar-preact-orbits": "pre-activation ResNet-18, half as wide, fixed LR",
    "cifar-resnet18-narrow-orbits": "ResNet-18, half as wide, fixed LR",
    "cifar-convnet-orbits": "ConvNet, fixed LR",
    "cifar-convnet-long-orbits": "ConvNet, fixed LR, 14,000 steps",
}
#: Panels in a row of the figure.
COLUMNS = 3
#: Those that have been run.
NAMES = tuple(name for name in GRIDS if (SUMMARIES / f"{name}.json").exists())


def orbits(stored):
    """What is equal along an orbit, what changes, S/R along it less its mean: of the runs that count.

    At fixed LR lr·wd and log(lr/wd)/2, at fixed ELR the effective rate and -log wd: theory is a slope of 1 for both.
    """
    data = usable(stored)
    decay, fixed_lr = data["weight_decay"].values, "fixed-lr" in stored.toml
    rate = data["lr" if fixed_lr else "effective_lr"].values
    held, across = (rate * decay, np.log(rate / decay) / 2) if fixed_lr else (rate, -np.log(decay))
    orbit, entropy = levels(np.log(held)), data["entropy"].values / (directions(data) / 2)
    middle = [np.array([x[orbit == one].mean() for one in orbit]) for x in (across, entropy)]
    return held, across - middle[0], entropy - middle[1]


def maxwell_forms(stored):
    """The Maxwell relation over theory by orbits, spline and quadratic: each with its interval, or nothing."""
    one = find(stored.verdicts, "V3", "")
    forms = [vars(one), *one.other_forms]
    for words in ("with equal", "any function", "quadratic"):
        form = next(form for form in forms if words in form["title"])
        numbers = [form[key] for key in ("measured", "low", "high")]
        value, low, high = ((np.nan if x is None else x) / one.theory for x in numbers)
        yield f"{value:.3f} ± {abs(high - low) / 2:.3f}" if np.isfinite(low) else "–"


def relations(found):
    """The relation in every grid, and how far apart the runs of an orbit are."""
    head = ["network", "V3 by orbits", "verdict", "runs", "lr·wd, or effective lr", "directions"]
    head += ["predicted S/R along an orbit spans", "scatter of S/R per run", "V3 by spline", "V3 by quadratic"]
    rows = []
    for name, stored in found.items():
        held, across, entropy = orbits(stored)
        verdict = find(stored.verdicts, "V3", "").verdict
        rest = entropy - across * (across @ entropy) / (across @ across)
        scatter = np.sqrt(rest @ rest / (len(rest) - levels(np.log(held)).max() - 2))
        by_orbits, *others = maxwell_forms(stored)
        cells = [GRIDS[name], by_orbits, verdict, counts(stored.dataset), span(held, ".3g")]
        cells += [f"{directions(stored.dataset):,}", f"{np.ptp(across):.1f}", f"{scatter:.2f}"]
        rows.append([*cells, *others])
    return table(head, rows)


def states(found):
    """What the runs are like: one line per grid."""
    of = {
        "norm balance": ("balance", ".3f"),
        "norm r": ("norm", ".3g"),
        "tr Σ at unit norm": ("grad_variance_unit", ".3g"),
        "T": ("temperature", ".2g"),
        "mean loss (nat)": ("loss", ".3g"),
        "test accuracy": ("test_accuracy", ".2f"),
        "rotation per step (rad)": ("rotation", ".2f"),
        "independent samples": ("effective_sample_size", ".2g"),
    }
    rows = []
    for name, stored in found.items():
        data = usable(stored).assign(norm=lambda one: np.exp(one["log_radius"]))
        share = span(data["grad_mean_sq_unit"] / data["grad_variance_unit"])
        cells = [span(data[column], form) for column, form in of.values()]
        rows.append([GRIDS[name], *cells, share, f"{stored.more['cifar']['next in time']:.0%}"])
    return table(["network", *of, "\\|∇L\\|²/tr Σ", "neighbours next in time"], rows)


def draw(found):
    """S/R along every orbit with the prediction subtracted: a slope within the margin stays in the wedge."""
    said = {name: find(stored.verdicts, "V3", "") for name, stored in found.items()}
    words = ", ".join(f"{name} in {n}" for name, n in Counter(one.verdict for one in said.values()).items())
    over = span([one.measured / one.theory for one in said.values()], ".3f")
    title = f"Maxwell relation (V3) along symmetry orbits: {over} of theory in {len(said)} grids; {words}"
    rows = -(-len(found) // COLUMNS)
    figure, axes = panels(title, rows=rows, columns=COLUMNS, height=2.9 * rows, sharey=True)
    for axis, (name, stored) in zip(axes, found.items(), strict=True):
        held, across, entropy = orbits(stored)
        orbit = "lr·wd" if "fixed-lr" in stored.toml else "effective lr"
        ends = np.array([across.min(), across.max()]) * 1.1
        axis.fill_between(ends, -0.05 * ends, 0.05 * ends, color=FAINT, lw=0, label="slope within 5 %")
        for value, ink, marker in zip(np.unique(held.round(6)), INKS, (*MARKERS, "v"), strict=False):
            one = np.isclose(held, value, rtol=1e-3)
            axis.plot(across[one], (entropy - across)[one], marker, ms=4.5, color=ink, label=f"{orbit} {value:.3g}")
        network, _, what = GRIDS[name].partition(", ")
        axis.set_title(f"{network}\n{what}\n{shown(said[name])}\n{said[name].verdict}", fontsize=8)
        axis.legend(fontsize=6, loc="upper center", ncols=2, handlelength=1)
    for axis in axes[len(found) :]:
        axis.set_visible(False)
    figure.supxlabel("predicted $S/R$ − mean of the orbit", fontsize=9)
    figure.supylabel("measured − predicted $S/R$", fontsize=9)
    axes[0].set(ylim=(-0.3, 0.5))
    listed = "; ".join(f"{GRIDS[name]}: {shown(one)}, {one.verdict}" for name, one in said.items())
    alt = "Measured minus predicted entropy along symmetry orbits, with the wedge of a slope within 5 %; "
    alt += "slope over theory"
    save(figure, "cifar-orbits", f"{alt}: {listed}.")


def parts(found):
    """What words/cifar.md asks for."""
    left_out = [
        f"- {GRIDS[name]}: {rate}, weight decay {decay:.3g}: {status}, {reason}"
        for name, stored in found.items()
        for rate, decay, status, reason in zip(
            (f"{x:.3g}" for x in stored.dataset["lr" if "fixed-lr" in stored.toml else "effective_lr"].values),
            *(stored.dataset[column].values for column in ("weight_decay", "status", "reason")),
            strict=True,
        )
        if status != "ok"
    ]
    notes = [f"- {GRIDS[name]}: {note}" for name, stored in found.items() for note in stored.notes]
    first, conv = (usable(found[f"cifar-{name}-orbits"]) for name in ("resnet18-fast", "convnet"))

    def known(name, form):
        """The error of the norm balance that is known worst."""
        return f"{float(found[name].dataset['balance_error'].max()):{form}}"

    fits = [fit for fit in published()["networks"]["fits"] if fit["data"] == "CIFAR-10"]
    mixture = next(note for note in found["cifar-resnet18-fast-orbits"].notes if note.startswith("mixture of"))
    return {
        "relations": relations(found),
        "published": table(
            ["network", "protocol", "slope over theory (1)", "largest error over the grid"],
            [(fit["network"], fit["protocol"], *beside(fit)) for fit in fits],
        ),
        "states": folded("What the runs are like, smallest to largest", states(found)),
        "verdicts": folded("Every claim on every grid", verdict_table(found, GRIDS)),
        "notes": folded("Runs left out, and what else was noted", [*left_out, *notes]),
        "accuracy": span(first["test_accuracy"], ".2f"),
        "accuracy_conv": span(conv["test_accuracy"], ".2f"),
        "path": f"{float(first['path_entropy'].mean()):.0%}",
        "gradient": span(first["grad_mean_sq_unit"] / first["grad_variance_unit"], ".2f"),
        "fast_runs": str(usable(found["cifar-resnet18-fast-orbits"]).sizes["run"]),
        "drifting_fast": str(number_of(found["cifar-resnet18-fast-orbits"], "not stationary")),
        "balance_error_fast": known("cifar-resnet18-fast-orbits", ".3f"),
        "preact_runs": str(usable(found["cifar-preact-orbits"]).sizes["run"]),
        "drifting_conv": str(number_of(found["cifar-convnet-orbits"], "not stationary")),
        "drifting_conv_long": str(number_of(found["cifar-convnet-long-orbits"], "not stationary")),
        "drifting_long": str(number_of(found["cifar-resnet18-long-orbits"], "not stationary")),
        "drifting_elr": str(number_of(found["cifar-resnet18-orbits-elr"], "not stationary")),
        "diverged_elr": str(number_of(found["cifar-resnet18-orbits-elr"], "diverged")),
        "balance_error": known("cifar-resnet18-orbits", ".2f"),
        "balance_error_long": known("cifar-resnet18-long-orbits", ".3f"),
        "temperatures": re.search(r"ranges from ([\d.]+) .* to ([\d.]+) ", mixture).expand(r"\1 to \2"),
    }
