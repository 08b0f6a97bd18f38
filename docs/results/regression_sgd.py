"""SGD on quadratic losses, many independent chains at once: simulated noise of any shape, or minibatches of data."""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_diabetes

from thermo_theory.theory.gases.lyapunov import stationary_covariance

#: Groups of chains; a group is one replicate.
GROUPS = 64

#: Rounds of the mean noise over the weights that it spreads: each is a contraction by half or less here.
ROUNDS = 200


@dataclass(frozen=True)
class Quadratic:
    """L = w.Hw/2 with normal gradient noise of covariance Sigma, the same everywhere."""

    hessian: np.ndarray
    noise: np.ndarray

    def gradient(self, w, rng):
        """Gradients of all chains, shape (chain, d)."""
        root = np.linalg.cholesky(self.noise)
        return w @ self.hessian + rng.standard_normal(w.shape) @ root.T

    def mean_noise(self, covariance):
        """Mean covariance of the noise over weights of this covariance."""
        return self.noise


@dataclass(frozen=True)
class Regression:
    """Linear regression by minibatches drawn with replacement; w is counted from the minimum.

    Attributes
    ----------
    inputs : numpy.ndarray, shape (n, d)
    residuals : numpy.ndarray, shape (n,)
        Of the least-squares fit.
    batch : int
        Samples per step.
    """

    inputs: np.ndarray
    residuals: np.ndarray
    batch: int

    @classmethod
    def of_diabetes(cls, batch):
        """Scikit-learn's 442 patients, ten inputs, all standardised."""
        found = load_diabetes()
        inputs, target = ((part - part.mean(0)) / part.std(0) for part in (found.data, found.target))
        best, *_ = np.linalg.lstsq(inputs, target, rcond=None)
        return cls(inputs, target - inputs @ best, batch)

    @property
    def hessian(self):
        """H, the second moment of the inputs."""
        return self.inputs.T @ self.inputs / len(self.inputs)

    def gradient(self, w, rng):
        """Gradients of all chains, a minibatch each."""
        rows = rng.integers(len(self.inputs), size=(len(w), self.batch))
        x = self.inputs[rows]
        off = np.einsum("cbi,ci->cb", x, w) - self.residuals[rows]
        return np.einsum("cbi,cb->ci", x, off) / self.batch

    def mean_noise(self, covariance):
        """Mean of Sigma(w) over weights of this covariance: a sample's gradient is x (x.w - residual)."""
        spread = np.einsum("ni,ij,nj->n", self.inputs, covariance, self.inputs) + self.residuals**2
        second = (self.inputs * spread[:, None]).T @ self.inputs / len(self.inputs)
        return (second - self.hessian @ covariance @ self.hessian) / self.batch

    @property
    def noise(self):
        """Sigma at the minimum."""
        return self.mean_noise(np.zeros_like(self.hessian))


def self_consistent(problem, eta):
    """Covariance exact in the step for noise that depends on the weights: what the noise it makes leaves as it is."""
    covariance = np.zeros_like(problem.hessian)
    for _ in range(ROUNDS):
        covariance = stationary_covariance(problem.hessian, problem.mean_noise(covariance), eta=eta, steps=True)
    return covariance


def simulate(problem, eta, *, chains, burn_in, steps, seed):
    """Advance all chains from the minimum; means over the steps and the chains of each group.

    Returns
    -------
    dict
        ``second`` (group, d, d): w w^T; ``moved`` (group, d, d): w dw^T; ``loss``, ``loss_sq`` (group,);
        ``fourth`` (group, d): fourth powers along the modes of H, the flattest first.
    """
    rng, hessian = np.random.default_rng(seed), problem.hessian
    modes = np.linalg.eigh(hessian)[1]
    d = len(hessian)
    w = np.zeros((chains, d))
    sums = {
        "second": np.zeros((GROUPS, d, d)),
        "moved": np.zeros((GROUPS, d, d)),
        "loss": np.zeros(GROUPS),
        "loss_sq": np.zeros(GROUPS),
        "fourth": np.zeros((GROUPS, d)),
    }
    for step in range(burn_in + steps):
        moved = -eta * problem.gradient(w, rng)
        if step >= burn_in:
            of_group, to = (part.reshape(GROUPS, -1, d) for part in (w, moved))
            loss = ((of_group @ hessian) * of_group).sum(2) / 2
            sums["second"] += of_group.transpose(0, 2, 1) @ of_group
            sums["moved"] += of_group.transpose(0, 2, 1) @ to
            sums["loss"] += loss.sum(1)
            sums["loss_sq"] += (loss**2).sum(1)
            sums["fourth"] += ((of_group @ modes) ** 4).sum(1)
        w = w + moved
    return {name: total / (steps * chains / GROUPS) for name, total in sums.items()}
