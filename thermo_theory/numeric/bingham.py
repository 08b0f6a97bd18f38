"""The gas of a quadratic form of the direction, with a linear term or without: one integral in any dimension, exactly.

For ``L = u.A u + b.u`` on the unit sphere, with the eigenvalues ``a_i`` of A and ``l_i = a_i/T``, ``g_i = b_i/T`` along
its eigenvectors, the integral over R^d of ``exp(-L/T - s |x|^2)`` is Gaussian; undoing its Laplace transform in
``|x|^2`` gives

    ``Z = 2 pi^(d/2)/(2 pi i) int exp(phi(s)) ds``,
    ``phi = s + sum_i [g_i^2/(4 (l_i + s)) - log(l_i + s)/2]``,

along any line to the right of all ``-l_i``. It is integrated along the line of steepest descent through the saddle
point, on which ``phi(s) = phi(s_0) - x^2`` with a real x: the integrand is ``exp(-x^2) ds/dx``, and the trapezoidal
rule converges geometrically. Energy and variance are means over the same line of the derivatives of phi by 1/T. The
loss is measured from where they do not cancel.

Sources: Kume & Wood 2005 (Biometrika 92, 465), who stop at the saddle point; Mardia & Jupp 2000, *Directional
Statistics*, section 9.4 (the Bingham distribution).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from thermo_theory.numeric.domain import FloatArray
from thermo_theory.numeric.zonal import GibbsNumbers

__all__ = ["Form"]

#: Where the line of steepest descent ends, in x (exp(-x^2) is 1e-18 there), and its steps; they are halved until the
#: variance agrees with that of twice the step to this relative difference, or three times.
END, STEPS, AGREED = 6.4, 128, 1e-12
#: Up to this |z| the series of log(1 + z) - z is used; the first term left out is below 1e-17.
SMALL, TERMS = 0.15, 20


def _log_rest(z: Any) -> Any:
    """Return ``log(1 + z) - z`` without cancellation.

    >>> f"{_log_rest(np.array([2.0**-20 + 0j]))[0].real * 2**41:.12f}"
    '-0.999999364218'
    """
    near = np.where(np.abs(z) < SMALL, z, 0)
    series = np.zeros_like(z)
    for k in range(TERMS, 1, -1):
        series = (series * near) + (-1) ** (k - 1) / k
    return np.where(np.abs(z) < SMALL, series * near**2, np.log1p(z) - z)


@dataclass(frozen=True)
class Form:
    """The loss ``sum_i a_i u_i^2 + b_i u_i`` of a direction u.

    Parameters
    ----------
    curvatures : FloatArray
        ``a_i``, shape (d,), ascending.
    pulls : FloatArray
        ``b_i``, shape (d,).
    """

    curvatures: FloatArray
    pulls: FloatArray

    def moments(self, T: float) -> GibbsNumbers:
        """Integrate at one temperature.

        Raises
        ------
        ValueError
            If the numbers overflow.

        Examples
        --------
        The sphere in three dimensions, ``L = u_3^2``: ``Z = 2 pi^(3/2) T^(1/2) erf(T^(-1/2))``.

        >>> found = Form(np.array([0.0, 0.0, 1.0]), np.zeros(3)).moments(0.25)
        >>> f"{found.log_partition:.12f} {math.log(math.pi**1.5 * math.erf(2.0)):.12f}"
        '1.712406118952 1.712406118952'
        """
        lowest = float(self.curvatures[0])
        with np.errstate(over="ignore"):
            if not np.isfinite([*(self.curvatures - lowest) / T, *(self.pulls / T) ** 2]).all():
                raise ValueError(f"T = {T:g} is too small beside a loss of this size")
        line = _Line((self.curvatures - lowest) / T, self.pulls / T)
        (norm, above, heat), error = line.means()
        d = len(self.pulls)
        bare = math.log(2 / math.pi) + 0.5 * d * math.log(math.pi) + math.log(norm) + 0.5 * float(np.log(line.y).sum())
        exponent = line.saddle + float((line.squares * line.y).sum())
        return GibbsNumbers(
            bare + exponent - lowest / T,
            lowest + T * (line.energy + above),
            bare + 0.5 * d + above,
            heat,
            error + 2.0**-52 * math.sqrt(d),
        )


class _Line:
    """The line of steepest descent at one temperature, for curvatures and pulls in units of it; the least is 0."""

    def __init__(self, curvatures: FloatArray, pulls: FloatArray) -> None:
        self.l, self.squares = curvatures, pulls**2 / 4
        d, whole = len(pulls), float(self.squares.sum())
        # The saddle lies between where one term of phi' would make it 0, and where all would, were all l_i 0.
        low = float(np.max((1 + np.sqrt(1 + 16 * self.squares)) / 4 - self.l))
        high = (d + math.sqrt(d**2 + 16 * whole)) / 4
        ends = low * (1 - 1e-12), high * (1 + 1e-12)
        from scipy.optimize import brentq

        self.saddle = float(brentq(self._slope, *ends, xtol=1e-300, rtol=9e-16, maxiter=500))
        self.y = 1 / (self.l + self.saddle)
        #: phi'' there, and E L from which `means` counts: q, minus the derivative of phi by 1/T.
        self.bend = float(np.sum(self.y**2 * (0.5 + 2 * self.squares * self.y)))
        self.energy = float(np.sum(self.y * (0.5 * self.l + self.squares * (self.l * self.y - 2))))
        # Where losses are measured from: so that q does not change along the line to first order.
        level = np.sum(self.y**2 * (0.5 * self.l - 2 * self.squares * (1 - self.l * self.y))) / self.bend
        self.above = self.l - float(level)

    def _slope(self, s: float) -> float:
        y = 1 / (self.l + s)
        return float(1 - np.sum(y * (0.5 + self.squares * y)))

    def means(self) -> tuple[tuple[float, float, float], float]:
        """Return ``int exp(-x^2) Im ds``, ``<q - q_0>``, ``C_V``; and the relative error of that."""
        steps = STEPS
        while True:
            places = np.zeros((3, steps + 1))
            for k, (u, rate) in enumerate(self._path(steps)):
                shift, spread = self._derivatives(u)
                weight = math.exp(-((END * k / steps) ** 2)) * END / steps * (0.5 if k == 0 else 1.0)
                places[:, k] = [weight * (rate * f).imag for f in (1.0, shift, shift**2 + spread)]
            fine, rough = places.sum(axis=1), places[:, ::2].sum(axis=1)
            heat, other = (square / norm - (shift / norm) ** 2 for norm, shift, square in (fine, rough))
            error = abs(heat - other) / heat
            if error < AGREED or steps >= 8 * STEPS:
                return (float(fine[0]), float(fine[1] / fine[0]), float(heat)), float(error)
            steps *= 2

    def _path(self, steps: int) -> Iterator[tuple[complex, complex]]:
        """Places on the line, relative to the saddle, and their derivatives by x, at equal steps of x from 0."""
        step = END / steps
        third = -float(np.sum(self.y**3 * (1 + 6 * self.squares * self.y)))
        rate = 1j * math.sqrt(2 / self.bend)
        yield 0j, rate
        u = rate * step + third / (3 * self.bend**2) * step**2
        for k in range(1, steps + 1):
            for _ in range(50):
                height, slope = self._height(u)
                change = (height + (k * step) ** 2) / slope
                u -= change
                if abs(change) <= 1e-13 * abs(u):
                    break
            old, rate = rate, -2 * k * step / self._height(u)[1]
            yield u, rate
            u += step * (1.5 * rate - 0.5 * old)

    def _height(self, u: complex) -> tuple[complex, complex]:
        """Return phi relative to the saddle, where it is level, and its slope."""
        z = self.y * u
        height = np.sum(self.squares * self.y * z**2 / (1 + z) - 0.5 * _log_rest(z))
        slope = np.sum(self.y * z / (1 + z) * (0.5 + self.squares * self.y * (2 + z) / (1 + z)))
        return complex(height), complex(slope)

    def _derivatives(self, u: complex) -> tuple[complex, complex]:
        """Return ``q - q_0`` and the second derivative of phi by 1/T, in units of T and T^2."""
        z = self.y * u
        y = self.y / (1 + z)
        # y - y_0 and y^2 - y_0^2, without cancellation
        one, two = -y * z, -y * z * (y + self.y)
        shift = np.sum(0.5 * self.above * one + self.squares * (self.above * two - 2 * one))
        spread = np.sum(2 * self.squares * y * (1 - self.above * y) ** 2 + 0.5 * (self.above * y) ** 2)
        return complex(shift), complex(spread)
