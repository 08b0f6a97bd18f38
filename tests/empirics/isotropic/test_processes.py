"""Copies of the gas carried along paths: entropy gained and produced, against what is derived."""

import numpy as np
import pytest

from empirics import ExperimentError
from empirics.isotropic import simulate
from empirics.isotropic.processes import PATHS, Path, follow, path, quench, stationary_entropy
from thermo_theory import FixedELR, FixedLR, derive, vmf

D = 50
START = {"lr": 0.05, "weight_decay": 0.05}


def along(name, points=41, factor=3.0, sigma=1.0):
    return path(name, **START, factor=factor, points=points, dimension=D, sigma=sigma)


def test_what_each_path_holds():
    isotherm, isobar, isochore = (along(name) for name in ("isotherm", "isobar", "isochore"))
    assert np.allclose(isotherm.lr * isotherm.weight_decay, 0.0025)
    assert np.allclose(isobar.weight_decay, 0.05)
    assert np.allclose(isochore.lr / isochore.weight_decay, 1.0)
    adiabat = along("adiabat")
    heat = FixedLR.temperature(eta=adiabat.lr, lam=adiabat.weight_decay, sigma=1.0, d=D)
    radius = FixedLR.radius(eta=adiabat.lr, lam=adiabat.weight_decay, sigma=1.0, d=D)
    entropy = vmf.entropy(d=D, T=heat) + (D - 1) * np.log(radius)
    assert np.ptp(entropy) < 1e-5
    assert adiabat.lr[-1] / adiabat.lr[0] > 1.05  # the gas is warm: at T to 0 it would be 1


@pytest.mark.parametrize(("name", "sigma"), [*zip(PATHS, (1.0, 2.0, 0.5, 2.0), strict=True)])
def test_slow_processes_gain_the_difference_of_stationary_entropies(name, sigma):
    route = along(name, sigma=sigma)
    out = follow(route, dimension=D, steps=250, copies=1024, sigma=sigma)
    predicted = np.diff(stationary_entropy(route, dimension=D, sigma=sigma)[[0, -1]])[0]
    gained = float(out["entropy"][-1] - out["entropy"][0])
    error = float(np.hypot(out["entropy_error"][-1], out["entropy_error"][0]))
    assert abs(gained - predicted) < 4 * error + 0.1, (gained, predicted, error)
    assert error < 0.6
    assert abs(float(out["entropy_produced"][-1])) < 1.5 + 4 * error
    for known, values in {"lr": route.lr, "weight_decay": route.weight_decay, "step": 250 * np.arange(41)}.items():
        np.testing.assert_array_equal(out[known], values)
    heat = FixedLR.temperature(eta=route.lr, lam=route.weight_decay, sigma=sigma, d=D)
    np.testing.assert_allclose(out["temperature"], heat, rtol=0.05)
    np.testing.assert_allclose(out["loss"], vmf.energy(d=D, T=out["temperature"].values), rtol=0.1)
    np.testing.assert_allclose(out["radius_sq"], np.exp(2 * out["log_radius"]), rtol=0.02)


def test_the_stationary_entropy_has_the_correction_for_steps_of_finite_size():
    """To first order it is 0.1 nats here, in the temperature, and 0.2 in the radius."""
    data = simulate(dimension=D, steps=200_000, burn_in=2000, lr=[0.1], weight_decay=[0.1], seeds=range(8)).dataset
    route = Path("standing", np.full(2, 0.1), np.full(2, 0.1))
    assert data["entropy"].values.mean() == pytest.approx(stationary_entropy(route, dimension=D)[0], abs=0.1)


def test_a_fast_process_produces_entropy():
    route = along("isotherm", points=11, factor=6.0)
    fast, slow = (
        float(follow(route, dimension=D, steps=steps, copies=512)["entropy_produced"][-1]) for steps in (2, 1000)
    )
    assert fast > slow + 3


def test_a_quench_produces_what_is_derived():
    out = follow(
        quench(effective_lr=0.006, weight_decay=0.05, factor=3, points=21), dimension=D, steps=300, copies=2048
    )
    hot, cold = FixedELR.temperature(eta_eff=np.array([0.006, 0.002]), sigma=1.0)
    expected = 2 * derive("quench").claim(R=(D - 1) / 2, T1=hot, T2=cold)  # directions and volume, both as R log T
    made = out["entropy_produced"].values
    assert abs(made[-1] / expected - 1) < 0.08  # the heat capacity at T d/2 = 0.1, and the scatter of the copies
    assert (np.diff(made) > -0.2).all()
    assert made[0] == 0


def test_the_same_seed_gives_the_same_numbers():
    one, same, other = (follow(along("isobar", 3), dimension=D, steps=5, copies=64, seed=seed) for seed in (1, 1, 2))
    assert one.identical(same)
    assert not np.allclose(one["loss"], other["loss"])


def test_what_cannot_be_followed_is_refused():
    with pytest.raises(ExperimentError, match="no path is called 'isotherme'; known: isotherm"):
        along("isotherme")
    with pytest.raises(ExperimentError, match=r"lr of a path must be two or more positive numbers, got 0 at point 1"):
        Path("mine", np.array([0.1, 0.0]), np.array([0.1, 0.1]))
    with pytest.raises(ExperimentError, match="must each have one value per point"):
        Path("mine", np.array([0.1, 0.2]), np.array([0.1, 0.1, 0.1]))
    with pytest.raises(ExperimentError, match="fixed-sphere"):
        Path("mine", np.array([0.1, 0.2]), np.array([0.1, 0.1]), "fixed-sphere")
    with pytest.raises(ExperimentError, match="copies = 40"):
        follow(along("isobar", 3), dimension=D, steps=5, copies=40)
