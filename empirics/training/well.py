"""The well that a run is in: H and Sigma at the mean direction, and what a gas in its own potential has there.

Whatever H and Sigma are, the derivations "implicit-potential" and its kin fix the covariance of the directions, the
fluctuations of the loss and the mean squared gradient, without a free parameter (`thermo_theory.Harmonic`).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh

from empirics.experiment import ExperimentError
from empirics.models.base import Block, Model
from empirics.training.experiment import NetworkExperiment
from empirics.training.gradient import noise_size
from empirics.training.state import Components
from empirics.training.whole_set import WholeSet
from thermo_theory import Harmonic

__all__ = ["LARGEST", "NAMES", "STIFFEST", "Tangents", "check_network", "harmonic", "of_run"]

FloatArray = NDArray[np.float64]

#: Largest number of weights whose Hessian is taken as a matrix; of more, only so many of the stiffest directions are.
LARGEST, STIFFEST = 2048, 32

#: What `harmonic` returns, of the well and of the gas in it, each after "harmonic_".
OF_WELL = ("directions", "temperature", "laplacian", "lowest", "relaxations", "minimum")
OF_GAS = ("energy", "fluctuations", "thermometer", "entropy", "shape")
NAMES = tuple(f"harmonic_{name}" for name in (*OF_WELL, *OF_GAS))


def check_network(model: Model) -> None:
    """Refuse a network whose H and Sigma cannot be had on a product of spheres.

    Raises
    ------
    ExperimentError
        If it has weights that are not scale-invariant.
    """
    if not model.all_spheres:
        rest = ", ".join(block.name for block in model.blocks if not block.scale_invariant)
        raise ExperimentError(f"[measure] implicit = true: must be false with weights not scale-invariant: {rest}")


def harmonic(
    hessian: FloatArray,
    noise: FloatArray,
    rate: float,
    positions: FloatArray,
    steps: int,
    slope: FloatArray | None = None,
    loss: float = 0.0,
) -> dict[str, float]:
    """Predict the moments of a gas in its own potential, and compare its covariance with that of the positions.

    Parameters
    ----------
    hessian, noise : numpy.ndarray, shape (m, m)
        H and Sigma between m orthonormal directions at unit norm, in nat and nat².
    rate : float
        Effective learning rate, per nat.
    positions : numpy.ndarray, shape (n, m)
        The directions in these coordinates at n times, in rad.
    steps : int
        Number of steps over which they were measured.
    slope : numpy.ndarray, shape (m,), optional
        Gradient where H was taken, in nat; 0 at a minimum.
    loss : float
        Loss there, in nat.

    Returns
    -------
    dict of str to float
        What `NAMES` lists: m; temperature of the noise (nat); tr H and its lowest eigenvalue (nat); relaxation times of
        that direction in the run; loss at the minimum of the well (nat); for steps of this size the mean loss above it
        over RT, ``Var L/(R T²)``, ``E|grad L|²/(T tr H)`` and the entropy (nat); and the mean square by which the
        covariance of the positions differs from that of the gas, in its units, 0 if they are equal. Where H is not
        positive or the steps diverge, there is no well: all but the first five are NaN.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = harmonic(np.diag([1.0, 3.0]), np.diag([2.0, 6.0]), 0.01, 0.1 * rng.standard_normal((4000, 2)), 4000)
    >>> {name: round(value, 2) for name, value in found.items() if name in ("harmonic_fluctuations", "harmonic_shape")}
    {'harmonic_fluctuations': 1.29, 'harmonic_shape': 0.0}
    """
    found = dict.fromkeys(NAMES, np.nan)
    curvatures = np.linalg.eigvalsh(hessian)
    found["harmonic_directions"] = len(hessian)
    found["harmonic_temperature"] = rate * float(np.trace(noise)) / (2 * len(noise))
    found["harmonic_laplacian"], found["harmonic_lowest"] = float(curvatures.sum()), float(curvatures[0])
    found["harmonic_relaxations"] = steps * rate * found["harmonic_lowest"]
    if not (curvatures[0] > 0 and rate * curvatures[-1] < 2):
        return found
    well = Harmonic(hessian, noise)
    found["harmonic_minimum"] = loss if slope is None else loss - float(slope @ np.linalg.solve(hessian, slope)) / 2
    found["harmonic_energy"] = float(well.energy(rate, discrete=True, relative=True))
    found["harmonic_fluctuations"] = float(well.fluctuations(rate, discrete=True))
    found["harmonic_thermometer"] = float(well.thermometer(rate, discrete=True))
    with suppress(ValueError):  # noise that does not reach all directions, in which there is no density
        found["harmonic_entropy"] = float(well.entropy(rate, discrete=True))
        found["harmonic_shape"] = _apart(positions, well.covariance(rate, discrete=True))
    return found


def _apart(positions: FloatArray, spread: FloatArray) -> float:
    """Mean square of the relative deviation of a covariance from that of the positions, without bias.

    ``tr((A - 1)(B - 1))/m`` with the covariances A and B of the first and of the last half of the positions, in units
    of the one that they should have: that of one with itself would count its error.
    """
    apart = positions - positions.mean(0)
    half, unit = len(apart) // 2, np.linalg.inv(np.linalg.cholesky(spread))
    first, last = (unit @ (part.T @ part / len(part)) @ unit.T for part in (apart[:half], apart[half:]))
    one = np.eye(len(spread))
    return float(np.sum((first - one) * (last - one))) / len(spread)


@dataclass(frozen=True)
class Tangents:
    """The mean direction of a run, and its snapshots about it on the unit sphere, or product of spheres.

    Attributes
    ----------
    weights : numpy.ndarray, shape (d,)
        Weights in the mean direction of every sphere, of its mean squared norm.
    snapshots : numpy.ndarray, shape (n, d)
        The snapshots with these norms, over the norm of the weights.
    normals : numpy.ndarray, shape (spheres, d)
        The mean direction of every sphere, 0 outside of it.
    components : Components
        The spheres.
    """

    weights: FloatArray
    snapshots: FloatArray
    normals: FloatArray
    components: Components

    @classmethod
    def of(cls, kept: FloatArray, blocks: tuple[Block, ...]) -> Tangents:
        """Find them from the snapshots of a run, shape (n, d), in which all trained tensors are scale-invariant."""
        components = Components(blocks)
        kept = components.without_flat(torch.from_numpy(kept)).numpy()
        ends = np.cumsum(components.sizes)
        mean, turned = np.empty_like(kept[0]), np.empty_like(kept)
        normals = np.zeros((len(ends), kept.shape[1]))
        for normal, end, size in zip(normals, ends, components.sizes, strict=True):
            part = slice(end - size, end)
            norms = np.linalg.norm(kept[:, part], axis=1, keepdims=True)
            centre = (kept[:, part] / norms).mean(0)
            centre /= np.linalg.norm(centre)
            radius = np.sqrt((norms**2).mean())
            turned[:, part], mean[part], normal[part] = radius * kept[:, part] / norms, radius * centre, centre
        return cls(mean, turned / np.linalg.norm(mean), normals, components)

    def project(self, rows: FloatArray) -> FloatArray:
        """What rows (n, d) have along directions that change no norm and nothing on which the loss does not depend."""
        allowed = self.components.without_flat(torch.from_numpy(rows)).numpy()
        return np.asarray(allowed - (allowed @ self.normals.T) @ self.normals)

    def basis(self) -> FloatArray:
        """Orthonormal directions that span all of these, shape (d, m)."""
        projector = self.project(np.eye(len(self.weights)))
        values, vectors = np.linalg.eigh((projector + projector.T) / 2)
        return np.asarray(vectors[:, values > 0.5])

    def stiffest(self, whole: WholeSet, reach: float) -> FloatArray:
        """The `STIFFEST` of these, shape (d, m), by Lanczos: modes of H, so that steps along them form no others."""
        size, weights = len(self.weights), torch.from_numpy(self.weights)

        def pulled(vector: FloatArray) -> FloatArray:
            along = self.project(vector.reshape(1, -1))
            length = float(np.linalg.norm(along))
            return (
                length * self.project(whole.hessian_times(weights, torch.from_numpy(along / length), reach).numpy())[0]
            )

        start = self.project(np.random.default_rng(0).standard_normal((1, size)))[0]
        operator = LinearOperator((size, size), matvec=pulled, dtype=np.float64)
        return np.asarray(eigsh(operator, STIFFEST, which="LA", v0=start, tol=1e-4)[1])


def of_run(
    whole: WholeSet, kept: FloatArray, model: Model, experiment: NetworkExperiment, rate: float, steps: int
) -> dict[str, float]:
    """Take H and Sigma at the mean direction of a run over the whole data set, and predict; see `harmonic`.

    Parameters
    ----------
    whole
        The whole data set, in float64.
    kept
        The snapshots, shape (n, d).
    model
        The network. Above `LARGEST` weights it is the gas in the `STIFFEST` directions alone.
    experiment
        The experiment, for what the steps are made of.
    rate
        Effective learning rate.
    steps
        Number of measured steps.
    """
    at, training = Tangents.of(kept.astype(np.float64), model.blocks), experiment.training
    weights, squared = torch.from_numpy(at.weights), float(at.weights @ at.weights)
    reach = experiment.measure.hessian_reach
    basis = at.basis() if model.dimension <= LARGEST else at.stiffest(whole, reach)
    along = torch.from_numpy(basis)
    # Halves of a minibatch share its noise; their difference, amplified, adds gain² times as much.
    share = (1 + training.noise_gain**2) / training.batch_size
    noise = share * squared * whole.covariance(weights, along).numpy()
    noise += noise_size(experiment, model) ** 2 * np.eye(len(noise))
    hessian = squared * (whole.hessian_times(weights, along.T.contiguous(), reach) @ along).numpy()
    slope = np.sqrt(squared) * (whole.gradient(weights[None])[0].numpy() @ basis)
    loss = float(whole.losses(weights[None])[0])
    return harmonic((hessian + hessian.T) / 2, noise, rate, at.snapshots @ basis, steps, slope, loss)
