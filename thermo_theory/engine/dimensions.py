"""Units of loss, weights and iterations: every term of an equation has the same one.

The unit of a symbol is in the glossary (`SymbolInfo.unit`). Units that the glossary does not know (of ``y(t)``, of a
function's arguments) are unknowns, which the steps of a derivation determine one after the other; so a step that
contradicts them is found like one that contradicts the glossary.

>>> from thermo_theory.symbols import eq, eta, lam, r, t
>>> check_step(eq(r, r * sp.exp(-eta * lam * t)), Units())
>>> check_step(eq(r, r * sp.exp(-eta * t)), Units())
Traceback (most recent call last):
...
thermo_theory.engine.dimensions.InhomogeneousError: -eta*t has the unit weight^2/loss, not 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from thermo_theory import symbols as s
from thermo_theory.engine.differentials import Change, Partial, SurfaceIntegral, Variation
from thermo_theory.symbols import vectors as v

__all__ = [
    "NATURAL",
    "OVERRIDES",
    "InhomogeneousError",
    "Units",
    "cases_of",
    "check",
    "check_step",
    "units_of",
]

#: A unit: exponents of the base units and of unknown units; numbers, or dimensionless expressions as in ``V^gamma``.
Unit = dict[sp.Symbol, sp.Expr]

BASE = {name: sp.Symbol(name, positive=True) for name in ("loss", "weight", "iteration")}

#: Units other than those of the glossary, which are those of SGD on the sphere: for an optimiser whose gradients are
#: normalised (its rates go with the square root of the iterations), and for linear models, whose noise, Hessian and
#: currents are at the weights and not at unit norm.
#: None stands for a unit that the steps determine: that of rates depends on the degree of a step in the gradient.
OVERRIDES: dict[str, dict[sp.Basic, str | None]] = {
    "homogeneous": {
        **dict.fromkeys(
            (s.eta, s.eta_eff, s.lam, s.p, s.V, s.D_step, s.D_now, s.D_x, s.gain, s.gain_along, s.size, s.stride)
        ),
        **dict.fromkeys((s.u, s.u_noise, s.u_mean)),
    },
    "adamw": {
        **dict.fromkeys((s.g, s.buffer, s.buffer_next), "1"),
        s.eta: "weight/sqrt(iteration)",
        s.lam: "1/(weight*sqrt(iteration))",
        s.V: "weight",
        s.p: "loss/weight",
    },
    "adam-l2": {**dict.fromkeys((s.g, s.buffer, s.buffer_next), "1"), s.eta: "weight/sqrt(iteration)"},
    "linear": {
        s.sigma: "loss*sqrt(iteration)/weight",
        s.Hess: "loss/weight^2",
        s.grad_log_rho: "1/weight",
        s.current: "weight/iteration",
    },
}

#: Optimisers whose rates have the units above.
_STATED = ("sgd", "scaling", "maxwell-from", "momentum", "nesterov", "adamw", "adam-l2")

#: Base units that are pure numbers in a derivation that has a certain symbol, and why.
NATURAL: dict[sp.Basic, tuple[str, str]] = {
    s.kappa: ("loss", "the loss 1 - cos(theta) is measured by its own scale"),
    s.C_next: ("iteration", "C_1 = C + dC/dt adds what one iteration brings"),
}

#: Functions whose values have the unit of the symbol of their name; other functions have units of their own. The
#: function g is the gradient itself, also where the symbol g is a normalised one.
_NAMED = {
    symbol.name: symbol for symbol in (s.S, s.S_sphere, s.U, s.F, s.G, s.T, s.V, s.Z, s.p, s.r, s.eta, s.lam, s.w)
}
_NAMED["g"] = s.grad_L

_SAME = (v.Expectation, v.NoiseMean, v.Tr, v.Div, Change, SurfaceIntegral, sp.Limit, sp.Abs, sp.Max, sp.Min)
_PRODUCT = (v.Dot, v.Hadamard, v.Apply, v.SymProduct, v.SkewProduct, sp.Mul)


class InhomogeneousError(ValueError):
    """Two terms of one sum, or two sides, have different units; `.step` is the step, if it is one of a derivation."""

    step: Any = None


@cache
def _read(text: str) -> Unit:
    """Read a unit as the glossary writes it.

    >>> sorted(_read("weight^2/sqrt(loss)").items(), key=str)
    [(loss, -1/2), (weight, 2)]
    """
    return dict(sp.sympify(text.replace("^", "**"), locals=BASE).as_powers_dict()) if text != "1" else {}


def _times(*units: Unit, powers: Iterable[Any] = ()) -> Unit:
    """Multiply units, each to a power (1 unless given)."""
    product: Unit = {}
    for unit, power in zip(units, powers or [1] * len(units), strict=True):
        for base, exponent in unit.items():
            product[base] = product.get(base, sp.S.Zero) + exponent * power
    return {base: exponent for base, exponent in product.items() if sp.cancel(exponent) != 0}


class Units:
    """What is known of the units in a derivation: those of the glossary, and what its steps have determined.

    Parameters
    ----------
    overrides : dict
        Units that differ from the glossary's.
    numbers : iterable of str
        Base units that are pure numbers here: "loss", "weight" or "iteration".
    """

    def __init__(self, overrides: dict[sp.Basic, str | None] | None = None, numbers: Iterable[str] = ()) -> None:
        self.numbers = frozenset(BASE[name] for name in numbers)
        texts = {symbol: info.unit for symbol, info in s.glossary.items()} | (overrides or {})
        self.known: dict[sp.Basic, Unit] = {
            symbol: {base: power for base, power in _read(text).items() if base not in self.numbers}
            for symbol, text in texts.items()
            if text is not None
        }
        self.solved: dict[sp.Symbol, Unit] = {}
        self.fixed: dict[sp.Basic, sp.Expr] = {}
        self.chosen: set[str] = set()
        self.choosing = False

    def resolved(self, unit: Unit) -> Unit:
        """Put in what is known of the unknowns."""
        while any(base in self.solved for base in unit):
            unit = _times(*(self.solved.get(base, {base: sp.S.One}) for base in unit), powers=unit.values())
        return unit

    def text(self, unit: Unit) -> str:
        """Write a unit as the glossary does; ``[y]`` is the unknown unit of y."""
        return str(sp.Mul(*[base**power for base, power in self.resolved(unit).items()])).replace("**", "^")

    def agree(self, first: Unit, second: Unit) -> bool:
        """Whether two units are one; an unknown that would make them so is determined."""
        ratio = self.resolved(_times(first, second, powers=(1, -1)))
        ratio = {base: its for base, power in ratio.items() if (its := sp.cancel(power.subs(self.fixed))) != 0}
        # A power that is a number is surely not 0.
        for base, power in sorted(ratio.items(), key=lambda item: not item[1].is_number):
            if base not in BASE.values() and (power.is_number or power.is_nonzero):
                self.solved[base] = {other: -its / power for other, its in ratio.items() if other != base}
                return True
        return not ratio

    def pure(self, expression: sp.Basic) -> Unit:
        """Require that an expression is a pure number."""
        unit = self.of(expression)
        if unit is not None and not self.agree(unit, {}):
            raise InhomogeneousError(f"{expression} has the unit {self.text(unit)}, not 1")
        return {}

    def common(self, *terms: sp.Basic) -> Unit | None:
        """Require that terms have one unit, and return it; None if any will do, as for 0."""
        units = [(term, unit) for term in terms if (unit := self.of(term)) is not None]
        for term, unit in units[1:]:
            if not self.agree(units[0][1], unit):
                one, its = units[0]
                raise InhomogeneousError(f"{one} has the unit {self.text(its)}, {term} has {self.text(unit)}")
        return units[0][1] if units else None

    def of(self, expression: sp.Basic) -> Unit | None:
        """Return the unit of an expression, whose terms must agree; None if any unit will do (0, infinity, O(x))."""
        if expression == 0 or isinstance(expression, sp.Order) or expression in (sp.oo, -sp.oo):
            return None
        if expression in self.known:
            return self.known[expression]
        if expression.is_number:
            return {}
        for kinds, rule in _RULES:
            if isinstance(expression, kinds):
                return rule(self, expression)
        if type(expression).__module__.startswith("sympy.functions"):  # exp, sin, besseli: of numbers
            for argument in expression.args:
                self.pure(argument)
            return {}
        raise InhomogeneousError(f"nothing says which unit {type(expression).__name__} has: {expression}")

    def product(self, *factors: sp.Basic, powers: Iterable[Any] = ()) -> Unit | None:
        """Return the unit of a product; None if a factor may have any."""
        units = [unit for factor in factors if (unit := self.of(factor)) is not None]
        return _times(*units, powers=powers) if len(units) == len(factors) else None

    def within(self, inner: sp.Basic, variables: Iterable[sp.Basic], units: Iterable[Unit | None]) -> Unit | None:
        """Return the unit of what stands inside, where variables have certain units."""
        outside = self.known
        self.known = outside | {one: unit for one, unit in zip(variables, units, strict=True) if unit is not None}
        try:
            return self.of(inner)
        finally:
            self.known = outside

    def application(self, function: AppliedUndef) -> Unit:
        """Return the unit of a function's value; its arguments must have the units they had before.

        Once a symbol was chosen to have a unit, the function takes numbers in units of that choice too; what it is
        then has a unit of its own.

        Raises
        ------
        InhomogeneousError
            If an argument has another unit than before.
        """
        name = str(function.func)
        units = [self.of(argument) or {} for argument in function.args]
        strange = [
            argument
            for place, (argument, unit) in enumerate(zip(function.args, units, strict=True), start=1)
            if argument != 0 and not self.agree(_unknown(f"{name}, {place}"), unit)
        ]
        if not strange:
            return self.known[_NAMED[name]] if name in _NAMED else _unknown(f"{name}()")
        name += f"({', '.join(map(self.text, units))})"
        if self.choosing:
            self.chosen.add(name)
        if name not in self.chosen:
            place = function.args.index(strange[0])
            raise InhomogeneousError(
                f"{strange[0]} in {function} has the unit {self.text(units[place])}, not as before"
            )
        return _unknown(name)


def _unknown(name: str) -> Unit:
    return {sp.Symbol(f"[{name}]"): sp.S.One}


def _power(units: Units, power: sp.Pow) -> Unit | None:
    units.pure(power.exp)
    return units.product(power.base, powers=[power.exp])


def _logarithm(units: Units, logarithm: sp.log) -> Unit | None:
    """The unit of a logarithm, up to a constant: 1, and for ``log(x**T)`` that of ``T log(x)``."""
    exponents: list[sp.Basic] = []
    for factor in sp.Mul.make_args(logarithm.args[0]):
        base, exponent = factor.as_base_exp()
        plain = exponent.is_number or base.is_number
        units.of(factor if plain else base)
        exponents.append(sp.S.One if plain else exponent)
    return units.common(*exponents)


def _derivative(units: Units, derivative: sp.Derivative) -> Unit | None:
    variables = dict(derivative.variable_count)
    return units.product(derivative.expr, *variables, powers=[1, *(-count for count in variables.values())])


def _integral(units: Units, integral: sp.Integral | sp.Sum) -> Unit | None:
    bounds = [units.common(*limit) or {} for limit in integral.limits]
    if isinstance(integral, sp.Sum):
        units.pure(integral.limits[0][0])
    inner = units.of(integral.function)
    return None if inner is None else _times(inner, *bounds)


_RULES: list[tuple[Any, Callable[[Units, Any], Unit | None]]] = [
    (sp.Symbol, lambda _, symbol: _unknown(symbol.name)),
    (sp.Add, lambda units, total: units.common(*total.args)),
    (_PRODUCT, lambda units, product: units.product(*product.args)),
    (sp.Pow, _power),
    (v.NoiseVariance, lambda units, variance: units.product(variance.args[0], powers=[2])),  # before the mean
    ((v.Sign, v.MatrixSign), lambda units, sign: units.product(sign.args[0], powers=[0])),
    (v.Powers, lambda units, power: units.product(power.args[0], powers=[power.args[1]])),
    (v.Clip, lambda units, clip: units.common(*clip.args)),
    (_SAME, lambda units, same: units.of(same.args[0])),
    (AppliedUndef, lambda units, function: units.application(function)),
    (sp.log, _logarithm),
    (v.Quad, lambda units, form: units.product(*form.args, powers=[1, 2])),
    (v.Sandwich, lambda units, form: units.product(*form.args, powers=[2, 1])),
    (v.Inverse, lambda units, inverse: units.product(inverse.args[0], powers=[-1])),
    (v.Generator, lambda units, rate: units.product(rate.args[0], s.t, powers=[1, -1])),
    (v.Functional, lambda units, functional: units.product(functional.args[0], powers=[0])),
    ((Partial, Variation), lambda units, slope: units.product(*slope.args[:2], powers=[1, -1])),
    (sp.Derivative, _derivative),
    ((sp.Integral, sp.Sum), _integral),
    (sp.Subs, lambda units, put: units.within(put.expr, put.variables, [units.of(point) for point in put.point])),
]


def cases_of(derivation: Any) -> list[str]:
    """Return which of `OVERRIDES` hold in a derivation."""
    own = derivation.name.removesuffix("-symmetry") if derivation.name.endswith("-symmetry") else "sgd"
    optimizer = getattr(derivation.protocol, "optimizer", own)
    present = set().union(*(step.equation.free_symbols for step in derivation.steps))
    holds = {
        "linear": s.C in present,
        "homogeneous": optimizer not in _STATED or not present.isdisjoint((s.D_now, s.D_step, s.u)),
        **{case: case in f"{optimizer} {derivation.name}" for case in ("adamw", "adam-l2")},
    }
    return [case for case in OVERRIDES if holds[case]]


def units_of(derivation: Any) -> Units:
    """Return the units that hold in a derivation, before any of its steps.

    Iterations count as a unit only in continuous time: a discrete step adds a rate to the weights themselves.
    """
    overrides = {symbol: unit for case in cases_of(derivation) for symbol, unit in OVERRIDES[case].items()}
    present = set().union(*(step.equation.free_symbols for step in derivation.steps))
    numbers = [unit for symbol, (unit, _) in NATURAL.items() if symbol in present]
    if not any("continuous time" in step.assumptions for step in derivation.steps):
        numbers.append("iteration")
    units = Units(overrides, numbers)
    # In a derivation about one degree, exponents are numbers.
    given = (step.equation for step in derivation.steps if s.degree in step.equation.args[:1])
    units.fixed = {one.lhs: one.rhs for one in given if one.rhs.is_number}
    return units


def check_step(equation: sp.Basic, units: Units, operation: str = "") -> None:
    """Check that an equation or inequality is homogeneous; `units` learns what it determines.

    A step that gives a free symbol a value ("choose", as c = sqrt(lambda) in ``S(lambda/c**2)``) may so choose units;
    only there does a function get arguments of another unit than before.

    Raises
    ------
    InhomogeneousError
        If it is not; the message has the two terms and their units.
    """
    units.choosing = operation == "choose"
    units.common(*equation.args)


def check(derivation: Any) -> Units:
    """Check every step of a derivation, and return the units that its steps have determined.

    Raises
    ------
    InhomogeneousError
        If a step is not homogeneous; the message has its number, two terms and their units.
    """
    units = units_of(derivation)
    for step in derivation.steps:
        try:
            check_step(step.equation, units, step.operation)
        except InhomogeneousError as error:
            found = InhomogeneousError(f"step {step.number}, {sp.sstr(step.equation)}, mixes units: {error}")
            found.step = step
            raise found from None
    return units
