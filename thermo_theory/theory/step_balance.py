"""What stationarity implies for slopes and curvatures at finite steps: the balance of a step, and a thermometer.

In the limit of small steps these are "gradient-balance" and "configurational-temperature". They need no correction by a
mean curvature: where curvatures differ, the mean gradient points along the large ones.

>>> from thermo_theory import derive
>>> derive("step-balance").assumptions
('small steps', 'independent noise', 'stationarity')
"""

from __future__ import annotations

from thermo_theory.engine.derivation import Chain, derivation
from thermo_theory.symbols import Hess, L, L_next, T, d, eq, eta_eff, g_unit, grad_L_unit, lap_L, sigma, tr_Sigma, xi
from thermo_theory.symbols.vectors import Dot, Expectation, Quad
from thermo_theory.worlds.steps import step_balance_world

__all__: list[str] = []

SOURCE = "Yaida 2018, arXiv 1810.00004; this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)"
_SQUARE = Dot(grad_L_unit, grad_L_unit)


@derivation(
    "step-balance",
    source=SOURCE,
    summary="Under any noise E|grad L|^2 is eta_eff/2 times the mean curvature along the gradients of minibatches, "
    "mean and noise together: the reference for the configurational temperature (V6) at finite steps",
    worlds=[step_balance_world()],
    domain=[Expectation(Quad(Hess, g_unit)) >= 0],
)
def _balance(chain: Chain) -> None:
    """Mean squared gradient and mean curvature along the gradients of minibatches."""
    step = chain.assumption(
        "small steps",
        eq(L_next, L - eta_eff * Dot(grad_L_unit, g_unit) + eta_eff**2 / 2 * Quad(Hess, g_unit)),
        "the loss after a step, to second order in it",
    )
    mean = step.expectation()
    unbiased = chain.assumption("independent noise", eq(Expectation(Dot(grad_L_unit, g_unit)), Expectation(_SQUARE)))
    still = chain.assumption("stationarity", eq(Expectation(L_next), Expectation(L)), "the mean loss is constant")
    mean = mean.substitute(unbiased, still)
    mean.solve_for(
        Expectation(_SQUARE),
        because="steps down the slope lower the loss as much as the curvature along the step raises it, for any noise",
    )


@derivation(
    "step-thermometer",
    source=SOURCE,
    summary="Under isotropic, homogeneous noise E|grad L|^2 is T times the mean Laplacian, and eta_eff/2 times the "
    "curvature along the mean gradient: the configurational thermometer at finite steps",
    worlds=[step_balance_world()],
    domain=[T * Expectation(lap_L) + eta_eff * Expectation(Quad(Hess, grad_L_unit)) / 2 >= 0],
)
def _thermometer(chain: Chain) -> None:
    balance = chain.claim("step-balance")
    parts = chain.assumption(
        "independent noise",
        eq(Expectation(Quad(Hess, g_unit)), Expectation(Quad(Hess, grad_L_unit)) + Expectation(Quad(Hess, xi))),
        "a gradient is its mean plus uncorrelated noise",
    )
    isotropic = chain.assumption(
        "isotropic noise",
        eq(Expectation(Quad(Hess, xi)), Expectation(tr_Sigma * lap_L) / (d - 1)),
        "isotropic noise samples all curvatures alike",
    )
    homogeneous = chain.assumption("homogeneous noise", eq(tr_Sigma, (d - 1) * sigma**2))
    isotropic = isotropic.substitute(homogeneous)
    heat = chain.definition(eq(T, eta_eff * sigma**2 / 2), "the temperature of the noise")
    strength = heat.solve_for(sigma**2)
    balance = balance.substitute(parts, isotropic, strength)
    balance.simplify(
        because="the thermometer and its correction for finite steps: the curvature along the mean gradient"
    )
