"""What a deviation looks like: notes that suggest a wrong label, and never correct a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from empirics.claims.clusters import clusters_of
from empirics.claims.coordinates import law_of, log_slopes
from empirics.claims.fits import fit
from empirics.claims.maxwell import maxwell_ratio
from empirics.claims.table import Table, balances
from empirics.claims.verdict import Verdict

__all__ = ["suspicions"]

#: Coefficients of momentum that are in use.
MOMENTA = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)

#: A number this close, relative, to what another label would give is what that label would give.
NEAR = 0.05

#: Above this dimension a slip of one in it cannot be seen.
LARGEST_FOR_ONE = 200


def suspicions(table: Table, rows: Sequence[Verdict]) -> list[str]:
    """Notes on what the runs may be instead of what they are called; empty where nothing looks like it.

    Parameters
    ----------
    table : Table
        The runs.
    rows : sequence of Verdict
        The verdicts on them.

    Returns
    -------
    list of str
        One for each suspicion; no verdict follows from them.
    """
    if not table.used.any():
        return []
    notes = [_momentum(table), _fixed_elr(table)]
    notes += [note for row in rows if row.claim == "V3" for note in (_scale_free(row), _dimension(table, row))]
    return [note for note in notes if note]


def _holds(low: float, high: float, value: float) -> bool:
    """Whether an interval holds a value, or lies close to it."""
    return bool(low - NEAR * abs(value) <= value <= high + NEAR * abs(value) and high - low < abs(value) / 2)


def _scale_free(row: Verdict) -> str:
    """A Maxwell ratio of 2 under an optimiser whose steps scale with the gradient."""
    other = maxwell_ratio("fixed-lr", "adamw")
    if row.protocol != "fixed-lr" or row.theory == other or not _holds(row.low, row.high, other):
        return ""
    return (
        f"the Maxwell ratio is {row.measured:.2f}, not {row.theory:g}, under the label {row.optimizer}. Steps whose "
        "size does not follow that of the gradient (AdamW, signSGD, Lion, Muon, normalised SGD) have 2. Is the label "
        "right?"
    )


def _momentum(table: Table) -> str:
    """A norm balance that is off by 1 - beta in all runs, which SGD with that momentum has under the label SGD."""
    measured = balances(table.data) if table.optimizer == "sgd" else None
    if measured is None:
        return ""
    measured = measured[np.isfinite(measured) & (measured > 0)]
    for beta in MOMENTA:
        for words, value in (("1 - beta", 1 - beta), ("1/(1 - beta)", 1 / (1 - beta))):
            if len(measured) > 1 and np.all(np.abs(np.quantile(measured, [0.25, 0.75]) / value - 1) < NEAR):
                return (
                    f"the norm balance is {np.median(measured):.3g} in most runs, {words} for beta = {beta:g}: were "
                    "they trained with momentum?"
                )
    return ""


def _fixed_elr(table: Table) -> str:
    """A radius that falls as the inverse root of weight decay at what is called a fixed learning rate."""
    if table.data.attrs.get("protocol", "fixed-lr") != "fixed-lr":
        return ""
    if table.missing("lr", "weight_decay", "radius_sq") or log_slopes(law_of(table).radius)[1] == -0.5:
        return ""
    rate, decay = np.log(table.values("lr")), np.log(table.values("weight_decay"))
    found = fit(
        np.c_[np.ones_like(rate), rate, decay], 0.5 * np.log(table.values("radius_sq")), [0, 0, 1], clusters_of(table)
    )
    if not _holds(found.low, found.high, -0.5):
        return ""
    return (
        f"log r has a slope of {found} in log weight decay: it is -1/2 at a fixed effective learning rate, and with "
        "steps of a fixed size. Are protocol and optimiser right?"
    )


def _dimension(table: Table, row: Verdict) -> str:
    """A Maxwell ratio that is off by the same factor everywhere, as a wrong number of directions makes it."""
    ratio, d = row.measured / row.theory, table.dimension
    ends = sorted((row.low / row.theory, row.high / row.theory))
    if row.verdict in ("refused", "not measured") or ends[0] <= 1 <= ends[1]:
        return ""
    for words, value in (("one more", (d - 2) / (d - 1)), ("one less", d / (d - 1))):
        if d <= LARGEST_FOR_ONE and ends[0] <= value <= ends[1]:
            return (
                f"the Maxwell ratio is {ratio:.4f} of its theory, as where d = {d} is {words} than it should be: d is "
                "the number of directions plus one, for one sphere the number of weights"
            )
    if not 0.5 < ratio < 1:
        return ""
    return (
        f"the Maxwell ratio is {ratio:.3f} of its theory: if it is the same everywhere, there are "
        f"{ratio * (d - 1):.0f} directions and not {d - 1}; were weights counted in place of directions?"
    )
