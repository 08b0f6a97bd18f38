"""Gas: any loss on the sphere. Its numbers against plain sums, its series, its own world, and what it refuses."""

import copy
import pickle

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from thermo_theory import DerivationError, Gas, StepFalse, derive, vmf
from thermo_theory.symbols import C_V, R, T, d, eq, var_L
from thermo_theory.worlds.own import form_patches, zonal_patches

c, x, y = sp.symbols("c x y")
WELLS = "1 - c^2 + c/20"
FORM = np.array([[1.0, 0.3, 0.0], [0.3, -0.5, 0.2], [0.0, 0.2, 2.0]])


def on_the_sphere(loss, T):
    """U, S, C_V in three dimensions by sums over a fine net of directions, and the net with the density on it."""
    heights, weights = np.polynomial.legendre.leggauss(80)
    angles = 2 * np.pi * np.arange(160) / 160
    z, angle = np.meshgrid(heights, angles)
    u = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z], axis=-1)
    losses, areas = loss(u), np.broadcast_to(weights * 2 * np.pi / 160, z.shape)
    density = np.exp(-losses / T)
    density /= (density * areas).sum()
    U = (density * areas * losses).sum()
    S = -(density * areas * np.log(density)).sum()
    return (U, S, (density * areas * (losses - U) ** 2).sum() / T**2), u, density, areas


@pytest.mark.parametrize("loss", [1 - c**2 + c / 20, WELLS, sp.sympify("1 - x**2 + x/20"), "1 - z**2 + 0.05*z"])
def test_a_loss_is_an_expression_or_a_text_of_any_one_symbol(loss):
    assert Gas(loss, d=6).energy(T=0.1) == Gas(WELLS, d=6).energy(T=0.1)


@pytest.mark.parametrize(
    ("gas", "loss"),
    [
        (Gas(WELLS, d=3), lambda u: 1 - u[..., 0] ** 2 + u[..., 0] / 20),
        (Gas(FORM, d=3), lambda u: np.einsum("...i,ij,...j", u, FORM, u)),
        (
            Gas("c/2 - c^2 + 3", d=3, matrix=sp.Matrix(3, 3, FORM.ravel().tolist()), pole=[2, -1, 2]),
            lambda u: np.einsum("...i,ij,...j", u, FORM, u) + (q := u @ [2 / 3, -1 / 3, 2 / 3]) / 2 - q**2 + 3,
        ),
    ],
    ids=["zonal", "form", "both"],
)
@pytest.mark.parametrize("T", [0.2, 3.0])
def test_every_number_is_a_sum_over_the_sphere(gas, loss, T):
    (U, S, heat), u, density, areas = on_the_sphere(loss, T)
    assert gas.energy(T=T) == pytest.approx(U, rel=1e-11)
    assert gas.entropy(T=T) == pytest.approx(S, rel=1e-11)
    assert gas.heat_capacity(T=T) == pytest.approx(heat, rel=1e-11)
    assert gas.loss_variance(T=T) == pytest.approx(heat * T**2, rel=1e-11)
    assert gas.adiabatic_index(T=T) == pytest.approx(1 + 1 / heat, rel=1e-11)
    assert gas.partition(T=T) == pytest.approx(S - U / T, rel=1e-11)
    assert gas.error(T=T) < 1e-12
    if "u.A" not in str(gas):
        # of the cosine: the circle of latitude is 2 pi long, per unit of the cosine
        assert gas.density(u[..., 0], T=T) == pytest.approx(2 * np.pi * density, rel=1e-11)
    else:
        assert gas.density(5 * u, T=T) == pytest.approx(density, rel=1e-11)
        assert (gas.density(u, T=T) * areas).sum() == pytest.approx(1, rel=1e-11)


def test_numbers_in_arrays_out():
    gas, heats = Gas(WELLS, d=6), np.array([[0.1, 0.2, 0.3], [1.0, 2.0, 4.0]])
    for name in ("energy", "entropy", "heat_capacity", "adiabatic_index", "loss_variance", "partition", "error"):
        method = getattr(gas, name)
        assert isinstance(method(T=0.1), float)
        assert method(T=heats).shape == (2, 3)
        assert method(T=heats)[1, 2] == method(T=4.0)
        assert np.isnan(method(T=[-1.0, 1.0], invalid="nan")).tolist() == [True, False]


@settings(max_examples=20)
@given(n=st.integers(3, 3000), log_T=st.floats(-8, 2))
def test_one_minus_the_cosine_is_vmf(n, log_T):
    gas, heat = Gas(1 - c, d=n), 10**log_T
    for name in ("energy", "entropy", "heat_capacity", "adiabatic_index"):
        expected = getattr(vmf, name)(d=n, T=heat)
        assert getattr(gas, name)(T=heat) == pytest.approx(expected, rel=1e-11, abs=1e-11 * n * (name == "entropy")), (
            name
        )


def test_heat_is_the_slope_of_the_energy_in_many_dimensions():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(300, 300))
    for gas, heat in ((Gas(WELLS, d=100_000), 1e-5), (Gas(A + A.T, d=300), 0.05)):
        h = heat * 1e-3
        slope = (gas.energy(T=heat + h) - gas.energy(T=heat - h)) / (2 * h)
        assert slope == pytest.approx(gas.heat_capacity(T=heat), rel=1e-5)
        rise = (gas.entropy(T=heat + h) - gas.entropy(T=heat - h)) / (2 * h)
        assert rise * heat == pytest.approx(gas.heat_capacity(T=heat), rel=1e-5)


def test_two_wells_are_two_levels_with_a_schottky_bump():
    """Two levels a gap apart have their largest heat capacity, 0.439, at 0.417 of it; the wells add R and soften."""
    gas, gap = Gas("1 - c^2 + c/100", d=4), 0.02
    heats = gap * np.linspace(0.1, 1.5, 29)
    capacity, index = gas.heat_capacity(T=heats), gas.adiabatic_index(T=heats)
    peak = capacity.argmax()
    assert heats[peak] == pytest.approx(0.417 * gap, rel=0.06)
    assert capacity[peak] - 1.5 == pytest.approx(0.439, rel=0.04)
    assert index[peak] == index.min() == pytest.approx(1 + 1.5 / capacity[peak])
    assert index[peak] < 1.78 < 1.9 < index[-1] < index[0] < 2
    for heat in heats:  # the wells' own curvatures are 2 + 1/100 and 2 - 1/100
        ratio = (1.99 / 2.01) ** 1.5 * np.exp(gap / heat)
        bump = (gap / heat) ** 2 * ratio / (1 + ratio) ** 2
        assert gas.heat_capacity(T=heat) - 1.5 == pytest.approx(bump, abs=3.5 * heat)


# Series -------------------------------------------------------------------------------------------


def at(series, heat):
    return float(series.removeO().subs(T, heat))


@pytest.mark.parametrize("n", [3, 4, 11, 1000])
def test_the_series_is_the_derived_one_for_one_minus_the_cosine(n):
    steps = derive("vmf-low-temperature").steps
    derived = next(step.equation for step in steps if step.equation.lhs == C_V / R)
    order = sp.degree(derived.rhs.removeO(), T)
    assert order >= 3
    found = Gas(1 - c, d=n).low_temperature(int(order)).heat_capacity
    assert sp.expand(found.removeO() - derived.rhs.removeO().subs(d, n)) == 0


@pytest.mark.parametrize(
    ("gas", "power"),
    [
        (Gas("1 - c^2", d=5), 1),
        (Gas(WELLS, d=6), 1),
        (Gas("exp(c)", d=4), 1),
        (Gas("(c - 1/3)^2", d=5), 1),
        (Gas("exp(c) - 2*c", d=7), 1),
        (Gas("(1 - c)^2", d=5), 0.5),
        (Gas("(c - 0.2)^4", d=5), 0.5),
        (Gas(np.diag([0.0, 0.0, 1.0, 1.5, 4.0]), d=5), 1),
    ],
    ids=str,
)
def test_what_a_series_leaves_out_shrinks_as_it_says(gas, power):
    """To order n the remainder of C_V/R is of order T^(n + power), that of U one more."""
    order, heats = 2, np.array([4e-4, 1e-4])
    series = gas.low_temperature(order)
    half = (gas.d - 1) / 2
    for values, known, more in (
        (gas.heat_capacity(T=heats) / half, series.heat_capacity, order + power),
        (gas.energy(T=heats), series.energy, order + power + 1),
    ):
        left = np.abs(values - [at(known, heat) for heat in heats])
        sharp = left > 1e-13
        if sharp.all():
            assert np.log(left[0] / left[1]) / np.log(4) == pytest.approx(more, abs=0.15)
        assert left[0] < 1e4 * heats[0] ** (more - 0.01)


def test_a_form_with_two_levels_has_the_series_of_the_cosine_squared():
    zonal, form = Gas("1 - c^2", d=5), Gas(np.diag([0.0, 1, 1, 1, 1]), d=5)
    for one, other in zip(zonal.low_temperature(4), form.low_temperature(4), strict=True):
        assert sp.simplify(one.removeO() - sp.nsimplify(other.removeO())) == 0


# Its world ----------------------------------------------------------------------------------------


def test_the_patches_of_a_form_have_the_moments_of_the_sphere():
    """The u_i^2 are Dirichlet: E u_1^4 = 3/(d (d + 2)), E u_1^2 u_2^2 = 1/(d (d + 2)); areas add up to the sphere's."""
    a, b, n = np.array([0.3, 1.1, 2.0, 5.0]), np.array([0.0, 0.7, 0.0, -0.2]), 4
    with mp.workdps(40):
        losses, areas, _ = form_patches(a, b)
        whole = mp.fsum(areas)
        assert float(whole) == pytest.approx(2 * np.pi**2, rel=1e-15)
        square = (a.sum() ** 2 + 2 * (a**2).sum()) / (n * (n + 2)) + (b**2).sum() / n
        assert float(mp.fdot(losses, areas) / whole) == pytest.approx(a.mean(), rel=1e-14)
        assert float(mp.fsum(w * q**2 for q, w in zip(losses, areas, strict=True)) / whole) == pytest.approx(square)


@pytest.mark.parametrize("n", [3, 8, 2000])
def test_the_patches_of_a_zonal_loss_cover_the_sphere(n):
    with mp.workdps(40):
        losses, areas, _ = zonal_patches(lambda q: q, n, 1.0)
        whole = mp.fsum(areas)
        assert float(mp.log(whole)) == pytest.approx(
            np.log(2) + n / 2 * np.log(np.pi) - float(mp.loggamma(mp.mpf(n) / 2)), rel=1e-12
        )
        assert float(mp.fsum(w * q**2 for q, w in zip(losses, areas, strict=True)) / whole) == pytest.approx(1 / n)


@pytest.mark.parametrize(
    "gas",
    [
        Gas(WELLS, d=6),
        Gas("abs(c - 0.1)", d=3),
        Gas("1 - c", d=150),
        Gas("1 - c^2", d=100_000),
        Gas("-exp(-1000*(1 - c))", d=50),  # felt only at the pole
        Gas("c^4/10^8", d=7),
        Gas(FORM, d=3),
        Gas("c", d=3, matrix=FORM, pole=[1, 1, 0]),
    ],
    ids=str,
)
def test_it_verifies_itself_and_not_without_gibbs_law(gas):
    evidence = gas.verify()
    assert len(evidence) == len(gas.derivation.steps)
    assert max(one.worst for one in evidence) < 1e-9
    assert gas.derivation.assumptions == ("Gibbs law",)
    with pytest.raises(DerivationError):
        gas.derivation.without("Gibbs law").verify()
    with pytest.raises(StepFalse):
        gas.derivation.replace(-1, eq(var_L, T * C_V)).verify()


@pytest.mark.parametrize("name", ["energy", "entropy", "heat_capacity", "loss_variance"])
@pytest.mark.parametrize("loss", [WELLS, FORM], ids=["zonal", "form"])
def test_a_wrong_number_is_caught(name, loss):
    def wrong(self, *, T, invalid="raise"):
        return getattr(Gas, name)(self, T=T, invalid=invalid) * (1 + 1e-7)

    with pytest.raises(StepFalse, match="_gas"):
        type("Wrong", (Gas,), {name: wrong})(loss, d=3).verify()


# What is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "given", "says"),
    [
        (1 - x * y, {}, "one symbol, the cosine with the pole; -x.y [+] 1 has the symbols x, y"),
        ("1", {}, "1 has no symbol"),
        ("nan", {}, "cannot read .nan.: .nan. is not a finite number at character 1"),
        (3, {}, "3 has no symbol"),
        ("sin(c)^2 + cos(c)^2", {}, "same in all directions"),
        ("1/c", {}, "finite and real for cosines from -1 to 1; at 0 1/c is not"),
        ("1/(c - 1/3)", {}, "at 1/3 it is not"),
        ("tan(2*c)", {}, "at -pi/4 it is not"),
        ("log(1 - c)", {}, "at 1 log"),
        ("sqrt(c)", {}, "at -1 sqrt"),
        (sp.I * c, {}, "finite and real"),
        (sp.Function("f")(c), {}, "no numbers that are known"),
        ("1 - (c", {}, "never closed"),
        ("__import__('os')", {}, "unknown function"),
        (None, {}, "a sympy expression, a text or a matrix, got NoneType"),
        (sp.Eq(c, 1), {}, "got Equality"),
        ("c", {"d": 2}, "d must be a whole number from 3"),
        ("c", {"d": 3.5}, "got 3.5"),
        ("c", {"d": True}, "got True"),
        ("c", {"d": 10**30}, "d must be a whole number from 3 to 1000000000"),
        (np.eye(4), {}, r"must have shape \(3, 3\), got \(4, 4\)"),
        (np.eye(3), {}, "multiple of the identity"),
        (np.triu(np.ones((3, 3))), {}, r"must be symmetric; entries \(0, 1\) and \(1, 0\) are 1, 0"),
        (np.diag([1, np.nan, 2]), {}, r"matrix must be a finite number, got nan at index \(1, 1\)"),
        (np.diag([1, 2j, 2]), {}, "matrix must be a real number"),
        (sp.diag(1, x, 2), {}, "it has the symbols x"),
        (FORM, {"matrix": FORM}, "a matrix already"),
        ("c", {"matrix": FORM}, "takes matrix and pole"),
        ("c", {"pole": [1, 0, 0]}, "takes matrix and pole"),
        ("c^3", {"matrix": FORM, "pole": [1, 0, 0]}, "powers 0, 1 and 2, got c[*][*]3"),
        ("c", {"matrix": FORM, "pole": [0, 0, 0]}, "pole must be a vector of d = 3 numbers, not all 0"),
        ("c", {"matrix": FORM, "pole": [1, 0]}, "pole must be a vector of d = 3"),
    ],
)
def test_a_loss_that_is_none_is_named_in_one_line(loss, given, says):
    with pytest.raises(ValueError, match=says) as refused:
        Gas(loss, **{"d": 3, **given})
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("T", [0, -1.0, np.nan, np.inf, "hot", None, 1j, [1.0, 0.0]])
def test_a_temperature_that_is_none(T):
    with pytest.raises(ValueError, match=r"^T must be"):
        Gas("c", d=3).energy(T=T)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Gas("c", d=3).density(1.5, T=1), r"place must be in \[-1, 1\]"),
        (lambda: Gas("c", d=3).density(0.5, T=[1, 2]), "one temperature"),
        (lambda: Gas(FORM, d=3).density([0, 0, 0], T=1), "directions of d = 3 numbers, not all 0"),
        (lambda: Gas(FORM, d=3).density([1, 0], T=1), "directions of d = 3"),
        (lambda: Gas("c", d=3).low_temperature(0), "order must be a whole number from 1, got 0"),
        (lambda: Gas("abs(c)", d=5).low_temperature(), "no power series"),
        (lambda: Gas("sqrt(1 - c)", d=5).low_temperature(), "no power series"),
        (lambda: Gas("c^2*(1 - c)", d=5).low_temperature(), "minima of the loss are of different kinds"),
        (lambda: Gas("c", d=3, matrix=FORM, pole=[1, 0, 0]).low_temperature(), "not for both"),
        (lambda: Gas(FORM, d=3).energy(T=1e-315), "too small"),
    ],
)
def test_other_requests_that_cannot_be_met(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_a_gas_and_its_derivation_pickle():
    for gas in (Gas(WELLS, d=6), Gas("c", d=3, matrix=FORM, pole=[1, 1, 0])):
        for again in (pickle.loads(pickle.dumps(gas)), copy.deepcopy(gas)):
            assert str(again) == str(gas)
            assert again.energy(T=0.3) == gas.energy(T=0.3)
        assert len(pickle.loads(pickle.dumps(gas.derivation)).verify()) == len(gas.derivation.steps)


def test_a_loss_that_is_felt_at_no_temperature_has_no_world():
    with pytest.raises(ValueError, match="heat capacity is near 0 from T = 1e-59 up"):
        Gas("exp(1000*c - 1000)", d=50).verify()
