"""What a claim needs: the smallest sets of assumptions under which it holds, and the kind of claim that makes it.

`Derivation.without` asks whether a chain of steps still goes through; here the claim alone is put into worlds that
grant some assumptions and break all others. That a world grants none in silence is checked: what an assumption says
must be false in the worlds that do not grant it, or where it says nothing there, the claim's sides must change with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mpmath as mp
import sympy as sp

from thermo_theory.engine.checking import StepFalse, StepUnproved, Worlds, check, fails_in
from thermo_theory.engine.evaluate import evaluate
from thermo_theory.engine.printing import to_latex
from thermo_theory.engine.roots import ancestors
from thermo_theory.engine.world import DIGITS, World
from thermo_theory.symbols import RATES

if TYPE_CHECKING:
    from thermo_theory.engine.derivation import Derivation, Step

__all__ = ["STORE", "Needs", "about", "find", "fingerprint", "kind", "needs", "premises", "record", "shown", "stored"]

#: What was found for the derivations of this package, by title.
STORE = Path(__file__).parents[1] / "theory" / "needs.json"

#: Claims that need no more than these are identities or symmetries; all others are physics.
EXACT = frozenset({"scale invariance", "stationarity", "eps = 0", "equivariant estimator"})


@dataclass(frozen=True)
class Needs:
    """What a claim needs.

    Attributes
    ----------
    sets : tuple of frozenset of str
        The smallest sets of assumptions under which the claim holds.
    without : dict of str to str
        For every assumption that is in one of them, a counterexample: where the claim is false if it alone is dropped
        from that set.
    """

    sets: tuple[frozenset[str], ...]
    without: dict[str, str]


def premises(derivation: Derivation) -> dict[str, list[Step]]:
    """The statements of every assumption that a derivation rests on."""
    found: dict[str, list[Step]] = {name: [] for name in derivation.assumptions}
    for step in ancestors(*derivation.steps):
        for name in step.assumptions if step.operation == "assumption" else ():
            if name in found and step.equation not in [other.equation for other in found[name]]:
                found[name].append(step)
    return found


def find(derivation: Derivation) -> Needs:
    """Put the claim into worlds that grant only some assumptions.

    Raises
    ------
    DerivationError
        If the claim is false where all its assumptions hold.
    """
    names, claim, worlds = frozenset(derivation.assumptions), derivation.steps[-1], Worlds(derivation.worlds)
    said = premises(derivation)
    check(claim, worlds.granting(names))
    why: dict[frozenset[str], str] = {names: ""}

    def holds(granted: frozenset[str]) -> bool:
        if granted not in why:
            why[granted] = _objection(claim, worlds, granted, {name: said[name] for name in names - granted})
        return not why[granted]

    def smallest(granted: frozenset[str]) -> frozenset[str]:
        for name in sorted(granted):
            if holds(granted - {name}):
                granted -= {name}
        return granted

    found: list[frozenset[str]] = []
    left = [names]
    while left:
        where = left.pop()
        if any(one <= where for one in found):  # what it has was found: look where one of its members is missing
            inside = next(one for one in found if one <= where)
            left += [where - {name} for name in inside if holds(where - {name}) and where - {name} not in left]
        else:
            found.append(smallest(where))
            left.append(where)
    without = {name: why[one - {name}] for one in found for name in sorted(one) if not holds(one - {name})}
    return Needs(tuple(sorted(found, key=lambda one: (len(one), sorted(one)))), without)


def _objection(claim: Step, worlds: Worlds, granted: Collection[str], broken: dict[str, list[Step]]) -> str:
    """Why a claim cannot be said to hold where only these assumptions do; empty if it can."""
    try:
        check(claim, worlds.granting(granted))
    except StepFalse as error:
        return str(error)
    except StepUnproved as error:
        return f"not shown: {error}"
    there = worlds.about(claim, granted)
    for name, statements in broken.items():
        answers = [fails_in(step, there) for step in statements]
        silent = False in answers
        if not any(answers) and not silent:  # what it says has no meaning here: the claim has to feel it
            silent = _sides(claim, there) == _sides(claim, worlds.about(claim, {*granted, name}))
        if silent:
            return f"not shown: these worlds grant {name} in silence"
    return ""


def _sides(claim: Step, there: Sequence[World]) -> list[str]:
    """What the sides of a claim are worth in worlds, to 12 digits."""
    sides = [side.removeO() for side in claim.equation.args]
    with mp.workdps(DIGITS):
        return [mp.nstr(evaluate(side, world), 12) for world in there for side in sides]


# The kind ----------------------------------------------------------------------------------------


def kind(equation: sp.Basic, sets: Collection[Collection[str]]) -> str:
    """Kind of a claim: identity, symmetry or physics.

    >>> from thermo_theory.symbols import R, T, V, eq, eta, p
    >>> kind(eq(p * V, R * T), [{"stationarity"}]), kind(eq(p * V, R * T), [{"Gibbs law"}])
    ('identity', 'physics')
    >>> kind(eq(eta * sp.Derivative(sp.Function("S")(eta), eta), R), [{"scale invariance", "stationarity"}])
    'symmetry'
    """
    exact = [one for one in sets if EXACT.issuperset(one)]
    if not exact:
        return "physics"
    return "symmetry" if _compares_runs(equation) and all("scale invariance" in one for one in exact) else "identity"


def _compares_runs(equation: sp.Basic) -> bool:
    """Whether a statement relates runs at different rates: a slope, one function at both, now and the start."""
    if any(RATES.intersection(slope.variables) for slope in equation.atoms(sp.Derivative)):
        return True
    calls = equation.atoms(sp.core.function.AppliedUndef)
    if len({call.func for call in calls}) < len(calls):
        return True
    names = {symbol.name for symbol in equation.free_symbols & RATES}
    return any(f"{name}_0" in names for name in names)


# What was found before ---------------------------------------------------------------------------


def fingerprint(derivation: Derivation) -> str:
    """What the needs of a derivation belong to: its steps, its assumptions and its worlds."""
    steps = [(step.operation, sp.sstr(step.equation), step.rests_on) for step in derivation.steps]
    words = json.dumps([derivation.title, steps, [maker.__doc__ for maker in derivation.worlds]])
    return hashlib.sha256(words.encode()).hexdigest()[:16]


@cache
def stored() -> dict[str, Any]:
    """What was found for the derivations of this package."""
    known: dict[str, Any] = json.loads(STORE.read_text(encoding="utf-8")) if STORE.exists() else {}
    return known


def needs(derivation: Derivation) -> Needs:
    """What the claim of a derivation needs, from what was found before if the derivation is still the same."""
    known = stored().get(derivation.title)
    if known is None or known["of"] != fingerprint(derivation) or derivation.withdrawn:
        return find(derivation)
    return Needs(tuple(map(frozenset, known["needs"])), known["without"])


def record(derivation: Derivation) -> dict[str, Any]:
    """What is stored of a derivation: what it needs now, and the kind that this makes it."""
    found = find(derivation)
    of_kind = derivation.declared or kind(derivation.steps[-1].equation, found.sets)
    return {
        "of": fingerprint(derivation),
        "kind": of_kind,
        "needs": [sorted(one) for one in found.sets],
        "without": found.without,
        **shown(derivation),
    }


def shown(derivation: Derivation) -> dict[str, Any]:
    """What is stored of a claim for lists of derivations."""
    claim = derivation.steps[-1].equation
    return {"latex": to_latex(claim), "about": about(claim)}


def about(equation: sp.Basic) -> list[str]:
    """Names of the symbols and functions in a statement.

    >>> from thermo_theory.symbols import eq, eta, lam, p
    >>> about(eq(eta * sp.Function("S")(eta, lam), p))
    ['S', 'eta', 'lambda', 'p']
    """
    functions = {call.func.__name__ for call in equation.atoms(sp.core.function.AppliedUndef)}
    return sorted({str(symbol) for symbol in equation.free_symbols} | functions)
