"""The von Mises-Fisher gas: the loss ``L = 1 - mu.w`` on the unit sphere, the one gas whose every number is known.

>>> from thermo_theory import derive, vmf
>>> derive("adiabatic-index").assumptions
('Gibbs law', 'ideal gas law')

In three dimensions ``gamma = 1 + 1/(1 - (kappa/sinh kappa)^2)``; everywhere it tends to 2 in the cold:

>>> round(vmf.adiabatic_index(d=3, T=0.5), 12)
2.436961888766
>>> round(vmf.adiabatic_index(d=20, T=1e-4), 3)
2.001
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.derivation import Chain, Step, derivation, derive
from thermo_theory.formula import Formula
from thermo_theory.gases import _vmf_numeric as numeric
from thermo_theory.gases._vmf_numeric import sample
from thermo_theory.operations import (
    OperationError,
    differentiate,
    expand,
    flip,
    limit_of,
    operation,
    scale,
    simplify,
    solve_for,
    substitute,
)
from thermo_theory.symbols import C_p, C_V, L, R, T, V, d, gamma, kappa, p, r, theta
from thermo_theory.worlds.vmf import (
    density,
    directions_entropy,
    energy as energy_of,
    gas_world,
    mean_cosine,
    partition,
    weights_entropy,
)

__all__ = ["adiabatic_index", "energy", "entropy", "heat_capacity", "sample"]

PAPER = "Sadrtdinov et al. 2025, arXiv 2511.07308"
DIRECTIONAL = "Mardia & Jupp 2000, Directional Statistics, Sec. 9.3"

A, Z = mean_cosine(kappa), partition(kappa)
_WORLD = gas_world((2, "0.45"), (4, "0.31"), (5, "0.87"))
_COLD_TOO = gas_world((2, "0.45"), (4, "0.31"), (5, "0.87"))

#: Formulas of this module by name, and the derivations whose claims they are.
_FORMULAS = {
    "energy": "vmf-energy",
    "entropy": "vmf-entropy",
    "heat_capacity": "vmf-heat-capacity",
    "adiabatic_index": "adiabatic-index",
}

energy: Formula
entropy: Formula
heat_capacity: Formula
adiabatic_index: Formula


def __getattr__(name: str) -> Formula:
    """Derive a formula when it is asked for.

    Raises
    ------
    AttributeError
        If the gas has no formula of that name.
    """
    if name not in _FORMULAS:
        raise AttributeError(f"the von Mises-Fisher gas has no {name}; it has {', '.join(_FORMULAS)}")
    return derive(_FORMULAS[name]).claim


# Operations --------------------------------------------------------------------------------------


def _over_the_angle(function: sp.Expr) -> sp.Integral:
    """Integral of a function of the angle over the sphere, less the area of the sphere of the other angles."""
    return sp.Integral(function * sp.sin(theta) ** (d - 2), (theta, 0, sp.pi))


def _linear(integral: sp.Integral) -> sp.Expr:
    """Take a sum and constant factors out of an integral over the angle."""
    measure = sp.Dummy("m", positive=True)
    limits = integral.limits[0]
    variable = limits[0]
    powers = [part for part in integral.function.atoms(sp.Pow) if part.base == sp.sin(variable)]
    stand_in = dict(zip(powers, [measure], strict=False))
    inside = sp.expand(sp.expand_log(integral.function.subs(stand_in)))
    total = sp.S.Zero
    for term in sp.Add.make_args(inside):
        constant, varying = sp.powsimp(term).as_independent(variable)
        constant_power, varying_power = sp.S.One, sp.S.One
        for factor in sp.Mul.make_args(varying):
            if isinstance(factor, sp.exp):
                fixed, moving = sp.expand(factor.args[0]).as_independent(variable, as_Add=True)
                constant_power *= sp.exp(fixed)
                varying_power *= sp.exp(moving)
            else:
                varying_power *= factor
        if constant.has(measure):
            constant, varying_power = constant.subs(measure, 1), varying_power * measure
        back = {measure: powers[0]} if powers else {}
        total += constant * constant_power * sp.Integral(varying_power.subs(back), limits)
    return total


@operation("take sums and constants out of the integrals")
def linearity(equation: sp.Eq) -> sp.Eq:
    """Integrals are linear: constants come out, a sum is integrated term by term."""
    right = equation.rhs
    for integral in sorted(right.atoms(sp.Integral), key=sp.default_sort_key):
        right = right.subs(integral, _linear(integral))
    return sp.Eq(equation.lhs, sp.powsimp(sp.expand(right)), evaluate=False)


def _gathered(expression: sp.Expr) -> sp.Expr:
    """Multiply powers of one base; those of roots become powers of what stands under them."""
    plain = sp.expand_power_base(sp.gammasimp(sp.expand(expression)))
    return sp.powsimp(plain.replace(lambda part: part.is_Pow and part.base.is_Pow, sp.powdenest), combine="exp")


@operation("gather powers")
def gather_powers(equation: sp.Eq) -> sp.Eq:
    """Multiply powers of one base."""
    return sp.Eq(_gathered(equation.lhs), _gathered(equation.rhs), evaluate=False)


@operation("put in the slopes")
def put_slopes(equation: sp.Eq, *slopes: sp.Eq) -> sp.Eq:
    """Put what is known of derivatives of functions of one variable where those derivatives stand at other values."""
    right = equation.rhs
    for known in slopes:
        name, variable = known.lhs.expr.func, known.lhs.variables[0]
        for there in right.atoms(sp.Subs):
            if isinstance(there.expr, sp.Derivative) and there.expr.expr.func == name:
                right = right.subs(there, known.rhs.subs(variable, there.point[0]))
        if any(part.expr.has(name) for part in right.atoms(sp.Subs)):
            raise OperationError(f"derivatives of {name} are left in {right}")
    return sp.Eq(equation.lhs, sp.expand(right), evaluate=False)


@operation("take logarithms apart")
def expand_logs(equation: sp.Eq) -> sp.Eq:
    """The log of a product of positive numbers is the sum of their logs."""
    return sp.Eq(equation.lhs, sp.expand(sp.expand_log(equation.rhs, force=True)), evaluate=False)


@operation("divide")
def divide(first: sp.Eq, second: sp.Eq) -> sp.Eq:
    """Divide one equation by another, side by side."""
    return sp.Eq(first.lhs / second.lhs, sp.powsimp(first.rhs / second.rhs), evaluate=False)


@operation("do the integral over the polar angle")
def polar_integral(equation: sp.Eq) -> sp.Eq:
    """Integrate ``exp(k cos a) (sin a)^(2 nu)`` from 0 to pi by Poisson's integral of the Bessel function, DLMF 10.32.2.

    It is ``sqrt(pi) Gamma(nu + 1/2) (2/k)^nu I_nu(k)``; k and nu are read off the integrand.
    """
    right = equation.rhs
    for integral in right.atoms(sp.Integral):
        angle, low, high = integral.limits[0]
        k, power = sp.Wild("k", exclude=[angle, 0]), sp.Wild("n", exclude=[angle])
        found = integral.function.match(sp.exp(k * sp.cos(angle)) * sp.sin(angle) ** power)
        if found is None or (low, high) != (0, sp.pi):
            raise OperationError(f"{integral} is not Poisson's integral")
        nu, argument = found[power] / 2, found[k]
        value = sp.sqrt(sp.pi) * sp.gamma(nu + sp.S.Half) * (2 / argument) ** nu * sp.besseli(nu, argument)
        right = right.subs(integral, value)
    return sp.Eq(equation.lhs, _gathered(right), evaluate=False)


@operation("use the recurrences of the Bessel functions")
def bessel_recurrences(equation: sp.Eq) -> sp.Eq:
    """Write Bessel functions ``I_n`` of one argument by the two of them of orders nu and nu + 1, DLMF 10.29.1.

    ``I_(n-1)(z) - I_(n+1)(z) = 2 n I_n(z)/z``; nu is the second highest order if there is none below, else the one
    in the middle of what stands there.
    """
    right = equation.rhs
    while True:
        functions = sorted(right.atoms(sp.besseli), key=lambda one: sp.simplify(one.order - d / 2))
        if len(functions) <= 2:
            break
        lowest, highest = functions[0], functions[-1]
        z, base = lowest.argument, d / 2 - 1
        if sp.simplify(lowest.order - base).is_negative:
            n = lowest.order + 1
            right = right.subs(lowest, sp.besseli(sp.expand(n + 1), z) + 2 * n / z * sp.besseli(sp.expand(n), z))
        else:
            n = highest.order - 1
            right = right.subs(highest, sp.besseli(sp.expand(n - 1), z) - 2 * n / z * sp.besseli(sp.expand(n), z))
    return sp.Eq(equation.lhs, sp.expand(sp.simplify(right)), evaluate=False)


def _power_solution(equation: sp.Eq, function: sp.Expr, count: int) -> list[sp.Expr]:
    """Coefficients of the solution of an equation of first order in powers of 1/variable, the first one positive."""
    variable = function.args[0]
    small = sp.Dummy("s", positive=True)
    coefficients = sp.symbols(f"a:{count + 1}")
    ansatz = sum(one * variable**-n for n, one in enumerate(coefficients))
    put = (equation.lhs - equation.rhs).subs(function, ansatz).doit().subs(variable, 1 / small)
    put = sp.Poly(sp.expand(put), small)
    known: dict[sp.Symbol, sp.Expr] = {}
    for n, unknown in enumerate(coefficients):
        condition = sp.expand(put.coeff_monomial(small**n).subs(known))
        solutions = [one for one in sp.solve(condition, unknown) if n or one.is_positive]
        if len(solutions) != 1:
            raise OperationError(f"{equation} does not fix the coefficient of order {n}")
        known[unknown] = sp.factor(solutions[0])
    return [known[one] for one in coefficients]


@operation("solve in powers of 1/argument, {1} of them, for {0}")
def solve_in_powers(equation: sp.Eq, function: sp.Expr, count: int) -> sp.Eq:
    """Solve a differential equation of first order order by order far out, for the solution that tends to 1."""
    variable = function.args[0]
    coefficients = _power_solution(equation, function, count)
    total = sum(one * variable**-n for n, one in enumerate(coefficients))
    return sp.Eq(function, total + sp.Order(variable ** -(count + 1), (variable, sp.oo)), evaluate=False)


@operation("put in the series, in powers of {0}")
def put_series(equation: sp.Eq, expansion: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """Put a series of f(kappa) in powers of 1/kappa into an equation with f(1/variable), and collect powers.

    The order up to which the result is known is found by moving f by its order term.
    """
    order = next(iter(expansion.rhs.atoms(sp.Order)))
    far, name = order.variables[0], expansion.lhs.func
    size = sp.Dummy("size")
    near = (expansion.rhs.removeO() + size * order.expr).subs(far, 1 / variable)
    return _collected(equation, equation.rhs.subs(name(1 / variable), near), size, variable)


@operation("put in the series of {0}")
def put_expansion(equation: sp.Eq, expansion: sp.Eq, variable: sp.Symbol) -> sp.Eq:
    """Put the series of a symbol in powers of a variable into an equation, and collect powers."""
    order = next(iter(expansion.rhs.atoms(sp.Order)))
    size = sp.Dummy("size")
    near = expansion.rhs.removeO() + size * order.expr
    return _collected(equation, equation.rhs.subs(expansion.lhs, near), size, variable)


def _collected(equation: sp.Eq, put: sp.Expr, size: sp.Symbol, variable: sp.Symbol) -> sp.Eq:
    """Powers of the variable, up to the first one that knows of the size of what was left out."""
    moved = sp.cancel(sp.together(sp.diff(put, size)))
    reach = _leading_power(moved, variable)
    total = sp.S.Zero
    rest = sp.cancel(sp.together(put.subs(size, 0)))
    for n in range(min(_leading_power(rest, variable), 0), reach):
        coefficient = sp.cancel(sp.cancel(rest / variable**n).subs(variable, 0))
        total += sp.factor(coefficient) * variable**n
        rest = sp.cancel(rest - coefficient * variable**n)
    return sp.Eq(equation.lhs, total + sp.Order(variable**reach), evaluate=False)


def _leading_power(expression: sp.Expr, variable: sp.Symbol) -> int:
    """The power of the variable with which a rational function begins."""
    lowest = [min(powers[0] for powers in sp.Poly(part, variable).monoms()) for part in sp.fraction(expression)]
    return int(lowest[0] - lowest[1])


#: Area of the sphere of the other angles.
_OTHER_ANGLES = 2 * sp.pi ** ((d - 1) / 2) / sp.gamma((d - 1) / 2)
_BOLTZMANN = sp.exp(kappa * sp.cos(theta))
_COSINE_INTEGRAL = _over_the_angle(sp.cos(theta) * _BOLTZMANN) / _over_the_angle(_BOLTZMANN)


# Partition function, mean cosine, Riccati's equation ---------------------------------------------


def _riccati(chain: Chain) -> None:
    total = chain.definition(
        sp.Eq(Z, _OTHER_ANGLES * _over_the_angle(_BOLTZMANN), evaluate=False),
        "the integral of exp(kappa cos) over the sphere, the other angles done: the area of a sphere",
    )
    mean = chain.definition(
        sp.Eq(A, _COSINE_INTEGRAL, evaluate=False),
        "the mean cosine",
    )
    slope = chain.do(divide, chain.do(differentiate, total, kappa), total, because="the slope of log Z")
    slope = chain.do(substitute, slope, chain.do(flip, mean))
    bessel = chain.do(polar_integral, total)
    slope = chain.do(flip, chain.do(substitute, slope, bessel))
    ratio = chain.do(bessel_recurrences, slope)
    rate = chain.do(bessel_recurrences, chain.do(differentiate, ratio, kappa))
    upper = chain.do(solve_for, ratio, sp.besseli(d / 2, kappa))
    chain.do(substitute, rate, upper, because="the Bessel functions drop out")


derivation(
    "vmf-riccati",
    kind="identity",
    source=f"{DIRECTIONAL}; DLMF 10.32.2, 10.29",
    summary="The mean cosine of the von Mises-Fisher gas and its slope: A' = 1 - A^2 - (d - 1) A/kappa",
    worlds=[_WORLD],
)(_riccati)


# Energy, entropy, heat capacity ------------------------------------------------------------------


def _loss_and_heat(chain: Chain) -> tuple[Step, Step]:
    """Loss and temperature."""
    loss = chain.definition(sp.Eq(L, 1 - sp.cos(theta), evaluate=False), "the loss 1 - mu.w falls with the angle to mu")
    heat = chain.definition(sp.Eq(T, 1 / kappa, evaluate=False), "the concentration is the inverse temperature")
    return loss, heat


def _energy(chain: Chain) -> None:
    cosine = chain.claim("vmf-riccati", about=A)
    mean = chain.claim("vmf-riccati", about=_COSINE_INTEGRAL)
    loss, heat = _loss_and_heat(chain)
    weight = sp.exp(-L / T)
    law = chain.assumption(
        "Gibbs law",
        sp.Eq(energy_of(T), _over_the_angle(L * weight) / _over_the_angle(weight), evaluate=False),
        "the mean loss under exp(-L/T)",
    )
    put = chain.do(linearity, chain.do(substitute, law, loss, heat))
    put = chain.do(substitute, put, mean)
    inverse = chain.do(solve_for, heat, kappa)
    chain.do(substitute, chain.do(substitute, put, inverse), chain.do(substitute, cosine, inverse))


derivation(
    "vmf-energy",
    kind="physics",
    source=f"{PAPER}; {DIRECTIONAL}",
    summary="The mean loss of the von Mises-Fisher gas is 1 less the mean cosine, a ratio of Bessel functions",
    worlds=[_WORLD],
    kernel=numeric.energy,
    arguments=("d", "T"),
)(_energy)


def _entropy(chain: Chain) -> None:
    cosine = chain.claim("vmf-riccati", about=A)
    mean = chain.claim("vmf-riccati", about=_COSINE_INTEGRAL)
    closed = chain.claim("vmf-riccati", about=Z)
    total = chain.definition(
        sp.Eq(Z, _OTHER_ANGLES * _over_the_angle(_BOLTZMANN), evaluate=False), "the partition function"
    )
    loss, heat = _loss_and_heat(chain)
    entropy = chain.definition(
        sp.Eq(
            directions_entropy(T),
            -_OTHER_ANGLES * _over_the_angle(density(theta) * sp.log(density(theta))),
            evaluate=False,
        ),
        "minus the mean log density",
    )
    law = chain.assumption(
        "Gibbs law",
        sp.Eq(density(theta), sp.exp(-L / T) / (_OTHER_ANGLES * _over_the_angle(sp.exp(-L / T))), evaluate=False),
        "the density is exp(-L/T) over its integral",
    )
    law = chain.do(linearity, chain.do(substitute, law, loss, heat))
    norm = chain.do(solve_for, total, _over_the_angle(_BOLTZMANN))
    law = chain.do(gather_powers, chain.do(substitute, law, norm))
    put = chain.do(linearity, chain.do(substitute, entropy, law, heat))
    part = chain.do(scale, mean, _over_the_angle(_BOLTZMANN))
    put = chain.do(substitute, chain.do(substitute, put, part), norm)
    put = chain.do(gather_powers, put, because="log Z - kappa A, with C_d = 1/Z")
    inverse = chain.do(solve_for, heat, kappa)
    parts = [chain.do(substitute, part, inverse) for part in (closed, cosine)]
    chain.do(expand_logs, chain.do(substitute, chain.do(substitute, put, inverse), *parts))


derivation(
    "vmf-entropy",
    kind="physics",
    source=f"{PAPER}; {DIRECTIONAL}",
    summary="The entropy of the directions is -log C_d - kappa A_d",
    worlds=[_WORLD],
    kernel=numeric.entropy,
    arguments=("d", "T"),
)(_entropy)


def _heat_capacity(chain: Chain) -> None:
    mean = chain.claim("vmf-energy", about=energy_of(1 / kappa))
    riccati = chain.claim("vmf-riccati")
    capacity = chain.definition(
        sp.Eq(C_V, sp.Derivative(energy_of(T), T), evaluate=False),
        "energy for a change of temperature; the norm of the weights is held, and the energy does not depend on it",
    )
    inverse = chain.definition(sp.Eq(kappa, 1 / T, evaluate=False), "the concentration is the inverse temperature")
    slope = chain.do(differentiate, chain.do(substitute, mean, inverse), T)
    chain.do(substitute, capacity, chain.do(put_slopes, slope, riccati))


derivation(
    "vmf-heat-capacity",
    kind="physics",
    source=f"{PAPER}; {DIRECTIONAL}",
    summary="The heat capacity at constant volume, C_V = kappa^2 (1 - A^2 - (d - 1) A/kappa), kappa = 1/T",
    worlds=[_WORLD],
    kernel=numeric.heat_capacity,
    arguments=("d", "T"),
)(_heat_capacity)


# Adiabatic index ---------------------------------------------------------------------------------


def _heat_of_directions(chain: Chain, riccati: Step, inverse: Step) -> tuple[Step, Step]:
    """The heat of the directions a change of temperature, T dS_sphere/dT, is the heat capacity C_V."""
    entropy = chain.claim("vmf-entropy", about=directions_entropy(1 / kappa))
    log_slope = chain.claim("vmf-riccati", about=sp.Derivative(Z, kappa) / Z)
    capacity = chain.claim("vmf-heat-capacity")
    slope = chain.do(differentiate, chain.do(substitute, entropy, inverse), T)
    by_z = chain.do(scale, log_slope, Z)
    heat = chain.do(scale, chain.do(put_slopes, slope, by_z, riccati), T)
    return capacity, chain.do(substitute, heat, chain.do(flip, capacity), because="dU = T dS_sphere")


def _adiabatic_index(chain: Chain) -> None:
    cosine, riccati = chain.claim("vmf-riccati", about=A), chain.claim("vmf-riccati")
    inverse = chain.definition(sp.Eq(kappa, 1 / T, evaluate=False), "the concentration is the inverse temperature")
    capacity, heat = _heat_of_directions(chain, riccati, inverse)
    whole = chain.definition(
        sp.Eq(weights_entropy(T, p), directions_entropy(T) + (d - 1) * sp.log(r), evaluate=False),
        "the entropy of the directions, and of the sphere they lie on",
    )
    volume = chain.definition(sp.Eq(V, r**2 / 2, evaluate=False), "half the squared norm")
    law = chain.assumption("ideal gas law", sp.Eq(p * V, R * T, evaluate=False))
    constant = chain.definition(sp.Eq(R, (d - 1) / 2, evaluate=False), "the gas constant")
    pressed = chain.definition(
        sp.Eq(C_p, T * sp.Derivative(weights_entropy(T, p), T), evaluate=False),
        "heat for a change of temperature at constant pressure",
    )
    index = chain.definition(sp.Eq(gamma, C_p / C_V, evaluate=False), "the adiabatic index")
    radius = chain.do(solve_for, chain.do(substitute, law, volume), r)
    whole = chain.do(substitute, whole, radius)
    growth = chain.do(scale, chain.do(differentiate, whole, T), T)
    growth = chain.do(substitute, growth, heat)
    pressed = chain.do(substitute, pressed, growth)
    twice = chain.do(solve_for, constant, d)
    pressed = chain.do(substitute, pressed, twice, because="C_p - C_V = R")
    index = chain.do(expand, chain.do(substitute, index, pressed))
    index = chain.do(substitute, index, constant)
    far = chain.do(solve_in_powers, riccati, A, 3)
    cold = chain.do(put_series, capacity, far, T)
    cold = chain.do(put_expansion, index, cold, T)
    chain.do(limit_of, cold, T, 0, because="the low-temperature gas has the index 2")
    closed = chain.do(substitute, cosine, inverse)
    chain.do(substitute, index, chain.do(substitute, capacity, closed))


derivation(
    "adiabatic-index",
    kind="physics",
    source=f"{PAPER}, Sec. 4",
    summary="The adiabatic index of the von Mises-Fisher gas in any dimension at any temperature; it tends to 2 as T to 0",
    worlds=[_WORLD],
    kernel=numeric.adiabatic_index,
    arguments=("d", "T"),
)(_adiabatic_index)
