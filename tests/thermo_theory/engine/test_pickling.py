"""Formulas and derivations go through pickle and copy unchanged, into other processes too."""

import copy
import pickle
import subprocess
import sys

import pytest
import sympy as sp
from cases import ALL, derived

from thermo_theory import FixedELR, FixedLR, Formula, StepFalse, derive, vmf
from thermo_theory.engine.derivation import Chain, Derivation
from thermo_theory.engine.packing import packed, unpacked
from thermo_theory.engine.world import World, world_maker
from thermo_theory.symbols import R, T, V, eq, eta, lam, p
from thermo_theory.symbols.vectors import VectorFunction

LAWS = [("ideal-gas-law", FixedLR), ("vmf-entropy", None), ("angle", FixedLR.with_optimizer("adamw"))]


@pytest.mark.parametrize(("name", "protocol"), ALL)
def test_every_derivation_comes_back(name, protocol):
    found = derived(name, protocol)
    twin = pickle.loads(pickle.dumps(found))
    assert twin == found
    assert [step.equation for step in twin.steps] == [step.equation for step in found.steps]
    assert twin.claim.arguments == found.claim.arguments
    assert copy.deepcopy(found) == copy.copy(found) == found


@pytest.mark.parametrize(("name", "protocol"), LAWS)
def test_a_twin_is_verified_and_printed(name, protocol):
    found = derive(name, protocol)
    twin = pickle.loads(pickle.dumps(found))
    assert str(twin) == str(found)
    assert len(twin.verify()) == len(found.steps)
    wrong = twin.replace(-1, eq(twin.claim.equation.lhs, 2 * twin.claim.equation.rhs))
    with pytest.raises(StepFalse):
        wrong.verify()
    with pytest.raises(StepFalse):
        pickle.loads(pickle.dumps(wrong)).verify()


def test_formulas_give_the_same_numbers_in_another_process(tmp_path):
    values = [
        {"d": 11, "T": 0.3},
        {"eta": 0.1, "lam": 0.01, "sigma": 2.0, "d": 101},
        {"eta_eff": 0.1, "h": 0.5, "R": 3.0, "T": 0.1, "p": 0.2},
    ]
    formulas = [vmf.entropy, FixedLR.temperature, derive("finite-step", FixedELR).claim]
    (tmp_path / "kept").write_bytes(pickle.dumps((formulas, values, derive("finite-step", FixedLR))))
    code = (
        "import pickle, sys; formulas, values, law = pickle.load(open(sys.argv[1], 'rb')); law.verify();"
        "print([formula(**given) for formula, given in zip(formulas, values)])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "kept"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([formula(**given) for formula, given in zip(formulas, values, strict=True)])


def test_what_is_kept_open_stays_open():
    x = sp.Symbol("x", positive=True)
    for said in (eq(1 + x, 1), eq(T, sp.Mul(sp.S.Half, R + 1, evaluate=False)), sp.Ge(x, 0, evaluate=False)):
        assert pickle.loads(pickle.dumps(said)) != said
        assert unpacked(pickle.loads(pickle.dumps(packed(said)))) == said


def test_functions_keep_what_they_are():
    """As sympy pickles it, a function of vectors comes back as another one of numbers that is equal to it."""
    positive = sp.Function("f", positive=True)(R)
    for call in (VectorFunction.named("w")(R, T), positive, sp.Function("f")(R)):
        twin = unpacked(pickle.loads(pickle.dumps(packed(call))))
        assert twin == call
        assert isinstance(twin, VectorFunction) is isinstance(call, VectorFunction)
        assert twin.is_positive is call.is_positive


def test_what_cannot_be_pickled_is_named_in_one_line():
    def nameless(number, granted):
        return World({V: 1, p: 2, R: 1, T: 2})

    @world_maker("a toy")
    def inside(number, granted):
        return World({V: 1, p: 2, R: 1, T: 2})

    chain = Chain("toy")
    chain.definition(eq(p * V, R * T), "for the test")
    for maker, name in ((nameless, "nameless"), (inside(), "a toy")):
        toy = Derivation("toy", None, None, "nowhere", "a toy", (maker,), steps=tuple(chain.steps))
        toy.verify()
        with pytest.raises(
            pickle.PicklingError, match=rf"^toy: the maker of worlds '.*{name}' cannot be pickled"
        ) as caught:
            pickle.dumps(toy)
        assert len(str(caught.value).splitlines()) == 1
        assert copy.deepcopy(toy) is toy
    with pytest.raises(pickle.PicklingError, match=r"the kernel '.*<lambda>' cannot be pickled"):
        pickle.dumps(Formula(eq(eta, lam), kernel=lambda lam: lam))


def test_worlds_are_those_of_before():
    law = derive("ideal-gas-law", FixedLR)
    assert pickle.loads(pickle.dumps(law)).worlds == law.worlds
