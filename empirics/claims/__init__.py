"""Claims: theory from `thermo_theory`, measurement from the runs, and a verdict with an interval.

One file per claim; `compare` judges them all.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from empirics.claims.base import Claim, Statement
from empirics.claims.coordinates import with_momentum
from empirics.claims.diagnosis import suspicions
from empirics.claims.fits import Estimate, fit, mean_of
from empirics.claims.guard import ClaimWarning, judged
from empirics.claims.implicit import explained
from empirics.claims.own import ClaimError, Claims, claim, together
from empirics.claims.protocol import KNOBS, check_knobs
from empirics.claims.registered import changes
from empirics.claims.suite import CLAIMS
from empirics.claims.table import Table
from empirics.claims.verdict import Verdict, judge
from empirics.claims.verdicts import COLUMNS, Verdicts, survivors
from thermo_theory.protocols import OPTIMIZERS

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "CLAIMS",
    "COLUMNS",
    "Claim",
    "ClaimError",
    "ClaimWarning",
    "Estimate",
    "Statement",
    "Table",
    "Verdict",
    "Verdicts",
    "claim",
    "claims",
    "compare",
    "fit",
    "judge",
    "mean_of",
    "tables_of",
]


def claims(own: Claims = ()) -> dict[str, Claim]:
    """Return every claim by its name: ours, those made with the decorator `claim` in this session, and the ones given.

    Parameters
    ----------
    own : str, pathlib.Path or Claim, or several
        Further claims, or Python files with claims, which are executed.

    Returns
    -------
    dict of str to Claim
        Attribute `origin` says where each comes from.

    Raises
    ------
    ClaimError
        If two claims have one name, or a file cannot be used; one line names the file and the claim.

    Examples
    --------
    >>> claims()["V3"].title, claims()["V3"].origin
    ('Maxwell relation', 'thermo-theory')
    """
    return together(CLAIMS, own=own)


def compare(runs: Any, claims: Claims = ()) -> Verdicts:
    """Compare runs with what is derived, claim by claim.

    Parameters
    ----------
    runs : Runs or xarray.Dataset
        What `empirics.run`, `empirics.load` or `empirics.read_runs` returned, or its summary. Runs of several protocols
        or optimisers are judged apart.
    claims : str, pathlib.Path or Claim, or several
        Claims of your own, or Python files with such claims, beside ours and those of this session.

    Returns
    -------
    Verdicts
        A row for each form of each claim that belongs to the runs' protocol and optimiser; a note for each claim that
        is not derived for the optimiser, and if experiment, claims or code changed since the run began. A claim whose
        code fails is "not measured", and `errors` has the line that says why; it is a warning too.

    Raises
    ------
    ClaimError
        If two claims have one name, or a file cannot be used.
    ValueError
        If the summary has no runs, does not say its protocol or dimension, or has a learning rate or weight decay that
        is not positive.
    """
    data = getattr(runs, "dataset", runs)
    _check(data)
    known = together(CLAIMS, own=claims)
    rows: list[Verdict] = []
    notes: list[str] = []
    errors: list[str] = []
    statuses: Counter[str] = Counter()
    several = len(_groups(data)) > 1
    for table, fitting in tables_of(runs, known.values()):
        protocol, optimizer = table.protocol, table.optimizer
        statuses.update(table.status.tolist())
        if not fitting:
            alone = optimizer in OPTIMIZERS and protocol in KNOBS
            why = ": optimisers other than SGD are derived only for fixed-lr" if alone else ""
            notes.append(f"no claim is judged on the {len(table.members)} runs by {optimizer} at {protocol}{why}")
        said = [
            table.beyond_range(),
            table.left_out(),
            *(_not_stated(known.values(), fitting, protocol, optimizer) if fitting else []),
        ]
        on_these: list[Verdict] = []
        for one in fitting:
            found, remarks, error = judged(one, table)
            on_these, said, errors = on_these + found, said + remarks, errors + [error] * bool(error)
        rows += on_these
        said += [*explained(on_these), *suspicions(table, on_these), survivors(on_these)] if fitting else []
        where = protocol if optimizer == "sgd" else f"{protocol}, {optimizer}"
        notes += [f"{where}: {note}" if several else note for note in said if note]
    notes += changes(runs, known.values())
    for error in dict.fromkeys(errors):
        warnings.warn(error, ClaimWarning, stacklevel=2)
    return Verdicts(rows, notes, runs, tuple(dict.fromkeys(errors)), known, dict(statuses.most_common()))


def _not_stated(known: Iterable[Claim], fitting: list[Claim], protocol: str, optimizer: str) -> list[str]:
    """Say which claims are not judged because nothing is derived that they could be compared with."""
    absent = [one for one in known if protocol in one.protocols and one not in fitting]
    return [f"{one.label} is not judged: it is not derived for {optimizer}" for one in absent]


def tables_of(runs: Any, known: Iterable[Claim]) -> Iterator[tuple[Table, list[Claim]]]:
    """Runs of each protocol and optimiser apart, with the claims that are stated for both.

    Parameters
    ----------
    runs : Runs or xarray.Dataset
        As `compare` takes them.
    known : iterable of Claim
        The claims that there are.

    Yields
    ------
    table : Table
        The runs of one protocol and optimiser.
    fitting : list of Claim
        The claims that are judged on them.

    Raises
    ------
    ValueError
        If a learning rate or weight decay is not positive.
    """
    data, known = getattr(runs, "dataset", runs), tuple(known)
    for protocol, optimizer, chosen in _groups(data):
        group = with_momentum(data.isel(run=chosen).assign_attrs(protocol=protocol), runs)
        check_knobs(group, protocol, chosen)
        table = Table.of(group, _trace(runs, chosen), getattr(runs, "tree", None), chosen)
        yield table, [one for one in known if one.stated(protocol, optimizer)]


def _trace(runs: Any, chosen: list[int]) -> xr.Dataset | None:
    """Return the runs over their steps, None where that was not kept."""
    tree = getattr(runs, "tree", None)
    if tree is None or "trace" not in tree.children:
        return None
    return tree["trace"].to_dataset().isel(run=chosen)


def _check(data: xr.Dataset) -> None:
    """Refuse a summary that cannot be judged at all."""
    if not hasattr(data, "sizes"):
        kind = type(data).__name__
        raise ValueError(
            f"runs are compared, not a {kind}: give what empirics.load(FOLDER) or empirics.read_runs returns"
        )
    if not data.sizes.get("run"):
        raise ValueError("there are no runs to compare: the summary has no dimension 'run'")
    if "dimension" not in data.attrs:
        raise ValueError(
            "the summary does not say its dimension (attribute 'dimension', the d of the formulas: of one sphere, the "
            "number of its weights)"
        )
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
