"""Lyapunov's equation in the modes of a symmetric matrix: dense, with noise of low rank, or matrix-free.

Everything is asked of `Modes`, the eigenvectors of H (matrix-free: Ritz vectors of a Krylov space that starts from the
noise), in which the covariance is a quotient element by element. One decomposition serves all step sizes.

>>> modes = dense(np.diag([1.0, 3.0]), np.array([[1.0, 0.5], [0.5, 1.0]]))
>>> modes.covariance(0.1, discrete=False).round(6)
array([[0.05    , 0.0125  ],
       [0.0125  , 0.016667]])
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Modes", "dense", "matrix_free", "symmetric"]

FloatArray = NDArray[np.float64]

#: Entries of a matrix and its transpose may differ by this share of the largest, eigenvalues be as far below zero.
ROUND_OFF = 1e-8

#: Curvatures below this share of the largest are those of flat directions.
FLAT = 1e-12


@dataclass(frozen=True)
class Modes:
    """H and Sigma in p eigenvectors of H, of m directions in all.

    Attributes
    ----------
    curvatures : numpy.ndarray, shape (p,)
        Eigenvalues of H, all positive.
    basis : numpy.ndarray, shape (n, p)
        Orthonormal columns.
    noise : numpy.ndarray, shape (p, p)
        Sigma between them.
    directions : int
        m; more than p only where a Krylov space stands for all directions.
    trace : float
        tr H.
    trace_error : float
        Standard error of `trace`; 0 if it is exact.
    leak : numpy.ndarray, shape (k, p)
        What H makes of the basis outside of it, in an orthonormal basis of that; 0 if there is nothing.
    """

    curvatures: FloatArray
    basis: FloatArray
    noise: FloatArray
    directions: int
    trace: float
    trace_error: float
    leak: FloatArray

    def pull(self, matrix: FloatArray) -> FloatArray:
        """``H M`` for a matrix M between modes."""
        return np.asarray(self.curvatures[:, None] * matrix)

    def covariance(self, eta: float, discrete: bool) -> FloatArray:
        """Covariance between modes: ``eta Sigma_ij/(h_i + h_j)``, with ``- eta h_i h_j`` below for finite steps.

        Raises
        ------
        ValueError
            If eta is not positive, or so large that finite steps leave the minimum.
        """
        if not (eta > 0 and np.isfinite(eta)):
            raise ValueError(f"eta_eff = {eta:g}: must be positive and finite")
        largest = self.curvatures[-1]
        if discrete and eta * largest >= 2:
            raise ValueError(
                f"eta_eff times the largest curvature of H is {eta * largest:g}: must be below 2, or SGD diverges"
            )
        pulled = self.curvatures[:, None] + self.curvatures
        if discrete:
            pulled = pulled - eta * np.outer(self.curvatures, self.curvatures)
        return np.asarray(eta * self.noise / pulled)

    def residual(self, eta: float, discrete: bool) -> float:
        """What a Krylov space leaves of Lyapunov's equation (Frobenius), as a share of ``eta Sigma``; 0 if dense."""
        spread = self.covariance(eta, discrete)
        out = self.leak @ spread
        across = out * (1 - eta * self.curvatures) if discrete else out
        beyond = eta * out @ self.leak.T if discrete else np.zeros(1)
        square = 2 * np.sum(across**2) + np.sum(beyond**2)
        return float(np.sqrt(square) / (eta * np.linalg.norm(self.noise)))

    def back(self, matrix: FloatArray) -> FloatArray:
        """A matrix between modes, in coordinates."""
        return np.asarray(self.basis @ matrix @ self.basis.T)


# Dense -------------------------------------------------------------------------------------------


def dense(curved: ArrayLike, noise: ArrayLike | None, factor: ArrayLike | None = None) -> Modes:
    """Modes of a matrix H and of ``Sigma``, or ``Sigma = B B^T`` with a factor B.

    Raises
    ------
    ValueError
        If a matrix is not finite, symmetric, positive semidefinite and of the size of the other, or if there is noise
        where H is flat.
    """
    hessian = symmetric("H", curved)
    size = len(hessian)
    curvatures, basis = np.linalg.eigh(hessian)
    if curvatures[0] < -ROUND_OFF * max(abs(curvatures[0]), curvatures[-1]):
        raise ValueError(f"H has the eigenvalue {curvatures[0]:g}: none may be negative, or this is no minimum")
    if noise is None:
        root = basis.T @ _factor(factor, size)
        between = root @ root.T
    else:
        spread = symmetric("Sigma", noise, size)
        _positive("Sigma", spread)
        between = basis.T @ spread @ basis
    flat = curvatures <= FLAT * curvatures[-1]
    if np.diagonal(between)[flat].max(initial=0.0) > ROUND_OFF * np.diagonal(between).max(initial=0.0):
        raise ValueError("Sigma has noise along a direction in which H is flat: weights diffuse there without bound")
    if flat.all() or not np.diagonal(between).max() > 0:
        raise ValueError(f"{'H' if flat.all() else 'Sigma'} is 0: there must be curvature and noise")
    curved_ones, kept = curvatures[~flat], ~flat
    return Modes(
        curved_ones,
        basis[:, kept],
        between[np.ix_(kept, kept)],
        len(curved_ones),
        float(curved_ones.sum()),
        0.0,
        np.zeros((1, len(curved_ones))),
    )


def _finite(name: str, matrix: ArrayLike) -> FloatArray:
    try:
        found = np.asarray(matrix)
        if np.iscomplexobj(found):
            raise TypeError
        found = found.astype(float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is not a matrix of real numbers") from None
    if not np.isfinite(found).all():
        raise ValueError(f"{name} has entries that are not finite")
    return found


def symmetric(name: str, matrix: ArrayLike, size: int | None = None) -> FloatArray:
    """The matrix as float64, after a check of its shape and symmetry.

    Raises
    ------
    ValueError
        If it is not square (of the size given), finite or symmetric; the message has its name.
    """
    found = _finite(name, matrix)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or not found.size or size not in (None, len(found)):
        wanted = "square" if size is None else f"of shape ({size}, {size})"
        raise ValueError(f"{name} has shape {found.shape}: must be {wanted}")
    if np.abs(found - found.T).max() > ROUND_OFF * np.abs(found).max():
        raise ValueError(f"{name} is not symmetric: it differs from its transpose by {np.abs(found - found.T).max():g}")
    return (found + found.T) / 2


def _positive(name: str, matrix: FloatArray) -> None:
    """Refuse a negative eigenvalue; Cholesky's factor asks a third of what eigenvalues cost."""
    scale = np.abs(matrix).max()
    try:
        np.linalg.cholesky(matrix + ROUND_OFF * scale * np.eye(len(matrix)))
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(matrix)[0]
        if lowest < -ROUND_OFF * scale:
            raise ValueError(f"{name} has the eigenvalue {lowest:g}: a covariance has no negative one") from None


def _factor(factor: ArrayLike | None, size: int) -> FloatArray:
    found = _finite("factor", [] if factor is None else factor)
    if found.ndim != 2 or len(found) != size or not found.any():
        raise ValueError(
            f"factor has shape {found.shape}: must be ({size}, k), not all 0, with Sigma = factor factor^T"
        )
    return found


# Matrix-free -------------------------------------------------------------------------------------


def matrix_free(
    operator: Any,
    factor: ArrayLike,
    directions: int | None,
    trace: float | None,
    tolerance: float,
    largest: int,
    seed: int,
) -> Modes:
    """Ritz vectors of H in the block Krylov space of the factor B of ``Sigma = B B^T``.

    The space grows until the residual of Lyapunov's equation is below `tolerance` or the space has `largest`
    dimensions; every new block is orthogonalised against all others. The trace of H is a Hutch++ estimate if it is
    not given.

    Raises
    ------
    ValueError
        If H is not square, or has a negative Ritz value.
    """
    n = operator.shape[0]
    if operator.shape != (n, n):
        raise ValueError(f"H has shape {operator.shape}: must be square")
    start = _factor(factor, n)
    block = _orthonormal(start, np.zeros((n, 0)))
    basis, images = np.zeros((n, 0)), np.zeros((n, 0))
    # tr H is known exactly for the price of one product per direction; above that many it is estimated.
    total, error = (trace, 0.0) if trace is not None else _trace(operator, min(n, 3 * largest), seed)
    while True:
        basis = np.hstack([basis, block])
        images = np.hstack([images, _finite("H times a vector", operator.matmat(block))])
        found = _ritz(basis, images, start, directions or n, total, error)
        reached = found.residual(1.0, False)
        if reached <= tolerance:
            return found
        block = _orthonormal(images[:, -block.shape[1] :], basis)
        if not block.shape[1] or basis.shape[1] + block.shape[1] > min(n, largest):
            if block.shape[1] and basis.shape[1] < n:
                warnings.warn(
                    f"a Krylov space of {basis.shape[1]} dimensions leaves {reached:.1g} of Lyapunov's equation, more "
                    f"than {tolerance:g}: raise krylov",
                    RuntimeWarning,
                    stacklevel=4,
                )
            return found


def _ritz(
    basis: FloatArray, images: FloatArray, factor: FloatArray, directions: int, trace: float, error: float
) -> Modes:
    projected = basis.T @ images
    if np.abs(projected - projected.T).max() > 1e-6 * np.abs(projected).max():
        raise ValueError("H is not symmetric: x.H y differs from y.H x")
    curvatures, turned = np.linalg.eigh((projected + projected.T) / 2)
    if not curvatures[0] > 0:
        raise ValueError(f"H has the Ritz value {curvatures[0]:g} in the space of the noise: all must be positive")
    root = turned.T @ (basis.T @ factor)
    # An orthonormal basis of what is outside is not needed: only lengths are.
    outside = np.linalg.qr(images - basis @ projected, mode="r") @ turned
    return Modes(curvatures, basis @ turned, root @ root.T, directions, trace, error, outside)


def _orthonormal(block: FloatArray, basis: FloatArray) -> FloatArray:
    """Columns that add to the basis what the block has outside of it; twice is enough for round-off."""
    scale = np.linalg.norm(block, axis=0).max()
    for _ in range(2):
        block = block - basis @ (basis.T @ block)
    if not scale > 0:
        return block[:, :0]
    from scipy.linalg import qr

    new, sizes, _ = qr(block, mode="economic", pivoting=True)
    new = new[:, np.abs(np.diagonal(sizes)) > 1e-10 * scale]
    new = new - basis @ (basis.T @ new)
    return np.asarray(np.linalg.qr(new)[0])


def _trace(operator: Any, products: int, seed: int) -> tuple[float, float]:
    """Tr H and its standard error: exact if the products suffice, else Hutch++ (Meyer et al. 2021)."""
    n = operator.shape[0]
    if products >= n:
        blocks = (np.eye(n, min(64, n - k), -k) for k in range(0, n, 64))
        return float(sum(np.sum(block * operator.matmat(block)) for block in blocks)), 0.0
    rng, third = np.random.default_rng(seed), products // 3
    range_of = np.linalg.qr(operator.matmat(rng.choice([-1.0, 1.0], (n, third))))[0]
    caught = np.sum(range_of * operator.matmat(range_of))
    probes = rng.choice([-1.0, 1.0], (n, third))
    probes = probes - range_of @ (range_of.T @ probes)
    samples = np.sum(probes * operator.matmat(probes), axis=0)
    return float(caught + samples.mean()), float(samples.std(ddof=1) / np.sqrt(third))
