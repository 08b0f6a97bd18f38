"""The gas of degree k and scale-free optimisers, against runs written out in numpy and sums by brute force.

Nothing here is computed by a formula of the theory but the value that is compared. A mean has its standard error from
runs that are independent; it may be off by five of those, and by the first order in lr wd that is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from thermo_theory import FixedLR, Optimizer, derive
from thermo_theory.numeric.lags import lion_lags, muon_lags, push

D, RUNS = 20, 96
Array = np.ndarray


def noise(rng: np.random.Generator, w: Array) -> Array:
    """Gradients that are noise of variance 1 in each direction at unit norm, one row per run."""
    norm = np.linalg.norm(w, axis=1, keepdims=True)
    free, u = rng.standard_normal(w.shape), w / norm
    return (free - u * (u * free).sum(1, keepdims=True)) / norm


def direction(g: Array, k: float) -> Array:
    """A step of degree k along the gradient."""
    return g * np.linalg.norm(g, axis=1, keepdims=True) ** (k - 1)


def gains(k: float) -> tuple[float, float]:
    """Slopes of the mean step in a mean gradient and in what is added along w, at unit norm, from drawn gradients."""
    rng, h = np.random.default_rng(17), 1e-3
    g = np.pad(rng.standard_normal((400_000, D - 1)), ((0, 0), (1, 0)))  # the weights are along the first axis
    tangent, along = (
        float((direction(g + h * axis, k) - direction(g - h * axis, k))[:, place].mean() / (2 * h))
        for place, axis in ((1, np.eye(D)[1]), (0, np.eye(D)[0]))
    )
    return tangent, along


def second_moment(k: float) -> float:
    """E|u|^2 at unit norm, from drawn steps."""
    g = np.random.default_rng(18).standard_normal((400_000, D - 1))
    return float((direction(g, k) ** 2).sum(1).mean())


def settled(
    step: Callable[[np.random.Generator, Array, Any], tuple[Array, Any]],
    start: float,
    steps: int,
    d: int = D,
    seed: int = 1,
) -> tuple[float, float]:
    """Mean of r^2 over the second half of the runs, and its standard error over the runs."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((RUNS, d))
    w *= start / np.linalg.norm(w, axis=1, keepdims=True)
    memory, total = None, np.zeros(RUNS)
    for count in range(steps):
        w, memory = step(rng, w, memory)
        if count >= steps // 2:
            total += (w**2).sum(1)
    squares = total / (steps - steps // 2)
    return float(squares.mean()), float(squares.std() / math.sqrt(RUNS))


def close_to(measured: tuple[float, float], expected: float, bias: float) -> None:
    """Within five standard errors and what the theory leaves out; and the errors are small enough to tell."""
    mean, error = measured
    assert error < 0.01 * mean, f"standard error {error / mean:.1%}"
    assert abs(mean - expected) < 5 * error + bias * expected, f"{mean} ± {error}, expected {expected}"


@pytest.mark.parametrize("k", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("coupled", [False, True])
def test_radius(k: float, coupled: bool) -> None:
    """Decay beside the step, or in the gradient: then the gain is that along w."""
    eta, lam, along = 0.1, 0.05, gains(k)[1]
    values = {"eta": eta, "lam": lam, "k": k, "D": second_moment(k)}
    formula = derive(f"{'coupled-' * coupled}homogeneous-radius").claim
    expected = formula(**values, **{"gain_along": along} if coupled else {})

    def step(rng: np.random.Generator, w: Array, _: Any) -> tuple[Array, None]:
        g = noise(rng, w)
        return (w - eta * direction(g + lam * w, k) if coupled else w - eta * (direction(g, k) + lam * w)), None

    # A decay that takes the share x in a step leaves out x/2, and the norm fluctuates by as much.
    taken = eta * lam * (along * expected ** (1 - k) if coupled else 1)
    close_to(settled(step, expected, min(int(8 / taken), 2400)), expected**2, 2 * taken + 0.003)


@pytest.mark.parametrize("k", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("coupled", [False, True])
def test_equipartition_in_a_well(k: float, coupled: bool) -> None:
    """T = h E[x^2] as derived, and p V/(R T) from what is measured: with coupled decay, the ratio of the gains."""
    eta, lam, h = 0.02, 0.1, 4.0
    (a, along), moment = gains(k), second_moment(k)
    values = {"eta": eta, "lam": lam, "k": k, "D": moment} | ({"gain_along": along} if coupled else {})
    r = derive(f"{'coupled-' * coupled}homogeneous-radius").claim(**values)
    rng = np.random.default_rng(4)
    w = r * (np.eye(D)[0] + 0.05 * rng.standard_normal((RUNS, D)))
    norms, heats = [], []
    for count in range(7000):
        norm = np.linalg.norm(w, axis=1, keepdims=True)
        u = w / norm  # the loss is h (1 - u_0), of curvature h at the pole
        g = noise(rng, w) - h * (np.eye(D)[0] - u * u[:, :1]) / norm
        w = w - eta * (direction(g + lam * w, k) if coupled else direction(g, k) + lam * w)
        if count > 1500:
            norm = np.linalg.norm(w, axis=1)
            norms.append(norm)
            heats.append(h * ((w[:, 1:] / norm[:, None]) ** 2).sum(1) / (D - 1))
    heat = np.mean(heats, axis=0)
    bias = eta / r ** (1 + k) * a * h / 2 + 0.01  # what a finite pull, and the curvature of the sphere, leave out
    expected = derive("homogeneous-temperature").claim(eta=eta, r=r, k=k, D=moment, gain=a, d=D)
    close_to((float(heat.mean()), float(heat.std() / math.sqrt(RUNS))), expected, bias)
    power = 1.0 if coupled else k
    volume = np.mean(np.array(norms) ** (1 + power) / (1 + power), axis=0)
    law = lam / (1 if coupled else a) * volume / ((D - 1) / (1 + power) * heat)
    close_to((float(law.mean()), float(law.std() / math.sqrt(RUNS))), a / along if coupled else 1.0, bias)


# Memory ------------------------------------------------------------------------------------------


def drawn_lags(beta1: float, beta2: float, count: int) -> Array:
    """E[sign(c_0) sign(c_t)] per weight, c = beta1 m + (1 - beta1) g: drawn, from lag 0 on."""
    rng, m = np.random.default_rng(8), np.zeros(4000)
    signs = []
    for _ in range(700):
        g = rng.standard_normal(len(m))
        signs.append(np.sign(beta1 * m + (1 - beta1) * g))
        m = beta2 * m + (1 - beta2) * g
    late = np.array(signs[200:])
    return np.array([(late[: len(late) - t] * late[t:]).mean() for t in range(count)])


@pytest.mark.parametrize(("beta1", "beta2", "total"), [(0.5, 0.5, 2.31), (0.9, 0.9, 13.3), (0.5, 0.8, None)])
def test_signs_of_running_means(beta1: float, beta2: float, total: float | None) -> None:
    """The arcsine law against signs that are drawn; the sums as issue 18 has them, simulated."""
    lags = lion_lags(beta1, beta2)
    np.testing.assert_allclose(lags[:12], drawn_lags(beta1, beta2, 12), atol=0.006)
    brute = [
        2 / math.pi * math.asin(min(1.0, _product(beta1, beta2, t) / _product(beta1, beta2, 0))) for t in range(400)
    ]
    assert float(push(lags)) == pytest.approx(brute[0] + 2 * sum(brute[1:]), rel=1e-9)
    lion = FixedLR.with_optimizer("lion").radius(eta=0.02, lam=0.1, d=50, beta1=beta1, beta2=beta2)
    assert lion**2 == pytest.approx(0.02 * 50 / 0.2 * float(push(lags)), rel=1e-9)
    if total:
        assert float(push(lags)) == pytest.approx(total, rel=3e-3)


def _product(beta1: float, beta2: float, t: int) -> float:
    """Sum of the products of the weights that two averages t steps apart give to the gradients both have seen."""
    weights = [1 - beta1] + [beta1 * (1 - beta2) * beta2**j for j in range(800)]
    return sum(one * other for one, other in zip(weights, weights[t:], strict=False))


@pytest.mark.parametrize(("beta1", "beta2"), [(0.0, 0.0), (0.5, 0.5), (0.5, 0.8)])
def test_radius_and_angle_of_lion(beta1: float, beta2: float) -> None:
    """Runs of Lion on noise: with decay counted in the sum over lags the radius is exact, as the angle is."""
    eta, lam, turned = 0.2, 0.1, []
    lags = lion_lags(beta1, beta2)

    def step(rng: np.random.Generator, w: Array, m: Any) -> tuple[Array, Array]:
        g, m = rng.standard_normal(w.shape), np.zeros_like(w) if m is None else m
        new = w * (1 - eta * lam) - eta * np.sign(beta1 * m + (1 - beta1) * g)
        turned.append((w * new).sum() / (w * w).sum())
        return new, beta2 * m + (1 - beta2) * g

    expected = eta * D * float(push(lags, eta * lam)) / (lam * (2 - eta * lam))
    close_to(settled(step, math.sqrt(expected), 2400), expected, 0.0)
    optimizer = Optimizer("u = beta1*v + (1-beta1)*g; v = beta2*v + (1-beta2)*g; w = w - eta*(sign(u) + lam*w)")
    if beta2 == 0:  # else decay forgets a part of the steps that the leading order counts
        assert optimizer.radius(eta=eta, lam=lam, D=D) == pytest.approx(math.sqrt(expected), rel=eta * lam / 2)
    own = float(lags[0] / push(lags, eta * lam))
    angle = derive("homogeneous-angle").claim(own=own, taken=eta * lam)
    assert math.acos(np.mean(turned[1000:])) == pytest.approx(angle, rel=0.01)
    assert optimizer.angle(own=own, eta=eta, lam=lam) == pytest.approx(angle, rel=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_radius_of_muon(momentum: float) -> None:
    """A 3 x 5 matrix, its polar factor by the square root of a Gram matrix; the sum over lags by `muon_lags`."""
    eta, lam, rows, columns = 0.3, 0.1, 3, 5
    lags = muon_lags(rows, columns, momentum)

    def step(rng: np.random.Generator, w: Array, v: Any) -> tuple[Array, Array]:
        g = rng.standard_normal(w.shape)
        v = momentum * (np.zeros_like(w) if v is None else v) + (1 - momentum) * g
        matrix = (momentum * v + (1 - momentum) * g).reshape(-1, rows, columns)
        values, axes = np.linalg.eigh(matrix @ matrix.swapaxes(1, 2))
        factor = (axes / np.sqrt(values)[:, None, :]) @ axes.swapaxes(1, 2) @ matrix
        return w * (1 - eta * lam) - eta * factor.reshape(w.shape), v

    expected = eta * float(push(lags, eta * lam)) / (lam * (2 - eta * lam))
    close_to(settled(step, math.sqrt(expected), 2400, rows * columns), expected, 0.004)
    radius = FixedLR.with_optimizer("muon").radius(eta=eta, lam=lam, D=float(push(lags)))
    assert radius == pytest.approx(math.sqrt(expected), rel=eta * lam * (2 if momentum else 0.5))


# Trust ratios ------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta1", [0.0, 0.5])
def test_norm_of_lamb(beta1: float) -> None:
    """The norm of a gradient is taken to be its root mean square: E[1/|u|] is 1 + 3/(4 d) times as large."""
    eta, lam, d = 0.03, 0.05, 200
    expected = FixedLR.with_optimizer("lamb").radius(eta=eta, lam=lam, d=d, beta1=beta1)
    assert expected == pytest.approx(eta * math.sqrt(d * (1 + beta1) / (1 - beta1)) / (2 * lam), rel=1e-12)

    def step(rng: np.random.Generator, w: Array, m: Any) -> tuple[Array, Array]:
        g = noise(rng, w) * np.linalg.norm(w, axis=1, keepdims=True) * math.sqrt(d / (d - 1))
        m = beta1 * (np.zeros_like(w) if m is None else m) + (1 - beta1) * g
        u = m + lam * w  # the running mean square is 1
        return w - eta * np.linalg.norm(w, axis=1, keepdims=True) * u / np.linalg.norm(u, axis=1, keepdims=True), m

    close_to(settled(step, expected, 4000, d), expected**2, 1.5 / d + 0.005)


def test_norm_of_lars() -> None:
    """As LAMB's, with decay in units of the gradient."""
    eta, lam, sigma, d = 0.03, 0.05, 1.5, 200
    expected = FixedLR.with_optimizer("lars").radius(eta=eta, lam=lam, d=d, sigma=sigma)

    def step(rng: np.random.Generator, w: Array, _: Any) -> tuple[Array, None]:
        u = sigma * noise(rng, w) + lam * w
        return w - eta * np.linalg.norm(w, axis=1, keepdims=True) * u / np.linalg.norm(u, axis=1, keepdims=True), None

    close_to(settled(step, expected, 4000, d), expected**2, 1.5 / d + 0.005)


@pytest.mark.parametrize("k", [0.0, 0.5, 1.0])
def test_slopes_of_the_entropy(k: float) -> None:
    """Of (d - 1)(log T/2 + log r), with T and r written out, by differences: as derived, and ((1 + k)/4 ± 1/2) R_k."""

    def entropy(log_eta: float, log_lam: float) -> float:
        eta, lam, products, gain = math.exp(log_eta), math.exp(log_lam), 3.0, 0.7
        r = (eta * products / (2 * lam)) ** (1 / (2 + 2 * k))
        return (D - 1) * (math.log(eta / r ** (1 + k) * products / (2 * gain * (D - 1))) / 2 + math.log(r))

    at, step, unit = (-2.0, -3.0), 1e-4, (D - 1) / (1 + k)
    by_rate = (entropy(at[0] + step, at[1]) - entropy(at[0] - step, at[1])) / (2 * step)
    by_decay = (entropy(at[0], at[1] + step) - entropy(at[0], at[1] - step)) / (2 * step)
    assert (by_rate / unit, by_decay / unit) == pytest.approx(((3 + k) / 4, (k - 1) / 4), abs=1e-6)
    assert derive("homogeneous-slopes").claim(R_k=unit, k=k) == pytest.approx(by_decay, abs=1e-5)
