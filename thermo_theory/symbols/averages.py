"""Averages that a formula takes as numbers: under which name, and which values they can have.

A table of results has the first four under the same names.

>>> averages[Expectation(Dot(g, g))].argument
'grad_sq'
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.numeric.domain import POSITIVE, REAL, Domain
from thermo_theory.symbols import (
    C,
    Hess,
    Sigma,
    Sigma_w,
    SymbolInfo,
    buffer,
    g,
    g_unit,
    grad_L,
    grad_L_unit,
    input_across,
    input_along,
    label,
    lap_L,
    logit_slope,
    r,
    tr_Sigma,
    true_label,
    w,
)
from thermo_theory.symbols.vectors import Dot, Expectation, Quad, Sandwich, SkewProduct, SymProduct, Tr

__all__ = ["averages"]

_CURRENT = SkewProduct(Hess, C)

#: Every average that a claim has on its right-hand side.
averages: dict[sp.Basic, SymbolInfo] = {
    average: SymbolInfo(average, argument, meaning, "1", domain)
    for average, argument, meaning, domain in (
        (Expectation(r**2), "radius_sq", "mean squared norm of the weights", POSITIVE),
        (Expectation(Dot(g, g)), "grad_sq", "mean squared norm of a minibatch's gradient", POSITIVE),
        (Expectation(Dot(grad_L, grad_L)), "grad_mean_sq", "mean squared norm of the mean gradient", Domain(low=0.0)),
        (
            Expectation(Dot(g_unit, g_unit)),
            "grad_sq_unit",
            "mean squared norm of a minibatch's gradient at unit norm",
            POSITIVE,
        ),
        (
            Expectation(Dot(grad_L_unit, grad_L_unit)),
            "grad_mean_sq_unit",
            "mean squared norm of the mean gradient at unit norm",
            Domain(low=0.0),
        ),
        (Expectation(tr_Sigma / r**2), "grad_variance", "trace of the gradient noise covariance, averaged", POSITIVE),
        (Expectation(Dot(g, w)), "grad_dot_w", "mean of g.w, 0 under scale invariance", REAL),
        (Expectation(Dot(g, buffer)), "grad_dot_buffer", "mean product of gradient and buffer", REAL),
        (Expectation(lap_L), "laplacian", "mean Laplacian of the loss on the unit sphere", REAL),
        (Expectation(Tr(SymProduct(Hess, Sigma))), "curvature_noise", "mean of tr(H Sigma + Sigma H)", REAL),
        (Expectation(Quad(Hess, g_unit)), "curvature_grad", "mean of g.Hg for a minibatch's gradient g", REAL),
        (
            Expectation(true_label * input_along),
            "label_along",
            "mean product of label and input along the weights",
            POSITIVE,
        ),
        (Expectation(logit_slope**2), "slope_sq", "mean squared derivative of the loss by the logit", POSITIVE),
        (Tr(Hess), "tr_H", "trace of the Hessian", POSITIVE),
        (Tr(Sigma_w), "tr_noise", "trace of the gradient noise covariance at the weights", POSITIVE),
        (Tr(SymProduct(Hess, Sigma_w)), "tr_H_noise", "trace of H Sigma + Sigma H", POSITIVE),
        (Tr(SymProduct(Sigma_w, Sigma_w)), "tr_noise_sq", "twice the trace of Sigma squared", POSITIVE),
        (Tr(Sandwich(Hess, C)), "tr_H_C_H", "trace of H C H", Domain(low=0.0)),
        (Tr(SymProduct(_CURRENT, _CURRENT)), "tr_current_sq", "twice the trace of [H, C] squared", Domain(high=0.0)),
        (
            Expectation(input_along * input_across**2 * label),
            "margin_across",
            "mean product of label, input along the weights and squared input across them",
            REAL,
        ),
        (Expectation(Quad(Hess, grad_L_unit)), "curvature_mean_grad", "mean of g.Hg for the mean gradient g", REAL),
    )
}
