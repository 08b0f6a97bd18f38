"""Verdicts in words that a newcomer understands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from empirics.claims.exhibit import typeset
from empirics.claims.maxwell import MaxwellRelation
from empirics.claims.overview import MARKS, Line
from empirics.pages.blocks import Card, Strip, fixed, number, real, with_interval

__all__ = [
    "KIND_SHORT",
    "KIND_WORDS",
    "MAXWELL",
    "OPTIMIZER_WORDS",
    "PROTOCOL_WORDS",
    "card",
    "sentence",
    "typeset",
    "where_words",
]

#: What a claim of each kind proves, and what it does not.
KIND_WORDS = {
    "identity": (
        "Identity: a relation of the quantities of one run that needs at most scale invariance and stationarity. It is "
        "a gate: a run that fails it is not used. Passing it is no evidence for the theory."
    ),
    "symmetry": (
        "Symmetry: a relation of runs at different rates that needs no more, whatever the noise and the step size. "
        "Agreement shows that the network is scale-invariant and its runs stationary; it does not test isotropic noise "
        "or the Gibbs law."
    ),
    "physics": (
        "Physics: needs assumptions that a network can break (constant or isotropic noise, small steps, the Gibbs "
        "law). Only here does agreement support the thermodynamic picture, and disagreement contradict it."
    ),
}

#: Name of the claim that figures and sections refer to.
MAXWELL = MaxwellRelation().label

#: The same in a few words.
KIND_SHORT = {
    "identity": "a gate, no evidence",
    "symmetry": "holds for any noise and step size",
    "physics": "evidence for or against the thermodynamic picture",
}

PROTOCOL_WORDS = {
    "fixed-lr": "fixed learning rate",
    "fixed-elr": "fixed effective learning rate",
    "fixed-sphere": "fixed norm",
}

OPTIMIZER_WORDS = {
    "sgd": "SGD",
    "momentum": "SGD with momentum",
    "nesterov": "SGD with Nesterov momentum",
    "adamw": "AdamW",
    "adam-l2": "Adam with L2 decay",
    "signsgd": "signSGD",
    "lion": "Lion",
    "normalised-sgd": "normalised SGD",
    "muon": "Muon",
    "lars": "LARS",
    "lamb": "LAMB",
}


def where_words(protocol: str, optimizer: str) -> str:
    """Name a protocol, and the optimiser where it is not SGD; a key that is not known stands for itself.

    Examples
    --------
    >>> where_words("fixed-lr", "adamw"), where_words("fixed-elr", "sgd")
    ('fixed learning rate, AdamW', 'fixed effective learning rate')
    """
    words = PROTOCOL_WORDS.get(protocol, protocol) or "an unrecorded protocol"
    return words if optimizer == "sgd" else f"{words}, {OPTIMIZER_WORDS.get(optimizer, optimizer)}"


def sentence(line: Line) -> str:
    """Say in a sentence what came of a claim."""
    row, reason = line.headline, typeset(line.reason)
    if row.verdict == "refused":
        return f"Not judged: {reason}."
    found, more = card(row), f"; {reason}" if reason else ""
    return f"{found.title.split(':')[0]}: {found.measured}, predicted {found.expected}{more}."


def card(verdict: Any, label: str = "") -> Card:
    """Put one verdict into words.

    Parameters
    ----------
    verdict : empirics.claims.Verdict
        Anything with its attributes.
    label : str
        The human name of the claim, its code in brackets.
    """
    theory, measured, low, high, margin = (
        real(getattr(verdict, name, None)) for name in ("theory", "measured", "low", "high", "margin")
    )
    numbers: list[tuple[str, str, float | None]] = [("Theory", number(theory), theory)]
    half = (high - low) / 2
    if measured == measured:
        numbers.append(("Measured", fixed(measured, half), measured))
        numbers.append(("95 % interval", f"{fixed(low, half)} to {fixed(high, half)}", None))
    else:
        numbers.append(("Measured", "not measured", None))
    if margin == margin:
        numbers.append(("Equivalence margin", f"within {number(margin)} of theory", margin))
    needed = real(getattr(verdict, "margin_needed", None))
    if needed == needed:
        numbers.append(("Smallest margin at which it agrees", number(needed), needed))
    return Card(
        claim=str(verdict.claim),
        label=label or str(verdict.claim),
        title=typeset(str(verdict.title)),
        protocol=where_words(str(verdict.protocol), str(getattr(verdict, "optimizer", "sgd"))),
        family=str(verdict.kind),
        verdict=str(verdict.verdict),
        mark=MARKS.get(str(verdict.verdict), "–"),
        measured=with_interval(measured, low, high) if measured == measured else "not measured",
        expected=f"{number(theory)} ± {number(margin)}" if margin == margin else number(theory),
        numbers=(*numbers, *_others(verdict), *_details(getattr(verdict, "details", None) or {})),
        reason=typeset(str(getattr(verdict, "reason", "") or "")),
        strip=Strip.of(theory, margin, measured, low, high),
        message=(
            f"Theory {number(theory)}, equivalence margin {number(margin)}; measured {number(measured)}, "
            f"95 percent interval {number(low)} to {number(high)}."
        ),
    )


def _others(verdict: Any) -> list[tuple[str, str, float | None]]:
    """Write the other estimates of the same number, which have no verdict."""
    rows: list[tuple[str, str, float | None]] = []
    for one in getattr(verdict, "other_forms", ()):
        value, low, high = (real(one[name]) for name in ("measured", "low", "high"))
        half = (high - low) / 2
        text = f"{fixed(value, half)} ({fixed(low, half)} to {fixed(high, half)})" if value == value else "not measured"
        rows.append((typeset(str(one["title"])), text, None))
    return rows


def _details(details: Mapping[str, Any]) -> list[tuple[str, str, float | None]]:
    """Write the further numbers of a verdict."""
    rows: list[tuple[str, str, float | None]] = []
    for name, value in details.items():
        label = typeset(name[:1].upper() + name[1:])
        if isinstance(value, Mapping):
            found = {str(key): number_ for key, inner in value.items() if (number_ := real(inner)) == number_}
            text = _span_by_name(found) if found else "not measured"
        elif isinstance(value, list | tuple):
            numbers = [one for one in map(real, value) if one == one]
            text = f"{number(min(numbers), 3)} to {number(max(numbers), 3)}" if numbers else "not measured"
        else:
            text = typeset(str(value)) if isinstance(value, str) else number(value)
        rows.append((label, text, None))
    return rows


def _span_by_name(found: Mapping[str, float]) -> str:
    """Name the smallest and the largest of several numbers."""
    low, high = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    return f"{number(found[low], 3)} ({low}) to {number(found[high], 3)} ({high}), {len(found)} in all"
