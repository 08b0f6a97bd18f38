"""The gas without files: a grid in, labelled results out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from empirics.experiment.registry import nearest
from empirics.experiment.schema import ExperimentError
from empirics.isotropic.experiment import AXES, GasGrid, GasMeasure, GasTable, GasTraining, IsotropicExperiment

if TYPE_CHECKING:
    from empirics.results import Runs

__all__ = ["simulate", "simulate_experiment"]

_TABLES = (GasTable, GasTraining, GasGrid, GasMeasure)


def simulate(
    *,
    dimension: int,
    steps: int,
    burn_in: int = 0,
    protocols: str | Sequence[str] = "fixed-lr",
    seeds: Sequence[int] = (1,),
    name: str = "simulate",
    **options: Any,
) -> Runs:
    """Simulate a grid of runs of the isotropic gas on one core, and measure them.

    Parameters
    ----------
    dimension : int
        Number d of weights, 2 or more.
    steps, burn_in : int
        Measured steps, and steps before them. Snapshots are taken every `spacing` steps, by default so that there are
        1,000 to 10,000 of them.
    protocols : str or list of str
        ``fixed-lr`` (axes lr, weight_decay), ``fixed-elr`` (effective_lr, weight_decay), ``fixed-sphere``
        (effective_lr, radius).
    seeds : list of int
        The grid is run once per seed.
    name : str
        Name of the results.
    **options
        Any other key of an experiment file of kind ``isotropic``: the axes of the grid, ``sigma``, ``optimizer``,
        ``initial_radius``, ``polar``, ...; see :mod:`empirics.isotropic.experiment`.

    Returns
    -------
    Runs
        The same results that :func:`empirics.run` writes, in memory.

    Raises
    ------
    ExperimentError
        For the first key that is unknown, missing or wrong.

    Examples
    --------
    >>> runs = simulate(dimension=20, steps=20_000, burn_in=5_000, lr=[0.02], weight_decay=[0.02])
    >>> data = runs.dataset  # E|g|² = 2 lr⁻¹ weight_decay E r² (1 − lr weight_decay/2): the norm balance
    >>> bool(abs(data["balance"].item() - 1) < 0.02)
    True
    """
    given = {"dimension": dimension, "steps": steps, "burn_in": burn_in, "protocols": protocols, **options}
    experiment = IsotropicExperiment.from_mapping(
        {"name": name, "kind": "isotropic", "seeds": list(seeds), **_tables(_with_snapshots(given))}
    )
    return simulate_experiment(experiment)


def _with_snapshots(given: dict[str, Any]) -> dict[str, Any]:
    """Fill in the number and the spacing of the snapshots where they are not given."""
    steps, count, spacing = given["steps"], given.get("snapshots"), given.get("spacing")
    blocks = given.setdefault("blocks", 20)
    if count is None and spacing is None and isinstance(steps, int) and isinstance(blocks, int):
        spacing = max(1, steps // 10_000)
        while spacing < steps and (steps % spacing or steps // spacing % blocks):
            spacing += 1
    if count is None and spacing:
        count = steps // spacing
    elif spacing is None and count:
        spacing = steps // count
    return given | {"snapshots": count, "spacing": spacing}


def _tables(given: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Sort keys into the tables of an experiment file; refuse a key that no table has."""
    known = {field.name: table.TITLE for table in _TABLES for field in fields(table)}
    tables: dict[str, dict[str, Any]] = {table.TITLE: {} for table in _TABLES}
    for key, value in given.items():
        if key not in known:
            raise ExperimentError(f"unknown key {key}{nearest(key, tuple(known))}")
        is_axis = key in {axis for axes in AXES.values() for axis in axes}
        tables[known[key]][key] = np.atleast_1d(value).tolist() if is_axis and not isinstance(value, dict) else value
    return tables


def simulate_experiment(experiment: IsotropicExperiment) -> Runs:
    """Simulate what an experiment of kind ``isotropic`` describes, without a folder.

    Returns
    -------
    Runs
        The same numbers that :func:`empirics.run` writes.
    """
    from empirics import results
    from empirics.running.kind import at_work

    kind, shards = at_work(experiment), []
    for runs in experiment.cut():
        trainer = kind.trainer(runs, "cpu")
        state = trainer.start()
        while state.step < experiment.times(runs).total:
            trainer.advance(state)
        shards.append(kind.summarise(trainer, state))
    tree = results.label(experiment, kind.dimension(), {}, results.joined(shards), kind.attributes())
    return results.Runs(None, tree, experiment, {})
