"""Seeds as random effects, and minibatches by epochs against drawing with replacement."""

from dataclasses import replace

import numpy as np
import stored
import torch
from epochs import share_left
from scipy import stats
from stored import EXPERIMENTS
from tables import INK, MUTED, SERIES, find, panels, save, says, shown, table, usable

import empirics
from empirics import Experiment
from empirics.claims import CLAIMS, judge, tables_of
from empirics.claims.fits import Estimate, fit, mean_of
from empirics.data.loading import load
from empirics.training.ensemble import Ensemble
from empirics.training.well import Tangents

LEVELS, DRAWS = 4, 20_000
FACTORS = ("head", "split", "initialisation")
SOFT = {"with replacement": "soft-replacement", "by epochs": "soft-epochs"}
NAMES = ("digits", "digits-seeds", "digits-epochs", *SOFT.values(), "seeds")

#: What is looked at: its name, the claim and its form, the margin.
NUMBERS = {
    "norm balance (V1)": ("V1", "^Norm balance"),
    "slope of log r in log lr (V1)": "lr",
    "slope of log r in log wd (V1)": "wd",
    "their difference (V1)": ("V1", "^Slope of log r"),
    "radius formula (V1)": ("V1", "^Radius formula"),
    "Maxwell relation (V3)": ("V3", "^Maxwell"),
}
#: Within this of 1 a mean of variances over those predicted agrees: written before the runs, in their files.
MARGIN = 0.1


# --------------------------------------------------------------------------------------- seeds as random effects
def variants():
    """The Latin square: levels of head, split and initialisation, and the experiment made from digits-seeds.toml."""
    base = Experiment.from_file(EXPERIMENTS / "digits-seeds.toml")
    for head in range(LEVELS):
        for split in range(LEVELS):
            start = (head + split) % LEVELS
            name = f"digits-seeds-{head}-{split}" if head or split else "digits-seeds"
            data, model = replace(base.data, test_seed=split), replace(base.model, head_seed=head)
            yield (head, split, start), replace(base, name=name, seeds=(start + 1,), data=data, model=model)


def study(folder):
    """Train the sixteen grids, and keep of each the numbers with their intervals."""
    rows = [row_of(levels, empirics.run(one, folder / one.name)) for levels, one in variants()]
    stored.record_study("seeds", {"rows": rows}, [__file__, EXPERIMENTS / "digits-seeds.toml"])


def row_of(levels, runs):
    """What is kept of a grid: of every number its value, interval and verdict."""
    ((judged, claims),) = tables_of(runs, [claim for claim in CLAIMS if claim.name in ("V1", "V3")])
    verdicts, data = [one for claim in claims for one in claim.verdicts(judged)], usable(runs)
    rate, decay = np.log(data["lr"].values), np.log(data["weight_decay"].values)
    plane, slopes = np.c_[np.ones_like(rate), rate, decay], {"lr": [0, 1, 0], "wd": [0, 0, 1]}
    row = {"levels": levels, "ok": len(rate)}
    for name, form in NUMBERS.items():
        if isinstance(form, str):
            one = fit(plane, data["log_radius"].values, slopes[form])
            row[name] = [one.value, one.low, one.high]
        else:
            one = find(verdicts, *form)
            row[name] = [one.measured, one.low, one.high, one.verdict]
    return row


def components(rows, name):
    """Standard deviations of a number between levels of each factor and of the rest, with 95 % intervals.

    Analysis of variance of a Latin square; the interval of a component is Weerahandi's generalised one, cut at 0.
    """
    values, levels = np.array([row[name][0] for row in rows]), np.array([row["levels"] for row in rows])
    centred = values - values.mean()
    squares = [
        LEVELS * sum(centred[levels[:, k] == level].mean() ** 2 for level in range(LEVELS)) for k in range(len(FACTORS))
    ]
    rest, freedom = centred @ centred - sum(squares), (LEVELS - 1) * (LEVELS - 2)
    rng = np.random.default_rng(0)
    of_rest = rest / rng.chisquare(freedom, DRAWS)
    found = {}
    for factor, square in zip(FACTORS, squares, strict=True):
        drawn = (square / rng.chisquare(LEVELS - 1, DRAWS) - of_rest) / LEVELS
        value = (square / (LEVELS - 1) - rest / freedom) / LEVELS
        found[factor] = _deviation(value, *np.quantile(drawn, [0.025, 0.975]))
    low, high = rest / stats.chi2.ppf([0.975, 0.025], freedom)
    found["rest"] = _deviation(rest / freedom, low, high)
    return found


def _deviation(value, low, high):
    return Estimate(*np.sqrt(np.maximum([value, low, high], 0.0)))


def stated(rows, name):
    """Standard error that the intervals of the grids state, root mean square."""
    halves = [(row[name][2] - row[name][1]) / 2 for row in rows]
    return float(np.sqrt(np.mean(np.square(halves))) / stats.norm.ppf(0.975))


def effects(found):
    """The table of components, and numbers for the text."""
    rows = found["seeds"].more["seeds"]["rows"]
    head = ["number", "mean of 16 grids", *FACTORS, "rest", "standard error stated by one grid", "agrees"]
    lines, parts = [], {"runs": f"{sum(row['ok'] for row in rows)} of {len(rows) * 49}"}
    for name in NUMBERS:
        of, error = components(rows, name), stated(rows, name)
        mean = mean_of(np.array([row[name][0] for row in rows]))
        agreeing = [row[name][3] for row in rows if len(row[name]) > 3]
        cells = [f"{one.value:.4f} ({one.low:.4f} to {one.high:.4f})" for one in of.values()]
        count = f"{agreeing.count('agrees')} of {len(agreeing)}" if agreeing else "–"
        lines.append([name, shown(mean, 4), *cells, f"{error:.4f}", count])
        key = name.split(" (")[0].replace(" ", "_")
        parts |= {f"{key}_{factor}": f"{one.value:.4f}" for factor, one in of.items()}
        parts |= {f"{key}_high": f"{max(of[factor].high for factor in FACTORS):.3f}", f"{key}_mean": shown(mean, 4)}
        parts |= {f"{key}_ratio": f"{of['rest'].value / error:.2f}", f"{key}_count": count}
    return parts | {"components": table([*head[:-1], "grids that agree"], lines)}


# --------------------------------------------------------------------------------------- with and without replacement
def same_rates(found, name):
    """Mean over runs of a number by epochs over that with replacement, at the same rates."""
    plain, epochs = (usable(found[one]).sortby(["lr", "weight_decay"]) for one in ("digits", "digits-epochs"))
    keys = [
        list(zip(one["lr"].values.tolist(), one["weight_decay"].values.tolist(), strict=True))
        for one in (plain, epochs)
    ]
    both = set(keys[0]) & set(keys[1])
    values = [one[name].values[[key in both for key in of]] for one, of in zip((plain, epochs), keys, strict=True)]
    return mean_of(values[1] / values[0])


def practice(found):
    """The digits grid by epochs over that with replacement."""
    names = {"radius_sq": "r²", "temperature": "temperature of the noise", "grad_variance_unit": "tr Σ at unit norm"}
    names |= {"loss": "loss of a step", "rotation": "rotation per step"}
    ratios = {name: same_rates(found, name) for name in names}
    lines = [[words, shown(ratios[name])] for name, words in names.items()]
    parts = {f"practice_{name}": shown(one) for name, one in ratios.items()}
    return parts | {"practice": table(["number", "by epochs / with replacement"], lines)}


def reduce(runs):
    """Of the units: curvature times learning rate of every mode, its variance, and what H and Sigma give for it."""
    if runs.experiment.name not in SOFT.values():
        return {}
    experiment, data, rows = runs.experiment, runs.dataset, []
    ensemble = Ensemble(experiment, experiment.runs, load(experiment.data))
    whole, reach = ensemble.whole.double(), experiment.measure.hessian_reach
    kept = runs.tree["snapshots"]["weights"].values.astype(float)
    samples, batch = len(ensemble.feeds.samples), experiment.training.batch_size
    for i in np.flatnonzero(data["status"].values == "ok"):
        at = Tangents.of(kept[i], ensemble.model.blocks)
        weights, squared, basis = torch.from_numpy(at.weights), float(at.weights @ at.weights), at.basis()
        along = torch.from_numpy(basis)
        hessian = squared * (whole.hessian_times(weights, along.T.contiguous(), reach) @ along).numpy()
        curvatures, modes = np.linalg.eigh((hessian + hessian.T) / 2)
        noise = np.diag(modes.T @ (squared / batch * whole.covariance(weights, along).numpy()) @ modes)
        rate = float(data["lr"][i] / data["radius_sq"][i])
        moved = rate * curvatures
        independent = rate**2 * noise / (2 * moved - moved**2)
        left = np.array([share_left(a, a, samples // batch, samples) for a in moved])
        expected = torch.from_numpy(kept[i] * np.sqrt(squared) / np.linalg.norm(kept[i], axis=1, keepdims=True))
        rows.append(
            {
                "lr": float(data["lr"][i]),
                "moved": moved,
                "variance": ((at.snapshots @ basis) @ modes).var(0),
                "independent": independent,
                "epochs": independent * left,
                "loss": float(torch.cat([whole.losses(some) for some in expected.split(50)]).mean()),
                "bottom": float(whole.losses(weights[None])[0]),
                "of steps": float(data["loss"][i]),
            }
        )
    return {"steps": samples // batch, "runs": rows}


def of_modes(stored_runs):
    """Numbers of the modes of all runs, shape (run, mode) each, and the steps of an epoch."""
    kept = stored_runs.more["seeds"]
    return {key: np.array([run[key] for run in kept["runs"]]) for key in kept["runs"][0]} | {"steps": kept["steps"]}


def soft(found):
    """Variances along soft and stiff modes over those predicted."""
    of = {words: of_modes(found[name]) for words, name in SOFT.items()}
    plain, epochs = of.values()
    parts, lines = {}, []
    judged = {
        "with_replacement": (plain, "independent"),
        "epochs": (epochs, "epochs"),
        "wrong": (epochs, "independent"),
    }
    for key, (one, law) in judged.items():
        mean = mean_of((one["variance"] / one[law]).mean(1))
        verdict = judge(1.0, mean.low, mean.high, MARGIN)[0]
        parts |= {f"{key}_ratio": shown(mean), f"{key}_verdict": verdict}
    # Looked at after the runs: without the softest mode, which is no well at the mean direction of most runs.
    for key, (one, law) in judged.items():
        mean = mean_of((one["variance"] / one[law])[:, 1:].mean(1))
        parts |= {f"{key}_others": shown(mean), f"{key}_others_verdict": judge(1.0, mean.low, mean.high, MARGIN)[0]}
    left = epochs["epochs"] / epochs["independent"]
    mean = mean_of((epochs["variance"] / plain["variance"] / left)[:, 1:].mean(1))
    parts |= {"relative": shown(mean), "relative_verdict": judge(1.0, mean.low, mean.high, MARGIN)[0]}
    parts["no_well"] = f"{(np.abs(plain['variance'] / plain['independent'] - 1)[:, 0] > 1).sum()} of {len(plain['lr'])}"
    steps = epochs["steps"]
    for rate in np.unique(plain["lr"]):
        chosen = [one["lr"] == rate for one in (plain, epochs)]
        for words, k in (("softest", 0), ("middle", plain["moved"].shape[1] // 2), ("stiffest", -1)):
            relative = [
                mean_of((one["variance"] / one["independent"])[rows, k])
                for one, rows in zip((plain, epochs), chosen, strict=True)
            ]
            predicted = float((epochs["epochs"] / epochs["independent"])[chosen[1], k].mean())
            moved = float(epochs["moved"][chosen[1], k].mean())
            lines.append(
                [f"{rate:g}", words, f"{moved:.4f}", f"{moved * steps:.2f}", *map(shown, relative), f"{predicted:.3f}"]
            )
    ends = {words: (epochs["variance"] / plain["variance"])[:, k] for words, k in (("softest", 0), ("stiffest", -1))}
    parts |= {f"{words}_share": shown(mean_of(values)) for words, values in ends.items()}
    parts["soft_share"] = shown(mean_of((epochs["variance"] / plain["variance"])[:, 1:4].mean(1)))
    above = [one["loss"] - one["bottom"] for one in (plain, epochs)]
    parts["above"] = shown(mean_of(above[1] / above[0]))
    parts["above_predicted"] = shown(mean_of(
        (epochs["moved"] * epochs["epochs"]).sum(1) / (epochs["moved"] * epochs["independent"]).sum(1)
    ))  # fmt: skip
    parts["bias"] = shown(mean_of((epochs["of steps"] - epochs["loss"]) / (plain["loss"] - plain["bottom"])))
    parts["steps"] = f"{steps}"
    head = ["lr", "mode", "η_eff h", "times steps per epoch", "variance / independent: with replacement", "by epochs"]
    return parts | {"modes": table([*head, "predicted by epochs"], lines)}


def draw(found):
    """Variances of all modes over those of independent minibatches, over curvature."""
    one = of_modes(found[SOFT["by epochs"]])
    soft_part = mean_of((one["variance"] / one["independent"])[:, 1:4].mean(1))
    title = "By epochs the soft modes fluctuate less than with independent minibatches, as derived\n"
    title += f"three softest modes but one: {shown(soft_part)} of the independent variance"
    figure, (axis,) = panels(title, columns=1, height=3.9)
    for (words, name), ink, marker in zip(SOFT.items(), (MUTED, SERIES[0]), "so", strict=True):
        one = of_modes(found[name])
        x, y = one["moved"] * one["steps"], one["variance"] / one["independent"]
        axis.plot(x.ravel(), y.ravel(), marker, ms=3.5, alpha=0.8, mfc="none", color=ink, label=f"measured, {words}")
    fine = np.geomspace(0.1, 60, 200)
    steps = int(one["steps"])
    law = [share_left(a, a, steps, 8 * steps) for a in fine / steps]
    axis.plot(fine, law, color=SERIES[1], label="predicted, by epochs")
    axis.axhline(1, color=INK, lw=0.8)
    says(axis, "independent", (60, 1), INK, (0, 6), ha="right")
    axis.set(xscale="log", yscale="log", xlabel="curvature × effective learning rate × steps per epoch")
    axis.set(ylabel="variance / that of independent minibatches")
    axis.legend(loc="lower right")
    alt = "Variance along the modes of the Hessian over that of independent minibatches, against "
    alt += "curvature. By epochs the "
    save(figure, "seeds-epochs", f"{alt}soft modes have {shown(soft_part)} of it, on the predicted curve.")


def parts(found):
    """What words/seeds.md asks for."""
    return effects(found) | practice(found) | soft(found)
