"""Write docs/results/isotropic.md and its figures: ``make results-isotropic``.

Experiments whose results are not in the folder of runs yet are run first (a quarter of an hour on one core in all).
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from paper import ISOTROPIC, excess, isotropic_rows, published, straight_lines, with_steps
from tables import EXPERIMENTS, asked, save, shown, svg_style, table, write

import empirics
from empirics.claims import tables_of
from empirics.claims.curves import Curves
from empirics.claims.fits import Estimate, fit, mean_of
from empirics.claims.state import StateVariables, finite_step_factor
from empirics.claims.table import Table
from empirics.isotropic import processes
from thermo_theory import FixedELR, FixedLR, derive, vmf

DIMENSIONS = {"paper": 3, "20": 20, "200": 200, "1000": 1000, "43692": 43692}
#: Noise that breaks one assumption.
BROKEN = ("anisotropic", "axis", "inhomogeneous", "heavy-tailed")
INK = ("#0b62ab", "#c2410c", "#0f766e", "#7c3aed", "#525252")

#: What a section gives to the page: lines, or words, by the name that they have in its text.
Parts = dict[str, list[str] | str]


class Runs:
    """The results of the experiments, run where they are missing."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._loaded = folder, {}

    def __call__(self, name: str) -> empirics.Runs:
        """All runs of an experiment."""
        if name not in self._loaded:
            file = EXPERIMENTS / f"isotropic-{name}.toml"
            self._loaded[name] = empirics.run(file, self.folder / f"isotropic-{name}")
        return self._loaded[name]

    def at(self, name: str, protocol: str = "fixed-lr") -> xr.Dataset:
        """Runs of one protocol that settled."""
        data = self(name).dataset
        chosen = (data["protocol"].values == protocol) & (data["status"].values == "ok")
        return data.isel(run=np.flatnonzero(chosen)).assign_attrs(protocol=protocol)


# ---------------------------------------------------------------------------------------------------- the paper's table
def paper(runs: Runs) -> Parts:
    """Straight lines at d = 3 beside the paper's."""
    lines = {}
    for judged, _ in tables_of(runs("paper"), ()):
        lines |= straight_lines(judged, judged.data.attrs["protocol"])
    model = published()["isotropic"]
    above_rate, above_decay = excess(model)
    moved = f"{with_steps(model['model']['grid'])[1]:.4f}"
    rows = table(ISOTROPIC, isotropic_rows(model, lines))
    return {"paper": rows, "moved": moved, "above_rate": above_rate, "above_decay": above_decay}


# ------------------------------------------------------------------------------------------------------------ verdicts
def verdicts(runs: Runs) -> Parts:
    """Every claim at every dimension."""
    columns = {name: list(empirics.compare(runs(name))) for name in DIMENSIONS}
    keys = [(one.claim, one.title, one.protocol, one.kind, one.theory) for one in columns["paper"]]
    rows = []
    for claim, title, protocol, kind, theory in keys:
        found = [
            next(o for o in rows_ if (o.claim, o.title, o.protocol) == (claim, title, protocol))
            for rows_ in columns.values()
        ]
        if not np.isfinite([one.measured for one in found]).any():
            continue
        cells = [f"{interval(one)}{mark(one)}" for one in found]
        rows.append([claim, title, protocol, kind, f"{theory:g}", *cells])
    head = ["", "claim", "protocol", "kind", "theory", *(f"d = {d:,}" for d in DIMENSIONS.values())]
    count = sum(one.verdict == "agrees" for column in columns.values() for one in column)
    total = sum(np.isfinite(one.measured) for column in columns.values() for one in column)
    return {"verdicts": table(head, rows), "agree": f"{count}", "numbers": f"{total}"}


def interval(one: empirics.claims.Verdict) -> str:
    """What was measured, with half its interval."""
    return shown(Estimate(one.measured, one.low, one.high), 4)


def mark(one: empirics.claims.Verdict) -> str:
    """A word where a verdict is not "agrees"."""
    return "" if one.verdict == "agrees" else f" **{one.verdict}**"


# --------------------------------------------------------------------------------------------------- adiabatic index
def adiabatic(runs: Runs) -> Parts:
    """Gamma from the measured heat capacity against the exact one."""
    figure, axis = plt.subplots(figsize=(7, 4.2))
    rows = []
    for ink, (name, d) in zip(INK, DIMENSIONS.items(), strict=True):
        data = runs.at(name, "fixed-elr")
        judged = Table.of(data)
        state = StateVariables.of(judged)
        curves = Curves.over(state.temperature, state.along)
        at = np.linspace(*np.quantile(np.log(state.temperature), [0.08, 0.92]), 12)
        _, slope = curves.energy(state.values(judged, "loss"), np.arange(len(state.along)), at)
        heat = np.exp(at)
        measured = 1 + (d - 1) / 2 * heat / slope
        exact = vmf.adiabatic_index(d=d, T=heat)
        axis.plot(heat * d / 2, measured, "o", color=ink, label=f"d = {d:,}", markersize=5)
        fine = np.geomspace(heat[0], heat[-1], 200)
        axis.plot(fine * d / 2, vmf.adiabatic_index(d=d, T=fine), color=ink)
        off = mean_of(measured / exact)
        rows.append([f"{d:,}", f"{heat[0]:.2g} to {heat[-1]:.2g}", f"{exact[0]:.3f} to {exact[-1]:.3f}", shown(off, 4)])
    axis.set(xscale="log", xlabel="T d/2", ylabel="adiabatic index γ")
    axis.axhline(2, color="#999", linewidth=0.8)
    axis.legend(frameon=False)
    save(figure, "isotropic-gamma")
    return {"adiabatic": table(["d", "T", "exact γ", "measured over exact (mean of 12 temperatures)"], rows)}


# ------------------------------------------------------------------------------------------------------ finite steps
def finite_steps(runs: Runs) -> Parts:
    """Size of the corrections of first order in the step."""
    rows = []
    for name in ("paper", "20"):
        d = DIMENSIONS[name]
        held, free = runs.at(name, "fixed-elr"), runs.at(name)
        rate = held["effective_lr"].values
        noise = FixedELR.temperature(eta_eff=rate, sigma=np.sqrt(held["grad_variance_unit"].values / (d - 1)))
        sampled = noise * finite_step_factor(rate, held["laplacian"].values / (d - 1))
        turn = rate * (d - 1) * noise
        small = vmf.energy(d=d, T=noise)
        larger = vmf.energy(d=d, T=sampled) / small - 1
        rows.append([f"{d}", "U at fixed ELR", *_shares(rate, held["loss"].values / small - 1, larger, turn)])
        flat = (d - 1) / 2 * noise / held["weight_decay"].values
        wider = held["radius_sq"].values / 2 / flat - 1
        rows.append([f"{d}", "V at fixed ELR", *_shares(rate, wider, sampled / noise - 1, turn)])
        rates = {"eta": free["lr"].values, "lam": free["weight_decay"].values, "d": d}
        rates["sigma"] = np.sqrt(free["grad_variance_unit"].values / (d - 1))
        flat = FixedLR.radius(**rates) ** 2 / 2
        step = derive("finite-step", FixedLR).claim(**rates, h=np.maximum(free["laplacian"].values / (d - 1), 1e-9))
        wider, turn = free["radius_sq"].values / 2 / flat - 1, rates["eta"] * rates["lam"]
        effective = free["lr"].values / free["radius_sq"].values
        rows.append([f"{d}", "p V at fixed LR", *_shares(effective, wider, step / flat - 1, turn)])
    head = ["d", "of", "largest effective lr", "largest predicted", "measured on predicted", "beside it"]
    return {"finite_steps": table(head, rows)}


def _shares(rate: np.ndarray, measured: np.ndarray, predicted: np.ndarray, turn: np.ndarray) -> list[str]:
    """How large the step and its correction get, and what the deviations have of it and of the squared angle."""
    found = [fit(np.c_[predicted, turn], measured, weights) for weights in ([1, 0], [0, 1])]
    return [f"{rate.max():.3f}", f"{predicted[np.abs(predicted).argmax()]:.2%}", *(shown(one, 2) for one in found)]


# --------------------------------------------------------------------------------------------------------- far starts
def starts(runs: Runs) -> Parts:
    """V0: the way of the radius."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharey=True)
    trace = runs("starts").tree["trace"].to_dataset()
    for axis, protocol, decay in zip(axes, ("fixed-lr", "fixed-elr"), (0.01, 0.01), strict=True):
        data = runs.at("starts", protocol)
        chosen = np.flatnonzero((trace["protocol"].values == protocol) & (trace["seed"].values == 1))
        rate = "lr" if protocol == "fixed-lr" else "effective_lr"
        middle = np.unique(data[rate].values)[1]
        for i in chosen:
            if trace[rate].values[i] != middle or trace["weight_decay"].values[i] != decay:
                continue
            r, t = np.sqrt(trace["radius_sq"].values[i]), trace["step"].values
            rates = {"lam": decay, "sigma": 1.0, "d": 50} | ({"eta": middle} if rate == "lr" else {"eta_eff": middle})
            law = FixedLR if protocol == "fixed-lr" else FixedELR
            fine = np.arange(0.0, t[-1], 25.0)
            axis.plot(t, r, "o", markersize=2.5, color=INK[0])
            axis.plot(fine, law.trajectory(t=fine, r0=r[0], **rates), color="black", linewidth=0.9)
        axis.set(xlim=(-500, 30000), yscale="log", xlabel="step", title=f"{protocol}, d = 50")
    axes[0].set_ylabel("norm r of the weights")
    found = [one for one in empirics.compare(runs("starts")) if one.claim == "V0"]
    rows = [[one.protocol, interval(one), one.verdict] for one in found]
    save(figure, "isotropic-starts")
    return {"starts": table(["protocol", "ratio (theory 1)", "verdict"], rows)}


# ---------------------------------------------------------------------------------------------------------- processes
def ramps() -> Parts:
    """Entropy along processes, and what is produced."""
    d, points, start = 200, 201, {"lr": 0.02, "weight_decay": 0.05}
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    rows = []
    for ink, name in zip(INK, processes.PATHS, strict=False):
        route = processes.path(name, **start, factor=4, points=points, dimension=d)
        predicted = processes.stationary_entropy(route, dimension=d)
        for steps in (10, 50, 500):
            out = processes.follow(route, dimension=d, steps=steps)
            gained = float(out["entropy"][-1] - out["entropy"][0])
            error = float(np.hypot(out["entropy_error"][-1], out["entropy_error"][0]))
            made = float(out["entropy_produced"][-1])
            gain = f"{predicted[-1] - predicted[0]:.2f}", f"{gained:.2f} ± {1.96 * error:.2f}"
            rows.append([name, f"{(points - 1) * steps:,}", *gain, f"{made:.2f}"])
        out_r = np.exp(out["log_radius"].values)
        axes[0].plot(np.log(out_r**2 / 2), np.log(route.weight_decay), color=ink, label=name)
        axes[1].plot(np.log(out["temperature"]), out["entropy"] - out["entropy"][0], color=ink, label=name)
    axes[0].set(xlabel="log V", ylabel="log p", title="pressure and volume, measured")
    axes[1].set(xlabel="log T", ylabel="S − S at the start (nats)", title="temperature and entropy, measured")
    axes[0].legend(frameon=False)
    save(figure, "isotropic-processes")
    lines = table(["process", "steps", "gain predicted", "gain measured", "produced"], rows)
    return {"ramps": lines, "quenches": quenches(d)}


def quenches(d: int) -> list[str]:
    """Sudden drops of the temperature."""
    rows, gas = [], (d - 1) / 2
    for factor in (1.25, 1.5, 2.0, 3.0):
        rate = 0.002
        route = processes.quench(effective_lr=rate * factor, weight_decay=0.05, factor=factor, points=41)
        out = processes.follow(route, dimension=d, steps=400, copies=4096)
        hot, cold = (float(one) for one in FixedELR.temperature(eta_eff=np.array([rate * factor, rate]), sigma=1.0))
        ideal = derive("quench").claim(R=gas, T1=hot, T2=cold)
        # The volume is a second ideal gas: R log V falls as T does, and p V = R T is the heat.
        sampled = [
            t * float(finite_step_factor(np.array([e]), np.array([1.0]))[0])
            for t, e in ((hot, rate * factor), (cold, rate))
        ]
        warm, cool = ({"entropy": vmf.entropy(d=d, T=t), "energy": vmf.energy(d=d, T=t)} for t in sampled)
        directions = cool["entropy"] - warm["entropy"] - (cool["energy"] - warm["energy"]) / cold
        volume = gas * (np.log(sampled[1] / sampled[0]) + (sampled[0] - sampled[1]) / cold)
        made, error = float(out["entropy_produced"][-1]), float(np.hypot(*out["entropy_error"].values[[0, -1]]))
        rows.append(
            [f"{factor:g}", f"{2 * ideal:.2f}", f"{directions + volume:.2f}", f"{made:.2f} ± {1.96 * error:.2f}"]
        )
    return table(["T1/T2", "2 R (x − 1 − log x)", "exact", "produced, measured"], rows)


# ------------------------------------------------------------------------------------------------ volume fluctuations
def volumes(runs: Runs) -> Parts:
    """The volume hardly fluctuates."""
    rows = []
    for name, d in DIMENSIONS.items():
        data = runs.at(name)
        rates, decays = data["lr"].values, data["weight_decay"].values
        gibbs = (d - 1) / 2 * data["temperature"].values ** 2 / decays**2
        ratio = data["radius_sq_variance"].values / 4 / gibbs
        slow = rates * decays < 1e-3
        rows.append([f"{d:,}", shown(mean_of((ratio / (rates * decays / 2))[slow]), 3), f"{np.median(ratio):.1e}"])
    equation = derive("volume-fluctuations").claim.equation
    lines = table(["d", "Var V over (ηλ/2) R T²/p² (theory 1)", "Var V over Gibbs', median"], rows)
    return {"volumes": lines, "fluctuation": f"{equation.lhs} = {equation.rhs}"}


# ------------------------------------------------------------------------------------------------ what breaks, and how
def broken(runs: Runs) -> Parts:
    """Noise that breaks one assumption."""
    found = {name: list(empirics.compare(runs(name))) for name in BROKEN}
    rows = []
    for i, one in enumerate(found[BROKEN[0]]):
        if not any(np.isfinite(found[name][i].measured) for name in BROKEN):
            continue
        cells = [f"{interval(found[name][i])}{mark(found[name][i])}" for name in BROKEN]
        rows.append([one.claim, one.title, one.kind, f"{one.theory:g}", *cells])
    warm = runs.at("inhomogeneous")
    judged = Table.of(warm)
    state = StateVariables.of(judged)
    energy, spread = state.values(judged, "loss"), state.values(judged, "loss_variance")
    ratio = float(np.mean(1 - 10 * spread / ((1 + 10 * energy) * (1 - energy))))
    return {"broken": table(["", "claim", "kind", "theory", *BROKEN], rows), "ratio": f"{ratio:.4f}"}


# --------------------------------------------------------------------------------------------------- other optimisers
def optimisers(runs: Runs) -> Parts:
    """Momentum, Nesterov, AdamW, Adam with L2."""
    rows = []
    for name in ("momentum", "nesterov", "adamw", "adam-l2"):
        data = runs.at(name)
        d, protocol = data.attrs["dimension"], FixedLR.with_optimizer(name)
        rates = {"eta": data["lr"].values, "lam": data["weight_decay"].values, "d": d}
        if name in ("momentum", "nesterov"):
            rates["beta"] = 0.9
        sigma = float(np.sqrt(data["grad_variance_unit"].values / (d - 1)).mean())
        radius, heat = (
            formula(**{k: v for k, v in (rates | {"sigma": sigma}).items() if k in formula.arguments})
            for formula in (protocol.radius, protocol.temperature)
        )
        slow = rates["eta"] * rates["lam"] < 1e-4
        u, v = np.log(rates["eta"]), np.log(rates["lam"])
        plane, entropy = np.c_[np.ones_like(u), u, v], data["entropy"].values / ((d - 1) / 2)
        slopes = [fit(plane, entropy, w) for w in ([0, 1, 0], [0, 0, 1])]
        weight = 2 if name == "adam-l2" else 1
        exact = fit(plane, entropy, [0, 1, -weight])
        rows.append(
            [
                name,
                f"{d}",
                shown(mean_of((np.sqrt(data["radius_sq"].values) / radius)[slow]), 3),
                shown(mean_of((data["loss"].values / vmf.energy(d=d, T=heat))[slow]), 3),
                shown(slopes[0], 3),
                shown(slopes[1], 3),
                f"{shown(exact, 4)} ({1 if name in ('momentum', 'nesterov') else 2})",
            ]
        )
    head = ["optimiser", "d", "r over formula", "U over the gas at the formula's T", "slope of S/R in log η"]
    return {"optimisers": table([*head, "in log λ", "symmetry (theory)"], rows)}


def main() -> None:
    """Write the page."""
    runs = Runs(asked().runs)
    svg_style("isotropic")
    parts = ramps()
    for section in (paper, verdicts, adiabatic, finite_steps, starts, volumes, broken, optimisers):
        parts |= section(runs)
    write("isotropic", **parts)


if __name__ == "__main__":
    main()
