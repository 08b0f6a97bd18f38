"""Integrals over the sphere (zonal losses, quadratic forms) against plain quadrature, Bessel functions and moments."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermo_theory.numeric import bingham, vmf, zonal
from thermo_theory.numeric.bingham import Form
from thermo_theory.numeric.zonal import GRID, GibbsNumbers, Zonal, grid


def zonal_gas(loss, slope, d):
    """A zonal loss of mpmath numbers and numpy arrays alike."""
    _, cosines = grid()
    slopes = np.broadcast_to(slope(cosines), (GRID,))
    return Zonal(loss, slope, slopes, float(np.abs(loss(cosines)).max()), d)


def plain(loss, d, T):
    """The same numbers by Gauss and Legendre's rule over the angle, with nodes enough for every peak."""
    nodes, weights = np.polynomial.legendre.leggauss(50)
    width = np.pi / 40
    angles = (width * (np.arange(40)[:, None] + (nodes + 1) / 2)).ravel()
    losses = loss(np.cos(angles))
    weight = np.exp((losses.min() - losses) / T) * np.sin(angles) ** (d - 2) * np.tile(weights, 40) * width / 2
    log_area = math.log(2) + (d - 1) / 2 * math.log(math.pi) - math.lgamma((d - 1) / 2)
    return means(losses, weight, log_area, T)


def means(losses, weight, log_area, T):
    total, U = weight.sum(), (weight * losses).sum() / weight.sum()
    log_z = math.log(total) + log_area - losses.min() / T
    return GibbsNumbers(log_z, U, log_z + U / T, (weight * (losses - U) ** 2).sum() / total / T**2, 0.0)


def agree(found, exact, rel=1e-12):
    for name, one, other in zip(GibbsNumbers._fields[:4], found, exact, strict=False):
        assert one == pytest.approx(other, rel=rel, abs=rel), name


LOSSES = {
    "double well": (lambda c: 1 - c**2 + c / 20, lambda c: -2 * c + 0.05),
    "a valley along a circle": (lambda c: (c - 0.3) ** 2, lambda c: 2 * (c - 0.3)),
    "quartic at the pole": (lambda c: (1 - c) ** 2, lambda c: 2 * (c - 1)),
    "several valleys": (lambda c: c**4 - c**2 + c**3 / 3, lambda c: 4 * c**3 - 2 * c + c**2),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(("d", "T"), [(3, 0.03), (4, 0.5), (9, 0.02), (40, 1e-3), (41, 7.0)])
def test_zonal_losses_are_what_quadrature_says(loss, d, T):
    function, slope = LOSSES[loss]
    found = zonal_gas(function, slope, d).moments(T)
    agree(found, plain(function, d, T))
    assert found.error < 1e-14


def test_a_kink():
    found = zonal_gas(abs, lambda c: np.sign(c) if isinstance(c, np.ndarray) else mp.sign(c), 5)
    agree(found.moments(0.02), plain(abs, 5, 0.02))


@settings(max_examples=30)
@given(d=st.integers(3, 100_000), log_T=st.floats(-15, 4))
def test_one_minus_the_cosine_is_von_mises_and_fishers(d, log_T):
    T = 10**log_T
    known = GibbsNumbers(
        -vmf.log_normalizer(d=d, T=T) - 1 / T,
        vmf.energy(d=d, T=T),
        vmf.entropy(d=d, T=T),
        vmf.heat_capacity(d=d, T=T),
        0,
    )
    found = zonal_gas(lambda c: 1 - c, lambda c: 0 * c - 1, d).moments(T)
    for name in ("energy", "heat"):  # also where they are small
        assert getattr(found, name) == pytest.approx(getattr(known, name), rel=1e-11, abs=0), name
    assert found.entropy == pytest.approx(known.entropy, rel=1e-12, abs=1e-12 * d)
    if d <= 1000:  # a linear form is the same gas, integrated another way
        line = Form(np.zeros(d), -np.eye(d)[0]).moments(T)
        assert line.heat == pytest.approx(known.heat, rel=1e-10, abs=0)
        assert line.entropy == pytest.approx(known.entropy, rel=1e-12, abs=1e-11 * d)


@pytest.mark.parametrize("T", [0.01, 0.3])
def test_the_stated_error_of_a_zonal_loss_holds_where_it_is_large(T, monkeypatch):
    monkeypatch.setattr(zonal, "_DEGREE", 1)  # three nodes, and halved but a few times
    function, slope = LOSSES["several valleys"]
    exact, sizes = plain(function, 6, T), []
    for halvings in (1, 2, 4, 6):
        monkeypatch.setattr(zonal, "HALVINGS", halvings)
        found = zonal_gas(function, slope, 6).moments(T)
        assert abs(found.heat / exact.heat - 1) <= found.error
        sizes.append(found.error)
    assert sizes[0] > 1e-3 > 1e-6 > sizes[-1]


# Quadratic forms ----------------------------------------------------------------------------------


def on_the_sphere(a, b, T):
    """A form in three dimensions, by the trapezoidal rule round the axis and Gauss' along it."""
    heights, weights = np.polynomial.legendre.leggauss(200)
    angles = 2 * np.pi * np.arange(400) / 400
    z, angle = np.meshgrid(heights, angles)
    u = np.stack([np.sqrt(1 - z**2) * np.cos(angle), np.sqrt(1 - z**2) * np.sin(angle), z])
    loss = np.einsum("i,i...->...", a, u**2) + np.einsum("i,i...->...", b, u)
    weight = np.exp((loss.min() - loss) / T) * weights * 2 * np.pi / 400
    return means(loss, weight, 0.0, T)


@settings(max_examples=60)
@given(
    a=st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    b=st.lists(st.floats(-2, 2), min_size=3, max_size=3),
    log_T=st.floats(-1.3, 2),
)
def test_forms_in_three_dimensions_are_what_quadrature_says(a, b, log_T):
    a, b = np.sort(a), np.array(b)
    if np.ptp(a) + np.abs(b).max() > 0.1:
        found = Form(a, b).moments(10**log_T)
        agree(found, on_the_sphere(a, b, 10**log_T), 1e-9)
        assert found.error < 1e-11


@pytest.mark.parametrize(("d", "T"), [(3, 0.02), (7, 1.0), (40, 0.01), (3000, 1e-3), (3000, 1e-9)])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_two_levels_in_any_dimension(d, T, share):
    """With m curvatures 1 and the rest 0 the loss has a beta density."""
    m = max(1, int(share * d))
    found = Form(np.repeat([0.0, 1.0], [d - m, m]), np.zeros(d)).moments(T)
    with mp.workdps(40):
        p, q, heat = mp.mpf(m) / 2, mp.mpf(d - m) / 2, mp.mpf(T)

        def log_z(t):
            return 2 * mp.pi ** (mp.mpf(d) / 2) / mp.gamma(mp.mpf(d) / 2) * mp.hyp1f1(p, p + q, -1 / t)

        kummer = [mp.hyp1f1(p + k, p + q + k, -1 / heat) * mp.rf(p, k) / mp.rf(p + q, k) for k in range(3)]
        U, square = kummer[1] / kummer[0], kummer[2] / kummer[0]
        log = mp.log(log_z(heat))
        exact = GibbsNumbers(*map(float, (log, U, log + U / heat, (square - U**2) / heat**2)), 0)
    assert found.energy == pytest.approx(exact.energy, rel=1e-12, abs=0)
    assert found.heat == pytest.approx(exact.heat, rel=1e-11, abs=0)
    assert found.entropy == pytest.approx(exact.entropy, rel=1e-12, abs=1e-13 * d)


def test_hot_forms_have_the_moments_of_the_uniform_sphere():
    rng = np.random.default_rng(3)
    a, d, T = np.sort(rng.normal(size=2000)), 2000, 1e5
    found = Form(a, np.zeros(d)).moments(T)
    variance = 2 / (d * (d + 2)) * ((a**2).sum() - a.sum() ** 2 / d)
    assert found.energy == pytest.approx(a.mean() - variance / T, rel=1e-9)
    assert found.heat * T**2 == pytest.approx(variance, rel=1e-7)


def test_the_stated_error_of_a_form_holds_where_it_is_large(monkeypatch):
    monkeypatch.setattr(bingham, "AGREED", math.inf)
    a, b, T = np.array([-1.0, 0, 0]), np.array([0.3, 0, 0.2]), 0.15
    exact, sizes = on_the_sphere(a, b, T), []
    for steps in (8, 16, 32, 64):
        monkeypatch.setattr(bingham, "STEPS", steps)
        found = Form(a, b).moments(T)
        assert abs(found.heat / exact.heat - 1) <= found.error + 1e-12
        sizes.append(found.error)
    assert sizes[0] > 1e-3 > 1e-5 > sizes[-1]


def test_a_temperature_too_small_for_a_double():
    with pytest.raises(ValueError, match="T = 1e-310 is too small"):
        Form(np.array([0.0, 1, 2]), np.zeros(3)).moments(1e-310)
