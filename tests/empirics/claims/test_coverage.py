"""How often the 95 % interval of a fit over a grid of runs holds the truth: the figures of docs/validation.md."""

import numpy as np
import pytest

from empirics.claims.fits import fit, quadratic, spline_basis

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
