"""Claims: theory from `thermo_theory`, measurement from the runs, and a verdict with an interval.

One file a claim; `compare` judges them all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import xarray as xr

from empirics.claims.adiabat import Adiabat
from empirics.claims.base import Claim, Statement
from empirics.claims.fluctuations import HeatCapacity
from empirics.claims.maxwell import MaxwellRelation
from empirics.claims.potential import MinimalPotential
from empirics.claims.protocol import check_knobs
from empirics.claims.radius import RadiusLaw
from empirics.claims.table import Table
from empirics.claims.thermometer import ConfigurationalTemperature
from empirics.claims.trajectory import RadiusTrajectory
from empirics.claims.verdict import COLUMNS, Verdict, Verdicts, judge

__all__ = [
    "CLAIMS",
    "COLUMNS",
    "Claim",
    "Statement",
    "Table",
    "Verdict",
    "Verdicts",
    "claims",
    "compare",
    "judge",
    "judged",
]

#: Every claim, in the order of the validation suite.
CLAIMS: tuple[Claim, ...] = (
    RadiusTrajectory(),
    RadiusLaw(),
    MinimalPotential(),
    MaxwellRelation(),
    Adiabat(),
    HeatCapacity(),
    ConfigurationalTemperature(),
)


def claims() -> dict[str, Claim]:
    """Return every claim by its name.

    Examples
    --------
    >>> claims()["V3"].title
    'Maxwell relation'
    """
    return {claim.name: claim for claim in CLAIMS}


def compare(runs: Any) -> Verdicts:
    """Compare runs with what is derived, claim by claim.

    Parameters
    ----------
    runs : Runs or xarray.Dataset
        What `empirics.run`, `empirics.load` or `empirics.read_runs` returned, or its summary. Runs of several protocols
        or optimisers are judged apart.

    Returns
    -------
    Verdicts
        A row for each form of each claim that belongs to the runs' protocol and optimiser; a note where none does.

    Raises
    ------
    ValueError
        If the summary has no runs, does not say its protocol or dimension, or has a learning rate or weight decay that
        is not positive.
    """
    data = getattr(runs, "dataset", runs)
    _check(data)
    rows, notes = [], []
    groups = _groups(data)
    for (protocol, optimizer, chosen), (table, fitting) in zip(groups, judged(runs), strict=True):
        if not fitting:
            notes.append(f"no claim is judged on the {len(chosen)} runs by {optimizer} at {protocol}")
        rows += [verdict for claim in fitting for verdict in claim.verdicts(table)]
        said = filter(None, [table.left_out(), *(note for claim in fitting for note in claim.notes(table))])
        notes += [f"{protocol}: {note}" if len(groups) > 1 else note for note in said]
    return Verdicts(rows, notes, runs)


def judged(runs: Any) -> Iterator[tuple[Table, list[Claim]]]:
    """Runs of each protocol and optimiser apart, with the claims that are judged on them.

    Parameters
    ----------
    runs : Runs or xarray.Dataset
        As `compare` takes them.

    Yields
    ------
    table : Table
        The runs of one protocol and optimiser.
    fitting : list of Claim
        The claims that are stated for both.
    """
    data = getattr(runs, "dataset", runs)
    for protocol, optimizer, chosen in _groups(data):
        group = data.isel(run=chosen).assign_attrs(protocol=protocol)
        check_knobs(group, protocol, chosen)
        fitting = [one for one in claims().values() if protocol in one.protocols and optimizer in one.optimizers]
        yield Table.of(group, _trace(runs, chosen)), fitting


def _trace(runs: Any, chosen: list[int]) -> xr.Dataset | None:
    """Return the runs over their steps, None where that was not kept."""
    tree = getattr(runs, "tree", None)
    if tree is None or "trace" not in tree.children:
        return None
    return tree["trace"].to_dataset().isel(run=chosen)


def _check(data: xr.Dataset) -> None:
    """Refuse a summary that cannot be judged at all."""
    if not data.sizes.get("run"):
        raise ValueError("there are no runs to compare: the summary has no dimension 'run'")
    if "dimension" not in data.attrs:
        raise ValueError("the summary does not say its dimension (attribute 'dimension', the number of weights d)")
    if "protocol" not in data.variables:
        raise ValueError("the summary does not say its protocol (coordinate 'protocol', such as 'fixed-lr')")


def _groups(data: xr.Dataset) -> list[tuple[str, str, list[int]]]:
    """Protocol, optimiser and numbers of the runs that share them, in the order of the table."""
    protocols = np.broadcast_to(data["protocol"].values, data.sizes["run"]).astype(str)
    optimizers = data["optimizer"].values if "optimizer" in data.variables else "sgd"
    found: dict[tuple[str, str], list[int]] = {}
    for i, key in enumerate(zip(protocols, np.broadcast_to(optimizers, len(protocols)).astype(str), strict=True)):
        found.setdefault((str(key[0]), str(key[1])), []).append(i)
    return [(*key, members) for key, members in found.items()]
