"""The gas of a loss that depends on one cosine: integrals over the sphere to full precision, with a stated error.

With the angle ``a`` to the pole the integrals are ``int f(a) exp(h(a)) da`` from 0 to pi, with
``h = -L(cos a)/T + (d - 2) log sin a``. The integrand has a peak wherever h has a maximum, and at low temperature or in
many dimensions each is narrow. So the maxima are found first; then each is integrated by Gauss and Legendre's rule on
intervals that are halved until halving changes nothing. Numbers have as many digits more as the temperature and the
dimension take away, and losses are measured from that of the highest peak, so nothing that cancels is lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import mpmath as mp
import numpy as np
from mpmath.calculus.quadrature import GaussLegendre

from thermo_theory.numeric.domain import FloatArray

__all__ = ["GRID", "GibbsNumbers", "Zonal", "log_area"]

#: At how many angles the slope of the exponent is looked at for its maxima: narrower features of a loss may be missed.
GRID = 8192
#: Heights below that of the highest peak, in units of the exponent, that count: exp(-80) is 1e-35.
DEPTH = 80
#: Share of an integral by which halving an interval may still change it, and how often it is halved at most.
TOLERANCE, HALVINGS = 1e-18, 60
#: Digits that are left when the temperature and the dimension have taken theirs.
DIGITS = 30
#: Gauss and Legendre's rule with 24 nodes, in mpmath's words.
_RULE, _DEGREE = GaussLegendre(mp.mp), 4


class GibbsNumbers(NamedTuple):
    """What the gas is at one temperature: ``log int exp(-L/T)``, ``E L``, ``-E log rho``, ``C_V = Var L/T^2``.

    `error` bounds the relative error of ``C_V``. The others have at most the same: the energy relative to it and
    to RT, the entropy and the log of the partition function relative to them and to R.
    """

    log_partition: float
    energy: float
    entropy: float
    heat: float
    error: float


def log_area(n: int) -> Any:
    """Log of the area of the unit sphere in n dimensions.

    >>> mp.nstr(mp.exp(log_area(3)) / mp.pi, 12)
    '4.0'
    """
    return mp.log(2) + mp.mpf(n) / 2 * mp.log(mp.pi) - mp.loggamma(mp.mpf(n) / 2)


@dataclass(frozen=True)
class Zonal:
    """A loss of the cosine with a pole, on the unit sphere of d dimensions.

    Parameters
    ----------
    loss, slope : callable
        The loss and its derivative at a cosine, as mpmath numbers of the working precision.
    slopes : FloatArray
        The derivative at the cosines of `grid`.
    size : float
        The largest absolute value of the loss.
    d : int
        Dimension of the weights.
    """

    loss: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    slopes: FloatArray
    size: float
    d: int

    def moments(self, T: float) -> GibbsNumbers:
        """Integrate at one temperature.

        Examples
        --------
        For ``L = 1 - c`` in three dimensions ``Z = 4 pi T sinh(1/T) exp(-1/T)`` and ``U = 1 - coth(1/T) + T``:

        >>> vmf = Zonal(lambda c: 1 - c, lambda c: -1, -np.ones(GRID), 2.0, 3)
        >>> found = vmf.moments(0.5)
        >>> f"{found.log_partition:.12f} {found.energy:.12f} {found.error < 1e-15}"
        '1.126244439024 0.462685279272 True'
        """
        lost = max(0.0, math.log10(self.size) - math.log10(T)) + math.log10(self.d)
        # The angle of a peak near a pole may be that small, and its cosine differ from 1 by its square.
        with mp.workdps(20 * math.ceil((DIGITS + 2 * lost) / 20)):
            return self._integrated(mp.mpf(T))

    def exponent(self, angle: Any, T: Any) -> tuple[Any, Any]:
        """Exponent and loss at an angle."""
        cosine, sine = mp.cos_sin(angle)
        loss = self.loss(cosine)
        return (self.d - 2) * mp.log(sine) - loss / T, loss

    # Peaks -------------------------------------------------------------------------------------------

    def _turns(self, T: Any) -> list[Any]:
        """The angles at which the exponent turns: maxima and minima by turns, a maximum first and last."""

        def rise(angle: Any) -> Any:  # the slope of the exponent, times T sin
            cosine, sine = mp.cos_sin(angle)
            return self.slope(cosine) * sine**2 + (self.d - 2) * T * cosine

        angles, cosines = grid()
        signs = np.sign(self.slopes * np.sin(angles) ** 2 + (self.d - 2) * float(T) * cosines)
        # Towards the poles the sphere becomes narrow: the exponent rises from 0 and falls to pi.
        edge = mp.mpf(10) ** (DIGITS // 6 - mp.mp.dps // 2)
        signs, ends = np.concatenate([[1.0], signs, [-1.0]]), [edge, *map(mp.mpf, angles), mp.pi - edge]
        (kept,) = np.nonzero(signs)
        changes = [(a, b) for a, b in pairwise(kept) if signs[a] != signs[b]]
        tolerance = mp.mpf(10) ** (-2 * mp.mp.dps)
        return [
            mp.findroot(rise, (ends[a], ends[b]), solver="anderson", tol=tolerance, maxsteps=200, verify=False)
            for a, b in changes
        ]

    def _pieces(self, T: Any) -> tuple[list[tuple[Any, Any]], Any, Any]:
        """Intervals on which the integrand counts, from each peak to either side; the highest peak's exponent, loss."""
        turns = self._turns(T)
        heights = [self.exponent(angle, T) for angle in turns]
        top, reference = max(heights[::2])
        floor, pieces = top - DEPTH, []
        for k in range(0, len(turns), 2):
            if heights[k][0] < floor:
                continue
            for side in (k - 1, k + 1):
                end = turns[side] if 0 <= side < len(turns) else mp.pi * (side > k)
                inside, outside = turns[k], end
                if not 0 <= side < len(turns) or heights[side][0] < floor:
                    # Between a peak and the next valley the exponent falls: halve, until just below what counts.
                    while self.exponent((inside + outside) / 2, T)[0] < floor:
                        outside = (inside + outside) / 2
                pieces.append((inside, outside))
        return pieces, top, reference

    # Sums --------------------------------------------------------------------------------------------

    def _integrated(self, T: Any) -> GibbsNumbers:
        pieces, top, reference = self._pieces(T)

        def sums(low: Any, high: Any) -> list[Any]:
            """Integrals of 1, x and x^2, x the loss above the reference in units of T, times the integrand."""
            total = [mp.mpf(0)] * 3
            for angle, width in _RULE.get_nodes(low, high, _DEGREE, mp.mp.prec):
                height, loss = self.exponent(angle, T)
                x, weight = (loss - reference) / T, abs(width) * mp.exp(height - top)
                total = [total[0] + weight, total[1] + weight * x, total[2] + weight * x * x]
            return total

        whole, rest = [mp.mpf(0)] * 3, [mp.mpf(0)] * 3
        open_ = [(piece, sums(*piece)) for piece in pieces]
        for left in reversed(range(HALVINGS)):
            scale = [abs(w) + mp.fsum(abs(known[k]) for _, known in open_) for k, w in enumerate(whole)]
            halved, open_ = [(known, list(self._halves(piece, sums))) for piece, known in open_], []
            for known, halves in halved:
                both = [mp.fsum(part) for part in zip(*(one for _, one in halves), strict=True)]
                off = [abs(a - b) for a, b in zip(known, both, strict=True)]
                if not left or all(a <= TOLERANCE * (b or 1) for a, b in zip(off, scale, strict=True)):
                    whole, rest = _plus(whole, both), _plus(rest, off)
                else:
                    open_ += halves
            if not open_:
                break
        zero, one, two = whole[0], whole[1] / whole[0], whole[2] / whole[0]
        spread = two - one**2
        missed = (rest[2] + 2 * abs(one) * rest[1] + (abs(two) + 2 * one**2) * rest[0]) / zero
        error = float(missed / spread) if spread else 0.0
        height = top + reference / T + mp.log(zero) + log_area(self.d - 1)
        values = height - reference / T, reference + T * one, height + one, spread
        log_partition, energy, entropy, heat = map(float, values)
        return GibbsNumbers(log_partition, energy, entropy, heat, error + 2.0**-52)

    @staticmethod
    def _halves(piece: tuple[Any, Any], sums: Callable[..., list[Any]]) -> Iterator[tuple[tuple[Any, Any], list[Any]]]:
        low, high = piece
        middle = (low + high) / 2
        for half in ((low, middle), (middle, high)):
            yield half, sums(*half)

    def log_density(self, cosine: FloatArray, T: float, log_partition: float) -> FloatArray:
        """Log of the density of the cosine, at cosines between -1 and 1."""
        bare = float(log_area(self.d - 1)) - log_partition
        losses = np.array([float(self.loss(mp.mpf(one))) for one in np.ravel(cosine)]).reshape(np.shape(cosine))
        with np.errstate(divide="ignore"):
            room = 0.5 * (self.d - 3) * (np.log1p(cosine) + np.log1p(-cosine)) if self.d > 3 else 0.0
        return bare + room - losses / T


def _plus(one: Any, other: Any) -> list[Any]:
    return [a + b for a, b in zip(one, other, strict=True)]


def grid() -> tuple[FloatArray, FloatArray]:
    """Angles in the middles of equal intervals, shifted a little so that symmetric places are not met; cosines."""
    angles = np.pi * (np.arange(GRID) + 0.4857) / GRID
    return angles, np.cos(angles)
