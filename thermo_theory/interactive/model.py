"""What the interactive page computes with: every formula as JavaScript, made from the derivations.

>>> round(formulas("sgd")["radius"](eta=0.1, lam=0.001, sigma=2.0, d=101.0) ** 4, 6)  # eta sigma^2 (d-1)/(2 lambda)
20000.0
>>> print(script().splitlines()[0])
const GAS = {
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import sympy as sp

from thermo_theory.engine.derivation import derive, registered
from thermo_theory.engine.formula import Formula
from thermo_theory.interactive.tracing import arrow, traced
from thermo_theory.numeric import bessel
from thermo_theory.numeric import vmf as numeric
from thermo_theory.protocols import OPTIMIZERS, PROTOCOLS, FixedELR, FixedLR, FixedSphere
from thermo_theory.relations.coordinates import effective_rate, said, state
from thermo_theory.relations.paths import entropy_slopes, forgetting, holding, law, log_slopes
from thermo_theory.symbols import C_V, S, T, eq, gamma, h, r

__all__ = ["NAMES", "formulas", "processes", "relaxation", "script", "stepped"]

#: The optimisers of the page, by key: those whose temperature is derived from the noise alone.
NAMES = {"sgd": "SGD"} | {
    key: title
    for key, (title, _) in OPTIMIZERS.items()
    if ("temperature", str(FixedLR.with_optimizer(key))) in registered()
}


def formulas(optimizer: str) -> dict[str, Formula]:
    """Everything the page says of a stationary state at fixed learning rate.

    Parameters
    ----------
    optimizer : str
        A key of `NAMES`.

    Returns
    -------
    dict of str to Formula
        Of eta, lam, sigma, d, the momentum beta, the norm r, and S_sphere.
    """
    of = law("fixed-lr", optimizer)
    pressure, volume, gas_constant = state(of)
    # What the entropy consists of does not depend on the optimiser.
    known = said(derive("maxwell", FixedLR)).items()
    (whole,) = [right for left, right in known if getattr(left, "name", "") == "S" and left.args]
    return {
        "radius": of.radius,
        "temperature": of.temperature,
        "effective_rate": effective_rate(of),
        "pressure": pressure,
        "volume": volume,
        "gas_constant": gas_constant,
        "entropy": Formula(eq(S, whole)),
        "forgetting": forgetting(of),
    }


def index() -> Formula:
    """Return the adiabatic index, ``C_p/C_V`` with ``C_p`` as derived."""
    return Formula(eq(gamma, sp.expand(derive("heat-capacities").claim.equation.rhs / C_V)))


def relaxation() -> dict[str, dict[str, Formula]]:
    """Return the relaxation times of norm and free directions by protocol, for SGD."""
    return {
        "fixed-lr": {"norm": FixedLR.relaxation_time, "directions": derive("direction-relaxation", FixedLR).claim},
        "fixed-elr": {"norm": FixedELR.relaxation_time, "directions": derive("direction-relaxation", FixedELR).claim},
        "fixed-sphere": {"directions": FixedSphere.relaxation_time},
    }


def processes(optimizer: str) -> dict[str, float]:
    """Powers of lr that weight decay follows along each process; infinite where lr is constant.

    Parameters
    ----------
    optimizer : str
        A key of `NAMES`.

    Returns
    -------
    dict of str to float
        The adiabat's is that of the cold gas; the page solves for the entropy at any temperature.

    Examples
    --------
    >>> processes("sgd")
    {'isotherm': -1.0, 'isobar': 0.0, 'isochore': 1.0, 'adiabat': inf}
    """
    of = law("fixed-lr", optimizer)
    return {
        "isotherm": holding(log_slopes(of.temperature)),
        "isobar": 0.0,
        "isochore": holding(log_slopes(of.radius)),
        "adiabat": holding(entropy_slopes(of, 1.0)),
    }


def _kernel(branch: Any) -> str:
    """Energy, entropy and heat capacity of the von Mises-Fisher gas, by one of the ways that the numbers are got."""

    def program(d: Any, T: Any) -> dict[str, Any]:
        found = branch(d, T)
        return {
            "energy": numeric.energy_from(d, T, found),
            "entropy": found.log_partition + found.gap,
            "heat": found.heat,
        }

    return traced(program, ("d", "T"))


def stepped() -> dict[str, Formula]:
    """Return norm and temperature of the cold gas of SGD with finite steps, as walkers show them.

    Returns
    -------
    dict of str to Formula
        Of eta, lam, sigma and d: the norm, and ``p V/R``, the temperature of the law that the directions follow.

    Examples
    --------
    >>> {name: round(of(eta=0.05, lam=0.05, sigma=1.5, d=3), 4) for name, of in stepped().items()}
    {'norm': 1.2299, 'heat': 0.0378}
    """
    pressure, volume, gas_constant = state(FixedLR)
    finite = derive("finite-step", FixedLR).claim.equation.rhs.subs(h, 1)  # the gas has the curvature 1
    (norm,) = sp.solve(eq(volume.equation.rhs, finite), r)
    heat = pressure.equation.rhs * finite / gas_constant.equation.rhs
    return {"norm": Formula(eq(r, norm)), "heat": Formula(eq(T, heat))}


def script(keys: Iterable[str] = tuple(NAMES)) -> str:
    """Return the page's formulas as JavaScript: GAS, LAWS, INDEX, RELAXATION, TRAJECTORY, BATH and STEPPED.

    Parameters
    ----------
    keys : iterable of str
        Optimisers to have the laws of.

    Returns
    -------
    str
    """
    order = repr(2 * bessel.ORDER_MIN + 2)
    gas = {"expansion": _kernel(bessel.expansion), "recurrence": _kernel(bessel.recurrence)}
    gas["state"] = (
        f"(d, T) => {{\n  const t = Math.min(T, {bessel.SATURATED!r}/d);\n"
        f"  return d < {order} && t > {bessel.COLD!r} ? GAS.recurrence(d, t) : GAS.expansion(d, t);\n}}"
    )
    laws = {}
    for key in keys:
        of = law("fixed-lr", key)
        parts = {name: arrow(formula) for name, formula in formulas(key).items()}
        parts["title"], parts["update"] = json.dumps(NAMES[key]), json.dumps(of.update)
        parts["uses_momentum"] = json.dumps("beta" in of.temperature.arguments)
        powers = {name: None if math.isinf(power) else power for name, power in processes(key).items()}
        parts["processes"] = json.dumps(powers)
        laws[json.dumps(key)] = _object(parts)
    times = {}
    for key, found in relaxation().items():
        parts = {name: arrow(formula) for name, formula in found.items()}
        parts["title"], parts["update"] = json.dumps(PROTOCOLS[key].title), json.dumps(PROTOCOLS[key].update)
        times[json.dumps(key)] = _object(parts)
    return "\n".join(
        [
            f"const GAS = {_object(gas)};",
            f"const LAWS = {_object(laws)};",
            f"const INDEX = {arrow(index())};",
            f"const RELAXATION = {_object(times)};",
            f"const TRAJECTORY = {arrow(FixedLR.trajectory)};",
            f"const BATH = {arrow(FixedSphere.temperature)};",
            f"const STEPPED = {_object({name: arrow(formula) for name, formula in stepped().items()})};",
        ]
    )


def _object(parts: dict[str, str]) -> str:
    return "{\n" + ",\n".join(f"{name}: {code}" for name, code in parts.items()) + "\n}"
