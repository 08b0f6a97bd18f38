"""Numbers of the von Mises-Fisher gas, right to 1e-10 in any dimension and at any temperature.

The gas is the loss ``L = 1 - mu.w`` on the unit sphere of ``R^d``, ``mu`` a unit vector, with the Gibbs law
``rho ~ exp(-L/T)``: the von Mises-Fisher distribution of concentration ``kappa = 1/T``. Everything follows from
``A_d = I_{d/2}(kappa)/I_{d/2-1}(kappa)``.

The four numbers from which all of them follow, and how they are computed, are in
:mod:`thermo_theory.numeric.bessel`.

Sources: Mardia & Jupp 2000, *Directional Statistics*, section 9.3; Banerjee, Dhillon, Ghosh & Sra 2005 (JMLR 6);
arXiv 2511.07308 (the gas).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from thermo_theory.numeric.bessel import SATURATED, BesselNumbers, evaluate
from thermo_theory.numeric.domain import FloatArray, Invalid

Quantity = TypeVar("Quantity", bound=Callable[..., float | FloatArray])

#: What every quantity takes, returns and raises.
_BLOCK = """Parameters
    ----------
    d
        Dimension of the weights, any real number from 2.
    T
        Temperature in units of the loss, > 0; broadcasts against ``d``.
    invalid
        ``"raise"`` or ``"nan"``: what an entry outside the domain does.

    Returns
    -------
    float or FloatArray
        {returns}

    Raises
    ------
    ValueError
        If an argument is outside its domain, or the shapes do not broadcast.

    """


def _documented(returns: str) -> Callable[[Quantity], Quantity]:
    """Put what every quantity takes, returns and raises before the notes of a docstring."""

    def write(quantity: Quantity) -> Quantity:
        words, notes, rest = (quantity.__doc__ or "").partition("Notes\n")
        quantity.__doc__ = words + _BLOCK.format(returns=returns) * bool(notes) + notes + rest
        return quantity

    return write


@_documented("A number between 0 and 1, right to 1e-12 relative also where it is small.")
def mean_resultant_length(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the mean cosine with the minimum's direction, ``A_d(1/T) = I_{d/2}(1/T)/I_{d/2-1}(1/T)``.

    Notes
    -----
    Source: Mardia & Jupp 2000, *Directional Statistics*, section 9.3.

    Examples
    --------
    In three dimensions it is ``coth(1/T) - T``:

    >>> f"{mean_resultant_length(d=3, T=0.5):.12f}"
    '0.537314720728'
    """
    return evaluate(lambda d, T, state: state.length, d, T, invalid)


def energy_from(d: FloatArray, T: FloatArray, state: BesselNumbers) -> FloatArray:
    """Undo ``gap = U/T``; ``U < 1``, which rounding would break by a bit."""
    return np.minimum(np.minimum(T, SATURATED / d) * state.gap, 1.0)


@_documented("Energy in units of the loss, between 0 and 1, right to 1e-12 relative also where it is small.")
def energy(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the internal energy ``U = E L = 1 - A_d(1/T)`` of the von Mises-Fisher gas.

    ``U = R T + O(T^2)`` with ``R = (d-1)/2`` at low temperature, 1 at high temperature.

    Notes
    -----
    Source: Mardia & Jupp 2000, *Directional Statistics*, section 9.3; the gas: arXiv 2511.07308.

    Examples
    --------
    In three dimensions it is ``1 - coth(1/T) + T``; the second number is mpmath's, with 60 digits:

    >>> f"{energy(d=3, T=0.5):.12f}"
    '0.462685279272'
    >>> f"{energy(d=2000, T=1e-8):.15e}"
    '9.994950099962002e-06'
    >>> energy(d=3, T=[0.5, -1.0], invalid="nan").round(6)
    array([0.462685,      nan])
    """
    return evaluate(energy_from, d, T, invalid)


@_documented(
    "Entropy in nats with respect to the surface measure of the unit sphere. Right to 1e-12 relative to "
    "``max(|S|, R)``: where S passes through zero the scale of its terms, ``R``, stands in for its value."
)
def entropy(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the differential entropy ``S = -log C_d(kappa) - kappa A_d(kappa)``, ``kappa = 1/T``, of the directions.

    ``log C_d = (d/2-1) log kappa - (d/2) log 2 pi - log I_{d/2-1}(kappa)``. ``S ~ R log(2 pi e T)``,
    ``R = (d-1)/2``, at low temperature; the log area of the unit sphere at high temperature.

    Notes
    -----
    Source: Banerjee et al. 2005 (JMLR 6), section 2.2 (the normaliser); the gas: arXiv 2511.07308.

    Examples
    --------
    At T to infinity it is the log of the sphere's area, ``log 4 pi`` in three dimensions; the second number is
    mpmath's, where Bessel functions in double precision underflow:

    >>> f"{entropy(d=3, T=1e9):.12f}"
    '2.531024246969'
    >>> f"{entropy(d=2000, T=1/200):.9f}"
    '-4769.650778815'
    """
    return evaluate(lambda d, T, state: state.log_partition + state.gap, d, T, invalid)


@_documented("Heat capacity, a pure number > 0, right to 1e-12 relative.")
def heat_capacity(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the heat capacity ``C_V = dU/dT = kappa^2 (1 - A_d^2 - (d-1) A_d/kappa)`` at constant volume.

    ``kappa = 1/T``. It is also ``Var(L)/T^2`` and ``T dS/dT``. ``C_V -> R = (d-1)/2`` at low
    temperature, ``1/(d T^2)`` at high temperature.

    Notes
    -----
    Source: ``A_d' = 1 - A_d^2 - (d-1) A_d/kappa``, Mardia & Jupp 2000, section 9.3; Banerjee et al. 2005. Evaluated as
    written it has no correct digit at low temperature; see the module.

    Examples
    --------
    In three dimensions it is ``1 - (kappa/sinh kappa)^2``; the second number is mpmath's:

    >>> f"{heat_capacity(d=3, T=0.5):.12f}"
    '0.695912680648'
    >>> f"{heat_capacity(d=2000, T=1/200):.11f}"
    '19.41986767203'
    """
    return evaluate(lambda d, T, state: state.heat, d, T, invalid)


@_documented("A pure number > 1, right to 1e-12 relative; infinite where ``C_V`` is below the smallest double.")
def adiabatic_index(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the adiabatic index ``gamma = C_p/C_V = 1 + R/C_V`` with the gas constant ``R = (d-1)/2``.

    ``gamma -> 2`` at low temperature, ``gamma = 2 + (d-3) T/2 + ...``; it grows as ``R d T^2`` at high temperature.

    Notes
    -----
    Source: arXiv 2511.07308 (``C_p - C_V = R`` and the limit 2); ``C_V`` from Mardia & Jupp 2000, section 9.3.

    Examples
    --------
    In three dimensions it is ``1 + 1/(1 - (kappa/sinh kappa)^2)``; the second number is mpmath's:

    >>> f"{adiabatic_index(d=3, T=0.5):.12f}"
    '2.436961888766'
    >>> f"{adiabatic_index(d=2000, T=1/200):.11f}"
    '52.46790991989'
    """
    return evaluate(lambda d, T, state: 1.0 + 0.5 * (d - 1.0) / state.heat, d, T, invalid)


@_documented("The logarithm, in nats, right to 1e-12 relative to ``max(|log C_d|, R)``.")
def log_normalizer(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the log of the density's constant, ``log C_d`` in ``rho = C_d(kappa) exp(kappa mu.w)``, ``kappa = 1/T``.

    ``log C_d = (d/2-1) log kappa - (d/2) log 2 pi - log I_{d/2-1}(kappa)``.

    Notes
    -----
    Source: Banerjee et al. 2005 (JMLR 6), equation 2.2.

    Examples
    --------
    In three dimensions it is ``log(kappa/(4 pi sinh kappa))``:

    >>> f"{log_normalizer(d=3, T=0.5):.12f}"
    '-3.126244439024'
    """
    return evaluate(lambda d, T, state: -1.0 / T - state.log_partition, d, T, invalid)


@_documented("Free energy in units of the loss, right to 1e-12 relative to ``max(|F|, R T)``.")
def free_energy(*, d: ArrayLike, T: ArrayLike, invalid: Invalid = "raise") -> float | FloatArray:
    r"""Return the free energy of the directions, ``F = U - T S = -T log int exp(-L/T)``.

    Notes
    -----
    Source: arXiv 2511.07308, the stationary distribution ``rho ~ exp(-L/T)`` on the sphere.

    Examples
    --------
    In three dimensions it is ``1 - T log(4 pi T sinh(1/T))``:

    >>> f"{free_energy(d=3, T=0.5):.12f}"
    '-0.563122219512'
    """
    return evaluate(lambda d, T, state: -T * state.log_partition, d, T, invalid)
