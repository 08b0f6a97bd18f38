"""Operations of the gases: densities along a meridian, level lines, potentials of modes."""

import mpmath as mp
import numpy as np
import pytest
import sympy as sp
from operation_worlds import applied, eq, refuses
from scipy.integrate import quad, solve_ivp

from thermo_theory import symbols as s
from thermo_theory.symbols.vectors import Inverse, Quad


@pytest.mark.parametrize("n", [3, 4, 6])
def test_along_the_meridian(n):
    k, rho = sp.Rational(7, 3), sp.Function("rho")(s.theta)
    loss = 1 - sp.cos(s.theta) + sp.cos(s.theta) ** 2 / 5
    others = 2 * sp.pi ** (sp.Rational(n - 1) / 2) / sp.gamma(sp.Rational(n - 1) / 2)
    found = applied("along_the_meridian", eq(s.grad_log_rho, -k * s.grad_L_unit), rho, loss, others)
    assert found.lhs == rho
    density = sp.lambdify(s.theta, found.rhs.subs(s.d, n), "mpmath")
    # It is 1 over the sphere, and its log falls as k times the loss.
    whole = quad(lambda x: float(others) * float(density(x)) * np.sin(x) ** (n - 2), 0, np.pi)[0]
    assert whole == pytest.approx(1, rel=1e-9)
    fall = mp.log(density(0.4) / density(1.3)) - float(k * (loss.subs(s.theta, 1.3) - loss.subs(s.theta, 0.4)))
    assert abs(fall) < 1e-9
    refuses("along_the_meridian", eq(s.grad_log_rho, -s.theta * s.grad_L_unit), rho, loss, others)
    refuses("along_the_meridian", eq(s.grad_log_rho, s.w_bar - s.grad_L_unit), rho, loss, others)
    refuses("along_the_meridian", eq(s.grad_L_unit, -s.grad_log_rho), rho, loss, others)
    refuses("along_the_meridian", eq(s.grad_L, -k * s.grad_L_unit), rho, loss, others)


def test_slope_of_level_line():
    x, y = sp.symbols("x y", positive=True)
    line = sp.Function("y")(x)
    level = x * line**2 + sp.exp(x) / line
    found = applied("slope_of_level_line", eq(level, 5), line, y)
    assert found.lhs == sp.Derivative(line, x)
    slope, height = sp.lambdify((x, y), found.rhs.doit()), sp.lambdify((x, y), level.subs(line, y))
    way = solve_ivp(lambda at, now: slope(at, now), (1.0, 1.5), [2.5], rtol=1e-10, atol=1e-12)
    assert height(1.5, way.y[0, -1]) == pytest.approx(height(1.0, 2.5), rel=1e-8)
    refuses("slope_of_level_line", eq(level, x), line, y)
    refuses("slope_of_level_line", eq(level, y), line, y)
    refuses("slope_of_level_line", eq(x**2, 5), line, y)


def test_curvature_of_mode():
    form = Quad(Inverse(s.C), s.w)
    found = applied("curvature_of_mode", eq(s.Phi, s.T * form / 2), eq(s.C_ij, 0))
    # Of a diagonal covariance the potential is T w_i^2/(2 C_ii) in each mode.
    covariance, heat, step = np.diag([0.7, 1.9]), 0.3, 1e-3

    def potential(w):
        return heat * w @ np.linalg.inv(covariance) @ w / 2

    for mode, e in enumerate(np.eye(2)):
        bend = (potential(step * e) + potential(-step * e)) / step**2
        claimed = found.rhs.subs({s.T: heat, s.C_ii: covariance[mode, mode]})
        assert bend == pytest.approx(float(claimed), rel=1e-9)
    assert found.lhs == s.phi_i
    refuses("curvature_of_mode", eq(s.Phi, s.T * form / 2), eq(s.C_ij, 1))
    refuses("curvature_of_mode", eq(s.Phi, s.T * form / 2 + s.T), eq(s.C_ij, 0))
    refuses("curvature_of_mode", eq(s.L, s.T * form / 2), eq(s.C_ij, 0))
