"""Formulas take numbers and arrays, and refuse what is outside their domain."""

import inspect
from decimal import Decimal
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from thermo_theory import FixedELR, FixedLR, FixedSphere, Formula, derive
from thermo_theory.symbols import R, T, V, eta, eta_eff, lam, sigma

positive = st.floats(1e-6, 1e6)


@given(eta=positive, lam=positive, sigma=positive, d=st.integers(2, 10**7))
def test_fixed_lr_formulas_are_consistent(eta, lam, sigma, d):
    radius = FixedLR.radius(eta=eta, lam=lam, sigma=sigma, d=d)
    temperature = FixedLR.temperature(eta=eta, lam=lam, sigma=sigma, d=d)
    assert lam * radius**2 / 2 == pytest.approx((d - 1) / 2 * temperature, rel=1e-12)
    assert temperature == pytest.approx(FixedELR.temperature(eta_eff=eta / radius**2, sigma=sigma), rel=1e-12)
    assert temperature == pytest.approx(FixedSphere.temperature(eta=eta, r=radius, sigma=sigma), rel=1e-12)


def test_extremes_keep_ten_digits():
    for rate, decay, noise, d in [(1e-150, 1e-150, 1e-60, 2), (1e120, 1e100, 1e50, 10**7)]:
        r4 = sp.Rational(str(rate)) * sp.Rational(str(noise)) ** 2 * (d - 1) / (2 * sp.Rational(str(decay)))
        assert FixedLR.radius(eta=rate, lam=decay, sigma=noise, d=d) == pytest.approx(float(r4**0.25), rel=1e-10)


def test_arrays_broadcast_and_scalars_stay_scalars():
    lam, sigma_ = np.array([1e-3, 1e-2]), np.array([[1.0], [2.0], [3.0]])
    values = FixedLR.temperature(eta=0.1, lam=lam, sigma=sigma_, d=101)
    assert values.shape == (3, 2)
    assert values[1, 0] == FixedLR.temperature(eta=0.1, lam=1e-3, sigma=2.0, d=101)
    assert isinstance(FixedLR.temperature(eta=0.1, lam=1e-3, sigma=2.0, d=101), float)
    assert derive("temperature", FixedLR).claim(eta=0.1, lam=lam, sigma=2.0, d=101).tolist() == values[1].tolist()


@pytest.mark.parametrize(
    ("name", "value", "domain"),
    [
        ("lam", -0.25, "> 0"),
        ("eta", float("nan"), "finite and > 0"),
        ("d", 1, ">= 2"),
        ("sigma", 0.0, "> 0"),
        ("lam", "much", "a real number or an array of real numbers"),
    ],
)
def test_outside_the_domain(name, value, domain):
    good = {"eta": 0.1, "lam": 1e-3, "sigma": 1.0, "d": 10}
    with pytest.raises(ValueError, match=rf"^{name} must be {domain}, got '?{str(value).removesuffix('.0')}"):
        FixedLR.radius(**{**good, name: value})


@pytest.mark.parametrize(
    "value",
    [
        0.1 + 0.2j,
        np.complex64(0.1),
        np.array(0.1 + 0j),
        [0.1, np.complex128(0.2j)],
        np.array([np.complex128(0.1 + 0.2j), 1], dtype=object),
        np.array([0.1, np.array(1j)], dtype=object),
        sp.I / 10,
        mp.mpc(0.1, 0.2),
        np.array(["0.1", 0.1], dtype=object),
        np.array([True, 0.1], dtype=object),
        np.array([np.timedelta64(1), 0.1], dtype=object),
        10**400,
    ],
)
def test_what_is_not_real_is_refused(value):
    for invalid in ("raise", "nan"):
        with pytest.raises(ValueError, match=r"^eta must be a real number or an array of real numbers, got "):
            FixedLR.temperature(eta=value, lam=1e-3, sigma=1.0, d=11, invalid=invalid)


def test_exact_numbers_are_taken():
    values = [sp.Rational(1, 4), mp.mpf(0.25), Fraction(1, 4), Decimal("0.25"), np.float16(0.25), np.longdouble(0.25)]
    assert FixedELR.temperature(eta_eff=values, sigma=2).tolist() == [0.5] * 6


def test_a_result_that_its_symbol_cannot_be_is_refused():
    formula = Formula(sp.Eq(V, sp.sqrt(1 - eta) - R))
    assert formula(eta=0.75, R=0.25) == 0.25
    with pytest.raises(ValueError, match=r"the result must be > 0, got R = 1.0, eta = 0.75 at index 1"):
        formula(eta=0.75, R=[0.25, 1.0])
    with pytest.raises(ValueError, match=r"the result must be > 0, got R = 0.25, eta = 3.0"):
        formula(eta=3.0, R=0.25)
    assert np.isnan(formula(eta=[[0.75], [3.0]], R=[0.25, 1.0], invalid="nan")).tolist() == [
        [False, True],
        [True, True],
    ]
    with pytest.raises(ValueError, match=r"R and eta must have shapes that broadcast: R has shape \(2,\) and eta has"):
        formula(eta=[0.1] * 3, R=[0.1] * 2)


def test_a_domain_is_shown_and_its_symbols_are_arguments():
    formula = derive("finite-step", FixedELR).claim
    assert "eta_eff: effective learning rate, eta / r^2 [1/(loss*iteration)]; > 0" in inspect.getdoc(formula)
    assert "Domain: eta_eff*h < 2\nSource: " in inspect.getdoc(formula)
    assert inspect.getdoc(Formula).startswith("An equation that can be read")
    assert formula.markdown().endswith(r"Domain: $\eta_{\mathrm{eff}} h < 2$")
    assert Formula(formula.equation).markdown() == formula._repr_latex_()
    with pytest.raises(ValueError, match=r"the domain lam < 2 of .* is about lam"):
        Formula(sp.Eq(T, eta), domain=[lam < 2])(eta=0.1)
    with pytest.raises(ValueError, match="a domain is made of relations; True is none"):
        Formula(sp.Eq(T, eta), domain=[eta >= 0])
    bent = Formula(sp.Eq(T, eta), domain=[eta**2 < 2, eta < 3])
    with pytest.raises(ValueError, match=r"eta\*\*2 < 2 must hold, got eta = 1.5"):
        bent(eta=1.5)
    with pytest.raises(ValueError, match=r"eta must be in \(0, 3\), got 3"):
        bent(eta=3)


def test_invalid_may_become_nan():
    values = FixedLR.radius(eta=[0.1, -1.0], lam=1e-3, sigma=1.0, d=10, invalid="nan")
    assert np.isnan(values).tolist() == [False, True]
    with pytest.raises(ValueError, match="invalid must be"):
        FixedLR.radius(eta=0.1, lam=1e-3, sigma=1.0, d=10, invalid="ignore")


def test_arguments_are_checked():
    said = r"unknown argument lr: did you mean eta \(learning rate\)\?; missing argument d .*takes d, eta, lam, sigma$"
    with pytest.raises(TypeError, match=said):
        FixedLR.radius(lr=0.1, lam=1e-3, sigma=1.0)
    for wrong, meant in {"weight_decay": "lam", "wd": "lam", "learning_rate": "eta", "sigm": "sigma"}.items():
        with pytest.raises(TypeError, match=rf"{wrong}: did you mean {meant} "):
            FixedLR.radius(**{wrong: 0.1}, d=3)
    with pytest.raises(TypeError, match=r"unknown argument x\. The formula takes eta_eff, sigma$"):
        FixedELR.temperature(eta_eff=1.0, sigma=1.0, x=1.0)
    with pytest.raises(TypeError, match="no right-hand side"):
        Formula(sp.Eq(T, sp.Derivative(sp.Function("f")(sigma), sigma)))(sigma=1.0)


def test_shown():
    formula = Formula(sp.Eq(T, eta_eff * sigma**2 / 2))
    assert formula.latex() == r"T = \frac{\eta_{\mathrm{eff}} \sigma^{2}}{2}"
    assert formula._repr_latex_().startswith("$")
    assert "σ" in str(formula)


# Solved for another letter --------------------------------------------------------------------------


@given(eta=positive, lam=positive, sigma=positive, d=st.integers(2, 10**7))
def test_a_solved_formula_leads_back(eta, lam, sigma, d):
    values = {"eta": eta, "lam": lam, "sigma": sigma, "d": d}
    heat = FixedLR.temperature(**values)
    for name, value in values.items():
        others = {key: other for key, other in values.items() if key != name}
        assert SOLVED[name](T=heat, **others) == pytest.approx(value, rel=1e-9)


SOLVED = {name: FixedLR.temperature.solve(name) for name in FixedLR.temperature.arguments}


def test_a_solved_formula_keeps_its_domain():
    volume = derive("finite-step", FixedELR).claim
    curvature = volume.solve("h")
    assert curvature(R=2.0, T=0.1, p=0.01, eta_eff=0.5, V=volume(R=2.0, T=0.1, p=0.01, eta_eff=0.5, h=1.0)) == 1.0
    assert volume.solve("V") is volume
    assert volume.solve(R).arguments == ("T", "V", "eta_eff", "h", "p")
    with pytest.raises(ValueError, match=r"lam must be > 0, got -1"):
        FixedLR.temperature.solve("eta")(T=1.0, lam=-1.0, sigma=1.0, d=3)
    with pytest.raises(
        ValueError, match="the result must be > 0"
    ):  # a curvature of a gas smaller than that of small steps
        curvature(R=2.0, T=0.1, p=0.01, eta_eff=0.5, V=1.0)
    bounded = Formula(sp.Eq(T, eta * lam), domain=[eta * lam < 2]).solve("eta")
    assert bounded.domain == (sp.Lt(T, 2),)
    with pytest.raises(ValueError, match=r"T must be in \(0, 2\), got 3"):
        bounded(T=3.0, lam=1.0)


def test_a_solution_of_the_square_alone_is_refused():
    """Squared, sqrt(x) - 1 = U has a solution for every U; it is one only where U is above -1."""
    U = sp.Symbol("U", real=True)
    inverse = Formula(sp.Eq(U, sp.sqrt(eta) - 1, evaluate=False)).solve("eta")
    assert inverse(U=1.0) == 4.0
    with pytest.raises(ValueError, match=r"must hold, got U = -3\.0"):
        inverse(U=-3.0)


@pytest.mark.parametrize(
    ("formula", "unknown", "said"),
    [
        (FixedLR.temperature, "lr", "has no lr; did you mean 'eta'?"),
        (FixedLR.temperature, "etaa", "has no etaa; did you mean 'eta'?"),
        (FixedLR.temperature, "beta", "did you mean 'eta'?"),
        (FixedLR.temperature, R, "has no R; it has T, d, eta, lam, sigma"),
        (
            Formula(sp.Eq(T, sp.Symbol("x", real=True) ** 2)),
            "x",
            "x cannot be found: Eq(T, x**2) has 2 solutions for x",
        ),
        (Formula(sp.Eq(T, sp.sin(eta) + eta)), "eta", "eta cannot be found: solve_for does not apply"),
        (derive("vmf-heat-capacity").claim, "d", "does not say what A(1/T) is"),
        (derive("vmf-low-temperature").claim, "d", "is a truncated series"),
    ],
)
def test_what_cannot_be_solved_is_said_in_one_line(formula, unknown, said):
    with pytest.raises(ValueError, match=r"\w") as caught:
        formula.solve(unknown)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
