"""What a deviation looks like: notes that suggest a wrong label, and never correct a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from empirics.claims.clusters import clusters_of
from empirics.claims.coordinates import law_of, log_slopes
from empirics.claims.fits import fit
from empirics.claims.maxwell import maxwell_ratio
from empirics.claims.protocol import effective_lr
from empirics.claims.table import Table, balances
from empirics.claims.verdict import Verdict

__all__ = ["suspicions"]

#: Coefficients of momentum that are in use.
MOMENTA = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)

#: A number this close, relative, to what another label would give is what that label would give.
NEAR = 0.05

#: Columns that contain d are taken to be of another one if all runs agree on it to this, relative.
AGREED = 1e-3

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
    notes = [_momentum(table), _fixed_elr(table), *_other_dimension(table), _too_much_entropy(table)]
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
    if table.protocol != "fixed-lr":
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
    if not 0.5 < ratio < 1.5:
        return ""
    question = (
        "were weights counted in place of directions?"
        if ratio < 1
        else "is the entropy on fewer spheres than d counts?"
    )
    return (
        f"the Maxwell ratio is {ratio:.3f} of its theory: if it is the same everywhere, there are "
        f"{ratio * (d - 1):.0f} directions and not {d - 1}; {question}"
    )


def _other_dimension(table: Table) -> list[str]:
    """Columns that were computed from each other with another d."""
    pairs = []
    if not table.missing("entropy", "entropy_sphere", "log_radius"):
        difference = table.values("entropy") - table.values("entropy_sphere")
        pairs.append(("entropy - entropy_sphere", difference, table.values("log_radius")))
    rate = effective_lr(table.data) if table.optimizer == "sgd" else None
    if rate is not None and not table.missing("temperature", "grad_variance_unit"):
        push = rate[table.used] * table.values("grad_variance_unit") / 2
        pairs.append(("effective_lr·grad_variance_unit/2", push, table.values("temperature")))
    notes = []
    for words, made, unit in pairs:
        size = float(unit @ unit)
        found = float(made @ unit) / size if size > 0 else np.nan
        agreed = np.linalg.norm(made - found * unit) <= AGREED * np.linalg.norm(made)
        if agreed and abs(found - (table.dimension - 1)) > max(0.5, AGREED * found):
            of = "log_radius" if words.startswith("entropy") else "the temperature"
            notes.append(
                f"{words} is {found:.6g} times {of}, which is d - 1: these columns were computed with d = "
                f"{1 + found:.6g}, but the runs are said to have d = {table.dimension}; both must be counted on the "
                "same spheres (empirics.dimension)"
            )
    return notes


def _too_much_entropy(table: Table) -> str:
    """An entropy of directions above the volume of every product of spheres with so many dimensions.

    On spheres of dimensions m_l and radii r_l, with the sum of r_l^2 equal to 1 and m dimensions in all, the volume is
    largest for m circles: (2 pi/sqrt(m))^m.
    """
    if table.missing("entropy_sphere"):
        return ""
    largest, m = float(table.values("entropy_sphere").max()), table.dimension - 1
    bound = m * float(np.log(2 * np.pi / np.sqrt(m)))
    if largest <= bound:
        return ""
    return (
        f"an entropy of directions of {largest:.6g} nat is more than {m} directions on unit spheres can have "
        f"({bound:.6g}): d = {table.dimension} or the entropy is wrong"
    )
