"""The entropy that a sudden drop of the learning rate produces at fixed LR."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from thermo_theory import derive

__all__ = ["drop_entropy"]

#: A drop is followed for this many relaxation times of the slower variable, down to a remainder of e^-30.
LONG = 30.0


def drop_entropy(factor: float, *, norm_over_directions: float = math.inf) -> dict[str, float]:
    """Return the entropy produced by a sudden drop of SGD's lr at fixed LR, in units of R = (d-1)/2 nats.

    Parameters
    ----------
    factor : float
        Factor by which lr is divided, above 0.
    norm_over_directions : float
        Relaxation time of the norm, ``1/(4 eta lambda)``, over that of the directions, ``1/(eta_eff h)`` in a well of
        curvature h, before the drop. Default: the norm is much slower than the directions.

    Returns
    -------
    dict
        `directions`, `norm`, and their sum `total`.

    Raises
    ------
    ValueError
        If a number is not above 0.

    Notes
    -----
    The norm cannot follow a drop of lr by x, so the bath cools by x at once and then warms as the norm relaxes.
    Directions at energy U in a harmonic well (C_V = R) produce ``int (R/U - 1/T) dU``, the norm produces
    ``int (R/V - p/T) dV``; V^2 and U relax linearly. If the norm is slow, the directions produce ``R (x - 1 - log x)``
    ("quench"); the norm always produces the same with R/2.

    Examples
    --------
    >>> {name: round(value, 4) for name, value in drop_entropy(3.0).items()}
    {'directions': 0.9014, 'norm': 0.4507, 'total': 1.3521}
    >>> round(drop_entropy(3.0, norm_over_directions=1.0)["directions"], 2)  # the bath has warmed meanwhile
    0.7
    """
    for name, value in (("factor", factor), ("norm_over_directions", norm_over_directions)):
        if not value > 0 or (name == "factor" and not math.isfinite(value)):
            raise ValueError(f"{name} = {value!r}: must be above 0")
    made = derive("quench").claim
    parts = {"directions": made(R=1.0, T1=factor, T2=1.0), "norm": made(R=0.5, T1=factor, T2=1.0)}
    if math.isfinite(norm_over_directions):
        parts["directions"] = _directions(factor, norm_over_directions * math.sqrt(factor))
    return parts | {"total": sum(parts.values())}


def _directions(factor: float, speed: float) -> float:
    """Return what directions produce in a changing bath; V, T over their final values, time in units of the norm's."""

    def motion(t: float, state: NDArray[np.float64]) -> list[float]:
        volume = math.sqrt(1 + (factor - 1) * math.exp(-t))
        flow = -2 * speed / volume * (state[0] - 1 / volume)
        return [flow, (1 / state[0] - volume) * flow]

    long = LONG * max(1.0, math.sqrt(factor) / (2 * speed))
    from scipy.integrate import solve_ivp

    found = solve_ivp(motion, (0, long), [math.sqrt(factor), 0.0], method="LSODA", rtol=1e-9, atol=1e-12)
    return float(found.y[1, -1])
