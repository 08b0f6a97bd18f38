"""Processes of the isotropic gas: many copies of one gas follow a path of learning rate and weight decay.

The copies are independent and so form the ensemble at each moment, even out of equilibrium: its mean loss is U, and the
entropy of its directions gives S. The exchange with the bath is summed along the path; the rest of the change of S is
entropy production.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import solve_ivp

from empirics.experiment.schema import ExperimentError
from empirics.isotropic import kernels
from empirics.isotropic.entropy import symmetric_entropy
from empirics.isotropic.layout import LANES, GasSum, Parameter
from empirics.isotropic.loop import loss_at
from thermo_theory import FixedELR, FixedLR, derive, vmf

__all__ = ["PATHS", "Path", "follow", "path", "quench", "stationary_entropy"]

FloatArray = NDArray[np.float64]

#: Number of blocks of copies whose means give the error of the entropy.
BLOCKS = 16
#: Relaxation times of the slowest direction, 1/(lr weight_decay), before a process begins.
SETTLING = 8
#: Intervals between two points, over which the exchange with the bath is summed.
LOOKS = 4
_NEVER = 1 << 62  # no snapshots: the ensemble is measured between two calls
_VARIABLES = {
    "lr": "learning rate; at fixed ELR the effective learning rate",
    "weight_decay": "weight decay",
    "temperature": "half the effective learning rate times the noise variance per direction, mean over copies",
    "loss": "mean loss over copies",
    "log_radius": "mean logarithm of the norm over copies",
    "radius_sq": "mean squared norm over copies",
    "entropy_sphere": "entropy of the directions over copies",
    "entropy": "entropy of the weights: directions plus (d-1) log radius",
    "entropy_error": "standard error of the entropy",
    "entropy_flow": "entropy received from the bath since the start, the sum of (dU + p dV)/T",
    "entropy_produced": "change of the entropy since the start minus the entropy received",
}


@dataclass(frozen=True)
class Path:
    """Learning rate and weight decay at the points of a process; both are constant between two points.

    Attributes
    ----------
    name : str
        Its name.
    lr, weight_decay : numpy.ndarray, shape (points,)
        The learning rate (at fixed ELR the effective one) and weight decay; the gas equilibrates at the first point.
    protocol : str
        "fixed-lr" or "fixed-elr".
    """

    name: str
    lr: FloatArray
    weight_decay: FloatArray
    protocol: str = "fixed-lr"

    def __post_init__(self) -> None:
        for key in ("lr", "weight_decay"):
            values = np.asarray(getattr(self, key), dtype=float)
            bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
            if values.ndim != 1 or len(values) < 2 or len(bad):
                found = f"{values[bad[0]]:g} at point {bad[0]}" if len(bad) else f"shape {values.shape}"
                raise ExperimentError(f"{key} of a path must be two or more positive numbers, got {found}")
            object.__setattr__(self, key, values)
        if self.lr.shape != self.weight_decay.shape:
            raise ExperimentError("lr and weight_decay of a path must each have one value per point")
        if self.protocol not in ("fixed-lr", "fixed-elr"):
            raise ExperimentError(f"protocol = {self.protocol!r}: must be fixed-lr or fixed-elr for a path")


def _adiabat(
    lr: float, weight_decay: float, factor: float, points: int, d: int, sigma: float
) -> tuple[FloatArray, FloatArray]:
    """Learning rate that keeps S constant while weight decay grows, by the derived slope at any temperature."""
    decays = weight_decay * np.geomspace(1, factor, points)
    slope = derive("vmf-adiabat").claim

    def rate(log_decay: float, log_lr: FloatArray) -> ArrayLike:
        heat = FixedLR.temperature(eta=np.exp(log_lr), lam=np.exp(log_decay), sigma=sigma, d=d)
        return slope(C_V=vmf.heat_capacity(d=d, T=heat), R=(d - 1) / 2)

    ends = np.log(decays[[0, -1]])
    found = solve_ivp(rate, ends, [np.log(lr)], t_eval=np.clip(np.log(decays), *ends), rtol=1e-9, atol=1e-12)
    return np.exp(found.y[0]), decays


#: The paths by name. The learning rate leads; along an adiabat weight decay does.
PATHS = ("isotherm", "isobar", "isochore", "adiabat")


def path(
    name: str, *, lr: float, weight_decay: float, factor: float, points: int, dimension: int, sigma: float = 1.0
) -> Path:
    """Make a path at fixed LR from the derivation of its law.

    Parameters
    ----------
    name : str
        "isotherm" (lr·wd constant), "isobar" (weight decay constant), "isochore" (their ratio constant) or "adiabat"
        (entropy constant).
    lr, weight_decay : float
        Where it starts.
    factor : float
        Factor by which lr changes along the path; on an adiabat, weight decay.
    points : int
        Number of points; lr and weight decay are constant between two of them.
    dimension : int
        Number d of weights.
    sigma : float
        Gradient noise per direction at unit norm.

    Returns
    -------
    Path

    Raises
    ------
    ExperimentError
        If there is no such path.

    Examples
    --------
    >>> path("isotherm", lr=0.1, weight_decay=0.01, factor=4, points=2, dimension=20).weight_decay
    array([0.01  , 0.0025])
    """
    if name not in PATHS:
        raise ExperimentError(f"no path is called {name!r}; known: {', '.join(PATHS)}")
    if name == "adiabat":
        return Path(name, *_adiabat(lr, weight_decay, factor, points, dimension, sigma))
    rates, law = lr * np.geomspace(1, factor, points), derive(name).claim
    known: dict[str, Any] = {"eta": rates, "eta0": lr, "lam0": weight_decay}
    return Path(name, rates, np.full(points, law(**{key: known[key] for key in law.arguments})))


def quench(*, effective_lr: float, weight_decay: float, factor: float, points: int) -> Path:
    """Make a sudden drop of the temperature at fixed ELR; after it, all points are equal.

    Parameters
    ----------
    effective_lr, weight_decay : float
        Where the gas equilibrates first.
    factor : float
        Factor by which the effective learning rate drops.
    points : int
        Number of points, the first one before the drop.

    Returns
    -------
    Path
    """
    rates = np.full(points, effective_lr / factor)
    rates[0] = effective_lr
    return Path("quench", rates, np.full(points, weight_decay), "fixed-elr")


def stationary_entropy(route: Path, *, dimension: int, sigma: float = 1.0) -> FloatArray:
    """Stationary entropy of the weights at each point of a path at fixed LR, with finite-step corrections.

    Parameters
    ----------
    route : Path
        The path.
    dimension : int
        Number d of weights.
    sigma : float
        Gradient noise per direction at unit norm.

    Returns
    -------
    numpy.ndarray, shape (points,)
        ``S_sphere(T) + (d-1) log r`` in nats: volume and temperature from the derivation "finite-step" with the
        curvature 1 of the gas, S_sphere that of the von Mises-Fisher law. The curvature is that at the minimum of the
        loss: the warmer the gas, as from lr·wd of 0.04 on, the more its entropy lies above this.

    Examples
    --------
    >>> cold = path("isotherm", lr=0.01, weight_decay=0.01, factor=2, points=2, dimension=50)
    >>> round(float(np.diff(stationary_entropy(cold, dimension=50))[0] / 24.5 / np.log(2)), 9)  # R log 2, exactly
    1.0
    """
    volume = derive("finite-step", FixedLR).claim(eta=route.lr, lam=route.weight_decay, sigma=sigma, d=dimension, h=1.0)
    # p V = R T: the temperature of the law that steps of this size sample.
    heat = route.weight_decay * volume / ((dimension - 1) / 2)
    return np.asarray(vmf.entropy(d=dimension, T=heat) + (dimension - 1) / 2 * np.log(2 * volume))


def follow(
    route: Path, *, dimension: int, steps: int, copies: int = 2048, sigma: float = 1.0, seed: int = 1
) -> xr.Dataset:
    """Let copies of the gas follow a path, and compute the entropy balance.

    Parameters
    ----------
    route : Path
        The path; the copies equilibrate at its first point for eight relaxation times.
    dimension : int
        Number d of weights, 2 or more.
    steps : int
        Steps after each point but the first.
    copies : int
        Number of copies, a multiple of 16.
    sigma : float
        Gradient noise per direction at unit norm.
    seed : int
        Seed of all random numbers.

    Returns
    -------
    xarray.Dataset
        Over `point`: state, entropy, entropy received and produced, in nats, with long names.

    Raises
    ------
    ExperimentError
        If a number is out of range.

    Notes
    -----
    ``dS = (dU + p dV)/T + dS_produced``, with T that of the bath, ``eta_eff sigma^2/2``, and p the weight decay. The
    norm is no random number: out of balance, ``p V != R T``, its part ``(R T/V - p) dV/T`` is produced.
    """
    if dimension < 2 or steps < 1 or copies < 2 * BLOCKS or copies % BLOCKS:
        raise ExperimentError(
            f"dimension = {dimension}, steps = {steps}, copies = {copies}: must be 2 or more, 1 or more, and a "
            f"multiple of {BLOCKS} of at least {2 * BLOCKS}"
        )
    ensemble = _Ensemble(route, dimension, copies, sigma, seed)
    ensemble.advance(0, int(np.ceil(SETTLING / ensemble.slowest)))
    rows = [ensemble.look(0, 0.0)]
    flow = 0.0
    for point in range(1, len(route.lr)):
        flow += ensemble.advance(point, steps)
        rows.append(ensemble.look(point, flow))
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    columns["entropy_produced"] = columns["entropy"] - columns["entropy"][0] - columns["entropy_flow"]
    return xr.Dataset(
        {name: ("point", values, {"long_name": _VARIABLES[name], "units": "1"}) for name, values in columns.items()},
        {"step": ("point", steps * np.arange(len(rows)))},
        {"path": route.name, "protocol": route.protocol, "dimension": dimension, "copies": copies, "sigma": sigma},
    )


class _Ensemble:
    """The copies, in the groups of lanes advanced by the compiled loop."""

    def __init__(self, route: Path, dimension: int, copies: int, sigma: float, seed: int) -> None:
        self.route, self.dimension, self.copies, self.sigma = route, dimension, copies, sigma
        groups = -(-copies // LANES)
        rng = np.random.Generator(np.random.PCG64(seed))
        self._bits = rng.integers(0, 2**64, size=(groups, 4 * LANES), dtype=np.uint64)
        lr, decay = route.lr[0], route.weight_decay[0]
        rates = {"lam": decay, "sigma": sigma, "d": dimension}
        held = route.protocol == "fixed-elr"
        radius = float(FixedELR.radius(eta_eff=lr, **rates) if held else FixedLR.radius(eta=lr, **rates))
        # The rate of a free direction; that of a bound one, and of the norm, is a few times larger.
        self.slowest = lr * decay * (radius**2 if held else 1.0)
        half = (dimension - 1) / 2
        share = rng.beta(half, half, size=(groups, LANES))
        rows = [2 * share - 1, 2 * np.sqrt(share * (1 - share)), np.ones_like(share)]
        self._position = radius * np.stack(rows, axis=1)
        self._noise = np.array([sigma, 1.0, 1.0, 1.0, 0.0, np.inf])
        self._sums = np.zeros(len(GasSum) * LANES)
        self._samples = np.empty((1, groups * LANES, 1))

    def _advance(self, point: int, steps: int) -> None:
        parameters = np.zeros((len(Parameter), LANES))
        rate = Parameter.ELR if self.route.protocol == "fixed-elr" else Parameter.LR
        parameters[rate], parameters[Parameter.WEIGHT_DECAY] = self.route.lr[point], self.route.weight_decay[point]
        for position, bits in zip(self._position, self._bits, strict=True):
            kernels.reduced(
                *(steps, 0, position.reshape(-1), bits, parameters.reshape(-1), self._noise, self.dimension),
                *(_NEVER, 1, self._sums, self._samples, 0),
            )

    def advance(self, point: int, steps: int) -> float:
        """Advance at the rates of a point; return the heat received from the bath over its temperature."""
        ends = np.unique(np.linspace(0, steps, LOOKS + 1).astype(int))
        flow, energy, volume, heat = 0.0, *self._state(point)
        for count in np.diff(ends):
            self._advance(point, int(count))
            energy_now, volume_now, heat_now = self._state(point)
            work = self.route.weight_decay[point] * (volume_now - volume)
            flow += (energy_now - energy + work) * 0.5 * (1 / heat + 1 / heat_now)
            energy, volume, heat = energy_now, volume_now, heat_now
        return flow

    def _rows(self) -> tuple[FloatArray, FloatArray]:
        """Losses and squared norms of the copies."""
        along, across, norm = (self._position[:, i].reshape(-1)[: self.copies] for i in range(3))
        return loss_at(along / norm, (across / norm) ** 2), norm**2

    def _state(self, point: int) -> tuple[float, float, float]:
        losses, squared = self._rows()
        rate = self.route.lr[point] * (np.ones_like(squared) if self.route.protocol == "fixed-elr" else 1 / squared)
        return float(losses.mean()), float(squared.mean() / 2), float((rate * self.sigma**2 / 2).mean())

    def look(self, point: int, flow: float) -> dict[str, float]:
        """Measurements at a point."""
        losses, squared = self._rows()
        energy, volume, heat = self._state(point)
        directions = symmetric_entropy(losses, self.dimension, BLOCKS)
        log_radius = float(0.5 * np.log(squared).mean())
        return {
            "lr": float(self.route.lr[point]),
            "weight_decay": float(self.route.weight_decay[point]),
            "temperature": heat,
            "loss": energy,
            "log_radius": log_radius,
            "radius_sq": 2 * volume,
            "entropy_sphere": directions.value,
            "entropy": directions.value + (self.dimension - 1) * log_radius,
            "entropy_error": directions.error,
            "entropy_flow": flow,
        }
