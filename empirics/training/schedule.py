"""Learning rate and weight decay that change with time, as factors on those of the grid."""

import bisect
import math
from collections.abc import Callable, Sequence

from empirics.training.tables import ScheduleTable

#: Interpolation of a factor from a to b; s goes from 0 to 1 between two steps.
BETWEEN: dict[str, Callable[[float, float, float], float]] = {
    "log": lambda a, b, s: a * (b / a) ** s,
    "linear": lambda a, b, s: a + (b - a) * s,
    "cosine": lambda a, b, s: a + (b - a) * (1 - math.cos(math.pi * s)) / 2,
    "step": lambda a, b, s: a,
}


class Schedule:
    """Factors on the learning rate and the weight decay of every step.

    Parameters
    ----------
    table
        ``[schedule]``.

    Examples
    --------
    >>> table = ScheduleTable(step=(0, 10, 20), lr=(0.01, 1.0, 1.0))
    >>> [Schedule(table).at(step) for step in (0, 5, 10, 99)]
    [(0.01, 1.0), (0.1, 1.0), (1.0, 1.0), (1.0, 1.0)]
    """

    def __init__(self, table: ScheduleTable) -> None:
        self._table, self._between = table, BETWEEN[table.between]
        self.constant = not table.step

    def at(self, step: int) -> tuple[float, float]:
        """Factors on the learning rate and on the weight decay of step number `step`."""
        return self._factor(step, self._table.lr), self._factor(step, self._table.weight_decay)

    def _factor(self, step: int, factors: Sequence[float]) -> float:
        if not factors:
            return 1.0
        steps = self._table.step
        i = bisect.bisect_right(steps, step) - 1
        if i + 1 == len(steps):
            return factors[-1]
        return self._between(factors[i], factors[i + 1], (step - steps[i]) / (steps[i + 1] - steps[i]))
