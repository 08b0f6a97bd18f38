"""The coordinates of a gas by its optimiser: what is derived of an optimiser, put as the claims need it.

Nothing is stated of any one optimiser here. Its symmetry orbits are read off the derived symmetry of its step, its
temperature and radius off those derivations, its pressure, volume and gas constant off the definitions that its
equation of state begins with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from empirics.claims.protocol import effective_lr
from empirics.claims.table import Table
from thermo_theory import Formula, Protocol, derive
from thermo_theory.engine.registry import find
from thermo_theory.numeric.lags import lion_lags, muon_lags, push
from thermo_theory.protocols import OPTIMIZERS
from thermo_theory.relations import coordinates
from thermo_theory.relations.paths import Orbit, law, log_slopes, orbit_of
from thermo_theory.symbols import D_hat, adam_unit, eta, g, lam, r, stride, taken, tr_Sigma, w
from thermo_theory.symbols.vectors import Dot, Expectation

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "ADAPTIVE",
    "EVERY_OPTIMIZER",
    "Orbit",
    "effective_rate",
    "equation_of_state",
    "is_derived",
    "lacking",
    "law",
    "law_of",
    "log_slopes",
    "orbit_of",
    "radius_arguments",
    "rate_missing",
    "settings",
    "stationary_square",
    "with_momentum",
]

FloatArray = NDArray[np.float64]


def is_derived(name: str, of: Protocol) -> bool:
    """Whether there is a derivation of this name for a protocol with its optimiser.

    >>> is_derived("radius-trajectory", law("fixed-lr")), is_derived("radius-trajectory", law("fixed-lr", "adamw"))
    (True, False)
    """
    try:
        find(name, of)
    except LookupError:
        return False
    return True


#: Optimisers whose radius and symmetry are derived; all but SGD at fixed LR alone.
EVERY_OPTIMIZER = ("sgd", *OPTIMIZERS)

#: Those that divide the gradient by what it is large, so that noise sets the size of a step in another way.
ADAPTIVE = tuple(name for name in OPTIMIZERS if name.startswith("adam"))

#: Formulas take what a run sets and shows under these names.
SOURCES = {"eta": "lr", "lam": "weight_decay", "r": "radius_sq"} | {
    "beta": "momentum", "beta1": "momentum", "beta2": "beta2", "mu": "momentum", "scale": "scale",
}  # fmt: skip

#: Momentum beyond which steps remember more of them than are summed.
LONGEST = 0.99999

#: Rounds of the iteration for the norm; each halves what is off, or more.
ROUNDS = 60


def law_of(table: Table) -> Protocol:
    """Return the protocol of the runs with their optimiser, as `thermo_theory` has it."""
    return law(table.protocol, table.optimizer)


def with_momentum(data: xr.Dataset, runs: Any) -> xr.Dataset:
    """Add the coefficients of the runs' optimiser from their experiment, where they do not have them themselves."""
    training: Any = getattr(getattr(runs, "experiment", None), "training", None)
    known = {name: getattr(training, name, None) for name in ("momentum", "beta2", "scale")}
    found = {name: value for name, value in known.items() if name not in data.variables and value is not None}
    return data.assign({name: ("run", np.full(data.sizes["run"], float(value))) for name, value in found.items()})


# Temperature, radius and equation of state ---------------------------------------------------------------------------


def settings(
    table: Table, names: Iterable[str], noise: FloatArray | None = None, d: int | None = None
) -> dict[str, Any]:
    """What a formula is called with, for the runs used; `noise` is their tr Sigma at unit norm, d one more than m."""
    found: dict[str, Any] = {}
    d = d or table.dimension
    for name in names:
        if name == "d":
            found[name] = d
        elif name == "D":  # Muon's: by `stationary_square` from the lags
            found |= settings(table, ("mu", "scale")) | {"matrices": table.data.attrs["matrices"]}
        elif name == "sigma":
            assert noise is not None
            found[name] = np.sqrt(noise / (d - 1))
        else:
            values = table.values(SOURCES[name])
            found[name] = np.sqrt(values) if name == "r" else values
    return found


def lacking(table: Table, names: Iterable[str]) -> list[str]:
    """Which variables a formula of these arguments cannot be called without and are not in the runs; noise apart."""
    found = table.missing(*dict.fromkeys(SOURCES[name] for name in names if name in SOURCES))
    if "D" in names:
        found += table.missing("momentum", "scale") + [name for name in ("matrices",) if name not in table.data.attrs]
    return found


def effective_rate(table: Table, noise: FloatArray | None = None) -> FloatArray:
    """Effective learning rate of the runs used: lr/r^2 for SGD, else what takes its place in the temperature.

    `noise` is tr Sigma at unit norm of the runs used, on which Adam's steps depend.
    """
    of = law_of(table)
    if of.optimizer == "sgd":
        return np.asarray(effective_lr(table.data))[table.used]
    formula = coordinates.effective_rate(of)
    return np.asarray(formula(**settings(table, formula.arguments, noise), invalid="nan"))


def rate_missing(table: Table) -> list[str]:
    """What the effective learning rate cannot do without and is not there; Adam's noise apart."""
    of = law_of(table)
    if of.optimizer == "sgd":
        return [] if effective_lr(table.data) is not None else ["a learning rate with its radius, or an effective one"]
    if not is_derived("temperature", of):
        return ["the mean gain of a step"]
    return lacking(table, coordinates.effective_rate(of).arguments)


@cache
def _norm_balance(of: Protocol) -> Formula:
    """E r^2 for independent gradients, exact in the step, as a function of the norm that the gradients are taken at."""
    # The last that the radius' derivation says of each; what a gradient's mean square is named is not it.
    steps = [step for step in derive("radius", of).steps if step.operation != "definition"]
    rules = {step.equation.lhs: step.equation.rhs for step in steps}
    right = derive("norm-balance", of).claim.equation.rhs
    for part in (Expectation(Dot(g, g)), adam_unit, tr_Sigma, Expectation(r**-2), D_hat):
        right = right.subs(part, rules.get(part, part))
    return Formula(sp.Eq(r**2, sp.simplify(right), evaluate=False))


@cache
def _with_memory() -> Formula:
    """E r^2 for steps with any memory and decay beside them, exact in the step."""
    balance = derive("step-memory").claim.equation.subs({stride: eta, taken: eta * lam})
    (square,) = sp.solve(balance, Expectation(Dot(w, w)))
    return Formula(sp.Eq(r**2, square, evaluate=False))


def _pushes(lags: Callable[..., FloatArray], decay: FloatArray, *coefficients: Any) -> FloatArray:
    """`push` of every run, NaN where lr·wd or a coefficient is out of range."""
    known = cache(lags)

    def of_run(taken: float, *each: float) -> float:
        usable = 0 < taken < 2 and all(0 <= one <= LONGEST for one in each)
        return float(push(known(*each), taken)) if usable else np.nan

    return np.asarray(np.vectorize(of_run, otypes=[float])(decay, *coefficients))


def _share_of_lags(beta1: float, beta2: float) -> FloatArray:
    """Lion's lags over their sum."""
    lags = lion_lags(beta1, beta2)
    return lags / push(lags)


def _square_of_lags(of: Protocol, values: Mapping[str, Any]) -> FloatArray:
    """The square for steps that do not grow with the gradient: of independent normal gradients, exact in the step.

    Of LARS and LAMB for small steps.
    """
    rate, decay = np.asarray(values["eta"], dtype=float), np.asarray(values["lam"], dtype=float)
    if of.optimizer == "muon":
        shapes = [tuple(map(int, pair)) for pair in values["matrices"]]

        def of_all(momentum: float) -> FloatArray:
            return np.asarray(np.sum([muon_lags(rows, columns, momentum) for rows, columns in shapes], axis=0))

        total = _pushes(of_all, rate * decay, values["mu"]) * np.square(values["scale"])
    else:
        small = np.asarray(of.radius(**{name: values[name] for name in of.radius.arguments}, invalid="nan")) ** 2
        if not orbit_of(of).rate:
            return small
        total = small * 2 * decay / rate
        if of.optimizer == "lion":
            total = total * _pushes(_share_of_lags, rate * decay, values["beta1"], values["beta2"])
    return np.asarray(_with_memory()(eta=rate, lam=decay, D_w=total, invalid="nan"), dtype=float)


def radius_arguments(of: Protocol) -> tuple[str, ...]:
    """What `stationary_square` has to be given."""
    if not is_derived("norm-balance", of):
        return of.radius.arguments
    return tuple(sorted({*of.radius.arguments, *_norm_balance(of).arguments} - {"r"}))


def stationary_square(of: Protocol, values: Mapping[str, Any]) -> FloatArray:
    """Squared norm at which pure, uncorrelated noise and weight decay balance, steps being as large as they are.

    Parameters
    ----------
    of : Protocol
        Fixed LR with another optimiser than SGD.
    values : dict
        Those that `radius_arguments` names, each a number or one per run.

    Returns
    -------
    numpy.ndarray
        Equal to the square of `radius` for small steps; NaN where there is none.

    Examples
    --------
    >>> adamw = law("fixed-lr", "adamw")
    >>> rates = {"eta": np.array([1e-6, 0.1]), "lam": 0.1, "d": 20, "beta1": 0.9}
    >>> (stationary_square(adamw, rates) / adamw.radius(eta=rates["eta"], lam=0.1, d=20) ** 2).round(4)
    array([1.    , 0.9177])
    """
    if not is_derived("norm-balance", of):
        return _square_of_lags(of, values)
    formula = _norm_balance(of)
    given = {name: value for name, value in values.items() if name in formula.arguments}
    start = of.radius(**{name: values[name] for name in of.radius.arguments}, invalid="nan")
    square = np.asarray(start, dtype=float) ** 2
    for _ in range(ROUNDS if "r" in formula.arguments else 1):
        at = {"r": np.sqrt(square)} if "r" in formula.arguments else {}
        # The mean gradient falls as the norm grows: half way, in logarithms, between guess and outcome.
        right = np.asarray(formula(**given, **at, invalid="nan"))
        # NaN for runs at settings at which no norm is in balance.
        square = np.sqrt(square * np.where(right > 0, right, np.nan)) if at else right
    return np.asarray(square, dtype=float)


def equation_of_state(table: Table, noise: FloatArray | None = None) -> tuple[FloatArray, FloatArray, float]:
    """Pressure and volume of the runs used, and the gas constant, in the coordinates of their optimiser.

    `noise` is tr Sigma at unit norm of the runs used, on which AdamW's pressure depends.
    """
    pressure, volume, gas_constant = (
        one(**settings(table, one.arguments, noise), invalid="nan") for one in coordinates.state(law_of(table))
    )
    return np.asarray(pressure), np.asarray(volume), float(gas_constant)
