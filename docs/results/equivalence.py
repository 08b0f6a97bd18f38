"""Whether two sets of runs are in one state: differences with intervals over runs, judged against margins."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from empirics.claims import judge

LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """A difference of means, its standard error and the error's degrees of freedom."""

    value: float
    error: float
    freedom: float

    def interval(self, comparisons=1):
        """The interval, simultaneous over so many comparisons (Bonferroni)."""
        half = student.ppf(1 - (1 - LEVEL) / (2 * comparisons), self.freedom) * self.error
        return self.value - half, self.value + half


def _freedom(variances, freedoms):
    """Degrees of freedom of a sum of independent variances (Welch and Satterthwaite)."""
    variances, freedoms = np.asarray(variances), np.asarray(freedoms)
    return float(variances.sum() ** 2 / (variances**2 / freedoms).sum())


def difference(first, second):
    """Mean of the second set of runs less that of the first, by Welch; a number a run.

    >>> found = difference([1.0, 2.0, 3.0], [2.0, 3.0, 4.0, 5.0])
    >>> print(f"{found.value:.3f} {found.error:.4f} {found.freedom:.3f}")
    1.500 0.8660 4.959
    """
    sets = [np.asarray(one, dtype=float) for one in (first, second)]
    variances = [one.var(ddof=1) / len(one) for one in sets]
    freedom = _freedom(variances, [len(one) - 1 for one in sets])
    return Difference(float(sets[1].mean() - sets[0].mean()), float(np.sqrt(sum(variances))), freedom)


def pooled(each):
    """Mean of independent differences."""
    variances = [one.error**2 for one in each]
    freedom = _freedom(variances, [one.freedom for one in each])
    return Difference(float(np.mean([one.value for one in each])), float(np.sqrt(sum(variances)) / len(each)), freedom)


def furthest(each):
    """Interval of the difference that reaches furthest from 0, simultaneous over all, and the difference."""
    found = [(one.interval(len(each)), one.value) for one in each]
    return max(found, key=lambda pair: max(map(abs, pair[0])))


def verdict_row(name, mean, margin, worst, margin_of_one):
    """A line of a table: the mean over the rates and the furthest rate, with verdicts."""
    (low, high), (interval, value) = mean.interval(), worst
    cells = [f"{mean.value:.4f} [{low:.4f}, {high:.4f}]", judge(0.0, low, high, margin)[0]]
    cells += [f"{value:.4f} [{interval[0]:.4f}, {interval[1]:.4f}]", judge(0.0, *interval, margin_of_one)[0]]
    return f"| {name} | {' | '.join(cells)} |"
