"""The isotropic gas: every claim at five dimensions, processes, noise and optimisers that break an assumption."""

import homogeneous_gas
import isotropic_processes
import numpy as np
import stored
from paper import ISOTROPIC, excess, isotropic_rows, published, straight_lines, with_steps
from tables import INK, INKS, MUTED, cell, folded, panels, save, says, shown, span, table

from empirics.claims import judge, tables_of
from empirics.claims.curves import Curves
from empirics.claims.fits import fit, mean_of
from empirics.claims.state import StateVariables, finite_step_factor
from empirics.claims.table import Table
from thermo_theory import FixedELR, FixedLR, derive, vmf
from thermo_theory.palette import MARKERS

DIMENSIONS = {"paper": 3, "20": 20, "200": 200, "1000": 1000, "43692": 43692}
#: Noise that breaks one assumption.
BROKEN = ("anisotropic", "axis", "inhomogeneous", "heavy-tailed")
#: Optimisers, those first of which a temperature is derived.
HEATED = ("momentum", "nesterov", "adamw", "adam-l2")
OPTIMISERS = (*HEATED, "normalised-sgd", "signsgd")
STUDIES = ("isotropic-processes", "homogeneous-gas")
NAMES = (*(f"isotropic-{name}" for name in (*DIMENSIONS, "starts", *BROKEN, *OPTIMISERS)), *STUDIES)


def study(folder):
    """Simulate what no experiment file describes: processes, and gases of degree k on adiabats."""
    stored.record_study("isotropic-processes", isotropic_processes.measured(), [isotropic_processes.__file__])
    stored.record_study("homogeneous-gas", homogeneous_gas.measured(), [homogeneous_gas.__file__])


def at(one, protocol="fixed-lr"):
    """Runs of one protocol that count."""
    data = one.dataset
    chosen = (data["protocol"].values == protocol) & (data["status"].values == "ok")
    return data.isel(run=np.flatnonzero(chosen)).assign_attrs(protocol=protocol)


# ---------------------------------------------------------------------------------------------------- the paper's table
def paper(gas):
    """Straight lines at d = 3 beside the paper's."""
    lines = {}
    for judged, _ in tables_of(gas["paper"].dataset, ()):
        lines |= straight_lines(judged, judged.data.attrs["protocol"])
    model = published()["isotropic"]
    above_rate, above_decay = excess(model)
    moved = f"{with_steps(model['model']['grid'])[1]:.4f}"
    rows = table(ISOTROPIC, isotropic_rows(model, lines))
    return {"paper": rows, "moved": moved, "above_rate": above_rate, "above_decay": above_decay}


# ------------------------------------------------------------------------------------------------------------ verdicts
def grid_of_verdicts(gas, names, heads):
    """A row for each form of a claim, a column for each experiment."""
    columns = [{(one.claim, one.title, one.protocol): one for one in gas[name].verdicts} for name in names]
    rows = []
    for key, first in columns[0].items():
        found = [column[key] for column in columns if key in column]
        if np.isfinite([one.measured for one in found]).any():
            cells = [cell(column.get(key), theory=first.theory) for column in columns]
            rows.append([*key, first.kind, f"{first.theory:g}", *cells])
    return table(["", "claim", "protocol", "kind", "theory", *heads], rows)


def verdicts(gas):
    """Every claim at every dimension."""
    of = [one for name in DIMENSIONS for one in gas[name].verdicts if np.isfinite(one.measured)]
    other = [one for one in of if one.verdict != "agrees"]
    listed = "; ".join(f"{one.claim}, {one.title} ({one.protocol}): {one.reason}" for one in other)
    lines = grid_of_verdicts(gas, DIMENSIONS, [f"d = {d:,}" for d in DIMENSIONS.values()])
    return {
        "verdicts": folded("Every claim at every dimension", lines),
        "agree": f"{len(of) - len(other)}",
        "numbers": f"{len(of)}",
        "others": listed or "none",
    }


# --------------------------------------------------------------------------------------------------- adiabatic index
def indices(data, d):
    """Temperatures, and there gamma from the measured dU/dT at fixed ELR, and the exact one."""
    judged = Table.of(data)
    state = StateVariables.of(judged)
    curves = Curves.over(state.temperature, state.along)
    points = np.linspace(*np.quantile(np.log(state.temperature), [0.08, 0.92]), 12)
    _, slope = curves.energy(state.values(judged, "loss"), np.arange(len(state.along)), points)
    heat = np.exp(points)
    return heat, 1 + (d - 1) / 2 * heat / slope, vmf.adiabatic_index(d=d, T=heat)


def adiabatic(gas):
    """Gamma from the measured heat capacity against the exact one."""
    rows = []
    for name, d in DIMENSIONS.items():
        heat, measured, exact = indices(at(gas[name], "fixed-elr"), d)
        off = shown(mean_of(measured / exact), 4)
        rows.append([f"{d:,}", f"{heat[0]:.2g} to {heat[-1]:.2g}", f"{exact[0]:.3f} to {exact[-1]:.3f}", off])
    head = ["d", "T", "exact γ", "measured / exact (mean of 12 temperatures)"]
    return {"adiabatic": table(head, rows), "worst_gamma": max((row[3] for row in rows), key=_apart)}


def _apart(value):
    return abs(float(value.split()[0]) - 1)


def draw_adiabatic(gas):
    """Gamma over temperature."""
    found = {d: indices(at(gas[name], "fixed-elr"), d) for name, d in DIMENSIONS.items()}
    worst = max(np.abs(measured / exact - 1).max() for _, measured, exact in found.values())
    highest = max(measured.max() for _, measured, _ in found.values())
    title = f"The adiabatic index is 2 at low temperature only; measured within {worst:.1%} of theory"
    figure, (axis,) = panels(title, columns=1, height=3.7)
    for (d, (heat, measured, _)), ink, marker in zip(found.items(), INKS, (*MARKERS, "v"), strict=True):
        axis.plot(heat * d / 2, measured, marker, color=ink, label=f"d = {d:,}", markersize=5, mfc="none")
        fine = np.geomspace(heat[0], heat[-1], 100)
        axis.plot(fine * d / 2, vmf.adiabatic_index(d=d, T=fine), color=ink, lw=1)
    axis.set(xscale="log", xlabel="temperature per direction, $T\\,d/2$")
    axis.set(ylabel="adiabatic index $\\gamma = 1 + R/C_V$")
    axis.axhline(2, color=MUTED, lw=0.8)
    axis.set_ylim(bottom=1.9)
    says(axis, "low-temperature limit, γ = 2", (1, 2), MUTED, (-4, -7), ha="right", xycoords=axis.get_yaxis_transform())
    axis.legend(title="dots: measured; lines: exact;\nfrom d = 200 on they coincide", alignment="left")
    alt = f"Adiabatic index against T d/2 for d = {span(list(found), ',')}: measured dots within {worst:.1%} of the "
    save(figure, "isotropic-gamma", f"{alt}exact lines, 2 at low temperature and up to {highest:.2f}.")


# ------------------------------------------------------------------------------------------------------ finite steps
def finite_steps(gas):
    """Size of the corrections of first order in the step."""
    rows = []
    for name in ("paper", "20"):
        d = DIMENSIONS[name]
        held, free = at(gas[name], "fixed-elr"), at(gas[name])
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
    head = ["d", "of", "largest effective learning rate", "largest predicted", "measured / predicted", "beside it"]
    return {"finite_steps": table(head, rows)}


def _shares(rate, measured, predicted, turn):
    """How large the step and its correction get, and what the deviations have of it and of the squared angle."""
    found = [fit(np.c_[predicted, turn], measured, weights) for weights in ([1, 0], [0, 1])]
    return [f"{rate.max():.3f}", f"{predicted[np.abs(predicted).argmax()]:.2%}", *(shown(one, 2) for one in found)]


# --------------------------------------------------------------------------------------------------------- far starts
def reduce(runs):
    """Of the far starts: norms over time at the middle rate and weight decay 0.01, seed 1."""
    if runs.experiment.name != "isotropic-starts":
        return {}
    trace, curves = runs.tree["trace"].to_dataset(), {}
    status = runs.dataset["status"].values
    for protocol, rate in (("fixed-lr", "lr"), ("fixed-elr", "effective_lr")):
        of = (trace["protocol"].values == protocol) & (trace["seed"].values == 1) & (status == "ok")
        of &= trace["weight_decay"].values == 0.01
        of &= trace[rate].values == np.unique(trace[rate].values[of])[1]
        chosen = np.flatnonzero(of)
        steps, early = trace["step"].values, trace["step"].values < 30_000
        norms = np.sqrt(trace["radius_sq"].values[chosen][:, early])
        curves[protocol] = {"rate": trace[rate].values[chosen[0]], "step": steps[early], "norms": norms}
    return curves


def starts(gas):
    """V0: relaxation of the radius."""
    found = [one for one in gas["starts"].verdicts if one.claim == "V0"]
    return {"starts": table(["protocol", "ratio (theory 1)"], [[one.protocol, cell(one)] for one in found])}


def draw_starts(gas):
    """Norms of single runs, and the derived trajectories."""
    ratio = [one for one in gas["starts"].verdicts if one.claim == "V0" and np.isfinite(one.measured)]
    numbers = " and ".join(f"{shown(one)} ({one.protocol})" for one in ratio)
    title = f"From any start the norm relaxes as derived\narea under log(r/r*), measured / predicted: {numbers}"
    figure, axes = panels(title, sharey=True)
    for axis, (protocol, of) in zip(axes, gas["starts"].more["isotropic"].items(), strict=True):
        rate = {"eta": of["rate"]} if protocol == "fixed-lr" else {"eta_eff": of["rate"]}
        law, step = FixedLR if protocol == "fixed-lr" else FixedELR, np.array(of["step"], dtype=float)
        seen = np.unique(np.searchsorted(step, np.linspace(0, step[-1], 25)))
        for norms in of["norms"]:
            path = law.trajectory(
                t=(fine := np.linspace(0, step[-1], 200)), r0=norms[0], lam=0.01, sigma=1.0, d=50, **rate
            )
            axis.plot(fine, path, color=INK, lw=0.9)
            axis.plot(step[seen], np.array(norms)[seen], "o", markersize=3, color=INKS[0])
            says(axis, f"{norms[0]:.2g}", (0, norms[0]), INKS[0], (-5, 0), ha="right")
        axis.set(xlim=(-4000, step[-1]), yscale="log", xlabel="step")
        axis.set_title(f"{protocol.replace('-lr', ' LR').replace('-elr', ' ELR')}, d = 50")
    says(
        axes[0], "dots: single runs, with r(0)\nlines: derived", (0.98, 0.92), INK, ha="right", xycoords="axes fraction"
    )
    axes[0].set_ylabel("norm of the weights $r$")
    alt = "Norms of single runs over the steps on the derived trajectories, from starts at "
    starts = [norms[0] for norms in gas["starts"].more["isotropic"]["fixed-lr"]["norms"]]
    save(figure, "isotropic-starts", f"{alt}{span(starts)}. Area under the relaxation over theory: {numbers}.")


# ------------------------------------------------------------------------------------------------ volume fluctuations
def volumes(gas):
    """The volume hardly fluctuates."""
    rows = []
    for name, d in DIMENSIONS.items():
        data = at(gas[name])
        rates, decays = data["lr"].values, data["weight_decay"].values
        gibbs = (d - 1) / 2 * data["temperature"].values ** 2 / decays**2
        ratio = data["radius_sq_variance"].values / 4 / gibbs
        slow = rates * decays < 1e-3
        rows.append([f"{d:,}", shown(mean_of((ratio / (rates * decays / 2))[slow]), 3), f"{np.median(ratio):.1e}"])
    equation = derive("volume-fluctuations").claim.equation
    lines = table(["d", "Var V over (ηλ/2) R T²/p² (theory 1)", "Var V over Gibbs', median"], rows)
    return {"volumes": lines, "fluctuation": f"{equation.lhs} = {equation.rhs}"}


# ------------------------------------------------------------------------------------------------ what breaks, and how
def broken(gas):
    """Noise that breaks one assumption."""
    warm = at(gas["inhomogeneous"])
    judged = Table.of(warm)
    state = StateVariables.of(judged)
    energy, spread = state.values(judged, "loss"), state.values(judged, "loss_variance")
    ratio = float(np.mean(1 - 10 * spread / ((1 + 10 * energy) * (1 - energy))))
    lines = folded("Every claim under each of the four", grid_of_verdicts(gas, BROKEN, BROKEN))
    return {"broken": lines, "ratio": f"{ratio:.4f}"}


# --------------------------------------------------------------------------------------------------- other optimisers
def degree(name):
    """The degree of a step in the gradient."""
    return 1 if name in ("momentum", "nesterov") else 0


def optimisers(gas):
    """Radius, temperature and slopes of the entropy under other optimisers, fixed LR."""
    rows, parts = [], {}
    for name in OPTIMISERS:
        data = at(gas[name])
        d, law = data.attrs["dimension"], FixedLR.with_optimizer(name)
        rates = {"eta": data["lr"].values, "lam": data["weight_decay"].values, "d": d, "beta": 0.9}
        rates["sigma"] = float(np.sqrt(data["grad_variance_unit"].values / (d - 1)).mean())
        slow = rates["eta"] * rates["lam"] < 1e-4
        radius = law.radius(**{key: rates[key] for key in law.radius.arguments})
        cells = [shown(mean_of((np.sqrt(data["radius_sq"].values) / radius)[slow]), 3), "–"]
        if name in HEATED:
            heat = law.temperature(**{key: rates[key] for key in law.temperature.arguments})
            cells[1] = shown(mean_of((data["loss"].values / vmf.energy(d=d, T=heat))[slow]), 3)
        u, v = np.log(rates["eta"]), np.log(rates["lam"])
        plane, entropy = np.c_[np.ones_like(u), u, v], data["entropy"].values / ((d - 1) / 2)
        weight = 2 if name == "adam-l2" else 1
        slopes = [fit(plane, entropy, w) for w in ([0, 1, 0], [0, 0, 1], [0, 1, -weight])]
        cells += [shown(one, 3) for one in slopes[:2]]
        rows.append([name, f"{d}", *cells, f"{shown(slopes[2], 4)} ({2 - degree(name)})"])
        parts[f"symmetry_{name}"] = shown(slopes[2], 3)
    head = ["optimiser", "d", "r over formula", "U over the gas at the formula's T", "slope of S/R in log η"]
    return parts | {"optimisers": table([*head, "in log λ", "symmetry (theory)"], rows)}


# ----------------------------------------------------------------------------------------------------- gas of degree k
def degrees(gas):
    """Adiabatic index of the gases of degree k on paths along which the entropy stays."""
    rows, parts = [], {}
    for name, one in gas["homogeneous-gas"].more["homogeneous-gas"].items():
        gamma, half = one["gamma"], one["gamma_half"]
        verdict = judge(one["gamma_warm"], gamma - half, gamma + half, homogeneous_gas.MARGIN)[0]
        x = f"{one['x']:.4f} ± {one['x_half']:.4f} ({one['x_cold']:.4f})"
        rows.append([name, x, f"{gamma:.3f} ± {half:.3f}", f"{one['gamma_cold']:.3f}", f"{one['gamma_warm']:.3f}"])
        rows[-1] += [f"{one['temperature']:.4f}", verdict]
        parts |= {f"gamma_{name}": f"{gamma:.3f} ± {half:.3f}", f"verdict_{name}": verdict}
        parts[f"warm_{name}"] = f"{one['gamma_warm']:.3f}"
    head = ["k", "lr along wd to the power (theory at low T)", "γ measured", "1 + 2/(1 + k)", "1 + R_k/C_V at this T"]
    return parts | {"degrees": table([*head, "T", "verdict"], rows)}


def parts(found):
    """What words/isotropic.md asks for."""
    gas = {name.removeprefix("isotropic-"): one for name, one in found.items()}
    answers = isotropic_processes.tables_of(found["isotropic-processes"].more["isotropic-processes"])
    for section in (paper, verdicts, adiabatic, finite_steps, starts, volumes, broken, optimisers, degrees):
        answers |= section(gas)
    return answers


def draw(found):
    """The three figures."""
    gas = {name.removeprefix("isotropic-"): one for name, one in found.items()}
    draw_adiabatic(gas)
    draw_starts(gas)
    isotropic_processes.draw(found["isotropic-processes"].more["isotropic-processes"])
