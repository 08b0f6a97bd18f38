"""V7, the gas mixture: scale-invariant blocks of a network are gases at one pressure, each at its own temperature."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from empirics.claims.base import Claim, Statement
from empirics.claims.clusters import clusters_of
from empirics.claims.exhibit import Exhibit, Plot, Rows, Series
from empirics.claims.fits import mean_of
from empirics.claims.gas import (
    compressibility,
    directions_constant,
    largest_deviation,
    learning_rate,
    noise_compressibility,
    noise_temperature,
    state_missing,
    whatever_the_loss,
)
from empirics.claims.ground import Ground, ground_of
from empirics.claims.table import FEWEST_RUNS, MOST_LEFT_OUT, Table
from empirics.claims.verdict import Verdict
from empirics.measure.rounding import quotient
from empirics.measure.stationarity import BALANCE_MARGIN

__all__ = ["GasMixture"]

FloatArray = NDArray[np.float64]

LAW = "p V_l = R_l T_l in every block, T_l read off its noise: Z_l over (1 + |grad_l L|^2/tr Cov_l)/(1 - lr·wd/2)"
VOLUMES = "Volumes add: the squared norms of the blocks over that of the whole"
TEMPERATURES = "Equal temperatures: T_l of each block over the mean of the others"

#: What is asked of a row of /components.
NEEDED = ("radius_sq", "grad_mean_sq", "grad_variance", "parameters", "scale_invariant")

DRIVEN = "unequal T_l with coupled blocks is a driven steady state, not an equilibrium"


class GasMixture(Claim):
    """Each scale-invariant block (a filter under BatchNorm, a matrix under LayerNorm) is a gas, all at one pressure.

    Each block l has ``R_l = (d_l - 1)/2`` and, from the noise of its own gradient, ``T_l = lr tr Cov_l/(2 (d_l - 1))``;
    at fixed ELR lr is its mean eta_eff E r^2. With these ``p V_l = R_l T_l`` is the norm balance of the block, up to
    ``|grad_l L|^2`` and ``lr wd/2``, which are taken into account: an identity, true of any stationary run, and a gate.
    So is that the volumes add. Physics is only whether the T_l are equal, as they are in a mixture in equilibrium.

    A block is one whatever else is trained beside it, so runs that are not scale-invariant as a whole are judged too,
    if they are stationary by the balance with the remainder; the remainder's own tensors have a volume and no T.

    Each form is judged on the block with the largest deviation, with an interval that is simultaneous over all blocks.
    Where a block has fewer free directions than ``d_l - 1`` (LayerNorm: one row less) its T_l is too low by their
    ratio. Numbers of blocks come from the snapshots; a block that lacks one in more than a tenth of the runs (a dead
    filter) is left out, and a note says so.
    """

    name = "V7"
    title = "Gas mixture by block"
    protocols = ("fixed-lr", "fixed-elr")
    statements = (
        Statement(
            words="The network is a mixture of gases: every block that is scale-invariant by itself (a filter, a "
            "matrix) has a volume and a temperature of its own at a common pressure. In a stationary run the norm "
            "balance holds for each block, which is p V_l = R_l T_l up to its mean gradient.",
            derivations=("compressibility",),
        ),
        Statement("identity", "The volumes of the blocks add up to that of the network."),
        Statement(
            words="All blocks have the same temperature, as gases in equilibrium do.",
            derivations=("driven-steady-state", "gas-mixture"),
        ),
    )

    #: A ratio within 5 % counts as equal, of temperatures and in the law: noise at the snapshots scatters more than the
    #: norm balance of all steps. Volumes add as exactly as the norms are in balance.
    margin = 0.05
    volume_margin = BALANCE_MARGIN

    def verdicts(self, table: Table) -> list[Verdict]:
        """Judge the law, the volumes and the temperatures."""
        table = whatever_the_loss(table)
        equal = ground_of(table, "driven-steady-state")
        if missing := _Parts.missing(table):
            return [self.not_measured(table, TEMPERATURES, equal, 1.0, missing)]
        parts = _Parts.of(table)
        if parts.temperature.shape[1] < 2:
            why = "needs a second scale-invariant block: there is nothing to mix"
            return [replace(self.not_measured(table, TEMPERATURES, equal, 1.0, []), reason=why)]
        return [self._law(table, parts), self._volumes(table, parts), self._temperatures(table, parts)]

    def _law(self, table: Table, parts: _Parts) -> Verdict:
        ratio = parts.factor / parts.expected
        estimate, part = largest_deviation(ratio, 1.0, self.margin, clusters_of(table))
        details: dict[str, object] = {"part": parts.names[part], "by part": parts.by_part(ratio)}
        law = ground_of(table, "compressibility")
        verdict = self.verdict(table, LAW, law, 1.0, self.margin, estimate, details=details, gated=False)
        return replace(verdict, reason=f"largest deviation in {_in_words(parts.names[part])}: {verdict.reason}")

    def _volumes(self, table: Table, parts: _Parts) -> Verdict:
        ratio = quotient(parts.whole, table.values("radius_sq"))
        law = Ground("identity", source="a squared norm is the sum of those of the blocks")
        return self.verdict(
            table, VOLUMES, law, 1.0, self.volume_margin, mean_of(ratio, clusters_of(table)), gated=False
        )

    def _temperatures(self, table: Table, parts: _Parts) -> Verdict:
        ratio = parts.against_the_others()
        estimate, part = largest_deviation(ratio, 1.0, self.margin, clusters_of(table))
        details: dict[str, object] = {"part": parts.names[part], "by part": parts.by_part(ratio)}
        equal = ground_of(table, "driven-steady-state")
        verdict = self.verdict(table, TEMPERATURES, equal, 1.0, self.margin, estimate, details=details)
        if verdict.verdict == "refused":
            return verdict
        reason = f"largest deviation in {_in_words(parts.names[part])}: {verdict.reason}"
        return replace(verdict, reason=f"{reason}; {DRIVEN}" if verdict.verdict == "disagrees" else reason)

    def exhibits(self, table: Table) -> Sequence[Exhibit]:
        """Temperatures of the blocks over their mean, and every block in numbers."""
        table = whatever_the_loss(table)
        if _Parts.missing(table) or not table.used.any():
            return ()
        parts = _Parts.of(table)
        return (_plot(parts, self.margin), _rows(parts)) if parts.temperature.shape[1] > 1 else ()

    def notes(self, table: Table) -> list[str]:
        """Give the spread of the temperatures, the directions, and the law without what makes it an identity."""
        table = whatever_the_loss(table)
        if _Parts.missing(table) or not table.used.any():
            return []
        parts = _Parts.of(table)
        count = parts.temperature.shape[1]
        if count < 2:
            return []
        heat = parts.by_part(parts.relative_temperature)
        # One sphere of as many weights: derivation "gas-mixture", R_1 + R_2 = R - 1/2.
        one = float(directions_constant(parts.weights.sum()))
        hot, cold = max(heat, key=heat.__getitem__), min(heat, key=heat.__getitem__)
        notes = [
            f"mixture of {count} blocks: T_l over their mean ranges from {heat[cold]:.3g} ({cold}) to "
            f"{heat[hot]:.3g} ({hot}), standard deviation {np.std(list(heat.values())):.2g}; {DRIVEN}",
            f"mixture: the sum of R_l is {parts.constant.sum():.6g}; one sphere with as many weights has (d − 1)/2 = "
            f"{one:.6g}",
            f"mixture: p V_l/(R_l T_l) ranges from {np.nanmin(parts.factor):.3g} to {np.nanmax(parts.factor):.3g}; in "
            "a stationary run it differs from 1 because of the mean gradient and lr·wd/2",
        ]
        return notes + ([f"mixture: {parts.left_out}"] if parts.left_out else [])


@dataclass(frozen=True)
class _Parts:
    """The scale-invariant parts of the runs used; arrays of shape (runs, parts) unless said otherwise.

    Attributes
    ----------
    names : tuple of str
        Of the parts.
    weights, constant : numpy.ndarray, shape (parts,)
        d_l and R_l.
    temperature, factor, expected : numpy.ndarray
        T_l, Z_l = p V_l/(R_l T_l), and what Z_l is in every stationary run. NaN where a part has no noise.
    whole : numpy.ndarray, shape (runs,)
        Squared norms of all parts added up, those that are not scale-invariant among them.
    left_out : str
        Which parts were, and why; empty if none.
    """

    names: tuple[str, ...]
    weights: FloatArray
    constant: FloatArray
    temperature: FloatArray
    factor: FloatArray
    expected: FloatArray
    whole: FloatArray
    left_out: str

    @classmethod
    def missing(cls, table: Table) -> list[str]:
        """What the parts cannot do without and is not there."""
        group = table.group("components")
        if group is None:
            return ["group components (the scale-invariant blocks of the network)"]
        lacking = [f"components/{name}" for name in NEEDED if name not in group.variables]
        return lacking + state_missing(table)

    @classmethod
    def of(cls, table: Table) -> _Parts:
        """Work them out."""
        group = table.group("components")
        assert group is not None, "missing() comes first"
        columns = {name: np.asarray(group[name].values)[table.used] for name in NEEDED}
        lr, decay = learning_rate(table)[:, None], table.values("weight_decay")[:, None]
        # A part of one weight has no direction to go.
        weights = np.asarray(np.atleast_2d(group["parameters"].values)[0], dtype=float)
        round_ = np.atleast_2d(group["scale_invariant"].values)[0].astype(bool) & (weights > 1)
        squared, slopes, noise = (columns[name].astype(float) for name in NEEDED[:3])
        alive = np.isfinite(squared) & np.isfinite(slopes) & (squared > 0) & (noise > 0)
        kept = round_ & (alive.sum(axis=0) >= max((1 - MOST_LEFT_OUT) * len(alive), min(FEWEST_RUNS, len(alive))))
        names = _names(table, len(weights))
        dead = [names[i] for i in np.flatnonzero(round_ & ~kept)]
        left_out = f"left out, without gradient noise in too many runs: {_few(dead)}" if dead else ""
        whole, good = squared.sum(axis=1), alive[:, kept]
        squared, slopes, noise = (np.where(good, values[:, kept], np.nan) for values in (squared, slopes, noise))
        constant = directions_constant(weights[kept])
        heat, expected = np.full_like(noise, np.nan), np.full_like(noise, np.nan)
        rates, decays, counts = (np.broadcast_to(z, noise.shape) for z in (lr, decay, weights[kept]))
        heat[good] = noise_temperature(rates[good], squared[good], noise[good], counts[good])
        expected[good] = noise_compressibility(slopes[good], noise[good], rates[good], decays[good])
        factor = compressibility(decays, squared / 2, np.broadcast_to(constant, noise.shape), heat)
        chosen = tuple(names[i] for i in np.flatnonzero(kept))
        return cls(chosen, weights[kept], constant, heat, factor, expected, whole, left_out)

    @property
    def relative_temperature(self) -> FloatArray:
        """T_l over the mean of all parts by their directions: that of p V = sum of R_l T_l."""
        there = np.isfinite(self.temperature)
        mean = quotient(np.nansum(self.constant * self.temperature, axis=1), (there * self.constant).sum(axis=1))
        return quotient(self.temperature, mean[:, None])

    def against_the_others(self) -> FloatArray:
        """T_l over the mean of the others: of two parts of which one is hotter by a tenth, neither is near the mean."""
        there = np.isfinite(self.temperature)
        weight = there * self.constant
        heat = np.where(there, self.constant * self.temperature, 0.0)
        heat_of_all, weight_of_all = heat.sum(axis=1, keepdims=True), weight.sum(axis=1, keepdims=True)
        others = quotient(heat_of_all - heat, weight_of_all - weight, weight_of_all)
        return quotient(self.temperature, others)

    def by_part(self, values: FloatArray) -> dict[str, float]:
        """Mean over runs of each part."""
        means = np.nanmean(values, axis=0) if len(values) else np.full(len(self.names), np.nan)
        return dict(zip(self.names, means.tolist(), strict=True))


def _plot(parts: _Parts, margin: float) -> Plot:
    """Temperature of each part over the mean of all, the mean over runs with the middle nine tenths of them."""
    heat = parts.relative_temperature
    middle, (low, high) = np.nanmean(heat, axis=0), np.nanquantile(heat, [0.05, 0.95], axis=0)
    order = np.argsort(middle)
    rank = np.arange(1, len(order) + 1.0)
    cold, hot = parts.names[order[0]], parts.names[order[-1]]
    equal = int((np.abs(np.nanmean(parts.against_the_others(), axis=0) - 1) <= margin).sum())
    series = (
        Series("mean over runs", rank, middle[order]),
        Series("5 % quantile", rank, low[order], line=True),
        Series("95 % quantile", rank, high[order], line=True),
    )
    return Plot(
        "temperatures",
        "Temperature of every block",
        f"Relative to the mean of all blocks, temperatures range from {middle[order[0]]:.3g} ({cold}) to "
        f"{middle[order[-1]]:.3g} ({hot}); {equal} of {len(order)} blocks are within {margin:.0%} of the mean of the "
        "others.",
        "T_l, read off the noise of the block's own gradient, over the mean of all blocks weighted by their numbers of "
        "directions. The lines are quantiles over runs. In equilibrium all blocks are at 1. The table below has their "
        "names.",
        "block, by increasing temperature",
        "T_l over the mean",
        series,
        logarithmic=(False, False),
        level=1.0,
        margin=margin,
    )


def _rows(parts: _Parts) -> Rows:
    """Every part in numbers, means over runs."""
    heat = parts.by_part(parts.relative_temperature)
    factor, law = parts.by_part(parts.factor), parts.by_part(parts.factor / parts.expected)
    return Rows(
        "parts",
        "Every block, means over runs",
        ("block", "weights", "R_l", "T_l over the mean", "p V_l/(R_l T_l)", "over its value in any stationary run"),
        tuple(
            (name, float(weights), float(constant), heat[name], factor[name], law[name])
            for name, weights, constant in zip(parts.names, parts.weights, parts.constant, strict=True)
        ),
    )


def _names(table: Table, count: int) -> list[str]:
    """Names of the parts, their numbers where they have none; no two the same."""
    group = table.group("components")
    if group is None or "component_name" not in group.variables:
        return [f"block {i}" for i in range(count)]
    names = [str(name) for name in np.atleast_2d(group["component_name"].values)[0]]
    return [name if names.count(name) == 1 else f"{name} #{i}" for i, name in enumerate(names)]


def _in_words(name: str) -> str:
    """Name of a block in a sentence.

    >>> _in_words("layer 2[15]"), _in_words("head")
    ('layer 2, filter 15', 'head')
    """
    return re.sub(r"\[(\d+)\]$", r", filter \1", name)


def _few(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
