"""No premise in disguise: a definition only names; what can be false is assumed, and can be withdrawn."""

import pytest
from sympy import exp

from thermo_theory import FixedLR, FixedSphere, StepFalse, derivations, derive
from thermo_theory import symbols as s
from thermo_theory.engine.checking import Worlds, check
from thermo_theory.engine.derivation import Chain
from thermo_theory.symbols.vectors import Apply, Div, Dot, Expectation, Quad
from thermo_theory.theory.gases.ideal import _S, _S_sphere


def test_definitions_are_checked_where_nothing_is_granted():
    for found in derivations():
        for step in found.steps:
            if step.operation == "definition":
                assert step.rests_on == (), f"{found.title}: {step}"


def test_no_definition_says_what_an_average_of_known_things_is():
    for found in derivations():
        known = set()
        for step in found.steps:
            names = {symbol.name for symbol in step.equation.free_symbols}
            average = isinstance(getattr(step.equation, "lhs", None), Expectation)
            assert step.operation != "definition" or not average or names - known, f"{found.title}: {step}"
            known |= names


#: Premises that 0.1.0 took for definitions: of which derivation, what was said.
PREMISES = {
    "entropy of the directions depends on T alone": (
        ("maxwell", FixedSphere),
        s.eq(_S(s.T, s.r), _S_sphere(s.T) + (s.d - 1) * s.sp.log(s.r)),
    ),
    "zero flux": (
        ("stationary-distribution", None),
        s.eq(2 * s.drift_unit, Div(s.diffusion_unit) + Apply(s.diffusion_unit, s.grad_log_rho)),
    ),
    "a density is Gibbs'": (("temperature", FixedLR), s.eq(s.grad_log_rho, -s.grad_L_unit / s.T)),
    "noise has no mean": (("finite-step", FixedSphere), s.eq(Expectation(Dot(s.x, s.xi)), 0)),
    "minibatch gradients are unbiased": (
        ("step-thermometer", None),
        s.eq(Expectation(Dot(s.grad_L_unit, s.g_unit)), Expectation(Dot(s.grad_L_unit, s.grad_L_unit))),
    ),
    "the noise is the same everywhere": (
        ("step-thermometer", None),
        s.eq(Expectation(Quad(s.Hess, s.xi)), s.sigma**2 * Expectation(s.lap_L)),
    ),
    "a ramp": (("quasi-static", None), s.eq(s.eta, s.eta0 * exp(s.ramp * s.t / 2))),
    "constant pressure": (("isobar", None), s.eq(s.p, s.p0)),
    "constant volume": (("isochore", None), s.eq(s.r, s.r0)),
}


@pytest.mark.parametrize("what", PREMISES)
def test_planted_a_premise_is_no_definition(what):
    (name, protocol), equation = PREMISES[what]
    found = derive(name, protocol)
    step = Chain("planted").definition(equation, what)
    with pytest.raises(StepFalse):
        check(step, Worlds(found.worlds).granting(step.rests_on))
