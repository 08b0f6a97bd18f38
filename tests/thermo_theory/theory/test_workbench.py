"""Optimisers of one's own: against those that are shipped, what breaks them, and claims that are planted."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import sympy as sp

from thermo_theory import DerivationError, FixedLR, Optimizer, StepFalse
from thermo_theory.protocols import OPTIMIZERS
from thermo_theory.symbols import R, d, eta, lam
from thermo_theory.updates import UpdateError

ADAM = "m = beta1*m + (1-beta1)*{0}; q = beta2*q + (1-beta2)*({0})**2; "

#: Shipped optimisers as somebody would write them: text, how decay enters, degree.
TEXTS = {
    "sgd": ("w = w - eta*(g + lam*w)", "decoupled", 1),
    "momentum": ("v = beta*v + (g + wd*w); w = w - lr*v", "coupled", 1),
    "adamw": (ADAM.format("g") + "w = w - lr*(m/(sqrt(q) + eps) + wd*w)", "decoupled", 0),
    "adam-l2": ("u = g + lam*w; " + ADAM.format("u") + "w = w - eta*m/(sqrt(q) + eps)", "coupled", 0),
    "signsgd": ("w = w - eta*sign(g) - eta*lam*w", "decoupled", 0),
    "muon": ("v = mu*v + (1-mu)*g; w = (1 - eta*lam)*w - eta*scale*msign(mu*v + (1-mu)*g)", "decoupled", 0),
    "lion": (
        "w = w*(1 - eta*lam); w = w - eta*sign(beta1*v + (1-beta1)*g); v = beta2*v + (1-beta2)*g",
        "decoupled",
        0,
    ),
    "normalised-sgd": ("w = w - eta*(g/sqrt(dot(g, g)) + lam*w)", "decoupled", 0),
    "lars": ("w = w - eta*norm(w)*(g + lam*w)/norm(g + lam*w)", "trust", 1),
    "lamb": (ADAM.format("g") + "u = m/(sqrt(q) + eps) + lam*w; w = w - eta*norm(w)*u/norm(u)", "trust", 0),
}

VALUES = {"eta": 0.02, "lam": 0.05, "d": 401, "sigma": 1.5, "beta": 0.6, "beta1": 0.0, "beta2": 0.0, "D": 401.0}


def called(formula: Any, **values: Any) -> float:
    return float(formula(**{name: values[name] for name in formula.arguments}))


@pytest.mark.parametrize("name", TEXTS)
def test_special_cases_agree_with_what_is_shipped(name: str) -> None:
    """The same Maxwell relation; the same radius and temperature once D, the gain and |u| are put in."""
    text, kind, degree = TEXTS[name]
    mine, shipped = Optimizer(text), FixedLR.with_optimizer(name)
    assert (mine.kind, mine.degree) == (kind, degree)
    difference = mine.maxwell.equation
    assert sp.simplify((difference.lhs - difference.rhs) - _sides(shipped.maxwell.equation)) == 0
    n, sigma, r = 401, 1.5, called(shipped.radius, **VALUES)
    scale = sigma * math.sqrt((n - 1) / n)  # root mean square of a coordinate of a gradient at unit norm
    products, gain, size = {
        "sgd": ((n - 1) * sigma**2, 1.0, 0.0),
        # The steps of momentum sum to 1/(1 - beta) gradients; so does its mean.
        "momentum": ((n - 1) * sigma**2 / (1 - 0.6) ** 2, 1 / (1 - 0.6), 0.0),
        "normalised-sgd": (1.0, 0.0, 0.0),
        "lars": (1.0, 0.0, sigma * math.sqrt(n - 1)),
        "lamb": (1.0, 0.0, math.sqrt(n)),
    }.get(name, (float(n), 1 / scale, 0.0))
    put = VALUES | {"D": products, "gain": gain, "gain_along": gain, "A": size, "size": size}
    assert called(mine.radius, **put) == pytest.approx(r, rel=1e-9)
    if name in ("sgd", "momentum", "adam-l2"):
        assert called(mine.temperature, **put) == pytest.approx(called(shipped.temperature, **VALUES), rel=1e-9)


def _sides(equation: sp.Eq) -> sp.Expr:
    return equation.lhs - equation.rhs


@pytest.mark.parametrize("name", ["sgd", "signsgd", pytest.param("lars", marks=pytest.mark.long)])
def test_all_that_is_derived_verifies(name: str) -> None:
    mine = Optimizer(TEXTS[name][0])
    evidence = mine.verify()
    assert len(evidence) == sum(len(one.steps) for one in mine.derivations)
    assert {one.name for one in mine.derivations} >= {"scaling-symmetry", "maxwell", "radius", "chord"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        # Signs of few minibatches: runs end alike, or remember where they began at other rates.
        pytest.param("w = w - eta*(sign(g) + lam*w)", "maxwell", marks=pytest.mark.long),
        # Numbers that are called as the theory calls others.
        ("w = w - c*eta*(R*g/d + lam*w)", "maxwell"),
        # A buffer made of another one's new value, and one of the new weights.
        (ADAM.format("g").replace("(g)**2", "(g-m)**2") + "w = w - eta*(m/sqrt(q) + lam*w)", "scaling-symmetry"),
        ("w = w - eta*v/norm(v); v = beta*v + g + lam*w", "scaling-symmetry"),
    ],
)
def test_correct_updates_are_not_refused(text: str, name: str) -> None:
    Optimizer(text).derive(name).verify()


def test_what_is_planted_is_caught() -> None:
    """A wrong exponent of the symmetry, a wrong Maxwell relation, a wrong norm, a wrong degree."""
    mine = Optimizer(TEXTS["signsgd"][0])
    symmetry, maxwell, radius = (mine.derive(name) for name in ("scaling-symmetry", "maxwell", "radius"))
    last = symmetry.steps[-1].equation
    with pytest.raises(StepFalse):
        symmetry.replace(-1, last.xreplace({last.lhs.args[-2]: last.lhs.args[-2] ** 2 / eta})).verify()
    relation = maxwell.claim.equation
    for wrong in (sp.Eq(relation.lhs, R), sp.Eq(relation.lhs, (d - 1) / 4), sp.Eq(relation.lhs, -relation.rhs)):
        with pytest.raises(DerivationError):
            maxwell.replace(-1, wrong).verify()
    norm = radius.claim.equation
    for wrong in (norm.rhs * 2, norm.rhs * eta, norm.rhs.subs(lam, 2 * lam)):
        with pytest.raises(DerivationError):
            radius.replace(-1, sp.Eq(norm.lhs, wrong)).verify()


@pytest.mark.parametrize(
    ("assumption", "name"),
    [
        ("scale invariance", "scaling-symmetry"),
        ("stationarity", "maxwell"),
        ("small steps", "radius"),
        ("low temperature", "temperature"),
    ],
)
def test_each_assumption_is_needed(assumption: str, name: str) -> None:
    found = Optimizer(TEXTS["signsgd"][0]).derive(name)
    assert assumption in found.assumptions
    with pytest.raises(DerivationError):
        found.without(assumption).verify()


# Limits ------------------------------------------------------------------------------------------


def test_epsilon_is_assumed_to_be_0_and_named() -> None:
    mine = Optimizer("w = w - eta*(g/(norm(g) + eps) + lam*w)")
    assert "eps = 0" in mine.derive("maxwell").assumptions
    assert "eps = 0" not in Optimizer("w = w - eta*(g/norm(g) + lam*w)").derive("maxwell").assumptions
    assert mine.breaking == {"eps": (-1, "0")}
    assert mine.without("eps") == Optimizer("w = w - eta*(g/norm(g) + lam*w)")
    with pytest.raises(DerivationError):
        mine.derive("scaling-symmetry").without("eps = 0").verify()


def test_clipping_is_refused_and_its_limit_is_not() -> None:
    mine = Optimizer("w = w - eta*(clip(g, tau)/norm(g)**0.5 + lam*w)")
    for wanted in ("maxwell", "radius", "symmetry", "degree", "kind"):
        with pytest.raises(UpdateError, match=r"\btau breaks it .* restored as tau goes to infinity") as caught:
            getattr(mine, wanted)
        assert len(str(caught.value).splitlines()) == 1
    free = mine.without("tau")
    assert free == Optimizer("w = w - eta*(g/norm(g)**0.5 + lam*w)")
    assert free.degree == sp.Rational(1, 2)
    with pytest.raises(UpdateError, match="beta does not break the scaling symmetry"):
        mine.without("beta")


@pytest.mark.parametrize(
    ("text", "asked", "named"),
    [
        ("w = w - eta*(g + lam*w*norm(w))", "radius", "decay lam .* enters in no way that is known"),
        ("w = w - eta*(g + lam*sign(w))", "radius", "decay lam .* enters in no way that is known"),
        ("w = w - eta*g", "maxwell", "is derived for updates with a learning rate eta and weight decay lam"),
        ("w = w - eta*norm(w)*(g + lam*w)/norm(g + lam*w)", "temperature", "temperature is not derived for"),
        ("v = beta*v + g + lam*w; w = w - eta*v", "angle", "angle is not derived for"),
        ("w = w - eta*(g + 1 + lam*w)", "maxwell", "no scaling symmetry: g and 1"),
    ],
)
def test_what_is_not_derived_says_so_in_a_line(text: str, asked: str, named: str) -> None:
    with pytest.raises(UpdateError, match=named) as caught:
        getattr(Optimizer(text), asked)
    assert len(str(caught.value).splitlines()) == 1


def test_decay_of_an_unknown_kind_still_has_its_relation() -> None:
    """(c w, c^2 eta, lam/c^3): what the symmetry alone says needs no balance of the norm."""
    mine = Optimizer("w = w - eta*(g + lam*w*norm(w))")
    (entropy,) = mine.maxwell.equation.atoms(sp.core.function.AppliedUndef)
    general = sp.sin(eta**3 * lam**2) + (d - 1) * sp.log(eta) / 2
    gap = _sides(mine.maxwell.equation).subs(entropy, general).doit().subs(R, (d - 1) / 2)
    assert sp.simplify(gap) == 0
    assert [one.name for one in mine.derivations] == ["scaling-symmetry", "maxwell"]


def test_unknown_names() -> None:
    with pytest.raises(LookupError, match="no derivation of an optimiser is called 'entropy'; known: scaling-symmetry"):
        Optimizer(TEXTS["sgd"][0]).derive("entropy")


# As objects --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [text for text, _, _ in TEXTS.values()] + [text for _, text in OPTIMIZERS.values()])
def test_repr_is_read_back(text: str) -> None:
    mine = Optimizer(text)
    written = repr(mine)
    assert written.startswith("Optimizer('")
    assert Optimizer(written.removeprefix("Optimizer('").removesuffix("')")) == mine
    assert len({mine, Optimizer(str(mine))}) == 1


def test_a_mapping_of_expressions_is_a_text() -> None:
    w, g, v, rate, beta = sp.symbols("w g v eta beta")
    sign = sp.Function("sign")
    made = Optimizer({"v": beta * v + g, "w": w - rate * (sign(v) + sp.Symbol("lam") * w)})
    assert made.maxwell.equation == Optimizer("v = beta*v + g; w = w - eta*(sign(v) + lam*w)").maxwell.equation
    step = made.rule.step(
        {"w": np.array([1.0, -2.0]), "g": np.array([0.5, 1.0]), "v": np.zeros(2), "eta": 0.1, "lam": 0.5, "beta": 0.9}
    )
    np.testing.assert_allclose(step["w"], [1 - 0.1 * (1 + 0.5), -2 - 0.1 * (1 - 1.0)])


@pytest.mark.parametrize("twin", [lambda thing: pickle.loads(pickle.dumps(thing)), copy.deepcopy])
def test_copies(twin: Any) -> None:
    mine = Optimizer(TEXTS["lion"][0])
    found, formula = mine.derive("maxwell"), mine.radius
    assert twin(mine) == mine
    assert [str(step) for step in twin(found).steps] == [str(step) for step in found.steps]
    assert twin(formula)(eta=0.02, lam=0.05, D=500.0) == pytest.approx(10.0, rel=1e-12)
    twin(mine.derive("scaling-symmetry")).verify()
