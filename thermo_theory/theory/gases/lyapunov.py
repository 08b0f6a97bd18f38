"""Functions of a Hessian and a noise covariance, as release 0.1.0 had them: `Harmonic` computes them.

>>> import numpy as np
>>> H, noise = np.diag([1.0, 3.0]), np.array([[1.0, 0.5], [0.5, 1.0]])
>>> C = stationary_covariance(H, noise, eta=0.1)
>>> np.round(H @ C + C @ H - 0.1 * noise, 12)
array([[0., 0.],
       [0., 0.]])
>>> circulation(H, C, eta=0.1).round(6)  # eta (h_1 - h_2) C_12
array([[ 0.    , -0.0025],
       [ 0.0025,  0.    ]])
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermo_theory.numeric.quadratic import symmetric
from thermo_theory.theory.gases.harmonic import Harmonic

__all__ = ["circulation", "implicit_hessian", "noise_temperature", "stationary_covariance"]

FloatArray = NDArray[np.float64]


def stationary_covariance(hessian: ArrayLike, noise: ArrayLike, *, eta: float, steps: bool = False) -> FloatArray:
    """``Harmonic(hessian, noise).covariance(eta, discrete=steps)``.

    >>> stationary_covariance([[1.0]], [[2.0]], eta=0.5), stationary_covariance([[1.0]], [[2.0]], eta=0.5, steps=True)
    (array([[0.5]]), array([[0.66666667]]))
    """
    return np.asarray(Harmonic(hessian, noise).covariance(eta, discrete=steps))


def noise_temperature(noise: ArrayLike, *, eta: float) -> float:
    """``T = eta tr Sigma/(2 d)`` of a noise covariance of shape (d, d): the mean over the directions.

    >>> noise_temperature([[1.0, 0.0], [0.0, 3.0]], eta=0.1)
    0.1
    """
    return float(Harmonic(np.eye(len(np.asarray(noise))), noise).temperature(eta))


def implicit_hessian(covariance: ArrayLike, temperature: float) -> FloatArray:
    """Hessian ``T C^-1`` of the potential of which weights of this covariance have the Gibbs law at T.

    Raises
    ------
    ValueError
        If the covariance is not symmetric or has no inverse.

    Examples
    --------
    >>> implicit_hessian([[0.5, 0.0], [0.0, 0.25]], 0.5)
    array([[1., 0.],
           [0., 2.]])
    """
    matrix = symmetric("covariance", covariance)
    if not np.linalg.eigvalsh(matrix)[0] > 0:
        raise ValueError("covariance has an eigenvalue that is not positive: it must have an inverse")
    return np.asarray(temperature * np.linalg.inv(matrix))


def circulation(hessian: ArrayLike, covariance: ArrayLike, *, eta: float) -> FloatArray:
    """The mean of ``w_i dw_j - w_j dw_i`` per iteration for a measured covariance, ``eta (H C - C H)``.

    See `Harmonic.circulation`, which computes the covariance too.

    Raises
    ------
    ValueError
        If a matrix is not symmetric or they are not of one shape.
    """
    curved = symmetric("hessian", hessian)
    pulled = curved @ symmetric("covariance", covariance, len(curved))
    return np.asarray(eta * (pulled - pulled.T))
