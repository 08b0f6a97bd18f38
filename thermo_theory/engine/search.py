"""Where a function of several numbers is lowest, over all of their ranges: what an inequality is decided by.

Each range is stretched to the unit interval, by logarithms where it is infinite. The function is sampled all over the
unit cube and towards its faces, at few digits, followed downhill from the lowest samples, and refined at all digits.

>>> well = Search(lambda place: ((place["x"] - 2) ** 2 + 3, mp.mpf(1)), {"x": Domain(low=0.0)}, {"x": mp.mpf(9)})
>>> lowest = well.lowest()[0]
>>> mp.nstr(lowest.value, 8), mp.nstr(well.place(lowest.cube)["x"], 8)
('3.0', '2.0')
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import mpmath as mp

from thermo_theory.engine.world import DIGITS, NotInterpreted
from thermo_theory.numeric.domain import Domain

__all__ = ["Search"]

#: Samples inside the cube, digits of samples, and distances from the faces at which there are more.
#: (The first is beyond the face, for limits of infinite ranges: 1e-37 and 1e37 times the start.)
_SAMPLES, _FEW, _NEAR = 128, 12, (-0.25, 0.0, 1e-8, 1e-4, 1e-2)

#: An infinite range is sampled over 1e-12 to 1e12 times the start, most finely around it.
_FAR, _FINE = math.log(1e12), 0.15


class Place(NamedTuple):
    """A point of the unit cube (one coordinate for each number), the function there, and the size of its terms."""

    value: Any
    size: Any
    cube: tuple[Any, ...]

    @property
    def share(self) -> Any:
        """The value relative to its terms."""
        return self.value / (self.size or 1)


@dataclass
class Search:
    """A function, and the ranges of the numbers that it depends on.

    Parameters
    ----------
    gap : callable
        Of the numbers, by name: its value, and the size of the terms of which it is a difference.
    free : mapping
        The range of each number.
    start : mapping
        A value of each; it sets the scale of infinite ranges.
    """

    gap: Callable[[Mapping[Hashable, Any]], tuple[Any, Any]]
    free: Mapping[Hashable, Domain]
    start: Mapping[Hashable, Any]
    points: list[Place] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def place(self, cube: tuple[Any, ...]) -> dict[Hashable, Any]:
        """The numbers at a point of the unit cube."""
        return {
            name: _stretched(mp.mpf(u), domain, self.start[name])
            for u, (name, domain) in zip(cube, self.free.items(), strict=True)
        }

    @property
    def typical(self) -> Any:
        """Typical size of the terms."""
        return statistics.median(point.size for point in self.points)

    def depends_on(self, point: Place) -> list[Hashable]:
        """Which of the numbers the function changes with, around a point."""
        found = []
        for j, name in enumerate(self.free):
            moved = (self._sample((*point.cube[:j], u, *point.cube[j + 1 :])) for u in (0.3, 0.7))
            if any(other.value != point.value for other in moved):
                found.append(name)
        return found

    def lowest(self) -> list[Place]:
        """The points with the lowest values, and the lowest relative to their terms, refined at all digits.

        Raises
        ------
        NotInterpreted
            If the function has no value in a good part of the ranges.
        """
        with mp.workdps(_FEW):
            for cube in self._inside():
                self._sample(cube)
            for cube in self._outside():
                self._sample(cube)
            if len(self.failed) > len(self.points) / 10:
                raise NotInterpreted(f"no value at {len(self.failed)} places of its domain: {self.failed[0]}")
            for point in self._best(2):
                self._descend(point, 1 / 32, 1e-5)
        with mp.workdps(DIGITS):
            found = [self._sample(point.cube) for point in self._best(1)]
            return sorted([*found, *(self._descend(point, 1e-4, 1e-12) for point in found)])

    def _best(self, count: int) -> list[Place]:
        """The lowest points, and those that are lowest relative to their terms unless that says nothing."""
        by_share = sorted((point for point in self.points if point.share < 0.9), key=lambda point: point.share)
        return list(dict.fromkeys([*sorted(self.points)[:count], *by_share[:count]]))

    def _inside(self) -> Iterator[tuple[Any, ...]]:
        """Points that fill the cube evenly, and each of its edges: multiples of a generalised golden ratio's powers."""
        count, ratio = len(self.free), 2.0
        for _ in range(64):
            ratio = (1 + ratio) ** (1 / (count + 1))
        for k in range(_SAMPLES):
            yield tuple((0.5 + k / ratio ** (j + 1)) % 1 for j in range(count))

    def _outside(self) -> Iterator[tuple[Any, ...]]:
        """Points towards each face, from the middle and from the lowest point, and near the corners."""
        for centre in {self.points[0].cube, min(self.points).cube}:
            for j, (low, high) in enumerate(self._ends):
                for u in (u for near in _NEAR for u in (near, 1 - near) if low <= u <= high):
                    yield (*centre[:j], u, *centre[j + 1 :])
        yield from itertools.islice(itertools.product((1e-4, 1 - 1e-4), repeat=len(self.free)), 16)

    @property
    def _ends(self) -> list[tuple[float, float]]:
        """How far each coordinate may go: to a face, almost to one that is open, or beyond an infinite one."""

        def end(is_open: bool, domain: Domain) -> float:
            finite = math.isfinite(domain.low) and math.isfinite(domain.high)
            return (_NEAR[2] if finite else _NEAR[0]) if is_open else 0.0

        return [
            (end(x.low_open or math.isinf(x.low), x), 1 - end(x.high_open or math.isinf(x.high), x))
            for x in self.free.values()
        ]

    def _sample(self, cube: tuple[Any, ...]) -> Place:
        try:
            value, size = self.gap(self.place(cube))
            if isinstance(value, mp.mpc) or not mp.isfinite(value):
                raise NotInterpreted(f"it is {mp.nstr(value, 5)}")
        except (NotInterpreted, ArithmeticError, ValueError, TypeError) as error:
            self.failed.append(f"{error}, at {self.place(cube)}")
            return Place(mp.inf, mp.mpf(1), cube)
        self.points.append(Place(value, size, cube))
        return self.points[-1]

    def _descend(self, best: Place, radius: float, finest: float) -> Place:
        """Follow the function downhill by Newton's steps, its slopes and bends taken at a distance that shrinks."""
        for _ in range(40):
            if radius < finest:
                break
            trials = self._newton(best, radius)
            lowest = min(trials, default=best)
            if lowest.value < best.value:
                moved = max(abs(a - b) for a, b in zip(lowest.cube, best.cube, strict=True))
                best, radius = lowest, min(2 * radius, max(moved, radius / 32))
            else:
                radius /= 32
        return best

    def _newton(self, best: Place, radius: float) -> list[Place]:
        """The neighbours of a point at a distance, and where the parabola through them is lowest."""
        ends, count = self._ends, len(self.free)
        inside = tuple(min(max(u, a + radius), b - radius) for u, (a, b) in zip(best.cube, ends, strict=True))
        here = best if inside == best.cube else self._sample(inside)

        def beside(*moves: tuple[int, int]) -> Place:
            by = dict(moves)
            return self._sample(tuple(u + radius * by.get(j, 0) for j, u in enumerate(inside)))

        ahead, behind = [beside((j, 1)) for j in range(count)], [beside((j, -1)) for j in range(count)]
        tried = [here, *ahead, *behind]
        bends = mp.diag([a.value + b.value - 2 * here.value for a, b in zip(ahead, behind, strict=True)])
        for i, j in itertools.combinations(range(count), 2):
            tried.append(beside((i, 1), (j, 1)))
            bends[i, j] = bends[j, i] = tried[-1].value - ahead[i].value - ahead[j].value + here.value
        if all(mp.isfinite(point.value) for point in tried):
            slopes = mp.matrix([(a.value - b.value) / 2 for a, b in zip(ahead, behind, strict=True)])
            sizes, axes = mp.eigsy(bends)
            along = axes.T * slopes
            # Downhill where the function bends down, too, and not far where it hardly bends.
            floor = max(map(mp.fabs, sizes)) * mp.mpf("1e-4") or mp.mpf(1)
            step = axes * mp.matrix([-x / max(mp.fabs(k), floor) for x, k in zip(along, sizes, strict=True)])
            moved = (u + radius * float(min(max(x, -8), 8)) for u, x in zip(inside, step, strict=True))
            tried.append(self._sample(tuple(min(max(u, a), b) for u, (a, b) in zip(moved, ends, strict=True))))
        return tried


def _stretched(u: Any, domain: Domain, start: Any) -> Any:
    """The number of a range at a coordinate from 0 to 1."""
    low, high = domain.low, domain.high
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) * u
    side = 2 * u - 1
    power = _FAR * (_FINE * side + (1 - _FINE) * side**3)
    if math.isfinite(low):
        return mp.mpf(low) if u == 0 and not domain.low_open else low + (start - low or 1) * mp.exp(power)
    if math.isfinite(high):
        return mp.mpf(high) if u == 1 and not domain.high_open else high - (high - start or 1) * mp.exp(-power)
    return start + (mp.fabs(start) or 1) * mp.sinh(power)
