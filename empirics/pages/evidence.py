"""The numbers a page shows, taken from the results of one experiment; what is missing stays missing.

Nothing here judges: verdicts come from `empirics.claims`. The fits here only describe the pictures.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from empirics.claims.coordinates import Orbit, law, orbit_of, with_momentum
from empirics.claims.exhibit import over_grid, typeset
from empirics.claims.fits import Estimate, fit
from empirics.claims.protocol import effective_lr
from empirics.claims.radius import radius_lacks, radius_ratios
from empirics.claims.state import StateVariables
from empirics.claims.table import Table
from thermo_theory import FixedELR, FixedLR, Protocol

__all__ = ["RunEvidence", "slopes"]

_WORDS = {
    "lr": "learning rate",
    "effective_lr": "effective learning rate",
    "weight_decay": "weight decay",
    "radius": "radius",
}


_LARGEST = 1e100


def slopes(lr: np.ndarray, weight_decay: np.ndarray, values: np.ndarray) -> tuple[Estimate, Estimate] | None:
    """Fit a plane over (log lr, log weight_decay), as the notes beside the verdicts do; runs are the replicates.

    All arrays have the shape (run,), in natural units; values that are not finite are left out. None where the runs do
    not span both directions or there are none to spare.

    Examples
    --------
    >>> lr, wd = np.array([[0.1, 0.1, 0.2, 0.2, 0.4], [0.1, 0.3, 0.1, 0.3, 0.2]])
    >>> print(*slopes(lr, wd, 2 * np.log(lr) - np.log(wd)))
    2.000 [2.000, 2.000] -1.000 [-1.000, -1.000]
    """
    # The square of a larger number is none.
    good = (np.abs(values) < _LARGEST) & (lr > 0) & (weight_decay > 0)
    design = np.c_[np.ones(good.sum()), np.log(lr[good]), np.log(weight_decay[good])]
    if len(design) < 4 or np.linalg.matrix_rank(design) < 3:
        return None
    return fit(design, values[good], [0, 1, 0]), fit(design, values[good], [0, 0, 1])


def _log(values: np.ndarray) -> np.ndarray:
    """Logarithm, NaN where there is none."""
    return np.log(np.where(values > 0, values, np.nan))


def _rounded(values: np.ndarray) -> np.ndarray:
    """Values without their last digits."""
    return np.array([float(f"{one:.12g}") for one in values])


def _labels(data: xr.Dataset, name: str, default: str) -> np.ndarray:
    """Protocol or optimiser of every run, shape (run,)."""
    labels = data[name].values.astype(str) if name in data.variables else np.full(1, default)
    return np.broadcast_to(labels, data.sizes["run"])


class RunEvidence:
    """One experiment's results, by name, with None for what was not measured.

    Parameters
    ----------
    runs : empirics.results.Runs or xarray.Dataset
        The runs, or their summary.
    protocol, optimizer : str, optional
        Take the runs of this protocol, or by this optimiser, alone.
    """

    def __init__(self, runs: Any, protocol: str = "", optimizer: str = "") -> None:
        self.runs = runs
        whole: xr.Dataset = getattr(runs, "dataset", runs)
        protocols, optimizers = _labels(whole, "protocol", ""), _labels(whole, "optimizer", "sgd")
        wanted = (protocols == (protocol or protocols)) & (optimizers == (optimizer or optimizers))
        self._chosen = np.flatnonzero(wanted)
        self.dataset: xr.Dataset = whole.isel(run=self._chosen)
        #: Protocol and optimiser of the runs, each pair once.
        self.pairs = sorted({(str(protocols[i]), str(optimizers[i])) for i in self._chosen})
        #: The protocol and the optimiser of the runs if they have but one.
        self.protocol, self.optimizer = (
            found.pop() if len(found := {pair[i] for pair in self.pairs}) == 1 else "" for i in (0, 1)
        )
        if self.protocol:
            self.dataset = self.dataset.assign_attrs(protocol=self.protocol)
        self._table = Table.of(with_momentum(self.dataset, runs))

    def parts(self) -> list[RunEvidence]:
        """Return the evidence of each protocol and optimiser apart, where there are several."""
        return [RunEvidence(self.runs, *pair) for pair in self.pairs] if len(self.pairs) > 1 else [self]

    @cached_property
    def law(self) -> Protocol | None:
        """Protocol and optimiser as the theory has them, None where nothing is derived of them together."""
        with suppress(ValueError):
            return law(self.protocol or "fixed-lr", self.optimizer)
        return None

    def __len__(self) -> int:
        return int(self.dataset.sizes["run"])

    def get(self, name: str) -> np.ndarray | None:
        """Return a variable of the summary, or None if it is absent or nothing in it was measured."""
        if name not in self.dataset:
            return None
        values = self.dataset[name].values
        if values.dtype.kind in "OSTU":
            return values
        values = values.astype(float)
        good = np.isfinite(values)
        return np.where(good, values, np.nan) if good.any() else None

    def column(self, name: str) -> np.ndarray:
        """Return a variable, NaN where it was not measured; shape (run,)."""
        values = self.get(name)
        return np.full(len(self), np.nan) if values is None else values

    def node(self, group: str) -> xr.Dataset | None:
        """Return a group of the results, or None if it was not kept."""
        tree = getattr(self.runs, "tree", None)
        if tree is None or group not in tree.children:
            return None
        return tree[group].to_dataset().isel(run=self._chosen)

    @cached_property
    def name(self) -> str:
        """The experiment's name."""
        return str(self.dataset.attrs.get("name", "") or getattr(self.runs, "path", "") or "the runs")

    @property
    def free(self) -> bool:
        """Whether neither the effective learning rate nor the norm is held."""
        return self.protocol in ("", "fixed-lr")

    @cached_property
    def axes(self) -> tuple[str, str]:
        """What the protocol sets, as the summary calls it: what sizes the steps, and the other."""
        if self.free:
            return "lr", "weight_decay"
        return "effective_lr", "radius" if self.protocol == "fixed-sphere" else "weight_decay"

    @property
    def names(self) -> tuple[str, str]:
        """What the protocol sets, in words."""
        return _WORDS[self.axes[0]], _WORDS[self.axes[1]]

    @cached_property
    def lr(self) -> np.ndarray:
        """What sizes the steps of every run: its learning rate, or the effective one."""
        rate = None if self.free else effective_lr(self.dataset)
        if rate is None:
            return self.column(self.axes[0])
        # Worked out from lr and radius, equal rates may differ in their last digits.
        return _rounded(rate)

    @cached_property
    def weight_decay(self) -> np.ndarray:
        """What else is set in every run: its weight decay, or the radius of its sphere."""
        return self.column(self.axes[1])

    @property
    def optimizers(self) -> list[str]:
        """The optimisers among the runs, SGD where none is recorded."""
        return sorted({optimizer for _, optimizer in self.pairs})

    @cached_property
    def orbit(self) -> Orbit:
        """How rates change along the symmetry orbits at fixed LR; SGD's where nothing is derived of the optimiser."""
        return orbit_of(self.law if self.free and self.law is not None else FixedLR)

    @cached_property
    def on_grid(self) -> np.ndarray:
        """Runs that have a place on the logarithmic axes of what the protocol sets."""
        return np.isfinite(self.lr) & np.isfinite(self.weight_decay) & (self.lr > 0) & (self.weight_decay > 0)

    @cached_property
    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """What the protocol sets in every run, without the last digits, in which equal values may differ."""
        return _rounded(self.lr), _rounded(self.weight_decay)

    @cached_property
    def product(self) -> np.ndarray:
        """What is equal along a symmetry orbit, and sets the temperature: for SGD lr × wd, or the effective rate."""
        if self.free:
            return np.exp(self.orbit.along(_log(self.lr), _log(self.weight_decay)))
        return self.lr

    @property
    def product_name(self) -> str:
        """The same in words."""
        if not self.free:
            return "effective learning rate"
        return typeset(self.orbit.words[0])

    @cached_property
    def dimension(self) -> int:
        """The d of the formulas, one more than the number of directions of all spheres; 0 where it is not known."""
        return int(self.dataset.attrs.get("dimension", 0))

    @property
    def weights(self) -> int:
        """Number of scale-invariant weights, d on one sphere; 0 where it is not known."""
        return int(self.dataset.attrs.get("weights", self.dimension))

    @property
    def directions(self) -> int:
        """Number of directions along which the loss changes; -1 where it is not known."""
        return self.dimension - 1

    @cached_property
    def gas_constant(self) -> float:
        """R, half the number of directions, NaN where it is not known."""
        return self.directions / 2 if self.directions > 0 else float("nan")

    @property
    def status(self) -> np.ndarray:
        """Status of every run: the recorded one, or inferred from the norm balance, as for the verdicts."""
        return self._table.status

    @property
    def reason(self) -> np.ndarray:
        """Why a run has its status."""
        return self._table.reason

    @property
    def ok(self) -> np.ndarray:
        """Runs that enter the fits."""
        return self._table.ok

    @property
    def shown(self) -> np.ndarray:
        """Runs that a figure without room for marks shows: the included ones, or all if there are none."""
        return self.ok if self.ok.any() else np.ones(len(self), bool)

    @cached_property
    def entropy_theiler(self) -> np.ndarray | None:
        """Entropy with neighbours in time left out, shape (run,)."""
        sphere = self.get("entropy_sphere_theiler")
        log_radius = self.get("log_radius")
        return None if sphere is None or log_radius is None else sphere + self.directions * log_radius

    @cached_property
    def state(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float] | None:
        """Volume, pressure and temperature of the runs that are judged by them, and R; None where one is not known."""
        table = self._table
        if self.law is None or not self.protocol or table.missing("radius_sq", *self.axes):
            return None
        if StateVariables.missing(table) or self.protocol == "fixed-sphere":
            return None
        found = StateVariables.of(table)
        pressure, volume, gas_constant = found.mechanics(table)
        return (volume, pressure, found.noise_temperature, gas_constant) if len(volume) else None

    @cached_property
    def radius(self) -> np.ndarray | None:
        """Root mean square norm of every run's weights."""
        squared = self.get("radius_sq")
        return None if squared is None else np.sqrt(np.where(squared >= 0, squared, np.nan))

    @cached_property
    def sde_radius(self) -> np.ndarray | None:
        """Radius of the stationary state by the stochastic differential equation, with each run's measured noise.

        For other optimisers than SGD that at which independent gradients balance weight decay, as V1 has it, of the
        runs that it is compared with.
        """
        if self.optimizer != "sgd":
            return self._radius_of_independent_gradients()
        noise = self.get("grad_variance_unit")
        if noise is None or not self.dimension:
            return None
        sigma = np.sqrt(np.where(noise > 0, noise, np.nan) / self.directions)
        known = np.isfinite(sigma) & self.on_grid
        if not known.any() or self.protocol == "fixed-sphere":
            return None
        radius = np.full(len(self), np.nan)
        rate, decay, sigma, d = self.lr[known], self.weight_decay[known], sigma[known], self.dimension
        if self.free:
            radius[known] = FixedLR.radius(eta=rate, lam=decay, sigma=sigma, d=d)
        else:
            radius[known] = FixedELR.radius(eta_eff=rate, lam=decay, sigma=sigma, d=d)
        return radius

    def _radius_of_independent_gradients(self) -> np.ndarray | None:
        if self.law is None or radius_lacks(self._table):
            return None
        chosen, ratio = radius_ratios(self._table)
        radius, runs = np.full(len(self), np.nan), np.flatnonzero(self._table.used)[chosen]
        radius[runs] = np.exp((_log(self.column("radius_sq")[runs]) - _log(ratio)) / 2)
        return radius if len(runs) else None

    def entropy_slopes(self, theiler: bool) -> tuple[Estimate, Estimate] | None:
        """Slopes of the entropy of the included runs in units of R, with or without the Theiler window."""
        values = self.entropy_theiler if theiler else self.get("entropy")
        if values is None or not self.dimension:
            return None
        return slopes(self.lr[self.ok], self.weight_decay[self.ok], values[self.ok] / self.gas_constant)

    @cached_property
    def lags(self) -> np.ndarray | None:
        """Lag of every snapshot's nearest neighbour in snapshots, shape (run, snapshot)."""
        snapshots = self.node("snapshots")
        if snapshots is None or "neighbour_lag" not in snapshots:
            return None
        return snapshots["neighbour_lag"].transpose("run", ...).values.astype(float)

    @cached_property
    def adjacent(self) -> np.ndarray | None:
        """Share of each run's snapshots whose nearest neighbour is the one before or after, shape (run,)."""
        if self.lags is None:
            return None
        known = np.isfinite(self.lags) & (self.lags != 0)
        counted = known.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(counted > 0, ((np.abs(self.lags) == 1) & known).sum(1) / counted, np.nan)

    @cached_property
    def path_entropy(self) -> np.ndarray | None:
        """Whether each run's entropy is that of its path, shape (run,)."""
        values = self.get("path_entropy")
        return None if values is None else values.astype(bool)

    @property
    def neighbours(self) -> bool:
        """Whether the entropies are, or may be, estimates from nearest neighbours."""
        return "symmetric" not in self.entropy_method

    @cached_property
    def entropy_method(self) -> str:
        """How the entropy of the directions was measured, as the results say."""
        attributes = getattr(getattr(self.runs, "tree", None), "attrs", {}) | self.dataset.attrs
        return str(attributes.get("entropy_method", "from the distances of nearest neighbours"))

    def statuses(self) -> dict[str, int]:
        """Count the runs by status, most frequent first."""
        names, counts = np.unique(self.status.astype(str), return_counts=True)
        return {str(names[i]): int(counts[i]) for i in np.argsort(-counts)}

    def grid(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Average over seeds on the grid: its axes, shapes (i,) and (j,), and the table, NaN where no run is."""
        (across, up), on = self.cells, self.on_grid
        lr, weight_decay, (table,) = over_grid(across[on], up[on], [values[on]])
        return lr, weight_decay, table
