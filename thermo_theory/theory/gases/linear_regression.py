"""Linear regression and the Ornstein-Uhlenbeck process: what anisotropic noise does to the thermodynamics.

>>> from thermo_theory import derive
>>> derive("equipartition").claim(T=0.5)
0.25
"""

from __future__ import annotations

import sympy as sp

from thermo_theory.engine.derivation import Chain, Step, derivation
from thermo_theory.engine.operations import OperationError, operation
from thermo_theory.symbols import (
    C,
    C_ii,
    C_ij,
    C_next,
    D_mean,
    Hess,
    L,
    L_i,
    Phi,
    Sigma_ii,
    Sigma_ij,
    Sigma_mean,
    Sigma_w,
    T,
    current,
    drift,
    drift_matrix,
    drift_squared,
    eq,
    eta,
    grad_log_rho,
    h_i,
    h_j,
    phi_i,
    sigma,
    w,
)
from thermo_theory.symbols.vectors import Apply, Inverse, Mat, Quad, SkewProduct, SymProduct, identity_matrix, is_tensor
from thermo_theory.worlds.beyond import linear_world

__all__ = ["along_modes", "isolate"]

MANDT = "Mandt, Hoffman & Blei 2017, JMLR 18, Sec. 4"
KUNIN = "Kunin et al. 2021, arXiv 2107.09133"
GARDINER = "Gardiner, Handbook of Stochastic Methods, Sec. 4.4"
_SGD = linear_world()


# Operations --------------------------------------------------------------------------------------


def _tensors(expression: sp.Expr) -> set[sp.Expr]:
    """The vectors and matrices of a sum, each with its scalar factor taken off."""
    terms = sp.Add.make_args(sp.expand(expression))
    return {factor for term in terms for factor in sp.Mul.make_args(term) if is_tensor(factor)}


@operation("solve for {0}")
def isolate(equation: sp.Eq, tensor: sp.Expr) -> sp.Eq:
    """Solve an equation that is linear in its vectors and matrices for one of them."""
    difference = sp.expand(equation.lhs - equation.rhs)
    factor = difference.coeff(tensor)
    if factor == 0:
        raise OperationError(f"{tensor} does not occur in {equation}")
    rest = sp.expand(difference - factor * tensor)
    if rest.has(tensor):
        raise OperationError(f"{equation} is not linear in {tensor}")
    return eq(tensor, sp.expand(-rest / factor))


@operation("square the step and average")
def second_moment(drift_law: sp.Eq, spread: sp.Eq, later: Mat, weights: sp.Expr, spread_of: Mat) -> sp.Eq:
    """``C = E[w w^T]`` one unit of time later: ``C + E[b w^T + w b^T] + D``, for a drift linear in the weights."""
    total = spread_of + spread.rhs
    for term in sp.Add.make_args(sp.expand(drift_law.rhs)):
        applied = [factor for factor in sp.Mul.make_args(term) if isinstance(factor, Apply)]
        if len(applied) != 1 or applied[0].args[1] != weights:
            raise OperationError(f"{term} is not linear in {weights}")
        total += term / applied[0] * SymProduct(applied[0].args[0], spread_of)
    return eq(later, total)


@operation("solve the Lyapunov equation for {0}")
def solve_lyapunov(equation: sp.Eq, unknown: Mat) -> sp.Eq:
    """Solve ``{M, X} = k I``: the solution ``X = (k/2) M^-1`` is the only one as M has positive eigenvalues."""
    (product,) = equation.lhs.atoms(SymProduct)
    if equation.lhs != product or product.args[1] != unknown:
        raise OperationError(f"{equation} is no Lyapunov equation for {unknown}")
    factor = sp.expand(equation.rhs).coeff(identity_matrix)
    if sp.expand(equation.rhs - factor * identity_matrix) != 0:
        raise OperationError(f"{equation.rhs} is no multiple of the identity")
    return eq(unknown, factor / 2 * Inverse(product.args[0]))


@operation("split {0} {1} by the covariance: M w = M C C^-1 w, with M C half its symmetric and skew parts")
def split_by_covariance(equation: sp.Eq, matrix: Mat, weights: sp.Expr, spread_of: Mat) -> sp.Eq:
    """Write ``M w`` as ``({M, C} + [M, C]) C^-1 w/2``."""
    inner = Apply(Inverse(spread_of), weights)
    both = Apply(SymProduct(matrix, spread_of), inner) + Apply(SkewProduct(matrix, spread_of), inner)
    changed = equation.rhs.subs(Apply(matrix, weights), both / 2)
    if changed == equation.rhs:
        raise OperationError(f"{Apply(matrix, weights)} does not occur in {equation}")
    return eq(equation.lhs, sp.expand(changed))


@operation("take the commutator with {0}")
def commute(equation: sp.Eq, matrix: Mat) -> sp.Eq:
    """Commutator of both sides with a matrix; ``[M, {M, X}] = [M, [M, X]]`` in terms of `SkewProduct`."""

    def changed(side: sp.Expr) -> sp.Expr:
        total = SkewProduct(matrix, side)
        nested = {node: node.args[1] for node in total.atoms(SkewProduct) if isinstance(node.args[1], SymProduct)}
        rules = {
            node: SkewProduct(matrix, SkewProduct(*inner.args))
            for node, inner in nested.items()
            if inner.args[0] == matrix
        }
        return total.xreplace(rules)

    return eq(changed(equation.lhs), changed(equation.rhs))


@operation("compare the covariance with {0}")
def compare(equation: sp.Eq, guess: sp.Expr, unknown: Mat) -> sp.Eq:
    """Subtract from a Lyapunov equation for X what a guess would make of its left-hand side."""
    there = equation.lhs.subs(unknown, guess)
    left = equation.lhs.subs(unknown, unknown - guess)
    if sp.expand(left - equation.lhs + there) != 0:
        raise OperationError(f"{equation.lhs} is not linear in {unknown}")
    return eq(left, sp.expand(equation.rhs - there))


@operation("curvature of the potential along a mode, where the covariance has no elements between modes")
def curvature_of_mode(potential: sp.Eq, mixed: sp.Eq) -> sp.Eq:
    """From a potential ``k w.C^-1 w`` and ``C_ij = 0``: the inverse of a diagonal matrix is that of its elements.

    Raises
    ------
    OperationError
        If they are not of this form.

    Examples
    --------
    >>> curvature_of_mode(eq(Phi, T / 2 * Quad(Inverse(C), w)), eq(C_ij, 0))
    Eq(phi_i, T/C_ii)
    """
    form = Quad(Inverse(C), w)
    factor = sp.expand(potential.rhs).coeff(form)
    if potential.lhs != Phi or sp.simplify(potential.rhs - factor * form) != 0 or mixed != eq(C_ij, 0):
        raise OperationError(f"{potential} and {mixed} are not a potential and a covariance of independent modes")
    return eq(phi_i, 2 * factor / C_ii)


@operation("take the element between two eigenvectors of the Hessian")
def along_modes(equation: sp.Eq, same: bool = False) -> sp.Eq:
    """Element (i, j) of a matrix equation in the eigenbasis of the Hessian; (i, i) if `same`."""
    second = h_i if same else h_j
    elements = {
        SymProduct(Hess, C): (h_i + second) * (C_ii if same else C_ij),
        Sigma_w: Sigma_ii if same else Sigma_ij,
    }

    def changed(side: sp.Expr) -> sp.Expr:
        if not _tensors(side) <= set(elements):
            raise OperationError(f"{side} has elements without a name")
        return side.xreplace(elements)

    return eq(changed(equation.lhs), changed(equation.rhs))


# Derivations -------------------------------------------------------------------------------------


@derivation(
    "ornstein-uhlenbeck",
    source=f"{MANDT}; {GARDINER}",
    summary="A linear drift -A w has the covariance of Lyapunov's equation A C + C A^T = eta^2 Sigma, and its "
    "probability runs along the level lines of the density, by the skew part of A C",
    worlds=[linear_world(symmetric=False)],
)
def _ornstein_uhlenbeck(chain: Chain) -> None:
    mean = chain.assumption("linear drift", eq(drift, -Apply(drift_matrix, w)), "a linear pull back to the minimum")
    square = chain.definition(
        eq(D_mean, eta**2 * Sigma_mean + drift_squared),
        "mean square of a step: noise plus mean",
    )
    small = chain.assumption("continuous time", eq(drift_squared, 0), "only the noise counts")
    alike = chain.assumption("homogeneous noise", eq(Sigma_mean, Sigma_w), "the noise is the same at all weights")
    noise = square.substitute(small, alike)
    later = mean.second_moment(noise, C_next, w, C)
    still = chain.assumption("stationarity", eq(C_next, C), "the covariance is constant")
    balance = later.substitute(still)
    balance.isolate(SymProduct(drift_matrix, C), because="Lyapunov's equation")
    strength = balance.isolate(Sigma_w)
    normal = chain.assumption(
        "normal density",
        eq(grad_log_rho, -Apply(Inverse(C), w)),
        "as linear drift and homogeneous noise make it",
    )
    flow = chain.assumption(
        "homogeneous noise",
        eq(current, drift - eta**2 / 2 * Apply(Sigma_w, grad_log_rho)),
        "Fokker-Planck: the velocity v of the probability, rho v = rho b - div(rho D)/2, where div D = 0",
    )
    flow = flow.substitute(mean, normal, strength)
    flow.split_by_covariance(drift_matrix, w, C, because="only the skew part drives a current")


def _lyapunov(chain: Chain) -> Step:
    """Lyapunov's equation of SGD on a quadratic loss."""
    slope = chain.assumption("quadratic loss", eq(drift, -eta * Apply(Hess, w)), "the gradient of w.Hw/2 is H w")
    name = chain.definition(eq(drift_matrix, eta * Hess), "the matrix of this drift")
    linear = slope.substitute(name.isolate(Hess))
    balance = chain.claim("ornstein-uhlenbeck", about=SymProduct(drift_matrix, C), given={"linear drift": linear})
    return balance.substitute(name).scale(1 / eta, because="Lyapunov's equation")


def _potential(chain: Chain) -> Step:
    return chain.assumption(
        "normal density", eq(Phi, T / 2 * Quad(Inverse(C), w)), "the implicit potential, -T log of the density"
    )


@derivation(
    "linear-regression",
    source=f"{KUNIN}; this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)",
    summary="SGD on a quadratic loss has the potential T w.C^-1 w/2, with H C + C H = eta Sigma; it is the loss itself "
    "if the noise is isotropic (and only then: see probability-currents)",
    worlds=[_SGD],
)
def _linear_regression(chain: Chain) -> None:
    balance, potential = _lyapunov(chain), _potential(chain)
    heat = chain.definition(eq(T, eta * sigma**2 / 2), "the temperature of the noise")
    loss = chain.assumption("quadratic loss", eq(L, Quad(Hess, w) / 2))
    isotropic = chain.assumption("isotropic noise", eq(Sigma_w, sigma**2 * identity_matrix))
    balance = balance.substitute(isotropic)
    spread = balance.solve_lyapunov(C)
    potential = potential.substitute(spread, heat)
    quadratic = loss.solve_for(Quad(Hess, w))
    potential.substitute(quadratic, because="so the potential is the loss")


@derivation(
    "probability-currents",
    source=f"{KUNIN}; this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)",
    summary="Two conditions that are often confused: the potential is the loss if and only if Sigma is a multiple of "
    "the identity; currents vanish if and only if H and Sigma commute",
    worlds=[_SGD],
)
def _probability_currents(chain: Chain) -> None:
    balance = _lyapunov(chain)
    balance.compare(
        T * Inverse(Hess), C, because="the potential is the loss (C = T H^-1) if and only if eta Sigma = 2 T I"
    )
    both = balance.commute(Hess, because="currents vanish ([H, C] = 0) if and only if [H, Sigma] = 0")
    both.scale(1 / eta).flip()


@derivation(
    "equipartition",
    source="Boltzmann's equipartition theorem; this toolkit (beyond Sadrtdinov et al. 2025, arXiv 2511.07308)",
    summary="Each mode of a quadratic loss has the mean loss T/2 if the noise is isotropic; else eta Sigma_ii/4",
    worlds=[_SGD],
)
def _equipartition(chain: Chain) -> None:
    balance = _lyapunov(chain)
    variance = balance.along_modes(same=True).solve_for(C_ii)
    energy = chain.assumption("quadratic loss", eq(L_i, h_i * C_ii / 2), "the mean loss of a mode")
    energy = energy.substitute(variance, because="each mode has the temperature of its own noise")
    isotropic = chain.assumption("isotropic noise", eq(Sigma_ii, sigma**2))
    heat = chain.definition(eq(T, eta * sigma**2 / 2), "the temperature of the noise")
    energy = energy.substitute(isotropic)
    energy.substitute(heat.solve_for(sigma))
