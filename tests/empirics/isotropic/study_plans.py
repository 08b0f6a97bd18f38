"""What plans promise against copies of the isotropic gas; run as a script it prints the tables of docs/schedules.md."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from empirics.isotropic.processes import Path, follow, stationary_entropy
from empirics.steering import (
    Plan,
    adiabat,
    cooldown,
    drop_entropy,
    entropy_rate,
    plan,
    quasi_static,
    vmf_heat_capacity,
)
from thermo_theory import FixedLR

D, LR, DECAY = 50, 0.05, 0.05
GAS_CONSTANT = (D - 1) / 2
START = {"lr": LR, "weight_decay": DECAY}
HEAT = vmf_heat_capacity(**START, dimension=D)
#: Steps in which directions bound by curvature 1 relax at the start: r^2/lr.
BOUND = FixedLR.radius(eta=LR, lam=DECAY, sigma=1.0, d=D) ** 2 / LR


def carried(made: Plan, *, points: int = 201, copies: int = 1024, seed: int = 1) -> tuple[xr.Dataset, np.ndarray]:
    """Copies carried along a plan, and the entropy that the gas would settle to at each point.

    Both rates stay for the steps between two points, half a per cent of the way by default.
    """
    every = made.total // (points - 1)
    assert every * (points - 1) == made.total
    rate, decay = made.factors(every * np.arange(points))
    way = Path(made.kind, LR * rate, DECAY * decay)
    return follow(way, dimension=D, steps=every, copies=copies, seed=seed), stationary_entropy(way, dimension=D)


def dropped(factor: float, *, lr: float, copies: int = 1024, seed: int = 1) -> tuple[float, float, float]:
    """Entropy that copies produce after a sudden drop of lr at fixed LR, its error, and what is predicted.

    They are followed for eight relaxation times of the norm.
    """
    points = 161
    rates = np.full(points, lr / factor)
    rates[0] = lr
    steps = int(np.ceil(8 * FixedLR.relaxation_time(eta=lr / factor, lam=DECAY) / (points - 1)))
    out = follow(Path("drop", rates, np.full(points, DECAY)), dimension=D, steps=steps, copies=copies, seed=seed)
    error = float(np.hypot(out["entropy_error"][-1], out["entropy_error"][0]))
    bound = FixedLR.radius(eta=lr, lam=DECAY, sigma=1.0, d=D) ** 2 / lr
    ratio = FixedLR.relaxation_time(eta=lr, lam=DECAY) / bound
    predicted = GAS_CONSTANT * drop_entropy(factor, norm_over_directions=ratio)["total"]
    return float(out["entropy_produced"][-1]), error, predicted


def plans(steps: int = 20_000) -> Iterator[tuple[str, Plan]]:
    """The plans of the table."""
    options = {"steps": steps}
    yield "isotherm, lr x 3", plan("isotherm", factor=3.0, **options)
    yield "isobar, lr / 3", plan("isobar", factor=1 / 3, **options)
    yield "isochore, lr / 2", plan("isochore", factor=0.5, **options)
    yield "adiabat, weight decay x 3, C_V(T)", adiabat(factor=3.0, heat_capacity=HEAT, **options)
    yield "adiabat, weight decay x 3, gamma = 2", adiabat(factor=3.0, index=2.0, **options)
    yield "cooldown to 0.3, corrected", cooldown(factor=0.3, **options)
    yield "cooldown to 0.3, not corrected", cooldown(factor=0.3, correct=False, **options)
    for along in ("isobar", "isochore"):
        name = f"entropy rate -R in {steps:,} steps, {along}"
        yield name, entropy_rate(rate=-1 / steps, along=along, heat_capacity=HEAT, **options)


def main() -> None:
    """Print the tables."""
    print("| plan | needs steps | S planned | S measured | largest deviation on the way | log r planned | measured |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for seed, (name, made) in enumerate(plans()):
        out, settled = carried(made, copies=2048, seed=seed)
        gained = (out["entropy"] - out["entropy"][0]).values
        error = np.hypot(out["entropy_error"], out["entropy_error"][0]).values
        off = gained - (settled - settled[0])
        rate, decay = made.at(made.total)
        grown = np.log(rate / decay) / 4
        needed = quasi_static(made, **START, relaxation_steps=BOUND).needed
        radius = float(out["log_radius"][-1] - out["log_radius"][0])
        worst = int(np.abs(off).argmax())
        print(
            f"| {name} | {needed:,.0f} | {settled[-1] - settled[0]:.2f} | {gained[-1]:.2f} ± {2 * error[-1]:.2f} | "
            f"{off[worst]:.2f} ± {2 * error[worst]:.2f} | {grown:.4f} | {radius:.4f} |"
        )
    print("\n| lr | drop of lr by | slow norm | predicted | measured |\n| --- | --- | --- | --- | --- |")
    for lr in (0.05, 0.005):
        for seed, factor in enumerate((1.5, 2.0, 3.0, 5.0)):
            produced, error, predicted = dropped(factor, lr=lr, copies=2048, seed=seed)
            slow = GAS_CONSTANT * drop_entropy(factor)["total"]
            print(f"| {lr:g} | {factor:g} | {slow:.2f} | {predicted:.2f} | {produced:.2f} ± {2 * error:.2f} |")


if __name__ == "__main__":
    main()
