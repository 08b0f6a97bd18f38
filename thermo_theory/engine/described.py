"""The help of a formula: what it says, of what, where it holds, and a call with its number, computed when asked for."""

from __future__ import annotations

import random
from textwrap import indent
from typing import TYPE_CHECKING, Any

import sympy as sp

from thermo_theory.engine.printing import wrapped
from thermo_theory.numeric.domain import Domain
from thermo_theory.symbols import glossary

if TYPE_CHECKING:
    from thermo_theory.engine.formula import Formula

__all__ = ["described", "example"]

#: Numbers of a small network, for examples.
_TYPICAL = {"d": 101, "eta": 0.1, "lam": 0.001, "sigma": 2.0, "T": 0.01, "eta_eff": 0.01, "p": 0.001, "R": 50.0}

#: How often numbers inside a domain are looked for.
_TRIES = 2000


def described(formula: Formula) -> str:
    """Describe a formula: equation, claim, symbols with meaning, unit and domain, assumptions, source, an example."""
    origin = formula.origin
    # What begins a docstring loses its indent.
    lines = [wrapped(f"{origin.summary or 'An equation'}."), "", indent(str(formula), "    "), ""]
    left = getattr(formula.equation, "lhs", None)
    symbols = {info.argument: (info, str(formula._domains[name])) for name, info in formula._known.items()}
    if left in glossary:
        symbols = {glossary[left].argument: (glossary[left], str(formula._result))} | symbols
    for name, (info, domain) in symbols.items():
        unit = origin.units.get(info.symbol, info.unit) or "depends on the degree of the step"
        lines.append(wrapped(f"{name}: {info.meaning}{f' [{unit}]' if unit != '1' else ''}; {domain}"))
    between = ", ".join(map(formula.said, formula.between()))
    said = {"Domain": between, "Source": formula.source, "Assumes": ", ".join(origin.assumptions)}
    lines += ["", *(wrapped(f"{word}: {text}") for word, text in said.items() if text)]
    if origin.call:
        lines += ["", ">>> from thermo_theory import derive", *_call(formula)]
    return "\n".join(lines).strip()


def _call(formula: Formula) -> list[str]:
    """An example, and what comes out of it."""
    if not formula.has_numbers:
        return [f">>> {formula.origin.call}.equation", str(formula.equation)]
    values = example(formula)
    given = ", ".join(f"{name}={value!r}" for name, value in values.items())
    return [f">>> {formula.origin.call}({given})", repr(formula(**values))]


def example(formula: Formula) -> dict[str, Any]:
    """Find values of the arguments that lie in the domain, the same ones each time.

    Raises
    ------
    LookupError
        If none were found.
    """
    dice = random.Random(1)
    for number in range(_TRIES):
        values: dict[str, Any] = {
            name: _value(name, domain, dice if number else None) for name, domain in formula._domains.items()
        }
        for relation in formula.between():
            if isinstance(relation, sp.Eq) and str(relation.lhs) in values:
                numbers = {symbol: values[str(symbol)] for symbol in relation.rhs.free_symbols}
                values[str(relation.lhs)] = float(relation.rhs.subs(numbers))
        try:
            formula(**values)
        except ValueError:
            continue
        return values
    raise LookupError(f"no example of {formula.equation} in {_TRIES} tries")


def _value(name: str, domain: Domain, dice: random.Random | None) -> float:
    """A plain number of a domain: the typical one, or a random one."""
    low, high = domain.low, domain.high
    start = _TYPICAL.get(name, 0.5)
    if low == -float("inf"):
        return start if dice is None else round(dice.uniform(-2, 2), 1)
    if high < float("inf"):
        return round(low + (high - low) * (0.5 if dice is None else dice.uniform(0.05, 0.95)), 2)
    if dice is not None:
        start = float(f"{start * 10 ** dice.uniform(-2, 2):.1g}")
    return max(start, low + 1) if start <= low else start
