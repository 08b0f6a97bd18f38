"""Processes of the isotropic gas for its page: isotherm, isobar, isochore and adiabat at three speeds, and quenches."""

import numpy as np
from tables import INK, INKS, panels, save, says, table, ticks

from empirics.claims.state import finite_step_factor
from empirics.isotropic import processes
from thermo_theory import FixedELR, derive, vmf

DIMENSION, POINTS, START, FACTOR = 200, 201, {"lr": 0.02, "weight_decay": 0.05}, 4
#: Steps after each point, quick to slow.
SPEEDS = (10, 50, 500)
#: Every so many points of the slowest are kept for the figure.
KEPT = 5
QUENCHES, COLD = (1.25, 1.5, 2.0, 3.0), 0.002


def measured():
    """Simulate: two minutes on one core."""
    return {"paths": {name: _path(name) for name in processes.PATHS}, "quenches": [_quench(x) for x in QUENCHES]}


def _ends(out):
    """What was gained and produced, with the standard error of the gain."""
    entropy, errors = out["entropy"].values[[0, -1]], out["entropy_error"].values[[0, -1]]
    return {
        "gain": float(entropy[1] - entropy[0]),
        "error": float(np.hypot(*errors)),
        "made": float(out["entropy_produced"][-1]),
    }


def _path(name):
    route = processes.path(name, **START, factor=FACTOR, points=POINTS, dimension=DIMENSION)
    predicted = processes.stationary_entropy(route, dimension=DIMENSION)
    found = {"predicted": float(predicted[-1] - predicted[0]), "speeds": {}}
    for steps in SPEEDS:
        out = processes.follow(route, dimension=DIMENSION, steps=steps)
        found["speeds"][str(steps)] = _ends(out)
    found["weight_decay"] = route.weight_decay[::KEPT]
    return found | {key: out[key].values[::KEPT] for key in ("log_radius", "temperature", "entropy")}


def _quench(factor):
    route = processes.quench(effective_lr=COLD * factor, weight_decay=0.05, factor=factor, points=41)
    return {"factor": factor} | _ends(processes.follow(route, dimension=DIMENSION, steps=400, copies=4096))


def tables_of(kept):
    """The tables of the page."""
    rows = []
    for name, one in kept["paths"].items():
        for steps, found in one["speeds"].items():
            gained = f"{one['predicted']:.2f}", f"{found['gain']:.2f} ± {1.96 * found['error']:.2f}"
            rows.append([name, f"{(POINTS - 1) * int(steps):,}", *gained, f"{found['made']:.2f}"])
    lines = table(["process", "steps", "gain predicted", "gain measured", "produced"], rows)
    slow, fast = kept["paths"]["adiabat"]["speeds"][str(SPEEDS[-1])], kept["paths"]["adiabat"]["speeds"]["10"]
    return {
        "ramps": lines,
        "quenches": table(["T1/T2", "2 R (x − 1 − log x)", "exact", "produced, measured"], map(_row, kept["quenches"])),
        "adiabat_gain": f"{slow['gain']:.2f} ± {1.96 * slow['error']:.2f}",
        "adiabat_fast": f"{fast['gain']:.2f} ± {1.96 * fast['error']:.2f}",
    }


def _row(found):
    """A quench: the derived production of the ideal gas, that of this gas at steps of this size, and the measured."""
    factor, gas = found["factor"], (DIMENSION - 1) / 2
    hot, cold = (float(one) for one in FixedELR.temperature(eta_eff=np.array([COLD * factor, COLD]), sigma=1.0))
    ideal = derive("quench").claim(R=gas, T1=hot, T2=cold)
    # The volume is a second ideal gas: R log V falls as T does, and p V = R T is the heat.
    sampled = [t * float(finite_step_factor(np.array([2 * t]), np.array([1.0]))[0]) for t in (hot, cold)]
    warm, cool = ({"entropy": vmf.entropy(d=DIMENSION, T=t), "energy": vmf.energy(d=DIMENSION, T=t)} for t in sampled)
    directions = cool["entropy"] - warm["entropy"] - (cool["energy"] - warm["energy"]) / cold
    volume = gas * (np.log(sampled[1] / sampled[0]) + (sampled[0] - sampled[1]) / cold)
    measured = f"{found['made']:.2f} ± {1.96 * found['error']:.2f}"
    return [f"{factor:g}", f"{2 * ideal:.2f}", f"{directions + volume:.2f}", measured]


def draw(kept):
    """The slowest of each process in two planes, with arrows."""
    adiabat = kept["paths"]["adiabat"]
    slow, falls = adiabat["speeds"][str(SPEEDS[-1])], adiabat["weight_decay"][0] / adiabat["weight_decay"][-1]
    change = f"{slow['gain']:.2f} ± {1.96 * slow['error']:.2f} nat"
    rises = "falls" if falls > 1 else "rises"
    title = f"On the adiabat pressure {rises} {max(falls, 1 / falls):.2g}-fold and the entropy changes by {change}"
    figure, (left, right) = panels(title, height=3.4)
    for ink, (name, one) in zip(INKS, kept["paths"].items(), strict=False):
        volume, entropy = np.exp(2 * np.array(one["log_radius"])) / 2, np.array(one["entropy"])
        for axis, x, y in (
            (left, volume, np.array(one["weight_decay"])),
            (right, np.array(one["temperature"]) * 1e3, entropy - entropy[0]),
        ):
            axis.plot(x, y, color=ink, lw=1.8)
            middle = len(x) // 2
            arrow = {"arrowstyle": "-|>", "color": ink, "mutation_scale": 13, "lw": 0}
            axis.annotate("", (x[middle + 2], y[middle + 2]), (x[middle - 2], y[middle - 2]), arrowprops=arrow)
            side = {"isochore": (5, -4), "isotherm": (5, -4)}.get(name, (2, 8))
            says(axis, name, (x[-1], y[-1]), ink, side, ha="left" if name in ("isotherm", "isochore") else "center")
    left.set(xscale="log", yscale="log", xlabel="volume $V = r^2/2$", ylabel="pressure $p$ (weight decay)")
    right.set(xscale="log", xlabel="temperature $T$ (10⁻³ nat)", ylabel="entropy $S - S_0$ (nat)")
    ticks(left.xaxis, [2, 3, 5, 10])
    ticks(left.yaxis, [0.01, 0.02, 0.05, 0.1, 0.2])
    ticks(right.xaxis, [2, 3, 4, 5, 6])
    left.set_title("pressure and volume, measured")
    right.set_title("temperature and entropy, measured")
    says(left, "start", (volume[0], adiabat["weight_decay"][0]), INK, (6, 7))
    for axis in (left, right):
        axis.margins(0.14)
    gains = ", ".join(f"{name} {one['speeds'][str(SPEEDS[-1])]['gain']:+.1f}" for name, one in kept["paths"].items())
    alt = "Isotherm, isobar, isochore and adiabat from one start, in the planes of p and V and of T and "
    alt += "S; gain of entropy"
    save(figure, "isotropic-processes", f"{alt} in nat: {gains}.")
