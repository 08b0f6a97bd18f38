"""V2, the potential: each stationary state minimises its own F or G among all the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import clusters_of
from empirics.claims.coordinates import EVERY_OPTIMIZER
from empirics.claims.curves import Curves, Statistic, estimates, too_narrow
from empirics.claims.everywhere import in_parts, over_plane
from empirics.claims.exhibit import Exhibit
from empirics.claims.fits import Estimate, no_estimate
from empirics.claims.ground import ground_of
from empirics.claims.minima import exhibits_of, on_sphere, without
from empirics.claims.protocol import known
from empirics.claims.state import StateVariables, uncalibrated_noted, unmixed
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict
from empirics.measure.rounding import quotient

__all__ = ["MinimalPotential"]

FloatArray = NDArray[np.float64]

DIRECTIONS = "Minimum of the free energy U − TS: offset from the run's own temperature, in log T"
RADIUS = "Minimum of pV − T(d−1) log r: offset from the run's own volume, in log V"

#: Temperatures in this share at each end of the range are not judged: their minimum may lie beyond it.
ENDS = 0.1
#: Points at which a potential is looked at, per run's temperature.
POINTS = 400


class MinimalPotential(Claim):
    """``U_k - T_i S_k + p_i V_k`` over all runs k is lowest at k = i, for every run i.

    It falls into a part of the directions, ``U - T S_sphere``, and one of the radius, ``p V - T (d-1) log r``, because
    ``S = S_sphere + (d-1) log r``; on the sphere, where V is held, there is only the first (F in place of G). The first
    tests the Gibbs law. The second is lowest at ``p V = R T``, the norm balance once more, so it is an identity if the
    mean gradient counts with the noise in T. Under other optimisers it is lowest at the ``p V = R T`` of their own
    coordinates, and physics: their law is that of pure, uncorrelated noise. Each is judged by how far its minimum lies
    from the run's own state, in log T or log V, averaged over runs, in log T with the sharpness of the minimum (C_V) as
    weights: where the loss no longer rises with T there is no minimum. The rank, which the scatter of S makes blunt, is
    reported beside it.
    """

    name = "V2"
    title = "Free-energy minimum"
    protocols = ("fixed-sphere", "fixed-elr", "fixed-lr")
    optimizers = EVERY_OPTIMIZER
    takes = ("temperature",)
    statements = (
        Statement(
            words="Each stationary state minimises its own free energy among all the others: at the run's own "
            "temperature its mean loss minus temperature times entropy is lower than that of runs at higher and at "
            "lower temperature. The number is the offset of the minimum from the run itself, in log T.",
            derivations=("potential",),
        ),
        Statement(
            words="Of all norms, the run's own minimises the rest of the free energy, weight decay times r²/2 minus "
            "temperature times (d − 1) log r. If the temperature includes everything that makes the norm grow, this "
            "is the norm balance again.",
            derivations=("regularised-loss", "virial-theorem"),
        ),
        Statement(
            words="Each stationary state minimises its own free energy among all the others, in two parts. At the "
            "run's own temperature its mean loss minus temperature times entropy is lower than that of runs at higher "
            "and at lower temperature; the number is the offset of the minimum from the run itself, in log T. And at "
            "the run's own norm pressure times volume, in the coordinates of its optimiser, is R T.",
            derivations=("temperature", "ideal-gas-law"),
            protocols=("fixed-lr",),
            optimizers=EVERY_OPTIMIZER[1:],
        ),
    )

    #: A shift of the minimum by 5 % of T, or of V, counts as none.
    margin = 0.05

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the two parts."""
        found = [self._directions(table)]
        return found if on_sphere(table) else [*found, self._radius(table)]

    def _directions(self, table: Table) -> Verdict:
        law = ground_of(table, "potential" if table.optimizer == "sgd" else "temperature")
        if missing := [*table.missing("loss", "entropy_sphere"), *StateVariables.missing(table)]:
            return self.not_measured(table, DIRECTIONS, law, 0.0, missing)
        state = StateVariables.of(table)
        estimate, details = _shift(state, table)
        refused = unmixed(table)
        row = self.verdict(table, DIRECTIONS, law, 0.0, self.margin, estimate, details=details, refused=refused)
        return uncalibrated_noted(table, row)

    def _radius(self, table: Table) -> Verdict:
        # For SGD, with all that makes the norm grow in T, p V = R T is the virial theorem, up to lr wd/2.
        law = ground_of(table, "virial-theorem" if table.optimizer == "sgd" else "ideal-gas-law")
        if missing := [*table.missing("weight_decay", "radius_sq"), *StateVariables.missing(table)]:
            return self.not_measured(table, RADIUS, law, 0.0, missing)
        state = StateVariables.of(table)
        pressure, volume, gas_constant = state.mechanics(table)
        best = gas_constant * _heat_of_growth(table, state) / pressure
        ratio = best / volume
        shift = np.log(ratio, out=np.full(len(ratio), np.nan), where=ratio > 0)
        return self.verdict(table, RADIUS, law, 0.0, self.margin, over_plane(table, shift, state.within))

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Maps of the minimum of every state's potential, and of the excess of its own value."""
        return () if without(table) or not StateVariables.of(table).within.any() else exhibits_of(table)

    def notes(self, table: Table) -> list[str]:
        """Give the ranks of the runs' own states in their potentials."""
        if without(table) or not table.used.any():
            return []
        state = StateVariables.of(table)
        if len(state.temperature) < 2:
            return []
        ranks = _ranks(table, state)
        potential = "F" if on_sphere(table) else "G"
        return [
            f"each run's own state ranked by {potential} among {len(ranks)} states (0 = lowest): "
            f"{int((ranks == 0).sum())} runs rank 0, median {int(np.median(ranks))}, worst {int(ranks.max())} (states "
            "at equal temperature differ by scatter alone)"
        ]


def _heat_of_growth(table: Table, state: StateVariables) -> FloatArray:
    """Temperature of all that makes the norm grow: the noise, and for SGD the mean gradient if it was measured.

    What a mean gradient adds under other optimisers depends on how gradients go with those before.
    """
    if table.optimizer != "sgd":
        return state.noise_temperature
    if known(table.data, "grad_mean_sq_unit") and not table.missing("grad_mean_sq_unit", "grad_variance_unit"):
        share = quotient(state.values(table, "grad_mean_sq_unit"), state.values(table, "grad_variance_unit"))
    elif not table.missing("grad_sq", "grad_variance"):
        share = quotient(state.values(table, "grad_sq"), state.values(table, "grad_variance")) - 1
    else:
        return state.temperature
    return np.asarray(state.noise_temperature * (1 + share))


def _shift(state: StateVariables, table: Table) -> tuple[Estimate, dict[str, Any]]:
    """Mean over runs of the shift of the minimum in log T, and what it depends on."""
    if why := table.unvarying("loss", "entropy_sphere", "entropy", among=state.within):
        return no_estimate(why), {}
    heat, loss, entropy = state.temperature, state.values(table, "loss"), state.entropy(table)
    if why := too_narrow(heat, state.along):
        return no_estimate(why), {}
    log_t = np.log(heat)
    low, high = log_t.min(), log_t.max()
    edge = ENDS * (high - low)
    own = log_t[(log_t > low + edge) & (log_t < high - edge)]
    if not len(own):
        return no_estimate("no run has a temperature well inside the range of the others"), {}
    at = np.linspace(low, high, POINTS)

    weights = _depths(Curves.over(heat, state.along), loss, own)

    def shifts(curves: Curves, chosen: NDArray[np.intp], entropy: FloatArray = entropy) -> FloatArray:
        energy, _ = curves.energy(loss, chosen, at)
        values = energy[:, None] - np.exp(own) * curves.smooth(entropy, chosen, at)[:, None]
        return _lowest(at, values) - own

    # The mean, and the ends of a straight line through the shifts: what they are at the coldest and hottest run judged.
    apart = own - weights @ own
    spread = float(weights @ apart**2)
    slope = weights * apart / (spread or 1.0)
    lines = np.stack([weights, weights + apart.min() * slope, weights + apart.max() * slope])

    def build(curves: Curves) -> Statistic:
        return lambda chosen: lines @ shifts(curves, chosen)

    def shifted(curves: Curves) -> Statistic:
        return lambda chosen: lines @ shifts(curves, chosen, state.entropy(table, tilt=1.0))

    together = clusters_of(table, state.within)
    found, *ends = estimates(build, heat, state.along, clusters=together, shifted=shifted)
    estimate = in_parts(found, ends) if spread > 0 else found
    each = shifts(Curves.over(heat, state.along), np.arange(len(heat)))
    cold = own <= np.median(own)
    return estimate, {
        "shift in the colder half": float(each[cold].mean()),
        "shift in the hotter half": float(each[~cold].mean()) if (~cold).any() else np.nan,
        "runs judged": len(own),
    }


def _depths(curves: Curves, loss: FloatArray, own: FloatArray) -> FloatArray:
    """How sharply each run's potential rises about its minimum, as weights: C_V, in proportion."""
    _, slope = curves.energy(loss, np.arange(len(loss)), own)
    depths = np.maximum(slope / np.exp(own), 0.0)
    return np.asarray(depths / depths.sum()) if depths.any() else np.full(len(own), 1 / len(own))


def _lowest(at: FloatArray, values: FloatArray) -> FloatArray:
    """The minimum of each column, by the parabola through the lowest of equally spaced points and its neighbours."""
    lowest = np.clip(values.argmin(axis=0), 1, len(at) - 2)
    before, here, after = (np.take_along_axis(values, lowest[None] + k, axis=0)[0] for k in (-1, 0, 1))
    bend = before - 2 * here + after
    moved = np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=bend > 0)
    return np.asarray(at[lowest] + np.clip(moved, -1, 1) * (at[1] - at[0]))


def _ranks(table: Table, state: StateVariables) -> NDArray[np.intp]:
    """How many other runs have a lower value in each run's own potential."""
    heat, d = state.temperature, table.dimension
    values = state.values(table, "loss")[None] - heat[:, None] * state.entropy(table)[None]
    if not on_sphere(table):
        pressure, volume, _ = state.mechanics(table)
        values = values + pressure[:, None] * volume[None]
        values = values - heat[:, None] * (d - 1) * state.values(table, "log_radius")[None]
    return np.asarray((values < np.diag(values)[:, None]).sum(axis=1))
