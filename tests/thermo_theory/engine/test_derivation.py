"""The engine: chains, checks, and that the checks can fail."""

import pickle
import subprocess
import sys

import pytest
import sympy as sp
from cases import ALL, TURNS, derived
from mutation import Court, same
from sympy.core.function import AppliedUndef

import thermo_theory
from thermo_theory import DerivationError, FixedELR, FixedLR, FixedSphere, StepFalse, StepUnproved, derivations, derive
from thermo_theory import assumption as own_assumption
from thermo_theory import symbols as s
from thermo_theory.engine import registry
from thermo_theory.engine.derivation import ASSUMPTIONS, KINDS, Chain, Derivation, derivation, registered
from thermo_theory.engine.operations import OPERATIONS, OperationError, factor, operation, scale, solve_for, substitute
from thermo_theory.engine.world import World
from thermo_theory.symbols import R, T, V, d, eq, eta, eta_eff, lam, p, sigma


def held(name, protocol):
    """A derivation, all of whose steps hold."""
    found = derived(name, protocol)
    evidence = found.verify()
    assert len(evidence) == len(found.steps)
    assert all(one.worlds for one in evidence)
    assert set(found.assumptions) <= set(ASSUMPTIONS)
    assert found.kind in KINDS
    assert found.source
    assert found.summary
    return found


def nothing_else_holds(found):
    """Not without any of its assumptions do the steps of a derivation hold, nor does a wrong claim."""
    for assumption in found.assumptions:
        with pytest.raises(DerivationError):
            found.without(assumption).verify()
    claim, court = found.steps[-1].equation, Court(found)
    tried = 0
    for wrong in (2 * claim.rhs, -claim.rhs, claim.rhs + 1):
        mutant = eq(claim.lhs, wrong)
        if isinstance(claim, sp.Eq) and not same(mutant, claim):
            tried += 1
            assert court.caught(len(found.steps) - 1, mutant), mutant
    assert tried or not isinstance(claim, sp.Eq)


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_every_derivation_holds(name, protocol, record_property):
    found = held(name, protocol)
    record_property("derivations verified", 1)
    record_property("steps verified", len(found.steps))
    if (name, protocol) in TURNS:  # here, since the two share worlds
        nothing_else_holds(found)


@pytest.mark.long
@pytest.mark.parametrize(("name", "protocol"), [row for row in ALL if row.values not in TURNS])
def test_nothing_else_holds(name, protocol):
    nothing_else_holds(held(name, protocol))


def test_only_definitions_and_assumptions_are_ready_made():
    for found in derivations():
        for step in found.steps:
            assert step.operation in {"definition", "assumption", "claim", *OPERATIONS}, step
            if step.operation in OPERATIONS:
                assert step.parents, f"{found.title}: {step}"
                assert max(step.parents) < step.number, f"{found.title}: {step}"
            assert bool(step.assumptions) <= (step.operation in {"assumption", "claim"})
            # What sympy takes for a number it may try to compute.
            sums = [one for one in step.equation.atoms(sp.Sum) if one.is_number]
            assert not any(one.atoms(AppliedUndef) for one in sums), step


def test_imports_of_claims_form_no_cycle():
    uses = {}
    for found in derivations():
        sources = {step.done.removeprefix("from ") for step in found.steps if step.operation == "claim"}
        uses[found.title] = sources
    done: set[str] = set()
    while len(done) < len(uses):
        ready = {title for title, sources in uses.items() if title not in done and sources <= done}
        assert ready, f"a circle among {sorted(set(uses) - done)}"
        done |= ready


def test_pairs_are_unique_and_listed():
    rows = list(derivations())
    assert len({(row.name, str(row.protocol)) for row in rows}) == len(rows)
    table = repr(derivations())
    assert all(row.name in table for row in rows)
    assert "<table>" in derivations()[:3]._repr_html_()


@pytest.mark.parametrize("protocol", [FixedSphere, FixedELR, FixedLR])
def test_ideal_gas_law_needs_no_isotropy(protocol):
    law = derive("ideal-gas-law", protocol)
    assert law.claim.equation == sp.Eq(V * p, R * T)
    assert not {"isotropic noise", "homogeneous noise", "Gibbs law"} & set(law.assumptions)
    assert {"isotropic noise", "homogeneous noise"} <= set(derive("temperature", protocol).assumptions)


def _toy(build, meanings):
    """A derivation outside the registry."""
    chain = Chain()
    build(chain)
    world = World(meanings, "toy")

    def maker(number, granted):
        return world

    maker.__doc__ = "a toy"
    return Derivation("toy", None, None, "nowhere", "a toy", (maker,), steps=tuple(chain.steps))


def _temperature(chain):
    chain.definition(eq(T, eta_eff * sigma**2 / 2), "temperature")


def test_a_false_step_comes_with_its_counterexample():
    toy = _toy(_temperature, {T: 3, eta_eff: 1, sigma: 2})
    with pytest.raises(StepFalse, match=r"step 1.*is false: off by 0\.33.*T = 3\.0.*\(toy\)") as caught_error:
        toy.verify()
    assert caught_error.value.step is toy.steps[0]


def test_a_step_that_sympy_sees_to_be_false_is_false():
    temperature = derive("temperature", FixedSphere)
    equation = temperature.claim.equation
    wrong = sp.Eq(equation.lhs, -equation.rhs)
    assert wrong is sp.false
    with pytest.raises(DerivationError) as found:
        temperature.replace(-1, wrong).verify()
    assert found.value.step.number == temperature.steps[-1].number


def test_a_counterexample_leaves_out_what_has_no_value():
    def unresolved(world):
        raise ArithmeticError("not resolved")

    assert World({T: 3, V: unresolved}).numbers([T, V]) == {"T": "3.0"}


def test_a_step_that_no_world_knows_is_unproved_and_not_false():
    with pytest.raises(StepUnproved, match=r"sigma \(Symbol\) has no meaning here") as caught_error:
        _toy(_temperature, {T: 3, eta_eff: 1}).verify()
    assert caught_error.value.step.number == 1


def test_a_step_that_is_no_number_is_unproved():
    with pytest.raises(StepUnproved):
        _toy(_temperature, {T: sp.nan, eta_eff: 1, sigma: 2}).verify()


def test_a_world_in_which_a_step_is_no_number_is_not_passed_over():
    """The false R = (d - 1)/2 + (d - 3)/(d - 4) is true at d = 3 and divides by zero at d = 4."""
    makers = tuple(lambda number, granted, n=n: World({R: sp.Rational(n - 1, 2), d: n}, f"d = {n}") for n in (3, 4))
    chain = Chain()
    chain.definition(eq(R, (d - 1) / 2 + (d - 3) / (d - 4)), "the gas constant")
    wrong = Derivation("toy", None, None, "nowhere", "a toy", makers, steps=tuple(chain.steps))
    with pytest.raises(StepUnproved, match="d = 4: "):
        wrong.verify()


def test_unknown_assumptions_are_value_errors():
    with pytest.raises(ValueError, match=r"does not assume 'isotropy'.*scale invariance"):
        derive("radius", FixedLR).without("isotropy")
    with pytest.raises(ValueError, match="'isotropy' is not an assumption"):
        Chain().assumption("isotropy", sp.Eq(T, 1))


def test_only_registered_operations_make_steps():
    def typed_in(equation):
        return sp.Eq(T, 7)

    with pytest.raises(ValueError, match="not a registered operation"):
        Chain().do(typed_in, sp.Eq(T, 1))
    with pytest.raises(OperationError, match="which is not an equation"):
        operation("do nothing")(lambda equation: sp.true)(sp.Eq(T, 1))
    OPERATIONS.pop("<lambda>")


def test_operations_refuse_what_they_cannot_do():
    x = sp.Symbol("x", real=True)
    with pytest.raises(OperationError, match="2 solutions"):
        solve_for(sp.Eq(x**2, 4), x)
    with pytest.raises(OperationError, match="does not occur in"):
        substitute(sp.Eq(x, 1), sp.Eq(T, 2))
    assert scale(sp.Eq(x, T), 2) == sp.Eq(2 * x, 2 * T)


def test_names_are_suggested():
    for other in (3, None):
        with pytest.raises(LookupError, match=f"no derivation is called {other}"):
            derive(other)
    with pytest.raises(LookupError, match="did you mean 'ideal-gas-law'"):
        derive("idael-gas-law")
    with pytest.raises(LookupError, match=r"fixed sphere; fixed ELR; fixed LR; .*; not for None"):
        derive("radius")
    assert derive("radius", "fixed-lr") is derive("radius", FixedLR) is derive("radius", "fixed LR")


def test_a_pair_cannot_be_registered_twice():
    said = r"^radius, fixed LR is registered twice: by thermo_theory\.theory\.gases\.ideal and by test_derivation"
    with pytest.raises(ValueError, match=said):
        derivation("radius", protocol=FixedLR, source="s", summary="s", worlds=[])(lambda chain: None)
    with pytest.warns(DeprecationWarning, match="x: the kind is computed from needs"):
        derivation("x", kind="physics", source="s", summary="s", worlds=[])
    with pytest.raises(ValueError, match="kind 'guess'"):
        derivation("x", kind="guess", source="s", summary="s", worlds=[])


@pytest.fixture
def registry_of_its_own(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registered()))


@pytest.mark.usefixtures("registry_of_its_own")
def test_what_runs_again_replaces_what_it_registered_and_what_was_built_on_it():
    def register(letter, module):
        def write(chain):
            chain.claim("temperature", FixedLR).solve_for(letter)

        def use(chain):
            chain.claim("mine").scale(2)

        for name, build in (("mine", write), ("on-mine", use)):
            build.__module__ = module
            derivation(name, source="s", summary="s", worlds=derive("temperature", FixedLR).worlds)(build)
        return [derive(name).claim.equation.lhs for name in ("mine", "on-mine")]

    assert register(eta, "cell") == [eta, 2 * eta]
    assert register(lam, "cell") == [lam, 2 * lam]
    for module in ("elsewhere", "__main__"):
        with pytest.raises(ValueError, match=f"mine is registered twice: by cell and by {module}; choose another name"):
            register(eta, module)


def test_a_derivation_is_continued_in_checked_steps():
    law = derive("temperature", FixedLR)
    rate = law.then(solve_for, eta, because="what to set")
    doubled = rate.then("scale", 2).then(factor)
    assert [step.operation for step in doubled.steps[len(law.steps) :]] == ["solve_for", "scale", "factor"]
    assert len(doubled.verify()) == len(law.steps) + 3 == len(doubled.steps)
    assert doubled.assumptions == law.assumptions == rate.assumptions
    assert rate.claim(T=1e-3, lam=1e-3, sigma=2.0, d=101) == pytest.approx(0.05)
    assert "[solve for η, from (8): what to set]" in str(rate)
    with pytest.raises(StepFalse):
        doubled.replace(-1, eq(2 * eta, 3 * doubled.claim.equation.rhs)).verify()
    with pytest.raises(DerivationError):
        rate.without("isotropic noise").verify()
    assert law == derive("temperature", FixedLR)
    assert pickle.loads(pickle.dumps(doubled)) == doubled


def test_another_derivation_enters_as_a_step():
    law = derive("ideal-gas-law", FixedLR)
    heat = law.then(substitute, derive("temperature", FixedLR))
    assert [step.operation for step in heat.steps[-2:]] == ["claim", "substitute"]
    assert set(heat.assumptions) == {*law.assumptions, *derive("temperature", FixedLR).assumptions}
    volume = derive("finite-step", FixedELR)
    assert volume.domain == volume.then("solve_for", T).claim.domain == (eta_eff * s.h < 2,)
    (domain,) = volume.then("solve_for", s.h).claim.domain
    assert domain.free_symbols == {R, T, V, eta_eff, p}
    with pytest.raises(OperationError, match="no operation is called 'solve_four'; did you mean 'solve_for'"):
        law.then("solve_four", V)
    with pytest.raises(OperationError, match="simplify changes nothing"):
        law.then("simplify")
    with pytest.raises(ValueError, match="step 1 of sde, fixed LR is no step of ideal-gas-law, fixed LR"):
        law.then(substitute, derive("sde", FixedLR).steps[0])


def test_an_assumption_of_ones_own():
    before = dict(ASSUMPTIONS)
    try:
        name = own_assumption("big noise", "sigma is 3")
        assert own_assumption("big noise", "sigma is large") == name  # a cell is run again
        chain = Chain()
        chain.assumption(name, eq(R, 3))
        chain.definition(eq(s.gamma, R), "for the test")

        def maker(number, granted):
            return World({R: 3 if "big noise" in granted else 5, s.gamma: lambda world: world[R]}, "toy")

        maker.__doc__ = "a toy"
        toy = Derivation("toy", None, None, "nowhere", "a toy", (maker,), steps=tuple(chain.steps))
        toy.verify()
        assert toy.steps[0].because == "sigma is large"
        assert toy.assumptions == ("big noise",)
        with pytest.raises(ValueError, match="'big nose' is not an assumption; did you mean 'big noise'"):
            chain.assumption("big nose", eq(R, 3))
        with pytest.raises(ValueError, match="a line of text each"):
            own_assumption(" ", "something")
    finally:
        ASSUMPTIONS.clear()
        ASSUMPTIONS.update(before)


def test_printing():
    law = derive("ideal-gas-law", FixedLR)
    assert repr(law) == "V⋅p = R⋅T    [fixed LR; assumes continuous time, scale invariance, stationarity; 16 steps]"
    text = str(law)
    assert all(f"({number})" in text for number in range(1, 17))
    assert "explicit coordinates" in text
    assert r"\begin{equation}" in law.to_latex()
    assert law.to_markdown().count("$$") == 2 * 17
    assert law._repr_latex_().startswith("$")


def test_import_is_light():
    code = (
        "import sys, time, sympy; t = time.perf_counter(); import thermo_theory;"
        "print(time.perf_counter() - t); sys.exit('torch' in sys.modules or 'empirics' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr or "torch or empirics was imported"
    assert set(thermo_theory.__all__) <= set(dir(thermo_theory))
