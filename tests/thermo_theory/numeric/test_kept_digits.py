"""Differences of near-equal numbers against mpmath with 50 digits."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thermo_theory import FixedELR, FixedLR, derive

exponents = st.floats(-9, 6)
#: The first example waits for the derivations.


@given(apart=exponents, T2=st.floats(1e-6, 1e6), hotter=st.booleans(), sign=st.sampled_from([1, -1]))
def test_entropy_of_a_quench(apart, T2, hotter, sign):
    T1 = T2 * (1 + sign * 10**apart) if apart < -0.1 else T2 * 10 ** (apart if hotter else -apart)
    with mp.workdps(50):
        x = mp.mpf(T1) / mp.mpf(T2)
        exact = float(3 * (x - 1 - mp.log(x)))
    assert derive("quench").claim(R=3.0, T1=T1, T2=T2) == pytest.approx(exact, rel=1e-12, abs=0)


@pytest.mark.parametrize("protocol", [FixedLR, FixedELR])
@given(lam=st.just(-400.0) | st.floats(-15, 2), sigma=st.just(-400.0) | st.floats(-9, 2), t=st.floats(-3, 9))
@example(lam=-400.0, sigma=2.0, t=0.0)
def test_trajectory(protocol, lam, sigma, t):
    lam, sigma, t, eta, r0, d = 10**lam, 10**sigma, 10**t, 0.1, 1.5, 11
    with mp.workdps(50):
        rate, decay, noise, time = (mp.mpf(one) for one in (eta, lam, sigma, t))
        if protocol is FixedLR:
            push, pull, start, power = 2 * (d - 1) * (rate * noise) ** 2, 4 * rate * decay, mp.mpf(r0) ** 4, 0.25
        else:
            push, pull, start, power = 2 * decay * rate, (d - 1) * (rate * noise) ** 2, mp.mpf(r0) ** -2, -0.5
        # dy/dt = push - pull y
        integral = -mp.expm1(-pull * time) / pull if pull else time
        exact = float((start * mp.exp(-pull * time) + push * integral) ** power)
    rates = {"eta" if protocol is FixedLR else "eta_eff": eta}
    found = protocol.trajectory(lam=lam, sigma=sigma, d=d, r0=r0, t=t, **rates)
    assert found == pytest.approx(exact, rel=1e-12, abs=1e-150)


def test_a_norm_without_weight_decay_or_noise():
    grown = FixedLR.trajectory(eta=0.1, lam=0.0, sigma=2.0, d=11, r0=1.5, t=300.0)
    assert grown == pytest.approx((1.5**4 + 2 * 10 * 0.04 * 300) ** 0.25, rel=1e-14)
    assert FixedLR.trajectory(eta=0.1, lam=0.3, sigma=0.0, d=11, r0=1.5, t=20.0) == pytest.approx(1.5 * np.exp(-0.6))
    # r^2 grows by eta_eff^2 sigma^2 (d - 1) r^2, or falls by 2 eta_eff lam r^4
    grown = FixedELR.trajectory(eta_eff=0.1, lam=0.0, sigma=0.3, d=11, r0=1.5, t=30.0)
    assert grown == pytest.approx(1.5 * np.exp(0.01 * 0.09 * 10 * 30 / 2), rel=1e-14)
    shrunk = FixedELR.trajectory(eta_eff=0.1, lam=0.3, sigma=0.0, d=11, r0=1.5, t=30.0)
    assert shrunk == pytest.approx((1.5**-2 + 2 * 0.1 * 0.3 * 30) ** -0.5, rel=1e-14)


def test_a_slow_ramp_keeps_its_digits():
    # log(1 + x)/4 at x = 1e-12 is x/4
    assert derive("quasi-static").claim(eta=0.5, lam=0.5, ramp=1e-12) == pytest.approx(2.5e-13, rel=1e-11, abs=0)
