"""Claims: theory from `thermo_theory`, measurement from the runs, and a verdict with an interval.

One file a claim; `compare` judges them all.
"""

from __future__ import annotations

from typing import Any

from empirics.claims.base import Claim
from empirics.claims.maxwell import MaxwellRelation
from empirics.claims.radius import RadiusLaw
from empirics.claims.table import Table
from empirics.claims.verdict import COLUMNS, Verdict, Verdicts, judge

__all__ = ["CLAIMS", "COLUMNS", "Claim", "Table", "Verdict", "Verdicts", "compare", "judge"]

#: Every claim, in the order of the validation suite.
CLAIMS: tuple[Claim, ...] = (RadiusLaw(), MaxwellRelation())


def compare(runs: Any) -> Verdicts:
    """Compare runs with what is derived, claim by claim.

    Parameters
    ----------
    runs : Runs or xarray.Dataset
        What `empirics.run`, `empirics.load` or `empirics.read_runs` returned, or its summary.

    Returns
    -------
    Verdicts
        A row for each form of each claim that belongs to the runs' protocol.

    Raises
    ------
    ValueError
        If the summary has no runs or does not say its protocol or dimension.
    """
    data = getattr(runs, "dataset", runs)
    if not data.sizes.get("run"):
        raise ValueError("there are no runs to compare: the summary has no dimension 'run'")
    if "dimension" not in data.attrs:
        raise ValueError("the summary does not say its dimension (attribute 'dimension', the number of weights d)")
    if "protocol" not in data.variables:
        raise ValueError("the summary does not say its protocol (coordinate 'protocol', such as 'fixed-lr')")
    protocol = str(data["protocol"].values[0])
    table = Table.of(data.assign_attrs(protocol=protocol))
    fitting = [claim for claim in CLAIMS if protocol in claim.protocols]
    rows = [verdict for claim in fitting for verdict in claim.verdicts(table)]
    notes = [note for claim in fitting for note in claim.notes(table)]
    left_out = table.left_out()
    return Verdicts(rows, [*([left_out] if left_out else []), *notes], runs)
