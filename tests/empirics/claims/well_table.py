"""Runs of exact SGD in a quadratic well, simulated: what V10 and V11 should say of them is known."""

from functools import lru_cache

import numpy as np
import xarray as xr

from empirics.training.well import NAMES, harmonic

#: Curvatures, and a noise that does not commute with them and whose strengths are very different.
HESSIAN = np.diag([0.5, 1.0, 1.5, 2.5, 4.0, 6.0])
TURN = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
NOISE = 1e-4 * TURN @ np.diag([0.1, 0.2, 0.5, 1.0, 3.0, 9.0]) @ TURN.T
RATES = tuple(np.geomspace(0.01, 0.05, 15))
COPIES, TIMES = 10_000, 10


@lru_cache(maxsize=len(RATES))
def moves(rate, seed=0):
    """Positions of copies of a run, once in a relaxation time of the slowest direction, and the next steps from there.

    All steps between are taken in one draw: they are linear, and the sum of their noises is added up step by step.
    Returns positions and the noisy gradients there, each of shape (copies * times, m).
    """
    rng, x, found = np.random.default_rng((int(1e4 * rate), seed)), np.zeros((COPIES, len(HESSIAN))), []
    one = np.eye(len(HESSIAN)) - rate * HESSIAN
    many, summed = np.eye(len(HESSIAN)), np.zeros_like(NOISE)
    for _ in range(int(1 / (rate * HESSIAN[0, 0]))):
        summed = one @ summed @ one + rate**2 * NOISE
        many = many @ one
    for time in range(6 + TIMES):
        if time >= 6:
            found.append((x, x @ HESSIAN + rng.multivariate_normal(np.zeros(6), NOISE, COPIES)))
        x = x @ many + rng.multivariate_normal(np.zeros(6), summed, COPIES)
    return [np.concatenate(part) for part in zip(*found, strict=True)]


def well_table(hessian=HESSIAN, noise=NOISE, seed=0):
    """The summary of such runs on the unit sphere; a wrong Hessian or noise is shown to the measurement alone."""
    m, rows = len(HESSIAN), []
    for rate in RATES:
        x, noisy = moves(rate, seed)
        slope = x @ HESSIAN
        loss, squared = 0.3 + (x * slope).sum(1) / 2, (noisy**2).sum(1).mean()
        spread = np.cov(x, rowvar=False)
        rows.append(
            {
                "effective_lr": rate,
                "radius": 1.0,
                "radius_sq": 1.0,
                "temperature": rate * np.trace(NOISE) / (2 * m),
                "grad_sq": squared,
                "grad_variance": np.trace(NOISE),
                "grad_mean_sq": (slope**2).sum(1).mean(),
                "grad_mean_sq_unit": (slope**2).sum(1).mean(),
                "laplacian": np.trace(HESSIAN),
                "loss": loss.mean(),
                "loss_variance": loss.var(),
                "entropy_sphere": np.linalg.slogdet(2 * np.pi * np.e * spread)[1] / 2,
                "effective_sample_size": 1000.0,
                "neighbour_lag": 100.0,
                "batch_sharpness": ((noisy @ HESSIAN) * noisy).sum(1).mean() / squared,
            }
            | harmonic(hessian, noise, rate, x, steps=int(1000 / rate), loss=0.3)
        )
    assert set(NAMES) <= set(rows[0])
    columns = {name: ("run", np.array([row[name] for row in rows])) for name in rows[0]}
    coords = {"protocol": ("run", np.full(len(RATES), "fixed-sphere")), "status": ("run", np.full(len(RATES), "ok"))}
    data = xr.Dataset(columns, coords=coords, attrs={"dimension": m + 1})
    return data.set_coords(["effective_lr", "radius"])
