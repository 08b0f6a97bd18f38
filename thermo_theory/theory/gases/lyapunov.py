"""Numbers of SGD on a quadratic loss with noise of any shape: covariance, implicit potential, circulation.

The update is ``w <- w - eta (H w + noise)``, the noise of covariance Sigma. Near a minimum every loss is like this; in
linear regression it is so everywhere, but Sigma depends on w. Which noise makes the potential the loss, and which
drives currents, is derived in "linear-regression" and "probability-currents".

>>> import numpy as np
>>> H, noise = np.diag([1.0, 3.0]), np.array([[1.0, 0.5], [0.5, 1.0]])
>>> C = stationary_covariance(H, noise, eta=0.1)
>>> np.round(H @ C + C @ H - 0.1 * noise, 12)
array([[0., 0.],
       [0., 0.]])
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["circulation", "implicit_hessian", "noise_temperature", "stationary_covariance"]

FloatArray = NDArray[np.float64]

#: Entries of a matrix and its transpose may differ by this share of the largest.
SYMMETRY = 1e-8


def stationary_covariance(hessian: ArrayLike, noise: ArrayLike, *, eta: float, steps: bool = False) -> FloatArray:
    """Covariance of the weights, ``H C + C H = eta Sigma``, or with steps as large as they are.

    ``C = (1 - eta H) C (1 - eta H) + eta^2 Sigma`` is what one step leaves unchanged: the same equation with
    ``- eta H C H`` on the left, exact for any noise of mean 0 and this covariance.

    Parameters
    ----------
    hessian : array_like, shape (d, d)
        H, symmetric, with positive eigenvalues (nat per squared weight).
    noise : array_like, shape (d, d)
        Sigma, the covariance of the gradient; where it depends on the weights, its mean over them.
    eta : float
        Learning rate.
    steps : bool
        Exact in the step, instead of in the limit of small ones.

    Returns
    -------
    numpy.ndarray, shape (d, d)
        In squared weights.

    Raises
    ------
    ValueError
        If a matrix is not symmetric or not of this shape, the Hessian is not positive definite, or, with `steps`, eta
        is so large that the weights leave the minimum (eta h >= 2).

    Notes
    -----
    **Assumes** stationarity; without `steps` continuous time too. **Derived in** "linear-regression" (Lyapunov's
    equation); the term of finite steps is what the assumption of continuous time leaves out in "ornstein-uhlenbeck".

    References
    ----------
    Mandt, Hoffman & Blei 2017, JMLR 18, Sec. 4.

    Examples
    --------
    In one dimension it is ``eta Sigma/(2h - eta h^2)``: 1/2 against 2/3.

    >>> stationary_covariance([[1.0]], [[2.0]], eta=0.5), stationary_covariance([[1.0]], [[2.0]], eta=0.5, steps=True)
    (array([[0.5]]), array([[0.66666667]]))
    """
    curvatures, modes = _modes(hessian, eta, steps)
    spread = _symmetric("noise", noise, len(curvatures))
    pull = curvatures[:, None] + curvatures
    if steps:
        pull = pull - eta * np.outer(curvatures, curvatures)
    found: FloatArray = modes @ (eta * (modes.T @ spread @ modes) / pull) @ modes.T
    return found


def noise_temperature(noise: ArrayLike, *, eta: float) -> float:
    """Temperature of the noise, ``T = eta tr Sigma/(2 d)``.

    Parameters
    ----------
    noise : array_like, shape (d, d)
        Sigma.
    eta : float
        Learning rate.

    Returns
    -------
    float
        In nats.

    Notes
    -----
    With noise of another shape than the identity it is the mean over the directions: d T/2 is the mean loss then too.
    **Derived in** "linear-regression" (``eta sigma^2/2``), "equipartition".

    Examples
    --------
    >>> noise_temperature([[1.0, 0.0], [0.0, 3.0]], eta=0.1)
    0.1
    """
    spread = _symmetric("noise", noise)
    return float(eta * np.trace(spread) / (2 * len(spread)))


def implicit_hessian(covariance: ArrayLike, temperature: float) -> FloatArray:
    """Hessian ``T C^-1`` of the implicit potential ``Phi = T w.C^-1 w/2``, whose Gibbs law at T the weights have.

    Parameters
    ----------
    covariance : array_like, shape (d, d)
        C of the weights.
    temperature : float
        T.

    Returns
    -------
    numpy.ndarray, shape (d, d)
        Equal to the Hessian of the loss if and only if the noise is isotropic ("probability-currents").

    Raises
    ------
    ValueError
        If the covariance is not symmetric or has no inverse.

    Notes
    -----
    **Assumes** normal weights: linear drift, noise that is the same all over. **Derived in** "linear-regression".

    References
    ----------
    Chaudhari & Soatto 2018, arXiv 1710.11029; Kunin et al. 2021, arXiv 2107.09133.

    Examples
    --------
    >>> H, noise = np.diag([1.0, 3.0]), 2 * np.eye(2)
    >>> C = stationary_covariance(H, noise, eta=0.1)
    >>> implicit_hessian(C, noise_temperature(noise, eta=0.1)).round(12)
    array([[1., 0.],
           [0., 3.]])
    """
    matrix = _symmetric("covariance", covariance)
    if not np.linalg.eigvalsh(matrix)[0] > 0:
        raise ValueError("covariance has an eigenvalue that is not positive: it must have an inverse")
    return np.asarray(temperature * np.linalg.inv(matrix))


def circulation(hessian: ArrayLike, covariance: ArrayLike, *, eta: float) -> FloatArray:
    """How the weights rotate: the mean of ``w_i dw_j - w_j dw_i`` per iteration, ``eta (H C - C H)``.

    Twice the area that the path sweeps in the plane (i, j). In equilibrium, where a path is as likely as its reverse,
    it is 0.

    Parameters
    ----------
    hessian : array_like, shape (d, d)
        H of the loss.
    covariance : array_like, shape (d, d)
        C of the weights.
    eta : float
        Learning rate.

    Returns
    -------
    numpy.ndarray, shape (d, d)
        Antisymmetric, in squared weights per iteration; exact in the step size if the covariance is.

    Raises
    ------
    ValueError
        If a matrix is not symmetric or they are not of one shape.

    Notes
    -----
    Of the mean step ``-eta H w`` the current keeps ``v = -eta [H, C] C^-1 w/2``, and ``E[w_i v_j - w_j v_i]`` is this;
    noise that is new in every step adds nothing. **Derived in** "ornstein-uhlenbeck"; it is 0 if and only if
    ``[H, Sigma] = 0`` ("probability-currents").

    Examples
    --------
    >>> H, noise = np.diag([1.0, 3.0]), np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> C = stationary_covariance(H, noise, eta=0.1)  # C_12 = eta Sigma_12/(h_1 + h_2) = 0.0125
    >>> circulation(H, C, eta=0.1).round(6)  # eta (h_1 - h_2) C_12
    array([[ 0.    , -0.0025],
           [ 0.0025,  0.    ]])
    """
    curved = _symmetric("hessian", hessian)
    spread = _symmetric("covariance", covariance, len(curved))
    return np.asarray(eta * (curved @ spread - spread @ curved))


def _modes(hessian: ArrayLike, eta: float, steps: bool) -> tuple[FloatArray, FloatArray]:
    """Curvatures and modes, after a check."""
    curvatures, modes = np.linalg.eigh(_symmetric("hessian", hessian))
    if not curvatures[0] > 0:
        raise ValueError(
            f"hessian has the eigenvalue {curvatures[0]:g}: all must be positive, or there is no stationary state"
        )
    if not eta > 0:
        raise ValueError(f"eta = {eta:g}: must be positive")
    if steps and eta * curvatures[-1] >= 2:
        raise ValueError(f"eta * largest curvature = {eta * curvatures[-1]:g}: must be below 2, or SGD diverges")
    return curvatures, modes


def _symmetric(name: str, matrix: ArrayLike, size: int | None = None) -> FloatArray:
    """The matrix as float64, after a check of its shape and symmetry."""
    found = np.asarray(matrix, dtype=float)
    if found.ndim != 2 or found.shape[0] != found.shape[1] or size not in (None, len(found)):
        wanted = "square" if size is None else f"of shape ({size}, {size})"
        raise ValueError(f"{name} has shape {found.shape}: must be {wanted}")
    if not np.allclose(found, found.T, rtol=0, atol=SYMMETRY * np.abs(found).max(initial=0.0)):
        raise ValueError(f"{name} is not symmetric")
    return (found + found.T) / 2
