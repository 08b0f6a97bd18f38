"""What scale and flips of unit-digits.toml have to be, from the data alone: no network is trained here.

For each share of flipped labels: the scale s of the logits at which the softest direction of the basin relaxes twice
between snapshots, and what H and Sigma there predict. At a given lr·wd the effective learning rate goes as 1/s and H as
s, so neither the angle by which directions scatter nor the steps in which they relax depend on s; noise that grows with
the loss does, and spoils Gibbs' law.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import brentq, minimize
from scipy.special import expit

import empirics
from empirics.claims.clusters import Clusters, levels
from empirics.claims.everywhere import local_slopes
from empirics.data.loading import load
from empirics.measure.entropy import sphere_entropy
from thermo_theory import Harmonic

EXPERIMENT = empirics.Experiment.from_file(Path(__file__).parents[2] / "experiments" / "unit-digits.toml")
#: Shares of flipped labels, relaxation times between snapshots, and their distance in units of 1/eta_eff: that of the
#: grid, and a shorter one, which takes a larger scale.
FLIPS, TIMES, SPACINGS = (0.0, 0.1, 0.2, 0.3), 2.0, (30.0, 17.0)
#: Starts of the search for basins, places about the minimum, largest deviation from Gibbs' law, and scales tried.
STARTS, PLACES, GIBBS, SCALES = 20, 64, 0.02, (0.05, 0.8)
#: V3 on a gas that is exact: directions, snapshots, rates each way, seeds, tables, and relaxation times in between.
EXACT = (15, 140, 5, 2, 300)
APART = (0.5, 1.0, 2.0, 50.0)


@dataclass(frozen=True)
class Unit:
    """The logistic unit on the whole data set, with its mean over flips.

    Attributes
    ----------
    inputs : numpy.ndarray, shape (sample, feature)
    shares : numpy.ndarray, shape (sample,)
        Probability of the second label.
    scale : float
        That of the logits.
    """

    inputs: np.ndarray
    shares: np.ndarray
    scale: float

    @classmethod
    def of(cls, data, flips, scale):
        """From a data set of two classes, and the share of its labels that is flipped."""
        return cls(np.asarray(data.inputs, dtype=float), flips + (1 - 2 * flips) * data.labels, scale)

    def gradient(self, u):
        """Gradient in all directions, radius included: the loss is not divided by the norm here."""
        return self.scale * self.inputs.T @ (expit(self.scale * self.inputs @ u) - self.shares) / len(self.inputs)

    def minimum(self, w):
        """Find the direction of least loss that is reached from here, and the loss."""

        def on_sphere(w):
            u, r = w / np.linalg.norm(w), np.linalg.norm(w)
            z, g = self.scale * self.inputs @ u, self.gradient(u)
            return np.mean(np.logaddexp(0, z) - self.shares * z), (g - (g @ u) * u) / r

        for _ in range(30):  # steps lengthen w and shorten its gradient, which ends a search too soon
            w = minimize(on_sphere, w / np.linalg.norm(w), jac=True, method="BFGS", options={"gtol": 1e-10}).x
            w /= np.linalg.norm(w)
            if np.linalg.norm(on_sphere(w)[1]) < 1e-8:
                break
        return w, on_sphere(w)[0]

    def well(self, u):
        """H, and Sigma of one sample, between directions of the sphere at u."""
        p, along = expit(self.scale * self.inputs @ u), self.inputs @ tangents(u)
        residual = (p - self.shares) ** 2 + self.shares * (1 - self.shares)
        mean, g = self.gradient(u) @ tangents(u), self.gradient(u) @ u
        curved, pushed = ((along * w[:, None]).T @ along / len(along) for w in (p * (1 - p), residual))
        return self.scale**2 * curved - g * np.eye(len(mean)), self.scale**2 * pushed - np.outer(mean, mean)


def tangents(u):
    """Orthonormal directions across u, shape (d, d - 1)."""
    return np.linalg.svd(u[None])[2][1:].T


def at(unit, u, product):
    """Predict what a run at lr·wd = `product` does about the minimum u.

    Returns
    -------
    dict of str to float
        Var L over what a Gibbs law demands of dU/dT; share of the curvature at the minimum that is missing over the
        cloud of directions.
    """
    hessian, noise = unit.well(u)
    across, m, batch = tangents(u), len(hessian), EXPERIMENT.training.batch_size
    strength = np.trace(noise) / m
    rate = np.sqrt(2 * product * batch / (m * strength))  # effective, by the norm balance
    gas, rng = Harmonic(hessian, noise / batch), np.random.default_rng(0)
    half = rng.multivariate_normal(np.zeros(m), gas.covariance(rate, discrete=True), size=PLACES // 2)
    places = u + np.r_[half, -half] @ across.T
    found = [unit.well(w / np.linalg.norm(w)) for w in places]
    # Noise that grows with the loss by a share a over the cloud makes Var L larger by a.
    growing = np.mean([np.trace(one) for _, one in found]) / np.trace(noise)
    fluctuations = gas.fluctuations(rate, discrete=True) / gas.energy(rate, discrete=True, relative=True)
    missing = 1 - np.mean([np.trace(one) for one, _ in found]) / np.trace(hessian)
    return {"fluctuations": float(fluctuations * growing), "bend": float(missing)}


def choice(data, flips, spacing, products):
    """Find the scale for a share of flips and a spacing, and what it predicts at the ends of the grid."""
    start = data.inputs[data.labels == 1].mean(0)

    def short(scale):
        unit = Unit.of(data, flips, scale)
        return spacing * np.linalg.eigvalsh(unit.well(unit.minimum(start)[0])[0])[0] - TIMES

    if short(SCALES[1]) < 0:  # so shallow a basin is at no scale steep enough
        return {"flips": flips, "spacing": spacing}
    scale = float(brentq(short, *SCALES, xtol=1e-3))
    unit, rng = Unit.of(data, flips, scale), np.random.default_rng(1)
    ends = [unit.minimum(w) for w in rng.standard_normal((STARTS, data.inputs.shape[1]))]
    u = min(ends, key=lambda end: end[1])[0]
    cold, hot = (at(unit, u, product) for product in products)
    # What spoils Gibbs' law grows like a constant plus the square root of lr·wd.
    roots, spoilt = np.sqrt(products), np.array([cold["fluctuations"], hot["fluctuations"]]) - 1
    slope = (spoilt[1] - spoilt[0]) / (roots[1] - roots[0])
    most = max(roots[0] + (GIBBS - spoilt[0]) / slope, 0.0) ** 2
    basins = sum(all(w @ before < 0.999 for before, _ in ends[:i]) for i, (w, _) in enumerate(ends))
    return {
        "flips": flips,
        "spacing": spacing,
        "scale": scale,
        "basins": basins,
        "cold": cold,
        "hot": hot,
        "most": most,
    }


def exact():
    """Judge V3 on an exact gas whose snapshots lie so many relaxation times apart.

    Returns
    -------
    dict of str to list
        For every distance: standard deviation of a run's entropy in R; share of tables whose local slopes agree.
    """
    m, n, count, seeds, tables = EXACT
    rates = np.linspace(-1.5, -0.8, count) * np.log(10)
    rate, decay = (z.ravel() for z in np.meshgrid(rates, np.repeat(rates, seeds), indexing="ij"))
    along, across, clusters = rate + decay, (rate - decay) / 2, Clusters(levels(rate), levels(decay))
    orbits, rng, found = np.eye(2 * count - 1)[levels(along)], np.random.default_rng(3), []
    for apart in APART:
        keep, x, kept = np.exp(-apart), rng.standard_normal((tables, m)), []
        for _ in range(n):
            x = keep * x + np.sqrt(1 - keep**2) * rng.standard_normal(x.shape)
            kept.append(x)
        runs = np.insert(0.02 * np.stack(kept, axis=1), 0, 1.0, axis=2)
        entropy = np.array([sphere_entropy(one, theiler=0).value for one in runs]) / (m / 2)
        drawn = across + rng.choice(entropy, (tables, len(along)))
        bounds = np.array([local_slopes(orbits, along, across, s, 1.0, clusters).ends[1] for s in drawn])
        found.append([entropy.std(ddof=1), (bounds < 0.1).mean()])
    return dict(zip(("scatter", "agree"), np.transpose(found).tolist(), strict=True))


def measured():
    """All of it: what `unit.py` shows."""
    grid = EXPERIMENT.grid
    products = min(grid.lr) * min(grid.weight_decay), max(grid.lr) * max(grid.weight_decay)
    data = load(replace(EXPERIMENT.data, label_noise=0.0, fresh_noise=False))
    rows = [choice(data, flips, spacing, products) for spacing in SPACINGS for flips in FLIPS]
    return {"rows": rows, "exact": exact()}
