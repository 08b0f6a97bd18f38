"""SGD near a minimum, under noise of any shape: the gas in its own potential, in numbers or in closed form.

The update is ``x <- x - eta_eff (H x + noise)``, the noise of covariance Sigma. Near a minimum every loss is like this;
in linear regression it is so everywhere, but Sigma depends on the weights. What is computed here is derived in
"implicit-potential", "harmonic-energy", "harmonic-thermometer", "harmonic-fluctuations", "harmonic-finite-steps" and
"probability-currents".

>>> import numpy as np
>>> system = Harmonic(np.diag([1.0, 3.0]), np.array([[1.0, 0.5], [0.5, 1.0]]))
>>> system.covariance(0.1).round(6)  # eta Sigma_ij/(h_i + h_j)
array([[0.05    , 0.0125  ],
       [0.0125  , 0.016667]])
"""

from __future__ import annotations

import math
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import ArrayLike

from thermo_theory.numeric.quadratic import Modes, dense, matrix_free

__all__ = ["Harmonic"]

#: A covariance whose eigenvalues span more than this has no inverse in float64.
SINGULAR = 1e13


def _one_rate(eta_eff: Any) -> Any:
    """Return a learning rate.

    Raises
    ------
    ValueError
        If it is neither a number nor an expression.
    """
    if isinstance(eta_eff, bool) or not isinstance(eta_eff, Real | sp.Expr):
        raise ValueError(f"eta_eff = {eta_eff!r}: must be one positive number, or an expression"[:200])
    return eta_eff


class Harmonic:
    """The stationary state of SGD in a quadratic well, and how far its loss is from its implicit potential.

    With m directions, ``R = m/2`` and ``T = eta_eff tr Sigma/(2 m)``. For small steps the covariance C solves
    ``H C + C H = eta_eff Sigma``; so C is proportional to T, and the implicit potential ``Phi = T x.C^-1 x/2`` is the
    same at all temperatures: an ideal gas, whatever H and Sigma. `discrete` steps, of any size, solve
    ``H C + C H - eta_eff H C H = eta_eff Sigma``.

    Parameters
    ----------
    H : array_like or sympy.Matrix, shape (n, n), or scipy LinearOperator
        Hessian of the loss, symmetric, with no negative eigenvalue (nat per squared weight). Directions in which it is
        flat are left out, if there is no noise in them.
    Sigma : array_like or sympy.Matrix, shape (n, n), optional
        Covariance of the gradient noise, positive semidefinite, of any rank.
    factor : array_like, shape (n, k), optional
        B, in the place of ``Sigma = B B^T``; the only form if H is a LinearOperator.
    directions : int, optional
        m, if H is a LinearOperator that is flat in some directions; by default n, or the rank of a matrix H.
    trace : float, optional
        tr H, if H is a LinearOperator and it is known; only `thermometer` needs it.
    tolerance : float
        Matrix-free: residual of Lyapunov's equation, as a share of eta_eff Sigma, below which the Krylov space is
        large enough; `residual` is what was reached.
    krylov : int
        Matrix-free: largest dimension of that space. A third more products with H than this estimate tr H.
    seed : int
        Matrix-free: of the probes for tr H.

    Raises
    ------
    ValueError
        If H or Sigma is not finite, symmetric, positive semidefinite or of the other's shape, if there is noise where
        H is flat, or if not exactly one of `Sigma` and `factor` is given; the message names it.

    Notes
    -----
    Matrices of numbers cost one eigen-decomposition, O(n^3), shared by all that is asked; twice as many directions take
    eight times as long. Matrix-free the cost is that of products with H and O(n krylov^2). Symbolic matrices are for
    a few directions. **Assumes** stationarity, homogeneous noise, a quadratic loss; but for `discrete`, small steps;
    for `fluctuations`, `entropy` and `potential`, normal weights.

    References
    ----------
    Mandt, Hoffman & Blei 2017, JMLR 18, Sec. 4; Chaudhari & Soatto 2018, arXiv 1710.11029; Kunin et al. 2021,
    arXiv 2107.09133. The ideal gas in the implicit potential is this toolkit's (beyond arXiv 2511.07308).

    Examples
    --------
    In closed form, ``m tr(H Sigma)/(tr H tr Sigma)`` and, as these commute, ``m tr Sigma^2/(tr Sigma)^2``:

    >>> h, a, b = sp.symbols("h a b", positive=True)
    >>> system = Harmonic(sp.diag(1, h), sp.diag(a, b))
    >>> sp.factor(system.thermometer()), sp.factor(system.fluctuations())
    (2*(a + b*h)/((a + b)*(h + 1)), 2*(a**2 + b**2)/(a + b)**2)
    """

    def __init__(
        self,
        H: Any,
        Sigma: Any = None,
        *,
        factor: ArrayLike | None = None,
        directions: int | None = None,
        trace: float | None = None,
        tolerance: float = 1e-8,
        krylov: int = 400,
        seed: int = 0,
    ) -> None:
        from scipy.sparse.linalg import LinearOperator  # which takes as long to load as all derivations

        if (Sigma is None) == (factor is None):
            raise ValueError("give either Sigma or factor, a matrix B with Sigma = B B^T")
        self._krylov = isinstance(H, LinearOperator)
        self._parts: Modes | _Closed
        if self._krylov:
            if factor is None:
                raise ValueError("Sigma with a LinearOperator H: give factor, a matrix B with Sigma = B B^T")
            self._parts = matrix_free(H, factor, directions, trace, tolerance, krylov, seed)
        elif directions is not None or trace is not None:
            raise ValueError("directions and trace are for a LinearOperator H; those of a matrix are known")
        elif any(isinstance(matrix, sp.MatrixBase) for matrix in (H, Sigma)):
            self._parts = _Closed(H, Sigma)
        else:
            self._parts = dense(H, Sigma, factor)

    # What is common to all sizes of steps -------------------------------------------------------

    @property
    def R(self) -> Any:
        """Gas constant, half the number of directions."""
        return self._parts.directions / (sp.Integer(2) if isinstance(self._parts, _Closed) else 2)

    @cached_property
    def _strength(self) -> Any:
        return self._neat(self._parts.noise.trace())

    def temperature(self, eta_eff: Any) -> Any:
        """Temperature of the noise, ``T = eta_eff tr Sigma/(2 m)``, in nats: its mean over the directions.

        >>> Harmonic(np.diag([1.0, 2.0]), np.diag([1.0, 3.0])).temperature(0.1)
        0.1
        """
        return _one_rate(eta_eff) * self._strength / (4 * self.R)

    def residual(self, eta_eff: float = 1.0, *, discrete: bool = False) -> float:
        """Share of ``eta_eff Sigma`` by which Lyapunov's equation is not satisfied; 0 but for the matrix-free form.

        >>> Harmonic(np.eye(2), np.eye(2)).residual()
        0.0
        """
        return 0.0 if isinstance(self._parts, _Closed) else self._parts.residual(eta_eff, discrete)

    @property
    def trace_error(self) -> float:
        """Standard error of tr H, as a share of it: that of `thermometer`; 0 except for a large matrix-free H.

        >>> Harmonic(np.eye(2), np.eye(2)).trace_error
        0.0
        """
        return 0.0 if isinstance(self._parts, _Closed) else self._parts.trace_error / self._parts.trace

    def _spread(self, eta_eff: Any, discrete: bool) -> tuple[Any, Any]:
        """Covariance between modes and eta; where the result does not depend on it, eta is 1."""
        if eta_eff is None and discrete:
            raise ValueError("discrete=True needs eta_eff: steps of any size are not proportional to it")
        eta = 1 if eta_eff is None else eta_eff
        return self._parts.covariance(_one_rate(eta), discrete), eta

    # The weights ---------------------------------------------------------------------------------

    def covariance(self, eta_eff: Any, *, discrete: bool = False) -> Any:
        """Stationary covariance C of the weights, shape (n, n), in squared weights.

        Parameters
        ----------
        eta_eff : float or sympy expression
            Learning rate; on the unit sphere the effective one.
        discrete : bool
            Exact for steps of any size, ``C = (1 - eta H) C (1 - eta H) + eta^2 Sigma``, instead of small ones.

        Returns
        -------
        numpy.ndarray, sympy.Matrix or LinearOperator
            As H is given; matrix-free it has the rank of the Krylov space.

        Raises
        ------
        ValueError
            If eta_eff is not positive or, with `discrete`, ``eta_eff h >= 2`` for a curvature h.

        Examples
        --------
        In one dimension ``eta Sigma/(2 h - eta h^2)``, without the second term for small steps:

        >>> one = Harmonic([[1.0]], [[2.0]])
        >>> one.covariance(0.5), one.covariance(0.5, discrete=True)
        (array([[0.5]]), array([[0.66666667]]))
        """
        return self._back(self._spread(eta_eff, discrete)[0])

    def potential(self, eta_eff: Any = None, *, discrete: bool = False) -> Any:
        """Hessian ``T C^-1`` of the implicit potential, of which the weights have the Gibbs law at T; shape (n, n).

        For small steps it does not depend on eta_eff. It is H if and only if Sigma is a multiple of the identity.

        Raises
        ------
        ValueError
            If the covariance has no inverse (noise of low rank that H does not spread over all directions).

        Examples
        --------
        If they commute, the curvature along a mode is ``h_i tr Sigma/(m Sigma_ii)``:

        >>> Harmonic(np.diag([1.0, 3.0]), np.diag([2.0, 6.0])).potential()
        array([[2., 0.],
               [0., 2.]])
        """
        spread, eta = self._spread(eta_eff, discrete)
        if isinstance(self._parts, _Closed):
            return (self.temperature(eta) * spread.inv()).applyfunc(sp.factor)
        self._invertible(spread)
        return self._back(self.temperature(eta) * np.linalg.inv(spread))

    def circulation(self, eta_eff: Any, *, discrete: bool = False) -> Any:
        """How the weights rotate: the mean of ``x_i dx_j - x_j dx_i`` per iteration, ``eta_eff (H C - C H)``.

        Twice the area that the path sweeps in the plane (i, j), shape (n, n), antisymmetric, in squared weights per
        iteration. In equilibrium, where a path is as likely as its reverse, it is 0: if and only if H and Sigma
        commute. **Derived in** "ornstein-uhlenbeck", "probability-currents".

        >>> system = Harmonic(np.diag([1.0, 3.0]), np.array([[1.0, 0.5], [0.5, 1.0]]))
        >>> system.circulation(0.1).round(6)  # eta (h_i - h_j) C_ij
        array([[ 0.    , -0.0025],
               [ 0.0025,  0.    ]])
        """
        spread, eta = self._spread(eta_eff, discrete)
        pulled = self._parts.pull(spread)
        return self._back(eta * (pulled - pulled.T))

    # How far the loss is from the potential ---------------------------------------------------------

    def energy(self, eta_eff: Any = None, *, discrete: bool = False, relative: bool = False) -> Any:
        """Mean loss above its minimum, ``U - U_0 = tr(H C)/2``, in nats; `relative`: over RT.

        For small steps it is RT whatever H and Sigma; else ``RT (1 + tr(H C H)/tr Sigma)``.

        Raises
        ------
        ValueError
            If eta_eff is missing where the energy depends on it, or is out of bounds.

        Examples
        --------
        >>> one = Harmonic([[1.0]], [[2.0]])
        >>> one.energy(0.5), one.energy(0.5, discrete=True), one.energy(0.5, discrete=True, relative=True)
        (0.25, 0.3333..., 1.3333...)
        """
        if eta_eff is None and not relative:
            raise ValueError("energy needs eta_eff; relative=True, over RT, does not for small steps")
        spread, eta = self._spread(eta_eff, discrete)
        loss = self._parts.pull(spread).trace() / 2
        return self._neat(loss / (self.R * self.temperature(eta)) if relative else loss)

    def thermometer(self, eta_eff: Any = None, *, discrete: bool = False) -> Any:
        """``E|grad L|^2/(T tr H)``, 1 under Gibbs' law: ``m tr(H Sigma)/(tr H tr Sigma)`` for small steps.

        Raises
        ------
        ValueError
            If `discrete` steps have no eta_eff, or one that is out of bounds.

        Examples
        --------
        >>> round(Harmonic(np.diag([1.0, 3.0]), np.diag([2.0, 5.0])).thermometer() - 2 * 17 / (4 * 7), 12)
        0.0
        """
        spread, eta = self._spread(eta_eff, discrete)
        square = self._parts.pull(self._parts.pull(spread)).trace()
        return self._neat(square / (self.temperature(eta) * self._parts.trace))

    def fluctuations(self, eta_eff: Any = None, *, discrete: bool = False) -> Any:
        """``Var L/(R T^2) = tr(H C H C)/(2 R T^2)``, 1 if the loss is the potential, and more otherwise.

        For small steps at most ``m tr Sigma^2/(tr Sigma)^2``, and that if H and Sigma commute: currents lower it.

        Raises
        ------
        ValueError
            If `discrete` steps have no eta_eff, or one that is out of bounds.

        Examples
        --------
        >>> round(Harmonic(np.diag([1.0, 3.0]), np.diag([2.0, 5.0])).fluctuations() - 2 * 29 / 49, 12)
        0.0
        """
        spread, eta = self._spread(eta_eff, discrete)
        pulled = self._parts.pull(spread)
        square = (pulled @ pulled).trace() if isinstance(self._parts, _Closed) else np.sum(pulled * pulled.T)
        return self._neat(square / (2 * self.R * self.temperature(eta) ** 2))

    def entropy(self, eta_eff: Any, *, discrete: bool = False) -> Any:
        """Differential entropy of the weights, ``log det(2 pi e C)/2``, in nats: R log T plus a constant, small steps.

        Raises
        ------
        ValueError
            If the covariance has no inverse, or eta_eff is out of bounds.

        Examples
        --------
        >>> one = Harmonic([[1.0]], [[2.0]])
        >>> round(one.entropy(0.5) - math.log(2 * math.pi * math.e * 0.5) / 2, 12)
        0.0
        """
        spread = self._spread(eta_eff, discrete)[0]
        if isinstance(self._parts, _Closed):
            return sp.log(2 * sp.pi * sp.E) * self.R + sp.log(sp.factor(spread.det())) / 2
        self._invertible(spread)
        return float(self.R * math.log(2 * math.pi * math.e) + np.linalg.slogdet(spread)[1] / 2)

    def _invertible(self, spread: Any) -> None:
        if self._krylov:
            raise ValueError("a matrix-free covariance has no inverse: potential and entropy need H as a matrix")
        sizes = np.linalg.eigvalsh(spread)
        if not sizes[0] * SINGULAR > sizes[-1]:
            raise ValueError("Sigma does not reach all directions: the covariance of the weights has no inverse")

    def _back(self, matrix: Any) -> Any:
        """From between modes to coordinates."""
        if isinstance(self._parts, _Closed):
            return matrix
        if self._krylov:
            from scipy.sparse.linalg import aslinearoperator

            basis = aslinearoperator(self._parts.basis)
            return basis @ aslinearoperator(matrix) @ basis.T
        return self._parts.back(matrix)

    def _neat(self, number: Any) -> Any:
        return sp.factor(number) if isinstance(self._parts, _Closed) else float(number)


class _Closed:
    """The same as `Modes` in closed form, in the coordinates that H and Sigma are given in."""

    def __init__(self, H: Any, Sigma: Any) -> None:
        self.hessian, self.noise = (sp.ImmutableMatrix(matrix) for matrix in (H, Sigma))
        for name, matrix in (("H", self.hessian), ("Sigma", self.noise)):
            if matrix.shape != (self.hessian.rows, self.hessian.rows):
                raise ValueError(f"{name} has shape {matrix.shape}: H must be square, and Sigma of its shape")
            if not (matrix - matrix.T).applyfunc(sp.simplify).is_zero_matrix:
                raise ValueError(f"{name} is not symmetric")
            if matrix.is_positive_semidefinite is False or matrix.has(sp.nan, sp.oo, sp.zoo):
                raise ValueError(f"{name} is not finite, or has an eigenvalue that is not known to be 0 or positive")
        if sp.simplify(self.hessian.det()) == 0:
            raise ValueError("H is singular: in closed form all curvatures must be positive")
        if self.noise.is_zero_matrix:
            raise ValueError("Sigma is 0: there must be noise")
        self.directions, self.trace = sp.Integer(self.hessian.rows), self.hessian.trace()

    def pull(self, matrix: Any) -> Any:
        """``H M``."""
        return self.hessian * matrix

    def covariance(self, eta: Any, discrete: bool) -> Any:
        """Solve the linear equations for the elements of C on and above the diagonal.

        Raises
        ------
        ValueError
            If eta is known not to be positive, or to be so large that finite steps leave the minimum.
        """
        eta, n = sp.sympify(eta), self.hessian.rows
        if not isinstance(eta, sp.Expr) or eta.is_positive is False:
            raise ValueError(f"eta_eff = {eta}: must be positive")
        unknown = {(i, j): sp.Dummy(f"C{i}{j}") for i in range(n) for j in range(i, n)}
        spread = sp.Matrix(n, n, lambda i, j: unknown[min(i, j), max(i, j)])
        left = self.hessian * spread + spread * self.hessian
        if discrete:
            if (2 * sp.eye(n) - eta * self.hessian).is_positive_definite is False:
                raise ValueError("eta_eff times a curvature of H is 2 or more: SGD diverges")
            left = left - eta * self.hessian * spread * self.hessian
        equations = [(left - eta * self.noise)[i, j] for i, j in unknown]
        (solution,) = sp.linsolve(equations, [*unknown.values()])
        found = dict(zip(unknown, solution, strict=True))
        return sp.ImmutableMatrix(n, n, lambda i, j: sp.factor(found[min(i, j), max(i, j)]))
