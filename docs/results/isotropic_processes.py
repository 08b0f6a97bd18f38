"""Processes of the isotropic gas for its page: isotherm, isobar, isochore and adiabat at three speeds, and quenches."""

import matplotlib.pyplot as plt
import numpy as np
from tables import save, table

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


def draw(kept, inks):
    """The slowest of each process in two planes."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8))
    for ink, (name, one) in zip(inks, kept["paths"].items(), strict=False):
        volume, entropy = np.exp(2 * np.array(one["log_radius"])) / 2, np.array(one["entropy"])
        axes[0].plot(np.log(volume), np.log(one["weight_decay"]), color=ink, label=name)
        axes[1].plot(np.log(one["temperature"]), entropy - entropy[0], color=ink, label=name)
    axes[0].set(xlabel="log V", ylabel="log p", title="pressure and volume, measured")
    axes[1].set(xlabel="log T", ylabel="S − S at the start (nats)", title="temperature and entropy, measured")
    axes[0].legend(frameon=False)
    save(figure, "isotropic-processes")
