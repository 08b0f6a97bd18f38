"""How often intervals, bands and bounds over a grid of runs hold the truth: the figures of docs/validation.md.

python tests/empirics/claims/test_coverage.py [tables of each kind, 1000]    prints the table of clustered errors
"""

import sys

import numpy as np
import pytest

from empirics.claims.clusters import Clusters, levels
from empirics.claims.everywhere import local_slopes, over, trends
from empirics.claims.fits import fit, mean_of, quadratic, spline_basis

N = 49
RATE, DECAY = (z.ravel() for z in np.meshgrid(np.linspace(-7, -2.4, 7), np.linspace(-7, -2.4, 7), indexing="ij"))
ALONG, ACROSS = RATE + DECAY, RATE - DECAY
BASIS = spline_basis(ALONG)
FORMS = {
    "spline": (np.c_[BASIS, ACROSS], np.r_[np.zeros(BASIS.shape[1]), 2.0]),
    "quadratic": (quadratic(RATE, DECAY), np.array([0.0, 1, -1, 0, 0, 0])),
}


def share(z):
    """From 0 to 1 across the grid."""
    return (z - z.min()) / np.ptp(z)


def correlated(cells):
    """Noise of unit variance that forgets over so many cells of the grid."""
    i, j = np.divmod(np.arange(N), 7)
    distance = np.hypot(i[:, None] - i, j[:, None] - j)
    root = np.linalg.cholesky(np.exp(-distance / cells))
    return lambda rng: root @ rng.standard_normal(N)


INDEPENDENT = {
    "normal": lambda rng: rng.standard_normal(N),
    "tenfold at large lr wd": lambda rng: rng.standard_normal(N) * 10 ** share(ALONG),
    "tenfold at small lr wd": lambda rng: rng.standard_normal(N) * 10 ** share(-ALONG),
    "thirtyfold at large lr/wd": lambda rng: rng.standard_normal(N) * 30 ** share(ACROSS),
    "Student's t, 3": lambda rng: rng.standard_t(3, N),
    "Student's t, 2": lambda rng: rng.standard_t(2, N),
}
SHARED = {
    "half shared by equal lr": lambda rng: rng.standard_normal(N) + np.repeat(rng.standard_normal(7), 7),
    "over one cell": correlated(1),
    "over two cells": correlated(2),
}


def coverage(noise, form, repetitions):
    """Share of the intervals that hold 0."""
    rng, (design, combination) = np.random.default_rng(1), FORMS[form]
    found = (fit(design, noise(rng), combination) for _ in range(repetitions))
    return np.mean([one.low <= 0 <= one.high for one in found])


@pytest.mark.long
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("noise", INDEPENDENT)
def test_independent_runs_are_covered_whatever_their_law(noise, form):
    assert 0.92 <= coverage(INDEPENDENT[noise], form, 3000) <= 0.985


@pytest.mark.long
@pytest.mark.parametrize("noise", SHARED)
def test_runs_that_share_their_scatter_are_not_and_the_page_says_so(noise):
    assert coverage(SHARED[noise], "spline", 1000) < 0.85


# Errors that are clustered by cell, row and column -------------------------------------------------------------------

SEEDS = 5
#: By name: the noise of the runs, and how many seeds a cell has.
CLUSTERED = {
    "independent": (lambda rng: rng.standard_normal(N), 1),
    "ten times larger at one end of log(lr wd)": (INDEPENDENT["tenfold at large lr wd"], 1),
    "five seeds a cell, nine tenths of the variance shared": (
        lambda rng: np.tile(3 * rng.standard_normal(N), SEEDS) + rng.standard_normal(N * SEEDS),
        SEEDS,
    ),
    "a fifth shared by runs of equal lr": (
        lambda rng: 2 * rng.standard_normal(N) + np.repeat(rng.standard_normal(7), 7),
        1,
    ),
    "half shared by runs of equal lr": (SHARED["half shared by equal lr"], 1),
    "a third by equal lr, a third by equal wd": (
        lambda rng: rng.standard_normal(N) + np.repeat(rng.standard_normal(7), 7) + np.tile(rng.standard_normal(7), 7),
        1,
    ),
}


def clustered(noise, tables):
    """Shares of tables in which each holds the truth: slope and mean with clusters and without, the band, the bound."""
    draw, seeds = CLUSTERED[noise]
    rate, decay, along, across = (np.tile(z, seeds) for z in (RATE, DECAY, ALONG, ACROSS))
    together = Clusters(levels(rate), levels(decay))
    basis, plane = spline_basis(along), trends(rate, decay)
    design, last = np.c_[basis, across], np.r_[np.zeros(basis.shape[1]), 1.0]
    u, v = along - along.mean(), across - across.mean()
    bend = 0.1 * u  # a local slope that is off by as much
    bent, off = bend * v, float(np.sqrt(np.mean(bend**2)))
    rng, held = np.random.default_rng(2), np.zeros(6)
    for _ in range(tables):
        y = draw(rng)
        pairs = [(fit(design, y, last, c), mean_of(y, c)) for c in (together, None)]
        found = [one.low <= 0 <= one.high for pair in pairs for one in pair]
        band = over(plane, y, together).everywhere
        low, high = local_slopes(basis, along, across, y + bent, 0.0, together).ends
        held += [*found, (band.lower <= 0).all() and (band.upper >= 0).all(), low <= off <= high]
    return held / tables


@pytest.mark.parametrize("noise", ["independent", "a fifth shared"])
def test_bounds_of_local_slopes_decide_and_are_seldom_wrong(noise):
    # 5x5 rates, two seeds, and a limit of 0.1 on what local slopes may be off by: a bend of that size, and none.
    rate, decay = (np.tile(z.ravel(), 2) for z in np.meshgrid(*2 * [np.linspace(-0.8, 0.8, 5)], indexing="ij"))
    along, across, together = rate + decay, (rate - decay) / 2, Clusters(levels(rate), levels(decay))
    orbits, rng = np.eye(9)[levels(along)], np.random.default_rng(4)
    shared = 0.0 if noise == "independent" else 0.2

    def words(bend):
        for _ in range(200):
            own, row = rng.standard_normal(len(rate)), rng.standard_normal(5)[together.rows]
            y = bend * across**2 + 0.035 * (np.sqrt(1 - shared) * own + np.sqrt(shared) * row)
            yield local_slopes(orbits, along, across, y, 0.0, together).judge(0.0, 0.05)[0]

    right, at_limit = list(words(0.0)), list(words(0.05 / across.std()))
    assert right.count("agrees") > (0.8 if noise == "independent" else 0.65) * 200, right.count("agrees")
    # Of 200 tables at the limit 5 % either way: more than 19 with a chance below 0.003.
    assert max(at_limit.count("agrees"), at_limit.count("disagrees")) <= 19, at_limit


@pytest.mark.parametrize("noise", ["independent", "five seeds a cell, nine tenths of the variance shared"])
def test_clustered_intervals_cover_the_truth(noise):
    slope, mean, plain_slope, plain_mean, band, bound = clustered(noise, 150)
    # 95 % of 150 tables: fewer than 134 with a chance below 0.003. A bound that is wrong on either side: 90 %.
    assert min(slope, mean, band) >= 134 / 150, (slope, mean, band)
    assert bound >= 124 / 150, bound
    # What errors of single runs miss is seen: seeds of a cell are no replicates.
    assert max(plain_slope, plain_mean) < 0.8 or noise == "independent"


@pytest.mark.long
@pytest.mark.parametrize("noise", CLUSTERED)
def test_clustered_coverage_is_that_of_the_page(noise):
    slope, mean, _, _, band, bound = clustered(noise, 1000)
    most_shared = noise.startswith(("half", "a third"))
    assert min(slope, mean) >= (0.88 if most_shared else 0.93), (slope, mean)
    assert band >= (0.65 if most_shared else 0.93), band
    assert bound >= (0.8 if most_shared else 0.9), bound


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print("| scatter of the runs | slope (unclustered) | mean (unclustered) | band, everywhere | RMS bounds |")
    print("|---|---|---|---|---|")
    for name in CLUSTERED:
        slope, mean, plain_slope, plain_mean, band, bound = clustered(name, count)
        print(
            f"| {name} | {slope:.3f} ({plain_slope:.3f}) | {mean:.3f} ({plain_mean:.3f}) | {band:.3f} | {bound:.3f} |"
        )
