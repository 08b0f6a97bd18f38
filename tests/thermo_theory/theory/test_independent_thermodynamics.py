"""Claims about thermodynamics against quadrature and high precision; see `test_independent_dynamics`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from gas_steps import Gas
from independent import chain_of_norms, checks, derived
from numpy.polynomial.legendre import leggauss
from scipy import linalg, stats
from scipy.integrate import quad

from thermo_theory import FixedELR, FixedLR, FixedSphere, derive
from thermo_theory import symbols as s
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.world import World
from thermo_theory.symbols.vectors import Expectation, Quad
from thermo_theory.worlds.thermodynamics import Probability, Stationary, n

# Thermodynamics of a gas whose integrals are done by quadrature -----------------------------------

#: Gauss and Legendre's nodes in the angle: its cosine, and weights for integrals over the cosine.
_ANGLES, _STEPS = leggauss(400)[0] * np.pi / 2 + np.pi / 2, leggauss(400)[1] * np.pi / 2
NODES, WEIGHTS = np.cos(_ANGLES), _STEPS * np.sin(_ANGLES)


def over_sphere(function: Callable[[np.ndarray], np.ndarray], d: int, T: float) -> float:
    """Mean of a function of the cosine under ``exp((cos - 1)/T)`` on the sphere in d dimensions."""
    density = np.exp((NODES - 1) / T) * (1 - NODES**2) ** ((d - 3) / 2) * WEIGHTS
    return float((density * function(NODES)).sum() / density.sum())


def energy(d: int, T: float) -> float:
    return over_sphere(lambda c: 1 - c, d, T)


def entropy(d: int, T: float) -> float:
    """Of the directions: minus the mean log of the density."""
    area = 2 * math.pi ** ((d - 1) / 2) / math.gamma((d - 1) / 2)
    total = area * float((np.exp((NODES - 1) / T) * (1 - NODES**2) ** ((d - 3) / 2) * WEIGHTS).sum())
    return energy(d, T) / T + math.log(total)


def slope(function: Callable[[float], float], x: float) -> float:
    step = 1e-3 * x
    near, wide = (function(x + k * step) - function(x - k * step) for k in (1, 2))
    return (8 * near - wide) / (12 * step)


@checks("vmf-energy", "vmf-entropy", "vmf-heat-capacity", "adiabatic-index")
@pytest.mark.parametrize("d", [3, 4, 10])
@pytest.mark.parametrize("T", [0.15, 0.6, 3.0])
def test_the_von_mises_fisher_gas_by_quadrature(d, T):
    """The claims' equations and the numbers they give, both."""
    heat = slope(lambda T: energy(d, T), T)
    index = 1 + (d - 1) / 2 / heat
    wanted = {
        "vmf-energy": energy(d, T),
        "vmf-entropy": entropy(d, T),
        "vmf-heat-capacity": heat,
        "adiabatic-index": index,
    }
    mean = energy(d, T)
    for name, expected in wanted.items():
        claim = derive(name).claim
        assert claim(d=d, T=T) == pytest.approx(expected, rel=1e-8)
        right = claim.equation.rhs.replace(lambda part: part.func.__name__ == "A", lambda part: sp.Float(1 - mean, 30))
        assert float(right.subs({s.d: d, s.T: sp.Float(T, 30)})) == pytest.approx(expected, rel=1e-6)


@checks("configurational-temperature")
@pytest.mark.parametrize("d", [3, 7])
def test_the_configurational_temperature_by_quadrature(d):
    """On the loss L = -c + 0.3 c^2 of the cosine c.

    The squared gradient is ``L'^2 (1 - c^2)``, the Laplacian ``(1 - c^2) L'' - (d - 1) c L'``.
    """
    T, bend = 0.4, 0.3
    density = np.exp(-(-NODES + bend * NODES**2) / T) * (1 - NODES**2) ** ((d - 3) / 2) * WEIGHTS
    first, second = -1 + 2 * bend * NODES, 2 * bend
    square = (density * first**2 * (1 - NODES**2)).sum() / density.sum()
    laplacian = (density * ((1 - NODES**2) * second - (d - 1) * NODES * first)).sum() / density.sum()
    factor = derive("configurational-temperature").claim.equation.rhs.subs(s.T, T)
    (mean,) = factor.atoms(sp.Function)
    assert square == pytest.approx(float(factor.subs(mean, laplacian)), rel=1e-9)


@checks("loss-fluctuations")
@pytest.mark.parametrize("T", [0.1, 0.4, 2.0])
def test_the_fluctuations_of_a_loss_by_quadrature(T):
    """On the loss L = -c + 0.3 c^2 of the cosine c, d = 5: the variance, and the slope of the mean."""
    loss = -NODES + 0.3 * NODES**2

    def moments(heat):
        density = np.exp(-loss / heat) * (1 - NODES**2) * WEIGHTS
        mean = (density * loss).sum() / density.sum()
        return mean, (density * (loss - mean) ** 2).sum() / density.sum()

    claim = derive("loss-fluctuations").claim
    assert claim(C_V=slope(lambda heat: moments(heat)[0], T), T=T) == pytest.approx(moments(T)[1], rel=1e-7)


@checks("step-thermometer", "step-balance")
@pytest.mark.parametrize("isotropic", [True, False])
def test_slopes_and_curvatures_at_large_steps_by_the_discrete_lyapunov_equation(isotropic):
    """A quadratic loss with curvatures from 0.1 to 6, steps of eta h up to 1.2, the covariance by scipy."""
    eta, curvatures = 0.2, np.array([0.1, 0.7, 2.0, 6.0])
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(4, 4)))[0]
    H = turn @ np.diag(curvatures) @ turn.T
    noise = 0.5 * np.eye(4) if isotropic else np.diag([0.1, 0.5, 1.0, 2.0])
    C = linalg.solve_discrete_lyapunov(np.eye(4) - eta * H, eta**2 * noise)
    square, along_mean = np.trace(H @ H @ C), np.trace(H @ H @ H @ C)
    along_gradients = along_mean + np.trace(H @ noise)
    found = derive("step-balance").claim.equation.rhs
    (mean,) = found.atoms(Expectation)
    assert square == pytest.approx(float(found.subs({mean: along_gradients, s.eta_eff: eta})), rel=1e-10)
    found = derive("step-thermometer").claim.equation.rhs
    means = {Expectation(s.lap_L): np.trace(H), Expectation(Quad(s.Hess, s.grad_L_unit)): along_mean}
    told = float(found.subs(means).subs({s.T: eta * np.trace(noise) / 8, s.eta_eff: eta}))
    if isotropic:
        assert square == pytest.approx(told, rel=1e-10)
        # By the mean curvature, as if all were equal, it would be off by a third.
        assert abs(0.05 * np.trace(H) / (1 - eta * np.trace(H) / 8) / square - 1) > 0.2
    else:
        assert abs(told / square - 1) > 0.05


def whole_entropy(d: int, T: float, V: float) -> float:
    return entropy(d, T) + (d - 1) / 2 * math.log(2 * V)


@checks("first-law", "heat-capacities", "thermodynamic-integration")
def test_the_first_law_and_heat_capacities_by_quadrature():
    d, T, V = 6, 0.3, 1.7
    R = (d - 1) / 2
    p = R * T / V
    step = 1e-4
    for dT, dV in ((step, 0.0), (0.0, step), (step, -2 * step)):
        heat = T * (whole_entropy(d, T + dT, V + dV) - whole_entropy(d, T - dT, V - dV))
        change = energy(d, T + dT) - energy(d, T - dT)
        claim = derive("first-law").claim.equation.rhs
        parts = dict(zip(sorted(claim.atoms(sp.Function), key=str), (heat / T, 2 * dV), strict=True))
        assert change == pytest.approx(float(claim.subs(parts).subs({s.T: T, s.p: p})), rel=1e-5, abs=1e-12)
    at_pressure = T * slope(lambda T: whole_entropy(d, T, R * T / p), T)
    assert at_pressure == pytest.approx(
        derive("heat-capacities").claim(C_V=slope(lambda T: energy(d, T), T), R=R), rel=1e-7
    )

    def path(t: float) -> tuple[float, float]:
        return 0.3 + 0.4 * t + 0.1 * math.sin(3 * t), 1.0 + t**2

    integral = derive("thermodynamic-integration").claim.equation.rhs
    functions = {f.func.__name__: f for f in integral.function.atoms(sp.core.function.AppliedUndef)}
    (time,) = functions["T"].args

    def integrand(t: float) -> float:
        T, V = path(t)
        rates = {
            sp.Derivative(functions["U"], time): slope_at(lambda x: energy(d, path(x)[0]), t),
            sp.Derivative(functions["V"], time): slope_at(lambda x: path(x)[1], t),
        }
        return float(integral.function.subs(rates).subs({functions["T"]: T, functions["p"]: R * T / V}))

    (T0, V0), (T1, V1) = path(0.0), path(1.0)
    claimed = sum(w / 2 * integrand((x + 1) / 2) for x, w in zip(*leggauss(24), strict=True))
    assert whole_entropy(d, T1, V1) - whole_entropy(d, T0, V0) == pytest.approx(claimed, rel=1e-7)


def slope_at(function: Callable[[float], float], x: float) -> float:
    return (function(x + 1e-5) - function(x - 1e-5)) / 2e-5


@checks("adiabat")
def test_an_adiabat_followed_numerically():
    """dS = C_0 dT/T + R dV/V = 0 in 20,000 small steps, against p_0 (V_0/V)^gamma."""
    R, C0, T, V, V1 = 2.5, 3.1, 0.8, 1.0, 2.4
    p0 = R * T / V
    for _ in range(20_000):
        dV = (V1 - 1.0) / 20_000
        middle = T - R * T / (V * C0) * dV / 2
        T -= R * middle / ((V + dV / 2) * C0) * dV
        V += dV
    claimed = derive("adiabat").claim(V=V1, V0=1.0, gamma=(C0 + R) / C0, p0=p0)
    assert pytest.approx(claimed, rel=1e-7) == R * T / V


@checks("second-law")
def test_free_energy_falls_as_claimed():
    """Fokker and Planck on the sphere in three dimensions: dF/dt of a density of the cosine, by its flux."""
    eta_eff, T = 0.2, 0.5
    c, weights = NODES, WEIGHTS
    density = np.exp(0.7 * c**2 - 0.4 * c)
    density /= (weights * density).sum()
    log_slope = 1.4 * c - 0.4
    bend = 1.4
    # d rho/dt = eta_eff d/dc [(1 - c^2) (rho L' + T rho')], with L' = -1, all derivatives by hand.
    inner = -1 + T * log_slope
    change = density * (-2 * c * inner + (1 - c**2) * (log_slope * inner + T * bend)) * eta_eff
    falling = (weights * change * ((1 - c) + T * np.log(density))).sum()
    square = (weights * density * (1 - c**2) * inner**2).sum()
    claim = derive("second-law").claim.equation.rhs
    (integral,) = [part for part in claim.args if not part.is_Symbol]
    assert -falling == pytest.approx(float(claim.subs(integral, square).subs(s.eta_eff, eta_eff)), rel=1e-9)
    assert falling < 0


@checks("potential")
@pytest.mark.parametrize("protocol", [FixedSphere, FixedELR, FixedLR])
def test_no_other_density_has_less(protocol):
    """1,000 densities on three patches: none has less F or G; the excess is what is claimed."""
    rng = np.random.default_rng(9)
    losses, areas, T, R = np.array([0.2, 0.9, 1.4]), np.array([1.0, 0.4, 2.0]), 0.6, 3.5
    own = areas * np.exp(-losses / T)
    own /= own.sum()
    V, p = (1.3, R * T / 1.3)

    def merit(density: np.ndarray, volume: float) -> float:
        helmholtz = float((density * (losses + T * np.log(density / areas))).sum())
        return helmholtz if protocol is FixedSphere else helmholtz + p * volume - R * T * math.log(2 * volume)

    claim = derive("potential", protocol).claim.equation.rhs
    for trial in rng.dirichlet([1, 1, 1], 1000):
        volume = rng.uniform(0.2, 4.0) if protocol is not FixedSphere else V
        assert merit(trial, volume) >= merit(own, V)
    meanings = {
        n: 3,
        s.F: merit(own, V),
        s.G: merit(own, V),
        s.T: T,
        s.R: R,
        s.V: V,
        s.V_trial: volume,
        Probability: lambda _, k: trial[int(k) - 1],
        Stationary: lambda _, k: own[int(k) - 1],
    }
    claimed = float(evaluate(claim, World(meanings, "three patches")))
    assert merit(trial, volume) == pytest.approx(claimed, rel=1e-9)


# Processes ---------------------------------------------------------------------------------------


@checks("entropy-of-schedule")
def test_entropy_along_a_schedule_by_quadrature():
    d, sigma, t = 6, 3.0, 0.7
    R = (d - 1) / 2

    def rates(t: float) -> tuple[float, float]:
        return 0.1 * math.exp(-t), 0.2 * (1 + t**2)

    def state(t: float) -> tuple[float, float]:
        eta, lam = rates(t)
        return sigma * math.sqrt(eta * lam / (2 * (d - 1))), (eta * sigma**2 * (d - 1) / (2 * lam)) ** 0.25

    def total(t: float) -> float:
        T, r = state(t)
        return entropy(d, T) + (d - 1) * math.log(r)

    C_p = R + slope(lambda T: energy(d, T), state(t)[0])
    eta, lam = (sp.Function(name, positive=True)(s.t) for name in ("eta", "lambda"))
    claim = derive("entropy-of-schedule").claim.equation.rhs
    slopes = {sp.Derivative(f, s.t): slope_at(lambda x, k=k: rates(x)[k], t) for k, f in enumerate((eta, lam))}
    claim = claim.subs(slopes).subs(dict(zip((eta, lam), rates(t), strict=True)))
    assert slope(total, t) == pytest.approx(float(claim.subs({s.C_p: C_p, s.R: R})), rel=1e-6)


@checks("quasi-static")
def test_the_lag_of_a_ramp():
    """The mean of r^2 iterated while eta and lambda are ramped at constant eta lambda, far slower than an iteration."""
    eta, lam, ramp, noise = 0.01, 0.01, 2e-4, 5.0
    y = math.sqrt(eta * noise / (2 * lam))
    for _ in range(60_000):
        y += -2 * eta * lam * y + eta**2 * noise / y
        eta, lam = eta * math.exp(ramp / 2), lam * math.exp(-ramp / 2)
    lag = math.log(eta * noise / (2 * lam) / y**2) / 4
    assert lag == pytest.approx(derive("quasi-static").claim(eta=eta, lam=lam, ramp=ramp), rel=1e-3)


@checks("quench")
def test_entropy_of_a_quench_is_the_relative_entropy():
    """In a quadratic well of m = 2 R directions: of the density at T1 to that at T2, by quadrature over the radius."""
    R, T1, T2 = 1.5, 2.0, 0.8
    m = round(2 * R)

    def log_density(x: float, T: float) -> float:
        return -(x**2) / (2 * T) - m / 2 * math.log(2 * math.pi * T)

    area = 2 * math.pi ** (m / 2) / math.gamma(m / 2)

    def integrand(x: float) -> float:
        hot = log_density(x, T1)
        return area * x ** (m - 1) * math.exp(hot) * (hot - log_density(x, T2))

    produced, _ = quad(integrand, 0, 40)
    assert derive("quench").claim(R=R, T1=T1, T2=T2) == pytest.approx(produced, rel=1e-8)


@checks("weight-averaging")
def test_averages_of_sampled_weights():
    """scipy's sampler at d T = 0.02: the losses of 4,000 averages of 4, within 4 standard errors and d T/2."""
    d, T, N = 20, 1e-3, 4
    mu = np.zeros(d)
    mu[0] = 1.0
    samples = stats.vonmises_fisher(mu, 1 / T).rvs(4000 * N, random_state=10).reshape(4000, N, d).mean(1)
    loss = 1 - samples[:, 0] / np.linalg.norm(samples, axis=1)
    claimed = derive("weight-averaging").claim(N=N, R=(d - 1) / 2, T=T)
    assert loss.mean() == pytest.approx(claimed, abs=0.01 * claimed + 4 * loss.std() / math.sqrt(len(loss)))


@checks("length-scale")
def test_a_length_scale_in_the_normalisation():
    """The loss a log|h| of h = w/sqrt(r^2 + eps), where h.dL/dh is a everywhere, as a chain of r^2."""
    d, eta, lam, sigma, eps, a = 12, 0.01, 0.05, 1.0, 0.5, -0.05
    rng, y = np.random.default_rng(11), np.full(4000, 1.0)
    sizes = heats = 0.0
    for step in range(9000):
        inward = 1 - eta * lam - eta * a * eps / (y * (y + eps))
        y = inward**2 * y + eta**2 * sigma**2 * rng.chisquare(d - 1, y.size) / y
        if step >= 5000:
            sizes, heats = sizes + y.mean() / 4000, heats + (sigma**2 / y).mean() / 4000
    V, T, R = sizes / 2, eta * heats / 2, (d - 1) / 2
    claimed = derive("length-scale").claim(R=R, T=T, V=V, eps=eps, stretch=a)
    assert abs(claimed - 1) > 0.05
    assert lam * V / (R * T) == pytest.approx(claimed, rel=0.005)


@checks("path-entropy")
def test_the_entropy_of_a_path():
    """Snapshots of one run in 200 dimensions: the slopes of log of the neighbours' distance and of the norm."""
    d, rates = 200, {"base": (0.02, 0.02), "eta": (0.04, 0.02), "lam": (0.02, 0.04)}
    entropies = {}
    for name, (eta, lam) in rates.items():
        r = (eta * (d - 1) / (2 * lam)) ** 0.25
        gas = Gas("fixed-lr", d, eta, lam, 1.0, pull=0.0, radius=r, runs=1, seed=12)
        gas.run(200, 1)
        path = []
        for step in range(1500):
            if step % 25 == 0:
                path.append(gas.w[0] / np.linalg.norm(gas.w[0]))
            gas.step()
        units = np.array(path)
        distances = np.linalg.norm(units[:, None] - units[None], axis=2) + 9 * np.eye(len(units))
        assert (np.abs(distances.argmin(1) - np.arange(len(units))) == 1).all()  # the next in time, every time
        norm = np.sqrt(simulated_norm(d, eta, lam))
        entropies[name] = (d - 1) * (np.log(distances.min(1)).mean() + math.log(norm))
    R = (d - 1) / 2
    by_rate, by_decay = ((entropies[k] - entropies["base"]) / math.log(2) for k in ("eta", "lam"))
    shown = {str(step.equation.lhs): step.equation.rhs for step in derive("path-entropy").steps}
    by_name = {
        name: next(shown[left] for left in reversed(shown) if left.startswith(f"{name}*D") and "-" not in left)
        for name in ("eta", "lambda")
    }
    claimed = [float(by_name[name].subs(s.R, R)) for name in ("eta", "lambda")]
    # An angle of sqrt(50 eta lambda) is not small, so the chord is shorter than the arc: 5 % of R.
    assert by_rate == pytest.approx(claimed[0], abs=0.06 * R)
    assert by_decay == pytest.approx(claimed[1], abs=0.06 * R)


def simulated_norm(d: int, eta: float, lam: float) -> float:
    """Mean of r^2 in pure noise of unit size."""
    _, mean, _ = chain_of_norms(d, eta, lam, 1.0, np.random.default_rng(d), runs=100, steps=2000)
    return mean


# The von Mises-Fisher gas at low temperature, in many dimensions, along an adiabat --------------------


def exact_index(d: float, T: Any) -> tuple[Any, Any]:
    """C_V/R and the adiabatic index, by mpmath's Bessel functions with 60 digits."""
    with mp.workdps(60):
        kappa, d = 1 / mp.mpf(T), mp.mpf(d)
        ratio = mp.besseli(d / 2, kappa) / mp.besseli(d / 2 - 1, kappa)
        heat = kappa**2 * (1 - ratio**2 - (d - 1) * ratio / kappa)
        return 2 * heat / (d - 1), 1 + (d - 1) / 2 / heat


def truncated(name: str, left: sp.Expr) -> sp.Expr:
    """Right-hand side of the last series of something in a derivation, without its order term."""
    return next(step.equation.rhs.removeO() for step in reversed(derive(name).steps) if step.equation.lhs == left)


@checks("vmf-low-temperature")
@pytest.mark.parametrize("d", [4, 10, 21])
def test_the_series_in_the_cold_breaks_off_at_the_fourth_order(d):
    """Half the temperature leaves a sixteenth of the error."""
    derived("vmf-low-temperature")
    for place, left in ((0, s.C_V / s.R), (1, s.gamma)):
        series = truncated("vmf-low-temperature", left)
        errors = []
        for T in (sp.Rational(1, 10_000 * d), sp.Rational(1, 20_000 * d)):
            with mp.workdps(60):
                exact = exact_index(d, mp.mpf(T.p) / T.q)[place]
                errors.append(exact - mp.mpf(sp.N(series.subs({s.d: d, s.T: T}), 60)))
        assert float(errors[0] / errors[1]) == pytest.approx(16, rel=0.01)


@checks("vmf-large-dimension")
@pytest.mark.parametrize("y", [0.3, 1.0, 4.0])
def test_many_dimensions_leave_one_over_d(y):
    """Twice the dimension leaves half the error."""
    derived("vmf-large-dimension")
    for place, left in ((0, s.C_V / s.R), (1, s.gamma)):
        limit = float(truncated("vmf-large-dimension", left).subs(s.reduced, y))
        errors = [float(exact_index(d, y / d)[place]) - limit for d in (400, 800)]
        assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)


@checks("vmf-adiabat", "vmf-first-law")
@pytest.mark.parametrize("T", [0.02, 0.5])
def test_the_schedule_that_keeps_the_entropy(T):
    derived("vmf-adiabat")
    d = 6
    R, heat = (d - 1) / 2, slope(lambda T: energy(d, T), T)
    assert T * slope(lambda T: entropy(d, T), T) == pytest.approx(derive("vmf-first-law").claim(C_V=heat), rel=1e-7)

    def total(log_eta: float, log_lam: float) -> float:
        return entropy(d, T * math.exp((log_eta + log_lam) / 2)) + (d - 1) / 4 * (log_eta - log_lam)

    by_rate, by_decay = (slope_at(lambda x, k=k: total(*((x, 0.0), (0.0, x))[k]), 0.0) for k in (0, 1))
    assert -by_decay / by_rate == pytest.approx(derive("vmf-adiabat").claim(C_V=heat, R=R), rel=1e-5, abs=1e-7)
