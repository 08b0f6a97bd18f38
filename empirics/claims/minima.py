"""The minimum of ``U - T S + p V`` of each run among the states of all the others, and the excess of its own value.

Each state (i, j) of the grid has a temperature and a pressure of its own; with them held, the potential is evaluated at
the mean loss, entropy and volume of every other state (k, l). It is the sum of a term of the directions,
``U - T S_sphere``, and one of the radius, ``p V - T (d - 1) log r``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from empirics.claims.exhibit import Map, Rows, over_grid
from empirics.claims.state import StateVariables
from empirics.claims.table import Table

__all__ = ["Least", "Minima", "exhibits_of", "minima", "on_sphere", "without"]

FloatArray = NDArray[np.float64]

#: A minimum within this share of a state's own temperature or volume is said to be at it, as V2 judges.
NEAR = 0.05

#: What p, V and R are under other optimisers than SGD.
_ELSEWHERE = ", with p, V and R as the optimiser's equation of state has them. "

#: What is set across and up the grid, by protocol: name in the table, in words.
AXES = {
    "fixed-lr": (("lr", "learning rate"), ("weight_decay", "weight decay")),
    "fixed-elr": (("effective_lr", "effective learning rate"), ("weight_decay", "weight decay")),
    "fixed-sphere": (("effective_lr", "effective learning rate"), ("radius", "radius")),
}


@dataclass(frozen=True)
class Least:
    """The minimum of a potential, or of a term of it."""

    to: NDArray[np.intp]  # shape (j, i, 2); row and column of the state that minimises it, -1 where there is no run
    missed: FloatArray  # shape (j, i); excess of the state's own value over the minimum, in units of R T

    @property
    def own(self) -> int:
        """Number of states that are the minimum themselves."""
        return int((self.missed == 0).sum())


@dataclass(frozen=True)
class Minima:
    """The minima for every state of a grid."""

    columns: FloatArray  # shape (i,); what is set
    rows: FloatArray  # shape (j,); what is set
    log_temperature: FloatArray  # shape (j, i)
    log_volume: FloatArray  # shape (j, i); NaN where the volume was not measured
    whole: Least  # of G, on a sphere of F
    directions: Least  # of ``U - T S_sphere``
    radius: Least | None  # of ``p V - T (d - 1) log r``; None on a sphere, where V is held

    def shift(self, least: Least, log: FloatArray) -> FloatArray:
        """How far, in a logarithm of each state, its minimum lies from itself; shape (j, i)."""
        there = least.to[..., 0] >= 0
        shifts = np.full(log.shape, np.nan)
        shifts[there] = log[least.to[there][:, 0], least.to[there][:, 1]] - log[there]
        return shifts


def on_sphere(table: Table) -> bool:
    """Whether the norm is held, so that F is minimised in place of G."""
    return table.protocol == "fixed-sphere"


def without(table: Table) -> list[str]:
    """Name what is not there and the minima need."""
    names = ["loss", "entropy_sphere", *([] if on_sphere(table) else ["weight_decay", "radius_sq", "log_radius"])]
    return [*table.missing(*names), *StateVariables.missing(table)]


def minima(table: Table) -> Minima:
    """Find the minima for every state of the grid; runs with the same settings are averaged.

    The table must have all that `without` asks for; of its runs those count whose steps are small enough to have a
    temperature (`empirics.claims.state`).
    """
    state, sphere = StateVariables.of(table), on_sphere(table)
    (across, _), (up, _) = AXES[table.protocol]
    # Worked out from lr and radius, equal rates may differ in their last digits.
    rate = _rounded(state.eta_eff) if across == "effective_lr" else state.values(table, across)
    measured = [np.log(state.temperature), state.values(table, "loss"), state.entropy(table)]
    gas_constant = (table.dimension - 1) / 2
    if not sphere:
        pressure, volume, gas_constant = state.mechanics(table)
        measured += [pressure, volume, state.values(table, "log_radius")]
    columns, rows, means = over_grid(rate, state.values(table, up), measured)
    log_temperature, loss, entropy = means[:3]
    heat = np.exp(log_temperature)
    directions = _potential(loss, entropy, heat)
    log_volume, radius = np.full(heat.shape, np.nan), None
    if not sphere:
        pressure, volume, log_radius = means[3:]
        log_volume = np.log(volume)
        radius = pressure.reshape(-1, 1) * volume.reshape(1, -1)
        radius -= heat.reshape(-1, 1) * (table.dimension - 1) * log_radius.reshape(1, -1)
    unit = gas_constant * heat
    return Minima(
        columns,
        rows,
        log_temperature,
        log_volume,
        _least(directions if radius is None else directions + radius, unit),
        _least(directions, unit),
        None if radius is None else _least(radius, unit),
    )


def _rounded(values: FloatArray) -> FloatArray:
    return np.array([float(f"{one:.12g}") for one in values])


def _potential(energy: FloatArray, entropy: FloatArray, heat: FloatArray) -> FloatArray:
    """``U_k - T_i S_k``, shape (states i, states k)."""
    return np.asarray(energy.reshape(1, -1) - heat.reshape(-1, 1) * entropy.reshape(1, -1))


def _least(values: FloatArray, unit: FloatArray) -> Least:
    """Minimum over k of each row; states without a run are neither minimised nor a minimum."""
    shape, own = unit.shape, np.diag(values)
    there = np.isfinite(own)
    to, missed = np.full((*shape, 2), -1), np.full(shape, np.nan)
    if there.any():
        lowest = np.where(np.isfinite(values), values, np.inf)[there].argmin(axis=1)
        cells = there.reshape(shape)
        to[cells] = np.c_[np.unravel_index(lowest, shape)]
        missed[cells] = (own[there] - values[there, lowest]) / unit[cells]
    return Least(to, missed)


def exhibits_of(table: Table) -> tuple[Map | Rows, ...]:
    """Maps of the minima over the grid, whole and in parts, and the table behind them."""
    found, potential = minima(table), "F" if on_sphere(table) else "G"
    if np.isfinite(found.log_temperature).sum() < 2:
        return ()
    formula = "U − T S" if on_sphere(table) else "U − T S + p V"
    maps = [
        _map(
            table,
            found,
            "minimum",
            f"Minimum of {potential}",
            found.whole.missed,
            f"{formula} of each state among all of them, at the state's own T{'' if on_sphere(table) else ' and p'}. "
            "An arrow points from a state to the minimum of its potential; one without an arrow is its own minimum. "
            "The colour is the excess of its own value over the minimum, in units of R T.",
            f"{potential} above its minimum, R T",
            found.whole,
        )
    ]
    maps.append(
        _map(
            table,
            found,
            "directions",
            "Term of the directions, U − T S of the sphere",
            found.shift(found.directions, found.log_temperature),
            "Offset of the minimum of U − T S_sphere from the state's own temperature, in log T: negative where a "
            "state at lower temperature is the minimum. This term tests the Gibbs law. States that share a temperature "
            "differ by scatter.",
            "shift of the minimum, log T",
            found.directions,
        )
    )
    if found.radius is not None:
        maps.append(
            _map(
                table,
                found,
                "volume",
                "Term of the radius, p V − T (d − 1) log r",
                found.shift(found.radius, found.log_volume),
                "Offset of the minimum of p V − T (d − 1) log r from the state's own volume, in log V. The minimum is "
                "at p V = R T"
                + (": the norm balance again, so no evidence. " if table.optimizer == "sgd" else _ELSEWHERE)
                + "The contribution of the mean gradient to the growth of the norm shows here.",
                "shift of the minimum, log V",
                found.radius,
            )
        )
    return (*maps, _rows(table, found))


def _map(
    table: Table, found: Minima, name: str, title: str, values: FloatArray, caption: str, unit: str, least: Least
) -> Map:
    (_, across), (_, up) = AXES[table.protocol]
    states, worst = int(np.isfinite(least.missed).sum()), float(np.nanmax(least.missed))
    missed = f"{worst:.2g} R T at most (median {float(np.nanmedian(least.missed)):.2g})"
    if values is least.missed:
        message = f"{least.own} of {states} states are their own minimum; the excess over it is {missed}."
    else:
        near, what = int((np.abs(values) <= NEAR).sum()), unit.rsplit("log ", maxsplit=1)[-1]
        message = f"The minimum lies within {NEAR:.0%} of the state's own {what} in {near} of {states} states, and is "
        message += f"shifted by up to {float(np.nanmax(np.abs(values))):.2g} in log {what}; the excess is {missed}."
    return Map(
        name,
        title,
        message,
        caption,
        across,
        up,
        found.columns,
        found.rows,
        values,
        unit,
        least.to if values is least.missed else None,
    )


def _rows(table: Table, found: Minima) -> Rows:
    """Every state with its minimum."""
    (across, _), (up, _) = AXES[table.protocol]
    short = {"lr": "lr", "effective_lr": "effective learning rate", "weight_decay": "wd", "radius": "radius"}
    head = [short[across], short[up], f"minimum at {short[across]}", f"minimum at {short[up]}", "excess (R T)"]
    head += ["directions: shift in log T", "excess (R T)"]
    columns = [found.shift(found.directions, found.log_temperature), found.directions.missed]
    if found.radius is not None:
        head += ["radius: shift in log V", "excess (R T)"]
        columns += [found.shift(found.radius, found.log_volume), found.radius.missed]
    rows = []
    for j, i in np.argwhere(found.whole.to[..., 0] >= 0):
        row, column = found.whole.to[j, i]
        place = (found.columns[i], found.rows[j], found.columns[column], found.rows[row], found.whole.missed[j, i])
        rows.append(tuple(float(one) for one in (*place, *(values[j, i] for values in columns))))
    return Rows("minima", "Every state and its minimum", tuple(head), tuple(rows))
