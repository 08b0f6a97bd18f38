"""Convert weight decay between conventions and optimisers; pairs of lr and weight decay with the same training.

The effect of a number called "weight decay" depends on where it enters the step:

======================  ==============================================  =================================
convention              in the step                                     used by
======================  ==============================================  =================================
``"l2"``                the gradient is g + wd w                        torch's SGD, Adam
``"decoupled"``         w <- w - lr wd w                                torch's AdamW
``"independent"``       w <- w - wd w                                   Loshchilov & Hutter 2019, Alg. 2
======================  ==============================================  =================================

>>> convert(Setting(0.001, 0.1, "adamw"), decay="independent")
Setting(lr=0.001, weight_decay=0.0001, optimizer='adamw', decay='independent', momentum=0.0)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sympy as sp
from numpy.typing import ArrayLike

from empirics.steering.proposals import Proposal, propose, propose_temperature
from thermo_theory import Formula
from thermo_theory.palette import INK, MUTED, SERIES, STYLE
from thermo_theory.relations.coordinates import effective_rate
from thermo_theory.relations.paths import law, log_slopes, orbit_of
from thermo_theory.symbols import beta, d, eta, lam

__all__ = [
    "DECAYS",
    "Proposal",
    "Setting",
    "chart",
    "convert",
    "propose",
    "propose_temperature",
    "same_training",
]

#: Conventions possible for each optimiser of `thermo_theory`; its own first.
DECAYS = {
    "sgd": ("l2", "decoupled", "independent"),
    "momentum": ("l2", "decoupled", "independent"),
    "nesterov": ("l2", "decoupled", "independent"),
    "adamw": ("decoupled", "independent"),
    "adam-l2": ("l2",),
}


@dataclass(frozen=True)
class Setting:
    """A learning rate and a weight decay, with optimiser and convention.

    Attributes
    ----------
    lr, weight_decay : float
        Above 0.
    optimizer : str
        "sgd", "momentum", "nesterov", "adamw" or "adam-l2" (Adam with coupled L2).
    decay : str
        "l2", "decoupled" or "independent"; default: that of torch's optimiser of that name.
    momentum : float
        Momentum coefficient ("momentum" and "nesterov" only).
    """

    lr: float
    weight_decay: float
    optimizer: str = "sgd"
    decay: str = ""
    momentum: float = 0.0

    def __post_init__(self) -> None:
        if self.optimizer not in DECAYS:
            raise ValueError(f"optimizer = {self.optimizer!r}: must be one of {', '.join(DECAYS)}")
        possible = DECAYS[self.optimizer]
        if not self.decay:
            object.__setattr__(self, "decay", possible[0])
        if self.decay not in possible:
            other = "; Adam with l2 is adam-l2, Adam with decoupled decay adamw" if "adam" in self.optimizer else ""
            raise ValueError(f"decay = {self.decay!r}: must be {' or '.join(possible)} for {self.optimizer}{other}")
        for name in ("lr", "weight_decay"):
            value = getattr(self, name)
            if isinstance(value, str) or not (math.isfinite(value) and value > 0):  # YAML reads 5e-4 as text
                raise ValueError(f"{name} = {value!r}: must be a finite number above 0")
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum = {self.momentum!r}: must be at least 0 and below 1")
        if self.momentum and self.optimizer not in ("momentum", "nesterov"):
            raise ValueError(f"momentum = {self.momentum!r}: {self.optimizer} has none; use momentum or nesterov")

    @property
    def derived(self) -> float:
        """Return the weight decay in the convention of the optimiser's derivations."""
        return self.weight_decay / _share(self.optimizer, self.decay, self.lr, self.momentum)


def _gain(optimizer: str, momentum: float) -> float:
    """Return the total displacement by a gradient relative to SGD: 1/(1-beta) with momentum."""
    ratio = effective_rate(law("fixed-lr", optimizer)).equation.rhs / effective_rate(law("fixed-lr")).equation.rhs
    return float(sp.simplify(ratio).subs(beta, momentum))


def _share(optimizer: str, decay: str, lr: float, momentum: float) -> float:
    """Return a convention's weight decay over the derived one, to leading order in lr·wd."""
    if decay == DECAYS[optimizer][0]:
        return 1.0
    # The l2 term goes through the momentum buffer, as a gradient does; a decay beside the step does not.
    decoupled = 1.0 if optimizer == "adamw" else _gain(optimizer, momentum)
    return decoupled * (lr if decay == "independent" else 1.0)


@cache
def _conversion(source: str, target: str, before: float, after: float) -> tuple[Formula, Formula]:
    """Return lr and weight decay of one optimiser at the temperature and norm of another, as formulas."""
    of, to = law("fixed-lr", source), law("fixed-lr", target)
    wanted = [formula.equation.rhs.subs(beta, before) for formula in (of.temperature, of.radius)]
    # Both are powers of the target's lr and weight decay: a linear system between logarithms.
    powers = sp.Matrix([log_slopes(formula) for formula in (to.temperature, to.radius)]).applyfunc(sp.nsimplify)
    units = [formula.equation.rhs.subs({beta: after, eta: 1, lam: 1}) for formula in (to.temperature, to.radius)]
    ratios = [value / unit for value, unit in zip(wanted, units, strict=True)]
    n = sp.Dummy("n", positive=True)
    found = []
    for symbol, row in zip((eta, lam), powers.inv().tolist(), strict=True):
        value = sp.Mul(*[ratio**power for ratio, power in zip(ratios, row, strict=True)])
        value = sp.powsimp(sp.powdenest(sp.simplify(value.subs(d, n + 1)), force=True), force=True)
        found.append(Formula(sp.Eq(symbol, sp.simplify(value).subs(n, d - 1), evaluate=False)))
    return found[0], found[1]


def convert(
    setting: Setting,
    *,
    optimizer: str | None = None,
    decay: str | None = None,
    momentum: float | None = None,
    sigma: float | None = None,
    dimension: int | None = None,
) -> Setting:
    """Convert a learning rate and weight decay to another convention, or to another optimiser at equal temperature.

    Parameters
    ----------
    setting : Setting
        The setting to convert.
    optimizer : str, optional
        Target optimiser; default: the same.
    decay : str, optional
        Target convention; default: torch's for another optimiser, unchanged for the same one.
    momentum : float, optional
        Momentum coefficient of the target; default: unchanged, where it has one.
    sigma : float, optional
        Gradient noise per direction at unit norm, ``sqrt(tr Sigma/(d-1))`` (only needed between SGD and Adam).
    dimension : int, optional
        Number d of scale-invariant weights (only needed between SGD and Adam).

    Returns
    -------
    Setting
        With the same stationary temperature and norm, to leading order in lr·wd.

    Raises
    ------
    ValueError
        If a number on which the conversion depends is missing or out of range.

    Notes
    -----
    Between optimisers lr and weight decay follow from equal T and equal r, as derived for each (`thermo_theory`,
    derivations "temperature" and "radius"). SGD and AdamW share ``T = sigma sqrt(eta lambda/(2(d-1)))``, so equal
    temperature means equal lr·wd, and equal norm sets their ratio, ``eta/lambda = 2 r^2/d``. Under momentum coupled and
    decoupled decay differ by 1/(1-beta), since the buffer amplifies the coupled one. The formulas of Adam assume
    isotropic noise; the radius in a network may differ by tens of per cent.

    Examples
    --------
    >>> round(convert(Setting(0.1, 5e-4, "momentum", momentum=0.9), decay="decoupled").weight_decay, 9)
    0.005
    >>> adam = convert(Setting(0.1, 1e-3), optimizer="adamw", sigma=2.0, dimension=1001)
    >>> round(adam.lr * adam.weight_decay, 12), round(adam.lr / adam.weight_decay, 3)  # r^2 = 447.2
    (0.0001, 0.894)
    """
    other = optimizer if optimizer is not None else setting.optimizer
    same = other == setting.optimizer
    kept = setting.momentum if other in ("momentum", "nesterov") else 0.0
    # Refuses an impossible target before anything is computed.
    target = Setting(
        setting.lr,
        setting.weight_decay,
        other,
        decay if decay is not None else setting.decay if same else "",
        momentum if momentum is not None else kept,
    )
    rate, pull = setting.lr, setting.derived
    if not same or target.momentum != setting.momentum:
        formulas = _conversion(setting.optimizer, other, setting.momentum, target.momentum)
        known = {"eta": rate, "lam": pull, "sigma": sigma, "d": dimension}
        names = sorted({name for formula in formulas for name in formula.arguments})
        lacking = [{"sigma": "sigma", "d": "dimension"}[name] for name in names if known[name] is None]
        if lacking:
            raise ValueError(f"converting {setting.optimizer} to {other} requires {' and '.join(lacking)}")
        arguments: list[dict[str, Any]] = [{name: known[name] for name in one.arguments} for one in formulas]
        rate, pull = (float(one(**given)) for one, given in zip(formulas, arguments, strict=True))
    share = _share(other, target.decay, rate, target.momentum)
    return replace(target, lr=rate, weight_decay=pull * share)


def same_training(setting: Setting, scales: Iterable[float] = (0.25, 0.5, 1.0, 2.0, 4.0)) -> pd.DataFrame:
    """List pairs of learning rate and weight decay with the same training, by the exact scaling symmetry.

    Parameters
    ----------
    setting : Setting
        One of the pairs.
    scales : iterable of float
        Factors c on the weights.

    Returns
    -------
    pandas.DataFrame
        One row per factor: `weights` (the factor on the initial weights; without it runs differ until the norm has
        relaxed), `lr`, `weight_decay` in the setting's convention.

    Raises
    ------
    ValueError
        If a factor is not above 0.

    Notes
    -----
    ``(w, eta, lambda) -> (c w, c^2 eta, lambda/c^2)`` for SGD, ``(c w, c eta, lambda/c)`` for AdamW, ``(c w, c eta,
    lambda/c^2)`` for Adam with L2 (derivations "scaling-symmetry", "adamw-symmetry", ...): the same directions at every
    step, for any noise and any step size, if all trained weights are scale-invariant (and eps = 0 for Adam).

    Examples
    --------
    >>> same_training(Setting(0.1, 0.01), [1.0, 2.0])
       weights   lr  weight_decay
    0      1.0  0.1        0.0100
    1      2.0  0.4        0.0025
    """
    orbit = orbit_of(law("fixed-lr", setting.optimizer))
    rows = []
    for c in scales:
        if not (math.isfinite(c) and c > 0):
            raise ValueError(f"scales: {c!r} must be above 0")
        rate, pull = setting.lr * c**orbit.rate, setting.derived * c**orbit.decay
        decay = pull * _share(setting.optimizer, setting.decay, rate, setting.momentum)
        rows.append({"weights": float(c), "lr": rate, "weight_decay": decay})
    return pd.DataFrame(rows)


def chart(
    setting: Setting,
    out: str | Path,
    *,
    lr: ArrayLike = (),
    weight_decay: ArrayLike = (),
    score: ArrayLike = (),
) -> Path:
    """Plot lines of equal training in the plane of learning rate and weight decay.

    Parameters
    ----------
    setting : Setting
        Its line is highlighted; its optimiser, convention and momentum apply to the whole plane.
    out : path
        A PNG, PDF or SVG file.
    lr, weight_decay, score : array_like, shape (n,)
        Trials to mark, coloured by score.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rates, decays, scores = (np.asarray(values, dtype=float).ravel() for values in (lr, weight_decay, score))
    if rates.shape != decays.shape or scores.shape not in ((0,), rates.shape):
        raise ValueError(
            f"lr, weight_decay and score must have equal lengths, got {len(rates)}, {len(decays)}, {len(scores)}"
        )
    scales, own = np.geomspace(1 / 8, 8, 65), SERIES[0]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(5.4, 4.4), layout="constrained")
        panel = figure.subplots()
        for step in range(-3, 4):
            line = same_training(replace(setting, weight_decay=setting.weight_decay * 4.0**step), scales)
            look = {"color": own, "lw": 2} if step == 0 else {"color": MUTED, "lw": 0.8}
            panel.loglog(line["lr"], line["weight_decay"], **look)
        panel.loglog(setting.lr, setting.weight_decay, "o", color=own, label="setting, and its line")
        if len(rates):
            colour = {"c": scores, "cmap": "cividis"} if len(scores) else {"color": SERIES[1]}
            marks = panel.scatter(rates, decays, marker="s", edgecolors=INK, zorder=3, label="trials", **colour)
            if len(scores):
                figure.colorbar(marks, label="score")
        panel.set(xlabel="learning rate", ylabel=f"weight decay ({setting.decay})")
        panel.set_title(f"{setting.optimizer}: every run on a line trains the same")
        figure.legend(loc="outside lower left", ncols=2)
        figure.savefig(out, dpi=150)
    return Path(out)
